//! One instance: entering it, classifying its traps, its memory and globals.

use wasmtime::{Instance, Memory, ResourceLimiter, Store, Table, Val};

use super::Global;
use crate::errors::ErrorCode;
use crate::wasm::engine::Module;
use crate::wasm::ic0::growth::{self, Refusal};
use crate::wasm::ic0::{Failure, State, slice_exceeded};
use crate::wasm::instrument;
use crate::wasm::stable::StableMemory;
use crate::wasm::system::{Closure, Entry, System, Trap};
use crate::wasm::validate::{HEAP32_BYTES_MAX, HEAP64_BYTES_MAX};

/// An instance and what it exports.
pub(super) struct Live {
    pub store: Store<State>,
    instance: Instance,
    pub memory: Option<Memory>,
    table: Option<Table>,
    counter: wasmtime::Global,
    refused_bytes: wasmtime::Global,
    globals: Vec<wasmtime::Global>,
}

impl Live {
    pub fn new(module: &Module, stable: StableMemory) -> wasmtime::Result<Self> {
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
    pub fn enter(&mut self, system: System) {
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
    pub fn leave(&mut self) -> (System, i64) {
        let left = self.counter.get(&mut self.store).unwrap_i64();
        let state = self.store.data_mut();
        state.unruled = true;
        let system = state.system.take().expect("it was put there by `enter`");
        (system, left.saturating_sub_unsigned(std::mem::take(&mut state.charged)))
    }

    pub fn run(&mut self, entry: &Entry) -> wasmtime::Result<()> {
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
    pub fn trap(&mut self, error: &wasmtime::Error, left: i64, max: u64) -> Trap {
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

    pub fn heap(&mut self) -> &mut [u8] {
        match self.memory {
            Some(memory) => memory.data_mut(&mut self.store),
            None => &mut [],
        }
    }

    pub fn heap_bytes(&self) -> &[u8] {
        match self.memory {
            Some(memory) => memory.data(&self.store),
            None => &[],
        }
    }

    pub fn heap_pages(&self) -> u64 {
        self.memory.map_or(0, |memory| memory.size(&self.store))
    }

    pub fn grow_to(&mut self, pages: u64) -> wasmtime::Result<()> {
        if let Some(memory) = self.memory {
            let more = pages.saturating_sub(self.heap_pages());
            memory.grow(&mut self.store, more)?;
        }
        Ok(())
    }

    pub fn globals(&mut self) -> Vec<Global> {
        let Self { globals, store, .. } = self;
        globals.iter().map(|global| to_global(global.get(&mut *store))).collect()
    }

    pub fn set_globals(&mut self, values: &[Global]) {
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

pub(super) fn out_of_instructions(max: u64) -> Trap {
    Trap {
        code: ErrorCode::CanisterInstructionLimitExceeded,
        message: format!("Canister exceeded the limit of {max} instructions for single message execution."),
        log: None,
    }
}

pub(super) fn over_memory_limit(limit: u64, used: u64) -> Trap {
    Trap {
        code: ErrorCode::CanisterWasmMemoryLimitExceeded,
        message: format!(
            "Canister exceeded its current Wasm memory limit of {limit} bytes. The peak Wasm memory usage was {used} \
             bytes. If the canister reaches 4GiB, then it may stop functioning and may become unrecoverable."
        ),
        log: None,
    }
}
