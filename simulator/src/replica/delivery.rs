//! Moving messages: into input queues, out of output queues, between subnets, and away when their time is up.
//!
//! Faults of messages are injected here, each in one place.

use candid::Principal;

use crate::chance::{Fault, Point};
use crate::errors::RejectCode;
use crate::limits::{CROSS_SUBNET_BYTES_MAX, QUEUE_SLOTS};
use crate::replica::execution::not_running;
use crate::replica::management::{self, Destination};
use crate::replica::state::*;

/// How long a request may wait in its sender's output queue.
const OUTPUT_WAIT_NANOS: u64 = 300 * NANOS_PER_SECOND;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Ingress messages taken into one round.
const INGRESS_PER_ROUND_MAX: usize = 1_000;
/// A delayed request comes this long before its deadline.
const DELAY_MARGIN_NANOS: u64 = 1_000_000;

impl SubnetState {
    /// Whether a best-effort message with that deadline is too late now: a full second after it.
    fn is_late(&self, deadline_seconds: Option<u64>) -> bool {
        deadline_seconds.is_some_and(|deadline| self.time_nanos / NANOS_PER_SECOND > deadline)
    }

    /// Drops and rejects what waited too long, and answers callbacks whose deadline passed.
    pub fn time_out(&mut self) {
        let now = self.time_nanos;
        for id in self.active_ids() {
            let Some(canister) = self.canisters.get_mut(&id) else { continue };
            let late = |deadline: Option<u64>| deadline.is_some_and(|deadline| now / NANOS_PER_SECOND > deadline);
            let outputs = canister.queues.take_outputs(|output| match output {
                Output::Request(request) => {
                    late(request.deadline_seconds) || request.sent_nanos + OUTPUT_WAIT_NANOS <= now
                }
                Output::Response(response) => late(response.deadline_seconds),
            });
            let inputs = canister.queues.take_inputs(|input| match input {
                Input::Request(request) => late(request.deadline_seconds),
                // A response in the caller's own queue is delivered already.
                Input::Ingress(_) | Input::Response(_) => false,
            });
            let expired = canister.queues.expire_ingress(now);
            for output in outputs {
                match output {
                    Output::Request(request) => self.bounce(request, RejectCode::SysTransient, "Request timed out."),
                    Output::Response(response) => self.ledger.lost += response.refund,
                }
            }
            for input in inputs {
                if let Input::Request(request) = input {
                    self.ledger.lost += request.cycles;
                }
            }
            expired.into_iter().for_each(|ingress| self.expire(ingress));
            self.time_out_callbacks(id);
        }
        let pending = std::mem::take(&mut self.pending_ingress);
        for ingress in pending {
            match ingress.expiry_nanos <= now {
                true => self.expire(ingress),
                false => self.pending_ingress.push_back(ingress),
            }
        }
    }

    fn expire(&mut self, ingress: Ingress) {
        let text = format!("Ingress message {} timed out waiting to start executing.", hex::encode(ingress.id.0));
        let error = crate::errors::UserError::new(crate::errors::ErrorCode::IngressMessageTimeout, text);
        self.record_answer(ingress.id, IngressStatus::Rejected(error));
    }

    fn time_out_callbacks(&mut self, id: Principal) {
        let now_seconds = self.time_nanos / NANOS_PER_SECOND;
        let canister = self.canisters.get_mut(&id).expect("the caller looked it up");
        let due: Vec<CallbackId> = canister
            .callbacks
            .iter()
            .filter(|(_, callback)| !callback.answered)
            .filter(|(_, callback)| callback.deadline_seconds.is_some_and(|deadline| now_seconds > deadline))
            .map(|(id, _)| *id)
            .collect();
        for callback in due {
            self.give_up(id, callback, "Call deadline has expired.");
        }
    }

    /// Answers a best-effort call with reject 6; the real response will only credit its refund.
    fn give_up(&mut self, caller: Principal, callback: CallbackId, text: &str) {
        let Some(canister) = self.canisters.get_mut(&caller) else { return };
        let Some(open) = canister.callbacks.get_mut(&callback).filter(|open| !open.answered) else { return };
        open.answered = true;
        let respondent = open.callee;
        let response = Response {
            caller,
            respondent,
            callback,
            refund: 0,
            payload: Payload::Reject(RejectCode::SysUnknown, text.to_string()),
            deadline_seconds: open.deadline_seconds,
            synthetic: true,
        };
        canister.queues.push_response(response, true);
        self.activate(caller);
    }

