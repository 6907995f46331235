//! One canister.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use candid::Principal;
use ic_management_canister_types::Change;

use crate::limits::GIB;
use crate::replica::certification::tree::Tree;
use crate::replica::state::log::LOG_BYTES_DEFAULT;
use crate::replica::state::{
    CallContext, Callback, CallbackId, CanisterLog, ChunkStore, ContextId, CyclesAccount, ManagementCall, Queues,
    Snapshot, Totals, Visibility,
};
use crate::wasm::system::{Executed, System};
use crate::wasm::{Module, Runtime};

/// Seconds of idle burn that freeze a canister, unless set.
const FREEZING_THRESHOLD_SECONDS_DEFAULT: u64 = 2_592_000;
const RESERVED_CYCLES_LIMIT_DEFAULT: u128 = 5_000_000_000_000;
const WASM_MEMORY_LIMIT_BYTES_DEFAULT: u64 = 3 * GIB;

/// What controllers set.
#[derive(Clone, Debug)]
pub struct Settings {
    pub controllers: BTreeSet<Principal>,
    pub compute_allocation_percent: u64,
    pub memory_allocation_bytes: u64,
    pub freezing_threshold_seconds: u64,
    pub reserved_cycles_limit: u128,
    pub log_visibility: Visibility,
    pub log_memory_limit_bytes: u64,
    pub snapshot_visibility: Visibility,
    pub status_visibility: Visibility,
    /// 0: no limit.
    pub wasm_memory_limit_bytes: u64,
    pub wasm_memory_threshold_bytes: u64,
    pub minimum_incoming_call_cycles: u128,
    pub environment: BTreeMap<String, String>,
}

impl Settings {
    /// Returns the platform's defaults.
    pub fn new(controllers: BTreeSet<Principal>) -> Self {
        Self {
            controllers,
            compute_allocation_percent: 0,
            memory_allocation_bytes: 0,
            freezing_threshold_seconds: FREEZING_THRESHOLD_SECONDS_DEFAULT,
            reserved_cycles_limit: RESERVED_CYCLES_LIMIT_DEFAULT,
            log_visibility: Visibility::Controllers,
            log_memory_limit_bytes: LOG_BYTES_DEFAULT,
            snapshot_visibility: Visibility::Controllers,
            status_visibility: Visibility::Controllers,
            wasm_memory_limit_bytes: WASM_MEMORY_LIMIT_BYTES_DEFAULT,
            wasm_memory_threshold_bytes: 0,
            minimum_incoming_call_cycles: 0,
            environment: BTreeMap::new(),
        }
    }
}

/// A `stop_canister` call that waits.
#[derive(Clone, Debug)]
pub struct StopWaiter {
    pub call: ManagementCall,
    pub since_nanos: u64,
}

#[derive(Clone, Debug, Default)]
pub enum Status {
    #[default]
    Running,
    Stopping {
        waiters: Vec<StopWaiter>,
    },
    Stopped,
}

impl Status {
    /// Returns the number that `ic0.canister_status` gives.
    pub fn number(&self) -> u32 {
        match self {
            Status::Running => 1,
            Status::Stopping { .. } => 2,
            Status::Stopped => 3,
        }
    }
}

/// Installed code with its memories.
pub struct Code {
    pub module: Arc<Module>,
    pub runtime: Runtime,
    /// As uploaded, perhaps zipped; `module_hash` is its SHA-256.
    pub wasm: Arc<Vec<u8>>,
    pub module_hash: [u8; 32],
    /// Its metadata in the state tree, once somebody asked for a certificate.
    pub metadata: OnceCell<Tree>,
}

/// Calls to the canister by query, for its status.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryStats {
    pub calls: u64,
    pub instructions: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// One canister with everything it owns.
pub struct Canister {
    pub id: Principal,
    pub settings: Settings,
    pub account: CyclesAccount,
    pub status: Status,
    pub code: Option<Code>,
    pub certified_data: Vec<u8>,
    /// None: inactive.
    pub global_timer_nanos: Option<u64>,
    pub version: u64,
    /// The newest changes (bounded by the management canister), and how many there ever were.
    pub history: VecDeque<Change>,
    pub history_total: u64,
    pub log: CanisterLog,
    pub chunk_store: ChunkStore,
    pub snapshots: BTreeMap<Vec<u8>, Snapshot>,
    pub snapshots_taken: u64,
    pub query_stats: QueryStats,

    pub queues: Queues,
    pub contexts: BTreeMap<ContextId, CallContext>,
    pub callbacks: BTreeMap<CallbackId, Callback>,
    pub next_context: u64,
    pub next_callback: u64,
    /// Open callbacks per callee, for the 500 slots. INVARIANT: equals the counts in `callbacks`.
    pub outstanding: Arc<BTreeMap<Principal, usize>>,

