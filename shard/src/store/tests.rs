//! Tests of the store, natively: over a sparse memory in the process that counts what is read and written.

mod behaviour;
mod cost;
mod fuzz;
mod golden;
mod memory;
mod model;
mod parts;

use super::{KeyRef, Operation, Options, Put, Store};
use memory::TestMemory;

/// Some nanoseconds since 1970, a whole number of minutes.
const NOON: u64 = 1_780_000_020_000_000_000 / 60_000_000_000 * 60_000_000_000;
const MILLISECOND: u64 = 1_000_000;
const MINUTE: u64 = 60_000 * MILLISECOND;

/// Settings for small memories: 1 MiB at a time, 64 pages of reserve.
const SMALL: Options = Options { growth_bytes: 1 << 20, reserve_pages: 64, cached_nodes_max: 1_024 };

/// One step of splitmix64: the next state's number.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A small generator of numbers, for tests that draw many.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A key of 32 bytes with its number at both ends, spread by `mix`.
fn key_bytes(number: u64) -> [u8; 32] {
    let mut bytes = [b'k'; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[24..].copy_from_slice(&mix(number).to_le_bytes());
    bytes
}

fn key_ref(number: u64, bytes: &[u8]) -> KeyRef<'_> {
    KeyRef { hash: mix(number), tag: mix(number ^ 0x5555_5555), space: 0, bytes }
}

fn operation(number: u64, issued: u64) -> Operation {
    let identity = u128::from(mix(number ^ 0xaaaa)) << 64 | u128::from(mix(number ^ 0xbbbb_bbbb));
    Operation { identity, issued, arguments: mix(number ^ 0xcc) }
}

fn put<'a>(key: KeyRef<'a>, value: &'a [u8], operation: Option<Operation>) -> Put<'a> {
    Put { key, kind: super::Kind::Value, value, expires_at: None, precondition: super::Precondition::None, operation }
}

/// A store in a new memory, at noon.
fn new_store(options: Options) -> (Store<TestMemory>, TestMemory) {
    let memory = TestMemory::default();
    let mut store = Store::create(memory.clone(), options).expect("the memory is empty and may grow");
    store.advance_time(NOON);
    (store, memory)
}

/// Grows the memory until enough is free.
fn maintain(store: &mut Store<TestMemory>) {
    while let super::Growth::Grown { .. } = store.maintain() {}
}
