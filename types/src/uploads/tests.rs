use super::*;
use crate::codec::{decode, encode};

const MIB: u64 = 1024 * 1024;

#[test]
fn chunks_cover_the_value_exactly() {
    for value_bytes in [1, 100, MIB - 1, MIB, MIB + 1, 5 * MIB + 7, LARGE_VALUE_BYTES_MAX] {
        let chunks = chunks_of(value_bytes);
        let lengths = (0..chunks).map(|index| chunk_bytes(value_bytes, index) as u64);
        assert_eq!(lengths.clone().sum::<u64>(), value_bytes);
        assert!(lengths.clone().all(|bytes| (1..=MIB).contains(&bytes)));
        assert!(lengths.rev().skip(1).all(|bytes| bytes == MIB));
        assert_eq!(chunk_bytes(value_bytes, chunks), 0);
    }
}

#[test]
fn sizes_out_of_bounds_are_told_with_the_bounds() {
    for bytes in [0, LARGE_VALUE_BYTES_MAX + 1, 5 << 30, u64::MAX] {
        let fault = UploadFault::SizeOutOfBounds { bytes, bytes_min: 1, bytes_max: 4 << 30 };
        assert_eq!(check_size(bytes), Err(fault));
    }
    assert_eq!(check_size(1).and(check_size(LARGE_VALUE_BYTES_MAX)), Ok(()));
}

#[test]
fn names_of_another_length_are_refused_with_both_lengths() {
    let text = |bytes: &[u8]| decode::<UploadId>(&encode(&ByteBuf::from(bytes))).unwrap_err().reason;
    assert!(text(&[1; 3]).contains("the id of an upload has 16 bytes, and this one 3"), "{}", text(&[1; 3]));
    assert_eq!(decode::<UploadId>(&encode(&UploadId([7; 16]))).unwrap(), UploadId([7; 16]));
    let reason = decode::<Digest>(&encode(&ByteBuf::from([1; 33]))).unwrap_err().reason;
    assert!(reason.contains("a digest has 32 bytes, and this one 33"), "{reason}");
}

#[test]
fn digest_of_a_value_is_that_of_its_chunks_digests() {
    let parts = [Digest::of(b"one"), Digest::of(b"two")];
    assert_eq!(Digest::of_chunks(&parts), Digest::of(&[parts[0].0, parts[1].0].concat()));
    assert_eq!(Digest::of(b"").to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn chunks_lie_apart() {
    let keys: std::collections::BTreeSet<_> =
        (0..300).flat_map(|index| [chunk_key(UploadId([1; 16]), index), chunk_key(UploadId([2; 16]), index)]).collect();
    assert_eq!(keys.len(), 600);
}
