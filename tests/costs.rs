//! What messages of a shard cost, exactly: instructions as the platform charges them, and dirty pages of the heap.
//!
//! On the embedded simulator only, whose metering follows the platform's. Budgets are bounds; what is measured is printed
//! with `--nocapture`.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use candid::Principal;
use canopy_artifacts::SHARD_WASM;
use canopy_simulator::cycles::{Fees, IdleBurn, SubnetMemory};
use canopy_simulator::limits::{BENCHMARKING_INSTRUCTIONS_MAX, GIB, REPLY_BYTES_MAX};
use canopy_simulator::wasm::system::{Account, Answer, Context, Entry, ExecutionFaults, Identity, MemoryRules, System};
use canopy_simulator::wasm::{Engine, Runtime, StableMemory};
use canopy_types::codec::{decode, encode};
use canopy_types::limits::{SECRET_BYTES, TAG_SEED_BYTES};
use canopy_types::shard::{self, ShardApplyResult, ShardGetResult, ShardInitArguments, ShardPutResult};
use canopy_types::wire::{ActionRef, ApplyRef, GetRef, ItemRef, OperationRef, PutRef};
use canopy_types::{Epoch, HashRange, ShardIndex};
use flate2::read::GzDecoder;
use serde_bytes::ByteBuf;

use crate::cluster::T;

/// Records in the shard before anything is measured, put in batches.
const RECORDS: u32 = 20_000;
const RECORDS_PER_BATCH: u32 = 500;
/// Messages that a mean is made of.
const SAMPLES: u32 = 50;
const BATCH: u32 = 100;

/// What one byte of a reply costs, in instructions.
const REPLY_BYTE: u64 = 50;
/// What the first write to a page of the heap costs, in instructions that `performance_counter` doesn't tell.
const HEAP_PAGE: u64 = 1_000;
const NOW: u64 = 1_780_000_000_000_000_000;

const KEY_BYTES: usize = 32;

/// Budgets in instructions, for values of 100 B and of 1 KiB.
const SINGLE_PUT: [u64; 2] = [25_000, 30_000];
const PUT_IN_BATCH: [u64; 2] = [13_000, 19_000];
/// Without the reply's bytes.
const SINGLE_GET: [u64; 2] = [15_000, 16_000];
/// Dirty pages of the heap.
const PUT_PAGES: u64 = 12;
const GET_PAGES: u64 = 8;

fn key(number: u32) -> Vec<u8> {
    let mut key = vec![b'k'; KEY_BYTES];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key
}

fn id(number: u32) -> [u8; 16] {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    id
}

/// A shard alone in the simulator's runtime, whose router calls it, with records.
struct Shard {
    runtime: Runtime,
    value_bytes: usize,
}

/// What a message used.
#[derive(Clone, Copy)]
struct Used {
    /// As `performance_counter` tells them: without dirty heap pages, which are charged too.
    instructions: u64,
    heap_pages: u64,
}

const ROUTER: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 8, 1, 1]);

impl Shard {
    fn new(value_bytes: usize) -> Self {
        let mut module = vec![];
        GzDecoder::new(SHARD_WASM).read_to_end(&mut module).expect("the artifact is compressed");
        let (module, _) = Engine::shared().compile(&module).unwrap_or_else(|trap| panic!("{}", trap.message));
        let runtime = Runtime::new(module, StableMemory::new()).unwrap_or_else(|trap| panic!("{}", trap.message));
        let mut shard = Self { runtime, value_bytes };
        let arguments = ShardInitArguments {
            router: ROUTER,
            administrators: vec![],
            secret: ByteBuf::from((0..SECRET_BYTES).map(|at| (at * 37 % 251) as u8).collect::<Vec<u8>>()),
            range: HashRange::FULL,
            epoch: Epoch::FIRST,
            index: ShardIndex(0),
            tag_seed: Some(ByteBuf::from(vec![9; TAG_SEED_BYTES])),
            roles: None,
        };
        shard.run("canister_init", encode(&arguments), Context::Init);
        for first in (0..RECORDS).step_by(RECORDS_PER_BATCH as usize) {
            shard.put_batch(first, RECORDS_PER_BATCH);
            shard.run("canister_global_timer", vec![], Context::Task);
        }
        shard
    }

    fn run(&mut self, entry: &str, argument: Vec<u8>, context: Context) -> (Used, Vec<u8>) {
        let entry = Entry::Export(entry.to_string());
        let (system, executed) = self.runtime.execute(&entry, system(argument, context));
        if let Err(trap) = &executed.result {
            panic!("{trap:?} {:?}", system.printed);
        }
        self.runtime.commit();
        let reply = match system.answer {
            Some(Answer::Reply(reply)) => reply,
            _ => vec![],
        };
        let instructions = executed.instructions - HEAP_PAGE * executed.heap_pages_dirtied;
        (Used { instructions, heap_pages: executed.heap_pages_dirtied }, reply)
    }

    fn put_batch(&mut self, first: u32, count: u32) -> Used {
        let value = vec![3; self.value_bytes];
        let keys: Vec<Vec<u8>> = (first..first + count).map(key).collect();
        let item = |(index, key)| ItemRef { index, action: ActionRef::Put(put_of(key, &value, None)) };
        let items = (0..).zip(keys.iter().map(Vec::as_slice)).map(item).collect();
        let operation = Some(OperationRef { id: &id(first), issued_at_nanoseconds: NOW });
        let batch = ApplyRef { caller: ROUTER.as_slice(), operation, reply_bytes_max: None, items };
        let (used, reply) = self.run("canister_update apply", batch.write(), Context::Update);
        let answers = decode::<ShardApplyResult>(&reply).unwrap().expect("the shard takes the batch");
        assert_eq!(answers.len(), count as usize);
        assert!(answers.iter().all(|answer| matches!(answer, shard::Answer::Put(Ok(_)))), "{answers:?}");
        used
    }

