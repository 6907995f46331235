//! Measures the store in a canister: instructions per operation, in batches and in single messages.
//!
//! `cargo run --release -p canopy-benches [records in thousands, ascending; default 100 and 400] [--update]` prints a
//! table beside the budgets; with `--update` it is written to `benches/results/store.txt`, to be committed. Numbers are
//! the simulator's, whose metering follows the platform's; budgets were set on a real server.

mod canister;

use std::fmt::Write;
use std::sync::Arc;

use canister::{Canister, Operation, Used};
use canopy_simulator::wasm::Module;
use canopy_simulator::wasm::engine::STACK_BYTES;

/// Operations per message in the batch columns, as many single messages in the others.
const BATCH: u64 = 2_000;
const BATCHES: u64 = 3;
const SINGLES: u64 = 500;
const FILL_PER_MESSAGE: u64 = 10_000;
const THOUSAND: u64 = 1_000;

/// Instructions per operation that the store may use: name, operation, batch and single, for 100 B and for 1 KiB.
const BUDGETS: [(&str, Operation, [u64; 2], [u64; 2]); 5] = [
    ("get", Operation::Get, [3_000, 3_500], [4_000, 4_500]),
    ("put fresh", Operation::Put, [10_000, 12_000], [13_000, 15_000]),
    ("put same size, receipt displaced", Operation::OverwriteSameSize, [12_000, 15_000], [15_000, 19_000]),
    ("put other size, receipt displaced", Operation::OverwriteOtherSize, [12_000, 15_000], [15_000, 19_000]),
    ("delete, two receipts", Operation::Delete, [14_000, 17_000], [14_000, 17_000]),
];
const SWEEP_BUDGET: u64 = 5_000;
/// From the fewest records to the most, of 100 B and in batches.
const GROWTH_PERCENT_MAX: u64 = 25;
/// Above this only the store with values of 100 B is measured: the rest takes too much time and memory.
const COMPARED_RECORDS_MAX: u64 = 1_000_000;

struct Table {
    text: String,
    over: u64,
}

impl Table {
    fn row(&mut self, name: &str, batch: u64, single: Used, budget: [u64; 2]) {
        let alone = single.instructions;
        let within = batch <= budget[0] && alone <= budget[1];
        self.over += u64::from(!within);
        let mark = if within { "" } else { "  OVER" };
        let pages = single.stable_pages as f64 / 100.0;
        self.line(&format!(
            "  {name:34} batch {batch:6} of {:6}   single {alone:6} of {:6}   pages {pages:.2}{mark}",
            budget[0], budget[1]
        ));
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.text, "{line}").expect("a string takes everything");
    }
}

/// Fills a structure with records, making room on the way.
fn fill(canister: &mut Canister, operation: Operation, records: u64, value_bytes: u64) -> u64 {
    let mut instructions = 0;
    for first in (0..records).step_by(FILL_PER_MESSAGE as usize) {
        canister.run(Operation::Grow, 0, 0, 0, 1);
        let count = FILL_PER_MESSAGE.min(records - first);
        instructions = canister.run(operation, first, count, value_bytes, records).instructions / count;
    }
    instructions
}

/// Instructions per step in batches, and of single messages with 100 times their pages.
fn measure(canister: &mut Canister, operation: Operation, first: u64, value_bytes: u64, records: u64) -> (u64, Used) {
    let mut next = first;
    let mut total = Used::default();
    for _ in 0..BATCHES {
        canister.run(Operation::Grow, 0, 0, 0, 1);
        let keys = canister.run(Operation::Keys, next, BATCH, value_bytes, records).instructions;
        total.instructions += canister.run(operation, next, BATCH, value_bytes, records).instructions - keys;
        next += BATCH;
    }
    let mut single = Used::default();
    for _ in 0..SINGLES {
        let keys = canister.run(Operation::Keys, next, 1, value_bytes, records).instructions;
        let used = canister.run(operation, next, 1, value_bytes, records);
        single.instructions += used.instructions - keys;
        single.stable_pages += used.stable_pages * 100;
        next += 1;
    }
    let mean =
        Used { instructions: single.instructions / SINGLES, steps: 1, stable_pages: single.stable_pages / SINGLES };
    (total.instructions / (BATCH * BATCHES), mean)
}

