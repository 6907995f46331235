//! Keys and operations, computed from a number.

use canopy_shard::store::{KeyRef, Operation};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Shard time at the beginning, in nanoseconds since 1970: a whole number of minutes.
pub const NOON: u64 = 1_780_000_020_000_000_000;

/// The hash of all keys whose hashes are equal.
const EQUAL_HASH: u64 = 1 << 40;

/// One step of splitmix64 (Steele, Lea and Flood, 2014).
pub fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// What a step needs, made beforehand so that only the store is measured.
pub struct Prepared {
    pub key: [u8; KEY_BYTES],
    hash: u64,
    tag: u64,
    pub operation: Operation,
    /// A number of the step's own.
    pub chance: u64,
    /// Bytes of the value to put.
    pub value_bytes: usize,
}

impl Prepared {
    /// Prepares a step on the record of this number.
    pub fn new(record: u64, step: u64, issued: u64, equal_hash: bool) -> Self {
        let mut key = [b'k'; KEY_BYTES];
        key[..8].copy_from_slice(&record.to_be_bytes());
        key[24..].copy_from_slice(&mix(record).to_le_bytes());
        let identity = u128::from(mix(step ^ 0xaaaa)) << 64 | u128::from(mix(step ^ 0xbbbb_bbbb));
        Self {
            key,
            hash: if equal_hash { EQUAL_HASH } else { mix(record) },
            tag: mix(record ^ 0x5555_5555),
            operation: Operation { identity, issued, arguments: step },
            chance: mix(step),
            value_bytes: 0,
        }
    }

    /// The key and its place.
    pub fn key(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, tag: self.tag, space: 0, bytes: &self.key }
    }
}
