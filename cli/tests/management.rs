//! The management canister of a network, called by the network's administrator: for canisters that the command doesn't
//! make, and for those that are lost.

use std::future::Future;

use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::Agent;
use ic_agent::identity::BasicIdentity;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::fixture::Network;

/// What a canister is made with.
const CANISTER_CYCLES: u128 = 100_000_000_000_000;

/// Calls the management canister.
pub struct Management {
    runtime: Runtime,
    agent: Agent,
    /// A canister of the subnet on which others are made.
    beside: Principal,
}

#[derive(CandidType)]
struct CreateArguments {
    amount: Option<u128>,
}

#[derive(CandidType, Deserialize)]
struct CanisterArguments {
    canister_id: Principal,
}

#[derive(CandidType, Serialize)]
enum Mode {
    #[serde(rename = "install")]
    Install,
}

#[derive(CandidType)]
struct InstallArguments {
    mode: Mode,
    canister_id: Principal,
    wasm_module: serde_bytes::ByteBuf,
    arg: serde_bytes::ByteBuf,
}

impl Management {
    pub fn of(network: &Network) -> Self {
        let runtime = Runtime::new().expect("threads");
        let identity = BasicIdentity::from_pem_file(network.home.path().join("dev.pem")).expect("the key of `dev`");
        let agent = Agent::builder().with_url(&network.url).with_identity(identity).build().expect("a URL");
        runtime.block_on(agent.fetch_root_key()).expect("the network runs");
        Self { runtime, agent, beside: network.router.parse().expect("a principal") }
    }

    /// Makes a canister without code.
    pub fn create(&self) -> Principal {
        let arguments = Encode!(&CreateArguments { amount: Some(CANISTER_CYCLES) }).expect("Candid");
        let reply = self.call("provisional_create_canister_with_cycles", self.beside, arguments);
        Decode!(&reply, CanisterArguments).expect("its id").canister_id
    }

    pub fn install(&self, canister_id: Principal, wasm: &[u8], argument: Vec<u8>) {
        let (wasm_module, arg) = (wasm.to_vec().into(), argument.into());
        let arguments = InstallArguments { mode: Mode::Install, canister_id, wasm_module, arg };
        self.call("install_code", canister_id, Encode!(&arguments).expect("Candid"));
    }

    /// Takes code and data away.
    pub fn uninstall(&self, canister_id: Principal) {
        self.call("uninstall_code", canister_id, Encode!(&CanisterArguments { canister_id }).expect("Candid"));
    }

    /// Tells who calls.
    pub fn caller(&self) -> Principal {
        self.agent.get_principal().expect("a key has one")
    }

    fn call(&self, method: &str, about: Principal, arguments: Vec<u8>) -> Vec<u8> {
        let management = Principal::management_canister();
        let call = self.agent.update(&management, method).with_effective_canister_id(about).with_arg(arguments);
        self.wait(call.call_and_wait()).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
