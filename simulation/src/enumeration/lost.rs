//! Routers and targets that never come back.

use candid::Principal;
use canopy_simulator::chance::Fault;
use canopy_types::codec::{decode, encode};
use canopy_types::recovery::{
    AbandonTransferArguments, AbandonTransferResult, AdoptRouterArguments, AdoptRouterResult, RecoverArguments,
    RecoverError, RecoverResult,
};
use canopy_types::shard::ShardPutResult;
use canopy_types::transfer::{
    CancelTransferArguments, CancelTransferResult, TransferEnd, TransferStage, TransferStatus,
};
use canopy_types::{InitArguments, PutArguments};
use ic_management_canister_types::{CanisterIdRecord, CanisterSettings, UpdateSettingsArgs};

use super::Kind;
use super::plan::Plan;
use super::scene::{BOUNDARY, STEP_NANOS, Scene, TROUBLE_STEPS, canister_of, last_transfer, rehearse};
use super::watch::{Placing, Watch};
use crate::answers::Method;
use crate::case::Case;
use crate::checkers::{canisters, cycles};
use crate::history::{Outcome, Seen};
use crate::network::{Network, Service};
use crate::run::{Failure, wrong};

/// Steps between two attempts to recover; attempts within which the shards end a transfer by themselves, and in all.
const RECOVER_STEPS: u64 = 10;
const ATTEMPTS_ALONE_MAX: usize = 160;
const ATTEMPTS_MAX: usize = 200;
/// Steps within which a router hears that a transfer is over which was given up, or another one is.
const HEARING_STEPS_MAX: usize = 600;
/// Writes that a lost target takes with it.
const WRITES_LOST: usize = 3;

/// What a lost target came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Writes that the target had taken in since the hand-over.
    pub writes_lost: usize,
    /// Records of the range, as the source estimates them, and as they are.
    pub records_estimated: u64,
    pub records: u64,
}

/// Takes the router's code away for good. The shards end the transfer by themselves if the source has begun
/// (`goes_on_alone`), and otherwise an administrator ends it at both; then another router takes over.
///
/// # Errors
/// What was not as it must be.
pub(super) fn router(scene: &mut Scene, goes_on_alone: bool, transfer: Option<&TransferStatus>) -> Result<(), Failure> {
    let old = scene.run.network.router;
    remove_code(&mut scene.run.network, old)?;
    scene.steps(TROUBLE_STEPS)?;
    let network = &mut scene.run.network;
    let shards: Vec<Principal> = network
        .instance
        .canister_ids(&network.service_subnet)
        .into_iter()
        .filter(|canister| network.info(*canister).is_some_and(|info| info.router == old))
        .collect();
    let new = another_router(network)?;
    for shard in &shards {
        let adopted: AdoptRouterResult = scene.ask(*shard, "adopt_router", &AdoptRouterArguments { router: new })?;
        adopted.map_err(|refused| Failure::Wrong(format!("{shard} adopts no router: {refused:?}")))?;
    }
    let arguments = RecoverArguments { shards: shards.clone() };
    for attempt in 0..ATTEMPTS_MAX {
        let recovered: RecoverResult = scene.ask(new, "recover", &arguments)?;
        match recovered {
            Ok(_) => return take_over(&mut scene.run.network, new, &shards),
            Err(RecoverError::InTransfer { .. }) if attempt < ATTEMPTS_ALONE_MAX && goes_on_alone => {}
            Err(RecoverError::InTransfer { shard, id }) if !goes_on_alone => {
                // Whoever asked for the transfer knows its epoch.
                let epoch = transfer.filter(|transfer| transfer.id == id).map(|transfer| transfer.epoch);
                let epoch =
                    epoch.ok_or_else(|| Failure::Wrong(format!("{shard} is in {id}, of which nobody knows")))?;
                for shard in &shards {
                    let arguments = CancelTransferArguments { id, epoch };
                    let _: CancelTransferResult = scene.ask(*shard, "cancel_transfer", &arguments)?;
                }
            }
            Err(refused) => return Err(Failure::NoProgress(format!("no router takes over: {refused:?}"))),
        }
        scene.steps(RECOVER_STEPS)?;
    }
    Err(Failure::NoProgress("no router takes over: the transfer was cancelled and goes on".to_string()))
}

