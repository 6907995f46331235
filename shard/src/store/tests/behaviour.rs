//! What the store promises, case by case.

use super::memory::TestMemory;
use super::{MILLISECOND, MINUTE, NOON, SMALL, key_bytes, key_ref, maintain, new_store, operation, put};
use crate::store::layout::{KEY_BYTES_MAX, METADATA_BYTES_MAX, RECEIPTS_PER_KEY_MAX, VALUE_BYTES_MAX};
use crate::store::{
    Answer, Budget, Delete, Growth, Import, Imported, KeyRef, Kind, OpenError, Operation, Options, Outcome,
    Precondition, Put, Receipt, Store, Swept, WriteError,
};

const UNLIMITED: Budget = Budget { instructions: u64::MAX, bytes: u64::MAX, pages: u64::MAX };

fn delete<'a>(key: KeyRef<'a>, operation: Option<Operation>) -> Delete<'a> {
    Delete { key, precondition: Precondition::None, operation, keep_tombstone: false }
}

fn version_of(answer: Result<Answer, WriteError>) -> u64 {
    match answer.unwrap().outcome {
        Outcome::Written { version } | Outcome::Deleted { version } => version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn get_finds_what_was_put_and_nothing_else() {
    let (mut store, _) = new_store(SMALL);
    let (one, two) = (key_bytes(1), key_bytes(2));
    let version = version_of(store.put(&put(key_ref(1, &one), b"value", Some(operation(1, NOON)))));
    let mut value = Vec::new();
    let found = store.get(&key_ref(1, &one), &mut value).unwrap();
    assert_eq!((found.version, found.kind, found.expires_at, found.value_bytes), (version, Kind::Value, None, 5));
    assert_eq!(value, b"value");
    assert_eq!(store.get(&key_ref(2, &two), &mut value), None);
    let other_space = KeyRef { space: 1, ..key_ref(1, &one) };
    assert_eq!(store.head(&other_space), None);
}

#[test]
fn same_operation_is_answered_from_its_receipt() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let first = store.put(&put(key, b"first", Some(operation(1, NOON)))).unwrap();
    assert_eq!(store.put(&put(key, b"first", Some(operation(1, NOON)))), Ok(Answer { replayed: true, ..first }));
    store.put(&put(key, b"second", Some(operation(2, NOON)))).unwrap();
    store.delete(&delete(key, Some(operation(3, NOON)))).unwrap();
    // Displaced, and the record is gone: still known.
    assert_eq!(store.put(&put(key, b"first", Some(operation(1, NOON)))), Ok(Answer { replayed: true, ..first }));
    assert_eq!(store.find_receipt(&key, &operation(1, NOON)), Some(first.outcome));
    assert!(store.delete(&delete(key, Some(operation(3, NOON)))).unwrap().replayed);
    assert_eq!(store.head(&key), None);
}

#[test]
fn same_identity_with_other_arguments_is_refused() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let operation = operation(1, NOON);
    store.put(&put(key, b"first", Some(operation))).unwrap();
    let other = Operation { arguments: operation.arguments + 1, ..operation };
    assert_eq!(store.put(&put(key, b"second", Some(other))), Err(WriteError::OperationReused));
}

#[test]
fn refusal_is_an_outcome_with_a_receipt() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let refused = Put { precondition: Precondition::Present, ..put(key, b"x", Some(operation(1, NOON))) };
    let answer = store.put(&refused).unwrap();
    assert_eq!(answer, Answer { outcome: Outcome::Refused { current: None }, replayed: false });
    store.put(&put(key, b"x", Some(operation(2, NOON)))).unwrap();
    // The record is there now, but the first attempt's outcome stands.
    assert_eq!(store.put(&refused).unwrap(), Answer { replayed: true, ..answer });
    store.check_invariants().unwrap();
}

#[test]
fn operations_are_admitted_exactly_as_long_as_receipts_are_kept() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let first = put(key, b"x", Some(operation(1, NOON)));
    store.put(&first).unwrap();
    store.put(&put(key, b"y", Some(operation(2, NOON + MILLISECOND / 2)))).unwrap();
    store.advance_time(NOON + 15 * MINUTE - 1);
    assert!(store.put(&first).unwrap().replayed);
    store.advance_time(NOON + 15 * MINUTE);
    assert_eq!(store.put(&first), Err(WriteError::OperationTooOld { oldest: NOON }));
    // Rounded up to a millisecond, at admission and in the receipt.
    assert!(store.put(&put(key, b"y", Some(operation(2, NOON + MILLISECOND / 2)))).unwrap().replayed);
    let ahead = NOON + 16 * MINUTE;
    assert!(store.put(&put(key, b"z", Some(operation(3, ahead)))).is_ok());
    let newest = WriteError::OperationTooNew { newest: ahead };
    assert_eq!(store.put(&put(key, b"z", Some(operation(4, ahead + 1)))), Err(newest));
}

