use super::*;

fn table(count: u32) -> RoutingTable {
    let route = |index| Route {
        range: HashRange::FULL.part(index, count).unwrap(),
        shard: Principal::from_slice(&[index as u8 + 1]),
        epoch: Epoch::FIRST,
    };
    RoutingTable { routes: (0..count).map(route).collect() }
}

#[test]
fn every_hash_has_the_route_that_contains_it() {
    let table = table(5);
    table.check_invariants().unwrap();
    for route in &table.routes {
        assert_eq!(table.find(route.range.first), Some(route));
        assert_eq!(table.find(route.range.last), Some(route));
    }
}

#[test]
fn empty_table_has_no_routes() {
    assert_eq!(RoutingTable::default().find(KeyHash(1)), None);
    assert_eq!(RoutingTable::default().check_invariants(), Err(RoutingTableFault::Incomplete));
}

#[test]
fn gaps_overlaps_and_missing_ends_are_found() {
    let mut gap = table(3);
    gap.routes.remove(1);
    assert_eq!(gap.check_invariants(), Err(RoutingTableFault::Gap { at: 1 }));
    let middle = table(3).routes[1].range.first;
    assert_eq!(gap.find(middle), None);

    let mut short = table(3);
    short.routes.pop();
    assert_eq!(short.check_invariants(), Err(RoutingTableFault::Incomplete));

    let mut twice = table(2);
    twice.routes.push(twice.routes[1].clone());
    assert_eq!(twice.check_invariants(), Err(RoutingTableFault::Gap { at: 2 }));
}

#[test]
fn the_digest_tells_tables_apart() {
    let one = table(3);
    assert_eq!(one.digest(), table(3).digest());
    let mut moved = one.clone();
    moved.routes[1].epoch.0 += 1;
    let mut handed_over = one.clone();
    handed_over.routes[2].shard = Principal::from_slice(&[9, 9]);
    let digests = [one.digest(), moved.digest(), handed_over.digest(), table(4).digest(), table(0).digest()];
    let different: std::collections::BTreeSet<u64> = digests.into_iter().collect();
    assert_eq!(different.len(), digests.len());
}

#[test]
fn the_secret_is_kept_out_of_what_is_printed() {
    let secret = vec![0xA5; crate::limits::SECRET_BYTES];
    let reply = RoutingTableReply { routes: table(1).routes, secret: Some(ByteBuf::from(secret)), digest: Some(7) };
    let printed = format!("{reply:?}");
    assert!(!printed.contains("165") && !printed.to_lowercase().contains("a5, ") && printed.contains("secret"));
    assert!(reply.hash_secret().is_some());
}

#[test]
fn a_range_that_is_given_is_its_new_owner_s_and_the_rest_stays() {
    let heir = Principal::from_slice(&[7]);
    let table = table(3);
    let bounds = [0, 1, table.routes[1].range.first.0, table.routes[1].range.last.0, u64::MAX - 1, u64::MAX];
    for first in bounds {
        for last in bounds.into_iter().filter(|&last| last >= first) {
            let given = table.give(HashRange::new(KeyHash(first), KeyHash(last)).unwrap(), heir, Epoch(2));
            assert_eq!(given.check_invariants(), Ok(()));
            for hash in bounds.map(KeyHash) {
                let is_given = first <= hash.0 && hash.0 <= last;
                let expected = if is_given { heir } else { table.find(hash).unwrap().shard };
                assert_eq!(given.find(hash).unwrap().shard, expected, "{first}..={last}: {hash:?}");
            }
        }
    }
}

#[test]
fn what_is_known_to_be_newer_is_not_given_away() {
    let mut table = table(2);
    table.routes[1].epoch = Epoch(4);
    let heir = Principal::from_slice(&[7]);
    for (epoch, owners) in [(1, 0), (2, 1), (4, 1), (5, 2)] {
        let given = table.give(HashRange::FULL, heir, Epoch(epoch));
        assert_eq!(given.routes.iter().filter(|route| route.shard == heir).count(), owners, "epoch {epoch}");
    }
    assert_eq!(table.give(HashRange::EMPTY, heir, Epoch(9)), table);
}
