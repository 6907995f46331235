//! Golden memory images: the layout on stable memory must not change unnoticed.
//!
//! `CANOPY_UPDATE_GOLDEN=1 cargo test --release -p canopy-shard golden` writes the image anew; a changed image needs a
//! new `LAYOUT_VERSION` once a version was released.

use ic_stable_structures::Memory;

use super::memory::TestMemory;
use super::{MINUTE, NOON, SMALL, key_bytes, key_ref, operation};
use crate::store::{Budget, Delete, KeyRef, Kind, Outcome, Precondition, Put, Store};

const IMAGE: &str = include_str!("golden/layout_1.txt");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/tests/golden/layout_1.txt");
const LINE_BYTES: usize = 32;
const PAGE_BYTES: usize = 4_096;

/// A store with a bit of everything: slots and runs, receipts staged and not, expiry, tombstone, ghost, free runs, a dead
/// entry of the index.
fn example() -> TestMemory {
    let memory = TestMemory::default();
    let mut store = Store::create(memory.clone(), SMALL).unwrap();
    store.advance_time(NOON);
    store.set_metadata(b"range and secret").unwrap();
    let mut operations = 0;
    let mut write = |store: &mut Store<TestMemory>, number: u64, length: usize, expires_at: Option<u64>| {
        operations += 1;
        let bytes = key_bytes(number);
        let operation = Some(operation(operations, NOON - 1_000 * operations));
        let value = vec![number as u8; length];
        let precondition = Precondition::None;
        let key = key_ref(number, &bytes);
        store.put(&Put { key, kind: Kind::Value, value: &value, expires_at, precondition, operation }).unwrap();
    };
    for number in 0..12 {
        write(&mut store, number, 20 + number as usize, None);
    }
    for number in 0..3 {
        write(&mut store, number, 1_500, Some(NOON + 90 * MINUTE));
        write(&mut store, 20 + number, 9_000, None);
    }
    for _ in 0..20 {
        write(&mut store, 3, 23, None);
    }
    for (number, keep_tombstone) in [(4, true), (5, false), (21, false)] {
        let bytes = key_bytes(number);
        let (key, precondition) = (key_ref(number, &bytes), Precondition::Present);
        let operation = Some(operation(1_000 + number, NOON));
        store.delete(&Delete { key, precondition, operation, keep_tombstone }).unwrap();
    }
    let bytes = key_bytes(30);
    let (key, precondition) = (key_ref(30, &bytes), Precondition::None);
    let put = Put { key, kind: Kind::Value, value: b"gone", expires_at: None, precondition, operation: None };
    store.put(&put).unwrap();
    store.delete(&Delete { key, precondition, operation: None, keep_tombstone: false }).unwrap();
    memory
}

fn print(memory: &TestMemory) -> String {
    let mut text =
        format!("memory of {} KiB; lines of 32 bytes that aren't all zero, by page and offset\n", memory.size() * 64);
    for (page, bytes) in memory.image() {
        for (at, line) in bytes.chunks(LINE_BYTES).enumerate() {
            if line.iter().any(|&byte| byte != 0) {
                let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
                text += &format!("{page} {:04x} {hex}\n", at * LINE_BYTES);
            }
        }
    }
    text
}

fn load(text: &str) -> TestMemory {
    let memory = TestMemory::default();
    let mut lines = text.lines();
    let kibibytes: u64 = lines.next().unwrap().split(' ').nth(2).unwrap().parse().unwrap();
    memory.grow(kibibytes / 64);
    for line in lines {
        let [page, at, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes: Vec<u8> =
            (0..LINE_BYTES).map(|byte| u8::from_str_radix(&hex[byte * 2..byte * 2 + 2], 16).unwrap()).collect();
        let at = usize::from_str_radix(at, 16).unwrap();
        memory.write((page.parse::<usize>().unwrap() * PAGE_BYTES + at) as u64, &bytes);
    }
    memory
}

#[test]
fn golden_image_is_what_is_written_today() {
    let text = print(&example());
    if std::env::var_os("CANOPY_UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, &text).unwrap();
        return;
    }
    for (written, golden) in text.lines().zip(IMAGE.lines()) {
        assert_eq!(written, golden);
    }
    assert_eq!(text.len(), IMAGE.len());
}

#[test]
fn golden_image_is_opened_and_understood() {
    let mut store = Store::open(load(IMAGE), SMALL).unwrap();
    store.check_invariants().unwrap();
    assert_eq!(store.metadata(), b"range and secret");
    let statistics = store.statistics();
    assert_eq!((statistics.records, statistics.tombstones, statistics.expiring), (12, 1, 3));
    let mut value = Vec::new();
    let bytes = key_bytes(22);
    store.get(&key_ref(22, &bytes), &mut value).unwrap();
    assert_eq!(value, [22; 9_000]);
    let bytes = key_bytes(5);
    let deleted: KeyRef = key_ref(5, &bytes);
    assert!(matches!(store.find_receipt(&deleted, &operation(1_005, NOON)), Some(Outcome::Deleted { .. })));
    store.advance_time(NOON + 100 * MINUTE);
    let swept = store.sweep(Budget { instructions: u64::MAX, bytes: 0, pages: u64::MAX });
    assert_eq!((swept.records, swept.receipts), (3, statistics.receipts));
    store.check_invariants().unwrap();
}
