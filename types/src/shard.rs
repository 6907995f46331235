//! A shard's methods: what its router and its administrators call.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::api::{DeleteReply, PutReply, Record};
use crate::range::HashRange;
use crate::routing::{Epoch, ShardIndex, Version};

/// What a router installs a shard with.
#[derive(CandidType, Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct ShardInitArguments {
    /// The router that the shard belongs to.
    pub router: Principal,
    /// Who else may call, and controls the shard besides the router; at most 8.
    pub administrators: Vec<Principal>,
    /// The secret of the deployment's hash, 192 bytes.
    pub secret: ByteBuf,
    /// What the shard owns.
    pub range: HashRange,
    /// Epoch of the ownership.
    pub epoch: Epoch,
    /// The shard's number within its router.
    pub index: ShardIndex,
}

/// Whom to ask instead, as far as the shard knows.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct WrongShard {
    /// What the asked shard owns.
    pub range: HashRange,
    /// Epoch of its ownership.
    pub epoch: Epoch,
    /// Who owns the key's hash, where the shard knows.
    pub owner: Option<Principal>,
}

/// Why a shard did not do what it was asked. None of these changed anything.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ShardError {
    /// The arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// The caller is neither the router nor an administrator.
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
    /// The key's hash belongs to another shard.
    WrongShard(WrongShard),
    /// Memory is being added. Try again.
    Growing {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// Memory could not be added: the canister or the subnet is full, or cycles are short. Deletes still work.
    OutOfSpace,
}

/// What a shard's `put` answers.
pub type ShardPutResult = Result<PutReply, ShardError>;
/// What a shard's `get` and `get_query` answer.
pub type ShardGetResult = Result<Option<Record>, ShardError>;
/// What a shard's `delete` answers.
pub type ShardDeleteResult = Result<DeleteReply, ShardError>;

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
    /// What it owns.
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
    /// Highest version given.
    pub last_version: Version,
    /// Whether memory ran out.
    pub out_of_space: bool,
    /// Cycles of the canister.
    pub cycles: Nat,
}

/// What a shard's `info` answers.
pub type ShardInfoResult = Result<ShardInfo, ShardError>;
