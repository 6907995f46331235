//! Certificates over a subnet's state: hash tree, signature, delegation (interface specification, "Certification").

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;
use ic_verify_bls_signature::PrivateKey;
use sha2::{Digest, Sha256};

use crate::replica::state::SubnetState;

/// DER prefix of a BLS public key of 96 bytes.
const PUBLIC_KEY_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02,
    0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00,
];
const STATE_ROOT_SEPARATOR: &[u8] = b"\x0dic-state-root";
/// CBOR tag 55799, "this is CBOR".
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// A subnet's signing key.
pub struct Signer {
    key: PrivateKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Derives a key from a seed.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut bytes = seed;
        loop {
            // The group order begins with 0x73: below it every number is a key, but for zero.
            bytes[0] &= 0x3f;
            if let Ok(key) = PrivateKey::deserialize(&bytes) {
                return Self { key };
            }
            bytes = Sha256::digest(bytes).into();
        }
    }

    /// Returns the public key in DER form, 133 bytes.
    pub fn public_key_der(&self) -> Vec<u8> {
        [&PUBLIC_KEY_PREFIX[..], &self.key.public_key().serialize()].concat()
    }

    fn sign_root(&self, root: &[u8; 32]) -> Vec<u8> {
        self.key.sign(&[STATE_ROOT_SEPARATOR, root].concat()).serialize().to_vec()
    }
}

/// A hash tree, parts of which may be pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    Empty,
    Fork(Box<Tree>, Box<Tree>),
    Labeled(Vec<u8>, Box<Tree>),
    Leaf(Vec<u8>),
    Pruned([u8; 32]),
}

fn hash(separator: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([separator.len() as u8]);
    hash.update(separator);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

impl Tree {
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Tree::Empty => hash("ic-hashtree-empty", &[]),
            Tree::Fork(left, right) => hash("ic-hashtree-fork", &[&left.digest(), &right.digest()]),
            Tree::Labeled(label, tree) => hash("ic-hashtree-labeled", &[label, &tree.digest()]),
            Tree::Leaf(data) => hash("ic-hashtree-leaf", &[data]),
            Tree::Pruned(digest) => *digest,
        }
    }

    /// Joins labeled trees, in order of their labels, to one of little depth.
    pub fn join(mut trees: Vec<Tree>) -> Tree {
        match trees.len() {
            0 => Tree::Empty,
            1 => trees.remove(0),
            n => {
                let right = trees.split_off(n.div_ceil(2));
                Tree::Fork(Box::new(Tree::join(trees)), Box::new(Tree::join(right)))
            }
        }
    }

    pub fn labeled(label: impl Into<Vec<u8>>, tree: Tree) -> Tree {
        Tree::Labeled(label.into(), Box::new(tree))
    }

    /// Keeps the leaves whose path `keep` accepts, prunes the rest.
    pub fn prune(&self, keep: &dyn Fn(&[&[u8]]) -> bool) -> Tree {
        self.prune_below(&mut Vec::new(), keep)
    }

    fn prune_below<'t>(&'t self, path: &mut Vec<&'t [u8]>, keep: &dyn Fn(&[&[u8]]) -> bool) -> Tree {
        let kept = match self {
            Tree::Leaf(_) if keep(path) => return self.clone(),
            Tree::Fork(left, right) => match (left.prune_below(path, keep), right.prune_below(path, keep)) {
                (Tree::Pruned(_), Tree::Pruned(_)) => None,
                (left, right) => Some(Tree::Fork(Box::new(left), Box::new(right))),
            },
            Tree::Labeled(label, tree) => {
                path.push(label);
                let below = tree.prune_below(path, keep);
                path.pop();
                match below {
                    Tree::Pruned(_) => None,
                    below => Some(Tree::labeled(label.clone(), below)),
                }
            }
            _ => None,
        };
        kept.unwrap_or_else(|| Tree::Pruned(self.digest()))
    }

    fn write_cbor(&self, out: &mut Vec<u8>) {
        match self {
            Tree::Empty => out.extend([0x81, 0]),
            Tree::Fork(left, right) => {
                out.extend([0x83, 1]);
                left.write_cbor(out);
                right.write_cbor(out);
            }
            Tree::Labeled(label, tree) => {
                out.extend([0x83, 2]);
                write_bytes(label, out);
                tree.write_cbor(out);
            }
            Tree::Leaf(data) => {
                out.extend([0x82, 3]);
                write_bytes(data, out);
            }
            Tree::Pruned(digest) => {
                out.extend([0x82, 4]);
                write_bytes(digest, out);
            }
        }
    }
}