#[test]
fn versions_grow_across_deletes_and_a_clock_that_stands() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let mut last = 0;
    for number in 0..50 {
        let version = version_of(store.put(&put(key, b"x", None)));
        assert!(version > last && version >= NOON);
        last = version;
        if number % 3 == 0 {
            assert_eq!(version_of(store.delete(&delete(key, None))), last, "a delete names what it deleted");
        }
    }
    assert_eq!(store.advance_time(NOON - 5), NOON);
    store.observe(NOON + 9, last + 100);
    let other = key_bytes(2);
    assert!(version_of(store.put(&put(key_ref(2, &other), b"x", None))) > last + 100);
}

#[test]
fn expired_record_reads_as_absent_before_it_is_swept() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let expiring = Put { expires_at: Some(NOON + MINUTE), ..put(key, b"x", Some(operation(1, NOON))) };
    let version = version_of(store.put(&expiring));
    store.advance_time(NOON + MINUTE - 1);
    assert_eq!(store.head(&key).unwrap().expires_at, Some(NOON + MINUTE));
    store.advance_time(NOON + MINUTE);
    assert_eq!(store.head(&key), None);
    assert_eq!(store.delete(&delete(key, None)).unwrap().outcome, Outcome::Absent);
    assert_eq!(store.sweep(UNLIMITED), Swept { records: 1, receipts: 0, done: true });
    assert_eq!((store.statistics().records, store.statistics().expiring), (0, 0));
    // Its receipt outlives it.
    assert_eq!(store.find_receipt(&key, &operation(1, NOON)), Some(Outcome::Written { version }));
    store.check_invariants().unwrap();
}

#[test]
fn sizes_are_bounded_and_largest_record_fits() {
    let (mut store, _) = new_store(Options { growth_bytes: 8 << 20, ..SMALL });
    let bytes = vec![1; KEY_BYTES_MAX + 1];
    let value = vec![2; VALUE_BYTES_MAX + 1];
    let key = KeyRef { hash: 1, tag: 2, space: 0, bytes: &bytes };
    assert!(matches!(store.put(&put(key, b"", None)), Err(WriteError::KeyTooLong { .. })));
    let key = KeyRef { bytes: &bytes[1..], ..key };
    assert!(matches!(store.put(&put(key, &value, None)), Err(WriteError::ValueTooLong { .. })));
    store.put(&put(key, &value[1..], None)).unwrap();
    let mut read = Vec::new();
    store.get(&key, &mut read).unwrap();
    assert!(read == value[1..]);
    let empty = KeyRef { bytes: &[], ..key };
    store.put(&put(empty, &[], None)).unwrap();
    assert_eq!(store.head(&empty).unwrap().value_bytes, 0);
    store.check_invariants().unwrap();
}

#[test]
fn hot_key_has_bounded_receipts_and_neighbours_are_not_affected() {
    let (mut store, _) = new_store(Options { growth_bytes: 64 << 20, ..SMALL });
    let (hot, cold) = (key_bytes(1), key_bytes(2));
    let key = key_ref(1, &hot);
    let limit = u64::from(RECEIPTS_PER_KEY_MAX);
    for number in 0..=limit {
        store.put(&put(key, b"x", Some(operation(number, NOON)))).unwrap();
    }
    let full = WriteError::TooManyReceipts { receipts_max: limit };
    assert_eq!(store.put(&put(key, b"x", Some(operation(limit + 1, NOON)))), Err(full));
    assert_eq!(store.delete(&delete(key, None)), Err(full));
    let neighbour = KeyRef { hash: key.hash, ..key_ref(2, &cold) };
    store.put(&put(neighbour, b"x", Some(operation(limit + 2, NOON)))).unwrap();
    assert!(store.put(&put(key, b"x", Some(operation(7, NOON)))).unwrap().replayed);
    store.check_invariants().unwrap();
    store.advance_time(NOON + 16 * MINUTE);
    assert_eq!(store.sweep(UNLIMITED).receipts, limit);
    store.put(&put(key, b"x", Some(operation(limit + 1, NOON + 16 * MINUTE)))).unwrap();
    assert_eq!(store.statistics().receipt_bytes, 0);
    store.check_invariants().unwrap();
}

