use super::*;
use canopy_types::{Grant, InitArguments, Role};

const NOW: u64 = 1_000;

fn configuration() -> Configuration {
    Configuration::from_arguments(InitArguments::default(), Principal::from_slice(&[1])).unwrap()
}

#[test]
fn configuration_and_journal_survive_reopening() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &configuration(), NOW);
    state.change_journal(|journal| *journal = Journal::new(5));
    let reopened = State::open(memory, NOW);
    assert_eq!(reopened.configuration, configuration());
    assert_eq!(reopened.journal(), &Journal::new(5));
    assert!(reopened.routing.is_none());
}

#[test]
fn grants_survive_reopening() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &configuration(), NOW);
    let added = Principal::from_slice(&[7]);
    state.change_grants(|grants| grants.grant(Grant::of_everything(added, Role::Writer), NOW + 5)).unwrap();
    assert_eq!(state.role_table().reach(&[7], Role::Writer), canopy_types::roles::Reach::Everything);
    let reopened = State::open(memory, NOW + 9);
    assert_eq!(reopened.grants(), state.grants());
    assert_eq!(reopened.grants().version(), NOW + 5);
    assert_eq!(reopened.role_table().reach(&[7], Role::Writer), canopy_types::roles::Reach::Everything);
}

#[test]
fn a_router_of_layout_1_takes_its_install_arguments_over_once() {
    let memory = DefaultMemoryImpl::default();
    let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
    let header = manager.get(HEADER_MEMORY);
    header.grow(1);
    header.write(0, b"CANOPYRT\x01\0\0\0");
    StableCell::init(manager.get(CONFIGURATION_MEMORY), codec::encode(&configuration()));
    StableCell::init(manager.get(JOURNAL_MEMORY), codec::encode(&Journal::new(2)));
    let mut state = State::open(memory.clone(), NOW + 1);
    assert_eq!(state.grants(), &Grants::from_configuration(&configuration(), NOW + 1));
    let first = Grant::of_everything(Principal::from_slice(&[1]), Role::Administrator);
    state.change_grants(|grants| grants.revoke(&first, true, NOW + 2)).unwrap();
    assert_eq!(State::open(memory, NOW + 3).grants().iter().count(), 0, "what was revoked must not come back");
}

#[test]
#[should_panic(expected = "stable memory holds no router")]
fn empty_memory_is_no_router() {
    State::open(DefaultMemoryImpl::default(), NOW);
}

#[test]
#[should_panic(expected = "this code reads layouts 1 and 2 only")]
fn unknown_layout_is_not_opened() {
    let memory = DefaultMemoryImpl::default();
    State::create(memory.clone(), &configuration(), NOW);
    MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES).get(HEADER_MEMORY).write(8, &3u32.to_le_bytes());
    State::open(memory, NOW);
}

#[test]
fn open_calls_are_bounded_and_given_back() {
    set(State::create(DefaultMemoryImpl::default(), &configuration(), NOW));
    let shard = Principal::from_slice(&[2]);
    let first = open_call(shard, 2).ok().unwrap();
    let second = open_call(shard, 2).ok().unwrap();
    assert_eq!(open_call(shard, 2).err(), Some(2));
    assert!(open_call(Principal::from_slice(&[3]), 2).is_ok(), "another shard has calls of its own");
    drop(first);
    assert!(open_call(shard, 2).is_ok());
    drop(second);
    assert_eq!(with(|state| state.open_calls()), 0);
}
