//! `shard` and `alarm`: what administrators do about single shards.

use candid::Principal;
use canopy_types::api::{Resolution, ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult};
use canopy_types::recovery::{RetireShardArguments, RetireShardResult};
use canopy_types::shard::ShardInfo;
use canopy_types::status::{Alarm, ShardStatus, Status};
use canopy_types::transfer::{MergeShardArguments, MoveResult, SplitShardArguments, TransferEnd};
use canopy_types::{HashRange, KeyHash, ShardIndex};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::connection::{Connection, Session, parse_principal};
use crate::failure::Failure;
use crate::growth::forecast_text;
use crate::overview::{add_info, info_of};
use crate::shown::{confirm, duration_text, from_now, grouped, print_line, print_table, table};
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
    /// Takes a shard out of service: what it owns goes to a neighbour, then its memory is given back. Reads and writes go
    /// on meanwhile.
    ///
    /// The memory is given back once no other shard can need the shard's word any more, within some minutes: `shard show`
    /// tells. The shard stays as a spare, unless --leave is given.
    #[command(after_help = "Examples:\n  canopy shard retire 1\n  canopy shard retire 1 --into 2 --leave --yes")]
    Retire {
        /// The shard: its number, or its canister.
        shard: String,
        /// The neighbour: its number, or its canister [default: the one below, or else above].
        #[arg(long, value_name = "SHARD")]
        into: Option<String>,
        /// Have the router part with the canister for good: it is uninstalled, and stays with its controllers and cycles.
        #[arg(long)]
        leave: bool,
        #[command(flatten)]
        waiting: Waiting,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
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
    #[command(after_help = "Examples:\n  canopy alarm list\n  canopy alarm list --json")]
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

/// Shows, splits, merges or retires a shard.
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
        ShardCommand::Retire { shard, into, leave, waiting, yes } => {
            let session = connection.open().await?;
            let status = status_of(&session).await?;
            let retiring = find(&status, &shard)?;
            let into = into.as_deref().map(|into| find(&status, into)).transpose()?.map(|shard| shard.index);
            confirm(&retiring_question(retiring, into, leave), yes).await?;
            retire(&session, RetireShardArguments { shard: retiring.index, into, leave: Some(leave) }, waiting, json)
                .await
        }
    }
}

fn retiring_question(shard: &ShardStatus, into: Option<ShardIndex>, leave: bool) -> String {
    let canister = shard.canister.as_ref().map_or("no canister".to_string(), Principal::to_text);
    let into = into.map_or("a neighbour".to_string(), |into| format!("shard {}", into.0));
    let then = if leave {
        "its canister is uninstalled and leaves the service for good, with its cycles"
    } else {
        "its memory is given back and it stays as a spare"
    };
    let ShardIndex(index) = shard.index;
    format!("retire shard {index} ({canister})? What it owns ({}) goes to {into}, {then}", range_text(shard.range))
}

async fn retire(
    session: &Session,
    arguments: RetireShardArguments,
    waiting: Waiting,
    json: bool,
) -> Result<(), Failure> {
    let begun = session.call::<_, RetireShardResult>("retire_shard", &arguments).await?.map_err(refused)?;
    match begun {
        Some(id) => follow(session, Ok(id), waiting, json).await?,
        None if json => print_line(json!({ "transfer": null }))?,
        None => {}
    }
    if json {
        return Ok(());
    }
    let index = arguments.shard.0;
    print_line(match arguments.leave {
        Some(true) => {
            format!("shard {index} leaves `canopy status --json` once it is uninstalled, within some minutes")
        }
        _ => format!("shard {index} gives its memory back within some minutes: `canopy shard show {index}` tells"),
    })
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
pub fn find<'a>(status: &'a Status, text: &str) -> Result<&'a ShardStatus, Failure> {
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
    let mut forecasts = status.growth.iter().flat_map(|growth| &growth.shards);
    if let Some(forecast) = forecasts.find(|forecast| forecast.shard == shard.index) {
        row("split", forecast_text(forecast));
        if let Some(seconds) = forecast.seconds_until_out_of_cycles {
            row("out of cycles in", duration_text(seconds));
        }
    }
    match info {
        Ok(info) => {
            row("records", grouped(info.records));
            row("bytes", grouped(info.record_bytes));
            row("stable memory", grouped(info.stable_bytes));
            row("out of space", if info.out_of_space { "yes" } else { "no" }.to_string());
            row("cycles", grouped(&info.cycles.0));
            row("version", info.code_version);
            let roles = info.roles.map(|roles| from_now(roles.until_nanoseconds));
            row("roles hold for", roles.unwrap_or("-".to_string()));
        }
        Err(why) => row("else", why),
    }
    print_table(&lines)
}

/// Shows what a shard owns.
pub fn range_text(range: HashRange) -> String {
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
            confirm(&format!("{what}?"), yes).await?;
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
