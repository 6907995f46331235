//! Who may do what.

use candid::Principal;
use canopy_types::api::{Resolution, ResolveAlarmArguments, ResolveAlarmError};
use canopy_types::{GetError, Grant, Role, ShardIndex};
use pocket_ic::ErrorCode;
use serde_bytes::ByteBuf;

use crate::cluster::Cluster;
use crate::methods::{
    Kind, Method, Refusal, UPLOADS_FOR_ROUTERS, WITNESS_KEY, router_methods, shard_methods, shard_methods_as,
};
use crate::people::{administrator, owner, person, reader, stranger, writer};

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
        let of_transfers = ["begin_transfer", "transfer_progress", "cancel_transfer", "import_batch", "hand_over"];
        check_refused_from_outside(&cluster, shard, &beyond(&of_transfers), writer());
        check_refused_behind_inspection(&cluster, shard, &beyond(&of_transfers));
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

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum May {
    Nothing,
    /// What everyone may who may read: no more than keys and routes.
    ReadPublicly,
    Read,
    Write,
    Administer,
}

/// Tells what one must be allowed for a method; `None` for what only a router may, or the other end of a transfer.
fn needed(canister: Canister, method: &str) -> Option<May> {
    match (canister, method) {
        (_, "get" | "get_query" | "get_many" | "scan" | "scan_query") | (Canister::Router, "routing_table") => {
            Some(May::ReadPublicly)
        }
        (Canister::Router, "status") => Some(May::Read),
        // The batch contains a put.
        (_, "get_manifest" | "get_manifest_query" | "get_chunk" | "get_chunk_query") => Some(May::ReadPublicly),
        (_, "put" | "delete" | "put_many" | "delete_many") | (Canister::Shard, "apply") => Some(May::Write),
        (_, "put_chunk") => Some(May::Write),
        (Canister::Router, "begin_upload" | "commit_upload" | "abort_upload" | "upload_status") => Some(May::Write),
        (Canister::Router, "collect_uploads") => None,
        (Canister::Shard, "set_roles" | "import_batch" | "hand_over" | "recall") => None,
        (Canister::Shard, name) if UPLOADS_FOR_ROUTERS.contains(&name) => None,
        _ => Some(May::Administer),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canister {
    Router,
    Shard,
}

/// Calls every method from outside as `caller`, and checks that exactly what it may do is not refused.
fn check_from_outside(cluster: &Cluster, canister: Canister, caller: Principal, may: May) {
    let (id, methods) = canister_of(cluster, canister, caller);
    for method in methods {
        let allowed = needed(canister, method.name).is_some_and(|needed| may >= needed);
        if !allowed {
            check_refused_from_outside(cluster, id, std::slice::from_ref(&method), caller);
            continue;
        }
        let reply = match method.kind {
            Kind::Query | Kind::CompositeQuery => cluster.query_raw(id, caller, method.name, method.argument),
            Kind::Update => cluster.update_raw(id, caller, method.name, method.argument),
        };
        let reply = reply.unwrap_or_else(|reject| panic!("{canister:?} {} {may:?}: {reject}", method.name));
        assert_eq!((method.refusal)(&reply), None, "{canister:?} {} {may:?}", method.name);
    }
}

/// As [`check_from_outside`], by the relay: past `canister_inspect_message`.
fn check_behind_inspection(cluster: &Cluster, canister: Canister, may: May) {
    let (id, methods) = canister_of(cluster, canister, cluster.relay());
    for method in methods.into_iter().filter(|method| method.kind != Kind::CompositeQuery) {
        let allowed = needed(canister, method.name).is_some_and(|needed| may >= needed);
        let reply = cluster.call_through_relay(id, method.name, &method.argument);
        let reply = reply.unwrap_or_else(|reject| panic!("{canister:?} {} {may:?}: {reject}", method.name));
        let expected = (!allowed).then_some(Refusal::Unauthorised(cluster.relay()));
        assert_eq!((method.refusal)(&reply), expected, "{canister:?} {} {may:?}", method.name);
    }
}

/// Lists the methods, without the two that would take the callers' roles away or put them in the next one's way.
fn canister_of(cluster: &Cluster, canister: Canister, caller: Principal) -> (Principal, Vec<Method>) {
    match canister {
        Canister::Router => {
            let disturbing = |name: &str| ["revoke", "set_policy"].contains(&name);
            (cluster.router, router_methods().into_iter().filter(|method| !disturbing(method.name)).collect())
        }
        Canister::Shard => (cluster.shards()[0], shard_methods_as(caller)),
    }
}

/// Grants that make `grantee` a caller of each kind; the key that methods are called with is [`WITNESS_KEY`].
fn kinds(grantee: Principal) -> Vec<(&'static str, Vec<Grant>, May)> {
    let (inside, outside) = (&WITNESS_KEY[..3], &b"other"[..]);
    let of = |role, prefix: Option<&[u8]>| Grant { grantee: Some(grantee), role, prefix: prefix.map(ByteBuf::from) };
    let everyone = |prefix: &[u8]| Grant { grantee: None, role: Role::Reader, prefix: Some(ByteBuf::from(prefix)) };
    vec![
        ("stranger", vec![], May::Nothing),
        ("reader", vec![of(Role::Reader, None)], May::Read),
        ("writer", vec![of(Role::Writer, None)], May::Write),
        ("administrator", vec![of(Role::Administrator, None)], May::Administer),
        ("limited reader inside", vec![of(Role::Reader, Some(inside))], May::Read),
        ("limited writer inside", vec![of(Role::Writer, Some(inside))], May::Write),
        ("writer elsewhere, reader of all", vec![of(Role::Writer, Some(outside)), of(Role::Reader, None)], May::Read),
        ("public reader", vec![everyone(inside)], May::ReadPublicly),
        ("public reader, writer elsewhere", vec![everyone(inside), of(Role::Writer, Some(outside))], May::Read),
    ]
}

#[test]
fn every_kind_of_caller_may_do_what_its_roles_are_for_and_nothing_else() {
    let cluster = Cluster::builder().initial_shards(1).relay_without_role().ready();
    for (place, canister) in [(0, Canister::Router), (1, Canister::Shard)] {
        for (kind, (name, _, may)) in kinds(stranger()).into_iter().enumerate() {
            let person = person(&format!("{name} {place}"));
            let grants: Vec<Grant> =
                [person, cluster.relay()].into_iter().flat_map(|who| kinds(who).swap_remove(kind).1).collect();
            for grant in &grants {
                cluster.grant(grant).expect("an administrator may grant this");
            }
            cluster.wait_until_told();
            cluster.store(WITNESS_KEY, b"value");
            let before = cluster.load(WITNESS_KEY);
            check_from_outside(&cluster, canister, person, may);
            check_behind_inspection(&cluster, canister, may);
            if may < May::Write {
                assert_eq!(cluster.load(WITNESS_KEY), before, "{name}");
            }
            let grants: std::collections::BTreeSet<Grant> = grants.into_iter().collect();
            for grant in &grants {
                cluster.revoke(grant).expect("the grant exists");
            }
        }
    }
}

#[test]
fn a_caller_whose_roles_are_for_other_keys_is_refused_every_key_of_others() {
    let cluster = Cluster::builder().initial_shards(1).relay_without_role().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    let tenant = person("tenant");
    for grantee in [tenant, cluster.relay()] {
        let grant = Grant { grantee: Some(grantee), role: Role::Writer, prefix: Some(ByteBuf::from("other")) };
        cluster.grant(&grant).expect("an administrator may grant this");
    }
    cluster.wait_until_told();
    for canister in [Canister::Router, Canister::Shard] {
        for caller in [tenant, cluster.relay()] {
            let (id, methods) = canister_of(&cluster, canister, caller);
            let of_keys = |method: &Method| {
                let single = ["put", "get", "get_query", "delete", "apply"];
                let many = ["put_many", "get_many", "delete_many", "scan", "scan_query"];
                let large = ["begin_upload", "put_chunk", "commit_upload", "abort_upload", "upload_status"];
                let parts = ["get_manifest", "get_manifest_query", "get_chunk", "get_chunk_query"];
                [&single[..], &many, &large, &parts].concat().contains(&method.name)
            };
            let methods: Vec<Method> = methods.into_iter().filter(of_keys).collect();
            if caller == tenant {
                check_refused_from_outside(&cluster, id, &methods, tenant);
            } else {
                check_refused_behind_inspection(&cluster, id, &methods);
            }
        }
    }
    assert_eq!(cluster.load(WITNESS_KEY), before);
}
