//! Clients, each of which wants one thing after the other, sends it until it is settled or not worth it, and comes back
//! to some of it later.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_simulator::errors::UserError;
use canopy_simulator::instance::MessageId;

use crate::answers::{Answer, Impossible, Method, describe_reply, read_any_reply, read_forwarded, read_reject};
use crate::caller::{Forward, Forwarded};
use crate::case::{Case, stream};
use crate::draw::Draw;
use crate::faults::FaultName;
use crate::history::{Action, End, History, NotRun, OperationId, Outcome, SendingId, Told};
use crate::network::Network;
use crate::tally::{Happening, Tally};

mod late;
mod requests;

use requests::{Known, Recent, Request};

/// Steps that an impatient sender waits.
const IMPATIENT_STEPS_MAX: u64 = 4;
/// Steps after which every sender gives up: by then the message has expired and all deadlines have passed.
const PATIENT_STEPS_MAX: u64 = 4_000;
/// Cycles that a caller attaches now and then; the router takes none.
const ATTACHED_CYCLES: u64 = 1_000_000;
/// Seconds that a calling canister waits, at least and at most.
const CALLER_TIMEOUT_SECONDS: (u64, u64) = (5, 300);
/// Sendings of one request, one after the other, before its client turns to something else.
const SENDINGS_MAX: u32 = 6;
/// One write in so many is sent twice at once.
const TWICE_ONE_IN: u64 = 10;
/// One sending in so many goes to the shard itself.
const DIRECT_ONE_IN: u64 = 4;
/// Reasons that are told apart, and how much of each is kept.
const REASONS_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 120;

/// Who sends.
#[derive(Clone, Copy, Debug)]
enum Sender {
    User(Principal),
    Canister { canister: Principal, user: Principal },
}

/// A sending under way.
#[derive(Clone, Debug)]
struct Open {
    request: usize,
    sendings: Vec<SendingId>,
    /// To the shard itself.
    direct: bool,
    message: MessageId,
    steps_left: u64,
}

/// What a client is about.
#[derive(Clone, Copy, Debug)]
struct Current {
    request: usize,
    /// Steps until it is sent again, because of this; None while an answer is awaited.
    again: Option<(u64, Happening)>,
}

#[derive(Clone, Debug)]
struct Client {
    sender: Sender,
    current: Option<Current>,
    recent: Option<Recent>,
    /// Steps until the next request.
    rest: u64,
}

/// All clients of a run.
pub struct Workload {
    clients: Vec<Client>,
    requests: Vec<Request>,
    open: Vec<Open>,
    /// Requests to be sent again, by the step.
    late: BTreeMap<u64, Vec<usize>>,
    /// By key.
    known: Vec<Known>,
    draw: Draw,
    steps: u64,
    /// Operations still to begin.
    left: usize,
    next_value: u64,
    /// After the faults.
    settling: bool,
    /// Times that a sender gave up early.
    pub given_up: u64,
    /// Sendings that were answered since the last look.
    pub answered: u64,
    pub impossible: Option<Impossible>,
    pub tally: Tally,
    /// What the answers that were not `done` said, and how often.
    pub reasons: BTreeMap<String, u64>,
}

impl Workload {
    /// Makes the clients of `case`.
    pub fn new(case: &Case, network: &Network) -> Self {
        let users = network.users.iter().map(|user| Sender::User(*user));
        let callers =
            network.callers.iter().map(|canister| Sender::Canister { canister: *canister, user: network.users[0] });
        let client = |sender| Client { sender, current: None, recent: None, rest: 0 };
        Self {
            clients: users.chain(callers).map(client).collect(),
            requests: Vec::new(),
            open: Vec::new(),
            late: BTreeMap::new(),
            known: vec![Known::default(); case.keys.len()],
            draw: Draw::new(case.seed, stream::WORKLOAD),
            steps: 0,
            left: case.operations,
            next_value: 0,
            settling: false,
            given_up: 0,
            answered: 0,
            impossible: None,
            tally: Tally::default(),
            reasons: BTreeMap::new(),
        }
    }

