//! The client library against the real Wasm: through the router and straight to shards, with lost replies, and from an
//! application canister.

use std::time::Duration;

use candid::{CandidType, Principal};
use canopy_client::transport::{CallError, CannotWait, PocketTransport, Transport, block_on};
use canopy_client::{
    Advice, Client, Delete, NotDone, Put, Reason, RetryPolicy, Routing, ScanOptions, SettleError, Version, WriteError,
};
use canopy_simulator::chance::Fault;
use canopy_types::codec::{decode, encode};
use canopy_types::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use canopy_types::roles::{Grant, Role};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::cluster::{Cluster, Pace, create_canister};
use crate::people::{administrator, reader, stranger, writer};
use crate::server;

/// Calls in which a reply is lost, in millionths.
const LOST_REPLIES_RATE: u32 = 300_000;

fn client_of(cluster: &Cluster, caller: Principal, routing: Routing) -> Client<PocketTransport> {
    let transport = PocketTransport::new(cluster.pic.clone(), caller);
    Client::new(transport, cluster.router).with_routing(routing)
}

fn routed(cluster: &Cluster) -> Client<PocketTransport> {
    client_of(cluster, writer(), Routing::ThroughRouter)
}

/// Passes calls on, counts those to shards, and can lose replies and set the clock wrong.
struct Watched {
    inner: PocketTransport,
    router: Principal,
    direct: Cell<u32>,
    /// Replies of update calls to lose, from the next on.
    lose: Cell<u32>,
    sent: RefCell<Vec<(Principal, String)>>,
    ahead_nanoseconds: i64,
    can_wait: bool,
}

impl Watched {
    fn new(cluster: &Cluster, caller: Principal) -> Self {
        let inner = PocketTransport::new(cluster.pic.clone(), caller);
        Self {
            inner,
            router: cluster.router,
            direct: Cell::new(0),
            lose: Cell::new(0),
            sent: RefCell::default(),
            ahead_nanoseconds: 0,
            can_wait: true,
        }
    }
}

impl Transport for Watched {
    fn caller(&self) -> Principal {
        self.inner.caller()
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.direct.set(self.direct.get() + u32::from(canister != self.router));
        self.sent.borrow_mut().push((canister, method.to_string()));
        let reply = self.inner.update(canister, method, arguments).await;
        if self.lose.get() > 0 && method != "routing_table" {
            self.lose.set(self.lose.get() - 1);
            return Err(CallError::Unknown { message: "lost by the test".to_string() });
        }
        reply
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.direct.set(self.direct.get() + u32::from(canister != self.router));
        self.inner.query(canister, method, arguments).await
    }

    fn can_query_composite(&self) -> bool {
        true
    }

    fn now_nanoseconds(&self) -> u64 {
        self.inner.now_nanoseconds().saturating_add_signed(self.ahead_nanoseconds)
    }

    fn draw(&self) -> [u8; 16] {
        self.inner.draw()
    }

    async fn wait(&self, milliseconds: u64) -> Result<(), CannotWait> {
        if self.can_wait { self.inner.wait(milliseconds).await } else { Err(CannotWait) }
    }
}

// One record --------------------------------------------------------------------------------------------------------

#[test]
fn what_is_put_is_got_until_it_is_deleted() {
    let cluster = Cluster::builder().ready();
    let client = routed(&cluster);
    let version = block_on(client.put(Put::new("key", "value"))).expect("done").version;
    for record in [block_on(client.get("key")), block_on(client.get_query("key"))] {
        let record = record.expect("answered").expect("it was put");
        assert_eq!((record.value.as_slice(), record.version), (&b"value"[..], version));
    }
    let head = block_on(client.get_without_value("key")).expect("answered").expect("it was put");
    assert_eq!((head.value.len(), head.value_bytes), (0, Some(5)));
    assert_eq!(block_on(client.delete(Delete::new("key"))).expect("done").deleted, Some(version));
    assert_eq!(block_on(client.get("key")).expect("answered"), None);
}

