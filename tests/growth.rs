//! Shards that are split because they fill, get no memory or are busy, without being asked.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_types::growth::{GrowthAction, GrowthDecision, GrowthNotice, GrowthReason, GrowthStatus, ShardReading};
use canopy_types::policy::SetPolicyArguments;
use canopy_types::status::Status;
use canopy_types::transfer::{TransferEnd, TransferStage, TransferStatus};
use canopy_types::{
    BusyReason, GetManyArguments, GetManyResult, PutError, PutItem, PutManyArguments, PutManyResult, ShardIndex,
};
use pocket_ic::CanisterSettings;

use crate::cluster::{Cluster, Pace, T, cycles_of};
use crate::people::{administrator, owner, reader, writer};
use crate::server;
use crate::split::{FIRST, records_of};

/// Bytes of a value.
const VALUE_BYTES: usize = 10_000;

/// Items of a batch.
const BATCH: u32 = 100;

/// How the world goes on between two batches of a test.
const STEADY: Pace = Pace { time: Duration::from_secs(5), rounds: 3 };

fn one_shard(policy: SetPolicyArguments) -> Cluster {
    let cluster = Cluster::builder().initial_shards(1).shard_cycles(10 * T).ready();
    cluster.set_policy(&policy).expect("the policy makes sense");
    cluster
}

/// Attempts to store a record while its range moves.
const ATTEMPTS_MAX: usize = 100;

/// Stores records `from..from + BATCH`, and those again whose range moves.
fn fill(cluster: &Cluster, from: u32) {
    let mut numbers: Vec<u32> = (from..from + BATCH).collect();
    for _ in 0..ATTEMPTS_MAX {
        let item = |&number: &u32| PutItem::new(key(number), vec![number as u8; VALUE_BYTES]);
        let arguments = PutManyArguments { items: numbers.iter().map(item).collect(), operation: None };
        let stored: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &arguments);
        let answers = numbers.drain(..).zip(stored.expect("the batch is admitted"));
        numbers = answers
            .filter_map(|(number, answer)| match answer {
                Ok(_) => None,
                Err(PutError::Busy { reason: BusyReason::RangeMoves, .. }) => Some(number),
                Err(error) => panic!("{error:?}"),
            })
            .collect();
        if numbers.is_empty() {
            return;
        }
        cluster.turn(Pace::BRISK);
    }
    panic!("these are never stored: {numbers:?}");
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn growth(status: &Status) -> &GrowthStatus {
    status.growth.as_ref().expect("this router watches its shards")
}

fn splits(status: &Status) -> Vec<GrowthDecision> {
    let decisions = growth(status).decisions.iter();
    decisions.filter(|decision| matches!(decision.action, GrowthAction::Split { .. })).cloned().collect()
}

/// Waits until as many shards serve, and tells why.
fn wait_for_shards(cluster: &Cluster, shards: usize) -> Vec<GrowthDecision> {
    let serve = |status: &Status| {
        let transfers = status.transfers.iter().flatten();
        let ended = transfers.filter(|transfer| transfer.stage == TransferStage::Ended(TransferEnd::Done)).count();
        ended + 1 >= shards && cluster.routing_table().routes.len() >= shards
    };
    splits(&cluster.wait("grown", STEADY, serve))
}

fn reading(cluster: &Cluster, shard: usize) -> ShardReading {
    cluster.info(cluster.shards()[shard]).reading.expect("this shard measures itself")
}

/// Waits until nothing was decided for so many turns.
fn wait_in_vain(cluster: &Cluster, turns: usize) {
    for _ in 0..turns {
        cluster.turn(Pace { time: Duration::from_secs(20), rounds: 3 });
    }
    assert_eq!(splits(&cluster.status()), []);
    assert_eq!(cluster.routing_table().routes.len(), 1);
}

