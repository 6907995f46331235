//! Stable memory: sparse, with the pages that a message dirties and an undo list.
//!
//! Pages of 4 KiB are shared by reference, in chunks of 512. The first write to a page in an execution puts its old
//! contents on the undo list; a page not shared with it or with a snapshot is written in place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::fingerprint::{self, PAGE_BYTES};
use crate::limits::{STABLE_BYTES_MAX, WASM_PAGE_BYTES};

const PAGE: u64 = PAGE_BYTES as u64;
/// Pages of a chunk, the unit in which the index grows.
const CHUNK_PAGES: usize = 512;
/// Largest size in Wasm pages.
pub const WASM_PAGES_MAX: u64 = STABLE_BYTES_MAX / WASM_PAGE_BYTES;

type Page = [u8; PAGE_BYTES];

/// An access beyond the end of stable memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;

/// A point to which changes can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    undo: usize,
    wasm_pages: u64,
}

#[derive(Clone)]
struct Chunk {
    pages: [Option<Arc<Page>>; CHUNK_PAGES],
    /// The execution that wrote the page last.
    written: [u64; CHUNK_PAGES],
}

/// Sparse stable memory of at most 500 GiB. A clone shares the pages until either side writes them.
#[derive(Default)]
pub struct StableMemory {
    wasm_pages: u64,
    chunks: Vec<Option<Arc<Chunk>>>,
    /// The execution that read or wrote the page last, by chunk.
    accessed: Vec<Option<Box<[u64; CHUNK_PAGES]>>>,
    /// Number of the present execution; pages are dirty in it if they carry its number.
    execution: u64,
    pages_dirtied: u64,
    pages_accessed: u64,
    /// Old contents of pages, while executions are pending.
    undo: Option<Vec<(usize, Option<Arc<Page>>)>>,
    hashes: BTreeMap<usize, u64>,
    sum: u64,
    /// Pages whose entry in `hashes` is out of date.
    stale: BTreeSet<usize>,
}

