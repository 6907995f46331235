use super::*;

#[test]
fn values_are_determined_by_their_keys() {
    assert_eq!(value_of(b"canopy-bench/00000001/17", 100), value_of(b"canopy-bench/00000001/17", 100));
    assert_ne!(value_of(b"canopy-bench/00000001/17", 100), value_of(b"canopy-bench/00000001/18", 100));
    assert_ne!(value_of(b"canopy-bench/00000001/17", 100), value_of(b"canopy-bench/00000002/17", 100));
    assert_eq!(value_of(b"k", 0), b"");
}

#[test]
fn latencies_are_those_that_so_many_calls_don_t_exceed() {
    let of = |milliseconds: std::ops::RangeInclusive<u64>| Phase {
        name: "get",
        operations: 1,
        failures: 0,
        first_failure: None,
        took: Duration::from_secs(2),
        latencies: milliseconds.map(Duration::from_millis).collect(),
    };
    assert_eq!((of(1..=100).latency(50), of(1..=100).latency(99)), (50, 99));
    assert_eq!((of(1..=3).latency(50), of(1..=3).latency(99)), (2, 3));
    assert_eq!((of(7..=7).latency(50), of(7..=7).latency(99)), (7, 7));
    assert_eq!(of(1..=1).per_second(), 0.5);
}
