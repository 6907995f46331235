//! The REST API below the client library.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("rest": instance_shape, time_and_ticks, topology_one, new_canister, add_cycles, submit_and_await,
    unknown_canister, raw_call_shape);

pub fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
    keys.sort();
    keys
}

pub fn config(app_subnets: usize) -> Value {
    let subnet = json!({ "state_config": "New", "instruction_config": "Production", "dts_flag": "Enabled",
        "subnet_admins": null, "cost_schedule": "Normal" });
    json!({ "subnet_config_set": {
        "nns": null, "sns": null, "ii": null, "fiduciary": null, "bitcoin": null, "test_threshold_keys": null,
        "system": [], "application": vec![subnet; app_subnets], "cloud_engine": [], "verified_application": [] },
        "http_gateway_config": null, "state_dir": null, "icp_config": null, "log_level": null, "bitcoind_addr": null,
        "dogecoind_addr": null, "icp_features": null, "incomplete_state": null, "initial_time": null,
        "mainnet_nns_subnet_id": null, "disable_ingress_validation": null })
}

fn instance_shape() -> Value {
    let (status, created) = http("POST", "/instances", Some(config(1)));
    let id = &created["Created"]["instance_id"];
    let (time_status, time) = http("GET", &format!("/instances/{id}/read/get_time"), None);
    let (slash_status, _) = http("GET", &format!("/instances/{id}/read/get_time/"), None);
    let (deleted, _) = http("DELETE", &format!("/instances/{id}"), None);
    let (after, _) = http("GET", &format!("/instances/{id}/read/get_time"), None);
    let (none, _) = http("POST", "/instances", Some(config(0)));
    json!({
        "status": status,
        "outer": keys(&created),
        "instance_id_is_number": id.is_u64(),
        "time": [time_status, keys(&time), slash_status],
        "deleted": deleted,
        "get_time_after_delete_refused": after >= 400,
        "without_subnets_refused": none >= 400,
    })
}

fn time_and_ticks() -> Value {
    let start = 1_700_000_000_000_000_000;
    let net = Net {
        pic: builder()
            .with_application_subnet()
            .with_initial_time(pocket_ic::Time::from_nanos_since_unix_epoch(start))
            .build(),
    };
    let created = net.nanos() - start;
    net.tick();
    let one = net.nanos() - start;
    net.ticks(3);
    let four = net.nanos() - start;
    net.seconds(60);
    let advanced = net.nanos() - start;
    net.tick();
    let after_tick = net.nanos() - start;
    net.tick();
    let a = net.machine("a");
    let before = net.nanos();
    let seen = net.nums(a, p().time().push().reply())[0];
    let after = net.nanos();
    let query = net.qnums(a, p().time().push().reply())[0];
    json!({
        "tick_ns": one - created,
        "three_ticks_ns": four - one,
        "advance_ns": advanced - four,
        "first_tick_after_advance_ns": after_tick - advanced,
        "update_saw_ns_before_end": after - seen,
        "update_took_ns": after - before,
        "query_saw_ns_before_now": after as i64 - query as i64,
        "default_start_year_2021": net_default_start(),
    })
}

pub fn net_default_start() -> bool {
    let nanos = net().nanos();
    (1_620_000_000_000_000_000..1_630_000_000_000_000_000).contains(&nanos)
}

fn topology_one() -> Value {
    let net = net();
    let topology = net.topology();
    let (subnet, config) = topology.subnet_configs.iter().next().expect("a subnet");
    let a = net.machine("a");
    let default = Id::from_slice(&topology.default_effective_canister_id.canister_id);
    json!({
        "subnets": topology.subnet_configs.len(),
        "kind": format!("{:?}", config.subnet_kind),
        "instruction_config": format!("{:?}", config.instruction_config),
        "subnet_id_bytes": subnet.as_slice().len(),
        "subnet_of_canister": net.get_subnet(a) == Some(*subnet),
        "range_holds_canister": topology.get_subnet(a) == Some(*subnet),
        "default_effective_id_is_in_range": topology.get_subnet(default) == Some(*subnet),
        "public_key_bytes": http("POST", &format!("/instances/{}/read/pub_key", net.instance_id()),
            Some(json!({ "subnet_id": base64_of(subnet.as_slice()) }))).1.as_array().map(Vec::len),
        "root_key_without_nns": net.root_key().is_some(),
    })
}

pub fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn new_canister() -> Value {
    let net = net();
    let a = net.empty("a");
    let b = net.create_canister_with_settings(Some(user(1)), None);
    net.name(b, "b");
    let balance = net.cycle_balance(a).to_string();
    let status = net.status(a);
    json!({
        "balance": balance,
        "controllers_default": net.get_controllers(a) == vec![ANONYMOUS],
        "controllers_of_sender": net.get_controllers(b) == vec![user(1)],
        "exists": net.canister_exists(a),
        "id_bytes": a.as_slice().len(),
        "id_tail": hex::encode(&a.as_slice()[8..]),
        "status": status,
    })
}

