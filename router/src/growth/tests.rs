use canopy_types::funding::FundingStatus;
use canopy_types::growth::ShardReading;
use canopy_types::policy::Policy;
use canopy_types::{Epoch, TransferId};

use super::*;
use crate::readings::Taken;
use crate::readings::tests::{SECOND, reading};

const NOW: u64 = 1_700_000_000 * SECOND;
const FIRST: ShardIndex = ShardIndex(0);

/// A world of shards in the order of their ranges.
struct World {
    policy: Policy,
    shards: Vec<ShardStatus>,
    readings: BTreeMap<Principal, Readings>,
    reservations: BTreeMap<ShardIndex, Reservation>,
    transfers: Vec<TransferStatus>,
    decisions: Vec<GrowthDecision>,
    cycles: u128,
    cycles_in_day: u128,
}

fn canister(shard: u32) -> Principal {
    Principal::from_slice(&[shard as u8])
}

/// What a shard says again and again, for ten minutes up to a second ago.
fn said(reading: impl Fn(u64) -> ShardReading) -> Readings {
    let at = |step: u64| NOW - SECOND - (30 - step) * 20 * SECOND;
    let mut readings = Readings::new(Epoch(1), Taken { at: at(0), reading: reading(0) });
    (1..=30).for_each(|step| readings.add(Taken { at: at(step), reading: reading(step) }));
    readings
}

impl World {
    /// Shards that don't change, with these bytes, split at 6,400.
    fn new(record_bytes: &[u64]) -> Self {
        let range = |index: u32| HashRange::FULL.part(index, record_bytes.len() as u32).expect("there is room");
        let shard = |index: u32| ShardStatus {
            index: ShardIndex(index),
            canister: Some(canister(index)),
            range: range(index),
            epoch: Epoch::FIRST,
            stage: ShardStage::Open,
        };
        let readings = record_bytes.iter().zip(0..);
        Self {
            policy: Policy { split_at_record_bytes: Some(6_400), ..Policy::default() },
            shards: (0..record_bytes.len() as u32).map(shard).collect(),
            readings: readings.map(|(&bytes, index)| (canister(index), said(|_| reading(bytes)))).collect(),
            reservations: BTreeMap::new(),
            transfers: vec![],
            decisions: vec![],
            cycles: u128::MAX,
            cycles_in_day: 0,
        }
    }

    /// Has a shard say something else.
    fn says(mut self, shard: u32, reading: impl Fn(u64) -> ShardReading) -> Self {
        self.readings.insert(canister(shard), said(reading));
        self
    }

    fn decide(&self) -> Wishes {
        decide(&View {
            thresholds: &Thresholds::of(&self.policy),
            shards: &self.shards,
            readings: &self.readings,
            reservations: &self.reservations,
            transfers: &self.transfers,
            decisions: &self.decisions,
            available_cycles: self.cycles,
            cycles_in_day: self.cycles_in_day,
            now: NOW,
        })
    }

    /// The shards that are split, in order.
    fn splits(&self) -> Vec<u32> {
        let split = |wish: &Wish| match wish.action {
            GrowthAction::Split { shard } => Some(shard.0),
            _ => None,
        };
        self.decide().wishes.iter().filter_map(split).collect()
    }

    fn reason(&self) -> Option<GrowthReason> {
        self.decide().wishes.first().map(|wish| wish.reason)
    }
}

fn transfer(shard: ShardIndex, stage: TransferStage, ended_at: Option<u64>) -> TransferStatus {
    TransferStatus {
        id: TransferId([1; 16]),
        source: shard,
        target: ShardIndex(99),
        range: HashRange::FULL,
        epoch: Epoch(2),
        stage,
        progress: None,
        begun_at_nanoseconds: 1,
        ended_at_nanoseconds: ended_at,
        failed_attempts: 0,
        last_failure: None,
        funding: None,
    }
}

fn decided(shard: u32, reason: GrowthReason, value: u64, seconds_ago: u64) -> GrowthDecision {
    GrowthDecision {
        at_nanoseconds: NOW - seconds_ago * SECOND,
        action: GrowthAction::Split { shard: ShardIndex(shard) },
        reason,
        value,
        threshold: 1,
        transfer: None,
    }
}

