//! Requests as they arrive: CBOR, of which only known fields are read.

use candid::Principal;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::Refused;
use super::hash::{Hash, Value};
use crate::instance::MessageId;

/// Bytes of a request: an ingress message of a system subnet, with room.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Bytes of a nonce.
pub const NONCE_BYTES_MAX: usize = 32;
/// Paths of one `read_state`, and labels of a path.
pub const PATHS_MAX: usize = 1_000;
pub const LABELS_MAX: usize = 127;
/// How deep a document may be nested; requests need five levels.
const DEPTH_MAX: usize = 16;

/// A request with what proves its sender.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    pub content: Content,
    pub sender_pubkey: Option<ByteBuf>,
    pub sender_sig: Option<ByteBuf>,
    pub sender_delegation: Option<Vec<SignedDelegation>>,
}

/// All fields that a request of any kind may have; [`Content::request`] tells which it must.
#[derive(Debug, Deserialize)]
pub struct Content {
    request_type: String,
    pub sender: Principal,
    pub ingress_expiry: u64,
    nonce: Option<ByteBuf>,
    canister_id: Option<Principal>,
    method_name: Option<String>,
    arg: Option<ByteBuf>,
    paths: Option<Vec<Vec<ByteBuf>>>,
    sender_info: Option<ciborium::Value>,
}

/// A delegation with the signature of whom it comes from.
#[derive(Debug, Deserialize)]
pub struct SignedDelegation {
    pub delegation: Delegation,
    pub signature: ByteBuf,
}

/// Lets another key sign, until a time in nanoseconds.
#[derive(Debug, Deserialize)]
pub struct Delegation {
    pub pubkey: ByteBuf,
    pub expiration: u64,
    pub targets: Option<Vec<Principal>>,
    pub permissions: Option<String>,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Call(Call),
    Query(Call),
    ReadState(Vec<Vec<Vec<u8>>>),
}

/// A method with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub canister_id: Principal,
    pub method: String,
    pub argument: Vec<u8>,
}

impl Envelope {
    /// Reads a request.
    ///
    /// # Errors
    /// `Bad` when it isn't CBOR, lacks a field or has one of another type, or has more after its end.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Refused> {
        let envelope = ciborium::de::from_reader_with_recursion_limit(&mut bytes, DEPTH_MAX);
        let envelope: Self = envelope.map_err(|error| bad(format!("Could not parse body as CBOR message: {error}")))?;
        match bytes.len() {
            0 => Ok(envelope),
            left => Err(bad(format!("Could not parse body as CBOR message: {left} bytes are left after its end."))),
        }
    }
}

impl Content {
    /// Reckons the id of the request: the hash of its fields.
    pub fn id(&self) -> MessageId {
        let mut fields = vec![
            ("request_type", Value::Text(&self.request_type)),
            ("sender", Value::Bytes(self.sender.as_slice())),
            ("ingress_expiry", Value::Number(self.ingress_expiry)),
        ];
        if let Some(nonce) = &self.nonce {
            fields.push(("nonce", Value::Bytes(nonce)));
        }
        if let Some(id) = &self.canister_id {
            fields.push(("canister_id", Value::Bytes(id.as_slice())));
        }
        if let Some(name) = &self.method_name {
            fields.push(("method_name", Value::Text(name)));
        }
        if let Some(argument) = &self.arg {
            fields.push(("arg", Value::Bytes(argument)));
        }
        if let Some(paths) = &self.paths {
            fields.push(("paths", Value::List(paths.iter().map(|path| labels_value(path)).collect())));
        }
        MessageId(Value::Record(fields).hash())
    }

    /// Takes what the request asks for.
    ///
    /// # Errors
    /// `Bad` when a field is missing, out of bounds, or of no use to the simulator.
    pub fn request(self) -> Result<Request, Refused> {
        if self.sender_info.is_some() {
            return Err(bad("The simulator does not verify sender_info, which canisters sign.".to_string()));
        }
        if let Some(nonce) = self.nonce.filter(|nonce| nonce.len() > NONCE_BYTES_MAX) {
            let bytes = nonce.len();
            return Err(bad(format!("A nonce has at most {NONCE_BYTES_MAX} bytes, not {bytes}.")));
        }
        let missing = |field: &str| bad(format!("The field {field} is missing."));
        match self.request_type.as_str() {
            "call" | "query" => {
                let call = Call {
                    canister_id: self.canister_id.ok_or_else(|| missing("canister_id"))?,
                    method: self.method_name.ok_or_else(|| missing("method_name"))?,
                    argument: self.arg.ok_or_else(|| missing("arg"))?.into_vec(),
                };
                Ok(if self.request_type == "call" { Request::Call(call) } else { Request::Query(call) })
            }
            "read_state" => {
                let paths = self.paths.ok_or_else(|| missing("paths"))?;
                if paths.len() > PATHS_MAX {
                    return Err(bad(format!("A request reads at most {PATHS_MAX} paths, not {}.", paths.len())));
                }
                if let Some(path) = paths.iter().find(|path| path.len() > LABELS_MAX) {
                    return Err(bad(format!("A path has at most {LABELS_MAX} labels, not {}.", path.len())));
                }
                let labels = |path: Vec<ByteBuf>| path.into_iter().map(ByteBuf::into_vec).collect();
                Ok(Request::ReadState(paths.into_iter().map(labels).collect()))
            }
            other => Err(bad(format!("There are no requests of type {other:?}."))),
        }
    }
}

impl Delegation {
    /// Hashes what is signed.
    pub fn hash(&self) -> Hash {
        let mut fields = vec![("pubkey", Value::Bytes(&self.pubkey)), ("expiration", Value::Number(self.expiration))];
        if let Some(targets) = &self.targets {
            fields.push(("targets", Value::List(targets.iter().map(|id| Value::Bytes(id.as_slice())).collect())));
        }
        if let Some(permissions) = &self.permissions {
            fields.push(("permissions", Value::Text(permissions)));
        }
        Value::Record(fields).hash()
    }
}

fn labels_value(path: &[ByteBuf]) -> Value<'_> {
    Value::List(path.iter().map(|label| Value::Bytes(label)).collect())
}

fn bad(text: String) -> Refused {
    Refused::Bad(text)
}
