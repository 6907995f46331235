//! The router canister: knows which shard owns which part of the hash space, and sends every operation there.
//!
//! Start at [`service`], the methods, and [`operations`], [`batches`] and [`scan`], which the hot ones delegate to. The
//! middle is pure and takes what it needs as arguments: [`access`] (who may do what, by the grants of [`roles`]),
//! [`policy`] (which settings may be chosen), [`configuration`] (what the router was installed with), [`routing`] (which
//! shard), [`refusal`] (why not), [`journal`] (the stored machine that draws the secret and makes the shards, one step per
//! message), [`telling`] (which shard is told who may do what, and when).
//!
//! [`transfers`] is another such machine, which has ranges handed from shard to shard. [`watching`] hears how full the
//! shards are ([`readings`]), and begins what [`growth`] decides. [`funding`] counts what all that spends. [`uploads`] puts
//! values longer than a record, chunk by chunk.
//!
//! [`recovery`] rebuilds what a lost router knew.
//!
//! [`calls`] alone sends operations to shards and maps what the platform says about a call; [`runner`] alone performs the
//! journal's steps, with the payloads of [`management`] and the code of [`shard_code`]; [`word`] alone tells shards the
//! roles, and [`control`] alone changes who controls them. [`message`] reads arguments, and [`state`] draws the layout of stable memory.

mod access;
mod batches;
mod calls;
mod configuration;
mod control;
mod funding;
mod growth;
mod journal;
mod management;
mod message;
mod operations;
mod policy;
mod readings;
mod recovery;
mod refusal;
mod roles;
mod routing;
pub mod runner;
mod scan;
pub mod service;
mod shard_code;
mod state;
mod telling;
mod transfers;
mod uploads;
mod watching;
mod word;
