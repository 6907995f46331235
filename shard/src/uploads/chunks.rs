//! Chunks at their own shards: stored, read, compared, deleted.

use candid::Principal;
use canopy_types::api::uploads::{GetChunkArguments, PutChunkArguments};
use canopy_types::limits::{BATCH_ITEMS_MAX, DIGEST_BYTES};
use canopy_types::shard::ShardError;
use canopy_types::uploads::shard::{ChunkDigests, ChunksArguments, ShardUploadError};
use canopy_types::uploads::{chunk_bytes, chunks_of};
use canopy_types::wire::uploads::begin_chunk;
use canopy_types::{Digest, KeyHash, UploadFault, UploadId};
use serde_bytes::ByteBuf;

use super::pass;
use crate::operations::refusal;
use crate::state::State;
use crate::store::{Delete, KeyRef, Kind, Put, ValuePlace};
use crate::transfer::turn::Access;

/// Bytes of a chunk's record before the chunk itself: its digest, and the hash of the value's key, little-endian.
pub(super) const HEAD_BYTES: usize = DIGEST_BYTES + 8;

/// What a chunk's record says about the chunk.
pub(super) struct StoredChunk {
    pub digest: Digest,
    /// Hash of the value's key, under which the upload's record lies.
    pub key_hash: KeyHash,
    /// Where the chunk's bytes lie.
    pub bytes: ValuePlace,
}

