//! The end of uploads: whose manifest went, who took too long, and what the router is asked to delete.
//!
//! An upload that is over keeps its chunks for a while, for readers and late messages. Then the sweep finds its record
//! due, the router is asked to have the chunks deleted, and says when they are gone. A chunk can still come until the
//! pass of the upload has ended: so the record stays until then, and the chunks are deleted once more before it goes.
//! Whatever is lost on the way is asked for again some minutes later, because the record is still there.

use canopy_types::uploads::chunks_of;
use canopy_types::uploads::shard::{DueUpload, FinishCollectionArguments, ShardUploadError};
use canopy_types::{KeyHash, UploadId, UploadState};

use super::stored::{StoredManifest, StoredUpload};
use super::{UPLOAD_SPACE, stored};
use crate::state::State;
use crate::store::{DueRecord, KeyRef};
use crate::transfer::turn::Access;

/// Time for which a message with a chunk may be under way after its pass has ended, and clocks may differ: 10 minutes.
const LATE_NANOSECONDS: u64 = 600_000_000_000;

/// Time after which the end of a collection that was not the last is followed by the next look at the earliest: 5 minutes.
const AGAIN_NANOSECONDS: u64 = 300_000_000_000;

/// Uploads that are kept for asking the router; more come again by themselves.
const COLLECTIONS_MAX: usize = 1_024;

/// Uploads that one message asks for.
const COLLECTIONS_PER_MESSAGE: usize = 64;

/// What the router is to be asked for. On the heap: what is lost comes again.
#[derive(Default)]
pub struct Collections {
    due: Vec<DueUpload>,
}

impl Collections {
    /// Gives what the next message to the router asks for.
    pub fn take(&mut self) -> Vec<DueUpload> {
        let count = self.due.len().min(COLLECTIONS_PER_MESSAGE);
        self.due.drain(..count).collect()
    }

    /// Tells whether there is nothing to ask for.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    fn add(&mut self, upload: DueUpload) {
        if self.due.len() < COLLECTIONS_MAX && !self.due.contains(&upload) {
            self.due.push(upload);
        }
    }
}

impl State {
    /// Marks the uploads of manifests that went in this message as replaced.
    #[inline]
    pub fn settle_displaced(&mut self) {
        for displaced in self.store.take_displaced() {
            self.settle_one(displaced.hash, &displaced.value);
        }
    }

    #[cold]
    fn settle_one(&mut self, hash: u64, manifest: &[u8]) {
        let manifest = stored::StoredManifest::decode(manifest);
        let StoredManifest { upload, upload_tag, .. } = manifest;
        let key = KeyRef { hash, tag: upload_tag, space: UPLOAD_SPACE, bytes: &upload.0 };
        let record = self.read_upload(&key).expect("INVARIANT: an upload's record outlives its manifest");
        let UploadState::Published { version } = record.state else {
            unreachable!("INVARIANT: who has a manifest is published: {record:?}")
        };
        self.end_upload(KeyHash(hash), upload, &mut { record }, UploadState::Replaced { version });
    }

    /// Looks at the uploads that a sweep found due: gives up those that took too long, and has the router asked for those
    /// that are over.
    pub fn look_at_due_uploads(&mut self) {
        let now = self.store.shard_time();
        for DueRecord { hash, bytes } in self.store.take_due() {
            let upload = UploadId(bytes.try_into().expect("INVARIANT: an upload's record lies under its id"));
            let key = self.upload_ref(KeyHash(hash), &upload);
            let Some(mut record) = self.read_upload(&key) else { continue };
            match record.state {
                UploadState::Open if record.until_nanoseconds <= now => {
                    self.end_upload(KeyHash(hash), upload, &mut record, UploadState::Aborted);
                }
                UploadState::Open | UploadState::Published { .. } => {}
                UploadState::Aborted | UploadState::Refused { .. } | UploadState::Replaced { .. } => {
                    let chunks = chunks_of(record.value_bytes);
                    let due = DueUpload { hash: KeyHash(hash), upload, chunks, last: is_last(&record, now) };
                    self.collections.add(due);
                }
            }
        }
    }

    /// Hears that an upload's chunks are gone: removes its record, or waits for when no chunk can come any more.
    ///
    /// # Errors
    ///
    /// Why not; it will be asked for again.
    pub fn finish_collection(&mut self, arguments: &FinishCollectionArguments) -> Result<(), ShardUploadError> {
        let FinishCollectionArguments { hash, upload, last } = *arguments;
        self.check_owned(hash, Access::Write)?;
        let now = self.store.shard_time();
        let key = self.upload_ref(hash, &upload);
        let Some(record) = self.read_upload(&key) else { return Ok(()) };
        if matches!(record.state, UploadState::Open | UploadState::Published { .. }) {
            // Nobody was asked to delete these.
            return Ok(());
        }
        // Chunks were deleted after it was said that this would be the last time.
        if last && is_last(&record, now) {
            return Ok(self.delete_internal(&key)?);
        }
        let next = record.until_nanoseconds.saturating_add(LATE_NANOSECONDS).max(now + AGAIN_NANOSECONDS);
        self.store.rewrite(&key, &record.encode(), Some(next));
        Ok(())
    }
}

/// Tells whether no chunk can come any more.
fn is_last(record: &StoredUpload, now: u64) -> bool {
    record.until_nanoseconds.saturating_add(LATE_NANOSECONDS) <= now
}