#[test]
fn a_shard_that_fills_is_split_in_time_and_a_spare_is_ready_before() {
    let limit = 4 << 20;
    let cluster = one_shard(SetPolicyArguments { split_at_record_bytes: Some(limit), ..Default::default() });
    let (mut stored, mut had_spare) = (0, false);
    while cluster.routing_table().routes.len() == 1 {
        assert!(u64::from(stored) * (VALUE_BYTES as u64) < 2 * limit, "no split: {:#?}", cluster.status());
        fill(&cluster, stored);
        stored += BATCH;
        for _ in 0..4 {
            cluster.turn(STEADY);
        }
        let status = cluster.status();
        had_spare |= growth(&status).spares == 1 && splits(&status).is_empty();
    }
    assert!(had_spare, "a spare was made ahead");
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].action, why[0].reason), (GrowthAction::Split { shard: FIRST }, GrowthReason::RecordBytes));
    assert!(why[0].value >= why[0].threshold && why[0].threshold == limit && why[0].transfer.is_some());
    cluster.wait("clear", STEADY, |_| records_of(&cluster).iter().sum::<u64>() == u64::from(stored));
    for number in 0..stored {
        assert!(cluster.load(&key(number)).is_some(), "record {number} is lost");
    }
    // Half as full, neither is split again.
    for _ in 0..20 {
        cluster.turn(STEADY);
    }
    assert_eq!(splits(&cluster.status()).len(), 1);
}

#[test]
fn a_growing_store_is_split_again_and_again_up_to_the_bound_of_the_hour() {
    let policy = SetPolicyArguments {
        split_at_record_bytes: Some(1 << 20),
        splits_per_hour_max: Some(3),
        ..SetPolicyArguments::default()
    };
    let cluster = one_shard(policy);
    for batch in 0..8 {
        fill(&cluster, batch * BATCH);
        for _ in 0..6 {
            cluster.turn(STEADY);
        }
    }
    assert_eq!(wait_for_shards(&cluster, 4).len(), 3);
    let is_reached = |status: &Status| {
        growth(status).notices.contains(&GrowthNotice::SplitsPerHourReached { splits_per_hour_max: 3 })
    };
    let status = cluster.wait("at the bound", STEADY, is_reached);
    assert_eq!(splits(&status).len(), 3);
    // Decisions are remembered by an upgraded router, and an hour later it goes on.
    cluster.upgrade_router(canopy_artifacts::ROUTER_WASM);
    assert_eq!(splits(&cluster.status()).len(), 3);
    cluster.pic.advance_time(Duration::from_secs(3_600));
    wait_for_shards(&cluster, 5);
    for number in 0..8 * BATCH {
        assert!(cluster.load(&key(number)).is_some(), "record {number} is lost");
    }
}

#[test]
fn a_shard_is_split_for_its_stable_memory_without_counting_what_is_free() {
    let cluster = one_shard(SetPolicyArguments { split_at_record_bytes: Some(0), ..Default::default() });
    let empty = reading(&cluster, 0);
    let used = empty.stable_bytes - empty.free_bytes;
    let limit = used + (3 << 20);
    assert!(empty.stable_bytes > limit, "memory is added ahead, and free memory doesn't count");
    cluster
        .set_policy(&SetPolicyArguments { split_at_stable_bytes: Some(limit), ..Default::default() })
        .expect("the policy makes sense");
    for batch in 0..4 {
        fill(&cluster, batch * BATCH);
    }
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].reason, why[0].threshold), (GrowthReason::StableBytes, limit));
}

/// Bytes by which [`need_heap`] has the memory of a shard's code grow at least.
const HEAP_STEP: u64 = 512 << 10;

/// Puts a batch as long as a message may be, which a shard holds on its heap.
fn need_heap(cluster: &Cluster) {
    let item = |number: u32| PutItem::new(key(number), vec![1; 180_000]);
    let arguments = PutManyArguments { items: (0..10).map(item).collect(), operation: None };
    let stored: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &arguments);
    assert!(stored.expect("the batch is admitted").iter().all(Result::is_ok));
}

