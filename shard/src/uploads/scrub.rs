//! What a scrub asks: a page of the records that large values consist of, and whether records are there.
//!
//! Nothing is changed here. Manifests and uploads lie together, so one message compares them for certain. Chunks lie
//! anywhere: the page tells them, and the router asks the shards of what should belong to them.

use candid::Principal;
use canopy_types::api::scrub::{Stray, StrayKind};
use canopy_types::cursor::{CursorOf, ScanPlace};
use canopy_types::limits::{
    BATCH_ITEMS_MAX, CHUNKS_MAX, KEY_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES_MAX, UPLOAD_ID_BYTES,
    bounded_reason,
};
use canopy_types::shard::ShardError;
use canopy_types::uploads::chunks_of;
use canopy_types::uploads::scrub::{
    ChunkPlace, FoundChunk, KnownUpload, LookUpArguments, LookedUp, ShardScrubArguments, ShardScrubError,
    ShardScrubPage, UploadPlace, WholeUpload,
};
use canopy_types::uploads::shard::ShardUploadError;
use canopy_types::{HashRange, KeyHash, UploadId, UploadState};
use serde_bytes::ByteBuf;

use super::stored::{StoredManifest, StoredUpload};
use super::{CHUNK_SPACE, UPLOAD_SPACE};
use crate::operations::CLIENT_SPACE;
use crate::scan::{next_place, walked};
use crate::state::State;
use crate::store::{Budget, Cursor, Item, KeyRef, Kind, Kinds, Values, Walk, WalkEnd};
use crate::transfer::turn::Access;

#[cfg(test)]
pub(super) mod tests;

/// Most records on a page, which bounds its bytes too.
const PAGE_RECORDS_MAX: u64 = 768;

/// Instructions that looking for the records of a page may take, passing others by: a fiftieth of what a query has,
/// because those that are passed by cost more than is estimated.
const PAGE_INSTRUCTIONS_MAX: u64 = 100_000_000;

/// Most bytes that a record adds to a page, beside the key: as a whole upload and as a stray.
const ENTRY_BYTES_MAX: usize = 256;

const _: () = assert!(
    PAGE_RECORDS_MAX as usize * (2 * KEY_BYTES_MAX + ENTRY_BYTES_MAX) + MESSAGE_OVERHEAD_BYTES_MAX <= MESSAGE_BYTES_MAX,
    "a page fits its message, also if everything on it is wrong"
);

/// A record that a walk visited: its place, and its value if that is short.
struct Visited {
    hash: KeyHash,
    tag: u64,
    space: u8,
    bytes: Vec<u8>,
    value: Vec<u8>,
}

