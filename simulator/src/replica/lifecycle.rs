//! Changes of a canister's life that come from the subnet itself or from the management canister.

use candid::Principal;

use crate::errors::{ErrorCode, RejectCode, UserError};
use crate::limits::*;
use crate::replica::execution::{Effects, Outcome, payload_of, status_of};
use crate::replica::management::memory_of;
use crate::replica::state::*;

/// Storage and compute are charged when this much time has passed.
const CHARGE_PERIOD_NANOS: u64 = 10 * 1_000_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl SubnetState {
    /// Returns what executions need to know of the subnet now.
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            config: self.config.clone(),
            time_nanos: self.time_nanos,
            memory: memory_of(self),
            guaranteed_bytes_left: GUARANTEED_BYTES_PER_SUBNET.saturating_sub(self.totals.guaranteed_bytes),
            callbacks_left: CALLBACKS_PER_SUBNET.saturating_sub(self.totals.callbacks),
        }
    }

    /// Sums memory and callbacks of all canisters anew: for whoever changed them past the subnet's own ways.
    pub fn refresh_totals(&mut self) {
        self.totals = Totals::default();
        for canister in self.canisters.values_mut() {
            canister.counted = canister.totals();
            self.totals.replace(&Totals::default(), &canister.counted);
        }
        self.touched = self.canisters.keys().copied().collect();
    }

    /// Returns whether an id lies in the subnet's ranges.
    pub fn in_range(&self, id: &Principal) -> bool {
        canister_number(id)
            .is_some_and(|number| self.config.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number)))
    }

    /// Returns the next free canister id, None when the range is used up.
    pub fn next_canister_id(&mut self) -> Option<Principal> {
        while self.next_canister <= self.config.allocation.1 {
            let id = canister_id(self.next_canister);
            if !self.canisters.contains_key(&id) {
                self.next_canister = self.next_canister.checked_add(1)?;
                return Some(id);
            }
            self.next_canister = self.next_canister.checked_add(1)?;
        }
        None
    }

    /// Removes code, memories, certified data, timer and log; open calls are rejected with `Canister has been
    /// uninstalled.` and later responses only do accounting. History is the caller's business.
    pub fn uninstall(&mut self, id: Principal) {
        self.touch(id);
        let Some(canister) = self.canisters.get_mut(&id) else { return };
        let mut effects = Effects::default();
        canister.code = None;
        canister.certified_data.clear();
        canister.global_timer_nanos = None;
        canister.log = CanisterLog::default();
        canister.tasks.clear();
        canister.low_memory_hook_armed = true;
        canister.long_execution = None;
        let cancelled = canister.installation.take();
        canister.account.balance += std::mem::take(&mut canister.account.held);
        let open: Vec<ContextId> = canister.contexts.keys().copied().collect();
        for context_id in open {
            let context = canister.contexts.get_mut(&context_id).expect("listed above");
            let waiting = !context.answered && !context.deleted;
            context.deleted = true;
            let refund = std::mem::take(&mut context.available);
            let origin = context.origin.clone();
            if context.open_callbacks == 0 {
                canister.contexts.remove(&context_id);
            }
            if waiting {
                let outcome = Outcome::Reject("Canister has been uninstalled.".to_string());
                canister.answer(&origin, outcome, refund, &mut effects);
            }
        }
        self.apply_effects(id, effects);
        if let Some(installation) = cancelled {
            let (call, error) = installation.cancel();
            self.answer_management(&call, Err(error), call.cycles);
        }
    }

    /// Hands over what a canister's message left to do.
    pub fn apply_effects(&mut self, _id: Principal, effects: Effects) {
        for (message, status) in effects.answers {
            self.record_answer(message, status);
        }
        self.events.extend(effects.event);
    }

    /// Answers a call to the management canister, at once or when it was kept as a `StopWaiter`.
    pub fn answer_management(&mut self, call: &ManagementCall, result: Result<Vec<u8>, UserError>, refund: u128) {
        let outcome = match result {
            Ok(data) => Outcome::Reply(data),
            Err(error) => Outcome::BareError(error),
        };
        match &call.origin {
            CallOrigin::Ingress { id, .. } => {
                let status = status_of(outcome, &Principal::management_canister());
                self.record_answer(*id, status);
            }
            CallOrigin::Canister { caller, callback, deadline_seconds } => {
                let response = Response {
                    caller: *caller,
                    respondent: Principal::management_canister(),
                    callback: *callback,
                    refund,
                    payload: payload_of(outcome),
                    deadline_seconds: *deadline_seconds,
                    synthetic: false,
                };
                let message = StreamMessage::Response(response);
                if self.canisters.contains_key(caller) {
                    self.loopback.push_back(message);
                } else {
                    self.ledger.sent_away += message.cycles();
                    self.outgoing.push_back(message);
                }
            }
            CallOrigin::System => {}
        }
    }

    /// Removes a canister for good: its cycles are burned and calls in its queues rejected.
    pub fn remove(&mut self, id: Principal) {
        self.uninstall(id);
        let Some(mut canister) = self.canisters.remove(&id) else { return };
        self.totals.replace(&canister.counted, &Totals::default());
        self.active.remove(&id);
        self.ledger.burned += canister.account.total();
        for callback in canister.callbacks.values() {
            self.ledger.burned += callback.prepaid_response + callback.prepaid_callback;
        }
        let missing = format!("Canister {id} not found");
        for ingress in canister.queues.take_ingress() {
            let error = UserError::new(ErrorCode::CanisterNotFound, missing.clone());
            self.record_answer(ingress.id, IngressStatus::Rejected(error));
        }
        for input in canister.queues.take_inputs(|_| true) {
            match input {
                Input::Request(request) => self.bounce(request, RejectCode::DestinationInvalid, &missing),
                Input::Response(response) => self.ledger.burned += response.refund,
                Input::Ingress(_) => {}
            }
        }
        for output in canister.queues.take_outputs(|_| true) {
            self.loopback.push_back(match output {
                Output::Request(request) => StreamMessage::Request(request),
                Output::Response(response) => StreamMessage::Response(response),
            });
        }
    }

    /// Charges storage and compute; a canister that can't pay is uninstalled.
    pub fn charge_storage(&mut self) {
        let now = self.time_nanos;
        if now < self.charge_at_nanos {
            return;
        }
        self.charge_at_nanos = u64::MAX;
        let mut broke = Vec::new();
        for canister in self.canisters.values_mut() {
            let elapsed = now - canister.charged_until_nanos.min(now);
            let is_due = elapsed >= CHARGE_PERIOD_NANOS;
            let charged_until_nanos = if is_due { now } else { canister.charged_until_nanos };
            self.charge_at_nanos = self.charge_at_nanos.min(charged_until_nanos + CHARGE_PERIOD_NANOS);
            if !is_due {
                continue;
            }
            canister.charged_until_nanos = now;
            let seconds = elapsed / NANOS_PER_SECOND;
            let fees = &self.config.fees;
            let fee = fees.storage(canister.charged_bytes(), seconds)
                + fees.storage(canister.guaranteed_bytes(), seconds)
                + fees.compute_allocation(canister.settings.compute_allocation_percent, seconds);
            if !canister.account.charge_storage(fee) {
                let account = &mut canister.account;
                account.consumed += std::mem::take(&mut account.balance) + std::mem::take(&mut account.reserved);
                canister.settings.compute_allocation_percent = 0;
                canister.settings.memory_allocation_bytes = 0;
                broke.push(canister.id);
            }
        }
        if self.canisters.is_empty() {
            self.charge_at_nanos = 0;
        }
        for id in broke {
            self.uninstall(id);
            let canister = self.canisters.get_mut(&id).expect("listed above");
            canister.version += 1;
            canister.chunk_store = ChunkStore::default();
            canister.snapshots.clear();
        }
    }

    /// Sums all cycles that are here, in accounts, messages and books.
    pub fn cycles_present(&self) -> u128 {
        let canisters: u128 = self.canisters.values().map(Canister::cycles_present).sum();
        let streams: u128 = self.loopback.iter().chain(&self.outgoing).chain(&self.incoming).map(|m| m.cycles()).sum();
        let management: u128 = self.management.iter().map(|call| call.cycles).sum();
        let delayed: u128 = self.delayed.iter().map(|(_, request)| request.cycles).sum();
        canisters + streams + management + delayed + self.ledger.burned + self.ledger.lost
    }
}

