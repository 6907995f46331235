//! Changes of a canister's life that come from the subnet itself or from the management canister.

use candid::Principal;

use crate::replica::state::SubnetState;

impl SubnetState {
    /// Removes code, memories, certified data, timer and log; open calls are rejected with `Canister has been
    /// uninstalled.` and later responses only do accounting. History is the caller's business.
    pub fn uninstall(&mut self, _id: Principal) {
        todo!("replica helper")
    }

    /// Answers a call to the management canister that was kept as a `StopWaiter`.
    pub fn answer_management(
        &mut self,
        _call: &crate::replica::state::ManagementCall,
        _result: Result<Vec<u8>, crate::errors::UserError>,
        _refund: u128,
    ) {
        todo!("replica helper")
    }

    /// Removes a canister for good: its cycles are burned and calls in its queues rejected.
    pub fn remove(&mut self, _id: Principal) {
        todo!("replica helper")
    }

    /// Returns the next free canister id, None when the range is used up.
    pub fn next_canister_id(&mut self) -> Option<Principal> {
        todo!("replica helper")
    }

    /// Returns what executions need to know of the subnet now.
    pub fn surroundings(&self) -> crate::replica::state::Surroundings {
        todo!("replica helper")
    }

    /// Returns whether an id lies in the subnet's ranges.
    pub fn in_range(&self, _id: &Principal) -> bool {
        todo!("replica helper")
    }
}
