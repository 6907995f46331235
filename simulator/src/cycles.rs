//! Fees, prepayments, the freezing threshold and reservation (`ic-facts.md` 4.2 to 4.4).

use crate::limits::{GIB, REPLY_BYTES_MAX};

/// Prices of a subnet in cycles. Every fee scales with the number of nodes (13 is the reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    pub nodes: u32,
    /// A free subnet (cost schedule `Free`, or a system subnet) charges nothing.
    pub free: bool,
}

/// Nodes for which the table below is written.
const REFERENCE_NODES: u128 = 13;
const CREATE_CANISTER: u128 = 500_000_000_000;
const UPDATE_BASE: u128 = 5_000_000;
const CALL_BASE: u128 = 260_000;
const CALL_BYTE: u128 = 1_000;
const INGRESS_BASE: u128 = 1_200_000;
const INGRESS_BYTE: u128 = 2_000;
const STORAGE_GIB_SECOND: u128 = 127_000;
const COMPUTE_PERCENT_SECOND: u128 = 10_000_000;
const SECONDS_PER_DAY: u128 = 86_400;
/// Seconds of storage that are reserved for the last byte of a full subnet; linear from 0 at the threshold.
const RESERVATION_SECONDS_MAX: u128 = 300_000_000;

impl Fees {
    fn scaled(&self, fee: u128) -> u128 {
        if self.free { 0 } else { fee * self.nodes as u128 / REFERENCE_NODES }
    }

    pub fn create_canister(&self) -> u128 {
        self.scaled(CREATE_CANISTER)
    }

    /// Execution of a message with that many instructions. `wasm64` code pays twice per instruction.
    pub fn execution(&self, instructions: u64, wasm64: bool) -> u128 {
        self.scaled(UPDATE_BASE) + self.instructions(instructions, wasm64)
    }

    /// Instructions without the base of a message.
    pub fn instructions(&self, instructions: u64, wasm64: bool) -> u128 {
        self.scaled(instructions as u128 * if wasm64 { 2 } else { 1 })
    }

    pub fn ingress(&self, envelope_bytes: u64) -> u128 {
        self.scaled(INGRESS_BASE) + self.scaled(INGRESS_BYTE * envelope_bytes as u128)
    }

    /// The request of an inter-canister call; `bytes` are method name and argument.
    pub fn request(&self, bytes: u64) -> u128 {
        self.scaled(CALL_BASE) + self.scaled(CALL_BYTE * bytes as u128)
    }

    pub fn response(&self, bytes: u64) -> u128 {
        self.scaled(CALL_BYTE * bytes as u128)
    }

    /// What is set aside at `call_perform` for the largest response.
    pub fn response_prepayment(&self) -> u128 {
        self.response(REPLY_BYTES_MAX)
    }

    /// What `cost_call` tells and `call_perform` withdraws, without attached cycles.
    pub fn call(&self, name_and_argument_bytes: u64, callback_instructions_max: u64, wasm64: bool) -> u128 {
        self.request(name_and_argument_bytes)
            + self.response_prepayment()
            + self.execution(callback_instructions_max, wasm64)
    }

    pub fn storage(&self, bytes: u64, seconds: u64) -> u128 {
        self.scaled(bytes as u128 * STORAGE_GIB_SECOND * seconds as u128 / GIB as u128)
    }

    pub fn compute_allocation(&self, percent: u64, seconds: u64) -> u128 {
        self.scaled(COMPUTE_PERCENT_SECOND * percent as u128 * seconds as u128)
    }

    /// Cycles below which a canister is frozen: what it burns idle in `threshold_seconds`, less what is reserved.
    pub fn freezing_threshold(&self, idle: &IdleBurn, threshold_seconds: u64, reserved: u128) -> u128 {
        (self.idle_per_day(idle) * threshold_seconds as u128 / SECONDS_PER_DAY).saturating_sub(reserved)
    }

    pub fn idle_per_day(&self, idle: &IdleBurn) -> u128 {
        let day = SECONDS_PER_DAY as u64;
        self.storage(idle.memory_bytes.max(idle.memory_allocation_bytes), day)
            + self.storage(idle.message_bytes, day)
            + self.compute_allocation(idle.compute_allocation_percent, day)
    }
}

/// Memory of a subnet at one moment, for what growth has to reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubnetMemory {
    pub used_bytes: u64,
    pub bytes_max: u64,
    /// Below this nothing is reserved.
    pub reservation_threshold_bytes: u64,
}

impl SubnetMemory {
    pub fn available_bytes(&self) -> u64 {
        self.bytes_max.saturating_sub(self.used_bytes)
    }

    /// Returns the cycles that growing by `bytes` reserves: storage for the time that rises linearly from the
    /// threshold to a full subnet, summed over the bytes grown.
    pub fn reservation(&self, bytes: u64, fees: &Fees) -> u128 {
        let grown_to = self.used_bytes.saturating_add(bytes);
        let span = self.bytes_max.saturating_sub(self.reservation_threshold_bytes);
        let above = grown_to.saturating_sub(self.reservation_threshold_bytes).min(span);
        let before = self.used_bytes.saturating_sub(self.reservation_threshold_bytes).min(span);
        if span == 0 || above <= before {
            return 0;
        }
        // Seconds at the middle of the bytes grown.
        let seconds = (above as u128 + before as u128) * RESERVATION_SECONDS_MAX / 2 / span as u128;
        fees.storage(above - before, seconds as u64)
    }
}

/// What an idle canister pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleBurn {
    pub memory_bytes: u64,
    pub memory_allocation_bytes: u64,
    /// Memory reserved for guaranteed responses and messages in queues.
    pub message_bytes: u64,
    pub compute_allocation_percent: u64,
}
