//! Reads that one shard answers: handed on by callbacks of the platform, without a future.
//!
//! The tables of an executor and the state of a future lie all over the heap, and every page that a message dirties costs
//! 1,000 instructions. Composite queries cost nothing, whatever the router's balance is, but the library's call refuses
//! them when an update's call could not be paid for. So reads go to the platform directly.

use candid::Principal;

use super::{ATTEMPTS_MAX, KEPT_BYTES_MAX, Request, check_cycles, is_given_back, open_call, platform_busy, rejected};
use crate::access;
use crate::calls::Deadline;
use crate::refusal::Failure;
use crate::state::OpenCall;

/// Makes the router's reply of what a shard answered; `Err` with the reply that refuses.
pub type Answer = fn(Principal, Result<Vec<u8>, Failure>) -> Result<Vec<u8>, Vec<u8>>;

/// A read that is under way.
struct Read {
    request: Request,
    answer: Answer,
    /// Absent for a composite query: nothing of it is kept, so there is nothing to count and nothing to send again.
    update: Option<Update>,
}

/// What an update has and a query hasn't.
struct Update {
    caller: Principal,
    deadline: Deadline,
    attempts: u32,
    /// Ends with this value.
    _open: OpenCall,
}

/// Passes the message, which is a composite query, on to a shard, and replies with what `answer` makes of its answer.
pub fn query(request: Request, answer: Answer) {
    perform(Box::new(Read { request, answer, update: None }));
}

/// Admits the message, which is an update of `caller`, passes it on to a shard, and replies with what `answer` makes of
/// its answer. It is sent again at most once.
pub fn update(request: Request, caller: Principal, answer: Answer) {
    match check_cycles([&request].into_iter()).and_then(|()| open_call(&request)) {
        Ok(open) => {
            let update = Update { caller, deadline: Deadline::of_message(), attempts: 0, _open: open };
            perform(Box::new(Read { request, answer, update: Some(update) }));
        }
        Err(refusal) => reply(&answer(request.shard, Err(refusal.into())).unwrap_or_else(|refusal| refusal)),
    }
}

fn perform(mut read: Box<Read>) {
    let mut timeout_seconds = None;
    if let Some(update) = &mut read.update {
        update.attempts += 1;
        match update.deadline.timeout_seconds(ic_cdk::api::time) {
            Ok(seconds) => timeout_seconds = Some(seconds),
            Err(refusal) => return finish(*read, Err(refusal.into())),
        }
    }
    let shard = read.request.shard;
    let method = read.request.method;
    let mut arguments = std::mem::take(&mut read.request.arguments);
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
    let is_taken = ic0::call_perform() == 0;
    if arguments.len() > KEPT_BYTES_MAX {
        arguments = vec![];
    }
    if is_taken {
        // SAFETY: the callbacks run in later messages, so the box is still this one's.
        unsafe { (*open).request.arguments = arguments };
    } else {
        // SAFETY: the box was made above, and no callback will run.
        finish(*unsafe { Box::from_raw(open) }, Err(platform_busy("the platform took no call").into()));
    }
}

/// Replies with what the read's answer comes to.
fn finish(read: Read, answer: Result<Vec<u8>, Failure>) {
    let answer = (read.answer)(read.request.shard, answer);
    if let (Some(update), Ok(bytes)) = (&read.update, &answer) {
        access::count_reply(update.caller, bytes.len());
    }
    reply(&answer.unwrap_or_else(|refusal| refusal));
}

unsafe extern "C" fn on_reply(open: usize) {
    // SAFETY: `perform` gave the platform a box, and this is the one time that it comes back.
    let read = unsafe { Box::from_raw(open as *mut Read) };
    finish(*read, Ok(ic_cdk::api::msg_arg_data()));
}

unsafe extern "C" fn on_reject(open: usize) {
    // SAFETY: as above.
    let read = unsafe { Box::from_raw(open as *mut Read) };
    let (code, message) = (ic_cdk::api::msg_reject_code(), ic_cdk::api::msg_reject_msg());
    let failure = rejected(read.request.shard, code, &message);
    let may_help = matches!(failure, Failure::Unknown { .. }) || is_given_back(code, &message);
    let is_kept = !read.request.arguments.is_empty();
    if !may_help || !is_kept || read.update.as_ref().is_none_or(|update| update.attempts >= ATTEMPTS_MAX) {
        return finish(*read, Err(failure));
    }
    match check_cycles([&read.request].into_iter()) {
        Ok(()) => perform(read),
        Err(refusal) => finish(*read, Err(refusal.into())),
    }
}

/// Runs when a callback has trapped, which was rolled back: the caller has been told, and the call is not open any more.
unsafe extern "C" fn on_cleanup(open: usize) {
    // SAFETY: the callback that took the box back was rolled back, so this is the one time that it comes back.
    drop(unsafe { Box::from_raw(open as *mut Read) });
}

fn reply(bytes: &[u8]) {
    ic_cdk::api::msg_reply(bytes);
}
