//! Values longer than a record: their names, their parts, and how they are checked.
//!
//! A large value is a *manifest* under its key and *chunks*, each a record of its own under the hash of (upload, index).
//! An *upload* makes them, and its record lies under the key's hash. [`shard`] holds what routers and shards say to each
//! other about them, [`scrub`] what they say to find strays; what clients say is in
//! [`api::uploads`](crate::api::uploads).

use candid::types::{Serializer, Type, TypeInner};
use candid::{CandidType, Principal};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use sha2::{Digest as _, Sha256};
use std::fmt;

use crate::limits::{CHUNK_BYTES, CHUNKS_MAX, DIGEST_BYTES, LARGE_VALUE_BYTES_MAX, UPLOAD_ID_BYTES};
use crate::routing::Version;

pub mod scrub;
pub mod shard;

#[cfg(test)]
mod tests;

/// Declares bytes of a fixed length, a blob in Candid.
macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $bytes:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl CandidType for $name {
            fn _ty() -> Type {
                TypeInner::Vec(TypeInner::Nat8.into()).into()
            }

            fn idl_serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error> {
                serializer.serialize_blob(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Bytes::new(&self.0).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = ByteBuf::deserialize(deserializer)?;
                let fixed = bytes.as_slice().try_into().map_err(|_| {
                    D::Error::custom(format!(concat!($what, " has {} bytes, and this one {}"), $bytes, bytes.len()))
                })?;
                Ok(Self(fixed))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

fixed_bytes! {
    /// Names an upload: 16 bytes, drawn at random by the client and kept for its retries. It is the name of the write
    /// that the upload ends with, too.
    UploadId, UPLOAD_ID_BYTES, "the id of an upload"
}

fixed_bytes! {
    /// A SHA-256.
    Digest, DIGEST_BYTES, "a digest"
}

impl Digest {
    /// Digests bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Digests the digests of a large value's chunks, in their order: the digest of the value.
    pub fn of_chunks<'d>(digests: impl IntoIterator<Item = &'d Digest>) -> Self {
        let mut hasher = Sha256::new();
        digests.into_iter().for_each(|digest| hasher.update(digest.0));
        Self(hasher.finalize().into())
    }
}

/// Bytes of the key under which a chunk lies.
const CHUNK_KEY_BYTES: usize = UPLOAD_ID_BYTES + 4;

/// Makes the bytes whose hash says which shard owns a chunk: the upload's id, and the index with its highest byte first.
pub fn chunk_key(upload: UploadId, index: u32) -> [u8; CHUNK_KEY_BYTES] {
    let mut bytes = [0; CHUNK_KEY_BYTES];
    bytes[..UPLOAD_ID_BYTES].copy_from_slice(&upload.0);
    bytes[UPLOAD_ID_BYTES..].copy_from_slice(&index.to_be_bytes());
    bytes
}

/// Counts the chunks of a large value. At most [`CHUNKS_MAX`] for a length that uploads accept.
pub fn chunks_of(value_bytes: u64) -> u32 {
    u32::try_from(value_bytes.div_ceil(CHUNK_BYTES as u64)).unwrap_or(u32::MAX)
}

/// Tells the length of a chunk, in bytes: all but the last are as long as may be. 0 behind the last.
pub fn chunk_bytes(value_bytes: u64, index: u32) -> usize {
    let begin = u64::from(index) * CHUNK_BYTES as u64;
    value_bytes.saturating_sub(begin).min(CHUNK_BYTES as u64) as usize
}

/// How far an upload is.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// It takes chunks.
    Open,
    /// It is the key's value, or was until it expired.
    Published {
        /// Version of the value.
        version: Version,
    },
    /// It was the key's value, and was overwritten, deleted or ended. Its chunks can be read for a while.
    Replaced {
        /// Version that the value had.
        version: Version,
    },
    /// It was given up, or took too long.
    Aborted,
    /// Its precondition did not hold when it was to be published.
    Refused {
        /// Version of the record that was there; null when there was none.
        found: Option<Version>,
    },
}

/// What is wrong with an upload, a chunk, or what was asked about them. Nothing was changed.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// The length of the value is out of bounds.
    SizeOutOfBounds {
        /// What was asked for.
        bytes: u64,
        /// The least that is accepted.
        bytes_min: u64,
        /// The most that is accepted.
        bytes_max: u64,
    },
    /// No upload of this id is known under the key: it was never begun, or is over for long.
    NoSuchUpload,
    /// The upload was begun by somebody else.
    OtherCaller {
        /// Who asks.
        caller: Principal,
    },
    /// An upload of this id was begun with other arguments.
    UploadReused,
    /// The upload was given up, or took too long.
    Aborted,
    /// The upload was published, so it can't be given up.
    Published {
        /// Version of the value.
        version: Version,
    },
    /// The pass is none that was given to the caller for this upload and key.
    InvalidPass,
    /// The upload takes no chunks any more.
    TooLate {
        /// Until when it took them, in nanoseconds since 1970.
        until_nanoseconds: u64,
    },
    /// There is no such chunk in a value of this length.
    IndexOutOfRange {
        /// The index, counted from 0.
        index: u32,
        /// How many chunks the value has.
        chunks: u32,
    },
    /// The chunk has another length than this index must have.
    ChunkLength {
        /// Its length.
        bytes: u64,
        /// The length that is accepted.
        bytes_required: u64,
    },
    /// The bytes have another digest than was said.
    WrongDigest {
        /// The digest of what is there.
        computed: Digest,
    },
    /// A chunk with another digest is there: chunks never change.
    ChunkDiffers {
        /// Its digest.
        stored: Digest,
    },
    /// Not all chunks are there.
    ChunksMissing {
        /// How many are not.
        missing: u32,
        /// The first of them.
        first: u32,
    },
    /// The chunk is not there: its value was replaced and collected.
    Gone,
    /// The caller has as many uploads open as it may.
    TooManyUploads {
        /// Open uploads.
        open: u64,
        /// Bound on open uploads of one caller.
        open_max: u64,
    },
    /// The caller's open uploads are as long together as may be.
    TooManyBytes {
        /// What they would be together with this one, in bytes.
        bytes: u64,
        /// Bound on bytes in open uploads of one caller.
        bytes_max: u64,
    },
    /// The service has as many uploads open as it can keep.
    ServiceFull {
        /// Bound on open uploads of all callers.
        open_max: u64,
    },
}

/// Checks the length of a large value.
///
/// # Errors
///
/// `SizeOutOfBounds`.
pub fn check_size(bytes: u64) -> Result<(), UploadFault> {
    let (bytes_min, bytes_max) = (1, LARGE_VALUE_BYTES_MAX);
    if (bytes_min..=bytes_max).contains(&bytes) {
        Ok(())
    } else {
        Err(UploadFault::SizeOutOfBounds { bytes, bytes_min, bytes_max })
    }
}

const _: () = assert!(LARGE_VALUE_BYTES_MAX.div_ceil(CHUNK_BYTES as u64) == CHUNKS_MAX as u64);