/// Answers what an operation of each kind costs in a batch.
fn bench_store(table: &mut Table, module: &Arc<Module>, records: u64, value_bytes: u64) -> Vec<u64> {
    table.line(&format!("{} k records of {value_bytes} B", records / THOUSAND));
    let mut canister = Canister::new(module);
    canister.run(Operation::CreateStore, 0, 0, 0, 1);
    fill(&mut canister, Operation::Put, records, value_bytes);
    let mut batches = Vec::new();
    for (name, operation, small, large) in BUDGETS {
        let budget = if value_bytes <= 100 { small } else { large };
        let first = if matches!(operation, Operation::Put) { records } else { 0 };
        let (batch, single) = measure(&mut canister, operation, first, value_bytes, records);
        table.row(name, batch, single, budget);
        batches.push(batch);
    }
    let used = canister.run(Operation::Sweep, 0, 20_000_000, 0, records);
    let sweep = used.instructions / used.steps.max(1);
    table.row("sweep, per receipt", sweep, Used { instructions: sweep, ..used }, [SWEEP_BUDGET; 2]);
    let open = canister.run(Operation::Open, 0, 1, 0, records).instructions;
    table.line(&format!("  open: {open}"));
    batches.push(sweep);
    batches
}

/// Compares the costs at the fewest records with those at the most.
fn show_growth(table: &mut Table, fewest: &[u64], most: &[u64]) {
    let names = BUDGETS.iter().map(|(name, ..)| *name).chain(["sweep, per receipt"]);
    for ((name, few), many) in names.zip(fewest).zip(most) {
        let percent = many * 100 / few;
        let within = percent <= 100 + GROWTH_PERCENT_MAX;
        table.over += u64::from(!within);
        table.line(&format!("  {name:34} {few:6} to {many:6}: {percent} %{}", if within { "" } else { "  OVER" }));
    }
}

fn bench_map(table: &mut Table, module: &Arc<Module>, records: u64, value_bytes: u64, store: &[u64]) {
    let mut canister = Canister::new(module);
    canister.run(Operation::CreateMap, 0, 0, 0, 1);
    fill(&mut canister, Operation::Put, records, value_bytes);
    let put = canister.run(Operation::Put, records, BATCH, value_bytes, records).instructions / BATCH;
    let get = canister.run(Operation::Get, 0, BATCH, value_bytes, records).instructions / BATCH;
    let (put_ratio, get_ratio) = (put as f64 / store[1] as f64, get as f64 / store[0] as f64);
    table.line(&format!("  StableBTreeMap: put {put} ({put_ratio:.1} times), get {get} ({get_ratio:.1} times)"));
    table.over += u64::from(put_ratio < 8.0 || get_ratio < 15.0);
}

fn bench_flood(table: &mut Table, module: &Arc<Module>, records: u64) {
    let costs = [Operation::Put, Operation::PutEqualHash].map(|operation| {
        let mut canister = Canister::new(module);
        canister.run(Operation::CreateStore, 0, 0, 0, 1);
        fill(&mut canister, operation, records, 100)
    });
    table.line(&format!("{} k records, last put: spread {}, one hash {}", records / THOUSAND, costs[0], costs[1]));
    table.over += u64::from(costs[1] > 3 * costs[0]);
}

fn run() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<u64> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 400];
    }
    let module = canister::module();
    let mut table = Table { text: String::new(), over: 0 };
    let mut small_values = Vec::new();
    for &size in &sizes {
        let records = size * THOUSAND;
        for value_bytes in [100, 1_024] {
            if value_bytes > 100 && records > COMPARED_RECORDS_MAX {
                continue;
            }
            let store = bench_store(&mut table, &module, records, value_bytes);
            if records <= COMPARED_RECORDS_MAX {
                bench_map(&mut table, &module, records, value_bytes, &store);
            }
            if value_bytes == 100 {
                small_values.push(store);
            }
        }
    }
    if let [fewest, .., most] = &small_values[..] {
        table.line(&format!("{} k to {} k records of 100 B, in batches", sizes[0], sizes[sizes.len() - 1]));
        show_growth(&mut table, fewest, most);
    }
    bench_flood(&mut table, &module, sizes[0] * THOUSAND);
    if arguments.iter().any(|text| text == "--update") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/store.txt");
        std::fs::write(path, &table.text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    if table.over > 0 {
        println!("{} numbers are over their budget", table.over);
        std::process::exit(1);
    }
}

fn main() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread can be started");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
