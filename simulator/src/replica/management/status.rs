//! What controllers see of a canister, and what canisters may ask of a subnet.

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterMetricsResult, CanisterStatusType, CyclesConsumed, MemoryMetrics, NodeMetricsHistoryArgs,
    NodeMetricsHistoryResult, QueryStats, SubnetInfoArgs, SubnetInfoResult,
};
use serde_bytes::ByteBuf;

use super::errors::Refusal;
use super::settings::{SettingsShown, shown, visible};
use super::{Step, payload};
use crate::limits::WASM_PAGE_BYTES;
use crate::replica::state::{Canister, ManagementCall, Status, SubnetState};

const REGISTRY_VERSION: u64 = 1;

/// The answer of `canister_status`, with settings in the newest form.
#[derive(CandidType)]
struct StatusShown {
    status: CanisterStatusType,
    ready_for_migration: bool,
    version: u64,
    settings: SettingsShown,
    module_hash: Option<ByteBuf>,
    memory_size: Nat,
    memory_metrics: MemoryMetrics,
    cycles: Nat,
    reserved_cycles: Nat,
    idle_cycles_burned_per_day: Nat,
    query_stats: QueryStats,
}

/// Answers `canister_status`: to controllers and the canister itself, and to whom the settings let see it.
pub(super) fn canister_status(subnet: &SubnetState, caller: Principal, argument: &[u8]) -> Result<Vec<u8>, Refusal> {
    let args: CanisterIdRecord = payload::decode(argument)?;
    let canister = super::canister(subnet, args.canister_id)?;
    let settings = &canister.settings;
    let allowed = caller == canister.id
        || visible(&settings.status_visibility, settings, &caller)
        || subnet.config.admins.contains(&caller);
    if !allowed {
        return Err(super::not_controller(canister, caller));
    }
    Ok(payload::encode(&status_of(subnet, canister)))
}

/// Answers `canister_metrics`: cycles by what they were spent on. Kept here as one sum, told as instructions.
pub(super) fn canister_metrics(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    let canister = super::controlled(subnet, args.canister_id, call.caller)?;
    let none = || Nat::from(0u8);
    Ok(Step::reply(payload::encode(&CanisterMetricsResult {
        cycles_consumed: CyclesConsumed {
            memory: none(),
            compute_allocation: none(),
            ingress_induction: none(),
            instructions: canister.account.consumed.into(),
            request_and_response_transmission: none(),
            uninstall: none(),
            canister_creation: none(),
            http_outcalls: none(),
            burned_cycles: none(),
        },
    })))
}

/// Answers `subnet_info` for the subnet that executes it.
pub(super) fn subnet_info(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: SubnetInfoArgs = payload::decode(&call.payload)?;
    own(subnet, args.subnet_id)?;
    Ok(Step::reply(payload::encode(&SubnetInfoResult {
        replica_version: concat!("canopy-simulator ", env!("CARGO_PKG_VERSION")).to_string(),
        registry_version: REGISTRY_VERSION,
    })))
}

/// Answers `node_metrics_history` with no records: simulated subnets have no nodes of their own.
pub(super) fn node_metrics_history(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: NodeMetricsHistoryArgs = payload::decode(&call.payload)?;
    own(subnet, args.subnet_id)?;
    Ok(Step::reply(payload::encode(&NodeMetricsHistoryResult::new())))
}

fn own(subnet: &SubnetState, asked: Principal) -> Result<(), Refusal> {
    if asked == subnet.config.id { Ok(()) } else { Err(Refusal::SubnetNotFound(asked)) }
}

fn status_of(subnet: &SubnetState, canister: &Canister) -> StatusShown {
    let code = canister.code.as_ref();
    let stable_bytes = code.map_or(0, |code| code.runtime.stable().size_pages() * WASM_PAGE_BYTES);
    let wasm_bytes = code.map_or(0, |code| code.module.wasm_bytes());
    let sections_bytes = code.map_or(0, |code| code.module.custom_section_bytes());
    let stats = &canister.query_stats;
    StatusShown {
        status: match canister.status {
            Status::Running => CanisterStatusType::Running,
            Status::Stopping { .. } => CanisterStatusType::Stopping,
            Status::Stopped => CanisterStatusType::Stopped,
        },
        ready_for_migration: matches!(canister.status, Status::Stopped)
            && canister.is_quiet()
            && canister.queues.is_empty(),
        version: canister.version,
        settings: shown(&canister.settings),
        module_hash: code.map(|code| ByteBuf::from(code.module_hash)),
        memory_size: canister.memory_bytes().into(),
        memory_metrics: MemoryMetrics {
            wasm_memory_size: code.map_or(0, |code| code.runtime.heap_bytes()).into(),
            stable_memory_size: stable_bytes.into(),
            global_memory_size: 0u64.into(),
            wasm_binary_size: wasm_bytes.into(),
            custom_sections_size: sections_bytes.into(),
            canister_history_size: canister.history_bytes().into(),
            wasm_chunk_store_size: canister.chunk_store.bytes().into(),
            snapshots_size: canister.snapshots.values().map(|snapshot| snapshot.bytes).sum::<u64>().into(),
            log_memory_store_size: canister.log.bytes().into(),
        },
        cycles: canister.account.balance.into(),
        reserved_cycles: canister.account.reserved.into(),
        idle_cycles_burned_per_day: subnet.config.fees.idle_per_day(&canister.idle()).into(),
        query_stats: QueryStats {
            num_calls_total: stats.calls.into(),
            num_instructions_total: stats.instructions.into(),
            request_payload_bytes_total: stats.request_bytes.into(),
            response_payload_bytes_total: stats.response_bytes.into(),
        },
    }
}
