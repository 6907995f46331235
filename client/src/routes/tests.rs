use super::*;
use crate::outcome::WriteError;
use crate::reason::Reason;
use crate::scripted::{Asked, START_NANOSECONDS, Scripted, me, router, run, shard};
use crate::transport::CallError;
use crate::write::Put;
use canopy_types::api::{GetResult, PutResult, ReadError};
use canopy_types::codec::encode;
use canopy_types::limits::SECRET_BYTES;
use canopy_types::routing::RoutingTableReply;
use canopy_types::shard::{Action, Answer, ApplyArguments, Moved, ShardApplyResult, ShardGetResult};
use canopy_types::{Epoch, HashRange, KeyHash, PutArguments, PutReply, Record, Route, Version};
use serde_bytes::ByteBuf;

const MIDDLE: u64 = 1 << 63;

fn secret() -> HashSecret {
    HashSecret::new(std::array::from_fn(|at| at as u8))
}

fn range(first: u64, last: u64) -> HashRange {
    HashRange::new(KeyHash(first), KeyHash(last)).unwrap()
}

/// Two shards, each with half of the hash space.
fn table() -> RoutingTable {
    let route = |first, last, number| Route { range: range(first, last), shard: shard(number), epoch: Epoch(5) };
    RoutingTable { routes: vec![route(0, MIDDLE - 1, 1), route(MIDDLE, u64::MAX, 2)] }
}

fn told(table: &RoutingTable) -> RoutingTableResult {
    let secret = Some(ByteBuf::from(secret().as_bytes().to_vec()));
    Ok(RoutingTableReply { routes: table.routes.clone(), secret, ..RoutingTableReply::default() })
}

/// Finds a key in a part of the hash space.
fn key_in(range: HashRange) -> String {
    (0..).map(|number| format!("key {number}")).find(|key| range.contains(secret().hash(key.as_bytes()))).unwrap()
}

fn client() -> Client<Scripted> {
    assert_eq!(SECRET_BYTES, 192);
    Client::new(Scripted::default(), router())
}

fn put_done(version: u64) -> ShardApplyResult {
    Ok(vec![Answer::Put(Ok(PutReply { version: Version(version) }))])
}

/// What a shard says that has handed `lost` to another, and owns nothing since.
fn wrong(lost: HashRange, epoch: u64, owner: Option<Principal>) -> WrongShard {
    let moved = owner.map(|_| Moved { range: lost, epoch: Epoch(epoch) });
    WrongShard { range: HashRange::EMPTY, epoch: Epoch(epoch), owner, moved }
}

fn wrong_put(wrong: WrongShard) -> ShardApplyResult {
    Ok(vec![Answer::Put(Err(ShardError::WrongShard(wrong)))])
}

fn canisters(asked: &[Asked]) -> Vec<Principal> {
    asked.iter().map(|asked| asked.canister).collect()
}

#[test]
fn a_write_goes_straight_to_the_shard_in_the_caller_s_name() {
    let client = client();
    client.transport.reply(&told(&table())).reply(&put_done(3)).reply(&put_done(4));
    let key = key_in(range(MIDDLE, u64::MAX));
    assert_eq!(run(client.put(Put::new(key.clone(), "v"))).expect("done").version, Version(3));
    run(client.put(Put::new(key.clone(), "w"))).expect("done");
    let asked = client.transport.asked();
    assert_eq!(canisters(&asked), [router(), shard(2), shard(2)], "the table is fetched once");
    assert_eq!((asked[0].method.as_str(), asked[0].is_query), ("routing_table", false));
    let batch: ApplyArguments = asked[1].read();
    assert_eq!((batch.caller, batch.items.len(), batch.items[0].index), (me(), 1, 0));
    assert!(batch.operation.is_some());
    assert!(matches!(&batch.items[0].action, Action::Put(put) if put.key.as_slice() == key.as_bytes()));
}

