//! What is sent to router and shards for writes, and how their answers are read.

use candid::{CandidType, Principal};
use canopy_types::api::{BatchError, DeleteManyResult, DeleteResult, PutManyResult, PutResult};
use canopy_types::codec::decode;
use canopy_types::shard::{Answer, ShardApplyResult, ShardError, WrongShard};
use canopy_types::wire::{
    ApplyRef, DeleteManyRef, DeleteRef, ItemRef, OperationRef, PutManyRef, PutRef, many, replies,
};
use canopy_types::{DeleteReply, PutReply};
use serde::de::DeserializeOwned;

use crate::judge::Heard;
use crate::message::Message;
use crate::reason::{Reason, Refused, from_shard};
use crate::write::{Delete, Parts, Put};

#[cfg(test)]
mod tests;

/// How writes of one kind are asked for at the router.
pub trait AtRouter: Parts {
    /// Names the method and writes the arguments of a message.
    #[doc(hidden)]
    fn ask(message: &Message<Self>) -> (&'static str, Vec<u8>);

    /// Reads the reply, an answer per item; `None` when it can't be read.
    #[doc(hidden)]
    fn read(reply: &[u8], items: usize) -> Option<Vec<Heard<Self::Done>>>;

    /// Takes an answer of a shard; `None` when it answers something else.
    #[doc(hidden)]
    fn take(answer: Answer) -> Option<Result<Self::Done, ShardError>>;
}

impl AtRouter for Put {
    fn ask(message: &Message<Self>) -> (&'static str, Vec<u8>) {
        let operation = Some(OperationRef::from(&message.operation));
        match message.items.as_slice() {
            [put] => {
                let arguments = PutRef {
                    key: &put.key,
                    value: &put.value,
                    precondition: put.precondition,
                    time_to_live_milliseconds: put.time_to_live_milliseconds,
                    operation,
                };
                ("put", arguments.write())
            }
            puts => {
                let items = puts.iter().map(|put| PutRef {
                    key: &put.key,
                    value: &put.value,
                    precondition: put.precondition,
                    time_to_live_milliseconds: put.time_to_live_milliseconds,
                    operation: None,
                });
                ("put_many", PutManyRef { items: items.collect(), operation }.write())
            }
        }
    }

    fn read(reply: &[u8], items: usize) -> Option<Vec<Heard<PutReply>>> {
        if items == 1 {
            return match replies::read_put(reply) {
                Some(version) => Some(vec![Heard::Done(PutReply { version })]),
                None => decode::<PutResult>(reply).ok().map(|result| vec![heard(result)]),
            };
        }
        match many::read_puts_done(reply) {
            Some(versions) if versions.len() == items => {
                Some(versions.into_iter().map(|version| Heard::Done(PutReply { version })).collect())
            }
            _ => read_many(decode::<PutManyResult>(reply).ok()?, items),
        }
    }

    fn take(answer: Answer) -> Option<Result<PutReply, ShardError>> {
        match answer {
            Answer::Put(result) => Some(result),
            _ => None,
        }
    }
}

impl AtRouter for Delete {
    fn ask(message: &Message<Self>) -> (&'static str, Vec<u8>) {
        let operation = Some(OperationRef::from(&message.operation));
        match message.items.as_slice() {
            [delete] => {
                let arguments = DeleteRef { key: &delete.key, precondition: delete.precondition, operation };
                ("delete", arguments.write())
            }
            deletes => {
                let items = deletes.iter().map(|delete| DeleteRef {
                    key: &delete.key,
                    precondition: delete.precondition,
                    operation: None,
                });
                let items = items.collect();
                ("delete_many", DeleteManyRef { items, operation }.write())
            }
        }
    }

    fn read(reply: &[u8], items: usize) -> Option<Vec<Heard<DeleteReply>>> {
        if items == 1 {
            return match replies::read_delete(reply) {
                Some(deleted) => Some(vec![Heard::Done(DeleteReply { deleted })]),
                None => decode::<DeleteResult>(reply).ok().map(|result| vec![heard(result)]),
            };
        }
        read_many(decode::<DeleteManyResult>(reply).ok()?, items)
    }

