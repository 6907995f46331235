//! Which network, which router, and as whom: a client that is ready to be used.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use candid::{CandidType, Principal};
use canopy_client::transport::{AgentTransport, CallError, Transport};
use canopy_client::{Client, RetryPolicy};
use canopy_types::codec::{decode, encode};
use canopy_types::limits::bounded_reason;
use canopy_types::status::{Status, StatusResult};
use clap::Args;
use ic_agent::Agent;
use ic_agent::agent::route_provider::RoundRobinRouteProvider;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Kind};
use crate::{identity, places};

/// Where the mainnet is reached.
const MAINNET_URL: &str = "https://icp-api.io";

/// The longest description of a root key.
const ROOT_KEY_BYTES_MAX: usize = 4 * 1024;

/// The longest time for the attempts at an operation.
const TIMEOUT_SECONDS_MAX: u64 = 24 * 60 * 60;

/// Attempts at an operation, at most; their time ends before.
const ATTEMPTS_MAX: u32 = 100;

/// Candid of no arguments.
const NO_ARGUMENTS: &[u8] = b"DIDL\0\0";

/// Options of all commands that speak to a router.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The network: `local` (of `canopy dev`), `ic` (the mainnet), or a URL.
    #[arg(short, long, global = true, env = "CANOPY_NETWORK", default_value = "local", value_name = "NAME|URL")]
    pub network: String,
    /// The router's canister; `local` knows its own.
    #[arg(short, long, global = true, env = "CANOPY_ROUTER", value_name = "PRINCIPAL")]
    pub router: Option<String>,
    /// A PEM file with the key of the caller, as `icp identity export NAME > FILE` writes it; `anonymous` for nobody.
    /// Without it, `local` calls as its administrator, other networks are called anonymously.
    #[arg(short, long, global = true, env = "CANOPY_IDENTITY", value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The root key of the network at a URL, in hexadecimal or as a file. Without it, whoever answers there is believed:
    /// right for networks of your own only.
    #[arg(long, global = true, env = "CANOPY_ROOT_KEY", value_name = "HEX|FILE")]
    pub root_key: Option<String>,
    /// Seconds for trying an operation again that was lost or refused for the moment.
    #[arg(long, global = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_SECONDS_MAX))]
    pub timeout: u64,
}

/// A router that answers.
pub struct Session {
    pub client: Client<AgentTransport>,
    pub url: String,
    /// What the router says about itself, if the caller may know it.
    pub status: Option<Status>,
    /// The network's root key.
    pub root_key: Vec<u8>,
}

/// What the options name.
struct Target {
    url: String,
    root_key: Option<Vec<u8>>,
    router: Option<Principal>,
    identity: Option<PathBuf>,
    is_mainnet: bool,
}

impl Connection {
    /// Connects, and makes sure that a router of Canopy is there.
    ///
    /// # Errors
    /// When options name nothing that is there, the network isn't reached, or something else answers.
    pub async fn open(&self) -> Result<Session, Failure> {
        let target = self.target()?;
        let Some(router) = target.router else {
            return Err(Failure::local("which router? Name its canister with --router"));
        };
        let agent = self.agent(&target).await?;
        let root_key = agent.read_root_key();
        let transport = AgentTransport::new(agent).map_err(|error| Failure::local(error.to_string()))?;
        let policy = RetryPolicy {
            attempts_max: ATTEMPTS_MAX,
            total_milliseconds_max: self.timeout * 1_000,
            ..RetryPolicy::default()
        };
        let client = Client::new(transport, router).with_retry_policy(policy);
        let mut session = Session { client, url: target.url, status: None, root_key };
        session.status = session.recognise().await?;
        Ok(session)
    }

    /// Connects, whatever canisters are there.
    ///
    /// # Errors
    /// When options name nothing that is there, or the network isn't reached.
    pub async fn transport(&self) -> Result<AgentTransport, Failure> {
        let agent = self.agent(&self.target()?).await?;
        AgentTransport::new(agent).map_err(|error| Failure::local(error.to_string()))
    }

