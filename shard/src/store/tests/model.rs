//! The store beside a model (ordered maps of the standard library) under random operations.
//!
//! A case is a list of numbers, each of which is expanded to one operation, so that proptest can shorten a failing one.
//! `CANOPY_STORE_OPERATIONS=5000000 cargo test --release -p canopy-shard model_long -- --ignored --nocapture` runs long.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::memory::TestMemory;
use super::{MILLISECOND, MINUTE, NOON, Numbers, SMALL, mix};
use crate::store::{
    Answer, Budget, Cursor, Delete, Growth, Import, Imported, Item, KeyRef, Kind, Kinds, Operation, Options, Outcome,
    Precondition, Put, Receipt, Store, Values, Walk, WalkEnd, WriteError,
};

/// Where the choices of a case come from.
pub enum Source {
    Drawn(Numbers),
    /// Bytes and the place of the next one; zeroes follow them.
    Read(Vec<u8>, usize),
}

impl Source {
    /// Any number.
    pub fn next(&mut self) -> u64 {
        match self {
            Source::Drawn(numbers) => numbers.next(),
            Source::Read(..) => self.take(8),
        }
    }

    /// A number below a bound; bytes are read as few as the bound needs.
    pub fn below(&mut self, bound: u64) -> u64 {
        match self {
            Source::Drawn(numbers) => numbers.below(bound),
            Source::Read(..) => self.take((64 - (bound - 1).leading_zeros()).div_ceil(8)) % bound,
        }
    }

    fn take(&mut self, count: u32) -> u64 {
        let Source::Read(bytes, at) = self else { unreachable!("only bytes are taken") };
        (0..count).fold(0, |number, _| {
            let byte = bytes.get(*at).copied().unwrap_or(0);
            *at += 1;
            number << 8 | u64::from(byte)
        })
    }

    /// Tells whether all bytes were read.
    pub fn is_at_end(&self) -> bool {
        matches!(self, Source::Read(bytes, at) if *at >= bytes.len())
    }
}

/// How keys' hashes and tags are spread.
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    Even,
    /// All keys have one of three hashes.
    FewHashes,
    /// Moreover, tags have two values, and operations' identities, too.
    FewTags,
}

type ModelKey = (u64, u64, u8, Vec<u8>);

#[derive(Clone, Debug)]
struct ModelRecord {
    kind: Kind,
    value: Vec<u8>,
    version: u64,
    /// Milliseconds, 0: never.
    expires: u64,
}

/// A store with the model beside it.
pub struct Case {
    store: Store<TestMemory>,
    memory: TestMemory,
    options: Options,
    spread: Spread,
    keys: u64,
    now: u64,
    records: BTreeMap<ModelKey, ModelRecord>,
    /// By identity; issued in milliseconds.
    receipts: BTreeMap<u128, (ModelKey, u64, Operation, Outcome)>,
    versions: BTreeMap<ModelKey, u64>,
    greatest: u64,
    history: Vec<(Request, u64)>,
    operations: u64,
}

/// A write that can be sent again.
#[derive(Clone, Debug)]
enum Request {
    Put { key: u64, value: Vec<u8>, expires_at: Option<u64>, precondition: Precondition, operation: Option<Operation> },
    Delete { key: u64, precondition: Precondition, operation: Option<Operation>, keep_tombstone: bool },
}

impl Case {
    pub fn new(spread: Spread, memory: TestMemory, options: Options) -> Self {
        let mut store = Store::create(memory.clone(), options).unwrap();
        store.advance_time(NOON);
        let keys = match spread {
            Spread::Even => 400,
            Spread::FewHashes => 200,
            Spread::FewTags => 40,
        };
        Case {
            store,
            memory,
            options,
            spread,
            keys,
            now: NOON,
            records: BTreeMap::new(),
            receipts: BTreeMap::new(),
            versions: BTreeMap::new(),
            greatest: 0,
            history: Vec::new(),
            operations: 0,
        }
    }

    fn key(&self, number: u64) -> ModelKey {
        let length = mix(number ^ 7) % 80;
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(8 + length as usize, number as u8);
        let (hash, tag) = match self.spread {
            Spread::Even => (mix(number), mix(number ^ 99)),
            Spread::FewHashes => ([0, mix(3), u64::MAX][number as usize % 3], mix(number ^ 99)),
            Spread::FewTags => ([0, u64::MAX][number as usize % 2], [0, u64::MAX][number as usize / 2 % 2]),
        };
        (hash, tag, (number % 2) as u8, bytes)
    }

