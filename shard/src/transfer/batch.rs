//! What shards send each other in a transfer: records, tombstones and receipts in one run of bytes.
//!
//! ```text
//! version 1 B = 1, then items, numbers little-endian:
//! record   | 1 | kind 1 | space 1 | flags 1: 1 expires, 2 receipt | hash 8 | tag 8 | version 8 | expires 8, if flagged |
//!          | identity 16, issued 8, digest of the arguments 8, if flagged | key length 2 | value length 4 | key | value |
//! receipt  | 2 | outcome 1 | hash 8 | tag of the key 8 | identity 16 | issued 8 | digest of the arguments 8 | version 8 |
//! ```
//!
//! Candid would cost 20,000 instructions for each item, this costs some hundred.

use canopy_types::{HashRange, KeyHash};

use crate::store::{Import, Item, KeyRef, Kind, Operation, Outcome, Receipt};

#[cfg(test)]
mod tests;

/// Version of the encoding. A shard reads the one before, too.
const VERSION: u8 = 1;

const RECORD: u8 = 1;
const RECEIPT: u8 = 2;
const EXPIRES: u8 = 1;
const HAS_RECEIPT: u8 = 2;

/// Most bytes of an item beside its key and value.
pub const ITEM_BYTES_MAX: usize = 74;

/// A batch that is being written.
pub struct Writer {
    bytes: Vec<u8>,
    items: u64,
}

/// One item of a batch.
#[derive(Clone, Copy, Debug)]
pub enum BatchItem<'a> {
    Record(Import<'a>),
    Receipt { hash: u64, key_tag: u64, receipt: Receipt },
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: vec![VERSION], items: 0 }
    }
}

impl Writer {
    /// Adds what a walk visits.
    pub fn add(&mut self, item: &Item) {
        self.items += 1;
        match item {
            Item::Record { key, found, value, receipt } => {
                let flags = if found.expires_at.is_some() { EXPIRES } else { 0 }
                    | if receipt.is_some() { HAS_RECEIPT } else { 0 };
                self.bytes.extend([RECORD, found.kind as u8, key.space, flags]);
                for number in [key.hash, key.tag, found.version].into_iter().chain(found.expires_at) {
                    self.bytes.extend(number.to_le_bytes());
                }
                if let Some(receipt) = receipt {
                    self.operation(&receipt.operation);
                }
                self.bytes.extend((key.bytes.len() as u16).to_le_bytes());
                self.bytes.extend((value.len() as u32).to_le_bytes());
                self.bytes.extend_from_slice(key.bytes);
                self.bytes.extend_from_slice(value);
            }
            Item::Receipt { hash, key_tag, receipt } => {
                let (code, version) = match receipt.outcome {
                    Outcome::Written { version } => (1, version),
                    Outcome::Deleted { version } => (2, version),
                    Outcome::Absent => (3, 0),
                    Outcome::Refused { current: None } => (4, 0),
                    Outcome::Refused { current: Some(version) } => (5, version),
                };
                self.bytes.extend([RECEIPT, code]);
                self.bytes.extend(hash.to_le_bytes());
                self.bytes.extend(key_tag.to_le_bytes());
                self.operation(&receipt.operation);
                self.bytes.extend(version.to_le_bytes());
            }
        }
    }

    fn operation(&mut self, operation: &Operation) {
        self.bytes.extend(operation.identity.to_le_bytes());
        self.bytes.extend(operation.issued.to_le_bytes());
        self.bytes.extend(operation.arguments.to_le_bytes());
    }

    /// Tells the length so far, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Counts the items so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Gives the batch.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Goes through a batch.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins a batch.
    ///
    /// # Errors
    ///
    /// That it is of another version, in words.
    pub fn new(bytes: &'a [u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self { rest }),
            Some((version, _)) => Err(format!("version {version}, and this shard reads {VERSION}")),
            None => Err("no bytes".to_string()),
        }
    }

    /// Reads the next item; `None` at the end.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn next(&mut self) -> Result<Option<BatchItem<'a>>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match self.byte()? {
            RECORD => self.record().map(Some),
            RECEIPT => self.receipt().map(Some),
            tag => Err(format!("an item begins with {tag}")),
        }
    }

    fn record(&mut self) -> Result<BatchItem<'a>, String> {
        let kind = self.byte()?;
        let kind = Kind::from_number(kind).ok_or_else(|| format!("a record has kind {kind}"))?;
        let (space, flags) = (self.byte()?, self.byte()?);
        let (hash, tag, version) = (self.number()?, self.number()?, self.number()?);
        let expires_at = if flags & EXPIRES != 0 { Some(self.number()?) } else { None };
        let receipt = if flags & HAS_RECEIPT != 0 {
            let outcome = match kind {
                Kind::Tombstone => Outcome::Deleted { version },
                _ => Outcome::Written { version },
            };
            Some(Receipt { operation: self.operation()?, outcome })
        } else {
            None
        };
        let key_bytes = usize::from(u16::from_le_bytes(self.array()?));
        let value_bytes = u32::from_le_bytes(self.array()?) as usize;
        let key = KeyRef { hash, tag, space, bytes: self.take(key_bytes)? };
        let value = self.take(value_bytes)?;
        Ok(BatchItem::Record(Import { key, kind, value, version, expires_at, receipt }))
    }

    fn receipt(&mut self) -> Result<BatchItem<'a>, String> {
        let code = self.byte()?;
        let (hash, key_tag, operation, version) = (self.number()?, self.number()?, self.operation()?, self.number()?);
        let outcome = match code {
            1 => Outcome::Written { version },
            2 => Outcome::Deleted { version },
            3 => Outcome::Absent,
            4 => Outcome::Refused { current: None },
            5 => Outcome::Refused { current: Some(version) },
            _ => return Err(format!("a receipt has outcome {code}")),
        };
        Ok(BatchItem::Receipt { hash, key_tag, receipt: Receipt { operation, outcome } })
    }

    fn operation(&mut self) -> Result<Operation, String> {
        let identity = u128::from_le_bytes(self.array()?);
        Ok(Operation { identity, issued: self.number()?, arguments: self.number()? })
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many bytes were taken"))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("an item is cut off")?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Checks a whole batch, so that a malformed one changes nothing.
///
/// # Errors
///
/// The first item that is malformed, or whose hash lies outside of `range`, in words.
pub fn check(bytes: &[u8], range: &HashRange) -> Result<(), String> {
    let mut reader = Reader::new(bytes)?;
    while let Some(item) = reader.next()? {
        let hash = match item {
            BatchItem::Record(record) => record.key.hash,
            BatchItem::Receipt { hash, .. } => hash,
        };
        if !range.contains(KeyHash(hash)) {
            return Err(format!("hash {hash:016x} lies outside of the range"));
        }
    }
    Ok(())
}
