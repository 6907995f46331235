//! Snapshots read out and uploaded in pieces, as for moving a canister elsewhere.

use std::sync::Arc;

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::{
    CanisterTimer, OnLowWasmMemoryHookStatus, ReadCanisterSnapshotDataArgs, ReadCanisterSnapshotDataResult,
    ReadCanisterSnapshotMetadataArgs, ReadCanisterSnapshotMetadataResult, SnapshotDataKind, SnapshotDataOffset,
    SnapshotId, SnapshotMetadataGlobal, SnapshotSource as ShownSource, UploadCanisterSnapshotMetadataArgs,
    UploadCanisterSnapshotMetadataResult,
};
use serde::Deserialize;

use super::chunks::{Admission, admit, check_heap_delta, listed};
use super::errors::Refusal;
use super::snapshots::{check_room, find, next_id, pay, put, readable};
use super::{Step, payload};
use crate::limits::{GIB, STABLE_BYTES_MAX, WASM_PAGE_BYTES};
use crate::replica::state::{ChunkStore, ManagementCall, Snapshot, SnapshotSource, SubnetState};
use crate::wasm::gzip::MODULE_BYTES_MAX;
use crate::wasm::runtime::Global;
use crate::wasm::{HeapImage, StableMemory};

/// Instructions of reading or uploading a piece, beside one per byte.
const PIECE_INSTRUCTIONS: u64 = 5_000_000;
/// Bytes of one piece.
const PIECE_BYTES_MAX: u64 = 2_000_000;
const HEAP_BYTES_MAX: u64 = 6 * GIB;
const GLOBALS_MAX: usize = 1_000;
const CERTIFIED_DATA_BYTES_MAX: usize = 32;
/// Bytes that a snapshot counts beside its contents.
const OVERHEAD_BYTES: u64 = 1_024;

/// Tells what a snapshot consists of.
pub(super) fn read_metadata(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: ReadCanisterSnapshotMetadataArgs = payload::decode(&call.payload)?;
    let canister = readable(subnet, args.canister_id, call.caller)?;
    let snapshot = find(canister, &args.snapshot_id)?;
    let source = match snapshot.source {
        SnapshotSource::TakenFromCanister => ShownSource::TakenFromCanister(candid::Reserved),
        SnapshotSource::Uploaded => ShownSource::MetadataUpload(candid::Reserved),
    };
    Ok(Step::reply(payload::encode(&ReadCanisterSnapshotMetadataResult {
        source: Some(source),
        taken_at_timestamp: snapshot.taken_at_nanos,
        wasm_module_size: snapshot.wasm.len() as u64,
        globals: snapshot.heap.globals.iter().map(|global| Some(shown_global(global))).collect(),
        wasm_memory_size: snapshot.heap.bytes.len() as u64,
        stable_memory_size: snapshot.stable.size_pages() * WASM_PAGE_BYTES,
        wasm_chunk_store: listed(&snapshot.chunk_store),
        canister_version: snapshot.canister_version,
        certified_data: snapshot.certified_data.clone(),
        global_timer: Some(snapshot.global_timer_nanos.map_or(CanisterTimer::Inactive, CanisterTimer::Active)),
        on_low_wasm_memory_hook_status: Some(if snapshot.hook_armed {
            OnLowWasmMemoryHookStatus::ConditionNotSatisfied
        } else {
            OnLowWasmMemoryHookStatus::Executed
        }),
    })))
}

/// Reads a piece of module, heap or stable memory, or a whole chunk.
pub(super) fn read_data(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: ReadCanisterSnapshotDataArgs = payload::decode(&call.payload)?;
    let canister = readable(subnet, args.canister_id, call.caller)?;
    let snapshot = find(canister, &args.snapshot_id)?;
    let chunk = match args.kind {
        SnapshotDataKind::WasmModule { offset, size } => piece(&snapshot.wasm, offset, size)?,
        SnapshotDataKind::WasmMemory { offset, size } => piece(&snapshot.heap.bytes, offset, size)?,
        SnapshotDataKind::StableMemory { offset, size } => {
            check_piece(size)?;
            let mut bytes = vec![0; size as usize];
            snapshot.stable.read(offset, &mut bytes).map_err(|_| Refusal::Slice { offset, size })?;
            bytes
        }
        SnapshotDataKind::WasmChunk { hash } => {
            let key: Result<[u8; 32], _> = hash.as_slice().try_into();
            let chunk = key.ok().and_then(|key| snapshot.chunk_store.chunks.get(&key));
            let chunk = chunk.ok_or_else(|| Refusal::ChunkStore(format!("Chunk hash {hash:?} was not found")))?;
            chunk.to_vec()
        }
    };
    let instructions = PIECE_INSTRUCTIONS + chunk.len() as u64;
    pay(subnet, canister, instructions, 0)?;
    let fee = subnet.config.fees.execution(instructions, false);
    super::canister_mut(subnet, args.canister_id)?.account.charge(fee);
    Ok(Step::reply(payload::encode(&ReadCanisterSnapshotDataResult { chunk })).costing(instructions))
}

