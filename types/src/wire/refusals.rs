//! Refusals with a type table of the one error that they are.
//!
//! The general encoder writes the types of all errors for any of them, which costs half a million instructions; and a
//! client that doesn't know the newest errors could read none.

use candid::Principal;

use super::bytes::{write_blob, write_length, write_optional_nat64};
use super::table::{Type, field_hash};
use crate::hash::KeyHash;
use crate::routing::Version;
use crate::shard::ShardError;

/// A field of an error.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// A `nat64`.
    Number(u64),
    /// A `nat32`.
    SmallNumber(u32),
    /// An `opt nat64`.
    OptionalNumber(Option<u64>),
    /// A `text`.
    Text(&'a str),
    /// A `principal`: its bytes.
    Principal(&'a [u8]),
}

/// Lines before those of fields: the result, the error, the error's record.
const FIRST_FREE_LINE: u8 = 3;

impl Field<'_> {
    fn type_byte(&self) -> u8 {
        match self {
            Field::Number(_) => Type::Nat64.byte(),
            Field::SmallNumber(_) => Type::Nat32.byte(),
            Field::OptionalNumber(_) => Type::Line(FIRST_FREE_LINE).byte(),
            Field::Text(_) => Type::Text.byte(),
            Field::Principal(_) => Type::Principal.byte(),
        }
    }

    fn write(&self, target: &mut Vec<u8>) {
        match self {
            Field::Number(number) => target.extend_from_slice(&number.to_le_bytes()),
            Field::SmallNumber(number) => target.extend_from_slice(&number.to_le_bytes()),
            Field::OptionalNumber(number) => write_optional_nat64(target, *number),
            Field::Text(text) => write_blob(target, text.as_bytes()),
            Field::Principal(bytes) => {
                target.push(1);
                write_blob(target, bytes);
            }
        }
    }
}

/// Room for a refusal without long texts.
const REFUSAL_BYTES: usize = 128;

/// Writes `variant { Err : variant { <tag> : record { <fields> } } }`, or `<tag>` alone if it has no fields.
pub fn refuse(tag: &str, fields: &[(&str, Field)]) -> Vec<u8> {
    let optional = fields.iter().any(|(_, field)| matches!(field, Field::OptionalNumber(_)));
    let lines = 2 + u8::from(!fields.is_empty()) + u8::from(optional);
    let mut reply = Vec::with_capacity(REFUSAL_BYTES);
    reply.extend_from_slice(b"DIDL");
    reply.push(lines);
    let variant = |reply: &mut Vec<u8>, tag: &str, of: Type| {
        reply.extend([0x6b, 1]);
        write_length(reply, field_hash(tag) as usize);
        reply.push(of.byte());
    };
    variant(&mut reply, "Err", Type::Line(1));
    variant(&mut reply, tag, if fields.is_empty() { Type::Null } else { Type::Line(2) });
    let mut sorted: Vec<(u32, &Field)> = fields.iter().map(|(name, field)| (field_hash(name), field)).collect();
    sorted.sort_unstable_by_key(|(hash, _)| *hash);
    if !sorted.is_empty() {
        reply.push(0x6c);
        write_length(&mut reply, sorted.len());
        for (hash, field) in &sorted {
            write_length(&mut reply, *hash as usize);
            reply.push(field.type_byte());
        }
    }
    if optional {
        reply.extend([0x6e, Type::Nat64.byte()]);
    }
    // One value, of type 0; the only tag, twice.
    reply.extend([1, 0, 0, 0]);
    for (_, field) in &sorted {
        field.write(&mut reply);
    }
    reply
}

/// Writes that a shard refuses; `None` for the one refusal that takes the general encoder, `WrongShard`.
pub fn shard_error(error: &ShardError) -> Option<Vec<u8>> {
    error.parts().map(|(tag, fields)| refuse(tag, &fields))
}

/// A field of an error, as far as it can be written by hand.
pub trait Plain {
    /// Shows the field; `None` when its type takes the general encoder.
    fn plain(&self) -> Option<Field<'_>> {
        None
    }
}

impl Plain for u64 {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::Number(*self))
    }
}

impl Plain for u32 {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::SmallNumber(*self))
    }
}

impl Plain for KeyHash {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::Number(self.0))
    }
}

impl Plain for Option<u64> {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::OptionalNumber(*self))
    }
}

impl Plain for Option<Version> {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::OptionalNumber(self.map(|version| version.0)))
    }
}

impl Plain for String {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::Text(self))
    }
}

impl Plain for Principal {
    fn plain(&self) -> Option<Field<'_>> {
        Some(Field::Principal(self.as_slice()))
    }
}
