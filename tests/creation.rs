//! Failed and lost creations and installations of shards.

use std::collections::BTreeSet;

use candid::Principal;
use canopy_types::ShardIndex;
use canopy_types::api::{Resolution, ResolveAlarmArguments, ResolveAlarmError};
use canopy_types::limits::SHARD_CYCLES_MIN;
use canopy_types::policy::SetPolicyArguments;
use canopy_types::status::{Alarm, ShardStage, Status, Step};
use canopy_types::transfer::{TransferEnd, TransferStage};
use ic_management_canister_types::{CanisterInstallMode, UpgradeFlags};
use pocket_ic::ErrorCode;

use crate::cluster::{CREATION_FEE_CYCLES, Cluster, Pace, T, cycles_of, no_arguments};
use crate::people::{administrator, owner, reader, writer};
use crate::split::{FIRST, split, stage, stop, wait_for_end};

/// The smallest module: nothing in it.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Rounds in which a start is through.
const START_ROUNDS_MAX: usize = 1_000;

#[test]
fn a_router_short_of_cycles_raises_an_alarm_and_goes_on_when_it_is_topped_up() {
    const STEP_CYCLES: u128 = T / 20;
    const TOP_UP_CYCLES: u128 = 5 * T;
    let price = CREATION_FEE_CYCLES + SHARD_CYCLES_MIN;
    let mut stages_with_alarm = BTreeSet::new();
    let mut ready_at_once = 0;
    // From a router that can't pay for its shard to one that can do everything.
    for step in 0..14 {
        let given = price - STEP_CYCLES + step * STEP_CYCLES;
        let cluster = Cluster::builder().initial_shards(1).shard_cycles(SHARD_CYCLES_MIN).cycles(given).deploy();
        let is_short = |alarm: &Alarm| matches!(alarm, Alarm::CyclesShort { .. });
        let settled = |status: &Status| status.ready || status.alarms.iter().any(is_short);
        let status = cluster.wait("ready or short of cycles", Pace::BRISK, settled);
        for alarm in &status.alarms {
            let Alarm::CyclesShort { available, required } = alarm else { panic!("{alarm:?}") };
            assert!(cycles_of(available) < cycles_of(required), "{alarm:?}");
        }
        match status.ready {
            true => ready_at_once += 1,
            false => {
                stages_with_alarm.insert(status.shards[0].stage);
            }
        }
        cluster.pic.add_cycles(cluster.router, TOP_UP_CYCLES);
        let status = cluster.wait("ready", Pace::MINUTES, |status| status.ready);
        assert_eq!(status.alarms, vec![], "the alarm ends with its cause");
        cluster.check_nothing_leaked(given + TOP_UP_CYCLES, 1, SHARD_CYCLES_MIN);
        cluster.store(b"key", b"value");
    }
    assert!(stages_with_alarm.contains(&ShardStage::Planned), "{stages_with_alarm:?}");
    assert!(ready_at_once > 0, "no step was enough");
}

/// Has the router stopped at a moment when it has created a shard's canister and not yet installed it.
fn stop_between_creation_and_installation(cluster: &Cluster) -> (ShardIndex, Principal) {
    let mut inspected = BTreeSet::new();
    for _ in 0..START_ROUNDS_MAX {
        let status = cluster.status();
        let created = status.shards.iter().find(|shard| shard.stage == ShardStage::Created);
        if let Some((index, Some(canister))) = created.map(|shard| (shard.index, shard.canister))
            && inspected.insert(index)
        {
            cluster.stop(cluster.router, owner());
            let answer = cluster.query_raw(canister, administrator(), "info", no_arguments());
            if answer.is_err_and(|reject| reject.error_code == ErrorCode::CanisterWasmModuleNotFound) {
                return (index, canister);
            }
            cluster.start(cluster.router, owner());
        }
        cluster.turn(Pace::ROUND_BY_ROUND);
    }
    panic!("every shard was installed as soon as it was created: {:#?}", cluster.status());
}

