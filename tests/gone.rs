//! Shards that somebody deletes while ranges change hands.

use candid::Principal;
use canopy_types::ShardIndex;
use canopy_types::status::Status;
use canopy_types::transfer::{TransferEnd, TransferStage};

use crate::cluster::{Cluster, Pace};
use crate::people::{administrator, reader};
use crate::split::{FIRST, check, filled, filled_in_two, make_spare, merge, split, stage, stop, wait_for_end};

fn delete(cluster: &Cluster, shard: Principal) {
    cluster.stop(shard, administrator());
    cluster.pic.delete_canister(shard, Some(administrator())).expect("an administrator may delete a shard");
}

fn why(status: &Status) -> String {
    let last = status.transfers.as_ref().and_then(|transfers| transfers.last());
    last.and_then(|transfer| transfer.last_failure.clone()).unwrap_or_default()
}

#[test]
fn a_spare_that_was_deleted_is_parted_with_and_another_one_is_split_to() {
    let (cluster, model) = filled(40, 1_000);
    let spare = make_spare(&cluster);
    delete(&cluster, spare);
    let id = split(&cluster, FIRST, None).expect("the router doesn't know yet");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Cancelled);
    let status = cluster.status();
    assert!(why(&status).contains("reject 3"), "{status:#?}");
    assert!(status.shards.iter().all(|shard| shard.canister != Some(spare)), "{status:#?}");
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    assert_eq!(cluster.status().shards[1].index, ShardIndex(2));
    check(&cluster, &model);
}

#[test]
fn a_target_that_is_deleted_on_the_way_costs_nothing_but_the_transfer() {
    let (cluster, model) = filled(300, 200_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let status = cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    delete(&cluster, status.shards[1].canister.expect("the target was made"));
    for _ in 0..10 {
        cluster.turn(Pace::BRISK);
    }
    let status = cluster.status();
    assert_eq!(stage(&status, id), TransferStage::Moving, "the source can't tell a lost target from a slow one");
    let transfers = status.transfers.expect("this router knows transfers");
    let progress = transfers[0].progress.as_ref().expect("the source was asked");
    assert!(progress.failed_attempts > 0 && progress.last_failure.is_some(), "{progress:?}");
    for (key, value) in model.iter().take(10) {
        assert_eq!(cluster.load(key).expect("the source goes on").value.as_slice(), &value[..]);
    }
    stop(&cluster, id).expect("the transfer runs");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Cancelled);
    let id = split(&cluster, FIRST, None).expect("it can be tried again");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
}

#[test]
fn a_source_that_is_deleted_on_the_way_is_not_waited_for() {
    let (cluster, model) = filled_in_two(300, 200_000);
    let [kept, lost] = cluster.shards()[..] else { panic!("two shards") };
    let of_kept = cluster.info(kept).records;
    let id = merge(&cluster, ShardIndex(1), FIRST).expect("they are neighbours");
    cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    delete(&cluster, lost);
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Cancelled);
    let status = cluster.status();
    assert!(why(&status).contains("reject 3"), "{status:#?}");
    // What its neighbour took in is dropped, and it takes part in transfers again.
    let id = split(&cluster, FIRST, None).expect("the neighbour is free");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let holds = |key: &[u8], value: &[u8]| {
        let found = cluster.get(reader(), key).ok().flatten();
        found.is_some_and(|record| record.value.as_slice() == value)
    };
    let found = model.iter().filter(|(key, value)| holds(key, value)).count();
    assert_eq!(found as u64, of_kept);
}

#[test]
fn a_source_that_is_deleted_before_it_begins_gives_nothing_away() {
    let (cluster, _) = filled_in_two(40, 1_000);
    let [kept, lost] = cluster.shards()[..] else { panic!("two shards") };
    let of_kept = cluster.info(kept).records;
    delete(&cluster, lost);
    let table = cluster.routing_table();
    let id = merge(&cluster, ShardIndex(1), FIRST).expect("the router doesn't know");
    let pace = Pace { time: std::time::Duration::from_secs(30), rounds: 5 };
    let ended = |status: &Status| matches!(stage(status, id), TransferStage::Ended(_));
    let status = cluster.wait("tired of asking", pace, ended);
    assert_eq!(stage(&status, id), TransferStage::Ended(TransferEnd::Cancelled));
    assert!(why(&status).contains("reject 3"), "{status:#?}");
    assert_eq!((cluster.routing_table(), cluster.info(kept).records), (table, of_kept));
}
