//! What was done about the largest costs, before and after.

use std::fmt::Write;

use super::cells::{self, Cell};
use super::phases::{KINDS, VALUE_BYTES};
use super::report::thousandths;
use crate::results::report::spaced;
use crate::results::{Figures, Measure, Structure};

/// Name of the committed figures before the costs that they showed were attacked.
const BEFORE: &str = "load-before";

const TUNING: &str = "\
The first figures (`load-before.json`) showed which costs the code can do something about, beside the platform's own: 50 instructions for each byte sent or replied, and 500 for each call of the system. Five were attacked:

1. *Naming a put for its receipt*: 4,500 instructions, a third of a put in a batch, nearly all of them a second keyed hash of the value. It only has to notice that a caller uses an id twice, so four words at a time are condensed instead.
2. *Storing*: 7,200 to 7,800 instructions. The shard's clock, short keys and the store's state are handled in fewer, larger pieces.
3. *Receiving*: 2 instructions for each byte of the router's argument, because the memory was zeroed before it was written.
4. *Waiting*: a routed put dirtied twice as many pages of the router's heap as a routed get, because it waited in a future of an executor, and a batch did so once for each shard. Writes and batches are sent by callbacks of their own now, as reads were.
5. *Replying*: a batch of gets gathered its reply on the heap, which grew by doubling and copied itself, and the router did so once more. Values go to the platform in pieces of 8 KiB now.

The last two are about pages: each costs 1,000 instructions, and a canister that dirties more than 75 MiB of them in a round has to wait, which is what bound direct batches of puts and routed batches.
";

/// Writes it.
///
/// # Errors
///
/// When committed figures can't be read.
pub fn before_and_after(figures: &Figures) -> anyhow::Result<String> {
    let (before, small) = (Figures::load(BEFORE)?, Figures::load(super::Plan::small().name)?);
    let mut text = format!("\n## Tuning\n\n{TUNING}\n");
    columns(&mut text, "instructions per operation | router, before | after | shards, before | after | less");
    for kind in KINDS {
        let of = |figures: &Figures, measure| {
            let found = figures.find(Structure::Phases, VALUE_BYTES, u64::from(kind.batch), kind.name, measure);
            found.map_or(0, |figure| figure.measured)
        };
        let pair = |measure| [of(&before, measure), of(figures, measure)];
        let cells = [pair(Measure::RouterInstructions), pair(Measure::ShardInstructions)].concat();
        let less = less(cells[0] + cells[2], cells[1] + cells[3]);
        row(&mut text, kind.name, cells.into_iter().map(spaced).chain([less]));
    }
    writeln!(text, "\nThe small configuration (5,000 records, 2 shards) before and after the last two:\n")?;
    let measures = "pages of the router, before | after | pages of the shards, before | after | operations per round, before | after";
    columns(&mut text, &format!("per operation | {measures}"));
    for cell in cells::small() {
        let pair = |measure| Some([of_cell(&before, &cell, measure)?, of_cell(&small, &cell, measure)?]);
        let pages = [Measure::RouterPagesPerThousand, Measure::ShardPagesPerThousand].map(pair);
        let (Some(rounds), [Some(router), Some(shards)]) = (pair(Measure::RoundsPerBillion), pages) else { continue };
        let pages = router.into_iter().chain(shards).map(thousandths);
        let per_round = rounds.map(|rounds| spaced(1_000_000_000 / rounds.max(1)));
        row(&mut text, &cell.name, pages.chain(per_round));
    }
    Ok(text)
}

fn of_cell(figures: &Figures, cell: &Cell, measure: Measure) -> Option<u64> {
    let state = &cell.state;
    let found = figures.find(Structure::Load, state.value_bytes, state.records, &cell.name, measure);
    found.map(|figure| figure.measured)
}

fn less(was: u64, is: u64) -> String {
    let less = was.saturating_sub(is) * 1_000 / was.max(1);
    format!("{}.{} %", less / 10, less % 10)
}

fn columns(text: &mut String, columns: &str) {
    *text += &format!("| {columns} |\n|---|{}\n", "---:|".repeat(columns.matches('|').count()));
}

fn row(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    *text += &format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
}
