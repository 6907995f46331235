//! Inner nodes: loaded once, kept on the heap, written through.

use std::hash::{BuildHasherDefault, Hasher};
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
    pub fn child_for(&self, key: TreeKey) -> usize {
        self.keys[1..].partition_point(|bound| *bound < key)
    }
}

/// Nodes by page. It is looked up on every descent and never iterated, so its order has no effect; a `BTreeMap` costs
/// several times as much there.
#[expect(clippy::disallowed_types, reason = "never iterated")]
type NodesByPage = std::collections::HashMap<u32, Box<Inner>, BuildHasherDefault<PageHasher>>;

/// Inner nodes on the heap, by page.
pub struct NodeCache {
    nodes: NodesByPage,
    nodes_max: usize,
}

impl NodeCache {
    /// Keeps at most `nodes_max` nodes.
    pub fn new(nodes_max: usize) -> Self {
        NodeCache { nodes: NodesByPage::default(), nodes_max: nodes_max.max(1) }
    }

    /// The node at a page, loaded if need be. When the cache is full, it starts anew: simple, bounded, and far off
    /// (65,536 nodes lead to a billion records).
    pub fn node<M: Memory>(&mut self, pages: &Pages<M>, page: u32) -> &mut Inner {
        if self.nodes.len() >= self.nodes_max && !self.nodes.contains_key(&page) {
            self.nodes.clear();
        }
        self.nodes.entry(page).or_insert_with(|| Box::new(Inner::load(pages, page)))
    }

    /// Adds a node that has just been written.
    pub fn add(&mut self, page: u32, node: Inner) {
        if self.nodes.len() < self.nodes_max {
            self.nodes.insert(page, Box::new(node));
        }
    }

    /// Drops a node whose page is given back.
    pub fn forget(&mut self, page: u32) -> Option<Inner> {
        self.nodes.remove(&page).map(|node| *node)
    }
}

/// Spreads page numbers, which nobody outside chooses, with one multiplication.
#[derive(Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte) ^ (self.0 as u32));
        }
    }

    fn write_u32(&mut self, page: u32) {
        // The golden ratio in 64 bits (Fibonacci hashing, Knuth 6.4); the table uses both ends of the product.
        let product = u64::from(page).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}
