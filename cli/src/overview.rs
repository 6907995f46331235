//! `status` and `shards`: how the service is.

use candid::Principal;
use canopy_types::api::RoutingTableResult;
use canopy_types::shard::{ShardInfo, ShardInfoResult};
use canopy_types::status::{ShardStage, ShardUntold, Status, StatusResult};
use serde_json::json;

use crate::administration::not_allowed;
use crate::connection::{Connection, Session};
use crate::failure::{Failure, Kind};
use crate::fleet::alarm_text;
use crate::growth::{growth_json, lines as growth_lines};
use crate::shown::{grouped, print_line, print_table, table};
use crate::transfers::{how_far, transfer_json};

/// Shows how the router is; fails when it needs attention.
///
/// # Errors
/// [`Kind::Incomplete`] when it isn't ready or has raised an alarm, besides what any call can end in.
pub async fn status(connection: &Connection, json: bool) -> Result<(), Failure> {
    let session = connection.open().await?;
    let status = match session.status {
        Some(status) => status,
        None => session.ask::<StatusResult>("status").await?.map_err(not_allowed)?,
    };
    let alarms: Vec<String> = status.alarms.iter().map(alarm_text).collect();
    if json {
        print_line(status_json(&status, &session.url, session.client.router().to_text(), &alarms))?;
    } else {
        let mut lines = table(&["router", &session.client.router().to_text()], 2);
        let open = status.shards.iter().filter(|shard| shard.stage == ShardStage::Open).count();
        let mut row = |name: &str, value: String| {
            lines.add_row([name.to_string(), value]);
        };
        row("network", session.url.clone());
        row("ready", if status.ready { "yes" } else { "no" }.to_string());
        row("version", status.code_version.clone());
        row("shards", format!("{open} of {} open", status.shards.len()));
        row("cycles", grouped(&status.cycles.0));
        row("cycles to spend", grouped(&status.liquid_cycles.0));
        row("open calls", grouped(status.open_calls));
        for transfer in status.transfers.iter().flatten().filter(|transfer| transfer.ended_at_nanoseconds.is_none()) {
            row("transfer", how_far(transfer));
        }
        if let Some(step) = status.journal.step {
            row("doing", format!("{step:?}"));
        }
        if let Some(failure) = &status.journal.last_failure {
            row("last failure", format!("{failure} ({} in a row)", status.journal.failed_attempts));
        }
        if let Some(roles) = &status.roles
            && !roles.untold.is_empty()
        {
            row("shards not told of roles", grouped(roles.untold.len()));
        }
        if let Some(growth) = &status.growth {
            row("spares", format!("{}, and {} wanted", growth.spares, growth.spares_wanted));
        }
        print_table(&lines)?;
        for line in status.growth.iter().flat_map(growth_lines) {
            print_line(line)?;
        }
        for alarm in &alarms {
            print_line(format!("alarm: {alarm}"))?;
        }
    }
    match (alarms.len(), status.ready) {
        (0, true) => Ok(()),
        (0, false) => Err(Failure::new(Kind::Incomplete, "the router is not ready yet")),
        (alarms, _) => Err(Failure::new(Kind::Incomplete, format!("the router has raised {alarms} alarms"))),
    }
}

