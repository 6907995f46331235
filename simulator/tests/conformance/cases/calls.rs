//! Calls between canisters of one subnet: order, rounds, failures.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("calls": order_of_a_pair, self_call, chain_in_one_round, parallel, nonexistent_callee, stopped_callee,
    empty_callee, frozen_callee, missing_method, failing_callee, full_queue, too_few_cycles_to_send, management_rounds, reentrancy,
    one_way, recursion);

fn order_of_a_pair() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let send = |n: u64| {
        p().call(b, "update", p().lit("r").log(), p().lit("x").log())
            .lit(p().lit(n.to_string() + ",").log().msg_reply().0)
            .data()
            .perform()
    };
    let program = (0..20).fold(p(), |it, n| it.then(send(n))).clear().lit("sent").reply();
    let (answer, rounds) = net.rounds(net.submit(a, program));
    net.ticks(2);
    json!({ "answer": answer, "rounds": rounds, "callee_log": net.log_of(b), "caller_log": net.log_of(a) })
}

fn self_call() -> Value {
    let net = net();
    let a = net.machine("a");
    let program = p().inc(1).ask(a, "update", p().inc(1).push().reply(), plain());
    let message = net.submit(a, program);
    net.tick();
    let after_one = net.ingress_status(message.clone()).map(report);
    json!({ "after_one_round": after_one, "answer": report(net.await_call(message)) })
}

fn chain_in_one_round() -> Value {
    let net = net();
    let ids: Vec<Id> = (0..6).map(|i| net.machine(&format!("c{i}"))).collect();
    let last = p().lit("end").reply();
    let pass = |inner: P, callee: Id| {
        p().call(callee, "update", p().arg().lit("<").reply(), p().reject_msg().reply()).lit(inner.0).data().perform()
    };
    let program = ids[1..].iter().rev().fold(last, |inner, callee| pass(inner, *callee));
    let (answer, rounds) = net.rounds(net.submit(ids[0], program));
    // Back and forth between two.
    let (a, b) = (ids[0], ids[1]);
    let deep = (0..10).fold(p().lit("deep").reply(), |inner, n| pass(inner, if n % 2 == 0 { b } else { a }));
    let (ping_pong, ping_rounds) = net.rounds(net.submit(a, deep));
    json!({ "answer": answer, "rounds": rounds, "ping_pong": ping_pong, "ping_pong_rounds": ping_rounds })
}

fn parallel() -> Value {
    let net = net();
    let a = net.machine("a");
    let others: Vec<Id> = (0..8).map(|i| net.machine(&format!("c{i}"))).collect();
    // Each answer is counted; the eighth replies.
    let done = p().inc(1).add(-8i64 as u64).ifz(p().clear().get(1).push().reply());
    let program = others.iter().fold(p(), |it, callee| {
        it.call(callee, "update", done.clone(), p().inc(2)).lit(p().inc(1).msg_reply().0).data().perform()
    });
    let (answer, rounds) = net.rounds(net.submit(a, program));
    let ran: Vec<u64> = others.iter().map(|id| net.slot(*id, 1)).collect();
    json!({ "answer": answer, "rounds": rounds, "each_ran": ran, "rejects": net.slot(a, 2) })
}

fn nonexistent_callee() -> Value {
    let net = net();
    let (a, gone) = (net.machine("a"), net.empty("gone"));
    net.stop_canister(gone, None).expect("stops");
    net.delete_canister(gone, None).expect("deletes");
    let ask = |callee: Id| report(net.up(a, p().ask(callee, "update", p(), with_cycles(1_000_000))));
    json!({
        "deleted": ask(gone),
        "user_principal": ask(user(1)),
        "anonymous": ask(ANONYMOUS),
        "outside": ask(net.name(Id::from_slice(&[0, 0, 0, 0, 0, 0, 0x33, 0x33, 1, 1]), "outside")),
        "bounded": report(net.up(a, p().ask(gone, "update", p(), within(30)))),
        "empty_principal_unknown_method": ask(Id::management_canister()),
    })
}

fn stopped_callee() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    net.stop_canister(b, None).expect("stops");
    json!({
        "call": report(net.up(a, p().ask(b, "update", p(), with_cycles(1_000_000)))),
        "bounded": report(net.up(a, p().ask(b, "update", p(), within(30)))),
        "query_method": report(net.up(a, p().ask(b, "query", p(), plain()))),
        "update": outcome(net.up(b, p().reply())),
        "query": outcome(net.q(b, p().reply())),
        "status": state(&net.status(b)),
    })
}

fn empty_callee() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.empty("b"));
    json!({ "call": report(net.up(a, p().ask(b, "update", p(), with_cycles(1_000_000)))) })
}

/// The callee has too little to begin a message, or to keep above its freezing threshold.
fn frozen_callee() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let ask = || report(net.up(a, p().ask(b, "update", p().msg_reply(), with_cycles(1_000_000_000))));
    net.up(b, p().konst(u64::MAX).burn().msg_reply()).expect("burns");
    let drained = ask();
    let large = report(net.up(a, p().ask(b, "update", p().konst(1).accept().msg_reply(), with_cycles(T as u64))));
    net.add_cycles(b, T);
    let refilled = ask();
    let settings =
        pocket_ic::CanisterSettings { freezing_threshold: Some(1_000_000_000_000u64.into()), ..Default::default() };
    net.update_canister_settings(b, None, settings).expect("sets");
    let frozen = ask();
    let query = report(net.up(a, p().ask(b, "query", p().msg_reply(), plain())));
    json!({ "drained": drained, "attached_cycles_do_not_help": large, "refilled": refilled, "frozen": frozen, "query_method": query })
}

