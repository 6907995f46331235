//! One transfer on a network of its own, with clients, and at most one trouble.

use candid::{CandidType, Deserialize, Principal};
use canopy_simulator::event_log::EventKind;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult};
use canopy_types::recovery::RetireShardArguments;
use canopy_types::status::{ShardStage, Status};
use canopy_types::transfer::{
    CancelTransferArguments, MergeShardArguments, SplitShardArguments, StopTransferArguments, TransferStage,
    TransferStatus,
};
use canopy_types::{HashRange, KeyHash, ShardIndex};

use super::lost;
use super::plan::Plan;
use super::watch::{Execution, Watch};
use super::{Kind, Party, Spot, Trouble};
use crate::answers::Method;
use crate::case::{Case, Mix, Options, Uploads};
use crate::faults::FaultOptions;
use crate::network::Service;
use crate::run::{Failure, Run};

/// The seed of all runs: what differs is the spot.
const SEED: u64 = 6;
/// Clients, and what they ask for in all.
const USERS: usize = 3;
const CALLERS: usize = 1;
const OPERATIONS: usize = 120;
/// Keys; and how many on each side of the boundary have values so large that the moving ones fill three batches.
const KEYS: usize = 40;
const LARGE_PER_SIDE: usize = 12;
const LARGE_BYTES: usize = 320 * 1024;
const SMALL_BYTES: usize = 200;
/// What a step of the driver takes.
pub const STEP_NANOS: u64 = 500_000_000;
/// Steps that clients are at it before the transfer.
const WARM_UP_STEPS: usize = 6;
/// Steps that a trouble lasts: 20 s.
pub const TROUBLE_STEPS: u64 = 40;
/// Steps within which a transfer without trouble ends, and its source has cleared up or was wiped.
const REHEARSAL_STEPS_MAX: usize = 1_200;
/// Steps after the end of a split in which its shards clear up.
const CLEARING_STEPS: usize = 12;
/// Steps within which clients are done.
const CLIENT_STEPS_MAX: usize = 3_000;
/// Steps within which a spare is made.
const SPARE_STEPS_MAX: usize = 400;

/// First hash of what moves, in all kinds.
pub const BOUNDARY: KeyHash = KeyHash(1 << 63);

/// What ran for a transfer without trouble.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    pub executions: Vec<Execution>,
    pub source: Principal,
    pub target: Principal,
    pub router: Principal,
    /// What the router is asked for.
    pub method: &'static str,
    /// Messages that had run when the router knew the end.
    pub ended: u64,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Done,
    /// The source kept the range.
    Cancelled,
    /// The router never took it on.
    NeverBegun,
}

/// What playing a spot came to.
#[derive(Clone, Debug)]
pub struct Played {
    pub end: End,
    /// How far the router was when the trouble came; None for what came in the middle of a round.
    pub stage: Option<TransferStage>,
    pub messages: u64,
    /// Hash over all messages.
    pub chain: [u8; 32],
}

/// A transfer on its network.
pub(crate) struct Scene<'a> {
    pub run: Run<'a>,
    pub watch: Watch,
    pub source: Principal,
    kind: Kind,
    /// Steps until a canister gets memory again.
    full: Option<(Principal, u64)>,
}

impl Kind {
    /// Makes the case of a kind: a service without faults but for the one that is placed.
    pub fn case(self) -> Case {
        let options = Options { operations: OPERATIONS, faults: FaultOptions::none() };
        Case {
            initial_shards: if self.empties() { 2 } else { 1 },
            keys: (0..KEYS as u8).map(|number| vec![number, b'k']).collect(),
            users: USERS,
            callers: CALLERS,
            guests: Vec::new(),
            callers_elsewhere: false,
            mix: Mix { put: 6, get: 5, delete: 2, get_query: 1 },
            large_value_one_in: 0,
            uploads: Uploads::default(),
            rate_limit: None,
            growth: None,
            faults_while_starting: false,
            round_nanos: STEP_NANOS,
            ..Case::draw(SEED, &options)
        }
    }

