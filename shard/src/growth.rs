//! When the timer is asked to add stable memory, and how a growth that trapped is noticed.
//!
//! Growing stable memory traps when cycles are short, so a put never does it: the timer grows ahead, in a message of its
//! own. What that leaves on the heap is taken back when it traps, so a request that stays due for long has trapped.

/// A growth that has not come after this time has trapped: 10 s.
pub const OVERDUE_NANOSECONDS: u64 = 10_000_000_000;

/// A failed growth is tried again after this time: 15 s.
pub const RETRY_NANOSECONDS: u64 = 15_000_000_000;

/// What callers are told to wait while memory is being added.
pub const RETRY_AFTER_MILLISECONDS: u64 = 2_000;

const _: () = assert!(OVERDUE_NANOSECONDS < RETRY_NANOSECONDS);

#[cfg(test)]
mod tests;

/// What is known about the last request for memory. Lost in an upgrade, which only means that it is made again.
#[derive(Default)]
pub struct Growth {
    requested_at: Option<u64>,
    /// The timer hasn't got to it.
    due: bool,
}

impl Growth {
    /// Notes at `now` (nanoseconds) that memory is wanted; tells whether the timer must come for it.
    pub fn request(&mut self, now: u64) -> bool {
        if self.requested_at.is_some_and(|at| now.saturating_sub(at) <= RETRY_NANOSECONDS) {
            return false;
        }
        self.requested_at = Some(now);
        self.due = true;
        true
    }

    /// Tells whether the timer should grow the memory in this message.
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Notes how the growth ended.
    pub fn finish(&mut self, succeeded: bool) {
        self.due = false;
        if succeeded {
            self.requested_at = None;
        }
    }

    /// Tells, once, that the growth must have trapped.
    pub fn take_overdue(&mut self, now: u64) -> bool {
        let overdue = self.due && self.requested_at.is_some_and(|at| now.saturating_sub(at) > OVERDUE_NANOSECONDS);
        self.due &= !overdue;
        overdue
    }
}
