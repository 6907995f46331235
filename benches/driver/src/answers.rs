//! What replies say.

use std::fmt::Debug;

use candid::CandidType;
use canopy_types::api::ScanResult;
use canopy_types::shard::{Answer, ShardApplyResult};
use canopy_types::wire::batch::{self, AnswerRef};
use canopy_types::wire::{many, replies};
use canopy_types::{GetManyResult, GetResult, PutManyResult, PutResult, Record, Version, codec};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

/// What became of the operations of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Done, and so many records were read.
    Scanned(u64),
    /// Nothing was done because somebody else was ahead.
    Conflict,
    /// The service can't at the moment; so many operations, and what it says of the first.
    Refused(u64, String),
    /// As above, for any other reason.
    Failed(u64, String),
}

/// By these words services turn away what they can't do at the moment.
const MOMENTARY: [&str; 4] = ["Busy", "Growing", "queue is full", "Moving"];

/// Judges a refusal by its words.
pub fn refused(operations: u64, words: String) -> Verdict {
    match MOMENTARY.iter().any(|word| words.contains(word)) {
        true => Verdict::Refused(operations, words),
        false => Verdict::Failed(operations, words),
    }
}

/// Judges the reply to a put, of router or shard.
pub fn put(reply: &[u8]) -> Verdict {
    if replies::read_put(reply).is_some() {
        return Verdict::Done;
    }
    match codec::decode::<PutResult>(reply) {
        Ok(Ok(_)) => Verdict::Done,
        Ok(Err(error)) if format!("{error:?}").contains("PreconditionFailed") => Verdict::Conflict,
        other => refused(1, words(&other)),
    }
}

/// Judges the reply to a get, of router or shard, of a record with so many bytes.
pub fn get(reply: &[u8], value_bytes: u64) -> Verdict {
    if reply.len() as u64 > value_bytes && replies::is_get(reply) {
        return Verdict::Done;
    }
    refused(1, words(&codec::decode::<GetResult>(reply)))
}

/// Reads the version of the record that a get has found.
pub fn version(reply: &[u8]) -> Option<Version> {
    let result: GetResult = codec::decode(reply).ok()?;
    result.ok()?.map(|record: Record| record.version)
}

/// Judges the reply to a batch, of the router.
pub fn many(is_put: bool, operations: u64, value_bytes: u64, reply: &[u8]) -> Verdict {
    if is_put {
        match many::read_puts_done(reply) {
            Some(done) if done.len() as u64 == operations => Verdict::Done,
            _ => items(operations, codec::decode::<PutManyResult>(reply), |_| true),
        }
    } else if reply.len() as u64 > operations * value_bytes {
        // Every value is there; reading them one by one would cost the caller as much as it cost the service.
        Verdict::Done
    } else {
        items(operations, codec::decode::<GetManyResult>(reply), Option::is_some)
    }
}

fn items<T: Debug, E: Debug, B: Debug, M: Debug>(
    operations: u64,
    result: Result<Result<Vec<Result<T, E>>, B>, M>,
    is_done: impl Fn(&T) -> bool,
) -> Verdict {
    let Ok(Ok(items)) = &result else { return refused(operations, words(&result)) };
    let not_done: Vec<_> = items.iter().filter(|item| !item.as_ref().is_ok_and(&is_done)).collect();
    match not_done.first() {
        None => Verdict::Done,
        Some(first) => refused(not_done.len() as u64, words(first)),
    }
}

/// Judges the reply to a batch, of a shard.
pub fn applied(operations: u64, reply: &[u8]) -> Verdict {
    let ordinary = batch::read_answers(reply, operations as usize);
    if ordinary.is_some_and(|all| all.iter().all(|one| matches!(one, AnswerRef::Put(_) | AnswerRef::Record(..)))) {
        return Verdict::Done;
    }
    let result = codec::decode::<ShardApplyResult>(reply);
    let Ok(Ok(answers)) = &result else { return refused(operations, words(&result)) };
    let is_done = |answer: &&Answer| matches!(answer, Answer::Put(Ok(_)) | Answer::Get(Ok(Some(_))));
    let not_done: Vec<_> = answers.iter().filter(|answer| !is_done(answer)).collect();
    match not_done.first() {
        None => Verdict::Done,
        Some(first) => refused(not_done.len() as u64, words(first)),
    }
}

/// Judges a page.
pub fn scanned(reply: &[u8]) -> Verdict {
    match codec::decode::<ScanResult>(reply) {
        Ok(Ok(page)) => Verdict::Scanned(page.records.len() as u64),
        other => refused(1, words(&other)),
    }
}

/// Judges the reply of the naive map.
pub fn map(is_put: bool, operations: u64, value_bytes: u64, reply: &[u8]) -> Verdict {
    let found = |is_read: bool| match is_read {
        true => Verdict::Done,
        false => Verdict::Failed(operations, format!("{} bytes from the map", reply.len())),
    };
    match (is_put, operations) {
        (true, _) => found(reads::<()>(reply)),
        (false, 1) => found(reply.len() as u64 > value_bytes && (reads::<Option<ByteBuf>>(reply) || is_list(reply))),
        (false, _) => found(reply.len() as u64 > operations * value_bytes),
    }
}

fn is_list(reply: &[u8]) -> bool {
    reads::<Vec<Option<ByteBuf>>>(reply)
}

fn reads<T: CandidType + DeserializeOwned>(reply: &[u8]) -> bool {
    if reply == b"DIDL\0\0" {
        return true;
    }
    codec::decode::<T>(reply).is_ok()
}

/// Says what a result is, shortly.
fn words(result: &impl Debug) -> String {
    let mut words = format!("{result:?}");
    let end = words.char_indices().nth(200).map_or(words.len(), |(at, _)| at);
    words.truncate(end);
    words
}
