use super::*;
use crate::store::Found;

fn receipt(outcome: Outcome) -> Receipt {
    Receipt { operation: Operation { identity: 1 << 100 | 7, issued: 5_000_000, arguments: 99 }, outcome }
}

fn write(items: &[Item]) -> Vec<u8> {
    let mut writer = Writer::default();
    items.iter().for_each(|item| writer.add(item));
    assert_eq!(writer.items(), items.len() as u64);
    writer.finish()
}

fn read(bytes: &[u8]) -> Result<Vec<BatchItem<'_>>, String> {
    let mut reader = Reader::new(bytes)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next()? {
        items.push(item);
    }
    Ok(items)
}

const KEY: KeyRef = KeyRef { hash: 40, tag: 50, space: 2, bytes: b"key" };

fn records() -> Vec<Item<'static>> {
    let found = |kind, expires_at| Found { kind, version: 77, expires_at, value_bytes: 0 };
    let record =
        |kind, expires_at, value, receipt| Item::Record { key: KEY, found: found(kind, expires_at), value, receipt };
    let written = receipt(Outcome::Written { version: 77 });
    vec![
        record(Kind::Value, None, b"value", None),
        record(Kind::Chunk, Some(9_000_000), b"", Some(written)),
        record(Kind::Tombstone, None, b"", None),
        record(Kind::Tombstone, None, b"", Some(receipt(Outcome::Deleted { version: 77 }))),
    ]
}

#[test]
fn what_was_written_is_read() {
    let bytes = write(&records());
    let items = read(&bytes).unwrap();
    assert_eq!(items.len(), 4);
    for (item, read) in records().iter().zip(&items) {
        let Item::Record { key, found, value, receipt } = item else { unreachable!("records were made") };
        let BatchItem::Record(record) = read else { panic!("{read:?}") };
        assert_eq!((record.key, record.kind, record.version), (*key, found.kind, found.version));
        assert_eq!((record.value, record.expires_at, record.receipt), (*value, found.expires_at, *receipt));
    }
}

#[test]
fn every_outcome_is_read_as_it_was_written() {
    let outcomes = [
        Outcome::Written { version: 3 },
        Outcome::Deleted { version: 4 },
        Outcome::Absent,
        Outcome::Refused { current: None },
        Outcome::Refused { current: Some(5) },
    ];
    let item = |outcome| Item::Receipt { hash: 1, key_tag: 2, receipt: receipt(outcome) };
    let items: Vec<Item> = outcomes.into_iter().map(item).collect();
    let bytes = write(&items);
    for (outcome, read) in outcomes.into_iter().zip(read(&bytes).unwrap()) {
        let BatchItem::Receipt { hash: 1, key_tag: 2, receipt: found } = read else { panic!("{read:?}") };
        assert_eq!(found, receipt(outcome));
    }
}

#[test]
fn an_item_is_no_longer_than_promised() {
    let [.., longest] = &records()[..] else { unreachable!("four records were made") };
    let Item::Record { key, found, receipt, .. } = longest else { unreachable!("they are records") };
    let expiring = Found { expires_at: Some(1), ..*found };
    let item = Item::Record { key: *key, found: expiring, value: b"12345", receipt: *receipt };
    assert_eq!(write(&[item]).len(), 1 + ITEM_BYTES_MAX + 3 + 5);
}

#[test]
fn a_batch_that_is_cut_or_garbled_is_told_and_nothing_traps() {
    let bytes = write(&records());
    let ends: Vec<usize> = (1..bytes.len()).filter(|&end| read(&bytes[..end]).is_ok()).collect();
    assert_eq!(ends.len(), 4, "only whole items are read: {ends:?}");
    assert!(read(&[]).is_err() && read(&[2]).is_err());
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut garbled = bytes.clone();
            garbled[at] ^= change;
            let _ = read(&garbled);
        }
    }
    assert!(read(&[VERSION, 3]).unwrap_err().contains("begins with 3"));
    assert!(read(&[VERSION, RECORD, 9, 0, 0]).unwrap_err().contains("kind 9"));
}

#[test]
fn a_hash_outside_of_the_range_is_found() {
    let bytes = write(&records());
    let range = |first, last| HashRange { first: KeyHash(first), last: KeyHash(last) };
    assert_eq!(check(&bytes, &range(40, 40)), Ok(()));
    assert!(check(&bytes, &range(41, 90)).unwrap_err().contains("outside"));
    assert!(check(&bytes, &range(0, 39)).is_err());
    let receipts = write(&[Item::Receipt { hash: 8, key_tag: 2, receipt: receipt(Outcome::Absent) }]);
    assert!(check(&receipts, &range(0, 8)).is_ok() && check(&receipts, &range(9, 20)).is_err());
}
