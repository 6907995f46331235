//! The steps of a transfer that meets no trouble, and what can befall whom at each.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_simulator::event_log::EventKind;

use super::scene::Rehearsal;
use super::watch::{Call, Execution, Placing};
use super::{Kind, Party, Spot, Trouble};

#[cfg(test)]
mod tests;

/// Methods of router and shards that serve clients.
const CLIENT_METHODS: [&str; 10] =
    ["put", "get", "delete", "apply", "scan", "put_many", "get_many", "delete_many", "get_query", "scan_query"];
/// Methods by which shards are told who may do what. An emptied shard is wiped once all have been told, and otherwise they
/// have nothing to do with transfers.
const ROLE_METHODS: [&str; 2] = ["set_roles", "renew_roles"];

/// One message that runs for a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number among all messages.
    pub number: u64,
    /// Who runs it; None: the management canister.
    pub at: Option<Party>,
    pub what: String,
    /// The router knows how the transfer has ended.
    pub is_after_end: bool,
    /// The call that it answers.
    answers: Option<Answered>,
}

/// The call that a step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answered {
    number: u64,
    caller: Option<Party>,
    is_bounded: bool,
}

/// All steps of a kind of transfer.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub steps: Vec<Step>,
    /// Numbers of the messages after which the target is there, has code, and the transfer is named; after which the source
    /// has begun, and the range is handed over.
    target_exists: u64,
    target_serves: u64,
    named: u64,
    source_began: u64,
    handed_over: u64,
}

/// Why something can't befall a party at a step.
pub type Inapplicable = &'static str;

/// How often a trouble can't befall a party, by the reason.
pub type LeftOut = BTreeMap<(Party, Trouble, Inapplicable), u64>;

impl Step {
    /// Shows it, for people.
    pub fn describe(&self) -> String {
        format!("{}: {}", self.at.map_or("platform", Party::text), self.what)
    }
}

impl Plan {
    /// Finds the steps among all that ran.
    ///
    /// # Errors
    /// A message without which there is no transfer is missing.
    pub fn new(kind: Kind, rehearsal: &Rehearsal) -> Result<Self, String> {
        let find = |party: Principal, method: &str| {
            let ran = rehearsal.executions.iter().find(|ran| ran.canister == party && is_call_of(ran, method));
            ran.map(|ran| ran.number).ok_or_else(|| format!("no `{method}` ran"))
        };
        let of_platform = |method: &str| {
            let mut all = rehearsal.executions.iter();
            all.find(|ran| ran.kind == EventKind::Management && ran.method == method).map(|ran| ran.number)
        };
        let (target_exists, target_serves) = match kind {
            Kind::SplitToNew => {
                let missing = || "no spare was made".to_string();
                (of_platform("create_canister").ok_or_else(missing)?, of_platform("install_code").ok_or_else(missing)?)
            }
            _ => (0, 0),
        };
        let mut plan = Self {
            kind,
            steps: Vec::new(),
            target_exists,
            target_serves,
            named: find(rehearsal.router, rehearsal.method)?,
            source_began: find(rehearsal.source, "begin_transfer")?,
            handed_over: find(rehearsal.target, "hand_over")?,
        };
        let steps = rehearsal.executions.iter().filter_map(|ran| plan.step(ran, rehearsal));
        plan.steps = steps.filter(|step| kind != Kind::Retire || step.is_after_end).collect();
        plan.count_equal_steps();
        Ok(plan)
    }

    fn step(&self, ran: &Execution, rehearsal: &Rehearsal) -> Option<Step> {
        let party = |canister: Principal| {
            let parties = [(rehearsal.source, Party::Source), (rehearsal.target, Party::Target)];
            let all = parties.into_iter().chain([(rehearsal.router, Party::Router)]);
            all.into_iter().find(|(of, _)| *of == canister).map(|(_, party)| party)
        };
        let at = party(ran.canister);
        let caller = ran.call.as_ref().map(|call| party(call.caller));
        let is_platform = ran.kind == EventKind::Management;
        if at.is_none() && !(is_platform && caller.flatten().is_some()) {
            return None;
        }
        let is_after_end = ran.number >= rehearsal.ended;
        let subject = ran.call.as_ref().map_or(ran.method.as_str(), |call| call.method.as_str());
        let is_of_roles = ROLE_METHODS.contains(&subject) && !(self.kind.empties() && is_after_end);
        if CLIENT_METHODS.contains(&subject) || is_of_roles {
            return None;
        }
        let what = match ran.kind {
            EventKind::ReplyCallback | EventKind::RejectCallback => format!("answer to {subject}"),
            EventKind::GlobalTimer => "timer".to_string(),
            _ => subject.to_string(),
        };
        let is_callback = matches!(ran.kind, EventKind::ReplyCallback | EventKind::RejectCallback);
        let answers = ran.call.as_ref().filter(|_| !is_callback).map(|call: &Call| Answered {
            number: call.number,
            caller: party(call.caller),
            is_bounded: call.is_bounded,
        });
        Some(Step { number: ran.number, at, what, is_after_end, answers })
    }

