//! Moving outputs: to canisters of the same subnet, to other subnets, to the management canister, or back.

use candid::Principal;

use crate::chance::Point;
use crate::errors::RejectCode;
use crate::limits::CROSS_SUBNET_BYTES_MAX;
use crate::replica::management::{self, Destination};
use crate::replica::state::*;

impl SubnetState {
    /// Moves outputs between canisters of this subnet. What finds no slot stays, and what follows it.
    pub fn induct_local(&mut self) {
        let has_output = |id: &Principal| self.canisters.get(id).is_some_and(|it| !it.queues.outputs.is_empty());
        let mut senders: Vec<Principal> = self.active.iter().copied().filter(has_output).collect();
        self.chance.permute(Point::CanisterOrder, &mut senders);
        for sender in senders {
            let mut outputs = std::mem::take(&mut self.canisters.get_mut(&sender).expect("listed").queues.outputs);
            for (receiver, queue) in &mut outputs {
                if !self.canisters.contains_key(receiver) {
                    continue;
                }
                while let Some(output) = queue.pop_front() {
                    match output {
                        Output::Response(response) => self.deliver_response(response),
                        Output::Request(request) => {
                            let Some(request) = self.draw_request_fate(request) else { continue };
                            if let Some(request) = self.deliver_request(request) {
                                queue.push_front(Output::Request(request));
                                break;
                            }
                        }
                    }
                }
            }
            outputs.retain(|_, queue| !queue.is_empty());
            let canister = self.canisters.get_mut(&sender).expect("canisters don't vanish while messages move");
            debug_assert!(canister.queues.outputs.is_empty(), "deliveries fill input queues only");
            canister.queues.outputs = outputs;
        }
    }

    /// Sends what is not for canisters here: to other subnets, to the management canister, or back.
    pub fn route(&mut self) {
        self.settle_touched();
        for id in self.active_ids() {
            let Some(canister) = self.canisters.get_mut(&id) else { continue };
            let queues = &mut canister.queues;
            let mut outputs = std::mem::take(&mut queues.outputs);
            for (receiver, queue) in &mut outputs {
                if self.canisters.contains_key(receiver) {
                    continue;
                }
                let elsewhere = self.config.routes.is_elsewhere(receiver, &self.config.id);
                let to_management = self.is_management(receiver);
                for output in queue.drain(..) {
                    if let (true, Output::Request(request)) = (to_management, &output) {
                        self.route_management_call(request.clone());
                        continue;
                    }
                    let message = match output {
                        Output::Response(response) => StreamMessage::Response(response),
                        Output::Request(request) => StreamMessage::Request(request),
                    };
                    if elsewhere { self.send_away(message) } else { self.loopback.push_back(message) }
                }
            }
            outputs.retain(|_, queue| !queue.is_empty());
            self.canisters.get_mut(&id).expect("listed above").queues.outputs = outputs;
        }
    }

    /// Sends a call to the management canister to the subnet that can answer it.
    fn route_management_call(&mut self, mut request: Request) {
        let here = self.config.id;
        let subnet = match management::route(&request.method, &request.payload) {
            Ok(_) if request.receiver == here => Some(here),
            Ok(Destination::Own) => Some(here),
            Ok(Destination::Subnet(subnet)) => Some(subnet),
            Ok(Destination::SubnetOf(canister)) => self.config.routes.subnet_of(&canister).or(Some(here)),
            Err((code, text)) => return self.bounce(request, code, &text),
        };
        match subnet.filter(|subnet| self.config.routes.subnets.contains(subnet)) {
            Some(subnet) if subnet == here => self.loopback.push_back(StreamMessage::Request(request)),
            Some(subnet) => {
                request.receiver = subnet;
                self.send_away(StreamMessage::Request(request));
            }
            None => {
                let text = format!("No route to canister {}", request.receiver);
                self.bounce(request, RejectCode::DestinationInvalid, &text);
            }
        }
    }

    /// Puts a message into the stream to another subnet.
    pub(super) fn send_away(&mut self, message: StreamMessage) {
        if let StreamMessage::Request(request) = &message {
            let bytes = request.bytes();
            if bytes > CROSS_SUBNET_BYTES_MAX {
                let StreamMessage::Request(request) = message else { unreachable!("seen above") };
                let text = format!(
                    "Canister {} violated contract: attempted to send a message of size {bytes} exceeding the limit {}",
                    request.sender, CROSS_SUBNET_BYTES_MAX
                );
                return self.bounce(request, RejectCode::CanisterError, &text);
            }
        }
        self.ledger.sent_away += message.cycles();
        self.outgoing.push_back(message);
    }
}

impl StreamMessage {
    pub fn cycles(&self) -> u128 {
        match self {
            StreamMessage::Request(request) => request.cycles,
            StreamMessage::Response(response) => response.refund,
        }
    }

    /// Returns who gets it.
    pub fn receiver(&self) -> Principal {
        match self {
            StreamMessage::Request(request) => request.receiver,
            StreamMessage::Response(response) => response.caller,
        }
    }
}

impl Routes {
    /// Whether an id belongs to another subnet than `here`.
    pub(super) fn is_elsewhere(&self, id: &Principal, here: &Principal) -> bool {
        self.subnet_of(id).is_some_and(|subnet| subnet != *here)
    }
}
