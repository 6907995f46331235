//! `transfer abandon`: a range that waits for a target which is lost for ever.

use candid::Principal;
use canopy_types::HashRange;
use canopy_types::recovery::{AbandonTransferArguments, AbandonTransferReply, AbandonTransferResult};
use canopy_types::status::Status;
use canopy_types::transfer::{TransferEnd, TransferError, TransferId, TransferStatus};
use ic_agent::AgentError;
use serde_json::json;

use super::status_of;
use crate::connection::Session;
use crate::failure::{Failure, Kind};
use crate::fleet::find;
use crate::overview::info_of;
use crate::shown::{ago, confirm, grouped, print_line};

/// The ends of a transfer, and what is at stake.
struct Stake {
    id: TransferId,
    source: Principal,
    target: Principal,
    range: HashRange,
}

/// Has the source of a transfer open its range again, if the target is gone.
///
/// # Errors
/// What any call can end in, what the source refuses, and that the target may still have what it took in.
pub async fn run(
    session: &Session,
    id: TransferId,
    source: Option<&str>,
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    let stake = stake_of(session, &status_of(session).await?, id, source).await?;
    let target = state_of(session, stake.target).await?;
    confirm(&stake.question(&target), yes).await?;
    let done = call(session, &stake).await?.map_err(|error| refused(&stake, error))?;
    tell(&stake, &done, json)
}

/// Finds both ends by what the router and the source know, and the range by what the source says is at stake.
async fn stake_of(session: &Session, status: &Status, id: TransferId, source: Option<&str>) -> Result<Stake, Failure> {
    let known = status.transfers.iter().flatten().find(|transfer| transfer.id == id);
    let canister = |index| status.shards.iter().find(|shard| shard.index == index).and_then(|shard| shard.canister);
    let source = match (source, known) {
        (Some(source), _) => source_named(status, source)?,
        (None, Some(&TransferStatus { source, .. })) => canister(source).ok_or_else(|| {
            Failure::refused(format!("the source of transfer {id}, shard {}, has no canister", source.0))
        })?,
        (None, None) => {
            let message = format!("the router knows no transfer {id}; if it is new, name the transfer's --source");
            return Err(Failure::refused(message));
        }
    };
    // About no range, so that nothing is done, and told what it is about.
    let asked = Stake { id, source, target: source, range: HashRange::EMPTY };
    let range = match call(session, &asked).await? {
        Err(TransferError::OtherRange { range }) => range,
        Err(error) => return Err(refused(&asked, error)),
        Ok(_) => unreachable!("INVARIANT: no transfer is about an empty range"),
    };
    let told = match info_of(session, source).await {
        Ok(info) => info.reading.and_then(|reading| reading.in_transfer_with),
        Err(why) => return Err(Failure::network(format!("shard {source}: {why}"))),
    };
    let target = told.or_else(|| canister(known?.target));
    let target = target.ok_or_else(|| Failure::network(format!("shard {source} doesn't tell the target of {id}")))?;
    Ok(Stake { target, range, ..asked })
}

/// Takes a shard of the router by its number or canister, or any canister: a new router has no shards yet.
fn source_named(status: &Status, source: &str) -> Result<Principal, Failure> {
    if let Ok(canister) = Principal::from_text(source) {
        return Ok(canister);
    }
    let shard = find(status, source)?;
    shard.canister.ok_or_else(|| Failure::refused(format!("shard {source} has no canister")))
}

async fn call(session: &Session, stake: &Stake) -> Result<AbandonTransferResult, Failure> {
    let arguments = AbandonTransferArguments { id: stake.id, range: stake.range };
    session.call_canister(stake.source, "abandon_transfer", &arguments).await
}

/// Says what is known of the target's canister.
///
/// # Errors
/// It has its code, so it may have what it took in, and serve it.
async fn state_of(session: &Session, target: Principal) -> Result<String, Failure> {
    match session.client.transport().agent().read_state_canister_module_hash(target).await {
        Ok(_) => {
            let message = format!("its target {target} is not lost: the canister has code, and may own the range");
            let advice = "have it answer (cycles, `icp canister start`), and the transfer ends by itself; only if its \
                          records are to be given up, uninstall or delete it first";
            Err(Failure::refused(message).with_advice(advice))
        }
        Err(AgentError::LookupPathAbsent(_)) => Ok("which has no code any more".to_string()),
        Err(error) => Ok(format!("of which the network tells nothing ({error})")),
    }
}

impl Stake {
    fn question(&self, target: &str) -> String {
        let Self { id, source, target: canister, range } = self;
        format!(
            "give transfer {id} up? Shard {source} opens {range} again, with the records that it had when it closed that \
             range, without the word of {canister}, {target}. Every write there since then is lost for ever. If {canister} \
             comes back with its records, two shards own the range"
        )
    }
}

fn tell(stake: &Stake, done: &AbandonTransferReply, json: bool) -> Result<(), Failure> {
    let Stake { id, source, target, range } = stake;
    let AbandonTransferReply { records_estimated, closed_at_nanoseconds } = done;
    if json {
        return print_line(json!({
            "abandoned": id.to_string(),
            "source": source.to_text(),
            "target": target.to_text(),
            "first_hash": format!("{:016x}", range.first.0),
            "last_hash": format!("{:016x}", range.last.0),
            "records_estimated": records_estimated,
            "closed_at_nanoseconds": closed_at_nanoseconds,
        }));
    }
    let since = closed_at_nanoseconds.map_or("when it closed the range".to_string(), ago);
    print_line(format!(
        "shard {source} serves {range} again, with about {} records as they were {since}; later writes there are lost",
        grouped(records_estimated)
    ))
}

fn refused(stake: &Stake, error: TransferError) -> Failure {
    let Stake { id, source, .. } = stake;
    Failure::refused(match error {
        TransferError::MalformedArguments { reason } => return Failure::network(reason),
        TransferError::Unauthorised { caller } => format!("{caller} doesn't administer shard {source}"),
        TransferError::UnknownTransfer => format!("shard {source} takes no part in transfer {id}"),
        TransferError::Ended(TransferEnd::Done) => format!("transfer {id} is done: the target owns the range"),
        TransferError::Ended(TransferEnd::Cancelled) => format!("transfer {id} was cancelled: {source} has the range"),
        TransferError::NotClosed => {
            let message = format!("shard {source} serves the range of transfer {id}, or was to get it");
            return Failure::refused(message)
                .with_advice(format!("`canopy transfer cancel {id}` ends it without loss"));
        }
        TransferError::OtherRange { range } => format!("transfer {id} is about {range}"),
        other => return Failure::new(Kind::Network, format!("shard {source} answers {other:?}")),
    })
}
