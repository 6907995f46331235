//! The only fixture: a router with its shards on an instance of its own, and the calls to them.

use std::rc::Rc;
use std::time::Duration;

use candid::{CandidType, Nat, Principal};
use canopy_types::api::{ResolveAlarmArguments, ResolveAlarmResult, RoutingTableResult};
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult};
use canopy_types::roles::{Grant, GrantResult, RevokeResult, Roles, RolesResult};
use canopy_types::shard::{ShardGetResult, ShardInfo, ShardInfoResult};
use canopy_types::status::{Status, StatusResult};
use canopy_types::{
    DeleteArguments, DeleteResult, GetArguments, GetResult, InitArguments, PutArguments, PutResult, Record,
    RoutingTable, Version,
};
use ic_management_canister_types::{CanisterInstallMode, InstallCodeArgs};
use pocket_ic::common::rest::{RawEffectivePrincipal, RawMessageId};
use pocket_ic::{CanisterSettings, CreateCanisterParams, ErrorCode, PocketIc, RejectResponse};
use serde::de::DeserializeOwned;

use crate::people::{administrator, owner, reader, writer};
use crate::{relay, server};

/// One trillion cycles.
pub const T: u128 = 1_000_000_000_000;

/// Cycles that the platform takes for a new canister on a subnet of 13 nodes.
pub const CREATION_FEE_CYCLES: u128 = T / 2;

/// Seconds that a canister must be able to live on, unless its settings say otherwise.
pub const FREEZING_THRESHOLD_DEFAULT_SECONDS: u64 = 2_592_000;

/// Cycles of a router, unless a test says otherwise: enough for 64 shards.
const ROUTER_CYCLES: u128 = 1_000 * T;

/// More than the router's own work costs in any test, and less than a canister.
const WORK_CYCLES_MAX: u128 = CREATION_FEE_CYCLES / 2;

/// Turns after which waiting fails.
const TURNS_MAX: usize = 600;

/// What all of a computer costs a canister on 13 nodes, in cycles per second.
const COMPUTE_CYCLES_PER_SECOND: u128 = 1_000_000_000;

/// Attempts to install while the platform says that too much was installed lately.
const INSTALL_ATTEMPTS_MAX: usize = 20;

/// What an answer to a raw call is.
pub type Reply = Result<Vec<u8>, RejectResponse>;

/// How the world goes on between two looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How far the clock is put forward.
    pub time: Duration,
    /// Rounds that are run then.
    pub rounds: usize,
}

impl Pace {
    /// For waiting.
    pub const BRISK: Self = Self { time: Duration::from_millis(500), rounds: 5 };
    /// For stopping at a certain moment.
    pub const ROUND_BY_ROUND: Self = Self { time: Duration::ZERO, rounds: 1 };
    /// For what is retried with growing delays.
    pub const MINUTES: Self = Self { time: Duration::from_secs(300), rounds: 6 };
}

/// What a cluster is made of.
pub struct ClusterBuilder {
    instance: Option<Rc<PocketIc>>,
    arguments: InitArguments,
    raw_arguments: Option<Vec<u8>>,
    router_wasm: Vec<u8>,
    router_cycles: u128,
    relay: Relay,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relay {
    None,
    Stranger,
    Reader,
    Writer,
}

/// A router with its shards.
pub struct Cluster {
    /// The instance, which belongs to this cluster unless the builder was given one.
    pub pic: Rc<PocketIc>,
    /// The router's canister, controlled by [`owner`].
    pub router: Principal,
    relay: Option<Principal>,
}

impl ClusterBuilder {
    /// Uses `instance` instead of a new one.
    pub fn instance(mut self, instance: Rc<PocketIc>) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Asks for `count` shards.
    pub fn initial_shards(mut self, count: u32) -> Self {
        self.arguments.initial_shards = Some(count);
        self
    }

    /// Names administrators in place of [`administrator`]; the default of the router when `None`.
    pub fn administrators(mut self, administrators: Option<Vec<Principal>>) -> Self {
        self.arguments.administrators = administrators;
        self
    }

