//! Whole messages of a shard: what the platform charges for them, from the shard's balance.
//!
//! The benchmark canister plays the router, so that the shard pays for the execution alone: a base fee, and a cycle for
//! each instruction on a subnet of 13 nodes. Dirty pages of the heap are charged, too.

use std::time::Duration;

use candid::Principal;
use canopy_bench_canister::{Action, mix};
use canopy_types::codec::{decode, encode};
use canopy_types::limits::{SECRET_BYTES, TAG_SEED_BYTES};
use canopy_types::shard::{
    Answer, ShardApplyResult, ShardDeleteResult, ShardError, ShardGetResult, ShardInitArguments, ShardPutResult,
};
use canopy_types::wire::{ActionRef, ApplyRef, DeleteRef, GetRef, ItemRef, OperationRef, PutRef};
use canopy_types::{Epoch, HashRange, ShardIndex};
use serde_bytes::ByteBuf;

use super::add;
use crate::canister::Canister;
use crate::network;
use crate::results::{Figures, Key, Measure, Structure};

pub const PUT_FRESH: &str = "put fresh, with operation";
pub const PUT_OVER: &str = "put over a record, with operation";
const PUT_PLAIN: &str = "put over a record, without operation";
pub const GET: &str = "get, without the reply's bytes";
const DELETE: &str = "delete, with operation";
pub const PUT_IN_BATCH: &str = "put in a batch of 100, per item";
const GET_IN_BATCH: &str = "get in a batch of 100, per item";

/// Instructions allowed for pages of the heap, which budgets don't count: 12 pages and 8 for single messages, and in a
/// batch a page per item, for the argument that carries it and what it brings along.
pub fn heap_allowance(operation: &str) -> u64 {
    match operation {
        PUT_IN_BATCH => 1_000,
        GET => 8_000,
        _ => 12_000,
    }
}

/// What the platform charges for any update message.
const BASE_CYCLES: u128 = 5_000_000;
/// More than any message here is charged, the bytes of its reply aside: a timer that ran in between would be noticed.
const MESSAGE_CYCLES_MAX: u128 = 9_900_000;
/// What one byte of a reply costs, in instructions.
const REPLY_BYTE: u64 = 50;
const SAMPLES: u64 = 50;
const BATCHES: u64 = 4;
const BATCH: u64 = 100;
const FILL_BATCH: u64 = 500;
/// Attempts at a batch while the shard gets more memory.
const ATTEMPTS_MAX: usize = 50;

struct Shard {
    canister: Canister,
    id: Principal,
    value_bytes: u64,
    next_operation: u64,
}

/// What a message is charged.
struct Charged {
    instructions: u64,
    reply: Vec<u8>,
}

impl Shard {
    fn new(value_bytes: u64, records: u64) -> Self {
        let canister = Canister::new(Action::CreateStore);
        let arguments = ShardInitArguments {
            router: canister.id,
            administrators: vec![],
            secret: ByteBuf::from((0..SECRET_BYTES).map(|at| (at * 37 % 251) as u8).collect::<Vec<u8>>()),
            range: HashRange::FULL,
            epoch: Epoch::FIRST,
            index: ShardIndex(0),
            tag_seed: Some(ByteBuf::from(vec![9; TAG_SEED_BYTES])),
            roles: None,
        };
        let wasm = canopy_artifacts::SHARD_WASM.to_vec();
        let id = network::install(&canister.pic, wasm, encode(&arguments));
        let mut shard = Self { canister, id, value_bytes, next_operation: 0 };
        for first in (0..records).step_by(FILL_BATCH as usize) {
            shard.fill(first, FILL_BATCH.min(records - first));
        }
        shard.settle();
        shard
    }

    /// Lets timers run, so that none does while something is measured.
    fn settle(&self) {
        for _ in 0..5 {
            self.canister.pic.advance_time(Duration::from_secs(2));
            self.canister.pic.tick();
        }
    }

    fn fill(&mut self, first: u64, count: u64) {
        for _ in 0..ATTEMPTS_MAX {
            let answers = self.put_batch(first, count).1;
            if answers.iter().all(|answer| matches!(answer, Answer::Put(Ok(_)))) {
                return;
            }
            let waits = |answer: &Answer| matches!(answer, Answer::Put(Ok(_) | Err(ShardError::Growing { .. })));
            assert!(answers.iter().all(waits), "{answers:?}");
            self.settle();
        }
        panic!("the shard got no memory in {ATTEMPTS_MAX} attempts");
    }

    fn charged(&self, method: &str, argument: &[u8]) -> Charged {
        let before = self.canister.pic.cycle_balance(self.id);
        let reply = self.canister.forward(self.id, method, argument);
        let cycles = before - self.canister.pic.cycle_balance(self.id);
        let bytes = reply.len() as u128 * u128::from(REPLY_BYTE);
        let bounds = BASE_CYCLES..MESSAGE_CYCLES_MAX + bytes;
        assert!(bounds.contains(&cycles), "{method}: {cycles} cycles, is that one message?");
        Charged { instructions: (cycles - BASE_CYCLES) as u64, reply }
    }

    fn operation_id(&mut self) -> [u8; 16] {
        self.next_operation += 1;
        (u128::from(mix(self.next_operation)) << 64 | u128::from(self.next_operation)).to_le_bytes()
    }

    fn now(&self) -> u64 {
        self.canister.pic.get_time().as_nanos_since_unix_epoch()
    }

