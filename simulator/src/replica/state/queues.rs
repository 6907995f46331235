//! Input and output queues of one canister.

use std::collections::{BTreeMap, VecDeque};

use candid::Principal;

use crate::replica::state::{Ingress, Request, Response};

/// A message that waits to be executed.
#[derive(Clone, Debug)]
pub enum Input {
    Ingress(Ingress),
    Request(Request),
    Response(Response),
}

/// A message that waits to be routed.
#[derive(Clone, Debug)]
pub enum Output {
    Request(Request),
    Response(Response),
}

/// Queues: FIFO per sender and per receiver.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    pub ingress: VecDeque<Ingress>,
    pub inputs: BTreeMap<Principal, VecDeque<Input>>,
    pub outputs: BTreeMap<Principal, VecDeque<Output>>,
}

impl Queues {
    /// Nothing waits in either direction.
    pub fn is_empty(&self) -> bool {
        self.ingress.is_empty() && self.inputs.is_empty() && self.outputs.is_empty()
    }
}
