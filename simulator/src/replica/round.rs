//! One round of a subnet: time-outs, induction, scheduling, routing (`ic-facts.md` 3.1 and 3.2).

use candid::Principal;

use crate::chance::{Chance, Fault, Placed, Point};
use crate::event_log::{Event, EventKind, short_hash};
use crate::limits::*;
use crate::replica::execution::{self, Effects, Incoming, Prepared, Slice};
use crate::replica::management;
use crate::replica::state::*;
use crate::rules::{CallName, Occasion};
use crate::wasm::system::ExecutionFaults;

/// Threads among which the canisters of an iteration are spread.
const THREADS: usize = 4;
/// New messages start on a thread until it used this many instructions.
const THREAD_INSTRUCTIONS_MAX: i64 = 2_000_000_001;
/// Management calls start until they used this many.
const MANAGEMENT_INSTRUCTIONS_MAX: i64 = 437_500_000;
const MESSAGE_OVERHEAD_INSTRUCTIONS: i64 = 2_000_000;
const CANISTER_OVERHEAD_INSTRUCTIONS: i64 = 8_000_000;
/// Per existing canister and iteration.
const FINALIZATION_INSTRUCTIONS: i64 = 12_000;
/// A round ends when an iteration wrote more than this.
const ITERATION_HEAP_DELTA_BYTES_MAX: u64 = 200_000_000;
/// By how much a canister's heap delta debit decays in a round; above it the canister waits.
const HEAP_DELTA_BYTES_PER_ROUND: u64 = 75 * MIB;
/// By how much a canister's debit of install_code instructions decays in a round.
const INSTALL_INSTRUCTIONS_PER_ROUND: u64 = 2_000_000_000;
/// More iterations than any budget allows, but for the benchmarking profile.
const ITERATIONS_MAX: usize = 10_000;

/// What one iteration used.
#[derive(Default)]
struct Usage {
    instructions: i64,
    heap_delta_bytes: u64,
    messages: u64,
    /// A fault has ended the round.
    is_last: bool,
}

/// What became of the calls to the management canister.
struct Managed {
    /// There were some.
    any: bool,
    /// A fault has ended the round.
    is_last: bool,
}

impl SubnetState {
    /// Runs one round at `time_nanos`.
    pub fn execute_round(&mut self, time_nanos: u64) {
        debug_assert!(time_nanos >= self.time_nanos, "time never goes back");
        self.time_nanos = time_nanos;
        self.round += 1;
        self.settle_touched();
        self.time_out();
        self.induct();
        self.schedule();
        management::settle_stopping(self);
        self.charge_storage();
        self.prune_history();
        self.route();
        self.shed();
        self.settle_touched();
        for id in self.active_ids() {
            let Some(canister) = self.canisters.get_mut(&id) else { continue };
            let debit = &mut canister.heap_delta_debit_bytes;
            *debit = debit.saturating_sub(HEAP_DELTA_BYTES_PER_ROUND);
            let debit = &mut canister.install_debit_instructions;
            *debit = debit.saturating_sub(INSTALL_INSTRUCTIONS_PER_ROUND);
        }
        self.rest_idle();
        self.certificate_cache.replace(None);
    }

    fn schedule(&mut self) {
        let mut budget = match self.config.limits.slice {
            BENCHMARKING_INSTRUCTIONS_MAX => BENCHMARKING_INSTRUCTIONS_MAX as i64,
            _ => THREAD_INSTRUCTIONS_MAX,
        };
        let mut management_budget = MANAGEMENT_INSTRUCTIONS_MAX;
        management_budget -= management::advance_installations(self) as i64;
        for iteration in 0..ITERATIONS_MAX {
            let Managed { any: managed, is_last } = self.run_management(&mut management_budget);
            if iteration == 0 {
                self.enqueue_tasks();
            }
            if is_last {
                break;
            }
            let used = self.run_iteration(budget);
            budget -= used.instructions + FINALIZATION_INSTRUCTIONS * self.canisters.len() as i64;
            self.induct_local();
            let idle = !managed && used.messages == 0;
            if idle || used.is_last || budget <= 0 || used.heap_delta_bytes > ITERATION_HEAP_DELTA_BYTES_MAX {
                break;
            }
        }
        let round = self.round;
        for id in &self.active {
            if let Some(canister) = self.canisters.get_mut(id).filter(|canister| !canister.queues.has_input()) {
                canister.last_round = round;
            }
        }
    }

