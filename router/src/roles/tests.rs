use super::*;
use canopy_types::codec;
use serde_bytes::ByteBuf;

fn principal(number: u32) -> Principal {
    Principal::from_slice(&number.to_be_bytes())
}

fn named(number: u32, role: Role) -> Grant {
    Grant::of_everything(principal(number), role)
}

fn limited(number: u32, role: Role, prefix: &[u8]) -> Grant {
    Grant { prefix: Some(ByteBuf::from(prefix)), ..named(number, role) }
}

fn one_administrator() -> Grants {
    Grants { version: 100, list: [named(1, Role::Administrator)].into(), unsettled: None }
}

/// Expects that a grant is refused and nothing is changed by it.
fn refused(grants: &mut Grants, grant: Grant) -> GrantError {
    let before = grants.clone();
    let error = grants.grant(grant, 500).expect_err("the grant breaks a rule");
    assert_eq!(*grants, before);
    error
}

#[test]
fn install_arguments_become_grants_for_everything() {
    let configuration = Configuration {
        initial_shards: 1,
        administrators: [principal(1)].into(),
        writers: [principal(2), principal(1)].into(),
        readers: [principal(3), Principal::anonymous()].into(),
        shard_cycles: 0,
        without_shards: None,
    };
    let grants = Grants::from_configuration(&configuration, 7);
    assert_eq!(grants.version(), 7);
    assert_eq!(grants.iter().count(), 5);
    assert!(grants.iter().all(|grant| grant.prefix.is_none() && grant.grantee.is_some()));
    assert_eq!(grants.administrators().collect::<Vec<_>>(), [principal(1)]);
}

#[test]
fn grants_survive_being_stored() {
    let mut grants = one_administrator();
    grants.grant(limited(2, Role::Writer, b"a/"), 5).unwrap();
    grants.grant(Grant { grantee: None, role: Role::Reader, prefix: None }, 5).unwrap();
    assert_eq!(codec::decode::<Grants>(&codec::encode(&grants)).unwrap(), grants);
}

#[test]
fn every_change_raises_the_version_and_nothing_else_does() {
    let mut grants = one_administrator();
    grants.grant(named(2, Role::Reader), 90).unwrap();
    assert_eq!(grants.version(), 101, "a clock that went back");
    grants.grant(named(2, Role::Reader), 200).unwrap();
    assert_eq!(grants.version(), 101, "nothing was new");
    grants.revoke(&named(2, Role::Reader), false, 200).unwrap();
    assert_eq!(grants.version(), 200);
    assert_eq!(grants.revoke(&named(2, Role::Reader), false, 300), Err(RevokeError::NoSuchGrant));
    assert_eq!(grants.version(), 200);
}

#[test]
fn a_revoked_role_is_gone_and_others_of_the_same_principal_stay() {
    let mut grants = one_administrator();
    for grant in [limited(2, Role::Writer, b"a"), limited(2, Role::Writer, b"b"), named(2, Role::Reader)] {
        grants.grant(grant, 200).unwrap();
    }
    grants.revoke(&limited(2, Role::Writer, b"a"), false, 300).unwrap();
    let (table, caller) = (grants.table(), principal(2));
    assert!(
        !table.covers(caller.as_slice(), Role::Writer, b"a1") && table.covers(caller.as_slice(), Role::Writer, b"b1")
    );
    assert!(table.covers(caller.as_slice(), Role::Reader, b"a1"));
    assert_eq!(grants.revoke(&named(2, Role::Writer), false, 300), Err(RevokeError::NoSuchGrant), "no such prefix");
}

#[test]
fn prefixes_that_fit_no_key_or_all_of_them_are_refused() {
    let mut grants = one_administrator();
    assert_eq!(refused(&mut grants, limited(2, Role::Reader, b"")), GrantError::PrefixEmpty);
    let error = refused(&mut grants, limited(2, Role::Reader, &[7; KEY_BYTES_MAX + 1]));
    assert_eq!(error, GrantError::PrefixTooLong { bytes: 1025, bytes_max: 1024 });
    assert_eq!(refused(&mut grants, limited(2, Role::Administrator, b"a")), GrantError::PrefixOfAdministrator);
    assert_eq!(grants.grant(limited(2, Role::Reader, &[7; KEY_BYTES_MAX]), 200), Ok(()));
}

