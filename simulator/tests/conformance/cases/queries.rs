//! Queries, composite queries, certified data.

use serde_json::{Value, json};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("queries": composite_across_canisters, composite_failures, plain_query_may_not_call, certified_data);

fn composite_across_canisters() -> Value {
    let net = net();
    let (a, b, c) = (net.machine("a"), net.machine("b"), net.machine("c"));
    for (id, n) in [(b, 20), (c, 30)] {
        net.up(id, p().konst(n).set(1).msg_reply()).expect("set up");
    }
    // Asks b, in the callback c, and replies with both answers.
    let at_c = p()
        .call(c, "query", p().getlog().arg().reply(), p().lit("no c").reply())
        .lit(p().inc(1).get(1).push().reply().0)
        .data()
        .perform();
    let program = p()
        .call(b, "query", p().arg().log().then(at_c), p().lit("no b").reply())
        .lit(p().inc(1).get(1).push().reply().0)
        .data()
        .perform();
    let both = net.cq(a, program.clone()).expect("a reply");
    let nested = p()
        .call(b, "composite", p().lit("[").arg().reply(), p().reject_msg().reply())
        .lit(p().call(c, "query", p().lit("(").arg().reply(), p()).lit(p().lit("c").reply().0).data().perform().0)
        .data()
        .perform();
    json!({
        "both": ints(&both), "state_dropped": [net.slot(b, 1), net.slot(c, 1)], "log_dropped": net.log_of(a),
        "nested": outcome(net.cq(a, nested)),
        "in_update": outcome(net.update_call(a, ANONYMOUS, "composite", program.0.clone())),
        "by_query": outcome(net.q(a, program)),
    })
}

pub fn ask(callee: Id, method: &str, payload: P) -> P {
    let on_reject = p().lit("J").reject_code().push().konst(0).push().reject_msg().reply();
    p().call(callee, method, p().lit("R").konst(0).push().arg().reply(), on_reject)
        .lit(payload.0)
        .data()
        .perform()
        .ifnz(p().clear().lit("P").push().reply())
}

fn composite_failures() -> Value {
    let net = net();
    let (a, b, stopped, empty) = (net.machine("a"), net.machine("b"), net.machine("stopped"), net.empty("empty"));
    net.stop_canister(stopped, None).expect("stops");
    let cq = |program: P| report(net.cq(a, program));
    json!({
        "trap": cq(ask(b, "query", p().lit("ouch").trap())),
        "reject": cq(ask(b, "query", p().lit("no").reject())),
        "no_reply": cq(ask(b, "query", p())),
        "update_method": cq(ask(b, "update", p().msg_reply())),
        "missing_method": cq(ask(b, "nope", p())),
        "stopped": cq(ask(stopped, "query", p().msg_reply())),
        "empty": cq(ask(empty, "query", p().msg_reply())),
        "management": cq(ask(MANAGEMENT, "raw_rand", p())),
        "itself": cq(ask(a, "query", p().lit("me").reply())),
        "callback_traps": cq(p().call(b, "query", p().lit("in callback").trap(), p()).lit(p().msg_reply().0).data().perform()),
        "cycles": cq(p().call(b, "query", p(), p()).konst(1).cycles().perform()),
        "best_effort": cq(p().call(b, "query", p().lit("R").konst(0).push().reply(), p()).lit(p().msg_reply().0).data()
            .konst(5).best_effort().perform()),
    })
}

fn plain_query_may_not_call() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let call = p().call(b, "query", p(), p());
    json!({ "query": outcome(net.q(a, call.clone())), "replicated_query": outcome(net.update_call(a, ANONYMOUS, "query", call.0)) })
}

fn certified_data() -> Value {
    let net = net();
    let a = net.machine("a");
    let present = |reply: Reply| ints(&reply.expect("a reply"))[0];
    let update = present(net.up(a, p().fill(32, 0xcd).cert_set().cert_present().push().reply()));
    net.tick();
    let query = present(net.q(a, p().cert_present().push().reply()));
    let composite = present(net.cq(a, p().cert_present().push().reply()));
    let replicated = present(net.update_call(a, ANONYMOUS, "query", p().cert_present().push().reply().0));
    let certificate = net.q(a, p().cert().reply()).expect("a certificate");
    let holds = |needle: &[u8]| certificate.windows(needle.len()).any(|w| w == needle);
    // A nested query of a composite one has none.
    let nested = report(net.cq(a, ask(a, "query", p().cert_present().push().reply())));
    json!({ "update": update, "query": query, "composite": composite, "replicated": replicated,
        "cbor_tag": hex::encode(&certificate[..3]), "has_data": holds(&[0xcd; 32]), "has_words": holds(b"certified_data") && holds(b"signature") && holds(b"time"),
        "nested": nested })
}
