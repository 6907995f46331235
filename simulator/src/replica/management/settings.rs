//! Settings: read, checked against the subnet, applied.

use std::collections::{BTreeMap, BTreeSet};

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::{
    CanisterSettings, ChangeDetails, ControllersChangeRecord, EnvironmentVariable, LogVisibility, SnapshotVisibility,
    UpdateSettingsArgs,
};
use sha2::{Digest, Sha256};

use super::errors::Refusal;
use super::info::{self, origin};
use super::memory::{Growth, memory_of};
use super::{Step, payload};
use crate::limits::MIB;
use crate::replica::state::{Canister, ManagementCall, Settings, SubnetState, Visibility};

const CONTROLLERS_MAX: usize = 10;
const ENVIRONMENT_VARIABLES_MAX: usize = 20;
/// Of a name, and of a value.
const ENVIRONMENT_TEXT_BYTES_MAX: usize = 128;
const COMPUTE_ALLOCATION_PERCENT_MAX: u64 = 100;
/// Percent that all canisters of a subnet may have allocated together.
const COMPUTE_CAPACITY_PERCENT: u64 = 299;
const LOG_MEMORY_BYTES_MAX: u64 = 2 * MIB;
/// Beyond any Wasm memory.
const WASM_MEMORY_LIMIT_BYTES_MAX: u64 = 1 << 48;
const VIEWERS_MAX: usize = 10;
/// Argument bytes up to which an `update_settings` from a user is let in unpaid and charged when it was executed, so
/// that a frozen canister can be thawed.
pub const CHARGED_AFTERWARDS_BYTES_MAX: usize = 267;

/// Settings as given, in range; None leaves what is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    controllers: Option<BTreeSet<Principal>>,
    compute_allocation_percent: Option<u64>,
    memory_allocation_bytes: Option<u64>,
    freezing_threshold_seconds: Option<u64>,
    reserved_cycles_limit: Option<u128>,
    log_visibility: Option<Visibility>,
    log_memory_limit_bytes: Option<u64>,
    snapshot_visibility: Option<Visibility>,
    wasm_memory_limit_bytes: Option<u64>,
    wasm_memory_threshold_bytes: Option<u64>,
    environment: Option<BTreeMap<String, String>>,
}

impl Changes {
    /// Reads settings and checks what can be checked without a canister.
    ///
    /// # Errors
    /// `Settings` for numbers out of range, `TooManyControllers`, `Environment`, `Payload` for too many viewers.
    pub fn parse(given: CanisterSettings) -> Result<Changes, Refusal> {
        if let Some(controllers) = given.controllers.as_ref().filter(|list| list.len() > CONTROLLERS_MAX) {
            return Err(Refusal::TooManyControllers { given: controllers.len(), controllers_max: CONTROLLERS_MAX });
        }
        let bounded = |name: &str, value: Option<Nat>, max: u64| -> Result<Option<u64>, Refusal> {
            value
                .map(|n| {
                    payload::nat_u64(&n).filter(|n| *n <= max).ok_or_else(|| {
                        Refusal::Settings(format!("{name} expected to be in the range [0..{max}], got {n}"))
                    })
                })
                .transpose()
        };
        let reserved_cycles_limit = given
            .reserved_cycles_limit
            .map(|n| {
                payload::nat_u128(&n).ok_or_else(|| {
                    let max = u128::MAX;
                    Refusal::Settings(format!("Reserved cycles limit expected to be in the range [0..{max}], got {n}"))
                })
            })
            .transpose()?;
        Ok(Changes {
            controllers: given.controllers.map(|list| list.into_iter().collect()),
            compute_allocation_percent: bounded(
                "ComputeAllocation",
                given.compute_allocation,
                COMPUTE_ALLOCATION_PERCENT_MAX,
            )?,
            memory_allocation_bytes: bounded("MemoryAllocation", given.memory_allocation, u64::MAX)?,
            freezing_threshold_seconds: bounded("Freezing threshold", given.freezing_threshold, u64::MAX)?,
            reserved_cycles_limit,
            log_visibility: given.log_visibility.map(log_visibility_in).transpose()?,
            log_memory_limit_bytes: bounded("Log memory limit", given.log_memory_limit, LOG_MEMORY_BYTES_MAX)?,
            snapshot_visibility: given.snapshot_visibility.map(snapshot_visibility_in).transpose()?,
            wasm_memory_limit_bytes: bounded(
                "Wasm memory limit",
                given.wasm_memory_limit,
                WASM_MEMORY_LIMIT_BYTES_MAX,
            )?,
            wasm_memory_threshold_bytes: bounded("Wasm memory threshold", given.wasm_memory_threshold, u64::MAX)?,
            environment: given.environment_variables.map(environment).transpose()?,
        })
    }

