//! Room for records: slots of a few dozen sizes inside slabs of 1, 4 or 16 pages, runs of pages above.
//!
//! A slab's free slots are bits in its first page's table entry; a record that was freed is never touched. Each size
//! class has a *current* slab, whose bits lie in the header instead (which every write dirties anyway), so that filling
//! a slab costs no page of the table, and one *spare* slot, the last one freed, which often spares both a page of the
//! table when it is freed and one when it is used again. Other slabs with a fifth of their slots free are in a list of
//! their class; with fewer they aren't worth the writing. A slab that becomes empty is given back as pages.
//!
//! Larger slots lie in larger slabs, because four slots of 1,024 bytes in a page of 4 KiB would leave records of 1,100
//! bytes a third of their slot. The price is that some records lie across two pages, and dirty both.

use ic_stable_structures::Memory;

use super::layout::{CLASS_BYTES, CLASSES_OFFSET, PAGE_BYTES, RECORD_HEADER_BYTES, u32_at, u64_at, word_of};
use super::pages::{PageKind, Pages, TableEntry};

/// Slots per slab of one page, then of 4, then of 16: slot sizes grow by about a ninth.
const SLOTS_IN_1_PAGE: [u8; 27] =
    [64, 56, 50, 45, 40, 36, 33, 30, 28, 26, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8];
const SLOTS_IN_4_PAGES: [u8; 13] = [28, 25, 22, 20, 18, 16, 14, 13, 12, 11, 10, 9, 8];
const SLOTS_IN_16_PAGES: [u8; 13] = [28, 25, 22, 20, 18, 16, 14, 13, 12, 11, 10, 9, 8];

/// Number of size classes.
pub const CLASSES: usize = SLOTS_IN_1_PAGE.len() + SLOTS_IN_4_PAGES.len() + SLOTS_IN_16_PAGES.len();
/// The class number of records in runs.
pub const RUN_CLASS: u8 = 63;

/// A size class.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub slab_pages: u32,
    pub slots: u8,
    pub slot_bytes: u32,
}

const fn class(slab_pages: u32, slots: u8) -> Class {
    Class { slab_pages, slots, slot_bytes: slab_pages * PAGE_BYTES as u32 / slots as u32 }
}

/// All size classes, smallest slots first.
pub static SIZE_CLASSES: [Class; CLASSES] = {
    let mut classes = [class(1, 1); CLASSES];
    let mut index = 0;
    while index < CLASSES {
        classes[index] = if index < SLOTS_IN_1_PAGE.len() {
            class(1, SLOTS_IN_1_PAGE[index])
        } else if index < SLOTS_IN_1_PAGE.len() + SLOTS_IN_4_PAGES.len() {
            class(4, SLOTS_IN_4_PAGES[index - SLOTS_IN_1_PAGE.len()])
        } else {
            class(16, SLOTS_IN_16_PAGES[index - SLOTS_IN_1_PAGE.len() - SLOTS_IN_4_PAGES.len()])
        };
        index += 1;
    }
    classes
};

/// Records above this size lie in runs of pages.
pub const SLOT_BYTES_MAX: usize = SIZE_CLASSES[CLASSES - 1].slot_bytes as usize;

const _: () = {
    assert!(CLASSES < RUN_CLASS as usize);
    assert!(SIZE_CLASSES[0].slot_bytes as usize > RECORD_HEADER_BYTES);
    let mut index = 1;
    while index < CLASSES {
        // So an empty slab has been in a list, and is taken out of it.
        assert!((SIZE_CLASSES[index].slots / 5) < SIZE_CLASSES[index].slots - 1);
        assert!(SIZE_CLASSES[index - 1].slot_bytes < SIZE_CLASSES[index].slot_bytes);
        index += 1;
    }
};

/// The class for a record of so many bytes; `RUN_CLASS` for large ones.
pub fn class_for(bytes: usize) -> u8 {
    if bytes > SLOT_BYTES_MAX {
        return RUN_CLASS;
    }
    SIZE_CLASSES.partition_point(|class| (class.slot_bytes as usize) < bytes) as u8
}

/// Pages of a run that holds a record of so many bytes.
pub fn run_pages(bytes: usize) -> u32 {
    (bytes as u64).div_ceil(PAGE_BYTES) as u32
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub page: u32,
    pub index: u8,
    pub class: u8,
}

impl Slot {
    /// The byte address of the record.
    pub fn address(&self) -> u64 {
        let within = if self.class == RUN_CLASS {
            0
        } else {
            u64::from(self.index) * u64::from(SIZE_CLASSES[self.class as usize].slot_bytes)
        };
        u64::from(self.page) * PAGE_BYTES + within
    }

