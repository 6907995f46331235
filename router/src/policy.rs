//! Which settings administrators may choose, and what holds where they chose nothing.

use canopy_types::ShardIndex;
use canopy_types::limits::{
    BYTES_PER_MINUTE_MAX, BYTES_PER_MINUTE_MIN, CHUNK_BYTES, GROWTH_CYCLES_PER_DAY, GROWTH_CYCLES_PER_DAY_DEFAULT,
    OPEN_UPLOAD_BYTES_MAX_MAX, OPEN_UPLOADS_MAX_MAX, OPERATIONS_PER_MINUTE_MAX, OPERATIONS_PER_MINUTE_MIN,
    SPARES_MIN_MAX, SPLIT_AT_HEAP_BYTES, SPLIT_AT_HEAP_BYTES_DEFAULT, SPLIT_AT_INSTRUCTIONS_PER_MINUTE,
    SPLIT_AT_INSTRUCTIONS_PER_MINUTE_DEFAULT, SPLIT_AT_OPERATIONS_PER_MINUTE, SPLIT_AT_OPERATIONS_PER_MINUTE_DEFAULT,
    SPLIT_AT_RECORD_BYTES, SPLIT_AT_RECORD_BYTES_DEFAULT, SPLIT_AT_STABLE_BYTES, SPLIT_AT_STABLE_BYTES_DEFAULT,
    SPLITS_PER_HOUR_DEFAULT, SPLITS_PER_HOUR_MAX, UPLOAD_MILLISECONDS_MAX, UPLOAD_MILLISECONDS_MIN,
};
use canopy_types::policy::{Policy, SetPolicyArguments, SetPolicyError, UploadPolicy};

#[cfg(test)]
mod tests;

/// Steps by which thresholds differ from shard to shard, and the part of a threshold that a step is: up to 15/64 lower.
const STAGGER_STEPS: u64 = 16;
const STAGGER_PARTS: u64 = 64;

/// Numbers of shards are multiplied by this, so that neighbours differ by more than a step.
const STAGGER_FACTOR: u64 = 7;

const _: () = assert!(STAGGER_STEPS <= STAGGER_PARTS / 4, "neighbours that are merged stay far from being split");

/// When shards are split, merged and made: the settings, and the defaults for what wasn't set. `None` is never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub record_bytes: Option<u64>,
    pub stable_bytes: Option<u64>,
    pub heap_bytes: Option<u64>,
    pub operations_per_minute: Option<u64>,
    pub instructions_per_minute: Option<u64>,
    pub splits_per_hour: u64,
    pub merge_below_record_bytes: Option<u64>,
    pub spares_min: u64,
    /// Cycles that growth may spend within a day.
    pub cycles_per_day: u128,
}

impl Thresholds {
    /// Reads the policy.
    pub fn of(policy: &Policy) -> Self {
        let chosen = |set: Option<u64>, default: u64| Some(set.unwrap_or(default)).filter(|&value| value > 0);
        Self {
            record_bytes: chosen(policy.split_at_record_bytes, SPLIT_AT_RECORD_BYTES_DEFAULT),
            stable_bytes: chosen(policy.split_at_stable_bytes, SPLIT_AT_STABLE_BYTES_DEFAULT),
            heap_bytes: chosen(policy.split_at_heap_bytes, SPLIT_AT_HEAP_BYTES_DEFAULT),
            operations_per_minute: chosen(
                policy.split_at_operations_per_minute,
                SPLIT_AT_OPERATIONS_PER_MINUTE_DEFAULT,
            ),
            instructions_per_minute: chosen(
                policy.split_at_instructions_per_minute,
                SPLIT_AT_INSTRUCTIONS_PER_MINUTE_DEFAULT,
            ),
            splits_per_hour: policy.splits_per_hour_max.unwrap_or(SPLITS_PER_HOUR_DEFAULT),
            merge_below_record_bytes: policy.merge_below_record_bytes.filter(|&value| value > 0),
            spares_min: policy.spares_min.unwrap_or(0),
            cycles_per_day: policy.growth_cycles_per_day_max.unwrap_or(GROWTH_CYCLES_PER_DAY_DEFAULT).into(),
        }
    }

    /// Tells what holds for one shard: a little less than for others, so that shards which fill alike aren't split at the
    /// same moment.
    pub fn staggered(&self, shard: ShardIndex) -> Self {
        let step = u64::from(shard.0) * STAGGER_FACTOR % STAGGER_STEPS;
        let lower = |threshold: Option<u64>| threshold.map(|threshold| threshold - threshold / STAGGER_PARTS * step);
        Self {
            record_bytes: lower(self.record_bytes),
            stable_bytes: lower(self.stable_bytes),
            heap_bytes: lower(self.heap_bytes),
            operations_per_minute: lower(self.operations_per_minute),
            instructions_per_minute: lower(self.instructions_per_minute),
            ..self.clone()
        }
    }
}

