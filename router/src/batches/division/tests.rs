use super::*;
use canopy_types::{Epoch, HashRange, HashSecret, Route, RoutingTable};
use std::collections::BTreeSet;

fn routing(shards: u32) -> Routing {
    let route = |index| Route {
        range: HashRange::FULL.part(index, shards).unwrap(),
        shard: Principal::from_slice(&[index as u8]),
        epoch: Epoch::FIRST,
    };
    Routing { secret: HashSecret::new([3; 192]), table: RoutingTable { routes: (0..shards).map(route).collect() } }
}

fn keys(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_be_bytes().to_vec()).collect()
}

fn measured(keys: &[Vec<u8>], payload: usize) -> Vec<(&[u8], usize)> {
    keys.iter().map(|key| (key.as_slice(), payload)).collect()
}

#[test]
fn every_item_goes_once_to_its_shard_in_messages_that_are_not_too_long() {
    for (shards, count, payload) in
        [(1, 10_000, 200), (3, 1_000, 1_056), (64, 10_000, 20), (2, 5, 1_048_576), (5, 1, 1)]
    {
        let (routing, keys) = (routing(shards), keys(count));
        let division = divide(&routing, &measured(&keys, payload)).unwrap();
        assert_eq!(division.items, count as usize);
        let mut seen = BTreeSet::new();
        for part in &division.parts {
            assert!(!part.places.is_empty() && part.places.len() <= BATCH_ITEMS_MAX);
            assert!(part.places.len() * (payload + ITEM_BYTES_MAX) <= PART_BYTES_MAX);
            let mut last = None;
            for &place in &part.places {
                let hash = routing.secret.hash(&keys[place as usize]);
                assert_eq!(routing.table.find(hash).unwrap().shard, part.shard);
                assert!(last < Some(hash), "items go in the shard's own order");
                last = Some(hash);
                assert!(seen.insert(place));
            }
        }
        assert_eq!(seen.len(), count as usize);
        // No message could have been saved: two neighbours of a shard don't fit one.
        for pair in division.parts.windows(2).filter(|pair| pair[0].shard == pair[1].shard) {
            let items = pair[0].places.len() + 1;
            assert!(items > BATCH_ITEMS_MAX || items * (payload + ITEM_BYTES_MAX) > PART_BYTES_MAX);
        }
    }
}

#[test]
fn key_that_comes_twice_is_told_with_its_places() {
    let mut keys = keys(100);
    keys[70] = keys[4].clone();
    keys[90] = keys[4].clone();
    keys[60] = keys[50].clone();
    assert_eq!(divide(&routing(3), &measured(&keys, 4)), Err((50, 60)));
    keys[60] = b"other".to_vec();
    assert_eq!(divide(&routing(3), &measured(&keys, 4)), Err((4, 70)));
}

#[test]
fn allowances_of_all_parts_leave_room_for_every_answer() {
    for items in [1, 2, 64, 1_000, 10_000] {
        assert!(allowance(items, items) <= REPLY_BYTES_MAX as u64);
        assert!(allowance(items, items) >= (items * ANSWER_BYTES_MAX) as u64);
    }
    assert!(
        allowance(1, 1) > (canopy_types::limits::VALUE_BYTES_MAX + ANSWER_BYTES_MAX) as u64,
        "alone, any value fits"
    );
    assert!(allowance(1, 2) > canopy_types::limits::VALUE_BYTES_MAX as u64, "of two, each may be the largest");
}
