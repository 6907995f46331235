//! Refusals of the management canister: what went wrong with its numbers, and how the platform words it.

use std::collections::BTreeSet;
use std::fmt;

use candid::Principal;

use crate::errors::{ErrorCode, UserError};
use crate::replica::execution::grouped;
use crate::wasm::system::Trap;

/// Why a management call was refused. Callers see the text of `Display` under the code of [`Refusal::code`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownMethod(String),
    /// A method that exists on the platform but has no backend here (threshold keys, outcalls, bitcoin).
    NotAvailable(&'static str),
    NotByIngress(String),
    /// Answered to users by queries only.
    OnlyByQuery(&'static str),
    OnlyAdmins(&'static str),
    Payload(String),
    NoCanister(Principal),
    NotController {
        canister: Principal,
        controllers: BTreeSet<Principal>,
        caller: Principal,
    },
    /// The same refusal where ingress is filtered before it costs anything.
    NotControllerByIngress {
        canister: Principal,
        method: String,
    },
    LogsNotAllowed(Principal),
    SnapshotsNotAllowed {
        canister: Principal,
        caller: Principal,
    },
    CreationFee {
        required: u128,
        sent: u128,
    },
    FeeNotAttached {
        method: &'static str,
        required: u128,
        sent: u128,
    },
    IdTaken(Principal),
    IdElsewhere(String),
    IdsExhausted,
    TooManyCanisters {
        subnet: Principal,
        canisters_max: usize,
    },
    Settings(String),
    TooManyControllers {
        given: usize,
        controllers_max: usize,
    },
    Environment(String),
    MemoryOversubscribed {
        requested_bytes: u64,
        available_bytes: u64,
    },
    ComputeOversubscribed {
        requested_percent: u64,
        available_percent: u64,
    },
    AllocationBelowUse {
        given_bytes: u64,
        needed_bytes: u64,
    },
    CyclesForCompute {
        percent: u64,
        missing: u128,
    },
    CyclesForMemory {
        bytes: u64,
        missing: u128,
    },
    CyclesForGrowth {
        bytes: u64,
        missing: u128,
    },
    ReservedLimitForMemory {
        bytes: u64,
        limit: u128,
        requested: u128,
    },
    ReservedLimitForGrowth {
        bytes: u64,
        limit: u128,
        requested: u128,
    },
    ReservedLimitTooLow {
        limit: u128,
        reserved: u128,
    },
    OutOfCycles {
        canister: Principal,
        missing: u128,
    },
    InstallOutOfCycles {
        canister: Principal,
        missing: u128,
    },
    SnapshotOutOfCycles {
        canister: Principal,
        missing: u128,
    },
    InstallRateLimited(Principal),
    HeapDeltaRateLimited {
        canister: Principal,
        debit_bytes: u64,
        limit_bytes: u64,
    },
    NotEmpty(Principal),
    MissingUpgradeOption(&'static str),
    InvalidUpgradeOption(&'static str),
    /// Code failed or was refused by the engine.
    Code {
        canister: Principal,
        trap: Trap,
    },
    ChunkStore(String),
    NotStopped(Principal),
    DeletesItself(Principal),
    QueueNotEmpty(Principal),
    StopTimedOut,
    StopCancelled(Principal),
    NoModule(Principal),
    NoSection(String),
    SnapshotNotFound {
        canister: Principal,
        snapshot: Vec<u8>,
    },
    SnapshotOwner {
        canister: Principal,
        snapshot: Vec<u8>,
    },
    SnapshotNotLoadable {
        canister: Principal,
        snapshot: Vec<u8>,
    },
    SnapshotOfEmpty(Principal),
    SnapshotsFull {
        canister: Principal,
        snapshots_max: usize,
    },
    SnapshotImmutable,
    SnapshotInconsistent(String),
    Slice {
        offset: u64,
        size: u64,
    },
    SliceTooLarge {
        requested: u64,
        allowed: u64,
    },
    SubnetNotFound(Principal),
}

impl Refusal {
    /// Returns the platform's error code.
    pub fn code(&self) -> ErrorCode {
        use ErrorCode as Code;
        match self {
            Refusal::UnknownMethod(_) => Code::CanisterMethodNotFound,
            Refusal::NotAvailable(_) => Code::UnknownManagementMessage,
            Refusal::NotByIngress(_)
            | Refusal::OnlyByQuery(_)
            | Refusal::LogsNotAllowed(_)
            | Refusal::SnapshotsNotAllowed { .. }
            | Refusal::FeeNotAttached { .. }
            | Refusal::NoModule(_)
            | Refusal::NoSection(_)
            | Refusal::SnapshotOwner { .. }
            | Refusal::SnapshotNotLoadable { .. }
            | Refusal::SnapshotOfEmpty(_)
            | Refusal::SnapshotsFull { .. } => Code::CanisterRejectedMessage,
            Refusal::OnlyAdmins(_) => Code::InvalidSubnetAdmin,
            Refusal::Payload(_)
            | Refusal::TooManyControllers { .. }
            | Refusal::Environment(_)
            | Refusal::SnapshotInconsistent(_)
            | Refusal::Slice { .. }
            | Refusal::SliceTooLarge { .. } => Code::InvalidManagementPayload,
            Refusal::NoCanister(_) => Code::CanisterNotFound,
            Refusal::NotController { .. } | Refusal::NotControllerByIngress { .. } | Refusal::DeletesItself(_) => {
                Code::CanisterInvalidController
            }
            Refusal::CreationFee { .. } => Code::InsufficientCyclesForCreateCanister,
            Refusal::IdTaken(_) => Code::CanisterIdAlreadyExists,
            Refusal::IdElsewhere(_) => Code::CanisterNotHostedBySubnet,
            Refusal::IdsExhausted | Refusal::MemoryOversubscribed { .. } | Refusal::ComputeOversubscribed { .. } => {
                Code::SubnetOversubscribed
            }
            Refusal::TooManyCanisters { .. } => Code::MaxNumberOfCanistersReached,
            Refusal::Settings(_)
            | Refusal::MissingUpgradeOption(_)
            | Refusal::InvalidUpgradeOption(_)
            | Refusal::ChunkStore(_) => Code::CanisterContractViolation,
            Refusal::AllocationBelowUse { .. } => Code::InsufficientMemoryAllocation,
            Refusal::CyclesForCompute { .. } => Code::InsufficientCyclesInComputeAllocation,
            Refusal::CyclesForMemory { .. } => Code::InsufficientCyclesInMemoryAllocation,
            Refusal::CyclesForGrowth { .. } => Code::InsufficientCyclesInMemoryGrow,
            Refusal::ReservedLimitForMemory { .. } => Code::ReservedCyclesLimitExceededInMemoryAllocation,
            Refusal::ReservedLimitForGrowth { .. } => Code::ReservedCyclesLimitExceededInMemoryGrow,
            Refusal::ReservedLimitTooLow { .. } => Code::ReservedCyclesLimitIsTooLow,
            Refusal::OutOfCycles { .. } | Refusal::InstallOutOfCycles { .. } | Refusal::SnapshotOutOfCycles { .. } => {
                Code::CanisterOutOfCycles
            }
            Refusal::InstallRateLimited(_) => Code::CanisterInstallCodeRateLimited,
            Refusal::HeapDeltaRateLimited { .. } => Code::CanisterHeapDeltaRateLimited,
            Refusal::NotEmpty(_) => Code::CanisterNonEmpty,
            Refusal::Code { trap, .. } => trap.code,
            Refusal::NotStopped(_) => Code::CanisterNotStopped,
            Refusal::QueueNotEmpty(_) => Code::CanisterQueueNotEmpty,
            Refusal::StopTimedOut => Code::StopCanisterRequestTimeout,
            Refusal::StopCancelled(_) => Code::CanisterStoppingCancelled,
            Refusal::SnapshotNotFound { .. } => Code::CanisterSnapshotNotFound,
            Refusal::SnapshotImmutable => Code::CanisterSnapshotImmutable,
            Refusal::SubnetNotFound(_) => Code::SubnetNotFound,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownMethod(method) => write!(f, "Management canister has no method '{method}'"),
            Refusal::NotAvailable(method) => write!(f, "The simulator has no backend for {method}."),
            Refusal::NotByIngress(method) => write!(f, "ic00 method {method} can not be called via ingress messages"),
            Refusal::OnlyByQuery(method) => {
                write!(f, "{method} API is only accessible to end users in non-replicated mode")
            }
            Refusal::OnlyAdmins(method) => write!(f, "Only subnet admins can call ic00 method {method}"),
            Refusal::Payload(why) => write!(f, "Error decoding candid: {why}"),
            Refusal::NoCanister(id) => write!(f, "Canister {id} not found."),
            Refusal::NotController { canister, controllers, caller } => {
                let controllers: Vec<String> = controllers.iter().map(Principal::to_text).collect();
                write!(
                    f,
                    "Only the controllers of the canister {canister} can control it.\nCanister's controllers: {}\n\
                     Sender's ID: {caller}",
                    controllers.join(" ")
                )
            }
            Refusal::NotControllerByIngress { canister, method } => {
                write!(f, "Only controllers of canister {canister} can call ic00 method {method}")
            }
            Refusal::LogsNotAllowed(caller) => write!(f, "Caller {caller} is not allowed to access canister logs"),
            Refusal::SnapshotsNotAllowed { canister, caller } => {
                write!(f, "Caller {caller} is not allowed to read the snapshots of canister {canister}")
            }
            Refusal::CreationFee { required, sent } => write!(
                f,
                "Creating a canister requires a fee of {} that is deducted from the canister's initial balance but \
                 only {} cycles were received with the create_canister request.",
                grouped(*required),
                grouped(*sent)
            ),
            Refusal::FeeNotAttached { method, required, sent } => write!(
                f,
                "{method} request sent with {} cycles, but {} cycles are required.",
                grouped(*sent),
                grouped(*required)
            ),
            Refusal::IdTaken(id) => write!(f, "Unsuccessful canister creation: canister id {id} already exists."),
            Refusal::IdElsewhere(why) => write!(f, "Unsuccessful validation of specified ID: {why}"),
            Refusal::IdsExhausted => {
                write!(f, "Could not create canister. Subnet has surpassed its canister ID allocation.")
            }
            Refusal::TooManyCanisters { subnet, canisters_max } => write!(
                f,
                "Subnet {subnet} has reached the allowed canister limit of {canisters_max} canisters. Retry creating \
                 the canister."
            ),
            Refusal::Settings(why) => write!(f, "Could not validate the settings: {why}"),
            Refusal::TooManyControllers { given, controllers_max } => write!(
                f,
                "Error decoding candid: {given} controllers given, the number of elements exceeds the maximum of \
                 {controllers_max}"
            ),
            Refusal::Environment(why) => write!(f, "{why}"),
            Refusal::MemoryOversubscribed { requested_bytes, available_bytes } => write!(
                f,
                "Canister requested {} of memory but only {} are available in the subnet.",
                sized(*requested_bytes),
                sized(*available_bytes)
            ),
            Refusal::ComputeOversubscribed { requested_percent, available_percent } => write!(
                f,
                "Canister requested a compute allocation of {requested_percent}% which cannot be satisfied because the \
                 Subnet's remaining compute capacity is {available_percent}%."
            ),
            Refusal::AllocationBelowUse { given_bytes, needed_bytes } => write!(
                f,
                "Canister was given {} memory allocation but at least {} of memory is needed.",
                sized(*given_bytes),
                sized(*needed_bytes)
            ),
            Refusal::CyclesForCompute { percent, missing } => write!(
                f,
                "Cannot increase compute allocation to {percent}% due to insufficient cycles. At least {} additional \
                 cycles are required.",
                grouped(*missing)
            ),
            Refusal::CyclesForMemory { bytes, missing } => write!(
                f,
                "Cannot increase memory allocation to {} due to insufficient cycles. At least {} additional cycles are \
                 required.",
                sized(*bytes),
                grouped(*missing)
            ),
            Refusal::CyclesForGrowth { bytes, missing } => write!(
                f,
                "Canister cannot grow memory by {bytes} bytes due to insufficient cycles. At least {} additional cycles \
                 are required.",
                grouped(*missing)
            ),
            Refusal::ReservedLimitForMemory { bytes, limit, requested } => write!(
                f,
                "Cannot increase memory allocation to {} due to its reserved cycles limit. The current limit ({}) would \
                 be exceeded by {}.",
                sized(*bytes),
                grouped(*limit),
                grouped(requested.saturating_sub(*limit))
            ),
            Refusal::ReservedLimitForGrowth { bytes, limit, requested } => write!(
                f,
                "Canister cannot grow memory by {bytes} bytes due to its reserved cycles limit. The current limit ({}) \
                 would be exceeded by {}.",
                grouped(*limit),
                grouped(requested.saturating_sub(*limit))
            ),
            Refusal::ReservedLimitTooLow { limit, reserved } => write!(
                f,
                "Cannot set the reserved cycles limit {} below the reserved cycles balance of the canister {}.",
                grouped(*limit),
                grouped(*reserved)
            ),
            Refusal::OutOfCycles { canister, missing } => out_of_cycles(f, canister, *missing),
            Refusal::InstallOutOfCycles { canister, missing } => {
                write!(f, "Canister installation failed with `")?;
                out_of_cycles(f, canister, *missing)?;
                write!(f, "`.")
            }
            Refusal::SnapshotOutOfCycles { canister, missing } => {
                write!(f, "Canister snapshotting failed with: `")?;
                out_of_cycles(f, canister, *missing)?;
                write!(f, "`")
            }
            Refusal::InstallRateLimited(id) => write!(
                f,
                "Canister {id} is rate limited because it executed too many instructions in the previous install_code \
                 messages. Please retry installation after several minutes."
            ),
            Refusal::HeapDeltaRateLimited { canister, debit_bytes, limit_bytes } => write!(
                f,
                "Canister {canister} is heap delta rate limited: current delta debit is {debit_bytes}, but limit is \
                 {limit_bytes}."
            ),
            Refusal::NotEmpty(id) => write!(
                f,
                "Canister {id} cannot be installed because the canister is not empty. Try installing with \
                 mode='reinstall' instead."
            ),
            Refusal::MissingUpgradeOption(what) => write!(f, "Missing upgrade option: {what}"),
            Refusal::InvalidUpgradeOption(what) => write!(f, "Invalid upgrade option: {what}"),
            Refusal::Code { canister, trap } => write!(f, "Error from Canister {canister}: {}", trap.message),
            Refusal::ChunkStore(why) => write!(f, "Error from Wasm chunk store: {why}."),
            Refusal::NotStopped(id) => write!(f, "Canister {id} must be stopped before it is deleted."),
            Refusal::DeletesItself(id) => write!(f, "Canister {id} cannot delete itself."),
            Refusal::QueueNotEmpty(id) => write!(
                f,
                "Canister {id} has messages in its queues and cannot be deleted now. Please retry after some time."
            ),
            Refusal::StopTimedOut => write!(f, "Stop canister request timed out"),
            Refusal::StopCancelled(id) => write!(f, "Canister {id}'s stop request was cancelled."),
            Refusal::NoModule(id) => {
                write!(f, "The canister {id} has no Wasm module and hence no metadata is available.")
            }
            Refusal::NoSection(name) => write!(f, "The canister has no metadata section with the name {name}."),
            Refusal::SnapshotNotFound { canister, snapshot } => {
                write!(f, "Could not find the snapshot ID {} for canister {canister}.", hex::encode(snapshot))
            }
            Refusal::SnapshotOwner { canister, snapshot } => {
                write!(f, "The snapshot {} does not belong to canister {canister}.", hex::encode(snapshot))
            }
            Refusal::SnapshotNotLoadable { canister, snapshot } => write!(
                f,
                "Canister snapshot {} is not currently loadable on the specified canister {canister}. Try again later.",
                hex::encode(snapshot)
            ),
            Refusal::SnapshotOfEmpty(id) => write!(f, "Failed to create snapshot for empty canister {id}:"),
            Refusal::SnapshotsFull { canister, snapshots_max } => {
                write!(f, "Canister {canister} has reached the maximum number of snapshots allowed: {snapshots_max}.")
            }
            Refusal::SnapshotImmutable => {
                write!(f, "Only canister snapshots created by metadata upload can be mutated.")
            }
            Refusal::SnapshotInconsistent(why) => write!(f, "{why}"),
            Refusal::Slice { offset, size } => write!(
                f,
                "Invalid subslice into wasm module / main memory / stable memory: offset: {offset}, size: {size}"
            ),
            Refusal::SliceTooLarge { requested, allowed } => {
                write!(f, "Requested slice too large: {requested} > {allowed}")
            }
            Refusal::SubnetNotFound(id) => write!(f, "Subnet {id} not found."),
        }
    }
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        UserError::new(refusal.code(), refusal.to_string())
    }
}

fn out_of_cycles(f: &mut fmt::Formatter<'_>, canister: &Principal, missing: u128) -> fmt::Result {
    let missing = grouped(missing);
    write!(
        f,
        "Canister {canister} is out of cycles: please top up the canister with at least {missing} additional cycles"
    )
}

/// Writes a number of bytes in the largest binary unit that keeps it at one or above: `1.50 MiB`.
fn sized(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{:.2} {}", bytes as f64 / (1u64 << (10 * unit)) as f64, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_their_largest_unit() {
        assert_eq!(sized(1023), "1023 B");
        assert_eq!(sized(1536), "1.50 KiB");
        assert_eq!(sized(64 << 20), "64.00 MiB");
    }
}
