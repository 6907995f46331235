//! What a subnet does between messages: canisters, queues, call contexts, scheduler.

mod active;
pub mod certification;
mod delivery;
pub mod execution;
pub mod ingress;
mod invariants;
mod lifecycle;
pub mod management;
mod query;
mod round;
mod routing;
mod shedding;
pub mod state;
mod timeouts;
