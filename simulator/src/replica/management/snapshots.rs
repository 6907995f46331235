//! Snapshots: taken, loaded, listed, deleted.

use candid::Principal;
use ic_management_canister_types::{
    CanisterIdRecord, ChangeDetails, DeleteCanisterSnapshotArgs, LoadCanisterSnapshotArgs, LoadSnapshotRecord,
    Snapshot as Listed, SnapshotSource as ShownSource, TakeCanisterSnapshotArgs,
};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;

use super::chunks::{check_heap_delta, missing_cycles};
use super::compile_cost::compile_instructions;
use super::errors::Refusal;
use super::info::{self, origin};
use super::lifecycle;
use super::memory::{Growth, memory_of};
use super::settings::visible;
use super::{Step, payload};
use crate::limits::WASM_PAGE_BYTES;
use crate::replica::state::{Canister, Code, ManagementCall, Snapshot, SnapshotSource, SubnetState};
use crate::wasm::{Engine, Runtime};

pub(super) const SNAPSHOTS_MAX: usize = 10;
/// Instructions of taking or loading a snapshot, beside one per byte.
const BASE_INSTRUCTIONS: u64 = 2_000_000_000;
/// Rounds between checkpoints; a snapshot becomes loadable onto other canisters at the next one.
const CHECKPOINT_ROUNDS: u64 = 500;
/// Bytes that a snapshot counts beside its contents.
const OVERHEAD_BYTES: u64 = 1_024;

/// Takes a snapshot, perhaps in place of an older one, perhaps leaving the canister empty.
pub(super) fn take(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: TakeCanisterSnapshotArgs = payload::decode(&call.payload)?;
    let canister = super::controlled_or_self(subnet, args.canister_id, call.caller)?;
    if canister.is_occupied() {
        return Ok(Step::NextRound);
    }
    check_heap_delta(canister)?;
    let replaced_bytes = check_room(subnet, canister, args.replace_snapshot.as_deref())?;
    let code = canister.code.as_ref().ok_or(Refusal::SnapshotOfEmpty(canister.id))?;
    let stable = code.runtime.stable().clone();
    let bytes = code.wasm.len() as u64
        + code.runtime.heap_bytes()
        + stable.size_pages() * WASM_PAGE_BYTES
        + canister.chunk_store.bytes()
        + canister.certified_data.len() as u64
        + OVERHEAD_BYTES;
    let instructions = BASE_INSTRUCTIONS + bytes;
    let growth = pay(subnet, canister, instructions, bytes.saturating_sub(replaced_bytes))?;

    let (now_nanos, round) = (subnet.time_nanos, subnet.round);
    let config = subnet.config.clone();
    let canister = super::canister_mut(subnet, args.canister_id)?;
    let code = canister.code.as_ref().expect("present above");
    let snapshot = Snapshot {
        id: next_id(canister),
        taken_at_nanos: now_nanos,
        taken_round: round,
        source: SnapshotSource::TakenFromCanister,
        canister_version: canister.version,
        wasm: code.wasm.clone(),
        heap: code.runtime.heap_image(),
        stable,
        certified_data: canister.certified_data.clone(),
        chunk_store: canister.chunk_store.clone(),
        global_timer_nanos: canister.global_timer_nanos,
        hook_armed: canister.low_memory_hook_armed,
        bytes,
    };
    let listed = listed(&snapshot);
    canister.account.charge(config.fees.execution(instructions, false));
    growth.reserve(canister);
    canister.heap_delta_debit_bytes += heap_delta_bytes(&snapshot);
    put(canister, snapshot, args.replace_snapshot.as_deref());
    if args.uninstall_code == Some(true) {
        lifecycle::uninstall(subnet, args.canister_id, call, args.sender_canister_version)?;
    }
    Ok(Step::reply(payload::encode(&listed)).costing(instructions))
}

