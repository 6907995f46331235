//! A canister on its own, for tests of this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;

use super::engine::{Engine, STACK_BYTES};
use super::heap::Tracking;
use super::runtime::Runtime;
use super::stable::StableMemory;
use super::system::*;
use crate::cycles::{Fees, IdleBurn, SubnetMemory};
use crate::limits::*;

pub const MACHINE: &str = include_str!("../../../tests/conformance/canisters/machine.wat");
pub const BALANCE: u128 = 100_000_000_000_000;

/// Both ways of finding dirty pages, as far as this system has them.
pub fn engines() -> Vec<Engine> {
    let mut ways = vec![Tracking::detect(), Tracking::Compare];
    ways.dedup();
    ways.into_iter().map(Engine::new).collect()
}

/// Runs a test on a thread whose stack suffices for code.
pub fn on_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

pub fn canister_id() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1])
}

/// Surroundings of a message in `context`, with plenty of everything.
pub fn system(context: Context) -> System {
    let is_query = matches!(context, Context::Query | Context::CompositeQuery);
    System {
        context,
        identity: Arc::new(Identity {
            canister_id: canister_id(),
            subnet_id: Principal::from_slice(&[9; 29]),
            controllers: vec![Principal::from_slice(&[3; 29])],
            environment: BTreeMap::from([("HOME".to_string(), "here".to_string())]),
            root_key: Arc::new(vec![5; 133]),
        }),
        fees: Fees { nodes: 13, free: false },
        time_nanos: 1_000,
        status: 1,
        canister_version: 4,
        node_count: 13,
        caller: Principal::from_slice(&[3; 29]),
        argument: vec![],
        reject: matches!(context, Context::RejectCallback).then(|| (5, "no".to_string())),
        deadline_nanos: 0,
        method_name: Some("name".into()),
        data_certificate: is_query.then(|| vec![1, 2, 3]),
        context_instructions: 10_000,
        account: Account {
            balance: BALANCE,
            reserved_limit: BALANCE,
            idle: IdleBurn { memory_bytes: 1 << 20, ..IdleBurn::default() },
            freezing_threshold_seconds: 2_592_000,
            available: 500,
            refunded: 20,
            ..Account::default()
        },
        memory: MemoryRules {
            subnet: SubnetMemory { used_bytes: 0, bytes_max: 2048 * GIB, reservation_threshold_bytes: 750 * GIB },
            wasm_memory_limit_bytes: None,
            memory_allocation_bytes: 0,
            stable_bytes_per_message_max: 2 * GIB,
            charge_dirty_pages: !is_query,
        },
        faults: ExecutionFaults::default(),
        instructions_max: if is_query { QUERY_INSTRUCTIONS_MAX } else { UPDATE_INSTRUCTIONS_MAX },
        callback_instructions_max: UPDATE_INSTRUCTIONS_MAX,
        reply_bytes_max: if is_query { QUERY_REPLY_BYTES_MAX } else { REPLY_BYTES_MAX },
        outstanding: Arc::new(BTreeMap::new()),
        callbacks_left: 1_000,
        guaranteed_bytes_left: 15 * GIB,
        already_answered: false,
        answer_bytes: vec![],
        answer: None,
        building: None,
        calls: vec![],
        accepted_message: false,
        certified_data: None,
        global_timer_nanos: None,
        previous_timer_nanos: 0,
        printed: vec![],
    }
}

/// A runtime with the ways in which tests use it.
pub struct Canister {
    pub runtime: Runtime,
}

impl Canister {
    pub fn new(engine: &Engine, wat: &str) -> Self {
        let wasm = wat::parse_str(wat).expect("a module in text");
        let (module, _) = engine.compile(&wasm).unwrap_or_else(|trap| panic!("{}", trap.message));
        Self { runtime: Runtime::new(module, StableMemory::new()).expect("instantiates") }
    }

    pub fn machine(engine: &Engine) -> Self {
        let mut text = MACHINE.to_string();
        for callback in ["on_reply", "on_reject", "on_cleanup_cb"] {
            text = text.replace(&format!("@{callback}@"), &opcode(callback).to_string());
        }
        Self::new(engine, &text)
    }

    /// Runs an exported function; what it changed stays pending.
    pub fn run(&mut self, export: &str, system: System) -> (System, Executed) {
        self.runtime.execute(&Entry::Export(export.into()), system)
    }

    /// Runs a program of the machine as an update, committed if it succeeds.
    pub fn update(&mut self, program: &P) -> (System, Executed) {
        let system = System { argument: program.0.clone(), ..system(Context::Update) };
        let done = self.run("canister_update update", system);
        self.runtime.commit();
        done
    }

    /// Runs a program of the machine as a query and returns its reply as numbers.
    pub fn query(&mut self, program: &P) -> Vec<u64> {
        let system = System { argument: program.0.clone(), ..system(Context::Query) };
        let (system, executed) = self.run("canister_query query", system);
        self.runtime.rollback();
        assert_eq!(executed.result, Ok(()));
        numbers(&system)
    }
}

/// Returns the message of a failed execution.
pub fn message(executed: &Executed) -> String {
    executed.result.clone().expect_err("a trap").message
}

/// Returns the reply as numbers of eight bytes.
pub fn numbers(system: &System) -> Vec<u64> {
    let Some(Answer::Reply(bytes)) = &system.answer else { panic!("a reply, not {:?}", system.answer) };
    bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
}

fn opcode(name: &str) -> u8 {
    let list = MACHINE.split("(table funcref (elem").nth(1).expect("the table of opcodes");
    let list = &list[..list.find("))").expect("the end of the table")];
    let names = list.lines().map(|line| line.split(";;").next().unwrap_or("")).flat_map(str::split_whitespace);
    let table: BTreeMap<&str, u8> =
        names.enumerate().map(|(index, name)| (name.trim_start_matches('$'), index as u8)).collect();
    *table.get(name).unwrap_or_else(|| panic!("no opcode {name}"))
}

/// A program of the machine, made of words: opcodes, numbers (`#5`), texts (`'abc`).
#[derive(Clone, Debug, Default)]
pub struct P(pub Vec<u8>);

pub fn p(words: &str) -> P {
    let mut program = P::default();
    for word in words.split_whitespace() {
        program = match word.split_at(1) {
            ("#", number) => program.number(number.parse().expect("a number")),
            ("'", text) => program.blob(text.as_bytes()),
            _ => program.op(word),
        };
    }
    program
}

impl P {
    pub fn op(mut self, name: &str) -> P {
        self.0.push(opcode(name));
        self
    }

    pub fn number(mut self, number: u64) -> P {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub fn blob(mut self, bytes: &[u8]) -> P {
        self.0.extend((bytes.len() as u32).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    pub fn then(mut self, words: &str) -> P {
        self.0.extend(p(words).0);
        self
    }
}
