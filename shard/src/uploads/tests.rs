use candid::Principal;
use canopy_types::api::uploads::{BeginUploadArguments, GetChunkArguments, PutChunkArguments};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::shard::ShardError;
use canopy_types::uploads::shard::{
    ChunksArguments, DueUpload, FinishCollectionArguments, OpenUploadArguments, PublishUploadArguments,
    ShardUploadArguments, ShardUploadError,
};
use canopy_types::wire::{DeleteRef, PutRef};
use canopy_types::{Digest, HashRange, Precondition, UploadFault, UploadState, Version};
use ic_stable_structures::DefaultMemoryImpl;
use serde_bytes::ByteBuf;

use super::*;
use crate::operations::Origin;
use crate::state::tests::arguments;
use crate::store::Budget;

pub(super) const NOW: u64 = 1_780_000_000_000_000_000;
pub(super) const MINUTE: u64 = 60_000_000_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const UPLOAD: UploadId = UploadId([4; 16]);
pub(super) const KEY: &[u8] = b"large";
pub(super) const VALUE_BYTES: u64 = CHUNK_BYTES as u64 + 5;

pub(super) fn owner() -> Principal {
    Principal::from_slice(&[9])
}

pub(super) fn state() -> State {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    state
}

pub(super) fn open(state: &mut State, upload: UploadId, precondition: Option<Precondition>) -> ByteBuf {
    begin(state, BeginUploadArguments { precondition, ..BeginUploadArguments::new(KEY.to_vec(), upload, VALUE_BYTES) })
}

/// Opens an upload whose value ends after a minute.
pub(super) fn open_for_a_minute(state: &mut State) -> ByteBuf {
    let time_to_live_milliseconds = Some(60_000);
    let arguments = BeginUploadArguments::new(KEY.to_vec(), UPLOAD, VALUE_BYTES);
    begin(state, BeginUploadArguments { time_to_live_milliseconds, ..arguments })
}

pub(super) fn begin(state: &mut State, begin: BeginUploadArguments) -> ByteBuf {
    let arguments =
        OpenUploadArguments { caller: owner(), begin, open_milliseconds: 3_600_000, kept_milliseconds: 60_000 };
    state.open_upload(&arguments).expect("the upload opens").pass
}

fn bytes(index: u32) -> Vec<u8> {
    vec![index as u8 + 1; canopy_types::uploads::chunk_bytes(VALUE_BYTES, index)]
}

pub(super) fn put_chunk(
    state: &mut State,
    upload: UploadId,
    pass: &ByteBuf,
    index: u32,
) -> Result<(), ShardUploadError> {
    let (key, bytes) = (ByteBuf::from(KEY), bytes(index));
    let digest = Digest::of(&bytes);
    let arguments =
        PutChunkArguments { key, upload, pass: pass.clone(), index, digest, bytes: bytes.into(), caller: None };
    state.put_chunk(owner(), &arguments)
}

pub(super) fn publish(state: &mut State, upload: UploadId) -> Result<Version, ShardUploadError> {
    let (caller, key, digest) = (owner(), ByteBuf::from(KEY), Digest([7; 32]));
    state.publish_upload(&PublishUploadArguments { caller, key, upload, digest }).map(|committed| committed.version)
}

/// Names chunks of [`UPLOAD`].
pub(super) fn about(state: &State, indexes: &[u32]) -> ChunksArguments {
    ChunksArguments { upload: UPLOAD, key_hash: state.identity.secret.hash(KEY), indexes: indexes.to_vec() }
}

