//! Calls to shards, and what the platform's answers mean.
//!
//! Everything a message sends is admitted first: cycles above the reserve, and places, for all of it. Then each call
//! waits for a bounded time, never longer than whoever called the router waits for it, and is sent again at most once,
//! at once: the platform allows no waiting without a call, and whoever waits holds cycles.
//!
//! A shard's methods wait for nothing, so whatever it rejects it has taken back. Only a call that nobody can tell about
//! (code 6), or an answer that can't be read, leaves a write unknown; and from then on only an answer that comes from
//! the write's own execution settles it.

use candid::{CandidType, Principal};
use canopy_types::api::Refusal;
use canopy_types::limits::bounded_reason;
use canopy_types::marks::{self, Phase};
use canopy_types::shard::{ShardError, WrongShard};
use canopy_types::{BusyReason, codec};
use ic_cdk::call::{Call, CallFailed};
use serde::de::DeserializeOwned;

use crate::refusal::{Failure, REJECT_CODE_UNKNOWN, Whereabouts, heard};
use crate::state::{self, OpenCall};

pub mod at_once;
mod attempts;
pub mod deadline;
pub mod handing_on;
pub mod together;

pub use attempts::Attempts;
pub use deadline::Deadline;

#[cfg(test)]
mod tests;

/// Calls that may be open to one shard. The platform has 500 places per pair of canisters; the rest stays for control.
pub const OPEN_CALLS_PER_SHARD_MAX: u32 = 400;

/// Batches of gets that may be open: their answers are kept until the last has come, up to 4 MiB each.
pub const OPEN_READ_BATCHES_MAX: u32 = 128;

/// Cycles that operations leave untouched, for the journal and its timers: 200 G, four open calls.
pub const RESERVE_CYCLES: u128 = 200_000_000_000;

/// More than any call costs, in cycles: 44 G with 2 MiB on a subnet of 13 nodes, 116 G on one of 34.
const CALL_CYCLES_MAX: u128 = 200_000_000_000;

/// Sendings of one call.
const ATTEMPTS_MAX: u32 = 2;

/// Times that a call is sent again, at once, because a shard says that it doesn't serve what it is asked for: to the owner
/// that it names, or to itself while it hands the range over, which takes no longer than two more questions.
pub const HOPS_MAX: u32 = 3;

/// Longest arguments that are kept for a second sending, there or elsewhere. Longer ones are not, because all that is open
/// together has to fit the heap.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// How long callers are told to wait, by what is short.
const CYCLES_RETRY_MILLISECONDS: u64 = 60_000;
const CALLS_OPEN_RETRY_MILLISECONDS: u64 = 1_000;
const PLATFORM_RETRY_MILLISECONDS: u64 = 2_000;

/// How the platform says that a shard has run out of cycles.
const OUT_OF_CYCLES_TEXTS: [&str; 2] = ["out of cycles", "it's frozen"];

const _: () = assert!(OPEN_CALLS_PER_SHARD_MAX < 500);

/// What a call does, which decides what a lost answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it may be sent again whatever became of it.
    Read,
    /// A write whose name the shard remembers: it may be sent again, and only the shard's receipt settles it then.
    NamedWrite,
    /// A write that could be done twice: it is sent again only if it can't have run.
    Write,
}

/// A call to a shard: which one, which method, with what.
#[derive(Debug)]
pub struct Request {
    pub shard: Principal,
    pub method: &'static str,
    pub arguments: Vec<u8>,
    pub effect: Effect,
}

impl Request {
    /// Tells whether the arguments are there, and stay while the call is open.
    pub fn is_kept(&self) -> bool {
        (1..=KEPT_BYTES_MAX).contains(&self.arguments.len())
    }
}

/// What a shard answered.
pub struct Reply {
    pub bytes: Vec<u8>,
    /// What is unknown about an attempt before this one.
    unknown: Option<Failure>,
}

impl Reply {
    /// Wraps what was answered to a first attempt.
    #[cfg(test)]
    pub fn to_first_attempt(bytes: Vec<u8>) -> Self {
        Self { bytes, unknown: None }
    }

    /// Wraps what was answered after an attempt of which something is unknown.
    #[cfg(test)]
    pub fn after(self, unknown: Failure) -> Self {
        Self { unknown: Some(unknown), ..self }
    }

    /// Settles the result that the bytes tell: a refusal says nothing about an attempt that may be alive, unless it
    /// comes from the write's receipt.
    pub fn settle<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        match (result, &self.unknown) {
            // Where it is asked next, the receipt of that attempt may lie.
            (Err(Failure::Elsewhere { shard, whereabouts, .. }), Some(unknown)) => {
                Err(Failure::Elsewhere { shard, whereabouts, unknown: Some(Box::new(unknown.clone())) })
            }
            (Err(Failure::NotDone(refusal)), Some(unknown)) if !is_outcome(&refusal) => Err(unknown.clone()),
            (result, _) => result,
        }
    }
}

