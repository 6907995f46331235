//! What must always hold, checked in tests and simulations.

use std::collections::BTreeMap;

use crate::replica::state::*;

impl SubnetState {
    /// Panics if a canister with something to do would be overlooked, or the totals are wrong.
    pub fn check_invariants(&self) {
        self.canisters.values().for_each(Canister::check_invariants);
        let mut totals = Totals::default();
        for canister in self.canisters.values() {
            let known = self.active.contains(&canister.id) || self.touched.contains(&canister.id);
            assert!(known || !canister.is_busy(), "canister {} has something to do and is active", canister.id);
            totals.replace(&Totals::default(), &canister.totals());
        }
        if self.touched.is_empty() {
            assert_eq!(totals, self.totals, "totals of subnet {}", self.config.id);
        }
    }
}

impl Canister {
    /// Panics if callbacks, contexts and counts disagree.
    fn check_invariants(&self) {
        let mut outstanding = BTreeMap::new();
        let mut open = BTreeMap::new();
        for callback in self.callbacks.values() {
            *outstanding.entry(callback.callee).or_insert(0) += 1;
            *open.entry(callback.context).or_insert(0) += 1;
        }
        assert_eq!(outstanding, *self.outstanding, "outstanding calls of {} are counted right", self.id);
        for (id, context) in &self.contexts {
            let callbacks = open.remove(id).unwrap_or(0);
            assert_eq!(context.open_callbacks, callbacks, "context {id:?} of {} counts its callbacks", self.id);
        }
        assert!(open.is_empty(), "callbacks of {} have contexts", self.id);
    }
}
