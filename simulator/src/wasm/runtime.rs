//! Live code and memories of one canister: running entries, keeping or dropping what they changed.
//!
//! The instance is kept over messages. Stable memory has an undo list of its own; heap pages are kept or dropped by
//! [`super::heap`]; globals are set back. A heap can't shrink in place: undoing growth makes a new instance over the
//! committed contents. INVARIANT: tables never change, since operators that change them are refused.

use std::sync::Arc;

use super::engine::Module;
use super::fingerprint;
use super::heap::{Heap, Undo};
use super::ic0::abandon;
use super::stable::{Mark, StableMemory};
use super::system::{Entry, Executed, System, Trap};
use crate::errors::ErrorCode;
use crate::event_log::STATE_HASH_EVERY;
use crate::limits::WASM_PAGE_BYTES;

mod live;

use live::{Live, out_of_instructions, over_memory_limit};

/// Instructions charged for a heap page dirtied.
const DIRTY_PAGE: u64 = 1_000;
/// Factor of that with 64-bit memories.
const DIRTY_PAGE_WASM64: u64 = 4;

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
pub struct Runtime {
    module: Arc<Module>,
    live: Live,
    heap: Heap,
    /// The mutable globals as they are now.
    globals: Vec<Global>,
    /// Where the executions pending began; None if there are none.
    base: Option<Point>,
    /// Heap pages dirtied by the last execution pending.
    dirty: Vec<usize>,
    /// Old contents of heap pages dirtied by the executions pending before it.
    undo: Undo,
    /// Code has run since instantiation, so segments may be dropped.
    has_run: bool,
    /// How often a hash of the state was asked for.
    sampled: u64,
}

/// A state to return to.
#[derive(Clone)]
struct Point {
    heap_pages: u64,
    globals: Vec<Global>,
    stable: Mark,
}

impl Runtime {
    /// Instantiates `module`: data segments are applied, the start function has not run. `stable` is the caller's to
    /// keep over an upgrade.
    ///
    /// # Errors
    /// `CanisterInvalidWasm` if a data or element segment is out of bounds.
    pub fn new(module: Arc<Module>, stable: StableMemory) -> Result<Runtime, Trap> {
        #[cfg(target_os = "linux")]
        super::heap::mapped::set_next(None);
        let live = Live::new(&module, stable);
        let mut heap = Heap::compared();
        #[cfg(target_os = "linux")]
        if let Some(file) = super::heap::mapped::take_used() {
            heap = Heap::mapped(file);
        }
        let mut live = live.map_err(|error| Trap {
            code: ErrorCode::CanisterInvalidWasm,
            message: format!("Canister's Wasm module is not valid: Wasm module could not be instantiated: {error:#}"),
            log: None,
        })?;
        let bytes = live.heap();
        let dirty = heap.dirty(bytes);
        heap.keep(bytes, &dirty, None);
        let globals = live.globals();
        let (base, dirty, undo) = (None, Vec::new(), Undo::new());
        Ok(Runtime { module, live, heap, globals, base, dirty, undo, has_run: false, sampled: 0 })
    }

    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Runs one entry. If it fails, everything that this call changed in heap, globals and stable memory is rolled
    /// back when it returns; if it succeeds, its changes are pending until [`Runtime::commit`] or
    /// [`Runtime::rollback`]. Several executions may be pending together.
    ///
    /// The thread needs [`super::engine::STACK_BYTES`] of stack.
    pub fn execute(&mut self, entry: &Entry, system: System) -> (System, Executed) {
        let is_first = self.base.is_none();
        let point = self.begin();
        let max = system.instructions_max;
        let (charge_dirty_pages, limit) = (system.memory.charge_dirty_pages, system.memory.wasm_memory_limit_bytes);
        self.live.enter(system);
        let outcome = self.live.run(entry);
        let (mut system, left) = self.live.leave();
        self.has_run = true;

        let heap_bytes = self.heap_bytes();
        let dirty = self.heap.dirty(self.live.heap());
        let mut result = outcome.map_err(|error| self.live.trap(&error, left, max));
        if result.is_ok() && left < 0 {
            result = Err(out_of_instructions(max));
        }
        if let (Ok(()), Some(limit)) = (&result, limit)
            && heap_bytes > limit
        {
            result = Err(over_memory_limit(limit, heap_bytes));
        }
        let mut instructions = (max as i64).saturating_sub(left).clamp(0, max as i64) as u64;
        if charge_dirty_pages {
            let each = DIRTY_PAGE * if self.module.is_wasm64() { DIRTY_PAGE_WASM64 } else { 1 };
            instructions = max.min(instructions + dirty.len() as u64 * each);
        }
        let stable = &self.live.store.data().stable;
        let executed = Executed {
            instructions,
            heap_pages_dirtied: dirty.len() as u64,
            stable_pages_dirtied: stable.pages_dirtied(),
            heap_bytes,
            stable_bytes: stable.size_bytes(),
            result,
        };
        self.dirty = dirty;
        if executed.result.is_ok() {
            self.globals = self.live.globals();
            abandon(&mut system);
        } else {
            self.go_back(&point);
            if is_first {
                self.base = None;
                self.live.store.data_mut().stable.commit();
            }
        }
        (system, executed)
    }

