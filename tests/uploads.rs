//! Values longer than a record: uploaded, published, read, replaced, collected.

use std::time::Duration;

use candid::Principal;
use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_types::api::uploads::{
    AbortUploadResult, BeginUploadArguments, BeginUploadResult, BegunUpload, Chunk, CommitUploadArguments,
    CommitUploadResult, GetChunkArguments, GetChunkResult, GetManifestArguments, GetManifestResult, Manifest,
    PutChunkArguments, PutChunkResult, UploadArguments, UploadError, UploadStatusResult,
};
use canopy_types::limits::{CHUNK_BYTES, OPEN_UPLOADS_MAX_DEFAULT};
use canopy_types::policy::{SetPolicyArguments, UploadPolicy};
use canopy_types::shard::{ShardError, ShardScanArguments, ShardScanResult};
use canopy_types::transfer::TransferEnd;
use canopy_types::uploads::shard::{ShardGetChunkResult, ShardPutChunkResult, ShardUploadError};
use canopy_types::uploads::{chunk_bytes, chunk_key};
use canopy_types::{
    Digest, GetArguments, GetError, GetResult, Precondition, ScanArguments, ScanResult, ShardIndex, UploadFault,
    UploadId, UploadState, Version,
};
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace};
use crate::people::{administrator, person, reader, writer};
use crate::split::{split, wait_for_end};

const KEY: &[u8] = b"large";

/// Longer than the 15 minutes for which chunks stay, with the minutes between two looks.
pub const KEPT: Duration = Duration::from_secs(17 * 60);

/// Longer than the 24 hours for which an upload takes chunks, with the time for late ones.
pub const OPEN: Duration = Duration::from_secs(24 * 60 * 60 + 15 * 60);

/// A value and its upload.
pub struct Large {
    pub key: Vec<u8>,
    pub upload: UploadId,
    pub value: Vec<u8>,
}

impl Large {
    pub fn new(key: &[u8], seed: u8, value_bytes: usize) -> Self {
        let value = (0..value_bytes).map(|at| (at / 7) as u8 ^ seed.wrapping_mul((at >> 16) as u8 | 1)).collect();
        Self { key: key.to_vec(), upload: UploadId([seed; 16]), value }
    }

    pub fn begin_arguments(&self) -> BeginUploadArguments {
        BeginUploadArguments::new(self.key.clone(), self.upload, self.value.len() as u64)
    }

    pub fn begin(&self, cluster: &Cluster) -> BegunUpload {
        begin(cluster, &self.begin_arguments()).expect("the upload begins")
    }

    fn chunk(&self, index: u32) -> &[u8] {
        let begin = index as usize * CHUNK_BYTES;
        &self.value[begin..][..chunk_bytes(self.value.len() as u64, index)]
    }

    fn chunk_arguments(&self, pass: &ByteBuf, index: u32) -> PutChunkArguments {
        let bytes = self.chunk(index);
        PutChunkArguments {
            key: self.key.clone().into(),
            upload: self.upload,
            pass: pass.clone(),
            index,
            digest: Digest::of(bytes),
            bytes: ByteBuf::from(bytes),
            caller: None,
        }
    }

    pub fn put_chunk(&self, cluster: &Cluster, pass: &ByteBuf, index: u32) {
        put_chunk(cluster, writer(), &self.chunk_arguments(pass, index)).expect("the chunk is stored");
    }

    fn digest(&self) -> Digest {
        let digests: Vec<Digest> = self.value.chunks(CHUNK_BYTES).map(Digest::of).collect();
        Digest::of_chunks(&digests)
    }

    pub fn named(&self) -> UploadArguments {
        UploadArguments { key: self.key.clone().into(), upload: self.upload }
    }

    pub fn commit(&self, cluster: &Cluster) -> CommitUploadResult {
        commit(cluster, self.digest(), &self.named())
    }

    /// Uploads all of it, last chunk first.
    pub fn store(&self, cluster: &Cluster) -> Version {
        let begun = self.begin(cluster);
        (0..begun.chunks).rev().for_each(|index| self.put_chunk(cluster, &begun.pass, index));
        self.commit(cluster).expect("the upload is published").version
    }

    /// Reads all of it, by update and query, and compares.
    pub fn check(&self, cluster: &Cluster, version: Version) {
        let manifest = manifest(cluster, &self.key).expect("a large value is there");
        assert_eq!((manifest.version, manifest.upload), (version, self.upload));
        assert_eq!((manifest.value_bytes, manifest.digest), (self.value.len() as u64, self.digest()));
        self.check_chunks(cluster, &manifest);
    }

