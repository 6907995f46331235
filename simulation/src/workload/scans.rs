//! Walks through all records, page by page.
//!
//! The driver knows the hashes of all keys. So a page tells of every key whether it is there: of those that lie between
//! its cursors and that it doesn't name, that they are not.

use canopy_types::codec::encode;
use canopy_types::cursor::{self, CursorOf};
use canopy_types::shard::ShardScanArguments;
use canopy_types::{HashRange, KeyHash, ScanArguments};
use serde_bytes::ByteBuf;

use super::Workload;
use super::requests::Request;
use crate::answers::{Impossible, Method, Page};
use crate::case::Case;
use crate::guests::GUESTS_KEYS_MAX;
use crate::history::Seen;

#[cfg(test)]
mod tests;

/// One scan in so many is of a prefix, of a range, without values, in pages of few bytes.
const PREFIX_ONE_IN: u64 = 4;
const RANGE_ONE_IN: u64 = 6;
const WITHOUT_VALUES_ONE_IN: u64 = 4;
const FEW_BYTES_ONE_IN: u64 = 4;
const FEW_BYTES_MAX: u64 = 4_000;
/// Pages after which a client has seen enough.
pub const PAGES_MAX: u32 = 40;

/// What a client walks through, and how far it has come.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub include_value: Option<bool>,
    pub range: Option<HashRange>,
    /// The number of the only key that begins so; keys begin with their number.
    pub prefix: Option<usize>,
    pub records_max: Option<u32>,
    pub bytes_max: Option<u64>,
    cursor: Option<Vec<u8>>,
    /// Hash of the last record that was answered.
    last: Option<KeyHash>,
    /// Pages that were answered.
    pub pages: u32,
}

impl Scan {
    /// Makes a walk through all records, in pages of so many at most.
    pub fn of_everything(include_value: Option<bool>, records_max: u32) -> Self {
        Self { include_value, records_max: Some(records_max), ..Self::default() }
    }

    /// Writes the arguments for the next page, for the router.
    pub fn arguments(&self, case: &Case) -> Vec<u8> {
        encode(&ScanArguments {
            cursor: self.cursor.clone().map(ByteBuf::from),
            records_max: self.records_max,
            bytes_max: self.bytes_max,
            include_value: self.include_value,
            range: self.range,
            prefix: self.prefix_bytes(case),
        })
    }

    /// Writes the arguments for the next page, for a shard.
    pub fn arguments_for_shard(&self, case: &Case) -> Vec<u8> {
        encode(&ShardScanArguments {
            cursor: self.cursor.clone().map(ByteBuf::from),
            records_max: self.records_max,
            bytes_max: self.bytes_max,
            include_value: self.include_value,
            range: self.range,
            prefix: self.prefix_bytes(case),
        })
    }

    fn prefix_bytes(&self, case: &Case) -> Option<ByteBuf> {
        self.prefix.map(|key| ByteBuf::from(vec![case.keys[key][0]]))
    }

    /// Tells at which hash the next page begins.
    pub fn next_hash(&self) -> KeyHash {
        let first = self.range.unwrap_or(HashRange::FULL).first;
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor::hash_of(CursorOf::Scan, cursor).ok());
        cursor.map_or(first, |hash| hash.max(first))
    }

    /// Tells whether the last page has no cursor.
    pub fn is_over(&self) -> bool {
        self.pages > 0 && self.cursor.is_none()
    }

    /// Takes a page, and tells what it says of which keys, whose hashes are given in their order.
    ///
    /// # Errors
    /// A page that doesn't go on where the last one ended, or holds what was not asked for.
    pub fn take(
        &mut self,
        page: Page,
        keys: &[Vec<u8>],
        hashes: &[KeyHash],
    ) -> Result<Vec<(usize, Option<Seen>)>, Impossible> {
        let impossible = |text: String| Impossible(format!("page {} of a scan {text}: {self:?}", self.pages));
        let range = self.range.unwrap_or(HashRange::FULL);
        let begin = self.next_hash();
        let end = match &page.cursor {
            None => None,
            Some(cursor) => Some(
                cursor::hash_of(CursorOf::Scan, cursor).map_err(|fault| impossible(format!("ends with {fault}")))?,
            ),
        };
        if end.is_some_and(|end| end < begin) {
            return Err(impossible(format!("goes back to {end:?}")));
        }
        if page.records.len() > self.records_max.map_or(usize::MAX, |records| records as usize) {
            return Err(impossible(format!("has {} records", page.records.len())));
        }
        let mut last = self.last;
        let mut said = Vec::new();
        for (bytes, seen) in &page.records {
            let key = keys.iter().position(|key| key == bytes);
            let key = key.ok_or_else(|| impossible(format!("holds a key that nobody put: {bytes:?}")))?;
            let hash = hashes[key];
            let fits = self.asks_for(key, hash, range) && hash >= begin && end.is_none_or(|end| hash <= end);
            if !fits || last.is_some_and(|last| hash <= last) {
                return Err(impossible(format!("holds key {key} out of place, at {hash:?}")));
            }
            if self.include_value == Some(false) && seen.value.is_some() {
                return Err(impossible(format!("holds the value of key {key}")));
            }
            last = Some(hash);
            said.push((key, Some(*seen)));
        }
        // Whether a key whose hash is the cursor's lies before or behind it isn't told.
        let is_first = self.cursor.is_none();
        for (key, hash) in hashes.iter().enumerate().filter(|(key, hash)| self.asks_for(*key, **hash, range)) {
            let walked = (*hash > begin || is_first && *hash == begin) && end.is_none_or(|end| *hash < end);
            if walked && said.iter().all(|(other, _)| *other != key) {
                said.push((key, None));
            }
        }
        self.last = last;
        self.cursor = page.cursor;
        self.pages += 1;
        Ok(said)
    }

    fn asks_for(&self, key: usize, hash: KeyHash, range: HashRange) -> bool {
        range.contains(hash) && self.prefix.is_none_or(|prefix| prefix == key)
    }
}

impl Workload {
    /// Draws what a client walks through.
    pub(super) fn draw_scan(&mut self, client: usize, case: &Case, method: Method) -> Request {
        let is_guest = case.guests.contains(&client);
        let keys = case.keys.len() as u64;
        let key = self.draw.below(if is_guest { keys.min(GUESTS_KEYS_MAX as u64) } else { keys }) as usize;
        // Who may read some keys only has to ask for those, and now and then doesn't.
        let prefix = (self.draw.below(PREFIX_ONE_IN) == 0) != is_guest;
        let (one, other) = (self.draw.bits(), self.draw.bits());
        let range = self.draw.below(RANGE_ONE_IN) == 0;
        let without_values = self.draw.below(WITHOUT_VALUES_ONE_IN) == 0;
        let (many_records, records) = (self.draw.below(2) == 0, self.draw.between(1, keys.div_ceil(2)));
        let (few_bytes, bytes) = (self.draw.below(FEW_BYTES_ONE_IN) == 0, self.draw.between(1, FEW_BYTES_MAX));
        let scan = Scan {
            include_value: without_values.then_some(false),
            range: range.then(|| HashRange { first: KeyHash(one.min(other)), last: KeyHash(one.max(other)) }),
            prefix: prefix.then_some(key),
            records_max: (!many_records).then_some(records as u32),
            bytes_max: few_bytes.then_some(bytes),
            ..Scan::default()
        };
        let method = if method == Method::GetQuery { Method::ScanQuery } else { Method::Scan };
        let arguments = scan.arguments(case);
        Request { scan: Some(scan), ..Request::new(client, method, arguments, Vec::new()) }
    }
}
