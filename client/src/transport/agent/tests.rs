use ic_agent::agent::RejectCode;

use super::*;

fn reject(reject_code: RejectCode) -> RejectResponse {
    RejectResponse { reject_code, reject_message: "said".to_string(), error_code: None }
}

fn http(status: u16) -> AgentError {
    AgentError::HttpError(HttpErrorPayload { status, content_type: None, content: b"why".to_vec() })
}

#[test]
fn certified_rejects_are_typed_by_code() {
    let codes = [
        (RejectCode::SysFatal, 1),
        (RejectCode::SysTransient, 2),
        (RejectCode::DestinationInvalid, 3),
        (RejectCode::CanisterReject, 4),
        (RejectCode::CanisterError, 5),
    ];
    for (code, reject_code) in codes {
        let told = from_call(AgentError::CertifiedReject { reject: reject(code), operation: None });
        assert_eq!(told, CallError::Rejected { reject_code, message: "said".to_string() });
    }
}

#[test]
fn what_the_edge_of_the_network_turned_away_was_not_sent() {
    let uncertified = AgentError::UncertifiedReject { reject: reject(RejectCode::CanisterReject), operation: None };
    assert_eq!(from_call(uncertified), CallError::NotSent { reject_code: 4, message: "said".to_string() });
    let said = |status: u16| format!("HTTP status {status}: why");
    for status in [400, 403, 413] {
        assert_eq!(from_call(http(status)), CallError::NotSent { reject_code: FATAL, message: said(status) });
    }
    assert_eq!(from_call(http(429)), CallError::NotSent { reject_code: TRANSIENT, message: said(429) });
}

#[test]
fn what_may_have_reached_a_replica_is_unknown() {
    let others = [
        http(408),
        http(500),
        http(504),
        AgentError::TimeoutWaitingForResponse(),
        AgentError::CertificateVerificationFailed(),
        AgentError::RequestStatusDoneNoReply("id".to_string()),
        AgentError::TransportError(TransportError::Generic("connection reset".to_string())),
    ];
    for error in others {
        let shown = error.to_string();
        assert!(matches!(from_call(error), CallError::Unknown { .. }), "{shown}");
    }
}

#[test]
fn asking_for_an_answer_goes_on_while_the_network_fails() {
    for status in [408, 429, 500, 502, 503] {
        assert!(may_pass(&http(status)), "{status}");
    }
    assert!(!may_pass(&http(400)));
    assert!(!may_pass(&AgentError::CertificateVerificationFailed()));
    assert!(!may_pass(&AgentError::TimeoutWaitingForResponse()));
}

#[test]
fn its_futures_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let agent = Agent::builder().with_url("http://127.0.0.1:1").build().expect("an agent");
    let client = crate::Client::new(AgentTransport::new(agent).expect("anonymous"), Principal::management_canister());
    is_send(client.put(crate::Put::new("key", "value")));
    is_send(client.get("key"));
    is_send(client.put_many(vec![]));
    let mut scan = client.scan(crate::ScanOptions::default());
    is_send(scan.next());
}

#[tokio::test]
async fn nothing_is_sent_without_a_connection() {
    // Nobody listens at port 1 of this machine.
    let agent = Agent::builder().with_url("http://127.0.0.1:1").build().expect("an agent");
    let transport = AgentTransport::new(agent).expect("anonymous");
    let refused = transport.update(Principal::management_canister(), "put", b"DIDL\0\0").await;
    assert!(matches!(&refused, Err(CallError::NotSent { reject_code: 0, .. })), "{refused:?}");
}