#[test]
fn a_shard_is_split_for_the_memory_of_its_code_and_not_again_before_that_grows() {
    let cluster = one_shard(SetPolicyArguments::default());
    fill(&cluster, 0);
    let limit = reading(&cluster, 0).heap_bytes + HEAP_STEP;
    cluster
        .set_policy(&SetPolicyArguments { split_at_heap_bytes: Some(limit), ..Default::default() })
        .expect("the policy makes sense");
    wait_in_vain(&cluster, 10);
    assert!(reading(&cluster, 0).heap_bytes < limit);
    need_heap(&cluster);
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].action, why[0].reason), (GrowthAction::Split { shard: FIRST }, GrowthReason::HeapBytes));
    assert!(why[0].value >= limit && why[0].threshold == limit, "{why:?}");
    for _ in 0..30 {
        cluster.turn(STEADY);
    }
    // A split doesn't shrink that memory, so only growth by an eighth is a reason for another.
    let own = |decision: &&GrowthDecision| decision.action == GrowthAction::Split { shard: FIRST };
    let values: Vec<u64> = splits(&cluster.status()).iter().filter(own).map(|decision| decision.value).collect();
    assert!(values.len() <= 4 && values.windows(2).all(|pair| pair[1] >= pair[0] + pair[0] / 8), "{values:?}");
}

#[test]
fn a_shard_whom_the_platform_warns_of_its_memory_is_split() {
    let cluster = one_shard(SetPolicyArguments::default());
    fill(&cluster, 0);
    assert!(!reading(&cluster, 0).low_memory);
    let shard = cluster.shards()[0];
    let told = cluster.pic.canister_status(shard, Some(administrator())).expect("an administrator is told");
    assert_eq!(told.settings.wasm_memory_threshold, 512u64 << 20, "the warning that every shard is made with");
    // A limit far off, and a warning a step away.
    let (used, limit) = (reading(&cluster, 0).heap_bytes, 256u64 << 20);
    let settings = CanisterSettings {
        wasm_memory_limit: Some(limit.into()),
        wasm_memory_threshold: Some((limit - used - HEAP_STEP).into()),
        ..CanisterSettings::default()
    };
    cluster.pic.update_canister_settings(shard, Some(administrator()), settings).expect("administrators may");
    wait_in_vain(&cluster, 10);
    assert!(!reading(&cluster, 0).low_memory);
    need_heap(&cluster);
    cluster.turn(STEADY);
    assert!(reading(&cluster, 0).low_memory);
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].action, why[0].reason), (GrowthAction::Split { shard: FIRST }, GrowthReason::LowMemory));
    assert!(why[0].value < limit, "{why:?}");
    // Who is warned still serves.
    fill(&cluster, BATCH);
}

/// Has one shard fill until it gets no more memory.
fn fill_up(cluster: &Cluster) {
    let item = |number: u32| PutItem::new(key(number), vec![number as u8; VALUE_BYTES]);
    for batch in 0..160 {
        let items = (batch * BATCH..(batch + 1) * BATCH).map(item).collect();
        let arguments = PutManyArguments { items, operation: None };
        let _: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &arguments);
        cluster.turn(Pace { time: Duration::from_secs(20), rounds: 3 });
        if reading(cluster, 0).out_of_space {
            return;
        }
    }
    panic!("the shard is never full: {:?}", reading(cluster, 0));
}

#[test]
fn a_shard_that_gets_no_memory_is_split() {
    // Newer servers don't take a memory allocation as a bound.
    if server::is_not_applicable("a_shard_that_gets_no_memory_is_split") {
        return;
    }
    let cluster = one_shard(SetPolicyArguments { split_at_record_bytes: Some(0), ..Default::default() });
    let shard = cluster.shards()[0];
    let bytes = reading(&cluster, 0).stable_bytes + (24 << 20);
    cluster.set_memory_allocation(shard, administrator(), bytes);
    fill_up(&cluster);
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].action, why[0].reason), (GrowthAction::Split { shard: FIRST }, GrowthReason::OutOfSpace));
}

