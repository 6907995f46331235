//! Two subnets. How many rounds a hop takes is not observed.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("xnet": call_and_reply, failures, order_of_a_pair, ping_pong);

pub fn pair() -> (Net, Id, Id) {
    let (net, one, two) = two_subnets();
    let a = net.machine_on(one, "a");
    let b = net.machine_on(two, "b");
    (net, a, b)
}

fn call_and_reply() -> Value {
    let (net, a, b) = pair();
    let other = net.get_subnet(a) != net.get_subnet(b);
    let ask = |program: P| report(net.up(a, p().ask(b, "update", program, with_cycles(1_000_000_000))));
    json!({
        "other_subnet": other,
        "reply": ask(p().konst(250_000_000).accept().clear().lit("from afar").reply()),
        "reject": ask(p().lit("no").reject()),
        "trap": ask(p().konst(250_000_000).accept().clear().lit("ouch").trap()),
        "no_reply": ask(p()),
        "query_method": report(net.up(a, p().ask(b, "query", p().replicated().push().reply(), plain()))),
    })
}

fn failures() -> Value {
    let (net, a, b) = pair();
    let two = net.get_subnet(b).expect("a subnet");
    let gone = net.create_canister_on_subnet(None, None, two);
    net.name(gone, "gone");
    net.stop_canister(gone, None).expect("stops");
    let ask = |callee: Id, method: &str| report(net.up(a, p().ask(callee, method, p(), with_cycles(1_000_000))));
    let stopped = ask(gone, "update");
    net.delete_canister(gone, None).expect("deletes");
    let composite = report(net.cq(a, super::queries::ask(b, "query", p().msg_reply())));
    json!({ "stopped": stopped, "deleted": ask(gone, "update"), "missing_method": ask(b, "nope"),
        "composite_query": composite })
}

fn order_of_a_pair() -> Value {
    let (net, a, b) = pair();
    let send = |n: u64| {
        p().call(b, "update", p().lit("r").log(), p().lit("x").log())
            .lit(p().lit(n.to_string() + ",").log().msg_reply().0)
            .data()
            .perform()
    };
    net.up(a, (0..20).fold(p(), |it, n| it.then(send(n))).clear().lit("sent").reply()).expect("sends");
    net.ticks(6);
    json!({ "callee": net.log_of(b), "caller": net.log_of(a) })
}

fn ping_pong() -> Value {
    let (net, a, b) = pair();
    let deep = (0..6).fold(p().lit("deep").reply(), |inner, n| {
        let callee = if n % 2 == 0 { a } else { b };
        p().call(callee, "update", p().arg().lit("<").reply(), p().reject_msg().reply()).lit(inner.0).data().perform()
    });
    // The innermost call goes to a, the outermost to b.
    json!({ "answer": outcome(net.up(a, deep)) })
}
