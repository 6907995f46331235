use super::*;
use canopy_types::shard::WrongShard;
use canopy_types::{DeleteResult, Epoch, GetResult, HashRange, PutResult, codec};

const SHARD: Principal = Principal::management_canister();

#[test]
fn lost_answer_leaves_a_write_unknown_and_a_read_merely_unanswered() {
    let lost = Refusal::Unknown { shard: SHARD, reject_code: 6, reason: "lost".to_string() };
    assert_eq!(PutError::from(lost.clone()), PutError::Unknown { reason: "lost".to_string() });
    assert_eq!(DeleteError::from(lost.clone()), DeleteError::Unknown { reason: "lost".to_string() });
    let unanswered = GetError::ShardUnavailable { shard: SHARD, reject_code: 6, message: "lost".to_string() };
    assert_eq!(GetError::from(lost), unanswered);
}

#[test]
fn shard_that_knows_another_router_is_unavailable() {
    let caller = Principal::anonymous();
    let refusal = Refusal::from_shard(SHARD, ShardError::Unauthorised { caller });
    assert!(matches!(refusal, Refusal::ShardUnavailable { reject_code: 0, .. }));
}

#[test]
fn range_that_moved_is_busy_for_a_moment() {
    let wrong = WrongShard { range: HashRange::FULL, epoch: Epoch::FIRST, owner: None };
    let refusal = Refusal::from_shard(SHARD, ShardError::WrongShard(wrong));
    assert!(matches!(refusal, Refusal::Busy { reason: BusyReason::RangeMoves, .. }));
}

#[test]
fn limits_are_told_with_the_numbers() {
    let error = PutError::from(Refusal::ValueTooLong { bytes: 2_000_000 });
    assert_eq!(error, PutError::ValueTooLong { bytes: 2_000_000, bytes_max: 1_048_576 });
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
        let written = write_plainly(&refusal, Method::Write).unwrap();
        assert_eq!(codec::decode::<PutResult>(&written), Ok(Err(refusal.clone().into())));
        assert_eq!(codec::decode::<DeleteResult>(&written), Ok(Err(refusal.clone().into())));
        if let Some(written) = write_plainly(&refusal, Method::Read) {
            assert_eq!(codec::decode::<GetResult>(&written), Ok(Err(refusal.into())));
        }
    }
}
