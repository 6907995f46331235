use super::*;

const LIMIT: Limit = Limit { per_minute: 10, from: 1_000, until: 600_000_000_000, restarts: 0 };

fn uses(count: u64, apart_nanos: u64) -> Vec<Use> {
    let used =
        |at: u64| Use { client: 3, sent: 2_000 + at * apart_nanos, answered: 2_000 + at * apart_nanos, operations: 1 };
    (0..count).map(used).collect()
}

#[test]
fn a_minutes_share_at_once_is_accepted_and_more_is_refused() {
    assert_eq!(check(&uses(11, 0), LIMIT), Ok(()));
    let fault = check(&uses(12, 0), LIMIT).expect_err("12 at once are too many");
    assert_eq!((fault.client, fault.served, fault.served_max), (3, 12, 11));
}

#[test]
fn what_is_due_over_time_is_accepted_and_more_is_refused() {
    // 10 per minute are one in 6 s.
    assert_eq!(check(&uses(90, 6_000_000_000), LIMIT), Ok(()));
    assert!(check(&uses(90, 4_000_000_000), LIMIT).is_err());
}

#[test]
fn counting_begins_anew_with_each_restart() {
    assert_eq!(check(&uses(22, 0), Limit { restarts: 1, ..LIMIT }), Ok(()));
    assert!(check(&uses(23, 0), Limit { restarts: 1, ..LIMIT }).is_err());
}

#[test]
fn what_was_sent_before_the_limit_held_or_answered_after_is_not_counted() {
    assert_eq!(check(&uses(50, 0), Limit { from: 2_001, ..LIMIT }), Ok(()));
    assert_eq!(check(&uses(50, 0), Limit { until: 1_999, ..LIMIT }), Ok(()));
}

#[test]
fn every_client_has_a_share_of_its_own() {
    let mut both = uses(11, 0);
    both.extend(uses(11, 0).into_iter().map(|used| Use { client: 4, ..used }));
    assert_eq!(check(&both, LIMIT), Ok(()));
}
