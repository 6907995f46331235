//! What an answer of the service, or of the platform, says about one sending of an operation.

use canopy_simulator::errors::{ErrorCode, UserError};
use canopy_simulator::event_log::short_hash;
use canopy_types::codec::decode;
use canopy_types::shard::{
    ShardApplyResult, ShardDeleteResult, ShardError, ShardGetResult, ShardPutResult, ShardScanResult,
};
use canopy_types::{
    BusyReason, DeleteError, DeleteManyResult, DeleteReply, DeleteResult, GetError, GetManyResult, GetResult, PutError,
    PutManyResult, PutResult, Record, ScanResult, Version,
};

use crate::caller::Forwarded;
use crate::history::{Fingerprint, NotRun, Outcome, Seen, Told};
use crate::tally::Happening;

mod many;

#[cfg(test)]
mod tests;

pub use many::Page;

/// The methods that clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Put,
    Get,
    Delete,
    GetQuery,
    PutMany,
    GetMany,
    DeleteMany,
    Scan,
    ScanQuery,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Put => "put",
            Method::Get => "get",
            Method::Delete => "delete",
            Method::GetQuery => "get_query",
            Method::PutMany => "put_many",
            Method::GetMany => "get_many",
            Method::DeleteMany => "delete_many",
            Method::Scan => "scan",
            Method::ScanQuery => "scan_query",
        }
    }

    /// Returns the name of the shards' method that does it.
    pub fn name_at_shard(self) -> &'static str {
        match self {
            Method::PutMany | Method::GetMany | Method::DeleteMany => "apply",
            Method::Scan | Method::ScanQuery => "scan",
            Method::Put | Method::Get | Method::Delete | Method::GetQuery => self.name(),
        }
    }

    pub fn is_query(self) -> bool {
        matches!(self, Method::GetQuery | Method::ScanQuery)
    }

    pub fn is_scan(self) -> bool {
        matches!(self, Method::Scan | Method::ScanQuery)
    }
}

/// What one sending was told, and what kind of answer that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub told: Told,
    pub kind: Happening,
}

impl Answer {
    pub fn done(outcome: Outcome, kind: Happening) -> Self {
        Self { told: Told::Done(outcome), kind }
    }

    pub fn not_run(why: NotRun, kind: Happening) -> Self {
        Self { told: Told::NotRun(why), kind }
    }

    pub fn refused(kind: Happening) -> Self {
        Self::not_run(NotRun::Refused, kind)
    }

    /// Says that nothing is known.
    pub fn may_run(kind: Happening) -> Self {
        Self { told: Told::MayRun, kind }
    }

    fn precondition_failed(found: Option<Version>) -> Self {
        let found = found.map(|version| version.0);
        // Which precondition it was is noted where it is known.
        Self::done(Outcome::PreconditionFailed { found }, Happening::VersionFailed)
    }
}

/// What one sending of a request was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The same of everything that was sent.
    All(Answer),
    /// Of each item of a batch, in their order.
    Each(Vec<Answer>),
    /// A page of a scan.
    Page(Page),
}

/// An answer that must never be given, whatever goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible(pub String);

/// Identifies a value.
pub fn fingerprint(value: &[u8]) -> Fingerprint {
    Fingerprint(short_hash(value))
}

/// Reads a reply of the router to arguments of a single operation that are well formed and allowed.
///
/// # Errors
/// A reply that can't be decoded, or one that blames the arguments.
pub fn read_reply(method: Method, reply: &[u8]) -> Result<Answer, Impossible> {
    let undecodable = |_| Impossible(format!("`{}` replied something that is not its type", method.name()));
    match method {
        Method::Put => read_put(decode::<PutResult>(reply).map_err(undecodable)?),
        Method::Delete => read_delete(decode::<DeleteResult>(reply).map_err(undecodable)?),
        Method::Get | Method::GetQuery => read_get(decode::<GetResult>(reply).map_err(undecodable)?, false),
        Method::PutMany | Method::GetMany | Method::DeleteMany | Method::Scan | Method::ScanQuery => {
            Err(Impossible(format!("`{}` is no single operation", method.name())))
        }
    }
}

