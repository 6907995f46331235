//! An ordinary Rust canister, by its exact bytes (probe.wasm.gz).

use candid::utils::ArgumentEncoder;
use candid::{CandidType, Decode, Encode};
use serde_json::{Value, json};

use crate::conformance::net::*;

crate::conformance::cases!("probe": calls_between, errors_mapped, panics, map_instructions, timer_once, timer_interval,
    spawned_calls, instructions_of_decoding);

pub fn probe(net: &Net, name: &str) -> Id {
    let id = net.empty(name);
    net.install_canister(id, WASM.to_vec(), Encode!(&Option::<String>::None).expect("candid"), None);
    id
}

pub const WASM: &[u8] = include_bytes!("../probe.wasm.gz");

pub fn update<A: ArgumentEncoder>(net: &Net, id: Id, method: &str, args: A) -> Reply {
    net.update_call(id, ANONYMOUS, method, candid::encode_args(args).expect("candid"))
}
pub fn query<A: ArgumentEncoder>(net: &Net, id: Id, method: &str, args: A) -> Reply {
    net.query_call(id, ANONYMOUS, method, candid::encode_args(args).expect("candid"))
}
pub fn string(reply: Reply) -> Value {
    match reply {
        Ok(bytes) => json!(norm(&Decode!(&bytes, String).expect("text"))),
        Err(e) => rejection(&e),
    }
}
pub fn number(reply: Reply) -> u64 {
    Decode!(&reply.expect("a reply"), u64).expect("a number")
}
pub fn steps(net: &Net, id: Id) -> Vec<String> {
    Decode!(&query(net, id, "steps", ()).expect("a reply"), Vec<String>).expect("a list")
}

fn calls_between() -> Value {
    let net = net();
    let (a, b) = (probe(&net, "a"), probe(&net, "b"));
    let call = |bounded: bool, cycles: u128| string(update(&net, a, "call", (b, "greet", bounded, cycles)));
    json!({
        "bounded": call(true, 0), "unbounded": call(false, 0), "with_cycles": call(true, 500), "with_more": call(false, 5_000),
        "self": string(update(&net, a, "call", (a, "greet", true, 0u128))),
        "steps": steps(&net, a).len(),
        "parallel_40": Decode!(&update(&net, a, "parallel", (b, 40u32)).expect("a reply"), u32).expect("a number"),
    })
}

fn errors_mapped() -> Value {
    let net = net();
    let (a, b, empty) = (probe(&net, "a"), probe(&net, "b"), net.empty("empty"));
    let call = |callee: Id, method: &str, cycles: u128| {
        let text = string(update(&net, a, "call", (callee, method, true, cycles)));
        text.as_str().map(|t| json!(first_line(t))).unwrap_or(text)
    };
    let missing = call(b, "nope", 0);
    let rejected = call(b, "rejects", 0);
    let panicked = call(b, "panics", 0);
    let no_module = call(empty, "greet", 0);
    let poor = call(b, "greet", 200 * T);
    net.stop_canister(b, None).expect("stops");
    json!({ "missing_method": missing, "rejected": rejected, "panicked": panicked, "no_module": no_module,
        "too_many_cycles": poor, "stopped": call(b, "greet", 0) })
}

fn panics() -> Value {
    let net = net();
    let (a, b) = (probe(&net, "a"), probe(&net, "b"));
    let panic = string(update(&net, a, "panics", ("at the disco",)));
    let index = string(update(&net, a, "overflows", (3u8,)));
    let heap = string(update(&net, a, "heap_get", ()));
    let after_await = string(update(&net, a, "panic_after_await", (b,)));
    let logs = net.fetch_canister_logs(a, ANONYMOUS).expect("logs");
    let logs: Vec<String> = logs.iter().map(|r| text(r.content.split(|b| *b == b'\n').next().unwrap_or(&[]))).collect();
    json!({ "panic": panic, "index": index, "heap_kept": heap, "after_await": after_await, "steps": steps(&net, a), "logs": logs })
}