    /// Tells whether every operation was begun and no client waits for anything.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.open.is_empty() && self.clients.iter().all(|client| client.current.is_none())
    }

    /// Tells whether all that is left is to wait.
    pub fn is_waiting(&self) -> bool {
        let awaits = |client: &Client| client.current.is_some_and(|current| current.again.is_none());
        self.clients.iter().all(|client| awaits(client) || self.left == 0)
    }

    /// Reads answers and sends what comes next.
    pub fn step(&mut self, case: &Case, network: &mut Network, history: &mut History) {
        self.steps += 1;
        self.read_answers(network, history);
        self.send_late(case, network, history);
        for client in 0..self.clients.len() {
            let Client { current, rest, .. } = &mut self.clients[client];
            match current {
                None if self.left == 0 => {}
                None if *rest > 0 => *rest -= 1,
                None => self.begin(client, case, network, history),
                Some(Current { again: None, .. }) => {}
                Some(Current { again: Some((steps, _)), .. }) if *steps > 0 => *steps -= 1,
                Some(Current { again, request }) => {
                    let (why, request) = (again.take(), *request);
                    why.into_iter().for_each(|(_, why)| self.tally.note(why));
                    self.send(request, case, network, history);
                }
            }
        }
    }

    fn begin(&mut self, client: usize, case: &Case, network: &mut Network, history: &mut History) {
        let request = self.draw_request(client, case, network.instance.time_nanos(), history);
        self.left = self.left.saturating_sub(request.operations.len());
        let twice = request.issued_nanos.is_some() && self.draw.below(TWICE_ONE_IN) == 0;
        self.requests.push(request);
        let request = self.requests.len() - 1;
        self.clients[client].current = Some(Current { request, again: None });
        self.send(request, case, network, history);
        if twice {
            self.tally.note(Happening::Twice);
            self.send(request, case, network, history);
        }
    }

    /// Sends a request, perhaps again.
    fn send(&mut self, at: usize, case: &Case, network: &mut Network, history: &mut History) {
        let key = history.operation(self.requests[at].operations[0]).key;
        let owner = if self.draw.below(DIRECT_ONE_IN) == 0 { network.owner(&case.keys[key]) } else { None };
        self.tally.note_if(owner.is_some(), Happening::Direct);
        let (callee, direct) = (owner.unwrap_or(network.router), owner.is_some());
        let request = &mut self.requests[at];
        request.sent += 1;
        request.open += 1;
        let (method, sender) = (request.method, self.clients[request.client].sender);
        let from = network.round_nanos;
        let sendings: Vec<SendingId> =
            request.operations.iter().map(|operation| history.send_to(*operation, from, direct)).collect();
        let impatient = self.draw.fires(case.rate(FaultName::SenderGivesUp)) && !self.settling;
        let steps_left = if impatient { self.draw.below(IMPATIENT_STEPS_MAX) } else { PATIENT_STEPS_MAX };
        let (timeout_from, timeout_to) = CALLER_TIMEOUT_SECONDS;
        let bounded = self.draw.below(4) > 0;
        let timeout = self.draw.between(timeout_from, timeout_to) as u32;
        let cycles = if self.draw.below(2) == 0 { ATTACHED_CYCLES } else { 0 };
        let sent = match sender {
            Sender::User(user) if method == Method::GetQuery => {
                let answer = network.query(user, callee, method.name(), request.arguments.clone());
                let read = match &answer {
                    Ok(reply) => read_any_reply(method, direct, reply),
                    // A query changes nothing, so whatever its reject says, nothing was done.
                    Err(error) => Ok(read_reject(error, false)),
                };
                return self.end(at, &sendings, read, network, history);
            }
            Sender::User(user) => network.submit(user, callee, method.name(), request.arguments.clone()),
            Sender::Canister { canister, user } => {
                let forward = Forward {
                    timeout_seconds: bounded.then_some(timeout),
                    cycles,
                    callee,
                    method: method.name(),
                    argument: &request.arguments,
                };
                network.risked += if bounded { cycles as u128 } else { 0 };
                network.submit(user, canister, "forward", forward.encode())
            }
        };
        match sent {
            Ok(message) => {
                self.given_up += u64::from(impatient);
                self.open.push(Open { request: at, sendings, direct, message, steps_left });
            }
            Err(error) => {
                self.note_reason(format!("not submitted: {}", error.code));
                self.end(at, &sendings, Ok(read_reject(&error, false)), network, history);
            }
        }
    }

    fn read_answers(&mut self, network: &Network, history: &mut History) {
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            let request = &self.requests[open.request];
            let (method, sender) = (request.method, self.clients[request.client].sender);
            let answer = network.answer(&open.message);
            let read = match &answer {
                None if open.steps_left > 0 => {
                    open.steps_left -= 1;
                    still_open.push(open);
                    continue;
                }
                None => Ok(Answer::may_run(Happening::GaveUp)),
                Some(Err(error)) => Ok(read_reject(error, true)),
                Some(Ok(reply)) => match sender {
                    Sender::User(_) => read_any_reply(method, open.direct, reply),
                    Sender::Canister { .. } => Forwarded::decode(reply)
                        .ok_or_else(|| Impossible("the caller answered something that is not its type".to_string()))
                        .and_then(|forwarded| read_forwarded(method, open.direct, &forwarded)),
                },
            };
            if !matches!(read, Ok(Answer { told: Told::Done(_), .. })) {
                self.note_reason(describe_answer(method, open.direct, sender, answer.as_ref()));
            }
            self.answered += 1;
            self.end(open.request, &open.sendings, read, network, history);
        }
        self.open.extend(still_open);
    }

    fn note_reason(&mut self, mut reason: String) {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Notes what one sending was told, and decides what its client does next.
    fn end(
        &mut self,
        at: usize,
        sendings: &[SendingId],
        read: Result<Answer, Impossible>,
        network: &Network,
        history: &mut History,
    ) {
        let answer = read.unwrap_or_else(|impossible| {
            self.impossible.get_or_insert(impossible);
            Answer::may_run(Happening::Unknown)
        });
        for sending in sendings {
            self.note_answer(*sending, answer, network.instance.time_nanos(), history);
        }
        let request = &mut self.requests[at];
        request.open -= 1;
        let (client, open, named, sent) = (request.client, request.open, request.issued_nanos.is_some(), request.sent);
        if self.settling || self.clients[client].current.is_none_or(|current| current.request != at) {
            return;
        }
        let settled = self.requests[at].operations.iter().all(|operation| is_settled(*operation, history));
        if !settled && open > 0 {
            return;
        }
        if !settled && named && sent < SENDINGS_MAX && self.draw.below(4) > 0 {
            let steps = [0, 0, 1, 4, 12][self.draw.below(5) as usize];
            self.clients[client].current = Some(Current { request: at, again: Some((steps, again(answer.kind))) });
            return;
        }
        self.clients[client].current = None;
        self.clients[client].rest = [0, 0, 1, 5][self.draw.below(4) as usize];
        if named {
            self.perhaps_later(at, settled);
        }
    }

    fn note_answer(&mut self, sending: SendingId, answer: Answer, now_nanos: u64, history: &mut History) {
        let operation = history.operation(sending.operation);
        let (key, action) = (operation.key, operation.action);
        let before = operation.end();
        let may_have_run = operation.told().any(|(_, told)| told == Told::MayRun);
        history.answer(sending, now_nanos, answer.told);
        let Told::Done(outcome) = answer.told else { return self.tally.note(answer.kind) };
        match (before, may_have_run) {
            (End::Done(_), _) => self.tally.note(Happening::Repeated),
            (_, true) if self.settling => self.tally.note(Happening::SettledInTheEnd),
            (_, true) => self.tally.note(Happening::Settled),
            _ => {}
        }
        if !matches!(outcome, Outcome::PreconditionFailed { .. }) {
            self.tally.note(answer.kind);
        }
        if let Some(precondition) = action.precondition() {
            self.tally.note(Happening::of_precondition(precondition, outcome));
        }
        let known = &mut self.known[key];
        match (action, outcome) {
            (Action::Put { time_to_live_nanos, .. }, Outcome::Put { version }) => {
                known.version = Some(version);
                known.ends_nanos = time_to_live_nanos.map(|lasts| now_nanos + lasts);
            }
            (_, Outcome::Got(Some(seen))) => {
                *known = Known { version: Some(seen.version), ends_nanos: seen.expires_at_nanos };
            }
            (_, Outcome::Got(None)) if known.ends_nanos.take_if(|end| *end <= now_nanos).is_some() => {
                self.tally.note(Happening::EndReached);
            }
            (_, Outcome::Deleted(Some(_))) => known.ends_nanos = None,
            _ => {}
        }
    }
}