fn upload_state(state: &mut State, upload: UploadId) -> Option<UploadState> {
    let named = ShardUploadArguments { caller: owner(), key: KEY.to_vec().into(), upload };
    match state.upload(&named) {
        Ok(record) => Some(record.state),
        Err(ShardUploadError::Upload(UploadFault::NoSuchUpload)) => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// Lets the sweep look at what is due at a time, and tells what the router is asked to collect.
pub(super) fn sweep(state: &mut State, now: u64) -> Vec<(UploadId, bool)> {
    state.store.observe_clock(now);
    // One turn may go to the growth of memory.
    for _ in 0..3 {
        state.run(now);
    }
    state.store.check_invariants().unwrap();
    state.collections.take().iter().map(|due| (due.upload, due.last)).collect()
}

pub(super) fn finish(state: &mut State, upload: UploadId, last: bool) {
    let hash = state.identity.secret.hash(KEY);
    state.finish_collection(&FinishCollectionArguments { hash, upload, last }).unwrap();
}

pub(super) fn put_small(state: &mut State) -> Version {
    let put =
        PutRef { key: KEY, value: b"small", precondition: None, time_to_live_milliseconds: None, operation: None };
    state.put(&Origin { caller: &[1], operation: None, index: 0 }, &put).unwrap()
}

#[test]
fn stored_uploads_and_manifests_read_as_what_was_written() {
    use super::stored::StoredUpload;
    let states = [
        UploadState::Open,
        UploadState::Published { version: Version(5) },
        UploadState::Replaced { version: Version(6) },
        UploadState::Aborted,
        UploadState::Refused { found: None },
        UploadState::Refused { found: Some(Version(7)) },
    ];
    let preconditions =
        [None, Some(Precondition::Absent), Some(Precondition::Present), Some(Precondition::Version(Version(8)))];
    let mut lengths = std::collections::BTreeSet::new();
    for (state, precondition) in states.into_iter().flat_map(|state| preconditions.map(|other| (state, other))) {
        for (owner, time_to_live_milliseconds) in [(Principal::anonymous(), None), (owner(), Some(1_000))] {
            let upload = StoredUpload {
                state,
                owner,
                precondition,
                value_bytes: 1 << 32,
                until_nanoseconds: NOW,
                kept_milliseconds: 900_000,
                time_to_live_milliseconds,
                since_nanoseconds: NOW + 1,
                digest: Digest([3; 32]),
                key: KEY.to_vec(),
            };
            let bytes = upload.encode();
            lengths.insert(bytes.len());
            assert_eq!(StoredUpload::decode(&bytes), upload);
        }
    }
    assert_eq!(lengths.len(), 1, "the length depends on the key alone");
    let manifest = StoredManifest { upload: UPLOAD, upload_tag: 5, value_bytes: 6, digest: Digest([7; 32]) };
    assert_eq!(StoredManifest::decode(&manifest.encode()), manifest);
}

#[test]
fn passes_hold_for_their_upload_key_and_owner_alone() {
    let mut state = state();
    let pass = open(&mut state, UPLOAD, None);
    let tags = state.identity.tags.clone();
    let read = |upload, owner, key: &[u8], pass: &[u8]| pass::read_upload(&tags, upload, owner, key, pass).is_ok();
    assert!(read(UPLOAD, owner(), KEY, &pass));
    assert!(!read(UploadId([5; 16]), owner(), KEY, &pass));
    assert!(!read(UPLOAD, Principal::from_slice(&[8]), KEY, &pass));
    assert!(!read(UPLOAD, owner(), b"larg", &pass));
    for at in 0..pass.len() {
        let mut changed = pass.clone();
        changed[at] ^= 1;
        assert!(!read(UPLOAD, owner(), KEY, &changed), "byte {at}");
    }
    let manifest = pass::for_manifest(&tags, UPLOAD, KEY, VALUE_BYTES);
    assert_eq!(pass::read_manifest(&tags, UPLOAD, KEY, &manifest), Ok(VALUE_BYTES));
    assert!(!read(UPLOAD, owner(), KEY, &manifest), "who reads doesn't write");
    assert!(pass::read_manifest(&tags, UPLOAD, KEY, &pass).is_err());
}

#[test]
fn what_replaces_a_manifest_marks_its_upload_in_the_same_message() {
    for replace in [0, 1, 2, 3] {
        let mut state = state();
        open(&mut state, UPLOAD, None);
        let version = publish(&mut state, UPLOAD).unwrap();
        assert_eq!(publish(&mut state, UPLOAD), Ok(version));
        match replace {
            0 => drop(put_small(&mut state)),
            1 => {
                let delete = DeleteRef { key: KEY, precondition: None, operation: None };
                let origin = Origin { caller: &[1], operation: None, index: 0 };
                assert_eq!(state.delete(&origin, &delete), Ok(Some(version)));
            }
            2 => {
                open(&mut state, UploadId([5; 16]), None);
                publish(&mut state, UploadId([5; 16])).unwrap();
            }
            _ => {
                // With a tombstone, as while the range is sent.
                let delete = store_delete(&state);
                state.store.delete(&delete).unwrap();
                state.settle_displaced();
            }
        }
        assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Replaced { version }), "{replace}");
        assert_eq!(publish(&mut state, UPLOAD), Ok(version), "the outcome stays");
        state.store.check_invariants().unwrap();
    }
}

