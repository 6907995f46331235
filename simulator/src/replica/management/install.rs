//! Installing, reinstalling, upgrading: all or nothing, but for the instructions, which are paid either way.

use std::cell::OnceCell;
use std::sync::Arc;

use candid::{CandidType, Principal};
use ic_management_canister_types::{
    CanisterInstallMode, ChangeDetails, CodeDeploymentMode, CodeDeploymentRecord, UpgradeFlags, WasmMemoryPersistence,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::chunks::check_heap_delta;
use super::compile_cost::compile_instructions;
use super::errors::Refusal;
use super::info::{self, origin};
use super::memory::memory_of;
use super::{Step, payload};
use crate::cycles::SubnetMemory;
use crate::errors::{ErrorCode, UserError};
use crate::limits::{OS_PAGE_BYTES, WASM_PAGE_BYTES};
use crate::replica::execution::system_for;
use crate::replica::state::{Canister, CanisterLog, Code, ManagementCall, SubnetState, Surroundings};
use crate::wasm::system::{Context, Entry, System, Trap};
use crate::wasm::{Engine, HeapImage, Module, Runtime, StableMemory};

/// The section by which a module declares that its heap may outlive an upgrade.
const PERSISTENCE_SECTION: &str = "enhanced-orthogonal-persistence";

/// One installation, wherever its module came from.
pub(super) struct Deployment {
    pub target: Principal,
    pub mode: CanisterInstallMode,
    pub wasm: Arc<Vec<u8>>,
    pub argument: Vec<u8>,
    /// Bytes put together from chunks, an instruction each.
    pub assembled_bytes: u64,
    pub sender_version: Option<u64>,
}

/// Installs a module sent with the call.
pub(super) fn install_code(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    /// As in ic-management-canister-types, with the module as bytes: decoding a large one as a list takes seconds.
    #[derive(CandidType, Deserialize)]
    struct Args {
        mode: CanisterInstallMode,
        canister_id: Principal,
        wasm_module: serde_bytes::ByteBuf,
        arg: serde_bytes::ByteBuf,
        sender_canister_version: Option<u64>,
    }
    let args: Args = payload::decode(&call.payload)?;
    let deployment = Deployment {
        target: args.canister_id,
        mode: args.mode,
        wasm: Arc::new(args.wasm_module.into_vec()),
        argument: args.arg.into_vec(),
        assembled_bytes: 0,
        sender_version: args.sender_canister_version,
    };
    deploy(subnet, call, deployment)
}

/// Checks, prepays, runs and keeps or drops an installation.
pub(super) fn deploy(subnet: &mut SubnetState, call: &ManagementCall, deployment: Deployment) -> Result<Step, Refusal> {
    let id = deployment.target;
    let config = subnet.config.clone();
    let canister = super::controlled(subnet, id, call.caller)?;
    if deployment.mode == CanisterInstallMode::Install && canister.code.is_some() {
        return Err(Refusal::NotEmpty(id));
    }
    if canister.is_occupied() {
        return Ok(Step::NextRound);
    }
    if canister.install_debit_instructions > 0 {
        return Err(Refusal::InstallRateLimited(id));
    }
    check_heap_delta(canister)?;
    let instructions_max = config.limits.install;
    // Which code will run is not known yet; the prepayment is that of 32-bit code, as on the platform.
    let prepaid = config.fees.execution(instructions_max, false);
    let threshold = canister.freezing_threshold(&config);
    let missing = threshold.saturating_add(prepaid).saturating_sub(canister.account.balance);
    if missing > 0 {
        return Err(Refusal::InstallOutOfCycles { canister: id, missing });
    }

    let surroundings = subnet.surroundings();
    let memory = memory_of(subnet);
    let mut compiled = std::mem::take(&mut subnet.compiled);
    let canister = super::canister_mut(subnet, id).expect("found above");
    canister.account.balance -= prepaid;
    let mut run = Run {
        surroundings: &surroundings,
        caller: call.caller,
        used: deployment.assembled_bytes,
        sliced: 0,
        instructions_max,
        printed: Vec::new(),
        dirtied_bytes: 0,
        wasm64: false,
    };
    let outcome =
        run.all(canister, &deployment, &mut compiled).and_then(|new| fits(&memory, canister, &new).map(|()| new));
    let rounds = run.sliced.div_ceil(config.limits.slice).max(1);
    let installation = Installation {
        call: call.clone(),
        mode: deployment.mode,
        sender_version: deployment.sender_version,
        outcome,
        prepaid,
        used: run.used,
        wasm64: run.wasm64,
        printed: run.printed,
        dirtied_bytes: run.dirtied_bytes,
        rounds_left: rounds - 1,
    };
    if let Some(code) = &mut canister.code {
        // The new code has its own copy of what the old one did before the upgrade.
        code.runtime.rollback();
    }
    canister.account.held += prepaid;
    let step = if rounds > 1 {
        canister.installation = Some(Box::new(installation));
        Step::Later
    } else {
        finish(subnet, id, installation)
    };
    subnet.compiled = compiled;
    Ok(step)
}

/// An installation that has run. What it did shows after as many rounds as its instructions take.
pub struct Installation {
    call: ManagementCall,
    mode: CanisterInstallMode,
    sender_version: Option<u64>,
    outcome: Result<New, Refusal>,
    prepaid: u128,
    used: u64,
    wasm64: bool,
    printed: Vec<Vec<u8>>,
    dirtied_bytes: u64,
    rounds_left: u64,
}

impl Installation {
    /// Cycles attached to the call.
    pub fn cycles(&self) -> u128 {
        self.call.cycles
    }

    /// Ends it without effect: the canister was emptied meanwhile. Returns the call and its answer.
    pub fn cancel(self) -> (ManagementCall, UserError) {
        let text = "Canister has been uninstalled.";
        (self.call, UserError::new(ErrorCode::CanisterRejectedMessage, text))
    }
}

/// Advances the installations of several rounds by one. Returns the instructions that this took.
pub fn advance(subnet: &mut SubnetState) -> u64 {
    let mut instructions = 0;
    for id in subnet.active_ids() {
        let Some(canister) = subnet.canisters.get_mut(&id) else { continue };
        let Some(mut installation) = canister.installation.take() else { continue };
        installation.rounds_left -= 1;
        instructions += subnet.config.limits.slice;
        if installation.rounds_left > 0 {
            canister.installation = Some(installation);
            continue;
        }
        let call = installation.call.clone();
        let result = match finish(subnet, id, *installation) {
            Step::Failed { refusal, .. } => Err(refusal.into()),
            _ => Ok(payload::NOTHING.to_vec()),
        };
        subnet.answer_management(&call, result, call.cycles);
    }
    instructions
}

/// Keeps or drops what an installation made; it is paid either way.
fn finish(subnet: &mut SubnetState, id: Principal, installation: Installation) -> Step {
    let Installation { call, mode, sender_version, outcome, prepaid, used, wasm64, printed, dirtied_bytes, .. } =
        installation;
    let fee = subnet.config.fees.execution(used, wasm64);
    let now_nanos = subnet.time_nanos;
    subnet.touch(id);
    let canister = subnet.canisters.get_mut(&id).expect("a canister is not removed during its installation");
    let log_bytes_max = canister.settings.log_memory_limit_bytes;
    let step = match outcome {
        Ok(new) => {
            let (mode, clears_log) = match mode {
                CanisterInstallMode::Install => (CodeDeploymentMode::Install, true),
                CanisterInstallMode::Reinstall => (CodeDeploymentMode::Reinstall, true),
                CanisterInstallMode::Upgrade(_) => (CodeDeploymentMode::Upgrade, false),
            };
            let module_hash = new.code.module_hash.to_vec();
            new.keep(canister, mode);
            if clears_log {
                let next_index = canister.log.next_index;
                canister.log = CanisterLog::default();
                canister.log.next_index = next_index;
            }
            canister.version += 1;
            canister.heap_delta_debit_bytes += dirtied_bytes;
            let details = ChangeDetails::CodeDeployment(CodeDeploymentRecord { mode, module_hash });
            info::record(canister, now_nanos, origin(&call, sender_version), details);
            Step::nothing().costing(used)
        }
        Err(refusal) => Step::Failed { refusal, instructions: used },
    };
    for line in printed {
        canister.log.append(now_nanos, line, log_bytes_max);
    }
    canister.account.held -= prepaid;
    canister.account.balance += prepaid;
    canister.account.charge(fee);
    canister.install_debit_instructions += used;
    step
}

/// What an installation made, not yet part of the canister.
struct New {
    code: Code,
    system: System,
    /// When it began.
    balance_before: u128,
    reserved_before: u128,
}

impl New {
    /// Replaces the canister's code and what came with it.
    fn keep(mut self, canister: &mut Canister, mode: CodeDeploymentMode) {
        self.code.runtime.commit();
        canister.code = Some(self.code);
        if mode != CodeDeploymentMode::Upgrade {
            canister.certified_data.clear();
        }
        if let Some(data) = self.system.certified_data {
            canister.certified_data = data;
        }
        canister.global_timer_nanos = self.system.global_timer_nanos.filter(|nanos| *nanos > 0);
        // Both may have changed since it began, so only differences count.
        let (account, new) = (&mut canister.account, &self.system.account);
        account.balance = (account.balance + new.balance).saturating_sub(self.balance_before);
        account.reserved = (account.reserved + new.reserved).saturating_sub(self.reserved_before);
        account.consumed += new.burned;
        canister.low_memory_hook_armed = true;
        canister.watch_low_memory();
    }
}

/// The steps of one installation and what they have cost so far.
struct Run<'a> {
    surroundings: &'a Surroundings,
    caller: Principal,
    used: u64,
    /// The part of `used` that code ran; it is cut into slices, compiling isn't.
    sliced: u64,
    instructions_max: u64,
    printed: Vec<Vec<u8>>,
    dirtied_bytes: u64,
    wasm64: bool,
}