#[test]
fn a_shard_is_split_so_early_that_it_never_runs_out_of_memory() {
    // As above.
    if server::is_not_applicable("a_shard_is_split_so_early_that_it_never_runs_out_of_memory") {
        return;
    }
    let cluster = one_shard(SetPolicyArguments { split_at_record_bytes: Some(0), ..Default::default() });
    let empty = reading(&cluster, 0);
    // Memory is added by 64 MiB, before that many are used up: here once, and not twice.
    let (used, bytes) = (empty.stable_bytes - empty.free_bytes, empty.stable_bytes + (88 << 20));
    cluster.set_memory_allocation(cluster.shards()[0], administrator(), bytes);
    let policy = SetPolicyArguments { split_at_stable_bytes: Some(used + (16 << 20)), ..Default::default() };
    cluster.set_policy(&policy).expect("the policy makes sense");
    // More than the first shard could ever hold, and whatever is put is taken in.
    let batches = ((bytes - used) / (u64::from(BATCH) * VALUE_BYTES as u64)) as u32 + 1;
    for batch in 0..batches {
        fill(&cluster, batch * BATCH);
        cluster.turn(STEADY);
        assert!(!reading(&cluster, 0).out_of_space, "batch {batch} of {batches}: {:?}", reading(&cluster, 0));
    }
    let why = wait_for_shards(&cluster, 2);
    assert!(why.iter().all(|decision| decision.reason == GrowthReason::StableBytes), "{why:?}");
    assert_eq!(why[0].action, GrowthAction::Split { shard: FIRST });
}

#[test]
fn reserved_cycles_are_told_and_never_split() {
    let cluster = one_shard(SetPolicyArguments { split_at_record_bytes: Some(0), ..Default::default() });
    let shard = cluster.shards()[0];
    // Enough for one growth of memory, and not for two.
    let limit = Some((T / 2).into());
    let settings = CanisterSettings { reserved_cycles_limit: limit, ..CanisterSettings::default() };
    cluster.pic.update_canister_settings(shard, Some(administrator()), settings).expect("administrators may");
    // So much of the subnet is promised to others that it reserves cycles for what is added. One alone may not have so much.
    for _ in 0..3 {
        let hog = crate::cluster::create_canister(&cluster.pic, 100_000 * T);
        let settings = CanisterSettings {
            reserved_cycles_limit: Some((100_000 * T).into()),
            memory_allocation: Some((300u64 << 30).into()),
            ..CanisterSettings::default()
        };
        cluster.pic.update_canister_settings(hog, Some(owner()), settings).expect("there is room");
    }
    fill_up(&cluster);
    let is_told = |status: &Status| {
        growth(status).notices.iter().any(|notice| matches!(notice, GrowthNotice::ReservedCycles { shard: FIRST, .. }))
    };
    cluster.wait("told", STEADY, is_told);
    wait_in_vain(&cluster, 40);
    // Once more may be reserved, the shard goes on, and nothing is in the way any more.
    let settings = CanisterSettings { reserved_cycles_limit: Some((5 * T).into()), ..CanisterSettings::default() };
    cluster.pic.update_canister_settings(shard, Some(administrator()), settings).expect("administrators may");
    let goes_on = (0..ATTEMPTS_MAX).any(|_| {
        cluster.turn(Pace { time: Duration::from_secs(20), rounds: 3 });
        cluster.put(writer(), b"one more", &[1; VALUE_BYTES]).is_ok() && !reading(&cluster, 0).out_of_space
    });
    assert!(goes_on, "{:?}", reading(&cluster, 0));
    cluster.wait("in order", STEADY, |status| !is_told(status));
    assert_eq!(splits(&cluster.status()), []);
}

