//! Running, stopping, stopped, deleted; settings and versions.

use pocket_ic::common::rest::{RawEffectivePrincipal, RawMessageId};
use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("lifecycle": stop_and_start, stop_with_guaranteed_call, stop_with_bounded_call, delete,
    controllers_only, uninstall, versions, several_stoppers);

pub fn submit_stop(net: &Net, id: Id) -> RawMessageId {
    let effective = RawEffectivePrincipal::CanisterId(id.as_slice().to_vec());
    net.submit_call_with_effective_principal(
        MANAGEMENT,
        effective,
        ANONYMOUS,
        "stop_canister",
        encode(OneId { canister_id: id }),
    )
    .expect("accepted")
}

fn stop_and_start() -> Value {
    let net = net();
    let a = net.machine("a");
    net.up(a, p().konst(5).set(1).msg_reply()).expect("set up");
    let (stopped, rounds) = net.rounds(submit_stop(&net, a));
    let again = unit(net.stop_canister(a, None));
    let status = state(&net.status(a));
    let start = unit(net.start_canister(a, None));
    let start_again = unit(net.start_canister(a, None));
    json!({ "stop": stopped, "rounds": rounds, "again": again, "status": status, "start": start, "start_again": start_again,
        "heap_kept": net.slot(a, 1), "status_after": state(&net.status(a)) })
}

/// A guaranteed call that the callee holds keeps its caller from stopping.
fn stop_with_guaranteed_call() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let asked = net.submit(a, p().ask(b, "update", hold_then(p().clear().lit("at last").reply()), plain()));
    net.ticks(2);
    let stop = submit_stop(&net, a);
    net.ticks(5);
    net.seconds(120);
    net.ticks(2);
    let waiting = state(&net.status(a));
    net.up(b, release()).expect("released");
    let answer = report(net.await_call(asked));
    json!({ "after_two_minutes": waiting, "answer": answer, "stop": outcome(net.await_call(stop)),
        "status": state(&net.status(a)) })
}

fn stop_with_bounded_call() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let asked = net.submit(a, p().ask(b, "update", hold_then(p().clear().lit("too late").reply()), within(60)));
    net.ticks(2);
    let stop = submit_stop(&net, a);
    net.ticks(2);
    let waiting = state(&net.status(a));
    net.seconds(61);
    net.ticks(2);
    let after = state(&net.status(a));
    let answer = report(net.await_call(asked));
    let stopped = outcome(net.await_call(stop));
    net.up(b, release()).expect("released");
    net.ticks(3);
    json!({ "before_deadline": waiting, "after_deadline": after, "answer": answer, "stop": stopped,
        "after_late_reply": state(&net.status(a)) })
}

fn delete() -> Value {
    let net = net();
    let a = net.machine("a");
    let running = unit(net.delete_canister(a, None));
    net.stop_canister(a, None).expect("stops");
    let stopped = unit(net.delete_canister(a, None));
    json!({
        "running": running, "stopped": stopped, "exists": net.canister_exists(a),
        "balance_refused": refused(|| net.cycle_balance(a)),
        "start": refusal_or(|| unit(net.start_canister(a, None))),
        "again": refusal_or(|| unit(net.delete_canister(a, None))),
    })
}

pub fn refusal_or(what: impl FnOnce() -> Value) -> Value {
    let mut value = None;
    if refused(|| value = Some(what())) { json!("refused") } else { value.expect("ran") }
}

