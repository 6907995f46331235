//! Asking shards about the chunks of an upload, many at a time, wherever they lie.

use std::collections::BTreeMap;

use candid::{CandidType, Principal};
use canopy_types::api::uploads::UploadError;
use canopy_types::limits::DIGEST_BYTES;
use canopy_types::uploads::chunk_key;
use canopy_types::uploads::shard::{ChunkDigests, ChunksArguments, ShardUploadError};
use canopy_types::{Digest, UploadId, codec};
use serde::de::DeserializeOwned;

use super::{decode_answer, owner_of, refuse, settled, unread};
use crate::calls::{self, Deadline, Effect, Request};
use crate::refusal::{Failure, range_moves};
use crate::routing::not_ready;
use crate::state;

/// Times that shards are asked, each time those that own what is left.
const ROUNDS_MAX: usize = 4;

/// Chunks that one call is about.
const CHUNKS_PER_CALL: usize = 1_024;

const _: () = assert!(CHUNKS_PER_CALL <= canopy_types::limits::BATCH_ITEMS_MAX);

/// Finds the digests of an upload's chunks; `None` for those that aren't there.
///
/// # Errors
///
/// Why not.
pub async fn digests(upload: UploadId, chunks: u32, deadline: Deadline) -> Result<Vec<Option<Digest>>, UploadError> {
    let mut found = vec![None; chunks as usize];
    let heard = |indexes: &[u32], answer: ChunkDigests| {
        let mut digests = answer.digests.chunks_exact(DIGEST_BYTES);
        for (&index, &present) in indexes.iter().zip(answer.present.iter()) {
            let digest = if present == 1 { digests.next() } else { None };
            found[index as usize] = digest.map(|bytes| Digest(bytes.try_into().expect("as many bytes were cut off")));
        }
    };
    ask_all(upload, chunks, "chunk_digests", deadline, heard).await?;
    Ok(found)
}

/// Deletes an upload's chunks.
///
/// # Errors
///
/// Why not, or not all.
pub async fn delete(upload: UploadId, chunks: u32) -> Result<(), UploadError> {
    ask_all(upload, chunks, "delete_chunks", Deadline::NONE, |_, ()| {}).await
}

/// Asks all shards that own some of the chunks; those that have moved, in a further round.
async fn ask_all<T>(
    upload: UploadId,
    chunks: u32,
    method: &'static str,
    deadline: Deadline,
    mut heard: impl FnMut(&[u32], T),
) -> Result<(), UploadError>
where
    Result<T, ShardUploadError>: CandidType + DeserializeOwned,
{
    let mut left: Vec<u32> = (0..chunks).collect();
    for _ in 0..ROUNDS_MAX {
        let parts = divide(upload, &left)?;
        let request = |(shard, indexes): &(Principal, Vec<u32>)| {
            let arguments = codec::encode(&ChunksArguments { upload, indexes: indexes.clone() });
            Request { shard: *shard, method, arguments, effect: Effect::Read }
        };
        let requests: Vec<Request> = parts.iter().map(request).collect();
        let open = calls::admit(&requests).map_err(refuse)?;
        let sending = requests.into_iter().zip(open);
        let sending = sending.map(|(request, open)| calls::send_admitted(request, open, deadline));
        // After this await anything may have changed; only the answers are used.
        let replies = calls::together::all(sending).await;
        left.clear();
        for ((shard, indexes), reply) in parts.into_iter().zip(replies) {
            let answer = reply.and_then(|reply| settled(shard, decode_answer(shard, &reply.bytes)?));
            match answer {
                Ok(answer) => heard(&indexes, answer?),
                // Where some of them are, the router knows from now on, or hears when it asks again.
                Err(Failure::Elsewhere { shard, whereabouts, .. }) => {
                    calls::ask_next(shard, &whereabouts);
                    left.extend(indexes);
                }
                Err(failure) => return Err(unread(failure)),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(refuse(range_moves()))
}

/// Groups chunks by the shards that own them, as far as the router knows.
fn divide(upload: UploadId, indexes: &[u32]) -> Result<Vec<(Principal, Vec<u32>)>, UploadError> {
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refuse(not_ready()))?;
        let mut of_shards: BTreeMap<Principal, Vec<u32>> = BTreeMap::new();
        for &index in indexes {
            let hash = routing.secret.hash(&chunk_key(upload, index));
            of_shards.entry(owner_of(routing, hash)).or_default().push(index);
        }
        let calls = |(shard, indexes): (Principal, Vec<u32>)| {
            let parts: Vec<Vec<u32>> = indexes.chunks(CHUNKS_PER_CALL).map(<[u32]>::to_vec).collect();
            parts.into_iter().map(move |part| (shard, part))
        };
        Ok(of_shards.into_iter().flat_map(calls).collect())
    })
}