/// Writes the head of a CBOR item of `major` type with `length`.
fn write_head(major: u8, length: usize, out: &mut Vec<u8>) {
    let major = major << 5;
    match length {
        0..24 => out.push(major | length as u8),
        24..0x100 => out.extend([major | 24, length as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.extend((length as u32).to_be_bytes());
        }
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_head(2, bytes.len(), out);
    out.extend(bytes);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_head(3, text.len(), out);
    out.extend(text.as_bytes());
}

/// The proof of the root subnet that a subnet's key is genuine.
#[derive(Debug)]
pub struct Delegation {
    pub subnet_id: Principal,
    pub certificate: Vec<u8>,
}

/// A tree with the signature over its root.
#[derive(Clone, Debug)]
pub struct CertifiedTree {
    pub tree: Tree,
    pub signature: Vec<u8>,
}

impl CertifiedTree {
    pub fn new(tree: Tree, signer: &Signer) -> Self {
        let signature = signer.sign_root(&tree.digest());
        Self { tree, signature }
    }

    /// Writes a certificate in CBOR that reveals the paths which `keep` accepts.
    pub fn certificate(&self, keep: &dyn Fn(&[&[u8]]) -> bool, delegation: Option<&Delegation>) -> Vec<u8> {
        let mut out = SELF_DESCRIBED.to_vec();
        write_head(5, 2 + delegation.is_some() as usize, &mut out);
        write_text("tree", &mut out);
        self.tree.prune(keep).write_cbor(&mut out);
        write_text("signature", &mut out);
        write_bytes(&self.signature, &mut out);
        if let Some(delegation) = delegation {
            write_text("delegation", &mut out);
            write_head(5, 2, &mut out);
            write_text("subnet_id", &mut out);
            write_bytes(delegation.subnet_id.as_slice(), &mut out);
            write_text("certificate", &mut out);
            write_bytes(&delegation.certificate, &mut out);
        }
        out
    }
}

/// Writes a time as in the state tree, LEB128.
pub fn leb128(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// A subnet's public key in DER form, and first and last canister id of each range.
pub type KeyAndRanges = (Arc<Vec<u8>>, Vec<(Principal, Principal)>);

/// Certifies, by the root subnet's `signer`, keys and canister ranges of subnets; the delegation of `subnet`.
pub fn delegate(
    signer: &Signer,
    subnets: &BTreeMap<Principal, KeyAndRanges>,
    subnet: Principal,
    time_nanos: u64,
) -> Delegation {
    let leaves = subnets
        .iter()
        .map(|(id, (key, ranges))| {
            let mut encoded = SELF_DESCRIBED.to_vec();
            write_head(4, ranges.len(), &mut encoded);
            for (first, last) in ranges {
                write_head(4, 2, &mut encoded);
                write_bytes(first.as_slice(), &mut encoded);
                write_bytes(last.as_slice(), &mut encoded);
            }
            let below = vec![
                Tree::labeled("canister_ranges", Tree::Leaf(encoded)),
                Tree::labeled("public_key", Tree::Leaf(key.to_vec())),
            ];
            Tree::labeled(id.as_slice(), Tree::join(below))
        })
        .collect();
    let tree = Tree::join(vec![
        Tree::labeled("subnet", Tree::join(leaves)),
        Tree::labeled("time", Tree::Leaf(leb128(time_nanos))),
    ]);
    let keep = |path: &[&[u8]]| path[0] == b"time" || path.get(1).is_some_and(|id| *id == subnet.as_slice());
    Delegation { subnet_id: subnet, certificate: CertifiedTree::new(tree, signer).certificate(&keep, None) }
}

impl SubnetState {
    /// Returns the certificate of a canister's certified data, as of the last round.
    pub fn data_certificate(&self, canister: &Principal) -> Vec<u8> {
        let mut cache = self.certificate_cache.borrow_mut();
        let certified = cache.get_or_insert_with(|| CertifiedTree::new(self.state_tree(), &self.config.signer));
        let keep = |path: &[&[u8]]| match path {
            [b"time"] => true,
            [b"canister", id, b"certified_data"] => *id == canister.as_slice(),
            _ => false,
        };
        certified.certificate(&keep, self.config.delegation.as_deref())
    }

    /// Builds the part of the state tree that queries certify.
    fn state_tree(&self) -> Tree {
        let canisters = self
            .canisters
            .values()
            .filter(|canister| canister.code.is_some())
            .map(|canister| {
                let data = Tree::labeled("certified_data", Tree::Leaf(canister.certified_data.clone()));
                Tree::labeled(canister.id.as_slice(), data)
            })
            .collect();
        Tree::join(vec![
            Tree::labeled("canister", Tree::join(canisters)),
            Tree::labeled("time", Tree::Leaf(leb128(self.time_nanos))),
        ])
    }
}

#[cfg(test)]
#[path = "certification_tests.rs"]
mod tests;
