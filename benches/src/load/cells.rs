//! What is measured: workloads of YCSB on a base configuration, and that with one thing changed at a time.

use canopy_bench_driver::{Mix, Spread};

/// What has to be filled in before a cell; cells of the same state share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    pub service: Service,
    pub shards: u32,
    pub records: u64,
    pub value_bytes: u64,
}

/// What holds the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// A router and its shards.
    Canopy,
    /// Shards without a router: the one caller has its place, and is not asked for rights.
    Shards,
    /// A StableBTreeMap in a canister, and a proxy in front of it.
    Map,
}

/// Which way operations take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the router, or the proxy.
    Routed,
    /// Straight to the shards, or the map.
    Direct,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Canisters on other subnets.
    Canisters,
    /// Users, from outside.
    Users,
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Cell {
    pub name: String,
    pub group: Group,
    pub state: State,
    pub mix: Mix,
    pub spread: Spread,
    pub way: Way,
    pub callers: Callers,
    pub batch: u32,
    /// Whether writes carry operations.
    pub named: bool,
    /// Whether arguments go through the general decoder.
    pub own_table: bool,
}

/// Cells that are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Workloads,
    Ways,
    Batches,
    ValueSizes,
    Records,
    Shards,
    DirectBatches,
    Beside,
    Prices,
}

/// Workloads of YCSB: name, shares, and how records are drawn.
pub const WORKLOADS: [(&str, Mix, Spread); 6] = [
    ("A", shares(500, 500, 0, 0, 0), Spread::Zipfian),
    ("B", shares(950, 50, 0, 0, 0), Spread::Zipfian),
    ("C", shares(1_000, 0, 0, 0, 0), Spread::Zipfian),
    ("D", shares(950, 0, 50, 0, 0), Spread::Latest),
    ("E", shares(0, 0, 50, 0, 950), Spread::Zipfian),
    ("F", shares(500, 0, 0, 500, 0), Spread::Zipfian),
];
const A: usize = 0;
const C: usize = 2;

const fn shares(gets: u32, puts: u32, inserts: u32, modifies: u32, scans: u32) -> Mix {
    Mix { gets, puts, inserts, modifies, scans }
}

/// What everything else is a change of.
pub const BASE: State = State { service: Service::Canopy, shards: 4, records: 100_000, value_bytes: 1_000 };
/// Records of states with large values, which would not fit a machine otherwise.
const LARGE_RECORDS: u64 = 10_000;
const LARGE_VALUE_BYTES: u64 = 16 << 10;
/// The state of the small run.
const SMALL: State = State { service: Service::Canopy, shards: 2, records: 5_000, value_bytes: 1_000 };

pub const SHARDS: [u32; 6] = [1, 2, 4, 8, 16, 32];
pub const VALUE_SIZES: [u64; 5] = [100, 1_000, 4 << 10, 16 << 10, 64 << 10];
pub const RECORDS: [u64; 3] = [10_000, 100_000, 1_000_000];
pub const BATCHES: [u32; 4] = [1, 10, 100, 1_000];
/// The batch by which shards are compared.
pub const SHARDS_BATCH: u32 = 100;

fn cell(group: Group, name: impl Into<String>, workload: usize, state: State) -> Cell {
    let (_, mix, spread) = WORKLOADS[workload];
    Cell {
        name: name.into(),
        group,
        state,
        mix,
        spread,
        way: Way::Routed,
        callers: Callers::Canisters,
        batch: 1,
        named: true,
        own_table: false,
    }
}

/// Names of cells that the report looks for.
pub mod names {
    pub const MAP: &str = "map";
    pub const PROXY: &str = "map behind a proxy";

    pub fn workload(letter: &str) -> String {
        format!("{letter}, routed")
    }

    pub fn batch(letter: &str, way: super::Way, batch: u32) -> String {
        format!("{letter}, {}, batches of {batch}", way_word(way))
    }

    pub fn way_word(way: super::Way) -> &'static str {
        match way {
            super::Way::Routed => "routed",
            super::Way::Direct => "direct",
        }
    }

    pub fn shards(letter: &str, shards: u32) -> String {
        format!("{letter}, routed, {shards} shards")
    }

    pub fn direct_shards(letter: &str, shards: u32) -> String {
        format!("{letter}, uniform, direct, batches of 100, {shards} shards")
    }

    pub fn value_size(bytes: u64) -> String {
        format!("A, routed, values of {}", crate::results::size(bytes))
    }

    pub fn records(way: super::Way, records: u64) -> String {
        format!("A, {}, {} records", way_word(way), crate::results::count(records))
    }
}

