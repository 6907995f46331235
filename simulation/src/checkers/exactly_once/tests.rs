use super::*;
use crate::history::{Action, Name};

const A: Fingerprint = Fingerprint(0xa);
const B: Fingerprint = Fingerprint(0xb);
const SECOND: u64 = 1_000_000_000;
/// When operations are issued here.
const ISSUED: u64 = 10_000 * SECOND;
const REFUSED: Told = Told::NotRun(NotRun::Refused);
const REUSED: Told = Told::NotRun(NotRun::IdReused);

/// A history of one key, each of whose sendings takes a second from `ISSUED` on.
#[derive(Default)]
struct Book {
    history: History,
    seconds: u64,
}

impl Book {
    fn operation(&mut self, client: usize, id: u128, action: Action, told: &[Told]) {
        let name = Some(Name { id, issued_nanos: ISSUED, index: 0 });
        let operation = self.history.begin(client, 0, action, name);
        for told in told {
            self.seconds += 2;
            let sending = self.history.send(operation, ISSUED + (self.seconds - 1) * SECOND);
            self.history.answer(sending, ISSUED + self.seconds * SECOND, *told);
        }
    }

    fn put(&mut self, id: u128, value: Fingerprint, told: &[Told]) {
        self.operation(0, id, Action::put(value), told);
    }

    fn read(&mut self, value: Fingerprint, version: u64) {
        self.read_ending(value, version, None);
    }

    fn read_ending(&mut self, value: Fingerprint, version: u64, expires_at_nanos: Option<u64>) {
        let seen = Seen { value: Some(value), bytes: 1, version, expires_at_nanos };
        self.operation(9, self.seconds.into(), Action::Get, &[Told::Done(Outcome::Got(Some(seen)))]);
    }

    fn fault(&self) -> Option<Fault> {
        check(&self.history).err()
    }
}

fn done(version: u64) -> Told {
    Told::Done(Outcome::Put { version })
}

#[test]
fn sent_again_and_told_the_same_is_accepted() {
    let mut book = Book::default();
    book.put(1, A, &[Told::MayRun, REFUSED, done(7), done(7), Told::MayRun]);
    book.read(A, 7);
    assert_eq!(book.fault(), None);
}

#[test]
fn outcomes_that_differ_are_refused() {
    let mut book = Book::default();
    book.put(1, A, &[done(7), done(8)]);
    assert!(matches!(book.fault(), Some(Fault::OutcomesDisagree { operation: 0, .. })));
    let mut book = Book::default();
    book.put(1, A, &[done(7), REUSED]);
    assert_eq!(book.fault(), Some(Fault::DoneAndIdReused { operation: 0 }));
}

#[test]
fn a_write_seen_with_two_versions_was_applied_twice() {
    let mut book = Book::default();
    book.put(1, A, &[done(7)]);
    book.read(A, 9);
    assert_eq!(book.fault(), Some(Fault::AppliedTwice { operation: 0, versions: [7, 9] }));
    let mut book = Book::default();
    book.put(1, A, &[Told::MayRun]);
    book.read(A, 7);
    book.read(A, 9);
    assert_eq!(book.fault(), Some(Fault::AppliedTwice { operation: 0, versions: [7, 9] }));
}

#[test]
fn what_was_not_done_is_not_seen() {
    for told in [REFUSED, Told::Done(Outcome::PreconditionFailed { found: None })] {
        let mut book = Book::default();
        book.put(1, A, &[told]);
        book.read(A, 7);
        assert!(matches!(book.fault(), Some(Fault::NotDoneButSeen { operation: 0, .. })));
    }
    let mut book = Book::default();
    book.put(1, A, &[Told::MayRun, REFUSED]);
    book.read(A, 7);
    assert_eq!(book.fault(), None);
}

#[test]
fn a_version_has_one_writer() {
    let mut book = Book::default();
    book.put(1, A, &[done(7)]);
    book.put(2, B, &[done(7)]);
    assert_eq!(book.fault(), Some(Fault::VersionShared { key: 0, version: 7, operations: [0, 1] }));
}

#[test]
fn a_version_is_taken_away_once() {
    let precondition = Some(Precondition::Version(canopy_types::Version(7)));
    let replace = Action::Put { value: B, precondition, time_to_live_nanos: None };
    let delete = Action::Delete { precondition: None };
    let mut book = Book::default();
    book.put(1, A, &[done(7)]);
    book.operation(1, 2, replace, &[done(8)]);
    assert_eq!(book.fault(), None);
    book.operation(2, 3, delete, &[Told::Done(Outcome::Deleted(Some(7)))]);
    assert_eq!(book.fault(), Some(Fault::VersionTakenTwice { key: 0, version: 7, operations: [1, 2] }));
}

#[test]
fn of_two_operations_of_one_name_one_runs() {
    let mut book = Book::default();
    book.put(1, A, &[done(7)]);
    book.put(1, B, &[REUSED]);
    assert_eq!(book.fault(), None);
    let mut book = Book::default();
    book.put(1, A, &[done(7)]);
    book.put(1, B, &[done(8)]);
    assert_eq!(book.fault(), Some(Fault::NameRanTwice { operations: [0, 1] }));
    let mut book = Book::default();
    book.put(1, A, &[Told::MayRun]);
    book.put(1, B, &[done(8)]);
    book.read(A, 7);
    assert_eq!(book.fault(), Some(Fault::NameRanTwice { operations: [0, 1] }));
}

