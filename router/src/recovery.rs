//! Rebuilds what a lost router knew from what its shards know.
//!
//! Shards are the authority on what they own, and each stores the secrets. So a list of all shards is enough, once each has
//! been told to obey this router. They are asked, what they say is checked as a whole ([`rebuild`], which is pure), and
//! taken over in one message, or not at all.

use std::collections::BTreeSet;

use candid::Principal;
use canopy_types::limits::SHARDS_MAX;
use canopy_types::recovery::{RecallResult, RecoverError, RecoverReply, RememberedRoles, ShardMemory};
use canopy_types::shard::ShardError;
use canopy_types::{Epoch, HashRange, KeyHash, codec};
use ic_cdk::call::Call;
use serde_bytes::ByteBuf;

use crate::calls::together;
use crate::state;

#[cfg(test)]
mod tests;

/// Shards that are asked at the same time.
const ASKED_MAX: usize = 64;

/// How long the router waits for a shard, in seconds.
const CALL_TIMEOUT_SECONDS: u32 = 60;

/// What is known of a deployment, from its shards.
#[derive(Clone, PartialEq, Eq)]
pub struct Rebuilt {
    pub secret: ByteBuf,
    pub tag_seed: Option<ByteBuf>,
    /// Every shard with what it owns, in the order of their ranges, those without one last.
    pub shards: Vec<(Principal, HashRange, Epoch)>,
    /// The greatest epoch of any transfer that any shard heard of.
    pub epoch_seen: Epoch,
    /// The newest word about roles that any shard remembers.
    pub roles: Option<RememberedRoles>,
}

/// Asks `shards`, and takes over what they say.
///
/// # Errors
///
/// Why not; nothing was changed.
pub async fn recover(shards: Vec<Principal>) -> Result<RecoverReply, RecoverError> {
    check_empty()?;
    check_list(&shards)?;
    let mut memories = Vec::with_capacity(shards.len());
    for part in shards.chunks(ASKED_MAX) {
        for answer in together::all(part.iter().map(|&shard| ask(shard))).await {
            memories.push(answer?);
        }
    }
    let rebuilt = rebuild(memories)?;
    // After these awaits another call may have been faster.
    check_empty()?;
    let now = ic_cdk::api::time();
    let grants_left_out = state::with(|state| {
        let left_out = state.take_over(&rebuilt, now);
        state.telling.tell_all(now);
        left_out
    });
    let serving = rebuilt.shards.iter().filter(|(_, range, _)| *range != HashRange::EMPTY).count() as u32;
    let spares = rebuilt.shards.len() as u32 - serving;
    let roles_version = rebuilt.roles.map(|roles| roles.version);
    Ok(RecoverReply { serving, spares, roles_version, grants_left_out })
}

fn check_empty() -> Result<(), RecoverError> {
    state::with(|state| {
        let shards = state.journal().shard_status().len() as u32;
        if state.journal().awaits_shards() { Ok(()) } else { Err(RecoverError::HasShards { shards }) }
    })
}

/// Checks what can be seen of a list before any shard is asked.
fn check_list(shards: &[Principal]) -> Result<(), RecoverError> {
    if shards.is_empty() || shards.len() > SHARDS_MAX as usize {
        return Err(RecoverError::ShardCount { shards: shards.len() as u64, shards_max: u64::from(SHARDS_MAX) });
    }
    let mut named = BTreeSet::new();
    match shards.iter().find(|shard| !named.insert(**shard)) {
        Some(&shard) => Err(RecoverError::NamedTwice { shard }),
        None => Ok(()),
    }
}

async fn ask(shard: Principal) -> Result<(Principal, ShardMemory), RecoverError> {
    let no_answer = |reason: String| RecoverError::NoAnswer { shard, reason };
    let call = Call::bounded_wait(shard, "recall").change_timeout(CALL_TIMEOUT_SECONDS);
    let reply = call.await.map_err(|failure| no_answer(failure.to_string()))?;
    match codec::decode::<RecallResult>(reply.as_ref()) {
        Ok(Ok(memory)) => Ok((shard, memory)),
        Ok(Err(ShardError::Unauthorised { .. })) => Err(RecoverError::NotAdopted { shard }),
        Ok(Err(refused)) => Err(no_answer(format!("{refused:?}"))),
        Err(malformed) => Err(no_answer(malformed.reason)),
    }
}

/// Makes one deployment of what shards say.
///
/// # Errors
///
/// The first reason why they are none.
pub fn rebuild(memories: Vec<(Principal, ShardMemory)>) -> Result<Rebuilt, RecoverError> {
    if let Some((shard, id)) = memories.iter().find_map(|(shard, memory)| Some((*shard, memory.in_transfer?))) {
        return Err(RecoverError::InTransfer { shard, id });
    }
    let first = &memories.first().expect("INVARIANT: a list without shards is refused before").1;
    let (secret, tag_seed) = (first.secret.clone(), first.tag_seed.clone());
    let other = memories.iter().find(|(_, memory)| memory.secret != secret || memory.tag_seed != tag_seed);
    if let Some(&(shard, _)) = other {
        return Err(RecoverError::OtherSecrets { shard });
    }
    let mut shards: Vec<(Principal, HashRange, Epoch)> =
        memories.iter().map(|(shard, memory)| (*shard, memory.range, memory.epoch)).collect();
    shards.sort_by_key(|&(shard, range, _)| (range == HashRange::EMPTY, range, shard));
    check_cover(&shards)?;
    let epoch_seen = memories.iter().map(|(_, memory)| memory.epoch_seen.max(memory.epoch)).max();
    let roles = memories.into_iter().filter_map(|(_, memory)| memory.roles).max_by_key(|roles| roles.version);
    Ok(Rebuilt { secret, tag_seed, shards, epoch_seen: epoch_seen.unwrap_or(Epoch::FIRST), roles })
}

/// Checks that every hash has one owner. `shards` are in the order of their ranges.
fn check_cover(shards: &[(Principal, HashRange, Epoch)]) -> Result<(), RecoverError> {
    let owners: Vec<_> = shards.iter().filter(|(_, range, _)| *range != HashRange::EMPTY).collect();
    for pair in owners.windows(2) {
        let (&(one, one_range, one_epoch), &(other, other_range, other_epoch)) = (pair[0], pair[1]);
        if let Some(range) = one_range.common(&other_range) {
            return Err(RecoverError::OwnedTwice { one, one_epoch, other, other_epoch, range });
        }
    }
    let mut next = Some(0u64);
    for (_, range, _) in owners {
        let expected = next.expect("INVARIANT: nothing lies behind the last hash, as no two ranges overlap");
        if range.first.0 > expected {
            return Err(RecoverError::Gap { first: KeyHash(expected), last: KeyHash(range.first.0 - 1) });
        }
        next = range.last.0.checked_add(1);
    }
    match next {
        None => Ok(()),
        Some(first) => Err(RecoverError::Gap { first: KeyHash(first), last: KeyHash(u64::MAX) }),
    }
}
