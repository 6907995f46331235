//! Batches: put_many, get_many and delete_many.

use canopy_types::limits::{REQUEST_ITEMS_MAX, TIME_TO_LIVE_MILLISECONDS_MAX, VALUE_BYTES_MAX};
use canopy_types::{
    BatchError, DeleteError, DeleteItem, DeleteManyArguments, DeleteManyResult, GetError, GetManyArguments,
    GetManyResult, GetResult, Operation, Precondition, PutArguments, PutError, PutItem, PutManyArguments,
    PutManyResult, PutResult, Version,
};
use serde_bytes::ByteBuf;

use crate::cluster::Cluster;
use crate::people::{administrator, reader, writer};

fn put_many(cluster: &Cluster, items: Vec<PutItem>, operation: Option<Operation>) -> PutManyResult {
    cluster.update(cluster.router, writer(), "put_many", &PutManyArguments { items, operation })
}

fn get_many(cluster: &Cluster, keys: &[Vec<u8>]) -> Vec<GetResult> {
    let keys = keys.iter().map(|key| ByteBuf::from(key.clone())).collect();
    let arguments = GetManyArguments { keys, include_value: None };
    let result: GetManyResult = cluster.update(cluster.router, reader(), "get_many", &arguments);
    result.expect("the batch is admitted")
}

fn delete_many(cluster: &Cluster, keys: &[Vec<u8>]) -> DeleteManyResult {
    let items = keys.iter().map(|key| DeleteItem::new(key.clone())).collect();
    cluster.update(cluster.router, writer(), "delete_many", &DeleteManyArguments { items, operation: None })
}

fn key(number: usize) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn keys(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(key).collect()
}

fn items(count: usize) -> Vec<PutItem> {
    (0..count).map(|number| PutItem::new(key(number), number.to_be_bytes().to_vec())).collect()
}

/// Names a batch that is issued now.
fn operation(cluster: &Cluster, id: u8) -> Operation {
    let issued_at_nanoseconds = cluster.pic.get_time().as_nanos_since_unix_epoch();
    Operation { id: ByteBuf::from(vec![id; 16]), issued_at_nanoseconds }
}

/// Expects that every item was done.
fn all_done(result: PutManyResult) -> Vec<Version> {
    let answers = result.expect("the batch is admitted");
    answers.into_iter().map(|answer| answer.expect("the put is done").version).collect()
}

#[test]
fn batches_over_many_shards_answer_each_item_in_its_place() {
    const RECORDS: usize = 3_000;
    let cluster = Cluster::builder().initial_shards(4).ready();
    let versions = all_done(put_many(&cluster, items(RECORDS), None));
    assert_eq!(versions.len(), RECORDS);
    let infos: Vec<_> = cluster.shards().into_iter().map(|shard| cluster.info(shard).records).collect();
    assert_eq!(infos.iter().sum::<u64>(), RECORDS as u64);
    assert!(infos.iter().all(|records| *records > RECORDS as u64 / 5), "{infos:?}");

    // Every second key was never put.
    let asked: Vec<_> = (0..2 * RECORDS).map(|at| if at % 2 == 0 { key(at / 2) } else { key(RECORDS + at) }).collect();
    for (at, answer) in get_many(&cluster, &asked).into_iter().enumerate() {
        let found = answer.expect("the get is answered").map(|record| (record.value.into_vec(), record.version));
        let expected = (at % 2 == 0).then(|| ((at / 2).to_be_bytes().to_vec(), versions[at / 2]));
        assert_eq!(found, expected, "place {at}");
    }
    for number in (0..RECORDS).step_by(500) {
        assert_eq!(cluster.load(&key(number)).expect("the record was put").version, versions[number]);
    }

    let deleted = delete_many(&cluster, &asked).expect("the batch is admitted");
    for (at, answer) in deleted.into_iter().enumerate() {
        assert_eq!(answer.expect("the delete is done").deleted, (at % 2 == 0).then(|| versions[at / 2]));
    }
    assert!(get_many(&cluster, &keys(RECORDS)).into_iter().all(|answer| answer == Ok(None)));
    assert_eq!(cluster.status().open_calls, 0);
}

#[test]
fn the_largest_batches_are_served_and_an_empty_one_answers_nothing() {
    let cluster = Cluster::builder().ready();
    let versions = all_done(put_many(&cluster, items(REQUEST_ITEMS_MAX), None));
    assert_eq!(versions.len(), REQUEST_ITEMS_MAX);
    let found = get_many(&cluster, &keys(REQUEST_ITEMS_MAX));
    for (answer, version) in found.into_iter().zip(&versions) {
        assert_eq!(answer.expect("the get is answered").expect("the record was put").version, *version);
    }
    let deleted = delete_many(&cluster, &keys(REQUEST_ITEMS_MAX)).expect("the batch is admitted");
    for (answer, version) in deleted.into_iter().zip(versions) {
        assert_eq!(answer.expect("the delete is done").deleted, Some(version));
    }
    assert_eq!(put_many(&cluster, vec![], None), Ok(vec![]));
    assert_eq!(get_many(&cluster, &[]), vec![]);
    assert_eq!(delete_many(&cluster, &[]), Ok(vec![]));
}

