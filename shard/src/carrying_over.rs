//! Carrying the records of version 0.1.0 over into the store, a step per message, while the shard serves.
//!
//! The old records are only read. Those up to a stored place are in the store; any other is carried over first when its
//! key is asked for. A record in the store is never replaced by an old one, because its version is greater, and what is
//! deleted meanwhile leaves a tombstone, so that the old record doesn't come back. Nothing is swept until all is done.
//! The memory of the old records stays unused from then on: it can't be given back.

use canopy_types::TagSecret;

use crate::layout_1::{Layout1, OldRecord, place_of};
use crate::region::Region;
use crate::store::{Import, KeyRef, Kind, Store, WriteError};

#[cfg(test)]
mod tests;

/// Records of one step: about 200,000 instructions and 4 dirtied pages of 4 KiB each.
const STEP_RECORDS_MAX: usize = 2_000;

/// Bytes of keys and values of one step: 16 MiB.
const STEP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The old records, and how far they are carried over.
pub struct CarryingOver {
    old: Layout1,
    place: Vec<u8>,
    /// Records up to the place, as far as counted since the last upgrade.
    carried: u64,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    More,
    Done,
    /// The store must grow first.
    NeedsSpace,
}

impl CarryingOver {
    /// Goes on where the last step ended.
    pub fn resume(old: Layout1) -> Self {
        let place = old.place();
        Self { old, place, carried: 0 }
    }

    /// Carries over the next records.
    pub fn step(&mut self, store: &mut Store<Region>, tags: &TagSecret) -> Step {
        let (mut count, mut bytes) = (0, 0);
        let mut last = None;
        let mut end = Step::Done;
        for record in self.old.after(&self.place) {
            if count == STEP_RECORDS_MAX || bytes >= STEP_BYTES_MAX {
                end = Step::More;
                break;
            }
            if import(store, tags, &record).is_err() {
                end = Step::NeedsSpace;
                break;
            }
            count += 1;
            bytes += record.key.len() + record.value.len();
            last = Some(place_of(record.hash, &record.key));
        }
        self.carried += count as u64;
        if let Some(place) = last {
            self.old.set_place(&place);
            self.place = place;
        }
        end
    }

    /// Carries over the record of a key that is asked for, unless it was.
    ///
    /// # Errors
    ///
    /// That the store is short of space.
    pub fn fetch(&self, store: &mut Store<Region>, tags: &TagSecret, key: &KeyRef) -> Result<(), WriteError> {
        if place_of(key.hash, key.bytes) <= self.place {
            return Ok(());
        }
        match self.old.get(key.hash, key.bytes) {
            Some(record) => import(store, tags, &record),
            None => Ok(()),
        }
    }

    /// Carries over the records from a hash on, about `records_max` of them, and tells up to which hash they are all in
    /// the store. Equal hashes are never torn apart.
    ///
    /// # Errors
    ///
    /// That the store is short of space.
    pub fn fetch_from(
        &self,
        store: &mut Store<Region>,
        tags: &TagSecret,
        hash: u64,
        records_max: usize,
    ) -> Result<u64, WriteError> {
        let from = place_of(hash, &[]).max(self.place.clone());
        let mut last = None;
        for (count, record) in self.old.after(&from).enumerate() {
            if count >= records_max && last.is_some_and(|last| last < record.hash) {
                return Ok(record.hash - 1);
            }
            last = Some(record.hash);
            import(store, tags, &record)?;
        }
        Ok(u64::MAX)
    }

    /// Counts the records that are not carried over in order; some of them may be in the store already.
    pub fn remaining(&self) -> u64 {
        self.old.records().saturating_sub(self.carried)
    }
}

fn import(store: &mut Store<Region>, tags: &TagSecret, record: &OldRecord) -> Result<(), WriteError> {
    let key = KeyRef { hash: record.hash, tag: tags.hash(&record.key), space: 0, bytes: &record.key };
    let import = Import {
        key,
        kind: Kind::Value,
        value: &record.value,
        version: record.version,
        expires_at: None,
        receipt: None,
    };
    store.import_record(&import).map(|_| ())
}
