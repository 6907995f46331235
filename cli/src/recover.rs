//! `recover`: a new router in the place of one that is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candid::Principal;
use canopy_types::limits::SHARDS_MAX;
use canopy_types::recovery::{
    AdoptRouterArguments, AdoptRouterResult, RecoverArguments, RecoverError, RecoverReply, RecoverResult,
};
use canopy_types::shard::{ShardError, ShardInfo, ShardInfoResult};
use canopy_types::status::StatusResult;
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connection::{Connection, Session, parse_principal};
use crate::failure::{Failure, Kind};
use crate::fleet::range_text;
use crate::shown::{bar_of, confirm, grouped, print_line, print_table, spinner, table};

#[cfg(test)]
mod tests;

/// The longest list of shards, in bytes: what `canopy status --json` prints of as many as may be fits.
const LIST_BYTES_MAX: u64 = 1024 * 1024;

/// Time between two attempts while a shard takes part in a transfer.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What `recover` is given.
#[derive(Args)]
#[group(skip)]
pub struct RecoverOptions {
    /// All shards of the lost router, spares too: their canisters.
    #[arg(value_name = "SHARD", required_unless_present = "from")]
    shards: Vec<String>,
    /// A file that names them: what `canopy status --json` or `canopy shards --json` printed once, or a canister per line.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

/// A shard, and what it says about itself.
struct Found {
    shard: Principal,
    info: ShardInfo,
}

/// Gives shards to the router, and has it learn from them what a lost one knew.
///
/// # Errors
/// What any call can end in, what shards and router refuse, and that shards can't make one deployment. Whatever fails, the
/// same command goes on from there.
pub async fn run(connection: &Connection, options: RecoverOptions, json: bool) -> Result<(), Failure> {
    let shards = named(&options)?;
    let session = connection.open().await?;
    check_waiting(&session).await?;
    let found = look_at(&session, &shards, json).await?;
    if !json {
        print_table(&found_table(&found))?;
    }
    confirm(&question(&session, &found).await, options.yes).await?;
    adopt(&session, &found, json).await?;
    let patience = Duration::from_secs(connection.timeout);
    let reply = recover(&session, &shards, patience, json).await?;
    let uncontrolled = uncontrolled(&session, &shards).await;
    tell(&session, &reply, &uncontrolled, json)
}

/// Lists the shards that the options name.
fn named(options: &RecoverOptions) -> Result<Vec<Principal>, Failure> {
    let mut shards = options.shards.iter().map(|shard| parse_principal(shard)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &options.from {
        shards.extend(read_list(path)?);
    }
    let mut seen = BTreeSet::new();
    shards.retain(|shard| seen.insert(*shard));
    match shards.len() {
        0 => Err(Failure::local("no shards are named")),
        count if count > SHARDS_MAX as usize => {
            Err(Failure::local(format!("{count} shards are named, and a router has at most {SHARDS_MAX}")))
        }
        _ => Ok(shards),
    }
}

fn read_list(path: &Path) -> Result<Vec<Principal>, Failure> {
    let unreadable = |error| Failure::local(format!("can't read {}: {error}", path.display()));
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > LIST_BYTES_MAX {
        let message = format!("{} has {bytes} bytes, and a list of shards at most {LIST_BYTES_MAX}", path.display());
        return Err(Failure::local(message));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let shards = lines.map(shards_of_line).collect::<Result<Vec<_>, _>>();
    Ok(shards.map_err(|failure| failure.during(path.display()))?.concat())
}

/// Reads a principal, a line of `shards --json`, or all of `status --json`.
fn shards_of_line(line: &str) -> Result<Vec<Principal>, Failure> {
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        return Ok(vec![parse_principal(line)?]);
    };
    let texts: Vec<&Value> = match (&value["shard"], &value["shards"]) {
        (shard @ Value::String(_), _) => vec![shard],
        // A shard of which the router had no canister yet has nothing.
        (_, Value::Array(shards)) => shards.iter().map(|shard| &shard["canister"]).filter(|it| !it.is_null()).collect(),
        _ => vec![&value],
    };
    let texts = texts.into_iter().map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_string));
    texts.map(|text| parse_principal(&text)).collect()
}

