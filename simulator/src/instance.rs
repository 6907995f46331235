//! One simulated network: subnets with messages between them, driven from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;

use sha2::{Digest, Sha256};

use crate::chance::{Chance, Fault, Point, Schedule};
use crate::cycles::Fees;
use crate::errors::UserError;
use crate::event_log::EventLog;
use crate::limits::{GIB, WASM_PAGE_BYTES};
use crate::replica::ingress::ingress_bytes;
use crate::replica::management;
use crate::replica::state::{
    Canister, Ingress, InstructionLimits, Ledger, Routes, SubnetConfig, SubnetState, canister_id, canister_number,
};
pub use crate::replica::state::{IngressStatus, MessageId, SubnetKind};
use crate::rules::Rule;

mod agents;
mod experiments;
mod making;

pub use agents::Scope;
pub use experiments::CyclesBooks;

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

/// Rounds that `await_ingress` runs at most.
const AWAIT_ROUNDS_MAX: usize = 100;
/// The last time that can be set; in the year 2262. Deadlines lie at most some years after it.
const TIME_NANOS_MAX: u64 = u64::MAX / 2;
/// How long an ingress message may wait to start.
const INGRESS_TTL_NANOS: u64 = 300 * 1_000_000_000;
/// Bytes of stable memory that can be read or written from outside at once.
const STABLE_TRANSFER_BYTES_MAX: u64 = 16 * GIB;
const MEMORY_BYTES_PER_SUBNET: u64 = 2_048 * GIB;

/// One simulated network.
pub struct Instance {
    subnets: Vec<SubnetState>,
    topology: Topology,
    routes: Arc<Routes>,
    time_nanos: u64,
    last_round_nanos: u64,
    events: EventLog,
    chance: Chance,
    /// By how much the clock of a subnet is ahead.
    skews: BTreeMap<usize, u64>,
}

impl Instance {
    pub fn topology(&self) -> Topology {
        self.topology.clone()
    }

    pub fn time_nanos(&self) -> u64 {
        self.time_nanos
    }

    /// Returns the time of the last round. Every round has a later one, so it tells rounds apart.
    pub fn last_round_nanos(&self) -> u64 {
        self.last_round_nanos
    }

    /// # Errors
    /// A text if `nanos` lies in the past, or beyond what deadlines can be reckoned from.
    pub fn set_time(&mut self, nanos: u64) -> Result<(), String> {
        if nanos > TIME_NANOS_MAX {
            return Err(format!("The time {nanos} is beyond {TIME_NANOS_MAX}, the last that can be set."));
        }
        if nanos < self.time_nanos {
            return Err(format!("SettingTimeIntoPast(({}, {nanos}))", self.time_nanos));
        }
        self.time_nanos = nanos;
        Ok(())
    }

    /// Sets the time and runs a round, so that the state of that time is certified.
    ///
    /// # Errors
    /// A text if `nanos` lies in the past.
    pub fn set_certified_time(&mut self, nanos: u64) -> Result<(), String> {
        self.set_time(nanos)?;
        self.tick();
        Ok(())
    }

    /// Sets how often a fault fires on all subnets, in millionths of the occasions.
    pub fn set_fault_rate(&mut self, fault: Fault, millionths: u32) {
        for subnet in &mut self.subnets {
            subnet.chance.set_rate(fault, millionths);
        }
    }

    /// Sets the rule that places faults at chosen messages, on all subnets; None: no more.
    pub fn set_rule(&mut self, rule: Option<Rule>) {
        for subnet in &mut self.subnets {
            subnet.chance.set_rule(rule.clone());
        }
    }

    /// Runs one round on every subnet.
    pub fn tick(&mut self) {
        if self.time_nanos <= self.last_round_nanos {
            self.time_nanos = self.last_round_nanos + 1;
        }
        self.last_round_nanos = self.time_nanos;
        let mut order: Vec<usize> = (0..self.subnets.len()).collect();
        self.chance.permute(Point::SubnetOrder, &mut order);
        for index in order {
            let skew = self.skews.get(&index).copied().unwrap_or(0);
            let time_nanos = (self.time_nanos + skew).max(self.subnets[index].time_nanos);
            self.subnets[index].execute_round(time_nanos);
            for event in std::mem::take(&mut self.subnets[index].events) {
                self.events.record(event);
            }
            for message in std::mem::take(&mut self.subnets[index].outgoing) {
                let receiver = message.receiver();
                let target = self.routes.subnet_of(&receiver).and_then(|subnet| self.index_of(&subnet));
                let target = &mut self.subnets[target.expect("messages leave a subnet only for a known one")];
                target.ledger.received += message.cycles();
                target.incoming.push_back(message);
            }
        }
    }

