//! What is to be split, merged and made because shards fill or empty: pure, from what administrators set and what shards
//! said.
//!
//! Thresholds are staggered, so that shards which fill alike aren't all split at the same moment. A shard that took part
//! in a transfer is judged by what it said after that, and not while it clears up, because it counts what it gave away.
//! Neighbours are merged only where what comes of it is far from being split.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_types::funding::{FundingLimit, FundingShortage};
use canopy_types::growth::{GrowthAction, GrowthDecision, GrowthNotice, GrowthReason};
use canopy_types::limits::{SHARDS_MAX, TRANSFERS_MAX};
use canopy_types::status::{ShardStage, ShardStatus};
use canopy_types::transfer::{TransferEnd, TransferStage, TransferStatus};
use canopy_types::{HashRange, KeyHash, ShardIndex};

use crate::policy::Thresholds;
use crate::readings::{Readings, number, used_stable_bytes};

#[cfg(test)]
mod tests;

/// Time for which a shard isn't split again after a transfer of it was cancelled, and after it was split because it got no
/// memory: 10 minutes.
const PAUSE_NANOSECONDS: u64 = 600_000_000_000;

/// Time for which a shard must have been left alone before it is merged: 10 minutes.
const SETTLED_NANOSECONDS: u64 = 600_000_000_000;

/// Time for which a shard isn't split again because of the platform's word on its memory, which only an upgrade takes
/// back: a day.
const LOW_MEMORY_PAUSE_NANOSECONDS: u64 = 86_400_000_000_000;

/// Time over which splits are counted.
const HOUR_NANOSECONDS: u64 = 3_600_000_000_000;

/// Shards that are to be split within this time need spares now: 10 minutes, many times what making one takes.
const SPARES_AHEAD_SECONDS: u64 = 600;

/// Parts of an hour in [`SPARES_AHEAD_SECONDS`].
const SPARES_AHEAD_PARTS: u64 = 3_600 / SPARES_AHEAD_SECONDS;

/// What the memory of the code must have grown by, since a split for its sake, before another: an eighth. A split doesn't
/// shrink it.
const HEAP_GROWTH_PARTS: u64 = 8;

/// Cycles that a subnet which is nearly full reserves when a shard adds 64 MiB: 2.6 T, for ten years of storage.
const GROWTH_RESERVATION_CYCLES_MAX: u128 = 2_600_000_000_000;

/// What is known.
pub struct View<'a> {
    pub thresholds: &'a Thresholds,
    pub shards: &'a [ShardStatus],
    pub readings: &'a BTreeMap<Principal, Readings>,
    /// What is known of the cycles that are reserved for shards which get no memory.
    pub reservations: &'a BTreeMap<ShardIndex, Reservation>,
    pub transfers: &'a [TransferStatus],
    /// The last decisions, the oldest first.
    pub decisions: &'a [GrowthDecision],
    /// Cycles that the router can spend, and those that growth has spent within a day.
    pub available_cycles: u128,
    pub cycles_in_day: u128,
    /// Time, in nanoseconds.
    pub now: u64,
}

/// Cycles that the subnet has reserved for a shard's memory, and how many it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub reserved: u128,
    pub limit: u128,
}

impl Reservation {
    /// Nothing is in the way.
    pub const NONE: Self = Self { reserved: 0, limit: u128::MAX };

    /// Tells whether the next growth of memory may reserve more than is allowed.
    fn is_exhausted(&self) -> bool {
        self.limit.saturating_sub(self.reserved) < GROWTH_RESERVATION_CYCLES_MAX
    }
}

/// Something to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub action: GrowthAction,
    /// Where a shard is to be cut; the middle when `None`.
    pub boundary: Option<KeyHash>,
    pub reason: GrowthReason,
    pub value: u64,
    pub threshold: u64,
}

/// What is to be done, in this order, and what is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub wishes: Vec<Wish>,
    pub notices: Vec<GrowthNotice>,
    pub spares: u32,
    pub spares_wanted: u32,
}

/// A shard that owns something and takes part in no transfer, and what it said.
struct Candidate<'a> {
    shard: &'a ShardStatus,
    readings: &'a Readings,
    thresholds: Thresholds,
}

