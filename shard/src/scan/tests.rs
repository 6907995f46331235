use super::*;
use crate::operations::Origin;
use crate::state::tests::arguments;
use crate::store::{Kind, Put};
use canopy_types::ScannedRecord;
use canopy_types::codec::decode;
use canopy_types::shard::ShardScanResult;
use canopy_types::wire::{DeleteRef, PutRef};
use ic_stable_structures::DefaultMemoryImpl;
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;

const NOW: u64 = 1_780_000_000_000_000_000;

fn state() -> State {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    state
}

fn put(state: &mut State, key: &[u8], value: &[u8], time_to_live_milliseconds: Option<u64>) -> Version {
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    state.put(&origin, &PutRef { key, value, precondition: None, time_to_live_milliseconds, operation: None }).unwrap()
}

fn page(state: &mut State, arguments: &ShardScanArguments) -> (Vec<ScannedRecord>, Option<ByteBuf>) {
    let page = decode::<ShardScanResult>(&state.scan(arguments).unwrap()).unwrap().unwrap();
    (page.records, page.cursor)
}

/// Scans to the end; every page within bounds.
fn scan(state: &mut State, mut arguments: ShardScanArguments) -> Vec<ScannedRecord> {
    let mut all = vec![];
    for _ in 0..10_000 {
        let (records, cursor) = page(state, &arguments);
        assert!(records.len() <= arguments.records_max.unwrap_or(SCAN_RECORDS_DEFAULT) as usize);
        all.extend(records);
        arguments.cursor = cursor;
        if arguments.cursor.is_none() {
            return all;
        }
    }
    panic!("the scan doesn't end");
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

#[test]
fn pages_of_every_size_answer_each_record_once_in_hash_order() {
    let mut state = state();
    let mut model = BTreeMap::new();
    for number in 0..500 {
        let value = vec![number as u8; number as usize % 40];
        let version = put(&mut state, &key(number), &value, None);
        model.insert((state.identity.secret.hash(&key(number)), key(number)), (value, version));
    }
    let expected: Vec<_> = model.into_iter().map(|((_, key), (value, version))| (key, value, version)).collect();
    for (records_max, bytes_max) in
        [(None, None), (Some(1), None), (Some(7), None), (None, Some(300)), (Some(9_999), Some(1))]
    {
        let arguments = ShardScanArguments { records_max, bytes_max, ..ShardScanArguments::default() };
        let found = scan(&mut state, arguments);
        assert_eq!(found.len(), expected.len());
        for (record, (key, value, version)) in found.iter().zip(&expected) {
            assert_eq!((record.key.as_slice(), record.version), (key.as_slice(), *version));
            if bytes_max == Some(1) {
                // Nothing has room, so every value is left out and its length told.
                assert_eq!(
                    (record.value.len(), record.value_bytes),
                    (0, (!value.is_empty()).then_some(value.len() as u64))
                );
            } else {
                assert_eq!((record.value.as_slice(), record.value_bytes), (value.as_slice(), None));
            }
        }
    }
}

#[test]
fn value_that_no_page_has_room_for_is_left_out_alone() {
    let mut state = state();
    for (name, bytes) in [("small", 10), ("large", 5_000), ("none", 0), ("another", 20)] {
        put(&mut state, name.as_bytes(), &vec![1; bytes], None);
    }
    let found = scan(&mut state, ShardScanArguments { bytes_max: Some(1_000), ..ShardScanArguments::default() });
    assert_eq!(found.len(), 4);
    for record in found {
        let left_out = record.key.as_slice() == b"large";
        assert_eq!(record.value_bytes, left_out.then_some(5_000), "{record:?}");
        assert_eq!(record.value.is_empty(), left_out || record.key.as_slice() == b"none");
    }
    let lengths = scan(&mut state, ShardScanArguments { include_value: Some(false), ..ShardScanArguments::default() });
    assert!(lengths.iter().all(|record| record.value.is_empty() && record.value_bytes.is_some()));
}

#[test]
fn only_living_records_of_clients_are_answered() {
    let mut state = state();
    put(&mut state, b"stays", b"v", Some(10_000));
    put(&mut state, b"ends", b"v", Some(1_000));
    put(&mut state, b"deleted", b"v", None);
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    state.delete(&origin, &DeleteRef { key: b"deleted", precondition: None, operation: None }).unwrap();
    let hidden = crate::store::KeyRef { hash: 7, tag: 7, space: 3, bytes: b"internal" };
    let record = Put {
        key: hidden,
        kind: Kind::Chunk,
        value: b"v",
        expires_at: None,
        precondition: Default::default(),
        operation: None,
    };
    state.store.put(&record).unwrap();
    state.store.observe_clock(NOW + 1_000_000_000);
    let found = scan(&mut state, ShardScanArguments::default());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key.as_slice(), b"stays");
    assert_eq!(found[0].expires_at_nanoseconds, Some(NOW + 10_000_000_000));
}