/// Gives a shard's canister to `controllers`.
fn set_controllers(cluster: &Cluster, canister: Principal, controllers: Vec<Principal>) {
    cluster
        .pic
        .set_controllers(canister, Some(administrator()), controllers)
        .expect("an administrator may change the controllers of a shard");
}

const SHARDS: u32 = 4;

fn four_shards() -> Cluster {
    Cluster::builder().initial_shards(SHARDS).shard_cycles(T).cycles(100 * T).deploy()
}

fn check_four_shards(cluster: &Cluster) {
    cluster.check_nothing_leaked(100 * T, u128::from(SHARDS), T);
    let shards: BTreeSet<_> = cluster.shards().into_iter().collect();
    assert_eq!(shards.len(), SHARDS as usize);
    assert_eq!(cluster.routing_table().check_invariants(), Ok(()));
    for number in 0..40_u8 {
        cluster.store(&[number], &[number]);
    }
    let records: u64 = shards.iter().map(|shard| cluster.info(*shard).records).sum();
    assert_eq!(records, 40);
}

#[test]
fn a_failed_installation_is_retried_in_the_same_canister() {
    let cluster = four_shards();
    let (index, canister) = stop_between_creation_and_installation(&cluster);
    set_controllers(&cluster, canister, vec![administrator()]);
    cluster.start(cluster.router, owner());
    let status = cluster.wait("failing", Pace::BRISK, |status| status.journal.failed_attempts >= 1);
    assert!(status.journal.last_failure.is_some(), "{:?}", status.journal);
    assert!(status.journal.retry_at_nanoseconds.is_some() || status.journal.waiting_for_answer, "{status:?}");
    assert_eq!(status.shards[index.0 as usize].stage, ShardStage::Created);

    set_controllers(&cluster, canister, vec![cluster.router, administrator()]);
    let status = cluster.wait("ready", Pace::MINUTES, |status| status.ready);
    assert_eq!(status.shards[index.0 as usize].canister, Some(canister));
    assert_eq!(status.alarms, vec![]);
    check_four_shards(&cluster);
}

#[test]
fn an_installation_that_fails_as_often_as_it_may_is_an_alarm_that_an_administrator_settles() {
    let cluster = four_shards();
    let (index, canister) = stop_between_creation_and_installation(&cluster);
    set_controllers(&cluster, canister, vec![administrator()]);
    cluster.start(cluster.router, owner());
    let has_failed = |status: &Status| status.alarms.iter().any(|alarm| matches!(alarm, Alarm::StepFailed { .. }));
    let status = cluster.wait("in alarm", Pace::MINUTES, has_failed);
    let Some(Alarm::StepFailed { step, attempts, reason }) = status.alarms.first() else {
        panic!("{:?}", status.alarms)
    };
    assert!(matches!(step, Step::InspectShard(at) | Step::InstallShard(at) if *at == index), "{step:?}");
    assert!(*attempts > 1 && !reason.is_empty());

    set_controllers(&cluster, canister, vec![cluster.router, administrator()]);
    let settle = |shard, resolution| ResolveAlarmArguments { shard, resolution };
    let another = ShardIndex(index.0 + 1);
    let resolve = |arguments| cluster.resolve_alarm(administrator(), &arguments);
    assert_eq!(resolve(settle(Some(another), Resolution::TryAgain)), Err(ResolveAlarmError::NoSuchAlarm));
    assert_eq!(resolve(settle(None, Resolution::TryAgain)), Err(ResolveAlarmError::NoSuchAlarm));
    assert_eq!(
        resolve(settle(Some(index), Resolution::Adopt { canister })),
        Err(ResolveAlarmError::NothingToAdopt),
        "the canister of this shard is known"
    );
    assert!(!cluster.status().alarms.is_empty());
    assert_eq!(resolve(settle(Some(index), Resolution::TryAgain)), Ok(()));
    let status = cluster.wait("ready", Pace::MINUTES, |status| status.ready);
    assert_eq!(status.shards[index.0 as usize].canister, Some(canister));
    assert_eq!(status.alarms, vec![]);
    check_four_shards(&cluster);
}

