//! One compiler for the process, its cache of modules, and what is known of a module.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::system::Trap;

/// Compiles canister modules; one per process.
pub struct Engine {}

impl Engine {
    /// Returns the engine of this process, made at first use.
    pub fn shared() -> &'static Engine {
        todo!()
    }

    /// Validates as the platform does, instruments and compiles. `wasm` is unzipped already. The second value tells
    /// whether the module was compiled now; false: it came from the cache.
    ///
    /// # Errors
    /// `CanisterInvalidWasm`, with the reason.
    pub fn compile(&self, wasm: &[u8]) -> Result<(Arc<Module>, bool), Trap> {
        let _ = wasm;
        todo!()
    }
}

/// A custom section `icp:public <name>` or `icp:private <name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomSection {
    pub public: bool,
    pub content: Vec<u8>,
}

/// A compiled module and what it declares.
pub struct Module {}

impl Module {
    /// Returns the SHA-256 of the module as given (unzipped).
    pub fn hash(&self) -> [u8; 32] {
        todo!()
    }

    /// Counts Wasm operators, each of which costs 6,000 instructions at install.
    pub fn operators(&self) -> u64 {
        todo!()
    }

    pub fn is_wasm64(&self) -> bool {
        todo!()
    }

    /// Tells whether a function is exported under this name, such as `canister_init` or `canister_update put`.
    pub fn exports(&self, name: &str) -> bool {
        let _ = name;
        todo!()
    }

    /// Lists the exported functions, in order of names.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Tells whether the module has a start function.
    pub fn has_start(&self) -> bool {
        todo!()
    }

    pub fn custom_sections(&self) -> &BTreeMap<String, CustomSection> {
        todo!()
    }

    pub fn wasm_bytes(&self) -> u64 {
        todo!()
    }

    pub fn custom_section_bytes(&self) -> u64 {
        todo!()
    }
}
