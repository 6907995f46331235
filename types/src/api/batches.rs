//! Batches: put, get and delete of many keys in one call.
//!
//! A batch is admitted whole or refused before anything is done. Once admitted, each item has an answer of its own, in
//! the order of the items, because they are done by many shards.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::errors::{BatchError, DeleteError, GetError, PutError};
use super::operations::{DeleteResult, GetResult, Operation, Precondition, PutResult};

/// One record to write in a batch; the fields are those of a put.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PutItem {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Up to 1 MiB.
    pub value: ByteBuf,
    /// What must hold of the record that is there; nothing when null.
    pub precondition: Option<Precondition>,
    /// After how many milliseconds the record ends; never when null.
    pub time_to_live_milliseconds: Option<u64>,
}

impl PutItem {
    /// Asks to store `value` under `key`, whatever is there, for ever.
    pub fn new(key: impl Into<ByteBuf>, value: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }
}

/// One record to remove in a batch; the fields are those of a delete.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteItem {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// What must hold of the record that is there; nothing when null.
    pub precondition: Option<Precondition>,
}

impl DeleteItem {
    /// Asks to remove what is stored under `key`, whatever it is.
    pub fn new(key: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), precondition: None }
    }
}

/// Records to write. `record { items = vec { record { key; value } } }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PutManyArguments {
    /// At most 10,000, no key twice.
    pub items: Vec<PutItem>,
    /// Names every write of the batch, together with its place in `items`; when null, a write whose answer was lost
    /// stays unknown. Sent again, it must be with the same items in the same places.
    pub operation: Option<Operation>,
}

/// Records to read. `record { keys }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct GetManyArguments {
    /// At most 10,000, none twice.
    pub keys: Vec<ByteBuf>,
    /// Whether to answer the values, or only their lengths; true when null.
    pub include_value: Option<bool>,
}

/// Records to remove. `record { items = vec { record { key } } }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteManyArguments {
    /// At most 10,000, no key twice.
    pub items: Vec<DeleteItem>,
    /// As for puts.
    pub operation: Option<Operation>,
}

/// What `put_many` answers.
pub type PutManyResult = Result<Vec<PutResult>, BatchError<PutError>>;
/// What `get_many` answers. A value that doesn't fit the reply is answered `AskAgain`; asked for again alone or in a
/// smaller batch, every value is answered.
pub type GetManyResult = Result<Vec<GetResult>, BatchError<GetError>>;
/// What `delete_many` answers.
pub type DeleteManyResult = Result<Vec<DeleteResult>, BatchError<DeleteError>>;
