//! Stable memory.

use super::growth::{self, Refusal};
use super::{Call, Failure, Row, range};
use crate::chance::Fault;
use crate::errors::ErrorCode;
use crate::limits::{GIB, OS_PAGE_BYTES, WASM_PAGE_BYTES};
use crate::wasm::stable::WASM_PAGES_MAX;

/// Instructions for the first write to a page in a message.
const DIRTY_PAGE: u64 = 1_000;
/// Size in pages up to which the functions with 32 bits work.
const NARROW_PAGES_MAX: u64 = 4 * GIB / WASM_PAGE_BYTES;
const REFUSED: u64 = u64::MAX;

pub const ROWS: &[Row] = &[
    ("stable64_size", "", "l", "**", 0, |c| Ok(c.state().stable.size_pages())),
    ("stable64_grow", "l", "l", "**", 100, |c| grow(c, WASM_PAGES_MAX)),
    ("stable64_read", "lll", "", "**", 20, read),
    ("stable64_write", "lll", "", "**", 20, write),
    ("stable_size", "", "i", "** 32", 0, |c| {
        check_narrow(c)?;
        Ok(c.state().stable.size_pages())
    }),
    ("stable_grow", "i", "i", "** 32", 100, |c| {
        check_narrow(c)?;
        grow(c, NARROW_PAGES_MAX)
    }),
    ("stable_read", "iii", "", "** 32", 20, |c| {
        check_narrow(c)?;
        read(c)
    }),
    ("stable_write", "iii", "", "** 32", 20, |c| {
        check_narrow(c)?;
        write(c)
    }),
];

fn check_narrow(call: &mut Call) -> Result<(), Failure> {
    if call.state().stable.size_pages() > NARROW_PAGES_MAX {
        return Err(Failure::trapped("32 bit stable memory api used on a memory larger than 4GB"));
    }
    Ok(())
}

fn grow(call: &mut Call, pages_max: u64) -> Result<u64, Failure> {
    let pages = call.arguments[0];
    let state = call.state();
    let size = state.stable.size_pages();
    if pages == 0 {
        return Ok(size);
    }
    let system = state.system.as_mut().expect("code runs within an execution");
    let bytes = pages.saturating_mul(WASM_PAGE_BYTES);
    if system.faults.trap_stable_grow {
        system.faults.hit.push(Fault::StableGrowTraps);
        let Refusal::Trap(failure) = growth::short_of_cycles(bytes, 1) else { return Ok(REFUSED) };
        return Err(failure);
    }
    if system.faults.fail_stable_grow {
        system.faults.hit.push(Fault::StableGrowFails);
        return Ok(REFUSED);
    }
    if size.saturating_add(pages) > pages_max {
        return Ok(REFUSED);
    }
    match growth::take(system, bytes) {
        Ok(()) => Ok(state.stable.grow(pages).unwrap_or(REFUSED)),
        Err(Refusal::NoMemory) => Ok(REFUSED),
        Err(Refusal::Trap(failure)) => Err(failure),
    }
}

fn read(call: &mut Call) -> Result<u64, Failure> {
    let [address, offset, bytes, ..] = call.arguments;
    call.charge_bytes(bytes, 1)?;
    access(call, offset, bytes)?;
    let (heap, state) = call.parts();
    let part = range(address, bytes).and_then(|range| heap.get_mut(range));
    let part = part.ok_or_else(|| Failure::trapped("heap out of bounds"))?;
    state.stable.read(offset, part).map_err(|_| out_of_bounds())?;
    Ok(0)
}

fn write(call: &mut Call) -> Result<u64, Failure> {
    let [offset, address, bytes, ..] = call.arguments;
    call.charge_bytes(bytes, 1)?;
    access(call, offset, bytes)?;
    let max = call.system().memory.stable_bytes_per_message_max;
    let stable = &call.state().stable;
    let pages = stable.pages_to_dirty(offset, bytes);
    if (stable.pages_dirtied() + pages) * OS_PAGE_BYTES > max {
        return Err(limit_exceeded("modified", max));
    }
    call.charge(pages * DIRTY_PAGE)?;
    let (heap, state) = call.parts();
    let part = range(address, bytes).and_then(|range| heap.get(range));
    let part = part.ok_or_else(|| Failure::trapped("heap out of bounds"))?;
    state.stable.write(offset, part).map_err(|_| out_of_bounds())?;
    Ok(0)
}

/// Checks bounds and counts pages as accessed.
fn access(call: &mut Call, offset: u64, bytes: u64) -> Result<(), Failure> {
    let max = call.system().memory.stable_bytes_per_message_max;
    let stable = &mut call.state().stable;
    if offset.checked_add(bytes).is_none_or(|end| end > stable.size_bytes()) {
        return Err(out_of_bounds());
    }
    stable.access(offset, bytes);
    if stable.pages_accessed() * OS_PAGE_BYTES > max {
        return Err(limit_exceeded("accessed", max));
    }
    Ok(())
}

fn out_of_bounds() -> Failure {
    Failure::trapped("stable memory out of bounds")
}

fn limit_exceeded(what: &str, max: u64) -> Failure {
    Failure::new(
        ErrorCode::CanisterMemoryAccessLimitExceeded,
        format!(
            "Canister exceeded memory access limits: Exceeded the limit for the number of {what} pages in the stable \
             memory in a single execution: limit: {} KB.",
            max / 1024
        ),
    )
}
