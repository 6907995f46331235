use super::*;
use crate::limits::QUEUE_SLOTS;
use crate::wasm::engine::Engine;
use crate::wasm::system::{Answer, Executed};
use crate::wasm::testing::*;

/// Imports one function and calls it with zeros in every context.
fn call_everywhere(name: &str) -> Vec<(Context, Result<(), Trap>)> {
    const CONTEXTS: [Context; 15] = [
        Context::Start,
        Context::Init,
        Context::PreUpgrade,
        Context::Update,
        Context::ReplicatedQuery,
        Context::Query,
        Context::CompositeQuery,
        Context::ReplyCallback,
        Context::RejectCallback,
        Context::CompositeReplyCallback,
        Context::CompositeRejectCallback,
        Context::Cleanup,
        Context::CompositeCleanup,
        Context::Inspect,
        Context::Task,
    ];
    let function = &table()[name];
    let ty = |letter: u8| if is_wide(letter, false) { "i64" } else { "i32" };
    let types = |letters: &str| letters.bytes().map(ty).collect::<Vec<_>>().join(" ");
    let zeros: String = function.parameters.bytes().map(|letter| format!("({}.const 0)", ty(letter))).collect();
    let result = function.result;
    let call = if result.is_empty() { format!("(call $f {zeros})") } else { format!("(drop (call $f {zeros}))") };
    let source = format!(
        r#"(module (import "ic0" "{name}" (func $f (param {}) (result {}))) (memory 1)
        (func (export "canister_update run") {call}))"#,
        types(function.parameters),
        types(result)
    );
    let mut canister = Canister::new(Engine::shared(), &source);
    CONTEXTS
        .into_iter()
        .map(|context| {
            let (_, executed) = canister.run("canister_update run", system(context));
            canister.runtime.rollback();
            (context, executed.result)
        })
        .collect()
}

#[test]
fn functions_run_in_their_contexts_only() {
    for (name, function) in table() {
        for (context, result) in call_everywhere(name) {
            let text =
                format!("Canister violated contract: \"ic0_{name}\" cannot be executed in {} mode", mode(context));
            let is_refused = matches!(&result, Err(trap) if trap.message == text);
            assert_eq!(is_refused, function.contexts.allowed & bit(context) == 0, "{name} in {context:?}: {result:?}");
        }
    }
}

#[test]
fn every_function_links_to_modules_of_both_widths() {
    for (name, function) in table() {
        for wasm64 in [false, true] {
            let types = |letters: &str| {
                letters.bytes().map(|l| if is_wide(l, wasm64) { " i64" } else { " i32" }).collect::<String>()
            };
            let source = format!(
                r#"(module (import "ic0" "{name}" (func (param {}) (result {}))) (memory {} 1))"#,
                types(function.parameters),
                types(function.result),
                if wasm64 { "i64" } else { "" }
            );
            let compiled = Engine::shared().compile(&wat::parse_str(source).expect("text"));
            assert_eq!(compiled.is_ok(), !(wasm64 && function.contexts.only_wasm32), "{name}");
        }
    }
}

fn run(words: &str, change: impl FnOnce(&mut System)) -> (System, Executed) {
    let mut canister = Canister::machine(Engine::shared());
    let mut system = System { argument: p(words).0, ..system(Context::Update) };
    change(&mut system);
    canister.run("canister_update update", system)
}

#[test]
fn replies_are_bounded_and_given_once() {
    on_stack(|| {
        let failed = |words: &str| message(&run(words, |_| {}).1);
        assert_eq!(run("fill #2097152 #1 reply", |_| {}).1.result, Ok(()));
        let too_large = "Canister violated contract: ic0.msg_reply_data_append: application payload size (2097153) \
                         cannot be larger than 2097152";
        assert_eq!(failed("fill #2097153 #1 reply"), too_large);
        assert_eq!(failed("fill #2097152 #1 append fill #1 #1 reply"), too_large);
        assert_eq!(failed("reply msg_reply"), "Canister violated contract: ic0.msg_reply: the call is already replied");
        assert_eq!(
            failed("reply lit 'x append"),
            "Canister violated contract: ic0.msg_reply_data_append: the call is already replied"
        );
        let (system, _) = run("lit 'no reject", |_| {});
        assert_eq!(system.answer, Some(Answer::Reject("no".into())));
        assert!(run("reply", |s| s.already_answered = true).1.result.is_err());
    });
}

