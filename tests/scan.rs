//! Pages of everything.

use std::collections::BTreeMap;

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_types::limits::VALUE_BYTES_MAX;
use canopy_types::roles::{Grant, GrantResult, Role};
use canopy_types::{HashRange, KeyHash, ScanArguments, ScanError, ScanPage, ScanResult, ScannedRecord};
use serde_bytes::ByteBuf;

use crate::cluster::Cluster;
use crate::people::{administrator, person, reader, stranger};

const PAGES_MAX: usize = 2_000;

fn page(cluster: &Cluster, arguments: &ScanArguments) -> ScanResult {
    cluster.update(cluster.router, reader(), "scan", arguments)
}

/// Answers a page by update and by composite query, which agree.
fn agreed_page(cluster: &Cluster, arguments: &ScanArguments) -> ScanPage {
    let updated = page(cluster, arguments);
    let queried: ScanResult = cluster.query(cluster.router, reader(), "scan_query", arguments);
    assert_eq!(updated, queried, "scan and scan_query disagree");
    updated.expect("a reader may scan")
}

/// Scans to the end, `between` the pages doing something.
fn scan(cluster: &Cluster, mut arguments: ScanArguments, mut between: impl FnMut(usize)) -> Vec<ScannedRecord> {
    let mut all = vec![];
    for turn in 0..PAGES_MAX {
        let page = agreed_page(cluster, &arguments);
        all.extend(page.records);
        arguments.cursor = page.cursor;
        if arguments.cursor.is_none() {
            return all;
        }
        between(turn);
    }
    panic!("the scan doesn't end in {PAGES_MAX} pages");
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn fill(cluster: &Cluster, records: u32) -> Model {
    let mut model = Model::new();
    for number in 0..records {
        let (key, value) = (format!("key {number}").into_bytes(), vec![number as u8; number as usize % 50]);
        cluster.store(&key, &value);
        model.insert(key, value);
    }
    model
}

/// Checks that the records are those of the model, each once.
fn check(found: &[ScannedRecord], model: &Model) {
    assert_eq!(found.len(), model.len());
    let found: Model = found.iter().map(|record| (record.key.to_vec(), record.value.to_vec())).collect();
    assert!(found == *model, "the scan found something else than was put");
}

#[test]
fn scan_answers_every_record_once_over_all_shards() {
    let cluster = Cluster::builder().initial_shards(4).ready();
    assert_eq!(scan(&cluster, ScanArguments::default(), |_| ()), vec![]);
    let model = fill(&cluster, 300);
    for records_max in [None, Some(7), Some(100)] {
        check(&scan(&cluster, ScanArguments { records_max, ..ScanArguments::default() }, |_| ()), &model);
    }
    check(&scan(&cluster, ScanArguments { bytes_max: Some(500), ..ScanArguments::default() }, |_| ()), &model);
    let lengths = scan(&cluster, ScanArguments { include_value: Some(false), ..ScanArguments::default() }, |_| ());
    for record in &lengths {
        assert_eq!(record.value_bytes, Some(model[record.key.as_slice()].len() as u64));
    }
    // The parts of the hash space add up.
    let (left, right) = HashRange::FULL.split_at(KeyHash(0x5555_5555_5555_5555)).expect("that lies inside");
    let parts = [left, right]
        .map(|range| scan(&cluster, ScanArguments { range: Some(range), ..ScanArguments::default() }, |_| ()));
    assert!(parts.iter().all(|part| part.len() > 50));
    check(&parts.concat(), &model);
}

#[test]
fn cursors_outlive_changes_and_upgrades_of_everything() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let mut model = fill(&cluster, 120);
    let arguments = ScanArguments { records_max: Some(10), ..ScanArguments::default() };
    let found = scan(&cluster, arguments, |turn| match turn {
        1 => cluster.upgrade_router(ROUTER_WASM),
        2 => cluster.shards().into_iter().for_each(|shard| cluster.upgrade_shard(shard, SHARD_WASM)),
        // What comes and goes meanwhile may be found or not; the rest isn't disturbed.
        turn => {
            cluster.store(format!("other {turn}").as_bytes(), b"other");
            cluster.remove(format!("other {}", turn / 2).as_bytes());
        }
    });
    let found: Vec<_> = found.into_iter().filter(|record| record.key.starts_with(b"key")).collect();
    check(&found, &model);
    // What is deleted before its page comes isn't found.
    let first = agreed_page(&cluster, &ScanArguments { records_max: Some(1), ..ScanArguments::default() });
    model.retain(|key, _| {
        let keep = key.as_slice() == first.records[0].key.as_slice();
        if !keep {
            cluster.remove(key);
        }
        keep
    });
    let rest = scan(&cluster, ScanArguments { cursor: first.cursor, ..ScanArguments::default() }, |_| ());
    assert!(rest.iter().all(|record| record.key.starts_with(b"other")), "{rest:?}");
}