    fn put_batch(&mut self, first: u64, count: u64) -> (u64, Vec<Answer>) {
        let value = vec![3; self.value_bytes as usize];
        let keys: Vec<Vec<u8>> = (first..first + count).map(key).collect();
        let put = |key| {
            ActionRef::Put(PutRef {
                key,
                value: &value,
                precondition: None,
                time_to_live_milliseconds: None,
                operation: None,
            })
        };
        let items = (0..).zip(&keys).map(|(index, key)| ItemRef { index, action: put(key) }).collect();
        self.apply(items, true)
    }

    fn get_batch(&mut self, numbers: &[u64]) -> u64 {
        let keys: Vec<Vec<u8>> = numbers.iter().map(|&number| key(number)).collect();
        let get = |key| ActionRef::Get(GetRef { key, include_value: None });
        let items = (0..).zip(&keys).map(|(index, key)| ItemRef { index, action: get(key) }).collect();
        let (instructions, answers) = self.apply(items, false);
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Get(Ok(Some(_))))), "{answers:?}");
        instructions
    }

    /// Runs a batch and tells what it was charged, without the bytes of its reply.
    fn apply(&mut self, items: Vec<ItemRef>, is_write: bool) -> (u64, Vec<Answer>) {
        let id = self.operation_id();
        let operation = is_write.then_some(OperationRef { id: &id, issued_at_nanoseconds: self.now() });
        let caller = Principal::anonymous();
        let batch = ApplyRef { caller: caller.as_slice(), operation, reply_bytes_max: None, items };
        // A batch that fills may be larger than what is measured.
        if batch.items.len() as u64 > BATCH {
            let reply = self.canister.forward(self.id, "apply", &batch.write());
            return (0, decode::<ShardApplyResult>(&reply).unwrap().expect("the shard takes the batch"));
        }
        let Charged { instructions, reply } = self.charged("apply", &batch.write());
        let answers = decode::<ShardApplyResult>(&reply).unwrap().expect("the shard takes the batch");
        let reply_instructions = if is_write { 0 } else { reply.len() as u64 * REPLY_BYTE };
        (instructions - reply_instructions, answers)
    }

    fn put(&mut self, number: u64, with_operation: bool) -> u64 {
        let (key, value, id) = (key(number), vec![5; self.value_bytes as usize], self.operation_id());
        let operation = with_operation.then_some(OperationRef { id: &id, issued_at_nanoseconds: self.now() });
        let put = PutRef { key: &key, value: &value, precondition: None, time_to_live_milliseconds: None, operation };
        let Charged { instructions, reply } = self.charged("put", &put.write());
        decode::<ShardPutResult>(&reply).unwrap().expect("the shard takes the put");
        instructions
    }

    fn get(&mut self, number: u64) -> u64 {
        let get = GetRef { key: &key(number), include_value: None };
        let Charged { instructions, reply } = self.charged("get", &get.write());
        let record = decode::<ShardGetResult>(&reply).unwrap().unwrap().expect("the record was put");
        assert_eq!(record.value.len() as u64, self.value_bytes);
        instructions - reply.len() as u64 * REPLY_BYTE
    }

    fn delete(&mut self, number: u64) -> u64 {
        let id = self.operation_id();
        let operation = Some(OperationRef { id: &id, issued_at_nanoseconds: self.now() });
        let delete = DeleteRef { key: &key(number), precondition: None, operation };
        let Charged { instructions, reply } = self.charged("delete", &delete.write());
        decode::<ShardDeleteResult>(&reply).unwrap().unwrap().deleted.expect("the record was put");
        instructions
    }
}

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![b'k'; canopy_bench_canister::KEY_BYTES];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

/// Measures messages of a shard with so many records.
pub fn measure(figures: &mut Figures, value_bytes: u64, records: u64) {
    let shard = &mut Shard::new(value_bytes, records);
    let mut add = |operation: &str, measured: u64| {
        let (structure, operation, measure) = (Structure::Shard, operation.to_string(), Measure::Charged);
        add(figures, Key { structure, value_bytes, records, operation, measure }, measured);
    };
    // No two samples have the same record.
    let sample = |from: u64| (from..from + SAMPLES).map(move |at| at * 397 % records);
    let mean = |total: u64| total / SAMPLES;
    add(PUT_FRESH, mean((records..records + SAMPLES).map(|number| shard.put(number, true)).sum()));
    add(PUT_OVER, mean(sample(0).map(|number| shard.put(number, true)).sum()));
    add(PUT_PLAIN, mean(sample(SAMPLES).map(|number| shard.put(number, false)).sum()));
    add(GET, mean(sample(2 * SAMPLES).map(|number| shard.get(number)).sum()));
    add(DELETE, mean(sample(3 * SAMPLES).map(|number| shard.delete(number)).sum()));
    let batches = (0..BATCHES).map(|turn| records + SAMPLES + turn * BATCH);
    let puts: u64 = batches.clone().map(|first| shard.put_batch(first, BATCH).0).sum();
    add(PUT_IN_BATCH, puts / (BATCHES * BATCH));
    let numbers = |first: u64| (first..first + BATCH).collect::<Vec<u64>>();
    let gets: u64 = batches.map(|first| shard.get_batch(&numbers(first))).sum();
    add(GET_IN_BATCH, gets / (BATCHES * BATCH));
}