    /// Executes calls to the management canister.
    fn run_management(&mut self, budget: &mut i64) -> Managed {
        let mut postponed = Vec::new();
        let mut any = false;
        let mut is_last = false;
        while *budget > 0 && !is_last {
            let Some(call) = self.management.pop_front() else { break };
            let placed = self.chance.placed(&Occasion::Execution {
                kind: EventKind::Management,
                canister: Principal::management_canister(),
                method: &call.method,
                call: call_of(&call.origin),
            });
            is_last = self.chance.meets(Fault::RoundEnds, &placed);
            match management::execute(self, &call) {
                ManagementOutcome::Answered { result, refund, instructions } => {
                    any = true;
                    *budget -= instructions as i64 + MESSAGE_OVERHEAD_INSTRUCTIONS;
                    self.events.push(Event {
                        sequence: 0,
                        time_nanos: self.time_nanos,
                        subnet: self.config.id,
                        kind: EventKind::Management,
                        canister: Principal::management_canister(),
                        method: call.method.clone(),
                        argument_hash: short_hash(&call.payload),
                        answer_hash: match &result {
                            Ok(data) => short_hash(data),
                            Err(error) => short_hash(error.message.as_bytes()),
                        },
                        instructions,
                        pages_dirtied: 0,
                        balance: 0,
                        state_hash: 0,
                    });
                    self.answer_management(&call, result, refund);
                }
                ManagementOutcome::Later => any = true,
                ManagementOutcome::NextRound => postponed.push(call),
            }
        }
        self.management.extend(postponed);
        self.settle_touched();
        self.certificate_cache.replace(None);
        Managed { any, is_last }
    }

    /// Puts due timers and heartbeats into their canisters' task queues.
    fn enqueue_tasks(&mut self) {
        for id in &self.active {
            let Some(canister) = self.canisters.get_mut(id) else { continue };
            let Some(code) = canister.code.as_ref().filter(|_| matches!(canister.status, Status::Running)) else {
                continue;
            };
            let mut add = |task: Task| {
                if !canister.tasks.contains(&task) {
                    canister.tasks.push_back(task);
                }
            };
            let due = canister.global_timer_nanos.is_some_and(|timer| timer <= self.time_nanos);
            if due && code.module.exports("canister_global_timer") && !self.chance.fires(Fault::TimerLate) {
                add(Task::GlobalTimer);
            }
            if code.module.exports("canister_heartbeat") {
                add(Task::Heartbeat);
            }
        }
    }

    /// Runs the canisters that have something to do, spread over threads.
    fn run_iteration(&mut self, budget: i64) -> Usage {
        let mut active: Vec<(u64, Principal)> = self
            .active
            .iter()
            .filter_map(|id| self.canisters.get(id))
            .filter(|canister| canister.has_work(self.round))
            .filter(|canister| canister.heap_delta_debit_bytes < HEAP_DELTA_BYTES_PER_ROUND)
            .map(|canister| (canister.last_round, canister.id))
            .collect();
        active.sort();
        self.chance.permute(Point::CanisterOrder, &mut active);
        let mut total = Usage::default();
        for thread in 0..THREADS {
            let mut used = Usage::default();
            for (_, id) in active.iter().skip(thread).step_by(THREADS) {
                if used.instructions >= budget || used.is_last || total.is_last {
                    break;
                }
                self.run_canister(*id, budget, &mut used);
                used.instructions += CANISTER_OVERHEAD_INSTRUCTIONS;
            }
            total.instructions = total.instructions.max(used.instructions);
            total.heap_delta_bytes += used.heap_delta_bytes;
            total.messages += used.messages;
            total.is_last |= used.is_last;
        }
        self.messages_executed += total.messages;
        total
    }

    /// Runs one canister until it has nothing to do or the budget is spent.
    fn run_canister(&mut self, id: Principal, budget: i64, used: &mut Usage) {
        // In the shuffled schedule a canister may stop early and go on in a later iteration.
        let messages_max = match self.chance.choose(Point::MessagesPerRound, 4) {
            0 => u64::MAX,
            n => n as u64,
        };
        let mut messages = 0;
        while used.instructions < budget && messages < messages_max && !used.is_last {
            let surroundings = self.surroundings();
            let canister = self.canisters.get_mut(&id).expect("active canisters exist");
            if canister.heap_delta_debit_bytes >= HEAP_DELTA_BYTES_PER_ROUND {
                break;
            }
            let mut effects = Effects::default();
            if !step(canister, &surroundings, self.round, &mut self.chance, &mut effects) {
                break;
            }
            self.recount(id);
            messages += 1;
            used.messages += 1;
            used.instructions += effects.instructions as i64 + MESSAGE_OVERHEAD_INSTRUCTIONS;
            used.heap_delta_bytes += effects.heap_delta_bytes;
            used.is_last = effects.ends_round;
            self.host_memory.wrote(effects.heap_delta_bytes);
            self.chance.note(&effects.faults);
            self.apply_effects(id, effects);
        }
    }
}

impl Canister {
    fn has_work(&self, round: u64) -> bool {
        match &self.long_execution {
            Some(long) => long.last_round < round,
            None => self.installation.is_none() && (!self.tasks.is_empty() || self.queues.has_input()),
        }
    }
}