    fn check_chunks(&self, cluster: &Cluster, manifest: &Manifest) {
        for index in 0..manifest.chunks {
            let chunk = get_chunk(cluster, &self.key, manifest, index).expect("the chunk is there");
            assert!(chunk.bytes == self.chunk(index) && chunk.digest == Digest::of(self.chunk(index)));
        }
    }
}

pub fn begin(cluster: &Cluster, arguments: &BeginUploadArguments) -> BeginUploadResult {
    cluster.update(cluster.router, writer(), "begin_upload", arguments)
}

pub fn put_chunk(cluster: &Cluster, caller: Principal, arguments: &PutChunkArguments) -> PutChunkResult {
    cluster.update(cluster.router, caller, "put_chunk", arguments)
}

fn commit(cluster: &Cluster, digest: Digest, named: &UploadArguments) -> CommitUploadResult {
    let arguments = CommitUploadArguments { key: named.key.clone(), upload: named.upload, digest };
    cluster.update(cluster.router, writer(), "commit_upload", &arguments)
}

pub fn abort(cluster: &Cluster, named: &UploadArguments) -> AbortUploadResult {
    cluster.update(cluster.router, writer(), "abort_upload", named)
}

fn status(cluster: &Cluster, named: &UploadArguments) -> UploadStatusResult {
    cluster.update(cluster.router, writer(), "upload_status", named)
}

pub fn manifest(cluster: &Cluster, key: &[u8]) -> Option<Manifest> {
    let arguments = GetManifestArguments { key: key.to_vec().into() };
    let updated: GetManifestResult = cluster.update(cluster.router, reader(), "get_manifest", &arguments);
    let queried: GetManifestResult = cluster.query(cluster.router, reader(), "get_manifest_query", &arguments);
    assert_eq!(updated, queried);
    updated.expect("a reader is answered")
}

fn chunk_of(key: &[u8], manifest: &Manifest, index: u32) -> GetChunkArguments {
    GetChunkArguments { key: key.to_vec().into(), upload: manifest.upload, pass: manifest.pass.clone(), index }
}

fn get_chunk(cluster: &Cluster, key: &[u8], manifest: &Manifest, index: u32) -> Result<Chunk, UploadError> {
    let arguments = chunk_of(key, manifest, index);
    let updated: GetChunkResult = cluster.update(cluster.router, reader(), "get_chunk", &arguments);
    let queried: GetChunkResult = cluster.query(cluster.router, reader(), "get_chunk_query", &arguments);
    assert!(updated == queried, "get_chunk and get_chunk_query disagree");
    updated
}

fn fault<T>(fault: UploadFault) -> Result<T, UploadError> {
    Err(UploadError::Upload(fault))
}

/// Counts what uploads left in all shards.
fn internal_records(cluster: &Cluster) -> u64 {
    let shards = cluster.shards();
    shards.iter().map(|&shard| cluster.info(shard).internal_records.expect("this shard counts them")).sum()
}

/// Lets `time` pass, and then what is due be done.
pub fn pass(cluster: &Cluster, time: Duration) {
    cluster.pic.advance_time(time);
    for _ in 0..12 {
        cluster.turn(Pace { time: Duration::from_secs(60), rounds: 5 });
    }
}

