//! Uploads at the key's shard: opened, found, closed, published.

use candid::Principal;
use canopy_types::api::uploads::{CommittedUpload, Manifest};
use canopy_types::limits::{CHUNK_BYTES, DIGEST_BYTES};
use canopy_types::shard::ShardError;
use canopy_types::uploads::shard::{
    OpenUploadArguments, PublishUploadArguments, ShardUploadArguments, ShardUploadError, UploadRecord,
};
use canopy_types::uploads::{check_size, chunks_of};
use canopy_types::{Digest, KeyHash, Precondition, UploadFault, UploadId, UploadState, Version};
use serde_bytes::ByteBuf;

use super::pass::{self, UploadTerms};
use super::stored::{StoredManifest, StoredUpload};
use crate::operations::{precondition, precondition_failed, refusal};
use crate::state::State;
use crate::store::{KeyRef, Kind, Outcome, Put};
use crate::transfer::turn::Access;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

impl State {
    /// Makes an upload's record, or finds the one that the same arguments made.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn open_upload(&mut self, arguments: &OpenUploadArguments) -> Result<UploadRecord, ShardUploadError> {
        let begin = &arguments.begin;
        check_size(begin.value_bytes)?;
        self.expires_at(begin.time_to_live_milliseconds)?;
        let key = self.key(&begin.key, Access::Write)?;
        self.fetch(&key)?;
        let upload = self.upload_ref(KeyHash(key.hash), &begin.upload);
        if let Some(known) = self.read_upload(&upload) {
            check_owner(&known, arguments.caller)?;
            let is_same = known.key == *begin.key
                && known.value_bytes == begin.value_bytes
                && known.precondition == begin.precondition
                && known.time_to_live_milliseconds == begin.time_to_live_milliseconds;
            return if is_same {
                Ok(self.describe(begin.upload, &known))
            } else {
                Err(UploadFault::UploadReused.into())
            };
        }
        // Refused early, so that nobody sends gigabytes in vain; what counts is the commit.
        let current = self.store.head(&key).map(|found| Version(found.version));
        if !holds(begin.precondition, current) {
            return Err(ShardError::PreconditionFailed { found: current }.into());
        }
        let now = self.store.shard_time();
        let record = StoredUpload {
            state: UploadState::Open,
            owner: arguments.caller,
            precondition: begin.precondition,
            value_bytes: begin.value_bytes,
            until_nanoseconds: now.saturating_add(arguments.open_milliseconds * NANOSECONDS_PER_MILLISECOND),
            kept_milliseconds: arguments.kept_milliseconds,
            time_to_live_milliseconds: begin.time_to_live_milliseconds,
            since_nanoseconds: now,
            digest: Digest([0; DIGEST_BYTES]),
            key: begin.key.to_vec(),
        };
        self.store
            .put(&Put {
                key: upload,
                kind: Kind::Upload,
                value: &record.encode(),
                expires_at: Some(record.until_nanoseconds),
                precondition: Default::default(),
                operation: None,
            })
            .map_err(refusal)?;
        Ok(self.describe(begin.upload, &record))
    }

    /// Tells what is known about an upload.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn upload(&mut self, arguments: &ShardUploadArguments) -> Result<UploadRecord, ShardUploadError> {
        let (_, record) = self.find_upload(arguments, Access::Read)?;
        Ok(self.describe(arguments.upload, &record))
    }

    /// Gives an upload up, unless it was published. One that is over stays as it is.
    ///
    /// # Errors
    ///
    /// `Published`, or why not.
    pub fn close_upload(&mut self, arguments: &ShardUploadArguments) -> Result<UploadRecord, ShardUploadError> {
        let (hash, mut record) = self.find_upload(arguments, Access::Write)?;
        match record.state {
            UploadState::Open => self.end_upload(hash, arguments.upload, &mut record, UploadState::Aborted),
            UploadState::Aborted | UploadState::Refused { .. } => {}
            UploadState::Published { version } | UploadState::Replaced { version } => {
                return Err(UploadFault::Published { version }.into());
            }
        }
        Ok(self.describe(arguments.upload, &record))
    }

    /// Makes an upload the value of its key, all of whose chunks the router has seen, or says what became of it.
    ///
    /// # Errors
    ///
    /// Why not; a failed precondition ends the upload.
    pub fn publish_upload(&mut self, arguments: &PublishUploadArguments) -> Result<CommittedUpload, ShardUploadError> {
        let named =
            ShardUploadArguments { caller: arguments.caller, key: arguments.key.clone(), upload: arguments.upload };
        let (hash, mut record) = self.find_upload(&named, Access::Write)?;
        match record.state {
            UploadState::Open => {}
            UploadState::Published { version } | UploadState::Replaced { version } => {
                return if record.digest == arguments.digest {
                    Ok(CommittedUpload { version })
                } else {
                    Err(UploadFault::WrongDigest { computed: record.digest }.into())
                };
            }
            UploadState::Aborted => return Err(UploadFault::Aborted.into()),
            UploadState::Refused { found } => return Err(ShardError::PreconditionFailed { found }.into()),
        }
        let now = self.store.shard_time();
        if now >= record.until_nanoseconds {
            self.end_upload(hash, arguments.upload, &mut record, UploadState::Aborted);
            return Err(UploadFault::Aborted.into());
        }
        let key = self.key(&arguments.key, Access::Write)?;
        self.fetch(&key)?;
        let manifest = StoredManifest {
            upload: arguments.upload,
            upload_tag: self.upload_ref(hash, &arguments.upload).tag,
            value_bytes: record.value_bytes,
            digest: arguments.digest,
        };
        let put = Put {
            key,
            kind: Kind::Manifest,
            value: &manifest.encode(),
            expires_at: self.expires_at(record.time_to_live_milliseconds)?,
            precondition: precondition(record.precondition),
            // The upload's record is the receipt.
            operation: None,
        };
        match self.store.put(&put).map_err(refusal)?.outcome {
            Outcome::Written { version } => {
                // What it replaces.
                self.settle_displaced();
                let version = Version(version);
                record.digest = arguments.digest;
                self.end_upload(hash, arguments.upload, &mut record, UploadState::Published { version });
                Ok(CommittedUpload { version })
            }
            Outcome::Refused { current } => {
                let found = current.map(Version);
                self.end_upload(hash, arguments.upload, &mut record, UploadState::Refused { found });
                Err(precondition_failed(current).into())
            }
            Outcome::Deleted { .. } | Outcome::Absent => unreachable!("a put writes or is refused"),
        }
    }

    /// Reads the manifest of a large value, with what its chunks have to be asked for with. `None` when there is none.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn manifest(&mut self, bytes: &[u8]) -> Result<Option<Manifest>, ShardUploadError> {
        let key = self.key(bytes, Access::Read)?;
        self.fetch(&key)?;
        let Some((found, place)) = self.store.find(&key).filter(|(found, _)| found.kind == Kind::Manifest) else {
            return Ok(None);
        };
        let mut value = Vec::new();
        self.store.append_value(place, &mut value);
        let stored = StoredManifest::decode(&value);
        Ok(Some(Manifest {
            upload: stored.upload,
            version: Version(found.version),
            expires_at_nanoseconds: found.expires_at,
            value_bytes: stored.value_bytes,
            chunk_bytes: CHUNK_BYTES as u64,
            chunks: chunks_of(stored.value_bytes),
            digest: stored.digest,
            pass: pass::for_manifest(&self.identity.tags, stored.upload, bytes, stored.value_bytes).into(),
        }))
    }

    /// Notes that an upload came to a state, now.
    pub(super) fn end_upload(
        &mut self,
        hash: KeyHash,
        upload: UploadId,
        record: &mut StoredUpload,
        state: UploadState,
    ) {
        record.state = state;
        record.since_nanoseconds = self.store.shard_time();
        let is_published = matches!(state, UploadState::Published { .. });
        let due = (!is_published).then(|| record.collected_from());
        let key = self.upload_ref(hash, &upload);
        let rewritten = self.store.rewrite(&key, &record.encode(), due);
        assert!(rewritten, "INVARIANT: the record was read in this message, and keeps its length");
    }

    /// Reads an upload's record.
    pub(super) fn read_upload(&mut self, key: &KeyRef) -> Option<StoredUpload> {
        let mut value = Vec::new();
        self.store.get(key, &mut value)?;
        Some(StoredUpload::decode(&value))
    }

    fn find_upload(
        &mut self,
        arguments: &ShardUploadArguments,
        access: Access,
    ) -> Result<(KeyHash, StoredUpload), ShardUploadError> {
        let hash = KeyHash(self.key(&arguments.key, access)?.hash);
        let key = self.upload_ref(hash, &arguments.upload);
        let record = self.read_upload(&key).filter(|record| record.key == *arguments.key);
        let record = record.ok_or(UploadFault::NoSuchUpload)?;
        check_owner(&record, arguments.caller)?;
        Ok((hash, record))
    }

    fn describe(&self, upload: UploadId, record: &StoredUpload) -> UploadRecord {
        let (until_nanoseconds, value_bytes) = (record.until_nanoseconds, record.value_bytes);
        let terms = UploadTerms { until_nanoseconds, value_bytes };
        let pass = pass::for_upload(&self.identity.tags, upload, record.owner, &record.key, terms);
        UploadRecord { state: record.state, value_bytes, pass: ByteBuf::from(pass), until_nanoseconds }
    }
}

fn check_owner(record: &StoredUpload, caller: Principal) -> Result<(), UploadFault> {
    if record.owner == caller { Ok(()) } else { Err(UploadFault::OtherCaller { caller }) }
}

fn holds(precondition: Option<Precondition>, current: Option<Version>) -> bool {
    match precondition {
        None => true,
        Some(Precondition::Absent) => current.is_none(),
        Some(Precondition::Present) => current.is_some(),
        Some(Precondition::Version(version)) => current == Some(version),
    }
}
