//! `shard` and `alarm`: what administrators do about single shards.

use candid::Principal;
use canopy_types::api::{Resolution, ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult};
use canopy_types::shard::ShardInfo;
use canopy_types::status::{Alarm, ShardStatus, Status};
use canopy_types::transfer::{MergeShardArguments, MoveResult, SplitShardArguments, TransferEnd};
use canopy_types::{HashRange, KeyHash, ShardIndex};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::connection::{Connection, Session, parse_principal};
use crate::failure::Failure;
use crate::overview::{add_info, info_of};
use crate::shown::{confirm, grouped, print_line, table};
use crate::transfers::{how_far, refused, status_of, wait};

/// What can be done about a shard.
#[derive(Subcommand)]
pub enum ShardCommand {
    /// Shows all that is known of a shard.
    #[command(after_help = "Examples:\n  canopy shard show 0\n  canopy shard show bkyz2-fmaaa-aaaaa-qaaaq-cai --json")]
    Show {
        /// The shard: its number, or its canister.
        shard: String,
    },
    /// Cuts a shard's hash range in two, and gives the upper part to a spare shard, which is made if there is none.
    /// Reads and writes go on meanwhile.
    #[command(after_help = "Examples:\n  canopy shard split 0\n  canopy shard split 0 --at c000000000000000 --detach")]
    Split {
        /// The shard: its number, or its canister.
        shard: String,
        /// First hash of the upper part, in hexadecimal [default: the middle].
        #[arg(long, value_name = "HASH")]
        at: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Gives all that a shard owns to a neighbour. The shard stays as a spare.
    #[command(after_help = "Examples:\n  canopy shard merge 1 --into 0")]
    Merge {
        /// The shard: its number, or its canister.
        shard: String,
        /// The neighbour: its number, or its canister.
        #[arg(long, value_name = "SHARD")]
        into: String,
        #[command(flatten)]
        waiting: Waiting,
    },
}

/// Whether the end is waited for.
#[derive(Args)]
pub struct Waiting {
    /// Tell the transfer's name at once, and don't wait until it is over.
    #[arg(long)]
    detach: bool,
}

/// What can be done about alarms.
#[derive(Subcommand)]
pub enum AlarmCommand {
    /// Shows what needs attention.
    List,
    /// Says how an alarm is to be settled, once its cause has been looked into.
    #[command(
        after_help = "Examples:\n  canopy alarm resolve --try-again\n  canopy alarm resolve --shard 2 --adopt bkyz2-fmaaa-aaaaa-qaaaq-cai"
    )]
    Resolve {
        /// The number of the shard that the alarm names; none for the alarm about the secret.
        #[arg(long)]
        shard: Option<u32>,
        /// Have the step tried again. A canister whose creation did succeed stays behind, with its cycles.
        #[arg(long, conflicts_with = "adopt", required_unless_present = "adopt")]
        try_again: bool,
        /// The canister that was created: empty, and controlled by the router.
        #[arg(long, value_name = "CANISTER")]
        adopt: Option<String>,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Shows, splits or merges a shard.
///
/// # Errors
/// What any call can end in, what the router refuses, and that a transfer was cancelled.
pub async fn shard(connection: &Connection, command: ShardCommand, json: bool) -> Result<(), Failure> {
    match command {
        ShardCommand::Show { shard } => {
            let session = connection.open().await?;
            let status = status_of(&session).await?;
            show(&session, &status, find(&status, &shard)?, json).await
        }
        ShardCommand::Split { shard, at, waiting } => {
            let at = at.as_deref().map(parse_hash).transpose()?;
            let session = connection.open().await?;
            let shard = find(&status_of(&session).await?, &shard)?.index;
            let begun = session.call::<_, MoveResult>("split_shard", &SplitShardArguments { shard, at }).await?;
            follow(&session, begun, waiting, json).await
        }
        ShardCommand::Merge { shard, into, waiting } => {
            let session = connection.open().await?;
            let status = status_of(&session).await?;
            let (shard, into) = (find(&status, &shard)?.index, find(&status, &into)?.index);
            let begun = session.call::<_, MoveResult>("merge_shard", &MergeShardArguments { shard, into }).await?;
            follow(&session, begun, waiting, json).await
        }
    }
}

/// Waits for the transfer that was begun, or tells its name.
async fn follow(session: &Session, begun: MoveResult, waiting: Waiting, json: bool) -> Result<(), Failure> {
    let id = begun.map_err(refused)?;
    if !waiting.detach {
        return wait(session, id, TransferEnd::Done, json).await;
    }
    if json {
        print_line(json!({ "transfer": id.to_string() }))
    } else {
        print_line(format!("transfer {id} has begun"))
    }
}

/// Finds a shard by its number or its canister.
fn find<'a>(status: &'a Status, text: &str) -> Result<&'a ShardStatus, Failure> {
    let found = match text.parse().map(ShardIndex) {
        Ok(index) => status.shards.iter().find(|shard| shard.index == index),
        Err(_) => {
            let canister =
                parse_principal(text).map_err(|failure| failure.with_advice("give a shard's number, too"))?;
            status.shards.iter().find(|shard| shard.canister == Some(canister))
        }
    };
    found.ok_or_else(|| {
        let count = status.shards.len();
        Failure::refused(format!("the router has no shard {text}; `canopy status --json` lists its {count}"))
    })
}

