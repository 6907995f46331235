//! Ctrl-C: what it ends, and what is left then.

use std::future::pending;
use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Command;
use crate::administration::RolesCommand;
use crate::failure::{Failure, Kind};
use crate::fleet::{AlarmCommand, ShardCommand};
use crate::folders::Ending;
use crate::policy::PolicyCommand;
use crate::transfers::TransferCommand;

#[cfg(test)]
mod tests;

/// Says what is left of a command that is interrupted, and what to do about it.
pub fn left_by(command: &Command) -> &'static str {
    match command {
        Command::Put(options) if options.goes_on() => "interrupted; the same command goes on from there",
        Command::Recover(_) => "interrupted; the same command goes on from there",
        Command::Import(_) | Command::Export(_) => {
            "interrupted; of what was under way, some may be done; the same command goes on from there"
        }
        Command::Bench(_) => "interrupted; records may be left: `canopy scan --prefix canopy-bench/` shows them",
        Command::Shard(ShardCommand::Show { .. })
        | Command::Transfer(TransferCommand::List)
        | Command::Alarm(AlarmCommand::List)
        | Command::Policy(PolicyCommand::Show)
        | Command::Roles(RolesCommand::List) => "interrupted",
        Command::Shard(_) | Command::Transfer(TransferCommand::Cancel { .. }) => {
            "interrupted; if it was sent already, the service goes on with it: `canopy transfer list` shows how far it is"
        }
        Command::Put(_)
        | Command::Delete(_)
        | Command::Call(_)
        | Command::Policy(_)
        | Command::Roles(_)
        | Command::Transfer(_)
        | Command::Alarm(_) => "interrupted; if it was sent already, it may have been done",
        Command::Get(_) | Command::Scan(_) | Command::Status | Command::Shards | Command::Scrub => "interrupted",
        Command::Dev(_) | Command::Demo(_) | Command::Principal | Command::Completions { .. } => "interrupted",
    }
}

/// Waits for Ctrl-C, and tells what is left. Work that can end as a whole is asked to, and ends at once when it is pressed
/// again.
pub async fn interrupted(ending: Option<&Ending>, left: &str, json: bool) -> Failure {
    let mut presses = signal(SignalKind::interrupt());
    pressed(&mut presses).await;
    if let Some(ending) = ending {
        ending.ask();
        if !json {
            eprintln!("ending what is under way; Ctrl-C again ends at once");
        }
        pressed(&mut presses).await;
    }
    Failure::new(Kind::Interrupted, left)
}

async fn pressed(presses: &mut io::Result<Signal>) {
    let heard = match presses {
        Ok(presses) => presses.recv().await,
        Err(_) => None,
    };
    if heard.is_none() {
        // Without signals, nobody can interrupt.
        pending::<()>().await;
    }
    // Terminals show it as ^C, in the line of whatever stands there.
    if io::stderr().is_terminal() {
        eprintln!();
    }
}