#[test]
fn large_values_come_in_pages_and_those_beyond_a_page_are_told_by_length() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let model: Model =
        (0..5_u8).map(|number| (vec![number], vec![number; VALUE_BYTES_MAX - usize::from(number)])).collect();
    for (key, value) in &model {
        cluster.store(key, value);
    }
    check(&scan(&cluster, ScanArguments::default(), |_| ()), &model);
    let short = scan(&cluster, ScanArguments { bytes_max: Some(1_000), ..ScanArguments::default() }, |_| ());
    assert_eq!(short.len(), model.len());
    for record in short {
        assert_eq!((record.value.len(), record.value_bytes), (0, Some(model[record.key.as_slice()].len() as u64)));
    }
}

#[test]
fn cursors_that_the_service_did_not_make_are_refused() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    fill(&cluster, 20);
    let arguments = ScanArguments { records_max: Some(3), ..ScanArguments::default() };
    let cursor = agreed_page(&cluster, &arguments).cursor.expect("there is more").into_vec();
    let foreign = Cluster::builder().initial_shards(2).ready();
    fill(&foreign, 20);
    let foreign = agreed_page(&foreign, &arguments).cursor.expect("there is more").into_vec();
    let mut bad = vec![vec![], b"garbage".to_vec(), vec![0; 26], vec![1; 26], vec![1; 100], vec![1; 100_000]];
    bad.extend([cursor[..cursor.len() - 1].to_vec(), [&cursor[..], &[0]].concat()]);
    bad.extend((0..cursor.len()).map(|at| {
        let mut changed = cursor.clone();
        changed[at] ^= 0x10;
        changed
    }));
    // Networks of equal seed draw equal secrets, and then the cursor isn't foreign.
    if foreign != cursor {
        bad.push(foreign);
    }
    for bytes in bad {
        let arguments = ScanArguments { cursor: Some(ByteBuf::from(bytes.clone())), ..ScanArguments::default() };
        let refused = page(&cluster, &arguments);
        assert!(matches!(refused, Err(ScanError::InvalidCursor { .. })), "{bytes:?}: {refused:?}");
        let refused: ScanResult = cluster.query(cluster.router, reader(), "scan_query", &arguments);
        assert!(matches!(refused, Err(ScanError::InvalidCursor { .. })), "{bytes:?}: {refused:?}");
    }
    let good = ScanArguments { cursor: Some(ByteBuf::from(cursor)), ..ScanArguments::default() };
    agreed_page(&cluster, &good);
}

#[test]
fn pages_that_cannot_be_are_refused_with_the_reason() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let none = ScanArguments::default;
    assert_eq!(page(&cluster, &ScanArguments { records_max: Some(0), ..none() }), Err(ScanError::PageEmpty));
    assert_eq!(page(&cluster, &ScanArguments { bytes_max: Some(0), ..none() }), Err(ScanError::PageEmpty));
    let (first, last) = (KeyHash(2), KeyHash(1));
    let range = Some(HashRange { first, last });
    assert_eq!(page(&cluster, &ScanArguments { range, ..none() }), Err(ScanError::RangeEmpty { first, last }));
    let huge = ScanArguments { records_max: Some(u32::MAX), bytes_max: Some(u64::MAX), ..none() };
    assert_eq!(page(&cluster, &huge), Ok(ScanPage { records: vec![], cursor: None }));
}

#[test]
fn who_may_read_a_prefix_scans_with_it_and_not_without() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    fill(&cluster, 50);
    cluster.store(b"other", b"value");
    let limited = person("reads keys");
    let prefix = Some(ByteBuf::from("key "));
    let grant = Grant { grantee: Some(limited), role: Role::Reader, prefix: prefix.clone() };
    let granted: GrantResult = cluster.update(cluster.router, administrator(), "grant", &grant);
    granted.expect("an administrator grants");
    let ask = |caller, prefix: Option<&[u8]>| -> ScanResult {
        let arguments = ScanArguments { prefix: prefix.map(ByteBuf::from), ..ScanArguments::default() };
        let updated = cluster.update_raw(cluster.router, caller, "scan", canopy_types::codec::encode(&arguments));
        let queried: ScanResult = cluster.query(cluster.router, caller, "scan_query", &arguments);
        if let Ok(reply) = updated {
            assert_eq!(canopy_types::codec::decode::<ScanResult>(&reply), Ok(queried.clone()));
        }
        queried
    };
    for narrow in [&b"key "[..], b"key 1"] {
        let mut records = vec![];
        let mut arguments = ScanArguments { prefix: Some(ByteBuf::from(narrow)), ..ScanArguments::default() };
        for _ in 0..PAGES_MAX {
            let page: ScanResult = cluster.query(cluster.router, limited, "scan_query", &arguments);
            let page = page.expect("the prefix is granted");
            records.extend(page.records);
            arguments.cursor = page.cursor;
            if arguments.cursor.is_none() {
                break;
            }
        }
        let expected = (0..50).filter(|number| format!("key {number}").as_bytes().starts_with(narrow)).count();
        assert_eq!(records.len(), expected);
    }
    for wide in [None, Some(&b""[..]), Some(b"ke"), Some(b"other")] {
        assert_eq!(ask(limited, wide), Err(ScanError::Unauthorised { caller: limited }), "{wide:?}");
    }
    assert_eq!(ask(stranger(), Some(b"key ")), Err(ScanError::Unauthorised { caller: stranger() }));
}
