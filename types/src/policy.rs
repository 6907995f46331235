//! What administrators may set while the service runs.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::api::ReadError;
use crate::limits::{
    CHUNKS_KEPT_MILLISECONDS_DEFAULT, OPEN_UPLOAD_BYTES_MAX_DEFAULT, OPEN_UPLOADS_MAX_DEFAULT,
    UPLOAD_OPEN_MILLISECONDS_DEFAULT,
};
use crate::rate::RateLimits;

/// The settings. New fields are optional.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How many operations each caller may ask for per minute; a batch counts as its items. Null: as many as it likes.
    pub operations_per_minute_max: Option<u64>,
    /// How many bytes of arguments and replies each caller may use per minute. Null: as many as it likes.
    pub bytes_per_minute_max: Option<u64>,
    /// From how many bytes of keys and values on a shard is split. Null: 32 GiB; 0: never.
    pub split_at_record_bytes: Option<u64>,
    /// From how many bytes of stable memory in use on a shard is split. Null: 128 GiB; 0: never.
    pub split_at_stable_bytes: Option<u64>,
    /// From how many bytes of memory of its code on a shard is split, and when the platform says that this memory is
    /// nearly used up. Null: 2 GiB; 0: never, for either reason.
    pub split_at_heap_bytes: Option<u64>,
    /// From how many operations per minute on, over three minutes, a shard is split, unless most are of one key. Null:
    /// 300,000; 0: never.
    pub split_at_operations_per_minute: Option<u64>,
    /// From how many instructions per minute on, as well. Null: 60 G; 0: never.
    pub split_at_instructions_per_minute: Option<u64>,
    /// How many shards may be split or merged within an hour without being asked for. Null: 12; 0: none.
    pub splits_per_hour_max: Option<u64>,
    /// Up to how many bytes of keys and values together two neighbours are merged. Null or 0: never.
    pub merge_below_record_bytes: Option<u64>,
    /// How many empty shards there shall be at least, so that a split waits for nothing. Null or 0: as many as the
    /// forecast asks for, which is one as soon as any shard is half way to a split.
    pub spares_min: Option<u64>,
    /// How many cycles may be spent within 24 hours on making spares and on what shards need for the ranges that they send
    /// and get; counted by hours. Null: 300 T; 0: none, so that only shards that have enough of their own take part.
    pub growth_cycles_per_day_max: Option<u64>,
    /// What uploads of large values may use, and how long. Null: the defaults of [`UploadPolicy`].
    pub uploads: Option<UploadPolicy>,
}

/// What uploads of large values may use, and how long they and their chunks stay. Uploads keep the times that held when
/// they began.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPolicy {
    /// Uploads that each caller may have open, 1 to 4,096; 256 at first.
    pub open_uploads_max: u64,
    /// Bytes of values that each caller may have in open uploads, 1 MiB to 1 PiB; 64 GiB at first.
    pub open_bytes_max: u64,
    /// How long an upload takes chunks, in milliseconds, 1 minute to 30 days; 24 hours at first.
    pub open_milliseconds: u64,
    /// How long chunks stay once their value was replaced, or their upload given up, in milliseconds, 1 minute to 30 days;
    /// 15 minutes at first.
    pub kept_milliseconds: u64,
}

impl Default for UploadPolicy {
    fn default() -> Self {
        Self {
            open_uploads_max: OPEN_UPLOADS_MAX_DEFAULT,
            open_bytes_max: OPEN_UPLOAD_BYTES_MAX_DEFAULT,
            open_milliseconds: UPLOAD_OPEN_MILLISECONDS_DEFAULT,
            kept_milliseconds: CHUNKS_KEPT_MILLISECONDS_DEFAULT,
        }
    }
}

impl Policy {
    /// Tells what uploads may use.
    pub fn upload_policy(&self) -> UploadPolicy {
        self.uploads.unwrap_or_default()
    }

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
    /// As in [`Policy`], 64 KiB to 400 GiB, or 0.
    pub split_at_record_bytes: Option<u64>,
    /// As in [`Policy`], 1 MiB to 450 GiB, or 0.
    pub split_at_stable_bytes: Option<u64>,
    /// As in [`Policy`], 1 MiB to 4 GiB, or 0.
    pub split_at_heap_bytes: Option<u64>,
    /// As in [`Policy`], 60 to 1,000,000,000, or 0.
    pub split_at_operations_per_minute: Option<u64>,
    /// As in [`Policy`], 1,000,000 to 1,000,000,000,000, or 0.
    pub split_at_instructions_per_minute: Option<u64>,
    /// As in [`Policy`], 1 to 60, or 0.
    pub splits_per_hour_max: Option<u64>,
    /// As in [`Policy`], 1 to half of what a shard is split at, or 0.
    pub merge_below_record_bytes: Option<u64>,
    /// As in [`Policy`], 1 to 64, or 0.
    pub spares_min: Option<u64>,
    /// As in [`Policy`], 1 T to 100,000 T, or 0.
    pub growth_cycles_per_day_max: Option<u64>,
    /// What uploads may use, and how long; all four together.
    pub uploads: Option<UploadPolicy>,
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
    /// Neighbours would be merged that would then be split again: `merge_below_record_bytes` may be half of
    /// `split_at_record_bytes` at most.
    MergeAboveHalfOfSplit {
        /// The settings that would hold.
        merge_below_record_bytes: u64,
        /// The most that is accepted with them.
        merge_below_record_bytes_max: u64,
    },
}

/// What `policy` answers.
pub type PolicyResult = Result<Policy, ReadError>;
/// What `set_policy` answers: the settings that hold.
pub type SetPolicyResult = Result<Policy, SetPolicyError>;
