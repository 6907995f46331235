//! What a transfer costs the shard, in cycles: a source for what it sends, a target for what it will hold.

use canopy_types::HashRange;
use canopy_types::funding::CyclesNeed;
use canopy_types::transfer::{BeginTransferArguments, TransferError, TransferSide};

use super::batch::ITEM_BYTES_MAX;
use super::stored::Stage;
use super::turn::RESERVE_CYCLES;
use crate::state::State;

#[cfg(test)]
mod tests;

/// Cycles that sending a byte costs, with a fifth for what is sent twice.
const SENDING_CYCLES_PER_BYTE: u128 = 1_200;

/// Cycles that taking in a byte costs: a record of 32 and 100 bytes takes about 12,000 instructions.
const TAKING_IN_CYCLES_PER_BYTE: u128 = 100;

/// Cycles that must stay for a GiB of memory, at 127,000 a second (13 nodes) and for 30 days, the platform's default.
const HOLDING_CYCLES_PER_GIB: u128 = 127_000 * 30 * 24 * 60 * 60;

/// How many times that it may be at most: a year, or 120 days on 40 nodes. More is memory that the shard has ordered and
/// doesn't use, or percents of computing, which a range doesn't add to.
const HOLDING_FACTOR_MAX: u128 = 12;

/// Memory that a target adds beside what the range takes: two steps of growth, because it grows ahead.
const GROWN_AHEAD_BYTES: u64 = 128 << 20;

const GIB: u128 = 1 << 30;

/// What the shard can spend, and what its memory costs it, as the platform says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Cycles that can be spent.
    pub liquid_cycles: u128,
    /// Cycles that must stay, below which the shard is frozen: for its memory, as long as its settings say.
    pub frozen_cycles: u128,
    /// Memory of the code, in bytes.
    pub heap_bytes: u64,
}

impl State {
    /// Says why the shard can't pay for its part in a transfer; `None` if it can, or if nobody knows what a target gets.
    pub fn transfer_cycles_short(&self, arguments: &BeginTransferArguments, means: &Means) -> Option<TransferError> {
        let required = match arguments.side {
            TransferSide::Source => self.sending_cycles(&arguments.range),
            TransferSide::Target => self.holding_cycles(arguments.bytes?, means),
        };
        let available = means.liquid_cycles;
        (available < required)
            .then(|| TransferError::CyclesShort { available: available.into(), required: required.into() })
    }

    /// Tells what a source needs that has stopped sending for the sake of its reserve. While calls are open it isn't known:
    /// what they set aside comes back.
    pub fn sender_needs(&self, available: u128) -> Option<CyclesNeed> {
        let current = self.transfers.current().filter(|current| current.is_source())?;
        if available >= RESERVE_CYCLES || self.copying.is_flying() {
            return None;
        }
        let left = if current.stage == Stage::Sending { self.copying.left_of(&current.range) } else { None };
        let required = left.map_or(RESERVE_CYCLES, |left| self.sending_cycles(&left));
        Some(CyclesNeed { available: available.into(), required: required.into() })
    }

    /// Tells about what sending a part of the shard's range costs, with the reserve. Hashes are uniform, so records are.
    fn sending_cycles(&self, part: &HashRange) -> u128 {
        let statistics = self.store.statistics();
        let bytes = u128::from(statistics.live_bytes)
            + u128::from(statistics.records + statistics.receipts) * ITEM_BYTES_MAX as u128;
        let hashes = |range: &HashRange| u128::from(range.last.0.saturating_sub(range.first.0)) + 1;
        bytes * hashes(part) / hashes(&self.identity.range) * SENDING_CYCLES_PER_BYTE + RESERVE_CYCLES
    }

    /// Tells about what a range that takes so many bytes of memory costs a target: taking it in, and what must stay as long
    /// as it is held, with the reserve.
    fn holding_cycles(&self, bytes: u64, means: &Means) -> u128 {
        let statistics = self.store.statistics();
        let free = statistics.untouched_bytes + statistics.free_page_bytes;
        let added = u128::from(bytes.saturating_add(GROWN_AHEAD_BYTES).saturating_sub(free));
        // Its settings may say more than 30 days, and its subnet have more nodes: then what it has costs it more already.
        let default = added.saturating_mul(HOLDING_CYCLES_PER_GIB) / GIB;
        let memory = u128::from(self.stable_bytes().saturating_add(means.heap_bytes)).max(1);
        let alike = added.saturating_mul(means.frozen_cycles) / memory;
        let holding = alike.clamp(default, default.saturating_mul(HOLDING_FACTOR_MAX));
        holding + u128::from(bytes) * TAKING_IN_CYCLES_PER_BYTE + RESERVE_CYCLES
    }
}
