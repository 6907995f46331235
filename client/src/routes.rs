//! The client's copy of the routing table, by which it asks shards themselves.
//!
//! A cache: shards are the authority on what they own, and a shard that doesn't own a key says so. The table and the
//! shards' words about owners are taken from replicated answers only, because writes follow them.

use candid::Principal;
use canopy_types::api::RoutingTableResult;
use canopy_types::shard::WrongShard;
use canopy_types::{HashSecret, RoutingTable};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::client::{Client, Reading, Routing};
use crate::judge::Heard;
use crate::reason::from_shard;
use crate::requests::{FromShard, read_any};
use crate::transport::Transport;
use canopy_types::shard::ShardError;

#[cfg(test)]
mod tests;

/// How long a table is used before it is fetched again, in seconds.
const TABLE_KEPT_SECONDS: u64 = 10 * 60;

/// How long a table that proved wrong is used before it is fetched again, in seconds.
const STALE_TABLE_KEPT_SECONDS: u64 = 1;

/// How long everything goes through the router after shards refused the caller, or the table couldn't be had, in seconds.
const THROUGH_ROUTER_SECONDS: u64 = 60;

/// Routes that a table may have; one with more is not used.
const ROUTES_MAX: usize = 65_536;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// What is known about who owns what.
#[derive(Debug)]
pub(crate) struct Routes {
    routing: Routing,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// None until a table was fetched whose secret the caller was told.
    routes: Option<(HashSecret, RoutingTable)>,
    fetched_at_nanoseconds: u64,
    is_stale: bool,
    is_being_fetched: bool,
    through_router_until_nanoseconds: u64,
}

impl Routes {
    /// Knows nothing yet.
    pub fn new(routing: Routing) -> Self {
        Self { routing, known: Mutex::default() }
    }

    /// Groups items by the shards that own their keys; `None` if they are to go through the router.
    pub fn group<'a>(
        &self,
        items: impl Iterator<Item = (usize, &'a [u8])>,
        now: u64,
    ) -> Option<BTreeMap<Principal, Vec<usize>>> {
        let known = self.known();
        if self.routing == Routing::ThroughRouter || now < known.through_router_until_nanoseconds {
            return None;
        }
        let (secret, table) = known.routes.as_ref()?;
        let mut groups: BTreeMap<Principal, Vec<usize>> = BTreeMap::new();
        for (place, key) in items {
            groups.entry(table.find(secret.hash(key))?.shard).or_default().push(place);
        }
        Some(groups)
    }

    /// Takes the word of a shard that it doesn't own a key. Tells whether asking again by this table makes sense.
    pub fn repair(&self, asked: Principal, key: &[u8], wrong: &WrongShard) -> bool {
        let mut known = self.known();
        let Some((secret, table)) = &mut known.routes else { return false };
        let hash = secret.hash(key);
        let repaired = wrong.owner.zip(wrong.moved.as_ref()).and_then(|(owner, moved)| {
            let is_news = owner != asked && moved.range.contains(hash) && table.find(hash)?.epoch < moved.epoch;
            let repaired = is_news.then(|| table.give(moved.range, owner, moved.epoch))?;
            (repaired.routes.len() <= ROUTES_MAX).then_some(repaired)
        });
        match repaired {
            Some(repaired) => {
                *table = repaired;
                true
            }
            None => {
                // Another item may have repaired the table meanwhile; otherwise it is fetched, if that wasn't just done.
                let moved = table.find(hash).is_some_and(|route| route.shard != asked);
                known.is_stale |= !moved;
                moved
            }
        }
    }

    /// Notes that a shard couldn't be asked.
    pub fn doubt(&self) {
        self.known().is_stale = true;
    }

    /// Has everything go through the router for a while.
    pub fn avoid(&self, now: u64) {
        self.known().through_router_until_nanoseconds =
            now.saturating_add(THROUGH_ROUTER_SECONDS * NANOSECONDS_PER_SECOND);
    }

    /// Tells whether the table is to be fetched now, and if so counts as fetching it until the answer drops.
    fn begin_to_fetch(&self, now: u64) -> Option<Fetching<'_>> {
        let mut known = self.known();
        let kept = if known.is_stale { STALE_TABLE_KEPT_SECONDS } else { TABLE_KEPT_SECONDS };
        let is_due =
            known.routes.is_none() || now >= known.fetched_at_nanoseconds.saturating_add(kept * NANOSECONDS_PER_SECOND);
        let may = self.routing == Routing::Direct && now >= known.through_router_until_nanoseconds;
        if !is_due || !may || known.is_being_fetched {
            return None;
        }
        known.is_being_fetched = true;
        Some(Fetching { routes: self })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds it panics, and a cache may be taken as it is anyway.
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The table is being fetched. Also where the future that fetches it is dropped, somebody else may do so later.
struct Fetching<'a> {
    routes: &'a Routes,
}

impl Fetching<'_> {
    fn store(&self, fetched: Option<(HashSecret, RoutingTable)>, now: u64) {
        match fetched {
            Some(fetched) => {
                let mut known = self.routes.known();
                known.routes = Some(fetched);
                known.fetched_at_nanoseconds = now;
                known.is_stale = false;
            }
            None => self.routes.avoid(now),
        }
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.routes.known().is_being_fetched = false;
    }
}

/// What was heard of a shard that was asked directly, and whether asking another one by the table makes sense.
pub(crate) struct FromDirect<D> {
    pub heard: Heard<D>,
    pub moved: bool,
}

impl<T: Transport> Client<T> {
    /// Fetches the routing table if it is due.
    pub(crate) async fn refresh_routes(&self) {
        let Some(fetching) = self.routes.begin_to_fetch(self.transport.now_nanoseconds()) else { return };
        let arguments = candid::encode_args(()).expect("nothing encodes");
        let reply = self.transport.update(self.router, "routing_table", &arguments).await;
        let fetched = reply.ok().and_then(|reply| {
            let reply = read_any::<RoutingTableResult>(&reply)?.ok()?;
            let secret = reply.hash_secret()?;
            let table = reply.into_table();
            (table.routes.len() <= ROUTES_MAX && table.check_invariants().is_ok()).then_some((secret, table))
        });
        fetching.store(fetched, self.transport.now_nanoseconds());
    }

    /// Takes what a shard said about a key.
    pub(crate) fn hear_shard<D>(
        &self,
        shard: Principal,
        key: &[u8],
        said: FromShard<D>,
        reading: Reading,
    ) -> FromDirect<D> {
        match said {
            FromShard::WrongShard(mut wrong) => {
                if reading == Reading::OneReplica {
                    wrong.owner = None;
                }
                let moved = self.routes.repair(shard, key, &wrong);
                FromDirect { heard: Heard::Elsewhere(from_shard(shard, ShardError::WrongShard(wrong))), moved }
            }
            FromShard::Heard(heard) => {
                if matches!(heard, Heard::Elsewhere(_)) {
                    self.routes.avoid(self.transport.now_nanoseconds());
                }
                FromDirect { heard, moved: false }
            }
        }
    }
}
