//! The source's plan: what to send next, what is under way, what failed. Pure, and on the heap only.
//!
//! The range is walked once, in segments of one batch each. What changes behind the walk is noted by the store and sent
//! again. When so little is left that it fits one message, and nothing is under way, the range is closed and handed over.

use std::collections::BTreeMap;

use canopy_types::limits::bounded_reason;
use canopy_types::{HashRange, KeyHash};

use crate::store::{Budget, Cursor, Place};

#[cfg(test)]
mod tests;

/// Keys, values and all else of a batch, in bytes; the last item may reach beyond.
pub const BATCH_BYTES: usize = 900 * 1024;

/// What filling one batch may cost: a few milliseconds, and no more records than fit (each is charged 200 or more). The
/// source only reads, so it dirties no pages.
pub const BATCH_BUDGET: Budget = Budget { instructions: 3_000_000, bytes: BATCH_BYTES as u64, pages: u64::MAX };

/// Calls to the target that may be open. Each sets about 42 G cycles aside, and all of a round's batches together stay
/// well below a tenth of what a round may execute: clients come first.
pub const FLIGHTS_MAX: usize = 4;

/// Places that changed and are not sent yet, beyond which writes in the range are told to come again: 2 MiB of heap.
pub const CHANGES_MAX: usize = 65_536;

/// Most places that a batch of changes brings. They lie apart, so that each may dirty a page of the target and more, where
/// records that follow each other share one.
pub const BATCH_CHANGES_MAX: usize = 2_048;

/// Most places that the hand-over brings. They are stored with the shard's metadata, 16 bytes each.
pub const HAND_OVER_CHANGES_MAX: usize = 2_048;

/// Turns (rounds in which the timer came) that catching up may take before writes are refused; from then on one
/// sixteenth more with each turn.
const PATIENCE_TURNS: u32 = 8;
const SIXTEENTHS: u32 = 16;

/// First wait after a failure, doubled with each up to the last: 0.5 s to 1 minute; 5 s while the range is closed.
const RETRY_FIRST_NANOSECONDS: u64 = 500_000_000;
const RETRY_LAST_NANOSECONDS: u64 = 60_000_000_000;
const RETRY_LAST_CLOSED_NANOSECONDS: u64 = 5_000_000_000;

/// Failed attempts to hand over, one after the other, before the target is asked to decide: after about 15 s.
pub const HAND_OVER_ATTEMPTS_MAX: u32 = 6;

const _: () = assert!(HAND_OVER_CHANGES_MAX <= BATCH_CHANGES_MAX, "what may be handed over is gathered at once");

/// Time after which a call counts as lost, in nanoseconds: 6 minutes. The platform ends each after 5.
const LOST_NANOSECONDS: u64 = 360_000_000_000;

/// What a batch and a hand-over may hold. Others than the defaults only in tests, where little data must make many batches.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub batch: Budget,
    pub batch_changes_max: usize,
    pub hand_over_changes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch: BATCH_BUDGET, batch_changes_max: BATCH_CHANGES_MAX, hand_over_changes_max: HAND_OVER_CHANGES_MAX }
    }
}

/// A part of the range: what lies behind a cursor, up to and with another, or up to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub after: Option<Cursor>,
    pub until: Option<Cursor>,
}

/// What a call brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    Segment(Segment),
    Changes(Vec<Place>),
    /// All that is left, and the range.
    HandOver,
    /// The question who owns the range.
    Question,
}

/// What to send next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// What lies in a segment, as much as fits.
    Walk(Segment),
    /// What changed, as much as fits.
    Changes,
    /// All that changed, and the range with it, if it fits.
    HandOver,
    /// Nothing now.
    Wait,
}

struct Flight {
    load: Load,
    sent_at: u64,
}

/// The plan.
#[derive(Default)]
pub struct Copying {
    cursor: Option<Cursor>,
    walked: bool,
    /// Segments whose batch may not have arrived; never more than flights.
    again: Vec<Segment>,
    flights: BTreeMap<u64, Flight>,
    catch_up_turns: u32,
    failed_attempts: u32,
    retry_at: Option<u64>,
    last_failure: Option<String>,
    pub items: u64,
    pub bytes: u64,
}

impl Copying {
    /// Says what to send while the range is open, given how many places have changed.
    pub fn next_job(&self, changes: usize, limits: &Limits) -> Job {
        if self.flights.len() >= FLIGHTS_MAX {
            Job::Wait
        } else if let Some(segment) = self.again.first() {
            Job::Walk(segment.clone())
        } else if !self.walked {
            Job::Walk(Segment { after: self.cursor.clone(), until: None })
        } else if changes > limits.hand_over_changes_max {
            Job::Changes
        } else if self.flights.is_empty() {
            Job::HandOver
        } else {
            Job::Wait
        }
    }

