//! `transfer`: ranges that change hands between shards; and how splits and merges are waited for.

use std::time::Duration;

use canopy_types::ShardIndex;
use canopy_types::limits::TRANSFER_ID_BYTES;
use canopy_types::status::{Status, StatusResult};
use canopy_types::transfer::{
    MoveError, StopTransferArguments, StopTransferResult, TransferEnd, TransferId, TransferPhase, TransferStage,
    TransferStatus,
};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::administration::not_allowed;
use crate::connection::{Connection, Session};
use crate::failure::{Failure, Kind};
use crate::shown::{confirm, grouped, print_line, print_table, spinner, table};

mod abandon;

/// Time between two looks at a transfer that is waited for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks at a transfer: a week of them.
const LOOKS_MAX: u32 = 7 * 24 * 60 * 60;

/// Looks that may not find a transfer: the replica that is asked may be behind.
const UNSEEN_MAX: u32 = 10;

/// What can be done about transfers.
#[derive(Subcommand)]
pub enum TransferCommand {
    /// Shows the ranges that change hands, and the last that did.
    #[command(after_help = "Examples:\n  canopy transfer list\n  canopy transfer list --json")]
    List,
    /// Ends a transfer that is not done. Its range stays with the shard that it was to come from, unless it has changed
    /// hands by then.
    #[command(after_help = "Examples:\n  canopy transfer cancel 00112233445566778899aabbccddeeff --yes")]
    Cancel {
        /// The transfer, as `transfer list` shows it.
        id: String,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Opens a range again whose target is lost for ever: deleted, or uninstalled. What the target took in is lost.
    ///
    /// While a range is being handed over, it is closed until the target says whether it owns it. If the target never
    /// answers again, the range stays closed, and only this opens it. Writes that the target did after the range was
    /// closed are lost. If the target still has its code and data, this is refused: two shards would own the range.
    #[command(
        after_help = "Examples:\n  canopy transfer abandon 00112233445566778899aabbccddeeff\n  canopy transfer abandon \
                      00112233445566778899aabbccddeeff --source bkyz2-fmaaa-aaaaa-qaaaq-cai"
    )]
    Abandon {
        /// The transfer, as `transfer list` shows it, or `recover` names it.
        id: String,
        /// The shard that the range was to come from: its number, or its canister. For transfers that the router doesn't
        /// know, because it is a new one.
        #[arg(long, value_name = "SHARD")]
        source: Option<String>,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Shows transfers, or ends one.
///
/// # Errors
/// What any call can end in, and what the router refuses.
pub async fn transfer(connection: &Connection, command: TransferCommand, json: bool) -> Result<(), Failure> {
    match command {
        TransferCommand::List => {
            let session = connection.open().await?;
            let status = status_of(&session).await?;
            list(&status, json)
        }
        TransferCommand::Cancel { id, yes } => {
            let id = parse_id(&id)?;
            confirm(&format!("cancel transfer {id}?"), yes).await?;
            let session = connection.open().await?;
            let stopped = session.call::<_, StopTransferResult>("stop_transfer", &StopTransferArguments { id }).await?;
            stopped.map_err(refused)?;
            wait(&session, id, TransferEnd::Cancelled, json).await
        }
        TransferCommand::Abandon { id, source, yes } => {
            let id = parse_id(&id)?;
            abandon::run(&connection.open().await?, id, source.as_deref(), yes, json).await
        }
    }
}

/// Asks the router how it is.
///
/// # Errors
/// What the call ended in, or that the caller may not know.
pub async fn status_of(session: &Session) -> Result<Status, Failure> {
    session.ask::<StatusResult>("status").await?.map_err(not_allowed)
}

/// Waits until a transfer has ended, shows how far it is meanwhile, and tells how it ended.
///
/// # Errors
/// [`Kind::Incomplete`] when it ended otherwise than `expected`, besides what any call can end in.
pub async fn wait(session: &Session, id: TransferId, expected: TransferEnd, json: bool) -> Result<(), Failure> {
    let progress = spinner("transfer", json);
    let mut unseen = 0;
    for _ in 0..LOOKS_MAX {
        let status = status_of(session).await;
        let status = status.map_err(|failure| failure.with_advice(format!("transfer {id} goes on without you")))?;
        match status.transfers.iter().flatten().find(|transfer| transfer.id == id) {
            Some(transfer) => {
                if let TransferStage::Ended(end) = transfer.stage {
                    progress.finish_and_clear();
                    return tell_end(transfer, end, expected, json);
                }
                progress.set_message(how_far(transfer));
            }
            None if unseen == UNSEEN_MAX => break,
            None => unseen += 1,
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    progress.finish_and_clear();
    let message = format!("the router no longer tells of transfer {id}; `canopy shards` shows who owns what");
    Err(Failure::new(Kind::Incomplete, message))
}

fn tell_end(transfer: &TransferStatus, end: TransferEnd, expected: TransferEnd, json: bool) -> Result<(), Failure> {
    if json {
        print_line(transfer_json(transfer))?;
    } else if end == expected {
        let TransferStatus { source, target, range, .. } = transfer;
        print_line(match end {
            TransferEnd::Done => format!("shard {} has handed {range} over to shard {}", source.0, target.0),
            TransferEnd::Cancelled => format!("cancelled: shard {} keeps {range}", source.0),
        })?;
    }
    if end == expected {
        return Ok(());
    }
    let why = transfer.last_failure.as_deref().map_or(String::new(), |why| format!(": {why}"));
    Err(Failure::new(Kind::Incomplete, format!("transfer {} ended otherwise: {end:?}{why}", transfer.id)))
}

fn list(status: &Status, json: bool) -> Result<(), Failure> {
    let transfers = status.transfers.as_deref().unwrap_or_default();
    if json {
        return transfers.iter().try_for_each(|transfer| print_line(transfer_json(transfer)));
    }
    let mut lines = table(&["transfer", "hash range", "state", "from", "to", "items", "bytes", "changes"], 3);
    for transfer in transfers {
        let numbers = transfer.progress.as_ref().map(|progress| (progress.items, progress.bytes, progress.changes));
        let number = |number: Option<u64>| number.map_or("-".to_string(), grouped);
        lines.add_row([
            transfer.id.to_string(),
            transfer.range.to_string(),
            state(transfer),
            transfer.source.0.to_string(),
            transfer.target.0.to_string(),
            number(numbers.map(|numbers| numbers.0)),
            number(numbers.map(|numbers| numbers.1)),
            number(numbers.map(|numbers| numbers.2)),
        ]);
    }
    print_table(&lines)?;
    let failing = transfers.iter().filter(|transfer| transfer.failed_attempts > 0 || lacks_cycles(transfer));
    for (transfer, why) in failing.filter_map(|transfer| Some((transfer, transfer.last_failure.as_ref()?))) {
        let times = match transfer.failed_attempts {
            0 => String::new(),
            times => format!(" ({times} in a row)"),
        };
        print_line(format!("{}: {why}{times}", transfer.id))?;
    }
    Ok(())
}

/// Says in a word how far a transfer is.
pub fn state(transfer: &TransferStatus) -> String {
    match (transfer.stage, transfer.progress.as_ref().map(|progress| progress.phase)) {
        (TransferStage::AwaitingTarget, _) => "awaits its target",
        (stage, _) if lacks_cycles(transfer) && !matches!(stage, TransferStage::Ended(_)) => "waits for cycles",
        (TransferStage::Measuring | TransferStage::TellingTarget | TransferStage::TellingSource, _) => "begins",
        (TransferStage::FundingTarget | TransferStage::FundingSource, _) => "is sent cycles",
        (TransferStage::StoppingSource | TransferStage::StoppingTarget, _) => "is being cancelled",
        (TransferStage::Ended(TransferEnd::Done), _) => "done",
        (TransferStage::Ended(TransferEnd::Cancelled), _) => "cancelled",
        (TransferStage::Moving, Some(TransferPhase::CatchingUp)) => "catches up",
        (TransferStage::Moving, Some(TransferPhase::HandingOver | TransferPhase::Asking)) => "hands over",
        (TransferStage::Moving, _) => "copies",
    }
    .to_string()
}

fn lacks_cycles(transfer: &TransferStatus) -> bool {
    transfer.funding.as_ref().is_some_and(|funding| funding.shortage.is_some())
}

/// Says in a line how far a transfer is.
pub fn how_far(transfer: &TransferStatus) -> String {
    let sent = transfer.progress.as_ref().map_or(String::new(), |progress| {
        format!(", {} items and {} bytes sent", grouped(progress.items), grouped(progress.bytes))
    });
    format!("{} -> {}: {}{sent}", transfer.source.0, transfer.target.0, state(transfer))
}

/// Gives all of a transfer for machines.
pub fn transfer_json(transfer: &TransferStatus) -> Value {
    json!({
        "transfer": transfer.id.to_string(),
        "source": transfer.source.0,
        "target": transfer.target.0,
        "first_hash": format!("{:016x}", transfer.range.first.0),
        "last_hash": format!("{:016x}", transfer.range.last.0),
        "epoch": transfer.epoch.0,
        "stage": match transfer.stage {
            TransferStage::Ended(end) => format!("{end:?}"),
            stage => format!("{stage:?}"),
        },
        "phase": transfer.progress.as_ref().map(|progress| format!("{:?}", progress.phase)),
        "items": transfer.progress.as_ref().map(|progress| progress.items),
        "bytes": transfer.progress.as_ref().map(|progress| progress.bytes),
        "changes": transfer.progress.as_ref().map(|progress| progress.changes),
        "begun_at_nanoseconds": transfer.begun_at_nanoseconds,
        "ended_at_nanoseconds": transfer.ended_at_nanoseconds,
        "failed_attempts": transfer.failed_attempts,
        "last_failure": transfer.last_failure,
    })
}

fn parse_id(text: &str) -> Result<TransferId, Failure> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(TransferId).ok_or_else(|| {
        let digits = 2 * TRANSFER_ID_BYTES;
        Failure::local(format!("`{text}` is no transfer: {digits} hexadecimal digits, as `transfer list` shows"))
    })
}

/// Says in words why the router didn't begin or stop a transfer.
pub fn refused(error: MoveError) -> Failure {
    let shard = |ShardIndex(index)| format!("shard {index}");
    Failure::refused(match error {
        MoveError::MalformedArguments { reason } => return Failure::network(reason),
        MoveError::Unauthorised { caller } => format!("{caller} is no administrator"),
        MoveError::NotReady { retry_after_milliseconds } => {
            format!("the service is starting; try again in {retry_after_milliseconds} ms")
        }
        MoveError::NoSuchShard { shard: index } => format!("there is no {}", shard(index)),
        MoveError::ShardIsEmpty { shard: index } => format!("{} owns nothing", shard(index)),
        MoveError::InTransfer { shard: index, id } => format!("{} takes part in transfer {id}", shard(index)),
        MoveError::BoundaryOutOfRange { range } => {
            format!("the shard can't be cut there: both parts of {range} must hold hashes")
        }
        MoveError::NotNeighbours { range, into } => format!("{range} and {into} don't touch"),
        MoveError::TooManyTransfers { transfers_max } => format!("as many transfers run as may: {transfers_max}"),
        MoveError::TooManyShards { shards_max } => format!("there are as many shards as may be: {shards_max}"),
        MoveError::NoSuchTransfer => "no such transfer runs; `canopy transfer list` shows all".to_string(),
        MoveError::LastShard { shard: index } => {
            format!("{} owns everything, so none could take it over", shard(index))
        }
        MoveError::NotOpen { shard: index } => format!("{} is being made or emptied", shard(index)),
    })
}
