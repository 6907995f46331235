//! Cycles for shards whose ranges change hands, and for spares: who lacks them gets them from the router, within bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_types::ShardIndex;
use canopy_types::funding::{FundingLimit, FundingShortage, FundingStatus};
use canopy_types::growth::{GrowthAction, GrowthNotice, GrowthReason, GrowthStatus};
use canopy_types::policy::SetPolicyArguments;
use canopy_types::status::{ShardStage, Status};
use canopy_types::transfer::{TransferEnd, TransferStage, TransferStatus};

use crate::cluster::{Cluster, Pace, T, cycles_of};
use crate::people::owner;
use crate::split::{FIRST, SECOND, check, filled, filled_with, make_spare, merge, split, stage, wait_for_end};

/// Less than a shard keeps for its clients (200 G), and enough to serve.
const LITTLE_CYCLES: u128 = 120_000_000_000;

const MINUTE: Pace = Pace { time: Duration::from_secs(60), rounds: 8 };

fn growth(status: &Status) -> &GrowthStatus {
    status.growth.as_ref().expect("this router watches its shards")
}

fn last_transfer(status: &Status) -> &TransferStatus {
    status.transfers.as_ref().and_then(|transfers| transfers.last()).expect("a transfer was begun")
}

fn funding(status: &Status) -> Option<&FundingStatus> {
    last_transfer(status).funding.as_ref()
}

/// Tells what is noticed to be short.
fn shortages(status: &Status) -> Vec<FundingShortage> {
    let short = |notice: &GrowthNotice| match notice {
        GrowthNotice::CyclesShort(shortage) => Some(shortage.clone()),
        _ => None,
    };
    growth(status).notices.iter().filter_map(short).collect()
}

/// Tells what shards were sent and why, in order.
fn payments(status: &Status) -> Vec<(ShardIndex, GrowthReason)> {
    let payment = |action: GrowthAction, reason| match action {
        GrowthAction::Fund { shard, .. } => Some((shard, reason)),
        _ => None,
    };
    growth(status).decisions.iter().filter_map(|decision| payment(decision.action, decision.reason)).collect()
}

fn set(cluster: &Cluster, policy: SetPolicyArguments) {
    cluster.set_policy(&policy).expect("the policy makes sense");
}

/// As [`filled`], with shards that have no more cycles than they need for a start.
fn poor(records: u32) -> (Cluster, BTreeMap<Vec<u8>, Vec<u8>>) {
    filled_with(Cluster::builder().initial_shards(1).shard_cycles(T).ready(), records, 50_000)
}

/// Waits for a spare.
fn with_spare(cluster: &Cluster) {
    make_spare(cluster);
    set(cluster, SetPolicyArguments { spares_min: Some(0), ..SetPolicyArguments::default() });
}