/// Makes an empty snapshot of given sizes, to be filled by [`upload_data`].
pub(super) fn upload_metadata(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: UploadCanisterSnapshotMetadataArgs = payload::decode(&call.payload)?;
    let canister = super::controlled(subnet, args.canister_id, call.caller)?;
    check_heap_delta(canister)?;
    let fits = args.wasm_module_size <= MODULE_BYTES_MAX
        && args.wasm_memory_size <= HEAP_BYTES_MAX
        && args.wasm_memory_size.is_multiple_of(WASM_PAGE_BYTES)
        && args.stable_memory_size <= STABLE_BYTES_MAX
        && args.stable_memory_size.is_multiple_of(WASM_PAGE_BYTES)
        && args.globals.len() <= GLOBALS_MAX
        && args.certified_data.len() <= CERTIFIED_DATA_BYTES_MAX;
    if !fits {
        return Err(Refusal::Settings("snapshot metadata out of range".to_string()));
    }
    let replaced_bytes = check_room(subnet, canister, args.replace_snapshot.as_deref())?;
    let bytes = args.wasm_module_size
        + args.wasm_memory_size
        + args.stable_memory_size
        + args.certified_data.len() as u64
        + OVERHEAD_BYTES;
    let growth = pay(subnet, canister, PIECE_INSTRUCTIONS, bytes.saturating_sub(replaced_bytes))?;
    let globals = args.globals.iter().map(global).collect::<Result<Vec<Global>, Refusal>>()?;
    let mut stable = StableMemory::new();
    stable.grow(args.stable_memory_size / WASM_PAGE_BYTES).expect("not above the limit");

    let (now_nanos, round) = (subnet.time_nanos, subnet.round);
    let fee = subnet.config.fees.execution(PIECE_INSTRUCTIONS, false);
    let canister = super::canister_mut(subnet, args.canister_id)?;
    let snapshot = Snapshot {
        id: next_id(canister),
        taken_at_nanos: now_nanos,
        taken_round: round,
        source: SnapshotSource::Uploaded,
        canister_version: canister.version,
        wasm: Arc::new(vec![0; args.wasm_module_size as usize]),
        heap: HeapImage { bytes: Arc::new(vec![0; args.wasm_memory_size as usize]), globals },
        stable,
        certified_data: args.certified_data,
        chunk_store: ChunkStore::default(),
        global_timer_nanos: match args.global_timer {
            Some(CanisterTimer::Active(nanos)) => Some(nanos),
            Some(CanisterTimer::Inactive) | None => None,
        },
        hook_armed: !matches!(args.on_low_wasm_memory_hook_status, Some(OnLowWasmMemoryHookStatus::Executed)),
        bytes,
    };
    let snapshot_id = snapshot.id.clone();
    canister.account.charge(fee);
    growth.reserve(canister);
    put(canister, snapshot, args.replace_snapshot.as_deref());
    let reply = payload::encode(&UploadCanisterSnapshotMetadataResult { snapshot_id });
    Ok(Step::reply(reply).costing(PIECE_INSTRUCTIONS))
}

