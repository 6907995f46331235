//! Large values: uploads are begun, looked after and published here; their chunks go to their own shards.
//!
//! Everything that is asked about an upload may be asked again: its record at the key's shard says how far it is. Only a
//! commit needs the router, which compares the chunks' digests, wherever they lie, before the key's shard publishes.
//! [`open`] counts who has how much open, [`chunks`] asks shards about chunks, [`collecting`] has them deleted, and
//! [`scrub`] finds what is left or missing.

use candid::{CandidType, Principal};
use canopy_types::api::Refusal;
use canopy_types::api::uploads::{
    BeginUploadArguments, BegunUpload, CommitUploadArguments, CommittedUpload, GetChunkArguments, GetChunkResult,
    GetManifestArguments, GetManifestResult, PutChunkArguments, UploadArguments, UploadError, UploadStatus,
};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::policy::UploadPolicy;
use canopy_types::shard::ShardError;
use canopy_types::uploads::scrub::UploadPlace;
use canopy_types::uploads::shard::{
    OpenUploadArguments, PublishUploadArguments, ShardGetChunkResult, ShardGetManifestResult, ShardUploadArguments,
    ShardUploadError, UploadRecord,
};
use canopy_types::uploads::{check_size, chunk_key, chunks_of};
use canopy_types::wire::uploads::is_chunk;
use canopy_types::{Digest, KeyHash, MalformedArguments, Role, UploadFault, UploadState, codec};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::access::{authorise, authorise_key, count};
use crate::calls::handing_on::{self, Outcome};
use crate::calls::{self, Deadline, Effect, Reply, Request};
use crate::refusal::{Failure, heard};
use crate::routing::{check_key, check_time_to_live, not_ready, route};
use crate::state;

mod chunks;
pub mod collecting;
pub mod open;
pub mod scrub;

use open::Opening;

/// Checks that `caller` may do what `required` may with the key of its arguments, and counts it if it is an update.
fn admit<A>(
    required: Role,
    caller: Principal,
    arguments: Result<A, MalformedArguments>,
    key: impl FnOnce(&A) -> (&[u8], usize),
) -> Result<A, UploadError> {
    let reach = authorise(required, caller).map_err(refuse)?;
    let arguments = arguments.map_err(malformed)?;
    let (key, bytes) = key(&arguments);
    check_key(key).and_then(|()| authorise_key(reach, required, caller, key)).map_err(refuse)?;
    if !ic_cdk::api::in_replicated_execution() {
        // What a query counts is forgotten.
        return Ok(arguments);
    }
    count(caller, 1, key.len() + bytes).map_err(refuse)?;
    Ok(arguments)
}

/// Begins an upload, or finds the one that the same arguments began.
///
/// # Errors
///
/// Why not.
pub async fn begin(
    caller: Principal,
    arguments: Result<BeginUploadArguments, MalformedArguments>,
) -> Result<BegunUpload, UploadError> {
    let deadline = Deadline::of_message();
    let begin = admit(Role::Writer, caller, arguments, |begin| (&begin.key, 0))?;
    check_size(begin.value_bytes)?;
    check_time_to_live(begin.time_to_live_milliseconds).map_err(refuse)?;
    let shard = shard_of_key(&begin.key)?;
    let (upload, value_bytes, now) = (begin.upload, begin.value_bytes, ic_cdk::api::time());
    let UploadPolicy { open_milliseconds, kept_milliseconds, .. } = state::with(|state| state.policy().upload_policy());
    let until = now + open_milliseconds * 1_000_000;
    // Counted before it is there, so that it is never there uncounted.
    let is_new = state::with(|state| {
        let policy = state.policy().upload_policy();
        open::count(&mut state.open_uploads, &policy, &Opening { owner: caller, upload, value_bytes, until, now })
    })?;
    let arguments = OpenUploadArguments { caller, begin, open_milliseconds, kept_milliseconds };
    let opened: Result<UploadRecord, UploadError> = ask(shard, "open_upload", &arguments, deadline).await;
    let is_open = |record: &UploadRecord| record.state == UploadState::Open;
    // After the await the same upload may have been begun again, which counts nothing.
    let keeps = opened.as_ref().map_or_else(|error| !is_new || matches!(error, UploadError::Unknown { .. }), is_open);
    if !keeps {
        state::with(|state| open::forget(&mut state.open_uploads, caller, upload));
    }
    let record = opened?;
    match record.state {
        UploadState::Open | UploadState::Published { .. } | UploadState::Replaced { .. } => Ok(BegunUpload {
            chunk_bytes: CHUNK_BYTES as u64,
            chunks: chunks_of(record.value_bytes),
            pass: record.pass,
            until_nanoseconds: record.until_nanoseconds,
        }),
        UploadState::Aborted => Err(UploadFault::Aborted.into()),
        UploadState::Refused { found } => Err(UploadError::PreconditionFailed { found }),
    }
}