    fn milliseconds(&self) -> u64 {
        self.now / MILLISECOND
    }

    fn new_operation(&mut self, numbers: &mut Source) -> Option<Operation> {
        if numbers.below(10) == 0 {
            return None;
        }
        self.operations += 1;
        let low = match self.spread {
            Spread::FewTags => numbers.below(2),
            _ => numbers.next(),
        };
        let back = if numbers.below(4) == 0 { numbers.below(14 * MINUTE) } else { numbers.below(2_000 * MILLISECOND) };
        let identity = u128::from(mix(self.operations)) << 64 | u128::from(low);
        Some(Operation { identity, issued: self.now - back, arguments: numbers.next() })
    }

    fn is_absent(&self, record: &ModelRecord) -> bool {
        record.kind == Kind::Tombstone || record.expires != 0 && record.expires <= self.milliseconds()
    }

    fn present(&self, key: &ModelKey) -> Option<&ModelRecord> {
        self.records.get(key).filter(|record| !self.is_absent(record))
    }

    fn is_kept(&self, issued: u64) -> bool {
        issued + 15 * 60_000 > self.milliseconds()
    }

    fn step(&mut self, seed: u64) {
        self.step_from(&mut Source::Drawn(Numbers(mix(seed))));
    }

    /// Does one operation, drawn from a source.
    pub fn step_from(&mut self, numbers: &mut Source) {
        match numbers.below(100) {
            0..40 => self.fresh_put(numbers),
            40..52 => self.fresh_delete(numbers),
            52..60 => self.send_again(numbers),
            60..75 => self.read(numbers),
            75..80 => self.pass_time(numbers),
            80..84 => self.sweep(numbers),
            84..87 => self.walk(numbers),
            87..91 => self.import(numbers),
            91 => self.free_range(numbers),
            92 => self.drop_tombstones(numbers),
            93..96 => self.reopen(),
            96 => {
                self.store.maintain();
            }
            _ => self.store.check_invariants().unwrap(),
        }
    }

    fn fresh_put(&mut self, numbers: &mut Source) {
        let key = numbers.below(self.keys);
        let length = match numbers.below(40) {
            0 => numbers.below(70_000),
            1..6 => numbers.below(9_000),
            6..20 => numbers.below(2_000),
            _ => numbers.below(150),
        };
        let value = vec![numbers.next() as u8; length as usize];
        let expires_at = (numbers.below(5) == 0).then(|| self.now - 5 * MILLISECOND + numbers.below(20 * MINUTE));
        let precondition = self.precondition(key, numbers);
        let operation = self.new_operation(numbers);
        self.send(Request::Put { key, value, expires_at, precondition, operation });
    }

    fn fresh_delete(&mut self, numbers: &mut Source) {
        let key = numbers.below(self.keys);
        let precondition = self.precondition(key, numbers);
        let operation = self.new_operation(numbers);
        self.send(Request::Delete { key, precondition, operation, keep_tombstone: numbers.below(3) == 0 });
    }

    fn precondition(&self, key: u64, numbers: &mut Source) -> Precondition {
        let current = self.present(&self.key(key)).map_or(7, |record| record.version);
        match numbers.below(10) {
            0 => Precondition::Absent,
            1 => Precondition::Present,
            2 => Precondition::Version(current),
            3 => Precondition::Version(numbers.next()),
            _ => Precondition::None,
        }
    }

    fn send_again(&mut self, numbers: &mut Source) {
        if self.history.is_empty() {
            return;
        }
        let back = numbers.below(self.history.len().min(200) as u64) as usize;
        let (mut request, _) = self.history[self.history.len() - 1 - back].clone();
        if numbers.below(8) == 0
            && let Request::Put { operation: Some(operation), .. } = &mut request
        {
            operation.arguments ^= 1;
        }
        self.send(request);
    }

