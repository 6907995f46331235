//! Live code and memories of one canister.

use std::sync::Arc;

use super::engine::Module;
use super::stable::StableMemory;
use super::system::{Entry, Executed, System, Trap};

/// A mutable global, in order of declaration. Floats by their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
}

/// Heap and globals of a canister, as kept in snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapImage {
    pub bytes: Arc<Vec<u8>>,
    pub globals: Vec<Global>,
}

/// Live code and memories of one canister.
pub struct Runtime {}

impl Runtime {
    /// Instantiates `module`: data segments are applied, the start function has not run. `stable` is the caller's to
    /// keep over an upgrade.
    ///
    /// # Errors
    /// `CanisterInvalidWasm` if a data or element segment is out of bounds.
    pub fn new(module: Arc<Module>, stable: StableMemory) -> Result<Runtime, Trap> {
        let _ = (module, stable);
        todo!()
    }

    pub fn module(&self) -> &Arc<Module> {
        todo!()
    }

    /// Runs one entry. If it fails, everything that this call changed in heap, globals and stable memory is rolled
    /// back when it returns; if it succeeds, its changes are pending until [`Runtime::commit`] or
    /// [`Runtime::rollback`]. Several executions may be pending together.
    pub fn execute(&mut self, entry: &Entry, system: System) -> (System, Executed) {
        let _ = (entry, system);
        todo!()
    }

    /// Keeps what is pending.
    pub fn commit(&mut self) {
        todo!()
    }

    /// Drops what is pending.
    pub fn rollback(&mut self) {
        todo!()
    }

    pub fn heap_bytes(&self) -> u64 {
        todo!()
    }

    pub fn stable(&self) -> &StableMemory {
        todo!()
    }

    pub fn stable_mut(&mut self) -> &mut StableMemory {
        todo!()
    }

    pub fn into_stable(self) -> StableMemory {
        todo!()
    }

    /// Copies heap and mutable globals.
    pub fn heap_image(&self) -> HeapImage {
        todo!()
    }

    /// Replaces heap and mutable globals by those of `image`, committed.
    ///
    /// # Errors
    /// `CanisterContractViolation` if the image doesn't fit this module.
    pub fn restore_heap(&mut self, image: &HeapImage) -> Result<(), Trap> {
        let _ = image;
        todo!()
    }

    /// Returns a hash of heap, globals and stable memory as committed; equal states hash equally.
    pub fn state_hash(&mut self) -> u64 {
        todo!()
    }
}
