//! The stored machine that makes a router ready: it draws the secret, then creates, installs and checks each shard.
//!
//! ```text
//!   secrets     DrawSecret (6 answers of 32 bytes for the hash, 1 for the tags)
//!   each shard  Planned -CreateShard-> Created -InstallShard-> Installed -VerifyShard-> Open
//!                                         ^ InspectShard, when nobody knows what the canister contains
//! ```
//!
//! One message does one thing. [`Journal::advance`] decides on a step and notes that its call is open; the message that
//! stores this also sends the call, so a trap takes both back. The callback stores the raw answer
//! ([`Journal::record_answer`]) and nothing else; a later message understands it. What was being done is thus in stable
//! memory at every moment, and a call whose answer is lost (a callback that trapped, an upgrade) is noticed: its number
//! is not the one that is open. Every step but one may then be done again, because installing fails on a canister that
//! has code. Creating may not: the canister may exist. That is an alarm, for an administrator to settle.

use candid::{CandidType, Principal};
use canopy_types::api::{Resolution, ResolveAlarmError};
use canopy_types::growth::GrowthDecision;
use canopy_types::limits::SECRET_BYTES;
use canopy_types::status::{Alarm, JournalStatus, ShardStage, ShardStatus, Step};
use canopy_types::{Epoch, HashRange, HashSecret, Route, RoutingTable, ShardIndex};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::funding::Spending;
use crate::transfers::Transfers;

mod answers;
mod growing;
mod moving;
mod retiring;
#[cfg(test)]
mod tests;

/// Attempts of one step, one after the other, before it is an alarm. With the waits below: about 17 minutes.
pub const ATTEMPTS_MAX: u32 = 10;

/// First wait after a failure, doubled with each: 1 s.
const RETRY_FIRST_NANOSECONDS: u64 = 1_000_000_000;

/// Longest wait between attempts: 5 minutes.
const RETRY_LAST_NANOSECONDS: u64 = 300_000_000_000;

/// Wait before cycles are looked at again: 1 minute.
pub const CYCLES_RETRY_NANOSECONDS: u64 = 60_000_000_000;

/// Longest answer that is kept, in bytes. The longest that is expected, of `canister_status`, has about 1 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of an unreadable answer that its alarm shows.
const ANSWER_SHOWN_BYTES_MAX: usize = 64;

/// A shard, from plan to service.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    pub index: ShardIndex,
    pub range: HashRange,
    pub epoch: Epoch,
    pub canister: Option<Principal>,
    pub stage: ShardStage,
    /// Whether an installation may or may not have happened, so that the canister must be inspected first.
    pub contents_unknown: bool,
    /// What the shard owned went to others, or it is to be retired: its memory is to be given back.
    pub emptied: Option<Emptied>,
    /// Whether the installation to come wipes what is there.
    pub wipes: Option<bool>,
    /// Whether the router has parted with the canister, which is kept in the list for its number only.
    pub left: Option<bool>,
}

/// What is to become of a shard that owns nothing any more.
#[derive(CandidType, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// Since when it owns nothing, in nanoseconds.
    pub at: u64,
    /// Whether the router parts with it.
    pub leave: bool,
}

/// How a call ended.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Reply(ByteBuf),
    Reject { code: u32, message: String },
    NotSent { reason: String },
}

/// A call that was sent, and its answer once there is one.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct Pending {
    call: u64,
    step: Step,
    asked_at: u64,
    answer: Option<Answer>,
    /// Cycles that were counted as spent for growth.
    price: Option<u128>,
}

/// Cycles that the next step lacks.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
struct Shortage {
    available: u128,
    required: u128,
}

