//! Endpoints of the server itself: its health, blobs, and operations that took long.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Refusal};
use super::blobs::BLOB_BYTES_MAX;
use super::{App, body_of, respond};

/// Says that the server lives.
pub async fn status() -> Response {
    ().into_response()
}

/// Keeps a blob and answers its hash in hex, as plain text.
pub async fn upload(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    respond(
        async {
            let gzipped = match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
                None | Some(b"identity") => false,
                Some(b"gzip") => true,
                Some(_) => return Err(Refusal::Bad("Blobs may be plain or gzip, nothing else.".to_string())),
            };
            let bytes = body_of(body, BLOB_BYTES_MAX).await?;
            Ok(hex::encode(app.blobs.put(bytes.into(), gzipped)))
        }
        .await,
    )
}

/// Answers that signatures of canisters are not verified here, in the shape of a failed verification.
pub async fn verify_signature() -> Answer {
    Answer::ok(&Err::<(), _>("The simulator does not verify signatures of canisters.".to_string()))
}

/// Answers what a long operation answered, or 404 while it runs.
pub async fn read_operation(State(app): State<App>, Path((label, operation)): Path<(String, String)>) -> Response {
    respond(app.operations.read(&label, &operation))
}

/// Forgets a long operation's answer.
pub async fn prune_operation(State(app): State<App>, Path((label, operation)): Path<(String, String)>) -> Response {
    respond(app.operations.prune(&label, &operation).map(|()| Answer::ok(&())))
}
