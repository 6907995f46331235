use super::*;
use canopy_types::codec::encode;
use canopy_types::limits::{MESSAGE_BYTES_MAX, REASON_BYTES_MAX, REQUEST_ITEMS_MAX};
use canopy_types::shard::ShardApplyResult;
use canopy_types::{GetError, GetManyResult, PutError, PutManyResult, PutReply, Record, Version};

const SHARDS: [Principal; 2] = [Principal::from_slice(&[1; 29]), Principal::from_slice(&[2; 29])];

fn part(shard: usize, places: &[u32], reply: Result<Vec<u8>, Failure>) -> Part {
    Part { shard: SHARDS[shard], places: places.to_vec(), reply: reply.map(Reply::to_first_attempt) }
}

fn lost(reason: &str) -> Failure {
    Failure::Unknown { shard: SHARDS[0], reject_code: 6, reason: reason.to_string() }
}

fn puts(parts: &[Part], items: usize) -> Vec<Result<Version, Failure>> {
    let ordinary = |answer: AnswerRef| match answer {
        AnswerRef::Put(version) => Some(Ok(version)),
        AnswerRef::PutRefused(found) => Some(Err(Refusal::PreconditionFailed { found })),
        _ => None,
    };
    let general = |answer| match answer {
        Answer::Put(result) => Some(result.map(|reply: PutReply| reply.version)),
        _ => None,
    };
    collect(parts, items, ordinary, general)
}

fn done(version: u64) -> Answer {
    Answer::Put(Ok(PutReply { version: Version(version) }))
}

#[test]
fn answers_come_back_in_the_order_of_the_items_and_failures_are_those_of_their_part() {
    let refused = Answer::Put(Err(ShardError::Growing { retry_after_milliseconds: 5 }));
    let parts = [
        part(0, &[4, 0], Ok(encode(&ShardApplyResult::Ok(vec![done(14), done(10)])))),
        part(1, &[1, 3], Ok(encode(&ShardApplyResult::Ok(vec![refused, done(13)])))),
        part(0, &[2], Err(lost("lost"))),
    ];
    let results = puts(&parts, 5);
    assert_eq!(results[0], Ok(Version(10)));
    assert!(matches!(results[1], Err(Failure::NotDone(Refusal::Busy { .. }))));
    assert_eq!(results[2], Err(lost("lost")));
    assert_eq!((&results[3], &results[4]), (&Ok(Version(13)), &Ok(Version(14))));
}

#[test]
fn of_an_item_that_was_sent_again_the_last_answer_counts() {
    let moving = Answer::Put(Err(ShardError::Moving { retry_after_milliseconds: 5, changes: None }));
    let parts = [
        part(0, &[1, 0], Ok(encode(&ShardApplyResult::Ok(vec![moving.clone(), done(10)])))),
        part(0, &[1], Ok(encode(&ShardApplyResult::Ok(vec![moving])))),
        part(1, &[1], Ok(encode(&ShardApplyResult::Ok(vec![done(11)])))),
    ];
    assert_eq!(puts(&parts, 2), [Ok(Version(10)), Ok(Version(11))]);
}

#[test]
fn answer_of_another_length_or_kind_leaves_its_whole_part_unknown() {
    let other = Answer::Delete(Ok(canopy_types::DeleteReply { deleted: None }));
    for answers in [vec![], vec![done(1)], vec![done(1), other], vec![done(1), done(2), done(3)]] {
        let parts = [
            part(0, &[0, 1], Ok(encode(&ShardApplyResult::Ok(answers)))),
            part(1, &[2], Ok(encode(&ShardApplyResult::Ok(vec![done(7)])))),
        ];
        let results = puts(&parts, 3);
        assert!(results[..2].iter().all(|result| matches!(result, Err(Failure::Unknown { .. }))), "{results:?}");
        assert_eq!(results[2], Ok(Version(7)));
    }
    let refused = [part(0, &[0], Ok(encode(&ShardApplyResult::Err(ShardError::OutOfSpace))))];
    assert_eq!(puts(&refused, 1), [Err(Failure::NotDone(Refusal::OutOfSpace { shard: SHARDS[0] }))]);
}

#[test]
fn errors_of_the_largest_batch_fit_a_reply() {
    for items in [WHOLE_TEXTS_ITEMS_MAX, WHOLE_TEXTS_ITEMS_MAX + 1, REQUEST_ITEMS_MAX] {
        let text = "ü".repeat(REASON_BYTES_MAX / 2);
        let shard = SHARDS[0];
        let failure = Refusal::ShardUnavailable { shard, reject_code: 5, message: text };
        let mut results: Vec<Result<Version, Failure>> = vec![Err(failure.into()); items];
        shorten(&mut results);
        let results =
            results.into_iter().map(|result| result.map(|version| PutReply { version }).map_err(PutError::from));
        let reply = encode(&PutManyResult::Ok(results.collect()));
        assert!(reply.len() <= MESSAGE_BYTES_MAX, "{items} items: {}", reply.len());
    }
}

#[test]
fn values_that_do_not_fit_are_to_be_asked_for_again_whatever_the_shards_answer() {
    for (values, failures) in
        [(vec![1_048_576; 4], 0), (vec![900_000; 3], 5_000), (vec![300; 9_000], 1_000), (vec![5, 1 << 21, 6], 0)]
    {
        let mut results: Vec<Result<usize, Failure>> = values.iter().map(|&bytes| Ok(bytes)).collect();
        results.extend((0..failures).map(|_| Err(lost(&"x".repeat(REASON_BYTES_MAX)))));
        shorten(&mut results);
        fit(&mut results, |bytes| *bytes);
        let kept: usize = results.iter().flatten().sum();
        assert!(kept > 0);
        let answer = |result: Result<usize, Failure>| match result {
            Ok(bytes) => Ok(Some(Record {
                value: vec![7; bytes].into(),
                version: Version(u64::MAX),
                expires_at_nanoseconds: Some(u64::MAX),
                value_bytes: None,
            })),
            Err(failure) => Err(GetError::from(failure)),
        };
        let again = results.iter().filter(|result| matches!(result, Err(Failure::NotDone(Refusal::AskAgain { .. }))));
        let again = again.count();
        let answers: Vec<_> = results.into_iter().map(answer).collect();
        let reply = encode(&GetManyResult::Ok(answers));
        assert!(reply.len() <= MESSAGE_BYTES_MAX, "{}", reply.len());
        // What was left out had no room.
        let left_out = values.iter().sum::<usize>() - kept;
        assert!(left_out == 0 || (again > 0 && reply.len() + values.iter().max().unwrap() > REPLY_BYTES_MAX / 2));
    }
}
