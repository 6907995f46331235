//! A transfer that isn't over: its steps, one call after the other.

use candid::CandidType;
use canopy_types::limits::bounded_reason;
use canopy_types::shard::ShardInfoResult;
use canopy_types::status::ShardStage;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, TransferEnd,
    TransferError, TransferPhase, TransferProgress, TransferProgressArguments, TransferProgressResult, TransferSide,
    TransferStage, TransferStatus,
};
use canopy_types::{Epoch, HashRange, ShardIndex, TransferId, codec};
use serde::Deserialize;

use super::Circumstances;
use super::funding::{Funding, Paid, Payment};
use crate::funding::Purse;
use crate::journal::{Answer, ShardEntry};
use crate::management;
use crate::readings::{number, used_stable_bytes};

/// Attempts to begin a transfer, one after the other, before it is cancelled.
pub const ATTEMPTS_MAX: u32 = 10;

/// Wait between two questions how it goes: 2 s.
const POLL_NANOSECONDS: u64 = 2_000_000_000;

/// Time after which an open call is looked at without being asked: 10 minutes. It is over by then.
pub(super) const WATCH_NANOSECONDS: u64 = 600_000_000_000;

/// First wait after a failure, doubled with each: 1 s.
const RETRY_FIRST_NANOSECONDS: u64 = 1_000_000_000;

/// Longest wait between attempts: 1 minute.
pub(super) const RETRY_LAST_NANOSECONDS: u64 = 60_000_000_000;

/// How the platform says that a shard's code is older than transfers. Such a shard has never begun one.
const NO_METHOD_TEXT: &str = "has no update method";

/// How the platform rejects a call to a canister that doesn't exist.
pub(super) const NO_CANISTER: u32 = 3;

/// A call that was sent, and its answer once there is one.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub(super) call: u64,
    pub(super) answer: Option<Answer>,
    /// The cycles that it brings to a shard. Null if it asks one.
    pub(super) paid: Option<Paid>,
}

/// A transfer that isn't over.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub(super) id: TransferId,
    pub(super) source: ShardIndex,
    pub(super) target: ShardIndex,
    pub(super) range: HashRange,
    pub(super) epoch: Epoch,
    pub(super) begun_at: u64,
    pub(super) stage: TransferStage,
    /// Why it shall stop.
    pub(super) stop: Option<String>,
    pub(super) pending: Option<Pending>,
    pub(super) failed_attempts: u32,
    pub(super) retry_at: Option<u64>,
    pub(super) last_failure: Option<String>,
    pub(super) progress: Option<TransferProgress>,
    /// Bytes of memory that the range takes on the source. Null if it doesn't tell.
    pub(super) bytes: Option<u64>,
    /// Null as long as no end lacks cycles.
    pub(super) funding: Option<Funding>,
}

/// How a transfer goes on after one step.
pub enum Next {
    Wait,
    At(u64),
    Send(&'static str, ShardIndex, Vec<u8>),
    Pay(Payment),
    End(TransferEnd),
    /// It is cancelled, because the target's canister doesn't exist any more.
    TargetGone,
}

impl Running {
    /// Begins a transfer at `now` (nanoseconds).
    pub fn new(
        id: TransferId,
        (source, target): (ShardIndex, ShardIndex),
        range: HashRange,
        epoch: Epoch,
        now: u64,
    ) -> Self {
        Self {
            id,
            source,
            target,
            range,
            epoch,
            begun_at: now,
            stage: TransferStage::AwaitingTarget,
            stop: None,
            pending: None,
            failed_attempts: 0,
            retry_at: None,
            last_failure: None,
            progress: None,
            bytes: None,
            funding: None,
        }
    }

