//! Messages between users, canisters and the management canister.

use candid::Principal;

use crate::errors::{RejectCode, UserError};
use crate::replica::state::CallbackId;

/// The request id of an ingress message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 32]);

/// An update call of a user.
#[derive(Clone, Debug)]
pub struct Ingress {
    pub id: MessageId,
    pub sender: Principal,
    pub receiver: Principal,
    pub method: String,
    pub payload: Vec<u8>,
    pub expiry_nanos: u64,
}

/// What became of an ingress message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressStatus {
    Unknown,
    Received,
    Processing,
    Replied(Vec<u8>),
    Rejected(UserError),
    /// Answered, and the answer is no longer kept.
    Done,
}

/// A call between canisters.
#[derive(Clone, Debug)]
pub struct Request {
    pub sender: Principal,
    pub receiver: Principal,
    pub callback: CallbackId,
    pub method: String,
    pub payload: Vec<u8>,
    pub cycles: u128,
    /// Seconds; None for guaranteed response.
    pub deadline_seconds: Option<u64>,
    pub sent_nanos: u64,
}

impl Request {
    /// Bytes of method name and argument.
    pub fn bytes(&self) -> u64 {
        (self.method.len() + self.payload.len()) as u64
    }
}

/// The contents of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Data(Vec<u8>),
    /// The text as canisters see it, with the `IC0xyz: ` prefix where there is one.
    Reject(RejectCode, String),
}

impl Payload {
    pub fn bytes(&self) -> u64 {
        match self {
            Payload::Data(data) => data.len() as u64,
            Payload::Reject(_, message) => message.len() as u64,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Response {
    /// Who made the call.
    pub caller: Principal,
    pub respondent: Principal,
    pub callback: CallbackId,
    pub refund: u128,
    pub payload: Payload,
    pub deadline_seconds: Option<u64>,
    /// Made by the caller's own subnet when the deadline passed: not a message of the callee.
    pub synthetic: bool,
}

/// Whom to answer.
#[derive(Clone, Debug)]
pub enum CallOrigin {
    Ingress {
        sender: Principal,
        id: MessageId,
    },
    Canister {
        caller: Principal,
        callback: CallbackId,
        deadline_seconds: Option<u64>,
    },
    /// Heartbeat, timer, low-memory hook: nobody.
    System,
}

/// A call to the management canister.
#[derive(Clone, Debug)]
pub struct ManagementCall {
    pub origin: CallOrigin,
    pub caller: Principal,
    pub method: String,
    pub payload: Vec<u8>,
    /// Attached.
    pub cycles: u128,
    /// Round in which it arrived: `raw_rand` answers in a later one.
    pub arrived_round: u64,
}

/// What executing a management call led to.
#[derive(Clone, Debug)]
pub enum ManagementOutcome {
    /// `refund` of the attached cycles goes back; `instructions` count for the round.
    Answered { result: Result<Vec<u8>, UserError>, refund: u128, instructions: u64 },
    /// The call is kept in state (a `StopWaiter`) and will be answered with `SubnetState::answer_management`.
    Later,
    /// Try again in the next round.
    NextRound,
}
