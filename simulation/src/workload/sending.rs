//! Sending: to the router or to a shard itself, as a person or through a canister.

use candid::Principal;
use canopy_types::codec::encode;
use canopy_types::shard::ApplyArguments;

use super::{Open, Workload};
use crate::answers::{Heard, hear, read_reject};
use crate::case::Case;
use crate::faults::FaultName;
use crate::history::{Asked, History, SendingId};
use crate::network::Network;
use crate::sender::{Call, Terms};
use crate::tally::Happening;

/// Steps that an impatient sender waits.
const IMPATIENT_STEPS_MAX: u64 = 4;
/// Steps after which every sender gives up: by then the message has expired and all deadlines have passed.
const PATIENT_STEPS_MAX: u64 = 4_000;
/// Cycles that a caller attaches now and then; the router takes none.
const ATTACHED_CYCLES: u64 = 1_000_000;
/// Seconds that a calling canister waits, at least and at most.
const CALLER_TIMEOUT_SECONDS: (u64, u64) = (5, 300);
/// One sending in so many goes to the shard itself.
const DIRECT_ONE_IN: u64 = 4;

/// What was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub request: usize,
    /// One per item, in their order; none for a page of a scan.
    pub sendings: Vec<SendingId>,
    pub asked: Asked,
}

/// To whom to send what.
struct Address {
    callee: Principal,
    direct: bool,
    method: &'static str,
    arguments: Vec<u8>,
    /// Places of the items that are sent.
    places: Vec<usize>,
}

impl Workload {
    /// Sends a request, perhaps again.
    pub(super) fn send(&mut self, at: usize, case: &Case, network: &mut Network, history: &mut History) {
        let address = self.draw_address(at, case, network, history);
        self.tally.note_if(address.direct, Happening::Direct);
        let request = &mut self.requests[at];
        self.tally.note_if(!request.items.is_empty() && request.sent > 0, Happening::BatchAgain);
        request.sent += 1;
        request.open += 1;
        let (method, sender) = (request.method, self.clients[request.client].sender);
        let from = network.round_nanos;
        let asked = Asked { sent: history.moment(from), direct: address.direct };
        let operations = address.places.iter().map(|place| request.operations[*place]);
        let sendings = operations.map(|operation| history.send_to(operation, from, address.direct)).collect();
        let sent = Sent { request: at, sendings, asked };
        let impatient = self.draw.fires(case.rate(FaultName::SenderGivesUp)) && !self.settling;
        let steps_left = if impatient { self.draw.below(IMPATIENT_STEPS_MAX) } else { PATIENT_STEPS_MAX };
        let (timeout_from, timeout_to) = CALLER_TIMEOUT_SECONDS;
        let bounded = self.draw.below(4) > 0;
        let timeout = self.draw.between(timeout_from, timeout_to) as u32;
        let cycles = if self.draw.below(2) == 0 { ATTACHED_CYCLES } else { 0 };
        if method.is_query() {
            let answer = network.query(sender.principal(), address.callee, address.method, address.arguments);
            let heard = match &answer {
                Ok(reply) => hear(method, address.direct, sent.sendings.len(), reply),
                // A query changes nothing, so whatever its reject says, nothing was done.
                Err(error) => Ok(Heard::All(read_reject(error, false))),
            };
            return self.end(&sent, heard, case, network, history);
        }
        let call = Call { callee: address.callee, method: address.method, arguments: address.arguments };
        let terms = Terms { timeout_seconds: bounded.then_some(timeout), cycles };
        match sender.submit(call, terms, network) {
            Ok(message) => {
                self.given_up += u64::from(impatient);
                self.open.push(Open { sent, message, steps_left });
            }
            Err(error) => {
                self.note_reason(format!("not submitted: {}", error.code));
                self.end(&sent, Ok(Heard::All(read_reject(&error, false))), case, network, history);
            }
        }
    }

    fn draw_address(&mut self, at: usize, case: &Case, network: &mut Network, history: &History) -> Address {
        let wants_direct = self.draw.below(DIRECT_ONE_IN) == 0;
        // A shard answers for all items, and refuses those of other shards; who knows that leaves them out.
        let all_items = self.draw.below(2) == 0;
        let beginning = self.draw.bits();
        let request = &self.requests[at];
        let router = Address {
            callee: network.router,
            direct: false,
            method: request.method.name(),
            arguments: request.arguments.clone(),
            places: (0..request.operations.len()).collect(),
        };
        if !wants_direct {
            return router;
        }
        let direct = |callee, arguments, places| Address {
            callee,
            direct: true,
            method: request.method.name_at_shard(),
            arguments,
            places,
        };
        if let Some(scan) = &request.scan {
            return match network.owner_of_hash(scan.next_hash()) {
                Some(owner) => direct(owner, scan.arguments_for_shard(case), Vec::new()),
                None => router,
            };
        }
        let key = |place: usize| &case.keys[history.operation(request.operations[place]).key];
        let first = (beginning % request.operations.len() as u64) as usize;
        let Some(owner) = network.owner(key(first)) else { return router };
        if request.items.is_empty() {
            return direct(owner, request.arguments.clone(), router.places);
        }
        let owned = |place: &usize| all_items || *place == first || network.owner(key(*place)) == Some(owner);
        let places: Vec<usize> = router.places.into_iter().filter(owned).collect();
        let caller = self.clients[request.client].sender.principal();
        let items = places.iter().map(|place| request.items[*place].clone()).collect();
        let operation = request.operation.clone();
        let arguments = encode(&ApplyArguments { caller, operation, reply_bytes_max: None, items });
        direct(owner, arguments, places)
    }
}