fn status_json(status: &Status, network: &str, router: String, alarms: &[String]) -> serde_json::Value {
    let shards: Vec<_> = status
        .shards
        .iter()
        .map(|shard| {
            json!({
                "index": shard.index.0,
                "canister": shard.canister.map(|canister| canister.to_text()),
                "first_hash": format!("{:016x}", shard.range.first.0),
                "last_hash": format!("{:016x}", shard.range.last.0),
                "epoch": shard.epoch.0,
                "stage": format!("{:?}", shard.stage),
            })
        })
        .collect();
    let running = status.transfers.iter().flatten().filter(|transfer| transfer.ended_at_nanoseconds.is_none());
    let untold = status.roles.iter().flat_map(|roles| &roles.untold);
    json!({
        "network": network,
        "router": router,
        "ready": status.ready,
        "code_version": status.code_version,
        "layout_version": status.layout_version,
        "shards": shards,
        "step": status.journal.step.map(|step| format!("{step:?}")),
        "failed_attempts": status.journal.failed_attempts,
        "last_failure": status.journal.last_failure,
        "alarms": alarms,
        // Larger than what a number of JSON holds exactly.
        "cycles": status.cycles.0.to_string(),
        "liquid_cycles": status.liquid_cycles.0.to_string(),
        "open_calls": status.open_calls,
        "transfers": running.map(transfer_json).collect::<Vec<_>>(),
        "shards_not_told_of_roles": untold.map(untold_json).collect::<Vec<_>>(),
        "growth": status.growth.as_ref().map(growth_json),
        "administrators": status.administrators.iter().map(|principal| principal.to_text()).collect::<Vec<_>>(),
    })
}

fn untold_json(untold: &ShardUntold) -> serde_json::Value {
    json!({
        "shard": untold.shard.to_text(),
        "failed_attempts": untold.failed_attempts,
        "last_failure": untold.last_failure,
        "told_at_nanoseconds": untold.told_at_nanoseconds,
    })
}

/// Shows which shard owns what, and what it holds as far as the caller may know it.
///
/// # Errors
/// What any call can end in; a shard that doesn't answer is shown as such.
pub async fn shards(connection: &Connection, json: bool) -> Result<(), Failure> {
    let session = connection.open().await?;
    let routes = session.ask::<RoutingTableResult>("routing_table").await?.map_err(not_allowed)?.into_table().routes;
    let mut lines = table(&["shard", "hash range", "epoch", "records", "bytes", "memory", "cycles", "version"], 2);
    for route in &routes {
        let info = info_of(&session, route.shard).await;
        if json {
            print_line(shard_json(route, info.as_ref()))?;
            continue;
        }
        let mut cells = vec![route.shard.to_text(), route.range.to_string(), route.epoch.0.to_string()];
        match info {
            Ok(info) => cells.extend([
                grouped(info.records),
                grouped(info.record_bytes),
                grouped(info.stable_bytes),
                grouped(&info.cycles.0),
                info.code_version,
            ]),
            Err(why) => cells.push(why),
        }
        lines.add_row(cells);
    }
    if json { Ok(()) } else { print_table(&lines) }
}

/// Asks a shard about itself; why not, in words, when it doesn't say.
pub async fn info_of(session: &Session, shard: Principal) -> Result<ShardInfo, String> {
    match session.ask_canister::<ShardInfoResult>(shard, "info").await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(_)) => Err("only administrators see more".to_string()),
        Err(failure) => Err(failure.to_string()),
    }
}

/// Adds what a shard says about itself for machines, or why it doesn't.
pub fn add_info(fields: &mut serde_json::Value, info: Result<&ShardInfo, &String>) {
    match info {
        Ok(info) => {
            fields["records"] = json!(info.records);
            fields["record_bytes"] = json!(info.record_bytes);
            fields["stable_bytes"] = json!(info.stable_bytes);
            fields["cycles"] = json!(info.cycles.0.to_string());
            fields["code_version"] = json!(info.code_version);
            fields["out_of_space"] = json!(info.out_of_space);
        }
        Err(why) => fields["unknown_because"] = json!(why),
    }
}

fn shard_json(route: &canopy_types::Route, info: Result<&ShardInfo, &String>) -> serde_json::Value {
    let mut fields = json!({
        "shard": route.shard.to_text(),
        "first_hash": format!("{:016x}", route.range.first.0),
        "last_hash": format!("{:016x}", route.range.last.0),
        "epoch": route.epoch.0,
    });
    add_info(&mut fields, info);
    fields
}

/// Tells who calls.
///
/// # Errors
/// When the identity can't be read.
pub fn principal(connection: &Connection, json: bool) -> Result<(), Failure> {
    let caller = connection.caller()?.to_text();
    if json { print_line(json!({ "principal": caller })) } else { print_line(caller) }
}
