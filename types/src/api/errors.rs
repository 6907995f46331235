//! Why operations were not done: one enum per operation, and one declaration per variant.
//!
//! Operations share most of their reasons, and every error of a reason has the same name, fields and meaning. So each
//! variant is declared once, in [`errors!`], and an enum names those that it has.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};

use crate::hash::KeyHash;
use crate::routing::Version;
use crate::wire::refusals::Plain;

#[cfg(test)]
mod tests;

/// Declares an error: the shared variants that it has, by name, then those of its own.
///
/// Makes the enum, its conversions from and to [`Refusal`], and `parts`, from which refusals are written by hand.
macro_rules! errors {
    (@look_up $head:tt [$($found:tt)*] NotReady $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The service is starting. Try again.
            NotReady {
                /// When trying again makes sense.
                retry_after_milliseconds: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] MalformedArguments $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The arguments are not what the method takes.
            MalformedArguments {
                /// What the decoder found.
                reason: String,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] Unauthorised $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The caller may not do this.
            Unauthorised {
                /// Who called.
                caller: Principal,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] KeyEmpty $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// A key has at least one byte.
            KeyEmpty,
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] KeyTooLong $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The key is too long.
            KeyTooLong {
                /// Its length.
                bytes: u64,
                /// The longest that is accepted.
                bytes_max: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] ValueTooLong $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The value is too long.
            ValueTooLong {
                /// Its length.
                bytes: u64,
                /// The longest that is accepted.
                bytes_max: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] PreconditionFailed $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The precondition does not hold.
            PreconditionFailed {
                /// Version of the record that is there; null when there is none.
                found: Option<Version>,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] OperationIdLength $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// An operation's id has 16 bytes.
            OperationIdLength {
                /// Its length.
                bytes: u64,
                /// The length that is accepted.
                bytes_required: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] OperationTooOld $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// Not done now; whether the operation was done before can't be told any more.
            OperationTooOld {
                /// Operations issued at this time or before are refused, in nanoseconds since 1970.
                oldest_nanoseconds: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] OperationFromTheFuture $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The client's clock is ahead of the service's.
            OperationFromTheFuture {
                /// Operations issued after this time are refused, in nanoseconds since 1970.
                newest_nanoseconds: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] OperationIdReused $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The caller has sent an operation of the same id with other arguments.
            OperationIdReused,
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] TimeToLiveOutOfBounds $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The time to live is out of bounds.
            TimeToLiveOutOfBounds {
                /// What was asked for.
                milliseconds: u64,
                /// The shortest that is accepted.
                milliseconds_min: u64,
                /// The longest that is accepted.
                milliseconds_max: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] KeyCollides $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// As many other keys as may be have the very hashes of this one. Use another key.
            KeyCollides {
                /// How many keys may have equal hashes.
                keys_max: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] AskAgain $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The record doesn't fit the reply that is left: ask for it again, alone.
            AskAgain {
                /// Length of its value.
                bytes: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] TooManyItems $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The batch is too long, and none of it was done.
            TooManyItems {
                /// Its items.
                items: u64,
                /// The most that are accepted.
                items_max: u64,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] Busy $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// Try again later.
            Busy {
                /// When trying again makes sense.
                retry_after_milliseconds: u64,
                /// What is short.
                reason: BusyReason,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] OutOfSpace $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The shard has no memory left. Deletes still work, until even the place for what they leave behind is
            /// gone.
            OutOfSpace {
                /// The full shard.
                shard: Principal,
            },
        ] $($rest)* }
    };
    (@look_up $head:tt [$($found:tt)*] ShardUnavailable $($rest:ident)*) => {
        $crate::api::errors::errors! { @look_up $head [$($found)*
            /// The shard is stopped, deleted, or failed while it ran and took everything back. Of a read: or its answer
            /// was lost.
            ShardUnavailable {
                /// The shard that should have answered.
                shard: Principal,
                /// The platform's reject code; 0 when the shard's answer made no sense.
                reject_code: u32,
                /// What the platform said.
                message: String,
            },
        ] $($rest)* }
    };
    (@look_up
        [{ $(#[$doc:meta])* $name:ident $(<$of:ident>)? }
            { $($own:tt)* } { $($(#[$tuple_doc:meta])* $tuple:ident($inner:ty),)* }]
        [$($(#[$shared_doc:meta])* $shared:ident $({ $($(#[$shared_field_doc:meta])* $shared_field:ident: $shared_type:ty,)* })?,)*]
    ) => {
        $crate::api::errors::errors! { @own [{ $(#[$doc])* $name $(<$of>)? } { $($(#[$tuple_doc])* $tuple($inner),)* }
            { $($(#[$shared_doc])* $shared $({ $($(#[$shared_field_doc])* $shared_field: $shared_type,)* })?,)* }]
            $($own)* }

        impl $(<$of>)? $name $(<$of>)? {
            /// Makes this error of a refusal.
            ///
            /// # Errors
            ///
            /// The refusal itself, when it is none of this operation's.
            #[allow(unreachable_patterns)]
            pub fn from_refusal(refusal: $crate::api::errors::Refusal) -> Result<Self, $crate::api::errors::Refusal> {
                match refusal {
                    $($crate::api::errors::Refusal::$shared { $($($shared_field,)*)? } =>
                        Ok(Self::$shared { $($($shared_field,)*)? }),)*
                    other => Err(other),
                }
            }

            /// Makes a refusal of this error.
            ///
            /// # Errors
            ///
            /// The error itself, when no other operation shares it.
            #[allow(unreachable_patterns)]
            pub fn into_refusal(self) -> Result<$crate::api::errors::Refusal, Self> {
                match self {
                    $(Self::$shared { $($($shared_field,)*)? } =>
                        Ok($crate::api::errors::Refusal::$shared { $($($shared_field,)*)? }),)*
                    other => Err(other),
                }
            }
        }
    };
    (@own
        [{ $(#[$doc:meta])* $name:ident $(<$of:ident>)? } { $($(#[$tuple_doc:meta])* $tuple:ident($inner:ty),)* } { $($shared:tt)* }]
        $($own:tt)*
    ) => {
        $crate::api::errors::errors! { @declare [{ $(#[$doc])* $name $(<$of>)? } { $($(#[$tuple_doc])* $tuple($inner),)* }]
            $($shared)* $($own)* }
    };
    (@declare
        [{ $(#[$doc:meta])* $name:ident $(<$of:ident>)? } { $($(#[$tuple_doc:meta])* $tuple:ident($inner:ty),)* }]
        $($(#[$variant_doc:meta])* $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })?,)*
    ) => {
        $(#[$doc])*
        #[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
        pub enum $name $(<$of>)? {
            $($(#[$variant_doc])* $variant $({ $($(#[$field_doc])* $field: $type,)* })?,)*
            $($(#[$tuple_doc])* $tuple($inner),)*
        }

        impl $(<$of: $crate::wire::refusals::Plain>)? $name $(<$of>)? {
            /// Tells name and fields; `None` where a field has no plain type, so that the general encoder is needed.
            pub fn parts(&self) -> Option<(&'static str, Vec<(&'static str, $crate::wire::refusals::Field<'_>)>)> {
                match self {
                    $(Self::$variant { $($($field,)*)? } => Some((stringify!($variant), vec![
                        $($((stringify!($field), $crate::wire::refusals::Plain::plain($field)?),)*)?
                    ])),)*
                    $(Self::$tuple(_) => None,)*
                }
            }
        }
    };
    (@look_up $head:tt $found:tt $unknown:ident $($rest:ident)*) => {
        compile_error!(concat!("no shared variant is called ", stringify!($unknown)));
    };
    (
        $(#[$doc:meta])* pub enum $name:ident $(<$of:ident>)? { $($shared:ident),* $(,)? }
        $(own { $($own:tt)* })? $(tuples { $($tuples:tt)* })?
    ) => {
        $crate::api::errors::errors! { @look_up
            [{ $(#[$doc])* $name $(<$of>)? } { $($($own)*)? } { $($($tuples)*)? }] [] $($shared)* }
    };
}
pub(crate) use errors;

/// Why the router is too busy for this call.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum BusyReason {
    /// The router has too few cycles to call a shard and keep its reserve. Top it up.
    RouterCycles {
        /// Cycles that the router can spend.
        available: Nat,
        /// Cycles that the call and the reserve need.
        required: Nat,
    },
    /// As many calls to the shard are open as may be.
    CallsOpen {
        /// Open calls.
        open: u32,
        /// Bound on open calls.
        open_max: u32,
    },
    /// The platform took no call, or gave it back before it ran.
    Platform {
        /// What the platform said.
        message: String,
    },
    /// The shard is getting more memory.
    ShardGrows,
    /// The range is changing hands.
    RangeMoves,
    /// The key was written so often in the last 15 minutes that no more outcomes of operations can be kept.
    TooManyOperations {
        /// How many are kept per key.
        operations_max: u64,
    },
    /// The caller has used up its share of the minute.
    RateLimit {
        /// How many operations each caller may ask for per minute; null: as many as it likes.
        operations_per_minute_max: Option<u64>,
        /// How many bytes of arguments and replies each caller may use per minute; null: as many as it likes.
        bytes_per_minute_max: Option<u64>,
    },
}

errors! {
    /// Why something was not done, whatever it was: every variant that the errors of operations share.
    pub enum Refusal {
        NotReady, MalformedArguments, Unauthorised, KeyEmpty, KeyTooLong, ValueTooLong, PreconditionFailed, OperationIdLength, OperationTooOld, OperationFromTheFuture, OperationIdReused, TimeToLiveOutOfBounds, KeyCollides, AskAgain, TooManyItems, Busy, OutOfSpace, ShardUnavailable,
    }
}

errors! {
    /// Why a put was not done, or may not have been: all but `Unknown` say that it was not.
    pub enum PutError {
        NotReady, MalformedArguments, Unauthorised, KeyEmpty, KeyTooLong, ValueTooLong, PreconditionFailed,
        OperationIdLength, OperationTooOld, OperationFromTheFuture, OperationIdReused, TimeToLiveOutOfBounds,
        KeyCollides, Busy, OutOfSpace, ShardUnavailable,
    }
    own {
        /// The put was done, wasn't done, or will still be done within five minutes: no answer came.
        Unknown {
            /// Why nothing is known.
            reason: String,
        },
    }
}

errors! {
    /// Why a get has no answer.
    pub enum GetError {
        NotReady, MalformedArguments, Unauthorised, KeyEmpty, KeyTooLong, AskAgain, Busy, ShardUnavailable,
    }
}

errors! {
    /// Why a delete was not done, or may not have been: all but `Unknown` say that it was not.
    pub enum DeleteError {
        NotReady, MalformedArguments, Unauthorised, KeyEmpty, KeyTooLong, PreconditionFailed, OperationIdLength,
        OperationTooOld, OperationFromTheFuture, OperationIdReused, OutOfSpace, Busy, ShardUnavailable,
    }
    own {
        /// The delete was done, wasn't done, or will still be done within five minutes: no answer came.
        Unknown {
            /// Why nothing is known.
            reason: String,
        },
    }
}

errors! {
    /// Why nothing of a batch was done. `E` is the error of one of its items.
    pub enum BatchError<E> {
        NotReady, MalformedArguments, Unauthorised, TooManyItems, Busy,
    }
    own {
        /// Two items have the same key.
        KeyTwice {
            /// Place of the first item with the key, from 0 on.
            first: u32,
            /// Place of the second one.
            second: u32,
        },
        /// An item can't be done as it is.
        Item {
            /// Its place, from 0 on.
            index: u32,
            /// What the operation would answer alone.
            error: E,
        },
    }
}

errors! {
    /// Why a page of a scan was not answered.
    pub enum ScanError {
        NotReady, MalformedArguments, Unauthorised, Busy, ShardUnavailable,
    }
    own {
        /// The cursor is none that this service made.
        InvalidCursor {
            /// What is wrong with it.
            reason: String,
        },
        /// A range has at least one hash.
        RangeEmpty {
            /// Its first hash.
            first: KeyHash,
            /// Its last hash, which lies before the first.
            last: KeyHash,
        },
        /// A page has at least one record and one byte.
        PageEmpty,
    }
}

impl Plain for PutError {}
impl Plain for GetError {}
impl Plain for DeleteError {}
impl Plain for BusyReason {}
