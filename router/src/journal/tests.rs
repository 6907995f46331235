use super::*;
use candid::Nat;
use canopy_types::codec;
use canopy_types::funding::{FundingLimit, FundingShortage};
use canopy_types::limits::TAG_SEED_BYTES;
use canopy_types::shard::{ShardError, ShardInfo};

use crate::management;

const ROUTER: Principal = Principal::management_canister();
const HASH: [u8; 32] = [9; 32];

/// A journal and the world around it: it answers calls as the platform would.
struct World {
    journal: Journal,
    circumstances: Circumstances,
    sent: Vec<Step>,
}

fn canister(number: u8) -> Principal {
    Principal::from_slice(&[1, number])
}

fn created(number: u8) -> Answer {
    Answer::Reply(ByteBuf::from(management::canister_status(canister(number))))
}

fn reject(code: u32) -> Answer {
    Answer::Reject { code, message: "no".to_string() }
}

impl World {
    fn new(shards: u32) -> Self {
        let circumstances = Circumstances {
            now: 1_000_000_000,
            open_call: None,
            available_cycles: 100,
            creation_cycles: 70,
            reserve_cycles: 20,
            step_cycles: 10,
            cycles_per_day_max: 0,
            router: ROUTER,
            shard_module_hash: HASH,
        };
        Self { journal: Journal::new(shards), circumstances, sent: Vec::new() }
    }

    fn with_secret(shards: u32) -> Self {
        let mut world = Self::new(shards);
        world.journal.secret = ByteBuf::from(vec![7; SECRET_BYTES]);
        world.journal.tag_seed = Some(ByteBuf::from(vec![8; TAG_SEED_BYTES]));
        world
    }

    /// One message. What is stored survives by a trip through its Candid form.
    fn advance(&mut self) -> Action {
        let action = self.journal.advance(&self.circumstances);
        self.journal = codec::decode(&codec::encode(&self.journal)).unwrap();
        match action {
            Action::Send { call, step } => {
                self.circumstances.open_call = Some(call);
                self.sent.push(step);
            }
            Action::WakeAt(at) => self.circumstances.now = at,
            _ => {}
        }
        action
    }

    /// Messages until a call is sent, or nothing more happens.
    fn until_sent(&mut self) -> Option<Step> {
        for _ in 0..4 {
            match self.advance() {
                Action::Send { step, .. } => return Some(step),
                Action::Rest => return None,
                _ => {}
            }
        }
        panic!("neither sends nor rests: {:?}", self.journal);
    }

    fn answer(&mut self, answer: Answer) {
        let call = self.circumstances.open_call.take().unwrap();
        self.journal.record_answer(call, answer);
    }

    fn info(&self, shard: ShardIndex) -> ShardInfo {
        let entry = self.journal.entry(shard);
        ShardInfo {
            code_version: String::new(),
            layout_version: 1,
            index: shard,
            router: ROUTER,
            range: entry.range,
            epoch: entry.epoch,
            secret_fingerprint: self.journal.secret().unwrap().fingerprint(),
            records: 0,
            record_bytes: 0,
            stable_bytes: 0,
            last_version: canopy_types::Version(0),
            out_of_space: false,
            cycles: Nat::from(0u8),
            internal_records: None,
            roles: None,
            reading: None,
        }
    }

    fn good_answer(&self, step: Step) -> Answer {
        match step {
            Step::DrawSecret => Answer::Reply(ByteBuf::from(codec::encode(&ByteBuf::from([3; 32])))),
            Step::CreateShard(shard) => created(shard.0 as u8),
            Step::InspectShard(_) => module(None),
            Step::InstallShard(_) => Answer::Reply(ByteBuf::from(management::raw_rand())),
            Step::VerifyShard(shard) => info_answer(self.info(shard)),
        }
    }

    /// Answers everything well until the machine rests.
    fn run(&mut self) {
        for _ in 0..1000 {
            let Some(step) = self.until_sent() else { return };
            let answer = self.good_answer(step);
            self.answer(answer);
        }
        panic!("never rests: {:?}", self.journal);
    }

    /// Answers everything well until the machine waits for a time.
    fn run_until_it_waits(&mut self) {
        for _ in 0..1000 {
            match self.advance() {
                Action::Send { step, .. } => {
                    let answer = self.good_answer(step);
                    self.answer(answer);
                }
                Action::WakeAt(_) => return,
                _ => {}
            }
        }
        panic!("never waits: {:?}", self.journal);
    }

    fn run_until(&mut self, wanted: Step) {
        for _ in 0..1000 {
            let step = self.until_sent().expect("more to do");
            if step == wanted {
                return;
            }
            let answer = self.good_answer(step);
            self.answer(answer);
        }
    }
}

