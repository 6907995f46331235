use canopy_types::api::uploads::BeginUploadArguments;
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::shard::ShardScanArguments;
use canopy_types::uploads::shard::PublishUploadArguments;
use canopy_types::{Digest, Version};

use super::*;
use crate::operations::Origin;
use crate::uploads::tests::*;
use canopy_types::wire::PutRef;

const SHARD: Principal = Principal::management_canister();

fn page(state: &mut State, cursor: Option<ByteBuf>) -> ShardScrubPage {
    state.scrub(&ShardScrubArguments { cursor }, SHARD).unwrap()
}

/// Scrubs to the end; every page within bounds.
fn scrub(state: &mut State) -> Vec<ShardScrubPage> {
    let mut pages = vec![page(state, None)];
    while let Some(cursor) = pages.last().and_then(|page| page.cursor.clone()) {
        assert!(pages.len() < 1_000, "the scrub doesn't end");
        pages.push(page(state, Some(cursor)));
    }
    for page in &pages {
        assert!(page.uploads + page.manifests + page.chunks.len() as u64 <= PAGE_RECORDS_MAX);
        let chunks: Vec<u32> = page.whole.iter().map(|whole| chunks_of(whole.value_bytes)).collect();
        assert!(chunks.len() <= 1 || chunks.iter().sum::<u32>() <= CHUNKS_MAX);
    }
    pages
}

/// All pages as one.
fn everything(state: &mut State) -> ShardScrubPage {
    let mut all = ShardScrubPage::default();
    for page in scrub(state) {
        all.uploads += page.uploads;
        all.manifests += page.manifests;
        all.whole.extend(page.whole);
        all.chunks.extend(page.chunks);
        all.strays.extend(page.strays);
    }
    all
}

/// Checks that a shard that owns everything has nothing that belongs to nothing, and lacks nothing.
pub fn check_everything_belongs(state: &mut State) {
    let ShardScrubPage { whole, chunks, strays, .. } = everything(state);
    assert_eq!(strays, []);
    let of_upload = |whole: &WholeUpload| {
        let upload = whole.place;
        (0..chunks_of(whole.value_bytes)).map(move |index| ChunkPlace { upload, index })
    };
    let found = state
        .look_up(&LookUpArguments {
            uploads: chunks.iter().map(|chunk| chunk.place.upload).collect(),
            chunks: whole.iter().flat_map(of_upload).collect(),
        })
        .unwrap();
    assert!(found.uploads.iter().all(|known| *known != KnownUpload::Nothing), "{chunks:?}: {found:?}");
    assert!(found.chunks.iter().all(|is_there| *is_there), "{whole:?}: {found:?}");
}

fn key_hash(state: &State) -> KeyHash {
    state.identity.secret.hash(KEY)
}

fn known(state: &mut State) -> KnownUpload {
    let uploads = vec![UploadPlace { key_hash: key_hash(state), upload: UPLOAD }];
    state.look_up(&LookUpArguments { uploads, chunks: vec![] }).unwrap().uploads[0]
}

fn store(state: &mut State) -> Version {
    let pass = open(state, UPLOAD, None);
    (0..2).for_each(|index| put_chunk(state, UPLOAD, &pass, index).unwrap());
    publish(state, UPLOAD).unwrap()
}