/// Puts a canister back to a snapshot of its own, or to one of another canister of the same controller.
pub(super) fn load(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: LoadCanisterSnapshotArgs = payload::decode(&call.payload)?;
    let id = super::controlled_or_self(subnet, args.canister_id, call.caller)?.id;
    let canister = super::canister(subnet, id)?;
    if canister.is_occupied() {
        return Ok(Step::NextRound);
    }
    check_heap_delta(canister)?;
    let snapshot = loadable(subnet, canister, &args.snapshot_id, call.caller)?.clone();
    let owner = owner(&snapshot.id).filter(|owner| *owner != id);

    let failed = |trap| Refusal::Code { canister: id, trap };
    let (module, _) = Engine::shared().compile(&snapshot.wasm).map_err(failed)?;
    let mut runtime = Runtime::new(module.clone(), snapshot.stable.clone()).map_err(failed)?;
    runtime.restore_heap(&snapshot.heap).map_err(failed)?;

    let compiled_before = subnet.compiled.contains(&module.hash());
    let instructions = BASE_INSTRUCTIONS + snapshot.bytes + compile_instructions(&module, compiled_before);
    let stable_bytes = snapshot.stable.size_pages() * WASM_PAGE_BYTES;
    let new_bytes = runtime.heap_bytes()
        + stable_bytes
        + module.wasm_bytes()
        + module.custom_section_bytes()
        + snapshot.chunk_store.bytes();
    let code_bytes =
        canister.code.as_ref().map_or(0, |code| code.module.wasm_bytes() + code.module.custom_section_bytes());
    let old_bytes = canister.execution_bytes() + code_bytes + canister.chunk_store.bytes();
    let growth = pay(subnet, canister, instructions, new_bytes.saturating_sub(old_bytes))?;

    let delta_bytes = heap_delta_bytes(&snapshot);
    let now_nanos = subnet.time_nanos;
    let config = subnet.config.clone();
    subnet.compiled.insert(module.hash());
    let canister = super::canister_mut(subnet, id)?;
    let module_hash = Sha256::digest(snapshot.wasm.as_slice()).into();
    canister.code = Some(Code { module, runtime, wasm: snapshot.wasm.clone(), module_hash, metadata: OnceCell::new() });
    canister.certified_data = snapshot.certified_data;
    canister.chunk_store = snapshot.chunk_store;
    let source = match snapshot.source {
        SnapshotSource::TakenFromCanister => ShownSource::TakenFromCanister(candid::Reserved),
        SnapshotSource::Uploaded => {
            canister.global_timer_nanos = snapshot.global_timer_nanos;
            canister.low_memory_hook_armed = snapshot.hook_armed;
            ShownSource::MetadataUpload(candid::Reserved)
        }
    };
    canister.account.charge(config.fees.execution(instructions, false));
    growth.reserve(canister);
    canister.heap_delta_debit_bytes += delta_bytes;
    canister.version += 1;
    let details = ChangeDetails::LoadSnapshot(LoadSnapshotRecord {
        from_canister_id: owner,
        snapshot_id: snapshot.id,
        canister_version: snapshot.canister_version,
        taken_at_timestamp: snapshot.taken_at_nanos,
        source,
    });
    info::record(canister, now_nanos, origin(call, args.sender_canister_version), details);
    Ok(Step::nothing().costing(instructions))
}

/// Lists a canister's snapshots, oldest first.
pub(super) fn list(subnet: &SubnetState, caller: Principal, argument: &[u8]) -> Result<Vec<u8>, Refusal> {
    let args: CanisterIdRecord = payload::decode(argument)?;
    let canister = readable(subnet, args.canister_id, caller)?;
    Ok(payload::encode(&canister.snapshots.values().map(listed).collect::<Vec<Listed>>()))
}

/// Deletes one snapshot.
pub(super) fn delete(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: DeleteCanisterSnapshotArgs = payload::decode(&call.payload)?;
    let canister = super::controlled_or_self(subnet, args.canister_id, call.caller)?;
    find(canister, &args.snapshot_id)?;
    super::canister_mut(subnet, args.canister_id)?.snapshots.remove(&args.snapshot_id);
    Ok(Step::nothing())
}

/// Finds a canister whose snapshots `caller` may read.
pub(super) fn readable(subnet: &SubnetState, id: Principal, caller: Principal) -> Result<&Canister, Refusal> {
    let canister = super::canister(subnet, id)?;
    let settings = &canister.settings;
    if caller == id || visible(&settings.snapshot_visibility, settings, &caller) {
        return Ok(canister);
    }
    Err(super::not_controller(canister, caller))
}

