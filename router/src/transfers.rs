//! The stored machine that has ranges handed from shard to shard: splits, merges, and their ends.
//!
//! ```text
//! AwaitingTarget -> Measuring -> TellingTarget -> TellingSource -> Moving -----------------> Ended(Done)
//!       |              |               |                |             |           the table names the new owners
//!       |              |               |                +-------------+-> StoppingSource -+
//!       |              |               +-----------------------------------> StoppingTarget <+
//!       +--------------+-> Ended(Cancelled) <--------------------------------------+
//! ```
//!
//! An end that can't pay for its part is sent what it lacks in between: see [`funding`].
//!
//! The router decides that a transfer begins or shall stop, and otherwise only asks how it goes: whether the range has
//! changed hands is for the shards to say. Each transfer has at most one call open. The intent is stored before the call,
//! its raw answer by the callback and by nothing else, and the next message acts on it, as in [`crate::journal`]; every
//! question may be asked again, because shards answer the same.

use std::collections::BTreeSet;

use candid::{CandidType, Principal};
use canopy_types::limits::{SHARDS_MAX, TRANSFERS_MAX, bounded_reason};
use canopy_types::shard::{Moved, ShardInfoResult};
use canopy_types::status::ShardStage;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, MergeShardArguments,
    MoveError, SplitShardArguments, TransferEnd, TransferError, TransferPhase, TransferProgress,
    TransferProgressArguments, TransferProgressResult, TransferSide, TransferStage, TransferStatus,
};
use canopy_types::{Epoch, HashRange, ShardIndex, TagSecret, TransferId, codec};
use serde::Deserialize;

use crate::funding::{Purse, Spending};
use crate::journal::{Answer, ShardEntry};
use crate::management;
use crate::readings::{number, used_stable_bytes};

mod funding;

pub use funding::Payment;
use funding::{Funding, Paid};

#[cfg(test)]
mod tests;

/// Attempts to begin a transfer, one after the other, before it is cancelled.
pub const ATTEMPTS_MAX: u32 = 10;

/// Transfers that are over and still shown.
const ENDED_MAX: usize = 16;

/// Wait between two questions how it goes: 2 s.
const POLL_NANOSECONDS: u64 = 2_000_000_000;

/// Time after which an open call is looked at without being asked: 10 minutes. It is over by then.
const WATCH_NANOSECONDS: u64 = 600_000_000_000;

/// First wait after a failure, doubled with each: 1 s.
const RETRY_FIRST_NANOSECONDS: u64 = 1_000_000_000;

/// Longest wait between attempts: 1 minute.
const RETRY_LAST_NANOSECONDS: u64 = 60_000_000_000;

/// How the platform says that a shard's code is older than transfers. Such a shard has never begun one.
const NO_METHOD_TEXT: &str = "has no update method";

/// How the platform rejects a call to a canister that doesn't exist.
const NO_CANISTER: u32 = 3;

/// A call that was sent, and its answer once there is one.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct Pending {
    call: u64,
    answer: Option<Answer>,
    /// The cycles that it brings to a shard. Null if it asks one.
    paid: Option<Paid>,
}

/// A transfer that isn't over.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct Running {
    id: TransferId,
    source: ShardIndex,
    target: ShardIndex,
    range: HashRange,
    epoch: Epoch,
    begun_at: u64,
    stage: TransferStage,
    /// Why it shall stop.
    stop: Option<String>,
    pending: Option<Pending>,
    failed_attempts: u32,
    retry_at: Option<u64>,
    last_failure: Option<String>,
    progress: Option<TransferProgress>,
    /// Bytes of memory that the range takes on the source. Null if it doesn't tell.
    bytes: Option<u64>,
    /// Null as long as no end lacks cycles.
    funding: Option<Funding>,
}

/// The machine. Stored whole with the journal, as Candid; new fields are optional.
#[derive(CandidType, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    running: Vec<Running>,
    /// Oldest first.
    ended: Vec<TransferStatus>,
    /// The epoch that was given last; each transfer gets the next, whatever becomes of it.
    last_epoch: u64,
    next_call: u64,
}

