use super::*;
use crate::history::{Moment, NotRun, Told};

const A: Fingerprint = Fingerprint(0xa);
const B: Fingerprint = Fingerprint(0xb);
const EMPTY: Fingerprint = Fingerprint(0);

const SECOND: u64 = 1_000_000_000;

/// An operation from `invoked` to `answered` (0: open); each tick is a second.
fn entry(invoked: u64, answered: u64, action: Action, outcome: Option<Outcome>) -> Entry {
    let moment = |order| Moment { order, nanos: order * SECOND };
    Entry { client: 0, action, invoked: moment(invoked), answered: (answered > 0).then(|| moment(answered)), outcome }
}

fn put(invoked: u64, answered: u64, value: Fingerprint, version: u64) -> Entry {
    entry(invoked, answered, Action::put(value), Some(Outcome::Put { version }))
}

fn put_if(invoked: u64, answered: u64, value: Fingerprint, precondition: Precondition, outcome: Outcome) -> Entry {
    let action = Action::Put { value, precondition: Some(precondition), time_to_live_nanos: None };
    entry(invoked, answered, action, Some(outcome))
}

fn brief_put(invoked: u64, answered: u64, value: Fingerprint, version: u64, seconds: u64) -> Entry {
    let action = Action::Put { value, precondition: None, time_to_live_nanos: Some(seconds * SECOND) };
    entry(invoked, answered, action, Some(Outcome::Put { version }))
}

fn unknown_put(invoked: u64, value: Fingerprint) -> Entry {
    entry(invoked, 0, Action::put(value), None)
}

fn get(invoked: u64, answered: u64, seen: Option<(Fingerprint, u64)>) -> Entry {
    let seen = seen.map(|(value, version)| Seen { value: Some(value), bytes: 1, version, expires_at_nanos: None });
    entry(invoked, answered, Action::Get, Some(Outcome::Got(seen)))
}

fn delete(invoked: u64, answered: u64, version: Option<u64>) -> Entry {
    entry(invoked, answered, Action::Delete { precondition: None }, Some(Outcome::Deleted(version)))
}

fn unknown_delete(invoked: u64) -> Entry {
    entry(invoked, 0, Action::Delete { precondition: None }, None)
}

fn decide(entries: &[Entry]) -> Result<(), Fault> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| entry.invoked);
    Search::new(0, &entries)?.run()
}

fn assert_refused(entries: &[Entry]) {
    assert!(matches!(decide(entries), Err(Fault::NotLinearizable { .. })), "accepted: {entries:?}");
}

fn assert_accepted(entries: &[Entry]) {
    assert_eq!(decide(entries), Ok(()));
}

#[test]
fn a_plain_sequence_is_accepted() {
    assert_accepted(&[
        get(1, 2, None),
        put(3, 4, A, 10),
        get(5, 6, Some((A, 10))),
        put(7, 8, B, 11),
        get(9, 10, Some((B, 11))),
        delete(11, 12, Some(11)),
        delete(13, 14, None),
        get(15, 16, None),
    ]);
}

#[test]
fn a_lost_write_is_refused() {
    assert_refused(&[put(1, 2, A, 10), get(3, 4, None)]);
}

#[test]
fn a_stale_read_is_refused() {
    assert_refused(&[put(1, 2, A, 10), put(3, 4, B, 11), get(5, 6, Some((A, 10)))]);
}

#[test]
fn reads_that_go_back_in_time_are_refused() {
    // The second put is open meanwhile: each read alone is legal, both in this order are not.
    assert_accepted(&[put(1, 2, A, 10), put(3, 20, B, 11), get(5, 6, Some((B, 11)))]);
    assert_accepted(&[put(1, 2, A, 10), put(3, 20, B, 11), get(7, 8, Some((A, 10)))]);
    assert_refused(&[put(1, 2, A, 10), put(3, 20, B, 11), get(5, 6, Some((B, 11))), get(7, 8, Some((A, 10)))]);
}

#[test]
fn an_unknown_put_may_take_effect_late_or_never() {
    assert_accepted(&[put(1, 2, A, 10), unknown_put(3, B), get(5, 6, Some((A, 10)))]);
    assert_accepted(&[put(1, 2, A, 10), unknown_put(3, B), get(5, 6, Some((A, 10))), get(7, 8, Some((B, 12)))]);
}

