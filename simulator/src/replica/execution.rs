//! Running one message of a canister: surroundings in, effects out.
//!
//! A message is prepared (checks, prepayment, call context), run, and finished (state, calls, answer, fees). One that
//! needs more than a slice of instructions is rolled back and run again, from the same surroundings, in the round in
//! which its last slice would end: nobody can tell the difference, and no code has to be suspended.

use std::sync::Arc;

use candid::Principal;

use crate::errors::{ErrorCode, RejectCode, UserError};
use crate::event_log::{Event, EventKind, short_hash};
use crate::limits::*;
use crate::replica::state::*;
use crate::wasm::system::*;

/// Share of a callback's instructions that is kept for its cleanup.
const CLEANUP_PERCENT: u64 = 5;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const QUERY_STABLE_BYTES_MAX: u64 = GIB;
const UPDATE_STABLE_BYTES_MAX: u64 = 2 * GIB;
const INSTALL_STABLE_BYTES_MAX: u64 = 8 * GIB;

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
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Reply(Vec<u8>),
    Reject(String),
    Error(UserError),
    /// An error whose code canisters don't see in front of the text.
    BareError(UserError),
    NoReply,
}

/// A call as the callee gets it.
pub struct Incoming {
    pub origin: CallOrigin,
    pub caller: Principal,
    pub method: String,
    pub payload: Vec<u8>,
    pub cycles: u128,
}

/// Fills a [`System`] for `canister` in `context`, without message, caller and cycles of a call. The balance is the
/// whole balance: the caller withdraws the prepayment first. Also for the management canister's install steps.
pub fn system_for(surroundings: &Surroundings, canister: &Canister, context: Context) -> System {
    let config = &surroundings.config;
    let settings = &canister.settings;
    let identity = match &canister.identity {
        Some(identity) if identity_is_current(identity, settings) => identity.clone(),
        _ => Arc::new(make_identity(config, canister)),
    };
    let own_callbacks = canister.callbacks.len();
    let callbacks_left = CALLBACKS_PER_CANISTER.saturating_sub(own_callbacks).max(surroundings.callbacks_left);
    System {
        context,
        identity,
        fees: config.fees,
        time_nanos: surroundings.time_nanos,
        status: canister.status.number(),
        canister_version: canister.version,
        node_count: config.nodes,
        caller: Principal::management_canister(),
        argument: Vec::new(),
        reject: None,
        deadline_nanos: 0,
        method_name: None,
        data_certificate: None,
        context_instructions: 0,
        account: Account {
            balance: canister.account.balance,
            reserved: canister.account.reserved,
            reserved_limit: settings.reserved_cycles_limit,
            freezing_threshold_seconds: settings.freezing_threshold_seconds,
            idle: canister.idle(),
            ..Account::default()
        },
        memory: memory_rules(surroundings, settings, context),
        faults: ExecutionFaults::default(),
        instructions_max: instructions_max(&config.limits, context),
        callback_instructions_max: config.limits.update,
        reply_bytes_max: match context {
            Context::Query
            | Context::CompositeQuery
            | Context::CompositeReplyCallback
            | Context::CompositeRejectCallback => QUERY_REPLY_BYTES_MAX,
            _ => REPLY_BYTES_MAX,
        },
        outstanding: canister.outstanding.clone(),
        callbacks_left,
        guaranteed_bytes_left: surroundings.guaranteed_bytes_left,
        already_answered: false,
        answer_bytes: Vec::new(),
        answer: None,
        building: None,
        calls: Vec::new(),
        accepted_message: false,
        certified_data: None,
        global_timer_nanos: None,
        previous_timer_nanos: canister.global_timer_nanos.unwrap_or(0),
        printed: Vec::new(),
    }
}

fn identity_is_current(identity: &Identity, settings: &Settings) -> bool {
    identity.controllers.iter().eq(&settings.controllers) && identity.environment == settings.environment
}

fn make_identity(config: &SubnetConfig, canister: &Canister) -> Identity {
    Identity {
        canister_id: canister.id,
        subnet_id: config.id,
        controllers: canister.settings.controllers.iter().copied().collect(),
        environment: canister.settings.environment.clone(),
        root_key: config.root_key.clone(),
    }
}

fn instructions_max(limits: &InstructionLimits, context: Context) -> u64 {
    match context {
        Context::Start | Context::Init | Context::PreUpgrade => limits.install,
        Context::Update | Context::Task => limits.update,
        Context::ReplyCallback | Context::RejectCallback => limits.update / 100 * (100 - CLEANUP_PERCENT),
        Context::Cleanup => limits.update / 100 * CLEANUP_PERCENT,
        Context::Inspect => limits.inspect,
        Context::ReplicatedQuery
        | Context::Query
        | Context::CompositeQuery
        | Context::CompositeReplyCallback
        | Context::CompositeRejectCallback
        | Context::CompositeCleanup => limits.query,
    }
}

