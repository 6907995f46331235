//! How much callers may ask for per minute.

use std::time::Duration;

use candid::Principal;
use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_types::policy::{Policy, PolicyResult, SetPolicyArguments, SetPolicyError};
use canopy_types::shard::{ShardError, ShardGetResult, ShardPutResult};
use canopy_types::{BusyReason, GetError, PutError};

use crate::cluster::{Cluster, Pace, get_arguments, put_arguments};
use crate::people::{administrator, owner, reader, writer};

fn operations(limit: u64) -> SetPolicyArguments {
    SetPolicyArguments { operations_per_minute_max: Some(limit), ..SetPolicyArguments::default() }
}

fn policy(cluster: &Cluster) -> Policy {
    let result: PolicyResult = cluster.query(cluster.router, owner(), "policy", &());
    result.expect("a controller may read the policy")
}

#[test]
fn there_is_no_limit_until_one_is_set() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    assert_eq!(policy(&cluster), Policy::default());
    for number in 0..50u32 {
        cluster.store(&number.to_be_bytes(), b"value");
    }
}

#[test]
fn a_caller_above_the_limit_is_busy_until_its_time_comes_and_others_are_not() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let expected = Policy { operations_per_minute_max: Some(6), ..Policy::default() };
    assert_eq!(cluster.set_policy(&operations(6)), Ok(expected.clone()));
    assert_eq!(policy(&cluster), expected);
    let mut refused = None;
    for number in 0..20u32 {
        match cluster.put(writer(), &number.to_be_bytes(), b"value") {
            Ok(_) => assert!(number < 9, "6 at once, and one more per 10 s"),
            Err(error) => {
                refused = Some((number, error));
                break;
            }
        }
    }
    let (number, error) = refused.expect("the limit is reached");
    let PutError::Busy { retry_after_milliseconds, reason } = error else { panic!("{error:?}") };
    assert!(number >= 6 && (1..=10_000).contains(&retry_after_milliseconds), "{number} {retry_after_milliseconds}");
    let limit = BusyReason::RateLimit { operations_per_minute_max: Some(6), bytes_per_minute_max: None };
    assert_eq!(reason, limit);
    assert_eq!(cluster.load(&number.to_be_bytes()), None, "a refused put does nothing");
    assert!(cluster.put(administrator(), b"other", b"value").is_ok(), "others have a share of their own");
    cluster.turn(Pace { time: Duration::from_millis(retry_after_milliseconds), rounds: 1 });
    assert!(cluster.put(writer(), b"later", b"value").is_ok(), "it has waited as long as it was told");
}

#[test]
fn the_bytes_of_replies_count() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    cluster.store(b"long", &vec![7; 1_000_000]);
    let limits = SetPolicyArguments { bytes_per_minute_max: Some(2 * 1024 * 1024), ..SetPolicyArguments::default() };
    cluster.set_policy(&limits).expect("2 MiB is enough for a message");
    let reads = (0..10).take_while(|_| cluster.get(reader(), b"long").is_ok()).count();
    assert!((2..=4).contains(&reads), "{reads} reads of 1 MB");
    let refused = cluster.get(reader(), b"long");
    let reason = BusyReason::RateLimit { operations_per_minute_max: None, bytes_per_minute_max: Some(2_097_152) };
    assert!(matches!(refused, Err(GetError::Busy { reason: told, .. }) if told == reason));
    assert!(cluster.get_query(reader(), b"long").is_ok(), "queries aren't counted");
}

#[test]
fn a_shard_counts_those_who_come_directly_and_not_its_router() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    cluster.set_policy(&operations(5)).expect("5 is a limit");
    cluster.wait_until_told();
    let put = |caller: Principal| -> ShardPutResult {
        cluster.update(shard, caller, "put", &put_arguments(b"key", b"value"))
    };
    let done = (0..20).take_while(|_| put(writer()).is_ok()).count();
    assert!((5..8).contains(&done), "{done} puts");
    let refused = put(writer());
    let Err(ShardError::RateLimited { operations_per_minute_max, retry_after_milliseconds, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(operations_per_minute_max, Some(5));
    assert!((1..=12_000).contains(&retry_after_milliseconds));
    let queried: ShardGetResult = cluster.query(shard, writer(), "get_query", &get_arguments(b"key"));
    assert!(queried.is_ok(), "queries aren't counted");
    assert!(cluster.put(writer(), b"key", b"value").is_ok(), "the router counts by itself");
    assert!(put(administrator()).is_ok(), "others have a share of their own");
    assert_eq!(cluster.set_policy(&operations(0)), Ok(Policy::default()));
    cluster.wait_until_told();
    assert!((0..20).all(|_| put(writer()).is_ok()), "the limit is lifted");
}

#[test]
fn limits_survive_upgrades_of_router_and_shard() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    cluster.set_policy(&operations(3)).expect("3 is a limit");
    cluster.upgrade_router(ROUTER_WASM);
    cluster.upgrade_shard(shard, SHARD_WASM);
    cluster.wait_until_told();
    assert_eq!(policy(&cluster).operations_per_minute_max, Some(3));
    let routed = (0..20).take_while(|_| cluster.put(writer(), b"key", b"value").is_ok()).count();
    assert!((3..8).contains(&routed), "{routed} puts through the router");
    let put = || cluster.update::<_, ShardPutResult>(shard, writer(), "put", &put_arguments(b"key", b"value"));
    let direct = (0..20).take_while(|_| put().is_ok()).count();
    assert!((3..8).contains(&direct), "{direct} direct puts");
}

#[test]
fn nonsense_is_refused_with_its_bounds_and_changes_nothing() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    cluster.set_policy(&operations(3)).expect("3 is a limit");
    let version = cluster.roles().version;
    let arguments = SetPolicyArguments {
        operations_per_minute_max: Some(9),
        bytes_per_minute_max: Some(1_000),
        ..SetPolicyArguments::default()
    };
    let error = cluster.set_policy(&arguments).expect_err("no message is so short");
    let expected = SetPolicyError::OutOfBounds {
        setting: "bytes_per_minute_max".to_string(),
        value: 1_000,
        value_min: 2 * 1024 * 1024,
        value_max: 1 << 50,
    };
    assert_eq!(error, expected);
    assert_eq!(policy(&cluster).operations_per_minute_max, Some(3));
    assert_eq!(cluster.roles().version, version, "there is nothing to tell");
}
