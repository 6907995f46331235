//! Many operations at once, and against a model.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_types::limits::VALUE_BYTES_MAX;
use canopy_types::shard::ShardError;
use canopy_types::{BusyReason, PutError, Version};

use crate::cluster::{Cluster, Pace};
use crate::people::{administrator, reader, writer};
use crate::server;

/// Puts that are under way at the same time.
const PUTS_AT_ONCE: usize = 100;

/// A generator of numbers that are the same in every run (SplitMix64, after Steele, Lea and Flood, 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Version)>;

/// Puts `records`, many at once, and notes them in the model. Keys must differ.
fn store_all(cluster: &Cluster, model: &mut Model, records: Vec<(Vec<u8>, Vec<u8>)>) {
    for batch in records.chunks(PUTS_AT_ONCE) {
        let messages: Vec<_> = batch.iter().map(|(key, value)| cluster.submit_put(key, value)).collect();
        for ((key, value), message) in batch.iter().zip(messages) {
            let version = cluster.await_put(message).expect("a hundred puts at once are served").version;
            if let Some((_, last)) = model.insert(key.clone(), (value.clone(), version)) {
                assert!(version > last);
            }
        }
    }
}

/// Checks one record against the model.
fn check_record(cluster: &Cluster, model: &Model, key: &[u8]) {
    let record = cluster.load(key).map(|record| (record.value.into_vec(), record.version));
    assert_eq!(record.as_ref(), model.get(key), "key {key:?}");
}

/// Checks that the shards hold what the model holds, each its part.
fn check_shards(cluster: &Cluster, model: &Model) {
    let infos: Vec<_> = cluster.shards().into_iter().map(|shard| cluster.info(shard)).collect();
    assert_eq!(infos.iter().map(|info| info.records).sum::<u64>(), model.len() as u64);
    let bytes: usize = model.iter().map(|(key, (value, _))| key.len() + value.len()).sum();
    assert_eq!(infos.iter().map(|info| info.record_bytes).sum::<u64>(), bytes as u64);
}

