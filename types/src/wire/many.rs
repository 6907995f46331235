//! Arguments of `put_many`, `get_many` and `delete_many`, and their replies.

use super::arguments::{
    DeleteRef, OPERATION, OperationRef, PRECONDITION, PutRef, TIME_TO_LIVE, item_fields, item_lines, read_operation,
    read_precondition, write_operation, write_precondition,
};
use super::bytes::{PIECE_BYTES, Reader, is_ordinary_length, write_blob, write_length, write_optional_nat64};
use super::replies::RecordHead;
use super::table::{Prefix, Type, in_order};
use crate::api::{DeleteManyArguments, GetManyArguments, PutManyArguments};
use crate::limits::REQUEST_ITEMS_MAX;
use crate::routing::Version;

/// [`PutManyArguments`] in the message that carries them; the items have no operation of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManyRef<'a> {
    /// As in the arguments.
    pub items: Vec<PutRef<'a>>,
    /// As in the arguments.
    pub operation: Option<OperationRef<'a>>,
}

/// [`GetManyArguments`] in the message that carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetManyRef<'a> {
    /// As in the arguments.
    pub keys: Vec<&'a [u8]>,
    /// As in the arguments.
    pub include_value: Option<bool>,
}

/// [`DeleteManyArguments`] in the message that carries them; the items have no operation of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteManyRef<'a> {
    /// As in the arguments.
    pub items: Vec<DeleteRef<'a>>,
    /// As in the arguments.
    pub operation: Option<OperationRef<'a>>,
}

const _: () = assert!(in_order(&["operation", "items"]));
const _: () = assert!(in_order(&["include_value", "keys"]));
const _: () = assert!(in_order(&["key", "precondition", "value", "time_to_live_milliseconds"]));
const _: () = assert!(in_order(&["Ok", "Err"]));
const _: () = assert!(in_order(&["value", "version", "expires_at_nanoseconds", "value_bytes"]));

/// Tables of the arguments of `put_many` and `delete_many`, by set of optional fields. Those of an item are there for all
/// items if one uses them.
const PUT_MANY: [Prefix; 8] = tables(true);
const DELETE_MANY: [Prefix; 8] = tables(false);

const fn tables(is_put: bool) -> [Prefix; 8] {
    let mut tables = [Prefix::table(); 8];
    let mut fields = 0;
    while fields < 8 {
        tables[fields] = write_table(is_put, fields);
        fields += 1;
    }
    tables
}

/// Writes the lines in the order of crate `candid`: with an operation, its blob comes before the items' keys and serves
/// for them too; without, the blob follows the item.
const fn write_table(is_put: bool, fields: usize) -> Prefix {
    let with_operation = fields & OPERATION != 0;
    let items = if with_operation { 4 } else { 1 };
    let blob = Type::Line(3);
    let mut next = items + if with_operation { 2 } else { 3 };
    let precondition = next;
    if fields & PRECONDITION != 0 {
        next += 2;
    }
    let time_to_live = next;
    let mut table = Prefix::table();
    table = if with_operation {
        let operation = [("id", blob), ("issued_at_nanoseconds", Type::Nat64)];
        table
            .record(&[("operation", Type::Line(1)), ("items", Type::Line(items))])
            .opt(Type::Line(2))
            .record(&operation)
            .vec(Type::Nat8)
    } else {
        table.record(&[("items", Type::Line(items))])
    };
    let (list, count) = item_fields(is_put, fields, blob, precondition, time_to_live);
    table = table.vec(Type::Line(items + 1)).record(list.split_at(count).0);
    if !with_operation {
        table = table.vec(Type::Nat8);
    }
    item_lines(table, fields, precondition).one_value()
}

/// Tables of the arguments of `get_many`, without and with the optional field.
const GET_MANY: [Prefix; 2] = [
    Prefix::table().record(&[("keys", Type::Line(1))]).vec(Type::Line(2)).vec(Type::Nat8).one_value(),
    Prefix::table()
        .record(&[("include_value", Type::Line(1)), ("keys", Type::Line(2))])
        .opt(Type::Bool)
        .vec(Type::Line(3))
        .vec(Type::Nat8)
        .one_value(),
];

