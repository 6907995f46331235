//! What becomes of a write when the platform says that nobody knows (reject 6): through the real Wasm, each way in which
//! the platform comes to say so.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use candid::Principal;
use canopy_client::transport::{CallError, CannotWait, Transport};
use canopy_client::{Client, Put, Routing, WriteError};
use canopy_simulation::case::{Case, Options};
use canopy_simulation::faults::FaultOptions;
use canopy_simulation::network::{Network, Service};
use canopy_simulator::chance::Fault;
use canopy_simulator::errors::UserError;
use canopy_simulator::event_log::EventKind;
use canopy_types::codec::{decode, encode};
use canopy_types::{Operation, PutArguments, PutError, PutResult};
use serde_bytes::ByteBuf;

const SECOND_NANOS: u64 = 1_000_000_000;
const READY_STEPS_MAX: u64 = 600;
const PUTS: usize = 30;
const HALF: u32 = 500_000;
const ALWAYS: u32 = 1_000_000;
/// Longer than any call waits, so that whatever runs later has run.
const LATER_STEPS: u64 = 400;
/// Polls of one future, at most: each runs what it can.
const POLLS_MAX: usize = 1_000_000;

/// The ways in which the platform comes to say that nobody knows.
const WAYS: [Fault; 4] = [Fault::UnknownHasRun, Fault::UnknownNotRun, Fault::UnknownRunsLater, Fault::ResponseShed];

/// A service of one shard that is ready, without faults.
fn network() -> Network {
    let case = Case {
        initial_shards: 1,
        users: 1,
        callers: 0,
        guests: Vec::new(),
        callers_elsewhere: false,
        ..Case::draw(7, &Options { operations: 1, faults: FaultOptions::none() })
    };
    let mut network = Network::new(&case, Service::CURRENT).expect("a network without faults is set up");
    for _ in 0..READY_STEPS_MAX {
        network.advance(SECOND_NANOS);
        if network.status().is_some_and(|status| status.ready) {
            return network;
        }
    }
    panic!("the router isn't ready: {:?}", network.status());
}

fn key(number: usize) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn arguments(number: usize, named: bool, network: &Network) -> PutArguments {
    let operation = named.then(|| Operation {
        id: ByteBuf::from((number as u128).to_be_bytes()),
        issued_at_nanoseconds: network.instance.time_nanos(),
    });
    PutArguments { operation, ..PutArguments::new(key(number), b"value".to_vec()) }
}

fn call(network: &mut Network, method: &str, arguments: Vec<u8>) -> Result<Vec<u8>, UserError> {
    let message = network.submit(network.users[0], network.router, method, arguments)?;
    network.instance.await_ingress(&message).expect("every message is answered")
}

fn put(network: &mut Network, arguments: &PutArguments) -> PutResult {
    let reply = call(network, "put", encode(arguments)).expect("the router replies");
    decode(&reply).expect("a reply of its type")
}

/// The version that the shard holds.
fn stored(network: &mut Network, number: usize) -> Option<u64> {
    let shard = network.shards[0];
    let held = network.get_from_shard(shard, &key(number)).expect("a query is answered");
    held.expect("administrators may read").map(|record| record.version.0)
}

/// How often the shard has run a method.
fn runs(network: &Network, method: &str) -> usize {
    let shard = network.shards[0];
    let of_shard = |kind, canister, name: &str| kind == EventKind::Update && canister == shard && name == method;
    network.instance.events().recent().filter(|event| of_shard(event.kind, event.canister, &event.method)).count()
}

fn let_time_pass(network: &mut Network) {
    for _ in 0..LATER_STEPS {
        network.advance(SECOND_NANOS);
    }
}

/// Puts every key once, each call being lost in one of two cases; tells what was answered, and how many calls were lost.
fn put_all(network: &mut Network, way: Fault, named: bool) -> (Vec<(PutArguments, Option<u64>)>, usize) {
    network.instance.set_fault_rate(way, HALF);
    let mut told = Vec::new();
    for number in 0..PUTS {
        let arguments = arguments(number, named, network);
        let version = match put(network, &arguments) {
            Ok(done) => Some(done.version.0),
            Err(PutError::Unknown { .. }) => None,
            Err(other) => panic!("{way:?}: {other:?}"),
        };
        told.push((arguments, version));
    }
    network.instance.set_fault_rate(way, 0);
    (told, network.fired(way) as usize)
}

#[test]
fn a_write_with_an_operation_is_sent_again_and_told_what_its_first_sending_did() {
    for way in WAYS {
        let mut network = network();
        let (told, lost) = put_all(&mut network, way, true);
        let unknown = told.iter().filter(|(_, version)| version.is_none()).count();
        let sent_again = lost - unknown;
        assert!(unknown > 0 && sent_again > unknown, "{way:?}: {lost} lost, {unknown} unknown");
        if way == Fault::UnknownRunsLater {
            let_time_pass(&mut network);
        }
        let expected = match way {
            // What was lost never ran: once for each that was told as done.
            Fault::UnknownNotRun => PUTS - unknown,
            // Every sending ran, and the second one of a put did nothing but answer.
            _ => PUTS + sent_again,
        };
        assert_eq!(runs(&network, "apply"), expected, "{way:?}");
        for (number, (arguments, version)) in told.iter().enumerate() {
            let before = stored(&mut network, number);
            if let Some(version) = version {
                assert_eq!(before, Some(*version), "{way:?}: key {number} was told another version");
            }
            let again = put(&mut network, arguments).expect("nothing goes wrong any more").version.0;
            assert_eq!(before.unwrap_or(again), again, "{way:?}: key {number} was put a second time");
            assert_eq!(stored(&mut network, number), Some(again), "{way:?}: key {number}");
        }
    }
}

