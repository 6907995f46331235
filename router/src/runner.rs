//! Performs the journal's steps: asks it what to do, sends the call, stores the answer, sets the timer. The timer comes
//! for the router's other work too.
//!
//! The timer is the platform's own: it costs one message where a timer library costs three, and no hidden call is open
//! when the router is upgraded. The platform clears it before it runs, so a message that traps loses it; every update
//! call therefore sets an overdue timer again.

use candid::Principal;
use canopy_types::shard::ShardInitArguments;
use canopy_types::status::Step;
use canopy_types::{ShardIndex, codec};
use ic_cdk::call::{Call, CallFailed};
use serde_bytes::ByteBuf;

use crate::calls::RESERVE_CYCLES;
use crate::journal::{Action, Answer, Circumstances};
use crate::policy::Thresholds;
use crate::state::{self, State};
use crate::{control, management, shard_code, transfers, watching, word};

/// Time after which an unused timer counts as lost, in nanoseconds: 5 s.
const OVERDUE_NANOSECONDS: u64 = 5_000_000_000;

/// Time after which an open call is looked at without being asked, in nanoseconds: 10 minutes.
///
/// A bounded call is over by then. A creation, and a wiping, is waited for without a bound, and looked at again and again.
const WATCH_NANOSECONDS: u64 = 600_000_000_000;

/// How long the router waits for calls that carry no cycles, in seconds: as long as the platform lets it.
const CALL_TIMEOUT_SECONDS: u32 = 300;

/// Cycles that one call of the journal sets aside, without those it carries: 45 G.
///
/// 40 G for the callback, 2.1 G for the answer's bytes, and the module's bytes.
const STEP_CYCLES: u128 = 45_000_000_000;

/// Does what is due. Called by the timer.
pub fn run() {
    let now = ic_cdk::api::time();
    state::with(|state| state.wake_at = None);
    let next = [run_journal(), word::run(now), control::run(now), watching::run(now)];
    // Calls that couldn't be sent have ended already, and may have asked for the timer.
    let asked = state::with(|state| state.wake_at);
    if let Some(at) = next.into_iter().chain([asked]).flatten().min() {
        wake_at(at);
    }
}

/// Performs one step of the journal and one of each transfer, and tells when to come again (nanoseconds).
fn run_journal() -> Option<u64> {
    let now = ic_cdk::api::time();
    let (action, work) = state::with(|state| {
        let circumstances = circumstances(state);
        let open_calls = state.open_transfer_calls.clone();
        state.change_journal(|journal| {
            let action = journal.advance(&circumstances);
            let taken = match action {
                Action::Send { step: Step::CreateShard(_), .. } => circumstances.creation_cycles + STEP_CYCLES,
                Action::Send { .. } => STEP_CYCLES,
                _ => 0,
            };
            let work = journal.advance_transfers(&transfers::Circumstances {
                now,
                open_calls: &open_calls,
                available_cycles: circumstances.available_cycles.saturating_sub(taken),
                call_cycles: STEP_CYCLES,
                reserve_cycles: circumstances.reserve_cycles,
                cycles_per_day_max: circumstances.cycles_per_day_max,
            });
            (action, work)
        })
    });
    for (transfer, payment) in &work.payments {
        ic_cdk::api::debug_print(watching::said(&payment.decision(*transfer, now)));
    }
    let next = match action {
        Action::Send { call, step } => {
            send(call, step);
            Some(now + WATCH_NANOSECONDS)
        }
        Action::AwaitAnswer => Some(now + WATCH_NANOSECONDS),
        Action::Continue => Some(now),
        Action::WakeAt(at) => Some(at),
        Action::Rest => None,
    };
    let watch = (!work.sends.is_empty()).then_some(now + WATCH_NANOSECONDS);
    work.sends.into_iter().for_each(send_for_transfer);
    next.into_iter().chain(work.wake_at).chain(watch).min()
}

/// Has everything that is due looked at in the next message.
pub fn wake() {
    wake_at(ic_cdk::api::time());
}

/// Sets a lost timer again. Every update call does this first.
pub fn rearm() {
    let now = ic_cdk::api::time();
    if state::with(|state| state.wake_at.is_some_and(|at| at.saturating_add(OVERDUE_NANOSECONDS) < now)) {
        wake_at(now);
    }
}

fn wake_at(at: u64) {
    state::with(|state| state.wake_at = Some(at));
    ic_cdk::api::global_timer_set(at);
}

/// Tells how many cycles creating a shard takes, its own included.
pub fn creation_cycles(state: &State) -> u128 {
    ic_cdk::api::cost_create_canister() + state.configuration.shard_cycles
}

fn circumstances(state: &State) -> Circumstances {
    Circumstances {
        now: ic_cdk::api::time(),
        open_call: state.open_step,
        available_cycles: ic_cdk::api::canister_liquid_cycle_balance(),
        creation_cycles: creation_cycles(state),
        reserve_cycles: RESERVE_CYCLES,
        step_cycles: STEP_CYCLES,
        cycles_per_day_max: Thresholds::of(state.policy()).cycles_per_day,
        router: ic_cdk::api::canister_self(),
        shard_module_hash: shard_code::SHA256,
    }
}

/// Marks the journal's call as open until its answer is stored, or its callback has trapped.
struct OpenStep {
    call: u64,
}

impl OpenStep {
    fn new(call: u64) -> Self {
        state::with(|state| state.open_step = Some(call));
        Self { call }
    }
}

