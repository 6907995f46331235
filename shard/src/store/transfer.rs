//! What transfers need: importing what is newer, freeing a range, dropping tombstones.

use ic_stable_structures::Memory;

use super::api::{Budget, Cursor, Import, Imported, KeyRef, Kind, Progress, Receipt, WalkEnd, WriteError};
use super::layout::{ISSUED_AHEAD_MILLISECONDS, RECORD_HEADER_BYTES, milliseconds_up};
use super::record::{Pointer, RecordHeader};
use super::slabs::Slot;
use super::state::Store;
use super::tree::{Entry, TreeKey};
use super::write::{NewRecord, check_sizes, issued_at};

/// Entries removed from a leaf between two looks at the budget, each of which may dirty a page.
const ENTRIES_PER_STEP: usize = 16;

impl<M: Memory> Store<M> {
    /// Takes over a record or a tombstone if it is newer than what is here; so lost, repeated, late and reordered
    /// imports do no harm. Call `observe` with the sender's shard time first. May use the reserve.
    ///
    /// # Errors
    ///
    /// See `WriteError`; nothing is changed then.
    pub fn import_record(&mut self, import: &Import) -> Result<Imported, WriteError> {
        check_sizes(&import.key, import.value)?;
        let located = self.locate(&import.key);
        if located.record.as_ref().is_some_and(|record| record.header.version >= import.version) {
            return Ok(Imported::Stale);
        }
        let operation = import.receipt.filter(|receipt| self.keeps(receipt)).map(|receipt| receipt.operation);
        self.write_version(
            &located,
            &NewRecord {
                key: import.key,
                kind: import.kind,
                value: import.value,
                version: import.version,
                expires: import.expires_at.map_or(0, |at| milliseconds_up(at).max(1)),
                issued: issued_at(operation.as_ref()),
                operation,
                privileged: true,
            },
        )?;
        self.commit();
        Ok(Imported::Applied)
    }

    /// Takes over a displaced receipt, unless it is here already or its time is over. May use the reserve.
    ///
    /// # Errors
    ///
    /// See `WriteError`; nothing is changed then.
    pub fn import_receipt(&mut self, key: &KeyRef, receipt: &Receipt) -> Result<Imported, WriteError> {
        let issued = milliseconds_up(receipt.operation.issued);
        let from_future = issued > self.now() + ISSUED_AHEAD_MILLISECONDS;
        let identity = receipt.operation.identity;
        // In a record's header it waits for the newer version that displaced it at the sender.
        let is_here = |store: &mut Self| {
            store.find_displaced(key.hash, identity).is_some()
                || store.has_header_receipt((key.hash, key.tag), identity)
        };
        if from_future || !self.keeps(receipt) || is_here(self) {
            return Ok(Imported::Stale);
        }
        let located = self.locate(key);
        self.keep_receipt(key.hash, key.tag, &located, *receipt)?;
        self.commit();
        Ok(Imported::Applied)
    }

    /// Whether the receipt of an operation lies in the header of a record.
    fn has_header_receipt(&mut self, pair: TreeKey, identity: u128) -> bool {
        let memory = &self.pages.memory;
        let holds = |payload: u64| match Pointer::decode(payload) {
            Pointer::Record { slot, .. } => {
                let header = RecordHeader::read(memory, slot.address());
                header.identity == identity && header.issued != 0
            }
            _ => false,
        };
        self.index.equal_entry(&self.pages, pair, holds).is_some()
    }

    /// Frees everything of a hash range that was given away, receipts included, in steps within a budget.
    pub fn free_range(&mut self, first: u64, last: u64, budget: Budget) -> Progress {
        let meter = self.meter();
        let mut freed = 0;
        let mut entries = Vec::new();
        loop {
            let position = self.index.seek(&self.pages, (first, 0));
            entries.clear();
            if position.entry().is_some() {
                self.index.rest_of_leaf(&self.pages, &position, &mut entries);
            }
            let within = entries.iter().take(ENTRIES_PER_STEP).take_while(|entry| entry.key.0 <= last).count();
            if within == 0 || freed > 0 && !self.may_go_on(&meter, &budget) {
                self.commit();
                return Progress { freed, done: within == 0 };
            }
            self.index.remove(&mut self.pages, &position, within);
            for entry in &entries[..within] {
                self.free_entry(entry);
            }
            freed += within as u64;
        }
    }

    fn free_entry(&mut self, entry: &Entry) {
        match Pointer::decode(entry.payload) {
            Pointer::Record { slot, .. } => {
                let header = RecordHeader::read(&self.pages.memory, slot.address());
                self.free_record(entry.key, slot, &header);
            }
            // Its place in the lists is given back when its minute is swept.
            Pointer::Receipt { .. } => self.counters.receipts -= 1,
            Pointer::Ghost { .. } => {}
        }
    }

    /// Removes the tombstones that a transfer left, from a cursor on (of this method, which begins at it, not
    /// behind it), within a budget. Receipts stay.
    pub fn drop_tombstones(&mut self, after: Option<Cursor>, budget: Budget) -> WalkEnd {
        let meter = self.meter();
        let mut from = after.map_or((0, 0), |cursor| (cursor.hash, cursor.tag));
        let mut entries = Vec::new();
        let mut position = self.index.seek(&self.pages, from);
        let mut steps = 0;
        while let Some(entry) = position.entry() {
            if steps > 0 && !self.may_go_on(&meter, &budget) || !self.has_room(0, true) {
                self.commit();
                let (hash, tag) = entry.key;
                return WalkEnd::More(Cursor { hash, tag, key: Some(Default::default()) });
            }
            steps += 1;
            entries.clear();
            self.index.rest_of_leaf(&self.pages, &position, &mut entries);
            let tombstone = entries.iter().find_map(|entry| match Pointer::decode(entry.payload) {
                Pointer::Record { slot, kind: Kind::Tombstone, .. } => Some((entry.key, slot)),
                _ => None,
            });
            if let Some((key, slot)) = tombstone {
                self.retire(key, slot);
                from = key;
                position = self.index.seek(&self.pages, from);
            } else {
                match self.index.next_leaf(&self.pages, &position) {
                    Some(next) => position = next,
                    None => break,
                }
            }
        }
        self.commit();
        WalkEnd::Done
    }

    /// Removes a tombstone or an expired record, keeping its receipt if it is alive. There must be room for that.
    pub(super) fn retire(&mut self, pair: TreeKey, slot: Slot) {
        let header = RecordHeader::read(&self.pages.memory, slot.address());
        let mut bytes = Vec::new();
        let at = slot.address() + RECORD_HEADER_BYTES as u64;
        self.pages.memory.read_append(at, usize::from(header.key_bytes), &mut bytes);
        let key = KeyRef { hash: pair.0, tag: pair.1, space: header.space, bytes: &bytes };
        let located = self.locate(&key);
        let record = located.record.as_ref().expect("the record was reached through the index");
        let kept = [self.live_receipt(record), None];
        let manifest = self.manifest(Some(record));
        self.remove_record(&key, &located, record, &kept);
        self.displace(pair.0, manifest);
    }
}

/// The next greater key.
pub(super) fn successor(key: TreeKey) -> Option<TreeKey> {
    match key.1.checked_add(1) {
        Some(second) => Some((key.0, second)),
        None => key.0.checked_add(1).map(|first| (first, 0)),
    }
}
