//! The layout of the stable memory, drawn once. All numbers are little-endian; 1 page = 4,096 bytes.
//!
//! ```text
//! Memory: segments of 16,384 pages (64 MiB), each led by its part of the page table
//! +--------+-------------------+------------------+----------------------------- - -+
//! | header | table, 64 pages   | metadata, 16 p.  | pages of segment 0              |   segment 0
//! +--------+-------------------+------------------+----------------------------- - -+
//! | unused | table, 64 pages   | pages of segment 1                                 |   segment 1, 2, ...
//! +--------+-------------------+----------------------------------------------- - --+
//!
//! Header, page 0                                        Page table, 16 bytes for each page of the segment
//!    0  magic "CANOPYST"                     8 bytes       0  kind: 4 bits, class: 6, previous: 27, next: 27
//!    8  layout version                       4             8  slab: free slots, a bit each; free run: its pages
//!   12  flags                                4
//!   16  counters (`Counters`), to 176                   Record: in a slot of a slab, or in a run of pages
//!  256  free runs: bit per list, list heads  8 + 60 x 4    0  kind 1, space 1, key length 2, value length 4
//!  512  size classes: current slab 4,                      8  version 8
//!       head of partial slabs 4, free        53 x 24      16  expires 6, issued 6 (milliseconds, rounded up)
//!       slots of the current 8, spare 8                   28  digest of the arguments 8
//! 2048  receipt lists: minute 4, head 4,                  36  identity of the operation 16
//!       tail 4, in tail 2, taken of head 2   33 x 16      52  key, value
//! 3072  staged receipts: page 4, first 2,
//!       count 2, unused 8, receipts          18 x 56    Node: header 16, then 170 entries of 24
//! 4096                                                     0  kind 1, unused 1, start 2, count 2, dead 2
//!                                                         16  entry: key 8 + 8, payload or child 8
//! Receipt page: next 4, count 2, unused 2, 73 x 56
//!    0  hash 8, tag of the key 8                        Payload of an index entry, bits from the lowest
//!   16  identity of the operation 16                       page 27, slot 7, class 6, kind 4, expires 1,
//!   32  issued 6, outcome 1, unused 1                      live displaced receipts of the key 17, unused 2
//!   40  version 8, digest of the arguments 8
//! ```
//!
//! The index is ordered by (hash, tag) and has an entry for each record (under its key's tag), for each displaced
//! receipt (under the low half of its operation's identity; kind 7, page and slot in the receipt lists) and for each
//! key that has receipts but no record (kind 8, a *ghost*, which only counts them). The expiry tree is ordered by
//! (expires in milliseconds, tag of the key), payload: the hash; for an upload's record, when to look at it.

/// Marks a memory that holds a store.
pub const MAGIC: [u8; 8] = *b"CANOPYST";
/// Grows with every change of the layout; version N reads N-1.
pub const LAYOUT_VERSION: u32 = 1;

/// The platform accounts for dirty memory in pages of this size.
pub const PAGE_BYTES: u64 = 4_096;
/// Pages per page of Wasm memory, the unit in which memory grows.
pub const PAGES_PER_WASM_PAGE: u64 = 16;
pub const SEGMENT_PAGES: u32 = 16_384;
pub const TABLE_ENTRY_BYTES: u64 = 16;
pub const TABLE_PAGES: u32 = (SEGMENT_PAGES as u64 * TABLE_ENTRY_BYTES / PAGE_BYTES) as u32;
/// Header or unused page, and the table.
pub const SEGMENT_RESERVED_PAGES: u32 = 1 + TABLE_PAGES;
pub const METADATA_PAGES: u32 = 16;
pub const METADATA_PAGE: u32 = SEGMENT_RESERVED_PAGES;
/// The first page of segment 0 that is handed out.
pub const FIRST_PAGE: u32 = METADATA_PAGE + METADATA_PAGES;
/// 500 GiB, what the platform allows a canister.
pub const PAGES_MAX: u64 = 500 * 1_024 * 1_024 * 1_024 / PAGE_BYTES;
pub const PAGE_BITS: u32 = 27;

/// Bytes by which the memory grows: one segment.
pub const GROWTH_BYTES: u64 = SEGMENT_PAGES as u64 * PAGE_BYTES;
/// 8 MiB kept for deletes, receipts and imports.
pub const RESERVE_PAGES: u64 = 2_048;
/// Pages that a write may need beside its record's: splits of both trees on all levels, a page for receipts.
pub const OPERATION_PAGES: u64 = 40;

