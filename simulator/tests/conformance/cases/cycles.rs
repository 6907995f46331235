//! Cycles: attached, accepted, refunded, burnt, charged.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("cycles": accept_and_refund, ingress_has_none, cost_of_update, cost_of_query, cost_of_call,
    storage_charge, burn, freezing_threshold, prices_seen, conservation);

pub fn both(net: &Net, a: Id, b: Id, program: P) -> Value {
    let before = net.cycle_balance(b) as i128;
    let (result, _) = net.spent(a, || report(net.up(a, program)));
    // To the nearest 10 G: fees are smaller.
    let gain = (net.cycle_balance(b) as i128 - before + 5_000_000_000).div_euclid(10_000_000_000) * 10;
    json!({ "result": result, "callee_gain_G": gain as i64 })
}

fn accept_and_refund() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let t = T as u64;
    let ask = |accept: P| {
        both(&net, a, b, p().ask(b, "update", accept.clear().push().avail().push().reply(), with_cycles(t)))
    };
    json!({
        "none": ask(p()),
        "part": ask(p().konst(t / 4).accept()),
        "twice": ask(p().konst(t / 4).accept().konst(t / 4).accept()),
        "all": ask(p().konst(t).accept()),
        "more": ask(p().konst(3 * t).accept()),
    })
}

fn ingress_has_none() -> Value {
    let net = net();
    let a = net.machine("a");
    json!({ "update": net.nums(a, p().avail().push().konst(1000).accept().push().reply()),
        "in_init_call": outcome(net.q(a, p().liquid().clear().lit("ok").reply())) })
}

fn cost_of_update() -> Value {
    let net = net();
    let a = net.machine("a");
    let spin = |n: u64| {
        net.tick();
        let (counted, spent) = net.spent(a, || net.nums(a, p().spin(n).perf(0).push().reply())[0]);
        (counted, spent)
    };
    let (small, cost_small) = spin(1);
    let (big, cost_big) = spin(10_000_000);
    let noop = net.spent(a, || outcome(net.update_call(a, ANONYMOUS, "update", p().msg_reply().0))).1;
    let long =
        net.spent(a, || outcome(net.update_call(a, ANONYMOUS, "update", p().msg_reply().lit(vec![0; 10_000]).0))).1;
    json!({
        "small_instructions": small, "big_instructions": big,
        "small_cycles": cost_small, "big_cycles": cost_big,
        "noop_cycles": noop, "ten_kilobytes_more_cycles": long - noop,
    })
}

fn cost_of_query() -> Value {
    let net = net();
    let a = net.machine("a");
    let query = net.spent(a, || net.q(a, p().spin(1_000_000).reply()).expect("replies")).1;
    let replicated =
        net.spent(a, || net.update_call(a, ANONYMOUS, "query", p().spin(1_000_000).reply().0).expect("replies")).1;
    let composite = net.spent(a, || net.cq(a, p().spin(1_000_000).reply()).expect("replies")).1;
    json!({ "query_cycles": query, "replicated_cycles": replicated, "composite_cycles": composite })
}

fn cost_of_call() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let mut out = serde_json::Map::new();
    for (name, fill, answer) in [("small", 0, 0), ("request_100kB", 100_000, 0), ("reply_100kB", 0, 100_000)] {
        let before = net.cycle_balance(b) as i128;
        let payload = p().fill(answer, 1).reply();
        // The filling comes after the program; the machine would run it, so it is only reply and stop.
        let payload = payload.stop();
        let (_, caller) =
            net.spent(a, || net.up(a, p().ask(b, "update", payload, Ask { fill, ..plain() })).expect("replies"));
        out.insert(format!("{name}_caller_cycles"), json!(caller));
        out.insert(format!("{name}_callee_cycles"), json!((before - net.cycle_balance(b) as i128) as i64));
    }
    Value::Object(out)
}

fn storage_charge() -> Value {
    let net = net();
    let a = net.machine("a");
    net.up(a, p().konst(1600).stable_grow().msg_reply()).expect("grows"); // 100 MiB
    net.ticks(2);
    let day = net
        .spent(a, || {
            net.seconds(86_400);
            net.ticks(2);
        })
        .1;
    let seconds_5 = net
        .spent(a, || {
            net.seconds(5);
            net.ticks(2);
        })
        .1;
    let seconds_10 = net
        .spent(a, || {
            net.seconds(6);
            net.ticks(2);
        })
        .1;
    json!({ "100MiB_day_cycles": day, "5_more_seconds_charged": seconds_5 > 0, "11_seconds_cycles": seconds_10 })
}

fn burn() -> Value {
    let net = net();
    let a = net.machine("a");
    let (some, spent) = net.spent(a, || net.nums(a, p().konst(3 * T as u64).burn().push().reply()));
    let all = net.nums(a, p().konst(u64::MAX).burn().push().reply());
    let left = net.cycle_balance(a);
    json!({ "burnt": some, "spent_cycles": spent, "all_cycles": all, "left_cycles": left as u64,
        "next": outcome(net.up(a, p().msg_reply())) })
}

fn freezing_threshold() -> Value {
    let net = net();
    let a = net.machine("a");
    net.up(a, p().konst(16_384).stable_grow().msg_reply()).expect("grows"); // 1 GiB
    let look = || net.nums(a, p().balance().push().liquid().push().reply());
    let before = look();
    let change = |days: u64| {
        let settings =
            pocket_ic::CanisterSettings { freezing_threshold: Some((days * 86_400).into()), ..Default::default() };
        unit(net.update_canister_settings(a, None, settings))
    };
    let set = change(300);
    let after = look();
    let high = change(30_000);
    let update = outcome(net.up(a, p().msg_reply()));
    let query = outcome(net.q(a, p().lit("still").reply()));
    let timer_free = change(30);
    json!({
        "locked_30_days_cycles": before[0] - before[1], "set": set, "locked_300_days_cycles": after[0] - after[1],
        "set_high": high, "update": update, "query": query, "thawed": timer_free, "again": outcome(net.up(a, p().lit("ok").reply())),
    })
}

fn prices_seen() -> Value {
    let net = net();
    let a = net.machine("a");
    let costs = net.nums(
        a,
        p().cost_call(0, 0)
            .push()
            .cost_call(10, 1000)
            .push()
            .cost_call(10, 2 << 20)
            .push()
            .cost_create()
            .push()
            .reply(),
    );
    json!({ "call_0_0": costs[0], "call_10_1000": costs[1], "call_10_2MiB": costs[2], "create": costs[3] })
}

/// Whatever happens to the calls, attached cycles are with one of the two.
fn conservation() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let t = T as u64;
    let total = || net.cycle_balance(a) + net.cycle_balance(b);
    let before = total();
    for end in [
        p().msg_reply(),
        p().trap(),
        p().reject(),
        p(),
        p().konst(t / 3).accept().msg_reply(),
        p().konst(t / 3).accept().trap(),
    ] {
        net.up(a, p().ask(b, "update", end, with_cycles(t))).expect("a report");
    }
    net.up(a, p().ask(b, "nope", p(), with_cycles(t))).expect("a report");
    let lost = before - total();
    json!({ "lost_below_1G": lost < 1_000_000_000, "lost_cycles": lost as u64 })
}
