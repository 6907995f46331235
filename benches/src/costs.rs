//! What operations cost from end to end: instructions of router and shards, cycles, messages and rounds.
//!
//! On the embedded simulator alone, whose log tells what each execution took: no canister can be asked for that from
//! outside. Whoever calls is outside the subnet, so the canisters pay for taking the message in, too.

mod report;
pub mod world;

use candid::Principal;
use canopy_types::api::{GetManyResult, ScanArguments, ScanResult};
use canopy_types::codec::{decode, encode};
use canopy_types::shard::{Answer, ShardApplyResult};
use canopy_types::wire::{
    ActionRef, ApplyRef, DeleteManyRef, DeleteRef, GetManyRef, GetRef, ItemRef, OperationRef, PutManyRef, PutRef,
};
use canopy_types::{DeleteManyResult, DeleteResult, GetResult, PutManyResult, PutResult};

use crate::results::{Figure, Figures, Key, Measure, Structure};
use world::{Used, World};

pub use report::write as write_report;

/// Name of the committed figures.
pub const NAME: &str = "costs";

/// Records of each network before anything is measured, put in batches.
const RECORDS: u64 = 20_000;
const FILL_BATCH: u64 = 500;
const KEY_BYTES: usize = 32;
const VALUE_SIZES: [u64; 2] = [100, 1_024];
const SINGLES: u64 = 50;
const BATCHES: u64 = 5;
/// How many times more samples are taken at most, because timers run in between.
const SAMPLES_TRIED: u64 = 4;
const BATCH_SIZES: [u64; 2] = [100, 1_000];
/// Numbers of shards that batches and scans are spread over.
const SHARDS: [u32; 2] = [1, 4];

/// Operations, by the names that figures have.
pub mod names {
    pub const PUT: &str = "put, a new record";
    pub const PUT_NAMED: &str = "put over a record, with operation";
    pub const PUT_OVER: &str = "put over a record";
    pub const GET: &str = "get";
    pub const GET_LENGTH: &str = "get without the value";
    pub const GET_MISSING: &str = "get, no record";
    pub const DELETE: &str = "delete, with operation";
    pub const PUT_MANY: &str = "put_many, with operation";
    pub const GET_MANY: &str = "get_many";
    pub const DELETE_MANY: &str = "delete_many, with operation";
    pub const SCAN: &str = "scan";
    pub const SCAN_KEYS: &str = "scan without values";
}

const SINGLE: [&str; 7] =
    [names::PUT, names::PUT_OVER, names::PUT_NAMED, names::GET, names::GET_LENGTH, names::GET_MISSING, names::DELETE];
const MANY: [&str; 3] = [names::PUT_MANY, names::GET_MANY, names::DELETE_MANY];
const SCANS: [&str; 2] = [names::SCAN, names::SCAN_KEYS];

/// Cycles that an operation on a value of 1 KiB may cost, both canisters together.
const BUDGETS: [(Structure, &str, u64, u64); 6] = [
    (Structure::Direct, names::PUT, 1, 8_700_000),
    (Structure::Routed, names::PUT, 1, 20_300_000),
    // An operation is 46 bytes, at 2,000 cycles each from outside.
    (Structure::Direct, names::PUT_NAMED, 1, 8_740_000),
    // And the router hands it on in a batch, with its caller: 146 bytes more.
    (Structure::Routed, names::PUT_NAMED, 1, 20_400_000),
    (Structure::Routed, names::GET, 1, 18_100_000),
    (Structure::Routed, names::PUT_MANY, 1_000, 3_360_000),
];

fn budget(key: &Key) -> Option<u64> {
    let is_budgeted = key.measure == Measure::Cycles && key.value_bytes == 1_024;
    let of = |(structure, name, items, _): &&(Structure, &str, u64, u64)| {
        (*structure, *items) == (key.structure, key.records) && key.operation == named(name, 1)
    };
    is_budgeted.then(|| BUDGETS.iter().find(of).map(|(.., cycles)| *cycles)).flatten()
}

/// Names an operation on a network with this many shards.
pub fn named(operation: &str, shards: u32) -> String {
    if shards == 1 { operation.to_string() } else { format!("{operation}, {shards} shards") }
}

/// Measures everything: half a minute.
pub fn run() -> Figures {
    let mut figures = Figures::default();
    for value_bytes in VALUE_SIZES {
        for shards in SHARDS {
            eprintln!("values of {value_bytes} B, {shards} shards");
            let mut network = Network::new(shards, value_bytes);
            if shards == 1 {
                for structure in [Structure::Routed, Structure::Direct] {
                    for name in SINGLE {
                        network.add(&mut figures, structure, name, 1);
                    }
                }
            }
            for items in BATCH_SIZES {
                for name in MANY {
                    network.add(&mut figures, Structure::Routed, name, items);
                    if shards == 1 {
                        network.add(&mut figures, Structure::Direct, name, items);
                    }
                }
                for name in SCANS {
                    network.add(&mut figures, Structure::Routed, name, items);
                }
            }
        }
    }
    figures
}