    /// Keeps what is pending.
    pub fn commit(&mut self) {
        if self.base.take().is_some() {
            let dirty = std::mem::take(&mut self.dirty);
            self.heap.keep(self.live.heap(), &dirty, None);
            self.undo.clear();
            self.live.store.data_mut().stable.commit();
        }
    }

    /// Drops what is pending.
    pub fn rollback(&mut self) {
        if let Some(base) = self.base.take() {
            let undo = std::mem::take(&mut self.undo);
            self.dirty.extend(undo.keys());
            self.dirty.sort_unstable();
            self.dirty.dedup();
            self.heap.revert(undo);
            self.go_back(&base);
            self.live.store.data_mut().stable.commit();
        }
    }

    /// Returns the size of the heap, with what is pending.
    pub fn heap_bytes(&self) -> u64 {
        self.live.heap_pages() * WASM_PAGE_BYTES
    }

    pub fn stable(&self) -> &StableMemory {
        &self.live.store.data().stable
    }

    /// Gives access to stable memory between messages; changes are committed at once if nothing is pending.
    pub fn stable_mut(&mut self) -> &mut StableMemory {
        &mut self.live.store.data_mut().stable
    }

    /// Returns stable memory with what is pending, which can't be undone any more.
    pub fn into_stable(mut self) -> StableMemory {
        self.commit();
        std::mem::take(self.stable_mut())
    }

    /// Copies heap and mutable globals, with what is pending.
    pub fn heap_image(&self) -> HeapImage {
        HeapImage { bytes: Arc::new(self.live.heap_bytes().to_vec()), globals: self.globals.clone() }
    }

    /// Replaces heap and mutable globals by those of `image`, committed; what is pending is dropped.
    ///
    /// # Errors
    /// `CanisterContractViolation` if the image doesn't fit this module.
    pub fn restore_heap(&mut self, image: &HeapImage) -> Result<(), Trap> {
        self.rollback();
        let pages = image.bytes.len() as u64 / WASM_PAGE_BYTES;
        let kinds = |globals: &[Global]| globals.iter().map(std::mem::discriminant).collect::<Vec<_>>();
        let is_size_allowed = match self.live.memory.map(|memory| memory.ty(&self.live.store)) {
            Some(ty) => (ty.minimum()..=ty.maximum().unwrap_or(u64::MAX)).contains(&pages),
            None => pages == 0,
        };
        let fits = is_size_allowed
            && (image.bytes.len() as u64).is_multiple_of(WASM_PAGE_BYTES)
            && kinds(&image.globals) == kinds(&self.globals);
        let unfit = || Trap {
            code: ErrorCode::CanisterContractViolation,
            message: "the snapshot's memory or globals don't fit the Wasm module".into(),
            log: None,
        };
        if !fits {
            return Err(unfit());
        }
        let mut fresh =
            Runtime::new(self.module.clone(), std::mem::take(self.stable_mut())).expect("it was instantiated before");
        let grown = fresh.live.grow_to(pages);
        if grown.is_ok() {
            fresh.live.heap().copy_from_slice(&image.bytes);
            let all: Vec<usize> = (0..image.bytes.len() / fingerprint::PAGE_BYTES).collect();
            fresh.heap.keep(fresh.live.heap(), &all, None);
            fresh.live.set_globals(&image.globals);
            fresh.globals = image.globals.clone();
            *self = fresh;
            return Ok(());
        }
        *self.stable_mut() = std::mem::take(fresh.stable_mut());
        Err(unfit())
    }