    /// Writes the changes into a canister's settings.
    pub fn apply(&self, canister: &mut Canister) {
        let settings = &mut canister.settings;
        set(&mut settings.controllers, &self.controllers);
        set(&mut settings.compute_allocation_percent, &self.compute_allocation_percent);
        set(&mut settings.memory_allocation_bytes, &self.memory_allocation_bytes);
        set(&mut settings.freezing_threshold_seconds, &self.freezing_threshold_seconds);
        set(&mut settings.reserved_cycles_limit, &self.reserved_cycles_limit);
        set(&mut settings.log_visibility, &self.log_visibility);
        set(&mut settings.log_memory_limit_bytes, &self.log_memory_limit_bytes);
        set(&mut settings.snapshot_visibility, &self.snapshot_visibility);
        set(&mut settings.wasm_memory_limit_bytes, &self.wasm_memory_limit_bytes);
        set(&mut settings.wasm_memory_threshold_bytes, &self.wasm_memory_threshold_bytes);
        set(&mut settings.environment, &self.environment);
    }

    /// Returns a SHA-256 over the environment variables in order of names, if they were given.
    pub fn environment_hash(&self) -> Option<Vec<u8>> {
        self.environment.as_ref().map(|variables| {
            let mut pairs: Vec<[[u8; 32]; 2]> = variables
                .iter()
                .map(|(name, value)| [Sha256::digest(name).into(), Sha256::digest(value).into()])
                .collect();
            pairs.sort_unstable();
            Sha256::digest(pairs.concat().concat()).to_vec()
        })
    }
}

/// Changes settings, for controllers.
pub(super) fn update_settings(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: UpdateSettingsArgs = payload::decode(&call.payload)?;
    let changes = Changes::parse(args.settings)?;
    let canister = super::controlled(subnet, args.canister_id, call.caller)?;
    let growth = check(subnet, canister, &changes)?;
    let now_nanos = subnet.time_nanos;
    let canister = super::canister_mut(subnet, args.canister_id)?;
    changes.apply(canister);
    growth.reserve(canister);
    canister.watch_low_memory();
    canister.version += 1;
    if changes.controllers.is_some() {
        let controllers = canister.settings.controllers.iter().copied().collect();
        let details = ChangeDetails::ControllersChange(ControllersChangeRecord { controllers });
        info::record(canister, now_nanos, origin(call, args.sender_canister_version), details);
    }
    Ok(Step::nothing())
}

