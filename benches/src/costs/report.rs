//! The cost table, in Markdown.

use std::fmt::Write;

use crate::results::report::{decimal, spaced};
use crate::results::{Figures, Measure, Structure, save_text, size};

use super::{BATCH_SIZES, MANY, SCANS, SHARDS, SINGLE, VALUE_SIZES, named};

const INTRODUCTION: &str = "\
# What operations cost

From end to end, exact, on the embedded simulator; 32-byte keys, 20,000 records to begin with, callers outside the subnet. Written by `cargo run --release -p canopy-benches -- costs --update`, from `costs.json`. *Direct* asks the shard itself (batches by `apply`), which takes a role by name; everything else goes through the router. Instructions include dirty pages of the heap, and cycles are those of router and shards together: both **per record**. *Fees* are the cycles that no instruction accounts for: messages and their bytes, at a subnet of 13 nodes. *Dirty pages* (of heap and stable memory, 4 KiB each), *executions* and *rounds* are those of a whole message. On a quiet network a message is taken in, executed and answered in the rounds told; on mainnet consensus comes on top.

A record of a batch of 1,000 costs a sixth of a single put, a direct put costs less than half of a routed one. Queries (`get_query`, `scan_query`) cost no cycles.
";

/// Writes `results/costs.md`.
///
/// # Errors
///
/// When the file can't be written.
pub fn write(figures: &Figures) -> anyhow::Result<()> {
    let mut text = INTRODUCTION.to_string();
    for value_bytes in VALUE_SIZES {
        table(&mut text, figures, value_bytes);
    }
    save_text("costs.md", &text)
}

fn table(text: &mut String, figures: &Figures, value_bytes: u64) {
    let columns = "records | router, instructions | shards, instructions | cycles | budget | fees | dirty pages, router | shards | executions | rounds";
    writeln!(text, "\n## Values of {}\n\n| | {columns} |\n|---|{}", size(value_bytes), "---:|".repeat(10))
        .expect("a string takes everything");
    let singles = SINGLE.iter().map(|&name| (name, 1));
    let batches = MANY.iter().chain(&SCANS).flat_map(|&name| BATCH_SIZES.map(|items| (name, items)));
    for (name, items) in singles.chain(batches) {
        for (structure, words) in [(Structure::Direct, "direct: "), (Structure::Routed, "")] {
            for shards in SHARDS {
                let operation = named(name, shards);
                let figure = |measure| figures.find(structure, value_bytes, items, &operation, measure);
                let Some(cycles) = figure(Measure::Cycles) else { continue };
                let value = |measure| figure(measure).map_or(0, |figure| figure.measured);
                let (router, shard) = (value(Measure::RouterInstructions), value(Measure::ShardInstructions));
                let cells = [
                    spaced(items),
                    spaced(router),
                    spaced(shard),
                    spaced(cycles.measured),
                    cycles.budget.map_or(String::new(), spaced),
                    spaced(cycles.measured.saturating_sub(router + shard)),
                    value(Measure::RouterPages).to_string(),
                    value(Measure::ShardPages).to_string(),
                    value(Measure::Messages).to_string(),
                    decimal(value(Measure::Rounds)),
                ];
                writeln!(text, "| {words}{operation} | {} |", cells.join(" | ")).expect("a string takes everything");
            }
        }
    }
}
