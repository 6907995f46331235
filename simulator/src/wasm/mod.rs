//! Canister code: instrumentation, compilation, ic0, memories and their rollback.

pub mod engine;
pub mod heap;
pub mod runtime;
pub mod stable;
pub mod system;

pub use engine::{CustomSection, Engine, Module};
pub use runtime::{Global, HeapImage, Runtime};
pub use stable::StableMemory;
