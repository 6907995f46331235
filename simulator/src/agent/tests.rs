//! Requests as the Rust agent makes them, and what becomes of them when they are altered.

use candid::Principal;
use ic_agent::Identity;
use ic_agent::agent::{Envelope as Sent, EnvelopeContent};
use ic_agent::identity::{
    AnonymousIdentity, BasicIdentity, Delegation as SentDelegation, DelegationPermissions, Prime256v1Identity,
    Secp256k1Identity, SignedDelegation as SentSigned,
};
use proptest::prelude::*;

use super::Refused;
use super::authentication::{Authenticated, DELEGATIONS_MAX, EXPIRY_NANOS_MAX, TARGETS_MAX};
use super::envelope::{Envelope, LABELS_MAX, NONCE_BYTES_MAX, PATHS_MAX, Request};
use super::keys::{PublicKey, Unverified};

const NOW_NANOS: u64 = 1_700_000_000_000_000_000;
const EXPIRY_NANOS: u64 = NOW_NANOS + 240_000_000_000;

fn canister(n: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, n, 1, 1])
}

fn identities() -> Vec<Box<dyn Identity>> {
    vec![
        Box::new(BasicIdentity::from_raw_key(&[1; 32])),
        Box::new(Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[2; 32]).expect("a key"))),
        Box::new(Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[3; 32]).expect("a key"))),
    ]
}

fn call(sender: Principal) -> EnvelopeContent {
    EnvelopeContent::Call {
        nonce: Some(vec![7; 16]),
        ingress_expiry: EXPIRY_NANOS,
        sender,
        canister_id: canister(1),
        method_name: "put".to_string(),
        arg: b"DIDL\0\0".to_vec(),
        sender_info: None,
    }
}

fn query(sender: Principal) -> EnvelopeContent {
    let (canister_id, method_name, arg) = (canister(1), "get".to_string(), Vec::new());
    EnvelopeContent::Query {
        ingress_expiry: EXPIRY_NANOS,
        sender,
        canister_id,
        method_name,
        arg,
        nonce: None,
        sender_info: None,
    }
}

fn read_state(sender: Principal, paths: Vec<Vec<Vec<u8>>>) -> EnvelopeContent {
    let paths = paths.into_iter().map(|path| path.into_iter().map(Into::into).collect()).collect();
    EnvelopeContent::ReadState { ingress_expiry: EXPIRY_NANOS, sender, paths }
}

fn envelope(content: EnvelopeContent, key: Option<Vec<u8>>, signature: Option<Vec<u8>>) -> Sent<'static> {
    let content = std::borrow::Cow::Owned(content);
    Sent { content, sender_pubkey: key, sender_sig: signature, sender_delegation: None }
}

fn signed(content: EnvelopeContent, by: &dyn Identity) -> Sent<'static> {
    let signature = by.sign(&content).expect("signs");
    envelope(content, signature.public_key, signature.signature)
}

fn receive(sent: &Sent) -> Result<Authenticated, Refused> {
    Envelope::read(&sent.encode_bytes())?.authenticate()
}

