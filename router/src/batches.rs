//! Batches: put_many, get_many and delete_many.
//!
//! A batch is checked whole, divided by shard, admitted whole, and sent: one `apply` per shard, or several where one
//! message has no room. From then on every item has an answer of its own.

use std::borrow::Cow;

use candid::{CandidType, Principal};
use canopy_types::api::Refusal;
use canopy_types::api::errors::BatchError;
use canopy_types::limits::REQUEST_ITEMS_MAX;
use canopy_types::marks::{self, Phase};
use canopy_types::shard::Answer;
use canopy_types::wire::batch::AnswerRef;
use canopy_types::wire::many::{self, GetAnswer};
use canopy_types::wire::refusals::{self, Plain};
use canopy_types::wire::replies::RecordHead;
use canopy_types::wire::{
    ActionRef, ApplyRef, DeleteManyRef, DeleteRef, GetManyRef, GetRef, ItemRef, OperationRef, PutManyRef,
};
use canopy_types::{
    DeleteError, DeleteManyArguments, DeleteManyResult, DeleteReply, GetError, GetManyArguments, GetManyResult,
    PutError, PutManyArguments, PutManyResult, PutReply, Record, Role, Version, codec,
};

use crate::access::{self, authorise, authorise_key, count};
use crate::calls::{self, Attempts, Effect, OPEN_READ_BATCHES_MAX, Request, calls_open};
use crate::message;
use crate::operations::{APPLY, effect, general_delete, general_put, ordinary_delete, ordinary_put};
use crate::refusal::Failure;
use crate::routing::{check_key, check_operation, check_time_to_live, check_value};
use crate::state;

mod answers;
mod division;
mod under_way;

use answers::{Part, collect, fit, shorten};
use division::{Division, PartOfBatch, allowance, divide};
use under_way::BatchUnderWay;

/// Stores many values, and replies.
pub fn put_many(caller: Principal) {
    marks::begin();
    let requested = request_puts(caller, &message::argument());
    match requested {
        Ok((requests, division)) => send(caller, requests, division, refuse::<PutError>, answer_puts),
        Err(error) => ic_cdk::api::msg_reply(refuse(error)),
    }
}

fn answer_puts(parts: Vec<Part>, items: usize) -> usize {
    let mut results = collect(&parts, items, ordinary_put, general_put);
    marks::end(Phase::Decode);
    if results.iter().all(Result::is_ok) {
        return reply(&many::puts_done(results.iter().map(|result| *result.as_ref().expect("all are done"))));
    }
    settle(&mut results);
    let result = |result: Result<Version, Failure>| result.map(|version| PutReply { version }).map_err(PutError::from);
    reply(&codec::encode(&PutManyResult::Ok(results.into_iter().map(result).collect())))
}

fn request_puts(caller: Principal, message: &[u8]) -> Result<(Vec<Request>, Division), BatchError<PutError>> {
    marks::end(Phase::Receive);
    let reach = authorise(Role::Writer, caller).map_err(refuse_all)?;
    marks::end(Phase::Rights);
    check_count(many::announced(message).unwrap_or(0))?;
    let decoded;
    let batch = match PutManyRef::read(message) {
        Some(batch) => batch,
        None => {
            decoded = codec::decode::<PutManyArguments>(message).map_err(malformed)?;
            PutManyRef::from(&decoded)
        }
    };
    marks::end(Phase::Decode);
    check_count(batch.items.len())?;
    check_items(&batch.items, |put| {
        check_key(put.key)?;
        authorise_key(reach, Role::Writer, caller, put.key)?;
        check_value(put.value)?;
        check_time_to_live(put.time_to_live_milliseconds)?;
        check_operation(batch.operation)
    })?;
    marks::end(Phase::Rights);
    let division = divide_items(&batch.items, |put| (put.key, put.key.len() + put.value.len()))?;
    marks::end(Phase::Route);
    count(caller, division.items as u64, message.len()).map_err(refuse_all)?;
    marks::end(Phase::Rights);
    let request = |part: &PartOfBatch| {
        let item = |&place: &u32| ItemRef { index: place, action: ActionRef::Put(batch.items[place as usize]) };
        request(part, caller, batch.operation, None, part.places.iter().map(item).collect())
    };
    Ok((division.parts.iter().map(request).collect(), division))
}

