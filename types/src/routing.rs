//! Which shard owns which hash range.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::fmt;

use crate::hash::{HashSecret, KeyHash};
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

    /// Gives a range to its new owner, wherever the table knows nothing newer. Tells what the table is then, which covers
    /// what it covered before.
    pub fn give(&self, range: HashRange, shard: Principal, epoch: Epoch) -> Self {
        let mut routes = Vec::with_capacity(self.routes.len() + 2);
        for route in &self.routes {
            let Some(common) = route.range.common(&range).filter(|_| route.epoch < epoch) else {
                routes.push(route.clone());
                continue;
            };
            let before =
                common.first.0.checked_sub(1).and_then(|last| HashRange::new(route.range.first, KeyHash(last)));
            let after = common.last.0.checked_add(1).and_then(|first| HashRange::new(KeyHash(first), route.range.last));
            routes.extend(before.map(|range| Route { range, ..route.clone() }));
            routes.push(Route { range: common, shard, epoch });
            routes.extend(after.map(|range| Route { range, ..route.clone() }));
        }
        Self { routes }
    }

    /// Condenses the table: another digest tells that routes have changed.
    pub fn digest(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.routes.len() * ROUTE_BYTES);
        for route in &self.routes {
            for number in [route.range.first.0, route.range.last.0, route.epoch.0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            let shard = route.shard.as_slice();
            bytes.push(shard.len() as u8);
            bytes.extend_from_slice(shard);
        }
        xxhash_rust::xxh3::xxh3_64(&bytes)
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

/// Bytes of a route in the digest: three numbers, and the longest principal with its length.
const ROUTE_BYTES: usize = 3 * 8 + 1 + 29;

/// What `routing_table` answers: all that a client needs to ask the shards themselves.
#[derive(CandidType, Serialize, Deserialize, Clone, PartialEq, Eq, Default)]
pub struct RoutingTableReply {
    /// Sorted by range. Empty until the router is ready.
    pub routes: Vec<Route>,
    /// The secret of the hash, 192 bytes, which never changes: told to who holds a role by name, and null for others and
    /// until the router is ready. Whoever knows it can make keys collide: keep it out of logs.
    pub secret: Option<ByteBuf>,
    /// Another digest tells that routes have changed.
    pub digest: Option<u64>,
}

impl RoutingTableReply {
    /// Makes the routing table.
    pub fn into_table(self) -> RoutingTable {
        RoutingTable { routes: self.routes }
    }

    /// Makes the secret of the hash; `None` if it wasn't told.
    pub fn hash_secret(&self) -> Option<HashSecret> {
        HashSecret::from_slice(self.secret.as_ref()?)
    }
}

/// Keeps the secret out of logs and panics.
impl fmt::Debug for RoutingTableReply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RoutingTableReply")
            .field("routes", &self.routes)
            .field("secret", &self.secret.as_ref().map(|_| ".."))
            .field("digest", &self.digest)
            .finish()
    }
}
