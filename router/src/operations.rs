//! Put, get, delete and scan: from the message to the shard, and from its answer to the reply.
//!
//! A write of key and value alone goes to the shard's `put` or `delete`, which shards of every version understand; one
//! with a precondition, a time to live or an operation goes to `apply`, with its caller, because a shard that doesn't
//! know a field ignores it. What a shard answers on an ordinary day is handed on as it came.
//!
//! No message is held while its call is open: all that is open together has to fit the heap.

use candid::Principal;
use canopy_types::api::Refusal;
use canopy_types::marks::{self, Phase};
use canopy_types::shard::{Answer, ShardError};
use canopy_types::wire::batch::{self, AnswerRef};
use canopy_types::wire::{ActionRef, ApplyRef, DeleteRef, GetRef, ItemRef, OperationRef, PutRef, replies};
use canopy_types::{
    DeleteArguments, DeleteError, DeleteReply, DeleteResult, GetArguments, GetError, GetResult, PutArguments, PutError,
    PutReply, PutResult, Record, Role, Version, codec,
};

use crate::access::{authorise, authorise_key, count};
use crate::calls::handing_on::{self, Outcome};
use crate::calls::{self, Effect, Reply, Request};
use crate::message;
use crate::refusal::{Failure, heard, write_plainly};
use crate::routing::{check_operation, check_time_to_live, check_value, route};
use crate::state;

/// The shard's method for whatever isn't plain.
pub const APPLY: &str = "apply";

fn apply(shard: Principal, caller: Principal, operation: Option<OperationRef>, action: ActionRef) -> Request {
    let items = vec![ItemRef { index: 0, action }];
    let batch = ApplyRef { caller: caller.as_slice(), operation, reply_bytes_max: None, items };
    Request { shard, method: APPLY, arguments: batch.write(), effect: effect(operation) }
}

/// Tells what sending a write twice does.
pub fn effect(operation: Option<OperationRef>) -> Effect {
    if operation.is_some() { Effect::NamedWrite } else { Effect::Write }
}

/// Stores a value under a key, and replies.
pub fn put(caller: Principal) {
    marks::begin();
    let message = message::argument();
    marks::end(Phase::Receive);
    let request = request_put(caller, &message);
    drop(message);
    match request {
        Ok(request) if request.method == APPLY => handing_on::update(request, caller, answer_put_of_batch),
        Ok(request) => handing_on::update(request, caller, answer_put),
        Err(failure) => ic_cdk::api::msg_reply(refuse_put(failure)),
    }
}

fn answer_put_of_batch(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let version = answer.and_then(|reply| read_one(shard, &reply, ordinary_put, general_put));
    Outcome::of(version.map(replies::put), refuse_put)
}

fn answer_put(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let done = answer.and_then(|reply| {
        if replies::read_put(&reply.bytes).is_some() {
            return Ok(reply.bytes);
        }
        Ok(replies::put(calls::read_answer::<PutReply>(shard, &reply)?.version))
    });
    Outcome::of(done, refuse_put)
}

/// Writes why a put was not done, or may not have been.
fn refuse_put(failure: Failure) -> Vec<u8> {
    write_plainly(&failure, |refusal| PutError::from_refusal(refusal.clone()).is_ok())
        .unwrap_or_else(|| codec::encode(&PutResult::Err(failure.into())))
}

fn request_put(caller: Principal, message: &[u8]) -> Result<Request, Failure> {
    let reach = authorise(Role::Writer, caller)?;
    marks::end(Phase::Rights);
    let decoded;
    let put = match PutRef::read(message) {
        Some(put) => put,
        None => {
            decoded = codec::decode::<PutArguments>(message)?;
            PutRef::from(&decoded)
        }
    };
    marks::end(Phase::Decode);
    authorise_key(reach, Role::Writer, caller, put.key)?;
    marks::end(Phase::Rights);
    check_value(put.value)?;
    check_time_to_live(put.time_to_live_milliseconds)?;
    check_operation(put.operation)?;
    let shard = state::with(|state| route(state.routing.as_ref(), put.key))?;
    marks::end(Phase::Route);
    count(caller, 1, message.len())?;
    marks::end(Phase::Rights);
    if put.is_plain() {
        return Ok(Request { shard, method: "put", arguments: put.write(), effect: Effect::Write });
    }
    Ok(apply(shard, caller, put.operation, ActionRef::Put(PutRef { operation: None, ..put })))
}

/// Reads a record, and replies.
pub fn get(caller: Principal) {
    marks::begin();
    let message = message::argument();
    marks::end(Phase::Receive);
    let request = request_get(caller, &message, "get").and_then(|request| {
        count(caller, 1, message.len())?;
        Ok(request)
    });
    drop(message);
    match request {
        Ok(request) => handing_on::update(request, caller, answer_get),
        Err(failure) => ic_cdk::api::msg_reply(refuse_get(failure)),
    }
}

/// Reads a record from one replica, and replies. It isn't counted: what a query counts is forgotten.
pub fn get_query() {
    match request_get(ic_cdk::api::msg_caller(), &message::argument(), "get_query") {
        Ok(request) => handing_on::query(request, answer_get),
        Err(failure) => ic_cdk::api::msg_reply(refuse_get(failure)),
    }
}

fn answer_get(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let found = answer.and_then(|reply| {
        if replies::is_get(&reply.bytes) {
            return Ok(reply.bytes);
        }
        let record: Option<Record> = calls::read_answer(shard, &reply)?;
        Ok(codec::encode(&GetResult::Ok(record)))
    });
    Outcome::of(found, refuse_get)
}

/// Writes why a get has no answer.
fn refuse_get(failure: Failure) -> Vec<u8> {
    write_plainly(&failure, |refusal| GetError::from_refusal(refusal.clone()).is_ok())
        .unwrap_or_else(|| codec::encode(&GetResult::Err(failure.into())))
}