/// Decides what is to be done.
pub fn decide(view: &View) -> Wishes {
    let mut done = Wishes::default();
    let running = view.transfers.iter().filter(|transfer| is_running(transfer)).count() as u64;
    let in_hour = view.decisions.iter().filter(|decision| {
        decision.action.moves_range() && decision.at_nanoseconds.saturating_add(HOUR_NANOSECONDS) > view.now
    });
    let left_in_hour = view.thresholds.splits_per_hour.saturating_sub(in_hour.count() as u64);
    let room = u64::from(TRANSFERS_MAX).saturating_sub(running).min(left_in_hour) as usize;

    let candidates: Vec<Candidate> = view.candidates().collect();
    let mut splits: Vec<Wish> =
        candidates.iter().filter_map(|candidate| candidate.split(view, &mut done.notices)).collect();
    // The fullest first. A value is compared with its own threshold, in thousandths.
    let fullness = |wish: &Wish| u128::from(wish.value) * 1_000 / u128::from(wish.threshold.max(1));
    splits.sort_by_key(|wish| std::cmp::Reverse(fullness(wish)));
    if splits.is_empty() {
        splits.extend(view.merge(&candidates));
    }
    if !splits.is_empty() && left_in_hour == 0 {
        let splits_per_hour_max = view.thresholds.splits_per_hour;
        done.notices.push(GrowthNotice::SplitsPerHourReached { splits_per_hour_max });
    }
    splits.truncate(room);

    let promised = splits.iter().filter(|wish| matches!(wish.action, GrowthAction::Split { .. })).count() as u32;
    done.spares = view.spares().saturating_sub(promised);
    done.spares_wanted = view.spares_wanted();
    done.wishes = splits;
    let missing =
        done.spares_wanted.saturating_sub(done.spares).min(SHARDS_MAX.saturating_sub(view.shards.len() as u32));
    if missing > 0 {
        done.wishes.push(Wish {
            action: GrowthAction::MakeSpares { count: missing },
            boundary: None,
            reason: GrowthReason::Spares,
            value: u64::from(done.spares),
            threshold: u64::from(done.spares_wanted),
        });
    }
    done
}

impl<'a> View<'a> {
    fn is_busy(&self, shard: ShardIndex) -> bool {
        self.transfers.iter().any(|transfer| is_running(transfer) && takes_part(transfer, shard))
    }

    /// Finds what a shard said about what it owns now.
    fn readings_of(&self, shard: &ShardStatus) -> Option<&'a Readings> {
        self.readings.get(&shard.canister?).filter(|readings| readings.epoch == shard.epoch)
    }

    /// Lists the shards that can be judged.
    fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> {
        let serving = self.shards.iter().filter(|shard| serves(shard) && !self.is_busy(shard.index));
        serving.filter_map(|shard| {
            let readings = self.readings_of(shard).filter(|readings| !readings.newest().reading.clears_up)?;
            Some(Candidate { shard, readings, thresholds: self.thresholds.staggered(shard.index) })
        })
    }

    /// Counts the shards that own nothing and are promised to no transfer.
    fn spares(&self) -> u32 {
        let is_spare = |shard: &&ShardStatus| shard.range == HashRange::EMPTY && !self.is_busy(shard.index);
        self.shards.iter().filter(is_spare).count() as u32
    }

    /// Tells how many spares there should be: one as soon as any shard is half way to a split, and one for each that will be
    /// split soon, as far as splits are allowed; at least as many as the policy says.
    fn spares_wanted(&self) -> u32 {
        let (mut half_way, mut soon) = (0, 0);
        for shard in self.shards.iter().filter(|shard| serves(shard)) {
            let Some(readings) = self.readings_of(shard) else { continue };
            let thresholds = self.thresholds.staggered(shard.index);
            half_way += u64::from(is_half_way(readings, &thresholds));
            let seconds = readings.seconds_until_split(&thresholds);
            soon += u64::from(seconds.is_some_and(|seconds| seconds <= SPARES_AHEAD_SECONDS));
        }
        let allowed = self.thresholds.splits_per_hour.div_ceil(SPARES_AHEAD_PARTS).min(u64::from(TRANSFERS_MAX));
        let forecast = soon.max(half_way.min(1)).min(allowed);
        forecast.max(self.thresholds.spares_min).min(u64::from(SHARDS_MAX)) as u32
    }

    /// Finds the two neighbours that hold least together, if that is little enough.
    fn merge(&self, candidates: &[Candidate<'a>]) -> Option<Wish> {
        let threshold = self.thresholds.merge_below_record_bytes?;
        let mut settled: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.is_settled(self)).collect();
        settled.sort_by_key(|candidate| candidate.shard.range);
        let pairs = settled.windows(2).filter(|pair| pair[0].shard.range.is_followed_by(&pair[1].shard.range));
        let bytes = |candidate: &Candidate| candidate.readings.newest().reading.record_bytes;
        let together = |pair: &[&Candidate]| bytes(pair[0]).saturating_add(bytes(pair[1]));
        let light = pairs.filter(|pair| together(pair) <= threshold && is_light_together(self.thresholds, pair));
        let pair = light.min_by_key(|pair| together(pair))?;
        let (shard, into) = if bytes(pair[0]) <= bytes(pair[1]) { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
        Some(Wish {
            action: GrowthAction::Merge { shard: shard.shard.index, into: into.shard.index },
            boundary: None,
            reason: GrowthReason::LittleHeld,
            value: together(pair),
            threshold,
        })
    }

    /// Finds what the last transfer from a shard lacked, if that is still lacking.
    fn shortage(&self, index: ShardIndex) -> Option<FundingShortage> {
        let ended = self.transfers.iter().rev().find(|transfer| transfer.source == index && !is_running(transfer))?;
        let shortage = ended.funding.as_ref()?.shortage.as_ref()?;
        let available = match shortage.limit {
            FundingLimit::RouterCycles => self.available_cycles,
            FundingLimit::CyclesPerDay => self.thresholds.cycles_per_day.saturating_sub(self.cycles_in_day),
            // Another transfer begins with nothing spent.
            FundingLimit::CyclesPerTransfer => u128::MAX,
        };
        (available < number(&shortage.required))
            .then(|| FundingShortage { available: available.into(), ..shortage.clone() })
    }

    /// Finds the last split of a shard for this reason.
    fn last_split(&self, index: ShardIndex, reason: GrowthReason) -> Option<&'a GrowthDecision> {
        let of = |decision: &&GrowthDecision| {
            decision.action == GrowthAction::Split { shard: index } && decision.reason == reason
        };
        self.decisions.iter().rev().find(of)
    }
}

