//! Coming back to requests: some time later while everything may go wrong, after the faults until nothing is unknown
//! whose outcome is still kept, and when it is kept no longer.

use super::Workload;
use crate::case::Case;
use crate::guests::GUESTS_KEYS_MAX;
use crate::history::{End, History, OperationId};
use crate::network::Network;
use crate::tally::Happening;

/// One settled request in so many is sent again later, and one unsettled one.
const SETTLED_AGAIN_ONE_IN: u64 = 12;
const UNSETTLED_AGAIN_ONE_IN: u64 = 2;
/// Steps until then.
const LATE_STEPS_MAX: u64 = 300;
/// Sendings to a service that is ready within which an unknown outcome must be told.
const SETTLING_SENDINGS_MAX: u32 = 12;

impl Workload {
    /// Draws whether a request is sent once more, some steps later.
    pub(super) fn perhaps_later(&mut self, request: usize, settled: bool) {
        let steps = self.draw.between(1, LATE_STEPS_MAX);
        let one_in = if settled { SETTLED_AGAIN_ONE_IN } else { UNSETTLED_AGAIN_ONE_IN };
        if self.draw.below(one_in) == 0 {
            self.late.entry(self.steps + steps).or_default().push(request);
        }
    }

    /// Sends what is due.
    pub(super) fn send_late(&mut self, case: &Case, network: &mut Network, history: &mut History) {
        let later = self.late.split_off(&(self.steps + 1));
        for request in std::mem::replace(&mut self.late, later).into_values().flatten() {
            self.send_again(request, case, network, history);
        }
    }

    fn send_again(&mut self, request: usize, case: &Case, network: &mut Network, history: &mut History) {
        let lasts = self.requests[request].kept_until_nanos() > Some(network.instance.time_nanos());
        self.tally.note(if lasts { Happening::LateWithin } else { Happening::LateBeyond });
        self.send(request, case, network, history);
    }

    /// Reads answers, and sends every request again of which something is unknown that the service still keeps. Tells
    /// how many there are.
    ///
    /// # Errors
    /// A request that a ready service didn't settle.
    pub fn settle(
        &mut self,
        case: &Case,
        network: &mut Network,
        history: &mut History,
        ready: bool,
    ) -> Result<usize, String> {
        self.settling = true;
        self.steps += 1;
        self.read_answers(case, network, history);
        let now = network.instance.time_nanos();
        let mut unsettled = 0;
        for at in 0..self.requests.len() {
            let request = &self.requests[at];
            // What a guest may never do can't be settled for it, nor whatever it sent together with that.
            let is_guest = case.guests.contains(&request.client);
            let allowed = |id: &OperationId| !is_guest || history.operation(*id).key < GUESTS_KEYS_MAX;
            let unknown = |id: &&OperationId| history.operation(**id).end() == End::Unknown;
            if request.kept_until_nanos() <= Some(now) || !request.operations.iter().all(allowed) {
                continue;
            }
            let Some(first) = request.operations.iter().find(unknown).copied() else { continue };
            unsettled += 1;
            if request.open > 0 {
                continue;
            }
            if request.settling >= SETTLING_SENDINGS_MAX {
                let operation = history.operation(first);
                return Err(format!("sent {SETTLING_SENDINGS_MAX} times to a service without faults: {operation:?}"));
            }
            self.requests[at].settling += u32::from(ready);
            self.send_again(at, case, network, history);
        }
        Ok(unsettled)
    }

    /// Sends some requests again whose outcome is kept no longer.
    pub fn send_old(&mut self, count: usize, case: &Case, network: &mut Network, history: &mut History) {
        let now = network.instance.time_nanos();
        let old = |at: &usize| self.requests[*at].kept_until_nanos().is_some_and(|until| until <= now);
        let old: Vec<usize> = (0..self.requests.len()).filter(old).collect();
        for _ in 0..count.min(old.len()) {
            let at = old[self.draw.below(old.len() as u64) as usize];
            self.send_again(at, case, network, history);
        }
    }

    /// Tells whether answers are awaited.
    pub fn awaits_answers(&self) -> bool {
        !self.open.is_empty()
    }
}
