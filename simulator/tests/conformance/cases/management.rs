//! The management canister: as ingress and from canisters.

use candid::{CandidType, Decode, Deserialize};
use pocket_ic::CanisterSettings;
use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("management": create_from_canister, control_from_canister, status_from_canister, raw_rand, snapshots,
    logs, environment_variables, whole_shard, log_overflow);

#[derive(CandidType)]
pub struct Create {
    pub settings: Option<CanisterSettings>,
    pub sender_canister_version: Option<u64>,
}

/// A management call from a machine, with its argument as the message (arguments may be large).
pub fn manage(net: &Net, from: Id, method: &str, arg: Vec<u8>, cycles: u64) -> Reply {
    let program = p()
        .call([], method, on_reply(), on_reject())
        .lit(arg)
        .data()
        .konst(cycles)
        .cycles()
        .perform()
        .ifnz(p().clear().lit("P").push().reply());
    net.up(from, program)
}

pub fn created(bytes: &[u8]) -> Option<Id> {
    #[derive(CandidType, Deserialize)]
    struct Created {
        canister_id: Id,
    }
    (bytes[0] == b'R').then(|| Decode!(&bytes[9..], Created).expect("an id").canister_id)
}

fn create_from_canister() -> Value {
    let net = net();
    let a = net.machine("a");
    let create = |settings: Option<CanisterSettings>, cycles: u64| {
        let reply =
            manage(&net, a, "create_canister", encode(Create { settings, sender_canister_version: None }), cycles)
                .expect("a report");
        match created(&reply) {
            Some(id) => json!({
                "balance": net.cycle_balance(id) as u64,
                "controllers_are_caller": net.get_controllers(id) == vec![a],
                "same_subnet": net.get_subnet(id) == net.get_subnet(a),
                "refunded": u64::from_le_bytes(reply[1..9].try_into().expect("8 bytes")),
            }),
            None => report(Ok(reply)),
        }
    };
    let t = T as u64;
    let fixed = CanisterSettings {
        controllers: Some(vec![user(1), a]),
        freezing_threshold: Some(1234u64.into()),
        ..Default::default()
    };
    json!({
        "one_T": create(None, t),
        "exactly_the_fee": create(None, t / 2),
        "below_the_fee": create(None, t / 2 - 1),
        "none": create(None, 0),
        "other_controllers": create(Some(fixed), t),
        "by_ingress": outcome(net.mgmt("create_canister", Create { settings: None, sender_canister_version: None }, a)),
        "spent_for_one_T": net.spent(a, || create(None, t)).1 / 1_000_000_000,
    })
}

fn control_from_canister() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let call = |method: &str| report(manage(&net, a, method, encode(OneId { canister_id: b }), 1_000_000));
    let denied = call("stop_canister");
    net.set_controllers(b, None, vec![a, ANONYMOUS]).expect("sets");
    let stop = call("stop_canister");
    let stopped = state(&net.status(b));
    let start = call("start_canister");
    let delete_running = call("delete_canister");
    let stop_again = call("stop_canister");
    let uninstall = call("uninstall_code");
    let (delete, spent) = net.spent(a, || call("delete_canister"));
    json!({ "denied": denied, "stop": stop, "stopped": stopped, "start": start, "delete_running": delete_running,
        "stop_again": stop_again, "uninstall": uninstall, "delete": delete, "balance_not_returned": spent > 0,
        "exists": net.canister_exists(b), "stop_itself": stop_itself(&net, a) })
}

/// A canister that stops itself waits for its own answer.
pub fn stop_itself(net: &Net, a: Id) -> Value {
    net.set_controllers(a, None, vec![a, ANONYMOUS]).expect("sets");
    let program =
        p().call([], "stop_canister", on_reply(), on_reject()).lit(encode(OneId { canister_id: a })).data().perform();
    let message = net.submit(a, program);
    net.ticks(5);
    let state_after = state(&net.status(a));
    net.seconds(301);
    net.ticks(4);
    json!([state_after, net.ingress_status(message).map(report), state(&net.status(a))])
}

