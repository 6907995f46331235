//! What large values left behind, and what is missing of them.

use std::time::Duration;

use candid::{CandidType, Principal};
use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_client::Client;
use canopy_client::transport::{PocketTransport, block_on};
use canopy_types::api::uploads::BeginUploadArguments;
use canopy_types::codec::{decode, encode};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::policy::{SetPolicyArguments, UploadPolicy};
use canopy_types::recovery::{AdoptRouterArguments, AdoptRouterResult};
use canopy_types::transfer::TransferEnd;
use canopy_types::uploads::chunk_key;
use canopy_types::uploads::shard::{
    ChunksArguments, DeleteChunksResult, FinishCollectionArguments, FinishCollectionResult,
};
use canopy_types::{
    HashRange, HashSecret, RoutingTable, ScanArguments, ScanResult, ScrubArguments, ScrubError, ScrubPage, ScrubResult,
    Stray, StrayKind, UploadId, UploadState,
};
use pocket_ic::common::rest::BlobCompression;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace, T};
use crate::people::{administrator, owner, reader, stranger, writer};
use crate::split::{FIRST, SECOND, merge, split, wait_for_end};
use crate::uploads::{KEPT, Large, OPEN, abort, begin, pass};

/// Pages and attempts after which a scrub fails.
const PAGES_MAX: usize = 2_000;

fn page(cluster: &Cluster, cursor: Option<ByteBuf>) -> ScrubResult {
    cluster.update(cluster.router, administrator(), "scrub", &ScrubArguments { cursor })
}

/// Scrubs from a cursor to the end, asking again what is busy, and tells all pages as one.
fn scrub_from(cluster: &Cluster, mut cursor: Option<ByteBuf>, mut between: impl FnMut()) -> ScrubPage {
    let mut all = ScrubPage { uploads: 0, manifests: 0, chunks: 0, strays: vec![], cursor: None };
    for _ in 0..PAGES_MAX {
        match page(cluster, cursor.clone()) {
            Ok(page) => {
                all.uploads += page.uploads;
                all.manifests += page.manifests;
                all.chunks += page.chunks;
                all.strays.extend(page.strays);
                cursor = page.cursor;
                if cursor.is_none() {
                    return all;
                }
            }
            Err(ScrubError::Busy { .. }) => cluster.turn(Pace::BRISK),
            Err(error) => panic!("{error:?}"),
        }
        between();
    }
    panic!("the scrub doesn't end in {PAGES_MAX} pages");
}

fn scrub(cluster: &Cluster) -> ScrubPage {
    scrub_from(cluster, None, || ())
}

/// Scrubs, and tells how many uploads, manifests and chunks there are, nothing of which is a stray.
fn clean(cluster: &Cluster) -> (u64, u64, u64) {
    let all = scrub(cluster);
    assert_eq!(all.strays, []);
    (all.uploads, all.manifests, all.chunks)
}

/// Has a shard do what only its router may ask for: an administrator can make any canister the router of a shard.
fn as_router<A: CandidType, R: CandidType + DeserializeOwned>(
    cluster: &Cluster,
    shard: Principal,
    method: &str,
    arguments: &A,
) -> R {
    let adopt = |router| {
        let adopted: AdoptRouterResult =
            cluster.update(shard, administrator(), "adopt_router", &AdoptRouterArguments { router });
        adopted.expect("an administrator may give a shard another router");
    };
    adopt(cluster.relay());
    let reply = cluster.call_through_relay(shard, method, &encode(arguments));
    adopt(cluster.router);
    decode(&reply.expect("the shard answers its router")).expect("it answers what its interface says")
}

/// Routes of a service, as who may read everything knows them.
fn routes(cluster: &Cluster) -> (HashSecret, RoutingTable) {
    let reply = cluster.routing_table_as(writer()).expect("a writer may know");
    let secret = HashSecret::from_slice(reply.secret.as_ref().expect("a writer is told")).expect("as many bytes");
    (secret, reply.into_table())
}