fn request_get(caller: Principal, message: &[u8], method: &'static str) -> Result<Request, Failure> {
    let reach = authorise(Role::Reader, caller)?;
    marks::end(Phase::Rights);
    let decoded;
    let get = match GetRef::read(message) {
        Some(get) => get,
        None => {
            decoded = codec::decode::<GetArguments>(message)?;
            GetRef::from(&decoded)
        }
    };
    marks::end(Phase::Decode);
    authorise_key(reach, Role::Reader, caller, get.key)?;
    marks::end(Phase::Rights);
    let shard = state::with(|state| route(state.routing.as_ref(), get.key))?;
    marks::end(Phase::Route);
    Ok(Request { shard, method, arguments: get.write(), effect: Effect::Read })
}

/// Removes a record, and replies.
pub fn delete(caller: Principal) {
    marks::begin();
    let message = message::argument();
    marks::end(Phase::Receive);
    let request = request_delete(caller, &message);
    drop(message);
    match request {
        Ok(request) if request.method == APPLY => handing_on::update(request, caller, answer_delete_of_batch),
        Ok(request) => handing_on::update(request, caller, answer_delete),
        Err(failure) => ic_cdk::api::msg_reply(refuse_delete(failure)),
    }
}

fn answer_delete_of_batch(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let deleted = answer.and_then(|reply| read_one(shard, &reply, ordinary_delete, general_delete));
    Outcome::of(deleted.map(replies::delete), refuse_delete)
}

fn answer_delete(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let done = answer.and_then(|reply| {
        if replies::read_delete(&reply.bytes).is_some() {
            return Ok(reply.bytes);
        }
        Ok(replies::delete(calls::read_answer::<DeleteReply>(shard, &reply)?.deleted))
    });
    Outcome::of(done, refuse_delete)
}

/// Writes why a delete was not done, or may not have been.
fn refuse_delete(failure: Failure) -> Vec<u8> {
    write_plainly(&failure, |refusal| DeleteError::from_refusal(refusal.clone()).is_ok())
        .unwrap_or_else(|| codec::encode(&DeleteResult::Err(failure.into())))
}

fn request_delete(caller: Principal, message: &[u8]) -> Result<Request, Failure> {
    let reach = authorise(Role::Writer, caller)?;
    marks::end(Phase::Rights);
    let decoded;
    let delete = match DeleteRef::read(message) {
        Some(delete) => delete,
        None => {
            decoded = codec::decode::<DeleteArguments>(message)?;
            DeleteRef::from(&decoded)
        }
    };
    marks::end(Phase::Decode);
    authorise_key(reach, Role::Writer, caller, delete.key)?;
    marks::end(Phase::Rights);
    check_operation(delete.operation)?;
    let shard = state::with(|state| route(state.routing.as_ref(), delete.key))?;
    marks::end(Phase::Route);
    count(caller, 1, message.len())?;
    marks::end(Phase::Rights);
    if delete.is_plain() {
        return Ok(Request { shard, method: "delete", arguments: delete.write(), effect: Effect::Write });
    }
    let action = ActionRef::Delete(DeleteRef { operation: None, ..delete });
    Ok(apply(shard, caller, delete.operation, action))
}

/// Reads the only answer to a batch of one item: `ordinary` one of every day, `general` any.
fn read_one<T>(
    shard: Principal,
    reply: &Reply,
    ordinary: impl FnOnce(AnswerRef) -> Option<Result<T, Refusal>>,
    general: impl FnOnce(Answer) -> Option<Result<T, ShardError>>,
) -> Result<T, Failure> {
    let of_every_day = batch::read_answers(&reply.bytes, 1).and_then(|answers| ordinary(*answers.first()?));
    if let Some(result) = of_every_day {
        return reply.settle(result.map_err(Failure::from));
    }
    let answers: Vec<Answer> = calls::read_answer(shard, reply)?;
    let result = <[Answer; 1]>::try_from(answers).ok().and_then(|[answer]| general(answer));
    reply.settle(match result {
        Some(result) => result.map_err(|error| heard(shard, error)),
        None => Err(something_else(shard)),
    })
}

/// Reads what became of a put, if that is of every day.
pub fn ordinary_put(answer: AnswerRef) -> Option<Result<Version, Refusal>> {
    match answer {
        AnswerRef::Put(version) => Some(Ok(version)),
        AnswerRef::PutRefused(found) => Some(Err(Refusal::PreconditionFailed { found })),
        _ => None,
    }
}

/// Reads what became of a put; `None` if that is the answer to something else.
pub fn general_put(answer: Answer) -> Option<Result<Version, ShardError>> {
    match answer {
        Answer::Put(result) => Some(result.map(|reply| reply.version)),
        _ => None,
    }
}

/// Reads what became of a delete, if that is of every day: the version that it removed.
pub fn ordinary_delete(answer: AnswerRef) -> Option<Result<Option<Version>, Refusal>> {
    match answer {
        AnswerRef::Deleted(deleted) => Some(Ok(deleted)),
        AnswerRef::DeleteRefused(found) => Some(Err(Refusal::PreconditionFailed { found })),
        _ => None,
    }
}

/// Reads what became of a delete; `None` if that is the answer to something else.
pub fn general_delete(answer: Answer) -> Option<Result<Option<Version>, ShardError>> {
    match answer {
        Answer::Delete(result) => Some(result.map(|reply| reply.deleted)),
        _ => None,
    }
}

/// Says that a shard's answer is no answer to what it was asked.
pub fn something_else(shard: Principal) -> Failure {
    let reason = "the shard answered something else than it was asked".to_string();
    Failure::Unknown { shard, reject_code: 0, reason }
}
