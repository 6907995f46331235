use super::running::*;
use super::*;
use canopy_types::codec::encode;
use canopy_types::growth::ShardReading;
use canopy_types::shard::{ShardInfo, ShardInfoResult};
use canopy_types::status::ShardStage;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferResult, TransferError, TransferPhase, TransferProgress,
    TransferProgressResult, TransferSide,
};
use canopy_types::{KeyHash, Version, codec};
use serde_bytes::ByteBuf;

use crate::readings::tests::reading;

pub const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_000 * SECOND;
pub const SHARD: ShardIndex = ShardIndex(0);
pub const SPARE: ShardIndex = ShardIndex(1);

/// Memory that a source says to have in use.
pub const MEASURED_BYTES: u64 = 1_000;

pub fn canister(index: ShardIndex) -> Principal {
    Principal::from_slice(&[1, index.0 as u8])
}

pub fn open(index: u32, range: HashRange) -> ShardEntry {
    let index = ShardIndex(index);
    ShardEntry { range, canister: Some(canister(index)), stage: ShardStage::Open, ..ShardEntry::spare(index) }
}

fn range(first: u64, last: u64) -> HashRange {
    HashRange { first: KeyHash(first), last: KeyHash(last) }
}

fn name(epoch: Epoch) -> TransferId {
    TransferId((u128::from(epoch.0)).to_le_bytes())
}

/// What a shard says of how a transfer goes.
pub fn progress(phase: TransferPhase) -> TransferProgress {
    TransferProgress { phase, items: 1, bytes: 2, changes: 3, failed_attempts: 0, last_failure: None, cycles: None }
}

/// What a shard says of itself.
fn info(range: HashRange) -> ShardInfo {
    let reading = reading(100);
    ShardInfo {
        code_version: String::new(),
        layout_version: 2,
        index: SHARD,
        router: Principal::anonymous(),
        range,
        epoch: Epoch(1),
        secret_fingerprint: 0,
        records: 1,
        record_bytes: 100,
        stable_bytes: reading.stable_bytes,
        last_version: Version(1),
        out_of_space: false,
        cycles: reading.cycles.clone(),
        internal_records: None,
        roles: None,
        reading: Some(ShardReading { free_bytes: reading.stable_bytes - MEASURED_BYTES, ..reading }),
    }
}

/// The machine and the world around it.
pub struct World {
    pub transfers: Transfers,
    pub spending: Spending,
    shards: Vec<ShardEntry>,
    pub now: u64,
    pub open_calls: BTreeSet<u64>,
    pub cycles: u128,
    pub cycles_per_day_max: u128,
    /// Those of the last message.
    pub payments: Vec<(TransferId, Payment)>,
}

impl World {
    /// A shard with everything, a spare, and a split of the one that has begun.
    pub fn splitting() -> (Self, TransferId) {
        let mut world = Self::with(vec![open(0, HashRange::FULL), open(1, HashRange::EMPTY)]);
        let id = world.split(SHARD, None).unwrap();
        (world, id)
    }

    pub fn with(shards: Vec<ShardEntry>) -> Self {
        Self {
            transfers: Transfers::default(),
            spending: Spending::default(),
            shards,
            now: START,
            open_calls: BTreeSet::new(),
            cycles: 100,
            cycles_per_day_max: 10_000,
            payments: vec![],
        }
    }

    pub fn split(&mut self, shard: ShardIndex, at: Option<u64>) -> Result<TransferId, MoveError> {
        let arguments = SplitShardArguments { shard, at: at.map(KeyHash) };
        self.transfers.split(&mut self.shards, &arguments, self.now, name)
    }

    fn merge(&mut self, shard: ShardIndex, into: ShardIndex) -> Result<TransferId, MoveError> {
        self.transfers.merge(&self.shards, &MergeShardArguments { shard, into }, self.now, name)
    }

    /// One message. What is stored survives by a trip through its Candid form.
    pub fn advance(&mut self) -> Work {
        let circumstances = Circumstances {
            now: self.now,
            open_calls: &self.open_calls,
            available_cycles: self.cycles,
            call_cycles: 10,
            reserve_cycles: 100,
            cycles_per_day_max: self.cycles_per_day_max,
        };
        let work = self.transfers.advance(&mut self.shards, &mut self.spending, &circumstances);
        self.transfers = codec::decode(&encode(&self.transfers)).unwrap();
        self.open_calls.extend(work.sends.iter().map(|send| send.call));
        self.payments.clone_from(&work.payments);
        work
    }

