use super::*;

#[test]
fn memory_is_asked_for_once() {
    let mut growth = Growth::default();
    assert!(growth.request(100));
    assert!(growth.is_due() && !growth.request(100 + RETRY_NANOSECONDS), "one request at a time");
    growth.finish(true);
    assert!(!growth.is_due() && growth.request(101), "after a success the next one is free");
}

#[test]
fn refused_growth_is_tried_again_after_a_while() {
    let mut growth = Growth::default();
    growth.request(0);
    growth.finish(false);
    assert!(!growth.is_due() && !growth.request(1));
    assert!(!growth.take_overdue(OVERDUE_NANOSECONDS + 1), "its end is known");
    assert!(growth.request(RETRY_NANOSECONDS + 1));
}

#[test]
fn trapped_growth_is_noticed_once_and_tried_again() {
    let mut growth = Growth::default();
    growth.request(0);
    assert!(!growth.take_overdue(OVERDUE_NANOSECONDS));
    assert!(growth.take_overdue(OVERDUE_NANOSECONDS + 1));
    assert!(!growth.take_overdue(OVERDUE_NANOSECONDS + 2) && !growth.is_due());
    assert!(growth.request(RETRY_NANOSECONDS + 1));
}
