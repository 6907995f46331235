use canopy_types::limits::CHUNK_BYTES;
use canopy_types::{UploadId, UploadState, Version};
use serde_bytes::ByteBuf;

use super::*;

const PUBLISHED: UploadState = UploadState::Published { version: Version(3) };
const KEY_HASH: KeyHash = KeyHash(7);

fn chunk(upload: u8, index: u32) -> FoundChunk {
    FoundChunk { place: chunk_place(upload, index), bytes: 5 }
}

fn chunk_place(upload: u8, index: u32) -> ChunkPlace {
    ChunkPlace { upload: place(upload), index }
}

fn place(upload: u8) -> UploadPlace {
    UploadPlace { key_hash: KEY_HASH, upload: UploadId([upload; 16]) }
}

fn whole(upload: u8, chunks: u64) -> WholeUpload {
    let (key, value_bytes) = (ByteBuf::from("key"), chunks * CHUNK_BYTES as u64);
    WholeUpload { place: place(upload), key, state: PUBLISHED, value_bytes }
}

fn known(uploads: &[(u8, KnownUpload)], chunks: &[(u8, u32, bool)]) -> Known {
    Known {
        uploads: uploads.iter().map(|&(upload, known)| (place(upload), known)).collect(),
        chunks: chunks.iter().map(|&(upload, index, is_there)| (chunk_place(upload, index), is_there)).collect(),
    }
}

fn suspects() -> Suspects {
    Suspects::of_page(vec![chunk(1, 0), chunk(1, 1), chunk(2, 9)], vec![whole(3, 2), whole(4, 3)])
}

#[test]
fn everything_on_a_page_is_asked_about_once() {
    let uploads = [1, 2].map(|upload| Place::Upload(place(upload)));
    let chunks =
        [(3, 0), (3, 1), (4, 0), (4, 1), (4, 2)].map(|(upload, index)| Place::Chunk(chunk_place(upload, index)));
    assert_eq!(suspects().belongings(), [&uploads[..], &chunks].concat());
    let chunks = [(1, 0), (1, 1), (2, 9)].map(|(upload, index)| Place::Chunk(chunk_place(upload, index)));
    let uploads = [3, 4].map(|upload| Place::Upload(place(upload)));
    assert_eq!(suspects().themselves(), [&chunks[..], &uploads].concat());
}

#[test]
fn what_has_all_that_belongs_to_it_is_cleared() {
    let mut all = suspects();
    let chunks = [(3, 0, true), (3, 1, true), (4, 0, true), (4, 1, true), (4, 2, true)];
    all.clear_complete(&known(&[(1, KnownUpload::Record), (2, KnownUpload::Whole)], &chunks));
    assert_eq!(all, Suspects::default());
}

#[test]
fn what_lacks_something_twice_and_stays_what_it_is_is_reported() {
    let secret = HashSecret::new([9; canopy_types::limits::SECRET_BYTES]);
    let mut all = suspects();
    let chunks = [(3, 0, true), (3, 1, true), (4, 0, true), (4, 1, false), (4, 2, false)];
    all.clear_complete(&known(&[(1, KnownUpload::Record), (2, KnownUpload::Nothing)], &chunks));
    assert_eq!(all.themselves(), [Place::Chunk(chunk_place(2, 9)), Place::Upload(place(4))]);
    all.clear_changed(&known(&[(4, KnownUpload::Whole)], &[(2, 9, true)]));
    assert_eq!(
        all.belongings(),
        [Place::Upload(place(2)), Place::Chunk(chunk_place(4, 1)), Place::Chunk(chunk_place(4, 2))]
    );
    all.clear_complete(&known(&[(2, KnownUpload::Nothing)], &[(4, 1, false), (4, 2, false)]));
    let shard = Principal::management_canister();
    let of_chunk = Stray {
        kind: StrayKind::ChunkWithoutUpload { index: 9, key_hash: KEY_HASH },
        upload: UploadId([2; 16]),
        shard,
        hash: secret.hash(&chunk_key(UploadId([2; 16]), 9)),
        key: None,
        bytes: 5,
    };
    let of_upload = Stray {
        kind: StrayKind::ChunksMissing { state: PUBLISHED, missing: 2, first: 1 },
        upload: UploadId([4; 16]),
        shard,
        hash: KEY_HASH,
        key: Some(ByteBuf::from("key")),
        bytes: 3 * CHUNK_BYTES as u64,
    };
    assert_eq!(all.report(shard, &secret), [of_chunk, of_upload]);
}

#[test]
fn what_was_collected_between_two_looks_is_cleared() {
    let mut all = suspects();
    let chunks = [(3, 0, false), (3, 1, false), (4, 0, false), (4, 1, false), (4, 2, false)];
    all.clear_complete(&known(&[(1, KnownUpload::Nothing), (2, KnownUpload::Nothing)], &chunks));
    assert_eq!(all, suspects());
    // One upload was replaced and its time is over, the other is forgotten; the chunks of a third are deleted.
    let uploads = [(3, KnownUpload::Record), (4, KnownUpload::Nothing)];
    all.clear_changed(&known(&uploads, &[(1, 0, false), (1, 1, false), (2, 9, true)]));
    assert_eq!(all.themselves(), [Place::Chunk(chunk_place(2, 9))]);
    // And the last one was begun anew.
    all.clear_complete(&known(&[(2, KnownUpload::Record)], &[]));
    assert!(all.is_empty());
}

#[test]
fn silence_about_a_record_is_no_finding() {
    let mut all = suspects();
    all.clear_complete(&Known::default());
    assert!(all.is_empty());
}