fn shard_of(cluster: &Cluster, bytes: &[u8]) -> Principal {
    let (secret, table) = routes(cluster);
    table.find(secret.hash(bytes)).expect("every hash is owned").shard
}

/// Deletes a chunk behind its upload's back.
fn lose_chunk(cluster: &Cluster, large: &Large, index: u32) {
    let (upload, key_hash) = (large.upload, routes(cluster).0.hash(&large.key));
    let shard = shard_of(cluster, &chunk_key(upload, index));
    let arguments = ChunksArguments { upload, key_hash, indexes: vec![index] };
    let deleted: DeleteChunksResult = as_router(cluster, shard, "delete_chunks", &arguments);
    deleted.expect("the chunk is the shard's");
}

#[test]
fn what_is_under_way_is_no_stray() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    assert_eq!(clean(&cluster), (0, 0, 0));
    for number in 0..50 {
        cluster.store(format!("key {number}").as_bytes(), b"small");
    }
    assert_eq!(clean(&cluster), (0, 0, 0));

    let published = Large::new(b"published", 1, 3 * CHUNK_BYTES + 5);
    let version = published.store(&cluster);
    assert_eq!(clean(&cluster), (1, 1, 4));
    // Open, with chunks that are missing.
    let open = Large::new(b"open", 2, 4 * CHUNK_BYTES);
    let begun = open.begin(&cluster);
    open.put_chunk(&cluster, &begun.pass, 2);
    let aborted = Large::new(b"aborted", 3, 2 * CHUNK_BYTES);
    let late_pass = aborted.begin(&cluster).pass;
    aborted.put_chunk(&cluster, &late_pass, 0);
    abort(&cluster, &aborted.named()).expect("an open upload is given up");
    let replaced = Large::new(b"replaced", 4, 2 * CHUNK_BYTES);
    replaced.store(&cluster);
    cluster.store(b"replaced", b"small");
    let ending = Large::new(b"ending", 5, CHUNK_BYTES + 1);
    let arguments = BeginUploadArguments { time_to_live_milliseconds: Some(60_000), ..ending.begin_arguments() };
    let pass_of_ending = begin(&cluster, &arguments).expect("the upload begins").pass;
    (0..2).for_each(|index| ending.put_chunk(&cluster, &pass_of_ending, index));
    ending.commit(&cluster).expect("the upload is published");
    assert_eq!(clean(&cluster), (5, 2, 4 + 1 + 1 + 2 + 2));

    // As the clock goes on: expired, then collected, a late chunk, collected again.
    for _ in 0..40 {
        cluster.turn(Pace { time: Duration::from_secs(30), rounds: 1 });
        let (uploads, manifests, _) = clean(&cluster);
        assert!(uploads == 5 && (1..=2).contains(&manifests));
    }
    pass(&cluster, KEPT);
    assert_eq!(clean(&cluster), (5, 1, 4 + 1));
    aborted.put_chunk(&cluster, &late_pass, 1);
    assert_eq!(clean(&cluster), (5, 1, 4 + 1 + 1));
    pass(&cluster, OPEN);
    pass(&cluster, KEPT);
    assert_eq!(clean(&cluster), (1, 1, 4));
    published.check(&cluster, version);
}

