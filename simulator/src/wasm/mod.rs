//! Canister code: instrumentation, compilation, ic0, memories and their rollback.

pub mod system;
