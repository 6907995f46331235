//! The campaign that every change runs: many seeds with all faults, and the seeds that once failed.

use std::process::Command;

use canopy_simulation::campaign::{Campaign, Summary, run_contained};
use canopy_simulation::case::Options;
use canopy_simulation::enumeration::Kind;
use canopy_simulation::enumeration::sums::Enumeration;
use canopy_simulation::network::Service;
use canopy_simulation::scenarios;
use indicatif::ProgressBar;

mod unknown;

/// Of the campaign whose summary is committed: two shares in which everything happens that has to.
const FIRST_SEED: u64 = 100;
const SEEDS: u64 = 100;
/// One seed in so many is run twice.
const REPEAT_EVERY: usize = 50;
const THREADS: usize = 2;
/// Of the enumeration whose summary is committed, one run in so many; a prime, so that all steps, parties and troubles
/// take their turn.
const ENUMERATION_EVERY: usize = 53;
/// Seeds that failed once, one per line, with the reason.
const REGRESSIONS: &str = include_str!("regressions.txt");

fn campaign(seeds: Vec<u64>, options: Options, repeat_every: usize) -> Summary {
    let campaign =
        Campaign { seeds, options, threads: THREADS, repeat_every, shrink_runs_max: 10, service: Service::CURRENT };
    campaign.run(&ProgressBar::hidden(), &|_, _| {})
}

/// Runs the command as people do. It fails on what is wrong, and on a campaign that proves too little.
#[test]
fn every_operation_is_applied_exactly_once_under_all_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("campaign.md");
    let mut command = Command::new(env!("CARGO_BIN_EXE_canopy-simulation"));
    let range = ["campaign", "--seed", &FIRST_SEED.to_string(), "--seeds", &SEEDS.to_string(), "--output"];
    let command = command.args(range).arg(&page);
    let said = command.output().expect("the program starts");
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    let page = std::fs::read_to_string(&page).expect("it writes a page");
    let number = |row: &str| -> u64 {
        let cells = page.lines().find_map(|line| line.strip_prefix(&format!("| {row} | ")));
        cells.and_then(|cell| cell.trim_end_matches(" |").parse().ok()).expect("the page has the row")
    };
    let operations = number("operations done") + number("not done") + number("unknown for ever");
    assert!(operations >= SEEDS * Options::of_campaign().operations as u64, "each seed has all of its operations");
}

#[test]
fn seeds_that_failed_once_pass() {
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in lines {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse().ok();
        let (seed, operations) = number().zip(number()).expect("a line begins with a seed and its operations");
        let mut options = Options { operations: operations as usize, ..Options::default() };
        for fault in words.take_while(|word| word.contains('=')) {
            options.faults.parse(fault).expect("a fault is switched as on the command line");
        }
        let summary = campaign(vec![seed], options, 0);
        assert!(summary.failed.is_empty(), "{:#?}", summary.failed);
    }
}

#[test]
fn another_seed_is_another_run() {
    let options = Options { operations: 20, ..Options::default() };
    let first = run_contained(1, &options, Service::CURRENT);
    assert_eq!(first.chain, run_contained(1, &options, Service::CURRENT).chain);
    assert_ne!(first.chain, run_contained(2, &options, Service::CURRENT).chain);
}

#[test]
fn mistakes_of_administrators_end_as_expected() {
    for scenario in scenarios::ALL {
        if let Err(reason) = scenario.run(0, Service::CURRENT) {
            panic!("{}: expected that {}; but {reason}", scenario.name, scenario.expected);
        }
    }
}

#[test]
fn every_trouble_at_every_step_of_a_transfer_is_borne() {
    let mut enumeration = Enumeration::new(Service::CURRENT, THREADS);
    (enumeration.every, enumeration.repeat_every) = (ENUMERATION_EVERY, REPEAT_EVERY);
    let sums = enumeration.run(&ProgressBar::hidden());
    assert!(sums.is_right(), "{:#?} {:#?}", sums.broken, sums.failed);
    assert_eq!(sums.plans.iter().map(|plan| plan.kind).collect::<Vec<_>>(), Kind::ALL);
    assert_eq!(sums.abandoned.len(), 4, "two kinds of splits lose their targets at two moments");
    assert!(sums.runs() * ENUMERATION_EVERY as u64 > 2_000, "{} runs of all", sums.runs());
}
