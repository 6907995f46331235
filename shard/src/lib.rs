//! The shard canister: the records of one hash range.
//!
//! Start at [`service`], the methods. [`access`] decides who may call and what a shard answers for, [`simple_store`]
//! keeps the records, [`growth`] decides when stable memory is added, and [`state`] draws the layout of stable memory.
//!
//! INVARIANT: no method waits for a call, so a reject from a shard means that nothing was done.

mod access;
mod growth;
pub mod service;
mod simple_store;
mod state;
pub mod store;