struct Network {
    world: World,
    shards: u32,
    value_bytes: u64,
    /// Number below which keys were used.
    next: u64,
}

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![b'k'; KEY_BYTES];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

/// What a message brings along.
struct Content {
    caller: Principal,
    keys: Vec<Vec<u8>>,
    value: Vec<u8>,
    id: [u8; 16],
    now: u64,
}

impl Content {
    fn operation(&self) -> Option<OperationRef<'_>> {
        Some(OperationRef { id: &self.id, issued_at_nanoseconds: self.now })
    }

    fn put<'a>(&'a self, key: &'a [u8], operation: Option<OperationRef<'a>>) -> PutRef<'a> {
        PutRef { key, value: &self.value, precondition: None, time_to_live_milliseconds: None, operation }
    }

    fn single(&self, name: &str) -> (&'static str, Vec<u8>) {
        let key = &self.keys[0];
        match name {
            names::PUT | names::PUT_OVER => ("put", self.put(key, None).write()),
            names::PUT_NAMED => ("put", self.put(key, self.operation()).write()),
            names::GET | names::GET_MISSING => ("get", GetRef { key, include_value: None }.write()),
            names::GET_LENGTH => ("get", GetRef { key, include_value: Some(false) }.write()),
            names::DELETE => ("delete", DeleteRef { key, precondition: None, operation: self.operation() }.write()),
            _ => unreachable!("INVARIANT: {name} is no operation of one record"),
        }
    }

    fn routed(&self, name: &str) -> (&'static str, Vec<u8>) {
        let keys = self.keys.iter().map(Vec::as_slice);
        let page = |include_value| {
            let records_max = u32::try_from(self.keys.len()).expect("a page has fewer records");
            encode(&ScanArguments { records_max: Some(records_max), include_value, ..ScanArguments::default() })
        };
        match name {
            names::PUT_MANY => {
                let items = keys.map(|key| self.put(key, None)).collect();
                ("put_many", PutManyRef { items, operation: self.operation() }.write())
            }
            names::GET_MANY => ("get_many", GetManyRef { keys: keys.collect(), include_value: None }.write()),
            names::DELETE_MANY => {
                let items = keys.map(|key| DeleteRef { key, precondition: None, operation: None }).collect();
                ("delete_many", DeleteManyRef { items, operation: self.operation() }.write())
            }
            names::SCAN => ("scan", page(None)),
            names::SCAN_KEYS => ("scan", page(Some(false))),
            _ => self.single(name),
        }
    }

    fn direct(&self, name: &str) -> (&'static str, Vec<u8>) {
        let action = |key| match name {
            names::PUT_MANY => Some(ActionRef::Put(self.put(key, None))),
            names::GET_MANY => Some(ActionRef::Get(GetRef { key, include_value: None })),
            names::DELETE_MANY => Some(ActionRef::Delete(DeleteRef { key, precondition: None, operation: None })),
            _ => None,
        };
        let items: Option<Vec<ItemRef>> =
            (0..).zip(&self.keys).map(|(index, key)| Some(ItemRef { index, action: action(key)? })).collect();
        match items {
            Some(items) => {
                let operation = if name == names::GET_MANY { None } else { self.operation() };
                ("apply", ApplyRef { caller: self.caller.as_slice(), operation, reply_bytes_max: None, items }.write())
            }
            None => self.single(name),
        }
    }
}

impl Network {
    fn new(shards: u32, value_bytes: u64) -> Self {
        let mut network = Self { world: World::new(shards), shards, value_bytes, next: 0 };
        for first in (0..RECORDS).step_by(FILL_BATCH as usize) {
            network.send(Structure::Routed, names::PUT_MANY, first, FILL_BATCH);
        }
        network.next = RECORDS;
        network
    }

    /// Runs a message, and tells what it took. The records that were put at first stay.
    fn once(&mut self, structure: Structure, name: &str, items: u64) -> Used {
        let is_delete = matches!(name, names::DELETE | names::DELETE_MANY);
        let is_new = is_delete || matches!(name, names::PUT | names::PUT_MANY | names::GET_MISSING);
        self.next += items;
        let first = if is_new { self.next } else { self.next % (RECORDS - items) };
        if is_delete {
            self.send(Structure::Routed, names::PUT_MANY, first, items);
        }
        self.send(structure, name, first, items)
    }

