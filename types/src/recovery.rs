//! Taking shards out of service, and giving shards a new router when theirs is lost.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::hash::KeyHash;
use crate::range::HashRange;
use crate::roles::RolesContent;
use crate::routing::{Epoch, ShardIndex};
use crate::shard::ShardError;
use crate::transfer::{MoveError, TransferError, TransferId};

// Taking shards out of service -----------------------------------------------------------------------------------------

/// Asks to take a shard out of service: what it owns goes to a neighbour, and its memory is given back.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RetireShardArguments {
    /// The shard.
    pub shard: ShardIndex,
    /// The neighbour; one of the two, the one below if there is one, when null.
    pub into: Option<ShardIndex>,
    /// Whether the router parts with the canister: it is uninstalled, and stays with its controllers and its cycles. When
    /// null or false it is kept as a spare.
    pub leave: Option<bool>,
}

/// What `retire_shard` answers: the transfer that was begun, null when the shard owns nothing. `status` tells the rest.
pub type RetireShardResult = Result<Option<TransferId>, MoveError>;

/// Asks a shard to open a range again that it has closed for a target which is lost for ever. What the target took in
/// since the hand-over is lost. If the target is not lost, two shards own the range: uninstall it first.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AbandonTransferArguments {
    /// The transfer.
    pub id: TransferId,
    /// The range, as it is told in `status`: what is at stake.
    pub range: HashRange,
}

/// What was done about a transfer whose target is lost.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AbandonTransferReply {
    /// About how many records the shard has in the range, as they were when it was closed.
    pub records_estimated: u64,
    /// When the range was closed, in nanoseconds of shard time: writes after that are lost, if the target did any. Null if
    /// that was under a version which didn't note it.
    pub closed_at_nanoseconds: Option<u64>,
}

/// What a shard's `abandon_transfer` answers.
pub type AbandonTransferResult = Result<AbandonTransferReply, TransferError>;

// A new router ---------------------------------------------------------------------------------------------------------

/// Gives a shard another router, in place of one that is lost. For those who control the shard.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdoptRouterArguments {
    /// The new router.
    pub router: Principal,
}

/// What a shard's `adopt_router` answers.
pub type AdoptRouterResult = Result<(), ShardError>;

/// What a shard knows of the deployment. Told to its router only: it holds the secrets.
#[derive(CandidType, Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct ShardMemory {
    /// What it owns.
    pub range: HashRange,
    /// Epoch of the ownership.
    pub epoch: Epoch,
    /// The greatest epoch of any transfer that it heard of.
    pub epoch_seen: Epoch,
    /// The transfer in which it takes part.
    pub in_transfer: Option<TransferId>,
    /// The secret of the deployment's hash, 192 bytes.
    pub secret: ByteBuf,
    /// Seed of the second hash; null where a router of version 0.1.0 drew none.
    pub tag_seed: Option<ByteBuf>,
    /// Who was named as administrator when the shard was installed.
    pub administrators: Vec<Principal>,
    /// Version and content of its router's last word about roles; null if it had none since its code was started.
    pub roles: Option<RememberedRoles>,
}

/// What a shard knows of roles.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RememberedRoles {
    /// Version of the word.
    pub version: u64,
    /// What it said.
    pub content: RolesContent,
}

/// What a shard's `recall` answers.
pub type RecallResult = Result<ShardMemory, ShardError>;

/// Asks a router that was installed without shards to rebuild what a lost one knew.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RecoverArguments {
    /// All shards of the lost router, those without a range included; each has adopted this router.
    pub shards: Vec<Principal>,
}

/// What a router rebuilt.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RecoverReply {
    /// Shards that own something.
    pub serving: u32,
    /// Shards that own nothing.
    pub spares: u32,
    /// Version of the grants that were found; null if no shard had any. Then only those named at installation have roles.
    pub roles_version: Option<u64>,
    /// Grants for which there was no room, beside those of this router's own installation.
    pub grants_left_out: u64,
}

/// Why a router was not rebuilt. Nothing was changed.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum RecoverError {
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
    /// The router has shards, or makes some.
    HasShards {
        /// How many.
        shards: u32,
    },
    /// There is at least one shard, and as many as may be at most.
    ShardCount {
        /// How many were named.
        shards: u64,
        /// Bound on shards.
        shards_max: u64,
    },
    /// A shard was named twice.
    NamedTwice {
        /// The shard.
        shard: Principal,
    },
    /// A canister didn't answer as a shard does. Nobody knows whether it is one.
    NoAnswer {
        /// The canister.
        shard: Principal,
        /// What the platform or the canister said.
        reason: String,
    },
    /// The shard has another router: call `adopt_router` of the shard first.
    NotAdopted {
        /// The shard.
        shard: Principal,
    },
    /// The shard takes part in a transfer: wait for its end, or cancel it at both ends.
    InTransfer {
        /// The shard.
        shard: Principal,
        /// The transfer.
        id: TransferId,
    },
    /// The shard belongs to another deployment than the first one named: it has other secrets.
    OtherSecrets {
        /// The shard.
        shard: Principal,
    },
    /// Two shards own a part of the hash space. The one of the lower epoch may be a forgotten copy.
    OwnedTwice {
        /// The one.
        one: Principal,
        /// Epoch of its ownership.
        one_epoch: Epoch,
        /// The other.
        other: Principal,
        /// Epoch of its ownership.
        other_epoch: Epoch,
        /// What both own.
        range: HashRange,
    },
    /// Nobody owns a part of the hash space: a shard is missing in the list.
    Gap {
        /// First hash that nobody owns.
        first: KeyHash,
        /// Last one.
        last: KeyHash,
    },
}

/// What `recover` answers.
pub type RecoverResult = Result<RecoverReply, RecoverError>;
