use super::*;
use proptest::prelude::*;

fn principal(number: u8) -> Principal {
    Principal::from_slice(&[number; 10])
}

fn grant(number: impl Into<Option<u8>>, role: Role, prefix: Option<&[u8]>) -> Grant {
    Grant { grantee: number.into().map(principal), role, prefix: prefix.map(ByteBuf::from) }
}

fn reach(table: &RoleTable, number: u8, required: Role) -> Reach {
    table.reach(principal(number).as_slice(), required)
}

#[test]
fn a_greater_role_may_do_what_a_lesser_one_may() {
    let table = RoleTable::new(&[grant(1, Role::Administrator, None), grant(2, Role::Writer, None)]);
    for required in [Role::Reader, Role::Writer, Role::Administrator] {
        assert_eq!(reach(&table, 1, required), Reach::Everything);
    }
    assert_eq!(reach(&table, 2, Role::Reader), Reach::Everything);
    assert_eq!(reach(&table, 2, Role::Administrator), Reach::Nothing);
    assert_eq!(reach(&table, 3, Role::Reader), Reach::Nothing);
}

#[test]
fn a_limited_role_reaches_keys_with_its_prefix_only() {
    let table = RoleTable::new(&[grant(1, Role::Writer, Some(b"a/")), grant(1, Role::Reader, Some(b"b"))]);
    let one = principal(1);
    let covers = |required, key: &[u8]| table.covers(one.as_slice(), required, key);
    assert_eq!(reach(&table, 1, Role::Writer), Reach::SomeKeys);
    assert!(covers(Role::Writer, b"a/") && covers(Role::Writer, b"a/b") && covers(Role::Reader, b"a/b"));
    assert!(!covers(Role::Writer, b"a") && !covers(Role::Writer, b"") && !covers(Role::Writer, b"ba/"));
    assert!(covers(Role::Reader, b"b") && !covers(Role::Writer, b"b") && !covers(Role::Reader, b"c"));
    assert_eq!(table.only_prefix(one.as_slice(), Role::Writer), Some(b"a/".as_slice()));
    assert_eq!(table.only_prefix(one.as_slice(), Role::Reader), None, "there are two");
}

#[test]
fn a_role_for_everything_beats_limited_ones() {
    let table = RoleTable::new(&[grant(1, Role::Writer, Some(b"a/")), grant(1, Role::Reader, None)]);
    assert_eq!(reach(&table, 1, Role::Reader), Reach::Everything);
    assert_eq!(reach(&table, 1, Role::Writer), Reach::SomeKeys, "the limited role is the greater");
    assert!(table.covers(principal(1).as_slice(), Role::Reader, b"z"));
    assert!(!table.covers(principal(1).as_slice(), Role::Writer, b"z"));
    assert_eq!(table.only_prefix(principal(1).as_slice(), Role::Reader), None);
}

#[test]
fn everyone_is_also_who_has_a_name() {
    let table = RoleTable::new(&[grant(None, Role::Reader, Some(b"public/")), grant(1, Role::Writer, Some(b"own/"))]);
    for caller in [principal(1), principal(2), Principal::anonymous()] {
        assert!(table.covers(caller.as_slice(), Role::Reader, b"public/x"), "{caller}");
        assert!(!table.covers(caller.as_slice(), Role::Writer, b"public/x"), "{caller}");
        assert_eq!(table.reach(caller.as_slice(), Role::Reader), Reach::SomeKeys);
    }
    assert_eq!(table.reach_by_name(principal(1).as_slice(), Role::Reader), Reach::SomeKeys);
    assert_eq!(table.reach_by_name(principal(2).as_slice(), Role::Reader), Reach::Nothing);
}

#[test]
fn principals_that_differ_in_length_alone_are_told_apart() {
    let (short, long) = (Principal::from_slice(&[1, 0]), Principal::from_slice(&[1, 0, 0]));
    let table = RoleTable::new(&[Grant::of_everything(short, Role::Reader)]);
    assert_eq!(table.reach(short.as_slice(), Role::Reader), Reach::Everything);
    assert_eq!(table.reach(long.as_slice(), Role::Reader), Reach::Nothing);
    assert_eq!(table.reach(&[], Role::Reader), Reach::Nothing);
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Reader), Just(Role::Writer), Just(Role::Administrator)]
}

fn any_grant() -> impl Strategy<Value = Grant> {
    (proptest::option::of(0u8..4), any_role(), proptest::option::of(proptest::collection::vec(0u8..2, 1..3))).prop_map(
        |(number, role, prefix)| Grant { grantee: number.map(principal), role, prefix: prefix.map(ByteBuf::from) },
    )
}

proptest! {
    #[test]
    fn the_table_answers_as_the_list_of_grants_says(
        grants in proptest::collection::vec(any_grant(), 0..8),
        number in 0u8..5,
        required in any_role(),
        key in proptest::collection::vec(0u8..2, 0..4),
    ) {
        let (table, caller) = (RoleTable::new(&grants), principal(number));
        let of_caller = |grant: &&Grant| grant.role >= required && grant.grantee.is_none_or(|named| named == caller);
        let usable: Vec<&Grant> = grants.iter().filter(of_caller).collect();
        let covered = usable.iter().any(|grant| grant.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix)));
        prop_assert_eq!(table.covers(caller.as_slice(), required, &key), covered);
        let expected = match usable.iter().map(|grant| grant.prefix.is_none()).max() {
            None => Reach::Nothing,
            Some(false) => Reach::SomeKeys,
            Some(true) => Reach::Everything,
        };
        prop_assert_eq!(table.reach(caller.as_slice(), required), expected);
    }
}
