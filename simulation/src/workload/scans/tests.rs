use canopy_types::cursor::{CursorOf, ScanPlace};
use canopy_types::limits::SECRET_BYTES;
use canopy_types::{HashSecret, TagSecret};

use super::*;

/// Hashes of the keys 0 to 3, which are not in their order.
const HASHES: [KeyHash; 4] = [KeyHash(40), KeyHash(10), KeyHash(30), KeyHash(20)];

fn keys() -> Vec<Vec<u8>> {
    (0..4).map(|number| vec![number]).collect()
}

fn seen(version: u64) -> Seen {
    Seen { value: None, bytes: 1, version, expires_at_nanos: None }
}

/// A page of these keys, whose cursor leads behind a hash.
fn page(keys: &[u8], end: Option<u64>) -> Page {
    let tags = TagSecret::derive(&HashSecret::new([7; SECRET_BYTES]), None);
    let cursor =
        end.map(|hash| ScanPlace::Behind { hash: KeyHash(hash), tag: 1, key: None }.write(CursorOf::Scan, &tags));
    Page { records: keys.iter().map(|key| (vec![*key], seen(u64::from(*key)))).collect(), cursor }
}

fn take(scan: &mut Scan, page: Page) -> Result<Vec<(usize, Option<Seen>)>, Impossible> {
    scan.take(page, &keys(), &HASHES)
}

#[test]
fn a_page_tells_of_keys_between_its_cursors_that_they_are_not_there() {
    let mut scan = Scan::default();
    // 10 is missing and lies before the cursor, 20 is there, 30 and 40 are not reached.
    assert_eq!(take(&mut scan, page(&[3], Some(20))), Ok(vec![(3, Some(seen(3))), (1, None)]));
    assert!(!scan.is_over());
    assert_eq!(scan.next_hash(), KeyHash(20));
    assert_eq!(take(&mut scan, page(&[0], None)), Ok(vec![(0, Some(seen(0))), (2, None)]));
    assert!(scan.is_over());
}

#[test]
fn of_a_key_at_the_cursor_nothing_is_told_unless_it_is_there() {
    let mut scan = Scan::default();
    assert_eq!(take(&mut scan, page(&[], Some(20))), Ok(vec![(1, None)]));
    assert_eq!(take(&mut scan, page(&[3], Some(30))), Ok(vec![(3, Some(seen(3)))]));
}

#[test]
fn a_page_must_go_on_where_the_last_one_ended() {
    let after = || {
        let mut scan = Scan::default();
        take(&mut scan, page(&[1, 3], Some(20))).expect("a right page");
        scan
    };
    assert!(take(&mut after(), page(&[3], None)).is_err(), "the same record twice");
    assert!(take(&mut after(), page(&[1], None)).is_err(), "a record before the cursor");
    assert!(take(&mut after(), page(&[0, 2], None)).is_err(), "out of order");
    assert!(take(&mut after(), page(&[2, 0], Some(30))).is_err(), "a record behind the next cursor");
    assert!(take(&mut after(), page(&[], Some(10))).is_err(), "a cursor that goes back");
    assert!(take(&mut after(), page(&[2, 0], None)).is_ok());
}

#[test]
fn a_page_holds_only_what_was_asked_for() {
    let of_prefix = Scan { prefix: Some(3), ..Scan::default() };
    assert_eq!(take(&mut of_prefix.clone(), page(&[], None)), Ok(vec![(3, None)]));
    assert!(take(&mut of_prefix.clone(), page(&[1], None)).is_err());
    let range = Some(HashRange { first: KeyHash(20), last: KeyHash(30) });
    let of_range = Scan { range, ..Scan::default() };
    assert_eq!(take(&mut of_range.clone(), page(&[3], None)), Ok(vec![(3, Some(seen(3))), (2, None)]));
    assert!(take(&mut of_range.clone(), page(&[0], None)).is_err());
    assert!(take(&mut Scan::of_everything(None, 1), page(&[1, 3], None)).is_err(), "more records than asked for");
    let value = Seen { value: Some(crate::history::Fingerprint(1)), ..seen(1) };
    let with_value = Page { records: vec![(vec![1], value)], cursor: None };
    assert!(take(&mut Scan::of_everything(Some(false), 4), with_value).is_err(), "a value that nobody asked for");
    assert!(take(&mut Scan::default(), page(&[9], None)).is_err(), "a key that nobody put");
}
