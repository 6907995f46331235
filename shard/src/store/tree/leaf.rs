//! Leaves: searched and changed where they lie.
//!
//! A removed entry of the index stays in its place as a *dead* one, with its key but without a payload: that writes a
//! few bytes where closing the gap would move a quarter of the leaf. Dead entries keep the order and take part in
//! searches; an insertion beside one uses it up, and a leaf that is full of them is written anew without.

use std::mem::MaybeUninit;

use ic_stable_structures::Memory;

use super::{Entry, TreeKey, entry_address};
use crate::store::layout::{ENTRY_BYTES, NODE_ENTRIES, PAGE_BYTES, put_at, u16_at, u64_at};
use crate::store::pages::Pages;

const LEAF: u8 = 1;
/// Entries read at once: those of an evenly filled leaf lie within 4.5 of where they should, on average over places.
const WINDOW: usize = 12;
/// Entries of a window that others were inserted into, and slots for one more.
const WINDOW_MAX: usize = 15;
const SLOTS: usize = WINDOW_MAX + 1;
/// After so many steps of interpolation the keys aren't even, and bisection takes over.
const INTERPOLATIONS_MAX: usize = 3;
/// 170 entries are bisected to a window in 4 steps; a bound that holds even if each step spared one entry only.
const STEPS_MAX: usize = INTERPOLATIONS_MAX + NODE_ENTRIES;

/// Payload of a dead entry, in leaves that have any: no entry of the index has it.
pub const DEAD: u64 = 0;

/// Where a leaf's entries lie in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafHeader {
    pub start: u16,
    /// Entries, dead ones included.
    pub count: u16,
    pub dead: u16,
}

impl LeafHeader {
    /// No entries.
    pub const EMPTY: LeafHeader = LeafHeader { start: NODE_ENTRIES as u16 / 2, count: 0, dead: 0 };

    fn centred(count: usize) -> LeafHeader {
        LeafHeader { start: ((NODE_ENTRIES - count) / 2) as u16, count: count as u16, dead: 0 }
    }

    /// Entries that aren't dead.
    pub fn live(&self) -> usize {
        usize::from(self.count - self.dead)
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
    let mut bytes = [0; 8];
    pages.memory.read(u64::from(page) * PAGE_BYTES, &mut bytes);
    assert_eq!(bytes[0], LEAF, "page {page} is not a leaf");
    LeafHeader { start: u16_at(&bytes, 2), count: u16_at(&bytes, 4), dead: u16_at(&bytes, 6) }
}

/// Writes a leaf's header.
pub fn write_header<M: Memory>(pages: &mut Pages<M>, page: u32, header: LeafHeader) {
    let mut bytes = [LEAF, 0, 0, 0, 0, 0, 0, 0];
    put_at(&mut bytes, 2, header.start.to_le_bytes());
    put_at(&mut bytes, 4, header.count.to_le_bytes());
    put_at(&mut bytes, 6, header.dead.to_le_bytes());
    pages.memory.write(u64::from(page) * PAGE_BYTES, &bytes);
}

/// Reads one entry.
pub fn read_entry<M: Memory>(pages: &Pages<M>, page: u32, header: LeafHeader, index: usize) -> Entry {
    let mut bytes = [0; ENTRY_BYTES];
    pages.memory.read(header.address(page, index), &mut bytes);
    decode(&bytes)
}

/// Reads the first entry from `index` on that isn't dead, and its index.
pub fn read_live<M: Memory>(pages: &Pages<M>, page: u32, header: LeafHeader, index: usize) -> Option<(usize, Entry)> {
    (index..usize::from(header.count))
        .map(|index| (index, read_entry(pages, page, header, index)))
        .find(|(_, entry)| header.dead == 0 || entry.payload != DEAD)
}

/// Appends the entries from `index` on, without dead ones.
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
        let all = bytes.chunks_exact(ENTRY_BYTES).map(decode);
        entries.extend(all.filter(|entry| header.dead == 0 || entry.payload != DEAD));
    }
}

