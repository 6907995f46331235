//! What a shard has said of itself over the last minutes, and what follows from that for the next ones: pure.
//!
//! Rates are means over all readings that are kept. They are kept as long as the shard owns the same range and isn't
//! clearing up, so that what a transfer brings or takes is no fill.

use std::collections::VecDeque;

use candid::Nat;
use canopy_types::Epoch;
use canopy_types::growth::ShardReading;

use crate::policy::Thresholds;

#[cfg(test)]
pub mod tests;

/// Readings kept of each shard: of an hour when nothing happens, of ten minutes when the shard is near a threshold.
const READINGS_MAX: usize = 32;

/// Readings that follow each other sooner replace each other: 20 s.
const SPACING_NANOSECONDS: u64 = 20_000_000_000;

/// Time over which a load must have lasted, at least: 3 minutes.
pub const LOAD_NANOSECONDS: u64 = 180_000_000_000;

/// Longest and shortest time to the next reading: 2 minutes and 5 s.
pub const INTERVAL_NANOSECONDS_MAX: u64 = 120_000_000_000;
const INTERVAL_NANOSECONDS_MIN: u64 = 5_000_000_000;

/// Time to the next reading of a shard that is beyond a threshold, or in a transfer: 10 s.
const IMPATIENT_NANOSECONDS: u64 = 10_000_000_000;

/// Time to the next reading of a shard whose load or heap, which grow slowly, are beyond half of their threshold: 30 s.
const BUSY_NANOSECONDS: u64 = 30_000_000_000;

/// Bytes per second with which a shard may begin to fill at any moment: 64 MiB, more than was ever seen.
const FILL_BYTES_PER_SECOND_MAX: u64 = 64 << 20;

/// The next reading is to come in this part of the time to a threshold.
const PARTS_OF_TIME_LEFT: u64 = 4;

const SECOND_NANOSECONDS: u64 = 1_000_000_000;
const MINUTE_NANOSECONDS: u64 = 60 * SECOND_NANOSECONDS;

/// A reading, and when the shard was asked for it, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub at: u64,
    pub reading: ShardReading,
}

/// What one shard has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings {
    /// Epoch of what it owned then.
    pub epoch: Epoch,
    newest: Taken,
    /// Those before, the oldest first.
    before: VecDeque<Taken>,
}

impl Readings {
    /// Begins with a first reading.
    pub fn new(epoch: Epoch, taken: Taken) -> Self {
        Self { epoch, newest: taken, before: VecDeque::new() }
    }

    /// Adds a reading of a shard that owns what it owned; one that is older than the newest is dropped.
    pub fn add(&mut self, taken: Taken) {
        if taken.at <= self.newest.at {
            return;
        }
        // The counters begin anew when the shard was upgraded.
        let is_another_life = taken.reading.operations < self.newest.reading.operations;
        if is_another_life || self.newest.reading.clears_up {
            self.before.clear();
        } else if self.before.back().is_none_or(|last| self.newest.at - last.at >= SPACING_NANOSECONDS) {
            if self.before.len() == READINGS_MAX {
                self.before.pop_front();
            }
            self.before.push_back(self.newest.clone());
        }
        self.newest = taken;
    }

    /// Shows what the shard said last.
    pub fn newest(&self) -> &Taken {
        &self.newest
    }

    /// Tells by how many bytes of keys and values, and of stable memory in use, the shard grows per second; nought if it
    /// shrinks, and `None` while that isn't known.
    fn fill(&self) -> Option<(f64, f64)> {
        let oldest = self.before.front()?;
        let seconds = (self.newest.at - oldest.at) as f64 / SECOND_NANOSECONDS as f64;
        let grown = |of: fn(&ShardReading) -> u64| {
            of(&self.newest.reading).saturating_sub(of(&oldest.reading)) as f64 / seconds
        };
        Some((grown(|reading| reading.record_bytes), grown(used_stable_bytes)))
    }

    /// Tells the time until a threshold of memory is reached, in seconds; `None` if the shard doesn't fill.
    pub fn seconds_until_split(&self, thresholds: &Thresholds) -> Option<u64> {
        let (records, stable) = self.fill()?;
        let reading = &self.newest.reading;
        let time = |threshold: Option<u64>, value: u64, rate: f64| {
            let left = threshold?.saturating_sub(value);
            if left == 0 { Some(0) } else { (rate > 0.0).then(|| (left as f64 / rate) as u64) }
        };
        let times = [
            time(thresholds.record_bytes, reading.record_bytes, records),
            time(thresholds.stable_bytes, used_stable_bytes(reading), stable),
        ];
        times.into_iter().flatten().min()
    }