    /// Bytes of heap and stable memory written above what rounds allow; the canister waits until it is 0.
    pub heap_delta_debit_bytes: u64,
    /// Instructions of install_code above what rounds allow.
    pub install_debit_instructions: u64,
    /// The low-memory hook has not run since memory was last ample.
    pub low_memory_hook_armed: bool,
    /// Tasks due at the next chance, in order.
    pub tasks: VecDeque<Task>,
    /// A message whose execution takes more rounds.
    pub long_execution: Option<Box<LongExecution>>,
    /// An installation whose execution takes more rounds; the canister does nothing else meanwhile.
    pub installation: Option<Box<crate::replica::management::Installation>>,
    /// Time up to which storage and compute are paid.
    pub charged_until_nanos: u64,
    /// Last round in which the canister had its turn; those who waited longest come first.
    pub last_round: u64,
    /// Its part of the subnet's totals when it was last counted.
    pub counted: Totals,
    /// Of the last message, kept while settings stay as they are.
    pub identity: Option<Arc<crate::wasm::system::Identity>>,
}

/// Work that no message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    Heartbeat,
    GlobalTimer,
    LowMemory,
}

/// A message that runs in slices: run again in its last round, from the same surroundings.
pub struct LongExecution {
    pub rounds_left: u64,
    /// In which it had its last slice.
    pub last_round: u64,
    /// Prepared when it began.
    pub prepared: crate::replica::execution::Prepared,
    /// How it will fail, known from its first run; one that succeeds is run again.
    pub failure: Option<Box<(System, Executed)>>,
}

impl Canister {
    /// Makes an empty canister at `now_nanos`.
    pub fn new(id: Principal, settings: Settings, now_nanos: u64) -> Self {
        Self {
            id,
            settings,
            account: CyclesAccount::default(),
            status: Status::Running,
            code: None,
            certified_data: Vec::new(),
            global_timer_nanos: None,
            version: 0,
            history: VecDeque::new(),
            history_total: 0,
            log: CanisterLog::default(),
            chunk_store: ChunkStore::default(),
            snapshots: BTreeMap::new(),
            snapshots_taken: 0,
            query_stats: QueryStats::default(),
            queues: Queues::default(),
            contexts: BTreeMap::new(),
            callbacks: BTreeMap::new(),
            next_context: 1,
            next_callback: 1,
            outstanding: Arc::default(),
            heap_delta_debit_bytes: 0,
            install_debit_instructions: 0,
            low_memory_hook_armed: true,
            tasks: VecDeque::new(),
            long_execution: None,
            installation: None,
            charged_until_nanos: now_nanos,
            last_round: 0,
            counted: Totals::default(),
            identity: None,
        }
    }

    pub fn is_controller(&self, principal: &Principal) -> bool {
        self.settings.controllers.contains(principal)
    }

    /// Bytes of heap and stable memory.
    pub fn execution_bytes(&self) -> u64 {
        self.code.as_ref().map_or(0, |code| {
            code.runtime.heap_bytes() + code.runtime.stable().size_pages() * crate::limits::WASM_PAGE_BYTES
        })
    }

    /// All bytes that the canister pays for: memories, module, chunks, snapshots, history, certified data.
    pub fn memory_bytes(&self) -> u64 {
        let code = self.code.as_ref().map_or(0, |code| code.module.wasm_bytes() + code.module.custom_section_bytes());
        self.execution_bytes()
            + code
            + self.chunk_store.bytes()
            + self.snapshots.values().map(|snapshot| snapshot.bytes).sum::<u64>()
            + self.history_bytes()
    }

    /// Bytes of the kept history, for the status and for storage.
    pub fn history_bytes(&self) -> u64 {
        self.history.len() as u64 * std::mem::size_of::<Change>() as u64
    }

    /// Bytes for which the canister pays: the allocation, or more if it uses more.
    pub fn charged_bytes(&self) -> u64 {
        self.memory_bytes().max(self.settings.memory_allocation_bytes)
    }

    /// Bytes reserved for responses: of own guaranteed calls, and to guaranteed calls of others.
    pub fn guaranteed_bytes(&self) -> u64 {
        let sent = self.callbacks.values().filter(|callback| callback.deadline_seconds.is_none()).count();
        let received = self.contexts.values().filter(|context| context.owes_guaranteed_response()).count();
        (sent + received) as u64 * crate::limits::REPLY_BYTES_MAX
    }

    /// Counts a new callback to `callee`.
    pub fn add_outstanding(&mut self, callee: Principal) {
        *Arc::make_mut(&mut self.outstanding).entry(callee).or_insert(0) += 1;
    }

    /// Counts a callback to `callee` as gone.
    pub fn remove_outstanding(&mut self, callee: &Principal) {
        let outstanding = Arc::make_mut(&mut self.outstanding);
        let count = outstanding.get_mut(callee).expect("each callback was counted");
        *count -= 1;
        if *count == 0 {
            outstanding.remove(callee);
        }
    }

    /// In the midst of a message or an installation that takes several rounds.
    pub fn is_occupied(&self) -> bool {
        self.long_execution.is_some() || self.installation.is_some()
    }

    /// No open call in either direction and nothing queued to or from it.
    pub fn is_quiet(&self) -> bool {
        self.contexts.is_empty() && self.callbacks.is_empty() && !self.is_occupied()
    }
}
