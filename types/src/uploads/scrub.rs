//! What routers ask shards for a scrub. Shards only read.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{UploadId, UploadState};
use crate::api::errors::errors;
use crate::api::scrub::Stray;
use crate::hash::KeyHash;
use crate::shard::ShardError;

/// Which page of a shard's records of large values to answer.
///
/// The page begins behind the cursor; without one, at the first of all hashes. The shard must own the hash there.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardScrubArguments {
    /// As the router's.
    pub cursor: Option<ByteBuf>,
}

/// An upload all of whose chunks must be there.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct WholeUpload {
    /// Where its record lies.
    pub place: UploadPlace,
    /// The key.
    pub key: ByteBuf,
    /// How far it is: published, or replaced so lately that its chunks stay.
    pub state: UploadState,
    /// Length of the value, in bytes.
    pub value_bytes: u64,
}

/// A chunk that is there.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundChunk {
    /// Which it is.
    pub place: ChunkPlace,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// What a shard has on a page.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardScrubPage {
    /// How many records of uploads.
    pub uploads: u64,
    /// How many manifests.
    pub manifests: u64,
    /// Those of the uploads whose chunks must be there: as many as have at most 4,096 chunks together, or one.
    pub whole: Vec<WholeUpload>,
    /// The chunks, at most 768 together with uploads and manifests.
    pub chunks: Vec<FoundChunk>,
    /// Manifests and uploads that have nothing of each other; they lie together, so this is certain.
    pub strays: Vec<Stray>,
    /// Asks for the next page, which another shard may have; null at the end of all hashes.
    pub cursor: Option<ByteBuf>,
}

errors! {
    /// Why a shard did not answer a page of a scrub.
    pub enum ShardScrubError {}
    own {
        /// The cursor is none that a shard with this router's secrets made for a scrub.
        InvalidCursor {
            /// What is wrong with it.
            reason: String,
        },
    }
    tuples {
        /// As for any other operation.
        Shard(ShardError),
    }
}

impl From<ShardError> for ShardScrubError {
    fn from(error: ShardError) -> Self {
        Self::Shard(error)
    }
}

/// What a shard's `scrub` answers. Where the shard's range ends, the cursor leads to the shard behind it.
pub type ShardScrubResult = Result<ShardScrubPage, ShardScrubError>;

/// Names the record of an upload.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadPlace {
    /// Hash of the key.
    pub key_hash: KeyHash,
    /// The upload.
    pub upload: UploadId,
}

/// Names a chunk, and of which upload it is.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkPlace {
    /// The upload; the chunk itself lies under the hash of the upload's id and the index.
    pub upload: UploadPlace,
    /// Place in the value, counted from 0.
    pub index: u32,
}

/// Asks whether records are there, whose hashes all belong to the shard; at most 4,096 together.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct LookUpArguments {
    /// Records of uploads.
    pub uploads: Vec<UploadPlace>,
    /// Chunks.
    pub chunks: Vec<ChunkPlace>,
}

/// What a shard knows of an upload.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownUpload {
    /// It has no record.
    Nothing,
    /// It has a record, and not all of its chunks need be there: it is open, or they may be deleted.
    Record,
    /// It has a record, and all of its chunks must be there.
    Whole,
}

/// Which records are there.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedUp {
    /// Of the uploads, in their order.
    pub uploads: Vec<KnownUpload>,
    /// Whether each chunk is there, in their order.
    pub chunks: Vec<bool>,
}

/// What `look_up` answers.
pub type LookUpResult = Result<LookedUp, super::shard::ShardUploadError>;