#[test]
fn ranges_that_change_hands_are_no_strays_and_cursors_outlive_them() {
    let cluster = Cluster::builder().initial_shards(1).shard_cycles(10 * T).ready();
    for seed in 1..=6 {
        Large::new(&[seed], seed, 2 * CHUNK_BYTES).store(&cluster);
    }
    let open = Large::new(b"open", 9, 3 * CHUNK_BYTES);
    let begun = open.begin(&cluster);
    open.put_chunk(&cluster, &begun.pass, 0);
    assert_eq!(clean(&cluster), (7, 6, 13));

    let begun_split = split(&cluster, FIRST, None).expect("the only shard can be split");
    let (mut looks, mut is_over) = (0, false);
    while !is_over {
        assert!(looks < PAGES_MAX, "the transfer doesn't end");
        cluster.turn(Pace::ROUND_BY_ROUND);
        assert_eq!(clean(&cluster), (7, 6, 13));
        looks += 1;
        is_over = cluster.status().transfers.is_some_and(|transfers| transfers[0].ended_at_nanoseconds.is_some());
        if looks % 4 == 0 {
            cluster.turn(Pace::BRISK);
        }
    }
    assert_eq!(wait_for_end(&cluster, begun_split), TransferEnd::Done);
    open.put_chunk(&cluster, &begun.pass, 1);
    assert_eq!(clean(&cluster), (7, 6, 14));

    // A page before a merge and an upgrade, the rest behind them.
    let first = page(&cluster, None).expect("nothing moves");
    assert!(first.cursor.is_some(), "another shard has the rest");
    let merged = merge(&cluster, SECOND, FIRST).expect("neighbours can be merged");
    assert_eq!(wait_for_end(&cluster, merged), TransferEnd::Done);
    cluster.upgrade_router(ROUTER_WASM);
    cluster.shards().into_iter().for_each(|shard| cluster.upgrade_shard(shard, SHARD_WASM));
    let rest = scrub_from(&cluster, first.cursor.clone(), || ());
    assert_eq!([first.strays, rest.strays].concat(), []);
    let sums = (first.uploads + rest.uploads, first.manifests + rest.manifests, first.chunks + rest.chunks);
    assert_eq!(sums, (7, 6, 14));
}

#[test]
fn uploads_that_end_between_pages_are_no_strays() {
    let cluster = Cluster::builder().initial_shards(4).ready();
    let values: Vec<Large> = (1..=4).map(|seed| Large::new(&[seed], seed, 2 * CHUNK_BYTES + 1)).collect();
    for round in 0..3 {
        for value in &values {
            let renewed = Large {
                upload: UploadId([value.upload.0[0] + 16 * round; 16]),
                ..Large::new(&value.key, 1, 2 * CHUNK_BYTES + 1)
            };
            renewed.store(&cluster);
        }
        let mut turn = 0;
        let all = scrub_from(&cluster, None, || {
            turn += 1;
            cluster.store(&[1 + turn % 4], b"small");
            cluster.turn(Pace { time: Duration::from_secs(400), rounds: 2 });
        });
        assert_eq!(all.strays, []);
    }
    pass(&cluster, KEPT);
    assert_eq!(scrub(&cluster).strays, []);
}

#[test]
fn the_client_library_walks_to_the_end() {
    let cluster = Cluster::builder().initial_shards(3).relay_without_role().ready();
    let large = Large::new(b"large", 1, 3 * CHUNK_BYTES);
    large.store(&cluster);
    lose_chunk(&cluster, &large, 2);
    let client = |caller| Client::new(PocketTransport::new(cluster.pic.clone(), caller), cluster.router);
    let administrators = client(administrator());
    let (mut scrub, mut pages, mut chunks, mut strays) = (administrators.scrub(), 0, 0, vec![]);
    let mut position = scrub.position();
    while let Some(page) = block_on(scrub.next_page()).expect("an administrator may") {
        (pages, chunks) = (pages + 1, chunks + page.chunks);
        strays.extend(page.strays);
        assert!(scrub.position() > position);
        position = scrub.position();
    }
    assert_eq!((pages, chunks, position), (3, 2, HashRange::FULL.last), "a page for each shard");
    assert!(matches!(strays[..], [Stray { kind: StrayKind::ChunksMissing { missing: 1, first: 2, .. }, .. }]));
    let writers = client(writer());
    block_on(writers.scrub().next_page()).expect_err("a writer may not");
}

