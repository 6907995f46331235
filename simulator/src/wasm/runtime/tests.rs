use super::*;
use crate::limits::GIB;
use crate::wasm::engine::Engine;
use crate::wasm::system::Closure;
use crate::wasm::system::Context;
use crate::wasm::testing::*;

const LOOK: &str = "get #1 push gget push stable_size push mem_size push reply";

#[test]
fn a_trap_restores_heap_globals_and_stable_memory() {
    on_stack(|| {
        for engine in engines() {
            let mut canister = Canister::machine(&engine);
            let set = |n: u64| p("konst").number(n).then("set #1 gset konst #1 stable_grow clear push stable_write #0");
            assert_eq!(canister.update(&set(1).then("reply")).1.result, Ok(()));
            let before = canister.query(&p(LOOK));
            let hash = canister.runtime.state_hash();
            let (_, executed) = canister.update(&set(2).then("konst #10 mem_grow trap"));
            assert_eq!(message(&executed), "Canister called `ic0.trap` with message: ''");
            assert_eq!(executed.heap_bytes, 27 * 65_536);
            assert_eq!(canister.query(&p(LOOK)), before);
            assert_eq!(before[2..], [1, 17]);
            assert_eq!(canister.runtime.state_hash(), hash);
            assert!(canister.update(&set(3).then("unreachable")).1.heap_pages_dirtied > 0);
            assert_eq!(canister.query(&p(LOOK)), before);
            assert_eq!(canister.runtime.state_hash(), hash);
        }
    });
}

#[test]
fn one_hash_in_so_many_is_taken() {
    on_stack(|| {
        let engine = engines().remove(0);
        let mut canister = Canister::machine(&engine);
        let mut hashes = Vec::new();
        for _ in 0..2 * STATE_HASH_EVERY {
            canister.update(&p("inc #1 reply"));
            hashes.push(canister.runtime.sampled_hash());
        }
        let taken: Vec<usize> = (0..hashes.len()).filter(|at| hashes[*at] != 0).collect();
        assert_eq!(taken, [0, STATE_HASH_EVERY as usize]);
        assert_ne!(hashes[taken[0]], hashes[taken[1]], "the state has changed meanwhile");
    });
}

#[test]
fn a_query_is_dropped_by_rollback() {
    on_stack(|| {
        for engine in engines() {
            let mut canister = Canister::machine(&engine);
            canister.update(&p("inc #1 reply"));
            let hash = canister.runtime.state_hash();
            let change = p("inc #1 push konst #7 gset konst #1 stable_grow konst #3 mem_grow reply");
            for _ in 0..3 {
                assert_eq!(canister.query(&change), [2]);
            }
            assert_eq!(canister.query(&p(LOOK)), [1, 0, 0, 17]);
            assert_eq!(canister.runtime.state_hash(), hash);
        }
    });
}

#[test]
fn executions_pending_together_are_dropped_together() {
    on_stack(|| {
        for engine in engines() {
            for grow in ["", "konst #2 mem_grow konst #1 stable_grow"] {
                let mut canister = Canister::machine(&engine);
                canister.update(&p("inc #1 msg_reply"));
                let hash = canister.runtime.state_hash();
                let run = |canister: &mut Canister, words: &str| {
                    let system = System { argument: p(words).0, ..system(Context::Update) };
                    canister.run("canister_update update", system).1.result
                };
                assert_eq!(run(&mut canister, &format!("inc #1 konst #3 gset {grow}")), Ok(()));
                assert_eq!(run(&mut canister, "inc #1"), Ok(()));
                assert!(run(&mut canister, &format!("inc #1 {grow} trap")).is_err());
                // The two before the trap are pending still.
                let (system, _) =
                    canister.run("canister_query query", System { argument: p(LOOK).0, ..system(Context::Query) });
                assert_eq!(numbers(&system)[..2], [3, 3]);
                canister.runtime.rollback();
                assert_eq!(canister.query(&p(LOOK)), [1, 0, 0, 17]);
                assert_eq!(canister.runtime.state_hash(), hash);
                assert_eq!(run(&mut canister, &format!("inc #1 {grow}")), Ok(()));
                assert_eq!(run(&mut canister, "inc #1"), Ok(()));
                canister.runtime.commit();
                assert_eq!(canister.query(&p(LOOK))[0], 3);
            }
        }
    });
}

