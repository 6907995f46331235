//! How throughput grows with shards, and what the platform allows.

use std::fmt::Write;

use super::cells::{self, BASE, names};
use super::checks::find;
use super::report::thousandths;
use super::watch::Bound;
use crate::results::report::spaced;
use crate::results::{Figures, Measure};

const HOW: &str = "
*Allowed* is what would be done if all of what binds were used: of the busiest shard's 75 MiB, where that is the heap delta, or of the four threads' 2 G instructions. Before writes are counted here, four operations for each record are done, so that most records carry a receipt that the next write displaces: with few shards as with many, and as under a load that lasts. Such a write dirties the record's page (1.2 of them, because records of 1,000 bytes lie four pages to fourteen), and one of the index for the receipt; its batch the pages of the heap that hold its argument. So pages, and not instructions, bind writes, and they bind each shard for itself: up to 4 shards and beyond.
";

/// Writes the table.
pub fn table(figures: &Figures) -> String {
    let columns = "shards | operations per round | times one shard | pages per operation | bound by | allowed | used";
    let mut text = format!("{HOW}\n| {columns} |\n|---|---:|---:|---:|---|---:|---:|\n");
    for letter in ["A", "C"] {
        let of = |shards, measure| find(figures, BASE.records, &names::direct_shards(letter, shards), measure);
        let per_round = |shards| Some(1_000_000_000 / of(shards, Measure::RoundsPerBillion)?.max(1));
        for shards in cells::SHARDS {
            let (Some(done), Some(one)) = (per_round(shards), per_round(1)) else { continue };
            let bound = of(shards, Measure::Bound).and_then(Bound::numbered).map_or("", Bound::words);
            let used = of(shards, Measure::BoundUsed).unwrap_or(0);
            let (allowed, share) = match used {
                0 => (String::new(), String::new()),
                _ => (spaced(done * 1_000 / used), format!("{} %", used / 10)),
            };
            let row = [
                spaced(done),
                format!("{}.{:02}", done / one, done * 100 / one % 100),
                thousandths(of(shards, Measure::FullShardPagesPerThousand).unwrap_or(0)),
                bound.to_string(),
                allowed,
                share,
            ];
            writeln!(text, "| {letter}, {shards} | {} |", row.join(" | ")).expect("a string takes everything");
        }
    }
    text
}
