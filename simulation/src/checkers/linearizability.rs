//! Per-key linearizability, with preconditions, times to live and operations of unknown outcome.
//!
//! The algorithm is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memoisation of
//! visited configurations ("Testing for linearizability", 2017), run for each key on its own (linearizability is a local
//! property, Herlihy and Wing 1990). An operation of unknown outcome may take effect at any time after it was sent, or
//! never. A write whose precondition failed is a read of what it was told it found. Versions narrow the search: each
//! write of a key has a higher version than all before it.
//!
//! A step that fits the present state and changes nothing needs no branching: it is placed at once. An unknown put that
//! nobody saw is left out where whatever would need it would have seen it. Unknown steps that are alike are tried once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use canopy_types::Precondition;

use super::register::{Effect, Ends, Needs, Register, Step, Window};
use crate::history::{Action, Entry, Fingerprint, History, Outcome, Seen, Written};

#[cfg(test)]
mod tests;

/// Configurations that are visited per key before the search gives up.
pub const CONFIGURATIONS_MAX: usize = 400_000;

/// A record's end is rounded up to milliseconds.
const END_ROUNDING_NANOS: u64 = 1_000_000;

/// Stands for the values of unknown puts that nobody saw, which makes them alike.
const UNSEEN: Fingerprint = Fingerprint(u64::MAX);

