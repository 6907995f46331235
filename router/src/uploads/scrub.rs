//! Scrubs: walks through all that large values consist of, page by page, for what belongs to nothing and what is missing.
//!
//! A shard answers a page: it compares manifests with uploads itself, because they lie together, and tells which chunks
//! it has and of which uploads all chunks must be there. What belongs to these lies anywhere, so other shards are asked,
//! and meanwhile uploads begin, end and are collected. What seems wrong is therefore looked at twice, each time first at
//! itself and then at what belongs to it. That order makes it certain:
//!
//! - A chunk is stored after its upload's record and deleted before it. If a chunk is there after its record was not, no
//!   collection explains it, because one that had removed the record would have deleted the chunk before.
//! - Chunks that must be there are deleted only after their upload came to its end, and none of it ever begins again. If
//!   they must be there after some were not, they had to be there then.
//!
//! The second look at what belongs to them is for an upload that was begun anew under its old id in between.
//!
//! Nothing is stored and nothing deleted, here or there. Ranges that change hands make a page `Busy`.

use std::collections::{BTreeMap, BTreeSet};

use candid::Principal;
use canopy_types::api::scrub::{ScrubArguments, ScrubError, ScrubPage, Stray, StrayKind};
use canopy_types::api::uploads::UploadError;
use canopy_types::cursor::{self, CursorOf};
use canopy_types::limits::bounded_reason;
use canopy_types::uploads::scrub::{
    ChunkPlace, FoundChunk, KnownUpload, LookUpArguments, LookedUp, ShardScrubArguments, ShardScrubError,
    ShardScrubPage, ShardScrubResult, UploadPlace, WholeUpload,
};
use canopy_types::uploads::{chunk_key, chunks_of};
use canopy_types::{HashRange, HashSecret, KeyHash, MalformedArguments, Role, codec};

use super::chunks::{Question, ask_all};
use super::{decode_answer, owner_of, refuse, unread};
use crate::access::authorise;
use crate::calls::{self, Deadline, Effect, Reply, Request};
use crate::refusal::{Failure, heard};
use crate::routing::{Routing, not_ready};
use crate::state;

#[cfg(test)]
mod tests;

/// A record that some shard is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Upload(UploadPlace),
    Chunk(ChunkPlace),
}

/// What shards say is there.
#[derive(Debug, Default)]
struct Known {
    uploads: BTreeMap<UploadPlace, KnownUpload>,
    chunks: BTreeMap<ChunkPlace, bool>,
}

/// An upload that seems to lack chunks.
#[derive(Debug, PartialEq, Eq)]
struct Lacking {
    upload: WholeUpload,
    /// The chunks that weren't there; at first, all.
    missing: Vec<u32>,
}

/// What of a page may be wrong, as far as is known.
#[derive(Debug, Default, PartialEq, Eq)]
struct Suspects {
    chunks: Vec<FoundChunk>,
    uploads: Vec<Lacking>,
}

/// Asks which records are there.
struct OfPlaces;

impl Question for OfPlaces {
    type Item = Place;

    fn method(&self) -> &'static str {
        "look_up"
    }

    fn hash(&self, secret: &HashSecret, place: &Place) -> KeyHash {
        match place {
            Place::Upload(place) => place.key_hash,
            Place::Chunk(place) => chunk_hash(secret, place),
        }
    }

    fn arguments(&self, places: &[Place]) -> Vec<u8> {
        codec::encode(&sorted(places))
    }
}

impl Suspects {
    /// Suspects all of a page.
    fn of_page(chunks: Vec<FoundChunk>, whole: Vec<WholeUpload>) -> Self {
        let lacking = |upload: WholeUpload| {
            let missing = (0..chunks_of(upload.value_bytes)).collect();
            Lacking { upload, missing }
        };
        Self { chunks, uploads: whole.into_iter().map(lacking).collect() }
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.uploads.is_empty()
    }

    /// Lists the suspects.
    fn themselves(&self) -> Vec<Place> {
        let chunks = self.chunks.iter().map(|chunk| Place::Chunk(chunk.place));
        chunks.chain(self.uploads.iter().map(|lacking| Place::Upload(lacking.upload.place))).collect()
    }

    /// Lists what should belong to the suspects.
    fn belongings(&self) -> Vec<Place> {
        let uploads: BTreeSet<UploadPlace> = self.chunks.iter().map(|chunk| chunk.place.upload).collect();
        let missing = self
            .uploads
            .iter()
            .flat_map(|lacking| lacking.missing.iter().map(|&index| chunk_of(&lacking.upload, index)));
        uploads.into_iter().map(Place::Upload).chain(missing.map(Place::Chunk)).collect()
    }

    /// Clears those that are not what they were: chunks that are gone, and uploads whose chunks may be.
    fn clear_changed(&mut self, known: &Known) {
        self.chunks.retain(|chunk| known.chunks.get(&chunk.place) == Some(&true));
        self.uploads.retain(|lacking| known.uploads.get(&lacking.upload.place) == Some(&KnownUpload::Whole));
    }

    /// Clears those whose belongings are there.
    fn clear_complete(&mut self, known: &Known) {
        self.chunks.retain(|chunk| known.uploads.get(&chunk.place.upload) == Some(&KnownUpload::Nothing));
        for lacking in &mut self.uploads {
            let (upload, missing) = (&lacking.upload, &mut lacking.missing);
            missing.retain(|&index| known.chunks.get(&chunk_of(upload, index)) == Some(&false));
        }
        self.uploads.retain(|lacking| !lacking.missing.is_empty());
    }

