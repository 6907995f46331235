//! Writing one record: put and delete, with preconditions, versions and receipts.

use ic_stable_structures::Memory;

use super::api::{Answer, Delete, KeyRef, Kind, Operation, Outcome, Precondition, Put, Receipt, WriteError};
use super::layout::{
    EQUAL_ENTRIES_MAX, ISSUED_AHEAD_MILLISECONDS, KEY_BYTES_MAX, NANOSECONDS_PER_MILLISECOND, OPERATION_PAGES,
    RECEIPT_MILLISECONDS, RECEIPTS_PER_KEY_MAX, VALUE_BYTES_MAX, milliseconds_up,
};
use super::receipts::{StoredReceipt, is_live};
use super::record::{Pointer, RecordHeader, write_record};
use super::slabs::{Slot, class_for};
use super::state::{Located, LocatedRecord, Store};
use super::tree::Entry;

/// A record as it is to be written. Times in milliseconds.
pub(super) struct NewRecord<'a> {
    pub key: KeyRef<'a>,
    pub kind: Kind,
    pub value: &'a [u8],
    pub version: u64,
    pub expires: u64,
    /// When the operation was issued; 0 without one.
    pub issued: u64,
    pub operation: Option<Operation>,
    /// May use the reserve.
    pub privileged: bool,
}

impl Precondition {
    fn holds(self, current: Option<u64>) -> bool {
        match self {
            Precondition::None => true,
            Precondition::Absent => current.is_none(),
            Precondition::Present => current.is_some(),
            Precondition::Version(version) => current == Some(version),
        }
    }
}

impl<M: Memory> Store<M> {
    /// Writes a record, or refuses because its precondition fails; either is an outcome with a receipt. An operation
    /// seen before is answered from its receipt.
    ///
    /// # Errors
    ///
    /// See `WriteError`; nothing is changed then.
    pub fn put(&mut self, put: &Put) -> Result<Answer, WriteError> {
        check_sizes(&put.key, put.value)?;
        let issued = self.check_issued(put.operation.as_ref())?;
        let located = self.locate(&put.key);
        if let Some(answer) = self.replay(&put.key, &located, put.operation.as_ref())? {
            return Ok(answer);
        }
        let current = self.current_version(&located);
        if !put.precondition.holds(current) {
            let outcome = Outcome::Refused { current };
            return self.only_receipt(&put.key, &located, put.operation, outcome);
        }
        let version = self.next_version(&located);
        let manifest = self.manifest(located.record.as_ref());
        self.write_version(
            &located,
            &NewRecord {
                key: put.key,
                kind: put.kind,
                value: put.value,
                version,
                expires: put.expires_at.map_or(0, |at| milliseconds_up(at).max(1)),
                issued,
                operation: put.operation,
                privileged: false,
            },
        )?;
        self.displace(put.key.hash, manifest);
        self.commit();
        Ok(Answer { outcome: Outcome::Written { version }, replayed: false })
    }

    /// Deletes a record, or answers `Absent`, or refuses because its precondition fails; all are outcomes with a
    /// receipt. May use the reserve.
    ///
    /// # Errors
    ///
    /// See `WriteError`; nothing is changed then.
    pub fn delete(&mut self, delete: &Delete) -> Result<Answer, WriteError> {
        check_sizes(&delete.key, &[])?;
        self.check_issued(delete.operation.as_ref())?;
        let located = self.locate(&delete.key);
        if let Some(answer) = self.replay(&delete.key, &located, delete.operation.as_ref())? {
            return Ok(answer);
        }
        let current = self.current_version(&located);
        if !delete.precondition.holds(current) {
            let outcome = Outcome::Refused { current };
            return self.only_receipt(&delete.key, &located, delete.operation, outcome);
        }
        let Some(record) = located.record.as_ref().filter(|_| current.is_some()) else {
            return self.only_receipt(&delete.key, &located, delete.operation, Outcome::Absent);
        };
        let outcome = Outcome::Deleted { version: record.header.version };
        let own = delete.operation.map(|operation| Receipt { operation, outcome });
        let manifest = self.manifest(Some(record));
        if delete.keep_tombstone {
            let version = self.next_version(&located);
            // A tombstone names its own version, the receipt that of the deleted record: so it lies elsewhere.
            self.check_receipts(&located, 1 + u32::from(own.is_some()))?;
            if !self.has_room(OPERATION_PAGES, true) {
                return Err(self.short_of_space(0));
            }
            self.write_version(
                &located,
                &NewRecord {
                    key: delete.key,
                    kind: Kind::Tombstone,
                    value: &[],
                    version,
                    expires: 0,
                    issued: 0,
                    operation: None,
                    privileged: true,
                },
            )?;
            if let Some(receipt) = own {
                let located = self.locate(&delete.key);
                let kept = self.keep_receipt(delete.key.hash, delete.key.tag, &located, receipt);
                kept.expect("INVARIANT: count and room were checked before the tombstone was written");
            }
        } else {
            let kept: [Option<Receipt>; 2] = [self.live_receipt(record), own];
            self.check_receipts(&located, kept.iter().flatten().count() as u32)?;
            if !self.has_room(0, true) {
                return Err(self.short_of_space(0));
            }
            self.remove_record(&delete.key, &located, record, &kept);
        }
        self.displace(delete.key.hash, manifest);
        self.commit();
        Ok(Answer { outcome, replayed: false })
    }

