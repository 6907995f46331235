//! Running one message of a canister: surroundings in, effects out.
//!
//! A message is prepared (checks, prepayment, call context), run, and finished (state, calls, answer, fees). One that
//! needs more than a slice of instructions is rolled back and run again, from the same surroundings, in the round in
//! which its last slice would end (unless it fails, which is remembered): nobody can tell the difference, and no code
//! has to be suspended.

use candid::Principal;

use crate::chance::Fault;
use crate::errors::{ErrorCode, UserError};
use crate::event_log::{Event, EventKind, short_hash};
use crate::limits::*;
use crate::replica::state::*;
use crate::wasm::system::*;

mod outcome;
mod prepare;
mod surroundings;

pub use outcome::{
    Outcome, error_of, grouped, no_method, no_module, not_running, out_of_cycles, payload_of, status_of,
};
pub use prepare::{Incoming, prepare_call, prepare_response, prepare_task};
pub use surroundings::system_for;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A message with everything it needs to run.
pub struct Prepared {
    pub kind: EventKind,
    pub entry: Entry,
    pub method: String,
    pub argument_hash: u64,
    pub context: ContextId,
    pub cleanup: Option<Closure>,
    /// Withdrawn for its execution; the unused part comes back.
    pub prepaid: u128,
    pub system: System,
}

/// What a message leaves for its subnet to do.
#[derive(Default)]
pub struct Effects {
    pub answers: Vec<(MessageId, IngressStatus)>,
    pub event: Option<Event>,
    /// Of this round.
    pub instructions: u64,
    pub heap_delta_bytes: u64,
    /// Faults that the message ran into.
    pub faults: Vec<Fault>,
    /// A fault ends the round after it.
    pub ends_round: bool,
}

/// Which part of its execution a message has reached.
pub enum Slice {
    /// A long one is put off.
    First,
    /// With how it fails, if its first run did.
    Last(Option<Box<(System, Executed)>>),
}

