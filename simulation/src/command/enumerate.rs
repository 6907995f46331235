//! The subcommand `enumerate`.

use std::path::PathBuf;
use std::process::ExitCode;

use canopy_simulation::enumeration::sums::{Enumeration, Sums};
use canopy_simulation::enumeration::{Kind, Party, Trouble};
use canopy_simulation::network::Service;
use canopy_simulation::planted::{self, Workshop};
use canopy_simulation::results;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::{EXIT_WRONG, find_root, progress_bar, threads_or_all, usage};

/// One run in so many is played twice.
const REPEAT_EVERY: usize = 50;
/// Failures that are shown.
const SHOWN_MAX: usize = 10;

#[derive(Args)]
pub struct EnumerateArguments {
    /// Only this kind of transfer.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::text)))]
    kind: Option<String>,
    /// Only this step, by its place in the list.
    #[arg(long, requires = "kind")]
    step: Option<usize>,
    /// Only what befalls this party.
    #[arg(long, value_parser = PossibleValuesParser::new(Party::ALL.map(Party::text)))]
    party: Option<String>,
    /// Only this trouble.
    #[arg(long, value_parser = PossibleValuesParser::new(Trouble::ALL.map(Trouble::text)))]
    trouble: Option<String>,
    /// Only every so many-th run, evenly over all.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Threads; as many as there are processors unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Shows the steps and plays none.
    #[arg(long)]
    list: bool,
    /// Plays a service with this planted bug, until it is found.
    #[arg(long)]
    planted: Option<String>,
    /// The workspace, for `--planted`.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Where to write the summary.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Plays what was asked for; with a planted bug, fails if it is not found.
pub fn run(arguments: &EnumerateArguments) -> ExitCode {
    let service = match &arguments.planted {
        None => Service::CURRENT,
        Some(name) => match build(name, arguments) {
            Ok(service) => service,
            Err(message) => return usage(&message),
        },
    };
    let enumeration = Enumeration {
        kinds: chosen(Kind::ALL, Kind::text, &arguments.kind).map_or(Kind::ALL.to_vec(), |kind| vec![kind]),
        step: arguments.step,
        party: chosen(Party::ALL, Party::text, &arguments.party),
        trouble: chosen(Trouble::ALL, Trouble::text, &arguments.trouble),
        every: arguments.every,
        repeat_every: if arguments.planted.is_some() { 0 } else { REPEAT_EVERY },
        failures_max: if arguments.planted.is_some() { 1 } else { Enumeration::FAILURES_MAX },
        ..Enumeration::new(service, threads_or_all(arguments.threads))
    };
    // A panic in a run is reported with its spot; the default message would only repeat it.
    std::panic::set_hook(Box::new(|_| {}));
    if arguments.list {
        return list(&enumeration.rehearse());
    }
    // Whatever is committed meanwhile, this is what runs.
    let commit = results::commit();
    let progress = progress_bar(0, "runs");
    let sums = enumeration.run(&progress);
    progress.finish_and_clear();
    report(&sums);
    if let Some(path) = &arguments.output
        && let Err(error) = std::fs::write(path, sums.markdown(&commit))
    {
        return usage(&format!("{}: {error}", path.display()));
    }
    if sums.is_right() == arguments.planted.is_none() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) }
}

fn chosen<T: Copy, const N: usize>(all: [T; N], text: fn(T) -> &'static str, name: &Option<String>) -> Option<T> {
    let name = name.as_ref()?;
    all.into_iter().find(|one| text(*one) == name)
}

fn build(name: &str, arguments: &EnumerateArguments) -> Result<Service, String> {
    let root = find_root(&arguments.root)?;
    let planted = planted::find(name)?;
    Workshop::new(&root).build(planted)
}

fn list(sums: &Sums) -> ExitCode {
    for plan in &sums.plans {
        println!("{}", plan.kind.text());
        for (number, step) in plan.steps.iter().enumerate() {
            println!("{number:>5} {}", step.describe());
        }
    }
    sums.broken.iter().for_each(|broken| println!("failed: {broken}"));
    if sums.is_right() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) }
}

fn report(sums: &Sums) {
    let inapplicable: u64 = sums.inapplicable.values().sum();
    println!(
        "{} runs in {:.0} s ({} of them twice), {} messages; {inapplicable} not applicable",
        sums.runs(),
        sums.seconds,
        sums.repeated,
        sums.messages
    );
    for (kind, after, abandoned) in &sums.abandoned {
        println!("{}, target lost, had taken the range: {after}: {abandoned:?}", kind.text());
    }
    for broken in &sums.broken {
        println!("failed: {broken}");
    }
    for failed in sums.failed.iter().take(SHOWN_MAX) {
        println!("failed: {} ({})\n  {}", failed.spot, failed.step, failed.failure);
        println!("  replay: cargo run --release -p canopy-simulation -- enumerate {}", failed.spot);
    }
    if sums.failed.len() > SHOWN_MAX {
        println!("and {} more", sums.failed.len() - SHOWN_MAX);
    }
}
