use super::*;
use ic_cdk::call::{CallPerformFailed, CallRejected, InsufficientLiquidCycleBalance};

const SHARD: Principal = Principal::management_canister();

fn rejected(code: u32, message: &str) -> Failure {
    classify(SHARD, &CallRejected::with_rejection(code, message.to_string()).into())
}

#[test]
fn once_an_attempt_may_be_alive_only_its_outcome_settles_it() {
    let unknown = rejected(6, "lost");
    let reply = Reply { bytes: vec![], unknown: Some(unknown.clone()) };
    assert_eq!(reply.settle(Ok(7)), Ok(7));
    let failed = Failure::NotDone(Refusal::PreconditionFailed { found: None });
    assert_eq!(reply.settle::<()>(Err(failed.clone())), Err(failed), "a precondition's failure has a receipt");
    for refusal in [
        calls_open(1, 1),
        Refusal::OperationTooOld { oldest_nanoseconds: 1 },
        Refusal::OutOfSpace { shard: SHARD },
        Refusal::ShardUnavailable { shard: SHARD, reject_code: 5, message: String::new() },
    ] {
        assert_eq!(reply.settle::<()>(Err(refusal.clone().into())), Err(unknown.clone()));
        let first = Reply { bytes: vec![], unknown: None };
        assert_eq!(first.settle::<()>(Err(refusal.clone().into())), Err(refusal.into()));
    }
}

#[test]
fn what_is_asked_again_elsewhere_stays_unknown_until_its_outcome_is_found() {
    let unknown = rejected(6, "lost");
    let reply = Reply { bytes: vec![], unknown: Some(unknown.clone()) };
    let moving = Whereabouts::Moving { retry_after_milliseconds: 1_000 };
    let elsewhere = |unknown| Failure::Elsewhere { shard: SHARD, whereabouts: moving.clone(), unknown };
    let settled = reply.settle::<()>(Err(elsewhere(None)));
    assert_eq!(settled, Err(elsewhere(Some(Box::new(unknown.clone())))));
    assert_eq!(settled.map_err(Failure::settled), Err(unknown));
    assert_eq!(ask_next(SHARD, &moving), Some(SHARD));
}

#[test]
fn stopped_deleted_and_trapped_shards_have_done_nothing() {
    for (code, message) in [(1, "fatal"), (3, "Canister x not found"), (5, "IC0508: Canister x is stopped")] {
        let unavailable = Refusal::ShardUnavailable { shard: SHARD, reject_code: code, message: message.to_string() };
        assert_eq!(rejected(code, message), Failure::NotDone(unavailable));
    }
}

#[test]
fn full_queue_is_busy_but_a_shard_without_cycles_is_unavailable() {
    assert!(matches!(rejected(2, "Canister x input queue is full"), Failure::NotDone(Refusal::Busy { .. })));
    for message in ["IC0207: Canister x is out of cycles", "x is unable to process query calls because it's frozen."] {
        assert!(matches!(rejected(2, message), Failure::NotDone(Refusal::ShardUnavailable { reject_code: 2, .. })));
    }
}

#[test]
fn lost_answers_uninstallation_and_codes_to_come_are_unknown() {
    for code in [4, 6, 7, 99] {
        assert!(matches!(rejected(code, "?"), Failure::Unknown { reject_code, .. } if reject_code == code));
    }
}

#[test]
fn calls_that_were_not_sent_are_busy() {
    let short = InsufficientLiquidCycleBalance { available: 1, required: 2 };
    assert!(matches!(
        classify(SHARD, &short.into()),
        Failure::NotDone(Refusal::Busy { reason: BusyReason::RouterCycles { .. }, .. })
    ));
    assert!(matches!(
        classify(SHARD, &CallPerformFailed.into()),
        Failure::NotDone(Refusal::Busy { reason: BusyReason::Platform { .. }, .. })
    ));
}

#[test]
fn only_a_call_that_was_given_back_is_sent_again() {
    let given_back =
        |code, message: &str| was_given_back(&CallRejected::with_rejection(code, message.to_string()).into());
    assert!(given_back(2, "queue full"));
    assert!(!given_back(2, "IC0207: Canister x is out of cycles"));
    assert!([1, 3, 4, 5, 6].into_iter().all(|code| !given_back(code, "")));
    assert!(!was_given_back(&CallPerformFailed.into()));
}
