//! What only an administrator can do wrong, each with the outcome that is expected of the service.
//!
//! They are no faults of the platform, so campaigns don't draw them: some lose records by their nature.

use candid::Principal;
use canopy_simulator::chance::Fault;
use canopy_simulator::errors::UserError;
use canopy_simulator::instance::MessageId;
use canopy_types::codec::{decode, encode};
use canopy_types::status::Alarm;
use canopy_types::{GetArguments, GetError, GetResult, PutArguments, PutError, PutResult};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, LoadCanisterSnapshotArgs, Snapshot, TakeCanisterSnapshotArgs, UpgradeFlags,
};
use serde_bytes::ByteBuf;

use crate::administrator::Administrator;
use crate::answers::{Method, fingerprint, read_reject, read_reply};
use crate::case::{Case, Options};
use crate::checkers::{canisters, cover, linearizability};
use crate::faults::FaultOptions;
use crate::history::{Action, History, SendingId};
use crate::network::{Network, Service, encode_nothing};

const SECOND_NANOS: u64 = 1_000_000_000;
/// Steps of a second within which a service becomes ready.
const READY_STEPS_MAX: u64 = 600;
/// Keys, enough that each of two shards has some.
const KEYS: usize = 24;
/// Rounds after which another canister's snapshot can be loaded.
const CHECKPOINT_ROUNDS: usize = 501;
/// Clock jumps that the platform doesn't make: half an hour.
const LONG_STEP_NANOS: u64 = 1_800 * SECOND_NANOS;
/// Interruptions tried until one hits the callback that stores a canister's id.
const INTERRUPTIONS_MAX: u64 = 60;

/// A mistake and what must come of it.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub expected: &'static str,
    run: fn(u64, Service) -> Result<(), String>,
}

/// All scenarios.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "shard-deleted",
        expected: "keys of the shard are typed ShardUnavailable, all others are served",
        run: shard_deleted,
    },
    Scenario {
        name: "shard-uninstalled",
        expected: "keys of the shard are typed ShardUnavailable, all others are served",
        run: shard_uninstalled,
    },
    Scenario {
        name: "pre-upgrade-skipped",
        expected: "calls that were open end unknown or done, nothing is lost, the service goes on",
        run: pre_upgrade_skipped,
    },
    Scenario {
        name: "creation-callback-trapped",
        expected: "the canister is behind an alarm and can be adopted; none is forgotten",
        run: creation_callback_trapped,
    },
    Scenario {
        name: "foreign-snapshot-loaded",
        expected: "the clone answers for none of the other's keys; the cover checker names it",
        run: foreign_snapshot_loaded,
    },
    Scenario {
        name: "clock-step-long",
        expected: "calls that were open end unknown or done, versions still grow, the service goes on",
        run: clock_step_long,
    },
];

impl Scenario {
    /// Plays the scenario.
    ///
    /// # Errors
    /// What was not as expected.
    pub fn run(&self, seed: u64, service: Service) -> Result<(), String> {
        (self.run)(seed, service)
    }
}

/// A service without faults and one user.
struct Stage {
    case: Case,
    network: Network,
    history: History,
    values: u64,
}

/// An operation that was sent.
struct Sent {
    sending: SendingId,
    method: Method,
    message: Result<MessageId, UserError>,
}

impl Stage {
    /// Installs the router and doesn't wait.
    fn begin(seed: u64, service: Service, shards: u32) -> Result<Self, String> {
        let options = Options { operations: 1, faults: FaultOptions::none() };
        let keys = (0..KEYS).map(|number| format!("key {number}").into_bytes()).collect();
        let case = Case {
            initial_shards: shards,
            keys,
            users: 1,
            callers: 0,
            guests: Vec::new(),
            callers_elsewhere: false,
            ..Case::draw(seed, &options)
        };
        let network = Network::new(&case, service)?;
        Ok(Self { case, network, history: History::default(), values: 0 })
    }

    /// Installs the router and waits until it serves.
    fn ready(seed: u64, service: Service, shards: u32) -> Result<Self, String> {
        let mut stage = Self::begin(seed, service, shards)?;
        stage.wait_until_ready()?;
        Ok(stage)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        for _ in 0..READY_STEPS_MAX {
            self.network.advance(SECOND_NANOS);
            if self.network.status().is_some_and(|status| status.ready) {
                return Ok(());
            }
        }
        Err(format!("the router isn't ready: {:?}", self.network.status()))
    }

    fn send(&mut self, method: Method, key: usize) -> Sent {
        let user = self.network.users[0];
        let key_bytes = ByteBuf::from(self.case.keys[key].clone());
        let (action, arguments) = if method == Method::Put {
            self.values += 1;
            let value = format!("value {}", self.values).into_bytes();
            let action = Action::put(fingerprint(&value));
            (action, encode(&PutArguments::new(key_bytes, value)))
        } else {
            (Action::Get, encode(&GetArguments::new(key_bytes)))
        };
        let operation = self.history.begin(0, key, action, None);
        let sending = self.history.send(operation, self.network.round_nanos);
        let message = self.network.submit(user, self.network.router, method.name(), arguments);
        Sent { sending, method, message }
    }