#[test]
fn everyone_and_the_anonymous_only_read() {
    let mut grants = one_administrator();
    for role in [Role::Writer, Role::Administrator] {
        let everyone = Grant { grantee: None, role, prefix: None };
        assert_eq!(refused(&mut grants, everyone), GrantError::EveryoneOnlyReads);
        let anonymous = Grant::of_everything(Principal::anonymous(), role);
        assert_eq!(refused(&mut grants, anonymous), GrantError::AnonymousOnlyReads);
    }
    assert_eq!(grants.grant(Grant { grantee: None, role: Role::Reader, prefix: None }, 200), Ok(()));
    assert_eq!(grants.grant(Grant::of_everything(Principal::anonymous(), Role::Reader), 200), Ok(()));
}

#[test]
fn administrators_are_bounded() {
    let mut grants = one_administrator();
    for number in 2..=ADMINISTRATORS_MAX as u32 {
        grants.grant(named(number, Role::Administrator), 200).unwrap();
    }
    let error = refused(&mut grants, named(99, Role::Administrator));
    assert_eq!(error, GrantError::TooManyAdministrators { administrators: 9, administrators_max: 8 });
}

#[test]
fn grants_of_one_and_of_all_are_bounded() {
    let mut grants = one_administrator();
    for number in 0..GRANTS_OF_ONE_MAX as u32 {
        grants.grant(limited(2, Role::Writer, &number.to_be_bytes()), 200).unwrap();
    }
    let error = refused(&mut grants, named(2, Role::Reader));
    assert_eq!(error, GrantError::TooManyGrantsOfOne { grants: 65, grants_max: 64 });
    for number in grants.list.len() as u32..GRANTS_MAX as u32 {
        grants.grant(named(1_000 + number, Role::Writer), 200).unwrap();
    }
    let error = refused(&mut grants, named(3, Role::Reader));
    assert_eq!(error, GrantError::TooManyGrants { grants: 4097, grants_max: 4096 });
    let known = grants.list.first().unwrap().clone();
    assert_eq!(grants.grant(known, 200), Ok(()), "what is granted already needs no place");
}

#[test]
fn prefixes_are_bounded_together() {
    let mut grants = one_administrator();
    let mut number = 0;
    let long = |number: u32| {
        let prefix: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(KEY_BYTES_MAX).collect();
        limited(10 + number, Role::Writer, &prefix)
    };
    while (number as usize) < PREFIX_BYTES_TOTAL_MAX / KEY_BYTES_MAX {
        grants.grant(long(number), 200).unwrap();
        number += 1;
    }
    let error = refused(&mut grants, limited(2, Role::Reader, b"x"));
    assert_eq!(error, GrantError::TooManyPrefixBytes { bytes: 262_145, bytes_max: 262_144 });
}

#[test]
fn only_a_controller_revokes_the_last_administrator() {
    let mut grants = one_administrator();
    let last = named(1, Role::Administrator);
    assert_eq!(grants.revoke(&last, false, 200), Err(RevokeError::LastAdministrator));
    grants.grant(named(2, Role::Administrator), 200).unwrap();
    assert_eq!(grants.revoke(&last, false, 200), Ok(()));
    assert_eq!(grants.revoke(&named(2, Role::Administrator), true, 200), Ok(()));
    assert_eq!(grants.administrators().count(), 0);
}

#[test]
fn a_router_that_was_set_back_outbids_what_its_shards_know() {
    let mut grants = one_administrator();
    grants.outbid(99, 500);
    assert_eq!(grants.version(), 100, "what is older is no reason");
    grants.outbid(1_000, 500);
    assert_eq!(grants.version(), 1_001);
}
