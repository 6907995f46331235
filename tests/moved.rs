//! Ranges that moved, asked for in every way: directly by clients with old tables, in batches, in scans, by late messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use canopy_client::transport::{PocketTransport, block_on};
use canopy_client::{Client, Delete, Put, Routing};
use canopy_types::api::Operation;
use canopy_types::codec::{decode, encode};
use canopy_types::status::ShardStage;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, TransferEnd,
    TransferError, TransferPhase, TransferProgressArguments, TransferProgressResult, TransferSide, TransferStage,
};
use canopy_types::{
    BusyReason, Epoch, GetManyArguments, GetManyResult, HashRange, KeyHash, PutArguments, PutError, PutItem,
    PutManyArguments, PutManyResult, PutResult, ScanArguments, ScanError, ScanResult, TransferId,
};
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Pace};
use crate::people::{administrator, reader, writer};
use crate::split::{FIRST, SECOND, check, filled, merge, records_of, split, stage, wait_for_end};

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
                Err(canopy_types::DeleteError::Busy { reason: BusyReason::RangeMoves, .. }) => {
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
