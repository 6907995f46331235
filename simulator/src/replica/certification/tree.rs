//! Hash trees: made whole, shown in part (interface specification, "Certification").
//!
//! Every node keeps its digest, so that a witness costs what it shows and not what it hides. Contents that are large or
//! many (answers, metadata) stand in a tree as digests only; whoever makes a witness says how such a place looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::cbor::Writer;

pub type Hash = [u8; 32];

/// A hash tree, parts of which may be pruned. Cheap to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(Arc<Node>);

#[derive(Debug, PartialEq, Eq)]
struct Node {
    digest: Hash,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Fork(Tree, Tree),
    Labeled(Vec<u8>, Tree),
    Leaf(Vec<u8>),
    Pruned,
}

/// What a witness should show: labels, below each of which more labels or everything is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    everything: bool,
    below: BTreeMap<Vec<u8>, Wanted>,
}

/// Tells what stands at a path below which a tree has a digest only. Its digest must be that one.
pub type Contents<'c> = &'c dyn Fn(&[&[u8]]) -> Option<Tree>;

impl Wanted {
    /// Wants everything at and below a path.
    pub fn path<L: AsRef<[u8]>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.add(labels);
        self
    }

    /// Adds everything at and below a path.
    pub fn add<L: AsRef<[u8]>>(&mut self, labels: impl IntoIterator<Item = L>) {
        let mut here = self;
        for label in labels {
            here = here.below.entry(label.as_ref().to_vec()).or_default();
        }
        here.everything = true;
    }
}

impl Tree {
    fn new(digest: Hash, kind: Kind) -> Self {
        Self(Arc::new(Node { digest, kind }))
    }

    pub fn empty() -> Self {
        Self::new(hash("ic-hashtree-empty", &[]), Kind::Empty)
    }

    pub fn leaf(contents: impl Into<Vec<u8>>) -> Self {
        let contents = contents.into();
        Self::new(hash("ic-hashtree-leaf", &[&contents]), Kind::Leaf(contents))
    }

    pub fn labeled(label: impl Into<Vec<u8>>, below: Tree) -> Self {
        let label = label.into();
        Self::new(hash("ic-hashtree-labeled", &[&label, &below.digest()]), Kind::Labeled(label, below))
    }

    pub fn fork(left: Tree, right: Tree) -> Self {
        Self::new(hash("ic-hashtree-fork", &[&left.digest(), &right.digest()]), Kind::Fork(left, right))
    }

    pub fn pruned(digest: Hash) -> Self {
        Self::new(digest, Kind::Pruned)
    }

    /// Joins labeled trees, which must be in order of their labels, to one of little depth.
    pub fn join(mut trees: Vec<Tree>) -> Self {
        match trees.len() {
            0 => Self::empty(),
            1 => trees.remove(0),
            n => {
                let right = trees.split_off(n.div_ceil(2));
                Self::fork(Self::join(trees), Self::join(right))
            }
        }
    }

    pub fn digest(&self) -> Hash {
        self.0.digest
    }

    /// Shows what is wanted and prunes the rest. Where a wanted label is missing, its neighbours' labels are shown, which
    /// proves it.
    pub fn witness(&self, wanted: &Wanted, contents: Contents) -> Tree {
        self.show(wanted, contents, &mut Vec::new())
    }

    fn show(&self, wanted: &Wanted, contents: Contents, path: &mut Vec<Vec<u8>>) -> Tree {
        match &self.0.kind {
            Kind::Pruned => {
                let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
                let found = contents(&labels).filter(|tree| tree.digest() == self.digest());
                match found {
                    Some(tree) if !matches!(tree.0.kind, Kind::Pruned) => tree.show(wanted, contents, path),
                    _ => self.clone(),
                }
            }
            _ if wanted.everything => self.clone(),
            Kind::Empty | Kind::Leaf(_) => self.clone(),
            Kind::Fork(..) | Kind::Labeled(..) => {
                let mut shown = BTreeMap::new();
                for (label, below) in &wanted.below {
                    let (before, after) = self.neighbours(label);
                    if before == Some(label.as_slice()) {
                        shown.insert(label.as_slice(), Some(below));
                    } else {
                        [before, after].into_iter().flatten().for_each(|label| {
                            shown.entry(label).or_insert(None);
                        });
                    }
                }
                self.show_labels(&shown, contents, path)
            }
        }
    }