#[test]
fn shards_are_split_from_their_threshold_on_the_fullest_first() {
    assert_eq!(World::new(&[6_399, 5_699, 4_999]).splits(), Vec::<u32>::new());
    assert_eq!(World::new(&[6_400, 5_700, 9_000]).splits(), [2, 0, 1]);
    let mut world = World::new(&[1 << 39]);
    world.policy.split_at_record_bytes = Some(0);
    world.policy.split_at_stable_bytes = Some(0);
    assert_eq!(world.splits(), Vec::<u32>::new());
}

#[test]
fn each_threshold_splits_by_itself_and_tells_why() {
    let stable = World::new(&[0]).says(0, |_| ShardReading { free_bytes: 1 << 39, ..reading(0) });
    assert_eq!(stable.reason(), Some(GrowthReason::StableBytes));
    let heap = World::new(&[0]).says(0, |_| ShardReading { heap_bytes: 2 << 30, ..reading(0) });
    assert_eq!(heap.reason(), Some(GrowthReason::HeapBytes));
    let low = World::new(&[0]).says(0, |_| ShardReading { low_memory: true, ..reading(0) });
    assert_eq!(low.reason(), Some(GrowthReason::LowMemory));
    let busy = |step: u64| ShardReading { load_boundary: Some(KeyHash(7)), operations: 200_000 * step, ..reading(0) };
    assert_eq!(World::new(&[0]).says(0, busy).reason(), Some(GrowthReason::Operations));
    let dear = |step: u64| ShardReading { load_boundary: Some(KeyHash(7)), instructions: step << 36, ..reading(0) };
    let dear = World::new(&[0]).says(0, dear);
    assert_eq!(dear.reason(), Some(GrowthReason::Instructions));
    assert_eq!(dear.decide().wishes[0].boundary, Some(KeyHash(7)));
}

#[test]
fn a_hot_key_is_told_and_not_split() {
    let hot = World::new(&[0]).says(0, |step| ShardReading { operations: 200_000 * step, ..reading(0) });
    assert_eq!(hot.splits(), Vec::<u32>::new());
    assert_eq!(hot.decide().notices, [GrowthNotice::HotKey { shard: FIRST }]);
}

#[test]
fn what_a_split_does_not_shrink_splits_once_and_again_only_when_it_has_grown() {
    let mut heap = World::new(&[0]).says(0, |_| ShardReading { heap_bytes: 2_200 << 20, ..reading(0) });
    heap.decisions = vec![decided(0, GrowthReason::HeapBytes, 2_048 << 20, 9_000)];
    assert_eq!(heap.splits(), Vec::<u32>::new());
    heap = heap.says(0, |_| ShardReading { heap_bytes: 2_304 << 20, ..reading(0) });
    assert_eq!(heap.splits(), [0]);
    let mut low = World::new(&[0]).says(0, |_| ShardReading { low_memory: true, ..reading(0) });
    low.decisions = vec![decided(0, GrowthReason::LowMemory, 1, 9_000)];
    assert_eq!(low.splits(), Vec::<u32>::new());
    low.decisions = vec![decided(0, GrowthReason::LowMemory, 1, 86_401)];
    assert_eq!(low.splits(), [0]);
}

#[test]
fn a_shard_without_memory_is_split_unless_cycles_are_reserved_for_it() {
    let mut full = World::new(&[10]).says(0, |_| ShardReading { out_of_space: true, ..reading(10) });
    assert_eq!(full.decide(), Wishes::default(), "it isn't known yet what is reserved");
    let reservation = |reserved, limit| Reservation { reserved, limit };
    full.reservations.insert(FIRST, reservation(0, 5_000_000_000_000));
    assert_eq!(full.reason(), Some(GrowthReason::OutOfSpace));
    full.decisions = vec![decided(0, GrowthReason::OutOfSpace, 1, 599)];
    assert_eq!(full.splits(), Vec::<u32>::new());
    full.decisions.clear();
    full.reservations.insert(FIRST, reservation(3_000_000_000_000, 5_000_000_000_000));
    let (reserved, limit) = (3_000_000_000_000u64.into(), 5_000_000_000_000u64.into());
    assert_eq!(full.splits(), Vec::<u32>::new());
    assert_eq!(full.decide().notices, [GrowthNotice::ReservedCycles { shard: FIRST, reserved, limit }]);
}