/// The machine. Stored whole, as Candid; new fields are optional.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    secret: ByteBuf,
    shards: Vec<ShardEntry>,
    next_call: u64,
    pending: Option<Pending>,
    failed_attempts: u32,
    retry_at: Option<u64>,
    last_failure: Option<String>,
    alarm: Option<Alarm>,
    shortage: Option<Shortage>,
    /// Seed of the shards' second hash, empty until it is drawn; null if version 0.1.0 made the plan.
    tag_seed: Option<ByteBuf>,
    /// Null before the first one.
    transfers: Option<Transfers>,
    /// What was decided because shards fill, the oldest first. Null before the first one.
    decisions: Option<Vec<GrowthDecision>>,
    /// Whether the router waits to be told the shards of a lost one.
    awaits_shards: Option<bool>,
    /// Cycles that growth has spent. Null before the first.
    spending: Option<Spending>,
}

/// What the machine must know of the world.
pub struct Circumstances {
    /// Time, in nanoseconds.
    pub now: u64,
    /// Number of the call of this journal that is open now; `None` after its answer came, and after an upgrade.
    pub open_call: Option<u64>,
    /// Cycles that the router can spend.
    pub available_cycles: u128,
    /// Cycles that creating a shard takes, its own included.
    pub creation_cycles: u128,
    /// Cycles that the router keeps when it creates a shard.
    pub reserve_cycles: u128,
    /// Cycles that any step sets aside.
    pub step_cycles: u128,
    /// Cycles that may be spent for growth within a day.
    pub cycles_per_day_max: u128,
    /// This canister.
    pub router: Principal,
    /// Hash of the module that is installed on shards.
    pub shard_module_hash: [u8; 32],
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the call of this step under this number, in this message.
    Send { call: u64, step: Step },
    /// Come again in the next message.
    Continue,
    /// Come again at this time (nanoseconds).
    WakeAt(u64),
    /// Wait for the answer of the open call.
    AwaitAnswer,
    /// Nothing is left to do, or an alarm stands in the way.
    Rest,
}

impl Journal {
    /// Plans a router with this many shards of equal ranges.
    pub fn new(shard_count: u32) -> Self {
        let entry = |index| ShardEntry {
            range: HashRange::FULL.part(index, shard_count).expect("there are more hashes than shards"),
            ..ShardEntry::spare(ShardIndex(index))
        };
        Self {
            secret: ByteBuf::new(),
            shards: (0..shard_count).map(entry).collect(),
            next_call: 1,
            pending: None,
            failed_attempts: 0,
            retry_at: None,
            last_failure: None,
            alarm: None,
            shortage: None,
            tag_seed: Some(ByteBuf::new()),
            transfers: None,
            decisions: None,
            awaits_shards: None,
            spending: None,
        }
    }

    /// Plans nothing: the router waits to be told the shards of a lost one.
    pub fn without_shards() -> Self {
        Self { awaits_shards: Some(true), ..Self::new(0) }
    }

    /// Does what one message may do, and says what comes next.
    pub fn advance(&mut self, circumstances: &Circumstances) -> Action {
        if self.alarm.is_some() {
            return Action::Rest;
        }
        if let Some(pending) = self.pending.take() {
            return self.continue_pending(pending, circumstances);
        }
        let short =
            self.creation_shortage(circumstances.creation_cycles, circumstances.cycles_per_day_max, circumstances.now);
        let Some(step) = self.next_step(short.is_none()) else {
            return short.map_or(Action::Rest, |_| Action::WakeAt(circumstances.now + CYCLES_RETRY_NANOSECONDS));
        };
        if let Some(at) = self.retry_at.filter(|&at| at > circumstances.now) {
            return Action::WakeAt(at);
        }
        let required = match step {
            Step::CreateShard(_) => {
                circumstances.creation_cycles + circumstances.step_cycles + circumstances.reserve_cycles
            }
            _ => circumstances.step_cycles,
        };
        if circumstances.available_cycles < required {
            let at = circumstances.now + CYCLES_RETRY_NANOSECONDS;
            self.shortage = Some(Shortage { available: circumstances.available_cycles, required });
            self.retry_at = Some(at);
            return Action::WakeAt(at);
        }
        self.shortage = None;
        self.retry_at = None;
        let call = self.next_call;
        self.next_call += 1;
        let price = self.is_growth(step).then_some(circumstances.creation_cycles);
        if let Some(price) = price {
            self.spending.get_or_insert_default().add(price, circumstances.now);
        }
        self.pending = Some(Pending { call, step, asked_at: circumstances.now, answer: None, price });
        Action::Send { call, step }
    }

