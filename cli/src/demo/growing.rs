//! Shows shards, their hash ranges and what moves between them, while data are stored.

use std::collections::BTreeSet;
use std::fmt::Write;

use canopy_types::growth::GrowthAction;
use canopy_types::status::{ShardStatus, Status};
use canopy_types::transfer::{TransferEnd, TransferStage, TransferStatus};
use canopy_types::{HashRange, KeyHash, TransferId};
use indicatif::ProgressBar;

use crate::failure::Failure;
use crate::shown::{grouped, print_line};

#[cfg(test)]
#[path = "growing_tests.rs"]
mod tests;

/// Cells in which the hash space is drawn.
const CELLS: u32 = 64;

/// Transfers that are drawn at a time.
const TRANSFERS_DRAWN_MAX: usize = 3;

/// Signs of shards, by their numbers; then they come again.
const SIGNS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What was told of the growth so far.
#[derive(Default)]
pub struct Growing {
    told: BTreeSet<TransferId>,
    ended: BTreeSet<TransferId>,
}

impl Growing {
    /// Draws how the shards are on `bar`, and tells people splits that were not told before.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub fn show(&mut self, status: &Status, bar: &ProgressBar, json: bool) -> Result<(), Failure> {
        bar.set_message(picture(status));
        for line in self.news(status).into_iter().filter(|_| !json) {
            // Without a terminal there is no bar, and lines are all there is.
            if bar.is_hidden() {
                print_line(line)?;
            } else {
                bar.println(line);
            }
        }
        Ok(())
    }

    /// Counts the splits that were done.
    pub fn splits(&self) -> usize {
        self.ended.len()
    }

    fn news(&mut self, status: &Status) -> Vec<String> {
        let mut lines = Vec::new();
        let decisions = status.growth.iter().flat_map(|growth| &growth.decisions);
        for decision in decisions {
            if let (GrowthAction::Split { shard }, Some(id)) = (decision.action, decision.transfer)
                && self.told.insert(id)
            {
                let (value, threshold) = (grouped(decision.value), grouped(decision.threshold));
                lines.push(format!("shard {} is split: {:?} {value} of {threshold}", shard.0, decision.reason));
            }
        }
        for transfer in status.transfers.iter().flatten() {
            if transfer.stage == TransferStage::Ended(TransferEnd::Done) && self.ended.insert(transfer.id) {
                lines.push(format!("shard {} owns {}", transfer.target.0, transfer.range));
            }
        }
        lines
    }
}

/// Tells whether any range changes hands.
pub fn moves(status: &Status) -> bool {
    status.transfers.iter().flatten().any(is_running)
}

fn is_running(transfer: &TransferStatus) -> bool {
    !matches!(transfer.stage, TransferStage::Ended(_))
}

/// Draws the hash space with a sign for each part's owner, a star where a part moves, and what moves.
fn picture(status: &Status) -> String {
    let owners: Vec<&ShardStatus> = status.shards.iter().filter(|shard| shard.range != HashRange::EMPTY).collect();
    let running: Vec<&TransferStatus> = status.transfers.iter().flatten().filter(|it| is_running(it)).collect();
    let cell = |at: u32| {
        let middle = middle_of(HashRange::FULL.part(at, CELLS).expect("the hash space has more hashes than cells"));
        if running.iter().any(|transfer| transfer.range.contains(middle)) {
            return '*';
        }
        let owner = owners.iter().find(|shard| shard.range.contains(middle));
        owner.map_or(' ', |shard| char::from(SIGNS[shard.index.0 as usize % SIGNS.len()]))
    };
    let map: String = (0..CELLS).map(cell).collect();
    let spares = status.shards.len() - owners.len();
    let mut drawn = format!("[{map}] {} shards, {spares} more", owners.len());
    for transfer in running.iter().take(TRANSFERS_DRAWN_MAX) {
        let said = transfer.progress.as_ref();
        let phase = said.map_or(format!("{:?}", transfer.stage), |said| format!("{:?}", said.phase));
        let items = grouped(said.map_or(0, |said| said.items));
        let (source, target) = (transfer.source.0, transfer.target.0);
        write!(drawn, "\n{source} -> {target}  {}  {phase}, {items} sent", transfer.range).expect("strings take text");
    }
    if running.len() > TRANSFERS_DRAWN_MAX {
        write!(drawn, "\n{} more", running.len() - TRANSFERS_DRAWN_MAX).expect("strings take text");
    }
    drawn
}

fn middle_of(range: HashRange) -> KeyHash {
    KeyHash(range.first.0 + (range.last.0 - range.first.0) / 2)
}
