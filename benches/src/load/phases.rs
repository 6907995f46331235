//! Takes single operations apart: fees, instructions, and on the build that has marks the instructions of each phase.

use candid::Principal;
use canopy_bench_driver::{Mix, Pace, Plan, Spread, Tally};
use canopy_types::marks::Phase;

use super::cells::{self, Callers, Cell, Group, Service, State, Way};
use super::measure::{BYTE_CYCLES, CALL_CYCLES, fill, plan};
use super::watch::{self, Sample};
use super::world::{Modules, Places, World};
use crate::results::{Figure, Figures, Key, Measure, Structure};

/// Operations that are measured, in messages of one each, and in batches.
const SINGLES: u64 = 500;
const BATCHED: u64 = 5_000;
pub const BATCH: u32 = 100;
/// Messages under way: few, as on a quiet network.
const OPEN: u32 = 4;
const ROUNDS_MAX: u64 = 5_000;
const CANOPY: State = State { shards: 4, records: 20_000, ..cells::BASE };
const MAP: State = State { service: Service::Map, shards: 1, ..CANOPY };
pub const VALUE_BYTES: u64 = CANOPY.value_bytes;

/// One kind of operation.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub way: Way,
    is_put: bool,
    named: bool,
    pub batch: u32,
}

const fn kind(name: &'static str, way: Way, is_put: bool, named: bool, batch: u32) -> Kind {
    Kind { name, way, is_put, named, batch }
}

/// Operations on Canopy.
pub const KINDS: [Kind; 10] = [
    kind("put, direct", Way::Direct, true, true, 1),
    kind("put without operation, direct", Way::Direct, true, false, 1),
    kind("get, direct", Way::Direct, false, false, 1),
    kind("puts, direct, batches of 100", Way::Direct, true, true, BATCH),
    kind("gets, direct, batches of 100", Way::Direct, false, false, BATCH),
    kind("put, routed", Way::Routed, true, true, 1),
    kind("put without operation, routed", Way::Routed, true, false, 1),
    kind("get, routed", Way::Routed, false, false, 1),
    kind("puts, routed, batches of 100", Way::Routed, true, true, BATCH),
    kind("gets, routed, batches of 100", Way::Routed, false, false, BATCH),
];

/// The same on the naive pair, each with the operations of Canopy that it stands beside.
pub const NAIVE: [(Kind, &str); 8] = [
    (kind("put, map", Way::Direct, true, false, 1), "put, direct"),
    (kind("get, map", Way::Direct, false, false, 1), "get, direct"),
    (kind("puts, map, batches of 100", Way::Direct, true, false, BATCH), "puts, direct, batches of 100"),
    (kind("gets, map, batches of 100", Way::Direct, false, false, BATCH), "gets, direct, batches of 100"),
    (kind("put, map behind a proxy", Way::Routed, true, false, 1), "put, routed"),
    (kind("get, map behind a proxy", Way::Routed, false, false, 1), "get, routed"),
    (kind("puts, map behind a proxy, batches of 100", Way::Routed, true, false, BATCH), "puts, routed, batches of 100"),
    (
        kind("gets, map behind a proxy, batches of 100", Way::Routed, false, false, BATCH),
        "gets, routed, batches of 100",
    ),
];

/// What is left when all phases are taken away: pages of the heap that are dirtied, at 1,000 instructions each, and what
/// runs outside the marks.
pub const REST: &str = "heap pages and the rest";

/// Names a phase.
pub fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Receive => "receive",
        Phase::Rights => "rights",
        Phase::Decode => "decode",
        Phase::Route => "route",
        Phase::Name => "name",
        Phase::Store => "store",
        Phase::Encode => "encode and send",
        Phase::Resume => "resume",
    }
}

/// Names the figure of a phase.
pub fn named(kind: &str, phase: &str) -> String {
    format!("{kind}: {phase}")
}

