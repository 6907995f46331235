//! Two shards, a careless router and a bad network: whatever is lost, late, repeated or reordered, and whoever is
//! upgraded when, each record and receipt is in one place, the right one, and the newest.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_types::codec::{decode, encode};
use canopy_types::shard::{ShardError, ShardGetResult, ShardInitArguments};
use canopy_types::transfer::{
    BeginTransferArguments, CancelTransferArguments, HandOverArguments, ImportArguments, TransferEnd, TransferError,
    TransferPhase, TransferProgressArguments, TransferSide,
};
use canopy_types::wire::{DeleteRef, GetRef, OperationRef, PutRef};
use canopy_types::{Epoch, HashRange, KeyHash, Precondition, TransferId, Version};
use ic_stable_structures::DefaultMemoryImpl;

use super::copying::{BATCH_BUDGET, Limits};
use super::costs::Means;
use super::turn::Outgoing;
use crate::operations::Origin;
use crate::state::State;
use crate::state::tests::arguments;
use crate::store::{Budget, Item, Kind, Kinds, Values, Walk};

const NOW: u64 = 1_780_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;

/// How long receipts last.
const WINDOW: u64 = 15 * MINUTE;

const KEYS: u64 = 40;
const PLENTY: u128 = u128::MAX;
const MEANS: Means = Means { liquid_cycles: PLENTY, frozen_cycles: 0, heap_bytes: 0 };

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

struct Party {
    state: State,
    memory: DefaultMemoryImpl,
    /// How far the clock is behind, in nanoseconds.
    behind: u64,
    /// Grows with every upgrade; an answer to a call of an earlier life reaches nobody.
    life: u64,
}

#[derive(Clone)]
struct Message {
    from: usize,
    life: u64,
    flight: u64,
    method: &'static str,
    arguments: Vec<u8>,
    /// Nobody waits for the answer any more.
    stale: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Put(Version),
    Deleted(Option<Version>),
    Failed(Option<Version>),
}

#[derive(Clone, Debug)]
struct Write {
    key: u64,
    /// `None` deletes.
    value: Option<Vec<u8>>,
    precondition: Option<Precondition>,
    time_to_live: Option<u64>,
    id: [u8; 16],
    issued: u64,
}

#[derive(Clone, Debug)]
struct ModelRecord {
    value: Vec<u8>,
    version: Version,
    /// In milliseconds.
    expires: Option<u64>,
}

struct Transfer {
    id: TransferId,
    source: usize,
    range: HashRange,
    epoch: u64,
    cancelling: bool,
}

struct World {
    random: Random,
    now: u64,
    parties: [Party; 2],
    network: Vec<Message>,
    transfer: Option<Transfer>,
    epoch: u64,
    records: BTreeMap<u64, ModelRecord>,
    versions: BTreeMap<u64, Version>,
    writes: Vec<(Write, Outcome)>,
    ends: BTreeMap<&'static str, u64>,
}

fn principal(party: usize) -> Principal {
    Principal::from_slice(&[10 + party as u8])
}

fn router() -> Principal {
    Principal::from_slice(&[1])
}

