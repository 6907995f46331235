use super::*;
use crate::retry::{ATTEMPTS_MAX, RetryPolicy};
use crate::scripted::{Asked, NANOSECONDS_PER_MILLISECOND, START_NANOSECONDS, Scripted, client, router, run, shard};
use crate::write::{Delete, Put};
use canopy_types::api::{PutManyArguments, PutManyResult};
use canopy_types::codec::encode;
use canopy_types::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use canopy_types::{BusyReason, DeleteReply, DeleteResult, PutArguments, PutError, PutReply, PutResult, Version};

const SECOND: u64 = 1_000_000_000;

fn done(version: u64) -> PutResult {
    Ok(PutReply { version: Version(version) })
}

fn busy(retry_after_milliseconds: u64) -> PutResult {
    Err(PutError::Busy { retry_after_milliseconds, reason: BusyReason::ShardGrows })
}

fn put() -> Put {
    Put::new("key", "value")
}

fn operations(asked: &[Asked]) -> Vec<canopy_types::Operation> {
    asked.iter().map(|asked| asked.read::<PutArguments>().operation.expect("always sent")).collect()
}

fn expect_unknown<D: std::fmt::Debug, W: Write>(result: Result<D, WriteError<W>>) -> Unknown<W> {
    match result {
        Err(WriteError::Unknown(unknown)) => unknown,
        other => panic!("{other:?}"),
    }
}

fn expect_not_done<D: std::fmt::Debug, W: Write>(result: Result<D, WriteError<W>>) -> Reason {
    match result {
        Err(WriteError::NotDone(not_done)) => not_done.reason,
        other => panic!("{other:?}"),
    }
}

/// Makes a client that never tries again by itself.
fn single_attempt() -> Client<Scripted> {
    client(Scripted::default()).with_retry_policy(RetryPolicy { attempts_max: 1, ..RetryPolicy::default() })
}

#[test]
fn a_put_goes_to_the_router_with_an_operation() {
    let client = client(Scripted::default());
    client.transport.reply(&done(7));
    let reply = run(client.put(put().if_absent().time_to_live_milliseconds(5_000))).expect("done");
    assert_eq!(reply.version, Version(7));
    let asked = client.transport.asked();
    assert_eq!((asked.len(), asked[0].canister, asked[0].method.as_str()), (1, router(), "put"));
    let arguments: PutArguments = asked[0].read();
    assert_eq!(arguments.time_to_live_milliseconds, Some(5_000));
    let operation = arguments.operation.expect("always sent");
    assert_eq!((operation.id.len(), operation.issued_at_nanoseconds), (16, START_NANOSECONDS));
}

#[test]
fn a_delete_tells_what_it_removed() {
    let client = client(Scripted::default());
    let deleted = Some(Version(3));
    client.transport.reply(&DeleteResult::Ok(DeleteReply { deleted }));
    assert_eq!(run(client.delete(Delete::new("key"))).expect("done").deleted, deleted);
}

#[test]
fn busy_is_tried_again_after_at_least_the_time_that_was_asked_for_as_the_same_operation() {
    let client = client(Scripted::default());
    client.transport.reply(&busy(3_000)).reply(&PutResult::Err(PutError::NotReady { retry_after_milliseconds: 2_000 }));
    client.transport.reply(&done(1));
    run(client.put(put())).expect("done");
    let asked = client.transport.asked();
    let gap = |at: usize| (asked[at].at_nanoseconds - asked[at - 1].at_nanoseconds) / NANOSECONDS_PER_MILLISECOND;
    assert!(gap(1) >= 3_000 && gap(2) >= 2_000);
    assert_eq!(asked[0].arguments, asked[1].arguments);
    assert_eq!(asked[0].arguments, asked[2].arguments);
}

#[test]
fn attempts_are_bounded_and_then_it_is_not_done() {
    let client = client(Scripted::default());
    for _ in 0..ATTEMPTS_MAX {
        client.transport.reply(&busy(1));
    }
    let reason = expect_not_done(run(client.put(put())));
    assert_eq!(reason, Reason::Busy { retry_after_milliseconds: 1, reason: BusyReason::ShardGrows });
    assert_eq!(client.transport.asked().len(), ATTEMPTS_MAX as usize);
}

#[test]
fn a_wait_beyond_the_time_for_all_attempts_is_left_to_the_application() {
    let client = client(Scripted::default());
    client.transport.reply(&busy(600_000));
    let reason = expect_not_done(run(client.put(put())));
    assert_eq!(reason.advice(), Advice::TryAgain { after_milliseconds: 600_000 });
    assert_eq!(client.transport.asked().len(), 1);
}