/// Tells whether no later sending can be told anything new.
fn is_settled(operation: OperationId, history: &History) -> bool {
    history
        .operation(operation)
        .told()
        .any(|(_, told)| matches!(told, Told::Done(_) | Told::NotRun(NotRun::IdReused | NotRun::TooOld)))
}

/// Says for what reason a request is sent again.
fn again(kind: Happening) -> Happening {
    match kind {
        Happening::Unknown | Happening::CallUnknown | Happening::RejectedLate => Happening::AgainAfterUnknown,
        Happening::NotReady => Happening::AgainAfterNotReady,
        Happening::OutOfSpace => Happening::AgainAfterOutOfSpace,
        Happening::ShardUnavailable => Happening::AgainAfterUnavailable,
        Happening::Unauthorised | Happening::RolesUnknown => Happening::AgainAfterUnauthorised,
        Happening::FromTheFuture => Happening::AgainAfterFuture,
        Happening::Expired => Happening::AgainAfterExpiry,
        Happening::GaveUp => Happening::AgainAfterGivingUp,
        Happening::Rejected | Happening::NotSubmitted | Happening::CallRejected | Happening::CallNotSent => {
            Happening::AgainAfterReject
        }
        _ => Happening::AgainAfterBusy,
    }
}

/// Describes an answer that is not `done`, without what differs from one to the next.
fn describe_answer(
    method: Method,
    direct: bool,
    sender: Sender,
    answer: Option<&Result<Vec<u8>, UserError>>,
) -> String {
    match (answer, sender) {
        (None, _) => "the sender gave up".to_string(),
        (Some(Err(error)), _) => format!("{}: {}", error.code, error.message),
        (Some(Ok(reply)), Sender::User(_)) => describe_reply(method, direct, reply),
        (Some(Ok(reply)), Sender::Canister { .. }) => match Forwarded::decode(reply) {
            Some(Forwarded::Reply(reply)) => describe_reply(method, direct, &reply),
            Some(Forwarded::Reject { code, message }) => format!("to a canister: {code} {message}"),
            Some(Forwarded::NotSent) => "to a canister: not sent".to_string(),
            None => "no reply of a caller".to_string(),
        },
    }
}