fn key_bytes(key: u64) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        // Half of the worlds send little at a time.
        let batch = Budget { bytes: 3_000, ..BATCH_BUDGET };
        let small = Limits { batch, batch_changes_max: 8, hand_over_changes_max: 3 };
        let limits = if random.one_in(2) { small } else { Limits::default() };
        let party = |range, behind| {
            let memory = DefaultMemoryImpl::default();
            let mut state = State::create(memory.clone(), &ShardInitArguments { range, ..arguments() });
            state.limits = limits;
            Party { state, memory, behind, life: 0 }
        };
        let behind = random.below(2 * MINUTE);
        let parties = [party(HashRange::FULL, 0), party(HashRange::EMPTY, behind)];
        Self {
            random,
            now: NOW,
            parties,
            network: Vec::new(),
            transfer: None,
            epoch: 1,
            records: BTreeMap::new(),
            versions: BTreeMap::new(),
            writes: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    fn clock(&self, party: usize) -> u64 {
        self.now - self.parties[party].behind
    }

    fn at(&mut self, party: usize) -> &mut State {
        let now = self.clock(party);
        let state = &mut self.parties[party].state;
        state.store.observe_clock(now);
        state
    }

    // The router ---------------------------------------------------------------------------------------------------

    /// Begins a transfer in the direction that is possible, if both ends are ready.
    fn begin(&mut self) {
        let owned = [0, 1].map(|party| self.parties[party].state.identity.range);
        let source = match owned {
            [_, HashRange::EMPTY] => 0,
            [HashRange::EMPTY, _] => 1,
            _ => self.random.below(2) as usize,
        };
        let range = owned[source];
        let whole = owned[1 - source] != HashRange::EMPTY && self.random.one_in(2);
        let (low, high) = range.split_at(KeyHash(range.first.0 / 2 + range.last.0 / 2 + 1)).expect("ranges are large");
        let part = match owned[1 - source] {
            _ if whole => range,
            HashRange::EMPTY => [low, high, range][self.random.below(3) as usize],
            other if range.is_followed_by(&other) => high,
            _ => low,
        };
        self.epoch += 1;
        let id = TransferId((u128::from(self.random.next()) << 64 | u128::from(self.epoch)).to_le_bytes());
        let tell = |world: &mut Self, party: usize, side| {
            let peer = principal(1 - party);
            let epoch = Epoch(world.epoch);
            let arguments = BeginTransferArguments { id, side, peer, range: part, epoch, bytes: Some(1) };
            world.at(party).begin_transfer(&arguments, &MEANS)
        };
        match tell(self, 1 - source, TransferSide::Target) {
            Ok(()) => {}
            Err(TransferError::Clearing { .. }) => return,
            Err(error) => panic!("the target refuses {part}: {error:?}"),
        }
        let told = tell(self, source, TransferSide::Source);
        let cancelling = matches!(told, Err(TransferError::Clearing { .. }));
        assert!(cancelling || told == Ok(()), "the source refuses {part}: {told:?}");
        self.transfer = Some(Transfer { id, source, range: part, epoch: self.epoch, cancelling });
    }

    /// Looks after the transfer: notices its end, and cancels it if that was decided.
    fn look_after(&mut self) {
        let Some(Transfer { id, source, epoch, cancelling, .. }) = self.transfer else { return };
        let cancel = CancelTransferArguments { id, epoch: Epoch(epoch) };
        let phase = if cancelling {
            self.at(source).cancel_transfer(router(), true, &cancel)
        } else {
            self.at(source).transfer_progress(&TransferProgressArguments { id }, PLENTY).map(|progress| progress.phase)
        };
        match phase.expect("the source knows the transfer") {
            TransferPhase::Ended(TransferEnd::Done) => {
                *self.ends.entry("done").or_default() += 1;
                self.transfer = None;
            }
            TransferPhase::Ended(TransferEnd::Cancelled) => {
                let ended = self.at(1 - source).cancel_transfer(router(), true, &cancel);
                assert_eq!(ended, Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
                *self.ends.entry("cancelled").or_default() += 1;
                self.transfer = None;
            }
            _ => {}
        }
    }

    /// Tells both ends again what they were told: it changes nothing, however late it comes.
    fn repeat(&mut self) {
        let Some(Transfer { id, source, range, epoch, cancelling: false }) = self.transfer else { return };
        for (party, side) in [(1 - source, TransferSide::Target), (source, TransferSide::Source)] {
            let peer = principal(1 - party);
            let arguments = BeginTransferArguments { id, side, peer, range, epoch: Epoch(epoch), bytes: Some(1) };
            let before = self.parties[party].state.transfers.clone();
            let told = self.at(party).begin_transfer(&arguments, &MEANS);
            assert!(matches!(told, Ok(()) | Err(TransferError::Ended(_))), "{told:?}");
            assert_eq!(self.parties[party].state.transfers, before);
        }
    }

    // The shards ---------------------------------------------------------------------------------------------------

    fn timer(&mut self, party: usize) {
        let now = self.clock(party);
        let state = self.at(party);
        let calls = if state.is_growth_due() { Vec::new() } else { state.transfer_turn(now, PLENTY) };
        state.run(now);
        let life = self.parties[party].life;
        for Outgoing { flight, peer, method, arguments } in calls {
            assert_eq!(peer, principal(1 - party));
            self.network.push(Message { from: party, life, flight, method, arguments, stale: false });
        }
    }

    fn upgrade(&mut self, party: usize) {
        let limits = self.parties[party].state.limits;
        self.parties[party].state = State::open(self.parties[party].memory.clone());
        self.parties[party].state.limits = limits;
        self.parties[party].life += 1;
    }

    // The network --------------------------------------------------------------------------------------------------

    fn run_message(&mut self, message: &Message) -> Vec<u8> {
        let caller = principal(message.from);
        let state = self.at(1 - message.from);
        match message.method {
            "import_batch" => encode(&state.import(caller, &decode::<ImportArguments>(&message.arguments).unwrap())),
            "hand_over" => {
                let arguments = decode::<HandOverArguments>(&message.arguments).unwrap();
                let owned = state.identity.range;
                let word = state.hand_over(caller, &arguments);
                // Said again, it brings nothing: the source has written nothing to the range meanwhile.
                if word == Ok(TransferEnd::Done) && state.identity.range != owned {
                    // So no key's versions go back, not even those of keys that are gone.
                    assert!(state.store.removed_version() >= arguments.removed_version);
                    assert!(state.store.shard_time() >= arguments.shard_time_nanoseconds);
                }
                encode(&word)
            }
            "cancel_transfer" => {
                let arguments = decode::<CancelTransferArguments>(&message.arguments).unwrap();
                encode(&state.cancel_transfer(caller, false, &arguments))
            }
            other => panic!("a shard called {other}"),
        }
    }

    fn answer(&mut self, message: &Message, answer: Result<Vec<u8>, String>) {
        let party = message.from;
        let now = self.clock(party);
        if message.life == self.parties[party].life && !message.stale {
            self.at(party).peer_answered(message.flight, answer, now);
        }
    }

    /// Lets one message, of any, go on; `fair` loses and repeats none.
    fn network_step(&mut self, fair: bool) {
        if self.network.is_empty() {
            return;
        }
        let at = self.random.below(self.network.len() as u64) as usize;
        let message = self.network.swap_remove(at);
        let lost = Err("reject 6".to_string());
        match if fair { 9 } else { self.random.below(10) } {
            0 => self.answer(&message, lost),
            1 => {
                self.run_message(&message);
                self.answer(&message, lost);
            }
            // Nobody waits for it any more, and it comes later, or more than once.
            2 | 3 => {
                self.answer(&message, lost);
                self.network.push(Message { stale: true, ..message });
            }
            4 => {
                let reply = self.run_message(&message);
                self.answer(&message, Ok(reply));
                self.network.push(Message { stale: true, ..message });
            }
            _ => {
                let reply = self.run_message(&message);
                self.answer(&message, Ok(reply));
            }
        }
    }

    // Clients ------------------------------------------------------------------------------------------------------

    fn new_write(&mut self) -> Write {
        let key = self.random.below(KEYS);
        let value = (!self.random.one_in(3)).then(|| {
            let length = if self.random.one_in(8) { self.random.below(200_000) } else { self.random.below(200) };
            vec![self.random.next() as u8; length as usize]
        });
        let precondition = match self.random.below(6) {
            0 => Some(Precondition::Absent),
            1 => Some(Precondition::Present),
            2 => self.records.get(&key).map(|record| Precondition::Version(record.version)),
            _ => None,
        };
        let time_to_live = (value.is_some() && self.random.one_in(4)).then(|| 1_000 + self.random.below(3 * 60_000));
        let id = (u128::from(self.random.next()) << 64 | u128::from(self.random.next())).to_le_bytes();
        // The clock that is behind accepts it, too.
        let issued = self.now - 2 * MINUTE - self.random.below(MINUTE);
        Write { key, value, precondition, time_to_live, id, issued }
    }

    /// Sends a write to whoever takes it; tells who did and what came of it, or `None` if the range was closed.
    fn send_write(&mut self, write: &Write) -> Option<(usize, Outcome)> {
        let key = key_bytes(write.key);
        let operation = Some(OperationRef { id: &write.id, issued_at_nanoseconds: write.issued });
        let origin = Origin { caller: &[77], operation, index: 0 };
        let first = self.random.below(2) as usize;
        let mut wrong = Vec::new();
        for party in [first, 1 - first] {
            let state = self.at(party);
            let result = match &write.value {
                Some(value) => state
                    .put(
                        &origin,
                        &PutRef {
                            key: &key,
                            value,
                            precondition: write.precondition,
                            time_to_live_milliseconds: write.time_to_live,
                            operation: None,
                        },
                    )
                    .map(Outcome::Put),
                None => state
                    .delete(&origin, &DeleteRef { key: &key, precondition: write.precondition, operation: None })
                    .map(Outcome::Deleted),
            };
            match result {
                Ok(outcome) => return Some((party, outcome)),
                Err(ShardError::PreconditionFailed { found }) => return Some((party, Outcome::Failed(found))),
                Err(ShardError::Moving { .. } | ShardError::Growing { .. }) => return None,
                Err(ShardError::WrongShard(answer)) => wrong.push(answer),
                Err(error) => panic!("{error:?}"),
            }
        }
        // Between the target's word and the source's hearing of it the source says that the range moves.
        panic!("nobody owns key {}: {wrong:?}", write.key);
    }

    fn write(&mut self) {
        let write = self.new_write();
        let key = write.key;
        let Some((party, outcome)) = self.send_write(&write) else { return };
        let time = self.parties[party].state.store.shard_time() / MILLISECOND;
        let found = self.records.get(&key).filter(|record| record.expires.is_none_or(|at| at > time)).cloned();
        let holds = match write.precondition {
            None => true,
            Some(Precondition::Absent) => found.is_none(),
            Some(Precondition::Present) => found.is_some(),
            Some(Precondition::Version(version)) => found.as_ref().is_some_and(|record| record.version == version),
        };
        let current = found.as_ref().map(|record| record.version);
        match (&outcome, &write.value) {
            (Outcome::Failed(told), _) => assert!(!holds && *told == current, "key {key}: {outcome:?}, {found:?}"),
            (Outcome::Put(version), Some(value)) => {
                assert!(holds, "key {key}: {outcome:?}, {found:?}");
                let last = self.versions.insert(key, *version);
                assert!(last.is_none_or(|last| last < *version), "key {key}: version {version:?} after {last:?}");
                let expires_at =
                    |time_to_live| self.parties[party].state.store.shard_time().div_ceil(MILLISECOND) + time_to_live;
                let expires = write.time_to_live.map(expires_at);
                self.records.insert(key, ModelRecord { value: value.clone(), version: *version, expires });
            }
            (Outcome::Deleted(told), None) => {
                assert!(holds && *told == current, "key {key}: {outcome:?}, {found:?}");
                self.records.remove(&key);
            }
            other => panic!("{other:?}"),
        }
        self.writes.push((write, outcome));
    }

    /// Sends an earlier write again: it does nothing, and tells what it did.
    fn retry(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let at = self.random.below(self.writes.len() as u64) as usize;
        self.retry_write(at);
    }

    fn retry_write(&mut self, at: usize) {
        let (write, outcome) = self.writes[at].clone();
        // Clocks and issue times are rounded; a receipt at the very end of its time may be gone.
        if write.issued + WINDOW < self.now + SECOND {
            self.writes.swap_remove(at);
            return;
        }
        if let Some((party, again)) = self.send_write(&write) {
            assert_eq!(again, outcome, "the receipt of {write:?} at {party}");
        }
    }

    fn read(&mut self, key: u64) {
        let bytes = key_bytes(key);
        let mut wrong = 0;
        for party in [0, 1] {
            let result = self.at(party).get(&GetRef { key: &bytes, include_value: None });
            let record = match result {
                Ok(reply) => decode::<ShardGetResult>(&reply).unwrap().unwrap(),
                Err(ShardError::Moving { .. }) => continue,
                Err(ShardError::WrongShard(_)) => {
                    wrong += 1;
                    continue;
                }
                Err(error) => panic!("{error:?}"),
            };
            let time = self.parties[party].state.store.shard_time() / MILLISECOND;
            let expected = self.records.get(&key).filter(|record| record.expires.is_none_or(|at| at > time));
            assert_eq!(
                record.map(|record| (record.version, record.value.into_vec())),
                expected.map(|record| (record.version, record.value.clone())),
                "key {key} at {party}"
            );
        }
        assert!(wrong < 2, "nobody owns key {key}");
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=29 => self.write(),
            30..=44 => self.retry(),
            45..=59 => {
                let key = self.random.below(KEYS);
                self.read(key);
            }
            60..=71 => {
                let party = self.random.below(2) as usize;
                self.timer(party);
            }
            72..=87 => self.network_step(false),
            88..=90 => self.look_after(),
            91 => self.repeat(),
            92..=93 if self.transfer.is_none() => self.begin(),
            94 if self.random.one_in(4) => {
                if let Some(transfer) = &mut self.transfer {
                    transfer.cancelling = true;
                }
            }
            95 if self.random.one_in(3) => {
                let party = self.random.below(2) as usize;
                self.upgrade(party);
            }
            // Stale messages don't live for ever.
            96 if self.network.len() > 20 => {
                self.network.remove(0);
            }
            _ => self.now += self.random.below(3 * SECOND),
        }
        if self.random.one_in(400) {
            self.now += self.random.below(2 * MINUTE);
        }
    }

    /// Ends all faults and lets the transfer end; it must within a bounded number of turns.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.timer(0);
            self.timer(1);
            self.network_step(true);
            self.look_after();
            self.now += SECOND;
            let clear = |party: &Party| party.state.transfers.clearing().is_none();
            if self.transfer.is_none() && self.network.is_empty() && self.parties.iter().all(clear) {
                return;
            }
        }
        let progress = self.transfer.as_ref().map(|transfer| {
            (
                transfer.range,
                self.parties[transfer.source]
                    .state
                    .transfer_progress(&TransferProgressArguments { id: transfer.id }, PLENTY),
            )
        });
        panic!("the transfer doesn't end: {progress:?}");
    }

    /// Checks that every record is in one place, the right one, and that nothing is left elsewhere.
    fn check(&mut self) {
        let owned = [0, 1].map(|party| self.parties[party].state.identity.range);
        assert!(!owned[0].overlaps(&owned[1]));
        assert_eq!(owned[0].with(&owned[1]).or(owned[1].with(&owned[0])), Some(HashRange::FULL), "{owned:?}");
        for key in 0..KEYS {
            self.read(key);
        }
        for at in (0..self.writes.len()).rev() {
            self.retry_write(at);
        }
        for (party, range) in owned.into_iter().enumerate() {
            let state = self.at(party);
            let walk = Walk {
                first: 0,
                last: u64::MAX,
                after: None,
                receipts: true,
                tombstones: true,
                space: None,
                kinds: Kinds::All,
                prefix: Vec::new(),
                values: Values::All,
                items_max: u64::MAX,
            };
            let budget = Budget { instructions: u64::MAX, bytes: u64::MAX, pages: u64::MAX };
            state.store.walk(&walk, &budget, &mut |item| match item {
                Item::Record { key, found, .. } => {
                    assert!(range.contains(KeyHash(key.hash)), "{party} has {key:?} and owns {range}");
                    let _ = found.kind == Kind::Value;
                }
                Item::Receipt { hash, .. } => assert!(range.contains(KeyHash(hash)), "{party} has a receipt of others"),
            });
            state.store.check_invariants().unwrap_or_else(|violation| panic!("{party}: {violation:?}"));
        }
    }
}

fn run(seed: u64, steps: u64) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step();
        if step % 1_000 == 999 {
            world.settle();
            world.check();
        }
    }
    world.settle();
    world.check();
    world.ends
}

#[test]
fn records_and_receipts_are_in_one_place_whatever_the_network_does() {
    let seeds: Vec<u64> = match std::env::var("CANOPY_TRANSFER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()) {
        Some(seeds) => (0..seeds).collect(),
        None => (0..40).collect(),
    };
    let mut ends: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        println!("seed {seed}");
        for (end, count) in run(seed, 4_000) {
            *ends.entry(end).or_default() += count;
        }
    }
    println!("{ends:?}");
    assert!(ends["done"] > 40 && ends["cancelled"] > 20, "{ends:?}");
}
