//! What the journal does for growth: splits and merges that nobody asked for, spares, and the memory of why.

use canopy_types::ShardIndex;
use canopy_types::growth::{GrowthAction, GrowthDecision};
use canopy_types::limits::{SHARDS_MAX, SPLITS_PER_HOUR_MAX};
use canopy_types::transfer::{MergeShardArguments, MoveError, SplitShardArguments};

use super::{Journal, ShardEntry};
use crate::growth::Wish;

/// Decisions that are remembered: those of an hour and more.
const DECISIONS_MAX: usize = 128;

const _: () = assert!(DECISIONS_MAX as u64 >= 2 * SPLITS_PER_HOUR_MAX, "the splits of an hour are counted in the list");

impl Journal {
    /// Does what growth asks for, and remembers why.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn grow(&mut self, wish: &Wish, now: u64) -> Result<GrowthDecision, MoveError> {
        let transfer = match wish.action {
            GrowthAction::Split { shard } => Some(self.split(&SplitShardArguments { shard, at: wish.boundary }, now)?),
            GrowthAction::Merge { shard, into } => Some(self.merge(&MergeShardArguments { shard, into }, now)?),
            GrowthAction::MakeSpares { count } => {
                let room = SHARDS_MAX.saturating_sub(self.shards.len() as u32);
                for _ in 0..count.min(room) {
                    let index = ShardIndex(self.shards.len() as u32);
                    self.shards.push(ShardEntry::spare(index));
                }
                None
            }
        };
        let Wish { action, reason, value, threshold, .. } = *wish;
        let decision = GrowthDecision { at_nanoseconds: now, action, reason, value, threshold, transfer };
        let decisions = self.decisions.get_or_insert_default();
        if decisions.len() == DECISIONS_MAX {
            // Spares are no splits of the hour, so they are forgotten first.
            let spares = |decision: &GrowthDecision| matches!(decision.action, GrowthAction::MakeSpares { .. });
            let at = decisions.iter().position(spares).unwrap_or(0);
            decisions.remove(at);
        }
        decisions.push(decision.clone());
        Ok(decision)
    }

    /// Lists the last decisions, the oldest first.
    pub fn decisions(&self) -> &[GrowthDecision] {
        self.decisions.as_deref().unwrap_or_default()
    }
}
