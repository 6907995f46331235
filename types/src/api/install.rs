//! What a router is installed with.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};

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
    /// Whether the router makes no shards, but waits for `recover` to tell it those of a lost router.
    pub without_shards: Option<bool>,
}
