//! What code sees of canister and subnet: filling a [`System`], with the limits of its context.

use std::sync::Arc;

use candid::Principal;

use crate::limits::*;
use crate::replica::state::*;
use crate::wasm::system::*;

/// Share of a callback's instructions that is kept for its cleanup.
const CLEANUP_PERCENT: u64 = 5;
const QUERY_STABLE_BYTES_MAX: u64 = GIB;
const UPDATE_STABLE_BYTES_MAX: u64 = 2 * GIB;
const INSTALL_STABLE_BYTES_MAX: u64 = 8 * GIB;

/// Fills a [`System`] for `canister` in `context`, without message, caller and cycles of a call. The balance is the
/// whole balance: the caller withdraws the prepayment first. Also for the management canister's install steps.
pub fn system_for(surroundings: &Surroundings, canister: &Canister, context: Context) -> System {
    let config = &surroundings.config;
    let settings = &canister.settings;
    let identity = match &canister.identity {
        Some(identity) if identity_is_current(identity, settings) => identity.clone(),
        _ => Arc::new(make_identity(config, canister)),
    };
    let own_callbacks = canister.callbacks.len();
    let callbacks_left = CALLBACKS_PER_CANISTER.saturating_sub(own_callbacks).max(surroundings.callbacks_left);
    System {
        context,
        identity,
        fees: config.fees,
        time_nanos: surroundings.time_nanos,
        status: canister.status.number(),
        canister_version: canister.version,
        node_count: config.nodes,
        caller: Principal::management_canister(),
        argument: Vec::new(),
        reject: None,
        deadline_nanos: 0,
        method_name: None,
        data_certificate: None,
        context_instructions: 0,
        account: Account {
            balance: canister.account.balance,
            reserved: canister.account.reserved,
            reserved_limit: settings.reserved_cycles_limit,
            freezing_threshold_seconds: settings.freezing_threshold_seconds,
            idle: canister.idle(),
            ..Account::default()
        },
        memory: memory_rules(surroundings, settings, context),
        faults: ExecutionFaults::default(),
        instructions_max: instructions_max(&config.limits, context),
        callback_instructions_max: config.limits.update,
        reply_bytes_max: match context {
            Context::Query
            | Context::CompositeQuery
            | Context::CompositeReplyCallback
            | Context::CompositeRejectCallback => QUERY_REPLY_BYTES_MAX,
            _ => REPLY_BYTES_MAX,
        },
        outstanding: canister.outstanding.clone(),
        callbacks_left,
        guaranteed_bytes_left: surroundings.guaranteed_bytes_left,
        already_answered: false,
        answer_bytes: Vec::new(),
        answer: None,
        building: None,
        calls: Vec::new(),
        accepted_message: false,
        certified_data: None,
        global_timer_nanos: None,
        previous_timer_nanos: canister.global_timer_nanos.unwrap_or(0),
        printed: Vec::new(),
    }
}

fn identity_is_current(identity: &Identity, settings: &Settings) -> bool {
    identity.controllers.iter().eq(&settings.controllers) && identity.environment == settings.environment
}

fn make_identity(config: &SubnetConfig, canister: &Canister) -> Identity {
    Identity {
        canister_id: canister.id,
        subnet_id: config.id,
        controllers: canister.settings.controllers.iter().copied().collect(),
        environment: canister.settings.environment.clone(),
        root_key: config.root_key.clone(),
    }
}

pub(super) fn instructions_max(limits: &InstructionLimits, context: Context) -> u64 {
    match context {
        Context::Start | Context::Init | Context::PreUpgrade => limits.install,
        Context::Update | Context::Task => limits.update,
        Context::ReplyCallback | Context::RejectCallback => limits.update / 100 * (100 - CLEANUP_PERCENT),
        Context::Cleanup => limits.update / 100 * CLEANUP_PERCENT,
        Context::Inspect => limits.inspect,
        Context::ReplicatedQuery
        | Context::Query
        | Context::CompositeQuery
        | Context::CompositeReplyCallback
        | Context::CompositeRejectCallback
        | Context::CompositeCleanup => limits.query,
    }
}

fn memory_rules(surroundings: &Surroundings, settings: &Settings, context: Context) -> MemoryRules {
    let limited = matches!(context, Context::Update | Context::Init) && settings.wasm_memory_limit_bytes > 0;
    let (stable_bytes_per_message_max, charge_dirty_pages) = match context {
        Context::Start | Context::Init | Context::PreUpgrade => (INSTALL_STABLE_BYTES_MAX, true),
        Context::Update | Context::Task | Context::ReplyCallback | Context::RejectCallback | Context::Cleanup => {
            (UPDATE_STABLE_BYTES_MAX, true)
        }
        _ => (QUERY_STABLE_BYTES_MAX, false),
    };
    MemoryRules {
        subnet: surroundings.memory,
        wasm_memory_limit_bytes: limited.then_some(settings.wasm_memory_limit_bytes),
        memory_allocation_bytes: settings.memory_allocation_bytes,
        stable_bytes_per_message_max,
        charge_dirty_pages,
    }
}

impl Canister {
    /// Returns what the canister pays for while idle.
    pub fn idle(&self) -> crate::cycles::IdleBurn {
        crate::cycles::IdleBurn {
            memory_bytes: self.memory_bytes(),
            memory_allocation_bytes: self.settings.memory_allocation_bytes,
            message_bytes: self.guaranteed_bytes(),
            compute_allocation_percent: self.settings.compute_allocation_percent,
        }
    }

    /// Returns the balance below which the canister is frozen.
    pub fn freezing_threshold(&self, config: &SubnetConfig) -> u128 {
        config.fees.freezing_threshold(&self.idle(), self.settings.freezing_threshold_seconds, self.account.reserved)
    }

    pub(super) fn refresh_identity(&mut self, config: &SubnetConfig) {
        let current = self.identity.as_ref().is_some_and(|identity| identity_is_current(identity, &self.settings));
        if !current {
            self.identity = Some(Arc::new(make_identity(config, self)));
        }
    }
}
