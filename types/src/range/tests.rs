use super::*;

fn range(first: u64, last: u64) -> HashRange {
    HashRange::new(KeyHash(first), KeyHash(last)).expect("not empty")
}

#[test]
fn parts_cover_the_whole_space_without_gaps() {
    for count in [1, 2, 3, 7, 64, 1000] {
        let parts: Vec<_> = (0..count).map(|index| HashRange::FULL.part(index, count).unwrap()).collect();
        assert_eq!(parts[0].first, HashRange::FULL.first);
        assert_eq!(parts[parts.len() - 1].last, HashRange::FULL.last);
        assert!(parts.windows(2).all(|pair| pair[0].is_followed_by(&pair[1])), "{count} parts");
    }
}

#[test]
fn parts_of_a_too_small_range_are_refused() {
    assert_eq!(range(5, 6).part(0, 3), None);
    assert_eq!(range(5, 6).part(2, 2), None);
    assert_eq!(range(5, 6).part(1, 2), Some(range(6, 6)));
}

#[test]
fn split_parts_join_to_the_same_range() {
    let whole = range(10, 20);
    let (left, right) = whole.split_at(KeyHash(15)).unwrap();
    assert_eq!((left, right), (range(10, 14), range(15, 20)));
    assert_eq!(right.join(&left), Some(whole));
    assert_eq!(whole.split_at(KeyHash(10)), None);
    assert_eq!(whole.split_at(KeyHash(21)), None);
}

#[test]
fn ranges_at_the_ends_are_not_adjacent_around_the_corner() {
    let (low, high) = (range(0, 1), range(u64::MAX - 1, u64::MAX));
    assert!(!low.is_adjacent(&high));
    assert_eq!(low.join(&high), None);
}

#[test]
fn empty_range_cannot_be_made() {
    assert_eq!(HashRange::new(KeyHash(2), KeyHash(1)), None);
    assert!(!HashRange { first: KeyHash(2), last: KeyHash(1) }.is_valid());
}

#[test]
fn a_part_is_taken_from_either_end_and_put_back() {
    let whole = range(10, 20);
    for (part, rest) in [(range(10, 14), range(15, 20)), (range(15, 20), range(10, 14)), (whole, HashRange::EMPTY)] {
        assert_eq!(whole.without(&part), Some(rest));
        assert_eq!(rest.with(&part), Some(whole));
    }
    for wrong in [range(11, 19), range(9, 14), range(15, 21), range(30, 40), HashRange::EMPTY] {
        assert_eq!(whole.without(&wrong), None);
    }
    assert_eq!(HashRange::EMPTY.without(&whole), None);
    assert_eq!(whole.with(&range(22, 30)), None);
    assert_eq!(whole.with(&HashRange::EMPTY), None);
    assert_eq!(HashRange::EMPTY.with(&HashRange::EMPTY), None);
}

#[test]
fn the_empty_range_holds_and_touches_nothing() {
    for hash in [0, 1, u64::MAX - 1, u64::MAX] {
        assert!(!HashRange::EMPTY.contains(KeyHash(hash)));
    }
    for other in [HashRange::FULL, range(0, 0), range(u64::MAX, u64::MAX), HashRange::EMPTY] {
        assert!(!HashRange::EMPTY.overlaps(&other) && !other.overlaps(&HashRange::EMPTY));
        assert!(!HashRange::EMPTY.is_adjacent(&other));
    }
    assert!(range(3, 9).overlaps(&range(9, 12)) && !range(3, 9).overlaps(&range(10, 12)));
}
