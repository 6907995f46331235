//! One subnet.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use candid::Principal;

use crate::chance::Chance;
use crate::cycles::{Fees, SubnetMemory};
use crate::event_log::Event;
use crate::limits::*;
use crate::replica::certification::tree::Tree;
use crate::replica::certification::{CertifiedTree, Delegations, Delegator, Directory, NodeKey, Signer};
use crate::replica::state::{Canister, Ingress, IngressStatus, Ledger, ManagementCall, MessageId, Request, Response};

/// Kinds of subnets as PocketIC names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubnetKind {
    Application,
    Bitcoin,
    CloudEngine,
    Fiduciary,
    InternetIdentity,
    Nns,
    Sns,
    System,
    TestThresholdKeys,
    VerifiedApplication,
}

/// Instruction limits of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionLimits {
    pub update: u64,
    pub query: u64,
    pub install: u64,
    pub inspect: u64,
    pub slice: u64,
}

impl SubnetKind {
    /// Whether subnets of this kind charge nothing and allow more.
    pub fn is_system(self) -> bool {
        matches!(self, SubnetKind::Nns | SubnetKind::InternetIdentity | SubnetKind::Bitcoin | SubnetKind::System)
    }

    /// Bytes of a whole ingress message.
    pub fn ingress_bytes_max(self) -> u64 {
        if self.is_system() { SYSTEM_INGRESS_BYTES_MAX } else { INGRESS_BYTES_MAX }
    }
}

impl InstructionLimits {
    pub const PRODUCTION: Self = Self {
        update: UPDATE_INSTRUCTIONS_MAX,
        query: QUERY_INSTRUCTIONS_MAX,
        install: INSTALL_INSTRUCTIONS_MAX,
        inspect: INSPECT_INSTRUCTIONS_MAX,
        slice: SLICE_INSTRUCTIONS_MAX,
    };
    /// Of subnets that charge nothing.
    pub const SYSTEM: Self =
        Self { update: SYSTEM_UPDATE_INSTRUCTIONS_MAX, install: SYSTEM_INSTALL_INSTRUCTIONS_MAX, ..Self::PRODUCTION };
    /// Practically unlimited, and never sliced.
    pub const BENCHMARKING: Self = Self {
        update: BENCHMARKING_INSTRUCTIONS_MAX,
        query: BENCHMARKING_INSTRUCTIONS_MAX,
        install: BENCHMARKING_INSTRUCTIONS_MAX,
        inspect: BENCHMARKING_INSTRUCTIONS_MAX,
        slice: BENCHMARKING_INSTRUCTIONS_MAX,
    };
}

/// What is fixed when a subnet is made.
#[derive(Clone, Debug)]
pub struct SubnetConfig {
    pub id: Principal,
    pub kind: SubnetKind,
    pub nodes: u32,
    pub fees: Fees,
    pub limits: InstructionLimits,
    pub admins: Vec<Principal>,
    /// First and last number of each range of canister ids.
    pub ranges: Vec<(u64, u64)>,
    /// The range out of which new ids are given.
    pub allocation: (u64, u64),
    /// DER form, of this subnet and of the root subnet.
    pub public_key: Arc<Vec<u8>>,
    pub root_key: Arc<Vec<u8>>,
    pub signer: Arc<Signer>,
    /// Sign answers to queries; as many as there are `nodes`.
    pub node_keys: Arc<Vec<NodeKey>>,
    /// None on the root subnet.
    pub delegator: Option<Arc<Delegator>>,
    pub directory: Arc<Directory>,
    /// First and last number of all ranges of the network, with their subnets, and all subnet ids.
    pub routes: Arc<Routes>,
    /// Bytes of memory for all canisters, and from where on cycles are reserved for growth.
    pub memory_bytes_max: u64,
    pub reservation_threshold_bytes: u64,
}