impl StableMemory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the size in Wasm pages of 64 KiB.
    pub fn size_pages(&self) -> u64 {
        self.wasm_pages
    }

    /// Returns the size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.wasm_pages * WASM_PAGE_BYTES
    }

    /// Grows by `pages` of 64 KiB and returns the size before; None if it would exceed 500 GiB.
    pub fn grow(&mut self, pages: u64) -> Option<u64> {
        let before = self.wasm_pages;
        self.wasm_pages = before.checked_add(pages).filter(|size| *size <= WASM_PAGES_MAX)?;
        Some(before)
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `OutOfBounds` if the range ends beyond the size.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), OutOfBounds> {
        self.check(offset, buffer.len() as u64)?;
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (page, within, bytes) = piece(offset, rest.len());
            let (part, tail) = rest.split_at_mut(bytes);
            match self.page(page) {
                Some(contents) => part.copy_from_slice(&contents[within..within + bytes]),
                None => part.fill(0),
            }
            rest = tail;
            offset += bytes as u64;
        }
        Ok(())
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// `OutOfBounds` if the range ends beyond the size.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        self.check(offset, bytes.len() as u64)?;
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (page, within, count) = piece(offset, rest.len());
            let (part, tail) = rest.split_at(count);
            self.page_to_write(page)[within..within + count].copy_from_slice(part);
            rest = tail;
            offset += count as u64;
        }
        Ok(())
    }

    /// Replaces everything; the size becomes that of `bytes`, rounded up to whole Wasm pages.
    pub fn replace_all(&mut self, bytes: &[u8]) {
        *self = Self { wasm_pages: (bytes.len() as u64).div_ceil(WASM_PAGE_BYTES), ..Self::default() };
        for (index, part) in bytes.chunks(PAGE_BYTES).enumerate() {
            if part.iter().any(|byte| *byte != 0) {
                self.page_to_write(index)[..part.len()].copy_from_slice(part);
            }
        }
    }

    /// Returns the contents up to the size, or None if that is more than `bytes_max`.
    pub fn to_bytes(&self, bytes_max: u64) -> Option<Vec<u8>> {
        if self.size_bytes() > bytes_max {
            return None;
        }
        let mut bytes = vec![0; self.size_bytes() as usize];
        self.read(0, &mut bytes).expect("the buffer has the size of the memory");
        Some(bytes)
    }

    /// Begins an execution: from now on changes are undoable and dirty pages are counted from zero.
    pub(super) fn begin(&mut self) -> Mark {
        self.execution += 1;
        self.pages_dirtied = 0;
        self.pages_accessed = 0;
        Mark { undo: self.undo.get_or_insert_default().len(), wasm_pages: self.wasm_pages }
    }

    /// Undoes what was done since `mark`, which must be of the executions pending.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        let undo = self.undo.get_or_insert_default();
        for (index, contents) in undo.split_off(mark.undo).into_iter().rev() {
            let chunk = self.chunks[index / CHUNK_PAGES].as_mut().expect("a page on the undo list has a chunk");
            Arc::make_mut(chunk).pages[index % CHUNK_PAGES] = contents;
        }
        self.wasm_pages = mark.wasm_pages;
        // The pages keep the old number, so that a later write puts them on the undo list again.
        self.execution += 1;
    }

    /// Keeps all changes.
    pub(super) fn commit(&mut self) {
        for (index, _) in self.undo.take().into_iter().flatten() {
            self.stale.insert(index);
        }
    }

    /// Counts the pages of a range that the present execution hasn't dirtied yet.
    pub(super) fn pages_to_dirty(&self, offset: u64, bytes: u64) -> u64 {
        let clean = |index: &usize| {
            let chunk = self.chunks.get(index / CHUNK_PAGES).and_then(Option::as_ref);
            chunk.is_none_or(|chunk| chunk.written[index % CHUNK_PAGES] != self.execution)
        };
        pages(offset, bytes).filter(clean).count() as u64
    }

    /// Marks the pages of a range as accessed in the present execution.
    pub(super) fn access(&mut self, offset: u64, bytes: u64) {
        for index in pages(offset, bytes) {
            let chunk = index / CHUNK_PAGES;
            if self.accessed.len() <= chunk {
                self.accessed.resize_with(chunk + 1, || None);
            }
            let seen = &mut self.accessed[chunk].get_or_insert_with(|| Box::new([0; CHUNK_PAGES]))[index % CHUNK_PAGES];
            if *seen != self.execution {
                *seen = self.execution;
                self.pages_accessed += 1;
            }
        }
    }

    pub(super) fn pages_dirtied(&self) -> u64 {
        self.pages_dirtied
    }

    pub(super) fn pages_accessed(&self) -> u64 {
        self.pages_accessed
    }

    /// Returns a hash of size and contents. Only pages written since the last time are read.
    pub fn state_hash(&mut self) -> u64 {
        let pending = self.undo.iter().flatten().map(|(index, _)| *index);
        let stale: BTreeSet<usize> = std::mem::take(&mut self.stale).into_iter().chain(pending).collect();
        for index in stale {
            let hash = self.page(index).map_or(0, |contents| fingerprint::page(index as u64, contents));
            let before = if hash == 0 { self.hashes.remove(&index) } else { self.hashes.insert(index, hash) };
            self.sum = self.sum.wrapping_sub(before.unwrap_or(0)).wrapping_add(hash);
            if self.undo.is_some() {
                self.stale.insert(index);
            }
        }
        fingerprint::combine([self.wasm_pages, self.sum])
    }

    fn check(&self, offset: u64, bytes: u64) -> Result<(), OutOfBounds> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.size_bytes() => Ok(()),
            _ => Err(OutOfBounds),
        }
    }

    fn page(&self, index: usize) -> Option<&Page> {
        self.chunks.get(index / CHUNK_PAGES)?.as_ref()?.pages[index % CHUNK_PAGES].as_deref()
    }

    fn page_to_write(&mut self, index: usize) -> &mut Page {
        let (chunk, within) = (index / CHUNK_PAGES, index % CHUNK_PAGES);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let chunk = self.chunks[chunk]
            .get_or_insert_with(|| Arc::new(Chunk { pages: [const { None }; CHUNK_PAGES], written: [0; CHUNK_PAGES] }));
        let chunk = Arc::make_mut(chunk);
        match &mut self.undo {
            Some(undo) if chunk.written[within] != self.execution => {
                chunk.written[within] = self.execution;
                self.pages_dirtied += 1;
                undo.push((index, chunk.pages[within].clone()));
            }
            Some(_) => {}
            None => {
                self.stale.insert(index);
            }
        }
        Arc::make_mut(chunk.pages[within].get_or_insert_with(|| Arc::new([0; PAGE_BYTES])))
    }
}

impl Clone for StableMemory {
    fn clone(&self) -> Self {
        Self {
            wasm_pages: self.wasm_pages,
            chunks: self.chunks.clone(),
            accessed: Vec::new(),
            execution: self.execution,
            pages_dirtied: 0,
            pages_accessed: 0,
            undo: self.undo.clone(),
            hashes: self.hashes.clone(),
            sum: self.sum,
            stale: self.stale.clone(),
        }
    }
}

impl fmt::Debug for StableMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StableMemory").field("wasm_pages", &self.wasm_pages).finish_non_exhaustive()
    }
}

/// Splits off the part of a range within its first page: page, offset in it, bytes.
fn piece(offset: u64, bytes: usize) -> (usize, usize, usize) {
    let within = (offset % PAGE) as usize;
    ((offset / PAGE) as usize, within, bytes.min(PAGE_BYTES - within))
}

/// Lists the pages of a range, which is within the size.
fn pages(offset: u64, bytes: u64) -> Range<usize> {
    if bytes == 0 { 0..0 } else { (offset / PAGE) as usize..(offset + bytes).div_ceil(PAGE) as usize }
}

#[cfg(test)]
mod tests;
