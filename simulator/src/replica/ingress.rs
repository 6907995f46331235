//! Ingress: filter, charges, history.

use candid::Principal;

use crate::errors::{ErrorCode, UserError};
use crate::limits::GIB;
use crate::replica::execution::{error_of, not_running, out_of_cycles, system_for};
use crate::replica::management;
use crate::replica::state::*;
use crate::wasm::system::{Context, Entry};

/// Bytes of the signed envelope beside method name and argument.
const ENVELOPE_BYTES: u64 = 120;
/// How long an answer is kept.
const HISTORY_NANOS: u64 = 300 * 1_000_000_000;
/// Bytes of answers, and answered messages, that are kept; the oldest go first. Time stands still between rounds unless it is
/// moved, so time alone bounds nothing.
const HISTORY_BYTES_MAX: u64 = GIB;
const HISTORY_ANSWERS_MAX: usize = 1_000_000;

/// Bytes of an ingress message as they are charged and limited.
pub fn ingress_bytes(method: &str, payload: &[u8]) -> u64 {
    ENVELOPE_BYTES + (method.len() + payload.len()) as u64
}

impl SubnetState {
    /// Decides whether an ingress message is accepted, and queues it for the next round.
    pub fn submit(&mut self, ingress: Ingress) -> Result<(), UserError> {
        if ingress.receiver == Principal::management_canister() || ingress.receiver == self.config.id {
            if let Some(payer) = management::accept_ingress(self, ingress.sender, &ingress.method, &ingress.payload)? {
                self.check_ingress_fee(&payer, &ingress)?;
            }
        } else {
            self.filter(&ingress)?;
        }
        self.ingress_history.insert(ingress.id, IngressRecord::received(&ingress));
        self.pending_ingress.push_back(ingress);
        Ok(())
    }

    fn check_ingress_fee(&self, payer: &Principal, ingress: &Ingress) -> Result<(), UserError> {
        let Some(canister) = self.canisters.get(payer) else { return Ok(()) };
        let fee = self.config.fees.ingress(ingress_bytes(&ingress.method, &ingress.payload));
        let needed = canister.freezing_threshold(&self.config) + fee;
        match canister.account.balance >= needed {
            true => Ok(()),
            false => Err(out_of_cycles(payer, needed - canister.account.balance, true)),
        }
    }

    fn filter(&mut self, ingress: &Ingress) -> Result<(), UserError> {
        let id = ingress.receiver;
        let Some(canister) = self.canisters.get(&id) else {
            return Err(UserError::new(ErrorCode::CanisterNotFound, format!("Canister {id} not found")));
        };
        if let Some(error) = not_running(canister) {
            return Err(error);
        }
        let Some(code) = &canister.code else {
            let text = "Requested canister has no wasm module";
            return Err(UserError::new(ErrorCode::CanisterWasmModuleNotFound, text));
        };
        self.check_ingress_fee(&id, ingress)?;
        const INSPECT: &str = "canister_inspect_message";
        if !code.module.exports(INSPECT) || canister.is_occupied() {
            return Ok(());
        }
        let mut system = system_for(&self.surroundings(), canister, Context::Inspect);
        system.caller = ingress.sender;
        system.method_name = Some(ingress.method.clone());
        system.argument = ingress.payload.clone();
        let canister = self.canisters.get_mut(&id).expect("found above");
        let runtime = &mut canister.code.as_mut().expect("found above").runtime;
        let (system, executed) = runtime.execute(&Entry::Export(INSPECT.to_string()), system);
        runtime.rollback();
        match executed.result {
            Err(trap) => Err(error_of(&trap, &id)),
            Ok(()) if system.accepted_message => Ok(()),
            Ok(()) => Err(UserError::new(
                ErrorCode::CanisterRejectedMessage,
                format!("Error from Canister {id}: Canister rejected the message"),
            )),
        }
    }

    /// Takes an accepted message into the round: its receiver pays, then it waits in a queue.
    pub fn induct_ingress(&mut self, ingress: Ingress) {
        let is_management = ingress.receiver == Principal::management_canister() || ingress.receiver == self.config.id;
        let payer = match is_management {
            true => management::accept_ingress(self, ingress.sender, &ingress.method, &ingress.payload),
            false => Ok(Some(ingress.receiver)),
        };
        let paid = payer.and_then(|payer| {
            let Some(payer) = payer else { return Ok(()) };
            self.check_ingress_fee(&payer, &ingress)?;
            let fee = self.config.fees.ingress(ingress_bytes(&ingress.method, &ingress.payload));
            match self.canisters.get_mut(&payer) {
                Some(canister) => canister.account.charge(fee),
                None if is_management => 0,
                None => {
                    let text = format!("Canister {payer} not found");
                    return Err(UserError::new(ErrorCode::CanisterNotFound, text));
                }
            };
            Ok(())
        });
        if let Err(error) = paid {
            return self.record_answer(ingress.id, IngressStatus::Rejected(error));
        }
        if let Some(record) = self.ingress_history.get_mut(&ingress.id) {
            record.set(IngressStatus::Processing);
        }
        if is_management {
            self.management.push_back(ManagementCall {
                origin: CallOrigin::Ingress { sender: ingress.sender, id: ingress.id },
                caller: ingress.sender,
                method: ingress.method,
                payload: ingress.payload,
                cycles: 0,
                arrived_round: self.round,
            });
        } else if let Some(canister) = self.canisters.get_mut(&ingress.receiver) {
            let id = ingress.receiver;
            canister.queues.push_ingress(ingress);
            self.activate(id);
        }
    }

    /// Records the fate of an ingress message.
    pub fn record_answer(&mut self, id: MessageId, status: IngressStatus) {
        let Some(record) = self.ingress_history.get_mut(&id) else { return };
        self.answered.remove(&(record.expiry_nanos, id));
        self.answered_bytes -= record.answer_bytes();
        record.set(status);
        // As long as the message is valid it could be sent again, and must be known.
        record.expiry_nanos = record.expiry_nanos.max(self.time_nanos + HISTORY_NANOS);
        self.answered.insert((record.expiry_nanos, id));
        self.answered_bytes += record.answer_bytes();
    }

    /// Forgets answers that were kept long enough, and the oldest ones when they are too many.
    pub fn prune_history(&mut self) {
        while self.answered_bytes > HISTORY_BYTES_MAX {
            let Some((expiry_nanos, id)) = self.answered.pop_first() else { break };
            if let Some(record) = self.ingress_history.get_mut(&id) {
                self.answered_bytes -= record.answer_bytes();
                record.set(IngressStatus::Done);
                self.forgotten.insert((expiry_nanos, id));
            }
        }
        let now = self.time_nanos;
        let is_due = |oldest: Option<&(u64, MessageId)>| oldest.is_some_and(|(expiry, _)| *expiry <= now);
        loop {
            let is_over = self.answered.len() + self.forgotten.len() > HISTORY_ANSWERS_MAX;
            let oldest = if is_due(self.forgotten.first()) || (is_over && !self.forgotten.is_empty()) {
                self.forgotten.pop_first()
            } else if is_due(self.answered.first()) || is_over {
                self.answered.pop_first()
            } else {
                break;
            };
            let removed = oldest.and_then(|(_, id)| self.ingress_history.remove(&id));
            self.answered_bytes -= removed.map_or(0, |record| record.answer_bytes());
        }
    }
}

impl IngressRecord {
    fn answer_bytes(&self) -> u64 {
        match &self.status {
            IngressStatus::Replied(data) => data.len() as u64,
            IngressStatus::Rejected(error) => error.message.len() as u64,
            _ => 0,
        }
    }
}