    /// Tells who calls.
    ///
    /// # Errors
    /// When the file of the identity is none.
    pub fn caller(&self) -> Result<Principal, Failure> {
        let target = self.target()?;
        let identity = identity::load(target.identity.as_deref())?;
        identity.sender().map_err(Failure::local)
    }

    fn target(&self) -> Result<Target, Failure> {
        let router = self.router.as_deref().map(parse_principal).transpose()?;
        let is_anonymous = self.identity.as_ref().is_some_and(|path| path.as_os_str() == "anonymous");
        let identity = self.identity.clone().filter(|_| !is_anonymous);
        let root_key = self.root_key.as_deref().map(read_root_key).transpose()?;
        match self.network.as_str() {
            "local" => {
                let local = places::read_local_network()?;
                let own = (!is_anonymous).then_some(local.identity);
                Ok(Target {
                    url: local.url,
                    root_key: Some(root_key.map_or_else(|| read_root_key(&local.root_key), Ok)?),
                    router: Some(router.unwrap_or(local.router)),
                    identity: identity.or(own),
                    is_mainnet: false,
                })
            }
            "ic" if root_key.is_some() => Err(Failure::local("the root key of `ic` is known; leave --root-key out")),
            "ic" => Ok(Target { url: MAINNET_URL.to_string(), root_key: None, router, identity, is_mainnet: true }),
            url if url.starts_with("http://") || url.starts_with("https://") => {
                Ok(Target { url: url.to_string(), root_key, router, identity, is_mainnet: false })
            }
            other => Err(Failure::local(format!(
                "there is no network `{other}`: `local`, `ic`, or a URL that begins with http:// or https://"
            ))),
        }
    }

    async fn agent(&self, target: &Target) -> Result<Agent, Failure> {
        let identity = identity::load(target.identity.as_deref())?;
        let routes = RoundRobinRouteProvider::new(vec![&target.url]);
        let routes = routes.map_err(|error| Failure::local(format!("`{}` is no URL: {error}", target.url)))?;
        let agent = Agent::builder().with_route_provider(routes).with_arc_identity(identity).build();
        let agent = agent.map_err(|error| Failure::local(format!("{}: {error}", target.url)))?;
        match &target.root_key {
            Some(root_key) => agent.set_root_key(root_key.clone()),
            None if target.is_mainnet => {}
            None => {
                let fetch = tokio::time::timeout(Duration::from_secs(self.timeout), agent.fetch_root_key());
                let fetched = fetch.await.map_err(|_| Failure::network(format!("no answer from {}", target.url)))?;
                fetched.map_err(|error| {
                    let causes = anyhow::Error::from(error);
                    Failure::network(format!("no network answers at {}: {causes:#}", target.url))
                })?;
            }
        }
        Ok(agent)
    }
}

impl Session {
    pub fn router(&self) -> Principal {
        self.client.router()
    }

    /// Asks the router what it is: any canister may stand at an id, and any version of a router.
    async fn recognise(&self) -> Result<Option<Status>, Failure> {
        let router = self.router();
        let reply = match self.client.transport().query(router, "status", NO_ARGUMENTS).await {
            Ok(reply) => reply,
            Err(CallError::NotSent { message, .. }) => {
                return Err(Failure::network(format!("{} is not reached: {message}", self.url)));
            }
            Err(CallError::Unknown { message }) => {
                let advice = "is it the network that you mean, and its root key?";
                let failure = Failure::network(format!("what answers at {} is not believed: {message}", self.url));
                return Err(failure.with_advice(advice));
            }
            Err(CallError::Rejected { reject_code, message }) => {
                return Err(self.no_router(&format!("asked for `status`, it answers code {reject_code}: {message}")));
            }
        };
        match decode::<StatusResult>(&reply) {
            Ok(status) => Ok(status.ok()),
            Err(malformed) => Err(self.no_router(&format!("its `status` is another one's: {}", malformed.reason))),
        }
    }

