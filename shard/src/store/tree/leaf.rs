//! Leaves: searched and changed where they lie.

use std::mem::MaybeUninit;

use ic_stable_structures::Memory;

use super::{Entry, TreeKey, entry_address};
use crate::store::layout::{ENTRY_BYTES, NODE_ENTRIES, PAGE_BYTES, put_at, u16_at, u64_at};
use crate::store::pages::Pages;

const LEAF: u8 = 1;
/// Entries read at once: those of an evenly filled leaf lie within 4.5 of where they should, on average over places.
const WINDOW: usize = 12;
/// After so many steps of interpolation the keys aren't even, and bisection takes over.
const INTERPOLATIONS_MAX: usize = 3;
/// 170 entries are bisected to a window in 4 steps; a bound that holds even if each step spared one entry only.
const STEPS_MAX: usize = INTERPOLATIONS_MAX + NODE_ENTRIES;

/// Where a leaf's entries lie in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafHeader {
    pub start: u16,
    pub count: u16,
}

impl LeafHeader {
    /// No entries.
    pub const EMPTY: LeafHeader = LeafHeader { start: NODE_ENTRIES as u16 / 2, count: 0 };

    fn centred(count: usize) -> LeafHeader {
        LeafHeader { start: ((NODE_ENTRIES - count) / 2) as u16, count: count as u16 }
    }

    fn address(&self, page: u32, index: usize) -> u64 {
        entry_address(page, usize::from(self.start) + index)
    }
}

const ENTRY_WORDS: usize = ENTRY_BYTES / 8;

type LeafBuffer = [MaybeUninit<u8>; PAGE_BYTES as usize];

fn buffer() -> LeafBuffer {
    [MaybeUninit::uninit(); PAGE_BYTES as usize]
}

fn decode(bytes: &[u8]) -> Entry {
    Entry { key: (u64_at(bytes, 0), u64_at(bytes, 8)), payload: u64_at(bytes, 16) }
}

fn encode(entry: Entry) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    put_at(&mut bytes, 0, entry.key.0.to_le_bytes());
    put_at(&mut bytes, 8, entry.key.1.to_le_bytes());
    put_at(&mut bytes, 16, entry.payload.to_le_bytes());
    bytes
}

/// Reads a leaf's header.
pub fn read_header<M: Memory>(pages: &Pages<M>, page: u32) -> LeafHeader {
    let mut bytes = [0; 6];
    pages.memory.read(u64::from(page) * PAGE_BYTES, &mut bytes);
    assert_eq!(bytes[0], LEAF, "page {page} is not a leaf");
    LeafHeader { start: u16_at(&bytes, 2), count: u16_at(&bytes, 4) }
}

/// Writes a leaf's header.
pub fn write_header<M: Memory>(pages: &mut Pages<M>, page: u32, header: LeafHeader) {
    let mut bytes = [LEAF, 0, 0, 0, 0, 0];
    put_at(&mut bytes, 2, header.start.to_le_bytes());
    put_at(&mut bytes, 4, header.count.to_le_bytes());
    pages.memory.write(u64::from(page) * PAGE_BYTES, &bytes);
}

/// Reads one entry.
pub fn read_entry<M: Memory>(pages: &Pages<M>, page: u32, header: LeafHeader, index: usize) -> Entry {
    let mut bytes = [0; ENTRY_BYTES];
    pages.memory.read(header.address(page, index), &mut bytes);
    decode(&bytes)
}

/// Appends the entries from `index` on.
pub fn read_entries<M: Memory>(
    pages: &Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    entries: &mut Vec<Entry>,
) {
    let count = usize::from(header.count) - index;
    if count > 0 {
        let mut buffer = buffer();
        let bytes = pages.memory.read_into(header.address(page, index), count * ENTRY_BYTES, &mut buffer);
        entries.extend(bytes.chunks_exact(ENTRY_BYTES).map(decode));
    }
}

/// Where `key` should be among `count` entries spread evenly from `low` to `high`.
fn interpolate(low: TreeKey, high: TreeKey, key: TreeKey, count: usize) -> usize {
    // The second words matter only where the first are equal; elsewhere bisection makes up for it.
    let (low, high, key) = if low.0 == high.0 { (low.1, high.1, key.1) } else { (low.0, high.0, key.0) };
    let (span, offset) = (high - low, key.clamp(low, high) - low);
    // 32 bits are enough, and their products fit.
    let shift = 32u32.saturating_sub(span.leading_zeros());
    ((offset >> shift) * count as u64).checked_div(span >> shift).map_or(count / 2, |index| index as usize)
}

/// What a search found: the first entry whose key is at least the one looked for.
pub struct Found {
    pub index: usize,
    /// `None` behind the last entry.
    pub entry: Option<Entry>,
    /// The entry behind it is known to have another key.
    pub unique: bool,
}

/// Finds the first entry whose key is at least `key`, and reads it, if there is one.
pub fn search<M: Memory>(
    pages: &Pages<M>,
    page: u32,
    header: LeafHeader,
    low: TreeKey,
    high: TreeKey,
    key: TreeKey,
) -> Found {
    // INVARIANT: entries before `from` are less than `key`; those from `to` on are not, and `entry` is the first.
    let (mut from, mut to) = (0, usize::from(header.count));
    let (mut low, mut high) = (low, high);
    let mut found = Found { index: to, entry: None, unique: false };
    let mut buffer = [MaybeUninit::uninit(); WINDOW * ENTRY_WORDS];
    for step in 0..STEPS_MAX {
        if from >= to {
            break;
        }
        let guess = if step < INTERPOLATIONS_MAX { interpolate(low, high, key, to - from) } else { (to - from) / 2 };
        let first = (from + guess).saturating_sub(WINDOW / 2).clamp(from, from.max(to.saturating_sub(WINDOW)));
        let length = WINDOW.min(to - first);
        let words = pages.memory.read_words(header.address(page, first), length * ENTRY_WORDS, &mut buffer);
        let (entries, _) = words.as_chunks::<ENTRY_WORDS>();
        let key_of = |entry: &[u64; ENTRY_WORDS]| (u64::from_le(entry[0]), u64::from_le(entry[1]));
        let left = entries.partition_point(|entry| key_of(entry) < key);
        if let Some(entry) = entries.get(left) {
            to = first + left;
            high = key_of(entry);
            let unique = entries.get(left + 1).is_some_and(|next| key_of(next) != high);
            let entry = Entry { key: high, payload: u64::from_le(entry[2]) };
            found = Found { index: to, entry: Some(entry), unique };
        }
        if left > 0 {
            from = first + left;
            low = key_of(&entries[left - 1]);
        }
    }
    found
}