    /// Reports what is left, which `shard` has.
    fn report(self, shard: Principal, secret: &HashSecret) -> Vec<Stray> {
        let chunk = |FoundChunk { place, bytes }| Stray {
            kind: StrayKind::ChunkWithoutUpload { index: place.index, key_hash: place.upload.key_hash },
            upload: place.upload.upload,
            shard,
            hash: chunk_hash(secret, &place),
            key: None,
            bytes,
        };
        let upload = |Lacking { upload, missing }: Lacking| Stray {
            kind: StrayKind::ChunksMissing {
                state: upload.state,
                missing: missing.len() as u32,
                first: missing.first().copied().expect("uploads that lack nothing were cleared"),
            },
            upload: upload.place.upload,
            shard,
            hash: upload.place.key_hash,
            key: Some(upload.key),
            bytes: upload.value_bytes,
        };
        self.chunks.into_iter().map(chunk).chain(self.uploads.into_iter().map(upload)).collect()
    }
}

/// Answers a page of a scrub.
///
/// # Errors
///
/// Why not.
pub async fn scrub(
    caller: Principal,
    arguments: Result<ScrubArguments, MalformedArguments>,
) -> Result<ScrubPage, ScrubError> {
    let deadline = Deadline::of_message();
    authorise(Role::Administrator, caller).map_err(|_| ScrubError::Unauthorised { caller })?;
    let ScrubArguments { cursor } =
        arguments.map_err(|malformed| ScrubError::MalformedArguments { reason: malformed.reason })?;
    let at = match &cursor {
        None => HashRange::FULL.first,
        Some(cursor) => cursor::hash_of(CursorOf::Scrub, cursor)
            .map_err(|fault| ScrubError::InvalidCursor { reason: bounded_reason(&fault.to_string()) })?,
    };
    let (shard, page) = ask_page(at, ShardScrubArguments { cursor }, deadline).await?;
    let ShardScrubPage { uploads, manifests, whole, chunks, mut strays, cursor } = page;
    let found = chunks.len() as u64;
    let mut suspects = Suspects::of_page(chunks, whole);
    suspects.clear_complete(&look_up(suspects.belongings(), deadline).await?);
    if !suspects.is_empty() {
        suspects.clear_changed(&look_up(suspects.themselves(), deadline).await?);
        suspects.clear_complete(&look_up(suspects.belongings(), deadline).await?);
    }
    strays.extend(with_routing(|routing| suspects.report(shard, &routing.secret))?);
    Ok(ScrubPage { uploads, manifests, chunks: found, strays, cursor })
}

/// Asks the shard that owns a hash for the page there, and tells which shard that was.
async fn ask_page(
    at: KeyHash,
    arguments: ShardScrubArguments,
    deadline: Deadline,
) -> Result<(Principal, ShardScrubPage), ScrubError> {
    let shard = with_routing(|routing| owner_of(routing, at))?;
    let request = Request { shard, method: "scrub", arguments: codec::encode(&arguments), effect: Effect::Read };
    let page = calls::ask(request, deadline, |shard, reply: Reply| {
        match decode_answer::<ShardScrubResult>(shard, &reply.bytes)? {
            Ok(page) => Ok(Ok((shard, page))),
            Err(ShardScrubError::InvalidCursor { reason }) => Ok(Err(ScrubError::InvalidCursor { reason })),
            Err(ShardScrubError::Shard(error)) => Err(heard(shard, error)),
        }
    });
    page.await.unwrap_or_else(|failure: Failure| Err(failed(unread(failure))))
}

/// Asks all shards that own some of these places what is there.
async fn look_up(places: Vec<Place>, deadline: Deadline) -> Result<Known, ScrubError> {
    let mut known = Known::default();
    let heard = |places: &[Place], found: LookedUp| {
        let LookUpArguments { uploads, chunks } = sorted(places);
        known.uploads.extend(uploads.into_iter().zip(found.uploads));
        known.chunks.extend(chunks.into_iter().zip(found.chunks));
    };
    ask_all(&OfPlaces, places, deadline, heard).await.map_err(failed)?;
    Ok(known)
}

fn with_routing<R>(action: impl FnOnce(&Routing) -> R) -> Result<R, ScrubError> {
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| failed(refuse(not_ready())))?;
        Ok(action(routing))
    })
}

/// Sorts places by what they are of.
fn sorted(places: &[Place]) -> LookUpArguments {
    let mut arguments = LookUpArguments::default();
    for place in places {
        match place {
            Place::Upload(place) => arguments.uploads.push(*place),
            Place::Chunk(place) => arguments.chunks.push(*place),
        }
    }
    arguments
}

fn chunk_of(upload: &WholeUpload, index: u32) -> ChunkPlace {
    ChunkPlace { upload: upload.place, index }
}

fn chunk_hash(secret: &HashSecret, place: &ChunkPlace) -> KeyHash {
    secret.hash(&chunk_key(place.upload.upload, place.index))
}

/// Makes the error of why shards didn't answer.
fn failed(error: UploadError) -> ScrubError {
    let refusal = error.into_refusal().map_err(|other| format!("{other:?}"));
    let refused = refusal.and_then(|refusal| ScrubError::from_refusal(refusal).map_err(|other| format!("{other:?}")));
    refused.unwrap_or_else(|other| ScrubError::MalformedArguments {
        reason: bounded_reason(&format!("a shard answered as if it were asked for something else: {other}")),
    })
}
