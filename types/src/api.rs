//! The router's methods: what applications and people call.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::routing::{RoutingTableReply, ShardIndex, Version};

/// What a router is installed with. Every field is optional; `record {}` makes a router with two shards that whoever
/// installs it administers.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct InitArguments {
    /// Shards to create, 1 to 64; 2 when null.
    pub initial_shards: Option<u32>,
    /// Who administers, besides the router's controllers, and controls the shards, besides the router; at most 8.
    /// When null: whoever installs the router.
    pub administrators: Option<Vec<Principal>>,
    /// Who may put, delete and get, besides administrators; at most 1,000.
    pub writers: Option<Vec<Principal>>,
    /// Who may get, besides writers; at most 1,000.
    pub readers: Option<Vec<Principal>>,
    /// Cycles that each new shard owns after the fee for its creation; 3 T when null.
    pub shard_cycles: Option<Nat>,
}

/// Names one write, so that sending it again within 15 minutes is told what the first sending did.
///
/// It belongs to its caller: equal ids of two callers are two operations.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// 16 bytes, drawn at random by the client and kept for its retries.
    pub id: ByteBuf,
    /// When the client first sent it, in nanoseconds since 1970; kept for its retries too.
    pub issued_at_nanoseconds: u64,
}

/// What must hold of a record for a write to be done.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing is stored under the key.
    Absent,
    /// Something is stored under the key.
    Present,
    /// The record has this version.
    Version(Version),
}

/// What to store under which key. `record { key; value }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PutArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Up to 1 MiB.
    pub value: ByteBuf,
    /// What must hold of the record that is there; nothing when null.
    pub precondition: Option<Precondition>,
    /// After how many milliseconds the record ends, from 1 on; never when null.
    pub time_to_live_milliseconds: Option<u64>,
    /// The write's name, for sending it again; when null, a write whose answer was lost stays unknown.
    pub operation: Option<Operation>,
}

impl PutArguments {
    /// Asks to store `value` under `key`, whatever is there, for ever.
    pub fn new(key: impl Into<ByteBuf>, value: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }
}

/// Which record to read, and how much of it. `record { key }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct GetArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Whether to answer the value, or only its length; true when null.
    pub include_value: Option<bool>,
}

impl GetArguments {
    /// Asks for the whole record under `key`.
    pub fn new(key: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), include_value: None }
    }
}

/// Which record to remove. `record { key }` is enough.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// What must hold of the record that is there; nothing when null.
    pub precondition: Option<Precondition>,
    /// The write's name, for sending it again; when null, a delete whose answer was lost stays unknown.
    pub operation: Option<Operation>,
}

impl DeleteArguments {
    /// Asks to remove what is stored under `key`, whatever it is.
    pub fn new(key: impl Into<ByteBuf>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }
}

/// A put that was done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PutReply {
    /// The record's new version.
    pub version: Version,
}

/// What is stored under a key.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The bytes that were put; empty when they were not asked for.
    pub value: ByteBuf,
    /// Version of the put.
    pub version: Version,
    /// When the record ends, in nanoseconds since 1970; null: never.
    pub expires_at_nanoseconds: Option<u64>,
    /// Length of the value when it was not asked for, else null.
    pub value_bytes: Option<u64>,
}

/// A delete that was done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DeleteReply {
    /// Version of the record that was removed; null when there was none.
    pub deleted: Option<Version>,
}

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

/// Why a put was not done, or may not have been.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum PutError {
    /// Not done: the service is starting. Try again.
    NotReady {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// Not done: the arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// Not done: the caller may not write.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
    /// Not done: a key has at least one byte.
    KeyEmpty,
    /// Not done: the key is too long.
    KeyTooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is accepted.
        bytes_max: u64,
    },
    /// Not done: the value is too long.
    ValueTooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is accepted.
        bytes_max: u64,
    },
    /// Not done: the precondition does not hold.
    PreconditionFailed {
        /// Version of the record that is there; null when there is none.
        found: Option<Version>,
    },
    /// Not done: an operation's id has 16 bytes.
    OperationIdLength {
        /// Its length.
        bytes: u64,
        /// The length that is accepted.
        bytes_required: u64,
    },
    /// Not done now; whether it was done before can't be told any more.
    OperationTooOld {
        /// Operations issued at this time or before are refused, in nanoseconds since 1970.
        oldest_nanoseconds: u64,
    },
    /// Not done: the client's clock is ahead of the service's.
    OperationFromTheFuture {
        /// Operations issued after this time are refused, in nanoseconds since 1970.
        newest_nanoseconds: u64,
    },
    /// Not done: the caller has sent an operation of the same id with other arguments.
    OperationIdReused,
    /// Not done: the time to live is out of bounds.
    TimeToLiveOutOfBounds {
        /// What was asked for.
        milliseconds: u64,
        /// The shortest that is accepted.
        milliseconds_min: u64,
        /// The longest that is accepted.
        milliseconds_max: u64,
    },
    /// Not done: as many other keys as may be have the very hashes of this one. Use another key.
    KeyCollides {
        /// How many keys may have equal hashes.
        keys_max: u64,
    },
    /// Not done: try again later.
    Busy {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
        /// What is short.
        reason: BusyReason,
    },
    /// Not done: the shard has no memory left. Deletes still work.
    OutOfSpace {
        /// The full shard.
        shard: Principal,
    },
    /// Not done: the shard is stopped, deleted, or failed while it ran and took everything back.
    ShardUnavailable {
        /// The shard that should have answered.
        shard: Principal,
        /// The platform's reject code.
        reject_code: u32,
        /// What the platform said.
        message: String,
    },
    /// The put was done, wasn't done, or will still be done within five minutes: no answer came.
    Unknown {
        /// Why nothing is known.
        reason: String,
    },
}

