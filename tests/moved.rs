//! Ranges that moved, asked for in every way: directly by clients with old tables, in batches, in scans, by late messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_client::transport::{PocketTransport, block_on};
use canopy_client::{Client, Delete, Put, Routing};
use canopy_types::api::Operation;
use canopy_types::codec::{decode, encode};
use canopy_types::shard::{ShardError, ShardGetResult};
use canopy_types::status::ShardStage;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, TransferEnd,
    TransferError, TransferPhase, TransferProgressArguments, TransferProgressResult, TransferSide, TransferStage,
};
use canopy_types::{
    BusyReason, DeleteError, DeleteItem, DeleteManyArguments, DeleteManyResult, Epoch, GetArguments, GetError,
    GetManyArguments, GetManyResult, HashRange, KeyHash, PutArguments, PutError, PutItem, PutManyArguments,
    PutManyResult, PutResult, ScanArguments, ScanError, ScanResult, TransferId,
};
use pocket_ic::common::rest::RawMessageId;
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace};
use crate::people::{administrator, reader, writer};
use crate::split::{FIRST, SECOND, check, filled, make_spare, merge, records_of, split, stage, wait_for_end};

fn split_first(cluster: &Cluster) -> TransferId {
    split(cluster, FIRST, None).expect("the first shard can be split")
}

/// Splits the first shard and waits until that is done.
fn split_through(cluster: &Cluster) -> TransferId {
    let id = split_first(cluster);
    assert_eq!(wait_for_end(cluster, id), TransferEnd::Done);
    id
}

fn is_over(cluster: &Cluster, id: TransferId) -> bool {
    matches!(stage(&cluster.status(), id), TransferStage::Ended(_))
}

#[test]
fn a_client_with_an_old_table_finds_everything_by_itself() {
    let (cluster, model) = filled(40, 100);
    let transport = PocketTransport::new(cluster.pic.clone(), writer());
    let client = Client::new(transport, cluster.router).with_routing(Routing::Direct);
    block_on(client.get("key 0")).expect("the client learns the table");
    split_through(&cluster);
    let keys: Vec<&Vec<u8>> = model.keys().collect();
    let found = block_on(client.get_many(&keys)).expect("the keys are in order");
    for (found, value) in found.into_iter().zip(model.values()) {
        assert_eq!(found.expect("answered").expect("a record").value.as_slice(), &value[..]);
    }
    // And back again: the shard that was asked last has nothing any more.
    let id = merge(&cluster, SECOND, FIRST).expect("neighbours can be merged");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    for (key, value) in &model {
        block_on(client.put(Put::new(key.clone(), value.clone()))).expect("the put is done");
        let record = block_on(client.get(key)).expect("answered").expect("a record");
        assert_eq!(record.value.as_slice(), &value[..]);
    }
    check(&cluster, &model);
    for key in model.keys() {
        block_on(client.delete(Delete::new(key.clone()))).expect("the delete is done");
    }
    check(&cluster, &BTreeMap::new());
}