#[test]
fn code_that_the_router_did_not_install_is_left_alone_and_is_an_alarm() {
    let cluster = four_shards();
    let (index, canister) = stop_between_creation_and_installation(&cluster);
    cluster
        .install(canister, administrator(), CanisterInstallMode::Install, EMPTY_MODULE.to_vec(), vec![])
        .expect("an administrator may install into an empty canister");
    cluster.start(cluster.router, owner());
    let is_foreign = |alarm: &Alarm| matches!(alarm, Alarm::ForeignCode { shard, canister: at, .. } if (*shard, *at) == (index, canister));
    cluster.wait("in alarm", Pace::MINUTES, |status| status.alarms.iter().any(is_foreign));

    cluster.pic.uninstall_canister(canister, Some(administrator())).expect("an administrator may uninstall");
    let arguments = ResolveAlarmArguments { shard: Some(index), resolution: Resolution::TryAgain };
    assert_eq!(cluster.resolve_alarm(owner(), &arguments), Ok(()));
    cluster.wait("ready", Pace::MINUTES, |status| status.ready);
    check_four_shards(&cluster);
}

/// Loses the answer to a creation: upgrades the router past its `canister_pre_upgrade` while the call is open, so that
/// the callback that waits for the answer is gone. Gives the shard's index.
fn lose_the_answer_to_a_creation(cluster: &Cluster) -> ShardIndex {
    let flags = UpgradeFlags { skip_pre_upgrade: Some(true), wasm_memory_persistence: None };
    for _ in 0..START_ROUNDS_MAX {
        let status = cluster.status();
        if let (Some(Step::CreateShard(index)), true) = (status.journal.step, status.journal.waiting_for_answer) {
            cluster
                .install(
                    cluster.router,
                    owner(),
                    CanisterInstallMode::Upgrade(Some(flags)),
                    canopy_artifacts::ROUTER_WASM.to_vec(),
                    vec![],
                )
                .expect("nothing stops an upgrade that skips the check");
            let lost = |alarm: &Alarm| matches!(alarm, Alarm::CreationAnswerLost { shard, .. } if *shard == index);
            cluster.turn(Pace::BRISK);
            if cluster.status().alarms.iter().any(lost) {
                return index;
            }
        }
        cluster.turn(Pace::ROUND_BY_ROUND);
    }
    panic!("no answer was lost: {:#?}", cluster.status());
}

/// Finds a canister that the router controls and doesn't know, among the ids around its own.
fn find_orphan(cluster: &Cluster) -> Principal {
    const NEIGHBOURS_MAX: u64 = 16;
    let id: [u8; 8] = cluster.router.as_slice()[..8].try_into().expect("a canister's id has ten bytes");
    let (number, tail) = (u64::from_be_bytes(id), &cluster.router.as_slice()[8..]);
    let known = cluster.shards();
    let orphans: Vec<Principal> = (number..=number + NEIGHBOURS_MAX)
        .map(|number| Principal::from_slice(&[&number.to_be_bytes()[..], tail].concat()))
        .filter(|canister| cluster.pic.canister_exists(*canister) && !known.contains(canister))
        .filter(|canister| cluster.pic.get_controllers(*canister).contains(&cluster.router))
        .collect();
    assert_eq!(orphans.len(), 1, "{orphans:?}");
    orphans[0]
}

