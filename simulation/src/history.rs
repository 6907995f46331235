//! What clients asked and were told, in the order in which the driver saw it.
//!
//! An operation is one thing that a client wants of one key. It may be sent several times under one name; each sending
//! is told something of its own, and from these follows how the operation ended.

use std::collections::BTreeMap;

use canopy_types::Precondition;

#[cfg(test)]
mod tests;

/// Identifies the bytes of a value: the first eight bytes of their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

/// Position of an operation in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub usize);

/// One sending of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendingId {
    pub operation: OperationId,
    pub number: usize,
}

/// When the driver saw something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// On the history's own clock, which ticks once per event: no two events are simultaneous.
    pub order: u64,
    /// On the network's clock.
    pub nanos: u64,
}

/// What a write is sent under, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub id: u128,
    pub issued_nanos: u64,
    /// Place in the client's batch.
    pub index: u32,
}

/// What was asked of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Put {
        value: Fingerprint,
        precondition: Option<Precondition>,
        time_to_live_nanos: Option<u64>,
    },
    /// Makes an upload of so many bytes the key's value.
    Publish {
        value: Fingerprint,
        bytes: u64,
        precondition: Option<Precondition>,
        time_to_live_nanos: Option<u64>,
    },
    Get,
    Delete {
        precondition: Option<Precondition>,
    },
    /// Asks something about an upload that says nothing of the key's record: all that matters is who may do so.
    Upload,
}

/// What a write stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub value: Fingerprint,
    /// Length of a large value; None: a record holds the value itself.
    pub large_bytes: Option<u64>,
    pub time_to_live_nanos: Option<u64>,
}

impl Action {
    /// Stores a value, whatever is there, for ever.
    pub fn put(value: Fingerprint) -> Self {
        Action::Put { value, precondition: None, time_to_live_nanos: None }
    }

    pub fn precondition(&self) -> Option<Precondition> {
        match self {
            Action::Put { precondition, .. }
            | Action::Publish { precondition, .. }
            | Action::Delete { precondition } => *precondition,
            Action::Get | Action::Upload => None,
        }
    }

    /// Tells what is stored if it is done; None if nothing is.
    pub fn written(&self) -> Option<Written> {
        match *self {
            Action::Put { value, time_to_live_nanos, .. } => {
                Some(Written { value, large_bytes: None, time_to_live_nanos })
            }
            Action::Publish { value, bytes, time_to_live_nanos, .. } => {
                Some(Written { value, large_bytes: Some(bytes), time_to_live_nanos })
            }
            Action::Get | Action::Delete { .. } | Action::Upload => None,
        }
    }
}

/// A record as a reader was told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// None: the reader asked for everything but the value, or it is longer than a record.
    pub value: Option<Fingerprint>,
    /// Length of the value.
    pub bytes: u64,
    pub version: u64,
    pub expires_at_nanos: Option<u64>,
}

/// What an operation that ran came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A put made this version.
    Put {
        version: u64,
    },
    Got(Option<Seen>),
    /// A reader was told that the value is longer than a record, and its length.
    GotLarge {
        bytes: u64,
    },
    /// A reader was told that the key has no value longer than a record.
    NotLarge,
    /// What was asked about an upload was answered.
    Answered,
    /// A delete removed this version, if there was a record.
    Deleted(Option<u64>),
    /// The precondition of a write failed on this version, or on there being none.
    PreconditionFailed {
        found: Option<u64>,
    },
}

/// Why one sending did nothing and never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// Another one may run.
    Refused,
    /// No later one will run either.
    TooOld,
    FromTheFuture,
    Unauthorised,
    /// Its caller may not do this, or one of the others that it was sent with.
    OneUnauthorised,
    /// Another operation of this name ran, so that no sending of this one ever does.
    IdReused,
    /// The upload was given up, so that no sending ever publishes it.
    NeverPublished,
}

/// What the client was told about one sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Done(Outcome),
    NotRun(NotRun),
    /// It ran, didn't run, or will still run.
    MayRun,
}

/// One sending of an operation, and what came of it; None while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    pub sent: Moment,
    /// To the shard itself.
    pub direct: bool,
    pub told: Option<(Moment, Told)>,
}

/// When something was sent, and whether to the shard itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub sent: Moment,
    pub direct: bool,
}

/// How an operation ended, after all of its sendings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done(Outcome),
    /// No sending ran.
    NotDone,
    /// It was done, wasn't done, or will still be done.
    Unknown,
}

/// One thing that one client wants of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub client: usize,
    pub key: usize,
    pub action: Action,
    pub name: Option<Name>,
    pub sendings: Vec<Sending>,
}

