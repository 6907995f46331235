use canopy_types::shard::WrongShard;
use canopy_types::{Epoch, HashRange, Record, Version};
use serde_bytes::ByteBuf;

use super::*;

fn seen(version: u64) -> Option<Seen> {
    Some(Seen { value: Some(fingerprint(b"v")), bytes: 1, version, expires_at_nanos: None })
}

fn held(version: u64) -> ShardGetResult {
    let value = ByteBuf::from(b"v");
    Ok(Some(Record { value, version: Version(version), expires_at_nanoseconds: None, value_bytes: None }))
}

fn elsewhere() -> ShardGetResult {
    Err(ShardError::WrongShard(WrongShard { range: HashRange::FULL, epoch: Epoch(1), owner: None, moved: None }))
}

fn shard(number: u8, records: u64, answers: [ShardGetResult; 2]) -> Holdings {
    Holdings { shard: Principal::from_slice(&[number]), records, answers: answers.to_vec() }
}

#[test]
fn shards_that_hold_what_was_told_are_accepted() {
    let told = [seen(3), None];
    assert_eq!(check(&told, &[shard(1, 1, [held(3), elsewhere()]), shard(2, 0, [elsewhere(), Ok(None)])]), Ok(()));
}

#[test]
fn another_version_is_refused() {
    let holdings = [shard(1, 1, [held(4), Ok(None)])];
    assert!(matches!(check(&[seen(3), None], &holdings), Err(Fault::Differs { key: 0, .. })));
}

#[test]
fn a_key_has_one_owner() {
    let twice = [shard(1, 1, [held(3), Ok(None)]), shard(2, 1, [held(3), elsewhere()])];
    assert!(matches!(check(&[seen(3), None], &twice), Err(Fault::Owners { key: 0, .. })));
    assert!(matches!(check(&[None, None], &[shard(1, 0, [elsewhere(), Ok(None)])]), Err(Fault::Owners { key: 0, .. })));
}

#[test]
fn a_record_too_many_is_refused() {
    let holdings = [shard(1, 2, [held(3), Ok(None)])];
    assert_eq!(check(&[seen(3), None], &holdings), Err(Fault::Count { counted: 2, told: 1 }));
}

#[test]
fn a_scan_shows_every_record_once_and_nothing_else() {
    let told = [seen(3), None];
    let record = seen(3).expect("there is one");
    let without_value = Seen { value: None, ..record };
    assert_eq!(check_scan(&told, &[(0, record)]), Ok(()));
    assert_eq!(check_scan(&told, &[(0, without_value)]), Ok(()));
    for wrong in [
        vec![],
        vec![(0, record), (0, record)],
        vec![(0, Seen { version: 4, ..record })],
        vec![(0, Seen { value: Some(fingerprint(b"other")), ..record })],
        vec![(0, record), (1, record)],
    ] {
        assert!(matches!(check_scan(&told, &wrong), Err(Fault::Scanned { .. })), "{wrong:?}");
    }
}
