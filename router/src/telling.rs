//! Tells the shards who may do what, and says so again before it ends.
//!
//! A shard believes a word of its router for 10 minutes. So every shard is told again every two minutes, by version and
//! digest alone as long as it holds the content; at once after a change, and when it asks because it was upgraded. A
//! telling that fails is done again, with growing delays, for as long as the shard exists. What is noted here is on the
//! heap: after an upgrade of the router every shard is told anew, which costs little, because they hold the content.
//! New shards are installed with the word, and so know it before they open.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_types::limits::bounded_reason;
use canopy_types::roles::RolesWordReply;
use canopy_types::status::ShardUntold;

#[cfg(test)]
mod tests;

/// Time from one word to the next, if all goes well: 2 minutes, a fifth of how long a word holds.
pub const RENEWAL_NANOSECONDS: u64 = 120_000_000_000;

/// First wait after a failure, doubled with each up to the renewal: 5 s.
const RETRY_FIRST_NANOSECONDS: u64 = 5_000_000_000;

/// Doublings of the first wait that reach the renewal.
const DOUBLINGS_MAX: u32 = 5;

/// Tellings that may be open at the same time: so few that operations find places and cycles.
const OPEN_MAX: usize = 16;

/// Failures, one after the other, from which on the status shows a shard.
pub const FAILURES_SHOWN_MIN: u32 = 3;

const _: () = assert!(RETRY_FIRST_NANOSECONDS << DOUBLINGS_MAX >= RENEWAL_NANOSECONDS);

/// What is known of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    /// When it is told next, in nanoseconds.
    next_at: u64,
    /// Whether it lacks the content.
    lacks_content: bool,
    /// Whether a call is open.
    is_open: bool,
    /// Whether it is to be told again as soon as the open call has ended.
    again: bool,
    /// When the last word that it took was given, in nanoseconds.
    told_at: Option<u64>,
    failed_attempts: u32,
    last_failure: Option<String>,
}

/// What the router knows of what its shards know.
#[derive(Default)]
pub struct Telling {
    shards: BTreeMap<Principal, Told>,
}

/// A shard to tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub shard: Principal,
    /// Whether the content goes with it.
    pub with_content: bool,
}

impl Telling {
    /// Notes which shards there are: new ones are told at once, and those that are gone are forgotten.
    pub fn observe(&mut self, shards: impl IntoIterator<Item = Principal>) {
        let mut known = std::mem::take(&mut self.shards);
        self.shards = shards.into_iter().map(|shard| (shard, known.remove(&shard).unwrap_or_default())).collect();
    }

    /// Has every shard told at `now` (nanoseconds).
    pub fn tell_all(&mut self, now: u64) {
        self.shards.values_mut().for_each(|told| told.tell(now));
    }

    /// Has a shard told at `now` (nanoseconds); `false` if there is none such.
    pub fn tell(&mut self, shard: Principal, now: u64) -> bool {
        self.shards.get_mut(&shard).map(|told| told.tell(now)).is_some()
    }

    /// Has a shard told at `at` (nanoseconds), unless it is told before or couldn't be told lately.
    pub fn tell_by(&mut self, shard: Principal, at: u64) {
        if let Some(told) = self.shards.get_mut(&shard).filter(|told| told.failed_attempts == 0) {
            told.next_at = told.next_at.min(at);
        }
    }

    /// Chooses whom to tell at `now` (nanoseconds), and notes that these calls are open.
    pub fn take_due(&mut self, now: u64) -> Vec<Due> {
        let room = OPEN_MAX.saturating_sub(self.open());
        let due = self.shards.iter_mut().filter(|(_, told)| !told.is_open && told.next_at <= now).take(room);
        due.map(|(&shard, told)| {
            told.is_open = true;
            told.again = false;
            Due { shard, with_content: told.lacks_content }
        })
        .collect()
    }

    /// Notes at `now` how a call with a word given at `given_at` ended (nanoseconds).
    pub fn end(&mut self, shard: Principal, given_at: u64, result: Result<RolesWordReply, String>, now: u64) {
        let Some(told) = self.shards.get_mut(&shard) else { return };
        told.is_open = false;
        match result {
            Ok(reply) => {
                told.failed_attempts = 0;
                told.last_failure = None;
                told.lacks_content = !reply.holds;
                if reply.holds {
                    told.told_at = Some(given_at);
                    told.next_at = given_at + RENEWAL_NANOSECONDS;
                } else {
                    told.next_at = now;
                }
            }
            Err(reason) => {
                let doubled = RETRY_FIRST_NANOSECONDS << told.failed_attempts.min(DOUBLINGS_MAX);
                told.failed_attempts = told.failed_attempts.saturating_add(1);
                told.last_failure = Some(bounded_reason(&reason));
                told.next_at = now + doubled.min(RENEWAL_NANOSECONDS);
            }
        }
        if told.again {
            told.next_at = now;
        }
    }

    /// Tells when the next shard is due, in nanoseconds; `None` while nothing but answers is waited for.
    pub fn next_at(&self) -> Option<u64> {
        if self.open() >= OPEN_MAX {
            return None;
        }
        self.shards.values().filter(|told| !told.is_open).map(|told| told.next_at).min()
    }

    /// Counts the open calls.
    pub fn open(&self) -> usize {
        self.shards.values().filter(|told| told.is_open).count()
    }

    /// Lists the shards that could not be told several times in a row.
    pub fn untold(&self) -> Vec<ShardUntold> {
        let failing = self.shards.iter().filter(|(_, told)| told.failed_attempts >= FAILURES_SHOWN_MIN);
        failing
            .map(|(&shard, told)| ShardUntold {
                shard,
                failed_attempts: told.failed_attempts,
                last_failure: told.last_failure.clone().unwrap_or_default(),
                told_at_nanoseconds: told.told_at,
            })
            .collect()
    }
}

impl Told {
    fn tell(&mut self, now: u64) {
        self.again = self.is_open;
        self.next_at = now;
    }
}
