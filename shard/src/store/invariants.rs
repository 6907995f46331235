//! Checks everything against everything, in time proportional to the store; for tests and the simulator.

use std::collections::{BTreeMap, BTreeSet};

use ic_stable_structures::Memory;

use super::api::{Kind, Violation};
use super::layout::{FIRST_PAGE, PAGE_BYTES, SEGMENT_PAGES, SEGMENT_RESERVED_PAGES};
use super::pages::{PageKind, Pages};
use super::record::{Pointer, RecordHeader};
use super::slabs::{RUN_CLASS, SIZE_CLASSES, class_for, listed_from, run_pages};
use super::state::{Counters, Store};
use super::tree::{Entry, Tree, TreeKey};

type Checked = Result<(), Violation>;

fn require(holds: bool, words: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation(words())) }
}

/// Pages by what they are used for: first page, and how many.
type Runs = BTreeMap<u32, u32>;

/// Adds a run, which must not overlap any other.
fn add_run(runs: &mut Runs, page: u32, pages: u32) -> Checked {
    let before = runs.range(..=page).next_back().map_or(0, |(first, count)| first + count);
    let after = runs.range(page..).next().map_or(u32::MAX, |(&first, _)| first);
    require(before <= page && page + pages <= after, || format!("run {page}+{pages} overlaps another"))?;
    runs.insert(page, pages);
    Ok(())
}

impl<M: Memory> Store<M> {
    /// Checks that index, records, receipts, expiry tree, page table, free runs and counters agree.
    ///
    /// # Errors
    ///
    /// Says in words what does not.
    pub fn check_invariants(&mut self) -> Checked {
        let mut runs = Runs::new();
        let entries = tree_entries(&self.pages, &mut self.index, &mut runs)?;
        let expiries = tree_entries(&self.pages, &mut self.expiry, &mut runs)?;
        self.check_records(&entries, &expiries, &mut runs)?;
        self.check_receipts_of(&entries, &mut runs)?;
        self.check_pages(&mut runs)
    }

    fn check_records(&mut self, entries: &[Entry], expiries: &[Entry], runs: &mut Runs) -> Checked {
        let mut counted = Counters { ..self.counters };
        (counted.records, counted.tombstones, counted.live_bytes, counted.record_bytes) = (0, 0, 0, 0);
        counted.internal_records = 0;
        let mut used_bytes = 0;
        let mut slots: BTreeMap<(u32, u8), u64> = BTreeMap::new();
        let mut expected: Vec<(TreeKey, u64)> = Vec::new();
        for entry in entries {
            let Pointer::Record { slot, kind, expires, .. } = Pointer::decode(entry.payload) else { continue };
            let header = RecordHeader::read(&self.pages.memory, slot.address());
            require(header.kind == kind && (header.expires != 0) == expires, || {
                format!("{entry:?} against {header:?}")
            })?;
            let bytes = header.record_bytes();
            require(slot.suits(bytes, bytes, class_for(bytes)), || format!("{slot:?} for {header:?}"))?;
            let room = slot.room(header.record_bytes());
            used_bytes += room;
            if slot.class == RUN_CLASS {
                add_run(runs, slot.page, run_pages(header.record_bytes()))?;
                let kind = self.pages.entry(slot.page).kind;
                require(kind == PageKind::Run, || format!("page {} of a record is {kind:?}", slot.page))?;
            } else {
                let used = slots.entry((slot.page, slot.class)).or_default();
                require(*used & 1 << slot.index == 0, || format!("{slot:?} is used twice"))?;
                *used |= 1 << slot.index;
            }
            if header.expires != 0 {
                expected.push(((header.expires, entry.key.1), entry.key.0));
            }
            counted.record_bytes += header.record_bytes() as u64;
            if kind == Kind::Tombstone {
                counted.tombstones += 1;
            } else {
                counted.records += 1;
                counted.internal_records += u64::from(header.space != 0);
                counted.live_bytes += header.payload_bytes();
            }
        }
        require(counted == self.counters, || format!("counted {counted:?}, noted {:?}", self.counters))?;
        require(used_bytes == self.slabs.used_bytes, || format!("slots use {used_bytes} bytes"))?;
        expected.sort_unstable();
        let mut listed: Vec<(TreeKey, u64)> = expiries.iter().map(|entry| (entry.key, entry.payload)).collect();
        listed.sort_unstable();
        require(expected == listed, || "the expiry tree lists other records than expire".to_string())?;
        self.check_slabs(&slots, runs)
    }

