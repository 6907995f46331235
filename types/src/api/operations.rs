//! Single operations: put, get and delete.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::errors::{DeleteError, GetError, PutError};
use crate::routing::Version;

/// Names one write, so that sending it again within 15 minutes is told what the first sending did.
///
/// It belongs to its caller: equal ids of two callers are two operations.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// 16 bytes, drawn at random by the client and kept for its retries.
    pub id: ByteBuf,
    /// When the client first sent it, in nanoseconds since 1970; kept for its retries too.
    pub issued_at_nanoseconds: u64,
}

/// What must hold of a record for a write to be done.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing is stored under the key.
    Absent,
    /// Something is stored under the key.
    Present,
    /// The record has this version.
    Version(Version),
}

/// What to store under which key. `record { key; value }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PutArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Up to 1 MiB.
    pub value: ByteBuf,
    /// What must hold of the record that is there; nothing when null.
    pub precondition: Option<Precondition>,
    /// After how many milliseconds the record ends, 1,000 (1 s) to 3,153,600,000,000 (100 years); never when null.
    pub time_to_live_milliseconds: Option<u64>,
    /// The write's name, for sending it again; when null, a write whose answer was lost stays unknown.
    pub operation: Option<Operation>,
}

impl PutArguments {
    /// Asks to store `value` under `key`, whatever is there, for ever.
    pub fn new(key: impl Into<ByteBuf>, value: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }
}

/// Which record to read, and how much of it. `record { key }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct GetArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Whether to answer the value, or only its length; true when null.
    pub include_value: Option<bool>,
}

impl GetArguments {
    /// Asks for the whole record under `key`.
    pub fn new(key: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), include_value: None }
    }
}

/// Which record to remove. `record { key }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// What must hold of the record that is there; nothing when null.
    pub precondition: Option<Precondition>,
    /// The write's name, for sending it again; when null, a delete whose answer was lost stays unknown.
    pub operation: Option<Operation>,
}

impl DeleteArguments {
    /// Asks to remove what is stored under `key`, whatever it is.
    pub fn new(key: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }
}

/// A put that was done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PutReply {
    /// The record's new version.
    pub version: Version,
}

/// What is stored under a key.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The bytes that were put; empty when they were not asked for.
    pub value: ByteBuf,
    /// Version of the put.
    pub version: Version,
    /// When the record ends, in nanoseconds since 1970; null: never.
    pub expires_at_nanoseconds: Option<u64>,
    /// Length of the value when it was not asked for, else null.
    pub value_bytes: Option<u64>,
}

/// A delete that was done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DeleteReply {
    /// Version of the record that was removed; null when there was none.
    pub deleted: Option<Version>,
}

/// What `put` answers.
pub type PutResult = Result<PutReply, PutError>;
/// What `get` and `get_query` answer; `Ok(null)` when nothing is stored under the key.
pub type GetResult = Result<Option<Record>, GetError>;
/// What `delete` answers.
pub type DeleteResult = Result<DeleteReply, DeleteError>;
