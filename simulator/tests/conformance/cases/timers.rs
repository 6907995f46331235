//! Global timer, heartbeat, inspect_message.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("timers": fires_once, in_the_past, upgrade_clears, heartbeat, inspect, low_memory_hook);

pub const START: u64 = 1_700_000_000_000_000_000;

pub fn at_start() -> Net {
    Net {
        pic: builder()
            .with_application_subnet()
            .with_initial_time(pocket_ic::Time::from_nanos_since_unix_epoch(START))
            .build(),
    }
}

fn fires_once() -> Value {
    let net = at_start();
    let a = net.special("a", &["global_timer"]);
    let note = p().inc(1).time().set(2).caller().size().set(3).konst(0).timer().set(4);
    let due = START + 60_000_000_000;
    let previous = net.nums(a, p().hook(1, note).konst(due).timer().push().konst(due).timer().push().reply());
    net.seconds(50);
    net.ticks(2);
    let early = net.slot(a, 1);
    net.seconds(10);
    net.tick();
    let first_round = net.slot(a, 1);
    net.ticks(3);
    net.seconds(100);
    net.ticks(3);
    let state = net.qnums(a, p().get(1).push().get(2).push().get(3).push().get(4).push().reply());
    json!({
        "previous_0_then_due": [previous[0] == 0, previous[1] == due],
        "at_50s": early, "first_round_at_60s": first_round, "runs": state[0],
        "late_ns_below_1000": state[1] - due < 1000, "caller_bytes": state[2], "timer_inside": state[3],
    })
}

fn in_the_past() -> Value {
    let net = at_start();
    let a = net.special("a", &["global_timer"]);
    // Each run sets the timer to 1 ns again, twice.
    let again = p().inc(1).add(-3i64 as u64).ifnz(p().konst(1).timer());
    net.up(a, p().hook(1, again).konst(1).timer().msg_reply()).expect("set up");
    let after_update = net.slot(a, 1);
    net.tick();
    let one = net.slot(a, 1);
    net.tick();
    let two = net.slot(a, 1);
    net.ticks(5);
    json!({ "round_of_update": after_update, "one_tick": one, "two_ticks": two, "seven_ticks": net.slot(a, 1) })
}

fn upgrade_clears() -> Value {
    let net = at_start();
    let a = net.special("a", &["global_timer"]);
    let wasm = machine_with(&["global_timer"]);
    let due = START + 1_000_000_000_000;
    net.up(a, p().konst(due).timer().lit("certified").cert_set().msg_reply()).expect("set up");
    net.upgrade_canister(a, wasm.clone(), p().hook(1, p().inc(1)).0, None).expect("upgrades");
    let after_upgrade = net.nums(a, p().konst(0).timer().push().reply());
    net.upgrade_canister(a, wasm, p().hook(1, p().inc(1)).konst(1).timer().0, None).expect("upgrades");
    net.ticks(2);
    json!({ "timer_after_upgrade": after_upgrade, "set_in_post_upgrade_ran": net.slot(a, 1) })
}

fn heartbeat() -> Value {
    let net = net();
    let (a, b) = (net.special("a", &["heartbeat"]), net.machine("b"));
    let beat = p()
        .inc(1)
        .caller()
        .size()
        .set(2)
        .replicated()
        .set(3)
        .call(b, "update", p().inc(4), p())
        .lit(p().inc(1).msg_reply().0)
        .data()
        .perform();
    net.up(a, p().hook(0, beat).msg_reply()).expect("set up");
    let zero = net.slot(a, 1);
    net.ticks(5);
    let five = net.slot(a, 1) - zero;
    let calls = net.slot(b, 1) - zero;
    net.up(a, p().hook(0, p().inc(5).trap()).msg_reply()).expect("set up");
    net.ticks(3);
    let trapping = outcome(net.up(a, p().lit("alive").reply()));
    net.up(a, p().hook(0, p().inc(6)).msg_reply()).expect("set up");
    let before = net.slot(a, 6);
    net.stop_canister(a, None).expect("stops");
    net.ticks(4);
    net.start_canister(a, None).expect("starts");
    let while_stopped = net.slot(a, 6) - before;
    json!({ "in_5_ticks": five, "calls_in_5_ticks": calls, "caller_bytes": net.slot(a, 2), "replicated": net.slot(a, 3),
        "trapping": trapping, "trapped_state": net.slot(a, 5), "stop_and_start_below_5": while_stopped < 5 })
}

fn inspect() -> Value {
    let net = net();
    let (a, b) = (net.special("a", &["inspect_message"]), net.machine("b"));
    // Without a hook nothing is accepted, so the hook comes with the install.
    let refused = outcome(net.up(a, p().msg_reply()));
    let hook = |program: P| {
        net.upgrade_canister(a, machine_with(&["inspect_message"]), p().hook(2, program).0, None).expect("upgrades")
    };
    hook(p().inc(1).accept_message());
    let accepted = outcome(net.up(a, p().lit("in").reply()));
    let state_dropped = net.slot(a, 1);
    hook(p().lit("not you").trap());
    let trapped = outcome(net.up(a, p().lit("in").reply()));
    let query = outcome(net.q(a, p().lit("query").reply()));
    let query_as_update = outcome(net.update_call(a, ANONYMOUS, "query", p().lit("query").reply().0));
    let by_canister = report(net.up(b, p().ask(a, "update", p().lit("from b").reply(), plain())));
    let management = unit(net.stop_canister(a, None));
    net.start_canister(a, None).expect("starts");
    hook(p().accept_message().accept_message());
    let twice = outcome(net.up(a, p().lit("in").reply()));
    hook(p().method().size().add(-6i64 as u64).ifz(p().accept_message()));
    let by_name =
        [outcome(net.up(a, p().lit("in").reply())), outcome(net.update_call(a, ANONYMOUS, "nothing", vec![]))];
    let (_, spent) = net.spent(a, || net.update_call(a, ANONYMOUS, "nothing", vec![]).is_ok());
    json!({ "refused": refused, "accepted": accepted, "state_dropped": state_dropped, "trapped": trapped, "query": query,
        "query_as_update": query_as_update, "by_canister": by_canister, "management": management, "accepted_twice": twice,
        "by_method_name": by_name, "refusal_costs": spent })
}

fn low_memory_hook() -> Value {
    let net = at_start();
    let a = net.special("a", &["on_low_wasm_memory"]);
    let settings = pocket_ic::CanisterSettings {
        wasm_memory_limit: Some((4u64 << 20).into()),
        wasm_memory_threshold: Some((1u64 << 20).into()),
        ..Default::default()
    };
    net.update_canister_settings(a, None, settings).expect("sets");
    net.up(a, p().hook(4, p().inc(1)).msg_reply()).expect("set up");
    net.ticks(2);
    let before = net.slot(a, 1);
    net.up(a, p().konst(20).mem_grow().msg_reply()).expect("grows to 37 pages");
    net.ticks(2);
    let above = net.slot(a, 1);
    net.up(a, p().konst(15).mem_grow().msg_reply()).expect("grows to 52 pages");
    net.ticks(3);
    let below = net.slot(a, 1);
    net.up(a, p().konst(1).mem_grow().msg_reply()).expect("grows to 53 pages");
    net.ticks(3);
    json!({ "before": before, "37_pages": above, "52_pages": below, "53_pages": net.slot(a, 1) })
}
