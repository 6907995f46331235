//! Where Canopy wins and where it loses beside the plainest store, as the figures say.

use std::fmt::Write;

use super::cells::{BASE, names};
use super::checks::find;
use super::phases::{KINDS, NAIVE, VALUE_BYTES};
use crate::results::report::spaced;
use crate::results::{Figures, Measure, Structure};

/// Two figures: lower is better, unless the words say that there are more.
struct Pair {
    what: String,
    ours: u64,
    theirs: u64,
    more_is_better: bool,
}

/// Writes both lists.
pub fn beside(figures: &Figures) -> String {
    let mut pairs = vec![];
    for (naive, beside) in NAIVE {
        let kind = KINDS.iter().find(|kind| kind.name == beside).expect("every one stands beside an operation");
        let of = |operation: &str, measures: &[Measure]| {
            let find = |measure: &Measure| {
                figures.find(Structure::Phases, VALUE_BYTES, u64::from(kind.batch), operation, *measure)
            };
            measures.iter().map(|measure| find(measure).map(|figure| figure.measured)).sum::<Option<u64>>()
        };
        for (words, measures) in [
            ("instructions", &[Measure::RouterInstructions, Measure::ShardInstructions][..]),
            ("cycles, the caller's included", &[Measure::Cycles, Measure::CallerCycles]),
        ] {
            if let (Some(ours), Some(theirs)) = (of(kind.name, measures), of(naive.name, measures)) {
                pairs.push(Pair { what: format!("{beside}: {words}"), ours, theirs, more_is_better: false });
            }
        }
    }
    let loads = [
        ("A, routed", "A, map", "workload A, single, through the router beside one canister that is called directly"),
        ("A, routed", "A, map behind a proxy", "workload A, single, through the router beside the proxy"),
        ("A, direct", "A, map", "workload A, single, direct, 4 shards beside one map"),
        ("C, routed", "C, map behind a proxy", "workload C, single, through the router beside the proxy"),
    ];
    for (ours, theirs, what) in loads {
        let per_round =
            |cell: &str| Some(1_000_000_000 / find(figures, BASE.records, cell, Measure::RoundsPerBillion)?);
        if let (Some(ours), Some(theirs)) = (per_round(ours), per_round(theirs)) {
            pairs.push(Pair { what: format!("{what}: operations per round"), ours, theirs, more_is_better: true });
        }
    }
    for (letter, theirs) in [("A", names::MAP), ("C", names::MAP)] {
        let of = |cell: &str| Some(1_000_000_000 / find(figures, BASE.records, cell, Measure::RoundsPerBillion)?);
        let ours = of(&names::direct_shards(letter, 1));
        let theirs = of(&format!("{letter}, {theirs}, batches of 100"));
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let what = format!("workload {letter}, batches of 100, one shard beside one map: operations per round");
            pairs.push(Pair { what, ours, theirs, more_is_better: true });
        }
    }
    let mut text = String::new();
    let wins = |pair: &&Pair| if pair.more_is_better { pair.ours > pair.theirs } else { pair.ours < pair.theirs };
    for (heading, is_won) in [("Where Canopy loses", false), ("Where it wins", true)] {
        writeln!(text, "\n## {heading}\n\n| | Canopy | beside it | times |\n|---|---:|---:|---:|")
            .expect("it takes all");
        for pair in pairs.iter().filter(|pair| wins(pair) == is_won) {
            let (more, less) = (pair.ours.max(pair.theirs), pair.ours.min(pair.theirs).max(1));
            let row = [spaced(pair.ours), spaced(pair.theirs), hundredths(more * 100 / less)];
            writeln!(text, "| {} | {} |", pair.what, row.join(" | ")).expect("it takes all");
        }
    }
    text += NOT_IN_FIGURES;
    text
}

/// What no figure above shows.
const NOT_IN_FIGURES: &str = "
The map keeps no receipts, asks nobody for rights, names no versions, ends at one canister's memory and threads, and answers a call that was lost with nothing that could settle it: that is what the difference buys. What else to know before choosing Canopy:

- One router is one canister: routed single operations are bound by the messages that it takes in a round, however many shards there are. More throughput takes batches, or callers that ask shards directly.
- A router on the way costs an execution, a call, an execution for the answer, and every byte twice more. Who calls often and may know the hash's secret should go direct.
- Shards on one subnet share its four threads: beyond four busy shards there is more room, not more speed.
- Scans come in the order of hashes. A range of keys can't be read without reading everything.
- A hot key lives on one shard, whatever their number.
";

fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}