    /// Tells the time until the shard has no cycles to spend, in seconds; `None` if none are known to be burnt. What it
    /// was given meanwhile doesn't count.
    pub fn seconds_until_out_of_cycles(&self) -> Option<u64> {
        let oldest = self.before.front()?;
        let all = || self.before.iter().chain([&self.newest]);
        let steps = all().zip(all().skip(1)).map(|(one, next)| cycles(&one.reading) - cycles(&next.reading));
        let burnt: f64 = steps.filter(|burnt| *burnt > 0.0).sum();
        let seconds = (self.newest.at - oldest.at) as f64 / SECOND_NANOSECONDS as f64;
        (burnt > 0.0).then(|| (cycles(&self.newest.reading) * seconds / burnt) as u64)
    }

    /// Tells operations and instructions per minute: the lesser of what they were over three minutes or more, and of what
    /// they were over the last minute or more, so that neither a moment nor what is over counts as load. `None` while that
    /// isn't known.
    pub fn load(&self) -> Option<(u64, u64)> {
        let since = |nanoseconds: u64| {
            let then = self.before.iter().rev().find(|taken| self.newest.at - taken.at >= nanoseconds)?;
            let minutes = (self.newest.at - then.at) as f64 / MINUTE_NANOSECONDS as f64;
            let rate = |of: fn(&ShardReading) -> u64| {
                (of(&self.newest.reading).saturating_sub(of(&then.reading)) as f64 / minutes) as u64
            };
            Some((rate(|reading| reading.operations), rate(|reading| reading.instructions)))
        };
        let (long, short) = (since(LOAD_NANOSECONDS)?, since(MINUTE_NANOSECONDS)?);
        Some((long.0.min(short.0), long.1.min(short.1)))
    }

    /// Tells when the shard is to be asked again (nanoseconds): the sooner, the sooner it can reach a threshold.
    pub fn next_at(&self, thresholds: &Thresholds, in_transfer: bool) -> u64 {
        let reading = &self.newest.reading;
        let left =
            [(thresholds.record_bytes, reading.record_bytes), (thresholds.stable_bytes, used_stable_bytes(reading))];
        let left = left.into_iter().filter_map(|(threshold, value)| Some(threshold?.saturating_sub(value))).min();
        let at_worst = left.map_or(u64::MAX, |left| left / FILL_BYTES_PER_SECOND_MAX);
        let forecast = self.seconds_until_split(thresholds).unwrap_or(u64::MAX);
        let seconds = at_worst.min(forecast) / PARTS_OF_TIME_LEFT;
        let mut wait =
            seconds.saturating_mul(SECOND_NANOSECONDS).clamp(INTERVAL_NANOSECONDS_MIN, INTERVAL_NANOSECONDS_MAX);
        let is_beyond = left == Some(0) || reading.out_of_space || reading.low_memory;
        if is_beyond || in_transfer {
            wait = wait.max(IMPATIENT_NANOSECONDS);
        }
        if in_transfer || reading.clears_up {
            wait = wait.min(IMPATIENT_NANOSECONDS);
        }
        let load = self.load().unwrap_or_default();
        let pairs = [
            (load.0, thresholds.operations_per_minute),
            (load.1, thresholds.instructions_per_minute),
            (reading.heap_bytes, thresholds.heap_bytes),
        ];
        if pairs.into_iter().any(|(value, threshold)| threshold.is_some_and(|threshold| value > threshold / 2)) {
            wait = wait.min(BUSY_NANOSECONDS);
        }
        self.newest.at.saturating_add(wait)
    }
}

/// Tells how much of a shard's stable memory is in use, in bytes: it doesn't shrink, but what is free is used again.
pub fn used_stable_bytes(reading: &ShardReading) -> u64 {
    reading.stable_bytes.saturating_sub(reading.free_bytes)
}

fn cycles(reading: &ShardReading) -> f64 {
    number(&reading.liquid_cycles) as f64
}

/// Reads an amount; the platform's fit.
pub fn number(amount: &Nat) -> u128 {
    u128::try_from(&amount.0).unwrap_or(u128::MAX)
}