/// Puts batches over three minutes and more, four each minute.
fn keep_busy(cluster: &Cluster, minutes: u32, key_of: impl Fn(u32) -> Vec<u8>) {
    for step in 0..4 * minutes {
        let item = |number: u32| PutItem::new(key_of(step * BATCH + number), vec![1; 10]);
        // One key may come only once in a batch.
        let mut items: Vec<PutItem> = (0..BATCH).map(item).collect();
        items.dedup_by(|one, other| one.key == other.key);
        for items in if items.len() == 1 { vec![items; BATCH as usize / 4] } else { vec![items] } {
            let arguments = PutManyArguments { items, operation: None };
            let _: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &arguments);
        }
        cluster.turn(Pace { time: Duration::from_secs(15), rounds: 3 });
    }
}

#[test]
fn a_busy_shard_is_split_at_the_median_of_its_load() {
    let policy = SetPolicyArguments { split_at_operations_per_minute: Some(200), ..SetPolicyArguments::default() };
    let cluster = one_shard(policy);
    keep_busy(&cluster, 10, |number| key(number % 1_000));
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].action, why[0].reason), (GrowthAction::Split { shard: FIRST }, GrowthReason::Operations));
    let records = records_of(&cluster);
    assert!(records.iter().take(2).all(|&records| records >= 200), "{records:?}");
}

#[test]
fn a_shard_that_works_hard_is_split_for_its_instructions() {
    let policy = SetPolicyArguments {
        split_at_operations_per_minute: Some(0),
        split_at_instructions_per_minute: Some(2_000_000),
        ..SetPolicyArguments::default()
    };
    let cluster = one_shard(policy);
    keep_busy(&cluster, 20, |number| key(number % 1_000));
    let why = wait_for_shards(&cluster, 2);
    assert_eq!((why[0].action, why[0].reason), (GrowthAction::Split { shard: FIRST }, GrowthReason::Instructions));
    assert!(why[0].value >= why[0].threshold, "{why:?}");
}

#[test]
fn a_hot_key_splits_nothing_and_is_told() {
    let policy = SetPolicyArguments { split_at_operations_per_minute: Some(60), ..SetPolicyArguments::default() };
    let cluster = one_shard(policy);
    keep_busy(&cluster, 10, |_| key(0));
    let status = cluster.status();
    assert!(growth(&status).shards[0].operations_per_minute.expect("it is known") >= 60, "{status:#?}");
    assert!(growth(&status).notices.contains(&GrowthNotice::HotKey { shard: FIRST }), "{status:#?}");
    wait_in_vain(&cluster, 10);
}

#[test]
fn at_a_constant_fill_the_forecast_of_a_shard_errs_by_a_tenth_at_most() {
    let limit = 64 << 20;
    let cluster = one_shard(SetPolicyArguments { split_at_record_bytes: Some(limit), ..Default::default() });
    // A batch every ten seconds.
    let fill_at_pace = |batch: u32| {
        fill(&cluster, batch * BATCH);
        cluster.turn(Pace { time: Duration::from_secs(10), rounds: 3 });
    };
    (0..20).for_each(fill_at_pace);
    let before = cluster.status();
    let forecast = &growth(&before).shards[0];
    let (at, seconds) = (forecast.read_at_nanoseconds, forecast.seconds_until_split.expect("it fills"));
    assert_eq!(forecast.bytes_until_split, Some(limit - forecast.reading.record_bytes));
    assert!(forecast.seconds_until_out_of_cycles.is_some());
    let decided = (20..90).find_map(|batch| {
        fill_at_pace(batch);
        splits(&cluster.status()).first().map(|decision| decision.at_nanoseconds)
    });
    let took = (decided.expect("the shard is split") - at) / 1_000_000_000;
    println!("forecast {seconds} s, took {took} s");
    assert!(took.abs_diff(seconds) * 10 <= took, "forecast {seconds} s, took {took} s");
}

