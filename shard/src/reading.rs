//! What the shard measures of itself, for its router and its administrators.

use canopy_types::KeyHash;
use canopy_types::growth::ShardReading;

use crate::state::State;

#[cfg(test)]
mod tests;

impl State {
    /// Tells how full and busy the shard is. `heap_bytes`, `cycles` and `liquid_cycles` are what the platform says.
    pub fn reading(&self, heap_bytes: u64, cycles: u128, liquid_cycles: u128) -> ShardReading {
        let statistics = self.store.statistics();
        let remaining = self.carrying_over.as_ref().map_or(0, |carrying_over| carrying_over.remaining());
        let range = self.identity.range;
        ShardReading {
            records: statistics.records + remaining,
            record_bytes: statistics.live_bytes,
            stable_bytes: self.stable_bytes(),
            free_bytes: statistics.untouched_bytes + statistics.free_page_bytes + statistics.free_slot_bytes,
            heap_bytes,
            cycles: cycles.into(),
            liquid_cycles: liquid_cycles.into(),
            out_of_space: statistics.growth_failed,
            low_memory: self.low_memory,
            clears_up: self.transfers.clearing().is_some() || self.carrying_over.is_some(),
            in_transfer_with: self.transfers.current().map(|current| current.peer),
            operations: self.load.operations(),
            instructions: self.load.instructions(),
            load_boundary: self.load.boundary(range.first.0, range.last.0).map(KeyHash),
        }
    }
}