    fn check_slabs(&self, slots: &BTreeMap<(u32, u8), u64>, runs: &mut Runs) -> Checked {
        let mut partial = BTreeSet::new();
        let mut twice = false;
        self.slabs.each_partial(&self.pages, &mut |class, page| twice |= !partial.insert((page, class)));
        require(!twice, || "a slab is twice in the lists".to_string())?;
        let mut slab_pages = 0;
        // The current slab may be empty, any other is found through its records or its spare slot.
        let known = slots.keys().copied().chain(partial.iter().copied()).chain(self.slabs.each_special());
        for (page, class) in known.collect::<BTreeSet<_>>() {
            let size = &SIZE_CLASSES[class as usize];
            let used = slots.get(&(page, class)).copied().unwrap_or(0);
            let (free, current, spare) = self.slabs.free_slots(&self.pages, page, class);
            require(used & spare == 0, || format!("slab {page}: used {used:x}, spare {spare:x}"))?;
            let used = used | spare;
            let all = u64::MAX >> (64 - size.slots);
            require(free ^ used == all && free & used == 0, || format!("slab {page}: free {free:x}, used {used:x}"))?;
            let listed = partial.contains(&(page, class));
            require(listed == (!current && free.count_ones() >= listed_from(class)), || {
                format!("slab {page}: listed {listed}, free {free:x}")
            })?;
            require(current || used != 0, || format!("slab {page} is empty"))?;
            let entry = self.pages.entry(page);
            require(entry.kind == PageKind::Slab && entry.class == class, || format!("slab {page} is {entry:?}"))?;
            add_run(runs, page, size.slab_pages)?;
            slab_pages += size.slab_pages;
        }
        require(slab_pages == self.slabs.slab_pages, || format!("slabs have {slab_pages} pages"))
    }

    fn check_receipts_of(&mut self, entries: &[Entry], runs: &mut Runs) -> Checked {
        let mut counts: BTreeMap<TreeKey, u32> = BTreeMap::new();
        let mut found: BTreeMap<TreeKey, u32> = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut overlap = Ok(());
        self.receipts.each_page(&self.pages, &mut |page, count| {
            if overlap.is_ok() {
                overlap = add_run(runs, page, 1);
            }
            places.insert(page, count);
        });
        overlap?;
        require(places.len() == self.receipts.pages as usize, || format!("{} receipt pages", places.len()))?;
        let mut receipts = 0;
        for entry in entries {
            match Pointer::decode(entry.payload) {
                Pointer::Record { receipts, .. } => *counts.entry(entry.key).or_default() += receipts,
                Pointer::Ghost { receipts } => {
                    require(receipts > 0, || format!("ghost {entry:?} counts nothing"))?;
                    *counts.entry(entry.key).or_default() += receipts;
                }
                Pointer::Receipt { page, index } => {
                    receipts += 1;
                    let listed = places.get(&page).is_some_and(|&count| u16::from(index) < count);
                    require(listed, || format!("{entry:?} is in no list"))?;
                    let stored = self.receipts.read(&self.pages, page, index);
                    require((stored.hash, stored.tag()) == entry.key, || format!("{entry:?} leads to {stored:?}"))?;
                    *found.entry((stored.hash, stored.key_tag)).or_default() += 1;
                }
            }
        }
        counts.retain(|_, count| *count > 0);
        require(counts == found, || "receipts are not counted at their keys".to_string())?;
        require(receipts == self.counters.receipts, || format!("{receipts} receipts in the index"))
    }

