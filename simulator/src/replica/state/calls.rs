//! Open calls: contexts at the callee, callbacks at the caller.

use candid::Principal;

use crate::replica::state::CallOrigin;
use crate::wasm::system::Closure;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextId(pub u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallbackId(pub u64);

/// A call that this canister received and whose messages may still run.
#[derive(Clone, Debug)]
pub struct CallContext {
    pub origin: CallOrigin,
    /// Cycles of the call that can still be accepted; 0 once answered.
    pub available: u128,
    pub answered: bool,
    /// The canister was uninstalled; callbacks of this context only do accounting.
    pub deleted: bool,
    /// Callbacks that still wait for their response.
    pub open_callbacks: usize,
    /// For `performance_counter(1)`.
    pub instructions: u64,
    pub method: String,
}

/// A call that this canister made and whose response it awaits.
#[derive(Clone, Debug)]
pub struct Callback {
    pub context: ContextId,
    pub callee: Principal,
    pub reply: Closure,
    pub reject: Closure,
    pub cleanup: Option<Closure>,
    pub cycles: u128,
    /// Part of it comes back, by the size of the response.
    pub prepaid_response: u128,
    /// Withdrawn for this many instructions of the callback; the unused part comes back.
    pub prepaid_callback: u128,
    /// Seconds; None for guaranteed response.
    pub deadline_seconds: Option<u64>,
    /// A response is in the input queue; another one, late, only credits its refund.
    pub answered: bool,
}

impl CallContext {
    /// The answer goes to a canister that waits without deadline.
    pub fn owes_guaranteed_response(&self) -> bool {
        !self.answered && matches!(self.origin, CallOrigin::Canister { deadline_seconds: None, .. })
    }
}