#[test]
fn chunks_need_be_there_from_the_commit_until_the_kept_time_is_over() {
    let mut state = state();
    let counts = |state: &mut State| {
        let all = everything(state);
        assert_eq!(all.strays, []);
        (all.uploads, all.manifests, all.chunks.len(), all.whole.len())
    };
    assert_eq!(counts(&mut state), (0, 0, 0, 0));
    assert_eq!(known(&mut state), KnownUpload::Nothing);
    let pass = open(&mut state, UPLOAD, None);
    put_chunk(&mut state, UPLOAD, &pass, 1).unwrap();
    assert_eq!((counts(&mut state), known(&mut state)), ((1, 0, 1, 0), KnownUpload::Record));
    put_chunk(&mut state, UPLOAD, &pass, 0).unwrap();
    let version = publish(&mut state, UPLOAD).unwrap();
    assert_eq!((counts(&mut state), known(&mut state)), ((1, 1, 2, 1), KnownUpload::Whole));
    let whole = everything(&mut state).whole.remove(0);
    let place = UploadPlace { key_hash: key_hash(&state), upload: UPLOAD };
    let published = UploadState::Published { version };
    assert_eq!(whole, WholeUpload { place, key: KEY.to_vec().into(), state: published, value_bytes: VALUE_BYTES });
    let chunks = everything(&mut state).chunks;
    assert!(chunks.iter().all(|chunk| chunk.place.upload == place));
    assert_eq!(chunks.iter().map(|chunk| chunk.bytes).sum::<u64>(), VALUE_BYTES);

    put_small(&mut state);
    assert_eq!((counts(&mut state), known(&mut state)), ((1, 0, 2, 1), KnownUpload::Whole), "readers still read");
    state.store.observe_clock(NOW + MINUTE);
    assert_eq!((counts(&mut state), known(&mut state)), ((1, 0, 2, 0), KnownUpload::Record), "also before the sweep");
    sweep(&mut state, NOW + 2 * MINUTE);
    let named = about(&state, &[0, 1]);
    state.delete_chunks(&named).unwrap();
    finish(&mut state, UPLOAD, false);
    assert_eq!((counts(&mut state), known(&mut state)), ((1, 0, 0, 0), KnownUpload::Record));
    sweep(&mut state, NOW + 2 * HOUR);
    finish(&mut state, UPLOAD, true);
    assert_eq!((counts(&mut state), known(&mut state)), ((0, 0, 0, 0), KnownUpload::Nothing));
}

#[test]
fn an_expired_manifest_belongs_to_its_upload_until_it_is_swept() {
    let mut state = state();
    let pass = open_for_a_minute(&mut state);
    (0..2).for_each(|index| put_chunk(&mut state, UPLOAD, &pass, index).unwrap());
    publish(&mut state, UPLOAD).unwrap();
    state.store.observe_clock(NOW + MINUTE);
    assert_eq!(state.manifest(KEY), Ok(None));
    check_everything_belongs(&mut state);
    assert_eq!(everything(&mut state).manifests, 1);
    sweep(&mut state, NOW + MINUTE + 1_000_000);
    check_everything_belongs(&mut state);
    assert_eq!(everything(&mut state).manifests, 0);
}

#[test]
fn a_manifest_without_its_upload_is_a_stray() {
    let mut state = state();
    let version = store(&mut state);
    let hash = key_hash(&state);
    let stray = |found| Stray {
        kind: StrayKind::ManifestWithoutUpload { found },
        upload: UPLOAD,
        shard: SHARD,
        hash,
        key: Some(KEY.to_vec().into()),
        bytes: VALUE_BYTES,
    };
    let upload = state.upload_ref(hash, &UPLOAD);
    let mut record = state.read_upload(&upload).unwrap();
    let replaced = UploadState::Replaced { version };
    state.end_upload(hash, UPLOAD, &mut record, replaced);
    assert_eq!(everything(&mut state).strays, [stray(Some(replaced))]);
    let upload = state.upload_ref(hash, &UPLOAD);
    state.delete_internal(&upload).unwrap();
    let all = everything(&mut state);
    assert_eq!((all.strays, all.uploads, all.chunks.len()), (vec![stray(None)], 0, 2));
    assert_eq!(known(&mut state), KnownUpload::Nothing, "so its chunks are strays too");
}

#[test]
fn an_upload_whose_manifest_went_unnoticed_is_a_stray() {
    let mut state = state();
    let version = store(&mut state);
    let delete = store_delete(&state);
    state.store.delete(&delete).unwrap();
    assert_eq!(state.store.take_displaced().len(), 1, "nobody settles it");
    let stray = Stray {
        kind: StrayKind::UploadWithoutManifest { version },
        upload: UPLOAD,
        shard: SHARD,
        hash: key_hash(&state),
        key: Some(KEY.to_vec().into()),
        bytes: VALUE_BYTES,
    };
    let expected = vec![stray];
    assert_eq!(everything(&mut state).strays, expected);
    // The manifest of another upload is none of this one.
    let other = UploadId([5; 16]);
    let pass = open(&mut state, other, None);
    (0..2).for_each(|index| put_chunk(&mut state, other, &pass, index).unwrap());
    publish(&mut state, other).unwrap();
    assert_eq!(everything(&mut state).strays, expected);
}

