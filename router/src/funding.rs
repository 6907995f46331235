//! How many cycles growth spends, and what keeps it from spending more: pure.
//!
//! Cycles are counted before they are sent, and taken back only when the platform says that nothing was sent. So what is
//! counted is never less than what was spent, whatever answers are lost.

use candid::CandidType;
use canopy_types::ShardIndex;
use canopy_types::funding::{FundingLimit, FundingShortage};
use serde::Deserialize;

#[cfg(test)]
mod tests;

const HOUR_NANOSECONDS: u64 = 3_600_000_000_000;

/// Hours that are counted together, the one that has begun included.
const HOURS_PER_DAY: u64 = 24;

/// Cycles that were spent within a day, hour by hour.
#[derive(CandidType, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Oldest first; no more than the hours of a day.
    hours: Vec<Hour>,
}

#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct Hour {
    /// Since 1970.
    hour: u64,
    cycles: u128,
}

impl Spending {
    /// Tells how many cycles were spent within the day before `now` (nanoseconds).
    pub fn in_day(&self, now: u64) -> u128 {
        self.hours.iter().filter(|spent| is_counted(spent, now)).map(|spent| spent.cycles).sum()
    }

    /// Counts cycles that are about to be spent at `now` (nanoseconds).
    pub fn add(&mut self, cycles: u128, now: u64) {
        self.hours.retain(|spent| is_counted(spent, now));
        let hour = now / HOUR_NANOSECONDS;
        match self.hours.iter_mut().find(|spent| spent.hour == hour) {
            Some(spent) => spent.cycles = spent.cycles.saturating_add(cycles),
            None => self.hours.push(Hour { hour, cycles }),
        }
    }

    /// Takes back what was counted at `counted_at` (nanoseconds) and not spent.
    pub fn take_back(&mut self, cycles: u128, counted_at: u64) {
        let hour = counted_at / HOUR_NANOSECONDS;
        if let Some(spent) = self.hours.iter_mut().find(|spent| spent.hour == hour) {
            spent.cycles = spent.cycles.saturating_sub(cycles);
        }
    }
}

fn is_counted(spent: &Hour, now: u64) -> bool {
    spent.hour + HOURS_PER_DAY > now / HOUR_NANOSECONDS
}

/// What may be spent in one message.
pub struct Purse<'a> {
    pub spending: &'a mut Spending,
    /// Cycles that the router can spend.
    pub available: u128,
    /// Cycles that it keeps for itself, with those that the call sets aside.
    pub kept: u128,
    pub cycles_per_day_max: u128,
    /// Time, in nanoseconds.
    pub now: u64,
}

impl Purse<'_> {
    /// Checks that so many cycles may be spent on a shard.
    ///
    /// # Errors
    ///
    /// What doesn't let it, the day's bound first: that one isn't mended by topping the router up.
    pub fn check(&self, shard: ShardIndex, cycles: u128) -> Result<(), FundingShortage> {
        let short = |limit, available: u128, required: u128| FundingShortage {
            shard,
            limit,
            available: available.into(),
            required: required.into(),
        };
        let left = self.cycles_per_day_max.saturating_sub(self.spending.in_day(self.now));
        if left < cycles {
            return Err(short(FundingLimit::CyclesPerDay, left, cycles));
        }
        let required = cycles.saturating_add(self.kept);
        if self.available < required {
            return Err(short(FundingLimit::RouterCycles, self.available, required));
        }
        Ok(())
    }

    /// Counts cycles as spent. To be called before they are sent, in the message that stores it.
    pub fn spend(&mut self, cycles: u128) {
        self.spending.add(cycles, self.now);
        self.available = self.available.saturating_sub(cycles);
    }
}
