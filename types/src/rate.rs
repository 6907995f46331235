//! How much a caller may ask for per minute, counted alike by the router and, for direct calls, by each shard.
//!
//! For each of operations and bytes a caller has a time until which it has used up its share. Using moves that time
//! ahead by a minute's fraction; as long as it lies less than a minute ahead of the clock, the caller is served. So a
//! caller that rested may use a minute's share at once, and over any longer time uses no more than is due plus one call.
//! Replies are counted after they were made, so a caller may get into debt by one reply, and waits for it. A caller
//! whose times have passed is as good as one that never called, and its place is given to others.

use std::collections::BTreeMap;
use std::ops::Bound;

use candid::CandidType;
use serde::{Deserialize, Serialize};

use crate::limits::{GRANTS_MAX, RATED_STRANGERS_MAX};
use crate::roles::CallerWords;

#[cfg(test)]
mod tests;

/// The time over which limits are counted: 1 minute, in nanoseconds.
const WINDOW_NANOSECONDS: u64 = 60_000_000_000;

/// Callers that are looked at to find a place for a new one.
const LOOKED_AT_MAX: usize = 16;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// What each caller may use per minute.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Operations; a batch counts as its items. No limit when null.
    pub operations_per_minute_max: Option<u64>,
    /// Bytes of arguments and replies. No limit when null.
    pub bytes_per_minute_max: Option<u64>,
}

impl RateLimits {
    /// Tells whether there is nothing to count.
    pub fn are_off(&self) -> bool {
        self.operations_per_minute_max.is_none() && self.bytes_per_minute_max.is_none()
    }
}

/// Until when a caller has used up its share, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    operations_until: u64,
    bytes_until: u64,
}

impl Used {
    fn is_over(&self, now: u64) -> bool {
        self.operations_until <= now && self.bytes_until <= now
    }
}

/// Counts what callers use. Kept on the heap: after an upgrade everyone begins anew.
pub struct RateMeter {
    callers: BTreeMap<CallerWords, Used>,
    callers_max: usize,
    /// The caller after which the search for a free place goes on.
    looked_at: CallerWords,
    /// Used by all those together for whom there was no place.
    shared: Used,
}

impl RateMeter {
    /// Makes a meter with places for so many callers. When all are taken by callers whose time hasn't passed, those that
    /// come later share one share.
    pub fn new(callers_max: usize) -> Self {
        Self { callers: BTreeMap::new(), callers_max, looked_at: CallerWords::LEAST, shared: Used::default() }
    }

    /// Counts `operations` with arguments of `bytes` by `caller`, the bytes of a principal, at `now` (nanoseconds).
    ///
    /// # Errors
    ///
    /// The time until the caller may come again, in milliseconds, if it has used up its share. Nothing was counted.
    pub fn admit(
        &mut self,
        limits: &RateLimits,
        caller: &[u8],
        operations: u64,
        bytes: u64,
        now: u64,
    ) -> Result<(), u64> {
        let used = self.place(caller, now);
        let missing = |limit: Option<u64>, until: u64| limit.map_or(0, |limit| missing(limit, until, now));
        let wait = missing(limits.operations_per_minute_max, used.operations_until)
            .max(missing(limits.bytes_per_minute_max, used.bytes_until));
        if wait > 0 {
            return Err(wait.div_ceil(NANOSECONDS_PER_MILLISECOND));
        }
        used.operations_until = moved(limits.operations_per_minute_max, used.operations_until, operations, now);
        used.bytes_until = moved(limits.bytes_per_minute_max, used.bytes_until, bytes, now);
        Ok(())
    }

    /// Counts a reply of `bytes` to `caller`, whatever it has used.
    pub fn count_reply(&mut self, limits: &RateLimits, caller: &[u8], bytes: u64, now: u64) {
        let used = self.place(caller, now);
        used.bytes_until = moved(limits.bytes_per_minute_max, used.bytes_until, bytes, now);
    }

    /// Tells how many callers have a place.
    pub fn callers(&self) -> usize {
        self.callers.len()
    }

    fn place(&mut self, caller: &[u8], now: u64) -> &mut Used {
        let caller = CallerWords::new(caller);
        if !self.callers.contains_key(&caller) && self.callers.len() >= self.callers_max {
            self.make_room(now);
            if self.callers.len() >= self.callers_max {
                return &mut self.shared;
            }
        }
        self.callers.entry(caller).or_default()
    }

    /// Forgets callers whose time has passed, among the next few.
    fn make_room(&mut self, now: u64) {
        let next = self.callers.range((Bound::Excluded(self.looked_at), Bound::Unbounded)).take(LOOKED_AT_MAX);
        let seen: Vec<(CallerWords, bool)> = next.map(|(caller, used)| (*caller, used.is_over(now))).collect();
        self.looked_at = match seen.last() {
            Some((last, _)) if seen.len() == LOOKED_AT_MAX => *last,
            // The end: begin again.
            _ => CallerWords::LEAST,
        };
        for (caller, _) in seen.into_iter().filter(|(_, is_over)| *is_over) {
            self.callers.remove(&caller);
        }
    }
}

/// The meters of a canister: one for who has a role by name, and one for everyone else, so that those can't take the
/// places of these.
pub struct RateMeters {
    named: RateMeter,
    strangers: RateMeter,
}

impl Default for RateMeters {
    fn default() -> Self {
        Self { named: RateMeter::new(GRANTS_MAX), strangers: RateMeter::new(RATED_STRANGERS_MAX) }
    }
}

impl RateMeters {
    /// Chooses the meter of a caller.
    pub fn of(&mut self, is_named: bool) -> &mut RateMeter {
        if is_named { &mut self.named } else { &mut self.strangers }
    }
}

/// Tells how many nanoseconds are missing until one more may be used.
fn missing(limit: u64, until: u64, now: u64) -> u64 {
    until.saturating_sub(now).saturating_add(price(limit, 1)).saturating_sub(WINDOW_NANOSECONDS)
}

/// Moves the time until which a share is used up.
fn moved(limit: Option<u64>, until: u64, count: u64, now: u64) -> u64 {
    match limit {
        None => until,
        Some(limit) => until.max(now).saturating_add(price(limit, count)),
    }
}

/// The fraction of a minute that so many are of the limit, in nanoseconds, rounded up; of a limit of 0 they are all of
/// it.
fn price(limit: u64, count: u64) -> u64 {
    let nanoseconds = (u128::from(count) * u128::from(WINDOW_NANOSECONDS)).div_ceil(u128::from(limit.max(1)));
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}
