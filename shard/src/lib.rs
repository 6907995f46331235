//! The shard canister: the records of one hash range.
//!
//! Start at [`service`], the methods. [`operations`] and [`scan`] are what they do, [`access`] decides who may call and
//! what a shard answers for, by the [`roles`] that its router tells it, [`store`] keeps the records, [`growth`] notes when
//! stable memory is wanted, and [`state`] draws the layout of stable memory and does what is due when the timer comes.
//! [`uploads`] keeps values longer than a record. [`carrying_over`] brings the records of [`layout_1`], the memory of version 0.1.0, into the store.
//!
//! Without the feature `methods` the store is all that is left, for benchmarks: a canister has the methods of all its
//! crates.
//!
//! [`load`] counts what is asked for, and [`reading`] tells that and how full the shard is, so that its router splits it in
//! time.
//!
//! [`recovery`] is for the day on which a router or a target is lost.
//!
//! [`transfer`] hands ranges from shard to shard; it alone makes calls, from the timer.
//!
//! INVARIANT: no method waits for a call, so a reject from a shard means that nothing was done.

#![cfg_attr(not(feature = "methods"), allow(dead_code, reason = "nothing calls what serves the methods"))]

mod access;
mod carrying_over;
mod growth;
mod layout_1;
mod load;
mod message;
mod operations;
mod reading;
mod recovery;
mod region;
mod roles;
mod scan;
#[cfg(feature = "methods")]
pub mod service;
mod state;
pub mod store;
mod transfer;
mod uploads;
