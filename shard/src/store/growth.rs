//! Growing the memory ahead, from a timer, so that no write ever does.

use ic_stable_structures::Memory;

use super::api::Growth;
use super::layout::{PAGE_BYTES, PAGES_MAX, PAGES_PER_WASM_PAGE};
use super::state::Store;

impl<M: Memory> Store<M> {
    /// Grows the memory by `growth_bytes` if less than that (and the reserve) is free, or a write found no run long
    /// enough. On the platform `stable_grow` traps when cycles or the reserved limit are short: call it in a message of
    /// its own, and `note_growth_failed` when that message trapped.
    pub fn maintain(&mut self) -> Growth {
        if !self.needs_growth() {
            return Growth::Enough;
        }
        let growth = Self::growth_wasm_pages(&self.options);
        let growth_pages = growth * PAGES_PER_WASM_PAGE;
        let wanted = u64::from(self.counters.wanted_pages);
        let capacity = u64::from(self.pages.capacity) + growth_pages;
        let grown = capacity <= PAGES_MAX && self.pages.memory.inner().grow(growth) >= 0;
        if grown {
            self.pages.capacity = capacity as u32;
            // One growth may be shorter than the run that is wanted.
            if u64::from(self.pages.untouched()) >= wanted * 2 {
                self.counters.wanted_pages = 0;
            }
        }
        self.counters.growth_failed = !grown;
        self.commit();
        if grown { Growth::Grown { bytes: growth_pages * PAGE_BYTES } } else { Growth::Failed }
    }

    /// Tells whether `maintain` has something to do.
    pub fn needs_growth(&self) -> bool {
        let growth_pages = Self::growth_wasm_pages(&self.options) * PAGES_PER_WASM_PAGE;
        self.counters.wanted_pages != 0 || self.pages.available() < growth_pages + self.options.reserve_pages
    }

    /// Notes that the memory couldn't be grown, when the message that tried was rolled back.
    pub fn note_growth_failed(&mut self) {
        self.counters.growth_failed = true;
        self.commit();
    }
}
