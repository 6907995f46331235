//! Put, get and delete: from the message to the shard, and from its answer to the reply.
//!
//! A write of key and value alone goes to the shard's `put` or `delete`, which shards of every version understand; one
//! with a precondition, a time to live or an operation goes to `apply`, with its caller, because a shard that doesn't
//! know a field ignores it. What a shard answers on an ordinary day is handed on as it came.

use candid::Principal;
use canopy_types::shard::Answer;
use canopy_types::wire::{ActionRef, ApplyRef, DeleteRef, GetRef, ItemRef, OperationRef, PutRef, batch, replies};
use canopy_types::{
    DeleteArguments, DeleteReply, GetArguments, GetResult, PutArguments, PutReply, Record, Role, codec,
};

use crate::access::{authorise, authorise_key, count};
use crate::calls::{self, Mode};
use crate::refusal::Refusal;
use crate::routing::{check_operation, check_time_to_live, check_value, route};
use crate::state;

/// A call to a shard: which one, which method, with what.
struct Request {
    shard: Principal,
    method: &'static str,
    arguments: Vec<u8>,
}

impl Request {
    fn apply(shard: Principal, caller: Principal, operation: Option<OperationRef>, action: ActionRef) -> Self {
        let items = vec![ItemRef { index: 0, action }];
        let batch = ApplyRef { caller: caller.as_slice(), operation, reply_bytes_max: None, items };
        Self { shard, method: APPLY, arguments: batch.write() }
    }

    async fn send(&self) -> Result<Vec<u8>, Refusal> {
        calls::send(self.shard, self.method, &self.arguments, Mode::Replicated).await
    }
}

const APPLY: &str = "apply";

/// Stores a value under a key, and makes the reply.
///
/// # Errors
///
/// Why that was not done, or may not have been.
pub async fn put(message: &[u8]) -> Result<Vec<u8>, Refusal> {
    let request = request_put(message)?;
    let reply = request.send().await?;
    let version = if request.method == APPLY {
        match batch::read_one_put(&reply) {
            Some(version) => version,
            None => {
                read_answer(request.shard, &reply, |answer| match answer {
                    Answer::Put(result) => Some(result),
                    _ => None,
                })?
                .version
            }
        }
    } else if replies::read_put(&reply).is_some() {
        return Ok(reply);
    } else {
        calls::read::<PutReply>(request.shard, &reply)?.version
    };
    Ok(replies::put(version))
}

fn request_put(message: &[u8]) -> Result<Request, Refusal> {
    let caller = ic_cdk::api::msg_caller();
    let reach = authorise(Role::Writer, caller)?;
    let decoded;
    let put = match PutRef::read(message) {
        Some(put) => put,
        None => {
            decoded = codec::decode::<PutArguments>(message)?;
            PutRef::from(&decoded)
        }
    };
    authorise_key(reach, Role::Writer, caller, put.key)?;
    check_value(put.value)?;
    check_time_to_live(put.time_to_live_milliseconds)?;
    check_operation(put.operation)?;
    let shard = state::with(|state| route(state.routing.as_ref(), put.key))?;
    count(caller, 1, message.len())?;
    if put.is_plain() {
        return Ok(Request { shard, method: "put", arguments: put.write() });
    }
    Ok(Request::apply(shard, caller, put.operation, ActionRef::Put(PutRef { operation: None, ..put })))
}

/// Reads a record, and makes the reply.
///
/// # Errors
///
/// Why there is no answer.
pub async fn get(message: &[u8], method: &str, mode: Mode) -> Result<Vec<u8>, Refusal> {
    let (shard, arguments) = request_get(message, mode)?;
    let reply = calls::send(shard, method, &arguments, mode).await?;
    if replies::is_get(&reply) {
        return Ok(reply);
    }
    let record: Option<Record> = calls::read(shard, &reply)?;
    Ok(codec::encode(&GetResult::Ok(record)))
}

fn request_get(message: &[u8], mode: Mode) -> Result<(Principal, Vec<u8>), Refusal> {
    let caller = ic_cdk::api::msg_caller();
    let reach = authorise(Role::Reader, caller)?;
    let decoded;
    let get = match GetRef::read(message) {
        Some(get) => get,
        None => {
            decoded = codec::decode::<GetArguments>(message)?;
            GetRef::from(&decoded)
        }
    };
    authorise_key(reach, Role::Reader, caller, get.key)?;
    let shard = state::with(|state| route(state.routing.as_ref(), get.key))?;
    // What a query counts is forgotten.
    if mode == Mode::Replicated {
        count(caller, 1, message.len())?;
    }
    Ok((shard, get.write()))
}

/// Removes a record, and makes the reply.
///
/// # Errors
///
/// Why that was not done, or may not have been.
pub async fn delete(message: &[u8]) -> Result<Vec<u8>, Refusal> {
    let request = request_delete(message)?;
    let reply = request.send().await?;
    let deleted = if request.method == APPLY {
        let answer = |answer| match answer {
            Answer::Delete(result) => Some(result),
            _ => None,
        };
        read_answer(request.shard, &reply, answer)?.deleted
    } else if replies::read_delete(&reply).is_some() {
        return Ok(reply);
    } else {
        calls::read::<DeleteReply>(request.shard, &reply)?.deleted
    };
    Ok(replies::delete(deleted))
}

fn request_delete(message: &[u8]) -> Result<Request, Refusal> {
    let caller = ic_cdk::api::msg_caller();
    let reach = authorise(Role::Writer, caller)?;
    let decoded;
    let delete = match DeleteRef::read(message) {
        Some(delete) => delete,
        None => {
            decoded = codec::decode::<DeleteArguments>(message)?;
            DeleteRef::from(&decoded)
        }
    };
    authorise_key(reach, Role::Writer, caller, delete.key)?;
    check_operation(delete.operation)?;
    let shard = state::with(|state| route(state.routing.as_ref(), delete.key))?;
    count(caller, 1, message.len())?;
    if delete.is_plain() {
        return Ok(Request { shard, method: "delete", arguments: delete.write() });
    }
    let action = ActionRef::Delete(DeleteRef { operation: None, ..delete });
    Ok(Request::apply(shard, caller, delete.operation, action))
}

/// Reads the only answer to a batch of one item.
fn read_answer<T>(
    shard: Principal,
    reply: &[u8],
    of_kind: impl FnOnce(Answer) -> Option<Result<T, canopy_types::shard::ShardError>>,
) -> Result<T, Refusal> {
    let answers: Vec<Answer> = calls::read(shard, reply)?;
    let result = <[Answer; 1]>::try_from(answers).ok().and_then(|[answer]| of_kind(answer));
    match result {
        Some(result) => result.map_err(|error| Refusal::from_shard(shard, error)),
        None => {
            let reason = "the shard answered something else than it was asked".to_string();
            Err(Refusal::Unknown { shard, reject_code: 0, reason })
        }
    }
}
