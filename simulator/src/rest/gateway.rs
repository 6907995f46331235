//! HTTP gateways: ports of their own that lead to the agent interface of one instance.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::answer::{Answer, Refusal};
use super::wire::decode;
use super::{App, BODY_BYTES_MAX, agent, body_of, respond};

/// Gateways at a time.
const GATEWAYS_MAX: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Backend {
    Replica(String),
    PocketIcInstance(u64),
}

/// What a gateway should be; `forward_to` is missing when it is part of the creation of an instance.
#[derive(Clone, Debug, Deserialize)]
pub struct GatewayConfig {
    pub ip_addr: Option<String>,
    pub port: Option<u16>,
    pub forward_to: Option<Backend>,
    pub domains: Option<Vec<String>>,
    pub https_config: Option<serde_json::Value>,
    pub domain_custom_provider_local_file: Option<String>,
}

/// The number of a gateway (named `instance_id` on the wire) and its port.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GatewayInfo {
    pub instance_id: u64,
    pub port: u16,
}

#[derive(Serialize)]
enum CreateGatewayResponse {
    Created(GatewayInfo),
    Error { message: String },
}

#[derive(Serialize)]
struct GatewayDetails {
    instance_id: u64,
    port: u16,
    forward_to: Backend,
    domains: Option<Vec<String>>,
    https_config: Option<()>,
}

/// The gateways of a server by number.
#[derive(Default)]
pub struct Gateways {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Gateway>,
}

struct Gateway {
    port: u16,
    instance: u64,
    domains: Option<Vec<String>>,
    task: AbortHandle,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateways {
    /// Closes the gateways of an instance.
    pub fn close_of(&self, instance: u64) {
        self.lock().open.retain(|_, gateway| gateway.instance != instance);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while holding it")
    }
}

/// Lists the open gateways.
pub async fn list(State(app): State<App>) -> Answer {
    let table = app.gateways.lock();
    let details: Vec<GatewayDetails> = table
        .open
        .iter()
        .map(|(id, gateway)| GatewayDetails {
            instance_id: *id,
            port: gateway.port,
            forward_to: Backend::PocketIcInstance(gateway.instance),
            domains: gateway.domains.clone(),
            https_config: None,
        })
        .collect();
    Answer::ok(&details)
}

/// Opens a gateway.
pub async fn create(State(app): State<App>, body: Body) -> Answer {
    let opened = async {
        let config: GatewayConfig = decode(&body_of(body, BODY_BYTES_MAX).await?)?;
        match config.forward_to.clone() {
            Some(Backend::PocketIcInstance(instance)) => open(&app, instance, config).await,
            Some(Backend::Replica(url)) => {
                Err(Refusal::Bad(format!("Gateways lead to instances of this server, not to {url}.")))
            }
            None => Err(Refusal::Bad("forward_to is missing.".to_string())),
        }
    };
    match opened.await {
        Ok(info) => Answer::new(StatusCode::CREATED, &CreateGatewayResponse::Created(info)),
        Err(refusal) => {
            let error = CreateGatewayResponse::Error { message: refusal.message() };
            Answer::new(StatusCode::BAD_REQUEST, &error)
        }
    }
}

/// Closes a gateway.
pub async fn stop(State(app): State<App>, Path(gateway): Path<String>) -> Response {
    let closed = gateway.parse().ok().and_then(|id: u64| app.gateways.lock().open.remove(&id));
    respond(match closed {
        Some(_) => Ok(Answer::ok(&())),
        None => Err(Refusal::NotFound(format!("There is no gateway {gateway}."))),
    })
}

/// Binds a port that leads to an instance.
///
/// # Errors
/// `Bad` when the instance is unknown, the port is taken, or TLS or a file of domains is asked for.
pub async fn open(app: &App, instance: u64, config: GatewayConfig) -> Result<GatewayInfo, Refusal> {
    app.instances.find(&instance.to_string())?;
    if config.https_config.is_some() || config.domain_custom_provider_local_file.is_some() {
        return Err(Refusal::Bad("The simulator's gateways speak plain HTTP and know no domain files.".to_string()));
    }
    let ip: IpAddr = match &config.ip_addr {
        Some(text) => text.parse().map_err(|_| Refusal::Bad(format!("{text} is not an IP address.")))?,
        None => Ipv4Addr::LOCALHOST.into(),
    };
    let refused = |error| Refusal::Bad(format!("The gateway can't be bound: {error}"));
    let listener = TcpListener::bind((ip, config.port.unwrap_or(0))).await.map_err(refused)?;
    let port = listener.local_addr().map_err(refused)?.port();
    let routes = Router::new()
        .fallback(move |State(app): State<App>, request: Request| forward(app, instance, request))
        .layer(middleware::from_fn_with_state(app.clone(), super::count))
        .with_state(app.clone());
    let mut table = app.gateways.lock();
    if table.open.len() >= GATEWAYS_MAX {
        return Err(Refusal::Bad(format!("{GATEWAYS_MAX} gateways are open already.")));
    }
    let id = table.next;
    table.next += 1;
    let task = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
    table.open.insert(id, Gateway { port, instance, domains: config.domains, task });
    Ok(GatewayInfo { instance_id: id, port })
}

async fn forward(app: App, instance: u64, request: Request) -> Response {
    let path = request.uri().path().to_string();
    match path.strip_prefix("/api/") {
        Some(rest) => agent::serve(&app, &instance.to_string(), rest, request).await,
        None => respond(Err::<Answer, _>(Refusal::NotFound(format!("The gateway serves /api/ only, not {path}.")))),
    }
}