pub(super) fn store_delete(state: &State) -> crate::store::Delete<'static> {
    let key =
        KeyRef { hash: state.identity.secret.hash(KEY).0, tag: state.identity.tags.hash(KEY), space: 0, bytes: KEY };
    crate::store::Delete { key, precondition: Default::default(), operation: None, keep_tombstone: true }
}

#[test]
fn a_replaced_upload_is_collected_twice_and_then_forgotten() {
    let mut state = state();
    let pass = open(&mut state, UPLOAD, None);
    for index in 0..2 {
        put_chunk(&mut state, UPLOAD, &pass, index).unwrap();
    }
    publish(&mut state, UPLOAD).unwrap();
    assert_eq!(sweep(&mut state, NOW + MINUTE), []);
    put_small(&mut state);
    assert_eq!(sweep(&mut state, NOW + MINUTE + MINUTE / 2), [], "readers still read");
    assert_eq!(sweep(&mut state, NOW + 3 * MINUTE), [(UPLOAD, false)]);
    assert_eq!(sweep(&mut state, NOW + 4 * MINUTE), [], "it was asked for");
    assert_eq!(sweep(&mut state, NOW + 9 * MINUTE), [(UPLOAD, false)], "nothing came of it");
    let chunks = about(&state, &[0, 1]);
    state.delete_chunks(&chunks).unwrap();
    state.delete_chunks(&chunks).unwrap();
    finish(&mut state, UPLOAD, false);
    assert_eq!(state.store.statistics().internal_records, 1);
    // A late chunk, whose pass still holds.
    put_chunk(&mut state, UPLOAD, &pass, 1).unwrap();
    assert_eq!(sweep(&mut state, NOW + HOUR), []);
    let too_late = UploadFault::TooLate { until_nanoseconds: NOW + HOUR };
    assert_eq!(put_chunk(&mut state, UPLOAD, &pass, 0), Err(too_late.into()));
    assert_eq!(sweep(&mut state, NOW + HOUR + 10 * MINUTE), [(UPLOAD, true)]);
    state.delete_chunks(&chunks).unwrap();
    finish(&mut state, UPLOAD, true);
    assert_eq!((upload_state(&mut state, UPLOAD), state.store.statistics().internal_records), (None, 0));
    finish(&mut state, UPLOAD, true);
    assert_eq!(state.store.statistics().records, 1);
}

#[test]
fn the_end_of_a_collection_that_was_not_the_last_removes_no_record() {
    let mut state = state();
    open(&mut state, UPLOAD, None);
    let named = ShardUploadArguments { caller: owner(), key: KEY.to_vec().into(), upload: UPLOAD };
    state.close_upload(&named).unwrap();
    assert_eq!(sweep(&mut state, NOW + 2 * MINUTE), [(UPLOAD, false)]);
    // It says so late, when it would be the last; but chunks may have come since they were deleted.
    state.store.observe_clock(NOW + 2 * HOUR);
    finish(&mut state, UPLOAD, false);
    assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Aborted));
    // Nobody may say it of an upload that lives.
    let other = UploadId([6; 16]);
    open(&mut state, other, None);
    finish(&mut state, other, true);
    assert_eq!(upload_state(&mut state, other), Some(UploadState::Open));
}