/// Runs a prepared message and applies what it did.
pub fn run(
    canister: &mut Canister,
    surroundings: &Surroundings,
    prepared: Prepared,
    part: Slice,
    effects: &mut Effects,
) {
    let (last_slice, failure) = match part {
        Slice::First => (false, None),
        Slice::Last(failure) => (true, failure),
    };
    let Prepared { kind, entry, method, argument_hash, context, cleanup, prepaid, system } = prepared;
    let before = system.account.clone();
    let slice = surroundings.config.limits.slice;
    let Some(code) = canister.code.as_mut() else {
        // The code was removed between slices.
        canister.account.balance += prepaid;
        let error = no_module(&canister.id);
        settle_context(canister, context, Some(error), effects);
        return;
    };
    let (mut system, executed) = match failure {
        Some(failure) => *failure,
        None => code.runtime.execute(&entry, system),
    };
    if executed.instructions > slice && !last_slice {
        code.runtime.rollback();
        let rounds_left = executed.instructions.div_ceil(slice) - 1;
        let failure = executed.result.is_err().then(|| Box::new((system.clone(), executed)));
        clear(&mut system, before);
        let prepared = Prepared { kind, entry, method, argument_hash, context, cleanup, prepaid, system };
        canister.account.held += prepaid;
        canister.long_execution = Some(Box::new(LongExecution { rounds_left, last_round: 0, prepared, failure }));
        effects.instructions += slice;
        return;
    }
    let mut instructions = executed.instructions;
    let mut heap_delta_pages = 0;
    let mut error = None;
    match executed.result {
        Ok(()) => {
            if kind == EventKind::ReplicatedQuery {
                code.runtime.rollback();
            } else {
                code.runtime.commit();
                heap_delta_pages = executed.heap_pages_dirtied + executed.stable_pages_dirtied;
            }
            canister.version += 1;
            apply(canister, context, &before, &mut system);
        }
        Err(trap) => {
            code.runtime.rollback();
            if system.faults.fewer_instructions && trap.code == ErrorCode::CanisterInstructionLimitExceeded {
                system.faults.hit.push(Fault::OutOfInstructions);
            }
            let mut failure = error_of(&trap, &canister.id);
            log_failure(canister, system.time_nanos, std::mem::take(&mut system.printed), &trap);
            if let Some(closure) = cleanup {
                let mut after = system_for(surroundings, canister, Context::Cleanup);
                after.caller = system.caller;
                after.time_nanos = system.time_nanos;
                after.context_instructions = system.context_instructions + instructions;
                // Cleanup can't accept cycles, so what the call brought is still there for its refund.
                after.account.available = canister.contexts[&context].available;
                let before = after.account.clone();
                let code = canister.code.as_mut().expect("looked up above");
                let (mut after, cleaned) = code.runtime.execute(&Entry::Closure(closure), after);
                instructions += cleaned.instructions;
                match cleaned.result {
                    Ok(()) => {
                        code.runtime.commit();
                        heap_delta_pages = cleaned.heap_pages_dirtied + cleaned.stable_pages_dirtied;
                        canister.version += 1;
                        apply(canister, context, &before, &mut after);
                    }
                    Err(trap) => {
                        code.runtime.rollback();
                        log_failure(canister, after.time_nanos, std::mem::take(&mut after.printed), &trap);
                        failure.message =
                            format!("{}\ncall_on_cleanup also failed:\n\n{}", failure.message, trap.message);
                    }
                }
            }
            error = Some(failure);
        }
    }
    effects.faults.append(&mut system.faults.hit);
    let fee = surroundings.config.fees.execution(instructions, canister.is_wasm64()).min(prepaid);
    canister.account.consumed += fee;
    canister.account.balance += prepaid - fee;
    canister.contexts.get_mut(&context).expect("open during its message").instructions += instructions;
    let answer = system.answer.take().filter(|_| error.is_none());
    effects.event = Some(Event {
        sequence: 0,
        time_nanos: surroundings.time_nanos,
        subnet: surroundings.config.id,
        kind,
        canister: canister.id,
        method,
        argument_hash,
        answer_hash: match (&answer, &error) {
            (Some(Answer::Reply(data)), _) => short_hash(data),
            (Some(Answer::Reject(message)), _) => short_hash(message.as_bytes()),
            (None, Some(error)) => short_hash(error.message.as_bytes()),
            (None, None) => 0,
        },
        instructions,
        pages_dirtied: heap_delta_pages,
        balance: canister.account.balance,
        state_hash: canister.code.as_mut().map_or(0, |code| code.runtime.sampled_hash()),
    });
    if let Some(answer) = answer {
        let context = canister.contexts.get_mut(&context).expect("open during its message");
        context.answered = true;
        let refund = std::mem::take(&mut context.available);
        let origin = context.origin.clone();
        let outcome = match answer {
            Answer::Reply(data) => Outcome::Reply(data),
            Answer::Reject(message) => Outcome::Reject(message),
        };
        canister.answer(&origin, outcome, refund, effects);
    }
    settle_context(canister, context, error, effects);
    effects.heap_delta_bytes += heap_delta_pages * OS_PAGE_BYTES;
    canister.heap_delta_debit_bytes += heap_delta_pages * OS_PAGE_BYTES;
    effects.instructions += if last_slice { instructions % slice } else { instructions };
    canister.watch_low_memory();
}

/// Takes back what an execution left in its system, so that it can be run once more.
fn clear(system: &mut System, account: Account) {
    system.account = account;
    system.answer_bytes.clear();
    system.answer = None;
    system.building = None;
    system.calls.clear();
    system.accepted_message = false;
    system.certified_data = None;
    system.global_timer_nanos = None;
    system.printed.clear();
    system.faults.hit.clear();
}

