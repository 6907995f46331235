//! Fills a service in, and measures a cell: first as much as it does, then half of that.

use canopy_bench_driver::{Mix, Pace, Plan, Service as Target, Spread, Tally};

use super::cells::{Callers, Cell, Group, Service, State, Way};
use super::outside;
use super::watch::{self, Bound, Watch};
use super::world::{Modules, Places, World};
use crate::results::{Figure, Figures, Key, Measure, Structure};

/// Rounds before anything is counted, and rounds that are counted, as fast as it goes.
const WARM_ROUNDS: u64 = 4;
/// Operations for each record before anything is counted, where numbers of shards are compared: half of them write, so
/// that seven records of eight carry a receipt then, which the next write displaces. Else few shards would be measured
/// on records that were hardly written, and many on others.
const WARM_OPERATIONS_PER_RECORD: u64 = 4;
const WARM_ROUNDS_MAX: u64 = 500;
const FULL_ROUNDS: u64 = 8;
/// Least and most rounds at half of that.
const HALF_ROUNDS_MIN: u64 = 6;
const HALF_ROUNDS_MAX: u64 = 2_000;
/// Rounds within which everything under way must be answered.
const DRAIN_ROUNDS_MAX: u64 = 500;
/// Rounds within which records must be filled in.
const FILL_ROUNDS_MAX: u64 = 20_000;
/// Bytes of a message that fills in, and records at most.
const FILL_BYTES: u64 = 1_000_000;
const FILL_RECORDS: u64 = 500;
/// Drivers that fill in, and messages that each has under way.
const FILL_DRIVERS: u64 = 4;
const FILL_OPEN: u32 = 4;
/// Messages that a driver may have under way at half load; whatever is due beyond waits.
const HALF_OPEN: u32 = 2_000;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Size {
    /// Least operations of a cell.
    pub operations: u64,
    pub places: Places,
}

/// What a load came to.
pub struct Outcome {
    pub tally: Tally,
    /// Operations done in rounds that were counted, and those rounds.
    pub done: u64,
    pub rounds: u64,
    pub bound: Bound,
    /// How much of that was used, in thousandths.
    pub bound_used: Option<u64>,
    /// Pages that the shards dirtied in those rounds.
    pub shard_pages: u64,
}

impl Outcome {
    /// Puts together what drivers counted and what was watched in the rounds that were counted.
    pub fn new(world: &World, tally: Tally, done: u64, rounds: u64, watch: &Watch) -> Self {
        let bound = watch.bound(tally.first_refusal.as_deref());
        let shard_pages = watch.pages().skip(usize::from(world.router.is_some())).sum();
        Self { tally, done, rounds, bound, bound_used: watch.used(bound), shard_pages }
    }
}

/// Makes a service with records in it.
pub fn fill(state: &State, modules: &Modules, places: Places) -> World {
    let mut world = World::new(state, modules, places);
    // Shards without a router obey one driver, and can't be filled by batches through a router.
    let (drivers, batch, way) = match state.service {
        Service::Shards => (1, 1, Way::Direct),
        Service::Canopy => (FILL_DRIVERS, (FILL_BYTES / state.value_bytes).clamp(1, FILL_RECORDS), Way::Routed),
        Service::Map => (FILL_DRIVERS, (FILL_BYTES / state.value_bytes).clamp(1, FILL_RECORDS), Way::Direct),
    };
    let drivers = drivers.min(world.drivers.len() as u64);
    let mix = Mix { inserts: 1_000, ..Mix::default() };
    let service = target(&world, state, way);
    world.start(drivers as usize, |driver| Plan {
        service: service.clone(),
        mix,
        spread: Spread::Uniform,
        records: 0,
        inserts_from: 0,
        value_bytes: state.value_bytes,
        batch: batch as u32,
        operations: (state.records - driver).div_ceil(drivers),
        open_max: if batch == 1 { 200 } else { FILL_OPEN },
        pace: Pace::Full,
        named: false,
        own_table: false,
        seed: 0,
        driver,
        drivers,
    });
    let mut tally = Tally::default();
    for round in 0..FILL_ROUNDS_MAX {
        world.pic.tick();
        if round % 10 == 9 {
            tally = world.tally(drivers as usize);
            if tally.open == 0 && tally.begun == state.records {
                break;
            }
        }
    }
    assert_eq!(tally.done, state.records, "filling in: {tally:?}");
    world.next_record = state.records;
    world
}