#[test]
fn traps_have_the_recorded_texts() {
    on_stack(|| {
        let mut canister = Canister::machine(Engine::shared());
        for (words, text) in [
            ("unreachable", "unreachable"),
            ("div0", "integer division by 0"),
            ("oob", "heap out of bounds"),
            ("badcall", "table out of bounds"),
            ("deep", "stack overflow"),
            ("stable_read #0 #1", "stable memory out of bounds"),
            ("lit 'x stable_write #0", "stable memory out of bounds"),
        ] {
            let (_, executed) = canister.update(&p(words));
            assert_eq!(message(&executed), format!("Canister trapped: {text}"));
            assert_eq!(executed.result.expect_err("a trap").code, ErrorCode::CanisterTrapped);
        }
        assert_eq!(canister.update(&p("lit 'on reply")).1.result, Ok(()), "a kept instance works after any trap");
    });
}

#[test]
fn closures_run_by_number_and_type() {
    on_stack(|| {
        let source = r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (table funcref (elem $f $g))
            (func $f (param i32) (if (i32.eq (local.get 0) (i32.const 5)) (then (call $reply))))
            (func $g (param i64)))"#;
        let mut canister = Canister::new(Engine::shared(), source);
        let mut run = |function, env| {
            let entry = Entry::Closure(Closure { function, env });
            let (system, executed) = canister.runtime.execute(&entry, system(Context::ReplyCallback));
            (system.answer.is_some(), executed.result.map_err(|trap| trap.code))
        };
        assert_eq!(run(0, 5), (true, Ok(())));
        assert_eq!(run(0, 4), (false, Ok(())));
        assert_eq!(run(1, 5).1, Err(ErrorCode::CanisterContractViolation));
        assert_eq!(run(2, 5).1, Err(ErrorCode::CanisterFunctionNotFound));
        assert_eq!(run(u32::MAX.into(), 5).1, Err(ErrorCode::CanisterFunctionNotFound));
    });
}

#[test]
fn the_start_function_runs_as_an_entry() {
    let source = r#"(module (memory 1) (func $s (i32.store (i32.const 0) (i32.const 9))) (start $s))"#;
    let mut canister = Canister::new(Engine::shared(), source);
    assert_eq!(canister.runtime.heap_image().bytes[0], 0);
    let (_, executed) = canister.runtime.execute(&Entry::Start, system(Context::Start));
    assert_eq!((executed.result, executed.heap_pages_dirtied), (Ok(()), 1));
    assert_eq!(canister.runtime.heap_image().bytes[0], 9);
}

#[test]
fn heaps_grow_within_their_rules() {
    let source = r#"(module (memory 1 4) (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "msg_reply" (func $reply))
        (func (export "canister_update grow")
            (i64.store (i32.const 0) (i64.extend_i32_s (memory.grow (i32.const 2))))
            (i64.store (i32.const 8) (i64.extend_i32_s (memory.grow (i32.const 2))))
            (call $append (i32.const 0) (i32.const 16)) (call $reply)))"#;
    let source = source.replace("(memory 1 4) ", "").replace("(func (export", "(memory 1 4) (func (export");
    let mut canister = Canister::new(Engine::shared(), &source);
    let mut run = |change: &dyn Fn(&mut System)| {
        let mut system = system(Context::Update);
        change(&mut system);
        let (system, executed) = canister.run("canister_update grow", system);
        canister.runtime.rollback();
        executed.result.map(|()| numbers(&system)).map_err(|trap| trap.code)
    };
    assert_eq!(run(&|_| {}), Ok(vec![1, u64::MAX]));
    assert_eq!(run(&|s| s.memory.subnet.bytes_max = 100_000), Err(ErrorCode::CanisterOutOfMemory));
    assert_eq!(run(&|s| s.memory.memory_allocation_bytes = (1 << 20) + 1), Err(ErrorCode::CanisterOutOfMemory));
    assert_eq!(run(&|s| s.account.balance = 1), Err(ErrorCode::InsufficientCyclesInMemoryGrow));
    // Growth that begins below the threshold reserves for what lies above it.
    let reserve = |s: &mut System, lacking: u128| {
        s.memory.subnet.used_bytes = s.memory.subnet.reservation_threshold_bytes - (64 << 10);
        s.account.reserved_limit = s.memory.subnet.reservation(128 << 10, &s.fees);
        assert!(s.account.reserved_limit > 0);
        s.account.reserved_limit -= lacking;
    };
    assert_eq!(run(&|s| reserve(s, 1)), Err(ErrorCode::ReservedCyclesLimitExceededInMemoryGrow));
    assert_eq!(run(&|s| reserve(s, 0)), Ok(vec![1, u64::MAX]));
}