    /// Returns a hash of the state after one execution in [`STATE_HASH_EVERY`], the first included, and else 0.
    pub fn sampled_hash(&mut self) -> u64 {
        let hash = if self.sampled.is_multiple_of(STATE_HASH_EVERY) { self.state_hash() } else { 0 };
        self.sampled += 1;
        hash
    }

    /// Returns a hash of heap, globals and stable memory; equal states hash equally. Nothing may be pending.
    pub fn state_hash(&mut self) -> u64 {
        debug_assert!(self.base.is_none(), "the hash is of committed state");
        let words = self.globals.iter().flat_map(|global| match *global {
            Global::I32(value) => [value as u64, 0],
            Global::I64(value) => [value as u64, 0],
            Global::F32(bits) => [bits.into(), 0],
            Global::F64(bits) => [bits, 0],
            Global::V128(bits) => [bits as u64, (bits >> 64) as u64],
        });
        let globals = fingerprint::combine(words);
        let stable = self.live.store.data_mut().stable.state_hash();
        fingerprint::combine([self.live.heap_pages(), self.heap.hash(), globals, stable])
    }

    /// Notes where to return to, and makes earlier pending changes the ground on which the next execution stands.
    fn begin(&mut self) -> Point {
        if self.base.is_some() {
            let dirty = std::mem::take(&mut self.dirty);
            self.heap.keep(self.live.heap(), &dirty, Some(&mut self.undo));
        }
        if self.module.facts.drops_segments && self.has_run {
            let (pages, globals) = (self.live.heap_pages(), self.globals.clone());
            self.renew(pages, &globals);
        }
        let point = Point {
            heap_pages: self.live.heap_pages(),
            globals: self.globals.clone(),
            stable: self.live.store.data_mut().stable.begin(),
        };
        self.base.get_or_insert_with(|| point.clone());
        point
    }

    /// Returns to `point`, where the heap held what is committed or kept now; `self.dirty` are the pages that differ.
    fn go_back(&mut self, point: &Point) {
        let dirty = std::mem::take(&mut self.dirty);
        self.globals.clone_from(&point.globals);
        self.live.store.data_mut().stable.roll_back(point.stable);
        if self.live.heap_pages() == point.heap_pages {
            self.heap.drop_changes(self.live.heap(), Some(&dirty));
            self.live.set_globals(&point.globals);
        } else {
            self.renew(point.heap_pages, &point.globals);
        }
    }

    /// Replaces the instance by a new one over the contents that are kept.
    fn renew(&mut self, heap_pages: u64, globals: &[Global]) {
        let stable = std::mem::take(self.stable_mut());
        #[cfg(target_os = "linux")]
        super::heap::mapped::set_next(self.heap.file());
        self.live = Live::new(&self.module, stable).expect("it was instantiated before");
        #[cfg(target_os = "linux")]
        super::heap::mapped::set_next(None);
        self.heap.cut(heap_pages * WASM_PAGE_BYTES);
        self.live.grow_to(heap_pages).expect("the heap had this size before");
        self.heap.drop_changes(self.live.heap(), None);
        self.live.set_globals(globals);
        self.has_run = false;
    }
}

#[cfg(test)]
mod tests;
