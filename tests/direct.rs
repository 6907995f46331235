//! Callers who ask the shards themselves, as far as the router's word goes and as long as it holds.

use std::time::Duration;

use candid::Principal;
use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_types::codec::{decode, encode};
use canopy_types::limits::OPERATION_ID_BYTES;
use canopy_types::roles::{Grant, Role};
use canopy_types::shard::{
    Action, Answer, ApplyArguments, Item, PutItem, ShardApplyResult, ShardDeleteResult, ShardError, ShardGetResult,
    ShardPutResult,
};
use canopy_types::{DeleteArguments, GetArguments, Operation, PutArguments, PutResult, Version};
use pocket_ic::ErrorCode;
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace, Reply, get_arguments, put_arguments};
use crate::people::{administrator, owner, person, reader, stranger, writer};

/// How long a shard believes its router.
const KEPT: Duration = Duration::from_secs(600);

fn limited(grantee: Principal, role: Role) -> Grant {
    Grant { grantee: Some(grantee), role, prefix: Some(ByteBuf::from("t/")) }
}

fn put(cluster: &Cluster, shard: Principal, caller: Principal, key: &[u8]) -> ShardPutResult {
    cluster.update(shard, caller, "put", &put_arguments(key, b"direct"))
}

fn get_query(cluster: &Cluster, shard: Principal, caller: Principal, key: &[u8]) -> ShardGetResult {
    cluster.query(shard, caller, "get_query", &get_arguments(key))
}

/// Expects that an update was refused before it ran.
fn check_rejected(reply: Reply) {
    let reject = reply.expect_err("the shard refuses this before it runs");
    assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage, "{reject}");
}

fn unauthorised<T>(caller: Principal) -> Result<T, ShardError> {
    Err(ShardError::Unauthorised { caller })
}

/// A batch of a get, and of puts.
fn batch(caller: Principal, puts: &[&[u8]], get: &[u8]) -> ApplyArguments {
    let put = |key: &&[u8]| {
        let (key, value) = (ByteBuf::from(*key), ByteBuf::from("batch"));
        Action::Put(PutItem { key, value, precondition: None, time_to_live_milliseconds: None })
    };
    let actions = puts.iter().map(put).chain([Action::Get(get_arguments(get))]);
    let items = (0..).zip(actions).map(|(index, action)| Item { index, action }).collect();
    ApplyArguments { caller, operation: None, reply_bytes_max: None, items }
}

#[test]
fn who_holds_a_role_may_ask_the_shards_from_the_first_moment_on() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    let version = put(&cluster, shard, writer(), b"key").expect("a writer may").version;
    assert_eq!(cluster.load(b"key").expect("the router sees it").version, version);
    for caller in [reader(), writer(), administrator()] {
        let queried = get_query(&cluster, shard, caller, b"key").expect("a reader may");
        let updated: ShardGetResult = cluster.update(shard, caller, "get", &get_arguments(b"key"));
        assert_eq!(queried, updated.expect("a reader may"));
        assert_eq!(queried.expect("the record was put").value.as_slice(), b"direct");
    }
    let done: ShardApplyResult = cluster.update(shard, writer(), "apply", &batch(writer(), &[b"a", b"b"], b"key"));
    assert_eq!(done.expect("a writer may").len(), 3);
    let read: ShardApplyResult = cluster.update(shard, reader(), "apply", &batch(reader(), &[], b"a"));
    let answers = read.expect("a reader's batch of gets");
    assert!(matches!(&answers[..], [Answer::Get(Ok(Some(record)))] if record.value.as_slice() == b"batch"));
    let deleted: ShardDeleteResult = cluster.update(shard, writer(), "delete", &DeleteArguments::new(b"key".to_vec()));
    assert_eq!(deleted.expect("a writer may").deleted, Some(version));
    assert_eq!(cluster.load(b"key"), None);
}

