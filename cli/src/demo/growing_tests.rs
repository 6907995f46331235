use canopy_types::status::{JournalStatus, ShardStage};
use canopy_types::transfer::{TransferPhase, TransferProgress};
use canopy_types::{Epoch, ShardIndex};

use super::*;

fn status() -> Status {
    let shard = |index, range| ShardStatus {
        index: ShardIndex(index),
        canister: None,
        range,
        epoch: Epoch::FIRST,
        stage: ShardStage::Open,
    };
    let part = |at| HashRange::FULL.part(at, 2).expect("there are two halves");
    let progress = TransferProgress {
        phase: TransferPhase::Copying,
        items: 1_234,
        bytes: 5,
        changes: 0,
        failed_attempts: 0,
        last_failure: None,
        cycles: None,
    };
    let transfer = TransferStatus {
        id: TransferId([1; 16]),
        source: ShardIndex(1),
        target: ShardIndex(2),
        range: HashRange::FULL.part(3, 4).expect("there are four quarters"),
        epoch: Epoch(2),
        stage: TransferStage::Moving,
        progress: Some(progress),
        begun_at_nanoseconds: 1,
        ended_at_nanoseconds: None,
        failed_attempts: 0,
        last_failure: None,
        funding: None,
    };
    Status {
        ready: true,
        code_version: String::new(),
        layout_version: 2,
        shards: vec![shard(0, part(0)), shard(1, part(1)), shard(2, HashRange::EMPTY)],
        journal: JournalStatus {
            step: None,
            waiting_for_answer: false,
            failed_attempts: 0,
            retry_at_nanoseconds: None,
            last_failure: None,
        },
        alarms: vec![],
        cycles: 1u8.into(),
        liquid_cycles: 1u8.into(),
        open_calls: 0,
        administrators: vec![],
        roles: None,
        transfers: Some(vec![transfer]),
        growth: None,
    }
}

#[test]
fn the_picture_shows_owners_and_what_moves() {
    let drawn = picture(&status());
    let map = format!("[{}{}{}] 2 shards, 1 more", "0".repeat(32), "1".repeat(16), "*".repeat(16));
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!(lines[0], map);
    assert_eq!(lines[1], "1 -> 2  c000000000000000..=ffffffffffffffff  Copying, 1,234 sent");
}

#[test]
fn what_has_moved_is_told_once() {
    let mut status = status();
    let mut growing = Growing::default();
    assert_eq!(growing.news(&status), Vec::<String>::new());
    assert!(moves(&status));
    status.transfers.as_mut().expect("there is one")[0].stage = TransferStage::Ended(TransferEnd::Done);
    assert_eq!(growing.news(&status), ["shard 2 owns c000000000000000..=ffffffffffffffff"]);
    assert_eq!((growing.news(&status), growing.splits()), (vec![], 1));
    assert!(!moves(&status));
}
