//! The System API: a table of functions with types, contexts and charges (`ic-facts.md` sections 2 and 4.6), and what
//! they do, by topic.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use candid::Principal;
use wasmparser::ValType as ParsedType;
use wasmtime::{Caller, Engine, FuncType, Global, Linker, Memory, Val, ValRaw, ValType};

use super::stable::StableMemory;
use super::system::{Context, System, Trap};
use crate::errors::ErrorCode;
use crate::limits::SLICE_INSTRUCTIONS_MAX;

mod calls;
mod cycles;
mod environment;
pub mod growth;
mod message;
mod stable;

pub use calls::abandon;

#[cfg(test)]
mod tests;

/// Most parameters of a function (`call_new`).
const PARAMETERS_MAX: usize = 8;
/// Instructions charged by functions that may wait outside of the counter; setting a global costs time.
const CHARGES_FOLDED: u64 = 1_000_000;

/// What the host keeps of a canister while its code runs.
pub struct State {
    /// Present during an execution.
    pub system: Option<System>,
    pub stable: StableMemory,
    pub memory: Option<Memory>,
    pub counter: Option<Global>,
    /// Instructions charged that are not in the counter yet.
    pub charged: u64,
    pub wasm64: bool,
    /// Calls performed in this execution, by callee.
    pub sent: BTreeMap<Principal, usize>,
    pub performs: u32,
    /// Bytes that this execution added to the log.
    pub logged_bytes: u64,
    /// Heaps grow without rules, as when an instance is restored.
    pub unruled: bool,
}

impl State {
    pub fn new(stable: StableMemory, wasm64: bool) -> Self {
        Self {
            system: None,
            stable,
            memory: None,
            counter: None,
            charged: 0,
            wasm64,
            sent: BTreeMap::new(),
            performs: 0,
            logged_bytes: 0,
            unruled: true,
        }
    }

    fn system(&mut self) -> &mut System {
        self.system.as_mut().expect("code runs within an execution")
    }
}

/// Why a function of the System API ends the execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    OutOfInstructions,
    Trap(Trap),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::OutOfInstructions => write!(f, "out of instructions"),
            Failure::Trap(trap) => write!(f, "{}", trap.message),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Failure::Trap(Trap { code, message: message.into(), log: None })
    }

    fn contract(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::CanisterContractViolation, format!("Canister violated contract: {message}"))
    }

    fn trapped(what: &str) -> Self {
        Self::new(ErrorCode::CanisterTrapped, format!("Canister trapped: {what}"))
    }
}

/// Makes the trap of a bulk operation that costs more than a slice.
pub fn slice_exceeded(instructions: u64) -> Trap {
    Trap {
        code: ErrorCode::CanisterInstructionLimitExceeded,
        message: format!(
            "Canister attempted to perform a large memory operation that used {instructions} instructions and \
             exceeded the slice limit {SLICE_INSTRUCTIONS_MAX}."
        ),
        log: None,
    }
}

type Run = fn(&mut Call) -> Result<u64, Failure>;

/// One function. Types: `P` address or size (i32, with 64-bit memories i64), `i` i32, `l` i64.
struct Function {
    name: &'static str,
    parameters: &'static str,
    result: &'static str,
    contexts: Contexts,
    /// Charged at each call, before anything else.
    instructions: u64,
    run: Run,
}

/// Contexts as a set of bits, and whether the function exists for 64-bit memories.
struct Contexts {
    allowed: u32,
    only_wasm32: bool,
}

/// Names of contexts as in the interface specification: I init and post_upgrade, G pre_upgrade, U update,
/// RQ replicated query, NRQ query, CQ composite query, Ry and Rt reply and reject callback, CRy and CRt those of
/// composite queries, C and CC cleanup, s start, F inspect_message, T task. `*` is all but s, `**` all; `32` is no
/// context but excludes 64-bit memories.
fn contexts(names: &str) -> Contexts {
    use Context::*;
    const ALL: [(&str, Context); 15] = [
        ("I", Init),
        ("G", PreUpgrade),
        ("U", Update),
        ("RQ", ReplicatedQuery),
        ("NRQ", Query),
        ("CQ", CompositeQuery),
        ("Ry", ReplyCallback),
        ("Rt", RejectCallback),
        ("CRy", CompositeReplyCallback),
        ("CRt", CompositeRejectCallback),
        ("C", Cleanup),
        ("CC", CompositeCleanup),
        ("s", Start),
        ("F", Inspect),
        ("T", Task),
    ];
    let every = ALL.iter().fold(0, |set, (_, context)| set | bit(*context));
    let mut contexts = Contexts { allowed: 0, only_wasm32: false };
    for name in names.split_whitespace() {
        match name {
            "32" => contexts.only_wasm32 = true,
            "*" => contexts.allowed |= every & !bit(Start),
            "**" => contexts.allowed |= every,
            _ => {
                let (_, context) = ALL.iter().find(|(known, _)| *known == name).expect("a context of the table");
                contexts.allowed |= bit(*context);
            }
        }
    }
    contexts
}

