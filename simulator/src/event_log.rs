//! What happened in a run, one event per message execution, hashed into a chain so that two runs can be compared.

use std::collections::{BTreeMap, VecDeque};

use candid::Principal;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

/// Recent events kept in full.
const EVENTS_KEPT_MAX: usize = 4_096;

/// Executions of a canister of which one is followed by a hash of its state: most pages that one dirties are dirtied by
/// the next again, and a difference that one makes is seen in a later one.
pub const STATE_HASH_EVERY: u64 = 16;

/// What ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    Update,
    ReplicatedQuery,
    ReplyCallback,
    RejectCallback,
    Heartbeat,
    GlobalTimer,
    LowMemory,
    Management,
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub sequence: u64,
    pub time_nanos: u64,
    pub subnet: Principal,
    pub kind: EventKind,
    pub canister: Principal,
    pub method: String,
    /// XXH3 of the argument, and of the answer.
    pub argument_hash: u64,
    pub answer_hash: u64,
    pub instructions: u64,
    /// Pages of heap and stable memory that were changed, and stayed so.
    pub pages_dirtied: u64,
    pub balance: u128,
    /// Of heap, globals and stable memory after the message, for one in [`STATE_HASH_EVERY`] of a canister; else 0.
    pub state_hash: u64,
}

/// Exact sums for one canister.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub messages: u64,
    pub instructions: u64,
    pub pages_dirtied: u64,
    /// Balance at the last event.
    pub balance: u128,
}

/// A bounded ring of recent events, the chain over all of them, and counters.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    next: u64,
    recent: VecDeque<Event>,
    chain: [u8; 32],
    counters: BTreeMap<Principal, Counters>,
}

impl EventLog {
    /// Appends an event; its sequence number is set here.
    pub fn record(&mut self, mut event: Event) {
        event.sequence = self.next;
        self.next += 1;
        let mut hash = Sha256::new();
        hash.update(self.chain);
        hash.update(event.sequence.to_le_bytes());
        hash.update(event.time_nanos.to_le_bytes());
        hash.update([event.subnet.as_slice().len() as u8]);
        hash.update(event.subnet.as_slice());
        hash.update([event.kind as u8, event.canister.as_slice().len() as u8]);
        hash.update(event.canister.as_slice());
        hash.update((event.method.len() as u64).to_le_bytes());
        hash.update(event.method.as_bytes());
        hash.update(event.argument_hash.to_le_bytes());
        hash.update(event.answer_hash.to_le_bytes());
        hash.update(event.instructions.to_le_bytes());
        hash.update(event.balance.to_le_bytes());
        hash.update(event.state_hash.to_le_bytes());
        self.chain = hash.finalize().into();
        let counters = self.counters.entry(event.canister).or_default();
        counters.messages += 1;
        counters.instructions += event.instructions;
        counters.pages_dirtied += event.pages_dirtied;
        counters.balance = event.balance;
        if self.recent.len() == EVENTS_KEPT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
    }

    /// Returns the hash over all events so far.
    pub fn chain(&self) -> [u8; 32] {
        self.chain
    }

    /// Returns how many events were recorded.
    pub fn len(&self) -> u64 {
        self.next
    }

    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Lists the most recent events, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Event> {
        self.recent.iter()
    }

    /// Returns the exact sums of one canister, zero if it never ran.
    pub fn counters(&self, canister: &Principal) -> Counters {
        self.counters.get(canister).copied().unwrap_or_default()
    }
}

/// Hashes arguments and answers, which may be long and are many: XXH3.
pub fn short_hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
