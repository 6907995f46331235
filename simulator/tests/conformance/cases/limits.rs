//! Limits of instructions, memory and stable memory.

use pocket_ic::CanisterSettings;
use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("limits": endless_update, endless_query, heap_growth, wasm_memory_limit, stable_growth,
    memory_allocation, long_message);

fn endless_query() -> Value {
    let net = net();
    let a = net.machine("a");
    json!({
        "query": outcome(net.q(a, p().forever())),
        "composite": outcome(net.cq(a, p().forever())),
        "just_below": outcome(net.q(a, p().spin(620_000_000).lit("done").reply())),
        "just_above": outcome(net.q(a, p().spin(630_000_000).lit("done").reply())),
    })
}

fn endless_update() -> Value {
    let net = net();
    let a = net.machine("a");
    let (answer, spent) = net.spent(a, || outcome(net.up(a, p().inc(1).forever())));
    json!({ "answer": answer, "spent_cycles": spent, "state": net.slot(a, 1), "lives": outcome(net.up(a, p().lit("on").reply())) })
}

fn heap_growth() -> Value {
    let net = net();
    let a = net.machine("a");
    let grow = |pages: u64| {
        net.up(a, p().konst(pages).mem_grow().push().reply()).map(|b| ints(&b)[0] as i64).map_err(|e| rejection(&e))
    };
    let bounded = net.wat(
        "b",
        r#"(module
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "msg_reply" (func $reply))
        (memory 1 3)
        (func (export "canister_update grow")
            (i32.store (i32.const 0) (memory.grow (i32.const 2)))
            (i32.store (i32.const 4) (memory.grow (i32.const 1)))
            (call $append (i32.const 0) (i32.const 8)) (call $reply)))"#,
    );
    json!({ "one": grow(1), "too_many": grow(65_536), "size": net.qnums(a, p().mem_size().push().reply()),
        "declared_maximum_3": outcome(net.update_call(bounded, ANONYMOUS, "grow", vec![])) })
}

fn wasm_memory_limit() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let limit = |bytes: u64| {
        let settings = CanisterSettings { wasm_memory_limit: Some(bytes.into()), ..Default::default() };
        unit(net.update_canister_settings(a, None, settings))
    };
    let set = limit(2 << 20); // 32 pages; 17 are used
    let grow = |pages: u64| outcome(net.up(a, p().konst(pages).mem_grow().push().reply()));
    let below = grow(10);
    let above = grow(10);
    let size = net.qnums(a, p().mem_size().push().reply());
    let query = outcome(net.q(a, p().konst(10).mem_grow().push().reply()));
    // A callback may go above.
    let callback = outcome(net.up(
        a,
        p().call(b, "update", p().konst(10).mem_grow().push().reply(), p()).lit(p().msg_reply().0).data().perform(),
    ));
    let next = outcome(net.up(a, p().lit("x").reply()));
    json!({ "set": set, "below": below, "above": above, "pages": size, "query": query, "callback": callback, "next_update": next,
        "upgrade_above": net.try_upgrade(a, machine(), p().konst(30).mem_grow()) })
}

fn stable_growth() -> Value {
    let net = net();
    let a = net.machine("a");
    net.add_cycles(a, 1_000_000 * T);
    let grow = |pages: u64| {
        net.up(a, p().konst(pages).stable_grow().push().reply()).map(|b| ints(&b)[0] as i64).map_err(|e| rejection(&e))
    };
    let max = 500 * 1024 * 16;
    json!({ "zero": grow(0), "one": grow(1), "above_500GiB": grow(max), "huge": grow(1 << 40), "to_100GiB": grow(100 * 16_384),
        "size": net.qnums(a, p().stable_size().push().reply()), "old_name_limit": grow(70_000),
        "far_end": outcome(net.up(a, p().lit("end").stable_write(100 << 30).stable_read(100 << 30, 3).reply())) })
}

fn memory_allocation() -> Value {
    let net = net();
    let a = net.machine("a");
    net.add_cycles(a, 1000 * T);
    let set = |settings: CanisterSettings| unit(net.update_canister_settings(a, None, settings));
    let memory = |bytes: u64| CanisterSettings { memory_allocation: Some(bytes.into()), ..Default::default() };
    let small = set(memory(1 << 20));
    let good = set(memory(64 << 20));
    let idle = net
        .spent(a, || {
            net.seconds(86_400);
            net.ticks(2);
        })
        .1;
    let beyond = outcome(net.up(a, p().konst(1600).stable_grow().push().reply()));
    json!({
        "below_use": small["error_code"], "64MiB": good, "day_cycles": idle, "grow_beyond": beyond,
        "too_large": set(memory(1 << 60))["error_code"],
        "compute_101": set(CanisterSettings { compute_allocation: Some(101u64.into()), ..Default::default() })["error_code"],
        "freezing_2_64": set(CanisterSettings { freezing_threshold: Some(candid::Nat::from(1u128 << 64)), ..Default::default() })["error_code"],
    })
}

/// More than a slice, less than the limit: one message over several rounds.
fn long_message() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let message = net.submit(a, p().inc(1).spin(600_000_000).time().set(2).perf(0).clear().push().reply());
    net.tick();
    let after_one = net.ingress_status(message.clone()).is_some();
    let other = outcome(net.up(b, p().lit("not blocked").reply()));
    let count = ints(&net.await_call(message).expect("a reply"))[0];
    json!({ "answered_after_one_round": after_one, "other_canister": other, "count_instructions": count, "ran": net.slot(a, 1) })
}