#[test]
fn a_large_value_is_published_at_once_and_read_chunk_by_chunk() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    let large = Large::new(KEY, 1, 4 * CHUNK_BYTES + 123);
    let begun = large.begin(&cluster);
    assert_eq!((begun.chunks, begun.chunk_bytes), (5, CHUNK_BYTES as u64));
    assert_eq!(large.begin(&cluster), begun, "the same again");
    for index in [4, 0, 2, 2] {
        large.put_chunk(&cluster, &begun.pass, index);
    }
    let found = status(&cluster, &large.named()).unwrap();
    assert_eq!(found.state, UploadState::Open);
    assert_eq!((0..5).map(|index| found.has(index)).collect::<Vec<_>>(), [true, false, true, false, true]);
    assert_eq!((found.pass, found.value_bytes), (begun.pass.clone(), large.value.len() as u64));
    assert_eq!(large.commit(&cluster), fault(UploadFault::ChunksMissing { missing: 2, first: 1 }));
    assert_eq!((manifest(&cluster, KEY), cluster.load(KEY)), (None, None), "nothing is seen of it");
    large.put_chunk(&cluster, &begun.pass, 1);
    large.put_chunk(&cluster, &begun.pass, 3);
    let version = large.commit(&cluster).unwrap().version;
    assert_eq!(large.commit(&cluster).unwrap().version, version, "the same again");
    large.check(&cluster, version);
    assert_eq!(status(&cluster, &large.named()).unwrap().state, UploadState::Published { version });
    assert_eq!(abort(&cluster, &large.named()), fault(UploadFault::Published { version }));

    // What knows records only is told the length.
    let bytes = large.value.len() as u64;
    assert_eq!(cluster.get(reader(), KEY), Err(GetError::AskAgain { bytes }));
    let length = GetArguments { key: KEY.to_vec().into(), include_value: Some(false) };
    let told: GetResult = cluster.update(cluster.router, reader(), "get", &length);
    let told = told.unwrap().unwrap();
    assert_eq!((told.version, told.value_bytes, told.value.len()), (version, Some(bytes), 0));
    cluster.store(b"small", b"value");
    for include_value in [true, false] {
        let mut records = Vec::new();
        let mut arguments = ScanArguments { include_value: Some(include_value), ..ScanArguments::default() };
        loop {
            let page: ScanResult = cluster.query(cluster.router, reader(), "scan_query", &arguments);
            let page = page.unwrap();
            records.extend(page.records);
            match page.cursor {
                Some(cursor) => arguments.cursor = Some(cursor),
                None => break,
            }
        }
        records.sort_by(|a, b| a.key.cmp(&b.key));
        let keys: Vec<&[u8]> = records.iter().map(|record| record.key.as_slice()).collect();
        assert_eq!(keys, [KEY, b"small"], "nothing internal is seen");
        assert_eq!((records[0].value.len(), records[0].value_bytes), (0, Some(bytes)));
    }
    let records: u64 = cluster.shards().iter().map(|&shard| cluster.info(shard).records).sum();
    assert_eq!((records, internal_records(&cluster)), (2, 6));
}

#[test]
fn what_replaces_a_large_value_leaves_its_chunks_to_readers_for_a_while() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let put = |cluster: &Cluster| cluster.store(KEY, b"small");
    let delete = |cluster: &Cluster| cluster.remove(KEY).expect("something was there");
    let upload = |cluster: &Cluster| Large::new(KEY, 9, CHUNK_BYTES + 1).store(cluster);
    type Replacing<'r> = &'r dyn Fn(&Cluster) -> Version;
    for (seed, replace) in [(1, &put as Replacing), (2, &delete as Replacing), (3, &upload as Replacing)] {
        let large = Large::new(KEY, seed, 2 * CHUNK_BYTES);
        let version = large.store(&cluster);
        let old = manifest(&cluster, KEY).unwrap();
        replace(&cluster);
        assert_ne!(manifest(&cluster, KEY).map(|manifest| manifest.version), Some(version));
        assert_eq!(status(&cluster, &large.named()).unwrap().state, UploadState::Replaced { version });
        assert_eq!(large.commit(&cluster).unwrap().version, version, "the outcome stays");
        large.check_chunks(&cluster, &old);
        pass(&cluster, KEPT);
        assert_eq!(get_chunk(&cluster, KEY, &old, 0), fault(UploadFault::Gone), "after {seed}");
        assert_eq!(get_chunk(&cluster, KEY, &old, 1), fault(UploadFault::Gone), "after {seed}");
    }
    let last = Large::new(KEY, 9, CHUNK_BYTES + 1);
    last.check(&cluster, manifest(&cluster, KEY).unwrap().version);
    pass(&cluster, OPEN);
    assert_eq!(internal_records(&cluster), 3, "only what is published is left");
    cluster.remove(KEY);
    pass(&cluster, KEPT);
    assert_eq!(internal_records(&cluster), 0);
}

#[test]
fn an_expired_large_value_is_collected_too() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let large = Large::new(KEY, 1, CHUNK_BYTES + 1);
    let arguments = BeginUploadArguments { time_to_live_milliseconds: Some(60_000), ..large.begin_arguments() };
    let pass_of = begin(&cluster, &arguments).unwrap().pass;
    (0..2).for_each(|index| large.put_chunk(&cluster, &pass_of, index));
    let version = large.commit(&cluster).unwrap().version;
    let old = manifest(&cluster, KEY).unwrap();
    assert!(old.expires_at_nanoseconds.is_some() && old.version == version);
    cluster.pic.advance_time(Duration::from_secs(61));
    assert_eq!((manifest(&cluster, KEY), cluster.load(KEY)), (None, None));
    pass(&cluster, Duration::ZERO);
    assert_eq!(status(&cluster, &large.named()).unwrap().state, UploadState::Replaced { version });
    pass(&cluster, KEPT);
    assert_eq!(get_chunk(&cluster, KEY, &old, 0), fault(UploadFault::Gone));
    pass(&cluster, OPEN);
    assert_eq!(internal_records(&cluster), 0);
}