    /// Waits for an answer and notes it.
    fn finish(&mut self, sent: &Sent) -> Result<Result<Vec<u8>, UserError>, String> {
        let answer = match &sent.message {
            Ok(message) => self.network.instance.await_ingress(message).map_err(|refusal| refusal.0)?,
            Err(error) => Err(error.clone()),
        };
        let told = match &answer {
            Ok(reply) => read_reply(sent.method, reply).map_err(|impossible| impossible.0)?.told,
            Err(error) => read_reject(error, sent.message.is_ok()).told,
        };
        self.history.answer(sent.sending, self.network.instance.time_nanos(), told);
        Ok(answer)
    }

    fn call(&mut self, method: Method, key: usize) -> Result<Vec<u8>, String> {
        let sent = self.send(method, key);
        self.finish(&sent)?.map_err(|error| format!("{}: {}", error.code, error.message))
    }

    fn put_all(&mut self) -> Result<(), String> {
        for key in 0..KEYS {
            let reply = self.call(Method::Put, key)?;
            let result: PutResult = decode(&reply).map_err(|malformed| malformed.reason)?;
            result.map_err(|error| format!("key {key} is not stored: {error:?}"))?;
        }
        Ok(())
    }

    /// Reads and writes all keys: those of `gone` must be typed as unavailable, all others served.
    fn check_all_but(&mut self, gone: Option<Principal>) -> Result<(), String> {
        let mut unavailable = 0;
        for key in 0..KEYS {
            let get: GetResult = decode(&self.call(Method::Get, key)?).map_err(|malformed| malformed.reason)?;
            let put: PutResult = decode(&self.call(Method::Put, key)?).map_err(|malformed| malformed.reason)?;
            match (&get, &put) {
                (Ok(Some(_)), Ok(_)) => {}
                (
                    Err(GetError::ShardUnavailable { shard, .. }),
                    Err(PutError::ShardUnavailable { shard: also, .. }),
                ) if Some(*shard) == gone && shard == also => unavailable += 1,
                _ => return Err(format!("key {key}: {get:?}, {put:?}")),
            }
        }
        match (gone.is_some(), unavailable) {
            (true, 1..KEYS) | (false, 0) => self.judge(),
            _ => Err(format!("{unavailable} of {KEYS} keys are unavailable")),
        }
    }

    /// Sends a call whose answer doesn't matter.
    fn poke(&mut self) {
        let arguments = encode(&GetArguments::new(self.case.keys[0].clone()));
        self.network.submit(self.network.users[0], self.network.router, Method::Get.name(), arguments).ok();
    }

    fn judge(&self) -> Result<(), String> {
        linearizability::check(&self.history).map_err(|fault| fault.to_string())
    }

    /// Asks the management canister and waits.
    fn manage(&mut self, canister: Principal, method: &str, payload: Vec<u8>) -> Result<Vec<u8>, String> {
        let message = self.network.manage(canister, method, payload).map_err(|error| error.message)?;
        self.network.wait(&message)
    }

    fn check_canisters(&mut self) -> Result<(), String> {
        let status = self.network.status().ok_or("the router doesn't tell its status")?;
        let existing = self.network.instance.canister_ids(&self.network.service_subnet);
        canisters::check(&existing, &self.network.others(), &status).map_err(|fault| fault.to_string())
    }
}

fn record(canister: Principal) -> Vec<u8> {
    encode(&CanisterIdRecord { canister_id: canister })
}

fn shard_deleted(seed: u64, service: Service) -> Result<(), String> {
    let mut stage = Stage::ready(seed, service, 2)?;
    stage.put_all()?;
    let shard = stage.network.shards[1];
    stage.manage(shard, "stop_canister", record(shard))?;
    stage.manage(shard, "delete_canister", record(shard))?;
    stage.check_all_but(Some(shard))
}

fn shard_uninstalled(seed: u64, service: Service) -> Result<(), String> {
    let mut stage = Stage::ready(seed, service, 2)?;
    stage.put_all()?;
    let shard = stage.network.shards[0];
    stage.manage(shard, "uninstall_code", record(shard))?;
    stage.check_all_but(Some(shard))
}

fn pre_upgrade_skipped(seed: u64, service: Service) -> Result<(), String> {
    let mut stage = Stage::ready(seed, service, 2)?;
    stage.put_all()?;
    // All requests to shards wait for their deadline, so that calls are open during the upgrade.
    stage.network.instance.set_fault_rate(Fault::RequestDelayed, 1_000_000);
    let open: Vec<Sent> = (0..KEYS).map(|key| stage.send(Method::Put, key)).collect();
    stage.network.advance(SECOND_NANOS);
    stage.network.instance.set_fault_rate(Fault::RequestDelayed, 0);
    let flags = UpgradeFlags { skip_pre_upgrade: Some(true), wasm_memory_persistence: None };
    let mode = CanisterInstallMode::Upgrade(Some(flags));
    let router = stage.network.router;
    stage.network.install(router, mode, service.router, encode_nothing())?;
    for _ in 0..90 {
        stage.network.advance(SECOND_NANOS);
    }
    for sent in &open {
        // Whatever it says must be true, which the history shows.
        stage.finish(sent)?.ok();
    }
    stage.check_all_but(None)?;
    match stage.network.status() {
        Some(status) if status.open_calls == 0 => Ok(()),
        status => Err(format!("calls are still open: {status:?}")),
    }
}