/// Room for the table and what stands beside the items, and for each item's bytes beside key and value.
const OTHER_BYTES: usize = 192;
const ITEM_BYTES: usize = 40;

impl<'a> PutManyRef<'a> {
    /// Reads the arguments; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (fields, operation, mut reader, count) = begin_items(&PUT_MANY, message)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.blob()?;
            let precondition = if fields & PRECONDITION != 0 { read_precondition(&mut reader)? } else { None };
            let value = reader.blob()?;
            let time_to_live_milliseconds =
                if fields & TIME_TO_LIVE != 0 { reader.option(Reader::nat64)? } else { None };
            items.push(PutRef { key, value, precondition, time_to_live_milliseconds, operation: None });
        }
        reader.end()?;
        Some(Self { items, operation })
    }

    /// Writes the arguments, with a table of the fields that are used.
    pub fn write(&self) -> Vec<u8> {
        let preconditions = self.items.iter().any(|item| item.precondition.is_some());
        let times_to_live = self.items.iter().any(|item| item.time_to_live_milliseconds.is_some());
        let payload = self.items.iter().map(|item| item.key.len() + item.value.len()).sum();
        let mut message = begin_writing(
            &PUT_MANY[fields(preconditions, times_to_live, self.operation.is_some())],
            self.items.len(),
            payload,
        );
        write_operation(&mut message, self.operation);
        write_length(&mut message, self.items.len());
        for item in &self.items {
            write_blob(&mut message, item.key);
            match item.precondition {
                None if preconditions => message.push(0),
                precondition => write_precondition(&mut message, precondition),
            }
            write_blob(&mut message, item.value);
            if times_to_live {
                write_optional_nat64(&mut message, item.time_to_live_milliseconds);
            }
        }
        message
    }
}

impl<'a> DeleteManyRef<'a> {
    /// Reads the arguments; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (fields, operation, mut reader, count) = begin_items(&DELETE_MANY, message)?;
        if fields & TIME_TO_LIVE != 0 {
            return None;
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.blob()?;
            let precondition = if fields & PRECONDITION != 0 { read_precondition(&mut reader)? } else { None };
            items.push(DeleteRef { key, precondition, operation: None });
        }
        reader.end()?;
        Some(Self { items, operation })
    }

    /// Writes the arguments, with a table of the fields that are used.
    pub fn write(&self) -> Vec<u8> {
        let preconditions = self.items.iter().any(|item| item.precondition.is_some());
        let payload = self.items.iter().map(|item| item.key.len()).sum();
        let table = &DELETE_MANY[fields(preconditions, false, self.operation.is_some())];
        let mut message = begin_writing(table, self.items.len(), payload);
        write_operation(&mut message, self.operation);
        write_length(&mut message, self.items.len());
        for item in &self.items {
            write_blob(&mut message, item.key);
            match item.precondition {
                None if preconditions => message.push(0),
                precondition => write_precondition(&mut message, precondition),
            }
        }
        message
    }
}

impl<'a> GetManyRef<'a> {
    /// Reads the arguments; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        if !is_ordinary_length(message) {
            return None;
        }
        let strip = |(with, table): (usize, &Prefix)| table.strip(message).map(|values| (with, values));
        let (with, values) = GET_MANY.iter().enumerate().find_map(strip)?;
        let mut reader = Reader::new(values);
        let include_value = if with == 1 { reader.option(Reader::boolean)? } else { None };
        let count = reader.length().filter(|count| *count <= REQUEST_ITEMS_MAX)?;
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(reader.blob()?);
        }
        reader.end()?;
        Some(Self { keys, include_value })
    }

    /// Writes the arguments, with a table of the fields that are used.
    pub fn write(&self) -> Vec<u8> {
        let payload = self.keys.iter().map(|key| key.len()).sum();
        let table = &GET_MANY[usize::from(self.include_value.is_some())];
        let mut message = begin_writing(table, self.keys.len(), payload);
        if let Some(include) = self.include_value {
            message.extend([1, u8::from(include)]);
        }
        write_length(&mut message, self.keys.len());
        for key in &self.keys {
            write_blob(&mut message, key);
        }
        message
    }
}

