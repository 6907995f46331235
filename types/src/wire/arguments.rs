//! Arguments of `put`, `get` and `delete`.

use super::bytes::{Reader, is_ordinary_length, write_blob, write_optional_nat64};
use super::table::{Prefix, Type, in_order};
use crate::api::{DeleteArguments, DeleteItem, GetArguments, Operation, Precondition, PutArguments, PutItem};
use crate::routing::Version;

/// An operation's name, in the message that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationRef<'a> {
    /// 16 bytes, unless the client is wrong.
    pub id: &'a [u8],
    /// In nanoseconds since 1970.
    pub issued_at_nanoseconds: u64,
}

/// [`PutArguments`] in the message that carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutRef<'a> {
    /// As in the arguments.
    pub key: &'a [u8],
    /// As in the arguments.
    pub value: &'a [u8],
    /// As in the arguments.
    pub precondition: Option<Precondition>,
    /// As in the arguments.
    pub time_to_live_milliseconds: Option<u64>,
    /// As in the arguments; null in items of a batch, which has one for all of them.
    pub operation: Option<OperationRef<'a>>,
}

/// [`GetArguments`] in the message that carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetRef<'a> {
    /// As in the arguments.
    pub key: &'a [u8],
    /// As in the arguments.
    pub include_value: Option<bool>,
}

/// [`DeleteArguments`] in the message that carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteRef<'a> {
    /// As in the arguments.
    pub key: &'a [u8],
    /// As in the arguments.
    pub precondition: Option<Precondition>,
    /// As in the arguments; null in items of a batch.
    pub operation: Option<OperationRef<'a>>,
}

// Sets of optional fields, a bit each.
pub(super) const PRECONDITION: usize = 1;
pub(super) const TIME_TO_LIVE: usize = 2;
pub(super) const OPERATION: usize = 4;

const _: () = assert!(in_order(&["key", "precondition", "value", "time_to_live_milliseconds", "operation"]));
const _: () = assert!(in_order(&["key", "include_value"]));
const _: () = assert!(in_order(&["Present", "Version", "Absent"]));
const _: () = assert!(in_order(&["id", "issued_at_nanoseconds"]));

/// Tables of a put's or a delete's arguments, by set of optional fields. Lines come in the order of crate `candid`:
/// a type, then those that its fields need, one after the other, unless they are there.
const PUT: [Prefix; 8] = tables(true);
const DELETE: [Prefix; 8] = tables(false);

const fn tables(is_put: bool) -> [Prefix; 8] {
    let mut tables = [Prefix::table(); 8];
    let mut fields = 0;
    while fields < 8 {
        tables[fields] = write_table(is_put, fields);
        fields += 1;
    }
    tables
}

const fn write_table(is_put: bool, fields: usize) -> Prefix {
    let blob = Type::Line(1);
    let precondition = 2;
    let time_to_live = precondition + if fields & PRECONDITION != 0 { 2 } else { 0 };
    let operation = time_to_live + if fields & TIME_TO_LIVE != 0 { 1 } else { 0 };
    let (mut list, mut count) = item_fields(is_put, fields, blob, precondition, time_to_live);
    if fields & OPERATION != 0 {
        list[count] = ("operation", Type::Line(operation));
        count += 1;
    }
    let mut table = Prefix::table().record(list.split_at(count).0).vec(Type::Nat8);
    table = item_lines(table, fields, precondition);
    if fields & OPERATION != 0 {
        table = operation_lines(table, operation, 1);
    }
    table.one_value()
}

