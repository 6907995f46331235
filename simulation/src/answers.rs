//! What an answer of the service, or of the platform, says about an operation.

use canopy_simulator::errors::{ErrorCode, UserError};
use canopy_simulator::event_log::short_hash;
use canopy_types::codec::decode;
use canopy_types::{DeleteError, DeleteResult, GetError, GetResult, PutError, PutResult};

use crate::caller::Forwarded;
use crate::history::{Fingerprint, Outcome, Seen};

#[cfg(test)]
mod tests;

/// The methods that clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Put,
    Get,
    Delete,
    GetQuery,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Put => "put",
            Method::Get => "get",
            Method::Delete => "delete",
            Method::GetQuery => "get_query",
        }
    }
}

/// An answer that must never be given, whatever goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible(pub String);

/// Identifies a value.
pub fn fingerprint(value: &[u8]) -> Fingerprint {
    Fingerprint(short_hash(value))
}

/// Reads a reply of the router to arguments that are well formed and allowed.
///
/// # Errors
/// A reply that can't be decoded, or one that blames the arguments.
pub fn read_reply(method: Method, reply: &[u8]) -> Result<Outcome, Impossible> {
    let undecodable = |_| Impossible(format!("`{}` replied something that is not its type", method.name()));
    match method {
        Method::Put => match decode::<PutResult>(reply).map_err(undecodable)? {
            Ok(done) => Ok(Outcome::Put { version: done.version.0 }),
            Err(PutError::Unknown { .. }) => Ok(Outcome::Unknown),
            Err(PutError::NotReady { .. } | PutError::Busy { .. } | PutError::OutOfSpace { .. }) => {
                Ok(Outcome::Refused)
            }
            Err(PutError::ShardUnavailable { .. }) => Ok(Outcome::Refused),
            Err(other) => Err(Impossible(format!("a legal put was answered {other:?}"))),
        },
        Method::Delete => match decode::<DeleteResult>(reply).map_err(undecodable)? {
            Ok(done) => Ok(Outcome::Deleted(done.deleted.map(|version| version.0))),
            Err(DeleteError::Unknown { .. }) => Ok(Outcome::Unknown),
            Err(DeleteError::NotReady { .. } | DeleteError::Busy { .. } | DeleteError::OutOfSpace { .. }) => {
                Ok(Outcome::Refused)
            }
            Err(DeleteError::ShardUnavailable { .. }) => Ok(Outcome::Refused),
            Err(other) => Err(Impossible(format!("a legal delete was answered {other:?}"))),
        },
        Method::Get | Method::GetQuery => match decode::<GetResult>(reply).map_err(undecodable)? {
            Ok(record) => Ok(Outcome::Got(
                record.map(|record| Seen { value: fingerprint(&record.value), version: record.version.0 }),
            )),
            Err(GetError::NotReady { .. } | GetError::Busy { .. } | GetError::ShardUnavailable { .. }) => {
                Ok(Outcome::Refused)
            }
            Err(other) => Err(Impossible(format!("a legal get was answered {other:?}"))),
        },
    }
}

/// Reads the platform's reject of an ingress message. `submitted`: the subnet had accepted the message.
pub fn read_reject(error: &UserError, submitted: bool) -> Outcome {
    let never_ran = matches!(
        error.code,
        ErrorCode::CanisterStopped
            | ErrorCode::CanisterStopping
            | ErrorCode::CanisterOutOfCycles
            | ErrorCode::CanisterNotFound
            | ErrorCode::CanisterWasmModuleNotFound
            | ErrorCode::CanisterQueueFull
            | ErrorCode::IngressMessageTimeout
    );
    // Any other reject of an accepted message may come from a callback, after the shard did its work.
    if never_ran || !submitted { Outcome::Refused } else { Outcome::Unknown }
}

/// Reads what a caller canister was told.
///
/// # Errors
/// As [`read_reply`].
pub fn read_forwarded(method: Method, forwarded: &Forwarded) -> Result<Outcome, Impossible> {
    match forwarded {
        Forwarded::Reply(reply) => read_reply(method, reply),
        // Nothing was delivered.
        Forwarded::Reject { code: 1..=3, .. } | Forwarded::NotSent => Ok(Outcome::Refused),
        Forwarded::Reject { code: 5, message } if message.contains("is stopped") || message.contains("is stopping") => {
            Ok(Outcome::Refused)
        }
        Forwarded::Reject { .. } => Ok(Outcome::Unknown),
    }
}

/// Shows a reply, for people.
pub fn describe_reply(method: Method, reply: &[u8]) -> String {
    match method {
        Method::Put => format!("{:?}", decode::<PutResult>(reply)),
        Method::Delete => format!("{:?}", decode::<DeleteResult>(reply)),
        Method::Get | Method::GetQuery => format!("{:?}", decode::<GetResult>(reply)),
    }
}