#[test]
fn the_wasm_memory_limit_is_checked_at_the_end() {
    on_stack(|| {
        let mut canister = Canister::machine(Engine::shared());
        let mut system = System { argument: p("konst #20 mem_grow reply").0, ..system(Context::Update) };
        system.memory.wasm_memory_limit_bytes = Some(2 << 20);
        let (_, executed) = canister.run("canister_update update", system);
        assert_eq!(executed.result.clone().expect_err("over").code, ErrorCode::CanisterWasmMemoryLimitExceeded);
        assert!(message(&executed).starts_with(
            "Canister exceeded its current Wasm memory limit of 2097152 bytes. The peak Wasm memory usage was 2424832 \
             bytes."
        ));
        assert_eq!(canister.runtime.heap_bytes(), 17 * 65_536);
    });
}

#[test]
fn images_restore_heap_and_globals() {
    on_stack(|| {
        for engine in engines() {
            let mut canister = Canister::machine(&engine);
            canister.update(&p("konst #7 set #1 gset konst #5 mem_grow msg_reply"));
            let (image, hash) = (canister.runtime.heap_image(), canister.runtime.state_hash());
            canister.update(&p("konst #8 set #1 gset konst #5 mem_grow msg_reply"));
            assert_ne!(canister.runtime.state_hash(), hash);
            canister.runtime.restore_heap(&image).expect("fits");
            assert_eq!(canister.query(&p("get #1 push gget push mem_size push reply")), [7, 7, 22]);
            assert_eq!(canister.runtime.state_hash(), hash);
            let broken = HeapImage { globals: vec![], ..image };
            assert_eq!(
                canister.runtime.restore_heap(&broken).expect_err("no globals").code,
                ErrorCode::CanisterContractViolation
            );
            assert_eq!(canister.runtime.state_hash(), hash);
        }
    });
}

#[test]
fn equal_histories_hash_equally_in_both_ways() {
    on_stack(|| {
        let hashes: Vec<u64> = engines()
            .iter()
            .map(|engine| {
                let mut canister = Canister::machine(engine);
                for n in 0..5 {
                    canister.update(&p("konst #1 stable_grow lit 'abc stable_write").number(n * 65_536).then("inc #3"));
                    canister.update(&p("inc #4 touch #1114112 #20 trap"));
                }
                canister.runtime.state_hash()
            })
            .collect();
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
    });
}

#[test]
fn dropped_segments_come_back_with_the_next_message() {
    let source = r#"(module (memory 1) (data $d "abc") (global $g (mut i32) (i32.const 0))
        (func (export "canister_update run")
            (memory.init $d (i32.const 0) (i32.const 0) (i32.const 3))
            (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (data.drop $d)))"#;
    let mut canister = Canister::new(Engine::shared(), source);
    for _ in 0..3 {
        assert_eq!(canister.run("canister_update run", system(Context::Update)).1.result, Ok(()));
    }
    canister.runtime.commit();
    assert_eq!(canister.runtime.heap_image().globals, [Global::I32(3)]);
}

#[test]
fn a_heap_of_64_bits_grows_to_six_gib() {
    let source = r#"(module (memory i64 1)
        (func (export "canister_update far")
            (drop (memory.grow (i64.const 98303)))
            (if (i64.ne (memory.grow (i64.const 1)) (i64.const -1)) (then unreachable))
            (i64.store (i64.const 6442450936) (i64.const 1))))"#;
    for engine in engines().into_iter().take(1) {
        let mut canister = Canister::new(&engine, source);
        let (_, executed) = canister.run("canister_update far", system(Context::Update));
        assert_eq!((executed.result, executed.heap_bytes, executed.heap_pages_dirtied), (Ok(()), 6 * GIB, 1));
        assert!(executed.instructions % 1_000_000 > 4_000, "a page costs four times as much");
        canister.runtime.rollback();
        assert_eq!(canister.runtime.heap_bytes(), 65_536);
    }
}