    /// Messages until calls are sent, and all that one sends.
    pub fn advance_until_sent(&mut self) -> Vec<Send> {
        for _ in 0..6 {
            let work = self.advance();
            if !work.sends.is_empty() {
                return work.sends;
            }
            self.now = self.now.max(work.wake_at.expect("something is to come"));
        }
        panic!("nothing is sent: {:?}", self.transfers);
    }

    /// Messages until a call is sent; time passes as asked for. `None` when nothing more happens.
    pub fn next_call(&mut self) -> Option<Send> {
        for _ in 0..6 {
            let work = self.advance();
            match (work.sends.into_iter().next(), work.wake_at) {
                (Some(send), _) => return Some(send),
                (None, Some(at)) => self.now = self.now.max(at),
                (None, None) => return None,
            }
        }
        panic!("neither sends nor rests: {:?}", self.transfers);
    }

    pub fn expect(&mut self, method: &str, shard: ShardIndex) -> u64 {
        let send = self.next_call().unwrap_or_else(|| panic!("{method} isn't sent: {:?}", self.transfers));
        assert_eq!((send.method, send.callee, send.cycles), (method, canister(shard), None));
        send.call
    }

    pub fn answer(&mut self, call: u64, answer: Answer) {
        self.open_calls.remove(&call);
        self.transfers.record_answer(call, answer);
    }

    pub fn reply<T: CandidType>(&mut self, call: u64, reply: &T) {
        self.answer(call, Answer::Reply(ByteBuf::from(encode(reply))));
    }

    /// Has the source of a transfer that has just begun say how much it holds.
    pub fn measure(&mut self) {
        let source = self.transfers.running.last().expect("a transfer has begun").source;
        let call = self.expect("info", source);
        let info = info(self.shards[source.0 as usize].range);
        self.reply(call, &ShardInfoResult::Ok(info));
    }

    pub fn begin(&mut self) {
        self.measure();
        for shard in [SPARE, SHARD] {
            let call = self.expect("begin_transfer", shard);
            self.reply(call, &BeginTransferResult::Ok(()));
        }
    }

    pub fn hear(&mut self, phase: TransferPhase) {
        let call = self.expect("transfer_progress", SHARD);
        self.reply(call, &TransferProgressResult::Ok(progress(phase)));
    }

    pub fn stage(&self) -> TransferStage {
        self.transfers.status().last().expect("a transfer was begun").stage
    }

    fn ranges(&self) -> Vec<HashRange> {
        self.shards.iter().map(|entry| entry.range).collect()
    }
}

fn lower() -> HashRange {
    range(0, u64::MAX / 2)
}

fn upper() -> HashRange {
    range(u64::MAX / 2 + 1, u64::MAX)
}

#[test]
fn a_split_tells_target_then_source_and_waits_for_the_shards() {
    let (mut world, id) = World::splitting();
    world.measure();
    let send = world.next_call().unwrap();
    let told: BeginTransferArguments = codec::decode(&send.arguments).unwrap();
    assert_eq!((told.side, told.peer, told.range), (TransferSide::Target, canister(SHARD), upper()));
    assert_eq!((told.id, told.epoch), (id, Epoch(2)));
    world.reply(send.call, &BeginTransferResult::Ok(()));
    let send = world.next_call().unwrap();
    let told: BeginTransferArguments = codec::decode(&send.arguments).unwrap();
    assert_eq!((send.callee, told.side, told.peer), (canister(SHARD), TransferSide::Source, canister(SPARE)));
    world.reply(send.call, &BeginTransferResult::Ok(()));
    for phase in [TransferPhase::Copying, TransferPhase::CatchingUp, TransferPhase::HandingOver] {
        world.hear(phase);
        assert_eq!(world.ranges(), [HashRange::FULL, HashRange::EMPTY], "the shards haven't said that it is done");
    }
    world.hear(TransferPhase::Ended(TransferEnd::Done));
    assert_eq!(world.next_call(), None);
    assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Done));
    assert_eq!(world.ranges(), [lower(), upper()]);
    assert!(world.shards.iter().all(|entry| entry.epoch == Epoch(2)));
}