#[test]
fn a_lost_answer_is_asked_for_by_the_same_operation() {
    let client = client(Scripted::default());
    client.transport.lose().reject(5).reject(4).reject(6).then(Ok(b"no Candid".to_vec()));
    client.transport.reply(&PutResult::Err(PutError::Unknown { reason: "lost".to_string() })).reply(&done(5));
    assert_eq!(run(client.put(put())).expect("done").version, Version(5));
    let operations = operations(&client.transport.asked());
    assert_eq!(operations.len(), 7);
    assert!(operations.iter().all(|operation| *operation == operations[0]));
}

#[test]
fn after_a_lost_answer_no_refusal_without_receipt_says_that_it_is_not_done() {
    let unavailable = PutError::ShardUnavailable { shard: shard(1), reject_code: 5, message: String::new() };
    let refusals = [
        busy(1),
        Err(PutError::NotReady { retry_after_milliseconds: 1 }),
        Err(unavailable),
        Err(PutError::OutOfSpace { shard: shard(1) }),
        Err(PutError::Unauthorised { caller: shard(1) }),
        Err(PutError::KeyCollides { keys_max: 32 }),
        Err(PutError::MalformedArguments { reason: String::new() }),
        Err(PutError::OperationFromTheFuture { newest_nanoseconds: 1 }),
        Err(PutError::OperationTooOld { oldest_nanoseconds: u64::MAX }),
        Err(PutError::Unknown { reason: String::new() }),
    ];
    for refusal in refusals {
        let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
        let client = client(Scripted::default()).with_retry_policy(policy);
        client.transport.lose().reply(&refusal);
        let unknown = expect_unknown(run(client.put(put())));
        assert_eq!(unknown.write(), &put(), "{refusal:?}");
        assert_eq!(unknown.issued_at_nanoseconds(), START_NANOSECONDS);
    }
    for reject_code in 1..=6 {
        let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
        let client = client(Scripted::default()).with_retry_policy(policy);
        client.transport.lose().reject(reject_code);
        drop(expect_unknown(run(client.put(put()))));
    }
}

#[test]
fn a_receipt_settles_what_was_lost() {
    let client = client(Scripted::default());
    let found = Some(Version(9));
    client.transport.lose().reply(&PutResult::Err(PutError::PreconditionFailed { found }));
    assert_eq!(expect_not_done(run(client.put(put().if_absent()))), Reason::PreconditionFailed { found });
}

#[test]
fn lasting_refusals_end_at_once() {
    let client = client(Scripted::default());
    client.transport.reply(&PutResult::Err(PutError::OutOfSpace { shard: shard(2) }));
    assert_eq!(expect_not_done(run(client.put(put()))), Reason::OutOfSpace { shard: shard(2) });
    client.transport.reject(3);
    assert!(matches!(expect_not_done(run(client.put(put()))), Reason::Rejected { reject_code: 3, .. }));
    assert_eq!(client.transport.asked().len(), 2);
}

#[test]
fn what_can_t_be_accepted_isn_t_sent() {
    let client = client(Scripted::default());
    assert_eq!(expect_not_done(run(client.put(Put::new("", "v")))), Reason::KeyEmpty);
    let (bytes, bytes_max) = (VALUE_BYTES_MAX as u64 + 1, VALUE_BYTES_MAX as u64);
    let batch = run(client.put_many(vec![Put::new("k", vec![0; VALUE_BYTES_MAX + 1])]));
    let too_long = Box::new(Reason::ValueTooLong { bytes, bytes_max });
    assert_eq!(batch.expect_err("refused whole").reason, Reason::Item { index: 0, reason: too_long });
    let (bytes, bytes_max) = (KEY_BYTES_MAX as u64 + 1, KEY_BYTES_MAX as u64);
    let long = vec![0; KEY_BYTES_MAX + 1];
    let too_long = Reason::KeyTooLong { bytes, bytes_max };
    assert_eq!(expect_not_done(run(client.delete(Delete::new(long.clone())))), too_long);
    let batch = run(client.put_many(vec![put(), Put::new(long, "v")]));
    let reason = batch.expect_err("refused whole").reason;
    assert_eq!(reason, Reason::Item { index: 1, reason: Box::new(too_long) });
    let batch = run(client.put_many(vec![put(), Put::new("l", "v"), put()]));
    assert_eq!(batch.expect_err("refused whole").reason, Reason::KeyTwice { first: 0, second: 2 });
    assert!(run(client.put_many(vec![])).expect("nothing to do").is_empty());
    assert_eq!(client.transport.asked(), vec![]);
}

