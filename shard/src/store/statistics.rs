//! Statistics, put together from counters that every write keeps up to date.

use ic_stable_structures::Memory;

use super::api::Statistics;
use super::layout::PAGE_BYTES;
use super::state::Store;

impl<M: Memory> Store<M> {
    /// Counts the tombstones.
    #[inline]
    pub fn tombstones(&self) -> u64 {
        self.counters.tombstones
    }

    /// Sizes and counts, in constant time and without reading the memory.
    pub fn statistics(&self) -> Statistics {
        let bytes = |pages: u32| u64::from(pages) * PAGE_BYTES;
        let counters = &self.counters;
        Statistics {
            records: counters.records,
            internal_records: counters.internal_records,
            live_bytes: counters.live_bytes,
            tombstones: counters.tombstones,
            receipts: counters.receipts,
            expiring: self.expiry.entries,
            capacity_bytes: bytes(self.pages.capacity),
            untouched_bytes: bytes(self.pages.untouched()),
            free_page_bytes: bytes(self.pages.free),
            free_slot_bytes: bytes(self.slabs.slab_pages) + bytes(self.slabs.run_pages) - self.slabs.used_bytes,
            slack_bytes: self.slabs.used_bytes - counters.record_bytes,
            index_bytes: bytes(self.index.pages),
            expiry_bytes: bytes(self.expiry.pages),
            receipt_bytes: bytes(self.receipts.pages),
            fixed_bytes: bytes(self.pages.reserved()),
            index_depth: u64::from(self.index.depth),
            growth_failed: counters.growth_failed,
        }
    }
}
