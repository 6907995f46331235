//! Sends the router's word about roles to its shards, as [`telling`](crate::telling) decides, and hears in return how full
//! they are.

use canopy_types::codec;
use canopy_types::roles::{RolesContent, RolesWord, RolesWordReply};
use canopy_types::shard::ShardSetRolesResult;
use canopy_types::status::ShardStage;
use ic_cdk::call::Call;

use crate::runner;
use crate::state::{self, State};
use crate::telling::Due;

/// How long the router waits for a shard, in seconds.
const CALL_TIMEOUT_SECONDS: u32 = 60;

/// Time after which open calls are looked at without being asked, in nanoseconds: twice as long.
const WATCH_NANOSECONDS: u64 = 2 * CALL_TIMEOUT_SECONDS as u64 * 1_000_000_000;

/// Tells the shards whose time has come, and when to come again (nanoseconds). Called by the timer.
pub fn run(now: u64) -> Option<u64> {
    let due = state::with(|state| {
        let entries = state.journal().shard_status().into_iter();
        let installed = entries.filter(|entry| entry.stage >= ShardStage::Installed);
        let shards: Vec<_> = installed.filter_map(|entry| entry.canister).collect();
        state.telling.observe(shards);
        state.telling.take_due(now)
    });
    for due in due {
        tell(due, now);
    }
    state::with(|state| {
        let watch = (state.telling.open() > 0).then_some(now + WATCH_NANOSECONDS);
        state.telling.next_at().into_iter().chain(watch).min()
    })
}

/// Makes the word that holds from `now` on (nanoseconds).
pub fn of(state: &State, now: u64, with_content: bool) -> RolesWord {
    RolesWord {
        version: state.grants().version(),
        digest: state.roles_digest(),
        given_at_nanoseconds: now,
        content: with_content.then(|| content(state)),
    }
}

/// Gathers what shards are told.
pub fn content(state: &State) -> RolesContent {
    RolesContent { grants: state.grants().iter().cloned().collect(), limits: state.policy().rate_limits() }
}

/// Notes how a telling ended: also when its callback trapped, and nobody knows.
struct OpenTelling {
    due: Due,
    given_at: u64,
    result: Result<RolesWordReply, String>,
}

impl Drop for OpenTelling {
    fn drop(&mut self) {
        let result =
            std::mem::replace(&mut self.result, Ok(RolesWordReply { holds: false, version: None, reading: None }));
        let now = ic_cdk::api::time();
        state::with(|state| {
            state.telling.end(self.due.shard, self.given_at, result, now);
            // Overdue at once: the next update sets the timer, should this be the cleanup after a trap.
            state.wake_at = Some(0);
        });
    }
}

fn tell(due: Due, now: u64) {
    let (arguments, epoch) =
        state::with(|state| (codec::encode(&of(state, now, due.with_content)), state.journal().epoch_of(due.shard)));
    ic_cdk::futures::spawn(async move {
        let mut open = OpenTelling { due, given_at: now, result: Err("the answer was lost".to_string()) };
        let call = Call::bounded_wait(due.shard, "set_roles").change_timeout(CALL_TIMEOUT_SECONDS);
        open.result = match call.take_raw_args(arguments).await {
            Ok(reply) => match codec::decode::<ShardSetRolesResult>(reply.as_ref()) {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(refused)) => Err(format!("the shard refused: {refused:?}")),
                Err(malformed) => Err(format!("the answer can't be read: {}", malformed.reason)),
            },
            Err(failure) => Err(failure.to_string()),
        };
        if let Ok(RolesWordReply { holds: false, version: Some(version), .. }) = open.result {
            // The router was set back, to a snapshot or by a new installation: it must speak louder than before.
            let now = ic_cdk::api::time();
            state::with(|state| state.change_grants(|grants| grants.outbid(version, now)));
        }
        if let Ok(reply) = &mut open.result
            && let Some(reading) = reply.reading.take()
        {
            state::with(|state| {
                // What a shard said before a range changed hands says little about what it owns now.
                let is_the_same = state.journal().epoch_of(due.shard) == epoch;
                if let Some(epoch) = epoch.filter(|_| is_the_same) {
                    state.watching.note(due.shard, epoch, now, reading);
                }
            });
        }
        drop(open);
        runner::wake();
    });
}
