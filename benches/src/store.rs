//! What the store costs: instructions in batches and alone, pages, bytes, whole messages; StableBTreeMap beside it.
//!
//! [`Plan`] says how many records of what size. One structure is in memory at a time.

mod budgets;
mod draws;
mod messages;

use std::time::Instant;

use canopy_bench_canister::{Action, Command, KEY_BYTES, PAGES_TOLD_MAX, Reply, mix};

use crate::canister::{Canister, InProcess, Runner};
use crate::results::{Figure, Figures, Key, Measure, Structure, count, size};
use draws::Draw;

/// Steps of a batch, unless their values are large.
const BATCH_STEPS: u64 = 2_000;
/// Bytes of keys and values that one message may write: less than the memory is grown ahead by.
const MESSAGE_BYTES: u64 = 16 << 20;
/// Records that one message fills in, unless their values are large.
const FILL_STEPS: u64 = 5_000;
/// Steps of a message that measures pages, or a flood of equal hashes.
const SAMPLE_STEPS: u64 = 2_000;
/// Instructions, as the store estimates them, of a message that sweeps or frees for the measurement.
const SWEEP_INSTRUCTIONS: u64 = 20_000_000;
/// The same where sweeping is not what is measured.
const CLEANING_INSTRUCTIONS: u64 = 1_000_000_000;
/// Messages after which sweeping must be done.
const CLEANINGS_MAX: u64 = 1_000;
/// When every receipt's time is over, in minutes.
const SWEEP_MINUTES: u64 = 17;
/// Between two turnovers.
const TURNOVER_MINUTES: u64 = 20;
const TURNOVERS: u64 = 10;
/// Longest value of a turnover: values have half of it on average.
const TURNOVER_VALUE_BYTES_MAX: u64 = 2_048;

/// Operations by the names that figures have.
pub mod names {
    pub const GET: &str = "get";
    pub const GET_MISSING: &str = "get, no record";
    pub const GET_ZIPFIAN: &str = "get, zipfian";
    pub const PUT_FRESH: &str = "put fresh";
    pub const PUT_SAME: &str = "put, same size";
    pub const PUT_ZIPFIAN: &str = "put, same size, zipfian";
    pub const PUT_OTHER: &str = "put, other size";
    pub const DELETE: &str = "delete";
    pub const IMPORT: &str = "import fresh";
    pub const WALK: &str = "walk, per record";
    pub const SWEEP: &str = "sweep, per receipt";
    pub const FREE: &str = "free, per entry";
    pub const OPEN: &str = "open after an upgrade";
    pub const FILLED: &str = "filled";
    pub const TURNED_OVER: &str = "after ten turnovers of random sizes";
    pub const PUT_SPREAD: &str = "put fresh, spread hashes";
    pub const PUT_EQUAL: &str = "put fresh, one hash";
    pub const GET_SPREAD: &str = "get, spread hashes";
    pub const GET_EQUAL: &str = "get, one hash";
    pub const DELETE_SPREAD: &str = "delete, spread hashes";
    pub const DELETE_EQUAL: &str = "delete, one hash";
}

/// Sizes of a run.
pub struct Plan {
    pub name: &'static str,
    /// Bytes of a value, and numbers of records, each filled from empty.
    stores: Vec<(u64, Vec<u64>)>,
    maps: Vec<(u64, Vec<u64>)>,
    /// Records of stores whose pages are counted.
    counted_records: u64,
    turnover_records: u64,
    flood_records: u64,
    message_records: u64,
    batches: u64,
    singles: u64,
}

impl Plan {
    /// For the report.
    pub fn full() -> Self {
        Self {
            name: "store-full",
            stores: vec![
                (100, vec![100_000, 400_000, 1_000_000, 5_000_000]),
                (1 << 10, vec![100_000, 200_000, 1_000_000, 5_000_000]),
                (64 << 10, vec![10_000, 100_000]),
                (1 << 20, vec![500, 5_000]),
            ],
            maps: vec![(100, vec![100_000, 400_000]), (1 << 10, vec![100_000, 200_000])],
            counted_records: 100_000,
            turnover_records: 100_000,
            flood_records: 1_000_000,
            message_records: 100_000,
            batches: 3,
            singles: 500,
        }
    }