    /// Shows the labels of this level, with what is wanted below them.
    fn show_labels(
        &self,
        shown: &BTreeMap<&[u8], Option<&Wanted>>,
        contents: Contents,
        path: &mut Vec<Vec<u8>>,
    ) -> Tree {
        if shown.is_empty() {
            return Tree::pruned(self.digest());
        }
        match &self.0.kind {
            Kind::Fork(left, right) => {
                let mut to_the_left = shown.clone();
                let to_the_right = to_the_left.split_off(right.first_label());
                Tree::fork(
                    left.show_labels(&to_the_left, contents, path),
                    right.show_labels(&to_the_right, contents, path),
                )
            }
            Kind::Labeled(label, below) => match shown.get(label.as_slice()) {
                Some(Some(wanted)) => {
                    path.push(label.clone());
                    let below = below.show(wanted, contents, path);
                    path.pop();
                    Tree::labeled(label.clone(), below)
                }
                Some(None) => Tree::labeled(label.clone(), Tree::pruned(below.digest())),
                None => Tree::pruned(self.digest()),
            },
            Kind::Empty | Kind::Leaf(_) | Kind::Pruned => self.clone(),
        }
    }

    /// Finds the greatest label of this level that is at most `label`, and the least that is greater.
    fn neighbours(&self, label: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
        match &self.0.kind {
            Kind::Labeled(own, _) if own.as_slice() <= label => (Some(own), None),
            Kind::Labeled(own, _) => (None, Some(own)),
            Kind::Fork(left, right) if label < right.first_label() => {
                let (before, after) = left.neighbours(label);
                (before, after.or(Some(right.first_label())))
            }
            Kind::Fork(left, right) => {
                let (before, after) = right.neighbours(label);
                (before.or_else(|| left.neighbours(label).0), after)
            }
            Kind::Empty | Kind::Leaf(_) | Kind::Pruned => (None, None),
        }
    }

    /// INVARIANT: forks hold labeled trees, in order.
    fn first_label(&self) -> &[u8] {
        match &self.0.kind {
            Kind::Labeled(label, _) => label,
            Kind::Fork(left, _) => left.first_label(),
            Kind::Empty | Kind::Leaf(_) | Kind::Pruned => &[],
        }
    }

    /// Returns the contents of the leaf at a path.
    pub fn lookup(&self, path: &[&[u8]]) -> Option<&[u8]> {
        match (&self.0.kind, path) {
            (Kind::Leaf(contents), []) => Some(contents),
            (Kind::Labeled(label, below), [first, rest @ ..]) if label == first => below.lookup(rest),
            (Kind::Fork(left, right), [_, ..]) => left.lookup(path).or_else(|| right.lookup(path)),
            _ => None,
        }
    }

    pub fn write(&self, out: &mut Writer) {
        match &self.0.kind {
            Kind::Empty => {
                out.array(1);
                out.unsigned(0);
            }
            Kind::Fork(left, right) => {
                out.array(3);
                out.unsigned(1);
                left.write(out);
                right.write(out);
            }
            Kind::Labeled(label, below) => {
                out.array(3);
                out.unsigned(2);
                out.bytes(label);
                below.write(out);
            }
            Kind::Leaf(contents) => {
                out.array(2);
                out.unsigned(3);
                out.bytes(contents);
            }
            Kind::Pruned => {
                out.array(2);
                out.unsigned(4);
                out.bytes(&self.0.digest);
            }
        }
    }
}

fn hash(separator: &str, parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([separator.len() as u8]);
    hash.update(separator);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