fn read_put(result: PutResult) -> Result<Answer, Impossible> {
    match result {
        Ok(done) => Ok(Answer::done(Outcome::Put { version: done.version.0 }, Happening::PutDone)),
        Err(error) => read_put_error(error),
    }
}

fn read_delete(result: DeleteResult) -> Result<Answer, Impossible> {
    match result {
        Ok(done) => Ok(read_deleted(&done)),
        Err(error) => read_delete_error(error),
    }
}

/// Reads the answer to a get; `in_batch`: others may have taken the reply's room.
fn read_get(result: GetResult, in_batch: bool) -> Result<Answer, Impossible> {
    match result {
        Ok(record) => Ok(read_record(record)),
        Err(GetError::NotReady { .. }) => Ok(Answer::refused(Happening::NotReady)),
        Err(GetError::Busy { reason, .. }) => Ok(Answer::refused(read_busy(&reason))),
        Err(GetError::Unauthorised { .. }) => Ok(Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised)),
        Err(GetError::ShardUnavailable { .. }) => Ok(Answer::refused(Happening::ShardUnavailable)),
        Err(GetError::AskAgain { .. }) if in_batch => Ok(Answer::refused(Happening::AskAgain)),
        Err(GetError::AskAgain { bytes }) => Ok(read_large(bytes)),
        Err(other) => Err(Impossible(format!("a legal get was answered {other:?}"))),
    }
}

fn read_deleted(done: &DeleteReply) -> Answer {
    let kind = if done.deleted.is_some() { Happening::DeleteDone } else { Happening::NothingDeleted };
    Answer::done(Outcome::Deleted(done.deleted.map(|version| version.0)), kind)
}

fn read_record(record: Option<Record>) -> Answer {
    let kind = match &record {
        None => Happening::NothingRead,
        Some(record) if record.value_bytes.is_some() => Happening::RecordReadWithoutValue,
        Some(record) if record.expires_at_nanoseconds.is_some() => Happening::EndingRecordRead,
        Some(record) if record.value.len() == canopy_types::limits::VALUE_BYTES_MAX => Happening::LargeValueRead,
        Some(_) => Happening::RecordRead,
    };
    let seen = record.map(|record| Seen {
        value: record.value_bytes.is_none().then(|| fingerprint(&record.value)),
        bytes: record.value_bytes.unwrap_or(record.value.len() as u64),
        version: record.version.0,
        expires_at_nanos: record.expires_at_nanoseconds,
    });
    Answer::done(Outcome::Got(seen), kind)
}

/// Reads that a value is longer than a record.
fn read_large(bytes: u64) -> Answer {
    Answer::done(Outcome::GotLarge { bytes }, Happening::LargeTold)
}

fn read_put_error(error: PutError) -> Result<Answer, Impossible> {
    Ok(match error {
        PutError::PreconditionFailed { found } => Answer::precondition_failed(found),
        PutError::Unknown { .. } => Answer::may_run(Happening::Unknown),
        PutError::NotReady { .. } => Answer::refused(Happening::NotReady),
        PutError::Busy { reason, .. } => Answer::refused(read_busy(&reason)),
        PutError::OutOfSpace { .. } => Answer::refused(Happening::OutOfSpace),
        PutError::ShardUnavailable { .. } => Answer::refused(Happening::ShardUnavailable),
        PutError::OperationTooOld { .. } => Answer::not_run(NotRun::TooOld, Happening::TooOld),
        PutError::OperationFromTheFuture { .. } => Answer::not_run(NotRun::FromTheFuture, Happening::FromTheFuture),
        PutError::Unauthorised { .. } => Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised),
        PutError::OperationIdReused => Answer::not_run(NotRun::IdReused, Happening::IdReused),
        other => return Err(Impossible(format!("a legal put was answered {other:?}"))),
    })
}

