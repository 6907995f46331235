//! What must hold between figures of load.

use super::cells::{BASE, RECORDS, Way, names};
use super::{large, watch};
use crate::results::checks::{Bound, Check};
use crate::results::{Figures, Measure, Structure};

/// Least share of what twice as many shards would do at best, in percent; and of what 4 do, for more: a subnet has four
/// threads.
const SCALING_PERCENT_MIN: u64 = 90;
const THREADS: u32 = 4;
/// Shards up to which that must hold.
const SHARDS_CHECKED_MAX: u32 = 16;
/// Least share of what binds that is used, in percent.
const USED_PERCENT_MIN: u64 = 90;
/// Cost of an upload, in percent of the platform's fees for the value's bytes.
const UPLOAD_PERCENT_MAX: u64 = 110;
/// Cost of an operation on the most records, in percent of that on the fewest.
const GROWTH_PERCENT_MAX: u64 = 110;

/// Finds a figure of a cell on values of the base's size.
pub fn find(figures: &Figures, records: u64, cell: &str, measure: Measure) -> Option<u64> {
    figures.find(Structure::Load, BASE.value_bytes, records, cell, measure).map(|figure| figure.measured)
}

/// Makes the checks that a run's figures allow.
pub fn all(figures: &Figures) -> Vec<Check> {
    let mut checks = vec![];
    for letter in ["A", "C"] {
        let rounds =
            |shards| find(figures, BASE.records, &names::direct_shards(letter, shards), Measure::RoundsPerBillion);
        for shards in super::cells::SHARDS.into_iter().filter(|shards| (2..=SHARDS_CHECKED_MAX).contains(shards)) {
            let than = if shards <= THREADS { 1 } else { THREADS };
            let times = if shards <= THREADS { shards } else { 1 };
            if let (Some(few), Some(many)) = (rounds(than), rounds(shards)) {
                let name = format!("{letter}, direct, batches of 100: {shards} shards in percent of {than}");
                let bound = Bound::AtLeast(SCALING_PERCENT_MIN * u64::from(times));
                checks.push(Check { name, percent: few * 100 / many, bound });
            }
        }
    }
    for (letter, shards) in ["A", "C"].into_iter().flat_map(|letter| (1..=THREADS).map(move |shards| (letter, shards)))
    {
        let of = |measure| find(figures, BASE.records, &names::direct_shards(letter, shards), measure);
        let bound = of(Measure::Bound).and_then(watch::Bound::numbered);
        if let (Some(bound), Some(used)) = (bound, of(Measure::BoundUsed)) {
            let name =
                format!("{letter}, direct, batches of 100, {shards} shards: used of what binds, {}", bound.words());
            checks.push(Check { name, percent: used / 10, bound: Bound::AtLeast(USED_PERCENT_MIN) });
        }
    }
    for sizes in [&large::FULL, &large::SMALL] {
        for (what, way, window, shards) in large::all(sizes).into_iter().filter(|(what, ..)| *what == large::UPLOAD) {
            let name = large::named(what, way, window, shards);
            let of = |measure| large::find(figures, sizes, &name, measure);
            if let (Some(cycles), Some(fees)) = (of(Measure::CyclesPerMebibyte), of(Measure::FeesPerMebibyte)) {
                let name = format!("{name}: cycles in percent of the fees for the value's bytes");
                checks.push(Check {
                    name,
                    percent: (cycles * 100).div_ceil(fees),
                    bound: Bound::AtMost(UPLOAD_PERCENT_MAX),
                });
            }
        }
    }
    let (few, many) = (RECORDS[0], RECORDS[RECORDS.len() - 1]);
    for way in [Way::Routed, Way::Direct] {
        for (measure, words) in [
            (Measure::Cycles, "cycles"),
            (Measure::RouterInstructions, "instructions of the router"),
            (Measure::ShardInstructions, "instructions of the shards"),
        ] {
            let cost = |records| find(figures, records, &names::records(way, records), measure);
            if let (Some(before), Some(after)) = (cost(few), cost(many))
                && before > 0
            {
                let way = names::way_word(way);
                let name = format!("A, {way}, {words}: 1 M records in percent of 10 k");
                checks.push(Check { name, percent: after * 100 / before, bound: Bound::AtMost(GROWTH_PERCENT_MAX) });
            }
        }
    }
    checks
}