#[test]
fn spares_and_shards_that_are_not_open_or_have_said_nothing_of_what_they_own_are_left_alone() {
    let mut world = World::new(&[9_000, 9_000, 9_000, 9_000]);
    world.shards[0].range = HashRange::EMPTY;
    world.shards[1].stage = ShardStage::Installed;
    world.shards[2].epoch = Epoch(2);
    world.readings.remove(&canister(3));
    assert_eq!(world.splits(), Vec::<u32>::new());
    let clearing = World::new(&[0]).says(0, |_| ShardReading { clears_up: true, ..reading(9_000) });
    assert_eq!(clearing.splits(), Vec::<u32>::new());
}

#[test]
fn a_shard_in_a_transfer_or_after_a_cancelled_one_waits() {
    let mut world = World::new(&[9_000]);
    let cancelled = TransferStage::Ended(TransferEnd::Cancelled);
    for (stage, ended_at, expected) in [
        (TransferStage::Moving, None, vec![]),
        (cancelled, Some(NOW - PAUSE_NANOSECONDS + 1), vec![]),
        (cancelled, Some(NOW - PAUSE_NANOSECONDS), vec![0]),
        (TransferStage::Ended(TransferEnd::Done), Some(NOW - 1), vec![0]),
    ] {
        world.transfers = vec![transfer(FIRST, stage, ended_at)];
        assert_eq!(world.splits(), expected, "{stage:?} {ended_at:?}");
    }
}

#[test]
fn splits_within_an_hour_and_at_a_time_are_bounded() {
    let mut world = World::new(&[9_000; 20]);
    assert_eq!(world.splits().len(), 8);
    world.transfers = (20..26).map(|shard| transfer(ShardIndex(shard), TransferStage::Moving, None)).collect();
    assert_eq!(world.splits().len(), 2);
    world.transfers.clear();
    world.decisions = (0..11).map(|shard| decided(shard, GrowthReason::RecordBytes, 1, 3_599)).collect();
    world.decisions.push(decided(12, GrowthReason::RecordBytes, 1, 3_600));
    assert_eq!(world.splits().len(), 1);
    world.policy.splits_per_hour_max = Some(11);
    assert_eq!(world.splits(), Vec::<u32>::new());
    assert_eq!(world.decide().notices, [GrowthNotice::SplitsPerHourReached { splits_per_hour_max: 11 }]);
}

#[test]
fn as_many_spares_are_made_as_the_forecast_or_the_policy_asks_for() {
    let spares = |world: &World| {
        let wishes = world.decide();
        (wishes.spares, wishes.spares_wanted, wishes.wishes.last().map(|wish| wish.action))
    };
    assert_eq!(spares(&World::new(&[3_199])), (0, 0, None));
    let one = Some(GrowthAction::MakeSpares { count: 1 });
    assert_eq!(spares(&World::new(&[3_200])), (0, 1, one));
    // Three that fill within ten minutes; two splits are allowed in that time.
    let filling = |step: u64| reading(120 * step);
    let mut world = World::new(&[0; 3]).says(0, filling).says(1, filling).says(2, filling);
    assert_eq!(spares(&world), (0, 2, Some(GrowthAction::MakeSpares { count: 2 })));
    world.policy.splits_per_hour_max = Some(60);
    assert_eq!(spares(&world).1, 3);
    world.policy.spares_min = Some(5);
    assert_eq!(spares(&world).1, 5);
    // One there is, and one is being made.
    let spare = |index: u32, stage| ShardStatus {
        index: ShardIndex(index),
        range: HashRange::EMPTY,
        stage,
        ..world.shards[0].clone()
    };
    let more = [spare(3, ShardStage::Open), spare(4, ShardStage::Planned)];
    world.shards.extend(more);
    assert_eq!(spares(&world), (2, 5, Some(GrowthAction::MakeSpares { count: 3 })));
    world.policy.splits_per_hour_max = Some(0);
    world.policy.spares_min = None;
    assert_eq!(spares(&world), (2, 0, None));
}

