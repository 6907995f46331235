//! Pages of scans.
//!
//! Router and shards answer them alike, so the router hands a shard's page on as it came.

use super::bytes::{Reader, write_blob, write_length, write_optional_nat64};
use super::replies::RecordHead;
use super::table::{Prefix, Type, in_order};
use crate::limits::SCAN_RECORDS_MAX;

const _: () = assert!(in_order(&["records", "cursor"]));
const _: () = assert!(in_order(&["key", "value", "version", "expires_at_nanoseconds", "value_bytes"]));

/// `variant { Ok : record { records : vec record { .. }; cursor : opt blob } }`, and the number of the tag.
const PAGE: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .record(&[("records", Type::Line(2)), ("cursor", Type::Line(5))])
    .vec(Type::Line(3))
    .record(&[
        ("key", Type::Line(4)),
        ("value", Type::Line(4)),
        ("version", Type::Nat64),
        ("expires_at_nanoseconds", Type::Line(6)),
        ("value_bytes", Type::Line(6)),
    ])
    .vec(Type::Nat8)
    .opt(Type::Line(4))
    .opt(Type::Nat64)
    .one_value()
    .then(0);

/// What a record on a page takes beside its key and value, at most, in bytes.
pub const SCANNED_BYTES_MAX: usize = 32;

/// Writes a page, record by record.
#[derive(Default)]
pub struct PageWriter {
    records: Vec<u8>,
    count: usize,
}

impl PageWriter {
    /// Begins an empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record; the value counts only if it is included.
    pub fn record(&mut self, key: &[u8], head: &RecordHead, value: &[u8]) {
        write_blob(&mut self.records, key);
        write_blob(&mut self.records, if head.include_value { value } else { &[] });
        self.records.extend_from_slice(&head.version.0.to_le_bytes());
        write_optional_nat64(&mut self.records, head.expires_at_nanoseconds);
        write_optional_nat64(&mut self.records, (!head.include_value).then_some(head.value_bytes as u64));
        self.count += 1;
    }

    /// Ends the page with the cursor to the next one.
    pub fn finish(self, cursor: Option<&[u8]>) -> Vec<u8> {
        let cursor_bytes = cursor.map_or(0, <[u8]>::len);
        let mut reply = Vec::with_capacity(PAGE.bytes().len() + self.records.len() + cursor_bytes + 16);
        reply.extend_from_slice(PAGE.bytes());
        write_length(&mut reply, self.count);
        reply.extend_from_slice(&self.records);
        match cursor {
            None => reply.push(0),
            Some(cursor) => {
                reply.push(1);
                write_blob(&mut reply, cursor);
            }
        }
        reply
    }
}

/// Tells whether a reply is one that the writer above makes.
pub fn is_page(reply: &[u8]) -> bool {
    PAGE.strip(reply).is_some_and(|values| read_page(values).is_some())
}

fn read_page(values: &[u8]) -> Option<()> {
    let mut reader = Reader::new(values);
    let count = reader.length().filter(|count| *count <= SCAN_RECORDS_MAX as usize)?;
    for _ in 0..count {
        reader.blob()?;
        reader.blob()?;
        reader.nat64()?;
        reader.option(Reader::nat64)?;
        reader.option(Reader::nat64)?;
    }
    reader.option(Reader::blob)?;
    reader.end()
}
