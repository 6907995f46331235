//! Why an operation has no result, in one type for the router's inside; each method's error is made from it.

use candid::Principal;
use canopy_types::limits::{
    KEY_BYTES_MAX, OPERATION_ID_BYTES, TIME_TO_LIVE_MILLISECONDS_MAX, TIME_TO_LIVE_MILLISECONDS_MIN, VALUE_BYTES_MAX,
};
use canopy_types::shard::ShardError;
use canopy_types::wire::refusals;
use canopy_types::{BusyReason, DeleteError, GetError, MalformedArguments, PutError, Version};

#[cfg(test)]
mod tests;

/// How long a caller is told to wait when the range moves.
const RANGE_MOVES_RETRY_MILLISECONDS: u64 = 1_000;

/// How long a caller is told to wait when no more outcomes of operations on its key can be kept; a minute's worth of
/// them ends every minute.
const OPERATIONS_RETRY_MILLISECONDS: u64 = 60_000;

/// The platform's code of a call whose outcome nobody knows.
pub const REJECT_CODE_UNKNOWN: u32 = 6;

/// All but `Unknown`: nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotReady { retry_after_milliseconds: u64 },
    MalformedArguments { reason: String },
    Unauthorised { caller: Principal },
    KeyEmpty,
    KeyTooLong { bytes: u64 },
    ValueTooLong { bytes: u64 },
    PreconditionFailed { found: Option<Version> },
    OperationIdLength { bytes: u64 },
    OperationTooOld { oldest_nanoseconds: u64 },
    OperationFromTheFuture { newest_nanoseconds: u64 },
    OperationIdReused,
    TimeToLiveOutOfBounds { milliseconds: u64 },
    KeyCollides { keys_max: u64 },
    AskAgain { bytes: u64 },
    Busy { retry_after_milliseconds: u64, reason: BusyReason },
    OutOfSpace { shard: Principal },
    ShardUnavailable { shard: Principal, reject_code: u32, message: String },
    Unknown { shard: Principal, reject_code: u32, reason: String },
}

impl From<MalformedArguments> for Refusal {
    fn from(malformed: MalformedArguments) -> Self {
        Self::MalformedArguments { reason: malformed.reason }
    }
}

impl Refusal {
    /// Translates what `shard` answered.
    ///
    /// The router has checked arguments and rights before, so a shard that refuses those is set up for another router
    /// or another version.
    pub fn from_shard(shard: Principal, error: ShardError) -> Self {
        match error {
            ShardError::KeyEmpty => Self::KeyEmpty,
            ShardError::KeyTooLong { bytes, .. } => Self::KeyTooLong { bytes },
            ShardError::ValueTooLong { bytes, .. } => Self::ValueTooLong { bytes },
            ShardError::OutOfSpace => Self::OutOfSpace { shard },
            ShardError::Growing { retry_after_milliseconds } => {
                Self::Busy { retry_after_milliseconds, reason: BusyReason::ShardGrows }
            }
            ShardError::WrongShard(_) => {
                Self::Busy { retry_after_milliseconds: RANGE_MOVES_RETRY_MILLISECONDS, reason: BusyReason::RangeMoves }
            }
            ShardError::PreconditionFailed { found } => Self::PreconditionFailed { found },
            ShardError::OperationIdLength { bytes, .. } => Self::OperationIdLength { bytes },
            ShardError::OperationTooOld { oldest_nanoseconds } => Self::OperationTooOld { oldest_nanoseconds },
            ShardError::OperationFromTheFuture { newest_nanoseconds } => {
                Self::OperationFromTheFuture { newest_nanoseconds }
            }
            ShardError::OperationIdReused => Self::OperationIdReused,
            ShardError::TimeToLiveOutOfBounds { milliseconds, .. } => Self::TimeToLiveOutOfBounds { milliseconds },
            ShardError::KeyCollides { keys_max } => Self::KeyCollides { keys_max },
            ShardError::AskAgain { bytes } => Self::AskAgain { bytes },
            ShardError::TooManyOperations { operations_max } => Self::Busy {
                retry_after_milliseconds: OPERATIONS_RETRY_MILLISECONDS,
                reason: BusyReason::TooManyOperations { operations_max },
            },
            ShardError::RateLimited { retry_after_milliseconds, operations_per_minute_max, bytes_per_minute_max } => {
                let reason = BusyReason::RateLimit { operations_per_minute_max, bytes_per_minute_max };
                Self::Busy { retry_after_milliseconds, reason }
            }
            ShardError::RolesUnknown => Self::ShardUnavailable {
                shard,
                reject_code: 0,
                message: "the shard doesn't know its router".to_string(),
            },
            ShardError::TooManyItems { items, items_max } => Self::ShardUnavailable {
                shard,
                reject_code: 0,
                message: format!("the shard takes {items_max} items, and the router sent {items}"),
            },
            ShardError::MalformedArguments { reason } => Self::ShardUnavailable {
                shard,
                reject_code: 0,
                message: format!("the shard doesn't understand its router: {reason}"),
            },
            ShardError::Unauthorised { caller } => Self::ShardUnavailable {
                shard,
                reject_code: 0,
                message: format!("the shard doesn't know {caller} as its router"),
            },
        }
    }
}