#[test]
fn aborted_and_abandoned_uploads_are_collected_and_so_are_chunks_that_come_late() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let (aborted, abandoned) = (Large::new(KEY, 1, 2 * CHUNK_BYTES), Large::new(b"other", 2, 2 * CHUNK_BYTES));
    let late_pass = aborted.begin(&cluster).pass;
    aborted.put_chunk(&cluster, &late_pass, 0);
    let begun = abandoned.begin(&cluster);
    abandoned.put_chunk(&cluster, &begun.pass, 0);
    assert_eq!(abort(&cluster, &aborted.named()), Ok(()));
    assert_eq!(abort(&cluster, &aborted.named()), Ok(()), "the same again");
    assert_eq!(aborted.commit(&cluster), fault(UploadFault::Aborted));
    assert_eq!(begin(&cluster, &aborted.begin_arguments()), fault(UploadFault::Aborted));
    pass(&cluster, KEPT);
    assert_eq!(internal_records(&cluster), 3, "both records, and a chunk of the one that is open");
    // Its pass holds still: so it is stored, and the record that waits for such chunks has it deleted.
    aborted.put_chunk(&cluster, &late_pass, 1);
    assert_eq!(internal_records(&cluster), 4);
    pass(&cluster, OPEN);
    let too_late = UploadFault::TooLate { until_nanoseconds: begun.until_nanoseconds };
    assert_eq!(put_chunk(&cluster, writer(), &abandoned.chunk_arguments(&begun.pass, 1)), fault(too_late));
    assert_eq!(abandoned.commit(&cluster), fault(UploadFault::Aborted));
    pass(&cluster, KEPT);
    assert_eq!(internal_records(&cluster), 0);
    assert_eq!(abandoned.commit(&cluster), fault(UploadFault::NoSuchUpload));
}

#[test]
fn a_precondition_counts_when_the_upload_begins_and_when_it_is_committed() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let large = Large::new(KEY, 1, CHUNK_BYTES + 1);
    let absent = BeginUploadArguments { precondition: Some(Precondition::Absent), ..large.begin_arguments() };
    let version = cluster.store(KEY, b"small");
    assert_eq!(begin(&cluster, &absent), Err(UploadError::PreconditionFailed { found: Some(version) }));
    cluster.remove(KEY);
    let begun = begin(&cluster, &absent).unwrap();
    (0..2).for_each(|index| large.put_chunk(&cluster, &begun.pass, index));
    let version = cluster.store(KEY, b"small");
    let refused = Err(UploadError::PreconditionFailed { found: Some(version) });
    assert_eq!(large.commit(&cluster), refused);
    cluster.remove(KEY);
    assert_eq!(large.commit(&cluster), refused, "what was told stays so");
    assert_eq!(status(&cluster, &large.named()).unwrap().state, UploadState::Refused { found: Some(version) });
    assert_eq!(manifest(&cluster, KEY), None);
    pass(&cluster, OPEN);
    assert_eq!(internal_records(&cluster), 0);
}

