//! Parts of a batch that are sent at the same time, for one reply: without a future, as [`super::handing_on`].

use std::cell::RefCell;
use std::rc::Rc;

use canopy_types::marks::{self, Phase};
use canopy_types::wire::batch::is_everyday;

use super::attempts::{Attempts, Callbacks};
use super::{Deadline, Reply, Request};
use crate::refusal::Failure;
use crate::state::OpenCall;

/// A call that was sent, and what came of it.
pub struct Answered {
    /// Its arguments are gone unless they were kept and the answer isn't of every day: then another shard may be asked.
    pub request: Request,
    pub answer: Result<Reply, Failure>,
}

/// What is made of all answers, in the order of the calls. Runs once, in the message that brings the last one.
type Finish = Box<dyn FnOnce(Vec<Answered>)>;

/// Calls that are under way for one reply.
struct AtOnce {
    calls: Vec<Call>,
    /// Calls that aren't answered.
    waiting: usize,
    deadline: Deadline,
    finish: Option<Finish>,
}

enum Call {
    /// With what counts it as open.
    UnderWay(Attempts, #[expect(dead_code, reason = "it is there to be dropped")] OpenCall),
    Answered(Answered),
    /// Between the two.
    Nothing,
}

/// Which of the calls the platform answers.
struct Place {
    all: Rc<RefCell<AtOnce>>,
    index: usize,
}

const CALLBACKS: Callbacks = Callbacks { on_reply, on_reject, on_cleanup };

/// Sends calls that were admitted, and has `finish` reply when the last is answered. Each is sent again at most once.
pub fn send(
    calls: impl IntoIterator<Item = (Attempts, OpenCall)>,
    deadline: Deadline,
    finish: impl FnOnce(Vec<Answered>) + 'static,
) {
    let calls: Vec<Call> = calls.into_iter().map(|(attempts, open)| Call::UnderWay(attempts, open)).collect();
    let count = calls.len();
    let all = AtOnce { calls, waiting: count, deadline, finish: Some(Box::new(finish)) };
    let all = Rc::new(RefCell::new(all));
    (0..count).for_each(|index| perform(&all, index));
    conclude(&all);
    marks::end(Phase::Encode);
}

fn perform(all: &Rc<RefCell<AtOnce>>, index: usize) {
    let mut calls = all.borrow_mut();
    let timeout = calls.deadline.timeout_seconds(ic_cdk::api::time);
    let Call::UnderWay(attempts, _) = &mut calls.calls[index] else {
        unreachable!("INVARIANT: what is answered isn't sent again")
    };
    let environment = Box::into_raw(Box::new(Place { all: Rc::clone(all), index }));
    let sent = timeout.and_then(|seconds| attempts.send(Some(seconds), &CALLBACKS, environment as usize));
    if let Err(refusal) = sent {
        // SAFETY: the box was made above, and no callback will run.
        drop(unsafe { Box::from_raw(environment) });
        let failure = attempts.not_sent(refusal);
        calls.answer(index, Err(failure));
    }
}

impl AtOnce {
    fn answer(&mut self, index: usize, answer: Result<Reply, Failure>) {
        let Call::UnderWay(attempts, _) = std::mem::replace(&mut self.calls[index], Call::Nothing) else {
            unreachable!("INVARIANT: a call is answered once")
        };
        let mut request = attempts.request;
        // What isn't counted as open any more takes no memory either, while the others are waited for.
        let may_be_elsewhere = answer.as_ref().is_ok_and(|reply| !is_everyday(&reply.bytes));
        if !may_be_elsewhere {
            request.arguments = Vec::new();
        }
        self.calls[index] = Call::Answered(Answered { request, answer });
        self.waiting -= 1;
    }
}

/// Replies, if all is answered.
fn conclude(all: &RefCell<AtOnce>) {
    let mut calls = all.borrow_mut();
    if calls.waiting > 0 {
        return;
    }
    let finish = calls.finish.take().expect("INVARIANT: the last answer comes once");
    let answers = std::mem::take(&mut calls.calls).into_iter().map(|call| match call {
        Call::Answered(answered) => answered,
        Call::UnderWay(..) | Call::Nothing => unreachable!("INVARIANT: nothing is waited for"),
    });
    let answers = answers.collect();
    drop(calls);
    finish(answers);
}

unsafe extern "C" fn on_reply(environment: usize) {
    marks::begin();
    // SAFETY: `perform` gave the platform a box, and this is the one time that it comes back.
    let Place { all, index } = *unsafe { Box::from_raw(environment as *mut Place) };
    let mut calls = all.borrow_mut();
    if let Call::UnderWay(attempts, _) = &mut calls.calls[index] {
        let reply = attempts.reply();
        calls.answer(index, Ok(reply));
    }
    drop(calls);
    marks::end(Phase::Receive);
    conclude(&all);
    marks::end(Phase::Encode);
}

unsafe extern "C" fn on_reject(environment: usize) {
    // SAFETY: as above.
    let Place { all, index } = *unsafe { Box::from_raw(environment as *mut Place) };
    let mut calls = all.borrow_mut();
    let Call::UnderWay(attempts, _) = &mut calls.calls[index] else {
        unreachable!("INVARIANT: a call is answered once")
    };
    match attempts.reject(true) {
        Ok(()) => {
            drop(calls);
            perform(&all, index);
        }
        Err(failure) => {
            calls.answer(index, Err(failure));
            drop(calls);
        }
    }
    conclude(&all);
}

/// Runs when a callback has trapped, which was rolled back. Its call is never answered now, so nobody replies, and the
/// platform rejects the message when the last of the others has come.
unsafe extern "C" fn on_cleanup(environment: usize) {
    // SAFETY: the callback that took the box back was rolled back, so this is the one time that it comes back.
    drop(unsafe { Box::from_raw(environment as *mut Place) });
}