    /// Tells whether the segment that comes next was sent before.
    pub fn sends_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Notes that a segment is being sent up to `reached`, or to its end; gives what was sent.
    pub fn sent_segment(&mut self, segment: Segment, reached: Option<Cursor>) -> Segment {
        let again = self.again.first() == Some(&segment);
        let reached = match (&reached, &segment.until) {
            (Some(reached), Some(until)) if !is_before(reached, until) => None,
            _ => reached,
        };
        if again {
            self.again.remove(0);
            if reached.is_some() {
                self.again.push(Segment { after: reached.clone(), until: segment.until.clone() });
            }
        } else {
            self.walked = reached.is_none();
            self.cursor = reached.clone();
        }
        Segment { after: segment.after, until: reached.or(segment.until) }
    }

    /// Notes that a call was sent under this number, at `now` (nanoseconds).
    pub fn depart(&mut self, flight: u64, load: Load, now: u64) {
        self.flights.insert(flight, Flight { load, sent_at: now });
    }

    /// Ends a call; `None` for one that is not of this plan, or counted as lost.
    pub fn arrive(&mut self, flight: u64) -> Option<Load> {
        self.flights.remove(&flight).map(|flight| flight.load)
    }

    /// Notes that what a call brought was received.
    pub fn succeed(&mut self) {
        self.failed_attempts = 0;
        self.retry_at = None;
        self.last_failure = None;
    }

    /// Notes that a call failed, or may have, and what must be sent again; gives the changes, which the store keeps.
    pub fn fail(&mut self, load: Load, reason: &str, closed: bool, now: u64) -> Vec<Place> {
        let changes = match load {
            Load::Segment(segment) => {
                self.again.push(segment);
                Vec::new()
            }
            Load::Changes(places) => places,
            Load::HandOver | Load::Question => Vec::new(),
        };
        let last = if closed { RETRY_LAST_CLOSED_NANOSECONDS } else { RETRY_LAST_NANOSECONDS };
        // The shift is bounded so that it loses no bits.
        self.retry_at = Some(now + (RETRY_FIRST_NANOSECONDS << self.failed_attempts.min(16)).min(last));
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        self.last_failure = Some(bounded_reason(reason));
        changes
    }

    /// Notes the loss of calls that are open for too long, and gives the changes that they brought.
    pub fn lose_overdue(&mut self, closed: bool, now: u64) -> Vec<Place> {
        let overdue = |flight: &Flight| flight.sent_at.saturating_add(LOST_NANOSECONDS) < now;
        let lost: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| overdue(flight)).map(|(&number, _)| number).collect();
        let mut changes = Vec::new();
        for number in lost {
            if let Some(load) = self.arrive(number) {
                changes.extend(self.fail(load, "the answer was lost", closed, now));
            }
        }
        changes
    }

    /// Counts a turn in which the walk was done, the target took things in, and the range could not be handed over.
    pub fn count_catch_up(&mut self) {
        if self.is_catching_up() && self.failed_attempts == 0 {
            self.catch_up_turns = self.catch_up_turns.saturating_add(1);
        }
    }

    /// Tells whether the whole range was sent once.
    pub fn is_catching_up(&self) -> bool {
        self.walked && self.again.is_empty()
    }

    /// Tells which part of `range` has still to be walked; `None` if all of it was.
    pub fn left_of(&self, range: &HashRange) -> Option<HashRange> {
        let walked_to = self.cursor.as_ref().map_or(range.first.0, |cursor| cursor.hash);
        (!self.walked).then_some(HashRange { first: KeyHash(walked_to), last: range.last })
    }

    /// Tells whether a write at `hash` must wait, so that the changes get fewer. While the target takes nothing in, fewer
    /// changes would bring the hand-over no nearer: then only what has no room waits.
    pub fn holds_back(&self, hash: KeyHash, changes: usize) -> bool {
        let patience = if self.failed_attempts > 0 { u32::MAX } else { PATIENCE_TURNS };
        let sixteenths = self.catch_up_turns.saturating_sub(patience).min(SIXTEENTHS);
        changes >= CHANGES_MAX || hash.0 % u64::from(SIXTEENTHS) < u64::from(sixteenths)
    }

    /// Tells whether a failure makes everything wait, at `now`.
    pub fn waits(&self, now: u64) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }

    /// Tells when the timer must come at the latest, if `idle` says that nothing but answers is waited for.
    pub fn wake_at(&self, idle: bool, now: u64) -> u64 {
        let lost = self.flights.values().map(|flight| flight.sent_at + LOST_NANOSECONDS + 1).min();
        let next = if idle { None } else { Some(self.retry_at.unwrap_or(now).max(now)) };
        next.into_iter().chain(lost).min().unwrap_or(now)
    }

    /// Tells whether calls are open.
    pub fn is_flying(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Counts the failures, one after the other.
    pub fn failed_attempts(&self) -> u32 {
        self.failed_attempts
    }

    /// Tells why the last attempt failed.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }
}

/// Tells whether a cursor has entries in front of another one. One without a key is behind all that share its place.
fn is_before(one: &Cursor, other: &Cursor) -> bool {
    let place = |cursor: &Cursor| (cursor.hash, cursor.tag, cursor.key.is_none());
    (place(one), &one.key) < (place(other), &other.key)
}