impl Drop for OpenStep {
    fn drop(&mut self) {
        state::with(|state| {
            if state.open_step == Some(self.call) {
                state.open_step = None;
                // Overdue at once: the next update sets the timer, should this be the cleanup after a trap.
                state.wake_at = Some(0);
            }
        });
    }
}

/// Sends the call of a step. The answer is only stored; a later message understands it.
fn send(call: u64, step: Step) {
    let prepared = state::with(|state| prepare(state, step));
    ic_cdk::futures::spawn(async move {
        let open = OpenStep::new(call);
        let sent = match prepared.wait {
            Wait::ForCycles(cycles) => Call::unbounded_wait(prepared.callee, prepared.method).with_cycles(cycles),
            Wait::Unbounded => Call::unbounded_wait(prepared.callee, prepared.method),
            Wait::Bounded => Call::bounded_wait(prepared.callee, prepared.method).change_timeout(CALL_TIMEOUT_SECONDS),
        };
        let answer = answer_of(sent.take_raw_args(prepared.arguments).await);
        // An administrator can't have settled this step meanwhile: there is no alarm while a call is open.
        state::with(|state| state.change_journal(|journal| journal.record_answer(call, answer)));
        drop(open);
        wake();
    });
}

/// Marks a call of a transfer as open until its answer is stored, or its callback has trapped.
struct OpenTransferCall {
    call: u64,
}

impl OpenTransferCall {
    fn new(call: u64) -> Self {
        state::with(|state| state.open_transfer_calls.insert(call));
        Self { call }
    }
}

impl Drop for OpenTransferCall {
    fn drop(&mut self) {
        state::with(|state| {
            state.open_transfer_calls.remove(&self.call);
            // Overdue at once, as for a step of the journal.
            state.wake_at = Some(0);
        });
    }
}

/// Sends a call of a transfer. The answer is only stored; a later message understands it.
fn send_for_transfer(send: transfers::Send) {
    ic_cdk::futures::spawn(async move {
        let transfers::Send { call, callee, method, arguments, cycles } = send;
        let open = OpenTransferCall::new(call);
        let sent = match cycles {
            Some(cycles) => Call::unbounded_wait(callee, method).with_cycles(cycles),
            None => Call::bounded_wait(callee, method).change_timeout(CALL_TIMEOUT_SECONDS),
        };
        // The transfer may have ended meanwhile, by the source's word to somebody else, and the shards may have gone on.
        let answer = answer_of(sent.take_raw_args(arguments).await);
        state::with(|state| state.change_journal(|journal| journal.record_transfer_answer(call, answer)));
        drop(open);
        wake();
    });
}

fn answer_of(result: Result<ic_cdk::call::Response, CallFailed>) -> Answer {
    match result {
        Ok(reply) => Answer::Reply(ByteBuf::from(reply.into_bytes())),
        Err(CallFailed::CallRejected(reject)) => {
            Answer::Reject { code: reject.raw_reject_code(), message: reject.reject_message().to_string() }
        }
        Err(failure) => Answer::NotSent { reason: failure.to_string() },
    }
}

struct Prepared {
    callee: Principal,
    method: &'static str,
    arguments: Vec<u8>,
    wait: Wait,
}

/// How long a call waits for its answer.
enum Wait {
    Bounded,
    /// For as long as it takes, because a late one would do harm: it would wipe what has records by then.
    Unbounded,
    /// For as long as it takes, because a lost answer would lose these cycles.
    ForCycles(u128),
}

fn prepare(state: &State, step: Step) -> Prepared {
    let management = Principal::management_canister();
    let canister = |shard: ShardIndex| {
        state.journal().entry(shard).canister.expect("INVARIANT: only CreateShard works on a shard without a canister")
    };
    let to = |callee, method, arguments| Prepared { callee, method, arguments, wait: Wait::Bounded };
    match step {
        Step::DrawSecret => to(management, "raw_rand", management::raw_rand()),
        Step::CreateShard(_) => {
            let controllers = [ic_cdk::api::canister_self()].into_iter().chain(state.grants().administrators());
            let arguments = management::create_canister(controllers.collect());
            let wait = Wait::ForCycles(creation_cycles(state));
            Prepared { callee: management, method: "create_canister", arguments, wait }
        }
        Step::InspectShard(shard) => to(management, "canister_status", management::canister_status(canister(shard))),
        Step::InstallShard(shard) => {
            let argument = codec::encode(&install_argument(state, shard));
            if state.journal().wipes(shard) {
                let arguments = management::reinstall_code(canister(shard), shard_code::WASM, &argument);
                return Prepared { callee: management, method: "install_code", arguments, wait: Wait::Unbounded };
            }
            to(management, "install_code", management::install_code(canister(shard), shard_code::WASM, &argument))
        }
        Step::VerifyShard(shard) => to(canister(shard), "info", management::raw_rand()),
    }
}

fn install_argument(state: &State, shard: ShardIndex) -> ShardInitArguments {
    let secret = state.journal().secret().expect("INVARIANT: shards are installed after the secret was drawn");
    let entry = state.journal().entry(shard);
    ShardInitArguments {
        router: ic_cdk::api::canister_self(),
        administrators: state.grants().administrators().collect(),
        secret: ByteBuf::from(secret.as_bytes().to_vec()),
        range: entry.range,
        epoch: entry.epoch,
        index: entry.index,
        tag_seed: state.journal().tag_seed().cloned(),
        roles: Some(word::of(state, ic_cdk::api::time(), true)),
    }
}
