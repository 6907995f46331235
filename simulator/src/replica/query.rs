//! Queries and composite queries: on the latest state, changing nothing.
//!
//! A composite query is a tree of frames. Each frame runs on its canister's kept runtime with pending changes, which
//! are rolled back when the frame ends. When a canister is called that already has a frame further up, the upper
//! frame's pending state moves to a runtime of its own, so that the lower one starts from the committed state.

use candid::Principal;

use crate::errors::{ErrorCode, RejectCode, UserError};
use crate::replica::execution::{error_of, no_method, no_module, system_for};
use crate::replica::state::*;
use crate::wasm::Runtime;
use crate::wasm::system::*;

/// Nested calls of composite queries.
const DEPTH_MAX: usize = 6;
/// Charged to the whole tree for each call.
const CALL_OVERHEAD_INSTRUCTIONS: u64 = 50_000_000;

/// One query to run.
struct Call {
    caller: Principal,
    canister: Principal,
    method: String,
    payload: Vec<u8>,
}

/// State of a tree of queries.
struct Tree {
    instructions_left: u64,
    /// Canisters with open frames, from the root on, with the runtime that holds a frame's state once it moved.
    frames: Vec<(Principal, Option<Runtime>)>,
}

/// How a frame failed: for its caller only, or for the whole tree.
enum Failure {
    Call(UserError),
    Tree(UserError),
}

impl SubnetState {
    /// Answers a query to a canister.
    pub fn query(
        &mut self,
        caller: Principal,
        canister: Principal,
        method: String,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, UserError> {
        self.settle_touched();
        let request_bytes = payload.len() as u64;
        let limit = self.config.limits.query;
        let mut tree = Tree { instructions_left: limit, frames: Vec::new() };
        let result = self.run_frame(&mut tree, Call { caller, canister, method, payload });
        if let Some(canister) = self.canisters.get_mut(&canister) {
            let stats = &mut canister.query_stats;
            stats.calls += 1;
            stats.instructions += limit - tree.instructions_left;
            stats.request_bytes += request_bytes;
            stats.response_bytes +=
                result.as_ref().map_or(0, |reply| reply.as_ref().map_or(0, |data| data.len() as u64));
        }
        match result {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(message)) => Err(UserError::new(ErrorCode::CanisterRejectedMessage, message)),
            Err(Failure::Call(error) | Failure::Tree(error)) => Err(error),
        }
    }

    /// Runs one query with all its calls; the reply, or the text of the canister's own reject.
    fn run_frame(&mut self, tree: &mut Tree, call: Call) -> Result<Result<Vec<u8>, String>, Failure> {
        let context = self.check_query(&call).map_err(Failure::Call)?;
        self.move_open_frame(tree, &call.canister);
        tree.frames.push((call.canister, None));
        let result = self.run_frame_messages(tree, call, context);
        let (id, moved) = tree.frames.pop().expect("pushed above");
        if moved.is_none() {
            let code = self.canisters.get_mut(&id).and_then(|canister| canister.code.as_mut());
            code.expect("checked before the frame").runtime.rollback();
        }
        result
    }

    /// Finds out how a query runs, or why not.
    fn check_query(&self, call: &Call) -> Result<Context, UserError> {
        let id = call.canister;
        let Some(canister) = self.canisters.get(&id) else {
            return Err(UserError::new(ErrorCode::CanisterNotFound, format!("Canister {id} not found")));
        };
        if let Status::Stopped = canister.status {
            let text = format!("Canister {id} is stopped and therefore does not have a CallContextManager");
            return Err(UserError::new(ErrorCode::CanisterStopped, text));
        }
        let Some(code) = &canister.code else { return Err(no_module(&id)) };
        if canister.account.balance < canister.freezing_threshold(&self.config) {
            let text = format!(
                "Canister {id} is unable to process query calls because it's frozen. Please top up the canister with \
                 cycles and try again."
            );
            return Err(UserError::new(ErrorCode::CanisterOutOfCycles, text));
        }
        if code.module.exports(&format!("canister_query {}", call.method)) {
            Ok(Context::Query)
        } else if code.module.exports(&format!("canister_composite_query {}", call.method)) {
            Ok(Context::CompositeQuery)
        } else {
            Err(no_method(&id, "query", &call.method))
        }
    }

    /// Gives an open frame of `id` a runtime of its own, if there is one that runs on the canister's.
    fn move_open_frame(&mut self, tree: &mut Tree, id: &Principal) {
        let Some((_, moved)) = tree.frames.iter_mut().find(|(open, moved)| open == id && moved.is_none()) else {
            return;
        };
        let canister = self.canisters.get_mut(id).expect("open frames have canisters");
        let runtime = &mut canister.code.as_mut().expect("open frames have code").runtime;
        let heap = runtime.heap_image();
        let stable = runtime.stable().clone();
        runtime.rollback();
        let mut copy = Runtime::new(runtime.module().clone(), stable).expect("the module was instantiated before");
        copy.restore_heap(&heap).expect("an image fits its own module");
        *moved = Some(copy);
    }