/// Loses the target of a split for ever while the range is closed: before it was handed over, or (`after`) when the target
/// has taken it and some writes, and the source hasn't heard of it. Then the source is told to open the range again.
///
/// # Errors
/// What was not as it must be.
pub fn target(kind: Kind, after: bool, service: Service) -> Result<Abandoned, Failure> {
    // What clients were told is not all true afterwards, by its nature, so none are at it.
    let case = Case { operations: 0, ..kind.case() };
    let number = Plan::new(kind, &rehearse(&case, kind, service)?).map_err(Failure::Crash)?.handed_over();
    let placing = after.then_some(Placing::AtResponse(number, Fault::ReplyLost));
    let watch = Watch::new(placing, Some(if after { number + 1 } else { number }));
    let mut scene = Scene::begin(&case, kind, service, watch)?;
    let moving: Vec<usize> = (0..case.keys.len()).filter(|key| scene.run.network.hashes[*key] >= BOUNDARY).collect();
    let before = read(&mut scene, &moving)?;
    scene.warm_up()?;
    let ordered = scene.run.network.instance.time_nanos();
    scene.order();
    scene.until_paused()?;
    let status = scene.run.network.status().ok_or_else(|| silent("the router"))?;
    let transfer = last_transfer(&status).ok_or_else(|| silent("the router"))?.clone();
    let target = canister_of(&status, transfer.target).ok_or_else(|| silent("the router"))?;
    let writes_lost = if after { write_to(&mut scene, target, &moving)? } else { 0 };
    remove_code(&mut scene.run.network, target)?;
    delete(&mut scene.run.network, target)?;
    (0..TROUBLE_STEPS).for_each(|_| scene.run.network.advance(STEP_NANOS));
    let source = scene.source;
    for key in &moving {
        if !scene.run.network.who_serves(&[source], &case.keys[*key]).is_empty() {
            return Err(Failure::Wrong(format!("key {key} is served, though its owner isn't known")));
        }
    }
    let arguments = AbandonTransferArguments { id: transfer.id, range: transfer.range };
    let abandoned: AbandonTransferResult = scene.ask(source, "abandon_transfer", &arguments)?;
    let reply = abandoned.map_err(|refused| Failure::Wrong(format!("the range stays closed: {refused:?}")))?;
    let now = scene.run.network.instance.time_nanos();
    if !reply.closed_at_nanoseconds.is_some_and(|at| (ordered..=now).contains(&at)) {
        return Err(Failure::Wrong(format!("the range was closed between {ordered} and {now}, and not as {reply:?}")));
    }
    if wait_for_end(&mut scene)? != TransferEnd::Cancelled {
        return Err(Failure::Wrong("the router takes a lost target for an owner".to_string()));
    }
    // What was there when the range was closed is there again, and can be changed.
    let again = read(&mut scene, &moving)?;
    if again != before {
        return Err(Failure::Wrong(format!("records of before the hand-over differ: {before:?}, {again:?}")));
    }
    for key in &moving {
        scene.run.insist(*key, Method::Put)?;
    }
    check(&mut scene)?;
    // The router has parted with the lost one, and has another made for the next split.
    let before = read(&mut scene, &moving)?;
    scene.order();
    if wait_for_end(&mut scene)? != TransferEnd::Done || read(&mut scene, &moving)? != before {
        return Err(Failure::Wrong(format!("the range can't be split off: {:?}", scene.run.network.status())));
    }
    check(&mut scene)?;
    let records = moving.len() as u64;
    Ok(Abandoned { writes_lost, records_estimated: reply.records_estimated, records })
}

/// Reads keys through the router.
fn read(scene: &mut Scene, keys: &[usize]) -> Result<Vec<Option<Seen>>, Failure> {
    let mut told = Vec::new();
    for key in keys {
        match scene.run.insist(*key, Method::GetQuery)? {
            Outcome::Got(seen) => told.push(seen),
            other => return Err(Failure::Wrong(format!("a get came to {other:?}"))),
        }
    }
    Ok(told)
}