/// Lists the fields of a put or a delete, by set of optional fields, and counts them; there is room for one more. `blob`,
/// `precondition` and `time_to_live` are the lines of their types.
pub(super) const fn item_fields(
    is_put: bool,
    fields: usize,
    blob: Type,
    precondition: u8,
    time_to_live: u8,
) -> ([(&'static str, Type); 5], usize) {
    // Unused fields repeat the key and are cut off.
    let mut list = [("key", blob); 5];
    let mut count = 1;
    if is_put {
        list[count] = ("value", blob);
        count += 1;
    }
    if fields & PRECONDITION != 0 {
        list[count] = ("precondition", Type::Line(precondition));
        count += 1;
    }
    if fields & TIME_TO_LIVE != 0 {
        list[count] = ("time_to_live_milliseconds", Type::Line(time_to_live));
        count += 1;
    }
    (list, count)
}

/// Adds what the optional fields that [`item_fields`] lists need, the first of them as line `line`.
pub(super) const fn item_lines(mut table: Prefix, fields: usize, line: u8) -> Prefix {
    if fields & PRECONDITION != 0 {
        table = precondition_lines(table, line);
    }
    if fields & TIME_TO_LIVE != 0 {
        table = table.opt(Type::Nat64);
    }
    table
}

/// Adds `opt Precondition` as line `line`, and what it needs.
pub(super) const fn precondition_lines(table: Prefix, line: u8) -> Prefix {
    let tags = [("Absent", Type::Null), ("Present", Type::Null), ("Version", Type::Nat64)];
    table.opt(Type::Line(line + 1)).variant(&tags)
}

/// Adds `opt Operation` as line `line`, and what it needs; `blob` is the line of the blob.
const fn operation_lines(table: Prefix, line: u8, blob: u8) -> Prefix {
    let fields = [("id", Type::Line(blob)), ("issued_at_nanoseconds", Type::Nat64)];
    table.opt(Type::Line(line + 1)).record(&fields)
}

/// Tables of a get's arguments, without and with the optional field.
const GET: [Prefix; 2] = [
    Prefix::table().record(&[("key", Type::Line(1))]).vec(Type::Nat8).one_value(),
    Prefix::table()
        .record(&[("key", Type::Line(1)), ("include_value", Type::Line(2))])
        .vec(Type::Nat8)
        .opt(Type::Bool)
        .one_value(),
];

impl<'a> PutRef<'a> {
    /// Reads a put's arguments; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (fields, values) = strip_any(&PUT, message)?;
        let mut reader = Reader::new(values);
        let key = reader.blob()?;
        let precondition = if fields & PRECONDITION != 0 { read_precondition(&mut reader)? } else { None };
        let value = reader.blob()?;
        let time_to_live_milliseconds = if fields & TIME_TO_LIVE != 0 { reader.option(Reader::nat64)? } else { None };
        let operation = if fields & OPERATION != 0 { read_operation(&mut reader)? } else { None };
        reader.end()?;
        Some(Self { key, value, precondition, time_to_live_milliseconds, operation })
    }

    /// Writes a put's arguments, with a table of the fields that are used.
    pub fn write(&self) -> Vec<u8> {
        let fields = field(PRECONDITION, self.precondition.is_some())
            | field(TIME_TO_LIVE, self.time_to_live_milliseconds.is_some())
            | field(OPERATION, self.operation.is_some());
        let mut message = begin(&PUT[fields], self.key.len() + self.value.len());
        write_blob(&mut message, self.key);
        write_precondition(&mut message, self.precondition);
        write_blob(&mut message, self.value);
        if let Some(milliseconds) = self.time_to_live_milliseconds {
            write_optional_nat64(&mut message, Some(milliseconds));
        }
        write_operation(&mut message, self.operation);
        message
    }

    /// Tells whether nothing but key and value is given, so that a shard of any version understands all of it.
    pub fn is_plain(&self) -> bool {
        self.precondition.is_none() && self.time_to_live_milliseconds.is_none() && self.operation.is_none()
    }
}

impl<'a> GetRef<'a> {
    /// Reads a get's arguments; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (fields, values) = strip_any(&GET, message)?;
        let mut reader = Reader::new(values);
        let key = reader.blob()?;
        let include_value = if fields == 1 { reader.option(Reader::boolean)? } else { None };
        reader.end()?;
        Some(Self { key, include_value })
    }

    /// Writes a get's arguments, with a table of the fields that are used.
    pub fn write(&self) -> Vec<u8> {
        let mut message = begin(&GET[usize::from(self.include_value.is_some())], self.key.len());
        write_blob(&mut message, self.key);
        if let Some(include) = self.include_value {
            message.extend([1, u8::from(include)]);
        }
        message
    }
}

impl<'a> DeleteRef<'a> {
    /// Reads a delete's arguments; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (fields, values) = strip_any(&DELETE, message)?;
        if fields & TIME_TO_LIVE != 0 {
            return None;
        }
        let mut reader = Reader::new(values);
        let key = reader.blob()?;
        let precondition = if fields & PRECONDITION != 0 { read_precondition(&mut reader)? } else { None };
        let operation = if fields & OPERATION != 0 { read_operation(&mut reader)? } else { None };
        reader.end()?;
        Some(Self { key, precondition, operation })
    }

    /// Writes a delete's arguments, with a table of the fields that are used.
    pub fn write(&self) -> Vec<u8> {
        let fields = field(PRECONDITION, self.precondition.is_some()) | field(OPERATION, self.operation.is_some());
        let mut message = begin(&DELETE[fields], self.key.len());
        write_blob(&mut message, self.key);
        write_precondition(&mut message, self.precondition);
        write_operation(&mut message, self.operation);
        message
    }

    /// Tells whether nothing but the key is given, so that a shard of any version understands all of it.
    pub fn is_plain(&self) -> bool {
        self.precondition.is_none() && self.operation.is_none()
    }
}

