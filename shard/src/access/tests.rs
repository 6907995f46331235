use super::*;
use crate::roles::KEPT_NANOSECONDS;
use canopy_types::Grant;
use canopy_types::limits::SECRET_BYTES;
use canopy_types::rate::RateLimits;
use canopy_types::roles::{RolesContent, RolesWord};
use canopy_types::wire::{DeleteRef, GetRef, ItemRef, PutRef};
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
        roles: None,
    }
}

const ROUTER: &[u8] = &[1];
const ADMINISTRATOR: &[u8] = &[2];
const WRITER: &[u8] = &[3];
const TENANT: &[u8] = &[4];
const CONTROLLER: &[u8] = &[5];
const STRANGER: &[u8] = &[9];
const NOW: u64 = 1_700_000_000_000_000_000;

fn is_controller(caller: &[u8]) -> bool {
    caller == CONTROLLER
}

fn refused<T>(caller: &[u8]) -> Result<T, ShardError> {
    Err(ShardError::Unauthorised { caller: Principal::from_slice(caller) })
}

/// A shard that its router hasn't told anything.
fn silent() -> State {
    let mut state = State::create(Default::default(), &arguments());
    state.message_time = NOW;
    state.message_is_update = true;
    state
}

/// A shard whose router has named a writer, and a writer of keys that begin with `t/` who reads `u/`.
fn told() -> State {
    let mut state = silent();
    let grant = |caller: &[u8], role, prefix: Option<&str>| Grant {
        grantee: Some(Principal::from_slice(caller)),
        role,
        prefix: prefix.map(ByteBuf::from),
    };
    let grants = vec![
        grant(WRITER, Role::Writer, None),
        grant(TENANT, Role::Writer, Some("t/")),
        grant(TENANT, Role::Reader, Some("u/")),
    ];
    let limits = RateLimits { operations_per_minute_max: Some(2), bytes_per_minute_max: None };
    let content = RolesContent { grants, limits };
    let word = RolesWord { version: 1, digest: content.digest(), given_at_nanoseconds: NOW, content: Some(content) };
    assert!(state.roles.take(&word, NOW).holds);
    state
}

fn authorise(state: &State, caller: &[u8], required: Role) -> Result<Permit, ShardError> {
    state.authorise(caller, required, is_controller)
}

#[test]
fn router_and_controllers_may_do_everything_at_all_times() {
    let mut outdated = told();
    outdated.message_time += KEPT_NANOSECONDS;
    for state in [silent(), told(), outdated] {
        assert_eq!(authorise(&state, ROUTER, Role::Administrator), Ok(Permit::Router));
        assert_eq!(authorise(&state, CONTROLLER, Role::Administrator), Ok(Permit::Direct(Reach::Everything)));
    }
}

#[test]
fn administrators_of_the_installation_are_obeyed_until_the_router_has_spoken() {
    assert_eq!(authorise(&silent(), ADMINISTRATOR, Role::Administrator), Ok(Permit::Direct(Reach::Everything)));
    assert_eq!(authorise(&silent(), STRANGER, Role::Reader), Err(ShardError::RolesUnknown));
    assert_eq!(authorise(&told(), ADMINISTRATOR, Role::Reader), refused(ADMINISTRATOR), "it isn't named any more");
}

#[test]
fn the_routers_word_decides_while_it_holds() {
    let mut state = told();
    assert_eq!(authorise(&state, WRITER, Role::Writer), Ok(Permit::Direct(Reach::Everything)));
    assert_eq!(authorise(&state, WRITER, Role::Administrator), refused(WRITER));
    assert_eq!(authorise(&state, TENANT, Role::Writer), Ok(Permit::Direct(Reach::SomeKeys)));
    assert_eq!(authorise(&state, STRANGER, Role::Reader), refused(STRANGER));
    state.message_time += KEPT_NANOSECONDS;
    for caller in [WRITER, TENANT, STRANGER, ADMINISTRATOR] {
        assert_eq!(authorise(&state, caller, Role::Reader), Err(ShardError::RolesUnknown));
    }
}

#[test]
fn limited_callers_reach_their_keys_only() {
    let mut state = told();
    let permit = authorise(&state, TENANT, Role::Reader).unwrap();
    assert_eq!(state.admit(permit, TENANT, Role::Reader, b"t", 10), refused(TENANT));
    assert_eq!(state.admit(permit, TENANT, Role::Reader, b"u/1", 10), Ok(()));
    let permit = authorise(&state, TENANT, Role::Writer).unwrap();
    assert_eq!(state.admit(permit, TENANT, Role::Writer, b"u/1", 10), refused(TENANT));
    assert_eq!(state.admit(permit, TENANT, Role::Writer, b"t/1", 10), Ok(()));
}