impl State {
    /// Answers a page of what large values consist of. `shard` is this canister.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn scrub(
        &mut self,
        arguments: &ShardScrubArguments,
        shard: Principal,
    ) -> Result<ShardScrubPage, ShardScrubError> {
        let place = match &arguments.cursor {
            None => ScanPlace::Before { hash: HashRange::FULL.first },
            Some(cursor) => ScanPlace::read(CursorOf::Scrub, &self.identity.tags, cursor)
                .map_err(|fault| ShardScrubError::InvalidCursor { reason: bounded_reason(&fault.to_string()) })?,
        };
        let first = place.hash();
        self.check_owned(first, Access::Read)?;
        let last = self.served_up_to(first);
        let walk = Walk {
            first: first.0,
            last: last.0,
            after: walked(place),
            receipts: false,
            // A manifest that has expired belongs to its upload until it is swept.
            tombstones: true,
            space: None,
            kinds: Kinds::OfLargeValues,
            prefix: Vec::new(),
            values: Values::None,
            items_max: PAGE_RECORDS_MAX,
        };
        let budget = Budget { instructions: PAGE_INSTRUCTIONS_MAX, bytes: u64::MAX, pages: u64::MAX };
        let mut visited = Vec::new();
        let mut end = self.store.walk(&walk, &budget, &mut |item| {
            let Item::Record { key, value, .. } = item else { return };
            let (bytes, value) = (key.bytes.to_vec(), value.to_vec());
            visited.push(Visited { hash: KeyHash(key.hash), tag: key.tag, space: key.space, bytes, value });
        });
        let mut page = ShardScrubPage::default();
        let mut before: Option<Visited> = None;
        for record in visited {
            if !self.show(&record, shard, &mut page) {
                let before = before.expect("INVARIANT: the first record of a page has room");
                let key = Some((before.space, before.bytes));
                end = WalkEnd::More(Cursor { hash: before.hash.0, tag: before.tag, key });
                break;
            }
            before = Some(record);
        }
        let next = next_place(end, last, HashRange::FULL.last);
        page.cursor = next.map(|place| ByteBuf::from(place.write(CursorOf::Scrub, &self.identity.tags)));
        Ok(page)
    }

    /// Tells which records are there.
    ///
    /// # Errors
    ///
    /// Why not: all of them must be the shard's.
    pub fn look_up(&mut self, arguments: &LookUpArguments) -> Result<LookedUp, ShardUploadError> {
        let (items, items_max) = (arguments.uploads.len() + arguments.chunks.len(), BATCH_ITEMS_MAX as u64);
        if items as u64 > items_max {
            return Err(ShardError::TooManyItems { items: items as u64, items_max }.into());
        }
        let now = self.store.shard_time();
        let mut found = LookedUp::default();
        for &UploadPlace { key_hash, upload } in &arguments.uploads {
            self.check_owned(key_hash, Access::Read)?;
            let key = self.upload_ref(key_hash, &upload);
            found.uploads.push(match self.read_upload(&key) {
                None => KnownUpload::Nothing,
                Some(record) if record.is_whole(now) => KnownUpload::Whole,
                Some(_) => KnownUpload::Record,
            });
        }
        for &ChunkPlace { upload: UploadPlace { key_hash, upload }, index } in &arguments.chunks {
            let chunk = self.with_chunk(upload, index, Access::Read, |state, key| state.chunk_of(key_hash, key))?;
            found.chunks.push(chunk.is_some());
        }
        Ok(found)
    }

    /// Adds a record to a page, with what is wrong with it. Answers whether the page has room for it.
    fn show(&mut self, record: &Visited, shard: Principal, page: &mut ShardScrubPage) -> bool {
        let key = KeyRef { hash: record.hash.0, tag: record.tag, space: record.space, bytes: &record.bytes };
        match record.space {
            UPLOAD_SPACE => return self.show_upload(&key, shard, page),
            CHUNK_SPACE => self.show_chunk(&key, page),
            CLIENT_SPACE => self.show_manifest(&key, &record.value, shard, page),
            other => unreachable!("INVARIANT: records have spaces that were written, and {other} is none"),
        }
        true
    }

    fn show_upload(&mut self, key: &KeyRef, shard: Principal, page: &mut ShardScrubPage) -> bool {
        let (hash, upload) = (KeyHash(key.hash), UploadId(fixed(key.bytes)));
        let record = self.read_upload(key).expect("INVARIANT: the record was visited in this message");
        let StoredUpload { state, value_bytes, .. } = record;
        let is_whole = record.is_whole(self.store.shard_time());
        if is_whole {
            let chunks: u64 = page.whole.iter().map(|whole| u64::from(chunks_of(whole.value_bytes))).sum();
            if chunks > 0 && chunks + u64::from(chunks_of(value_bytes)) > u64::from(CHUNKS_MAX) {
                return false;
            }
        }
        page.uploads += 1;
        let owned_key = ByteBuf::from(record.key);
        if let UploadState::Published { version } = state
            && !self.has_manifest(hash, &owned_key, upload)
        {
            let (kind, key) = (StrayKind::UploadWithoutManifest { version }, Some(owned_key.clone()));
            page.strays.push(Stray { kind, upload, shard, hash, key, bytes: value_bytes });
        }
        if is_whole {
            let place = UploadPlace { key_hash: hash, upload };
            page.whole.push(WholeUpload { place, key: owned_key, state, value_bytes });
        }
        true
    }

    fn show_chunk(&mut self, key: &KeyRef, page: &mut ShardScrubPage) {
        let (upload, index) = key.bytes.split_at(UPLOAD_ID_BYTES);
        let chunk = self.stored_chunk(key).expect("INVARIANT: chunks don't end, and this one was visited just now");
        let upload = UploadPlace { key_hash: chunk.key_hash, upload: UploadId(fixed(upload)) };
        let place = ChunkPlace { upload, index: u32::from_be_bytes(fixed(index)) };
        page.chunks.push(FoundChunk { place, bytes: chunk.bytes.bytes() as u64 });
    }

    fn show_manifest(&mut self, key: &KeyRef, value: &[u8], shard: Principal, page: &mut ShardScrubPage) {
        let StoredManifest { upload, upload_tag, value_bytes, .. } = StoredManifest::decode(value);
        page.manifests += 1;
        let record = KeyRef { hash: key.hash, tag: upload_tag, space: UPLOAD_SPACE, bytes: &upload.0 };
        let found = self.read_upload(&record).filter(|record| record.key == key.bytes).map(|record| record.state);
        if !matches!(found, Some(UploadState::Published { .. })) {
            let (kind, key_bytes) = (StrayKind::ManifestWithoutUpload { found }, Some(ByteBuf::from(key.bytes)));
            page.strays.push(Stray {
                kind,
                upload,
                shard,
                hash: KeyHash(key.hash),
                key: key_bytes,
                bytes: value_bytes,
            });
        }
    }

    /// Tells whether the manifest of an upload lies under its key, be it expired.
    fn has_manifest(&mut self, hash: KeyHash, key: &[u8], upload: UploadId) -> bool {
        let mut is_there = false;
        self.store.visit((hash.0, self.identity.tags.hash(key)), &mut |item| {
            is_there |= matches!(item, Item::Record { key: found, found: head, value, .. }
                if (found.space, found.bytes) == (CLIENT_SPACE, key)
                    && head.kind == Kind::Manifest
                    && StoredManifest::decode(value).upload == upload);
        });
        is_there
    }
}

/// Takes bytes of a key that was made here.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("INVARIANT: the keys of uploads and chunks have the length that they are made with")
}
