use super::*;
use crate::growth::RESERVE_PAGES;
use canopy_types::limits::{SECRET_BYTES, VALUE_BYTES_MAX};
use canopy_types::{Epoch, HashRange, KeyHash, ShardIndex};
use serde_bytes::ByteBuf;

fn arguments() -> ShardInitArguments {
    ShardInitArguments {
        router: Principal::from_slice(&[1]),
        administrators: vec![],
        secret: ByteBuf::from(vec![5; SECRET_BYTES]),
        range: HashRange::FULL,
        epoch: Epoch::FIRST,
        index: ShardIndex(3),
    }
}

#[test]
fn reopened_shard_has_identity_and_records() {
    let memory = DefaultMemoryImpl::default();
    let version = State::create(memory.clone(), arguments()).store.put(KeyHash(1), b"k", b"v", 9);
    let state = State::open(memory);
    assert_eq!(state.identity.index, ShardIndex(3));
    assert_eq!(state.store.get(KeyHash(1), b"k"), Some((version, b"v".to_vec())));
}

#[test]
#[should_panic(expected = "stable memory holds no shard")]
fn empty_memory_is_no_shard() {
    State::open(DefaultMemoryImpl::default());
}

#[test]
#[should_panic(expected = "this code reads layout 1 only")]
fn unknown_layout_is_not_opened() {
    let memory = DefaultMemoryImpl::default();
    let state = State::create(memory.clone(), arguments());
    state.manager.get(HEADER_MEMORY).write(8, &2u32.to_le_bytes());
    State::open(memory);
}

#[test]
fn a_put_takes_no_memory_from_the_platform_while_the_reserve_is_there() {
    let memory = DefaultMemoryImpl::default();
    let mut state = State::create(memory.clone(), arguments());
    let (value, before) = (vec![7; VALUE_BYTES_MAX], memory.size());
    let mut least = u64::MAX;
    for number in 0u64..200 {
        if state.unused_pages() < RESERVE_PAGES {
            break;
        }
        state.store.put(KeyHash(number), &number.to_be_bytes(), &value, number);
        least = least.min(state.unused_pages());
    }
    assert_eq!(memory.size(), before);
    assert!(least >= RESERVE_PAGES / 2, "{least} pages are left for deletes");
    assert!(state.grow() && memory.size() == before + STEP_PAGES);
}