#[derive(CandidType)]
struct Status {
    module_hash: Option<ByteBuf>,
}

fn module(hash: Option<[u8; 32]>) -> Answer {
    Answer::Reply(ByteBuf::from(codec::encode(&Status { module_hash: hash.map(ByteBuf::from) })))
}

fn info_answer(info: ShardInfo) -> Answer {
    Answer::Reply(ByteBuf::from(codec::encode(&Ok::<_, ShardError>(info))))
}

const FIRST: ShardIndex = ShardIndex(0);

#[test]
fn good_answers_lead_to_a_table_that_covers_everything() {
    let mut world = World::new(3);
    assert_eq!(world.journal.routing_table(), None);
    world.run();
    let table = world.journal.routing_table().unwrap();
    assert_eq!(table.routes.iter().map(|route| route.shard).collect::<Vec<_>>(), [0, 1, 2].map(canister));
    assert_eq!(world.sent.len(), 6 + 1 + 3 * 3);
    assert_eq!(world.journal.alarms(), []);
    assert_eq!(world.journal.status().step, None);
}

#[test]
fn plan_of_version_0_1_0_goes_on_without_a_tag_seed() {
    let mut world = World::with_secret(1);
    world.journal.tag_seed = None;
    assert_eq!(world.until_sent(), Some(Step::CreateShard(FIRST)));
    assert_eq!(world.journal.tag_seed(), None);
}

#[test]
fn open_call_is_waited_for_and_not_sent_again() {
    let mut world = World::with_secret(1);
    assert_eq!(world.until_sent(), Some(Step::CreateShard(FIRST)));
    for _ in 0..5 {
        assert_eq!(world.advance(), Action::AwaitAnswer);
    }
}

#[test]
fn lost_creation_is_an_alarm_and_never_sent_again() {
    let mut world = World::with_secret(1);
    world.until_sent();
    world.circumstances.open_call = None;
    world.run();
    assert_eq!(world.sent, [Step::CreateShard(FIRST)]);
    assert!(matches!(world.journal.alarms()[..], [Alarm::CreationAnswerLost { shard: FIRST, .. }]));
}

#[test]
fn creation_whose_outcome_the_platform_does_not_know_is_an_alarm() {
    let mut world = World::with_secret(1);
    world.until_sent();
    world.answer(reject(6));
    world.run();
    assert_eq!(world.sent.len(), 1);
    assert!(matches!(world.journal.alarms()[..], [Alarm::CreationAnswerLost { .. }]));
}

#[test]
fn unreadable_creation_answer_is_an_alarm_that_shows_it() {
    let mut world = World::with_secret(1);
    world.until_sent();
    world.answer(Answer::Reply(ByteBuf::from(b"\x00\xff")));
    world.run();
    let alarm = Alarm::CreationAnswerUnreadable { shard: FIRST, answer: "00ff".to_string() };
    assert_eq!(world.journal.alarms(), [alarm]);
}

#[test]
fn refused_creation_created_nothing_and_is_tried_again_later() {
    let mut world = World::with_secret(1);
    world.until_sent();
    world.answer(reject(4));
    assert_eq!(world.advance(), Action::Continue);
    assert!(matches!(world.advance(), Action::WakeAt(_)));
    assert_eq!(world.journal.status().failed_attempts, 1);
    world.run();
    assert!(world.journal.routing_table().is_some());
}

#[test]
fn adopted_canister_is_inspected_before_anything_is_installed() {
    let mut world = World::with_secret(2);
    world.until_sent();
    world.circumstances.open_call = None;
    world.run();
    let adopt = |number| Resolution::Adopt { canister: canister(number) };
    assert_eq!(world.journal.resolve(Some(ShardIndex(1)), adopt(50), ROUTER), Err(ResolveAlarmError::NoSuchAlarm));
    let own = Resolution::Adopt { canister: ROUTER };
    let in_use = Err(ResolveAlarmError::CanisterInUse { shard: None });
    assert_eq!(world.journal.resolve(Some(FIRST), own, ROUTER), in_use);
    assert_eq!(world.journal.resolve(Some(FIRST), adopt(50), ROUTER), Ok(()));
    world.run();
    assert_eq!(world.sent[1..4], [Step::InspectShard(FIRST), Step::InstallShard(FIRST), Step::VerifyShard(FIRST)]);
    assert_eq!(world.journal.routing_table().unwrap().routes[0].shard, canister(50));
}

