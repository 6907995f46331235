//! Benchmarks: what the store of a shard costs, and what operations cost from end to end, in exact figures.
//!
//! `cargo run --release -p canopy-benches -- store --help` tells how to run, compare and update. [`store`], [`costs`],
//! [`split`] and [`load`] say what is measured, [`network`] where (the embedded simulator, or a PocketIC server that the environment names),
//! [`canister`] drives the canister that measures itself, [`results`] keeps figures, compares them, and writes the
//! reports.

mod canister;
mod costs;
mod load;
mod network;
mod results;
mod split;
mod store;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Benchmarks of Canopy, in exact figures")]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// The store of a shard, StableBTreeMap beside it, and whole messages of a shard.
    Store(StoreArguments),
    /// Operations from end to end: instructions, cycles, messages, rounds; single, in batches, routed, direct.
    Costs(CostsArguments),
    /// Splits of a shard: what they cost, and what callers notice; a few minutes.
    Split(CostsArguments),
    /// Workloads of YCSB on whole services under load; beside a StableBTreeMap, alone and behind a proxy.
    Load(LoadArguments),
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

#[derive(Args)]
struct CostsArguments {
    /// Fail if a figure is more than 2 % above the committed one.
    #[arg(long, conflicts_with = "update")]
    compare: bool,
    /// Write the figures and the report to benches/results.
    #[arg(long)]
    update: bool,
}

#[derive(Args)]
struct LoadArguments {
    /// All cells, for the report: tens of minutes and some gibibytes. Without it: the few that CI measures.
    #[arg(long)]
    full: bool,
    /// Fail if a figure is more than 2 % above the committed one.
    #[arg(long, conflicts_with = "update")]
    compare: bool,
    /// Write the figures to benches/results, and the report and its charts if they are the full ones.
    #[arg(long)]
    update: bool,
    /// Only cells whose name contains this; updated, they take the place of the committed ones, and others stay.
    #[arg(long, conflicts_with = "compare")]
    only: Option<String>,
    /// Only what has no figures yet: goes on with a run that was ended early.
    #[arg(long, requires = "update", conflicts_with = "only")]
    missing: bool,
    /// Measure nothing: write the report and its charts anew from the committed figures.
    #[arg(long, conflicts_with_all = ["full", "compare", "update", "only"])]
    report: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().benchmark {
        Benchmark::Store(arguments) => run_store(&arguments),
        Benchmark::Costs(arguments) => run_costs(&arguments),
        Benchmark::Split(arguments) => run_split(&arguments),
        Benchmark::Load(arguments) => run_load(&arguments),
    };
    match result {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers which budgets don't hold, and what got dearer.
fn run_store(arguments: &StoreArguments) -> anyhow::Result<Vec<String>> {
    let plan = if arguments.full { store::Plan::full() } else { store::Plan::small() };
    let measured = store::run(&plan, arguments.only.as_deref());
    let mut faults = judge(&measured, arguments.compare.then_some(plan.name))?;
    faults.extend(broken(&results::checks::all(&measured)));
    if arguments.update {
        measured.save(plan.name)?;
        if arguments.full {
            results::report::write(&measured)?;
        }
    }
    Ok(faults)
}

/// Answers which budgets don't hold, and what got dearer.
fn run_costs(arguments: &CostsArguments) -> anyhow::Result<Vec<String>> {
    let measured = costs::run();
    let faults = judge(&measured, arguments.compare.then_some(costs::NAME))?;
    if arguments.update {
        measured.save(costs::NAME)?;
        costs::write_report(&measured)?;
    }
    Ok(faults)
}

/// Answers which budgets don't hold, and what got dearer.
fn run_split(arguments: &CostsArguments) -> anyhow::Result<Vec<String>> {
    let measured = split::run();
    let faults = judge(&measured, arguments.compare.then_some(split::NAME))?;
    if arguments.update {
        measured.save(split::NAME)?;
        split::write_report(&measured)?;
    }
    Ok(faults)
}

/// Answers what got dearer, and what doesn't hold.
fn run_load(arguments: &LoadArguments) -> anyhow::Result<Vec<String>> {
    let plan = if arguments.full || arguments.report { load::Plan::full() } else { load::Plan::small() };
    if arguments.report {
        load::write_report(&results::Figures::load(plan.name)?)?;
        return Ok(vec![]);
    }
    let is_part = arguments.only.is_some() || arguments.missing;
    let before = if is_part { results::Figures::load(plan.name)? } else { results::Figures::default() };
    let is_wanted = |name: &str| match &arguments.only {
        Some(only) => name.contains(only),
        None => !load::has(&before, name),
    };
    let all = |measured: &results::Figures| {
        let mut all = before.clone();
        all.replace(measured);
        all
    };
    let save = |measured: &results::Figures| if arguments.update { all(measured).save(plan.name) } else { Ok(()) };
    let measured = load::run(&plan, is_wanted, save)?;
    let mut faults = judge(&measured, arguments.compare.then_some(plan.name))?;
    let whole = all(&measured);
    faults.extend(broken(&load::checks::all(&whole)));
    if arguments.update && arguments.full {
        load::write_report(&whole)?;
    }
    Ok(faults)
}

/// Prints checks, and tells which don't hold.
fn broken(checks: &[results::checks::Check]) -> Vec<String> {
    checks.iter().for_each(|check| println!("{check}"));
    checks.iter().filter(|check| !check.holds()).map(|check| format!("doesn't hold: {check}")).collect()
}

/// Prints figures, and tells what is over budget or, if a name of committed figures is given, dearer than those.
fn judge(measured: &results::Figures, committed: Option<&str>) -> anyhow::Result<Vec<String>> {
    print!("{measured}");
    let mut faults: Vec<String> =
        measured.over_budget().iter().map(|figure| format!("over budget: {figure}")).collect();
    if let Some(name) = committed {
        let comparison = results::compare(&results::Figures::load(name)?, measured);
        println!("{comparison}");
        faults.extend(comparison.faults());
    }
    Ok(faults)
}