#[test]
fn bad_input_is_answered_with_the_limit_and_the_value() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let large = Large::new(KEY, 1, CHUNK_BYTES + 10);
    let bounds = |bytes| UploadFault::SizeOutOfBounds { bytes, bytes_min: 1, bytes_max: 4 << 30 };
    for bytes in [0, 5 << 30, (4 << 30) + 1] {
        let arguments = BeginUploadArguments { value_bytes: bytes, ..large.begin_arguments() };
        assert_eq!(begin(&cluster, &arguments), fault(bounds(bytes)));
    }
    let long = BeginUploadArguments { key: ByteBuf::from(vec![1; 1_025]), ..large.begin_arguments() };
    assert_eq!(begin(&cluster, &long), Err(UploadError::KeyTooLong { bytes: 1_025, bytes_max: 1_024 }));
    let empty = BeginUploadArguments { key: ByteBuf::new(), ..large.begin_arguments() };
    assert_eq!(begin(&cluster, &empty), Err(UploadError::KeyEmpty));
    let short = BeginUploadArguments { time_to_live_milliseconds: Some(999), ..large.begin_arguments() };
    assert!(matches!(begin(&cluster, &short), Err(UploadError::TimeToLiveOutOfBounds { milliseconds: 999, .. })));

    let begun = large.begin(&cluster);
    let longer = BeginUploadArguments { value_bytes: 7, ..large.begin_arguments() };
    assert_eq!(begin(&cluster, &longer), fault(UploadFault::UploadReused));
    let chunk = |index| large.chunk_arguments(&begun.pass, index);
    let try_chunk = |arguments: PutChunkArguments| put_chunk(&cluster, writer(), &arguments);
    let wrong = PutChunkArguments { digest: Digest([1; 32]), ..chunk(1) };
    assert_eq!(try_chunk(wrong), fault(UploadFault::WrongDigest { computed: Digest::of(large.chunk(1)) }));
    let cut = PutChunkArguments { bytes: ByteBuf::from(&large.chunk(1)[..9]), ..chunk(1) };
    assert_eq!(try_chunk(cut), fault(UploadFault::ChunkLength { bytes: 9, bytes_required: 10 }));
    let behind = PutChunkArguments { index: 2, ..chunk(1) };
    assert_eq!(try_chunk(behind), fault(UploadFault::IndexOutOfRange { index: 2, chunks: 2 }));
    large.put_chunk(&cluster, &begun.pass, 1);
    let other = [7; 10];
    let differs = PutChunkArguments { bytes: ByteBuf::from(other), digest: Digest::of(&other), ..chunk(1) };
    assert_eq!(try_chunk(differs), fault(UploadFault::ChunkDiffers { stored: Digest::of(large.chunk(1)) }));
    for pass in [vec![], vec![0; 48], begun.pass[1..].to_vec(), [&begun.pass[..], &[0]].concat()] {
        let forged = PutChunkArguments { pass: pass.into(), ..chunk(0) };
        assert_eq!(try_chunk(forged), fault(UploadFault::InvalidPass));
    }
    let other_key = PutChunkArguments { key: b"other".to_vec().into(), ..chunk(0) };
    assert_eq!(try_chunk(other_key), fault(UploadFault::InvalidPass));

    // Somebody else's.
    assert_eq!(put_chunk(&cluster, administrator(), &chunk(0)), fault(UploadFault::InvalidPass));
    let caller = administrator();
    let as_other =
        |method: &str| -> UploadStatusResult { cluster.update(cluster.router, caller, method, &large.named()) };
    assert_eq!(as_other("upload_status"), fault(UploadFault::OtherCaller { caller }));
    let aborted: AbortUploadResult = cluster.update(cluster.router, caller, "abort_upload", &large.named());
    assert_eq!(aborted, fault(UploadFault::OtherCaller { caller }));
    let UploadArguments { key, upload } = large.named();
    let arguments = CommitUploadArguments { key, upload, digest: large.digest() };
    let committed: CommitUploadResult = cluster.update(cluster.router, caller, "commit_upload", &arguments);
    assert_eq!(committed, fault(UploadFault::OtherCaller { caller }));
    let begun_again: BeginUploadResult =
        cluster.update(cluster.router, caller, "begin_upload", &large.begin_arguments());
    assert_eq!(begun_again, fault(UploadFault::OtherCaller { caller }));

    let unknown = UploadArguments { upload: UploadId([99; 16]), ..large.named() };
    assert_eq!(status(&cluster, &unknown), fault(UploadFault::NoSuchUpload));
    assert_eq!(commit(&cluster, large.digest(), &unknown), fault(UploadFault::NoSuchUpload));
    large.put_chunk(&cluster, &begun.pass, 0);
    let computed = large.digest();
    assert_eq!(commit(&cluster, Digest([1; 32]), &large.named()), fault(UploadFault::WrongDigest { computed }));
    let version = large.commit(&cluster).unwrap().version;
    assert_eq!(commit(&cluster, Digest([1; 32]), &large.named()), fault(UploadFault::WrongDigest { computed }));
    let manifest = manifest(&cluster, KEY).unwrap();
    assert_eq!(get_chunk(&cluster, KEY, &manifest, 2), fault(UploadFault::IndexOutOfRange { index: 2, chunks: 2 }));
    assert_eq!(get_chunk(&cluster, b"other", &manifest, 0), fault(UploadFault::InvalidPass));
    large.check(&cluster, version);
}