fn missing_method() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    json!({
        "missing": report(net.up(a, p().ask(b, "nope", p(), with_cycles(1_000_000)))),
        "composite": report(net.up(a, p().ask(b, "composite", p(), plain()))),
        "empty": report(net.up(a, p().ask(b, "", p(), plain()))),
    })
}

fn failing_callee() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let ask = |program: P| report(net.up(a, p().ask(b, "update", program, with_cycles(5_000_000))));
    json!({
        "reject": ask(p().lit("no").reject()),
        "trap": ask(p().lit("ouch").trap()),
        "unreachable": ask(p().unreachable()),
        "no_reply": ask(p()),
        "two_replies": ask(p().msg_reply().msg_reply()),
        "reply_too_large": ask(p().fill((2 << 20) + 1, 0).reply()),
        "division": ask(p().div0()),
    })
}

fn full_queue() -> Value {
    let net = net();
    let (a, b, c) = (net.machine("a"), net.machine("b"), net.machine("c"));
    net.add_cycles(a, 1000 * T);
    let one = |callee: Id| {
        p().call(callee, "update", p().inc(1), p().inc(2))
            .lit(p().inc(1).msg_reply().0)
            .data()
            .perform()
            .ifnz(p().set(9).inc(3))
            .ifz(p())
    };
    // 510 to b: how many could be sent, and what the rest got; then one to c still works.
    let program = p().repeat(510, one(b)).then(one(c)).clear().get(3).push().get(9).push().reply();
    let counts = net.nums(a, program);
    net.ticks(5);
    let later = net.nums(a, p().repeat(10, one(b)).clear().get(3).push().reply());
    net.ticks(5);
    let slots = net.qnums(a, p().get(1).push().get(2).push().get(3).push().reply());
    json!({ "failed_and_code": counts, "failed_later_total": later, "replies_rejects_failed": slots,
        "b_ran": net.slot(b, 1), "c_ran": net.slot(c, 1) })
}

fn too_few_cycles_to_send() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let at = |amount: u128| {
        net.set_balance(a, amount);
        report(net.up(a, p().ask(b, "update", p().msg_reply(), plain())))
    };
    let few = at(60_000_000_000);
    let some = at(81_000_000_000);
    let enough = at(90_000_000_000);
    net.set_balance(a, 90_000_000_000);
    let seen = net.nums(a, p().balance().push().liquid().push().cost_call(6, 1).push().reply());
    net.up(a, p().konst(u64::MAX).burn().msg_reply()).expect("burns");
    let poor = outcome(net.up(a, p().ask(b, "update", p().msg_reply(), plain())));
    let still_queried = outcome(net.q(a, p().lit("alive").reply()));
    json!({ "60G": few, "81G": some, "90G": enough, "balance_liquid_cost_at_90G_cycles": seen, "drained": poor,
        "query": still_queried, "callee_ran": net.slot(b, 0) })
}

fn management_rounds() -> Value {
    let net = net();
    let a = net.machine("a");
    let program =
        p().call([], "raw_rand", p().argsize().push().reply(), p().lit("no").reply()).lit(NOTHING).data().perform();
    let (drawn, raw_rand) = net.rounds(net.submit(a, program));
    let arg = encode(OneId { canister_id: a });
    let program =
        p().call([], "canister_status", p().lit("yes").reply(), p().reject_msg().reply()).lit(&arg).data().perform();
    let (denied, rounds_denied) = net.rounds(net.submit(a, program.clone()));
    net.set_controllers(a, None, vec![ANONYMOUS, a]).expect("sets");
    let (allowed, rounds) = net.rounds(net.submit(a, program));
    json!({ "raw_rand": drawn, "raw_rand_rounds": raw_rand, "status": denied, "status_rounds": rounds_denied,
        "as_controller": allowed, "as_controller_rounds": rounds })
}

/// While a waits for b, b calls back into a and changes its state.
fn reentrancy() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let at_a = p().inc(1).get(1).push().reply();
    let at_b = p().call(a, "update", p().arg().reply(), p().lit("no").reply()).lit(at_a.0).data().perform();
    let program = p().inc(1).call(b, "update", p().get(1).push().arg().reply(), p()).lit(at_b.0).data().perform();
    let message = net.submit(a, program);
    let (answer, rounds) = net.rounds(message);
    json!({ "answer": answer, "rounds": rounds })
}

/// A call without usable callbacks: the message itself is not harmed.
fn one_way() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let program = p()
        .inc(1)
        .konst(u32::MAX.into())
        .call_badfn(b, "update")
        .lit(p().inc(1).msg_reply().0)
        .data()
        .perform()
        .clear()
        .lit("sent")
        .reply();
    let answer = outcome(net.up(a, program));
    net.ticks(3);
    let next = outcome(net.up(a, p().lit("well").reply()));
    net.stop_canister(a, None).expect("stops: nothing is open");
    json!({ "answer": answer, "next": next, "b_ran": net.slot(b, 1) })
}

/// A canister that calls itself, forty deep, and answers on the way back.
fn recursion() -> Value {
    let net = net();
    let a = net.machine("a");
    let deep = (0..40).fold(p().inc(1).lit(".").reply(), |inner, _| {
        p().inc(1).call(a, "update", p().arg().lit(".").reply(), p().reject_msg().reply()).lit(inner.0).data().perform()
    });
    let (answer, rounds) = net.rounds(net.submit(a, deep));
    json!({ "answer": answer, "rounds": rounds, "ran": net.slot(a, 1) })
}
