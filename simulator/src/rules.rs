//! Faults at chosen messages: a rule sees every message at the moments at which a fault can meet it, and names those that
//! do. It comes beside the faults that are drawn, and takes no draws.

use std::fmt;
use std::sync::{Arc, Mutex};

use candid::Principal;

use crate::chance::Fault;
use crate::event_log::EventKind;
use crate::replica::state::CallbackId;

/// Names a call between canisters: who made it, and what it waits with there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallName {
    pub caller: Principal,
    pub callback: CallbackId,
}

/// A message at a moment at which a fault can meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// A request is about to reach a canister, or the management canister, which no fault of requests meets. It is seen
    /// again if there was no place for it.
    Request { call: CallName, callee: Principal, method: &'a str, is_bounded: bool },
    /// A response is about to reach its caller.
    Response { call: CallName },
    /// A message is about to run. `call`: the one that it answers, or whose answer it takes; none for messages of users
    /// and for tasks. `method`: of a callback, that of the message which made the call.
    Execution { kind: EventKind, canister: Principal, method: &'a str, call: Option<CallName> },
}

type Decide = dyn FnMut(&Occasion) -> Vec<Fault> + Send;

/// Decides which faults meet a message. The same for all subnets of a network.
#[derive(Clone)]
pub struct Rule(Arc<Mutex<Decide>>);

impl Rule {
    /// Makes a rule. `decide` names the faults that happen at an occasion; those that can't happen there don't.
    pub fn new(decide: impl FnMut(&Occasion) -> Vec<Fault> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(decide)))
    }

    /// Asks which faults meet a message.
    pub fn decide(&self, occasion: &Occasion) -> Vec<Fault> {
        let mut decide = self.0.lock().expect("a rule that panicked has broken its network");
        decide(occasion)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rule")
    }
}
