//! The simulator as a program: what `POCKET_IC_BIN` may name.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use canopy_simulator::chance::Schedule;
use canopy_simulator::server::{Server, ServerOptions, StartError};
use clap::{Parser, ValueEnum};

/// Seconds after which an idle server ends, as PocketIC's.
const IDLE_SECONDS: u64 = 60;

/// Serves a deterministic Internet Computer over PocketIC's REST interface.
// Name and version are those that PocketIC's clients look for in what `--version` prints.
#[derive(Parser)]
#[command(name = "pocket-ic-server", version = "16.1.0")]
struct Arguments {
    /// The port to listen on; a free one by default.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A file to make and write the port to. If it exists, another server serves its readers, and this one exits.
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip_addr: IpAddr,
    /// Seconds without a request after which the server ends; with `--live`, by default, never.
    #[arg(long)]
    ttl: Option<u64>,
    /// Makes a live network with one application subnet at once, for agents and `icp`, at this port (0 takes a free one).
    #[arg(long, value_name = "PORT")]
    live: Option<u16>,
    /// Seconds after which the server ends in any case.
    #[arg(long)]
    hard_ttl: Option<u64>,
    /// Accepted for PocketIC's sake; the simulator has no log levels.
    #[arg(long)]
    log_levels: Option<String>,
    /// The seed of every instance: of keys, randomness, shuffled schedules and faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whether what the platform leaves open is done as PocketIC does it, or drawn from the seed.
    #[arg(long, value_enum, default_value_t = ScheduleName::Plain)]
    schedule: ScheduleName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleName {
    Plain,
    Shuffled,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = ServerOptions {
        ip_addr: arguments.ip_addr,
        port: arguments.port,
        port_file: arguments.port_file,
        idle_ttl: arguments.ttl.or(arguments.live.is_none().then_some(IDLE_SECONDS)).map(Duration::from_secs),
        hard_ttl: arguments.hard_ttl.map(Duration::from_secs),
        seed: arguments.seed,
        schedule: match arguments.schedule {
            ScheduleName::Plain => Schedule::Plain,
            ScheduleName::Shuffled => Schedule::Shuffled,
        },
    };
    match Server::start(options) {
        Ok(server) => {
            eprintln!("seed {}, {:?} schedule, {}", arguments.seed, arguments.schedule, server.url());
            match arguments.live.map(|port| server.make_live(port)) {
                None => {}
                Some(Ok(url)) => println!("{url}"),
                Some(Err(refusal)) => {
                    eprintln!("{}", refusal.message());
                    return ExitCode::FAILURE;
                }
            }
            server.wait();
            ExitCode::SUCCESS
        }
        // Clients of one test process start one server each and use the first.
        Err(StartError::PortFileExists(_)) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
