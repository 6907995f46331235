//! The demo's tables.

use candid::Principal;
use canopy_types::HashRange;
use comfy_table::{CellAlignment, Table, presets};

use super::figures::{Figures, Use};

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

/// An empty table whose columns from `numbers` on are numbers.
fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Writes a number with commas between groups of three digits.
fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_from_the_right() {
        assert_eq!(super::grouped(1), "1");
        assert_eq!(super::grouped(123), "123");
        assert_eq!(super::grouped(1_234_567), "1,234,567");
    }
}