const fn field(bit: usize, is_used: bool) -> usize {
    if is_used { bit } else { 0 }
}

/// Room for everything but keys and values.
const OTHER_BYTES: usize = 192;

fn begin(prefix: &Prefix, payload_bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(OTHER_BYTES + payload_bytes);
    message.extend_from_slice(prefix.bytes());
    message
}

/// Finds the table that a message begins with.
fn strip_any<'a>(tables: &[Prefix], message: &'a [u8]) -> Option<(usize, &'a [u8])> {
    if !is_ordinary_length(message) {
        return None;
    }
    tables.iter().enumerate().find_map(|(fields, table)| table.strip(message).map(|values| (fields, values)))
}

/// Reads an `opt Precondition`.
pub(super) fn read_precondition(reader: &mut Reader) -> Option<Option<Precondition>> {
    reader.option(|reader| match reader.byte()? {
        0 => Some(Precondition::Present),
        1 => reader.nat64().map(|version| Precondition::Version(Version(version))),
        2 => Some(Precondition::Absent),
        _ => None,
    })
}

/// Reads an `opt Operation`.
pub(super) fn read_operation<'a>(reader: &mut Reader<'a>) -> Option<Option<OperationRef<'a>>> {
    reader.option(|reader| Some(OperationRef { id: reader.blob()?, issued_at_nanoseconds: reader.nat64()? }))
}

/// Writes an `opt Precondition`, unless it is null: then its field is left out.
pub(super) fn write_precondition(message: &mut Vec<u8>, precondition: Option<Precondition>) {
    match precondition {
        None => {}
        Some(Precondition::Present) => message.extend([1, 0]),
        Some(Precondition::Version(version)) => {
            message.extend([1, 1]);
            message.extend_from_slice(&version.0.to_le_bytes());
        }
        Some(Precondition::Absent) => message.extend([1, 2]),
    }
}

/// Writes an `opt Operation`, unless it is null: then its field is left out.
pub(super) fn write_operation(message: &mut Vec<u8>, operation: Option<OperationRef>) {
    if let Some(operation) = operation {
        message.push(1);
        write_blob(message, operation.id);
        message.extend_from_slice(&operation.issued_at_nanoseconds.to_le_bytes());
    }
}

impl<'a> From<&'a Operation> for OperationRef<'a> {
    fn from(operation: &'a Operation) -> Self {
        Self { id: &operation.id, issued_at_nanoseconds: operation.issued_at_nanoseconds }
    }
}

impl<'a> From<&'a PutArguments> for PutRef<'a> {
    fn from(put: &'a PutArguments) -> Self {
        Self {
            key: &put.key,
            value: &put.value,
            precondition: put.precondition,
            time_to_live_milliseconds: put.time_to_live_milliseconds,
            operation: put.operation.as_ref().map(OperationRef::from),
        }
    }
}

impl<'a> From<&'a PutItem> for PutRef<'a> {
    /// A batch has one operation for all its items, so none of them has one of its own.
    fn from(item: &'a PutItem) -> Self {
        Self {
            key: &item.key,
            value: &item.value,
            precondition: item.precondition,
            time_to_live_milliseconds: item.time_to_live_milliseconds,
            operation: None,
        }
    }
}

impl<'a> From<&'a DeleteItem> for DeleteRef<'a> {
    /// As for a put.
    fn from(item: &'a DeleteItem) -> Self {
        Self { key: &item.key, precondition: item.precondition, operation: None }
    }
}

impl<'a> From<&'a GetArguments> for GetRef<'a> {
    fn from(get: &'a GetArguments) -> Self {
        Self { key: &get.key, include_value: get.include_value }
    }
}

impl<'a> From<&'a DeleteArguments> for DeleteRef<'a> {
    fn from(delete: &'a DeleteArguments) -> Self {
        Self {
            key: &delete.key,
            precondition: delete.precondition,
            operation: delete.operation.as_ref().map(OperationRef::from),
        }
    }
}
