//! What a split costs, and what callers notice of it: cycles, executions, instructions and rounds per size of a shard, and
//! writes that go on meanwhile.
//!
//! On the embedded simulator alone, as [`costs`](crate::costs). Each size is split on networks of its own: with
//! nobody else on it, for exact costs, and with writers who send their next message, a write or a batch, when the last one is
//! answered.

use std::collections::BTreeMap;
use std::fmt::Write;

use candid::Principal;
use canopy_simulator::event_log::{Event, EventKind};
use canopy_simulator::instance::MessageId;
use canopy_types::api::RoutingTableResult;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult};
use canopy_types::shard::{ShardInfoResult, ShardPutResult};
use canopy_types::status::ShardStage;
use canopy_types::transfer::{MoveResult, SplitShardArguments, TransferEnd, TransferStage};
use canopy_types::wire::{PutManyRef, PutRef};
use canopy_types::{BusyReason, PutError, PutManyResult, PutResult, ShardIndex, TransferId};

use crate::costs::world::World;
use crate::results::report::{decimal, spaced};
use crate::results::{Figure, Figures, Key, Measure, Structure, save_text};

/// Name of the committed figures.
pub const NAME: &str = "split";

/// Records of the shard that is split.
const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
const KEY_BYTES: usize = 32;
const VALUE_BYTES: usize = 100;
const FILL_BATCH: u64 = 1_000;

/// Writers, each with one message under way.
const WRITERS: usize = 20;
/// Time from one round to the next, in nanoseconds: 0.4 s.
const ROUND_NANOSECONDS: u64 = 400_000_000;
/// Rounds within which a split must be done.
const ROUNDS_MAX: u64 = 20_000;
/// From one key to the next: far, and none comes again before all have. Every other one is new.
const KEY_STEP: u64 = 7_919;

/// Rounds for which writers are counted before a split, after as many that aren't.
const COUNTED_ROUNDS: u64 = 50;

const QUIET: &str = "split";

/// What writers send meanwhile.
struct Load {
    name: &'static str,
    in_words: &'static str,
    /// Writes of a message: one by `put`, more by `put_many`.
    batch: u64,
}

const LOADS: [Load; 2] = [
    Load { name: "split, with 20 writers", in_words: "single", batch: 1 },
    Load { name: "split, with 20 writers of batches", in_words: "in batches of 50", batch: 50 },
];

/// Rounds for which a range may be closed.
const CLOSED_ROUNDS_BUDGET: u64 = 3;
/// Writes of 100,000 that may be told to come again: one of a hundred.
const REFUSED_BUDGET: u64 = 1_000;
/// Time that writes may take during a split, in thousandths of what they take else: a twentieth more.
const SLOWDOWN_BUDGET: u64 = 1_050;

/// A kind of message of which a transfer consists in its shards, and what one may cost: clients come first.
struct Kind {
    name: &'static str,
    is_one: fn(&Event) -> bool,
    /// As the platform charges them, heap pages included.
    instructions_max: u64,
    /// Of heap and stable memory.
    pages_max: u64,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "a turn of a shard's timer",
        is_one: |event| event.kind == EventKind::GlobalTimer,
        instructions_max: 420_000_000,
        pages_max: 2_600,
    },
    Kind {
        name: "an import_batch",
        is_one: |event| event.kind == EventKind::Update && event.method == "import_batch",
        instructions_max: 65_000_000,
        pages_max: 3_000,
    },
    Kind {
        name: "a hand_over",
        is_one: |event| event.kind == EventKind::Update && event.method == "hand_over",
        instructions_max: 100_000_000,
        pages_max: 8_000,
    },
    Kind {
        name: "an answer to the source",
        is_one: |event| matches!(event.kind, EventKind::ReplyCallback | EventKind::RejectCallback),
        instructions_max: 100_000_000,
        pages_max: 8_000,
    },
];

/// All of these in one shard and one round, and what they may cost together: a quarter of the 2,000,000,000 instructions that a
/// canister has in a round.
const IN_A_ROUND: &str = "all in one shard and round";
const IN_A_ROUND_INSTRUCTIONS_MAX: u64 = 500_000_000;
const IN_A_ROUND_PAGES_MAX: u64 = 12_000;

/// The dearest message of each kind, and the dearest round.
#[derive(Default)]
struct Dearest {
    /// The first event that wasn't looked at.
    next: u64,
    messages: [Spent; KINDS.len()],
    in_a_round: Spent,
}

/// Instructions and pages.
#[derive(Clone, Copy, Default)]
struct Spent {
    instructions: u64,
    pages: u64,
}