fn read_delete_error(error: DeleteError) -> Result<Answer, Impossible> {
    Ok(match error {
        DeleteError::PreconditionFailed { found } => Answer::precondition_failed(found),
        DeleteError::Unknown { .. } => Answer::may_run(Happening::Unknown),
        DeleteError::NotReady { .. } => Answer::refused(Happening::NotReady),
        DeleteError::Busy { reason, .. } => Answer::refused(read_busy(&reason)),
        DeleteError::OutOfSpace { .. } => Answer::refused(Happening::OutOfSpace),
        DeleteError::ShardUnavailable { .. } => Answer::refused(Happening::ShardUnavailable),
        DeleteError::OperationTooOld { .. } => Answer::not_run(NotRun::TooOld, Happening::TooOld),
        DeleteError::OperationFromTheFuture { .. } => Answer::not_run(NotRun::FromTheFuture, Happening::FromTheFuture),
        DeleteError::Unauthorised { .. } => Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised),
        DeleteError::OperationIdReused => Answer::not_run(NotRun::IdReused, Happening::IdReused),
        other => return Err(Impossible(format!("a legal delete was answered {other:?}"))),
    })
}

pub fn read_busy(reason: &BusyReason) -> Happening {
    match reason {
        BusyReason::RouterCycles { .. } => Happening::BusyCycles,
        BusyReason::Platform { .. } => Happening::BusyPlatform,
        BusyReason::ShardGrows => Happening::BusyShardGrows,
        BusyReason::RateLimit { .. } => Happening::BusyRateLimit,
        BusyReason::RangeMoves => Happening::BusyRangeMoves,
        _ => Happening::BusyOther,
    }
}

/// Reads a reply of a shard that a client asked itself for a single operation.
///
/// # Errors
/// As [`read_reply`].
pub fn read_shard_reply(method: Method, reply: &[u8]) -> Result<Answer, Impossible> {
    let undecodable = |_| Impossible(format!("a shard's `{}` replied something that is not its type", method.name()));
    match method {
        Method::Put => read_shard_put(decode::<ShardPutResult>(reply).map_err(undecodable)?, false),
        Method::Delete => read_shard_delete(decode::<ShardDeleteResult>(reply).map_err(undecodable)?, false),
        Method::Get | Method::GetQuery => read_shard_get(decode::<ShardGetResult>(reply).map_err(undecodable)?, false),
        Method::PutMany | Method::GetMany | Method::DeleteMany | Method::Scan | Method::ScanQuery => {
            Err(Impossible(format!("`{}` is no single operation", method.name())))
        }
    }
}

fn read_shard_put(result: ShardPutResult, in_batch: bool) -> Result<Answer, Impossible> {
    match result {
        Ok(done) => Ok(Answer::done(Outcome::Put { version: done.version.0 }, Happening::PutDone)),
        Err(error) => read_shard_error(error, in_batch),
    }
}

fn read_shard_delete(result: ShardDeleteResult, in_batch: bool) -> Result<Answer, Impossible> {
    result.map_or_else(|error| read_shard_error(error, in_batch), |done| Ok(read_deleted(&done)))
}

fn read_shard_get(result: ShardGetResult, in_batch: bool) -> Result<Answer, Impossible> {
    match result {
        Ok(record) => Ok(read_record(record)),
        Err(ShardError::AskAgain { bytes }) if !in_batch => Ok(read_large(bytes)),
        Err(error) => read_shard_error(error, in_batch),
    }
}

/// Reads why a shard refused an operation; `in_batch`: other items may belong to other shards, or take room.
pub fn read_shard_error(error: ShardError, in_batch: bool) -> Result<Answer, Impossible> {
    Ok(match error {
        ShardError::PreconditionFailed { found } => Answer::precondition_failed(found),
        ShardError::OperationTooOld { .. } => Answer::not_run(NotRun::TooOld, Happening::TooOld),
        ShardError::OperationFromTheFuture { .. } => Answer::not_run(NotRun::FromTheFuture, Happening::FromTheFuture),
        ShardError::OperationIdReused => Answer::not_run(NotRun::IdReused, Happening::IdReused),
        ShardError::Unauthorised { .. } => Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised),
        ShardError::RolesUnknown => Answer::refused(Happening::RolesUnknown),
        ShardError::Growing { .. } => Answer::refused(Happening::BusyShardGrows),
        ShardError::RateLimited { .. } => Answer::refused(Happening::BusyRateLimit),
        ShardError::OutOfSpace => Answer::refused(Happening::OutOfSpace),
        ShardError::WrongShard(_) => Answer::refused(Happening::WrongShard),
        ShardError::Moving { .. } => Answer::refused(Happening::Moving),
        ShardError::AskAgain { .. } if in_batch => Answer::refused(Happening::AskAgain),
        other => return Err(Impossible(format!("a shard answered a legal call with {other:?}"))),
    })
}

