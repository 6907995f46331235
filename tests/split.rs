//! Ranges that change hands while they are read and written.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_artifacts::SHARD_WASM;
use canopy_types::api::Operation;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::SetPolicyArguments;
use canopy_types::shard::ShardError;
use canopy_types::status::{ShardStage, Status};
use canopy_types::transfer::{
    ImportArguments, ImportResult, MergeShardArguments, MoveError, MoveResult, SplitShardArguments,
    StopTransferArguments, StopTransferResult, TransferEnd, TransferError, TransferPhase, TransferStage,
};
use canopy_types::{
    BusyReason, DeleteError, Epoch, GetError, HashRange, KeyHash, PutArguments, PutError, PutResult, ShardIndex,
    TransferId,
};
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace, T};
use crate::people::{administrator, reader, writer};

pub const FIRST: ShardIndex = ShardIndex(0);
pub const SECOND: ShardIndex = ShardIndex(1);

pub fn split(cluster: &Cluster, shard: ShardIndex, at: Option<u64>) -> MoveResult {
    let arguments = SplitShardArguments { shard, at: at.map(KeyHash) };
    cluster.update(cluster.router, administrator(), "split_shard", &arguments)
}

pub fn merge(cluster: &Cluster, shard: ShardIndex, into: ShardIndex) -> MoveResult {
    cluster.update(cluster.router, administrator(), "merge_shard", &MergeShardArguments { shard, into })
}

pub fn stop(cluster: &Cluster, id: TransferId) -> StopTransferResult {
    cluster.update(cluster.router, administrator(), "stop_transfer", &StopTransferArguments { id })
}

pub fn stage(status: &Status, id: TransferId) -> TransferStage {
    let transfers = status.transfers.as_ref().expect("this router knows transfers");
    transfers.iter().find(|transfer| transfer.id == id).expect("the transfer was begun lately").stage
}

fn phase(status: &Status, id: TransferId) -> Option<TransferPhase> {
    let transfers = status.transfers.as_ref().expect("this router knows transfers");
    let transfer = transfers.iter().find(|transfer| transfer.id == id).expect("the transfer was begun lately");
    transfer.progress.as_ref().map(|progress| progress.phase)
}

/// Waits until a transfer is over, and tells how it ended.
pub fn wait_for_end(cluster: &Cluster, id: TransferId) -> TransferEnd {
    let is_over = |status: &Status| matches!(stage(status, id), TransferStage::Ended(_));
    match stage(&cluster.wait("done with its transfer", Pace::BRISK, is_over), id) {
        TransferStage::Ended(end) => end,
        other => panic!("{other:?}"),
    }
}

/// One shard with room for the cycles of a transfer, and records on it.
pub fn filled(records: u32, value_bytes: usize) -> (Cluster, BTreeMap<Vec<u8>, Vec<u8>>) {
    filled_with(Cluster::builder().initial_shards(1).shard_cycles(10 * T).ready(), records, value_bytes)
}

/// As [`filled`], of a cluster that is ready.
pub fn filled_with(cluster: Cluster, records: u32, value_bytes: usize) -> (Cluster, BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut model = BTreeMap::new();
    for number in 0..records {
        let (key, value) = (format!("key {number}").into_bytes(), vec![number as u8; value_bytes]);
        cluster.store(&key, &value);
        model.insert(key, value);
    }
    (cluster, model)
}

/// As [`filled`], and then split: two shards, each with half of the hashes.
pub fn filled_in_two(records: u32, value_bytes: usize) -> (Cluster, BTreeMap<Vec<u8>, Vec<u8>>) {
    let (cluster, model) = filled(records, value_bytes);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
    (cluster, model)
}

/// Has the router keep a spare, waits for it, and tells which canister it is.
pub fn make_spare(cluster: &Cluster) -> Principal {
    let policy = SetPolicyArguments { spares_min: Some(1), ..SetPolicyArguments::default() };
    cluster.set_policy(&policy).expect("one spare may be wanted");
    let spare = |status: &Status| {
        let mut shards = status.shards.iter();
        shards.find(|shard| shard.range == HashRange::EMPTY && shard.stage == ShardStage::Open)?.canister
    };
    let status = cluster.wait("done with its spare", Pace::BRISK, |status| spare(status).is_some());
    spare(&status).expect("it was just there")
}

pub fn check(cluster: &Cluster, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    for (key, value) in model {
        let record = cluster.load(key).unwrap_or_else(|| panic!("{} is lost", String::from_utf8_lossy(key)));
        assert_eq!(record.value.as_slice(), &value[..], "{}", String::from_utf8_lossy(key));
    }
    // What a shard gave away it frees, so that each record is in one place.
    cluster.wait("clear", Pace::BRISK, |_| records_of(cluster).iter().sum::<u64>() == model.len() as u64);
}