    /// Puts one record in a message of its own; the operation's number tells it from others.
    fn put(&mut self, number: u32, operation: Option<u32>) -> Used {
        let (key, value, id) = (key(number), vec![5; self.value_bytes], operation.map(id));
        let operation = id.as_ref().map(|id| OperationRef { id, issued_at_nanoseconds: NOW });
        let message = put_of(&key, &value, operation).write();
        let (used, reply) = self.run("canister_update put", message, Context::Update);
        decode::<ShardPutResult>(&reply).unwrap().expect("the shard takes the put");
        used
    }

    /// Gets one record; the reply's bytes aren't counted.
    fn get(&mut self, number: u32) -> Used {
        let message = GetRef { key: &key(number), include_value: None }.write();
        let (used, reply) = self.run("canister_update get", message, Context::Update);
        let record = decode::<ShardGetResult>(&reply).unwrap().unwrap().expect("the record was put");
        assert_eq!(record.value.len(), self.value_bytes);
        Used { instructions: used.instructions - reply.len() as u64 * REPLY_BYTE, ..used }
    }
}

fn put_of<'a>(key: &'a [u8], value: &'a [u8], operation: Option<OperationRef<'a>>) -> PutRef<'a> {
    PutRef { key, value, precondition: None, time_to_live_milliseconds: None, operation }
}

/// The surroundings of a message that lacks nothing.
fn system(argument: Vec<u8>, context: Context) -> System {
    System {
        context,
        identity: Arc::new(Identity {
            canister_id: Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1]),
            subnet_id: ROUTER,
            controllers: vec![ROUTER],
            environment: BTreeMap::new(),
            root_key: Arc::new(Vec::new()),
        }),
        fees: Fees { nodes: 13, free: true },
        time_nanos: NOW,
        status: 1,
        canister_version: 1,
        node_count: 13,
        caller: ROUTER,
        argument,
        reject: None,
        deadline_nanos: 0,
        method_name: None,
        data_certificate: None,
        context_instructions: 0,
        account: Account {
            balance: 1_000 * T,
            reserved_limit: 1_000 * T,
            idle: IdleBurn::default(),
            ..Account::default()
        },
        memory: MemoryRules {
            subnet: SubnetMemory { used_bytes: 0, bytes_max: 2_048 * GIB, reservation_threshold_bytes: 2_048 * GIB },
            wasm_memory_limit_bytes: None,
            memory_allocation_bytes: 0,
            stable_bytes_per_message_max: 8 * GIB,
            charge_dirty_pages: true,
        },
        faults: ExecutionFaults::default(),
        instructions_max: BENCHMARKING_INSTRUCTIONS_MAX,
        callback_instructions_max: BENCHMARKING_INSTRUCTIONS_MAX,
        reply_bytes_max: REPLY_BYTES_MAX,
        outstanding: Arc::new(BTreeMap::new()),
        callbacks_left: 0,
        guaranteed_bytes_left: GIB,
        already_answered: false,
        answer_bytes: Vec::new(),
        answer: None,
        building: None,
        calls: Vec::new(),
        accepted_message: false,
        certified_data: None,
        global_timer_nanos: None,
        previous_timer_nanos: 0,
        printed: Vec::new(),
    }
}

#[test]
fn messages_of_a_shard_cost_no_more_instructions_than_budgeted() {
    let mut over = vec![];
    for (at, size) in [100, 1_024].into_iter().enumerate() {
        let shard = &mut Shard::new(size);
        let spread = |number: u32| number * 397 % RECORDS;
        let mut measure =
            |shard: &mut Shard, name: &str, budget: u64, pages: u64, run: &dyn Fn(&mut Shard, u32) -> Used| {
                let used: Vec<Used> = (0..SAMPLES).map(|number| run(shard, number)).collect();
                let mean = used.iter().map(|used| used.instructions).sum::<u64>() / u64::from(SAMPLES);
                let most = used.iter().map(|used| used.heap_pages).max().expect("there are samples");
                println!("{name}, {size} B: {mean} of {budget} instructions, {most} of {pages} dirty heap pages");
                if mean > budget || most > pages {
                    over.push(format!("{name}, {size} B: {mean} of {budget}, {most} of {pages} pages"));
                }
            };
        measure(shard, "put of a new record, with operation", SINGLE_PUT[at], PUT_PAGES, &|shard, number| {
            shard.put(RECORDS + number, Some(RECORDS + number))
        });
        measure(shard, "put over a record, with operation", SINGLE_PUT[at], PUT_PAGES, &|shard, number| {
            shard.put(spread(number), Some(2 * RECORDS + number))
        });
        measure(shard, "put over a record, without operation", SINGLE_PUT[at], PUT_PAGES, &|shard, number| {
            shard.put(spread(number + 100), None)
        });
        measure(shard, "get", SINGLE_GET[at], GET_PAGES, &|shard, number| shard.get(spread(number + 1_000)));
        let batches = (0..4).map(|turn| shard.put_batch(RECORDS + SAMPLES + turn * BATCH, BATCH).instructions);
        let per_item = batches.sum::<u64>() / u64::from(4 * BATCH);
        println!("put in a batch of {BATCH}, per item, {size} B: {per_item} of {} instructions", PUT_IN_BATCH[at]);
        if per_item > PUT_IN_BATCH[at] {
            over.push(format!("put in a batch, {size} B: {per_item} of {}", PUT_IN_BATCH[at]));
        }
    }
    assert_eq!(over, Vec::<String>::new());
}
