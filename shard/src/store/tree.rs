//! A B+-tree of 24-byte entries (two words of key, a word of payload) in pages of 4 KiB.
//!
//! Keys are spread evenly (hashes, tags), so a leaf is searched by interpolation between the bounds that its parents
//! know, and only a few dozen bytes of it are read; where keys aren't even, three steps of interpolation are followed
//! by bisection. Inner nodes are kept on the heap, loaded when first needed, written through. Entries lie in the middle
//! of a leaf or wherever its last changes left them, so that an insertion moves the shorter side.
//!
//! Equal keys are allowed, in any order among themselves; they may cross from one leaf to the next, so positions are
//! lower bounds. Nothing recurs; every loop is bounded by the depth or by a node's entries.

mod inner;
mod leaf;

use ic_stable_structures::Memory;

use super::layout::{DEPTH_MAX, ENTRY_BYTES, NODE_ENTRIES, NODE_HEADER_BYTES, PAGE_BYTES};
use super::pages::{PageKind, Pages};
use inner::{Inner, NodeCache};
pub use leaf::LeafHeader;

/// A key: ordered by the first word, then the second.
pub type TreeKey = (u64, u64);

/// An entry of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: TreeKey,
    pub payload: u64,
}

/// A node with fewer entries than this is merged with a sibling, if both together fill at most `MERGED_MAX`.
const MERGE_BELOW: usize = NODE_ENTRIES / 4;
const MERGED_MAX: usize = NODE_ENTRIES * 3 / 4;

const _: () = assert!(MERGE_BELOW > 2 && MERGED_MAX > MERGE_BELOW);

/// The way from the root to a leaf: inner pages, and which child of each.
#[derive(Default)]
struct Path {
    length: usize,
    steps: [(u32, u16); DEPTH_MAX],
}

/// A leaf with the bounds that its parents know: its keys are at least `low`, and at most `high`.
struct Bounded {
    leaf: u32,
    low: TreeKey,
    high: TreeKey,
}

/// A place in a leaf: in front of entry `index`, or behind the last one. Valid until the tree changes.
///
/// It is small, because it is copied on every access; the way to it is found again when a node is split or merged.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Looking for this key leads to the leaf, or to an earlier one that holds the same key.
    key: TreeKey,
    leaf: u32,
    header: LeafHeader,
    index: u16,
    /// Entries with `key` may follow in the next leaf.
    continues: bool,
    /// The next entry is known to have another key.
    unique: bool,
    /// The entry at the position, unless it is behind the last one.
    entry: Option<Entry>,
}

impl Position {
    /// The entry at the position, if it has this key.
    pub fn entry_with(&self, key: TreeKey) -> Option<Entry> {
        self.entry.filter(|entry| entry.key == key)
    }

    /// The entry at the position; `None` behind the last entry of the tree.
    pub fn entry(&self) -> Option<Entry> {
        self.entry
    }
}

/// A B+-tree; its root, depth and sizes are persisted by the owner.
pub struct Tree {
    pub kind: PageKind,
    pub root: u32,
    /// Levels, leaves included.
    pub depth: u32,
    pub pages: u32,
    pub entries: u64,
    cache: NodeCache,
    /// The leaf of the last search, while no node was split or merged since: what concerns one key is close together.
    last: Option<LastLeaf>,
}

/// A leaf as its parents and its header know it.
#[derive(Clone, Copy)]
struct LastLeaf {
    page: u32,
    header: LeafHeader,
    low: TreeKey,
    high: TreeKey,
}

impl Tree {
    /// Makes an empty tree: one leaf. `None` without a free page.
    pub fn create<M: Memory>(pages: &mut Pages<M>, kind: PageKind, cached_nodes_max: usize) -> Option<Tree> {
        let root = pages.take(1, kind, 0)?;
        leaf::write_header(pages, root, LeafHeader::EMPTY);
        Some(Tree { kind, root, depth: 1, pages: 1, entries: 0, cache: NodeCache::new(cached_nodes_max), last: None })
    }

