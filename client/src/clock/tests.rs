use super::*;

const SECOND: u64 = NANOSECONDS_PER_SECOND;

#[test]
fn the_first_refusal_sets_the_clock_right_whichever_way_it_is_wrong() {
    let clock = Clock::default();
    let (client, service) = (2_000_000 * SECOND, 1_000_000 * SECOND);
    assert_eq!(clock.service_time(client), client);
    let newest_nanoseconds = service + OPERATION_AHEAD_SECONDS * SECOND;
    clock.learn(&Reason::OperationFromTheFuture { newest_nanoseconds }, client);
    assert_eq!(clock.service_time(client + 5), service + 5);
    let oldest_nanoseconds = service - OPERATION_KEPT_SECONDS * SECOND;
    clock.learn(&Reason::OperationTooOld { oldest_nanoseconds }, client);
    assert_eq!(clock.service_time(client + 5), service + 5);
}

#[test]
fn other_refusals_and_absurd_times_do_no_harm() {
    let clock = Clock::default();
    clock.learn(&Reason::KeyEmpty, 7);
    assert_eq!(clock.service_time(7), 7);
    clock.learn(&Reason::OperationTooOld { oldest_nanoseconds: u64::MAX }, 0);
    assert!(clock.service_time(0) > 0);
    clock.learn(&Reason::OperationFromTheFuture { newest_nanoseconds: 0 }, u64::MAX);
    assert_eq!(clock.service_time(0), 0);
}

#[test]
fn an_operation_is_too_late_after_its_outcome_is_kept_and_the_clocks_may_differ() {
    let kept = (OPERATION_KEPT_SECONDS + OPERATION_AHEAD_SECONDS) * SECOND;
    assert!(!is_too_late(100, 99 + kept));
    assert!(is_too_late(100, 100 + kept));
    assert!(!is_too_late(u64::MAX - 1, u64::MAX - 1));
}
