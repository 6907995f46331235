//! The instances of a server: making, finding, listing and deleting them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::agent::WAITING_CALLS_MAX;
use super::answer::{Answer, Refusal};
use super::creation::{CreateInstanceResponse, InitialTime, InstanceConfig};
use super::host::Host;
use super::progress::{self, Progress};
use super::wire::decode;
use super::{App, BODY_BYTES_MAX, body_of, gateway, respond};
use crate::chance::Schedule;

/// Instances at a time. Each has a thread and the memories of its canisters.
pub const INSTANCES_MAX: usize = 128;

/// The instances of a server by number.
pub struct Instances {
    seed: u64,
    schedule: Schedule,
    slots: Arc<Semaphore>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    live: BTreeMap<u64, Arc<Entry>>,
}

/// One instance.
pub struct Entry {
    pub id: u64,
    pub host: Host,
    /// For calls of agents that wait for their certificates.
    pub waiting_calls: Semaphore,
    progress: Mutex<Option<Progress>>,
    _slot: OwnedSemaphorePermit,
}

impl Entry {
    /// Locks the loop of a live instance.
    pub fn progress(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().expect("nothing panics while holding it")
    }
}

impl Instances {
    /// Makes an empty table. Every instance starts from the same seed, so that what one does depends neither on its
    /// number nor on others.
    pub fn new(seed: u64, schedule: Schedule) -> Self {
        Self { seed, schedule, slots: Arc::new(Semaphore::new(INSTANCES_MAX)), table: Mutex::default() }
    }

    /// Finds an instance by its number in text.
    ///
    /// # Errors
    /// `Bad` when there is none.
    pub fn find(&self, id: &str) -> Result<Arc<Entry>, Refusal> {
        let found = id.parse().ok().and_then(|id: u64| self.lock().live.get(&id).cloned());
        found.ok_or_else(|| Refusal::Bad(format!("Instance {id} was not found or has been deleted.")))
    }

    /// Forgets all instances; their threads end when they have done what they are at.
    pub fn clear(&self) {
        let live = std::mem::take(&mut self.lock().live);
        live.values().for_each(|entry| drop(entry.progress().take()));
    }

    fn insert(&self, host: Host, slot: OwnedSemaphorePermit) -> Arc<Entry> {
        let mut table = self.lock();
        let id = table.next;
        table.next += 1;
        let entry = Arc::new(Entry {
            id,
            host,
            waiting_calls: Semaphore::new(WAITING_CALLS_MAX),
            progress: Mutex::default(),
            _slot: slot,
        });
        table.live.insert(id, entry.clone());
        entry
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while holding it")
    }
}

/// Lists a word for every instance that ever was; the place in the list is the number.
pub async fn list(State(app): State<App>) -> Answer {
    let table = app.instances.lock();
    let state = |id| table.live.get(&id).map_or_else(|| "Deleted".to_string(), |entry| entry.host.state());
    Answer::ok(&(0..table.next).map(state).collect::<Vec<_>>())
}

/// Makes an instance.
pub async fn create(State(app): State<App>, body: Body) -> Answer {
    let created = async {
        let config: InstanceConfig = decode(&body_of(body, BODY_BYTES_MAX).await?)?;
        make(&app, config).await
    };
    match created.await {
        Ok(created) => Answer::new(StatusCode::CREATED, &created),
        Err(refusal) => {
            let error = CreateInstanceResponse::Error { message: refusal.message() };
            Answer::new(StatusCode::BAD_REQUEST, &error)
        }
    }
}

/// Makes an instance with all that its configuration asks for.
///
/// # Errors
/// What is refused of the configuration, its gateway or its start; then nothing is left of the instance.
pub async fn make(app: &App, mut config: InstanceConfig) -> Result<CreateInstanceResponse, Refusal> {
    let instances = &app.instances;
    let (gateway, initial_time) = (config.http_gateway_config.take(), config.initial_time);
    let network = config.network(instances.seed, instances.schedule)?;
    let slot = instances.slots.clone().try_acquire_owned();
    let slot = slot.map_err(|_| Refusal::Bad(format!("{INSTANCES_MAX} instances are there already.")))?;
    let host = Host::start(network).await?;
    let topology = host.run(|instance| instance.topology()).await?;
    let entry = instances.insert(host, slot);
    match finish(app, &entry, gateway, initial_time).await {
        Ok(http_gateway_info) => {
            Ok(CreateInstanceResponse::Created { instance_id: entry.id, topology: topology.into(), http_gateway_info })
        }
        Err(refusal) => {
            remove(app, entry.id);
            Err(refusal)
        }
    }
}

/// Does what can only be done to an instance that has a number.
async fn finish(
    app: &App,
    entry: &Arc<Entry>,
    gateway: Option<gateway::GatewayConfig>,
    initial_time: Option<InitialTime>,
) -> Result<Option<gateway::GatewayInfo>, Refusal> {
    if let Some(InitialTime::AutoProgress(config)) = initial_time {
        progress::go_live(entry, config).await?;
    }
    match gateway {
        Some(config) => gateway::open(app, entry.id, config).await.map(Some),
        None => Ok(None),
    }
}

/// Deletes an instance. What it is at is finished in the background.
pub async fn delete(State(app): State<App>, Path(instance): Path<String>) -> Response {
    respond(app.instances.find(&instance).map(|entry| {
        remove(&app, entry.id);
        Answer::ok(&())
    }))
}

fn remove(app: &App, id: u64) {
    app.gateways.close_of(id);
    let removed = app.instances.lock().live.remove(&id);
    if let Some(entry) = removed {
        entry.progress().take();
    }
}
