use ic_verify_bls_signature::verify_bls_signature;

use super::*;

fn signer() -> Signer {
    Signer::new([7; 32])
}

#[test]
fn public_key_has_133_bytes() {
    assert_eq!(signer().public_key_der().len(), 133);
}

#[test]
fn pruning_keeps_the_root_and_the_path() {
    let leaf = |name: &str| Tree::labeled(name, Tree::Leaf(name.as_bytes().to_vec()));
    let tree = Tree::join(vec![leaf("a"), leaf("b"), leaf("c")]);
    let pruned = tree.prune(&|path| path == [b"b"]);
    assert_eq!(pruned.digest(), tree.digest());
    let mut cbor = Vec::new();
    pruned.write_cbor(&mut cbor);
    assert!(cbor.len() < 120 && cbor.windows(2).any(|pair| pair == [0x41, b'b']));
}

#[test]
fn certificate_verifies_with_the_standard_crate() {
    let tree = Tree::labeled("time", Tree::Leaf(leb128(1_620_328_630_000_000_000)));
    let certified = CertifiedTree::new(tree, &signer());
    let bytes = certified.certificate(&|_| true, None);
    let certificate: ic_certification::Certificate =
        ic_certification_from_cbor(&bytes).expect("the crate reads what we write");
    let message = [STATE_ROOT_SEPARATOR, &certificate.tree.digest()].concat();
    let key = &signer().public_key_der()[PUBLIC_KEY_PREFIX.len()..];
    assert_eq!(verify_bls_signature(&certificate.signature, &message, key), Ok(()));
}

/// Reads with the parts of the crate that need no CBOR library: tree and signature are told apart by hand.
fn ic_certification_from_cbor(bytes: &[u8]) -> Option<ic_certification::Certificate> {
    let rest = bytes.strip_prefix(&SELF_DESCRIBED)?.strip_prefix(b"\xa2\x64tree\x83\x02\x44time\x82\x03")?;
    let length = (rest[0] & 0x1f) as usize;
    let time = &rest[1..1 + length];
    let signature = rest[1 + length..].strip_prefix(b"\x69signature\x58\x30")?;
    Some(ic_certification::Certificate {
        tree: ic_certification::labeled("time", ic_certification::leaf(time)),
        signature: signature.to_vec(),
        delegation: None,
    })
}
