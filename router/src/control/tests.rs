use super::*;

const ROUTER: Principal = Principal::management_canister();

fn principal(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn set(numbers: &[u8]) -> BTreeSet<Principal> {
    numbers.iter().map(|&number| principal(number)).collect()
}

fn unsettled(before: &[u8], after: &[u8]) -> Unsettled {
    let mut unsettled = Unsettled::default();
    unsettled.note(&set(before), &set(after), &[ShardIndex(0), ShardIndex(1)]);
    unsettled
}

#[test]
fn who_was_revoked_loses_control_and_who_was_added_by_hand_keeps_it() {
    let present = [ROUTER, principal(1), principal(2), principal(9)];
    let controllers = unsettled(&[1, 2], &[2, 3]).controllers(&present, ROUTER, &set(&[2, 3]));
    assert_eq!(controllers, [ROUTER, principal(2), principal(3), principal(9)]);
}

#[test]
fn router_and_administrators_come_before_others_when_there_is_no_room() {
    let administrators: Vec<u8> = (1..=8).collect();
    let present: Vec<Principal> = [ROUTER].into_iter().chain((20..29).map(principal)).collect();
    let controllers = unsettled(&[], &administrators).controllers(&present, ROUTER, &set(&administrators));
    assert_eq!(controllers.len(), CONTROLLERS_MAX);
    assert_eq!(controllers[0], ROUTER);
    assert!(administrators.iter().all(|&number| controllers.contains(&principal(number))));
}

#[test]
fn a_change_concerns_every_shard_until_it_is_settled() {
    let mut unsettled = unsettled(&[1], &[]);
    assert_eq!(unsettled.shards().collect::<Vec<_>>(), [ShardIndex(0), ShardIndex(1)]);
    unsettled.settle(ShardIndex(0));
    assert_eq!(unsettled.shards().collect::<Vec<_>>(), [ShardIndex(1)]);
    assert_eq!(unsettled.revoked, set(&[1]));
    unsettled.settle(ShardIndex(1));
    assert_eq!(unsettled, Unsettled::default(), "nothing is left to do");
}

#[test]
fn who_is_named_again_is_no_longer_revoked() {
    let mut unsettled = unsettled(&[1], &[]);
    unsettled.note(&set(&[]), &set(&[1]), &[ShardIndex(0)]);
    assert_eq!(unsettled.revoked, set(&[]));
    assert_eq!(unsettled.controllers(&[ROUTER], ROUTER, &set(&[1])), [ROUTER, principal(1)]);
}

#[test]
fn other_changes_concern_no_shard() {
    assert_eq!(unsettled(&[1], &[1]), Unsettled::default());
}