/// Makes sure that the router can be told shards, before any shard is given to it.
async fn check_waiting(session: &Session) -> Result<(), Failure> {
    // Without shards nothing is done, and a router that waits for some says that there are too few.
    let nothing = RecoverArguments { shards: vec![] };
    match session.call::<_, RecoverResult>("recover", &nothing).await? {
        Err(RecoverError::ShardCount { .. }) => Ok(()),
        Err(error) => Err(refused(error)),
        Ok(_) => unreachable!("INVARIANT: no router takes an empty list"),
    }
}

/// Asks all shards about themselves: whoever is none, or one of another deployment, is not given to the router.
async fn look_at(session: &Session, shards: &[Principal], json: bool) -> Result<Vec<Found>, Failure> {
    let bar = bar_of("look at shards", shards.len() as u64, json);
    let mut found: Vec<Found> = vec![];
    for &shard in shards {
        let info = match session.ask_canister::<ShardInfoResult>(shard, "info").await {
            Ok(Ok(info)) => info,
            Ok(Err(error)) => return Err(shard_refused(shard, &error)),
            Err(failure) => return Err(failure.during(format!("shard {shard}"))),
        };
        if let Some(first) = found.first().filter(|first| first.info.secret_fingerprint != info.secret_fingerprint) {
            let message = format!("{shard} and {} belong to different deployments; nothing was done", first.shard);
            return Err(Failure::refused(message));
        }
        found.push(Found { shard, info });
        bar.inc(1);
    }
    bar.finish_and_clear();
    found.sort_by_key(|found| (!found.info.range.is_valid(), found.info.range));
    Ok(found)
}

fn found_table(found: &[Found]) -> comfy_table::Table {
    let mut lines = table(&["shard", "hash range", "router", "epoch", "records", "bytes", "version"], 3);
    for Found { shard, info } in found {
        lines.add_row([
            shard.to_text(),
            range_text(info.range),
            info.router.to_text(),
            info.epoch.0.to_string(),
            grouped(info.records),
            grouped(info.record_bytes),
            info.code_version.clone(),
        ]);
    }
    lines
}

async fn question(session: &Session, found: &[Found]) -> String {
    let new = session.router();
    let old: BTreeSet<Principal> = found.iter().map(|found| found.info.router).filter(|&old| old != new).collect();
    let mut text = format!("give {} shards to router {new}? They obey no other any more", found.len());
    for old in old {
        let is_there =
            matches!(session.ask_canister::<StatusResult>(old, "status").await, Ok(Ok(status)) if status.ready);
        text.push_str(&format!(", and {old} loses them"));
        if is_there {
            text.push_str(" ALTHOUGH IT ANSWERS AND SERVES");
        }
    }
    text
}