pub const VERSION_OFFSET: u64 = 8;
pub const COUNTERS_OFFSET: u64 = 16;
pub const COUNTERS_BYTES: usize = 160;
pub const FREE_RUNS_OFFSET: u64 = 256;
pub const FREE_RUN_LISTS: usize = 60;
pub const CLASSES_OFFSET: u64 = 512;
pub const CLASS_BYTES: u64 = 24;
pub const RECEIPT_LISTS_OFFSET: u64 = 2_048;
pub const RECEIPT_LIST_BYTES: u64 = 16;
/// Lists for minutes: receipts live for 16 of them, the rest leaves room for a sweep that is late.
pub const MINUTE_LISTS: usize = 32;
/// The list of receipts whose minute's list had to make room.
pub const OVERDUE_LIST: usize = MINUTE_LISTS;
pub const RECEIPT_LISTS: usize = MINUTE_LISTS + 1;
pub const STAGED_OFFSET: u64 = 3_072;
pub const STAGED_HEADER_BYTES: u64 = 16;
pub const STAGED_MAX: u16 = 18;

pub const RECEIPT_BYTES: usize = 56;
pub const RECEIPT_PAGE_HEADER_BYTES: u64 = 8;
pub const RECEIPTS_PER_PAGE: u16 = ((PAGE_BYTES - RECEIPT_PAGE_HEADER_BYTES) / RECEIPT_BYTES as u64) as u16;

pub const NODE_HEADER_BYTES: u64 = 16;
pub const ENTRY_BYTES: usize = 24;
pub const NODE_ENTRIES: usize = (PAGE_BYTES - NODE_HEADER_BYTES) as usize / ENTRY_BYTES;
pub const DEPTH_MAX: usize = 8;

pub const RECORD_HEADER_BYTES: usize = 52;
/// Longest key that the store takes; what clients may use is for `types` to say.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Longest value: 1 MiB and room for a manifest's or a protocol's envelope.
pub const VALUE_BYTES_MAX: usize = 1_024 * 1_024 + 65_536;
pub const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX;
pub const METADATA_BYTES_MAX: usize = METADATA_PAGES as usize * PAGE_BYTES as usize - 4;

/// Live displaced receipts per key: 72 writes per second, sustained.
pub const RECEIPTS_PER_KEY_MAX: u32 = 65_536;
/// Entries of equal (hash, tag).
pub const EQUAL_ENTRIES_MAX: usize = 32;
/// How long a receipt is kept after its operation was issued.
pub const RECEIPT_MILLISECONDS: u64 = 15 * 60 * 1_000;
/// How far a client's clock may be ahead.
pub const ISSUED_AHEAD_MILLISECONDS: u64 = 60 * 1_000;
pub const MINUTE_MILLISECONDS: u64 = 60 * 1_000;
pub const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

const _: () = {
    assert!(TABLE_PAGES == 64);
    assert!(PAGES_MAX <= 1 << PAGE_BITS);
    assert!(COUNTERS_OFFSET + COUNTERS_BYTES as u64 <= FREE_RUNS_OFFSET);
    assert!(FREE_RUNS_OFFSET + 8 + 4 * FREE_RUN_LISTS as u64 <= CLASSES_OFFSET);
    assert!(CLASSES_OFFSET + CLASS_BYTES * super::slabs::CLASSES as u64 <= RECEIPT_LISTS_OFFSET);
    assert!(RECEIPT_LISTS_OFFSET + RECEIPT_LIST_BYTES * RECEIPT_LISTS as u64 <= STAGED_OFFSET);
    assert!(STAGED_OFFSET + STAGED_HEADER_BYTES + STAGED_MAX as u64 * RECEIPT_BYTES as u64 <= PAGE_BYTES);
    assert!(NODE_ENTRIES == 170 && RECEIPTS_PER_PAGE == 73);
    // A receipt's minutes are fewer than the lists, so a list's other minute is over.
    assert!((RECEIPT_MILLISECONDS + 2 * ISSUED_AHEAD_MILLISECONDS) / MINUTE_MILLISECONDS + 2 < MINUTE_LISTS as u64);
    assert!(KEY_BYTES_MAX <= u16::MAX as usize);
    // A run lies within one segment.
    assert!(RECORD_BYTES_MAX as u64 / PAGE_BYTES + 1 < (SEGMENT_PAGES - FIRST_PAGE) as u64);
};

/// Rounds nanoseconds up to milliseconds, the resolution of stored issue and expiry times. Cut to 48 bits.
pub fn milliseconds_up(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(NANOSECONDS_PER_MILLISECOND).min((1 << 48) - 1)
}

/// Reads a number at an offset of a buffer that is long enough.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// As `u16_at`, 32 bits.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// As `u16_at`, 48 bits.
pub fn u48_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u16_at(bytes, at + 4)) << 32
}

/// As `u16_at`, 64 bits.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// As `u16_at`, 128 bits.
pub fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

/// Makes the word whose bytes in memory are those of `low`, then those of `high`. What every operation writes is written
/// by words: that costs half of what it does by bytes.
pub fn word_of(low: u32, high: u32) -> u64 {
    (u64::from(low) | u64::from(high) << 32).to_le()
}

/// Writes `value` at an offset of a buffer that is long enough.
pub fn put_at<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// Writes the low 48 bits of `value`.
pub fn put_u48_at(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 6].copy_from_slice(&value.to_le_bytes()[..6]);
}
