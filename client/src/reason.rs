//! Why something was not done, in one type for all operations, and what to do about it.

use candid::Principal;
use canopy_types::api::errors::Refusal;
use canopy_types::api::uploads::UploadError;
use canopy_types::shard::ShardError;
use canopy_types::{BusyReason, DeleteError, GetError, KeyHash, PutError, ScanError, ScrubError, UploadFault, Version};

#[cfg(test)]
mod tests;

/// How long to wait when a range changes hands, where nobody says how long.
const RANGE_MOVES_RETRY_MILLISECONDS: u64 = 1_000;

/// How long to wait when no more outcomes of operations on a key can be kept; some of them end every minute.
const OPERATIONS_RETRY_MILLISECONDS: u64 = 60_000;

/// How long to wait when nobody says how long.
const RETRY_MILLISECONDS: u64 = 1_000;

/// Why an operation was not done. It shows itself in words, for people.
///
/// ```
/// use canopy_client::Reason;
///
/// fn tell(reason: &Reason) {
///     match reason {
///         Reason::PreconditionFailed { found } => println!("another version: {found:?}"),
///         Reason::ValueTooLong { bytes, bytes_max } => println!("{bytes} bytes, at most {bytes_max}"),
///         other => println!("{other}"),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The service is starting.
    NotReady {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// Something is short for the moment.
    Busy {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
        /// What is short.
        reason: BusyReason,
    },
    /// The caller may not do that.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
    /// A key has at least one byte.
    KeyEmpty,
    /// The key is too long.
    KeyTooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is accepted.
        bytes_max: u64,
    },
    /// The value is too long.
    ValueTooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is accepted.
        bytes_max: u64,
    },
    /// The time to live is out of bounds.
    TimeToLiveOutOfBounds {
        /// What was asked for.
        milliseconds: u64,
        /// The shortest that is accepted.
        milliseconds_min: u64,
        /// The longest that is accepted.
        milliseconds_max: u64,
    },
    /// The precondition does not hold.
    PreconditionFailed {
        /// Version of the record that is there; `None` when there is none.
        found: Option<Version>,
    },
    /// The operation's id was used for another write of the same caller.
    OperationIdReused,
    /// The client's clock is behind, and setting it right didn't help.
    OperationTooOld {
        /// Operations issued at this time or before are refused, in nanoseconds since 1970.
        oldest_nanoseconds: u64,
    },
    /// The client's clock is ahead, and setting it right didn't help.
    OperationFromTheFuture {
        /// Operations issued after this time are refused, in nanoseconds since 1970.
        newest_nanoseconds: u64,
    },
    /// As many other keys as may be have the very hashes of this one.
    KeyCollides {
        /// How many keys may have equal hashes.
        keys_max: u64,
    },
    /// The shard has no memory left. Deletes still work.
    OutOfSpace {
        /// The full shard.
        shard: Principal,
    },
    /// The shard is stopped, deleted, or failed while it ran and took everything back.
    ShardUnavailable {
        /// The shard that should have answered.
        shard: Principal,
        /// The platform's reject code; 0 when router and shard don't understand each other.
        reject_code: u32,
        /// What the platform said.
        message: String,
    },
    /// The value doesn't fit the reply.
    AskAgain {
        /// Its length.
        bytes: u64,
    },
    /// Two items of a batch have the same key.
    KeyTwice {
        /// Place of the first, from 0 on.
        first: usize,
        /// Place of the second.
        second: usize,
    },
    /// An item of a batch can't be accepted, so nothing was sent.
    Item {
        /// Its place, from 0 on.
        index: usize,
        /// Why not.
        reason: Box<Reason>,
    },
    /// The cursor of a scan or a scrub is none.
    InvalidCursor {
        /// What is wrong with it.
        message: String,
    },
    /// A range of hashes ends before it begins.
    RangeEmpty {
        /// Its first hash.
        first: KeyHash,
        /// Its last hash.
        last: KeyHash,
    },
    /// The call was refused before it was sent or accepted: by the transport, or by the platform.
    NotSent {
        /// The platform's reject code; 0 when the transport itself refuses.
        reject_code: u32,
        /// What was said.
        message: String,
    },
    /// The platform rejected the call, and nothing ran.
    Rejected {
        /// The platform's reject code.
        reject_code: u32,
        /// What was said.
        message: String,
    },
    /// It is about a large value's upload or its chunks.
    Upload(UploadFault),
    /// Reading got no answer.
    NoAnswer {
        /// Why not.
        message: String,
    },
    /// The service doesn't understand this library, or the other way round: they are too far apart in version.
    NotUnderstood {
        /// What was found.
        message: String,
    },
}

