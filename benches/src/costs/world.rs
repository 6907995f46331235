//! A network with a router, its shards, and somebody outside who may write.

use candid::{CandidType, Nat, Principal};
use canopy_artifacts::ROUTER_WASM;
use canopy_simulator::chance::Schedule;
use canopy_simulator::event_log::Event;
use canopy_simulator::instance::{
    CanisterCall, CostSchedule, EffectivePrincipal, IngressStatus, Instance, InstructionProfile, MessageId,
    NetworkConfig, SubnetKind, SubnetSpec,
};
use canopy_types::InitArguments;
use canopy_types::codec::{decode, encode};
use canopy_types::status::{Status, StatusResult};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};
use serde::de::DeserializeOwned;

/// Cycles of the router: enough for its shards and all that is measured.
const ROUTER_CYCLES: u128 = 1_000_000_000_000_000;
/// Rounds within which a message must be answered, and seconds within which a router must be ready.
const ROUNDS_MAX: u64 = 100;
const SECONDS_MAX: usize = 200;
const SECOND_NANOSECONDS: u64 = 1_000_000_000;
/// Seconds for which timers run when the network comes to rest.
const REST_SECONDS: usize = 5;

/// What some messages used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub router_instructions: u64,
    pub shard_instructions: u64,
    /// Of router and shards together.
    pub cycles: u128,
    /// Executions in router and shards: methods and callbacks.
    pub messages: u64,
    pub rounds: u64,
    /// Pages of the heap; the router's stable memory is not touched.
    pub router_pages: u64,
    /// Pages of heaps and stable memories.
    pub shard_pages: u64,
}

impl Used {
    /// Tells what was used since `before`, which was summed up earlier; of cycles, what is gone.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            router_instructions: self.router_instructions - before.router_instructions,
            shard_instructions: self.shard_instructions - before.shard_instructions,
            cycles: before.cycles - self.cycles,
            messages: self.messages - before.messages,
            rounds: self.rounds - before.rounds,
            router_pages: self.router_pages - before.router_pages,
            shard_pages: self.shard_pages - before.shard_pages,
        }
    }
}

/// The network.
pub struct World {
    instance: Instance,
    /// Who calls.
    pub caller: Principal,
    /// Rounds in which a message was waited for.
    rounds: u64,
    pub router: Principal,
    pub shards: Vec<Principal>,
}

impl World {
    /// Makes a network of one subnet and a router with this many shards, ready to be called.
    pub fn new(shards: u32) -> Self {
        let subnet = SubnetSpec {
            kind: SubnetKind::Application,
            instructions: InstructionProfile::Production,
            cost_schedule: CostSchedule::Normal,
            admins: vec![],
        };
        let config =
            NetworkConfig { subnets: vec![subnet], initial_time_nanos: None, seed: 1, schedule: Schedule::Plain };
        let instance = Instance::new(config).expect("one subnet makes a network");
        let caller = Principal::self_authenticating(b"writer");
        let mut world = Self { instance, caller, rounds: 0, router: Principal::anonymous(), shards: vec![] };
        let arguments = InitArguments {
            initial_shards: Some(shards),
            writers: Some(vec![world.caller]),
            ..InitArguments::default()
        };
        world.router = world.install(ROUTER_WASM, encode(&arguments));
        for _ in 0..SECONDS_MAX {
            world.pass_second();
            let status = world.status();
            if status.ready {
                let canister = |shard: &canopy_types::status::ShardStatus| shard.canister;
                world.shards = status.shards.iter().filter_map(canister).collect();
                assert_eq!(world.shards.len(), shards as usize, "{status:?}");
                return world;
            }
        }
        panic!("the router isn't ready after {SECONDS_MAX} seconds");
    }

    /// Asks the router how it is.
    pub fn status(&mut self) -> Status {
        self.query::<StatusResult>(self.router, "status").expect("a writer may read the status")
    }

    /// Queries a method that takes nothing.
    pub fn query<R: CandidType + DeserializeOwned>(&mut self, canister: Principal, method: &str) -> R {
        let call = self.message(canister, method, candid::encode_args(()).expect("nothing can be encoded"));
        let reply = self.instance.query(call).expect("the call makes sense");
        let reply = reply.unwrap_or_else(|error| panic!("{method}: {}", error.message));
        decode(&reply).unwrap_or_else(|error| panic!("{method} answered something else: {error:?}"))
    }

