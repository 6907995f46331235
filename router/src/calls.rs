//! Calls to shards, and what the platform's answers mean.
//!
//! A shard's methods wait for nothing, so whatever it rejects it has taken back. Only a call that nobody can tell about
//! (code 6), or an answer that can't be read, leaves a write unknown.

use candid::{CandidType, Principal};
use canopy_types::limits::bounded_reason;
use canopy_types::shard::ShardError;
use canopy_types::{BusyReason, codec};
use ic_cdk::call::{Call, CallFailed};
use serde::de::DeserializeOwned;

use crate::refusal::{REJECT_CODE_UNKNOWN, Refusal};
use crate::state;

#[cfg(test)]
mod tests;

/// How long the router waits for a shard, in seconds.
///
/// The platform's bound is 300. A shard answers within a second or two unless it is overloaded, and a caller that waits
/// longer learns nothing.
const CALL_TIMEOUT_SECONDS: u32 = 60;

/// Calls that may be open to one shard. The platform has 500 places per pair of canisters; the rest stays for control.
pub const OPEN_CALLS_PER_SHARD_MAX: u32 = 400;

/// Cycles that operations leave untouched, for the journal and its timers: 200 G, four open calls.
pub const RESERVE_CYCLES: u128 = 200_000_000_000;

/// Sendings of one call that the platform gives back before it ran.
const ATTEMPTS_MAX: u32 = 2;

/// How long callers are told to wait, by what is short.
const CYCLES_RETRY_MILLISECONDS: u64 = 60_000;
const CALLS_OPEN_RETRY_MILLISECONDS: u64 = 1_000;
const PLATFORM_RETRY_MILLISECONDS: u64 = 2_000;

/// How the platform says that a shard has run out of cycles.
const OUT_OF_CYCLES_TEXTS: [&str; 2] = ["out of cycles", "it's frozen"];

const _: () = assert!(OPEN_CALLS_PER_SHARD_MAX < 500);

/// Who answers: everyone in agreement, or one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Replicated,
    Query,
}

/// Reads what a shard answered by the general decoder: refusals, and whatever is not an everyday answer.
///
/// # Errors
///
/// What the shard refused; or `Unknown`, if that can't be read.
pub fn read<T>(shard: Principal, reply: &[u8]) -> Result<T, Refusal>
where
    Result<T, ShardError>: CandidType + DeserializeOwned,
{
    let answer: Result<T, ShardError> = codec::decode(reply).map_err(|malformed| {
        let reason = format!("the shard's answer can't be read: {}", malformed.reason);
        Refusal::Unknown { shard, reject_code: 0, reason }
    })?;
    answer.map_err(|error| Refusal::from_shard(shard, error))
}

/// Calls a method of a shard and gives what it answers.
///
/// # Errors
///
/// Why there is no answer. Nothing was done, unless it says `Unknown`.
pub async fn send(shard: Principal, method: &str, arguments: &[u8], mode: Mode) -> Result<Vec<u8>, Refusal> {
    let mut attempt = 1;
    loop {
        if mode == Mode::Replicated {
            check_cycles(method, arguments)?;
        }
        let _open = state::open_call(shard, OPEN_CALLS_PER_SHARD_MAX).map_err(calls_open)?;
        let sent = Call::bounded_wait(shard, method).with_raw_args(arguments).change_timeout(CALL_TIMEOUT_SECONDS);
        // After this await anything may have changed but the arguments; only the answer is used.
        let failure = match sent.await {
            Ok(reply) => return Ok(reply.into_bytes()),
            Err(failure) => failure,
        };
        if attempt == ATTEMPTS_MAX || !was_given_back(&failure) {
            return Err(classify(shard, &failure));
        }
        attempt += 1;
    }
}

/// Checks that the call leaves the reserve untouched.
fn check_cycles(method: &str, arguments: &[u8]) -> Result<(), Refusal> {
    let required = ic_cdk::api::cost_call(method.len() as u64, arguments.len() as u64) + RESERVE_CYCLES;
    let available = ic_cdk::api::canister_liquid_cycle_balance();
    if available < required { Err(cycles_short(available, required)) } else { Ok(()) }
}

fn cycles_short(available: u128, required: u128) -> Refusal {
    Refusal::Busy {
        retry_after_milliseconds: CYCLES_RETRY_MILLISECONDS,
        reason: BusyReason::RouterCycles { available: available.into(), required: required.into() },
    }
}

fn calls_open(open: u32) -> Refusal {
    Refusal::Busy {
        retry_after_milliseconds: CALLS_OPEN_RETRY_MILLISECONDS,
        reason: BusyReason::CallsOpen { open, open_max: OPEN_CALLS_PER_SHARD_MAX },
    }
}

fn platform_busy(message: &str) -> Refusal {
    Refusal::Busy {
        retry_after_milliseconds: PLATFORM_RETRY_MILLISECONDS,
        reason: BusyReason::Platform { message: bounded_reason(message) },
    }
}

/// Tells whether the platform gave a call back unrun (code 2) and may take it at once: not when the shard has run out
/// of cycles (IC0207), which lasts. Updates and queries say that in different words, and the code is in neither field.
fn was_given_back(failure: &CallFailed) -> bool {
    match failure {
        CallFailed::CallRejected(reject) => {
            let lasts = OUT_OF_CYCLES_TEXTS.iter().any(|text| reject.reject_message().contains(text));
            reject.raw_reject_code() == 2 && !lasts
        }
        CallFailed::InsufficientLiquidCycleBalance(_) | CallFailed::CallPerformFailed(_) => false,
    }
}

/// Says what a failed call means. The one place that reads reject codes of shards.
fn classify(shard: Principal, failure: &CallFailed) -> Refusal {
    match failure {
        CallFailed::InsufficientLiquidCycleBalance(short) => cycles_short(short.available, short.required),
        CallFailed::CallPerformFailed(_) => platform_busy("the platform took no call"),
        CallFailed::CallRejected(reject) => {
            let (reject_code, message) = (reject.raw_reject_code(), bounded_reason(reject.reject_message()));
            match reject_code {
                // Given back before it ran.
                2 if was_given_back(failure) => platform_busy(&message),
                // 1: the platform can't; 2: the shard has no cycles; 3: there is no such canister; 5: the shard is
                // stopped, or trapped and was rolled back.
                1 | 2 | 3 | 5 => Refusal::ShardUnavailable { shard, reject_code, message },
                // 6: nobody knows. 4: a shard never rejects by itself, but the platform does so in the name of one that
                // was uninstalled while it worked. A code that doesn't exist yet says nothing.
                _ => {
                    let code =
                        if reject_code == REJECT_CODE_UNKNOWN { String::new() } else { format!("{reject_code}: ") };
                    Refusal::Unknown { shard, reject_code, reason: format!("{code}{message}") }
                }
            }
        }
    }
}
