//! The command `canopy-simulation`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use canopy_simulation::campaign::{Campaign, FailedSeed, Summary};
use canopy_simulation::case::{OPERATIONS_DEFAULT, OPERATIONS_MAX, Options};
use canopy_simulation::faults::FaultOptions;
use canopy_simulation::network::Service;
use canopy_simulation::results::{self, Subject};
use canopy_simulation::run::Failure;
use canopy_simulation::scenarios;
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::enumerate::EnumerateArguments;
use crate::planted::PlantedArguments;

#[path = "command/enumerate.rs"]
mod enumerate;
#[path = "command/planted.rs"]
mod planted;
#[path = "command/shares.rs"]
mod shares;

const EXIT_WRONG: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_NO_PROGRESS: u8 = 3;
const EXIT_CRASH: u8 = 4;

/// The campaign: seeds, how many of them are run twice, and runs that making a failing one smaller may take.
const CAMPAIGN_SEEDS: u64 = 2_000;
const CAMPAIGN_REPEAT_EVERY: usize = 50;
const CAMPAIGN_SHRINK_RUNS_MAX: usize = 40;
/// Seeds after which progress is told on a line of its own.
const REPORT_RUNS: usize = 50;
/// Bytes of a failure in a summary.
const LINE_BYTES_MAX: usize = 120;
/// Seeds of a campaign, at most.
const SEEDS_MAX: u64 = 10_000_000;