    /// Runs a message about so many keys from `first` on, checks its reply, and tells what it took.
    fn send(&mut self, structure: Structure, name: &str, first: u64, items: u64) -> Used {
        let keys = (first..first + items).map(key).collect();
        let mut id = [7; 16];
        id[..8].copy_from_slice(&self.world.now().to_le_bytes());
        let (caller, value, now) = (self.world.caller, vec![5; self.value_bytes as usize], self.world.now());
        let content = Content { caller, keys, value, id, now };
        let (canister, (method, payload)) = match structure {
            Structure::Direct => (self.world.shards[0], content.direct(name)),
            _ => (self.world.router, content.routed(name)),
        };
        let (used, reply) = self.world.measure(canister, method, payload);
        check(name, method, items, &reply);
        // What that set off is done before something else is measured.
        self.world.rest();
        used
    }

    fn add(&mut self, figures: &mut Figures, structure: Structure, name: &'static str, items: u64) {
        let samples = if items == 1 { SINGLES } else { BATCHES };
        self.once(structure, name, items);
        let mut kept: Vec<Used> = vec![];
        for _ in 0..SAMPLES_TRIED * samples {
            let used = self.once(structure, name, items);
            // A message more is a timer that ran in between: measured again.
            if kept.first().is_some_and(|first| used.messages < first.messages) {
                kept.clear();
            }
            if kept.first().is_none_or(|first| used.messages == first.messages) {
                kept.push(used);
            }
            if kept.len() as u64 == samples {
                break;
            }
        }
        assert_eq!(kept.len() as u64, samples, "{name}: timers ran in between again and again");
        let mut sum = Used::default();
        for used in kept {
            sum.router_instructions += used.router_instructions;
            sum.shard_instructions += used.shard_instructions;
            sum.cycles += used.cycles;
            sum.messages += used.messages;
            sum.rounds += used.rounds;
            sum.router_pages += used.router_pages;
            sum.shard_pages += used.shard_pages;
        }
        let records = samples * items;
        let measures = [
            (Measure::RouterInstructions, sum.router_instructions / records),
            (Measure::ShardInstructions, sum.shard_instructions / records),
            (Measure::Cycles, u64::try_from(sum.cycles).expect("a router has fewer cycles") / records),
            (Measure::RouterPages, sum.router_pages / samples),
            (Measure::ShardPages, sum.shard_pages / samples),
            (Measure::Messages, sum.messages / samples),
            (Measure::Rounds, sum.rounds * 1_000 / samples),
        ];
        for (measure, measured) in measures {
            let operation = named(name, self.shards);
            let key = Key { structure, value_bytes: self.value_bytes, records: items, operation, measure };
            figures.add(Figure { budget: budget(&key), key, measured });
        }
    }
}

/// Checks that everything was done, and that everything was found that should have been.
fn check(name: &str, method: &str, items: u64, reply: &[u8]) {
    let count = items as usize;
    let is_done = match (method, name) {
        ("put", _) => decode::<PutResult>(reply).is_ok_and(|result| result.is_ok()),
        ("get", names::GET_MISSING) => matches!(decode::<GetResult>(reply), Ok(Ok(None))),
        ("get", _) => matches!(decode::<GetResult>(reply), Ok(Ok(Some(_)))),
        ("delete", _) => decode::<DeleteResult>(reply).is_ok_and(|result| result.is_ok()),
        ("put_many", _) => decode::<PutManyResult>(reply)
            .is_ok_and(|result| result.is_ok_and(|all| all.len() == count && all.iter().all(Result::is_ok))),
        ("get_many", _) => decode::<GetManyResult>(reply).is_ok_and(|result| {
            result.is_ok_and(|all| all.len() == count && all.iter().all(|one| matches!(one, Ok(Some(_)))))
        }),
        ("delete_many", _) => decode::<DeleteManyResult>(reply)
            .is_ok_and(|result| result.is_ok_and(|all| all.len() == count && all.iter().all(Result::is_ok))),
        ("scan", _) => {
            decode::<ScanResult>(reply).is_ok_and(|result| result.is_ok_and(|page| page.records.len() == count))
        }
        ("apply", _) => decode::<ShardApplyResult>(reply).is_ok_and(|result| {
            let is_done = |answer: &Answer| {
                matches!(answer, Answer::Put(Ok(_)) | Answer::Get(Ok(Some(_))) | Answer::Delete(Ok(_)))
            };
            result.is_ok_and(|all| all.len() == count && all.iter().all(is_done))
        }),
        _ => false,
    };
    assert!(is_done, "{name}, {items} records: {:?}", String::from_utf8_lossy(&reply[..reply.len().min(200)]));
}