impl Spent {
    fn raise_to(&mut self, other: Self) {
        self.instructions = self.instructions.max(other.instructions);
        self.pages = self.pages.max(other.pages);
    }
}

impl Dearest {
    /// Looks at what was executed in the last round.
    fn look(&mut self, world: &World) {
        let mut in_round: BTreeMap<Principal, Spent> = BTreeMap::new();
        for event in world.events().filter(|event| world.shards.contains(&event.canister)) {
            if event.sequence < self.next {
                continue;
            }
            self.next = event.sequence + 1;
            if let Some(at) = KINDS.iter().position(|kind| (kind.is_one)(event)) {
                let spent = Spent { instructions: event.instructions, pages: event.pages_dirtied };
                self.messages[at].raise_to(spent);
                let sum = in_round.entry(event.canister).or_default();
                sum.instructions += spent.instructions;
                sum.pages += spent.pages;
            }
        }
        in_round.into_values().for_each(|sum| self.in_a_round.raise_to(sum));
    }

    fn add_to(&self, figures: &mut Figures, records: u64) {
        let mut add = |name, spent: Spent, instructions_max, pages_max| {
            add(figures, records, name, Measure::Charged, spent.instructions, Some(instructions_max));
            add(figures, records, name, Measure::PagesMost, spent.pages, Some(pages_max));
        };
        for (kind, &spent) in KINDS.iter().zip(&self.messages) {
            add(kind.name, spent, kind.instructions_max, kind.pages_max);
        }
        add(IN_A_ROUND, self.in_a_round, IN_A_ROUND_INSTRUCTIONS_MAX, IN_A_ROUND_PAGES_MAX);
    }
}

/// Measures every size: a few minutes.
pub fn run() -> Figures {
    let mut figures = Figures::default();
    for records in SIZES {
        eprintln!("{records} records");
        quiet(&mut figures, records);
        let mut dearest = Dearest::default();
        for load in &LOADS {
            busy(&mut figures, records, load, &mut dearest);
        }
        dearest.add_to(&mut figures, records);
    }
    figures
}

fn add(figures: &mut Figures, records: u64, operation: &str, measure: Measure, measured: u64, budget: Option<u64>) {
    let operation = operation.to_string();
    let key = Key { structure: Structure::Routed, value_bytes: VALUE_BYTES as u64, records, operation, measure };
    figures.add(Figure { key, measured, budget });
}

/// Splits with nobody else on the network.
fn quiet(figures: &mut Figures, records: u64) {
    let mut shard = Shard::filled(records);
    let before = shard.world.used();
    let id = shard.begin();
    let mut rounds = 0;
    while !shard.is_done(id) {
        assert!(rounds < ROUNDS_MAX, "the split doesn't end");
        shard.world.round(ROUND_NANOSECONDS);
        rounds += 1;
    }
    // What was given away is freed in the background, which is a part of the cost.
    shard.world.rest();
    let used = shard.world.used().since(&before);
    let moved = records / 2;
    let cycles = u64::try_from(used.cycles).expect("a split costs less than the router had") / moved;
    let measures = [
        (Measure::Cycles, cycles),
        (Measure::RouterInstructions, used.router_instructions / moved),
        (Measure::ShardInstructions, used.shard_instructions / moved),
        (Measure::Messages, used.messages),
        (Measure::Rounds, rounds * 1_000),
    ];
    for (measure, measured) in measures {
        add(figures, records, QUIET, measure, measured, None);
    }
}

/// Splits while writers go on, from the command until the source has freed what it gave away.
fn busy(figures: &mut Figures, records: u64, load: &Load, dearest: &mut Dearest) {
    let mut shard = Shard::filled(records);
    let mut writers = Writers::new(records, load.batch);
    let mut probes = Probes::new(&mut shard.world);
    for _ in 0..COUNTED_ROUNDS {
        writers.round(&mut shard.world);
    }
    writers.counted = Counted::default();
    for _ in 0..COUNTED_ROUNDS {
        writers.round(&mut shard.world);
    }
    let before = std::mem::take(&mut writers.counted);
    dearest.next = shard.world.next_event();
    let id = shard.begin();
    let mut rounds = 0;
    while !shard.is_done(id) || shard.clears_up() {
        assert!(rounds < ROUNDS_MAX, "the split doesn't end");
        probes.send(&mut shard.world);
        writers.round(&mut shard.world);
        probes.hear(&shard.world);
        dearest.look(&shard.world);
        rounds += 1;
    }
    let during = writers.counted;
    let per_round = |counted: &Counted, rounds: u64| counted.done as f64 / rounds as f64;
    let slowdown = per_round(&before, COUNTED_ROUNDS) / per_round(&during, rounds);
    let refused = during.refused * 100_000 / (during.done + during.refused);
    add(figures, records, load.name, Measure::Rounds, rounds * 1_000, None);
    add(figures, records, load.name, Measure::ClosedRounds, probes.closed, Some(CLOSED_ROUNDS_BUDGET));
    add(figures, records, load.name, Measure::Refused, refused, Some(REFUSED_BUDGET));
    add(figures, records, load.name, Measure::Slowdown, (slowdown * 1_000.0) as u64, Some(SLOWDOWN_BUDGET));
}

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![b'k'; KEY_BYTES];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

