//! What routers and shards say to each other about uploads.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Digest, UploadFault, UploadId, UploadState};
use crate::api::uploads::{BeginUploadArguments, Chunk, CommittedUpload, Manifest};
use crate::hash::KeyHash;
use crate::shard::ShardError;

/// Why a shard did not do what it was asked about an upload. Nothing was changed.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ShardUploadError {
    /// As for any other operation.
    Shard(ShardError),
    /// It is about the upload.
    Upload(UploadFault),
}

impl From<ShardError> for ShardUploadError {
    fn from(error: ShardError) -> Self {
        Self::Shard(error)
    }
}

impl From<UploadFault> for ShardUploadError {
    fn from(fault: UploadFault) -> Self {
        Self::Upload(fault)
    }
}

/// Has the key's shard make an upload's record, or find it.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OpenUploadArguments {
    /// Who asked the router: it owns the upload.
    pub caller: Principal,
    /// What it asked.
    pub begin: BeginUploadArguments,
    /// How long the upload takes chunks, in milliseconds.
    pub open_milliseconds: u64,
    /// How long its chunks stay once it was replaced or given up, in milliseconds.
    pub kept_milliseconds: u64,
}

/// Names an upload to the key's shard.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardUploadArguments {
    /// Who asked the router.
    pub caller: Principal,
    /// The key.
    pub key: ByteBuf,
    /// The upload.
    pub upload: UploadId,
}

/// What a shard knows about an upload.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct UploadRecord {
    /// How far it is.
    pub state: UploadState,
    /// Length of the value.
    pub value_bytes: u64,
    /// Proves to chunks' shards that the upload is the caller's, and under which key.
    pub pass: ByteBuf,
    /// Until when it takes chunks, in nanoseconds since 1970.
    pub until_nanoseconds: u64,
}

/// What `open_upload`, `upload` and `close_upload` answer.
pub type UploadRecordResult = Result<UploadRecord, ShardUploadError>;

/// Has the key's shard publish an upload all of whose chunks are there.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PublishUploadArguments {
    /// Who asked the router.
    pub caller: Principal,
    /// The key.
    pub key: ByteBuf,
    /// The upload.
    pub upload: UploadId,
    /// The value's digest, which the router has compared with the chunks.
    pub digest: Digest,
}

/// What `publish_upload` answers, the same for as long as the upload's record is kept.
pub type PublishUploadResult = Result<CommittedUpload, ShardUploadError>;

/// Names chunks of an upload, whose hashes all belong to the shard that is asked.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ChunksArguments {
    /// The upload.
    pub upload: UploadId,
    /// Hash of its key. Chunks that were stored for an upload of this id under another key are none of them.
    pub key_hash: KeyHash,
    /// Which chunks, at most 4,096.
    pub indexes: Vec<u32>,
}

/// The digests of chunks.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ChunkDigests {
    /// A byte for each chunk that was asked for: 1 if it is there.
    pub present: ByteBuf,
    /// 32 bytes for each chunk that is there.
    pub digests: ByteBuf,
}

/// What `chunk_digests` answers.
pub type ChunkDigestsResult = Result<ChunkDigests, ShardUploadError>;
/// What `delete_chunks` answers: they are gone.
pub type DeleteChunksResult = Result<(), ShardUploadError>;

/// Says that an upload's chunks were deleted.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FinishCollectionArguments {
    /// Hash of the upload's key.
    pub hash: KeyHash,
    /// The upload.
    pub upload: UploadId,
    /// As the shard said when it asked for it.
    pub last: bool,
}

/// What `finish_collection` answers.
pub type FinishCollectionResult = Result<(), ShardUploadError>;

/// An upload whose chunks are to be deleted.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueUpload {
    /// Hash of its key.
    pub hash: KeyHash,
    /// The upload.
    pub upload: UploadId,
    /// How many chunks it may have.
    pub chunks: u32,
    /// Whether no chunk can come any more, so that its record goes with them.
    pub last: bool,
}

/// Asks the router to delete the chunks of uploads. From its shards.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CollectUploadsArguments {
    /// Which uploads, at most 64; the rest comes again.
    pub uploads: Vec<DueUpload>,
}

/// What a shard's `put_chunk` answers.
pub type ShardPutChunkResult = Result<(), ShardUploadError>;
/// What a shard's `get_chunk` answers.
pub type ShardGetChunkResult = Result<Chunk, ShardUploadError>;
/// What a shard's `get_manifest` answers.
pub type ShardGetManifestResult = Result<Option<Manifest>, ShardUploadError>;
