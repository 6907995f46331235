//! Memory of a subnet: what is left for canisters, and the cycles that growth has to reserve.

use crate::replica::management::errors::Refusal;
use crate::replica::state::{Canister, SubnetConfig, SubnetState};

/// Seconds of storage that are reserved for the last byte of a full subnet; linear from 0 at the threshold.
const RESERVATION_SECONDS_MAX: u128 = 300_000_000;

/// Memory of a subnet at one moment, by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetMemory {
    pub used_bytes: u64,
    pub bytes_max: u64,
    pub reservation_threshold_bytes: u64,
}

impl SubnetMemory {
    /// Takes what canisters use or have allocated, as last counted.
    pub fn of(subnet: &SubnetState) -> Self {
        Self {
            used_bytes: subnet.totals.memory_bytes,
            bytes_max: subnet.config.memory_bytes_max,
            reservation_threshold_bytes: subnet.config.reservation_threshold_bytes,
        }
    }

    pub fn available_bytes(&self) -> u64 {
        self.bytes_max.saturating_sub(self.used_bytes)
    }

    /// Returns the cycles that growing by `bytes` reserves: storage for the time that rises linearly from the
    /// threshold to a full subnet, summed over the bytes grown.
    pub fn reservation(&self, bytes: u64, config: &SubnetConfig) -> u128 {
        let grown_to = self.used_bytes.saturating_add(bytes);
        let span = self.bytes_max.saturating_sub(self.reservation_threshold_bytes);
        let above = grown_to.saturating_sub(self.reservation_threshold_bytes).min(span);
        let before = self.used_bytes.saturating_sub(self.reservation_threshold_bytes).min(span);
        if span == 0 || above <= before {
            return 0;
        }
        let grown = above - before;
        // Seconds at the middle of the bytes grown.
        let seconds = (above as u128 + before as u128) * RESERVATION_SECONDS_MAX / 2 / span as u128;
        config.fees.storage(grown, seconds as u64)
    }
}

/// What growth of one canister by a management call needs: checked first, then taken with [`Growth::reserve`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    pub reserved_cycles: u128,
}

impl Growth {
    /// Checks that `canister` may use `bytes` more than now (chunks, snapshots, code).
    ///
    /// # Errors
    /// `AllocationBelowUse`, `MemoryOversubscribed`, `ReservedLimitForGrowth` or `CyclesForGrowth`.
    pub fn check(
        memory: &SubnetMemory,
        config: &SubnetConfig,
        canister: &Canister,
        bytes: u64,
    ) -> Result<Growth, Refusal> {
        if bytes == 0 {
            return Ok(Growth::default());
        }
        let needed_bytes = canister.memory_bytes().saturating_add(bytes);
        let given_bytes = canister.settings.memory_allocation_bytes;
        if given_bytes > 0 {
            return if needed_bytes > given_bytes {
                Err(Refusal::AllocationBelowUse { given_bytes, needed_bytes })
            } else {
                Ok(Growth::default())
            };
        }
        if bytes > memory.available_bytes() {
            return Err(Refusal::MemoryOversubscribed {
                requested_bytes: bytes,
                available_bytes: memory.available_bytes(),
            });
        }
        let reserved_cycles = memory.reservation(bytes, config);
        let account = &canister.account;
        let limit = canister.settings.reserved_cycles_limit;
        if reserved_cycles > 0 && account.reserved + reserved_cycles > limit {
            let requested = account.reserved + reserved_cycles;
            return Err(Refusal::ReservedLimitForGrowth { bytes, limit, requested });
        }
        let mut idle = canister.idle();
        idle.memory_bytes += bytes;
        let threshold = config.fees.freezing_threshold(
            &idle,
            canister.settings.freezing_threshold_seconds,
            account.reserved + reserved_cycles,
        );
        let required = threshold + reserved_cycles;
        if account.balance < required {
            return Err(Refusal::CyclesForGrowth { bytes, missing: required - account.balance });
        }
        Ok(Growth { reserved_cycles })
    }

    /// Moves the cycles to the reserved ones.
    pub fn reserve(&self, canister: &mut Canister) {
        let moved = self.reserved_cycles.min(canister.account.balance);
        canister.account.balance -= moved;
        canister.account.reserved += moved;
    }
}