/// Finds a snapshot of a canister.
pub(super) fn find<'a>(canister: &'a Canister, id: &[u8]) -> Result<&'a Snapshot, Refusal> {
    let refused = || (canister.id, id.to_vec());
    match canister.snapshots.get(id) {
        Some(snapshot) => Ok(snapshot),
        None if owner(id).is_some_and(|owner| owner != canister.id) => {
            let (canister, snapshot) = refused();
            Err(Refusal::SnapshotOwner { canister, snapshot })
        }
        None => {
            let (canister, snapshot) = refused();
            Err(Refusal::SnapshotNotFound { canister, snapshot })
        }
    }
}

/// Checks that one more snapshot fits, or that the one to replace exists; returns the bytes that it frees.
pub(super) fn check_room(subnet: &SubnetState, canister: &Canister, replaced: Option<&[u8]>) -> Result<u64, Refusal> {
    debug_assert!(subnet.canisters.contains_key(&canister.id), "a canister of this subnet");
    match replaced {
        Some(id) => Ok(find(canister, id)?.bytes),
        None if canister.snapshots.len() >= SNAPSHOTS_MAX => {
            Err(Refusal::SnapshotsFull { canister: canister.id, snapshots_max: SNAPSHOTS_MAX })
        }
        None => Ok(0),
    }
}

/// Checks the cycles and the memory of a snapshot operation.
pub(super) fn pay(subnet: &SubnetState, canister: &Canister, instructions: u64, bytes: u64) -> Result<Growth, Refusal> {
    let fee = subnet.config.fees.execution(instructions, false);
    let missing = missing_cycles(&subnet.config, canister, fee);
    if missing > 0 {
        return Err(Refusal::SnapshotOutOfCycles { canister: canister.id, missing });
    }
    Growth::check(&memory_of(subnet), &subnet.config, canister, bytes)
}

/// Makes the id of a canister's next snapshot: a number, then the canister's id.
pub(super) fn next_id(canister: &Canister) -> Vec<u8> {
    [&canister.snapshots_taken.to_be_bytes()[..], canister.id.as_slice()].concat()
}

/// Adds a snapshot made with [`next_id`].
pub(super) fn put(canister: &mut Canister, snapshot: Snapshot, replaced: Option<&[u8]>) {
    if let Some(id) = replaced {
        canister.snapshots.remove(id);
    }
    canister.snapshots_taken += 1;
    canister.snapshots.insert(snapshot.id.clone(), snapshot);
}

/// Bytes that taking or loading writes. Stable memory is shared page by page, so it counts nothing.
fn heap_delta_bytes(snapshot: &Snapshot) -> u64 {
    snapshot.heap.bytes.len() as u64 + snapshot.chunk_store.bytes()
}

fn owner(snapshot_id: &[u8]) -> Option<Principal> {
    snapshot_id.get(8..).and_then(|bytes| Principal::try_from_slice(bytes).ok())
}

fn loadable<'a>(
    subnet: &'a SubnetState,
    canister: &'a Canister,
    id: &[u8],
    caller: Principal,
) -> Result<&'a Snapshot, Refusal> {
    if let Some(snapshot) = canister.snapshots.get(id) {
        return Ok(snapshot);
    }
    let found = owner(id).and_then(|owner| subnet.canisters.get(&owner)).and_then(|owner| {
        let snapshot = owner.snapshots.get(id)?;
        Some((owner, snapshot))
    });
    let Some((owner, snapshot)) = found else {
        return Err(Refusal::SnapshotNotFound { canister: canister.id, snapshot: id.to_vec() });
    };
    if !visible(&owner.settings.snapshot_visibility, &owner.settings, &caller) {
        return Err(Refusal::SnapshotOwner { canister: canister.id, snapshot: id.to_vec() });
    }
    if snapshot.taken_round / CHECKPOINT_ROUNDS == subnet.round / CHECKPOINT_ROUNDS {
        return Err(Refusal::SnapshotNotLoadable { canister: canister.id, snapshot: id.to_vec() });
    }
    Ok(snapshot)
}

fn listed(snapshot: &Snapshot) -> Listed {
    Listed { id: snapshot.id.clone(), taken_at_timestamp: snapshot.taken_at_nanos, total_size: snapshot.bytes }
}
