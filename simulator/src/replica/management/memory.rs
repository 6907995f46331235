//! Memory of a subnet: what is left for canisters, and the cycles that growth has to reserve.

use crate::cycles::SubnetMemory;
use crate::replica::management::errors::Refusal;
use crate::replica::state::{Canister, SubnetConfig, SubnetState};

/// Takes what canisters use or have allocated, as last counted.
pub fn memory_of(subnet: &SubnetState) -> SubnetMemory {
    SubnetMemory {
        used_bytes: subnet.totals.memory_bytes,
        bytes_max: subnet.config.memory_bytes_max,
        reservation_threshold_bytes: subnet.config.reservation_threshold_bytes,
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
        let reserved_cycles = memory.reservation(bytes, &config.fees);
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
