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
