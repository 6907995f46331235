use candid::Nat;
use canopy_types::{Epoch, KeyHash, Route, ShardIndex, Version};

use super::*;

const MIDDLE: u64 = 1 << 63;

fn principal(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn range(first: u64, last: u64) -> HashRange {
    HashRange { first: KeyHash(first), last: KeyHash(last) }
}

fn route(shard: u8, first: u64, last: u64) -> Route {
    Route { range: range(first, last), shard: principal(shard), epoch: Epoch::FIRST }
}

fn info(first: u64, last: u64) -> ShardInfo {
    ShardInfo {
        code_version: String::new(),
        layout_version: 1,
        index: ShardIndex(0),
        router: principal(9),
        range: range(first, last),
        epoch: Epoch::FIRST,
        secret_fingerprint: 77,
        records: 0,
        record_bytes: 0,
        stable_bytes: 0,
        last_version: Version(0),
        out_of_space: false,
        cycles: Nat::from(0_u8),
        internal_records: None,
        roles: None,
        reading: None,
    }
}

fn table() -> RoutingTable {
    RoutingTable { routes: vec![route(1, 0, MIDDLE - 1), route(2, MIDDLE, u64::MAX)] }
}

#[test]
fn a_full_cover_on_which_all_agree_is_accepted() {
    let infos = [(principal(1), info(0, MIDDLE - 1)), (principal(2), info(MIDDLE, u64::MAX))];
    assert_eq!(check(principal(9), &table(), &infos, &[]), Ok(()));
    assert_eq!(check(principal(9), &table(), &[], &[]), Ok(()));
}

#[test]
fn a_gap_is_refused() {
    let routes = vec![route(1, 0, MIDDLE - 2), route(2, MIDDLE, u64::MAX)];
    assert!(matches!(check(principal(9), &RoutingTable { routes }, &[], &[]), Err(Fault::Table(_))));
}

#[test]
fn an_overlap_is_refused() {
    let routes = vec![route(1, 0, MIDDLE), route(2, MIDDLE, u64::MAX)];
    assert!(matches!(check(principal(9), &RoutingTable { routes }, &[], &[]), Err(Fault::Table(_))));
}

#[test]
fn an_end_that_is_missing_is_refused() {
    let routes = vec![route(1, 0, u64::MAX - 1)];
    assert!(matches!(check(principal(9), &RoutingTable { routes }, &[], &[]), Err(Fault::Table(_))));
}

#[test]
fn one_shard_in_two_routes_is_refused() {
    let routes = vec![route(1, 0, MIDDLE - 1), route(1, MIDDLE, u64::MAX)];
    assert!(matches!(check(principal(9), &RoutingTable { routes }, &[], &[]), Err(Fault::SharedShard { .. })));
}

#[test]
fn a_shard_that_owns_something_else_is_refused() {
    let infos = [(principal(1), info(0, MIDDLE))];
    assert!(matches!(check(principal(9), &table(), &infos, &[]), Err(Fault::Disagreement { .. })));
}

#[test]
fn a_shard_of_another_router_or_secret_is_refused() {
    let mut other = info(0, MIDDLE - 1);
    other.router = principal(8);
    assert!(matches!(check(principal(9), &table(), &[(principal(1), other)], &[]), Err(Fault::Foreign { .. })));
    let mut other = info(MIDDLE, u64::MAX);
    other.secret_fingerprint = 78;
    let infos = [(principal(1), info(0, MIDDLE - 1)), (principal(2), other)];
    assert!(matches!(check(principal(9), &table(), &infos, &[]), Err(Fault::Foreign { .. })));
}

/// The upper half goes from shard 1 to shard 2, which owns nothing in the router's table yet.
fn splitting(is_over: bool) -> (RoutingTable, Moving) {
    let epoch = Epoch(2);
    let moving = Moving { source: principal(1), target: principal(2), range: range(MIDDLE, u64::MAX), epoch, is_over };
    let routes = if is_over { table().routes } else { vec![route(1, 0, u64::MAX)] };
    let of = |route: Route| Route { epoch: if is_over { epoch } else { Epoch::FIRST }, ..route };
    (RoutingTable { routes: routes.into_iter().map(of).collect() }, moving)
}

fn later(info: ShardInfo) -> ShardInfo {
    ShardInfo { epoch: Epoch(2), ..info }
}

#[test]
fn ends_of_a_transfer_may_know_more_than_the_router_and_others_may_not() {
    let (table, moving) = splitting(false);
    let nothing = info(u64::MAX, 0);
    for (first, second) in [
        (info(0, u64::MAX), nothing.clone()),
        (info(0, u64::MAX), later(info(MIDDLE, u64::MAX))),
        (later(info(0, MIDDLE - 1)), later(info(MIDDLE, u64::MAX))),
    ] {
        let infos = [(principal(1), first), (principal(2), second)];
        assert_eq!(check(principal(9), &table, &infos, std::slice::from_ref(&moving)), Ok(()));
    }
    for (shard, info) in [
        (1, later(info(0, MIDDLE))),
        (1, info(0, MIDDLE - 1)),
        (2, info(MIDDLE, u64::MAX)),
        (3, later(info(MIDDLE, u64::MAX))),
    ] {
        let infos = [(principal(shard), info)];
        let checked = check(principal(9), &table, &infos, std::slice::from_ref(&moving));
        assert!(matches!(checked, Err(Fault::Disagreement { .. })), "{infos:?}");
    }
}

#[test]
fn a_source_may_be_the_last_to_hear_and_a_target_may_not() {
    let (table, moving) = splitting(true);
    let unaware = [(principal(1), info(0, u64::MAX)), (principal(2), later(info(MIDDLE, u64::MAX)))];
    assert_eq!(check(principal(9), &table, &unaware, std::slice::from_ref(&moving)), Ok(()));
    assert!(check(principal(9), &table, &unaware, &[]).is_err());
    let wrong = [(principal(2), info(u64::MAX, 0))];
    assert!(check(principal(9), &table, &wrong, &[moving]).is_err());
}
