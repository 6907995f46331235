use super::*;
use crate::hash::HashSecret;
use proptest::prelude::*;

fn secret(seed: u8) -> TagSecret {
    TagSecret::derive(&HashSecret::new([9; 192]), Some(&[seed; 32]))
}

fn place() -> impl Strategy<Value = ScanPlace> {
    let key = proptest::option::of((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..=KEY_BYTES_MAX)));
    prop_oneof![
        any::<u64>().prop_map(|hash| ScanPlace::Before { hash: KeyHash(hash) }),
        (any::<u64>(), any::<u64>(), key).prop_map(|(hash, tag, key)| ScanPlace::Behind {
            hash: KeyHash(hash),
            tag,
            key
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(place in place()) {
        let cursor = place.write(CursorOf::Scan, &secret(1));
        prop_assert!(cursor.len() <= CURSOR_BYTES_MAX);
        prop_assert_eq!(hash_of(CursorOf::Scan, &cursor), Ok(place.hash()));
        prop_assert_eq!(ScanPlace::read(CursorOf::Scan, &secret(1), &cursor), Ok(place));
    }

    #[test]
    fn changed_cut_lengthened_and_foreign_cursors_are_refused(place in place(), at in any::<usize>(), flip in 1u8..) {
        let cursor = place.write(CursorOf::Scan, &secret(1));
        prop_assert!(ScanPlace::read(CursorOf::Scan, &secret(2), &cursor).is_err());
        let mut changed = cursor.clone();
        changed[at % cursor.len()] ^= flip;
        prop_assert!(ScanPlace::read(CursorOf::Scan, &secret(1), &changed).is_err());
        prop_assert!(ScanPlace::read(CursorOf::Scan, &secret(1), &cursor[..at % cursor.len()]).is_err());
        prop_assert!(ScanPlace::read(CursorOf::Scan, &secret(1), &[&cursor[..], &[flip]].concat()).is_err());
    }

    #[test]
    fn random_bytes_are_no_cursor(bytes in proptest::collection::vec(any::<u8>(), 0..1_200)) {
        prop_assert!(ScanPlace::read(CursorOf::Scan, &secret(1), &bytes).is_err());
    }
}

#[test]
fn cursors_do_not_show_the_tag() {
    let tag = 0x1122_3344_5566_7788u64;
    let cursor = ScanPlace::Behind { hash: KeyHash(5), tag, key: None }.write(CursorOf::Scan, &secret(1));
    for shown in [tag.to_be_bytes(), tag.to_le_bytes()] {
        assert!(!cursor.windows(8).any(|window| window == shown));
    }
}

#[test]
fn cursors_of_one_walk_are_none_of_another() {
    let place = ScanPlace::Before { hash: KeyHash(5) };
    for (made, read) in [(CursorOf::Scan, CursorOf::Scrub), (CursorOf::Scrub, CursorOf::Scan)] {
        let mut cursor = place.write(made, &secret(1));
        assert_eq!(ScanPlace::read(made, &secret(1), &cursor), Ok(place.clone()));
        let fault = CursorFault::Walk { found: made as u8, required: read as u8 };
        assert_eq!(ScanPlace::read(read, &secret(1), &cursor), Err(fault));
        cursor[0] = read as u8;
        assert_eq!(ScanPlace::read(read, &secret(1), &cursor), Err(CursorFault::Checksum));
    }
}
