//! The HTTP interface of agents, through the unmodified Rust agent with verification of query signatures on, and raw.

use std::time::{Duration, SystemTime};

use candid::Principal;
use canopy_simulator::server::{Server, ServerOptions};
use ic_agent::agent::RejectResponse;
use ic_agent::identity::{
    BasicIdentity, DelegatedIdentity, Delegation, Prime256v1Identity, Secp256k1Identity, SignedDelegation,
};
use ic_agent::{Agent, AgentError, Identity};
use pocket_ic::{PocketIc, PocketIcBuilder};
use tokio::runtime::Runtime;

mod calls;
mod reads;
mod refusals;

const CANISTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $argument_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $argument_copy (param i32 i32 i32)))
    (import "ic0" "msg_caller_size" (func $caller_size (result i32)))
    (import "ic0" "msg_caller_copy" (func $caller_copy (param i32 i32 i32)))
    (import "ic0" "msg_reject" (func $reject (param i32 i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (memory 40)
    (data (i32.const 0) "no, sir")
    (func $echo
        (call $argument_copy (i32.const 64) (i32.const 0) (call $argument_size))
        (call $append (i32.const 64) (call $argument_size))
        (call $reply))
    (func $whoami
        (call $caller_copy (i32.const 64) (i32.const 0) (call $caller_size))
        (call $append (i32.const 64) (call $caller_size))
        (call $reply))
    (func $refuse (call $reject (i32.const 0) (i32.const 7)))
    (func (export "canister_update count")
        (i32.store (i32.const 32) (i32.add (i32.load (i32.const 32)) (i32.const 1)))
        (call $append (i32.const 32) (i32.const 4))
        (call $reply))
    (func (export "canister_update fail") (call $trap (i32.const 0) (i32.const 7)))
    (func (export "canister_update silent"))
    (export "canister_update echo" (func $echo))
    (export "canister_query look" (func $echo))
    (export "canister_update whoami" (func $whoami))
    (export "canister_query who_asks" (func $whoami))
    (export "canister_update refuse" (func $refuse))
    (export "canister_query refuse_to_look" (func $refuse))
    (@custom "icp:public candid:service" "service : {}")
    (@custom "icp:private recipe" "salt"))"#;

/// A live network with one canister, and agents of it.
struct Live {
    // Before the server, which must outlive it.
    net: PocketIc,
    server: Server,
    runtime: Runtime,
    url: String,
    canister: Principal,
}

impl Live {
    fn on(configure: impl FnOnce(PocketIcBuilder) -> PocketIcBuilder) -> Self {
        let server = Server::start(ServerOptions::default()).expect("a free port");
        let builder = PocketIcBuilder::new().with_server_url(server.url().parse().expect("a URL"));
        let mut net = configure(builder).build();
        let canister = net.create_canister_with_settings(Some(owner()), None);
        net.install_canister(canister, wat::parse_str(CANISTER).expect("a module"), Vec::new(), Some(owner()));
        let url = net.make_live(None).to_string();
        let runtime = Runtime::new().expect("threads");
        Self { net, server, runtime, url, canister }
    }

    /// One subnet, whose certificates need no delegation.
    fn alone() -> Self {
        Self::on(PocketIcBuilder::with_application_subnet)
    }

    /// An application subnet below a root, so that certificates have delegations.
    fn below_a_root() -> Self {
        Self::on(|builder| builder.with_nns_subnet().with_application_subnet())
    }

    fn agent(&self, identity: impl Identity + 'static) -> Agent {
        let agent = Agent::builder().with_url(&self.url).with_identity(identity).build().expect("an agent");
        self.runtime.block_on(agent.fetch_root_key()).expect("the status tells the root key");
        agent
    }

    fn call(&self, agent: &Agent, method: &str, argument: &[u8]) -> Result<Vec<u8>, AgentError> {
        let call = agent.update(&self.canister, method).with_arg(argument);
        self.runtime.block_on(call.call_and_wait())
    }

    fn query(&self, agent: &Agent, method: &str, argument: &[u8]) -> Result<Vec<u8>, AgentError> {
        self.runtime.block_on(agent.query(&self.canister, method).with_arg(argument).call())
    }

    fn subnet(&self) -> Principal {
        self.net.get_subnet(self.canister).expect("the canister has a subnet")
    }

    /// Sends one request as it is.
    fn send(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let url = format!("{}api/{path}", self.url);
        let client = reqwest::blocking::Client::new();
        let response = client.request(method.parse().expect("a method"), url).body(body).send().expect("an answer");
        (response.status().as_u16(), response.bytes().expect("a body").to_vec())
    }

    fn post(&self, path: &str, body: Vec<u8>) -> (u16, String) {
        let (status, body) = self.send("POST", path, body);
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

fn owner() -> Principal {
    owner_identity().sender().expect("a sender")
}

fn owner_identity() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[42; 32])
}

fn secp256k1() -> Secp256k1Identity {
    Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[2; 32]).expect("a key"))
}

fn p256() -> Prime256v1Identity {
    Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[3; 32]).expect("a key"))
}

/// A key of one kind for which a key of another kind signs, for an hour.
fn delegated() -> DelegatedIdentity {
    let (from, to) = (owner_identity(), secp256k1());
    let pubkey = to.public_key().expect("a key");
    let delegation =
        Delegation { pubkey, expiration: wall_nanos() + 3_600_000_000_000, targets: None, permissions: None };
    let signature = from.sign_delegation(&delegation).expect("signs").signature.expect("a signature");
    let chain = vec![SignedDelegation { delegation, signature }];
    DelegatedIdentity::new(from.public_key().expect("a key"), Box::new(to), chain).expect("a chain")
}

#[expect(clippy::disallowed_methods, reason = "live instances follow the wall clock, and so do agents")]
fn wall_nanos() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

fn at(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn http_refusal<T: std::fmt::Debug>(result: Result<T, AgentError>) -> (u16, String) {
    match result {
        Err(AgentError::HttpError(error)) => (error.status, String::from_utf8_lossy(&error.content).into_owned()),
        other => panic!("not refused by HTTP: {other:?}"),
    }
}

fn certified_reject(result: Result<Vec<u8>, AgentError>) -> RejectResponse {
    match result {
        Err(AgentError::CertifiedReject { reject, .. }) => reject,
        other => panic!("no certified reject: {other:?}"),
    }
}

fn uncertified_reject(result: Result<Vec<u8>, AgentError>) -> RejectResponse {
    match result {
        Err(AgentError::UncertifiedReject { reject, .. }) => reject,
        other => panic!("no reject: {other:?}"),
    }
}

fn number(reply: &[u8]) -> u32 {
    u32::from_le_bytes(reply.try_into().expect("four bytes"))
}