/// Removes many records, and replies.
pub fn delete_many(caller: Principal) {
    marks::begin();
    let requested = request_deletes(caller, &message::argument());
    match requested {
        Ok((requests, division)) => send(caller, requests, division, refuse::<DeleteError>, answer_deletes),
        Err(error) => ic_cdk::api::msg_reply(refuse(error)),
    }
}

fn answer_deletes(parts: Vec<Part>, items: usize) -> usize {
    let mut results = collect(&parts, items, ordinary_delete, general_delete);
    marks::end(Phase::Decode);
    if results.iter().all(Result::is_ok) {
        return reply(&many::deletes_done(results.iter().map(|result| *result.as_ref().expect("all are done"))));
    }
    settle(&mut results);
    let result = |result: Result<Option<Version>, Failure>| {
        result.map(|deleted| DeleteReply { deleted }).map_err(DeleteError::from)
    };
    reply(&codec::encode(&DeleteManyResult::Ok(results.into_iter().map(result).collect())))
}

fn request_deletes(caller: Principal, message: &[u8]) -> Result<(Vec<Request>, Division), BatchError<DeleteError>> {
    marks::end(Phase::Receive);
    let reach = authorise(Role::Writer, caller).map_err(refuse_all)?;
    marks::end(Phase::Rights);
    check_count(many::announced(message).unwrap_or(0))?;
    let decoded;
    let batch = match DeleteManyRef::read(message) {
        Some(batch) => batch,
        None => {
            decoded = codec::decode::<DeleteManyArguments>(message).map_err(malformed)?;
            DeleteManyRef::from(&decoded)
        }
    };
    marks::end(Phase::Decode);
    check_count(batch.items.len())?;
    check_items(&batch.items, |delete| {
        check_key(delete.key)?;
        authorise_key(reach, Role::Writer, caller, delete.key)?;
        check_operation(batch.operation)
    })?;
    marks::end(Phase::Rights);
    let division = divide_items(&batch.items, |delete: &DeleteRef| (delete.key, delete.key.len()))?;
    marks::end(Phase::Route);
    count(caller, division.items as u64, message.len()).map_err(refuse_all)?;
    marks::end(Phase::Rights);
    let request = |part: &PartOfBatch| {
        let item = |&place: &u32| ItemRef { index: place, action: ActionRef::Delete(batch.items[place as usize]) };
        request(part, caller, batch.operation, None, part.places.iter().map(item).collect())
    };
    Ok((division.parts.iter().map(request).collect(), division))
}

/// What a get of a batch found.
enum Found<'a> {
    Nothing,
    Record(RecordHead, Cow<'a, [u8]>),
}

/// Reads many records, and replies.
pub fn get_many(caller: Principal) {
    marks::begin();
    let requested = request_gets(caller, &message::argument()).and_then(|(requests, division)| {
        let open = state::open_read_batch(OPEN_READ_BATCHES_MAX);
        let open = open.map_err(|open| refuse_all(calls_open(open, OPEN_READ_BATCHES_MAX)))?;
        Ok((requests, division, open))
    });
    match requested {
        Ok((requests, division, open)) => send(caller, requests, division, refuse::<GetError>, move |parts, items| {
            let _open = open;
            answer_gets(parts, items)
        }),
        Err(error) => ic_cdk::api::msg_reply(refuse(error)),
    }
}