fn parse_hash(text: &str) -> Result<KeyHash, Failure> {
    let hash = u64::from_str_radix(text.trim_start_matches("0x"), 16);
    hash.map(KeyHash).map_err(|_| Failure::local(format!("`{text}` is no hash: up to 16 hexadecimal digits")))
}

async fn show(session: &Session, status: &Status, shard: &ShardStatus, json: bool) -> Result<(), Failure> {
    let info = match shard.canister {
        None => Err("it has no canister yet".to_string()),
        Some(canister) => info_of(session, canister).await,
    };
    let transfers = status.transfers.iter().flatten();
    let transfer = transfers.filter(|transfer| transfer.ended_at_nanoseconds.is_none());
    let transfer = transfer.rev().find(|transfer| [transfer.source, transfer.target].contains(&shard.index));
    if json {
        return print_line(shard_json(shard, info.as_ref(), transfer.map(|transfer| transfer.id.to_string())));
    }
    let mut lines = table(&["shard", &shard.index.0.to_string()], 2);
    let mut row = |name: &str, value: String| {
        lines.add_row([name.to_string(), value]);
    };
    row("canister", shard.canister.as_ref().map_or("none".to_string(), Principal::to_text));
    row("stage", format!("{:?}", shard.stage));
    row("hash range", range_text(shard.range));
    row("epoch", shard.epoch.0.to_string());
    if let Some(transfer) = transfer {
        row("transfer", format!("{} {}", transfer.id, how_far(transfer)));
    }
    match info {
        Ok(info) => {
            row("records", grouped(info.records));
            row("bytes", grouped(info.record_bytes));
            row("stable memory", grouped(info.stable_bytes));
            row("out of space", if info.out_of_space { "yes" } else { "no" }.to_string());
            row("cycles", grouped(&info.cycles.0));
            row("version", info.code_version);
            row("roles hold until", info.roles.map_or("-".to_string(), |roles| roles.until_nanoseconds.to_string()));
        }
        Err(why) => row("else", why),
    }
    print_line(lines)
}

fn range_text(range: HashRange) -> String {
    if range.is_valid() { range.to_string() } else { "none: a spare".to_string() }
}

fn shard_json(shard: &ShardStatus, info: Result<&ShardInfo, &String>, transfer: Option<String>) -> serde_json::Value {
    let mut fields = json!({
        "index": shard.index.0,
        "shard": shard.canister.map(|canister| canister.to_text()),
        "stage": format!("{:?}", shard.stage),
        "first_hash": shard.range.is_valid().then(|| format!("{:016x}", shard.range.first.0)),
        "last_hash": shard.range.is_valid().then(|| format!("{:016x}", shard.range.last.0)),
        "epoch": shard.epoch.0,
        "transfer": transfer,
    });
    add_info(&mut fields, info);
    fields
}