fn bit(context: Context) -> u32 {
    1 << context as u32
}

fn mode(context: Context) -> &'static str {
    match context {
        Context::Start => "start",
        Context::Init => "init",
        Context::PreUpgrade => "pre upgrade",
        Context::Update => "update",
        Context::ReplicatedQuery => "replicated query",
        Context::Query => "non replicated query",
        Context::CompositeQuery => "composite query",
        Context::ReplyCallback => "reply callback",
        Context::RejectCallback => "reject callback",
        Context::CompositeReplyCallback => "composite reply callback",
        Context::CompositeRejectCallback => "composite reject callback",
        Context::Cleanup => "cleanup",
        Context::CompositeCleanup => "composite cleanup",
        Context::Inspect => "inspect message",
        Context::Task => "system task",
    }
}

/// A row of the table: name, parameters, result, contexts, charge, body.
type Row = (&'static str, &'static str, &'static str, &'static str, u64, Run);

fn table() -> &'static BTreeMap<&'static str, Function> {
    static TABLE: OnceLock<BTreeMap<&'static str, Function>> = OnceLock::new();
    TABLE.get_or_init(|| {
        [message::ROWS, environment::ROWS, cycles::ROWS, calls::ROWS, stable::ROWS]
            .into_iter()
            .flatten()
            .map(|&(name, parameters, result, names, instructions, run)| {
                let contexts = contexts(names);
                (name, Function { name, parameters, result, contexts, instructions, run })
            })
            .collect()
    })
}

/// Tells whether a function of this name exists.
pub fn exists(name: &str) -> bool {
    table().contains_key(name)
}

/// Tells whether function `name` may be imported with this type.
pub fn accepts(name: &str, wasm64: bool, ty: &wasmparser::FuncType) -> bool {
    let Some(function) = table().get(name) else { return false };
    let same = |letters: &str, types: &[ParsedType]| {
        letters.len() == types.len()
            && letters
                .bytes()
                .zip(types)
                .all(|(letter, ty)| *ty == if is_wide(letter, wasm64) { ParsedType::I64 } else { ParsedType::I32 })
    };
    !(wasm64 && function.contexts.only_wasm32)
        && same(function.parameters, ty.params())
        && same(function.result, ty.results())
}

fn is_wide(letter: u8, wasm64: bool) -> bool {
    letter == b'l' || letter == b'P' && wasm64
}

/// Makes a linker that offers all functions to modules of one width.
pub fn linker(engine: &Engine, wasm64: bool) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    for function in table().values().filter(|function| !(wasm64 && function.contexts.only_wasm32)) {
        let types = |letters: &str| -> Vec<ValType> {
            letters.bytes().map(|l| if is_wide(l, wasm64) { ValType::I64 } else { ValType::I32 }).collect()
        };
        let ty = FuncType::new(engine, types(function.parameters), types(function.result));
        let body = move |caller: Caller<'_, State>, values: &mut [MaybeUninit<ValRaw>]| {
            invoke(function, wasm64, caller, values)
        };
        // SAFETY: `invoke` reads as many values, and of such types, as `ty` has parameters, and writes its result.
        unsafe { linker.func_new_unchecked("ic0", function.name, ty, body)? };
    }
    Ok(linker)
}

fn invoke(
    function: &Function,
    wasm64: bool,
    caller: Caller<'_, State>,
    values: &mut [MaybeUninit<ValRaw>],
) -> wasmtime::Result<()> {
    let mut arguments = [0; PARAMETERS_MAX];
    for ((argument, letter), value) in arguments.iter_mut().zip(function.parameters.bytes()).zip(values.iter()) {
        // SAFETY: the caller initialised as many values as there are parameters.
        let value = unsafe { value.assume_init_ref() };
        *argument = if is_wide(letter, wasm64) { value.get_u64() } else { value.get_u32().into() };
    }
    let mut call = Call { name: function.name, caller, arguments };
    let run = |call: &mut Call| {
        let context = call.system().context;
        if function.contexts.allowed & bit(context) == 0 {
            let (name, mode) = (function.name, mode(context));
            return Err(Failure::contract(format_args!("\"ic0_{name}\" cannot be executed in {mode} mode")));
        }
        call.charge(function.instructions)?;
        (function.run)(call)
    };
    let result = run(&mut call).map_err(wasmtime::Error::new)?;
    if let Some(letter) = function.result.bytes().next() {
        let result = if is_wide(letter, wasm64) { ValRaw::u64(result) } else { ValRaw::u32(result as u32) };
        values[0].write(result);
    }
    Ok(())
}

/// One call of a function: its arguments, and access to heap and state.
struct Call<'a> {
    name: &'static str,
    caller: Caller<'a, State>,
    arguments: [u64; PARAMETERS_MAX],
}

