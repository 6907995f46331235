//! Lets shards be controlled by those who administer, when that changes.
//!
//! Who administers when a shard is created controls it from then on. So whoever stops administering must lose control of
//! every shard, because a controller can do anything. What is left to do is stored with the grants; a shard's controllers
//! are read, changed and written as often as it takes. Controllers that somebody has added by hand stay.

use std::collections::BTreeSet;

use candid::{CandidType, Principal};
use canopy_types::ShardIndex;
use canopy_types::limits::CONTROLLERS_MAX;
use canopy_types::roles::RolesWordReply;
use ic_cdk::call::Call;
use serde::Deserialize;

use crate::state;
use crate::{management, runner};

#[cfg(test)]
mod tests;

/// How long the router waits for the management canister, in seconds.
const CALL_TIMEOUT_SECONDS: u32 = 60;

/// Time after which open calls are looked at without being asked, in nanoseconds: there are two, one after the other.
const WATCH_NANOSECONDS: u64 = 3 * CALL_TIMEOUT_SECONDS as u64 * 1_000_000_000;

/// What is left to do.
#[derive(CandidType, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Numbers of the shards whose controllers are not yet those that they should be.
    shards: BTreeSet<u32>,
    /// Who may control none of them.
    revoked: BTreeSet<Principal>,
}

impl Unsettled {
    /// Notes that administrators have changed, for all shards that there are.
    pub fn note(&mut self, before: &BTreeSet<Principal>, after: &BTreeSet<Principal>, shards: &[ShardIndex]) {
        if before == after {
            return;
        }
        self.shards.extend(shards.iter().map(|shard| shard.0));
        self.revoked.extend(before.difference(after));
        self.revoked.retain(|principal| !after.contains(principal));
    }

    /// Lists the shards whose turn is still to come.
    pub fn shards(&self) -> impl Iterator<Item = ShardIndex> {
        self.shards.iter().map(|&index| ShardIndex(index))
    }

    /// Notes that a shard's controllers are those that they should be.
    pub fn settle(&mut self, shard: ShardIndex) {
        self.shards.remove(&shard.0);
        if self.shards.is_empty() {
            self.revoked.clear();
        }
    }

    /// Chooses the controllers of a shard that has those of `present`: the router first, then who administers, then who
    /// was added by hand, as far as there is room.
    pub fn controllers(
        &self,
        present: &[Principal],
        router: Principal,
        administrators: &BTreeSet<Principal>,
    ) -> Vec<Principal> {
        let is_own = |principal: &&Principal| **principal == router || administrators.contains(principal);
        let others = present.iter().filter(|other| !is_own(other) && !self.revoked.contains(other));
        [router].iter().chain(administrators).chain(others).take(CONTROLLERS_MAX).copied().collect()
    }
}

/// Settles the shards whose turn it is, and tells when to come again (nanoseconds). Called by the timer.
pub fn run(now: u64) -> Option<u64> {
    let due = state::with(|state| {
        let unsettled = state.grants().unsettled();
        let canister = |shard| state.journal().entry(shard).canister.map(|canister| (canister, shard));
        let canisters: Vec<(Principal, ShardIndex)> = unsettled.shards().filter_map(canister).collect();
        state.settling.observe(canisters.iter().map(|(canister, _)| *canister));
        let due = state.settling.take_due(now);
        let shard = |canister| canisters.iter().find(|(other, _)| *other == canister).map(|(_, shard)| *shard);
        due.into_iter().filter_map(|due| Some((due.shard, shard(due.shard)?))).collect::<Vec<_>>()
    });
    for (canister, shard) in due {
        settle(canister, shard, now);
    }
    state::with(|state| {
        let watch = (state.settling.open() > 0).then_some(now + WATCH_NANOSECONDS);
        state.settling.next_at().into_iter().chain(watch).min()
    })
}

/// Notes how the attempt ended: also when a callback trapped, and nobody knows.
struct OpenAttempt {
    canister: Principal,
    began_at: u64,
    result: Result<(), String>,
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        let done = RolesWordReply { holds: true, version: None, reading: None };
        let result = std::mem::replace(&mut self.result, Ok(())).map(|()| done);
        let now = ic_cdk::api::time();
        state::with(|state| {
            state.settling.end(self.canister, self.began_at, result, now);
            // Overdue at once: the next update sets the timer, should this be the cleanup after a trap.
            state.wake_at = Some(0);
        });
    }
}

fn settle(canister: Principal, shard: ShardIndex, now: u64) {
    ic_cdk::futures::spawn(async move {
        let mut open = OpenAttempt { canister, began_at: now, result: Err("the answer was lost".to_string()) };
        open.result = set_controllers(canister, shard).await;
        drop(open);
        runner::wake();
    });
}

async fn set_controllers(canister: Principal, shard: ShardIndex) -> Result<(), String> {
    let answer = ask("canister_status", management::canister_status(canister)).await?;
    let present = management::read_controllers(&answer).map_err(|malformed| malformed.reason)?;
    // After each await administrators may have changed, so they are read now and compared again at the end.
    let router = ic_cdk::api::canister_self();
    let (controllers, version) = state::with(|state| {
        let administrators = state.grants().administrators().collect();
        (state.grants().unsettled().controllers(&present, router, &administrators), state.grants().version())
    });
    let as_set = |principals: &[Principal]| principals.iter().copied().collect::<BTreeSet<_>>();
    if as_set(&controllers) != as_set(&present) {
        ask("update_settings", management::set_controllers(canister, controllers)).await?;
    }
    state::with(|state| {
        if state.grants().version() == version {
            state.settle_control(shard);
        }
    });
    Ok(())
}

async fn ask(method: &str, arguments: Vec<u8>) -> Result<Vec<u8>, String> {
    let call = Call::bounded_wait(Principal::management_canister(), method).change_timeout(CALL_TIMEOUT_SECONDS);
    match call.take_raw_args(arguments).await {
        Ok(reply) => Ok(reply.into_bytes()),
        Err(failure) => Err(format!("{method}: {failure}")),
    }
}
