//! The HTTP interface of agents (`/api/v2/...` to `/api/v4/...`) of an instance, used by the REST endpoint and by
//! gateways. Bodies are CBOR, refusals are plain text.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use candid::Principal;
use tokio::time::Instant;

use super::answer::Refusal;
use super::instances::Entry;
use super::{App, body_of, respond};
use crate::agent::envelope::{Envelope, REQUEST_BYTES_MAX, Request as Content};
use crate::agent::{Refused, answers};
use crate::instance::{MessageId, Scope};
use crate::replica::certification::RangesForm;

/// How long a call waits for its certificate before the agent is told to ask for it.
const CALL_WAIT: Duration = Duration::from_secs(10);
/// Calls of an instance that wait; others are told to ask at once.
pub const WAITING_CALLS_MAX: usize = 1_024;

/// Serves `/instances/{instance}/api/...`.
pub async fn of_instance(
    State(app): State<App>,
    Path((instance, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    serve(&app, &instance, &path, request).await
}

/// Serves the agent interface of an instance; `path` is what follows `/api/`. Pages from anywhere may ask.
pub async fn serve(app: &App, instance: &str, path: &str, request: Request) -> Response {
    let served = async {
        let entry = app.instances.find(instance)?;
        let endpoint = Endpoint::find(path);
        let unknown = || Refusal::NotFound(format!("There is no agent endpoint {} /api/{path}.", request.method()));
        let endpoint = endpoint.ok_or_else(unknown)?;
        match (endpoint, request.method()) {
            (_, &Method::OPTIONS) => Ok(StatusCode::NO_CONTENT.into_response()),
            (Endpoint::Status, &Method::GET | &Method::HEAD) => status(&entry).await,
            (Endpoint::Status, _) => Ok(wrong_method("GET")),
            (_, &Method::POST) => answer(&entry, endpoint, request.into_body()).await,
            (_, _) => Ok(wrong_method("POST")),
        }
    };
    let mut response = respond(served.await);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    response
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Status,
    Call { scope: Scope, waiting: Waiting },
    Query { scope: Scope },
    ReadState { scope: Scope, form: RangesForm },
}

/// Whether a call waits for its certificate, and where delegations of it have their ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    No,
    For(RangesForm),
}

impl Endpoint {
    /// Finds the endpoint of a path, with or without a slash at its end.
    pub(super) fn find(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        if parts == ["v2", "status"] {
            return Some(Self::Status);
        }
        let [version, of, id, what] = parts[..] else { return None };
        let id = Principal::from_str(id).ok()?;
        let (scope, versions_of_calls, versions_of_queries) = match of {
            "canister" => (Scope::Canister(id), ["v2", "v3", "v4"].as_slice(), ["v2", "v3"].as_slice()),
            "subnet" => (Scope::Subnet(id), ["v4"].as_slice(), ["v3"].as_slice()),
            _ => return None,
        };
        let waiting = match version {
            "v2" => Waiting::No,
            "v3" => Waiting::For(RangesForm::Flat),
            _ => Waiting::For(RangesForm::Sharded),
        };
        let form = if version == "v2" { RangesForm::Flat } else { RangesForm::Sharded };
        match what {
            "call" if versions_of_calls.contains(&version) => Some(Self::Call { scope, waiting }),
            "query" if versions_of_queries.contains(&version) => Some(Self::Query { scope }),
            "read_state" if ["v2", "v3"].contains(&version) => Some(Self::ReadState { scope, form }),
            _ => None,
        }
    }
}

async fn status(entry: &Entry) -> Result<Response, Refusal> {
    let key = entry.host.run(|instance| instance.root_key()).await?;
    Ok(cbor(answers::status(&key)))
}

/// Answers what is asked in an envelope.
async fn answer(entry: &Arc<Entry>, endpoint: Endpoint, body: Body) -> Result<Response, Refusal> {
    let body = body_of(body, REQUEST_BYTES_MAX).await?;
    // Signatures are verified here and not on the instance's thread, which has enough to do.
    let from = match Envelope::read(&body).and_then(Envelope::authenticate) {
        Ok(from) => from,
        Err(refused) => return Ok(refused.into_response()),
    };
    match (endpoint, from.request.clone()) {
        (Endpoint::Call { scope, waiting }, Content::Call(call)) => {
            let id = from.id;
            match entry.host.run(move |instance| instance.agent_call(scope, &from, call)).await? {
                Err(refused) => Ok(refused.into_response()),
                Ok(Err(error)) => Ok(cbor(answers::call_rejected(&error, waiting != Waiting::No))),
                Ok(Ok(_)) => match waiting {
                    Waiting::No => Ok(StatusCode::ACCEPTED.into_response()),
                    Waiting::For(form) => Ok(wait(entry, id, form).await),
                },
            }
        }
        (Endpoint::Query { scope }, Content::Query(call)) => {
            let answered = entry.host.run(move |instance| instance.agent_query(scope, &from, call)).await?;
            Ok(answered.map_or_else(Refused::into_response, cbor))
        }
        (Endpoint::ReadState { scope, form }, Content::ReadState(_)) => {
            let read = entry.host.run(move |instance| instance.agent_state(scope, &from, form)).await?;
            Ok(read.map_or_else(Refused::into_response, |certificate| cbor(answers::state(&certificate))))
        }
        (_, _) => Ok(Refused::Bad("The request is not of the type that this endpoint serves.".into()).into_response()),
    }
}

/// Waits until a call has come to an end. When that takes long, or too many wait, the agent is told to ask for it.
async fn wait(entry: &Arc<Entry>, id: MessageId, form: RangesForm) -> Response {
    let Ok(_place) = entry.waiting_calls.try_acquire() else { return StatusCode::ACCEPTED.into_response() };
    let deadline = Instant::now() + CALL_WAIT;
    let mut rounds = entry.host.rounds();
    loop {
        // Seen before the look at the state, so that no round falls between.
        rounds.mark_unchanged();
        // The call is accepted: whatever goes wrong from here on, asking for its state is the way to learn of it.
        match entry.host.run(move |instance| instance.agent_outcome(&id, form)).await {
            Ok(Some(certificate)) => return cbor(answers::call_replied(&certificate)),
            Ok(None) => {}
            Err(_) => return StatusCode::ACCEPTED.into_response(),
        }
        match tokio::time::timeout_at(deadline, rounds.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return StatusCode::ACCEPTED.into_response(),
        }
    }
}

fn cbor(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/cbor")], body).into_response()
}

fn wrong_method(allowed: &'static str) -> Response {
    let text = format!("This endpoint is asked by {allowed}.");
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed)], text).into_response()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
        };
        (status, self.to_string()).into_response()
    }
}
