//! A shard's methods: what its router and its administrators call.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use crate::api::{DeleteItem, PutItem};

use crate::api::errors::errors;
use crate::api::{DeleteReply, GetArguments, Operation, PutReply, Record, ScanPage};
use crate::growth::ShardReading;
use crate::hash::KeyHash;
use crate::range::HashRange;
use crate::roles::{RolesWord, RolesWordReply};
use crate::routing::{Epoch, ShardIndex, Version};

/// What a router installs a shard with.
#[derive(CandidType, Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct ShardInitArguments {
    /// The router that the shard belongs to.
    pub router: Principal,
    /// Who else may do everything until the router has told the roles, and controls the shard; at most 8.
    pub administrators: Vec<Principal>,
    /// The secret of the deployment's hash, 192 bytes.
    pub secret: ByteBuf,
    /// What the shard owns; nothing, with `first` above `last`, for one that a transfer will give something.
    pub range: HashRange,
    /// Epoch of the ownership.
    pub epoch: Epoch,
    /// The shard's number within its router.
    pub index: ShardIndex,
    /// Seed of the second hash, which orders records of equal hash and is told to shards only, 32 bytes. All shards of
    /// a router have the same. Null with routers of version 0.1.0, which drew none.
    pub tag_seed: Option<ByteBuf>,
    /// Who may do what, so that the shard knows from the beginning. Null with routers that knew no roles.
    pub roles: Option<RolesWord>,
}

/// A range that a shard has handed to another.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What was handed over.
    pub range: HashRange,
    /// Epoch of its ownership since.
    pub epoch: Epoch,
}

/// Whom to ask instead, as far as the shard knows.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct WrongShard {
    /// What the asked shard owns; nothing when `first` is above `last`.
    pub range: HashRange,
    /// Epoch of its ownership.
    pub epoch: Epoch,
    /// Who owns the key's hash, where the shard knows.
    pub owner: Option<Principal>,
    /// What the shard has handed to that owner, the key's hash included.
    pub moved: Option<Moved>,
}

errors! {
    /// Why a shard did not do what it was asked. None of these changed a record.
    pub enum ShardError {
        MalformedArguments, Unauthorised, KeyEmpty, KeyTooLong, ValueTooLong, PreconditionFailed, OperationIdLength,
        OperationTooOld, OperationFromTheFuture, OperationIdReused, TimeToLiveOutOfBounds, KeyCollides, AskAgain,
        TooManyItems,
    }
    own {
        /// The key was written so often in the last 15 minutes that no more outcomes of operations can be kept. Try
        /// again.
        TooManyOperations {
            /// How many are kept per key.
            operations_max: u64,
        },
        /// Memory is being added. Try again.
        Growing {
            /// When trying again makes sense.
            retry_after_milliseconds: u64,
        },
        /// Memory could not be added: the canister or the subnet is full, or cycles are short. Deletes still work.
        OutOfSpace,
        /// The shard's router has been silent for 10 minutes or more, so nobody but the router is known to have a role.
        /// Ask the router.
        RolesUnknown,
        /// The caller has used up its share of the minute. Try again.
        RateLimited {
            /// When trying again makes sense.
            retry_after_milliseconds: u64,
            /// How many operations each caller may ask for per minute; null: as many as it likes.
            operations_per_minute_max: Option<u64>,
            /// How many bytes of arguments and replies each caller may use per minute; null: as many as it likes.
            bytes_per_minute_max: Option<u64>,
        },
        /// The range is changing hands. Try again.
        Moving {
            /// When trying again makes sense.
            retry_after_milliseconds: u64,
            /// Changes of the range that have still to be sent, if writes wait for those; null if the range is closed for
            /// the moment in which it changes hands.
            changes: Option<u64>,
        },
    }
    tuples {
        /// The key's hash belongs to another shard.
        WrongShard(WrongShard),
    }
}

/// What a shard's `put` answers.
pub type ShardPutResult = Result<PutReply, ShardError>;
/// What a shard's `get` and `get_query` answer.
pub type ShardGetResult = Result<Option<Record>, ShardError>;
/// What a shard's `delete` answers.
pub type ShardDeleteResult = Result<DeleteReply, ShardError>;

/// What to do in one item of a batch.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read a record.
    Get(GetArguments),
    /// Store a record.
    Put(PutItem),
    /// Remove a record.
    Delete(DeleteItem),
}

/// One item of a batch.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its place in the caller's own batch, which may be spread over shards: caller, operation and index name a write.
    pub index: u32,
    /// What to do.
    pub action: Action,
}