#[test]
fn an_unknown_put_that_takes_effect_twice_is_refused() {
    assert_refused(&[unknown_put(1, B), get(3, 4, Some((B, 12))), put(5, 6, A, 13), get(7, 8, Some((B, 12)))]);
    assert!(matches!(
        decide(&[unknown_put(1, B), get(3, 4, Some((B, 12))), put(5, 6, A, 13), get(7, 8, Some((B, 14)))]),
        Err(Fault::VersionsDisagree { .. })
    ));
}

#[test]
fn an_unknown_put_is_not_seen_before_it_was_sent() {
    assert_refused(&[get(1, 2, Some((B, 12))), unknown_put(3, B)]);
}

#[test]
fn a_refused_put_that_took_effect_is_refused() {
    let mut history = History::default();
    let put = history.begin(0, 0, Action::put(A), None);
    let sending = history.send(put, 0);
    history.answer(sending, 0, Told::NotRun(NotRun::Refused));
    let get = history.begin(0, 0, Action::Get, None);
    let sending = history.send(get, 0);
    let seen = Seen { value: Some(A), bytes: 1, version: 4, expires_at_nanos: None };
    history.answer(sending, 0, Told::Done(Outcome::Got(Some(seen))));
    assert!(matches!(check(&history), Err(Fault::ForeignValue { key: 0, .. })));
}

#[test]
fn an_unknown_delete_explains_one_absence_only() {
    assert_accepted(&[put(1, 2, A, 10), unknown_delete(3), get(5, 6, Some((A, 10))), get(7, 8, None)]);
    assert_refused(&[put(1, 2, A, 10), unknown_delete(3), get(5, 6, None), put(7, 8, B, 11), get(9, 10, None)]);
}

#[test]
fn a_delete_tells_the_version_that_it_removed() {
    assert_refused(&[put(1, 2, A, 10), delete(3, 4, Some(9))]);
    assert_refused(&[put(1, 2, A, 10), delete(3, 4, None)]);
    assert_refused(&[put(1, 2, A, 10), delete(3, 4, Some(10)), delete(5, 6, Some(10))]);
    // Only the unknown put can have had that version.
    assert_accepted(&[put(1, 2, A, 10), unknown_put(3, B), delete(5, 6, Some(12)), get(7, 8, None)]);
    assert_refused(&[put(1, 2, A, 10), unknown_put(3, B), delete(5, 6, Some(9))]);
}

#[test]
fn versions_grow_with_every_write() {
    assert!(decide(&[put(1, 2, A, 10), put(3, 4, B, 10)]).is_err());
    assert_refused(&[put(1, 2, A, 10), put(3, 4, B, 9)]);
    assert_refused(&[put(1, 2, A, 10), delete(3, 4, Some(10)), put(5, 6, B, 9)]);
    // Both are open at once: the versions tell which came first.
    assert_accepted(&[put(1, 9, A, 11), put(2, 8, B, 10), get(10, 11, Some((A, 11)))]);
    assert_refused(&[put(1, 9, A, 11), put(2, 8, B, 10), get(10, 11, Some((B, 10)))]);
}

#[test]
fn equal_values_are_told_apart_by_their_versions() {
    assert_accepted(&[put(1, 2, EMPTY, 10), put(3, 4, EMPTY, 11), get(5, 6, Some((EMPTY, 11)))]);
    assert_refused(&[put(1, 2, EMPTY, 10), put(3, 4, EMPTY, 11), get(5, 6, Some((EMPTY, 10)))]);
    assert_accepted(&[put(1, 2, EMPTY, 10), unknown_put(3, EMPTY), get(5, 6, Some((EMPTY, 12)))]);
    assert!(decide(&[put(1, 2, EMPTY, 10), get(5, 6, Some((EMPTY, 12)))]).is_err());
}

#[test]
fn one_version_with_two_values_is_refused() {
    let operations = [put(1, 9, A, 10), put(2, 8, B, 10)];
    assert!(matches!(decide(&operations), Err(Fault::VersionsDisagree { .. })));
}