    /// Returns what the router is asked for.
    fn order(self) -> (&'static str, Vec<u8>) {
        match self {
            Kind::SplitToSpare | Kind::SplitToNew => {
                ("split_shard", encode(&SplitShardArguments { shard: ShardIndex(0), at: None }))
            }
            Kind::Merge => ("merge_shard", encode(&MergeShardArguments { shard: ShardIndex(1), into: ShardIndex(0) })),
            Kind::Retire => {
                let arguments = RetireShardArguments { shard: ShardIndex(1), into: None, leave: Some(true) };
                ("retire_shard", encode(&arguments))
            }
        }
    }
}

/// Plays a case of a kind without trouble, and tells what ran.
///
/// # Errors
/// What was not as it must be.
pub fn rehearse(case: &Case, kind: Kind, service: Service) -> Result<Rehearsal, Failure> {
    let mut scene = Scene::begin(case, kind, service, Watch::default())?;
    scene.warm_up()?;
    scene.order();
    let mut ended = None;
    let mut steps_after = 0;
    let mut target = None;
    for _ in 0..REHEARSAL_STEPS_MAX {
        scene.step()?;
        let Some(status) = scene.run.network.status() else { continue };
        let Some(transfer) = status.transfers.iter().flatten().next_back() else { continue };
        target = target.or_else(|| canister_of(&status, transfer.target));
        if !matches!(transfer.stage, TransferStage::Ended(_)) {
            continue;
        }
        let ended = *ended.get_or_insert_with(|| scene.watch.number());
        steps_after += 1;
        let is_over = if kind.empties() { scene.is_wiped(&status) } else { steps_after > CLEARING_STEPS };
        if is_over {
            let target = target.ok_or_else(|| Failure::Crash("the target has no canister".to_string()))?;
            let executions = scene.watch.take();
            let (source, router) = (scene.source, scene.run.network.router);
            let rehearsal = Rehearsal { executions, source, target, router, method: kind.order().0, ended };
            scene.finish()?;
            return Ok(rehearsal);
        }
    }
    Err(Failure::NoProgress(format!("{}: the transfer doesn't end: {:?}", kind.text(), scene.run.network.status())))
}

/// Plays a transfer with one trouble, and judges what comes of it.
///
/// # Errors
/// What was not as it must be.
pub fn play(plan: &Plan, spot: &Spot, service: Service) -> Result<Played, Failure> {
    let case = spot.kind.case();
    let (placing, pause) = plan.place(spot);
    let mut scene = Scene::begin(&case, spot.kind, service, Watch::new(placing, pause))?;
    scene.warm_up()?;
    scene.order();
    let mut stage = None;
    if pause.is_some() {
        scene.until_paused()?;
        let status = scene.run.network.status();
        stage = status.as_ref().and_then(last_transfer).map(|transfer| transfer.stage);
        scene.trouble(plan, spot, status)?;
    }
    for _ in 0..CLIENT_STEPS_MAX {
        // The router goes on when the clients have done all of theirs.
        let awaits_fault = pause.is_none() && !scene.watch.is_placed();
        if scene.run.workload.is_done() && scene.full.is_none() && !awaits_fault {
            break;
        }
        scene.step()?;
    }
    let lost_router = spot.trouble == Trouble::Lost && spot.party == Party::Router;
    let end = match scene.finish()? {
        // Another router knows nothing of what the lost one had begun.
        End::NeverBegun if lost_router => End::Cancelled,
        end => end,
    };
    if pause.is_none() && !scene.watch.is_placed() {
        return Err(Failure::Crash("the fault met no message: this run differs from the rehearsal".to_string()));
    }
    if spot.kind.empties() && end == End::Done && !lost_router && !scene.was_wiped() {
        return Err(Failure::NoProgress("the emptied shard's memory was not given back".to_string()));
    }
    let log = scene.run.network.instance.events();
    Ok(Played { end, stage, messages: log.len(), chain: log.chain() })
}

impl<'a> Scene<'a> {
    /// Sets up the service, with all records.
    pub fn begin(case: &'a Case, kind: Kind, service: Service, watch: Watch) -> Result<Self, Failure> {
        let run = Run::new(case, service).map_err(|reason| Failure::Crash(format!("setting up: {reason}")))?;
        let mut scene = Self { run, watch, source: Principal::management_canister(), kind, full: None };
        scene.run.start()?;
        if kind == Kind::SplitToSpare {
            scene.make_spare()?;
        }
        scene.fill()?;
        let shards = &scene.run.network.shards;
        scene.source = shards[if kind.empties() { 1 } else { 0 }];
        scene.run.network.leaving = (kind == Kind::Retire).then_some(scene.source);
        Ok(scene)
    }

