//! The stored machine of transfers: who owns which range, and what this shard has promised about it.
//!
//! ```text
//! source   Idle -begin-> Sending -hand_over-> HandingOver -ask-> Asking
//!                           |                     |                |
//!                           +-----cancel----------+-- Cancelled ---+--> Idle
//!                                                 +-- Done --------+--> Idle, clearing
//! target   Idle -begin-> Receiving -own-> Idle
//!                           +-----cancel---> Idle, clearing
//! ```
//!
//! INVARIANT: once the hand-over may have been sent, the source leaves that state on the target's word only, or on an
//! administrator's that the target is lost for ever.
//! INVARIANT: the target says the same about a transfer whenever it is asked: once it has said `Cancelled`, that transfer
//! never makes it an owner, and once it owns, it never says anything but `Done`.

use candid::{CandidType, Principal};
use canopy_types::shard::Moved;
use canopy_types::transfer::{BeginTransferArguments, TransferEnd, TransferError, TransferPhase, TransferSide};
use canopy_types::{Epoch, HashRange, KeyHash, TransferId};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::store::Place;

#[cfg(test)]
mod tests;

/// Transfers whose end is remembered. What a shard says about an older one is that it doesn't know.
pub const ENDED_MAX: usize = 64;

/// Ranges handed to others that callers are told about; of older ones they hear only that the shard is wrong.
pub const MOVED_MAX: usize = 64;

/// What callers are told to wait while a shard clears up.
const CLEARING_RETRY_MILLISECONDS: u64 = 2_000;

/// Bytes of a place.
const PLACE_BYTES: usize = 16;

/// What a shard owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub range: HashRange,
    pub epoch: Epoch,
}

/// How far the transfer is that the shard takes part in.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Target: nothing is owned yet.
    Receiving,
    /// Source: the range is served.
    Sending,
    /// Source: the range is closed. `rest` are the places that the hand-over brings, 16 bytes each.
    HandingOver { rest: ByteBuf },
    /// Source: the range is closed, and the target decides.
    Asking,
}

/// The transfer that the shard takes part in.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Current {
    pub id: TransferId,
    pub peer: Principal,
    pub range: HashRange,
    pub epoch: Epoch,
    pub stage: Stage,
    /// Source: shard time when the range was closed, in nanoseconds. Null before, and in what older versions stored.
    pub closed_at: Option<u64>,
}

/// A range that was handed to another shard.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct MovedTo {
    range: HashRange,
    epoch: Epoch,
    owner: Principal,
}

#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct EndedTransfer {
    id: TransferId,
    end: TransferEnd,
    /// Null if the shard never took part.
    peer: Option<Principal>,
}

/// The machine. Stored whole, as Candid; new fields are optional.
#[derive(CandidType, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    current: Option<Current>,
    /// What lies in the store and is not the shard's: given away, or taken in for nothing. No other transfer begins
    /// before it is gone, because it would bring back what was deleted meanwhile.
    clearing: Option<HashRange>,
    /// Oldest first.
    moved: Vec<MovedTo>,
    /// Oldest first.
    ended: Vec<EndedTransfer>,
    /// The greatest epoch of any transfer that was heard of.
    epoch_seen: u64,
}

