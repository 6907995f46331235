//! Every hash belongs to exactly one shard, and router and shards agree which.

use std::fmt;

use candid::Principal;
use canopy_types::routing::{RoutingTable, RoutingTableFault};
use canopy_types::shard::ShardInfo;
use canopy_types::{Epoch, HashRange};

#[cfg(test)]
mod tests;

/// Where table and shards leave a gap, overlap or disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The router's table doesn't cover the hash space exactly once.
    Table(RoutingTableFault),
    /// Two routes name the same shard.
    SharedShard { shard: Principal },
    /// A shard owns something else than the table says.
    Disagreement { shard: Principal, routed: HashRange, owned: HashRange },
    /// More than one shard serves a key.
    ServedTwice { key: usize, shards: Vec<Principal> },
    /// A shard serves another router, or hashes with another secret than the first one.
    Foreign { shard: Principal, reason: &'static str },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Table(fault) => write!(formatter, "the routing table is broken: {fault:?}"),
            Fault::SharedShard { shard } => write!(formatter, "two routes name {shard}"),
            Fault::Disagreement { shard, routed, owned } => {
                write!(formatter, "{shard} owns {owned:?}, the table says {routed:?}")
            }
            Fault::ServedTwice { key, shards } => {
                let names: Vec<String> = shards.iter().map(Principal::to_text).collect();
                write!(formatter, "key {key} is served by {}", names.join(" and "))
            }
            Fault::Foreign { shard, reason } => write!(formatter, "{shard}: {reason}"),
        }
    }
}

/// A range that changes hands, or has: its ends hear of that one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    pub source: Principal,
    pub target: Principal,
    pub range: HashRange,
    pub epoch: Epoch,
    /// The router knows how it ended.
    pub is_over: bool,
}

impl Moving {
    /// Tells whether a shard that owns `owned` knows other than the router that the range moved, or not yet.
    fn explains(&self, shard: Principal, owned: (HashRange, Epoch), routed: HashRange) -> bool {
        let (owned, epoch) = owned;
        if self.is_over {
            return shard == self.source && epoch < self.epoch && routed.with(&self.range) == Some(owned);
        }
        let expected = if shard == self.source {
            routed.without(&self.range)
        } else if shard == self.target {
            routed.with(&self.range)
        } else {
            None
        };
        epoch == self.epoch && expected == Some(owned)
    }
}

/// Checks a table that isn't empty against what the shards answered; a shard that didn't answer is not asked again.
/// `moving` excuses those that know more or less than the router of a range that changes hands.
///
/// # Errors
/// The first gap, overlap or disagreement.
pub fn check(
    router: Principal,
    table: &RoutingTable,
    infos: &[(Principal, ShardInfo)],
    moving: &[Moving],
) -> Result<(), Fault> {
    table.check_invariants().map_err(Fault::Table)?;
    for (at, route) in table.routes.iter().enumerate() {
        if table.routes[..at].iter().any(|earlier| earlier.shard == route.shard) {
            return Err(Fault::SharedShard { shard: route.shard });
        }
    }
    let fingerprint = infos.first().map(|(_, info)| info.secret_fingerprint);
    for (shard, info) in infos {
        if info.router != router {
            return Err(Fault::Foreign { shard: *shard, reason: "it belongs to another router" });
        }
        if Some(info.secret_fingerprint) != fingerprint {
            return Err(Fault::Foreign { shard: *shard, reason: "its secret differs from the first shard's" });
        }
        let route = table.routes.iter().find(|route| route.shard == *shard);
        // A spare has no route, and its epoch says nothing.
        let (routed, epoch) = route.map_or((HashRange::EMPTY, info.epoch), |route| (route.range, route.epoch));
        let owned = (info.range, info.epoch);
        if owned != (routed, epoch) && !moving.iter().any(|moving| moving.explains(*shard, owned, routed)) {
            return Err(Fault::Disagreement { shard: *shard, routed, owned: info.range });
        }
    }
    Ok(())
}