#[test]
fn batches_go_through_a_split_item_by_item_and_each_is_done_once() {
    let (cluster, mut model) = filled(60, 150_000);
    let id = split_first(&cluster);
    let mut again = 0;
    for turn in 0u32.. {
        assert!(turn < 300, "the transfer doesn't end: {:#?}", cluster.status());
        let issued_at_nanoseconds = cluster.pic.get_time().as_nanos_since_unix_epoch();
        let mut name = [9; 16];
        name[..4].copy_from_slice(&turn.to_le_bytes());
        let operation = Some(Operation { id: ByteBuf::from(name), issued_at_nanoseconds });
        let items: Vec<PutItem> = (0..30)
            .map(|at| {
                PutItem::new(format!("key {}", (7 * turn + at) % 80).into_bytes(), format!("{turn}").into_bytes())
            })
            .collect();
        // The same batch under the same name, until every item is done.
        let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
        for attempt in 0.. {
            assert!(attempt < 60, "the batch is never done");
            let arguments = PutManyArguments { items: items.clone(), operation: operation.clone() };
            let answers: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &arguments);
            let answers = answers.expect("the batch is admitted");
            let mut open = 0;
            for (at, answer) in answers.into_iter().enumerate() {
                match answer {
                    Ok(done) => assert_eq!(*versions.entry(at).or_insert(done.version.0), done.version.0),
                    Err(PutError::Busy { reason: BusyReason::RangeMoves, .. }) => open += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            if open == 0 {
                break;
            }
            again += open;
            cluster.turn(Pace { time: Duration::from_millis(200), rounds: 1 });
        }
        model.extend(items.into_iter().map(|item| (item.key.into_vec(), item.value.into_vec())));
        if is_over(&cluster, id) {
            break;
        }
    }
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    println!("{again} items were told to come again");
    check(&cluster, &model);
    let keys: Vec<ByteBuf> = model.keys().map(|key| ByteBuf::from(key.clone())).collect();
    let arguments = GetManyArguments { keys, include_value: Some(false) };
    let found: GetManyResult = cluster.update(cluster.router, reader(), "get_many", &arguments);
    assert!(found.expect("the batch is admitted").into_iter().all(|found| found.expect("answered").is_some()));
}

/// Batches that are under way at the same time, one of each kind, and what became of their items.
#[derive(Default)]
struct Batches {
    /// With the keys that are put.
    open: Vec<(Vec<Vec<u8>>, [RawMessageId; 3])>,
    /// Keys whose put is done.
    put: BTreeSet<Vec<u8>>,
    done: u64,
    again: u64,
}

impl Batches {
    const ITEMS: usize = 30;

    /// Submits a batch of each kind. Puts and gets are of the records with this number and those behind, deletes of records
    /// that aren't there.
    fn submit(&mut self, cluster: &Cluster, number: usize, keys: &[Vec<u8>]) {
        let chosen: Vec<Vec<u8>> = keys.iter().cycle().skip(number).take(Self::ITEMS).cloned().collect();
        let puts = chosen.iter().map(|key| PutItem::new(key.clone(), b"new".to_vec())).collect();
        let gets = chosen.iter().map(|key| ByteBuf::from(key.clone())).collect();
        let deletes =
            (0..Self::ITEMS).map(|at| DeleteItem::new(format!("absent {number} {at}").into_bytes())).collect();
        let submit = |caller, method, arguments| {
            cluster.pic.submit_call(cluster.router, caller, method, arguments).expect("a batch is accepted")
        };
        let messages = [
            submit(writer(), "put_many", encode(&PutManyArguments { items: puts, operation: None })),
            submit(reader(), "get_many", encode(&GetManyArguments { keys: gets, include_value: Some(false) })),
            submit(writer(), "delete_many", encode(&DeleteManyArguments { items: deletes, operation: None })),
        ];
        self.open.push((chosen, messages));
    }

    fn count(&mut self, again: bool) {
        *(if again { &mut self.again } else { &mut self.done }) += 1;
    }

    /// Waits for all answers.
    fn hear(&mut self, cluster: &Cluster) {
        let answer = |message| cluster.pic.await_call(message).expect("a batch is answered, not rejected");
        for (keys, [puts, gets, deletes]) in std::mem::take(&mut self.open) {
            let puts: PutManyResult = decode(&answer(puts)).expect("put_many answers what it says");
            for (key, put) in keys.into_iter().zip(puts.expect("admitted")) {
                match put {
                    Ok(_) => _ = self.put.insert(key),
                    Err(PutError::Busy { reason: BusyReason::RangeMoves, .. }) => {}
                    Err(ref error) => panic!("{error:?}"),
                }
                self.count(put.is_err());
            }
            let gets: GetManyResult = decode(&answer(gets)).expect("get_many answers what it says");
            for get in gets.expect("admitted") {
                match &get {
                    Ok(record) => assert!(record.is_some(), "every record is there"),
                    Err(GetError::Busy { reason: BusyReason::RangeMoves, .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
                self.count(get.is_err());
            }
            let deletes: DeleteManyResult = decode(&answer(deletes)).expect("delete_many answers what it says");
            for delete in deletes.expect("admitted") {
                match &delete {
                    Ok(done) => assert_eq!(done.deleted, None, "there was nothing to delete"),
                    Err(DeleteError::Busy { reason: BusyReason::RangeMoves, .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
                self.count(delete.is_err());
            }
        }
    }
}

#[test]
fn items_of_batches_that_meet_a_closed_range_are_done_at_once() {
    let (cluster, mut model) = filled(60, 150_000);
    make_spare(&cluster);
    let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
    let secret = cluster.routing_table_as(reader()).expect("told").hash_secret().expect("a role by name");
    let source = cluster.shards()[0];
    let probed = keys.iter().find(|key| secret.hash(key).0 > u64::MAX / 2).expect("every other one moves");
    let probe = encode(&GetArguments::new(probed.clone()));
    let id = split_first(&cluster);
    let (mut batches, mut probes) = (Batches::default(), vec![]);
    for number in 0.. {
        assert!(number < 100, "the transfer doesn't end: {:#?}", cluster.status());
        batches.submit(&cluster, number, &keys);
        // One that nobody sends again, at the same time.
        let direct = cluster.pic.submit_call(source, reader(), "get", probe.clone());
        probes.push(direct.expect("a reader's get is accepted"));
        cluster.turn(Pace { time: Duration::from_millis(100), rounds: 1 });
        if is_over(&cluster, id) {
            break;
        }
    }
    batches.hear(&cluster);
    let answer = |message| -> ShardGetResult {
        let reply = cluster.pic.await_call(message).expect("a get is answered, not rejected");
        decode(&reply).expect("get answers what it says")
    };
    let answers = probes.into_iter().map(answer);
    let met = answers.filter(|answer| matches!(answer, Err(ShardError::Moving { changes: None, .. }))).count();
    assert!(met > 0, "nothing was under way while the range was closed");
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    println!("{} items were done, {} told to come again; closed to {met} probes", batches.done, batches.again);
    assert!(batches.again * 100 <= batches.done, "{} of {} were told to come again", batches.again, batches.done);
    for (_, value) in model.iter_mut().filter(|(key, _)| batches.put.contains(*key)) {
        *value = b"new".to_vec();
    }
    check(&cluster, &model);
}

#[test]
fn a_scan_that_a_split_overtakes_finds_every_record_once() {
    let (cluster, model) = filled(120, 20_000);
    let mut arguments = ScanArguments { records_max: Some(9), include_value: Some(false), ..ScanArguments::default() };
    let mut found = BTreeSet::new();
    let mut id = None;
    for turn in 0.. {
        assert!(turn < 300, "the scan doesn't end");
        let page: ScanResult = cluster.update(cluster.router, reader(), "scan", &arguments);
        match page {
            Ok(page) => {
                for record in page.records {
                    assert!(found.insert(record.key.into_vec()), "a record comes twice");
                }
                match page.cursor {
                    Some(cursor) => arguments.cursor = Some(cursor),
                    None => break,
                }
            }
            Err(ScanError::Busy { reason: BusyReason::RangeMoves, .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        if turn == 2 {
            id = Some(split_first(&cluster));
        }
        cluster.turn(Pace { time: Duration::from_millis(100), rounds: 0 });
    }
    assert!(found.iter().eq(model.keys()), "{} of {} records were found", found.len(), model.len());
    assert_eq!(wait_for_end(&cluster, id.expect("the split began")), TransferEnd::Done);
    // Shards refuse a page that begins where another one owns, and tell which.
    let rest: ScanResult = cluster.update(cluster.router, reader(), "scan", &ScanArguments::default());
    assert_eq!(rest.expect("a page").records.len() + records_of(&cluster)[1] as usize, 120);
}

#[test]
fn the_router_asks_the_new_owner_at_once_and_knows_it_from_then_on() {
    let (cluster, model) = filled(30, 1_000);
    let id = split_first(&cluster);
    let source = cluster.shards()[0];
    for turn in 0.. {
        assert!(turn < 300, "the source doesn't hear of the end: {:#?}", cluster.status());
        if cluster.info(source).range != HashRange::FULL {
            break;
        }
        let pace = Pace { time: Duration::from_millis(100), rounds: 1 };
        cluster.turn(pace);
    }
    assert_eq!(stage(&cluster.status(), id), TransferStage::Moving, "the router hasn't heard");
    for key in model.keys() {
        assert!(cluster.get_query(reader(), key).expect("a query follows, too").is_some());
    }
    assert_eq!(stage(&cluster.status(), id), TransferStage::Moving, "the platform keeps nothing of queries");
    for key in model.keys() {
        assert!(cluster.get(reader(), key).expect("the router follows").is_some());
    }
    assert_eq!(stage(&cluster.status(), id), TransferStage::Ended(TransferEnd::Done));
    assert_eq!(cluster.routing_table().routes.len(), 2);
    check(&cluster, &model);
}

#[test]
fn records_that_end_do_so_at_their_new_shard_and_nothing_stays_of_what_was_deleted() {
    let (cluster, mut model) = filled(20, 100);
    for number in 0..20u32 {
        let key = format!("ends {number}").into_bytes();
        let put = PutArguments { time_to_live_milliseconds: Some(600_000), ..PutArguments::new(key, b"v".to_vec()) };
        let done: PutResult = cluster.update(cluster.router, writer(), "put", &put);
        done.expect("the put is done");
    }
    let id = split_first(&cluster);
    cluster.wait("moving", Pace::ROUND_BY_ROUND, |status| stage(status, id) == TransferStage::Moving);
    for number in 0..10u32 {
        let key = format!("key {number}").into_bytes();
        loop {
            match cluster.delete(writer(), &key) {
                Ok(_) => break,
                Err(DeleteError::Busy { reason: BusyReason::RangeMoves, .. }) => {
                    cluster.turn(Pace::BRISK);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        model.remove(&key);
    }
    assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done);
    let ending = || (0..20u32).filter(|number| cluster.load(format!("ends {number}").as_bytes()).is_some()).count();
    assert_eq!(ending(), 20);
    cluster.turn(Pace { time: Duration::from_secs(601), rounds: 5 });
    assert_eq!(ending(), 0);
    cluster.turn(Pace::MINUTES);
    check(&cluster, &model);
}

#[test]
fn each_party_may_be_upgraded_at_each_moment() {
    for moment in 0..12 {
        let (cluster, model) = filled(20, 100_000);
        let id = split_first(&cluster);
        for _ in 0..2 * moment {
            cluster.turn(Pace::ROUND_BY_ROUND);
        }
        let shards = cluster.shards();
        match (moment % 3, shards.get(1)) {
            (0, _) => cluster.upgrade_router(ROUTER_WASM),
            (1, Some(target)) if cluster.status().shards[1].stage >= ShardStage::Installed => {
                cluster.upgrade_shard(*target, SHARD_WASM);
            }
            _ => cluster.upgrade_shard(shards[0], SHARD_WASM),
        }
        assert_eq!(wait_for_end(&cluster, id), TransferEnd::Done, "moment {moment}");
        check(&cluster, &model);
        assert_eq!(cluster.routing_table().routes.len(), 2);
    }
}

#[test]
fn late_messages_of_a_transfer_that_is_over_change_nothing() {
    let (cluster, model) = filled(20, 100);
    let id = split_through(&cluster);
    let shards = cluster.shards();
    let before: Vec<_> = shards.iter().map(|shard| cluster.info(*shard).range).collect();
    let upper = before[1];
    for (at, side) in [(0, TransferSide::Source), (1, TransferSide::Target)] {
        let ask = |method: &str, arguments: Vec<u8>| {
            cluster.update_raw(shards[at], administrator(), method, arguments).expect("administrators may ask")
        };
        let begin =
            |id, epoch| BeginTransferArguments { id, side, peer: shards[1 - at], range: upper, epoch, bytes: None };
        let begun = ask("begin_transfer", encode(&begin(id, Epoch(2))));
        assert_eq!(decode::<BeginTransferResult>(&begun), Ok(Err(TransferError::Ended(TransferEnd::Done))));
        let other = TransferId([7; 16]);
        let begun = ask("begin_transfer", encode(&begin(other, Epoch(2))));
        let too_low = TransferError::EpochTooLow { epoch: Epoch(2), epoch_min: Epoch(3) };
        assert_eq!(decode::<BeginTransferResult>(&begun), Ok(Err(too_low)));
        let cancelled = ask("cancel_transfer", encode(&CancelTransferArguments { id, epoch: Epoch(2) }));
        assert_eq!(decode::<CancelTransferResult>(&cancelled), Ok(Ok(TransferPhase::Ended(TransferEnd::Done))));
        let progress = ask("transfer_progress", encode(&TransferProgressArguments { id: other }));
        assert_eq!(decode::<TransferProgressResult>(&progress), Ok(Err(TransferError::UnknownTransfer)));
        // What doesn't belong to the shard can't be given away, and what it has can't be given to it.
        let range = HashRange { first: KeyHash(5), last: KeyHash(6) };
        let begun = ask("begin_transfer", encode(&BeginTransferArguments { range, ..begin(other, Epoch(9)) }));
        let refused = decode::<BeginTransferResult>(&begun).expect("a shard answers what its interface says");
        assert!(
            matches!(refused, Err(TransferError::RangeNotOwned { .. } | TransferError::RangeNotAdjacent { .. })),
            "{refused:?}"
        );
    }
    let after: Vec<_> = shards.iter().map(|shard| cluster.info(*shard).range).collect();
    assert_eq!(before, after);
    check(&cluster, &model);
}
