//! Who may call which method, and with which keys.

use candid::Principal;
use canopy_types::api::Refusal;
use canopy_types::rate::{RateLimits, RateMeter};
use canopy_types::roles::{Reach, RoleTable};
use canopy_types::{BusyReason, Role};

use crate::state;

#[cfg(test)]
mod tests;

/// Tells the least role that may call `method`; `None` for a method that is none of the router's.
pub fn required_role(method: &str) -> Option<Role> {
    match method {
        "get" | "get_query" | "get_many" | "scan" | "scan_query" | "routing_table" | "status" | "get_manifest"
        | "get_manifest_query" | "get_chunk" | "get_chunk_query" => Some(Role::Reader),
        "put" | "delete" | "put_many" | "delete_many" | "begin_upload" | "put_chunk" | "commit_upload"
        | "abort_upload" | "upload_status" => Some(Role::Writer),
        "resolve_alarm" | "split_shard" | "merge_shard" | "retire_shard" | "stop_transfer" | "recover" | "grant"
        | "revoke" | "scrub" | "roles" | "renew_roles" | "policy" | "set_policy" => Some(Role::Administrator),
        _ => None,
    }
}

/// Tells with which keys `caller` may do what `required` may: all, or some that [`authorise_key`] must be asked about.
///
/// # Errors
///
/// `Unauthorised`: with none.
pub fn authorise(required: Role, caller: Principal) -> Result<Reach, Refusal> {
    authorise_by(caller, |table| table.reach(caller.as_slice(), required))
}

/// As [`authorise`], for what is told only to those who hold a role by name, and not to everyone who may read.
///
/// # Errors
///
/// `Unauthorised`.
pub fn authorise_by_name(required: Role, caller: Principal) -> Result<Reach, Refusal> {
    authorise_by(caller, |table| table.reach_by_name(caller.as_slice(), required))
}

fn authorise_by(caller: Principal, reach: impl FnOnce(&RoleTable) -> Reach) -> Result<Reach, Refusal> {
    let reach = match state::with(|state| reach(state.role_table())) {
        // Who controls the router may do everything; that is asked last, because the platform has to be asked.
        reach if reach < Reach::Everything && ic_cdk::api::is_controller(&caller) => Reach::Everything,
        reach => reach,
    };
    if reach == Reach::Nothing { Err(Refusal::Unauthorised { caller }) } else { Ok(reach) }
}

/// Counts what `caller` asks for in an update, unless callers may ask for as much as they like.
///
/// # Errors
///
/// `Busy`, when it has used up its share of the minute.
pub fn count(caller: Principal, operations: u64, bytes: usize) -> Result<(), Refusal> {
    let metered = |limits: &RateLimits, meter: &mut RateMeter| {
        // The time is asked for only if it is needed: that costs as much as finding a route.
        let now = ic_cdk::api::time();
        meter.admit(limits, caller.as_slice(), operations, bytes as u64, now).map_err(|milliseconds| Refusal::Busy {
            retry_after_milliseconds: milliseconds,
            reason: BusyReason::RateLimit {
                operations_per_minute_max: limits.operations_per_minute_max,
                bytes_per_minute_max: limits.bytes_per_minute_max,
            },
        })
    };
    with_meter(caller, metered).unwrap_or(Ok(()))
}

/// Counts the reply to an update that was counted.
pub fn count_reply(caller: Principal, bytes: usize) {
    with_meter(caller, |limits, meter| {
        meter.count_reply(limits, caller.as_slice(), bytes as u64, ic_cdk::api::time());
    });
}

/// Runs `action` on the limits and the meter of `caller`; `None` if there are no limits.
fn with_meter<R>(caller: Principal, action: impl FnOnce(&RateLimits, &mut RateMeter) -> R) -> Option<R> {
    state::with(|state| {
        let limits = state.policy().rate_limits();
        if limits.are_off() {
            return None;
        }
        let is_named = state.role_table().reach_by_name(caller.as_slice(), Role::Reader) > Reach::Nothing;
        Some(action(&limits, state.rates.of(is_named)))
    })
}

/// Checks that `caller`, who has this reach, may do what `required` may with `key`; or with all keys that begin so.
///
/// # Errors
///
/// `Unauthorised`.
pub fn authorise_key(reach: Reach, required: Role, caller: Principal, key: &[u8]) -> Result<(), Refusal> {
    let may =
        reach == Reach::Everything || state::with(|state| state.role_table().covers(caller.as_slice(), required, key));
    if may { Ok(()) } else { Err(Refusal::Unauthorised { caller }) }
}
