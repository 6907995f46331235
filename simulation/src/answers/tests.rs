use canopy_types::codec::encode;
use canopy_types::{PutReply, Version};

use super::*;

fn told(method: Method, reply: &PutResult) -> Result<Told, Impossible> {
    read_reply(method, &encode(reply)).map(|answer| answer.told)
}

#[test]
fn replies_are_done_refused_or_unknown() {
    let done: PutResult = Ok(PutReply { version: Version(4) });
    assert_eq!(told(Method::Put, &done), Ok(Told::Done(Outcome::Put { version: 4 })));
    let busy: PutResult = Err(PutError::NotReady { retry_after_milliseconds: 1 });
    assert_eq!(told(Method::Put, &busy), Ok(Told::NotRun(NotRun::Refused)));
    let unknown: PutResult = Err(PutError::Unknown { reason: String::new() });
    assert_eq!(told(Method::Put, &unknown), Ok(Told::MayRun));
}

#[test]
fn a_failed_precondition_is_an_outcome() {
    let failed: PutResult = Err(PutError::PreconditionFailed { found: Some(Version(3)) });
    assert_eq!(told(Method::Put, &failed), Ok(Told::Done(Outcome::PreconditionFailed { found: Some(3) })));
}

#[test]
fn an_answer_that_blames_legal_arguments_is_impossible() {
    assert!(told(Method::Put, &Err(PutError::KeyEmpty)).is_err());
    assert!(read_reply(Method::Get, b"garbage").is_err());
}

#[test]
fn a_trap_after_submission_is_unknown_and_a_stopped_canister_is_not() {
    let trapped = UserError::new(ErrorCode::CanisterCalledTrap, "");
    assert_eq!(read_reject(&trapped, true).told, Told::MayRun);
    assert_eq!(read_reject(&trapped, false).told, Told::NotRun(NotRun::Refused));
    let stopped = UserError::new(ErrorCode::CanisterStopped, "");
    assert_eq!(read_reject(&stopped, true).told, Told::NotRun(NotRun::Refused));
}

#[test]
fn only_code_6_5_and_4_leave_a_forwarded_call_open() {
    let told = |code| {
        let reject = Forwarded::Reject { code, message: String::new() };
        read_forwarded(Method::Put, false, &reject).map(|answer| answer.told)
    };
    for code in 1..=3 {
        assert_eq!(told(code), Ok(Told::NotRun(NotRun::Refused)));
    }
    for code in 4..=6 {
        assert_eq!(told(code), Ok(Told::MayRun));
    }
}

#[test]
fn a_shards_refusals_are_told_apart() {
    let told = |error| {
        let result: ShardPutResult = Err(error);
        read_shard_reply(Method::Put, &encode(&result)).map(|answer| answer.told)
    };
    assert_eq!(told(ShardError::RolesUnknown), Ok(Told::NotRun(NotRun::Refused)));
    assert_eq!(told(ShardError::OperationIdReused), Ok(Told::NotRun(NotRun::IdReused)));
    assert!(told(ShardError::KeyEmpty).is_err());
}
