//! The records, in a B-tree of stable structures.
//!
//! A record's key is its hash (8 bytes, big-endian, so that the order is the hash order) and its key; its value is the
//! version (8 bytes, little-endian) and the value:
//!
//! ```text
//! map key    | hash 8 B | key 1..=1024 B    |
//! map value  | version 8 B | value 0..=1 MiB |
//! counters   | last version 8 B | bytes of keys and values 8 B |
//! ```

use canopy_types::{KeyHash, Version};
use ic_stable_structures::{Memory, StableBTreeMap, StableCell};

#[cfg(test)]
mod tests;

const HASH_BYTES: usize = 8;
const VERSION_BYTES: usize = 8;

/// Records with versions that grow with every change, whatever the clock does.
pub struct SimpleStore<M: Memory> {
    records: StableBTreeMap<Vec<u8>, Vec<u8>, M>,
    counters: StableCell<[u8; 16], M>,
}

/// The two numbers kept beside the records.
#[derive(Clone, Copy)]
struct Counters {
    last_version: u64,
    record_bytes: u64,
}

impl Counters {
    fn from_bytes(bytes: &[u8; 16]) -> Self {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|offset| bytes[at + offset]));
        Self { last_version: word(0), record_bytes: word(8) }
    }

    fn to_bytes(self) -> [u8; 16] {
        let words = [self.last_version.to_le_bytes(), self.record_bytes.to_le_bytes()];
        std::array::from_fn(|at| words[at / 8][at % 8])
    }
}

impl<M: Memory> SimpleStore<M> {
    /// Opens the store, or makes an empty one in empty memories.
    pub fn open(records: M, counters: M) -> Self {
        Self { records: StableBTreeMap::init(records), counters: StableCell::init(counters, [0; 16]) }
    }

    /// Reads a record.
    pub fn get(&self, hash: KeyHash, key: &[u8]) -> Option<(Version, Vec<u8>)> {
        self.records.get(&map_key(hash, key)).map(unpack)
    }

    /// Stores a record in place of what was there; `now` (nanoseconds) is the least version it gets.
    ///
    /// May take [`RESERVE_PAGES`](crate::growth::RESERVE_PAGES) of memory at most; the caller has checked.
    pub fn put(&mut self, hash: KeyHash, key: &[u8], value: &[u8], now: u64) -> Version {
        let mut counters = Counters::from_bytes(self.counters.get());
        counters.last_version = next_version(counters.last_version, now);
        let mut packed = Vec::with_capacity(VERSION_BYTES + value.len());
        packed.extend_from_slice(&counters.last_version.to_le_bytes());
        packed.extend_from_slice(value);
        let replaced = self.records.insert(map_key(hash, key), packed);
        counters.record_bytes += (key.len() + value.len()) as u64;
        counters.record_bytes -= replaced.map_or(0, |old| record_bytes(key, &old));
        self.counters.set(counters.to_bytes());
        Version(counters.last_version)
    }

    /// Removes a record and tells its version; `None` when there is none. A later put gets a higher version.
    pub fn delete(&mut self, hash: KeyHash, key: &[u8], now: u64) -> Option<Version> {
        let removed = self.records.remove(&map_key(hash, key))?;
        let mut counters = Counters::from_bytes(self.counters.get());
        counters.last_version = next_version(counters.last_version, now);
        counters.record_bytes -= record_bytes(key, &removed);
        self.counters.set(counters.to_bytes());
        Some(unpack(removed).0)
    }

    /// Counts the records.
    pub fn len(&self) -> u64 {
        self.records.len()
    }

    /// Tells the bytes of all keys and values.
    pub fn record_bytes(&self) -> u64 {
        Counters::from_bytes(self.counters.get()).record_bytes
    }

    /// Tells the highest version given.
    pub fn last_version(&self) -> Version {
        Version(Counters::from_bytes(self.counters.get()).last_version)
    }
}

fn next_version(last: u64, now: u64) -> u64 {
    now.max(last.checked_add(1).expect("versions start at the clock, and 2^64 ns end in the year 2554"))
}

fn map_key(hash: KeyHash, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HASH_BYTES + key.len());
    bytes.extend_from_slice(&hash.0.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

fn unpack(mut packed: Vec<u8>) -> (Version, Vec<u8>) {
    let value = packed.split_off(VERSION_BYTES);
    let version = packed.try_into().expect("INVARIANT: every stored value begins with 8 bytes of version");
    (Version(u64::from_le_bytes(version)), value)
}

fn record_bytes(key: &[u8], packed: &[u8]) -> u64 {
    (key.len() + packed.len() - VERSION_BYTES) as u64
}
