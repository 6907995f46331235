//! Hears how full and busy the shards are, and has done what [`growth`](crate::growth) decides.
//!
//! Shards say so in their answers to the router's word about roles, which is given to those sooner that near a threshold.
//! What they said is on the heap: after an upgrade it is heard again.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_types::growth::{GrowthAction, GrowthDecision, GrowthNotice, GrowthStatus, ShardForecast, ShardReading};
use canopy_types::limits::bounded_reason;
use canopy_types::status::{ShardStage, ShardStatus};
use canopy_types::{Epoch, HashRange, ShardIndex};
use ic_cdk::call::Call;

use crate::growth::{self, Reservation, View, Wishes};
use crate::policy::Thresholds;
use crate::readings::{Readings, Taken};
use crate::state::{self, State};
use crate::{management, runner};

#[cfg(test)]
mod tests;

/// How long the router waits for the management canister, in seconds.
const CALL_TIMEOUT_SECONDS: u32 = 60;

/// Time for which it is believed what was reserved: 2 minutes.
const RESERVATION_NANOSECONDS: u64 = 120_000_000_000;

/// Questions about reserved cycles that may be open at the same time.
const OPEN_MAX: usize = 8;

/// Time from one reading to the next of a shard that has just got or lost something: 5 s.
const CHANGED_NANOSECONDS: u64 = 5_000_000_000;

/// What is known of the cycles reserved for a shard.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: u64,
    is_open: bool,
    found: Option<Reservation>,
}

/// What shards said, and what came of it.
#[derive(Default)]
pub struct Watching {
    readings: BTreeMap<Principal, Readings>,
    reservations: BTreeMap<ShardIndex, Asked>,
    /// Whether something was said or set that hasn't been looked at.
    has_news: bool,
    /// What was decided last.
    wishes: Wishes,
}

impl Watching {
    /// Notes what a shard said that owned what has this epoch, when it was asked at `at` (nanoseconds).
    pub fn note(&mut self, canister: Principal, epoch: Epoch, at: u64, reading: ShardReading) {
        let taken = Taken { at, reading };
        match self.readings.get_mut(&canister) {
            Some(known) if known.epoch == epoch => known.add(taken),
            _ => _ = self.readings.insert(canister, Readings::new(epoch, taken)),
        }
        self.has_news = true;
    }

    /// Has everything looked at again.
    pub fn look_again(&mut self) {
        self.has_news = true;
    }

    /// Counts the open questions.
    pub fn open(&self) -> usize {
        self.reservations.values().filter(|asked| asked.is_open).count()
    }

    /// Forgets what is gone, and chooses of which shards the reserved cycles are asked for at `now` (nanoseconds).
    fn observe(&mut self, shards: &[ShardStatus], now: u64) -> Vec<(ShardIndex, Principal)> {
        self.readings.retain(|canister, _| shards.iter().any(|shard| shard.canister == Some(*canister)));
        let full = |shard: &&ShardStatus| {
            let readings = shard.canister.and_then(|canister| self.readings.get(&canister));
            readings.is_some_and(|readings| readings.newest().reading.out_of_space)
        };
        let full: BTreeMap<ShardIndex, Principal> =
            shards.iter().filter(full).filter_map(|shard| Some((shard.index, shard.canister?))).collect();
        self.reservations.retain(|shard, asked| asked.is_open || full.contains_key(shard));
        let room = OPEN_MAX.saturating_sub(self.open());
        let mut due = Vec::new();
        for (shard, canister) in full {
            let asked = self.reservations.get(&shard);
            let is_due = |asked: &Asked| !asked.is_open && now.saturating_sub(asked.at) >= RESERVATION_NANOSECONDS;
            if due.len() < room && asked.is_none_or(is_due) {
                let found = asked.and_then(|asked| asked.found);
                self.reservations.insert(shard, Asked { at: now, is_open: true, found });
                due.push((shard, canister));
            }
        }
        due
    }

