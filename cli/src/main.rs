//! The `canopy` command.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::folders::Ending;
use crate::interruption::{interrupted, left_by};
use crate::shown::print_bytes;

mod administration;
mod bench;
mod call;
mod connection;
mod demo;
mod dev;
mod failure;
mod files;
mod fleet;
mod folders;
mod growth;
mod identity;
mod interruption;
mod large;
mod overview;
mod places;
mod policy;
mod quantity;
mod records;
mod recover;
mod scrub;
mod shown;
mod transfers;

#[cfg(test)]
mod tests;

/// What `--help` says about the end.
const EXIT_CODES: &str = "Exit codes:
  0    done
  1    not there, or not all of it: nothing is stored under the key, files were left out, the router isn't ready or has
       raised an alarm, a transfer ended otherwise than asked, operations of the benchmark failed, the demo found a
       difference, the scrub found something
  2    the arguments, files or ports of this machine, or a question that nobody answered with yes
  3    the service refused: nothing was done
  4    no answer came: a write may have been done
  5    the network isn't reached, or no router or server that this command understands is there
  130  interrupted; `dev`, which runs until then, ends with 0";

/// What `--help` of each command says about the end.
const WHERE_EXIT_CODES_ARE: &str = "Exit codes: see canopy --help";

/// Canopy: key-value storage over as many canisters as the data needs.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Tell machines: one JSON value per line on stdout, failures as JSON on stderr. What is wrong with the command line
    /// itself is told as text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a network on this machine with a router that is ready, until Ctrl-C.
    ///
    /// Prints its URL, its root key, the router's id, and the file with the key of the router's administrator. The other
    /// commands use it unless they are told another network. What is stored in it ends with it.
    #[command(
        after_help = "Examples:\n  canopy dev\n  canopy dev --port 0 --shards 8\n  canopy dev --application target/my_canister.wasm"
    )]
    Dev(dev::DevOptions),
    /// Imports the files of a folder through a router into its shards, reads them back and compares every byte.
    ///
    /// Everything runs in this process, on an embedded simulator of the Internet Computer. Imports at most 30,000 files
    /// and 400 MB; files above 1 MiB go in chunks. Shards are split several times while they fill, which is shown as it
    /// goes; with --json, a summary at the end is all there is. Ends with status 1 when anything differs.
    #[command(
        after_help = "Examples:\n  canopy demo\n  canopy demo ~/Pictures --shards 8\n  canopy demo --split-at 4000000"
    )]
    Demo(demo::DemoOptions),
    /// Stores a value under a key.
    #[command(
        after_help = "Examples:\n  canopy put greeting hello\n  canopy put picture --file picture.png --if-absent\n  date | canopy put now --file - --time-to-live 60"
    )]
    Put(records::PutOptions),
    /// Prints the value of a key, or writes it to a file.
    #[command(
        after_help = "Examples:\n  canopy get greeting\n  canopy get picture --output picture.png\n  canopy get greeting --json"
    )]
    Get(records::GetOptions),
    /// Removes a record.
    #[command(after_help = "Examples:\n  canopy delete greeting\n  canopy delete greeting --yes")]
    Delete(records::DeleteOptions),
    /// Prints the keys of all records, in the order of their hashes.
    #[command(
        after_help = "Examples:\n  canopy scan --prefix user/\n  canopy scan --values --limit 10\n  canopy scan --json"
    )]
    Scan(records::ScanCommandOptions),
    /// Stores the files of a folder, each under its path. Takes up an earlier run of the same command that was ended.
    #[command(after_help = "Examples:\n  canopy import site/\n  canopy import site/ --prefix www/")]
    Import(folders::import::ImportOptions),
    /// Writes the records into the files of a folder. Takes up an earlier run into the same folder that was ended.
    #[command(after_help = "Examples:\n  canopy export backup/\n  canopy export site/ --prefix www/")]
    Export(folders::export::ExportOptions),
    /// Puts, gets and deletes records of its own, and shows how long that took and what it cost.
    #[command(after_help = "Examples:\n  canopy bench\n  canopy bench --records 100000 --batch 100 --window 8")]
    Bench(bench::BenchOptions),
    /// Shows how the router is.
    #[command(
        after_help = "Examples:\n  canopy status\n  canopy status --network ic --router rdmx6-jaaaa-aaaaa-aaadq-cai --identity me.pem"
    )]
    Status,
    /// Shows which shard owns what, and what it holds.
    #[command(after_help = "Examples:\n  canopy shards\n  canopy shards --json")]
    Shards,
    /// Looks for what large values left behind, and for what is missing of them. It only reads.
    ///
    /// Finds chunks without upload, published uploads without all of their chunks, and manifests and uploads that have
    /// nothing of each other. What is under way is none of that. Ends with status 1 when anything is found.
    #[command(after_help = "Examples:\n  canopy scrub\n  canopy scrub --json")]
    Scrub,
    /// Shows, splits, merges or retires a shard.
    #[command(subcommand)]
    Shard(fleet::ShardCommand),
    /// Shows or ends transfers of hash ranges between shards.
    #[command(subcommand)]
    Transfer(transfers::TransferCommand),
    /// Shows or settles what needs an administrator.
    #[command(subcommand)]
    Alarm(fleet::AlarmCommand),
    /// Gives the shards of a lost router to a new one, which learns from them what the lost one knew.
    ///
    /// The way, for who controls the shards: install a new router that makes no shards (`icp deploy router --args '(record {
    /// without_shards = opt true })'`, under a canister of its own), then run this with --router naming it. Each shard is
    /// looked at, then told to obey the new router, then the router is told its shards. Nothing is lost, and until then
    /// shards serve on by themselves. Whatever fails, the same command goes on from there. At the end it tells what is left
    /// to be done by hand.
    #[command(
        after_help = "Examples:\n  canopy status --json > service.json        while all is well: kept for this day\n  canopy \
                      recover --router NEW --from service.json\n  canopy recover --router NEW bkyz2-fmaaa-aaaaa-qaaaq-cai \
                      bd3sg-teaaa-aaaaa-qaaba-cai"
    )]
    Recover(recover::RecoverOptions),
    /// Shows or changes what each caller may use, and when shards are split and merged.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Shows or changes who may do what.
    #[command(subcommand)]
    Roles(administration::RolesCommand),
    /// Calls any method of a canister.
    #[command(
        after_help = "Examples:\n  canopy call application visit '(\"home\")'\n  canopy call ryjl3-tyaaa-aaaaa-aaaba-cai icrc1_name --query --network ic"
    )]
    Call(call::CallOptions),
    /// Prints the principal of the caller.
    #[command(after_help = "Examples:\n  canopy principal --identity me.pem")]
    Principal,
    /// Prints completions for a shell.
    #[command(after_help = "Examples:\n  canopy completions bash > ~/.local/share/bash-completion/completions/canopy")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let matches = with_pointers(Arguments::command()).get_matches();
    let parsed = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Arguments { connection, json, command } = parsed;
    let done = match command {
        Command::Dev(options) => dev::run(&options, json).map_err(Failure::from),
        Command::Demo(options) => demo::run(&options, json).map_err(Failure::from),
        Command::Completions { shell } => completions(shell),
        Command::Principal => overview::principal(&connection, json),
        command => talk(&connection, command, json),
    };
    done.map_or_else(|failure| failure.tell(json), |()| ExitCode::SUCCESS)
}

