//! Shards that are taken out of service, and memory that is given back.

use canopy_types::recovery::{RetireShardArguments, RetireShardResult};
use canopy_types::status::{ShardStage, Status};
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, MoveError, TransferEnd, TransferError, TransferProgressArguments,
    TransferProgressResult, TransferSide,
};
use canopy_types::{Epoch, HashRange, ShardIndex};

use crate::cluster::{Cluster, Pace};
use crate::people::administrator;
use crate::split::{FIRST, SECOND, check, filled, filled_in_two, merge, split, wait_for_end};

fn retire(cluster: &Cluster, shard: ShardIndex, into: Option<ShardIndex>, leave: bool) -> RetireShardResult {
    let arguments = RetireShardArguments { shard, into, leave: Some(leave) };
    cluster.update(cluster.router, administrator(), "retire_shard", &arguments)
}

/// Tells how often a shard was asked for a key since its code was installed or upgraded.
fn operations(cluster: &Cluster, shard: usize) -> u64 {
    cluster.info(cluster.shards()[shard]).reading.expect("this shard measures itself").operations
}

fn is_open(status: &Status, shard: usize) -> bool {
    status.shards[shard].stage == ShardStage::Open
}

/// Waits until a shard was installed anew.
fn wait_until_wiped(cluster: &Cluster, shard: usize) {
    cluster.wait("wiped", Pace { rounds: 5, ..Pace::MINUTES }, |status| {
        is_open(status, shard) && operations(cluster, shard) == 0
    });
}

#[test]
fn a_retired_shard_gives_all_it_has_to_a_neighbour_and_is_a_spare_that_knows_nothing() {
    let (cluster, model) = filled(60, 20_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
    assert!(operations(&cluster, 1) > 0);

    let retiring = retire(&cluster, SECOND, None, false).expect("it has a neighbour").expect("it owns something");
    assert_eq!(wait_for_end(&cluster, retiring), TransferEnd::Done);
    wait_until_wiped(&cluster, 1);
    let spare = cluster.info(cluster.shards()[1]);
    assert_eq!((spare.range, spare.epoch, spare.records), (HashRange::EMPTY, Epoch(3), 0));
    check(&cluster, &model);

    // What it forgot is refused all the same when it comes late.
    let ask = |id| -> TransferProgressResult {
        cluster.update(cluster.shards()[1], administrator(), "transfer_progress", &TransferProgressArguments { id })
    };
    assert_eq!(ask(id), Err(TransferError::UnknownTransfer));
    let late = BeginTransferArguments {
        id,
        side: TransferSide::Target,
        peer: cluster.shards()[0],
        range: HashRange::FULL.part(1, 2).expect("there are halves"),
        epoch: Epoch(2),
        bytes: None,
    };
    let begun: BeginTransferResult = cluster.update(cluster.shards()[1], administrator(), "begin_transfer", &late);
    assert_eq!(begun, Err(TransferError::EpochTooLow { epoch: Epoch(2), epoch_min: Epoch(4) }));

    let id = split(&cluster, FIRST, None).expect("the shard with everything can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    assert_eq!(cluster.shards().len(), 2, "the spare was used");
    check(&cluster, &model);
}

#[test]
fn a_shard_that_the_router_parts_with_is_gone_from_its_list_and_never_used_again() {
    let (cluster, model) = filled(30, 1_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let parted = cluster.shards()[1];
    let id = retire(&cluster, SECOND, Some(FIRST), true).expect("it has a neighbour").expect("it owns something");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    cluster.wait("rid of it", Pace::MINUTES, |status| status.shards.len() == 1);
    assert_eq!(cluster.info(parted).records, 0, "administrators still control the canister");
    assert_eq!(retire(&cluster, SECOND, None, true), Err(MoveError::NoSuchShard { shard: SECOND }));
    let id = split(&cluster, FIRST, None).expect("the shard with everything can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let status = cluster.status();
    assert_eq!(status.shards.iter().map(|shard| shard.index.0).collect::<Vec<_>>(), [0, 2]);
    assert!(!cluster.shards().contains(&parted));
    for (key, value) in &model {
        assert_eq!(cluster.load(key).expect("nothing is lost").value.as_slice(), &value[..]);
    }
}

#[test]
fn an_emptied_shard_keeps_its_memory_while_another_may_need_its_word() {
    let (cluster, model) = filled_in_two(30, 1_000);
    let first = cluster.shards()[0];
    let id = merge(&cluster, SECOND, FIRST).expect("neighbours can be merged");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    // It says nothing any more, so it may wait for something.
    cluster.stop(first, administrator());
    for _ in 0..20 {
        cluster.turn(Pace::MINUTES);
    }
    assert!(operations(&cluster, 1) > 0);
    cluster.start(first, administrator());
    wait_until_wiped(&cluster, 1);
    check(&cluster, &model);
}

#[test]
fn what_cannot_be_retired_is_refused() {
    let (cluster, _) = filled(10, 100);
    assert_eq!(retire(&cluster, FIRST, None, false), Err(MoveError::LastShard { shard: FIRST }));
    assert_eq!(retire(&cluster, ShardIndex(7), None, false), Err(MoveError::NoSuchShard { shard: ShardIndex(7) }));
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(retire(&cluster, FIRST, None, false), Err(MoveError::InTransfer { shard: FIRST, id }));
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let range = cluster.info(cluster.shards()[1]).range;
    let itself = Err(MoveError::NotNeighbours { range, into: range });
    assert_eq!(retire(&cluster, SECOND, Some(SECOND), false), itself);
}
