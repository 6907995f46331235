//! Reasons in words for people: a clause each, without the names of this library's types.

use std::fmt;

use canopy_types::{BusyReason, UploadFault};

use crate::reason::Reason;

#[cfg(test)]
mod tests;

/// Says why, and not yet that nothing was done: [`NotDone`](crate::NotDone) says both.
impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady { retry_after_milliseconds } => {
                write!(formatter, "the service is starting; try again in {retry_after_milliseconds} ms")
            }
            Self::Busy { retry_after_milliseconds, reason } => {
                let what = busy(reason);
                write!(formatter, "the service is busy: {what}; try again in {retry_after_milliseconds} ms")
            }
            Self::Unauthorised { caller } => write!(formatter, "{caller} may not do that"),
            Self::KeyEmpty => write!(formatter, "a key has at least one byte"),
            Self::KeyTooLong { bytes, bytes_max } => {
                write!(formatter, "the key has {bytes} bytes, and a key has at most {bytes_max}")
            }
            Self::ValueTooLong { bytes, bytes_max } => {
                write!(formatter, "the value has {bytes} bytes, and a value has at most {bytes_max}")
            }
            Self::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max } => write!(
                formatter,
                "a time to live of {milliseconds} ms is out of bounds: {milliseconds_min} ms to {milliseconds_max} ms"
            ),
            Self::PreconditionFailed { found: Some(version) } => {
                write!(formatter, "the record is there, with version {}", version.0)
            }
            Self::PreconditionFailed { found: None } => write!(formatter, "there is no record"),
            Self::OperationIdReused => write!(formatter, "the operation's id was used for another write"),
            Self::OperationTooOld { .. } | Self::OperationFromTheFuture { .. } => {
                write!(formatter, "this machine's clock and the network's are too far apart")
            }
            Self::KeyCollides { keys_max } => {
                write!(
                    formatter,
                    "{keys_max} other keys have the hashes of this one, and no more may: take another key"
                )
            }
            Self::OutOfSpace { shard } => write!(formatter, "shard {shard} has no memory left"),
            Self::ShardUnavailable { shard, reject_code, message } => {
                write!(formatter, "shard {shard} doesn't answer (code {reject_code}: {message})")
            }
            Self::AskAgain { bytes } => write!(formatter, "the value has {bytes} bytes, more than the reply holds"),
            Self::KeyTwice { first, second } => write!(formatter, "items {first} and {second} have the same key"),
            Self::Item { index, reason } => write!(formatter, "item {index}: {reason}"),
            Self::InvalidCursor { message } => write!(formatter, "the cursor is none of this service: {message}"),
            Self::RangeEmpty { first, last } => {
                write!(formatter, "no hash is in the range from {:016x} to {:016x}", first.0, last.0)
            }
            Self::NotSent { reject_code: 0 | 1, message } => write!(formatter, "the network is not reached: {message}"),
            Self::NotSent { reject_code: 4, message } => {
                write!(formatter, "the caller may not do that ({message})")
            }
            Self::NotSent { reject_code, message } | Self::Rejected { reject_code, message } => {
                write!(formatter, "the network refused it (code {reject_code}: {message})")
            }
            Self::Upload(fault) => formatter.write_str(&upload(fault)),
            Self::NoAnswer { message } => write!(formatter, "no answer came: {message}"),
            Self::NotUnderstood { message } => {
                write!(formatter, "the service and this program don't understand each other: {message}")
            }
        }
    }
}

/// Says what is short for the moment.
fn busy(reason: &BusyReason) -> String {
    match reason {
        BusyReason::RouterCycles { available, required } => {
            let (available, required) = (&available.0, &required.0);
            format!("its router can spend {available} cycles, and the call needs {required}: top it up")
        }
        BusyReason::CallsOpen { open, open_max } => {
            format!("{open} calls to the shard are open, and {open_max} may be")
        }
        BusyReason::Platform { message } => format!("the platform took no call ({message})"),
        BusyReason::ShardGrows => "the shard is getting more memory".to_string(),
        BusyReason::RangeMoves => "the range of the key is changing hands".to_string(),
        BusyReason::TooManyOperations { operations_max } => {
            format!("the key was written {operations_max} times within 15 minutes")
        }
        BusyReason::RateLimit { operations_per_minute_max, bytes_per_minute_max } => {
            let operations = operations_per_minute_max.map(|operations| format!("{operations} operations"));
            let bytes = bytes_per_minute_max.map(|bytes| format!("{bytes} bytes"));
            let share: Vec<String> = [operations, bytes].into_iter().flatten().collect();
            format!("the caller has used up its share of the minute ({})", share.join(", "))
        }
    }
}

/// Says what is wrong with an upload, or with what it stored.
fn upload(fault: &UploadFault) -> String {
    match fault {
        UploadFault::SizeOutOfBounds { bytes, bytes_min, bytes_max } => {
            format!("the value has {bytes} bytes, and one that is uploaded has {bytes_min} to {bytes_max}")
        }
        UploadFault::NoSuchUpload => "there is no such upload: it was never begun, or is over for long".to_string(),
        UploadFault::OtherCaller { caller } => format!("the upload was begun by somebody else than {caller}"),
        UploadFault::UploadReused => "the upload was begun with other arguments".to_string(),
        UploadFault::Aborted => "the upload was given up, or took too long".to_string(),
        UploadFault::Published { version } => format!("the upload is published already, as version {}", version.0),
        UploadFault::InvalidPass => "the pass is none of this upload".to_string(),
        UploadFault::TooLate { .. } => "the upload took too long, and takes no chunks any more".to_string(),
        UploadFault::IndexOutOfRange { index, chunks } => {
            format!("the value has {chunks} chunks, and none with number {index}")
        }
        UploadFault::ChunkLength { bytes, bytes_required } => {
            format!("the chunk has {bytes} bytes, and in its place one has {bytes_required}")
        }
        UploadFault::WrongDigest { .. } => "the bytes have another digest than was said".to_string(),
        UploadFault::ChunkDiffers { .. } => "another chunk is stored in its place, and chunks never change".to_string(),
        UploadFault::ChunksMissing { missing, first } => {
            format!("{missing} chunks are missing, the first with number {first}")
        }
        UploadFault::Gone => "the value was replaced while it was read; try again".to_string(),
        UploadFault::TooManyUploads { open, open_max } => {
            format!("the caller has {open} uploads open, and may have {open_max}")
        }
        UploadFault::TooManyBytes { bytes, bytes_max } => {
            format!("the caller's open uploads would have {bytes} bytes together, and may have {bytes_max}")
        }
        UploadFault::ServiceFull { open_max } => format!("the service has {open_max} uploads open, and keeps no more"),
    }
}
