//! What README.md says of cycles, computed from constants, prices and measurements, so that it never goes stale.

use std::time::Duration;

use canopy_simulator::cycles::Fees;
use canopy_simulator::limits::GIB;
use canopy_types::limits::SHARD_CYCLES_DEFAULT;
use serde_json::Value;

use crate::cluster::{Cluster, Pace, T};
use crate::server;

const README: &str = include_str!("../README.md");
const COSTS: &str = include_str!("../benches/results/costs.json");
const STORE: &str = include_str!("../benches/results/store-full.json");
const CALLS: &str = include_str!("../router/src/calls.rs");

/// The prices that README.md is about: those of a subnet of 13 nodes.
const FEES: Fees = Fees { nodes: 13, free: false };

/// Instructions of an answer's callback, for which a call sets cycles aside.
const CALLBACK_INSTRUCTIONS_MAX: u64 = 40_000_000_000;
/// Bytes of a call with a value of 1 KiB.
const CALL_BYTES: u64 = 1_200;
const YEAR_SECONDS: u64 = 365 * 86_400;
/// Time over which an idle service is watched: half an hour, and how long its timers may wait.
const IDLE_SECONDS: u64 = 1_800;
const IDLE_PACE: Pace = Pace { time: Duration::from_secs(5), rounds: 2 };

/// The examples of the text: shards, and calls at the same time.
const EXAMPLES: [(u128, u128); 2] = [(2, 100), (8, 400)];

/// Finds the cycles that the router keeps back.
fn reserve() -> u128 {
    let name = "pub const RESERVE_CYCLES: u128 = ";
    let (_, rest) = CALLS.split_once(name).expect("the router's reserve has a name");
    let (digits, _) = rest.split_once(';').expect("it has an end");
    digits.replace('_', "").parse().expect("it is a number")
}

/// Writes trillions with one digit after the point, if it isn't 0.
fn trillions(cycles: u128) -> String {
    let tenths = (cycles + T / 20) / (T / 10);
    if tenths.is_multiple_of(10) { format!("{} T", tenths / 10) } else { format!("{}.{} T", tenths / 10, tenths % 10) }
}

fn billions(cycles: u128) -> String {
    format!("{} G", (cycles + T / 2_000) / (T / 1_000))
}

/// Writes millions, with a digit after the point below ten.
fn millions(cycles: u128) -> String {
    let tenths = (cycles + 50_000) / 100_000;
    if tenths >= 100 { format!("{} M", (tenths + 5) / 10) } else { format!("{}.{} M", tenths / 10, tenths % 10) }
}

/// Finds what an operation with values of 1 KiB was measured to cost, per record.
fn measured(structure: &str, operation: &str, records: u64) -> u128 {
    let costs: Value = serde_json::from_str(COSTS).expect("the figures are JSON");
    let figures = costs["figures"].as_array().expect("a list");
    let figure = figures.iter().find(|figure| {
        figure["structure"] == structure
            && figure["operation"] == operation
            && figure["records"] == records
            && figure["value_bytes"] == 1024
            && figure["measure"] == "cycles"
    });
    figure.and_then(|figure| figure["measured"].as_u64()).map(u128::from).expect("it is measured")
}

fn says(text: &str) {
    assert!(README.contains(text), "README.md doesn't say: {text}");
}

#[test]
fn cycles_to_begin_with_are_those_of_the_constants() {
    let (creation, call) = (FEES.create_canister(), FEES.call(CALL_BYTES, CALLBACK_INSTRUCTIONS_MAX, false));
    let shard = creation + SHARD_CYCLES_DEFAULT;
    let (own, default) = (billions(creation), trillions(SHARD_CYCLES_DEFAULT));
    says(&format!("each shard: {own} for its creation, and `shard_cycles` for itself ({default} unless"));
    says(&format!("| {} |\n| its own work, kept back always | {} |", trillions(shard), trillions(reserve())));
    says(&format!("| each call under way, set aside until its answer comes | {} |", billions(call)));
    says(&format!("{} x shards + {} + {} x calls", trillions(shard), trillions(reserve()), billions(call)));
    for (shards, calls) in EXAMPLES {
        let words = ["two", "eight"][usize::from(shards > 2)];
        let needed = trillions(shards * shard + reserve() + calls * call);
        says(&format!("with {words} shards and {calls} calls at a time {needed}"));
    }
}

#[test]
fn cycles_of_operations_are_those_that_were_measured() {
    let row = |what: &str, cycles: String| says(&format!("| {what} | {cycles} |"));
    row("a put through the router", millions(measured("routed", "put, a new record", 1)));
    row("a get through the router", millions(measured("routed", "get", 1)));
    row("a put straight to its shard, by who has the role", millions(measured("direct", "put, a new record", 1)));
    row("a put in a batch of 1,000", millions(measured("routed", "put_many, with operation", 1_000)));
    let memory_bytes = GIB * bytes_per_thousand() / 1_000;
    row("a GiB of keys and values for a year", trillions(FEES.storage(memory_bytes, YEAR_SECONDS)));
}

/// Finds how many bytes of memory a thousand bytes of keys and values take, for values of 1 KiB.
fn bytes_per_thousand() -> u64 {
    let store: Value = serde_json::from_str(STORE).expect("the figures are JSON");
    let figures = store["figures"].as_array().expect("a list").iter();
    let of_store = figures.filter(|figure| {
        figure["structure"] == "store"
            && figure["value_bytes"] == 1024
            && figure["operation"] == "filled"
            && figure["measure"] == "bytes-per-byte"
    });
    of_store.filter_map(|figure| figure["measured"].as_u64()).max().expect("it is measured")
}

/// Finds what a service of so many shards spends in a while in which nobody asks it for anything.
fn idle_cycles(shards: u32) -> u128 {
    let cluster = Cluster::builder().initial_shards(shards).ready();
    let balance = || -> u128 {
        let all = cluster.shards().into_iter().chain([cluster.router]);
        all.map(|canister| cluster.pic.cycle_balance(canister)).sum()
    };
    let pass = || (0..IDLE_SECONDS / IDLE_PACE.time.as_secs()).for_each(|_| cluster.turn(IDLE_PACE));
    pass();
    let before = balance();
    pass();
    before - balance()
}

#[test]
fn cycles_of_an_idle_shard_are_those_that_it_spends() {
    if server::is_not_applicable("cycles_of_an_idle_shard_are_those_that_it_spends") {
        return;
    }
    let of_two = idle_cycles(4) - idle_cycles(2);
    let year = of_two / 2 * u128::from(YEAR_SECONDS / IDLE_SECONDS);
    says(&format!(
        "| a shard for a year, empty: its 128 MiB, and the words between router and shard | {} |",
        trillions(year)
    ));
}
