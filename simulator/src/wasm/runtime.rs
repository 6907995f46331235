//! Live code and memories of one canister: running entries, keeping or dropping what they changed.
//!
//! The instance is kept over messages. Stable memory has an undo list of its own; heap pages are kept or dropped by
//! [`super::heap`]; globals are set back. A heap can't shrink in place: undoing growth makes a new instance over the
//! committed contents. INVARIANT: tables never change, since operators that change them are refused.

use std::sync::Arc;

use wasmtime::{Instance, Memory, ResourceLimiter, Store, Table, Val};

use super::engine::Module;
use super::fingerprint;
use super::heap::{Heap, Undo};
use super::ic0::growth::{self, Refusal};
use super::ic0::{Failure, State, abandon, slice_exceeded};
use super::instrument;
use super::stable::{Mark, StableMemory};
use super::system::{Closure, Entry, Executed, System, Trap};
use super::validate::{HEAP32_BYTES_MAX, HEAP64_BYTES_MAX};
use crate::errors::ErrorCode;
use crate::limits::WASM_PAGE_BYTES;

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
}

/// An instance and what it exports.
struct Live {
    store: Store<State>,
    instance: Instance,
    memory: Option<Memory>,
    table: Option<Table>,
    counter: wasmtime::Global,
    refused_bytes: wasmtime::Global,
    globals: Vec<wasmtime::Global>,
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
        Ok(Runtime { module, live, heap, globals, base: None, dirty: Vec::new(), undo: Undo::new(), has_run: false })
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
        if let (Ok(()), Some(limit)) = (&result, limit) {
            if heap_bytes > limit {
                result = Err(over_memory_limit(limit, heap_bytes));
            }
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
            && image.bytes.len() as u64 % WASM_PAGE_BYTES == 0
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

impl Live {
    fn new(module: &Module, stable: StableMemory) -> wasmtime::Result<Self> {
        let pre = &module.pre;
        let mut store = Store::new(pre.module().engine(), State::new(stable, module.is_wasm64()));
        store.limiter(|state| state);
        let instance = pre.instantiate(&mut store)?;
        let mut global = |name: &str| instance.get_global(&mut store, name).expect("instrumentation exports it");
        let counter = global(instrument::COUNTER);
        let refused_bytes = global(instrument::REFUSED_BYTES);
        let globals =
            (0..module.facts.mutable_globals).map(|number| global(&instrument::global_name(number))).collect();
        let memory = instance.get_memory(&mut store, instrument::MEMORY);
        let table = instance.get_table(&mut store, instrument::TABLE);
        store.data_mut().counter = Some(counter);
        store.data_mut().memory = memory;
        Ok(Self { store, instance, memory, table, counter, refused_bytes, globals })
    }

    /// Prepares the state for an execution.
    fn enter(&mut self, system: System) {
        let max = i64::try_from(system.instructions_max).unwrap_or(i64::MAX);
        self.counter.set(&mut self.store, Val::I64(max)).expect("the counter is a mutable i64");
        self.refused_bytes.set(&mut self.store, Val::I64(0)).expect("a mutable i64");
        let state = self.store.data_mut();
        state.system = Some(system);
        state.charged = 0;
        state.sent.clear();
        state.performs = 0;
        state.logged_bytes = 0;
        state.unruled = false;
    }

    /// Takes the system back, with the instructions left; negative if too many were used.
    fn leave(&mut self) -> (System, i64) {
        let left = self.counter.get(&mut self.store).unwrap_i64();
        let state = self.store.data_mut();
        state.unruled = true;
        let system = state.system.take().expect("it was put there by `enter`");
        (system, left.saturating_sub_unsigned(std::mem::take(&mut state.charged)))
    }

    fn run(&mut self, entry: &Entry) -> wasmtime::Result<()> {
        match entry {
            Entry::Start => match self.instance.get_typed_func::<(), ()>(&mut self.store, instrument::START) {
                Ok(start) => start.call(&mut self.store, ()),
                Err(_) => Ok(()),
            },
            Entry::Export(name) => {
                let function = self.instance.get_typed_func::<(), ()>(&mut self.store, name);
                function.map_err(|_| missing(name))?.call(&mut self.store, ())
            }
            Entry::Closure(closure) => self.run_closure(closure),
        }
    }

    fn run_closure(&mut self, closure: &Closure) -> wasmtime::Result<()> {
        let found = self.table.and_then(|table| table.get(&mut self.store, closure.function));
        let Some(function) = found.and_then(|found| found.as_func().flatten().copied()) else {
            return Err(failure(
                ErrorCode::CanisterFunctionNotFound,
                format!(
                    "Canister requested to invoke a non-existent Wasm function {} from Wasm table 0",
                    closure.function
                ),
            ));
        };
        let mismatch = |_| {
            failure(
                ErrorCode::CanisterContractViolation,
                "Canister violated contract: function invocation does not match its signature".into(),
            )
        };
        if self.store.data().wasm64 {
            let function = function.typed::<i64, ()>(&self.store).map_err(mismatch)?;
            function.call(&mut self.store, closure.env as i64)
        } else {
            let function = function.typed::<i32, ()>(&self.store).map_err(mismatch)?;
            function.call(&mut self.store, closure.env as i32)
        }
    }

    /// Classifies a failed execution. `left` are the instructions left.
    fn trap(&mut self, error: &wasmtime::Error, left: i64, max: u64) -> Trap {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return match failure {
                Failure::OutOfInstructions => out_of_instructions(max),
                Failure::Trap(trap) => trap.clone(),
            };
        }
        let refused = self.refused_bytes.get(&mut self.store).unwrap_i64() as u64;
        let what = match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::UnreachableCodeReached) if refused > 0 => return slice_exceeded(refused),
            Some(wasmtime::Trap::UnreachableCodeReached) if left < 0 => return out_of_instructions(max),
            Some(wasmtime::Trap::UnreachableCodeReached) => "unreachable",
            Some(wasmtime::Trap::StackOverflow) => "stack overflow",
            Some(wasmtime::Trap::MemoryOutOfBounds) => "heap out of bounds",
            Some(wasmtime::Trap::TableOutOfBounds) => "table out of bounds",
            Some(wasmtime::Trap::IndirectCallToNull | wasmtime::Trap::NullReference) => "indirect call to null",
            Some(wasmtime::Trap::IntegerDivisionByZero) => "integer division by 0",
            Some(wasmtime::Trap::IntegerOverflow) => "integer overflow",
            Some(wasmtime::Trap::BadConversionToInteger) => "bad conversion to integer",
            Some(wasmtime::Trap::BadSignature) => {
                return Trap {
                    code: ErrorCode::CanisterContractViolation,
                    message: "Canister violated contract: function invocation does not match its signature".into(),
                    log: None,
                };
            }
            _ => {
                return Trap {
                    code: ErrorCode::CanisterWasmEngineError,
                    message: format!("Canister encountered a Wasm engine error: {error:#}"),
                    log: None,
                };
            }
        };
        Trap { code: ErrorCode::CanisterTrapped, message: format!("Canister trapped: {what}"), log: None }
    }

    fn heap(&mut self) -> &mut [u8] {
        match self.memory {
            Some(memory) => memory.data_mut(&mut self.store),
            None => &mut [],
        }
    }

    fn heap_bytes(&self) -> &[u8] {
        match self.memory {
            Some(memory) => memory.data(&self.store),
            None => &[],
        }
    }

    fn heap_pages(&self) -> u64 {
        self.memory.map_or(0, |memory| memory.size(&self.store))
    }

    fn grow_to(&mut self, pages: u64) -> wasmtime::Result<()> {
        if let Some(memory) = self.memory {
            let more = pages.saturating_sub(self.heap_pages());
            memory.grow(&mut self.store, more)?;
        }
        Ok(())
    }

    fn globals(&mut self) -> Vec<Global> {
        let Self { globals, store, .. } = self;
        globals.iter().map(|global| to_global(global.get(&mut *store))).collect()
    }

    fn set_globals(&mut self, values: &[Global]) {
        for (global, value) in self.globals.iter().zip(values) {
            let value = match *value {
                Global::I32(value) => Val::I32(value),
                Global::I64(value) => Val::I64(value),
                Global::F32(bits) => Val::F32(bits),
                Global::F64(bits) => Val::F64(bits),
                Global::V128(bits) => Val::V128(bits.into()),
            };
            global.set(&mut self.store, value).expect("a mutable global of the type that was read from it");
        }
    }
}

