//! Calls to shards in composite queries.
//!
//! They cost nothing, whatever the router's balance is. The library's call refuses them when an update's call could not
//! be paid for, so these go to the platform directly. A query is answered by one call and keeps nothing, so there is
//! nothing to count and nothing to send again.

use candid::Principal;

use super::{platform_busy, rejected};
use crate::refusal::Failure;

/// Makes the router's reply of what a shard answered.
pub type Answer = fn(Principal, Result<Vec<u8>, Failure>) -> Vec<u8>;

struct Open {
    shard: Principal,
    answer: Answer,
}

/// Passes the query on to `method` of `shard`, and replies with what `answer` makes of its answer.
pub fn forward(shard: Principal, method: &str, arguments: &[u8], answer: Answer) {
    let open = Box::into_raw(Box::new(Open { shard, answer }));
    // SAFETY: exactly one of the callbacks runs, once, and takes the box back; none does if the platform takes no call.
    unsafe { ic0::call_new(shard.as_slice(), method, on_reply, open as usize, on_reject, open as usize) };
    ic0::call_data_append(arguments);
    if ic0::call_perform() != 0 {
        // SAFETY: the box was made above, and no callback will run.
        let open = unsafe { Box::from_raw(open) };
        reply(&(open.answer)(open.shard, Err(platform_busy("the platform took no call").into())));
    }
}

unsafe extern "C" fn on_reply(open: usize) {
    // SAFETY: `forward` gave the platform a box, and this is the one time that it comes back.
    let open = unsafe { Box::from_raw(open as *mut Open) };
    reply(&(open.answer)(open.shard, Ok(ic_cdk::api::msg_arg_data())));
}

unsafe extern "C" fn on_reject(open: usize) {
    // SAFETY: as above.
    let open = unsafe { Box::from_raw(open as *mut Open) };
    let failure = rejected(open.shard, ic_cdk::api::msg_reject_code(), &ic_cdk::api::msg_reject_msg());
    reply(&(open.answer)(open.shard, Err(failure)));
}

fn reply(bytes: &[u8]) {
    ic_cdk::api::msg_reply(bytes);
}
