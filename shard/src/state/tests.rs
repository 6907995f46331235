use super::*;
use candid::Principal;
use canopy_types::limits::{SECRET_BYTES, VALUE_BYTES_MAX};
use canopy_types::roles::{RolesContent, RolesWord};
use canopy_types::transfer::{
    BeginTransferArguments, CancelTransferArguments, HandOverResult, TransferEnd, TransferSide,
};
use canopy_types::wire::{DeleteRef, GetRef, PutRef};
use canopy_types::{Epoch, HashRange, ShardIndex, TransferId};
use serde_bytes::ByteBuf;

use crate::operations::Origin;
use crate::transfer::costs::Means;

const NOW: u64 = 1_780_000_000_000_000_000;

pub fn arguments() -> ShardInitArguments {
    ShardInitArguments {
        router: Principal::from_slice(&[1]),
        administrators: vec![],
        secret: ByteBuf::from(vec![5; SECRET_BYTES]),
        range: HashRange::FULL,
        epoch: Epoch::FIRST,
        index: ShardIndex(3),
        tag_seed: Some(ByteBuf::from(vec![6; 32])),
        roles: None,
    }
}

fn put(state: &mut State, key: &[u8], value: &[u8]) -> Result<Version, canopy_types::shard::ShardError> {
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    let put = PutRef { key, value, precondition: None, time_to_live_milliseconds: None, operation: None };
    state.put(&origin, &put)
}

#[test]
fn reopened_shard_has_identity_and_records() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &arguments());
    state.store.observe_clock(NOW);
    let version = put(&mut state, b"k", b"v").unwrap();
    let mut state = State::open(memory);
    assert_eq!(state.identity.index, ShardIndex(3));
    assert_eq!(state.least_version(), version);
    let reply = state.get(&GetRef { key: b"k", include_value: None }).unwrap();
    assert!(reply.windows(8).any(|window| window == version.0.to_le_bytes()));
}

#[test]
#[should_panic(expected = "stable memory holds no shard")]
fn empty_memory_is_no_shard() {
    State::open(DefaultMemoryImpl::default());
}

#[test]
#[should_panic(expected = "stable memory holds something else than a shard")]
fn foreign_memory_is_no_shard() {
    let memory = DefaultMemoryImpl::default();
    memory.grow(1);
    State::open(memory);
}

#[test]
#[should_panic(expected = "this code reads layouts 1 and 2 only")]
fn unknown_layout_is_not_opened() {
    let memory = DefaultMemoryImpl::default();
    State::create(memory.clone(), &arguments());
    memory.write(VERSION_OFFSET as u64, &3u32.to_le_bytes());
    State::open(memory);
}

#[test]
fn puts_take_no_memory_from_the_platform_and_the_timer_adds_it() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), &arguments());
    let (value, mut now, mut busy) = (vec![7; VALUE_BYTES_MAX], NOW, 0);
    for number in 0u64..150 {
        state.store.observe_clock(now);
        let before = memory.size();
        let result = put(&mut state, &number.to_be_bytes(), &value);
        assert_eq!(memory.size(), before, "a put adds no memory");
        busy += u64::from(result.is_err());
        // The timer comes late.
        if let Some(at) = state.take_alarm(now)
            && number % 40 == 39
        {
            now = at;
            while let Some(at) = state.run(now).filter(|&at| at == now) {
                now = at + 1;
            }
        }
        now += 40_000_000_000;
    }
    assert!(memory.size() > 3_000, "{} pages", memory.size());
    assert!(busy < 100, "{busy} puts were busy");
}

#[test]
fn what_ends_is_swept_and_then_the_timer_rests() {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    let short = PutRef {
        key: b"short",
        value: b"v",
        precondition: None,
        time_to_live_milliseconds: Some(90_000),
        operation: None,
    };
    state.put(&origin, &short).unwrap();
    let mut now = NOW;
    let mut alarm = state.take_alarm(now);
    assert!(state.take_alarm(now).is_none(), "the timer is set");
    let mut turns = 0;
    while let Some(at) = alarm {
        now = at;
        alarm = state.run(now);
        turns += 1;
        assert!(turns < 20, "the timer never rests");
    }
    assert!(now >= NOW + 90_000_000_000);
    assert_eq!(state.store.statistics().records, 0);
}