    /// Refuses operations whose receipts may be gone already, or that come from the future. Answers the time of issue in
    /// milliseconds; 0 without an operation.
    fn check_issued(&self, operation: Option<&Operation>) -> Result<u64, WriteError> {
        let (issued, now) = (issued_at(operation), self.now());
        if issued == 0 {
            return Ok(0);
        }
        if !is_live(issued, now) {
            let oldest = now.saturating_sub(RECEIPT_MILLISECONDS) * NANOSECONDS_PER_MILLISECOND;
            return Err(WriteError::OperationTooOld { oldest });
        }
        let newest = now + ISSUED_AHEAD_MILLISECONDS;
        if issued > newest {
            return Err(WriteError::OperationTooNew { newest: newest * NANOSECONDS_PER_MILLISECOND });
        }
        Ok(issued)
    }

    /// Answers an operation that was executed before.
    fn replay(
        &mut self,
        key: &KeyRef,
        located: &Located,
        operation: Option<&Operation>,
    ) -> Result<Option<Answer>, WriteError> {
        let Some(operation) = operation else { return Ok(None) };
        let receipt = match &located.record {
            Some(record) if record.header.is_of(operation) => record.header.receipt(),
            _ if located.receipts > 0 => {
                self.find_displaced(key.hash, operation.identity).map(|(_, stored)| stored.receipt)
            }
            _ => None,
        };
        match receipt.filter(|receipt| self.keeps(receipt)) {
            None => Ok(None),
            Some(receipt) if receipt.operation.arguments != operation.arguments => Err(WriteError::OperationReused),
            Some(Receipt { outcome, .. }) => Ok(Some(Answer { outcome, replayed: true })),
        }
    }

    /// Whether a receipt's time isn't over; one that is may still wait for the sweep.
    pub(super) fn keeps(&self, receipt: &Receipt) -> bool {
        is_live(milliseconds_up(receipt.operation.issued), self.now())
    }

    fn current_version(&self, located: &Located) -> Option<u64> {
        located
            .record
            .as_ref()
            .filter(|record| !record.header.is_absent(self.now()))
            .map(|record| record.header.version)
    }

    pub(super) fn next_version(&self, located: &Located) -> u64 {
        // The removed version counts even where there is a record: an import may have brought back an older one.
        let last = located.record.as_ref().map_or(0, |record| record.header.version).max(self.counters.removed_version);
        self.counters.shard_time.max(last + 1)
    }

    /// The receipt of a record's last write, if it must be kept when the record changes.
    pub(super) fn live_receipt(&self, record: &LocatedRecord) -> Option<Receipt> {
        record.header.receipt().filter(|_| is_live(record.header.issued, self.now()))
    }

    fn check_receipts(&self, located: &Located, added: u32) -> Result<(), WriteError> {
        if added > 0 && located.receipts + added > RECEIPTS_PER_KEY_MAX {
            return Err(WriteError::TooManyReceipts { receipts_max: u64::from(RECEIPTS_PER_KEY_MAX) });
        }
        Ok(())
    }

    /// The error for want of space; asks `maintain` for a run of so many pages, unless it is 0.
    fn short_of_space(&mut self, pages: u64) -> WriteError {
        if pages > u64::from(self.counters.wanted_pages) {
            self.counters.wanted_pages = pages as u32;
            self.commit();
        }
        if self.counters.growth_failed { WriteError::OutOfSpace } else { WriteError::GrowthPending }
    }