#[test]
fn an_upload_that_takes_too_long_is_given_up() {
    let mut state = state();
    open(&mut state, UPLOAD, None);
    assert_eq!(sweep(&mut state, NOW + HOUR - 1), []);
    assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Open));
    state.store.observe_clock(NOW + HOUR);
    assert_eq!(publish(&mut state, UPLOAD), Err(UploadFault::Aborted.into()), "also before the sweep comes");
    assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Aborted));
    open(&mut state, UploadId([5; 16]), None);
    assert_eq!(sweep(&mut state, NOW + 2 * HOUR), [(UPLOAD, true)]);
    assert_eq!(upload_state(&mut state, UploadId([5; 16])), Some(UploadState::Aborted));
}

#[test]
fn an_expired_manifest_is_settled_by_the_sweep() {
    let mut state = state();
    open_for_a_minute(&mut state);
    let version = publish(&mut state, UPLOAD).unwrap();
    assert!(state.manifest(KEY).unwrap().is_some());
    state.store.observe_clock(NOW + MINUTE);
    assert_eq!(state.manifest(KEY), Ok(None));
    assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Published { version }));
    assert_eq!(sweep(&mut state, NOW + MINUTE + 1_000_000), []);
    assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Replaced { version }));
    assert_eq!(sweep(&mut state, NOW + 3 * MINUTE), [(UPLOAD, false)]);
}

#[test]
fn a_failed_precondition_ends_the_upload_for_good() {
    let mut state = state();
    open(&mut state, UPLOAD, Some(Precondition::Absent));
    let found = Some(put_small(&mut state));
    let refused = Err(ShardUploadError::Shard(ShardError::PreconditionFailed { found }));
    assert_eq!(publish(&mut state, UPLOAD), refused);
    state
        .delete(
            &Origin { caller: &[1], operation: None, index: 0 },
            &DeleteRef { key: KEY, precondition: None, operation: None },
        )
        .unwrap();
    assert_eq!(publish(&mut state, UPLOAD), refused);
    assert_eq!(upload_state(&mut state, UPLOAD), Some(UploadState::Refused { found }));
}

#[test]
fn clients_keys_that_look_like_internal_ones_are_others() {
    let mut state = state();
    let pass = open(&mut state, UPLOAD, None);
    put_chunk(&mut state, UPLOAD, &pass, 0).unwrap();
    let key = chunk_key(UPLOAD, 0);
    let put =
        PutRef { key: &key, value: b"mine", precondition: None, time_to_live_milliseconds: None, operation: None };
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    state.put(&origin, &put).unwrap();
    put_chunk(&mut state, UPLOAD, &pass, 0).unwrap();
    state.delete(&origin, &DeleteRef { key: &key, precondition: None, operation: None }).unwrap();
    let named = about(&state, &[0, 1]);
    let digests = state.chunk_digests(&named).unwrap();
    assert_eq!(digests.present.as_slice(), [1, 0]);
    assert_eq!(digests.digests.as_slice(), Digest::of(&bytes(0)).0);
    state.store.check_invariants().unwrap();
}

#[test]
fn an_upload_of_the_same_id_under_another_key_has_none_of_the_chunks() {
    let mut state = state();
    let pass = open(&mut state, UPLOAD, None);
    (0..2).for_each(|index| put_chunk(&mut state, UPLOAD, &pass, index).unwrap());
    publish(&mut state, UPLOAD).unwrap();
    // A reader knows the id from the manifest. Somebody else's upload has it too, under another key.
    let (key, other) = (b"other".to_vec(), Principal::from_slice(&[8]));
    let begin = BeginUploadArguments::new(key.clone(), UPLOAD, VALUE_BYTES);
    let begin = OpenUploadArguments { caller: other, begin, open_milliseconds: 3_600_000, kept_milliseconds: 60_000 };
    let pass = state.open_upload(&begin).unwrap().pass;
    let (digest, index, caller) = (Digest::of(&bytes(1)), 1, None);
    let chunk = PutChunkArguments {
        key: key.clone().into(),
        upload: UPLOAD,
        pass,
        index,
        digest,
        bytes: bytes(1).into(),
        caller,
    };
    assert_eq!(state.put_chunk(other, &chunk), Err(UploadFault::UploadReused.into()));
    let named = ChunksArguments { key_hash: state.identity.secret.hash(&key), ..about(&state, &[0, 1]) };
    assert_eq!(state.chunk_digests(&named).unwrap().present.as_slice(), [0, 0]);
    let pass = pass::for_manifest(&state.identity.tags, UPLOAD, &key, VALUE_BYTES).into();
    let get = GetChunkArguments { key: key.into(), upload: UPLOAD, pass, index: 0 };
    assert_eq!(state.get_chunk(&get), Err(UploadFault::Gone.into()));
    // Its end takes nothing along.
    state.delete_chunks(&named).unwrap();
    let named = about(&state, &[0, 1]);
    assert_eq!(state.chunk_digests(&named).unwrap().present.as_slice(), [1, 1]);
    super::scrub::tests::check_everything_belongs(&mut state);
}

