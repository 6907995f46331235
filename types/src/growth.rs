//! How full and busy shards are, and what a router decides because of it.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};

use crate::funding::FundingShortage;
use crate::hash::KeyHash;
use crate::routing::ShardIndex;
use crate::transfer::TransferId;

/// What a shard measures of itself.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardReading {
    /// Records stored.
    pub records: u64,
    /// Bytes of their keys and values.
    pub record_bytes: u64,
    /// Stable memory of the canister, in bytes.
    pub stable_bytes: u64,
    /// Of it, what records may still take: never used, or free again.
    pub free_bytes: u64,
    /// Memory of the canister's code, in bytes. It never shrinks before an upgrade.
    pub heap_bytes: u64,
    /// Cycles of the canister.
    pub cycles: Nat,
    /// Cycles that it can spend above its freezing threshold.
    pub liquid_cycles: Nat,
    /// Whether memory could not be added.
    pub out_of_space: bool,
    /// Whether the platform has said that the memory of the code is nearly used up.
    pub low_memory: bool,
    /// Whether it still frees what isn't its own, which counts among its bytes.
    pub clears_up: bool,
    /// The other end of the transfer in which the shard takes part.
    pub in_transfer_with: Option<Principal>,
    /// Reads and writes of keys by updates since the shard's code was started; a batch counts as its items.
    pub operations: u64,
    /// Instructions of these, estimated from every sixteenth message.
    pub instructions: u64,
    /// Hash that cuts the latest operations into two parts of which each has a quarter at least, the first of the upper
    /// part. Null if there were few, or most are of one key.
    pub load_boundary: Option<KeyHash>,
}

/// Why a router splits, merges or makes a spare.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowthReason {
    /// Bytes of keys and values.
    RecordBytes,
    /// Bytes of stable memory that are in use.
    StableBytes,
    /// Bytes of memory of the code.
    HeapBytes,
    /// The platform said that the memory of the code is nearly used up. The value is what is in use.
    LowMemory,
    /// Memory could not be added. The value is what is in use.
    OutOfSpace,
    /// Operations per minute.
    Operations,
    /// Instructions per minute.
    Instructions,
    /// Two neighbours hold little. The value is what both hold together.
    LittleHeld,
    /// So many spares are wanted, by policy or forecast, and there are fewer.
    Spares,
    /// Cycles for the range that a shard is to send. The value is what it could spend, the threshold what it needs.
    SendsRange,
    /// Cycles for the range that a shard is to hold, as well.
    HoldsRange,
}

/// What a router decided to do.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowthAction {
    /// Give a shard's upper part to a spare.
    Split {
        /// The shard.
        shard: ShardIndex,
    },
    /// Give all that a shard owns to a neighbour.
    Merge {
        /// The shard.
        shard: ShardIndex,
        /// The neighbour.
        into: ShardIndex,
    },
    /// Make spares.
    MakeSpares {
        /// How many.
        count: u32,
    },
    /// Send cycles to a shard that takes part in a transfer.
    Fund {
        /// The shard.
        shard: ShardIndex,
        /// How many.
        cycles: u64,
    },
}

impl GrowthAction {
    /// Tells whether a range changes hands.
    pub fn moves_range(&self) -> bool {
        matches!(self, Self::Split { .. } | Self::Merge { .. })
    }
}

/// A decision, and its reason.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GrowthDecision {
    /// When, in nanoseconds since 1970.
    pub at_nanoseconds: u64,
    /// What was decided.
    pub action: GrowthAction,
    /// Why.
    pub reason: GrowthReason,
    /// What was measured.
    pub value: u64,
    /// What it was compared with.
    pub threshold: u64,
    /// The transfer that was begun, or for whose sake cycles are sent.
    pub transfer: Option<TransferId>,
}

/// Why what ought to be done for growth is not done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum GrowthNotice {
    /// As many shards were split or merged by triggers within an hour as the policy lets.
    SplitsPerHourReached {
        /// Bound of the policy.
        splits_per_hour_max: u64,
    },
    /// The shard is to be split, and the router refuses; it tries again.
    Refused {
        /// The shard.
        shard: ShardIndex,
        /// What the router says.
        reason: String,
    },
    /// The shard gets no memory, because as many cycles are reserved for it as its settings let. Raise
    /// `reserved_cycles_limit`: a split would reserve more on the same subnet, and is not made.
    ReservedCycles {
        /// The shard.
        shard: ShardIndex,
        /// Cycles that are reserved.
        reserved: Nat,
        /// How many may be.
        limit: Nat,
    },
    /// One key, or a few, make most of the shard's load, so a split would not lighten it.
    HotKey {
        /// The shard.
        shard: ShardIndex,
    },
    /// Cycles are lacking that a transfer or a spare needs: one waits for them, or isn't begun again before there are
    /// enough.
    CyclesShort(FundingShortage),
}

/// How a shard does, and how long it will.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardForecast {
    /// The shard.
    pub shard: ShardIndex,
    /// When it was asked, in nanoseconds since 1970.
    pub read_at_nanoseconds: u64,
    /// What it said.
    pub reading: ShardReading,
    /// From how many bytes of keys and values on it is split; null if never. A little less than the policy's, by shard, so
    /// that shards which fill alike aren't split together.
    pub split_at_record_bytes: Option<u64>,
    /// What is left until then; null if it isn't split by that.
    pub bytes_until_split: Option<u64>,
    /// Until it is split for the sake of any memory, at the rate of the last minutes; null if it doesn't fill.
    pub seconds_until_split: Option<u64>,
    /// Until it has no cycles to spend, at the rate of the last minutes; null if none are known to be burnt.
    pub seconds_until_out_of_cycles: Option<u64>,
    /// Operations per minute, over three minutes or more; null if that isn't known yet.
    pub operations_per_minute: Option<u64>,
    /// Instructions per minute, as well.
    pub instructions_per_minute: Option<u64>,
}

/// What a router knows and does about growth.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GrowthStatus {
    /// Every shard that owns something and has said how it does, in order of its index.
    pub shards: Vec<ShardForecast>,
    /// The last decisions, the oldest first.
    pub decisions: Vec<GrowthDecision>,
    /// What is in the way.
    pub notices: Vec<GrowthNotice>,
    /// Shards without a range that no transfer has been promised, those that are being made included.
    pub spares: u32,
    /// How many are wanted.
    pub spares_wanted: u32,
    /// Cycles that were spent for growth in the last 24 hours: on spares, and on shards whose ranges change hands. The
    /// policy bounds them. Null from routers that don't count them.
    pub cycles_in_day: Option<Nat>,
}