/// Runs Canopy in simulated networks under faults, and checks every answer.
///
/// Exit codes: 0 all is well, 1 a wrong answer, 2 wrong usage, 3 no progress (or a campaign that proves too little),
/// 4 a crash.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs seeds.
    Run(RunArguments),
    /// Runs the campaign whose summary is committed: every operation is applied exactly once.
    Campaign(CampaignArguments),
    /// Adds up parts of one campaign whose ranges of seeds follow each other.
    Add {
        #[arg(required = true)]
        parts: Vec<PathBuf>,
        /// Where to write the summary.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Plays mistakes of administrators (all unless named) and checks what comes of each.
    Scenarios {
        names: Vec<String>,
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Builds the service with planted bugs and looks for each.
    Planted(PlantedArguments),
    /// Places every trouble at every step of every kind of transfer, each in a run of its own.
    Enumerate(EnumerateArguments),
}

#[derive(Args)]
struct CampaignArguments {
    /// First seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = CAMPAIGN_SEEDS, value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// Processes; as many as there are processors unless given.
    #[arg(long, conflicts_with = "part")]
    processes: Option<usize>,
    /// Where to write the summary.
    #[arg(long, conflicts_with = "part")]
    output: Option<PathBuf>,
    /// Runs in this process alone and writes the sums here, to be added to those of other ranges of seeds.
    #[arg(long)]
    part: Option<PathBuf>,
    /// What the part is of; the commit that is checked out unless given.
    #[arg(long, hide = true, requires = "part")]
    commit: Option<String>,
}

impl CampaignArguments {
    fn run(&self) -> RunArguments {
        let options = Options::of_campaign();
        RunArguments {
            seed: self.seed,
            seeds: self.seeds,
            operations: options.operations,
            threads: Some(1),
            fault: Vec::new(),
            only: Vec::new(),
            none: false,
            repeat_every: CAMPAIGN_REPEAT_EVERY,
            reasons: false,
            shrink_runs: CAMPAIGN_SHRINK_RUNS_MAX,
            output: None,
            part: self.part.clone(),
            commit: self.commit.clone(),
            options: Some(options),
        }
    }
}

#[derive(Args)]
struct RunArguments {
    /// First seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// Operations of each run.
    #[arg(long, default_value_t = OPERATIONS_DEFAULT)]
    operations: usize,
    /// Threads; as many as there are processors unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Switches a fault: NAME=on, off, drawn, or a rate from 0 to 1. May be repeated.
    #[arg(long, value_name = "NAME=SWITCH")]
    fault: Vec<String>,
    /// Switches all faults off but these (names, with commas).
    #[arg(long, value_delimiter = ',', conflicts_with = "none")]
    only: Vec<String>,
    /// Switches all faults off.
    #[arg(long)]
    none: bool,
    /// Runs every so many-th seed twice and compares the event logs; 0: none.
    #[arg(long, default_value_t = 10)]
    repeat_every: usize,
    /// Shows what the answers said that were not `done`.
    #[arg(long)]
    reasons: bool,
    /// Runs that making a failing seed smaller may take.
    #[arg(long, default_value_t = 40)]
    shrink_runs: usize,
    /// Where to write the summary.
    #[arg(long)]
    output: Option<PathBuf>,
    #[arg(skip)]
    part: Option<PathBuf>,
    #[arg(skip)]
    commit: Option<String>,
    /// Options that the command line doesn't change.
    #[arg(skip)]
    options: Option<Options>,
}

fn main() -> ExitCode {
    let arguments = match Command::parse().action {
        Action::Run(arguments) => arguments,
        Action::Campaign(arguments) if arguments.part.is_some() => arguments.run(),
        Action::Campaign(arguments) => return run_shares(&arguments),
        Action::Planted(arguments) => return planted::run(&arguments),
        Action::Add { parts, output } => return add(&parts, output.as_deref()),
        Action::Scenarios { names, seed } => return play(&names, seed),
        Action::Enumerate(arguments) => return enumerate::run(&arguments),
    };
    match campaign(&arguments) {
        Ok(campaign) => run(&campaign, &arguments),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn campaign(arguments: &RunArguments) -> Result<Campaign, String> {
    let options = match &arguments.options {
        Some(options) => options.clone(),
        None => options(arguments)?,
    };
    let last = arguments.seed.checked_add(arguments.seeds).ok_or("the last seed is too large")?;
    Ok(Campaign {
        seeds: (arguments.seed..last).collect(),
        options,
        threads: threads_or_all(arguments.threads),
        repeat_every: arguments.repeat_every,
        shrink_runs_max: arguments.shrink_runs,
        service: Service::CURRENT,
    })
}

fn options(arguments: &RunArguments) -> Result<Options, String> {
    let mut faults = match (arguments.none, arguments.only.is_empty()) {
        (true, _) => FaultOptions::none(),
        (false, false) => FaultOptions::only(&arguments.only)?,
        (false, true) => FaultOptions::default(),
    };
    for text in &arguments.fault {
        faults.parse(text)?;
    }
    if !(1..=OPERATIONS_MAX).contains(&arguments.operations) {
        return Err(format!("--operations takes 1 to {OPERATIONS_MAX}"));
    }
    Ok(Options { operations: arguments.operations, faults })
}

fn run(campaign: &Campaign, arguments: &RunArguments) -> ExitCode {
    println!(
        "seed {}, {} seeds, {} operations each",
        arguments.seed,
        campaign.seeds.len(),
        campaign.options.operations
    );
    let progress = progress_bar(campaign.seeds.len(), "seeds");
    let report = |runs: usize, seconds: f64| {
        if runs.is_multiple_of(REPORT_RUNS) {
            println!("{runs} seeds in {seconds:.0} s");
        }
    };
    // A panic in a run is reported with its seed; the default message would only repeat it.
    std::panic::set_hook(Box::new(|_| {}));
    let summary = campaign.run(&progress, &report);
    progress.finish_and_clear();
    print!("{}", results::text(&summary));
    let subject = Subject {
        first: arguments.seed,
        last: arguments.seed + arguments.seeds - 1,
        operations: arguments.operations,
        commit: arguments.commit.clone().unwrap_or_else(results::commit),
    };
    let pages = [
        (&arguments.output, results::markdown(&subject, &summary)),
        (&arguments.part, results::parts::write(&subject, &summary)),
    ];
    for (path, page) in pages {
        if let Some(path) = path
            && let Err(error) = std::fs::write(path, page)
        {
            return usage(&format!("{}: {error}", path.display()));
        }
    }
    if arguments.reasons {
        show_reasons(&summary);
    }
    if let Some(failed) = summary.failed.first() {
        show_failed(failed);
        return exit_of(&failed.failure);
    }
    // A part is judged with the others.
    if arguments.part.is_some() { ExitCode::SUCCESS } else { judge(&summary) }
}

/// Shows how many of so many are done, if somebody looks.
fn progress_bar(length: usize, what: &str) -> ProgressBar {
    let progress = ProgressBar::new(length as u64);
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}, {{elapsed}} (about {{eta}} left)");
    progress.set_style(ProgressStyle::with_template(&template).expect("the template is fixed and right"));
    if !std::io::stderr().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    progress
}

fn threads_or_all(threads: Option<usize>) -> usize {
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |threads| threads.get()))
}

fn find_root(root: &Path) -> Result<PathBuf, String> {
    let found = root.canonicalize().ok().filter(|root| root.join("artifacts").is_dir());
    found.ok_or_else(|| format!("{} is not the workspace", root.display()))
}

