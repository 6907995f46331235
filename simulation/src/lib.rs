//! Runs Canopy's own Wasm in simulated networks, under faults drawn from a seed, and checks every answer.

pub mod checkers;
pub mod history;
