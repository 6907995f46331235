use super::*;
use canopy_types::limits::SECRET_BYTES;
use serde_bytes::ByteBuf;

fn arguments() -> ShardInitArguments {
    ShardInitArguments {
        router: Principal::from_slice(&[1]),
        administrators: vec![Principal::from_slice(&[2])],
        secret: ByteBuf::from(vec![5; SECRET_BYTES]),
        range: HashRange::FULL,
        epoch: Epoch::FIRST,
        index: ShardIndex(0),
        tag_seed: None,
    }
}

#[test]
fn only_router_and_administrators_are_obeyed() {
    let identity = Identity::from_arguments(arguments()).ok().unwrap();
    let (router, administrator) = (Principal::from_slice(&[1]), Principal::from_slice(&[2]));
    assert_eq!(identity.check_caller(router.as_slice()), Ok(()));
    assert_eq!(identity.check_caller(administrator.as_slice()), Ok(()));
    let stranger = Principal::anonymous();
    assert_eq!(identity.check_caller(stranger.as_slice()), Err(ShardError::Unauthorised { caller: stranger }));
}

#[test]
fn only_the_router_acts_for_others() {
    let identity = Identity::from_arguments(arguments()).ok().unwrap();
    assert_eq!(identity.check_on_behalf(&[1], &[9]), Ok(()));
    assert_eq!(identity.check_on_behalf(&[2], &[2]), Ok(()));
    let caller = Principal::from_slice(&[2]);
    assert_eq!(identity.check_on_behalf(&[2], &[9]), Err(ShardError::Unauthorised { caller }));
}

#[test]
fn keys_of_other_lengths_are_refused() {
    let identity = Identity::from_arguments(arguments()).ok().unwrap();
    assert_eq!(identity.place(b""), Err(ShardError::KeyEmpty));
    assert!(identity.place(&[0; KEY_BYTES_MAX]).is_ok());
    assert_eq!(identity.place(&[0; KEY_BYTES_MAX + 1]), Err(ShardError::KeyTooLong { bytes: 1025, bytes_max: 1024 }));
    assert!(check_value(&vec![0; VALUE_BYTES_MAX]).is_ok() && check_value(&vec![0; VALUE_BYTES_MAX + 1]).is_err());
}

#[test]
fn keys_of_another_range_name_what_is_owned() {
    let mut identity = Identity::from_arguments(arguments()).ok().unwrap();
    let hash = identity.place(b"alpha").unwrap();
    identity.range = HashRange::new(hash, hash).unwrap();
    assert_eq!(identity.place(b"alpha"), Ok(hash));
    let wrong = WrongShard { range: identity.range, epoch: Epoch::FIRST, owner: None };
    assert_eq!(identity.place(b"beta"), Err(ShardError::WrongShard(wrong)));
}

#[test]
fn arguments_that_no_router_sends_are_refused() {
    let crowd =
        ShardInitArguments { administrators: vec![Principal::anonymous(); ADMINISTRATORS_MAX + 1], ..arguments() };
    assert_eq!(Identity::from_arguments(crowd).err(), Some(InitFault::TooManyAdministrators));
    let short = ShardInitArguments { secret: ByteBuf::from(vec![5; 32]), ..arguments() };
    assert_eq!(Identity::from_arguments(short).err(), Some(InitFault::SecretLength));
    let odd = ShardInitArguments { tag_seed: Some(ByteBuf::from(vec![5; 31])), ..arguments() };
    assert_eq!(Identity::from_arguments(odd).err(), Some(InitFault::TagSeedLength));
    let empty = HashRange { first: KeyHash(2), last: KeyHash(1) };
    let nothing = ShardInitArguments { range: empty, ..arguments() };
    assert_eq!(Identity::from_arguments(nothing).err(), Some(InitFault::EmptyRange));
}