#[test]
fn a_caller_who_isn_t_told_the_secret_goes_through_the_router() {
    let without = RoutingTableResult::Ok(RoutingTableReply { routes: table().routes, ..RoutingTableReply::default() });
    let refused = RoutingTableResult::Err(ReadError::Unauthorised { caller: me() });
    for answer in [encode(&without), encode(&refused), b"no Candid".to_vec()] {
        let client = client();
        client.transport.then(Ok(answer));
        for version in 1..3 {
            client.transport.reply(&PutResult::Ok(PutReply { version: Version(version) }));
            run(client.put(Put::new("k", "v"))).expect("done");
        }
        assert_eq!(client.transport.asked().len(), 3, "the table is asked for once");
        client.transport.pass(THROUGH_ROUTER_SECONDS * 1_000);
        client.transport.reply(&told(&table())).reply(&put_done(3));
        run(client.put(Put::new("k", "v"))).expect("done");
    }
}

#[test]
fn a_table_with_a_gap_is_not_used() {
    let client = client();
    let mut table = table();
    table.routes.remove(0);
    client.transport.reply(&told(&table)).reply(&PutResult::Ok(PutReply { version: Version(1) }));
    run(client.put(Put::new("k", "v"))).expect("done");
    assert_eq!(canisters(&client.transport.asked()), [router(), router()]);
}

#[test]
fn a_shard_that_lost_a_range_is_believed_and_its_heir_is_asked_at_once() {
    let client = client();
    let lost = range(MIDDLE + MIDDLE / 2, u64::MAX);
    let left = range(MIDDLE, MIDDLE + MIDDLE / 2 - 1);
    let key = key_in(lost);
    client.transport.reply(&told(&table())).reply(&wrong_put(wrong(lost, 6, Some(shard(3))))).reply(&put_done(9));
    assert_eq!(run(client.put(Put::new(key.clone(), "v"))).expect("done").version, Version(9));
    let asked = client.transport.asked();
    assert_eq!(canisters(&asked), [router(), shard(2), shard(3)]);
    assert_eq!(asked[1].arguments, asked[2].arguments);
    assert_eq!(asked[2].at_nanoseconds, START_NANOSECONDS, "without waiting");
    // What the shard kept is still asked for there, and what it lost at its heir.
    client.transport.reply(&put_done(10)).reply(&put_done(11));
    run(client.put(Put::new(key_in(left), "v"))).expect("done");
    run(client.put(Put::new(key, "v"))).expect("done");
    assert_eq!(canisters(&client.transport.asked())[3..], [shard(2), shard(3)]);
}

#[test]
fn a_shard_that_doesn_t_know_the_owner_makes_the_router_be_asked_and_the_table_be_fetched() {
    let client = client();
    let key = key_in(range(MIDDLE, u64::MAX));
    let left = wrong(range(0, 5), 6, None);
    client.transport.reply(&told(&table())).reply(&wrong_put(left));
    client.transport.reply(&PutResult::Ok(PutReply { version: Version(1) }));
    run(client.put(Put::new(key.clone(), "v"))).expect("done");
    assert_eq!(canisters(&client.transport.asked()), [router(), shard(2), router()]);
    client.transport.pass(STALE_TABLE_KEPT_SECONDS * 1_000);
    client.transport.reply(&told(&table())).reply(&put_done(2));
    run(client.put(Put::new(key, "v"))).expect("done");
    assert_eq!(client.transport.asked()[3].method, "routing_table");
}

#[test]
fn shards_that_send_a_client_around_are_followed_so_often_and_then_the_router_is_asked() {
    let client = client();
    let key = key_in(range(MIDDLE, u64::MAX));
    client.transport.reply(&told(&table()));
    for hop in 0..=u64::from(crate::writing::HOPS_MAX) {
        let owner = if hop % 2 == 0 { shard(3) } else { shard(4) };
        client.transport.reply(&wrong_put(wrong(range(MIDDLE, u64::MAX), 6 + hop, Some(owner))));
    }
    client.transport.reply(&PutResult::Ok(PutReply { version: Version(1) }));
    run(client.put(Put::new(key, "v"))).expect("done");
    let asked = canisters(&client.transport.asked());
    assert_eq!(asked, [router(), shard(2), shard(3), shard(4), shard(3), router()]);
}

