//! What readers are told about the service, and what administrators decide.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::routing::{RoutingTableReply, ShardIndex};

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