/// Where `key` should be among `count` entries spread evenly from `low` to `high`.
fn interpolate(low: TreeKey, high: TreeKey, key: TreeKey, count: usize) -> usize {
    // The second words matter only where the first are equal; elsewhere bisection makes up for it.
    let (low, high, key) = if low.0 == high.0 { (low.1, high.1, key.1) } else { (low.0, high.0, key.0) };
    let (span, offset) = (high.wrapping_sub(low), key.clamp(low, high).wrapping_sub(low));
    // 32 bits are enough, and their products fit: a checked one would be made of 128 bits.
    let shift = 32u32.saturating_sub(span.leading_zeros());
    (offset >> shift).wrapping_mul(count as u64).checked_div(span >> shift).map_or(count / 2, |index| index as usize)
}

/// What a search found: the first entry whose key is at least the one looked for.
pub struct Found {
    /// Where an entry of this key is inserted: at the first one, dead or not, that isn't less.
    pub place: usize,
    /// Where the entry is; the leaf's count if there is none.
    pub index: usize,
    /// `None` behind the last entry.
    pub entry: Option<Entry>,
    /// The entry behind it is known to have another key.
    pub unique: bool,
}

type Words = [u64; ENTRY_WORDS];

fn encode_words(entry: Entry) -> Words {
    [entry.key.0.to_le(), entry.key.1.to_le(), entry.payload.to_le()]
}

fn key_of(words: &Words) -> TreeKey {
    (u64::from_le(words[0]), u64::from_le(words[1]))
}

/// The entries of a leaf that a search read last, kept up to date: what concerns one key lies close together, so the
/// next search often needs no others.
pub struct Window {
    first: usize,
    /// 0: nothing is known.
    length: usize,
    /// Entries without payload are dead.
    has_dead: bool,
    /// INVARIANT: first words behind the known entries are the greatest possible, so that searches end before them.
    entries: [Words; SLOTS],
}

impl Window {
    /// Knows nothing.
    pub const EMPTY: Window =
        Window { first: 0, length: 0, has_dead: false, entries: [[u64::MAX; ENTRY_WORDS]; SLOTS] };

    /// Forgets the entries, as another leaf is looked at or its entries have moved.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Reads the entries from `first` on: as many as there are up to `to`, and as a window shows.
    #[inline(always)]
    fn read<M: Memory>(&mut self, pages: &Pages<M>, page: u32, header: LeafHeader, first: usize, to: usize) {
        self.first = first;
        self.length = WINDOW.min(to - first);
        for words in &mut self.entries[WINDOW..] {
            words[0] = u64::MAX;
        }
        if self.length < WINDOW {
            for words in &mut self.entries[self.length..WINDOW] {
                words[0] = u64::MAX;
            }
        }
        pages.memory.read_words(header.address(page, first), self.entries[..self.length].as_flattened_mut());
    }

    fn known(&self) -> &[Words] {
        &self.entries[..self.length]
    }

    /// Counts the known entries whose key is less: by their first words, bisecting in four steps without a branch, then
    /// one by one where first words are equal.
    #[inline(always)]
    fn less_than(&self, key: TreeKey) -> usize {
        let first = |at: usize| u64::from_le(self.entries[at % SLOTS][0]);
        let mut at = 0;
        for half in [8, 4, 2, 1] {
            at += half * usize::from(first(at + half - 1) < key.0);
        }
        while at < self.length && first(at) == key.0 && u64::from_le(self.entries[at % SLOTS][1]) < key.1 {
            at += 1;
        }
        at
    }

    /// The first known entry from `left` on that isn't dead.
    #[inline(always)]
    fn found(&self, left: usize) -> Option<Found> {
        let known = self.known();
        let mut at = left;
        while self.has_dead && known.get(at)?[2] == DEAD {
            at += 1;
        }
        let words = known.get(at)?;
        let entry = Entry { key: key_of(words), payload: u64::from_le(words[2]) };
        let unique = known.get(at + 1).is_some_and(|next| key_of(next) != entry.key);
        Some(Found { place: self.first + left, index: self.first + at, entry: Some(entry), unique })
    }

    /// Finds the first entry whose key is at least `key`, if it is among the known ones, in a leaf of `count` entries.
    #[inline(always)]
    pub fn find(&self, count: usize, key: TreeKey) -> Option<Found> {
        if self.length == 0 {
            return None;
        }
        let left = self.less_than(key);
        if left == 0 && self.first > 0 {
            return None;
        }
        let place = self.first + left;
        let to_end = self.first + self.length == count;
        self.found(left).or(to_end.then_some(Found { place, index: count, entry: None, unique: false }))
    }