#[test]
fn keys_of_another_shard_are_answered_with_what_this_one_owns() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let [first, second] = cluster.shards().try_into().expect("there are two shards");
    let key = cluster.store_on(first, b"value");
    let range = cluster.info(second).range;
    assert!(
        matches!(put(&cluster, second, writer(), &key), Err(ShardError::WrongShard(wrong)) if wrong.range == range)
    );
    assert!(matches!(get_query(&cluster, second, reader(), &key), Err(ShardError::WrongShard(_))));
    assert_eq!(cluster.load(&key).expect("nobody removed it").value.as_slice(), b"value");
}

#[test]
fn limited_callers_reach_their_keys_at_a_shard_and_no_others() {
    let cluster = Cluster::builder().initial_shards(1).relay_without_role().ready();
    let (shard, tenant, relay) = (cluster.shards()[0], person("tenant"), cluster.relay());
    cluster.store(b"other", b"value");
    for grantee in [tenant, relay] {
        cluster.grant(&limited(grantee, Role::Writer)).expect("an administrator may grant this");
    }
    cluster.wait_until_told();
    assert!(put(&cluster, shard, tenant, b"t/1").is_ok());
    assert!(get_query(&cluster, shard, tenant, b"t/1").is_ok());
    assert_eq!(put(&cluster, shard, tenant, b"other"), unauthorised(tenant));
    assert_eq!(get_query(&cluster, shard, tenant, b"other"), unauthorised(tenant));
    let apply = |puts: &[&[u8]], get: &[u8]| -> ShardApplyResult {
        cluster.update(shard, tenant, "apply", &batch(tenant, puts, get))
    };
    assert!(apply(&[b"t/2"], b"t/1").is_ok());
    assert_eq!(apply(&[b"t/3"], b"other"), unauthorised(tenant));
    assert_eq!(apply(&[b"t/3", b"other"], b"t/1"), unauthorised(tenant));
    assert_eq!(cluster.load(b"t/3"), None, "a refused batch does nothing");
    let call = |method: &str, argument: &[u8]| cluster.call_through_relay(shard, method, argument).expect("answered");
    let refused: ShardPutResult = decode(&call("put", &encode(&put_arguments(b"other", b"mine")))).unwrap();
    assert_eq!(refused, unauthorised(relay));
    let refused: ShardDeleteResult =
        decode(&call("delete", &encode(&DeleteArguments::new(b"other".to_vec())))).unwrap();
    assert_eq!(refused, unauthorised(relay));
    let refused: ShardGetResult = decode(&call("get", &encode(&GetArguments::new(b"other".to_vec())))).unwrap();
    assert_eq!(refused, unauthorised(relay));
    let done: ShardPutResult = decode(&call("put", &encode(&put_arguments(b"t/4", b"mine")))).unwrap();
    assert!(done.is_ok());
    assert_eq!(cluster.load(b"other").expect("nobody changed it").value.as_slice(), b"value");
}

#[test]
fn everyone_reads_public_keys_at_a_shard_and_writes_none() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    cluster.store(b"t/1", b"public");
    cluster.store(b"other", b"private");
    cluster
        .grant(&Grant { grantee: None, role: Role::Reader, prefix: Some(ByteBuf::from("t/")) })
        .expect("an administrator may grant this");
    cluster.wait_until_told();
    for caller in [Principal::anonymous(), stranger()] {
        let found = get_query(&cluster, shard, caller, b"t/1").expect("everyone may");
        assert_eq!(found.expect("the record was put").value.as_slice(), b"public");
        assert_eq!(get_query(&cluster, shard, caller, b"other"), unauthorised(caller));
        check_rejected(cluster.update_raw(shard, caller, "put", encode(&put_arguments(b"t/1", b"mine"))));
        let refused: ShardApplyResult = cluster.update(shard, caller, "apply", &batch(caller, &[b"t/1"], b"t/1"));
        assert_eq!(refused, unauthorised(caller));
    }
    assert_eq!(cluster.load(b"t/1").expect("nobody changed it").value.as_slice(), b"public");
}