#[test]
fn a_published_upload_that_lacks_chunks_is_found() {
    let cluster = Cluster::builder().initial_shards(3).relay_without_role().ready();
    let large = Large::new(b"large", 1, 5 * CHUNK_BYTES + 7);
    let version = large.store(&cluster);
    Large::new(b"other", 2, 2 * CHUNK_BYTES).store(&cluster);
    lose_chunk(&cluster, &large, 3);
    let (secret, table) = routes(&cluster);
    let hash = secret.hash(&large.key);
    let stray = |state, missing, first| Stray {
        kind: StrayKind::ChunksMissing { state, missing, first },
        upload: large.upload,
        shard: table.find(hash).expect("every hash is owned").shard,
        hash,
        key: Some(ByteBuf::from(large.key.clone())),
        bytes: large.value.len() as u64,
    };
    let all = scrub(&cluster);
    assert_eq!(all.strays, [stray(UploadState::Published { version }, 1, 3)]);
    assert_eq!((all.uploads, all.manifests, all.chunks), (2, 2, 5 + 2));
    lose_chunk(&cluster, &large, 1);
    assert_eq!(scrub(&cluster).strays, [stray(UploadState::Published { version }, 2, 1)]);
    // Readers may still read what was replaced, until its time is over; then it is only what is left to collect.
    cluster.store(b"large", b"small");
    assert_eq!(scrub(&cluster).strays, [stray(UploadState::Replaced { version }, 2, 1)]);
    pass(&cluster, KEPT);
    assert_eq!(clean(&cluster), (2, 1, 2));
}

#[test]
fn a_chunk_whose_upload_was_forgotten_is_found() {
    let cluster = Cluster::builder().initial_shards(2).relay_without_role().ready();
    let large = Large::new(b"large", 1, 3 * CHUNK_BYTES + 7);
    let begun = large.begin(&cluster);
    large.put_chunk(&cluster, &begun.pass, 0);
    large.put_chunk(&cluster, &begun.pass, 3);
    assert_eq!(clean(&cluster), (1, 0, 2));
    let (secret, shard) = (routes(&cluster).0, shard_of(&cluster, &large.key));
    let hash = secret.hash(&large.key);
    // Nobody collects it while the router is away. Then somebody says that its chunks are gone, and they are not.
    cluster.stop(cluster.router, owner());
    pass(&cluster, OPEN);
    let arguments = FinishCollectionArguments { hash, upload: large.upload, last: true };
    let finished: FinishCollectionResult = as_router(&cluster, shard, "finish_collection", &arguments);
    finished.expect("the upload's record is the shard's");
    cluster.start(cluster.router, owner());
    let stray = |index, bytes| {
        let key = chunk_key(large.upload, index);
        Stray {
            kind: StrayKind::ChunkWithoutUpload { index, key_hash: hash },
            upload: large.upload,
            shard: shard_of(&cluster, &key),
            hash: secret.hash(&key),
            key: None,
            bytes,
        }
    };
    let mut expected = [stray(0, CHUNK_BYTES as u64), stray(3, 7)];
    expected.sort_by_key(|stray| stray.hash);
    let found = || {
        let mut found = scrub(&cluster);
        found.strays.sort_by_key(|stray| stray.hash);
        found
    };
    let all = found();
    assert_eq!(((all.uploads, all.chunks), &all.strays[..]), ((0, 2), &expected[..]));
    pass(&cluster, KEPT);
    assert_eq!(found().strays, expected, "nobody deletes them");
    lose_chunk(&cluster, &large, 0);
    lose_chunk(&cluster, &large, 3);
    assert_eq!(clean(&cluster), (0, 0, 0));
}

