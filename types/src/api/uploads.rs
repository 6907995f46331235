//! Values longer than a record, put chunk by chunk and published at once.
//!
//! `begin_upload`, then `put_chunk` for every chunk, in any order and at the same time, then `commit_upload`. Whatever is
//! sent again under the same id does no harm. Readers ask for the manifest, then for chunks; the upload that the manifest
//! names pins the version.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::errors::{BusyReason, errors};
use super::operations::Precondition;
use crate::routing::Version;
use crate::uploads::{Digest, UploadFault, UploadId, UploadState};

/// What to upload, and under which key.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BeginUploadArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Name of the upload.
    pub upload: UploadId,
    /// Length of the value, 1 to 4,294,967,296 bytes.
    pub value_bytes: u64,
    /// What must hold of the record that is there, now and when the upload is committed; nothing when null.
    pub precondition: Option<Precondition>,
    /// After how many milliseconds from the commit on the value ends; never when null.
    pub time_to_live_milliseconds: Option<u64>,
}

impl BeginUploadArguments {
    /// Asks to upload a value under `key`, whatever is there, for ever.
    pub fn new(key: impl Into<ByteBuf>, upload: UploadId, value_bytes: u64) -> Self {
        Self { key: key.into(), upload, value_bytes, precondition: None, time_to_live_milliseconds: None }
    }
}

/// An upload that was begun.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BegunUpload {
    /// Length of every chunk but the last.
    pub chunk_bytes: u64,
    /// How many chunks there are.
    pub chunks: u32,
    /// What every chunk has to come with.
    pub pass: ByteBuf,
    /// Until when chunks are taken, in nanoseconds since 1970.
    pub until_nanoseconds: u64,
}

/// A chunk to store.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PutChunkArguments {
    /// The key.
    pub key: ByteBuf,
    /// The upload.
    pub upload: UploadId,
    /// What `begin_upload` answered.
    pub pass: ByteBuf,
    /// Place of the chunk, counted from 0.
    pub index: u32,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// As many as `chunk_bytes`; the last chunk has the rest.
    pub bytes: ByteBuf,
    /// On whose behalf. Only routers say so, to shards.
    pub caller: Option<Principal>,
}

/// An upload to publish.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CommitUploadArguments {
    /// The key.
    pub key: ByteBuf,
    /// The upload.
    pub upload: UploadId,
    /// SHA-256 of the digests of all chunks, one after the other.
    pub digest: Digest,
}

/// An upload that was published.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CommittedUpload {
    /// The value's version.
    pub version: Version,
}

/// Names an upload.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct UploadArguments {
    /// The key.
    pub key: ByteBuf,
    /// The upload.
    pub upload: UploadId,
}

/// How far an upload is.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// Its state.
    pub state: UploadState,
    /// Length of the value.
    pub value_bytes: u64,
    /// Length of every chunk but the last.
    pub chunk_bytes: u64,
    /// How many chunks there are.
    pub chunks: u32,
    /// What every chunk has to come with.
    pub pass: ByteBuf,
    /// Until when chunks are taken, in nanoseconds since 1970.
    pub until_nanoseconds: u64,
    /// Which chunks are there: a bit for each, the first one in the lowest bit of the first byte.
    pub present: ByteBuf,
}

impl UploadStatus {
    /// Tells whether a chunk is there.
    pub fn has(&self, index: u32) -> bool {
        self.present.get(index as usize / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }
}

/// Asks for the manifest of a large value.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GetManifestArguments {
    /// The key.
    pub key: ByteBuf,
}

/// What a large value consists of.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The upload whose chunks they are: it pins this version.
    pub upload: UploadId,
    /// Version of the value.
    pub version: Version,
    /// When the value ends, in nanoseconds since 1970; null: never.
    pub expires_at_nanoseconds: Option<u64>,
    /// Length of the value.
    pub value_bytes: u64,
    /// Length of every chunk but the last.
    pub chunk_bytes: u64,
    /// How many chunks there are.
    pub chunks: u32,
    /// SHA-256 of the digests of all chunks, one after the other.
    pub digest: Digest,
    /// What has to be shown for each chunk.
    pub pass: ByteBuf,
}

/// Asks for a chunk of a large value.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GetChunkArguments {
    /// The key.
    pub key: ByteBuf,
    /// The upload that the manifest names.
    pub upload: UploadId,
    /// The manifest's pass.
    pub pass: ByteBuf,
    /// Place of the chunk, counted from 0.
    pub index: u32,
}

/// A chunk.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes.
    pub bytes: ByteBuf,
    /// Their SHA-256.
    pub digest: Digest,
}

errors! {
    /// Why nothing came of what was asked about an upload: all but `Unknown` say that nothing was done.
    pub enum UploadError {
        NotReady, MalformedArguments, Unauthorised, KeyEmpty, KeyTooLong, PreconditionFailed, TimeToLiveOutOfBounds,
        KeyCollides, Busy, OutOfSpace, ShardUnavailable,
    }
    own {
        /// It was done, wasn't done, or will still be done within five minutes: no answer came. Asking again does no
        /// harm and settles it.
        Unknown {
            /// Why nothing is known.
            reason: String,
        },
    }
    tuples {
        /// It is about the upload.
        Upload(UploadFault),
    }
}

impl From<UploadFault> for UploadError {
    fn from(fault: UploadFault) -> Self {
        Self::Upload(fault)
    }
}

/// What `begin_upload` answers; the same again for the same arguments.
pub type BeginUploadResult = Result<BegunUpload, UploadError>;
/// What `put_chunk` answers: the chunk is there.
pub type PutChunkResult = Result<(), UploadError>;
/// What `commit_upload` answers; the same again.
pub type CommitUploadResult = Result<CommittedUpload, UploadError>;
/// What `abort_upload` answers: the upload is given up, or was refused.
pub type AbortUploadResult = Result<(), UploadError>;
/// What `upload_status` answers.
pub type UploadStatusResult = Result<UploadStatus, UploadError>;
/// What `get_manifest` answers; `Ok(null)` when no large value is stored under the key.
pub type GetManifestResult = Result<Option<Manifest>, UploadError>;
/// What `get_chunk` answers.
pub type GetChunkResult = Result<Chunk, UploadError>;
/// What `collect_uploads` answers: it was noted.
pub type CollectUploadsResult = Result<(), UploadError>;
