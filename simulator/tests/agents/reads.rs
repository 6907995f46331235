//! The state as agents read it: what is certified, what is absent, what is whose to read, over all endpoints.

use candid::Principal;
use ic_agent::agent::{CallResponse, RequestStatusResponse, SubnetType};
use ic_agent::{Agent, AgentError, Certificate, RequestId};

use super::*;

#[test]
fn state_is_read_with_certificates() {
    for (live, below_a_root) in [(Live::alone(), false), (Live::below_a_root(), true)] {
        let agent = live.agent(owner_identity());
        let (canister, subnet) = (live.canister, live.subnet());
        live.runtime.block_on(async {
            let hash = agent.read_state_canister_module_hash(canister).await.expect("a hash");
            assert_eq!(hash.len(), 32);
            assert_eq!(agent.read_state_canister_controllers(canister).await.expect("a list"), [owner()]);
            let candid = agent.read_state_canister_metadata(canister, "candid:service").await;
            assert_eq!(candid.expect("public"), b"service : {}");
            assert_eq!(agent.read_state_canister_metadata(canister, "recipe").await.expect("its controller"), b"salt");
            let absent = agent.read_state_canister_metadata(canister, "never").await;
            assert!(matches!(absent, Err(AgentError::LookupPathAbsent(_))), "{absent:?}");

            let metrics = agent.read_state_subnet_metrics(subnet).await.expect("figures");
            assert_eq!(metrics.num_canisters, 1);
            assert!(metrics.consumed_cycles_total > 0 && metrics.canister_state_bytes > 0);
            let ranges = agent.read_state_subnet_canister_ranges(subnet).await.expect("ranges");
            assert!(ranges.iter().any(|(first, last)| (first..=last).contains(&&canister)));
            for found in [
                agent.fetch_subnet_by_canister(&canister).await.expect("a subnet"),
                agent.fetch_subnet_by_id(&subnet).await.expect("a subnet"),
            ] {
                assert_eq!(found.id(), subnet);
                assert_eq!(found.subnet_type(), Some(&SubnetType::Application));
                assert!(found.contains_canister(&canister));
            }
            let nodes = agent.fetch_api_boundary_nodes_by_canister_id(canister).await.expect("a list");
            assert!(nodes.is_empty());
            let certificate = agent.read_state_raw(vec![vec!["time".into()]], canister).await.expect("a time");
            assert_eq!(certificate.delegation.is_some(), below_a_root);
        });
        let metrics = live.net.get_subnet_metrics(subnet).expect("figures");
        assert_eq!(metrics.num_canisters, 1);
    }
}

#[test]
fn what_is_not_the_senders_to_read_is_forbidden() {
    let live = Live::alone();
    let (own, other) = (live.agent(owner_identity()), live.agent(secp256k1()));
    let metadata = live.runtime.block_on(other.read_state_canister_metadata(live.canister, "recipe"));
    assert_eq!(http_refusal(metadata).0, 403);
    let signed = own.update(&live.canister, "count").sign().expect("signs");
    let sent = live.runtime.block_on(own.update_signed(live.canister, signed.signed_update)).expect("accepted");
    assert!(matches!(sent, CallResponse::Response(_)), "{sent:?}");
    let fate = |agent: &Agent| live.runtime.block_on(agent.request_status_raw(&signed.request_id, live.canister));
    assert!(matches!(fate(&own), Ok((RequestStatusResponse::Replied(_), _))));
    let (status, text) = http_refusal(fate(&other));
    assert_eq!((status, text.contains("not signed by the caller")), (403, true), "{text}");
    let unknown = live.runtime.block_on(own.request_status_raw(&RequestId::new(&[9; 32]), live.canister));
    assert!(matches!(unknown, Ok((RequestStatusResponse::Unknown, _))), "{unknown:?}");
}

#[test]
fn paths_that_nobody_may_read_are_refused() {
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let read = |path: &[&[u8]]| {
        let path = path.iter().map(|label| label.to_vec().into()).collect();
        http_refusal(live.runtime.block_on(agent.read_state_raw(vec![path], live.canister)).map(|_| ())).0
    };
    let id = live.canister.as_slice();
    assert_eq!(read(&[]), 404);
    assert_eq!(read(&[b"canister"]), 404);
    assert_eq!(read(&[b"canister", id]), 404);
    assert_eq!(read(&[b"canister", id, b"certified_data"]), 404);
    assert_eq!(read(&[b"request_status"]), 404);
    assert_eq!(read(&[b"request_status", b"short"]), 400);
    assert_eq!(read(&[b"canister", Principal::anonymous().as_slice(), b"controllers"]), 400);
    assert_eq!(read(&[b"canister", id, b"metadata", b"\xff"]), 400);
    let paths = [[1_u8; 32], [2; 32]].map(|id| vec!["request_status".into(), id.to_vec().into()]);
    let two = live.runtime.block_on(agent.read_state_raw(paths.to_vec(), live.canister)).map(|_| ());
    assert_eq!(http_refusal(two).0, 400);
    let canister = vec!["canister".into(), id.to_vec().into(), "controllers".into()];
    let of_subnet = live.runtime.block_on(agent.read_subnet_state_raw(vec![canister], live.subnet())).map(|_| ());
    assert_eq!(http_refusal(of_subnet).0, 404);
}

#[test]
fn older_endpoints_serve_older_agents() {
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let id = live.canister;
    let certificate_in = |body: &[u8]| -> Certificate {
        #[derive(serde::Deserialize)]
        struct Body {
            certificate: serde_bytes::ByteBuf,
        }
        let body: Body = ciborium::from_reader(body).expect("CBOR with a certificate");
        serde_cbor::from_slice(&body.certificate).expect("a certificate")
    };
    for version in ["v2", "v3", "v4"] {
        let signed = agent.update(&id, "echo").with_arg(*b"hello").sign().expect("signs");
        let (status, body) = live.send("POST", &format!("{version}/canister/{id}/call"), signed.signed_update);
        if version == "v2" {
            assert_eq!((status, body.len()), (202, 0));
            let (reply, _) = live.runtime.block_on(agent.wait(&signed.request_id, id)).expect("replied");
            assert_eq!(reply, b"hello");
            continue;
        }
        assert_eq!(status, 200);
        agent.verify(&certificate_in(&body), id).expect("genuine");
    }
    for version in ["v2", "v3"] {
        let signed = agent.query(&id, "look").with_arg(*b"hello").sign().expect("signs").signed_query;
        let (status, body) = live.send("POST", &format!("{version}/canister/{id}/query"), signed);
        assert_eq!(status, 200);
        assert!(body.windows(5).any(|window| window == b"hello"));
        let request = agent.sign_request_status(id, RequestId::new(&[1; 32])).expect("signs").signed_request_status;
        for (of, scope) in [("canister", id), ("subnet", live.subnet())] {
            let (status, body) = live.send("POST", &format!("{version}/{of}/{scope}/read_state"), request.clone());
            assert_eq!(status, 200);
            let certificate = certificate_in(&body);
            match of {
                "canister" => agent.verify(&certificate, id).expect("genuine"),
                _ => agent.verify_for_subnet(&certificate, scope).expect("genuine"),
            }
        }
    }
    live.net.stop_canister(id, Some(owner())).expect("stops");
    let signed = agent.update(&id, "count").sign().expect("signs").signed_update;
    let (status, body) = live.send("POST", &format!("v2/canister/{id}/call"), signed);
    assert_eq!(status, 200);
    assert!(body.windows(6).any(|window| window == b"IC0508"), "{body:?}");
}
