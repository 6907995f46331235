//! Instruction counts recorded from a real server.

use super::*;
use crate::wasm::engine::Engine;
use crate::wasm::system::{Context, System};
use crate::wasm::testing::*;

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

type Op<'a> = (&'a str, u64, &'a str);

/// Each operation is repeated in a function of its own, which runs many times between two readings.
fn module(imports: &str, ops: &[Op], unrolled: usize, times: usize) -> String {
    let mut text = format!("(module {HEAD} {imports} {BODY}");
    for (i, (name, _, code)) in ops.iter().enumerate() {
        let body = code.repeat(unrolled);
        text += &format!(
            r#"(func $body{i} (local $i i32) (local $j i64) (local $e f32) (local $f f64) (local $v v128) {body})
            (func $run{i} (local $s i64) (local $n i32)
              (local.set $n (i32.const {times}))
              (local.set $s (call $perf (i32.const 0)))
              (loop $l
                (call $body{i})
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
              (i64.store (i32.const 0) (i64.sub (call $perf (i32.const 0)) (local.get $s)))
              (call $append (i32.const 0) (i32.const 8))
              (call $reply))
            (export "canister_query {name}" (func $run{i}))"#
        );
    }
    text + ")"
}

fn check(imports: &str, ops: &[Op], unrolled: usize, times: usize) {
    let engine = Engine::shared();
    let mut canister = Canister::new(engine, &module(imports, ops, unrolled, times));
    if !imports.is_empty() {
        let (_, executed) = canister.run("canister_init", system(Context::Init));
        assert_eq!(executed.result, Ok(()));
        canister.runtime.commit();
    }
    for (name, expected, _) in ops {
        let (system, executed) = canister.run(&format!("canister_query {name}"), system(Context::Query));
        assert_eq!(executed.result, Ok(()), "{name}");
        canister.runtime.rollback();
        assert_eq!(numbers(&system), [*expected], "{name}");
    }
}

#[test]
fn operators_cost_what_was_recorded() {
    let ops: &[Op] = &[
        ("nop", 51422, "nop "),
        ("const_drop", 101422, "(drop (i32.const 1))"),
        ("i32.add", 201422, "(drop (i32.add (local.get $i) (i32.const 1)))"),
        ("i32.mul", 201422, "(drop (i32.mul (local.get $i) (i32.const 3)))"),
        ("i64.add", 201422, "(drop (i64.add (local.get $j) (i64.const 1)))"),
        ("i64.mul", 201422, "(drop (i64.mul (local.get $j) (i64.const 3)))"),
        ("i64.rotl", 201422, "(drop (i64.rotl (local.get $j) (i64.const 3)))"),
        ("i64.popcnt", 151422, "(drop (i64.popcnt (local.get $j)))"),
        ("i64.eqz", 151422, "(drop (i64.eqz (local.get $j)))"),
        ("i32.div_u", 651422, "(drop (i32.div_u (local.get $i) (i32.const 3)))"),
        ("i64.div_s", 651422, "(drop (i64.div_s (local.get $j) (i64.const 3)))"),
        ("i64.rem_u", 651422, "(drop (i64.rem_u (local.get $j) (i64.const 3)))"),
        ("wrap_extend", 201422, "(drop (i64.extend_i32_u (i32.wrap_i64 (local.get $j))))"),
        ("set_tee", 151422, "(local.set $i (local.tee $i (i32.const 1)))"),
        ("select", 251422, "(drop (select (i32.const 1) (i32.const 2) (local.get $i)))"),
        ("block", 1422, "(block)"),
        ("block_br", 101422, "(block $b (br $b))"),
        ("br_if", 151422, "(block $b (br_if $b (local.get $i)))"),
        ("br_table", 151422, "(block $b (block $c (br_table $b $c $b (local.get $i))))"),
        ("if_else", 251422, "(if (local.get $i) (then (nop)) (else (nop) (nop)))"),
        ("call", 301422, "(call $leaf)"),
        ("call_2_args", 501422, "(drop (call $two (i32.const 1) (i32.const 2)))"),
        ("call_indirect", 601422, "(call_indirect (type $t) (i32.const 2))"),
        (
            "loop_5",
            1601422,
            "(local.set $i (i32.const 5)) (loop $k (br_if $k (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))",
        ),
        ("i32.load", 151422, "(drop (i32.load (i32.const 64)))"),
        ("i64.load_offset", 151422, "(drop (i64.load offset=4000 (local.get $i)))"),
        ("i32.load8_u", 151422, "(drop (i32.load8_u (i32.const 64)))"),
        ("i64.store", 151422, "(i64.store (i32.const 64) (local.get $j))"),
        ("i32.store8", 151422, "(i32.store8 (i32.const 64) (local.get $i))"),
        ("global.get", 151422, "(drop (global.get $g))"),
        ("global.set", 151422, "(global.set $g (i32.const 4))"),
        ("memory.size", 1051422, "(drop (memory.size))"),
        ("f64.convert_i64_u", 901422, "(drop (f64.convert_i64_u (local.get $j)))"),
        ("f32.convert_i32_s", 251422, "(drop (f32.convert_i32_s (local.get $i)))"),
        ("i32.trunc_sat_f64_u", 1101422, "(drop (i32.trunc_sat_f64_u (local.get $f)))"),
        ("f64.promote_f32", 151422, "(drop (f64.promote_f32 (local.get $e)))"),
        ("f32.demote_f64", 151422, "(drop (f32.demote_f64 (local.get $f)))"),
        ("i64.reinterpret_f64", 151422, "(drop (i64.reinterpret_f64 (local.get $f)))"),
        ("f64.copysign", 301422, "(drop (f64.copysign (local.get $f) (local.get $f)))"),
        ("i64.extend8_s", 151422, "(drop (i64.extend8_s (local.get $j)))"),
        ("f32.max", 1051422, "(drop (f32.max (local.get $e) (local.get $e)))"),
        ("f64.neg", 151422, "(drop (f64.neg (local.get $f)))"),
    ];
    check("", ops, 500, 100);
    check("", &[("nothing", 234, "")], 1, 1);
}

#[test]
fn system_calls_cost_what_was_recorded() {
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
        (import "ic0" "debug_print" (func $print (param i32 i32)))
        (func (export "canister_init"))"#;
    let ops: &[Op] = &[
        ("time", 506462, "(drop (call $time))"),
        ("performance_counter", 207462, "(drop (call $perf (i32.const 0)))"),
        ("msg_arg_data_size", 506462, "(drop (call $arg_size))"),
        ("msg_caller_size", 506462, "(drop (call $caller_size))"),
        ("canister_self_size", 506462, "(drop (call $self_size))"),
        ("canister_version", 506462, "(drop (call $version))"),
        ("canister_status", 506462, "(drop (call $status))"),
        ("in_replicated_execution", 506462, "(drop (call $replicated))"),
        ("canister_cycle_balance128", 506462, "(call $balance (i32.const 0))"),
        ("canister_liquid_cycle_balance128", 506462, "(call $liquid (i32.const 0))"),
        ("msg_deadline", 506462, "(drop (call $deadline))"),
        ("data_certificate_present", 506462, "(drop (call $present))"),
        ("is_controller_10_bytes", 1018462, "(drop (call $is_controller (i32.const 0) (i32.const 10)))"),
        ("stable64_size", 6462, "(drop (call $stable_size))"),
        ("stable64_grow_0", 107462, "(drop (call $stable_grow (i64.const 0)))"),
        ("cost_call", 508462, "(call $cost_call (i64.const 10) (i64.const 10) (i32.const 0))"),
        ("debug_print_0", 107462, "(call $print (i32.const 0) (i32.const 0))"),
    ];
    check(imports, ops, 50, 20);
}

#[test]
fn stable_memory_costs_what_was_recorded() {
    let imports = r#"
        (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
        (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
        (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
        (func (export "canister_init") (drop (call $grow (i64.const 1000))))"#;
    let ops: &[Op] = &[
        ("read_0", 3034, "(call $read (i64.const 0) (i64.const 0) (i64.const 0))"),
        ("read_100", 13034, "(call $read (i64.const 0) (i64.const 0) (i64.const 100))"),
        ("read_100000", 10003034, "(call $read (i64.const 0) (i64.const 0) (i64.const 100000))"),
        ("write_8_same_page", 4834, "(call $write (i64.const 0) (i64.const 0) (i64.const 8))"),
        ("write_4096_same_page", 413634, "(call $write (i64.const 8192) (i64.const 0) (i64.const 4096))"),
        ("write_across_two_pages", 6234, "(call $write (i64.const 4090) (i64.const 0) (i64.const 12))"),
        ("write_100000", 10028034, "(call $write (i64.const 4096) (i64.const 0) (i64.const 100000))"),
        (
            "write_new_page_each",
            104234,
            "(call $write (local.get $j) (i64.const 0) (i64.const 8)) (local.set $j (i64.add (local.get $j) (i64.const 4096)))",
        ),
    ];
    check(imports, ops, 100, 1);
}

#[test]
fn a_block_is_charged_when_it_begins() {
    let filler = "(drop (i32.const 1))".repeat(2_000);
    let source = format!(
        r#"(module {HEAD}
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
    let mut canister = Canister::new(Engine::shared(), &source);
    for (method, expected) in [("straight", [4222, 4422]), ("branch", [212, 4425]), ("skipped", [212, 425])] {
        let (system, _) = canister.run(&format!("canister_query {method}"), system(Context::Query));
        assert_eq!(numbers(&system), expected, "{method}");
    }
}

#[test]
fn the_first_reading_does_not_depend_on_the_argument() {
    let source = format!(
        r#"(module {HEAD} (memory 1)
        (func (export "canister_query q")
            (i64.store (i32.const 0) (call $perf (i32.const 0))) (call $append (i32.const 0) (i32.const 8)) (call $reply)))"#
    );
    let mut canister = Canister::new(Engine::shared(), &source);
    for argument in [vec![], vec![0; 1_000_000]] {
        for context in [Context::Query, Context::Update] {
            let (system, _) =
                canister.run("canister_query q", System { argument: argument.clone(), ..system(context) });
            assert_eq!(numbers(&system), [221]);
        }
    }
}

#[test]
fn calls_cost_what_was_recorded() {
    on_stack(|| {
        let mut canister = Canister::machine(Engine::shared());
        let new = || p("call").blob(canister_id().as_slice()).then("'update ' '");
        let mut between = |middle: P, before: P| {
            let mut program = before.then("perf #0 set #1");
            program.0.extend(middle.0);
            let (system, executed) =
                canister.update(&program.then("perf #0 set #2 clear get #1 push get #2 push reply"));
            assert_eq!(executed.result, Ok(()));
            let seen = numbers(&system);
            seen[1] - seen[0]
        };
        assert_eq!(between(p(""), p("")), 310);
        assert_eq!(between(new(), p("")), 1990);
        assert_eq!(between(p("data"), new()), 856);
        assert_eq!(between(p("data"), new().then("fill #10000 #0")), 500_856);
        assert_eq!(between(p("cycles"), new().then("konst #1000")), 847);
        assert_eq!(between(p("best_effort"), new().then("konst #10")), 847);
        assert_eq!(between(p("on_cleanup '"), new()), 874);
        assert_eq!(between(p("perform"), new()), 5347);
    });
}

#[test]
fn dirty_heap_pages_are_charged_after_the_run() {
    on_stack(|| {
        for engine in engines() {
            let mut canister = Canister::machine(&engine);
            canister.update(&p("konst #400 mem_grow msg_reply"));
            let mut cost = |program: P| canister.update(&program).1.instructions;
            let touch = |pages: u64, end: &str| p("touch #1179648").number(pages).then(end);
            let one = cost(touch(1, "msg_reply"));
            assert_eq!(cost(touch(100, "msg_reply")) - one, 100_584);
            assert_eq!(cost(touch(1000, "msg_reply")) - one, 1_014_984);
            let trapped = cost(touch(1, "trap"));
            assert_eq!(cost(touch(1000, "trap")) - trapped, 1_014_984);
            assert_eq!(cost(p("konst #100 mem_grow msg_reply")), cost(p("konst #0 mem_grow msg_reply")));
            let mut counted = |pages| numbers(&canister.update(&touch(pages, "perf #0 push reply")).0)[0];
            assert_eq!(counted(1000) - counted(1), 15_984);
        }
    });
}

#[test]
fn a_bulk_operation_larger_than_a_slice_is_refused() {
    let source = r#"(module (memory 40000)
        (func (export "canister_update big") (memory.fill (i32.const 0) (i32.const 0) (i32.const 2000000001)))
        (func (export "canister_update out_of_bounds") (memory.fill (i32.const -1) (i32.const 0) (i32.const 2))))"#;
    let mut canister = Canister::new(Engine::shared(), source);
    let (_, executed) = canister.run("canister_update big", system(Context::Update));
    assert_eq!(
        message(&executed),
        "Canister attempted to perform a large memory operation that used 2000000001 instructions and exceeded the \
         slice limit 2000000000."
    );
    assert!(executed.instructions < 200);
    let (_, executed) = canister.run("canister_update out_of_bounds", system(Context::Update));
    assert_eq!(message(&executed), "Canister trapped: heap out of bounds");
}

#[test]
fn the_limit_of_instructions_ends_loops_and_recursion() {
    let source = r#"(module
        (func (export "canister_update endless") (loop $l (br $l)))
        (func $f (export "canister_update recursion") (call $g)) (func $g (if (i32.const 1) (then (call $g)))))"#;
    let mut canister = Canister::new(Engine::shared(), source);
    for method in ["endless", "recursion"] {
        let limited = System { instructions_max: 1_000, ..system(Context::Update) };
        let (_, executed) = canister.run(&format!("canister_update {method}"), limited);
        assert_eq!(
            message(&executed),
            "Canister exceeded the limit of 1000 instructions for single message execution."
        );
        assert_eq!(executed.instructions, 1_000);
    }
}

#[test]
fn leb128_numbers_keep_their_value() {
    for value in [0, 63, 64, -64, -65, 8191, i64::MAX, i64::MIN] {
        let mut bytes = Vec::new();
        signed(&mut bytes, value);
        assert_eq!(wasmparser::BinaryReader::new(&bytes, 0).read_var_i64().expect("a number"), value);
    }
}
