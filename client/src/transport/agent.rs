//! The transport of programs outside: signed calls through an agent of the Internet Computer.

use std::time::{Duration, SystemTime};

use candid::Principal;
use canopy_types::limits::bounded_reason;
use ic_agent::agent::agent_error::{HttpErrorPayload, TransportError};
use ic_agent::agent::{CallResponse, RejectResponse};
use ic_agent::{Agent, AgentError, RequestId};

use super::{CallError, CannotWait, Transport};

#[cfg(test)]
mod tests;

/// How often asking for the answer of an accepted call is taken up again after the network failed, and how long is
/// waited before, in milliseconds: for half a minute.
const ASKS_FOR_ANSWER_MAX: u32 = 30;
const ASK_AGAIN_MILLISECONDS: u64 = 1_000;

/// The platform's codes of what lasts and of what passes: an HTTP status is translated into one of them.
const FATAL: u32 = 1;
const TRANSIENT: u32 = 2;

/// Calls canisters through an agent, as the agent's identity.
///
/// What the agent can prove is told as it is: replies and rejects that the subnet has certified. What it can't is sorted
/// by what may have happened: a request that got no connection, or that the network's edge turned away, does not run; one
/// that may have reached a replica is unknown until the subnet tells its outcome. A refusal by a single node (such as one
/// by the canister's `inspect_message`) is taken for what it says, as agents do; whoever doesn't trust the edge of the
/// network reads the key afterwards.
///
/// Leave the agent's `with_max_tcp_error_retries` at 0, as it is by itself: the library tries again, and knows what that
/// means. The agent needs the root key of its network, unless that is the mainnet. Calls wait by tokio's clock, so poll
/// the futures in a tokio runtime.
///
/// ```no_run
/// use canopy_client::transport::AgentTransport;
/// use canopy_client::{Client, Put};
/// use ic_agent::Agent;
/// use ic_agent::identity::Secp256k1Identity;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Secp256k1Identity::from_pem_file("identity.pem")?;
/// let agent = Agent::builder().with_url("https://icp-api.io").with_identity(identity).build()?;
/// let client = Client::new(AgentTransport::new(agent)?, "aaaaa-aa".parse()?);
/// client.put(Put::new("greeting", "hello")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AgentTransport {
    agent: Agent,
    caller: Principal,
}

impl AgentTransport {
    /// Calls through `agent`.
    ///
    /// ```
    /// use canopy_client::transport::AgentTransport;
    /// use ic_agent::{Agent, AgentError};
    ///
    /// fn anonymous() -> Result<AgentTransport, AgentError> {
    ///     AgentTransport::new(Agent::builder().with_url("https://icp-api.io").build()?)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That the agent's identity has no principal, as a hardware key that isn't plugged in; with what it says.
    pub fn new(agent: Agent) -> Result<Self, AgentError> {
        let caller = agent.get_principal().map_err(AgentError::SigningError)?;
        Ok(Self { agent, caller })
    }

    /// Shows the agent.
    ///
    /// ```
    /// use canopy_client::transport::AgentTransport;
    ///
    /// fn root_key(transport: &AgentTransport) -> Vec<u8> {
    ///     transport.agent().read_root_key()
    /// }
    /// ```
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Asks for the answer of a call that was accepted. The network may fail meanwhile: the call goes on.
    async fn answer(&self, request: &RequestId, canister: Principal) -> Result<Vec<u8>, CallError> {
        let mut asks = 0;
        loop {
            match self.agent.wait(request, canister).await {
                Ok((reply, _certificate)) => return Ok(reply),
                Err(AgentError::CertifiedReject { reject, .. }) => return Err(rejected(&reject)),
                Err(error) if may_pass(&error) && asks < ASKS_FOR_ANSWER_MAX => {
                    asks += 1;
                    tokio::time::sleep(Duration::from_millis(ASK_AGAIN_MILLISECONDS)).await;
                }
                Err(error) => return Err(unknown(&error)),
            }
        }
    }
}

impl Transport for AgentTransport {
    fn caller(&self) -> Principal {
        self.caller
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        match self.agent.update(&canister, method).with_arg(arguments).call().await {
            Ok(CallResponse::Response((reply, _certificate))) => Ok(reply),
            Ok(CallResponse::Poll(request)) => self.answer(&request, canister).await,
            Err(error) => Err(from_call(error)),
        }
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let reply = self.agent.query(&canister, method).with_arg(arguments).call().await;
        reply.map_err(|error| match error {
            // A query changes nothing, so all codes mean what they say.
            AgentError::UncertifiedReject { reject, .. } => rejected(&reject),
            other => from_call(other),
        })
    }

    fn can_query_composite(&self) -> bool {
        true
    }

    #[expect(clippy::disallowed_methods, reason = "a program outside has the machine's clock")]
    fn now_nanoseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn draw(&self) -> [u8; 16] {
        rand::random()
    }

    async fn wait(&self, milliseconds: u64) -> Result<(), CannotWait> {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        Ok(())
    }
}

/// Tells what is known about a request that has no reply.
///
/// | what the agent says | what is known |
/// |---|---|
/// | certified reject | rejected |
/// | uncertified reject | not sent: the node that it came to didn't accept it |
/// | not signed, no URL, no connection | not sent |
/// | HTTP status 4xx, but 408 | not sent: the edge of the network turned it away |
/// | everything else | unknown |
fn from_call(error: AgentError) -> CallError {
    match &error {
        AgentError::CertifiedReject { reject, .. } => rejected(reject),
        AgentError::UncertifiedReject { reject, .. } => not_sent(reject.reject_code as u32, &reject.reject_message),
        AgentError::SigningError(_)
        | AgentError::InvalidReplicaUrl(_)
        | AgentError::UrlParseError(_)
        | AgentError::RouteProviderError(_)
        | AgentError::CannotCalculateRequestId(_) => not_sent(FATAL, &with_causes(&error)),
        AgentError::TransportError(TransportError::Reqwest(failure)) if failure.is_connect() => {
            not_sent(0, &with_causes(failure))
        }
        AgentError::HttpError(answer) => match answer.status {
            429 => not_sent(TRANSIENT, &said(answer)),
            408 => unknown(&error),
            400..=499 => not_sent(FATAL, &said(answer)),
            _ => unknown(&error),
        },
        _ => unknown(&error),
    }
}

/// Tells whether a failure to ask for an answer is the network's and may pass.
fn may_pass(error: &AgentError) -> bool {
    match error {
        AgentError::TransportError(_) | AgentError::InvalidHttpResponse(_) => true,
        AgentError::HttpError(answer) => answer.status >= 500 || matches!(answer.status, 408 | 429),
        _ => false,
    }
}

fn rejected(reject: &RejectResponse) -> CallError {
    CallError::Rejected { reject_code: reject.reject_code as u32, message: bounded_reason(&reject.reject_message) }
}

fn not_sent(reject_code: u32, message: &str) -> CallError {
    CallError::NotSent { reject_code, message: bounded_reason(message) }
}

fn unknown(error: &AgentError) -> CallError {
    CallError::Unknown { message: bounded_reason(&with_causes(error)) }
}

/// Writes what an HTTP server said, which is often why.
fn said(answer: &HttpErrorPayload) -> String {
    let text = String::from_utf8_lossy(&answer.content);
    format!("HTTP status {}: {}", answer.status, bounded_reason(&text))
}

/// Writes an error and what caused it: agents put "connection refused" at the end of a chain.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}
