use super::*;
use ic_stable_structures::VectorMemory;

fn memories() -> (VectorMemory, VectorMemory) {
    (VectorMemory::default(), VectorMemory::default())
}

fn open(memories: &(VectorMemory, VectorMemory)) -> SimpleStore<VectorMemory> {
    SimpleStore::open(memories.0.clone(), memories.1.clone())
}

#[test]
fn everything_survives_reopening() {
    let memories = memories();
    let version = open(&memories).put(KeyHash(7), b"key", b"value", 100);
    let store = open(&memories);
    assert_eq!(store.get(KeyHash(7), b"key"), Some((version, b"value".to_vec())));
    assert_eq!((store.len(), store.record_bytes(), store.last_version()), (1, 8, Version(100)));
}

#[test]
fn versions_grow_across_deletes_and_a_clock_that_stands_still() {
    let mut store = open(&memories());
    let first = store.put(KeyHash(1), b"a", b"1", 50);
    let second = store.put(KeyHash(1), b"a", b"2", 50);
    assert_eq!(store.delete(KeyHash(1), b"a", 50), Some(second));
    let third = store.put(KeyHash(1), b"a", b"3", 10);
    assert!(first < second && second < third, "{first:?} {second:?} {third:?}");
}

#[test]
fn delete_of_nothing_changes_nothing() {
    let mut store = open(&memories());
    assert_eq!(store.delete(KeyHash(1), b"a", 50), None);
    assert_eq!(store.last_version(), Version(0));
}

#[test]
fn keys_with_the_same_hash_are_told_apart() {
    let mut store = open(&memories());
    store.put(KeyHash(1), b"a", b"1", 1);
    store.put(KeyHash(1), b"b", b"2", 1);
    assert_eq!(store.get(KeyHash(1), b"a").unwrap().1, b"1");
    assert_eq!(store.get(KeyHash(1), b"b").unwrap().1, b"2");
    assert_eq!(store.get(KeyHash(2), b"a"), None);
}

#[test]
fn bytes_follow_every_change() {
    let mut store = open(&memories());
    store.put(KeyHash(1), b"ab", &[0; 1000], 1);
    assert_eq!(store.record_bytes(), 1002);
    store.put(KeyHash(1), b"ab", b"", 2);
    assert_eq!(store.record_bytes(), 2);
    store.delete(KeyHash(1), b"ab", 3);
    assert_eq!((store.record_bytes(), store.len()), (0, 0));
}