#[test]
fn late_sweep_finds_receipts_of_all_minutes() {
    let (mut store, memory) = new_store(Options { growth_bytes: 4 << 20, ..SMALL });
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    // A write every 20 seconds for three hours, none swept: lists of over 32 minutes make room for one another.
    let mut now = NOON;
    for number in 0..540 {
        now = store.advance_time(now + MINUTE / 3);
        store.put(&put(key, b"x", Some(operation(number, now)))).unwrap();
    }
    store.check_invariants().unwrap();
    assert_eq!(store.statistics().receipts, 539);
    let mut store = Store::open(memory, SMALL).unwrap();
    let mut receipts = 0;
    loop {
        let swept = store.sweep(Budget { instructions: 30_000, ..UNLIMITED });
        receipts += swept.receipts;
        if swept.done {
            break;
        }
        store.check_invariants().unwrap();
    }
    // Those of the last 15 minutes and of minutes that reach into them stay.
    assert!((490..=494).contains(&receipts), "{receipts}");
    assert!(store.put(&put(key, b"x", Some(operation(530, now - 3 * MINUTE)))).unwrap().replayed);
}

#[test]
fn put_waits_for_growth_and_then_for_nothing() {
    let memory = TestMemory::limited(48);
    let mut store = Store::create(memory.clone(), SMALL).unwrap();
    store.advance_time(NOON);
    let value = [1; 4_000];
    let mut number = 0;
    let mut fill = |store: &mut Store<TestMemory>| loop {
        number += 1;
        let bytes = key_bytes(number);
        if let Err(error) = store.put(&put(key_ref(number, &bytes), &value, Some(operation(number, NOON)))) {
            return (number, error);
        }
    };
    let (one, error) = fill(&mut store);
    assert_eq!(error, WriteError::GrowthPending);
    assert!(matches!(store.maintain(), Growth::Grown { .. }));
    let (two, error) = fill(&mut store);
    assert!(two > one + 10 && error == WriteError::GrowthPending);
    assert!(matches!(store.maintain(), Growth::Grown { .. }));
    assert_eq!(store.maintain(), Growth::Enough);
    assert_eq!(fill(&mut store).1, WriteError::GrowthPending);
    assert_eq!(store.maintain(), Growth::Failed);
    let (three, error) = fill(&mut store);
    assert_eq!(error, WriteError::OutOfSpace);
    assert!(store.statistics().growth_failed);
    // The reserve is for deletes and imports.
    let bytes = key_bytes(three);
    let import = Import {
        key: key_ref(three, &bytes),
        kind: Kind::Value,
        value: &value,
        version: NOON,
        expires_at: None,
        receipt: None,
    };
    assert_eq!(store.import_record(&import), Ok(Imported::Applied));
    for number in 1..150 {
        let bytes = key_bytes(number);
        store.delete(&delete(key_ref(number, &bytes), Some(operation(number + 1_000_000, NOON)))).unwrap();
    }
    assert!(store.put(&put(key_ref(1, &key_bytes(1)), &value, None)).is_ok());
    memory.set_limit(None);
    assert!(matches!(store.maintain(), Growth::Grown { .. }));
    assert!(!store.statistics().growth_failed);
    store.check_invariants().unwrap();
}

#[test]
fn failed_growth_that_was_rolled_back_is_noted() {
    let (mut store, _) = new_store(SMALL);
    store.note_growth_failed();
    assert!(store.statistics().growth_failed);
    maintain(&mut store);
    assert!(!store.statistics().growth_failed);
}

#[test]
fn runs_do_not_cross_segments_and_are_merged_when_freed() {
    let (mut store, memory) = new_store(Options { growth_bytes: 64 << 20, ..SMALL });
    let value = vec![9; 1 << 20];
    for number in 0..150 {
        if store.statistics().untouched_bytes < 4 << 20 {
            store.maintain();
        }
        let bytes = key_bytes(number);
        store.put(&put(key_ref(number, &bytes), &value, None)).unwrap();
    }
    assert!(store.statistics().capacity_bytes >= 192 << 20);
    store.check_invariants().unwrap();
    for number in (0..150).step_by(2).chain((1..150).step_by(2)) {
        let bytes = key_bytes(number);
        store.delete(&delete(key_ref(number, &bytes), None)).unwrap();
    }
    store.check_invariants().unwrap();
    let statistics = store.statistics();
    assert_eq!(statistics.live_bytes + statistics.slack_bytes + statistics.free_slot_bytes, 0);
    let mut store = Store::open(memory, SMALL).unwrap();
    let bytes = key_bytes(1);
    store.put(&put(key_ref(1, &bytes), &value, None)).unwrap();
    store.check_invariants().unwrap();
}