/// Tells how many items a batch announces, if that can be told by hand. A message that announces too many needs no
/// decoding.
pub fn announced(message: &[u8]) -> Option<usize> {
    if !is_ordinary_length(message) {
        return None;
    }
    let gets = GET_MANY.iter().enumerate().find_map(|(with, table)| table.strip(message).map(|values| (with, values)));
    if let Some((with, values)) = gets {
        let mut reader = Reader::new(values);
        if with == 1 {
            reader.option(Reader::boolean)?;
        }
        return reader.length();
    }
    let strip = |(fields, table): (usize, &Prefix)| table.strip(message).map(|values| (fields, values));
    let mut writes = PUT_MANY.iter().enumerate().chain(DELETE_MANY.iter().enumerate());
    let (fields, values) = writes.find_map(strip)?;
    let mut reader = Reader::new(values);
    if fields & OPERATION != 0 {
        read_operation(&mut reader)?;
    }
    reader.length()
}

/// Finds the table of a batch of writes and reads up to its first item. More items than may be are left to the general
/// decoder, which has a quota: a small message must not ask for much memory.
fn begin_items<'a>(
    tables: &[Prefix; 8],
    message: &'a [u8],
) -> Option<(usize, Option<OperationRef<'a>>, Reader<'a>, usize)> {
    if !is_ordinary_length(message) {
        return None;
    }
    let strip = |(fields, table): (usize, &Prefix)| table.strip(message).map(|values| (fields, values));
    let (fields, values) = tables.iter().enumerate().find_map(strip)?;
    let mut reader = Reader::new(values);
    let operation = if fields & OPERATION != 0 { read_operation(&mut reader)? } else { None };
    let count = reader.length().filter(|count| *count <= REQUEST_ITEMS_MAX)?;
    Some((fields, operation, reader, count))
}

fn begin_writing(table: &Prefix, items: usize, payload_bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(OTHER_BYTES + items * ITEM_BYTES + payload_bytes);
    message.extend_from_slice(table.bytes());
    message
}

fn fields(preconditions: bool, times_to_live: bool, operation: bool) -> usize {
    let of = |is_used: bool, bit: usize| if is_used { bit } else { 0 };
    of(preconditions, PRECONDITION) | of(times_to_live, TIME_TO_LIVE) | of(operation, OPERATION)
}

impl<'a> From<&'a PutManyArguments> for PutManyRef<'a> {
    fn from(batch: &'a PutManyArguments) -> Self {
        Self {
            items: batch.items.iter().map(PutRef::from).collect(),
            operation: batch.operation.as_ref().map(OperationRef::from),
        }
    }
}

impl<'a> From<&'a DeleteManyArguments> for DeleteManyRef<'a> {
    fn from(batch: &'a DeleteManyArguments) -> Self {
        Self {
            items: batch.items.iter().map(DeleteRef::from).collect(),
            operation: batch.operation.as_ref().map(OperationRef::from),
        }
    }
}

impl<'a> From<&'a GetManyArguments> for GetManyRef<'a> {
    fn from(batch: &'a GetManyArguments) -> Self {
        Self { keys: batch.keys.iter().map(|key| key.as_slice()).collect(), include_value: batch.include_value }
    }
}

// Replies ------------------------------------------------------------------------------------------------------------

/// `variant { Ok : vec variant { Ok : record { version : nat64 } } }`, and the number of the tag.
const PUTS_DONE: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .vec(Type::Line(2))
    .variant(&[("Ok", Type::Line(3))])
    .record(&[("version", Type::Nat64)])
    .one_value()
    .then(0);

