//! From an empty router to one that serves.

use std::collections::BTreeSet;

use canopy_types::limits::{INITIAL_SHARDS_DEFAULT, INITIAL_SHARDS_MAX, SHARD_CYCLES_DEFAULT};
use canopy_types::routing::Epoch;
use canopy_types::status::{ShardStage, Step};
use canopy_types::{DeleteError, GetError, PutError, ShardIndex};

use crate::cluster::{Cluster, ClusterBuilder, Pace, T};
use crate::people::{administrator, owner, person, reader, writer};

/// Checks all that holds for a router which has just become ready with `count` shards.
fn check_new_cluster(builder: ClusterBuilder, count: u32) -> Cluster {
    let cluster = builder.ready();
    let status = cluster.status();
    assert_eq!(status.alarms, vec![]);
    assert_eq!(status.journal.step, None);
    assert_eq!(status.open_calls, 0);
    assert_eq!(status.shards.len(), count as usize);

    let table = cluster.routing_table();
    assert_eq!(table.check_invariants(), Ok(()));
    assert_eq!(table.routes.len(), count as usize);
    let distinct: BTreeSet<_> = table.routes.iter().map(|route| route.shard).collect();
    assert_eq!(distinct.len(), count as usize, "every range has a shard of its own");
    assert!(!distinct.contains(&cluster.router));

    let mut fingerprints = BTreeSet::new();
    for (position, shard) in status.shards.iter().enumerate() {
        let canister = shard.canister.expect("a shard of a ready router has a canister");
        assert_eq!((shard.index, shard.stage), (ShardIndex(position as u32), ShardStage::Open));
        let route = table.routes.iter().find(|route| route.shard == canister).expect("the table names every shard");
        assert_eq!((route.range, route.epoch), (shard.range, shard.epoch));
        let info = cluster.info(canister);
        assert_eq!((info.router, info.index), (cluster.router, shard.index));
        assert_eq!((info.range, info.epoch, info.records), (shard.range, Epoch::FIRST, 0));
        assert!(!info.out_of_space);
        fingerprints.insert(info.secret_fingerprint);
        let controllers: BTreeSet<_> = cluster.pic.get_controllers(canister).into_iter().collect();
        let expected = status.administrators.iter().copied().chain([cluster.router]).collect();
        assert_eq!(controllers, expected, "router and administrators control shard {position}");
    }
    assert_eq!(fingerprints.len(), 1, "all shards have the same secret");
    cluster
}

#[test]
fn a_router_has_two_shards_unless_it_is_told_otherwise() {
    let cluster = check_new_cluster(Cluster::builder(), INITIAL_SHARDS_DEFAULT);
    let balance = cluster.pic.cycle_balance(cluster.shards()[0]);
    assert!(balance > SHARD_CYCLES_DEFAULT - T / 2 && balance <= SHARD_CYCLES_DEFAULT, "{balance}");
}

#[test]
fn a_router_with_one_shard_gives_it_everything() {
    check_new_cluster(Cluster::builder().initial_shards(1), 1);
}

#[test]
fn three_shards_cover_the_hash_space_once() {
    check_new_cluster(Cluster::builder().initial_shards(3), 3);
}

#[test]
fn as_many_shards_as_may_be_cover_the_hash_space_once() {
    let cluster = check_new_cluster(Cluster::builder().initial_shards(INITIAL_SHARDS_MAX), INITIAL_SHARDS_MAX);
    for number in 0..64_u32 {
        cluster.store(&number.to_be_bytes(), &number.to_le_bytes());
    }
    for number in 0..64_u32 {
        let record = cluster.load(&number.to_be_bytes()).expect("the record was put");
        assert_eq!(record.value.as_slice(), number.to_le_bytes());
    }
}

#[test]
fn several_administrators_control_every_shard() {
    let administrators = vec![administrator(), person("second administrator"), person("third administrator")];
    let cluster = check_new_cluster(Cluster::builder().administrators(Some(administrators.clone())), 2);
    let shards = cluster.shards();
    for administrator in administrators {
        cluster.stop(shards[0], administrator);
        cluster.start(shards[0], administrator);
    }
    for nobody in [writer(), reader(), owner()] {
        cluster.pic.stop_canister(shards[0], Some(nobody)).expect_err("only administrators control shards");
    }
}

#[test]
fn who_installs_the_router_administers_it_unless_others_are_named() {
    let cluster = Cluster::builder().administrators(None).ready();
    assert_eq!(cluster.status().administrators, vec![owner()]);
    let controllers: BTreeSet<_> = cluster.pic.get_controllers(cluster.shards()[0]).into_iter().collect();
    assert_eq!(controllers, BTreeSet::from([owner(), cluster.router]));
}

#[test]
fn two_routers_draw_different_secrets() {
    let first = Cluster::builder().initial_shards(1).ready();
    let fingerprint = first.info(first.shards()[0]).secret_fingerprint;
    let second = Cluster::builder().initial_shards(1).instance(first.pic.clone()).ready();
    assert_ne!(second.info(second.shards()[0]).secret_fingerprint, fingerprint);
}

#[test]
fn operations_before_the_router_is_ready_answer_not_ready() {
    let cluster = Cluster::builder().deploy();
    let status = cluster.status();
    assert!(!status.ready);
    assert_eq!(status.journal.step, Some(Step::DrawSecret));
    assert!(status.shards.iter().all(|shard| shard.stage == ShardStage::Planned));
    assert_eq!(cluster.routing_table().routes, vec![]);

    let put = cluster.put(writer(), b"early", b"value");
    assert!(matches!(put, Err(PutError::NotReady { retry_after_milliseconds: 1.. })), "{put:?}");
    let get = cluster.get(reader(), b"early");
    assert!(matches!(get, Err(GetError::NotReady { retry_after_milliseconds: 1.. })), "{get:?}");
    let get = cluster.get_query(reader(), b"early");
    assert!(matches!(get, Err(GetError::NotReady { retry_after_milliseconds: 1.. })), "{get:?}");
    let delete = cluster.delete(writer(), b"early");
    assert!(matches!(delete, Err(DeleteError::NotReady { retry_after_milliseconds: 1.. })), "{delete:?}");

    cluster.wait_until_ready();
    assert_eq!(cluster.load(b"early"), None, "a put that answered NotReady was not done");
    let version = cluster.store(b"early", b"value");
    assert_eq!(cluster.load(b"early").expect("the record was put").version, version);
}

#[test]
fn the_status_tells_every_step_of_the_start() {
    let cluster = Cluster::builder().initial_shards(2).deploy();
    let (mut stages_seen, mut steps_seen) = (BTreeSet::new(), vec![]);
    const ROUNDS_MAX: usize = 1_000;
    for _ in 0..ROUNDS_MAX {
        let status = cluster.status();
        if status.ready {
            break;
        }
        stages_seen.extend(status.shards.iter().map(|shard| shard.stage));
        steps_seen.extend(status.journal.step);
        assert_eq!(cluster.routing_table().routes, vec![], "no routes before the router is ready");
        cluster.turn(Pace::ROUND_BY_ROUND);
    }
    assert!(cluster.status().ready);
    for step in [Step::DrawSecret, Step::CreateShard(ShardIndex(0)), Step::CreateShard(ShardIndex(1))] {
        assert!(steps_seen.contains(&step), "{step:?} was never seen: {steps_seen:?}");
    }
    assert!(stages_seen.contains(&ShardStage::Planned) && stages_seen.contains(&ShardStage::Created));
}
