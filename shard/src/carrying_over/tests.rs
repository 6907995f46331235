use crate::layout_1::place_of;
use crate::operations::Origin;
use crate::state::State;
use crate::state::tests::arguments;
use canopy_types::codec::{decode, encode};
use canopy_types::shard::ShardGetResult;
use canopy_types::wire::{DeleteRef, GetRef, PutRef};
use canopy_types::{HashSecret, Version};
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager};
use ic_stable_structures::{DefaultMemoryImpl, Memory, StableBTreeMap, StableCell};

const NOW: u64 = 1_780_000_000_000_000_000;
const LAST_VERSION: u64 = NOW + 1_000_000;

fn key(number: u32) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

/// A memory as version 0.1.0 left it, with records of which each has its number as value and version.
fn memory_of_layout_1(records: u32) -> DefaultMemoryImpl {
    let memory = DefaultMemoryImpl::default();
    let manager = MemoryManager::init_with_bucket_size(memory.clone(), 128);
    let header = manager.get(MemoryId::new(0));
    header.grow(1);
    header.write(0, b"CANOPYSH");
    header.write(8, &1u32.to_le_bytes());
    let arguments = canopy_types::shard::ShardInitArguments { tag_seed: None, ..arguments() };
    StableCell::init(manager.get(MemoryId::new(1)), encode(&arguments));
    let mut map = StableBTreeMap::init(manager.get(MemoryId::new(2)));
    let secret = HashSecret::from_slice(&arguments.secret).unwrap();
    for number in 0..records {
        let key = key(number);
        let packed = [&u64::from(number + 1).to_le_bytes()[..], &number.to_be_bytes()].concat();
        map.insert(place_of(secret.hash(&key).0, &key), packed);
    }
    let mut counters = [0; 16];
    counters[..8].copy_from_slice(&LAST_VERSION.to_le_bytes());
    StableCell::init(manager.get(MemoryId::new(3)), counters);
    // Memory was grown ahead.
    memory.grow(1_024);
    memory
}

fn get(state: &mut State, number: u32) -> Option<(Vec<u8>, Version)> {
    let reply = state.get(&GetRef { key: &key(number), include_value: None }).unwrap();
    let record = decode::<ShardGetResult>(&reply).unwrap().unwrap();
    record.map(|record| (record.value.into_vec(), record.version))
}

fn put(state: &mut State, number: u32, value: &[u8]) -> Version {
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    let key = key(number);
    let put = PutRef { key: &key, value, precondition: None, time_to_live_milliseconds: None, operation: None };
    state.put(&origin, &put).unwrap()
}

fn delete(state: &mut State, number: u32) -> Option<Version> {
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    state.delete(&origin, &DeleteRef { key: &key(number), precondition: None, operation: None }).unwrap()
}

/// Lets the timer come until it rests; counts how often it came.
fn run(state: &mut State) -> u32 {
    let mut turns = 0;
    let mut now = NOW;
    while let Some(at) = state.run(now).filter(|&at| at <= now) {
        now = at + 1;
        turns += 1;
        assert!(turns < 100, "the timer never rests");
    }
    turns
}

fn check(state: &mut State, number: u32) {
    assert_eq!(get(state, number), Some((number.to_be_bytes().to_vec(), Version(u64::from(number) + 1))));
}

#[test]
fn every_record_is_carried_over_in_steps() {
    const RECORDS: u32 = 5_000;
    let memory = memory_of_layout_1(RECORDS);
    let mut state = State::open(memory.clone());
    assert_eq!(state.carrying_over.as_ref().unwrap().remaining(), u64::from(RECORDS));
    assert!(run(&mut state) >= RECORDS / 2_000);
    assert!(state.carrying_over.is_none());
    assert_eq!(state.store.statistics().records, u64::from(RECORDS));
    for number in 0..RECORDS {
        check(&mut state, number);
    }
    state.store.check_invariants().unwrap();
    let mut reopened = State::open(memory);
    assert!(reopened.carrying_over.is_none());
    check(&mut reopened, 17);
    assert!(put(&mut reopened, 17, b"later").0 > LAST_VERSION);
}

#[test]
fn reads_and_writes_go_on_before_records_are_carried_over() {
    let memory = memory_of_layout_1(100);
    let mut state = State::open(memory.clone());
    state.store.observe_clock(NOW);
    check(&mut state, 1);
    let version = put(&mut state, 2, b"new");
    assert!(version.0 > LAST_VERSION);
    assert_eq!(delete(&mut state, 3), Some(Version(4)));
    assert_eq!(delete(&mut state, 3), None);
    assert_eq!(put(&mut state, 1_000, b"fresh").0, version.0);
    // An upgrade in the middle changes nothing.
    let mut state = State::open(memory.clone());
    assert_eq!((get(&mut state, 2), get(&mut state, 3)), (Some((b"new".to_vec(), version)), None));
    run(&mut state);
    assert_eq!((get(&mut state, 2), get(&mut state, 3)), (Some((b"new".to_vec(), version)), None));
    assert_eq!(get(&mut state, 1_000).unwrap().0, b"fresh");
    let statistics = state.store.statistics();
    assert_eq!((statistics.records, statistics.tombstones), (100, 0));
    for number in [1, 4, 50, 99] {
        check(&mut state, number);
    }
    assert!(put(&mut state, 3, b"again") > version);
    state.store.check_invariants().unwrap();
}

#[test]
fn upgrade_between_two_steps_goes_on_where_it_was() {
    const RECORDS: u32 = 4_500;
    let memory = memory_of_layout_1(RECORDS);
    for turn in 0..3 {
        let mut state = State::open(memory.clone());
        assert!(state.carrying_over.is_some(), "turn {turn}");
        state.run(NOW + turn);
        check(&mut state, 4_321);
    }
    let mut state = State::open(memory);
    run(&mut state);
    assert_eq!(state.store.statistics().records, u64::from(RECORDS));
}

#[test]
fn scan_finds_what_is_carried_over_and_what_is_not_each_once() {
    const RECORDS: u32 = 3_000;
    let mut state = State::open(memory_of_layout_1(RECORDS));
    state.store.observe_clock(NOW);
    state.store.maintain();
    delete(&mut state, 7);
    put(&mut state, 8, b"new");
    let mut arguments = canopy_types::shard::ShardScanArguments { records_max: Some(700), ..Default::default() };
    let mut found = std::collections::BTreeMap::new();
    for turn in 0..100 {
        let page = decode::<canopy_types::shard::ShardScanResult>(&state.scan(&arguments).unwrap()).unwrap().unwrap();
        for record in page.records {
            assert!(found.insert(record.key.to_vec(), record.value.to_vec()).is_none(), "{:?} twice", record.key);
        }
        arguments.cursor = page.cursor;
        if arguments.cursor.is_none() {
            break;
        }
        // The carrying over goes on between some pages.
        if turn == 2 {
            state.run(NOW);
        }
    }
    assert_eq!(found.len(), RECORDS as usize - 1);
    assert!(!found.contains_key(&key(7)));
    assert_eq!(found[&key(8)], b"new");
    assert_eq!(found[&key(9)], 9u32.to_be_bytes());
}