/// Checks that the subnet has what the changes ask for, and the canister the cycles.
///
/// # Errors
/// The refusals of memory and compute allocation, and of the reserved cycles limit.
pub fn check(subnet: &SubnetState, canister: &Canister, changes: &Changes) -> Result<Growth, Refusal> {
    let settings = &canister.settings;
    let config = &subnet.config;
    let used_bytes = canister.memory_bytes();
    let memory_bytes = changes.memory_allocation_bytes.unwrap_or(settings.memory_allocation_bytes);
    if changes.memory_allocation_bytes.is_some_and(|given| given > 0 && given < used_bytes) {
        return Err(Refusal::AllocationBelowUse { given_bytes: memory_bytes, needed_bytes: used_bytes });
    }
    let memory = memory_of(subnet);
    let old_bytes = settings.memory_allocation_bytes.max(used_bytes);
    let new_bytes = memory_bytes.max(used_bytes);
    let is_new = !subnet.canisters.contains_key(&canister.id);
    let available_bytes = memory.available_bytes().saturating_add(if is_new { 0 } else { old_bytes });
    if new_bytes > available_bytes {
        return Err(Refusal::MemoryOversubscribed { requested_bytes: new_bytes, available_bytes });
    }

    let percent = changes.compute_allocation_percent.unwrap_or(settings.compute_allocation_percent);
    if changes.compute_allocation_percent.is_some() {
        let others: u64 = subnet
            .canisters
            .values()
            .filter(|other| other.id != canister.id)
            .map(|other| other.settings.compute_allocation_percent)
            .sum();
        let available_percent = COMPUTE_CAPACITY_PERCENT.saturating_sub(others);
        if percent > available_percent {
            return Err(Refusal::ComputeOversubscribed { requested_percent: percent, available_percent });
        }
    }

    let account = &canister.account;
    let mut idle = canister.idle();
    idle.memory_allocation_bytes = memory_bytes;
    idle.compute_allocation_percent = percent;
    let seconds = changes.freezing_threshold_seconds.unwrap_or(settings.freezing_threshold_seconds);
    let threshold = config.fees.freezing_threshold(&idle, seconds, account.reserved);
    // Only growing allocations are refused: a threshold that freezes the canister is the controller's choice.
    if account.balance < threshold {
        let missing = threshold - account.balance;
        if percent > settings.compute_allocation_percent {
            return Err(Refusal::CyclesForCompute { percent, missing });
        }
        if memory_bytes > settings.memory_allocation_bytes {
            return Err(Refusal::CyclesForMemory { bytes: memory_bytes, missing });
        }
    }

    let reserved_cycles = memory.reservation(new_bytes.saturating_sub(old_bytes), &config.fees);
    let limit = changes.reserved_cycles_limit.unwrap_or(settings.reserved_cycles_limit);
    if account.reserved > limit {
        return Err(Refusal::ReservedLimitTooLow { limit, reserved: account.reserved });
    }
    if account.reserved + reserved_cycles > limit {
        let requested = account.reserved + reserved_cycles;
        return Err(Refusal::ReservedLimitForMemory { bytes: memory_bytes, limit, requested });
    }
    if account.balance < reserved_cycles {
        return Err(Refusal::CyclesForMemory { bytes: memory_bytes, missing: reserved_cycles - account.balance });
    }
    Ok(Growth { reserved_cycles })
}

/// Settings in the newest form, of specification 0.66: clients that know an older one pass over what they don't know, and
/// others refuse an answer that lacks something. `ic-management-canister-types` knows all but the last two.
#[derive(CandidType)]
pub struct SettingsShown {
    controllers: Vec<Principal>,
    compute_allocation: Nat,
    memory_allocation: Nat,
    freezing_threshold: Nat,
    reserved_cycles_limit: Nat,
    log_visibility: LogVisibility,
    log_memory_limit: Nat,
    snapshot_visibility: SnapshotVisibility,
    wasm_memory_limit: Nat,
    wasm_memory_threshold: Nat,
    environment_variables: Vec<EnvironmentVariable>,
    minimum_incoming_canister_call_cycles: Nat,
    status_visibility: LogVisibility,
}

