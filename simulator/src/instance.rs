//! One simulated network: subnets with messages between them, driven from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;

use crate::chance::Schedule;
use crate::errors::UserError;
use crate::event_log::EventLog;
pub use crate::replica::state::{IngressStatus, MessageId, SubnetKind};

/// 6 May 2021, when the real network began.
pub const GENESIS_NANOS: u64 = 1_620_328_630_000_000_000;

/// Instruction limits of a subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstructionProfile {
    #[default]
    Production,
    Benchmarking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostSchedule {
    #[default]
    Normal,
    Free,
}

/// One subnet to make.
#[derive(Clone, Debug)]
pub struct SubnetSpec {
    pub kind: SubnetKind,
    pub instructions: InstructionProfile,
    pub cost_schedule: CostSchedule,
    pub admins: Vec<Principal>,
}

/// A network to make. Subnets come in this order; the NNS, or else the first, is the root.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    pub subnets: Vec<SubnetSpec>,
    /// Default: [`GENESIS_NANOS`].
    pub initial_time_nanos: Option<u64>,
    pub seed: u64,
    pub schedule: Schedule,
}

/// A subnet as the outside sees it.
#[derive(Clone, Debug)]
pub struct SubnetTopology {
    pub kind: SubnetKind,
    pub instructions: InstructionProfile,
    pub cost_schedule: CostSchedule,
    pub admins: Vec<Principal>,
    pub seed: [u8; 32],
    /// First and last canister id of each range.
    pub canister_ranges: Vec<(Principal, Principal)>,
    pub node_ids: Vec<Principal>,
}

#[derive(Clone, Debug)]
pub struct Topology {
    pub subnets: BTreeMap<Principal, SubnetTopology>,
    pub root_subnet: Principal,
    pub default_effective_canister_id: Principal,
}

/// Where a call is routed when the callee alone does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectivePrincipal {
    None,
    SubnetId(Principal),
    CanisterId(Principal),
}

/// A call from outside.
#[derive(Clone, Debug)]
pub struct CanisterCall {
    pub sender: Principal,
    pub canister_id: Principal,
    pub effective: EffectivePrincipal,
    pub method: String,
    pub payload: Vec<u8>,
}

/// A request that makes no sense to the server (HTTP 400), with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest(pub String);

/// The message belongs to another caller (HTTP 403).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden;

/// One simulated network.
pub struct Instance {}

impl Instance {
    /// Makes a network.
    ///
    /// # Errors
    /// A text if the configuration has no subnet or two of a kind of which there is one.
    pub fn new(_config: NetworkConfig) -> Result<Instance, String> {
        todo!("replica helper")
    }

    pub fn topology(&self) -> Topology {
        todo!("replica helper")
    }

    pub fn time_nanos(&self) -> u64 {
        todo!("replica helper")
    }

    /// # Errors
    /// A text if `nanos` lies in the past.
    pub fn set_time(&mut self, _nanos: u64) -> Result<(), String> {
        todo!("replica helper")
    }

    /// Sets the time and runs a round, so that the state of that time is certified.
    ///
    /// # Errors
    /// A text if `nanos` lies in the past.
    pub fn set_certified_time(&mut self, _nanos: u64) -> Result<(), String> {
        todo!("replica helper")
    }

    /// Runs one round on every subnet.
    pub fn tick(&mut self) {
        todo!("replica helper")
    }

    /// Offers an update call. The outer error is HTTP 400, the inner one a refusal by the ingress filter.
    pub fn submit_ingress(&mut self, _call: CanisterCall) -> Result<Result<MessageId, UserError>, BadRequest> {
        todo!("replica helper")
    }

    /// Returns the subnet to which a message was submitted, None for an unknown id.
    pub fn subnet_of_ingress(&self, _id: &MessageId) -> Option<Principal> {
        todo!("replica helper")
    }

    /// Tells what became of a message; `caller` may only ask for its own.
    pub fn ingress_status(&self, _id: &MessageId, _caller: Option<Principal>) -> Result<IngressStatus, Forbidden> {
        todo!("replica helper")
    }

    /// Runs rounds (100 at most) until the message is answered.
    pub fn await_ingress(&mut self, _id: &MessageId) -> Result<Result<Vec<u8>, UserError>, BadRequest> {
        todo!("replica helper")
    }

    /// Answers a query on the latest state; changes nothing but statistics.
    pub fn query(&mut self, _call: CanisterCall) -> Result<Result<Vec<u8>, UserError>, BadRequest> {
        todo!("replica helper")
    }

    /// Returns the balance, None for an unknown canister.
    pub fn cycles(&self, _canister: &Principal) -> Option<u128> {
        todo!("replica helper")
    }

    /// Adds cycles from nothing and returns the new balance.
    pub fn add_cycles(&mut self, _canister: &Principal, _amount: u128) -> Option<u128> {
        todo!("replica helper")
    }

    pub fn controllers(&self, _canister: &Principal) -> Option<Vec<Principal>> {
        todo!("replica helper")
    }

    /// Returns the bytes of stable memory (whole pages); empty without code. None for an unknown canister.
    pub fn stable_memory(&self, _canister: &Principal) -> Option<Vec<u8>> {
        todo!("replica helper")
    }

    /// Replaces stable memory, rounded up to whole pages. Returns false for an unknown canister or one without code.
    pub fn set_stable_memory(&mut self, _canister: &Principal, _bytes: &[u8]) -> bool {
        todo!("replica helper")
    }

    /// Returns the subnet of an existing canister.
    pub fn subnet_of(&self, _canister: &Principal) -> Option<Principal> {
        todo!("replica helper")
    }

    /// Returns the public key of a subnet in DER form (133 bytes).
    pub fn public_key(&self, _subnet: &Principal) -> Option<Arc<Vec<u8>>> {
        todo!("replica helper")
    }

    /// Returns what happened so far.
    pub fn events(&self) -> &EventLog {
        todo!("replica helper")
    }

    /// Panics if cycles were created or destroyed, or queues and contexts disagree.
    pub fn check_invariants(&self) {
        todo!("replica helper")
    }
}