#[test]
fn who_comes_directly_is_counted_and_the_router_is_not() {
    let mut state = told();
    let permit = authorise(&state, WRITER, Role::Writer).unwrap();
    for _ in 0..2 {
        assert_eq!(state.admit(permit, WRITER, Role::Writer, b"key", 10), Ok(()));
    }
    let limited = ShardError::RateLimited {
        retry_after_milliseconds: 30_000,
        operations_per_minute_max: Some(2),
        bytes_per_minute_max: None,
    };
    assert_eq!(state.admit(permit, WRITER, Role::Writer, b"key", 10), Err(limited));
    state.message_is_update = false;
    assert_eq!(state.admit(permit, WRITER, Role::Reader, b"key", 10), Ok(()), "queries are not counted");
    state.message_is_update = true;
    for _ in 0..10 {
        assert_eq!(state.admit(Permit::Router, ROUTER, Role::Writer, b"key", 10), Ok(()));
    }
}

fn batch<'a>(caller: &'a [u8], actions: &[(&str, &'a [u8])]) -> ApplyRef<'a> {
    let action = |&(kind, key): &(&str, &'a [u8])| match kind {
        "get" => ActionRef::Get(GetRef { key, include_value: None }),
        "delete" => ActionRef::Delete(DeleteRef { key, precondition: None, operation: None }),
        _ => ActionRef::Put(PutRef {
            key,
            value: b"",
            precondition: None,
            time_to_live_milliseconds: None,
            operation: None,
        }),
    };
    let items = actions.iter().map(|named| ItemRef { index: 0, action: action(named) }).collect();
    ApplyRef { caller, operation: None, reply_bytes_max: None, items }
}

fn admit_batch(caller: &[u8], batch: &ApplyRef) -> Result<(), ShardError> {
    let mut state = told();
    let permit = authorise(&state, caller, Role::Reader).unwrap();
    state.admit_batch(permit, caller, batch, 10, is_controller)
}

#[test]
fn only_the_router_acts_for_others() {
    let of_stranger = batch(STRANGER, &[("put", b"key")]);
    assert_eq!(admit_batch(ROUTER, &of_stranger), Ok(()));
    for caller in [WRITER, TENANT, CONTROLLER] {
        assert_eq!(admit_batch(caller, &of_stranger), refused(caller));
        assert_eq!(admit_batch(caller, &batch(ROUTER, &[("get", b"t/")])), refused(caller));
    }
    assert_eq!(admit_batch(WRITER, &batch(WRITER, &[("put", b"key"), ("get", b"key")])), Ok(()));
}

#[test]
fn a_batch_is_refused_for_any_item_out_of_reach() {
    assert_eq!(admit_batch(TENANT, &batch(TENANT, &[("put", b"t/1"), ("get", b"u/1")])), Ok(()));
    assert_eq!(admit_batch(TENANT, &batch(TENANT, &[("put", b"t/1"), ("put", b"u/1")])), refused(TENANT));
    assert_eq!(admit_batch(TENANT, &batch(TENANT, &[("get", b"t/1"), ("get", b"v/1")])), refused(TENANT));
    assert_eq!(admit_batch(TENANT, &batch(TENANT, &[("get", b"t/1"), ("delete", b"u/1")])), refused(TENANT));
}

#[test]
fn a_batch_counts_as_its_items() {
    let mut state = told();
    let three = batch(WRITER, &[("put", b"a"), ("put", b"b"), ("get", b"c")]);
    let permit = authorise(&state, WRITER, Role::Reader).unwrap();
    assert_eq!(state.admit_batch(permit, WRITER, &three, 10, is_controller), Ok(()), "a rested caller may run ahead");
    let again = state.admit_batch(permit, WRITER, &three, 10, is_controller);
    assert!(matches!(again, Err(ShardError::RateLimited { retry_after_milliseconds: 60_000, .. })), "{again:?}");
}

#[test]
fn methods_from_outside_have_a_role() {
    let exported = include_str!("../service.rs");
    let methods =
        exported.lines().filter_map(|line| line.split_once("\"canister_")?.1.split('"').next()?.split_once(' '));
    let without: Vec<&str> = methods.map(|(_, name)| name).filter(|name| required_role(name).is_none()).collect();
    let of_uploads = ["open_upload", "upload", "close_upload", "publish_upload", "chunk_digests", "delete_chunks"];
    let of_peers = ["finish_collection", "import_batch", "hand_over", "recall"];
    let of_canisters = [&["set_roles"], &of_uploads[..], &of_peers].concat();
    assert_eq!(without, of_canisters, "only a router and the peer of a transfer send these, and not from outside");
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
    let wrong = WrongShard { range: identity.range, epoch: Epoch::FIRST, owner: None, moved: None };
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