/// Has a user write to a shard itself; tells how many writes were done.
fn write_to(scene: &mut Scene, shard: Principal, keys: &[usize]) -> Result<usize, Failure> {
    let network = &mut scene.run.network;
    for key in keys.iter().take(WRITES_LOST) {
        let arguments = encode(&PutArguments::new(scene.run.case.keys[*key].clone(), b"lost".to_vec()));
        let message = network.submit(network.users[0], shard, "put", arguments);
        let reply = network.wait(&message.map_err(|error| Failure::Crash(error.message))?).map_err(Failure::Crash)?;
        match decode::<ShardPutResult>(&reply) {
            Ok(Ok(_)) => {}
            other => return Err(Failure::Wrong(format!("the target owns the range and answers {other:?}"))),
        }
    }
    Ok(WRITES_LOST.min(keys.len()))
}

/// Waits for the end of the transfer that was begun last.
fn wait_for_end(scene: &mut Scene) -> Result<TransferEnd, Failure> {
    for _ in 0..HEARING_STEPS_MAX {
        scene.run.network.advance(STEP_NANOS);
        let status = scene.run.network.status();
        if let Some(TransferStage::Ended(end)) = status.as_ref().and_then(last_transfer).map(|transfer| transfer.stage)
        {
            return Ok(end);
        }
    }
    Err(Failure::NoProgress(format!("the transfer doesn't end: {:?}", scene.run.network.status())))
}

/// Checks cycles, cover and canisters of a service whose target is lost.
fn check(scene: &mut Scene) -> Result<(), Failure> {
    cycles::check(&scene.run.network.books()).map_err(wrong)?;
    scene.run.check_cover(&[]).map_err(wrong)?;
    let network = &mut scene.run.network;
    let status = network.status().ok_or_else(|| silent("the router"))?;
    let existing = network.instance.canister_ids(&network.service_subnet);
    canisters::check(&existing, &network.others(), &status).map_err(wrong)?;
    match status.alarms.first() {
        None => Ok(()),
        Some(alarm) => Err(Failure::Wrong(format!("an alarm is left: {alarm:?}"))),
    }
}

/// Installs a router that waits to be told the shards.
fn another_router(network: &mut Network) -> Result<Principal, Failure> {
    let arguments = InitArguments {
        administrators: Some(vec![network.administrator]),
        writers: Some(network.clients().collect()),
        without_shards: Some(true),
        ..InitArguments::default()
    };
    network.make_router(&arguments).map_err(Failure::Crash)
}

/// Goes on with another router, deletes the old one, and gives the new one control of the shards.
fn take_over(network: &mut Network, new: Principal, shards: &[Principal]) -> Result<(), Failure> {
    let old = std::mem::replace(&mut network.router, new);
    delete(network, old)?;
    for shard in shards {
        let settings =
            CanisterSettings { controllers: Some(vec![network.administrator, new]), ..CanisterSettings::default() };
        let arguments = UpdateSettingsArgs { canister_id: *shard, settings, sender_canister_version: None };
        manage(network, *shard, "update_settings", encode(&arguments))?;
    }
    // What the old router had made and nobody serves from: its creation was under way.
    let known: Vec<Principal> = network.others().into_iter().chain(shards.iter().copied()).collect();
    let existing = network.instance.canister_ids(&network.service_subnet);
    network.written_off.extend(existing.into_iter().filter(|canister| !known.contains(canister)));
    Ok(())
}

fn remove_code(network: &mut Network, canister: Principal) -> Result<(), Failure> {
    manage(network, canister, "uninstall_code", encode(&CanisterIdRecord { canister_id: canister }))
}

fn delete(network: &mut Network, canister: Principal) -> Result<(), Failure> {
    for method in ["stop_canister", "delete_canister"] {
        manage(network, canister, method, encode(&CanisterIdRecord { canister_id: canister }))?;
    }
    Ok(())
}

/// Asks the management canister, and waits for the answer.
fn manage(network: &mut Network, canister: Principal, method: &str, arguments: Vec<u8>) -> Result<(), Failure> {
    let failed = |reason: String| Failure::Crash(format!("`{method}`: {reason}"));
    let message = network.manage(canister, method, arguments).map_err(|error| failed(error.message))?;
    network.wait(&message).map(drop).map_err(failed)
}

fn silent(who: &str) -> Failure {
    Failure::NoProgress(format!("{who} doesn't tell how it is"))
}