    /// Lets clients begin, and watches from then on.
    pub fn warm_up(&mut self) -> Result<(), Failure> {
        for _ in 0..WARM_UP_STEPS {
            self.step()?;
        }
        self.run.network.instance.set_rule(Some(self.watch.rule()));
        Ok(())
    }

    /// Has the router begin.
    pub fn order(&mut self) {
        let (method, arguments) = self.kind.order();
        let network = &mut self.run.network;
        network
            .submit(network.administrator, network.router, method, arguments)
            .expect("a running router takes messages of administrators");
    }

    /// Lets clients and the administrator go on for one step.
    pub fn step(&mut self) -> Result<(), Failure> {
        let Run { case, network, workload, administrator, history, .. } = &mut self.run;
        workload.step(case, network, history);
        administrator.step(case, network, false);
        match &mut self.full {
            Some((canister, 0)) => {
                network.instance.set_canister_full(canister, false);
                self.full = None;
            }
            Some((_, steps)) => *steps -= 1,
            None => {}
        }
        self.run.check_answers()?;
        self.run.advance(STEP_NANOS)
    }

    /// Lets them go on for so many steps.
    pub fn steps(&mut self, count: u64) -> Result<(), Failure> {
        (0..count).try_for_each(|_| self.step())
    }

    /// Asks a canister as the administrator, and waits for the answer.
    pub fn ask<R: CandidType + for<'de> Deserialize<'de>>(
        &mut self,
        canister: Principal,
        method: &str,
        arguments: &impl CandidType,
    ) -> Result<R, Failure> {
        let network = &mut self.run.network;
        let failed = |reason: String| Failure::Crash(format!("`{method}`: {reason}"));
        let message = network.submit(network.administrator, canister, method, encode(arguments));
        let reply = network.wait(&message.map_err(|error| failed(error.message))?).map_err(failed)?;
        decode(&reply).map_err(|malformed| failed(malformed.reason))
    }

    /// Has the service recover, judges everything, and tells how the transfer ended.
    pub fn finish(&mut self) -> Result<End, Failure> {
        self.run.recover()?;
        self.run.judge()?;
        let owner = self.run.network.owner_of_hash(BOUNDARY);
        let owner = owner.ok_or_else(|| Failure::NoProgress("the router doesn't tell its table".to_string()))?;
        let was_begun = self.run.network.status().as_ref().and_then(last_transfer).is_some();
        Ok(match (owner == self.source, was_begun) {
            (false, _) => End::Done,
            (true, true) => End::Cancelled,
            (true, false) => End::NeverBegun,
        })
    }

    /// Goes on until the round before the chosen message is over. The first message of all needs none.
    pub fn until_paused(&mut self) -> Result<(), Failure> {
        for _ in 0..REHEARSAL_STEPS_MAX {
            if self.watch.is_paused() {
                return Ok(());
            }
            self.step()?;
        }
        Err(Failure::Crash("the step never came: this run differs from the rehearsal".to_string()))
    }

    /// Finds the canister of the service that is neither its router nor the source.
    fn made_lately(&self) -> Option<Principal> {
        let network = &self.run.network;
        let others = network.others();
        let all = network.instance.canister_ids(&network.service_subnet);
        all.into_iter().find(|id| *id != self.source && !others.contains(id))
    }

