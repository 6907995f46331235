//! A canister that calls the router in a client's name and answers how the call ended.

use candid::Principal;

#[cfg(test)]
mod tests;

/// `forward` takes: seconds to wait (4 bytes, little-endian; 0: without bound), cycles to attach (8 bytes), length of
/// the callee's id (1 byte), the id, length of the method's name (1 byte), the name, and the argument. It replies a tag:
/// 0 and the callee's reply; 1, the reject code (4 bytes) and the text; or 2 if the platform took no call.
const SOURCE: &str = r#"
(module
  (import "ic0" "msg_arg_data_size" (func $argument_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $argument_copy (param i32 i32 i32)))
  (import "ic0" "msg_reject_code" (func $reject_code (result i32)))
  (import "ic0" "msg_reject_msg_size" (func $reject_size (result i32)))
  (import "ic0" "msg_reject_msg_copy" (func $reject_copy (param i32 i32 i32)))
  (import "ic0" "msg_reply_data_append" (func $reply_append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "ic0" "call_data_append" (func $call_append (param i32 i32)))
  (import "ic0" "call_with_best_effort_response" (func $call_bounded (param i32)))
  (import "ic0" "call_cycles_add128" (func $call_cycles (param i64 i64)))
  (import "ic0" "call_perform" (func $call_perform (result i32)))
  (memory 64)
  (table 2 funcref)
  (elem (i32.const 0) $on_reply $on_reject)

  (func (export "canister_update forward")
    (local $size i32) (local $method i32) (local $rest i32)
    (local.set $size (call $argument_size))
    (call $argument_copy (i32.const 0) (i32.const 0) (local.get $size))
    ;; The id's length lies at 12, the id behind it.
    (local.set $method (i32.add (i32.load8_u (i32.const 12)) (i32.const 13)))
    (local.set $rest
      (i32.add (i32.add (local.get $method) (i32.const 1)) (i32.load8_u (local.get $method))))
    (call $call_new
      (i32.const 13) (i32.load8_u (i32.const 12))
      (i32.add (local.get $method) (i32.const 1)) (i32.load8_u (local.get $method))
      (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
    (call $call_append (local.get $rest) (i32.sub (local.get $size) (local.get $rest)))
    (if (i32.load (i32.const 0)) (then (call $call_bounded (i32.load (i32.const 0)))))
    (if (i64.ne (i64.load (i32.const 4)) (i64.const 0))
      (then (call $call_cycles (i64.const 0) (i64.load (i32.const 4)))))
    (if (call $call_perform)
      (then
        (i32.store8 (i32.const 0) (i32.const 2))
        (call $reply_append (i32.const 0) (i32.const 1))
        (call $reply))))

  (func $on_reply (param i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (call $argument_copy (i32.const 1) (i32.const 0) (call $argument_size))
    (call $reply_append (i32.const 0) (i32.add (call $argument_size) (i32.const 1)))
    (call $reply))

  (func $on_reject (param i32)
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store (i32.const 1) (call $reject_code))
    (call $reject_copy (i32.const 5) (i32.const 0) (call $reject_size))
    (call $reply_append (i32.const 0) (i32.add (call $reject_size) (i32.const 5)))
    (call $reply)))
"#;

/// What to have called.
#[derive(Clone, Debug)]
pub struct Forward<'a> {
    /// None: without bound.
    pub timeout_seconds: Option<u32>,
    pub cycles: u64,
    pub callee: Principal,
    pub method: &'a str,
    pub argument: &'a [u8],
}

/// How the forwarded call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    Reply(Vec<u8>),
    Reject { code: u32, message: String },
    NotSent,
}

/// Assembles the caller.
pub fn wasm() -> Vec<u8> {
    wat::parse_str(SOURCE).expect("the text above is a module")
}

impl Forward<'_> {
    /// Encodes the argument of `forward`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.timeout_seconds.unwrap_or(0).to_le_bytes().to_vec();
        bytes.extend(self.cycles.to_le_bytes());
        for part in [self.callee.as_slice(), self.method.as_bytes()] {
            bytes.push(u8::try_from(part.len()).expect("ids and names of methods are short"));
            bytes.extend(part);
        }
        bytes.extend(self.argument);
        bytes
    }
}

impl Forwarded {
    /// Decodes the reply of `forward`; None if it isn't one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, reply) => Some(Self::Reply(reply.to_vec())),
            (1, rest) => {
                let (code, message) = rest.split_first_chunk::<4>()?;
                let message = String::from_utf8_lossy(message).into_owned();
                Some(Self::Reject { code: u32::from_le_bytes(*code), message })
            }
            (2, []) => Some(Self::NotSent),
            _ => None,
        }
    }
}
