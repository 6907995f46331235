//! What the answers to the steps' calls say, and what is done where they say nothing.

use candid::Principal;
use canopy_types::ShardIndex;
use canopy_types::codec;
use canopy_types::limits::{SECRET_BYTES, bounded_reason};
use canopy_types::shard::{ShardInfo, ShardInfoResult};
use canopy_types::status::{Alarm, ShardStage, Step};
use serde_bytes::ByteBuf;

use super::{
    ANSWER_BYTES_MAX, ANSWER_SHOWN_BYTES_MAX, ATTEMPTS_MAX, Action, Answer, Circumstances, Journal, Pending,
    RETRY_FIRST_NANOSECONDS, RETRY_LAST_NANOSECONDS,
};
use crate::management;

impl Journal {
    /// Goes on after a call that isn't open any more.
    pub(super) fn continue_pending(&mut self, pending: Pending, circumstances: &Circumstances) -> Action {
        if pending.answer.is_none() && circumstances.open_call == Some(pending.call) {
            self.pending = Some(pending);
            return Action::AwaitAnswer;
        }
        let Pending { step, asked_at, answer, price, .. } = pending;
        // The platform creates nothing where it rejects for a reason that is known.
        let is_spent = !matches!(answer, Some(Answer::NotSent { .. } | Answer::Reject { code: 1..=5, .. }));
        if let (false, Some(price), Some(spending)) = (is_spent, price, &mut self.spending) {
            spending.take_back(price, asked_at);
        }
        match answer {
            Some(Answer::Reply(bytes)) => self.understand(step, &bytes, circumstances),
            Some(Answer::NotSent { reason }) => self.fail(step, reason, circumstances.now),
            Some(Answer::Reject { code, message }) => self.rejected(step, asked_at, code, &message, circumstances.now),
            None => self.lost(step, asked_at, circumstances.now),
        }
        Action::Continue
    }

    fn understand(&mut self, step: Step, answer: &[u8], circumstances: &Circumstances) {
        let now = circumstances.now;
        match step {
            Step::DrawSecret => match management::read_random(answer) {
                Ok(bytes) => {
                    if self.secret.len() < SECRET_BYTES {
                        self.secret.extend_from_slice(&bytes);
                    } else {
                        self.tag_seed = Some(ByteBuf::from(bytes));
                    }
                    self.forget_failures();
                }
                Err(malformed) => self.fail(step, malformed.reason, now),
            },
            Step::CreateShard(shard) => match management::read_created(answer) {
                Ok(canister) => {
                    let entry = self.entry_mut(shard);
                    entry.canister = Some(canister);
                    entry.stage = ShardStage::Created;
                    self.forget_failures();
                }
                Err(_) => {
                    let shown = &answer[..answer.len().min(ANSWER_SHOWN_BYTES_MAX)];
                    let answer = shown.iter().map(|byte| format!("{byte:02x}")).collect();
                    self.alarm = Some(Alarm::CreationAnswerUnreadable { shard, answer });
                }
            },
            Step::InstallShard(shard) => {
                let entry = self.entry_mut(shard);
                entry.stage = ShardStage::Installed;
                entry.wipes = None;
                self.forget_failures();
            }
            Step::InspectShard(shard) => match management::read_module_hash(answer) {
                Ok(None) => self.entry_mut(shard).contents_unknown = false,
                Ok(Some(hash)) if hash == circumstances.shard_module_hash => {
                    let entry = self.entry_mut(shard);
                    entry.contents_unknown = false;
                    entry.stage = ShardStage::Installed;
                }
                Ok(Some(_)) => self.foreign(shard, "the canister has another module than shards have"),
                Err(malformed) => self.fail(step, malformed.reason, now),
            },
            Step::VerifyShard(shard) => match codec::decode::<ShardInfoResult>(answer) {
                Ok(Ok(info)) => match self.difference(shard, &info, circumstances.router) {
                    None => {
                        self.open_shard(shard);
                        self.forget_failures();
                    }
                    Some(difference) => self.foreign(shard, difference),
                },
                Ok(Err(refused)) => self.foreign(shard, &format!("the shard refuses its router: {refused:?}")),
                Err(malformed) => self.fail(step, malformed.reason, now),
            },
        }
    }

    /// Says in what a shard differs from its plan.
    fn difference(&self, shard: ShardIndex, info: &ShardInfo, router: Principal) -> Option<&'static str> {
        let entry = self.entry(shard);
        let secret = self.secret().map(|secret| secret.fingerprint());
        if info.router != router {
            Some("the shard belongs to another router")
        } else if info.index != entry.index || info.range != entry.range || info.epoch != entry.epoch {
            Some("the shard was installed for another range")
        } else if Some(info.secret_fingerprint) != secret {
            Some("the shard has another hash secret")
        } else {
            // It may hold records: whoever has a role may ask an installed shard directly, before the router opens it.
            None
        }
    }

    fn rejected(&mut self, step: Step, asked_at: u64, code: u32, message: &str, now: u64) {
        let reason = format!("reject {code}: {message}");
        match step {
            // The management canister rejects a creation only when it created nothing.
            Step::CreateShard(_) if matches!(code, 1..=5) => self.fail(step, reason, now),
            Step::CreateShard(_) => self.lost(step, asked_at, now),
            Step::InstallShard(shard) => {
                self.note_unknown_contents(shard);
                self.fail(step, reason, now);
            }
            _ => self.fail(step, reason, now),
        }
    }

    /// Notes that an installation may have happened. One that wipes may be done again: what is there is nobody's, and its
    /// call has come back, so that nothing of it comes late.
    fn note_unknown_contents(&mut self, shard: ShardIndex) {
        let entry = self.entry_mut(shard);
        entry.contents_unknown = entry.wipes != Some(true);
    }

    fn lost(&mut self, step: Step, asked_at: u64, now: u64) {
        match step {
            Step::CreateShard(shard) => {
                self.alarm = Some(Alarm::CreationAnswerLost { shard, asked_at_nanoseconds: asked_at });
            }
            Step::InstallShard(shard) => {
                self.note_unknown_contents(shard);
                self.fail(step, "the answer was lost".to_string(), now);
            }
            _ => self.fail(step, "the answer was lost".to_string(), now),
        }
    }

    fn fail(&mut self, step: Step, reason: String, now: u64) {
        self.failed_attempts += 1;
        if self.failed_attempts >= ATTEMPTS_MAX {
            let attempts = self.failed_attempts;
            self.alarm = Some(Alarm::StepFailed { step, attempts, reason: reason.clone() });
        }
        let doubled = RETRY_FIRST_NANOSECONDS << (self.failed_attempts - 1).min(ATTEMPTS_MAX);
        self.retry_at = Some(now + doubled.min(RETRY_LAST_NANOSECONDS));
        self.last_failure = Some(bounded_reason(&reason));
    }

    fn foreign(&mut self, shard: ShardIndex, reason: &str) {
        let canister =
            self.entry(shard).canister.expect("INVARIANT: only canisters that exist are asked what they are");
        self.alarm = Some(Alarm::ForeignCode { shard, canister, reason: bounded_reason(reason) });
    }
}

impl Answer {
    /// Cuts what is longer than is kept.
    pub(super) fn shorten(&mut self) {
        match self {
            Answer::Reply(bytes) => bytes.truncate(ANSWER_BYTES_MAX),
            Answer::Reject { message, .. } | Answer::NotSent { reason: message } => *message = bounded_reason(message),
        }
    }
}
