//! Roles that are given and taken away while the service runs, limited ones, and reading for everyone.

use std::collections::BTreeSet;

use candid::Principal;
use canopy_artifacts::ROUTER_WASM;
use canopy_types::api::ReadError;
use canopy_types::codec::{decode, encode};
use canopy_types::limits::GRANTS_OF_ONE_MAX;
use canopy_types::roles::{Grant, GrantError, GrantResult, RevokeError, RevokeResult, Role};
use canopy_types::status::{Status, StatusResult};
use canopy_types::{DeleteArguments, DeleteError, DeleteResult, GetError, GetResult, PutError, PutResult};
use pocket_ic::ErrorCode;
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace, get_arguments, no_arguments, put_arguments};
use crate::people::{administrator, owner, person, reader, stranger, writer};

const INSIDE: &[u8] = b"tenant/key";
const OUTSIDE: &[u8] = b"tenant";

fn tenant() -> Principal {
    person("tenant")
}

/// Limits a role to the tenant's keys.
fn of_tenant(principal: Principal, role: Role) -> Grant {
    Grant { grantee: Some(principal), role, prefix: Some(ByteBuf::from("tenant/")) }
}

fn for_everyone(prefix: Option<&[u8]>) -> Grant {
    Grant { grantee: None, role: Role::Reader, prefix: prefix.map(ByteBuf::from) }
}

#[test]
fn a_limited_writer_reaches_the_keys_with_its_prefix_and_no_others() {
    let cluster = Cluster::builder().ready();
    cluster.store(OUTSIDE, b"not the tenant's");
    cluster.grant(&of_tenant(tenant(), Role::Writer)).expect("an administrator may grant this");
    let caller = tenant();
    let version = cluster.put(caller, INSIDE, b"value").expect("the key has the prefix").version;
    for record in [cluster.get(caller, INSIDE), cluster.get_query(caller, INSIDE)] {
        assert_eq!(record.expect("the key has the prefix").expect("the record was put").version, version);
    }
    assert_eq!(cluster.put(caller, OUTSIDE, b"mine"), Err(PutError::Unauthorised { caller }));
    assert_eq!(cluster.delete(caller, OUTSIDE), Err(DeleteError::Unauthorised { caller }));
    assert_eq!(cluster.get(caller, OUTSIDE), Err(GetError::Unauthorised { caller }));
    assert_eq!(cluster.get_query(caller, OUTSIDE), Err(GetError::Unauthorised { caller }));
    assert_eq!(cluster.load(OUTSIDE).expect("nobody removed it").value.as_slice(), b"not the tenant's");
    assert_eq!(cluster.delete(caller, INSIDE).expect("the key has the prefix").deleted, Some(version));
}

#[test]
fn a_limited_canister_is_refused_the_keys_of_others_behind_inspection_too() {
    let cluster = Cluster::builder().relay_without_role().ready();
    let relay = cluster.relay();
    cluster.store(OUTSIDE, b"value");
    cluster.grant(&of_tenant(relay, Role::Writer)).expect("an administrator may grant this");
    let call = |method: &str, argument: &[u8]| {
        cluster.call_through_relay(cluster.router, method, argument).expect("the router answers")
    };
    let put = |key: &[u8]| decode::<PutResult>(&call("put", &encode(&put_arguments(key, b"changed")))).unwrap();
    let get = |key: &[u8]| decode::<GetResult>(&call("get", &encode(&get_arguments(key)))).unwrap();
    let delete =
        |key: &[u8]| decode::<DeleteResult>(&call("delete", &encode(&DeleteArguments::new(key.to_vec())))).unwrap();
    assert_eq!(put(OUTSIDE), Err(PutError::Unauthorised { caller: relay }));
    assert_eq!(get(OUTSIDE), Err(GetError::Unauthorised { caller: relay }));
    assert_eq!(delete(OUTSIDE), Err(DeleteError::Unauthorised { caller: relay }));
    assert_eq!(cluster.load(OUTSIDE).expect("nobody removed it").value.as_slice(), b"value");
    assert!(put(INSIDE).is_ok() && get(INSIDE).is_ok() && delete(INSIDE).is_ok());
}