    fn index_of(&self, subnet: &Principal) -> Option<usize> {
        self.subnets.iter().position(|it| it.config.id == *subnet)
    }

    fn subnet_with(&self, canister: &Principal) -> Option<&SubnetState> {
        self.subnets.iter().find(|subnet| subnet.canisters.contains_key(canister))
    }

    fn canister(&self, id: &Principal) -> Option<&Canister> {
        self.subnet_with(id)?.canisters.get(id)
    }

    fn canister_mut(&mut self, id: &Principal) -> Option<(&mut Canister, &mut Ledger)> {
        let subnet = self.subnets.iter_mut().find(|subnet| subnet.canisters.contains_key(id))?;
        subnet.touch(*id);
        let canister = subnet.canisters.get_mut(id).expect("just found");
        subnet.certificate_cache.replace(None);
        Some((canister, &mut subnet.ledger))
    }

    /// Finds the subnet that a call is for.
    fn route(&self, call: &CanisterCall) -> Result<usize, BadRequest> {
        let for_canister = |id: &Principal| {
            let subnet = self.routes.subnet_of(id).filter(|_| canister_number(id).is_some());
            let index = subnet.and_then(|subnet| self.index_of(&subnet));
            index.ok_or_else(|| BadRequest(format!("Canister {id} does not belong to any subnet.")))
        };
        let is_management = call.canister_id == Principal::management_canister();
        match call.effective {
            EffectivePrincipal::SubnetId(id) => {
                self.index_of(&id).ok_or_else(|| BadRequest(format!("Subnet {id} not found.")))
            }
            EffectivePrincipal::CanisterId(id) => for_canister(&id),
            EffectivePrincipal::None if !is_management => for_canister(&call.canister_id),
            EffectivePrincipal::None if call.method == "provisional_create_canister_with_cycles" => {
                for_canister(&self.topology.default_effective_canister_id)
            }
            EffectivePrincipal::None => match management::target(&call.method, &call.payload) {
                Some(target) => for_canister(&target),
                None => Err(BadRequest(format!(
                    "Method {} of the management canister does not belong to any subnet.",
                    call.method
                ))),
            },
        }
    }

    /// Offers an update call. The outer error is HTTP 400, the inner one a refusal by the ingress filter.
    pub fn submit_ingress(&mut self, call: CanisterCall) -> Result<Result<MessageId, UserError>, BadRequest> {
        let mut hash = Sha256::new();
        hash.update(self.chance.bytes(Point::Nonce));
        hash.update(call.sender.as_slice());
        hash.update(&call.method);
        hash.update(&call.payload);
        let id = MessageId(hash.finalize().into());
        self.submit_ingress_as(id, self.time_nanos + INGRESS_TTL_NANOS, call)
    }

    /// Offers an update call under a request id of the caller's; one that is known already is not run again.
    pub fn submit_ingress_as(
        &mut self,
        id: MessageId,
        expiry_nanos: u64,
        call: CanisterCall,
    ) -> Result<Result<MessageId, UserError>, BadRequest> {
        let index = self.route(&call)?;
        let bytes = ingress_bytes(&call.method, &call.payload);
        let bytes_max = self.subnets[index].config.kind.ingress_bytes_max();
        if bytes > bytes_max {
            return Err(BadRequest(format!("Ingress message of {bytes} bytes exceeds the limit of {bytes_max}.")));
        }
        if self.subnets[index].ingress_history.contains_key(&id) {
            return Ok(Ok(id));
        }
        let ingress = Ingress {
            id,
            sender: call.sender,
            receiver: call.canister_id,
            method: call.method,
            payload: call.payload,
            expiry_nanos,
        };
        let subnet = &mut self.subnets[index];
        subnet.settle_touched();
        // Subnets see the instance's time even before their next round.
        Ok(subnet.submit(ingress).map(|()| id))
    }

    /// Returns the subnet to which a message was submitted, None for one that is unknown or forgotten.
    pub fn subnet_of_ingress(&self, id: &MessageId) -> Option<Principal> {
        Some(self.subnets.iter().find(|subnet| subnet.ingress_history.contains_key(id))?.config.id)
    }

    /// Tells what became of a message; `caller` may only ask for its own.
    pub fn ingress_status(&self, id: &MessageId, caller: Option<Principal>) -> Result<IngressStatus, Forbidden> {
        let record = self.subnets.iter().find_map(|subnet| subnet.ingress_history.get(id));
        match record {
            None => Ok(IngressStatus::Unknown),
            // Before a round took it nobody knows whose it is.
            Some(record) if record.status == IngressStatus::Received => Ok(IngressStatus::Received),
            Some(record) if caller.is_some_and(|caller| caller != record.sender) => Err(Forbidden),
            Some(record) => Ok(record.status.clone()),
        }
    }