/// Gives the router to every shard that hasn't got it.
async fn adopt(session: &Session, found: &[Found], json: bool) -> Result<(), Failure> {
    let router = session.router();
    let waiting: Vec<&Found> = found.iter().filter(|found| found.info.router != router).collect();
    let bar = bar_of("adopt the router", waiting.len() as u64, json);
    for (done, Found { shard, .. }) in waiting.iter().enumerate() {
        let arguments = AdoptRouterArguments { router };
        let adopted = session.call_canister::<_, AdoptRouterResult>(*shard, "adopt_router", &arguments);
        let adopted = adopted.await.and_then(|adopted| adopted.map_err(|error| shard_refused(*shard, &error)));
        if let Err(failure) = adopted {
            bar.finish_and_clear();
            let advice = format!("{done} of {} shards have the router; the same command goes on", waiting.len());
            return Err(failure.during(format!("shard {shard}")).with_advice(advice));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Tells the router its shards; waits for the end of transfers, which shards bring to an end by themselves.
async fn recover(
    session: &Session,
    shards: &[Principal],
    patience: Duration,
    json: bool,
) -> Result<RecoverReply, Failure> {
    let arguments = RecoverArguments { shards: shards.to_vec() };
    let (begun, spinner) = (Instant::now(), spinner("recover", json));
    loop {
        let failure = match session.call::<_, RecoverResult>("recover", &arguments).await? {
            Ok(reply) => {
                spinner.finish_and_clear();
                return Ok(reply);
            }
            Err(RecoverError::InTransfer { shard, id }) if begun.elapsed() < patience => {
                spinner.set_message(format!("shard {shard} takes part in transfer {id}, which must end first"));
                spinner.tick();
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            }
            Err(error) => refused(error),
        };
        spinner.finish_and_clear();
        return Err(failure.with_advice("the shards have the new router; the same command, with another list, goes on"));
    }
}

/// Finds the shards that the router doesn't control, with their controllers as far as the network tells.
async fn uncontrolled(session: &Session, shards: &[Principal]) -> Vec<Principal> {
    let mut found = vec![];
    for &shard in shards {
        let controllers = session.client.transport().agent().read_state_canister_controllers(shard).await;
        if !controllers.is_ok_and(|controllers| controllers.contains(&session.router())) {
            found.push(shard);
        }
    }
    found
}

fn tell(session: &Session, reply: &RecoverReply, uncontrolled: &[Principal], json: bool) -> Result<(), Failure> {
    let router = session.router();
    let RecoverReply { serving, spares, roles_version, grants_left_out } = reply;
    if json {
        return print_line(json!({
            "router": router.to_text(),
            "serving": serving,
            "spares": spares,
            "roles_version": roles_version,
            "grants_left_out": grants_left_out,
            "not_controlled": uncontrolled.iter().map(Principal::to_text).collect::<Vec<_>>(),
        }));
    }
    print_line(format!("router {router} serves again: {serving} shards, and {spares} spares"))?;
    print_line("What is left to do:")?;
    if !uncontrolled.is_empty() {
        print_line(
            "- as a controller of these shards, let the router control them; until then it upgrades and empties none:",
        )?;
        for shard in uncontrolled {
            print_line(format!("    icp canister settings update {shard} --add-controller {router} -n NETWORK"))?;
        }
    }
    match roles_version {
        None => print_line("- no shard knew who has which role: give roles anew, `canopy roles grant --help`")?,
        Some(_) if *grants_left_out > 0 => {
            print_line(format!("- {grants_left_out} roles had no room beside this router's own: `canopy roles list`"))?;
        }
        Some(_) => {}
    }
    print_line("- settings of growth and uploads are the defaults: `canopy policy set --help`")?;
    print_line(format!("- tell applications the router's new id, {router}"))?;
    print_line("- `canopy status` shows how it is")
}

fn shard_refused(shard: Principal, error: &ShardError) -> Failure {
    match error {
        ShardError::Unauthorised { caller } => {
            Failure::refused(format!("{caller} doesn't control shard {shard}; its controllers may give it a router"))
        }
        ShardError::RolesUnknown => Failure::refused(format!(
            "shard {shard} has heard nothing of roles for 10 minutes, and the caller doesn't control it"
        )),
        other => Failure::network(format!("shard {shard} answers {other:?}")),
    }
}

/// Says in words why the router took nothing over.
fn refused(error: RecoverError) -> Failure {
    Failure::refused(match error {
        RecoverError::MalformedArguments { reason } => return Failure::network(reason),
        RecoverError::Unauthorised { caller } => format!("{caller} is no administrator of the router"),
        RecoverError::HasShards { shards } => {
            let message = format!("the router has {shards} shards, or makes some");
            let advice = "only one that was installed with `without_shards = opt true` takes over others";
            return Failure::refused(message).with_advice(advice);
        }
        RecoverError::ShardCount { shards, shards_max } => {
            format!("{shards} shards are named, and a router has 1 to {shards_max}")
        }
        RecoverError::NamedTwice { shard } => format!("shard {shard} is named twice"),
        RecoverError::NoAnswer { shard, reason } => {
            return Failure::new(Kind::Network, format!("shard {shard} doesn't answer as one: {reason}"));
        }
        RecoverError::NotAdopted { shard } => format!("shard {shard} has another router"),
        RecoverError::InTransfer { shard, id } => format!(
            "shard {shard} takes part in transfer {id}, which must end first; if its target is lost for ever: canopy \
             transfer abandon {id} --source {shard}"
        ),
        RecoverError::OtherSecrets { shard } => format!("shard {shard} belongs to another deployment"),
        RecoverError::OwnedTwice { one, one_epoch, other, other_epoch, range } => format!(
            "{one} (epoch {}) and {other} (epoch {}) both own {range}; the one of the lower epoch may be a forgotten copy: \
             leave it out",
            one_epoch.0, other_epoch.0
        ),
        RecoverError::Gap { first, last } => {
            format!("nobody owns {:016x}..={:016x}: a shard is missing in the list", first.0, last.0)
        }
    })
}
