//! Reads that one shard answers: handed on by callbacks of the platform, without a future.
//!
//! The tables of an executor and the state of a future lie all over the heap, and every page that a message dirties costs
//! 1,000 instructions. Composite queries cost nothing, whatever the router's balance is, but the library's call refuses
//! them when an update's call could not be paid for. So reads go to the platform directly.

use candid::Principal;
use canopy_types::api::Refusal;
use canopy_types::marks::{self, Phase};

use super::{
    ATTEMPTS_MAX, HOPS_MAX, Request, admit_one, ask_next, check_cycles, is_given_back, platform_busy, rejected,
};
use crate::access;
use crate::calls::Deadline;
use crate::message;
use crate::refusal::{Failure, Whereabouts};
use crate::state::OpenCall;

/// What a shard's answer comes to.
pub enum Outcome {
    /// The router's reply.
    Answered(Vec<u8>),
    /// The router's reply that refuses.
    Refused(Vec<u8>),
    /// The shard doesn't serve what was asked for.
    Elsewhere(Whereabouts),
}

/// Makes the router's reply of what a shard answered, or of why it didn't; a refusal is never elsewhere.
pub type Answer = fn(Principal, Result<Vec<u8>, Failure>) -> Outcome;

/// A read that is under way.
struct Read {
    request: Request,
    answer: Answer,
    hops: u32,
    /// Absent for a composite query: nothing of it is kept, so there is nothing to count and nothing to send again.
    update: Option<Update>,
}

/// What an update has and a query hasn't.
struct Update {
    caller: Principal,
    deadline: Deadline,
    attempts: u32,
    /// Counts the call as open while it lives.
    _open: OpenCall,
}

/// Passes the message, which is a composite query, on to a shard, and replies with what `answer` makes of its answer. What
/// it hears about who owns a key it follows, too, but the platform drops what a query notes.
pub fn query(request: Request, answer: Answer) {
    perform(Box::new(Read { request, answer, hops: 0, update: None }));
}

/// Admits the message, which is an update of `caller`, passes it on to a shard, and replies with what `answer` makes of
/// its answer. It is sent again at most once, and follows a few words about who owns what it asks for.
pub fn update(request: Request, caller: Principal, answer: Answer) {
    match admit_one(&request) {
        Ok(open) => {
            let update = Update { caller, deadline: Deadline::of_message(), attempts: 0, _open: open };
            perform(Box::new(Read { request, answer, hops: 0, update: Some(update) }));
        }
        Err(refusal) => refuse(request.shard, answer, refusal),
    }
}

fn perform(mut read: Box<Read>) {
    let mut timeout_seconds = None;
    if let Some(update) = &mut read.update {
        update.attempts += 1;
        match update.deadline.timeout_seconds(ic_cdk::api::time) {
            Ok(seconds) => timeout_seconds = Some(seconds),
            Err(refusal) => return refuse(read.request.shard, read.answer, refusal),
        }
    }
    let is_kept = read.request.is_kept();
    let shard = read.request.shard;
    let method = read.request.method;
    let arguments = std::mem::take(&mut read.request.arguments);
    let open = Box::into_raw(read);
    // SAFETY: one of the callbacks runs, once, and takes the box back; none does if the platform takes no call. The box
    // is not looked at in between.
    unsafe {
        ic0::call_new(shard.as_slice(), method, on_reply, open as usize, on_reject, open as usize);
        if timeout_seconds.is_some() {
            ic0::call_on_cleanup(on_cleanup, open as usize);
        }
    }
    ic0::call_data_append(&arguments);
    if let Some(seconds) = timeout_seconds {
        ic0::call_with_best_effort_response(seconds);
    }
    if ic0::call_perform() != 0 {
        // SAFETY: the box was made above, and no callback will run.
        let read = unsafe { Box::from_raw(open) };
        return refuse(shard, read.answer, platform_busy("the platform took no call"));
    }
    if is_kept {
        // SAFETY: the callbacks run in later messages, so the box is still this one's.
        unsafe { (*open).request.arguments = arguments };
    }
    marks::end(Phase::Encode);
}

/// Replies with what the shard's answer comes to, or asks on where it says that it doesn't serve that.
fn finish(read: Box<Read>, answer: Result<Vec<u8>, Failure>) {
    match (read.answer)(read.request.shard, answer) {
        Outcome::Answered(bytes) => {
            if let Some(update) = &read.update {
                access::count_reply(update.caller, bytes.len());
            }
            ic_cdk::api::msg_reply(bytes);
        }
        Outcome::Refused(bytes) => ic_cdk::api::msg_reply(bytes),
        Outcome::Elsewhere(whereabouts) => follow(read, &whereabouts),
    }
}

fn follow(mut read: Box<Read>, whereabouts: &Whereabouts) {
    // While a query runs, nothing is handed over.
    let may_help = read.update.is_some() || matches!(whereabouts, Whereabouts::Wrong(_));
    let may_follow = may_help && read.hops < HOPS_MAX && read.request.is_kept();
    let Some(next) = ask_next(read.request.shard, whereabouts).filter(|_| may_follow) else {
        return refuse(read.request.shard, read.answer, whereabouts.refusal());
    };
    read.hops += 1;
    read.request.shard = next;
    if let Some(update) = &mut read.update {
        match admit_one(&read.request) {
            Ok(open) => (update._open, update.attempts) = (open, 0),
            Err(refusal) => return refuse(next, read.answer, refusal),
        }
    }
    perform(read);
}

fn refuse(shard: Principal, answer: Answer, refusal: Refusal) {
    match answer(shard, Err(refusal.into())) {
        Outcome::Answered(bytes) | Outcome::Refused(bytes) => ic_cdk::api::msg_reply(bytes),
        Outcome::Elsewhere(_) => unreachable!("INVARIANT: a refusal is never elsewhere"),
    }
}

unsafe extern "C" fn on_reply(open: usize) {
    marks::begin();
    // SAFETY: `perform` gave the platform a box, and this is the one time that it comes back.
    let read = unsafe { Box::from_raw(open as *mut Read) };
    let answer = message::argument();
    marks::end(Phase::Receive);
    finish(read, Ok(answer));
    marks::end(Phase::Encode);
}

unsafe extern "C" fn on_reject(open: usize) {
    // SAFETY: as above.
    let read = unsafe { Box::from_raw(open as *mut Read) };
    let (code, message) = (ic_cdk::api::msg_reject_code(), ic_cdk::api::msg_reject_msg());
    let failure = rejected(read.request.shard, code, &message);
    let may_help = matches!(failure, Failure::Unknown { .. }) || is_given_back(code, &message);
    let has_attempts = read.update.as_ref().is_some_and(|update| update.attempts < ATTEMPTS_MAX);
    if !may_help || !has_attempts || !read.request.is_kept() {
        return finish(read, Err(failure));
    }
    match check_cycles([&read.request].into_iter()) {
        Ok(()) => perform(read),
        Err(refusal) => refuse(read.request.shard, read.answer, refusal),
    }
}

/// Runs when a callback has trapped, which was rolled back: the caller has been told, and the call is not open any more.
unsafe extern "C" fn on_cleanup(open: usize) {
    // SAFETY: the callback that took the box back was rolled back, so this is the one time that it comes back.
    drop(unsafe { Box::from_raw(open as *mut Read) });
}