#[test]
fn a_split_without_a_spare_waits_until_one_is_made() {
    let mut world = World::with(vec![open(0, HashRange::FULL)]);
    world.split(SHARD, Some(1)).unwrap();
    assert_eq!(world.shards[1], ShardEntry::spare(SPARE));
    assert_eq!(world.next_call(), None);
    assert_eq!(world.stage(), TransferStage::AwaitingTarget);
    world.shards[1] = open(1, HashRange::EMPTY);
    world.measure();
    world.expect("begin_transfer", SPARE);
}

#[test]
fn a_merge_leaves_a_spare_that_the_next_split_uses() {
    let mut world = World::with(vec![open(0, range(0, 99)), open(1, range(100, u64::MAX))]);
    world.merge(SHARD, SPARE).unwrap();
    world.begin();
    world.hear(TransferPhase::Ended(TransferEnd::Done));
    assert_eq!(world.next_call(), None);
    assert_eq!(world.ranges(), [HashRange::EMPTY, HashRange::FULL]);
    world.split(SPARE, None).unwrap();
    assert_eq!(world.shards.len(), 2);
    let status = world.transfers.status();
    assert_eq!(
        status.last().map(|status| (status.source, status.target, status.epoch)),
        Some((SPARE, SHARD, Epoch(3)))
    );
}

#[test]
fn a_lost_or_failed_call_is_made_again_at_every_stage() {
    let answers = [
        None,
        Some(Answer::Reject { code: 6, message: "unknown".to_string() }),
        Some(Answer::Reject { code: 5, message: "stopped".to_string() }),
        Some(Answer::NotSent { reason: "queue".to_string() }),
        Some(Answer::Reply(ByteBuf::from(b"garbage".to_vec()))),
    ];
    for answer in answers {
        let (mut world, id) = World::splitting();
        let fail = |world: &mut World, method, shard| {
            let call = world.expect(method, shard);
            match &answer {
                // An upgrade: nothing waits for it.
                None => _ = world.open_calls.remove(&call),
                Some(answer) => world.answer(call, answer.clone()),
            }
            let before = world.now;
            world.advance();
            assert!(
                world.transfers.running[0].failed_attempts == 1 && world.transfers.running[0].last_failure.is_some()
            );
            let at = world.transfers.running[0].retry_at.unwrap();
            assert!(at > before && at <= before + RETRY_LAST_NANOSECONDS);
        };
        // What it measures is not waited for in vain: whatever it replies is an answer.
        if !matches!(answer, Some(Answer::Reply(_))) {
            fail(&mut world, "info", SHARD);
        }
        world.measure();
        fail(&mut world, "begin_transfer", SPARE);
        let call = world.expect("begin_transfer", SPARE);
        world.reply(call, &BeginTransferResult::Ok(()));
        fail(&mut world, "begin_transfer", SHARD);
        let call = world.expect("begin_transfer", SHARD);
        world.reply(call, &BeginTransferResult::Ok(()));
        fail(&mut world, "transfer_progress", SHARD);
        world.transfers.stop(id, "enough").unwrap();
        fail(&mut world, "cancel_transfer", SHARD);
        let call = world.expect("cancel_transfer", SHARD);
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
        fail(&mut world, "cancel_transfer", SPARE);
        let call = world.expect("cancel_transfer", SPARE);
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
        assert_eq!(world.next_call(), None);
        assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Cancelled));
        assert_eq!(world.ranges(), [HashRange::FULL, HashRange::EMPTY]);
    }
}

#[test]
fn an_open_call_is_waited_for_and_never_made_twice() {
    let (mut world, _) = World::splitting();
    world.measure();
    world.expect("begin_transfer", SPARE);
    for _ in 0..5 {
        world.now += 60 * SECOND;
        assert_eq!(world.advance(), Work { wake_at: Some(world.now + WATCH_NANOSECONDS), ..Work::default() });
    }
}

#[test]
fn a_transfer_that_is_done_when_it_shall_stop_is_done() {
    for asked in [SHARD, SPARE] {
        let (mut world, id) = World::splitting();
        world.begin();
        world.hear(TransferPhase::HandingOver);
        world.transfers.stop(id, "enough").unwrap();
        let call = world.expect("cancel_transfer", SHARD);
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Asking));
        let call = world.expect("cancel_transfer", SHARD);
        let call = if asked == SPARE {
            world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
            world.expect("cancel_transfer", SPARE)
        } else {
            call
        };
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Done)));
        assert_eq!(world.next_call(), None);
        assert_eq!((world.stage(), world.ranges()), (TransferStage::Ended(TransferEnd::Done), vec![lower(), upper()]));
    }
}

