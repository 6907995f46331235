//! Every hash belongs to exactly one shard, and router and shards agree which.

use std::fmt;

use candid::Principal;
use canopy_types::HashRange;
use canopy_types::routing::{RoutingTable, RoutingTableFault};
use canopy_types::shard::ShardInfo;

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
            Fault::Foreign { shard, reason } => write!(formatter, "{shard}: {reason}"),
        }
    }
}

/// Checks a table that isn't empty against what the shards answered; a shard that didn't answer is not asked again.
///
/// # Errors
/// The first gap, overlap or disagreement.
pub fn check(router: Principal, table: &RoutingTable, infos: &[(Principal, ShardInfo)]) -> Result<(), Fault> {
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
        let Some(route) = table.routes.iter().find(|route| route.shard == *shard) else { continue };
        if route.range != info.range || route.epoch != info.epoch {
            return Err(Fault::Disagreement { shard: *shard, routed: route.range, owned: info.range });
        }
    }
    Ok(())
}
