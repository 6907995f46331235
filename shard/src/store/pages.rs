//! Pages of 4 KiB: metered access to the memory, the page table, and the allocator of page runs.
//!
//! A run of pages is free or in use; only the table entries of its first and its last page say so, the others are never
//! looked at. Free runs are in lists by length (exact to 16 pages, then four lists per power of two), coalesced with
//! their neighbours as soon as they are freed. Pages from `frontier` on were never used or have been given back; they
//! are in no list. A run never crosses a segment.

mod meter;
mod table;

use ic_stable_structures::Memory;

use super::layout::{
    FIRST_PAGE, FREE_RUN_LISTS, FREE_RUNS_OFFSET, SEGMENT_PAGES, SEGMENT_RESERVED_PAGES, u32_at, u64_at,
};
pub use meter::Metered;
pub use table::{PageKind, TableEntry};

/// Runs up to this length have a list of their own.
const EXACT_LISTS: u32 = 16;
/// How many runs of a list are looked at when none is surely long enough.
const LIST_SEARCH_MAX: usize = 8;

/// Hands out runs of pages of one memory.
pub struct Pages<M> {
    pub memory: Metered<M>,
    /// Pages of the memory that may be used, reserved ones included.
    pub capacity: u32,
    /// The first page never used, or given back.
    pub frontier: u32,
    /// Pages in free runs.
    pub free: u32,
    occupied_lists: u64,
    lists: [u32; FREE_RUN_LISTS],
}

/// The list that a free run of this length belongs to.
fn list_of(pages: u32) -> usize {
    if pages <= EXACT_LISTS {
        return pages as usize - 1;
    }
    let power = 31 - pages.leading_zeros();
    let quarter = (pages >> (power - 2)) & 3;
    (EXACT_LISTS + (power - 4) * 4 + quarter) as usize
}

/// The first list of which every run has at least this length.
fn list_that_fits(pages: u32) -> usize {
    let list = list_of(pages);
    if pages <= EXACT_LISTS || list_of(pages - 1) != list { list } else { list + 1 }
}

const _: () = assert!(EXACT_LISTS + (14 - 4) * 4 <= FREE_RUN_LISTS as u32 && SEGMENT_PAGES == 1 << 14);

/// Pages below `page` that are handed out, so that differences count usable pages.
fn usable_below(page: u32) -> u32 {
    let segment = page / SEGMENT_PAGES;
    let within = (page % SEGMENT_PAGES).saturating_sub(SEGMENT_RESERVED_PAGES);
    let all = segment * (SEGMENT_PAGES - SEGMENT_RESERVED_PAGES) + within;
    all.saturating_sub(FIRST_PAGE - SEGMENT_RESERVED_PAGES)
}

/// The first page of a segment that is handed out.
fn first_of_segment(page: u32) -> u32 {
    let segment = page / SEGMENT_PAGES;
    if segment == 0 { FIRST_PAGE } else { segment * SEGMENT_PAGES + SEGMENT_RESERVED_PAGES }
}

impl<M: Memory> Pages<M> {
    /// Starts with a memory that has been grown to `capacity` pages and is all zero.
    pub fn create(memory: Metered<M>, capacity: u32) -> Self {
        Pages { memory, capacity, frontier: FIRST_PAGE, free: 0, occupied_lists: 0, lists: [0; FREE_RUN_LISTS] }
    }

    /// Reads the list heads from the header.
    pub fn open(memory: Metered<M>, capacity: u32, frontier: u32, free: u32) -> Self {
        let mut bytes = [0; 8 + 4 * FREE_RUN_LISTS];
        memory.read(FREE_RUNS_OFFSET, &mut bytes);
        let mut lists = [0; FREE_RUN_LISTS];
        for (list, head) in lists.iter_mut().enumerate() {
            *head = u32_at(&bytes, 8 + 4 * list);
        }
        Pages { memory, capacity, frontier, free, occupied_lists: u64_at(&bytes, 0), lists }
    }

    /// Pages from the frontier on that can be handed out.
    pub fn untouched(&self) -> u32 {
        usable_below(self.capacity) - usable_below(self.frontier)
    }

    /// Pages of the capacity that are handed out to nobody: header, tables, metadata.
    pub fn reserved(&self) -> u32 {
        self.capacity - usable_below(self.capacity)
    }

    /// Pages that can be handed out one by one.
    pub fn available(&self) -> u64 {
        u64::from(self.free) + u64::from(self.untouched())
    }

    /// Takes a run of `pages` pages. `None` if there is none so long; then nothing has changed.
    pub fn take(&mut self, pages: u32, kind: PageKind, class: u8) -> Option<u32> {
        let page = match self.take_listed(pages) {
            Some(page) => page,
            None => self.take_untouched(pages)?,
        };
        if pages > 1 {
            self.set_entry(page + pages - 1, TableEntry::within_run());
        }
        self.set_entry(page, TableEntry::used(kind, class));
        Some(page)
    }