/// Sends a chunk to its shard.
///
/// # Errors
///
/// Why not.
pub async fn put_chunk(
    caller: Principal,
    arguments: Result<PutChunkArguments, MalformedArguments>,
) -> Result<(), UploadError> {
    let deadline = Deadline::of_message();
    let mut arguments = admit(Role::Writer, caller, arguments, |chunk| (&chunk.key, chunk.bytes.len()))?;
    let shard = shard_of_chunk(&arguments.upload, arguments.index)?;
    arguments.caller = Some(caller);
    let request = Request { shard, method: "put_chunk", arguments: codec::encode(&arguments), effect: Effect::Read };
    drop(arguments);
    ask_with(request, deadline).await
}

/// Compares the digests of an upload's chunks, and has it published.
///
/// # Errors
///
/// Why not.
pub async fn commit(
    caller: Principal,
    arguments: Result<CommitUploadArguments, MalformedArguments>,
) -> Result<CommittedUpload, UploadError> {
    let deadline = Deadline::of_message();
    let CommitUploadArguments { key, upload, digest } =
        admit(Role::Writer, caller, arguments, |commit| (&commit.key, 0))?;
    let record = record(caller, &key, upload, deadline).await?;
    // Whatever happens meanwhile, only an open upload is published, and the chunks of an open one stay.
    if record.state == UploadState::Open {
        let digests = chunks::digests(place_of(&key, upload)?, chunks_of(record.value_bytes), deadline).await?;
        let computed = complete(&digests)?;
        if computed != digest {
            return Err(UploadFault::WrongDigest { computed }.into());
        }
    }
    let shard = shard_of_key(&key)?;
    let arguments = PublishUploadArguments { caller, key, upload, digest };
    let published = ask(shard, "publish_upload", &arguments, deadline).await;
    let is_over = match &published {
        Ok(_) => true,
        Err(error) => {
            matches!(error, UploadError::PreconditionFailed { .. } | UploadError::Upload(UploadFault::Aborted))
        }
    };
    if is_over {
        state::with(|state| open::forget(&mut state.open_uploads, caller, upload));
    }
    published
}

/// Digests a value all of whose chunks are there.
fn complete(digests: &[Option<Digest>]) -> Result<Digest, UploadFault> {
    let missing = digests.iter().filter(|digest| digest.is_none()).count() as u32;
    match digests.iter().position(Option::is_none) {
        Some(first) => Err(UploadFault::ChunksMissing { missing, first: first as u32 }),
        None => Ok(Digest::of_chunks(digests.iter().flatten())),
    }
}

/// Gives an upload up.
///
/// # Errors
///
/// Why not.
pub async fn abort(
    caller: Principal,
    arguments: Result<UploadArguments, MalformedArguments>,
) -> Result<(), UploadError> {
    let deadline = Deadline::of_message();
    let UploadArguments { key, upload } = admit(Role::Writer, caller, arguments, |named| (&named.key, 0))?;
    let shard = shard_of_key(&key)?;
    let arguments = ShardUploadArguments { caller, key, upload };
    let closed: Result<UploadRecord, UploadError> = ask(shard, "close_upload", &arguments, deadline).await;
    closed?;
    state::with(|state| open::forget(&mut state.open_uploads, caller, upload));
    Ok(())
}