#[test]
fn a_limited_reader_writes_nothing_and_a_role_for_everything_beats_a_limited_one() {
    let cluster = Cluster::builder().ready();
    let caller = tenant();
    cluster.grant(&of_tenant(caller, Role::Reader)).expect("an administrator may grant this");
    match cluster.update_raw(cluster.router, caller, "put", encode(&put_arguments(INSIDE, b"value"))) {
        Ok(reply) => assert_eq!(decode::<PutResult>(&reply).unwrap(), Err(PutError::Unauthorised { caller })),
        Err(reject) => assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage),
    }
    assert_eq!(cluster.get(caller, INSIDE), Ok(None));
    cluster.grant(&Grant::of_everything(caller, Role::Writer)).expect("an administrator may grant this");
    assert!(cluster.put(caller, OUTSIDE, b"value").is_ok());
    cluster.revoke(&Grant::of_everything(caller, Role::Writer)).expect("the grant exists");
    assert_eq!(cluster.get(caller, OUTSIDE), Err(GetError::Unauthorised { caller }), "the limited role is left");
    assert_eq!(cluster.get(caller, INSIDE), Ok(None));
}

#[test]
fn everyone_reads_what_is_public_and_is_told_no_secret() {
    let cluster = Cluster::builder().ready();
    cluster.store(INSIDE, b"public");
    cluster.store(OUTSIDE, b"private");
    cluster.grant(&for_everyone(Some(b"tenant/"))).expect("an administrator may grant this");
    for caller in [Principal::anonymous(), stranger()] {
        for record in [cluster.get(caller, INSIDE), cluster.get_query(caller, INSIDE)] {
            assert_eq!(record.expect("everyone may").expect("the record was put").value.as_slice(), b"public");
        }
        assert_eq!(cluster.get(caller, OUTSIDE), Err(GetError::Unauthorised { caller }));
        assert_eq!(cluster.get_query(caller, OUTSIDE), Err(GetError::Unauthorised { caller }));
        let told = cluster.routing_table_as(caller).expect("readers are told the routing table");
        assert_eq!(told.secret, None);
        assert_eq!(told.into_table(), cluster.routing_table());
        let status: StatusResult = cluster.query(cluster.router, caller, "status", &());
        assert_eq!(status.err(), Some(ReadError::Unauthorised { caller }), "the status is for who has a name");
        let reject = cluster
            .update_raw(cluster.router, caller, "put", encode(&put_arguments(INSIDE, b"mine")))
            .expect_err("everyone may not write");
        assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage);
    }
    cluster.revoke(&for_everyone(Some(b"tenant/"))).expect("the grant exists");
    let caller = Principal::anonymous();
    assert_eq!(cluster.get_query(caller, INSIDE), Err(GetError::Unauthorised { caller }));
    assert_eq!(cluster.routing_table_as(caller), Err(ReadError::Unauthorised { caller }));
}

#[test]
fn who_holds_a_role_by_name_learns_the_secret_and_finds_the_shard_of_a_key() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    cluster.grant(&of_tenant(tenant(), Role::Reader)).expect("an administrator may grant this");
    let shard = cluster.shards()[1];
    let key = cluster.store_on(shard, b"value");
    for caller in [reader(), writer(), administrator(), owner(), tenant()] {
        let told = cluster.routing_table_as(caller).expect("readers are told the routing table");
        let secret = told.hash_secret().expect("who has a name is told the secret");
        assert!(!format!("{told:?}").contains(&format!("{:?}", told.secret.as_ref().unwrap())), "kept out of logs");
        assert_eq!(told.digest, Some(cluster.routing_table().digest()));
        assert_eq!(told.into_table().find(secret.hash(&key)).expect("the table is whole").shard, shard);
    }
}

#[test]
fn grants_are_listed_and_survive_an_upgrade_of_the_router() {
    let cluster = Cluster::builder().ready();
    let before = cluster.roles();
    assert_eq!(before.grants.len(), 3, "the install arguments name three principals");
    let added = [of_tenant(tenant(), Role::Writer), for_everyone(Some(b"tenant/"))];
    for grant in &added {
        cluster.grant(grant).expect("an administrator may grant this");
    }
    cluster.revoke(&Grant::of_everything(reader(), Role::Reader)).expect("the grant exists");
    let roles = cluster.roles();
    assert!(roles.version > before.version);
    assert!(added.iter().all(|grant| roles.grants.contains(grant)) && roles.grants.len() == 4);
    cluster.upgrade_router(ROUTER_WASM);
    assert_eq!(cluster.roles(), roles);
    assert!(cluster.put(tenant(), INSIDE, b"value").is_ok());
    assert!(cluster.get(Principal::anonymous(), INSIDE).is_ok());
    let caller = reader();
    assert_eq!(cluster.get_query(caller, OUTSIDE), Err(GetError::Unauthorised { caller }), "it was revoked");
}

