//! What an answer to something about an upload says.

use canopy_types::UploadFault;
use canopy_types::api::uploads::{
    AbortUploadResult, BeginUploadResult, BegunUpload, Chunk, CommitUploadResult, GetChunkResult, GetManifestResult,
    Manifest, PutChunkResult, UploadError, UploadStatus, UploadStatusResult,
};
use canopy_types::codec::decode;
use canopy_types::uploads::shard::{
    ShardGetChunkResult, ShardGetManifestResult, ShardPutChunkResult, ShardUploadError,
};

use crate::answers::{Answer, Impossible, read_busy, read_shard_error};
use crate::history::{NotRun, Told};
use crate::tally::Happening;

/// The methods about uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Begin,
    PutChunk,
    Commit,
    Abort,
    Status,
    GetManifest,
    GetChunk,
}

/// What was answered.
#[derive(Clone, Debug)]
pub enum Word {
    Begun(BegunUpload),
    Stored,
    Committed {
        version: u64,
    },
    Aborted,
    Status(UploadStatus),
    Manifest(Option<Manifest>),
    Chunk(Chunk),
    PreconditionFailed {
        found: Option<u64>,
    },
    Fault(UploadFault),
    /// Nothing was done, or nobody knows.
    Failed(Answer),
}

impl Method {
    pub fn name(self, is_query: bool) -> &'static str {
        match self {
            Method::Begin => "begin_upload",
            Method::PutChunk => "put_chunk",
            Method::Commit => "commit_upload",
            Method::Abort => "abort_upload",
            Method::Status => "upload_status",
            Method::GetManifest if is_query => "get_manifest_query",
            Method::GetManifest => "get_manifest",
            Method::GetChunk if is_query => "get_chunk_query",
            Method::GetChunk => "get_chunk",
        }
    }
}

/// Reads a reply of the router, or of a shard itself, to arguments that are well formed.
///
/// # Errors
/// A reply that can't be decoded, or one that blames the arguments.
pub fn read(method: Method, direct: bool, reply: &[u8]) -> Result<Word, Impossible> {
    let undecodable = |_| Impossible(format!("`{}` replied something that is not its type", method.name(false)));
    if direct {
        return match method {
            Method::PutChunk => of_shard(decode::<ShardPutChunkResult>(reply).map_err(undecodable)?, |()| Word::Stored),
            Method::GetManifest => {
                of_shard(decode::<ShardGetManifestResult>(reply).map_err(undecodable)?, Word::Manifest)
            }
            Method::GetChunk => of_shard(decode::<ShardGetChunkResult>(reply).map_err(undecodable)?, Word::Chunk),
            _ => Err(Impossible(format!("`{}` is no method of shards for clients", method.name(false)))),
        };
    }
    match method {
        Method::Begin => of_router(decode::<BeginUploadResult>(reply).map_err(undecodable)?, Word::Begun),
        Method::PutChunk => of_router(decode::<PutChunkResult>(reply).map_err(undecodable)?, |()| Word::Stored),
        Method::Commit => of_router(decode::<CommitUploadResult>(reply).map_err(undecodable)?, |committed| {
            Word::Committed { version: committed.version.0 }
        }),
        Method::Abort => of_router(decode::<AbortUploadResult>(reply).map_err(undecodable)?, |()| Word::Aborted),
        Method::Status => of_router(decode::<UploadStatusResult>(reply).map_err(undecodable)?, Word::Status),
        Method::GetManifest => of_router(decode::<GetManifestResult>(reply).map_err(undecodable)?, Word::Manifest),
        Method::GetChunk => of_router(decode::<GetChunkResult>(reply).map_err(undecodable)?, Word::Chunk),
    }
}

fn of_router<T>(result: Result<T, UploadError>, done: impl FnOnce(T) -> Word) -> Result<Word, Impossible> {
    let refused = |kind| Ok(Word::Failed(Answer::refused(kind)));
    match result {
        Ok(answer) => Ok(done(answer)),
        Err(UploadError::Upload(fault)) => Ok(Word::Fault(fault)),
        Err(UploadError::PreconditionFailed { found }) => {
            Ok(Word::PreconditionFailed { found: found.map(|version| version.0) })
        }
        Err(UploadError::Unknown { .. }) => Ok(Word::Failed(Answer::may_run(Happening::Unknown))),
        Err(UploadError::Unauthorised { .. }) => {
            Ok(Word::Failed(Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised)))
        }
        Err(UploadError::NotReady { .. }) => refused(Happening::NotReady),
        Err(UploadError::Busy { reason, .. }) => refused(read_busy(&reason)),
        Err(UploadError::OutOfSpace { .. }) => refused(Happening::OutOfSpace),
        Err(UploadError::ShardUnavailable { .. }) => refused(Happening::ShardUnavailable),
        Err(other) => Err(Impossible(format!("a legal question about an upload was answered {other:?}"))),
    }
}

fn of_shard<T>(result: Result<T, ShardUploadError>, done: impl FnOnce(T) -> Word) -> Result<Word, Impossible> {
    match result {
        Ok(answer) => Ok(done(answer)),
        Err(ShardUploadError::Upload(fault)) => Ok(Word::Fault(fault)),
        Err(ShardUploadError::Shard(error)) => match read_shard_error(error, false)? {
            Answer { told: Told::Done(outcome), .. } => {
                Err(Impossible(format!("a shard answered a question about a chunk with {outcome:?}")))
            }
            answer => Ok(Word::Failed(answer)),
        },
    }
}
