//! Modules that measure: each operation is repeated in a function of its own, run many times
//! between two readings of the performance counter.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::conformance::net::{ANONYMOUS, Id, Net, ints};

/// Name, code that leaves the stack as it was.
pub type Op<'a> = (&'a str, &'a str);

const HEAD: &str = r#"
  (import "ic0" "performance_counter" (func $perf (param i32) (result i64)))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
"#;

const BODY: &str = r#"
  (memory 40)
  (data $d "0123456789abcdef")
  (type $t (func))
  (global $g (mut i32) (i32.const 7))
  (table $tab 8 8 funcref)
  (elem (table $tab) (i32.const 0) func $leaf $leaf $leaf $leaf)
  (elem declare func $leaf)
  (func $leaf)
  (func $two (param i32 i32) (result i32) (local.get 0))
"#;

pub fn module(imports: &str, ops: &[Op], unrolled: usize, times: usize) -> String {
    let mut text = format!("(module {HEAD} {imports} {BODY}");
    for (i, (name, code)) in ops.iter().enumerate() {
        text +=
            &format!("(func $body{i} (local $i i32) (local $j i64) (local $e f32) (local $f f64) (local $v v128)\n");
        for _ in 0..unrolled {
            text += code;
            text.push('\n');
        }
        text += &format!(
            r#")
            (func $run{i} (local $s i64) (local $n i32)
              (local.set $n (i32.const {times}))
              (local.set $s (call $perf (i32.const 0)))
              (loop $l
                (call $body{i})
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
              (i64.store (i32.const 0) (i64.sub (call $perf (i32.const 0)) (local.get $s)))
              (call $append (i32.const 0) (i32.const 8))
              (call $reply))
            (export "canister_update u_{name}" (func $run{i}))
            (export "canister_query {name}" (func $run{i}))
            "#
        );
    }
    text + ")"
}

/// Instructions by name of operation, measured in queries.
pub fn measure(net: &Net, imports: &str, ops: &[Op], unrolled: usize, times: usize) -> Value {
    let id = net.wat("meter", &module(imports, ops, unrolled, times));
    read(net, id, ops, &[])
}

pub fn read(net: &Net, id: Id, ops: &[Op], arg: &[u8]) -> Value {
    let counts: BTreeMap<String, u64> = ops
        .iter()
        .map(|(name, _)| {
            let reply = net.query_call(id, ANONYMOUS, name, arg.to_vec()).expect("a measurement");
            (name.to_string(), ints(&reply)[0])
        })
        .collect();
    serde_json::to_value(counts).expect("a map")
}
