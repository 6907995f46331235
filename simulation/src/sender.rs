//! Who sends: a person, or a canister on behalf of a person.

use candid::Principal;
use canopy_simulator::errors::UserError;
use canopy_simulator::instance::MessageId;

use crate::answers::{Answer, Impossible, delivered, read_reject};
use crate::caller::{Forward, Forwarded};
use crate::network::Network;
use crate::tally::Happening;

/// A client, as the network knows it.
#[derive(Clone, Copy, Debug)]
pub enum Sender {
    User(Principal),
    Canister { canister: Principal, user: Principal },
}

/// What to ask whom for.
#[derive(Clone, Debug)]
pub struct Call {
    pub callee: Principal,
    pub method: &'static str,
    pub arguments: Vec<u8>,
}

/// How a canister calls.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// None: without bound.
    pub timeout_seconds: Option<u32>,
    pub cycles: u64,
}

impl Sender {
    /// Lists the clients of a network, as senders.
    pub fn all(network: &Network) -> Vec<Sender> {
        let users = network.users.iter().map(|user| Sender::User(*user));
        let user = network.users[0];
        users.chain(network.callers.iter().map(|canister| Sender::Canister { canister: *canister, user })).collect()
    }

    /// Tells whom the service takes for its caller.
    pub fn principal(self) -> Principal {
        match self {
            Sender::User(user) => user,
            Sender::Canister { canister, .. } => canister,
        }
    }

    pub fn is_canister(self) -> bool {
        matches!(self, Sender::Canister { .. })
    }

    /// Sends an update.
    ///
    /// # Errors
    /// The refusal of the subnet, before anything ran.
    pub fn submit(self, call: Call, terms: Terms, network: &mut Network) -> Result<MessageId, UserError> {
        match self {
            Sender::User(user) => network.submit(user, call.callee, call.method, call.arguments),
            Sender::Canister { canister, user } => {
                let forward = Forward {
                    timeout_seconds: terms.timeout_seconds,
                    cycles: terms.cycles,
                    callee: call.callee,
                    method: call.method,
                    argument: &call.arguments,
                };
                network.risked += if terms.timeout_seconds.is_some() { terms.cycles as u128 } else { 0 };
                network.submit(user, canister, "forward", forward.encode())
            }
        }
    }

    /// Reads how an update ended: the callee's reply, or what it means that there is none. `None`: the sender gave up.
    ///
    /// # Errors
    /// An answer of a canister that isn't one.
    pub fn reply(self, answer: Option<Result<Vec<u8>, UserError>>) -> Result<Result<Vec<u8>, Answer>, Impossible> {
        match (answer, self) {
            (None, _) => Ok(Err(Answer::may_run(Happening::GaveUp))),
            (Some(Err(error)), _) => Ok(Err(read_reject(&error, true))),
            (Some(Ok(reply)), Sender::User(_)) => Ok(Ok(reply)),
            (Some(Ok(reply)), Sender::Canister { .. }) => Forwarded::decode(&reply)
                .map(delivered)
                .ok_or_else(|| Impossible("the caller answered something that is not its type".to_string())),
        }
    }
}
