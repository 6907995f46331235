//! What a test does to a network beyond what its users can: faults from outside, and a look at the books.

use std::collections::BTreeSet;
use std::sync::Arc;

use candid::Principal;

use super::{Instance, MEMORY_BYTES_PER_SUBNET};
use crate::chance::Fault;
use crate::replica::state::SubnetState;

/// All cycles of a network, in sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CyclesBooks {
    /// Created from nothing.
    pub minted: u128,
    /// Balances of canisters, with what is reserved or held.
    pub balances: u128,
    /// In messages, calls and prepayments.
    pub in_flight: u128,
    /// Fees, burned cycles, and what deleted canisters had.
    pub spent: u128,
    /// Gone with messages that vanished.
    pub lost: u128,
}

impl Instance {
    /// Counts how often a fault happened, on all subnets.
    pub fn faults_fired(&self, fault: Fault) -> u64 {
        self.subnets.iter().map(|subnet| subnet.chance.fired(fault)).sum()
    }

    /// Lists the canisters of a subnet; none for an unknown one.
    pub fn canister_ids(&self, subnet: &Principal) -> BTreeSet<Principal> {
        self.index_of(subnet).map(|index| self.subnets[index].canisters.keys().copied().collect()).unwrap_or_default()
    }

    /// Sums all cycles.
    pub fn cycles_books(&self) -> CyclesBooks {
        let mut books = CyclesBooks::default();
        for subnet in &self.subnets {
            let accounts = subnet.canisters.values().map(|canister| &canister.account);
            books.minted += subnet.ledger.minted;
            books.lost += subnet.ledger.lost;
            books.spent += subnet.ledger.burned + accounts.clone().map(|account| account.consumed).sum::<u128>();
            books.balances += accounts.map(|account| account.total() - account.consumed).sum::<u128>();
        }
        let present: u128 = self.subnets.iter().map(SubnetState::cycles_present).sum();
        books.in_flight = present - books.balances - books.spent - books.lost;
        books
    }

    /// Burns what a canister has above `keep`, as if it had spent it. Returns the new balance.
    pub fn burn_cycles(&mut self, canister: &Principal, keep: u128) -> Option<u128> {
        let (canister, _) = self.canister_mut(canister)?;
        let burned = canister.account.balance.saturating_sub(keep);
        Some(canister.account.balance - canister.account.charge(burned))
    }

    /// Fills up the memory of a subnet, or frees what was so filled.
    pub fn set_memory_full(&mut self, subnet: &Principal, full: bool) {
        let Some(index) = self.index_of(subnet) else { return };
        let subnet = &mut self.subnets[index];
        subnet.refresh_totals();
        let bytes = if full { subnet.totals.memory_bytes } else { MEMORY_BYTES_PER_SUBNET };
        Arc::make_mut(&mut subnet.config).memory_bytes_max = bytes;
    }

    /// Gives a canister no more memory than it has, or as much as it likes again.
    pub fn set_canister_full(&mut self, canister: &Principal, full: bool) {
        if let Some((canister, _)) = self.canister_mut(canister) {
            canister.settings.memory_allocation_bytes = if full { canister.memory_bytes() } else { 0 };
        }
    }

    /// Sets the bytes in use from which on a subnet reserves cycles for growth (750 GiB at first).
    pub fn set_reservation_threshold(&mut self, subnet: &Principal, bytes: u64) {
        if let Some(index) = self.index_of(subnet) {
            Arc::make_mut(&mut self.subnets[index].config).reservation_threshold_bytes = bytes;
        }
    }

    /// Puts the clock of a subnet ahead of the network's, from its next round on. It is never set back: lessening the
    /// skew is for the network's time to do.
    pub fn set_skew(&mut self, subnet: &Principal, nanos: u64) {
        if let Some(index) = self.index_of(subnet) {
            self.skews.insert(index, nanos);
        }
    }
}
