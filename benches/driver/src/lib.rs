//! An application canister that puts load on a service, as a [`Plan`] says, and counts what it hears.
//!
//! Start at [`plan`]: what a driver is told and what it tells. [`draws`] are the distributions of YCSB, which the host
//! uses too, for callers outside. [`requests`] writes messages and [`answers`] judges replies, for each service;
//! [`driving`] decides when what is sent. The platform is called from [`canister`] alone.

pub mod answers;
pub mod draws;
pub mod driving;
pub mod keys;
pub mod plan;
pub mod requests;

#[cfg(target_family = "wasm")]
mod canister;

pub use plan::{Mix, Pace, Plan, Service, Spread, Tally};