#[test]
fn preconditions_and_times_to_live_are_kept() {
    let cluster = Cluster::builder().ready();
    let client = routed(&cluster);
    let put = || Put::new("key", "value");
    let version = block_on(client.put(put().if_absent().time_to_live_milliseconds(60_000))).expect("absent").version;
    let reason = Reason::PreconditionFailed { found: Some(version) };
    for refused in [put().if_absent(), put().if_version(Version(version.0 + 1))] {
        match block_on(client.put(refused)) {
            Err(WriteError::NotDone(not_done)) => assert_eq!(not_done, NotDone { reason: reason.clone() }),
            other => panic!("{other:?}"),
        }
    }
    let record = block_on(client.get("key")).expect("answered").expect("it was put");
    assert!(record.expires_at_nanoseconds.is_some());
    cluster.turn(Pace { time: Duration::from_secs(61), rounds: 2 });
    assert_eq!(block_on(client.get("key")).expect("answered"), None);
}

#[test]
fn a_service_that_is_starting_is_waited_for() {
    let cluster = Cluster::builder().deploy();
    let client = routed(&cluster);
    assert!(!cluster.status().ready);
    block_on(client.put(Put::new("key", "value"))).expect("done once the service is ready");
    assert!(cluster.status().ready);
    assert!(block_on(client.get("key")).expect("answered").is_some());
}

