use super::*;

#[test]
fn memory_is_asked_for_once_and_before_it_is_short() {
    let mut growth = Growth::default();
    assert!(!growth.request(LOW_PAGES, 0));
    assert!(growth.request(LOW_PAGES - 1, 0));
    assert!(!growth.request(LOW_PAGES - 1, RETRY_NANOSECONDS), "one request at a time");
    assert_eq!(growth.judge(LOW_PAGES - 1, 0), Verdict::Enough);
}

#[test]
fn put_waits_while_memory_is_coming() {
    let mut growth = Growth::default();
    growth.request(0, 100);
    assert_eq!(growth.judge(RESERVE_PAGES - 1, 100), Verdict::Growing);
    growth.finish(true);
    assert_eq!(growth.judge(STEP_PAGES, 100), Verdict::Enough);
}

#[test]
fn refused_growth_is_out_of_space_until_a_later_one_succeeds() {
    let mut growth = Growth::default();
    growth.request(0, 0);
    growth.finish(false);
    assert_eq!(growth.judge(0, 1), Verdict::OutOfSpace);
    assert!(!growth.request(0, 1));
    assert!(growth.request(0, RETRY_NANOSECONDS + 1));
    growth.finish(true);
    assert_eq!(growth.judge(RESERVE_PAGES, 2), Verdict::Enough);
}

#[test]
fn trapped_growth_is_noticed_and_tried_again() {
    let mut growth = Growth::default();
    growth.request(0, 0);
    assert_eq!(growth.judge(0, OVERDUE_NANOSECONDS + 1), Verdict::OutOfSpace);
    assert!(growth.request(0, RETRY_NANOSECONDS + 1));
    assert_eq!(growth.judge(0, RETRY_NANOSECONDS + 1), Verdict::Growing);
}