/// One subnet with its canisters.
pub struct SubnetState {
    pub config: Arc<SubnetConfig>,
    pub time_nanos: u64,
    pub round: u64,
    pub canisters: BTreeMap<Principal, Canister>,
    pub next_canister: u64,
    pub ledger: Ledger,
    pub chance: Chance,
    /// Since the instance last collected them.
    pub events: Vec<Event>,
    /// Calls to the management canister, in order of arrival; those of canisters arrive through the loopback stream.
    pub management: VecDeque<ManagementCall>,
    /// Accepted, not yet in a block.
    pub pending_ingress: VecDeque<Ingress>,
    /// Requests that a fault holds back, with the time of their release.
    pub delayed: Vec<(u64, Request)>,
    pub ingress_history: BTreeMap<MessageId, IngressRecord>,
    /// Responses to canisters of this subnet that the next round delivers (from the management canister).
    pub loopback: VecDeque<StreamMessage>,
    /// Messages to other subnets, collected by the instance after each round.
    pub outgoing: VecDeque<StreamMessage>,
    /// Messages from other subnets for the next round.
    pub incoming: VecDeque<StreamMessage>,
    /// Sums over canisters. INVARIANT: of what each canister was `counted` as.
    pub totals: Totals,
    /// Canisters that rounds look at. INVARIANT: all that are busy, but for those touched.
    pub active: BTreeSet<Principal>,
    /// Canisters that changed otherwise than by a message since they were last counted.
    pub touched: BTreeSet<Principal>,
    /// Before this time no canister owes anything for storage.
    pub charge_at_nanos: u64,
    /// Answers in `ingress_history` with the time until which they are kept, oldest first, and their bytes.
    pub answered: BTreeSet<(u64, MessageId)>,
    pub answered_bytes: u64,
    /// Messages whose answers were dropped before that time; the rest of the record keeps them from running again.
    pub forgotten: BTreeSet<(u64, MessageId)>,
    pub messages_executed: u64,
    pub host_memory: crate::host_memory::Watch,
    /// Of this round, so that certificates are made once per state.
    pub certificate_cache: RefCell<Option<CertifiedTree>>,
    /// Made when a certificate is first asked for, and again when they have grown old.
    pub delegations: RefCell<Option<Delegations>>,
    /// Hashes of modules that were compiled here already.
    pub compiled: BTreeSet<[u8; 32]>,
}

impl SubnetState {
    /// Makes a subnet without canisters.
    pub fn new(config: SubnetConfig, time_nanos: u64, chance: Chance) -> Self {
        Self {
            next_canister: config.allocation.0,
            config: Arc::new(config),
            time_nanos,
            round: 0,
            canisters: BTreeMap::new(),
            ledger: Ledger::default(),
            chance,
            events: Vec::new(),
            management: Default::default(),
            pending_ingress: Default::default(),
            delayed: Vec::new(),
            ingress_history: BTreeMap::new(),
            loopback: Default::default(),
            outgoing: Default::default(),
            incoming: Default::default(),
            totals: Totals::default(),
            certificate_cache: Default::default(),
            compiled: Default::default(),
            active: Default::default(),
            touched: Default::default(),
            charge_at_nanos: 0,
            answered: Default::default(),
            answered_bytes: 0,
            forgotten: Default::default(),
            messages_executed: 0,
            delegations: Default::default(),
            host_memory: Default::default(),
        }
    }
}

/// What travels between subnets.
#[derive(Clone, Debug)]
pub enum StreamMessage {
    Request(Request),
    Response(Response),
}

/// An ingress message with its fate.
#[derive(Clone, Debug)]
pub struct IngressRecord {
    pub status: IngressStatus,
    pub sender: Principal,
    pub receiver: Principal,
    /// Until when the message may start, and until when its record is kept once it is answered.
    pub expiry_nanos: u64,
    /// Its place in the state tree, once somebody asked for it.
    pub certified: OnceCell<Tree>,
}

impl IngressRecord {
    /// Records a message that was accepted.
    pub fn received(ingress: &Ingress) -> Self {
        Self {
            status: IngressStatus::Received,
            sender: ingress.sender,
            receiver: ingress.receiver,
            expiry_nanos: ingress.expiry_nanos,
            certified: OnceCell::new(),
        }
    }

    /// Changes the status, and with it the place in the state tree.
    pub fn set(&mut self, status: IngressStatus) {
        self.status = status;
        self.certified = OnceCell::new();
    }
}

/// What an execution needs to know of its subnet, by value, so that a canister can be borrowed beside it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub config: Arc<SubnetConfig>,
    pub time_nanos: u64,
    pub memory: SubnetMemory,
    pub guaranteed_bytes_left: u64,
    pub callbacks_left: usize,
}

/// Sums over all canisters of a subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub memory_bytes: u64,
    pub callbacks: usize,
    /// Reserved for guaranteed responses.
    pub guaranteed_bytes: u64,
}

/// Which subnet holds which canister ids.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// By last number: first number and subnet.
    pub ranges: BTreeMap<u64, (u64, Principal)>,
    pub subnets: Vec<Principal>,
}

impl Routes {
    /// Returns the subnet responsible for a canister id, or the subnet itself for a subnet id.
    pub fn subnet_of(&self, id: &Principal) -> Option<Principal> {
        if self.subnets.contains(id) {
            return Some(*id);
        }
        let number = canister_number(id)?;
        let (_, (first, subnet)) = self.ranges.range(number..).next()?;
        (*first <= number).then_some(*subnet)
    }
}

/// Bytes after the number in a canister id.
const CANISTER_ID_TAIL: [u8; 2] = [1, 1];

/// Returns the canister id of a number.
pub fn canister_id(number: u64) -> Principal {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&CANISTER_ID_TAIL);
    Principal::from_slice(&bytes)
}

/// Returns the number of a canister id, None for other principals.
pub fn canister_number(id: &Principal) -> Option<u64> {
    let (number, tail) = id.as_slice().split_at_checked(8)?;
    (tail == CANISTER_ID_TAIL).then(|| u64::from_be_bytes(number.try_into().expect("split at 8")))
}
