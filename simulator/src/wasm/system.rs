//! What one execution sees of its surroundings and what it asks of them: the data behind ic0.
//!
//! The replica fills a [`System`], `wasm::Runtime::execute` runs code against it and hands it back changed, and the
//! replica applies what it asks for (calls, reply, cycles) if the execution succeeded, or throws it away.
//! Instructions and dirty pages are reported either way.

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;

use crate::chance::Fault;
use crate::cycles::{Fees, IdleBurn, SubnetMemory};

/// The contexts of the interface specification; ic0 functions are allowed by context (`ic-facts.md` section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    Start,
    /// `canister_init` and `canister_post_upgrade`.
    Init,
    PreUpgrade,
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    Cleanup,
    CompositeCleanup,
    Inspect,
    /// Heartbeat, global timer, low-memory hook.
    Task,
}

/// Which code to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The module's start function, if it has one.
    Start,
    /// An exported function such as `canister_init`, `canister_update put`.
    Export(String),
    /// A function of the table, of type (env) -> ().
    Closure(Closure),
}

/// A callback as given to `call_new` or `call_on_cleanup`. Indexes are 64 bits wide for memory64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closure {
    pub function: u64,
    pub env: u64,
}

/// What a canister says of itself, constant during a message.
#[derive(Clone, Debug)]
pub struct Identity {
    pub canister_id: Principal,
    pub subnet_id: Principal,
    pub controllers: Vec<Principal>,
    pub environment: BTreeMap<String, String>,
    /// DER form.
    pub root_key: Arc<Vec<u8>>,
}

/// Cycles during a message. INVARIANT: sums are checked; nothing is created here but by `received`.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Main balance, prepayments of this message already withdrawn.
    pub balance: u128,
    pub reserved: u128,
    /// Limit of `reserved` (setting `reserved_cycles_limit`).
    pub reserved_limit: u128,
    pub freezing_threshold_seconds: u64,
    /// `memory_bytes` follows growth during the message.
    pub idle: IdleBurn,
    /// Cycles of the call that can still be accepted.
    pub available: u128,
    /// Accepted in this message.
    pub accepted: u128,
    /// Refunded with the response whose callback runs.
    pub refunded: u128,
    pub burned: u128,
}

/// Memory rules of a message.
#[derive(Clone, Copy, Debug)]
pub struct MemoryRules {
    /// What the subnet has for all canisters; its use follows growth during the message.
    pub subnet: SubnetMemory,
    /// Setting `wasm_memory_limit` where it is enforced at the end of this kind of message, else None.
    pub wasm_memory_limit_bytes: Option<u64>,
    /// Growth up to the memory allocation is already paid; beyond it nothing grows. 0: no allocation.
    pub memory_allocation_bytes: u64,
    /// Stable pages dirtied (and accessed) per message at most, in bytes.
    pub stable_bytes_per_message_max: u64,
    /// Heap pages dirtied are charged to this kind of message.
    pub charge_dirty_pages: bool,
}

/// Deviations on purpose, drawn from the seed; all off by default.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFaults {
    /// `call_perform` fails at its n-th use in this message (counted from 0).
    pub fail_call_perform: Option<u32>,
    /// `stable_grow` answers -1.
    pub fail_stable_grow: bool,
    /// `stable_grow` traps, as when cycles are short.
    pub trap_stable_grow: bool,
    /// `instructions_max` was lowered.
    pub fewer_instructions: bool,
    /// Those that the code ran into.
    pub hit: Vec<Fault>,
}

/// A call under construction, or performed.
#[derive(Clone, Debug)]
pub struct OutgoingCall {
    pub callee: Vec<u8>,
    pub method: String,
    pub argument: Vec<u8>,
    pub cycles: u128,
    pub reply: Closure,
    pub reject: Closure,
    pub cleanup: Option<Closure>,
    /// None: guaranteed response. Clipped to 300.
    pub timeout_seconds: Option<u32>,
    /// Withdrawn by `call_perform` for response and callback, part of it comes back with the response.
    pub prepaid_response: u128,
    pub prepaid_callback: u128,
    /// Charged for the request itself.
    pub request_fee: u128,
}

/// How a message answered its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Reply(Vec<u8>),
    Reject(String),
}

/// Everything behind ic0 during one execution.
#[derive(Clone, Debug)]
pub struct System {
    pub context: Context,
    pub identity: Arc<Identity>,
    pub fees: Fees,
    pub time_nanos: u64,
    /// 1 running, 2 stopping, 3 stopped.
    pub status: u32,
    pub canister_version: u64,
    /// 13 on an application subnet; fees scale with it.
    pub node_count: u32,

    pub caller: Principal,
    /// Argument of the message, or data of the reply in a reply callback.
    pub argument: Vec<u8>,
    /// Code and message of the response in a reject callback.
    pub reject: Option<(u32, String)>,
    /// Nanoseconds; 0 for guaranteed response and ingress.
    pub deadline_nanos: u64,
    /// Of inspect_message.
    pub method_name: Option<String>,
    /// Only in non-replicated queries.
    pub data_certificate: Option<Vec<u8>>,
    /// Instructions that earlier messages of the call context used (`performance_counter(1)`).
    pub context_instructions: u64,

    pub account: Account,
    pub memory: MemoryRules,
    pub faults: ExecutionFaults,
    /// Of one message of this kind.
    pub instructions_max: u64,
    /// Of the callback of a call (for prepayment).
    pub callback_instructions_max: u64,
    pub reply_bytes_max: u64,
    /// Calls outstanding per callee, for the 500 slots. Management canister under its own id, all aliases together.
    pub outstanding: Arc<BTreeMap<Principal, usize>>,
    /// Callbacks that may still be opened.
    pub callbacks_left: usize,
    /// Bytes left for guaranteed-response messages on the subnet.
    pub guaranteed_bytes_left: u64,

    /// The call was answered by an earlier message of its context.
    pub already_answered: bool,
    pub answer_bytes: Vec<u8>,
    pub answer: Option<Answer>,
    pub building: Option<OutgoingCall>,
    pub calls: Vec<OutgoingCall>,
    pub accepted_message: bool,
    pub certified_data: Option<Vec<u8>>,
    pub global_timer_nanos: Option<u64>,
    /// The value that `global_timer_set` returns as the previous one.
    pub previous_timer_nanos: u64,
    /// Lines of debug_print, in order. A trap's line is added by the replica.
    pub printed: Vec<Vec<u8>>,
}

/// Why an execution failed. The replica adds `Error from Canister <id>: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    pub code: crate::errors::ErrorCode,
    pub message: String,
    /// Bytes of the canister's own trap message, for its log.
    pub log: Option<Vec<u8>>,
}

/// What an execution cost and left.
#[derive(Clone, Debug)]
pub struct Executed {
    pub result: Result<(), Trap>,
    /// With dirty heap pages where they are charged; never above the limit of the message.
    pub instructions: u64,
    pub heap_pages_dirtied: u64,
    pub stable_pages_dirtied: u64,
    /// Heap bytes after the execution (before any roll-back).
    pub heap_bytes: u64,
    pub stable_bytes: u64,
}
