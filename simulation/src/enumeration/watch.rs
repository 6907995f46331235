//! Sees every message of a network run, counts them, and places faults: at one of them, or by ending the round before it.
//!
//! Runs of one seed are the same up to the first fault, so a message is named by its number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use candid::Principal;
use canopy_simulator::chance::Fault;
use canopy_simulator::event_log::EventKind;
use canopy_simulator::rules::{CallName, Occasion, Rule};

#[cfg(test)]
mod tests;

/// A call between canisters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number among all calls.
    pub number: u64,
    pub caller: Principal,
    pub callee: Principal,
    pub method: String,
    pub is_bounded: bool,
}

/// A message that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its number among all messages.
    pub number: u64,
    pub kind: EventKind,
    pub canister: Principal,
    pub method: String,
    /// The call that it answers, or whose answer it takes.
    pub call: Option<Call>,
}

/// A fault at one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// When the message of this number runs.
    AtExecution(u64, Fault),
    /// When the answer is on its way that the message of this number gives.
    AtResponse(u64, Fault),
    /// When the call of this number is on its way.
    AtRequest(u64, &'static [Fault]),
}

#[derive(Debug, Default)]
struct Seen {
    calls: BTreeMap<CallName, Call>,
    executions: Vec<Execution>,
    keeps_no_more: bool,
    number: u64,
    placing: Option<Placing>,
    /// The call whose answer meets the fault.
    doomed: Option<CallName>,
    /// The round ends before the message of this number.
    pause_before: Option<u64>,
    is_paused: bool,
    is_placed: bool,
}

/// The eyes of a run, and its hand.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// Begins to watch. `pause_before`: the number of a message before which the round ends, unless it is the first one.
    pub fn new(placing: Option<Placing>, pause_before: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Seen { placing, pause_before, ..Seen::default() })))
    }

    /// Makes the rule for the network.
    pub fn rule(&self) -> Rule {
        let watch = self.clone();
        Rule::new(move |occasion| watch.seen().see(occasion))
    }

    /// Tells whether the round before the chosen message is over.
    pub fn is_paused(&self) -> bool {
        self.seen().is_paused
    }

    /// Tells whether the fault has met its message.
    pub fn is_placed(&self) -> bool {
        self.seen().is_placed
    }

    /// Counts the messages that ran so far.
    pub fn number(&self) -> u64 {
        self.seen().number
    }

    /// Tells whether any message ran of which something holds.
    pub fn any(&self, holds: impl FnMut(&Execution) -> bool) -> bool {
        self.seen().executions.iter().any(holds)
    }

    /// Gives what ran so far, and keeps nothing of what runs later.
    pub fn take(&self) -> Vec<Execution> {
        let mut seen = self.seen();
        seen.keeps_no_more = true;
        std::mem::take(&mut seen.executions)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while it sees")
    }
}

impl Seen {
    fn see(&mut self, occasion: &Occasion) -> Vec<Fault> {
        match *occasion {
            Occasion::Request { call, callee, method, is_bounded } => {
                let number = self.calls.len() as u64;
                let known = self.calls.entry(call).or_insert_with(|| Call {
                    number,
                    caller: call.caller,
                    callee,
                    method: method.to_string(),
                    is_bounded,
                });
                match self.placing {
                    Some(Placing::AtRequest(number, faults)) if known.number == number && !self.is_placed => {
                        self.is_placed = true;
                        faults.to_vec()
                    }
                    _ => Vec::new(),
                }
            }
            Occasion::Response { call } => match self.placing {
                Some(Placing::AtResponse(_, fault)) if self.doomed == Some(call) && !self.is_placed => {
                    self.is_placed = true;
                    vec![fault]
                }
                _ => Vec::new(),
            },
            Occasion::Execution { kind, canister, method, call } => self.run(kind, canister, method, call),
        }
    }

    fn run(&mut self, kind: EventKind, canister: Principal, method: &str, call: Option<CallName>) -> Vec<Fault> {
        let number = self.number;
        self.number += 1;
        if !self.keeps_no_more {
            let call = call.and_then(|call| self.calls.get(&call)).cloned();
            self.executions.push(Execution { number, kind, canister, method: method.to_string(), call });
        }
        let mut faults = Vec::new();
        match self.placing {
            Some(Placing::AtExecution(at, fault)) if at == number => {
                self.is_placed = true;
                faults.push(fault);
            }
            Some(Placing::AtResponse(at, _)) if at == number => self.doomed = call,
            _ => {}
        }
        if self.pause_before == Some(number + 1) {
            self.is_paused = true;
            faults.push(Fault::RoundEnds);
        }
        faults
    }
}
