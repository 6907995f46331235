//! Per-key linearizability, with operations of unknown outcome.
//!
//! The algorithm is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memoisation of
//! visited configurations ("Testing for linearizability", 2017), run for each key on its own (linearizability is a local
//! property, Herlihy and Wing 1990). An operation of unknown outcome may take effect at any time after it was sent, or
//! never. Versions narrow the search: each write of a key has a higher version than all before it.
//!
//! Two steps need no branching. A read (or a delete that found nothing) that fits the present state can be placed at
//! once, because it changes nothing. An unknown put that nobody saw can be left out, because whatever would need it
//! would have seen it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{Action, Fingerprint, History, Operation, Outcome, Seen};

#[cfg(test)]
mod tests;

/// Configurations that are visited per key before the search gives up.
pub const CONFIGURATIONS_MAX: usize = 400_000;

/// Why a history is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A reader saw a value that nobody put under this key.
    ForeignValue { key: usize, seen: Seen },
    /// One put was seen with two versions, or one version with two values.
    VersionsDisagree { key: usize, seen: Seen },
    /// No order of the operations explains the answers.
    NotLinearizable { key: usize, operations: Vec<Operation> },
    /// The search went over its bound: nothing is known, which counts as a failure.
    Inconclusive { key: usize, configurations: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ForeignValue { key, seen } => {
                write!(formatter, "key {key}: a reader saw a value that was never put there: {seen:?}")
            }
            Fault::VersionsDisagree { key, seen } => {
                write!(formatter, "key {key}: version and value contradict what others saw: {seen:?}")
            }
            Fault::NotLinearizable { key, operations } => {
                writeln!(formatter, "key {key}: no order of its operations explains the answers:")?;
                for operation in operations {
                    let answered = operation.answered.map_or("-".to_string(), |at| at.to_string());
                    writeln!(
                        formatter,
                        "  {:>6}..{:<6} client {:<3} {:?} -> {:?}",
                        operation.invoked, answered, operation.client, operation.action, operation.outcome
                    )?;
                }
                Ok(())
            }
            Fault::Inconclusive { key, configurations } => {
                write!(formatter, "key {key}: undecided after {configurations} configurations")
            }
        }
    }
}

/// Checks every key of a history.
///
/// # Errors
/// The first key whose operations have no legal order, or which could not be decided.
pub fn check(history: &History) -> Result<(), Fault> {
    for (key, operations) in history.by_key() {
        Search::new(key, &operations)?.run()?;
    }
    Ok(())
}

/// What an operation does to the register, and what must hold for that.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put { value: Fingerprint, version: Option<u64> },
    Delete { expected: Expected },
    Get { seen: Option<Seen> },
}

/// What a delete was told.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Anything,
    Nothing,
    Version(u64),
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    step: Step,
    invoked: u64,
    /// `u64::MAX`: it needn't happen.
    deadline: u64,
}

/// The register: what is stored, and the highest version known to have been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Register {
    /// Value, and its version once known.
    stored: Option<(Fingerprint, Option<u64>)>,
    floor: u64,
}

impl Register {
    /// Applies a step; None if it doesn't fit.
    fn apply(self, step: &Step) -> Option<Register> {
        match *step {
            Step::Put { value, version } => match version {
                Some(version) if version <= self.floor => None,
                _ => Some(Register { stored: Some((value, version)), floor: version.unwrap_or(self.floor) }),
            },
            Step::Get { seen: None } => self.stored.is_none().then_some(self),
            Step::Get { seen: Some(seen) } => self.with_version(seen.version).filter(|register| {
                let (value, _) = register.stored.expect("with_version answers only when something is stored");
                value == seen.value
            }),
            Step::Delete { expected } => match expected {
                Expected::Anything => Some(Register { stored: None, ..self }),
                Expected::Nothing => self.stored.is_none().then_some(self),
                Expected::Version(version) => {
                    self.with_version(version).map(|register| Register { stored: None, ..register })
                }
            },
        }
    }

    /// Learns, or compares, the version of what is stored.
    fn with_version(self, version: u64) -> Option<Register> {
        match self.stored? {
            (_, Some(known)) => (known == version).then_some(self),
            (value, None) => {
                (version > self.floor).then_some(Register { stored: Some((value, Some(version))), floor: version })
            }
        }
    }
}

/// A set of operations, as bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed(Vec<u64>);

impl Placed {
    fn contains(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }
}

struct Search {
    key: usize,
    operations: Vec<Operation>,
    /// In order of invocation.
    candidates: Vec<Candidate>,
}

impl Search {
    /// Learns versions, and leaves out what cannot matter.
    fn new(key: usize, operations: &[Operation]) -> Result<Self, Fault> {
        let versions = learn_versions(key, operations)?;
        let deleted: BTreeSet<u64> = operations
            .iter()
            .filter_map(|operation| match operation.outcome {
                Outcome::Deleted(Some(version)) => Some(version),
                _ => None,
            })
            .collect();
        let known: BTreeSet<u64> = versions.values().flatten().copied().collect();
        let somebody_saw_an_unknown_put = deleted.iter().any(|version| !known.contains(version));
        let candidates = operations
            .iter()
            .filter_map(|operation| {
                let (step, required) = match (operation.action, operation.outcome) {
                    (Action::Put(value), Outcome::Put { version }) => {
                        (Step::Put { value, version: Some(version) }, true)
                    }
                    (Action::Put(value), _) => {
                        let seen = versions.get(&value);
                        if seen.is_none() && !somebody_saw_an_unknown_put {
                            return None;
                        }
                        // A value that was put once has the version with which it was seen; of equal ones it is open.
                        let unique = operations.iter().filter(|other| other.action == operation.action).count() == 1;
                        let version = seen.filter(|_| unique).and_then(|versions| versions.first().copied());
                        (Step::Put { value, version }, false)
                    }
                    (Action::Get, Outcome::Got(seen)) => (Step::Get { seen }, true),
                    (Action::Get, _) => return None,
                    (Action::Delete, Outcome::Deleted(None)) => (Step::Delete { expected: Expected::Nothing }, true),
                    (Action::Delete, Outcome::Deleted(Some(version))) => {
                        (Step::Delete { expected: Expected::Version(version) }, true)
                    }
                    (Action::Delete, _) => (Step::Delete { expected: Expected::Anything }, false),
                };
                let deadline = operation.answered.filter(|_| required).unwrap_or(u64::MAX);
                Some(Candidate { step, invoked: operation.invoked, deadline })
            })
            .collect();
        Ok(Self { key, operations: operations.to_vec(), candidates })
    }

