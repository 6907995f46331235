//! Replies of `put`, `get` and `delete`: what was done and found.
//!
//! Router and shards answer these alike, so the router hands a shard's reply on as it came.

use super::bytes::{Reader, write_length, write_optional_nat64};
use super::table::{Prefix, Type, in_order};
use crate::routing::Version;

const _: () = assert!(in_order(&["value", "version", "expires_at_nanoseconds", "value_bytes"]));

/// `variant { Ok : record { version : nat64 } }`, and the number of the tag.
const PUT: Prefix =
    Prefix::table().variant(&[("Ok", Type::Line(1))]).record(&[("version", Type::Nat64)]).one_value().then(0);

/// `variant { Ok : record { deleted : opt nat64 } }`, and the number of the tag.
const DELETE: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .record(&[("deleted", Type::Line(2))])
    .opt(Type::Nat64)
    .one_value()
    .then(0);

/// `variant { Ok : null }`, and the number of the tag: no record.
const NOTHING: Prefix = Prefix::table().variant(&[("Ok", Type::Null)]).one_value().then(0);

/// `variant { Ok : opt record { value : blob; version : nat64 } }`, the number of the tag, and that there is a record.
/// Then with the time when it ends, with the length of its value, and with both.
const RECORD: [Prefix; 4] = [
    record_table(&[("value", Type::Line(3)), ("version", Type::Nat64)]).one_value().then(0).then(1),
    record_table(&[("value", Type::Line(3)), ("version", Type::Nat64), ("expires_at_nanoseconds", Type::Line(4))])
        .opt(Type::Nat64)
        .one_value()
        .then(0)
        .then(1),
    record_table(&[("value", Type::Line(3)), ("version", Type::Nat64), ("value_bytes", Type::Line(4))])
        .opt(Type::Nat64)
        .one_value()
        .then(0)
        .then(1),
    record_table(&[
        ("value", Type::Line(3)),
        ("version", Type::Nat64),
        ("expires_at_nanoseconds", Type::Line(4)),
        ("value_bytes", Type::Line(4)),
    ])
    .opt(Type::Nat64)
    .one_value()
    .then(0)
    .then(1),
];
const EXPIRES: usize = 1;
const LENGTH: usize = 2;

const fn record_table(fields: &[(&str, Type)]) -> Prefix {
    Prefix::table().variant(&[("Ok", Type::Line(1))]).opt(Type::Line(2)).record(fields).vec(Type::Nat8)
}

/// Room for everything but the value.
const OTHER_BYTES: usize = 96;

/// Writes that a put was done.
pub fn put(version: Version) -> Vec<u8> {
    let mut reply = begin(&PUT, 0);
    reply.extend_from_slice(&version.0.to_le_bytes());
    reply
}

/// Reads that a put was done; `None` for everything else.
pub fn read_put(reply: &[u8]) -> Option<Version> {
    let mut reader = Reader::new(PUT.strip(reply)?);
    let version = reader.nat64()?;
    reader.end()?;
    Some(Version(version))
}

/// Writes that a delete was done.
pub fn delete(deleted: Option<Version>) -> Vec<u8> {
    let mut reply = begin(&DELETE, 0);
    write_optional_nat64(&mut reply, deleted.map(|version| version.0));
    reply
}

/// Reads that a delete was done; `None` for everything else.
pub fn read_delete(reply: &[u8]) -> Option<Option<Version>> {
    let mut reader = Reader::new(DELETE.strip(reply)?);
    let deleted = reader.option(Reader::nat64)?;
    reader.end()?;
    Some(deleted.map(Version))
}

/// Writes that there is no record.
pub fn no_record() -> Vec<u8> {
    begin(&NOTHING, 0)
}

/// What a reply says about a record beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Version of the record.
    pub version: Version,
    /// When the record ends.
    pub expires_at_nanoseconds: Option<u64>,
    /// Length of the value.
    pub value_bytes: usize,
    /// Whether the value is answered.
    pub include_value: bool,
}

impl RecordHead {
    fn length_told(&self) -> Option<u64> {
        (!self.include_value).then_some(self.value_bytes as u64)
    }
}

/// Begins the reply of a get that found a record. If the value is to be included, it is appended next; then
/// [`end_record`] follows.
pub fn begin_record(head: &RecordHead) -> Vec<u8> {
    let fields =
        if head.expires_at_nanoseconds.is_some() { EXPIRES } else { 0 } | if head.include_value { 0 } else { LENGTH };
    let value_bytes = if head.include_value { head.value_bytes } else { 0 };
    let mut reply = begin(&RECORD[fields], value_bytes);
    write_length(&mut reply, value_bytes);
    reply
}

/// Ends the reply of a get that found a record.
pub fn end_record(reply: &mut Vec<u8>, head: &RecordHead) {
    reply.extend_from_slice(&head.version.0.to_le_bytes());
    for number in [head.expires_at_nanoseconds, head.length_told()] {
        if number.is_some() {
            write_optional_nat64(reply, number);
        }
    }
}

/// Tells whether a reply is one that the functions above write for a get.
pub fn is_get(reply: &[u8]) -> bool {
    let found = RECORD.iter().enumerate().find_map(|(fields, prefix)| prefix.strip(reply).map(|rest| (fields, rest)));
    match found {
        Some((fields, rest)) => read_record(fields, rest).is_some(),
        None => NOTHING.strip(reply).is_some_and(<[u8]>::is_empty),
    }
}

fn read_record(fields: usize, rest: &[u8]) -> Option<()> {
    let mut reader = Reader::new(rest);
    reader.blob()?;
    reader.nat64()?;
    for field in [EXPIRES, LENGTH] {
        if fields & field != 0 {
            reader.option(Reader::nat64)?;
        }
    }
    reader.end()
}

fn begin(prefix: &Prefix, value_bytes: usize) -> Vec<u8> {
    let mut reply = Vec::with_capacity(OTHER_BYTES + value_bytes);
    reply.extend_from_slice(prefix.bytes());
    reply
}
