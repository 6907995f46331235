use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(hash: u64) -> Option<Cursor> {
    Some(Cursor { hash, tag: 0, key: None })
}

fn segment(after: Option<Cursor>, until: Option<Cursor>) -> Segment {
    Segment { after, until }
}

/// Sends the next segment up to `reached`.
fn send(copying: &mut Copying, flight: u64, reached: Option<Cursor>) -> Segment {
    let Job::Walk(next) = copying.next_job(0, &Limits::default()) else { panic!("there is nothing to walk") };
    let sent = copying.sent_segment(next, reached);
    copying.depart(flight, Load::Segment(sent.clone()), 0);
    sent
}

#[test]
fn the_range_is_walked_once_in_segments_and_then_handed_over() {
    let mut copying = Copying::default();
    assert_eq!(send(&mut copying, 1, at(10)), segment(None, at(10)));
    assert_eq!(send(&mut copying, 2, at(20)), segment(at(10), at(20)));
    assert!(!copying.is_catching_up());
    assert_eq!(send(&mut copying, 3, None), segment(at(20), None));
    assert!(copying.is_catching_up());
    assert_eq!(
        copying.next_job(5, &Limits::default()),
        Job::Wait,
        "nothing may be under way when the range is handed over"
    );
    for flight in 1..=3 {
        assert!(copying.arrive(flight).is_some());
        copying.succeed();
    }
    assert_eq!(copying.next_job(HAND_OVER_CHANGES_MAX, &Limits::default()), Job::HandOver);
    assert_eq!(copying.next_job(HAND_OVER_CHANGES_MAX + 1, &Limits::default()), Job::Changes);
}

#[test]
fn no_more_calls_are_open_than_may_be() {
    let mut copying = Copying::default();
    for flight in 0..FLIGHTS_MAX as u64 {
        send(&mut copying, flight, at(flight));
    }
    assert_eq!(copying.next_job(0, &Limits::default()), Job::Wait);
    copying.arrive(0);
    assert!(matches!(copying.next_job(0, &Limits::default()), Job::Walk(_)));
}

#[test]
fn a_segment_that_was_lost_is_sent_again_before_anything_else() {
    let mut copying = Copying::default();
    send(&mut copying, 1, at(10));
    send(&mut copying, 2, None);
    let load = copying.arrive(1).unwrap();
    assert!(copying.fail(load, "lost", false, 7 * SECOND).is_empty());
    assert!(copying.waits(7 * SECOND) && !copying.waits(8 * SECOND));
    assert_eq!(copying.next_job(0, &Limits::default()), Job::Walk(segment(None, at(10))));
    assert!(!copying.is_catching_up());
    // There is more in it than the first time.
    assert_eq!(send(&mut copying, 3, at(4)), segment(None, at(4)));
    assert_eq!(copying.next_job(0, &Limits::default()), Job::Walk(segment(at(4), at(10))));
    // The walk goes beyond its end: then it is whole.
    assert_eq!(send(&mut copying, 4, at(12)), segment(at(4), at(10)));
    assert!(copying.is_catching_up());
}

#[test]
fn the_last_segment_is_sent_again_to_the_end() {
    let mut copying = Copying::default();
    send(&mut copying, 1, None);
    let load = copying.arrive(1).unwrap();
    copying.fail(load, "lost", false, 0);
    assert_eq!(send(&mut copying, 2, at(30)), segment(None, at(30)));
    assert_eq!(send(&mut copying, 3, None), segment(at(30), None));
    assert!(copying.is_catching_up());
}

#[test]
fn a_cursor_in_the_midst_of_equal_hashes_is_not_their_end() {
    let within = |key: &[u8]| Cursor { hash: 5, tag: 0, key: Some((0, key.to_vec())) };
    assert!(is_before(&within(b"a"), &within(b"b")) && is_before(&within(b"b"), &at(5).unwrap()));
    assert!(!is_before(&at(5).unwrap(), &within(b"z")));
    assert!(is_before(&at(5).unwrap(), &Cursor { hash: 6, tag: 0, key: Some((0, vec![])) }));
}

#[test]
fn answers_to_calls_of_an_earlier_plan_are_dropped() {
    let mut copying = Copying::default();
    send(&mut copying, 8, at(10));
    assert_eq!(copying.arrive(7), None);
    assert!(copying.arrive(8).is_some());
    assert_eq!(copying.arrive(8), None, "an answer counts once");
}

#[test]
fn lost_calls_are_noticed_in_time_and_give_their_changes_back() {
    let mut copying = Copying::default();
    copying.depart(1, Load::Changes(vec![(1, 2), (3, 4)]), 5);
    assert!(copying.lose_overdue(false, LOST_NANOSECONDS + 5).is_empty());
    assert_eq!(copying.wake_at(true, 9), LOST_NANOSECONDS + 6);
    assert_eq!(copying.lose_overdue(false, LOST_NANOSECONDS + 6), [(1, 2), (3, 4)]);
    assert!(!copying.is_flying());
}

#[test]
fn waits_grow_and_are_bounded() {
    for (closed, last) in [(false, RETRY_LAST_NANOSECONDS), (true, RETRY_LAST_CLOSED_NANOSECONDS)] {
        let mut copying = Copying::default();
        let mut before = 0;
        for _ in 0..100 {
            copying.fail(Load::HandOver, "refused", closed, SECOND);
            let wait = copying.wake_at(false, SECOND) - SECOND;
            assert!(wait >= before && wait <= last, "{wait}");
            before = wait;
        }
        assert_eq!((before, copying.failed_attempts()), (last, 100));
        copying.succeed();
        assert!(!copying.waits(0) && copying.last_failure().is_none());
    }
}

#[test]
fn writes_are_held_back_more_and_more_until_the_range_can_be_handed_over() {
    let mut copying = Copying::default();
    let held = |copying: &Copying, changes| (0..160).filter(|&hash| copying.holds_back(KeyHash(hash), changes)).count();
    for _ in 0..50 {
        copying.count_catch_up();
    }
    assert_eq!(held(&copying, CHANGES_MAX - 1), 0, "the walk isn't done");
    assert_eq!(held(&copying, CHANGES_MAX), 160);
    send(&mut copying, 1, None);
    let mut shares = Vec::new();
    for _ in 0..PATIENCE_TURNS + SIXTEENTHS + 2 {
        copying.count_catch_up();
        shares.push(held(&copying, 0));
    }
    assert!(
        shares.is_sorted() && shares[PATIENCE_TURNS as usize - 1] == 0 && shares.last() == Some(&160),
        "{shares:?}"
    );
    copying.fail(Load::HandOver, "no memory", false, SECOND);
    assert_eq!((held(&copying, 0), held(&copying, CHANGES_MAX)), (0, 160), "the target takes nothing in");
    copying.succeed();
    assert_eq!(held(&copying, 0), 160);
}

#[test]
fn turns_in_which_the_target_takes_nothing_in_are_not_counted() {
    let mut copying = Copying::default();
    send(&mut copying, 1, None);
    copying.fail(Load::HandOver, "no memory", false, SECOND);
    (0..10 * PATIENCE_TURNS).for_each(|_| copying.count_catch_up());
    copying.succeed();
    (0..PATIENCE_TURNS).for_each(|_| copying.count_catch_up());
    assert!((0..160).all(|hash| !copying.holds_back(KeyHash(hash), 0)));
    copying.count_catch_up();
    assert!((0..160).any(|hash| copying.holds_back(KeyHash(hash), 0)), "its patience begins then");
}