    /// Keeps the receipt of an operation that changed no record.
    fn only_receipt(
        &mut self,
        key: &KeyRef,
        located: &Located,
        operation: Option<Operation>,
        outcome: Outcome,
    ) -> Result<Answer, WriteError> {
        if let Some(operation) = operation {
            self.keep_receipt(key.hash, key.tag, located, Receipt { operation, outcome })?;
            self.commit();
        }
        Ok(Answer { outcome, replayed: false })
    }

    /// Adds a displaced receipt and counts it at the key's entry.
    pub(super) fn keep_receipt(
        &mut self,
        hash: u64,
        key_tag: u64,
        located: &Located,
        receipt: Receipt,
    ) -> Result<(), WriteError> {
        self.check_receipts(located, 1)?;
        if !self.has_room(0, true) {
            return Err(self.short_of_space(0));
        }
        match (&located.record, located.ghost) {
            (Some(record), _) => {
                let payload = payload_of(record.slot, &record.header, record.receipts + 1);
                self.index.set_payload(&mut self.pages, &record.position, payload);
            }
            (None, Some((position, receipts))) => {
                let payload = Pointer::Ghost { receipts: receipts + 1 }.encode();
                self.index.set_payload(&mut self.pages, &position, payload);
            }
            (None, None) => {
                let payload = Pointer::Ghost { receipts: 1 }.encode();
                let entry = Entry { key: (hash, key_tag), payload };
                self.index.insert(&mut self.pages, &located.position, entry, false);
            }
        }
        self.add_receipt(StoredReceipt { hash, key_tag, receipt }, false);
        Ok(())
    }

    /// Adds a displaced receipt to lists and index, knowing whether another one of the key follows; who counts it is for
    /// the caller.
    fn add_receipt(&mut self, stored: StoredReceipt, another: bool) {
        let (page, index) = self.receipts.append(&mut self.pages, &stored);
        let key = (stored.hash, stored.tag());
        let position = self.index.find(&self.pages, key);
        let payload = Pointer::Receipt { page, index }.encode();
        self.index.insert(&mut self.pages, &position, Entry { key, payload }, another);
        self.counters.receipts += 1;
        self.note_change(key);
    }

    /// Writes a version of a record: in its place if it fits there, else elsewhere; displaces the last write's receipt.
    pub(super) fn write_version(&mut self, located: &Located, new: &NewRecord) -> Result<(), WriteError> {
        let displaced = located.record.as_ref().and_then(|record| self.live_receipt(record));
        let added = u32::from(displaced.is_some());
        self.check_receipts(located, added)?;
        if located.record.is_none() && located.entries >= EQUAL_ENTRIES_MAX {
            return Err(WriteError::TooManyEqualTags { entries_max: EQUAL_ENTRIES_MAX as u64 });
        }
        let header = new.header();
        let bytes = header.record_bytes();
        let class = class_for(bytes);
        let suits = |record: &&LocatedRecord| record.slot.suits(record.header.record_bytes(), bytes, class);
        let in_place = located.record.as_ref().filter(suits);
        let needed = if in_place.is_some() { 0 } else { self.slabs.pages_needed(bytes, class) };
        if !self.has_room(needed, new.privileged) {
            return Err(self.short_of_space(0));
        }
        let slot = match in_place {
            Some(record) => record.slot,
            None => match self.slabs.take(&mut self.pages, bytes, class) {
                Some(slot) => slot,
                None => return Err(self.short_of_space(needed)),
            },
        };
        write_record(&self.pages.memory, slot.address(), &header, new.key.bytes, new.value);
        let key = (new.key.hash, new.key.tag);
        match (&located.record, located.ghost) {
            (Some(record), _) => {
                let payload = payload_of(slot, &header, record.receipts + added);
                if payload != payload_of(record.slot, &record.header, record.receipts) {
                    self.index.set_payload(&mut self.pages, &record.position, payload);
                }
                self.count_record(&record.header, -1);
            }
            (None, Some((position, receipts))) => {
                self.index.set_payload(&mut self.pages, &position, payload_of(slot, &header, receipts));
            }
            (None, None) => {
                let entry = Entry { key, payload: payload_of(slot, &header, 0) };
                self.index.insert(&mut self.pages, &located.position, entry, false);
            }
        }
        self.count_record(&header, 1);
        self.note_change(key);
        if let Some(receipt) = displaced {
            self.add_receipt(StoredReceipt { hash: key.0, key_tag: key.1, receipt }, false);
        }
        if let Some(old) = &located.record
            && in_place.is_none()
        {
            self.slabs.give_back(&mut self.pages, old.slot, old.header.record_bytes());
        }
        let old_expires = located.record.as_ref().map_or(0, |record| record.header.expires);
        if old_expires != header.expires {
            self.forget_expiry(key, old_expires);
            self.note_expiry(key, header.expires);
        }
        Ok(())
    }

