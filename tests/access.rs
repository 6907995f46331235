//! Who may do what.

use candid::Principal;
use canopy_types::api::{Resolution, ResolveAlarmArguments, ResolveAlarmError};
use canopy_types::{GetError, ShardIndex};
use pocket_ic::ErrorCode;

use crate::cluster::Cluster;
use crate::methods::{Kind, Method, Refusal, WITNESS_KEY, router_methods, shard_methods};
use crate::people::{administrator, owner, reader, stranger, writer};

/// Calls every method as `caller` and checks that it is refused: updates before they run or with the typed error,
/// queries with the typed error.
fn check_refused_from_outside(cluster: &Cluster, canister: Principal, methods: &[Method], caller: Principal) {
    for method in methods {
        let unauthorised = Some(Refusal::Unauthorised(caller));
        match method.kind {
            Kind::Query | Kind::CompositeQuery => {
                let reply = cluster.query_raw(canister, caller, method.name, method.argument.clone());
                let reply = reply.unwrap_or_else(|reject| panic!("{}: {reject}", method.name));
                assert_eq!((method.refusal)(&reply), unauthorised, "{}", method.name);
            }
            Kind::Update => match cluster.update_raw(canister, caller, method.name, method.argument.clone()) {
                Ok(reply) => assert_eq!((method.refusal)(&reply), unauthorised, "{}", method.name),
                Err(reject) => {
                    assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage, "{}: {reject}", method.name);
                }
            },
        }
    }
}

/// Has the relay call every method that a canister can call, and checks that it gets the typed error.
fn check_refused_behind_inspection(cluster: &Cluster, canister: Principal, methods: &[Method]) {
    for method in methods.iter().filter(|method| method.kind != Kind::CompositeQuery) {
        let reply = cluster.call_through_relay(canister, method.name, &method.argument);
        let reply = reply.unwrap_or_else(|reject| panic!("{}: {reject}", method.name));
        assert_eq!((method.refusal)(&reply), Some(Refusal::Unauthorised(cluster.relay())), "{}", method.name);
    }
}

#[test]
fn strangers_are_refused_by_every_method_of_the_router() {
    let cluster = Cluster::builder().relay_without_role().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    for caller in [stranger(), Principal::anonymous()] {
        check_refused_from_outside(&cluster, cluster.router, &router_methods(), caller);
    }
    check_refused_behind_inspection(&cluster, cluster.router, &router_methods());
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

#[test]
fn strangers_are_refused_by_every_method_of_a_shard() {
    let cluster = Cluster::builder().relay_without_role().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    for shard in cluster.shards() {
        for caller in [stranger(), Principal::anonymous()] {
            check_refused_from_outside(&cluster, shard, &shard_methods(), caller);
        }
        check_refused_behind_inspection(&cluster, shard, &shard_methods());
    }
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

#[test]
fn what_a_role_is_not_for_is_refused_by_a_shard_too() {
    let cluster = Cluster::builder().relay_as_reader().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    let beyond = |names: &[&str]| {
        let methods = shard_methods().into_iter().filter(|method| names.contains(&method.name));
        methods.collect::<Vec<Method>>()
    };
    for shard in cluster.shards() {
        check_refused_from_outside(&cluster, shard, &beyond(&["info", "set_roles"]), writer());
        // The batch writes, and so does nobody who only reads; nor does anybody for an administrator.
        let writing = beyond(&["put", "delete", "apply", "info", "set_roles"]);
        assert_eq!(writing.len(), 5);
        check_refused_from_outside(&cluster, shard, &writing, reader());
        check_refused_behind_inspection(&cluster, shard, &writing);
        check_refused_from_outside(&cluster, shard, &beyond(&["set_roles"]), administrator());
    }
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

#[test]
fn strangers_are_refused_before_the_router_is_ready_too() {
    let cluster = Cluster::builder().deploy();
    check_refused_from_outside(&cluster, cluster.router, &router_methods(), stranger());
    cluster.wait_until_ready();
}

#[test]
fn readers_get_and_neither_put_nor_delete() {
    let cluster = Cluster::builder().relay_as_reader().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    let methods = router_methods();
    let writing: Vec<Method> =
        methods.into_iter().filter(|method| ["put", "delete", "resolve_alarm"].contains(&method.name)).collect();
    assert_eq!(writing.len(), 3);
    check_refused_from_outside(&cluster, cluster.router, &writing, reader());
    check_refused_behind_inspection(&cluster, cluster.router, &writing);
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

#[test]
fn canisters_with_a_role_are_served() {
    let cluster = Cluster::builder().relay_as_writer().ready();
    let methods = router_methods();
    let call = |name: &str| {
        let method = methods.iter().find(|method| method.name == name).expect("the router has this method");
        let reply = cluster.call_through_relay(cluster.router, name, &method.argument).expect("the router answers");
        assert_eq!((method.refusal)(&reply), None, "{name}");
    };
    call("put");
    assert_eq!(cluster.load(WITNESS_KEY).expect("the relay put it").value.as_slice(), b"changed");
    for name in ["get", "routing_table", "status"] {
        call(name);
    }
    call("delete");
    assert_eq!(cluster.load(WITNESS_KEY), None);
}

#[test]
fn only_administrators_settle_alarms() {
    let cluster = Cluster::builder().ready();
    let arguments = ResolveAlarmArguments { shard: Some(ShardIndex(0)), resolution: Resolution::TryAgain };
    assert_eq!(cluster.resolve_alarm(owner(), &arguments), Err(ResolveAlarmError::NoSuchAlarm));
    let methods: Vec<Method> = router_methods().into_iter().filter(|method| method.name == "resolve_alarm").collect();
    for caller in [writer(), reader(), stranger()] {
        check_refused_from_outside(&cluster, cluster.router, &methods, caller);
    }
}

#[test]
fn a_router_without_writers_and_readers_serves_its_administrators_only() {
    let cluster = Cluster::builder().writers(vec![]).readers(vec![]).ready();
    let version = cluster.put(owner(), WITNESS_KEY, b"value").expect("the owner may put").version;
    let writing = [router_methods().swap_remove(0)];
    check_refused_from_outside(&cluster, cluster.router, &writing, writer());
    assert!(matches!(cluster.get_query(reader(), WITNESS_KEY), Err(GetError::Unauthorised { .. })));
    let record = cluster.get(owner(), WITNESS_KEY).expect("the owner may get").expect("the record was put");
    assert_eq!(record.version, version);
}