    /// Tells whether nobody needs the word of a shard on an earlier transfer any more, that owns nothing since `emptied_at`
    /// (nanoseconds): every shard has said since then that it takes part in none with it, and itself in none at all.
    fn is_forgotten(&self, canister: Principal, emptied_at: u64, shards: &[ShardStatus]) -> bool {
        let others = shards.iter().filter_map(|shard| shard.canister);
        let all_said = others.into_iter().all(|other| {
            let said = self.readings.get(&other).map(Readings::newest).filter(|said| said.at > emptied_at);
            said.is_some_and(|said| {
                let peer = said.reading.in_transfer_with;
                if other == canister { peer.is_none() } else { peer != Some(canister) }
            })
        });
        all_said && self.readings.contains_key(&canister)
    }

    /// Tells when a shard is to be asked again (nanoseconds); `None` if nothing hurries.
    fn next_at(&self, shard: &ShardStatus, thresholds: &Thresholds, in_transfer: bool) -> Option<u64> {
        let readings = self.readings.get(&shard.canister?)?;
        if readings.epoch != shard.epoch {
            return Some(readings.newest().at.saturating_add(CHANGED_NANOSECONDS));
        }
        let serves = shard.stage == ShardStage::Open && shard.range != HashRange::EMPTY;
        serves.then(|| readings.next_at(&thresholds.staggered(shard.index), in_transfer))
    }
}

/// Has done what growth asks for, if there is news; tells when to come again (nanoseconds). Called by the timer.
pub fn run(now: u64) -> Option<u64> {
    let (due, log, wiped) = state::with(|state| {
        if !std::mem::take(&mut state.watching.has_news) {
            return (Vec::new(), Vec::new(), false);
        }
        let (shards, transfers) = (state.journal().shard_status(), state.journal().transfer_status());
        let thresholds = Thresholds::of(state.policy());
        let due = state.watching.observe(&shards, now);
        let reservations = state.watching.reservations.iter();
        let reservations: BTreeMap<ShardIndex, Reservation> =
            reservations.filter_map(|(&shard, asked)| Some((shard, asked.found?))).collect();
        let mut wishes = growth::decide(&View {
            thresholds: &thresholds,
            shards: &shards,
            readings: &state.watching.readings,
            reservations: &reservations,
            transfers: &transfers,
            decisions: state.journal().decisions(),
            available_cycles: ic_cdk::api::canister_liquid_cycle_balance(),
            cycles_in_day: state.journal().cycles_in_day(now),
            now,
        });
        let mut log = Vec::new();
        // As many turns as transfers may run, and one for spares.
        for wish in std::mem::take(&mut wishes.wishes) {
            match (state.change_journal(|journal| journal.grow(&wish, now)), wish.action) {
                (Ok(decision), _) => log.push(decision),
                (Err(refused), GrowthAction::Split { shard } | GrowthAction::Merge { shard, .. }) => {
                    let reason = bounded_reason(&format!("{refused:?}"));
                    wishes.notices.push(GrowthNotice::Refused { shard, reason });
                }
                // Spares are always taken on: their number was bounded.
                (Err(_), GrowthAction::MakeSpares { .. } | GrowthAction::Fund { .. }) => {}
            }
        }
        state.watching.wishes = wishes;
        let wiped = wipe(state);
        for shard in state.journal().shard_status() {
            let in_transfer = state.journal().is_in_transfer(shard.index);
            if let Some((at, canister)) = state.watching.next_at(&shard, &thresholds, in_transfer).zip(shard.canister) {
                state.telling.tell_by(canister, at);
            }
        }
        (due, log, wiped)
    });
    log.iter().for_each(|decision| ic_cdk::api::debug_print(said(decision)));
    let has_steps = !log.is_empty() || wiped;
    due.into_iter().for_each(|(shard, canister)| ask(shard, canister));
    let told_at = state::with(|state| state.telling.next_at());
    has_steps.then_some(now).into_iter().chain(told_at).min()
}

/// Has the memory of shards given back that own nothing any more; tells whether there are any.
fn wipe(state: &mut State) -> bool {
    let (shards, journal) = (state.journal().shard_status(), state.journal());
    let free = journal.emptied().filter(|(shard, ..)| !journal.is_in_transfer(*shard));
    let due = free.filter(|(_, canister, emptied)| state.watching.is_forgotten(*canister, emptied.at, &shards));
    let due: Vec<(ShardIndex, Principal)> = due.map(|(shard, canister, _)| (shard, canister)).collect();
    let is_any = !due.is_empty();
    for (shard, canister) in due {
        state.change_journal(|journal| journal.wipe(shard));
        // What it said was of its life before.
        state.watching.readings.remove(&canister);
        ic_cdk::api::debug_print(format!("shard {} owns nothing: its memory is given back", shard.0));
    }
    is_any
}

