use super::*;
use crate::history::{Action, Fingerprint, Outcome};

const DONE: Told = Told::Done(Outcome::Put { version: 1 });
const UNAUTHORISED: Told = Told::NotRun(NotRun::Unauthorised);

fn moment(order: u64) -> Moment {
    Moment { order, nanos: 0 }
}

fn change(granted: bool, begun: u64, ended: u64, certain: bool) -> Change {
    let ended = (ended > 0).then(|| moment(ended));
    Change { client: 7, key: 0, granted, begun: moment(begun), ended, certain }
}

/// What the checker says of one put of client 7, sent and answered at these times.
fn judge(changes: &[Change], sent: u64, answered: u64, told: Told) -> Result<(), Fault> {
    let mut history = History::default();
    let put = history.begin(7, 0, Action::put(Fingerprint(1)), None);
    let mut sending = None;
    for order in 1..=answered {
        if order == sent {
            sending = Some(history.send(put, 0));
        } else if order == answered {
            history.answer(sending.expect("sent before it is answered"), 0, told);
        } else {
            history.moment(0);
        }
    }
    check(&history, changes, |client| client == 7)
}

#[test]
fn a_guest_is_served_only_with_rights() {
    assert!(judge(&[], 10, 11, DONE).is_err());
    assert_eq!(judge(&[], 10, 11, UNAUTHORISED), Ok(()));
    let granted = change(true, 1, 2, true);
    assert_eq!(judge(&[granted], 10, 11, DONE), Ok(()));
    assert!(judge(&[granted], 10, 11, UNAUTHORISED).is_err());
    let revoked = change(false, 5, 6, true);
    assert!(judge(&[granted, revoked], 10, 11, DONE).is_err());
    assert_eq!(judge(&[granted, revoked], 10, 11, UNAUTHORISED), Ok(()));
}

#[test]
fn while_rights_change_either_is_right() {
    let granted = change(true, 1, 2, true);
    for revoked in [change(false, 5, 20, true), change(false, 5, 0, false), change(false, 5, 6, false)] {
        assert_eq!(judge(&[granted, revoked], 10, 11, DONE), Ok(()));
        assert_eq!(judge(&[granted, revoked], 10, 11, UNAUTHORISED), Ok(()));
    }
    let later = change(false, 12, 13, true);
    assert!(judge(&[granted, later], 10, 11, UNAUTHORISED).is_err());
}

#[test]
fn a_change_that_may_not_have_happened_ends_nothing() {
    let (granted, maybe) = (change(true, 1, 2, false), change(false, 3, 4, true));
    assert!(judge(&[granted, maybe], 10, 11, DONE).is_err());
    assert_eq!(judge(&[granted], 10, 11, DONE), Ok(()));
    assert_eq!(judge(&[granted], 10, 11, UNAUTHORISED), Ok(()));
}

#[test]
fn others_are_never_refused() {
    let mut history = History::default();
    let put = history.begin(3, 0, Action::put(Fingerprint(1)), None);
    let sending = history.send(put, 0);
    history.answer(sending, 0, UNAUTHORISED);
    assert!(matches!(check(&history, &[], |client| client == 7), Err(Fault::Refused { .. })));
}

#[test]
fn a_batch_of_a_guest_may_be_refused_for_another_item_and_one_of_others_never() {
    let one = Told::NotRun(NotRun::OneUnauthorised);
    let granted = change(true, 1, 2, true);
    assert_eq!(judge(&[granted], 10, 11, one), Ok(()));
    let mut history = History::default();
    let put = history.begin(6, 0, Action::put(Fingerprint(1)), None);
    let sending = history.send(put, 0);
    history.answer(sending, 0, one);
    assert!(check(&history, &[], |client| client == 7).is_err());
}
