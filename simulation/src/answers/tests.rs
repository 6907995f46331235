use canopy_types::codec::encode;
use canopy_types::{PutReply, Version};

use super::*;

#[test]
fn replies_are_done_refused_or_unknown() {
    let done: PutResult = Ok(PutReply { version: Version(4) });
    assert_eq!(read_reply(Method::Put, &encode(&done)), Ok(Outcome::Put { version: 4 }));
    let busy: PutResult = Err(PutError::NotReady { retry_after_milliseconds: 1 });
    assert_eq!(read_reply(Method::Put, &encode(&busy)), Ok(Outcome::Refused));
    let unknown: PutResult = Err(PutError::Unknown { reason: String::new() });
    assert_eq!(read_reply(Method::Put, &encode(&unknown)), Ok(Outcome::Unknown));
}

#[test]
fn an_answer_that_blames_legal_arguments_is_impossible() {
    let blamed: PutResult = Err(PutError::KeyEmpty);
    assert!(read_reply(Method::Put, &encode(&blamed)).is_err());
    assert!(read_reply(Method::Get, b"garbage").is_err());
}

#[test]
fn a_trap_after_submission_is_unknown_and_a_stopped_canister_is_not() {
    let trapped = UserError::new(ErrorCode::CanisterCalledTrap, "");
    assert_eq!(read_reject(&trapped, true), Outcome::Unknown);
    assert_eq!(read_reject(&trapped, false), Outcome::Refused);
    assert_eq!(read_reject(&UserError::new(ErrorCode::CanisterStopped, ""), true), Outcome::Refused);
}

#[test]
fn only_code_6_5_and_4_leave_a_forwarded_call_open() {
    let reject = |code| Forwarded::Reject { code, message: String::new() };
    for code in 1..=3 {
        assert_eq!(read_forwarded(Method::Put, &reject(code)), Ok(Outcome::Refused));
    }
    for code in 4..=6 {
        assert_eq!(read_forwarded(Method::Put, &reject(code)), Ok(Outcome::Unknown));
    }
}
