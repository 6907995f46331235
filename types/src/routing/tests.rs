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