/// Why a history is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A reader saw a value that nobody put under this key.
    ForeignValue { key: usize, seen: Seen },
    /// One put was seen with two versions, or one version with two values.
    VersionsDisagree { key: usize, seen: Seen },
    /// An answer contradicts the very precondition of its operation.
    AnswerContradictsPrecondition { key: usize, entry: Box<Entry> },
    /// No order of the operations explains the answers.
    NotLinearizable { key: usize, entries: Vec<Entry> },
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
            Fault::AnswerContradictsPrecondition { key, entry } => {
                write!(formatter, "key {key}: the answer contradicts the precondition: {entry:?}")
            }
            Fault::NotLinearizable { key, entries } => {
                writeln!(formatter, "key {key}: no order of its operations explains the answers:")?;
                for entry in entries {
                    let answered = entry.answered.map_or("-".to_string(), |at| at.order.to_string());
                    let outcome = entry.outcome.map_or("unknown".to_string(), |outcome| format!("{outcome:?}"));
                    writeln!(
                        formatter,
                        "  {:>6}..{:<6} client {:<3} {:?} -> {outcome}",
                        entry.invoked.order, answered, entry.client, entry.action
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
    for (key, entries) in history.by_key() {
        Search::new(key, &entries)?.run()?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    step: Step,
    window: Window,
    invoked: u64,
    /// `u64::MAX`: it needn't happen.
    deadline: u64,
}

impl Candidate {
    fn is_required(&self) -> bool {
        self.deadline != u64::MAX
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
    entries: Vec<Entry>,
    /// In order of invocation.
    candidates: Vec<Candidate>,
}

impl Search {
    /// Learns versions, and leaves out what cannot matter.
    fn new(key: usize, entries: &[Entry]) -> Result<Self, Fault> {
        let learned = Learned::new(key, entries)?;
        let mut candidates = Vec::new();
        for entry in entries {
            let Some(step) = learned.step(key, entry)? else { continue };
            candidates.push(Candidate {
                step,
                window: Window { from: entry.invoked.nanos, to: entry.answered.map_or(u64::MAX, |at| at.nanos) },
                invoked: entry.invoked.order,
                deadline: entry.answered.map_or(u64::MAX, |at| at.order),
            });
        }
        Ok(Self { key, entries: entries.to_vec(), candidates })
    }

    /// Looks for an order, depth first.
    fn run(self) -> Result<(), Fault> {
        let mut visited: BTreeSet<(Placed, Register)> = BTreeSet::new();
        let empty = Placed(vec![0; self.candidates.len().div_ceil(64)]);
        let mut waiting = vec![(empty, Register::default())];
        while let Some((placed, register)) = waiting.pop() {
            let placed = self.place_reads(placed, register);
            if self.is_complete(&placed) {
                return Ok(());
            }
            if self.is_too_late(&placed, &register) || !visited.insert((placed.clone(), register)) {
                continue;
            }
            if visited.len() > CONFIGURATIONS_MAX {
                return Err(Fault::Inconclusive { key: self.key, configurations: visited.len() });
            }
            // The last one pushed is tried first: those that must happen before those that needn't.
            let mut next: Vec<usize> = self.frontier(&placed).collect();
            next.sort_by_key(|&at| (self.candidates[at].deadline, at));
            let mut tried: Vec<Step> = Vec::new();
            let mut found = Vec::new();
            for at in next {
                let candidate = &self.candidates[at];
                if !candidate.is_required() {
                    if tried.contains(&candidate.step) {
                        continue;
                    }
                    tried.push(candidate.step);
                }
                if let Some(after) = register.apply(&candidate.step, candidate.window) {
                    let mut with = placed.clone();
                    with.insert(at);
                    found.push((with, after));
                }
            }
            waiting.extend(found.into_iter().rev());
        }
        Err(Fault::NotLinearizable { key: self.key, entries: self.entries })
    }

    /// Places everything that may come now, fits, and changes nothing.
    fn place_reads(&self, mut placed: Placed, register: Register) -> Placed {
        loop {
            let fitting = self.frontier(&placed).find(|&at| {
                let Candidate { step, window, .. } = &self.candidates[at];
                step.effect == Effect::Nothing && register.apply(step, *window) == Some(register)
            });
            let Some(at) = fitting else { return placed };
            placed.insert(at);
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
        self.candidates.iter().enumerate().all(|(at, candidate)| !candidate.is_required() || placed.contains(at))
    }

    /// Tells whether something that must still come was passed already.
    fn is_too_late(&self, placed: &Placed, register: &Register) -> bool {
        self.candidates.iter().enumerate().any(|(at, candidate)| {
            candidate.is_required() && !placed.contains(at) && register.has_passed(&candidate.step)
        })
    }
}

/// What the answers of a key tell about its puts.
struct Learned {
    /// Versions with which each value was put or seen.
    versions: BTreeMap<Fingerprint, BTreeSet<u64>>,
    /// When each value's record ends.
    ends: BTreeMap<Fingerprint, u64>,
    /// How often each value was put.
    puts: BTreeMap<Fingerprint, usize>,
    /// An unknown put that no reader saw may have mattered all the same.
    unseen_matter: bool,
}

impl Learned {
    fn new(key: usize, entries: &[Entry]) -> Result<Self, Fault> {
        let mut puts: BTreeMap<Fingerprint, usize> = BTreeMap::new();
        for entry in entries {
            if let Some(written) = entry.action.written() {
                *puts.entry(written.value).or_default() += 1;
            }
        }
        let mut versions: BTreeMap<Fingerprint, BTreeSet<u64>> = BTreeMap::new();
        let mut ends = BTreeMap::new();
        let mut values: BTreeMap<u64, Fingerprint> = BTreeMap::new();
        let mut mentioned = BTreeSet::new();
        for entry in entries {
            let (value, seen) = match (entry.action.written(), entry.outcome) {
                (Some(Written { value, large_bytes, .. }), Some(Outcome::Put { version })) => {
                    let bytes = large_bytes.unwrap_or(0);
                    (value, Seen { value: Some(value), bytes, version, expires_at_nanos: None })
                }
                (_, Some(Outcome::Got(Some(seen)))) => match seen.value {
                    Some(value) => (value, seen),
                    None => {
                        mentioned.insert(seen.version);
                        continue;
                    }
                },
                (_, Some(Outcome::Deleted(Some(version)) | Outcome::PreconditionFailed { found: Some(version) })) => {
                    mentioned.insert(version);
                    continue;
                }
                _ => continue,
            };
            let times_put = puts.get(&value).copied().unwrap_or(0);
            if times_put == 0 {
                return Err(Fault::ForeignValue { key, seen });
            }
            let of_value = versions.entry(value).or_default();
            of_value.insert(seen.version);
            if of_value.len() > times_put || *values.entry(seen.version).or_insert(value) != value {
                return Err(Fault::VersionsDisagree { key, seen });
            }
            if let (Some(end), 1) = (seen.expires_at_nanos, times_put) {
                ends.insert(value, end);
            }
        }
        for entry in entries {
            if let (Some(Precondition::Version(version)), Some(Outcome::Put { .. } | Outcome::Deleted(_))) =
                (entry.action.precondition(), entry.outcome)
            {
                mentioned.insert(version.0);
            }
        }
        let nameless = mentioned.iter().any(|version| !values.contains_key(version));
        let presence = entries.iter().any(|entry| entry.action.precondition() == Some(Precondition::Present));
        // Who was told only what kind of value is there may have been told it of any.
        let kinds =
            entries.iter().any(|entry| matches!(entry.outcome, Some(Outcome::GotLarge { .. } | Outcome::NotLarge)));
        Ok(Self { versions, ends, puts, unseen_matter: nameless || presence || kinds })
    }

    /// Says what an operation does to its key; None if that cannot matter.
    fn step(&self, key: usize, entry: &Entry) -> Result<Option<Step>, Fault> {
        let precondition = entry.action.precondition();
        let contradiction = || Fault::AnswerContradictsPrecondition { key, entry: Box::new(*entry) };
        let found = |version: Option<u64>| version.map_or(Needs::Absent, Needs::Version);
        let read = |needs| Some(Step { needs, effect: Effect::Nothing });
        Ok(match (entry.action, entry.outcome) {
            (_, Some(Outcome::PreconditionFailed { found: version })) => {
                let failed = match precondition {
                    None => false,
                    Some(Precondition::Absent) => version.is_some(),
                    Some(Precondition::Present) => version.is_none(),
                    Some(Precondition::Version(asked)) => version != Some(asked.0),
                };
                if !failed {
                    return Err(contradiction());
                }
                read(found(version))
            }
            (Action::Put { .. } | Action::Publish { .. }, outcome) => {
                let Some(Written { value, large_bytes, time_to_live_nanos }) = entry.action.written() else {
                    return Ok(None);
                };
                let told = match outcome {
                    Some(Outcome::Put { version }) => Some(version),
                    Some(_) => return Err(contradiction()),
                    None => None,
                };
                let unique = self.puts.get(&value) == Some(&1);
                // A value that was put once has the version with which it was seen; of equal ones it is open.
                let seen = self.versions.get(&value);
                let version = told.or_else(|| seen.filter(|_| unique)?.first().copied());
                if seen.is_none() && !self.unseen_matter && time_to_live_nanos.is_none() {
                    return Ok(None);
                }
                let value = if seen.is_none() && told.is_none() { UNSEEN } else { value };
                let ends = time_to_live_nanos.map(|lasts| self.ends(entry, value, lasts));
                Some(Step { needs: needs(precondition), effect: Effect::Put { value, version, ends, large_bytes } })
            }
            (Action::Get, Some(Outcome::Got(None))) => read(Needs::Absent),
            (Action::Get, Some(Outcome::Got(Some(seen)))) => read(match seen.value {
                Some(value) => Needs::Record { value, version: seen.version },
                None => Needs::Version(seen.version),
            }),
            (Action::Get, Some(Outcome::GotLarge { bytes })) => read(Needs::Large { bytes }),
            (Action::Get, Some(Outcome::NotLarge)) => read(Needs::NotLarge),
            (Action::Get | Action::Upload, _) => None,
            (Action::Delete { .. }, Some(Outcome::Deleted(version))) => {
                let holds = match precondition {
                    None => true,
                    Some(Precondition::Absent) => version.is_none(),
                    Some(Precondition::Present) => version.is_some(),
                    Some(Precondition::Version(asked)) => version == Some(asked.0),
                };
                if !holds {
                    return Err(contradiction());
                }
                let effect = if version.is_some() { Effect::Remove } else { Effect::Nothing };
                Some(Step { needs: found(version), effect })
            }
            (Action::Delete { .. }, _) => match precondition {
                // Deletes nothing whatever becomes of it.
                Some(Precondition::Absent) => None,
                // One that finds nothing changes nothing.
                None => Some(Step { needs: Needs::Present, effect: Effect::Remove }),
                Some(_) => Some(Step { needs: needs(precondition), effect: Effect::Remove }),
            },
        })
    }

    fn ends(&self, entry: &Entry, value: Fingerprint, lasts: u64) -> Ends {
        if let Some(end) = self.ends.get(&value) {
            return Ends { earliest: *end, latest: *end };
        }
        let latest = entry.answered.map_or(u64::MAX, |at| at.nanos.saturating_add(lasts + END_ROUNDING_NANOS));
        Ends { earliest: entry.invoked.nanos.saturating_add(lasts), latest }
    }
}

fn needs(precondition: Option<Precondition>) -> Needs {
    match precondition {
        None => Needs::Anything,
        Some(Precondition::Absent) => Needs::Absent,
        Some(Precondition::Present) => Needs::Present,
        Some(Precondition::Version(version)) => Needs::Version(version.0),
    }
}