#[test]
fn a_wrong_clock_is_set_right_and_the_write_issued_anew() {
    let service = START_NANOSECONDS + 7_200 * SECOND;
    let too_old = PutError::OperationTooOld { oldest_nanoseconds: service - 900 * SECOND };
    let ahead = PutError::OperationFromTheFuture { newest_nanoseconds: service + 60 * SECOND };
    for refusal in [too_old, ahead] {
        let client = client(Scripted::default());
        client.transport.reply(&PutResult::Err(refusal)).reply(&done(1)).reply(&done(2));
        run(client.put(put())).expect("done");
        run(client.put(put())).expect("done");
        let operations = operations(&client.transport.asked());
        assert_eq!(operations[0].issued_at_nanoseconds, START_NANOSECONDS);
        assert_eq!(operations[1].issued_at_nanoseconds, service);
        assert_eq!(operations[2].issued_at_nanoseconds, service);
        assert_ne!(operations[0].id, operations[1].id);
    }
}

#[test]
fn a_clock_that_can_t_be_set_right_is_told() {
    let client = client(Scripted::default());
    let refusal = PutError::OperationTooOld { oldest_nanoseconds: 1 };
    client.transport.reply(&PutResult::Err(refusal.clone())).reply(&PutResult::Err(refusal));
    assert_eq!(expect_not_done(run(client.put(put()))), Reason::OperationTooOld { oldest_nanoseconds: 1 });
    assert_eq!(client.transport.asked().len(), 2);
}

#[test]
fn settling_sends_the_same_operation_again() {
    let client = single_attempt();
    client.transport.lose();
    let unknown = expect_unknown(run(client.put(put())));
    client.transport.lose();
    let unknown = match run(client.settle(unknown)) {
        Err(SettleError::Unknown(unknown)) => unknown,
        other => panic!("{other:?}"),
    };
    client.transport.pass(14 * 60 * 1_000);
    client.transport.reply(&done(8));
    assert_eq!(run(client.settle(unknown)).expect("done").version, Version(8));
    let asked = client.transport.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|call| call.arguments == asked[0].arguments));
}

