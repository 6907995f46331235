use candid::Nat;
use canopy_types::status::{JournalStatus, ShardStage, ShardStatus};
use canopy_types::{Epoch, HashRange, ShardIndex};

use super::*;

fn principal(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn set(numbers: &[u8]) -> BTreeSet<Principal> {
    numbers.iter().map(|number| principal(*number)).collect()
}

/// A router with these shards, at `step`, with these alarms.
fn status(shards: &[u8], step: Option<Step>, alarms: Vec<Alarm>) -> Status {
    let shards = shards
        .iter()
        .enumerate()
        .map(|(index, number)| ShardStatus {
            index: ShardIndex(index as u32),
            canister: Some(principal(*number)),
            range: HashRange::FULL,
            epoch: Epoch::FIRST,
            stage: ShardStage::Created,
        })
        .collect();
    Status {
        ready: false,
        code_version: String::new(),
        layout_version: 1,
        shards,
        journal: JournalStatus {
            step,
            waiting_for_answer: false,
            failed_attempts: 0,
            retry_at_nanoseconds: None,
            last_failure: None,
        },
        alarms,
        cycles: Nat::from(0_u8),
        liquid_cycles: Nat::from(0_u8),
        open_calls: 0,
        administrators: Vec::new(),
        roles: None,
        growth: None,
        transfers: None,
    }
}

fn lost(shard: u32) -> Alarm {
    Alarm::CreationAnswerLost { shard: ShardIndex(shard), asked_at_nanoseconds: 0 }
}

#[test]
fn shards_that_the_router_knows_are_accepted() {
    assert_eq!(check(&set(&[1, 2, 9]), &set(&[9]), &status(&[1, 2], None, Vec::new())), Ok(()));
}

#[test]
fn a_canister_that_nobody_knows_is_refused() {
    let found = check(&set(&[1, 2, 3, 9]), &set(&[9]), &status(&[1, 2], None, Vec::new()));
    assert_eq!(found, Err(Fault::Leaked { canisters: vec![principal(3)], explained: 0 }));
}

#[test]
fn a_creation_under_way_explains_one_canister_only() {
    let creating = status(&[1], Some(Step::CreateShard(ShardIndex(1))), Vec::new());
    assert_eq!(check(&set(&[1, 2, 9]), &set(&[9]), &creating), Ok(()));
    assert!(matches!(check(&set(&[1, 2, 3, 9]), &set(&[9]), &creating), Err(Fault::Leaked { .. })));
}

#[test]
fn an_alarm_explains_one_canister_and_only_once() {
    let alarm = status(&[1], Some(Step::CreateShard(ShardIndex(1))), vec![lost(1)]);
    assert_eq!(check(&set(&[1, 2, 9]), &set(&[9]), &alarm), Ok(()));
    assert!(matches!(check(&set(&[1, 2, 3, 9]), &set(&[9]), &alarm), Err(Fault::Leaked { .. })));
    assert_eq!(check(&set(&[1, 2, 3, 9]), &set(&[3, 9]), &alarm), Ok(()));
}

#[test]
fn another_alarm_explains_nothing() {
    let alarm = Alarm::CyclesShort { available: Nat::from(0_u8), required: Nat::from(1_u8) };
    let found = check(&set(&[1, 2, 9]), &set(&[9]), &status(&[1], None, vec![alarm]));
    assert!(matches!(found, Err(Fault::Leaked { .. })));
}

#[test]
fn two_shards_in_one_canister_are_refused() {
    let found = check(&set(&[1, 9]), &set(&[9]), &status(&[1, 1], None, Vec::new()));
    assert_eq!(found, Err(Fault::Shared { canister: principal(1) }));
    let found = check(&set(&[9]), &set(&[9]), &status(&[9], None, Vec::new()));
    assert_eq!(found, Err(Fault::Shared { canister: principal(9) }));
}

#[test]
fn a_shard_without_canister_is_refused() {
    let found = check(&set(&[9]), &set(&[9]), &status(&[1], None, Vec::new()));
    assert_eq!(found, Err(Fault::Missing { canister: principal(1) }));
}
