use super::*;

/// Spreads numbers over all hashes.
fn hash(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn loaded(hashes: impl IntoIterator<Item = u64>) -> Load {
    let mut load = Load::default();
    hashes.into_iter().for_each(|hash| load.count(hash));
    load
}

/// The part of `hashes` below `boundary`, in hundredths.
fn share_below(hashes: &[u64], boundary: u64) -> usize {
    100 * hashes.iter().filter(|&&hash| hash < boundary).count() / hashes.len()
}

#[test]
fn spread_operations_are_cut_near_the_median() {
    let hashes: Vec<u64> = (0..10_000).map(hash).collect();
    let load = loaded(hashes.iter().copied());
    assert_eq!(load.operations(), 10_000);
    let boundary = load.boundary(0, u64::MAX).expect("they can be cut");
    assert!((35..=65).contains(&share_below(&hashes, boundary)), "{}", share_below(&hashes, boundary));
    // A crowd in a corner is cut where it is, not in the middle of the range.
    let crowd: Vec<u64> = hashes.iter().map(|hash| hash >> 8).collect();
    let boundary = loaded(crowd.iter().copied()).boundary(0, u64::MAX).expect("they can be cut");
    assert!((35..=65).contains(&share_below(&crowd, boundary)));
}

#[test]
fn one_hot_key_is_not_cut_off() {
    let hot = hash(77);
    for others_in in [4, 10, 100] {
        let load = loaded((0..20_000).map(|number| if number % others_in == 0 { hash(number) } else { hot }));
        assert_eq!(load.boundary(0, u64::MAX), None, "one in {others_in} is another key");
    }
    assert_eq!(loaded((0..20_000).map(|_| hot)).boundary(0, u64::MAX), None);
    // Two keys of the same weight can be parted.
    let two = loaded((0..20_000u64).map(|number| if hash(number).is_multiple_of(2) { 1_000 } else { 2_000 }));
    assert_eq!(two.boundary(0, u64::MAX), Some(2_000));
}

#[test]
fn few_operations_and_those_of_other_ranges_make_no_boundary() {
    assert_eq!(loaded((0..100).map(hash)).boundary(0, u64::MAX), None);
    let load = loaded((0..10_000).map(hash));
    assert_eq!(load.boundary(0, u64::MAX / 64), None);
    let upper = load.boundary(1 << 63, u64::MAX).expect("the upper half can be cut");
    assert!(upper > 1 << 63);
}

#[test]
fn the_latest_operations_count() {
    let mut load = loaded((0..10_000).map(hash));
    (0..10_000).for_each(|number| load.count(hash(number) | 1 << 63));
    assert!(load.boundary(0, u64::MAX).expect("they can be cut") > 1 << 63);
}

#[test]
fn instructions_are_counted_of_one_message_for_sixteen() {
    let mut load = Load::default();
    for message in 0..1_600 {
        if load.wants_instructions() {
            load.count_instructions(20_000 + message);
        }
    }
    assert!((32_000_000..34_000_000).contains(&load.instructions()), "{}", load.instructions());
}