#[test]
fn thousands_of_records_lie_on_the_shards_that_the_table_names() {
    const RECORDS: usize = 3_000;
    let cluster = Cluster::builder().initial_shards(4).ready();
    let (mut numbers, mut model) = (Numbers(1), Model::new());
    let records = (0..RECORDS).map(|number| {
        let (key_bytes, value_bytes) = (1 + numbers.below(60) as usize, numbers.below(300) as usize);
        let key = [&(number as u16).to_be_bytes()[..], &numbers.bytes(key_bytes)].concat();
        (key, numbers.bytes(value_bytes))
    });
    let records = records.collect();
    store_all(&cluster, &mut model, records);
    check_shards(&cluster, &model);

    let table = cluster.routing_table();
    for route in &table.routes {
        let records = cluster.info(route.shard).records as usize;
        assert!((RECORDS / 5..RECORDS / 3).contains(&records), "{records} of {RECORDS} records in {}", route.range);
    }
    for key in model.keys().step_by(23) {
        check_record(&cluster, &model, key);
        let mut holders = 0;
        for route in &table.routes {
            match cluster.get_from_shard(route.shard, key) {
                Ok(Some(_)) => holders += 1,
                Err(ShardError::WrongShard(wrong)) => {
                    assert_eq!((wrong.range, wrong.epoch), (route.range, route.epoch));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(holders, 1, "one shard holds each record");
    }
}

#[test]
fn random_operations_answer_what_a_map_answers() {
    const OPERATIONS: usize = 1_500;
    const KEYS: u64 = 60;
    let cluster = Cluster::builder().initial_shards(4).ready();
    let (mut numbers, mut model) = (Numbers(2), Model::new());
    let mut greatest: BTreeMap<Vec<u8>, Version> = BTreeMap::new();
    for _ in 0..OPERATIONS {
        let number = numbers.below(KEYS);
        let key = vec![number as u8; 1 + number as usize * 17];
        match numbers.below(10) {
            0..5 => {
                let length = numbers.below(5_000) as usize;
                let value = numbers.bytes(length);
                let version = cluster.store(&key, &value);
                if let Some(last) = greatest.insert(key.clone(), version) {
                    assert!(version > last, "versions of {number} must grow");
                }
                model.insert(key, (value, version));
            }
            5..8 => check_record(&cluster, &model, &key),
            _ => {
                let removed = model.remove(&key).map(|(_, version)| version);
                assert_eq!(cluster.remove(&key), removed);
            }
        }
    }
    for number in 0..KEYS {
        check_record(&cluster, &model, &vec![number as u8; 1 + number as usize * 17]);
    }
    check_shards(&cluster, &model);
}

#[test]
fn five_hundred_puts_in_one_round_are_each_answered() {
    const PUTS: u32 = 500;
    let cluster = Cluster::builder().initial_shards(1).ready();
    let messages: Vec<_> = (0..PUTS).map(|number| cluster.submit_put(&number.to_be_bytes(), b"value")).collect();
    let (mut done, mut busy) = (0, 0);
    for (number, message) in (0..PUTS).zip(messages) {
        match cluster.await_put(message) {
            Ok(reply) => {
                done += 1;
                let record = cluster.get_query(reader(), &number.to_be_bytes());
                assert_eq!(record.expect("queries are answered").expect("a done put is stored").version, reply.version);
            }
            Err(PutError::Busy { retry_after_milliseconds, reason }) => {
                busy += 1;
                assert!(retry_after_milliseconds > 0);
                assert!(matches!(reason, BusyReason::CallsOpen { .. } | BusyReason::Platform { .. }), "{reason:?}");
                assert_eq!(cluster.load(&number.to_be_bytes()), None, "a put that answered Busy was not done");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(done + busy, PUTS);
    assert!(done >= 100, "only {done} puts were done at once");
    assert_eq!(cluster.info(cluster.shards()[0]).records, u64::from(done));
    assert_eq!(cluster.status().open_calls, 0);
    cluster.store(b"afterwards", b"value");
}

#[test]
fn large_values_at_once_are_each_answered() {
    const PUTS: u8 = 12;
    let cluster = Cluster::builder().initial_shards(2).ready();
    let value = vec![3; VALUE_BYTES_MAX];
    let messages: Vec<_> = (0..PUTS).map(|number| cluster.submit_put(&[number], &value)).collect();
    for (number, message) in (0..PUTS).zip(messages) {
        match cluster.await_put(message) {
            Ok(reply) => {
                let record = cluster.load(&[number]).expect("a done put is stored");
                assert!(record.version == reply.version && record.value.as_slice() == value);
            }
            Err(PutError::Busy { .. }) => assert_eq!(cluster.load(&[number]), None),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn operations_on_one_key_at_once_happen_one_after_the_other() {
    const PUTS: u8 = 60;
    let cluster = Cluster::builder().initial_shards(2).ready();
    let first = cluster.store(b"key", b"first");
    let messages: Vec<_> = (0..PUTS).map(|number| cluster.submit_put(b"key", &[number])).collect();
    let mut versions: BTreeMap<Version, u8> = BTreeMap::new();
    for (number, message) in (0..PUTS).zip(messages) {
        let version = cluster.await_put(message).expect("sixty puts at once are served").version;
        assert!(version > first);
        assert_eq!(versions.insert(version, number), None, "no two puts have the same version");
    }
    let (version, number) = versions.pop_last().expect("there were puts");
    let record = cluster.load(b"key").expect("the record was put");
    assert_eq!((record.version, record.value.as_slice()), (version, &[number][..]), "the last put is what is stored");
    assert_eq!(cluster.remove(b"key"), Some(version));
}

/// Attempts at a put while a shard gets more memory.
const ATTEMPTS_MAX: usize = 50;

/// Puts, and tries again as long as the router says so.
fn store_patiently(cluster: &Cluster, key: &[u8], value: &[u8]) -> Result<Version, PutError> {
    for _ in 0..ATTEMPTS_MAX {
        match cluster.put(writer(), key, value) {
            Ok(reply) => return Ok(reply.version),
            Err(PutError::Busy { retry_after_milliseconds, .. }) => {
                cluster.turn(Pace { time: Duration::from_millis(retry_after_milliseconds), rounds: 2 });
            }
            Err(other) => return Err(other),
        }
    }
    panic!("busy {ATTEMPTS_MAX} times in a row");
}

#[test]
fn a_shard_takes_more_than_its_first_memory_while_it_serves() {
    const MEBIBYTES: u32 = 150;
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    let before = cluster.info(shard).stable_bytes;
    let mut value = vec![0; VALUE_BYTES_MAX];
    for number in 0..MEBIBYTES {
        value[..4].copy_from_slice(&number.to_be_bytes());
        store_patiently(&cluster, &number.to_be_bytes(), &value).expect("there is memory");
    }
    let info = cluster.info(shard);
    assert!(info.stable_bytes > before, "{info:?}");
    assert_eq!(info.records, u64::from(MEBIBYTES));
    for number in (0..MEBIBYTES).step_by(7) {
        let record = cluster.load(&number.to_be_bytes()).expect("the record was put");
        assert_eq!((record.value.len(), &record.value[..4]), (VALUE_BYTES_MAX, &number.to_be_bytes()[..]));
    }
}

#[test]
fn a_full_shard_answers_out_of_space_and_still_reads_and_deletes() {
    // Newer servers don't take a memory allocation as a bound.
    if server::is_not_applicable("a_full_shard_answers_out_of_space_and_still_reads_and_deletes") {
        return;
    }
    const ALLOCATION_BYTES: u64 = 120 * 1024 * 1024;
    const VALUE_BYTES: usize = 128 * 1024;
    const PUTS_MAX: u32 = 1_500;
    let cluster = Cluster::builder().initial_shards(1).ready();
    let shard = cluster.shards()[0];
    cluster.set_memory_allocation(shard, administrator(), ALLOCATION_BYTES);
    let value = vec![7; VALUE_BYTES];
    let mut stored = vec![];
    let full = (0..PUTS_MAX).find_map(|number| match store_patiently(&cluster, &number.to_be_bytes(), &value) {
        Ok(version) => {
            stored.push((number, version));
            None
        }
        Err(error) => Some((number, error)),
    });
    let (refused, error) = full.expect("the allocation is a bound");
    assert_eq!(error, PutError::OutOfSpace { shard });
    assert!(cluster.info(shard).out_of_space);
    assert!(stored.len() > 10, "only {} values fit", stored.len());

    assert_eq!(cluster.load(&refused.to_be_bytes()), None, "a put that answered OutOfSpace was not done");
    for (number, version) in stored.iter().step_by(5) {
        assert_eq!(
            cluster
                .get_query(reader(), &number.to_be_bytes())
                .expect("a full shard reads")
                .map(|record| record.version),
            Some(*version)
        );
    }
    let (deleted, version) = stored[0];
    assert_eq!(cluster.remove(&deleted.to_be_bytes()), Some(version));

    cluster.set_memory_allocation(shard, administrator(), 0);
    let goes_on = (0..ATTEMPTS_MAX).any(|_| {
        cluster.turn(Pace { time: Duration::from_secs(20), rounds: 2 });
        store_patiently(&cluster, &refused.to_be_bytes(), &value).is_ok()
    });
    assert!(goes_on, "a shard that gets memory takes records again");
    assert!(!cluster.info(shard).out_of_space);
}