#[test]
fn calls_are_built_step_by_step() {
    on_stack(|| {
        let (system, executed) = run(
            "call 'callee 'method ' ' on_cleanup ' lit 'data data konst #400 cycles konst #1000 best_effort perform push reply",
            |_| {},
        );
        assert_eq!(executed.result, Ok(()));
        assert_eq!(numbers(&system), [0]);
        let call = &system.calls[0];
        assert_eq!(
            (call.callee.as_slice(), call.method.as_str(), call.argument.as_slice()),
            (&b"callee"[..], "method", &b"data"[..])
        );
        assert_eq!((call.cycles, call.timeout_seconds), (400, Some(300)));
        assert!(call.cleanup.is_some());
        let price = system.fees.call(10, system.callback_instructions_max, false);
        assert_eq!(call.request_fee + call.prepaid_response + call.prepaid_callback, price);
        assert_eq!(system.account.balance, BALANCE - price - 400);
        for words in ["data", "perform", "cycles", "best_effort", "on_cleanup '"] {
            let executed = run(words, |_| {}).1;
            assert_eq!(executed.result.expect_err("no call").code, ErrorCode::CanisterContractViolation);
        }
    });
}

#[test]
fn an_unfinished_call_gives_its_cycles_back() {
    on_stack(|| {
        for words in ["", "call 'callee 'method ' ' perform"] {
            let words = format!("call 'callee 'method ' ' konst #400 cycles {words}");
            let (system, executed) = run(&words, |_| {});
            assert_eq!(executed.result, Ok(()));
            let spent: u128 =
                system.calls.iter().map(|c| c.request_fee + c.prepaid_response + c.prepaid_callback).sum();
            assert_eq!(system.account.balance, BALANCE - spent);
        }
    });
}

#[test]
fn call_perform_answers_2_when_something_is_missing() {
    on_stack(|| {
        let perform = |change: fn(&mut System)| {
            let (system, _) = run("call 'callee 'method ' ' konst #400 cycles perform push reply", change);
            (numbers(&system)[0], system.calls.len(), system.account.balance)
        };
        assert_eq!(perform(|s| s.callbacks_left = 0), (2, 0, BALANCE));
        assert_eq!(perform(|s| s.guaranteed_bytes_left = 1 << 20), (2, 0, BALANCE));
        assert_eq!(perform(|s| s.faults.fail_call_perform = Some(0)), (2, 0, BALANCE));
        assert_eq!(perform(|s| s.account.balance = 42_000_000_000), (2, 0, 42_000_000_000));
        let full = |s: &mut System| {
            s.outstanding = std::sync::Arc::new(BTreeMap::from([(Principal::from_slice(b"callee"), QUEUE_SLOTS)]));
        };
        assert_eq!(perform(full), (2, 0, BALANCE));
        assert_eq!(perform(|s| s.faults.fail_call_perform = Some(1)).0, 0);
        assert!(run("call 'callee 'method ' ' konst #99999999999999999 cycles", |_| {}).1.result.is_err());
    });
}

#[test]
fn cycles_move_without_loss() {
    on_stack(|| {
        let (system, _) = run("konst #200 accept konst #1000 accept push reply", |_| {});
        assert_eq!((numbers(&system)[0], system.account.available, system.account.accepted), (300, 0, 500));
        assert_eq!(system.account.balance, BALANCE + 500);
        let (system, _) = run("konst #18446744073709551615 burn push liquid push reply", |_| {});
        assert_eq!(system.account.balance + system.account.burned, BALANCE);
        assert_eq!(numbers(&system)[1], 0);
    });
}