/// Memory is added, and held back for, in steps, so the load writes the same records again and again.
#[test]
fn at_a_constant_load_the_forecast_of_the_cycles_errs_by_a_tenth_at_most() {
    const SECOND: u128 = 1_000_000_000;
    let cluster = one_shard(SetPolicyArguments::default());
    let minute = |_| {
        fill(&cluster, 0);
        cluster.turn(Pace { time: Duration::from_secs(60), rounds: 3 });
    };
    let told = || {
        let status = cluster.status();
        let forecast = &growth(&status).shards[0];
        let cycles = cycles_of(&forecast.reading.liquid_cycles);
        (forecast.read_at_nanoseconds, cycles, forecast.seconds_until_out_of_cycles.expect("it burns cycles"))
    };
    // More than the hour by which a forecast goes.
    (0..75).for_each(minute);
    let (at, cycles, seconds) = told();
    (0..30).for_each(minute);
    let (later, left, _) = told();
    let lasts = (cycles * u128::from(later - at) / (cycles - left) / SECOND) as u64;
    println!("cycles for {seconds} s by the forecast, for {lasts} s as it went on");
    assert!(seconds.abs_diff(lasts) * 10 <= lasts, "cycles for {seconds} s by the forecast, for {lasts} s in truth");
}

#[test]
fn neighbours_that_have_emptied_are_merged_if_that_is_wanted() {
    let policy = SetPolicyArguments { split_at_record_bytes: Some(1 << 20), ..SetPolicyArguments::default() };
    let cluster = one_shard(policy);
    fill(&cluster, 0);
    fill(&cluster, BATCH);
    wait_for_shards(&cluster, 2);
    let settled = |status: &Status| {
        let is_over = |transfer: &TransferStatus| matches!(transfer.stage, TransferStage::Ended(_));
        status.transfers.iter().flatten().all(is_over) && growth(status).shards.iter().all(|it| !it.reading.clears_up)
    };
    cluster.wait("settled", STEADY, settled);
    for number in 0..2 * BATCH {
        cluster.remove(&key(number));
    }
    cluster
        .set_policy(&SetPolicyArguments { merge_below_record_bytes: Some(1 << 19), ..Default::default() })
        .expect("the policy makes sense");
    let pace = Pace { time: Duration::from_secs(60), rounds: 5 };
    let status = cluster.wait("merged", pace, |_| cluster.routing_table().routes.len() == 1);
    let merges = growth(&status).decisions.iter().filter(|decision| decision.reason == GrowthReason::LittleHeld);
    assert_eq!(merges.count(), splits(&status).len(), "every split was undone");
    // What was emptied is a spare, and is used by the next split.
    let shards = status.shards.len();
    cluster.set_policy(&SetPolicyArguments { merge_below_record_bytes: Some(0), ..Default::default() }).expect("so");
    fill(&cluster, 0);
    fill(&cluster, BATCH);
    wait_for_shards(&cluster, 2);
    assert_eq!(cluster.status().shards.len(), shards);
}

#[test]
fn as_many_spares_are_kept_as_the_policy_asks_for() {
    let cluster = one_shard(SetPolicyArguments { spares_min: Some(2), ..SetPolicyArguments::default() });
    let status = cluster.wait("done with spares", STEADY, |status| {
        status.shards.len() == 3
            && status.shards.iter().all(|shard| shard.stage == canopy_types::status::ShardStage::Open)
    });
    assert_eq!((growth(&status).spares, growth(&status).spares_wanted), (2, 2));
    assert!(growth(&status).decisions.iter().all(|decision| decision.reason == GrowthReason::Spares));
    let id = crate::split::split(&cluster, ShardIndex(0), None).expect("the only shard can be split");
    assert_eq!(crate::split::wait_for_end(&cluster, id), TransferEnd::Done);
    cluster.wait("back to two spares", STEADY, |status| status.shards.len() == 4);
}

/// Shards up to which the store of the last test grows.
const GROWN_SHARDS: usize = 32;

/// Keys that are written in that test, the first ones far more often than the last.
const GROWN_KEYS: u32 = 24_000;

