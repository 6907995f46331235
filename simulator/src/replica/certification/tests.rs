use ic_certification::{Certificate, LookupResult};
use ic_verify_bls_signature::verify_bls_signature;

use super::*;

fn signer() -> Signer {
    Signer::new([7; 32])
}

fn read(bytes: &[u8]) -> Certificate {
    serde_cbor::from_slice(bytes).expect("the standard crate reads what is written here")
}

fn verify(certificate: &Certificate, key_der: &[u8]) {
    let message = [STATE_ROOT_SEPARATOR, &certificate.tree.digest()].concat();
    let key = &key_der[PUBLIC_KEY_PREFIX.len()..];
    assert_eq!(verify_bls_signature(&certificate.signature, &message, key), Ok(()));
}

#[test]
fn public_keys_have_the_lengths_that_agents_expect() {
    assert_eq!(signer().public_key_der().len(), 133);
    let node = NodeKey::new([1; 32]);
    assert_eq!(node.public_key.len(), 44);
    assert_eq!(node.id, Principal::self_authenticating(&node.public_key));
}

#[test]
fn certificate_verifies_with_the_standard_crate() {
    let tree = Tree::labeled("time", Tree::leaf(leb128(1_620_328_630_000_000_000)));
    let bytes = CertifiedTree::new(tree, &signer()).certificate(&Wanted::default(), &|_| None, None);
    let certificate = read(&bytes);
    verify(&certificate, &signer().public_key_der());
    let time = certificate.tree.lookup_path([b"time"]);
    assert!(matches!(time, LookupResult::Found(time) if time == leb128(1_620_328_630_000_000_000)));
}

#[test]
fn delegation_certifies_key_and_ranges_of_its_subnet_only() {
    let root = Arc::new(signer());
    let entry = |seed| {
        let public_key = Arc::new(Signer::new([seed; 32]).public_key_der());
        let id = Principal::self_authenticating(public_key.as_slice());
        let range = (Principal::from_slice(&[seed; 10]), Principal::from_slice(&[seed, 255]));
        (id, SubnetEntry { kind: SubnetKind::Application, public_key, canister_ranges: vec![range] })
    };
    let (one, other) = (entry(1), entry(2));
    let directory = Arc::new(Directory::from([one.clone(), other.clone()]));
    let delegations = Delegator { signer: root.clone(), directory }.delegate(one.0, 5);
    let ranges = encode_ranges(&one.1.canister_ranges);
    let id = one.0.as_slice();
    for form in [RangesForm::Flat, RangesForm::Sharded] {
        let delegation = delegations.of_form(form);
        let certificate = read(&delegation.certificate);
        verify(&certificate, &root.public_key_der());
        let found = |path: &[&[u8]]| match certificate.tree.lookup_path(path) {
            LookupResult::Found(value) => Some(value.to_vec()),
            _ => None,
        };
        assert_eq!(found(&[b"subnet", id, b"public_key"]), Some(one.1.public_key.to_vec()));
        let (flat, sharded) = (
            found(&[b"subnet", id, b"canister_ranges"]),
            found(&[b"canister_ranges", id, one.1.canister_ranges[0].0.as_slice()]),
        );
        let expected = Some(ranges.clone());
        assert_eq!((flat, sharded), if form == RangesForm::Flat { (expected, None) } else { (None, expected) });
        assert_eq!(found(&[b"subnet", other.0.as_slice(), b"public_key"]), None);
    }
    assert!(!delegations.are_old(5 + DELEGATION_NANOS_MAX));
    assert!(delegations.are_old(6 + DELEGATION_NANOS_MAX));
}

mod trees {
    use ic_certification::{HashTree, LookupResult};
    use proptest::prelude::*;

    use super::super::tree::{Tree, Wanted};
    use crate::cbor::Writer;

    fn standard(tree: &Tree) -> HashTree {
        let mut out = Writer::default();
        tree.write(&mut out);
        serde_cbor::from_slice(out.finish().as_slice()).expect("the standard crate reads what is written here")
    }

    fn of(labels: &[Vec<u8>]) -> Tree {
        Tree::join(labels.iter().map(|label| Tree::labeled(label.clone(), Tree::leaf(label.clone()))).collect())
    }

    proptest! {
        #[test]
        fn witness_shows_what_is_there_and_proves_what_is_not(
            labels in prop::collection::btree_set(prop::collection::vec(0u8..4, 1..4), 0..20),
            asked in prop::collection::vec(prop::collection::vec(0u8..4, 1..4), 0..5),
        ) {
            let labels: Vec<Vec<u8>> = labels.into_iter().collect();
            let tree = of(&labels);
            let mut wanted = Wanted::default();
            asked.iter().for_each(|label| wanted.add([label]));
            let witness = standard(&tree.witness(&wanted, &|_| None));
            prop_assert_eq!(witness.digest(), standard(&tree).digest());
            prop_assert_eq!(witness.digest(), tree.digest());
            for label in &asked {
                match witness.lookup_path([label]) {
                    LookupResult::Found(value) => prop_assert!(labels.contains(label) && value == label.as_slice()),
                    LookupResult::Absent => prop_assert!(!labels.contains(label)),
                    other => prop_assert!(false, "{label:?}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn witness_hides_what_is_not_wanted() {
        let labels: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n]).collect();
        let mut out = Writer::default();
        of(&labels).witness(&Wanted::default().path([[50]]), &|_| None).write(&mut out);
        let bytes = out.finish().len();
        assert!(bytes < 400, "{bytes} bytes for one of a hundred");
    }

    #[test]
    fn everything_below_a_wanted_path_is_shown() {
        let tree = Tree::labeled("a", of(&[b"b".to_vec(), b"c".to_vec()]));
        let shown = tree.witness(&Wanted::default().path(["a"]), &|_| None);
        assert_eq!(shown, tree);
        let hidden = tree.witness(&Wanted::default().path(["z"]), &|_| None);
        assert_eq!(standard(&hidden).lookup_path(["z"]), LookupResult::Absent);
        assert_eq!(standard(&hidden).lookup_path(["a", "b"]), LookupResult::Unknown);
    }

    #[test]
    fn contents_stand_in_for_digests_only_where_they_are_equal() {
        let inner = of(&[b"reply".to_vec()]);
        let tree = Tree::labeled("id", Tree::pruned(inner.digest()));
        let wanted = Wanted::default().path(["id", "reply"]);
        let shown = standard(&tree.witness(&wanted, &|path| (path == [b"id"]).then(|| inner.clone())));
        assert_eq!(shown.lookup_path(["id", "reply"]), LookupResult::Found(b"reply"));
        let other = of(&[b"other".to_vec()]);
        let shown = standard(&tree.witness(&wanted, &|_| Some(other.clone())));
        assert_eq!(shown.digest(), tree.digest());
        assert_eq!(shown.lookup_path(["id", "reply"]), LookupResult::Unknown);
    }
}