#[test]
fn a_shard_that_refuses_the_caller_is_left_to_the_router_for_a_while() {
    let client = client();
    let key = key_in(range(MIDDLE, u64::MAX));
    let refused = ShardApplyResult::Err(ShardError::Unauthorised { caller: me() });
    client.transport.reply(&told(&table())).reply(&refused);
    for version in 1..3 {
        client.transport.reply(&PutResult::Ok(PutReply { version: Version(version) }));
        run(client.put(Put::new(key.clone(), "v"))).expect("done");
    }
    assert_eq!(canisters(&client.transport.asked()), [router(), shard(2), router(), router()]);
    client.transport.pass(THROUGH_ROUTER_SECONDS * 1_000);
    client.transport.reply(&put_done(2));
    run(client.put(Put::new(key, "v"))).expect("done");
}

#[test]
fn a_shard_that_can_t_be_reached_is_left_to_the_router_at_once_with_the_same_operation() {
    for reject_code in [1, 2, 3, 5] {
        let client = Client::new(Scripted::of_canister(), router());
        let key = key_in(range(MIDDLE, u64::MAX));
        client.transport.reply(&told(&table())).reject(reject_code);
        client.transport.reply(&PutResult::Ok(PutReply { version: Version(1) }));
        run(client.put(Put::new(key, "v"))).expect("done");
        let asked = client.transport.asked();
        assert_eq!(canisters(&asked), [router(), shard(2), router()]);
        let (direct, routed): (ApplyArguments, PutArguments) = (asked[1].read(), asked[2].read());
        assert_eq!(direct.operation, routed.operation);
    }
}

#[test]
fn what_a_shard_lost_is_settled_through_the_router() {
    let client = client();
    let key = key_in(range(MIDDLE, u64::MAX));
    client.transport.reply(&told(&table())).lose().reply(&PutResult::Ok(PutReply { version: Version(7) }));
    assert_eq!(run(client.put(Put::new(key, "v"))).expect("done").version, Version(7));
    let asked = client.transport.asked();
    let (direct, routed): (ApplyArguments, PutArguments) = (asked[1].read(), asked[2].read());
    assert_eq!((direct.operation, asked[2].canister), (routed.operation, router()));
}

#[test]
fn after_a_lost_answer_a_wrong_shard_leaves_it_unknown() {
    let client = client().with_retry_policy(crate::RetryPolicy { attempts_max: 2, ..Default::default() });
    let key = key_in(range(MIDDLE, u64::MAX));
    let moves = canopy_types::BusyReason::RangeMoves;
    let busy = canopy_types::PutError::Busy { retry_after_milliseconds: 1, reason: moves };
    client.transport.reply(&told(&table())).lose().reply(&PutResult::Err(busy));
    assert!(matches!(run(client.put(Put::new(key, "v"))), Err(WriteError::Unknown(_))));
}

#[test]
fn batches_are_grouped_by_shard_and_keep_their_places() {
    let client = client();
    let (low, high) = (key_in(range(0, MIDDLE - 1)), key_in(range(MIDDLE, u64::MAX)));
    let more =
        (0..).map(|number| format!("more {number}")).find(|key| secret().hash(key.as_bytes()).0 < MIDDLE).unwrap();
    client.transport.reply(&told(&table()));
    let done = |version| Answer::Put(Ok(PutReply { version: Version(version) }));
    client.transport.reply(&ShardApplyResult::Ok(vec![done(1), done(3)])).reply(&ShardApplyResult::Ok(vec![done(2)]));
    let puts = vec![Put::new(low, "v"), Put::new(high, "v"), Put::new(more, "v")];
    let results = run(client.put_many(puts)).expect("accepted");
    let versions: Vec<u64> = results.into_iter().map(|result| result.expect("done").version.0).collect();
    assert_eq!(versions, [1, 2, 3]);
    let asked = client.transport.asked();
    let batches: Vec<ApplyArguments> = asked[1..].iter().map(Asked::read).collect();
    let indexes = |batch: &ApplyArguments| batch.items.iter().map(|item| item.index).collect::<Vec<_>>();
    assert_eq!((indexes(&batches[0]), indexes(&batches[1])), (vec![0, 2], vec![1]));
    assert_eq!(batches[0].operation, batches[1].operation);
}

