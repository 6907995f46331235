//! Install, upgrade, reinstall, chunks.

use ic_management_canister_types::CanisterInstallMode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::conformance::net::*;
use crate::conformance::program::*;

crate::conformance::cases!("install": instructions_accepted, init, init_fails, modes, upgrade_keeps_stable, upgrade_traps_roll_back, invalid_modules,
    chunks, from_a_canister, gzip);

fn init() -> Value {
    let net = net();
    let a = net.empty("a");
    let arg =
        p().inc(1).caller().size().set(2).argsize().set(3).replicated().set(4).time().set(5).clear().lit("hello").log();
    let size = arg.0.len() as u64;
    let result = net.try_install(a, machine(), arg.0);
    let slots = net.qnums(a, p().get(1).push().get(2).push().get(3).push().get(4).push().reply());
    json!({ "result": result, "runs_caller": slots[..2], "arg_is_all": slots[2] == size, "replicated": slots[3],
        "log": net.log_of(a) })
}

fn init_fails() -> Value {
    let net = net();
    let a = net.empty("a");
    let trap = net.try_install(a, machine(), p().konst(1).stable_grow().lit("no").trap().0);
    let status = net.status(a);
    let retry = net.try_install(a, machine(), vec![]);
    json!({ "trap": trap, "module_after": status["module"], "unreachable": net.try_install(net.empty("b"), machine(), p().unreachable().0),
        "retry": retry, "pages": net.qnums(a, p().stable_size().push().reply()) })
}

fn modes() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.empty("b"));
    net.up(a, p().konst(2).stable_grow().konst(9).set(1).msg_reply()).expect("set up");
    let install_again = net.try_install(a, machine(), vec![]);
    let upgrade_empty = net.try_upgrade(b, machine(), p());
    let reinstall_empty = done(net.install_mode(b, CanisterInstallMode::Reinstall, machine(), vec![]));
    let kept = net.slot(a, 1);
    let reinstall = done(net.install_mode(a, CanisterInstallMode::Reinstall, machine(), p().inc(2).0));
    let after = net.qnums(a, p().get(1).push().get(2).push().stable_size().push().reply());
    json!({ "install_again": install_again, "heap_kept": kept, "upgrade_empty": upgrade_empty, "reinstall_empty": reinstall_empty,
        "reinstall": reinstall, "after_reinstall": after })
}

fn upgrade_keeps_stable() -> Value {
    let net = net();
    let a = net.machine("a");
    let pre = p().lit("pre,").stable_write(100).status().set(9).caller().size().clear().push().stable_write(200);
    net.up(
        a,
        p().konst(1)
            .stable_grow()
            .clear()
            .lit("stable")
            .stable_write(0)
            .konst(7)
            .set(1)
            .konst(8)
            .gset()
            .hook(3, pre)
            .msg_reply(),
    )
    .expect("set up");
    let post =
        p().stable_read(0, 6).stable_read(100, 4).log().get(1).set(2).gget().set(3).inc(4).caller().size().set(5);
    let result = net.try_upgrade(a, machine(), post);
    let slots =
        net.qnums(a, (1..=5).fold(p(), |it, n| it.get(n).push()).stable_size().push().mem_size().push().reply());
    json!({ "result": result, "read_in_post_upgrade": net.log_of(a), "slots_1_to_5_stable_and_heap_pages": slots })
}

fn upgrade_traps_roll_back() -> Value {
    let net = net();
    let a = net.machine("a");
    let state = || net.qnums(a, p().get(1).push().stable_read(0, 8).stable_size().push().reply());
    let pre = p().konst(5).stable_grow().konst(50).clear().push().stable_write(0);
    net.up(a, p().konst(1).stable_grow().konst(7).set(1).push().clear().hook(3, pre.clone()).msg_reply())
        .expect("set up");
    let before = state();
    let post_trap = net.try_upgrade(a, machine(), p().konst(9).clear().push().stable_write(0).lit("post").trap());
    let after_post = state();
    net.up(a, p().hook(3, p().clear().lit("pre").trap()).msg_reply()).expect("set up");
    let pre_trap = net.try_upgrade(a, machine(), p());
    let after_pre = state();
    let invalid = net.try_upgrade(a, vec![1, 2, 3], p());
    json!({ "before": before, "post_trap": post_trap, "after_post": after_post, "pre_trap": pre_trap, "after_pre": after_pre,
        "invalid": invalid, "still_serves": state() })
}

