//! No caller is served more often than the limit allows.
//!
//! A caller that rested may use a minute's share at once; from then on it gets what is due. A router that was upgraded
//! begins anew. A batch is admitted whole as long as anything is left of the share.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(test)]
mod tests;

const MINUTE_NANOS: u128 = 60_000_000_000;

/// What one call through the router was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub client: usize,
    /// When it was sent and when its answer was seen, in nanoseconds.
    pub sent: u64,
    pub answered: u64,
    /// Items, or pages, that were counted for certain.
    pub operations: u64,
}

/// A limit, and when it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub per_minute: u64,
    /// In nanoseconds.
    pub from: u64,
    pub until: u64,
    /// How often the counting may have begun anew.
    pub restarts: u64,
}

/// A client that was served more than it may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub client: usize,
    pub limit: Limit,
    pub served: u64,
    pub served_max: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rate limit: {self:?}")
    }
}

/// Sums what each client was served while the limit held.
///
/// # Errors
/// The first client that was served more than the limit allows in the time from its first call to its last answer.
pub fn check(uses: &[Use], limit: Limit) -> Result<(), Fault> {
    let mut clients: BTreeMap<usize, Vec<Use>> = BTreeMap::new();
    for used in uses.iter().filter(|used| used.sent >= limit.from && used.answered <= limit.until) {
        clients.entry(used.client).or_default().push(*used);
    }
    for (client, uses) in clients {
        let first = uses.iter().map(|used| used.sent).min().unwrap_or(0);
        let last = uses.iter().map(|used| used.answered).max().unwrap_or(0);
        let due = (u128::from(limit.per_minute) * u128::from(last - first)).div_ceil(MINUTE_NANOS) as u64;
        let longest = uses.iter().map(|used| used.operations).max().unwrap_or(0);
        let served_max = due + (limit.restarts + 1) * (limit.per_minute + longest);
        let served = uses.iter().map(|used| used.operations).sum();
        if served > served_max {
            return Err(Fault { client, limit, served, served_max });
        }
    }
    Ok(())
}
