//! From the shards' answers to one per item.

use candid::Principal;
use canopy_types::BusyReason;
use canopy_types::api::Refusal;
use canopy_types::limits::BATCH_ITEMS_MAX;
use canopy_types::shard::{Answer, ShardError};
use canopy_types::wire::batch::{ANSWER_BYTES_MAX, AnswerRef, read_answers};

use super::division::REPLY_BYTES_MAX;
use crate::calls::{self, Reply};
use crate::operations::something_else;
use crate::refusal::{Failure, heard};

#[cfg(test)]
mod tests;

/// Items up to which each error has its whole text.
const WHOLE_TEXTS_ITEMS_MAX: usize = 1_000;

/// Longest text of an error of a larger batch, in bytes: 10,000 of them fit a reply.
const SHORT_TEXT_BYTES_MAX: usize = 64;

/// A part of a batch that was sent, and what came of it.
pub struct Part {
    pub shard: Principal,
    pub places: Vec<u32>,
    pub reply: Result<Reply, Failure>,
}

/// Puts the answers of all parts in the order of the batch's items, of which there are `items`. Where an item is in several
/// parts, because it was sent again, the last one counts. `ordinary` takes an
/// answer that was read by hand, `general` one that was decoded; both give `None` for one of another kind.
pub fn collect<'p, T>(
    parts: &'p [Part],
    items: usize,
    ordinary: impl Fn(AnswerRef<'p>) -> Option<Result<T, Refusal>>,
    general: impl Fn(Answer) -> Option<Result<T, ShardError>>,
) -> Vec<Result<T, Failure>> {
    let mut results: Vec<Option<Result<T, Failure>>> = Vec::with_capacity(items);
    results.resize_with(items, || None);
    for part in parts {
        let mut put = |place: u32, result| results[place as usize] = Some(result);
        match answers_of(part, &ordinary, &general) {
            Ok(answers) => part.places.iter().zip(answers).for_each(|(&place, answer)| put(place, answer)),
            Err(failure) => part.places.iter().for_each(|&place| put(place, Err(failure.clone()))),
        }
    }
    results.into_iter().map(|result| result.expect("INVARIANT: every item is in a part")).collect()
}

/// Reads the answers of one part; an error is everybody's.
fn answers_of<'p, T>(
    part: &'p Part,
    ordinary: impl Fn(AnswerRef<'p>) -> Option<Result<T, Refusal>>,
    general: impl Fn(Answer) -> Option<Result<T, ShardError>>,
) -> Result<Vec<Result<T, Failure>>, Failure> {
    let (shard, expected) = (part.shard, part.places.len());
    let reply = part.reply.as_ref().map_err(Failure::clone)?;
    let complete = |answers: Option<Vec<Result<T, Failure>>>| {
        let complete = answers.filter(|answers| answers.len() == expected).ok_or_else(|| something_else(shard));
        reply.settle(complete)
    };
    if let Some(answers) = read_answers(&reply.bytes, BATCH_ITEMS_MAX) {
        let read = |answer| Some(reply.settle(ordinary(answer)?.map_err(Failure::from)));
        return complete(answers.into_iter().map(read).collect());
    }
    let answers: Vec<Answer> = calls::read_answer(shard, reply)?;
    let read = |answer| Some(reply.settle(general(answer)?.map_err(|error| heard(shard, error))));
    complete(answers.into_iter().map(read).collect())
}

/// Cuts the texts of errors where there may be so many that they wouldn't fit the reply.
pub fn shorten<T>(results: &mut [Result<T, Failure>]) {
    if results.len() <= WHOLE_TEXTS_ITEMS_MAX {
        return;
    }
    for failure in results.iter_mut().filter_map(|result| result.as_mut().err()) {
        if let Some(text) = text_of(failure) {
            let end = (0..=SHORT_TEXT_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
            text.truncate(end.unwrap_or(0));
        }
    }
}

/// Finds the text of a failure that has one of any length.
fn text_of(failure: &mut Failure) -> Option<&mut String> {
    match failure {
        Failure::Unknown { reason, .. } => Some(reason),
        Failure::NotDone(Refusal::MalformedArguments { reason }) => Some(reason),
        Failure::NotDone(Refusal::ShardUnavailable { message, .. }) => Some(message),
        Failure::NotDone(Refusal::Busy { reason: BusyReason::Platform { message }, .. }) => Some(message),
        Failure::NotDone(_) | Failure::Elsewhere { .. } => None,
    }
}

/// Asks to be asked again for the values that the reply has no room for, the later ones first. `value_bytes` tells the
/// length of an answer's value.
pub fn fit<T>(results: &mut [Result<T, Failure>], value_bytes: impl Fn(&T) -> usize) {
    let beside = |result: &mut Result<T, Failure>| match result {
        Ok(_) => ANSWER_BYTES_MAX,
        Err(failure) => ANSWER_BYTES_MAX + text_of(failure).map_or(0, |text| text.len() + ANSWER_BYTES_MAX),
    };
    let mut room = REPLY_BYTES_MAX.saturating_sub(results.iter_mut().map(beside).sum());
    for result in results {
        let Ok(found) = result else { continue };
        let bytes = value_bytes(found);
        if bytes > room {
            *result = Err(Failure::NotDone(Refusal::AskAgain { bytes: bytes as u64 }));
        } else {
            room -= bytes;
        }
    }
}

// The largest errors of a large batch fit a reply all together.
const _: () =
    assert!(canopy_types::limits::REQUEST_ITEMS_MAX * (2 * ANSWER_BYTES_MAX + SHORT_TEXT_BYTES_MAX) <= REPLY_BYTES_MAX);
const _: () = assert!(
    WHOLE_TEXTS_ITEMS_MAX * (2 * ANSWER_BYTES_MAX + canopy_types::limits::REASON_BYTES_MAX + 2) <= REPLY_BYTES_MAX
);