    /// For CI: seconds.
    pub fn small() -> Self {
        Self {
            name: "store-small",
            stores: vec![
                (100, vec![10_000, 50_000]),
                (1 << 10, vec![20_000]),
                (64 << 10, vec![200]),
                (1 << 20, vec![20]),
            ],
            maps: vec![(100, vec![10_000]), (1 << 10, vec![10_000])],
            counted_records: 10_000,
            turnover_records: 10_000,
            flood_records: 50_000,
            message_records: 5_000,
            batches: 1,
            singles: 100,
        }
    }
}

/// A part of the benchmark that nothing else depends on.
type Part<'a> = (String, Box<dyn Fn(&mut Figures) + 'a>);

/// Measures everything, or the parts whose names contain `only`.
pub fn run(plan: &Plan, only: Option<&str>) -> Figures {
    let began = Instant::now();
    let parts = parts(plan);
    let parts: Vec<_> = parts.iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only))).collect();
    let mut figures = Figures::default();
    for (at, (name, measure)) in parts.iter().enumerate() {
        eprintln!("[{:>5} s, part {} of {}] {name}", began.elapsed().as_secs(), at + 1, parts.len());
        measure(&mut figures);
    }
    eprintln!("[{:>5} s] done", began.elapsed().as_secs());
    figures
}

fn parts(plan: &Plan) -> Vec<Part<'_>> {
    let mut parts: Vec<Part> = vec![];
    for (value_bytes, sizes) in &plan.stores {
        for records in sizes {
            let name = format!("store, {} x {}", count(*records), size(*value_bytes));
            parts.push((name, Box::new(move |figures| measure_store(figures, plan, *value_bytes, *records))));
        }
    }
    for (value_bytes, sizes) in &plan.maps {
        for records in sizes {
            let name = format!("StableBTreeMap, {} x {}", count(*records), size(*value_bytes));
            parts.push((name, Box::new(move |figures| measure_map(figures, plan, *value_bytes, *records))));
        }
    }
    for value_bytes in [100, 1 << 10] {
        let records = plan.counted_records;
        let name = format!("pages, {} x {}", count(records), size(value_bytes));
        parts.push((name, Box::new(move |figures| measure_pages(figures, value_bytes, records))));
        let records = plan.message_records;
        let name = format!("messages, {} x {}", count(records), size(value_bytes));
        parts.push((name, Box::new(move |figures| messages::measure(figures, value_bytes, records))));
    }
    let name = format!("turnovers, {}", count(plan.turnover_records));
    parts.push((name, Box::new(|figures| measure_turnovers(figures, plan.turnover_records))));
    let name = format!("equal hashes, {}", count(plan.flood_records));
    parts.push((name, Box::new(|figures| measure_flood(figures, plan.flood_records))));
    parts
}

/// Adds a figure, with its budget.
fn add(figures: &mut Figures, key: Key, measured: u64) {
    let budget = budgets::of(&key);
    figures.add(Figure { key, measured, budget });
}

/// On which records an operation is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Uniform,
    Zipfian,
    /// New ones, those behind the ones that are there.
    Fresh,
    /// Ones that never come.
    Missing,
    /// New ones of another shard.
    Imported,
}

const IMPORTED_FROM: u64 = 1 << 32;
const MISSING_FROM: u64 = 1 << 33;
/// Steps that aren't fills are numbered from here on, so that no two operations have one name.
const STEPS_FROM: u64 = 1 << 40;

/// What is measured step by step, in this order.
const OPERATIONS: [(&str, Action, Target); 9] = [
    (names::GET, Action::Get, Target::Uniform),
    (names::GET_MISSING, Action::GetMissing, Target::Missing),
    (names::GET_ZIPFIAN, Action::Get, Target::Zipfian),
    (names::PUT_FRESH, Action::Put, Target::Fresh),
    (names::PUT_SAME, Action::Put, Target::Uniform),
    (names::PUT_OTHER, Action::PutShorter, Target::Uniform),
    (names::PUT_ZIPFIAN, Action::Put, Target::Zipfian),
    (names::IMPORT, Action::Import, Target::Imported),
    (names::DELETE, Action::Delete, Target::Uniform),
];

/// A structure that is filled and measured.
struct Subject<R> {
    canister: R,
    structure: Structure,
    value_bytes: u64,
    records: u64,
    zipfian: Draw,
    next_step: u64,
}

impl<R: Runner> Subject<R> {
    fn new(canister: R, structure: Structure, value_bytes: u64, records: u64) -> Self {
        fill(&canister, Action::Put, value_bytes, records);
        let zipfian = Draw::zipfian(records);
        Self { canister, structure, value_bytes, records, zipfian, next_step: STEPS_FROM }
    }

