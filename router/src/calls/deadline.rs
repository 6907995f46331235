//! How long the router waits for a shard.

use canopy_types::api::Refusal;

use super::platform_busy;

#[cfg(test)]
mod tests;

/// How long the router waits for a shard, in seconds.
///
/// The platform's bound is 300. A shard answers within a second or two unless it is overloaded, and a caller that waits
/// longer learns nothing.
const CALL_TIMEOUT_SECONDS: u32 = 60;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Until when whoever called the router waits for its answer, in nanoseconds since 1970; `None`: without end, or
/// untold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<u64>);

impl Deadline {
    /// Of work that nobody waits for.
    pub const NONE: Self = Self(None);

    /// Asks the platform about the message that is being answered. To be asked before the first await.
    pub fn of_message() -> Self {
        Self(ic_cdk::api::msg_deadline().map(|deadline| deadline.get()))
    }

    /// Tells how long a call that is sent now may wait: not past the deadline, because what comes later helps nobody.
    /// The time, in nanoseconds since 1970, is asked for only if there is one.
    ///
    /// # Errors
    ///
    /// `Busy`, when less than a second is left; the platform counts in seconds.
    pub fn timeout_seconds(self, now: impl FnOnce() -> u64) -> Result<u32, Refusal> {
        let Some(deadline) = self.0 else { return Ok(CALL_TIMEOUT_SECONDS) };
        let left = deadline.saturating_sub(now()) / NANOSECONDS_PER_SECOND;
        if left == 0 {
            return Err(platform_busy("less than a second is left of the time that the caller waits"));
        }
        Ok(u32::try_from(left).map_or(CALL_TIMEOUT_SECONDS, |left| left.min(CALL_TIMEOUT_SECONDS)))
    }
}