#[test]
fn only_the_router_acts_for_others() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    for caller in [writer(), administrator(), owner()] {
        for other in [cluster.router, stranger()] {
            let refused = cluster.update_raw(shard, caller, "apply", encode(&batch(other, &[b"key"], b"key")));
            match refused {
                Ok(reply) => assert_eq!(decode::<ShardApplyResult>(&reply).unwrap(), unauthorised(caller)),
                Err(reject) => assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage),
            }
        }
    }
    assert_eq!(cluster.load(b"key"), None);
}

#[test]
fn a_write_sent_directly_and_through_the_router_is_one_operation() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    let now = cluster.pic.get_time().as_nanos_since_unix_epoch();
    let named = |id: u8| PutArguments {
        operation: Some(Operation { id: ByteBuf::from(vec![id; OPERATION_ID_BYTES]), issued_at_nanoseconds: now }),
        ..put_arguments(b"key", b"value")
    };
    let direct = |put: &PutArguments| -> Version {
        cluster.update::<_, ShardPutResult>(shard, writer(), "put", put).expect("a writer may").version
    };
    let routed = |put: &PutArguments| -> Version {
        cluster.update::<_, PutResult>(cluster.router, writer(), "put", put).expect("a writer may").version
    };
    let first = direct(&named(1));
    assert_eq!(routed(&named(1)), first, "the receipt of the direct write");
    let second = routed(&named(2));
    assert!(second > first);
    assert_eq!(direct(&named(2)), second, "the receipt of the routed write");
    assert_eq!(cluster.load(b"key").expect("the record was put").version, second);
    // The same name of somebody else is another operation.
    let of_administrator: ShardPutResult = cluster.update(shard, administrator(), "put", &named(2));
    assert!(of_administrator.expect("an administrator may").version > second);
}

#[test]
fn shards_hear_of_changes_at_once() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    let (shard, added) = (cluster.shards()[2], person("added"));
    let key = cluster.store_on(shard, b"value");
    assert_eq!(get_query(&cluster, shard, added, &key), unauthorised(added));
    cluster.grant(&Grant::of_everything(added, Role::Writer)).expect("an administrator may grant this");
    let before = cluster.pic.get_time();
    cluster.wait_until_told();
    assert!(put(&cluster, shard, added, &key).is_ok());
    cluster.revoke(&Grant::of_everything(added, Role::Writer)).expect("the grant exists");
    cluster.wait_until_told();
    assert_eq!(get_query(&cluster, shard, added, &key), unauthorised(added));
    check_rejected(cluster.update_raw(shard, added, "put", encode(&put_arguments(&key, b"late"))));
    let nanoseconds = cluster.pic.get_time().as_nanos_since_unix_epoch() - before.as_nanos_since_unix_epoch();
    assert!(nanoseconds < 60_000_000_000, "both changes took {nanoseconds} ns");
}

#[test]
fn the_routers_word_is_renewed_while_nothing_changes() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let version = cluster.roles().version;
    for _ in 0..8 {
        cluster.turn(Pace::MINUTES);
        for shard in cluster.shards() {
            let answer = get_query(&cluster, shard, reader(), b"key");
            assert!(matches!(answer, Ok(None) | Err(ShardError::WrongShard(_))), "{answer:?}");
            assert_eq!(cluster.info(shard).roles.expect("the router has spoken").version, version);
        }
    }
    assert_eq!(cluster.status().roles.expect("the router tells").untold, vec![]);
}

