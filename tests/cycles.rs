//! Routers that are short of cycles.

use canopy_types::{
    BatchError, BusyReason, DeleteError, GetError, PutError, PutItem, PutManyArguments, PutManyResult, ScanArguments,
    ScanResult,
};
use pocket_ic::ErrorCode;

use crate::cluster::{Cluster, T};
use crate::people::{reader, writer};

/// Enough to start a message (40.005 G), and too little to call a shard from it (42.1 G more).
const BUSY_CYCLES: u128 = 65_000_000_000;

/// Too little to start a message.
const IDLE_CYCLES: u128 = 30_000_000_000;

/// A ready cluster whose router has little left.
fn small_cluster() -> Cluster {
    Cluster::builder().initial_shards(1).shard_cycles(T).cycles(4 * T).ready()
}

fn check_router_cycles(retry_after_milliseconds: u64, reason: BusyReason) {
    assert!(retry_after_milliseconds > 0);
    match reason {
        BusyReason::RouterCycles { available, required } => assert!(available < required, "{available} {required}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_router_short_of_cycles_answers_busy_with_numbers_and_changes_nothing() {
    let cluster = small_cluster();
    cluster.store(b"key", b"value");
    let before = cluster.load(b"key");

    cluster.leave_spendable(BUSY_CYCLES);
    match cluster.put(writer(), b"key", b"other") {
        Err(PutError::Busy { retry_after_milliseconds, reason }) => {
            check_router_cycles(retry_after_milliseconds, reason)
        }
        other => panic!("{other:?}"),
    }
    match cluster.get(reader(), b"key") {
        Err(GetError::Busy { retry_after_milliseconds, reason }) => {
            check_router_cycles(retry_after_milliseconds, reason)
        }
        other => panic!("{other:?}"),
    }
    match cluster.delete(writer(), b"key") {
        Err(DeleteError::Busy { retry_after_milliseconds, reason }) => {
            check_router_cycles(retry_after_milliseconds, reason)
        }
        other => panic!("{other:?}"),
    }
    let items = vec![
        PutItem::new(b"key".to_vec(), b"other".to_vec()),
        PutItem::new(b"another key".to_vec(), b"other".to_vec()),
    ];
    let batch = PutManyArguments { items, operation: None };
    let refused: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &batch);
    match refused {
        Err(BatchError::Busy { retry_after_milliseconds, reason }) => {
            check_router_cycles(retry_after_milliseconds, reason)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.status().open_calls, 0);
    let queried = cluster.get_query(reader(), b"key").expect("queries cost nothing");
    assert_eq!(queried, before);

    cluster.pic.add_cycles(cluster.router, 10 * T);
    assert_eq!(cluster.load(b"key"), before);
    cluster.store(b"key", b"other");
}

#[test]
fn a_router_that_cannot_start_a_message_is_rejected_by_the_platform_and_recovers() {
    let cluster = small_cluster();
    cluster.store(b"key", b"value");
    let before = cluster.load(b"key");

    cluster.leave_spendable(IDLE_CYCLES);
    let argument = canopy_types::codec::encode(&crate::cluster::put_arguments(b"key", b"other"));
    let reject = cluster.update_raw(cluster.router, writer(), "put", argument).expect_err("no cycles, no message");
    assert_eq!(reject.error_code, ErrorCode::CanisterOutOfCycles, "{reject}");
    // Queries cost nothing, and the calls in them neither.
    assert_eq!(cluster.get_query(reader(), b"key"), Ok(before.clone()));
    let page: ScanResult = cluster.query(cluster.router, reader(), "scan_query", &ScanArguments::default());
    assert_eq!(page.expect("a page is answered").records.len(), 1);

    cluster.pic.add_cycles(cluster.router, 10 * T);
    assert_eq!(cluster.load(b"key"), before);
    cluster.store(b"key", b"other");
}