/// What kind of method refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Read,
    Write,
}

/// Writes a refusal of an everyday kind, whose error reads the same for every hot method of its kind; `None` for those
/// that take the general encoder.
pub fn write_plainly(refusal: &Refusal, method: Method) -> Option<Vec<u8>> {
    use refusals::{Field, refuse};
    Some(match refusal {
        Refusal::NotReady { retry_after_milliseconds } => {
            refuse("NotReady", &[("retry_after_milliseconds", Field::Number(*retry_after_milliseconds))])
        }
        Refusal::Unauthorised { caller } => refuse("Unauthorised", &[("caller", Field::Principal(caller.as_slice()))]),
        Refusal::KeyEmpty => refuse("KeyEmpty", &[]),
        Refusal::PreconditionFailed { found } if method == Method::Write => {
            let found = Field::OptionalNumber(found.map(|version| version.0));
            refuse("PreconditionFailed", &[("found", found)])
        }
        Refusal::OutOfSpace { shard } if method == Method::Write => {
            refuse("OutOfSpace", &[("shard", Field::Principal(shard.as_slice()))])
        }
        Refusal::ShardUnavailable { shard, reject_code, message } => refuse(
            "ShardUnavailable",
            &[
                ("shard", Field::Principal(shard.as_slice())),
                ("reject_code", Field::SmallNumber(*reject_code)),
                ("message", Field::Text(message)),
            ],
        ),
        _ => return None,
    })
}

impl From<Refusal> for PutError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotReady { retry_after_milliseconds } => Self::NotReady { retry_after_milliseconds },
            Refusal::MalformedArguments { reason } => Self::MalformedArguments { reason },
            Refusal::Unauthorised { caller } => Self::Unauthorised { caller },
            Refusal::KeyEmpty => Self::KeyEmpty,
            Refusal::KeyTooLong { bytes } => Self::KeyTooLong { bytes, bytes_max: KEY_BYTES_MAX as u64 },
            Refusal::ValueTooLong { bytes } => Self::ValueTooLong { bytes, bytes_max: VALUE_BYTES_MAX as u64 },
            Refusal::PreconditionFailed { found } => Self::PreconditionFailed { found },
            Refusal::OperationIdLength { bytes } => {
                Self::OperationIdLength { bytes, bytes_required: OPERATION_ID_BYTES as u64 }
            }
            Refusal::OperationTooOld { oldest_nanoseconds } => Self::OperationTooOld { oldest_nanoseconds },
            Refusal::OperationFromTheFuture { newest_nanoseconds } => {
                Self::OperationFromTheFuture { newest_nanoseconds }
            }
            Refusal::OperationIdReused => Self::OperationIdReused,
            Refusal::TimeToLiveOutOfBounds { milliseconds } => Self::TimeToLiveOutOfBounds {
                milliseconds,
                milliseconds_min: TIME_TO_LIVE_MILLISECONDS_MIN,
                milliseconds_max: TIME_TO_LIVE_MILLISECONDS_MAX,
            },
            Refusal::KeyCollides { keys_max } => Self::KeyCollides { keys_max },
            Refusal::Busy { retry_after_milliseconds, reason } => Self::Busy { retry_after_milliseconds, reason },
            Refusal::OutOfSpace { shard } => Self::OutOfSpace { shard },
            Refusal::ShardUnavailable { shard, reject_code, message } => {
                Self::ShardUnavailable { shard, reject_code, message }
            }
            Refusal::Unknown { reason, .. } => Self::Unknown { reason },
            Refusal::AskAgain { .. } => {
                Self::Unknown { reason: "the shard answered a put as if it were a get".to_string() }
            }
        }
    }
}

