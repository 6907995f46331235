//! What waits too long: messages past their time, callbacks past their deadline.

use candid::Principal;

use crate::errors::{ErrorCode, RejectCode, UserError};
use crate::replica::state::*;

/// How long a request may wait in its sender's output queue.
const OUTPUT_WAIT_NANOS: u64 = 300 * NANOS_PER_SECOND;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl SubnetState {
    /// Drops and rejects what waited too long, and answers callbacks whose deadline passed.
    pub fn time_out(&mut self) {
        let now = self.time_nanos;
        for id in self.active_ids() {
            let Some(canister) = self.canisters.get_mut(&id) else { continue };
            let late = |deadline: Option<u64>| deadline.is_some_and(|deadline| now / NANOS_PER_SECOND > deadline);
            let outputs = canister.queues.take_outputs(|output| match output {
                Output::Request(request) => {
                    late(request.deadline_seconds) || request.sent_nanos + OUTPUT_WAIT_NANOS <= now
                }
                Output::Response(response) => late(response.deadline_seconds),
            });
            let inputs = canister.queues.take_inputs(|input| match input {
                Input::Request(request) => late(request.deadline_seconds),
                // A response in the caller's own queue is delivered already.
                Input::Ingress(_) | Input::Response(_) => false,
            });
            let expired = canister.queues.expire_ingress(now);
            for output in outputs {
                match output {
                    Output::Request(request) => self.bounce(request, RejectCode::SysTransient, "Request timed out."),
                    Output::Response(response) => self.ledger.lost += response.refund,
                }
            }
            for input in inputs {
                if let Input::Request(request) = input {
                    self.ledger.lost += request.cycles;
                }
            }
            expired.into_iter().for_each(|ingress| self.expire(ingress));
            self.time_out_callbacks(id);
        }
        let pending = std::mem::take(&mut self.pending_ingress);
        for ingress in pending {
            match ingress.expiry_nanos <= now {
                true => self.expire(ingress),
                false => self.pending_ingress.push_back(ingress),
            }
        }
    }

    fn expire(&mut self, ingress: Ingress) {
        let text = format!("Ingress message {} timed out waiting to start executing.", hex::encode(ingress.id.0));
        let error = UserError::new(ErrorCode::IngressMessageTimeout, text);
        self.record_answer(ingress.id, IngressStatus::Rejected(error));
    }

    fn time_out_callbacks(&mut self, id: Principal) {
        let now_seconds = self.time_nanos / NANOS_PER_SECOND;
        let canister = self.canisters.get_mut(&id).expect("the caller looked it up");
        let due: Vec<CallbackId> = canister
            .callbacks
            .iter()
            .filter(|(_, callback)| !callback.answered)
            .filter(|(_, callback)| callback.deadline_seconds.is_some_and(|deadline| now_seconds > deadline))
            .map(|(id, _)| *id)
            .collect();
        for callback in due {
            self.give_up(id, callback, "Call deadline has expired.");
        }
    }

    /// Answers a best-effort call with reject 6; the real response will only credit its refund.
    pub(super) fn give_up(&mut self, caller: Principal, callback: CallbackId, text: &str) {
        let Some(canister) = self.canisters.get_mut(&caller) else { return };
        let Some(open) = canister.callbacks.get_mut(&callback).filter(|open| !open.answered) else { return };
        open.answered = true;
        let respondent = open.callee;
        let response = Response {
            caller,
            respondent,
            callback,
            refund: 0,
            payload: Payload::Reject(RejectCode::SysUnknown, text.to_string()),
            deadline_seconds: open.deadline_seconds,
            synthetic: true,
        };
        canister.queues.push_response(response, true);
        self.activate(caller);
    }
}