/// Tells what is known and done about growth.
pub fn status(state: &State) -> GrowthStatus {
    let thresholds = Thresholds::of(state.policy());
    let watching = &state.watching;
    let forecast = |shard: &ShardStatus| {
        let readings = watching.readings.get(&shard.canister?).filter(|readings| readings.epoch == shard.epoch)?;
        let own = thresholds.staggered(shard.index);
        let (Taken { at, reading }, load) = (readings.newest(), readings.load());
        Some(ShardForecast {
            shard: shard.index,
            read_at_nanoseconds: *at,
            reading: reading.clone(),
            split_at_record_bytes: own.record_bytes,
            bytes_until_split: own.record_bytes.map(|threshold| threshold.saturating_sub(reading.record_bytes)),
            seconds_until_split: readings.seconds_until_split(&own),
            seconds_until_out_of_cycles: readings.seconds_until_out_of_cycles(),
            operations_per_minute: load.map(|load| load.0),
            instructions_per_minute: load.map(|load| load.1),
        })
    };
    let shards = state.journal().shard_status();
    let serving = shards.iter().filter(|shard| shard.range != HashRange::EMPTY);
    let now = ic_cdk::api::time();
    let of_transfers = state.journal().transfer_status().into_iter().filter(growth::is_running);
    let short = of_transfers.filter_map(|transfer| transfer.funding?.shortage);
    let of_spares = state.journal().creation_shortage(runner::creation_cycles(state), thresholds.cycles_per_day, now);
    let short = short.chain(of_spares).map(GrowthNotice::CyclesShort);
    GrowthStatus {
        shards: serving.filter_map(forecast).collect(),
        decisions: state.journal().decisions().to_vec(),
        notices: watching.wishes.notices.iter().cloned().chain(short).collect(),
        spares: watching.wishes.spares,
        spares_wanted: watching.wishes.spares_wanted,
        cycles_in_day: Some(state.journal().cycles_in_day(now).into()),
    }
}

/// Says what was decided, for the log.
pub fn said(decision: &GrowthDecision) -> String {
    let GrowthDecision { action, reason, value, threshold, transfer, .. } = decision;
    let what = match action {
        GrowthAction::Split { shard } => format!("shard {} is split", shard.0),
        GrowthAction::Merge { shard, into } => format!("shard {} is merged into {}", shard.0, into.0),
        GrowthAction::MakeSpares { count } => format!("{count} spares are made"),
        GrowthAction::Fund { shard, cycles } => format!("shard {} is sent {cycles} cycles", shard.0),
    };
    let transfer = transfer.map_or(String::new(), |id| format!("; transfer {id}"));
    format!("{what}: {reason:?} {value}, threshold {threshold}{transfer}")
}

/// Notes how a question about reserved cycles ended: also when its callback trapped, and nobody knows.
struct OpenQuestion {
    shard: ShardIndex,
    found: Option<Reservation>,
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        let (shard, found) = (self.shard, self.found);
        state::with(|state| {
            if let Some(asked) = state.watching.reservations.get_mut(&shard) {
                asked.is_open = false;
                asked.found = found.or(asked.found);
            }
            state.watching.has_news = true;
            // Overdue at once: the next update sets the timer, should this be the cleanup after a trap.
            state.wake_at = Some(0);
        });
    }
}

/// Asks the platform what is reserved for a shard.
fn ask(shard: ShardIndex, canister: Principal) {
    ic_cdk::futures::spawn(async move {
        let mut open = OpenQuestion { shard, found: None };
        let call = Call::bounded_wait(Principal::management_canister(), "canister_status")
            .change_timeout(CALL_TIMEOUT_SECONDS)
            .take_raw_args(management::canister_status(canister));
        open.found = match call.await {
            Ok(reply) => management::read_reservation(reply.as_ref()).ok(),
            // Who took the router out of the shard's controllers must not keep it from splitting.
            Err(_) => Some(Reservation::NONE),
        };
        drop(open);
        runner::wake();
    });
}
