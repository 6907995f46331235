//! A simulated network with Canopy on it, as its administrator sees it.

use std::collections::{BTreeMap, BTreeSet};

use candid::{Nat, Principal};
use canopy_simulator::chance::{Fault, Schedule};
use canopy_simulator::errors::UserError;
use canopy_simulator::instance::{
    CanisterCall, CostSchedule, CyclesBooks, EffectivePrincipal, IngressStatus, Instance, InstructionProfile,
    MessageId, NetworkConfig, SubnetKind, SubnetSpec,
};
use canopy_types::api::RoutingTableResult;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult, UploadPolicy};
use canopy_types::routing::RoutingTable;
use canopy_types::shard::{ShardError, ShardGetResult, ShardInfo, ShardInfoResult};
use canopy_types::status::{Status, StatusResult};
use canopy_types::{GetArguments, HashSecret, InitArguments, KeyHash, RoutingTableReply};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};

use crate::caller;
use crate::case::Case;
use crate::checkers::cycles::Books;
use crate::faults::FaultName;

/// One trillion cycles.
pub const T: u128 = 1_000_000_000_000;
/// What the router gets: enough for its shards and their creation.
const ROUTER_CYCLES: u128 = 60 * T;
const CALLER_CYCLES: u128 = 100 * T;
const SHARD_CYCLES: u128 = 4 * T;
/// Cycles that a canister keeps when the others are burned: too few to run a message, enough to pay for its storage.
const CYCLES_LEFT: u128 = 20_000_000_000;
/// By how much the clock of the callers' subnet is ahead, at most: 30 s.
pub const SKEW_NANOS_MAX: u64 = 30_000_000_000;

/// The Wasm of the service.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub router: &'static [u8],
    pub shard: &'static [u8],
}

impl Service {
    /// What is released.
    pub const CURRENT: Self = Self { router: canopy_artifacts::ROUTER_WASM, shard: canopy_artifacts::SHARD_WASM };
}

/// A network, the service on it, and whoever uses it.
pub struct Network {
    pub instance: Instance,
    pub service: Service,
    pub administrator: Principal,
    pub users: Vec<Principal>,
    pub callers: Vec<Principal>,
    pub router: Principal,
    pub service_subnet: Principal,
    pub callers_subnet: Principal,
    /// Shards as last told by the router.
    pub shards: Vec<Principal>,
    /// Shards of keys.
    owners: BTreeMap<Vec<u8>, Principal>,
    /// Hashes of the case's keys, once the router has told its secret; else empty.
    pub hashes: Vec<KeyHash>,
    /// The secret of the hash, then.
    pub secret: Option<HashSecret>,
    /// Canisters that the administrator gave up.
    pub written_off: BTreeSet<Principal>,
    /// A shard that is the administrator's as soon as the router names it no more.
    pub leaving: Option<Principal>,
    /// When the last round ran that the driver asked for; nothing that is sent from now on runs earlier.
    pub round_nanos: u64,
    /// Cycles that callers attached to calls whose answer may be lost.
    pub risked: u128,
}

/// The network was not set up: a fault of the driver or of the simulator.
pub type SetUpFailure = String;

impl Network {
    /// Makes a network for `case` and installs the router, without faults.
    ///
    /// # Errors
    /// What failed.
    pub fn new(case: &Case, service: Service) -> Result<Self, SetUpFailure> {
        let schedule = if case.rate(FaultName::OrderShuffled) > 0 { Schedule::Shuffled } else { Schedule::Plain };
        let subnet = SubnetSpec {
            kind: SubnetKind::Application,
            instructions: InstructionProfile::Production,
            cost_schedule: CostSchedule::Normal,
            admins: Vec::new(),
        };
        let subnets = vec![subnet; if case.callers_elsewhere { 2 } else { 1 }];
        let config = NetworkConfig { subnets, initial_time_nanos: None, seed: case.seed, schedule };
        let instance = Instance::new(config)?;
        let ids: Vec<Principal> = instance.topology().subnets.keys().copied().collect();
        let service_subnet = ids[0];
        let callers_subnet = *ids.last().expect("there is at least one subnet");
        let nobody = Principal::management_canister();
        let mut network = Self {
            instance,
            service,
            administrator: user(0),
            users: (1..=case.users as u8).map(user).collect(),
            callers: Vec::new(),
            router: nobody,
            service_subnet,
            callers_subnet,
            shards: Vec::new(),
            owners: BTreeMap::new(),
            hashes: Vec::new(),
            secret: None,
            written_off: BTreeSet::new(),
            leaving: None,
            round_nanos: 0,
            risked: 0,
        };
        let caller_module = caller::wasm();
        for _ in 0..case.callers {
            let canister = network.create(callers_subnet, CALLER_CYCLES)?;
            network.install(canister, CanisterInstallMode::Install, &caller_module, Vec::new())?;
            network.callers.push(canister);
        }
        let writers = network.clients().enumerate().filter(|(at, _)| !case.guests.contains(at));
        let arguments = InitArguments {
            initial_shards: Some(case.initial_shards),
            administrators: Some(vec![network.administrator]),
            writers: Some(writers.map(|(_, client)| client).collect()),
            readers: None,
            shard_cycles: Some(Nat::from(SHARD_CYCLES)),
            ..InitArguments::default()
        };
        network.router = network.make_router(&arguments)?;
        if case.uploads.policy != UploadPolicy::default() {
            network.set_upload_policy(case.uploads.policy)?;
        }
        Ok(network)
    }

