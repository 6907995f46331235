//! A deterministic Internet Computer in a process.
//!
//! Start here: [`instance::Instance`] is one simulated network of subnets. Around it, from the outside in:
//!
//! | module | what it does |
//! |---|---|
//! | [`server`] | starts a server in this process, or as the binary `canopy-simulator` |
//! | [`rest`] | serves instances over PocketIC's REST interface, each on a thread of its own |
//! | [`instance`] | makes a network, moves messages between its subnets, answers its users |
//! | [`replica`] | what a subnet does: canisters, queues, call contexts, scheduler, management canister |
//! | [`agent`] | reads and checks what agents send: envelopes, signatures, delegations |
//! | [`wasm`] | runs canister code: validation, instrumentation, ic0, memories, rollback |
//! | [`chance`] | draws everything that the specification leaves open, and faults, from a seed |
//! | [`rules`] | places faults at chosen messages |
//! | [`event_log`] | hashes what happened into a chain, so that runs can be compared |
//! | [`cycles`], [`limits`], [`errors`] | fees, limits and codes of the platform |
//!
//! Rules come from the interface specification and from what a real server answered (`tests/conformance`); nothing here
//! knows about Canopy.

pub mod agent;
pub mod chance;
pub mod cycles;
pub mod errors;
pub mod event_log;
pub mod instance;
pub mod limits;
pub mod replica;
pub mod rest;
pub mod rules;
pub mod server;
pub mod wasm;

mod cbor;
mod host_memory;
