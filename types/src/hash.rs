//! The keyed hash that gives every key its place.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

use crate::limits::{SECRET_BYTES, TAG_SEED_BYTES};

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

/// The secret of what only shards compute: the tags that order records of equal hash, and the names of operations.
#[derive(Clone, PartialEq, Eq)]
pub struct TagSecret([u8; SECRET_BYTES]);

impl TagSecret {
    /// Stretches the seed that the router drew to a secret. Without a seed (routers of version 0.1.0 drew none) it
    /// follows from the secret of the hash, so that all shards of such a router agree too.
    pub fn derive(secret: &HashSecret, seed: Option<&[u8; TAG_SEED_BYTES]>) -> Self {
        let mut bytes = [0; SECRET_BYTES];
        let mut input = [0; TAG_SEED_BYTES + 1];
        input[1..].copy_from_slice(seed.unwrap_or(&[0; TAG_SEED_BYTES]));
        for (number, part) in (0u8..).zip(bytes.chunks_exact_mut(16)) {
            input[0] = number;
            part.copy_from_slice(&xxhash_rust::xxh3::xxh3_128_with_secret(&input, &secret.0).to_le_bytes());
        }
        Self(bytes)
    }

    /// Hashes bytes to 64 bits: XXH3 with this secret.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_secret(bytes, &self.0)
    }

    /// Hashes bytes to 128 bits: XXH3 with this secret.
    pub fn wide_hash(&self, bytes: &[u8]) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_secret(bytes, &self.0)
    }

    /// Seals a message, so that shards know again what one of them said: HMAC-SHA-256 (RFC 2104) with this secret. The
    /// hashes above order records fast, and are not made to withstand who collects many of them.
    pub fn seal(&self, message: &[&[u8]]) -> [u8; 32] {
        const BLOCK_BYTES: usize = 64;
        let mut key = [0; BLOCK_BYTES];
        key[..32].copy_from_slice(&Sha256::digest(self.0));
        let hash = |pad: u8, parts: &[&[u8]]| {
            let mut hasher = Sha256::new_with_prefix(key.map(|byte| byte ^ pad));
            parts.iter().for_each(|part| hasher.update(part));
            <[u8; 32]>::from(hasher.finalize())
        };
        let inner = hash(0x36, message);
        hash(0x5c, &[&inner])
    }
}

/// As for the other secret.
impl fmt::Debug for TagSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TagSecret(..)")
    }
}

/// Keeps the secret out of logs and panics.
impl fmt::Debug for HashSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HashSecret(..)")
    }
}