fn invalid_modules() -> Value {
    let net = net();
    let a = net.empty("a");
    let mut out = serde_json::Map::new();
    let sources = [
        ("empty_module", "(module)"),
        ("unknown_function", r#"(module (import "ic0" "no_such_function" (func)))"#),
        ("unknown_module", r#"(module (import "env" "time" (func (result i64))))"#),
        ("wrong_signature", r#"(module (import "ic0" "time" (func (result i32))))"#),
        (
            "update_and_query",
            r#"(module (func $f) (export "canister_update x" (func $f)) (export "canister_query x" (func $f)))"#,
        ),
        ("init_with_parameter", r#"(module (func (export "canister_init") (param i32)))"#),
        ("reserved_export", r#"(module (func (export "canister_nonsense")))"#),
        ("two_memories", r#"(module (memory 1) (memory 1))"#),
        ("imported_memory", r#"(module (import "ic0" "memory" (memory 1)))"#),
        ("memory_too_large", r#"(module (memory 65537))"#),
        ("start_traps", r#"(module (func $f unreachable) (start $f))"#),
        ("data_out_of_bounds", r#"(module (memory 1) (data (i32.const 65530) "0123456789"))"#),
        ("shared_memory", r#"(module (memory 1 2 shared))"#),
    ];
    for (name, source) in sources {
        let result = match wat::parse_str(source) {
            Ok(wasm) => net.install_mode(a, CanisterInstallMode::Reinstall, wasm, vec![]),
            Err(e) => {
                out.insert(name.to_string(), json!(e.to_string()));
                continue;
            }
        };
        // The engine's own words are not part of the observation.
        out.insert(
            name.to_string(),
            match result {
                Ok(_) => json!("ok"),
                Err(e) => json!([format!("{:?}", e.reject_code), format!("{:?}", e.error_code)]),
            },
        );
    }
    out.insert("not_wasm".into(), net.try_upgrade(a, b"hello".to_vec(), p())["error_code"].clone());
    out.insert(
        "no_bytes".into(),
        done(net.install_mode(a, CanisterInstallMode::Reinstall, vec![], vec![]))["error_code"].clone(),
    );
    Value::Object(out)
}

fn chunks() -> Value {
    let net = net();
    let (a, store) = (net.empty("a"), net.empty("store"));
    let wasm = machine();
    let (head, tail) = wasm.split_at(wasm.len() / 2);
    let hash = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    let first = net.upload_chunk(store, None, head.to_vec()).expect("uploads");
    let second = net.upload_chunk(store, None, tail.to_vec()).expect("uploads");
    let twice = net.upload_chunk(store, None, head.to_vec()).expect("uploads");
    let count = net.stored_chunks(store, None).expect("lists").len();
    let too_large = unit(net.upload_chunk(store, None, vec![0; (1 << 20) + 1]));
    let largest = unit(net.upload_chunk(store, None, vec![0; 1 << 20]));
    let list = vec![first.clone(), second.clone()];
    let install = |list: Vec<Vec<u8>>, whole: Vec<u8>| {
        unit(net.install_chunked_canister(a, None, CanisterInstallMode::Reinstall, store, list, whole, p().inc(1).0))
    };
    let wrong_hash = install(list.clone(), vec![7; 32])["error_code"].clone();
    let missing_chunk = install(vec![first.clone(), vec![9; 32]], hash(&wasm))["error_code"].clone();
    let good = install(list.clone(), hash(&wasm));
    let stranger = unit(net.upload_chunk(store, Some(user(1)), vec![1]));
    net.clear_chunk_store(store, None).expect("clears");
    let after_clear = net.stored_chunks(store, None).expect("lists").len();
    let gone = install(list, hash(&wasm))["error_code"].clone();
    json!({
        "hashes": [first == hash(head), second == hash(tail), twice == first], "stored": count,
        "too_large": too_large["error_code"], "largest": largest, "wrong_hash": wrong_hash, "missing_chunk": missing_chunk,
        "installed": good, "runs": net.slot(a, 1), "stranger": stranger, "after_clear": after_clear, "install_after_clear": gone,
    })
}

fn from_a_canister() -> Value {
    let net = net();
    let (a, b) = (net.machine("a"), net.empty("b"));
    let args = |mode: CanisterInstallMode| {
        encode(ic_management_canister_types::InstallCodeArgs {
            mode,
            canister_id: b,
            wasm_module: machine(),
            arg: p().inc(1).caller().log().0,
            sender_canister_version: None,
        })
    };
    // The argument is longer than a program may be, so the machine gets it by a hook that is asked to send on.
    let send = |arg: Vec<u8>| {
        let forward = p().call([], "install_code", on_reply(), on_reject()).arg().data().perform();
        net.up(a, p().hook(5, forward).msg_reply()).expect("set up");
        report(net.update_call(a, ANONYMOUS, "hooked", arg))
    };
    let not_controller = send(args(CanisterInstallMode::Install));
    net.set_controllers(b, None, vec![a]).expect("sets");
    let installed = send(args(CanisterInstallMode::Install));
    let again = send(args(CanisterInstallMode::Install));
    let upgraded = send(args(CanisterInstallMode::Upgrade(None)));
    let caller = net.q(b, p().getlog().reply()).expect("a log");
    json!({ "not_controller": not_controller, "installed": installed, "again": again, "upgraded": upgraded,
        "post_upgrade_caller_is_a": caller == a.as_slice(), "runs": net.slot(b, 1) })
}

fn gzip() -> Value {
    let net = net();
    let a = net.empty("a");
    let packed = include_bytes!("../probe.wasm.gz").to_vec();
    let result = net.try_install(a, packed.clone(), encode(Some("packed")));
    let reply = net.update_call(a, ANONYMOUS, "heap_get", encode_nothing()).expect("replies");
    let broken = net.try_upgrade(a, packed[..packed.len() / 2].to_vec(), p());
    json!({ "result": result, "greeting": candid::decode_one::<String>(&reply).expect("text"),
        "broken_error_code": broken["error_code"] })
}

pub fn encode_nothing() -> Vec<u8> {
    candid::encode_args(()).expect("candid")
}

/// Which proposals beyond the first version of WebAssembly a module may use.
fn instructions_accepted() -> Value {
    let net = net();
    let a = net.empty("a");
    let mut out = serde_json::Map::new();
    for (name, code) in [
        ("table.get", "(drop (table.get $t (i32.const 0)))"),
        ("table.set", "(table.set $t (i32.const 0) (ref.null func))"),
        ("table.set_ref_func", "(table.set $t (i32.const 0) (ref.func $f))"),
        ("table.size", "(drop (table.size $t))"),
        ("table.grow", "(drop (table.grow $t (ref.null func) (i32.const 1)))"),
        ("table.fill", "(table.fill $t (i32.const 0) (ref.null func) (i32.const 1))"),
        ("table.copy", "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 1))"),
        ("table.init", "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))"),
        ("elem.drop", "(elem.drop $e)"),
        ("ref.is_null", "(drop (ref.is_null (ref.null func)))"),
        ("externref", "(drop (ref.null extern))"),
        ("memory.init", "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))"),
        ("data.drop", "(data.drop $d)"),
        ("memory.fill", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 1))"),
        ("simd", "(drop (i32x4.add (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))"),
        ("relaxed_simd", "(drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0)))"),
        ("sign_extension", "(drop (i32.extend8_s (i32.const 1)))"),
        ("saturating", "(drop (i32.trunc_sat_f32_s (f32.const 1)))"),
        ("multi_value", "(block (result i32 i32) (i32.const 1) (i32.const 2)) (drop) (drop)"),
        ("return_call", "(return_call $f)"),
        ("typed_call", "(call_ref $v (ref.func $f))"),
        ("atomics", "(drop (i32.atomic.load (i32.const 0)))"),
        ("wide_arithmetic", "(i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)) (drop) (drop)"),
        ("exceptions", "(block $b (try_table (catch_all $b)))"),
    ] {
        let source = format!(
            r#"(module (memory 1) (data $d "abc") (table $t 4 funcref) (elem $e func $f) (type $v (func)) (func $f)
            (func (export "canister_update run") {code}))"#
        );
        let wasm = wat::parse_str(&source).unwrap_or_else(|e| panic!("{name}: {e}"));
        let result = done(net.install_mode(a, CanisterInstallMode::Reinstall, wasm, vec![]));
        out.insert(name.to_string(), result.get("error_code").cloned().unwrap_or(result));
    }
    let memory64 = wat::parse_str(
        "(module (memory i64 1) (func (export \"canister_update run\") (drop (i32.load (i64.const 0)))))",
    )
    .expect("wat");
    out.insert("memory64".into(), done(net.install_mode(a, CanisterInstallMode::Reinstall, memory64, vec![])));
    Value::Object(out)
}