/// Why a get has no answer.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum GetError {
    /// The service is starting. Try again.
    NotReady {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// The arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// The caller may not read.
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
    /// The record doesn't fit the reply that is left: ask for it again, alone.
    AskAgain {
        /// Length of its value.
        bytes: u64,
    },
    /// Try again later.
    Busy {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
        /// What is short.
        reason: BusyReason,
    },
    /// The shard is stopped or deleted, failed, or its answer was lost.
    ShardUnavailable {
        /// The shard that should have answered.
        shard: Principal,
        /// The platform's reject code; 0 when the shard's answer could not be read.
        reject_code: u32,
        /// What the platform said.
        message: String,
    },
}

/// Why a delete was not done, or may not have been.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum DeleteError {
    /// Not done: the service is starting. Try again.
    NotReady {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// Not done: the arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// Not done: the caller may not write.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
    /// Not done: a key has at least one byte.
    KeyEmpty,
    /// Not done: the key is too long.
    KeyTooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is accepted.
        bytes_max: u64,
    },
    /// Not done: the precondition does not hold.
    PreconditionFailed {
        /// Version of the record that is there; null when there is none.
        found: Option<Version>,
    },
    /// Not done: an operation's id has 16 bytes.
    OperationIdLength {
        /// Its length.
        bytes: u64,
        /// The length that is accepted.
        bytes_required: u64,
    },
    /// Not done now; whether it was done before can't be told any more.
    OperationTooOld {
        /// Operations issued at this time or before are refused, in nanoseconds since 1970.
        oldest_nanoseconds: u64,
    },
    /// Not done: the client's clock is ahead of the service's.
    OperationFromTheFuture {
        /// Operations issued after this time are refused, in nanoseconds since 1970.
        newest_nanoseconds: u64,
    },
    /// Not done: the caller has sent an operation of the same id with other arguments.
    OperationIdReused,
    /// Not done: the shard has no memory left, not even for what a delete leaves behind.
    OutOfSpace {
        /// The full shard.
        shard: Principal,
    },
    /// Not done: try again later.
    Busy {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
        /// What is short.
        reason: BusyReason,
    },
    /// Not done: the shard is stopped, deleted, or failed while it ran and took everything back.
    ShardUnavailable {
        /// The shard that should have answered.
        shard: Principal,
        /// The platform's reject code.
        reject_code: u32,
        /// What the platform said.
        message: String,
    },
    /// The delete was done, wasn't done, or will still be done within five minutes: no answer came.
    Unknown {
        /// Why nothing is known.
        reason: String,
    },
}

/// What `put` answers.
pub type PutResult = Result<PutReply, PutError>;
/// What `get` and `get_query` answer; `Ok(null)` when nothing is stored under the key.
pub type GetResult = Result<Option<Record>, GetError>;
/// What `delete` answers.
pub type DeleteResult = Result<DeleteReply, DeleteError>;

/// Why the routing table or the status was not told.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The caller has no role.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
}

/// What `routing_table` answers: a table without routes until the router is ready.
pub type RoutingTableResult = Result<RoutingTableReply, ReadError>;

/// How an administrator settles an alarm.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Do the step again. For a creation whose answer was lost: if that creation did succeed, its canister and the
    /// cycles in it stay behind, unused.
    TryAgain,
    /// The creation did succeed, and this is its canister: empty, and controlled by the router.
    Adopt {
        /// The canister that was created.
        canister: Principal,
    },
}

/// Which alarm to settle, and how.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ResolveAlarmArguments {
    /// The shard that the alarm names; null for the alarm about the secret.
    pub shard: Option<ShardIndex>,
    /// What to do.
    pub resolution: Resolution,
}

/// Why an alarm was not settled.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ResolveAlarmError {
    /// The arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// The caller is no administrator.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
    /// There is no such alarm.
    NoSuchAlarm,
    /// Only a creation whose answer was lost can be settled by adopting its canister.
    NothingToAdopt,
    /// The canister is already one of the service's.
    CanisterInUse {
        /// Its shard's index; null when it is the router.
        shard: Option<ShardIndex>,
    },
}

/// What `resolve_alarm` answers.
pub type ResolveAlarmResult = Result<(), ResolveAlarmError>;