/// Overwrites the payload of an entry.
pub fn write_payload<M: Memory>(pages: &mut Pages<M>, page: u32, header: LeafHeader, index: usize, payload: u64) {
    pages.memory.write(header.address(page, index) + 16, &payload.to_le_bytes());
}

/// Inserts an entry into a leaf that isn't full, moving the shorter side if there is room for it. Answers the
/// new header.
pub fn insert<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    entry: Entry,
) -> LeafHeader {
    let count = usize::from(header.count);
    let room_right = usize::from(header.start) + count < NODE_ENTRIES;
    let leftwards = header.start > 0 && (index * 2 < count || !room_right);
    let new = encode(entry);
    let mut buffer = buffer();
    if leftwards {
        let moved = index * ENTRY_BYTES;
        if moved > 0 {
            pages.memory.read_into(header.address(page, 0), moved, &mut buffer);
        }
        let changed = LeafHeader { start: header.start - 1, count: header.count + 1 };
        let bytes = complete(&mut buffer, moved, new, moved);
        pages.memory.write(changed.address(page, 0), bytes);
        write_header(pages, page, changed);
        changed
    } else {
        let moved = (count - index) * ENTRY_BYTES;
        if moved > 0 {
            pages.memory.read_into(header.address(page, index), moved, &mut buffer[ENTRY_BYTES..]);
        }
        let bytes = complete(&mut buffer, 0, new, moved);
        pages.memory.write(header.address(page, index), bytes);
        let changed = LeafHeader { start: header.start, count: header.count + 1 };
        write_header(pages, page, changed);
        changed
    }
}

/// Puts the new entry at byte `at` of a buffer whose other `moved` bytes have been read, and answers all of them.
fn complete(buffer: &mut LeafBuffer, at: usize, new: [u8; ENTRY_BYTES], moved: usize) -> &[u8] {
    buffer[at..at + ENTRY_BYTES].write_copy_of_slice(&new);
    // SAFETY: `moved` bytes beside the new entry's were initialised by `read_into`, the new entry's just now.
    unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), moved + ENTRY_BYTES) }
}

/// Removes `removed` entries from `index` on, moving the shorter side. Answers the new header.
pub fn remove<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    removed: usize,
) -> LeafHeader {
    let behind = usize::from(header.count) - index - removed;
    let mut buffer = buffer();
    let start = if index < behind { header.start + removed as u16 } else { header.start };
    let changed = LeafHeader { start, count: header.count - removed as u16 };
    if index < behind {
        if index > 0 {
            let bytes = pages.memory.read_into(header.address(page, 0), index * ENTRY_BYTES, &mut buffer);
            pages.memory.write(changed.address(page, 0), bytes);
        }
    } else if behind > 0 {
        let bytes = pages.memory.read_into(header.address(page, index + removed), behind * ENTRY_BYTES, &mut buffer);
        pages.memory.write(header.address(page, index), bytes);
    }
    let changed = if changed.count == 0 { LeafHeader::EMPTY } else { changed };
    write_header(pages, page, changed);
    changed
}

/// Moves the entries from `kept` on to a new leaf. Answers both headers and the first moved key, if any moved.
pub fn split<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    right: u32,
    kept: usize,
) -> (LeafHeader, LeafHeader, Option<TreeKey>) {
    let moved = usize::from(header.count) - kept;
    if moved == 0 {
        let empty = LeafHeader { start: 0, count: 0 };
        write_header(pages, right, empty);
        return (header, empty, None);
    }
    let mut buffer = buffer();
    let bytes = pages.memory.read_into(header.address(page, kept), moved * ENTRY_BYTES, &mut buffer);
    let first = decode(bytes).key;
    let right_header = LeafHeader::centred(moved);
    pages.memory.write(right_header.address(right, 0), bytes);
    write_header(pages, right, right_header);
    let left_header = LeafHeader { start: header.start, count: kept as u16 };
    write_header(pages, page, left_header);
    (left_header, right_header, Some(first))
}

/// Moves the right leaf's entries to the left one, if both have at most `count_max` together.
pub fn merge<M: Memory>(pages: &mut Pages<M>, left: u32, right: u32, count_max: usize) -> bool {
    let (left_header, right_header) = (read_header(pages, left), read_header(pages, right));
    let (left_count, right_count) = (usize::from(left_header.count), usize::from(right_header.count));
    if left_count + right_count > count_max {
        return false;
    }
    let mut entries = Vec::with_capacity(left_count + right_count);
    read_entries(pages, left, left_header, 0, &mut entries);
    read_entries(pages, right, right_header, 0, &mut entries);
    let bytes: Vec<u8> = entries.iter().copied().flat_map(encode).collect();
    let header = LeafHeader::centred(entries.len());
    if !bytes.is_empty() {
        pages.memory.write(header.address(left, 0), &bytes);
    }
    write_header(pages, left, header);
    true
}
