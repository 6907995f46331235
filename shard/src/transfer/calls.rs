//! Calls to the other shard of a transfer. The only place where a shard calls anybody.

use ic_cdk::call::{Call, CallFailed};

use super::turn::Outgoing;
use crate::state;

/// How long a shard waits for the other one, in seconds. A batch is taken in within a round or two.
const CALL_TIMEOUT_SECONDS: u32 = 60;

/// Counts a call as failed if its callback traps, so that what it brought is sent again.
struct OpenFlight {
    flight: u64,
}

impl Drop for OpenFlight {
    fn drop(&mut self) {
        // Unknown to the state, and so without effect, once the answer was taken.
        answered(self.flight, Err("the answer was lost".to_string()));
    }
}

/// Makes a call. Its answer is told to the state, and the timer goes on from there.
pub fn send(outgoing: Outgoing) {
    ic_cdk::futures::spawn(async move {
        let Outgoing { flight, peer, method, arguments } = outgoing;
        let _open = OpenFlight { flight };
        let call = Call::bounded_wait(peer, method).change_timeout(CALL_TIMEOUT_SECONDS).take_raw_args(arguments);
        // After this await the transfer may have ended, and another one begun: the state knows by the flight.
        let answer = match call.await {
            Ok(reply) => Ok(reply.into_bytes()),
            Err(CallFailed::CallRejected(reject)) => {
                Err(format!("reject {}: {}", reject.raw_reject_code(), reject.reject_message()))
            }
            Err(failure) => Err(format!("not sent: {failure}")),
        };
        answered(flight, answer);
    });
}

fn answered(flight: u64, answer: Result<Vec<u8>, String>) {
    let now = ic_cdk::api::time();
    let alarm = state::with(|state| {
        state.peer_answered(flight, answer, now);
        state.take_alarm(now)
    });
    if let Some(at) = alarm {
        ic_cdk::api::global_timer_set(at);
    }
}
