//! The door to the HTTP interface of agents (`/api/v2/...` and later versions) of an instance, used by the REST
//! endpoint and by gateways.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::answer::{Answer, Refusal};
use super::{App, respond};

/// Serves `/instances/{instance}/api/...`.
pub async fn of_instance(
    State(app): State<App>,
    Path((instance, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    serve(&app, &instance, &path, request).await
}

/// Serves the agent interface of an instance; `path` is what follows `/api/`.
pub async fn serve(app: &App, instance: &str, path: &str, request: Request) -> Response {
    respond(app.instances.find(instance).and_then(|_| {
        let method = request.method();
        Err::<Answer, _>(Refusal::NotFound(format!("The simulator serves no agent endpoint {method} /api/{path}.")))
    }))
}