    /// Does what one message may do for the transfer.
    pub fn step(&mut self, shards: &[ShardEntry], circumstances: &Circumstances, purse: &mut Purse) -> Next {
        let now = circumstances.now;
        if let Some(pending) = self.pending.take() {
            if pending.answer.is_none() && circumstances.open_calls.contains(&pending.call) {
                self.pending = Some(pending);
                return Next::At(now + WATCH_NANOSECONDS);
            }
            if let Some(paid) = pending.paid {
                return self.paid(&paid, pending.answer, purse.spending, now);
            }
            return match pending.answer {
                Some(Answer::Reply(reply)) => self.understand(&reply, now),
                Some(Answer::Reject { code, message }) => self.rejected(code, &message, now),
                Some(Answer::NotSent { reason }) => self.fail(&reason, now),
                None => self.fail("the answer was lost", now),
            };
        }
        if self.stop.is_some() {
            match self.stage {
                TransferStage::AwaitingTarget | TransferStage::Measuring => return Next::End(TransferEnd::Cancelled),
                TransferStage::TellingTarget | TransferStage::FundingTarget => {
                    self.go_to(TransferStage::StoppingTarget);
                }
                TransferStage::TellingSource | TransferStage::FundingSource | TransferStage::Moving => {
                    self.go_to(TransferStage::StoppingSource);
                }
                TransferStage::StoppingSource | TransferStage::StoppingTarget | TransferStage::Ended(_) => {}
            }
        }
        if self.stage == TransferStage::AwaitingTarget {
            if shards[self.target.0 as usize].stage != ShardStage::Open {
                // The journal makes it, and whatever that does leads here again.
                return Next::Wait;
            }
            self.go_to(TransferStage::Measuring);
        }
        if let Some(at) = self.retry_at.filter(|&at| at > now) {
            return Next::At(at);
        }
        if purse.available < circumstances.call_cycles {
            let (available, required) = (purse.available, circumstances.call_cycles);
            self.retry_at = Some(now + RETRY_LAST_NANOSECONDS);
            self.last_failure = Some(format!("the router has {available} cycles, and a call needs {required}"));
            return Next::At(now + RETRY_LAST_NANOSECONDS);
        }
        self.retry_at = None;
        match self.stage {
            TransferStage::FundingTarget | TransferStage::FundingSource => self.fund(purse),
            _ => self.send(shards),
        }
    }

    fn send(&self, shards: &[ShardEntry]) -> Next {
        let (id, epoch) = (self.id, self.epoch);
        let begin = |side, peer: ShardIndex| {
            let peer = shards[peer.0 as usize].canister.expect("INVARIANT: both ends serve when they are told");
            codec::encode(&BeginTransferArguments { id, side, peer, range: self.range, epoch, bytes: self.bytes })
        };
        let cancel = || codec::encode(&CancelTransferArguments { id, epoch });
        match self.stage {
            TransferStage::Measuring => Next::Send("info", self.source, management::raw_rand()),
            TransferStage::TellingTarget => {
                Next::Send("begin_transfer", self.target, begin(TransferSide::Target, self.source))
            }
            TransferStage::TellingSource => {
                Next::Send("begin_transfer", self.source, begin(TransferSide::Source, self.target))
            }
            TransferStage::Moving => {
                let arguments = codec::encode(&TransferProgressArguments { id });
                Next::Send("transfer_progress", self.source, arguments)
            }
            TransferStage::StoppingSource => Next::Send("cancel_transfer", self.source, cancel()),
            TransferStage::StoppingTarget => Next::Send("cancel_transfer", self.target, cancel()),
            TransferStage::AwaitingTarget
            | TransferStage::FundingTarget
            | TransferStage::FundingSource
            | TransferStage::Ended(_) => Next::Wait,
        }
    }

