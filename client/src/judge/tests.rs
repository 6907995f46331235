use super::*;
use crate::scripted::shard;
use canopy_types::BusyReason;

const KINDS: [Kind; 7] =
    [Kind::Done, Kind::Receipt, Kind::WrongTime, Kind::Passing, Kind::Elsewhere, Kind::Lasting, Kind::Lost];

#[test]
fn every_row_of_the_table_holds_while_no_attempt_may_be_alive() {
    let verdicts = [
        Verdict::Done,
        Verdict::NotDone,
        Verdict::Reissue,
        Verdict::AgainOrNotDone,
        Verdict::AgainOrNotDone,
        Verdict::NotDone,
        Verdict::AgainOrUnknown,
    ];
    for (kind, verdict) in KINDS.into_iter().zip(verdicts) {
        assert_eq!(judge(kind, false), verdict, "{kind:?}");
    }
}

#[test]
fn every_row_of_the_table_holds_while_an_attempt_may_be_alive() {
    let verdicts = [
        Verdict::Done,
        Verdict::NotDone,
        Verdict::Unknown,
        Verdict::AgainOrUnknown,
        Verdict::AgainOrUnknown,
        Verdict::Unknown,
        Verdict::AgainOrUnknown,
    ];
    for (kind, verdict) in KINDS.into_iter().zip(verdicts) {
        assert_eq!(judge(kind, true), verdict, "{kind:?}");
    }
}

#[test]
fn only_a_receipt_or_success_ends_what_may_be_alive() {
    for kind in KINDS {
        let ends = matches!(judge(kind, true), Verdict::Done | Verdict::NotDone);
        assert_eq!(ends, matches!(kind, Kind::Done | Kind::Receipt), "{kind:?}");
    }
}

fn kind_of(reason: Reason) -> Kind {
    Heard::<()>::Refused(reason).kind()
}

#[test]
fn refusals_are_of_the_kind_that_their_advice_and_their_receipt_make() {
    let busy = Reason::Busy { retry_after_milliseconds: 1, reason: BusyReason::ShardGrows };
    let unavailable = |reject_code| Reason::ShardUnavailable { shard: shard(1), reject_code, message: String::new() };
    assert_eq!(kind_of(busy), Kind::Passing);
    assert_eq!(kind_of(Reason::NotReady { retry_after_milliseconds: 1 }), Kind::Passing);
    assert_eq!(kind_of(unavailable(5)), Kind::Passing);
    assert_eq!(kind_of(unavailable(2)), Kind::Passing);
    assert_eq!(kind_of(unavailable(3)), Kind::Lasting);
    assert_eq!(kind_of(Reason::PreconditionFailed { found: None }), Kind::Receipt);
    assert_eq!(kind_of(Reason::OperationIdReused), Kind::Receipt);
    assert_eq!(kind_of(Reason::OperationTooOld { oldest_nanoseconds: 1 }), Kind::WrongTime);
    assert_eq!(kind_of(Reason::OperationFromTheFuture { newest_nanoseconds: 1 }), Kind::WrongTime);
    assert_eq!(kind_of(Reason::KeyEmpty), Kind::Lasting);
    assert_eq!(kind_of(Reason::OutOfSpace { shard: shard(1) }), Kind::Lasting);
    assert_eq!(kind_of(Reason::Unauthorised { caller: shard(1) }), Kind::Lasting);
    assert_eq!(kind_of(Reason::KeyCollides { keys_max: 32 }), Kind::Lasting);
}

fn rejected(reject_code: u32) -> CallError {
    CallError::Rejected { reject_code, message: "text".to_string() }
}

#[test]
fn every_reject_of_the_router_means_what_the_table_says() {
    for (code, kind) in [
        (1, Kind::Lasting),
        (2, Kind::Passing),
        (3, Kind::Lasting),
        (4, Kind::Lost),
        (5, Kind::Lost),
        (6, Kind::Lost),
        (0, Kind::Lost),
        (7, Kind::Lost),
    ] {
        assert_eq!(Heard::<()>::from_call_error(rejected(code), Place::Router).kind(), kind, "reject {code}");
    }
}

#[test]
fn every_reject_of_a_shard_means_what_the_table_says() {
    for (code, kind) in [
        (1, Kind::Elsewhere),
        (2, Kind::Elsewhere),
        (3, Kind::Elsewhere),
        (4, Kind::Lost),
        (5, Kind::Elsewhere),
        (6, Kind::Lost),
        (0, Kind::Lost),
        (7, Kind::Lost),
    ] {
        assert_eq!(Heard::<()>::from_call_error(rejected(code), Place::Shard(shard(1))).kind(), kind, "reject {code}");
    }
}

#[test]
fn what_was_not_sent_did_not_run() {
    for place in [Place::Router, Place::Shard(shard(1))] {
        for reject_code in 0..=6 {
            let error = CallError::NotSent { reject_code, message: String::new() };
            assert_ne!(Heard::<()>::from_call_error(error, place).kind(), Kind::Lost);
        }
        let unknown = CallError::Unknown { message: String::new() };
        assert_eq!(Heard::<()>::from_call_error(unknown, place).kind(), Kind::Lost);
    }
}