#[test]
fn a_shard_with_little_cycles_is_split_all_the_same_because_the_router_sends_it_some() {
    let (cluster, model) = poor(60);
    let shard = cluster.shards()[0];
    cluster.burn_until(shard, LITTLE_CYCLES);
    set(&cluster, SetPolicyArguments { split_at_record_bytes: Some(1 << 20), ..SetPolicyArguments::default() });
    let is_split = |status: &Status| {
        cluster.routing_table().routes.len() > 1 && status.transfers.iter().flatten().next().is_some()
    };
    let status = cluster.wait("split", Pace { time: Duration::from_secs(5), rounds: 3 }, is_split);
    let transfer = &status.transfers.as_ref().expect("there is one")[0];
    assert_eq!((transfer.source, transfer.stage), (FIRST, TransferStage::Ended(TransferEnd::Done)));
    let paid = transfer.funding.as_ref().expect("cycles were needed");
    assert!(cycles_of(&paid.source_cycles) > 80_000_000_000 && paid.shortage.is_none(), "{paid:?}");
    assert_eq!(payments(&status)[0], (FIRST, GrowthReason::SendsRange));
    let decision = growth(&status).decisions.iter().find(|decision| decision.reason == GrowthReason::SendsRange);
    let decision = decision.expect("it was decided");
    assert_eq!(decision.transfer, Some(transfer.id));
    assert!(decision.value < decision.threshold, "{decision:?}");
    // Both decisions are in the log.
    let log = cluster.pic.fetch_canister_logs(cluster.router, owner()).expect("its controller may read the log");
    let lines: Vec<String> = log.iter().map(|line| String::from_utf8_lossy(&line.content).into_owned()).collect();
    for (what, why) in [("shard 0 is split: RecordBytes", "threshold 1048576"), ("shard 0 is sent", "SendsRange")] {
        let is_told = |line: &String| line.starts_with(what) && line.contains(why);
        assert!(lines.iter().any(is_told), "{what}: {lines:#?}");
    }
    // The spare counts too.
    let in_day = growth(&status).cycles_in_day.as_ref().map(cycles_of).expect("it is counted");
    assert!(in_day >= T + cycles_of(&paid.source_cycles), "{in_day}");
    set(&cluster, SetPolicyArguments { split_at_record_bytes: Some(0), ..SetPolicyArguments::default() });
    cluster.wait("settled", Pace::BRISK, |status| {
        status.transfers.iter().flatten().all(|transfer| matches!(transfer.stage, TransferStage::Ended(_)))
    });
    check(&cluster, &model);
}

#[test]
fn a_target_that_could_not_pay_for_what_it_will_hold_is_sent_cycles() {
    let (cluster, model) = poor(40);
    with_spare(&cluster);
    let spare = cluster.shards()[1];
    cluster.burn_until(spare, LITTLE_CYCLES);
    let before = cluster.pic.cycle_balance(spare);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let status = cluster.status();
    let paid = funding(&status).expect("cycles were needed");
    assert_eq!(cycles_of(&paid.source_cycles), 0);
    let target_cycles = cycles_of(&paid.target_cycles);
    assert!(target_cycles > 100_000_000_000 && cluster.pic.cycle_balance(spare) > before, "{paid:?}");
    assert_eq!(payments(&status), [(SECOND, GrowthReason::HoldsRange)]);
    check(&cluster, &model);
    // It serves what it got, and grows.
    for number in 0..40 {
        cluster.store(format!("more {number}").as_bytes(), &[1; 10_000]);
    }

    // A merge is paid for as well.
    cluster.burn_until(spare, LITTLE_CYCLES);
    let id = merge(&cluster, SECOND, FIRST).expect("neighbours can be merged");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let status = cluster.status();
    assert!(cycles_of(&funding(&status).expect("cycles were needed").source_cycles) > 0, "{status:#?}");
}

