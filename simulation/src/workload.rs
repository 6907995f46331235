//! Clients, each of which wants one thing after the other, sends it until it is settled or not worth it, and comes back
//! to some of it later.

use std::collections::BTreeMap;

use canopy_simulator::errors::UserError;
use canopy_simulator::instance::MessageId;

use crate::answers::{Answer, Heard, Impossible, Method, describe_reply, hear};
use crate::caller::Forwarded;
use crate::case::{Case, stream};
use crate::checkers::rates::Use;
use crate::draw::Draw;
use crate::history::{History, NotRun, OperationId, Told};
use crate::network::Network;
use crate::sender::Sender;
use crate::tally::{Happening, Tally};

mod hearing;
mod late;
mod requests;
mod scans;
mod sending;

pub use scans::Scan;

use requests::{Known, Recent, Request};
use sending::Sent;

/// Sendings of one request, one after the other, before its client turns to something else.
const SENDINGS_MAX: u32 = 6;
/// One write in so many is sent twice at once.
const TWICE_ONE_IN: u64 = 10;
/// Reasons that are told apart, and how much of each is kept.
const REASONS_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 120;

/// A sending under way.
#[derive(Clone, Debug)]
struct Open {
    sent: Sent,
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
    /// What clients were served through the router by updates.
    pub uses: Vec<Use>,
    /// What the answers that were not `done` said, and how often.
    pub reasons: BTreeMap<String, u64>,
}

impl Workload {
    /// Makes the clients of `case`.
    pub fn new(case: &Case, network: &Network) -> Self {
        let client = |sender| Client { sender, current: None, recent: None, rest: 0 };
        Self {
            clients: Sender::all(network).into_iter().map(client).collect(),
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
            uses: Vec::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Tells how many operations are still to begin.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Tells which version of a key anyone was last told, if any.
    pub fn known_version(&self, key: usize) -> Option<u64> {
        self.known[key].version
    }

    /// Hears what somebody else was told of a key.
    pub fn learn(&mut self, key: usize, version: u64, ends_nanos: Option<u64>) {
        self.known[key] = Known { version: Some(version), ends_nanos };
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
        self.read_answers(case, network, history);
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
        let may_scan = network.learn_hashes(&case.keys);
        let request = self.draw_request(client, case, network.instance.time_nanos(), may_scan, history);
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

    fn read_answers(&mut self, case: &Case, network: &mut Network, history: &mut History) {
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            let request = &self.requests[open.sent.request];
            let (method, sender) = (request.method, self.clients[request.client].sender);
            let (direct, items) = (open.sent.asked.direct, open.sent.sendings.len());
            let answer = network.answer(&open.message);
            if answer.is_none() && open.steps_left > 0 {
                open.steps_left -= 1;
                still_open.push(open);
                continue;
            }
            let heard = sender.reply(answer.clone()).and_then(|reply| match reply {
                Ok(reply) => hear(method, direct, items, &reply),
                Err(answer) => Ok(Heard::All(answer)),
            });
            if !is_done(&heard) {
                self.note_reason(describe_answer(method, direct, sender, answer.as_ref()));
            }
            self.answered += 1;
            self.end(&open.sent, heard, case, network, history);
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
        sent: &Sent,
        heard: Result<Heard, Impossible>,
        case: &Case,
        network: &mut Network,
        history: &mut History,
    ) {
        let heard = heard.unwrap_or_else(|impossible| {
            self.impossible.get_or_insert(impossible);
            Heard::All(Answer::may_run(Happening::Unknown))
        });
        self.requests[sent.request].open -= 1;
        if self.requests[sent.request].scan.is_some() {
            return self.end_page(sent, heard, case, network, history);
        }
        let answers = match heard {
            Heard::All(answer) => vec![answer; sent.sendings.len()],
            Heard::Each(answers) => answers,
            Heard::Page(_) => unreachable!("only scans are answered pages"),
        };
        self.note_use(sent, &answers, network);
        self.note_batch(sent, &answers);
        let mut kind = None;
        for (sending, answer) in sent.sendings.iter().zip(&answers) {
            self.note_answer(*sending, *answer, network.instance.time_nanos(), history);
            if answer.kind == Happening::WrongShard {
                network.forget_owner(&case.keys[history.operation(sending.operation).key]);
            }
            if !is_settled(sending.operation, history) {
                kind.get_or_insert(answer.kind);
            }
        }
        let request = &self.requests[sent.request];
        let (client, open, named, times) = (request.client, request.open, request.issued_nanos.is_some(), request.sent);
        if self.settling || self.clients[client].current.is_none_or(|current| current.request != sent.request) {
            return;
        }
        let settled = self.requests[sent.request].operations.iter().all(|operation| is_settled(*operation, history));
        if !settled && open > 0 {
            return;
        }
        if !settled && named && times < SENDINGS_MAX && self.draw.below(4) > 0 {
            let steps = self.draw_pause();
            // Items that this sending left out are what is still open if those that it had are settled.
            let why = again(kind.unwrap_or(Happening::WrongShard));
            self.clients[client].current = Some(Current { request: sent.request, again: Some((steps, why)) });
            return;
        }
        self.rest(client);
        if named {
            self.perhaps_later(sent.request, settled);
        }
    }

    fn draw_pause(&mut self) -> u64 {
        [0, 0, 1, 4, 12][self.draw.below(5) as usize]
    }

    /// Lets a client turn to something else, some steps later.
    fn rest(&mut self, client: usize) {
        self.clients[client].current = None;
        self.clients[client].rest = [0, 0, 1, 5][self.draw.below(4) as usize];
    }
}

/// Tells whether all that was sent was done.
fn is_done(heard: &Result<Heard, Impossible>) -> bool {
    let done = |answer: &Answer| matches!(answer.told, Told::Done(_));
    match heard {
        Ok(Heard::All(answer)) => done(answer),
        Ok(Heard::Each(answers)) => answers.iter().all(done),
        Ok(Heard::Page(_)) => true,
        Err(_) => false,
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
        Happening::Unauthorised | Happening::RolesUnknown | Happening::BatchRefused => {
            Happening::AgainAfterUnauthorised
        }
        Happening::FromTheFuture => Happening::AgainAfterFuture,
        Happening::Expired => Happening::AgainAfterExpiry,
        Happening::WrongShard => Happening::AgainAfterWrongShard,
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