    fn key(&self, operation: &str, measure: Measure) -> Key {
        let (structure, value_bytes, records) = (self.structure, self.value_bytes, self.records);
        Key { structure, value_bytes, records, operation: operation.to_string(), measure }
    }

    /// Bounds steps by the bytes that they may write.
    fn steps(&self, wanted: u64) -> u64 {
        wanted.min(MESSAGE_BYTES / self.value_bytes)
    }

    fn command(&mut self, action: Action, target: Target, at: u64, steps: u64) -> Command {
        let first = self.next_step;
        self.next_step += steps;
        let record = |at: u64| match target {
            Target::Uniform => mix(at ^ 0x77) % self.records,
            Target::Zipfian => self.zipfian.draw(at),
            Target::Fresh => self.records + at,
            Target::Missing => MISSING_FROM + at,
            Target::Imported => IMPORTED_FROM + at,
        };
        let records = (at..at + steps).map(record).collect();
        Command { action, first, count: steps, value_bytes: self.value_bytes, records }
    }

    fn add_bytes_per_byte(&self, figures: &mut Figures, operation: &str) {
        let [records, live, touched, _] = self.canister.run(&Command::once(Action::Sizes)).sizes;
        let live = if live > 0 { live } else { records * (KEY_BYTES as u64 + self.value_bytes) };
        add(figures, self.key(operation, Measure::BytesPerByte), touched * 1_000 / live);
    }
}

impl Subject<Canister> {
    /// Instructions of a step in batches, and alone.
    fn measure(&mut self, plan: &Plan, action: Action, target: Target) -> (u64, u64) {
        let (batch_steps, singles) = (self.steps(BATCH_STEPS), self.steps(plan.singles));
        let mut batches = Reply::default();
        for batch in 0..plan.batches {
            self.canister.run(&Command::once(Action::Grow));
            let command = self.command(action, target, batch * batch_steps, batch_steps);
            batches.add(&self.canister.run(&command));
        }
        self.canister.run(&Command::once(Action::Grow));
        let from = plan.batches * batch_steps;
        let commands: Vec<Command> = (from..from + singles).map(|at| self.command(action, target, at, 1)).collect();
        let alone = self.canister.run_apart(&commands);
        (per_step(&batches), per_step(&alone))
    }

    fn measure_operations(&mut self, figures: &mut Figures, plan: &Plan) {
        for (name, action, target) in OPERATIONS {
            if self.structure == Structure::StableBTreeMap && target == Target::Imported {
                continue;
            }
            let (batch, single) = self.measure(plan, action, target);
            add(figures, self.key(name, Measure::Batch), batch);
            add(figures, self.key(name, Measure::Single), single);
        }
        let count = self.steps(BATCH_STEPS);
        let mut walks = Reply::default();
        for at in 0..plan.batches {
            let first = mix(at ^ 0x99) % (self.records / 2);
            let value_bytes = self.value_bytes;
            walks.add(&self.canister.run(&Command { first, count, value_bytes, ..Command::once(Action::Walk) }));
        }
        add(figures, self.key(names::WALK, Measure::Batch), per_step(&walks));
    }
}

fn per_step(reply: &Reply) -> u64 {
    reply.instructions / reply.steps.max(1)
}

/// Fills a structure with the records from 0 on, making room on the way, and tells what that used.
fn fill(canister: &impl Runner, action: Action, value_bytes: u64, records: u64) -> Reply {
    let steps = FILL_STEPS.min(MESSAGE_BYTES / value_bytes);
    let mut sum = Reply::default();
    for first in (0..records).step_by(steps as usize) {
        canister.run(&Command::once(Action::Grow));
        let count = steps.min(records - first);
        sum.add(&canister.run(&Command { first, count, value_bytes, ..Command::once(action) }));
    }
    sum
}

fn measure_store(figures: &mut Figures, plan: &Plan, value_bytes: u64, records: u64) {
    let mut subject = Subject::new(Canister::new(Action::CreateStore), Structure::Store, value_bytes, records);
    subject.add_bytes_per_byte(figures, names::FILLED);
    subject.measure_operations(figures, plan);
    let sweep = Command { first: SWEEP_MINUTES, count: SWEEP_INSTRUCTIONS, ..Command::once(Action::Sweep) };
    add(figures, subject.key(names::SWEEP, Measure::Batch), per_step(&subject.canister.run(&sweep)));
    let opened = subject.canister.run(&Command::once(Action::Open));
    add(figures, subject.key(names::OPEN, Measure::Single), opened.instructions);
    let free = Command { count: SWEEP_INSTRUCTIONS, ..Command::once(Action::Free) };
    add(figures, subject.key(names::FREE, Measure::Batch), per_step(&subject.canister.run(&free)));
}

