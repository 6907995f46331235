//! The canister's methods, and its calls.

use std::cell::RefCell;

use canopy_types::codec;

use crate::driving::{Driver, Open};
use crate::plan::Plan;
use crate::requests::Message;

/// Seconds that a call waits for its answer.
const TIMEOUT_SECONDS: u32 = 300;

thread_local! {
    static DRIVER: RefCell<Option<Driver>> = const { RefCell::new(None) };
}

fn argument() -> Vec<u8> {
    let mut bytes = vec![0; ic0::msg_arg_data_size()];
    ic0::msg_arg_data_copy(&mut bytes, 0);
    bytes
}

fn reply(bytes: &[u8]) {
    ic0::msg_reply_data_append(bytes);
    ic0::msg_reply();
}

fn with<R>(action: impl FnOnce(&mut Driver) -> R) -> R {
    DRIVER.with_borrow_mut(|driver| action(driver.as_mut().expect("the host starts a driver first")))
}

/// Begins a plan.
#[unsafe(export_name = "canister_update start")]
extern "C" fn start() {
    let plan: Plan = codec::decode(&argument()).expect("the host writes plans");
    let mut caller = vec![0; ic0::canister_self_size()];
    ic0::canister_self_copy(&mut caller, 0);
    DRIVER.set(Some(Driver::new(plan, caller)));
    // Drivers begin together, in the round after the last of them was told.
    ic0::global_timer_set(ic0::time() + 1);
    reply(&codec::encode(&()));
}

/// Lets the driver begin nothing any more.
#[unsafe(export_name = "canister_update stop")]
extern "C" fn stop() {
    with(Driver::stop);
    reply(&codec::encode(&()));
}

/// Tells what the driver has counted.
#[unsafe(export_name = "canister_query tally")]
extern "C" fn tally() {
    reply(&with(|driver| codec::encode(&driver.tally)));
}

/// Passes a call on: length of the callee's id (one byte), the id, length of the method's name, the name, the argument.
#[unsafe(export_name = "canister_update forward")]
extern "C" fn forward() {
    let bytes = argument();
    let (callee, rest) = bytes[1..].split_at(usize::from(bytes[0]));
    let (name, argument) = rest[1..].split_at(usize::from(rest[0]));
    let name = str::from_utf8(name).expect("the host names a method");
    // SAFETY: the callbacks look at no environment.
    unsafe { ic0::call_new(callee, name, on_forwarded, 0, on_not_forwarded, 0) };
    ic0::call_data_append(argument);
    assert_eq!(ic0::call_perform(), 0, "nothing stands against the call");
}

unsafe extern "C" fn on_forwarded(_: usize) {
    reply(&argument());
}

unsafe extern "C" fn on_not_forwarded(_: usize) {
    ic0::msg_reject(reject_message().as_bytes());
}

fn reject_message() -> String {
    let mut text = vec![0; ic0::msg_reject_msg_size()];
    ic0::msg_reject_msg_copy(&mut text, 0);
    String::from_utf8_lossy(&text).into_owned()
}

#[unsafe(export_name = "canister_global_timer")]
extern "C" fn turn() {
    let now = ic0::time();
    with(|driver| driver.round(now));
    go_on(now);
    if with(|driver| driver.goes_on()) {
        ic0::global_timer_set(now + 1);
    }
}

fn go_on(now: u64) {
    while let Some((message, open)) = with(|driver| driver.next(now)) {
        if !send(&message, open, now) {
            // The next round tries again.
            break;
        }
    }
}

/// Sends a message; tells whether the platform took it.
fn send(message: &Message, open: Open, now: u64) -> bool {
    let open = Box::into_raw(Box::new(open));
    // SAFETY: one of the callbacks runs, once, and takes the box back; none does if the platform takes no call.
    unsafe {
        ic0::call_new(message.callee.as_slice(), message.method, on_reply, open as usize, on_reject, open as usize);
    }
    ic0::call_data_append(&message.bytes);
    ic0::call_with_best_effort_response(TIMEOUT_SECONDS);
    if ic0::call_perform() == 0 {
        return true;
    }
    // SAFETY: the box was made above, and no callback will run.
    let open = unsafe { *Box::from_raw(open) };
    with(|driver| driver.rejected(open, "queue is full: the platform took no call".to_string(), now));
    false
}

unsafe extern "C" fn on_reply(open: usize) {
    // SAFETY: `send` gave the platform a box, and this is the one time that it comes back.
    let open = unsafe { *Box::from_raw(open as *mut Open) };
    let (now, answer) = (ic0::time(), argument());
    if let Some((message, open)) = with(|driver| driver.replied(open, &answer, now)) {
        send(&message, open, now);
    }
    go_on(now);
}

unsafe extern "C" fn on_reject(open: usize) {
    // SAFETY: as above.
    let open = unsafe { *Box::from_raw(open as *mut Open) };
    let now = ic0::time();
    with(|driver| driver.rejected(open, reject_message(), now));
    // What was turned away is not tried again at once: that would be a loop within the round.
}
