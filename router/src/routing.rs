//! From a key to the shard that owns it.

use candid::Principal;
use canopy_types::api::Refusal;
use canopy_types::limits::{
    KEY_BYTES_MAX, OPERATION_ID_BYTES, TIME_TO_LIVE_MILLISECONDS_MAX, TIME_TO_LIVE_MILLISECONDS_MIN, VALUE_BYTES_MAX,
};
use canopy_types::wire::OperationRef;
use canopy_types::{HashSecret, RoutingTable};

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
    check_key(key)?;
    let routing = routing.ok_or_else(not_ready)?;
    let route = routing.table.find(routing.secret.hash(key));
    Ok(route.expect("INVARIANT: a routing table that is in use covers every hash").shard)
}

/// Says that the router is starting.
pub fn not_ready() -> Refusal {
    Refusal::NotReady { retry_after_milliseconds: NOT_READY_RETRY_MILLISECONDS }
}

/// Checks the length of a key.
///
/// # Errors
///
/// `KeyEmpty` or `KeyTooLong`.
pub fn check_key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::KeyEmpty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Refusal::KeyTooLong { bytes: key.len() as u64, bytes_max: KEY_BYTES_MAX as u64 });
    }
    Ok(())
}

/// Checks the length of a value.
///
/// # Errors
///
/// `ValueTooLong`.
pub fn check_value(value: &[u8]) -> Result<(), Refusal> {
    let (bytes, bytes_max) = (value.len() as u64, VALUE_BYTES_MAX as u64);
    if bytes > bytes_max { Err(Refusal::ValueTooLong { bytes, bytes_max }) } else { Ok(()) }
}

/// Checks the length of an operation's id.
///
/// # Errors
///
/// `OperationIdLength`.
pub fn check_operation(operation: Option<OperationRef>) -> Result<(), Refusal> {
    match operation {
        Some(operation) if operation.id.len() != OPERATION_ID_BYTES => Err(Refusal::OperationIdLength {
            bytes: operation.id.len() as u64,
            bytes_required: OPERATION_ID_BYTES as u64,
        }),
        _ => Ok(()),
    }
}

/// Checks the bounds of a time to live.
///
/// # Errors
///
/// `TimeToLiveOutOfBounds`.
pub fn check_time_to_live(milliseconds: Option<u64>) -> Result<(), Refusal> {
    let (milliseconds_min, milliseconds_max) = (TIME_TO_LIVE_MILLISECONDS_MIN, TIME_TO_LIVE_MILLISECONDS_MAX);
    match milliseconds.filter(|milliseconds| !(milliseconds_min..=milliseconds_max).contains(milliseconds)) {
        Some(milliseconds) => Err(Refusal::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max }),
        None => Ok(()),
    }
}