#[test]
fn a_transfer_that_shall_stop_while_it_is_asked_how_it_goes_stops_at_once() {
    let (mut world, id) = World::splitting();
    world.begin();
    let call = world.expect("transfer_progress", SHARD);
    world.transfers.stop(id, "enough").unwrap();
    let before = world.now;
    let phase = TransferPhase::Copying;
    world.reply(call, &TransferProgressResult::Ok(progress(phase)));
    world.expect("cancel_transfer", SHARD);
    assert_eq!(world.now, before);
}

#[test]
fn stopping_tells_only_those_who_may_have_begun() {
    let (mut world, id) = World::splitting();
    world.transfers.stop(id, "enough").unwrap();
    assert_eq!(world.next_call(), None);
    assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Cancelled));
    assert_eq!(world.transfers.stop(id, "again"), Err(MoveError::NoSuchTransfer));

    let (mut world, id) = World::splitting();
    let call = world.expect("info", SHARD);
    world.transfers.stop(id, "enough").unwrap();
    world.reply(call, &());
    // The stage before the target is told.
    world.advance();
    assert_eq!(world.stage(), TransferStage::TellingTarget);
    world.expect("cancel_transfer", SPARE);

    let (mut world, id) = World::splitting();
    world.measure();
    let call = world.expect("begin_transfer", SPARE);
    world.transfers.stop(id, "enough").unwrap();
    world.answer(call, Answer::Reject { code: 6, message: "unknown".to_string() });
    world.expect("cancel_transfer", SPARE);
}

#[test]
fn a_spare_that_is_deleted_while_the_source_sends_to_it_is_parted_with() {
    let (mut world, id) = World::splitting();
    world.begin();
    world.transfers.stop(id, "lost").unwrap();
    let call = world.expect("cancel_transfer", SHARD);
    world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
    let call = world.expect("cancel_transfer", SPARE);
    world.answer(call, Answer::Reject { code: NO_CANISTER, message: "Canister not found".to_string() });
    assert!(world.next_call().is_none());
    assert!(!world.shards[1].is_spare());
}

#[test]
fn what_becomes_of_the_range_of_a_source_that_is_deleted_is_the_target_s_to_say() {
    let gone = || Answer::Reject { code: NO_CANISTER, message: "Canister x not found".to_string() };
    let told = |world: &mut World, end: TransferEnd| {
        let call = world.expect("cancel_transfer", SPARE);
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(end)));
        assert_eq!(world.next_call(), None);
        assert_eq!(world.stage(), TransferStage::Ended(end));
    };
    let before = [HashRange::FULL, HashRange::EMPTY];

    // Before it begins.
    let (mut world, _) = World::splitting();
    world.measure();
    let call = world.expect("begin_transfer", SPARE);
    world.reply(call, &BeginTransferResult::Ok(()));
    let call = world.expect("begin_transfer", SHARD);
    world.answer(call, gone());
    told(&mut world, TransferEnd::Cancelled);
    assert_eq!(world.ranges(), before);
    assert!(world.transfers.status()[0].last_failure.as_ref().is_some_and(|reason| reason.contains("not found")));

    // While the range moves: the target has it already, or not.
    for (end, after) in [(TransferEnd::Done, [lower(), upper()]), (TransferEnd::Cancelled, before)] {
        let (mut world, _) = World::splitting();
        world.begin();
        let call = world.expect("transfer_progress", SHARD);
        world.answer(call, gone());
        told(&mut world, end);
        assert_eq!(world.ranges(), after);
    }

    // While it is told to stop; and the target is deleted too.
    let (mut world, id) = World::splitting();
    world.begin();
    world.transfers.stop(id, "enough").unwrap();
    let call = world.expect("cancel_transfer", SHARD);
    world.answer(call, gone());
    let call = world.expect("cancel_transfer", SPARE);
    world.answer(call, gone());
    assert_eq!(world.next_call(), None);
    assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Cancelled));
    assert_eq!(world.ranges(), before);
    assert_eq!((world.shards[1].left, world.shards[0].left), (Some(true), None));
}