fn add_cycles() -> Value {
    let net = net();
    let a = net.empty("a");
    let before = net.cycle_balance(a);
    let returned = net.add_cycles(a, 7 * T);
    let huge = net.add_cycles(a, 1 << 70);
    let nobody = Id::from_slice(&[0, 0, 0, 0, 0, 0, 0x33, 0x33, 1, 1]);
    json!({
        "gained": (returned - before).to_string(),
        "read_back": net.cycle_balance(a) == huge,
        "beyond_u64": (huge - returned).to_string(),
        "unknown_canister": refused(|| net.add_cycles(nobody, 1)),
        "unknown_controllers": refused(|| net.get_controllers(nobody)),
        "unknown_balance": refused(|| net.cycle_balance(nobody)),
        "unknown_subnet": net.get_subnet(nobody).is_none(),
    })
}

fn submit_and_await() -> Value {
    let net = net();
    let a = net.machine("a");
    let message = net.submit(a, p().lit("done").reply());
    let early = net.ingress_status(message.clone()).is_some();
    let foreign = format!("{:?}", net.ingress_status_as(message.clone(), user(1)));
    net.tick();
    let late = net.ingress_status(message.clone()).map(outcome);
    let foreign_late = format!("{:?}", net.ingress_status_as(message.clone(), user(1)));
    let again = outcome(net.await_call(message.clone()));
    // Two identical submissions are two messages.
    let one = net.submit(a, p().inc(1).push().reply());
    let two = net.submit(a, p().inc(1).push().reply());
    let different = one.message_id != two.message_id;
    let both = [net.await_call(one).map(|b| ints(&b)), net.await_call(two).map(|b| ints(&b))];
    let mut both: Vec<Vec<u64>> = both.into_iter().map(|r| r.expect("a reply")).collect();
    both.sort();
    json!({
        "before_tick": early,
        "foreign_before": foreign.split('(').next(),
        "after_tick": late,
        "foreign_after": foreign_late.split('(').next(),
        "await_again": again,
        "ids_differ": different,
        "both_ran": both,
        "message_id_bytes": message.message_id.len(),
        "idle_await": net.rounds(net.submit(a, p().lit("x").reply())),
    })
}

fn unknown_canister() -> Value {
    let net = net();
    let a = net.empty("a");
    net.stop_canister(a, None).expect("stops");
    net.delete_canister(a, None).expect("deletes");
    let outside = Id::from_slice(&[0, 0, 0, 0, 0, 0, 0x33, 0x33, 1, 1]);
    json!({
        "deleted_exists": net.canister_exists(a),
        "update_deleted": first_panic(|| net.up(a, p())),
        "query_deleted": first_panic(|| net.q(a, p())),
        "update_outside_refused": refused(|| net.up(outside, p())),
        "query_outside_refused": refused(|| net.q(outside, p())),
    })
}

/// An outcome, or that the client refused.
pub fn first_panic(what: impl FnOnce() -> Reply) -> Value {
    let mut result = None;
    if refused(|| result = Some(what())) { json!("refused") } else { outcome(result.expect("ran")) }
}

fn raw_call_shape() -> Value {
    let net = net();
    let a = net.machine("a");
    let path = |end: &str| format!("/instances/{}/{end}", net.instance_id());
    let call = |method: &str, program: P| {
        json!({ "sender": base64_of(ANONYMOUS.as_slice()), "canister_id": base64_of(a.as_slice()),
            "effective_principal": "None", "method": method, "payload": base64_of(&program.0) })
    };
    let (ok_status, ok) = http("POST", &path("read/query"), Some(call("query", p().lit("abc").reply())));
    let (no_status, no) = http("POST", &path("read/query"), Some(call("query", p().lit("abc").reject())));
    let (submit_status, submit) =
        http("POST", &path("update/submit_ingress_message"), Some(call("update", p().lit("abc").reply())));
    let (tick_status, tick) = http("POST", &path("update/tick"), Some(json!({ "blockmakers": null })));
    let (balance_status, balance) =
        http("POST", &path("read/get_cycles"), Some(json!({ "canister_id": base64_of(a.as_slice()) })));
    json!({
        "query": [ok_status, ok],
        "query_reject": [no_status, keys(&no["Err"]), no["Err"]["reject_code"], no["Err"]["error_code"], no["Err"]["certified"]],
        "submit": [submit_status, keys(&submit), keys(&submit["Ok"])],
        "tick": [tick_status, tick],
        "balance": [balance_status, keys(&balance)],
        "malformed": http("POST", &path("read/get_cycles"), Some(json!({ "wrong": 1 }))).0 >= 400,
        "unknown_endpoint": http("GET", &path("read/no_such_thing"), None).0,
        "unknown_instance_refused": http("GET", "/instances/987654/read/get_time", None).0 >= 400,
    })
}
