//! Cursors of scans and scrubs: places in the order of all records, as text that only shards can make.
//!
//! ```text
//! | walk 1 B | hash 8 B | visited 1 B | masked tag 8 B | space 1 B, key 1 to 1,024 B | checksum 8 B |
//!   1: scan               0: nothing of the hash
//!   2: scrub              1: all up to the tag    ^
//!                         2: up to the key        ^       ^
//! ```
//!
//! Numbers are big-endian. The tag is masked with a hash of its hash under the tags' secret, so that a cursor doesn't
//! tell it; the checksum is a hash of everything before it under the same secret. All shards of a router have that
//! secret, and the order is the same in all of them, so a cursor stays valid wherever its range goes.

use std::fmt;

use crate::hash::{KeyHash, TagSecret};
use crate::limits::KEY_BYTES_MAX;

#[cfg(test)]
mod tests;

const HASH_OFFSET: usize = 1;
const VISITED_OFFSET: usize = 9;
const TAG_OFFSET: usize = 10;
const SPACE_OFFSET: usize = 18;
const KEY_OFFSET: usize = 19;
const CHECKSUM_BYTES: usize = 8;

/// Longest cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = KEY_OFFSET + KEY_BYTES_MAX + CHECKSUM_BYTES;

const NOTHING: u8 = 0;
const TAG: u8 = 1;
const KEY: u8 = 2;

/// What tells the two uses of the secret apart from each other, and from hashes of keys.
const MASK_DOMAIN: &[u8; 24] = b"canopy: mask of a cursor";
const CHECKSUM_DOMAIN: &[u8; 23] = b"canopy: sum of a cursor";

/// What walks through the records. The cursors of one are none of the other's: they show other records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CursorOf {
    /// A scan, which visits the clients' records.
    Scan = 1,
    /// A scrub, which visits what large values consist of.
    Scrub = 2,
}

/// What has been visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanPlace {
    /// Everything before this hash.
    Before {
        /// The hash.
        hash: KeyHash,
    },
    /// Everything up to this tag of this hash.
    Behind {
        /// The hash.
        hash: KeyHash,
        /// The tag.
        tag: u64,
        /// Of the records with hash and tag, only those up to this space and key; all of them when `None`.
        key: Option<(u8, Vec<u8>)>,
    },
}

/// Why bytes are no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorFault {
    /// It doesn't have the length of any cursor.
    Length {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// It was made by another method, by a version that this code doesn't know, or by something else.
    Walk {
        /// The number of what made it.
        found: u8,
        /// The number that is accepted.
        required: u8,
    },
    /// It was changed, or made by another service.
    Checksum,
}

impl fmt::Display for CursorFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CursorFault::Length { bytes } => write!(formatter, "no cursor has {bytes} bytes"),
            CursorFault::Walk { found, required } => {
                write!(formatter, "this method reads cursors of kind {required}, not {found}")
            }
            CursorFault::Checksum => formatter.write_str("the cursor was changed, or made by another service"),
        }
    }
}

impl ScanPlace {
    /// Tells the hash at which the scan goes on; the shard that owns it is the one to ask.
    pub fn hash(&self) -> KeyHash {
        match self {
            ScanPlace::Before { hash } | ScanPlace::Behind { hash, .. } => *hash,
        }
    }

    /// Writes the cursor.
    pub fn write(&self, of: CursorOf, secret: &TagSecret) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(KEY_OFFSET + CHECKSUM_BYTES);
        bytes.push(of as u8);
        bytes.extend_from_slice(&self.hash().0.to_be_bytes());
        match self {
            ScanPlace::Before { .. } => bytes.push(NOTHING),
            ScanPlace::Behind { hash, tag, key } => {
                bytes.push(if key.is_some() { KEY } else { TAG });
                bytes.extend_from_slice(&(tag ^ mask(secret, *hash)).to_be_bytes());
                if let Some((space, key)) = key {
                    bytes.push(*space);
                    bytes.extend_from_slice(key);
                }
            }
        }
        let checksum = checksum(secret, &bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Reads a cursor.
    ///
    /// # Errors
    ///
    /// Bytes that no shard with this secret wrote, or that were changed.
    pub fn read(of: CursorOf, secret: &TagSecret, cursor: &[u8]) -> Result<Self, CursorFault> {
        let hash = hash_of(of, cursor)?;
        let length = CursorFault::Length { bytes: cursor.len() };
        let (body, sum) = cursor.split_at(cursor.len() - CHECKSUM_BYTES);
        if checksum(secret, body) != sum {
            return Err(CursorFault::Checksum);
        }
        let tag = |body: &[u8]| {
            let masked = body.get(TAG_OFFSET..SPACE_OFFSET)?.try_into().ok()?;
            Some(u64::from_be_bytes(masked) ^ mask(secret, hash))
        };
        let read = match (body[VISITED_OFFSET], body.len()) {
            (NOTHING, TAG_OFFSET) => Some(Self::Before { hash }),
            (TAG, SPACE_OFFSET) => tag(body).map(|tag| Self::Behind { hash, tag, key: None }),
            (KEY, KEY_OFFSET..) => tag(body).map(|tag| Self::Behind {
                hash,
                tag,
                key: Some((body[SPACE_OFFSET], body[KEY_OFFSET..].to_vec())),
            }),
            _ => None,
        };
        read.ok_or(length)
    }
}

/// Tells the hash at which a cursor goes on, without the secret and so without a check of anything but the form.
///
/// # Errors
///
/// A length that no cursor has, or a cursor of something else.
pub fn hash_of(of: CursorOf, cursor: &[u8]) -> Result<KeyHash, CursorFault> {
    if !(TAG_OFFSET + CHECKSUM_BYTES..=CURSOR_BYTES_MAX).contains(&cursor.len()) {
        return Err(CursorFault::Length { bytes: cursor.len() });
    }
    let (found, required) = (cursor[0], of as u8);
    if found != required {
        return Err(CursorFault::Walk { found, required });
    }
    let hash = cursor[HASH_OFFSET..VISITED_OFFSET].try_into().expect("eight bytes were taken");
    Ok(KeyHash(u64::from_be_bytes(hash)))
}

fn mask(secret: &TagSecret, hash: KeyHash) -> u64 {
    let mut bytes = [0; MASK_DOMAIN.len() + 8];
    bytes[..MASK_DOMAIN.len()].copy_from_slice(MASK_DOMAIN);
    bytes[MASK_DOMAIN.len()..].copy_from_slice(&hash.0.to_be_bytes());
    secret.hash(&bytes)
}

fn checksum(secret: &TagSecret, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    secret.hash(&[CHECKSUM_DOMAIN, body].concat()).to_be_bytes()
}