#[test]
fn canister_of_another_shard_is_not_adopted() {
    let mut world = World::with_secret(2);
    world.run_until(Step::CreateShard(ShardIndex(1)));
    world.circumstances.open_call = None;
    assert!(world.until_sent().is_none());
    let used = world.journal.entry(FIRST).canister.unwrap();
    let refused = world.journal.resolve(Some(ShardIndex(1)), Resolution::Adopt { canister: used }, ROUTER);
    assert_eq!(refused, Err(ResolveAlarmError::CanisterInUse { shard: Some(FIRST) }));
}

#[test]
fn lost_creation_is_done_again_when_an_administrator_says_so() {
    let mut world = World::with_secret(1);
    world.until_sent();
    world.circumstances.open_call = None;
    world.run();
    assert_eq!(world.journal.resolve(Some(FIRST), Resolution::TryAgain, ROUTER), Ok(()));
    world.run();
    assert!(world.journal.routing_table().is_some());
    assert_eq!(world.journal.resolve(Some(FIRST), Resolution::TryAgain, ROUTER), Err(ResolveAlarmError::NoSuchAlarm));
}

#[test]
fn lost_installation_is_looked_up_before_it_is_done_again() {
    for (found, next) in [(None, Step::InstallShard(FIRST)), (Some(HASH), Step::VerifyShard(FIRST))] {
        let mut world = World::with_secret(1);
        world.run_until(Step::InstallShard(FIRST));
        world.circumstances.open_call = None;
        assert_eq!(world.until_sent(), Some(Step::InspectShard(FIRST)));
        world.answer(module(found));
        assert_eq!(world.until_sent(), Some(next));
    }
}

#[test]
fn foreign_code_is_never_overwritten() {
    let mut world = World::with_secret(1);
    world.run_until(Step::InstallShard(FIRST));
    world.answer(reject(5));
    assert_eq!(world.until_sent(), Some(Step::InspectShard(FIRST)));
    world.answer(module(Some([1; 32])));
    assert_eq!(world.until_sent(), None);
    assert!(matches!(world.journal.alarms()[..], [Alarm::ForeignCode { .. }]));
    let adopt = Resolution::Adopt { canister: canister(60) };
    assert_eq!(world.journal.resolve(Some(FIRST), adopt, ROUTER), Err(ResolveAlarmError::NothingToAdopt));
    world.journal.resolve(Some(FIRST), Resolution::TryAgain, ROUTER).unwrap();
    assert_eq!(world.until_sent(), Some(Step::InspectShard(FIRST)));
    world.answer(module(None));
    world.run();
    assert!(world.journal.routing_table().is_some());
}

#[test]
fn shard_that_is_not_what_was_planned_is_not_opened() {
    let differences: [fn(&mut ShardInfo); 4] = [
        |info| info.router = canister(99),
        |info| info.index = ShardIndex(1),
        |info| info.range = HashRange::FULL.part(1, 2).unwrap(),
        |info| info.secret_fingerprint ^= 1,
    ];
    for difference in differences {
        let mut world = World::with_secret(1);
        world.run_until(Step::VerifyShard(FIRST));
        let mut info = world.info(FIRST);
        difference(&mut info);
        world.answer(info_answer(info));
        assert_eq!(world.until_sent(), None);
        assert!(matches!(world.journal.alarms()[..], [Alarm::ForeignCode { .. }]));
        assert_eq!(world.journal.routing_table(), None);
    }
}

#[test]
fn shard_to_which_records_were_put_directly_is_opened() {
    let mut world = World::with_secret(1);
    world.run_until(Step::VerifyShard(FIRST));
    let mut info = world.info(FIRST);
    info.records = 1;
    world.answer(info_answer(info));
    assert_eq!(world.until_sent(), None);
    assert_eq!(world.journal.alarms(), []);
    assert!(world.journal.routing_table().is_some());
}

#[test]
fn step_that_keeps_failing_waits_longer_and_ends_in_an_alarm() {
    let mut world = World::with_secret(1);
    world.run_until(Step::VerifyShard(FIRST));
    let start = world.circumstances.now;
    for attempt in 1..ATTEMPTS_MAX {
        world.answer(reject(2));
        assert_eq!(world.until_sent(), Some(Step::VerifyShard(FIRST)), "after attempt {attempt}");
    }
    world.answer(reject(2));
    assert_eq!(world.until_sent(), None);
    assert!(world.circumstances.now - start > 500 * RETRY_FIRST_NANOSECONDS);
    let [Alarm::StepFailed { step, attempts, .. }] = &world.journal.alarms()[..] else { panic!("an alarm") };
    assert_eq!((*step, *attempts), (Step::VerifyShard(FIRST), ATTEMPTS_MAX));
    world.journal.resolve(Some(FIRST), Resolution::TryAgain, ROUTER).unwrap();
    world.run();
    assert!(world.journal.routing_table().is_some());
}