/// Reads the platform's reject of an ingress message. `submitted`: the subnet had accepted the message.
pub fn read_reject(error: &UserError, submitted: bool) -> Answer {
    let never_ran = matches!(
        error.code,
        ErrorCode::CanisterStopped
            | ErrorCode::CanisterStopping
            | ErrorCode::CanisterOutOfCycles
            | ErrorCode::CanisterNotFound
            | ErrorCode::CanisterWasmModuleNotFound
            | ErrorCode::CanisterQueueFull
    );
    match (submitted, error.code) {
        (false, _) => Answer::refused(Happening::NotSubmitted),
        (true, ErrorCode::IngressMessageTimeout) => Answer::refused(Happening::Expired),
        (true, _) if never_ran => Answer::refused(Happening::Rejected),
        // Any other reject of an accepted message may come from a callback, after the shard did its work.
        (true, _) => Answer::may_run(Happening::RejectedLate),
    }
}

/// Reads a reply of the router, or of the shard itself, to a request for so many operations.
///
/// # Errors
/// As [`read_reply`].
pub fn hear(method: Method, direct: bool, items: usize, reply: &[u8]) -> Result<Heard, Impossible> {
    match method {
        Method::PutMany | Method::GetMany | Method::DeleteMany if direct => many::read_apply(items, reply),
        Method::PutMany | Method::GetMany | Method::DeleteMany => many::read_batch(method, items, reply),
        Method::Scan | Method::ScanQuery => many::read_page(direct, reply),
        _ if direct => read_shard_reply(method, reply).map(Heard::All),
        _ => read_reply(method, reply).map(Heard::All),
    }
}

/// Reads what a caller canister was told: the callee's reply, or what it means that there is none.
pub fn delivered(forwarded: Forwarded) -> Result<Vec<u8>, Answer> {
    Err(match forwarded {
        Forwarded::Reply(reply) => return Ok(reply),
        Forwarded::NotSent => Answer::refused(Happening::CallNotSent),
        // Nothing was delivered.
        Forwarded::Reject { code: 1..=3, .. } => Answer::refused(Happening::CallRejected),
        Forwarded::Reject { code: 5, message } if message.contains("is stopped") || message.contains("is stopping") => {
            Answer::refused(Happening::CallRejected)
        }
        Forwarded::Reject { .. } => Answer::may_run(Happening::CallUnknown),
    })
}

/// Shows a reply, for people.
pub fn describe_reply(method: Method, direct: bool, reply: &[u8]) -> String {
    match method {
        Method::Put if direct => format!("{:?}", decode::<ShardPutResult>(reply)),
        Method::Delete if direct => format!("{:?}", decode::<ShardDeleteResult>(reply)),
        Method::Get | Method::GetQuery if direct => format!("{:?}", decode::<ShardGetResult>(reply)),
        Method::PutMany | Method::GetMany | Method::DeleteMany if direct => {
            format!("{:?}", decode::<ShardApplyResult>(reply))
        }
        Method::Scan | Method::ScanQuery if direct => format!("{:?}", decode::<ShardScanResult>(reply)),
        Method::Put => format!("{:?}", decode::<PutResult>(reply)),
        Method::Delete => format!("{:?}", decode::<DeleteResult>(reply)),
        Method::Get | Method::GetQuery => format!("{:?}", decode::<GetResult>(reply)),
        Method::PutMany => format!("{:?}", decode::<PutManyResult>(reply)),
        Method::GetMany => format!("{:?}", decode::<GetManyResult>(reply)),
        Method::DeleteMany => format!("{:?}", decode::<DeleteManyResult>(reply)),
        Method::Scan | Method::ScanQuery => format!("{:?}", decode::<ScanResult>(reply)),
    }
}
