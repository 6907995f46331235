//! The keyed hash that gives every key its place.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::limits::SECRET_BYTES;

#[cfg(test)]
mod tests;

/// Place of a key in the hash space.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(transparent)]
pub struct KeyHash(pub u64);

/// The secret of one deployment's hash: whoever knows it can make keys collide, so it is told to role holders only.
#[derive(Clone, PartialEq, Eq)]
pub struct HashSecret([u8; SECRET_BYTES]);

impl HashSecret {
    /// Wraps the bytes drawn from the platform's randomness.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Takes a secret from stored or received bytes; `None` unless there are exactly [`SECRET_BYTES`].
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Shows the bytes, for storing and for handing to a shard.
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Hashes `key`: XXH3, 64 bits, with this secret.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(xxhash_rust::xxh3::xxh3_64_with_secret(key, &self.0))
    }

    /// Identifies this secret without telling it: equal secrets have equal fingerprints.
    ///
    /// The input is longer than any key may be, so a fingerprint is no key's hash.
    pub fn fingerprint(&self) -> u64 {
        self.hash(&[0x43; crate::limits::KEY_BYTES_MAX + 1]).0
    }
}

/// Keeps the secret out of logs and panics.
impl fmt::Debug for HashSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HashSecret(..)")
    }
}