    fn take_listed(&mut self, pages: u32) -> Option<u32> {
        let sure = list_that_fits(pages);
        let above = if sure < 64 { self.occupied_lists >> sure << sure } else { 0 };
        let (page, run) = if above != 0 {
            let page = self.lists[above.trailing_zeros() as usize];
            (page, self.entry(page).word as u32)
        } else {
            self.search_list(list_of(pages), pages)?
        };
        self.unlink(page, run);
        self.free -= run;
        if run > pages {
            self.link(page + pages, run - pages);
            self.free += run - pages;
        }
        Some(page)
    }

    fn search_list(&mut self, list: usize, pages: u32) -> Option<(u32, u32)> {
        let mut page = self.lists[list];
        for _ in 0..LIST_SEARCH_MAX {
            if page == 0 {
                return None;
            }
            let entry = self.entry(page);
            if entry.word as u32 >= pages {
                return Some((page, entry.word as u32));
            }
            page = entry.next;
        }
        None
    }

    fn take_untouched(&mut self, pages: u32) -> Option<u32> {
        let segment_end = (self.frontier - 1) / SEGMENT_PAGES * SEGMENT_PAGES + SEGMENT_PAGES;
        if u64::from(self.frontier) + u64::from(pages) <= u64::from(segment_end.min(self.capacity)) {
            let page = self.frontier;
            self.frontier += pages;
            return Some(page);
        }
        let next = u64::from(segment_end) + u64::from(SEGMENT_RESERVED_PAGES);
        if next + u64::from(pages) > u64::from(self.capacity) {
            return None;
        }
        let rest = segment_end - self.frontier;
        if rest > 0 {
            self.link(self.frontier, rest);
            self.free += rest;
        }
        let page = next as u32;
        self.frontier = page + pages;
        Some(page)
    }

    /// Gives back a run that was taken with the same length.
    pub fn give_back(&mut self, page: u32, pages: u32) {
        let (mut start, mut length) = (page, pages);
        if page > first_of_segment(page) {
            let before = self.entry(page - 1);
            if matches!(before.kind, PageKind::FreeTail | PageKind::Free) {
                let run = before.word as u32;
                start -= run;
                length += run;
                self.unlink(start, run);
                self.free -= run;
            }
        }
        let after = page + pages;
        if after == self.frontier {
            self.frontier = start;
            return;
        }
        if !after.is_multiple_of(SEGMENT_PAGES) {
            let entry = self.entry(after);
            if entry.kind == PageKind::Free {
                let run = entry.word as u32;
                self.unlink(after, run);
                self.free -= run;
                length += run;
            }
        }
        self.link(start, length);
        self.free += length;
    }

    fn link(&mut self, page: u32, pages: u32) {
        let list = list_of(pages);
        let head = self.lists[list];
        if head != 0 {
            let mut entry = self.entry(head);
            entry.previous = page;
            self.set_entry(head, entry);
        }
        if pages > 1 {
            self.set_entry(page + pages - 1, TableEntry::free(PageKind::FreeTail, pages, 0));
        }
        self.set_entry(page, TableEntry::free(PageKind::Free, pages, head));
        self.set_list(list, page);
    }

    fn unlink(&mut self, page: u32, pages: u32) {
        let TableEntry { previous, next, .. } = self.entry(page);
        if next != 0 {
            let mut entry = self.entry(next);
            entry.previous = previous;
            self.set_entry(next, entry);
        }
        if previous != 0 {
            let mut entry = self.entry(previous);
            entry.next = next;
            self.set_entry(previous, entry);
        } else {
            self.set_list(list_of(pages), next);
        }
    }

    fn set_list(&mut self, list: usize, head: u32) {
        self.lists[list] = head;
        let occupied = if head == 0 { self.occupied_lists & !(1 << list) } else { self.occupied_lists | 1 << list };
        if occupied != self.occupied_lists {
            self.occupied_lists = occupied;
            self.memory.write(FREE_RUNS_OFFSET, &occupied.to_le_bytes());
        }
        self.memory.write(FREE_RUNS_OFFSET + 8 + 4 * list as u64, &head.to_le_bytes());
    }

    /// Calls `visit` with every free run (first page, pages), for checks.
    pub fn each_free_run(&self, visit: &mut dyn FnMut(usize, u32, u32)) {
        for list in 0..FREE_RUN_LISTS {
            let mut page = self.lists[list];
            // A list has no more runs than there are pages.
            for _ in 0..self.capacity {
                if page == 0 {
                    break;
                }
                let entry = self.entry(page);
                visit(list, page, entry.word as u32);
                page = entry.next;
            }
        }
    }

    /// The list for runs of this length, for checks.
    pub fn list_for(pages: u32) -> usize {
        list_of(pages)
    }
}