/// Applies what a successful message asked for.
fn apply(canister: &mut Canister, context: ContextId, before: &Account, system: &mut System) {
    let account = &mut canister.account;
    // The balance may have grown since a long execution began, so only differences count.
    account.balance = (account.balance + system.account.balance).saturating_sub(before.balance);
    account.reserved = account.reserved + system.account.reserved - before.reserved;
    account.consumed += system.account.burned - before.burned;
    canister.contexts.get_mut(&context).expect("open during its message").available = system.account.available;
    if let Some(data) = system.certified_data.take() {
        canister.certified_data = data;
    }
    if let Some(timer) = system.global_timer_nanos {
        canister.global_timer_nanos = Some(timer).filter(|timer| *timer > 0);
    }
    for line in std::mem::take(&mut system.printed) {
        canister.log.append(system.time_nanos, line, canister.settings.log_memory_limit_bytes);
    }
    for call in std::mem::take(&mut system.calls) {
        send(canister, context, call, system.time_nanos);
    }
}

fn log_failure(canister: &mut Canister, time_nanos: u64, printed: Vec<Vec<u8>>, trap: &Trap) {
    let limit = canister.settings.log_memory_limit_bytes;
    for line in printed {
        canister.log.append(time_nanos, line, limit);
    }
    let text = match &trap.log {
        Some(text) => text.clone(),
        None => trap.message.trim_start_matches("Canister trapped: ").as_bytes().to_vec(),
    };
    canister.log.append(time_nanos, [b"[TRAP]: ", &text[..]].concat(), limit);
}

/// Queues a performed call and opens its callback.
fn send(canister: &mut Canister, context: ContextId, call: OutgoingCall, time_nanos: u64) {
    // Bytes that are no principal can't be routed; the longest principal stands for them.
    let callee = Principal::try_from_slice(&call.callee).unwrap_or(Principal::from_slice(&[0xff; 29]));
    let deadline_seconds = call.timeout_seconds.map(|seconds| {
        (time_nanos + seconds.min(BEST_EFFORT_TIMEOUT_SECONDS_MAX) as u64 * NANOS_PER_SECOND) / NANOS_PER_SECOND
    });
    let id = CallbackId(canister.next_callback);
    canister.next_callback += 1;
    canister.account.consumed += call.request_fee;
    canister.callbacks.insert(
        id,
        Callback {
            context,
            callee,
            reply: call.reply,
            reject: call.reject,
            cleanup: call.cleanup,
            cycles: call.cycles,
            prepaid_response: call.prepaid_response,
            prepaid_callback: call.prepaid_callback,
            deadline_seconds,
            answered: false,
        },
    );
    canister.add_outstanding(callee);
    canister.contexts.get_mut(&context).expect("open during its message").open_callbacks += 1;
    canister.queues.push_output(Output::Request(Request {
        sender: canister.id,
        receiver: callee,
        callback: id,
        method: call.method,
        payload: call.argument,
        cycles: call.cycles,
        deadline_seconds,
        sent_nanos: time_nanos,
    }));
}

/// Closes a context that waits for nothing more, and answers its call if nobody did.
pub fn settle_context(canister: &mut Canister, id: ContextId, error: Option<UserError>, effects: &mut Effects) {
    let Some(context) = canister.contexts.get_mut(&id) else { return };
    if context.open_callbacks > 0 {
        return;
    }
    let context = canister.contexts.remove(&id).expect("just seen");
    if !context.answered && !context.deleted {
        let outcome = error.map_or(Outcome::NoReply, Outcome::Error);
        canister.answer(&context.origin, outcome, context.available, effects);
    }
}

impl Canister {
    /// Schedules the low-memory hook when memory becomes scarce, and arms it again when there is enough.
    pub fn watch_low_memory(&mut self) {
        let Some(code) = &self.code else { return };
        let limit = match self.settings.wasm_memory_limit_bytes {
            0 => 4 * GIB,
            limit => limit,
        };
        let left = limit.saturating_sub(code.runtime.heap_bytes());
        if left >= self.settings.wasm_memory_threshold_bytes {
            self.low_memory_hook_armed = true;
        } else if self.low_memory_hook_armed {
            self.low_memory_hook_armed = false;
            if code.module.exports("canister_on_low_wasm_memory") {
                self.tasks.push_front(Task::LowMemory);
            }
        }
    }
}