    fn send(&mut self, request: Request) {
        let (key, precondition, operation) = match &request {
            Request::Put { key, precondition, operation, .. }
            | Request::Delete { key, precondition, operation, .. } => (self.key(*key), *precondition, *operation),
        };
        let key_ref = KeyRef { hash: key.0, tag: key.1, space: key.2, bytes: &key.3 };
        let removed_before = self.store.removed_version();
        let (answer, privileged) = match &request {
            Request::Put { value, expires_at, .. } => {
                let put =
                    Put { key: key_ref, kind: Kind::Value, value, expires_at: *expires_at, precondition, operation };
                (self.store.put(&put), false)
            }
            Request::Delete { keep_tombstone, .. } => {
                let delete = Delete { key: key_ref, precondition, operation, keep_tombstone: *keep_tombstone };
                (self.store.delete(&delete), true)
            }
        };
        if let Err(WriteError::GrowthPending | WriteError::OutOfSpace) = answer {
            let _ = privileged;
            self.store.maintain();
            return;
        }
        if let Err(WriteError::TooManyEqualTags { .. }) = answer {
            assert!(matches!(self.spread, Spread::FewTags));
            return;
        }
        if let Some(operation) = operation {
            let issued = operation.issued.div_ceil(MILLISECOND).max(1);
            if !self.is_kept(issued) {
                assert!(matches!(answer, Err(WriteError::OperationTooOld { .. })), "{answer:?}");
                return;
            }
            let seen = self.receipts.get(&operation.identity);
            if let Some((_, _, first, outcome)) = seen.filter(|(_, issued, _, _)| self.is_kept(*issued)) {
                let expected = if first.arguments == operation.arguments {
                    Ok(Answer { outcome: *outcome, replayed: true })
                } else {
                    Err(WriteError::OperationReused)
                };
                assert_eq!(answer, expected);
                return;
            }
        }
        let Answer { outcome, replayed } = answer.expect("nothing else stands against it");
        assert!(!replayed);
        let current = self.present(&key).map(|record| record.version);
        let holds = match precondition {
            Precondition::None => true,
            Precondition::Absent => current.is_none(),
            Precondition::Present => current.is_some(),
            Precondition::Version(version) => current == Some(version),
        };
        match (&request, outcome) {
            (_, Outcome::Refused { current: seen }) => {
                assert!(!holds);
                assert_eq!(seen, current);
            }
            (Request::Put { value, expires_at, .. }, Outcome::Written { version }) => {
                self.check_version(&key, version);
                let expires = expires_at.map_or(0, |at| at.div_ceil(MILLISECOND));
                let record = ModelRecord { kind: Kind::Value, value: value.clone(), version, expires };
                self.records.insert(key.clone(), record);
                assert!(holds);
            }
            (Request::Delete { keep_tombstone, .. }, Outcome::Deleted { version }) => {
                assert!(holds && current == Some(version));
                self.records.remove(&key);
                if *keep_tombstone {
                    let last = self.versions.get(&key).copied().unwrap_or(0).max(version).max(removed_before);
                    let version = self.now.max(last + 1);
                    self.check_version(&key, version);
                    let record = ModelRecord { kind: Kind::Tombstone, value: Vec::new(), version, expires: 0 };
                    self.records.insert(key.clone(), record);
                }
            }
            (Request::Delete { .. }, Outcome::Absent) => assert!(holds && current.is_none()),
            other => panic!("{other:?}"),
        }
        if let Some(operation) = operation {
            let issued = operation.issued.div_ceil(MILLISECOND).max(1);
            self.receipts.insert(operation.identity, (key, issued, operation, outcome));
        }
        self.history.push((request, self.now));
    }

    fn check_version(&mut self, key: &ModelKey, version: u64) {
        assert!(version >= self.now, "at least shard time");
        assert!(version <= self.now.max(self.greatest + 1), "not further ahead than needed");
        let last = self.versions.insert(key.clone(), version);
        assert!(last.is_none_or(|last| last < version), "versions grow per key");
        self.greatest = self.greatest.max(version);
    }

