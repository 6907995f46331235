use std::collections::{BTreeMap, BTreeSet};

use candid::Principal;
use canopy_types::wire::many::puts_done;
use canopy_types::wire::{ApplyRef, GetManyRef, GetRef, PutManyRef, PutRef, replies};
use canopy_types::{HashRange, HashSecret, Route, Version};
use serde_bytes::ByteBuf;

use super::Driver;
use crate::keys::key;
use crate::plan::{Mix, Pace, Plan, Service, Spread};

const SHARDS: u32 = 4;

fn plan(service: Service, batch: u32) -> Plan {
    Plan {
        service,
        mix: Mix { gets: 500, puts: 500, ..Mix::default() },
        spread: Spread::Zipfian,
        records: 1_000,
        inserts_from: 1_000,
        value_bytes: 10,
        batch,
        operations: 10_000,
        open_max: 5,
        pace: Pace::Full,
        named: true,
        own_table: false,
        seed: 1,
        driver: 2,
        drivers: 3,
    }
}

fn routed() -> Service {
    Service::Routed { router: Principal::management_canister() }
}

fn shard(index: u32) -> Principal {
    Principal::from_slice(&[index as u8 + 1; 10])
}

fn direct() -> Service {
    let route = |index| Route {
        range: HashRange::FULL.part(index, SHARDS).unwrap(),
        shard: shard(index),
        epoch: canopy_types::Epoch::FIRST,
    };
    Service::Direct { routes: (0..SHARDS).map(route).collect(), secret: ByteBuf::from(vec![3; 192]) }
}

#[test]
fn as_many_messages_are_under_way_as_may_be_and_no_more() {
    let mut driver = Driver::new(plan(routed(), 1), vec![1]);
    let mut open: Vec<_> = std::iter::from_fn(|| driver.next(7)).collect();
    assert_eq!(open.len(), 5);
    let (message, first) = open.swap_remove(0);
    let reply = match message.method {
        "put" => replies::put(Version(1)),
        _ => replies::no_record(),
    };
    assert!(driver.replied(first, &reply, 9).is_none());
    assert_eq!(std::iter::from_fn(|| driver.next(9)).count(), 1);
    let tally = &driver.tally;
    assert_eq!(
        (tally.begun, tally.done + tally.failed, tally.open),
        (6, 1, 5),
        "a record that isn't there is a failure"
    );
}

#[test]
fn what_falls_due_is_sent_late_and_its_latency_counts_from_then() {
    let mut driver = Driver::new(
        Plan {
            pace: Pace::PerRound(1_500),
            open_max: 1,
            mix: Mix { puts: 1_000, ..Mix::default() },
            ..plan(routed(), 1)
        },
        vec![1],
    );
    assert!(driver.next(1).is_none(), "nothing is due before the first round");
    driver.round(1);
    driver.round(2);
    let (_, first) = driver.next(2).unwrap();
    assert!(driver.next(2).is_none(), "one may be under way");
    driver.replied(first, &replies::put(Version(1)), 3);
    let (_, second) = driver.next(3).unwrap();
    driver.replied(second, &replies::put(Version(1)), 5);
    let (_, third) = driver.next(5).unwrap();
    driver.replied(third, &replies::put(Version(1)), 5);
    assert!(driver.next(5).is_none(), "three were due in two rounds");
    assert_eq!(driver.tally.latencies, [0, 0, 1, 2], "due in 1, 2 and 2, answered in 3, 5 and 5");
}

#[test]
fn batches_to_the_router_name_no_key_twice() {
    let mut driver = Driver::new(Plan { open_max: 40, ..plan(routed(), 100) }, vec![1]);
    let mut methods = BTreeSet::new();
    while let Some((message, _)) = driver.next(1) {
        methods.insert(message.method);
        let keys: Vec<Vec<u8>> = match message.method {
            "put_many" => {
                let batch = PutManyRef::read(&message.bytes).expect("by hand");
                assert!(batch.operation.is_some());
                batch.items.iter().map(|item| item.key.to_vec()).collect()
            }
            _ => GetManyRef::read(&message.bytes).expect("by hand").keys.iter().map(|key| key.to_vec()).collect(),
        };
        assert_eq!(keys.len(), 100);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 100);
    }
    assert_eq!(methods.len(), 2);
}