impl Candidate<'_> {
    /// Tells whether and why the shard is to be split.
    fn split(&self, view: &View, notices: &mut Vec<GrowthNotice>) -> Option<Wish> {
        let index = self.shard.index;
        let cancelled = view.transfers.iter().any(|transfer| {
            let ended = transfer.ended_at_nanoseconds.unwrap_or(0);
            let was_cancelled = transfer.stage == TransferStage::Ended(TransferEnd::Cancelled);
            was_cancelled && transfer.source == index && ended.saturating_add(PAUSE_NANOSECONDS) > view.now
        });
        if cancelled {
            return None;
        }
        let (reason, value, threshold) =
            self.memory(view).or_else(|| self.no_memory(view, notices)).or_else(|| self.load())?;
        if let Some(shortage) = view.shortage(index) {
            notices.push(GrowthNotice::CyclesShort(shortage));
            return None;
        }
        let mut boundary = None;
        if matches!(reason, GrowthReason::Operations | GrowthReason::Instructions) {
            boundary = self.readings.newest().reading.load_boundary;
            if !boundary.is_some_and(|at| self.shard.range.contains(at) && at > self.shard.range.first) {
                notices.push(GrowthNotice::HotKey { shard: index });
                return None;
            }
        }
        Some(Wish { action: GrowthAction::Split { shard: index }, boundary, reason, value, threshold })
    }

    /// Finds a threshold of memory that is reached.
    fn memory(&self, view: &View) -> Option<(GrowthReason, u64, u64)> {
        let (reading, thresholds) = (&self.readings.newest().reading, &self.thresholds);
        let reached = |reason: GrowthReason, value: u64, threshold: Option<u64>| {
            threshold.filter(|&threshold| value >= threshold).map(|threshold| (reason, value, threshold))
        };
        let heap = || {
            let grown = view
                .last_split(self.shard.index, GrowthReason::HeapBytes)
                .is_none_or(|last| reading.heap_bytes >= last.value.saturating_add(last.value / HEAP_GROWTH_PARTS));
            reached(GrowthReason::HeapBytes, reading.heap_bytes, thresholds.heap_bytes).filter(|_| grown)
        };
        reached(GrowthReason::RecordBytes, reading.record_bytes, thresholds.record_bytes)
            .or_else(|| reached(GrowthReason::StableBytes, used_stable_bytes(reading), thresholds.stable_bytes))
            .or_else(heap)
    }

    /// Finds that the shard gets no more memory. What the subnet reserves cycles for gets no cheaper by a split.
    fn no_memory(&self, view: &View, notices: &mut Vec<GrowthNotice>) -> Option<(GrowthReason, u64, u64)> {
        let reading = &self.readings.newest().reading;
        let index = self.shard.index;
        let lately = |reason, nanoseconds: u64| {
            view.last_split(index, reason)
                .is_some_and(|last| last.at_nanoseconds.saturating_add(nanoseconds) > view.now)
        };
        if reading.low_memory
            && let Some(threshold) = self.thresholds.heap_bytes
            && !lately(GrowthReason::LowMemory, LOW_MEMORY_PAUSE_NANOSECONDS)
        {
            return Some((GrowthReason::LowMemory, reading.heap_bytes, threshold));
        }
        if !reading.out_of_space {
            return None;
        }
        // Until that is known, nothing is decided.
        let reservation = view.reservations.get(&index)?;
        if reservation.is_exhausted() {
            let Reservation { reserved, limit } = *reservation;
            notices.push(GrowthNotice::ReservedCycles { shard: index, reserved: reserved.into(), limit: limit.into() });
            return None;
        }
        let threshold = self.thresholds.stable_bytes.or(self.thresholds.record_bytes)?;
        let used = used_stable_bytes(reading);
        (!lately(GrowthReason::OutOfSpace, PAUSE_NANOSECONDS)).then_some((GrowthReason::OutOfSpace, used, threshold))
    }

    /// Finds a load that is too much.
    fn load(&self) -> Option<(GrowthReason, u64, u64)> {
        let (operations, instructions) = self.readings.load()?;
        let reached = |reason: GrowthReason, value: u64, threshold: Option<u64>| {
            threshold.filter(|&threshold| value >= threshold).map(|threshold| (reason, value, threshold))
        };
        reached(GrowthReason::Operations, operations, self.thresholds.operations_per_minute)
            .or_else(|| reached(GrowthReason::Instructions, instructions, self.thresholds.instructions_per_minute))
    }

    /// Tells whether the shard was left alone for a while, and is in order.
    fn is_settled(&self, view: &View) -> bool {
        let index = self.shard.index;
        let reading = &self.readings.newest().reading;
        let moved_lately = view.transfers.iter().any(|transfer| {
            takes_part(transfer, index)
                && transfer.ended_at_nanoseconds.is_none_or(|at| at.saturating_add(SETTLED_NANOSECONDS) > view.now)
        });
        !moved_lately
            && view.shortage(index).is_none()
            && !reading.out_of_space
            && !reading.low_memory
            && self.readings.load().is_some()
    }
}

