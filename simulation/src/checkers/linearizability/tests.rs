use super::*;

const A: Fingerprint = Fingerprint(0xa);
const B: Fingerprint = Fingerprint(0xb);
const EMPTY: Fingerprint = Fingerprint(0);

/// An operation on key 0 from `invoked` to `answered` (0: open).
fn operation(invoked: u64, answered: u64, action: Action, outcome: Outcome) -> Operation {
    Operation { client: 0, key: 0, action, invoked, answered: (answered > 0).then_some(answered), outcome }
}

fn put(invoked: u64, answered: u64, value: Fingerprint, version: u64) -> Operation {
    operation(invoked, answered, Action::Put(value), Outcome::Put { version })
}

fn unknown_put(invoked: u64, value: Fingerprint) -> Operation {
    operation(invoked, invoked + 1, Action::Put(value), Outcome::Unknown)
}

fn get(invoked: u64, answered: u64, seen: Option<(Fingerprint, u64)>) -> Operation {
    let seen = seen.map(|(value, version)| Seen { value, version });
    operation(invoked, answered, Action::Get, Outcome::Got(seen))
}

fn delete(invoked: u64, answered: u64, version: Option<u64>) -> Operation {
    operation(invoked, answered, Action::Delete, Outcome::Deleted(version))
}

fn unknown_delete(invoked: u64) -> Operation {
    operation(invoked, 0, Action::Delete, Outcome::Unknown)
}

fn decide(operations: &[Operation]) -> Result<(), Fault> {
    Search::new(0, operations)?.run()
}

fn assert_refused(operations: &[Operation]) {
    assert!(matches!(decide(operations), Err(Fault::NotLinearizable { .. })), "accepted: {operations:?}");
}

fn assert_accepted(operations: &[Operation]) {
    assert_eq!(decide(operations), Ok(()));
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
    let id = history.invoke(0, 0, Action::Put(A));
    history.answer(id, Outcome::Refused);
    let id = history.invoke(0, 0, Action::Get);
    history.answer(id, Outcome::Got(Some(Seen { value: A, version: 4 })));
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
    let first = history.invoke(0, 0, Action::Put(A));
    let second = history.invoke(1, 1, Action::Get);
    history.answer(first, Outcome::Put { version: 3 });
    history.answer(second, Outcome::Got(None));
    assert_eq!(check(&history), Ok(()));
}