#[test]
fn a_poor_router_says_what_it_lacks_and_goes_on_when_it_is_topped_up() {
    let (cluster, model) = poor(40);
    with_spare(&cluster);
    cluster.burn_until(cluster.shards()[0], LITTLE_CYCLES);
    // Enough to ask, and too little to give and keep its reserve.
    cluster.leave_spendable(290_000_000_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let status = cluster.wait("out of cycles", Pace::BRISK, |status| !shortages(status).is_empty());
    let shortage = shortages(&status).remove(0);
    assert_eq!((shortage.shard, shortage.limit), (FIRST, FundingLimit::RouterCycles));
    assert!(shortage.available < shortage.required, "{shortage:?}");
    assert_eq!(funding(&status).and_then(|funding| funding.shortage.as_ref()), Some(&shortage));
    let reason = last_transfer(&status).last_failure.clone().expect("it is told why");
    assert!(reason.contains("lacks cycles: RouterCycles"), "{reason}");
    for _ in 0..5 {
        cluster.turn(MINUTE);
    }
    assert!(!matches!(stage(&cluster.status(), id), TransferStage::Ended(_)), "it waits");
    assert_eq!(payments(&cluster.status()), []);
    // The service goes on.
    cluster.store(b"key 0", &model[&b"key 0"[..]]);

    cluster.pic.add_cycles(cluster.router, cycles_of(&shortage.required));
    let pace = Pace { time: Duration::from_secs(10), rounds: 5 };
    cluster.wait("done", pace, |status| stage(status, id) == TransferStage::Ended(TransferEnd::Done));
    let status = cluster.status();
    assert_eq!((shortages(&status), payments(&status)), (vec![], vec![(FIRST, GrowthReason::SendsRange)]));
    check(&cluster, &model);
}

#[test]
fn a_split_that_nobody_can_pay_is_given_up_and_not_begun_again_before_it_can_be_paid() {
    let (cluster, model) = poor(60);
    with_spare(&cluster);
    cluster.burn_until(cluster.shards()[0], LITTLE_CYCLES);
    let policy = SetPolicyArguments {
        split_at_record_bytes: Some(1 << 20),
        growth_cycles_per_day_max: Some(0),
        ..SetPolicyArguments::default()
    };
    set(&cluster, policy);
    let given_up =
        |status: &Status| status.transfers.iter().flatten().any(|it| matches!(it.stage, TransferStage::Ended(_)));
    let status = cluster.wait("tired of it", MINUTE, given_up);
    let ended = last_transfer(&status);
    assert_eq!(ended.stage, TransferStage::Ended(TransferEnd::Cancelled));
    let waited = ended.ended_at_nanoseconds.expect("it has ended") - ended.begun_at_nanoseconds;
    assert!((3_500..4_200).contains(&(waited / 1_000_000_000)), "{waited}");
    let shortage = ended.funding.as_ref().and_then(|funding| funding.shortage.clone()).expect("it is told why");
    assert_eq!((shortage.limit, cycles_of(&shortage.available)), (FundingLimit::CyclesPerDay, 0));
    for _ in 0..60 {
        cluster.turn(MINUTE);
    }
    let status = cluster.status();
    assert_eq!(status.transfers.as_ref().map(Vec::len), Some(1), "{status:#?}");
    // So does the next spare, for which there would be nothing either.
    assert_eq!(shortages(&status).first(), Some(&shortage));

    set(
        &cluster,
        SetPolicyArguments { growth_cycles_per_day_max: Some(10 * T as u64), ..SetPolicyArguments::default() },
    );
    cluster.wait("split", MINUTE, |_| cluster.routing_table().routes.len() == 2);
    assert_eq!(payments(&cluster.status())[0], (FIRST, GrowthReason::SendsRange));
    set(&cluster, SetPolicyArguments { split_at_record_bytes: Some(0), ..SetPolicyArguments::default() });
    check(&cluster, &model);
}

#[test]
fn spares_are_made_within_what_growth_may_spend() {
    let (cluster, _) = filled(1, 10);
    let policy = SetPolicyArguments {
        spares_min: Some(2),
        growth_cycles_per_day_max: Some(15 * T as u64),
        ..SetPolicyArguments::default()
    };
    set(&cluster, policy);
    let waits = |status: &Status| status.shards.len() == 3 && !shortages(status).is_empty();
    let status = cluster.wait("waiting for the day to pass", Pace::BRISK, waits);
    let shortage = shortages(&status).remove(0);
    assert_eq!((shortage.shard, shortage.limit), (ShardIndex(2), FundingLimit::CyclesPerDay));
    assert!(cycles_of(&shortage.required) > 10 * T && cycles_of(&shortage.available) < 5 * T, "{shortage:?}");
    for _ in 0..10 {
        cluster.turn(MINUTE);
    }
    assert_eq!(cluster.status().shards[2].stage, ShardStage::Planned);
    assert_eq!(cluster.status().alarms, []);
    // Whatever else is to be done doesn't wait.
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    set(&cluster, SetPolicyArguments { growth_cycles_per_day_max: Some(100 * T as u64), ..Default::default() });
    let pace = Pace { time: Duration::from_secs(30), rounds: 5 };
    let all_open = |status: &Status| status.shards.iter().all(|shard| shard.stage == ShardStage::Open);
    cluster.wait("done with its spares", pace, |status| all_open(status) && shortages(status).is_empty());
    assert_eq!(cluster.info(cluster.shards()[2]).index, ShardIndex(2));
}
