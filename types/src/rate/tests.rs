use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn operations(limit: u64) -> RateLimits {
    RateLimits { operations_per_minute_max: Some(limit), bytes_per_minute_max: None }
}

fn bytes(limit: u64) -> RateLimits {
    RateLimits { operations_per_minute_max: None, bytes_per_minute_max: Some(limit) }
}

#[test]
fn a_minutes_share_may_be_used_at_once_and_no_more() {
    let (mut meter, limits) = (RateMeter::new(4), operations(60));
    for _ in 0..60 {
        assert_eq!(meter.admit(&limits, b"a", 1, 0, NOW), Ok(()));
    }
    assert_eq!(meter.admit(&limits, b"a", 1, 0, NOW), Err(1_000), "one is due per second");
    assert_eq!(meter.admit(&limits, b"a", 1, 0, NOW + SECOND - 1), Err(1));
    assert_eq!(meter.admit(&limits, b"a", 1, 0, NOW + SECOND), Ok(()));
    assert_eq!(meter.admit(&limits, b"a", 1, 0, NOW + SECOND), Err(1_000));
}

#[test]
fn who_waits_as_long_as_told_is_served() {
    let (mut meter, limits) = (RateMeter::new(4), operations(7));
    let mut now = NOW;
    for _ in 0..100 {
        if let Err(milliseconds) = meter.admit(&limits, b"a", 3, 0, now) {
            now += milliseconds * NANOSECONDS_PER_MILLISECOND;
            assert_eq!(meter.admit(&limits, b"a", 3, 0, now), Ok(()));
        }
    }
    assert!(now > NOW + 40 * 60 * SECOND, "300 operations at 7 a minute");
}

#[test]
fn callers_have_shares_of_their_own() {
    let (mut meter, limits) = (RateMeter::new(4), operations(1));
    assert_eq!(meter.admit(&limits, b"a", 1, 0, NOW), Ok(()));
    assert!(meter.admit(&limits, b"a", 1, 0, NOW).is_err());
    assert_eq!(meter.admit(&limits, b"b", 1, 0, NOW), Ok(()));
}

#[test]
fn bytes_of_replies_are_waited_for_afterwards() {
    let (mut meter, limits) = (RateMeter::new(4), bytes(1_000));
    assert_eq!(meter.admit(&limits, b"a", 1, 10, NOW), Ok(()));
    meter.count_reply(&limits, b"a", 1_990, NOW);
    assert_eq!(meter.admit(&limits, b"a", 1, 10, NOW), Err(60_060), "a minute of debt, and a byte");
    assert_eq!(meter.admit(&limits, b"a", 1, 10, NOW + 61 * SECOND), Ok(()));
}

#[test]
fn no_limit_counts_nothing() {
    let mut meter = RateMeter::new(4);
    for _ in 0..1_000 {
        assert_eq!(meter.admit(&RateLimits::default(), b"a", u64::MAX, u64::MAX, NOW), Ok(()));
    }
    assert!(RateLimits::default().are_off() && !operations(1).are_off() && !bytes(1).are_off());
}

#[test]
fn a_full_table_gives_up_those_whose_time_has_passed() {
    let (mut meter, limits) = (RateMeter::new(3), operations(60));
    for caller in [b"a", b"b", b"c"] {
        meter.admit(&limits, caller, 1, 0, NOW).unwrap();
    }
    assert_eq!(meter.admit(&limits, b"d", 1, 0, NOW + 2 * SECOND), Ok(()));
    assert_eq!(meter.callers(), 1, "the others have rested");
}

#[test]
fn callers_without_a_place_share_one_share() {
    let (mut meter, limits) = (RateMeter::new(2), operations(2));
    for caller in [b"a", b"b"] {
        meter.admit(&limits, caller, 2, 0, NOW).unwrap();
    }
    assert_eq!(meter.admit(&limits, b"c", 1, 0, NOW), Ok(()));
    assert_eq!(meter.admit(&limits, b"d", 1, 0, NOW), Ok(()));
    assert_eq!(meter.admit(&limits, b"e", 1, 0, NOW), Err(30_000), "two of them have used it up");
    assert_eq!(meter.callers(), 2);
    assert_eq!(meter.admit(&limits, b"e", 1, 0, NOW + 61 * SECOND), Ok(()), "there are places again");
}

#[test]
fn every_place_is_looked_at_sooner_or_later() {
    let (mut meter, limits) = (RateMeter::new(100), operations(1));
    for caller in 0..100u8 {
        // Only the last in the order of the table rests.
        let used = if caller == 99 { 0 } else { 1_000 };
        meter.admit(&limits, &[caller], used, 0, NOW).unwrap();
    }
    for _ in 0..100usize.div_ceil(LOOKED_AT_MAX) {
        meter.count_reply(&limits, b"new", 0, NOW);
    }
    assert!(meter.callers.contains_key(&CallerWords::new(b"new")));
}

proptest! {
    #[test]
    fn over_any_time_no_more_is_served_than_is_due_and_one_call(
        limit in 1u64..1_000,
        calls in proptest::collection::vec((0u64..5 * SECOND, 1u64..20), 1..200),
    ) {
        let (mut meter, limits) = (RateMeter::new(1), operations(limit));
        let (mut now, mut served, mut largest) = (NOW, 0, 0);
        for (pause, count) in calls {
            now += pause;
            if meter.admit(&limits, b"a", count, 0, now).is_ok() {
                served += count;
                largest = largest.max(count);
            }
        }
        let due = u128::from(limit) * u128::from(now - NOW) / u128::from(WINDOW_NANOSECONDS);
        prop_assert!(u128::from(served) <= u128::from(limit) + due + u128::from(largest));
    }
}