    /// Continues with a tree whose numbers were persisted.
    pub fn open(kind: PageKind, root: u32, depth: u32, pages: u32, entries: u64, cached_nodes_max: usize) -> Tree {
        Tree { kind, root, depth, pages, entries, cache: NodeCache::new(cached_nodes_max), last: None }
    }

    /// Finds the first entry whose key is at least `key`.
    pub fn find<M: Memory>(&mut self, pages: &Pages<M>, key: TreeKey) -> Position {
        let LastLeaf { page, header, low, high } = match self.last {
            // Entries equal to a bound may lie on both sides of it.
            Some(last) if last.low < key && key < last.high => last,
            _ => self.descend(pages, key),
        };
        let leaf::Found { index, entry, unique } = leaf::search(pages, page, header, low, high, key);
        let continues = high == key;
        let position = Position { key, leaf: page, header, index: index as u16, continues, unique, entry };
        if entry.is_none() && continues {
            return self.next_leaf(pages, &position).unwrap_or(position);
        }
        position
    }

    /// Finds the first leaf that may hold `key`.
    fn descend<M: Memory>(&mut self, pages: &Pages<M>, key: TreeKey) -> LastLeaf {
        let (mut low, mut high) = ((0, 0), (u64::MAX, u64::MAX));
        let mut page = self.root;
        for _ in 1..self.depth {
            let node = self.cache.node(pages, page);
            let child = node.child_for(key);
            if child > 0 {
                low = node.keys[child];
            }
            if let Some(&next) = node.keys.get(child + 1) {
                high = next;
            }
            page = node.children[child];
        }
        let last = LastLeaf { page, header: leaf::read_header(pages, page), low, high };
        self.last = Some(last);
        last
    }

    /// Notes a leaf's new header.
    fn set_last_header(&mut self, page: u32, header: LeafHeader) {
        if let Some(last) = &mut self.last
            && last.page == page
        {
            last.header = header;
        }
    }

    /// As `find`, but settled on an entry: the next leaf's first one if this leaf has none. For reading only.
    pub fn seek<M: Memory>(&mut self, pages: &Pages<M>, key: TreeKey) -> Position {
        let position = self.find(pages, key);
        if position.entry.is_some() {
            return position;
        }
        self.next_leaf(pages, &position).unwrap_or(position)
    }

    /// The next position, if its entry has the same key.
    pub fn next_equal<M: Memory>(&mut self, pages: &Pages<M>, position: &Position) -> Option<Position> {
        let key = position.entry?.key;
        if position.unique {
            return None;
        }
        if position.index + 1 < position.header.count {
            let index = position.index + 1;
            let entry = leaf::read_entry(pages, position.leaf, position.header, usize::from(index));
            return (entry.key == key).then_some(Position { index, entry: Some(entry), ..*position });
        }
        if position.key == key && !position.continues {
            return None;
        }
        self.next_leaf(pages, position).filter(|next| next.entry_with(key).is_some())
    }

    /// Finds an entry with this key whose payload is accepted. Takes as many turns as there are equal keys.
    pub fn equal_entry<M: Memory>(
        &mut self,
        pages: &Pages<M>,
        key: TreeKey,
        accept: impl Fn(u64) -> bool,
    ) -> Option<Position> {
        let first = self.find(pages, key);
        let mut next = first.entry_with(key).map(|_| first);
        while let Some(position) = next {
            if position.entry.is_some_and(|entry| accept(entry.payload)) {
                return Some(position);
            }
            next = self.next_equal(pages, &position);
        }
        None
    }

    /// The first position of the next leaf.
    pub fn next_leaf<M: Memory>(&mut self, pages: &Pages<M>, position: &Position) -> Option<Position> {
        let mut path = self.path_to(pages, position.key, position.leaf);
        let Bounded { leaf, high, .. } = self.advance(pages, &mut path)?;
        let header = leaf::read_header(pages, leaf);
        // INVARIANT: only a leaf that is the root is ever empty, so this one has a first entry.
        let entry = leaf::read_entry(pages, leaf, header, 0);
        let continues = high == entry.key;
        Some(Position { key: entry.key, leaf, header, index: 0, continues, unique: false, entry: Some(entry) })
    }

