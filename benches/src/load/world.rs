//! A network with a service on one subnet, and canisters on others that put load on it.

use std::time::Duration;

use candid::Principal;
use canopy_bench_driver::{Plan, Tally};
use canopy_types::api::RoutingTableResult;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult};
use canopy_types::shard::ShardInitArguments;
use canopy_types::status::{ShardStatus, StatusResult};
use canopy_types::{Epoch, HashRange, InitArguments, Route, RoutingTableReply, ShardIndex};
use pocket_ic::PocketIc;
use serde_bytes::ByteBuf;

use super::cells::{Service, State};
use crate::network;

/// Cycles of each canister, so that none ever waits for them.
const CYCLES: u128 = 1_000_000_000_000_000_000;
/// Seconds within which a router must be ready: it makes its shards one after the other.
const READY_SECONDS_MAX: u32 = 1_000;
/// Between two cells so much time passes, a minute at a time, so that receipts end.
const REST_MINUTES: u32 = 18;
/// Rounds of each of those minutes: roles are told again meanwhile.
const REST_ROUNDS: u32 = 3;
/// Seconds for which shards must be calm at last, and within which they must be.
const CALM_SECONDS: u32 = 5;
const CALM_SECONDS_MAX: u32 = 5_000;

/// The modules that are installed.
pub struct Modules<'a> {
    pub router: &'a [u8],
    pub shard: &'a [u8],
    pub driver: &'a [u8],
    pub naive: &'a [u8],
}

/// Where callers are: on so many subnets, so many on each.
#[derive(Clone, Copy)]
pub struct Places {
    pub subnets: usize,
    pub each: usize,
}

/// The network.
pub struct World {
    pub pic: PocketIc,
    /// A user who may write.
    pub user: Principal,
    /// The router, or the proxy.
    pub router: Option<Principal>,
    /// The shards, or the map.
    pub shards: Vec<Principal>,
    pub drivers: Vec<Principal>,
    /// What a direct caller must know; empty for a map.
    pub routes: Vec<Route>,
    pub secret: ByteBuf,
    /// Number of the first record that wasn't put.
    pub next_record: u64,
}

impl World {
    /// Makes a network with a service that is ready, and empty.
    pub fn new(state: &State, modules: &Modules, places: Places) -> Self {
        let pic = network::instance_of(1 + places.subnets);
        let subnets = pic.topology().get_app_subnets();
        let drivers = (0..places.subnets * places.each)
            .map(|at| install(&pic, subnets[1 + at % places.subnets], modules.driver, encode(&())))
            .collect();
        let mut world = Self {
            pic,
            user: Principal::self_authenticating(b"writer"),
            router: None,
            shards: vec![],
            drivers,
            routes: vec![],
            secret: ByteBuf::new(),
            next_record: 0,
        };
        match state.service {
            Service::Canopy => world.install_canopy(state.shards, modules, subnets[0]),
            Service::Shards => world.install_shards(state.shards, modules, subnets[0]),
            Service::Map => {
                let map = install(&world.pic, subnets[0], modules.naive, encode(&None::<Principal>));
                world.router = Some(install(&world.pic, subnets[0], modules.naive, encode(&Some(map))));
                world.shards = vec![map];
            }
        }
        world
    }

    fn install_canopy(&mut self, shards: u32, modules: &Modules, subnet: Principal) {
        let writers = self.drivers.iter().copied().chain([self.user]).collect();
        let arguments =
            InitArguments { initial_shards: Some(shards), writers: Some(writers), ..InitArguments::default() };
        let router = install(&self.pic, subnet, modules.router, encode(&arguments));
        self.router = Some(router);
        for _ in 0..READY_SECONDS_MAX {
            self.pass(Duration::from_secs(1));
            let status = self.query::<StatusResult>(router, "status").expect("a writer may read the status");
            if status.ready {
                self.shards = status.shards.iter().filter_map(|shard: &ShardStatus| shard.canister).collect();
                assert_eq!(self.shards.len(), shards as usize, "{status:?}");
                break;
            }
        }
        self.forbid_growth(router);
        let table: RoutingTableReply =
            self.query::<RoutingTableResult>(router, "routing_table").expect("a writer may read it");
        assert!(!table.routes.is_empty(), "the router isn't ready after {READY_SECONDS_MAX} seconds");
        self.secret = table.secret.clone().expect("the secret is told to writers");
        self.routes = table.routes;
        for shard in &self.shards {
            self.pic.add_cycles(*shard, CYCLES);
        }
        self.rest();
    }