    fn read(&mut self, numbers: &mut Source) {
        let key = self.key(numbers.below(self.keys));
        let key_ref = KeyRef { hash: key.0, tag: key.1, space: key.2, bytes: &key.3 };
        let mut value = b"before".to_vec();
        let found = self.store.get(&key_ref, &mut value);
        assert_eq!(found, self.store.head(&key_ref));
        match (found, self.present(&key)) {
            (None, None) => assert_eq!(value, b"before"),
            (Some(found), Some(record)) => {
                assert_eq!((found.kind, found.version), (record.kind, record.version));
                assert_eq!(found.expires_at.unwrap_or(0), record.expires * MILLISECOND);
                assert_eq!(value[6..], record.value);
            }
            other => panic!("{other:?}"),
        }
        let Some((_, (key, issued, operation, outcome))) = self.receipts.iter().next_back() else { return };
        let key = KeyRef { hash: key.0, tag: key.1, space: key.2, bytes: &key.3 };
        let expected = self.is_kept(*issued).then_some(*outcome);
        assert_eq!(self.store.find_receipt(&key, operation), expected);
    }

    fn pass_time(&mut self, numbers: &mut Source) {
        self.now += match numbers.below(20) {
            0 => 40 * MINUTE,
            1..4 => numbers.below(5 * MINUTE),
            4..8 => numbers.below(20 * MILLISECOND),
            8..12 => 1,
            _ => numbers.below(MINUTE),
        };
        assert_eq!(self.store.advance_time(self.now), self.now);
        self.store.advance_time(self.now - 5);
    }

    fn budget(numbers: &mut Source) -> Budget {
        let part = |numbers: &mut Source| match numbers.below(3) {
            0 => numbers.below(10),
            1 => numbers.below(100_000),
            _ => u64::MAX,
        };
        Budget { instructions: part(numbers), bytes: part(numbers), pages: part(numbers) }
    }

    fn sweep(&mut self, numbers: &mut Source) {
        let swept = self.store.sweep(Self::budget(numbers));
        assert!(swept.done || swept.records + swept.receipts > 0 || !self.store.has_room(0, true));
        if swept.done {
            let now = self.milliseconds();
            self.records.retain(|_, record| record.expires == 0 || record.expires > now);
            let statistics = self.store.statistics();
            let live = self.records.values().filter(|record| record.kind != Kind::Tombstone);
            assert_eq!(statistics.records, live.clone().count() as u64);
            assert_eq!(statistics.tombstones, self.records.len() as u64 - statistics.records);
            // A minute's receipts are swept together, so some of a minute may be over and still here.
            let kept = self.receipts.values().filter(|(_, issued, _, _)| self.is_kept(issued + 60_000)).count();
            assert!(statistics.receipts <= kept as u64);
        }
    }

    fn walk(&mut self, numbers: &mut Source) {
        let (a, b) = match numbers.below(3) {
            0 => (numbers.next(), numbers.next()),
            _ => (0, u64::MAX),
        };
        let tombstones = numbers.below(2) == 0;
        let space = (numbers.below(3) == 0).then_some(1);
        let (first, last) = (a.min(b), a.max(b));
        let items_max = if numbers.below(4) == 0 { numbers.below(6) } else { u64::MAX };
        // Not drawn, so that the inputs of the corpus stay what they are.
        let kinds = if matches!(items_max, 1 | 3) { Kinds::OfLargeValues } else { Kinds::All };
        let mut walk = Walk {
            first,
            last,
            after: None,
            receipts: true,
            tombstones,
            space,
            kinds,
            prefix: vec![],
            values: Values::All,
            items_max,
        };
        let mut seen = Vec::new();
        let mut receipts: Vec<Receipt> = Vec::new();
        let mut pages = 0;
        loop {
            let budget = Self::budget(numbers);
            let end = self.store.walk(&walk, &budget, &mut |item| match item {
                Item::Record { key, found, value, receipt } => {
                    seen.push(((key.hash, key.tag, key.space, key.bytes.to_vec()), found.version, value.to_vec()));
                    receipts.extend(receipt);
                }
                Item::Receipt { receipt, hash, .. } => {
                    assert!((first..=last).contains(&hash));
                    receipts.push(receipt);
                }
            });
            match end {
                WalkEnd::Done => break,
                WalkEnd::More(cursor) => {
                    assert!(walk.after.as_ref().is_none_or(|after| {
                        let order = |c: &Cursor| (c.hash, c.tag, c.key.is_none(), c.key.clone());
                        order(after) < order(&cursor)
                    }));
                    walk.after = Some(cursor);
                }
            }
            pages += 1;
            assert!(pages < 10_000, "a walk gets on");
        }
        // Expired records that are swept, and those that wait for it, differ only in a walk that shows them.
        let shown = |record: &ModelRecord| tombstones || !self.is_absent(record);
        let expected: Vec<_> = self
            .records
            .iter()
            .filter(|(key, record)| {
                (first..=last).contains(&key.0)
                    && shown(record)
                    && space.is_none_or(|space| space == key.2)
                    && kinds.include(record.kind)
            })
            .map(|(key, record)| (key.clone(), record.version, record.value.clone()))
            .collect();
        if tombstones {
            let unexpired =
                |entry: &(ModelKey, u64, Vec<u8>)| self.records.get(&entry.0).is_some_and(|record| record.expires == 0);
            let (seen, expected): (Vec<_>, Vec<_>) =
                (seen.iter().filter(|e| unexpired(e)).collect(), expected.iter().filter(|e| unexpired(e)).collect());
            assert_eq!(seen, expected);
        } else {
            assert_eq!(seen, expected);
        }
        if tombstones && space.is_none() && kinds == Kinds::All {
            let seen: BTreeSet<u128> = receipts.iter().map(|receipt| receipt.operation.identity).collect();
            let of_range = self
                .receipts
                .iter()
                .filter(|(_, (key, issued, _, _))| (first..=last).contains(&key.0) && self.is_kept(*issued));
            assert_eq!(seen, of_range.map(|(identity, _)| *identity).collect());
        }
    }

