//! A canister that passes calls on and answers what it was answered.
//!
//! A call from a canister doesn't go through `canister_inspect_message`, so it reaches the checks behind it.

use candid::Principal;

/// `call` takes: length of the callee's id (1 byte), the id, length of the method's name (1 byte), the name, and the
/// argument. It replies what the callee replies, and rejects with the text with which the callee was rejected.
const SOURCE: &str = r#"
(module
  (import "ic0" "msg_arg_data_size" (func $argument_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $argument_copy (param i32 i32 i32)))
  (import "ic0" "msg_reject_msg_size" (func $rejection_size (result i32)))
  (import "ic0" "msg_reject_msg_copy" (func $rejection_copy (param i32 i32 i32)))
  (import "ic0" "msg_reply_data_append" (func $reply_append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reject" (func $reject (param i32 i32)))
  (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "ic0" "call_data_append" (func $call_append (param i32 i32)))
  (import "ic0" "call_perform" (func $call_perform (result i32)))
  (memory 64)
  (table 2 funcref)
  (elem (i32.const 0) $on_reply $on_reject)

  (func (export "canister_update call")
    (local $size i32) (local $name i32) (local $rest i32)
    (local.set $size (call $argument_size))
    (call $argument_copy (i32.const 0) (i32.const 0) (local.get $size))
    (local.set $name (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (local.set $rest
      (i32.add (i32.add (local.get $name) (i32.const 1)) (i32.load8_u (local.get $name))))
    (call $call_new
      (i32.const 1) (i32.load8_u (i32.const 0))
      (i32.add (local.get $name) (i32.const 1)) (i32.load8_u (local.get $name))
      (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
    (call $call_append (local.get $rest) (i32.sub (local.get $size) (local.get $rest)))
    (if (call $call_perform) (then (unreachable))))

  (func $on_reply (param i32)
    (call $argument_copy (i32.const 0) (i32.const 0) (call $argument_size))
    (call $reply_append (i32.const 0) (call $argument_size))
    (call $reply))

  (func $on_reject (param i32)
    (call $rejection_copy (i32.const 0) (i32.const 0) (call $rejection_size))
    (call $reject (i32.const 0) (call $rejection_size))))
"#;

/// Compiles the relay.
pub fn wasm() -> Vec<u8> {
    wat::parse_str(SOURCE).expect("the text above is a module")
}

/// Encodes the argument of the relay's `call`.
pub fn argument(callee: Principal, method: &str, argument: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("ids and names of methods are short");
    let mut bytes = vec![length(callee.as_slice())];
    bytes.extend_from_slice(callee.as_slice());
    bytes.push(length(method.as_bytes()));
    bytes.extend_from_slice(method.as_bytes());
    bytes.extend_from_slice(argument);
    bytes
}