#[test]
fn an_upload_with_anothers_id_touches_none_of_its_chunks() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let large = Large::new(KEY, 1, 2 * CHUNK_BYTES);
    let version = large.store(&cluster);
    // Readers know the id from the manifest.
    let other = Large { key: b"other".to_vec(), ..Large::new(KEY, 1, 2 * CHUNK_BYTES) };
    let begun = other.begin(&cluster);
    let refused = put_chunk(&cluster, writer(), &other.chunk_arguments(&begun.pass, 0));
    assert_eq!(refused, fault(UploadFault::UploadReused));
    assert_eq!(other.commit(&cluster), fault(UploadFault::ChunksMissing { missing: 2, first: 0 }));
    abort(&cluster, &other.named()).unwrap();
    pass(&cluster, KEPT);
    pass(&cluster, OPEN);
    assert_eq!(internal_records(&cluster), 3, "its end took nothing along");
    large.check(&cluster, version);
}

#[test]
fn open_uploads_of_a_caller_are_bounded() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let arguments = |number: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        BeginUploadArguments::new(KEY.to_vec(), UploadId(id), CHUNK_BYTES as u64)
    };
    for number in 0..OPEN_UPLOADS_MAX_DEFAULT {
        begin(&cluster, &arguments(number)).expect("there is room");
    }
    let open_max = OPEN_UPLOADS_MAX_DEFAULT;
    let refused = fault(UploadFault::TooManyUploads { open: open_max, open_max });
    assert_eq!(begin(&cluster, &arguments(9_999)), refused);
    let one = UploadArguments { key: KEY.to_vec().into(), upload: arguments(3).upload };
    abort(&cluster, &one).unwrap();
    assert!(begin(&cluster, &arguments(9_999)).is_ok());
}

#[test]
fn uploads_that_are_over_or_never_began_count_no_more() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let uploads = UploadPolicy { open_uploads_max: 1, ..UploadPolicy::default() };
    cluster.set_policy(&SetPolicyArguments { uploads: Some(uploads), ..SetPolicyArguments::default() }).unwrap();
    let large = |seed| Large::new(KEY, seed, CHUNK_BYTES + 1);
    let conditional = |seed, precondition| {
        let arguments = large(seed).begin_arguments();
        begin(&cluster, &BeginUploadArguments { precondition: Some(precondition), ..arguments })
    };
    large(1).store(&cluster);
    let version = large(2).store(&cluster);
    let refused = Err(UploadError::PreconditionFailed { found: Some(version) });
    assert_eq!(conditional(3, Precondition::Absent), refused);

    let pass_of = conditional(4, Precondition::Version(version)).expect("no other is open").pass;
    let full = fault(UploadFault::TooManyUploads { open: 1, open_max: 1 });
    assert_eq!(begin(&cluster, &large(5).begin_arguments()), full);
    (0..2).for_each(|index| large(4).put_chunk(&cluster, &pass_of, index));
    let found = Some(cluster.store(KEY, b"small"));
    assert_eq!(large(4).commit(&cluster), Err(UploadError::PreconditionFailed { found }));
    large(5).store(&cluster);
}

#[test]
fn chunks_stay_for_15_minutes_and_uploads_take_chunks_for_24_hours() {
    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let cluster = Cluster::builder().initial_shards(2).ready();
    let large = Large::new(KEY, 1, 2 * CHUNK_BYTES);
    large.store(&cluster);
    let old = manifest(&cluster, KEY).unwrap();
    cluster.store(KEY, b"small");
    // With the minutes between its looks: 14.
    pass(&cluster, 2 * MINUTE);
    large.check_chunks(&cluster, &old);
    pass(&cluster, KEPT);
    assert_eq!(get_chunk(&cluster, KEY, &old, 0), fault(UploadFault::Gone));

    let now = || cluster.pic.get_time().as_nanos_since_unix_epoch();
    let open = Large::new(KEY, 2, 2 * CHUNK_BYTES);
    let earliest = now() + DAY.as_nanos() as u64;
    let begun = open.begin(&cluster);
    let latest = now() + DAY.as_nanos() as u64;
    assert!((earliest..=latest).contains(&begun.until_nanoseconds), "{begun:?}");
    pass(&cluster, DAY - 13 * MINUTE);
    open.put_chunk(&cluster, &begun.pass, 0);
}

