//! What router, shards, clients and tools of Canopy say to each other.
//!
//! Start at [`api`]: the arguments, replies and errors of the router's methods. [`shard`] holds those of a shard,
//! [`roles`] who may do what, [`rate`] how often, [`policy`] what administrators may set, [`transfer`] what is said about a
//! range that changes hands, [`funding`] about the cycles for that, [`growth`] about shards that fill, [`uploads`] values
//! longer than a record, and [`status`] what a router reports about itself. [`limits`] are the promised bounds, [`range`]
//! and [`hash`] cut the hash space, [`cursor`] marks places in it, [`codec`] turns all of it into Candid and back, [`wire`]
//! does that for the hot methods in a fiftieth of the instructions, [`endpoints`] ties both canisters'
//! methods to functions, and [`marks`] tell benchmarks what the phases of a message take.
//!
//! Arguments are records, so that optional fields can be added; results are `variant { Ok; Err }`, where every error
//! says what did not happen and what the caller should do.

#![warn(missing_docs)]

pub mod api;
pub mod codec;
pub mod cursor;
pub mod endpoints;
pub mod funding;
pub mod growth;
pub mod hash;
pub mod limits;
pub mod marks;
pub mod policy;
pub mod range;
pub mod rate;
pub mod recovery;
pub mod roles;
pub mod routing;
pub mod shard;
pub mod status;
pub mod transfer;
pub mod uploads;
pub mod wire;

pub use api::{
    BatchError, BusyReason, DeleteArguments, DeleteError, DeleteItem, DeleteManyArguments, DeleteManyResult,
    DeleteReply, DeleteResult, GetArguments, GetError, GetManyArguments, GetManyResult, GetResult, InitArguments,
    Operation, Precondition, PutArguments, PutError, PutItem, PutManyArguments, PutManyResult, PutReply, PutResult,
    Record, ScanArguments, ScanError, ScanPage, ScanResult, ScannedRecord, ScrubArguments, ScrubError, ScrubPage,
    ScrubResult, Stray, StrayKind,
};
pub use codec::MalformedArguments;
pub use hash::{HashSecret, KeyHash, TagSecret};
pub use range::HashRange;
pub use roles::{Grant, Role};
pub use routing::{Epoch, Route, RoutingTable, RoutingTableReply, ShardIndex, Version};
pub use transfer::TransferId;
pub use uploads::{Digest, UploadFault, UploadId, UploadState};
