//! What one shard answers: handed on there and back, without a future.
//!
//! Composite queries cost nothing, whatever the router's balance is, but the library's call refuses them when an update's
//! call could not be paid for. That is another reason to ask the platform directly.

use candid::Principal;
use canopy_types::api::Refusal;
use canopy_types::marks::{self, Phase};

use super::attempts::{Attempts, Callbacks};
use super::{Deadline, HOPS_MAX, Reply, Request, admit_one, ask_next};
use crate::access;
use crate::refusal::{Failure, Whereabouts};
use crate::state::OpenCall;

/// What a shard's answer comes to.
pub enum Outcome {
    /// The router's reply.
    Answered(Vec<u8>),
    /// The router's reply that refuses.
    Refused(Vec<u8>),
    /// The shard doesn't serve what was asked for. What is unknown of an attempt before, if anything.
    Elsewhere { whereabouts: Whereabouts, unknown: Option<Box<Failure>> },
}

impl Outcome {
    /// Makes it of the router's reply, or of why there is none, which `refuse` writes.
    pub fn of(done: Result<Vec<u8>, Failure>, refuse: impl FnOnce(Failure) -> Vec<u8>) -> Self {
        match done {
            Ok(reply) => Self::Answered(reply),
            Err(Failure::Elsewhere { whereabouts, unknown, .. }) => Self::Elsewhere { whereabouts, unknown },
            Err(failure) => Self::Refused(refuse(failure)),
        }
    }
}

/// Makes the router's reply of what a shard answered, or of why it didn't; a failure that isn't elsewhere never becomes so.
pub type Answer = fn(Principal, Result<Reply, Failure>) -> Outcome;

/// A call that is under way.
struct HandedOn {
    attempts: Attempts,
    answer: Answer,
    hops: u32,
    /// Absent for a composite query: nothing of it is kept, so there is nothing to count and nothing to send again.
    update: Option<Update>,
}

/// What an update has and a query hasn't.
struct Update {
    caller: Principal,
    deadline: Deadline,
    /// Counts the call as open while it lives.
    _open: OpenCall,
}

const CALLBACKS: Callbacks = Callbacks { on_reply, on_reject, on_cleanup };

/// Hands the message, which is a composite query, on to a shard, and replies with what `answer` makes of its answer. What
/// it hears about who owns a key it follows, too, but the platform drops what a query notes.
pub fn query(request: Request, answer: Answer) {
    perform(Box::new(HandedOn { attempts: Attempts::new(request), answer, hops: 0, update: None }));
}

/// Admits the message, which is an update of `caller`, hands it on to a shard, and replies with what `answer` makes of
/// its answer. It is sent again at most once, and follows a few words about who owns what it asks for.
pub fn update(request: Request, caller: Principal, answer: Answer) {
    match admit_one(&request) {
        Ok(open) => {
            let update = Some(Update { caller, deadline: Deadline::of_message(), _open: open });
            perform(Box::new(HandedOn { attempts: Attempts::new(request), answer, hops: 0, update }));
        }
        Err(refusal) => reply_refused(answer(request.shard, Err(refusal.into()))),
    }
}

fn perform(call: Box<HandedOn>) {
    let timeout = call.update.as_ref().map(|update| update.deadline.timeout_seconds(ic_cdk::api::time)).transpose();
    let timeout_seconds = match timeout {
        Ok(seconds) => seconds,
        Err(refusal) => return refuse(call, refusal),
    };
    let environment = Box::into_raw(call);
    // SAFETY: one of the callbacks runs, once, in a later message, and takes the box back; until then it is this one's.
    let sent = unsafe { (*environment).attempts.send(timeout_seconds, &CALLBACKS, environment as usize) };
    if let Err(refusal) = sent {
        // SAFETY: the box was made above, and no callback will run.
        return refuse(unsafe { Box::from_raw(environment) }, refusal);
    }
    marks::end(Phase::Encode);
}

/// Replies with what the shard's answer comes to, or asks on where it says that it doesn't serve that.
fn finish(call: Box<HandedOn>, answer: Result<Reply, Failure>) {
    match (call.answer)(call.attempts.request.shard, answer) {
        Outcome::Answered(bytes) => {
            if let Some(update) = &call.update {
                access::count_reply(update.caller, bytes.len());
            }
            ic_cdk::api::msg_reply(bytes);
        }
        Outcome::Refused(bytes) => ic_cdk::api::msg_reply(bytes),
        Outcome::Elsewhere { whereabouts, unknown } => follow(call, &whereabouts, unknown),
    }
}

/// Asks on, at once: what a shard refuses so it hasn't run.
fn follow(mut call: Box<HandedOn>, whereabouts: &Whereabouts, unknown: Option<Box<Failure>>) {
    call.attempts.unknown = unknown.map(|unknown| *unknown);
    let request = &call.attempts.request;
    // While a query runs, nothing is handed over.
    let may_help = call.update.is_some() || matches!(whereabouts, Whereabouts::Wrong(_));
    let may_follow = may_help && call.hops < HOPS_MAX && request.is_kept();
    let Some(next) = ask_next(request.shard, whereabouts).filter(|_| may_follow) else {
        return refuse(call, whereabouts.refusal());
    };
    call.hops += 1;
    call.attempts.turn_to(next);
    if let Some(update) = &mut call.update {
        match admit_one(&call.attempts.request) {
            Ok(open) => update._open = open,
            Err(refusal) => return refuse(call, refusal),
        }
    }
    perform(call);
}

/// Replies with what is unknown of an attempt before, and otherwise with the refusal.
fn refuse(mut call: Box<HandedOn>, refusal: Refusal) {
    let failure = call.attempts.not_sent(refusal);
    reply_refused((call.answer)(call.attempts.request.shard, Err(failure)));
}

fn reply_refused(outcome: Outcome) {
    match outcome {
        Outcome::Answered(bytes) | Outcome::Refused(bytes) => ic_cdk::api::msg_reply(bytes),
        Outcome::Elsewhere { .. } => unreachable!("INVARIANT: what failed here is not elsewhere"),
    }
}

unsafe extern "C" fn on_reply(environment: usize) {
    marks::begin();
    // SAFETY: `perform` gave the platform a box, and this is the one time that it comes back.
    let mut call = unsafe { Box::from_raw(environment as *mut HandedOn) };
    let reply = call.attempts.reply();
    marks::end(Phase::Receive);
    finish(call, Ok(reply));
    marks::end(Phase::Encode);
}

unsafe extern "C" fn on_reject(environment: usize) {
    // SAFETY: as above.
    let mut call = unsafe { Box::from_raw(environment as *mut HandedOn) };
    let is_update = call.update.is_some();
    match call.attempts.reject(is_update) {
        Ok(()) => perform(call),
        Err(failure) => finish(call, Err(failure)),
    }
}

/// Runs when a callback has trapped, which was rolled back: the caller has been told, and the call is not open any more.
unsafe extern "C" fn on_cleanup(environment: usize) {
    // SAFETY: the callback that took the box back was rolled back, so this is the one time that it comes back.
    drop(unsafe { Box::from_raw(environment as *mut HandedOn) });
}
