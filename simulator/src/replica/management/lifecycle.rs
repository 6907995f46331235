//! Start, stop, uninstall, delete; and what becomes of stopping canisters at the end of a round.

use candid::Principal;
use ic_management_canister_types::{CanisterIdRecord, ChangeDetails, UninstallCodeArgs};

use super::errors::Refusal;
use super::info::{self, origin};
use super::{Step, payload};
use crate::replica::state::{ManagementCall, Status, StopWaiter, SubnetState};

/// Time after which a `stop_canister` call is rejected while its canister goes on stopping.
const STOP_TIMEOUT_NANOS: u64 = 300_000_000_000;
/// `stop_canister` calls that may wait for one canister.
const STOP_WAITERS_MAX: usize = 10_000;

/// Lets a canister run again; calls that wait for it to stop are rejected.
pub(super) fn start_canister(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    let id = super::controlled(subnet, args.canister_id, call.caller)?.id;
    let canister = super::canister_mut(subnet, id)?;
    let waiters = match std::mem::replace(&mut canister.status, Status::Running) {
        Status::Running => return Ok(Step::nothing()),
        Status::Stopping { waiters } => waiters,
        Status::Stopped => Vec::new(),
    };
    canister.version += 1;
    for waiter in waiters {
        let refund = waiter.call.cycles;
        subnet.answer_management(&waiter.call, Err(Refusal::StopCancelled(id).into()), refund);
    }
    Ok(Step::nothing())
}

/// Stops a canister once its open calls are answered; the call waits until then.
pub(super) fn stop_canister(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    let id = super::controlled(subnet, args.canister_id, call.caller)?.id;
    let since_nanos = subnet.time_nanos;
    let canister = super::canister_mut(subnet, id)?;
    let waiter = StopWaiter { call: call.clone(), since_nanos };
    match &mut canister.status {
        Status::Stopped => return Ok(Step::nothing()),
        Status::Stopping { waiters } if waiters.len() >= STOP_WAITERS_MAX => return Err(Refusal::StopTimedOut),
        Status::Stopping { waiters } => waiters.push(waiter),
        Status::Running => {
            canister.status = Status::Stopping { waiters: vec![waiter] };
            canister.version += 1;
        }
    }
    Ok(Step::Later)
}

/// Removes code and state; controllers and cycles stay.
pub(super) fn uninstall_code(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: UninstallCodeArgs = payload::decode(&call.payload)?;
    let id = args.canister_id;
    if !subnet.config.admins.contains(&call.caller) {
        super::controlled(subnet, id, call.caller)?;
    }
    if super::canister(subnet, id)?.installation.is_some() {
        return Ok(Step::NextRound);
    }
    uninstall(subnet, id, call, args.sender_canister_version)?;
    Ok(Step::nothing())
}

/// Removes code and state and records it.
pub(super) fn uninstall(
    subnet: &mut SubnetState,
    id: Principal,
    call: &ManagementCall,
    sender_version: Option<u64>,
) -> Result<(), Refusal> {
    super::canister(subnet, id)?;
    subnet.uninstall(id);
    let now_nanos = subnet.time_nanos;
    let canister = super::canister_mut(subnet, id)?;
    canister.version += 1;
    info::record(canister, now_nanos, origin(call, sender_version), ChangeDetails::CodeUninstall);
    Ok(())
}

/// Deletes a stopped canister with all its cycles.
pub(super) fn delete_canister(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    let canister = super::controlled(subnet, args.canister_id, call.caller)?;
    let id = canister.id;
    if id == call.caller {
        return Err(Refusal::DeletesItself(id));
    }
    if !matches!(canister.status, Status::Stopped) {
        return Err(Refusal::NotStopped(id));
    }
    if !canister.queues.is_empty() || !canister.is_quiet() {
        return Err(Refusal::QueueNotEmpty(id));
    }
    subnet.remove(id);
    Ok(Step::nothing())
}

/// Turns stopping canisters without open calls into stopped ones and answers who waited for it; rejects calls that
/// have waited for five minutes. Called once at the end of every round.
pub fn settle_stopping(subnet: &mut SubnetState) {
    let now_nanos = subnet.time_nanos;
    subnet.settle_touched();
    for id in subnet.active_ids() {
        let Some(canister) = subnet.canisters.get_mut(&id) else { continue };
        let quiet = canister.is_quiet();
        let Status::Stopping { waiters } = &mut canister.status else { continue };
        if quiet {
            let waiters = std::mem::take(waiters);
            canister.status = Status::Stopped;
            canister.version += 1;
            for waiter in waiters {
                subnet.answer_management(&waiter.call, Ok(payload::NOTHING.to_vec()), waiter.call.cycles);
            }
            continue;
        }
        let overdue = |waiter: &StopWaiter| now_nanos.saturating_sub(waiter.since_nanos) >= STOP_TIMEOUT_NANOS;
        let (late, waiting) = std::mem::take(waiters).into_iter().partition(overdue);
        *waiters = waiting;
        let late: Vec<StopWaiter> = late;
        for waiter in late {
            subnet.answer_management(&waiter.call, Err(Refusal::StopTimedOut.into()), waiter.call.cycles);
        }
    }
}
