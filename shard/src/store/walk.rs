//! Walking a hash range in order, within a budget, from a cursor that stays valid.

use ic_stable_structures::Memory;

use super::api::{Budget, Cursor, Item, KeyRef, Kind, Kinds, Values, Walk, WalkEnd};
use super::layout::RECORD_HEADER_BYTES;
use super::receipts::StoredReceipt;
use super::record::{Pointer, RecordHeader};
use super::slabs::Slot;
use super::state::{Meter, Store};
use super::transfer::successor;
use super::tree::{Entry, TreeKey};

/// What a receipt counts for in a budget of bytes.
const RECEIPT_BUDGET_BYTES: u64 = 48;

/// A walk under way.
struct Step<'a> {
    walk: &'a Walk,
    budget: &'a Budget,
    meter: Meter,
    bytes: u64,
    visited: u64,
    value: Vec<u8>,
}

impl<M: Memory> Store<M> {
    /// Visits the records (and receipts) of a hash range in the order of (hash, tag of the key, space, key), until the
    /// range or the budget ends. At least one item is visited, so a budget that is too small still gets on.
    pub fn walk(&mut self, walk: &Walk, budget: &Budget, visit: &mut dyn FnMut(Item)) -> WalkEnd {
        let mut step = Step { walk, budget, meter: self.meter(), bytes: 0, visited: 0, value: Vec::new() };
        let from = match &walk.after {
            None => Some((walk.first, 0)),
            Some(cursor) if (cursor.hash, cursor.tag) < (walk.first, 0) => Some((walk.first, 0)),
            Some(Cursor { hash, tag, key: None }) => successor((*hash, *tag)),
            Some(Cursor { hash, tag, key: Some(_) }) => Some((*hash, *tag)),
        };
        let Some(from) = from else { return WalkEnd::Done };
        let mut position = self.index.seek(&self.pages, from);
        let mut entries = Vec::new();
        let mut group: Vec<Entry> = Vec::new();
        let mut passed = None;
        while position.entry().is_some() {
            entries.clear();
            self.index.rest_of_leaf(&self.pages, &position, &mut entries);
            for &entry in &entries {
                if entry.key.0 > walk.last {
                    return self.end_group(&mut step, &group, &mut passed, visit).unwrap_or(WalkEnd::Done);
                }
                if group.first().is_some_and(|first| first.key != entry.key) {
                    if let Some(end) = self.end_group(&mut step, &group, &mut passed, visit) {
                        return end;
                    }
                    group.clear();
                }
                group.push(entry);
            }
            match self.index.next_leaf(&self.pages, &position) {
                Some(next) => position = next,
                None => break,
            }
        }
        self.end_group(&mut step, &group, &mut passed, visit).unwrap_or(WalkEnd::Done)
    }

    /// Visits the entries of one (hash, tag). Answers the walk's end if the budget ended before or among them.
    fn end_group(
        &mut self,
        step: &mut Step,
        group: &[Entry],
        passed: &mut Option<TreeKey>,
        visit: &mut dyn FnMut(Item),
    ) -> Option<WalkEnd> {
        let pair = group.first()?.key;
        let within = step.walk.after.as_ref().filter(|after| (after.hash, after.tag) == pair);
        let within = within.and_then(|after| after.key.clone());
        let receipts: Vec<StoredReceipt> = if step.walk.receipts { self.live_receipts_of(group) } else { Vec::new() };
        if let Some((hash, tag)) = *passed
            && (!self.may_go_on(&step.meter, step.budget)
                || !step.has_bytes(receipts.len() as u64 * RECEIPT_BUDGET_BYTES))
        {
            return Some(WalkEnd::More(Cursor { hash, tag, key: None }));
        }
        // Where several records share hash and tag, the cursor names the last one visited.
        let mut visited = within.clone();
        for (space, bytes, slot, header) in self.records_of(group, step.walk.kinds) {
            let key = (space, bytes);
            if within.as_ref().is_some_and(|within| key <= *within) {
                continue;
            }
            if !self.walk_record(step, pair, &key, slot, &header, visit) {
                let (hash, tag) = if visited.is_some() { pair } else { passed.expect("the first item always fits") };
                return Some(WalkEnd::More(Cursor { hash, tag, key: visited }));
            }
            visited = Some(key);
        }
        // Receipts that share it by chance come last, and all at once.
        for stored in receipts {
            step.take_bytes(RECEIPT_BUDGET_BYTES);
            visit(Item::Receipt { hash: stored.hash, key_tag: stored.key_tag, receipt: stored.receipt });
        }
        *passed = Some(pair);
        None
    }