fn to_global(value: Val) -> Global {
    match value {
        Val::I32(value) => Global::I32(value),
        Val::I64(value) => Global::I64(value),
        Val::F32(bits) => Global::F32(bits),
        Val::F64(bits) => Global::F64(bits),
        Val::V128(bits) => Global::V128(bits.as_u128()),
        _ => unreachable!("mutable globals of references are refused"),
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let most = if self.wasm64 { HEAP64_BYTES_MAX } else { HEAP32_BYTES_MAX } as usize;
        if desired > maximum.unwrap_or(most).min(most) {
            return Ok(false);
        }
        let Some(system) = self.system.as_mut().filter(|_| !self.unruled && desired > current) else { return Ok(true) };
        match growth::take(system, (desired - current) as u64) {
            Ok(()) => Ok(true),
            Err(Refusal::NoMemory) => Err(wasmtime::Error::new(growth::out_of_memory())),
            Err(Refusal::Trap(failure)) => Err(wasmtime::Error::new(failure)),
        }
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }
}

fn failure(code: ErrorCode, message: String) -> wasmtime::Error {
    wasmtime::Error::new(Failure::Trap(Trap { code, message, log: None }))
}

fn missing(name: &str) -> wasmtime::Error {
    let text = match name.split_once(' ') {
        Some(("canister_update", method)) => format!("Canister has no update method '{method}'."),
        Some((_, method)) => format!("Canister has no query method '{method}'."),
        None => format!("Canister has no function '{name}'."),
    };
    failure(ErrorCode::CanisterMethodNotFound, text)
}

fn out_of_instructions(max: u64) -> Trap {
    Trap {
        code: ErrorCode::CanisterInstructionLimitExceeded,
        message: format!("Canister exceeded the limit of {max} instructions for single message execution."),
        log: None,
    }
}

fn over_memory_limit(limit: u64, used: u64) -> Trap {
    Trap {
        code: ErrorCode::CanisterWasmMemoryLimitExceeded,
        message: format!(
            "Canister exceeded its current Wasm memory limit of {limit} bytes. The peak Wasm memory usage was {used} \
             bytes. If the canister reaches 4GiB, then it may stop functioning and may become unrecoverable."
        ),
        log: None,
    }
}

#[cfg(test)]
mod tests;