    /// Stores how a call ended. An answer to another call than the one that is waited for is dropped.
    pub fn record_answer(&mut self, call: u64, mut answer: Answer) {
        answer.shorten();
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.call == call) {
            pending.answer = Some(answer);
        }
    }

    /// Settles an alarm as an administrator decided.
    ///
    /// # Errors
    ///
    /// Another alarm than the one that stands, or a canister that can't be adopted.
    pub fn resolve(
        &mut self,
        shard: Option<ShardIndex>,
        resolution: Resolution,
        router: Principal,
    ) -> Result<(), ResolveAlarmError> {
        let alarm = self.alarm.clone().ok_or(ResolveAlarmError::NoSuchAlarm)?;
        let alarmed = match &alarm {
            Alarm::CreationAnswerLost { shard, .. }
            | Alarm::CreationAnswerUnreadable { shard, .. }
            | Alarm::ForeignCode { shard, .. } => Some(*shard),
            Alarm::StepFailed { step, .. } => shard_of(*step),
            Alarm::CyclesShort { .. } => None,
        };
        if alarmed != shard {
            return Err(ResolveAlarmError::NoSuchAlarm);
        }
        match (alarm, resolution) {
            (
                Alarm::CreationAnswerLost { shard, .. } | Alarm::CreationAnswerUnreadable { shard, .. },
                Resolution::Adopt { canister },
            ) => {
                self.check_unused(canister, router)?;
                let entry = self.entry_mut(shard);
                entry.canister = Some(canister);
                entry.stage = ShardStage::Created;
                entry.contents_unknown = true;
            }
            (_, Resolution::Adopt { .. }) => return Err(ResolveAlarmError::NothingToAdopt),
            (Alarm::ForeignCode { shard, .. }, Resolution::TryAgain) => {
                let entry = self.entry_mut(shard);
                entry.stage = ShardStage::Created;
                entry.contents_unknown = true;
            }
            (_, Resolution::TryAgain) => {}
        }
        self.alarm = None;
        self.forget_failures();
        Ok(())
    }

    /// Tells the secret, once all of it was drawn.
    pub fn secret(&self) -> Option<HashSecret> {
        HashSecret::from_slice(&self.secret)
    }

    /// Tells the seed of the shards' second hash; `None` if they do without.
    pub fn tag_seed(&self) -> Option<&ByteBuf> {
        self.tag_seed.as_ref()
    }

    /// Tells the routing table, once every shard is open.
    pub fn routing_table(&self) -> Option<RoutingTable> {
        let route = |entry: &ShardEntry| {
            let shard = entry.canister.filter(|_| entry.stage == ShardStage::Open)?;
            Some(Route { range: entry.range, shard, epoch: entry.epoch })
        };
        if self.awaits_shards == Some(true) {
            return None;
        }
        let owners = self.shards.iter().filter(|entry| entry.range != HashRange::EMPTY);
        let mut table = RoutingTable { routes: owners.map(route).collect::<Option<_>>()? };
        table.routes.sort_unstable_by_key(|route| route.range);
        table.check_invariants().expect("INVARIANT: the ranges of all shards cover the hash space once");
        Some(table)
    }

    /// Tells whether a canister is a shard that serves.
    pub fn serves(&self, canister: Principal) -> bool {
        self.shards.iter().any(|entry| entry.canister == Some(canister) && entry.stage == ShardStage::Open)
    }

    /// Tells the epoch of what a canister owns, if it is a shard.
    pub fn epoch_of(&self, canister: Principal) -> Option<Epoch> {
        self.shards.iter().find(|entry| entry.canister == Some(canister)).map(|entry| entry.epoch)
    }

    /// Finds a shard.
    pub fn entry(&self, index: ShardIndex) -> &ShardEntry {
        self.shards.get(index.0 as usize).expect("INVARIANT: steps and alarms name shards of the plan")
    }

    /// Reports how far every shard has come.
    pub fn shard_status(&self) -> Vec<ShardStatus> {
        let status = |entry: &ShardEntry| ShardStatus {
            index: entry.index,
            canister: entry.canister,
            range: entry.range,
            epoch: entry.epoch,
            stage: entry.stage,
        };
        self.shards.iter().filter(|entry| entry.left != Some(true)).map(status).collect()
    }

    /// Reports what is being done.
    pub fn status(&self) -> JournalStatus {
        JournalStatus {
            step: self.pending.as_ref().map(|pending| pending.step).or_else(|| self.next_step(true)),
            waiting_for_answer: self.pending.as_ref().is_some_and(|pending| pending.answer.is_none()),
            failed_attempts: self.failed_attempts,
            retry_at_nanoseconds: self.retry_at,
            last_failure: self.last_failure.clone(),
        }
    }

    /// Reports what needs attention.
    pub fn alarms(&self) -> Vec<Alarm> {
        let shortage = self.shortage.as_ref().map(|shortage| Alarm::CyclesShort {
            available: shortage.available.into(),
            required: shortage.required.into(),
        });
        self.alarm.clone().into_iter().chain(shortage).collect()
    }

    /// Chooses the step that comes next, passing over what growth creates unless it may; `None` when every other shard is
    /// open.
    fn next_step(&self, may_create: bool) -> Option<Step> {
        if self.awaits_shards == Some(true) {
            return None;
        }
        if self.secret.len() < SECRET_BYTES || self.tag_seed.as_ref().is_some_and(|seed| seed.is_empty()) {
            return Some(Step::DrawSecret);
        }
        let is_due = |entry: &&ShardEntry| {
            entry.stage != ShardStage::Open && (may_create || !self.is_growth(Step::CreateShard(entry.index)))
        };
        let entry = self.shards.iter().find(is_due)?;
        Some(match entry.stage {
            ShardStage::Planned => Step::CreateShard(entry.index),
            ShardStage::Created if entry.contents_unknown => Step::InspectShard(entry.index),
            ShardStage::Created => Step::InstallShard(entry.index),
            ShardStage::Installed | ShardStage::Open => Step::VerifyShard(entry.index),
        })
    }

    fn forget_failures(&mut self) {
        self.failed_attempts = 0;
        self.retry_at = None;
        self.last_failure = None;
    }

    fn check_unused(&self, canister: Principal, router: Principal) -> Result<(), ResolveAlarmError> {
        if canister == router {
            return Err(ResolveAlarmError::CanisterInUse { shard: None });
        }
        match self.shards.iter().find(|entry| entry.canister == Some(canister)) {
            Some(entry) => Err(ResolveAlarmError::CanisterInUse { shard: Some(entry.index) }),
            None => Ok(()),
        }
    }

    fn entry_mut(&mut self, index: ShardIndex) -> &mut ShardEntry {
        self.shards.get_mut(index.0 as usize).expect("INVARIANT: steps and alarms name shards of the plan")
    }
}

impl ShardEntry {
    /// Plans a shard that owns nothing yet.
    pub fn spare(index: ShardIndex) -> Self {
        Self {
            index,
            range: HashRange::EMPTY,
            epoch: Epoch::FIRST,
            canister: None,
            stage: ShardStage::Planned,
            contents_unknown: false,
            emptied: None,
            wipes: None,
            left: None,
        }
    }

    /// Tells whether a transfer may give the shard something that it owns alone.
    pub fn is_spare(&self) -> bool {
        let leaves = self.left == Some(true) || self.emptied.is_some_and(|emptied| emptied.leave);
        self.range == HashRange::EMPTY && !leaves
    }
}

fn shard_of(step: Step) -> Option<ShardIndex> {
    match step {
        Step::DrawSecret => None,
        Step::CreateShard(shard) | Step::InspectShard(shard) | Step::InstallShard(shard) | Step::VerifyShard(shard) => {
            Some(shard)
        }
    }
}
