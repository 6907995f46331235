//! The router's methods: what applications and people call.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::routing::{RoutingTable, ShardIndex, Version};

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

/// What to store under which key.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PutArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
    /// Up to 1 MiB.
    pub value: ByteBuf,
}

/// Which record to read.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GetArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
}

/// Which record to remove.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DeleteArguments {
    /// 1 to 1,024 bytes.
    pub key: ByteBuf,
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
    /// The bytes that were put.
    pub value: ByteBuf,
    /// Version of the put.
    pub version: Version,
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
pub type RoutingTableResult = Result<RoutingTable, ReadError>;

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