    /// Has a trouble befall a party.
    fn trouble(&mut self, plan: &Plan, spot: &Spot, status: Option<Status>) -> Result<(), Failure> {
        let transfer = status.as_ref().and_then(last_transfer).cloned();
        let target = || canister_of(status.as_ref()?, transfer.as_ref()?.target);
        let canister = match spot.party {
            Party::Source => Some(self.source),
            Party::Router => Some(self.run.network.router),
            // The router may not have heard yet that it was made.
            Party::Target => target().or_else(|| self.made_lately()),
        };
        let differs = || Failure::Crash("the party isn't there: this run differs from the rehearsal".to_string());
        let canister = canister.ok_or_else(differs)?;
        let Run { network, administrator, .. } = &mut self.run;
        match spot.trouble {
            Trouble::Stop => administrator.stop(canister, false, TROUBLE_STEPS, network),
            Trouble::Upgrade => administrator.stop(canister, true, 0, network),
            Trouble::UpgradeRunning => administrator.upgrade(canister, network),
            Trouble::CyclesBurned => administrator.burn_cycles(canister, TROUBLE_STEPS, network),
            Trouble::MemoryFull => {
                network.instance.set_canister_full(&canister, true);
                self.full = Some((canister, TROUBLE_STEPS));
            }
            Trouble::Cancel => {
                let TransferStatus { id, epoch, .. } = transfer.ok_or_else(differs)?;
                let (method, arguments) = match spot.party {
                    Party::Router => ("stop_transfer", encode(&StopTransferArguments { id })),
                    _ => ("cancel_transfer", encode(&CancelTransferArguments { id, epoch })),
                };
                network
                    .submit(network.administrator, canister, method, arguments)
                    .map_err(|error| Failure::Crash(format!("`{method}`: {}", error.message)))?;
            }
            Trouble::Lost => lost::router(self, plan.goes_on_alone(spot.step), transfer.as_ref())?,
            Trouble::Trap
            | Trouble::ReplyLost
            | Trouble::UnknownHasRun
            | Trouble::UnknownRunsLater
            | Trouble::RequestLost => unreachable!("these come by themselves"),
        }
        Ok(())
    }

    /// Has a spare made, and no more when that one is used.
    fn make_spare(&mut self) -> Result<(), Failure> {
        self.set_spares(1)?;
        for _ in 0..SPARE_STEPS_MAX {
            self.run.advance(STEP_NANOS)?;
            let status = self.run.network.status();
            let is_there = |status: &Status| {
                status.shards.len() == 2 && status.shards.iter().all(|shard| shard.stage == ShardStage::Open)
            };
            if status.as_ref().is_some_and(is_there) {
                return self.set_spares(0);
            }
        }
        Err(Failure::Crash("no spare is made".to_string()))
    }

    fn set_spares(&mut self, spares: u64) -> Result<(), Failure> {
        let arguments = SetPolicyArguments { spares_min: Some(spares), ..SetPolicyArguments::default() };
        let set: SetPolicyResult = self.ask(self.run.network.router, "set_policy", &arguments)?;
        set.map(drop).map_err(|refused| Failure::Crash(format!("`set_policy`: {refused:?}")))
    }

    /// Puts every key, with large values on both sides of the boundary.
    fn fill(&mut self) -> Result<(), Failure> {
        if !self.run.network.learn_hashes(&self.run.case.keys) {
            return Err(Failure::Crash("the router doesn't tell its table".to_string()));
        }
        let mut large = [0; 2];
        for key in 0..self.run.case.keys.len() {
            let side = &mut large[usize::from(self.run.network.hashes[key] >= BOUNDARY)];
            *side += 1;
            let bytes = if *side <= LARGE_PER_SIDE { LARGE_BYTES } else { SMALL_BYTES };
            self.run.insist_on(key, Method::Put, |attempt| {
                let mut value = format!("first value of key {key}, attempt {attempt}").into_bytes();
                value.resize(bytes, b'f');
                value
            })?;
        }
        Ok(())
    }

    /// Tells whether the emptied source is as new, or gone.
    fn is_wiped(&mut self, status: &Status) -> bool {
        let source = status.shards.iter().find(|shard| shard.canister == Some(self.source));
        let is_new = source.is_none_or(|shard| shard.stage == ShardStage::Open && shard.range == HashRange::EMPTY);
        is_new && self.was_wiped()
    }

    /// Tells whether the router had the source installed anew, or its code taken away.
    fn was_wiped(&self) -> bool {
        let router = self.run.network.router;
        self.watch.any(|ran| {
            ran.kind == EventKind::Management
                && matches!(ran.method.as_str(), "install_code" | "uninstall_code")
                && ran.call.as_ref().is_some_and(|call| call.caller == router)
        })
    }
}

/// Finds the transfer that was begun last.
pub fn last_transfer(status: &Status) -> Option<&TransferStatus> {
    status.transfers.iter().flatten().next_back()
}

/// Finds the canister of a shard.
pub fn canister_of(status: &Status, index: ShardIndex) -> Option<Principal> {
    status.shards.iter().find(|shard| shard.index == index)?.canister
}