    /// Bytes that a record of `bytes` takes here.
    pub fn room(&self, bytes: usize) -> u64 {
        if self.class == RUN_CLASS {
            u64::from(run_pages(bytes)) * PAGE_BYTES
        } else {
            u64::from(SIZE_CLASSES[self.class as usize].slot_bytes)
        }
    }

    /// Whether a record of `new` bytes, of `class`, belongs where one of `old` bytes lies.
    pub fn suits(&self, old: usize, new: usize, class: u8) -> bool {
        self.class == class && (self.class != RUN_CLASS || run_pages(old) == run_pages(new))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ClassState {
    current: u32,
    partial: u32,
    free: u64,
    /// Free, but used as far as its slab's bits tell.
    spare: Option<(u32, u8)>,
}

/// Hands out slots and runs for records.
pub struct Slabs {
    classes: [ClassState; CLASSES],
    /// Pages of all slabs.
    pub slab_pages: u32,
    /// Pages of all records in runs.
    pub run_pages: u32,
    /// Bytes of slots and runs in use.
    pub used_bytes: u64,
}

/// A spare slot in 8 bytes; 0: none.
fn encode_spare(spare: Option<(u32, u8)>) -> u64 {
    spare.map_or(0, |(page, index)| u64::from(page) << 8 | u64::from(index))
}

fn decode_spare(number: u64) -> Option<(u32, u8)> {
    (number != 0).then_some(((number >> 8) as u32, number as u8))
}

/// Free slots from which on a slab is in the list of its class.
pub fn listed_from(class: u8) -> u32 {
    (u32::from(SIZE_CLASSES[class as usize].slots) / 5).max(1)
}

fn all_free(class: u8) -> u64 {
    u64::MAX >> (64 - SIZE_CLASSES[class as usize].slots)
}

impl Slabs {
    /// Starts without slabs.
    pub fn create() -> Self {
        Slabs { classes: [ClassState::default(); CLASSES], slab_pages: 0, run_pages: 0, used_bytes: 0 }
    }

    /// Reads the state of the classes from the header.
    pub fn open<M: Memory>(pages: &Pages<M>, slab_pages: u32, run_pages: u32, used_bytes: u64) -> Self {
        let mut bytes = [0; CLASSES * CLASS_BYTES as usize];
        pages.memory.read(CLASSES_OFFSET, &mut bytes);
        let mut classes = [ClassState::default(); CLASSES];
        for (state, bytes) in classes.iter_mut().zip(bytes.chunks_exact(CLASS_BYTES as usize)) {
            *state = ClassState {
                current: u32_at(bytes, 0),
                partial: u32_at(bytes, 4),
                free: u64_at(bytes, 8),
                spare: decode_spare(u64_at(bytes, 16)),
            };
        }
        Slabs { classes, slab_pages, run_pages, used_bytes }
    }

    fn store_class<M: Memory>(&self, pages: &mut Pages<M>, class: u8) {
        let ClassState { current, partial, free, spare } = self.classes[class as usize];
        let words: [u64; CLASS_BYTES as usize / 8] =
            [word_of(current, partial), free.to_le(), encode_spare(spare).to_le()];
        pages.memory.write_words(CLASSES_OFFSET + u64::from(class) * CLASS_BYTES, &words);
    }

    /// Pages that taking room for a record of `bytes`, of `class`, may need.
    pub fn pages_needed(&self, bytes: usize, class: u8) -> u64 {
        match class {
            RUN_CLASS => u64::from(run_pages(bytes)),
            class => {
                let state = &self.classes[class as usize];
                if state.free != 0 || state.partial != 0 || state.spare.is_some() {
                    0
                } else {
                    u64::from(SIZE_CLASSES[class as usize].slab_pages)
                }
            }
        }
    }

    /// Takes room for a record of `bytes`, of `class`. `None` if there is none; then nothing has changed.
    pub fn take<M: Memory>(&mut self, pages: &mut Pages<M>, bytes: usize, class: u8) -> Option<Slot> {
        if class == RUN_CLASS {
            let count = run_pages(bytes);
            let page = pages.take(count, PageKind::Run, RUN_CLASS)?;
            self.run_pages += count;
            self.used_bytes += u64::from(count) * PAGE_BYTES;
            return Some(Slot { page, index: 0, class });
        }
        if let Some((page, index)) = self.classes[class as usize].spare.take() {
            self.used_bytes += u64::from(SIZE_CLASSES[class as usize].slot_bytes);
            self.store_class(pages, class);
            return Some(Slot { page, index, class });
        }
        if self.classes[class as usize].free == 0 {
            self.replace_current(pages, class)?;
        }
        let state = &mut self.classes[class as usize];
        let index = state.free.trailing_zeros() as u8;
        state.free &= state.free - 1;
        let page = state.current;
        self.used_bytes += u64::from(SIZE_CLASSES[class as usize].slot_bytes);
        self.store_class(pages, class);
        Some(Slot { page, index, class })
    }

    /// Makes a slab with free slots the current one, in place of a full one.
    fn replace_current<M: Memory>(&mut self, pages: &mut Pages<M>, class: u8) -> Option<()> {
        let ClassState { current: full, partial, .. } = self.classes[class as usize];
        if partial != 0 {
            let entry = pages.entry(partial);
            let state = &mut self.classes[class as usize];
            state.partial = entry.next;
            state.current = partial;
            state.free = entry.word;
        } else {
            let slab_pages = SIZE_CLASSES[class as usize].slab_pages;
            let page = pages.take(slab_pages, PageKind::Slab, class)?;
            self.slab_pages += slab_pages;
            let state = &mut self.classes[class as usize];
            state.current = page;
            state.free = all_free(class);
        }
        if full != 0 {
            pages.set_entry(full, TableEntry::used(PageKind::Slab, class));
        }
        Some(())
    }

    /// Frees the room of a record of `bytes`.
    pub fn give_back<M: Memory>(&mut self, pages: &mut Pages<M>, slot: Slot, bytes: usize) {
        self.used_bytes -= slot.room(bytes);
        if slot.class == RUN_CLASS {
            let count = run_pages(bytes);
            self.run_pages -= count;
            pages.give_back(slot.page, count);
            return;
        }
        let bit = 1u64 << slot.index;
        let state = &mut self.classes[slot.class as usize];
        if state.current == slot.page {
            debug_assert_eq!(state.free & bit, 0, "a slot is freed once");
            state.free |= bit;
            self.store_class(pages, slot.class);
            return;
        }
        if state.spare.is_none() {
            state.spare = Some((slot.page, slot.index));
            self.store_class(pages, slot.class);
            return;
        }
        let entry = pages.entry(slot.page);
        debug_assert_eq!(entry.word & bit, 0, "a slot is freed once");
        let free = entry.word | bit;
        if free == all_free(slot.class) {
            self.unlink(pages, slot.class, slot.page, entry);
            let slab_pages = SIZE_CLASSES[slot.class as usize].slab_pages;
            self.slab_pages -= slab_pages;
            pages.give_back(slot.page, slab_pages);
        } else if free.count_ones() == listed_from(slot.class) {
            self.link(pages, slot.class, slot.page, free);
        } else {
            pages.set_word(slot.page, free);
        }
    }

    fn link<M: Memory>(&mut self, pages: &mut Pages<M>, class: u8, page: u32, free: u64) {
        let next = self.classes[class as usize].partial;
        if next != 0 {
            let mut entry = pages.entry(next);
            entry.previous = page;
            pages.set_entry(next, entry);
        }
        pages.set_entry(page, TableEntry { kind: PageKind::Slab, class, previous: 0, next, word: free });
        self.classes[class as usize].partial = page;
        self.store_class(pages, class);
    }

    /// Takes a slab out of its list. The first one's `previous` means nothing.
    fn unlink<M: Memory>(&mut self, pages: &mut Pages<M>, class: u8, page: u32, entry: TableEntry) {
        if self.classes[class as usize].partial == page {
            self.classes[class as usize].partial = entry.next;
            self.store_class(pages, class);
            return;
        }
        let mut before = pages.entry(entry.previous);
        before.next = entry.next;
        pages.set_entry(entry.previous, before);
        if entry.next != 0 {
            let mut after = pages.entry(entry.next);
            after.previous = entry.previous;
            pages.set_entry(entry.next, after);
        }
    }

    /// A slab's free slots as its bits tell, whether it is current, and the bit of its spare slot, for checks.
    pub fn free_slots<M: Memory>(&self, pages: &Pages<M>, page: u32, class: u8) -> (u64, bool, u64) {
        let state = &self.classes[class as usize];
        let spare = state.spare.filter(|spare| spare.0 == page).map_or(0, |spare| 1 << spare.1);
        let current = state.current == page;
        (if current { state.free } else { pages.entry(page).word }, current, spare)
    }

    /// The current slabs and those of spare slots, with their classes, for checks.
    pub fn each_special(&self) -> impl Iterator<Item = (u32, u8)> + '_ {
        self.classes.iter().enumerate().flat_map(|(at, state)| {
            let current = (state.current != 0).then_some((state.current, at as u8));
            current.into_iter().chain(state.spare.map(|spare| (spare.0, at as u8)))
        })
    }

    /// Calls `visit` with every slab in the lists of partial slabs, for checks.
    pub fn each_partial<M: Memory>(&self, pages: &Pages<M>, visit: &mut dyn FnMut(u8, u32)) {
        for (class, state) in self.classes.iter().enumerate() {
            let mut page = state.partial;
            // A list has no more slabs than there are pages.
            for _ in 0..pages.capacity {
                if page == 0 {
                    break;
                }
                visit(class as u8, page);
                page = pages.entry(page).next;
            }
        }
    }
}