/// What to do about something that was not done.
///
/// ```
/// use canopy_client::{Advice, Reason};
///
/// assert_eq!(Reason::KeyEmpty.advice(), Advice::AskDifferently);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Ask again after so long.
    TryAgain {
        /// How long.
        after_milliseconds: u64,
    },
    /// Ask for something else: the same is refused again.
    AskDifferently,
    /// Have whoever runs the service or this client change something: rights, space, cycles, versions, clocks.
    AskAdministrator,
}

impl Reason {
    /// Says what to do.
    ///
    /// ```
    /// use canopy_client::{Advice, Reason};
    ///
    /// let starting = Reason::NotReady { retry_after_milliseconds: 500 };
    /// assert_eq!(starting.advice(), Advice::TryAgain { after_milliseconds: 500 });
    /// ```
    pub fn advice(&self) -> Advice {
        match self {
            Reason::NotReady { retry_after_milliseconds } | Reason::Busy { retry_after_milliseconds, .. } => {
                Advice::TryAgain { after_milliseconds: *retry_after_milliseconds }
            }
            Reason::ShardUnavailable { reject_code, .. } => Self::advice_of_code(*reject_code),
            Reason::NotSent { reject_code, .. } | Reason::Rejected { reject_code, .. } => {
                Self::advice_of_code(*reject_code)
            }
            Reason::NoAnswer { .. } => Advice::TryAgain { after_milliseconds: RETRY_MILLISECONDS },
            Reason::Item { reason, .. } => reason.advice(),
            Reason::Upload(UploadFault::ServiceFull { .. }) => Advice::AskAdministrator,
            Reason::Upload(_) => Advice::AskDifferently,
            Reason::KeyEmpty
            | Reason::KeyTooLong { .. }
            | Reason::ValueTooLong { .. }
            | Reason::TimeToLiveOutOfBounds { .. }
            | Reason::PreconditionFailed { .. }
            | Reason::OperationIdReused
            | Reason::KeyCollides { .. }
            | Reason::AskAgain { .. }
            | Reason::KeyTwice { .. }
            | Reason::InvalidCursor { .. }
            | Reason::RangeEmpty { .. } => Advice::AskDifferently,
            Reason::Unauthorised { .. }
            | Reason::OperationTooOld { .. }
            | Reason::OperationFromTheFuture { .. }
            | Reason::OutOfSpace { .. }
            | Reason::NotUnderstood { .. } => Advice::AskAdministrator,
        }
    }

    /// Codes 1, 3 and 4 say that the callee isn't there or doesn't want the caller, which lasts; the others pass.
    fn advice_of_code(reject_code: u32) -> Advice {
        match reject_code {
            1 | 3 | 4 => Advice::AskAdministrator,
            _ => Advice::TryAgain { after_milliseconds: RETRY_MILLISECONDS },
        }
    }
}

/// What a service said that was not done, or can't say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not done.
    Because(Reason),
    /// Done or not; or for a read: no answer.
    Unknown(String),
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Because(reason)
    }
}

impl From<PutError> for Refused {
    fn from(error: PutError) -> Self {
        match error.into_refusal() {
            Ok(refusal) => Self::Because(refusal.into()),
            Err(PutError::Unknown { reason }) => Self::Unknown(reason),
            Err(other) => Self::Unknown(format!("{other:?}")),
        }
    }
}

impl From<DeleteError> for Refused {
    fn from(error: DeleteError) -> Self {
        match error.into_refusal() {
            Ok(refusal) => Self::Because(refusal.into()),
            Err(DeleteError::Unknown { reason }) => Self::Unknown(reason),
            Err(other) => Self::Unknown(format!("{other:?}")),
        }
    }
}

impl From<GetError> for Refused {
    fn from(error: GetError) -> Self {
        match error.into_refusal() {
            Ok(refusal) => Self::Because(refusal.into()),
            Err(other) => Self::Unknown(format!("{other:?}")),
        }
    }
}

impl From<UploadError> for Refused {
    fn from(error: UploadError) -> Self {
        match error.into_refusal() {
            Ok(refusal) => Self::Because(refusal.into()),
            Err(UploadError::Unknown { reason }) => Self::Unknown(reason),
            Err(UploadError::Upload(fault)) => Self::Because(Reason::Upload(fault)),
            Err(other) => Self::Unknown(format!("{other:?}")),
        }
    }
}

