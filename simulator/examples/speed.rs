//! Measures the simulator: messages per second, instances, canisters.
//!
//!     cargo run --release -p canopy-simulator --example speed [messages] [canisters]
//!
//! Ratios to a message that does nothing tell more than times, which belong to the machine.

use std::time::{Duration, Instant};

use candid::{Decode, Encode, Principal};
use canopy_simulator::chance::Schedule;
use canopy_simulator::instance::*;
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};

const MESSAGES: usize = 20_000;
const CANISTERS: usize = 1_000;
const ARGUMENT_BYTES: usize = 1_024;
const INSTANCES: usize = 20;
const CYCLES: u64 = 1_000_000_000_000_000_000;
/// Stack of the thread that runs canisters.
const STACK_BYTES: usize = 64 << 20;

/// `put` copies its argument to the heap and to one of 1,024 slots of stable memory; `relay` awaits a call to itself.
const CODE: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "canister_self_copy" (func $self (param i32 i32 i32)))
    (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 32)
    (data (i32.const 16) "noop")
    (table funcref (elem $reply_callback))
    (global $puts (mut i32) (i32.const 0))
    (func $reply_callback (param i32) (call $reply))
    (func (export "canister_init") (drop (call $grow (i64.const 64))))
    (func (export "canister_query read") (call $reply))
    (func (export "canister_update noop") (call $reply))
    (func (export "canister_update put")
        (call $copy (i32.const 4096) (i32.const 0) (call $size))
        (global.set $puts (i32.add (global.get $puts) (i32.const 1)))
        (call $write
            (i64.extend_i32_u (i32.mul (i32.and (global.get $puts) (i32.const 1023)) (i32.const 1024)))
            (i64.const 4096) (i64.extend_i32_u (call $size)))
        (call $reply))
    (func (export "canister_update relay")
        (call $self (i32.const 32) (i32.const 0) (i32.const 10))
        (call $new (i32.const 32) (i32.const 10) (i32.const 16) (i32.const 4)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (drop (call $perform))))"#;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let messages = arguments.next().unwrap_or(MESSAGES);
    let canisters = arguments.next().unwrap_or(CANISTERS);
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || measure(messages, canisters));
    thread.expect("a thread").join().expect("no panic");
}

fn measure(messages: usize, canisters: usize) {
    let wasm = wat::parse_str(CODE).expect("valid text");
    let begun = Instant::now();
    let mut net = network();
    println!("first instance (with the compiler)      {:>10.2?}", begun.elapsed());
    let begun = Instant::now();
    let id = canister(&mut net, &wasm);
    println!("first canister (compiled, installed)    {:>10.2?}", begun.elapsed());
    let begun = Instant::now();
    (0..INSTANCES).for_each(|_| drop(network()));
    println!("instance                                {:>10.2?}", begun.elapsed() / INSTANCES as u32);
    let begun = Instant::now();
    for _ in 0..INSTANCES {
        canister(&mut network(), &wasm);
    }
    println!("instance with a canister                {:>10.2?}", begun.elapsed() / INSTANCES as u32);

    let noop = update(&mut net, id, "noop", 0, messages);
    line("no-op, one per round", noop, noop);
    let value = update(&mut net, id, "put", ARGUMENT_BYTES, messages);
    line("put of 1 KiB, one per round", value, noop);
    let relayed = update(&mut net, id, "relay", 0, messages);
    line("call to itself and callback (3 messages)", relayed, noop);
    let crowd = batches(&mut net, id, "noop", messages);
    line("no-op, 500 per round", crowd, noop);
    let read = queries(&mut net, id, messages);
    line("query", read, noop);

    let begun = Instant::now();
    for _ in 0..canisters {
        canister(&mut net, &wasm);
    }
    println!("canister, {canisters} on one subnet{:>16}{:>10.2?}", "", begun.elapsed() / canisters.max(1) as u32);
    let many = update(&mut net, id, "noop", 0, messages.min(2_000));
    line("no-op, one per round, among them", many, noop);
}

fn network() -> Instance {
    let subnet = SubnetSpec {
        kind: SubnetKind::Application,
        instructions: InstructionProfile::Production,
        cost_schedule: CostSchedule::Normal,
        admins: vec![],
    };
    let config = NetworkConfig { subnets: vec![subnet], initial_time_nanos: None, seed: 0, schedule: Schedule::Plain };
    Instance::new(config).expect("a valid configuration")
}

fn call(canister: Principal, method: &str, payload: Vec<u8>) -> CanisterCall {
    CanisterCall {
        sender: Principal::anonymous(),
        canister_id: canister,
        effective: EffectivePrincipal::None,
        method: method.to_string(),
        payload,
    }
}

fn run(net: &mut Instance, call: CanisterCall) -> Vec<u8> {
    let id = net.submit_ingress(call).expect("well formed").expect("accepted");
    net.await_ingress(&id).expect("answered").expect("replied")
}

fn canister(net: &mut Instance, wasm: &[u8]) -> Principal {
    let management = Principal::management_canister();
    let create = ProvisionalCreateCanisterWithCyclesArgs { amount: Some(CYCLES.into()), ..Default::default() };
    let method = "provisional_create_canister_with_cycles";
    let reply = run(net, call(management, method, Encode!(&create).expect("candid")));
    let id = Decode!(&reply, CanisterIdRecord).expect("candid").canister_id;
    let install = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id: id,
        wasm_module: wasm.to_vec(),
        arg: vec![],
        sender_canister_version: None,
    };
    run(net, call(management, "install_code", Encode!(&install).expect("candid")));
    id
}

/// Returns the time of one message.
fn update(net: &mut Instance, id: Principal, method: &str, bytes: usize, messages: usize) -> Duration {
    let begun = Instant::now();
    for _ in 0..messages {
        run(net, call(id, method, vec![7; bytes]));
    }
    begun.elapsed() / messages as u32
}

fn batches(net: &mut Instance, id: Principal, method: &str, messages: usize) -> Duration {
    const BATCH: usize = 500;
    let begun = Instant::now();
    for _ in 0..messages.div_ceil(BATCH) {
        for _ in 0..BATCH {
            net.submit_ingress(call(id, method, vec![])).expect("well formed").expect("accepted");
        }
        net.tick();
    }
    begun.elapsed() / (messages.div_ceil(BATCH) * BATCH) as u32
}

fn queries(net: &mut Instance, id: Principal, messages: usize) -> Duration {
    let begun = Instant::now();
    for _ in 0..messages {
        net.query(call(id, "read", vec![])).expect("well formed").expect("answered");
    }
    begun.elapsed() / messages as u32
}

fn line(what: &str, time: Duration, noop: Duration) {
    let (per_second, ratio) = (1.0 / time.as_secs_f64(), time.as_secs_f64() / noop.as_secs_f64());
    println!("{what:<40}{time:>10.2?}  {per_second:>8.0} per second  {ratio:>6.2} of a no-op");
}