#[test]
fn settling_can_find_that_it_never_will_be_done() {
    let client = single_attempt();
    client.transport.lose().reply(&PutResult::Err(PutError::PreconditionFailed { found: None }));
    let unknown = expect_unknown(run(client.put(put().if_present())));
    match run(client.settle(unknown)) {
        Err(SettleError::NotDone(not_done)) => {
            assert_eq!(not_done.reason, Reason::PreconditionFailed { found: None });
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn settling_a_write_from_too_long_ago_sends_nothing() {
    let client = single_attempt();
    client.transport.lose();
    let unknown = expect_unknown(run(client.put(put())));
    client.transport.pass(16 * 60 * 1_000);
    match run(client.settle(unknown)) {
        Err(SettleError::TooLate(late)) => assert_eq!(late.write, put()),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.transport.asked().len(), 1);
}

#[test]
fn a_service_that_doesn_t_remember_ends_the_settling() {
    let client = single_attempt();
    client.transport.lose();
    let unknown = expect_unknown(run(client.put(put())));
    let forgotten = PutResult::Err(PutError::OperationTooOld { oldest_nanoseconds: START_NANOSECONDS });
    client.transport.reply(&forgotten);
    match run(client.settle(unknown)) {
        Err(SettleError::TooLate(late)) => assert_eq!(late.write, put()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_canister_doesn_t_wait_but_asks_once_for_what_was_lost() {
    let client = client(Scripted::of_canister());
    client.transport.reply(&busy(500));
    assert!(matches!(expect_not_done(run(client.put(put()))), Reason::Busy { .. }));
    client.transport.lose().reply(&done(4));
    assert_eq!(run(client.put(put())).expect("done").version, Version(4));
    client.transport.lose().lose();
    drop(expect_unknown(run(client.put(put()))));
    client.transport.lose().reply(&busy(500));
    drop(expect_unknown(run(client.put(put()))));
    assert_eq!(client.transport.asked().len(), 7);
}

// Batches ------------------------------------------------------------------------------------------------------------

fn puts(count: usize) -> Vec<Put> {
    (0..count).map(|number| Put::new(format!("key {number}"), "value")).collect()
}

/// Refuses what stands in for writes that need not be sent again, as a shard would, and does the others.
fn answer_really(asked: &Asked) -> PutManyResult {
    let arguments: PutManyArguments = asked.read();
    let answer = |put: &canopy_types::PutItem| match put.precondition {
        Some(_) => Err(PutError::OperationIdReused),
        None => done(100),
    };
    Ok(arguments.items.iter().map(answer).collect())
}

#[test]
fn a_batch_gives_each_item_its_own_result() {
    let client = client(Scripted::default());
    let refused = PutResult::Err(PutError::PreconditionFailed { found: None });
    client.transport.reply(&PutManyResult::Ok(vec![done(1), refused, done(3)]));
    let mut results = run(client.put_many(puts(3))).expect("accepted");
    assert_eq!(results.pop().unwrap().expect("done").version, Version(3));
    assert_eq!(expect_not_done(results.pop().unwrap()), Reason::PreconditionFailed { found: None });
    assert_eq!(results.pop().unwrap().expect("done").version, Version(1));
}

#[test]
fn only_what_was_refused_for_the_moment_is_sent_again() {
    let client = client(Scripted::default());
    client.transport.reply(&PutManyResult::Ok(vec![done(1), busy(5), done(3), busy(5)]));
    client.transport.then_by(|asked| Ok(encode(&answer_really(asked))));
    let results = run(client.put_many(puts(4))).expect("accepted");
    assert!(results.iter().all(Result::is_ok));
    let asked = client.transport.asked();
    let (first, second): (PutManyArguments, PutManyArguments) = (asked[0].read(), asked[1].read());
    assert_eq!(second.items, [first.items[1].clone(), first.items[3].clone()]);
    assert_ne!(first.operation, second.operation, "places name the writes of an operation, and these have changed");
}

#[test]
fn while_an_item_may_be_alive_its_place_is_kept_and_nothing_else_is_done_again() {
    let client = client(Scripted::default());
    let lost = || PutResult::Err(PutError::Unknown { reason: "lost".to_string() });
    client.transport.reply(&PutManyResult::Ok(vec![done(1), lost(), busy(5), lost()]));
    client.transport.then_by(|asked| Ok(encode(&answer_really(asked))));
    let results = run(client.put_many(puts(4))).expect("accepted");
    let versions: Vec<u64> = results.into_iter().map(|result| result.expect("done").version.0).collect();
    assert_eq!(versions, [1, 100, 100, 100]);
    let asked = client.transport.asked();
    let (first, second): (PutManyArguments, PutManyArguments) = (asked[0].read(), asked[1].read());
    assert_eq!(first.operation, second.operation);
    assert_eq!(first.items[1..], second.items[1..]);
    assert_eq!((second.items[0].value.len(), second.items[0].key.clone()), (0, first.items[0].key.clone()));
}

#[test]
fn what_was_told_as_not_done_stays_so_when_another_item_of_its_message_is_settled() {
    let client = single_attempt();
    let lost = || PutResult::Err(PutError::Unknown { reason: "lost".to_string() });
    client.transport.reply(&PutManyResult::Ok(vec![busy(5), lost(), done(3), lost()]));
    let mut results = run(client.put_many(puts(4))).expect("accepted");
    let last = expect_unknown(results.pop().unwrap());
    results.pop().unwrap().expect("done");
    let second = expect_unknown(results.pop().unwrap());
    assert!(matches!(expect_not_done(results.pop().unwrap()), Reason::Busy { .. }));

    client.transport.then_by(|asked| Ok(encode(&answer_really(asked))));
    let settled = run(client.settle_many(vec![last, second]));
    assert!(settled.iter().all(|result| result.as_ref().is_ok_and(|reply| reply.version == Version(100))));
    let asked = client.transport.asked();
    assert_eq!(asked.len(), 2, "what was sent together is settled together");
    let (first, again): (PutManyArguments, PutManyArguments) = (asked[0].read(), asked[1].read());
    assert_eq!(first.operation, again.operation);
    for (place, open) in [false, true, false, true].into_iter().enumerate() {
        assert_eq!(first.items[place] == again.items[place], open, "item {place}");
        assert_eq!(first.items[place].key, again.items[place].key);
        assert_eq!(again.items[place].precondition.is_none(), open, "what stands in can't be done");
    }
}

#[test]
fn a_lost_batch_is_unknown_in_every_item_and_sent_again_as_it_was() {
    let client = client(Scripted::default());
    client.transport.lose().then_by(|asked| Ok(encode(&answer_really(asked))));
    let results = run(client.put_many(puts(5))).expect("accepted");
    assert!(results.iter().all(Result::is_ok));
    let asked = client.transport.asked();
    assert_eq!(asked[0].arguments, asked[1].arguments);

    let client = single_attempt();
    client.transport.lose();
    let results = run(client.put_many(puts(5))).expect("accepted");
    assert!(results.into_iter().all(|result| matches!(result, Err(WriteError::Unknown(_)))));
}

#[test]
fn large_batches_are_cut_into_messages_of_operations_of_their_own() {
    let client = client(Scripted::default());
    for _ in 0..3 {
        client.transport.then_by(|asked| Ok(encode(&answer_really(asked))));
    }
    let large: Vec<Put> = (0..10).map(|number| Put::new(vec![number + 1], vec![number; 600_000])).collect();
    for _ in 0..1 {
        client.transport.then_by(|asked| Ok(encode(&done(asked.read::<PutArguments>().value.len() as u64))));
    }
    let results = run(client.put_many(large)).expect("accepted");
    assert!(results.iter().all(Result::is_ok));
    let asked = client.transport.asked();
    let operations: Vec<_> = asked[..3].iter().map(|asked| asked.read::<PutManyArguments>().operation).collect();
    assert!(operations[0] != operations[1] && operations[1] != operations[2]);
    assert!(asked.iter().all(|asked| asked.arguments.len() <= canopy_types::limits::MESSAGE_BYTES_MAX));
}

#[test]
fn a_refusal_of_the_whole_batch_for_the_moment_is_tried_again() {
    let client = client(Scripted::default());
    let not_ready = canopy_types::BatchError::NotReady { retry_after_milliseconds: 2_000 };
    client.transport.reply(&PutManyResult::Err(not_ready));
    client.transport.then_by(|asked| Ok(encode(&answer_really(asked))));
    let results = run(client.put_many(puts(3))).expect("accepted");
    assert!(results.iter().all(Result::is_ok));
}

#[test]
fn a_refusal_because_of_one_item_names_it_by_its_place_in_the_whole_batch() {
    let client = client(Scripted::default());
    client.transport.then_by(|asked| Ok(encode(&answer_really(asked))));
    let error = PutError::Unauthorised { caller: shard(1) };
    client.transport.reply(&PutManyResult::Err(canopy_types::BatchError::Item { index: 1, error }));
    let large: Vec<Put> = (0..4).map(|number| Put::new(vec![number + 1], vec![number; 900_000])).collect();
    let mut results = run(client.put_many(large)).expect("accepted");
    let reason = Box::new(Reason::Unauthorised { caller: shard(1) });
    assert_eq!(expect_not_done(results.pop().unwrap()), Reason::Item { index: 3, reason: reason.clone() });
    assert_eq!(expect_not_done(results.pop().unwrap()), Reason::Item { index: 3, reason });
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(client.transport.asked().len(), 2);
}

#[test]
fn items_with_a_wrong_time_are_issued_anew_and_the_lost_ones_are_not() {
    let client = client(Scripted::default());
    let service = START_NANOSECONDS + 7_200 * SECOND;
    let too_old = PutError::OperationTooOld { oldest_nanoseconds: service - 900 * SECOND };
    let lost = PutResult::Err(PutError::Unknown { reason: "lost".to_string() });
    client.transport.reply(&PutManyResult::Ok(vec![lost, Err(too_old)]));
    client.transport.then_by(|asked| Ok(encode(&answer_really(asked)))).reply(&done(6));
    let results = run(client.put_many(puts(2))).expect("accepted");
    let versions: Vec<u64> = results.into_iter().map(|result| result.expect("done").version.0).collect();
    assert_eq!(versions, [100, 6]);
    let asked = client.transport.asked();
    let again: PutManyArguments = asked[1].read();
    assert!(again.items[0].precondition.is_none() && again.items[1].precondition.is_some());
    assert_eq!(asked[2].read::<PutArguments>().operation.unwrap().issued_at_nanoseconds, service);
}

#[test]
fn a_transport_for_many_threads_makes_a_client_for_many_threads() {
    fn assert_send<F: Send>(_: F) {}
    let client = client(Scripted::default());
    assert_send(client.put(put()));
    assert_send(client.delete_many(vec![]));
    assert_send(client.get("key"));
    assert_send(client.get_many(&["key"]));
    assert_send(client.settle_many::<Put>(vec![]));
    let mut scan = client.scan(crate::ScanOptions::default());
    assert_send(scan.next());
}