/// Tells whether two shards together are no more than half as busy as one that is split.
fn is_light_together(thresholds: &Thresholds, pair: &[&Candidate]) -> bool {
    let loads = pair.iter().filter_map(|candidate| candidate.readings.load());
    let (operations, instructions) = loads.fold((0u64, 0u64), |sum, load| (sum.0 + load.0, sum.1 + load.1));
    let is_light = |load: u64, threshold: Option<u64>| threshold.is_none_or(|threshold| load <= threshold / 2);
    is_light(operations, thresholds.operations_per_minute) && is_light(instructions, thresholds.instructions_per_minute)
}

fn is_half_way(readings: &Readings, thresholds: &Thresholds) -> bool {
    let reading = &readings.newest().reading;
    let load = readings.load().unwrap_or_default();
    let pairs = [
        (reading.record_bytes, thresholds.record_bytes),
        (used_stable_bytes(reading), thresholds.stable_bytes),
        (reading.heap_bytes, thresholds.heap_bytes),
        (load.0, thresholds.operations_per_minute),
        (load.1, thresholds.instructions_per_minute),
    ];
    pairs.into_iter().any(|(value, threshold)| threshold.is_some_and(|threshold| value >= threshold / 2))
}

fn serves(shard: &ShardStatus) -> bool {
    shard.stage == ShardStage::Open && shard.range != HashRange::EMPTY
}

/// Tells whether a transfer isn't over.
pub fn is_running(transfer: &TransferStatus) -> bool {
    !matches!(transfer.stage, TransferStage::Ended(_))
}

fn takes_part(transfer: &TransferStatus, shard: ShardIndex) -> bool {
    transfer.source == shard || transfer.target == shard
}
