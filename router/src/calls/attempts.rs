//! A call to a shard over its attempts, sent by callbacks of the platform, without a future.
//!
//! The tables of an executor and the state of a future lie all over the heap, and every page that a message dirties costs
//! 1,000 instructions and counts among what a canister may write in a round.

use canopy_types::api::Refusal;

use super::{ATTEMPTS_MAX, Effect, Reply, Request, check_cycles, is_given_back, platform_busy, rejected};
use crate::message;
use crate::refusal::Failure;

/// What the platform runs when a call is answered: `on_cleanup` when one of the others has trapped.
pub struct Callbacks {
    pub on_reply: unsafe extern "C" fn(usize),
    pub on_reject: unsafe extern "C" fn(usize),
    pub on_cleanup: unsafe extern "C" fn(usize),
}

/// A call that is sent again if that may help, and what is unknown of it.
pub struct Attempts {
    pub request: Request,
    /// What is unknown of an attempt before the one that is under way.
    pub unknown: Option<Failure>,
    made: u32,
}

impl Attempts {
    /// Begins with none.
    pub fn new(request: Request) -> Self {
        Self::after(request, None)
    }

    /// Begins with none, given what is unknown of an earlier call for the same.
    pub fn after(request: Request, unknown: Option<Failure>) -> Self {
        Self { request, unknown, made: 0 }
    }

    /// Turns to another shard, to which as many attempts may be made; what is unknown stays so.
    pub fn turn_to(&mut self, shard: candid::Principal) {
        (self.request.shard, self.made) = (shard, 0);
    }

    /// Sends the call: one of `callbacks` runs on `environment` in a later message. Arguments that aren't kept go with it.
    /// With `timeout_seconds` it is an update and waits no longer; without, a composite query, of which nothing is kept.
    ///
    /// # Errors
    ///
    /// `Busy`: the platform took no call, and no callback will run.
    pub fn send(
        &mut self,
        timeout_seconds: Option<u32>,
        callbacks: &Callbacks,
        environment: usize,
    ) -> Result<(), Refusal> {
        self.made += 1;
        let is_kept = self.request.is_kept();
        let Request { shard, method, arguments, .. } = &mut self.request;
        // SAFETY: the callbacks are functions that take what they are given here.
        unsafe {
            ic0::call_new(shard.as_slice(), method, callbacks.on_reply, environment, callbacks.on_reject, environment);
            if timeout_seconds.is_some() {
                ic0::call_on_cleanup(callbacks.on_cleanup, environment);
            }
        }
        ic0::call_data_append(arguments);
        if !is_kept {
            *arguments = Vec::new();
        }
        if let Some(seconds) = timeout_seconds {
            ic0::call_with_best_effort_response(seconds);
        }
        if ic0::call_perform() != 0 { Err(platform_busy("the platform took no call")) } else { Ok(()) }
    }

    /// Says what it means that the call can't be sent: what is unknown of an attempt before, and otherwise the refusal.
    pub fn not_sent(&mut self, refusal: Refusal) -> Failure {
        self.unknown.take().unwrap_or(Failure::NotDone(refusal))
    }

    /// Reads the reply that this message brings.
    pub fn reply(&mut self) -> Reply {
        Reply { bytes: message::argument(), unknown: self.unknown.take() }
    }

    /// Reads the reject that this message brings. The call is to be sent again if that may help.
    ///
    /// # Errors
    ///
    /// What the reject means, if it isn't.
    pub fn reject(&mut self, may_send_again: bool) -> Result<(), Failure> {
        let (code, message) = (ic_cdk::api::msg_reject_code(), ic_cdk::api::msg_reject_msg());
        let failure = rejected(self.request.shard, code, &message);
        let is_unknown = matches!(failure, Failure::Unknown { .. });
        let may_help = if is_unknown { self.request.effect != Effect::Write } else { is_given_back(code, &message) };
        if is_unknown && self.request.effect == Effect::NamedWrite {
            self.unknown.get_or_insert_with(|| failure.clone());
        }
        if !may_send_again || !may_help || self.made >= ATTEMPTS_MAX || !self.request.is_kept() {
            return Err(self.unknown.take().unwrap_or(failure));
        }
        check_cycles([&self.request].into_iter()).map_err(|refusal| self.not_sent(refusal))
    }
}