    /// Names writers in place of [`writer`].
    pub fn writers(mut self, writers: Vec<Principal>) -> Self {
        self.arguments.writers = Some(writers);
        self
    }

    /// Names readers in place of [`reader`].
    pub fn readers(mut self, readers: Vec<Principal>) -> Self {
        self.arguments.readers = Some(readers);
        self
    }

    /// Gives the router `cycles` before it is installed.
    pub fn cycles(mut self, cycles: u128) -> Self {
        self.router_cycles = cycles;
        self
    }

    /// Has every shard made with `cycles`.
    pub fn shard_cycles(mut self, cycles: u128) -> Self {
        self.arguments.shard_cycles = Some(Nat::from(cycles));
        self
    }

    /// Installs `wasm` in place of the current router.
    pub fn router_wasm(mut self, wasm: Vec<u8>) -> Self {
        self.router_wasm = wasm;
        self
    }

    /// Installs the router with `bytes` as its argument.
    pub fn raw_arguments(mut self, bytes: Vec<u8>) -> Self {
        self.raw_arguments = Some(bytes);
        self
    }

    /// Adds a relay canister without a role.
    pub fn relay_without_role(mut self) -> Self {
        self.relay = Relay::Stranger;
        self
    }

    /// Adds a relay canister that may get.
    pub fn relay_as_reader(mut self) -> Self {
        self.relay = Relay::Reader;
        self
    }

    /// Adds a relay canister that may put, get and delete.
    pub fn relay_as_writer(mut self) -> Self {
        self.relay = Relay::Writer;
        self
    }

    /// Installs the router.
    ///
    /// # Errors
    ///
    /// The platform's reject when the router refuses its arguments.
    pub fn try_deploy(mut self) -> Result<Cluster, RejectResponse> {
        let pic = self.instance.take().unwrap_or_else(|| Rc::new(server::instance()));
        let relay = (self.relay != Relay::None).then(|| {
            let canister = pic.create_canister();
            pic.install_canister(canister, relay::wasm(), vec![], None);
            canister
        });
        match self.relay {
            Relay::None | Relay::Stranger => {}
            Relay::Reader => self.arguments.readers.get_or_insert_default().extend(relay),
            Relay::Writer => self.arguments.writers.get_or_insert_default().extend(relay),
        }
        let router = create_canister(&pic, self.router_cycles);
        let cluster = Cluster { pic, router, relay };
        let arguments = self.raw_arguments.unwrap_or_else(|| encode(&self.arguments));
        cluster.install(router, owner(), CanisterInstallMode::Install, self.router_wasm, arguments)?;
        Ok(cluster)
    }

    /// Installs the router, which has just begun to make its shards.
    pub fn deploy(self) -> Cluster {
        self.try_deploy().expect("the router accepts these arguments")
    }