    /// Looks for an order, depth first.
    fn run(self) -> Result<(), Fault> {
        let mut visited: BTreeSet<(Placed, Register)> = BTreeSet::new();
        let empty = Placed(vec![0; self.candidates.len().div_ceil(64)]);
        let mut waiting = vec![(empty, Register::default())];
        while let Some((placed, register)) = waiting.pop() {
            let (placed, register) = self.place_reads(placed, register);
            if self.is_complete(&placed) {
                return Ok(());
            }
            if self.is_too_late(&placed, register.floor) || !visited.insert((placed.clone(), register)) {
                continue;
            }
            if visited.len() > CONFIGURATIONS_MAX {
                return Err(Fault::Inconclusive { key: self.key, configurations: visited.len() });
            }
            // The last one pushed is tried first: those that must happen before those that needn't.
            let mut next: Vec<usize> = self.frontier(&placed).collect();
            next.sort_by_key(|&at| (std::cmp::Reverse(self.candidates[at].deadline), at));
            let mut unknown_delete_tried = false;
            for at in next {
                let step = &self.candidates[at].step;
                if matches!(step, Step::Delete { expected: Expected::Anything }) {
                    // Unknown deletes are all alike, and one that finds nothing changes nothing.
                    if std::mem::replace(&mut unknown_delete_tried, true) || register.stored.is_none() {
                        continue;
                    }
                }
                if let Some(after) = register.apply(step) {
                    let mut with = placed.clone();
                    with.insert(at);
                    waiting.push((with, after));
                }
            }
        }
        Err(Fault::NotLinearizable { key: self.key, operations: self.operations })
    }

    /// Places everything that may come now, fits, and changes nothing.
    fn place_reads(&self, mut placed: Placed, mut register: Register) -> (Placed, Register) {
        loop {
            let fitting = self.frontier(&placed).find_map(|at| match self.candidates[at].step {
                Step::Get { .. } | Step::Delete { expected: Expected::Nothing } => {
                    register.apply(&self.candidates[at].step).map(|after| (at, after))
                }
                _ => None,
            });
            let Some((at, after)) = fitting else { return (placed, register) };
            placed.insert(at);
            register = after;
        }
    }

    /// Lists what may come next: whatever was sent before the first of the open answers.
    fn frontier<'a>(&'a self, placed: &'a Placed) -> impl Iterator<Item = usize> + 'a {
        let mut first_answer = u64::MAX;
        self.candidates
            .iter()
            .enumerate()
            .filter(|(at, _)| !placed.contains(*at))
            .take_while(move |(_, candidate)| {
                let open = candidate.invoked < first_answer;
                first_answer = first_answer.min(candidate.deadline);
                open
            })
            .map(|(at, _)| at)
    }

    fn is_complete(&self, placed: &Placed) -> bool {
        self.candidates.iter().enumerate().all(|(at, candidate)| candidate.deadline == u64::MAX || placed.contains(at))
    }

    /// Tells whether a put that must still come has a version that was passed already.
    fn is_too_late(&self, placed: &Placed, floor: u64) -> bool {
        self.candidates.iter().enumerate().any(|(at, candidate)| {
            candidate.deadline != u64::MAX
                && !placed.contains(at)
                && matches!(candidate.step, Step::Put { version: Some(version), .. } if version <= floor)
        })
    }
}

/// Collects the versions with which each value was put or seen.
fn learn_versions(key: usize, operations: &[Operation]) -> Result<BTreeMap<Fingerprint, BTreeSet<u64>>, Fault> {
    let mut versions: BTreeMap<Fingerprint, BTreeSet<u64>> = BTreeMap::new();
    let mut values: BTreeMap<u64, Fingerprint> = BTreeMap::new();
    let mut puts: BTreeMap<Fingerprint, usize> = BTreeMap::new();
    for operation in operations {
        if let Action::Put(value) = operation.action {
            *puts.entry(value).or_default() += 1;
        }
    }
    for operation in operations {
        let seen = match (operation.action, operation.outcome) {
            (Action::Put(value), Outcome::Put { version }) => Seen { value, version },
            (_, Outcome::Got(Some(seen))) => seen,
            _ => continue,
        };
        let times_put = puts.get(&seen.value).copied().unwrap_or(0);
        if times_put == 0 {
            return Err(Fault::ForeignValue { key, seen });
        }
        let of_value = versions.entry(seen.value).or_default();
        of_value.insert(seen.version);
        if of_value.len() > times_put || *values.entry(seen.version).or_insert(seen.value) != seen.value {
            return Err(Fault::VersionsDisagree { key, seen });
        }
    }
    Ok(versions)
}