impl Run<'_> {
    fn all(
        &mut self,
        canister: &mut Canister,
        deployment: &Deployment,
        compiled: &mut std::collections::BTreeSet<[u8; 32]>,
    ) -> Result<New, Refusal> {
        let id = canister.id;
        let failed = |trap: Trap| Refusal::Code { canister: id, trap };
        let mut system = self.system(canister);
        let (balance_before, reserved_before) = (system.account.balance, system.account.reserved);
        let mut stable = StableMemory::new();
        let mut heap = None;
        if let CanisterInstallMode::Upgrade(flags) = deployment.mode {
            let flags = flags.unwrap_or_default();
            let code = canister.code.as_mut().ok_or_else(|| failed(no_module()))?;
            if flags.skip_pre_upgrade != Some(true) && code.module.exports("canister_pre_upgrade") {
                system.context = Context::PreUpgrade;
                self.wasm64 = code.module.is_wasm64();
                let entry = Entry::Export("canister_pre_upgrade".to_string());
                system = self.execute(&mut code.runtime, &entry, system).map_err(failed)?;
            }
            stable = code.runtime.stable().clone();
            heap = kept_heap(code, flags)?;
        }

        let (module, _) = Engine::shared().compile(&deployment.wasm).map_err(failed)?;
        check_persistence(&module, deployment.mode)?;
        self.wasm64 = module.is_wasm64();
        let compiled_before = !compiled.insert(module.hash());
        self.spend(compile_instructions(&module, compiled_before)).map_err(failed)?;

        // What belonged to the old code ends here; certified data and log outlive an upgrade, the timer doesn't.
        system.global_timer_nanos = None;
        system.previous_timer_nanos = 0;
        let old_bytes = canister.execution_bytes() + code_bytes(canister.code.as_ref());
        let mut runtime = Runtime::new(module.clone(), stable).map_err(failed)?;
        if let Some(bytes) = heap {
            // Only the memory outlives the old module; globals are the new one's.
            let globals = runtime.heap_image().globals;
            runtime.restore_heap(&HeapImage { bytes, globals }).map_err(failed)?;
        }
        let new_bytes = execution_bytes(&runtime) + module.wasm_bytes() + module.custom_section_bytes();
        let idle = &mut system.account.idle;
        idle.memory_bytes = (idle.memory_bytes + new_bytes).saturating_sub(old_bytes);

        if module.has_start() {
            system.context = Context::Start;
            system = self.execute(&mut runtime, &Entry::Start, system).map_err(failed)?;
        }
        let hook = match deployment.mode {
            CanisterInstallMode::Upgrade(_) => "canister_post_upgrade",
            CanisterInstallMode::Install | CanisterInstallMode::Reinstall => "canister_init",
        };
        if module.exports(hook) {
            system.context = Context::Init;
            system.argument = deployment.argument.clone();
            let limit = canister.settings.wasm_memory_limit_bytes;
            system.memory.wasm_memory_limit_bytes = (limit > 0).then_some(limit);
            system = self.execute(&mut runtime, &Entry::Export(hook.to_string()), system).map_err(failed)?;
        }
        let module_hash = Sha256::digest(deployment.wasm.as_slice()).into();
        let code = Code { module, runtime, wasm: deployment.wasm.clone(), module_hash, metadata: OnceCell::new() };
        Ok(New { code, system, balance_before, reserved_before })
    }

    fn system(&self, canister: &Canister) -> System {
        let mut system = system_for(self.surroundings, canister, Context::Init);
        system.caller = self.caller;
        system.memory.wasm_memory_limit_bytes = None;
        system
    }

    fn execute(&mut self, runtime: &mut Runtime, entry: &Entry, mut system: System) -> Result<System, Trap> {
        system.instructions_max = self.instructions_max.saturating_sub(self.used);
        let (mut system, executed) = runtime.execute(entry, system);
        self.used += executed.instructions;
        self.sliced += executed.instructions;
        self.dirtied_bytes += (executed.heap_pages_dirtied + executed.stable_pages_dirtied) * OS_PAGE_BYTES;
        self.printed.append(&mut system.printed);
        if let Err(trap) = executed.result {
            self.printed.push(trap_line(&trap));
            return Err(if trap.code == ErrorCode::CanisterInstructionLimitExceeded {
                self.limit_trap()
            } else {
                trap
            });
        }
        Ok(system)
    }

    fn spend(&mut self, instructions: u64) -> Result<(), Trap> {
        self.used = self.used.saturating_add(instructions);
        if self.used > self.instructions_max {
            self.used = self.instructions_max;
            return Err(self.limit_trap());
        }
        Ok(())
    }

    /// The limit is that of the whole installation, whichever step exceeded it.
    fn limit_trap(&self) -> Trap {
        let max = self.instructions_max;
        Trap {
            code: ErrorCode::CanisterInstructionLimitExceeded,
            message: format!("Canister exceeded the limit of {max} instructions for single message execution."),
            log: None,
        }
    }
}

