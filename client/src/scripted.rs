//! A transport that answers from a script and notes what it was asked. Unlike the real ones its futures are `Send`, as
//! those of a transport for programs with many threads would be.

use candid::{CandidType, Principal};
use canopy_types::codec::{decode, encode};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::client::Client;
use crate::transport::{CallError, CannotWait, Transport};

/// Where all clocks begin: in 2025.
pub const START_NANOSECONDS: u64 = 1_750_000_000_000_000_000;

pub const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub canister: Principal,
    pub method: String,
    pub arguments: Vec<u8>,
    pub is_query: bool,
    pub at_nanoseconds: u64,
}

impl Asked {
    pub fn read<A: CandidType + DeserializeOwned>(&self) -> A {
        decode(&self.arguments).expect("the arguments are what the method takes")
    }
}

type Step = Box<dyn FnOnce(&Asked) -> Result<Vec<u8>, CallError> + Send>;

pub struct Scripted {
    state: Mutex<State>,
    pub can_wait: bool,
    pub can_query_composite: bool,
}

struct State {
    now: u64,
    draws: u64,
    script: VecDeque<Step>,
    asked: Vec<Asked>,
}

impl Default for Scripted {
    fn default() -> Self {
        let state = State { now: START_NANOSECONDS, draws: 0, script: VecDeque::new(), asked: Vec::new() };
        Self { state: Mutex::new(state), can_wait: true, can_query_composite: true }
    }
}

impl Scripted {
    /// As in a canister.
    pub fn of_canister() -> Self {
        Self { can_wait: false, can_query_composite: false, ..Self::default() }
    }

    /// Answers the next call so.
    pub fn then(&self, answer: Result<Vec<u8>, CallError>) -> &Self {
        self.then_by(move |_| answer)
    }

    /// Replies to the next call so.
    pub fn reply<R: CandidType>(&self, reply: &R) -> &Self {
        self.then(Ok(encode(reply)))
    }

    /// Loses the next call.
    pub fn lose(&self) -> &Self {
        self.then(Err(CallError::Unknown { message: "lost".to_string() }))
    }

    /// Rejects the next call.
    pub fn reject(&self, reject_code: u32) -> &Self {
        self.then(Err(CallError::Rejected { reject_code, message: "rejected".to_string() }))
    }

    /// Answers the next call by what it asks.
    pub fn then_by(&self, step: impl FnOnce(&Asked) -> Result<Vec<u8>, CallError> + Send + 'static) -> &Self {
        self.state.lock().unwrap().script.push_back(Box::new(step));
        self
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    pub fn pass(&self, milliseconds: u64) {
        self.state.lock().unwrap().now += milliseconds * NANOSECONDS_PER_MILLISECOND;
    }

    fn answer(
        &self,
        canister: Principal,
        method: &str,
        arguments: &[u8],
        is_query: bool,
    ) -> Result<Vec<u8>, CallError> {
        let (asked, step) = {
            let mut state = self.state.lock().unwrap();
            let (method, arguments) = (method.to_string(), arguments.to_vec());
            let asked = Asked { canister, method, arguments, is_query, at_nanoseconds: state.now };
            state.asked.push(asked.clone());
            let step = state.script.pop_front();
            (asked, step)
        };
        let step = step.unwrap_or_else(|| panic!("the script ends before {}", asked.method));
        step(&asked)
    }
}

impl Transport for Scripted {
    fn caller(&self) -> Principal {
        me()
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.answer(canister, method, arguments, false)
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.answer(canister, method, arguments, true)
    }

    fn can_query_composite(&self) -> bool {
        self.can_query_composite
    }

    fn now_nanoseconds(&self) -> u64 {
        self.state.lock().unwrap().now
    }

    fn draw(&self) -> [u8; 16] {
        let mut state = self.state.lock().unwrap();
        state.draws += 1;
        u128::from(state.draws).to_le_bytes()
    }

    async fn wait(&self, milliseconds: u64) -> Result<(), CannotWait> {
        if !self.can_wait {
            return Err(CannotWait);
        }
        self.pass(milliseconds);
        Ok(())
    }
}

/// Runs a future of which nothing waits for anything.
pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a scripted transport answers at once"),
    }
}

pub fn me() -> Principal {
    Principal::self_authenticating("me")
}

pub fn router() -> Principal {
    Principal::self_authenticating("router")
}

/// Gives the canister of a shard.
pub fn shard(number: u8) -> Principal {
    Principal::from_slice(&[number, 1, 1])
}

/// Makes a client that sends everything through the router.
pub fn client(transport: Scripted) -> Client<Scripted> {
    Client::new(transport, router()).with_routing(crate::client::Routing::ThroughRouter)
}
