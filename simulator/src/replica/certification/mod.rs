//! Certificates over a subnet's state: hash tree, signature, delegation (interface specification, "Certification").

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;
use ed25519_dalek::{Signer as _, SigningKey};
use ic_verify_bls_signature::PrivateKey;
use sha2::{Digest, Sha256};

use self::tree::{Contents, Tree, Wanted};
use crate::cbor::Writer;
use crate::replica::state::SubnetKind;

mod state_tree;
pub mod tree;

/// DER prefix of a BLS public key of 96 bytes.
pub const PUBLIC_KEY_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02,
    0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00,
];
/// DER prefix of an Ed25519 public key of 32 bytes.
pub const NODE_KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const STATE_ROOT_SEPARATOR: &[u8] = b"\x0dic-state-root";
/// How old a delegation may grow before the root subnet is asked for another. Agents refuse those of 30 days.
const DELEGATION_NANOS_MAX: u64 = 24 * 3_600 * 1_000_000_000;

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

/// A node of a subnet, as far as it signs answers to queries.
#[derive(Debug)]
pub struct NodeKey {
    pub id: Principal,
    /// DER form, 44 bytes.
    pub public_key: Vec<u8>,
    key: SigningKey,
}

impl NodeKey {
    /// Derives a key from a seed; its public key is the node's id.
    pub fn new(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let public_key = [&NODE_KEY_PREFIX[..], key.verifying_key().as_bytes()].concat();
        Self { id: Principal::self_authenticating(&public_key), public_key, key }
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// What a network knows of each of its subnets.
#[derive(Clone, Debug)]
pub struct SubnetEntry {
    pub kind: SubnetKind,
    /// DER form.
    pub public_key: Arc<Vec<u8>>,
    /// First and last canister id of each range, in order.
    pub canister_ranges: Vec<(Principal, Principal)>,
}

/// The subnets of a network.
pub type Directory = BTreeMap<Principal, SubnetEntry>;

/// Where the ranges of a delegation stand: the older endpoints of agents serve one form, the newer ones the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangesForm {
    /// `/subnet/<id>/canister_ranges`
    Flat,
    /// `/canister_ranges/<id>/<first canister>`
    Sharded,
}

/// The proof of the root subnet that a subnet's key is genuine.
#[derive(Debug)]
pub struct Delegation {
    pub subnet_id: Principal,
    pub certificate: Vec<u8>,
}

/// What makes delegations: the root subnet's key, with all that it knows of subnets.
#[derive(Debug)]
pub struct Delegator {
    pub signer: Arc<Signer>,
    pub directory: Arc<Directory>,
}

/// The delegations of one subnet, in both forms, and when they were made.
#[derive(Debug)]
pub struct Delegations {
    made_nanos: u64,
    flat: Delegation,
    sharded: Delegation,
}

impl Delegations {
    /// Tells whether they are too old at a time.
    pub fn are_old(&self, now_nanos: u64) -> bool {
        now_nanos - self.made_nanos > DELEGATION_NANOS_MAX
    }

    pub fn of_form(&self, form: RangesForm) -> &Delegation {
        match form {
            RangesForm::Flat => &self.flat,
            RangesForm::Sharded => &self.sharded,
        }
    }
}

impl Delegator {
    /// Certifies the key and the canister ranges of a subnet.
    pub fn delegate(&self, subnet: Principal, now_nanos: u64) -> Delegations {
        let subnets = self.directory.iter().map(|(id, entry)| (*id, Tree::join(entry.subtrees(&[])))).collect();
        let tree = Tree::join(vec![
            ranges_tree(&self.directory),
            Tree::labeled("subnet", by_id(subnets)),
            Tree::labeled("time", Tree::leaf(leb128(now_nanos))),
        ]);
        let certified = CertifiedTree::new(tree, &self.signer);
        let id = subnet.as_slice();
        let key = Wanted::default().path([b"subnet", id, b"public_key"]);
        let delegation = |wanted: Wanted| Delegation {
            subnet_id: subnet,
            certificate: certified.certificate(&wanted, &|_| None, None),
        };
        Delegations {
            made_nanos: now_nanos,
            flat: delegation(key.clone().path([b"subnet", id, b"canister_ranges"])),
            sharded: delegation(key.path([b"canister_ranges", id])),
        }
    }
}

impl SubnetEntry {
    /// Makes what the state tree holds below a subnet, with `more` after `canister_ranges` and before `public_key`.
    fn subtrees(&self, more: &[Tree]) -> Vec<Tree> {
        let ranges = Tree::labeled("canister_ranges", Tree::leaf(encode_ranges(&self.canister_ranges)));
        let key = Tree::labeled("public_key", Tree::leaf(self.public_key.to_vec()));
        let kind = Tree::labeled("type", Tree::leaf(kind_text(self.kind)));
        [&[ranges], more, &[key, kind]].concat()
    }
}

/// Makes `/canister_ranges`: one shard per subnet, since each has few ranges.
fn ranges_tree(directory: &Directory) -> Tree {
    let shards = directory.iter().filter_map(|(id, entry)| {
        let (first, _) = entry.canister_ranges.first()?;
        Some((*id, Tree::labeled(first.as_slice(), Tree::leaf(encode_ranges(&entry.canister_ranges)))))
    });
    Tree::labeled("canister_ranges", by_id(shards.collect()))
}

/// Joins subtrees under ids. The order of principals is that of their bytes only among those of equal length.
fn by_id(mut trees: Vec<(Principal, Tree)>) -> Tree {
    trees.sort_by(|(one, _), (other, _)| one.as_slice().cmp(other.as_slice()));
    Tree::join(trees.into_iter().map(|(id, tree)| Tree::labeled(id.as_slice(), tree)).collect())
}

fn encode_ranges(ranges: &[(Principal, Principal)]) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.array(ranges.len());
    for (first, last) in ranges {
        out.array(2);
        out.bytes(first.as_slice());
        out.bytes(last.as_slice());
    }
    out.finish()
}

/// Names a kind of subnet as the state tree does, which knows fewer.
fn kind_text(kind: SubnetKind) -> &'static str {
    match kind {
        SubnetKind::CloudEngine => "cloud_engine",
        SubnetKind::VerifiedApplication => "verified_application",
        kind if kind.is_system() => "system",
        _ => "application",
    }
}

/// A tree with the signature over its root.
#[derive(Clone, Debug)]
pub struct CertifiedTree {
    tree: Tree,
    signature: Vec<u8>,
}

impl CertifiedTree {
    pub fn new(tree: Tree, signer: &Signer) -> Self {
        let signature = signer.sign_root(&tree.digest());
        Self { tree, signature }
    }

    /// Writes a certificate in CBOR that shows the time and what is wanted.
    pub fn certificate(&self, wanted: &Wanted, contents: Contents, delegation: Option<&Delegation>) -> Vec<u8> {
        let mut out = Writer::self_described();
        out.map(2 + delegation.is_some() as usize);
        out.text("tree");
        self.tree.witness(&wanted.clone().path(["time"]), contents).write(&mut out);
        out.text("signature");
        out.bytes(&self.signature);
        if let Some(delegation) = delegation {
            out.text("delegation");
            out.map(2);
            out.text("subnet_id");
            out.bytes(delegation.subnet_id.as_slice());
            out.text("certificate");
            out.bytes(&delegation.certificate);
        }
        out.finish()
    }
}

/// Writes a number as in the state tree, LEB128.
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

#[cfg(test)]
mod tests;