#[test]
fn preconditions_and_times_to_live_are_each_items_own() {
    let cluster = Cluster::builder().ready();
    let there = cluster.store(b"there", b"old");
    let conditional = |key: &[u8], precondition| PutItem {
        precondition: Some(precondition),
        ..PutItem::new(key.to_vec(), b"new".to_vec())
    };
    let brief = PutItem { time_to_live_milliseconds: Some(5_000), ..PutItem::new(b"brief".to_vec(), b"".to_vec()) };
    let batch = vec![
        conditional(b"there", Precondition::Absent),
        conditional(b"not there", Precondition::Present),
        conditional(b"new", Precondition::Absent),
        brief,
    ];
    let answers = put_many(&cluster, batch, None).expect("the batch is admitted");
    assert_eq!(answers[0], Err(PutError::PreconditionFailed { found: Some(there) }));
    assert_eq!(answers[1], Err(PutError::PreconditionFailed { found: None }));
    let new = answers[2].clone().expect("nothing was there").version;
    assert_eq!(cluster.load(b"there").expect("it is there").version, there);
    assert_eq!(cluster.load(b"brief").expect("it is there").value.len(), 0);
    cluster.pic.advance_time(std::time::Duration::from_secs(6));
    cluster.pic.tick();
    assert_eq!(cluster.load(b"brief"), None);

    let items = vec![
        DeleteItem { precondition: Some(Precondition::Version(there)), ..DeleteItem::new(b"new".to_vec()) },
        DeleteItem { precondition: Some(Precondition::Version(there)), ..DeleteItem::new(b"there".to_vec()) },
    ];
    let arguments = DeleteManyArguments { items, operation: None };
    let deleted: DeleteManyResult = cluster.update(cluster.router, writer(), "delete_many", &arguments);
    let deleted = deleted.expect("the batch is admitted");
    assert_eq!(deleted[0], Err(DeleteError::PreconditionFailed { found: Some(new) }));
    assert_eq!(deleted[1].clone().expect("it was there").deleted, Some(there));
}

#[test]
fn batch_sent_again_is_told_what_it_did_and_places_name_its_writes() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    let operation = operation(&cluster, 7);
    let versions = all_done(put_many(&cluster, items(100), Some(operation.clone())));
    let later = cluster.store(&key(5), b"later");
    assert_eq!(all_done(put_many(&cluster, items(100), Some(operation.clone()))), versions);
    assert_eq!(cluster.load(&key(5)).expect("it is there").version, later, "nothing was written again");

    // Another value under a name that was used is refused; in another place it has another name, and is done.
    let mut changed = items(100);
    changed[3].value = ByteBuf::from("another");
    changed.swap(7, 8);
    let answers = put_many(&cluster, changed, Some(operation.clone())).expect("the batch is admitted");
    for (at, answer) in answers.into_iter().enumerate() {
        match at {
            3 => assert_eq!(answer, Err(PutError::OperationIdReused)),
            7 | 8 => assert!(answer.expect("the put is done").version > later),
            _ => assert_eq!(answer.map(|reply| reply.version), Ok(versions[at])),
        }
    }
    // A single put is the only item of its batch.
    let single =
        PutArguments { operation: Some(operation), ..PutArguments::new(key(0), 0_usize.to_be_bytes().to_vec()) };
    let again: PutResult = cluster.update(cluster.router, writer(), "put", &single);
    assert_eq!(again.map(|reply| reply.version), Ok(versions[0]));
}