fn target(world: &World, state: &State, way: Way) -> Target {
    match (state.service, way) {
        (Service::Canopy, Way::Routed) => Target::Routed { router: world.router.expect("there is a router") },
        (Service::Canopy | Service::Shards, _) => {
            Target::Direct { routes: world.routes.clone(), secret: world.secret.clone() }
        }
        (Service::Map, Way::Routed) => Target::Map { canister: world.router.expect("there is a proxy") },
        (Service::Map, Way::Direct) => Target::Map { canister: world.shards[0] },
    }
}

/// What drivers do for a cell; the rest of the plan is what they are told each time.
pub fn plan(world: &World, cell: &Cell, drivers: u64) -> Plan {
    Plan {
        service: target(world, &cell.state, cell.way),
        mix: cell.mix,
        spread: cell.spread,
        records: cell.state.records,
        inserts_from: world.next_record,
        value_bytes: cell.state.value_bytes,
        batch: cell.batch,
        operations: u64::MAX,
        open_max: open_max(cell).div_ceil(drivers).clamp(1, PLACES) as u32,
        pace: Pace::Full,
        named: cell.named,
        own_table: cell.own_table,
        seed: cell.name.bytes().fold(world.next_record, |seed, byte| seed.wrapping_mul(31) + u64::from(byte)),
        driver: 0,
        drivers,
    }
}

/// Places for calls from a canister to another one, less some.
const PLACES: u64 = 450;

/// Bytes under way at most: as many as fit a machine, and so few that what is written to one key meanwhile has room for its
/// receipts.
const TRAVELLING_BYTES_MAX: u64 = 400_000_000;

/// Messages that are under way at full load: enough to keep the service busy until answers have travelled, and not so many
/// that a router has to turn them away.
pub fn open_max(cell: &Cell) -> u64 {
    let (shards, batch) = (u64::from(cell.state.shards), u64::from(cell.batch));
    let bytes = batch * cell.state.value_bytes;
    let all = match (cell.state.service, cell.way) {
        // A router takes 400 calls to a shard, and 128 batches of gets. A proxy has 500 places.
        (Service::Canopy, Way::Routed) if batch > 1 => (120_000_000 / bytes).clamp(32, 120),
        (Service::Canopy, Way::Routed) => (360 * shards).min(1_600),
        (Service::Map, Way::Routed) if batch == 1 => 450,
        (Service::Map, Way::Direct) if batch == 1 => 2_000,
        (Service::Map, _) => 64,
        (_, Way::Direct) if batch == 1 => 2_000 * shards.min(4),
        _ => 600 * shards.min(4),
    };
    all.min(TRAVELLING_BYTES_MAX / bytes).max(1)
}