/// Shows alarms, or settles one.
///
/// # Errors
/// What any call can end in, and what the router refuses.
pub async fn alarm(connection: &Connection, command: AlarmCommand, json: bool) -> Result<(), Failure> {
    match command {
        AlarmCommand::List => {
            let session = connection.open().await?;
            let alarms = status_of(&session).await?.alarms;
            if alarms.is_empty() && !json {
                return print_line("no alarms");
            }
            alarms
                .iter()
                .try_for_each(|alarm| if json { print_line(alarm_json(alarm)) } else { print_line(alarm_text(alarm)) })
        }
        AlarmCommand::Resolve { shard, adopt, yes, .. } => {
            let adopt = adopt.as_deref().map(parse_principal).transpose()?;
            let resolution = adopt.map_or(Resolution::TryAgain, |canister| Resolution::Adopt { canister });
            let what = match &resolution {
                Resolution::TryAgain => "have the step tried again".to_string(),
                Resolution::Adopt { canister } => format!("adopt canister {canister}"),
            };
            confirm(&format!("{what}?"), yes)?;
            let session = connection.open().await?;
            let arguments = ResolveAlarmArguments { shard: shard.map(ShardIndex), resolution };
            session.call::<_, ResolveAlarmResult>("resolve_alarm", &arguments).await?.map_err(resolve_failure)?;
            if json {
                print_line(json!({ "resolved": what }))
            } else {
                print_line("noted; `canopy status` shows what comes of it")
            }
        }
    }
}

/// Says what is wrong and what to do about it.
pub fn alarm_text(alarm: &Alarm) -> String {
    match alarm {
        Alarm::CreationAnswerLost { shard, .. } => format!(
            "shard {}: the answer to the creation of its canister was lost; look for a canister that the router controls \
             and nobody knows, then: canopy alarm resolve --shard {0} --adopt CANISTER, or --try-again if there is none",
            shard.0
        ),
        Alarm::CreationAnswerUnreadable { shard, answer } => format!(
            "shard {}: the answer to the creation of its canister was not understood ({answer}); as for a lost one: canopy \
             alarm resolve --shard {0}",
            shard.0
        ),
        Alarm::CyclesShort { available, required } => format!(
            "the router has too few cycles to go on: {} to spend, {} needed; top it up",
            grouped(&available.0),
            grouped(&required.0)
        ),
        Alarm::StepFailed { step, attempts, reason } => {
            format!("{step:?} failed {attempts} times: {reason}; when that is mended: canopy alarm resolve --try-again")
        }
        Alarm::ForeignCode { shard, canister, reason } => format!(
            "shard {}: canister {canister} contains foreign code: {reason}; uninstall it, then: canopy alarm resolve \
             --shard {0} --try-again",
            shard.0
        ),
    }
}

fn alarm_json(alarm: &Alarm) -> serde_json::Value {
    let (kind, shard) = match alarm {
        Alarm::CreationAnswerLost { shard, .. } => ("CreationAnswerLost", Some(shard.0)),
        Alarm::CreationAnswerUnreadable { shard, .. } => ("CreationAnswerUnreadable", Some(shard.0)),
        Alarm::CyclesShort { .. } => ("CyclesShort", None),
        Alarm::StepFailed { .. } => ("StepFailed", None),
        Alarm::ForeignCode { shard, .. } => ("ForeignCode", Some(shard.0)),
    };
    json!({ "alarm": kind, "shard": shard, "message": alarm_text(alarm) })
}

fn resolve_failure(error: ResolveAlarmError) -> Failure {
    match error {
        ResolveAlarmError::MalformedArguments { reason } => Failure::network(reason),
        ResolveAlarmError::Unauthorised { caller } => Failure::refused(format!("{caller} is no administrator")),
        ResolveAlarmError::NoSuchAlarm => Failure::refused("there is no such alarm; `canopy alarm list` shows all"),
        ResolveAlarmError::NothingToAdopt => {
            Failure::refused("only a creation whose answer was lost can be settled by adopting its canister")
        }
        ResolveAlarmError::CanisterInUse { shard } => Failure::refused(match shard {
            Some(shard) => format!("that canister is shard {}", shard.0),
            None => "that canister is the router".to_string(),
        }),
    }
}