    /// The way to a leaf that `key` leads to, or to which it does through earlier leaves with the same key.
    fn path_to<M: Memory>(&mut self, pages: &Pages<M>, key: TreeKey, leaf: u32) -> Path {
        let mut path = Path::default();
        let mut page = self.root;
        for _ in 1..self.depth {
            let node = self.cache.node(pages, page);
            let child = node.child_for(key);
            path.steps[path.length] = (page, child as u16);
            path.length += 1;
            page = node.children[child];
        }
        for _ in 0..self.pages {
            if page == leaf {
                return path;
            }
            page = self.advance(pages, &mut path).expect("the leaf is not before where its key leads").leaf;
        }
        unreachable!("a position's leaf is in the tree")
    }

    /// Moves a path to the next leaf.
    fn advance<M: Memory>(&mut self, pages: &Pages<M>, path: &mut Path) -> Option<Bounded> {
        while path.length > 0 {
            let (page, child) = path.steps[path.length - 1];
            if usize::from(child) + 1 < self.cache.node(pages, page).children.len() {
                break;
            }
            path.length -= 1;
        }
        if path.length == 0 {
            return None;
        }
        path.steps[path.length - 1].1 += 1;
        let mut next = Bounded { leaf: 0, low: (0, 0), high: (u64::MAX, u64::MAX) };
        for level in 0..self.depth as usize - 1 {
            if level >= path.length {
                path.steps[level] = (next.leaf, 0);
                path.length += 1;
            }
            let (page, child) = path.steps[level];
            let node = self.cache.node(pages, page);
            let child = usize::from(child);
            if child > 0 {
                next.low = node.keys[child];
            }
            if let Some(&high) = node.keys.get(child + 1) {
                next.high = high;
            }
            next.leaf = node.children[child];
        }
        Some(next)
    }

    /// Whether a path leads to the last leaf.
    fn is_last<M: Memory>(&mut self, pages: &Pages<M>, path: &Path) -> bool {
        let mut steps = path.steps[..path.length].iter();
        steps.all(|&(page, child)| usize::from(child) + 1 == self.cache.node(pages, page).children.len())
    }

    /// Reads the entries from a position to the end of its leaf into `entries`.
    pub fn rest_of_leaf<M: Memory>(&self, pages: &Pages<M>, position: &Position, entries: &mut Vec<Entry>) {
        leaf::read_entries(pages, position.leaf, position.header, usize::from(position.index), entries);
    }

    /// Replaces the payload of the entry at a position; positions stay valid.
    pub fn set_payload<M: Memory>(&mut self, pages: &mut Pages<M>, position: &Position, payload: u64) {
        leaf::write_payload(pages, position.leaf, position.header, usize::from(position.index), payload);
    }

    /// Inserts an entry where `find` found room for its key. The pages for splits must be available.
    pub fn insert<M: Memory>(&mut self, pages: &mut Pages<M>, position: &Position, entry: Entry) {
        self.entries += 1;
        let index = usize::from(position.index);
        if usize::from(position.header.count) < NODE_ENTRIES {
            let header = leaf::insert(pages, position.leaf, position.header, index, entry);
            self.set_last_header(position.leaf, header);
            return;
        }
        self.last = None;
        let path = self.path_to(pages, position.key, position.leaf);
        // Keys that only grow (expiry times) leave full leaves behind them.
        let last = index == NODE_ENTRIES && self.is_last(pages, &path);
        let kept = if last { NODE_ENTRIES } else { NODE_ENTRIES / 2 };
        let right = self.take_page(pages);
        let (left_header, right_header, first) = leaf::split(pages, position.leaf, position.header, right, kept);
        let separator = first.unwrap_or(entry.key);
        if index > kept || last {
            leaf::insert(pages, right, right_header, index - kept, entry);
        } else {
            leaf::insert(pages, position.leaf, left_header, index, entry);
        }
        self.insert_child(pages, path, separator, right);
    }

    fn take_page<M: Memory>(&mut self, pages: &mut Pages<M>) -> u32 {
        self.pages += 1;
        pages.take(1, self.kind, 0).expect("every write makes sure of OPERATION_PAGES first")
    }

