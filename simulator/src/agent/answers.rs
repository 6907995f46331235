//! What agents read: the CBOR of answers, and what nodes sign of them.

use candid::Principal;

use super::hash::Value;
use crate::cbor::Writer;
use crate::errors::UserError;
use crate::instance::MessageId;
use crate::replica::certification::NodeKey;

const RESPONSE_SEPARATOR: &[u8] = b"\x0bic-response";

/// Writes the answer to `status`.
pub fn status(root_key: &[u8]) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.map(3);
    out.text("impl_version");
    out.text(concat!("canopy-simulator ", env!("CARGO_PKG_VERSION")));
    out.text("replica_health_status");
    out.text("healthy");
    out.text("root_key");
    out.bytes(root_key);
    out.finish()
}

/// Writes the answer to a call that came to an end, however it ended.
pub fn call_replied(certificate: &[u8]) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.map(2);
    out.text("status");
    out.text("replied");
    out.text("certificate");
    out.bytes(certificate);
    out.finish()
}

/// Writes the answer to a call that was not accepted. The oldest endpoint knows no status.
pub fn call_rejected(error: &UserError, with_status: bool) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.map(3 + with_status as usize);
    if with_status {
        out.text("status");
        out.text("non_replicated_rejection");
    }
    write_reject(error, &mut out);
    out.finish()
}

/// Writes the answer to `read_state`.
pub fn state(certificate: &[u8]) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.map(1);
    out.text("certificate");
    out.bytes(certificate);
    out.finish()
}

/// Writes the answer to a query, signed by a node at a time.
pub fn query(id: &MessageId, outcome: &Result<Vec<u8>, UserError>, node: &NodeKey, time_nanos: u64) -> Vec<u8> {
    let mut out = Writer::self_described();
    match outcome {
        Ok(reply) => {
            out.map(3);
            out.text("status");
            out.text("replied");
            out.text("reply");
            out.map(1);
            out.text("arg");
            out.bytes(reply);
        }
        Err(error) => {
            out.map(5);
            out.text("status");
            out.text("rejected");
            write_reject(error, &mut out);
        }
    }
    out.text("signatures");
    out.array(1);
    write_signature(&node.id, &node.sign(&signed_by_node(id, outcome, time_nanos)), time_nanos, &mut out);
    out.finish()
}

/// Returns what a node signs of its answer to a query.
pub fn signed_by_node(id: &MessageId, outcome: &Result<Vec<u8>, UserError>, time_nanos: u64) -> Vec<u8> {
    let code = outcome.as_ref().err().map(|error| error.code.to_string()).unwrap_or_default();
    let mut fields = vec![("request_id", Value::Bytes(&id.0)), ("timestamp", Value::Number(time_nanos))];
    match outcome {
        Ok(reply) => fields
            .extend([("status", Value::Text("replied")), ("reply", Value::Record(vec![("arg", Value::Bytes(reply))]))]),
        Err(error) => fields.extend([
            ("status", Value::Text("rejected")),
            ("reject_code", Value::Number(error.code.reject_code() as u64)),
            ("reject_message", Value::Text(&error.message)),
            ("error_code", Value::Text(&code)),
        ]),
    }
    [RESPONSE_SEPARATOR, &Value::Record(fields).hash()].concat()
}

fn write_signature(node: &Principal, signature: &[u8], time_nanos: u64, out: &mut Writer) {
    out.map(3);
    out.text("timestamp");
    out.unsigned(time_nanos);
    out.text("signature");
    out.bytes(signature);
    out.text("identity");
    out.bytes(node.as_slice());
}

/// Writes the three fields of a reject.
fn write_reject(error: &UserError, out: &mut Writer) {
    out.text("reject_code");
    out.unsigned(error.code.reject_code() as u64);
    out.text("reject_message");
    out.text(&error.message);
    out.text("error_code");
    out.text(&error.code.to_string());
}
