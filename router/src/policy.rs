//! Which settings administrators may choose.

use canopy_types::limits::{
    BYTES_PER_MINUTE_MAX, BYTES_PER_MINUTE_MIN, OPERATIONS_PER_MINUTE_MAX, OPERATIONS_PER_MINUTE_MIN,
};
use canopy_types::policy::{Policy, SetPolicyArguments, SetPolicyError};

#[cfg(test)]
mod tests;

/// Changes `policy` as asked.
///
/// # Errors
///
/// The first setting out of its bounds; then none is changed.
pub fn change(policy: &Policy, arguments: &SetPolicyArguments) -> Result<Policy, SetPolicyError> {
    let operations = (OPERATIONS_PER_MINUTE_MIN, OPERATIONS_PER_MINUTE_MAX);
    let bytes = (BYTES_PER_MINUTE_MIN, BYTES_PER_MINUTE_MAX);
    Ok(Policy {
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
    })
}

/// Chooses a limit: null leaves it, 0 lifts it.
fn limit(
    present: Option<u64>,
    asked: Option<u64>,
    setting: &str,
    (value_min, value_max): (u64, u64),
) -> Result<Option<u64>, SetPolicyError> {
    match asked {
        None => Ok(present),
        Some(0) => Ok(None),
        Some(value) if (value_min..=value_max).contains(&value) => Ok(Some(value)),
        Some(value) => Err(SetPolicyError::OutOfBounds { setting: setting.to_string(), value, value_min, value_max }),
    }
}
