use proptest::prelude::*;

use super::*;
use crate::errors::ErrorCode;
use crate::wasm::engine::Engine;
use crate::wasm::runtime::Runtime;
use crate::wasm::stable::StableMemory;
use crate::wasm::system::{Context, Entry};
use crate::wasm::testing::{self, MACHINE};

fn install(wat: &str) -> Result<(), ErrorCode> {
    let wasm = wat::parse_str(wat).expect("a module in text");
    let (module, _) = Engine::shared().compile(&wasm).map_err(|trap| trap.code)?;
    Runtime::new(module, StableMemory::new()).map(drop).map_err(|trap| trap.code)
}

#[test]
fn proposals_are_accepted_as_recorded() {
    for (accepted, code) in [
        (true, "(drop (table.get $t (i32.const 0)))"),
        (false, "(table.set $t (i32.const 0) (ref.null func))"),
        (true, "(drop (table.size $t))"),
        (false, "(drop (table.grow $t (ref.null func) (i32.const 1)))"),
        (false, "(table.fill $t (i32.const 0) (ref.null func) (i32.const 1))"),
        (false, "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 1))"),
        (false, "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))"),
        (true, "(elem.drop $e)"),
        (true, "(drop (ref.is_null (ref.null func)))"),
        (true, "(drop (ref.null extern))"),
        (true, "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))"),
        (true, "(data.drop $d)"),
        (true, "(memory.fill (i32.const 0) (i32.const 0) (i32.const 1))"),
        (true, "(drop (i32x4.add (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))"),
        (false, "(drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0)))"),
        (true, "(drop (i32.extend8_s (i32.const 1)))"),
        (true, "(drop (i32.trunc_sat_f32_s (f32.const 1)))"),
        (true, "(block (result i32 i32) (i32.const 1) (i32.const 2)) (drop) (drop)"),
        (true, "(return_call $f)"),
        (false, "(call_ref $v (ref.func $f))"),
        (false, "(drop (i32.atomic.load (i32.const 0)))"),
        (false, "(i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)) (drop) (drop)"),
        (false, "(block $b (try_table (catch_all $b)))"),
    ] {
        let source = format!(
            r#"(module (memory 1) (data $d "abc") (table $t 4 funcref) (elem $e func $f) (type $v (func)) (func $f)
            (func (export "canister_update run") {code}))"#
        );
        let expected = if accepted { Ok(()) } else { Err(ErrorCode::CanisterInvalidWasm) };
        assert_eq!(install(&source), expected, "{code}");
    }
    let memory64 = r#"(module (memory i64 1) (func (export "canister_update run") (drop (i32.load (i64.const 0)))))"#;
    assert_eq!(install(memory64), Ok(()));
}

#[test]
fn modules_are_refused_as_recorded() {
    for source in [
        r#"(module (import "ic0" "no_such_function" (func)))"#,
        r#"(module (import "env" "time" (func (result i64))))"#,
        r#"(module (import "ic0" "time" (func (result i32))))"#,
        r#"(module (func $f) (export "canister_update x" (func $f)) (export "canister_query x" (func $f)))"#,
        r#"(module (func (export "canister_init") (param i32)))"#,
        r#"(module (func (export "canister_nonsense")))"#,
        r#"(module (memory 1) (memory 1))"#,
        r#"(module (import "ic0" "memory" (memory 1)))"#,
        r#"(module (memory 65537))"#,
        r#"(module (memory 1) (data (i32.const 65530) "0123456789"))"#,
        r#"(module (memory 1 2 shared))"#,
        r#"(module (func (export "canopy:counter")))"#,
        r#"(module (table 1000001 funcref))"#,
        r#"(module (memory i64 98305))"#,
        r#"(module (global (mut funcref) (ref.null func)))"#,
        r#"(module (memory i64 1) (import "ic0" "stable_size" (func (result i32))))"#,
        r#"(module (@custom "icp:public a" "") (@custom "icp:private a" ""))"#,
        r#"(module (@custom "icp:secret a" ""))"#,
    ] {
        let source = if source.contains("(import") && source.contains("(memory i64") {
            r#"(module (import "ic0" "stable_size" (func (result i32))) (memory i64 1))"#
        } else {
            source
        };
        assert_eq!(install(source), Err(ErrorCode::CanisterInvalidWasm), "{source}");
    }
    assert_eq!(install("(module)"), Ok(()));
    assert_eq!(install("(module (func $f unreachable) (start $f))"), Ok(()));
    for bytes in [&b""[..], b"not wasm"] {
        let trap = Engine::shared().compile(bytes).map(drop).expect_err("no module");
        assert_eq!(trap.code, ErrorCode::CanisterInvalidWasm);
    }
}

#[test]
fn limits_of_counts_hold() {
    let functions = |count: usize| format!("(module {})", "(func)".repeat(count));
    assert_eq!(install(&functions(FUNCTIONS_MAX + 1)), Err(ErrorCode::CanisterInvalidWasm));
    let globals = |count: usize| format!("(module {})", "(global i32 (i32.const 0))".repeat(count));
    assert_eq!(install(&globals(GLOBALS_MAX)), Ok(()));
    assert_eq!(install(&globals(GLOBALS_MAX + 1)), Err(ErrorCode::CanisterInvalidWasm));
    let methods = |count: usize| {
        let exports: String = (0..count).map(|n| format!(r#"(export "canister_update m{n}" (func $f))"#)).collect();
        format!("(module (func $f) {exports})")
    };
    assert_eq!(install(&methods(METHODS_MAX)), Ok(()));
    assert_eq!(install(&methods(METHODS_MAX + 1)), Err(ErrorCode::CanisterInvalidWasm));
}

#[test]
fn custom_sections_are_told_apart() {
    let source = r#"(module (@custom "icp:public candid:service" "service") (@custom "icp:private note" "x") (@custom "name" ""))"#;
    let facts = validate(&wat::parse_str(source).expect("text")).expect("valid");
    let sections: Vec<_> = facts.custom_sections.iter().map(|(name, s)| (name.as_str(), s.public)).collect();
    assert_eq!(sections, [("candid:service", true), ("note", false)]);
    assert_eq!(facts.custom_section_bytes, 14 + 7 + 4 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Bytes changed at random either don't make a module, or one that runs to an answer or a trap.
    #[test]
    fn mutated_modules_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let text = MACHINE.replace("@on_reply@", "1").replace("@on_reject@", "1").replace("@on_cleanup_cb@", "1");
        let mut wasm = wat::parse_str(&text).expect("the machine");
        for (index, byte) in changes {
            let at = index.index(wasm.len());
            wasm[at] = byte;
        }
        testing::on_stack(move || {
            let Ok((module, _)) = Engine::shared().compile(&wasm) else { return };
            let Ok(mut runtime) = Runtime::new(module, StableMemory::new()) else { return };
            let mut system = testing::system(Context::Update);
            system.instructions_max = 100_000;
            system.argument = vec![0, 3, 0, 0, 0, b'a', b'b', b'c', 15];
            let (_, executed) = runtime.execute(&Entry::Export("canister_update update".into()), system);
            assert!(executed.instructions <= 100_000);
            runtime.rollback();
        });
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        wasm.extend(bytes);
        let _ = validate(&wasm);
    }
}
