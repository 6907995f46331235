//! Instruction counts: of operators, of the System API, of touched pages.

use serde_json::{Value, json};

use crate::conformance::meter::{Op, measure, module, read};
use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("meter": integers, control, memory, system_calls, stable_memory, dirty_pages, calls, nothing_else,
    conversions, block_charged_at_once);

pub const UNROLLED: usize = 500;
pub const TIMES: usize = 100;

fn integers() -> Value {
    let net = net();
    let ops: &[Op] = &[
        ("nop", "nop"),
        ("const_drop", "(drop (i32.const 1))"),
        ("i32.add", "(drop (i32.add (local.get $i) (i32.const 1)))"),
        ("i32.mul", "(drop (i32.mul (local.get $i) (i32.const 3)))"),
        ("i64.add", "(drop (i64.add (local.get $j) (i64.const 1)))"),
        ("i64.mul", "(drop (i64.mul (local.get $j) (i64.const 3)))"),
        ("i64.rotl", "(drop (i64.rotl (local.get $j) (i64.const 3)))"),
        ("i64.popcnt", "(drop (i64.popcnt (local.get $j)))"),
        ("i64.eqz", "(drop (i64.eqz (local.get $j)))"),
        ("i32.div_u", "(drop (i32.div_u (local.get $i) (i32.const 3)))"),
        ("i64.div_s", "(drop (i64.div_s (local.get $j) (i64.const 3)))"),
        ("i64.rem_u", "(drop (i64.rem_u (local.get $j) (i64.const 3)))"),
        ("wrap_extend", "(drop (i64.extend_i32_u (i32.wrap_i64 (local.get $j))))"),
        ("set_tee", "(local.set $i (local.tee $i (i32.const 1)))"),
        ("select", "(drop (select (i32.const 1) (i32.const 2) (local.get $i)))"),
    ];
    json!({ "run_instructions": measure(&net, "", ops, UNROLLED, TIMES) })
}

fn control() -> Value {
    let net = net();
    let ops: &[Op] = &[
        ("block", "(block)"),
        ("block_br", "(block $b (br $b))"),
        ("br_if", "(block $b (br_if $b (local.get $i)))"),
        ("br_table", "(block $b (block $c (br_table $b $c $b (local.get $i))))"),
        ("if_else", "(if (local.get $i) (then (nop)) (else (nop) (nop)))"),
        ("call", "(call $leaf)"),
        ("call_2_args", "(drop (call $two (i32.const 1) (i32.const 2)))"),
        ("call_indirect", "(call_indirect (type $t) (i32.const 2))"),
        (
            "loop_5",
            "(local.set $i (i32.const 5)) (loop $k (br_if $k (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))",
        ),
    ];
    json!({ "run_instructions": measure(&net, "", ops, UNROLLED, TIMES) })
}

fn memory() -> Value {
    let net = net();
    let ops: &[Op] = &[
        ("i32.load", "(drop (i32.load (i32.const 64)))"),
        ("i64.load_offset", "(drop (i64.load offset=4000 (local.get $i)))"),
        ("i32.load8_u", "(drop (i32.load8_u (i32.const 64)))"),
        ("i64.store", "(i64.store (i32.const 64) (local.get $j))"),
        ("i32.store8", "(i32.store8 (i32.const 64) (local.get $i))"),
        ("global.get", "(drop (global.get $g))"),
        ("global.set", "(global.set $g (i32.const 4))"),
        ("memory.size", "(drop (memory.size))"),
    ];
    json!({ "run_instructions": measure(&net, "", ops, UNROLLED, TIMES) })
}

