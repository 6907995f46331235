//! What a trap undoes, and what it does not.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("rollback": trap_restores_state, callback_trap_and_cleanup, query_discards, trap_after_perform,
    memory_growth, cleanup_traps);

fn trap_restores_state() -> Value {
    let net = net();
    let a = net.machine("a");
    let set =
        |n: u64| p().konst(n).set(1).konst(n).gset().konst(1).stable_grow().clear().konst(n).push().stable_write(0);
    net.up(a, set(1).clear().konst(u64::MAX).timer().reply()).expect("set up");
    let trapped = outcome(net.up(a, set(2).lit("two").cert_set().konst(77).timer().lit("undo").trap()));
    let look = p().get(1).push().gget().push().stable_size().push().stable_read(0, 8).reply();
    let after = net.qnums(a, look);
    let timer = net.nums(a, p().konst(0).timer().push().reply());
    json!({ "trapped": trapped, "slot_global_pages_stable": after, "timer_is_max": timer[0] == u64::MAX })
}

/// Before the await kept, the callback's changes dropped, the cleanup's kept.
fn callback_trap_and_cleanup() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let ask = |callback: P| {
        p().inc(1)
            .call(b, "update", callback.clone(), callback)
            .on_cleanup(p().inc(3).get(2).set(4))
            .lit(p().lit("fine").reply().0)
            .data()
            .perform()
    };
    let state = || net.qnums(a, p().get(1).push().get(2).push().get(3).push().get(4).push().reply());
    let trapped = outcome(net.up(a, ask(p().inc(2).lit("in callback").trap())));
    let after_trap = state();
    let good = outcome(net.up(a, ask(p().inc(2).lit("good").reply())));
    let after_good = state();
    let unreachable = outcome(net.up(a, ask(p().inc(2).unreachable())));
    json!({
        "trapped": trapped, "before_callback_cleanup_seen": after_trap,
        "good": good, "after_good": after_good,
        "unreachable": unreachable, "after_unreachable": state(),
    })
}

fn query_discards() -> Value {
    let net = net();
    let a = net.machine("a");
    let change = || p().inc(1).push().konst(1).gset().konst(1).stable_grow().reply();
    let state = || net.qnums(a, p().get(1).push().gget().push().stable_size().push().reply());
    let query = outcome(net.q(a, change()));
    let replicated = outcome(net.update_call(a, ANONYMOUS, "query", change().0));
    let composite = outcome(net.cq(a, change()));
    json!({ "query": query, "replicated": replicated, "composite": composite, "state": state() })
}

fn trap_after_perform() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let program = p()
        .call(b, "update", p(), p())
        .lit(p().inc(1).reply().0)
        .data()
        .konst(1_000_000_000_000)
        .cycles()
        .perform()
        .lit("after all")
        .trap();
    let (trapped, spent) = net.spent(a, || outcome(net.up(a, program)));
    net.ticks(3);
    json!({ "trapped": trapped, "callee_ran": net.slot(b, 1), "spent_below_1T": spent < 1_000_000_000_000 })
}

fn memory_growth() -> Value {
    let net = net();
    let a = net.machine("a");
    let pages = || net.qnums(a, p().mem_size().push().stable_size().push().reply());
    let before = pages();
    net.up(a, p().konst(10).mem_grow().konst(5).stable_grow().trap()).expect_err("traps");
    let after_trap = pages();
    net.up(a, p().konst(10).mem_grow().konst(5).stable_grow().reply()).expect("grows");
    json!({ "before": before, "after_trap": after_trap, "after_growth": pages(),
        "status_16kib": net.status(a)["memory_size_16kib"] })
}

/// A cleanup that traps, and cleanups that do what they may not.
fn cleanup_traps() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let run = |cleanup: P| {
        let program = p()
            .inc(1)
            .call(b, "update", p().inc(2).lit("callback").trap(), p())
            .on_cleanup(cleanup)
            .lit(p().msg_reply().0)
            .data()
            .perform();
        let result = net.up(a, program);
        // Both failures are told: the texts in full, without backtraces.
        let text = norm(&result.as_ref().expect_err("fails").reject_message);
        let lines: Vec<String> = text
            .lines()
            .filter(|l| l.contains("Canister called") || l.contains("violated") || l.contains("also failed"))
            .map(|l| l.trim_end_matches('.').to_string())
            .collect();
        json!({ "error_code": rejection(&result.expect_err("fails"))["error_code"], "lines": lines })
    };
    let trap = run(p().inc(3).lit("cleanup").trap());
    let reply = run(p().inc(3).msg_reply());
    let call = run(p().inc(3).call(b, "update", p(), p()));
    let burn = run(p().inc(4).konst(5).timer());
    let slots = net.qnums(a, (1..=4).fold(p(), |it, n| it.get(n).push()).reply());
    json!({ "trap": trap, "reply": reply, "call": call, "allowed": burn, "slots_1_to_4": slots })
}
