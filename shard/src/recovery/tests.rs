use canopy_types::roles::{RolesContent, RolesWord};
use canopy_types::transfer::{BeginTransferArguments, TransferEnd, TransferSide};
use canopy_types::wire::GetRef;
use canopy_types::{HashRange, TransferId};
use ic_stable_structures::DefaultMemoryImpl;

use super::*;
use crate::state::tests::arguments;
use crate::transfer::costs::Means;

const NOW: u64 = 1_780_000_000_000_000_000;
const ID: TransferId = TransferId([3; 16]);
const PLENTY: u128 = u128::MAX;

fn target() -> Principal {
    Principal::from_slice(&[9])
}

/// A shard that has closed all it owns for a target.
fn closed() -> (State, DefaultMemoryImpl) {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &arguments());
    state.store.observe_clock(NOW);
    let begin = BeginTransferArguments {
        id: ID,
        side: TransferSide::Source,
        peer: target(),
        range: HashRange::FULL,
        epoch: Epoch(5),
        bytes: None,
    };
    let means = Means { liquid_cycles: PLENTY, frozen_cycles: 0, heap_bytes: 0 };
    state.begin_transfer(&begin, &means).expect("it owns everything");
    assert_eq!(abandon(&mut state, HashRange::FULL), Err(TransferError::NotClosed));
    let calls = state.transfer_turn(NOW + 1, PLENTY);
    assert_eq!(calls.iter().map(|call| call.method).collect::<Vec<_>>(), ["hand_over"]);
    (state, memory)
}

fn abandon(state: &mut State, range: HashRange) -> Result<AbandonTransferReply, TransferError> {
    state.abandon_transfer(&AbandonTransferArguments { id: ID, range })
}

#[test]
fn a_range_whose_target_is_lost_is_opened_again_and_the_target_is_believed_no_more() {
    let (mut state, memory) = closed();
    let get = GetRef { key: b"key", include_value: None };
    assert!(matches!(state.get(&get), Err(ShardError::Moving { .. })));
    let lower = HashRange::FULL.part(0, 2).expect("there are halves");
    assert_eq!(abandon(&mut state, lower), Err(TransferError::OtherRange { range: HashRange::FULL }));
    let done = abandon(&mut state, HashRange::FULL).expect("the range is closed");
    assert_eq!((done.records_estimated, done.closed_at_nanoseconds), (0, Some(NOW)));
    assert!(state.get(&get).is_ok());
    assert_eq!(abandon(&mut state, HashRange::FULL), Err(TransferError::Ended(TransferEnd::Cancelled)));
    // A late word of the target changes nothing.
    let word = canopy_types::codec::encode(&canopy_types::transfer::HandOverResult::Ok(TransferEnd::Done));
    state.peer_answered(0, Ok(word), NOW + 2);
    assert_eq!(state.identity.range, HashRange::FULL);
    assert!(State::open(memory).get(&get).is_ok());
}

#[test]
fn another_router_is_obeyed_also_after_an_upgrade() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &arguments());
    let (old, new) = (Principal::from_slice(&[1]), Principal::from_slice(&[7, 7]));
    assert!(state.identity.is_router(old.as_slice()));
    for nobody in [Principal::anonymous(), Principal::management_canister()] {
        assert!(matches!(state.adopt_router(nobody), Err(ShardError::MalformedArguments { .. })));
    }
    state.adopt_router(new).expect("it is a canister's");
    for state in [state, State::open(memory)] {
        assert!(state.identity.is_router(new.as_slice()) && !state.identity.is_router(old.as_slice()));
    }
}

#[test]
fn what_a_new_router_must_know_is_all_there() {
    let (mut state, _) = closed();
    let content = RolesContent { grants: vec![], limits: Default::default() };
    let digest = content.digest();
    let word = RolesWord { version: 8, digest, given_at_nanoseconds: NOW, content: Some(content.clone()) };
    state.roles.take(&word, NOW);
    let memory = state.memory();
    assert_eq!((memory.range, memory.epoch, memory.epoch_seen), (HashRange::FULL, Epoch::FIRST, Epoch(5)));
    assert_eq!(memory.in_transfer, Some(ID));
    assert_eq!((memory.secret, memory.tag_seed), (arguments().secret, arguments().tag_seed));
    let remembered = memory.roles.expect("there was a word");
    assert_eq!((remembered.version, remembered.content), (8, content));
}
