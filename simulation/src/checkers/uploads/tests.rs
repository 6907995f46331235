use super::*;

const SECOND: u64 = 1_000_000_000;
const KEPT: u64 = 60 * SECOND;
const UNTIL: u64 = 1_000 * SECOND;

fn moment(seconds: u64) -> Moment {
    Moment { order: seconds, nanos: seconds * SECOND }
}

/// A story in which each of these was asked for and answered a second later.
fn story(told: &[(u64, State)]) -> Story {
    let told = told.iter().map(|(at, state)| Told { sent: moment(*at), answered: moment(at + 1), state: *state });
    Story { until: Some(UNTIL), told: told.collect(), ..Story::new(KEPT) }
}

#[test]
fn an_upload_that_is_open_and_then_ends_is_accepted() {
    let published = State::Published { version: 7 };
    assert_eq!(story(&[(1, State::Open), (2, published), (9, published)]).check(), Ok(()));
    let refused = State::Refused { found: None };
    assert_eq!(story(&[(1, State::Open), (2, refused), (4, State::GivenUp), (5, refused)]).check(), Ok(()));
    // The answer to the first question came after the end.
    let open = Told { sent: moment(1), answered: moment(9), state: State::Open };
    let mut late = story(&[(2, published)]);
    late.told.push(open);
    assert_eq!(late.check(), Ok(()));
}

#[test]
fn an_upload_that_ends_twice_is_refused() {
    let ends = [
        State::Published { version: 7 },
        State::Published { version: 8 },
        State::Refused { found: Some(7) },
        State::Refused { found: None },
        State::Aborted,
    ];
    for (at, one) in ends.into_iter().enumerate() {
        for other in &ends[..at] {
            let mut told = story(&[(1, one), (3, State::GivenUp), (5, *other)]);
            told.abort_sent = true;
            assert!(matches!(told.check(), Err(Fault::EndsDisagree { .. })), "{one:?} {other:?}");
        }
    }
    let given_up = story(&[(1, State::GivenUp), (3, State::Published { version: 7 })]);
    assert!(matches!(given_up.check(), Err(Fault::EndsDisagree { .. })));
}

#[test]
fn an_upload_that_is_open_after_its_end_is_refused() {
    let again = story(&[(1, State::Published { version: 7 }), (3, State::Open)]);
    assert!(matches!(again.check(), Err(Fault::OpenAgain { .. })));
}

#[test]
fn an_upload_is_given_up_on_demand_or_at_its_time() {
    let aborted = |at| story(&[(at, State::Aborted)]);
    assert!(matches!(aborted(3).check(), Err(Fault::AbortedEarly { .. })));
    assert_eq!(Story { abort_sent: true, ..aborted(3) }.check(), Ok(()));
    assert_eq!(aborted(1_000).check(), Ok(()));
}

#[test]
fn an_upload_is_remembered_until_its_time_and_as_long_as_its_value_lives() {
    let forgotten = |at: u64| Story { forgotten_nanos: Some(at * SECOND), ..story(&[]) };
    assert!(matches!(forgotten(999).check(), Err(Fault::ForgottenEarly { .. })));
    let mut alive = forgotten(1_000);
    assert_eq!(alive.check(), Ok(()));
    alive.note_current(1_001 * SECOND);
    assert!(matches!(alive.check(), Err(Fault::ForgottenAlive { .. })));
}

#[test]
fn chunks_stay_for_a_while_after_their_value_was_last_there() {
    let mut story = story(&[(1, State::Published { version: 7 })]);
    story.note_gone(10 * SECOND + KEPT);
    assert_eq!(story.check(), Ok(()), "it was never seen");
    story.note_current(10 * SECOND);
    story.note_current(9 * SECOND);
    assert_eq!(story.check(), Ok(()));
    story.note_gone(20 * SECOND + KEPT);
    story.note_current(10 * SECOND + 1);
    assert!(matches!(story.check(), Err(Fault::GoneEarly { .. })));
}
