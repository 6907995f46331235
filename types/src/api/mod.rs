//! The router's methods: what applications and people call.
//!
//! [`operations`] has put, get and delete, [`batches`] their forms for many keys, [`scan`] the walk through everything,
//! [`uploads`] values longer than a record, [`scrub`] the search for what is left of them or missing;
//! [`errors`] says why any of them was not done. [`install`] and [`administration`] are the rest.

pub mod administration;
pub mod batches;
pub mod errors;
pub mod install;
pub mod operations;
pub mod scan;
pub mod scrub;
pub mod uploads;

pub use administration::{
    ReadError, Resolution, ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult, RoutingTableResult,
};
pub use batches::{
    DeleteItem, DeleteManyArguments, DeleteManyResult, GetManyArguments, GetManyResult, PutItem, PutManyArguments,
    PutManyResult,
};
pub use errors::{BatchError, BusyReason, DeleteError, GetError, PutError, Refusal, ScanError};
pub use install::InitArguments;
pub use operations::{
    DeleteArguments, DeleteReply, DeleteResult, GetArguments, GetResult, Operation, Precondition, PutArguments,
    PutReply, PutResult, Record,
};
pub use scan::{ScanArguments, ScanPage, ScanResult, ScannedRecord};
pub use scrub::{ScrubArguments, ScrubError, ScrubPage, ScrubResult, Stray, StrayKind};
pub use uploads::{
    BeginUploadArguments, BegunUpload, Chunk, CommitUploadArguments, CommittedUpload, GetChunkArguments,
    GetManifestArguments, Manifest, PutChunkArguments, UploadArguments, UploadError, UploadStatus,
};
