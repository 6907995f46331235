//! The client library in a program outside: through an agent, over HTTP, with every check of the agent left on.

use std::sync::Arc;
use std::time::Duration;

use candid::Principal;
use canopy_client::transport::{AgentTransport, Transport};
use canopy_client::{Client, Delete, Put, Reason, RetryPolicy, Routing, ScanOptions, WriteError};
use canopy_simulator::chance::Fault;
use canopy_types::limits::VALUE_BYTES_MAX;
use ic_agent::identity::{BasicIdentity, Prime256v1Identity};
use ic_agent::{Agent, Identity};

use crate::agents::Service;
use crate::people::owner;
use crate::server;

/// Calls in which a reply is lost, in millionths.
const LOST_REPLIES_RATE: u32 = 200_000;

fn writer() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[1; 32])
}

fn service() -> Service {
    Service::for_writer(writer().sender().expect("a sender"))
}

fn client_of(service: &Service, identity: impl Identity + 'static) -> Client<AgentTransport> {
    let transport = AgentTransport::new(service.agent(identity)).expect("the identity has a principal");
    Client::new(transport, service.cluster.router)
}

#[test]
fn what_is_put_over_http_is_got_until_it_is_deleted() {
    let service = service();
    let client = client_of(&service, writer());
    service.runtime.block_on(async {
        let version = client.put(Put::new("key", "value").if_absent()).await.expect("done").version;
        for record in [client.get("key").await, client.get_query("key").await] {
            let record = record.expect("answered").expect("it was put");
            assert_eq!((record.value.as_slice(), record.version), (&b"value"[..], version));
        }
        match client.put(Put::new("key", "other").if_absent()).await {
            Err(WriteError::NotDone(not_done)) => {
                assert_eq!(not_done.reason, Reason::PreconditionFailed { found: Some(version) });
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.delete(Delete::new("key")).await.expect("done").deleted, Some(version));
        assert_eq!(client.get("key").await.expect("answered"), None);
    });
}

#[test]
fn batches_and_scans_go_over_http() {
    let service = service();
    let client = client_of(&service, writer());
    service.runtime.block_on(async {
        let large = vec![7; VALUE_BYTES_MAX];
        let value =
            |number: u32| if number.is_multiple_of(100) { large.clone() } else { number.to_le_bytes().to_vec() };
        let key = |number: u32| format!("key {number}");
        let results = client.put_many((0..300).map(|number| Put::new(key(number), value(number))).collect()).await;
        assert!(results.expect("accepted").iter().all(Result::is_ok));
        let read = client.get_many(&(0..300).map(key).collect::<Vec<_>>()).await.expect("accepted");
        for (number, record) in (0..).zip(read) {
            assert_eq!(record.expect("answered").expect("it was put").value.as_slice(), value(number));
        }
        for one_replica in [false, true] {
            let mut scan = client.scan(ScanOptions { one_replica, ..ScanOptions::default() });
            let mut met = Vec::new();
            while let Some(record) = scan.next().await.expect("answered") {
                met.push((record.key.to_vec(), record.value.len()));
            }
            met.sort();
            let mut expected: Vec<_> = (0..300).map(|number| (key(number).into_bytes(), value(number).len())).collect();
            expected.sort();
            assert_eq!(met, expected);
        }
    });
}

#[test]
fn an_agent_reaches_shards_without_the_router() {
    let service = service();
    let client = client_of(&service, writer());
    service.runtime.block_on(client.put(Put::new("key", "value"))).expect("done");
    // With the router stopped, only the shards are left to answer.
    service.cluster.stop(service.cluster.router, owner());
    service.runtime.block_on(async {
        let version = client.put(Put::new("key", "newer")).await.expect("done").version;
        assert_eq!(client.get("key").await.expect("answered").expect("it was put").version, version);
        assert_eq!(client.get_query("key").await.expect("answered").expect("it was put").version, version);
    });
}

#[test]
fn tasks_of_many_threads_share_a_client() {
    let service = service();
    let client = Arc::new(client_of(&service, writer()));
    service.runtime.block_on(async {
        let put = |number: u32| {
            let client = client.clone();
            tokio::spawn(async move { client.put(Put::new(format!("key {number}"), "value")).await.map(drop) })
        };
        let tasks: Vec<_> = (0..40).map(put).collect();
        for task in tasks {
            task.await.expect("no panic").expect("done");
        }
        let found = client.get_many(&(0..40).map(|number| format!("key {number}")).collect::<Vec<_>>()).await;
        assert!(found.expect("accepted").iter().all(|record| matches!(record, Ok(Some(_)))));
    });
}

#[test]
fn lost_replies_between_router_and_shards_do_no_harm_over_http() {
    if server::is_not_applicable("lost_replies_between_router_and_shards_do_no_harm_over_http") {
        return;
    }
    let service = service();
    let client = client_of(&service, writer()).with_routing(Routing::ThroughRouter);
    server::set_fault_rate(&service.cluster.pic, Fault::ReplyLost, LOST_REPLIES_RATE);
    service.runtime.block_on(async {
        for number in 0..6 {
            let put = Put::new("counted", [number]);
            let put = if number == 0 { put.if_absent() } else { put.if_present() };
            client.put(put).await.expect("settled by trying again");
        }
        assert_eq!(client.get("counted").await.expect("answered").expect("it was put").value.as_slice(), [5]);
    });
}

#[test]
fn a_stranger_is_refused_at_once_and_not_tried_again() {
    let service = service();
    let key = p256::SecretKey::from_slice(&[2; 32]).expect("a key");
    let client = client_of(&service, Prime256v1Identity::from_private_key(key));
    let begun = std::time::Instant::now();
    match service.runtime.block_on(client.put(Put::new("key", "value"))) {
        Err(WriteError::NotDone(not_done)) => {
            assert!(matches!(not_done.reason, Reason::NotSent { reject_code: 4, .. }), "{not_done:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_network_that_is_another_one_is_not_believed() {
    let service = service();
    let agent = Agent::builder().with_url(&service.url).with_identity(writer()).build().expect("an agent");
    // The root key is that of the mainnet.
    let transport = AgentTransport::new(agent).expect("the identity has a principal");
    let policy = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
    let client = Client::new(transport, service.cluster.router).with_retry_policy(policy);
    match service.runtime.block_on(client.put(Put::new("key", "value"))) {
        Err(WriteError::Unknown(unknown)) => assert!(unknown.reason().contains("ertificate"), "{unknown:?}"),
        other => panic!("{other:?}"),
    }
    let refused = service.runtime.block_on(client.get("key"));
    assert!(matches!(refused, Err(not_done) if matches!(not_done.reason, Reason::NoAnswer { .. })));
}

#[test]
fn a_canister_that_is_none_is_told_as_such() {
    let service = service();
    let transport = client_of(&service, writer());
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 99, 1, 1]);
    let told = service.runtime.block_on(transport.transport().update(nobody, "put", b"DIDL\0\0"));
    assert!(told.is_err(), "{told:?}");
    let told = service.runtime.block_on(transport.transport().query(nobody, "status", b"DIDL\0\0"));
    assert!(told.is_err(), "{told:?}");
}