/// Writes a piece into an uploaded snapshot.
pub(super) fn upload_data(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    /// As in ic-management-canister-types, with the piece as bytes, which decode faster than a list.
    #[derive(CandidType, Deserialize)]
    struct Args {
        canister_id: Principal,
        snapshot_id: SnapshotId,
        kind: SnapshotDataOffset,
        chunk: serde_bytes::ByteBuf,
    }
    let args: Args = payload::decode(&call.payload)?;
    let canister = super::controlled(subnet, args.canister_id, call.caller)?;
    check_heap_delta(canister)?;
    let snapshot = find(canister, &args.snapshot_id)?;
    if snapshot.source != SnapshotSource::Uploaded {
        return Err(Refusal::SnapshotImmutable);
    }
    let bytes = args.chunk.len() as u64;
    check_piece(bytes)?;
    let added_bytes = match args.kind {
        SnapshotDataOffset::WasmModule { offset } => check_within(snapshot.wasm.len() as u64, offset, bytes)?,
        SnapshotDataOffset::WasmMemory { offset } => check_within(snapshot.heap.bytes.len() as u64, offset, bytes)?,
        SnapshotDataOffset::StableMemory { offset } => {
            check_within(snapshot.stable.size_pages() * WASM_PAGE_BYTES, offset, bytes)?
        }
        SnapshotDataOffset::WasmChunk => match admit(&snapshot.chunk_store, &args.chunk)? {
            Admission::Known(_) => 0,
            Admission::New(_) => bytes,
        },
    };
    let instructions = PIECE_INSTRUCTIONS + bytes;
    let growth = pay(subnet, canister, instructions, added_bytes)?;

    let fee = subnet.config.fees.execution(instructions, false);
    let canister = super::canister_mut(subnet, args.canister_id)?;
    canister.account.charge(fee);
    growth.reserve(canister);
    canister.heap_delta_debit_bytes += bytes;
    let snapshot = canister.snapshots.get_mut(&args.snapshot_id).expect("found above");
    snapshot.bytes += added_bytes;
    let chunk = args.chunk.into_vec();
    match args.kind {
        SnapshotDataOffset::WasmModule { offset } => write(&mut snapshot.wasm, offset, &chunk),
        SnapshotDataOffset::WasmMemory { offset } => write(&mut snapshot.heap.bytes, offset, &chunk),
        SnapshotDataOffset::StableMemory { offset } => {
            snapshot.stable.write(offset, &chunk).expect("checked to lie within");
        }
        SnapshotDataOffset::WasmChunk => {
            if let Admission::New(hash) = admit(&snapshot.chunk_store, &chunk)? {
                snapshot.chunk_store.chunks.insert(hash, Arc::new(chunk));
            }
        }
    }
    Ok(Step::nothing().costing(instructions))
}

fn check_piece(size: u64) -> Result<(), Refusal> {
    if size > PIECE_BYTES_MAX {
        return Err(Refusal::SliceTooLarge { requested: size, allowed: PIECE_BYTES_MAX });
    }
    Ok(())
}

/// Checks a write; it adds no bytes to the snapshot, whose sizes are fixed.
fn check_within(len: u64, offset: u64, size: u64) -> Result<u64, Refusal> {
    match offset.checked_add(size) {
        Some(end) if end <= len => Ok(0),
        _ => Err(Refusal::Slice { offset, size }),
    }
}

fn piece(bytes: &[u8], offset: u64, size: u64) -> Result<Vec<u8>, Refusal> {
    check_piece(size)?;
    check_within(bytes.len() as u64, offset, size)?;
    Ok(bytes[offset as usize..(offset + size) as usize].to_vec())
}

/// INVARIANT: checked with [`check_within`].
fn write(bytes: &mut Arc<Vec<u8>>, offset: u64, piece: &[u8]) {
    Arc::make_mut(bytes)[offset as usize..offset as usize + piece.len()].copy_from_slice(piece);
}

fn shown_global(global: &Global) -> SnapshotMetadataGlobal {
    match global {
        Global::I32(n) => SnapshotMetadataGlobal::I32(*n),
        Global::I64(n) => SnapshotMetadataGlobal::I64(*n),
        Global::F32(bits) => SnapshotMetadataGlobal::F32(f32::from_bits(*bits)),
        Global::F64(bits) => SnapshotMetadataGlobal::F64(f64::from_bits(*bits)),
        Global::V128(n) => SnapshotMetadataGlobal::V128(Nat::from(*n)),
    }
}

fn global(shown: &SnapshotMetadataGlobal) -> Result<Global, Refusal> {
    Ok(match shown {
        SnapshotMetadataGlobal::I32(n) => Global::I32(*n),
        SnapshotMetadataGlobal::I64(n) => Global::I64(*n),
        SnapshotMetadataGlobal::F32(n) => Global::F32(n.to_bits()),
        SnapshotMetadataGlobal::F64(n) => Global::F64(n.to_bits()),
        SnapshotMetadataGlobal::V128(n) => Global::V128(
            payload::nat_u128(n)
                .ok_or_else(|| Refusal::Payload(format!("a global of {n} does not fit in 128 bits")))?,
        ),
    })
}