#[test]
fn a_write_without_operation_is_never_sent_again_and_told_as_unknown() {
    for way in WAYS {
        let mut network = network();
        let (told, lost) = put_all(&mut network, way, false);
        let unknown = told.iter().filter(|(_, version)| version.is_none()).count();
        assert!(lost > 0 && lost < PUTS, "{way:?}: {lost} lost");
        assert_eq!(unknown, lost, "{way:?}: each lost call is one unknown put");
        if way == Fault::UnknownRunsLater {
            let_time_pass(&mut network);
        }
        let ran = if way == Fault::UnknownNotRun { PUTS - lost } else { PUTS };
        assert_eq!((runs(&network, "put"), runs(&network, "apply")), (ran, 0), "{way:?}");
        for (number, (_, version)) in told.iter().enumerate() {
            let held = stored(&mut network, number);
            match version {
                Some(version) => assert_eq!(held, Some(*version), "{way:?}: key {number}"),
                None => assert_eq!(held.is_none(), way == Fault::UnknownNotRun, "{way:?}: key {number}"),
            }
        }
    }
}

/// Carries the client library's calls into a simulated network.
struct Simulated {
    network: RefCell<Network>,
    draws: RefCell<u64>,
}

impl Transport for Simulated {
    fn caller(&self) -> Principal {
        self.network.borrow().users[0]
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let network = &mut *self.network.borrow_mut();
        let user = network.users[0];
        let message = network
            .submit(user, canister, method, arguments.to_vec())
            .map_err(|error| CallError::NotSent { reject_code: 0, message: error.message })?;
        let answer = network.instance.await_ingress(&message).expect("every message is answered");
        answer.map_err(|error| CallError::Unknown { message: error.message })
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let network = &mut *self.network.borrow_mut();
        let user = network.users[0];
        network
            .query(user, canister, method, arguments.to_vec())
            .map_err(|error| CallError::Unknown { message: error.message })
    }

    fn can_query_composite(&self) -> bool {
        true
    }

    fn now_nanoseconds(&self) -> u64 {
        self.network.borrow().instance.time_nanos()
    }

    fn draw(&self) -> [u8; 16] {
        *self.draws.borrow_mut() += 1;
        u128::from(*self.draws.borrow()).to_le_bytes()
    }

    async fn wait(&self, milliseconds: u64) -> Result<(), CannotWait> {
        self.network.borrow_mut().advance(milliseconds * 1_000_000);
        Ok(())
    }
}

/// Runs a future of this transport, which never waits for anything outside.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("a future that is polled {POLLS_MAX} times doesn't end");
}

#[test]
fn a_client_sends_again_and_is_told_what_the_first_sending_did() {
    for way in WAYS {
        let network = network();
        let router = network.router;
        let transport = Simulated { network: RefCell::new(network), draws: RefCell::new(0) };
        let client = Client::new(transport, router).with_routing(Routing::ThroughRouter);
        let of_network = || client.transport().network.borrow_mut();
        of_network().instance.set_fault_rate(way, HALF);
        for number in 0..PUTS {
            let done = run(client.put(Put::new(key(number), "value"))).expect("one of many sendings is answered");
            assert_eq!(stored(&mut of_network(), number), Some(done.version.0), "{way:?}: key {number}");
        }
        assert!(of_network().fired(way) > 0, "{way:?}");

        of_network().instance.set_fault_rate(way, ALWAYS);
        let before = runs(&of_network(), "apply");
        let lost = match run(client.put(Put::new(key(PUTS), "value"))) {
            Err(WriteError::Unknown(unknown)) => unknown,
            other => panic!("{way:?}: {other:?}"),
        };
        of_network().instance.set_fault_rate(way, 0);
        if way == Fault::UnknownRunsLater {
            for _ in 0..60 {
                of_network().advance(SECOND_NANOS);
            }
        }
        let first = stored(&mut of_network(), PUTS);
        assert_eq!(first.is_none(), way == Fault::UnknownNotRun, "{way:?}");
        assert!(way == Fault::UnknownNotRun || runs(&of_network(), "apply") > before + 1, "{way:?}: sent again");
        let settled = run(client.settle(lost)).expect("nothing goes wrong any more").version.0;
        assert_eq!(first.unwrap_or(settled), settled, "{way:?}: it was put a second time");
        assert_eq!(stored(&mut of_network(), PUTS), Some(settled), "{way:?}");
    }
}
