//! What an administrator does to a running service: stops, starts and upgrades canisters, notices alarms, tops up.
//!
//! Also what happens to the service from outside and belongs to no message: burned cycles, full memory, jumping clocks.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_simulator::instance::MessageId;
use canopy_types::ShardIndex;
use canopy_types::api::{Resolution, ResolveAlarmArguments};
use canopy_types::codec::encode;
use canopy_types::status::{Alarm, Step};
use ic_management_canister_types::CanisterInstallMode;

use crate::case::{Case, stream};
use crate::draw::Draw;
use crate::faults::FaultName;
use crate::network::{Network, T, encode_nothing};

/// Steps between two events in the life of one canister.
const EVENT_STEPS_MAX: u64 = 12;
/// Steps after which an administrator no longer waits for an answer: the platform gives up stopping after 5 minutes.
const PATIENCE_STEPS: u64 = 400;
/// Steps between two looks at the alarms.
const ALARM_STEPS: u64 = 16;
/// Longest jump of the clock: below the 15 minutes that the service promises to bear.
const CLOCK_STEP_NANOS_MAX: u64 = 599_000_000_000;
/// What an administrator keeps canisters at.
const TOP_UP_CYCLES: u128 = 20 * T;

/// What is being done to one canister, one after the other.
#[derive(Clone, Debug)]
enum Stage {
    /// `steps`: how long it stays stopped; drawn if None.
    Stopping {
        upgrade: bool,
        steps: Option<u64>,
    },
    /// Wait, then go on.
    Stopped {
        steps: u64,
        upgrade: bool,
    },
    Upgrading {
        stopped: bool,
    },
    Starting,
    Broke {
        steps: u64,
    },
}

#[derive(Clone, Debug)]
struct Task {
    stage: Stage,
    message: Option<MessageId>,
    steps: u64,
}

/// The administrator, and bad luck.
pub struct Administrator {
    draw: Draw,
    tasks: BTreeMap<Principal, Task>,
    /// Steps until memory is free again.
    memory_full: Option<u64>,
    /// The answer to the last `resolve_alarm`, while it is open.
    resolving: Option<(MessageId, u64)>,
    steps: u64,
    /// How often each of its faults happened.
    pub fired: BTreeMap<FaultName, u64>,
}

impl Administrator {
    pub fn new(case: &Case) -> Self {
        Self {
            draw: Draw::new(case.seed, stream::ADMINISTRATOR),
            tasks: BTreeMap::new(),
            memory_full: None,
            resolving: None,
            steps: 0,
            fired: BTreeMap::new(),
        }
    }