/// All cells, those of the same state one after the other. The same operations on the same state are one cell, whatever
/// groups they stand in; the report finds them by what they are.
pub fn all() -> Vec<Cell> {
    let mut cells = vec![];
    for (at, (letter, ..)) in WORKLOADS.iter().enumerate() {
        cells.push(cell(Group::Workloads, names::workload(letter), at, BASE));
    }
    let base = |group, name: &str, workload| cell(group, name, workload, BASE);
    cells.extend([
        Cell { spread: Spread::Uniform, ..base(Group::Workloads, "A, routed, uniform", A) },
        Cell { way: Way::Direct, ..base(Group::Ways, "A, direct", A) },
        Cell { way: Way::Direct, ..base(Group::Ways, "C, direct", C) },
        Cell { callers: Callers::Users, ..base(Group::Ways, "A, routed, from users", A) },
        Cell { callers: Callers::Users, way: Way::Direct, ..base(Group::Ways, "A, direct, from users", A) },
    ]);
    for way in [Way::Routed, Way::Direct] {
        for batch in BATCHES.into_iter().skip(1).filter(|&batch| way == Way::Routed || batch != SHARDS_BATCH) {
            let named = names::batch("A", way, batch);
            cells.push(Cell { way, batch, ..base(Group::Batches, &named, A) });
        }
    }
    cells.push(Cell {
        batch: 100,
        callers: Callers::Users,
        ..base(Group::Batches, "A, routed, batches of 100, from users", A)
    });
    cells.extend([
        Cell { named: false, ..base(Group::Prices, "A, routed, without operations", A) },
        Cell { own_table: true, ..base(Group::Prices, "A, routed, general decoder", A) },
        Cell { way: Way::Direct, named: false, ..base(Group::Prices, "A, direct, without operations", A) },
        Cell { way: Way::Direct, own_table: true, ..base(Group::Prices, "A, direct, general decoder", A) },
    ]);
    for shards in SHARDS {
        let state = State { shards, ..BASE };
        if state != BASE {
            cells.push(cell(Group::Shards, names::shards("A", shards), A, state));
        }
        for (letter, workload) in [("A", A), ("C", C)] {
            cells.push(Cell {
                spread: Spread::Uniform,
                way: Way::Direct,
                batch: SHARDS_BATCH,
                ..cell(Group::DirectBatches, names::direct_shards(letter, shards), workload, state)
            });
        }
    }
    for value_bytes in VALUE_SIZES.into_iter().filter(|&bytes| bytes != BASE.value_bytes) {
        let records = if value_bytes < LARGE_VALUE_BYTES { BASE.records } else { LARGE_RECORDS };
        let state = State { value_bytes, records, ..BASE };
        cells.push(cell(Group::ValueSizes, names::value_size(value_bytes), A, state));
    }
    for records in RECORDS.into_iter().filter(|&records| records != BASE.records) {
        for way in [Way::Routed, Way::Direct] {
            let state = State { records, ..BASE };
            cells.push(Cell { way, ..cell(Group::Records, names::records(way, records), A, state) });
        }
    }
    cells.push(Cell {
        way: Way::Direct,
        ..cell(Group::Prices, "A, direct, without rights", A, State { service: Service::Shards, ..BASE })
    });
    let map = State { service: Service::Map, shards: 1, ..BASE };
    for (way, what) in [(Way::Direct, names::MAP), (Way::Routed, names::PROXY)] {
        for (letter, workload) in [("A", A), ("C", C)] {
            cells.push(Cell { way, ..cell(Group::Beside, format!("{letter}, {what}"), workload, map) });
            let batches = format!("{letter}, {what}, batches of 100");
            cells.push(Cell { way, batch: 100, ..cell(Group::Beside, batches, workload, map) });
        }
    }
    // A stable sort: within a state cells stay in order, and a state is filled in once.
    cells.sort_by_key(|cell| cell.state);
    cells
}

/// Few cells on a small state: for CI.
pub fn small() -> Vec<Cell> {
    let base = |name: &str, workload| cell(Group::Workloads, name, workload, SMALL);
    let map = State { service: Service::Map, shards: 1, ..SMALL };
    vec![
        base("A, routed", A),
        base("F, routed", 5),
        base("E, routed", 4),
        Cell { way: Way::Direct, ..base("A, direct", A) },
        Cell { way: Way::Direct, own_table: true, ..base("A, direct, general decoder", A) },
        Cell { batch: 100, ..base("A, routed, batches of 100", A) },
        Cell { way: Way::Direct, batch: 100, ..base("A, direct, batches of 100", A) },
        Cell { callers: Callers::Users, ..base("A, routed, from users", A) },
        Cell { way: Way::Direct, ..cell(Group::Beside, "A, map", A, map) },
    ]
}
