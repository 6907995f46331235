//! The part of stable memory that belongs to the store: all of it from some page on.

use ic_stable_structures::{DefaultMemoryImpl, Memory};

/// Bytes of a page of stable memory, as the platform counts it.
pub const PAGE_BYTES: u64 = 64 * 1024;

/// Stable memory from a page on.
#[derive(Clone)]
pub struct Region {
    memory: DefaultMemoryImpl,
    first_page: u64,
}

impl Region {
    /// Takes everything from `first_page` on.
    pub fn new(memory: DefaultMemoryImpl, first_page: u64) -> Self {
        Self { memory, first_page }
    }
}

impl Memory for Region {
    fn size(&self) -> u64 {
        self.memory.size().saturating_sub(self.first_page)
    }

    fn grow(&self, pages: u64) -> i64 {
        match self.memory.grow(pages) {
            -1 => -1,
            before => before - self.first_page as i64,
        }
    }

    fn read(&self, offset: u64, target: &mut [u8]) {
        self.memory.read(self.first_page * PAGE_BYTES + offset, target);
    }

    unsafe fn read_unsafe(&self, offset: u64, target: *mut u8, count: usize) {
        // SAFETY: the caller's promise is passed on; only the offset is another.
        unsafe { self.memory.read_unsafe(self.first_page * PAGE_BYTES + offset, target, count) };
    }

    fn write(&self, offset: u64, source: &[u8]) {
        self.memory.write(self.first_page * PAGE_BYTES + offset, source);
    }
}
