//! Preparing messages: checks, prepayment, call context.

use candid::Principal;

use super::surroundings::instructions_max;
use super::{Effects, Outcome, Prepared, no_method, no_module, not_running, out_of_cycles, settle_context, system_for};
use crate::errors::{ErrorCode, UserError};
use crate::event_log::{EventKind, short_hash};
use crate::replica::state::*;
use crate::wasm::system::*;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A call as the callee gets it.
pub struct Incoming {
    pub origin: CallOrigin,
    pub caller: Principal,
    pub method: String,
    pub payload: Vec<u8>,
    pub cycles: u128,
}

impl Canister {
    pub(super) fn is_wasm64(&self) -> bool {
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