    fn give_back_page<M: Memory>(&mut self, pages: &mut Pages<M>, page: u32) {
        self.pages -= 1;
        pages.give_back(page, 1);
    }

    /// Adds a child behind the one that the path names, splitting inner nodes upwards as needed.
    fn insert_child<M: Memory>(&mut self, pages: &mut Pages<M>, mut path: Path, separator: TreeKey, child: u32) {
        let (mut separator, mut child) = (separator, child);
        while path.length > 0 {
            path.length -= 1;
            let (page, at) = path.steps[path.length];
            let at = usize::from(at) + 1;
            let node = self.cache.node(pages, page);
            node.keys.insert(at, separator);
            node.children.insert(at, child);
            if node.children.len() <= NODE_ENTRIES {
                node.store(pages, page, at);
                return;
            }
            let half = node.children.len() / 2;
            let right = Inner { keys: node.keys.split_off(half), children: node.children.split_off(half) };
            node.store(pages, page, at.min(half));
            let right_page = self.take_page(pages);
            right.store(pages, right_page, 0);
            (separator, child) = (right.keys[0], right_page);
            self.cache.add(right_page, right);
        }
        let root = Inner { keys: vec![(0, 0), separator], children: vec![self.root, child] };
        let page = self.take_page(pages);
        root.store(pages, page, 0);
        self.cache.add(page, root);
        self.root = page;
        self.depth += 1;
        assert!(self.depth as usize <= DEPTH_MAX, "85^7 leaves are more than the memory holds");
    }

    /// Removes `count` entries from a position on; they must be in its leaf.
    pub fn remove<M: Memory>(&mut self, pages: &mut Pages<M>, position: &Position, count: usize) {
        self.entries -= count as u64;
        let header = leaf::remove(pages, position.leaf, position.header, usize::from(position.index), count);
        self.set_last_header(position.leaf, header);
        if usize::from(header.count) >= MERGE_BELOW || self.depth == 1 {
            return;
        }
        self.last = None;
        let mut path = self.path_to(pages, position.key, position.leaf);
        let (parent, at) = path.steps[path.length - 1];
        let at = usize::from(at);
        let siblings = self.cache.node(pages, parent).children.clone();
        for (left, right) in [(at.checked_sub(1), Some(at)), (Some(at), Some(at + 1))] {
            let (Some(left), Some(right)) = (left, right.filter(|&right| right < siblings.len())) else { continue };
            let (left_page, right_page) = (siblings[left], siblings[right]);
            if leaf::merge(pages, left_page, right_page, MERGED_MAX) {
                self.give_back_page(pages, right_page);
                path.steps[path.length - 1].1 = right as u16;
                self.remove_child(pages, path);
                return;
            }
        }
        if header.count == 0 {
            self.give_back_page(pages, position.leaf);
            self.remove_child(pages, path);
        }
    }

    /// Removes the child that the path names from its parent, merging inner nodes upwards as they get small. The
    /// child's page has been given back.
    fn remove_child<M: Memory>(&mut self, pages: &mut Pages<M>, mut path: Path) {
        while path.length > 0 {
            path.length -= 1;
            let (page, at) = path.steps[path.length];
            let at = usize::from(at);
            let node = self.cache.node(pages, page);
            node.keys.remove(at);
            node.children.remove(at);
            let left = node.children.len();
            if left == 0 {
                // Its parent loses it in the next turn; a root without children is replaced below.
                self.cache.forget(page);
                self.give_back_page(pages, page);
                continue;
            }
            node.store(pages, page, at.min(left - 1));
            if path.length == 0 || left >= MERGE_BELOW {
                self.lower_root(pages);
                return;
            }
            let (parent, at) = path.steps[path.length - 1];
            match self.merge_inner(pages, parent, usize::from(at)) {
                Some(removed) => path.steps[path.length - 1].1 = removed as u16,
                None => return,
            }
        }
        let root = self.take_page(pages);
        leaf::write_header(pages, root, LeafHeader::EMPTY);
        self.root = root;
        self.depth = 1;
    }

