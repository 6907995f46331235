//! Clients, each of which sends one operation after the other, and what they are told.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_simulator::errors::UserError;
use canopy_simulator::instance::MessageId;
use canopy_types::codec::encode;
use canopy_types::limits::VALUE_BYTES_MAX;
use canopy_types::{DeleteArguments, GetArguments, PutArguments};

use crate::answers::{Impossible, Method, describe_reply, fingerprint, read_forwarded, read_reject, read_reply};
use crate::caller::{Forward, Forwarded};
use crate::case::{Case, stream};
use crate::draw::Draw;
use crate::faults::FaultName;
use crate::history::{Action, History, OperationId, Outcome};
use crate::network::Network;

/// Steps that an impatient sender waits.
const IMPATIENT_STEPS_MAX: u64 = 4;
/// Steps after which every sender gives up: by then the message has expired and all deadlines have passed.
const PATIENT_STEPS_MAX: u64 = 4_000;
/// Cycles that a caller attaches now and then; the router takes none.
const ATTACHED_CYCLES: u64 = 1_000_000;
/// Seconds that a calling canister waits, at least and at most.
const CALLER_TIMEOUT_SECONDS: (u64, u64) = (5, 300);
/// Reasons that are told apart, and how much of each is kept.
const REASONS_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 120;
/// Bytes of a value that tell it apart from others.
const VALUE_NUMBER_BYTES: usize = 8;

/// Who sends.
#[derive(Clone, Copy, Debug)]
enum Sender {
    User(Principal),
    Canister { canister: Principal, user: Principal },
}

/// An operation under way.
#[derive(Clone, Debug)]
struct Open {
    operation: OperationId,
    method: Method,
    message: MessageId,
    steps_left: u64,
}

#[derive(Clone, Debug)]
struct Client {
    sender: Sender,
    open: Option<Open>,
    /// Steps until the next operation.
    rest: u64,
}

/// All clients of a run.
pub struct Workload {
    clients: Vec<Client>,
    draw: Draw,
    /// Operations still to send.
    left: usize,
    next_value: u64,
    /// Times that a sender gave up early.
    pub given_up: u64,
    /// Calls that were answered since the last look.
    pub answered: u64,
    pub impossible: Option<Impossible>,
    /// What the answers that were not `done` said, and how often.
    pub reasons: BTreeMap<String, u64>,
}

impl Workload {
    /// Makes the clients of `case`.
    pub fn new(case: &Case, network: &Network) -> Self {
        let users = network.users.iter().map(|user| Sender::User(*user));
        let callers =
            network.callers.iter().map(|canister| Sender::Canister { canister: *canister, user: network.users[0] });
        Self {
            clients: users.chain(callers).map(|sender| Client { sender, open: None, rest: 0 }).collect(),
            draw: Draw::new(case.seed, stream::WORKLOAD),
            left: case.operations,
            next_value: 0,
            given_up: 0,
            answered: 0,
            impossible: None,
            reasons: BTreeMap::new(),
        }
    }