    fn understand(&mut self, reply: &[u8], now: u64) -> Next {
        match self.stage {
            TransferStage::Measuring => {
                // A source that doesn't tell is of older code, and the target is believed to have enough.
                self.bytes = codec::decode::<ShardInfoResult>(reply).ok().and_then(|info| bytes_of(&self.range, info));
                self.continue_with(TransferStage::TellingTarget, now)
            }
            TransferStage::TellingTarget => match codec::decode::<BeginTransferResult>(reply) {
                Ok(Ok(())) => {
                    self.forget_shortage();
                    self.continue_with(TransferStage::TellingSource, now)
                }
                Ok(Err(TransferError::CyclesShort { available, required })) => {
                    self.lacks(TransferSide::Target, number(&available), number(&required), now)
                }
                Ok(Err(error)) => self.refused(error, now),
                Err(malformed) => self.fail(&malformed.reason, now),
            },
            TransferStage::TellingSource => match codec::decode::<BeginTransferResult>(reply) {
                // An end is told, with all else, when the source is asked how it goes.
                Ok(Ok(()) | Err(TransferError::Ended(_))) => {
                    self.forget_shortage();
                    self.continue_with(TransferStage::Moving, now)
                }
                Ok(Err(TransferError::CyclesShort { available, required })) => {
                    self.lacks(TransferSide::Source, number(&available), number(&required), now)
                }
                Ok(Err(error)) => self.refused(error, now),
                Err(malformed) => self.fail(&malformed.reason, now),
            },
            TransferStage::Moving => match codec::decode::<TransferProgressResult>(reply) {
                Ok(Ok(progress)) => {
                    let (phase, needs) = (progress.phase, progress.cycles.clone());
                    // The source forgets its counts when it is done.
                    if !matches!(phase, TransferPhase::Ended(_)) {
                        self.progress = Some(progress);
                    }
                    match needs {
                        Some(needs) if self.stop.is_none() => {
                            let (available, required) = (number(&needs.available), number(&needs.required));
                            self.lacks(TransferSide::Source, available, required, now)
                        }
                        _ => {
                            self.forget_shortage();
                            self.heard(phase, now)
                        }
                    }
                }
                Ok(Err(error)) => self.fail(&format!("{error:?}"), now),
                Err(malformed) => self.fail(&malformed.reason, now),
            },
            TransferStage::StoppingSource | TransferStage::StoppingTarget => {
                match codec::decode::<CancelTransferResult>(reply) {
                    Ok(Ok(phase)) => self.heard(phase, now),
                    Ok(Err(error)) => self.fail(&format!("{error:?}"), now),
                    Err(malformed) => self.fail(&malformed.reason, now),
                }
            }
            // What a payment's answer says is understood elsewhere.
            TransferStage::AwaitingTarget
            | TransferStage::FundingTarget
            | TransferStage::FundingSource
            | TransferStage::Ended(_) => Next::Wait,
        }
    }

    /// Goes on after a shard said how far it is.
    fn heard(&mut self, phase: TransferPhase, now: u64) -> Next {
        self.forget_failures();
        match (self.stage, phase) {
            (TransferStage::StoppingTarget, TransferPhase::Ended(TransferEnd::Cancelled)) => {
                Next::End(TransferEnd::Cancelled)
            }
            // The target's word is final, and the source will hear it.
            (_, TransferPhase::Ended(TransferEnd::Done)) => Next::End(TransferEnd::Done),
            (_, TransferPhase::Ended(TransferEnd::Cancelled)) => self.continue_with(TransferStage::StoppingTarget, now),
            _ => {
                let stops = self.stop.is_some() && self.stage == TransferStage::Moving;
                let at = if stops { now } else { now + POLL_NANOSECONDS };
                self.retry_at = Some(at);
                Next::At(at)
            }
        }
    }

    /// Goes on after a shard would not begin.
    fn refused(&mut self, error: TransferError, now: u64) -> Next {
        let reason = format!("{error:?}");
        // A shard may still hear of the end of an earlier transfer, and then clears up.
        if !matches!(error, TransferError::Clearing { .. } | TransferError::InTransfer { .. }) {
            self.stop.get_or_insert_with(|| bounded_reason(&reason));
        }
        self.fail(&reason, now)
    }