/// What the router asks of one shard, on behalf of one caller, in one message.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ApplyArguments {
    /// Who asked the router. Who calls a shard directly names itself.
    pub caller: Principal,
    /// Names the batch's writes, together with caller and index.
    pub operation: Option<Operation>,
    /// Length of the reply that the caller can take, in bytes; the platform's bound when null. Records that don't fit
    /// are answered `AskAgain`.
    pub reply_bytes_max: Option<u64>,
    /// What to do, in this order; at most 4,096.
    pub items: Vec<Item>,
}

/// What became of one item.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of a get.
    Get(ShardGetResult),
    /// Of a put.
    Put(ShardPutResult),
    /// Of a delete.
    Delete(ShardDeleteResult),
}

impl Answer {
    /// Tells why the item has no result, if it has none.
    pub fn into_error(self) -> Option<ShardError> {
        match self {
            Self::Get(result) => result.err(),
            Self::Put(result) => result.err(),
            Self::Delete(result) => result.err(),
        }
    }
}

/// What `apply` answers: one answer per item, in their order.
pub type ShardApplyResult = Result<Vec<Answer>, ShardError>;

/// Which page of a scan to answer.
///
/// The page begins behind the cursor; without one, at the first hash of `range`. The shard must own that hash.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardScanArguments {
    /// As the router's.
    pub cursor: Option<ByteBuf>,
    /// As the router's.
    pub records_max: Option<u32>,
    /// As the router's.
    pub bytes_max: Option<u64>,
    /// As the router's.
    pub include_value: Option<bool>,
    /// As the router's.
    pub range: Option<HashRange>,
    /// As the router's.
    pub prefix: Option<ByteBuf>,
}

errors! {
    /// Why a shard did not answer a page of a scan.
    pub enum ShardScanError {
        MalformedArguments, Unauthorised,
    }
    own {
        /// The cursor is none that a shard with this router's secrets made.
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
        /// Memory is being added. Try again.
        Growing {
            /// When trying again makes sense.
            retry_after_milliseconds: u64,
        },
        /// The shard's router has been silent for 10 minutes or more, so nobody but the router is known to have a role.
        /// Ask the router.
        RolesUnknown,
        /// The caller has used up its share of the minute. Try again.
        RateLimited {
            /// When trying again makes sense.
            retry_after_milliseconds: u64,
            /// How many operations each caller may ask for per minute; null: as many as it likes.
            operations_per_minute_max: Option<u64>,
            /// How many bytes of arguments and replies each caller may use per minute; null: as many as it likes.
            bytes_per_minute_max: Option<u64>,
        },
        /// The range is changing hands. Try again.
        Moving {
            /// When trying again makes sense.
            retry_after_milliseconds: u64,
        },
    }
    tuples {
        /// The page begins at a hash that belongs to another shard.
        WrongShard(WrongShard),
    }
}

/// What a shard's `scan` answers. Where the shard's range ends, the cursor leads to the shard behind it.
pub type ShardScanResult = Result<ScanPage, ShardScanError>;

/// What a shard says about itself.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// Version of the shard's code.
    pub code_version: String,
    /// Version of the layout of its stable memory.
    pub layout_version: u32,
    /// Its number within its router.
    pub index: ShardIndex,
    /// Its router.
    pub router: Principal,
    /// What it owns; nothing when `first` is above `last`.
    pub range: HashRange,
    /// Epoch of its ownership.
    pub epoch: Epoch,
    /// Tells apart hash secrets without telling them.
    pub secret_fingerprint: u64,
    /// Records stored.
    pub records: u64,
    /// Bytes of their keys and values.
    pub record_bytes: u64,
    /// Stable memory of the canister, in bytes.
    pub stable_bytes: u64,
    /// No later put of an absent key gets a lower version. It grows with the clock, and never goes back.
    pub last_version: Version,
    /// Whether memory ran out.
    pub out_of_space: bool,
    /// Cycles of the canister.
    pub cycles: Nat,
    /// The router's last word about roles; null if there was none since the shard's code was started.
    pub roles: Option<RolesHeld>,
    /// Records of uploads and chunks, which `records` doesn't count. Null with shards that know none.
    pub internal_records: Option<u64>,
    /// What the shard measures of itself. Null from shards of before.
    pub reading: Option<ShardReading>,
}

/// What a shard knows of roles.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RolesHeld {
    /// Version of what the router told.
    pub version: u64,
    /// Until when it holds, in nanoseconds since 1970.
    pub until_nanoseconds: u64,
}

/// What a shard's `set_roles` answers.
pub type ShardSetRolesResult = Result<RolesWordReply, ShardError>;

/// What a shard's `info` answers.
pub type ShardInfoResult = Result<ShardInfo, ShardError>;