    /// Tells whether every operation was sent and has ended.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.clients.iter().all(|client| client.open.is_none())
    }

    /// Tells whether all that is left is to wait.
    pub fn is_waiting(&self) -> bool {
        self.clients.iter().all(|client| client.open.is_some() || self.left == 0)
    }

    /// Reads answers and sends what comes next.
    pub fn step(&mut self, case: &Case, network: &mut Network, history: &mut History) {
        for client in 0..self.clients.len() {
            self.read_answer(client, network, history);
            if self.clients[client].open.is_some() || self.left == 0 {
                continue;
            }
            if self.clients[client].rest > 0 {
                self.clients[client].rest -= 1;
                continue;
            }
            self.send(client, case, network, history);
        }
    }

    fn read_answer(&mut self, client: usize, network: &mut Network, history: &mut History) {
        let sender = self.clients[client].sender;
        let Some(open) = &mut self.clients[client].open else { return };
        let answer = network.answer(&open.message);
        let outcome = match &answer {
            None if open.steps_left > 0 => {
                open.steps_left -= 1;
                return;
            }
            None => Ok(Outcome::Unknown),
            Some(Err(error)) => Ok(read_reject(error, true)),
            Some(Ok(reply)) => match sender {
                Sender::User(_) => read_reply(open.method, reply),
                Sender::Canister { .. } => Forwarded::decode(reply)
                    .ok_or_else(|| Impossible("the caller answered something that is not its type".to_string()))
                    .and_then(|forwarded| read_forwarded(open.method, &forwarded)),
            },
        };
        let (operation, method) = (open.operation, open.method);
        if matches!(outcome, Ok(Outcome::Refused | Outcome::Unknown)) {
            self.note_reason(describe_answer(method, sender, answer.as_ref()));
        }
        self.clients[client].open = None;
        self.answered += 1;
        self.note(history, operation, outcome);
    }

    fn note_reason(&mut self, mut reason: String) {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    fn note(&mut self, history: &mut History, operation: OperationId, outcome: Result<Outcome, Impossible>) {
        match outcome {
            Ok(outcome) => history.answer(operation, outcome),
            Err(impossible) => {
                history.answer(operation, Outcome::Unknown);
                self.impossible.get_or_insert(impossible);
            }
        }
    }

    fn send(&mut self, client: usize, case: &Case, network: &mut Network, history: &mut History) {
        self.left -= 1;
        let sender = self.clients[client].sender;
        self.clients[client].rest = [0, 0, 1, 5][self.draw.below(4) as usize];
        let key = self.draw.below(case.keys.len() as u64) as usize;
        let mut method = [Method::Put, Method::Get, Method::Delete, Method::GetQuery]
            [self.draw.weighted(&[case.mix.put, case.mix.get, case.mix.delete, case.mix.get_query])];
        if matches!((sender, method), (Sender::Canister { .. }, Method::GetQuery)) {
            // Canisters can't call composite queries in replicated mode.
            method = Method::Get;
        }
        let (action, arguments) = self.make(case, method, key);
        let operation = history.invoke(client, key, action);
        let impatient = self.draw.fires(case.rate(FaultName::SenderGivesUp));
        let steps_left = if impatient { self.draw.below(IMPATIENT_STEPS_MAX) } else { PATIENT_STEPS_MAX };
        let (timeout_from, timeout_to) = CALLER_TIMEOUT_SECONDS;
        let bounded = self.draw.below(4) > 0;
        let timeout = self.draw.between(timeout_from, timeout_to) as u32;
        let cycles = if self.draw.below(2) == 0 { ATTACHED_CYCLES } else { 0 };
        let sent = match sender {
            Sender::User(user) if method == Method::GetQuery => {
                let outcome = match network.query(user, network.router, method.name(), arguments) {
                    Ok(reply) => read_reply(method, &reply),
                    Err(_) => Ok(Outcome::Refused),
                };
                self.note(history, operation, outcome);
                return;
            }
            Sender::User(user) => network.submit(user, network.router, method.name(), arguments),
            Sender::Canister { canister, user } => {
                let forward = Forward {
                    timeout_seconds: bounded.then_some(timeout),
                    cycles,
                    callee: network.router,
                    method: method.name(),
                    argument: &arguments,
                };
                network.risked += if bounded { cycles as u128 } else { 0 };
                network.submit(user, canister, "forward", forward.encode())
            }
        };
        match sent {
            Ok(message) => {
                self.given_up += u64::from(impatient);
                self.clients[client].open = Some(Open { operation, method, message, steps_left });
            }
            Err(error) => {
                self.note_reason(format!("not submitted: {}", error.code));
                history.answer(operation, read_reject(&error, false));
            }
        }
    }

    fn make(&mut self, case: &Case, method: Method, key: usize) -> (Action, Vec<u8>) {
        let key = case.keys[key].clone();
        match method {
            Method::Put => {
                let value = self.make_value(case);
                let action = Action::Put(fingerprint(&value));
                (action, encode(&PutArguments::new(key, value)))
            }
            Method::Delete => (Action::Delete, encode(&DeleteArguments::new(key))),
            Method::Get | Method::GetQuery => (Action::Get, encode(&GetArguments::new(key))),
        }
    }

    /// Makes a value that was not put before, but for empty ones.
    fn make_value(&mut self, case: &Case) -> Vec<u8> {
        self.next_value += 1;
        let large = case.large_value_one_in > 0 && self.draw.below(case.large_value_one_in) == 0;
        let bytes = match self.draw.below(20) {
            _ if large => VALUE_BYTES_MAX,
            0 => return Vec::new(),
            1 => self.draw.between(1_000, 20_000) as usize,
            _ => self.draw.between(VALUE_NUMBER_BYTES as u64, 300) as usize,
        };
        let mut value = self.next_value.to_le_bytes().to_vec();
        value.resize(bytes, b'v');
        value
    }
}

/// Describes an answer that is not `done`, without what differs from one to the next.
fn describe_answer(method: Method, sender: Sender, answer: Option<&Result<Vec<u8>, UserError>>) -> String {
    match (answer, sender) {
        (None, _) => "the sender gave up".to_string(),
        (Some(Err(error)), _) => format!("{}: {}", error.code, error.message),
        (Some(Ok(reply)), Sender::User(_)) => describe_reply(method, reply),
        (Some(Ok(reply)), Sender::Canister { .. }) => match Forwarded::decode(reply) {
            Some(Forwarded::Reply(reply)) => describe_reply(method, &reply),
            Some(Forwarded::Reject { code, message }) => format!("to a canister: {code} {message}"),
            Some(Forwarded::NotSent) => "to a canister: not sent".to_string(),
            None => "no reply of a caller".to_string(),
        },
    }
}