/// Tells whether a refusal is what a write came to when it ran, so that its receipt says the same.
fn is_outcome(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::PreconditionFailed { .. })
}

/// Admits calls: counts each as open, once there are cycles and places for all of them.
///
/// # Errors
///
/// `Busy`; nothing was sent, and nothing is counted.
pub fn admit<'r>(
    requests: impl IntoIterator<Item = &'r Request, IntoIter: Clone> + Clone,
) -> Result<Vec<OpenCall>, Refusal> {
    check_cycles(requests.clone().into_iter())?;
    // Those that were opened before one that isn't are closed by being dropped.
    requests.into_iter().map(open_call).collect()
}

/// Admits one call, as [`admit`] admits many.
fn admit_one(request: &Request) -> Result<OpenCall, Refusal> {
    check_cycles([request].into_iter())?;
    open_call(request)
}

fn open_call(request: &Request) -> Result<OpenCall, Refusal> {
    state::open_call(request.shard, OPEN_CALLS_PER_SHARD_MAX).map_err(|open| calls_open(open, OPEN_CALLS_PER_SHARD_MAX))
}

/// Admits one call, sends it, and has `read` make something of the shard's answer. Where a shard says that another one
/// owns what it was asked for, that one is asked; where it says that it hands that over, it is asked again, and names the
/// owner then. All that at once and a few times: what a shard refuses so it hasn't run.
///
/// # Errors
///
/// Why there is no answer. Nothing was done, unless it says `Unknown`.
pub async fn ask<T>(
    mut request: Request,
    deadline: Deadline,
    read: impl Fn(Principal, Reply) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut unknown = None;
    for hop in 0..=HOPS_MAX {
        let open = admit_one(&request).map_err(|refusal| unknown.take().unwrap_or(Failure::NotDone(refusal)))?;
        let reply = send_request(&mut request, open, deadline, unknown.take()).await?;
        match read(request.shard, reply) {
            Err(Failure::Elsewhere { shard, whereabouts, unknown: earlier }) => {
                let next = ask_next(shard, &whereabouts).filter(|_| hop < HOPS_MAX && request.is_kept());
                unknown = earlier.map(|unknown| *unknown);
                match next {
                    Some(next) => request.shard = next,
                    None => return Err(unknown.unwrap_or_else(|| Failure::NotDone(whereabouts.refusal()))),
                }
            }
            result => return result,
        }
    }
    unreachable!("INVARIANT: after the last hop there is no other")
}

/// Learns from a shard's word that it doesn't serve what it was asked for, and tells which shard is to be asked next, if
/// that is one of ours.
pub fn ask_next(asked: Principal, whereabouts: &Whereabouts) -> Option<Principal> {
    match whereabouts {
        Whereabouts::Wrong(wrong) => owner(asked, wrong),
        Whereabouts::Moving { .. } => Some(asked),
    }
}

fn owner(asked: Principal, wrong: &WrongShard) -> Option<Principal> {
    state::with(|state| {
        let owner = wrong.owner.filter(|owner| *owner != asked)?;
        if let Some(moved) = &wrong.moved
            && state.journal().awaits_move(asked, owner, moved)
        {
            state.change_journal(|journal| journal.hear_of_move(moved, ic_cdk::api::time()));
        }
        state.journal().serves(owner).then_some(owner)
    })
}

/// Sends a call that was admitted.
///
/// # Errors
///
/// Why there is no answer. Nothing was done, unless it says `Unknown`.
pub async fn send_admitted(mut request: Request, open: OpenCall, deadline: Deadline) -> Result<Reply, Failure> {
    send_request(&mut request, open, deadline, None).await
}

