use super::*;
use crate::scripted::{NANOSECONDS_PER_MILLISECOND, START_NANOSECONDS, Scripted, run};

#[test]
fn delays_double_up_to_their_bound_and_are_spread_over_half_of_it() {
    let transport = Scripted::default();
    let mut attempts = Attempts::begin(RetryPolicy::default(), &transport);
    for made in 1..60 {
        attempts.made = made;
        let whole = (FIRST_DELAY_MILLISECONDS << (made - 1).min(16)).min(DELAY_MILLISECONDS_MAX);
        let delays: Vec<u64> = (0..1_000).map(|random| attempts.delay(random)).collect();
        assert!(delays.iter().all(|delay| (whole / 2..whole).contains(delay)), "{made}");
        let (low, high) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(high - low > whole * 45 / 100, "attempt {made} is spread from {low} to {high}");
    }
}

#[test]
fn attempts_end_with_the_policy() {
    let transport = Scripted::default();
    let policy = RetryPolicy { attempts_max: 3, ..RetryPolicy::default() };
    let mut attempts = Attempts::begin(policy, &transport);
    assert!(run(attempts.next(&transport, 0, false)));
    assert!(run(attempts.next(&transport, 0, true)));
    assert!(!run(attempts.next(&transport, 0, true)));
    let mut none = Attempts::begin(RetryPolicy { attempts_max: 0, ..policy }, &transport);
    assert!(!run(none.next(&transport, 0, false)));
    let mut many =
        Attempts::begin(RetryPolicy { attempts_max: u32::MAX, total_milliseconds_max: u64::MAX, ..policy }, &transport);
    let made = (0..1_000).take_while(|_| run(many.next(&transport, 0, false))).count();
    assert_eq!(made as u32 + 1, POLICY_ATTEMPTS_MAX);
}

#[test]
fn no_attempt_begins_after_the_time_for_all() {
    let transport = Scripted::default();
    let mut attempts = Attempts::begin(RetryPolicy::default(), &transport);
    assert!(!run(attempts.next(&transport, TOTAL_MILLISECONDS_MAX + 1, false)));
    assert_eq!(transport.now_nanoseconds(), START_NANOSECONDS, "nothing was waited for");
    assert!(run(attempts.next(&transport, TOTAL_MILLISECONDS_MAX - 1, false)));
    assert!(!run(attempts.next(&transport, 2, false)));
}

#[test]
fn the_wait_is_never_shorter_than_asked_for() {
    let transport = Scripted::default();
    let mut attempts = Attempts::begin(RetryPolicy::default(), &transport);
    assert!(run(attempts.next(&transport, 5_000, false)));
    assert!(transport.now_nanoseconds() >= START_NANOSECONDS + 5_000 * NANOSECONDS_PER_MILLISECOND);
}

#[test]
fn without_waiting_only_what_was_lost_is_tried_again_and_once() {
    let transport = Scripted::of_canister();
    let mut attempts = Attempts::begin(RetryPolicy::default(), &transport);
    assert!(!run(attempts.next(&transport, 0, false)));
    assert!(run(attempts.next(&transport, 0, true)));
    assert!(!run(attempts.next(&transport, 0, true)));
}
