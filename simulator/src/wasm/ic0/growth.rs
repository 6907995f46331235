//! The rules under which heap and stable memory grow (`ic-facts.md` 3.8, 4.3; section 9).

use super::{Failure, cycles};
use crate::errors::ErrorCode;
use crate::wasm::system::{Context, System};

/// Takes `bytes` of memory: from the subnet or the canister's allocation, with the cycles that must be reserved and
/// those that must stay above the freezing threshold. Nothing changes if it fails.
///
/// # Errors
/// `NoMemory` if there is none; a trap if cycles are missing.
pub fn take(system: &mut System, bytes: u64) -> Result<(), Refusal> {
    let rules = &system.memory;
    let used = system.account.idle.memory_bytes.saturating_add(bytes);
    if rules.memory_allocation_bytes > 0 {
        if used > rules.memory_allocation_bytes {
            return Err(Refusal::NoMemory);
        }
    } else if bytes > rules.subnet.available_bytes() {
        return Err(Refusal::NoMemory);
    }
    let mut account = system.account.clone();
    account.idle.memory_bytes = used;
    if changes_state(system.context) && rules.memory_allocation_bytes == 0 {
        let reserve = rules.subnet.reservation(bytes, &system.fees);
        if account.reserved.saturating_add(reserve) > account.reserved_limit && reserve > 0 {
            return Err(Refusal::Trap(Failure::new(
                ErrorCode::ReservedCyclesLimitExceededInMemoryGrow,
                format!(
                    "Canister cannot grow memory by {bytes} bytes due to its reserved cycles limit. The current limit \
                     ({}) would be exceeded by {}.",
                    account.reserved_limit,
                    account.reserved + reserve - account.reserved_limit
                ),
            )));
        }
        if reserve > account.balance {
            return Err(short_of_cycles(bytes, reserve - account.balance));
        }
        account.balance -= reserve;
        account.reserved += reserve;
    }
    if keeps_threshold(system.context) {
        let threshold = cycles::threshold(system, &account);
        if threshold > account.balance {
            return Err(short_of_cycles(bytes, threshold - account.balance));
        }
    }
    system.account = account;
    system.memory.subnet.used_bytes = system.memory.subnet.used_bytes.saturating_add(bytes);
    Ok(())
}

/// Why memory doesn't grow.
pub enum Refusal {
    NoMemory,
    Trap(Failure),
}

pub fn short_of_cycles(bytes: u64, missing: u128) -> Refusal {
    Refusal::Trap(Failure::new(
        ErrorCode::InsufficientCyclesInMemoryGrow,
        format!(
            "Canister cannot grow memory by {bytes} bytes due to insufficient cycles. At least {missing} additional \
             cycles are required."
        ),
    ))
}

/// Makes the trap of `memory.grow` without memory.
pub fn out_of_memory() -> Failure {
    Failure::new(ErrorCode::CanisterOutOfMemory, "Canister cannot grow its memory usage.")
}

/// Tells whether what happens in this context can stay, so that growth is paid for.
fn changes_state(context: Context) -> bool {
    matches!(
        context,
        Context::Start
            | Context::Init
            | Context::PreUpgrade
            | Context::Update
            | Context::ReplyCallback
            | Context::RejectCallback
            | Context::Cleanup
            | Context::Task
    )
}

/// Installing checks the threshold at its end; callbacks and cleanups may go below it.
fn keeps_threshold(context: Context) -> bool {
    matches!(context, Context::Update | Context::Task)
}