/// Has the help of each command say where the exit codes are.
fn with_pointers(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|command| {
        let examples = command.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
        with_pointers(command.after_help(format!("{examples}{WHERE_EXIT_CODES_ARE}")))
    })
}

/// Prints completions for a shell.
fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Arguments::command(), "canopy", &mut script);
    print_bytes(&script)
}

/// Threads that speak to a router. They wait for it nearly all the time; and each keeps memory of its own, of which a
/// machine with many processors would have much.
const WORKERS: usize = 2;

/// Runs a command that speaks to a router, until it ends or is interrupted.
fn talk(connection: &Connection, command: Command, json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(format!("can't start: {error}")))?;
    let ending = Ending::default();
    // Ends where everything that was begun is whole; others end at once.
    let ends_whole = matches!(command, Command::Import(_) | Command::Export(_));
    let left = left_by(&command);
    let done = runtime.block_on(async {
        tokio::select! {
            done = run(connection, command, &ending, json) => done,
            failure = interrupted(ends_whole.then_some(&ending), left, json) => Err(failure),
        }
    });
    // A question may still wait for its answer, or a file for more to read.
    runtime.shutdown_background();
    done
}

async fn run(connection: &Connection, command: Command, ending: &Ending, json: bool) -> Result<(), Failure> {
    match command {
        Command::Put(options) => records::put(connection, options, json).await,
        Command::Get(options) => records::get(connection, options, json).await,
        Command::Delete(options) => records::delete(connection, options, json).await,
        Command::Scan(options) => records::scan(connection, options, json).await,
        Command::Import(options) => folders::import::run(connection, options, ending, json).await,
        Command::Export(options) => folders::export::run(connection, options, ending, json).await,
        Command::Bench(options) => bench::run(connection, options, json).await,
        Command::Call(options) => call::run(connection, options, json).await,
        Command::Status => overview::status(connection, json).await,
        Command::Shards => overview::shards(connection, json).await,
        Command::Scrub => scrub::run(connection, json).await,
        Command::Shard(command) => fleet::shard(connection, command, json).await,
        Command::Transfer(command) => transfers::transfer(connection, command, json).await,
        Command::Recover(options) => recover::run(connection, options, json).await,
        Command::Alarm(command) => fleet::alarm(connection, command, json).await,
        Command::Policy(command) => policy::policy(connection, command, json).await,
        Command::Roles(command) => administration::roles(connection, command, json).await,
        Command::Dev(_) | Command::Demo(_) | Command::Principal | Command::Completions { .. } => {
            unreachable!("INVARIANT: these speak to no router")
        }
    }
}
