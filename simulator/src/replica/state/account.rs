//! Cycles of a canister, and the books of a subnet.

/// What a canister owns and has spent. INVARIANT: cycles only move between fields, accounts, messages and the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CyclesAccount {
    pub balance: u128,
    /// Set aside for storage above the subnet's reservation threshold.
    pub reserved: u128,
    /// Prepaid for a message whose execution takes several rounds.
    pub held: u128,
    /// Spent on fees, or burned.
    pub consumed: u128,
}

impl CyclesAccount {
    /// Pays a fee from the balance; what is missing is forgiven. Returns what was paid.
    pub fn charge(&mut self, fee: u128) -> u128 {
        let paid = fee.min(self.balance);
        self.balance -= paid;
        self.consumed += paid;
        paid
    }

    /// Pays for storage: first from what is reserved. Returns false if both together do not suffice (then nothing moves).
    #[must_use]
    pub fn charge_storage(&mut self, fee: u128) -> bool {
        if self.reserved.saturating_add(self.balance) < fee {
            return false;
        }
        let from_reserved = fee.min(self.reserved);
        self.reserved -= from_reserved;
        self.balance -= fee - from_reserved;
        self.consumed += fee;
        true
    }

    /// Takes `amount` if that leaves at least `threshold`. The caller says where it goes.
    #[must_use]
    pub fn withdraw(&mut self, amount: u128, threshold: u128) -> bool {
        let enough = self.balance >= threshold.saturating_add(amount);
        if enough {
            self.balance -= amount;
        }
        enough
    }

    /// Everything that was ever put in and not sent away.
    pub fn total(&self) -> u128 {
        self.balance + self.reserved + self.held + self.consumed
    }
}

/// The books of a subnet: what came from nothing and what went for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Created by `provisional_create_canister_with_cycles`, top-ups and `add_cycles`: [`MINTED_CYCLES_MAX`] at most.
    pub minted: u128,
    /// Burned outside of canister accounts: creation fees, what deleted canisters had left or had consumed.
    pub burned: u128,
    /// Gone with expired or vanished best-effort messages.
    pub lost: u128,
    /// Sent to other subnets, and received from them.
    pub sent_away: u128,
    pub received: u128,
}

/// Cycles created on one subnet. All subnets together must fit 128 bits.
const MINTED_CYCLES_MAX: u128 = u128::MAX >> 8;

impl Ledger {
    /// Creates cycles, fewer than asked for when more were created than sums could hold. Returns how many.
    #[must_use]
    pub fn mint(&mut self, amount: u128) -> u128 {
        let minted = amount.min(MINTED_CYCLES_MAX - self.minted);
        self.minted += minted;
        minted
    }
}