fn refused(sent: &Sent) -> String {
    match receive(sent) {
        Err(Refused::Bad(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// Lets each of `chain` sign for the next one, and the last one sign a request of the first one.
fn delegated(
    content: impl Fn(Principal) -> EnvelopeContent,
    chain: &[&dyn Identity],
    change: impl Fn(usize, &mut SentDelegation),
) -> Sent<'static> {
    let first = chain.first().expect("a chain");
    let content = content(first.sender().expect("a sender"));
    let link = |(index, pair): (usize, &[&dyn Identity])| {
        let pubkey = pair[1].public_key().expect("a key");
        let mut delegation = SentDelegation { pubkey, expiration: EXPIRY_NANOS, targets: None, permissions: None };
        change(index, &mut delegation);
        let signature = pair[0].sign_delegation(&delegation).expect("signs").signature.expect("a signature");
        SentSigned { delegation, signature }
    };
    let links = chain.windows(2).enumerate().map(link).collect();
    let last = chain.last().expect("a chain").sign(&content).expect("signs");
    Sent { sender_delegation: Some(links), ..envelope(content, first.public_key(), last.signature) }
}

#[test]
fn ids_are_those_of_the_agent() {
    let anonymous = AnonymousIdentity.sender().expect("a sender");
    let paths = vec![vec![b"time".to_vec()], vec![b"subnet".to_vec(), vec![0xff; 29]], vec![]];
    for content in [call(anonymous), query(anonymous), read_state(anonymous, paths)] {
        let expected = content.to_request_id();
        let received = receive(&envelope(content, None, None)).expect("accepted");
        assert_eq!(received.id.0.as_slice(), expected.as_slice());
        assert_eq!((received.sender, received.expiry_nanos), (anonymous, EXPIRY_NANOS));
    }
}

#[test]
fn signature_of_every_kind_of_key_is_verified() {
    for by in identities() {
        let sender = by.sender().expect("a sender");
        assert_eq!(receive(&signed(call(sender), &*by)).expect("accepted").sender, sender);
        let mut altered = signed(call(sender), &*by);
        altered.content = std::borrow::Cow::Owned(query(sender));
        assert!(refused(&altered).contains("is not one of the message"));
        let mut broken = signed(call(sender), &*by);
        broken.sender_sig.as_mut().expect("signed")[40] ^= 1;
        assert!(refused(&broken).contains("Invalid signature"));
        let mut short = signed(call(sender), &*by);
        short.sender_sig.as_mut().expect("signed").pop();
        assert!(refused(&short).contains("64 bytes, not 63"));
    }
}

#[test]
fn sender_must_be_the_one_whose_key_signs() {
    let by = BasicIdentity::from_raw_key(&[1; 32]);
    let sender = by.sender().expect("a sender");
    assert!(refused(&signed(call(canister(1)), &by)).contains("is not that of the sender"));
    assert!(refused(&envelope(call(sender), None, None)).contains("has not signed"));
    assert!(refused(&signed(call(Principal::anonymous()), &by)).contains("anonymous"));
}

#[test]
fn kinds_of_keys_that_are_not_simulated_are_named() {
    let key = |tail: u8| {
        let oid = [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, tail];
        [&[0x30, 0x3c, 0x30, 0x0c][..], &oid, &[0x03, 0x2c, 0x00], &[9; 43]].concat()
    };
    let unverified = |der: &[u8]| PublicKey::from_der(der).expect_err("refused");
    assert_eq!(unverified(&key(1)), Unverified::KeyNotSimulated("COSE"));
    assert_eq!(unverified(&key(2)), Unverified::KeyNotSimulated("canister"));
    assert_eq!(unverified(&[]), Unverified::KeyMalformed);
    for by in identities() {
        let mut der = by.public_key().expect("a key");
        der.pop();
        assert_eq!(unverified(&der), Unverified::KeyMalformed);
    }
}

#[test]
fn chain_of_delegations_leads_from_the_sender_to_who_signed() {
    let keys = identities();
    let chain: Vec<&dyn Identity> = keys.iter().map(|key| &**key).collect();
    let received = receive(&delegated(call, &chain, |_, _| {})).expect("accepted");
    assert_eq!(received.sender, chain[0].sender().expect("a sender"));
    assert_eq!(received.check(NOW_NANOS), Ok(()));

    let mut wrong = delegated(call, &chain, |_, _| {});
    wrong.sender_delegation.as_mut().expect("delegated").swap(0, 1);
    assert!(refused(&wrong).contains("A delegation is not valid"));
    let mut missing = delegated(call, &chain, |_, _| {});
    missing.sender_delegation.as_mut().expect("delegated").pop();
    assert!(refused(&missing).contains("Invalid signature"));
    let circle = [chain[0], chain[1], chain[0]];
    assert!(refused(&delegated(call, &circle, |_, _| {})).contains("twice"));
}

#[test]
fn length_of_a_chain_and_number_of_targets_are_bounded() {
    let keys: Vec<BasicIdentity> = (1..=22).map(|n| BasicIdentity::from_raw_key(&[n; 32])).collect();
    let chain: Vec<&dyn Identity> = keys.iter().map(|key| key as &dyn Identity).collect();
    assert!(receive(&delegated(call, &chain[..=DELEGATIONS_MAX], |_, _| {})).is_ok());
    assert!(refused(&delegated(call, &chain, |_, _| {})).contains("at most 20 delegations, not 21"));
    let with =
        |count: usize| delegated(call, &chain[..2], move |_, link| link.targets = Some(vec![canister(1); count]));
    assert!(receive(&with(TARGETS_MAX)).is_ok());
    assert!(refused(&with(TARGETS_MAX + 1)).contains("at most 1000 targets, not 1001"));
}

#[test]
fn delegations_limit_canisters_times_and_kinds_of_requests() {
    let keys = identities();
    let chain: Vec<&dyn Identity> = keys.iter().map(|key| &**key).collect();
    let checked = |change: &dyn Fn(usize, &mut SentDelegation)| {
        receive(&delegated(call, &chain, change)).expect("accepted").check(NOW_NANOS)
    };
    let to = |sets: [&'static [u8]; 2]| {
        move |index: usize, link: &mut SentDelegation| {
            link.targets = Some(sets[index].iter().map(|n| canister(*n)).collect());
        }
    };
    assert_eq!(checked(&to([&[1, 2], &[1]])), Ok(()));
    assert!(matches!(checked(&to([&[1, 2], &[2]])), Err(Refused::Bad(text)) if text.contains("targets")));
    let ends = |index: usize, link: &mut SentDelegation| link.expiration = NOW_NANOS - index as u64;
    assert!(matches!(checked(&ends), Err(Refused::Bad(text)) if text.contains("delegation expiry")));

    let queries = |_: usize, link: &mut SentDelegation| link.permissions = Some(DelegationPermissions::Queries);
    assert!(refused(&delegated(call, &chain, queries)).contains("permits"));
    assert!(receive(&delegated(query, &chain, queries)).is_ok());
    let all = |_: usize, link: &mut SentDelegation| link.permissions = Some(DelegationPermissions::All);
    assert!(receive(&delegated(call, &chain, all)).is_ok());
}

#[test]
fn request_must_end_soon_and_not_be_over() {
    let received = receive(&envelope(call(Principal::anonymous()), None, None)).expect("accepted");
    let refused = |now| match received.check(now) {
        Err(Refused::Bad(text)) => text.contains("Specified ingress_expiry not within expected range"),
        Err(other) => panic!("{other:?}"),
        Ok(()) => false,
    };
    assert!(!refused(EXPIRY_NANOS));
    assert!(refused(EXPIRY_NANOS + 1));
    assert!(!refused(EXPIRY_NANOS - EXPIRY_NANOS_MAX));
    assert!(refused(EXPIRY_NANOS - EXPIRY_NANOS_MAX - 1));
}

#[test]
fn requests_out_of_bounds_are_refused_with_the_bound() {
    let anonymous = Principal::anonymous();
    let paths = |count: usize, labels: usize| read_state(anonymous, vec![vec![b"x".to_vec(); labels]; count]);
    let of = |content| envelope(content, None, None);
    assert!(receive(&of(paths(PATHS_MAX, 1))).is_ok());
    assert!(refused(&of(paths(PATHS_MAX + 1, 1))).contains("1000 paths, not 1001"));
    assert!(receive(&of(paths(1, LABELS_MAX))).is_ok());
    assert!(refused(&of(paths(1, LABELS_MAX + 1))).contains("127 labels, not 128"));
    let mut content = call(anonymous);
    if let EnvelopeContent::Call { nonce, .. } = &mut content {
        *nonce = Some(vec![0; NONCE_BYTES_MAX + 1]);
    }
    assert!(refused(&of(content)).contains("32 bytes, not 33"));
}

#[test]
fn malformed_documents_are_refused() {
    let valid = envelope(call(Principal::anonymous()), None, None).encode_bytes();
    let deep = [&[0xa1, 0x67][..], b"content", &[0x81; 100_000]].concat();
    // A byte string, and an array, that claim to have 2^60 items.
    let claims = [
        [&[0xa1, 0x6a][..], b"sender_sig", &[0x5b, 0x10, 0, 0, 0, 0, 0, 0, 0]].concat(),
        [&[0xa1, 0x71][..], b"sender_delegation", &[0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0]].concat(),
    ];
    let longer = [&valid[..], &[0]].concat();
    for bytes in [&b""[..], b"garbage", &valid[..valid.len() - 1], &longer, &deep, &claims[0], &claims[1]] {
        let refused = Envelope::read(bytes).err();
        assert!(matches!(refused, Some(Refused::Bad(text)) if text.contains("CBOR")));
    }
}

#[test]
fn request_of_an_unknown_type_or_without_a_field_is_refused() {
    let without = |fields: &[(&str, &str)]| {
        let mut content = vec![
            ("sender", ciborium::Value::Bytes(vec![4])),
            ("ingress_expiry", ciborium::Value::Integer(EXPIRY_NANOS.into())),
        ];
        content.extend(fields.iter().map(|(name, text)| (*name, ciborium::Value::Text(text.to_string()))));
        let content = content.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let mut bytes = Vec::new();
        let document = ciborium::Value::Map(vec![("content".into(), ciborium::Value::Map(content))]);
        ciborium::into_writer(&document, &mut bytes).expect("memory");
        match Envelope::read(&bytes).and_then(Envelope::authenticate) {
            Err(Refused::Bad(text)) => text,
            other => panic!("not refused: {other:?}"),
        }
    };
    assert!(without(&[]).contains("request_type"));
    assert!(without(&[("request_type", "dance")]).contains("dance"));
    assert!(without(&[("request_type", "call")]).contains("canister_id is missing"));
    assert!(without(&[("request_type", "read_state")]).contains("paths is missing"));
}

#[test]
fn delegated_read_state_reaches_its_targets_only() {
    let keys = identities();
    let chain: Vec<&dyn Identity> = keys.iter().map(|key| &**key).collect();
    let content = |sender| read_state(sender, vec![vec![b"time".to_vec()]]);
    let sent = delegated(content, &chain[..2], |_, link| link.targets = Some(vec![canister(1)]));
    let received = receive(&sent).expect("accepted");
    assert!(matches!(received.request, Request::ReadState(_)));
    assert_eq!(received.check(NOW_NANOS), Ok(()));
    assert!(received.reaches(&canister(1)) && !received.reaches(&canister(2)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0usize..300,
    ) {
        let mut altered = envelope(call(Principal::anonymous()), None, None).encode_bytes();
        let start = at % altered.len();
        altered.splice(start.., bytes.iter().copied());
        for bytes in [&bytes, &altered] {
            if let Ok(envelope) = Envelope::read(bytes) {
                let _ = envelope.authenticate();
            }
        }
    }
}