    /// Tells whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.memory_full.is_none() && self.resolving.is_none()
    }

    /// Goes on with what was begun, and perhaps begins something. `troubles`: new faults may be drawn.
    pub fn step(&mut self, case: &Case, network: &mut Network, troubles: bool) {
        self.steps += 1;
        for canister in self.tasks.keys().copied().collect::<Vec<_>>() {
            self.go_on(canister, network);
        }
        match self.memory_full {
            Some(steps) if steps > 0 && troubles => self.memory_full = Some(steps - 1),
            Some(_) => {
                network.instance.set_memory_full(&network.service_subnet, false);
                self.memory_full = None;
            }
            None => {}
        }
        if self.steps.is_multiple_of(ALARM_STEPS) || self.resolving.is_some() {
            self.settle_alarm(network);
        }
        if troubles {
            self.begin(case, network);
        }
    }

    /// Stops a canister, perhaps upgrades it, and starts it so many steps later.
    pub fn stop(&mut self, canister: Principal, upgrade: bool, steps: u64, network: &mut Network) {
        self.enter(canister, Stage::Stopping { upgrade, steps: Some(steps) }, network);
    }

    /// Upgrades a canister while it runs, which it may refuse.
    pub fn upgrade(&mut self, canister: Principal, network: &mut Network) {
        self.enter(canister, Stage::Upgrading { stopped: false }, network);
    }

    /// Burns a canister's cycles, and tops it up so many steps later.
    pub fn burn_cycles(&mut self, canister: Principal, steps: u64, network: &mut Network) {
        network.burn_cycles(canister);
        self.enter(canister, Stage::Broke { steps }, network);
    }

    fn note(&mut self, fault: FaultName) {
        *self.fired.entry(fault).or_default() += 1;
    }

    fn begin(&mut self, case: &Case, network: &mut Network) {
        // Every step takes the same draws, so that one fault doesn't shift the others.
        let [stop, upgrade, broke, full, jump] = [
            FaultName::CanisterStopped,
            FaultName::CanisterUpgraded,
            FaultName::OutOfCycles,
            FaultName::SubnetMemoryFull,
            FaultName::ClockStep,
        ]
        .map(|fault| self.draw.fires(case.rate(fault)));
        let target = self.draw.below(1 + network.shards.len() as u64 * 2) as usize;
        let live = self.draw.below(3) == 0;
        let steps = self.draw.between(1, EVENT_STEPS_MAX);
        let nanos = self.draw.below(CLOCK_STEP_NANOS_MAX);
        // The router as often as all shards together, or so.
        let target = if target < network.shards.len() { network.shards[target] } else { network.router };
        if full && self.memory_full.is_none() {
            network.instance.set_memory_full(&network.service_subnet, true);
            self.memory_full = Some(steps);
            self.note(FaultName::SubnetMemoryFull);
        }
        if jump {
            let time = network.instance.time_nanos() + nanos;
            network.instance.set_time(time).expect("time goes forward");
            self.note(FaultName::ClockStep);
        }
        if self.tasks.contains_key(&target) {
            return;
        }
        if upgrade && live {
            self.note(FaultName::CanisterUpgraded);
            self.enter(target, Stage::Upgrading { stopped: false }, network);
        } else if stop || upgrade {
            self.note(if upgrade { FaultName::CanisterUpgraded } else { FaultName::CanisterStopped });
            self.enter(target, Stage::Stopping { upgrade, steps: None }, network);
        } else if broke {
            self.note(FaultName::OutOfCycles);
            self.burn_cycles(target, steps, network);
        }
    }

    /// Begins a stage, with the call that belongs to it.
    fn enter(&mut self, canister: Principal, stage: Stage, network: &mut Network) {
        let sent = match stage {
            Stage::Stopping { .. } => Some(network.change_status(canister, "stop_canister")),
            Stage::Starting => Some(network.change_status(canister, "start_canister")),
            Stage::Upgrading { .. } => {
                let module = if canister == network.router { network.service.router } else { network.service.shard };
                let mode = CanisterInstallMode::Upgrade(None);
                Some(network.submit_install(canister, mode, module, encode_nothing()))
            }
            Stage::Stopped { .. } | Stage::Broke { .. } => None,
        };
        // A refusal counts as an answer: the next stage doesn't rely on this one.
        let message = sent.and_then(Result::ok);
        self.tasks.insert(canister, Task { stage, message, steps: 0 });
    }

    fn go_on(&mut self, canister: Principal, network: &mut Network) {
        let Some(task) = self.tasks.get_mut(&canister) else { return };
        task.steps += 1;
        let answer = task.message.as_ref().map(|message| network.answer(message));
        let answered = match &answer {
            None => true,
            Some(answer) => answer.is_some() || task.steps > PATIENCE_STEPS,
        };
        let done = matches!(answer, Some(Some(Ok(_))));
        let next = match task.stage {
            _ if !answered => return,
            Stage::Stopping { upgrade, steps } => {
                let steps = steps.unwrap_or_else(|| self.draw.between(1, EVENT_STEPS_MAX));
                Stage::Stopped { steps, upgrade: upgrade && done }
            }
            Stage::Stopped { steps, .. } | Stage::Broke { steps } if task.steps < steps => return,
            Stage::Stopped { upgrade: true, .. } => Stage::Upgrading { stopped: true },
            Stage::Stopped { upgrade: false, .. } | Stage::Upgrading { stopped: true } => Stage::Starting,
            Stage::Starting if !done => Stage::Starting,
            Stage::Broke { .. } => {
                network.top_up(canister, TOP_UP_CYCLES);
                self.tasks.remove(&canister);
                return;
            }
            Stage::Starting | Stage::Upgrading { stopped: false } => {
                self.tasks.remove(&canister);
                return;
            }
        };
        self.enter(canister, next, network);
    }

    /// Settles what the router can't settle by itself.
    fn settle_alarm(&mut self, network: &mut Network) {
        if let Some((message, steps)) = &mut self.resolving {
            *steps += 1;
            if network.answer(message).is_none() && *steps < PATIENCE_STEPS {
                return;
            }
            self.resolving = None;
        }
        let Some(status) = network.status() else { return };
        let Some(alarm) = status.alarms.first() else { return };
        let (shard, resolution) = match alarm {
            Alarm::CyclesShort { .. } => return network.top_up(network.router, TOP_UP_CYCLES * 3),
            Alarm::CreationAnswerLost { shard, .. } | Alarm::CreationAnswerUnreadable { shard, .. } => {
                (Some(*shard), self.settle_creation(network))
            }
            Alarm::StepFailed { step, .. } => (shard_of(*step), Resolution::TryAgain),
            Alarm::ForeignCode { shard, .. } => (Some(*shard), Resolution::TryAgain),
        };
        let arguments = encode(&ResolveAlarmArguments { shard, resolution });
        if let Ok(message) = network.submit(network.administrator, network.router, "resolve_alarm", arguments) {
            self.resolving = Some((message, 0));
        }
    }

    /// Looks for the canister of a creation whose answer was lost, as an administrator would.
    fn settle_creation(&mut self, network: &mut Network) -> Resolution {
        let known = network.others();
        let orphan = network
            .instance
            .canister_ids(&network.service_subnet)
            .into_iter()
            .find(|canister| !known.contains(canister) && !network.shards.contains(canister));
        match orphan {
            None => Resolution::TryAgain,
            Some(canister) if self.draw.below(4) > 0 => Resolution::Adopt { canister },
            Some(canister) => {
                network.written_off.insert(canister);
                Resolution::TryAgain
            }
        }
    }

    /// Tops up whatever is low.
    pub fn top_up_all(&mut self, network: &mut Network) {
        network.top_up(network.router, TOP_UP_CYCLES);
        for shard in network.shards.clone() {
            network.top_up(shard, TOP_UP_CYCLES);
        }
    }
}

fn shard_of(step: Step) -> Option<ShardIndex> {
    match step {
        Step::DrawSecret => None,
        Step::CreateShard(shard) | Step::InspectShard(shard) | Step::InstallShard(shard) | Step::VerifyShard(shard) => {
            Some(shard)
        }
    }
}
