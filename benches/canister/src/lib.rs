//! The store, and StableBTreeMap beside it, in a canister that measures itself.
//!
//! One update method takes a command (see `Command`) and replies with the instructions that its loop used, by
//! `performance_counter`, and how many steps it took. Each instance of the canister holds one of the two structures.

use std::cell::RefCell;

use canopy_shard::store::{Budget, Delete, Growth, KeyRef, Kind, Operation, Options, Precondition, Put, Store};
use ic_stable_structures::{DefaultMemoryImpl, StableBTreeMap};

const NOON: u64 = 1_780_000_020_000_000_000;
const MINUTE: u64 = 60_000_000_000;
const FREE_BYTES: u64 = 128 << 20;

#[cfg(target_arch = "wasm32")]
mod ic0 {
    #[link(wasm_import_module = "ic0")]
    unsafe extern "C" {
        pub safe fn msg_arg_data_size() -> usize;
        pub fn msg_arg_data_copy(target: *mut u8, offset: usize, size: usize);
        pub fn msg_reply_data_append(source: *const u8, size: usize);
        pub safe fn msg_reply();
        pub safe fn performance_counter(kind: u32) -> u64;
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one, and it is not moved while it is measured")]
enum State {
    Nothing,
    Store(Store<DefaultMemoryImpl>),
    Map(StableBTreeMap<Vec<u8>, Vec<u8>, DefaultMemoryImpl>),
}

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::Nothing) };
}

/// What to do, as 5 numbers of 8 bytes: operation, first number, count, bytes of a value, records that are there.
struct Command {
    operation: u64,
    first: u64,
    count: u64,
    value_bytes: u64,
    records: u64,
}

fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn key_bytes(number: u64) -> [u8; 32] {
    let mut bytes = [b'k'; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[24..].copy_from_slice(&mix(number).to_le_bytes());
    bytes
}

fn key(number: u64, bytes: &[u8]) -> KeyRef<'_> {
    KeyRef { hash: mix(number), tag: mix(number ^ 0x5555_5555), space: 0, bytes }
}

fn operation(number: u64) -> Operation {
    let identity = u128::from(mix(number ^ 0xaaaa)) << 64 | u128::from(mix(number ^ 0xbbbb_bbbb));
    Operation { identity, issued: NOON, arguments: number }
}

impl Command {
    fn read(bytes: &[u8]) -> Command {
        let number = |at: usize| u64::from_le_bytes(bytes[at * 8..][..8].try_into().expect("eight bytes"));
        Command { operation: number(0), first: number(1), count: number(2), value_bytes: number(3), records: number(4) }
    }

    /// Numbers of records that are there, in no order.
    fn chosen(&self, at: u64) -> u64 {
        mix(at ^ 0x77) % self.records
    }

    fn run(&self, state: &mut State) -> u64 {
        match self.operation {
            0 => {
                let mut store =
                    Store::create(DefaultMemoryImpl::default(), Options::default()).expect("the memory is empty");
                store.advance_time(NOON);
                *state = State::Store(store);
            }
            1 => *state = State::Map(StableBTreeMap::init(DefaultMemoryImpl::default())),
            _ => {}
        }
        match state {
            State::Nothing => unreachable!("a command before `create`"),
            State::Store(store) => self.run_store(store),
            State::Map(map) => self.run_map(map),
        }
    }