#[test]
fn a_client_that_can_t_wait_is_told_that_the_service_is_starting() {
    let cluster = Cluster::builder().deploy();
    let transport = Watched { can_wait: false, ..Watched::new(&cluster, writer()) };
    let client = Client::new(transport, cluster.router);
    match block_on(client.put(Put::new("key", "value"))) {
        Err(WriteError::NotDone(not_done)) => {
            assert!(matches!(not_done.reason, Reason::NotReady { .. }), "{not_done}");
            assert!(matches!(not_done.advice(), Advice::TryAgain { .. }));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn strangers_are_refused_without_being_waited_for() {
    let cluster = Cluster::builder().ready();
    let before = cluster.pic.get_time();
    for routing in [Routing::Direct, Routing::ThroughRouter] {
        let client = client_of(&cluster, stranger(), routing);
        let refused = match block_on(client.put(Put::new("key", "value"))) {
            Err(WriteError::NotDone(not_done)) => not_done,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused.advice(), Advice::AskAdministrator, "{refused}");
        assert_eq!(block_on(client.get("key")).expect_err("refused").advice(), Advice::AskAdministrator);
    }
    assert!(cluster.pic.get_time().as_nanos_since_unix_epoch() - before.as_nanos_since_unix_epoch() < 1_000_000_000);
    assert_eq!(cluster.load(b"key"), None);
}

#[test]
fn a_stopped_shard_is_tried_again_and_then_told() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let policy = RetryPolicy { attempts_max: 3, ..RetryPolicy::default() };
    let client = routed(&cluster).with_retry_policy(policy);
    let shard = cluster.shards()[0];
    cluster.stop(shard, administrator());
    match block_on(client.put(Put::new("key", "value"))) {
        Err(WriteError::NotDone(NotDone { reason: Reason::ShardUnavailable { shard: named, .. } })) => {
            assert_eq!(named, shard);
        }
        other => panic!("{other:?}"),
    }
    cluster.start(shard, administrator());
    assert_eq!(block_on(client.get("key")).expect("answered"), None);
    block_on(client.put(Put::new("key", "value"))).expect("done");
}

#[test]
fn a_clock_that_is_hours_wrong_is_set_right() {
    const HOURS: i64 = 3_600_000_000_000;
    let cluster = Cluster::builder().ready();
    for ahead_nanoseconds in [3 * HOURS, -3 * HOURS] {
        let transport = Watched { ahead_nanoseconds, ..Watched::new(&cluster, writer()) };
        let client = Client::new(transport, cluster.router).with_routing(Routing::ThroughRouter);
        block_on(client.put(Put::new("key", "value"))).expect("done");
        block_on(client.put(Put::new("key", "value"))).expect("done");
        assert_eq!(client.transport().sent.borrow().len(), 3, "the clock is set right once");
    }
}

// Lost answers ------------------------------------------------------------------------------------------------------

#[test]
fn a_write_whose_answer_was_lost_is_done_once() {
    let cluster = Cluster::builder().ready();
    let client = Client::new(Watched::new(&cluster, writer()), cluster.router).with_routing(Routing::ThroughRouter);
    client.transport().lose.set(1);
    // Done a second time, this would find a record.
    let version = block_on(client.put(Put::new("key", "value").if_absent())).expect("done").version;
    assert_eq!(client.transport().sent.borrow().len(), 2);
    assert_eq!(cluster.load(b"key").expect("it was put").version, version);
    client.transport().lose.set(1);
    assert_eq!(block_on(client.delete(Delete::new("key").if_present())).expect("done").deleted, Some(version));
    assert_eq!(cluster.load(b"key"), None);
}

#[test]
fn an_unknown_write_is_settled_later_and_not_after_its_time() {
    let cluster = Cluster::builder().ready();
    let policy = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
    let client = Client::new(Watched::new(&cluster, writer()), cluster.router)
        .with_retry_policy(policy)
        .with_routing(Routing::ThroughRouter);
    let unknown = || {
        client.transport().lose.set(1);
        match block_on(client.put(Put::new("key", "value"))) {
            Err(WriteError::Unknown(unknown)) => unknown,
            other => panic!("{other:?}"),
        }
    };
    let first = unknown();
    let stored = cluster.load(b"key").expect("only the answer was lost").version;
    cluster.turn(Pace { time: Duration::from_secs(14 * 60), rounds: 2 });
    assert_eq!(block_on(client.settle(first)).expect("still remembered").version, stored);
    let second = unknown();
    cluster.turn(Pace { time: Duration::from_secs(17 * 60), rounds: 2 });
    match block_on(client.settle(second)) {
        Err(SettleError::TooLate(late)) => assert_eq!(late.write.key(), b"key"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn between_router_and_shards_lost_replies_do_no_harm() {
    if server::is_not_applicable("between_router_and_shards_lost_replies_do_no_harm") {
        return;
    }
    let cluster = Cluster::builder().ready();
    let client = routed(&cluster);
    let mut versions = BTreeMap::new();
    server::set_fault_rate(&cluster.pic, Fault::ReplyLost, LOST_REPLIES_RATE);
    for number in 0..20 {
        let key = format!("key {number}");
        let mut result = block_on(client.put(Put::new(key.as_str(), "value").if_absent()));
        // A minute goes by with each lost reply, so the library may leave the settling to the application.
        for _ in 0..8 {
            result = match result {
                Err(WriteError::Unknown(unknown)) => match block_on(client.settle(unknown)) {
                    Ok(done) => Ok(done),
                    Err(SettleError::Unknown(unknown)) => Err(WriteError::Unknown(unknown)),
                    Err(other) => panic!("{other}"),
                },
                settled => settled,
            };
        }
        versions.insert(key, result.expect("settled as done").version);
    }
    let fired = server::faults_fired(&cluster.pic, Fault::ReplyLost);
    server::set_fault_rate(&cluster.pic, Fault::ReplyLost, 0);
    assert!(fired > 0, "no reply was lost");
    for (key, version) in versions {
        assert_eq!(cluster.load(key.as_bytes()).expect("it was put").version, version);
    }
}

// Batches and scans -------------------------------------------------------------------------------------------------

#[test]
fn batches_of_any_size_are_stored_read_and_removed() {
    const RECORDS: usize = 6_000;
    let cluster = Cluster::builder().initial_shards(3).ready();
    let client = routed(&cluster);
    let keys: Vec<String> = (0..RECORDS).map(|number| format!("key {number}")).collect();
    let value = |number: usize| vec![number as u8; number % 700];
    let puts = keys.iter().enumerate().map(|(number, key)| Put::new(key.as_str(), value(number)));
    let stored = block_on(client.put_many(puts.collect())).expect("accepted");
    let answers = block_on(client.get_many(&keys)).expect("accepted");
    assert_eq!((stored.len(), answers.len()), (RECORDS, RECORDS));
    for (number, (stored, answer)) in stored.into_iter().zip(answers).enumerate() {
        let record = answer.expect("answered").expect("it was put");
        assert_eq!((record.value.into_vec(), record.version), (value(number), stored.expect("done").version));
    }

    let mut scan = client.scan(ScanOptions::default());
    let mut met = BTreeMap::new();
    while let Some(record) = block_on(scan.next()).expect("answered") {
        assert_eq!(met.insert(record.key.into_vec(), record.value.into_vec()), None, "a record was met twice");
    }
    let all = keys.iter().enumerate().map(|(number, key)| (key.as_bytes().to_vec(), value(number)));
    assert_eq!(met, all.collect());

    let removed = block_on(client.delete_many(keys.iter().map(|key| Delete::new(key.as_str())).collect()));
    assert!(removed.expect("accepted").into_iter().all(|result| result.expect("done").deleted.is_some()));
    assert_eq!(block_on(client.scan(ScanOptions::default()).next()).expect("answered"), None);
}

#[test]
fn values_that_are_too_long_for_one_reply_together_all_come() {
    const VALUES: usize = 7;
    let cluster = Cluster::builder().ready();
    let keys: Vec<Vec<u8>> = (0..VALUES).map(|number| vec![number as u8; KEY_BYTES_MAX]).collect();
    let value = |number: usize| vec![number as u8; VALUE_BYTES_MAX - number];
    for routing in [Routing::ThroughRouter, Routing::Direct] {
        let client = client_of(&cluster, administrator(), routing);
        let puts = keys.iter().enumerate().map(|(number, key)| Put::new(key.as_slice(), value(number)));
        for result in block_on(client.put_many(puts.collect())).expect("accepted") {
            result.expect("done");
        }
        let answers = block_on(client.get_many(&keys)).expect("accepted");
        for (number, answer) in answers.into_iter().enumerate() {
            assert!(answer.expect("answered").expect("it was put").value.as_slice() == value(number), "value {number}");
        }
        let mut scan = client.scan(ScanOptions::default());
        let mut met = 0;
        while let Some(record) = block_on(scan.next()).expect("answered") {
            assert!(record.value.len() > VALUE_BYTES_MAX - VALUES && record.value_bytes.is_none());
            met += 1;
        }
        assert_eq!(met, VALUES);
    }
}

#[test]
fn a_batch_whose_answer_was_lost_is_done_once() {
    const RECORDS: usize = 50;
    let cluster = Cluster::builder().ready();
    for routing in [Routing::ThroughRouter, Routing::Direct] {
        let client = Client::new(Watched::new(&cluster, administrator()), cluster.router).with_routing(routing);
        let put = |number: usize| Put::new(format!("{routing:?} {number}"), "value").if_absent();
        client.transport().lose.set(1);
        let results = block_on(client.put_many((0..RECORDS).map(put).collect())).expect("accepted");
        for (number, result) in results.into_iter().enumerate() {
            let version = result.expect("done once").version;
            assert_eq!(cluster.load(put(number).key()).expect("it was put").version, version);
        }
    }
}

#[test]
fn a_batch_with_a_stopped_shard_does_the_rest() {
    let cluster = Cluster::builder().ready();
    let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let client = routed(&cluster).with_retry_policy(policy);
    let victim = cluster.shards()[0];
    cluster.stop(victim, administrator());
    let puts = (0..40).map(|number| Put::new(format!("key {number}"), "value"));
    let results = block_on(client.put_many(puts.collect())).expect("accepted");
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!(done > 0 && done < 40, "{done} of 40 are done");
    for result in results.into_iter().filter_map(Result::err) {
        match result {
            WriteError::NotDone(NotDone { reason: Reason::ShardUnavailable { shard, .. } }) => {
                assert_eq!(shard, victim)
            }
            other => panic!("{other}"),
        }
    }
}

// Straight to shards ------------------------------------------------------------------------------------------------

#[test]
fn role_holders_reach_shards_without_the_router() {
    let cluster = Cluster::builder().ready();
    let client = Client::new(Watched::new(&cluster, writer()), cluster.router);
    let version = block_on(client.put(Put::new("key", "value"))).expect("done").version;
    let record = block_on(client.get("key")).expect("answered").expect("it was put");
    assert_eq!(record.version, version);
    assert_eq!(block_on(client.get_query("key")).expect("answered"), Some(record.clone()));
    assert_eq!(block_on(client.delete(Delete::new("key"))).expect("done").deleted, Some(version));
    assert_eq!(client.transport().direct.get(), 4, "{:?}", client.transport().sent.borrow());
}

#[test]
fn an_operation_that_a_shard_did_is_the_same_at_the_router() {
    let cluster = Cluster::builder().ready();
    let client = Client::new(Watched::new(&cluster, writer()), cluster.router);
    client.transport().lose.set(1);
    block_on(client.put(Put::new("key", "value").if_absent())).expect("done once");
    let sent = client.transport().sent.borrow();
    let canisters: Vec<bool> = sent.iter().map(|(canister, _)| *canister == cluster.router).collect();
    assert_eq!(canisters, [true, false, true], "{sent:?}");
}

#[test]
fn a_shard_that_stops_is_asked_through_the_router() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let client = Client::new(Watched::new(&cluster, administrator()), cluster.router).with_retry_policy(policy);
    block_on(client.put(Put::new("key", "value"))).expect("done");
    let shard = cluster.shards()[0];
    cluster.stop(shard, administrator());
    match block_on(client.put(Put::new("key", "value"))) {
        Err(WriteError::NotDone(NotDone { reason: Reason::ShardUnavailable { shard: named, .. } })) => {
            assert_eq!(named, shard);
        }
        other => panic!("{other:?}"),
    }
    let asked_last = client.transport().sent.borrow().last().map(|(canister, _)| *canister);
    assert_eq!(asked_last, Some(cluster.router));
}

#[test]
fn a_reader_may_not_write_at_a_shard_either() {
    let cluster = Cluster::builder().ready();
    let client = client_of(&cluster, reader(), Routing::Direct);
    assert_eq!(block_on(client.get("key")).expect("readers may"), None);
    match block_on(client.put(Put::new("key", "value"))) {
        Err(WriteError::NotDone(not_done)) => assert_eq!(not_done.advice(), Advice::AskAdministrator),
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.load(b"key"), None);
}

// From a canister ---------------------------------------------------------------------------------------------------

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
enum VisitError {
    TryAgain { after_milliseconds: u64 },
    Contended,
    Refused { reason: String },
    Unknown,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Page {
    page: String,
    visits: u64,
}

/// The example application, which may write.
struct Visits {
    cluster: Cluster,
    canister: Principal,
}

impl Visits {
    fn new() -> Self {
        // Before there is a network: a server without requests for a minute ends.
        let wasm = canopy_artifacts::build("canopy-example-visits");
        let cluster = Cluster::builder().ready();
        let canister = create_canister(&cluster.pic, 10 * crate::cluster::T);
        let role = Role::Writer;
        cluster.grant(&Grant { grantee: Some(canister), role, prefix: None }).expect("an administrator may grant");
        let mode = ic_management_canister_types::CanisterInstallMode::Install;
        cluster
            .install(canister, crate::people::owner(), mode, wasm, encode(&cluster.router))
            .expect("the example can be installed");
        Self { cluster, canister }
    }

    fn call<A: CandidType, R: CandidType + serde::de::DeserializeOwned>(
        &self,
        method: &str,
        argument: &A,
    ) -> Result<R, VisitError> {
        self.cluster.update(self.canister, stranger(), method, argument)
    }

    fn visit(&self, page: &str) -> Result<u64, VisitError> {
        self.call("visit", &page)
    }
}

#[test]
fn an_application_canister_stores_through_the_library() {
    let visits = Visits::new();
    assert_eq!(visits.call("visits", &"home"), Ok(0_u64));
    for count in 1..=3 {
        assert_eq!(visits.visit("home"), Ok(count));
    }
    let imported: Vec<Page> = (0..300).map(|number| Page { page: format!("page {number}"), visits: number }).collect();
    assert_eq!(visits.call("import", &imported), Ok(300_u64));
    assert_eq!(visits.visit("page 7"), Ok(8));
    let reply = visits.cluster.update_raw(visits.canister, stranger(), "pages", candid::encode_args(()).unwrap());
    let pages: Result<Vec<Page>, VisitError> = decode(&reply.expect("answered")).expect("as declared");
    let mut pages = pages.expect("listed");
    pages.sort_unstable();
    assert_eq!(pages.len(), 301);
    assert_eq!(pages[0], Page { page: "home".to_string(), visits: 3 });
    assert_eq!(visits.call("forget", &"home"), Ok(true));
    assert_eq!(visits.call("forget", &"home"), Ok(false));
    assert_eq!(visits.call("visits", &"home"), Ok(0_u64));
}

#[test]
fn visits_at_the_same_time_are_all_counted() {
    const VISITORS: usize = 4;
    let visits = Visits::new();
    let submit = || {
        let message = visits.cluster.pic.submit_call(visits.canister, stranger(), "visit", encode(&"home"));
        message.expect("accepted")
    };
    let messages: Vec<_> = (0..VISITORS).map(|_| submit()).collect();
    let mut counted = 0_u64;
    for message in messages {
        let reply = visits.cluster.pic.await_call(message).expect("answered");
        match decode::<Result<u64, VisitError>>(&reply).expect("as declared") {
            Ok(_) => counted += 1,
            Err(VisitError::Contended) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(counted > 0);
    assert_eq!(visits.call("visits", &"home"), Ok(counted));
}

#[test]
fn lost_replies_neither_lose_nor_double_a_visit_of_an_application_canister() {
    if server::is_not_applicable("lost_replies_neither_lose_nor_double_a_visit_of_an_application_canister") {
        return;
    }
    let visits = Visits::new();
    let (mut counted, mut unknown) = (0_u64, 0_u64);
    server::set_fault_rate(&visits.cluster.pic, Fault::ReplyLost, LOST_REPLIES_RATE);
    for _ in 0..15 {
        let message = visits.cluster.pic.submit_call(visits.canister, stranger(), "visit", encode(&"home"));
        let message = message.expect("accepted");
        let reply = loop {
            if let Some(reply) = visits.cluster.pic.ingress_status(message.clone()) {
                break reply.expect("answered");
            }
            visits.cluster.turn(Pace { time: Duration::from_secs(5), rounds: 2 });
        };
        match decode::<Result<u64, VisitError>>(&reply).expect("as declared") {
            Ok(_) => counted += 1,
            Err(VisitError::Unknown) => unknown += 1,
            // A read without an answer.
            Err(VisitError::TryAgain { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let fired = server::faults_fired(&visits.cluster.pic, Fault::ReplyLost);
    server::set_fault_rate(&visits.cluster.pic, Fault::ReplyLost, 0);
    assert!(fired > 0 && counted > 0, "{fired} replies were lost, {counted} visits counted");
    let stored: Result<u64, VisitError> = visits.call("visits", &"home");
    let stored = stored.expect("answered");
    assert!((counted..=counted + unknown).contains(&stored), "{counted} counted, {unknown} unknown, {stored} stored");
}

#[test]
fn an_application_canister_without_a_role_is_told() {
    let visits = Visits::new();
    let grant = Grant { grantee: Some(visits.canister), role: Role::Writer, prefix: None };
    visits.cluster.revoke(&grant).expect("an administrator may revoke");
    match visits.visit("home") {
        Err(VisitError::Refused { reason }) => assert!(reason.contains("may not do that"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
