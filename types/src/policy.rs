//! What administrators may set while the service runs.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::api::ReadError;
use crate::rate::RateLimits;

/// The settings. New fields are optional.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How many operations each caller may ask for per minute; a batch counts as its items. Null: as many as it likes.
    pub operations_per_minute_max: Option<u64>,
    /// How many bytes of arguments and replies each caller may use per minute. Null: as many as it likes.
    pub bytes_per_minute_max: Option<u64>,
}

impl Policy {
    /// Tells what each caller may use per minute.
    pub fn rate_limits(&self) -> RateLimits {
        RateLimits {
            operations_per_minute_max: self.operations_per_minute_max,
            bytes_per_minute_max: self.bytes_per_minute_max,
        }
    }
}

/// What to change. Null leaves a setting as it is.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPolicyArguments {
    /// How many operations each caller may ask for per minute, 1 to 1,000,000,000; 0 lifts the limit.
    pub operations_per_minute_max: Option<u64>,
    /// How many bytes of arguments and replies each caller may use per minute, 2 MiB to 1 PiB; 0 lifts the limit.
    pub bytes_per_minute_max: Option<u64>,
}

/// Why nothing was set.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SetPolicyError {
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
    /// A setting is out of its bounds.
    OutOfBounds {
        /// Name of the field.
        setting: String,
        /// What was asked for.
        value: u64,
        /// The least that is accepted.
        value_min: u64,
        /// The most that is accepted.
        value_max: u64,
    },
}

/// What `policy` answers.
pub type PolicyResult = Result<Policy, ReadError>;
/// What `set_policy` answers: the settings that hold.
pub type SetPolicyResult = Result<Policy, SetPolicyError>;
