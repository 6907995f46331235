//! Large values: uploads, their chunks, and the manifests by which they are published.
//!
//! | record | space | key | lies under the hash of | see |
//! |---|---|---|---|---|
//! | manifest | the clients' | the client's key | the key | [`stored`] |
//! | upload | 1 | id of the upload | the client's key, so that it moves with it | [`stored`] |
//! | chunk | 2 | id of the upload, index | these bytes | digest 32 B, hash of the client's key 8 B, the chunk's bytes |
//!
//! [`records`] opens, closes and publishes uploads, at the key's shard; [`chunks`] stores, reads and deletes chunks, at
//! theirs, which knows the upload by its [`pass`] alone. [`collecting`] follows uploads to their end: it marks those whose
//! manifest went, gives up those that take too long, and asks the router to have chunks deleted. The router alone asks
//! shards to delete chunks, and says when they are gone. [`scrub`] shows the router all of these records, so that it finds
//! what belongs to nothing: a chunk tells the hash of the key, because that leads to the upload's record.

use canopy_types::shard::{ShardError, WrongShard};
use canopy_types::uploads::{UploadId, chunk_key};
use canopy_types::{KeyHash, TagSecret};

use crate::state::State;
use crate::store::KeyRef;
use crate::transfer::turn::Access;

mod chunks;
mod collecting;
mod pass;
mod records;
mod scrub;
mod stored;

#[cfg(test)]
mod tests;

pub use collecting::Collections;
pub use stored::StoredManifest;

/// Space of uploads' records.
const UPLOAD_SPACE: u8 = 1;
/// Space of chunks.
const CHUNK_SPACE: u8 = 2;

/// Tells the tag of an internal key: of another domain than those of clients' keys.
fn tag(tags: &TagSecret, space: u8, bytes: &[u8]) -> u64 {
    let mut input = [0; 32];
    input[0] = space;
    input[1..=bytes.len()].copy_from_slice(bytes);
    tags.wide_hash(&input[..=bytes.len()]) as u64
}

impl State {
    /// Names the record of an upload under the hash of its key.
    fn upload_ref<'u>(&self, hash: KeyHash, upload: &'u UploadId) -> KeyRef<'u> {
        let tag = tag(&self.identity.tags, UPLOAD_SPACE, &upload.0);
        KeyRef { hash: hash.0, tag, space: UPLOAD_SPACE, bytes: &upload.0 }
    }

    /// Has `action` do something with a chunk's record.
    ///
    /// # Errors
    ///
    /// That the chunk's hash belongs to another shard, or is changing hands.
    fn with_chunk<R>(
        &mut self,
        upload: UploadId,
        index: u32,
        access: Access,
        action: impl FnOnce(&mut Self, &KeyRef) -> R,
    ) -> Result<R, ShardError> {
        let bytes = chunk_key(upload, index);
        let hash = self.identity.secret.hash(&bytes);
        self.check_owned(hash, access)?;
        let tag = tag(&self.identity.tags, CHUNK_SPACE, &bytes);
        Ok(action(self, &KeyRef { hash: hash.0, tag, space: CHUNK_SPACE, bytes: &bytes }))
    }

    /// Checks that the shard serves a hash.
    fn check_owned(&self, hash: KeyHash, access: Access) -> Result<(), ShardError> {
        let (range, epoch) = (self.identity.range, self.identity.epoch);
        if !range.contains(hash) {
            let (owner, moved) = self.transfers.owner_of(hash).unzip();
            return Err(ShardError::WrongShard(WrongShard { range, epoch, owner, moved }));
        }
        self.check_moving(hash, access)
    }
}