/// Executes the next thing that a canister has to do. Returns false if there is none.
fn step(
    canister: &mut Canister,
    surroundings: &Surroundings,
    round: u64,
    chance: &mut Chance,
    effects: &mut Effects,
) -> bool {
    if let Some(mut long) = canister.long_execution.take() {
        if long.last_round == round {
            canister.long_execution = Some(long);
            return false;
        }
        long.last_round = round;
        long.rounds_left -= 1;
        if long.rounds_left > 0 {
            effects.instructions += surroundings.config.limits.slice;
            canister.long_execution = Some(long);
        } else {
            canister.account.held -= long.prepared.prepaid;
            execution::run(canister, surroundings, long.prepared, Slice::Last(long.failure), effects);
        }
        return true;
    }
    let mut call = None;
    let prepared = if let Some(task) = canister.tasks.pop_front() {
        execution::prepare_task(canister, surroundings, task)
    } else {
        match canister.queues.pop(chance) {
            None => return false,
            Some(Input::Response(response)) => {
                call = Some(CallName { caller: response.caller, callback: response.callback });
                execution::prepare_response(canister, surroundings, response, effects)
            }
            Some(Input::Ingress(ingress)) => {
                let incoming = Incoming {
                    origin: CallOrigin::Ingress { sender: ingress.sender, id: ingress.id },
                    caller: ingress.sender,
                    method: ingress.method,
                    payload: ingress.payload,
                    cycles: 0,
                };
                prepare(canister, surroundings, incoming, effects)
            }
            Some(Input::Request(request)) => {
                let incoming = Incoming {
                    origin: CallOrigin::Canister {
                        caller: request.sender,
                        callback: request.callback,
                        deadline_seconds: request.deadline_seconds,
                    },
                    caller: request.sender,
                    method: request.method,
                    payload: request.payload,
                    cycles: request.cycles,
                };
                call = call_of(&incoming.origin);
                prepare(canister, surroundings, incoming, effects)
            }
        }
    };
    if let Some(mut prepared) = prepared {
        let (kind, method) = (prepared.kind, prepared.method.as_str());
        let placed = chance.placed(&Occasion::Execution { kind, canister: canister.id, method, call });
        inject(&mut prepared, &placed, chance);
        effects.ends_round = chance.meets(Fault::RoundEnds, &placed);
        execution::run(canister, surroundings, prepared, Slice::First, effects);
        if let Some(long) = &mut canister.long_execution {
            long.last_round = round;
        }
    }
    true
}

fn prepare(
    canister: &mut Canister,
    surroundings: &Surroundings,
    call: Incoming,
    effects: &mut Effects,
) -> Option<Prepared> {
    match execution::prepare_call(canister, surroundings, call) {
        Ok(prepared) => Some(prepared),
        Err(refused) => {
            let (outcome, call) = *refused;
            canister.answer(&call.origin, outcome, call.cycles, effects);
            None
        }
    }
}

/// Returns the call that a message answers.
fn call_of(origin: &CallOrigin) -> Option<CallName> {
    match origin {
        CallOrigin::Canister { caller, callback, .. } => Some(CallName { caller: *caller, callback: *callback }),
        CallOrigin::Ingress { .. } | CallOrigin::System => None,
    }
}

/// Draws the faults of one execution, beside those that are placed there: of these a call that fails is the first one,
/// and instructions run out at once.
fn inject(prepared: &mut Prepared, placed: &Placed, chance: &mut Chance) {
    /// Among the first so many calls of a message one fails.
    const CALLS_CONSIDERED: u64 = 8;
    /// A message that runs out of instructions does so within 2^23, or about 8 million.
    const INTERRUPTED_BITS_MAX: u64 = 24;
    let system = &mut prepared.system;
    system.faults = ExecutionFaults {
        fail_call_perform: match placed.contains(Fault::CallPerformFails) {
            true => Some(0),
            false => chance.lurks(Fault::CallPerformFails).then(|| chance.below(Point::Fault, CALLS_CONSIDERED) as u32),
        },
        fail_stable_grow: chance.threatens(Fault::StableGrowFails, placed),
        trap_stable_grow: chance.threatens(Fault::StableGrowTraps, placed),
        ..ExecutionFaults::default()
    };
    if placed.contains(Fault::OutOfInstructions) {
        system.faults.fewer_instructions = true;
        system.instructions_max = 0;
    } else if chance.lurks(Fault::OutOfInstructions) {
        system.faults.fewer_instructions = true;
        // Every order of magnitude is as likely as another: most messages are short.
        let bits = chance.below(Point::Fault, INTERRUPTED_BITS_MAX);
        system.instructions_max = system.instructions_max.min(chance.below(Point::Fault, 1 << bits));
    }
}
