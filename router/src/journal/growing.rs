//! What the journal does for growth: splits and merges that nobody asked for, spares, what that costs, and the memory of
//! why.

use canopy_types::funding::{FundingLimit, FundingShortage};
use canopy_types::growth::{GrowthAction, GrowthDecision};
use canopy_types::limits::{SHARDS_MAX, SPLITS_PER_HOUR_MAX};
use canopy_types::status::{ShardStage, Step};
use canopy_types::transfer::{MergeShardArguments, MoveError, SplitShardArguments};
use canopy_types::{HashRange, ShardIndex};

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
            GrowthAction::Fund { .. } => unreachable!("INVARIANT: transfers ask for cycles, and growth doesn't"),
        };
        let Wish { action, reason, value, threshold, .. } = *wish;
        let decision = GrowthDecision { at_nanoseconds: now, action, reason, value, threshold, transfer };
        self.remember(decision.clone());
        Ok(decision)
    }

    /// Remembers a decision.
    pub(super) fn remember(&mut self, decision: GrowthDecision) {
        let decisions = self.decisions.get_or_insert_default();
        if decisions.len() == DECISIONS_MAX {
            // What is no split of the hour is forgotten first.
            let at = decisions.iter().position(|decision| !decision.action.moves_range()).unwrap_or(0);
            decisions.remove(at);
        }
        decisions.push(decision);
    }

    /// Tells how many cycles growth has spent within the day before `now` (nanoseconds).
    pub fn cycles_in_day(&self, now: u64) -> u128 {
        self.spending.as_ref().map_or(0, |spending| spending.in_day(now))
    }

    /// Tells which spare waits until growth may spend `price` cycles again, of `cycles_per_day_max`.
    pub fn creation_shortage(&self, price: u128, cycles_per_day_max: u128, now: u64) -> Option<FundingShortage> {
        let left = cycles_per_day_max.saturating_sub(self.cycles_in_day(now));
        let mut waiting = self.shards.iter().filter(|entry| self.is_growth(Step::CreateShard(entry.index)));
        let shard = waiting.next().filter(|_| left < price)?.index;
        let limit = FundingLimit::CyclesPerDay;
        Some(FundingShortage { shard, limit, available: left.into(), required: price.into() })
    }

    /// Tells whether a step creates a shard that was not planned when the router was installed.
    pub(super) fn is_growth(&self, step: Step) -> bool {
        let Step::CreateShard(shard) = step else { return false };
        let entry = self.entry(shard);
        entry.stage == ShardStage::Planned && entry.range == HashRange::EMPTY
    }

    /// Lists the last decisions, the oldest first.
    pub fn decisions(&self) -> &[GrowthDecision] {
        self.decisions.as_deref().unwrap_or_default()
    }
}