#[test]
fn a_value_of_4_gib_is_kept_account_of_chunk_by_chunk() {
    const CHUNKS: u32 = 4_096;
    let cluster = Cluster::builder().initial_shards(3).ready();
    let arguments = BeginUploadArguments::new(KEY.to_vec(), UploadId([1; 16]), u64::from(CHUNKS) * CHUNK_BYTES as u64);
    let begun = begin(&cluster, &arguments).unwrap();
    assert_eq!(begun.chunks, CHUNKS);
    let bytes = vec![7; CHUNK_BYTES];
    for index in [0, 2_000, CHUNKS - 1] {
        let chunk = PutChunkArguments {
            key: KEY.to_vec().into(),
            upload: arguments.upload,
            pass: begun.pass.clone(),
            index,
            digest: Digest::of(&bytes),
            bytes: bytes.clone().into(),
            caller: None,
        };
        put_chunk(&cluster, writer(), &chunk).unwrap();
    }
    let named = UploadArguments { key: KEY.to_vec().into(), upload: arguments.upload };
    let found = status(&cluster, &named).unwrap();
    let there: Vec<u32> = (0..CHUNKS).filter(|&index| found.has(index)).collect();
    assert_eq!(there, [0, 2_000, CHUNKS - 1]);
    let missing = UploadFault::ChunksMissing { missing: CHUNKS - 3, first: 1 };
    assert_eq!(commit(&cluster, Digest([1; 32]), &named), fault(missing));
    abort(&cluster, &named).unwrap();
    pass(&cluster, KEPT);
    pass(&cluster, OPEN);
    assert_eq!(internal_records(&cluster), 0);
}

#[test]
fn chunks_go_straight_to_their_shards_and_back() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let large = Large::new(KEY, 1, 3 * CHUNK_BYTES);
    let begun = large.begin(&cluster);
    let table = cluster.routing_table_as(writer()).unwrap();
    let secret = canopy_types::HashSecret::from_slice(table.secret.as_ref().unwrap()).unwrap();
    let table = table.into_table();
    let shard_of = |index| table.find(secret.hash(&chunk_key(large.upload, index))).unwrap().shard;
    for index in 0..3 {
        let arguments = large.chunk_arguments(&begun.pass, index);
        let done: ShardPutChunkResult = cluster.update(shard_of(index), writer(), "put_chunk", &arguments);
        assert_eq!(done, Ok(()));
        let forged = PutChunkArguments { caller: Some(writer()), ..arguments.clone() };
        let caller = administrator();
        let refused: ShardPutChunkResult = cluster.update(shard_of(index), caller, "put_chunk", &forged);
        assert_eq!(refused, Err(ShardUploadError::Shard(ShardError::Unauthorised { caller })));
        let other = cluster.shards().into_iter().find(|&shard| shard != shard_of(index)).unwrap();
        let elsewhere: ShardPutChunkResult = cluster.update(other, writer(), "put_chunk", &arguments);
        assert!(matches!(elsewhere, Err(ShardUploadError::Shard(ShardError::WrongShard(_)))));
    }
    let version = large.commit(&cluster).unwrap().version;
    large.check(&cluster, version);
    let manifest = manifest(&cluster, KEY).unwrap();
    for index in 0..3 {
        let arguments = chunk_of(KEY, &manifest, index);
        let read: ShardGetChunkResult = cluster.query(shard_of(index), reader(), "get_chunk", &arguments);
        assert!(read.unwrap().bytes == large.chunk(index));
    }
    // A tenant of other keys reads none of them, whatever it knows.
    let tenant = person("tenant");
    let grant = canopy_types::Grant {
        grantee: Some(tenant),
        role: canopy_types::Role::Writer,
        prefix: Some(ByteBuf::from("t/")),
    };
    cluster.grant(&grant).unwrap();
    cluster.wait_until_told();
    let tried: ShardGetChunkResult = cluster.query(shard_of(0), tenant, "get_chunk", &chunk_of(KEY, &manifest, 0));
    assert_eq!(tried, Err(ShardUploadError::Shard(ShardError::Unauthorised { caller: tenant })));
    let tried: ShardGetChunkResult = cluster.query(shard_of(0), tenant, "get_chunk", &chunk_of(b"t/1", &manifest, 0));
    assert_eq!(tried, Err(ShardUploadError::Upload(UploadFault::InvalidPass)));
}