fn put(key: &[u8]) -> PutRef<'_> {
    PutRef { key, value: &[5; VALUE_BYTES], precondition: None, time_to_live_milliseconds: None, operation: None }
}

/// One shard with records, and a spare.
struct Shard {
    world: World,
}

impl Shard {
    fn filled(records: u64) -> Self {
        let mut world = World::new(1);
        let policy = SetPolicyArguments { spares_min: Some(1), ..SetPolicyArguments::default() };
        let set: SetPolicyResult = world.call(world.router, "set_policy", encode(&policy));
        set.expect("one spare may be wanted");
        for _ in 0..ROUNDS_MAX {
            let status = world.status();
            if status.shards.len() == 2 && status.shards.iter().all(|shard| shard.stage == ShardStage::Open) {
                world.shards = status.shards.iter().filter_map(|shard| shard.canister).collect();
                break;
            }
            world.round(ROUND_NANOSECONDS);
        }
        assert_eq!(world.shards.len(), 2, "no spare was made");
        for first in (0..records).step_by(FILL_BATCH as usize) {
            let keys: Vec<Vec<u8>> = (first..records.min(first + FILL_BATCH)).map(key).collect();
            let items = keys.iter().map(|key| put(key)).collect();
            let payload = PutManyRef { items, operation: None }.write();
            let put: PutManyResult = world.call(world.router, "put_many", payload);
            assert!(put.expect("the batch is admitted").iter().all(Result::is_ok));
            // Memory is added ahead.
            world.round(ROUND_NANOSECONDS);
        }
        world.rest();
        Self { world }
    }

    fn begin(&mut self) -> TransferId {
        let arguments = SplitShardArguments { shard: ShardIndex(0), at: None };
        let begun: MoveResult = self.world.call(self.world.router, "split_shard", encode(&arguments));
        begun.expect("the only shard can be split")
    }

    fn is_done(&mut self, id: TransferId) -> bool {
        let status = self.world.status();
        let transfer = status.transfers.iter().flatten().find(|transfer| transfer.id == id);
        transfer.is_some_and(|transfer| transfer.stage == TransferStage::Ended(TransferEnd::Done))
    }

    /// Tells whether the source still frees what it gave away.
    fn clears_up(&mut self) -> bool {
        let info: ShardInfoResult = self.world.query(self.world.shards[0], "info");
        info.expect("a writer is told").reading.is_some_and(|reading| reading.clears_up)
    }
}

/// Writes of a key that moves, one to either end at the same time, past the router.
struct Probes {
    key: Vec<u8>,
    open: Vec<[MessageId; 2]>,
    /// Writes that neither end took.
    closed: u64,
}

impl Probes {
    fn new(world: &mut World) -> Self {
        let table: RoutingTableResult = world.query(world.router, "routing_table");
        let secret = table.expect("a writer is told").hash_secret().expect("its role is its own");
        let moves = |key: &Vec<u8>| secret.hash(key).0 > u64::MAX / 2;
        let key = (0..).map(key).find(moves).expect("every other one does");
        Self { key, open: vec![], closed: 0 }
    }

    fn send(&mut self, world: &mut World) {
        let ends = [world.shards[0], world.shards[1]];
        self.open.push(ends.map(|shard| world.submit(shard, "put", put(&self.key).write())));
    }

    fn hear(&mut self, world: &World) {
        self.open.retain(|messages| {
            let [Some(source), Some(target)] = messages.each_ref().map(|message| world.reply(message)) else {
                return true;
            };
            let took = |reply: &[u8]| decode::<ShardPutResult>(reply).expect("put answers what it says").is_ok();
            self.closed += u64::from(!took(&source) && !took(&target));
            false
        });
    }
}

/// What writers saw.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    done: u64,
    /// Writes that were told to come again, because their range was closed or too much was changed in it.
    refused: u64,
}

/// Writers, and what they wait for.
struct Writers {
    records: u64,
    batch: u64,
    open: Vec<Option<MessageId>>,
    next: u64,
    counted: Counted,
}

impl Writers {
    fn new(records: u64, batch: u64) -> Self {
        Self { records, batch, open: vec![None; WRITERS], next: 0, counted: Counted::default() }
    }

