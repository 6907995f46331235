//! Arguments of `apply`, and in [`answers`] its reply.

use crate::limits::BATCH_ITEMS_MAX;
use crate::shard::{Action, ApplyArguments, DeleteItem, Item, PutItem};
use crate::wire::arguments::{
    DeleteRef, GetRef, OperationRef, PutRef, precondition_lines, read_operation, read_precondition, write_operation,
    write_precondition,
};
use crate::wire::bytes::{Reader, is_ordinary_length, write_blob, write_length, write_optional_nat64};
use crate::wire::table::{Prefix, Type, in_order};
use candid::Principal;
use serde_bytes::ByteBuf;

pub mod answers;

pub use answers::{ANSWER_BYTES_MAX, AnswerRef, ReplyWriter, is_everyday, read_answers};

/// What to do in one item, in the message that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionRef<'a> {
    /// Read a record.
    Get(GetRef<'a>),
    /// Store a record.
    Put(PutRef<'a>),
    /// Remove a record.
    Delete(DeleteRef<'a>),
}

/// One item of a batch, in the message that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemRef<'a> {
    /// Its place in the caller's own batch.
    pub index: u32,
    /// What to do.
    pub action: ActionRef<'a>,
}

/// [`ApplyArguments`] in the message that carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyRef<'a> {
    /// Who asked the router: up to 29 bytes of a principal.
    pub caller: &'a [u8],
    /// As in the arguments.
    pub operation: Option<OperationRef<'a>>,
    /// As in the arguments.
    pub reply_bytes_max: Option<u64>,
    /// As in the arguments.
    pub items: Vec<ItemRef<'a>>,
}

/// Longest principal, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 29;

const _: () = assert!(in_order(&["reply_bytes_max", "operation", "caller", "items"]));
const _: () = assert!(in_order(&["action", "index"]));
const _: () = assert!(in_order(&["Get", "Put", "Delete"]));
const _: () = assert!(in_order(&["key", "precondition", "value", "time_to_live_milliseconds"]));

/// Lines 0 to 5: the arguments, `opt nat64`, `opt Operation` with what it needs, and the vector of items, line 6.
const fn arguments_table() -> Prefix {
    let fields = [
        ("caller", Type::Principal),
        ("operation", Type::Line(2)),
        ("reply_bytes_max", Type::Line(1)),
        ("items", Type::Line(5)),
    ];
    let table = Prefix::table().record(&fields).opt(Type::Nat64).opt(Type::Line(3));
    let operation = [("id", Type::Line(4)), ("issued_at_nanoseconds", Type::Nat64)];
    table.record(&operation).vec(Type::Nat8).vec(Type::Line(6))
}

/// A batch of puts of keys and values.
const PUTS: Prefix = arguments_table()
    .record(&[("index", Type::Nat32), ("action", Type::Line(7))])
    .variant(&[("Put", Type::Line(8))])
    .record(&[("key", Type::Line(4)), ("value", Type::Line(4))])
    .one_value();

/// A batch of everything.
const ANYTHING: Prefix = precondition_lines(
    arguments_table()
        .record(&[("index", Type::Nat32), ("action", Type::Line(7))])
        .variant(&[("Get", Type::Line(8)), ("Put", Type::Line(10)), ("Delete", Type::Line(13))])
        .record(&[("key", Type::Line(4)), ("include_value", Type::Line(9))])
        .opt(Type::Bool)
        .record(&[
            ("key", Type::Line(4)),
            ("value", Type::Line(4)),
            ("precondition", Type::Line(11)),
            ("time_to_live_milliseconds", Type::Line(1)),
        ]),
    11,
)
.record(&[("key", Type::Line(4)), ("precondition", Type::Line(11))])
.one_value();

impl<'a> ApplyRef<'a> {
    /// Reads a batch; `None` if that takes the general decoder.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        if !is_ordinary_length(message) {
            return None;
        }
        let (read_action, values): (fn(&mut Reader<'a>) -> Option<ActionRef<'a>>, _) = match PUTS.strip(message) {
            Some(values) => (read_put, values),
            None => (read_any, ANYTHING.strip(message)?),
        };
        let mut reader = Reader::new(values);
        let reply_bytes_max = reader.option(Reader::nat64)?;
        let operation = read_operation(&mut reader)?;
        let caller = read_principal(&mut reader)?;
        let count = reader.length()?;
        // More than that is refused anyway, and a small message must not ask for much memory.
        if count > BATCH_ITEMS_MAX {
            return None;
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let action = read_action(&mut reader)?;
            items.push(ItemRef { action, index: reader.nat32()? });
        }
        reader.end()?;
        Some(Self { caller, operation, reply_bytes_max, items })
    }

    /// Writes a batch.
    pub fn write(&self) -> Vec<u8> {
        let plain = self.items.iter().all(|item| matches!(item.action, ActionRef::Put(put) if put.is_plain()));
        let payload: usize = self.items.iter().map(|item| item.action.payload_bytes()).sum();
        let mut message = Vec::with_capacity(OTHER_BYTES + self.items.len() * ITEM_BYTES + payload);
        message.extend_from_slice(if plain { PUTS.bytes() } else { ANYTHING.bytes() });
        write_optional_nat64(&mut message, self.reply_bytes_max);
        match self.operation {
            None => message.push(0),
            some => write_operation(&mut message, some),
        }
        message.push(1);
        write_blob(&mut message, self.caller);
        write_length(&mut message, self.items.len());
        for item in &self.items {
            match (&item.action, plain) {
                (ActionRef::Put(put), true) => {
                    message.push(0);
                    write_blob(&mut message, put.key);
                    write_blob(&mut message, put.value);
                }
                (action, _) => write_any(&mut message, action),
            }
            message.extend_from_slice(&item.index.to_le_bytes());
        }
        message
    }

    /// Makes the arguments that the general encoder takes.
    ///
    /// # Panics
    ///
    /// When the caller is no principal, which is a slip of whoever made this.
    pub fn to_owned(&self) -> ApplyArguments {
        ApplyArguments {
            caller: Principal::from_slice(self.caller),
            operation: self.operation.map(|operation| crate::Operation {
                id: ByteBuf::from(operation.id),
                issued_at_nanoseconds: operation.issued_at_nanoseconds,
            }),
            reply_bytes_max: self.reply_bytes_max,
            items: self.items.iter().map(|item| Item { index: item.index, action: item.action.to_owned() }).collect(),
        }
    }
}