impl Operation {
    /// Lists what its sendings were told, in the order of the sendings.
    pub fn told(&self) -> impl Iterator<Item = (Moment, Told)> + '_ {
        self.sendings.iter().filter_map(|sending| sending.told)
    }

    /// Tells the first answer that says it is done.
    pub fn done(&self) -> Option<(Moment, Outcome)> {
        let done = self.told().filter_map(|(at, told)| match told {
            Told::Done(outcome) => Some((at, outcome)),
            _ => None,
        });
        done.min_by_key(|(at, _)| *at)
    }

    pub fn end(&self) -> End {
        if let Some((_, outcome)) = self.done() {
            return End::Done(outcome);
        }
        let is_final = |told| matches!(told, Told::NotRun(NotRun::IdReused | NotRun::NeverPublished));
        let never = self.told().any(|(_, told)| is_final(told));
        let none_ran = self.sendings.iter().all(|sending| matches!(sending.told, Some((_, Told::NotRun(_)))));
        if never || none_ran { End::NotDone } else { End::Unknown }
    }

    /// Condenses the operation to what its key's register must explain; None if it says nothing.
    pub fn entry(&self) -> Option<Entry> {
        if self.action == Action::Upload {
            return None;
        }
        let outcome = match self.end() {
            End::Done(outcome) => Some(outcome),
            End::Unknown => None,
            End::NotDone => return None,
        };
        // A sending that was told it did nothing has not run, so it begins nothing.
        let may_have_run = |sending: &&Sending| !matches!(sending.told, Some((_, Told::NotRun(_))));
        Some(Entry {
            client: self.client,
            action: self.action,
            invoked: self.sendings.iter().find(may_have_run)?.sent,
            answered: self.done().map(|(at, _)| at),
            outcome,
        })
    }
}

/// An operation between its first sending that may have run and the first answer that says it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub client: usize,
    pub action: Action,
    pub invoked: Moment,
    /// None: it needn't have happened.
    pub answered: Option<Moment>,
    pub outcome: Option<Outcome>,
}

/// Sums over a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub done: u64,
    pub refused: u64,
    pub unknown: u64,
    pub sendings: u64,
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
        self.sendings += other.sendings;
    }
}

/// All operations of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    clock: u64,
}

impl History {
    /// Ticks, for something that is noted elsewhere.
    pub fn moment(&mut self, nanos: u64) -> Moment {
        self.clock += 1;
        Moment { order: self.clock, nanos }
    }

    /// Notes what a client wants, before it is first sent.
    pub fn begin(&mut self, client: usize, key: usize, action: Action, name: Option<Name>) -> OperationId {
        self.operations.push(Operation { client, key, action, name, sendings: Vec::new() });
        OperationId(self.operations.len() - 1)
    }

    /// Notes that an operation is sent, perhaps again. `nanos`: nothing of it can run before.
    pub fn send(&mut self, operation: OperationId, nanos: u64) -> SendingId {
        self.send_to(operation, nanos, false)
    }

    /// As [`History::send`], perhaps to the shard itself.
    pub fn send_to(&mut self, operation: OperationId, nanos: u64, direct: bool) -> SendingId {
        let sent = self.moment(nanos);
        let sendings = &mut self.operations[operation.0].sendings;
        sendings.push(Sending { sent, direct, told: None });
        SendingId { operation, number: sendings.len() - 1 }
    }

    /// Notes what a client was told, or that it gave up (`MayRun`). `nanos`: whatever it tells of has run by then.
    pub fn answer(&mut self, sending: SendingId, nanos: u64, told: Told) {
        let now = self.moment(nanos);
        let sending = &mut self.operations[sending.operation.0].sendings[sending.number];
        assert!(sending.told.is_none(), "a sending is answered once");
        sending.told = Some((now, told));
    }

    /// Notes a read that a client didn't ask for by itself: what a page of a scan, sent then, said about a key.
    pub fn observe(&mut self, client: usize, key: usize, page: Asked, nanos: u64, told: Told) {
        self.note(client, key, Action::Get, page, nanos, told);
    }

    /// Notes something that was asked once, with its answer.
    pub fn note(&mut self, client: usize, key: usize, action: Action, asked: Asked, nanos: u64, told: Told) {
        let operation = self.begin(client, key, action, None);
        self.learn(operation, asked, nanos, told);
    }

    /// Notes what the answer to something else said of an operation.
    pub fn learn(&mut self, operation: OperationId, asked: Asked, nanos: u64, told: Told) {
        let told = Some((self.moment(nanos), told));
        let sending = Sending { sent: asked.sent, direct: asked.direct, told };
        self.operations[operation.0].sendings.push(sending);
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn operation(&self, id: OperationId) -> &Operation {
        &self.operations[id.0]
    }

    /// Sorts what says something about a key by that key, in order of the first sending.
    pub fn by_key(&self) -> BTreeMap<usize, Vec<Entry>> {
        let mut keys: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        for operation in &self.operations {
            if let Some(entry) = operation.entry() {
                keys.entry(operation.key).or_default().push(entry);
            }
        }
        for entries in keys.values_mut() {
            entries.sort_by_key(|entry| entry.invoked);
        }
        keys
    }

    /// Counts how the operations ended.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for operation in &self.operations {
            counts.sendings += operation.sendings.len() as u64;
            match operation.end() {
                End::Done(_) => counts.done += 1,
                End::NotDone => counts.refused += 1,
                End::Unknown => counts.unknown += 1,
            }
        }
        counts
    }
}