    fn no_router(&self, why: &str) -> Failure {
        let failure = Failure::network(format!("canister {} is no router of Canopy: {why}", self.router()));
        failure.with_advice("check --router and --network")
    }

    /// Asks the router, by a query.
    ///
    /// # Errors
    /// What the call ended in, or that the answer is of another version.
    pub async fn ask<R: CandidType + DeserializeOwned>(&self, method: &str) -> Result<R, Failure> {
        self.ask_canister(self.router(), method).await
    }

    /// Asks a canister of the service, by a query.
    ///
    /// # Errors
    /// As for `ask`.
    pub async fn ask_canister<R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        method: &str,
    ) -> Result<R, Failure> {
        let reply = self.client.transport().query(canister, method, NO_ARGUMENTS).await;
        self.read(canister, method, reply)
    }

    /// Has the router do something, by an update, once.
    ///
    /// # Errors
    /// As for `ask`; of kind [`Kind::Unknown`] when it may have been done.
    pub async fn call<A: CandidType, R: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        arguments: &A,
    ) -> Result<R, Failure> {
        self.call_canister(self.router(), method, arguments).await
    }

    /// Has a canister of the service do something, by an update, once.
    ///
    /// # Errors
    /// As for `call`.
    pub async fn call_canister<A: CandidType, R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        method: &str,
        arguments: &A,
    ) -> Result<R, Failure> {
        let reply = self.client.transport().update(canister, method, &encode(arguments)).await;
        self.read(canister, method, reply).map_err(|failure| match failure.kind {
            Kind::Unknown => failure.with_advice("it may have been done: look before you try again"),
            _ => failure,
        })
    }

    fn read<R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        method: &str,
        reply: Result<Vec<u8>, CallError>,
    ) -> Result<R, Failure> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(CallError::Rejected { reject_code: 5, message }) if message.contains("has no") => {
                return Err(self.other_version(canister, &format!("it has no method `{method}`")));
            }
            Err(error) => return Err(Failure::from(error).during(method)),
        };
        decode(&reply).map_err(|malformed| {
            let reason = bounded_reason(&malformed.reason);
            self.other_version(canister, &format!("its answer to `{method}` is of another kind: {reason}"))
        })
    }

    fn other_version(&self, canister: Principal, why: &str) -> Failure {
        let ours = env!("CARGO_PKG_VERSION");
        if canister != self.router() {
            let message = format!("canister {canister} is no shard that this command ({ours}) understands: {why}");
            return Failure::network(message);
        }
        let theirs = self.status.as_ref().map_or("of an unknown version", |status| &status.code_version);
        Failure::network(format!("router {canister} is {theirs} and this command {ours}: {why}"))
            .with_advice("upgrade the older one")
    }
}

/// Reads a principal.
pub fn parse_principal(text: &str) -> Result<Principal, Failure> {
    Principal::from_text(text).map_err(|error| Failure::local(format!("`{text}` is no principal: {error}")))
}

/// Reads a root key: in hexadecimal, or from a file that holds it so or as it is.
fn read_root_key(text: &str) -> Result<Vec<u8>, Failure> {
    if let Ok(key) = hex::decode(text) {
        return Ok(key);
    }
    let bytes = fs::read(text)
        .map_err(|error| Failure::local(format!("the root key `{text}` is neither hexadecimal nor a file: {error}")))?;
    if bytes.is_empty() || bytes.len() > ROOT_KEY_BYTES_MAX {
        let message = format!("{text} has {} bytes, and a root key has 1 to {ROOT_KEY_BYTES_MAX}", bytes.len());
        return Err(Failure::local(message));
    }
    let as_text = std::str::from_utf8(&bytes).ok().and_then(|text| hex::decode(text.trim()).ok());
    Ok(as_text.unwrap_or(bytes))
}
