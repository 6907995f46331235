//! What an answer means for a write: the rules of "exactly once", in two tables.
//!
//! An attempt whose answer is missing may be alive: it has run, runs, or will run within five minutes. While one may be,
//! only a receipt settles the write. Everything else that the service says is about the attempt that it answers.

use candid::Principal;

use crate::reason::{Advice, Reason, Refused};
use crate::transport::CallError;

#[cfg(test)]
mod tests;

/// Whom an attempt was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The router, whose methods wait for shards.
    Router,
    /// A shard, whose methods wait for nothing, so that whatever it rejects it has taken back.
    Shard(Principal),
}

/// What was heard of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<D> {
    /// Done.
    Done(D),
    /// Not done by this attempt.
    Refused(Reason),
    /// Not done by this attempt; somebody else may do it: another shard, or the router.
    Elsewhere(Reason),
    /// Nobody knows.
    Lost(String),
}

impl<D> Heard<D> {
    /// Takes what the service said.
    pub(crate) fn from_refused(refused: Refused) -> Self {
        match refused {
            Refused::Because(reason) => Self::Refused(reason),
            Refused::Unknown(reason) => Self::Lost(reason),
        }
    }

    /// Takes a call without reply.
    ///
    /// | | router | shard |
    /// |---|---|---|
    /// | not sent | refused | elsewhere |
    /// | reject 1, 2, 3 | refused: not delivered | elsewhere |
    /// | reject 5 | lost: it may have called a shard before it failed | elsewhere: taken back |
    /// | reject 4 (a callee that was uninstalled while it worked), 6, others, unknown | lost | lost |
    pub(crate) fn from_call_error(error: CallError, place: Place) -> Self {
        let (reason, was_delivered) = match error {
            CallError::Unknown { message } => return Self::Lost(message),
            CallError::NotSent { reject_code, message } => (Reason::NotSent { reject_code, message }, false),
            CallError::Rejected { reject_code, message } => match reject_code {
                1..=3 => (Reason::Rejected { reject_code, message }, false),
                5 => (Reason::Rejected { reject_code, message }, true),
                _ => return Self::Lost(format!("reject {reject_code}: {message}")),
            },
        };
        match (place, reason) {
            (Place::Router, Reason::Rejected { reject_code, message }) if was_delivered => {
                Self::Lost(format!("reject {reject_code}: {message}"))
            }
            (Place::Router, reason) => Self::Refused(reason),
            (
                Place::Shard(shard),
                Reason::Rejected { reject_code, message } | Reason::NotSent { reject_code, message },
            ) => Self::Elsewhere(Reason::ShardUnavailable { shard, reject_code, message }),
            (Place::Shard(_), reason) => Self::Elsewhere(reason),
        }
    }
}

/// Kinds of what can be heard, as far as the rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Done.
    Done,
    /// Refused by a receipt, or with one: no attempt of this operation will ever be done.
    Receipt,
    /// Refused because of its time of issue.
    WrongTime,
    /// Refused for the moment.
    Passing,
    /// Refused here.
    Elsewhere,
    /// Refused for good, but without a receipt.
    Lasting,
    /// No answer.
    Lost,
}

impl<D> Heard<D> {
    /// Tells the kind.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Heard::Done(_) => Kind::Done,
            Heard::Elsewhere(_) => Kind::Elsewhere,
            Heard::Lost(_) => Kind::Lost,
            Heard::Refused(reason) => match reason {
                Reason::PreconditionFailed { .. } | Reason::OperationIdReused => Kind::Receipt,
                Reason::OperationTooOld { .. } | Reason::OperationFromTheFuture { .. } => Kind::WrongTime,
                other => match other.advice() {
                    Advice::TryAgain { .. } => Kind::Passing,
                    Advice::AskDifferently | Advice::AskAdministrator => Kind::Lasting,
                },
            },
        }
    }
}

/// What to do about a write after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Done,
    /// It is not done.
    NotDone,
    /// Issue it anew, with a clock that is right: nothing of this operation can be done any more.
    Reissue,
    /// Send it again as it is; if there may be no more attempts, it is not done.
    AgainOrNotDone,
    /// Send it again as it is; if there may be no more attempts, it is unknown.
    AgainOrUnknown,
    /// It is unknown, and sending it again now wouldn't help.
    Unknown,
}

/// Says what an answer means for a write, given whether an earlier attempt may be alive.
///
/// | heard | no attempt may be alive | an attempt may be alive |
/// |---|---|---|
/// | done | done | done |
/// | refused by or with a receipt | not done | not done |
/// | refused because of its time | issue it anew | unknown |
/// | refused for the moment, or here | send it again, else not done | send it again, else unknown |
/// | refused for good | not done | unknown |
/// | lost | send it again, else unknown | send it again, else unknown |
pub(crate) fn judge(kind: Kind, may_be_alive: bool) -> Verdict {
    match (kind, may_be_alive) {
        (Kind::Done, _) => Verdict::Done,
        (Kind::Receipt, _) => Verdict::NotDone,
        (Kind::WrongTime, false) => Verdict::Reissue,
        (Kind::WrongTime, true) => Verdict::Unknown,
        (Kind::Passing | Kind::Elsewhere, false) => Verdict::AgainOrNotDone,
        (Kind::Passing | Kind::Elsewhere, true) => Verdict::AgainOrUnknown,
        (Kind::Lasting, false) => Verdict::NotDone,
        (Kind::Lasting, true) => Verdict::Unknown,
        (Kind::Lost, _) => Verdict::AgainOrUnknown,
    }
}
