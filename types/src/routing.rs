//! Which shard owns which hash range.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::hash::KeyHash;
use crate::range::HashRange;

#[cfg(test)]
mod tests;

/// Counts the changes of ownership of a hash range; a higher epoch wins.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a shard's first range.
    pub const FIRST: Self = Self(1);
}

/// Grows with every change of a key's record, also across deletes. Nanoseconds of the shard's clock, or one more than
/// the version before.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct Version(pub u64);

/// Number of a shard within its router, from 0 on, never used twice.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct ShardIndex(pub u32);

/// One line of the routing table.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What the shard owns.
    pub range: HashRange,
    /// The shard's canister.
    pub shard: Principal,
    /// Epoch of the ownership.
    pub epoch: Epoch,
}

/// All routes in order of their ranges, which cover the hash space without gap or overlap.
///
/// A cache: shards are the authority on what they own.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct RoutingTable {
    /// Sorted by range. Empty until the router is ready.
    pub routes: Vec<Route>,
}

/// Why a routing table is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingTableFault {
    /// A range is empty, or doesn't begin right after the one before it (or at 0).
    Gap {
        /// Position of the route at fault.
        at: usize,
    },
    /// The last range doesn't end at the highest hash, or there is none.
    Incomplete,
}

impl RoutingTable {
    /// Finds the route whose range holds `hash`; `None` only when the table is empty.
    pub fn find(&self, hash: KeyHash) -> Option<&Route> {
        let after = self.routes.partition_point(|route| route.range.first <= hash);
        let route = self.routes.get(after.checked_sub(1)?)?;
        route.range.contains(hash).then_some(route)
    }

    /// Checks that the ranges cover the hash space exactly once.
    ///
    /// # Errors
    ///
    /// The first gap, or that the end is missing.
    pub fn check_invariants(&self) -> Result<(), RoutingTableFault> {
        let mut expected = Some(0);
        for (at, route) in self.routes.iter().enumerate() {
            if !route.range.is_valid() || expected != Some(route.range.first.0) {
                return Err(RoutingTableFault::Gap { at });
            }
            expected = route.range.last.0.checked_add(1);
        }
        match expected {
            None => Ok(()),
            Some(_) => Err(RoutingTableFault::Incomplete),
        }
    }
}