    fn run_store(&self, store: &mut Store<DefaultMemoryImpl>) -> u64 {
        let value = vec![7; self.value_bytes as usize];
        let put = |store: &mut Store<DefaultMemoryImpl>, key: KeyRef, value: &[u8], number: u64| {
            let answer = store.put(&Put {
                key,
                kind: Kind::Value,
                value,
                expires_at: None,
                precondition: Precondition::None,
                operation: Some(operation(number)),
            });
            answer.expect("space was made");
        };
        let steps = self.first..self.first + self.count;
        match self.operation {
            // Grow.
            2 => {
                while store.statistics().untouched_bytes < FREE_BYTES {
                    assert!(matches!(store.maintain(), Growth::Grown { .. } | Growth::Enough));
                    if store.statistics().untouched_bytes >= FREE_BYTES / 2 {
                        break;
                    }
                }
            }
            // Nothing but the keys.
            3 => {
                for at in steps {
                    let bytes = key_bytes(self.chosen(at));
                    std::hint::black_box((key(self.chosen(at), &bytes), operation(at), &value));
                }
            }
            4 => {
                for number in steps {
                    put(store, key(number, &key_bytes(number)), &value, number);
                }
            }
            // Get.
            5 => {
                let mut read = Vec::with_capacity(self.value_bytes as usize);
                for at in steps {
                    read.clear();
                    let number = self.chosen(at);
                    store.get(&key(number, &key_bytes(number)), &mut read).expect("it was put");
                }
            }
            // Overwrite, same size.
            6 => {
                for at in steps {
                    let number = self.chosen(at);
                    put(store, key(number, &key_bytes(number)), &value, at + (1 << 40));
                }
            }
            // Overwrite, other size.
            7 => {
                for at in steps {
                    let number = self.chosen(at);
                    let shorter = &value[..value.len() - (mix(at) % (self.value_bytes / 2)) as usize];
                    put(store, key(number, &key_bytes(number)), shorter, at + (1 << 41));
                }
            }
            // Delete.
            8 => {
                for at in steps {
                    let number = self.chosen(at);
                    let bytes = key_bytes(number);
                    let delete = Delete {
                        key: key(number, &bytes),
                        precondition: Precondition::None,
                        operation: Some(operation(at + (1 << 42))),
                        keep_tombstone: false,
                    };
                    store.delete(&delete).expect("space was made");
                }
            }
            // Sweep receipts.
            9 => {
                store.advance_time(NOON + 17 * MINUTE);
                let budget = Budget { instructions: self.count, bytes: u64::MAX, pages: u64::MAX };
                return store.sweep(budget).receipts;
            }
            // Put under one hash.
            10 => {
                for number in steps {
                    put(store, KeyRef { hash: 1 << 40, ..key(number, &key_bytes(number)) }, &value, number);
                }
            }
            // Open.
            11 => {
                let opened = Store::open(DefaultMemoryImpl::default(), Options::default()).expect("a store is there");
                // An upgrade takes the heap away and drops nothing.
                std::mem::forget(std::mem::replace(store, opened));
            }
            _ => {}
        }
        self.count
    }

    fn run_map(&self, map: &mut StableBTreeMap<Vec<u8>, Vec<u8>, DefaultMemoryImpl>) -> u64 {
        let value = vec![7; self.value_bytes as usize];
        for at in self.first..self.first + self.count {
            match self.operation {
                4 => {
                    map.insert(key_bytes(at).to_vec(), value.clone());
                }
                5 => {
                    map.get(&key_bytes(self.chosen(at)).to_vec()).expect("it was put");
                }
                _ => {}
            }
        }
        self.count
    }
}

#[cfg(target_arch = "wasm32")]
#[unsafe(export_name = "canister_update bench")]
extern "C" fn bench() {
    let mut bytes = vec![0; ic0::msg_arg_data_size()];
    // SAFETY: the buffer is as long as the argument.
    unsafe { ic0::msg_arg_data_copy(bytes.as_mut_ptr(), 0, bytes.len()) };
    let command = Command::read(&bytes);
    let reply = STATE.with_borrow_mut(|state| {
        let before = ic0::performance_counter(0);
        let steps = command.run(state);
        let used = ic0::performance_counter(0) - before;
        [used.to_le_bytes(), steps.to_le_bytes()].concat()
    });
    // SAFETY: the slice is valid for its length.
    unsafe { ic0::msg_reply_data_append(reply.as_ptr(), reply.len()) };
    ic0::msg_reply();
}

/// The commands run in a canister only; natively this keeps them compiled.
#[cfg(not(target_arch = "wasm32"))]
pub fn run(bytes: &[u8]) -> u64 {
    STATE.with_borrow_mut(|state| Command::read(bytes).run(state))
}
