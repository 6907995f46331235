use super::*;
use crate::reason::Advice;
use crate::scripted::{Scripted, client, run};
use canopy_types::api::{GetResult, ScanError, ScanResult};
use canopy_types::{KeyHash, Version};
use futures_util::StreamExt;

fn scanned(key: &str, value: &str) -> ScannedRecord {
    ScannedRecord {
        key: ByteBuf::from(key),
        value: ByteBuf::from(value),
        version: Version(1),
        expires_at_nanoseconds: None,
        value_bytes: None,
    }
}

fn page(records: Vec<ScannedRecord>, cursor: Option<&str>) -> ScanResult {
    Ok(ScanPage { records, cursor: cursor.map(ByteBuf::from) })
}

fn collect(client: &Client<Scripted>, options: ScanOptions) -> Vec<String> {
    let mut scan = client.scan(options);
    let mut keys = Vec::new();
    while let Some(record) = run(scan.next()).expect("answered") {
        keys.push(String::from_utf8(record.key.into_vec()).unwrap());
    }
    assert_eq!(run(scan.next()).expect("answered"), None);
    keys
}

#[test]
fn a_scan_follows_the_cursors_and_an_empty_page_is_not_its_end() {
    let client = client(Scripted::default());
    client.transport.reply(&page(vec![scanned("a", "1"), scanned("b", "2")], Some("one")));
    client.transport.reply(&page(vec![], Some("two"))).reply(&page(vec![scanned("c", "3")], None));
    assert_eq!(collect(&client, ScanOptions::default()), ["a", "b", "c"]);
    let asked = client.transport.asked();
    let cursors: Vec<_> = asked.iter().map(|asked| asked.read::<ScanArguments>().cursor).collect();
    assert_eq!(cursors, [None, Some(ByteBuf::from("one")), Some(ByteBuf::from("two"))]);
    assert!(asked.iter().all(|asked| asked.method == "scan" && !asked.is_query));
}

#[test]
fn options_are_passed_on() {
    let range = HashRange::new(KeyHash(3), KeyHash(9));
    let options = ScanOptions {
        range,
        key_prefix: Some(b"tenant/".to_vec()),
        cursor: Some(b"here".to_vec()),
        page_records_max: NonZeroU32::new(7),
        page_bytes_max: NonZeroU64::new(8),
        without_values: true,
        one_replica: true,
    };
    let client = client(Scripted::default());
    let long = ScannedRecord { value_bytes: Some(5), ..scanned("a", "") };
    client.transport.reply(&page(vec![long], None));
    assert_eq!(collect(&client, options.clone()), ["a"]);
    let asked = client.transport.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].is_query), ("scan_query", true));
    let expected = ScanArguments {
        cursor: Some(ByteBuf::from("here")),
        records_max: Some(7),
        bytes_max: Some(8),
        include_value: Some(false),
        range,
        prefix: Some(ByteBuf::from("tenant/")),
    };
    assert_eq!(asked[0].read::<ScanArguments>(), expected);
}

#[test]
fn values_that_were_too_long_for_their_page_are_fetched() {
    let client = client(Scripted::default());
    let long = |key| ScannedRecord { value_bytes: Some(5), ..scanned(key, "") };
    client.transport.reply(&page(vec![long("a"), long("b"), scanned("c", "3")], None));
    let record =
        Record { value: ByteBuf::from("value"), version: Version(2), expires_at_nanoseconds: None, value_bytes: None };
    client.transport.reply(&GetResult::Ok(Some(record))).reply(&GetResult::Ok(None));
    let records = run(client.scan(ScanOptions::default()).next_page()).expect("answered").expect("a page");
    assert_eq!(records.len(), 2, "what was deleted meanwhile is left out");
    assert_eq!((records[0].value.as_slice(), records[0].version), (&b"value"[..], Version(2)));
}

#[test]
fn after_an_error_a_scan_goes_on_where_it_was() {
    let client = client(Scripted::of_canister());
    let mut scan = client.scan(ScanOptions::default());
    client.transport.reply(&page(vec![scanned("a", "1")], Some("one")));
    client.transport.reply(&ScanResult::Err(ScanError::NotReady { retry_after_milliseconds: 4 }));
    client.transport.reply(&page(vec![scanned("b", "2")], None));
    assert!(run(scan.next()).expect("answered").is_some());
    assert_eq!(run(scan.next()).expect_err("busy").advice(), Advice::TryAgain { after_milliseconds: 4 });
    assert_eq!(scan.cursor(), Some(&b"one"[..]));
    assert_eq!(run(scan.next()).expect("answered").expect("a record").key.as_slice(), b"b");
    assert_eq!(run(scan.next()).expect("answered"), None);
}

#[test]
fn lost_pages_are_asked_for_again_and_bad_cursors_are_not() {
    let client = client(Scripted::default());
    client.transport.lose().reject(2).then(Ok(b"no Candid".to_vec())).reply(&page(vec![], None));
    assert!(collect(&client, ScanOptions::default()).is_empty());
    let reason = "garbage".to_string();
    client.transport.reply(&ScanResult::Err(ScanError::InvalidCursor { reason }));
    let mut scan = client.scan(ScanOptions { cursor: Some(vec![1]), ..ScanOptions::default() });
    let message = "garbage".to_string();
    assert_eq!(run(scan.next()).expect_err("refused").reason, Reason::InvalidCursor { message });
}

#[test]
fn a_scan_that_doesn_t_get_on_is_ended() {
    let client = client(Scripted::default());
    client.transport.reply(&page(vec![], Some("one"))).reply(&page(vec![], Some("one")));
    let mut scan = client.scan(ScanOptions::default());
    assert!(matches!(run(scan.next()).expect_err("stuck").reason, Reason::NotUnderstood { .. }));
}

#[test]
fn a_stream_gives_all_records_and_goes_on_after_an_error() {
    let client = client(Scripted::default());
    client.transport.reply(&page(vec![scanned("a", "1"), scanned("b", "2")], Some("one")));
    let caller = candid::Principal::anonymous();
    client.transport.reply::<ScanResult>(&Err(ScanError::Unauthorised { caller }));
    client.transport.reply(&page(vec![scanned("c", "3")], None));
    let heard = run(client.scan(ScanOptions::default()).records().collect::<Vec<_>>());
    let keys: Vec<_> = heard.iter().map(|heard| heard.as_ref().map(|record| &record.key[..]).ok()).collect();
    assert_eq!(keys, [Some(&b"a"[..]), Some(b"b"), None, Some(b"c")]);
}