    fn import(&mut self, numbers: &mut Source) {
        let key = self.key(numbers.below(self.keys));
        let known = self.records.get(&key).cloned();
        if known.as_ref().is_some_and(|record| record.expires != 0) {
            return;
        }
        let version = self.versions.get(&key).map_or(self.now, |last| last + numbers.below(3)) - 1;
        let kind = if numbers.below(4) == 0 { Kind::Tombstone } else { Kind::Chunk };
        let value = if kind == Kind::Tombstone { Vec::new() } else { vec![1; numbers.below(300) as usize] };
        let operation = self.new_operation(numbers);
        let outcome = match kind {
            Kind::Tombstone => Outcome::Deleted { version },
            _ => Outcome::Written { version },
        };
        let receipt = operation.map(|operation| Receipt { operation, outcome });
        let stale = known.is_some_and(|record| record.version >= version);
        let key_ref = KeyRef { hash: key.0, tag: key.1, space: key.2, bytes: &key.3 };
        let import = Import { key: key_ref, kind, value: &value, version, expires_at: None, receipt };
        match self.store.import_record(&import) {
            Ok(Imported::Stale) => assert!(stale),
            Ok(Imported::Applied) => {
                assert!(!stale);
                self.records.insert(key.clone(), ModelRecord { kind, value, version, expires: 0 });
                let last = self.versions.entry(key.clone()).or_default();
                *last = version.max(*last);
                self.greatest = self.greatest.max(version);
                if let Some(operation) = operation {
                    let issued = operation.issued.div_ceil(MILLISECOND);
                    self.receipts.insert(operation.identity, (key.clone(), issued, operation, outcome));
                }
            }
            Err(WriteError::GrowthPending | WriteError::OutOfSpace) => return,
            Err(WriteError::TooManyEqualTags { .. }) if matches!(self.spread, Spread::FewTags) => return,
            Err(error) => panic!("{error:?}"),
        }
        let Some(operation) = self.new_operation(numbers) else { return };
        let receipt = Receipt { operation, outcome: Outcome::Refused { current: Some(version) } };
        for expected in [Imported::Applied, Imported::Stale] {
            match self.store.import_receipt(&key_ref, &receipt) {
                Ok(imported) => assert_eq!(imported, expected),
                Err(WriteError::GrowthPending | WriteError::OutOfSpace) => return,
                Err(error) => panic!("{error:?}"),
            }
            let issued = operation.issued.div_ceil(MILLISECOND);
            let entry = (key.clone(), issued, operation, receipt.outcome);
            self.receipts.insert(operation.identity, entry);
        }
    }

    fn free_range(&mut self, numbers: &mut Source) {
        if numbers.below(4) != 0 {
            return;
        }
        let (a, b) = (numbers.next(), numbers.next());
        let (first, last) = (a.min(b), a.max(b));
        while !self.store.free_range(first, last, Self::budget(numbers)).done {}
        self.records.retain(|key, _| !(first..=last).contains(&key.0));
        self.receipts.retain(|_, (key, _, _, _)| !(first..=last).contains(&key.0));
        self.history.clear();
    }

