//! A router on an embedded network, and calls to it.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use candid::Principal;
use canopy_client::transport::PocketTransport;
use canopy_simulator::server::{Server, ServerOptions};
use canopy_types::api::RoutingTableResult;
use canopy_types::codec::{decode, encode};
use canopy_types::limits::SPLITS_PER_HOUR_MAX;
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult};
use canopy_types::shard::ShardInfoResult;
use canopy_types::status::{Status, StatusResult};
use canopy_types::{InitArguments, RoutingTable};
use pocket_ic::{PocketIc, PocketIcBuilder, RejectResponse};

use super::figures::{Figures, Reading};
use super::report::ShardLine;

/// What the router starts with: shards, and calls under way, each of which sets 42 G aside.
const ROUTER_CYCLES: u128 = 1_000_000_000_000_000;
/// Seconds of the network's time within which the router must be ready.
const READY_SECONDS_MAX: u64 = 600;
/// Rounds within which a batch of calls must be answered.
const ROUNDS_MAX: usize = 1_000;

/// Whoever the demo is on its network: controller of the router and administrator.
const OPERATOR: Principal = Principal::from_slice(&[1, 1]);

/// Candid of an empty list of arguments.
const NO_ARGUMENTS: &[u8] = b"DIDL\0\0";

/// A network with a router that is ready.
pub struct Deployment {
    // Declared before the server, so that its instance is deleted while the server still listens.
    network: Rc<PocketIc>,
    server: Server,
    router: Principal,
    canisters: Vec<Principal>,
}

impl Deployment {
    /// Starts a network and a router with that many shards, waits until it is ready, and has shards split from `split_at`
    /// bytes on.
    ///
    /// # Errors
    /// When the network doesn't start, or the router raises an alarm, isn't ready in time or refuses to split from there on.
    pub fn start(shards: u32, split_at: u64, seed: u64) -> Result<Self> {
        let server = Server::start(ServerOptions { seed, ..ServerOptions::default() }).context("no simulator")?;
        let url = server.url().parse().context("the simulator's URL")?;
        let network = PocketIcBuilder::new().with_server_url(url).with_application_subnet().build();
        let router = network.create_canister_with_settings(Some(OPERATOR), None);
        network.add_cycles(router, ROUTER_CYCLES);
        let init = InitArguments { initial_shards: Some(shards), ..InitArguments::default() };
        network.install_canister(router, canopy_artifacts::ROUTER_WASM.to_vec(), encode(&init), Some(OPERATOR));
        let mut deployment = Self { network: Rc::new(network), server, router, canisters: vec![router] };
        deployment.wait_until_ready()?;
        let policy = SetPolicyArguments {
            split_at_record_bytes: Some(split_at),
            splits_per_hour_max: Some(SPLITS_PER_HOUR_MAX),
            ..SetPolicyArguments::default()
        };
        let set = deployment.network.update_call(router, OPERATOR, "set_policy", encode(&policy));
        let set = decode_answer::<SetPolicyResult>(&answered("set_policy", set)?)?;
        set.map_err(|error| anyhow::anyhow!("shards can't be split at {split_at} bytes: {error:?}"))?;
        deployment.status()?;
        Ok(deployment)
    }

    /// Asks the router how it is, and takes note of new shards.
    pub fn status(&mut self) -> Result<Status> {
        let answer = answered("status", self.query(self.router, "status"))?;
        let status = decode_answer::<StatusResult>(&answer)?.map_err(|error| anyhow::anyhow!("status: {error:?}"))?;
        self.canisters = status.shards.iter().filter_map(|shard| shard.canister).chain([self.router]).collect();
        Ok(status)
    }

    /// Lets time go by.
    pub fn pass(&self, time: Duration, rounds: usize) {
        self.network.advance_time(time);
        for _ in 0..rounds {
            self.network.tick();
        }
    }

    pub fn router(&self) -> Principal {
        self.router
    }

    /// Gives what the client library speaks through, as whoever the demo is.
    pub fn transport(&self) -> PocketTransport {
        PocketTransport::new(self.network.clone(), OPERATOR)
    }