#[test]
fn a_creation_whose_answer_was_lost_is_an_alarm_until_its_canister_is_adopted() {
    let cluster = four_shards();
    let index = lose_the_answer_to_a_creation(&cluster);
    for _ in 0..20 {
        cluster.turn(Pace::MINUTES);
    }
    let status = cluster.status();
    assert!(!status.ready, "the router must not create another one by itself");
    assert_eq!(status.shards[index.0 as usize].canister, None);

    let adopt = |canister| ResolveAlarmArguments { shard: Some(index), resolution: Resolution::Adopt { canister } };
    assert_eq!(
        cluster.resolve_alarm(owner(), &adopt(cluster.router)),
        Err(ResolveAlarmError::CanisterInUse { shard: None })
    );
    let orphan = find_orphan(&cluster);
    assert_eq!(cluster.resolve_alarm(owner(), &adopt(orphan)), Ok(()));
    let status = cluster.wait("ready", Pace::MINUTES, |status| status.ready);
    assert_eq!(status.shards[index.0 as usize].canister, Some(orphan));
    assert_eq!(status.alarms, vec![]);
    check_four_shards(&cluster);
}

#[test]
fn a_creation_whose_answer_was_lost_is_done_again_only_on_an_administrators_word() {
    let cluster = four_shards();
    let index = lose_the_answer_to_a_creation(&cluster);
    let arguments = ResolveAlarmArguments { shard: Some(index), resolution: Resolution::TryAgain };
    for nobody in [writer(), reader()] {
        let argument = canopy_types::codec::encode(&arguments);
        let refused = cluster.update_raw(cluster.router, nobody, "resolve_alarm", argument);
        assert!(refused.is_err() || !cluster.status().alarms.is_empty());
    }
    assert_eq!(cluster.resolve_alarm(administrator(), &arguments), Ok(()));
    let status = cluster.wait("ready", Pace::MINUTES, |status| status.ready);
    assert_eq!(status.alarms, vec![]);
    let orphan = find_orphan(&cluster);
    assert!(!cluster.shards().contains(&orphan));
    // The orphan and its cycles are the price of trying again.
    cluster.check_nothing_leaked(100 * T, u128::from(SHARDS) + 1, T);
}

#[test]
fn a_spare_that_can_t_be_installed_is_an_alarm_and_clients_don_t_notice() {
    let cluster = Cluster::builder().initial_shards(1).shard_cycles(10 * T).cycles(100 * T).ready();
    let policy = SetPolicyArguments { spares_min: Some(1), ..SetPolicyArguments::default() };
    cluster.set_policy(&policy).expect("one spare may be wanted");
    let (index, canister) = stop_between_creation_and_installation(&cluster);
    set_controllers(&cluster, canister, vec![administrator()]);
    cluster.start(cluster.router, owner());
    let has_failed = |status: &Status| status.alarms.iter().any(|alarm| matches!(alarm, Alarm::StepFailed { .. }));
    cluster.wait("in alarm", Pace::MINUTES, has_failed);
    cluster.store(b"key", b"value");

    // A split waits for the spare until it is told not to.
    let id = split(&cluster, FIRST, None).expect("it waits for the spare");
    for _ in 0..10 {
        cluster.turn(Pace::MINUTES);
    }
    assert_eq!(stage(&cluster.status(), id), TransferStage::AwaitingTarget);
    stop(&cluster, id).expect("it runs");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Cancelled);
    assert_eq!(cluster.load(b"key").expect("it was put").value.as_slice(), b"value");

    set_controllers(&cluster, canister, vec![cluster.router, administrator()]);
    let again = ResolveAlarmArguments { shard: Some(index), resolution: Resolution::TryAgain };
    assert_eq!(cluster.resolve_alarm(administrator(), &again), Ok(()));
    let serves = |status: &Status| status.shards[index.0 as usize].stage == ShardStage::Open;
    let status = cluster.wait("done with its spare", Pace::MINUTES, serves);
    assert_eq!((status.shards[index.0 as usize].canister, &status.alarms), (Some(canister), &vec![]));
    let id = split(&cluster, FIRST, None).expect("there is a spare");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    assert_eq!(cluster.load(b"key").expect("it was put").value.as_slice(), b"value");
}