impl State {
    /// Stores a chunk for `owner`, who began the upload. The same again changes nothing.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn put_chunk(&mut self, owner: Principal, arguments: &PutChunkArguments) -> Result<(), ShardUploadError> {
        let PutChunkArguments { key, upload, pass, index, digest, bytes, .. } = arguments;
        let terms = pass::read_upload(&self.identity.tags, *upload, owner, key, pass)?;
        let until_nanoseconds = terms.until_nanoseconds;
        if self.store.shard_time() >= until_nanoseconds {
            return Err(UploadFault::TooLate { until_nanoseconds }.into());
        }
        check_index(terms.value_bytes, *index)?;
        let (bytes_sent, bytes_required) = (bytes.len() as u64, chunk_bytes(terms.value_bytes, *index) as u64);
        if bytes_sent != bytes_required {
            return Err(UploadFault::ChunkLength { bytes: bytes_sent, bytes_required }.into());
        }
        let computed = Digest::of(bytes);
        if computed != *digest {
            return Err(UploadFault::WrongDigest { computed }.into());
        }
        let key_hash = self.identity.secret.hash(key);
        self.with_chunk(*upload, *index, Access::Write, |state, key| match state.stored_chunk(key) {
            // Whose chunks these are was told by a manifest, perhaps.
            Some(stored) if stored.key_hash != key_hash => Err(UploadFault::UploadReused.into()),
            Some(stored) if stored.digest == *digest => Ok(()),
            Some(StoredChunk { digest: stored, .. }) => Err(UploadFault::ChunkDiffers { stored }.into()),
            None => {
                let value = [&digest.0[..], &key_hash.0.to_le_bytes(), bytes].concat();
                let (precondition, operation) = (Default::default(), None);
                let put =
                    Put { key: *key, kind: Kind::Chunk, value: &value, expires_at: None, precondition, operation };
                state.store.put(&put).map_err(refusal)?;
                Ok(())
            }
        })?
    }

    /// Reads a chunk, and makes the reply.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn get_chunk(&mut self, arguments: &GetChunkArguments) -> Result<Vec<u8>, ShardUploadError> {
        let GetChunkArguments { key, upload, pass, index } = arguments;
        let value_bytes = pass::read_manifest(&self.identity.tags, *upload, key, pass)?;
        check_index(value_bytes, *index)?;
        let key_hash = self.identity.secret.hash(key);
        self.with_chunk(*upload, *index, Access::Read, |state, key| {
            let StoredChunk { digest, bytes, .. } = state.chunk_of(key_hash, key).ok_or(UploadFault::Gone)?;
            let mut reply = begin_chunk(&digest.0, bytes.bytes());
            state.store.append_value(bytes, &mut reply);
            Ok(reply)
        })?
    }

    /// Tells the digests of chunks.
    ///
    /// # Errors
    ///
    /// Why not: all of the chunks must be the shard's.
    pub fn chunk_digests(&mut self, arguments: &ChunksArguments) -> Result<ChunkDigests, ShardUploadError> {
        check_count(arguments)?;
        let ChunksArguments { upload, key_hash, .. } = *arguments;
        let (mut present, mut digests) = (Vec::new(), Vec::new());
        for &index in &arguments.indexes {
            let found = self.with_chunk(upload, index, Access::Read, |state, key| state.chunk_of(key_hash, key))?;
            present.push(u8::from(found.is_some()));
            digests.extend(found.into_iter().flat_map(|chunk| chunk.digest.0));
        }
        Ok(ChunkDigests { present: ByteBuf::from(present), digests: ByteBuf::from(digests) })
    }

    /// Deletes chunks, as far as they are there.
    ///
    /// # Errors
    ///
    /// Why not; those in front of the first that can't be deleted may be gone.
    pub fn delete_chunks(&mut self, arguments: &ChunksArguments) -> Result<(), ShardUploadError> {
        check_count(arguments)?;
        let ChunksArguments { upload, key_hash, .. } = *arguments;
        for &index in &arguments.indexes {
            self.with_chunk(upload, index, Access::Write, |state, key| match state.chunk_of(key_hash, key) {
                Some(_) => state.delete_internal(key),
                None => Ok(()),
            })??;
        }
        Ok(())
    }

    /// Deletes a record that is no client's.
    pub(super) fn delete_internal(&mut self, key: &KeyRef) -> Result<(), ShardError> {
        let keep_tombstone = self.keeps_tombstone(key.hash);
        let delete = Delete { key: *key, precondition: Default::default(), operation: None, keep_tombstone };
        self.store.delete(&delete).map(drop).map_err(refusal)
    }

    /// Reads the record of a chunk, if it was stored for an upload under a key of this hash.
    pub(super) fn chunk_of(&mut self, key_hash: KeyHash, key: &KeyRef) -> Option<StoredChunk> {
        self.stored_chunk(key).filter(|chunk| chunk.key_hash == key_hash)
    }

    /// Reads what the record of a chunk says, and tells where its bytes lie.
    pub(super) fn stored_chunk(&mut self, key: &KeyRef) -> Option<StoredChunk> {
        let (_, place) = self.store.find(key)?;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        self.store.append_value(place.part(0, HEAD_BYTES), &mut head);
        let (digest, key_hash) = head.split_at(DIGEST_BYTES);
        let number = key_hash.try_into().expect("INVARIANT: a chunk begins with its digest and the hash of its key");
        Some(StoredChunk {
            digest: Digest(digest.try_into().expect("as many bytes were cut off")),
            key_hash: KeyHash(u64::from_le_bytes(number)),
            bytes: place.part(HEAD_BYTES, usize::MAX),
        })
    }
}

fn check_index(value_bytes: u64, index: u32) -> Result<(), UploadFault> {
    let chunks = chunks_of(value_bytes);
    if index < chunks { Ok(()) } else { Err(UploadFault::IndexOutOfRange { index, chunks }) }
}

fn check_count(arguments: &ChunksArguments) -> Result<(), ShardError> {
    let (items, items_max) = (arguments.indexes.len() as u64, BATCH_ITEMS_MAX as u64);
    if items > items_max { Err(ShardError::TooManyItems { items, items_max }) } else { Ok(()) }
}

const _: () = assert!(crate::store::VALUE_BYTES_MAX >= HEAD_BYTES + canopy_types::limits::CHUNK_BYTES);
const _: () = assert!(std::mem::size_of::<UploadId>() == canopy_types::limits::UPLOAD_ID_BYTES);