    /// Notes a new payload.
    pub fn set_payload(&mut self, index: usize, payload: u64) {
        let length = self.length;
        if let Some(words) = index.checked_sub(self.first).and_then(|at| self.entries[..length].get_mut(at)) {
            words[2] = payload.to_le();
        }
    }

    /// The place in the window that leads to an entry's index, if it is there or directly behind.
    fn at(&self, index: usize) -> Option<usize> {
        index.checked_sub(self.first).filter(|&at| self.length > 0 && at <= self.length)
    }

    /// Notes an entry and a dead one inserted at `index`; forgets those behind them, which few look for.
    fn insert_with_spare(&mut self, index: usize, entry: Entry) {
        match self.at(index).filter(|&at| at + 3 <= WINDOW_MAX) {
            Some(at) => {
                let words = encode_words(entry);
                let [first, second, _] = words;
                // What was here follows, so that the next search sees where the entries of its key end.
                let next = self.entries[at];
                self.entries[at..at + 2].copy_from_slice(&[words, [first, second, DEAD]]);
                self.has_dead = true;
                let known = if at < self.length { 3 } else { 2 };
                self.entries[at + 2] = next;
                self.length = at + known;
                for words in &mut self.entries[self.length..] {
                    words[0] = u64::MAX;
                }
            }
            None => self.clear(),
        }
    }

    /// Inserts an entry at `index` by using up the nearest dead one, and answers the changed entries and the index of
    /// their first. `None` if no known entry is dead.
    fn revive(&mut self, index: usize, entry: Entry) -> Option<(usize, &[Words])> {
        let at = self.at(index).filter(|_| self.has_dead)?;
        let (left, right) = self.known().split_at(at);
        // Where an insertion left a spare one, for this one.
        if let Some([.., DEAD]) = right.first() {
            self.entries[at] = encode_words(entry);
            return Some((self.first + at, &self.entries[at..at + 1]));
        }
        let left_distance = left.iter().rev().position(|words| words[2] == DEAD);
        let right_distance = right.iter().position(|words| words[2] == DEAD);
        let mut carried = encode_words(entry);
        let (from, to) = match (left_distance, right_distance) {
            (None, None) => return None,
            (Some(left), right) if right.is_none_or(|right| left < right) => (at - 1 - left, at),
            (_, right) => (at, at + right? + 1),
        };
        let changed = &mut self.entries[from..to];
        if from == at {
            for words in changed {
                carried = std::mem::replace(words, carried);
            }
        } else {
            for words in changed.iter_mut().rev() {
                carried = std::mem::replace(words, carried);
            }
        }
        Some((self.first + from, &self.entries[from..to]))
    }

    /// Notes that `removed` entries from `index` on are gone.
    fn remove(&mut self, index: usize, removed: usize) {
        if index + removed <= self.first {
            self.first -= removed;
        } else if index < self.first + self.length {
            self.clear();
        }
    }
}

/// Finds the first entry whose key is at least `key`, and reads it, if there is one.
pub fn search<M: Memory>(
    pages: &Pages<M>,
    page: u32,
    header: LeafHeader,
    (low, high): (TreeKey, TreeKey),
    key: TreeKey,
    window: &mut Window,
) -> Found {
    // INVARIANT: entries before `from` are less than `key`; those from `to` on are not. The window shows one of each.
    let count = usize::from(header.count);
    let (mut from, mut to) = (0, count);
    let (mut low, mut high) = (low, high);
    window.clear();
    window.has_dead = header.dead > 0;
    for step in 0..STEPS_MAX {
        if from >= to {
            break;
        }
        let guess = if step < INTERPOLATIONS_MAX { interpolate(low, high, key, to - from) } else { (to - from) / 2 };
        let first = (from + guess).saturating_sub(WINDOW / 2).clamp(from, from.max(to.saturating_sub(WINDOW)));
        window.read(pages, page, header, first, to);
        let left = window.less_than(key);
        if left < window.length {
            to = first + left;
            high = key_of(&window.known()[left]);
        }
        if left > 0 {
            from = first + left;
            low = key_of(&window.known()[left - 1]);
        }
    }
    if let Some(at) = window.at(to)
        && let Some(found) = window.found(at)
    {
        return found;
    }
    match read_live(pages, page, header, to) {
        Some((index, entry)) => Found { place: to, index, entry: Some(entry), unique: false },
        None => Found { place: to, index: count, entry: None, unique: false },
    }
}

