//! Put, get and delete.

use std::time::Duration;

use canopy_types::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

use crate::cluster::{Cluster, Pace};
use crate::people::{administrator, owner, reader, writer};

#[test]
fn get_answers_what_was_put_with_its_version() {
    let cluster = Cluster::builder().ready();
    let version = cluster.store(b"key", b"value");
    let record = cluster.load(b"key").expect("the record was put");
    assert_eq!(record.value.as_slice(), b"value");
    assert_eq!(record.version, version);
}

#[test]
fn get_of_a_key_that_was_never_put_answers_none() {
    let cluster = Cluster::builder().ready();
    cluster.store(b"key", b"value");
    assert_eq!(cluster.load(b"another key"), None);
    assert_eq!(cluster.load(b"ke"), None);
    assert_eq!(cluster.load(b"key\0"), None);
}

#[test]
fn put_of_a_stored_key_replaces_the_value_and_grows_the_version() {
    let cluster = Cluster::builder().ready();
    let mut last = cluster.store(b"key", b"0");
    for value in 1..=5_u8 {
        let version = cluster.store(b"key", &[value]);
        assert!(version > last, "version {version:?} must be above {last:?}");
        let record = cluster.load(b"key").expect("the record was put");
        assert_eq!((record.value.as_slice(), record.version), (&[value][..], version));
        last = version;
    }
}

#[test]
fn delete_answers_the_version_that_it_removed_and_then_none() {
    let cluster = Cluster::builder().ready();
    assert_eq!(cluster.remove(b"key"), None);
    let version = cluster.store(b"key", b"value");
    assert_eq!(cluster.remove(b"key"), Some(version));
    assert_eq!(cluster.load(b"key"), None);
    assert_eq!(cluster.remove(b"key"), None);
}

#[test]
fn versions_grow_across_deletes() {
    let cluster = Cluster::builder().ready();
    let mut last = cluster.store(b"key", b"value");
    for _ in 0..5 {
        assert_eq!(cluster.remove(b"key"), Some(last));
        let version = cluster.store(b"key", b"value");
        assert!(version > last, "version {version:?} must be above {last:?}");
        last = version;
    }
}

#[test]
fn an_empty_value_is_a_value() {
    let cluster = Cluster::builder().ready();
    let version = cluster.store(b"key", b"");
    let record = cluster.load(b"key").expect("the record was put");
    assert_eq!((record.value.len(), record.version), (0, version));
    assert_eq!(cluster.remove(b"key"), Some(version));
}

#[test]
fn keys_of_every_accepted_length_at_the_bounds_are_stored() {
    let cluster = Cluster::builder().ready();
    let keys = [vec![0], vec![0xff], vec![0; KEY_BYTES_MAX], vec![0xff; KEY_BYTES_MAX - 1], vec![0xff; KEY_BYTES_MAX]];
    let versions: Vec<_> = keys.iter().map(|key| cluster.store(key, key)).collect();
    for (key, version) in keys.iter().zip(versions) {
        let record = cluster.load(key).expect("the record was put");
        assert_eq!((record.value.as_slice(), record.version), (key.as_slice(), version));
    }
}

#[test]
fn a_value_of_exactly_one_mebibyte_goes_in_and_out() {
    let cluster = Cluster::builder().ready();
    let value: Vec<u8> = (0..VALUE_BYTES_MAX).map(|at| (at % 251) as u8).collect();
    let key = [7; KEY_BYTES_MAX];
    let version = cluster.store(&key, &value);
    let record = cluster.load(&key).expect("the record was put");
    assert!(record.value.as_slice() == value, "the value came back changed");
    assert_eq!(record.version, version);
    // Smaller and larger again in the same place.
    cluster.store(&key, b"small");
    assert_eq!(cluster.load(&key).expect("the record was put").value.as_slice(), b"small");
    cluster.store(&key, &value);
    assert!(cluster.load(&key).expect("the record was put").value.as_slice() == value);
}

#[test]
fn every_role_may_do_what_it_is_for() {
    let cluster = Cluster::builder().ready();
    for caller in [owner(), administrator(), writer()] {
        let version = cluster.put(caller, b"key", caller.as_slice()).expect("this role may put").version;
        assert_eq!(cluster.delete(caller, b"key").expect("this role may delete").deleted, Some(version));
    }
    let version = cluster.store(b"key", b"value");
    for caller in [owner(), administrator(), writer(), reader()] {
        let updated = cluster.get(caller, b"key").expect("this role may get").expect("the record was put");
        let queried = cluster.get_query(caller, b"key").expect("this role may query").expect("the record was put");
        assert_eq!((updated.version, queried.version), (version, version));
    }
}

#[test]
fn records_outlive_a_month_without_calls() {
    let cluster = Cluster::builder().ready();
    let version = cluster.store(b"key", b"value");
    let before = cluster.load(b"key");
    for _ in 0..30 {
        cluster.turn(Pace { time: Duration::from_secs(24 * 60 * 60), rounds: 2 });
    }
    assert_eq!(cluster.load(b"key"), before);
    assert_eq!(cluster.status().alarms, vec![]);
    assert!(cluster.store(b"key", b"later") > version);
}
