//! Commands on the store.

use canopy_shard::store::{
    Budget, Delete, Growth, Import, Imported, Item, Kind, Kinds, Options, Outcome, Precondition, Put, Receipt, Store,
    Values, Walk,
};

#[cfg(not(target_arch = "wasm32"))]
use crate::command::PAGES_TOLD_MAX;
use crate::command::{Action, Command, Reply};
use crate::keys::{NOON, Prepared};

const NANOSECONDS_PER_MINUTE: u64 = 60_000_000_000;

/// What the store lies in: in a canister its stable memory, elsewhere one that counts dirtied pages. Counting is left to
/// another program, because it would change what the compiler makes of the store.
#[cfg(target_arch = "wasm32")]
type BenchMemory = ic_stable_structures::DefaultMemoryImpl;
#[cfg(not(target_arch = "wasm32"))]
type BenchMemory = crate::counting::CountingMemory;

/// A store, and its memory.
pub struct Measured {
    store: Store<BenchMemory>,
    memory: BenchMemory,
}

/// Makes an empty store.
pub fn create() -> Measured {
    let memory = BenchMemory::default();
    let mut store = Store::create(memory.clone(), Options::default()).expect("the memory is empty and may grow");
    store.advance_time(NOON);
    Measured { store, memory }
}

/// Runs a command.
pub fn run(measured: &mut Measured, command: &Command, counter: fn() -> u64) -> Reply {
    let mut reply = Reply::default();
    let once = |reply: &mut Reply, run: &mut dyn FnMut() -> u64| {
        let before = counter();
        reply.steps = run();
        reply.instructions = crate::used(before, counter);
    };
    let store = &mut measured.store;
    match command.action {
        Action::Grow => while let Growth::Grown { .. } = store.maintain() {},
        Action::Walk => {
            let from = Prepared::new(command.first, 0, NOON, false).key().hash;
            let walk = Walk {
                first: from,
                last: u64::MAX,
                after: None,
                receipts: false,
                tombstones: false,
                space: None,
                kinds: Kinds::All,
                prefix: Vec::new(),
                values: Values::All,
                items_max: u64::MAX,
            };
            // Every record counts as many bytes as it has, so that the walk ends by itself.
            let bytes = command.count * (crate::keys::KEY_BYTES as u64 + command.value_bytes);
            let budget = Budget { instructions: u64::MAX, bytes, pages: u64::MAX };
            once(&mut reply, &mut || {
                let mut visited = 0;
                store.walk(&walk, &budget, &mut |item| visited += u64::from(matches!(item, Item::Record { .. })));
                visited
            });
        }
        Action::Free => {
            let budget = Budget { instructions: command.count, bytes: u64::MAX, pages: u64::MAX };
            once(&mut reply, &mut || store.free_range(0, u64::MAX, budget).freed);
        }
        Action::Sweep => {
            store.advance_time(NOON + command.first * NANOSECONDS_PER_MINUTE);
            let budget = Budget { instructions: command.count, bytes: u64::MAX, pages: u64::MAX };
            once(&mut reply, &mut || store.sweep(budget).receipts);
        }
        Action::Open => once(&mut reply, &mut || {
            let opened = Store::open(measured.memory.clone(), Options::default()).expect("a store is there");
            // An upgrade takes the heap away and drops nothing.
            std::mem::forget(std::mem::replace(store, opened));
            1
        }),
        Action::Sizes => {
            let sizes = store.statistics();
            let touched = sizes.capacity_bytes - sizes.untouched_bytes - sizes.fixed_bytes;
            reply.sizes = [sizes.records, sizes.live_bytes, touched, sizes.capacity_bytes];
        }
        _ => run_steps(measured, command, counter, &mut reply),
    }
    reply
}

fn run_steps(measured: &mut Measured, command: &Command, counter: fn() -> u64, reply: &mut Reply) {
    let issued = measured.store.shard_time();
    let equal_hash = matches!(command.action, Action::PutEqualHash | Action::GetEqualHash | Action::DeleteEqualHash);
    let prepare = |(record, step)| {
        let mut prepared = Prepared::new(record, step, issued, equal_hash);
        prepared.value_bytes = match command.action {
            Action::PutShorter => command.value_bytes - prepared.chance % (command.value_bytes / 2),
            Action::PutRandom => prepared.chance % command.value_bytes,
            _ => command.value_bytes,
        } as usize;
        prepared
    };
    let prepared: Vec<Prepared> = command.steps().map(prepare).collect();
    let value = vec![7; command.value_bytes as usize];
    let mut read = Vec::with_capacity(value.len());
    let store = &mut measured.store;
    let before = counter();
    for step in &prepared {
        // One call of each method, so that the compiler inlines as it does in a shard.
        match command.action {
            Action::Put | Action::PutEqualHash | Action::PutShorter | Action::PutRandom => {
                put(store, step, &value[..step.value_bytes]);
            }
            Action::Get | Action::GetEqualHash | Action::GetMissing => {
                read.clear();
                let found = store.get(&step.key(), &mut read);
                assert_eq!(found.is_some(), command.action != Action::GetMissing, "as it was put");
            }
            Action::Delete | Action::DeleteEqualHash => delete(store, step),
            Action::Import => import(store, step, &value, issued),
            action => unreachable!("{action:?} is not done step by step"),
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            reply.pages[measured.memory.take_dirtied().min(PAGES_TOLD_MAX)] += 1;
        }
    }
    reply.instructions = crate::used(before, counter);
    reply.steps = prepared.len() as u64;
}

fn put(store: &mut Store<BenchMemory>, step: &Prepared, value: &[u8]) {
    let put = Put {
        key: step.key(),
        kind: Kind::Value,
        value,
        expires_at: None,
        precondition: Precondition::None,
        operation: Some(step.operation),
    };
    store.put(&put).expect("space was made");
}

fn delete(store: &mut Store<BenchMemory>, step: &Prepared) {
    let delete = Delete {
        key: step.key(),
        precondition: Precondition::None,
        operation: Some(step.operation),
        keep_tombstone: false,
    };
    store.delete(&delete).expect("space was made");
}

fn import(store: &mut Store<BenchMemory>, step: &Prepared, value: &[u8], version: u64) {
    let receipt = Receipt { operation: step.operation, outcome: Outcome::Written { version } };
    let import =
        Import { key: step.key(), kind: Kind::Value, value, version, expires_at: None, receipt: Some(receipt) };
    assert_eq!(store.import_record(&import), Ok(Imported::Applied));
}
