//! Messages of bounded wait take no reserved memory; when they fill their share of the subnet, the largest are shed.

use candid::Principal;

use crate::limits::BEST_EFFORT_BYTES_PER_SUBNET;
use crate::replica::state::*;

/// What callers read of a response that was shed.
const SHED: &str = "Response was dropped.";

/// Bytes of a message of bounded wait in a queue; 0 for the others.
fn input_bytes(input: &Input) -> u64 {
    match input {
        Input::Request(request) if request.deadline_seconds.is_some() => request.bytes(),
        Input::Response(response) if input.deadline_seconds().is_some() => response.payload.bytes(),
        _ => 0,
    }
}

fn output_bytes(output: &Output) -> u64 {
    match output {
        _ if output.deadline_seconds().is_none() => 0,
        Output::Request(request) => request.bytes(),
        Output::Response(response) => response.payload.bytes(),
    }
}

impl SubnetState {
    /// Sheds messages of bounded wait, the largest first, until they fit their share of the subnet's memory.
    pub fn shed(&mut self) {
        self.shed_above(BEST_EFFORT_BYTES_PER_SUBNET);
    }

    pub fn shed_above(&mut self, bytes_max: u64) {
        let mut sizes: Vec<(u64, Principal)> = Vec::new();
        for id in &self.active {
            let Some(canister) = self.canisters.get(id) else { continue };
            let (inputs, outputs) = (canister.queues.inputs(), canister.queues.outputs.values().flatten());
            let bytes = inputs.map(input_bytes).chain(outputs.map(output_bytes));
            sizes.extend(bytes.filter(|bytes| *bytes > 0).map(|bytes| (bytes, *id)));
        }
        let mut total: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
        if total <= bytes_max {
            return;
        }
        sizes.sort_by_key(|(bytes, id)| (std::cmp::Reverse(*bytes), *id));
        for (bytes, id) in sizes {
            if total <= bytes_max {
                break;
            }
            total -= bytes;
            self.shed_one(id, bytes);
        }
    }

    /// Sheds the first message of this size from the queues of a canister: cycles in it are lost, and callers here
    /// learn it at once. Callers elsewhere learn it at the deadline.
    fn shed_one(&mut self, id: Principal, bytes: u64) {
        let Some(canister) = self.canisters.get_mut(&id) else { return };
        let mut wanted = 1;
        let mut pick = |matches: bool| {
            let picked = matches && wanted > 0;
            wanted -= i32::from(picked);
            picked
        };
        let outputs = canister.queues.take_outputs(|output| pick(output_bytes(output) == bytes));
        let inputs = canister.queues.take_inputs(|input| pick(input_bytes(input) == bytes));
        let requests = outputs.into_iter().map(|output| match output {
            Output::Request(request) => Input::Request(request),
            Output::Response(response) => Input::Response(response),
        });
        for message in requests.chain(inputs) {
            match message {
                Input::Request(request) => {
                    self.ledger.lost += request.cycles;
                    self.give_up(request.sender, request.callback, SHED);
                }
                Input::Response(response) => {
                    self.ledger.lost += response.refund;
                    if response.caller == id {
                        // In the caller's own queue it counted as delivered.
                        let callbacks = self.canisters.get_mut(&id).map(|caller| &mut caller.callbacks);
                        if let Some(open) = callbacks.and_then(|callbacks| callbacks.get_mut(&response.callback)) {
                            open.answered = false;
                        }
                    }
                    self.give_up(response.caller, response.callback, SHED);
                }
                Input::Ingress(_) => {}
            }
        }
    }
}
