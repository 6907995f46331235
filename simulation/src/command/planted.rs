//! The subcommand `planted`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use canopy_simulation::planted::{self, Finding, Planted, Workshop};
use clap::Args;

use crate::{EXIT_WRONG, find_root, first_line, usage};

const HEAD: &str =
    "# Written by `canopy-simulation planted --output simulation/planted.txt`: bug, checker, what found it.\n";

#[derive(Args)]
pub struct PlantedArguments {
    /// Names of bugs; all unless given.
    names: Vec<String>,
    /// The workspace.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// First seed of each search.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the summary. Lines of bugs that aren't looked for now stay as they are.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Looks for each planted bug; fails if one is not found.
pub fn run(arguments: &PlantedArguments) -> ExitCode {
    let root = match find_root(&arguments.root) {
        Ok(root) => root,
        Err(message) => return usage(&message),
    };
    if let Some(message) = arguments.names.iter().find_map(|name| planted::find(name).err()) {
        return usage(&message);
    }
    std::panic::set_hook(Box::new(|_| {}));
    println!("seed {}, at most {} seeds for each bug", arguments.seed, planted::SEEDS_MAX);
    let workshop = Workshop::new(&root);
    let chosen =
        |planted: &&Planted| arguments.names.is_empty() || arguments.names.iter().any(|name| name == planted.name);
    let mut missed = 0;
    for planted in planted::ALL.iter().filter(chosen) {
        let found = match planted::search(&workshop, planted, arguments.seed) {
            Ok(Some(Finding::Seed { seeds, failure })) => {
                format!("found after {seeds} seeds: {}", first_line(&failure))
            }
            Ok(Some(Finding::Spot { spot, failure })) => format!("found at {spot}: {}", first_line(&failure)),
            Ok(Some(Finding::Test(name))) => format!("found by {name}"),
            Ok(None) => {
                missed += 1;
                "NOT FOUND".to_string()
            }
            Err(reason) => {
                missed += 1;
                eprintln!("{reason}");
                format!("NOT BUILT: {}", first_line(&reason))
            }
        };
        let line = format!("{:<24} {:<16} {found}", planted.name, format!("{:?}", planted.checker));
        println!("{line}");
        if let Some(path) = &arguments.output
            && let Err(error) = note(path, planted.name, &line)
        {
            return usage(&format!("{}: {error}", path.display()));
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) }
}

/// Replaces the line of a bug in the summary. Lines of bugs that are none any more go.
fn note(path: &Path, name: &str, line: &str) -> std::io::Result<()> {
    let before = if path.exists() { std::fs::read_to_string(path)? } else { String::new() };
    let mut lines: BTreeMap<&str, &str> =
        before.lines().filter_map(|line| Some((line.split_whitespace().next()?, line))).collect();
    lines.insert(name, line);
    let noted = planted::ALL.iter().filter_map(|planted| lines.get(planted.name));
    std::fs::write(path, noted.fold(HEAD.to_string(), |text, line| text + line + "\n"))
}