/// Measures every kind.
pub fn measure(figures: &mut Figures, modules: &Modules) {
    let places = Places { subnets: 1, each: 1 };
    let shipped = fill(&CANOPY, modules, places);
    let marked = canopy_artifacts::build_marked();
    let modules_marked = Modules { router: &marked.router, shard: &marked.shard, ..*modules };
    let with_marks = fill(&CANOPY, &modules_marked, places);
    for kind in KINDS {
        let used = run(&shipped, &CANOPY, &kind);
        add_operation(figures, &kind, &used);
        let before = marks(&with_marks);
        let done = run(&with_marks, &CANOPY, &kind).tally.done;
        let after = marks(&with_marks);
        let sums = [(Measure::RouterInstructions, 0, used.router), (Measure::ShardInstructions, 1, used.shards)];
        for (measure, at, all) in sums {
            let mut rest = all;
            for (place, phase) in Phase::ALL.into_iter().enumerate() {
                let instructions = (after[at][place] - before[at][place]) / done;
                if instructions > 0 {
                    rest = rest.saturating_sub(instructions);
                    add(figures, &kind, named(kind.name, words(phase)), measure, instructions);
                }
            }
            if all > 0 {
                add(figures, &kind, named(kind.name, REST), measure, rest);
            }
        }
    }
    drop((shipped, with_marks));
    let map = fill(&MAP, modules, places);
    for (kind, _) in NAIVE {
        let used = run(&map, &MAP, &kind);
        add_operation(figures, &kind, &used);
    }
}

/// What operations used, each.
struct Used {
    tally: Tally,
    router: u64,
    shards: u64,
    cycles: u64,
    executions_per_thousand: u64,
}

fn run(world: &World, state: &State, kind: &Kind) -> Used {
    let shares =
        if kind.is_put { Mix { puts: 1_000, ..Mix::default() } } else { Mix { gets: 1_000, ..Mix::default() } };
    let cell = Cell {
        name: kind.name.to_string(),
        group: Group::Beside,
        state: *state,
        mix: shares,
        spread: Spread::Uniform,
        way: kind.way,
        callers: Callers::Canisters,
        batch: kind.batch,
        named: kind.named,
        own_table: false,
    };
    world.rest();
    let operations = if kind.batch == 1 { SINGLES } else { BATCHED };
    let (before, cycles) = (watch::look(world), world.cycles());
    world.start(1, |_| Plan { operations, open_max: OPEN, pace: Pace::Full, ..plan(world, &cell, 1) });
    let mut tally = Tally::default();
    for _ in 0..ROUNDS_MAX {
        world.pic.tick();
        tally = world.tally(1);
        if tally.open == 0 && tally.begun == operations {
            break;
        }
    }
    assert_eq!(tally.done, operations, "{}: {tally:?}", kind.name);
    let (after, cycles) = (watch::look(world), cycles - world.cycles());
    let sum = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).sum::<u64>();
    // Neither is known on a real server.
    let between = |from: usize, to: usize, of: fn(&Sample) -> u64| match before.is_empty() {
        true => 0,
        false => sum(&after[from..to], of) - sum(&before[from..to], of),
    };
    Used {
        router: between(0, 1, |sample| sample.instructions) / operations,
        shards: between(1, before.len().max(1), |sample| sample.instructions) / operations,
        cycles: u64::try_from(cycles).expect("no service has so many cycles") / operations,
        executions_per_thousand: between(0, before.len(), |sample| sample.messages) * 1_000 / operations,
        tally,
    }
}

fn add_operation(figures: &mut Figures, kind: &Kind, used: &Used) {
    let tally = &used.tally;
    let caller = (tally.messages * CALL_CYCLES + (tally.request_bytes + tally.reply_bytes) * BYTE_CYCLES) / tally.done;
    let measures = [
        (Measure::RouterInstructions, used.router),
        (Measure::ShardInstructions, used.shards),
        (Measure::Cycles, used.cycles),
        (Measure::CallerCycles, caller),
        (Measure::Executions, used.executions_per_thousand),
    ];
    for (measure, measured) in measures {
        add(figures, kind, kind.name.to_string(), measure, measured);
    }
}

fn add(figures: &mut Figures, kind: &Kind, operation: String, measure: Measure, measured: u64) {
    let records = u64::from(kind.batch);
    let key = Key { structure: Structure::Phases, value_bytes: VALUE_BYTES, records, operation, measure };
    figures.add(Figure { key, measured, budget: None });
}

/// Instructions of each phase so far: of the router, and of all shards together.
fn marks(world: &World) -> [[u64; Phase::ALL.len()]; 2] {
    let mut sums = [[0; Phase::ALL.len()]; 2];
    let read = |canister: Principal, sums: &mut [u64]| {
        let reply = world.pic.query_call(canister, Principal::anonymous(), "marks", vec![]);
        let reply = reply.unwrap_or_else(|reject| panic!("marks: {reject}"));
        for (sum, bytes) in sums.iter_mut().zip(reply.chunks_exact(8)) {
            *sum += u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
    };
    read(world.router.expect("there is a router"), &mut sums[0]);
    world.shards.iter().for_each(|&shard| read(shard, &mut sums[1]));
    sums
}