    /// Runs rounds (100 at most) until the message is answered.
    pub fn await_ingress(&mut self, id: &MessageId) -> Result<Result<Vec<u8>, UserError>, BadRequest> {
        for round in 0..=AWAIT_ROUNDS_MAX {
            match self.ingress_status(id, None) {
                Ok(IngressStatus::Replied(data)) => return Ok(Ok(data)),
                Ok(IngressStatus::Rejected(error)) => return Ok(Err(error)),
                Ok(IngressStatus::Unknown | IngressStatus::Done) => {
                    return Err(BadRequest(format!("Unknown ingress message {}.", hex::encode(id.0))));
                }
                _ if round < AWAIT_ROUNDS_MAX => self.tick(),
                _ => {}
            }
        }
        Err(BadRequest(format!("Failed to answer to ingress {} after {AWAIT_ROUNDS_MAX} rounds.", hex::encode(id.0))))
    }

    /// Answers a query on the latest state; changes nothing but statistics.
    pub fn query(&mut self, call: CanisterCall) -> Result<Result<Vec<u8>, UserError>, BadRequest> {
        let index = self.route(&call)?;
        let subnet = &mut self.subnets[index];
        if call.canister_id == Principal::management_canister() {
            return Ok(management::query(subnet, call.sender, &call.method, &call.payload));
        }
        Ok(subnet.query(call.sender, call.canister_id, call.method, call.payload))
    }

    /// Returns the balance, None for an unknown canister.
    pub fn cycles(&self, canister: &Principal) -> Option<u128> {
        Some(self.canister(canister)?.account.balance)
    }

    /// Adds cycles from nothing and returns the new balance.
    pub fn add_cycles(&mut self, canister: &Principal, amount: u128) -> Option<u128> {
        let (canister, ledger) = self.canister_mut(canister)?;
        canister.account.balance += ledger.mint(amount);
        Some(canister.account.balance)
    }

    pub fn controllers(&self, canister: &Principal) -> Option<Vec<Principal>> {
        Some(self.canister(canister)?.settings.controllers.iter().copied().collect())
    }

    /// Returns the bytes of stable memory (whole pages). None for an unknown canister or one without code.
    pub fn stable_memory(&self, canister: &Principal) -> Option<Vec<u8>> {
        self.canister(canister)?.code.as_ref()?.runtime.stable().to_bytes(STABLE_TRANSFER_BYTES_MAX)
    }

    /// Replaces stable memory, rounded up to whole pages. Returns false for an unknown canister or one without code.
    pub fn set_stable_memory(&mut self, canister: &Principal, bytes: &[u8]) -> bool {
        let Some((canister, _)) = self.canister_mut(canister) else { return false };
        let Some(code) = canister.code.as_mut().filter(|_| bytes.len() as u64 <= STABLE_TRANSFER_BYTES_MAX) else {
            return false;
        };
        debug_assert_eq!(WASM_PAGE_BYTES, 65_536, "stable memory has whole pages");
        code.runtime.stable_mut().replace_all(bytes);
        code.runtime.commit();
        true
    }

    /// Returns the subnet of an existing canister.
    pub fn subnet_of(&self, canister: &Principal) -> Option<Principal> {
        Some(self.subnet_with(canister)?.config.id)
    }

    /// Returns the public key of a subnet in DER form (133 bytes).
    pub fn public_key(&self, subnet: &Principal) -> Option<Arc<Vec<u8>>> {
        Some(self.subnets[self.index_of(subnet)?].config.public_key.clone())
    }

    /// Returns the states of all subnets, for tests and for the agent interface.
    pub fn subnets(&self) -> &[SubnetState] {
        &self.subnets
    }

    /// Returns what happened so far.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// Panics if cycles were created or destroyed, or queues and contexts disagree.
    pub fn check_invariants(&self) {
        let minted: u128 = self.subnets.iter().map(|subnet| subnet.ledger.minted).sum();
        let present: u128 = self.subnets.iter().map(SubnetState::cycles_present).sum();
        assert_eq!(minted, present, "cycles are neither created nor destroyed");
        let sent: u128 = self.subnets.iter().map(|subnet| subnet.ledger.sent_away).sum();
        let received: u128 = self.subnets.iter().map(|subnet| subnet.ledger.received).sum();
        assert_eq!(sent, received, "what leaves a subnet arrives at another");
        self.subnets.iter().for_each(SubnetState::check_invariants);
    }
}

#[cfg(test)]
mod tests;