#[test]
fn manifests_and_uploads_that_have_nothing_of_each_other_are_found() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let large = Large::new(b"a key that is nowhere else", 0x5a, CHUNK_BYTES + 7);
    let version = large.store(&cluster);
    assert_eq!(clean(&cluster), (1, 1, 2));
    // No method does that: a byte of the upload's name in the manifest is changed in the shard's memory.
    let shard = cluster.shards()[0];
    let mut memory = cluster.pic.get_stable_memory(shard);
    let manifest = [&large.key[..], &large.upload.0].concat();
    let places: Vec<usize> = memory
        .windows(manifest.len())
        .enumerate()
        .filter(|(_, window)| *window == manifest)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 1, "there is one manifest");
    memory[places[0] + manifest.len() - 1] ^= 1;
    cluster.pic.set_stable_memory(shard, memory, BlobCompression::NoCompression);
    let mut other = large.upload;
    other.0[15] ^= 1;
    let stray = |upload, kind| Stray {
        kind,
        upload,
        shard,
        hash: routes(&cluster).0.hash(&large.key),
        key: Some(ByteBuf::from(large.key.clone())),
        bytes: large.value.len() as u64,
    };
    let expected = [
        stray(other, StrayKind::ManifestWithoutUpload { found: None }),
        stray(large.upload, StrayKind::UploadWithoutManifest { version }),
    ];
    let mut found = scrub(&cluster).strays;
    found.sort_by_key(|stray| stray.upload == large.upload);
    assert_eq!(found, expected);
}

#[test]
fn any_number_of_uploads_is_walked_page_by_page() {
    const UPLOADS: u64 = 900;
    let cluster = Cluster::builder().initial_shards(1).ready();
    let uploads = UploadPolicy { open_uploads_max: UPLOADS, ..UploadPolicy::default() };
    cluster.set_policy(&SetPolicyArguments { uploads: Some(uploads), ..SetPolicyArguments::default() }).unwrap();
    for number in 0..UPLOADS {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let key = format!("key {}", number % 100).into_bytes();
        begin(&cluster, &BeginUploadArguments::new(key, UploadId(id), 5)).expect("there is room");
    }
    let mut pages = 1;
    let all = scrub_from(&cluster, None, || pages += 1);
    assert_eq!((all.uploads, all.manifests, all.chunks, all.strays), (UPLOADS, 0, 0, vec![]));
    assert_eq!(pages, 2);
}

#[test]
fn bad_cursors_strangers_and_services_that_are_not_ready_are_answered() {
    let starting = Cluster::builder().initial_shards(1).deploy();
    assert!(matches!(page(&starting, None), Err(ScrubError::NotReady { .. })));
    let cluster = Cluster::builder().initial_shards(2).ready();
    for caller in [writer(), reader(), stranger()] {
        let argument = encode(&ScrubArguments::default());
        assert!(cluster.update_raw(cluster.router, caller, "scrub", argument).is_err(), "before it costs anything");
    }

    let invalid = |cursor: &[u8]| match page(&cluster, Some(ByteBuf::from(cursor))) {
        Err(ScrubError::InvalidCursor { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(invalid(&[]).contains("no cursor has 0 bytes"));
    assert!(invalid(&[7; 40]).contains("cursors of kind 2, not 7"));
    assert!(invalid(&[2; 40]).contains("changed"));
    let cursor = page(&cluster, None).expect("an administrator may").cursor.expect("there are two shards");
    assert!(page(&cluster, Some(cursor.clone())).is_ok());
    let mut changed = cursor.clone();
    *changed.last_mut().expect("it has bytes") ^= 1;
    assert!(invalid(&changed).contains("changed"));
    // Of the other method, both ways.
    let scan = |cursor: Option<ByteBuf>| -> ScanResult {
        cluster.update(cluster.router, administrator(), "scan", &ScanArguments { cursor, ..ScanArguments::default() })
    };
    let of_scan = scan(None).expect("an administrator may").cursor.expect("there are two shards");
    assert!(invalid(&of_scan).contains("cursors of kind 2, not 1"));
    assert!(scan(Some(cursor)).is_err());

    let shard = cluster.shards()[0];
    cluster.stop(shard, administrator());
    match page(&cluster, None) {
        Err(ScrubError::ShardUnavailable { shard: named, .. }) => assert_eq!(named, shard),
        other => panic!("{other:?}"),
    }
}
