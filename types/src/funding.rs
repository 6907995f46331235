//! Cycles that a router sends to shards whose ranges change hands, and what keeps it from that.

use candid::{CandidType, Nat};
use serde::{Deserialize, Serialize};

use crate::routing::ShardIndex;

/// What a shard has, and what it needs.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CyclesNeed {
    /// Cycles that it can spend.
    pub available: Nat,
    /// Cycles that it needs for what it will send or hold, its reserve for clients included.
    pub required: Nat,
}

/// What keeps a router from sending cycles.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FundingLimit {
    /// It has too few itself, beside its reserve. Top it up: it goes on by itself.
    RouterCycles,
    /// The policy's `growth_cycles_per_day_max`. It goes on as hours pass, or when the policy is changed.
    CyclesPerDay,
    /// As much was sent for one transfer as may be, which is twice what was needed at first.
    CyclesPerTransfer,
}

/// Cycles that a router ought to send and doesn't.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FundingShortage {
    /// The shard that lacks them, or that is to be made with them.
    pub shard: ShardIndex,
    /// Why not.
    pub limit: FundingLimit,
    /// Cycles that the limit leaves.
    pub available: Nat,
    /// Cycles that are needed; for `RouterCycles` with what the router keeps for itself.
    pub required: Nat,
}

/// What a router sent for the sake of one transfer.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FundingStatus {
    /// Cycles sent to the source, for what it sends; also those of which nobody knows whether they arrived.
    pub source_cycles: Nat,
    /// Cycles sent to the target, for what it will hold; as above.
    pub target_cycles: Nat,
    /// What stands in the way, or why the transfer was cancelled.
    pub shortage: Option<FundingShortage>,
}
