use candid::Principal;

use super::*;
use crate::errors::RejectCode;
use crate::replica::state::{
    CallContext, CallOrigin, Callback, CallbackId, ContextId, Input, Output, Payload, Request, Settings,
};
use crate::wasm::system::Closure;

fn network() -> Instance {
    let spec = SubnetSpec {
        kind: SubnetKind::Application,
        instructions: InstructionProfile::Production,
        cost_schedule: CostSchedule::Normal,
        admins: vec![],
    };
    let config = NetworkConfig { subnets: vec![spec], initial_time_nanos: None, seed: 0, schedule: Schedule::Plain };
    Instance::new(config).expect("a valid configuration")
}

/// Adds an empty canister with open calls of bounded wait whose requests of these sizes wait in its queue.
fn caller(subnet: &mut SubnetState, sizes: &[usize]) -> Principal {
    let id = subnet.next_canister_id().expect("a free id");
    let mut canister = Canister::new(id, Settings::new([id].into()), subnet.time_nanos);
    let context = CallContext {
        origin: CallOrigin::System,
        available: 0,
        answered: false,
        deleted: false,
        open_callbacks: sizes.len(),
        instructions: 0,
        method: String::new(),
    };
    canister.contexts.insert(ContextId(0), context);
    for (number, bytes) in sizes.iter().enumerate() {
        let callback = CallbackId(number as u64);
        let closure = Closure { function: 0, env: 0 };
        let deadline_seconds = Some(u64::MAX >> 32);
        canister.callbacks.insert(
            callback,
            Callback {
                context: ContextId(0),
                callee: id,
                reply: closure,
                reject: closure,
                cleanup: None,
                cycles: 5,
                prepaid_response: 0,
                prepaid_callback: 0,
                deadline_seconds,
                answered: false,
            },
        );
        canister.add_outstanding(id);
        canister.queues.push_output(Output::Request(Request {
            sender: id,
            receiver: id,
            callback,
            method: String::new(),
            payload: vec![0; *bytes],
            cycles: 5,
            deadline_seconds,
            sent_nanos: 0,
        }));
    }
    subnet.ledger.minted += 5 * sizes.len() as u128;
    subnet.canisters.insert(id, canister);
    subnet.touch(id);
    subnet.settle_touched();
    id
}

#[test]
fn largest_messages_of_bounded_wait_are_shed_first() {
    let mut network = network();
    let subnet = &mut network.subnets[0];
    let a = caller(subnet, &[100, 300, 200]);
    let b = caller(subnet, &[250]);
    subnet.shed_above(850);
    assert_eq!(subnet.canisters[&a].queues.outputs[&a].len(), 3, "all fit");
    subnet.shed_above(300);
    let kept = |id: Principal| -> Vec<u64> {
        let outputs = subnet.canisters[&id].queues.outputs.values().flatten();
        let requests = outputs.filter_map(|output| match output {
            Output::Request(request) => Some(request.bytes()),
            Output::Response(_) => None,
        });
        requests.collect()
    };
    assert_eq!((kept(a), kept(b)), (vec![100, 200], vec![]));
    let told: Vec<_> = subnet.canisters[&b].queues.inputs().collect();
    let [Input::Response(response)] = told[..] else { panic!("one response: {told:?}") };
    assert_eq!(response.payload, Payload::Reject(RejectCode::SysUnknown, "Response was dropped.".to_string()));
    assert_eq!(subnet.ledger.lost, 10);
    network.check_invariants();
}

#[test]
fn system_subnets_allow_more() {
    let mut spec = SubnetSpec {
        kind: SubnetKind::Nns,
        instructions: InstructionProfile::Production,
        cost_schedule: CostSchedule::Normal,
        admins: vec![],
    };
    let of = |spec: &SubnetSpec| {
        let subnets = vec![spec.clone()];
        let config = NetworkConfig { subnets, initial_time_nanos: None, seed: 0, schedule: Schedule::Plain };
        Instance::new(config).expect("a valid configuration").subnets[0].config.limits
    };
    assert_eq!((of(&spec).update, of(&spec).install), (50_000_000_000, 1_000_000_000_000));
    spec.instructions = InstructionProfile::Benchmarking;
    assert_eq!(of(&spec), InstructionLimits::BENCHMARKING);
}

/// A call that makes a canister, so that running it twice shows.
fn creation() -> CanisterCall {
    CanisterCall {
        sender: Principal::anonymous(),
        canister_id: Principal::management_canister(),
        effective: EffectivePrincipal::None,
        method: "provisional_create_canister_with_cycles".to_string(),
        payload: candid::encode_one(ic_management_canister_types::ProvisionalCreateCanisterWithCyclesArgs::default())
            .expect("candid"),
    }
}

#[test]
fn message_is_known_as_long_as_it_could_be_sent_again() {
    const SECOND: u64 = 1_000_000_000;
    let mut network = network();
    let id = MessageId([7; 32]);
    let expiry_nanos = network.time_nanos() + 360 * SECOND;
    let send = |network: &mut Instance| {
        assert_eq!(network.submit_ingress_as(id, expiry_nanos, creation()), Ok(Ok(id)));
        network.tick();
        network.tick();
        network.tick();
    };
    for seconds in [0, 301, 58] {
        network.set_time(network.time_nanos() + seconds * SECOND).expect("later");
        send(&mut network);
        assert!(matches!(network.ingress_status(&id, None), Ok(IngressStatus::Replied(_))));
        assert_eq!(network.subnets[0].canisters.len(), 1, "it ran once");
    }
    network.set_time(expiry_nanos).expect("later");
    network.tick();
    assert_eq!(network.ingress_status(&id, None), Ok(IngressStatus::Unknown));
    send(&mut network);
    assert_eq!(network.subnets[0].canisters.len(), 1, "its time is over");
}

#[test]
fn answers_that_are_dropped_leave_their_ids() {
    let mut network = network();
    let subnet = &mut network.subnets[0];
    let ids = [MessageId([1; 32]), MessageId([2; 32]), MessageId([3; 32])];
    for id in ids {
        let ingress = Ingress {
            id,
            sender: Principal::anonymous(),
            receiver: Principal::management_canister(),
            method: String::new(),
            payload: Vec::new(),
            expiry_nanos: subnet.time_nanos + 1,
        };
        subnet.ingress_history.insert(id, crate::replica::state::IngressRecord::received(&ingress));
        subnet.record_answer(id, IngressStatus::Replied(vec![0; 400 << 20]));
    }
    subnet.prune_history();
    let is_done = |subnet: &SubnetState, id| matches!(subnet.ingress_history[&id].status, IngressStatus::Done);
    assert_eq!(ids.map(|id| is_done(subnet, id)), [true, false, false]);
    assert_eq!(subnet.answered_bytes, 800 << 20);
    subnet.time_nanos += 300 * 1_000_000_000;
    subnet.prune_history();
    assert!(subnet.ingress_history.is_empty());
    assert_eq!(subnet.answered_bytes, 0);
}