fn memory_rules(surroundings: &Surroundings, settings: &Settings, context: Context) -> MemoryRules {
    let limited = matches!(context, Context::Update | Context::Init) && settings.wasm_memory_limit_bytes > 0;
    let (stable_bytes_per_message_max, charge_dirty_pages) = match context {
        Context::Start | Context::Init | Context::PreUpgrade => (INSTALL_STABLE_BYTES_MAX, true),
        Context::Update | Context::Task | Context::ReplyCallback | Context::RejectCallback | Context::Cleanup => {
            (UPDATE_STABLE_BYTES_MAX, true)
        }
        _ => (QUERY_STABLE_BYTES_MAX, false),
    };
    MemoryRules {
        subnet_available_bytes: surroundings.available_bytes,
        wasm_memory_limit_bytes: limited.then_some(settings.wasm_memory_limit_bytes),
        memory_allocation_bytes: settings.memory_allocation_bytes,
        reserve_per_mib_cycles: surroundings.reserve_per_mib_cycles,
        stable_bytes_per_message_max,
        charge_dirty_pages,
    }
}

impl Canister {
    /// Returns what the canister pays for while idle.
    pub fn idle(&self) -> crate::cycles::IdleBurn {
        crate::cycles::IdleBurn {
            memory_bytes: self.memory_bytes(),
            memory_allocation_bytes: self.settings.memory_allocation_bytes,
            message_bytes: self.guaranteed_bytes(),
            compute_allocation_percent: self.settings.compute_allocation_percent,
        }
    }

    /// Returns the balance below which the canister is frozen.
    pub fn freezing_threshold(&self, config: &SubnetConfig) -> u128 {
        config.fees.freezing_threshold(&self.idle(), self.settings.freezing_threshold_seconds, self.account.reserved)
    }

    fn is_wasm64(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.module.is_wasm64())
    }

    fn open_context(&mut self, origin: CallOrigin, method: &str, cycles: u128) -> ContextId {
        let id = ContextId(self.next_context);
        self.next_context += 1;
        let context = CallContext {
            origin,
            available: cycles,
            answered: false,
            deleted: false,
            open_callbacks: 0,
            instructions: 0,
            method: method.to_string(),
        };
        self.contexts.insert(id, context);
        id
    }

    fn refresh_identity(&mut self, config: &SubnetConfig) {
        let current = self.identity.as_ref().is_some_and(|identity| identity_is_current(identity, &self.settings));
        if !current {
            self.identity = Some(Arc::new(make_identity(config, self)));
        }
    }

    /// Sends the answer to whoever waits for it.
    pub fn answer(&mut self, origin: &CallOrigin, outcome: Outcome, refund: u128, effects: &mut Effects) {
        match origin {
            CallOrigin::Ingress { id, .. } => {
                // INVARIANT: ingress brings no cycles, so there is nothing to refund.
                debug_assert_eq!(refund, 0);
                effects.answers.push((*id, status_of(outcome, &self.id)));
            }
            CallOrigin::Canister { caller, callback, deadline_seconds } => {
                self.queues.push_output(Output::Response(Response {
                    caller: *caller,
                    respondent: self.id,
                    callback: *callback,
                    refund,
                    payload: payload_of(outcome),
                    deadline_seconds: *deadline_seconds,
                    synthetic: false,
                }));
            }
            CallOrigin::System => {}
        }
    }
}

/// Returns an outcome as an ingress caller sees it.
pub fn status_of(outcome: Outcome, canister: &Principal) -> IngressStatus {
    match outcome {
        Outcome::Reply(data) => IngressStatus::Replied(data),
        Outcome::Reject(message) => {
            IngressStatus::Rejected(UserError::new(ErrorCode::CanisterRejectedMessage, message))
        }
        Outcome::Error(error) | Outcome::BareError(error) => IngressStatus::Rejected(error),
        Outcome::NoReply => IngressStatus::Rejected(UserError::new(
            ErrorCode::CanisterDidNotReply,
            format!("Canister {canister} did not reply to the call"),
        )),
    }
}

/// Returns an outcome as a calling canister sees it.
pub fn payload_of(outcome: Outcome) -> Payload {
    match outcome {
        Outcome::Reply(data) => Payload::Data(data),
        Outcome::Reject(message) => Payload::Reject(RejectCode::CanisterReject, cut(message)),
        Outcome::Error(error) => {
            Payload::Reject(error.code.reject_code(), cut(format!("{}: {}", error.code, error.message)))
        }
        Outcome::BareError(error) => Payload::Reject(error.code.reject_code(), cut(error.message)),
        Outcome::NoReply => Payload::Reject(RejectCode::CanisterError, "No response".to_string()),
    }
}