fn answer_gets(parts: Vec<Part>, items: usize) -> usize {
    let mut results = collect(
        &parts,
        items,
        |answer| match answer {
            AnswerRef::Nothing => Some(Ok(Found::Nothing)),
            AnswerRef::Record(head, value) => Some(Ok(Found::Record(head, Cow::Borrowed(value)))),
            AnswerRef::AskAgain(bytes) => Some(Err(Refusal::AskAgain { bytes })),
            _ => None,
        },
        |answer| match answer {
            Answer::Get(result) => Some(result.map(found)),
            _ => None,
        },
    );
    marks::end(Phase::Decode);
    settle(&mut results);
    fit(&mut results, |found| match found {
        Found::Record(head, value) if head.include_value => value.len(),
        _ => 0,
    });
    if results.iter().all(|result| matches!(result, Ok(_) | Err(Failure::NotDone(Refusal::AskAgain { .. })))) {
        let mut bytes = 0;
        many::gets_answered(results.iter().map(everyday), |piece| {
            ic0::msg_reply_data_append(piece);
            bytes += piece.len();
        });
        ic0::msg_reply();
        return bytes;
    }
    let result = |result: Result<Found, Failure>| match result {
        Ok(Found::Nothing) => Ok(None),
        Ok(Found::Record(head, value)) => Ok(Some(record(&head, value))),
        Err(failure) => Err(GetError::from(failure)),
    };
    reply(&codec::encode(&GetManyResult::Ok(results.into_iter().map(result).collect())))
}

/// Tells an answer of every day, which the caller has looked for.
fn everyday<'r>(result: &'r Result<Found<'_>, Failure>) -> GetAnswer<'r> {
    match result {
        Ok(Found::Nothing) => GetAnswer::Nothing,
        Ok(Found::Record(head, value)) => GetAnswer::Record(*head, value),
        Err(Failure::NotDone(Refusal::AskAgain { bytes })) => GetAnswer::AskAgain(*bytes),
        Err(other) => unreachable!("INVARIANT: only everyday answers are written by hand: {other:?}"),
    }
}

fn found(record: Option<Record>) -> Found<'static> {
    let Some(record) = record else { return Found::Nothing };
    let head = RecordHead {
        version: record.version,
        expires_at_nanoseconds: record.expires_at_nanoseconds,
        value_bytes: record.value_bytes.map_or(record.value.len(), |bytes| bytes as usize),
        include_value: record.value_bytes.is_none(),
    };
    Found::Record(head, Cow::Owned(record.value.into_vec()))
}

fn record(head: &RecordHead, value: Cow<[u8]>) -> Record {
    Record {
        value: value.into_owned().into(),
        version: head.version,
        expires_at_nanoseconds: head.expires_at_nanoseconds,
        value_bytes: (!head.include_value).then_some(head.value_bytes as u64),
    }
}

fn request_gets(caller: Principal, message: &[u8]) -> Result<(Vec<Request>, Division), BatchError<GetError>> {
    marks::end(Phase::Receive);
    let reach = authorise(Role::Reader, caller).map_err(refuse_all)?;
    marks::end(Phase::Rights);
    check_count(many::announced(message).unwrap_or(0))?;
    let decoded;
    let batch = match GetManyRef::read(message) {
        Some(batch) => batch,
        None => {
            decoded = codec::decode::<GetManyArguments>(message).map_err(malformed)?;
            GetManyRef::from(&decoded)
        }
    };
    marks::end(Phase::Decode);
    check_count(batch.keys.len())?;
    check_items(&batch.keys, |key| {
        check_key(key)?;
        authorise_key(reach, Role::Reader, caller, key)
    })?;
    marks::end(Phase::Rights);
    let division = divide_items(&batch.keys, |key| (key, key.len()))?;
    marks::end(Phase::Route);
    count(caller, division.items as u64, message.len()).map_err(refuse_all)?;
    marks::end(Phase::Rights);
    let request = |part: &PartOfBatch| {
        let get = |place: u32| GetRef { key: batch.keys[place as usize], include_value: batch.include_value };
        let item = |&place: &u32| ItemRef { index: place, action: ActionRef::Get(get(place)) };
        let allowance = Some(allowance(part.places.len(), division.items));
        let items = part.places.iter().map(item).collect();
        Request { effect: Effect::Read, ..request(part, caller, None, allowance, items) }
    };
    Ok((division.parts.iter().map(request).collect(), division))
}