    /// Tells equal steps apart by their number.
    fn count_equal_steps(&mut self) {
        let mut times: BTreeMap<(Option<Party>, String), u32> = BTreeMap::new();
        for step in &mut self.steps {
            let times = times.entry((step.at, step.what.clone())).or_default();
            *times += 1;
            if *times > 1 {
                step.what = format!("{} ({times})", step.what);
            }
        }
    }

    /// Lists what can befall whom at which step, and counts what can't by its reason.
    pub fn spots(&self) -> (Vec<Spot>, LeftOut) {
        let mut spots = Vec::new();
        let mut inapplicable = BTreeMap::new();
        for step in 0..self.steps.len() {
            for party in Party::ALL {
                for trouble in Trouble::ALL {
                    match self.check(&self.steps[step], party, trouble) {
                        Ok(()) => spots.push(Spot { kind: self.kind, step, party, trouble }),
                        Err(reason) => *inapplicable.entry((party, trouble, reason)).or_default() += 1,
                    }
                }
            }
        }
        (spots, inapplicable)
    }

    /// Tells whether something can befall a party at a step.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, step: &Step, party: Party, trouble: Trouble) -> Result<(), Inapplicable> {
        let is_answer = trouble.of_response().is_some() || trouble.of_request().is_some();
        match trouble {
            Trouble::Trap if step.at.is_none() => Err("the platform runs the step"),
            Trouble::Trap if step.at != Some(party) => Err("another party runs the step"),
            _ if is_answer => match step.answers {
                Some(Answered { caller, .. }) if caller != Some(party) => Err("another party awaits the answer"),
                None => Err("the step answers no call"),
                Some(Answered { is_bounded: false, .. }) => Err("the call waits without a bound, so nothing is lost"),
                Some(_) if trouble.of_request().is_some() && step.at.is_none() => {
                    Err("requests to the management canister meet no faults on the simulator")
                }
                Some(_) => Ok(()),
            },
            Trouble::Lost if party == Party::Source => Err("records of a lost source are lost: there is no copy"),
            Trouble::Lost if party == Party::Target => Err("played apart, while the range is closed"),
            Trouble::Cancel if step.number <= self.named => Err("the transfer has no name yet"),
            Trouble::Cancel if step.is_after_end => Err("the transfer has ended"),
            _ if party == Party::Target && step.number <= self.target_exists && self.kind == Kind::SplitToNew => {
                Err("the target doesn't exist yet")
            }
            Trouble::Upgrade | Trouble::UpgradeRunning | Trouble::Cancel
                if party == Party::Target && step.number <= self.target_serves && self.kind == Kind::SplitToNew =>
            {
                Err("the target has no code yet")
            }
            _ => Ok(()),
        }
    }

    /// Tells the fault of a spot that comes by itself, and the number of the message before which the rest comes.
    pub fn place(&self, spot: &Spot) -> (Option<Placing>, Option<u64>) {
        let step = &self.steps[spot.step];
        let call = || step.answers.expect("INVARIANT: only answers to calls meet this trouble").number;
        if let Some(faults) = spot.trouble.of_request() {
            (Some(Placing::AtRequest(call(), faults)), None)
        } else if let Some(fault) = spot.trouble.of_response() {
            (Some(Placing::AtResponse(step.number, fault)), None)
        } else if spot.trouble == Trouble::Trap {
            (Some(Placing::AtExecution(step.number, canopy_simulator::chance::Fault::OutOfInstructions)), None)
        } else {
            (None, Some(step.number))
        }
    }

    /// Tells whether the source has begun before a step, so that the shards end the transfer by themselves.
    pub fn goes_on_alone(&self, step: usize) -> bool {
        self.steps[step].number > self.source_began
    }

    /// Tells the number of the message that hands the range over.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }
}

/// Tells whether a message is a call of a method.
fn is_call_of(ran: &Execution, method: &str) -> bool {
    ran.kind == EventKind::Update && ran.method == method
}
