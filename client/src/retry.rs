//! How often and after how long something is tried again.

use crate::transport::Transport;

#[cfg(test)]
mod tests;

/// Attempts in all, unless an application says otherwise.
pub const ATTEMPTS_MAX: u32 = 8;

/// Time for all attempts, in milliseconds, unless an application says otherwise. No attempt begins after it.
pub const TOTAL_MILLISECONDS_MAX: u64 = 60_000;

/// Delay before the second attempt, in milliseconds, unless an application says otherwise; it doubles with each.
pub const FIRST_DELAY_MILLISECONDS: u64 = 200;

/// Longest delay that the library chooses by itself, in milliseconds.
pub const DELAY_MILLISECONDS_MAX: u64 = 10_000;

/// Attempts in all where the transport can't wait: a lost answer is asked for once more, at once.
pub const ATTEMPTS_WITHOUT_WAIT_MAX: u32 = 2;

/// Attempts that a policy may ask for.
pub const POLICY_ATTEMPTS_MAX: u32 = 100;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// How often and after how long what was refused for the moment, or lost, is tried again.
///
/// The delays grow exponentially and are spread at random between half and the whole, so that clients that were refused
/// together don't come back together. If the service says how long to wait, it is never less.
///
/// ```
/// use canopy_client::RetryPolicy;
///
/// let patient = RetryPolicy { total_milliseconds_max: 300_000, attempts_max: 50, ..RetryPolicy::default() };
/// assert!(patient.attempts_max > RetryPolicy::default().attempts_max);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, 1 to 100: 1 never tries again.
    pub attempts_max: u32,
    /// Time for all attempts, in milliseconds: no attempt begins after it.
    pub total_milliseconds_max: u64,
    /// Delay before the second attempt, in milliseconds.
    pub first_delay_milliseconds: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: ATTEMPTS_MAX,
            total_milliseconds_max: TOTAL_MILLISECONDS_MAX,
            first_delay_milliseconds: FIRST_DELAY_MILLISECONDS,
        }
    }
}

/// The attempts at one thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    begun_at_nanoseconds: u64,
    made: u32,
}

impl Attempts {
    /// Begins with the first attempt, now.
    pub fn begin(policy: RetryPolicy, transport: &impl Transport) -> Self {
        Self { policy, begun_at_nanoseconds: transport.now_nanoseconds(), made: 1 }
    }

    /// Waits until the next attempt may be made, `at_least` so long; false when there may be none.
    ///
    /// A transport that can't wait makes one more attempt at once if an answer was `lost`, and otherwise none.
    pub async fn next(&mut self, transport: &impl Transport, at_least_milliseconds: u64, lost: bool) -> bool {
        if self.made >= self.policy.attempts_max.min(POLICY_ATTEMPTS_MAX) {
            return false;
        }
        let random = u64::from_le_bytes(transport.draw()[8..].try_into().expect("half of 16 bytes is 8"));
        let delay = self.delay(random).max(at_least_milliseconds);
        let elapsed = transport.now_nanoseconds().saturating_sub(self.begun_at_nanoseconds);
        if (elapsed / NANOSECONDS_PER_MILLISECOND).saturating_add(delay) > self.policy.total_milliseconds_max {
            return false;
        }
        if transport.wait(delay).await.is_err() && (!lost || self.made >= ATTEMPTS_WITHOUT_WAIT_MAX) {
            return false;
        }
        self.made += 1;
        true
    }

    /// Chooses the delay before the next attempt, in milliseconds: between half and the whole of what the number of
    /// attempts made allows.
    fn delay(&self, random: u64) -> u64 {
        let doublings = (self.made - 1).min(16);
        let whole = self.policy.first_delay_milliseconds.saturating_mul(1 << doublings).min(DELAY_MILLISECONDS_MAX);
        let half = whole / 2;
        // The low bits of a draw may be a count; a product spreads them over all.
        let spread = random.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        half + (((whole - half) * spread) >> 32)
    }
}
