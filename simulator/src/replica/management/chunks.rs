//! The chunk store, and installing from it.

use std::sync::Arc;

use ic_management_canister_types::{CanisterIdRecord, ChunkHash, InstallChunkedCodeArgs, UploadChunkArgs};
use sha2::{Digest, Sha256};

use super::errors::Refusal;
use super::install::{self, Deployment};
use super::memory::{Growth, memory_of};
use super::{Step, payload};
use crate::limits::MIB;
use crate::replica::state::{Canister, ChunkStore, ManagementCall, SubnetConfig, SubnetState};

const CHUNK_BYTES_MAX: usize = MIB as usize;
const CHUNKS_MAX: usize = 100;
const UPLOAD_INSTRUCTIONS: u64 = 200_000_000;
/// Bytes written per round and canister above which management calls that write are refused.
const HEAP_DELTA_BYTES_MAX: u64 = 75 * MIB;

/// Stores a chunk under its SHA-256; storing it twice costs nothing.
pub(super) fn upload_chunk(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: UploadChunkArgs = payload::decode(&call.payload)?;
    let canister = super::controlled_or_self(subnet, args.canister_id, call.caller)?;
    check_heap_delta(canister)?;
    let hash = match admit(&canister.chunk_store, &args.chunk)? {
        Admission::Known(hash) => return Ok(Step::reply(payload::encode(&ChunkHash { hash: hash.to_vec() }))),
        Admission::New(hash) => hash,
    };
    let bytes = args.chunk.len() as u64;
    let fee = subnet.config.fees.execution(UPLOAD_INSTRUCTIONS, false);
    let missing = missing_cycles(&subnet.config, canister, fee);
    if missing > 0 {
        let refusal = Refusal::OutOfCycles { canister: canister.id, missing };
        return Err(Refusal::ChunkStore(format!("Error charging for 'upload_chunk': {refusal}")));
    }
    let growth = Growth::check(&memory_of(subnet), &subnet.config, canister, bytes)
        .map_err(|refusal| Refusal::ChunkStore(refusal.to_string()))?;
    let canister = super::canister_mut(subnet, args.canister_id)?;
    canister.account.charge(fee);
    growth.reserve(canister);
    canister.heap_delta_debit_bytes += bytes;
    canister.chunk_store.chunks.insert(hash, Arc::new(args.chunk));
    Ok(Step::reply(payload::encode(&ChunkHash { hash: hash.to_vec() })).costing(UPLOAD_INSTRUCTIONS))
}

/// Drops all chunks.
pub(super) fn clear_chunk_store(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    super::controlled_or_self(subnet, args.canister_id, call.caller)?;
    super::canister_mut(subnet, args.canister_id)?.chunk_store = ChunkStore::default();
    Ok(Step::nothing())
}

/// Lists the hashes of all chunks, in order.
pub(super) fn stored_chunks(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    let canister = super::controlled_or_self(subnet, args.canister_id, call.caller)?;
    Ok(Step::reply(payload::encode(&listed(&canister.chunk_store))))
}

/// Joins chunks to a module and installs it.
pub(super) fn install_chunked_code(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: InstallChunkedCodeArgs = payload::decode(&call.payload)?;
    super::controlled(subnet, args.target_canister, call.caller)?;
    let store_id = args.store_canister.unwrap_or(args.target_canister);
    let store = &super::controlled_or_self(subnet, store_id, call.caller)?.chunk_store;
    if args.chunk_hashes_list.len() > CHUNKS_MAX {
        let given = args.chunk_hashes_list.len();
        return Err(Refusal::ChunkStore(format!("{given} chunks given, a module has at most {CHUNKS_MAX}")));
    }
    let mut wasm = Vec::new();
    for ChunkHash { hash } in &args.chunk_hashes_list {
        let key: [u8; 32] = hash
            .as_slice()
            .try_into()
            .map_err(|_| Refusal::ChunkStore("Chunk hash is invalid. The length is not 32".to_string()))?;
        let chunk =
            store.chunks.get(&key).ok_or_else(|| Refusal::ChunkStore(format!("Chunk hash {key:?} was not found")))?;
        wasm.extend_from_slice(chunk);
    }
    let hash = Sha256::digest(&wasm);
    if hash[..] != args.wasm_module_hash[..] {
        let text =
            format!("Wasm module hash {:?} does not match given hash {:?}", hash.as_slice(), args.wasm_module_hash);
        return Err(Refusal::ChunkStore(text));
    }
    let assembled_bytes = wasm.len() as u64;
    install::deploy(
        subnet,
        call,
        Deployment {
            target: args.target_canister,
            mode: args.mode,
            wasm: Arc::new(wasm),
            argument: args.arg,
            assembled_bytes,
            sender_version: args.sender_canister_version,
        },
    )
}

/// What becomes of a chunk.
pub(super) enum Admission {
    Known([u8; 32]),
    New([u8; 32]),
}

/// Checks whether a store takes a chunk.
///
/// # Errors
/// `ChunkStore` if the chunk is too large or the store full.
pub(super) fn admit(store: &ChunkStore, chunk: &[u8]) -> Result<Admission, Refusal> {
    if chunk.len() > CHUNK_BYTES_MAX {
        let size = chunk.len();
        return Err(Refusal::ChunkStore(format!(
            "Wasm chunk size {size} exceeds the maximum chunk size of {CHUNK_BYTES_MAX}"
        )));
    }
    let hash: [u8; 32] = Sha256::digest(chunk).into();
    if store.chunks.contains_key(&hash) {
        return Ok(Admission::Known(hash));
    }
    if store.chunks.len() >= CHUNKS_MAX {
        return Err(Refusal::ChunkStore(format!(
            "Wasm chunk store has already reached maximum capacity of {CHUNKS_MAX} chunks"
        )));
    }
    Ok(Admission::New(hash))
}

/// Lists a store's hashes.
pub(super) fn listed(store: &ChunkStore) -> Vec<ChunkHash> {
    store.chunks.keys().map(|hash| ChunkHash { hash: hash.to_vec() }).collect()
}

/// Refuses when the canister has written too much already.
pub(super) fn check_heap_delta(canister: &Canister) -> Result<(), Refusal> {
    if canister.heap_delta_debit_bytes < HEAP_DELTA_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::HeapDeltaRateLimited {
        canister: canister.id,
        debit_bytes: canister.heap_delta_debit_bytes,
        limit_bytes: HEAP_DELTA_BYTES_MAX,
    })
}

/// Returns the cycles that a canister lacks to pay a fee and stay above its freezing threshold; 0 if it can.
pub(super) fn missing_cycles(config: &SubnetConfig, canister: &Canister, fee: u128) -> u128 {
    canister.freezing_threshold(config).saturating_add(fee).saturating_sub(canister.account.balance)
}