fn status_from_canister() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let ask = |of: Id| {
        let reply = manage(&net, a, "canister_status", encode(OneId { canister_id: of }), 0).expect("a report");
        if reply[0] == b'R' { decode_status(&reply[9..]) } else { report(Ok(reply)) }
    };
    let denied = ask(b);
    net.set_controllers(b, None, vec![a]).expect("sets");
    net.up(b, p().konst(160).stable_grow().msg_reply()).expect("grows");
    json!({ "stranger": denied, "controller": ask(b), "itself": ask(a)["status"] })
}

fn raw_rand() -> Value {
    let net = net();
    let a = net.machine("a");
    let draw = || {
        let reply = manage(&net, a, "raw_rand", NOTHING.to_vec(), 0).expect("a report");
        Decode!(&reply[9..], Vec<u8>).expect("bytes")
    };
    let (one, two) = (draw(), draw());
    let last = p().arg().log().inc(1).add(-2i64 as u64).ifz(p().getlog().reply());
    let one_call = p().call([], "raw_rand", last.clone(), p()).lit(NOTHING).data().perform();
    let both = one_call.clone().then(one_call);
    let pair = net.up(a, both).expect("both");
    let (first, second) = pair.split_at(pair.len() / 2);
    json!({ "bytes": one.len(), "differ": one != two, "two_in_one_message_differ": first != second,
        "with_argument": report(manage(&net, a, "raw_rand", encode(5u64), 0))["reject_code"],
        "by_ingress": outcome(net.mgmt_raw(ANONYMOUS, "raw_rand", NOTHING.to_vec(), a)) })
}

fn snapshots() -> Value {
    let net = net();
    let a = net.machine("a");
    let set = |n: u64| {
        net.up(a, p().konst(1).stable_grow().konst(n).set(1).clear().push().stable_write(0).konst(n).gset().msg_reply())
            .expect("sets")
    };
    let look = || net.qnums(a, p().get(1).push().stable_read(0, 8).gget().push().stable_size().push().reply());
    set(1);
    let running = unit(net.take_canister_snapshot(a, None, None));
    net.stop_canister(a, None).expect("stops");
    let taken = net.take_canister_snapshot(a, None, None).expect("takes");
    net.start_canister(a, None).expect("starts");
    set(2);
    let load_running = unit(net.load_canister_snapshot(a, None, taken.id.clone()));
    net.stop_canister(a, None).expect("stops");
    set_stopped(&net, a);
    let load = unit(net.load_canister_snapshot(a, None, taken.id.clone()));
    net.start_canister(a, None).expect("starts");
    let after = look();
    let listed = net.list_canister_snapshots(a, None).expect("lists").len();
    net.stop_canister(a, None).expect("stops");
    let replaced = net.take_canister_snapshot(a, None, Some(taken.id.clone())).expect("replaces");
    let old = unit(net.load_canister_snapshot(a, None, taken.id.clone()));
    let listed_after = net.list_canister_snapshots(a, None).expect("lists").len();
    let stranger = unit(net.delete_canister_snapshot(a, Some(user(1)), replaced.id.clone()));
    let delete = unit(net.delete_canister_snapshot(a, None, replaced.id.clone()));
    let delete_again = unit(net.delete_canister_snapshot(a, None, replaced.id));
    json!({ "take_running": running, "load_running": load_running, "load": load, "slot_stable_global_pages": after,
        "listed": listed, "size_above_stable": taken.total_size > 65_536, "load_replaced": old["error_code"],
        "listed_after_replace": listed_after, "stranger": stranger["error_code"], "delete": delete,
        "delete_again": delete_again["error_code"], "listed_at_end": net.list_canister_snapshots(a, None).expect("lists").len() })
}

pub fn set_stopped(net: &Net, a: Id) {
    net.upgrade_canister(a, machine(), vec![], None).expect("upgrades while stopped");
}