    /// Installs the router and waits until it serves.
    pub fn ready(self) -> Cluster {
        let cluster = self.deploy();
        cluster.wait_until_ready();
        cluster
    }
}

impl Cluster {
    /// Begins a cluster with one [`administrator`], one [`writer`] and one [`reader`].
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            instance: None,
            arguments: InitArguments {
                administrators: Some(vec![administrator()]),
                writers: Some(vec![writer()]),
                readers: Some(vec![reader()]),
                ..InitArguments::default()
            },
            raw_arguments: None,
            router_wasm: canopy_artifacts::ROUTER_WASM.to_vec(),
            router_cycles: ROUTER_CYCLES,
            relay: Relay::None,
        }
    }

    /// Shows the same network with another router.
    pub fn with_router(&self, router: Principal) -> Self {
        Self { pic: self.pic.clone(), router, relay: self.relay }
    }

    /// Waits until the router serves; fails after a bounded number of turns with its status.
    pub fn wait_until_ready(&self) -> Status {
        self.wait("ready", Pace::BRISK, |status| status.ready)
    }

    /// Waits until `satisfied`; fails after a bounded number of turns with the last status.
    pub fn wait(&self, what: &str, pace: Pace, satisfied: impl Fn(&Status) -> bool) -> Status {
        for _ in 0..TURNS_MAX {
            let status = self.status();
            if satisfied(&status) {
                return status;
            }
            self.turn(pace);
        }
        panic!("the router is not {what} after {TURNS_MAX} turns: {:#?}", self.status());
    }

    /// Lets the world go on once.
    pub fn turn(&self, pace: Pace) {
        if !pace.time.is_zero() {
            self.pic.advance_time(pace.time);
        }
        for _ in 0..pace.rounds {
            self.pic.tick();
        }
    }

    // Operations ----------------------------------------------------------------------------------------------------

    /// Calls `put`.
    pub fn put(&self, caller: Principal, key: &[u8], value: &[u8]) -> PutResult {
        self.update(self.router, caller, "put", &put_arguments(key, value))
    }

    /// Calls `get`.
    pub fn get(&self, caller: Principal, key: &[u8]) -> GetResult {
        self.update(self.router, caller, "get", &get_arguments(key))
    }

    /// Calls the composite query.
    pub fn get_query(&self, caller: Principal, key: &[u8]) -> GetResult {
        self.query(self.router, caller, "get_query", &get_arguments(key))
    }

    /// Calls `delete`.
    pub fn delete(&self, caller: Principal, key: &[u8]) -> DeleteResult {
        self.update(self.router, caller, "delete", &DeleteArguments::new(key.to_vec()))
    }

    /// Puts as [`writer`] and expects success.
    pub fn store(&self, key: &[u8], value: &[u8]) -> Version {
        self.put(writer(), key, value).expect("a writer's put is done").version
    }

    /// Gets as [`reader`], by update and by composite query, and expects that they agree.
    pub fn load(&self, key: &[u8]) -> Option<Record> {
        let updated = self.get(reader(), key).expect("a reader's get is answered");
        let queried = self.get_query(reader(), key).expect("a reader's query is answered");
        assert_eq!(updated, queried, "get and get_query disagree about {key:?}");
        updated
    }

    /// Deletes as [`writer`] and expects success.
    pub fn remove(&self, key: &[u8]) -> Option<Version> {
        self.delete(writer(), key).expect("a writer's delete is done").deleted
    }

    /// Submits a put of [`writer`] without running a round.
    pub fn submit_put(&self, key: &[u8], value: &[u8]) -> RawMessageId {
        self.pic
            .submit_call(self.router, writer(), "put", encode(&put_arguments(key, value)))
            .expect("a writer's put is accepted")
    }

    /// Runs rounds until a submitted put is answered.
    pub fn await_put(&self, message: RawMessageId) -> PutResult {
        let reply = self.pic.await_call(message).expect("a put is answered, not rejected");
        decode(&reply).expect("a put answers what its interface says")
    }

    // State ---------------------------------------------------------------------------------------------------------

    /// Reads the router's status as [`owner`].
    pub fn status(&self) -> Status {
        let result: StatusResult = self.query_nothing(self.router, owner(), "status");
        result.expect("a controller may read the status")
    }

    /// Reads the routing table as [`reader`].
    pub fn routing_table(&self) -> RoutingTable {
        self.routing_table_as(reader()).expect("a reader may read the routing table").into_table()
    }

    /// Reads the routing table with what else is told.
    pub fn routing_table_as(&self, caller: Principal) -> RoutingTableResult {
        self.query_nothing(self.router, caller, "routing_table")
    }

    /// Gives a role, as [`owner`].
    pub fn grant(&self, grant: &Grant) -> GrantResult {
        self.update(self.router, owner(), "grant", grant)
    }

    /// Takes a role away, as [`owner`].
    pub fn revoke(&self, grant: &Grant) -> RevokeResult {
        self.update(self.router, owner(), "revoke", grant)
    }

    /// Changes the policy, as [`owner`].
    pub fn set_policy(&self, arguments: &SetPolicyArguments) -> SetPolicyResult {
        self.update(self.router, owner(), "set_policy", arguments)
    }

    /// Lists all grants, as [`owner`].
    pub fn roles(&self) -> Roles {
        let result: RolesResult = self.query_nothing(self.router, owner(), "roles");
        result.expect("a controller may read the roles")
    }

    /// Calls `resolve_alarm`.
    pub fn resolve_alarm(&self, caller: Principal, arguments: &ResolveAlarmArguments) -> ResolveAlarmResult {
        self.update(self.router, caller, "resolve_alarm", arguments)
    }

    /// Lists the shards' canisters in order of their index.
    pub fn shards(&self) -> Vec<Principal> {
        self.status().shards.iter().filter_map(|shard| shard.canister).collect()
    }

    /// Reads what a shard says about itself, as [`administrator`].
    pub fn info(&self, shard: Principal) -> ShardInfo {
        let result: ShardInfoResult = self.query_nothing(shard, administrator(), "info");
        result.expect("an administrator may ask a shard")
    }

    /// Asks a shard for a record, as [`administrator`].
    pub fn get_from_shard(&self, shard: Principal, key: &[u8]) -> ShardGetResult {
        self.query(shard, administrator(), "get_query", &get_arguments(key))
    }

    /// Waits until every shard holds the router's newest word about roles.
    pub fn wait_until_told(&self) {
        let version = self.roles().version;
        for _ in 0..TURNS_MAX {
            let shards = self.shards();
            if shards.iter().all(|&shard| self.info(shard).roles.is_some_and(|held| held.version == version)) {
                return;
            }
            self.turn(Pace::BRISK);
        }
        panic!("the shards don't hold version {version} after {TURNS_MAX} turns: {:#?}", self.status().roles);
    }

    /// Finds a key that is held by `shard`, and stores `value` under it.
    pub fn store_on(&self, shard: Principal, value: &[u8]) -> Vec<u8> {
        const KEYS_MAX: u32 = 2_000;
        for number in 0..KEYS_MAX {
            let key = format!("key {number} of {shard}").into_bytes();
            self.store(&key, value);
            if matches!(self.get_from_shard(shard, &key), Ok(Some(_))) {
                return key;
            }
            self.remove(&key);
        }
        panic!("none of {KEYS_MAX} keys belongs to {shard}");
    }

    // Life cycle ----------------------------------------------------------------------------------------------------

    /// Stops `canister` as `caller`.
    pub fn stop(&self, canister: Principal, caller: Principal) {
        self.pic.stop_canister(canister, Some(caller)).expect("a controller may stop a canister");
    }

    /// Starts `canister` as `caller`.
    pub fn start(&self, canister: Principal, caller: Principal) {
        self.pic.start_canister(canister, Some(caller)).expect("a controller may start a canister");
    }

    /// Upgrades the router to `wasm` as it stands, without stopping it.
    ///
    /// # Errors
    ///
    /// The platform's reject, when the upgrade was undone.
    pub fn upgrade_router_running(&self, wasm: &[u8]) -> Result<(), RejectResponse> {
        self.install(self.router, owner(), CanisterInstallMode::Upgrade(None), wasm.to_vec(), vec![])
    }

    /// Stops, upgrades and starts the router.
    pub fn upgrade_router(&self, wasm: &[u8]) {
        self.stop(self.router, owner());
        self.upgrade_router_running(wasm).expect("a stopped router can be upgraded");
        self.start(self.router, owner());
    }

    /// Stops, upgrades and starts a shard as [`administrator`].
    pub fn upgrade_shard(&self, shard: Principal, wasm: &[u8]) {
        self.stop(shard, administrator());
        self.install(shard, administrator(), CanisterInstallMode::Upgrade(None), wasm.to_vec(), vec![])
            .expect("a stopped shard can be upgraded");
        self.start(shard, administrator());
    }

    /// Installs code; waits while the platform says that too much was installed lately.
    ///
    /// # Errors
    ///
    /// The platform's reject.
    pub fn install(
        &self,
        canister: Principal,
        caller: Principal,
        mode: CanisterInstallMode,
        wasm: Vec<u8>,
        argument: Vec<u8>,
    ) -> Result<(), RejectResponse> {
        let arguments = InstallCodeArgs {
            mode,
            canister_id: canister,
            wasm_module: wasm,
            arg: argument,
            sender_canister_version: None,
        };
        let arguments = candid::encode_one(arguments).expect("the management canister's types encode");
        let mut attempt = 1;
        loop {
            let result = self.pic.update_call_with_effective_principal(
                Principal::management_canister(),
                RawEffectivePrincipal::CanisterId(canister.as_slice().to_vec()),
                caller,
                "install_code",
                arguments.clone(),
            );
            match result {
                Err(reject) if is_rate_limited(&reject) && attempt < INSTALL_ATTEMPTS_MAX => {
                    attempt += 1;
                    self.turn(Pace::BRISK);
                }
                result => return result.map(drop),
            }
        }
    }

    /// Changes how many seconds `canister` must be able to live on.
    pub fn set_freezing_threshold(&self, canister: Principal, caller: Principal, seconds: u64) {
        let settings = CanisterSettings { freezing_threshold: Some(Nat::from(seconds)), ..CanisterSettings::default() };
        self.set(canister, caller, settings);
    }

    /// Raises the router's freezing threshold until it can spend about `cycles`.
    pub fn leave_spendable(&self, cycles: u128) {
        self.set_freezing_threshold(self.router, owner(), FREEZING_THRESHOLD_DEFAULT_SECONDS);
        let status = self.status();
        let (balance, liquid) = (cycles_of(&status.cycles), cycles_of(&status.liquid_cycles));
        assert!(balance > liquid, "the default threshold sets something aside: {balance} and {liquid}");
        let seconds = (balance - cycles) * u128::from(FREEZING_THRESHOLD_DEFAULT_SECONDS) / (balance - liquid);
        self.set_freezing_threshold(self.router, owner(), u64::try_from(seconds).expect("a few thousand years fit"));
    }

    /// Has a shard pay for computing that it doesn't use, until it can spend about `cycles`.
    pub fn burn_until(&self, shard: Principal, cycles: u128) {
        let compute = |percent: u64| CanisterSettings {
            compute_allocation: Some(Nat::from(percent)),
            ..CanisterSettings::default()
        };
        let reading = self.info(shard).reading.expect("this shard measures itself");
        let seconds = (cycles_of(&reading.liquid_cycles) - cycles) / COMPUTE_CYCLES_PER_SECOND;
        // It need not be able to pay for a month of that.
        self.set_freezing_threshold(shard, administrator(), 0);
        self.set(shard, administrator(), compute(100));
        let seconds = u64::try_from(seconds).expect("a few hours fit");
        self.turn(Pace { time: Duration::from_secs(seconds), rounds: 3 });
        self.set(shard, administrator(), compute(0));
        self.set_freezing_threshold(shard, administrator(), FREEZING_THRESHOLD_DEFAULT_SECONDS);
    }

    /// Changes how much memory `canister` is promised and may not exceed, in bytes; 0 for as much as there is.
    pub fn set_memory_allocation(&self, canister: Principal, caller: Principal, bytes: u64) {
        let settings = CanisterSettings { memory_allocation: Some(Nat::from(bytes)), ..CanisterSettings::default() };
        self.set(canister, caller, settings);
    }

    fn set(&self, canister: Principal, caller: Principal, settings: CanisterSettings) {
        self.pic
            .update_canister_settings(canister, Some(caller), settings)
            .expect("a controller may change the settings of a canister");
    }

    /// Checks that the router has paid for `shards` shards with `shard_cycles` each out of `given`, and besides only
    /// for its own work: no canister was created and forgotten.
    pub fn check_nothing_leaked(&self, given: u128, shards: u128, shard_cycles: u128) {
        let spent = given - self.pic.cycle_balance(self.router);
        let price = shards * (CREATION_FEE_CYCLES + shard_cycles);
        assert!(
            (price..price + WORK_CYCLES_MAX).contains(&spent),
            "the router spent {spent}, and {shards} shards cost {price}"
        );
    }

    // Calls ---------------------------------------------------------------------------------------------------------

    /// Calls an update method and decodes its reply.
    pub fn update<A: CandidType, R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        caller: Principal,
        method: &str,
        argument: &A,
    ) -> R {
        let reply = self.update_raw(canister, caller, method, encode(argument));
        decode_reply(method, reply)
    }

    /// Calls a query method and decodes its reply.
    pub fn query<A: CandidType, R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        caller: Principal,
        method: &str,
        argument: &A,
    ) -> R {
        let reply = self.query_raw(canister, caller, method, encode(argument));
        decode_reply(method, reply)
    }

    /// Calls a query method without parameters and decodes its reply.
    fn query_nothing<R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        caller: Principal,
        method: &str,
    ) -> R {
        decode_reply(method, self.query_raw(canister, caller, method, no_arguments()))
    }

    /// Calls an update method with `argument` as it is.
    pub fn update_raw(&self, canister: Principal, caller: Principal, method: &str, argument: Vec<u8>) -> Reply {
        self.pic.update_call(canister, caller, method, argument)
    }

    /// Calls a query method with `argument` as it is.
    pub fn query_raw(&self, canister: Principal, caller: Principal, method: &str, argument: Vec<u8>) -> Reply {
        self.pic.query_call(canister, caller, method, argument)
    }

    /// Has the relay call a method, past `canister_inspect_message`.
    pub fn call_through_relay(&self, callee: Principal, method: &str, argument: &[u8]) -> Reply {
        self.pic.update_call(self.relay(), stranger_to_the_relay(), "call", relay::argument(callee, method, argument))
    }

    /// Gives the relay's canister, which the builder was asked for.
    pub fn relay(&self) -> Principal {
        self.relay.expect("the builder was asked for a relay")
    }
}