#[test]
fn direct_messages_go_to_the_owner_of_every_key() {
    let secret = HashSecret::from_slice(&[3; 192]).unwrap();
    let mut asked = BTreeMap::new();
    for batch in [1, 50] {
        let mut driver = Driver::new(Plan { open_max: 60, ..plan(direct(), batch) }, vec![1]);
        while let Some((message, _)) = driver.next(1) {
            let owner = |key: &[u8]| {
                (0..SHARDS).find(|&at| HashRange::FULL.part(at, SHARDS).unwrap().contains(secret.hash(key))).map(shard)
            };
            let keys: Vec<Vec<u8>> = match message.method {
                "put" => vec![PutRef::read(&message.bytes).unwrap().key.to_vec()],
                "get" => vec![GetRef::read(&message.bytes).unwrap().key.to_vec()],
                _ => {
                    let read = ApplyRef::read(&message.bytes).expect("by hand");
                    assert_eq!((read.caller, read.items.len()), (&[1u8][..], 50));
                    let key = |item: &canopy_types::wire::ItemRef| match &item.action {
                        canopy_types::wire::ActionRef::Get(get) => get.key.to_vec(),
                        canopy_types::wire::ActionRef::Put(put) => put.key.to_vec(),
                        canopy_types::wire::ActionRef::Delete(delete) => delete.key.to_vec(),
                    };
                    read.items.iter().map(key).collect()
                }
            };
            assert!(keys.iter().all(|key| owner(key) == Some(message.callee)));
            *asked.entry(message.callee).or_insert(0) += 1;
        }
    }
    assert_eq!(asked.len(), SHARDS as usize);
}

#[test]
fn drivers_insert_records_of_their_own() {
    let mut numbers = BTreeSet::new();
    for driver in 0..3 {
        let mix = Mix { inserts: 1_000, ..Mix::default() };
        let mut driver = Driver::new(
            Plan { mix, driver, records: 0, inserts_from: 0, operations: 100, ..plan(routed(), 30) },
            vec![1],
        );
        let mut sizes = vec![];
        while let Some((message, open)) = driver.next(1) {
            let batch = PutManyRef::read(&message.bytes).unwrap();
            sizes.push(batch.items.len());
            for item in &batch.items {
                assert!((0..300).any(|number| key(number) == item.key && numbers.insert(number)));
            }
            driver.replied(open, &puts_done(vec![Version(1); batch.items.len()].into_iter()), 1);
        }
        assert_eq!(sizes, [30, 30, 30, 10]);
        assert_eq!((driver.tally.done, driver.tally.inserted, driver.goes_on()), (100, 100, false));
    }
    assert_eq!(numbers.len(), 300);
}

#[test]
fn modifications_write_over_what_they_read_and_begin_anew_on_a_conflict() {
    let mix = Mix { modifies: 1_000, ..Mix::default() };
    let mut driver = Driver::new(Plan { mix, operations: 1, ..plan(routed(), 1) }, vec![1]);
    let (message, open) = driver.next(1).unwrap();
    assert_eq!(message.method, "get");
    let head =
        replies::RecordHead { version: Version(7), expires_at_nanoseconds: None, value_bytes: 10, include_value: true };
    let found = || {
        let mut reply = replies::begin_record(&head);
        reply.extend([0; 10]);
        replies::end_record(&mut reply, &head);
        reply
    };
    let (message, open) = driver.replied(open, &found(), 2).unwrap();
    let put = PutRef::read(&message.bytes).unwrap();
    assert_eq!(put.precondition, Some(canopy_types::Precondition::Version(Version(7))));
    let conflict = canopy_types::PutResult::Err(canopy_types::PutError::PreconditionFailed { found: None });
    let (message, open) = driver.replied(open, &canopy_types::codec::encode(&conflict), 3).unwrap();
    assert_eq!(message.method, "get");
    let (_, open) = driver.replied(open, &found(), 4).unwrap();
    assert!(driver.replied(open, &replies::put(Version(8)), 5).is_none());
    let tally = &driver.tally;
    assert_eq!((tally.done, tally.conflicts, tally.messages, tally.open), (1, 1, 4, 0));
    assert_eq!(tally.quantile(1_000), Some(4), "from the first read on");
}

#[test]
fn records_are_drawn_only_when_they_and_those_before_them_are_there() {
    let mix = Mix { inserts: 1_000, ..Mix::default() };
    let mut driver = Driver::new(Plan { mix, ..plan(routed(), 1) }, vec![1]);
    let mut open: Vec<_> = std::iter::from_fn(|| driver.next(1)).map(|(_, open)| open).collect();
    for (at, inserted) in [(1, 0), (0, 2), (1, 2), (0, 4)] {
        driver.replied(open.remove(at), &replies::put(Version(1)), 1);
        assert_eq!(driver.tally.inserted, inserted);
    }
}
