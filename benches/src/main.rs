//! Benchmarks: what the store of a shard costs, in exact instructions.
//!
//! `cargo run --release -p canopy-benches -- store --help` tells how to run, compare and update. [`store`] says what is
//! measured, [`network`] where (the embedded simulator, or a PocketIC server that the environment names), [`canister`]
//! builds and drives the canister that measures itself, [`results`] keeps figures, compares them, and writes the report.

mod canister;
mod network;
mod results;
mod store;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Benchmarks of Canopy, in exact instructions")]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// The store of a shard, StableBTreeMap beside it, and whole messages of a shard.
    Store(StoreArguments),
}

#[derive(Args)]
struct StoreArguments {
    /// Up to 5 million records, for the report; up to an hour and 8 GiB. Without it: the small sizes that CI measures.
    #[arg(long)]
    full: bool,
    /// Fail if a figure is more than 2 % above the committed one.
    #[arg(long, conflicts_with = "update")]
    compare: bool,
    /// Write the figures to benches/results, and the report if they are the full ones.
    #[arg(long)]
    update: bool,
    /// Only parts whose name contains this; nothing can be compared or updated then.
    #[arg(long, conflicts_with_all = ["compare", "update"])]
    only: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { benchmark: Benchmark::Store(arguments) } = Arguments::parse();
    match run_store(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether every budget holds and nothing got dearer.
fn run_store(arguments: &StoreArguments) -> anyhow::Result<bool> {
    let plan = if arguments.full { store::Plan::full() } else { store::Plan::small() };
    let measured = store::run(&plan, arguments.only.as_deref());
    print!("{measured}");
    let mut faults: Vec<String> =
        measured.over_budget().iter().map(|figure| format!("over budget: {figure}")).collect();
    let checks = results::checks::all(&measured);
    for check in &checks {
        println!("{check}");
        if !check.holds() {
            faults.push(format!("doesn't hold: {check}"));
        }
    }
    if arguments.compare {
        let committed = results::Figures::load(plan.name)?;
        let comparison = results::compare(&committed, &measured);
        println!("{comparison}");
        faults.extend(comparison.faults());
    }
    if arguments.update {
        measured.save(plan.name)?;
        if arguments.full {
            results::report::write(&measured)?;
        }
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    Ok(faults.is_empty())
}