    fn drop_tombstones(&mut self, numbers: &mut Source) {
        let mut after = None;
        for _ in 0..10_000 {
            if !self.store.has_room(0, true) {
                return;
            }
            match self.store.drop_tombstones(after, Self::budget(numbers)) {
                WalkEnd::Done => break,
                WalkEnd::More(cursor) => after = Some(cursor),
            }
        }
        self.records.retain(|_, record| record.kind != Kind::Tombstone);
        assert_eq!(self.store.statistics().tombstones, 0);
    }

    fn reopen(&mut self) {
        let before = self.store.statistics();
        self.store = Store::open(self.memory.clone(), self.options).unwrap();
        assert_eq!(self.store.statistics(), before);
        assert_eq!(self.store.shard_time(), self.now);
    }

    /// Everything is deleted, everything runs out, and every page comes back.
    pub fn finish(mut self) {
        self.store.check_invariants().unwrap();
        while !self.store.free_range(0, u64::MAX, Budget { instructions: 1 << 20, bytes: 0, pages: 1 << 10 }).done {}
        self.store.advance_time(self.now + 20 * MINUTE);
        assert!(self.store.sweep(Budget { instructions: u64::MAX, bytes: 0, pages: u64::MAX }).done);
        self.store.check_invariants().unwrap();
        let statistics = self.store.statistics();
        assert_eq!((statistics.records, statistics.live_bytes, statistics.receipts), (0, 0, 0));
        assert_eq!((statistics.expiring, statistics.receipt_bytes, statistics.slack_bytes), (0, 0, 0));
        assert_eq!((statistics.index_bytes, statistics.expiry_bytes), (4_096, 4_096));
        if let Growth::Failed = self.store.maintain() {
            assert!(self.store.statistics().growth_failed);
        }
    }
}

fn run(seeds: &[u64], spread: Spread, options: Options, limit: Option<u64>) {
    let memory = TestMemory::default();
    memory.set_limit(limit);
    let mut case = Case::new(spread, memory, options);
    for &seed in seeds {
        case.step(seed);
    }
    case.finish();
}

fn spread() -> impl Strategy<Value = Spread> {
    prop_oneof![Just(Spread::Even), Just(Spread::FewHashes), Just(Spread::FewTags)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn store_agrees_with_model(seeds in prop::collection::vec(any::<u64>(), 1..1_500), spread in spread()) {
        run(&seeds, spread, SMALL, None);
    }

    #[test]
    fn store_agrees_with_model_when_memory_ends(seeds in prop::collection::vec(any::<u64>(), 1..1_500), spread in spread()) {
        run(&seeds, spread, SMALL, Some(32));
    }

    #[test]
    fn store_agrees_with_model_with_one_cached_node(seeds in prop::collection::vec(any::<u64>(), 1..1_500)) {
        run(&seeds, Spread::Even, Options { cached_nodes_max: 1, ..SMALL }, None);
    }
}

/// Runs so many operations over more keys than a case has, for every spread.
fn run_long(operations: u64, seed: u64) {
    for (spread, keys) in [(Spread::Even, 20_000), (Spread::FewHashes, 20_000), (Spread::FewTags, 60)] {
        let mut case = Case::new(spread, TestMemory::default(), SMALL);
        case.keys = keys;
        for at in 0..operations {
            let number = mix(seed ^ mix(at));
            // Walks and checks take time in proportion to the store: fewer of them.
            let rare = (84..87).contains(&(Numbers(mix(number)).below(100))) || Numbers(mix(number)).below(100) >= 97;
            if !rare || at % 500 == 0 {
                case.step(number);
            }
        }
        case.finish();
    }
}

#[test]
fn store_agrees_with_model_over_many_keys() {
    run_long(60_000, 1);
}

/// Millions of operations; what was run is noted in `shard/model_runs.md`.
#[test]
#[ignore = "long: run by hand and nightly"]
fn model_long() {
    let variable =
        |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let operations = variable("CANOPY_STORE_OPERATIONS", 300_000);
    let seed = variable("CANOPY_STORE_SEED", 1);
    println!("CANOPY_STORE_SEED={seed} CANOPY_STORE_OPERATIONS={operations}");
    run_long(operations, seed);
}
