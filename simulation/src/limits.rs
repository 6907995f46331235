//! The limit on what each caller may ask for, and when shards are split by themselves: an administrator sets that once the
//! service has begun, and turns it off after the faults.

use canopy_simulator::instance::MessageId;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{Policy, SetPolicyArguments, SetPolicyResult};

use crate::answers::Impossible;
use crate::case::{Case, Growth};
use crate::network::Network;

/// The limit of a run, and what became of it.
#[derive(Debug, Default)]
pub struct Limits {
    /// Operations per minute; None: the run has no limit.
    limit: Option<u64>,
    growth: Option<Growth>,
    /// What was last sent and is not yet answered, and whether it turns all off.
    open: Option<(MessageId, bool)>,
    /// From when on it held for certain, and from when on perhaps no more, in nanoseconds.
    held_from: Option<u64>,
    held_until: Option<u64>,
    lifted: bool,
    pub impossible: Option<Impossible>,
}

impl Limits {
    /// Makes the limits of a case.
    pub fn new(case: &Case) -> Self {
        Self { limit: case.rate_limit, growth: case.growth, ..Self::default() }
    }

    /// Tells limit and times between which it held, in nanoseconds; None if it never did.
    pub fn held(&self) -> Option<(u64, u64, u64)> {
        Some((self.limit?, self.held_from?, self.held_until.unwrap_or(u64::MAX)))
    }

    /// Tells whether the case has any.
    fn is_none(&self) -> bool {
        self.limit.is_none() && self.growth.is_none()
    }

    /// Sets the limits unless they are set.
    pub fn step(&mut self, network: &mut Network) {
        self.read_answer(network);
        if !self.is_none() && self.held_from.is_none() {
            self.send(false, network);
        }
    }

    /// Turns the limits off; tells whether that is done.
    pub fn lift(&mut self, network: &mut Network) -> bool {
        self.read_answer(network);
        if self.is_none() || self.lifted {
            return true;
        }
        self.held_until.get_or_insert(network.round_nanos);
        self.send(true, network);
        false
    }

    fn arguments(&self, lifts: bool) -> SetPolicyArguments {
        let or_off = |setting: u64| Some(if lifts { 0 } else { setting });
        let growth = self.growth.map_or_else(SetPolicyArguments::default, |growth| SetPolicyArguments {
            split_at_operations_per_minute: or_off(growth.split_at_operations_per_minute),
            split_at_record_bytes: or_off(growth.split_at_record_bytes),
            splits_per_hour_max: Some(growth.splits_per_hour),
            ..SetPolicyArguments::default()
        });
        SetPolicyArguments { operations_per_minute_max: self.limit.and_then(or_off), ..growth }
    }

    fn send(&mut self, lifts: bool, network: &mut Network) {
        if self.open.is_some() {
            return;
        }
        let arguments = self.arguments(lifts);
        let (administrator, router) = (network.administrator, network.router);
        // Refused while the router is stopped; it is asked again.
        if let Ok(message) = network.submit(administrator, router, "set_policy", encode(&arguments)) {
            self.open = Some((message, lifts));
        }
    }

    fn read_answer(&mut self, network: &Network) {
        let Some((message, lifts)) = &self.open else { return };
        let Some(answer) = network.answer(message) else { return };
        let lifts = *lifts;
        self.open = None;
        // A call that was rejected was not run, or was taken back; it is sent again.
        let Ok(reply) = answer else { return };
        match decode::<SetPolicyResult>(&reply) {
            Ok(Ok(policy)) if !self.is_answered_by(&policy, lifts) => {
                let asked = self.arguments(lifts);
                self.impossible = Some(Impossible(format!("{asked:?} was answered {policy:?}")));
            }
            Ok(Ok(_)) if lifts => self.lifted = true,
            Ok(Ok(_)) => {
                self.held_from.get_or_insert(network.instance.time_nanos());
            }
            other => self.impossible = Some(Impossible(format!("a legal policy was answered {other:?}"))),
        }
    }

    /// Tells whether a policy says what was asked for.
    fn is_answered_by(&self, policy: &Policy, lifts: bool) -> bool {
        let asked = self.arguments(lifts);
        policy.operations_per_minute_max == asked.operations_per_minute_max.filter(|&limit| limit > 0)
            && policy.split_at_operations_per_minute == asked.split_at_operations_per_minute
            && policy.split_at_record_bytes == asked.split_at_record_bytes
            && policy.splits_per_hour_max == asked.splits_per_hour_max
    }
}