    /// Checks that every page is used once or free once, and that neighbouring free runs are merged.
    fn check_pages(&self, runs: &mut Runs) -> Checked {
        let mut free = Vec::new();
        self.pages.each_free_run(&mut |list, page, pages| free.push((list, page, pages)));
        let mut free_pages = 0;
        for &(list, page, pages) in &free {
            require(list == Pages::<M>::list_for(pages), || format!("free run {page}+{pages} is in list {list}"))?;
            let (head, tail) = (self.pages.entry(page), self.pages.entry(page + pages - 1));
            let tail_kind = if pages == 1 { PageKind::Free } else { PageKind::FreeTail };
            require(head.kind == PageKind::Free && tail.kind == tail_kind && tail.word == u64::from(pages), || {
                format!("free run {page}+{pages}: {head:?}, {tail:?}")
            })?;
            add_run(runs, page, pages)?;
            free_pages += pages;
        }
        require(free_pages == self.pages.free, || format!("{free_pages} free pages, noted {}", self.pages.free))?;
        let is_free: BTreeSet<u32> = free.iter().map(|&(_, page, _)| page).collect();
        let mut next = FIRST_PAGE;
        let mut after_free = false;
        for (&page, &pages) in runs.iter() {
            let reserved = page / SEGMENT_PAGES != next / SEGMENT_PAGES || next.is_multiple_of(SEGMENT_PAGES);
            let expected = if reserved { page / SEGMENT_PAGES * SEGMENT_PAGES + SEGMENT_RESERVED_PAGES } else { next };
            require(page == expected, || format!("pages {expected} to {page} are lost"))?;
            let now_free = is_free.contains(&page);
            require(!(after_free && now_free && !reserved), || format!("free run {page} isn't merged"))?;
            after_free = now_free;
            next = page + pages;
        }
        let begun = next.is_multiple_of(SEGMENT_PAGES) && self.pages.frontier == next + SEGMENT_RESERVED_PAGES;
        require(next == self.pages.frontier || begun, || format!("used to {next}, frontier {}", self.pages.frontier))?;
        let capacity = u64::from(self.pages.capacity) * PAGE_BYTES;
        require(self.pages.memory.inner().size() * 65_536 >= capacity, || "capacity beyond the memory".to_string())
    }
}

/// All entries of a tree, after checking order, bounds and nodes.
fn tree_entries<M: Memory>(pages: &Pages<M>, tree: &mut Tree, runs: &mut Runs) -> Result<Vec<Entry>, Violation> {
    let nodes = tree.check_nodes(pages).map_err(Violation)?;
    require(nodes.len() == tree.pages as usize, || format!("{} nodes, noted {}", nodes.len(), tree.pages))?;
    for page in nodes {
        let kind = pages.entry(page).kind;
        require(kind == tree.kind, || format!("node {page} is {kind:?}"))?;
        add_run(runs, page, 1)?;
    }
    let mut all: Vec<Entry> = Vec::new();
    let mut broken = None;
    let depth = tree.depth;
    tree.each_leaf(pages, |page, low, high, entries| {
        let ordered = entries.is_sorted_by_key(|entry| entry.key);
        let bounded = entries.first().is_none_or(|entry| entry.key >= low)
            && entries.last().is_none_or(|entry| entry.key <= high);
        if !ordered || !bounded || (entries.is_empty() && depth > 1) {
            broken = Some(page);
        }
        all.extend_from_slice(entries);
    });
    require(broken.is_none(), || format!("leaf {broken:?} is out of order or bounds, or empty"))?;
    require(all.len() as u64 == tree.entries, || format!("{} entries, noted {}", all.len(), tree.entries))?;
    Ok(all)
}
