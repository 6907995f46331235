use super::*;
use canopy_types::InitArguments;

fn configuration() -> Configuration {
    Configuration::from_arguments(InitArguments::default(), Principal::from_slice(&[1])).unwrap()
}

#[test]
fn configuration_and_journal_survive_reopening() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &configuration());
    state.change_journal(|journal| *journal = Journal::new(5));
    let reopened = State::open(memory);
    assert_eq!(reopened.configuration, configuration());
    assert_eq!(reopened.journal(), &Journal::new(5));
    assert!(reopened.routing.is_none());
}

#[test]
#[should_panic(expected = "stable memory holds no router")]
fn empty_memory_is_no_router() {
    State::open(DefaultMemoryImpl::default());
}

#[test]
#[should_panic(expected = "this code reads layout 1 only")]
fn unknown_layout_is_not_opened() {
    let memory = DefaultMemoryImpl::default();
    State::create(memory.clone(), &configuration());
    MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES).get(HEADER_MEMORY).write(8, &2u32.to_le_bytes());
    State::open(memory);
}

#[test]
fn open_calls_are_bounded_and_given_back() {
    set(State::create(DefaultMemoryImpl::default(), &configuration()));
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
