use super::*;
use crate::scripted::{Asked, Scripted, client, router, run};
use canopy_types::api::GetManyArguments;
use canopy_types::{BusyReason, GetArguments, GetError, Version};
use serde_bytes::ByteBuf;

fn record(value: &[u8]) -> Record {
    Record { value: ByteBuf::from(value), version: Version(1), expires_at_nanoseconds: None, value_bytes: None }
}

fn found(value: &[u8]) -> GetResult {
    Ok(Some(record(value)))
}

#[test]
fn a_get_is_an_update_and_get_query_is_not() {
    let client = client(Scripted::default());
    client.transport.reply(&found(b"v")).reply(&found(b"v")).reply(&GetResult::Ok(None));
    assert_eq!(run(client.get("k")).expect("answered"), Some(record(b"v")));
    assert_eq!(run(client.get_query("k")).expect("answered"), Some(record(b"v")));
    assert_eq!(run(client.get_without_value("k")).expect("answered"), None);
    let asked = client.transport.asked();
    let calls: Vec<_> = asked.iter().map(|asked| (asked.method.as_str(), asked.is_query)).collect();
    assert_eq!(calls, [("get", false), ("get_query", true), ("get", false)]);
    assert_eq!(asked[2].read::<GetArguments>().include_value, Some(false));
}

#[test]
fn a_canister_which_can_t_query_gets() {
    let client = client(Scripted::of_canister());
    client.transport.reply(&found(b"v"));
    run(client.get_query("k")).expect("answered");
    assert_eq!(client.transport.asked()[0].method, "get");
}

#[test]
fn reads_are_tried_again_whatever_passes() {
    let client = client(Scripted::default());
    let unavailable = |reject_code| GetError::ShardUnavailable { shard: router(), reject_code, message: String::new() };
    client.transport.lose().reject(2).reject(4).reject(5).reject(6).then(Ok(b"no Candid".to_vec()));
    client.transport.reply(&GetResult::Err(unavailable(6))).reply(&GetResult::Ok(None));
    assert_eq!(run(client.get("k")).expect("answered"), None);
}

#[test]
fn reads_end_at_once_where_nothing_will_change() {
    let client = client(Scripted::default());
    client.transport.reply(&GetResult::Err(GetError::Unauthorised { caller: router() })).reject(3);
    let unauthorised = run(client.get("k")).expect_err("refused");
    assert_eq!(unauthorised.reason, Reason::Unauthorised { caller: router() });
    assert!(matches!(run(client.get("k")).expect_err("gone").reason, Reason::Rejected { reject_code: 3, .. }));
    assert_eq!(run(client.get("")).expect_err("no key").reason, Reason::KeyEmpty);
    assert_eq!(client.transport.asked().len(), 2);
}

#[test]
fn a_canister_asks_once_for_a_lost_answer_and_tells_what_is_busy() {
    let client = client(Scripted::of_canister());
    client.transport.lose().reply(&GetResult::Ok(None));
    assert_eq!(run(client.get("k")).expect("answered"), None);
    let busy = GetError::Busy { retry_after_milliseconds: 9, reason: BusyReason::RangeMoves };
    client.transport.reply(&GetResult::Err(busy));
    assert_eq!(run(client.get("k")).expect_err("busy").advice(), Advice::TryAgain { after_milliseconds: 9 });
    client.transport.lose().lose();
    assert!(matches!(run(client.get("k")).expect_err("lost").reason, Reason::NoAnswer { .. }));
}

fn keys(asked: &Asked) -> Vec<Vec<u8>> {
    asked.read::<GetManyArguments>().keys.into_iter().map(ByteBuf::into_vec).collect()
}

#[test]
fn many_are_answered_in_their_order() {
    let client = client(Scripted::default());
    let refused = GetError::ShardUnavailable { shard: router(), reject_code: 3, message: String::new() };
    client.transport.reply(&GetManyResult::Ok(vec![found(b"1"), Ok(None), Err(refused)]));
    let answers = run(client.get_many(&["a", "b", "c"])).expect("accepted");
    assert_eq!(answers[0], Ok(Some(record(b"1"))));
    assert_eq!(answers[1], Ok(None));
    assert!(matches!(answers[2].as_ref().expect_err("gone").reason, Reason::ShardUnavailable { .. }));
}

#[test]
fn only_open_keys_are_asked_for_again() {
    let client = client(Scripted::default());
    let busy = || Err(GetError::Busy { retry_after_milliseconds: 9, reason: BusyReason::RangeMoves });
    client.transport.reply(&GetManyResult::Ok(vec![busy(), found(b"2"), busy()]));
    client.transport.reply(&GetManyResult::Ok(vec![found(b"1"), found(b"3")]));
    let answers = run(client.get_many(&["a", "b", "c"])).expect("accepted");
    let values: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap().value.into_vec()).collect();
    assert_eq!(values, [b"1", b"2", b"3"]);
    assert_eq!(keys(&client.transport.asked()[1]), [b"a", b"c"]);
}

#[test]
fn what_doesn_t_fit_a_reply_is_asked_for_in_groups_that_fit_and_then_alone() {
    let client = client(Scripted::default());
    let again = |bytes| Err(GetError::AskAgain { bytes });
    client.transport.reply(&GetManyResult::Ok(vec![found(b"1"), again(600_000), again(500_000), again(10), again(5)]));
    // The second is alone because it and the third are too long together.
    client.transport.reply(&found(b"2"));
    client.transport.reply(&GetManyResult::Ok(vec![found(b"3"), found(b"4"), again(5)]));
    client.transport.reply(&found(b"5"));
    let answers = run(client.get_many(&["a", "b", "c", "d", "e"])).expect("accepted");
    let values: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap().value.into_vec()).collect();
    assert_eq!(values, [b"1", b"2", b"3", b"4", b"5"]);
    let asked = client.transport.asked();
    assert_eq!(keys(&asked[2]), [b"c", b"d", b"e"]);
    assert_eq!(asked.len(), 4);
}

#[test]
fn a_value_that_never_fits_ends_with_that() {
    let client = client(Scripted::default());
    let again = || GetResult::Err(GetError::AskAgain { bytes: 7 });
    client.transport.reply(&GetManyResult::Ok(vec![again(), found(b"2")])).reply(&again()).reply(&again());
    let answers = run(client.get_many(&["a", "b"])).expect("accepted");
    assert_eq!(answers[0].as_ref().expect_err("never").reason, Reason::AskAgain { bytes: 7 });
    assert!(answers[1].is_ok());
}

#[test]
fn keys_of_wrong_length_or_twice_refuse_the_whole() {
    let client = client(Scripted::default());
    let reason = run(client.get_many(&["a", ""])).expect_err("refused").reason;
    assert_eq!(reason, Reason::Item { index: 1, reason: Box::new(Reason::KeyEmpty) });
    let reason = run(client.get_many(&["a", "b", "a"])).expect_err("refused").reason;
    assert_eq!(reason, Reason::KeyTwice { first: 0, second: 2 });
    assert!(run(client.get_many::<&str>(&[])).expect("nothing to do").is_empty());
    assert_eq!(client.transport.asked(), vec![]);
}

#[test]
fn a_reply_with_too_few_answers_is_no_answer() {
    let client = client(Scripted::default());
    client.transport.reply(&GetManyResult::Ok(vec![found(b"1")]));
    client.transport.reply(&GetManyResult::Ok(vec![found(b"1"), found(b"2")]));
    let answers = run(client.get_many(&["a", "b"])).expect("accepted");
    assert!(answers.iter().all(Result::is_ok));
}
