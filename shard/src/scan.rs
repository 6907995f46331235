//! Scans: the records of a hash range, page by page.
//!
//! A page begins where its cursor says and ends with the page's room, its budget of instructions, the range that was
//! asked for, or the range that the shard owns. Behind the last of these the cursor leads on to the next shard.

use canopy_types::cursor::{CursorOf, ScanPlace};
use canopy_types::limits::{
    KEY_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES_MAX, SCAN_RECORDS_DEFAULT, SCAN_RECORDS_MAX,
    VALUE_BYTES_MAX, bounded_reason,
};
use canopy_types::shard::{ShardScanArguments, ShardScanError, WrongShard};
use canopy_types::wire::pages::{PageWriter, SCANNED_BYTES_MAX};
use canopy_types::wire::replies::RecordHead;
use canopy_types::{HashRange, KeyHash, Version};

use crate::growth::RETRY_AFTER_MILLISECONDS;
use crate::operations::CLIENT_SPACE;
use crate::state::State;
use crate::store::{Budget, Cursor, Item, Kind, Kinds, Values, Walk, WalkEnd};
use crate::transfer::turn::MOVING_RETRY_MILLISECONDS;
use crate::uploads::StoredManifest;

#[cfg(test)]
mod tests;

/// Most bytes of keys and values on a page.
const PAGE_BYTES_MAX: usize =
    MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES_MAX - SCAN_RECORDS_MAX as usize * SCANNED_BYTES_MAX;

/// Instructions that looking for the records of a page may take: a tenth of what a query has.
const PAGE_INSTRUCTIONS_MAX: u64 = 500_000_000;

/// Records of layout 1 that are carried over for one page, at most, but for those of equal hash.
const CARRIED_RECORDS_MAX: usize = 1_000;

const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX <= PAGE_BYTES_MAX, "a page has room for any record");

impl State {
    /// Answers a page and makes the reply.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn scan(&mut self, arguments: &ShardScanArguments) -> Result<Vec<u8>, ShardScanError> {
        let asked = arguments.range.unwrap_or(HashRange::FULL);
        let place = self.place_to_begin(arguments, asked)?;
        let records_max = arguments.records_max.unwrap_or(SCAN_RECORDS_DEFAULT).min(SCAN_RECORDS_MAX);
        let bytes_max = arguments.bytes_max.unwrap_or(u64::MAX).min(PAGE_BYTES_MAX as u64);
        let mut page = PageWriter::new();
        let first = place.hash().max(asked.first);
        if first > asked.last {
            return Ok(page.finish(None));
        }
        let served = self.check_served(first)?;
        let last = self.fetch_from(first)?.min(served).min(asked.last);
        let after = walked(place);
        let include_value = arguments.include_value.unwrap_or(true);
        let walk = Walk {
            first: first.0,
            last: last.0,
            after,
            receipts: false,
            tombstones: false,
            space: Some(CLIENT_SPACE),
            kinds: Kinds::All,
            prefix: arguments.prefix.as_ref().map(|prefix| prefix.to_vec()).unwrap_or_default(),
            values: if include_value { Values::Fitting } else { Values::None },
            items_max: u64::from(records_max),
        };
        let budget = Budget { instructions: PAGE_INSTRUCTIONS_MAX, bytes: bytes_max, pages: u64::MAX };
        let end = self.store.walk(&walk, &budget, &mut |item| {
            let Item::Record { key, found, value, .. } = item else { return };
            // A large value is described by its manifest, and told by its length alone.
            let large = (found.kind == Kind::Manifest).then(|| StoredManifest::decode(value).value_bytes);
            let head = RecordHead {
                version: Version(found.version),
                expires_at_nanoseconds: found.expires_at,
                value_bytes: large.unwrap_or(found.value_bytes) as usize,
                // A value that has no room is left out, and its length told.
                include_value: include_value && large.is_none() && value.len() as u64 == found.value_bytes,
            };
            page.record(key.bytes, &head, value);
        });
        let next = next_place(end, last, asked.last);
        Ok(page.finish(next.map(|place| place.write(CursorOf::Scan, &self.identity.tags)).as_deref()))
    }

    /// Checks that the shard serves a hash, and tells up to which one it does.
    fn check_served(&self, first: KeyHash) -> Result<KeyHash, ShardScanError> {
        let (range, epoch) = (self.identity.range, self.identity.epoch);
        if !range.contains(first) {
            let (owner, moved) = self.transfers.owner_of(first).unzip();
            return Err(ShardScanError::WrongShard(WrongShard { range, epoch, owner, moved }));
        }
        match self.transfers.closed() {
            Some(closed) if closed.contains(first) => {
                Err(ShardScanError::Moving { retry_after_milliseconds: MOVING_RETRY_MILLISECONDS })
            }
            _ => Ok(self.served_up_to(first)),
        }
    }

    /// Tells up to which hash the shard serves all hashes from one on that it serves.
    pub(crate) fn served_up_to(&self, first: KeyHash) -> KeyHash {
        match self.transfers.closed() {
            Some(closed) if first < closed.first => KeyHash(closed.first.0 - 1),
            _ => self.identity.range.last,
        }
    }

    fn place_to_begin(&self, arguments: &ShardScanArguments, asked: HashRange) -> Result<ScanPlace, ShardScanError> {
        if !asked.is_valid() {
            return Err(ShardScanError::RangeEmpty { first: asked.first, last: asked.last });
        }
        if arguments.records_max == Some(0) || arguments.bytes_max == Some(0) {
            return Err(ShardScanError::PageEmpty);
        }
        match &arguments.cursor {
            None => Ok(ScanPlace::Before { hash: asked.first }),
            Some(cursor) => ScanPlace::read(CursorOf::Scan, &self.identity.tags, cursor)
                .map_err(|fault| ShardScanError::InvalidCursor { reason: bounded_reason(&fault.to_string()) }),
        }
    }

    /// Makes sure that the next records of layout 1 from a hash on are in the store, and tells up to which hash they
    /// are. In a query this is forgotten again, so it doesn't hurry the carrying over.
    fn fetch_from(&mut self, first: KeyHash) -> Result<KeyHash, ShardScanError> {
        let Some(carrying_over) = &self.carrying_over else { return Ok(KeyHash(u64::MAX)) };
        carrying_over
            .fetch_from(&mut self.store, &self.identity.tags, first.0, CARRIED_RECORDS_MAX)
            .map(KeyHash)
            .map_err(|_| ShardScanError::Growing { retry_after_milliseconds: RETRY_AFTER_MILLISECONDS })
    }
}

/// Makes the store's cursor of a place where a page begins.
pub(crate) fn walked(place: ScanPlace) -> Option<Cursor> {
    match place {
        ScanPlace::Before { .. } => None,
        ScanPlace::Behind { hash, tag, key } => Some(Cursor { hash: hash.0, tag, key }),
    }
}

/// Tells where the next page begins after a walk up to `last`, which ended so; `None` at the end of all that was asked
/// for.
pub(crate) fn next_place(end: WalkEnd, last: KeyHash, asked_last: KeyHash) -> Option<ScanPlace> {
    match end {
        WalkEnd::More(Cursor { hash, tag, key }) => Some(ScanPlace::Behind { hash: KeyHash(hash), tag, key }),
        WalkEnd::Done if last == asked_last => None,
        WalkEnd::Done => Some(ScanPlace::Before { hash: KeyHash(last.0 + 1) }),
    }
}
