//! Heaps: finding the pages that an execution dirtied, keeping or dropping them.
//!
//! On Linux a heap is a private mapping of its part of an anonymous file that holds the contents as committed: pages
//! written since are private copies, which `/proc/self/pagemap` tells apart. Keeping them means writing them to the
//! file; dropping them, `madvise(MADV_DONTNEED)`. (Protecting kept copies by userfaultfd instead spares their copying
//! and takes a twentieth less time; but a page that the system moves meanwhile comes back unprotected, and counts as
//! written though it wasn't.) Where that doesn't work, the heap is compared with a copy of what was committed.
//! The comparison misses pages that were written with what they held already (about a tenth of the dirty pages of a
//! Rust canister), so it charges fewer instructions; seeds replay only with the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::fingerprint::{self, PAGE_BYTES};

#[cfg(target_os = "linux")]
pub mod mapped;

/// How dirty pages are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// By private mappings of a file (Linux).
    Pagemap,
    /// By comparison with a copy.
    Compare,
}

impl Tracking {
    /// Picks the exact way if this system offers it.
    pub fn detect() -> Self {
        #[cfg(target_os = "linux")]
        if mapped::works() {
            return Tracking::Pagemap;
        }
        Tracking::Compare
    }
}

/// Old contents of committed pages that later, pending executions overwrote.
pub type Undo = BTreeMap<usize, Vec<u8>>;

/// The committed contents of a heap, and the hash of them.
pub struct Heap {
    store: Store,
    hashes: BTreeMap<usize, u64>,
    sum: u64,
    stale: BTreeSet<usize>,
}

enum Store {
    #[cfg(target_os = "linux")]
    File(std::sync::Arc<mapped::HeapFile>),
    Copy(Vec<u8>),
}

impl Heap {
    #[cfg(target_os = "linux")]
    pub fn mapped(file: std::sync::Arc<mapped::HeapFile>) -> Self {
        Self::with(Store::File(file))
    }

    pub fn compared() -> Self {
        Self::with(Store::Copy(Vec::new()))
    }

    fn with(store: Store) -> Self {
        Self { store, hashes: BTreeMap::new(), sum: 0, stale: BTreeSet::new() }
    }

    /// Returns the file that the next instance has to map, if contents live in one.
    #[cfg(target_os = "linux")]
    pub fn file(&self) -> Option<std::sync::Arc<mapped::HeapFile>> {
        match &self.store {
            Store::File(file) => Some(file.clone()),
            Store::Copy(_) => None,
        }
    }

    /// Lists the pages of `live` that were dirtied since the last `keep` or `drop_changes`, in order.
    pub fn dirty(&self, live: &[u8]) -> Vec<usize> {
        match &self.store {
            #[cfg(target_os = "linux")]
            Store::File(_) => mapped::dirty(live),
            Store::Copy(copy) => {
                let pages = live.chunks_exact(PAGE_BYTES).enumerate();
                pages.filter(|(index, page)| *page != committed(copy, *index)).map(|(index, _)| index).collect()
            }
        }
    }

    /// Makes the dirty pages of `live` the committed ones. Their old contents go to `undo` where it has none yet.
    pub fn keep(&mut self, live: &mut [u8], dirty: &[usize], undo: Option<&mut Undo>) {
        if let Some(undo) = undo {
            for index in dirty {
                undo.entry(*index).or_insert_with(|| self.page(*index));
            }
        }
        self.stale.extend(dirty);
        match &mut self.store {
            #[cfg(target_os = "linux")]
            Store::File(file) => {
                for (first, last) in runs(dirty) {
                    let range = first * PAGE_BYTES..(last + 1) * PAGE_BYTES;
                    file.write(range.start, &live[range]);
                }
                mapped::discard(live, dirty);
            }
            Store::Copy(copy) => {
                copy.resize(live.len().max(copy.len()), 0);
                for index in dirty {
                    let range = index * PAGE_BYTES..(index + 1) * PAGE_BYTES;
                    copy[range.clone()].copy_from_slice(&live[range]);
                }
            }
        }
    }

    /// Puts the committed contents back into `live`. `dirty` are the pages that differ; None: it isn't known which.
    pub fn drop_changes(&self, live: &mut [u8], dirty: Option<&[usize]>) {
        match &self.store {
            #[cfg(target_os = "linux")]
            Store::File(_) => match dirty {
                Some(dirty) => mapped::discard(live, dirty),
                None => mapped::discard_all(live),
            },
            Store::Copy(copy) => {
                let all: Vec<usize> = if dirty.is_none() { (0..live.len() / PAGE_BYTES).collect() } else { Vec::new() };
                for index in dirty.unwrap_or(&all) {
                    let range = index * PAGE_BYTES..(index + 1) * PAGE_BYTES;
                    live[range].copy_from_slice(committed(copy, *index));
                }
            }
        }
    }

    /// Puts old contents back into what is committed. `live` follows with the next `drop_changes`.
    pub fn revert(&mut self, undo: Undo) {
        for (index, bytes) in undo {
            self.stale.insert(index);
            match &mut self.store {
                #[cfg(target_os = "linux")]
                Store::File(file) => file.write(index * PAGE_BYTES, &bytes),
                Store::Copy(copy) => {
                    let range = index * PAGE_BYTES..(index + 1) * PAGE_BYTES;
                    if range.end <= copy.len() {
                        copy[range].copy_from_slice(&bytes);
                    }
                }
            }
        }
    }

    /// Forgets what lies beyond `bytes`, where only dropped changes were.
    pub fn cut(&self, bytes: u64) {
        match &self.store {
            #[cfg(target_os = "linux")]
            Store::File(file) => file.cut(bytes as usize),
            // The copy holds committed bytes only.
            Store::Copy(_) => {}
        }
    }

    /// Returns a hash of the committed pages, of which only those that changed since the last time are read.
    pub fn hash(&mut self) -> u64 {
        for index in std::mem::take(&mut self.stale) {
            let hash = fingerprint::page(index as u64, &self.page(index));
            let before = if hash == 0 { self.hashes.remove(&index) } else { self.hashes.insert(index, hash) };
            self.sum = self.sum.wrapping_sub(before.unwrap_or(0)).wrapping_add(hash);
        }
        self.sum
    }

    fn page(&self, index: usize) -> Vec<u8> {
        match &self.store {
            #[cfg(target_os = "linux")]
            Store::File(file) => file.page(index),
            Store::Copy(copy) => committed(copy, index).to_vec(),
        }
    }
}

/// Returns a page of a copy; beyond its end heaps are zero.
fn committed(copy: &[u8], index: usize) -> &[u8] {
    static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
    copy.get(index * PAGE_BYTES..(index + 1) * PAGE_BYTES).unwrap_or(&ZEROS)
}

/// Joins neighbours of an ascending list into pairs of first and last.
fn runs(pages: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *page => *last = *page,
            _ => runs.push((*page, *page)),
        }
    }
    runs
}
