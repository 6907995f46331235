//! Access to the memory that estimates what it costs, for budgets.

use std::cell::Cell;
use std::mem::MaybeUninit;

use ic_stable_structures::Memory;

use crate::store::layout::PAGE_BYTES;

/// Instructions of a call of `stable64_read` or `stable64_write`, beside one per byte; measured 38 and 40. The rest is
/// what the code around such a call needs on average.
const CALL_INSTRUCTIONS: u64 = 80;
/// Instructions that the platform adds for the first write to a page in a message.
const DIRTY_PAGE_INSTRUCTIONS: u64 = 1_000;
/// A page written to is taken for dirty already if it was the last of its number modulo this.
const RECENT_PAGES: usize = 8;

/// A memory that counts instructions and dirtied pages, both from above.
pub struct Metered<M> {
    memory: M,
    instructions: Cell<u64>,
    dirtied: Cell<u64>,
    recent: [Cell<u64>; RECENT_PAGES],
}

impl<M: Memory> Metered<M> {
    /// Wraps a memory, all counts at zero.
    pub fn new(memory: M) -> Self {
        Metered {
            memory,
            instructions: Cell::new(0),
            dirtied: Cell::new(0),
            recent: [const { Cell::new(u64::MAX) }; RECENT_PAGES],
        }
    }

    /// The memory, for growing it.
    pub fn inner(&self) -> &M {
        &self.memory
    }

    /// Gives the memory back.
    pub fn into_inner(self) -> M {
        self.memory
    }

    /// Estimated instructions so far.
    pub fn instructions(&self) -> u64 {
        self.instructions.get()
    }

    /// Estimated pages dirtied so far.
    pub fn dirtied(&self) -> u64 {
        self.dirtied.get()
    }

    /// Fills `bytes` from `at` on.
    pub fn read(&self, at: u64, bytes: &mut [u8]) {
        self.count_call(bytes.len());
        self.memory.read(at, bytes);
    }

    /// Reads `count` bytes into a buffer that needs no zeroing first.
    pub fn read_into<'a>(&self, at: u64, count: usize, buffer: &'a mut [MaybeUninit<u8>]) -> &'a mut [u8] {
        let target = &mut buffer[..count];
        self.count_call(count);
        // SAFETY: `target` is `count` bytes that nothing else refers to, and `read_unsafe` initialises all of them.
        unsafe {
            self.memory.read_unsafe(at, target.as_mut_ptr().cast(), count);
            std::slice::from_raw_parts_mut(target.as_mut_ptr().cast(), count)
        }
    }

    /// Fills `words` with words of 64 bits, as they lie in the memory (little-endian).
    pub fn read_words(&self, at: u64, words: &mut [u64]) {
        let count = size_of_val(words);
        self.count_call(count);
        // SAFETY: `words` is `count` bytes that nothing else refers to, and any bytes make a word.
        unsafe { self.memory.read_unsafe(at, words.as_mut_ptr().cast(), count) };
    }

    /// Budgets need no exact sums, so nothing is checked here, on every access.
    fn count_call(&self, bytes: usize) {
        let cost = CALL_INSTRUCTIONS.wrapping_add(bytes as u64);
        self.instructions.set(self.instructions.get().wrapping_add(cost));
    }

    /// Appends `count` bytes to a vector without zeroing its spare room first.
    pub fn read_append(&self, at: u64, count: usize, target: &mut Vec<u8>) {
        target.reserve(count);
        let length = target.len();
        self.read_into(at, count, &mut target.spare_capacity_mut()[..count]);
        // SAFETY: `reserve` made room, and `read_into` has initialised `count` bytes behind the old length.
        unsafe { target.set_len(length + count) };
    }

    /// Writes words of 64 bits as they lie on the heap (little-endian).
    pub fn write_words(&self, at: u64, words: &[u64]) {
        // SAFETY: a word is eight bytes, all of them initialised, and bytes need no alignment.
        self.write(at, unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) });
    }

    /// Writes `bytes` from `at` on.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.count_call(bytes.len());
        let first = at / PAGE_BYTES;
        self.count_page(first);
        let last = at.wrapping_add(bytes.len() as u64).wrapping_sub(1) / PAGE_BYTES;
        if last > first {
            // No more turns than the longest record has pages.
            for page in first + 1..=last {
                self.count_page(page);
            }
        }
        self.memory.write(at, bytes);
    }

    #[inline]
    fn count_page(&self, page: u64) {
        let recent = &self.recent[page as usize % RECENT_PAGES];
        if recent.get() != page {
            recent.set(page);
            self.instructions.set(self.instructions.get().wrapping_add(DIRTY_PAGE_INSTRUCTIONS));
            self.dirtied.set(self.dirtied.get().wrapping_add(1));
        }
    }
}