#[test]
fn a_refusal_for_good_stops_the_transfer_and_is_told() {
    let (mut world, _) = World::splitting();
    world.measure();
    let call = world.expect("begin_transfer", SPARE);
    world.reply(call, &BeginTransferResult::Ok(()));
    let call = world.expect("begin_transfer", SHARD);
    world.reply(call, &BeginTransferResult::Err(TransferError::RangeNotOwned { owned: lower() }));
    for shard in [SHARD, SPARE] {
        let call = world.expect("cancel_transfer", shard);
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
    }
    assert_eq!(world.next_call(), None);
    let status = world.transfers.status();
    assert!(status[0].last_failure.as_ref().is_some_and(|reason| reason.contains("RangeNotOwned")), "{status:?}");
}

#[test]
fn a_shard_that_clears_up_is_asked_again_a_bounded_number_of_times() {
    let (mut world, _) = World::splitting();
    world.measure();
    for _ in 0..ATTEMPTS_MAX {
        let call = world.expect("begin_transfer", SPARE);
        world.reply(call, &BeginTransferResult::Err(TransferError::Clearing { retry_after_milliseconds: 1 }));
    }
    world.expect("cancel_transfer", SPARE);
}

#[test]
fn a_source_of_older_code_is_left_as_it_is() {
    let (mut world, _) = World::splitting();
    world.measure();
    let call = world.expect("begin_transfer", SPARE);
    world.reply(call, &BeginTransferResult::Ok(()));
    let call = world.expect("begin_transfer", SHARD);
    let message = "IC0536: Error from Canister x: Canister has no update method 'begin_transfer'.".to_string();
    world.answer(call, Answer::Reject { code: 5, message });
    let call = world.expect("cancel_transfer", SPARE);
    world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
    assert_eq!(world.next_call(), None);
    assert_eq!(world.ranges(), [HashRange::FULL, HashRange::EMPTY]);
}

#[test]
fn a_spare_that_was_deleted_is_parted_with_and_the_next_split_makes_another() {
    let gone = || Answer::Reject { code: NO_CANISTER, message: "Canister x not found".to_string() };
    let (mut world, _) = World::splitting();
    world.measure();
    let call = world.expect("begin_transfer", SPARE);
    world.answer(call, gone());
    assert_eq!(world.next_call(), None);
    assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Cancelled));
    assert!(world.transfers.status()[0].last_failure.as_ref().is_some_and(|reason| reason.contains("not found")));
    assert_eq!((world.shards[1].left, world.shards[0].left), (Some(true), None));
    world.split(SHARD, None).unwrap();
    assert_eq!(world.shards[2], ShardEntry::spare(ShardIndex(2)));

    // A neighbour that was deleted owned something: that is for administrators.
    let mut world = World::with(vec![open(0, range(0, 99)), open(1, range(100, u64::MAX))]);
    world.merge(SHARD, SPARE).unwrap();
    world.measure();
    let call = world.expect("begin_transfer", SPARE);
    world.answer(call, gone());
    assert_eq!(world.next_call(), None);
    assert_eq!((world.stage(), world.shards[1].left), (TransferStage::Ended(TransferEnd::Cancelled), None));
}

#[test]
fn a_router_short_of_cycles_waits_and_goes_on() {
    let (mut world, _) = World::splitting();
    world.cycles = 9;
    let work = world.advance();
    assert_eq!(work, Work { wake_at: Some(START + RETRY_LAST_NANOSECONDS), ..Work::default() });
    assert!(world.transfers.status()[0].last_failure.as_ref().is_some_and(|reason| reason.contains("9 cycles")));
    world.cycles = 10;
    world.measure();
    world.expect("begin_transfer", SPARE);
}

#[test]
fn a_source_s_word_about_what_moved_ends_the_transfer_and_a_word_about_anything_else_does_nothing() {
    let (mut world, _) = World::splitting();
    world.begin();
    let call = world.expect("transfer_progress", SHARD);
    let upper = range(1 << 63, u64::MAX);
    let moved = Moved { range: upper, epoch: Epoch(2) };
    let awaits = |world: &World, from, to, moved: &Moved| {
        world.transfers.awaits_move(&world.shards, canister(from), canister(to), moved)
    };
    for (from, to, other) in [
        (SPARE, SHARD, moved.clone()),
        (SHARD, ShardIndex(2), moved.clone()),
        (SHARD, SPARE, Moved { epoch: Epoch(1), ..moved.clone() }),
        (SHARD, SPARE, Moved { range: HashRange::FULL, ..moved.clone() }),
    ] {
        assert!(!awaits(&world, from, to, &other));
    }
    assert!(awaits(&world, SHARD, SPARE, &moved));
    world.transfers.hear_of_move(&mut world.shards, &moved, world.now);
    assert_eq!(world.ranges(), [range(0, (1 << 63) - 1), upper]);
    assert!(!awaits(&world, SHARD, SPARE, &moved), "it is told once");
    // The answer to the question that was open finds nobody.
    world.reply(call, &TransferProgressResult::Err(TransferError::UnknownTransfer));
    assert_eq!(world.next_call(), None);
    assert_eq!(world.transfers.status()[0].stage, TransferStage::Ended(TransferEnd::Done));
}