fn logs() -> Value {
    let net = net();
    let a = net.machine("a");
    let lines = |sender: Id| match net.fetch_canister_logs(a, sender) {
        Ok(records) => json!(records.iter().map(|r| json!([r.idx, text(first_bytes(&r.content))])).collect::<Vec<_>>()),
        Err(e) => rejection(&e),
    };
    net.up(a, p().lit("one").print().lit("two").print().msg_reply()).expect("replies");
    net.up(a, p().lit("printed").print().lit("trapped").trap()).expect_err("traps");
    net.q(a, p().lit("query").print().reply()).expect("replies");
    net.up(a, p().unreachable()).expect_err("traps");
    let first = lines(ANONYMOUS);
    let stranger = lines(user(1));
    let public = CanisterSettings {
        log_visibility: Some(ic_management_canister_types::LogVisibility::Public),
        ..Default::default()
    };
    net.update_canister_settings(a, None, public).expect("sets");
    let stranger_public = lines(user(1)).as_array().map(Vec::len);
    net.upgrade_canister(a, machine(), vec![], None).expect("upgrades");
    let after_upgrade = lines(ANONYMOUS).as_array().map(Vec::len);
    net.reinstall_canister(a, machine(), vec![], None).expect("reinstalls");
    let after_reinstall = lines(ANONYMOUS).as_array().map(Vec::len);
    json!({ "lines": first, "stranger": stranger, "stranger_when_public": stranger_public, "after_upgrade": after_upgrade,
        "after_reinstall": after_reinstall })
}

/// A log line without a backtrace.
pub fn first_bytes(content: &[u8]) -> &[u8] {
    content.split(|b| *b == b'\n').next().unwrap_or(content)
}

fn environment_variables() -> Value {
    let net = net();
    let source = r#"(module
        (import "ic0" "env_var_count" (func $count (result i32)))
        (import "ic0" "env_var_name_size" (func $name_size (param i32) (result i32)))
        (import "ic0" "env_var_name_copy" (func $name_copy (param i32 i32 i32 i32)))
        (import "ic0" "env_var_name_exists" (func $exists (param i32 i32) (result i32)))
        (import "ic0" "env_var_value_size" (func $value_size (param i32 i32) (result i32)))
        (import "ic0" "env_var_value_copy" (func $value_copy (param i32 i32 i32 i32 i32)))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "msg_reply" (func $reply))
        (memory 1)
        (data (i32.const 1000) "COLOUR") (data (i32.const 1100) "NOPE")
        (func (export "canister_query count")
            (i32.store (i32.const 0) (call $count))
            (i32.store (i32.const 4) (call $exists (i32.const 1000) (i32.const 6)))
            (i32.store (i32.const 8) (call $exists (i32.const 1100) (i32.const 4)))
            (call $append (i32.const 0) (i32.const 12)) (call $reply))
        (func (export "canister_query first_name") (local $n i32)
            (local.set $n (call $name_size (i32.const 0)))
            (call $name_copy (i32.const 0) (i32.const 0) (i32.const 0) (local.get $n))
            (call $append (i32.const 0) (local.get $n)) (call $reply))
        (func (export "canister_update value") (local $n i32)
            (local.set $n (call $value_size (i32.const 1000) (i32.const 6)))
            (call $value_copy (i32.const 1000) (i32.const 6) (i32.const 0) (i32.const 0) (local.get $n))
            (call $append (i32.const 0) (local.get $n)) (call $reply))
        (func (export "canister_query missing")
            (drop (call $value_size (i32.const 1100) (i32.const 4))) (call $reply)))"#;
    let a = net.wat("a", source);
    let q = |method: &str| outcome(net.query_call(a, ANONYMOUS, method, vec![]));
    let set = |list: Vec<(&str, &str)>| {
        let variables = list
            .into_iter()
            .map(|(name, value)| ic_management_canister_types::EnvironmentVariable {
                name: name.into(),
                value: value.into(),
            })
            .collect();
        unit(net.update_canister_settings(
            a,
            None,
            CanisterSettings { environment_variables: Some(variables), ..Default::default() },
        ))
    };
    let none = q("count");
    let ok = set(vec![("COLOUR", "blue"), ("ANIMAL", "cat")]);
    let two = q("count");
    let names: Vec<String> = (0..21).map(|i| format!("N{i}")).collect();
    json!({
        "none": none, "set": ok, "two": two, "first_name": q("first_name"),
        "value": outcome(net.update_call(a, ANONYMOUS, "value", vec![])), "missing": q("missing"),
        "duplicate": set(vec![("A", "1"), ("A", "2")])["error_code"],
        "twenty_one": set(names.iter().map(|n| (n.as_str(), "v")).collect())["error_code"],
        "long_name": set(vec![(&"x".repeat(129), "v")])["error_code"],
        "kept": q("count"),
    })
}

