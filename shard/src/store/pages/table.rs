//! The page table: 16 bytes for each page, at the start of the page's segment.

use ic_stable_structures::Memory;

use super::Pages;
use crate::store::layout::{PAGE_BITS, PAGE_BYTES, SEGMENT_PAGES, TABLE_ENTRY_BYTES, put_at, u64_at};

/// What a run of pages is used for, as its first page's entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageKind {
    /// Not the first page of a run.
    Within = 0,
    /// First page of a free run; of a run of one page also the last.
    Free = 1,
    /// Last page of a longer free run.
    FreeTail = 2,
    Slab = 3,
    /// A record too large for a slot.
    Run = 4,
    Index = 5,
    Expiry = 6,
    Receipts = 7,
}

impl PageKind {
    fn from_bits(bits: u64) -> Self {
        match bits & 15 {
            1 => PageKind::Free,
            2 => PageKind::FreeTail,
            3 => PageKind::Slab,
            4 => PageKind::Run,
            5 => PageKind::Index,
            6 => PageKind::Expiry,
            7 => PageKind::Receipts,
            _ => PageKind::Within,
        }
    }
}

/// An entry of the page table. The links lead through free runs of a list, or through partial slabs of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    pub kind: PageKind,
    pub class: u8,
    pub previous: u32,
    pub next: u32,
    /// A slab's free slots; a free run's pages.
    pub word: u64,
}

const CLASS_BITS: u32 = 6;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;

const _: () = assert!(4 + CLASS_BITS + 2 * PAGE_BITS == 64);

impl TableEntry {
    /// The entry of a page that is not the first one of its run.
    pub fn within_run() -> Self {
        Self::used(PageKind::Within, 0)
    }

    /// The entry of the first page of a run in use.
    pub fn used(kind: PageKind, class: u8) -> Self {
        TableEntry { kind, class, previous: 0, next: 0, word: 0 }
    }

    /// The entry of the first or last page of a free run.
    pub fn free(kind: PageKind, pages: u32, next: u32) -> Self {
        TableEntry { kind, class: 0, previous: 0, next, word: u64::from(pages) }
    }

    fn encode(&self) -> [u8; TABLE_ENTRY_BYTES as usize] {
        let low = self.kind as u64
            | u64::from(self.class) << 4
            | u64::from(self.previous) << (4 + CLASS_BITS)
            | u64::from(self.next) << (4 + CLASS_BITS + PAGE_BITS);
        let mut bytes = [0; TABLE_ENTRY_BYTES as usize];
        put_at(&mut bytes, 0, low.to_le_bytes());
        put_at(&mut bytes, 8, self.word.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; TABLE_ENTRY_BYTES as usize]) -> Self {
        let low = u64_at(bytes, 0);
        TableEntry {
            kind: PageKind::from_bits(low),
            class: (low >> 4) as u8 & ((1 << CLASS_BITS) - 1),
            previous: (low >> (4 + CLASS_BITS) & PAGE_MASK) as u32,
            next: (low >> (4 + CLASS_BITS + PAGE_BITS) & PAGE_MASK) as u32,
            word: u64_at(bytes, 8),
        }
    }
}

fn address(page: u32) -> u64 {
    let segment = u64::from(page / SEGMENT_PAGES) * u64::from(SEGMENT_PAGES) * PAGE_BYTES;
    segment + PAGE_BYTES + u64::from(page % SEGMENT_PAGES) * TABLE_ENTRY_BYTES
}

impl<M: Memory> Pages<M> {
    /// Reads a page's entry.
    pub fn entry(&self, page: u32) -> TableEntry {
        let mut bytes = [0; TABLE_ENTRY_BYTES as usize];
        self.memory.read(address(page), &mut bytes);
        TableEntry::decode(&bytes)
    }

    /// Writes a page's entry.
    pub fn set_entry(&mut self, page: u32, entry: TableEntry) {
        self.memory.write(address(page), &entry.encode());
    }

    /// Writes the second word only: a slab's free slots.
    pub fn set_word(&mut self, page: u32, word: u64) {
        self.memory.write(address(page) + 8, &word.to_le_bytes());
    }
}
