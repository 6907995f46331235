//! A memory that counts the pages of 4 KiB that are written to.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use ic_stable_structures::{DefaultMemoryImpl, Memory};

const PAGE_BYTES: u64 = 4_096;

/// The canister's stable memory; clones count together.
#[derive(Clone, Default)]
pub struct CountingMemory {
    memory: DefaultMemoryImpl,
    dirtied: Rc<RefCell<BTreeSet<u64>>>,
}

impl CountingMemory {
    /// Tells how many pages were written to since the last time.
    pub fn take_dirtied(&self) -> usize {
        std::mem::take(&mut *self.dirtied.borrow_mut()).len()
    }
}

impl Memory for CountingMemory {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn grow(&self, pages: u64) -> i64 {
        self.memory.grow(pages)
    }

    fn read(&self, offset: u64, target: &mut [u8]) {
        self.memory.read(offset, target);
    }

    fn write(&self, offset: u64, source: &[u8]) {
        if let Some(last) = (source.len() as u64).checked_sub(1) {
            self.dirtied.borrow_mut().extend(offset / PAGE_BYTES..=(offset + last) / PAGE_BYTES);
        }
        self.memory.write(offset, source);
    }
}