    pub(super) fn live_receipts_of(&self, group: &[Entry]) -> Vec<StoredReceipt> {
        let mut receipts = Vec::new();
        for entry in group {
            if let Pointer::Receipt { page, index } = Pointer::decode(entry.payload) {
                let stored = self.receipts.read(&self.pages, page, index);
                if self.keeps(&stored.receipt) {
                    receipts.push(stored);
                }
            }
        }
        receipts
    }

    /// The records of a group that are of these kinds, in the order of their keys.
    pub(super) fn records_of(&self, group: &[Entry], kinds: Kinds) -> Vec<(u8, Vec<u8>, Slot, RecordHeader)> {
        let mut records = Vec::new();
        for entry in group {
            if let Pointer::Record { slot, kind, .. } = Pointer::decode(entry.payload)
                && kinds.include(kind)
            {
                let header = RecordHeader::read(&self.pages.memory, slot.address());
                let mut bytes = Vec::new();
                let at = slot.address() + RECORD_HEADER_BYTES as u64;
                self.pages.memory.read_append(at, usize::from(header.key_bytes), &mut bytes);
                records.push((header.space, bytes, slot, header));
            }
        }
        if records.len() > 1 {
            records.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        }
        records
    }

    /// Appends the value of the record in a slot.
    pub(super) fn read_value(&self, slot: Slot, header: &RecordHeader, value: &mut Vec<u8>) {
        let at = slot.address() + (RECORD_HEADER_BYTES + usize::from(header.key_bytes)) as u64;
        if header.value_bytes > 0 {
            self.pages.memory.read_append(at, header.value_bytes as usize, value);
        }
    }

    /// Visits a record if the walk asks for it. Answers whether the budget of bytes allowed it.
    fn walk_record(
        &mut self,
        step: &mut Step,
        pair: TreeKey,
        key: &(u8, Vec<u8>),
        slot: Slot,
        header: &RecordHeader,
        visit: &mut dyn FnMut(Item),
    ) -> bool {
        let hidden = !step.walk.tombstones && (header.kind == Kind::Tombstone || header.is_absent(self.now()));
        let elsewhere = step.walk.space.is_some_and(|space| space != header.space);
        if hidden || elsewhere || !key.1.starts_with(&step.walk.prefix) {
            return true;
        }
        let with_value = match step.walk.values {
            // Short, and it says how long what it stands for is.
            _ if header.kind == Kind::Manifest => true,
            Values::All => true,
            Values::Fitting => header.payload_bytes() <= step.budget.bytes,
            Values::None => false,
        };
        let bytes = if with_value { header.payload_bytes() } else { key.1.len() as u64 };
        if step.visited > 0 && !step.has_bytes(bytes) {
            return false;
        }
        step.take_bytes(bytes);
        step.value.clear();
        if with_value {
            self.read_value(slot, header, &mut step.value);
        }
        visit(Item::Record {
            key: KeyRef { hash: pair.0, tag: pair.1, space: key.0, bytes: &key.1 },
            found: header.found(),
            value: &step.value,
            receipt: header.receipt().filter(|receipt| self.keeps(receipt)),
        });
        true
    }
}

impl Step<'_> {
    /// Tells whether one more item of so many bytes may be visited.
    fn has_bytes(&self, bytes: u64) -> bool {
        self.visited < self.walk.items_max.max(1) && self.bytes + bytes <= self.budget.bytes
    }

    fn take_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.visited += 1;
    }
}
