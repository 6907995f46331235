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
use canopy_types::shard::Moved;
use canopy_types::transfer::{
    MergeShardArguments, MoveError, SplitShardArguments, TransferEnd, TransferStage, TransferStatus,
};
use canopy_types::{Epoch, HashRange, ShardIndex, TagSecret, TransferId};
use serde::Deserialize;

use crate::funding::{Purse, Spending};
use crate::journal::{Answer, ShardEntry};
use crate::management;

mod funding;
mod running;

use funding::Paid;
pub use funding::Payment;
use running::{Next, Pending, Running};

#[cfg(test)]
mod tests;

/// Transfers that are over and still shown.
const ENDED_MAX: usize = 16;

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
        self.running.push(Running::new(id, (source, target), range, epoch, now));
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