/// Overwrites the payload of an entry.
pub fn write_payload<M: Memory>(pages: &mut Pages<M>, page: u32, header: LeafHeader, index: usize, payload: u64) {
    pages.memory.write(header.address(page, index) + 16, &payload.to_le_bytes());
}

/// Inserts an entry at the place of a dead one that the window knows, if there is one near. Answers the new header.
pub fn insert_at_dead<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    place: usize,
    entry: Entry,
    window: &mut Window,
) -> Option<LeafHeader> {
    let (first, changed) = window.revive(place, entry)?;
    pages.memory.write_words(header.address(page, first), changed.as_flattened());
    let header = LeafHeader { dead: header.dead - 1, ..header };
    write_header(pages, page, header);
    Some(header)
}

/// Inserts an entry into a leaf that isn't full, moving the shorter side if there is room for it. Answers the
/// new header.
pub fn insert<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    entry: Entry,
    window: &mut Window,
) -> LeafHeader {
    let count = usize::from(header.count);
    let room_right = usize::from(header.start) + count < NODE_ENTRIES;
    let leftwards = header.start > 0 && (index * 2 < count || !room_right);
    let new = encode(entry);
    let mut buffer = buffer();
    let changed = LeafHeader { start: header.start - u16::from(leftwards), count: header.count + 1, ..header };
    if leftwards {
        let moved = index * ENTRY_BYTES;
        if moved > 0 {
            pages.memory.read_into(header.address(page, 0), moved, &mut buffer);
        }
        let bytes = complete(&mut buffer, moved, new, moved);
        pages.memory.write(changed.address(page, 0), bytes);
    } else {
        let moved = (count - index) * ENTRY_BYTES;
        if moved > 0 {
            pages.memory.read_into(header.address(page, index), moved, &mut buffer[ENTRY_BYTES..]);
        }
        let bytes = complete(&mut buffer, 0, new, moved);
        pages.memory.write(header.address(page, index), bytes);
    }
    write_header(pages, page, changed);
    // Knowing it further would cost more than reading it again, as few look here again soon.
    window.clear();
    changed
}

/// Inserts an entry as `insert` does, and a dead one behind it for another that will soon follow nearby.
pub fn insert_with_spare<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    entry: Entry,
    window: &mut Window,
) -> LeafHeader {
    let count = usize::from(header.count);
    let leftwards = header.start > 1 && (index * 2 < count || usize::from(header.start) + count + 1 >= NODE_ENTRIES);
    let rightwards = usize::from(header.start) + count + 2 <= NODE_ENTRIES;
    if !leftwards && !rightwards {
        return insert(pages, page, header, index, entry, window);
    }
    let spare = Entry { payload: DEAD, ..entry };
    let changed = LeafHeader {
        start: if leftwards { header.start - 2 } else { header.start },
        count: header.count + 2,
        dead: header.dead + 1,
    };
    let mut buffer = buffer();
    let (first, moved) = if leftwards { (0, index) } else { (index, count - index) };
    let at = if leftwards { moved * ENTRY_BYTES } else { 0 };
    if moved > 0 {
        let behind = if leftwards { 0 } else { 2 * ENTRY_BYTES };
        pages.memory.read_into(header.address(page, first), moved * ENTRY_BYTES, &mut buffer[behind..]);
    }
    buffer[at..at + ENTRY_BYTES].write_copy_of_slice(&encode(entry));
    let bytes = complete(&mut buffer, at + ENTRY_BYTES, encode(spare), (moved + 1) * ENTRY_BYTES);
    pages.memory.write(changed.address(page, first), bytes);
    write_header(pages, page, changed);
    window.insert_with_spare(index, entry);
    changed
}

/// Puts the new entry at byte `at` of a buffer whose other `moved` bytes have been read, and answers all of them.
fn complete(buffer: &mut LeafBuffer, at: usize, new: [u8; ENTRY_BYTES], moved: usize) -> &[u8] {
    buffer[at..at + ENTRY_BYTES].write_copy_of_slice(&new);
    // SAFETY: `moved` bytes beside the new entry's were initialised by `read_into`, the new entry's just now.
    unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), moved + ENTRY_BYTES) }
}