/// Measures a cell.
pub fn measure(figures: &mut Figures, world: &mut World, cell: &Cell, size: Size) {
    world.rest();
    let full = run(world, cell, None, size.operations);
    if !crate::network::is_simulated() {
        eprintln!("{}: {} operations in {} rounds", cell.name, full.done, full.rounds);
    }
    world.next_record += full.tally.inserted.max(1) * 64;
    world.rest();
    let per_round = (full.done * 1_000 / full.rounds).max(2);
    let (before, cycles) = (watch::look(world), world.cycles());
    let half = run(world, cell, Some(per_round / 2), size.operations);
    let (after, cycles) = (watch::look(world), cycles.saturating_sub(world.cycles()));
    world.next_record += half.tally.inserted.max(1) * 64;
    for outcome in [&full, &half] {
        let tally = &outcome.tally;
        let words = tally.first_failure.as_deref().unwrap_or_default();
        assert_eq!(tally.failed, 0, "{}: {words}", cell.name);
    }
    let tally = &half.tally;
    let done = tally.done.max(1);
    let mut add = |measure, measured: u64| {
        let state = &cell.state;
        let key = Key {
            structure: Structure::Load,
            value_bytes: state.value_bytes,
            records: state.records,
            operation: cell.name.clone(),
            measure,
        };
        figures.add(Figure { key, measured, budget: None });
    };
    let caller = match cell.callers {
        Callers::Canisters => tally.messages * CALL_CYCLES + (tally.request_bytes + tally.reply_bytes) * BYTE_CYCLES,
        Callers::Users => 0,
    };
    add(Measure::Cycles, u64::try_from(cycles).expect("no service has so many cycles") / done);
    add(Measure::CallerCycles, caller / done);
    for (measure, thousandths) in [(Measure::RoundsMedian, 500), (Measure::Rounds99, 990), (Measure::Rounds999, 999)] {
        add(measure, tally.quantile(thousandths).expect("something was done"));
    }
    add(Measure::RoundsPerBillion, full.rounds * 1_000_000_000 / full.done.max(1));
    let turned_away = |operations: u64| operations * 1_000_000 / (full.tally.done + full.tally.refused).max(1);
    add(Measure::RefusedPerMillion, turned_away(full.tally.refused));
    add(Measure::CallsOpenPerMillion, turned_away(full.tally.calls_open));
    add(Measure::BeatenPerMillion, turned_away(full.tally.beaten));
    if before.is_empty() {
        return;
    }
    let sum = |part: std::ops::Range<usize>, of: fn(&watch::Sample) -> u64| {
        after[part.clone()].iter().map(of).sum::<u64>() - before[part].iter().map(of).sum::<u64>()
    };
    let routers = usize::from(world.router.is_some());
    let (router, shards) = (0..routers, routers..before.len());
    add(Measure::RouterInstructions, sum(router.clone(), |sample| sample.instructions) / done);
    add(Measure::ShardInstructions, sum(shards.clone(), |sample| sample.instructions) / done);
    add(Measure::RouterPagesPerThousand, sum(router, |sample| sample.pages) * 1_000 / done);
    add(Measure::ShardPagesPerThousand, sum(shards, |sample| sample.pages) * 1_000 / done);
    add(Measure::Executions, sum(0..before.len(), |sample| sample.messages) * 1_000 / done);
    add(Measure::FullShardPagesPerThousand, full.shard_pages * 1_000 / full.done.max(1));
    add(Measure::Bound, full.bound as u64);
    add(Measure::BoundUsed, full.bound_used.unwrap_or(0));
}

/// Cycles of a call without its bytes, and of each byte, on a subnet of 13 nodes.
pub const CALL_CYCLES: u64 = 260_000;
pub const BYTE_CYCLES: u64 = 1_000;

/// Puts load on a service, as much as it does, or so many thousandths of an operation per round.
fn run(world: &World, cell: &Cell, pace: Option<u64>, operations: u64) -> Outcome {
    if cell.callers == Callers::Users {
        return outside::run(world, cell, pace, operations);
    }
    // Shards without a router obey one driver.
    let drivers = if cell.state.service == Service::Shards { 1 } else { world.drivers.len() };
    let all = plan(world, cell, drivers as u64);
    let messages = pace.map(|thousandths| (thousandths / u64::from(cell.batch) / drivers as u64).max(1));
    world.start(drivers, |driver| Plan {
        driver,
        pace: messages.map_or(Pace::Full, Pace::PerRound),
        open_max: if pace.is_some() { HALF_OPEN } else { all.open_max },
        ..all.clone()
    });
    let (warm, counted) = match pace {
        None => (WARM_ROUNDS, FULL_ROUNDS),
        Some(thousandths) => {
            let rounds = (operations * 1_000).div_ceil(thousandths);
            (0, rounds.clamp(HALF_ROUNDS_MIN, HALF_ROUNDS_MAX))
        }
    };
    (0..warm).for_each(|_| world.pic.tick());
    if pace.is_none() && cell.group == Group::DirectBatches && cell.mix.puts > 0 {
        let operations = WARM_OPERATIONS_PER_RECORD * cell.state.records;
        for _ in 0..WARM_ROUNDS_MAX {
            if world.tally(drivers).done >= operations {
                break;
            }
            world.pic.tick();
        }
    }
    let before = world.tally(drivers).done;
    let mut watch = Watch::new(world);
    let mut rounds = 0;
    let mut done = 0;
    // At full load so long that there are enough operations, too.
    while rounds < counted || (pace.is_none() && done < operations && rounds < HALF_ROUNDS_MAX) {
        world.pic.tick();
        watch.round(world);
        rounds += 1;
        if pace.is_none() && rounds >= counted {
            done = world.tally(drivers).done - before;
        }
    }
    done = world.tally(drivers).done - before;
    world.stop(drivers);
    let mut tally = world.tally(drivers);
    for _ in 0..DRAIN_ROUNDS_MAX {
        if tally.open == 0 {
            break;
        }
        world.pic.tick();
        tally = world.tally(drivers);
    }
    assert_eq!(tally.open, 0, "{}: not all are answered", cell.name);
    Outcome::new(world, tally, done, rounds, &watch)
}