#[test]
fn uploads_outlive_splits_and_upgrades() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let published = Large::new(b"published", 1, 3 * CHUNK_BYTES + 5);
    let version = published.store(&cluster);
    let replaced = Large::new(b"replaced", 2, 3 * CHUNK_BYTES);
    replaced.store(&cluster);
    let old = manifest(&cluster, b"replaced").unwrap();
    cluster.store(b"replaced", b"small");
    let open = Large::new(b"open", 3, 4 * CHUNK_BYTES);
    let begun = open.begin(&cluster);
    open.put_chunk(&cluster, &begun.pass, 0);
    let id = split(&cluster, ShardIndex(0), None).unwrap();
    open.put_chunk(&cluster, &begun.pass, 1);
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    open.put_chunk(&cluster, &begun.pass, 2);
    cluster.upgrade_router(ROUTER_WASM);
    cluster.shards().into_iter().for_each(|shard| cluster.upgrade_shard(shard, SHARD_WASM));
    open.put_chunk(&cluster, &begun.pass, 3);
    let opened = open.commit(&cluster).unwrap().version;
    published.check(&cluster, version);
    open.check(&cluster, opened);
    replaced.check_chunks(&cluster, &old);
    pass(&cluster, KEPT);
    assert_eq!(get_chunk(&cluster, b"replaced", &old, 0), fault(UploadFault::Gone));
    pass(&cluster, OPEN);
    assert_eq!(internal_records(&cluster), 5 + 5);
    published.check(&cluster, version);
    let shard = cluster.shards()[1];
    let page: ShardScanResult = cluster.query(
        shard,
        administrator(),
        "scan",
        &ShardScanArguments { range: Some(cluster.info(shard).range), ..ShardScanArguments::default() },
    );
    assert!(
        page.unwrap().records.iter().all(|record| [&b"published"[..], b"replaced", b"open"].contains(&&record.key[..]))
    );
}

/// What the platform takes for the bytes of a chunk, in cycles each: of a message from outside, and of one between canisters.
const INGRESS_BYTE_CYCLES: u128 = 2_000;
const CALL_BYTE_CYCLES: u128 = 1_000;

#[test]
fn an_upload_costs_at_most_a_tenth_above_the_platforms_fees_for_its_bytes() {
    const CHUNKS: usize = 8;
    for (is_direct, byte_cycles) in [(false, INGRESS_BYTE_CYCLES + CALL_BYTE_CYCLES), (true, INGRESS_BYTE_CYCLES)] {
        let cluster = Cluster::builder().initial_shards(2).ready();
        let large = Large::new(KEY, 1, CHUNKS * CHUNK_BYTES);
        let canisters: Vec<Principal> = [cluster.router].into_iter().chain(cluster.shards()).collect();
        let balance = || canisters.iter().map(|&canister| cluster.pic.cycle_balance(canister)).sum::<u128>();
        let table = cluster.routing_table_as(writer()).unwrap();
        let secret = canopy_types::HashSecret::from_slice(table.secret.as_ref().unwrap()).unwrap();
        let table = table.into_table();
        let before = balance();
        let begun = large.begin(&cluster);
        for index in 0..begun.chunks {
            if is_direct {
                let shard = table.find(secret.hash(&chunk_key(large.upload, index))).unwrap().shard;
                let arguments = large.chunk_arguments(&begun.pass, index);
                let done: ShardPutChunkResult = cluster.update(shard, writer(), "put_chunk", &arguments);
                assert_eq!(done, Ok(()));
            } else {
                large.put_chunk(&cluster, &begun.pass, index);
            }
        }
        large.commit(&cluster).unwrap();
        let spent = before - balance();
        let fees = large.value.len() as u128 * byte_cycles;
        let percent = spent * 1_000 / fees;
        println!(
            "direct: {is_direct}: {spent} cycles, {} per MiB, {}.{} % of the fees",
            spent / CHUNKS as u128,
            percent / 10,
            percent % 10
        );
        assert!(spent * 100 <= fees * 110, "{spent} cycles, and the fees for the bytes are {fees}");
    }
}

#[test]
fn uploads_keep_within_what_the_policy_says() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let uploads = UploadPolicy {
        open_uploads_max: 2,
        open_bytes_max: 4 * CHUNK_BYTES as u64,
        open_milliseconds: 10 * 60_000,
        kept_milliseconds: 2 * 60_000,
    };
    cluster.set_policy(&SetPolicyArguments { uploads: Some(uploads), ..SetPolicyArguments::default() }).unwrap();
    let begin = |seed, bytes| begin(&cluster, &BeginUploadArguments::new(KEY.to_vec(), UploadId([seed; 16]), bytes));
    let bytes_max = 4 * CHUNK_BYTES as u64;
    let bytes = bytes_max + 1;
    assert_eq!(begin(1, bytes).map(drop), fault(UploadFault::TooManyBytes { bytes, bytes_max }));
    begin(1, 5).unwrap();
    begin(2, 5).unwrap();
    let (open, open_max) = (2, 2);
    assert_eq!(begin(3, 5).map(drop), fault(UploadFault::TooManyUploads { open, open_max }));
    // Abandoned after ten minutes, forgotten when no chunk can come any more.
    pass(&cluster, Duration::from_secs(10 * 60));
    begin(3, 5).unwrap();
    pass(&cluster, Duration::from_secs(25 * 60));
    assert_eq!(internal_records(&cluster), 0);
}
