//! What the router has told about who may do what, and what callers who come directly have used.
//!
//! Kept on the heap: a copy of what the router knows, which ends by itself when the router is silent. After an upgrade
//! the shard asks for it again.

use canopy_types::rate::{RateLimits, RateMeter, RateMeters};
use canopy_types::recovery::RememberedRoles;
use canopy_types::roles::{Reach, Role, RoleTable, RolesContent, RolesWord, RolesWordReply};

#[cfg(test)]
mod tests;

/// How long the router's word holds after it was given: 10 minutes. So a principal whose role was taken away is refused
/// after that time even by a shard that couldn't be told.
pub const KEPT_NANOSECONDS: u64 = 600_000_000_000;

/// The router's last word.
struct Word {
    version: u64,
    digest: u64,
    /// Until when it holds, in nanoseconds.
    until: u64,
    table: RoleTable,
    limits: RateLimits,
    /// What it said, for a router that is new.
    content: RolesContent,
}

/// What a shard knows about callers. It begins without a word.
#[derive(Default)]
pub struct Roles {
    word: Option<Word>,
    meters: RateMeters,
    /// Whether the reply to the message that is being answered is to be counted.
    counts_reply: bool,
    /// Whether the router is to be asked for its word.
    asks: bool,
}

/// What the router's word says about a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The router hasn't said anything since the shard's code was started.
    Nothing,
    /// What it said doesn't hold any more.
    Outdated,
    /// The caller's reach.
    Reach(Reach),
}

impl Roles {
    /// Has the router asked for its word, by the next message of the timer.
    pub fn ask(&mut self) {
        self.asks = true;
    }

    /// Tells, once, whether the router is to be asked for its word.
    pub fn take_question(&mut self) -> bool {
        std::mem::take(&mut self.asks)
    }

    /// Takes a word of the router at `now` (nanoseconds). It holds from when it was given and not from when it came, so
    /// that a late one doesn't make an old one last.
    pub fn take(&mut self, word: &RolesWord, now: u64) -> RolesWordReply {
        let until = word.given_at_nanoseconds.min(now).saturating_add(KEPT_NANOSECONDS);
        match (&mut self.word, &word.content) {
            // What is older than what is known has come late, or from a router that was set back: it is told so.
            (Some(held), _) if held.version > word.version => {}
            (Some(held), _) if held.version == word.version && held.digest == word.digest => {
                held.until = held.until.max(until);
            }
            (_, Some(content)) => {
                let table = RoleTable::new(&content.grants);
                let (version, digest, limits) = (word.version, content.digest(), content.limits);
                self.word = Some(Word { version, digest, until, table, limits, content: content.clone() });
            }
            (_, None) => {}
        }
        let held = self.word.as_ref();
        RolesWordReply {
            holds: held.is_some_and(|held| held.version == word.version && held.digest == word.digest),
            version: held.map(|held| held.version),
            reading: None,
        }
    }

    /// Tells what the router has said about `caller` at `now` (nanoseconds).
    pub fn said(&self, caller: &[u8], required: Role, now: u64) -> Said {
        match &self.word {
            None => Said::Nothing,
            Some(word) if word.until <= now => Said::Outdated,
            Some(word) => Said::Reach(word.table.reach(caller, required)),
        }
    }

    /// Tells whether a caller of limited reach may do what `required` may with `key`.
    pub fn covers(&self, caller: &[u8], required: Role, key: &[u8]) -> bool {
        self.word.as_ref().is_some_and(|word| word.table.covers(caller, required, key))
    }

    /// Counts what a caller that comes directly asks for.
    ///
    /// # Errors
    ///
    /// The limits and the time to wait, in milliseconds, when it has used up its share.
    pub fn admit(&mut self, caller: &[u8], operations: u64, bytes: u64, now: u64) -> Result<(), (RateLimits, u64)> {
        let Some((limits, meter)) = self.meter(caller) else { return Ok(()) };
        meter.admit(&limits, caller, operations, bytes, now).map_err(|milliseconds| (limits, milliseconds))?;
        self.counts_reply = true;
        Ok(())
    }

    /// Counts the reply to the caller that was admitted in this message, if one was.
    pub fn count_reply(&mut self, caller: &[u8], bytes: usize, now: u64) {
        if !std::mem::take(&mut self.counts_reply) {
            return;
        }
        if let Some((limits, meter)) = self.meter(caller) {
            meter.count_reply(&limits, caller, bytes as u64, now);
        }
    }

    /// Tells version and end of the word that is held.
    pub fn held(&self) -> Option<(u64, u64)> {
        self.word.as_ref().map(|word| (word.version, word.until))
    }

    /// Tells the router's last word, also one that has ended.
    pub fn remembered(&self) -> Option<RememberedRoles> {
        self.word.as_ref().map(|word| RememberedRoles { version: word.version, content: word.content.clone() })
    }

    fn meter(&mut self, caller: &[u8]) -> Option<(RateLimits, &mut RateMeter)> {
        let word = self.word.as_ref().filter(|word| !word.limits.are_off())?;
        let is_named = word.table.reach_by_name(caller, Role::Reader) > Reach::Nothing;
        Some((word.limits, self.meters.of(is_named)))
    }
}