    /// Asks the router which shard owns what.
    pub fn routing_table(&self) -> Result<RoutingTable> {
        let answer = answered("routing_table", self.query(self.router, "routing_table"))?;
        let told = decode_answer::<RoutingTableResult>(&answer)?;
        Ok(told.map_err(|error| anyhow::anyhow!("routing_table: {error:?}"))?.into_table())
    }

    /// Asks each shard of the table what it holds.
    pub fn shards(&self, table: &RoutingTable) -> Result<Vec<ShardLine>> {
        let line = |route: &canopy_types::Route| {
            let answer = answered("info", self.query(route.shard, "info"))?;
            let info = decode_answer::<ShardInfoResult>(&answer)?;
            let info = info.map_err(|error| anyhow::anyhow!("info of shard {}: {error:?}", route.shard))?;
            Ok(ShardLine {
                shard: route.shard,
                range: route.range,
                records: info.records,
                record_bytes: info.record_bytes,
            })
        };
        table.routes.iter().map(line).collect()
    }

    /// Calls the router once for each payload and gives the answers in their order. The first call goes alone and is
    /// measured, unless something else ran meanwhile; the others go together.
    pub fn call_all(&self, method: &str, payloads: Vec<Vec<u8>>, figures: &mut Figures) -> Result<Vec<Vec<u8>>> {
        let mut payloads = payloads.into_iter();
        let Some(first) = payloads.next() else { return Ok(vec![]) };
        let before = self.read()?;
        let mut answers = vec![answered(method, self.network.update_call(self.router, OPERATOR, method, first))?];
        figures.record(self.read()?.since(&before));

        let submit = |payload| {
            let message = self.network.submit_call(self.router, OPERATOR, method, payload);
            message.map_err(|reject| anyhow::anyhow!("{method} was refused: {reject}"))
        };
        let messages: Vec<_> = payloads.map(submit).collect::<Result<_>>()?;
        for message in messages {
            let mut rounds = 0;
            let answer = loop {
                if let Some(answer) = self.network.ingress_status(message.clone()) {
                    break answer;
                }
                ensure!(rounds < ROUNDS_MAX, "{method} got no answer in {ROUNDS_MAX} rounds");
                rounds += 1;
                self.network.tick();
            };
            answers.push(answered(method, answer)?);
        }
        Ok(answers)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..READY_SECONDS_MAX {
            let status = self.status()?;
            if status.ready {
                return Ok(());
            }
            if let Some(alarm) = status.alarms.first() {
                bail!("the router raised an alarm: {alarm:?}");
            }
            self.network.advance_time(Duration::from_secs(1));
            self.network.tick();
        }
        bail!("the router was not ready within {READY_SECONDS_MAX} seconds")
    }

    fn query(&self, canister: Principal, method: &str) -> Result<Vec<u8>, RejectResponse> {
        self.network.query_call(canister, OPERATOR, method, NO_ARGUMENTS.to_vec())
    }

    /// Reads the counters of router and shards.
    fn read(&self) -> Result<Reading> {
        let canisters = self.canisters.clone();
        let reading = self.server.on_instance(self.network.instance_id() as u64, move |instance| {
            canisters.iter().fold(Reading::default(), |sum, canister| {
                let counters = instance.events().counters(canister);
                Reading {
                    instructions: sum.instructions + counters.instructions,
                    balance: sum.balance + instance.cycles(canister).unwrap_or(0),
                    messages: sum.messages + counters.messages,
                }
            })
        });
        reading.map_err(|refusal| anyhow::anyhow!("no counters of the simulator: {refusal:?}"))
    }
}

/// Decodes what a canister of ours answered.
///
/// # Errors
/// When it is something else: router and command are of different versions.
pub fn decode_answer<T: candid::CandidType + serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T> {
    decode(answer).map_err(|malformed| {
        anyhow::anyhow!("an answer that is no {}: {}", std::any::type_name::<T>(), malformed.reason)
    })
}

fn answered(method: &str, answer: Result<Vec<u8>, RejectResponse>) -> Result<Vec<u8>> {
    answer.map_err(|reject| anyhow::anyhow!("{method} was rejected: {reject}"))
}