/// Tells how far an upload is, and which of its chunks are there.
///
/// # Errors
///
/// Why not.
pub async fn status(
    caller: Principal,
    arguments: Result<UploadArguments, MalformedArguments>,
) -> Result<UploadStatus, UploadError> {
    let deadline = Deadline::of_message();
    let UploadArguments { key, upload } = admit(Role::Writer, caller, arguments, |named| (&named.key, 0))?;
    let record = record(caller, &key, upload, deadline).await?;
    let chunks = chunks_of(record.value_bytes);
    let digests = chunks::digests(place_of(&key, upload)?, chunks, deadline).await?;
    let mut present = vec![0; digests.len().div_ceil(8)];
    for (index, digest) in digests.iter().enumerate() {
        present[index / 8] |= u8::from(digest.is_some()) << (index % 8);
    }
    Ok(UploadStatus {
        state: record.state,
        value_bytes: record.value_bytes,
        chunk_bytes: CHUNK_BYTES as u64,
        chunks,
        pass: record.pass,
        until_nanoseconds: record.until_nanoseconds,
        present: ByteBuf::from(present),
    })
}

async fn record(
    caller: Principal,
    key: &ByteBuf,
    upload: canopy_types::UploadId,
    deadline: Deadline,
) -> Result<UploadRecord, UploadError> {
    let shard = shard_of_key(key)?;
    ask(shard, "upload", &ShardUploadArguments { caller, key: key.clone(), upload }, deadline).await
}

// Reads ---------------------------------------------------------------------------------------------------------------

/// Reads a manifest, and replies.
pub fn get_manifest(caller: Principal) {
    match request_manifest(caller) {
        Ok(request) => handing_on::update(request, caller, answer_manifest),
        Err(error) => reply(&GetManifestResult::Err(error)),
    }
}

/// Reads a manifest from one replica, and replies.
pub fn get_manifest_query(caller: Principal) {
    match request_manifest(caller) {
        Ok(request) => handing_on::query(request, answer_manifest),
        Err(error) => reply(&GetManifestResult::Err(error)),
    }
}

/// Reads a chunk, and replies.
pub fn get_chunk(caller: Principal) {
    match request_chunk(caller) {
        Ok(request) => handing_on::update(request, caller, answer_chunk),
        Err(error) => reply(&GetChunkResult::Err(error)),
    }
}

/// Reads a chunk from one replica, and replies.
pub fn get_chunk_query(caller: Principal) {
    match request_chunk(caller) {
        Ok(request) => handing_on::query(request, answer_chunk),
        Err(error) => reply(&GetChunkResult::Err(error)),
    }
}

fn reply<T: CandidType>(result: &T) {
    ic_cdk::api::msg_reply(codec::encode(result));
}

fn request_manifest(caller: Principal) -> Result<Request, UploadError> {
    let arguments = codec::decode::<GetManifestArguments>(&ic_cdk::api::msg_arg_data());
    let arguments = admit(Role::Reader, caller, arguments, |get| (&get.key, 0))?;
    let shard = shard_of_key(&arguments.key)?;
    Ok(Request { shard, method: "get_manifest", arguments: codec::encode(&arguments), effect: Effect::Read })
}

fn request_chunk(caller: Principal) -> Result<Request, UploadError> {
    let arguments = codec::decode::<GetChunkArguments>(&ic_cdk::api::msg_arg_data());
    let arguments = admit(Role::Reader, caller, arguments, |get| (&get.key, get.pass.len()))?;
    let shard = shard_of_chunk(&arguments.upload, arguments.index)?;
    Ok(Request { shard, method: "get_chunk", arguments: codec::encode(&arguments), effect: Effect::Read })
}

fn answer_manifest(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let manifest = answer.and_then(|reply| {
        let manifest: ShardGetManifestResult = decode_answer(shard, &reply.bytes)?;
        settled(shard, manifest).map(|result| codec::encode(&GetManifestResult::from(result)))
    });
    Outcome::of(manifest, |failure| codec::encode(&GetManifestResult::Err(unread(failure))))
}

fn answer_chunk(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let chunk = answer.and_then(|reply| {
        if is_chunk(&reply.bytes) {
            return Ok(reply.bytes);
        }
        let chunk: ShardGetChunkResult = decode_answer(shard, &reply.bytes)?;
        settled(shard, chunk).map(|result| codec::encode(&GetChunkResult::from(result)))
    });
    Outcome::of(chunk, |failure| codec::encode(&GetChunkResult::Err(unread(failure))))
}

