use canopy_types::policy::Policy;

use super::*;
use crate::readings::tests::{SECOND, reading};

const NOW: u64 = 1_700_000_000 * SECOND;

fn shard(index: u32) -> ShardStatus {
    ShardStatus {
        index: ShardIndex(index),
        canister: Some(Principal::from_slice(&[index as u8])),
        range: HashRange::FULL,
        epoch: Epoch::FIRST,
        stage: ShardStage::Open,
    }
}

fn canister(index: u32) -> Principal {
    shard(index).canister.expect("it was made")
}

#[test]
fn what_was_said_of_another_range_is_forgotten() {
    let mut watching = Watching::default();
    watching.note(canister(0), Epoch(1), NOW, reading(5));
    watching.note(canister(0), Epoch(1), NOW + 60 * SECOND, reading(6));
    assert_eq!(watching.readings[&canister(0)].newest().reading, reading(6));
    watching.note(canister(0), Epoch(2), NOW + 61 * SECOND, reading(3));
    assert_eq!(
        watching.readings[&canister(0)],
        Readings::new(Epoch(2), Taken { at: NOW + 61 * SECOND, reading: reading(3) })
    );
    watching.observe(&[shard(1)], NOW);
    assert!(watching.readings.is_empty());
}

#[test]
fn reserved_cycles_are_asked_for_once_in_two_minutes_while_a_shard_gets_no_memory() {
    let mut watching = Watching::default();
    let full = ShardReading { out_of_space: true, ..reading(5) };
    watching.note(canister(0), Epoch(1), NOW, full);
    watching.note(canister(1), Epoch(1), NOW, reading(5));
    let shards = [shard(0), shard(1)];
    assert_eq!(watching.observe(&shards, NOW), [(ShardIndex(0), canister(0))]);
    assert_eq!((watching.open(), watching.observe(&shards, NOW + 300 * SECOND)), (1, vec![]));
    watching.reservations.insert(ShardIndex(0), Asked { at: NOW, is_open: false, found: Some(Reservation::NONE) });
    assert_eq!(watching.observe(&shards, NOW + 119 * SECOND), []);
    assert_eq!(watching.observe(&shards, NOW + 120 * SECOND), [(ShardIndex(0), canister(0))]);
    watching.reservations.insert(ShardIndex(0), Asked { at: NOW, is_open: false, found: Some(Reservation::NONE) });
    watching.note(canister(0), Epoch(1), NOW + 121 * SECOND, reading(5));
    watching.observe(&shards, NOW + 122 * SECOND);
    assert!(watching.reservations.is_empty());
}

#[test]
fn a_shard_whose_range_changed_is_asked_soon_and_a_spare_when_its_word_is_due() {
    let thresholds = Thresholds::of(&Policy::default());
    let mut watching = Watching::default();
    assert_eq!(watching.next_at(&shard(0), &thresholds, false), None);
    watching.note(canister(0), Epoch(1), NOW, reading(5));
    assert_eq!(watching.next_at(&shard(0), &thresholds, false), Some(NOW + 120 * SECOND));
    let changed = ShardStatus { epoch: Epoch(2), ..shard(0) };
    assert_eq!(watching.next_at(&changed, &thresholds, false), Some(NOW + 5 * SECOND));
    let spare = ShardStatus { range: HashRange::EMPTY, ..shard(0) };
    assert_eq!(watching.next_at(&spare, &thresholds, false), None);
}

#[test]
fn a_shard_is_wiped_when_nobody_needs_its_word_any_more() {
    let shards = [shard(0), shard(1), shard(2)];
    let with = |peer: Option<u32>| ShardReading { in_transfer_with: peer.map(canister), ..reading(5) };
    let said = |readings: [(u64, Option<u32>); 3]| {
        let mut watching = Watching::default();
        for (index, (seconds, peer)) in (0..).zip(readings) {
            watching.note(canister(index), Epoch(1), NOW + seconds * SECOND, with(peer));
        }
        watching.is_forgotten(canister(0), NOW, &shards)
    };
    assert!(said([(1, None), (1, None), (1, None)]));
    assert!(said([(1, None), (1, Some(2)), (1, Some(1))]), "they are at something else");
    assert!(!said([(1, None), (1, Some(0)), (1, None)]), "it waits for the shard's word");
    assert!(!said([(1, Some(1)), (1, None), (1, None)]));
    assert!(!said([(1, None), (0, None), (1, None)]), "it may have begun to wait after that");
    assert!(!Watching::default().is_forgotten(canister(0), NOW, &shards));
}
