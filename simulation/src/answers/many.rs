//! What batches and scans are answered.

use canopy_types::api::errors::{BatchError, ScanError};
use canopy_types::codec::decode;
use canopy_types::shard::{Answer as ShardAnswer, ShardApplyResult, ShardError, ShardScanError, ShardScanResult};
use canopy_types::{DeleteManyResult, GetManyResult, PutManyResult, ScanPage, ScanResult};

use super::{
    Answer, Heard, Impossible, Method, fingerprint, read_busy, read_delete, read_get, read_put, read_shard_delete,
    read_shard_error, read_shard_get, read_shard_put,
};
use crate::history::{NotRun, Seen, Told};
use crate::tally::Happening;

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Keys and what is stored under them, as they came.
    pub records: Vec<(Vec<u8>, Seen)>,
    pub cursor: Option<Vec<u8>>,
}

/// Reads the router's reply to a batch of so many items.
///
/// # Errors
/// A reply that can't be decoded, has another number of answers, or blames the arguments.
pub fn read_batch(method: Method, items: usize, reply: &[u8]) -> Result<Heard, Impossible> {
    let undecodable = |_| Impossible(format!("`{}` replied something that is not its type", method.name()));
    match method {
        Method::PutMany => each(decode::<PutManyResult>(reply).map_err(undecodable)?, items, read_put),
        Method::DeleteMany => each(decode::<DeleteManyResult>(reply).map_err(undecodable)?, items, read_delete),
        Method::GetMany => {
            each(decode::<GetManyResult>(reply).map_err(undecodable)?, items, |result| read_get(result, true))
        }
        _ => Err(Impossible(format!("`{}` is no batch", method.name()))),
    }
}

fn each<T, E: std::fmt::Debug>(
    result: Result<Vec<Result<T, E>>, BatchError<E>>,
    items: usize,
    read: impl Fn(Result<T, E>) -> Result<Answer, Impossible>,
) -> Result<Heard, Impossible> {
    match result {
        Ok(answers) if answers.len() == items => {
            Ok(Heard::Each(answers.into_iter().map(read).collect::<Result<_, _>>()?))
        }
        Ok(answers) => Err(Impossible(format!("a batch of {items} items has {} answers", answers.len()))),
        Err(BatchError::NotReady { .. }) => Ok(Heard::All(Answer::refused(Happening::NotReady))),
        Err(BatchError::Busy { reason, .. }) => Ok(Heard::All(Answer::refused(read_busy(&reason)))),
        Err(BatchError::Unauthorised { .. }) => {
            Ok(Heard::All(Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised)))
        }
        Err(BatchError::Item { index, error }) => {
            let text = format!("{error:?}");
            let refused = read(Err(error))?;
            let mut answers = vec![Answer::refused(Happening::BatchRefused); items];
            match answers.get_mut(index as usize) {
                Some(answer) if refused.told == Told::NotRun(NotRun::Unauthorised) => *answer = refused,
                _ => return Err(Impossible(format!("item {index} of a legal batch of {items} was answered {text}"))),
            }
            Ok(Heard::Each(answers))
        }
        Err(other) => Err(Impossible(format!("a legal batch was answered {other:?}"))),
    }
}

/// Reads a shard's reply to a batch of so many items.
///
/// # Errors
/// As [`read_batch`].
pub fn read_apply(items: usize, reply: &[u8]) -> Result<Heard, Impossible> {
    let undecodable = |_| Impossible("a shard's `apply` replied something that is not its type".to_string());
    let answer = |answer| match answer {
        ShardAnswer::Put(result) => read_shard_put(result, true),
        ShardAnswer::Delete(result) => read_shard_delete(result, true),
        ShardAnswer::Get(result) => read_shard_get(result, true),
    };
    match decode::<ShardApplyResult>(reply).map_err(undecodable)? {
        Ok(answers) if answers.len() == items => {
            Ok(Heard::Each(answers.into_iter().map(answer).collect::<Result<_, _>>()?))
        }
        Ok(answers) => Err(Impossible(format!("a shard's batch of {items} items has {} answers", answers.len()))),
        // It isn't told which of the items the caller may not ask for.
        Err(ShardError::Unauthorised { .. }) if items > 1 => {
            Ok(Heard::All(Answer::not_run(NotRun::OneUnauthorised, Happening::Unauthorised)))
        }
        Err(error) => Ok(Heard::All(read_shard_error(error, false)?)),
    }
}

/// Reads a page, of the router or of a shard itself.
///
/// # Errors
/// A reply that can't be decoded, or one that blames the arguments.
pub fn read_page(direct: bool, reply: &[u8]) -> Result<Heard, Impossible> {
    let undecodable = |_| Impossible("`scan` replied something that is not its type".to_string());
    let refused = |kind| Ok(Heard::All(Answer::refused(kind)));
    let unauthorised = Answer::not_run(NotRun::Unauthorised, Happening::Unauthorised);
    if direct {
        return match decode::<ShardScanResult>(reply).map_err(undecodable)? {
            Ok(page) => Ok(Heard::Page(read_records(page))),
            Err(ShardScanError::Unauthorised { .. }) => Ok(Heard::All(unauthorised)),
            Err(ShardScanError::RolesUnknown) => refused(Happening::RolesUnknown),
            Err(ShardScanError::Growing { .. }) => refused(Happening::BusyShardGrows),
            Err(ShardScanError::RateLimited { .. }) => refused(Happening::BusyRateLimit),
            Err(ShardScanError::WrongShard(_)) => refused(Happening::WrongShard),
            Err(ShardScanError::Moving { .. }) => refused(Happening::Moving),
            Err(other) => Err(Impossible(format!("a shard answered a legal scan with {other:?}"))),
        };
    }
    match decode::<ScanResult>(reply).map_err(undecodable)? {
        Ok(page) => Ok(Heard::Page(read_records(page))),
        Err(ScanError::Unauthorised { .. }) => Ok(Heard::All(unauthorised)),
        Err(ScanError::NotReady { .. }) => refused(Happening::NotReady),
        Err(ScanError::Busy { reason, .. }) => refused(read_busy(&reason)),
        Err(ScanError::ShardUnavailable { .. }) => refused(Happening::ShardUnavailable),
        Err(other) => Err(Impossible(format!("a legal scan was answered {other:?}"))),
    }
}

fn read_records(page: ScanPage) -> Page {
    let records = page.records.into_iter().map(|record| {
        let value = record.value_bytes.is_none().then(|| fingerprint(&record.value));
        let seen = Seen {
            value,
            bytes: record.value_bytes.unwrap_or(record.value.len() as u64),
            version: record.version.0,
            expires_at_nanos: record.expires_at_nanoseconds,
        };
        (record.key.into_vec(), seen)
    });
    Page { records: records.collect(), cursor: page.cursor.map(|cursor| cursor.into_vec()) }
}