fn controllers_only() -> Value {
    let net = net();
    let a = net.machine("a");
    net.set_controllers(a, None, vec![user(1)]).expect("sets");
    let stranger = Some(user(2));
    json!({
        "status": status_of(net.mgmt_as(user(2), "canister_status", OneId { canister_id: a }, a)),
        "stop": unit(net.stop_canister(a, stranger)),
        "uninstall": unit(net.uninstall_canister(a, stranger)),
        "upgrade": unit(net.upgrade_canister(a, machine(), vec![], stranger)),
        "settings": unit(net.set_controllers(a, stranger, vec![user(2)])),
        "controller_can": state(&status_of(net.mgmt_as(user(1), "canister_status", OneId { canister_id: a }, a))),
        "is_controller": net.nums(a, p().lit(user(1)).is_controller().set(1).lit(user(2)).is_controller().set(2)
            .get(1).push().get(2).push().reply()),
        "eleven": unit(net.set_controllers(a, Some(user(1)), (1..=11).map(user).collect()))["error_code"],
        "ten": unit(net.set_controllers(a, Some(user(1)), (1..=10).map(user).collect())),
        "none": unit(net.set_controllers(a, Some(user(1)), vec![])),
        "after_none": unit(net.stop_canister(a, Some(user(1)))),
    })
}

fn uninstall() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    net.up(a, p().konst(3).stable_grow().msg_reply()).expect("grows");
    let serving = net.submit(a, hold_then(p().msg_reply()));
    let from_b = net.submit(b, p().ask(a, "update", hold_then(p().msg_reply()), with_cycles(1_000_000)));
    net.ticks(2);
    let result = unit(net.uninstall_canister(a, None));
    net.ticks(3);
    let status = net.status(a);
    json!({
        "result": result,
        "open_ingress": outcome(net.await_call(serving)), "open_call": report(net.await_call(from_b)),
        "module": status["module"], "state": status["status"],
        "call": outcome(net.up(a, p())),
        "stable_memory_refused": refused(|| net.get_stable_memory(a)),
        "balance_kept": net.cycle_balance(a) > 90 * T,
        "install_again": unit(net.reinstall_canister(a, machine(), vec![], None)),
        "stable_pages": net.qnums(a, p().stable_size().push().reply()),
    })
}

fn versions() -> Value {
    let net = net();
    let a = net.empty("a");
    let mut out = serde_json::Map::new();
    net.install(a, &machine());
    let read = || net.qnums(a, p().version().push().reply())[0];
    let start = read();
    out.insert("after_install".into(), json!(start));
    let mut last = start;
    let mut note = |name: &str| {
        let now = read();
        out.insert(name.to_string(), json!(now - last));
        last = now;
    };
    note("query");
    net.up(a, p().msg_reply()).expect("replies");
    note("update");
    net.up(a, p().trap()).expect_err("traps");
    note("trap");
    net.up(a, p().lit("x").reject()).expect_err("rejects");
    note("reject");
    net.up(a, p().ask(a, "update", p().msg_reply(), plain())).expect("replies");
    note("update_self_call_callback");
    net.update_call(a, ANONYMOUS, "query", p().msg_reply().0).expect("replies");
    note("replicated_query");
    net.set_controllers(a, None, vec![ANONYMOUS]).expect("sets");
    note("settings");
    net.stop_canister(a, None).expect("stops");
    net.start_canister(a, None).expect("starts");
    note("stop_start");
    net.upgrade_canister(a, machine(), vec![], None).expect("upgrades");
    note("upgrade");
    net.upgrade_canister(a, machine(), p().trap().0, None).expect_err("fails");
    note("failed_upgrade");
    net.reinstall_canister(a, machine(), vec![], None).expect("reinstalls");
    note("reinstall");
    net.add_cycles(a, 1);
    net.ticks(3);
    note("rounds_and_cycles");
    Value::Object(out)
}

fn several_stoppers() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let asked = net.submit(a, p().ask(b, "update", hold_then(p().clear().lit("x").reply()), plain()));
    net.ticks(2);
    let stops = [submit_stop(&net, a), submit_stop(&net, a)];
    net.ticks(2);
    net.up(b, release()).expect("released");
    let answer = report(net.await_call(asked));
    json!({ "answer": answer, "stops": stops.map(|stop| outcome(net.await_call(stop))) })
}