/// Writes settings as callers see them.
pub fn shown(settings: &Settings) -> SettingsShown {
    SettingsShown {
        controllers: settings.controllers.iter().copied().collect(),
        compute_allocation: settings.compute_allocation_percent.into(),
        memory_allocation: settings.memory_allocation_bytes.into(),
        freezing_threshold: settings.freezing_threshold_seconds.into(),
        reserved_cycles_limit: settings.reserved_cycles_limit.into(),
        log_visibility: visibility_shown(&settings.log_visibility),
        log_memory_limit: settings.log_memory_limit_bytes.into(),
        snapshot_visibility: match &settings.snapshot_visibility {
            Visibility::Controllers => SnapshotVisibility::Controllers,
            Visibility::Public => SnapshotVisibility::Public,
            Visibility::AllowedViewers(viewers) => SnapshotVisibility::AllowedViewers(viewers.clone()),
        },
        wasm_memory_limit: settings.wasm_memory_limit_bytes.into(),
        wasm_memory_threshold: settings.wasm_memory_threshold_bytes.into(),
        environment_variables: settings
            .environment
            .iter()
            .map(|(name, value)| EnvironmentVariable { name: name.clone(), value: value.clone() })
            .collect(),
        minimum_incoming_canister_call_cycles: settings.minimum_incoming_call_cycles.into(),
        status_visibility: visibility_shown(&settings.status_visibility),
    }
}

/// Who may see the log has the form of who may see the status.
fn visibility_shown(visibility: &Visibility) -> LogVisibility {
    match visibility {
        Visibility::Controllers => LogVisibility::Controllers,
        Visibility::Public => LogVisibility::Public,
        Visibility::AllowedViewers(viewers) => LogVisibility::AllowedViewers(viewers.clone()),
    }
}

/// Tells whether `caller` may see something of a canister.
pub fn visible(visibility: &Visibility, settings: &Settings, caller: &Principal) -> bool {
    settings.controllers.contains(caller)
        || match visibility {
            Visibility::Controllers => false,
            Visibility::Public => true,
            Visibility::AllowedViewers(viewers) => viewers.contains(caller),
        }
}

fn set<T: Clone>(field: &mut T, change: &Option<T>) {
    if let Some(value) = change {
        *field = value.clone();
    }
}

fn log_visibility_in(given: LogVisibility) -> Result<Visibility, Refusal> {
    match given {
        LogVisibility::Controllers => Ok(Visibility::Controllers),
        LogVisibility::Public => Ok(Visibility::Public),
        LogVisibility::AllowedViewers(viewers) => allowed_viewers(viewers),
    }
}

fn snapshot_visibility_in(given: SnapshotVisibility) -> Result<Visibility, Refusal> {
    match given {
        SnapshotVisibility::Controllers => Ok(Visibility::Controllers),
        SnapshotVisibility::Public => Ok(Visibility::Public),
        SnapshotVisibility::AllowedViewers(viewers) => allowed_viewers(viewers),
    }
}

fn allowed_viewers(viewers: Vec<Principal>) -> Result<Visibility, Refusal> {
    if viewers.len() > VIEWERS_MAX {
        let given = viewers.len();
        return Err(Refusal::Payload(format!("{given} viewers given, the number of elements exceeds {VIEWERS_MAX}")));
    }
    Ok(Visibility::AllowedViewers(viewers))
}

fn environment(list: Vec<EnvironmentVariable>) -> Result<BTreeMap<String, String>, Refusal> {
    let count = list.len();
    if count > ENVIRONMENT_VARIABLES_MAX {
        let text = format!("Too many environment variables: {count} (max: {ENVIRONMENT_VARIABLES_MAX})");
        return Err(Refusal::Environment(text));
    }
    let mut variables = BTreeMap::new();
    for EnvironmentVariable { name, value } in list {
        for (kind, text) in [("name", &name), ("value", &value)] {
            if text.len() > ENVIRONMENT_TEXT_BYTES_MAX {
                return Err(Refusal::Environment(format!(
                    "Environment variable {kind} \"{text}\" exceeds the maximum allowed length of \
                     {ENVIRONMENT_TEXT_BYTES_MAX}."
                )));
            }
        }
        if variables.contains_key(&name) {
            return Err(Refusal::Environment(format!("Environment variable \"{name}\" is given twice.")));
        }
        variables.insert(name, value);
    }
    Ok(variables)
}
