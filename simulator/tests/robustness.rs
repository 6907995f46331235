//! Input that no sane client sends: the simulator refuses it or bears it, and goes on.

use candid::Principal;
use canopy_simulator::chance::Schedule;
use canopy_simulator::errors::ErrorCode;
use canopy_simulator::instance::*;

use crate::conformance::program::machine;
use crate::network::{Net, on_stack};

const ANONYMOUS: Principal = Principal::anonymous();

fn net() -> Net {
    Net::new(1, 0, Schedule::Plain)
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

/// Installs a module on a new canister and returns how that is refused.
fn refusal(net: &mut Net, module: Vec<u8>) -> (ErrorCode, String) {
    let id = net.create(0);
    let error = net.install_on(id, module).expect_err("refused");
    net.install_on(id, wasm("(module)")).expect("the canister is as empty as before");
    (error.code, error.message)
}

fn update(canister: Principal, method: &str, payload: Vec<u8>) -> CanisterCall {
    let effective = EffectivePrincipal::None;
    CanisterCall { sender: ANONYMOUS, canister_id: canister, effective, method: method.into(), payload }
}

#[test]
fn modules_that_break_rules_are_refused() {
    on_stack(|| {
        let mut net = net();
        let long = format!("(module (func {}))", "nop ".repeat(1_000_001));
        let many = format!("(module {})", "(func)".repeat(50_001));
        for (module, words) in [
            (wasm(r#"(module (import "env" "exit" (func)))"#), "not exported by the runtime"),
            (wasm(r#"(module (import "ic0" "format_disk" (func)))"#), "not exported by the runtime"),
            (wasm(r#"(module (import "ic0" "msg_reply" (func (param i32))))"#), "another type"),
            (wasm(r#"(module (import "ic0" "memory" (memory 1)))"#), "not exported by the runtime"),
            (wasm(&long), "complexity 1000002"),
            (wasm(&many), "50001 functions"),
            (b"no wasm at all".to_vec(), "valid"),
            (Vec::new(), "valid"),
            ([&b"\x1f\x8b\x08"[..], &[0; 40]].concat(), ""),
        ] {
            let (code, message) = refusal(&mut net, module);
            assert_eq!(code, ErrorCode::CanisterInvalidWasm, "{message}");
            assert!(message.contains(words), "{words:?} in {message:?}");
        }
    });
}

#[test]
fn traps_and_loops_at_installation_leave_the_canister_empty() {
    on_stack(|| {
        let mut net = net();
        let start = wasm("(module (func $start unreachable) (start $start))");
        assert_eq!(refusal(&mut net, start).0, ErrorCode::CanisterTrapped);
        let segment = wasm(r#"(module (memory 1) (data (i32.const 65536) "x"))"#);
        assert_eq!(refusal(&mut net, segment).0, ErrorCode::CanisterInvalidWasm);
        let grows = r#"(module (memory 1) (func (export "canister_init")
            (loop $again (drop (memory.grow (i32.const 64)))
                (br_if $again (i32.lt_u (memory.size) (i32.const 65472)))) unreachable))"#;
        assert_eq!(refusal(&mut net, wasm(grows)).0, ErrorCode::CanisterTrapped);
        net.0.check_invariants();
    });
}

#[test]
fn inspection_without_end_is_cut_off() {
    on_stack(|| {
        let mut net = net();
        let module = r#"(module (func (export "canister_inspect_message") (loop $again (br $again)))
            (func (export "canister_update put")))"#;
        let id = net.install(0, wasm(module));
        let refused = net.0.submit_ingress(update(id, "put", vec![])).expect("well formed").expect_err("refused");
        assert_eq!(refused.code, ErrorCode::CanisterInstructionLimitExceeded);
    });
}

#[test]
fn growth_without_end_is_rolled_back() {
    on_stack(|| {
        let mut net = net();
        let module = r#"(module (import "ic0" "msg_reply" (func $reply)) (memory 1)
            (func (export "canister_update grow")
                (loop $again
                    (i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 1))
                    (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))))
            (func (export "canister_update reply") (call $reply)))"#;
        let id = net.install(0, wasm(module));
        let descriptors = open_descriptors();
        for _ in 0..3 {
            let message = net.submit(id, EffectivePrincipal::None, "grow", vec![]);
            let error = net.0.await_ingress(&message).expect("answered").expect_err("too much");
            assert_eq!(error.code, ErrorCode::CanisterWasmMemoryLimitExceeded, "{}", error.message);
        }
        let message = net.submit(id, EffectivePrincipal::None, "reply", vec![]);
        assert_eq!(net.0.await_ingress(&message), Ok(Ok(vec![])));
        assert!(open_descriptors() <= descriptors + 32, "other tests open some, this one none");
    });
}

#[test]
fn two_thousand_canisters_take_no_descriptors() {
    on_stack(|| {
        let mut net = net();
        let module = machine();
        net.install(0, module.clone());
        let descriptors = open_descriptors();
        let ids: Vec<Principal> = (0..2_000).map(|_| net.install(0, module.clone())).collect();
        assert!(open_descriptors() <= descriptors + 200, "other tests open some, this one none");
        net.0.check_invariants();
        let program = crate::conformance::program::p().lit("here").reply();
        assert_eq!(net.call(ids[1_999], program), Ok(b"here".to_vec()));
    });
}

/// Counts the descriptors of this process, where that can be known.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count())
}

#[test]
fn cycles_without_end_fit_the_books() {
    on_stack(|| {
        let mut net = net();
        let id = net.install(0, machine());
        let first = net.0.add_cycles(&id, u128::MAX).expect("a canister");
        let second = net.0.add_cycles(&id, u128::MAX).expect("a canister");
        assert!(first > u128::MAX >> 9);
        assert_eq!(first, second, "no more can be created");
        net.0.tick();
        net.0.check_invariants();
    });
}

#[test]
fn time_stays_where_deadlines_can_be_reckoned() {
    let mut net = net();
    net.0.set_time(u64::MAX).expect_err("too late");
    net.0.set_time(u64::MAX / 2).expect("late");
    on_stack(move || {
        net.0.tick();
        net.0.set_time(0).expect_err("the past");
    });
}

#[test]
fn unknown_canisters_and_subnets_are_bad_requests() {
    let mut net = net();
    let stranger = Principal::self_authenticating([7; 32]);
    assert!(net.0.submit_ingress(update(stranger, "put", vec![])).is_err());
    assert!(net.0.query(update(stranger, "get", vec![])).is_err());
    let call = CanisterCall { effective: EffectivePrincipal::SubnetId(stranger), ..update(stranger, "put", vec![]) };
    assert!(net.0.submit_ingress(call).is_err());
    assert!(net.0.await_ingress(&MessageId([9; 32])).is_err());
    let huge = update(Principal::management_canister(), "raw_rand", vec![0; 8 << 20]);
    assert!(net.0.submit_ingress(huge).is_err());
    assert_eq!(net.0.cycles(&stranger), None);
    assert_eq!(net.0.stable_memory(&stranger), None);
}
