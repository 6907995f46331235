//! What a router says about itself.

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};

use crate::api::ReadError;
use crate::growth::GrowthStatus;
use crate::range::HashRange;
use crate::routing::{Epoch, ShardIndex};
use crate::transfer::TransferStatus;

/// The state of a router and of what it is doing.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether operations are served.
    pub ready: bool,
    /// Version of the router's code.
    pub code_version: String,
    /// Version of the layout of its stable memory.
    pub layout_version: u32,
    /// Every shard, in order of its index.
    pub shards: Vec<ShardStatus>,
    /// What is being done, and how often it was tried.
    pub journal: JournalStatus,
    /// What needs attention. An empty list is a healthy service.
    pub alarms: Vec<Alarm>,
    /// Cycles of the router.
    pub cycles: Nat,
    /// Cycles that the router can spend above its freezing threshold.
    pub liquid_cycles: Nat,
    /// Calls to shards that wait for an answer.
    pub open_calls: u32,
    /// Administrators besides the controllers.
    pub administrators: Vec<Principal>,
    /// What the shards were told of roles.
    pub roles: Option<RolesStatus>,
    /// Ranges that change hands, and the last that did. Null from routers that know of none.
    pub transfers: Option<Vec<TransferStatus>>,
    /// How full the shards are, and what is done about it. Null from routers that don't watch their shards.
    pub growth: Option<GrowthStatus>,
}

/// What the shards were told of roles.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RolesStatus {
    /// Version of the grants and of what else shards are told.
    pub version: u64,
    /// Shards that could not be told three times in a row or more. Ten minutes after its last word a shard refuses
    /// everyone but the router.
    pub untold: Vec<ShardUntold>,
    /// How many shards aren't yet controlled by exactly those who administer, after a change.
    pub unsettled: u64,
    /// Those of them whose controllers could not be changed three times in a row or more.
    pub control_failed: Vec<ShardUntold>,
}

/// A shard that could not be told who may do what, or by whom it is controlled.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardUntold {
    /// Its canister.
    pub shard: Principal,
    /// Failures, one after the other.
    pub failed_attempts: u32,
    /// The last one's reason.
    pub last_failure: String,
    /// When the last word that it took was given, in nanoseconds since 1970; null if none was since the router's code
    /// was started.
    pub told_at_nanoseconds: Option<u64>,
}

/// How far a shard has come.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// Its number.
    pub index: ShardIndex,
    /// Its canister, once there is one.
    pub canister: Option<Principal>,
    /// What it owns; nothing when `first` is above `last`, as of a spare.
    pub range: HashRange,
    /// Epoch of the ownership.
    pub epoch: Epoch,
    /// How far it has come.
    pub stage: ShardStage,
}

/// A shard's way from a plan to its first record.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShardStage {
    /// There is no canister yet.
    Planned,
    /// The canister exists and may be empty.
    Created,
    /// Code is installed, and not yet checked.
    Installed,
    /// It serves its range.
    Open,
}

/// A step of the router's journal.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Draw the next part of the hash secret.
    DrawSecret,
    /// Create the canister of a shard.
    CreateShard(ShardIndex),
    /// Ask the management canister what the canister of a shard contains.
    InspectShard(ShardIndex),
    /// Install the code of a shard.
    InstallShard(ShardIndex),
    /// Ask a shard whether it is what it was installed as.
    VerifyShard(ShardIndex),
}

/// What the router is doing.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct JournalStatus {
    /// The step that comes next or whose answer is awaited; null when all is done.
    pub step: Option<Step>,
    /// Whether its call is open.
    pub waiting_for_answer: bool,
    /// Failed attempts of this step, one after the other.
    pub failed_attempts: u32,
    /// When it is tried again, in nanoseconds since 1970; null when nothing waits.
    pub retry_at_nanoseconds: Option<u64>,
    /// Why the last attempt failed.
    pub last_failure: Option<String>,
}

/// What needs attention.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A canister was asked for and the answer was lost. The router won't ask again, because it may exist. Find out
    /// (list the canisters that the router controls), then call `resolve_alarm`.
    CreationAnswerLost {
        /// The shard that it was meant for.
        shard: ShardIndex,
        /// When it was asked for, in nanoseconds since 1970.
        asked_at_nanoseconds: u64,
    },
    /// The answer to a creation could not be understood. As for a lost one.
    CreationAnswerUnreadable {
        /// The shard that it was meant for.
        shard: ShardIndex,
        /// The first bytes of the answer, in hexadecimal.
        answer: String,
    },
    /// Too few cycles to go on. Top the router up: it goes on by itself.
    CyclesShort {
        /// Cycles that the router can spend.
        available: Nat,
        /// Cycles that the next step and the reserve need.
        required: Nat,
    },
    /// A step failed as often as it may. Call `resolve_alarm` to have it tried again.
    StepFailed {
        /// The step.
        step: Step,
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The canister of a shard contains code that the router did not install there. Uninstall it and call
    /// `resolve_alarm`.
    ForeignCode {
        /// The shard.
        shard: ShardIndex,
        /// Its canister.
        canister: Principal,
        /// What was expected and what was found.
        reason: String,
    },
}

/// What `status` answers.
pub type StatusResult = Result<Status, ReadError>;