    /// Has no shard split, whatever load it is under: each cell has as many as it says.
    fn forbid_growth(&self, router: Principal) {
        let never = SetPolicyArguments {
            split_at_record_bytes: Some(0),
            split_at_stable_bytes: Some(0),
            split_at_heap_bytes: Some(0),
            split_at_operations_per_minute: Some(0),
            split_at_instructions_per_minute: Some(0),
            splits_per_hour_max: Some(0),
            ..SetPolicyArguments::default()
        };
        // Who has installed the router administers it.
        let answer = self.pic.update_call(router, Principal::anonymous(), "set_policy", encode(&never));
        let answer = answer.unwrap_or_else(|reject| panic!("set_policy: {reject}"));
        decode::<SetPolicyResult>(&answer).expect("an answer").expect("every threshold may be 0");
    }

    /// The first driver has the router's place.
    fn install_shards(&mut self, shards: u32, modules: &Modules, subnet: Principal) {
        let router = self.drivers[0];
        self.secret = ByteBuf::from((0..192u8).collect::<Vec<_>>());
        for index in 0..shards {
            let range = HashRange::FULL.part(index, shards).expect("there are more hashes than shards");
            let arguments = ShardInitArguments {
                router,
                administrators: vec![],
                secret: self.secret.clone(),
                range,
                epoch: Epoch::FIRST,
                index: ShardIndex(index),
                tag_seed: Some(ByteBuf::from(vec![9; 32])),
                roles: None,
            };
            let shard = install(&self.pic, subnet, modules.shard, encode(&arguments));
            self.shards.push(shard);
            self.routes.push(Route { range, shard, epoch: Epoch::FIRST });
        }
    }

    /// Canisters of the service.
    pub fn service(&self) -> impl Iterator<Item = Principal> + '_ {
        self.router.into_iter().chain(self.shards.iter().copied())
    }

    fn query<T>(&self, canister: Principal, method: &str) -> T
    where
        T: candid::CandidType + serde::de::DeserializeOwned,
    {
        let argument = candid::encode_args(()).expect("nothing can be encoded");
        let reply = self.pic.query_call(canister, self.user, method, argument);
        decode(&reply.unwrap_or_else(|reject| panic!("{method}: {reject}"))).expect("the answer is what it should be")
    }

    /// Begins a plan on the drivers, each with its share, all in the same round.
    pub fn start(&self, drivers: usize, plan: impl Fn(u64) -> Plan) {
        self.tell(drivers, "start", |at| encode(&plan(at)));
    }

    /// Lets the drivers begin nothing any more.
    pub fn stop(&self, drivers: usize) {
        self.tell(drivers, "stop", |_| vec![]);
    }

    /// Tells drivers something, all in the same round.
    fn tell(&self, drivers: usize, method: &str, argument: impl Fn(u64) -> Vec<u8>) {
        let submit = |(at, driver): (u64, &Principal)| {
            let submitted = self.pic.submit_call(*driver, Principal::anonymous(), method, argument(at));
            submitted.unwrap_or_else(|reject| panic!("{method}: {reject}"))
        };
        let messages: Vec<_> = (0..).zip(&self.drivers[..drivers]).map(submit).collect();
        for message in messages {
            // The first of them is awaited for a round, which is the others', too.
            self.pic.await_call(message).unwrap_or_else(|reject| panic!("{method}: {reject}"));
        }
    }

    /// What the drivers have counted together.
    pub fn tally(&self, drivers: usize) -> Tally {
        let mut sum = Tally::default();
        for driver in &self.drivers[..drivers] {
            sum.add(&self.query(*driver, "tally"));
        }
        sum
    }

    /// Cycles of the service.
    pub fn cycles(&self) -> u128 {
        self.service().map(|canister| self.pic.cycle_balance(canister)).sum()
    }

    fn pass(&self, time: Duration) {
        self.pic.advance_time(time);
        self.pic.tick();
    }

    /// Lets time pass until receipts have ended and nobody has anything to do.
    pub fn rest(&self) {
        for _ in 0..REST_MINUTES {
            self.pass(Duration::from_secs(60));
            (1..REST_ROUNDS).for_each(|_| self.pic.tick());
        }
        let mut calm = 0;
        let mut before = self.shard_messages();
        for _ in 0..CALM_SECONDS_MAX {
            self.pass(Duration::from_secs(1));
            let now = self.shard_messages();
            calm = if now == before { calm + 1 } else { 0 };
            if calm == CALM_SECONDS {
                return;
            }
            before = now;
        }
        panic!("the shards aren't calm after {CALM_SECONDS_MAX} seconds");
    }

    /// Executions in shards so far; nobody knows on a real server.
    fn shard_messages(&self) -> u64 {
        let shards = self.shards.clone();
        network::look_into(&self.pic, move |instance| {
            shards.iter().map(|shard| instance.events().counters(shard).messages).sum()
        })
        .unwrap_or(0)
    }
}

fn install(pic: &PocketIc, subnet: Principal, module: &[u8], argument: Vec<u8>) -> Principal {
    let canister = pic.create_canister_on_subnet(None, None, subnet);
    pic.add_cycles(canister, CYCLES);
    pic.install_canister(canister, module.to_vec(), argument, None);
    canister
}
