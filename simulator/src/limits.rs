//! Limits of an application subnet (`ic-facts.md` 4.1; section 9 wins). One place, so that a profile can differ.

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// Bytes of a Wasm page of heap or stable memory.
pub const WASM_PAGE_BYTES: u64 = 64 * KIB;
/// Bytes of the page in which dirtying is counted.
pub const OS_PAGE_BYTES: u64 = 4 * KIB;

pub const UPDATE_INSTRUCTIONS_MAX: u64 = 40_000_000_000;
pub const QUERY_INSTRUCTIONS_MAX: u64 = 5_000_000_000;
pub const INSTALL_INSTRUCTIONS_MAX: u64 = 300_000_000_000;
pub const INSPECT_INSTRUCTIONS_MAX: u64 = 200_000_000;
/// Instructions of one slice; also the most that one bulk operation may cost.
pub const SLICE_INSTRUCTIONS_MAX: u64 = 2_000_000_000;

pub const STABLE_BYTES_MAX: u64 = 500 * GIB;
pub const CALL_BYTES_MAX: u64 = 10 * MIB;
pub const CROSS_SUBNET_BYTES_MAX: u64 = 2 * MIB;
pub const REPLY_BYTES_MAX: u64 = 2 * MIB;
pub const QUERY_REPLY_BYTES_MAX: u64 = 3 * MIB;
pub const REJECT_MESSAGE_BYTES_MAX: u64 = 8 * KIB;
pub const BEST_EFFORT_TIMEOUT_SECONDS_MAX: u32 = 300;
pub const QUEUE_SLOTS: usize = 500;
/// What system subnets allow more of.
pub const SYSTEM_UPDATE_INSTRUCTIONS_MAX: u64 = 50_000_000_000;
pub const SYSTEM_INSTALL_INSTRUCTIONS_MAX: u64 = 1_000_000_000_000;
pub const SYSTEM_INGRESS_BYTES_MAX: u64 = 7 * MIB / 2;
/// Instructions of any message on a subnet with the benchmarking profile.
pub const BENCHMARKING_INSTRUCTIONS_MAX: u64 = 99_999_999_999_999;
/// Callbacks that a canister can always open, and that a subnet has for the rest.
pub const CALLBACKS_PER_CANISTER: usize = 50;
pub const CALLBACKS_PER_SUBNET: usize = 1_000_000;
/// Bytes of a subnet for messages of guaranteed response.
pub const GUARANTEED_BYTES_PER_SUBNET: u64 = 15 * GIB;
/// Bytes of a subnet for messages of bounded wait; beyond, the largest are shed.
pub const BEST_EFFORT_BYTES_PER_SUBNET: u64 = 5 * GIB;
/// Bytes of a whole ingress message.
pub const INGRESS_BYTES_MAX: u64 = 2 * MIB;