    fn rejected(&mut self, code: u32, message: &str, now: u64) -> Next {
        let reason = format!("reject {code}: {message}");
        if code == NO_CANISTER {
            // A canister that is deleted never comes back.
            match self.stage {
                // The source hasn't begun the transfer, or has ended it, or is gone too.
                TransferStage::TellingTarget | TransferStage::StoppingTarget => {
                    self.last_failure = Some(bounded_reason(&reason));
                    return Next::TargetGone;
                }
                // Whether the range is the target's already is the target's to say; it serves nobody else meanwhile.
                TransferStage::TellingSource | TransferStage::Moving | TransferStage::StoppingSource => {
                    self.stop.get_or_insert_with(|| bounded_reason(&reason));
                    return self.continue_with(TransferStage::StoppingTarget, now);
                }
                _ => {}
            }
        }
        if message.contains(NO_METHOD_TEXT) {
            // Such a shard can't have begun, so there is nothing to stop.
            self.stop.get_or_insert_with(|| bounded_reason(&reason));
            match self.stage {
                TransferStage::TellingTarget | TransferStage::StoppingTarget => {
                    return Next::End(TransferEnd::Cancelled);
                }
                TransferStage::TellingSource | TransferStage::StoppingSource => {
                    return self.continue_with(TransferStage::StoppingTarget, now);
                }
                _ => {}
            }
        }
        self.fail(&reason, now)
    }

    /// Tries again after a while, which is the longer, the more often it failed.
    pub(super) fn fail(&mut self, reason: &str, now: u64) -> Next {
        // The shift is bounded so that it loses no bits.
        let wait = (RETRY_FIRST_NANOSECONDS << self.failed_attempts.min(16)).min(RETRY_LAST_NANOSECONDS);
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        self.last_failure = Some(bounded_reason(reason));
        let beginning = matches!(
            self.stage,
            TransferStage::Measuring
                | TransferStage::FundingTarget
                | TransferStage::TellingTarget
                | TransferStage::FundingSource
                | TransferStage::TellingSource
        );
        if beginning && self.failed_attempts >= ATTEMPTS_MAX {
            self.stop.get_or_insert_with(|| bounded_reason(reason));
        }
        // A transfer that is to stop doesn't wait to be told so.
        let at = if beginning && self.stop.is_some() { now } else { now + wait };
        self.retry_at = Some(at);
        Next::At(at)
    }

    /// Goes on at once, with another stage.
    pub(super) fn continue_with(&mut self, stage: TransferStage, now: u64) -> Next {
        self.go_to(stage);
        Next::At(now)
    }

    pub(super) fn go_to(&mut self, stage: TransferStage) {
        self.stage = stage;
        self.forget_failures();
    }

    fn forget_failures(&mut self) {
        self.failed_attempts = 0;
        self.retry_at = None;
        self.last_failure = None;
    }

    /// Reports the transfer.
    pub fn status(&self) -> TransferStatus {
        TransferStatus {
            id: self.id,
            source: self.source,
            target: self.target,
            range: self.range,
            epoch: self.epoch,
            stage: self.stage,
            progress: self.progress.clone(),
            begun_at_nanoseconds: self.begun_at,
            ended_at_nanoseconds: None,
            failed_attempts: self.failed_attempts,
            last_failure: self.last_failure.clone(),
            funding: self.funding.as_ref().map(Funding::status),
        }
    }
}

/// Tells how much memory a part of what a shard owns takes there, if it measures itself. Hashes are uniform, so it is as
/// much of the whole as the part is of the hashes.
fn bytes_of(part: &HashRange, info: ShardInfoResult) -> Option<u64> {
    let info = info.ok()?;
    let used = u128::from(used_stable_bytes(&info.reading?));
    let hashes = |range: &HashRange| u128::from(range.last.0.saturating_sub(range.first.0)) + 1;
    Some(u64::try_from(used * hashes(part) / hashes(&info.range)).unwrap_or(u64::MAX))
}