impl From<Refusal> for DeleteError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotReady { retry_after_milliseconds } => Self::NotReady { retry_after_milliseconds },
            Refusal::MalformedArguments { reason } => Self::MalformedArguments { reason },
            Refusal::Unauthorised { caller } => Self::Unauthorised { caller },
            Refusal::KeyEmpty => Self::KeyEmpty,
            Refusal::KeyTooLong { bytes } => Self::KeyTooLong { bytes, bytes_max: KEY_BYTES_MAX as u64 },
            Refusal::PreconditionFailed { found } => Self::PreconditionFailed { found },
            Refusal::OperationIdLength { bytes } => {
                Self::OperationIdLength { bytes, bytes_required: OPERATION_ID_BYTES as u64 }
            }
            Refusal::OperationTooOld { oldest_nanoseconds } => Self::OperationTooOld { oldest_nanoseconds },
            Refusal::OperationFromTheFuture { newest_nanoseconds } => {
                Self::OperationFromTheFuture { newest_nanoseconds }
            }
            Refusal::OperationIdReused => Self::OperationIdReused,
            Refusal::OutOfSpace { shard } => Self::OutOfSpace { shard },
            Refusal::Busy { retry_after_milliseconds, reason } => Self::Busy { retry_after_milliseconds, reason },
            Refusal::ShardUnavailable { shard, reject_code, message } => {
                Self::ShardUnavailable { shard, reject_code, message }
            }
            Refusal::Unknown { reason, .. } => Self::Unknown { reason },
            Refusal::ValueTooLong { .. }
            | Refusal::TimeToLiveOutOfBounds { .. }
            | Refusal::KeyCollides { .. }
            | Refusal::AskAgain { .. } => {
                Self::Unknown { reason: "the shard answered a delete as if it were something else".to_string() }
            }
        }
    }
}

impl From<Refusal> for GetError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotReady { retry_after_milliseconds } => Self::NotReady { retry_after_milliseconds },
            Refusal::MalformedArguments { reason } => Self::MalformedArguments { reason },
            Refusal::Unauthorised { caller } => Self::Unauthorised { caller },
            Refusal::KeyEmpty => Self::KeyEmpty,
            Refusal::KeyTooLong { bytes } => Self::KeyTooLong { bytes, bytes_max: KEY_BYTES_MAX as u64 },
            Refusal::AskAgain { bytes } => Self::AskAgain { bytes },
            Refusal::Busy { retry_after_milliseconds, reason } => Self::Busy { retry_after_milliseconds, reason },
            Refusal::ShardUnavailable { shard, reject_code, message } => {
                Self::ShardUnavailable { shard, reject_code, message }
            }
            // Reading changes nothing, so a lost answer is merely no answer.
            Refusal::Unknown { shard, reject_code, reason } => {
                Self::ShardUnavailable { shard, reject_code, message: reason }
            }
            Refusal::ValueTooLong { .. }
            | Refusal::PreconditionFailed { .. }
            | Refusal::OperationIdLength { .. }
            | Refusal::OperationTooOld { .. }
            | Refusal::OperationFromTheFuture { .. }
            | Refusal::OperationIdReused
            | Refusal::TimeToLiveOutOfBounds { .. }
            | Refusal::KeyCollides { .. }
            | Refusal::OutOfSpace { .. } => {
                Self::MalformedArguments { reason: "the shard answered a get as if it were a write".to_string() }
            }
        }
    }
}
