//! The JSON of PocketIC's REST interface: calls, answers, times and amounts (`ic-facts.md` 1.3).
//!
//! Bytes travel as base64, codes as names. Fields that the simulator doesn't know are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candid::Principal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::answer::Refusal;
use crate::errors::UserError;

/// Bytes of the longest principal.
const PRINCIPAL_BYTES_MAX: usize = 29;

/// Bytes, as base64 text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Base64).map_err(serde::de::Error::custom)
    }
}

/// A principal, as base64 of its bytes; longer ones than 29 bytes are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPrincipal(pub Principal);

impl Serialize for RawPrincipal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.as_slice()))
    }
}

impl<'de> Deserialize<'de> for RawPrincipal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Base64(bytes) = Base64::deserialize(deserializer)?;
        if bytes.len() > PRINCIPAL_BYTES_MAX {
            return Err(serde::de::Error::custom(format!("a principal has at most {PRINCIPAL_BYTES_MAX} bytes")));
        }
        Principal::try_from_slice(&bytes).map(RawPrincipal).map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RawTime {
    pub nanos_since_epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawEffectivePrincipal {
    None,
    SubnetId(RawPrincipal),
    CanisterId(RawPrincipal),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawMessageId {
    pub effective_principal: RawEffectivePrincipal,
    pub message_id: Base64,
}

#[derive(Debug, Deserialize)]
pub struct RawIngressStatusArgs {
    pub raw_message_id: RawMessageId,
    pub raw_caller: Option<RawPrincipalId>,
}

/// `sender_info` is not read: the simulator checks no signatures of senders.
#[derive(Debug, Deserialize)]
pub struct RawCanisterCall {
    pub sender: RawPrincipal,
    pub canister_id: RawPrincipal,
    pub effective_principal: RawEffectivePrincipal,
    pub method: String,
    pub payload: Base64,
}

/// `{"Ok": ...}` or `{"Err": ...}`.
#[derive(Debug, Serialize)]
pub enum RawResult<T> {
    Ok(T),
    Err(RejectResponse),
}

#[derive(Debug, Serialize)]
pub struct RejectResponse {
    pub reject_code: String,
    pub reject_message: String,
    pub error_code: String,
    pub certified: bool,
}

impl RejectResponse {
    /// Describes an error to a user; `certified` when it stands in the state of the network, as answers to updates do.
    pub fn new(error: UserError, certified: bool) -> Self {
        Self {
            reject_code: format!("{:?}", error.code.reject_code()),
            error_code: format!("{:?}", error.code),
            reject_message: error.message,
            certified,
        }
    }
}

/// Turns an outcome into its JSON shape.
pub fn canister_result(outcome: Result<Vec<u8>, UserError>, certified: bool) -> RawResult<Base64> {
    match outcome {
        Ok(bytes) => RawResult::Ok(Base64(bytes)),
        Err(error) => RawResult::Err(RejectResponse::new(error, certified)),
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RawCanisterId {
    pub canister_id: RawPrincipal,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RawSubnetId {
    pub subnet_id: RawPrincipal,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RawPrincipalId {
    pub principal_id: RawPrincipal,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RawNodeId {
    pub node_id: RawPrincipal,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RawAddCycles {
    pub canister_id: RawPrincipal,
    pub amount: u128,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct RawCycles {
    pub cycles: u128,
}

#[derive(Debug, Deserialize)]
pub struct RawSetStableMemory {
    pub canister_id: RawPrincipal,
    pub blob_id: Base64,
}

#[derive(Debug, Serialize)]
pub struct RawStableMemory {
    pub blob: Base64,
}

#[derive(Debug, Deserialize)]
pub struct RawTickConfigs {
    pub blockmakers: Option<Vec<RawSubnetBlockmakers>>,
}

#[derive(Debug, Deserialize)]
pub struct RawSubnetBlockmakers {
    pub subnet: RawSubnetId,
    pub blockmaker: RawNodeId,
    pub failed_blockmakers: Vec<RawNodeId>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct AutoProgressConfig {
    pub artificial_delay_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct StartedOperation {
    pub state_label: String,
    pub op_id: String,
}

/// Decodes a body.
///
/// # Errors
/// `Bad` with the place of the first mistake.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Bad(format!("The body of the request is malformed: {error}")))
}
