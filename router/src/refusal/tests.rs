use super::*;
use canopy_types::shard::WrongShard;
use canopy_types::{DeleteResult, Epoch, GetResult, HashRange, PutResult, Version, codec};

const SHARD: Principal = Principal::management_canister();

#[test]
fn lost_answer_leaves_a_write_unknown_and_a_read_merely_unanswered() {
    let lost = Failure::Unknown { shard: SHARD, reject_code: 6, reason: "lost".to_string() };
    assert_eq!(PutError::from(lost.clone()), PutError::Unknown { reason: "lost".to_string() });
    assert_eq!(DeleteError::from(lost.clone()), DeleteError::Unknown { reason: "lost".to_string() });
    let unanswered = GetError::ShardUnavailable { shard: SHARD, reject_code: 6, message: "lost".to_string() };
    assert_eq!(GetError::from(lost), unanswered);
}

#[test]
fn shard_that_knows_another_router_is_unavailable() {
    let caller = Principal::anonymous();
    let refusal = from_shard(SHARD, ShardError::Unauthorised { caller });
    assert!(matches!(refusal, Refusal::ShardUnavailable { reject_code: 0, .. }));
}

#[test]
fn range_that_moved_is_busy_for_a_moment() {
    let wrong = WrongShard { range: HashRange::FULL, epoch: Epoch::FIRST, owner: None, moved: None };
    let refusal = from_shard(SHARD, ShardError::WrongShard(wrong));
    assert!(matches!(refusal, Refusal::Busy { reason: BusyReason::RangeMoves, .. }));
}

#[test]
fn a_range_that_is_being_handed_over_is_asked_for_again_and_one_with_too_many_changes_is_not() {
    let moving = |changes| ShardError::Moving { retry_after_milliseconds: 7, changes };
    let busy = Refusal::Busy { retry_after_milliseconds: 7, reason: BusyReason::RangeMoves };
    let closed = heard(SHARD, moving(None));
    assert!(matches!(closed, Failure::Elsewhere { whereabouts: Whereabouts::Moving { .. }, unknown: None, .. }));
    assert_eq!(closed.settled(), Failure::NotDone(busy.clone()));
    assert_eq!(heard(SHARD, moving(Some(70_000))), Failure::NotDone(busy));
}

#[test]
fn every_refusal_of_a_shard_means_something_to_every_caller() {
    let (bytes, bytes_max) = (9, 8);
    let errors = [
        ShardError::KeyEmpty,
        ShardError::KeyTooLong { bytes, bytes_max },
        ShardError::ValueTooLong { bytes, bytes_max },
        ShardError::PreconditionFailed { found: None },
        ShardError::OperationIdLength { bytes, bytes_required: 16 },
        ShardError::OperationTooOld { oldest_nanoseconds: 1 },
        ShardError::OperationFromTheFuture { newest_nanoseconds: 1 },
        ShardError::OperationIdReused,
        ShardError::TooManyOperations { operations_max: 1 },
        ShardError::TimeToLiveOutOfBounds { milliseconds: 1, milliseconds_min: 2, milliseconds_max: 3 },
        ShardError::KeyCollides { keys_max: 1 },
        ShardError::AskAgain { bytes },
        ShardError::TooManyItems { items: 2, items_max: 1 },
        ShardError::Growing { retry_after_milliseconds: 1 },
        ShardError::OutOfSpace,
        ShardError::MalformedArguments { reason: String::new() },
        ShardError::Unauthorised { caller: SHARD },
    ];
    for error in errors {
        let failure = Failure::NotDone(from_shard(SHARD, error.clone()));
        let put = PutError::from(failure.clone());
        // A shard that answers a put as if it were a get has done who knows what.
        assert_eq!(matches!(put, PutError::Unknown { .. }), matches!(error, ShardError::AskAgain { .. }), "{put:?}");
        let (_, _) = (DeleteError::from(failure.clone()), GetError::from(failure));
    }
}

#[test]
fn plainly_written_refusals_read_as_the_errors_that_they_are() {
    let caller = Principal::anonymous();
    let refusals = [
        Refusal::NotReady { retry_after_milliseconds: 5 },
        Refusal::Unauthorised { caller },
        Refusal::KeyEmpty,
        Refusal::PreconditionFailed { found: Some(Version(3)) },
        Refusal::OutOfSpace { shard: SHARD },
        Refusal::ShardUnavailable { shard: SHARD, reject_code: 5, message: "stopped".to_string() },
    ];
    for refusal in refusals {
        let failure = Failure::NotDone(refusal.clone());
        let is_gets = GetError::from_refusal(refusal).is_ok();
        let written = write_plainly(&failure, |_| true).unwrap();
        assert_eq!(codec::decode::<PutResult>(&written), Ok(Err(failure.clone().into())));
        assert_eq!(codec::decode::<DeleteResult>(&written), Ok(Err(failure.clone().into())));
        if is_gets {
            assert_eq!(codec::decode::<GetResult>(&written), Ok(Err(failure.clone().into())));
        }
        assert_eq!(write_plainly(&failure, |_| false), None);
    }
}