fn creation_callback_trapped(seed: u64, service: Service) -> Result<(), String> {
    for attempt in 0..INTERRUPTIONS_MAX {
        let mut stage = Stage::begin(seed + attempt, service, 2)?;
        let mut administrator = Administrator::new(&stage.case);
        let mut trapped = false;
        for _ in 0..READY_STEPS_MAX {
            // Interrupts only while the creation's answer is awaited.
            let status = stage.network.status().ok_or("the router doesn't tell its status")?;
            let creating = matches!(status.journal.step, Some(canopy_types::status::Step::CreateShard(_)))
                && status.journal.waiting_for_answer;
            let rate = if creating { 1_000_000 } else { 0 };
            stage.network.instance.set_fault_rate(Fault::OutOfInstructions, rate);
            stage.network.advance(SECOND_NANOS / 2);
            // The trap lost the router's timer; the next update sets it again.
            stage.poke();
            stage.check_canisters()?;
            let status = stage.network.status().ok_or("the router doesn't tell its status")?;
            if status.alarms.iter().any(|alarm| matches!(alarm, Alarm::CreationAnswerLost { .. })) {
                trapped = true;
                break;
            }
            if status.ready {
                break;
            }
        }
        stage.network.instance.set_fault_rate(Fault::OutOfInstructions, 0);
        if !trapped {
            continue;
        }
        for _ in 0..READY_STEPS_MAX {
            administrator.step(&stage.case, &mut stage.network, false);
            stage.network.advance(SECOND_NANOS);
            if stage.network.status().is_some_and(|status| status.ready && status.alarms.is_empty()) {
                stage.check_canisters()?;
                return stage.put_all();
            }
        }
        return Err(format!("the alarm was not settled: {:?}", stage.network.status()));
    }
    Err(format!("no callback was hit in {INTERRUPTIONS_MAX} attempts"))
}

fn foreign_snapshot_loaded(seed: u64, service: Service) -> Result<(), String> {
    let mut stage = Stage::ready(seed, service, 2)?;
    stage.put_all()?;
    let (from, to) = (stage.network.shards[0], stage.network.shards[1]);
    let take = TakeCanisterSnapshotArgs {
        canister_id: from,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let reply = stage.manage(from, "take_canister_snapshot", encode(&take))?;
    let snapshot: Snapshot = candid::decode_one(&reply).map_err(|error| error.to_string())?;
    for _ in 0..CHECKPOINT_ROUNDS {
        stage.network.advance(1);
    }
    let load = LoadCanisterSnapshotArgs { canister_id: to, snapshot_id: snapshot.id, sender_canister_version: None };
    stage.manage(to, "load_canister_snapshot", encode(&load))?;
    let mut served = 0;
    for key in 0..KEYS {
        // A record that is served must be the one that was stored; the clone's are refused with a type.
        let reply = stage.call(Method::Get, key)?;
        let result: GetResult = decode(&reply).map_err(|malformed| malformed.reason)?;
        match result {
            Ok(Some(_)) => served += 1,
            Ok(None) => return Err(format!("key {key} is lost without an error")),
            Err(_) => {}
        }
    }
    stage.judge()?;
    let table = stage.network.routing_table().ok_or("no routing table")?;
    let infos: Vec<_> = [from, to].into_iter().filter_map(|shard| Some((shard, stage.network.info(shard)?))).collect();
    match cover::check(stage.network.router, &table, &infos, &[]) {
        Err(cover::Fault::Disagreement { shard, .. }) if shard == to && (1..KEYS).contains(&served) => Ok(()),
        other => Err(format!("{served} of {KEYS} keys are served; cover: {other:?}")),
    }
}

fn clock_step_long(seed: u64, service: Service) -> Result<(), String> {
    let mut stage = Stage::ready(seed, service, 2)?;
    stage.put_all()?;
    for _ in 0..5 {
        let open: Vec<Sent> = (0..KEYS).map(|key| stage.send(Method::Put, key)).collect();
        stage.network.advance(1);
        stage.network.advance(LONG_STEP_NANOS);
        for sent in &open {
            match &sent.message {
                // The platform forgets answers after a while, so a message of before the jump may have none.
                Ok(message) if stage.network.answer(message).is_none() => {}
                _ => drop(stage.finish(sent)?),
            }
        }
        stage.network.advance(SECOND_NANOS);
    }
    stage.check_all_but(None)
}