#[test]
fn prefix_and_range_choose_what_is_answered() {
    let mut state = state();
    for number in 0..200 {
        put(&mut state, &key(number), b"v", None);
        put(&mut state, &[b"other ", &key(number)[..]].concat(), b"v", None);
    }
    let prefix = Some(ByteBuf::from("key 1"));
    let found = scan(&mut state, ShardScanArguments { prefix, records_max: Some(3), ..ShardScanArguments::default() });
    assert_eq!(found.len(), (0..200).filter(|number| key(*number).starts_with(b"key 1")).count());
    let (left, right) = HashRange::FULL.split_at(KeyHash(1 << 62)).unwrap();
    let mut parts = vec![];
    for range in [left, right] {
        let arguments =
            ShardScanArguments { range: Some(range), records_max: Some(50), ..ShardScanArguments::default() };
        let found = scan(&mut state, arguments);
        assert!(found.iter().all(|record| range.contains(state.identity.secret.hash(&record.key))));
        parts.push(found.len());
    }
    assert!(parts[0] > 50 && parts[1] > parts[0] && parts.iter().sum::<usize>() == 400, "{parts:?}");
}

#[test]
fn scan_goes_on_in_the_shard_behind_and_wherever_the_range_went() {
    let (left, right) = HashRange::FULL.split_at(KeyHash(u64::MAX / 3)).unwrap();
    let mut whole = state();
    let mut shards = [left, right].map(|range| {
        let arguments = canopy_types::shard::ShardInitArguments { range, ..arguments() };
        let mut state = State::create(DefaultMemoryImpl::default(), &arguments);
        state.store.observe_clock(NOW);
        state
    });
    for number in 0..300 {
        put(&mut whole, &key(number), b"v", None);
        let of_left = left.contains(whole.identity.secret.hash(&key(number)));
        put(&mut shards[usize::from(!of_left)], &key(number), b"v", None);
    }
    // Every page is asked of the shard that owns the cursor's hash, or of one that owned all of it.
    let mut arguments = ShardScanArguments { records_max: Some(10), ..ShardScanArguments::default() };
    let mut found = vec![];
    for turn in 0..100 {
        let hash = arguments
            .cursor
            .as_ref()
            .map_or(KeyHash(0), |cursor| canopy_types::cursor::hash_of(CursorOf::Scan, cursor).unwrap());
        let owner = usize::from(!left.contains(hash));
        let wrong = shards[1 - owner].scan(&arguments);
        assert!(matches!(wrong, Err(ShardScanError::WrongShard(_))), "{wrong:?}");
        let state = if turn % 3 == 0 { &mut whole } else { &mut shards[owner] };
        let (records, cursor) = page(state, &arguments);
        found.extend(records);
        arguments.cursor = cursor;
        if arguments.cursor.is_none() {
            break;
        }
    }
    let expected = scan(&mut whole, ShardScanArguments::default());
    assert_eq!(
        found.iter().map(|record| &record.key).collect::<Vec<_>>(),
        expected.iter().map(|record| &record.key).collect::<Vec<_>>()
    );
}

#[test]
fn nonsense_is_refused_with_what_is_wrong() {
    let mut state = state();
    let mut refused = |arguments: ShardScanArguments| state.scan(&arguments).unwrap_err();
    let cursor =
        |bytes: &[u8]| ShardScanArguments { cursor: Some(ByteBuf::from(bytes)), ..ShardScanArguments::default() };
    for garbage in [&b""[..], b"garbage", &[1; 40], &[0xff; 2_000]] {
        assert!(matches!(refused(cursor(garbage)), ShardScanError::InvalidCursor { .. }));
    }
    let (first, last) = (KeyHash(5), KeyHash(4));
    let range = Some(HashRange { first, last });
    assert_eq!(refused(ShardScanArguments { range, ..Default::default() }), ShardScanError::RangeEmpty { first, last });
    assert_eq!(refused(ShardScanArguments { records_max: Some(0), ..Default::default() }), ShardScanError::PageEmpty);
    assert_eq!(refused(ShardScanArguments { bytes_max: Some(0), ..Default::default() }), ShardScanError::PageEmpty);
}

#[test]
fn the_fullest_page_fits_a_reply() {
    let mut state = state();
    for number in 0..4_200u32 {
        let key = [&number.to_be_bytes()[..], &[7; 200]].concat();
        put(&mut state, &key, &[8; 260], Some(1_000_000));
    }
    let arguments = ShardScanArguments { records_max: Some(u32::MAX), ..ShardScanArguments::default() };
    let reply = state.scan(&arguments).unwrap();
    assert!(reply.len() <= MESSAGE_BYTES_MAX && reply.len() > MESSAGE_BYTES_MAX * 8 / 10, "{}", reply.len());
    assert_eq!(scan(&mut state, arguments).len(), 4_200);
}