#[test]
fn many_unknown_operations_are_decided_quickly() {
    let mut operations = Vec::new();
    for at in 0..100 {
        operations.push(unknown_put(10 * at + 1, Fingerprint(1_000 + at)));
        operations.push(unknown_delete(10 * at + 3));
        operations.push(put(10 * at + 5, 10 * at + 6, Fingerprint(2_000 + at), 10 * at + 5));
        operations.push(get(10 * at + 7, 10 * at + 8, Some((Fingerprint(2_000 + at), 10 * at + 5))));
    }
    assert_accepted(&operations);
    operations.push(get(2_000, 2_001, Some((Fingerprint(2_000), 5))));
    assert!(decide(&operations).is_err());
}

#[test]
fn keys_are_independent() {
    let mut history = History::default();
    let put = history.begin(0, 0, Action::put(A), None);
    let get = history.begin(1, 1, Action::Get, None);
    let (first, second) = (history.send(put, 0), history.send(get, 0));
    history.answer(first, 0, Told::Done(Outcome::Put { version: 3 }));
    history.answer(second, 0, Told::Done(Outcome::Got(None)));
    assert_eq!(check(&history), Ok(()));
}

#[test]
fn a_write_is_done_only_where_its_precondition_holds() {
    let (absent, present) = (Precondition::Absent, Precondition::Present);
    let version = |version| Precondition::Version(canopy_types::Version(version));
    let done = |version| Outcome::Put { version };
    assert_accepted(&[put_if(1, 2, A, absent, done(10)), put_if(3, 4, B, version(10), done(11))]);
    assert_refused(&[put(1, 2, A, 10), put_if(3, 4, B, absent, done(11))]);
    assert_refused(&[put_if(1, 2, A, present, done(10))]);
    assert_refused(&[put(1, 2, A, 10), put(3, 4, B, 11), put_if(5, 6, EMPTY, version(10), done(12))]);
    // Of two open writes that need the same version, one only can be done.
    assert_refused(&[
        put(1, 2, A, 10),
        put_if(3, 9, B, version(10), done(11)),
        put_if(4, 8, EMPTY, version(10), done(12)),
    ]);
}

#[test]
fn a_failed_precondition_is_a_read() {
    let failed = |found| Outcome::PreconditionFailed { found };
    assert_accepted(&[put(1, 2, A, 10), put_if(3, 4, B, Precondition::Absent, failed(Some(10)))]);
    assert_refused(&[put(1, 2, A, 10), put_if(3, 4, B, Precondition::Present, failed(None))]);
    assert_refused(&[put(1, 2, A, 10), put_if(3, 4, B, Precondition::Absent, failed(Some(9)))]);
    // What failed was not done.
    let tried = put_if(3, 4, B, Precondition::Absent, failed(Some(10)));
    assert!(decide(&[put(1, 2, A, 10), tried, get(5, 6, Some((B, 11)))]).is_err());
}

#[test]
fn an_answer_that_its_own_precondition_rules_out_is_refused() {
    let failed = put_if(1, 2, A, Precondition::Absent, Outcome::PreconditionFailed { found: None });
    assert!(matches!(decide(&[failed]), Err(Fault::AnswerContradictsPrecondition { .. })));
}

#[test]
fn an_unknown_put_that_nobody_saw_explains_that_something_is_there() {
    let present = put_if(3, 4, B, Precondition::Present, Outcome::Put { version: 12 });
    assert_accepted(&[unknown_put(1, A), present]);
    assert_refused(&[present]);
}

#[test]
fn a_record_is_seen_until_its_end_and_no_longer() {
    // It is put between 1 and 2 and ends between 11 and 12, and the millisecond to which its end is rounded.
    let brief = brief_put(1, 2, A, 10, 10);
    assert_accepted(&[brief, get(3, 4, Some((A, 10))), get(20, 21, None)]);
    assert_accepted(&[brief, get(3, 30, None)]);
    assert_accepted(&[brief, get(11, 12, Some((A, 10)))]);
    assert_accepted(&[brief, get(11, 12, None)]);
    assert_refused(&[brief, get(3, 4, None)]);
    assert_refused(&[brief, get(13, 14, Some((A, 10)))]);
    assert_refused(&[brief, get(3, 30, None), get(31, 32, Some((A, 10)))]);
}