/// Checks the memory and the cycles of a canister with its new code.
fn fits(memory: &SubnetMemory, canister: &Canister, new: &New) -> Result<(), Refusal> {
    let old_bytes = canister.memory_bytes();
    let code = &new.code;
    let new_bytes = old_bytes - canister.execution_bytes() - code_bytes(canister.code.as_ref())
        + execution_bytes(&code.runtime)
        + code_bytes(Some(code));
    let given_bytes = canister.settings.memory_allocation_bytes;
    if given_bytes > 0 {
        return if new_bytes > given_bytes {
            Err(Refusal::AllocationBelowUse { given_bytes, needed_bytes: new_bytes })
        } else {
            Ok(())
        };
    }
    let bytes = new_bytes.saturating_sub(old_bytes);
    if bytes > memory.available_bytes() {
        return Err(Refusal::MemoryOversubscribed {
            requested_bytes: bytes,
            available_bytes: memory.available_bytes(),
        });
    }
    Ok(())
}

fn kept_heap(code: &Code, flags: UpgradeFlags) -> Result<Option<Arc<Vec<u8>>>, Refusal> {
    match flags.wasm_memory_persistence {
        Some(WasmMemoryPersistence::Keep) => Ok(Some(code.runtime.heap_image().bytes)),
        None if code.module.custom_sections().contains_key(PERSISTENCE_SECTION) => Err(Refusal::MissingUpgradeOption(
            "Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option.",
        )),
        Some(WasmMemoryPersistence::Replace) | None => Ok(None),
    }
}