/// Sends a call that was admitted, given what is unknown of an attempt before.
async fn send_request(
    request: &mut Request,
    _open: OpenCall,
    deadline: Deadline,
    mut unknown: Option<Failure>,
) -> Result<Reply, Failure> {
    for attempt in 1..=ATTEMPTS_MAX {
        let may_send = if attempt == 1 { Ok(()) } else { check_cycles([&*request].into_iter()) };
        let timeout = may_send.and_then(|()| deadline.timeout_seconds(ic_cdk::api::time));
        let timeout = timeout.map_err(|refusal| unknown.take().unwrap_or(Failure::NotDone(refusal)))?;
        let keep = request.is_kept();
        let call = Call::bounded_wait(request.shard, request.method).change_timeout(timeout);
        let call = if keep {
            call.with_raw_args(&request.arguments)
        } else {
            call.take_raw_args(std::mem::take(&mut request.arguments))
        };
        // After this await anything may have changed but what this function owns.
        let answer = call.await;
        marks::begin();
        marks::end(Phase::Resume);
        let failure = match answer {
            Ok(reply) => return Ok(Reply { bytes: reply.into_bytes(), unknown }),
            Err(failure) => failure,
        };
        let meaning = classify(request.shard, &failure);
        let is_unknown = matches!(meaning, Failure::Unknown { .. });
        let again = attempt < ATTEMPTS_MAX
            && keep
            && if is_unknown { request.effect != Effect::Write } else { was_given_back(&failure) };
        if is_unknown && request.effect == Effect::NamedWrite {
            unknown.get_or_insert(meaning.clone());
        }
        if !again {
            return Err(unknown.unwrap_or(meaning));
        }
    }
    unreachable!("INVARIANT: after the last attempt there is no other")
}

/// Reads what a shard answered by the general decoder: refusals, and whatever is not an everyday answer.
///
/// # Errors
///
/// What the shard refused; or `Unknown`, if that can't be read.
pub fn read_answer<T>(shard: Principal, reply: &Reply) -> Result<T, Failure>
where
    Result<T, ShardError>: CandidType + DeserializeOwned,
{
    let answer: Result<T, ShardError> = codec::decode(&reply.bytes).map_err(|malformed| {
        let reason = format!("the shard's answer can't be read: {}", malformed.reason);
        Failure::Unknown { shard, reject_code: 0, reason }
    })?;
    reply.settle(answer.map_err(|error| heard(shard, error)))
}

/// Checks that calls leave the reserve untouched. What each costs is asked for only if that matters.
fn check_cycles<'r>(requests: impl Iterator<Item = &'r Request> + Clone) -> Result<(), Refusal> {
    let available = ic_cdk::api::canister_liquid_cycle_balance();
    if available >= requests.clone().count() as u128 * CALL_CYCLES_MAX + RESERVE_CYCLES {
        return Ok(());
    }
    let cost = |request: &Request| ic_cdk::api::cost_call(request.method.len() as u64, request.arguments.len() as u64);
    let required = requests.map(cost).sum::<u128>() + RESERVE_CYCLES;
    if available < required { Err(cycles_short(available, required)) } else { Ok(()) }
}

fn cycles_short(available: u128, required: u128) -> Refusal {
    Refusal::Busy {
        retry_after_milliseconds: CYCLES_RETRY_MILLISECONDS,
        reason: BusyReason::RouterCycles { available: available.into(), required: required.into() },
    }
}

/// Says that as many calls are open as may be.
pub fn calls_open(open: u32, open_max: u32) -> Refusal {
    Refusal::Busy {
        retry_after_milliseconds: CALLS_OPEN_RETRY_MILLISECONDS,
        reason: BusyReason::CallsOpen { open, open_max },
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
        CallFailed::CallRejected(reject) => is_given_back(reject.raw_reject_code(), reject.reject_message()),
        CallFailed::InsufficientLiquidCycleBalance(_) | CallFailed::CallPerformFailed(_) => false,
    }
}

fn is_given_back(reject_code: u32, message: &str) -> bool {
    reject_code == 2 && !OUT_OF_CYCLES_TEXTS.iter().any(|text| message.contains(text))
}

/// Says what a failed call means.
fn classify(shard: Principal, failure: &CallFailed) -> Failure {
    match failure {
        CallFailed::InsufficientLiquidCycleBalance(short) => cycles_short(short.available, short.required).into(),
        CallFailed::CallPerformFailed(_) => platform_busy("the platform took no call").into(),
        CallFailed::CallRejected(reject) => rejected(shard, reject.raw_reject_code(), reject.reject_message()),
    }
}

/// Says what a reject means. The one place that reads reject codes of shards.
fn rejected(shard: Principal, reject_code: u32, message: &str) -> Failure {
    let message = bounded_reason(message);
    match reject_code {
        // Given back before it ran.
        2 if is_given_back(reject_code, &message) => platform_busy(&message).into(),
        // 1: the platform can't; 2: the shard has no cycles; 3: there is no such canister; 5: the shard is stopped, or
        // trapped and was rolled back.
        1 | 2 | 3 | 5 => Refusal::ShardUnavailable { shard, reject_code, message }.into(),
        // 6: nobody knows. 4: a shard never rejects by itself, but the platform does so in the name of one that was
        // uninstalled while it worked. A code that doesn't exist yet says nothing.
        _ => {
            let code = if reject_code == REJECT_CODE_UNKNOWN { String::new() } else { format!("{reject_code}: ") };
            Failure::Unknown { shard, reject_code, reason: format!("{code}{message}") }
        }
    }
}
