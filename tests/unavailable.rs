//! Shards that are stopped or gone.

use candid::Principal;
use canopy_types::codec::encode;
use canopy_types::{DeleteError, GetError, PutError};
use pocket_ic::ErrorCode;

use crate::cluster::{Cluster, FREEZING_THRESHOLD_DEFAULT_SECONDS, get_arguments, put_arguments};
use crate::people::{administrator, reader, writer};

/// The platform's reject codes.
const SYSTEM_TRANSIENT: u32 = 2;
const DESTINATION_INVALID: u32 = 3;
const CANISTER_ERROR: u32 = 5;

/// A freezing threshold that no balance meets.
const FOREVER_SECONDS: u64 = 1 << 62;

/// A cluster of two shards with one record on each.
struct Pair {
    cluster: Cluster,
    victim: Principal,
    key_of_victim: Vec<u8>,
    key_of_other: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let cluster = Cluster::builder().initial_shards(2).ready();
        let shards = cluster.shards();
        let key_of_victim = cluster.store_on(shards[0], b"value");
        let key_of_other = cluster.store_on(shards[1], b"value");
        Self { victim: shards[0], cluster, key_of_victim, key_of_other }
    }

    /// Checks that every operation on the victim's key answers that the shard isn't available, with `code`.
    fn check_unavailable(&self, code: u32) {
        let (cluster, key) = (&self.cluster, &self.key_of_victim);
        match cluster.put(writer(), key, b"other") {
            Err(PutError::ShardUnavailable { shard, reject_code, message }) => {
                assert_eq!((shard, reject_code), (self.victim, code), "{message}");
            }
            other => panic!("{other:?}"),
        }
        for answer in [cluster.get(reader(), key), cluster.get_query(reader(), key)] {
            match answer {
                Err(GetError::ShardUnavailable { shard, reject_code, message }) => {
                    assert_eq!((shard, reject_code), (self.victim, code), "{message}");
                }
                other => panic!("{other:?}"),
            }
        }
        match cluster.delete(writer(), key) {
            Err(DeleteError::ShardUnavailable { shard, reject_code, message }) => {
                assert_eq!((shard, reject_code), (self.victim, code), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Checks that operations on the other shard go on.
    fn check_other_serves(&self) {
        let (cluster, key) = (&self.cluster, &self.key_of_other);
        let before = cluster.load(key).expect("the record was put");
        let version = cluster.store(key, b"changed");
        assert!(version > before.version);
        assert_eq!(cluster.remove(key), Some(version));
        cluster.store(key, b"value");
    }
}

#[test]
fn a_stopped_shard_is_told_and_serves_again_after_its_start() {
    let pair = Pair::new();
    let before = pair.cluster.load(&pair.key_of_victim);
    pair.cluster.stop(pair.victim, administrator());
    pair.check_unavailable(CANISTER_ERROR);
    pair.check_other_serves();
    assert!(pair.cluster.status().ready);
    pair.cluster.start(pair.victim, administrator());
    assert_eq!(pair.cluster.load(&pair.key_of_victim), before);
    let version = pair.cluster.store(&pair.key_of_victim, b"changed");
    assert!(version > before.expect("the record was put").version);
    assert_eq!(pair.cluster.status().open_calls, 0);
}

#[test]
fn a_direct_call_to_a_stopped_shard_is_rejected_by_the_platform() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    cluster.stop(shard, administrator());
    let put = cluster.update_raw(shard, administrator(), "put", encode(&put_arguments(b"key", b"value")));
    assert_eq!(put.expect_err("the shard is stopped").error_code, ErrorCode::CanisterStopped);
    let get = cluster.query_raw(shard, administrator(), "get_query", encode(&get_arguments(b"key")));
    assert_eq!(get.expect_err("the shard is stopped").error_code, ErrorCode::CanisterStopped);
}

#[test]
fn a_deleted_shard_is_told_and_the_others_go_on() {
    let pair = Pair::new();
    pair.cluster.stop(pair.victim, administrator());
    pair.cluster.pic.delete_canister(pair.victim, Some(administrator())).expect("an administrator may delete a shard");
    assert!(!pair.cluster.pic.canister_exists(pair.victim));
    pair.check_unavailable(DESTINATION_INVALID);
    pair.check_other_serves();
}

#[test]
fn a_shard_without_code_is_told() {
    let pair = Pair::new();
    pair.cluster.pic.uninstall_canister(pair.victim, Some(administrator())).expect("an administrator may uninstall");
    pair.check_unavailable(CANISTER_ERROR);
    pair.check_other_serves();
}

#[test]
fn a_shard_without_cycles_is_told_and_serves_again_when_it_has_some() {
    let pair = Pair::new();
    let before = pair.cluster.load(&pair.key_of_victim);
    pair.cluster.set_freezing_threshold(pair.victim, administrator(), FOREVER_SECONDS);
    pair.check_unavailable(SYSTEM_TRANSIENT);
    pair.check_other_serves();
    pair.cluster.set_freezing_threshold(pair.victim, administrator(), FREEZING_THRESHOLD_DEFAULT_SECONDS);
    assert_eq!(pair.cluster.load(&pair.key_of_victim), before);
    pair.cluster.store(&pair.key_of_victim, b"changed");
}