fn usage(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(EXIT_USAGE)
}

/// Adds parts up, and judges the whole.
fn add(paths: &[PathBuf], output: Option<&Path>) -> ExitCode {
    let mut texts = Vec::new();
    for path in paths {
        match std::fs::read_to_string(path) {
            Ok(text) => texts.push(text),
            Err(error) => return usage(&format!("{}: {error}", path.display())),
        }
    }
    match results::parts::add(&texts) {
        Ok((subject, summary)) => conclude(&subject, &summary, output),
        Err(message) => usage(&message),
    }
}

/// Runs the seeds of a campaign on all processors, and judges the whole.
fn run_shares(arguments: &CampaignArguments) -> ExitCode {
    if arguments.seed.checked_add(arguments.seeds).is_none() {
        return usage("the last seed is too large");
    }
    let operations = Options::of_campaign().operations;
    println!("seed {}, {} seeds, {operations} operations each", arguments.seed, arguments.seeds);
    match shares::run(arguments.seed, arguments.seeds, threads_or_all(arguments.processes)) {
        Ok((subject, summary)) => conclude(&subject, &summary, arguments.output.as_deref()),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(EXIT_CRASH)
        }
    }
}

/// Shows a campaign that was added up, writes its page, and judges it.
fn conclude(subject: &Subject, summary: &Summary, output: Option<&Path>) -> ExitCode {
    print!("{}", results::text(summary));
    if let Some(path) = output
        && let Err(error) = std::fs::write(path, results::markdown(subject, summary))
    {
        return usage(&format!("{}: {error}", path.display()));
    }
    for failed in &summary.failed {
        println!("seed {} failed: {}", failed.seed, failed.failure);
    }
    summary.failed.first().map_or_else(|| judge(summary), |failed| exit_of(&failed.failure))
}

fn exit_of(failure: &Failure) -> ExitCode {
    ExitCode::from(match failure {
        Failure::Wrong(_) => EXIT_WRONG,
        Failure::NoProgress(_) => EXIT_NO_PROGRESS,
        Failure::Crash(_) => EXIT_CRASH,
    })
}

/// Says what the runs, all of which are right, fail to prove.
fn judge(summary: &Summary) -> ExitCode {
    let weaknesses = summary.weaknesses();
    for weakness in &weaknesses {
        println!("the campaign proves too little: {weakness:?}");
    }
    if weaknesses.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO_PROGRESS) }
}

fn show_reasons(summary: &Summary) {
    let mut reasons: Vec<(&String, &u64)> = summary.reasons.iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    for (reason, times) in reasons {
        println!("{times:>8} times: {reason}");
    }
}

fn show_failed(failed: &FailedSeed) {
    println!("\nseed {} failed: {}", failed.seed, failed.failure);
    println!("last events:");
    for event in &failed.events {
        println!("  {event}");
    }
    println!("replay:  {}", replay(failed.seed, &failed.options));
    if let Some((options, failure)) = &failed.shrunk {
        println!("smaller: {}\n  {failure}", replay(failed.seed, options));
    }
}

/// Plays scenarios; fails if one ends otherwise than expected.
fn play(names: &[String], seed: u64) -> ExitCode {
    if let Some(name) = names.iter().find(|name| scenarios::ALL.iter().all(|scenario| scenario.name != **name)) {
        let all: Vec<&str> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
        eprintln!("error: there is no scenario `{name}`; there are {}", all.join(", "));
        return ExitCode::from(EXIT_USAGE);
    }
    println!("seed {seed}");
    let mut failed = false;
    for scenario in
        scenarios::ALL.iter().filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name))
    {
        let outcome = scenario.run(seed, Service::CURRENT);
        failed |= outcome.is_err();
        match outcome {
            Ok(()) => println!("{:<26} as expected: {}", scenario.name, scenario.expected),
            Err(reason) => println!("{:<26} NOT as expected ({}): {reason}", scenario.name, scenario.expected),
        }
    }
    if failed { ExitCode::from(EXIT_WRONG) } else { ExitCode::SUCCESS }
}

/// Cuts a text at the end of its first line, or earlier.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or("");
    &line[..line.floor_char_boundary(LINE_BYTES_MAX)]
}

/// Writes the command that runs one seed again.
fn replay(seed: u64, options: &Options) -> String {
    let faults = options.faults.arguments().join(" ");
    format!(
        "cargo run --release -p canopy-simulation -- run --seed {seed} --operations {} {faults}",
        options.operations
    )
    .trim_end()
    .to_string()
}
