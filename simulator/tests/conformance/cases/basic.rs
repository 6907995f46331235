//! Replies, rejects, traps, and what entry points may do.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("basic": reply_and_surroundings, explicit_reject, trap_texts, trap_kinds, no_reply, missing_method,
    missing_module, reply_sizes, error_text_shape);

fn reply_and_surroundings() -> Value {
    let net = net();
    let a = net.machine("a");
    let probe = || p().caller().lit("|").self_id().replicated().push().status().push().reply();
    let show = |reply: Reply| {
        let bytes = reply.expect("a reply");
        let at = |i: usize| bytes[i];
        let n = bytes.len();
        json!({
            "caller_len": bytes.iter().position(|b| *b == b'|'),
            "self": bytes[..n - 16].ends_with(a.as_slice()),
            "replicated": at(n - 16),
            "status": at(n - 8),
        })
    };
    let program = probe().0;
    json!({
        "update": show(net.update_call(a, ANONYMOUS, "update", program.clone())),
        "update_user": show(net.update_call(a, user(1), "update", program.clone())),
        "query": show(net.query_call(a, user(2), "query", program.clone())),
        "query_as_update": show(net.update_call(a, ANONYMOUS, "query", program.clone())),
        "composite": show(net.query_call(a, ANONYMOUS, "composite", program)),
        "echo": outcome(net.up(a, p().argsize().push().arg().reply())),
        "empty_reply": outcome(net.up(a, p().msg_reply())),
    })
}

fn explicit_reject() -> Value {
    let net = net();
    let a = net.machine("a");
    let full = |r: Reply| {
        let e = r.expect_err("a reject");
        json!([rejection(&e), e.certified])
    };
    net.up(a, p().konst(5).set(1).lit("x").reject()).expect_err("a reject");
    json!({
        "update": full(net.up(a, p().lit("not today").reject())),
        "query": full(net.q(a, p().lit("not today").reject())),
        "empty": full(net.up(a, p().reject())),
        "state_kept": net.slot(a, 1),
    })
}

fn trap_texts() -> Value {
    let net = net();
    let a = net.machine("a");
    json!({
        "update": outcome(net.up(a, p().lit("ouch").trap())),
        "query": outcome(net.q(a, p().lit("ouch").trap())),
        "empty": outcome(net.up(a, p().trap())),
        "not_utf8": outcome(net.up(a, p().lit([b'a', 0xff, b'b']).trap())),
        "certified": net.up(a, p().trap()).expect_err("traps").certified,
    })
}

fn trap_kinds() -> Value {
    let net = net();
    let a = net.machine("a");
    json!({
        "unreachable": outcome(net.up(a, p().unreachable())),
        "division": outcome(net.up(a, p().div0())),
        "heap_out_of_bounds": outcome(net.up(a, p().oob())),
        "table_out_of_bounds": outcome(net.up(a, p().badcall())),
        "stack": outcome(net.up(a, p().deep())),
        "stable_read": outcome(net.up(a, p().stable_read(0, 1))),
        "stable_write": outcome(net.up(a, p().lit("x").stable_write(0))),
        "query_unreachable": outcome(net.q(a, p().unreachable())),
    })
}

fn no_reply() -> Value {
    let net = net();
    let a = net.machine("a");
    json!({
        "update": outcome(net.up(a, p().konst(3).set(1))),
        "state_kept": net.slot(a, 1),
        "query": outcome(net.q(a, p())),
        "composite": outcome(net.cq(a, p())),
        "appended_only": outcome(net.up(a, p().lit("x").append())),
        "nothing": outcome(net.update_call(a, ANONYMOUS, "nothing", vec![])),
    })
}

fn missing_method() -> Value {
    let net = net();
    let a = net.machine("a");
    let update = |m: &str| outcome(net.update_call(a, ANONYMOUS, m, vec![]));
    let query = |m: &str| outcome(net.query_call(a, ANONYMOUS, m, vec![]));
    json!({
        "update": update("nope"),
        "query": query("nope"),
        "update_as_query": query("update"),
        "composite_as_update": update("composite"),
        "empty_name": update(""),
        "init_by_name": update("canister_init"),
        "case": update("Update"),
    })
}

fn missing_module() -> Value {
    let net = net();
    let a = net.empty("a");
    json!({ "update": outcome(net.up(a, p())), "query": outcome(net.q(a, p())), "status": state(&net.status(a)) })
}

fn reply_sizes() -> Value {
    let net = net();
    let a = net.machine("a");
    let two = 2 << 20;
    json!({
        "update_2mib": outcome(net.up(a, p().fill(two, 1).reply())),
        "update_2mib_1": outcome(net.up(a, p().fill(two + 1, 1).reply())),
        "update_in_parts": outcome(net.up(a, p().fill(two, 1).append().fill(1, 1).reply())),
        "query_as_update_2mib_1": outcome(net.update_call(a, ANONYMOUS, "query", p().fill(two + 1, 1).reply().0)),
        "query_3mib": outcome(net.q(a, p().fill(3 << 20, 1).reply())),
        "query_3mib_1": outcome(net.q(a, p().fill((3 << 20) + 1, 1).reply())),
        "reject_long": net.up(a, p().fill(100_000, b'x'.into()).reject()).expect_err("rejects").reject_message.len(),
    })
}

/// A canister's caller gets the code in front of the text, an ingress caller gets it as a field.
fn error_text_shape() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let head = |text: String| norm(&text).chars().take(44).collect::<String>();
    let direct = |program: P| head(net.up(b, program).expect_err("fails").reject_message);
    let by_canister = |program: P| {
        let ask = p().call(b, "update", p(), p().reject_msg().reply()).lit(program.0).data().perform();
        head(String::from_utf8_lossy(&net.up(a, ask).expect("a text")).to_string())
    };
    json!({
        "trap": [direct(p().lit("x").trap()), by_canister(p().lit("x").trap())],
        "unreachable": [direct(p().unreachable()), by_canister(p().unreachable())],
        "no_reply": [direct(p()), by_canister(p())],
        "reject": [direct(p().lit("x").reject()), by_canister(p().lit("x").reject())],
        "contract": [direct(p().reject_code()), by_canister(p().reject_code())],
    })
}