impl From<ScanError> for Refused {
    fn from(error: ScanError) -> Self {
        Self::Because(match error.into_refusal() {
            Ok(refusal) => refusal.into(),
            Err(ScanError::InvalidCursor { reason }) => Reason::InvalidCursor { message: reason },
            Err(ScanError::RangeEmpty { first, last }) => Reason::RangeEmpty { first, last },
            Err(other) => Reason::NotUnderstood { message: format!("{other:?}") },
        })
    }
}

impl From<ScrubError> for Refused {
    fn from(error: ScrubError) -> Self {
        Self::Because(match error.into_refusal() {
            Ok(refusal) => refusal.into(),
            Err(ScrubError::InvalidCursor { reason }) => Reason::InvalidCursor { message: reason },
            Err(other) => Reason::NotUnderstood { message: format!("{other:?}") },
        })
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotReady { retry_after_milliseconds } => Self::NotReady { retry_after_milliseconds },
            Refusal::MalformedArguments { reason } => Self::NotUnderstood { message: reason },
            Refusal::Unauthorised { caller } => Self::Unauthorised { caller },
            Refusal::KeyEmpty => Self::KeyEmpty,
            Refusal::KeyTooLong { bytes, bytes_max } => Self::KeyTooLong { bytes, bytes_max },
            Refusal::ValueTooLong { bytes, bytes_max } => Self::ValueTooLong { bytes, bytes_max },
            Refusal::PreconditionFailed { found } => Self::PreconditionFailed { found },
            Refusal::OperationIdLength { bytes, bytes_required } => Self::NotUnderstood {
                message: format!("the service takes operation ids of {bytes_required} bytes, not of {bytes}"),
            },
            Refusal::OperationTooOld { oldest_nanoseconds } => Self::OperationTooOld { oldest_nanoseconds },
            Refusal::OperationFromTheFuture { newest_nanoseconds } => {
                Self::OperationFromTheFuture { newest_nanoseconds }
            }
            Refusal::OperationIdReused => Self::OperationIdReused,
            Refusal::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max } => {
                Self::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max }
            }
            Refusal::KeyCollides { keys_max } => Self::KeyCollides { keys_max },
            Refusal::AskAgain { bytes } => Self::AskAgain { bytes },
            Refusal::TooManyItems { items, items_max } => Self::NotUnderstood {
                message: format!("the service takes {items_max} items at once, and was sent {items}"),
            },
            Refusal::Busy { retry_after_milliseconds, reason } => Self::Busy { retry_after_milliseconds, reason },
            Refusal::OutOfSpace { shard } => Self::OutOfSpace { shard },
            Refusal::ShardUnavailable { shard, reject_code, message } => {
                Self::ShardUnavailable { shard, reject_code, message }
            }
        }
    }
}

/// Translates what `shard`, called directly, answered. `WrongShard` is for the routes; here it means that the range
/// moves.
pub(crate) fn from_shard(shard: Principal, error: ShardError) -> Reason {
    let busy = |retry_after_milliseconds, reason| Reason::Busy { retry_after_milliseconds, reason };
    match error.into_refusal() {
        Ok(refusal) => refusal.into(),
        Err(ShardError::WrongShard(_)) => busy(RANGE_MOVES_RETRY_MILLISECONDS, BusyReason::RangeMoves),
        Err(ShardError::TooManyOperations { operations_max }) => {
            busy(OPERATIONS_RETRY_MILLISECONDS, BusyReason::TooManyOperations { operations_max })
        }
        Err(ShardError::Growing { retry_after_milliseconds }) => busy(retry_after_milliseconds, BusyReason::ShardGrows),
        Err(ShardError::Moving { retry_after_milliseconds, .. }) => {
            busy(retry_after_milliseconds, BusyReason::RangeMoves)
        }
        Err(ShardError::OutOfSpace) => Reason::OutOfSpace { shard },
        Err(ShardError::RateLimited { retry_after_milliseconds, operations_per_minute_max, bytes_per_minute_max }) => {
            busy(retry_after_milliseconds, BusyReason::RateLimit { operations_per_minute_max, bytes_per_minute_max })
        }
        Err(other) => Reason::NotUnderstood { message: format!("{other:?}") },
    }
}
