//! Snapshots and the chunk store of a canister.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::wasm::{HeapImage, StableMemory};

/// Chunks of up to 1 MiB by SHA-256.
#[derive(Clone, Debug, Default)]
pub struct ChunkStore {
    pub chunks: BTreeMap<[u8; 32], Arc<Vec<u8>>>,
}

impl ChunkStore {
    pub fn bytes(&self) -> u64 {
        self.chunks.values().map(|chunk| chunk.len() as u64).sum()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotSource {
    TakenFromCanister,
    /// Made with `upload_canister_snapshot_metadata`; not loadable until complete.
    Uploaded,
}

/// A canister's code and data at one moment.
#[derive(Clone)]
pub struct Snapshot {
    pub id: Vec<u8>,
    pub taken_at_nanos: u64,
    /// Round in which it was taken; other canisters can load it after the next checkpoint.
    pub taken_round: u64,
    pub source: SnapshotSource,
    pub canister_version: u64,
    /// As uploaded, perhaps zipped.
    pub wasm: Arc<Vec<u8>>,
    pub heap: HeapImage,
    pub stable: StableMemory,
    pub certified_data: Vec<u8>,
    pub chunk_store: ChunkStore,
    pub global_timer_nanos: Option<u64>,
    pub hook_armed: bool,
    pub bytes: u64,
}
