//! The benchmark canister: built, and run in the simulator's Wasm runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use candid::Principal;
use canopy_simulator::cycles::{Fees, IdleBurn, SubnetMemory};
use canopy_simulator::limits::{BENCHMARKING_INSTRUCTIONS_MAX, GIB, REPLY_BYTES_MAX};
use canopy_simulator::wasm::system::{Account, Answer, Context, Entry, ExecutionFaults, Identity, MemoryRules, System};
use canopy_simulator::wasm::{Engine, Module, Runtime, StableMemory};

const TARGET: &str = "wasm32-unknown-unknown";
const CYCLES: u128 = 1_000_000_000_000_000_000;

/// Builds the canister with the profile of the real ones, or takes the module that `CANOPY_BENCH_WASM` names.
pub fn module() -> Arc<Module> {
    let path = std::env::var_os("CANOPY_BENCH_WASM").map_or_else(build, PathBuf::from);
    let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let compiled = Engine::shared().compile(&wasm);
    compiled.unwrap_or_else(|trap| panic!("{}", trap.message)).0
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let target = root.join("target").join("bench-canister");
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--quiet", "--profile", "canister", "--target", TARGET, "--package", "canopy-bench-canister"])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap_or_else(|error| panic!("cargo can't be started: {error}"));
    assert!(status.success(), "the benchmark canister can't be built");
    target.join(TARGET).join("canister").join("canopy_bench_canister.wasm")
}

/// What to do; see the canister's `Command`.
#[derive(Clone, Copy)]
pub enum Operation {
    CreateStore = 0,
    CreateMap = 1,
    Grow = 2,
    Keys = 3,
    Put = 4,
    Get = 5,
    OverwriteSameSize = 6,
    OverwriteOtherSize = 7,
    Delete = 8,
    Sweep = 9,
    PutEqualHash = 10,
    Open = 11,
}

/// What a message used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// By `performance_counter`, of the loop alone.
    pub instructions: u64,
    pub steps: u64,
    pub stable_pages: u64,
}

/// One instance of the canister.
pub struct Canister {
    runtime: Runtime,
}

impl Canister {
    /// An instance with empty memories.
    pub fn new(module: &Arc<Module>) -> Canister {
        let runtime =
            Runtime::new(module.clone(), StableMemory::new()).unwrap_or_else(|trap| panic!("{}", trap.message));
        Canister { runtime }
    }

    /// Runs one message.
    pub fn run(&mut self, operation: Operation, first: u64, count: u64, value_bytes: u64, records: u64) -> Used {
        let argument = [operation as u64, first, count, value_bytes, records];
        let argument = argument.iter().flat_map(|number| number.to_le_bytes()).collect();
        let entry = Entry::Export("canister_update bench".to_string());
        let (system, executed) = self.runtime.execute(&entry, system(argument));
        if let Err(trap) = &executed.result {
            panic!("{trap:?} {:?}", system.printed);
        }
        self.runtime.commit();
        let Some(Answer::Reply(reply)) = system.answer else { panic!("no reply") };
        let number = |at: usize| u64::from_le_bytes(reply[at..at + 8].try_into().expect("eight bytes"));
        Used { instructions: number(0), steps: number(8), stable_pages: executed.stable_pages_dirtied }
    }
}

/// The surroundings of an update message that lacks nothing.
fn system(argument: Vec<u8>) -> System {
    let principal = Principal::from_slice(&[1; 29]);
    System {
        context: Context::Update,
        identity: Arc::new(Identity {
            canister_id: Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1]),
            subnet_id: principal,
            controllers: vec![principal],
            environment: BTreeMap::new(),
            root_key: Arc::new(Vec::new()),
        }),
        fees: Fees { nodes: 13, free: true },
        time_nanos: 1,
        status: 1,
        canister_version: 1,
        node_count: 13,
        caller: principal,
        argument,
        reject: None,
        deadline_nanos: 0,
        method_name: None,
        data_certificate: None,
        context_instructions: 0,
        account: Account { balance: CYCLES, reserved_limit: CYCLES, idle: IdleBurn::default(), ..Account::default() },
        memory: MemoryRules {
            subnet: SubnetMemory { used_bytes: 0, bytes_max: 2_048 * GIB, reservation_threshold_bytes: 2_048 * GIB },
            wasm_memory_limit_bytes: None,
            memory_allocation_bytes: 0,
            stable_bytes_per_message_max: 8 * GIB,
            charge_dirty_pages: true,
        },
        faults: ExecutionFaults::default(),
        instructions_max: BENCHMARKING_INSTRUCTIONS_MAX,
        callback_instructions_max: BENCHMARKING_INSTRUCTIONS_MAX,
        reply_bytes_max: REPLY_BYTES_MAX,
        outstanding: Arc::new(BTreeMap::new()),
        callbacks_left: 0,
        guaranteed_bytes_left: GIB,
        already_answered: false,
        answer_bytes: Vec::new(),
        answer: None,
        building: None,
        calls: Vec::new(),
        accepted_message: false,
        certified_data: None,
        global_timer_nanos: None,
        previous_timer_nanos: 0,
        printed: Vec::new(),
    }
}
