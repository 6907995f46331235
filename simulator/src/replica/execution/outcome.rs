//! How calls end, as users and as canisters see it.

use candid::Principal;

use super::Effects;
use crate::errors::{ErrorCode, RejectCode, UserError};
use crate::limits::*;
use crate::replica::state::*;
use crate::wasm::system::*;

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

impl Canister {
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
