//! The demo's tables.

use candid::Principal;
use canopy_types::HashRange;
use comfy_table::Table;

use super::figures::{Figures, Use};
use crate::shown::{grouped, table};

/// Picks one figure of what an operation used.
type Figure = fn(&Use) -> u128;

/// One line of the table of shards.
pub struct ShardLine {
    pub shard: Principal,
    pub range: HashRange,
    pub records: u64,
    pub record_bytes: u64,
}

/// Draws the shards with what they hold, and their sum.
pub fn shards(lines: &[ShardLine]) -> Table {
    let mut table = table(&["shard", "hash range", "records", "bytes"], 2);
    for line in lines {
        let cells = [line.shard.to_text(), line.range.to_string(), grouped(line.records), grouped(line.record_bytes)];
        table.add_row(cells);
    }
    let sum = |of: fn(&ShardLine) -> u64| grouped(lines.iter().map(of).sum::<u64>());
    table.add_row(["all".to_string(), String::new(), sum(|line| line.records), sum(|line| line.record_bytes)]);
    table
}

/// Draws median and 99th percentile of what puts and gets used, router and shard together.
pub fn figures(puts: &Figures, gets: &Figures) -> Table {
    let mut table = table(&["operation", "measured", "per operation", "median", "p99"], 3);
    let figures: [(&str, Figure); 3] = [
        ("instructions", |used| used.instructions.into()),
        ("cycles", |used| used.cycles),
        ("messages", |used| used.messages.into()),
    ];
    for (operation, measured) in [("put", puts), ("get", gets)] {
        for (name, figure) in figures {
            let (median, p99) = measured.median_and_p99(figure).unwrap_or_default();
            let count = grouped(measured.len());
            table.add_row([operation.to_string(), count, name.to_string(), grouped(median), grouped(p99)]);
        }
    }
    table
}
