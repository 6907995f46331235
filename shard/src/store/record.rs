//! Records and index payloads: how they are encoded.

use std::mem::MaybeUninit;

use ic_stable_structures::Memory;

use super::api::{Found, KeyRef, Kind, Operation, Outcome, Receipt};
use super::layout::{
    KEY_BYTES_MAX, NANOSECONDS_PER_MILLISECOND, PAGE_BITS, RECORD_HEADER_BYTES, put_at, put_u48_at, u16_at, u32_at,
    u48_at, u64_at, u128_at,
};
use super::pages::Metered;
use super::slabs::Slot;

/// Kind of an index entry that leads to a displaced receipt.
const RECEIPT: u8 = 7;
/// Kind of an index entry that only counts a key's receipts.
const GHOST: u8 = 8;

const SLOT_SHIFT: u32 = PAGE_BITS;
const CLASS_SHIFT: u32 = SLOT_SHIFT + 7;
const KIND_SHIFT: u32 = CLASS_SHIFT + 6;
const EXPIRES_SHIFT: u32 = KIND_SHIFT + 4;
const COUNT_SHIFT: u32 = EXPIRES_SHIFT + 1;
const COUNT_MASK: u64 = (1 << 17) - 1;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;

const _: () = assert!(COUNT_SHIFT + 17 <= 64 && super::layout::RECEIPTS_PER_KEY_MAX as u64 <= COUNT_MASK);

/// What an index entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    Record { slot: Slot, kind: Kind, expires: bool, receipts: u32 },
    Receipt { page: u32, index: u8 },
    Ghost { receipts: u32 },
}

impl Kind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Value,
            2 => Kind::Manifest,
            3 => Kind::Chunk,
            4 => Kind::Upload,
            5 => Kind::Deletion,
            6 => Kind::Tombstone,
            _ => return None,
        })
    }
}

impl Pointer {
    /// Packs it into the payload of an index entry.
    pub fn encode(self) -> u64 {
        match self {
            Pointer::Record { slot, kind, expires, receipts } => {
                u64::from(slot.page)
                    | u64::from(slot.index) << SLOT_SHIFT
                    | u64::from(slot.class) << CLASS_SHIFT
                    | (kind as u64) << KIND_SHIFT
                    | u64::from(expires) << EXPIRES_SHIFT
                    | u64::from(receipts) << COUNT_SHIFT
            }
            Pointer::Receipt { page, index } => {
                u64::from(page) | u64::from(index) << SLOT_SHIFT | u64::from(RECEIPT) << KIND_SHIFT
            }
            Pointer::Ghost { receipts } => u64::from(GHOST) << KIND_SHIFT | u64::from(receipts) << COUNT_SHIFT,
        }
    }

    /// Unpacks the payload of an index entry.
    pub fn decode(payload: u64) -> Pointer {
        let page = (payload & PAGE_MASK) as u32;
        let index = (payload >> SLOT_SHIFT) as u8 & 127;
        let receipts = (payload >> COUNT_SHIFT & COUNT_MASK) as u32;
        match (payload >> KIND_SHIFT) as u8 & 15 {
            RECEIPT => Pointer::Receipt { page, index },
            GHOST => Pointer::Ghost { receipts },
            kind => Pointer::Record {
                slot: Slot { page, index, class: (payload >> CLASS_SHIFT) as u8 & 63 },
                kind: Kind::from_number(kind).expect("the index holds only kinds that were written"),
                expires: payload >> EXPIRES_SHIFT & 1 == 1,
                receipts,
            },
        }
    }
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub kind: Kind,
    pub space: u8,
    pub key_bytes: u16,
    pub value_bytes: u32,
    pub version: u64,
    /// 0: never. In milliseconds, as `issued`.
    pub expires: u64,
    /// 0: the last write left no receipt.
    pub issued: u64,
    pub arguments: u64,
    pub identity: u128,
}

impl RecordHeader {
    /// Reads the header of the record at an address.
    pub fn read<M: Memory>(memory: &Metered<M>, address: u64) -> RecordHeader {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        memory.read(address, &mut bytes);
        Self::decode(&bytes)
    }

    fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> RecordHeader {
        RecordHeader {
            kind: Kind::from_number(bytes[0]).expect("records hold only kinds that were written"),
            space: bytes[1],
            key_bytes: u16_at(bytes, 2),
            value_bytes: u32_at(bytes, 4),
            version: u64_at(bytes, 8),
            expires: u48_at(bytes, 16),
            issued: u48_at(bytes, 22),
            arguments: u64_at(bytes, 28),
            identity: u128_at(bytes, 36),
        }
    }

    fn encode(&self, bytes: &mut [u8; RECORD_HEADER_BYTES]) {
        bytes[0] = self.kind as u8;
        bytes[1] = self.space;
        put_at(bytes, 2, self.key_bytes.to_le_bytes());
        put_at(bytes, 4, self.value_bytes.to_le_bytes());
        put_at(bytes, 8, self.version.to_le_bytes());
        put_u48_at(bytes, 16, self.expires);
        put_u48_at(bytes, 22, self.issued);
        put_at(bytes, 28, self.arguments.to_le_bytes());
        put_at(bytes, 36, self.identity.to_le_bytes());
    }

