//! Taking messages into input queues: ingress, what arrived in streams, responses.
//!
//! Faults of messages are injected here, each in one place.

use candid::Principal;

use crate::chance::{Fault, Point};
use crate::errors::RejectCode;
use crate::limits::QUEUE_SLOTS;
use crate::replica::execution::not_running;
use crate::replica::state::*;
use crate::rules::{CallName, Occasion};

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
                    self.chance.placed(&request.occasion());
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

    pub(super) fn is_management(&self, id: &Principal) -> bool {
        *id == Principal::management_canister() || *id == self.config.id
    }

    fn push_or_bounce(&mut self, request: Request) {
        if let Some(request) = self.deliver_request(request) {
            let text = format!("Canister {} input queue is full", request.receiver);
            self.bounce(request, RejectCode::SysTransient, &text);
        }
    }

    /// Puts a request into its receiver's input queue or rejects it; gives it back if there is no slot.
    pub(super) fn deliver_request(&mut self, request: Request) -> Option<Request> {
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
    pub(super) fn deliver_response(&mut self, response: Response) {
        if self.is_late(response.deadline_seconds) && response.deadline_seconds.is_some() {
            // The caller has its reject 6; what comes back is credited nevertheless.
            return self.credit(response);
        }
        if response.deadline_seconds.is_some() {
            let call = CallName { caller: response.caller, callback: response.callback };
            let placed = self.chance.placed(&Occasion::Response { call });
            if self.chance.meets(Fault::ReplyLost, &placed) {
                return self.lose(response.caller, response.refund);
            }
            let text = if self.chance.meets(Fault::UnknownHasRun, &placed) {
                Some("Call deadline has expired.")
            } else if self.chance.meets(Fault::ResponseShed, &placed) {
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
    pub(super) fn draw_request_fate(&mut self, request: Request) -> Option<Request> {
        let placed = self.chance.placed(&request.occasion());
        if self.chance.meets(Fault::RejectedBeforeDelivery, &placed) {
            let text = format!("Canister {} input queue is full", request.receiver);
            self.bounce(request, RejectCode::SysTransient, &text);
            return None;
        }
        let Some(deadline) = request.deadline_seconds else { return Some(request) };
        if self.chance.meets(Fault::RequestLost, &placed) {
            self.lose(request.sender, request.cycles);
            return None;
        }
        if self.chance.meets(Fault::UnknownNotRun, &placed) {
            self.give_up(request.sender, request.callback, "Call deadline has expired.");
            self.lose(request.sender, request.cycles);
            return None;
        }
        if self.chance.meets(Fault::UnknownRunsLater, &placed) {
            self.give_up(request.sender, request.callback, "Call deadline has expired.");
        }
        if self.chance.meets(Fault::RequestDelayed, &placed) {
            let release = (deadline * NANOS_PER_SECOND).saturating_sub(DELAY_MARGIN_NANOS);
            self.delayed.push((release, request));
            return None;
        }
        Some(request)
    }
}

impl Request {
    /// Returns what rules see of a request on its way.
    fn occasion(&self) -> Occasion<'_> {
        let call = CallName { caller: self.sender, callback: self.callback };
        let is_bounded = self.deadline_seconds.is_some();
        Occasion::Request { call, callee: self.receiver, method: &self.method, is_bounded }
    }
}

impl CallContext {
    fn is_owed_to(&self, sender: &Principal) -> bool {
        !self.answered && matches!(&self.origin, CallOrigin::Canister { caller, .. } if caller == sender)
    }
}