impl Totals {
    /// Replaces one canister's part.
    pub fn replace(&mut self, before: &Totals, after: &Totals) {
        self.memory_bytes = (self.memory_bytes + after.memory_bytes).saturating_sub(before.memory_bytes);
        self.callbacks = (self.callbacks + after.callbacks).saturating_sub(before.callbacks);
        self.guaranteed_bytes =
            (self.guaranteed_bytes + after.guaranteed_bytes).saturating_sub(before.guaranteed_bytes);
    }
}

impl Canister {
    /// Returns this canister's part of the subnet's totals.
    pub fn totals(&self) -> Totals {
        Totals {
            memory_bytes: self.charged_bytes(),
            callbacks: self.callbacks.len(),
            guaranteed_bytes: self.guaranteed_bytes(),
        }
    }

    fn cycles_present(&self) -> u128 {
        let prepaid: u128 = self.callbacks.values().map(|open| open.prepaid_response + open.prepaid_callback).sum();
        let available: u128 = self.contexts.values().map(|context| context.available).sum();
        let waiting: u128 = match &self.status {
            Status::Stopping { waiters } => waiters.iter().map(|waiter| waiter.call.cycles).sum(),
            _ => 0,
        };
        let installing = self.installation.as_ref().map_or(0, |installation| installation.cycles());
        self.account.total() + prepaid + available + waiting + installing + self.queues.cycles()
    }
}