    /// Has everybody send who waits for nothing, runs a round, and hears what came of it.
    fn round(&mut self, world: &mut World) {
        for open in &mut self.open {
            if open.is_none() {
                let number = |next: u64| next * KEY_STEP % (2 * self.records);
                let keys: Vec<Vec<u8>> = (self.next..self.next + self.batch).map(|next| key(number(next))).collect();
                self.next += self.batch;
                let (method, payload) = match &keys[..] {
                    [key] => ("put", put(key).write()),
                    keys => {
                        let items = keys.iter().map(|key| put(key)).collect();
                        ("put_many", PutManyRef { items, operation: None }.write())
                    }
                };
                *open = Some(world.submit(world.router, method, payload));
            }
        }
        world.round(ROUND_NANOSECONDS);
        for open in &mut self.open {
            let Some(reply) = open.as_ref().and_then(|message| world.reply(message)) else { continue };
            *open = None;
            let answers = if self.batch == 1 {
                vec![decode::<PutResult>(&reply).expect("put answers what it says")]
            } else {
                let answers = decode::<PutManyResult>(&reply).expect("put_many answers what it says");
                answers.expect("the batch is admitted")
            };
            for answer in answers {
                match answer {
                    Ok(_) => self.counted.done += 1,
                    Err(PutError::Busy { reason: BusyReason::RangeMoves, .. }) => self.counted.refused += 1,
                    Err(error) => panic!("a put failed: {error:?}"),
                }
            }
        }
    }
}

const INTRODUCTION: &str = "\
# What a split costs

A shard of records with 32-byte keys and values of 100 B gives the upper half to a spare, on the embedded simulator, a round every 0.4 s. Written by `cargo run --release -p canopy-benches -- split --update`, from `split.json`. Everything is counted, from the command to the last freed page: cycles and instructions of router and both shards, **per record that moves**; rounds are those until the range has its new owner.

| records in the shard | cycles | router, instructions | shards, instructions | executions | rounds |
|---:|---:|---:|---:|---:|---:|
";

const NOTICED: &str = "
With 20 writers, each of whom sends the next message through the router when the last one is answered, a write or a batch of 50, until the source has freed what it gave away. *Closed* are the rounds in which neither end takes a write of a key that moves, asked directly in each round (at most 3 are allowed); *at once* the writes that weren't told to come again (at least 99 %; the router asks again by itself for what meets the closed range); *throughput* is that of the writers meanwhile, as a part of that before (at least 0.95).

| records in the shard | writes | rounds | closed | at once | throughput |
|---:|---|---:|---:|---:|---:|
";

const DEAREST: &str = "
The dearest messages of the transfer in the shards meanwhile: instructions as the platform charges them, and pages of heap and stable memory that it dirties.

| records in the shard | message | instructions | pages |
|---:|---|---:|---:|
";

/// Writes `results/split.md`.
///
/// # Errors
///
/// When the file can't be written.
pub fn write_report(figures: &Figures) -> anyhow::Result<()> {
    let value = |records, operation, measure| {
        let figure = figures.find(Structure::Routed, VALUE_BYTES as u64, records, operation, measure);
        figure.map_or(0, |figure| figure.measured)
    };
    let mut text = INTRODUCTION.to_string();
    for records in SIZES {
        let of = |measure| value(records, QUIET, measure);
        let cells = [
            spaced(records),
            spaced(of(Measure::Cycles)),
            spaced(of(Measure::RouterInstructions)),
            spaced(of(Measure::ShardInstructions)),
            spaced(of(Measure::Messages)),
            spaced(of(Measure::Rounds) / 1_000),
        ];
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    text.push_str(NOTICED);
    for (records, load) in SIZES.into_iter().flat_map(|records| LOADS.iter().map(move |load| (records, load))) {
        let of = |measure| value(records, load.name, measure);
        let refused = of(Measure::Refused);
        let cells = [
            spaced(records),
            load.in_words.to_string(),
            spaced(of(Measure::Rounds) / 1_000),
            of(Measure::ClosedRounds).to_string(),
            format!("{} %", decimal(100_000 - refused)),
            decimal(1_000_000 / of(Measure::Slowdown).max(1)),
        ];
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    text.push_str(DEAREST);
    for records in SIZES {
        for name in KINDS.iter().map(|kind| kind.name).chain([IN_A_ROUND]) {
            let of = |measure| spaced(value(records, name, measure));
            let (instructions, pages) = (of(Measure::Charged), of(Measure::PagesMost));
            writeln!(text, "| {} | {name} | {instructions} | {pages} |", spaced(records))?;
        }
    }
    save_text("split.md", &text)
}
