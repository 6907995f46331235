//! Requests that are refused before they mean anything to a canister.

use candid::Principal;
use canopy_simulator::agent::envelope::REQUEST_BYTES_MAX;

use super::*;

#[test]
fn request_out_of_its_time_is_refused() {
    let live = Live::alone();
    let agent = live.agent(owner_identity());
    for nanos in [wall_nanos() - 1_000_000_000, wall_nanos() + 600_000_000_000] {
        let call = agent.update(&live.canister, "count").expire_at(at(nanos));
        let (status, text) = http_refusal(live.runtime.block_on(call.call_and_wait()));
        assert_eq!(status, 400);
        assert!(text.contains("Specified ingress_expiry not within expected range"), "{text}");
        let query = agent.query(&live.canister, "look").expire_at(at(nanos));
        assert_eq!(http_refusal(live.runtime.block_on(query.call())).0, 400);
    }
    assert_eq!(number(&live.call(&agent, "count", &[]).expect("replied")), 1);
}

#[test]
fn altered_request_is_refused() {
    let live = Live::alone();
    let agent = live.agent(p256());
    let signed = agent.update(&live.canister, "count").with_arg(vec![7; 64]).sign().expect("signs").signed_update;
    let start = signed.windows(64).position(|window| window == [7; 64]).expect("the argument");
    let mut altered = signed.clone();
    altered[start] = 8;
    let path = format!("v4/canister/{}/call", live.canister);
    let (status, text) = live.post(&path, altered);
    assert_eq!((status, text.starts_with("Invalid signature")), (400, true), "{text}");
    assert_eq!(live.post(&path, signed).0, 200);
}

#[test]
fn request_must_come_to_the_right_url() {
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let elsewhere = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    let call = agent.update(&live.canister, "count").with_effective_canister_id(elsewhere);
    assert_eq!(http_refusal(live.runtime.block_on(call.call_and_wait())).0, 400);
    let query = agent.query(&live.canister, "look").with_effective_canister_id(elsewhere);
    assert_eq!(http_refusal(live.runtime.block_on(query.call_without_verification())).0, 400);
    let user = owner();
    let call = agent.update(&user, "count");
    assert_eq!(http_refusal(live.runtime.block_on(call.call_and_wait())).0, 400);
    let signed = agent.query(&live.canister, "look").sign().expect("signs").signed_query;
    let (status, text) = live.post(&format!("v4/canister/{}/call", live.canister), signed);
    assert_eq!((status, text.contains("type")), (400, true), "{text}");
}

#[test]
fn bad_input_is_answered_with_its_reason() {
    let live = Live::alone();
    let id = live.canister;
    let call = format!("v4/canister/{id}/call");
    let (status, text) = live.post(&call, b"garbage".to_vec());
    assert_eq!((status, text.contains("CBOR")), (400, true), "{text}");
    assert_eq!(live.post(&call, Vec::new()).0, 400);
    let (status, text) = live.post(&call, vec![0; REQUEST_BYTES_MAX + 1]);
    assert_eq!((status, text.contains(&REQUEST_BYTES_MAX.to_string())), (413, true), "{text}");
    assert_eq!(live.send("GET", &call, Vec::new()).0, 405);
    assert_eq!(live.send("POST", "v2/status", Vec::new()).0, 405);
    for path in ["v9/status", "v2/canister/x/call", "v5/canister/aaaaa-aa/call", "v2/subnet/aaaaa-aa/call", "v4/x"] {
        assert_eq!(live.post(path, Vec::new()).0, 404, "{path}");
    }
    let (status, body) = live.send("OPTIONS", &call, Vec::new());
    assert_eq!((status, body.len()), (204, 0));
    let agent = live.agent(owner_identity());
    let large = agent.update(&id, "echo").with_arg(vec![0; 2 << 20]).call_and_wait();
    let (status, text) = http_refusal(live.runtime.block_on(large));
    assert_eq!((status, text.contains("2097152")), (400, true), "{text}");
    assert_eq!(number(&live.call(&agent, "count", &[]).expect("replied")), 1);
}