#[test]
fn lost_timer_is_set_again() {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    put(&mut state, b"k", b"v").unwrap();
    let at = state.take_alarm(NOW).expect("a new store wants to grow ahead");
    assert_eq!(state.take_alarm(at + LOST_NANOSECONDS), None);
    let later = at + RETRY_NANOSECONDS + LOST_NANOSECONDS;
    assert_eq!(state.take_alarm(later), Some(later));
}

#[test]
fn memory_that_can_not_be_had_keeps_the_timer_from_nothing_else() {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    put(&mut state, b"k", b"v").unwrap();
    assert_eq!(state.take_alarm(NOW), Some(NOW));
    assert!(state.is_growth_due());
    // Growing trapped, which lost the timer, and nobody but the router comes.
    let later = NOW + RETRY_NANOSECONDS + LOST_NANOSECONDS + 1;
    state.take_word(later, |_| ());
    assert!(!state.is_growth_due(), "the next message is for what else there is to do");
    assert_eq!(state.run(later), Some(later), "and asks for memory again");
    assert!(state.is_growth_due());
}

#[test]
fn a_shard_to_which_nobody_writes_asks_for_no_memory() {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    assert!(state.store.needs_growth());
    assert_eq!(state.take_word(NOW, |_| ()).1, None);
    assert!(!state.is_growth_due());
}

const TRANSFER: TransferId = TransferId([7; 16]);
const TRANSFER_EPOCH: Epoch = Epoch(9);

/// Opens a shard with one record that has begun to give everything away, and whose timer rests but for that.
fn source() -> State {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    put(&mut state, b"k", b"v").unwrap();
    assert_eq!(state.take_alarm(NOW), Some(NOW), "a new store wants to grow ahead");
    while state.run(NOW).is_some() {}
    let (id, epoch, peer) = (TRANSFER, TRANSFER_EPOCH, Principal::from_slice(&[2]));
    let (side, range, bytes) = (TransferSide::Source, HashRange::FULL, None);
    let means = Means { liquid_cycles: u128::MAX, frozen_cycles: 0, heap_bytes: 0 };
    state.begin_transfer(&BeginTransferArguments { id, side, peer, range, epoch, bytes }, &means).unwrap();
    state
}

/// Has the state do what the timer does at `now`, and the target agree to everything; tells when it would come again.
fn turn(state: &mut State, now: u64) -> Option<u64> {
    let calls = state.transfer_turn(now, u128::MAX);
    state.run(now);
    for call in calls {
        let reply = match call.method {
            "hand_over" => codec::encode(&HandOverResult::Ok(TransferEnd::Done)),
            _ => codec::encode(&canopy_types::transfer::ImportResult::Ok(())),
        };
        state.peer_answered(call.flight, Ok(reply), now);
    }
    state.take_alarm(now)
}

#[test]
fn what_was_given_away_is_freed_when_the_router_tells_the_roles_though_the_timer_is_lost() {
    let mut state = source();
    while state.transfers.clearing().is_none() {
        turn(&mut state, NOW);
    }
    assert_eq!(state.identity.range, HashRange::EMPTY);
    assert_eq!(state.store.statistics().records, 1);
    // The timer was set, and what it did was undone by a trap: nobody has a reason to ask a shard that owns nothing.
    let later = NOW + LOST_NANOSECONDS + 1;
    let content = RolesContent { grants: vec![], limits: Default::default() };
    let digest = content.digest();
    let word = RolesWord { version: 1, digest, given_at_nanoseconds: later, content: Some(content) };
    let (reply, alarm) = state.take_word(later, |state| state.roles.take(&word, later));
    assert!(reply.holds);
    assert_eq!(alarm, Some(later));
    state.run(later);
    assert_eq!(state.store.statistics().records, 0);
    assert_eq!(state.transfers.clearing(), None);
}

#[test]
fn tombstones_of_a_transfer_are_dropped_though_the_timer_is_lost() {
    let mut state = source();
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    state.delete(&origin, &DeleteRef { key: b"k", precondition: None, operation: None }).unwrap();
    assert_eq!(state.store.tombstones(), 1);
    let cancel = CancelTransferArguments { id: TRANSFER, epoch: TRANSFER_EPOCH };
    state.cancel_transfer(Principal::from_slice(&[1]), true, &cancel).unwrap();
    assert_eq!(state.take_alarm(NOW), Some(NOW));
    let later = NOW + LOST_NANOSECONDS + 1;
    assert_eq!(state.take_alarm(later), Some(later));
    while state.run(later).is_some_and(|at| at == later) {}
    assert_eq!(state.store.tombstones(), 0);
    assert_eq!(state.run(later), None, "the timer rests");
}