#[test]
fn what_cannot_be_split_or_merged_is_refused_with_what_there_is() {
    let shards =
        vec![open(0, range(0, 99)), open(1, range(100, 199)), open(2, range(200, u64::MAX)), open(3, HashRange::EMPTY)];
    let mut world = World::with(shards.clone());
    let nobody = ShardIndex(9);
    assert_eq!(world.split(nobody, None), Err(MoveError::NoSuchShard { shard: nobody }));
    assert_eq!(world.split(ShardIndex(3), None), Err(MoveError::ShardIsEmpty { shard: ShardIndex(3) }));
    for at in [0, 100, u64::MAX] {
        assert_eq!(world.split(SHARD, Some(at)), Err(MoveError::BoundaryOutOfRange { range: range(0, 99) }));
    }
    let apart = MoveError::NotNeighbours { range: range(0, 99), into: range(200, u64::MAX) };
    assert_eq!(world.merge(SHARD, ShardIndex(2)), Err(apart));
    let itself = MoveError::NotNeighbours { range: range(0, 99), into: range(0, 99) };
    assert_eq!(world.merge(SHARD, SHARD), Err(itself));
    assert_eq!(world.merge(SHARD, ShardIndex(3)), Err(MoveError::ShardIsEmpty { shard: ShardIndex(3) }));
    assert_eq!((&world.transfers, &world.shards), (&Transfers::default(), &shards), "nothing was changed");

    let id = world.merge(SHARD, ShardIndex(1)).unwrap();
    for shard in [SHARD, ShardIndex(1)] {
        assert_eq!(world.split(shard, None), Err(MoveError::InTransfer { shard, id }));
    }
    assert_eq!(world.merge(ShardIndex(2), ShardIndex(1)), Err(MoveError::InTransfer { shard: ShardIndex(1), id }));
    assert_eq!(world.transfers.stop(TransferId([0; 16]), "no"), Err(MoveError::NoSuchTransfer));

    let narrow = World::with(vec![open(0, range(0, 0))]).split(SHARD, None);
    assert_eq!(narrow, Err(MoveError::BoundaryOutOfRange { range: range(0, 0) }));
}

#[test]
fn transfers_and_shards_are_bounded() {
    let part = |index| open(index, HashRange::FULL.part(index, 16).unwrap());
    let mut world = World::with((0..16).map(part).collect());
    for index in 0..TRANSFERS_MAX {
        world.split(ShardIndex(index), None).unwrap();
    }
    let refused = MoveError::TooManyTransfers { transfers_max: TRANSFERS_MAX };
    assert_eq!(world.split(ShardIndex(15), None), Err(refused));
    assert_eq!(world.shards.len(), 16 + TRANSFERS_MAX as usize, "each split has a target of its own");
    let mut world = World::with(
        (0..SHARDS_MAX).map(|index| open(index, range(u64::from(index) * 10, u64::from(index) * 10 + 9))).collect(),
    );
    assert_eq!(world.split(SHARD, None), Err(MoveError::TooManyShards { shards_max: SHARDS_MAX }));
}

#[test]
fn the_last_transfers_that_ended_are_shown() {
    let mut world = World::with(vec![open(0, HashRange::FULL), open(1, HashRange::EMPTY)]);
    for _ in 0..ENDED_MAX + 5 {
        let id = world.split(SHARD, None).unwrap();
        world.transfers.stop(id, "enough").unwrap();
        world.advance();
    }
    let status = world.transfers.status();
    assert_eq!(status.len(), ENDED_MAX);
    assert!(
        status.is_sorted_by_key(|status| status.epoch)
            && status.iter().all(|status| status.ended_at_nanoseconds.is_some())
    );
}