#[test]
fn a_shard_forgets_who_may_when_its_router_is_silent_and_learns_it_again() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    put(&cluster, shard, writer(), b"key").expect("a writer may");
    cluster.stop(cluster.router, owner());
    cluster.turn(Pace { time: KEPT / 2, rounds: 3 });
    put(&cluster, shard, writer(), b"key").expect("the word still holds");
    cluster.turn(Pace { time: KEPT / 2 + Duration::from_secs(1), rounds: 3 });
    assert_eq!(get_query(&cluster, shard, writer(), b"key"), Err(ShardError::RolesUnknown));
    assert_eq!(get_query(&cluster, shard, stranger(), b"key"), Err(ShardError::RolesUnknown));
    check_rejected(cluster.update_raw(shard, writer(), "put", encode(&put_arguments(b"key", b"late"))));
    assert!(cluster.info(shard).roles.is_some(), "who controls the shard may ask it all the same");
    cluster.start(cluster.router, owner());
    cluster.turn(Pace::MINUTES);
    put(&cluster, shard, writer(), b"key").expect("the router has spoken again");
    assert_eq!(get_query(&cluster, shard, stranger(), b"key"), unauthorised(stranger()));
}

#[test]
fn who_was_revoked_is_refused_ten_minutes_later_by_a_shard_that_could_not_be_told() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let [shard, other] = cluster.shards().try_into().expect("there are two shards");
    let key = cluster.store_on(shard, b"value");
    cluster.stop(shard, administrator());
    cluster.revoke(&Grant::of_everything(writer(), Role::Writer)).expect("the grant exists");
    let shown = cluster.wait("failing to tell a shard", Pace { time: Duration::from_secs(5), rounds: 4 }, |status| {
        !status.roles.as_ref().expect("the router tells").untold.is_empty()
    });
    let untold = shown.roles.expect("the router tells").untold;
    assert_eq!(untold.iter().map(|untold| untold.shard).collect::<Vec<_>>(), [shard]);
    assert!(untold[0].failed_attempts >= 3 && !untold[0].last_failure.is_empty(), "{untold:?}");
    let elsewhere = get_query(&cluster, other, writer(), &key);
    assert_eq!(elsewhere, unauthorised(writer()), "the other shard was told");
    // The shard comes back while the router is away.
    cluster.stop(cluster.router, owner());
    cluster.start(shard, administrator());
    cluster.turn(Pace { time: KEPT, rounds: 3 });
    assert_eq!(get_query(&cluster, shard, writer(), &key), Err(ShardError::RolesUnknown));
    check_rejected(cluster.update_raw(shard, writer(), "put", encode(&put_arguments(&key, b"late"))));
    cluster.start(cluster.router, owner());
    cluster.turn(Pace::MINUTES);
    cluster.wait_until_told();
    assert_eq!(get_query(&cluster, shard, writer(), &key), unauthorised(writer()));
    assert_eq!(cluster.status().roles.expect("the router tells").untold, vec![]);
    assert!(get_query(&cluster, shard, reader(), &key).expect("a reader may").is_some());
}

#[test]
fn an_upgraded_shard_asks_its_router_and_an_upgraded_router_tells_its_shards() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let tenant = person("tenant");
    cluster.grant(&limited(tenant, Role::Reader)).expect("an administrator may grant this");
    cluster.wait_until_told();
    let shard = cluster.shards()[0];
    let key = cluster.store_on(shard, b"value");
    let (roles, before) = (cluster.roles(), cluster.pic.get_time());
    cluster.upgrade_shard(shard, SHARD_WASM);
    cluster.wait_until_told();
    assert!(put(&cluster, shard, writer(), &key).is_ok());
    assert_eq!(get_query(&cluster, shard, tenant, &key), unauthorised(tenant));
    let waited = cluster.pic.get_time().as_nanos_since_unix_epoch() - before.as_nanos_since_unix_epoch();
    assert!(waited < 60_000_000_000, "the shard waited {waited} ns");
    let until = cluster.info(shard).roles.expect("the router has spoken").until_nanoseconds;
    cluster.upgrade_router(ROUTER_WASM);
    assert!(put(&cluster, shard, writer(), &key).is_ok(), "the word holds meanwhile");
    for _ in 0..10 {
        cluster.turn(Pace::BRISK);
    }
    let held = cluster.info(shard).roles.expect("the router has spoken");
    assert!(held.until_nanoseconds > until, "the router tells its shards after an upgrade");
    assert_eq!((held.version, cluster.roles()), (roles.version, roles));
}