#[test]
fn pages_show_every_record_once_and_pass_clients_records_by() {
    const UPLOADS: u32 = 1_000;
    let mut state = state();
    for number in 0..5_000u32 {
        let key = number.to_le_bytes();
        let put =
            PutRef { key: &key, value: b"small", precondition: None, time_to_live_milliseconds: None, operation: None };
        state.put(&Origin { caller: &[1], operation: None, index: 0 }, &put).unwrap();
        state.run(NOW);
    }
    assert_eq!(scrub(&mut state).len(), 1, "nothing on it is shown");
    // Long ones, so that their chunks bound the pages, and all of one key.
    let value_bytes = 3_000 * CHUNK_BYTES as u64;
    for number in 0..UPLOADS {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let (upload, caller) = (UploadId(id), owner());
        let key = if number % 100 == 0 { number.to_string().into_bytes() } else { KEY.to_vec() };
        begin(&mut state, BeginUploadArguments::new(key.clone(), upload, value_bytes));
        if number % 100 == 0 {
            let (key, digest) = (key.into(), Digest([7; 32]));
            state.publish_upload(&PublishUploadArguments { caller, key, upload, digest }).unwrap();
        }
        state.run(NOW);
    }
    let pages = scrub(&mut state);
    assert!(pages.len() >= 10, "each has one that is whole: {}", pages.len());
    let all = everything(&mut state);
    assert_eq!((all.uploads, all.manifests, all.whole.len()), (u64::from(UPLOADS), 10, 10));
    let mut shown: Vec<UploadPlace> = all.whole.iter().map(|whole| whole.place).collect();
    shown.sort();
    shown.dedup();
    assert_eq!((shown.len(), all.strays), (10, vec![]));
}

#[test]
fn cursors_of_others_and_hashes_of_others_are_refused() {
    let mut state = state();
    (0..3u8).for_each(|number| drop(open(&mut state, UploadId([number; 16]), None)));
    let refused = |state: &mut State, cursor: Vec<u8>| {
        let cursor = Some(ByteBuf::from(cursor));
        matches!(state.scrub(&ShardScrubArguments { cursor }, SHARD), Err(ShardScrubError::InvalidCursor { .. }))
    };
    let tags = state.identity.tags.clone();
    let place = ScanPlace::Before { hash: KeyHash(5) };
    assert!(!refused(&mut state, place.write(CursorOf::Scrub, &tags)));
    for cursor in [vec![], vec![7; 30], place.write(CursorOf::Scan, &tags)] {
        assert!(refused(&mut state, cursor));
    }
    let cursor = Some(ByteBuf::from(place.write(CursorOf::Scrub, &tags)));
    assert!(state.scan(&ShardScanArguments { cursor, ..ShardScanArguments::default() }).is_err());
    state.identity.range = HashRange { first: KeyHash(6), last: KeyHash(9) };
    let wrong = |error: ShardError| matches!(error, ShardError::WrongShard(_));
    match state.scrub(&ShardScrubArguments { cursor: None }, SHARD) {
        Err(ShardScrubError::Shard(error)) => assert!(wrong(error)),
        other => panic!("{other:?}"),
    }
    let cursor = Some(ByteBuf::from(ScanPlace::Before { hash: KeyHash(7) }.write(CursorOf::Scrub, &tags)));
    let next = page(&mut state, cursor).cursor.expect("another shard has the rest");
    assert_eq!(canopy_types::cursor::hash_of(CursorOf::Scrub, &next), Ok(KeyHash(10)));
    let upload = UploadPlace { key_hash: KeyHash(5), upload: UPLOAD };
    let chunk = ChunkPlace { upload, index: 0 };
    let questions = [
        LookUpArguments { uploads: vec![upload], chunks: vec![] },
        LookUpArguments { uploads: vec![], chunks: vec![chunk] },
    ];
    for question in questions {
        match state.look_up(&question) {
            Err(ShardUploadError::Shard(error)) => assert!(wrong(error)),
            other => panic!("{other:?}"),
        }
    }
    let many = LookUpArguments { uploads: vec![upload; 4_096], chunks: vec![chunk] };
    let refused = ShardError::TooManyItems { items: 4_097, items_max: 4_096 };
    assert_eq!(state.look_up(&many), Err(refused.into()));
}