#[test]
fn reads_go_straight_to_the_shard_and_back_to_the_router_when_it_can_t_be_reached() {
    let client = client();
    let key = key_in(range(0, MIDDLE - 1));
    let record =
        Record { value: ByteBuf::from("v"), version: Version(1), expires_at_nanoseconds: None, value_bytes: None };
    client.transport.reply(&told(&table())).reply(&ShardGetResult::Ok(Some(record.clone())));
    client.transport.reject(5).reply(&GetResult::Ok(None));
    assert_eq!(run(client.get(&key)).expect("answered"), Some(record));
    assert_eq!(run(client.get(&key)).expect("answered"), None);
    let asked = client.transport.asked();
    assert_eq!(canisters(&asked), [router(), shard(1), shard(1), router()]);
}

#[test]
fn a_replica_s_word_about_an_owner_is_not_believed() {
    let client = client();
    let key = key_in(range(0, MIDDLE - 1));
    let elsewhere = wrong(range(0, MIDDLE - 1), 9, Some(shard(7)));
    client.transport.reply(&told(&table())).reply(&ShardGetResult::Err(ShardError::WrongShard(elsewhere)));
    client.transport.reply(&GetResult::Ok(None));
    assert_eq!(run(client.get_query(&key)).expect("answered"), None);
    let asked = client.transport.asked();
    assert_eq!(canisters(&asked), [router(), shard(1), router()]);
    assert_eq!((asked[1].is_query, asked[2].is_query), (true, true));
}

#[test]
fn words_older_than_the_table_and_words_about_other_keys_change_nothing() {
    let key = key_in(range(0, MIDDLE - 1));
    let hash = secret().hash(key.as_bytes());
    let full = HashRange::FULL;
    let beside = range(MIDDLE, u64::MAX);
    let itself = Some(shard(1));
    let words = [wrong(full, 5, Some(shard(3))), wrong(full, 6, itself), wrong(beside, 6, Some(shard(3)))];
    let nobody = WrongShard { owner: None, ..wrong(full, 6, Some(shard(3))) };
    let nothing = wrong(HashRange::EMPTY, 6, Some(shard(3)));
    let old = WrongShard { moved: None, ..wrong(full, 6, Some(shard(3))) };
    for word in words.into_iter().chain([nobody, nothing, old]) {
        let routes = Routes::new(Routing::Direct);
        routes.known().routes = Some((secret(), table()));
        assert!(!routes.repair(shard(1), key.as_bytes(), &word), "{word:?}");
        let known = routes.known();
        assert_eq!((known.routes.as_ref().unwrap().1.find(hash), known.is_stale), (table().find(hash), true));
    }
}

#[test]
fn errors_of_shards_tell_which_one() {
    let heard = Heard::<()>::from_call_error(
        CallError::Rejected { reject_code: 5, message: "stopped".to_string() },
        crate::judge::Place::Shard(shard(1)),
    );
    let message = "stopped".to_string();
    assert_eq!(heard, Heard::Elsewhere(Reason::ShardUnavailable { shard: shard(1), reject_code: 5, message }));
}

#[test]
fn what_another_may_do_doesn_t_wait_for_what_is_busy() {
    let client = Client::new(Scripted::of_canister(), router());
    let (low, high) = (key_in(range(0, MIDDLE - 1)), key_in(range(MIDDLE, u64::MAX)));
    let growing = ShardError::Growing { retry_after_milliseconds: 2_000 };
    client.transport.reply(&told(&table())).reply(&ShardApplyResult::Ok(vec![Answer::Put(Err(growing))])).reject(5);
    client.transport.reply(&PutResult::Ok(PutReply { version: Version(4) }));
    let results = run(client.put_many(vec![Put::new(low, "v"), Put::new(high.clone(), "v")])).expect("accepted");
    assert!(
        matches!(&results[0], Err(WriteError::NotDone(not_done)) if matches!(not_done.reason, Reason::Busy { .. }))
    );
    assert_eq!(results[1].as_ref().expect("done").version, Version(4));
    let asked = client.transport.asked();
    assert_eq!(canisters(&asked), [router(), shard(1), shard(2), router()]);
    assert_eq!(asked[3].read::<PutArguments>().key.as_slice(), high.as_bytes());
}
