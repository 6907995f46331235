//! Whoever was served was allowed to, and whoever was refused was not, at some time between question and answer.

use std::fmt;

use crate::guests::Change;
use crate::history::{History, Moment, NotRun, Sending, Told};

#[cfg(test)]
mod tests;

/// How long a shard goes by what its router told it.
const ROLES_HELD_NANOS: u64 = 600 * 1_000_000_000;

/// A client that was wrongly served or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Served, and its rights had ended before it asked, or began only after it was answered.
    Served { operation: usize, sending: Sending },
    /// Refused, though its rights had begun before it asked and ended, if at all, after it was answered.
    Refused { operation: usize, sending: Sending },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rights: {self:?}")
    }
}

/// Holds what clients were told against the changes of their rights. Whoever is no guest may do everything, a guest
/// nothing until it is granted.
///
/// # Errors
/// The first client that was wrongly served or refused.
pub fn check(history: &History, changes: &[Change], is_guest: impl Fn(usize) -> bool) -> Result<(), Fault> {
    for (at, operation) in history.operations().iter().enumerate() {
        let guest = is_guest(operation.client);
        let of_pair = |change: &&Change| change.client == operation.client && change.key == operation.key;
        let changes: Vec<Change> = changes.iter().filter(of_pair).copied().collect();
        for sending in &operation.sendings {
            let Some((answered, told)) = sending.told else { continue };
            // A shard goes by what its router last told it.
            let grace_nanos = if sending.direct { ROLES_HELD_NANOS } else { 0 };
            let may_have = |granted| may_have_been(granted, &changes, sending.sent, answered, grace_nanos);
            match told {
                Told::NotRun(NotRun::Unauthorised) if !guest || !may_have(false) => {
                    return Err(Fault::Refused { operation: at, sending: *sending });
                }
                // Which of a batch's items it is about isn't told, but whoever is no guest may do all of them.
                Told::NotRun(NotRun::OneUnauthorised) if !guest => {
                    return Err(Fault::Refused { operation: at, sending: *sending });
                }
                Told::Done(_) if guest && !may_have(true) => {
                    return Err(Fault::Served { operation: at, sending: *sending });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Tells whether rights may have been so (given, or not) at some time from `grace_nanos` before the first of two moments
/// to the second.
fn may_have_been(granted: bool, changes: &[Change], from: Moment, to: Moment, grace_nanos: u64) -> bool {
    // Whatever was for certain changed to the contrary before `from`, after everything that was begun to make it so.
    let undone = |since: Option<Moment>| {
        changes.iter().any(|other| {
            other.granted != granted
                && other.certain
                && since.is_none_or(|since| other.begun > since)
                && other
                    .ended
                    .is_some_and(|ended| ended < from && (grace_nanos == 0 || ended.nanos + grace_nanos < from.nanos))
        })
    };
    let at_first = !granted && !undone(None);
    at_first
        || changes.iter().any(|change| {
            change.granted == granted && change.begun < to && !change.ended.is_some_and(|ended| undone(Some(ended)))
        })
}