    fn install(&mut self, wasm: &[u8], argument: Vec<u8>) -> Principal {
        let arguments = ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(Nat::from(ROUTER_CYCLES)),
            settings: None,
            specified_id: None,
            sender_canister_version: None,
        };
        let management = Principal::management_canister();
        let create = self.message(management, "provisional_create_canister_with_cycles", encode(&arguments));
        let created = self.answer(create);
        let canister_id = decode::<CanisterIdRecord>(&created).expect("a canister was created").canister_id;
        let arguments = InstallCodeArgs {
            mode: CanisterInstallMode::Install,
            canister_id,
            wasm_module: wasm.to_vec(),
            arg: argument,
            sender_canister_version: None,
        };
        let install = self.message(management, "install_code", encode(&arguments));
        self.answer(CanisterCall { effective: EffectivePrincipal::CanisterId(canister_id), ..install });
        canister_id
    }

    /// Calls a method and waits for what it answers.
    pub fn call<R: CandidType + DeserializeOwned>(&mut self, canister: Principal, method: &str, payload: Vec<u8>) -> R {
        let call = self.message(canister, method, payload);
        decode(&self.answer(call)).unwrap_or_else(|error| panic!("{method} answered something else: {error:?}"))
    }

    /// Sends a message without waiting for anything.
    pub fn submit(&mut self, canister: Principal, method: &str, payload: Vec<u8>) -> MessageId {
        let call = self.message(canister, method, payload);
        let accepted = self.instance.submit_ingress(call).expect("the call makes sense");
        accepted.unwrap_or_else(|error| panic!("{method}: {}", error.message))
    }

    /// Tells what a message was answered; `None` while it is under way.
    pub fn reply(&self, message: &MessageId) -> Option<Vec<u8>> {
        match self.instance.ingress_status(message, None).expect("everybody may ask") {
            IngressStatus::Replied(reply) => Some(reply),
            IngressStatus::Rejected(error) => panic!("{}", error.message),
            _ => None,
        }
    }

    /// Puts the clock forward and runs a round.
    pub fn round(&mut self, nanoseconds: u64) {
        let time = self.instance.time_nanos() + nanoseconds;
        self.instance.set_time(time).expect("time goes forward");
        self.instance.tick();
    }

    fn message(&self, canister_id: Principal, method: &str, payload: Vec<u8>) -> CanisterCall {
        let effective = EffectivePrincipal::None;
        CanisterCall { sender: self.caller, canister_id, effective, method: method.to_string(), payload }
    }

    fn answer(&mut self, call: CanisterCall) -> Vec<u8> {
        let method = call.method.clone();
        let accepted = self.instance.submit_ingress(call).expect("the call makes sense");
        let message = accepted.unwrap_or_else(|error| panic!("{method}: {}", error.message));
        for _ in 0..=ROUNDS_MAX {
            match self.instance.ingress_status(&message, None).expect("everybody may ask") {
                IngressStatus::Replied(reply) => return reply,
                IngressStatus::Rejected(error) => panic!("{method}: {}", error.message),
                _ => {
                    self.instance.tick();
                    self.rounds += 1;
                }
            }
        }
        panic!("{method}: no answer after {ROUNDS_MAX} rounds")
    }

    /// Nanoseconds since 1970.
    pub fn now(&self) -> u64 {
        self.instance.time_nanos()
    }

    /// Calls a method, waits for the reply, and tells what that took.
    pub fn measure(&mut self, canister: Principal, method: &str, payload: Vec<u8>) -> (Used, Vec<u8>) {
        let before = self.used();
        let call = self.message(canister, method, payload);
        let reply = self.answer(call);
        (self.used().since(&before), reply)
    }

    /// Sums since the beginning; of cycles, what is left.
    pub fn used(&self) -> Used {
        let events = self.instance.events();
        let router = events.counters(&self.router);
        let mut used = Used {
            router_instructions: router.instructions,
            router_pages: router.pages_dirtied,
            messages: router.messages,
            rounds: self.rounds,
            ..Used::default()
        };
        for shard in &self.shards {
            let counters = events.counters(shard);
            used.shard_instructions += counters.instructions;
            used.shard_pages += counters.pages_dirtied;
            used.messages += counters.messages;
        }
        let all = self.shards.iter().chain([&self.router]);
        used.cycles = all.map(|canister| self.instance.cycles(canister).expect("it exists")).sum();
        used
    }

    /// Lists the last executions, the oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.instance.events().recent()
    }

    /// Tells the sequence number of the next execution.
    pub fn next_event(&self) -> u64 {
        self.events().last().map_or(0, |event| event.sequence + 1)
    }

    /// Lets timers run, so that none does while something is measured.
    pub fn rest(&mut self) {
        for _ in 0..REST_SECONDS {
            self.pass_second();
        }
    }

    fn pass_second(&mut self) {
        self.round(SECOND_NANOSECONDS);
    }
}