/// `variant { Ok : vec variant { Ok : record { deleted : opt nat64 } } }`, and the number of the tag.
const DELETES_DONE: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .vec(Type::Line(2))
    .variant(&[("Ok", Type::Line(3))])
    .record(&[("deleted", Type::Line(4))])
    .opt(Type::Nat64)
    .one_value()
    .then(0);

/// Records that were found or not, or have to be asked for again; and the number of the outer tag.
const GETS_ANSWERED: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .vec(Type::Line(2))
    .variant(&[("Ok", Type::Line(3)), ("Err", Type::Line(7))])
    .opt(Type::Line(4))
    .record(&[
        ("value", Type::Line(5)),
        ("version", Type::Nat64),
        ("expires_at_nanoseconds", Type::Line(6)),
        ("value_bytes", Type::Line(6)),
    ])
    .vec(Type::Nat8)
    .opt(Type::Nat64)
    .variant(&[("AskAgain", Type::Line(8))])
    .record(&[("bytes", Type::Nat64)])
    .one_value()
    .then(0);

const OK: u8 = 0;
const ERR: u8 = 1;

/// Writes that every put of a batch was done.
pub fn puts_done(versions: impl ExactSizeIterator<Item = Version>) -> Vec<u8> {
    let mut reply = begin_writing(&PUTS_DONE, versions.len(), 0);
    write_length(&mut reply, versions.len());
    for version in versions {
        reply.push(OK);
        reply.extend_from_slice(&version.0.to_le_bytes());
    }
    reply
}

/// Reads that every put of a batch was done; `None` for everything else.
pub fn read_puts_done(reply: &[u8]) -> Option<Vec<Version>> {
    let mut reader = Reader::new(PUTS_DONE.strip(reply)?);
    let count = reader.length().filter(|count| *count <= REQUEST_ITEMS_MAX)?;
    let mut versions = Vec::with_capacity(count);
    for _ in 0..count {
        if reader.byte()? != OK {
            return None;
        }
        versions.push(Version(reader.nat64()?));
    }
    reader.end()?;
    Some(versions)
}

/// Writes that every delete of a batch was done.
pub fn deletes_done(versions: impl ExactSizeIterator<Item = Option<Version>>) -> Vec<u8> {
    let mut reply = begin_writing(&DELETES_DONE, versions.len(), 0);
    write_length(&mut reply, versions.len());
    for version in versions {
        reply.push(OK);
        write_optional_nat64(&mut reply, version.map(|version| version.0));
    }
    reply
}

/// What a get of a batch answers on an ordinary day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetAnswer<'a> {
    /// Nothing is stored under the key.
    Nothing,
    /// A record; the value is empty when it isn't included.
    Record(RecordHead, &'a [u8]),
    /// A value of so many bytes, which doesn't fit.
    AskAgain(u64),
}

/// Writes the answers to a batch of gets, and hands the reply to `send` piece by piece.
pub fn gets_answered<'a>(answers: impl ExactSizeIterator<Item = GetAnswer<'a>>, mut send: impl FnMut(&[u8])) {
    let mut reply = begin_writing(&GETS_ANSWERED, 0, PIECE_BYTES);
    write_length(&mut reply, answers.len());
    for answer in answers {
        let value_bytes = if let GetAnswer::Record(_, value) = answer { value.len() } else { 0 };
        if !reply.is_empty() && reply.len() + value_bytes + ITEM_BYTES > PIECE_BYTES {
            send(&reply);
            reply.clear();
        }
        match answer {
            GetAnswer::Nothing => reply.extend([OK, 0]),
            GetAnswer::Record(head, value) => {
                reply.extend([OK, 1]);
                write_blob(&mut reply, if head.include_value { value } else { &[] });
                reply.extend_from_slice(&head.version.0.to_le_bytes());
                write_optional_nat64(&mut reply, head.expires_at_nanoseconds);
                write_optional_nat64(&mut reply, (!head.include_value).then_some(head.value_bytes as u64));
            }
            GetAnswer::AskAgain(bytes) => {
                reply.extend([ERR, 0]);
                reply.extend_from_slice(&bytes.to_le_bytes());
            }
        }
    }
    send(&reply);
}