    fn take(answer: Answer) -> Option<Result<DeleteReply, ShardError>> {
        match answer {
            Answer::Delete(result) => Some(result),
            _ => None,
        }
    }
}

fn heard<D, E: Into<Refused>>(result: Result<D, E>) -> Heard<D> {
    match result {
        Ok(done) => Heard::Done(done),
        Err(error) => Heard::from_refused(error.into()),
    }
}

fn read_many<D, E: Into<Refused>>(
    result: Result<Vec<Result<D, E>>, BatchError<E>>,
    items: usize,
) -> Option<Vec<Heard<D>>>
where
    D: Clone,
{
    match result {
        Ok(answers) if answers.len() == items => Some(answers.into_iter().map(heard).collect()),
        Ok(_) => None,
        Err(error) => {
            // Refused as a whole, before anything was sent to a shard.
            let reason = batch_reason(error);
            Some((0..items).map(|_| Heard::Refused(reason.clone())).collect())
        }
    }
}

/// Says why a batch was refused as a whole.
pub(crate) fn batch_reason<E: Into<Refused>>(error: BatchError<E>) -> Reason {
    match error.into_refusal() {
        Ok(refusal) => refusal.into(),
        Err(BatchError::KeyTwice { first, second }) => {
            Reason::KeyTwice { first: first as usize, second: second as usize }
        }
        Err(BatchError::Item { index, error }) => match error.into() {
            Refused::Because(reason) => Reason::Item { index: index as usize, reason: Box::new(reason) },
            Refused::Unknown(message) => Reason::NotUnderstood { message },
        },
        Err(_) => Reason::NotUnderstood { message: "the batch was refused for a reason that isn't known".to_string() },
    }
}

/// Writes a batch for one shard: the items at these places of a message.
pub(crate) fn ask_shard<W: Parts>(caller: Principal, message: &Message<W>, places: &[usize]) -> Vec<u8> {
    let item = |&place: &usize| ItemRef { index: place as u32, action: message.items[place].action() };
    let items = places.iter().map(item).collect();
    let operation = Some(OperationRef::from(&message.operation));
    ApplyRef { caller: caller.as_slice(), operation, reply_bytes_max: None, items }.write()
}

/// What a shard said about one item.
pub(crate) enum FromShard<D> {
    /// An answer.
    Heard(Heard<D>),
    /// The key belongs to another shard.
    WrongShard(WrongShard),
}

/// Reads what a shard answered to a batch of so many items, an answer per item; `None` when it can't be read.
///
/// A shard may refuse what the router doesn't: it may not have heard of a role yet, or be of an older version. So such
/// refusals mean that the router is to be asked.
pub(crate) fn read_shard<T>(
    shard: Principal,
    reply: &[u8],
    items: usize,
    take: impl Fn(Answer) -> Option<Result<T, ShardError>>,
) -> Option<Vec<FromShard<T>>> {
    let answers = match decode::<ShardApplyResult>(reply).ok()? {
        Ok(answers) => answers,
        Err(error) => {
            let reason = from_shard(shard, error);
            // What is short for the moment is so at the router too, which counts a caller's operations as shards do.
            let refuse = if matches!(reason, Reason::Busy { .. }) { Heard::Refused } else { Heard::Elsewhere };
            return Some((0..items).map(|_| FromShard::Heard(refuse(reason.clone()))).collect());
        }
    };
    if answers.len() != items {
        return None;
    }
    let read = |answer| Some(from_result(shard, take(answer)?));
    answers.into_iter().map(read).collect()
}

/// Takes what a shard said about one item or one read.
pub(crate) fn from_result<T>(shard: Principal, result: Result<T, ShardError>) -> FromShard<T> {
    FromShard::Heard(match result {
        Ok(done) => Heard::Done(done),
        Err(ShardError::WrongShard(wrong)) => return FromShard::WrongShard(wrong),
        Err(
            error
            @ (ShardError::Unauthorised { .. } | ShardError::RolesUnknown | ShardError::MalformedArguments { .. }),
        ) => Heard::Elsewhere(from_shard(shard, error)),
        Err(error) => Heard::Refused(from_shard(shard, error)),
    })
}

/// Decodes a reply; `None` when it is something else.
pub(crate) fn read_any<T: CandidType + DeserializeOwned>(reply: &[u8]) -> Option<T> {
    decode(reply).ok()
}