    /// Merges an inner node with a sibling, if both are small enough; answers which child of the parent is gone.
    fn merge_inner<M: Memory>(&mut self, pages: &mut Pages<M>, parent: u32, at: usize) -> Option<usize> {
        let node = self.cache.node(pages, parent);
        let (keys, children) = (node.keys.clone(), node.children.clone());
        for right in [at, at + 1] {
            if right == 0 || right >= children.len() {
                continue;
            }
            let (left_page, right_page) = (children[right - 1], children[right]);
            let left_count = self.cache.node(pages, left_page).children.len();
            if left_count + self.cache.node(pages, right_page).children.len() > MERGED_MAX {
                continue;
            }
            let moved = self.cache.forget(right_page).expect("it has just been loaded");
            let left = self.cache.node(pages, left_page);
            left.keys.extend(moved.keys);
            left.children.extend(moved.children);
            // What the right node's first key says is for its parent to know: keys down to there lie in that child.
            left.keys[left_count] = keys[right];
            left.store(pages, left_page, left_count);
            self.give_back_page(pages, right_page);
            return Some(right);
        }
        None
    }

    /// Makes the root's only child the root.
    fn lower_root<M: Memory>(&mut self, pages: &mut Pages<M>) {
        while self.depth > 1 {
            let (root, children) = (self.root, &self.cache.node(pages, self.root).children);
            let [only] = children[..] else { return };
            self.cache.forget(root);
            self.give_back_page(pages, root);
            self.root = only;
            self.depth -= 1;
        }
    }

    /// Visits every leaf with its bounds and entries, for checks.
    pub fn each_leaf<M: Memory>(&mut self, pages: &Pages<M>, mut visit: impl FnMut(u32, TreeKey, TreeKey, &[Entry])) {
        let mut path = Path::default();
        let mut next = Bounded { leaf: self.root, low: (0, 0), high: (u64::MAX, u64::MAX) };
        for _ in 1..self.depth {
            let node = self.cache.node(pages, next.leaf);
            next.high = node.keys.get(1).copied().unwrap_or(next.high);
            path.steps[path.length] = (next.leaf, 0);
            path.length += 1;
            next.leaf = node.children[0];
        }
        let mut entries = Vec::new();
        for _ in 0..self.pages {
            entries.clear();
            leaf::read_entries(pages, next.leaf, leaf::read_header(pages, next.leaf), 0, &mut entries);
            visit(next.leaf, next.low, next.high, &entries);
            match self.advance(pages, &mut path) {
                Some(bounded) => next = bounded,
                None => return,
            }
        }
    }

    /// Compares the cached inner nodes with the memory and their bounds, for checks. Answers all nodes' pages, or what
    /// is wrong.
    pub fn check_nodes<M: Memory>(&mut self, pages: &Pages<M>) -> Result<Vec<u32>, String> {
        let mut level = vec![(self.root, (0, 0), (u64::MAX, u64::MAX))];
        let mut nodes = vec![self.root];
        for depth in (1..self.depth).rev() {
            let mut below = Vec::new();
            for &(page, low, high) in &level {
                let stored = Inner::load(pages, page);
                let cached = self.cache.node(pages, page);
                if stored.keys[1..] != cached.keys[1..] || stored.children != cached.children {
                    return Err(format!("inner node {page} differs from its cached form"));
                }
                for (at, &child) in stored.children.iter().enumerate() {
                    let from = if at == 0 { low } else { stored.keys[at] };
                    let to = stored.keys.get(at + 1).copied().unwrap_or(high);
                    if from < low || to > high || from > to {
                        return Err(format!("inner node {page} at level {depth} is out of order at {at}"));
                    }
                    nodes.push(child);
                    below.push((child, from, to));
                }
            }
            level = below;
        }
        Ok(nodes)
    }
}

/// The address of entry `at` of a node's array.
fn entry_address(page: u32, at: usize) -> u64 {
    u64::from(page) * PAGE_BYTES + NODE_HEADER_BYTES + (at * ENTRY_BYTES) as u64
}