fn map_instructions() -> Value {
    let net = net();
    let a = probe(&net, "a");
    let fill = |from: u64, to: u64| number(update(&net, a, "map_fill", (from, to, 100u64)));
    let first = fill(0, 1);
    let hundred = fill(1, 101);
    let thousands = fill(101, 5_101);
    let again = fill(101, 201);
    let read = Decode!(&query(&net, a, "map_read", (0u64, 1_000u64)).expect("a reply"), u64, u64).expect("numbers");
    let missing = Decode!(&query(&net, a, "map_read", (1_000_000u64, 1_000_100u64)).expect("a reply"), u64, u64)
        .expect("numbers");
    json!({
        "first_put_instructions": first, "100_puts_instructions": hundred, "5000_puts_instructions": thousands,
        "overwrite_100_instructions": again, "found": read.0, "1000_gets_instructions": read.1,
        "missing_found": missing.0, "100_missing_instructions": missing.1,
        "len": number(query(&net, a, "map_len", ())),
        "stable_bytes": net.get_stable_memory(a).len(),
        "sort_2000_instructions": number(query(&net, a, "sort_cost", (2_000u64,))),
    })
}

pub fn fired(net: &Net, id: Id) -> u64 {
    number(query(net, id, "fired", ()))
}

fn timer_once() -> Value {
    let net = net();
    let a = probe(&net, "a");
    update(&net, a, "timer_once", (60u64,)).expect("set");
    update(&net, a, "timer_once", (90u64,)).expect("set");
    update(&net, a, "timer_once", (0u64,)).expect("set");
    net.ticks(5);
    let at_once = fired(&net, a);
    net.seconds(59);
    net.ticks(5);
    let at_59 = fired(&net, a);
    net.seconds(1);
    net.ticks(5);
    let at_60 = fired(&net, a);
    net.seconds(1000);
    net.ticks(5);
    json!({ "at_once": at_once, "59s": at_59, "60s": at_60, "1060s": fired(&net, a) })
}

fn timer_interval() -> Value {
    let net = net();
    let a = probe(&net, "a");
    update(&net, a, "timer_interval", (10u64,)).expect("set");
    let mut counts = vec![];
    for _ in 0..5 {
        net.seconds(10);
        net.ticks(5);
        counts.push(fired(&net, a));
    }
    net.seconds(100);
    net.ticks(5);
    counts.push(fired(&net, a));
    net.ticks(20);
    counts.push(fired(&net, a));
    net.seconds(9);
    net.ticks(5);
    counts.push(fired(&net, a));
    json!({ "counts": counts })
}

#[derive(CandidType)]
pub struct Record {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub tags: Vec<String>,
    pub expiry: Option<u64>,
}

fn spawned_calls() -> Value {
    let net = net();
    let (a, b) = (probe(&net, "a"), probe(&net, "b"));
    update(&net, a, "spawn", (b, 25u32)).expect("a reply");
    net.ticks(3);
    let all = fired(&net, a);
    update(&net, a, "spawn", (b, 600u32)).expect("a reply");
    net.ticks(10);
    json!({ "all_25": all, "of_600": fired(&net, a) - all })
}

fn instructions_of_decoding() -> Value {
    let net = net();
    let a = probe(&net, "a");
    let record =
        |n: usize| Record { key: vec![1; 32], value: vec![2; n], tags: vec!["x".to_string(); 3], expiry: Some(5) };
    let decode = |count: usize, size: usize| {
        let list: Vec<Record> = (0..count).map(|_| record(size)).collect();
        let reply = query(&net, a, "decode_cost", (list,)).expect("a reply");
        Decode!(&reply, u64, u64).expect("numbers").1
    };
    let (_, roundtrip) = net.spent(a, || update(&net, a, "roundtrip", (record(100_000),)).expect("a reply"));
    json!({ "none_instructions": decode(0, 0), "1x100_instructions": decode(1, 100), "100x1000_instructions": decode(100, 1_000),
        "1x1000000_instructions": decode(1, 1_000_000), "roundtrip_100kB_cycles": roundtrip })
}