#[test]
fn administrators_grant_and_revoke_and_nobody_else_does() {
    let cluster = Cluster::builder().ready();
    let grant = Grant::of_everything(stranger(), Role::Writer);
    for caller in [writer(), reader(), stranger(), Principal::anonymous()] {
        for method in ["grant", "revoke"] {
            let reject = cluster
                .update_raw(cluster.router, caller, method, encode(&grant))
                .expect_err("only administrators grant and revoke");
            assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage);
        }
    }
    let granted: GrantResult = cluster.update(cluster.router, administrator(), "grant", &grant);
    assert_eq!(granted, Ok(()));
    assert!(cluster.put(stranger(), OUTSIDE, b"value").is_ok());
    let last = Grant::of_everything(administrator(), Role::Administrator);
    let revoked: RevokeResult = cluster.update(cluster.router, administrator(), "revoke", &last);
    assert_eq!(revoked, Err(RevokeError::LastAdministrator));
    assert_eq!(cluster.revoke(&last), Ok(()), "a controller may");
    let reject = cluster.update_raw(cluster.router, administrator(), "grant", encode(&grant));
    assert_eq!(reject.expect_err("it administers no more").error_code, ErrorCode::CanisterRejectedMessage);
}

/// Tells who controls each shard.
fn controllers(cluster: &Cluster) -> Vec<BTreeSet<Principal>> {
    cluster.shards().into_iter().map(|shard| cluster.pic.get_controllers(shard).into_iter().collect()).collect()
}

#[test]
fn who_administers_controls_the_shards_and_who_was_revoked_does_not() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let (added, by_hand) = (person("added"), person("by hand"));
    let with =
        |others: &[Principal]| -> BTreeSet<Principal> { others.iter().copied().chain([cluster.router]).collect() };
    let settled = |status: &Status| status.roles.as_ref().is_some_and(|roles| roles.unsettled == 0);
    assert_eq!(controllers(&cluster), vec![with(&[administrator()]); 2]);
    let first = cluster.shards()[0];
    let hand_made = with(&[administrator(), by_hand]).into_iter().collect();
    cluster.pic.set_controllers(first, Some(administrator()), hand_made).expect("a controller may");
    // A stopped shard has controllers too.
    cluster.stop(cluster.shards()[1], administrator());
    cluster.grant(&Grant::of_everything(added, Role::Administrator)).expect("there is room");
    cluster.wait("settled", Pace::BRISK, settled);
    let expected = vec![with(&[administrator(), added, by_hand]), with(&[administrator(), added])];
    assert_eq!(controllers(&cluster), expected);
    cluster.revoke(&Grant::of_everything(administrator(), Role::Administrator)).expect("the grant exists");
    cluster.upgrade_router(ROUTER_WASM);
    cluster.wait("settled", Pace::BRISK, settled);
    assert_eq!(controllers(&cluster), vec![with(&[added, by_hand]), with(&[added])]);
    cluster.start(cluster.shards()[1], added);
}

#[test]
fn a_grant_too_many_is_refused_with_the_limit_and_changes_nothing() {
    let cluster = Cluster::builder().ready();
    let number = |number: usize| Grant {
        prefix: Some(ByteBuf::from(format!("{number}/"))),
        ..of_tenant(tenant(), Role::Writer)
    };
    for place in 0..GRANTS_OF_ONE_MAX {
        cluster.grant(&number(place)).expect("there is room");
    }
    let before = cluster.roles();
    let grants_max = GRANTS_OF_ONE_MAX as u64;
    let refused = cluster.grant(&number(GRANTS_OF_ONE_MAX));
    assert_eq!(refused, Err(GrantError::TooManyGrantsOfOne { grants: grants_max + 1, grants_max }));
    assert_eq!(cluster.roles(), before);
    assert_eq!(cluster.get(tenant(), b"63/key"), Ok(None));
}

#[test]
fn an_empty_list_of_arguments_is_no_grant() {
    let cluster = Cluster::builder().ready();
    let before = cluster.roles();
    let reply = cluster.update_raw(cluster.router, owner(), "grant", no_arguments()).expect("the router answers");
    assert!(matches!(decode::<GrantResult>(&reply), Ok(Err(GrantError::MalformedArguments { .. }))));
    assert_eq!(cluster.roles(), before);
}
