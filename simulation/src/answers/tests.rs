use canopy_types::codec::encode;
use canopy_types::{BatchError, PutReply, Version};

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
        delivered(reject).expect_err("a reject is no reply").told
    };
    for code in 1..=3 {
        assert_eq!(told(code), Told::NotRun(NotRun::Refused));
    }
    for code in 4..=6 {
        assert_eq!(told(code), Told::MayRun);
    }
}

#[test]
fn a_value_longer_than_a_record_is_told_by_its_length() {
    let get: GetResult = Err(GetError::AskAgain { bytes: 9 });
    let told = Told::Done(Outcome::GotLarge { bytes: 9 });
    assert_eq!(read_reply(Method::Get, &encode(&get)).map(|answer| answer.told), Ok(told));
    let get: ShardGetResult = Err(ShardError::AskAgain { bytes: 9 });
    assert_eq!(read_shard_reply(Method::Get, &encode(&get)).map(|answer| answer.told), Ok(told));
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

/// What a batch of so many puts was told, item by item.
fn heard(items: usize, result: PutManyResult) -> Result<Vec<Told>, Impossible> {
    hear(Method::PutMany, false, items, &encode(&result)).map(|heard| match heard {
        Heard::All(answer) => vec![answer.told; items],
        Heard::Each(answers) => answers.iter().map(|answer| answer.told).collect(),
        Heard::Page(page) => panic!("{page:?}"),
    })
}

#[test]
fn every_item_of_a_batch_has_an_answer_of_its_own() {
    let done = PutReply { version: Version(4) };
    let unknown = PutError::Unknown { reason: String::new() };
    let expected = vec![Told::Done(Outcome::Put { version: 4 }), Told::MayRun];
    assert_eq!(heard(2, Ok(vec![Ok(done.clone()), Err(unknown)])), Ok(expected));
    assert!(heard(2, Ok(vec![Ok(done)])).is_err(), "one answer is missing");
}

#[test]
fn a_batch_is_refused_for_one_item_only_if_that_is_out_of_reach() {
    let unauthorised = PutError::Unauthorised { caller: candid::Principal::anonymous() };
    let refused = |index, error| heard(2, Err(BatchError::Item { index, error }));
    let expected = vec![Told::NotRun(NotRun::Refused), Told::NotRun(NotRun::Unauthorised)];
    assert_eq!(refused(1, unauthorised.clone()), Ok(expected));
    assert!(refused(2, unauthorised).is_err(), "there are two items");
    assert!(refused(1, PutError::KeyEmpty).is_err());
    assert!(heard(2, Err(BatchError::KeyTwice { first: 0, second: 1 })).is_err());
}

#[test]
fn what_moved_to_another_shard_is_refused_alone_and_in_batches() {
    let wrong = || {
        let range = canopy_types::HashRange::FULL;
        ShardError::WrongShard(canopy_types::shard::WrongShard {
            range,
            epoch: canopy_types::Epoch(1),
            owner: None,
            moved: None,
        })
    };
    let batch: ShardApplyResult = Ok(vec![canopy_types::shard::Answer::Put(Err(wrong()))]);
    let refused = Answer::refused(Happening::WrongShard);
    assert_eq!(hear(Method::PutMany, true, 1, &encode(&batch)), Ok(Heard::Each(vec![refused])));
    let alone: ShardPutResult = Err(wrong());
    assert_eq!(hear(Method::Put, true, 1, &encode(&alone)), Ok(Heard::All(refused)));
}

#[test]
fn a_shard_that_refuses_a_batch_does_not_say_which_item_it_was() {
    let refused: ShardApplyResult = Err(ShardError::Unauthorised { caller: candid::Principal::anonymous() });
    let told = |items| match hear(Method::PutMany, true, items, &encode(&refused)) {
        Ok(Heard::All(answer)) => answer.told,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(1), Told::NotRun(NotRun::Unauthorised));
    assert_eq!(told(2), Told::NotRun(NotRun::OneUnauthorised));
}
