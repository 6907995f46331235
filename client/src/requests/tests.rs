use super::*;
use canopy_types::api::{PutError, PutManyArguments};
use canopy_types::codec::encode;
use canopy_types::{PutArguments, Version};

#[test]
fn one_write_is_asked_for_alone_and_several_together() {
    let one = Message::new([1; 16], 2, vec![Put::new("k", "v").if_absent()]);
    let (method, arguments) = Put::ask(&one);
    let read: PutArguments = decode(&arguments).unwrap();
    assert_eq!((method, read.operation), ("put", Some(one.operation.clone())));
    let two = Message::new([1; 16], 2, vec![Put::new("k", "v"), Put::new("l", "w")]);
    let (method, arguments) = Put::ask(&two);
    let read: PutManyArguments = decode(&arguments).unwrap();
    assert_eq!((method, read.items.len(), read.operation), ("put_many", 2, Some(two.operation)));
    assert_eq!(Delete::ask(&Message::new([1; 16], 2, vec![Delete::new("k")])).0, "delete");
    assert_eq!(Delete::ask(&Message::new([1; 16], 2, vec![Delete::new("k"), Delete::new("l")])).0, "delete_many");
}

#[test]
fn replies_with_too_few_or_many_answers_can_t_be_read() {
    let done = || PutResult::Ok(PutReply { version: Version(1) });
    let reply = encode(&PutManyResult::Ok(vec![done(), done()]));
    assert_eq!(Put::read(&reply, 2).unwrap().len(), 2);
    assert!(Put::read(&reply, 3).is_none());
    assert!(Put::read(b"DIDL", 1).is_none() && Put::read(b"", 2).is_none());
    assert!(Delete::read(b"DIDL", 1).is_none() && Delete::read(b"", 2).is_none());
}

#[test]
fn a_batch_that_was_refused_whole_refuses_each_item() {
    let reply = encode(&PutManyResult::Err(BatchError::NotReady { retry_after_milliseconds: 5 }));
    let refused = Heard::Refused(Reason::NotReady { retry_after_milliseconds: 5 });
    assert_eq!(Put::read(&reply, 2).unwrap(), vec![refused.clone(), refused]);
    let error = BatchError::Item { index: 1, error: PutError::KeyEmpty };
    assert_eq!(batch_reason(error), Reason::Item { index: 1, reason: Box::new(Reason::KeyEmpty) });
    let error: BatchError<PutError> = BatchError::KeyTwice { first: 1, second: 2 };
    assert_eq!(batch_reason(error), Reason::KeyTwice { first: 1, second: 2 });
}

#[test]
fn a_shard_that_answers_something_else_can_t_be_read() {
    let shard = Principal::anonymous();
    let reply = encode(&ShardApplyResult::Ok(vec![Answer::Get(Ok(None))]));
    assert!(read_shard(shard, &reply, 1, Put::take).is_none());
    assert!(read_shard(shard, &reply, 2, Put::take).is_none());
    let reply = encode(&ShardApplyResult::Err(ShardError::Unauthorised { caller: shard }));
    let answers = read_shard(shard, &reply, 2, Put::take).unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, FromShard::Heard(Heard::Elsewhere(_)))));
}

#[test]
fn a_shard_that_has_not_heard_of_a_role_is_left_to_the_router_and_a_rate_limit_is_not() {
    let shard = Principal::anonymous();
    let limited = ShardError::RateLimited {
        retry_after_milliseconds: 7,
        operations_per_minute_max: Some(1),
        bytes_per_minute_max: None,
    };
    let one = |error: ShardError| match from_result::<()>(shard, Err(error)) {
        FromShard::Heard(heard) => heard,
        FromShard::WrongShard(wrong) => panic!("{wrong:?}"),
    };
    let whole = |error: ShardError| match read_shard(shard, &encode(&ShardApplyResult::Err(error)), 1, Put::take) {
        Some(mut answers) => match answers.pop() {
            Some(FromShard::Heard(heard)) => heard.kind(),
            _ => panic!("an answer for each item"),
        },
        None => panic!("it can be read"),
    };
    assert!(matches!(one(ShardError::RolesUnknown), Heard::Elsewhere(_)));
    assert!(matches!(one(limited.clone()), Heard::Refused(Reason::Busy { retry_after_milliseconds: 7, .. })));
    assert_eq!(whole(ShardError::RolesUnknown), crate::judge::Kind::Elsewhere);
    assert_eq!(whole(limited), crate::judge::Kind::Passing);
}