/// What the machine must know of the world.
pub struct Circumstances<'a> {
    /// Time, in nanoseconds.
    pub now: u64,
    /// Numbers of this machine's calls that are open now.
    pub open_calls: &'a BTreeSet<u64>,
    /// Cycles that the router can spend, and those that a call needs.
    pub available_cycles: u128,
    pub call_cycles: u128,
    /// Cycles that the router keeps when it sends some to shards.
    pub reserve_cycles: u128,
    /// Cycles that may be spent for growth within a day.
    pub cycles_per_day_max: u128,
}

/// A call that must be sent in this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    pub call: u64,
    pub callee: Principal,
    pub method: &'static str,
    pub arguments: Vec<u8>,
    /// Cycles that go with it, to be lost by no means.
    pub cycles: Option<u128>,
}

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub sends: Vec<Send>,
    /// The cycles that they bring to shards, by transfer.
    pub payments: Vec<(TransferId, Payment)>,
    /// When to come again (nanoseconds), if nothing else happens.
    pub wake_at: Option<u64>,
}

/// How a transfer goes on after one step.
enum Next {
    Wait,
    At(u64),
    Send(&'static str, ShardIndex, Vec<u8>),
    Pay(Payment),
    End(TransferEnd),
    /// It is cancelled, because the target's canister doesn't exist any more.
    TargetGone,
}

/// Makes a name that no other transfer has and nobody can guess.
pub fn name(tags: &TagSecret, epoch: Epoch, now: u64) -> TransferId {
    let bytes = [*b"transfer", epoch.0.to_le_bytes(), now.to_le_bytes()].concat();
    TransferId(tags.wide_hash(&bytes).to_le_bytes())
}

impl Transfers {
    /// Cuts a shard's range in two and gives the upper part to an empty shard, which is added if there is none.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn split(
        &mut self,
        shards: &mut Vec<ShardEntry>,
        arguments: &SplitShardArguments,
        now: u64,
        name: impl FnOnce(Epoch) -> TransferId,
    ) -> Result<TransferId, MoveError> {
        let source = arguments.shard;
        let range = self.check_free(shards, source)?;
        let boundary = match arguments.at {
            Some(at) => at,
            None => range.part(1, 2).ok_or(MoveError::BoundaryOutOfRange { range })?.first,
        };
        let (_, upper) = range.split_at(boundary).ok_or(MoveError::BoundaryOutOfRange { range })?;
        self.check_room()?;
        let spare = |entry: &&ShardEntry| entry.is_spare() && self.transfer_of(entry.index).is_none();
        // One that serves already comes before one that is being made.
        let spare = shards.iter().filter(spare).max_by_key(|entry| (entry.stage, std::cmp::Reverse(entry.index)));
        let target = match spare.map(|entry| entry.index) {
            Some(index) => index,
            None if shards.len() >= SHARDS_MAX as usize => {
                return Err(MoveError::TooManyShards { shards_max: SHARDS_MAX });
            }
            None => {
                let index = ShardIndex(shards.len() as u32);
                shards.push(ShardEntry::spare(index));
                index
            }
        };
        Ok(self.add(shards, source, target, upper, now, name))
    }