#[test]
fn a_reader_that_is_told_the_end_narrows_it() {
    let brief = brief_put(1, 9, A, 10, 10);
    let told = |at, end| {
        let seen = Seen { value: Some(A), bytes: 1, version: 10, expires_at_nanos: Some(end * SECOND) };
        entry(at, at + 1, Action::Get, Some(Outcome::Got(Some(seen))))
    };
    assert_accepted(&[brief, told(10, 15), get(16, 17, None)]);
    assert_refused(&[brief, told(10, 15), get(13, 14, None)]);
    assert_refused(&[brief, told(10, 15), get(16, 17, Some((A, 10)))]);
}

#[test]
fn an_unknown_put_that_ended_unseen_may_have_replaced_what_was_there() {
    let action = Action::Put { value: B, precondition: None, time_to_live_nanos: Some(5 * SECOND) };
    let unknown = entry(3, 0, action, None);
    assert_accepted(&[put(1, 2, A, 10), unknown, get(20, 21, None)]);
    assert_refused(&[put(1, 2, A, 10), unknown, get(6, 7, None)]);
}

#[test]
fn a_record_read_without_its_value_is_known_by_its_version() {
    let read = |at, version| {
        let seen = Seen { value: None, bytes: 1, version, expires_at_nanos: None };
        entry(at, at + 1, Action::Get, Some(Outcome::Got(Some(seen))))
    };
    assert_accepted(&[put(1, 2, A, 10), read(3, 10)]);
    assert_refused(&[put(1, 2, A, 10), read(3, 11)]);
    assert_accepted(&[put(1, 2, A, 10), unknown_put(3, B), read(5, 11), get(7, 8, Some((B, 11)))]);
}

fn publish(invoked: u64, answered: u64, value: Fingerprint, bytes: u64, version: Option<u64>) -> Entry {
    let action = Action::Publish { value, bytes, precondition: None, time_to_live_nanos: None };
    entry(invoked, answered, action, version.map(|version| Outcome::Put { version }))
}

fn told_large(invoked: u64, answered: u64, bytes: u64) -> Entry {
    entry(invoked, answered, Action::Get, Some(Outcome::GotLarge { bytes }))
}

fn told_not_large(invoked: u64, answered: u64) -> Entry {
    entry(invoked, answered, Action::Get, Some(Outcome::NotLarge))
}

#[test]
fn a_large_value_is_there_from_its_commit_until_it_is_replaced() {
    assert_accepted(&[
        told_not_large(1, 2),
        publish(3, 4, A, 70, Some(10)),
        told_large(5, 6, 70),
        get(7, 8, Some((A, 10))),
        put(9, 10, B, 11),
        told_not_large(11, 12),
        delete(13, 14, Some(11)),
        told_not_large(15, 16),
    ]);
    assert_refused(&[told_large(1, 2, 70), publish(3, 4, A, 70, Some(10))]);
    assert_refused(&[publish(3, 4, A, 70, Some(10)), told_not_large(5, 6)]);
    assert_refused(&[publish(3, 4, A, 70, Some(10)), told_large(5, 6, 71)]);
    assert_refused(&[publish(3, 4, A, 70, Some(10)), put(5, 6, B, 11), told_large(7, 8, 70)]);
    assert_refused(&[put(1, 2, B, 10), told_large(3, 4, 1)]);
}

#[test]
fn an_unknown_commit_may_be_what_a_reader_was_told_of() {
    assert_accepted(&[put(1, 2, B, 10), publish(3, 0, A, 70, None), told_large(5, 6, 70)]);
    assert_accepted(&[publish(1, 2, A, 70, Some(10)), unknown_put(3, B), told_not_large(5, 6)]);
    assert_refused(&[publish(3, 0, A, 70, None), told_large(5, 6, 71)]);
    assert_refused(&[publish(3, 0, A, 70, None), told_large(5, 6, 70), told_not_large(7, 8)]);
}

#[test]
fn a_large_value_ends_at_its_time() {
    let action = Action::Publish { value: A, bytes: 70, precondition: None, time_to_live_nanos: Some(5 * SECOND) };
    let brief = entry(1, 2, action, Some(Outcome::Put { version: 10 }));
    assert_accepted(&[brief, told_large(3, 4, 70), told_not_large(5, 6)]);
    assert_refused(&[brief, told_large(9, 10, 70)]);
    assert_refused(&[brief, told_not_large(3, 4)]);
}