#[test]
fn creation_waits_with_an_alarm_until_it_is_funded() {
    let mut world = World::with_secret(1);
    world.circumstances.available_cycles = 99;
    assert!(matches!(world.advance(), Action::WakeAt(_)));
    assert!(matches!(world.advance(), Action::WakeAt(_)));
    let alarm = Alarm::CyclesShort { available: Nat::from(99u8), required: Nat::from(100u8) };
    assert_eq!(world.journal.alarms(), [alarm]);
    assert!(world.sent.is_empty());
    world.circumstances.available_cycles = 100;
    world.run();
    assert_eq!(world.journal.alarms(), []);
    assert!(world.journal.routing_table().is_some());
}

#[test]
fn spares_are_created_within_what_growth_may_spend_in_a_day_and_first_shards_in_any_case() {
    let mut world = World::with_secret(1);
    world.run();
    assert!(world.journal.routing_table().is_some(), "the first shard is no growth");
    assert_eq!(world.journal.cycles_in_day(world.circumstances.now), 0);
    let spare = |index| ShardEntry::spare(ShardIndex(index));
    world.journal.shards.extend([spare(1), spare(2)]);
    world.circumstances.cycles_per_day_max = 139;
    world.run_until_it_waits();
    assert_eq!(world.journal.entry(ShardIndex(1)).stage, ShardStage::Open);
    assert_eq!(world.journal.entry(ShardIndex(2)).stage, ShardStage::Planned);
    let now = world.circumstances.now;
    let limit = FundingLimit::CyclesPerDay;
    let shortage = FundingShortage { shard: ShardIndex(2), limit, available: 69u8.into(), required: 70u8.into() };
    assert_eq!(world.journal.creation_shortage(70, 139, now), Some(shortage));
    assert_eq!(world.advance(), Action::WakeAt(now + CYCLES_RETRY_NANOSECONDS), "it waits in silence");
    // What comes behind it doesn't wait with it.
    world.journal.wipe(ShardIndex(1));
    world.run_until(Step::InstallShard(ShardIndex(1)));
    world.answer(Answer::Reply(ByteBuf::from(codec::encode(&()))));
    world.run_until_it_waits();
    assert_eq!(world.journal.entry(ShardIndex(1)).stage, ShardStage::Open);
    world.circumstances.now += 24 * 3_600_000_000_000;
    world.run();
    assert_eq!(world.journal.entry(ShardIndex(2)).stage, ShardStage::Open);
}

#[test]
fn what_a_creation_costs_is_counted_before_the_call_and_taken_back_if_nothing_was_created() {
    for (answer, counted) in [
        (Some(reject(5)), 0),
        (Some(Answer::NotSent { reason: "queue".to_string() }), 0),
        (Some(created(9)), 70),
        (None, 70),
    ] {
        let mut world = World::with_secret(1);
        world.run();
        world.journal.shards.push(ShardEntry::spare(ShardIndex(1)));
        world.circumstances.cycles_per_day_max = 100;
        world.run_until(Step::CreateShard(ShardIndex(1)));
        let now = world.circumstances.now;
        assert_eq!(world.journal.cycles_in_day(now), 70);
        match answer {
            Some(answer) => world.answer(answer),
            None => world.circumstances.open_call = None,
        }
        world.advance();
        assert_eq!(world.journal.cycles_in_day(now), counted);
    }
}

#[test]
fn late_answer_to_another_call_is_dropped() {
    let mut world = World::with_secret(1);
    world.run_until(Step::InstallShard(FIRST));
    let before = world.journal.clone();
    world.journal.record_answer(0, created(77));
    assert_eq!(world.journal, before);
}

#[test]
fn router_that_loses_every_other_answer_still_gets_ready() {
    let mut world = World::new(1);
    let (mut lost_creations, mut lose) = (0, false);
    for _ in 0..200 {
        match world.until_sent() {
            None if world.journal.alarms().is_empty() => break,
            None => {
                lost_creations += 1;
                world.journal.resolve(Some(FIRST), Resolution::TryAgain, ROUTER).unwrap();
            }
            Some(step) => {
                lose = !lose;
                // The installation was done, only its answer was lost.
                let inspected = matches!(step, Step::InspectShard(_));
                let answer = if inspected { module(Some(HASH)) } else { world.good_answer(step) };
                if lose { world.circumstances.open_call = None } else { world.answer(answer) }
            }
        }
    }
    assert!(world.journal.routing_table().is_some(), "{:?}", world.journal.status());
    assert!(lost_creations <= 1);
}
