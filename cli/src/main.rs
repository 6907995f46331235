//! The `canopy` command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod demo;

/// Canopy: key-value storage over as many canisters as the data needs.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Imports the files of a folder through a router into its shards, reads them back and compares every byte.
    ///
    /// Everything runs in this process, on an embedded simulator of the Internet Computer. Imports at most 30,000 files
    /// and 400 MB; files above 1 MiB are skipped by name. Ends with status 1 when anything differs.
    #[command(after_help = "Examples:\n  canopy demo\n  canopy demo ~/Pictures --shards 8")]
    Demo {
        /// The folder to import [default: the crate sources that cargo has unpacked].
        folder: Option<PathBuf>,
        /// Shards that the router creates, 1 to 64.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
        shards: u32,
        /// Seed of the simulated network.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo { folder, shards, seed } => demo::run(folder, shards, seed),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
