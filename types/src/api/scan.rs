//! A walk through all records, page by page, in the order of their keys' hashes.
//!
//! Per key, not a point in time: a record that is there from the first page to the last is answered exactly once; one
//! that is put, deleted or ends meanwhile may be.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::errors::ScanError;
use crate::range::HashRange;
use crate::routing::Version;

/// Which page to answer. `record {}` asks for the first one of everything.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanArguments {
    /// From the page before; null for the first page.
    pub cursor: Option<ByteBuf>,
    /// Most records of the page, from 1 on; 1,000 when null, and never more than 4,096.
    pub records_max: Option<u32>,
    /// Most bytes of keys and values of the page, from 1 on; as many as a reply has room for when null.
    pub bytes_max: Option<u64>,
    /// Whether to answer the values, or only their lengths; true when null.
    pub include_value: Option<bool>,
    /// Only records of these hashes; all when null. It has to stay the same from page to page.
    pub range: Option<HashRange>,
    /// Only records whose keys begin with these bytes; all when null. Pages go through all records nevertheless. Who may
    /// read keys of a prefix only has to name it.
    pub prefix: Option<ByteBuf>,
}

/// A record on a page.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ScannedRecord {
    /// Its key.
    pub key: ByteBuf,
    /// The bytes that were put; empty when they were not asked for, or are longer than a page has room for.
    pub value: ByteBuf,
    /// Version of the put.
    pub version: Version,
    /// When the record ends, in nanoseconds since 1970; null: never.
    pub expires_at_nanoseconds: Option<u64>,
    /// Length of the value when it isn't answered, else null. A `get` answers it.
    pub value_bytes: Option<u64>,
}

/// A page of a scan. One without records isn't the end: only one without cursor is.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// In the order of their keys' hashes.
    pub records: Vec<ScannedRecord>,
    /// Asks for the next page; null at the end. It stays valid whatever is written, moved or upgraded.
    pub cursor: Option<ByteBuf>,
}

/// What `scan` and `scan_query` answer.
pub type ScanResult = Result<ScanPage, ScanError>;
