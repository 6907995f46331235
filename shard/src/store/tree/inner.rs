//! Inner nodes: loaded once, kept on the heap, written through.

use std::mem::MaybeUninit;

use ic_stable_structures::Memory;

use super::{TreeKey, entry_address};
use crate::store::layout::{ENTRY_BYTES, NODE_ENTRIES, PAGE_BYTES, put_at, u16_at, u32_at, u64_at};
use crate::store::pages::Pages;

const INNER_NODE: u8 = 2;

/// An inner node. Child `i` holds keys from `keys[i]` (child 0: from wherever the node begins) to `keys[i + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inner {
    pub keys: Vec<TreeKey>,
    pub children: Vec<u32>,
}

impl Inner {
    /// Reads a node.
    pub fn load<M: Memory>(pages: &Pages<M>, page: u32) -> Inner {
        let mut buffer = [MaybeUninit::uninit(); PAGE_BYTES as usize];
        let bytes = pages.memory.read_into(u64::from(page) * PAGE_BYTES, PAGE_BYTES as usize, &mut buffer);
        assert_eq!(bytes[0], INNER_NODE, "page {page} is not an inner node");
        let count = usize::from(u16_at(bytes, 4));
        let mut node =
            Inner { keys: Vec::with_capacity(NODE_ENTRIES + 1), children: Vec::with_capacity(NODE_ENTRIES + 1) };
        let entries = bytes[(entry_address(page, 0) % PAGE_BYTES) as usize..].chunks_exact(ENTRY_BYTES);
        for entry in entries.take(count) {
            node.keys.push((u64_at(entry, 0), u64_at(entry, 8)));
            node.children.push(u32_at(entry, 16));
        }
        node
    }

    /// Writes the header and the entries from `from` on.
    pub fn store<M: Memory>(&self, pages: &mut Pages<M>, page: u32, from: usize) {
        let mut bytes = [0; PAGE_BYTES as usize];
        let count = self.children.len();
        for (at, (key, child)) in self.keys.iter().zip(&self.children).enumerate().skip(from) {
            let entry = &mut bytes[(at - from) * ENTRY_BYTES..][..ENTRY_BYTES];
            put_at(entry, 0, key.0.to_le_bytes());
            put_at(entry, 8, key.1.to_le_bytes());
            put_at(entry, 16, u64::from(*child).to_le_bytes());
        }
        if from < count {
            pages.memory.write(entry_address(page, from), &bytes[..(count - from) * ENTRY_BYTES]);
        }
        let mut header = [0; 6];
        header[0] = INNER_NODE;
        put_at(&mut header, 4, (count as u16).to_le_bytes());
        pages.memory.write(u64::from(page) * PAGE_BYTES, &header);
    }

    /// The first child that may hold `key`: entries equal to a bound may lie on both sides of it.
    #[inline(always)]
    pub fn child_for(&self, key: TreeKey) -> usize {
        let bounds = &self.keys[1..];
        // The first words decide nearly always, and are compared at half the cost.
        let at = bounds.partition_point(|bound| bound.0 < key.0);
        match bounds.get(at) {
            Some(bound) if bound.0 == key.0 => at + bounds[at..].partition_point(|bound| *bound < key),
            _ => at,
        }
    }
}

/// Inner nodes on the heap, found by page with open addressing: a descent looks up each of its nodes here, and the
/// maps of the standard library cost several times as much.
pub struct NodeCache {
    /// Index into `nodes`, plus one; 0: nothing. A power of two of them, at most half in use.
    slots: Vec<u32>,
    /// The node of a page that was given back is `None`, until the page has a node again.
    nodes: Vec<(u32, Option<Box<Inner>>)>,
    nodes_max: usize,
}

const SLOTS_MIN: usize = 64;

impl NodeCache {
    /// Keeps at most `nodes_max` nodes.
    pub fn new(nodes_max: usize) -> Self {
        NodeCache { slots: vec![0; SLOTS_MIN], nodes: Vec::new(), nodes_max: nodes_max.max(1) }
    }

    /// The slot of a page, or the empty one where it belongs.
    #[inline(always)]
    fn slot(&self, page: u32) -> usize {
        let mask = self.slots.len() - 1;
        // Pages are spread by the golden ratio (Fibonacci hashing, Knuth 6.4); nobody outside chooses them.
        let mut slot = (page.wrapping_mul(0x9e37_79b9) >> 8) as usize & mask;
        // Half the slots are empty, so this ends.
        loop {
            match self.slots[slot] {
                0 => return slot,
                index if self.nodes[index as usize - 1].0 == page => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// The node at a page, loaded if need be.
    #[inline(always)]
    pub fn node<M: Memory>(&mut self, pages: &Pages<M>, page: u32) -> &mut Inner {
        let index = match self.slots[self.slot(page)] {
            0 => self.put(page),
            index => index as usize - 1,
        };
        self.nodes[index].1.get_or_insert_with(|| Box::new(Inner::load(pages, page)))
    }

    /// Adds a node that has just been written.
    pub fn add(&mut self, page: u32, node: Inner) {
        let index = match self.slots[self.slot(page)] {
            0 => self.put(page),
            index => index as usize - 1,
        };
        self.nodes[index].1 = Some(Box::new(node));
    }

    /// Drops a node whose page is given back.
    pub fn forget(&mut self, page: u32) -> Option<Inner> {
        match self.slots[self.slot(page)] {
            0 => None,
            index => self.nodes[index as usize - 1].1.take().map(|node| *node),
        }
    }

    /// Adds a page that has no slot. When the cache is full, it starts anew: simple, bounded, and far off (65,536 nodes
    /// lead to a billion records).
    fn put(&mut self, page: u32) -> usize {
        if self.nodes.len() >= self.nodes_max {
            self.nodes.clear();
            self.slots.fill(0);
        }
        if self.nodes.len() * 2 >= self.slots.len() {
            self.slots = vec![0; self.slots.len() * 2];
            for index in 0..self.nodes.len() {
                let slot = self.slot(self.nodes[index].0);
                self.slots[slot] = index as u32 + 1;
            }
        }
        let slot = self.slot(page);
        self.nodes.push((page, None));
        self.slots[slot] = self.nodes.len() as u32;
        self.nodes.len() - 1
    }
}
