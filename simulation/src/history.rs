//! What clients asked and were told, in the order in which the driver saw it.

use std::collections::BTreeMap;

/// Identifies the bytes of a value: the first eight bytes of their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

/// Position of an operation in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub usize);

/// What was asked of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Put(Fingerprint),
    Get,
    Delete,
}

/// A value with the version that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub value: Fingerprint,
    pub version: u64,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A put was done and made this version.
    Put { version: u64 },
    /// A get was answered.
    Got(Option<Seen>),
    /// A delete was done and removed this version, if there was a record.
    Deleted(Option<u64>),
    /// A typed answer, or the platform, says that nothing was done.
    Refused,
    /// It was done, wasn't done, or will still be done.
    Unknown,
}

/// One call of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub client: usize,
    pub key: usize,
    pub action: Action,
    /// When it was sent, on the history's own clock.
    pub invoked: u64,
    /// When its outcome was seen; None while it is open.
    pub answered: Option<u64>,
    /// [`Outcome::Unknown`] while it is open.
    pub outcome: Outcome,
}

/// Sums over a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub done: u64,
    pub refused: u64,
    pub unknown: u64,
}

impl Counts {
    pub fn total(&self) -> u64 {
        self.done + self.refused + self.unknown
    }

    /// Adds the sums of another history.
    pub fn add(&mut self, other: Counts) {
        self.done += other.done;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// All operations of a run. Its clock ticks once per event, so no two events are simultaneous.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    clock: u64,
}

impl History {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Notes that a client sends an operation.
    pub fn invoke(&mut self, client: usize, key: usize, action: Action) -> OperationId {
        let invoked = self.tick();
        self.operations.push(Operation { client, key, action, invoked, answered: None, outcome: Outcome::Unknown });
        OperationId(self.operations.len() - 1)
    }

    /// Notes what a client was told, or that it gave up (`Unknown`).
    pub fn answer(&mut self, id: OperationId, outcome: Outcome) {
        let now = self.tick();
        let operation = &mut self.operations[id.0];
        assert!(operation.answered.is_none(), "an operation is answered once");
        operation.answered = Some(now);
        operation.outcome = outcome;
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Sorts the operations that say something about a key by that key; refused ones changed and told nothing.
    pub fn by_key(&self) -> BTreeMap<usize, Vec<Operation>> {
        let mut keys: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
        for operation in self.operations.iter().filter(|operation| operation.outcome != Outcome::Refused) {
            keys.entry(operation.key).or_default().push(*operation);
        }
        keys
    }

    /// Counts how the operations ended.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for operation in &self.operations {
            match operation.outcome {
                Outcome::Refused => counts.refused += 1,
                Outcome::Unknown => counts.unknown += 1,
                _ => counts.done += 1,
            }
        }
        counts
    }
}
