//! Client library of Canopy, a key-value service on the Internet Computer.
//!
//! Start at [`Client`]: it stores and reads records through a [`transport`], of which there is one for canisters (feature
//! `ic-cdk`), one for programs outside (feature `ic-agent`), and one for tests beside PocketIC (feature `pocket-ic`). Every operation ends in one of
//! three ways: done; not done, with a [`Reason`] and [`Advice`]; or unknown, which [`Client::settle`] settles.
//!
//! What the library does for an application:
//!
//! - gives every write an operation, so that sending it again never does it twice;
//! - tries again what was refused for the moment or lost, by a [`RetryPolicy`];
//! - asks shards directly where it may, and follows them when ranges move;
//! - uploads and reads values longer than a record, chunk by chunk, as streams where that is wanted, and finds what is
//!   left of them or missing;
//! - cuts batches of any size into messages, and asks again for what didn't fit a reply;
//! - checks sizes before anything is sent.
//!
//! Inside: [`judge`] holds the rules of what an answer means for a write, [`writing`] and [`reading`] drive messages by
//! them, [`routes`] is the copy of the routing table, and [`requests`] knows the interfaces of router and shard.

#![warn(missing_docs)]

mod batches;
mod client;
mod clock;
mod join;
mod judge;
mod large;
mod message;
mod outcome;
mod reading;
mod reason;
mod requests;
mod retry;
mod routes;
mod scan;
mod scrub;
mod sentences;
pub mod transport;
mod write;
mod writing;

#[cfg(test)]
mod scripted;

pub use canopy_types::api::ScannedRecord;
pub use canopy_types::api::scrub::{ScrubPage, Stray, StrayKind};
pub use canopy_types::api::uploads::{Chunk, Manifest, UploadStatus};
pub use canopy_types::{
    BusyReason, DeleteReply, HashRange, KeyHash, Precondition, PutReply, Record, UploadFault, UploadId, UploadState,
    Version,
};
pub use client::{Client, Routing};
pub use large::{LargeError, LargePut, LargeRecord, LargeStream, Sink, Source, WINDOW};
pub use outcome::{NotDone, SettleError, TooLate, Unknown, WriteError};
pub use reason::{Advice, Reason};
pub use retry::RetryPolicy;
pub use scan::{Scan, ScanOptions};
pub use scrub::Scrub;
pub use write::{Delete, Put, Write};
