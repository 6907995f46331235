//! Type tables, built at compile time.

use super::bytes::equal_bytes;

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// Fields of a record or a variant, at most.
const FIELDS_MAX: usize = 8;

/// A type inside a table: a primitive one, or the number of another line.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Null,
    Bool,
    Nat8,
    Nat32,
    Nat64,
    Text,
    Principal,
    /// The line of this number, up to 63.
    Line(u8),
}

impl Type {
    /// Its only byte: primitive types are small negative numbers in signed LEB128.
    pub const fn byte(self) -> u8 {
        match self {
            Type::Null => 0x7f,
            Type::Bool => 0x7e,
            Type::Nat8 => 0x7b,
            Type::Nat32 => 0x79,
            Type::Nat64 => 0x78,
            Type::Text => 0x71,
            Type::Principal => 0x68,
            Type::Line(line) => {
                assert!(line < 64, "the number of a line is one byte");
                line
            }
        }
    }
}

/// Everything of a message before its values.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    bytes: [u8; PREFIX_BYTES_MAX],
    length: usize,
    lines: u8,
}

impl Prefix {
    /// Begins an empty table.
    pub const fn table() -> Self {
        let mut prefix = Self { bytes: [0; PREFIX_BYTES_MAX], length: 0, lines: 0 };
        let magic = *b"DIDL\0";
        let mut at = 0;
        while at < magic.len() {
            prefix = prefix.push(magic[at]);
            at += 1;
        }
        prefix
    }

    const fn push(mut self, byte: u8) -> Self {
        self.bytes[self.length] = byte;
        self.length += 1;
        self
    }

    const fn line(mut self, constructor: u8) -> Self {
        self.lines += 1;
        self.push(constructor)
    }

    /// Adds a line: `vec` of a type.
    pub const fn vec(self, of: Type) -> Self {
        self.line(0x6d).push(of.byte())
    }

    /// Adds a line: `opt` of a type.
    pub const fn opt(self, of: Type) -> Self {
        self.line(0x6e).push(of.byte())
    }

    /// Adds a line: a record, whose fields may come in any order.
    pub const fn record(self, fields: &[(&str, Type)]) -> Self {
        self.line(0x6c).fields(fields)
    }

    /// Adds a line: a variant, whose tags may come in any order.
    pub const fn variant(self, tags: &[(&str, Type)]) -> Self {
        self.line(0x6b).fields(tags)
    }

    /// Writes fields in the order of their names' hashes, as Candid wants them.
    const fn fields(self, fields: &[(&str, Type)]) -> Self {
        assert!(fields.len() <= FIELDS_MAX);
        let mut prefix = self.push(fields.len() as u8);
        let mut written = 0;
        let mut least = 0;
        while written < fields.len() {
            let mut next = 0;
            let mut next_hash = u64::MAX;
            let mut at = 0;
            while at < fields.len() {
                let hash = field_hash(fields[at].0) as u64;
                if hash >= least && hash < next_hash {
                    next = at;
                    next_hash = hash;
                }
                at += 1;
            }
            prefix = prefix.leb128(next_hash).push(fields[next].1.byte());
            least = next_hash + 1;
            written += 1;
        }
        prefix
    }

    const fn leb128(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self = self.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8)
    }

    /// Ends the table: the message is one value of the type of line 0.
    pub const fn one_value(mut self) -> Self {
        self.bytes[4] = self.lines;
        self.push(1).push(0)
    }

    /// Adds the first byte of the values, which all messages with this prefix share.
    pub const fn then(self, byte: u8) -> Self {
        self.push(byte)
    }

    /// Shows the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Tells what follows the prefix; `None` if the message begins otherwise.
    pub fn strip<'a>(&self, message: &'a [u8]) -> Option<&'a [u8]> {
        let (head, values) = message.split_at_checked(self.length)?;
        equal_bytes(head, self.bytes()).then_some(values)
    }
}

/// Hashes the name of a field as Candid does.
pub(super) const fn field_hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut hash = 0u32;
    let mut at = 0;
    while at < bytes.len() {
        hash = hash.wrapping_mul(223).wrapping_add(bytes[at] as u32);
        at += 1;
    }
    hash
}

/// Tells whether values of fields with these names come in this order.
pub(super) const fn in_order(names: &[&str]) -> bool {
    let mut at = 1;
    while at < names.len() {
        if field_hash(names[at - 1]) >= field_hash(names[at]) {
            return false;
        }
        at += 1;
    }
    true
}
