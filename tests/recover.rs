//! A lost router, and a new one that is built from what the shards know.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_artifacts::ROUTER_WASM;
use canopy_types::codec::encode;
use canopy_types::policy::SetPolicyArguments;
use canopy_types::recovery::{AdoptRouterArguments, AdoptRouterResult, RecoverArguments, RecoverError, RecoverResult};
use canopy_types::roles::{Grant, Role};
use canopy_types::transfer::TransferEnd;
use canopy_types::{GetError, HashRange, InitArguments, PutError};
use ic_management_canister_types::CanisterInstallMode;

use crate::cluster::{Cluster, Pace, T, create_canister};
use crate::people::{administrator, owner, person, reader, writer};
use crate::split::{FIRST, SECOND, check, filled, merge, split, wait_for_end};

/// Installs a router beside the cluster's, which waits to be told the shards.
fn new_router(cluster: &Cluster) -> Cluster {
    let router = create_canister(&cluster.pic, 100 * T);
    let arguments = InitArguments {
        administrators: Some(vec![administrator()]),
        without_shards: Some(true),
        shard_cycles: Some((10 * T).into()),
        ..InitArguments::default()
    };
    cluster
        .install(router, owner(), CanisterInstallMode::Install, ROUTER_WASM.to_vec(), encode(&arguments))
        .expect("the router accepts these arguments");
    cluster.with_router(router)
}

fn adopt(cluster: &Cluster, shard: Principal, router: Principal) {
    let adopted: AdoptRouterResult =
        cluster.update(shard, administrator(), "adopt_router", &AdoptRouterArguments { router });
    adopted.expect("an administrator may give a shard another router");
}

fn recover(cluster: &Cluster, shards: &[Principal]) -> RecoverResult {
    cluster.update(cluster.router, administrator(), "recover", &RecoverArguments { shards: shards.to_vec() })
}

/// Two shards with records, and a spare.
fn three_shards() -> (Cluster, BTreeMap<Vec<u8>, Vec<u8>>) {
    let (cluster, model) = filled(40, 1_000);
    for _ in 0..2 {
        let id = split(&cluster, FIRST, None).expect("the first shard can be split");
        assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    }
    check(&cluster, &model);
    let third = canopy_types::ShardIndex(2);
    let id = merge(&cluster, third, FIRST).expect("neighbours can be merged");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
    (cluster, model)
}

#[test]
fn a_lost_router_is_replaced_by_one_that_learns_everything_from_the_shards() {
    let (cluster, mut model) = three_shards();
    let tenant = person("tenant");
    let grant = Grant { grantee: Some(tenant), role: Role::Writer, prefix: Some(b"tenant/".to_vec().into()) };
    cluster.grant(&grant).expect("an administrator may grant this");
    let limit = SetPolicyArguments { operations_per_minute_max: Some(1_000_000), ..SetPolicyArguments::default() };
    cluster.set_policy(&limit).expect("the policy makes sense");
    cluster.wait_until_told();
    let (table, shards) = (cluster.routing_table(), cluster.shards());
    cluster.stop(cluster.router, owner());
    cluster.pic.uninstall_canister(cluster.router, Some(owner())).expect("its controller may");

    let renewed = new_router(&cluster);
    assert!(!renewed.status().ready);
    let asked: PutError = renewed.put(administrator(), b"key", b"value").expect_err("it knows no shards");
    assert!(matches!(asked, PutError::NotReady { .. }), "{asked:?}");
    for &shard in &shards {
        adopt(&renewed, shard, renewed.router);
    }
    let done = recover(&renewed, &shards).expect("these are all shards");
    assert_eq!((done.serving, done.spares, done.grants_left_out), (2, 1, 0));
    assert!(done.roles_version.is_some());
    assert_eq!(renewed.routing_table(), table);

    // Rights and limits are those of before, and who administers the new one besides.
    assert!(renewed.put(tenant, b"tenant/1", b"mine").is_ok());
    assert!(matches!(renewed.put(tenant, b"other", b"mine"), Err(PutError::Unauthorised { .. })));
    assert!(matches!(renewed.get_query(person("stranger"), b"key 1"), Err(GetError::Unauthorised { .. })));
    model.insert(b"tenant/1".to_vec(), b"mine".to_vec());
    check(&renewed, &model);
    renewed.wait_until_told();

    // Ranges go on changing hands: epochs are above all that were.
    let index = renewed.status().shards.iter().find(|shard| shard.range != HashRange::EMPTY).expect("some serve").index;
    let id = split(&renewed, index, None).expect("a shard can be split");
    assert_eq!(wait_for_end(&renewed, id), TransferEnd::Done);
    for (key, value) in &model {
        assert_eq!(renewed.load(key).expect("nothing is lost").value.as_slice(), &value[..]);
    }
    assert!(renewed.routing_table().routes.iter().any(|route| route.epoch > table.routes[0].epoch));
    // An upgraded router remembers, and doesn't recover again.
    renewed.upgrade_router(ROUTER_WASM);
    assert_eq!(recover(&renewed, &shards), Err(RecoverError::HasShards { shards: 3 }));
    renewed.store(b"key 1", b"later");
    assert!(renewed.get(reader(), b"key 1").is_ok() && renewed.put(writer(), b"key 2", b"v").is_ok());
}

