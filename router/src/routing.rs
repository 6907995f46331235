//! From a key to the shard that owns it.

use candid::Principal;
use canopy_types::limits::{
    KEY_BYTES_MAX, OPERATION_ID_BYTES, TIME_TO_LIVE_MILLISECONDS_MAX, TIME_TO_LIVE_MILLISECONDS_MIN, VALUE_BYTES_MAX,
};
use canopy_types::wire::OperationRef;
use canopy_types::{HashSecret, RoutingTable};

use crate::refusal::Refusal;

#[cfg(test)]
mod tests;

/// How long a caller is told to wait while the router starts.
pub const NOT_READY_RETRY_MILLISECONDS: u64 = 2_000;

/// What is needed to route; absent until the router is ready.
pub struct Routing {
    pub secret: HashSecret,
    pub table: RoutingTable,
}

/// Finds the shard of `key`.
///
/// # Errors
///
/// A key of a wrong length, or a router that isn't ready.
pub fn route(routing: Option<&Routing>, key: &[u8]) -> Result<Principal, Refusal> {
    if key.is_empty() {
        return Err(Refusal::KeyEmpty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Refusal::KeyTooLong { bytes: key.len() as u64 });
    }
    let not_ready = Refusal::NotReady { retry_after_milliseconds: NOT_READY_RETRY_MILLISECONDS };
    let routing = routing.ok_or(not_ready)?;
    let route = routing.table.find(routing.secret.hash(key));
    Ok(route.expect("INVARIANT: a routing table that is in use covers every hash").shard)
}

/// Checks the length of a value.
///
/// # Errors
///
/// `ValueTooLong`.
pub fn check_value(value: &[u8]) -> Result<(), Refusal> {
    if value.len() > VALUE_BYTES_MAX { Err(Refusal::ValueTooLong { bytes: value.len() as u64 }) } else { Ok(()) }
}

/// Checks the length of an operation's id.
///
/// # Errors
///
/// `OperationIdLength`.
pub fn check_operation(operation: Option<OperationRef>) -> Result<(), Refusal> {
    match operation {
        Some(operation) if operation.id.len() != OPERATION_ID_BYTES => {
            Err(Refusal::OperationIdLength { bytes: operation.id.len() as u64 })
        }
        _ => Ok(()),
    }
}

/// Checks the bounds of a time to live.
///
/// # Errors
///
/// `TimeToLiveOutOfBounds`.
pub fn check_time_to_live(milliseconds: Option<u64>) -> Result<(), Refusal> {
    let bounds = TIME_TO_LIVE_MILLISECONDS_MIN..=TIME_TO_LIVE_MILLISECONDS_MAX;
    match milliseconds.filter(|milliseconds| !bounds.contains(milliseconds)) {
        Some(milliseconds) => Err(Refusal::TimeToLiveOutOfBounds { milliseconds }),
        None => Ok(()),
    }
}