fn measure_map(figures: &mut Figures, plan: &Plan, value_bytes: u64, records: u64) {
    let mut subject = Subject::new(Canister::new(Action::CreateMap), Structure::StableBTreeMap, value_bytes, records);
    subject.add_bytes_per_byte(figures, names::FILLED);
    subject.measure_operations(figures, plan);
}

fn measure_pages(figures: &mut Figures, value_bytes: u64, records: u64) {
    let mut subject = Subject::new(InProcess::new(Action::CreateStore), Structure::Store, value_bytes, records);
    for (name, action, target) in OPERATIONS {
        subject.canister.run(&Command::once(Action::Grow));
        let command = subject.command(action, target, 0, SAMPLE_STEPS);
        let pages = subject.canister.run(&command).pages;
        let steps = pages.iter().sum::<u64>();
        let sum: u64 = (0..).zip(pages).map(|(count, steps)| count * steps).sum();
        let below = |count: usize| pages[..=count].iter().sum::<u64>();
        let median = (0..=PAGES_TOLD_MAX).find(|&count| below(count) * 2 >= steps).expect("some count is the median");
        let most = pages.iter().rposition(|&steps| steps > 0).expect("there were steps");
        add(figures, subject.key(name, Measure::PagesMean), sum * 1_000 / steps);
        add(figures, subject.key(name, Measure::PagesMedian), median as u64);
        add(figures, subject.key(name, Measure::PagesMost), most as u64);
    }
}

fn measure_turnovers(figures: &mut Figures, records: u64) {
    let canister = Canister::new(Action::CreateStore);
    let value_bytes = TURNOVER_VALUE_BYTES_MAX;
    for turnover in 0..=TURNOVERS {
        for from in (0..records).step_by(FILL_STEPS as usize) {
            canister.run(&Command::once(Action::Grow));
            let first = turnover * records + from;
            let count = FILL_STEPS.min(records - from);
            let drawn = (first..first + count).map(|step| mix(step ^ 0x55) % records);
            let records = if turnover == 0 { vec![] } else { drawn.collect() };
            canister.run(&Command { action: Action::PutRandom, first, count, value_bytes, records });
        }
        clean(&canister, (turnover + 1) * TURNOVER_MINUTES);
    }
    let [records, live, touched, _] = canister.run(&Command::once(Action::Sizes)).sizes;
    let key = Key {
        structure: Structure::Store,
        value_bytes: TURNOVER_VALUE_BYTES_MAX / 2,
        records,
        operation: names::TURNED_OVER.to_string(),
        measure: Measure::BytesPerByte,
    };
    add(figures, key, touched * 1_000 / live);
}

/// Sweeps until nothing is left.
fn clean(canister: &Canister, minutes: u64) {
    let sweep = Command { first: minutes, count: CLEANING_INSTRUCTIONS, ..Command::once(Action::Sweep) };
    let is_done = (0..CLEANINGS_MAX).any(|_| canister.run(&sweep).steps == 0);
    assert!(is_done, "receipts are left after {CLEANINGS_MAX} messages");
}

fn measure_flood(figures: &mut Figures, records: u64) {
    let spread =
        [(names::PUT_SPREAD, Action::Put), (names::GET_SPREAD, Action::Get), (names::DELETE_SPREAD, Action::Delete)];
    let equal = [
        (names::PUT_EQUAL, Action::PutEqualHash),
        (names::GET_EQUAL, Action::GetEqualHash),
        (names::DELETE_EQUAL, Action::DeleteEqualHash),
    ];
    let value_bytes = 100;
    for operations in [spread, equal] {
        let canister = Canister::new(Action::CreateStore);
        for (name, action) in operations {
            let used = if matches!(action, Action::Put | Action::PutEqualHash) {
                fill(&canister, action, value_bytes, records)
            } else {
                canister.run(&Command::once(Action::Grow));
                let stride = records / SAMPLE_STEPS;
                let records = (0..SAMPLE_STEPS).map(|at| at * stride).collect();
                canister.run(&Command { action, first: STEPS_FROM, count: 0, value_bytes, records })
            };
            let (structure, operation, measure) = (Structure::Store, name.to_string(), Measure::Batch);
            add(figures, Key { structure, value_bytes, records, operation, measure }, per_step(&used));
        }
    }
}