    /// Takes pending ingress and what arrived in streams.
    pub fn induct(&mut self) {
        let release: Vec<Request>;
        (release, self.delayed) = {
            let (due, held): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.delayed).into_iter().partition(|(at, _)| *at <= self.time_nanos);
            (due.into_iter().map(|(_, request)| request).collect(), held)
        };
        for request in release {
            self.push_or_bounce(request);
        }
        let taken = self.pending_ingress.len().min(INGRESS_PER_ROUND_MAX);
        let mut block: Vec<Ingress> = self.pending_ingress.drain(..taken).collect();
        self.chance.permute(Point::IngressOrder, &mut block);
        if self.chance.fires(Fault::IngressReordered) {
            block.reverse();
        }
        block.into_iter().for_each(|ingress| self.induct_ingress(ingress));
        for message in std::mem::take(&mut self.loopback).into_iter().chain(std::mem::take(&mut self.incoming)) {
            match message {
                StreamMessage::Response(response) => self.deliver_response(response),
                StreamMessage::Request(request) if self.is_management(&request.receiver) => {
                    self.management.push_back(ManagementCall {
                        origin: CallOrigin::Canister {
                            caller: request.sender,
                            callback: request.callback,
                            deadline_seconds: request.deadline_seconds,
                        },
                        caller: request.sender,
                        method: request.method,
                        payload: request.payload,
                        cycles: request.cycles,
                        arrived_round: self.round - 1,
                    });
                }
                StreamMessage::Request(request) => {
                    if self.is_late(request.deadline_seconds) {
                        self.ledger.lost += request.cycles;
                    } else if let Some(request) = self.draw_request_fate(request) {
                        self.push_or_bounce(request);
                    }
                }
            }
        }
    }

    fn is_management(&self, id: &Principal) -> bool {
        *id == Principal::management_canister() || *id == self.config.id
    }

    fn push_or_bounce(&mut self, request: Request) {
        if let Some(request) = self.deliver_request(request) {
            let text = format!("Canister {} input queue is full", request.receiver);
            self.bounce(request, RejectCode::SysTransient, &text);
        }
    }

    /// Puts a request into its receiver's input queue or rejects it; gives it back if there is no slot.
    fn deliver_request(&mut self, request: Request) -> Option<Request> {
        let id = request.receiver;
        let is_local = self.canisters.contains_key(&request.sender);
        let Some(canister) = self.canisters.get_mut(&id) else {
            let (code, text) = match self.config.routes.subnet_of(&id) {
                Some(_) => (RejectCode::DestinationInvalid, format!("Canister {id} not found")),
                None => (RejectCode::DestinationInvalid, format!("No route to canister {id}")),
            };
            self.bounce(request, code, &text);
            return None;
        };
        if let Some(error) = not_running(canister) {
            self.bounce(request, RejectCode::CanisterError, &error.message);
            return None;
        }
        let minimum = canister.settings.minimum_incoming_call_cycles;
        if request.sender != id && request.cycles < minimum {
            let text = format!("Canister {id} requires at least {minimum} cycles with a call");
            self.bounce(request, RejectCode::CanisterReject, &text);
            return None;
        }
        // Counting is only worth while when the slots could be used up.
        let open = match canister.contexts.len() {
            0..QUEUE_SLOTS => 0,
            _ => canister.contexts.values().filter(|context| context.is_owed_to(&request.sender)).count(),
        };
        let refused = canister.queues.push_request(request, open, is_local);
        self.activate(id);
        refused
    }

    /// Sends a request back with a reject and all its cycles.
    pub fn bounce(&mut self, request: Request, code: RejectCode, text: &str) {
        let response = Response {
            caller: request.sender,
            respondent: request.receiver,
            callback: request.callback,
            refund: request.cycles,
            payload: Payload::Reject(code, text.to_string()),
            deadline_seconds: request.deadline_seconds,
            synthetic: false,
        };
        if self.canisters.contains_key(&response.caller) {
            self.accept_response(response);
        } else {
            self.send_away(StreamMessage::Response(response));
        }
    }

    /// Takes a response that may be late or meet a fault.
    fn deliver_response(&mut self, response: Response) {
        if self.is_late(response.deadline_seconds) && response.deadline_seconds.is_some() {
            // The caller has its reject 6; what comes back is credited nevertheless.
            return self.credit(response);
        }
        if response.deadline_seconds.is_some() {
            if self.chance.fires(Fault::ReplyLost) {
                return self.lose(response.caller, response.refund);
            }
            let text = if self.chance.fires(Fault::UnknownHasRun) {
                Some("Call deadline has expired.")
            } else if self.chance.fires(Fault::ResponseShed) {
                Some("Response was dropped.")
            } else {
                None
            };
            if let Some(text) = text {
                self.give_up(response.caller, response.callback, text);
                return self.lose(response.caller, response.refund);
            }
        }
        self.accept_response(response);
    }

    /// Cycles of a vanished message: lost, or credited late when the seed says so.
    fn lose(&mut self, owner: Principal, cycles: u128) {
        let lost = cycles > 0 && self.chance.fires(Fault::CyclesLost);
        match self.canisters.get_mut(&owner) {
            Some(canister) if !lost => canister.account.balance += cycles,
            _ => self.ledger.lost += cycles,
        }
    }

    fn accept_response(&mut self, response: Response) {
        let is_local = !self.config.routes.is_elsewhere(&response.respondent, &self.config.id);
        let open = self.canisters.get_mut(&response.caller).and_then(|canister| {
            let callback = canister.callbacks.get_mut(&response.callback).filter(|callback| !callback.answered)?;
            callback.answered = true;
            Some(())
        });
        match open {
            Some(()) => {
                let caller = response.caller;
                let canister = self.canisters.get_mut(&caller).expect("just seen");
                canister.queues.push_response(response, is_local);
                self.activate(caller);
            }
            None => self.credit(response),
        }
    }

    /// Books the refund of a response that nobody awaits any more.
    fn credit(&mut self, response: Response) {
        match self.canisters.get_mut(&response.caller) {
            Some(canister) => canister.account.balance += response.refund,
            None => self.ledger.burned += response.refund,
        }
    }

    /// Draws what happens to a request on its way; None when it vanished or was answered.
    fn draw_request_fate(&mut self, request: Request) -> Option<Request> {
        if self.chance.fires(Fault::RejectedBeforeDelivery) {
            let text = format!("Canister {} input queue is full", request.receiver);
            self.bounce(request, RejectCode::SysTransient, &text);
            return None;
        }
        let Some(deadline) = request.deadline_seconds else { return Some(request) };
        if self.chance.fires(Fault::RequestLost) {
            self.lose(request.sender, request.cycles);
            return None;
        }
        if self.chance.fires(Fault::UnknownNotRun) {
            self.give_up(request.sender, request.callback, "Call deadline has expired.");
            self.lose(request.sender, request.cycles);
            return None;
        }
        if self.chance.fires(Fault::UnknownRunsLater) {
            self.give_up(request.sender, request.callback, "Call deadline has expired.");
        }
        if self.chance.fires(Fault::RequestDelayed) {
            let release = (deadline * NANOS_PER_SECOND).saturating_sub(DELAY_MARGIN_NANOS);
            self.delayed.push((release, request));
            return None;
        }
        Some(request)
    }

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
    fn send_away(&mut self, message: StreamMessage) {
        if let StreamMessage::Request(request) = &message {
            let bytes = (request.payload.len() + request.method.len()) as u64;
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
    fn is_elsewhere(&self, id: &Principal, here: &Principal) -> bool {
        self.subnet_of(id).is_some_and(|subnet| subnet != *here)
    }
}

impl CallContext {
    fn is_owed_to(&self, sender: &Principal) -> bool {
        !self.answered && matches!(&self.origin, CallOrigin::Canister { caller, .. } if caller == sender)
    }
}