// Asking shards -------------------------------------------------------------------------------------------------------

fn shard_of_key(key: &[u8]) -> Result<Principal, UploadError> {
    state::with(|state| route(state.routing.as_ref(), key)).map_err(refuse)
}

/// Tells where the record of an upload lies.
fn place_of(key: &[u8], upload: canopy_types::UploadId) -> Result<UploadPlace, UploadError> {
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refuse(not_ready()))?;
        Ok(UploadPlace { key_hash: routing.secret.hash(key), upload })
    })
}

fn shard_of_chunk(upload: &canopy_types::UploadId, index: u32) -> Result<Principal, UploadError> {
    let key = chunk_key(*upload, index);
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refuse(not_ready()))?;
        Ok(owner_of(routing, routing.secret.hash(&key)))
    })
}

fn owner_of(routing: &crate::routing::Routing, hash: KeyHash) -> Principal {
    routing.table.find(hash).expect("INVARIANT: a routing table that is in use covers every hash").shard
}

/// Asks a shard to do what may be asked for again: then only its own word settles what became of it.
async fn ask<A: CandidType, T>(
    shard: Principal,
    method: &'static str,
    arguments: &A,
    deadline: Deadline,
) -> Result<T, UploadError>
where
    Result<T, ShardUploadError>: CandidType + DeserializeOwned,
{
    ask_with(Request { shard, method, arguments: codec::encode(arguments), effect: Effect::NamedWrite }, deadline).await
}

async fn ask_with<T>(request: Request, deadline: Deadline) -> Result<T, UploadError>
where
    Result<T, ShardUploadError>: CandidType + DeserializeOwned,
{
    let answer = calls::ask(request, deadline, |shard, reply: Reply| {
        let settled = settled(shard, decode_answer(shard, &reply.bytes)?);
        reply.settle(settled)
    });
    match answer.await {
        Ok(result) => result,
        Err(failure) => Err(failed(failure)),
    }
}

fn decode_answer<R: CandidType + DeserializeOwned>(shard: Principal, bytes: &[u8]) -> Result<R, Failure> {
    codec::decode(bytes).map_err(|malformed| {
        let reason = format!("the shard's answer can't be read: {}", malformed.reason);
        Failure::Unknown { shard, reject_code: 0, reason }
    })
}

/// Tells a word about the upload, which is final, from a refusal of the shard.
fn settled<T>(shard: Principal, answer: Result<T, ShardUploadError>) -> Result<Result<T, UploadError>, Failure> {
    match answer {
        Ok(done) => Ok(Ok(done)),
        Err(ShardUploadError::Upload(fault)) => Ok(Err(fault.into())),
        Err(ShardUploadError::Shard(ShardError::PreconditionFailed { found })) => {
            Ok(Err(UploadError::PreconditionFailed { found }))
        }
        Err(ShardUploadError::Shard(error)) => Err(heard(shard, error)),
    }
}

fn malformed(malformed: MalformedArguments) -> UploadError {
    UploadError::MalformedArguments { reason: malformed.reason }
}

fn refuse(refusal: Refusal) -> UploadError {
    UploadError::from_refusal(refusal).unwrap_or_else(|other| UploadError::Unknown {
        reason: format!("the shard answered as if it were asked for something else: {other:?}"),
    })
}

/// Makes the error of what may have been done.
fn failed(failure: Failure) -> UploadError {
    match failure.settled() {
        Failure::NotDone(refusal) => refuse(refusal),
        Failure::Unknown { reason, .. } => UploadError::Unknown { reason },
        Failure::Elsewhere { .. } => unreachable!("INVARIANT: a settled failure is one of the others"),
    }
}

/// Makes the error of a read: what was lost is merely no answer.
fn unread(failure: Failure) -> UploadError {
    match failure {
        Failure::Unknown { shard, reject_code, reason } => {
            UploadError::ShardUnavailable { shard, reject_code, message: reason }
        }
        failure => failed(failure),
    }
}
