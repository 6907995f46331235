//! Which canisters a round has to look at, and sums over all of them, kept up to date where something changes: a round
//! costs time for the canisters that have something to do, not for those that exist.

use candid::Principal;

use crate::replica::state::*;

impl SubnetState {
    /// Has rounds look at a canister until it has nothing to do.
    pub fn activate(&mut self, id: Principal) {
        let before = self.round.saturating_sub(1);
        if self.active.insert(id)
            && let Some(canister) = self.canisters.get_mut(&id)
        {
            // Whoever had nothing to do is not ahead of those who waited.
            canister.last_round = canister.last_round.max(before);
        }
    }

    /// Notes that anything of a canister may change now, for [`SubnetState::settle_touched`].
    pub fn touch(&mut self, id: Principal) {
        self.touched.insert(id);
    }

    /// Counts the touched canisters anew and activates those that have something to do.
    pub fn settle_touched(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            self.recount(id);
            if self.canisters.get(&id).is_some_and(Canister::is_busy) {
                self.activate(id);
            }
        }
    }

    /// Brings the subnet's totals up to date with one canister.
    pub fn recount(&mut self, id: Principal) {
        if let Some(canister) = self.canisters.get_mut(&id) {
            let now = canister.totals();
            self.totals.replace(&canister.counted, &now);
            canister.counted = now;
        }
    }

    /// Lets the canisters rest that have nothing to do any more. Called at the end of a round.
    pub fn rest_idle(&mut self) {
        let canisters = &self.canisters;
        self.active.retain(|id| canisters.get(id).is_some_and(Canister::is_busy));
    }

    /// Lists the canisters to look at, in order of their ids.
    pub fn active_ids(&self) -> Vec<Principal> {
        self.active.iter().copied().collect()
    }
}

impl Canister {
    /// Whether rounds have to look at the canister: messages, tasks, open calls, debts, a timer, a heartbeat, a stop.
    pub fn is_busy(&self) -> bool {
        !self.queues.is_empty()
            || !self.tasks.is_empty()
            || !self.callbacks.is_empty()
            || self.is_occupied()
            || self.heap_delta_debit_bytes > 0
            || self.install_debit_instructions > 0
            || self.global_timer_nanos.is_some()
            || matches!(self.status, Status::Stopping { .. })
            || self.code.as_ref().is_some_and(|code| code.module.exports("canister_heartbeat"))
    }
}
