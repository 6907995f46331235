//! A B+-tree of 24-byte entries (two words of key, a word of payload) in pages of 4 KiB.
//!
//! Keys are spread evenly (hashes, tags), so a leaf is searched by interpolation between the bounds that its parents
//! know, and only a few dozen bytes of it are read; where keys aren't even, three steps of interpolation are followed
//! by bisection. Inner nodes are kept on the heap, loaded when first needed, written through. Entries lie in the middle
//! of a leaf or wherever its last changes left them, so that an insertion moves the shorter side; see `leaf` for how a
//! removal moves none.
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
use leaf::Window;

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

/// Dead entries of a leaf: a search may pass all of them, one by one.
const DEAD_MAX: u16 = 64;

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
    /// Where an entry with `key` is inserted, at `index` or before it.
    place: u16,
    index: u16,
    /// Entries with `key` may follow in the next leaf.
    continues: bool,
    /// The next entry is known to have another key.
    unique: bool,
    /// The entry at the position, unless it is behind the last one.
    entry: Option<Entry>,
}

impl Position {
    #[inline(always)]
    fn new(key: TreeKey, leaf: u32, header: LeafHeader, found: leaf::Found, continues: bool) -> Position {
        let leaf::Found { place, index, entry, unique } = found;
        Position { key, leaf, header, place: place as u16, index: index as u16, continues, unique, entry }
    }

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
    last: LastLeaf,
    /// Of the same leaf.
    window: Window,
}

/// A leaf as its parents and its header know it.
#[derive(Clone, Copy)]
struct LastLeaf {
    /// 0: none.
    page: u32,
    header: LeafHeader,
    low: TreeKey,
    high: TreeKey,
}

impl LastLeaf {
    /// No key lies between these bounds.
    const NONE: LastLeaf = LastLeaf { page: 0, header: LeafHeader::EMPTY, low: (0, 0), high: (0, 0) };
}

impl Tree {
    /// Makes an empty tree: one leaf. `None` without a free page.
    pub fn create<M: Memory>(pages: &mut Pages<M>, kind: PageKind, cached_nodes_max: usize) -> Option<Tree> {
        let root = pages.take(1, kind, 0)?;
        leaf::write_header(pages, root, LeafHeader::EMPTY);
        Some(Tree::open(kind, root, 1, 1, 0, cached_nodes_max))
    }

    /// Continues with a tree whose numbers were persisted.
    pub fn open(kind: PageKind, root: u32, depth: u32, pages: u32, entries: u64, cached_nodes_max: usize) -> Tree {
        let cache = NodeCache::new(cached_nodes_max);
        Tree { kind, root, depth, pages, entries, cache, last: LastLeaf::NONE, window: Window::EMPTY }
    }

    /// Finds the first entry whose key is at least `key`.
    pub fn find<M: Memory>(&mut self, pages: &Pages<M>, key: TreeKey) -> Position {
        // Entries equal to a bound may lie on both sides of it.
        if self.last.low < key && key < self.last.high {
            let LastLeaf { page, header, .. } = self.last;
            if let Some(found) = self.window.find(usize::from(header.count), key) {
                return Position::new(key, page, header, found, false);
            }
        } else {
            self.descend(pages, key);
        }
        let LastLeaf { page, header, low, high } = self.last;
        let found = leaf::search(pages, page, header, (low, high), key, &mut self.window);
        let continues = high == key;
        if found.entry.is_none() && continues {
            let position = Position::new(key, page, header, found, continues);
            return self.next_leaf(pages, &position).unwrap_or(position);
        }
        Position::new(key, page, header, found, continues)
    }

    /// Goes to the first leaf that may hold `key`.
    fn descend<M: Memory>(&mut self, pages: &Pages<M>, key: TreeKey) {
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
        self.last = LastLeaf { page, header: leaf::read_header(pages, page), low, high };
        self.window.clear();
    }

