//! Why an operation has no result, in one type for the router's inside; each method's error is made from it.

use candid::Principal;
use canopy_types::api::errors::Refusal;
use canopy_types::shard::{ShardError, WrongShard};
use canopy_types::wire::refusals;
use canopy_types::{BusyReason, DeleteError, GetError, MalformedArguments, PutError};

#[cfg(test)]
mod tests;

/// How long a caller is told to wait when the range moves.
const RANGE_MOVES_RETRY_MILLISECONDS: u64 = 1_000;

/// How long a caller is told to wait when no more outcomes of operations on its key can be kept; a minute's worth of
/// them ends every minute.
const OPERATIONS_RETRY_MILLISECONDS: u64 = 60_000;

/// The platform's code of a call whose outcome nobody knows.
pub const REJECT_CODE_UNKNOWN: u32 = 6;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was done.
    NotDone(Refusal),
    /// Nothing was done: the shard that was asked doesn't serve the key. What is unknown of an attempt before, if anything.
    Elsewhere { shard: Principal, whereabouts: Whereabouts, unknown: Option<Box<Failure>> },
    /// A write was done, wasn't done, or will still be done.
    Unknown { shard: Principal, reject_code: u32, reason: String },
}

/// What a shard says of a key that it doesn't serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Another shard owns it.
    Wrong(Box<WrongShard>),
    /// Its range is closed while it is handed over, which takes a few messages.
    Moving { retry_after_milliseconds: u64 },
}

impl Whereabouts {
    /// Makes what callers are told where nobody asks again.
    pub fn refusal(&self) -> Refusal {
        match *self {
            Self::Wrong(_) => range_moves(),
            Self::Moving { retry_after_milliseconds } => {
                Refusal::Busy { retry_after_milliseconds, reason: BusyReason::RangeMoves }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::NotDone(refusal)
    }
}

impl From<MalformedArguments> for Failure {
    fn from(malformed: MalformedArguments) -> Self {
        Self::NotDone(Refusal::MalformedArguments { reason: malformed.reason })
    }
}

impl Failure {
    /// Makes what callers are told where nobody asks elsewhere, or again.
    pub fn settled(self) -> Self {
        match self {
            Self::Elsewhere { unknown: Some(unknown), .. } => *unknown,
            Self::Elsewhere { whereabouts, unknown: None, .. } => Self::NotDone(whereabouts.refusal()),
            settled => settled,
        }
    }
}

/// Takes what `shard` answered.
pub fn heard(shard: Principal, error: ShardError) -> Failure {
    let whereabouts = match error {
        ShardError::WrongShard(wrong) => Whereabouts::Wrong(Box::new(wrong)),
        // One that holds writes back for its changes is not to be asked again at once.
        ShardError::Moving { retry_after_milliseconds, changes: None } => {
            Whereabouts::Moving { retry_after_milliseconds }
        }
        error => return Failure::NotDone(from_shard(shard, error)),
    };
    Failure::Elsewhere { shard, whereabouts, unknown: None }
}

/// Translates what `shard` answered.
///
/// The router has checked arguments and rights before, so a shard that refuses those is set up for another router or
/// another version.
pub fn from_shard(shard: Principal, error: ShardError) -> Refusal {
    let unavailable = |message| Refusal::ShardUnavailable { shard, reject_code: 0, message };
    match error {
        ShardError::MalformedArguments { reason } => {
            unavailable(format!("the shard doesn't understand its router: {reason}"))
        }
        ShardError::Unauthorised { caller } => unavailable(format!("the shard doesn't know {caller} as its router")),
        ShardError::TooManyItems { items, items_max } => {
            unavailable(format!("the shard takes {items_max} items, and the router sent {items}"))
        }
        ShardError::OutOfSpace => Refusal::OutOfSpace { shard },
        ShardError::Growing { retry_after_milliseconds } => {
            Refusal::Busy { retry_after_milliseconds, reason: BusyReason::ShardGrows }
        }
        ShardError::WrongShard(_) => range_moves(),
        ShardError::Moving { retry_after_milliseconds, changes: _ } => {
            Refusal::Busy { retry_after_milliseconds, reason: BusyReason::RangeMoves }
        }
        ShardError::RateLimited { retry_after_milliseconds, operations_per_minute_max, bytes_per_minute_max } => {
            let reason = BusyReason::RateLimit { operations_per_minute_max, bytes_per_minute_max };
            Refusal::Busy { retry_after_milliseconds, reason }
        }
        ShardError::RolesUnknown => unavailable("the shard doesn't know its router".to_string()),
        ShardError::TooManyOperations { operations_max } => Refusal::Busy {
            retry_after_milliseconds: OPERATIONS_RETRY_MILLISECONDS,
            reason: BusyReason::TooManyOperations { operations_max },
        },
        shared => shared.into_refusal().expect("INVARIANT: all that shards don't share with others is named above"),
    }
}

/// Says that the asked shard owns the key's hash no more, or not yet.
pub fn range_moves() -> Refusal {
    Refusal::Busy { retry_after_milliseconds: RANGE_MOVES_RETRY_MILLISECONDS, reason: BusyReason::RangeMoves }
}

/// Writes a failure whose error reads the same for every hot method; `None` for those that take the general encoder.
///
/// A refusal that isn't the method's, which only a shard of another version could cause, takes that too.
pub fn write_plainly(failure: &Failure, is_methods: impl FnOnce(&Refusal) -> bool) -> Option<Vec<u8>> {
    let Failure::NotDone(refusal) = failure else { return None };
    let (tag, fields) = refusal.parts().filter(|_| is_methods(refusal))?;
    Some(refusals::refuse(tag, &fields))
}

/// What a shard answered as if it had been asked for something else.
fn out_of_place(refusal: &Refusal) -> String {
    format!("the shard answered as if it were asked for something else: {refusal:?}")
}

impl From<Failure> for PutError {
    fn from(failure: Failure) -> Self {
        match failure.settled() {
            Failure::NotDone(refusal) => {
                Self::from_refusal(refusal).unwrap_or_else(|other| Self::Unknown { reason: out_of_place(&other) })
            }
            Failure::Unknown { reason, .. } => Self::Unknown { reason },
            Failure::Elsewhere { .. } => unreachable!("INVARIANT: a settled failure is one of the others"),
        }
    }
}

impl From<Failure> for DeleteError {
    fn from(failure: Failure) -> Self {
        match failure.settled() {
            Failure::NotDone(refusal) => {
                Self::from_refusal(refusal).unwrap_or_else(|other| Self::Unknown { reason: out_of_place(&other) })
            }
            Failure::Unknown { reason, .. } => Self::Unknown { reason },
            Failure::Elsewhere { .. } => unreachable!("INVARIANT: a settled failure is one of the others"),
        }
    }
}

impl From<Failure> for GetError {
    fn from(failure: Failure) -> Self {
        match failure.settled() {
            Failure::NotDone(refusal) => Self::from_refusal(refusal)
                .unwrap_or_else(|other| Self::MalformedArguments { reason: out_of_place(&other) }),
            // Reading changes nothing, so a lost answer is merely no answer.
            Failure::Unknown { shard, reject_code, reason } => {
                Self::ShardUnavailable { shard, reject_code, message: reason }
            }
            Failure::Elsewhere { .. } => unreachable!("INVARIANT: a settled failure is one of the others"),
        }
    }
}
