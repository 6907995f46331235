//! A sparse memory in the process, shared between its clones, that counts as the platform does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use ic_stable_structures::Memory;

const PAGE_BYTES: usize = 4_096;
const PAGES_PER_WASM_PAGE: u64 = 16;

/// What was read and written, in a message or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub read_bytes: u64,
    pub writes: u64,
    pub written_bytes: u64,
    pub dirtied: BTreeSet<u64>,
}

impl Counts {
    /// Instructions by the measured price list: what the memory costs, without the code around it.
    pub fn instructions(&self) -> u64 {
        38 * self.reads + self.read_bytes + 40 * self.writes + self.written_bytes + 1_000 * self.dirtied.len() as u64
    }
}

#[derive(Default)]
struct Inner {
    pages: Vec<Option<Box<[u8; PAGE_BYTES]>>>,
    wasm_pages_max: Option<u64>,
    counts: Counts,
}

/// A memory whose clones share their bytes, so that a test can reopen, count and compare.
#[derive(Clone, Default)]
pub struct TestMemory(Rc<RefCell<Inner>>);

impl TestMemory {
    /// A memory that refuses to grow beyond so many pages of 64 KiB.
    pub fn limited(wasm_pages_max: u64) -> Self {
        let memory = TestMemory::default();
        memory.0.borrow_mut().wasm_pages_max = Some(wasm_pages_max);
        memory
    }

    /// Lets it grow up to so many pages.
    pub fn set_limit(&self, wasm_pages_max: Option<u64>) {
        self.0.borrow_mut().wasm_pages_max = wasm_pages_max;
    }

    /// Begins a new message: answers the counts so far and starts from zero.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.0.borrow_mut().counts)
    }

    /// The pages that hold anything but zeroes, with their numbers.
    pub fn image(&self) -> Vec<(usize, Vec<u8>)> {
        let inner = self.0.borrow();
        let pages = inner.pages.iter().enumerate();
        pages
            .filter_map(|(at, page)| page.as_ref().map(|page| (at, page.to_vec())))
            .filter(|(_, page)| page.iter().any(|&byte| byte != 0))
            .collect()
    }
}

impl Memory for TestMemory {
    fn size(&self) -> u64 {
        self.0.borrow().pages.len() as u64 / PAGES_PER_WASM_PAGE
    }

    fn grow(&self, pages: u64) -> i64 {
        let size = self.size();
        let mut inner = self.0.borrow_mut();
        if inner.wasm_pages_max.is_some_and(|max| size + pages > max) {
            return -1;
        }
        inner.pages.resize(((size + pages) * PAGES_PER_WASM_PAGE) as usize, None);
        size as i64
    }

    fn read(&self, offset: u64, target: &mut [u8]) {
        let mut inner = self.0.borrow_mut();
        inner.counts.reads += 1;
        inner.counts.read_bytes += target.len() as u64;
        assert!(offset + target.len() as u64 <= (inner.pages.len() * PAGE_BYTES) as u64, "read out of bounds");
        let mut at = offset as usize;
        let mut rest = target;
        while !rest.is_empty() {
            let within = at % PAGE_BYTES;
            let (part, behind) = rest.split_at_mut(rest.len().min(PAGE_BYTES - within));
            match &inner.pages[at / PAGE_BYTES] {
                Some(page) => part.copy_from_slice(&page[within..within + part.len()]),
                None => part.fill(0),
            }
            at += part.len();
            rest = behind;
        }
    }

    fn write(&self, offset: u64, source: &[u8]) {
        let mut inner = self.0.borrow_mut();
        inner.counts.writes += 1;
        inner.counts.written_bytes += source.len() as u64;
        assert!(offset + source.len() as u64 <= (inner.pages.len() * PAGE_BYTES) as u64, "write out of bounds");
        let mut at = offset as usize;
        let mut rest = source;
        while !rest.is_empty() {
            let within = at % PAGE_BYTES;
            let (part, behind) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            inner.counts.dirtied.insert((at / PAGE_BYTES) as u64);
            let page = inner.pages[at / PAGE_BYTES].get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
            page[within..within + part.len()].copy_from_slice(part);
            at += part.len();
            rest = behind;
        }
    }
}