/// What a router does: create, install, call, top up, stop, delete.
fn whole_shard() -> Value {
    let net = net();
    let a = net.machine("a");
    let create = encode(Create { settings: None, sender_canister_version: None });
    let reply = manage(&net, a, "create_canister", create, 2 * T as u64).expect("a report");
    let shard = net.name(created(&reply).expect("an id"), "shard");
    let code = |mode| ic_management_canister_types::InstallCodeArgs {
        mode,
        canister_id: shard,
        wasm_module: machine(),
        arg: p().konst(5).set(1).0,
        sender_canister_version: None,
    };
    let forward = p().call([], "install_code", on_reply(), on_reject()).arg().data().perform();
    net.up(a, p().hook(5, forward).msg_reply()).expect("set up");
    let before = net.cycle_balance(shard);
    let install = report(net.update_call(
        a,
        ANONYMOUS,
        "hooked",
        encode(code(ic_management_canister_types::CanisterInstallMode::Install)),
    ));
    let install_cost = (before - net.cycle_balance(shard)) as u64;
    let call = report(
        net.up(a, p().ask(shard, "update", p().caller().size().set(2).get(1).clear().push().reply(), within(30))),
    );
    let caller = net.slot(shard, 2);
    let direct = outcome(net.up(shard, p().lit("anyone").reply()));
    let upgrade = report(net.update_call(
        a,
        ANONYMOUS,
        "hooked",
        encode(code(ic_management_canister_types::CanisterInstallMode::Upgrade(None))),
    ));
    let small = manage(
        &net,
        a,
        "create_canister",
        encode(Create { settings: None, sender_canister_version: None }),
        T as u64 / 2 + 250_000_000_000,
    )
    .expect("a report");
    let poor = created(&small).expect("an id");
    net.name(poor, "poor");
    let poor_code = ic_management_canister_types::InstallCodeArgs {
        canister_id: poor,
        ..code(ic_management_canister_types::CanisterInstallMode::Install)
    };
    let too_poor = report(net.update_call(a, ANONYMOUS, "hooked", encode(poor_code)));
    json!({ "install": install, "install_cost_cycles": install_cost, "call": call, "caller_bytes": caller, "direct": direct,
        "upgrade": upgrade, "install_with_250G": too_poor })
}

fn log_overflow() -> Value {
    let net = net();
    let a = net.machine("a");
    for n in 0..6 {
        net.up(a, p().fill(1_000, u64::from(b'a') + n).print().msg_reply()).expect("prints");
    }
    let records = net.fetch_canister_logs(a, ANONYMOUS).expect("logs");
    let total: usize = records.iter().map(|r| r.content.len()).sum();
    net.up(a, p().fill(10_000, u64::from(b'z')).print().msg_reply()).expect("prints");
    let last = net.fetch_canister_logs(a, ANONYMOUS).expect("logs").last().map(|r| (r.idx, r.content.len() <= 4096));
    json!({ "last_kept": records.last().map(|r| r.idx), "total_below_4097": total <= 4096, "first_lost": records[0].idx > 0, "large": last })
}