#[test]
fn lists_that_make_no_deployment_are_refused_and_change_nothing() {
    let (cluster, model) = three_shards();
    let (shards, renewed) = (cluster.shards(), new_router(&cluster));
    let shards_max = u64::from(canopy_types::limits::SHARDS_MAX);
    assert_eq!(recover(&renewed, &[]), Err(RecoverError::ShardCount { shards: 0, shards_max }));
    let twice = [shards[0], shards[1], shards[0]];
    assert_eq!(recover(&renewed, &twice), Err(RecoverError::NamedTwice { shard: shards[0] }));
    assert_eq!(recover(&renewed, &shards), Err(RecoverError::NotAdopted { shard: shards[0] }));
    // Nobody but those who control a shard give it another router.
    let arguments = encode(&AdoptRouterArguments { router: renewed.router });
    cluster.update_raw(shards[0], writer(), "adopt_router", arguments).expect_err("writers don't even get in");

    // The old router goes on until its shards have another one.
    check(&cluster, &model);
    shards.iter().for_each(|&shard| adopt(&cluster, shard, renewed.router));
    let owners: Vec<Principal> = cluster.routing_table().routes.iter().map(|route| route.shard).collect();
    let lost = cluster.info(owners[1]).range;
    let gap = Err(RecoverError::Gap { first: lost.first, last: lost.last });
    assert_eq!(recover(&renewed, &[owners[0]]), gap);
    match recover(&renewed, &[owners[0], cluster.router]) {
        Err(RecoverError::NoAnswer { shard, .. }) => assert_eq!(shard, cluster.router),
        other => panic!("{other:?}"),
    }
    // A shard of another deployment, which an administrator of both has confused.
    let other = Cluster::builder().instance(cluster.pic.clone()).initial_shards(1).ready();
    adopt(&other, other.shards()[0], renewed.router);
    let foreign = recover(&renewed, &[owners[0], owners[1], other.shards()[0]]);
    assert_eq!(foreign, Err(RecoverError::OtherSecrets { shard: other.shards()[0] }));
    assert_eq!(recover(&cluster, &shards), Err(RecoverError::HasShards { shards: 3 }));
    assert!(!renewed.status().ready && renewed.status().shards.is_empty());
    assert_eq!(recover(&renewed, &owners).expect("spares may be left out").spares, 0);
    for (key, value) in &model {
        assert_eq!(renewed.load(key).expect("nothing is lost").value.as_slice(), &value[..]);
    }
}

/// Somebody has put an older snapshot back, so that a shard owns again what it gave away.
#[test]
fn two_shards_that_own_the_same_range_are_refused_until_one_is_chosen() {
    let (cluster, model) = filled(20, 1_000);
    let source = cluster.shards()[0];
    cluster.stop(source, administrator());
    let taken = cluster.pic.take_canister_snapshot(source, Some(administrator()), None);
    let whole = taken.expect("its controller may").id;
    cluster.start(source, administrator());
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    check(&cluster, &model);
    let before = cluster.info(source);
    let shards = cluster.shards();
    cluster.stop(source, administrator());
    let loaded = cluster.pic.load_canister_snapshot(source, Some(administrator()), whole);
    loaded.expect("its controller may");
    cluster.start(source, administrator());

    let renewed = new_router(&cluster);
    shards.iter().for_each(|&shard| adopt(&renewed, shard, renewed.router));
    let claims: Vec<_> = shards.iter().map(|&shard| renewed.info(shard)).collect();
    let (old, new) = (&claims[0], &claims[1]);
    assert!(old.range == HashRange::FULL && old.epoch < before.epoch && new.epoch == before.epoch, "{claims:?}");
    match recover(&renewed, &shards) {
        Err(RecoverError::OwnedTwice { one, one_epoch, other, other_epoch, range }) => {
            let named = BTreeMap::from([(one, one_epoch), (other, other_epoch)]);
            assert_eq!(named, BTreeMap::from([(shards[0], old.epoch), (shards[1], new.epoch)]));
            assert_eq!(range, new.range);
        }
        refused => panic!("{refused:?}"),
    }
    assert!(!renewed.status().ready && renewed.status().shards.is_empty());
    assert_eq!((renewed.info(shards[0]).range, renewed.info(shards[1]).range), (old.range, new.range));
    // Alone, the one that has everything of then is a deployment again.
    assert_eq!(recover(&renewed, &shards[..1]).expect("it owns all there is").serving, 1);
    for (key, value) in &model {
        assert_eq!(renewed.load(key).expect("nothing is lost").value.as_slice(), &value[..]);
    }
}

#[test]
fn a_shard_in_a_transfer_is_not_taken_over() {
    let (cluster, _) = filled(450, 200_000);
    let id = split(&cluster, FIRST, None).expect("the only shard can be split");
    let is_moving = |status: &canopy_types::status::Status| {
        crate::split::stage(status, id) == canopy_types::transfer::TransferStage::Moving
    };
    cluster.wait("moving", Pace::ROUND_BY_ROUND, is_moving);
    let (shards, renewed) = (cluster.shards(), new_router(&cluster));
    assert_eq!(shards.len(), SECOND.0 as usize + 1);
    shards.iter().for_each(|&shard| adopt(&cluster, shard, renewed.router));
    // Shards go on without a router.
    let mut refused = 0;
    let done = loop {
        match recover(&renewed, &shards) {
            Err(RecoverError::InTransfer { id: told, .. }) => assert_eq!(told, id),
            other => break other,
        }
        refused += 1;
        assert!(refused < 300, "the transfer doesn't end");
        cluster.turn(Pace::BRISK);
    };
    assert!(refused > 0, "the range had moved before it was asked for");
    let done = done.expect("both have heard of the end");
    assert_eq!((done.serving, done.spares), (2, 0));
}
