//! Bounded-wait calls: deadlines, timeouts, late answers, refunds.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("deadlines": seen_by_callee, answered_in_time, times_out_while_held, guaranteed_waits_on, exact_moment,
    twice_for_one_call, many_at_once);

pub const START: u64 = 1_700_000_000_250_000_000;

pub fn at_quarter() -> Net {
    Net {
        pic: builder()
            .with_application_subnet()
            .with_initial_time(pocket_ic::Time::from_nanos_since_unix_epoch(START))
            .build(),
    }
}

fn seen_by_callee() -> Value {
    let net = at_quarter();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let see = |timeout: u64| {
        let program = p().ask(b, "update", p().deadline().push().time().push().reply(), within(timeout));
        let reply = net.up(a, program).expect("a report");
        let seen = ints(&reply[9..]);
        json!({ "none": seen[0] == 0, "subsecond_ns": seen[0] % 1_000_000_000,
            "ahead_s": (seen[0] as f64 - seen[1] as f64).div_euclid(1e9) })
    };
    let query = {
        let reply =
            net.up(a, p().ask(b, "query", p().deadline().push().time().push().reply(), within(60))).expect("a report");
        ints(&reply[9..])[0] > 0
    };
    json!({
        "guaranteed": net.nums(a, p().deadline().push().reply())[0],
        "1s": see(1), "2s": see(2), "60s": see(60), "300s": see(300), "1000s": see(1000),
        "query_method_sees_one": query,
    })
}

fn answered_in_time() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let options = || Ask { cycles: 1_000_000_000, timeout: 30, ..plain() };
    json!({
        "reply": report(net.up(a, p().ask(b, "update", p().konst(400_000_000).accept().clear().lit("ok").reply(), options()))),
        "reject": report(net.up(a, p().ask(b, "update", p().lit("no").reject(), options()))),
        "trap": report(net.up(a, p().ask(b, "update", p().lit("ouch").trap(), options()))),
    })
}

fn times_out_while_held() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let held = hold_then(p().inc(5).clear().lit("late").reply());
    let ask = p().ask(b, "update", p().inc(4).then(held), Ask { timeout: 20, cycles: 1_000_000_000, ..plain() });
    let message = net.submit(a, ask);
    net.ticks(3);
    let before = net.ingress_status(message.clone()).is_some();
    net.seconds(21);
    net.tick();
    let after = net.ingress_status(message.clone()).map(report);
    let callee_before_release = net.qnums(b, p().get(4).push().get(5).push().reply());
    net.up(b, release()).expect("released");
    net.ticks(4);
    json!({
        "answered_before": before, "one_round_after_deadline": after,
        "callee_before_release": callee_before_release,
        "callee_after_release": net.qnums(b, p().get(4).push().get(5).push().reply()),
        "answer_unchanged": report(net.await_call(message)),
    })
}

fn guaranteed_waits_on() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let held = hold_then(p().clear().lit("after an hour").reply());
    let message = net.submit(a, p().ask(b, "update", held, with_cycles(1_000_000)));
    net.ticks(3);
    for _ in 0..12 {
        net.seconds(300);
        net.ticks(2);
    }
    let early = net.ingress_status(message.clone()).is_some();
    net.up(b, release()).expect("released");
    json!({ "answered_early": early, "answer": report(net.await_call(message)) })
}

fn exact_moment() -> Value {
    let net = at_quarter();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let message = net.submit(a, p().ask(b, "update", hold_then(p().msg_reply()), within(60)));
    net.tick();
    let mut answered_at = vec![];
    for step in 0..130 {
        net.advance_time(std::time::Duration::from_millis(500));
        net.tick();
        if net.ingress_status(message.clone()).is_some() {
            answered_at.push(step + 1);
            break;
        }
    }
    json!({ "half_seconds_until_answer": answered_at, "answer": report(net.await_call(message)) })
}

fn twice_for_one_call() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let twice = p().call(b, "update", p(), p()).konst(10).best_effort().best_effort().perform();
    let without = p().konst(10).best_effort();
    let zero =
        p().call(b, "update", on_reply(), on_reject()).lit(p().msg_reply().0).data().konst(0).best_effort().perform();
    json!({ "twice": outcome(net.up(a, twice)), "without_call": outcome(net.up(a, without)),
        "zero_seconds": report(net.up(a, zero)) })
}

/// Calls with different deadlines to one holder expire one after another.
fn many_at_once() -> Value {
    let net = at_quarter();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let held = p().inc(1).get(63).ifz(hold_then(p().inc(5).msg_reply()));
    let send = |timeout: u64| {
        p().call(b, "update", p().inc(2), p().reject_code().push().log().inc(3))
            .lit(held.0.clone())
            .data()
            .konst(timeout)
            .best_effort()
            .perform()
    };
    net.up(a, send(10).then(send(20)).then(send(30)).then(send(0)).clear().lit("sent").reply()).expect("sends");
    net.ticks(2);
    let mut rejects = vec![];
    for _ in 0..4 {
        net.seconds(11);
        net.ticks(1);
        rejects.push(net.slot(a, 3));
    }
    net.up(b, release()).expect("released");
    net.ticks(4);
    json!({ "rejects_each_11s": rejects, "callee_began": net.slot(b, 1), "callee_ended": net.slot(b, 5), "replies": net.slot(a, 2) })
}