    fn run_frame_messages(
        &mut self,
        tree: &mut Tree,
        call: Call,
        context: Context,
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        let id = call.canister;
        let surroundings = self.surroundings();
        let prefix = if context == Context::Query { "canister_query" } else { "canister_composite_query" };
        let system_of = |subnet: &SubnetState, context: Context| {
            let mut system = system_for(&surroundings, &subnet.canisters[&id], context);
            system.caller = call.caller;
            system.reply_bytes_max = crate::limits::QUERY_REPLY_BYTES_MAX;
            system
        };
        let code = self.canisters[&id].code.as_ref().expect("checked before the frame");
        let reads_certificate = code.module.reads_certificate();
        let mut system = system_of(self, context);
        system.argument = call.payload;
        system.data_certificate = reads_certificate.then(|| self.data_certificate(&id));
        let mut used = 0;
        let entry = Entry::Export(format!("{prefix} {}", call.method));
        let mut system = self.run_in_frame(tree, &id, &entry, system, &mut used).map_err(|(failure, _)| failure)?;
        let mut answer = system.answer.take();
        let mut waiting: std::collections::VecDeque<OutgoingCall> = system.calls.drain(..).collect();
        while let Some(next) = waiting.pop_front() {
            let response = self.run_nested(tree, id, &next)?;
            let (mode, closure) = match &response {
                Payload::Data(_) => (Context::CompositeReplyCallback, next.reply),
                Payload::Reject(..) => (Context::CompositeRejectCallback, next.reject),
            };
            let mut system = system_of(self, mode);
            match response {
                Payload::Data(data) => system.argument = data,
                Payload::Reject(code, message) => system.reject = Some((code as u32, message)),
            }
            system.already_answered = answer.is_some();
            system.context_instructions = used;
            match self.run_in_frame(tree, &id, &Entry::Closure(closure), system, &mut used) {
                Ok(mut system) => {
                    answer = answer.or(system.answer.take());
                    waiting.extend(system.calls.drain(..));
                }
                Err((failure, _)) => {
                    if let Some(closure) = next.cleanup {
                        let system = system_of(self, Context::CompositeCleanup);
                        // What the cleanup does is dropped with the frame; only its instructions count.
                        let _ = self.run_in_frame(tree, &id, &Entry::Closure(closure), system, &mut used);
                    }
                    return Err(failure);
                }
            }
        }
        match answer {
            Some(Answer::Reply(data)) => Ok(Ok(data)),
            Some(Answer::Reject(message)) => Ok(Err(message)),
            None => Err(Failure::Call(UserError::new(
                ErrorCode::CanisterDidNotReply,
                format!("Canister {id} did not produce a response"),
            ))),
        }
    }

    /// Runs one entry of the innermost frame.
    fn run_in_frame(
        &mut self,
        tree: &mut Tree,
        id: &Principal,
        entry: &Entry,
        mut system: System,
        used: &mut u64,
    ) -> Result<System, (Failure, u64)> {
        let depth = tree.frames.len();
        let whole = self.config.limits.query;
        system.instructions_max = system.instructions_max.min(tree.instructions_left);
        let is_cut = system.instructions_max < whole && (depth > 1 || tree.instructions_left < whole - *used);
        let runtime = match &mut tree.frames.last_mut().expect("inside a frame").1 {
            Some(runtime) => runtime,
            None => {
                let canister = self.canisters.get_mut(id).expect("frames have canisters");
                &mut canister.code.as_mut().expect("frames have code").runtime
            }
        };
        let (system, executed) = runtime.execute(entry, system);
        tree.instructions_left = tree.instructions_left.saturating_sub(executed.instructions);
        *used += executed.instructions;
        match executed.result {
            Ok(()) => Ok(system),
            Err(trap) if trap.code == ErrorCode::CanisterInstructionLimitExceeded && is_cut => {
                let text = "Composite query call exceeded the instruction limit of the whole call graph.";
                let error = UserError::new(ErrorCode::QueryCallGraphTotalInstructionLimitExceeded, text);
                Err((Failure::Tree(error), executed.instructions))
            }
            Err(trap) => Err((Failure::Call(error_of(&trap, id)), executed.instructions)),
        }
    }

    /// Runs a call of a composite query; its response as the callback sees it.
    fn run_nested(&mut self, tree: &mut Tree, caller: Principal, call: &OutgoingCall) -> Result<Payload, Failure> {
        if tree.frames.len() > DEPTH_MAX {
            let text = "Composite query exceeded the maximum depth of its call graph.";
            return Err(Failure::Tree(UserError::new(ErrorCode::QueryCallGraphTooDeep, text)));
        }
        tree.instructions_left = tree.instructions_left.saturating_sub(CALL_OVERHEAD_INSTRUCTIONS);
        // Composite queries don't reach the management canister: the subnet's id stands for it, and isn't found.
        let callee = match Principal::try_from_slice(&call.callee) {
            Ok(callee) if callee == Principal::management_canister() => self.config.id,
            Ok(callee) => callee,
            Err(_) => Principal::anonymous(),
        };
        let nested = Call { caller, canister: callee, method: call.method.clone(), payload: call.argument.clone() };
        match self.run_frame(tree, nested) {
            Ok(Ok(data)) => Ok(Payload::Data(data)),
            Ok(Err(message)) => Ok(Payload::Reject(RejectCode::CanisterReject, message)),
            Err(Failure::Call(error)) => Ok(Payload::Reject(error.code.reject_code(), error.message)),
            Err(tree) => Err(tree),
        }
    }
}
