//! Which items of a batch go to which shard, in which message.

use candid::Principal;
use canopy_types::limits::{BATCH_ITEMS_MAX, MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES_MAX};
use canopy_types::wire::batch::ANSWER_BYTES_MAX;

use crate::routing::Routing;

#[cfg(test)]
mod tests;

/// Most bytes of the items of one message, table and other fields not counted.
const PART_BYTES_MAX: usize = MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES_MAX;

/// What an item takes in a message beside its key and value, at most: precondition 10, time to live 9, lengths 8,
/// index 4, tag 1.
const ITEM_BYTES_MAX: usize = 32;

/// Most bytes of a reply, table not counted.
pub const REPLY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES_MAX;

/// The part of a batch that one message takes to a shard.
#[derive(Debug, PartialEq, Eq)]
pub struct PartOfBatch {
    pub shard: Principal,
    /// Places of its items in the batch, in the order of their keys' hashes, which is the shard's own.
    pub places: Vec<u32>,
}

/// A batch, divided.
#[derive(Debug, PartialEq, Eq)]
pub struct Division {
    pub parts: Vec<PartOfBatch>,
    /// Items of all parts.
    pub items: usize,
}

/// Divides a batch, of whose items keys and payload bytes are given.
///
/// # Errors
///
/// The places of two items with the same key: of all such pairs, the one whose second comes first.
pub fn divide(routing: &Routing, items: &[(&[u8], usize)]) -> Result<Division, (u32, u32)> {
    let mut order: Vec<(u64, u32)> =
        (0..).zip(items).map(|(place, (key, _))| (routing.secret.hash(key).0, place)).collect();
    order.sort_unstable();
    check_no_key_twice(&order, items)?;
    let mut parts: Vec<PartOfBatch> = Vec::new();
    let mut routes = routing.table.routes.iter().peekable();
    let (mut bytes, mut of_route) = (0, None);
    for (hash, place) in order {
        while routes.next_if(|route| route.range.last.0 < hash).is_some() {}
        let route = routes.peek().expect("INVARIANT: a routing table that is in use covers every hash");
        let item = items[place as usize].1 + ITEM_BYTES_MAX;
        match parts.last_mut() {
            Some(part)
                if of_route == Some(route.range.first)
                    && part.places.len() < BATCH_ITEMS_MAX
                    && bytes + item <= PART_BYTES_MAX =>
            {
                part.places.push(place);
                bytes += item;
            }
            _ => {
                parts.push(PartOfBatch { shard: route.shard, places: vec![place] });
                (bytes, of_route) = (item, Some(route.range.first));
            }
        }
    }
    Ok(Division { parts, items: items.len() })
}

/// Looks at keys of equal hash only, each run of them sorted, so that equal hashes made on purpose cost little.
fn check_no_key_twice(order: &[(u64, u32)], items: &[(&[u8], usize)]) -> Result<(), (u32, u32)> {
    let mut twice: Option<(u32, u32)> = None;
    for run in order.chunk_by(|one, other| one.0 == other.0).filter(|run| run.len() > 1) {
        let mut places: Vec<u32> = run.iter().map(|&(_, place)| place).collect();
        places.sort_by(|&one, &other| items[one as usize].0.cmp(items[other as usize].0));
        for pair in places.windows(2).filter(|pair| items[pair[0] as usize].0 == items[pair[1] as usize].0) {
            // The sort is stable and the run is in order of place.
            if twice.is_none_or(|(_, second)| pair[1] < second) {
                twice = Some((pair[0], pair[1]));
            }
        }
    }
    twice.map_or(Ok(()), Err)
}

/// Tells how long a shard's reply to `items` gets may be, of `items_in_all`: its share of the router's own reply, and
/// as much again for values, because they don't spread evenly. What doesn't fit in the end is left out by the router.
pub fn allowance(items: usize, items_in_all: usize) -> u64 {
    // Products of these don't fit the 32 bits of a canister's sizes.
    let (items, items_in_all, answer) = (items as u64, items_in_all as u64, ANSWER_BYTES_MAX as u64);
    let values = (REPLY_BYTES_MAX as u64).saturating_sub(items_in_all * answer);
    let share = (2 * values * items / items_in_all).min(values);
    items * answer + share
}
