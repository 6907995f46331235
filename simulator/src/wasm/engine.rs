//! One compiler for the process, its cache of modules, and what is known of a module.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use wasmparser::WasmFeatures;
use wasmtime::{Config, InstancePre, Linker, OptLevel};

use super::charged_operators::operators;
use super::disk_cache::DiskCache;
use super::gzip::unpacked;
use super::heap::Tracking;
use super::ic0::{self, State};
use super::instrument::instrument;
use super::system::Trap;
use super::validate::{Facts, features, validate};
use crate::errors::ErrorCode;
use crate::limits::MIB;

/// Compiled modules kept; the least recently used one goes first. A module takes about three times its Wasm.
const MODULES_MAX: usize = 64;
/// Bytes of stack for Wasm, as the replica gives it. Threads that execute need [`STACK_BYTES`], for the host's frames on
/// top.
const WASM_STACK_BYTES: usize = 5 * MIB as usize;
/// Bytes of stack of a thread that calls [`super::Runtime::execute`].
pub const STACK_BYTES: usize = 16 * MIB as usize;

/// Compiles canister modules; one per process.
pub struct Engine {
    engine: wasmtime::Engine,
    linker32: Linker<State>,
    linker64: Linker<State>,
    tracking: Tracking,
    cache: Mutex<Cache>,
    disk: Option<DiskCache>,
}

#[derive(Default)]
struct Cache {
    /// With the time of the last use, counted in uses.
    modules: BTreeMap<[u8; 32], (Arc<Module>, u64)>,
    uses: u64,
}

impl Engine {
    /// Returns the engine of this process, made at first use.
    pub fn shared() -> &'static Engine {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        SHARED.get_or_init(|| Engine::new(Tracking::detect()))
    }

    /// Makes an engine that finds dirty pages in the given way.
    pub fn new(tracking: Tracking) -> Self {
        let engine = wasmtime::Engine::new(&config(tracking)).expect("the configuration suits this machine");
        let linker = |wasm64| ic0::linker(&engine, wasm64).expect("the System API has each name once");
        Self {
            linker32: linker(false),
            linker64: linker(true),
            disk: DiskCache::of(&engine),
            engine,
            tracking,
            cache: Mutex::default(),
        }
    }

    pub fn tracking(&self) -> Tracking {
        self.tracking
    }

    /// Unpacks a module (gzip or none), validates it as the platform does, instruments and compiles. The second value
    /// tells whether the module was compiled now; false: it came from the cache.
    ///
    /// # Errors
    /// `CanisterInvalidWasm`, with the reason.
    pub fn compile(&self, sent: &[u8]) -> Result<(Arc<Module>, bool), Trap> {
        let hash = Sha256::digest(sent).into();
        if let Some(module) = self.cached(&hash) {
            return Ok((module, false));
        }
        let wasm = &*unpacked(sent)?;
        let facts = validate(wasm).map_err(|error| invalid(error.to_string()))?;
        let instrumented = instrument(wasm).map_err(|error| invalid(error.to_string()))?;
        let linker = if facts.wasm64 { &self.linker64 } else { &self.linker32 };
        let compiled = match &self.disk {
            Some(disk) => disk.compile(&self.engine, &instrumented),
            None => wasmtime::Module::new(&self.engine, instrumented),
        };
        let pre = compiled
            .and_then(|compiled| linker.instantiate_pre(&compiled))
            .map_err(|error| invalid(format!("Canister's Wasm module is not valid: {error:#}")))?;
        let charged_operators = operators(wasm).map_err(|error| invalid(error.to_string()))?;
        let module = Module { hash, wasm_bytes: wasm.len() as u64, charged_operators, facts, pre };
        let module = Arc::new(module);
        self.remember(module.clone());
        Ok((module, true))
    }

    fn cached(&self, hash: &[u8; 32]) -> Option<Arc<Module>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.uses += 1;
        let now = cache.uses;
        let (module, used) = cache.modules.get_mut(hash)?;
        *used = now;
        Some(module.clone())
    }

    fn remember(&self, module: Arc<Module>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.uses += 1;
        let now = cache.uses;
        cache.modules.insert(module.hash, (module, now));
        if cache.modules.len() > MODULES_MAX {
            let oldest = cache.modules.iter().min_by_key(|(_, (_, used))| *used).map(|(hash, _)| *hash);
            cache.modules.remove(&oldest.expect("there is more than one module"));
        }
    }
}

/// The settings that decide what code does (floats, stack, proposals) come from the platform; nothing depends on time.
fn config(tracking: Tracking) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all() - features(), false)
        .wasm_features(features(), true)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .async_stack_size(WASM_STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(None);
    #[cfg(target_os = "linux")]
    if tracking == Tracking::Pagemap {
        // Images of data segments would be mapped over the heap's own file.
        config.memory_init_cow(false).with_host_memory(Arc::new(super::heap::mapped::Creator));
    }
    let _ = tracking;
    config
}

fn invalid(message: String) -> Trap {
    Trap { code: ErrorCode::CanisterInvalidWasm, message, log: None }
}

/// A custom section `icp:public <name>` or `icp:private <name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomSection {
    pub public: bool,
    pub content: Vec<u8>,
}

/// A compiled module and what it declares.
pub struct Module {
    hash: [u8; 32],
    wasm_bytes: u64,
    charged_operators: u64,
    pub(super) facts: Facts,
    pub(super) pre: InstancePre<State>,
}

impl Module {
    /// Returns the SHA-256 of the module as sent, packed or not.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Counts the operators of the instrumented code, each of which costs 6,000 instructions at install.
    pub fn operators(&self) -> u64 {
        self.charged_operators
    }

    pub fn is_wasm64(&self) -> bool {
        self.facts.wasm64
    }

    /// Tells whether a function is exported under this name, such as `canister_init` or `canister_update put`.
    pub fn exports(&self, name: &str) -> bool {
        self.facts.functions.contains(name)
    }

    /// Lists the exported functions, in order of names.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.facts.functions.iter().map(String::as_str)
    }

    /// Tells whether the module has a start function.
    pub fn has_start(&self) -> bool {
        self.facts.has_start
    }

    /// Tells whether code can ask for the data certificate, which costs a signature.
    pub fn reads_certificate(&self) -> bool {
        self.facts.reads_certificate
    }

    pub fn custom_sections(&self) -> &BTreeMap<String, CustomSection> {
        &self.facts.custom_sections
    }

    pub fn wasm_bytes(&self) -> u64 {
        self.wasm_bytes
    }

    /// Returns the bytes of names and contents of the custom sections.
    pub fn custom_section_bytes(&self) -> u64 {
        self.facts.custom_section_bytes
    }
}
