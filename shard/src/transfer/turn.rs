//! Transfers on the state: what routers and peers ask, what the timer does, what peers answer. No call is made here.

use candid::Principal;
use canopy_types::codec;
use canopy_types::limits::MESSAGE_BYTES_MAX;
use canopy_types::shard::ShardError;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, HandOverArguments,
    HandOverResult, ImportArguments, ImportResult, TransferEnd, TransferError, TransferPhase, TransferProgress,
    TransferProgressArguments, TransferProgressResult,
};
use canopy_types::{HashRange, KeyHash, TransferId};
use serde_bytes::ByteBuf;

use super::batch::{self, BatchItem, ITEM_BYTES_MAX, Reader, Writer};
use super::copying::{BATCH_BUDGET, BATCH_BYTES, Copying, FLIGHTS_MAX, HAND_OVER_ATTEMPTS_MAX, Job, Load, Segment};
use super::costs::Means;
use super::stored::{Current, Ownership, Stage};
use crate::growth::RETRY_AFTER_MILLISECONDS;
use crate::state::State;
use crate::store::{self, Budget, KeyRef, Kinds, Place, Values, Walk, WalkEnd, WriteError};

/// Cycles that sending leaves untouched, for clients: 200 G, four open calls.
pub const RESERVE_CYCLES: u128 = 200_000_000_000;

/// What callers are told to wait while a range changes hands, which takes a few rounds.
pub const MOVING_RETRY_MILLISECONDS: u64 = 1_000;

/// Room of a message for what goes with a batch.
const ENVELOPE_BYTES: usize = 4 * 1024;

const _: () = assert!(
    BATCH_BYTES + ITEM_BYTES_MAX + store::KEY_BYTES_MAX + store::VALUE_BYTES_MAX + ENVELOPE_BYTES <= MESSAGE_BYTES_MAX,
    "a batch fits one message also between subnets"
);
const _: () = assert!(
    BATCH_BYTES + BATCH_BUDGET.instructions as usize / 200 * ITEM_BYTES_MAX + ENVELOPE_BYTES <= MESSAGE_BYTES_MAX,
    "so does one of many small records"
);

/// What a caller wants of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A call to the peer that must be made in this message.
#[derive(Debug)]
pub struct Outgoing {
    pub flight: u64,
    pub peer: Principal,
    pub method: &'static str,
    pub arguments: Vec<u8>,
}

/// What the peer said.
enum Word {
    TakenIn,
    Ended(TransferEnd),
}

impl State {
    // For routers --------------------------------------------------------------------------------------------------