#[test]
fn equal_ids_of_two_clients_are_two_names() {
    let mut book = Book::default();
    book.operation(0, 1, Action::put(A), &[done(7)]);
    book.operation(1, 1, Action::put(B), &[done(8)]);
    assert_eq!(book.fault(), None);
    book.operation(2, 1, Action::put(Fingerprint(0xc)), &[REUSED]);
    assert_eq!(book.fault(), Some(Fault::ReusedWithoutCause { operation: 2 }));
}

/// What a book says of one sending, from and to so many seconds after the operation was issued.
fn at(from: i64, to: i64, told: Told) -> Option<Fault> {
    let nanos = |seconds: i64| ISSUED.saturating_add_signed(seconds * SECOND as i64);
    let mut history = History::default();
    let name = Some(Name { id: 1, issued_nanos: ISSUED, index: 0 });
    let operation = history.begin(0, 0, Action::put(A), name);
    let sending = history.send(operation, nanos(from));
    history.answer(sending, nanos(to), told);
    check(&history).err()
}

#[test]
fn outcomes_are_told_for_15_minutes_and_no_longer() {
    assert_eq!(at(899, 901, done(7)), None);
    assert!(matches!(at(900, 901, done(7)), Some(Fault::OutOfTime { .. })));
    assert_eq!(at(899, 900, Told::NotRun(NotRun::TooOld)), None);
    assert!(matches!(at(898, 899, Told::NotRun(NotRun::TooOld)), Some(Fault::WrongTime { .. })));
}

#[test]
fn operations_are_admitted_60_seconds_ahead() {
    assert_eq!(at(-62, -60, done(7)), None);
    assert!(matches!(at(-63, -61, done(7)), Some(Fault::OutOfTime { .. })));
    assert_eq!(at(-61, -59, Told::NotRun(NotRun::FromTheFuture)), None);
    assert!(matches!(at(-60, -59, Told::NotRun(NotRun::FromTheFuture)), Some(Fault::WrongTime { .. })));
}

#[test]
fn a_record_ends_after_its_time_to_live() {
    let action = Action::Put { value: A, precondition: None, time_to_live_nanos: Some(30 * SECOND) };
    let ending = |seconds| {
        let mut book = Book::default();
        book.operation(0, 1, action, &[done(7)]);
        book.read_ending(A, 7, Some(ISSUED + seconds * SECOND));
        book.fault()
    };
    assert_eq!(ending(32), None);
    assert!(matches!(ending(30), Some(Fault::EndsWrongly { .. })));
    assert!(matches!(ending(33), Some(Fault::EndsWrongly { .. })));
    let mut book = Book::default();
    book.operation(0, 1, action, &[done(7)]);
    book.read(A, 7);
    assert!(matches!(book.fault(), Some(Fault::EndsWrongly { .. })));
}

fn publish(book: &mut Book, value: Fingerprint, bytes: u64, told: &[Told]) {
    let action = Action::Publish { value, bytes, precondition: None, time_to_live_nanos: None };
    let operation = book.history.begin(0, 0, action, None);
    for told in told {
        book.seconds += 2;
        let sending = book.history.send(operation, ISSUED + (book.seconds - 1) * SECOND);
        book.history.answer(sending, ISSUED + book.seconds * SECOND, *told);
    }
}

#[test]
fn an_upload_that_was_given_up_is_not_published() {
    let never = Told::NotRun(NotRun::NeverPublished);
    let mut book = Book::default();
    publish(&mut book, A, 70, &[Told::MayRun, never]);
    assert_eq!(book.fault(), None);
    book.read(A, 7);
    assert!(matches!(book.fault(), Some(Fault::NotDoneButSeen { operation: 0, .. })));
    let mut book = Book::default();
    publish(&mut book, A, 70, &[done(7), never]);
    assert_eq!(book.fault(), Some(Fault::PublishedAndGivenUp { operation: 0 }));
    let mut book = Book::default();
    publish(&mut book, A, 70, &[Told::Done(Outcome::PreconditionFailed { found: None }), never]);
    assert_eq!(book.fault(), None, "whoever asks for its end is not told why it is over");
}

#[test]
fn a_version_has_one_length() {
    let read = |book: &mut Book, version, bytes| {
        let seen = Seen { value: None, bytes, version, expires_at_nanos: None };
        book.operation(9, version.into(), Action::Get, &[Told::Done(Outcome::Got(Some(seen)))]);
    };
    let mut book = Book::default();
    publish(&mut book, A, 70, &[done(7)]);
    read(&mut book, 7, 70);
    read(&mut book, 8, 3);
    assert_eq!(book.fault(), None);
    let mut other = Book { history: book.history.clone(), seconds: book.seconds };
    read(&mut other, 8, 4);
    assert!(matches!(other.fault(), Some(Fault::LengthsDisagree { bytes: 3, .. })));
    read(&mut book, 7, 71);
    assert!(matches!(book.fault(), Some(Fault::LengthsDisagree { bytes: 70, .. })));
}