#[test]
fn neighbours_that_hold_little_are_merged_the_lighter_into_the_heavier() {
    let mut world = World::new(&[2_800, 1_500, 1_400, 2_800]);
    assert_eq!(world.decide().wishes, []);
    world.policy.merge_below_record_bytes = Some(3_000);
    let wish = world.decide().wishes.remove(0);
    assert_eq!(wish.action, GrowthAction::Merge { shard: ShardIndex(2), into: ShardIndex(1) });
    assert_eq!((wish.reason, wish.value, wish.threshold), (GrowthReason::LittleHeld, 2_900, 3_000));
    // Not when one is busy, out of order, in a transfer or was moved lately.
    let busy = |step: u64| ShardReading { operations: 60_000 * step, ..reading(1_500) };
    assert!(world.says(1, busy).decide().wishes.iter().all(|wish| wish.reason == GrowthReason::Spares));
    let mut world = World::new(&[2_800, 1_500, 1_400, 2_800]);
    world.policy.merge_below_record_bytes = Some(3_000);
    for (ended_at, merges) in [(NOW - SETTLED_NANOSECONDS + 1, 0), (NOW - SETTLED_NANOSECONDS, 1)] {
        world.transfers = vec![transfer(ShardIndex(2), TransferStage::Ended(TransferEnd::Done), Some(ended_at))];
        assert_eq!(world.decide().wishes.len(), merges);
    }
    // A split comes first.
    world.transfers.clear();
    let world = world.says(0, |_| reading(6_400));
    assert_eq!(world.splits(), [0]);
}

#[test]
fn a_split_that_could_not_be_paid_is_begun_again_when_it_can_be() {
    let mut world = World::new(&[6_400]);
    let short = |limit, required: u128| {
        let shortage = FundingShortage { shard: FIRST, limit, available: 1u8.into(), required: required.into() };
        let funding = FundingStatus { source_cycles: 0u8.into(), target_cycles: 0u8.into(), shortage: Some(shortage) };
        let cancelled = TransferStage::Ended(TransferEnd::Cancelled);
        TransferStatus { funding: Some(funding), ..transfer(FIRST, cancelled, Some(1)) }
    };
    let notice = |limit, available: u128, required: u128| {
        let (available, required) = (available.into(), required.into());
        GrowthNotice::CyclesShort(FundingShortage { shard: FIRST, limit, available, required })
    };
    world.transfers = vec![short(FundingLimit::RouterCycles, 1_000)];
    world.cycles = 999;
    assert!(world.splits().is_empty());
    assert_eq!(world.decide().notices, [notice(FundingLimit::RouterCycles, 999, 1_000)]);
    world.cycles = 1_000;
    assert_eq!((world.splits(), world.decide().notices), (vec![0], vec![]));

    world.policy.growth_cycles_per_day_max = Some(5_000);
    world.cycles_in_day = 4_001;
    world.transfers = vec![short(FundingLimit::CyclesPerDay, 1_000)];
    assert!(world.splits().is_empty());
    assert_eq!(world.decide().notices, [notice(FundingLimit::CyclesPerDay, 999, 1_000)]);
    world.cycles_in_day = 4_000;
    assert_eq!(world.splits(), [0]);

    world.cycles = 0;
    world.transfers = vec![short(FundingLimit::CyclesPerTransfer, 1_000)];
    assert_eq!(world.splits(), [0], "another transfer begins anew");
    // A later one of the same shard counts, and no other shard's.
    world.transfers = vec![
        short(FundingLimit::RouterCycles, 1_000),
        transfer(FIRST, TransferStage::Ended(TransferEnd::Done), Some(2)),
        TransferStatus { source: ShardIndex(7), ..short(FundingLimit::RouterCycles, 1_000) },
    ];
    assert_eq!(world.splits(), [0]);
}
