//! A walk through all that large values consist of, which finds what belongs to nothing and what is missing.
//!
//! It reports and never deletes. What is merely under way is none of its findings: open uploads, what is being
//! collected, and ranges that change hands.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::errors::{BusyReason, errors};
use crate::hash::KeyHash;
use crate::routing::Version;
use crate::uploads::{UploadId, UploadState};

/// Which page to answer. `record {}` asks for the first one.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubArguments {
    /// From the page before; null for the first page.
    pub cursor: Option<ByteBuf>,
}

/// What is wrong with a record.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum StrayKind {
    /// A chunk whose upload has no record, so that nobody will ever delete it.
    ChunkWithoutUpload {
        /// Place of the chunk in its value, counted from 0.
        index: u32,
        /// Hash of the value's key, under which the upload's record should lie.
        key_hash: KeyHash,
    },
    /// An upload that readers may still read, and not all of whose chunks are there.
    ChunksMissing {
        /// How far the upload is: published, or replaced so lately that its chunks must still be there.
        state: UploadState,
        /// How many are missing.
        missing: u32,
        /// Place of the first of them, counted from 0.
        first: u32,
    },
    /// A manifest whose upload has no record, or one that says something else than published.
    ManifestWithoutUpload {
        /// What the upload's record says; null when there is none.
        found: Option<UploadState>,
    },
    /// An upload that says it is the value of its key, under which something else lies, or nothing.
    UploadWithoutManifest {
        /// Version of the value that it says it is.
        version: Version,
    },
}

/// A record that belongs to nothing, or lacks something.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// What is wrong with it.
    pub kind: StrayKind,
    /// The upload that it belongs to, or should.
    pub upload: UploadId,
    /// The shard that has it.
    pub shard: Principal,
    /// Hash under which it lies: of a chunk its own, of others that of the key.
    pub hash: KeyHash,
    /// The key of the value; null for chunks, which don't know it.
    pub key: Option<ByteBuf>,
    /// Length of the chunk, or else of the value, in bytes.
    pub bytes: u64,
}

/// A page of a scrub. One without findings isn't the end: only one without cursor is.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ScrubPage {
    /// Records of uploads that were looked at.
    pub uploads: u64,
    /// Manifests that were looked at.
    pub manifests: u64,
    /// Chunks that were looked at.
    pub chunks: u64,
    /// What was found, at most two for each record that was looked at.
    pub strays: Vec<Stray>,
    /// Asks for the next page; null at the end. It stays valid whatever is written, moved or upgraded.
    pub cursor: Option<ByteBuf>,
}

errors! {
    /// Why a page of a scrub was not answered.
    pub enum ScrubError {
        NotReady, MalformedArguments, Unauthorised, Busy, ShardUnavailable,
    }
    own {
        /// The cursor is none that this service made for a scrub.
        InvalidCursor {
            /// What is wrong with it.
            reason: String,
        },
    }
}

/// What `scrub` answers.
pub type ScrubResult = Result<ScrubPage, ScrubError>;
