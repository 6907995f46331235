use super::*;
use canopy_types::codec::encode;
use canopy_types::shard::{ShardApplyResult, ShardError};
use canopy_types::wire::{ActionRef, GetRef, ItemRef, OperationRef, PutRef};
use canopy_types::{PutReply, Record, Version};

use crate::calls::{Effect, Reply};
use crate::operations::APPLY;

const SHARD: Principal = Principal::from_slice(&[1; 29]);
const PLACES: [u32; 3] = [7, 2, 5];
const MOVING: ShardError = ShardError::Moving { retry_after_milliseconds: 1_000, changes: None };

fn part() -> PartOfBatch {
    PartOfBatch { shard: SHARD, places: PLACES.to_vec() }
}

/// Three puts under one operation.
fn puts(value: &[u8], answers: ShardApplyResult) -> Answered {
    let put = PutRef { key: b"key", value, precondition: None, time_to_live_milliseconds: None, operation: None };
    let items = PLACES.iter().map(|&index| ItemRef { index, action: ActionRef::Put(put) }).collect();
    let operation = Some(OperationRef { id: &[3; 16], issued_at_nanoseconds: 4 });
    let batch = ApplyRef { caller: &[9; 29], operation, reply_bytes_max: None, items };
    let request = Request { shard: SHARD, method: APPLY, arguments: batch.write(), effect: Effect::NamedWrite };
    Answered { request, answer: Ok(Reply::to_first_attempt(encode(&answers))) }
}

fn done() -> Answer {
    Answer::Put(Ok(PutReply { version: Version(1) }))
}

fn refused(error: ShardError) -> Answer {
    Answer::Put(Err(error))
}

#[test]
fn only_items_that_meet_a_closed_range_are_sent_again_in_their_places_under_their_name() {
    let answered = puts(b"value", Ok(vec![refused(MOVING), done(), refused(MOVING)]));
    let [(part, attempts)] = &sent_again(&part(), &answered)[..] else { panic!("one shard is asked again") };
    assert_eq!(part, &PartOfBatch { shard: SHARD, places: vec![7, 5] });
    let before = ApplyRef::read(&answered.request.arguments).expect("the router writes what it reads");
    let again = ApplyRef::read(&attempts.request.arguments).expect("the router writes what it reads");
    assert_eq!((again.caller, again.operation), (before.caller, before.operation));
    assert_eq!(again.items, [before.items[0], before.items[2]]);
    assert_eq!((attempts.request.shard, attempts.request.method), (SHARD, APPLY));
    assert_eq!((attempts.request.effect, &attempts.unknown), (Effect::NamedWrite, &None));
}

#[test]
fn what_is_done_refused_otherwise_or_not_understood_is_not_sent_again() {
    let growing = ShardError::Growing { retry_after_milliseconds: 5 };
    // More of them is what a shard that holds writes back has no use for.
    let held_back = ShardError::Moving { retry_after_milliseconds: 1_000, changes: Some(70_000) };
    let whole = Ok(vec![done(), refused(growing), refused(held_back)]);
    let short = Ok(vec![refused(MOVING), refused(MOVING)]);
    for answers in [whole, short, Err(MOVING), Ok(vec![done(); 3])] {
        assert!(sent_again(&part(), &puts(b"value", answers.clone())).is_empty(), "{answers:?}");
    }
    let lost = Failure::Unknown { shard: SHARD, reject_code: 6, reason: "lost".to_string() };
    let answered = Answered { answer: Err(lost), ..puts(b"value", Ok(vec![])) };
    assert!(sent_again(&part(), &answered).is_empty());
}

#[test]
fn what_is_too_long_to_be_kept_is_not_sent_again() {
    let long = vec![5; 30_000];
    let answers = Ok(vec![refused(MOVING), done(), refused(MOVING)]);
    assert!(sent_again(&part(), &puts(&long, answers)).is_empty());
}

#[test]
fn what_is_unknown_of_an_earlier_attempt_goes_along() {
    let lost = Failure::Unknown { shard: SHARD, reject_code: 6, reason: "lost".to_string() };
    let answered = puts(b"value", Ok(vec![refused(MOVING), done(), done()]));
    let reply = answered.answer.expect("answered").after(lost.clone());
    let answered = Answered { request: answered.request, answer: Ok(reply) };
    let [(_, attempts)] = &sent_again(&part(), &answered)[..] else { panic!("one shard is asked again") };
    assert_eq!(attempts.unknown, Some(lost));
}

#[test]
fn gets_that_are_sent_again_share_what_the_first_answer_left() {
    let get = GetRef { key: b"key", include_value: Some(true) };
    let items = PLACES.iter().map(|&index| ItemRef { index, action: ActionRef::Get(get) }).collect();
    let batch = ApplyRef { caller: &[9; 29], operation: None, reply_bytes_max: Some(10_000), items };
    let request = Request { shard: SHARD, method: APPLY, arguments: batch.write(), effect: Effect::Read };
    let found = |bytes| {
        let value = vec![6; bytes].into();
        Record { value, version: Version(1), expires_at_nanoseconds: None, value_bytes: None }
    };
    for (value_bytes, least) in [(9_000, 0), (9_990, ANSWER_BYTES_MAX as u64)] {
        let answers =
            Ok(vec![Answer::Get(Ok(Some(found(value_bytes)))), Answer::Get(Err(MOVING)), Answer::Get(Ok(None))]);
        let reply = encode::<ShardApplyResult>(&answers);
        let left = 10_000_u64.saturating_sub(reply.len() as u64).max(least);
        let request = Request { arguments: request.arguments.clone(), ..request };
        let answered = Answered { request, answer: Ok(Reply::to_first_attempt(reply)) };
        let [(part, attempts)] = &sent_again(&part(), &answered)[..] else { panic!("one shard is asked again") };
        let again = ApplyRef::read(&attempts.request.arguments).expect("the router writes what it reads");
        assert_eq!((&part.places[..], again.reply_bytes_max), (&[2][..], Some(left)));
    }
}
