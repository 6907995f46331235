//! When stable memory is added, and what a put does meanwhile.
//!
//! Growing stable memory traps when cycles are short, so a put never does it: a timer grows ahead, in a message of its
//! own. A put only asks whether enough is left.

/// Pages (64 KiB) that are added at a time: 64 MiB.
pub const STEP_PAGES: u64 = 1024;

/// A timer is asked to add memory when fewer pages than this are unused: three quarters of a step.
pub const LOW_PAGES: u64 = 768;

/// Pages that one put may need at worst, and that stay for deletes: two buckets of the memory manager.
///
/// A put takes at most one (its value and the nodes it touches are far below 8 MiB), so one is always left.
pub const RESERVE_PAGES: u64 = 256;

/// A growth that has not come after this time has trapped: 10 s.
pub const OVERDUE_NANOSECONDS: u64 = 10_000_000_000;

/// A failed growth is tried again after this time: 30 s.
pub const RETRY_NANOSECONDS: u64 = 30_000_000_000;

/// What callers are told to wait while memory is being added.
pub const RETRY_AFTER_MILLISECONDS: u64 = 2_000;

const _: () = assert!(RESERVE_PAGES < LOW_PAGES && LOW_PAGES <= STEP_PAGES);
const _: () = assert!(OVERDUE_NANOSECONDS < RETRY_NANOSECONDS);

#[cfg(test)]
mod tests;

/// What is known about the last request for memory. Lost in an upgrade, which only means that it is made again.
#[derive(Default)]
pub struct Growth {
    requested_at: Option<u64>,
    failed: bool,
}

/// Whether a put may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Enough,
    Growing,
    OutOfSpace,
}

impl Growth {
    /// Judges whether a put may go on with `unused` pages at time `now` (nanoseconds).
    pub fn judge(&self, unused: u64, now: u64) -> Verdict {
        if unused >= RESERVE_PAGES {
            return Verdict::Enough;
        }
        let overdue = self.requested_at.is_some_and(|at| now.saturating_sub(at) > OVERDUE_NANOSECONDS);
        if self.failed || overdue { Verdict::OutOfSpace } else { Verdict::Growing }
    }

    /// Notes a request for memory if it is time for one; the caller sets the timer when this is true.
    pub fn request(&mut self, unused: u64, now: u64) -> bool {
        let waiting = self.requested_at.is_some_and(|at| now.saturating_sub(at) <= RETRY_NANOSECONDS);
        if unused >= LOW_PAGES || waiting {
            return false;
        }
        self.requested_at = Some(now);
        true
    }

    /// Notes how the growth ended.
    pub fn finish(&mut self, succeeded: bool) {
        self.failed = !succeeded;
        if succeeded {
            self.requested_at = None;
        }
    }

    /// Tells whether the last growth failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }
}