/// Removes an entry by marking it as dead. Answers the new header.
pub fn remove_lazily<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    window: &mut Window,
) -> LeafHeader {
    write_payload(pages, page, header, index, DEAD);
    window.set_payload(index, DEAD);
    window.has_dead = true;
    let changed = LeafHeader { dead: header.dead + 1, ..header };
    write_header(pages, page, changed);
    changed
}

/// Removes `removed` entries from `index` on, none of them dead, moving the shorter side. Answers the new header.
pub fn remove<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    removed: usize,
    window: &mut Window,
) -> LeafHeader {
    let behind = usize::from(header.count) - index - removed;
    let mut buffer = buffer();
    let start = if index < behind { header.start + removed as u16 } else { header.start };
    let changed = LeafHeader { start, count: header.count - removed as u16, ..header };
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
    window.remove(index, removed);
    changed
}

/// Writes a leaf anew without its dead entries. Answers the new header, and where `index` is now.
pub fn compact<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    index: usize,
    window: &mut Window,
) -> (LeafHeader, usize) {
    if header.dead == 0 {
        return (header, index);
    }
    window.clear();
    let (mut entries, mut behind) = (Vec::with_capacity(header.live()), Vec::new());
    read_entries(pages, page, header, 0, &mut entries);
    read_entries(pages, page, header, index, &mut behind);
    (write_entries(pages, page, &entries), entries.len() - behind.len())
}

/// Writes a leaf of these entries. Answers its header.
fn write_entries<M: Memory>(pages: &mut Pages<M>, page: u32, entries: &[Entry]) -> LeafHeader {
    let bytes: Vec<u8> = entries.iter().copied().flat_map(encode).collect();
    let header = LeafHeader::centred(entries.len());
    if !bytes.is_empty() {
        pages.memory.write(header.address(page, 0), &bytes);
    }
    write_header(pages, page, header);
    header
}

/// Tells what is wrong with the order or the count of a leaf's entries, dead ones included, for checks.
pub fn check<M: Memory>(pages: &Pages<M>, page: u32) -> Result<(), String> {
    let header = read_header(pages, page);
    let mut entries = Vec::new();
    read_entries(pages, page, LeafHeader { dead: 0, ..header }, 0, &mut entries);
    let dead = entries.iter().filter(|entry| header.dead > 0 && entry.payload == DEAD).count();
    if !entries.is_sorted_by_key(|entry| entry.key) || dead != usize::from(header.dead) {
        return Err(format!("leaf {page}, {header:?}: {dead} are dead, or entries are out of order"));
    }
    Ok(())
}

/// Moves the entries from `kept` on, of which none are dead, to a new leaf. Answers both headers and the first moved key, if any moved.
pub fn split<M: Memory>(
    pages: &mut Pages<M>,
    page: u32,
    header: LeafHeader,
    right: u32,
    kept: usize,
) -> (LeafHeader, LeafHeader, Option<TreeKey>) {
    let moved = usize::from(header.count) - kept;
    if moved == 0 {
        let empty = LeafHeader { start: 0, count: 0, dead: 0 };
        write_header(pages, right, empty);
        return (header, empty, None);
    }
    let mut buffer = buffer();
    let bytes = pages.memory.read_into(header.address(page, kept), moved * ENTRY_BYTES, &mut buffer);
    let first = decode(bytes).key;
    let right_header = LeafHeader::centred(moved);
    pages.memory.write(right_header.address(right, 0), bytes);
    write_header(pages, right, right_header);
    let left_header = LeafHeader { start: header.start, count: kept as u16, dead: 0 };
    write_header(pages, page, left_header);
    (left_header, right_header, Some(first))
}

/// Moves the right leaf's entries to the left one, if both have at most `count_max` together.
pub fn merge<M: Memory>(pages: &mut Pages<M>, left: u32, right: u32, count_max: usize) -> bool {
    let (left_header, right_header) = (read_header(pages, left), read_header(pages, right));
    if left_header.live() + right_header.live() > count_max {
        return false;
    }
    let mut entries = Vec::with_capacity(count_max);
    read_entries(pages, left, left_header, 0, &mut entries);
    read_entries(pages, right, right_header, 0, &mut entries);
    write_entries(pages, left, &entries);
    true
}