impl ActionRef<'_> {
    fn payload_bytes(&self) -> usize {
        match self {
            ActionRef::Get(get) => get.key.len(),
            ActionRef::Put(put) => put.key.len() + put.value.len(),
            ActionRef::Delete(delete) => delete.key.len(),
        }
    }

    fn to_owned(self) -> Action {
        match self {
            ActionRef::Get(get) => {
                Action::Get(crate::GetArguments { key: ByteBuf::from(get.key), include_value: get.include_value })
            }
            ActionRef::Put(put) => Action::Put(PutItem {
                key: ByteBuf::from(put.key),
                value: ByteBuf::from(put.value),
                precondition: put.precondition,
                time_to_live_milliseconds: put.time_to_live_milliseconds,
            }),
            ActionRef::Delete(delete) => {
                Action::Delete(DeleteItem { key: ByteBuf::from(delete.key), precondition: delete.precondition })
            }
        }
    }
}

impl<'a> From<&'a ApplyArguments> for ApplyRef<'a> {
    fn from(batch: &'a ApplyArguments) -> Self {
        let action = |action: &'a Action| match action {
            Action::Get(get) => ActionRef::Get(get.into()),
            Action::Put(put) => ActionRef::Put(put.into()),
            Action::Delete(delete) => ActionRef::Delete(delete.into()),
        };
        Self {
            caller: batch.caller.as_slice(),
            operation: batch.operation.as_ref().map(OperationRef::from),
            reply_bytes_max: batch.reply_bytes_max,
            items: batch.items.iter().map(|item| ItemRef { index: item.index, action: action(&item.action) }).collect(),
        }
    }
}

/// Room for the table and the fields beside the items, and for each item's bytes beside key and value.
const OTHER_BYTES: usize = 320;
const ITEM_BYTES: usize = 40;

fn read_principal<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    // The other form of a reference is opaque.
    if reader.byte()? != 1 {
        return None;
    }
    reader.blob().filter(|bytes| bytes.len() <= PRINCIPAL_BYTES_MAX)
}

fn read_put<'a>(reader: &mut Reader<'a>) -> Option<ActionRef<'a>> {
    if reader.byte()? != 0 {
        return None;
    }
    let (key, value) = (reader.blob()?, reader.blob()?);
    Some(ActionRef::Put(PutRef { key, value, precondition: None, time_to_live_milliseconds: None, operation: None }))
}

fn read_any<'a>(reader: &mut Reader<'a>) -> Option<ActionRef<'a>> {
    match reader.byte()? {
        0 => {
            let key = reader.blob()?;
            Some(ActionRef::Get(GetRef { key, include_value: reader.option(Reader::boolean)? }))
        }
        1 => {
            let key = reader.blob()?;
            let precondition = read_precondition(reader)?;
            let value = reader.blob()?;
            let time_to_live_milliseconds = reader.option(Reader::nat64)?;
            Some(ActionRef::Put(PutRef { key, value, precondition, time_to_live_milliseconds, operation: None }))
        }
        2 => {
            let key = reader.blob()?;
            Some(ActionRef::Delete(DeleteRef { key, precondition: read_precondition(reader)?, operation: None }))
        }
        _ => None,
    }
}

fn write_any(message: &mut Vec<u8>, action: &ActionRef) {
    let optional_precondition = |message: &mut Vec<u8>, precondition: Option<_>| match precondition {
        None => message.push(0),
        some => write_precondition(message, some),
    };
    match action {
        ActionRef::Get(get) => {
            message.push(0);
            write_blob(message, get.key);
            match get.include_value {
                None => message.push(0),
                Some(include) => message.extend([1, u8::from(include)]),
            }
        }
        ActionRef::Put(put) => {
            message.push(1);
            write_blob(message, put.key);
            optional_precondition(message, put.precondition);
            write_blob(message, put.value);
            write_optional_nat64(message, put.time_to_live_milliseconds);
        }
        ActionRef::Delete(delete) => {
            message.push(2);
            write_blob(message, delete.key);
            optional_precondition(message, delete.precondition);
        }
    }
}
