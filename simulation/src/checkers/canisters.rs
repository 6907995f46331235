//! No canister of the service is forgotten: whatever exists is a shard that the router knows, or there is an alarm.

use std::collections::BTreeSet;
use std::fmt;

use candid::Principal;
use canopy_types::status::{Alarm, Status, Step};

#[cfg(test)]
mod tests;

/// A canister that nobody accounts for, or one that two claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More canisters exist than the router knows or has an alarm about.
    Leaked { canisters: Vec<Principal>, explained: usize },
    /// Two shards, or a shard and something else, are one canister.
    Shared { canister: Principal },
    /// The router serves from a canister that doesn't exist.
    Missing { canister: Principal },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Leaked { canisters, explained } => {
                let names: Vec<String> = canisters.iter().map(Principal::to_text).collect();
                write!(formatter, "unaccounted for, but {explained}: {}", names.join(", "))
            }
            Fault::Shared { canister } => write!(formatter, "{canister} is claimed twice"),
            Fault::Missing { canister } => write!(formatter, "the router names {canister}, which doesn't exist"),
        }
    }
}

/// Compares the canisters that exist with those that somebody accounts for.
///
/// `others` are canisters that aren't shards, and those that an administrator gave up when settling an alarm with
/// `TryAgain`. A creation whose call is open, or whose answer is stored and not yet read, explains one canister, as does
/// each alarm about a lost or unreadable answer.
///
/// # Errors
/// The first contradiction.
pub fn check(existing: &BTreeSet<Principal>, others: &BTreeSet<Principal>, status: &Status) -> Result<(), Fault> {
    let mut known = others.clone();
    for shard in &status.shards {
        let Some(canister) = shard.canister else { continue };
        if !known.insert(canister) {
            return Err(Fault::Shared { canister });
        }
        if !existing.contains(&canister) {
            return Err(Fault::Missing { canister });
        }
    }
    let alarms = status
        .alarms
        .iter()
        .filter(|alarm| matches!(alarm, Alarm::CreationAnswerLost { .. } | Alarm::CreationAnswerUnreadable { .. }))
        .count();
    let creating = usize::from(alarms == 0 && matches!(status.journal.step, Some(Step::CreateShard(_))));
    let explained = alarms + creating;
    let canisters: Vec<Principal> = existing.difference(&known).copied().collect();
    if canisters.len() > explained { Err(Fault::Leaked { canisters, explained }) } else { Ok(()) }
}
