//! PocketIC's REST interface over instances of the simulator (`ic-facts.md` 1).
//!
//! Start here: [`router`] lists every endpoint. A request is decoded ([`wire`], [`creation`]), handed to the thread of
//! its instance ([`host`]) as a closure of [`endpoints`], and its answer is waited for ([`operations`]).
//!
//! The wall clock is read here ([`progress`], [`activity`]) and nowhere below: an instance knows only the time that it
//! is told.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use self::activity::Activity;
use self::answer::Refusal;
use self::blobs::Blobs;
use self::gateway::Gateways;
use self::instances::Instances;
use self::operations::Operations;

pub mod activity;
pub mod agent;
pub mod answer;
pub mod blobs;
pub mod creation;
pub mod endpoints;
pub mod gateway;
pub mod host;
pub mod instances;
pub mod operations;
pub mod progress;
#[cfg(test)]
mod tests;
pub mod top;
pub mod wire;

/// Bytes of the body of a request to an instance: a payload of a few MiB in base64, with room.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Everything that a server keeps.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

pub struct Shared {
    pub instances: Instances,
    pub operations: Operations,
    pub blobs: Blobs,
    pub gateways: Gateways,
    pub activity: Activity,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl App {
    pub fn new(instances: Instances) -> Self {
        let (operations, blobs, gateways, activity) = Default::default();
        Self { shared: Arc::new(Shared { instances, operations, blobs, gateways, activity }) }
    }
}

/// Lists the endpoints. Each is there with and without a slash at its end.
pub fn router(app: App) -> Router {
    use endpoints::{read, with};
    let top = [
        ("/status", routing::get(top::status)),
        ("/blobstore", routing::post(top::upload)),
        ("/verify_signature", routing::post(top::verify_signature)),
        ("/read_graph/{label}/{operation}", routing::get(top::read_operation)),
        ("/prune_graph/{label}/{operation}", routing::delete(top::prune_operation)),
        ("/http_gateway", routing::get(gateway::list).post(gateway::create)),
        ("/http_gateway/{gateway}/stop", routing::post(gateway::stop)),
        ("/instances", routing::get(instances::list).post(instances::create)),
        ("/instances/{instance}", routing::delete(instances::delete)),
    ];
    let of_instance = [
        ("read/topology", read(endpoints::topology)),
        ("_/topology", read(endpoints::topology)),
        ("read/get_time", read(endpoints::time)),
        ("read/get_canister_http", read(endpoints::outcalls)),
        ("read/query", with(endpoints::query)),
        ("read/ingress_status", with(endpoints::ingress_status)),
        ("read/get_cycles", with(endpoints::cycles)),
        ("read/get_controllers", with(endpoints::controllers)),
        ("read/get_stable_memory", with(endpoints::stable_memory)),
        ("read/get_subnet", with(endpoints::subnet_of)),
        ("read/pub_key", with(endpoints::public_key)),
        ("update/set_time", with(endpoints::set_time)),
        ("update/set_certified_time", with(endpoints::set_certified_time)),
        ("update/tick", with(endpoints::tick)),
        ("update/submit_ingress_message", with(endpoints::submit_ingress)),
        ("update/await_ingress_message", with(endpoints::await_ingress)),
        ("update/add_cycles", with(endpoints::add_cycles)),
        ("update/set_stable_memory", routing::post(endpoints::set_stable_memory)),
        ("update/mock_canister_http", with(endpoints::mock_outcall)),
        ("update/mock_flexible_canister_http", with(endpoints::mock_outcall)),
        ("update/delete_subnet", with(endpoints::delete_subnet)),
        ("update/canister_snapshot_download", with(endpoints::snapshot_files)),
        ("update/canister_snapshot_upload", with(endpoints::snapshot_files)),
        ("auto_progress", routing::get(progress::enabled).post(progress::start)),
        ("stop_progress", routing::post(progress::stop)),
    ];
    let mut router = Router::new();
    for (path, methods) in top {
        router = at(router, path, methods);
    }
    for (path, methods) in of_instance {
        router = at(router, &format!("/instances/{{instance}}/{path}"), methods);
    }
    router
        .route("/instances/{instance}/api/{*path}", routing::any(agent::of_instance))
        .fallback(unknown_endpoint)
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app)
}

fn at(router: Router<App>, path: &str, methods: MethodRouter<App>) -> Router<App> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

async fn unknown_endpoint(request: Request) -> Refusal {
    Refusal::NotFound(format!("There is no endpoint {} {}.", request.method(), request.uri().path()))
}

/// Counts a request as activity while it is served.
async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let _pending = app.activity.begin();
    next.run(request).await
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// `TooLarge` beyond that; also when the connection breaks, where nobody sees the answer.
pub async fn body_of(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(body, limit).await.map_err(|_| Refusal::TooLarge(limit))
}

/// Reads how long the client wants to wait for an answer before it is told to ask again.
///
/// # Errors
/// `Bad` when the header is not a number of milliseconds.
pub fn wait_of(headers: &HeaderMap) -> Result<Duration, Refusal> {
    let Some(value) = headers.get("processing-timeout-ms") else { return Ok(operations::WAIT_DEFAULT) };
    let millis = value.to_str().ok().and_then(|text| text.parse().ok());
    let millis = millis.ok_or_else(|| Refusal::Bad("processing-timeout-ms is not a number.".to_string()))?;
    Ok(Duration::from_millis(millis))
}

/// Answers with what went well or what was refused.
pub fn respond(result: Result<impl IntoResponse, Refusal>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}