impl Call<'_> {
    fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    fn system(&mut self) -> &mut System {
        self.state().system()
    }

    /// Charges instructions.
    fn charge(&mut self, instructions: u64) -> Result<(), Failure> {
        let state = self.caller.data_mut();
        state.charged += instructions;
        if state.charged < CHARGES_FOLDED {
            return Ok(());
        }
        let charged = std::mem::take(&mut state.charged);
        let counter = state.counter.expect("instrumented code has a counter");
        let left = counter.get(&mut self.caller).unwrap_i64().saturating_sub_unsigned(charged);
        counter.set(&mut self.caller, Val::I64(left)).expect("the counter is a mutable i64");
        if left < 0 { Err(Failure::OutOfInstructions) } else { Ok(()) }
    }

    /// Charges `each` instructions for every byte; one call may not cost more than a slice.
    fn charge_bytes(&mut self, bytes: u64, each: u64) -> Result<(), Failure> {
        let instructions = bytes.saturating_mul(each);
        if instructions > SLICE_INSTRUCTIONS_MAX {
            return Err(Failure::Trap(slice_exceeded(instructions)));
        }
        self.charge(instructions)
    }

    /// Returns what was used so far, with the block that runs.
    fn instructions(&mut self) -> u64 {
        let (charged, max) = (self.state().charged, self.system().instructions_max);
        let counter = self.state().counter.expect("instrumented code has a counter");
        let left = counter.get(&mut self.caller).unwrap_i64().saturating_sub_unsigned(charged);
        (max as i64).saturating_sub(left).max(0) as u64
    }

    /// Returns the heap and the state; without a memory the heap is empty.
    fn parts(&mut self) -> (&mut [u8], &mut State) {
        match self.caller.data().memory {
            Some(memory) => memory.data_and_store_mut(&mut self.caller),
            None => (&mut [], self.caller.data_mut()),
        }
    }

    /// Copies bytes out of the heap. Their number is bounded by the heap, and charged before.
    fn read(&mut self, address: u64, bytes: u64) -> Result<Vec<u8>, Failure> {
        let range = range(address, bytes).ok_or_else(|| Failure::trapped("heap out of bounds"))?;
        self.parts().0.get(range).map(<[u8]>::to_vec).ok_or_else(|| Failure::trapped("heap out of bounds"))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Failure> {
        copy(self.parts().0, address, bytes)
    }

    /// Writes an amount of cycles, 16 bytes.
    fn write_amount(&mut self, address: u64, amount: u128) -> Result<(), Failure> {
        self.write(address, &amount.to_le_bytes())
    }

    /// Copies part of a value to the heap: the arguments from `first` on are address, offset in the value, bytes.
    fn copy_out(&mut self, first: usize, value: impl FnOnce(&System) -> &[u8]) -> Result<u64, Failure> {
        let part = self.charge_copy(first)?;
        let name = self.name;
        let (heap, state) = self.parts();
        copy_part(name, heap, part, value(state.system()))
    }

    /// As `copy_out`, of a value at hand.
    fn copy_value(&mut self, first: usize, value: &[u8]) -> Result<u64, Failure> {
        let part = self.charge_copy(first)?;
        let name = self.name;
        copy_part(name, self.parts().0, part, value)
    }

    fn charge_copy(&mut self, first: usize) -> Result<[u64; 3], Failure> {
        let part = [0, 1, 2].map(|index| self.arguments[first + index]);
        self.charge_bytes(part[2], 1)?;
        Ok(part)
    }

    /// Reads a principal; `address` and `bytes` are charged by the caller.
    fn read_principal(&mut self, address: u64, bytes: u64) -> Result<Principal, Failure> {
        let bytes = self.read(address, bytes)?;
        Principal::try_from_slice(&bytes).map_err(|_| {
            Failure::contract(format_args!("ic0.{}: a principal of {} bytes is invalid", self.name, bytes.len()))
        })
    }
}

fn copy_part(name: &str, heap: &mut [u8], part: [u64; 3], value: &[u8]) -> Result<u64, Failure> {
    let [address, offset, bytes] = part;
    let part = range(offset, bytes).and_then(|range| value.get(range)).ok_or_else(|| {
        Failure::contract(format_args!(
            "ic0.{name} payload: offset {offset} + size {bytes} exceeds the payload size {}",
            value.len()
        ))
    })?;
    copy(heap, address, part)?;
    Ok(0)
}

fn copy(heap: &mut [u8], address: u64, bytes: &[u8]) -> Result<(), Failure> {
    range(address, bytes.len() as u64)
        .and_then(|range| heap.get_mut(range))
        .ok_or_else(|| Failure::trapped("heap out of bounds"))?
        .copy_from_slice(bytes);
    Ok(())
}

fn range(offset: u64, bytes: u64) -> Option<std::ops::Range<usize>> {
    Some(offset.try_into().ok()?..offset.checked_add(bytes)?.try_into().ok()?)
}