    /// Makes the shard one end of a transfer, if it has the means.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn begin_transfer(&mut self, arguments: &BeginTransferArguments, means: &Means) -> BeginTransferResult {
        if self.carrying_over.is_some() {
            return Err(TransferError::Clearing { retry_after_milliseconds: RETRY_AFTER_MILLISECONDS });
        }
        let short = self.transfer_cycles_short(arguments, means);
        let is_new = self.transfers.current().is_none();
        self.transfers.begin(&ownership(self), arguments, short)?;
        if is_new {
            self.store_transfers();
            self.begin_copying();
        }
        Ok(())
    }

    /// Tells how far a transfer is. `cycles` are those that the shard can spend.
    ///
    /// # Errors
    ///
    /// `UnknownTransfer`.
    pub fn transfer_progress(&self, arguments: &TransferProgressArguments, cycles: u128) -> TransferProgressResult {
        let current = self.transfers.current().filter(|current| current.id == arguments.id);
        let phase = match current.map(|current| &current.stage) {
            Some(Stage::Receiving) => TransferPhase::Receiving,
            Some(Stage::Sending) if self.copying.is_catching_up() => TransferPhase::CatchingUp,
            Some(Stage::Sending) => TransferPhase::Copying,
            Some(Stage::HandingOver { .. }) => TransferPhase::HandingOver,
            Some(Stage::Asking) => TransferPhase::Asking,
            None => TransferPhase::Ended(self.transfers.end_of(arguments.id).ok_or(TransferError::UnknownTransfer)?),
        };
        Ok(TransferProgress {
            phase,
            items: self.copying.items,
            bytes: self.copying.bytes,
            changes: self.store.changes() as u64,
            failed_attempts: self.copying.failed_attempts(),
            last_failure: self.copying.last_failure().map(str::to_string),
            cycles: current.and_then(|_| self.sender_needs(cycles)),
        })
    }

    /// Ends a transfer that is not done, for callers who may command it, and for a target's peer.
    ///
    /// # Errors
    ///
    /// `Unauthorised`, or `UnknownTransfer` when it was forgotten how the transfer ended.
    pub fn cancel_transfer(
        &mut self,
        caller: Principal,
        may_command: bool,
        arguments: &CancelTransferArguments,
    ) -> CancelTransferResult {
        let id = arguments.id;
        let current = self.transfers.current().filter(|current| current.id == id).cloned();
        let is_peer = current.as_ref().is_some_and(|current| !current.is_source() && current.peer == caller);
        if !is_peer && !self.transfers.was_peer(id, caller) && !may_command {
            return Err(TransferError::Unauthorised { caller });
        }
        let phase = self.transfers.cancel(id, arguments.epoch)?;
        self.store_transfers();
        if current.is_some() && matches!(phase, TransferPhase::Ended(_)) {
            self.end_copying();
        }
        Ok(phase)
    }

    // For peers ----------------------------------------------------------------------------------------------------

    /// Takes in a batch.
    ///
    /// # Errors
    ///
    /// Why not, or not all of it.
    pub fn import(&mut self, caller: Principal, arguments: &ImportArguments) -> ImportResult {
        let range = self.check_sender(arguments.id, caller)?;
        self.store.observe(arguments.shard_time_nanoseconds, 0);
        self.take_in(&arguments.batch, &range)
    }

    /// Takes in the rest and makes the shard the owner, or says what it said before.
    ///
    /// # Errors
    ///
    /// Why not; then the shard owns nothing more than before.
    pub fn hand_over(&mut self, caller: Principal, arguments: &HandOverArguments) -> HandOverResult {
        let range = match self.check_sender(arguments.id, caller) {
            Err(TransferError::Ended(end)) => return Ok(end),
            checked => checked?,
        };
        self.store.observe(arguments.shard_time_nanoseconds, arguments.removed_version);
        self.take_in(&arguments.batch, &range)?;
        let mut owned = ownership(self);
        self.transfers.own(&mut owned);
        set_ownership(self, owned);
        self.store_transfers();
        self.end_copying();
        Ok(TransferEnd::Done)
    }

    /// As the machine's own check, but tells strangers nothing.
    fn check_sender(&self, id: TransferId, caller: Principal) -> Result<HashRange, TransferError> {
        self.transfers.check_sender(id, caller).map_err(|error| match error {
            TransferError::UnknownTransfer if !self.identity.is_router(caller.as_slice()) => {
                TransferError::Unauthorised { caller }
            }
            error => error,
        })
    }

    fn take_in(&mut self, batch: &[u8], range: &HashRange) -> Result<(), TransferError> {
        let malformed = |reason| TransferError::MalformedBatch { reason };
        batch::check(batch, range).map_err(malformed)?;
        let mut reader = Reader::new(batch).map_err(malformed)?;
        let mut items = 0;
        while let Some(item) = reader.next().map_err(malformed)? {
            let taken = match item {
                BatchItem::Record(record) => self.store.import_record(&record),
                BatchItem::Receipt { hash, key_tag, receipt } => {
                    // Which of the keys that share hash and tag it is about doesn't matter: receipts are counted by tag.
                    let key = KeyRef { hash, tag: key_tag, space: u8::MAX, bytes: &[] };
                    self.store.import_receipt(&key, &receipt)
                }
            };
            taken.map_err(not_taken_in)?;
            items += 1;
        }
        self.copying.items += items;
        self.copying.bytes += batch.len() as u64;
        Ok(())
    }

    // For the timer ------------------------------------------------------------------------------------------------

    /// Does what a source has to do now, and gives the calls that must be made in this message. `cycles` are those that
    /// the shard can spend.
    pub fn transfer_turn(&mut self, now: u64, cycles: u128) -> Vec<Outgoing> {
        let Some(current) = self.transfers.current().filter(|current| current.is_source()).cloned() else {
            return Vec::new();
        };
        let closed = current.stage != Stage::Sending;
        let lost = self.copying.lose_overdue(closed, now);
        self.store.restore_changes(&lost);
        if self.copying.waits(now) {
            return Vec::new();
        }
        if cycles < RESERVE_CYCLES {
            let reason = format!("{cycles} cycles can be spent, and {RESERVE_CYCLES} are kept for clients");
            self.copying.fail(Load::Question, &reason, closed, now);
            return Vec::new();
        }
        let decision = match current.stage {
            Stage::Receiving => return Vec::new(),
            Stage::Sending => return self.copy(&current, now),
            _ if self.copying.is_flying() => return Vec::new(),
            Stage::HandingOver { .. } if self.copying.failed_attempts() < HAND_OVER_ATTEMPTS_MAX => {
                let rest = current.rest();
                let mut writer = Writer::default();
                rest.iter().for_each(|&place| self.store.visit(place, &mut |item| writer.add(&item)));
                self.send_hand_over(&current, writer, now)
            }
            Stage::HandingOver { .. } | Stage::Asking => {
                self.transfers.ask();
                self.store_transfers();
                let arguments = CancelTransferArguments { id: current.id, epoch: current.epoch };
                self.depart(&current, Load::Question, "cancel_transfer", codec::encode(&arguments), now)
            }
        };
        vec![decision]
    }

    /// Tells when the timer must come for the sake of a transfer.
    pub fn transfer_wake(&self, now: u64) -> Option<u64> {
        if self.transfers.clearing().is_some() {
            return Some(now);
        }
        let current = self.transfers.current().filter(|current| current.is_source())?;
        let idle = match current.stage {
            Stage::Sending => self.copying.next_job(self.store.changes(), &self.limits) == Job::Wait,
            _ => self.copying.is_flying(),
        };
        Some(self.copying.wake_at(idle, now))
    }

    /// Frees a part of what is not the shard's; tells whether anything is left.
    pub fn clear_up(&mut self, budget: Budget) -> bool {
        let Some(range) = self.transfers.clearing() else { return false };
        let progress = self.store.free_range(range.first.0, range.last.0, budget);
        if progress.done {
            self.transfers.cleared();
            self.store_transfers();
        }
        !progress.done
    }

    /// Understands what the peer answered to a call, or why there is no answer.
    pub fn peer_answered(&mut self, flight: u64, answer: Result<Vec<u8>, String>, now: u64) {
        let Some(load) = self.copying.arrive(flight) else { return };
        let Some(current) = self.transfers.current().cloned() else { return };
        match answer.and_then(|reply| read_word(&load, &reply)) {
            Ok(Word::TakenIn) => self.copying.succeed(),
            Ok(Word::Ended(end)) => {
                let mut owned = ownership(self);
                self.transfers.learn(end, &mut owned);
                set_ownership(self, owned);
                self.store_transfers();
                self.end_copying();
            }
            Err(reason) => {
                let changes = self.copying.fail(load, &reason, current.stage != Stage::Sending, now);
                self.store.restore_changes(&changes);
            }
        }
    }

    /// Makes a new plan for a range that is being sent. Called when a transfer begins, and after an upgrade.
    pub fn begin_copying(&mut self) {
        self.copying = Copying::default();
        if let Some(current) = self.transfers.current().filter(|current| current.stage == Stage::Sending) {
            self.store.watch(current.range.first.0, current.range.last.0);
        }
    }

    /// Forgets the plan of the copy, after a transfer.
    pub fn end_copying(&mut self) {
        self.copying = Copying::default();
        self.store.unwatch();
    }

    fn copy(&mut self, current: &Current, now: u64) -> Vec<Outgoing> {
        let mut calls = Vec::new();
        // Segments without items need no call, and may not go on for ever either.
        for _ in 0..FLIGHTS_MAX {
            match self.copying.next_job(self.store.changes(), &self.limits) {
                Job::Wait => break,
                Job::Walk(segment) => calls.extend(self.send_segment(current, segment, now)),
                Job::Changes => {
                    let (writer, places, _) = self.gather_changes();
                    calls.push(self.send_changes(current, writer, places, now));
                }
                Job::HandOver => {
                    let (writer, places, all) = self.gather_changes();
                    if all {
                        let closed_at = self.store.shard_time();
                        self.transfers.hand_over(&places, closed_at);
                        self.store_transfers();
                        calls.push(self.send_hand_over(current, writer, now));
                        break;
                    }
                    calls.push(self.send_changes(current, writer, places, now));
                }
            }
        }
        self.copying.count_catch_up();
        calls
    }

    fn send_segment(&mut self, current: &Current, segment: Segment, now: u64) -> Option<Outgoing> {
        let walk = Walk {
            first: current.range.first.0,
            last: current.range.last.0,
            after: segment.after.clone(),
            receipts: true,
            tombstones: true,
            space: None,
            kinds: Kinds::All,
            prefix: Vec::new(),
            values: Values::All,
            items_max: u64::MAX,
        };
        let mut writer = Writer::default();
        let reached = match self.store.walk(&walk, &self.limits.batch, &mut |item| writer.add(&item)) {
            WalkEnd::Done => None,
            WalkEnd::More(cursor) => Some(cursor),
        };
        if !self.copying.sends_again() {
            self.store.set_walked(reached.as_ref());
        }
        let sent = self.copying.sent_segment(segment, reached);
        (writer.items() > 0).then(|| self.send_batch(current, Load::Segment(sent), writer, now))
    }

    /// Writes what changed, as much as fits; tells the places, and whether these were all.
    fn gather_changes(&mut self) -> (Writer, Vec<Place>, bool) {
        let mut writer = Writer::default();
        let changes_max = self.limits.batch_changes_max;
        let changed: Vec<Place> = self.store.changed_places().take(changes_max + 1).collect();
        let mut places = Vec::new();
        for &place in changed.iter().take(changes_max) {
            if writer.bytes() as u64 >= self.limits.batch.bytes {
                break;
            }
            self.store.visit(place, &mut |item| writer.add(&item));
            places.push(place);
        }
        let all = places.len() == changed.len();
        (writer, places, all)
    }

    fn send_changes(&mut self, current: &Current, writer: Writer, places: Vec<Place>, now: u64) -> Outgoing {
        places.iter().for_each(|&place| self.store.forget_change(place));
        self.send_batch(current, Load::Changes(places), writer, now)
    }

    fn send_batch(&mut self, current: &Current, load: Load, writer: Writer, now: u64) -> Outgoing {
        let shard_time_nanoseconds = self.store.shard_time();
        self.copying.items += writer.items();
        self.copying.bytes += writer.bytes() as u64;
        let batch = ByteBuf::from(writer.finish());
        let arguments = codec::encode(&ImportArguments { id: current.id, shard_time_nanoseconds, batch });
        self.depart(current, load, "import_batch", arguments, now)
    }

    fn send_hand_over(&mut self, current: &Current, writer: Writer, now: u64) -> Outgoing {
        self.copying.items += writer.items();
        self.copying.bytes += writer.bytes() as u64;
        let arguments = codec::encode(&HandOverArguments {
            id: current.id,
            shard_time_nanoseconds: self.store.shard_time(),
            removed_version: self.store.removed_version(),
            batch: ByteBuf::from(writer.finish()),
        });
        self.depart(current, Load::HandOver, "hand_over", arguments, now)
    }

    fn depart(
        &mut self,
        current: &Current,
        load: Load,
        method: &'static str,
        arguments: Vec<u8>,
        now: u64,
    ) -> Outgoing {
        let flight = self.next_flight;
        self.next_flight += 1;
        self.copying.depart(flight, load, now);
        Outgoing { flight, peer: current.peer, method, arguments }
    }

    // For operations -----------------------------------------------------------------------------------------------

    /// Checks that a hash which the shard owns may be read or written now.
    ///
    /// # Errors
    ///
    /// `Moving`.
    pub fn check_moving(&self, hash: KeyHash, access: Access) -> Result<(), ShardError> {
        let Some(current) = self.transfers.current() else { return Ok(()) };
        let changes = self.store.changes();
        let held_back = || {
            access == Access::Write
                && current.stage == Stage::Sending
                && current.range.contains(hash)
                && self.copying.holds_back(hash, changes)
        };
        let moving = |changes| ShardError::Moving { retry_after_milliseconds: MOVING_RETRY_MILLISECONDS, changes };
        if current.closes(hash) {
            return Err(moving(None));
        }
        if held_back() { Err(moving(Some(changes as u64))) } else { Ok(()) }
    }

    /// Tells whether a deletion at `hash` must leave a tombstone, so that what was sent before doesn't come back.
    pub fn keeps_tombstone(&self, hash: u64) -> bool {
        self.carrying_over.is_some()
            || self
                .transfers
                .current()
                .is_some_and(|current| current.is_source() && current.range.contains(KeyHash(hash)))
    }

    /// Tells whether tombstones and expired records must stay: the peer may get or send older versions.
    pub fn keeps_dead_records(&self) -> bool {
        self.transfers.current().is_some()
    }

    /// Tells which transfer has calls open.
    pub fn flying(&self) -> Option<TransferId> {
        self.transfers.current().filter(|_| self.copying.is_flying()).map(|current| current.id)
    }
}

