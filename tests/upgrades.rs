//! Upgrades of router and shards.

use candid::Principal;
use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_types::status::Status;
use canopy_types::{Record, ShardIndex};
use pocket_ic::ErrorCode;

use crate::cluster::{Cluster, Pace, T};
use crate::people::{administrator, owner};

const RECORDS: u32 = 60;

/// Stores records and gives what is stored.
fn store_records(cluster: &Cluster) -> Vec<(Vec<u8>, Record)> {
    let keys = (0..RECORDS).map(|number| format!("key {number}").into_bytes());
    let records = keys.map(|key| {
        cluster.store(&key, &[&key[..], b" value"].concat());
        let record = cluster.load(&key).expect("the record was put");
        (key, record)
    });
    records.collect()
}

/// Checks that all is as it was, and that writing goes on with greater versions.
fn check_records(cluster: &Cluster, records: &[(Vec<u8>, Record)]) {
    for (key, record) in records {
        assert_eq!(cluster.load(key).as_ref(), Some(record));
    }
    for (key, record) in records.iter().take(10) {
        assert!(cluster.store(key, b"later") > record.version);
        cluster.store(key, &record.value);
    }
}

fn fingerprints(cluster: &Cluster) -> Vec<u64> {
    cluster.shards().into_iter().map(|shard| cluster.info(shard).secret_fingerprint).collect()
}

#[test]
fn an_upgrade_of_the_router_keeps_table_secret_rights_and_records() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    let records = store_records(&cluster);
    let (table, fingerprints_before) = (cluster.routing_table(), fingerprints(&cluster));
    let administrators = cluster.status().administrators;

    cluster.upgrade_router(ROUTER_WASM);
    let status = cluster.status();
    assert!(status.ready);
    assert_eq!((status.alarms, status.administrators), (vec![], administrators));
    assert_eq!(cluster.routing_table(), table);
    assert_eq!(fingerprints(&cluster), fingerprints_before);
    check_records(&cluster, &records);
    let infos: u64 = cluster.shards().into_iter().map(|shard| cluster.info(shard).records).sum();
    assert_eq!(infos, u64::from(RECORDS), "no record went to another shard than before");
}

#[test]
fn an_upgrade_of_an_idle_router_that_runs_keeps_everything() {
    let cluster = Cluster::builder().ready();
    cluster.store(b"key", b"value");
    let before = cluster.load(b"key");
    for _ in 0..3 {
        cluster.upgrade_router_running(ROUTER_WASM).expect("no call is open");
        assert!(cluster.status().ready);
        assert_eq!(cluster.load(b"key"), before);
    }
}

#[test]
fn an_upgrade_of_a_shard_keeps_its_records() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let records = store_records(&cluster);
    let before: Vec<_> = cluster.shards().into_iter().map(|shard| cluster.info(shard)).collect();
    for shard in cluster.shards() {
        cluster.upgrade_shard(shard, SHARD_WASM);
    }
    for info_before in &before {
        let info = cluster.info(cluster.shards()[info_before.index.0 as usize]);
        assert_eq!((info.records, info.record_bytes), (info_before.records, info_before.record_bytes));
        assert_eq!((info.range, info.epoch, info.router), (info_before.range, info_before.epoch, info_before.router));
        assert_eq!(info.secret_fingerprint, info_before.secret_fingerprint);
        assert_eq!(info.last_version, info_before.last_version);
    }
    check_records(&cluster, &records);
}

#[test]
fn an_upgrade_to_bytes_that_are_no_code_changes_nothing() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    cluster.store(b"key", b"value");
    let before = cluster.load(b"key");
    let reject = cluster.upgrade_router_running(b"no module").expect_err("these bytes are no module");
    assert_eq!(reject.error_code, ErrorCode::CanisterInvalidWasm);
    assert_eq!(cluster.load(b"key"), before);
}

#[test]
fn an_upgrade_of_the_router_while_a_call_is_open_is_refused_and_goes_through_after_it() {
    const ROUNDS_MAX: usize = 200;
    let cluster = Cluster::builder().initial_shards(3).shard_cycles(T).cycles(100 * T).deploy();
    let mut refused = 0;
    for _ in 0..ROUNDS_MAX {
        let status = cluster.status();
        if status.ready {
            break;
        }
        if status.journal.waiting_for_answer && refused < 3 {
            match cluster.upgrade_router_running(ROUTER_WASM) {
                // The answer came before the upgrade.
                Ok(()) => {}
                Err(reject) => {
                    assert_eq!(reject.error_code, ErrorCode::CanisterCalledTrap, "{reject}");
                    assert!(reject.reject_message.contains("call"), "the text says what is open: {reject}");
                    refused += 1;
                }
            }
        }
        cluster.turn(Pace::ROUND_BY_ROUND);
    }
    assert!(refused > 0, "no upgrade met an open call");
    cluster.wait_until_ready();
    cluster.upgrade_router_running(ROUTER_WASM).expect("no call is open any more");
    check_start(&cluster, 3);
}

/// Checks a router that was upgraded while it made `shards` shards with 1 T each out of 100 T.
fn check_start(cluster: &Cluster, shards: usize) {
    let status = cluster.wait_until_ready();
    assert_eq!(status.alarms, vec![]);
    let mut canisters: Vec<Principal> = cluster.shards();
    canisters.sort();
    canisters.dedup();
    assert_eq!(canisters.len(), shards);
    assert_eq!(cluster.routing_table().check_invariants(), Ok(()));
    cluster.check_nothing_leaked(100 * T, shards as u128, T);
    cluster.store(b"key", b"value");
    assert!(cluster.load(b"key").is_some());
}

#[test]
fn an_upgrade_in_the_middle_of_the_start_resumes_it() {
    const UPGRADES_MAX: usize = 200;
    let cluster = Cluster::builder().initial_shards(3).shard_cycles(T).cycles(100 * T).deploy();
    let mut upgrades = vec![];
    let step = |status: &Status| status.journal.step;
    for _ in 0..UPGRADES_MAX {
        let status = cluster.status();
        if status.ready {
            break;
        }
        upgrades.extend(step(&status));
        cluster.upgrade_router(ROUTER_WASM);
        cluster.turn(Pace { rounds: 1 + upgrades.len() % 3, ..Pace::BRISK });
    }
    assert!(upgrades.len() > 3, "the start was over before it was disturbed: {upgrades:?}");
    check_start(&cluster, 3);
}

#[test]
fn a_stopped_router_starts_where_it_was() {
    let cluster = Cluster::builder().initial_shards(3).shard_cycles(T).cycles(100 * T).deploy();
    for rounds in 1..12 {
        cluster.turn(Pace { rounds, ..Pace::BRISK });
        cluster.stop(cluster.router, owner());
        cluster.turn(Pace::MINUTES);
        cluster.start(cluster.router, owner());
    }
    check_start(&cluster, 3);
}

#[test]
fn a_shard_that_is_stopped_while_the_router_is_upgraded_is_served_when_it_starts() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let shard = cluster.shards()[0];
    let key = cluster.store_on(shard, b"value");
    let before = cluster.load(&key);
    cluster.stop(shard, administrator());
    cluster.upgrade_router(ROUTER_WASM);
    assert!(cluster.status().ready);
    cluster.start(shard, administrator());
    assert_eq!(cluster.load(&key), before);
    assert_eq!(cluster.info(shard).index, ShardIndex(0));
}
