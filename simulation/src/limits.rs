//! The limit on what each caller may ask for: an administrator sets it once the service has begun, and lifts it after
//! the faults.

use canopy_simulator::instance::MessageId;
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{SetPolicyArguments, SetPolicyResult};

use crate::answers::Impossible;
use crate::case::Case;
use crate::network::Network;

/// The limit of a run, and what became of it.
#[derive(Debug, Default)]
pub struct Limits {
    /// Operations per minute; None: the run has no limit.
    limit: Option<u64>,
    /// What was last sent, 0 to lift the limit, and not yet answered.
    open: Option<(MessageId, u64)>,
    /// From when on the limit held for certain, and from when on perhaps no more, in nanoseconds.
    held_from: Option<u64>,
    held_until: Option<u64>,
    lifted: bool,
    pub impossible: Option<Impossible>,
}

impl Limits {
    /// Makes the limit of a case.
    pub fn new(case: &Case) -> Self {
        Self { limit: case.rate_limit, ..Self::default() }
    }

    /// Tells limit and times between which it held, in nanoseconds; None if it never did.
    pub fn held(&self) -> Option<(u64, u64, u64)> {
        Some((self.limit?, self.held_from?, self.held_until.unwrap_or(u64::MAX)))
    }

    /// Sets the limit unless it is set.
    pub fn step(&mut self, network: &mut Network) {
        self.read_answer(network);
        if let (Some(limit), None) = (self.limit, self.held_from) {
            self.send(limit, network);
        }
    }

    /// Lifts the limit; tells whether that is done.
    pub fn lift(&mut self, network: &mut Network) -> bool {
        self.read_answer(network);
        if self.limit.is_none() || self.lifted {
            return true;
        }
        self.held_until.get_or_insert(network.round_nanos);
        self.send(0, network);
        false
    }

    fn send(&mut self, limit: u64, network: &mut Network) {
        if self.open.is_some() {
            return;
        }
        let arguments = SetPolicyArguments { operations_per_minute_max: Some(limit), ..SetPolicyArguments::default() };
        let (administrator, router) = (network.administrator, network.router);
        // Refused while the router is stopped; it is asked again.
        if let Ok(message) = network.submit(administrator, router, "set_policy", encode(&arguments)) {
            self.open = Some((message, limit));
        }
    }

    fn read_answer(&mut self, network: &Network) {
        let Some((message, limit)) = &self.open else { return };
        let Some(answer) = network.answer(message) else { return };
        let limit = *limit;
        self.open = None;
        // A call that was rejected was not run, or was taken back; it is sent again.
        let Ok(reply) = answer else { return };
        match decode::<SetPolicyResult>(&reply) {
            Ok(Ok(policy)) if policy.operations_per_minute_max.unwrap_or(0) != limit => {
                self.impossible = Some(Impossible(format!("a limit of {limit} was answered {policy:?}")));
            }
            Ok(Ok(_)) if limit == 0 => self.lifted = true,
            Ok(Ok(_)) => {
                self.held_from.get_or_insert(network.instance.time_nanos());
            }
            other => self.impossible = Some(Impossible(format!("a legal policy was answered {other:?}"))),
        }
    }
}