    /// Bytes of header, key and value.
    pub fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + usize::from(self.key_bytes) + self.value_bytes as usize
    }

    /// Bytes of key and value.
    pub fn payload_bytes(&self) -> u64 {
        u64::from(self.key_bytes) + u64::from(self.value_bytes)
    }

    /// Whether it reads as absent at a time, in milliseconds.
    pub fn is_absent(&self, now: u64) -> bool {
        self.kind == Kind::Tombstone || self.expires != 0 && self.expires <= now && self.kind != Kind::Upload
    }

    /// The last write's operation, if it had one.
    pub fn operation(&self) -> Option<Operation> {
        (self.issued != 0).then_some(Operation {
            identity: self.identity,
            // Fits: issues from the future are refused. A checked product would be made of 128 bits.
            issued: self.issued.wrapping_mul(NANOSECONDS_PER_MILLISECOND),
            arguments: self.arguments,
        })
    }

    /// Whether the last write was this operation.
    pub fn is_of(&self, operation: &Operation) -> bool {
        self.identity == operation.identity && self.issued != 0
    }

    /// The last write's receipt, if it had an operation.
    pub fn receipt(&self) -> Option<Receipt> {
        let outcome = match self.kind {
            Kind::Tombstone => Outcome::Deleted { version: self.version },
            _ => Outcome::Written { version: self.version },
        };
        self.operation().map(|operation| Receipt { operation, outcome })
    }

    /// Describes the record.
    pub fn found(&self) -> Found {
        Found {
            kind: self.kind,
            version: self.version,
            expires_at: (self.expires != 0).then_some(self.expires * NANOSECONDS_PER_MILLISECOND),
            value_bytes: u64::from(self.value_bytes),
        }
    }
}

/// Whether two byte strings are equal, compared by words: a plain `==` costs several times as much in Wasm.
pub fn equal_bytes(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (left_words, right_words) = (left.chunks_exact(8), right.chunks_exact(8));
    if left_words.remainder().iter().zip(right_words.remainder()).any(|(a, b)| a != b) {
        return false;
    }
    left_words.zip(right_words).all(|(a, b)| u64_at(a, 0) == u64_at(b, 0))
}

/// Copies up to 64 bytes in pieces whose lengths the compiler knows: one copy of any length costs 100 instructions more.
pub fn copy_short(source: &[u8], target: &mut [u8]) {
    let mut at = 0;
    copy_piece::<64>(source, target, &mut at);
    copy_piece::<32>(source, target, &mut at);
    copy_piece::<16>(source, target, &mut at);
    copy_piece::<8>(source, target, &mut at);
    copy_piece::<4>(source, target, &mut at);
    copy_piece::<2>(source, target, &mut at);
    copy_piece::<1>(source, target, &mut at);
}

/// Copies the next `N` bytes, if the length of the source has that bit.
#[inline(always)]
fn copy_piece<const N: usize>(source: &[u8], target: &mut [u8], at: &mut usize) {
    if source.len() & N != 0
        && let Some(piece) = source[*at..].first_chunk::<N>()
        && let Some(place) = target[*at..].first_chunk_mut()
    {
        *place = *piece;
        *at += N;
    }
}

/// Keys up to this length are read together with the header.
const SHORT_KEY_BYTES: usize = 64;
const WASM_PAGE_BYTES: u64 = 65_536;

/// Reads the header of the record at an address if the record has this key.
#[inline(always)]
pub fn read_if_key<M: Memory>(memory: &Metered<M>, address: u64, key: &KeyRef) -> Option<RecordHeader> {
    // A slot may be shorter than header and this key. What is read beyond the record is compared only if the lengths
    // agree; that the memory ends there, which it can at multiples of 64 KiB only, leads to the longer way.
    let before_end = address % WASM_PAGE_BYTES + (RECORD_HEADER_BYTES + key.bytes.len()) as u64 <= WASM_PAGE_BYTES;
    if key.bytes.len() <= SHORT_KEY_BYTES && before_end {
        let mut buffer = [MaybeUninit::uninit(); RECORD_HEADER_BYTES + SHORT_KEY_BYTES];
        let bytes = memory.read_into(address, RECORD_HEADER_BYTES + key.bytes.len(), &mut buffer);
        let (header, bytes) = bytes.split_first_chunk().expect("a header's bytes were read");
        let matches = header[1] == key.space
            && usize::from(u16_at(header, 2)) == key.bytes.len()
            && equal_bytes(bytes, key.bytes);
        return matches.then(|| RecordHeader::decode(header));
    }
    let header = RecordHeader::read(memory, address);
    if header.space != key.space || usize::from(header.key_bytes) != key.bytes.len() {
        return None;
    }
    let mut buffer = [MaybeUninit::uninit(); KEY_BYTES_MAX];
    let bytes = memory.read_into(address + RECORD_HEADER_BYTES as u64, key.bytes.len(), &mut buffer);
    equal_bytes(bytes, key.bytes).then_some(header)
}

/// Writes header, key and value at an address.
pub fn write_record<M: Memory>(memory: &Metered<M>, address: u64, header: &RecordHeader, key: &[u8], value: &[u8]) {
    let mut short = [0; RECORD_HEADER_BYTES + SHORT_KEY_BYTES];
    header.encode(short.first_chunk_mut().expect("the buffer is longer than a header"));
    if key.len() <= SHORT_KEY_BYTES {
        copy_short(key, &mut short[RECORD_HEADER_BYTES..]);
        memory.write(address, &short[..RECORD_HEADER_BYTES + key.len()]);
    } else {
        memory.write(address, &short[..RECORD_HEADER_BYTES]);
        memory.write(address + RECORD_HEADER_BYTES as u64, key);
    }
    if !value.is_empty() {
        memory.write(address + (RECORD_HEADER_BYTES + key.len()) as u64, value);
    }
}
