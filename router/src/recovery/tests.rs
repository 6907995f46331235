use canopy_types::TransferId;

use super::*;

fn shard(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn memory(range: HashRange, epoch: u64) -> ShardMemory {
    ShardMemory {
        range,
        epoch: Epoch(epoch),
        epoch_seen: Epoch(epoch),
        in_transfer: None,
        secret: ByteBuf::from([5; 192]),
        tag_seed: Some(ByteBuf::from([6; 32])),
        administrators: vec![],
        roles: None,
    }
}

/// Four shards of equal ranges, and a spare.
fn deployment() -> Vec<(Principal, ShardMemory)> {
    let quarter = |at: u8| HashRange::FULL.part(u32::from(at), 4).expect("there are quarters");
    let owners = (0..4).rev().map(|at| (shard(at), memory(quarter(at), 2 + u64::from(at))));
    owners.chain([(shard(9), memory(HashRange::EMPTY, 7))]).collect()
}

fn refusal(memories: Vec<(Principal, ShardMemory)>) -> RecoverError {
    match rebuild(memories) {
        Ok(_) => panic!("these make no deployment"),
        Err(refusal) => refusal,
    }
}

#[test]
fn shards_of_one_deployment_are_put_together_in_the_order_of_their_ranges() {
    let mut memories = deployment();
    let roles = |version| {
        let content = canopy_types::roles::RolesContent { grants: vec![], limits: Default::default() };
        Some(RememberedRoles { version, content })
    };
    (memories[0].1.roles, memories[2].1.roles) = (roles(5), roles(8));
    memories[1].1.epoch_seen = Epoch(30);
    let Ok(rebuilt) = rebuild(memories) else { panic!("they make a deployment") };
    let order: Vec<Principal> = rebuilt.shards.iter().map(|(shard, ..)| *shard).collect();
    assert_eq!(order, [0, 1, 2, 3, 9].map(shard));
    assert_eq!((rebuilt.epoch_seen, rebuilt.roles), (Epoch(30), roles(8)));
    assert_eq!((rebuilt.secret.len(), rebuilt.tag_seed), (192, Some(ByteBuf::from([6; 32]))));
}

#[test]
fn a_missing_shard_is_a_gap_wherever_it_is() {
    let quarter = |at: u32| HashRange::FULL.part(at, 4).expect("there are quarters");
    for missing in 0..4u8 {
        let memories = deployment().into_iter().filter(|(found, _)| *found != shard(missing)).collect();
        let HashRange { first, last } = quarter(u32::from(missing));
        assert_eq!(refusal(memories), RecoverError::Gap { first, last });
    }
    let spares = vec![(shard(9), memory(HashRange::EMPTY, 7))];
    assert_eq!(refusal(spares), RecoverError::Gap { first: KeyHash(0), last: KeyHash(u64::MAX) });
}

#[test]
fn two_owners_of_a_range_are_named_with_their_epochs() {
    let upper = HashRange::FULL.part(1, 2).expect("there are halves");
    for (range, common) in
        [(upper, HashRange::FULL.part(2, 4).expect("so")), (HashRange::FULL, HashRange::FULL.part(0, 4).expect("so"))]
    {
        let mut memories = deployment();
        memories.push((shard(8), memory(range, 1)));
        match refusal(memories) {
            RecoverError::OwnedTwice { one, one_epoch, other, other_epoch, range } => {
                assert_eq!(range, common);
                assert!([one, other].contains(&shard(8)) && [one_epoch, other_epoch].contains(&Epoch(1)));
            }
            other => panic!("{other:?}"),
        }
    }
    // Also when both own everything.
    let twins = vec![(shard(1), memory(HashRange::FULL, 1)), (shard(2), memory(HashRange::FULL, 2))];
    assert!(matches!(refusal(twins), RecoverError::OwnedTwice { range: HashRange::FULL, .. }));
}

#[test]
fn strangers_and_shards_in_a_transfer_are_refused() {
    let mut memories = deployment();
    memories[2].1.secret = ByteBuf::from([9; 192]);
    assert_eq!(refusal(memories), RecoverError::OtherSecrets { shard: shard(1) });
    let mut memories = deployment();
    memories[4].1.tag_seed = None;
    assert_eq!(refusal(memories), RecoverError::OtherSecrets { shard: shard(9) });
    let mut memories = deployment();
    memories[3].1.in_transfer = Some(TransferId([4; 16]));
    assert_eq!(refusal(memories), RecoverError::InTransfer { shard: shard(0), id: TransferId([4; 16]) });
}

#[test]
fn lists_without_shards_with_too_many_and_with_one_twice_are_refused() {
    let shards_max = u64::from(SHARDS_MAX);
    assert_eq!(check_list(&[]), Err(RecoverError::ShardCount { shards: 0, shards_max }));
    let many: Vec<Principal> = (0..=SHARDS_MAX).map(|number| Principal::from_slice(&number.to_be_bytes())).collect();
    assert_eq!(check_list(&many), Err(RecoverError::ShardCount { shards: shards_max + 1, shards_max }));
    assert_eq!(check_list(&many[1..]), Ok(()));
    assert_eq!(check_list(&[shard(1), shard(2), shard(1)]), Err(RecoverError::NamedTwice { shard: shard(1) }));
}