/// Shortens a reject message to what travels between canisters.
fn cut(mut message: String) -> String {
    let mut end = message.len().min(REJECT_MESSAGE_BYTES_MAX as usize);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

/// Turns a trap into the error that callers see.
pub fn error_of(trap: &Trap, canister: &Principal) -> UserError {
    UserError::new(trap.code, format!("Error from Canister {canister}: {}", trap.message))
}

pub fn no_module(canister: &Principal) -> UserError {
    let text = "Attempted to execute a message, but the canister contains no Wasm module.";
    UserError::new(ErrorCode::CanisterWasmModuleNotFound, format!("Error from Canister {canister}: {text}"))
}

pub fn no_method(canister: &Principal, kind: &str, method: &str) -> UserError {
    let text = format!("Error from Canister {canister}: Canister has no {kind} method '{method}'.");
    UserError::new(ErrorCode::CanisterMethodNotFound, text)
}

/// Returns the refusal of a canister that does not run, None if it does.
pub fn not_running(canister: &Canister) -> Option<UserError> {
    let id = canister.id;
    match canister.status {
        Status::Running => None,
        Status::Stopping { .. } => {
            Some(UserError::new(ErrorCode::CanisterStopping, format!("Canister {id} is stopping")))
        }
        Status::Stopped => Some(UserError::new(ErrorCode::CanisterStopped, format!("Canister {id} is stopped"))),
    }
}

/// Returns the refusal for want of cycles; users learn how many.
pub fn out_of_cycles(canister: &Principal, missing: u128, for_user: bool) -> UserError {
    let advice = match for_user {
        true => format!(": please top up the canister with at least {} additional cycles", grouped(missing)),
        false => String::new(),
    };
    UserError::new(ErrorCode::CanisterOutOfCycles, format!("Canister {canister} is out of cycles{advice}"))
}

/// Writes a number with an underscore between groups of three digits.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// Prepares a call, or says why it fails. The failure is paid for as far as the platform charges it.
pub fn prepare_call(
    canister: &mut Canister,
    surroundings: &Surroundings,
    call: Incoming,
) -> Result<Prepared, Box<(Outcome, Incoming)>> {
    let config = &surroundings.config;
    let is_user = matches!(call.origin, CallOrigin::Ingress { .. });
    if let Some(error) = not_running(canister) {
        return Err(Box::new((Outcome::BareError(error), call)));
    }
    let Some(code) = &canister.code else {
        return Err(Box::new((Outcome::Error(no_module(&canister.id)), call)));
    };
    let is_update = code.module.exports(&format!("canister_update {}", call.method));
    let is_query = code.module.exports(&format!("canister_query {}", call.method));
    let is_composite = code.module.exports(&format!("canister_composite_query {}", call.method));
    let context = if is_query { Context::ReplicatedQuery } else { Context::Update };
    let limit = instructions_max(&config.limits, context);
    let prepaid = config.fees.execution(limit, canister.is_wasm64());
    let threshold = canister.freezing_threshold(config);
    if !canister.account.withdraw(prepaid, threshold) {
        let missing = (threshold + prepaid).saturating_sub(canister.account.balance);
        return Err(Box::new((Outcome::Error(out_of_cycles(&canister.id, missing, is_user)), call)));
    }
    if !is_update && !is_query {
        canister.account.balance += prepaid;
        let base = config.fees.execution(0, false);
        canister.account.charge(base);
        let error = match is_composite {
            true => UserError::new(
                ErrorCode::CompositeQueryCalledInReplicatedMode,
                "Composite query cannot be called in replicated mode",
            ),
            false => no_method(&canister.id, "update", &call.method),
        };
        return Err(Box::new((Outcome::Error(error), call)));
    }
    canister.refresh_identity(config);
    let mut system = system_for(surroundings, canister, context);
    let deadline_seconds = match &call.origin {
        CallOrigin::Canister { deadline_seconds, .. } => deadline_seconds.unwrap_or(0),
        _ => 0,
    };
    system.caller = call.caller;
    system.deadline_nanos = deadline_seconds * NANOS_PER_SECOND;
    system.account.available = call.cycles;
    let argument_hash = short_hash(&call.payload);
    system.argument = call.payload;
    let context_id = canister.open_context(call.origin, &call.method, call.cycles);
    let (kind, export) = match is_query {
        true => (EventKind::ReplicatedQuery, format!("canister_query {}", call.method)),
        false => (EventKind::Update, format!("canister_update {}", call.method)),
    };
    Ok(Prepared {
        kind,
        entry: Entry::Export(export),
        method: call.method,
        argument_hash,
        context: context_id,
        cleanup: None,
        prepaid,
        system,
    })
}

/// Prepares a task, or drops it when the canister can't run it.
pub fn prepare_task(canister: &mut Canister, surroundings: &Surroundings, task: Task) -> Option<Prepared> {
    let config = &surroundings.config;
    if !matches!(canister.status, Status::Running) {
        return None;
    }
    let (kind, export) = match task {
        Task::Heartbeat => (EventKind::Heartbeat, "canister_heartbeat"),
        Task::GlobalTimer => (EventKind::GlobalTimer, "canister_global_timer"),
        Task::LowMemory => (EventKind::LowMemory, "canister_on_low_wasm_memory"),
    };
    if !canister.code.as_ref()?.module.exports(export) {
        return None;
    }
    let prepaid = config.fees.execution(instructions_max(&config.limits, Context::Task), canister.is_wasm64());
    let threshold = canister.freezing_threshold(config);
    if !canister.account.withdraw(prepaid, threshold) {
        return None;
    }
    if task == Task::GlobalTimer {
        canister.global_timer_nanos = None;
    }
    canister.refresh_identity(config);
    let system = system_for(surroundings, canister, Context::Task);
    let context = canister.open_context(CallOrigin::System, export, 0);
    Some(Prepared {
        kind,
        entry: Entry::Export(export.to_string()),
        method: export.to_string(),
        argument_hash: 0,
        context,
        cleanup: None,
        prepaid,
        system,
    })
}

/// Books a response and prepares its callback; None when only the books had to be kept.
pub fn prepare_response(
    canister: &mut Canister,
    surroundings: &Surroundings,
    response: Response,
    effects: &mut Effects,
) -> Option<Prepared> {
    let config = &surroundings.config;
    let callback = canister.callbacks.remove(&response.callback).expect("a queued response has its callback");
    canister.remove_outstanding(&callback.callee);
    let fee = config.fees.response(response.payload.bytes()).min(callback.prepaid_response);
    canister.account.consumed += fee;
    canister.account.balance += response.refund + callback.prepaid_response - fee;
    let context = canister.contexts.get_mut(&callback.context).expect("an open callback has its context");
    context.open_callbacks -= 1;
    if context.deleted || canister.code.is_none() {
        canister.account.balance += callback.prepaid_callback;
        settle_context(canister, callback.context, None, effects);
        return None;
    }
    let (answered, available, instructions) = (context.answered, context.available, context.instructions);
    let (caller, deadline) = match &context.origin {
        CallOrigin::Ingress { sender, .. } => (*sender, 0),
        CallOrigin::Canister { caller, deadline_seconds, .. } => {
            (*caller, deadline_seconds.unwrap_or(0) * NANOS_PER_SECOND)
        }
        CallOrigin::System => (Principal::management_canister(), 0),
    };
    let method = context.method.clone();
    let (kind, mode, closure, argument, reject) = match response.payload {
        Payload::Data(data) => (EventKind::ReplyCallback, Context::ReplyCallback, callback.reply, data, None),
        Payload::Reject(code, message) => {
            let reject = Some((code as u32, message));
            (EventKind::RejectCallback, Context::RejectCallback, callback.reject, Vec::new(), reject)
        }
    };
    canister.refresh_identity(config);
    let mut system = system_for(surroundings, canister, mode);
    system.caller = caller;
    system.deadline_nanos = deadline;
    system.already_answered = answered;
    system.context_instructions = instructions;
    system.account.available = available;
    system.account.refunded = response.refund;
    let argument_hash = match &reject {
        Some((_, message)) => short_hash(message.as_bytes()),
        None => short_hash(&argument),
    };
    system.argument = argument;
    system.reject = reject;
    Some(Prepared {
        kind,
        entry: Entry::Closure(closure),
        method,
        argument_hash,
        context: callback.context,
        cleanup: callback.cleanup,
        prepaid: callback.prepaid_callback,
        system,
    })
}

/// Runs a prepared message and applies what it did. A long one is put off unless `last_slice`.
pub fn run(
    canister: &mut Canister,
    surroundings: &Surroundings,
    prepared: Prepared,
    last_slice: bool,
    effects: &mut Effects,
) {
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
    let (mut system, executed) = code.runtime.execute(&entry, system);
    if executed.instructions > slice && !last_slice {
        code.runtime.rollback();
        clear(&mut system, before);
        let rounds_left = executed.instructions.div_ceil(slice) - 1;
        let prepared = Prepared { kind, entry, method, argument_hash, context, cleanup, prepaid, system };
        canister.account.held += prepaid;
        canister.long_execution = Some(Box::new(LongExecution { rounds_left, last_round: 0, prepared }));
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
        balance: canister.account.balance,
        state_hash: canister.code.as_mut().map_or(0, |code| code.runtime.state_hash()),
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
    fn watch_low_memory(&mut self) {
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