impl Transfers {
    /// Makes the shard one end of a transfer, unless `cycles_short` says why it can't pay for it.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn begin(
        &mut self,
        ownership: &Ownership,
        arguments: &BeginTransferArguments,
        cycles_short: Option<TransferError>,
    ) -> Result<(), TransferError> {
        let BeginTransferArguments { id, side, peer, range, epoch, bytes: _ } = arguments.clone();
        if let Some(end) = self.end_of(id) {
            return Err(TransferError::Ended(end));
        }
        if let Some(current) = &self.current {
            return if current.id == id { Ok(()) } else { Err(TransferError::InTransfer { id: current.id }) };
        }
        if self.clearing.is_some() {
            return Err(TransferError::Clearing { retry_after_milliseconds: CLEARING_RETRY_MILLISECONDS });
        }
        let seen = self.epoch_seen.max(ownership.epoch.0);
        if epoch.0 <= seen {
            return Err(TransferError::EpochTooLow { epoch, epoch_min: Epoch(seen.saturating_add(1)) });
        }
        let stage = match side {
            TransferSide::Source => {
                ownership.range.without(&range).ok_or(TransferError::RangeNotOwned { owned: ownership.range })?;
                Stage::Sending
            }
            TransferSide::Target => {
                ownership.range.with(&range).ok_or(TransferError::RangeNotAdjacent { owned: ownership.range })?;
                Stage::Receiving
            }
        };
        if let Some(short) = cycles_short {
            return Err(short);
        }
        self.epoch_seen = epoch.0;
        self.current = Some(Current { id, peer, range, epoch, stage, closed_at: None });
        Ok(())
    }

    /// Ends a transfer that is not done, as the router or the source asks. What a shard never heard of it will never
    /// take part in: its epoch is used up.
    ///
    /// # Errors
    ///
    /// `UnknownTransfer`: how it ended is forgotten.
    pub fn cancel(&mut self, id: TransferId, epoch: Epoch) -> Result<TransferPhase, TransferError> {
        if let Some(current) = self.current.as_mut().filter(|current| current.id == id) {
            match current.stage {
                Stage::Receiving => {
                    self.clearing = Some(current.range);
                    self.end(TransferEnd::Cancelled);
                }
                Stage::Sending => self.end(TransferEnd::Cancelled),
                // The hand-over may have been sent.
                Stage::HandingOver { .. } | Stage::Asking => {
                    current.stage = Stage::Asking;
                    return Ok(TransferPhase::Asking);
                }
            }
        } else if self.end_of(id).is_none() {
            if epoch.0 <= self.epoch_seen {
                return Err(TransferError::UnknownTransfer);
            }
            self.epoch_seen = epoch.0;
            self.remember(id, TransferEnd::Cancelled, None);
        }
        let end = self.end_of(id).expect("INVARIANT: the end was remembered above or before");
        Ok(TransferPhase::Ended(end))
    }

    /// Checks that `caller` may bring something for a transfer, and tells the range.
    ///
    /// # Errors
    ///
    /// `Unauthorised`, `Ended`, `UnknownTransfer`.
    pub fn check_sender(&self, id: TransferId, caller: Principal) -> Result<HashRange, TransferError> {
        if let Some(end) = self.end_of(id) {
            let may_know = self.was_peer(id, caller);
            return Err(if may_know { TransferError::Ended(end) } else { TransferError::Unauthorised { caller } });
        }
        match &self.current {
            Some(current) if current.id == id && current.stage == Stage::Receiving => {
                if current.peer == caller {
                    Ok(current.range)
                } else {
                    Err(TransferError::Unauthorised { caller })
                }
            }
            _ => Err(TransferError::UnknownTransfer),
        }
    }

    /// Makes the target the owner, after all was taken in.
    pub fn own(&mut self, ownership: &mut Ownership) {
        let current = self.current.as_ref().expect("INVARIANT: check_sender found the transfer in this message");
        let (range, epoch) = (current.range, current.epoch);
        let joined = ownership.range.with(&range);
        ownership.range = joined.expect("INVARIANT: a target doesn't change its range during a transfer");
        ownership.epoch = epoch;
        self.moved.retain(|moved| !moved.range.overlaps(&range));
        self.end(TransferEnd::Done);
    }

    /// Closes the range, at `now` of shard time, before the target is told to own it. `rest` is what it has still to get.
    pub fn hand_over(&mut self, rest: &[Place], now: u64) {
        let current = self.current.as_mut().expect("INVARIANT: only a source hands over");
        assert_eq!(current.stage, Stage::Sending, "INVARIANT: a range is handed over once");
        let bytes: Vec<u8> =
            rest.iter().flat_map(|(hash, tag)| [hash.to_le_bytes(), tag.to_le_bytes()]).flatten().collect();
        current.stage = Stage::HandingOver { rest: ByteBuf::from(bytes) };
        current.closed_at = Some(now);
    }

    /// Opens the range again without the target's word, because an administrator says that the target is lost for ever.
    pub fn abandon(&mut self) {
        assert!(self.closed().is_some(), "INVARIANT: only a range that is closed is given up on");
        self.end(TransferEnd::Cancelled);
    }

    /// Tells the greatest epoch of any transfer that was heard of.
    pub fn epoch_seen(&self) -> u64 {
        self.epoch_seen
    }

    /// Has the target decide, because handing over fails again and again.
    pub fn ask(&mut self) {
        if let Some(current) = &mut self.current
            && matches!(current.stage, Stage::HandingOver { .. })
        {
            current.stage = Stage::Asking;
        }
    }

    /// Takes the target's word on the transfer under way; does nothing on a target.
    pub fn learn(&mut self, end: TransferEnd, ownership: &mut Ownership) {
        let Some(current) = self.current.as_ref().filter(|current| current.stage != Stage::Receiving) else { return };
        if end == TransferEnd::Done {
            let (range, epoch, owner) = (current.range, current.epoch, current.peer);
            let left = ownership.range.without(&range);
            ownership.range = left.expect("INVARIANT: a source doesn't change its range during a transfer");
            ownership.epoch = epoch;
            self.moved.retain(|moved| !range.covers(&moved.range));
            if self.moved.len() == MOVED_MAX {
                self.moved.remove(0);
            }
            self.moved.push(MovedTo { range, epoch, owner });
            self.clearing = Some(range);
        }
        self.end(end);
    }

    /// Notes that nothing is left of what is not the shard's.
    pub fn cleared(&mut self) {
        self.clearing = None;
    }

    /// Shows the transfer under way.
    pub fn current(&self) -> Option<&Current> {
        self.current.as_ref()
    }

    /// Tells the range whose records are to be freed.
    pub fn clearing(&self) -> Option<HashRange> {
        self.clearing
    }

    /// Tells how a transfer ended, if it did and is remembered.
    pub fn end_of(&self, id: TransferId) -> Option<TransferEnd> {
        self.ended.iter().rev().find(|ended| ended.id == id).map(|ended| ended.end)
    }

    /// Tells the range that is closed to reads and writes, if any.
    pub fn closed(&self) -> Option<HashRange> {
        self.current.as_ref().filter(|current| current.is_closed()).map(|current| current.range)
    }

    /// Tells whether `caller` was the other end of a transfer that is over.
    pub fn was_peer(&self, id: TransferId, caller: Principal) -> bool {
        self.ended.iter().any(|ended| ended.id == id && ended.peer == Some(caller))
    }

    /// Tells to whom the shard has handed a hash, and what else with it.
    pub fn owner_of(&self, hash: KeyHash) -> Option<(Principal, Moved)> {
        let moved = self.moved.iter().rev().find(|moved| moved.range.contains(hash))?;
        Some((moved.owner, Moved { range: moved.range, epoch: moved.epoch }))
    }

    fn end(&mut self, end: TransferEnd) {
        let current = self.current.take().expect("INVARIANT: only a transfer under way ends");
        self.remember(current.id, end, Some(current.peer));
    }

    fn remember(&mut self, id: TransferId, end: TransferEnd, peer: Option<Principal>) {
        if self.ended.len() == ENDED_MAX {
            self.ended.remove(0);
        }
        self.ended.push(EndedTransfer { id, end, peer });
    }
}

impl Current {
    /// Tells whether the shard is the one that gives the range away.
    pub fn is_source(&self) -> bool {
        self.stage != Stage::Receiving
    }

    /// Tells whether a hash is closed to reads and writes.
    pub fn closes(&self, hash: KeyHash) -> bool {
        self.is_closed() && self.range.contains(hash)
    }

    /// Tells whether the range is closed to reads and writes.
    fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::HandingOver { .. } | Stage::Asking)
    }

    /// Tells the places that the hand-over brings.
    pub fn rest(&self) -> Vec<Place> {
        let Stage::HandingOver { rest } = &self.stage else { return Vec::new() };
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("half a place has eight bytes"));
        rest.chunks_exact(PLACE_BYTES).map(|place| (number(&place[..8]), number(&place[8..]))).collect()
    }
}