    /// Forgets the leaf of the last search, as nodes change.
    fn forget_last(&mut self) {
        self.last = LastLeaf::NONE;
        self.window.clear();
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
        let next = leaf::read_live(pages, position.leaf, position.header, usize::from(position.index) + 1);
        if let Some((index, entry)) = next {
            let index = index as u16;
            return (entry.key == key).then_some(Position { place: 0, index, entry: Some(entry), ..*position });
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
        let (index, entry) = leaf::read_live(pages, leaf, header, 0).expect("only a leaf that is the root is empty");
        // A key that `find` looked for in vain in the leaf before is at most all of these, dead ones included.
        let found = leaf::Found { place: 0, index, entry: Some(entry), unique: false };
        Some(Position::new(entry.key, leaf, header, found, high == entry.key))
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
        let index = usize::from(position.index);
        leaf::write_payload(pages, position.leaf, position.header, index, payload);
        if self.last.page == position.leaf {
            self.window.set_payload(index, payload);
        }
    }

    /// Inserts an entry where `find` found room for its key; with `spare`, leaves room for another one that will follow
    /// nearby. The pages for splits must be available.
    pub fn insert<M: Memory>(&mut self, pages: &mut Pages<M>, position: &Position, entry: Entry, spare: bool) {
        self.entries += 1;
        let Position { leaf, mut header, .. } = *position;
        let mut place = usize::from(position.place);
        let near = self.last.page == leaf;
        if !near {
            self.forget_last();
        }
        if header.dead > 0 {
            if near && let Some(header) = leaf::insert_at_dead(pages, leaf, header, place, entry, &mut self.window) {
                self.last.header = header;
                return;
            }
            if usize::from(header.count) == NODE_ENTRIES {
                (header, place) = leaf::compact(pages, leaf, header, place, &mut self.window);
            }
        }
        if usize::from(header.count) < NODE_ENTRIES {
            let insert = if spare && self.keeps_dead() { leaf::insert_with_spare } else { leaf::insert };
            let header = insert(pages, leaf, header, place, entry, &mut self.window);
            if near {
                self.last.header = header;
            }
            return;
        }
        self.forget_last();
        let path = self.path_to(pages, position.key, leaf);
        // Keys that only grow (expiry times) leave full leaves behind them.
        let last = place == NODE_ENTRIES && self.is_last(pages, &path);
        let kept = if last { NODE_ENTRIES } else { NODE_ENTRIES / 2 };
        let right = self.take_page(pages);
        let (left_header, right_header, first) = leaf::split(pages, leaf, header, right, kept);
        let separator = first.unwrap_or(entry.key);
        if place > kept || last {
            leaf::insert(pages, right, right_header, place - kept, entry, &mut self.window);
        } else {
            leaf::insert(pages, leaf, left_header, place, entry, &mut self.window);
        }
        self.insert_child(pages, path, separator, right);
    }

    /// Payloads of the expiry tree are hashes, so none of them can mark an entry as dead.
    fn keeps_dead(&self) -> bool {
        self.kind == PageKind::Index
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
        let Position { leaf, header, .. } = *position;
        let index = usize::from(position.index);
        if self.last.page != leaf {
            self.forget_last();
        }
        let header = if count == 1 && self.keeps_dead() && header.dead < DEAD_MAX {
            leaf::remove_lazily(pages, leaf, header, index, &mut self.window)
        } else {
            let (header, index) = leaf::compact(pages, leaf, header, index, &mut self.window);
            leaf::remove(pages, leaf, header, index, count, &mut self.window)
        };
        if self.last.page == leaf {
            self.last.header = header;
        }
        if header.live() >= MERGE_BELOW || self.depth == 1 {
            return;
        }
        self.forget_last();
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
        if header.live() == 0 {
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
        for (leaf, ..) in level {
            leaf::check(pages, leaf)?;
        }
        Ok(nodes)
    }
}

/// The address of entry `at` of a node's array.
fn entry_address(page: u32, at: usize) -> u64 {
    u64::from(page) * PAGE_BYTES + NODE_HEADER_BYTES + (at * ENTRY_BYTES) as u64
}