#[test]
fn stable_memory_grows_within_its_rules() {
    on_stack(|| {
        let grow = |pages: u64, change: fn(&mut System)| {
            let (system, executed) = run(&format!("konst #{pages} stable_grow push reply"), change);
            executed.result.map(|()| numbers(&system)[0]).map_err(|trap| trap.code)
        };
        assert_eq!(grow(0, |_| {}), Ok(0));
        assert_eq!(grow(500 * 1024 * 16 + 1, |_| {}), Ok(u64::MAX));
        assert_eq!(grow(1 << 40, |_| {}), Ok(u64::MAX));
        assert_eq!(grow(1_600, |s| s.memory.memory_allocation_bytes = 64 << 20), Ok(u64::MAX));
        assert_eq!(grow(1_600, |s| s.memory.subnet.bytes_max = 1), Ok(u64::MAX));
        assert_eq!(grow(1_600, |s| s.account.balance = 1_000_000), Err(ErrorCode::InsufficientCyclesInMemoryGrow));
        assert_eq!(grow(1, |s| s.faults.fail_stable_grow = true), Ok(u64::MAX));
        assert_eq!(grow(1, |s| s.faults.trap_stable_grow = true), Err(ErrorCode::InsufficientCyclesInMemoryGrow));
        let (system, _) = run("konst #16 stable_grow", |_| {});
        assert_eq!(system.account.idle.memory_bytes, 2 << 20);
        let over = |s: &mut System| s.memory.stable_bytes_per_message_max = 8192;
        let (_, executed) = run("konst #1 stable_grow clear fill #8193 #1 stable_write #0", over);
        assert_eq!(executed.result.expect_err("three pages").code, ErrorCode::CanisterMemoryAccessLimitExceeded);
    });
}

#[test]
fn counters_count_this_message_and_its_context() {
    on_stack(|| {
        let (system, _) = run("perf #0 push perf #1 push reply", |_| {});
        let seen = numbers(&system);
        assert!(seen[1] > seen[0] + 10_000);
    });
}

#[test]
fn variables_and_keys_are_copied_out() {
    let source = r#"(module
        (import "ic0" "env_var_count" (func $count (result i32)))
        (import "ic0" "env_var_name_copy" (func $name (param i32 i32 i32 i32)))
        (import "ic0" "env_var_value_copy" (func $value (param i32 i32 i32 i32 i32)))
        (import "ic0" "root_key_size" (func $key (result i32)))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (import "ic0" "msg_reply" (func $reply))
        (memory 1)
        (func (export "canister_update run")
            (i32.store8 (i32.const 0) (call $count))
            (i32.store8 (i32.const 1) (call $key))
            (call $name (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 4))
            (call $value (i32.const 2) (i32.const 4) (i32.const 6) (i32.const 1) (i32.const 3))
            (call $append (i32.const 0) (i32.const 9)) (call $reply))
        (func (export "canister_update beyond")
            (call $value (i32.const 2) (i32.const 4) (i32.const 6) (i32.const 1) (i32.const 4)))
        (func (export "canister_update outside")
            (call $name (i32.const 0) (i32.const 65535) (i32.const 0) (i32.const 4))))"#;
    let mut canister = Canister::new(Engine::shared(), source);
    let (after, _) = canister.run("canister_update run", system(Context::Update));
    assert_eq!(after.answer, Some(Answer::Reply(b"\x01\x85HOMEere".to_vec())));
    let (_, executed) = canister.run("canister_update beyond", system(Context::Update));
    assert_eq!(executed.result.expect_err("beyond").code, ErrorCode::CanisterContractViolation);
    let (_, executed) = canister.run("canister_update outside", system(Context::Update));
    assert_eq!(message(&executed), "Canister trapped: heap out of bounds");
}

#[test]
fn charges_count_to_the_limit_of_a_message() {
    on_stack(|| {
        let (_, executed) = run("fill #2000000 #1 append", |s| s.instructions_max = 50_000_000);
        assert_eq!(executed.result.expect_err("too much").code, ErrorCode::CanisterInstructionLimitExceeded);
        assert_eq!(executed.instructions, 50_000_000);
    });
}
