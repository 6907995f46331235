//! The service's time, as far as the client knows it.

use canopy_types::limits::{OPERATION_AHEAD_SECONDS, OPERATION_KEPT_SECONDS};
use std::sync::atomic::{AtomicI64, Ordering};

use crate::reason::Reason;

#[cfg(test)]
mod tests;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// The difference between the client's clock and the service's. It is 0 until a refusal tells better.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    correction_nanoseconds: AtomicI64,
}

impl Clock {
    /// Tells the service's time, given the client's.
    pub fn service_time(&self, client_time: u64) -> u64 {
        client_time.saturating_add_signed(self.correction_nanoseconds.load(Ordering::Relaxed))
    }

    /// Learns from a refusal of an operation's time of issue.
    pub fn learn(&self, reason: &Reason, client_time: u64) {
        let service_time = match reason {
            Reason::OperationTooOld { oldest_nanoseconds } => {
                oldest_nanoseconds.saturating_add(OPERATION_KEPT_SECONDS * NANOSECONDS_PER_SECOND)
            }
            Reason::OperationFromTheFuture { newest_nanoseconds } => {
                newest_nanoseconds.saturating_sub(OPERATION_AHEAD_SECONDS * NANOSECONDS_PER_SECOND)
            }
            _ => return,
        };
        let correction = i128::from(service_time) - i128::from(client_time);
        let bounded = correction.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        self.correction_nanoseconds.store(bounded, Ordering::Relaxed);
    }
}

/// Tells whether an operation issued then is too old for its outcome to be kept anywhere, at the service's time `now`.
///
/// The clocks may differ by as much as the service allows, so a minute more is tried.
pub(crate) fn is_too_late(issued_at_nanoseconds: u64, now: u64) -> bool {
    let kept = (OPERATION_KEPT_SECONDS + OPERATION_AHEAD_SECONDS) * NANOSECONDS_PER_SECOND;
    now >= issued_at_nanoseconds.saturating_add(kept)
}
