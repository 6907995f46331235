//! A deterministic Internet Computer in a process.
//!
//! Start here: [`instance::Instance`] is one simulated network of subnets; `rest` serves instances over PocketIC's
//! REST interface; `replica` holds what a subnet does (canisters, queues, call contexts, scheduler, management
//! canister); `wasm` runs canister code (instrumentation, ic0, memories, rollback).
//!
//! Rules come from the interface specification and from `ic-facts.md`; nothing here knows about Canopy.

pub mod chance;
pub mod cycles;
pub mod errors;
pub mod event_log;
pub mod instance;
pub mod limits;
pub mod replica;
pub mod rest;
pub mod server;
pub mod wasm;