#[test]
fn batches_that_cannot_be_done_whole_are_refused_before_anything_is_done() {
    let cluster = Cluster::builder().ready();
    let before = all_done(put_many(&cluster, items(10), None));
    let refused = |items: Vec<PutItem>, operation: Option<Operation>| {
        put_many(&cluster, items, operation).expect_err("the batch makes no sense")
    };
    let (items_sent, items_max) = (REQUEST_ITEMS_MAX as u64 + 1, REQUEST_ITEMS_MAX as u64);
    let too_many = BatchError::TooManyItems { items: items_sent, items_max };
    assert_eq!(refused(items(REQUEST_ITEMS_MAX + 1), None), too_many);
    let many = delete_many(&cluster, &keys(REQUEST_ITEMS_MAX + 1));
    assert_eq!(many, Err(BatchError::TooManyItems { items: items_sent, items_max }));
    let arguments = GetManyArguments {
        keys: keys(REQUEST_ITEMS_MAX + 1).into_iter().map(ByteBuf::from).collect(),
        include_value: None,
    };
    let many: GetManyResult = cluster.update(cluster.router, reader(), "get_many", &arguments);
    assert_eq!(many, Err(BatchError::TooManyItems { items: items_sent, items_max }));

    let twice = [items(10), vec![PutItem::new(key(4), b"other".to_vec())]].concat();
    assert_eq!(refused(twice, None), BatchError::KeyTwice { first: 4, second: 10 });

    let with = |item: PutItem| [items(6), vec![item]].concat();
    let at = |error| BatchError::Item { index: 6, error };
    assert_eq!(refused(with(PutItem::new(b"".to_vec(), b"v".to_vec())), None), at(PutError::KeyEmpty));
    let long = PutItem::new(vec![1; 1_025], b"v".to_vec());
    assert_eq!(refused(with(long), None), at(PutError::KeyTooLong { bytes: 1_025, bytes_max: 1_024 }));
    let (bytes, bytes_max) = (VALUE_BYTES_MAX as u64 + 1, VALUE_BYTES_MAX as u64);
    let long = PutItem::new(b"long".to_vec(), vec![1; VALUE_BYTES_MAX + 1]);
    assert_eq!(refused(with(long), None), at(PutError::ValueTooLong { bytes, bytes_max }));
    for milliseconds in [0, 999, 2 * TIME_TO_LIVE_MILLISECONDS_MAX] {
        let item =
            PutItem { time_to_live_milliseconds: Some(milliseconds), ..PutItem::new(b"k".to_vec(), b"v".to_vec()) };
        let (milliseconds_min, milliseconds_max) = (1_000, TIME_TO_LIVE_MILLISECONDS_MAX);
        let error = PutError::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max };
        assert_eq!(refused(with(item), None), at(error));
    }
    let short = Operation { id: ByteBuf::from(vec![1; 15]), issued_at_nanoseconds: 0 };
    let error = PutError::OperationIdLength { bytes: 15, bytes_required: 16 };
    assert_eq!(refused(items(2), Some(short)), BatchError::Item { index: 0, error });

    for (number, version) in before.into_iter().enumerate() {
        assert_eq!(cluster.load(&key(number)).expect("it is there").version, version, "nothing was changed");
    }
    let infos = cluster.shards().into_iter().map(|shard| cluster.info(shard).records);
    assert_eq!(infos.sum::<u64>(), 10);
}

#[test]
fn a_shard_that_is_gone_fails_its_items_and_no_others() {
    const RECORDS: usize = 200;
    let cluster = Cluster::builder().initial_shards(2).ready();
    let victim = cluster.shards()[0];
    let versions = all_done(put_many(&cluster, items(RECORDS), None));
    let of_victim: Vec<bool> = keys(RECORDS).iter().map(|key| cluster.get_from_shard(victim, key).is_ok()).collect();
    assert!(of_victim.contains(&true) && of_victim.contains(&false));
    cluster.stop(victim, administrator());
    for (at, answer) in get_many(&cluster, &keys(RECORDS)).into_iter().enumerate() {
        match answer {
            Ok(record) => assert!(!of_victim[at] && record.expect("it is there").version == versions[at]),
            Err(GetError::ShardUnavailable { shard, reject_code, .. }) => {
                assert_eq!((shard, reject_code, of_victim[at]), (victim, 5, true));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let answers = put_many(&cluster, items(RECORDS), None).expect("the batch is admitted");
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(reply) => assert!(!of_victim[at] && reply.version > versions[at]),
            Err(PutError::ShardUnavailable { shard, .. }) => assert!(of_victim[at] && shard == victim),
            Err(other) => panic!("{other:?}"),
        }
    }
    cluster.start(victim, administrator());
    all_done(put_many(&cluster, items(RECORDS), None));
}

#[test]
fn values_beyond_one_reply_are_all_had_by_asking_again() {
    let cluster = Cluster::builder().initial_shards(3).ready();
    let sizes: Vec<usize> = (0..30).map(|at| [10, 40_000, 250_000, VALUE_BYTES_MAX][at % 4]).collect();
    for (number, &bytes) in sizes.iter().enumerate() {
        cluster.store(&key(number), &vec![number as u8; bytes]);
    }
    let mut wanted = keys(sizes.len());
    let mut found = 0;
    for turn in 0.. {
        assert!(turn < 60, "{} values are not had", wanted.len());
        // In the end each is asked for alone.
        let group = if turn < 20 { wanted.len() } else { 1 };
        let asked: Vec<_> = wanted.drain(..group.min(wanted.len())).collect();
        for (key, answer) in asked.iter().zip(get_many(&cluster, &asked)) {
            match answer {
                Ok(record) => {
                    let record = record.expect("the record was put");
                    let number: usize = String::from_utf8_lossy(&key[4..]).parse().expect("keys end with a number");
                    assert!(record.value.as_slice() == vec![number as u8; sizes[number]]);
                    found += 1;
                }
                Err(GetError::AskAgain { bytes }) => {
                    assert!(asked.len() > 1, "alone, a value of {bytes} bytes is answered");
                    wanted.push(key.clone());
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        if wanted.is_empty() {
            break;
        }
    }
    assert_eq!(found, sizes.len());
    // Lengths always fit.
    let arguments = GetManyArguments {
        keys: keys(sizes.len()).into_iter().map(ByteBuf::from).collect(),
        include_value: Some(false),
    };
    let result: GetManyResult = cluster.update(cluster.router, reader(), "get_many", &arguments);
    for (answer, bytes) in result.expect("the batch is admitted").into_iter().zip(sizes) {
        let record = answer.expect("the get is answered").expect("the record was put");
        assert_eq!((record.value.len(), record.value_bytes), (0, Some(bytes as u64)));
    }
}
