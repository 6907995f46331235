use super::*;

const DONE: Told = Told::Done(Outcome::Put { version: 7 });
const REFUSED: Told = Told::NotRun(NotRun::Refused);

/// How a put ends whose sendings are told this; None: open.
fn end(told: &[Option<Told>]) -> End {
    let mut history = History::default();
    let operation = history.begin(0, 0, Action::put(Fingerprint(1)), None);
    let sendings: Vec<SendingId> = told.iter().map(|_| history.send(operation, 0)).collect();
    for (sending, told) in sendings.into_iter().zip(told) {
        if let Some(told) = told {
            history.answer(sending, 0, *told);
        }
    }
    history.operation(operation).end()
}

#[test]
fn an_operation_is_not_done_only_if_no_sending_may_have_run() {
    assert_eq!(end(&[Some(REFUSED), Some(REFUSED)]), End::NotDone);
    assert_eq!(end(&[Some(Told::MayRun), Some(REFUSED)]), End::Unknown);
    assert_eq!(end(&[None, Some(REFUSED)]), End::Unknown);
    assert_eq!(end(&[Some(Told::MayRun), Some(Told::NotRun(NotRun::TooOld))]), End::Unknown);
}

#[test]
fn one_answer_that_says_done_settles_an_operation() {
    assert_eq!(end(&[Some(Told::MayRun), Some(DONE), Some(REFUSED)]), End::Done(Outcome::Put { version: 7 }));
}

#[test]
fn a_name_that_another_operation_took_settles_an_operation_too() {
    assert_eq!(end(&[Some(Told::MayRun), Some(Told::NotRun(NotRun::IdReused))]), End::NotDone);
}

#[test]
fn an_operation_lasts_from_its_first_sending_to_its_first_done() {
    let mut history = History::default();
    let operation = history.begin(0, 3, Action::put(Fingerprint(1)), None);
    let first = history.send(operation, 10);
    let second = history.send(operation, 20);
    history.answer(second, 30, DONE);
    history.answer(first, 40, DONE);
    let entry = history.by_key()[&3][0];
    assert_eq!(entry.invoked, Moment { order: 1, nanos: 10 });
    assert_eq!(entry.answered, Some(Moment { order: 3, nanos: 30 }));
}

#[test]
fn an_operation_does_not_begin_with_a_sending_that_did_nothing() {
    let mut history = History::default();
    let operation = history.begin(0, 3, Action::put(Fingerprint(1)), None);
    let first = history.send(operation, 10);
    history.answer(first, 20, REFUSED);
    let second = history.send(operation, 30);
    history.answer(second, 40, DONE);
    assert_eq!(history.by_key()[&3][0].invoked, Moment { order: 3, nanos: 30 });
}

#[test]
fn what_a_page_says_is_a_read_from_its_sending_to_its_answer() {
    let mut history = History::default();
    let asked = Asked { sent: history.moment(10), direct: false };
    history.begin(0, 3, Action::Get, None);
    history.observe(1, 3, asked, 20, Told::Done(Outcome::Got(None)));
    let entry = history.by_key()[&3][0];
    assert_eq!((entry.client, entry.outcome), (1, Some(Outcome::Got(None))));
    assert_eq!(entry.invoked, Moment { order: 1, nanos: 10 });
    assert_eq!(entry.answered, Some(Moment { order: 2, nanos: 20 }));
}
