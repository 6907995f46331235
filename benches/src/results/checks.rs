//! What must hold between figures.

use std::fmt;

use super::{Figures, Measure, Structure, count, size};
use crate::store::names;

/// Growth of an operation's instructions from the fewest records to the most, in percent of the former.
const GROWTH_PERCENT_MAX: u64 = 125;
/// Records from which on, and up to which, that must hold.
const GROWTH_FROM_RECORDS: u64 = 100_000;
/// How many times cheaper than a StableBTreeMap, in percent.
const PUT_RATIO_PERCENT_MIN: u64 = 800;
const GET_RATIO_PERCENT_MIN: u64 = 1_500;
/// How much dearer records of one hash may be than spread ones, in percent.
const EQUAL_HASH_PERCENT_MAX: u64 = 300;

/// A bound on a relation of two figures, in percent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub percent: u64,
    pub bound: Bound,
}

/// On which side of the bound a relation must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    AtMost(u64),
    AtLeast(u64),
}

impl Check {
    /// Tells whether the bound is kept.
    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.percent <= bound,
            Bound::AtLeast(bound) => self.percent >= bound,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (side, bound) = match self.bound {
            Bound::AtMost(bound) => ("at most", bound),
            Bound::AtLeast(bound) => ("at least", bound),
        };
        write!(f, "{}: {} % ({side} {bound} %)", self.name, self.percent)
    }
}

/// Makes the checks that a run's figures allow.
pub fn all(figures: &Figures) -> Vec<Check> {
    [growth(figures), ratios(figures), equal_hashes(figures)].concat()
}

fn growth(figures: &Figures) -> Vec<Check> {
    let mut checks = vec![];
    let operations = [names::GET, names::PUT_FRESH, names::PUT_SAME, names::PUT_OTHER, names::DELETE, names::SWEEP];
    for value_bytes in [100, 1 << 10] {
        for operation in operations {
            let measured = figures.record_counts(Structure::Store, value_bytes, operation, Measure::Batch);
            let [few, .., many] = measured[..] else { continue };
            if few < GROWTH_FROM_RECORDS {
                continue;
            }
            let cost = |records| {
                let found = figures.find(Structure::Store, value_bytes, records, operation, Measure::Batch);
                found.expect("it was listed").measured
            };
            let name =
                format!("{operation}, {}, at {} records in percent of {}", size(value_bytes), count(many), count(few));
            let percent = cost(many) * 100 / cost(few);
            checks.push(Check { name, percent, bound: Bound::AtMost(GROWTH_PERCENT_MAX) });
        }
    }
    checks
}

fn ratios(figures: &Figures) -> Vec<Check> {
    let mut checks = vec![];
    for value_bytes in [100, 1 << 10] {
        for (operation, bound) in [(names::PUT_FRESH, PUT_RATIO_PERCENT_MIN), (names::GET, GET_RATIO_PERCENT_MIN)] {
            for records in figures.record_counts(Structure::StableBTreeMap, value_bytes, operation, Measure::Batch) {
                let cost = |structure| {
                    figures.find(structure, value_bytes, records, operation, Measure::Batch).map(|found| found.measured)
                };
                let (Some(map), Some(store)) = (cost(Structure::StableBTreeMap), cost(Structure::Store)) else {
                    continue;
                };
                let name = format!(
                    "{operation}, {} x {}, StableBTreeMap in percent of the store",
                    count(records),
                    size(value_bytes)
                );
                checks.push(Check { name, percent: map * 100 / store, bound: Bound::AtLeast(bound) });
            }
        }
    }
    checks
}

fn equal_hashes(figures: &Figures) -> Vec<Check> {
    let pairs = [
        (names::PUT_SPREAD, names::PUT_EQUAL),
        (names::GET_SPREAD, names::GET_EQUAL),
        (names::DELETE_SPREAD, names::DELETE_EQUAL),
    ];
    let mut checks = vec![];
    for (spread, equal) in pairs {
        for records in figures.record_counts(Structure::Store, 100, equal, Measure::Batch) {
            let cost =
                |name| figures.find(Structure::Store, 100, records, name, Measure::Batch).map(|found| found.measured);
            if let (Some(spread), Some(cost)) = (cost(spread), cost(equal)) {
                let name = format!("{equal}, {} records in percent of spread ones", count(records));
                checks.push(Check { name, percent: cost * 100 / spread, bound: Bound::AtMost(EQUAL_HASH_PERCENT_MAX) });
            }
        }
    }
    checks
}
