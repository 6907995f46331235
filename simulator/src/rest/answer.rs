//! What an endpoint answers: a status and a JSON body, ready to be sent now or kept for `read_graph`.

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A finished answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// Encodes a body as JSON.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Self {
        // Only maps with keys that aren't text, or a failing `Serialize`, are refused; the wire types have neither.
        let body = serde_json::to_vec(body).expect("wire types always encode");
        Self { status, body: body.into() }
    }

    /// Answers 200 with a body.
    pub fn ok(body: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, body)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}

/// Why a request was refused; becomes `{"message": ...}` under the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: malformed, or against the rules.
    Bad(String),
    /// 403: somebody else's message.
    Forbidden(String),
    /// 404: no such endpoint, operation or gateway.
    NotFound(String),
    /// 413: a body above its limit, in bytes.
    TooLarge(usize),
    /// 429: a queue of the server is full; the same request may succeed later.
    Overloaded(String),
    /// 500: a bug in the simulator.
    Internal(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Names the reason, for answers that carry it in a shape of their own.
    pub fn message(&self) -> String {
        match self {
            Self::Bad(text) | Self::Forbidden(text) | Self::NotFound(text) => text.clone(),
            Self::Overloaded(text) | Self::Internal(text) => text.clone(),
            Self::TooLarge(limit) => format!("The body of the request is larger than {limit} bytes."),
        }
    }
}

#[derive(Serialize)]
struct Message {
    message: String,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Answer::new(refusal.status(), &Message { message: refusal.message() })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Answer::from(self).into_response()
    }
}
