//! Calls and queries: senders of every kind, replies, rejects, repetition, waiting.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use candid::{CandidType, Encode, Principal};
use ic_agent::Agent;
use ic_agent::agent::{CallResponse, RejectCode, RejectResponse};
use ic_agent::identity::AnonymousIdentity;
use tokio::runtime::Runtime;

use super::*;

#[derive(CandidType)]
struct Nothing {}

#[test]
fn agent_of_every_kind_of_key_calls_and_queries() {
    for live in [Live::alone(), Live::below_a_root()] {
        let agents = [
            live.agent(AnonymousIdentity),
            live.agent(owner_identity()),
            live.agent(secp256k1()),
            live.agent(p256()),
            live.agent(delegated()),
        ];
        for agent in agents {
            let sender = agent.get_principal().expect("a sender");
            assert_eq!(live.call(&agent, "whoami", &[]).expect("replied"), sender.as_slice());
            assert_eq!(live.query(&agent, "who_asks", &[]).expect("replied"), sender.as_slice());
        }
    }
}

#[test]
fn large_arguments_and_replies_pass() {
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let bytes: Vec<u8> = (0..1_900_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(live.call(&agent, "echo", &bytes).expect("replied"), bytes);
    assert_eq!(live.query(&agent, "look", &bytes).expect("replied"), bytes);
}

#[test]
fn rejects_carry_their_codes() {
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let of = |reject: RejectResponse| (reject.reject_code, reject.error_code.unwrap_or_default());
    let refused = certified_reject(live.call(&agent, "refuse", &[]));
    assert_eq!(refused.reject_message, "no, sir");
    assert_eq!(of(refused), (RejectCode::CanisterReject, "IC0406".to_string()));
    let failed = certified_reject(live.call(&agent, "fail", &[]));
    assert!(failed.reject_message.contains("no, sir"));
    assert_eq!(of(failed), (RejectCode::CanisterError, "IC0503".to_string()));
    let silent = certified_reject(live.call(&agent, "silent", &[]));
    assert_eq!(of(silent), (RejectCode::CanisterError, "IC0506".to_string()));
    let refused = uncertified_reject(live.query(&agent, "refuse_to_look", &[]));
    assert_eq!(of(refused), (RejectCode::CanisterReject, "IC0406".to_string()));
    let missing = uncertified_reject(live.query(&agent, "missing", &[]));
    assert_eq!(of(missing), (RejectCode::CanisterError, "IC0536".to_string()));
    live.net.stop_canister(live.canister, Some(owner())).expect("stops");
    let stopped = uncertified_reject(live.call(&agent, "count", &[]));
    assert_eq!(of(stopped), (RejectCode::CanisterError, "IC0508".to_string()));
}

#[test]
fn call_that_is_sent_again_runs_once() {
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let signed = agent.update(&live.canister, "count").sign().expect("signs").signed_update;
    for _ in 0..3 {
        let sent = live.runtime.block_on(agent.update_signed(live.canister, signed.clone())).expect("accepted");
        let CallResponse::Response(reply) = sent else { panic!("not answered: {sent:?}") };
        assert_eq!(number(&reply), 1);
    }
    let (status, _) = live.post(&format!("v2/canister/{}/call", live.canister), signed);
    assert_eq!(status, 202);
    assert_eq!(number(&live.call(&agent, "count", &[]).expect("replied")), 2);
}

#[test]
fn many_calls_at_once_are_all_answered() {
    const CALLS: u32 = 300;
    let live = Live::alone();
    let agent = live.agent(owner_identity());
    let calls = (0..CALLS).map(|_| {
        let (agent, canister) = (agent.clone(), live.canister);
        live.runtime.spawn(async move { agent.update(&canister, "count").call_and_wait().await })
    });
    let calls: Vec<_> = calls.collect();
    let mut counted: Vec<u32> = calls
        .into_iter()
        .map(|call| number(&live.runtime.block_on(call).expect("no panic").expect("replied")))
        .collect();
    counted.sort();
    assert_eq!(counted, (1..=CALLS).collect::<Vec<_>>());
}

#[test]
fn call_waits_for_the_rounds_of_others_and_not_for_ever() {
    let mut live = Live::alone();
    let agent = live.agent(owner_identity());
    live.net.stop_live();
    let id = live.canister;
    let url = format!("{}instances/{}/api/v4/canister/{id}/call", live.server.url(), live.net.instance_id());
    let send = |signed: Vec<u8>| {
        let request = reqwest::blocking::Client::new().post(&url).body(signed);
        std::thread::spawn(move || request.send().expect("an answer").status().as_u16())
    };
    let signed = || agent.update(&id, "count").sign().expect("signs");
    let first = send(signed().signed_update);
    for _ in 0..1_000 {
        if first.is_finished() {
            break;
        }
        live.net.tick();
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(first.join().expect("no panic"), 200);
    assert_eq!(send(signed().signed_update).join().expect("no panic"), 202, "nobody runs a round");
}

#[test]
fn management_canister_is_called_by_the_id_that_it_is_to_manage() {
    #[derive(CandidType)]
    struct Target {
        canister_id: Principal,
    }
    let live = Live::below_a_root();
    let agent = live.agent(owner_identity());
    let argument = Encode!(&Target { canister_id: live.canister }).expect("candid");
    let management = Principal::management_canister();
    let call = |method: &str, effective| {
        let call = agent.update(&management, method).with_arg(argument.clone());
        live.runtime.block_on(call.with_effective_canister_id(effective).call_and_wait())
    };
    call("stop_canister", live.canister).expect("its controller may");
    call("start_canister", live.canister).expect("its controller may");
    assert_eq!(http_refusal(call("stop_canister", live.subnet())).0, 400);
    let foreign = live.agent(secp256k1());
    let call = foreign.update(&management, "stop_canister").with_arg(argument.clone());
    let rejected = live.runtime.block_on(call.with_effective_canister_id(live.canister).call_and_wait());
    assert_eq!(uncertified_reject(rejected).error_code.as_deref(), Some("IC0512"));
    let argument = Encode!(&Nothing {}).expect("candid");
    // Below a root, no certificate of a subnet covers the management canister itself.
    let alone = Live::alone();
    for (live, effective) in [(&live, live.canister), (&alone, alone.canister), (&alone, management)] {
        let agent = live.agent(owner_identity());
        let call = agent.update(&management, "provisional_create_canister_with_cycles").with_arg(argument.clone());
        let created = live.runtime.block_on(call.with_effective_canister_id(effective).call_and_wait());
        created.expect("test networks create canisters for users");
    }
}

#[test]
fn program_makes_a_live_network_by_itself() {
    let binary = env!("CARGO_BIN_EXE_canopy-simulator");
    let mut program = Command::new(binary).args(["--live", "0"]).stdout(Stdio::piped()).spawn().expect("runs");
    let mut url = String::new();
    BufReader::new(program.stdout.take().expect("piped")).read_line(&mut url).expect("a line");
    let agent = Agent::builder().with_url(url.trim_end()).with_identity(owner_identity()).build().expect("an agent");
    let created = Runtime::new().expect("threads").block_on(async {
        agent.fetch_root_key().await?;
        let management = Principal::management_canister();
        let create = agent.update(&management, "provisional_create_canister_with_cycles");
        create.with_arg(Encode!(&Nothing {}).expect("candid")).call_and_wait().await
    });
    program.kill().expect("it runs");
    program.wait().expect("a child");
    created.expect("test networks create canisters for users");
}