#[test]
fn equal_tags_are_told_apart_by_their_keys_and_bounded() {
    let (mut store, _) = new_store(SMALL);
    let keys: Vec<[u8; 2]> = (0..=32).map(|number| [number, 1]).collect();
    let equal = |at: usize| KeyRef { hash: 5, tag: 5, space: 0, bytes: &keys[at] };
    for at in 0..32 {
        store.put(&put(equal(at), &[at as u8], Some(operation(at as u64, NOON)))).unwrap();
    }
    assert!(matches!(store.put(&put(equal(32), b"", None)), Err(WriteError::TooManyEqualTags { .. })));
    for at in 0..32 {
        let mut value = Vec::new();
        store.get(&equal(at), &mut value).unwrap();
        assert_eq!(value, [at as u8]);
    }
    store.delete(&delete(equal(3), Some(operation(100, NOON)))).unwrap();
    assert_eq!(store.head(&equal(3)), None);
    assert_eq!(store.statistics().records, 31);
    store.check_invariants().unwrap();
}

#[test]
fn key_longer_than_the_last_slot_is_compared_within_the_memory() {
    let options = Options { growth_bytes: 1 << 20, reserve_pages: 0, cached_nodes_max: 8 };
    let memory = TestMemory::limited(16);
    let mut store = Store::create(memory, options).unwrap();
    // Records of the smallest slots, so that one lies at the very end of the memory.
    let mut number = 0u64;
    loop {
        let bytes = number.to_le_bytes();
        let key = KeyRef { hash: number << 40, tag: 1, space: 0, bytes: &bytes };
        if store.put(&put(key, &[], None)).is_err() {
            break;
        }
        number += 1;
    }
    store.note_growth_failed();
    for other in 0..number {
        let key = KeyRef { hash: other << 40, tag: 1, space: 0, bytes: &[7; 64] };
        assert_eq!(store.head(&key), None);
    }
}

#[test]
fn import_takes_only_what_is_newer() {
    let (mut store, _) = new_store(SMALL);
    let bytes = key_bytes(1);
    let key = key_ref(1, &bytes);
    let version = version_of(store.put(&put(key, b"here", Some(operation(1, NOON)))));
    let import = |version, kind| Import { key, kind, value: b"there", version, expires_at: None, receipt: None };
    assert_eq!(store.import_record(&import(version, Kind::Value)), Ok(Imported::Stale));
    assert_eq!(store.import_record(&import(version - 1, Kind::Tombstone)), Ok(Imported::Stale));
    let tombstone = Import { value: b"", ..import(version + 5, Kind::Tombstone) };
    assert_eq!(store.import_record(&tombstone), Ok(Imported::Applied));
    assert_eq!(store.head(&key), None);
    assert_eq!(store.import_record(&import(version + 4, Kind::Value)), Ok(Imported::Stale));
    // The receipt of the write that the tombstone replaced is kept.
    assert!(store.put(&put(key, b"here", Some(operation(1, NOON)))).unwrap().replayed);
    let receipt = Receipt { operation: operation(2, NOON), outcome: Outcome::Absent };
    assert_eq!(store.import_receipt(&key, &receipt), Ok(Imported::Applied));
    assert_eq!(store.import_receipt(&key, &receipt), Ok(Imported::Stale));
    assert_eq!(store.find_receipt(&key, &receipt.operation), Some(Outcome::Absent));
    store.drop_tombstones(None, UNLIMITED);
    assert_eq!(store.statistics().tombstones, 0);
    assert!(version_of(store.put(&put(key, b"again", None))) > version + 5);
    store.check_invariants().unwrap();
}

#[test]
fn metadata_is_kept_beside_the_records() {
    let (mut store, memory) = new_store(SMALL);
    assert_eq!(store.metadata(), b"");
    store.set_metadata(&vec![5; METADATA_BYTES_MAX]).unwrap();
    assert_eq!(store.set_metadata(&vec![5; METADATA_BYTES_MAX + 1]), Err(METADATA_BYTES_MAX + 1));
    store.check_invariants().unwrap();
    store.set_metadata(b"range").unwrap();
    assert_eq!(Store::open(memory, SMALL).unwrap().metadata(), b"range");
}

#[test]
fn foreign_memories_are_not_opened() {
    let open = |memory: &TestMemory| Store::open(memory.clone(), SMALL).err();
    let memory = TestMemory::default();
    assert_eq!(open(&memory), Some(OpenError::NoStore));
    let (_, used) = new_store(SMALL);
    assert_eq!(Store::create(used.clone(), SMALL).err(), Some(OpenError::Exists));
    use ic_stable_structures::Memory;
    used.write(8, &9u32.to_le_bytes());
    assert_eq!(open(&used), Some(OpenError::LayoutVersion { found: 9, supported: 1 }));
    memory.grow(1);
    assert_eq!(open(&memory), Some(OpenError::NoStore));
    assert_eq!(Store::create(memory, SMALL).err(), Some(OpenError::NoStore));
    let full = Store::create(TestMemory::limited(1), SMALL).err();
    assert_eq!(full, Some(OpenError::OutOfSpace { bytes: 1 << 20 }));
}