/// Changes `policy` as asked.
///
/// # Errors
///
/// The first setting out of its bounds, or settings that contradict each other; then none is changed.
pub fn change(policy: &Policy, arguments: &SetPolicyArguments) -> Result<Policy, SetPolicyError> {
    let operations = (OPERATIONS_PER_MINUTE_MIN, OPERATIONS_PER_MINUTE_MAX);
    let bytes = (BYTES_PER_MINUTE_MIN, BYTES_PER_MINUTE_MAX);
    let limit = |present, asked, setting, bounds| {
        let chosen = setting_of(present, asked, setting, bounds)?;
        Ok(chosen.filter(|&value| value > 0))
    };
    let changed = Policy {
        operations_per_minute_max: limit(
            policy.operations_per_minute_max,
            arguments.operations_per_minute_max,
            "operations_per_minute_max",
            operations,
        )?,
        bytes_per_minute_max: limit(
            policy.bytes_per_minute_max,
            arguments.bytes_per_minute_max,
            "bytes_per_minute_max",
            bytes,
        )?,
        split_at_record_bytes: setting_of(
            policy.split_at_record_bytes,
            arguments.split_at_record_bytes,
            "split_at_record_bytes",
            SPLIT_AT_RECORD_BYTES,
        )?,
        split_at_stable_bytes: setting_of(
            policy.split_at_stable_bytes,
            arguments.split_at_stable_bytes,
            "split_at_stable_bytes",
            SPLIT_AT_STABLE_BYTES,
        )?,
        split_at_heap_bytes: setting_of(
            policy.split_at_heap_bytes,
            arguments.split_at_heap_bytes,
            "split_at_heap_bytes",
            SPLIT_AT_HEAP_BYTES,
        )?,
        split_at_operations_per_minute: setting_of(
            policy.split_at_operations_per_minute,
            arguments.split_at_operations_per_minute,
            "split_at_operations_per_minute",
            SPLIT_AT_OPERATIONS_PER_MINUTE,
        )?,
        split_at_instructions_per_minute: setting_of(
            policy.split_at_instructions_per_minute,
            arguments.split_at_instructions_per_minute,
            "split_at_instructions_per_minute",
            SPLIT_AT_INSTRUCTIONS_PER_MINUTE,
        )?,
        splits_per_hour_max: setting_of(
            policy.splits_per_hour_max,
            arguments.splits_per_hour_max,
            "splits_per_hour_max",
            (1, SPLITS_PER_HOUR_MAX),
        )?,
        merge_below_record_bytes: setting_of(
            policy.merge_below_record_bytes,
            arguments.merge_below_record_bytes,
            "merge_below_record_bytes",
            (1, SPLIT_AT_RECORD_BYTES.1),
        )?,
        spares_min: setting_of(policy.spares_min, arguments.spares_min, "spares_min", (1, SPARES_MIN_MAX))?,
        growth_cycles_per_day_max: setting_of(
            policy.growth_cycles_per_day_max,
            arguments.growth_cycles_per_day_max,
            "growth_cycles_per_day_max",
            GROWTH_CYCLES_PER_DAY,
        )?,
        uploads: match arguments.uploads {
            None => policy.uploads,
            Some(uploads) => Some(check_uploads(uploads)?),
        },
    };
    let thresholds = Thresholds::of(&changed);
    if let (Some(below), Some(split)) = (thresholds.merge_below_record_bytes, thresholds.record_bytes)
        && below > split / 2
    {
        return Err(SetPolicyError::MergeAboveHalfOfSplit {
            merge_below_record_bytes: below,
            merge_below_record_bytes_max: split / 2,
        });
    }
    Ok(changed)
}

fn check_uploads(uploads: UploadPolicy) -> Result<UploadPolicy, SetPolicyError> {
    let times = (UPLOAD_MILLISECONDS_MIN, UPLOAD_MILLISECONDS_MAX);
    let settings = [
        ("uploads.open_uploads_max", uploads.open_uploads_max, (1, OPEN_UPLOADS_MAX_MAX)),
        ("uploads.open_bytes_max", uploads.open_bytes_max, (CHUNK_BYTES as u64, OPEN_UPLOAD_BYTES_MAX_MAX)),
        ("uploads.open_milliseconds", uploads.open_milliseconds, times),
        ("uploads.kept_milliseconds", uploads.kept_milliseconds, times),
    ];
    match settings.iter().find(|(_, value, (min, max))| !(min..=max).contains(&value)) {
        None => Ok(uploads),
        Some(&(setting, value, (value_min, value_max))) => {
            Err(SetPolicyError::OutOfBounds { setting: setting.to_string(), value, value_min, value_max })
        }
    }
}

/// Chooses a setting: null leaves it, 0 turns off what it is for.
fn setting_of(
    present: Option<u64>,
    asked: Option<u64>,
    setting: &str,
    (value_min, value_max): (u64, u64),
) -> Result<Option<u64>, SetPolicyError> {
    match asked {
        None => Ok(present),
        Some(value) if value == 0 || (value_min..=value_max).contains(&value) => Ok(Some(value)),
        Some(value) => Err(SetPolicyError::OutOfBounds { setting: setting.to_string(), value, value_min, value_max }),
    }
}