#[test]
fn chunks_of_other_shards_are_told_so() {
    let mut state = state();
    let pass = open(&mut state, UPLOAD, None);
    publish(&mut state, UPLOAD).unwrap();
    let manifest = state.manifest(KEY).unwrap().unwrap();
    state.identity.range = HashRange { first: KeyHash(1), last: KeyHash(1) };
    let elsewhere = |error: ShardUploadError| matches!(error, ShardUploadError::Shard(ShardError::WrongShard(_)));
    assert!(elsewhere(put_chunk(&mut state, UPLOAD, &pass, 0).unwrap_err()));
    let chunks = about(&state, &[0]);
    assert!(elsewhere(state.chunk_digests(&chunks).unwrap_err()));
    assert!(elsewhere(state.delete_chunks(&chunks).unwrap_err()));
    let get = GetChunkArguments { key: KEY.to_vec().into(), upload: UPLOAD, pass: manifest.pass, index: 0 };
    assert!(elsewhere(state.get_chunk(&get).unwrap_err()));
    assert!(elsewhere(state.manifest(KEY).unwrap_err()));
    assert!(elsewhere(publish(&mut state, UPLOAD).unwrap_err()));
}

#[test]
fn a_sweep_puts_due_uploads_off_one_by_one_within_its_budget() {
    let mut state = state();
    for number in 0..40 {
        open(&mut state, UploadId([number; 16]), None);
    }
    state.store.observe_clock(NOW + HOUR);
    let budget = Budget { instructions: 1, bytes: u64::MAX, pages: u64::MAX };
    let mut sweeps = 0;
    while !state.store.sweep(budget).done {
        state.store.check_invariants().unwrap();
        sweeps += 1;
    }
    assert_eq!((sweeps, state.store.take_due().len()), (39, 40));
}

/// Random numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Has the router collect what was asked for, or a part of it, or a part of the steps.
fn collect(state: &mut State, asked: &mut Vec<DueUpload>, chance: &mut Chance, is_reliable: bool) {
    asked.extend(state.collections.take());
    let mut later = vec![];
    for due in std::mem::take(asked) {
        let fate = if is_reliable { 0 } else { chance.below(5) };
        if fate == 1 {
            continue;
        }
        state
            .delete_chunks(&ChunksArguments {
                upload: due.upload,
                key_hash: due.hash,
                indexes: (0..due.chunks).collect(),
            })
            .unwrap();
        if fate != 2 {
            let DueUpload { hash, upload, last, .. } = due;
            state.finish_collection(&FinishCollectionArguments { hash, upload, last }).unwrap();
        }
        if fate == 3 {
            // Comes again, late.
            later.push(due);
        }
    }
    *asked = later;
}