    /// Removes a record and keeps receipts of its key: up to two. Space must have been made sure of.
    pub(super) fn remove_record(
        &mut self,
        key: &KeyRef,
        located: &Located,
        record: &LocatedRecord,
        kept: &[Option<Receipt>],
    ) {
        let receipts = record.receipts + kept.iter().flatten().count() as u32;
        match located.ghost {
            _ if receipts == 0 => self.index.remove(&mut self.pages, &record.position, 1),
            None => {
                let payload = Pointer::Ghost { receipts }.encode();
                self.index.set_payload(&mut self.pages, &record.position, payload);
            }
            Some((position, others)) => {
                let payload = Pointer::Ghost { receipts: receipts + others }.encode();
                self.index.set_payload(&mut self.pages, &position, payload);
                self.index.remove(&mut self.pages, &record.position, 1);
            }
        }
        let mut left = kept.iter().flatten().count();
        for receipt in kept.iter().flatten() {
            left -= 1;
            self.add_receipt(StoredReceipt { hash: key.hash, key_tag: key.tag, receipt: *receipt }, left > 0);
        }
        self.free_record((key.hash, key.tag), record.slot, &record.header);
    }

    /// Frees a record whose index entry is gone.
    pub(super) fn free_record(&mut self, key: (u64, u64), slot: Slot, header: &RecordHeader) {
        self.counters.removed_version = self.counters.removed_version.max(header.version);
        self.count_record(header, -1);
        self.slabs.give_back(&mut self.pages, slot, header.record_bytes());
        self.forget_expiry(key, header.expires);
    }

    /// Lists a record for the sweep of expired ones; 0: it never expires.
    pub(super) fn note_expiry(&mut self, key: (u64, u64), expires: u64) {
        if expires != 0 {
            let entry = Entry { key: (expires, key.1), payload: key.0 };
            let position = self.expiry.find(&self.pages, entry.key);
            self.expiry.insert(&mut self.pages, &position, entry, false);
        }
    }

    pub(super) fn forget_expiry(&mut self, key: (u64, u64), expires: u64) {
        if expires == 0 {
            return;
        }
        let found = self.expiry.equal_entry(&self.pages, (expires, key.1), |hash| hash == key.0);
        let position = found.expect("every record that expires has an entry in the expiry tree");
        self.expiry.remove(&mut self.pages, &position, 1);
    }
}

impl NewRecord<'_> {
    fn header(&self) -> RecordHeader {
        let operation = self.operation.as_ref();
        RecordHeader {
            kind: self.kind,
            space: self.key.space,
            key_bytes: self.key.bytes.len() as u16,
            value_bytes: self.value.len() as u32,
            version: self.version,
            expires: self.expires,
            issued: self.issued,
            arguments: operation.map_or(0, |operation| operation.arguments),
            identity: operation.map_or(0, |operation| operation.identity),
        }
    }
}

/// When an operation was issued, in milliseconds; 0 without one.
pub(super) fn issued_at(operation: Option<&Operation>) -> u64 {
    operation.map_or(0, |operation| milliseconds_up(operation.issued).max(1))
}

pub(super) fn payload_of(slot: Slot, header: &RecordHeader, receipts: u32) -> u64 {
    Pointer::Record { slot, kind: header.kind, expires: header.expires != 0, receipts }.encode()
}

/// Checks the lengths of key and value.
pub(super) fn check_sizes(key: &KeyRef, value: &[u8]) -> Result<(), WriteError> {
    if key.bytes.len() > KEY_BYTES_MAX {
        return Err(WriteError::KeyTooLong { bytes_max: KEY_BYTES_MAX as u64 });
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(WriteError::ValueTooLong { bytes_max: VALUE_BYTES_MAX as u64 });
    }
    Ok(())
}