#[test]
fn a_store_grows_from_one_shard_to_thirty_two_under_zipfian_load_and_keeps_everything() {
    let policy = SetPolicyArguments {
        split_at_record_bytes: Some(400 << 10),
        splits_per_hour_max: Some(60),
        ..SetPolicyArguments::default()
    };
    let cluster = Cluster::builder().initial_shards(1).shard_cycles(T).ready();
    cluster.set_policy(&policy).expect("the policy makes sense");
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let (mut draws, mut next_key, mut refused, mut sent) = (Draws(7), 0, 0, 0);
    while cluster.routing_table().routes.len() < GROWN_SHARDS {
        assert!(next_key < GROWN_KEYS, "too few splits: {:#?}", cluster.status().growth);
        // New keys, and others by a zipfian draw among those that there are.
        let mut batch: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for _ in 0..BATCH {
            batch.insert(key(next_key), vec![next_key as u8; 500]);
            let again = draws.zipfian(next_key + 1);
            batch.insert(key(again), draws.next().to_le_bytes().repeat(75));
            next_key += 1;
        }
        for _ in 0..ATTEMPTS_MAX {
            let item = |(key, value): (&Vec<u8>, &Vec<u8>)| PutItem::new(key.clone(), value.clone());
            let arguments = PutManyArguments { items: batch.iter().map(item).collect(), operation: None };
            let answers: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &arguments);
            sent += batch.len();
            let keys: Vec<Vec<u8>> = batch.keys().cloned().collect();
            for (key, answer) in keys.into_iter().zip(answers.expect("the batch is admitted")) {
                match answer {
                    Ok(_) => _ = model.insert(key.clone(), batch.remove(&key).expect("it was sent")),
                    Err(PutError::Busy { reason: BusyReason::RangeMoves, .. }) => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            cluster.turn(Pace { time: Duration::from_millis(500), rounds: 2 });
            if batch.is_empty() {
                break;
            }
        }
        assert!(batch.is_empty(), "these are never stored: {:?}", batch.keys());
    }
    let settled = |status: &Status| {
        let is_over = |transfer: &TransferStatus| matches!(transfer.stage, TransferStage::Ended(_));
        status.transfers.iter().flatten().all(is_over) && records(&cluster).iter().sum::<u64>() == model.len() as u64
    };
    cluster.wait("settled", STEADY, settled);
    let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
    for keys in keys.chunks(500) {
        let asked = keys.iter().map(|key| key.clone().into()).collect();
        let arguments = GetManyArguments { keys: asked, include_value: None };
        let found: GetManyResult = cluster.update(cluster.router, reader(), "get_many", &arguments);
        for (key, found) in keys.iter().zip(found.expect("the batch is admitted")) {
            let record = found.expect("the get is answered").expect("nothing is lost");
            assert_eq!(record.value.as_slice(), &model[key][..]);
        }
    }
    let owners = records(&cluster);
    let mean = model.len() as f64 / owners.len() as f64;
    let fullest = *owners.iter().max().expect("there are shards") as f64 / mean;
    println!(
        "{} shards, {} records, {refused} of {sent} writes told to come again, fullest over mean {fullest:.2}",
        owners.len(),
        model.len()
    );
    assert!(owners.len() >= GROWN_SHARDS && fullest <= 2.2, "{owners:?}");
}

/// Counts the records of every shard that owns something. Spares may still be made.
fn records(cluster: &Cluster) -> Vec<u64> {
    cluster.routing_table().routes.iter().map(|route| cluster.info(route.shard).records).collect()
}

/// Numbers that are the same in every run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Draws one of `count`, the first about twice as often as the second, and so on.
    fn zipfian(&mut self, count: u32) -> u32 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        // The inverse of the logarithm, which sums of one over rank grow like.
        ((f64::from(count + 1).powf(uniform) - 1.0) as u32).min(count - 1)
    }
}