#[test]
fn whatever_is_lost_or_late_published_chunks_stay_and_all_others_go() {
    const STEPS: u64 = 600;
    for seed in 0..8 {
        let mut chance = Chance(seed);
        let memory = DefaultMemoryImpl::default();
        let mut state = State::create(memory.clone(), &arguments());
        let (mut now, mut number, mut asked) = (NOW, 0_u64, vec![]);
        let mut uploads: Vec<(UploadId, Vec<u8>, ByteBuf)> = vec![];
        let keys = [&b"one"[..], b"two", b"three"];
        let bytes_of = |upload: UploadId| upload.0[..5].to_vec();
        for _ in 0..STEPS {
            state.store.observe_clock(now);
            let key = keys[chance.below(3) as usize];
            let picked = (!uploads.is_empty()).then(|| uploads[chance.below(uploads.len() as u64) as usize].clone());
            match (chance.below(12), picked) {
                (0..=1, _) => {
                    number += 1;
                    let mut id = [seed as u8; 16];
                    id[..8].copy_from_slice(&number.to_le_bytes());
                    let begin = BeginUploadArguments::new(key.to_vec(), UploadId(id), 5);
                    let (open_milliseconds, kept_milliseconds) = (1_800_000, 120_000);
                    let caller = owner();
                    let open = OpenUploadArguments { caller, begin, open_milliseconds, kept_milliseconds };
                    uploads.push((UploadId(id), key.to_vec(), state.open_upload(&open).unwrap().pass));
                }
                (2..=3, Some((upload, key, pass))) => {
                    let bytes = bytes_of(upload);
                    let digest = Digest::of(&bytes);
                    let (key, index, caller) = (key.into(), 0, None);
                    let chunk = PutChunkArguments { key, upload, pass, index, digest, bytes: bytes.into(), caller };
                    match state.put_chunk(owner(), &chunk) {
                        Ok(()) | Err(ShardUploadError::Upload(UploadFault::TooLate { .. })) => {}
                        other => panic!("{other:?}"),
                    }
                }
                (4..=5, Some((upload, key, _))) => {
                    // As the router does: only when all chunks are there.
                    let key_hash = state.identity.secret.hash(&key);
                    let chunks = ChunksArguments { upload, key_hash, indexes: vec![0] };
                    if state.chunk_digests(&chunks).unwrap().present.as_slice() == [1] {
                        let (caller, key, digest) = (owner(), key.into(), Digest::of(&bytes_of(upload)));
                        // Refused when it is over, which is its answer.
                        drop(state.publish_upload(&PublishUploadArguments { caller, key, upload, digest }));
                    }
                }
                (6, Some((upload, key, _))) => {
                    drop(state.close_upload(&ShardUploadArguments { caller: owner(), key: key.into(), upload }));
                }
                (7, _) => {
                    let put = PutRef {
                        key,
                        value: b"small",
                        precondition: None,
                        time_to_live_milliseconds: None,
                        operation: None,
                    };
                    state.put(&Origin { caller: &[1], operation: None, index: 0 }, &put).unwrap();
                }
                (8, _) => {
                    let delete = DeleteRef { key, precondition: None, operation: None };
                    state.delete(&Origin { caller: &[1], operation: None, index: 0 }, &delete).unwrap();
                }
                (9, _) => now += chance.below(10 * MINUTE),
                (10, _) => {
                    state = State::open(memory.clone());
                    state.store.observe_clock(now);
                }
                _ => {
                    for _ in 0..3 {
                        state.run(now);
                    }
                    collect(&mut state, &mut asked, &mut chance, false);
                }
            }
            super::scrub::tests::check_everything_belongs(&mut state);
            for key in keys {
                if let Some(manifest) = state.manifest(key).unwrap() {
                    let (upload, pass, index) = (manifest.upload, manifest.pass, 0);
                    let get = GetChunkArguments { key: key.to_vec().into(), upload, pass, index };
                    let reply = state.get_chunk(&get).expect("a published chunk is there");
                    assert!(reply.ends_with(&bytes_of(upload)), "seed {seed}");
                }
            }
        }
        for _ in 0..200 {
            now += MINUTE;
            state.store.observe_clock(now);
            state.run(now);
            collect(&mut state, &mut asked, &mut chance, true);
        }
        state.store.check_invariants().unwrap();
        let published = keys.iter().filter(|key| state.manifest(key).unwrap().is_some()).count() as u64;
        assert_eq!(state.store.statistics().internal_records, 2 * published, "seed {seed}");
    }
}
