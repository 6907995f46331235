//! What changed in a hash range since it was walked: the change list of a transfer, on the heap.
//!
//! An upgrade forgets it, and whoever watches then walks the range again. Keeping it in stable memory would cost every
//! put in the range a few thousand instructions to save that walk, which only an upgrade in mid-transfer needs.

use std::collections::BTreeSet;

use ic_stable_structures::Memory;

use super::api::{Cursor, Item, KeyRef, Kinds};
use super::state::Store;

/// A place in the order of entries: hash, and tag of a key or of an operation's identity.
pub type Place = (u64, u64);

/// A hash range whose changes are noted.
#[derive(Debug)]
pub(super) struct Watch {
    first: u64,
    last: u64,
    /// Up to and with this place the range was walked; what changes behind it the walk will find by itself.
    walked: Option<Place>,
    changed: BTreeSet<Place>,
}

impl<M: Memory> Store<M> {
    /// Begins to note what changes in the hashes from `first` to `last` at places that were walked; so far, none was.
    pub fn watch(&mut self, first: u64, last: u64) {
        self.watch = Some(Watch { first, last, walked: None, changed: BTreeSet::new() });
    }

    /// Ends noting changes and forgets those that were.
    pub fn unwatch(&mut self) {
        self.watch = None;
    }

    /// Says that everything up to the cursor was walked; all of the range when there is none.
    pub fn set_walked(&mut self, cursor: Option<&Cursor>) {
        if let Some(watch) = &mut self.watch {
            watch.walked = Some(cursor.map_or((u64::MAX, u64::MAX), |cursor| (cursor.hash, cursor.tag)));
        }
    }

    /// Counts the places that changed.
    pub fn changes(&self) -> usize {
        self.watch.as_ref().map_or(0, |watch| watch.changed.len())
    }

    /// Shows the places that changed, in order.
    pub fn changed_places(&self) -> impl Iterator<Item = Place> {
        self.watch.iter().flat_map(|watch| watch.changed.iter().copied())
    }

    /// Forgets that a place changed, because its present state is being sent.
    pub fn forget_change(&mut self, place: Place) {
        if let Some(watch) = &mut self.watch {
            watch.changed.remove(&place);
        }
    }

    /// Notes changed places again, because they were not received.
    pub fn restore_changes(&mut self, places: &[Place]) {
        if let Some(watch) = &mut self.watch {
            watch.changed.extend(places);
        }
    }

    /// Notes that an entry changed.
    #[inline]
    pub(super) fn note_change(&mut self, place: Place) {
        if let Some(watch) = &mut self.watch
            && (watch.first..=watch.last).contains(&place.0)
            && watch.walked.is_some_and(|walked| place <= walked)
        {
            watch.changed.insert(place);
        }
    }

    /// Visits all that the index has at a place: records, expired ones and tombstones included, and live receipts.
    ///
    /// There is more than one record only by the luck of 2^-128, or for those who know the tags' secret.
    pub fn visit(&mut self, place: Place, visit: &mut dyn FnMut(Item)) {
        let mut group = Vec::new();
        let mut next = Some(self.index.find(&self.pages, place)).filter(|first| first.entry_with(place).is_some());
        // As many turns as entries share the place.
        while let Some(position) = next {
            group.extend(position.entry());
            next = self.index.next_equal(&self.pages, &position);
        }
        for (space, bytes, slot, header) in self.records_of(&group, Kinds::All) {
            let mut value = Vec::new();
            self.read_value(slot, &header, &mut value);
            visit(Item::Record {
                key: KeyRef { hash: place.0, tag: place.1, space, bytes: &bytes },
                found: header.found(),
                value: &value,
                receipt: header.receipt().filter(|receipt| self.keeps(receipt)),
            });
        }
        for stored in self.live_receipts_of(&group) {
            visit(Item::Receipt { hash: stored.hash, key_tag: stored.key_tag, receipt: stored.receipt });
        }
    }
}