impl Drop for Cluster {
    /// Has the simulator check that cycles, queues and open calls add up after whatever the test did.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            server::check_invariants(&self.pic);
        }
    }
}

/// Reads an amount of cycles.
pub fn cycles_of(amount: &Nat) -> u128 {
    u128::try_from(&amount.0).expect("the platform counts cycles in 128 bits")
}

/// Makes the arguments of `put`.
pub fn put_arguments(key: &[u8], value: &[u8]) -> PutArguments {
    PutArguments::new(key.to_vec(), value.to_vec())
}

/// Makes the arguments of `get` and `get_query`.
pub fn get_arguments(key: &[u8]) -> GetArguments {
    GetArguments::new(key.to_vec())
}

/// Encodes no arguments.
pub fn no_arguments() -> Vec<u8> {
    candid::encode_args(()).expect("nothing encodes")
}

/// Creates an empty canister of [`owner`].
pub fn create_canister(pic: &PocketIc, cycles: u128) -> Principal {
    let parameters = CreateCanisterParams { cycles: Some(cycles), ..CreateCanisterParams::default() };
    pic.create_canister_with_params(Some(owner()), parameters).expect("the subnet has room for a canister")
}

fn decode_reply<R: CandidType + DeserializeOwned>(method: &str, reply: Reply) -> R {
    let reply = reply.unwrap_or_else(|reject| panic!("{method} was rejected: {reject}"));
    decode(&reply).unwrap_or_else(|error| panic!("{method} answered something else: {error:?}"))
}

fn is_rate_limited(reject: &RejectResponse) -> bool {
    reject.error_code == ErrorCode::CanisterInstallCodeRateLimited
}

/// The relay serves everybody.
fn stranger_to_the_relay() -> Principal {
    Principal::anonymous()
}
