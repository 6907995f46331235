//! What a subnet does between messages: canisters, queues, call contexts, scheduler.

pub mod execution;
pub mod lifecycle;
pub mod management;
pub mod state;