    /// Gives all that a shard owns to a neighbour.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn merge(
        &mut self,
        shards: &[ShardEntry],
        arguments: &MergeShardArguments,
        now: u64,
        name: impl FnOnce(Epoch) -> TransferId,
    ) -> Result<TransferId, MoveError> {
        let range = self.check_free(shards, arguments.shard)?;
        let into = self.check_free(shards, arguments.into)?;
        if !into.is_adjacent(&range) {
            return Err(MoveError::NotNeighbours { range, into });
        }
        self.check_room()?;
        Ok(self.add(shards, arguments.shard, arguments.into, range, now, name))
    }

    /// Tells the epoch that was given last.
    pub fn last_epoch(&self) -> Epoch {
        Epoch(self.last_epoch)
    }

    /// Goes on after the epochs that another router gave.
    pub fn go_on_after(&mut self, epoch: Epoch) {
        self.last_epoch = self.last_epoch.max(epoch.0);
    }

    /// Notes that a transfer shall stop, if it isn't done before.
    ///
    /// # Errors
    ///
    /// `NoSuchTransfer`.
    pub fn stop(&mut self, id: TransferId, reason: &str) -> Result<(), MoveError> {
        let running = self.running.iter_mut().find(|running| running.id == id).ok_or(MoveError::NoSuchTransfer)?;
        running.stop.get_or_insert_with(|| bounded_reason(reason));
        running.retry_at = None;
        Ok(())
    }

    /// Tells whether a source's word about what it handed to whom is news: it has the target's word for it.
    pub fn awaits_move(&self, shards: &[ShardEntry], from: Principal, to: Principal, moved: &Moved) -> bool {
        let canister = |shard: ShardIndex| shards[shard.0 as usize].canister;
        self.of_move(moved)
            .is_some_and(|running| (canister(running.source), canister(running.target)) == (Some(from), Some(to)))
    }

    /// Ends the transfer that its source says to be done, at `now` (nanoseconds).
    pub fn hear_of_move(&mut self, shards: &mut [ShardEntry], moved: &Moved, now: u64) {
        if let Some(id) = self.of_move(moved).map(|running| running.id) {
            self.end(id, TransferEnd::Done, shards, now);
        }
    }

    fn of_move(&self, moved: &Moved) -> Option<&Running> {
        self.running.iter().find(|running| running.epoch == moved.epoch && running.range == moved.range)
    }

    /// Does what one message may do for each transfer, and counts what that spends.
    pub fn advance(
        &mut self,
        shards: &mut [ShardEntry],
        spending: &mut Spending,
        circumstances: &Circumstances,
    ) -> Work {
        let mut work = Work::default();
        let (mut over, mut gone) = (Vec::new(), Vec::new());
        let mut purse = Purse {
            spending,
            available: circumstances.available_cycles,
            kept: circumstances.reserve_cycles + circumstances.call_cycles,
            cycles_per_day_max: circumstances.cycles_per_day_max,
            now: circumstances.now,
        };
        let canister =
            |shard: ShardIndex| shards[shard.0 as usize].canister.expect("INVARIANT: only shards that serve are told");
        for running in &mut self.running {
            let call = self.next_call;
            let (send, paid) = match running.step(shards, circumstances, &mut purse) {
                Next::Wait => continue,
                Next::At(at) => {
                    work.wake_at = work.wake_at.into_iter().chain([at]).min();
                    continue;
                }
                Next::End(end) => {
                    over.push((running.id, end));
                    work.wake_at = Some(circumstances.now);
                    continue;
                }
                Next::TargetGone => {
                    over.push((running.id, TransferEnd::Cancelled));
                    gone.push(running.target);
                    work.wake_at = Some(circumstances.now);
                    continue;
                }
                Next::Send(method, shard, arguments) => {
                    (Send { call, callee: canister(shard), method, arguments, cycles: None }, None)
                }
                Next::Pay(payment) => {
                    let arguments = management::deposit_cycles(canister(payment.shard));
                    let (callee, cycles) = (Principal::management_canister(), Some(payment.cycles));
                    let paid = Paid::new(&payment, circumstances.now);
                    work.payments.push((running.id, payment));
                    (Send { call, callee, method: "deposit_cycles", arguments, cycles }, Some(paid))
                }
            };
            self.next_call += 1;
            purse.available = purse.available.saturating_sub(circumstances.call_cycles);
            running.pending = Some(Pending { call, answer: None, paid });
            work.sends.push(send);
        }
        for (id, end) in over {
            self.end(id, end, shards, circumstances.now);
        }
        for target in gone {
            // Nothing is lost with a spare, and the next split needs one that exists.
            let entry = &mut shards[target.0 as usize];
            if entry.range == HashRange::EMPTY {
                (entry.left, entry.emptied) = (Some(true), None);
            }
        }
        work
    }

    /// Stores how a call ended. An answer to a call that nothing waits for is dropped.
    pub fn record_answer(&mut self, call: u64, answer: Answer) {
        let pending = self.running.iter_mut().filter_map(|running| running.pending.as_mut());
        if let Some(pending) = pending.into_iter().find(|pending| pending.call == call) {
            pending.answer = Some(answer);
        }
    }

    /// Reports every transfer, those that are over first.
    pub fn status(&self) -> Vec<TransferStatus> {
        self.ended.iter().cloned().chain(self.running.iter().map(Running::status)).collect()
    }

    /// Finds the transfer that a shard takes part in.
    pub fn transfer_of(&self, shard: ShardIndex) -> Option<TransferId> {
        let of = |running: &&Running| running.source == shard || running.target == shard;
        self.running.iter().find(of).map(|running| running.id)
    }

    /// Checks that a shard owns something and takes part in no transfer, and tells what it owns.
    fn check_free(&self, shards: &[ShardEntry], shard: ShardIndex) -> Result<HashRange, MoveError> {
        let entry = shards.get(shard.0 as usize).ok_or(MoveError::NoSuchShard { shard })?;
        if let Some(id) = self.transfer_of(shard) {
            return Err(MoveError::InTransfer { shard, id });
        }
        if entry.range == HashRange::EMPTY { Err(MoveError::ShardIsEmpty { shard }) } else { Ok(entry.range) }
    }

    fn check_room(&self) -> Result<(), MoveError> {
        if self.running.len() < TRANSFERS_MAX as usize {
            Ok(())
        } else {
            Err(MoveError::TooManyTransfers { transfers_max: TRANSFERS_MAX })
        }
    }

    fn add(
        &mut self,
        shards: &[ShardEntry],
        source: ShardIndex,
        target: ShardIndex,
        range: HashRange,
        now: u64,
        name: impl FnOnce(Epoch) -> TransferId,
    ) -> TransferId {
        let owned = shards.iter().map(|entry| entry.epoch.0).max().unwrap_or(0);
        self.last_epoch = self.last_epoch.max(owned) + 1;
        let epoch = Epoch(self.last_epoch);
        let id = name(epoch);
        self.running.push(Running {
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
        });
        id
    }

    fn end(&mut self, id: TransferId, end: TransferEnd, shards: &mut [ShardEntry], now: u64) {
        let Some(at) = self.running.iter().position(|running| running.id == id) else { return };
        let running = self.running.remove(at);
        let Running { source, target, range, epoch, .. } = running;
        if end == TransferEnd::Done {
            let source = &mut shards[source.0 as usize];
            source.range = source.range.without(&range).expect("INVARIANT: a shard is in one transfer at a time");
            source.epoch = epoch;
            if source.range == HashRange::EMPTY {
                source.emptied.get_or_insert_default().at = now;
            }
            let target = &mut shards[target.0 as usize];
            target.range = target.range.with(&range).expect("INVARIANT: a shard is in one transfer at a time");
            target.epoch = epoch;
            target.emptied = None;
        } else {
            // It keeps what it was to give away.
            shards[source.0 as usize].emptied = None;
        }
        if self.ended.len() == ENDED_MAX {
            self.ended.remove(0);
        }
        let mut status = running.status();
        status.stage = TransferStage::Ended(end);
        status.ended_at_nanoseconds = Some(now);
        status.last_failure = running.stop.filter(|_| end == TransferEnd::Cancelled).or(status.last_failure);
        self.ended.push(status);
    }
}

impl Running {
    fn step(&mut self, shards: &[ShardEntry], circumstances: &Circumstances, purse: &mut Purse) -> Next {
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
        if code == NO_CANISTER && matches!(self.stage, TransferStage::TellingTarget | TransferStage::StoppingTarget) {
            // The source hasn't begun the transfer, or has ended it, and a canister that is deleted never comes back.
            self.last_failure = Some(bounded_reason(&reason));
            return Next::TargetGone;
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

    fn fail(&mut self, reason: &str, now: u64) -> Next {
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

    fn continue_with(&mut self, stage: TransferStage, now: u64) -> Next {
        self.go_to(stage);
        Next::At(now)
    }

    fn go_to(&mut self, stage: TransferStage) {
        self.stage = stage;
        self.forget_failures();
    }

    fn forget_failures(&mut self) {
        self.failed_attempts = 0;
        self.retry_at = None;
        self.last_failure = None;
    }

    fn status(&self) -> TransferStatus {
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