    fn set_upload_policy(&mut self, policy: UploadPolicy) -> Result<(), SetUpFailure> {
        let arguments = SetPolicyArguments { uploads: Some(policy), ..SetPolicyArguments::default() };
        let message = self.submit(self.administrator, self.router, "set_policy", encode(&arguments));
        let reply = self.wait(&message.map_err(|error| error.message)?)?;
        match decode::<SetPolicyResult>(&reply) {
            Ok(Ok(_)) => Ok(()),
            other => Err(format!("the policy of uploads was answered {other:?}")),
        }
    }

    /// Makes a router.
    ///
    /// # Errors
    /// What failed.
    pub fn make_router(&mut self, arguments: &InitArguments) -> Result<Principal, SetUpFailure> {
        let router = self.create(self.service_subnet, ROUTER_CYCLES)?;
        self.install(router, CanisterInstallMode::Install, self.service.router, encode(arguments))?;
        Ok(router)
    }

    /// Lists the clients: people first, then canisters.
    pub fn clients(&self) -> impl Iterator<Item = Principal> + '_ {
        self.users.iter().chain(&self.callers).copied()
    }

    /// Sets how often each of the simulator's faults fires.
    pub fn set_rates(&mut self, rates: &BTreeMap<FaultName, u32>) {
        for (name, rate) in rates {
            if let Some(fault) = name.simulator() {
                self.instance.set_fault_rate(fault, *rate);
            }
        }
    }

    /// Switches the simulator's faults off.
    pub fn switch_faults_off(&mut self) {
        for name in FaultName::ALL {
            if let Some(fault) = name.simulator() {
                self.instance.set_fault_rate(fault, 0);
            }
        }
    }

    /// Tells how often a fault of the simulator fired.
    pub fn fired(&self, fault: Fault) -> u64 {
        self.instance.faults_fired(fault)
    }

    /// Moves the clock forward and runs one round.
    pub fn advance(&mut self, nanos: u64) {
        let time = self.instance.time_nanos() + nanos;
        self.instance.set_time(time).expect("time goes forward");
        self.instance.tick();
        self.round_nanos = self.instance.time_nanos();
    }

    /// Sends an ingress message.
    ///
    /// # Errors
    /// The refusal of the subnet, before anything ran.
    pub fn submit(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        payload: Vec<u8>,
    ) -> Result<MessageId, UserError> {
        self.submit_to(sender, canister, EffectivePrincipal::None, method, payload)
    }

    /// Asks the management canister about `canister`, as the administrator.
    ///
    /// # Errors
    /// The refusal of the subnet.
    pub fn manage(&mut self, canister: Principal, method: &str, payload: Vec<u8>) -> Result<MessageId, UserError> {
        let management = Principal::management_canister();
        let effective = EffectivePrincipal::CanisterId(canister);
        self.submit_to(self.administrator, management, effective, method, payload)
    }

    /// Starts or stops a canister, by the method's name.
    ///
    /// # Errors
    /// The refusal of the subnet.
    pub fn change_status(&mut self, canister: Principal, method: &str) -> Result<MessageId, UserError> {
        self.manage(canister, method, encode(&CanisterIdRecord { canister_id: canister }))
    }

    /// Installs or upgrades a canister of the service or a caller.
    ///
    /// # Errors
    /// The refusal of the subnet.
    pub fn submit_install(
        &mut self,
        canister: Principal,
        mode: CanisterInstallMode,
        module: &[u8],
        argument: Vec<u8>,
    ) -> Result<MessageId, UserError> {
        let arguments = InstallCodeArgs {
            mode,
            canister_id: canister,
            wasm_module: module.to_vec(),
            arg: argument,
            sender_canister_version: None,
        };
        self.manage(canister, "install_code", encode(&arguments))
    }

    fn submit_to(
        &mut self,
        sender: Principal,
        canister_id: Principal,
        effective: EffectivePrincipal,
        method: &str,
        payload: Vec<u8>,
    ) -> Result<MessageId, UserError> {
        let call = CanisterCall { sender, canister_id, effective, method: method.to_string(), payload };
        self.instance.submit_ingress(call).expect("the driver's calls make sense to the network")
    }

    /// Tells how a message ended; None while it is under way.
    pub fn answer(&self, message: &MessageId) -> Option<Result<Vec<u8>, UserError>> {
        match self.instance.ingress_status(message, None).expect("nobody in particular may ask for everything") {
            IngressStatus::Replied(reply) => Some(Ok(reply)),
            IngressStatus::Rejected(error) => Some(Err(error)),
            IngressStatus::Unknown | IngressStatus::Received | IngressStatus::Processing | IngressStatus::Done => None,
        }
    }

    /// Asks by query.
    ///
    /// # Errors
    /// The platform's reject.
    pub fn query(
        &mut self,
        sender: Principal,
        canister_id: Principal,
        method: &str,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, UserError> {
        let effective = EffectivePrincipal::None;
        let call = CanisterCall { sender, canister_id, effective, method: method.to_string(), payload };
        self.instance.query(call).expect("the driver's calls make sense to the network")
    }

    /// Asks the router how it is; None if it can't tell now.
    pub fn status(&mut self) -> Option<Status> {
        let reply = self.query(self.administrator, self.router, "status", encode_nothing()).ok()?;
        let status = decode::<StatusResult>(&reply).ok()?.ok()?;
        self.shards = status.shards.iter().filter_map(|shard| shard.canister).collect();
        self.written_off.extend(self.leaving.take_if(|shard| !self.shards.contains(shard)));
        Some(status)
    }

    /// Asks the router for its table; None if it can't tell now.
    pub fn routing_table(&mut self) -> Option<RoutingTable> {
        Some(self.ask_for_table()?.into_table())
    }

    fn ask_for_table(&mut self) -> Option<RoutingTableReply> {
        let reply = self.query(self.administrator, self.router, "routing_table", encode_nothing()).ok()?;
        decode::<RoutingTableResult>(&reply).ok()?.ok()
    }

    /// Learns the hashes of `keys`, unless they are known; tells whether they are.
    pub fn learn_hashes(&mut self, keys: &[Vec<u8>]) -> bool {
        if self.hashes.is_empty()
            && let Some(secret) = self.ask_for_table().and_then(|table| table.hash_secret())
        {
            self.hashes = keys.iter().map(|key| secret.hash(key)).collect();
            self.secret = Some(secret);
        }
        !self.hashes.is_empty()
    }

    /// Tells which shard owns a hash; None if that can't be told now.
    pub fn owner_of_hash(&mut self, hash: KeyHash) -> Option<Principal> {
        Some(self.routing_table()?.find(hash)?.shard)
    }

    /// Asks a shard what it is; None if it can't tell now.
    pub fn info(&mut self, shard: Principal) -> Option<ShardInfo> {
        let reply = self.query(self.administrator, shard, "info", encode_nothing()).ok()?;
        decode::<ShardInfoResult>(&reply).ok()?.ok()
    }

    /// Asks a shard for the record of a key, as an administrator may; None if it can't tell now.
    ///
    /// A value that is longer than a record is told by its length.
    pub fn get_from_shard(&mut self, shard: Principal, key: &[u8]) -> Option<ShardGetResult> {
        let arguments = GetArguments::new(key.to_vec());
        match self.ask_shard(shard, &arguments)? {
            Err(ShardError::AskAgain { .. }) => {
                self.ask_shard(shard, &GetArguments { include_value: Some(false), ..arguments })
            }
            answer => Some(answer),
        }
    }

    fn ask_shard(&mut self, shard: Principal, arguments: &GetArguments) -> Option<ShardGetResult> {
        let reply = self.query(self.administrator, shard, "get_query", encode(arguments)).ok()?;
        decode(&reply).ok()
    }

    /// Tells which shard answers for a key; None if that can't be told now. Once told it is kept, as clients do, until a
    /// shard says otherwise.
    pub fn owner(&mut self, key: &[u8]) -> Option<Principal> {
        if let Some(owner) = self.owners.get(key) {
            return Some(*owner);
        }
        let shards = self.shards.clone();
        let owner = shards.into_iter().find(|shard| matches!(self.get_from_shard(*shard, key), Some(Ok(_))))?;
        self.owners.insert(key.to_vec(), owner);
        Some(owner)
    }

    /// Forgets which shard answers for a key.
    pub fn forget_owner(&mut self, key: &[u8]) {
        self.owners.remove(key);
    }

    /// Tells which of some shards serve a key now.
    pub fn who_serves(&mut self, shards: &[Principal], key: &[u8]) -> Vec<Principal> {
        let arguments = GetArguments { include_value: Some(false), ..GetArguments::new(key.to_vec()) };
        let arguments = encode(&arguments);
        let mut serving = Vec::new();
        for shard in shards {
            let reply = self.query(self.administrator, *shard, "get_query", arguments.clone());
            if reply.is_ok_and(|reply| matches!(decode::<ShardGetResult>(&reply), Ok(Ok(_)))) {
                serving.push(*shard);
            }
        }
        serving
    }

    /// Burns what a canister has, but for what its storage needs.
    pub fn burn_cycles(&mut self, canister: Principal) {
        self.instance.burn_cycles(&canister, CYCLES_LEFT);
    }

    /// Tops a canister up to `target`.
    pub fn top_up(&mut self, canister: Principal, target: u128) {
        if let Some(balance) = self.instance.cycles(&canister) {
            self.instance.add_cycles(&canister, target.saturating_sub(balance));
        }
    }

    /// Canisters that aren't shards, or that nobody asks for any more.
    pub fn others(&self) -> BTreeSet<Principal> {
        self.callers.iter().copied().chain([self.router]).chain(self.written_off.iter().copied()).collect()
    }

    /// Sums all cycles of the network.
    pub fn books(&self) -> Books {
        let CyclesBooks { minted, balances, in_flight, spent, lost } = self.instance.cycles_books();
        Books { given: minted, balances, in_flight, spent, lost, risked: self.risked }
    }

    fn create(&mut self, subnet: Principal, cycles: u128) -> Result<Principal, SetUpFailure> {
        let arguments = ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(Nat::from(cycles)),
            settings: None,
            specified_id: None,
            sender_canister_version: None,
        };
        let management = Principal::management_canister();
        let effective = EffectivePrincipal::SubnetId(subnet);
        let method = "provisional_create_canister_with_cycles";
        let message = self
            .submit_to(self.administrator, management, effective, method, encode(&arguments))
            .map_err(|error| error.message)?;
        let reply = self.wait(&message)?;
        let created: CanisterIdRecord = candid::decode_one(&reply).map_err(|error| error.to_string())?;
        Ok(created.canister_id)
    }

    /// Installs code and waits for it.
    ///
    /// # Errors
    /// The platform's reject.
    pub fn install(
        &mut self,
        canister: Principal,
        mode: CanisterInstallMode,
        module: &[u8],
        argument: Vec<u8>,
    ) -> Result<(), SetUpFailure> {
        let message = self.submit_install(canister, mode, module, argument).map_err(|error| error.message)?;
        self.wait(&message).map(|_| ())
    }

    /// Runs rounds until a message is answered.
    ///
    /// # Errors
    /// The platform's reject, or that no answer came.
    pub fn wait(&mut self, message: &MessageId) -> Result<Vec<u8>, SetUpFailure> {
        let answered = self.instance.await_ingress(message).map_err(|refusal| refusal.0)?;
        answered.map_err(|error| format!("{}: {}", error.code, error.message))
    }
}

/// Encodes the arguments of a method without parameters.
pub fn encode_nothing() -> Vec<u8> {
    candid::encode_args(()).expect("nothing is easily encoded")
}

/// Returns a person's principal: self-authenticating in form, so that no canister has it.
fn user(number: u8) -> Principal {
    let mut bytes = [number; 29];
    bytes[0] = b'u';
    bytes[28] = 2;
    Principal::from_slice(&bytes)
}
