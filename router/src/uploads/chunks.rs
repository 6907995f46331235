//! Asking shards about the chunks of an upload, many at a time, wherever they lie; and about whatever else lies anywhere.

use std::collections::BTreeMap;

use candid::{CandidType, Principal};
use canopy_types::api::uploads::UploadError;
use canopy_types::limits::DIGEST_BYTES;
use canopy_types::uploads::chunk_key;
use canopy_types::uploads::scrub::UploadPlace;
use canopy_types::uploads::shard::{ChunkDigests, ChunksArguments, ShardUploadError};
use canopy_types::{Digest, HashSecret, KeyHash, codec};
use serde::de::DeserializeOwned;

use super::{decode_answer, owner_of, refuse, settled, unread};
use crate::calls::{self, Deadline, Effect, Request};
use crate::refusal::{Failure, range_moves};
use crate::routing::not_ready;
use crate::state;

/// Times that shards are asked, each time those that own what is left.
const ROUNDS_MAX: usize = 4;

/// Chunks, or other items, that one call is about.
const ITEMS_PER_CALL: usize = 1_024;

const _: () = assert!(ITEMS_PER_CALL <= canopy_types::limits::BATCH_ITEMS_MAX);

/// What shards are asked about items that lie anywhere. What it has them do, does no harm when it is done again.
pub trait Question {
    /// What it is about.
    type Item: Clone;

    /// Names the method of the shards.
    fn method(&self) -> &'static str;

    /// Tells the hash under which an item lies.
    fn hash(&self, secret: &HashSecret, item: &Self::Item) -> KeyHash;

    /// Makes the arguments of a call about some of the items.
    fn arguments(&self, items: &[Self::Item]) -> Vec<u8>;
}

/// Asks about chunks of an upload, by their indexes.
struct OfChunks {
    upload: UploadPlace,
    method: &'static str,
}

impl Question for OfChunks {
    type Item = u32;

    fn method(&self) -> &'static str {
        self.method
    }

    fn hash(&self, secret: &HashSecret, index: &u32) -> KeyHash {
        secret.hash(&chunk_key(self.upload.upload, *index))
    }

    fn arguments(&self, indexes: &[u32]) -> Vec<u8> {
        let UploadPlace { key_hash, upload } = self.upload;
        codec::encode(&ChunksArguments { upload, key_hash, indexes: indexes.to_vec() })
    }
}

/// A shard, and items that it owns.
type Part<I> = (Principal, Vec<I>);

/// Finds the digests of an upload's chunks; `None` for those that aren't there.
///
/// # Errors
///
/// Why not.
pub async fn digests(upload: UploadPlace, chunks: u32, deadline: Deadline) -> Result<Vec<Option<Digest>>, UploadError> {
    let mut found = vec![None; chunks as usize];
    let heard = |indexes: &[u32], answer: ChunkDigests| {
        let mut digests = answer.digests.chunks_exact(DIGEST_BYTES);
        for (&index, &present) in indexes.iter().zip(answer.present.iter()) {
            let digest = if present == 1 { digests.next() } else { None };
            found[index as usize] = digest.map(|bytes| Digest(bytes.try_into().expect("as many bytes were cut off")));
        }
    };
    let question = OfChunks { upload, method: "chunk_digests" };
    ask_all(&question, (0..chunks).collect(), deadline, heard).await?;
    Ok(found)
}

/// Deletes an upload's chunks.
///
/// # Errors
///
/// Why not, or not all.
pub async fn delete(upload: UploadPlace, chunks: u32) -> Result<(), UploadError> {
    let question = OfChunks { upload, method: "delete_chunks" };
    ask_all(&question, (0..chunks).collect(), Deadline::NONE, |_, ()| {}).await
}

/// Asks all shards that own some of the items; about those that have moved, in a further round.
///
/// # Errors
///
/// Why there is no answer about some of them.
pub async fn ask_all<Q: Question, T>(
    question: &Q,
    items: Vec<Q::Item>,
    deadline: Deadline,
    mut heard: impl FnMut(&[Q::Item], T),
) -> Result<(), UploadError>
where
    Result<T, ShardUploadError>: CandidType + DeserializeOwned,
{
    let mut left = items;
    for _ in 0..ROUNDS_MAX {
        let parts = divide(question, &left)?;
        let request = |(shard, items): &Part<Q::Item>| {
            let (method, arguments) = (question.method(), question.arguments(items));
            Request { shard: *shard, method, arguments, effect: Effect::Read }
        };
        let requests: Vec<Request> = parts.iter().map(request).collect();
        let open = calls::admit(&requests).map_err(refuse)?;
        let sending = requests.into_iter().zip(open);
        let sending = sending.map(|(request, open)| calls::send_admitted(request, open, deadline));
        // After this await anything may have changed; only the answers are used.
        let replies = calls::together::all(sending).await;
        left.clear();
        for ((shard, items), reply) in parts.into_iter().zip(replies) {
            let answer = reply.and_then(|reply| settled(shard, decode_answer(shard, &reply.bytes)?));
            match answer {
                Ok(answer) => heard(&items, answer?),
                // Where some of them are, the router knows from now on, or hears when it asks again.
                Err(Failure::Elsewhere { shard, whereabouts, .. }) => {
                    calls::ask_next(shard, &whereabouts);
                    left.extend(items);
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

/// Groups items by the shards that own them, as far as the router knows.
fn divide<Q: Question>(question: &Q, items: &[Q::Item]) -> Result<Vec<Part<Q::Item>>, UploadError> {
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refuse(not_ready()))?;
        let mut of_shards: BTreeMap<Principal, Vec<Q::Item>> = BTreeMap::new();
        for item in items {
            let owner = owner_of(routing, question.hash(&routing.secret, item));
            of_shards.entry(owner).or_default().push(item.clone());
        }
        let calls = |(shard, items): Part<Q::Item>| {
            let parts: Vec<Vec<Q::Item>> = items.chunks(ITEMS_PER_CALL).map(<[Q::Item]>::to_vec).collect();
            parts.into_iter().map(move |part| (shard, part))
        };
        Ok(of_shards.into_iter().flat_map(calls).collect())
    })
}