fn request(
    part: &PartOfBatch,
    caller: Principal,
    operation: Option<OperationRef>,
    reply_bytes_max: Option<u64>,
    items: Vec<ItemRef>,
) -> Request {
    let batch = ApplyRef { caller: caller.as_slice(), operation, reply_bytes_max, items };
    Request { shard: part.shard, method: APPLY, arguments: batch.write(), effect: effect(operation) }
}

/// Admits and sends the parts of a batch, and has `answer` reply when all are answered, which tells the length of the reply;
/// `refuse` writes why none of them was sent.
fn send<E>(
    caller: Principal,
    requests: Vec<Request>,
    Division { parts, items }: Division,
    refuse: fn(BatchError<E>) -> Vec<u8>,
    answer: impl FnOnce(Vec<Part>, usize) -> usize + 'static,
) {
    let sendings = parts.into_iter().zip(requests.into_iter().map(Attempts::new)).collect();
    let answer = move |parts| access::count_reply(caller, answer(parts, items));
    if let Err(refusal) = BatchUnderWay::new(answer).send(sendings) {
        reply(&refuse(refuse_all(refusal)));
    }
}

fn reply(bytes: &[u8]) -> usize {
    ic_cdk::api::msg_reply(bytes);
    bytes.len()
}

/// Writes why nothing of a batch was done.
fn refuse<E: CandidType + Plain>(error: BatchError<E>) -> Vec<u8> {
    match error.parts() {
        Some((tag, fields)) => refusals::refuse(tag, &fields),
        None => codec::encode(&Result::<Vec<()>, _>::Err(error)),
    }
}

/// Learns where the keys are that shards don't own any more, and makes what callers are told of each item. Sent again under
/// the same operation, items find their way.
fn settle<T>(results: &mut [Result<T, Failure>]) {
    for result in &mut *results {
        if let Err(Failure::Elsewhere { shard, whereabouts, unknown }) = result {
            calls::ask_next(*shard, whereabouts);
            let unknown = unknown.take().map(|unknown| *unknown);
            *result = Err(unknown.unwrap_or_else(|| Failure::NotDone(whereabouts.refusal())));
        }
    }
    shorten(results);
}

fn check_count<E>(items: usize) -> Result<(), BatchError<E>> {
    if items > REQUEST_ITEMS_MAX {
        return Err(BatchError::TooManyItems { items: items as u64, items_max: REQUEST_ITEMS_MAX as u64 });
    }
    Ok(())
}

/// Checks what can be told of each item alone.
fn check_items<T, E: From<Failure>>(
    items: &[T],
    check: impl Fn(&T) -> Result<(), Refusal>,
) -> Result<(), BatchError<E>> {
    for (index, item) in (0..).zip(items) {
        check(item).map_err(|refusal| BatchError::Item { index, error: E::from(refusal.into()) })?;
    }
    Ok(())
}

/// Divides the items, of which `measure` tells key and payload.
fn divide_items<'m, T, E>(items: &[T], measure: impl Fn(&T) -> (&'m [u8], usize)) -> Result<Division, BatchError<E>> {
    if items.is_empty() {
        return Ok(Division { parts: Vec::new(), items: 0 });
    }
    let measured: Vec<(&[u8], usize)> = items.iter().map(measure).collect();
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refuse_all(crate::routing::not_ready()))?;
        divide(routing, &measured).map_err(|(first, second)| BatchError::KeyTwice { first, second })
    })
}

fn malformed<E>(malformed: canopy_types::MalformedArguments) -> BatchError<E> {
    BatchError::MalformedArguments { reason: malformed.reason }
}

/// Refuses a batch for a reason that isn't any item's.
fn refuse_all<E>(refusal: Refusal) -> BatchError<E> {
    match BatchError::from_refusal(refusal) {
        Ok(error) => error,
        Err(other) => unreachable!("INVARIANT: batches share every refusal of rights, readiness and calls: {other:?}"),
    }
}