pub fn records_of(cluster: &Cluster) -> Vec<u64> {
    cluster.shards().into_iter().map(|shard| cluster.info(shard).records).collect()
}

#[test]
fn a_split_while_reading_and_writing_loses_nothing_and_refuses_little() {
    let (cluster, mut model) = filled(60, 150_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let (mut writes, mut refused) = (0, 0);
    for turn in 0u32.. {
        assert!(turn < 600, "the transfer doesn't end: {:#?}", cluster.status());
        let key = format!("key {}", turn % 80).into_bytes();
        let value = format!("value {turn}").into_bytes();
        writes += 1;
        match cluster.put(writer(), &key, &value) {
            Ok(_) => _ = model.insert(key.clone(), value),
            Err(PutError::Busy { reason: BusyReason::RangeMoves, .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        match cluster.get(reader(), &key) {
            Ok(record) => {
                assert_eq!(record.map(|record| record.value.into_vec()).as_ref(), model.get(&key));
            }
            Err(GetError::Busy { reason: BusyReason::RangeMoves, .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        if turn % 7 == 3 {
            match cluster.delete(writer(), &key) {
                Ok(_) => _ = model.remove(&key),
                Err(DeleteError::Busy { reason: BusyReason::RangeMoves, .. }) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        cluster.turn(Pace { time: std::time::Duration::from_millis(100), rounds: 0 });
        if matches!(stage(&cluster.status(), id), TransferStage::Ended(_)) {
            break;
        }
    }
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    println!("{refused} of {} operations were told to come again", 2 * writes);
    assert!(refused * 10 <= writes, "{refused} of {writes}");

    let table = cluster.routing_table();
    assert_eq!(table.routes.len(), 2);
    assert!(table.routes.iter().all(|route| route.epoch == Epoch(2)));
    for (route, shard) in table.routes.iter().zip(cluster.shards()) {
        let info = cluster.info(shard);
        assert_eq!((route.shard, route.range, route.epoch), (shard, info.range, info.epoch));
    }
    check(&cluster, &model);
    assert!(records_of(&cluster).iter().all(|&records| records > 5));
}

#[test]
fn a_stale_caller_is_told_whom_to_ask() {
    let (cluster, model) = filled(40, 100);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let shards = cluster.shards();
    let mut moved = 0;
    for (key, value) in &model {
        let mut asked = shards[0];
        let mut hops = 0;
        let found = loop {
            match cluster.get_from_shard(asked, key) {
                Ok(record) => break record.expect("every record is somewhere").value,
                Err(ShardError::WrongShard(wrong)) => {
                    let moved = wrong.moved.expect("the shard knows what it gave away");
                    assert_eq!((wrong.owner, moved.epoch), (Some(shards[1]), Epoch(2)));
                    assert_eq!(moved.range, cluster.info(shards[1]).range);
                    asked = shards[1];
                    hops += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
            assert!(hops < 2);
        };
        assert_eq!(found.as_slice(), &value[..]);
        moved += hops;
    }
    assert!((5..35).contains(&moved), "{moved} of 40 keys moved");
}

#[test]
fn a_merge_brings_everything_back_and_the_emptied_shard_is_used_again() {
    let (cluster, model) = filled(50, 1_000);
    let id = split(&cluster, FIRST, Some(1 << 62)).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
    let id = merge(&cluster, FIRST, SECOND).expect("neighbours can be merged");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
    assert_eq!(records_of(&cluster), [0, 50]);
    let info = cluster.info(cluster.shards()[0]);
    assert_eq!((info.range, info.epoch), (HashRange::EMPTY, Epoch(3)));
    assert_eq!(cluster.routing_table().routes.len(), 1);

    let id = split(&cluster, SECOND, None).expect("the shard with everything can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    assert_eq!(cluster.shards().len(), 2, "the empty shard was used");
    check(&cluster, &model);
}

#[test]
fn a_stopped_transfer_leaves_everything_where_it_was() {
    let (cluster, model) = filled(300, 200_000);
    let before = cluster.routing_table();
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    stop(&cluster, id).expect("the transfer runs");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Cancelled);
    assert_eq!(cluster.routing_table(), before);
    assert_eq!(stop(&cluster, id), Err(MoveError::NoSuchTransfer));
    check(&cluster, &model);

    let id = split(&cluster, FIRST, None).expect("it can be tried again");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
}

#[test]
fn an_operation_is_told_what_it_did_by_the_shard_that_has_its_key_now() {
    let (cluster, _) = filled(5, 100);
    let now = cluster.pic.get_time().as_nanos_since_unix_epoch();
    let put = |number: u8| PutArguments {
        operation: Some(Operation { id: ByteBuf::from([number; 16]), issued_at_nanoseconds: now }),
        ..PutArguments::new(vec![number], vec![number; 10])
    };
    let send = |number: u8| -> PutResult { cluster.update(cluster.router, writer(), "put", &put(number)) };
    let versions: Vec<_> = (0..20).map(|number| send(number).expect("the put is done").version).collect();
    // Half of the receipts lie in records, half were displaced by a later write.
    for number in 0..10u8 {
        cluster.store(&[number], b"later");
    }
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    for (number, version) in (0..20).zip(versions) {
        assert_eq!(send(number).expect("the operation is known").version, version);
    }
    assert_eq!(cluster.load(&[3]).expect("it was put").value.as_slice(), b"later");
}

#[test]
fn shards_and_router_may_be_upgraded_in_the_midst_of_a_transfer() {
    let (cluster, model) = filled(60, 150_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let status = cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    for shard in status.shards.iter().filter_map(|shard| shard.canister) {
        cluster.upgrade_shard(shard, SHARD_WASM);
    }
    cluster.upgrade_router(canopy_artifacts::ROUTER_WASM);
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
}

#[test]
fn a_target_that_is_stopped_holds_up_the_transfer_and_not_the_service() {
    let (cluster, model) = filled(60, 150_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let status = cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    let target = status.shards[1].canister.expect("the target was made");
    cluster.stop(target, administrator());
    for _ in 0..20 {
        cluster.turn(Pace::BRISK);
    }
    let status = cluster.status();
    assert_eq!(stage(&status, id), TransferStage::Moving);
    println!("{:?}", phase(&status, id));
    for key in model.keys().take(10) {
        match cluster.get(reader(), key) {
            Ok(record) => assert!(record.is_some()),
            // The hand-over was under way.
            Err(GetError::Busy { reason: BusyReason::RangeMoves, .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    cluster.start(target, administrator());
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let range = cluster.info(cluster.shards()[0]).range;
    assert_eq!(split(&cluster, FIRST, Some(0)), Err(MoveError::BoundaryOutOfRange { range }));
    let nobody = ShardIndex(7);
    assert_eq!(split(&cluster, nobody, None), Err(MoveError::NoSuchShard { shard: nobody }));
    let itself = Err(MoveError::NotNeighbours { range, into: range });
    assert_eq!(merge(&cluster, FIRST, FIRST), itself);
    let id = merge(&cluster, FIRST, SECOND).expect("neighbours can be merged");
    for shard in [FIRST, SECOND] {
        assert_eq!(split(&cluster, shard, None), Err(MoveError::InTransfer { shard, id }));
    }
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    assert_eq!(merge(&cluster, FIRST, SECOND), Err(MoveError::ShardIsEmpty { shard: FIRST }));
    // One range left: all of it can't be given away.
    assert_eq!(merge(&cluster, SECOND, FIRST), Err(MoveError::ShardIsEmpty { shard: FIRST }));
}

#[test]
fn strangers_bring_nothing_into_a_transfer() {
    let cluster = Cluster::builder().initial_shards(1).shard_cycles(10 * T).relay_without_role().ready();
    for number in 0..40u32 {
        cluster.store(format!("key {number}").as_bytes(), &vec![1; 150_000]);
    }
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let status = cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    let arguments = ImportArguments { id, shard_time_nanoseconds: u64::MAX, batch: ByteBuf::from([1]) };
    let refused = |reply: Vec<u8>| decode::<ImportResult>(&reply).expect("the method answers what it says");
    let caller = cluster.relay();
    for shard in status.shards.iter().filter_map(|shard| shard.canister) {
        let answer = cluster.call_through_relay(shard, "import_batch", &encode(&arguments)).expect("shards answer");
        let answer = refused(answer);
        let is_refused = matches!(&answer, Err(TransferError::Unauthorised { caller: told }) if *told == caller);
        assert!(is_refused, "{answer:?}");
        // Administrators may begin and cancel, but they are no peers.
        cluster
            .update_raw(shard, administrator(), "import_batch", encode(&arguments))
            .expect_err("users bring nothing");
    }
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
}

#[test]
fn a_spare_that_was_never_used_owns_nothing() {
    let (cluster, _) = filled(1, 10);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let spare = cluster.wait("making a spare", Pace::ROUND_BY_ROUND, |status| {
        stage(status, id) == TransferStage::TellingTarget || stage(status, id) == TransferStage::Moving
    });
    let spare: Principal = spare.shards[1].canister.expect("the target was made");
    match cluster.get_from_shard(spare, b"any key") {
        Err(ShardError::WrongShard(wrong)) => assert_eq!((wrong.range, wrong.owner), (HashRange::EMPTY, None)),
        other => panic!("{other:?}"),
    }
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
}
