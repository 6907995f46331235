//! Input and output queues of one canister: FIFO per sender and per receiver, fair between them.

use std::collections::{BTreeMap, VecDeque};

use candid::Principal;

use crate::chance::{Chance, Point, Schedule};
use crate::limits::QUEUE_SLOTS;
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

/// Where inputs come from; canisters take turns between the three.
const SOURCES: u8 = 3;

/// Messages of one sender, and of how many calls of it the canister still owes the answer.
#[derive(Clone, Debug, Default)]
struct InputQueue {
    messages: VecDeque<Input>,
    requests: usize,
}

/// Queues of one canister.
///
/// INVARIANT: a sender is in `local` or `remote` exactly once iff its queue has messages.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    ingress: VecDeque<Ingress>,
    inputs: BTreeMap<Principal, InputQueue>,
    local: VecDeque<Principal>,
    remote: VecDeque<Principal>,
    next_source: u8,
    pub outputs: BTreeMap<Principal, VecDeque<Output>>,
}

impl Queues {
    /// Nothing waits in either direction.
    pub fn is_empty(&self) -> bool {
        !self.has_input() && self.outputs.is_empty()
    }

    pub fn has_input(&self) -> bool {
        !self.ingress.is_empty() || !self.local.is_empty() || !self.remote.is_empty()
    }

    pub fn push_ingress(&mut self, ingress: Ingress) {
        self.ingress.push_back(ingress);
    }

    /// Queues a request unless the sender's slots are used up; `open` counts its calls that run or wait for an answer
    /// already. Gives it back if there is no slot, else None.
    #[must_use]
    pub fn push_request(&mut self, request: Request, open: usize, is_local: bool) -> Option<Request> {
        let queue = self.inputs.entry(request.sender).or_default();
        if queue.requests + open >= QUEUE_SLOTS {
            return Some(request);
        }
        queue.requests += 1;
        let sender = request.sender;
        self.push_input(sender, Input::Request(request), is_local);
        None
    }

    /// Queues a response; its slot was reserved when the call was made.
    pub fn push_response(&mut self, response: Response, is_local: bool) {
        let sender = response.respondent;
        self.push_input(sender, Input::Response(response), is_local);
    }

    fn push_input(&mut self, sender: Principal, input: Input, is_local: bool) {
        let queue = self.inputs.entry(sender).or_default();
        if queue.messages.is_empty() {
            if is_local { &mut self.local } else { &mut self.remote }.push_back(sender);
        }
        queue.messages.push_back(input);
    }

    /// Takes the next message: sources in turn, senders of a source in turn, or drawn in the shuffled schedule.
    pub fn pop(&mut self, chance: &mut Chance) -> Option<Input> {
        if chance.schedule() == Schedule::Shuffled {
            self.next_source = chance.below(Point::InputSource, SOURCES as u64) as u8;
            for senders in [&mut self.local, &mut self.remote] {
                let turn = chance.choose(Point::InputSource, senders.len());
                senders.rotate_left(turn);
            }
        }
        for _ in 0..SOURCES {
            let source = self.next_source;
            self.next_source = (self.next_source + 1) % SOURCES;
            let input = match source {
                0 => self.ingress.pop_front().map(Input::Ingress),
                1 => Self::pop_from(&mut self.local, &mut self.inputs),
                _ => Self::pop_from(&mut self.remote, &mut self.inputs),
            };
            if input.is_some() {
                return input;
            }
        }
        None
    }

    fn pop_from(senders: &mut VecDeque<Principal>, inputs: &mut BTreeMap<Principal, InputQueue>) -> Option<Input> {
        let sender = senders.pop_front()?;
        let queue = inputs.get_mut(&sender).expect("a listed sender has a queue");
        let input = queue.messages.pop_front().expect("a listed sender has messages");
        if let Input::Request(_) = input {
            queue.requests -= 1;
        }
        if queue.messages.is_empty() {
            inputs.remove(&sender);
        } else {
            senders.push_back(sender);
        }
        Some(input)
    }

    pub fn push_output(&mut self, output: Output) {
        let receiver = match &output {
            Output::Request(request) => request.receiver,
            Output::Response(response) => response.caller,
        };
        self.outputs.entry(receiver).or_default().push_back(output);
    }

    /// Takes ingress messages whose time is up.
    pub fn expire_ingress(&mut self, now_nanos: u64) -> Vec<Ingress> {
        let (expired, kept) = self.ingress.drain(..).partition(|ingress| ingress.expiry_nanos <= now_nanos);
        self.ingress = kept;
        Vec::from_iter::<VecDeque<Ingress>>(expired)
    }

    /// Takes the inputs that `drop` picks, in order; ingress is not asked about.
    pub fn take_inputs(&mut self, mut drop: impl FnMut(&Input) -> bool) -> Vec<Input> {
        let mut taken = Vec::new();
        for queue in self.inputs.values_mut() {
            let (out, kept): (VecDeque<_>, VecDeque<_>) = queue.messages.drain(..).partition(|input| drop(input));
            queue.messages = kept;
            queue.requests -= out.iter().filter(|input| matches!(input, Input::Request(_))).count();
            taken.extend(out);
        }
        self.inputs.retain(|_, queue| !queue.messages.is_empty());
        let inputs = &self.inputs;
        self.local.retain(|sender| inputs.contains_key(sender));
        self.remote.retain(|sender| inputs.contains_key(sender));
        taken
    }

    /// Takes the outputs that `drop` picks, in order.
    pub fn take_outputs(&mut self, mut drop: impl FnMut(&Output) -> bool) -> Vec<Output> {
        let mut taken = Vec::new();
        for queue in self.outputs.values_mut() {
            let (out, kept): (VecDeque<_>, VecDeque<_>) = queue.drain(..).partition(|output| drop(output));
            *queue = kept;
            taken.extend(out);
        }
        self.outputs.retain(|_, queue| !queue.is_empty());
        taken
    }

    /// Lists what waits from canisters, in order of senders.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.inputs.values().flat_map(|queue| &queue.messages)
    }

    /// Takes all ingress.
    pub fn take_ingress(&mut self) -> Vec<Ingress> {
        self.ingress.drain(..).collect()
    }

    /// Sums cycles that travel in the queues.
    pub fn cycles(&self) -> u128 {
        let inputs = self.inputs.values().flat_map(|queue| &queue.messages).map(|input| match input {
            Input::Ingress(_) => 0,
            Input::Request(request) => request.cycles,
            Input::Response(response) => response.refund,
        });
        let outputs = self.outputs.values().flatten().map(|output| match output {
            Output::Request(request) => request.cycles,
            Output::Response(response) => response.refund,
        });
        inputs.chain(outputs).sum()
    }
}

impl Output {
    /// Returns the deadline in seconds of a best-effort message.
    pub fn deadline_seconds(&self) -> Option<u64> {
        match self {
            Output::Request(request) => request.deadline_seconds,
            Output::Response(response) => response.deadline_seconds,
        }
    }
}

impl Input {
    /// Returns the deadline in seconds of a best-effort message from another canister.
    pub fn deadline_seconds(&self) -> Option<u64> {
        match self {
            Input::Ingress(_) => None,
            Input::Request(request) => request.deadline_seconds,
            Input::Response(response) => response.deadline_seconds.filter(|_| !response.synthetic),
        }
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