fn system_calls() -> Value {
    let net = net();
    let imports = r#"
        (import "ic0" "time" (func $time (result i64)))
        (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
        (import "ic0" "msg_caller_size" (func $caller_size (result i32)))
        (import "ic0" "canister_self_size" (func $self_size (result i32)))
        (import "ic0" "canister_version" (func $version (result i64)))
        (import "ic0" "canister_status" (func $status (result i32)))
        (import "ic0" "in_replicated_execution" (func $replicated (result i32)))
        (import "ic0" "canister_cycle_balance128" (func $balance (param i32)))
        (import "ic0" "canister_liquid_cycle_balance128" (func $liquid (param i32)))
        (import "ic0" "msg_deadline" (func $deadline (result i64)))
        (import "ic0" "data_certificate_present" (func $present (result i32)))
        (import "ic0" "is_controller" (func $is_controller (param i32 i32) (result i32)))
        (import "ic0" "stable64_size" (func $stable_size (result i64)))
        (import "ic0" "stable64_grow" (func $stable_grow (param i64) (result i64)))
        (import "ic0" "cost_call" (func $cost_call (param i64 i64 i32)))
        (import "ic0" "debug_print" (func $print (param i32 i32)))"#;
    let ops: &[Op] = &[
        ("time", "(drop (call $time))"),
        ("performance_counter", "(drop (call $perf (i32.const 0)))"),
        ("msg_arg_data_size", "(drop (call $arg_size))"),
        ("msg_caller_size", "(drop (call $caller_size))"),
        ("canister_self_size", "(drop (call $self_size))"),
        ("canister_version", "(drop (call $version))"),
        ("canister_status", "(drop (call $status))"),
        ("in_replicated_execution", "(drop (call $replicated))"),
        ("canister_cycle_balance128", "(call $balance (i32.const 0))"),
        ("canister_liquid_cycle_balance128", "(call $liquid (i32.const 0))"),
        ("msg_deadline", "(drop (call $deadline))"),
        ("data_certificate_present", "(drop (call $present))"),
        ("is_controller_10_bytes", "(drop (call $is_controller (i32.const 0) (i32.const 10)))"),
        ("stable64_size", "(drop (call $stable_size))"),
        ("stable64_grow_0", "(drop (call $stable_grow (i64.const 0)))"),
        ("cost_call", "(call $cost_call (i64.const 10) (i64.const 10) (i32.const 0))"),
        ("debug_print_0", "(call $print (i32.const 0) (i32.const 0))"),
    ];
    json!({ "run_instructions": measure(&net, imports, ops, 50, 20) })
}

fn stable_memory() -> Value {
    let net = net();
    let imports = r#"
        (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
        (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
        (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
        (func (export "canister_init") (drop (call $grow (i64.const 1000))))"#;
    let ops: &[Op] = &[
        ("read_0", "(call $read (i64.const 0) (i64.const 0) (i64.const 0))"),
        ("read_100", "(call $read (i64.const 0) (i64.const 0) (i64.const 100))"),
        ("read_100000", "(call $read (i64.const 0) (i64.const 0) (i64.const 100000))"),
        ("write_8_same_page", "(call $write (i64.const 0) (i64.const 0) (i64.const 8))"),
        ("write_4096_same_page", "(call $write (i64.const 8192) (i64.const 0) (i64.const 4096))"),
        ("write_across_two_pages", "(call $write (i64.const 4090) (i64.const 0) (i64.const 12))"),
        ("write_100000", "(call $write (i64.const 4096) (i64.const 0) (i64.const 100000))"),
        (
            "write_new_page_each",
            "(call $write (local.get $j) (i64.const 0) (i64.const 8)) (local.set $j (i64.add (local.get $j) (i64.const 4096)))",
        ),
    ];
    let id = net.wat("meter", &module(imports, ops, 100, 1));
    json!({ "query_instructions": read(&net, id, ops, &[]), "update_instructions": ops.iter().map(|(name, _)| {
        let reply = net.update_call(id, ANONYMOUS, &format!("u_{name}"), vec![]).expect("a measurement");
        (name.to_string(), json!(ints(&reply)[0]))
    }).collect::<serde_json::Map<_, _>>() })
}

/// Heap pages are charged after the run, so they show in the balance only.
fn dirty_pages() -> Value {
    let net = net();
    let a = net.machine("a");
    net.up(a, p().konst(400).mem_grow().msg_reply()).expect("grows");
    let cost = |program: P| net.spent(a, || net.up(a, program).expect("replies")).1;
    let touch = |pages: u64| cost(p().touch(0x120_000, pages).msg_reply());
    let (one, hundred, thousand) = (touch(1), touch(100), touch(1000));
    let counted = |pages: u64| net.nums(a, p().touch(0x120_000, pages).perf(0).push().reply())[0];
    let trap = |pages: u64| net.spent(a, || net.up(a, p().touch(0x120_000, pages).trap()).expect_err("traps")).1;
    let grow = cost(p().konst(100).mem_grow().msg_reply());
    let nothing = cost(p().konst(0).mem_grow().msg_reply());
    json!({
        "99_more_cycles": hundred - one, "999_more_cycles": thousand - one,
        "counter_1000_more_instructions": counted(1000) - counted(1),
        "growing_100_wasm_pages_more_cycles": grow - nothing,
        "trap_999_more_cycles": trap(1000) - trap(1),
    })
}

fn calls() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.machine("b"));
    let between = |middle: P, before: P| {
        let program = before.perf(0).set(1).then(middle).perf(0).set(2).clear().get(1).push().get(2).push().reply();
        let seen = net.nums(a, program);
        seen[1] - seen[0]
    };
    let new = || p().call(b, "update", p(), p());
    json!({
        "nothing_instructions": between(p(), p()),
        "call_new_instructions": between(new(), p()),
        "data_0_instructions": between(p().data(), new()),
        "data_10000_instructions": between(p().data(), new().fill(10_000, 0)),
        "cycles_instructions": between(p().cycles(), new().konst(1000)),
        "best_effort_instructions": between(p().best_effort(), new().konst(10)),
        "on_cleanup_instructions": between(p().on_cleanup(p()), new()),
        "perform_instructions": between(p().perform(), new()),
    })
}

/// The counter at the start of a message, with a large argument and none.
fn nothing_else() -> Value {
    let net = net();
    let a = net.wat("a", &module("", &[("nothing", "")], 1, 1));
    let b = net.wat("b", r#"(module
        (import "ic0" "performance_counter" (func $perf (param i32) (result i64)))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "msg_reply" (func $reply))
        (memory 1)
        (func $run (i64.store (i32.const 0) (call $perf (i32.const 0))) (call $append (i32.const 0) (i32.const 8)) (call $reply))
        (export "canister_query q" (func $run)) (export "canister_update u" (func $run)))"#);
    let reads = |arg: Vec<u8>| {
        [
            ints(&net.query_call(b, ANONYMOUS, "q", arg.clone()).expect("a count"))[0],
            ints(&net.update_call(b, ANONYMOUS, "u", arg).expect("a count"))[0],
        ]
    };
    json!({
        "empty_run_instructions": read(&net, a, &[("nothing", "")], &[]),
        "first_reading": reads(vec![]), "first_reading_1MB_arg": reads(vec![0; 1_000_000]),
    })
}

fn conversions() -> Value {
    let net = net();
    let ops: &[Op] = &[
        ("f64.convert_i64_u", "(drop (f64.convert_i64_u (local.get $j)))"),
        ("f32.convert_i32_s", "(drop (f32.convert_i32_s (local.get $i)))"),
        ("i32.trunc_sat_f64_u", "(drop (i32.trunc_sat_f64_u (local.get $f)))"),
        ("f64.promote_f32", "(drop (f64.promote_f32 (local.get $e)))"),
        ("f32.demote_f64", "(drop (f32.demote_f64 (local.get $f)))"),
        ("i64.reinterpret_f64", "(drop (i64.reinterpret_f64 (local.get $f)))"),
        ("f64.copysign", "(drop (f64.copysign (local.get $f) (local.get $f)))"),
        ("i64.extend8_s", "(drop (i64.extend8_s (local.get $j)))"),
        ("f32.max", "(drop (f32.max (local.get $e) (local.get $e)))"),
        ("f64.neg", "(drop (f64.neg (local.get $f)))"),
    ];
    json!({ "run_instructions": measure(&net, "", ops, UNROLLED, TIMES) })
}

/// A block is charged when it begins: a reading in its middle has the rest in it already.
fn block_charged_at_once() -> Value {
    let net = net();
    let filler = "(drop (i32.const 1))".repeat(2_000);
    let source = format!(
        r#"(module
        (import "ic0" "performance_counter" (func $perf (param i32) (result i64)))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "msg_reply" (func $reply))
        (memory 1)
        (func $send (call $append (i32.const 0) (i32.const 16)) (call $reply))
        (func (export "canister_query straight")
            (i64.store (i32.const 0) (call $perf (i32.const 0)))
            {filler}
            (i64.store (i32.const 8) (call $perf (i32.const 0)))
            (call $send))
        (func (export "canister_query branch")
            (i64.store (i32.const 0) (call $perf (i32.const 0)))
            (block $b (br_if $b (i32.const 0)) {filler})
            (i64.store (i32.const 8) (call $perf (i32.const 0)))
            (call $send))
        (func (export "canister_query skipped")
            (i64.store (i32.const 0) (call $perf (i32.const 0)))
            (block $b (br_if $b (i32.const 1)) {filler})
            (i64.store (i32.const 8) (call $perf (i32.const 0)))
            (call $send)))"#
    );
    let id = net.wat("a", &source);
    let mut out = serde_json::Map::new();
    for method in ["straight", "branch", "skipped"] {
        let seen = ints(&net.query_call(id, ANONYMOUS, method, vec![]).expect("counts"));
        out.insert(format!("{method}_first_instructions"), json!(seen[0]));
        out.insert(format!("{method}_second_instructions"), json!(seen[1]));
    }
    Value::Object(out)
}