fn check_persistence(module: &Module, mode: CanisterInstallMode) -> Result<(), Refusal> {
    let keeps = matches!(
        mode,
        CanisterInstallMode::Upgrade(Some(UpgradeFlags {
            wasm_memory_persistence: Some(WasmMemoryPersistence::Keep),
            ..
        }))
    );
    if keeps && !module.custom_sections().contains_key(PERSISTENCE_SECTION) {
        return Err(Refusal::InvalidUpgradeOption(
            "The `wasm_memory_persistence: opt Keep` upgrade option requires that the new canister module supports \
             enhanced orthogonal persistence.",
        ));
    }
    Ok(())
}

fn code_bytes(code: Option<&Code>) -> u64 {
    code.map_or(0, |code| code.module.wasm_bytes() + code.module.custom_section_bytes())
}

fn execution_bytes(runtime: &Runtime) -> u64 {
    runtime.heap_bytes() + runtime.stable().size_pages() * WASM_PAGE_BYTES
}

fn no_module() -> Trap {
    Trap {
        code: ErrorCode::CanisterWasmModuleNotFound,
        message: "Attempted to execute a message, but the canister contains no Wasm module.".to_string(),
        log: None,
    }
}

/// Writes a trap as the canister's log shows it.
fn trap_line(trap: &Trap) -> Vec<u8> {
    const TRAPPED: &str = "Canister trapped: ";
    let words = match &trap.log {
        Some(words) => words.clone(),
        None => trap.message.strip_prefix(TRAPPED).unwrap_or(&trap.message).as_bytes().to_vec(),
    };
    [b"[TRAP]: ".to_vec(), words].concat()
}
