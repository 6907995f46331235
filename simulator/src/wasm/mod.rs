//! Canister code: instrumentation, compilation, ic0, memories and their rollback.
//!
//! Start here: [`Engine::compile`] makes a [`Module`] (`validate`, `instrument`), a [`Runtime`] is its live instance
//! (`heap`, `stable`), and [`Runtime::execute`] runs an entry against a [`system::System`], which `ic0` reads and
//! changes.

mod charged_operators;
mod costs;
mod disk_cache;
pub mod engine;
mod fingerprint;
pub mod gzip;
pub mod heap;
mod ic0;
mod instrument;
pub mod runtime;
pub mod stable;
pub mod system;
#[cfg(test)]
mod testing;
mod validate;

pub use engine::{CustomSection, Engine, Module};
pub use runtime::{Global, HeapImage, Runtime};
pub use stable::StableMemory;