fn ownership(state: &State) -> Ownership {
    Ownership { range: state.identity.range, epoch: state.identity.epoch }
}

fn set_ownership(state: &mut State, owned: Ownership) {
    (state.identity.range, state.identity.epoch) = (owned.range, owned.epoch);
}

fn not_taken_in(error: WriteError) -> TransferError {
    match error {
        WriteError::GrowthPending => TransferError::Growing { retry_after_milliseconds: RETRY_AFTER_MILLISECONDS },
        WriteError::OutOfSpace => TransferError::OutOfSpace,
        WriteError::TooManyReceipts { receipts_max } => {
            TransferError::TooMuchPerKey { reason: format!("more than {receipts_max} receipts") }
        }
        WriteError::TooManyEqualTags { entries_max } => {
            TransferError::TooMuchPerKey { reason: format!("more than {entries_max} keys of equal hashes") }
        }
        other => TransferError::MalformedBatch { reason: format!("{other:?}") },
    }
}

/// Reads what the peer answered.
fn read_word(load: &Load, reply: &[u8]) -> Result<Word, String> {
    let unreadable = |malformed: codec::MalformedArguments| format!("unreadable answer: {}", malformed.reason);
    let refused = |error: TransferError| format!("refused: {error:?}");
    match load {
        Load::Segment(_) | Load::Changes(_) => match codec::decode::<ImportResult>(reply).map_err(unreadable)? {
            Ok(()) => Ok(Word::TakenIn),
            Err(TransferError::Ended(end)) => Ok(Word::Ended(end)),
            Err(error) => Err(refused(error)),
        },
        Load::HandOver => {
            let said = codec::decode::<HandOverResult>(reply).map_err(unreadable)?;
            said.map(Word::Ended).map_err(refused)
        }
        Load::Question => match codec::decode::<CancelTransferResult>(reply).map_err(unreadable)? {
            Ok(TransferPhase::Ended(end)) => Ok(Word::Ended(end)),
            other => Err(format!("no decision: {other:?}")),
        },
    }
}
