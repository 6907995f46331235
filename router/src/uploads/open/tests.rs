use super::*;
use canopy_types::limits::{OPEN_UPLOAD_BYTES_MAX_DEFAULT, OPEN_UPLOADS_MAX_DEFAULT};
use ic_stable_structures::DefaultMemoryImpl;

const GIB: u64 = 1 << 30;

fn table() -> Open {
    StableBTreeMap::init(DefaultMemoryImpl::default())
}

type Open = StableBTreeMap<Key, Entry, DefaultMemoryImpl>;

fn count(
    open: &mut Open,
    owner: Principal,
    upload: UploadId,
    value_bytes: u64,
    until: u64,
    now: u64,
) -> Result<bool, UploadFault> {
    super::count(open, &UploadPolicy::default(), &Opening { owner, upload, value_bytes, until, now })
}

fn id(number: u64) -> UploadId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    UploadId(id)
}

#[test]
fn uploads_of_a_caller_are_bounded_and_counted_once() {
    let (mut open, owner) = (table(), Principal::from_slice(&[1]));
    for number in 0..OPEN_UPLOADS_MAX_DEFAULT {
        assert_eq!(count(&mut open, owner, id(number), 1, 100, 0), Ok(true));
        assert_eq!(count(&mut open, owner, id(number), 1, 100, 0), Ok(false), "sent again");
    }
    let open_max = OPEN_UPLOADS_MAX_DEFAULT;
    let refused = Err(UploadFault::TooManyUploads { open: open_max, open_max });
    assert_eq!(count(&mut open, owner, id(9_999), 1, 100, 0), refused);
    // Others have a share of their own, also one whose principal begins alike.
    assert_eq!(count(&mut open, Principal::from_slice(&[1, 0]), id(9_999), 1, 100, 0), Ok(true));
    forget(&mut open, owner, id(3));
    assert_eq!(count(&mut open, owner, id(9_999), 1, 100, 0), Ok(true));
}

#[test]
fn bytes_of_a_caller_are_bounded() {
    let (mut open, owner) = (table(), Principal::from_slice(&[1]));
    let bytes_max = OPEN_UPLOAD_BYTES_MAX_DEFAULT;
    assert_eq!(count(&mut open, owner, id(1), bytes_max - GIB, 100, 0), Ok(true));
    let refused = Err(UploadFault::TooManyBytes { bytes: bytes_max + 1, bytes_max });
    assert_eq!(count(&mut open, owner, id(2), GIB + 1, 100, 0), refused);
    assert_eq!(count(&mut open, owner, id(2), GIB, 100, 0), Ok(true));
}

#[test]
fn uploads_whose_time_is_over_count_no_more() {
    let (mut open, owner) = (table(), Principal::from_slice(&[1]));
    for number in 0..OPEN_UPLOADS_MAX_DEFAULT {
        count(&mut open, owner, id(number), 1, 100 + number, 0).unwrap();
    }
    assert!(count(&mut open, owner, id(9_999), 1, 999, 99).is_err());
    assert_eq!(count(&mut open, owner, id(9_999), 1, 999, 100), Ok(true), "the first one is over");
    assert_eq!(open.len(), OPEN_UPLOADS_MAX_DEFAULT);
}
