//! Every operation that was answered "done" is applied exactly once, and every "not done" was not applied.
//!
//! These rules need no search: they hold one answer against another. Values are unique to their operation (but for empty
//! ones, which are left out), so a read tells its writer, and each version belongs to one write.

use std::collections::BTreeMap;
use std::fmt;

use canopy_types::Precondition;
use canopy_types::limits::{OPERATION_AHEAD_SECONDS, OPERATION_KEPT_SECONDS};

use crate::history::{End, Fingerprint, History, NotRun, Operation, Outcome, Seen, Told, Written};

#[cfg(test)]
mod tests;

const NANOS_PER_MILLISECOND: u64 = 1_000_000;
const KEPT_MILLISECONDS: u64 = OPERATION_KEPT_SECONDS * 1_000;
const AHEAD_MILLISECONDS: u64 = OPERATION_AHEAD_SECONDS * 1_000;

/// Which two answers can't both be true. Operations are given by their place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two sendings of one operation were told different outcomes.
    OutcomesDisagree { operation: usize, first: Outcome, other: Outcome },
    /// An operation ran, and a sending was told that another one of its name did.
    DoneAndIdReused { operation: usize },
    /// An upload was published, and somebody was told that it never would be.
    PublishedAndGivenUp { operation: usize },
    /// An operation was told that another one of its name ran, and none can have run.
    ReusedWithoutCause { operation: usize },
    /// Two operations of one name ran.
    NameRanTwice { operations: [usize; 2] },
    /// What was told to be not done, or to have failed, was seen.
    NotDoneButSeen { operation: usize, seen: Seen },
    /// One write was seen with two versions.
    AppliedTwice { operation: usize, versions: [u64; 2] },
    /// Two writes made one version.
    VersionShared { key: usize, version: u64, operations: [usize; 2] },
    /// Two writes took one version away: each was told that it did.
    VersionTakenTwice { key: usize, version: u64, operations: [usize; 2] },
    /// A sending was told that its time was over, or had not come, and that was not so.
    WrongTime { operation: usize, told: Told },
    /// A sending was told an outcome when its time was over, or had not come.
    OutOfTime { operation: usize, told: Told },
    /// A record ends when it should not.
    EndsWrongly { operation: usize, seen: Seen },
    /// One version was told with two lengths, or a large value with another length than its upload's.
    LengthsDisagree { operation: usize, bytes: u64, seen: Seen },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not exactly once: {self:?}")
    }
}

impl Fault {
    /// Lists the operations that it is about.
    pub fn operations(&self) -> Vec<usize> {
        match self {
            Fault::OutcomesDisagree { operation, .. }
            | Fault::DoneAndIdReused { operation }
            | Fault::PublishedAndGivenUp { operation }
            | Fault::LengthsDisagree { operation, .. }
            | Fault::ReusedWithoutCause { operation }
            | Fault::NotDoneButSeen { operation, .. }
            | Fault::AppliedTwice { operation, .. }
            | Fault::WrongTime { operation, .. }
            | Fault::OutOfTime { operation, .. }
            | Fault::EndsWrongly { operation, .. } => vec![*operation],
            Fault::NameRanTwice { operations }
            | Fault::VersionShared { operations, .. }
            | Fault::VersionTakenTwice { operations, .. } => operations.to_vec(),
        }
    }
}

/// Checks all operations of a history.
///
/// # Errors
/// The first contradiction.
pub fn check(history: &History) -> Result<(), Fault> {
    let operations = history.operations();
    for (at, operation) in operations.iter().enumerate() {
        check_outcomes(at, operation)?;
        check_times(at, operation)?;
    }
    let mut writers = Writers::new(operations)?;
    writers.check_reads(operations)?;
    writers.check_lengths(operations)?;
    check_names(operations, &writers)
}

fn check_outcomes(at: usize, operation: &Operation) -> Result<(), Fault> {
    let Some((_, first)) = operation.done() else { return Ok(()) };
    for (_, told) in operation.told() {
        match told {
            Told::Done(other) if other != first => {
                return Err(Fault::OutcomesDisagree { operation: at, first, other });
            }
            Told::NotRun(NotRun::IdReused) => return Err(Fault::DoneAndIdReused { operation: at }),
            Told::NotRun(NotRun::NeverPublished) if matches!(first, Outcome::Put { .. }) => {
                return Err(Fault::PublishedAndGivenUp { operation: at });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that receipts and their operations end together: an operation is admitted for 15 minutes from its time of
/// issue on, and from 60 seconds before it.
fn check_times(at: usize, operation: &Operation) -> Result<(), Fault> {
    let Some(name) = operation.name else { return Ok(()) };
    let issued = name.issued_nanos.div_ceil(NANOS_PER_MILLISECOND);
    for sending in &operation.sendings {
        let Some((answered, told)) = sending.told else { continue };
        let (earliest, latest) = (sending.sent.nanos / NANOS_PER_MILLISECOND, answered.nanos / NANOS_PER_MILLISECOND);
        let over = |now| issued + KEPT_MILLISECONDS <= now;
        let ahead = |now| issued > now + AHEAD_MILLISECONDS;
        match told {
            Told::Done(_) if over(earliest) || ahead(latest) => return Err(Fault::OutOfTime { operation: at, told }),
            Told::NotRun(NotRun::TooOld) if !over(latest) => return Err(Fault::WrongTime { operation: at, told }),
            Told::NotRun(NotRun::FromTheFuture) if !ahead(earliest) => {
                return Err(Fault::WrongTime { operation: at, told });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Who made and took which version.
struct Writers {
    /// Put of each value that was put once.
    of_values: BTreeMap<Fingerprint, usize>,
    /// Version that each put is known to have made.
    made: BTreeMap<usize, u64>,
    /// Writer of each version of a key.
    of_versions: BTreeMap<(usize, u64), usize>,
}

impl Writers {
    fn new(operations: &[Operation]) -> Result<Self, Fault> {
        let mut times: BTreeMap<Fingerprint, usize> = BTreeMap::new();
        let mut of_values = BTreeMap::new();
        for (at, operation) in operations.iter().enumerate() {
            if let Some(Written { value, .. }) = operation.action.written() {
                *times.entry(value).or_default() += 1;
                of_values.insert(value, at);
            }
        }
        of_values.retain(|value, _| times[value] == 1);
        let mut writers = Self { of_values, made: BTreeMap::new(), of_versions: BTreeMap::new() };
        let mut taken: BTreeMap<(usize, u64), usize> = BTreeMap::new();
        for (at, operation) in operations.iter().enumerate() {
            let Some((_, outcome)) = operation.done() else { continue };
            if let Outcome::Put { version } = outcome {
                writers.note(at, operation.key, version)?;
            }
            let took = match (outcome, operation.action.precondition()) {
                (Outcome::Deleted(Some(version)), _) => version,
                (Outcome::Put { .. }, Some(Precondition::Version(version))) => version.0,
                _ => continue,
            };
            if let Some(earlier) = taken.insert((operation.key, took), at) {
                return Err(Fault::VersionTakenTwice { key: operation.key, version: took, operations: [earlier, at] });
            }
        }
        Ok(writers)
    }

    fn note(&mut self, operation: usize, key: usize, version: u64) -> Result<(), Fault> {
        let known = *self.made.entry(operation).or_insert(version);
        if known != version {
            return Err(Fault::AppliedTwice { operation, versions: [known, version] });
        }
        let writer = *self.of_versions.entry((key, version)).or_insert(operation);
        if writer != operation {
            return Err(Fault::VersionShared { key, version, operations: [writer, operation] });
        }
        Ok(())
    }

    /// Holds every record that was read against its writer, and learns the versions of unknown puts.
    fn check_reads(&mut self, operations: &[Operation]) -> Result<(), Fault> {
        let mut ends: BTreeMap<usize, Option<u64>> = BTreeMap::new();
        for reader in operations {
            let Some((read_at, Outcome::Got(Some(seen)))) = reader.done() else { continue };
            let Some(&at) = seen.value.and_then(|value| self.of_values.get(&value)) else { continue };
            let writer = &operations[at];
            if writer.key != reader.key {
                // The linearizability checker names it.
                continue;
            }
            if matches!(writer.end(), End::NotDone | End::Done(Outcome::PreconditionFailed { .. })) {
                return Err(Fault::NotDoneButSeen { operation: at, seen });
            }
            self.note(at, writer.key, seen.version)?;
            let Some(Written { time_to_live_nanos, .. }) = writer.action.written() else { continue };
            let sent = writer.sendings.first().map_or(0, |sending| sending.sent.nanos);
            let done = writer.done().map_or(read_at, |(done, _)| done.min(read_at));
            let right = match (time_to_live_nanos, seen.expires_at_nanos) {
                (None, None) => true,
                (Some(lasts), Some(end)) => (sent + lasts..=done.nanos + lasts + NANOS_PER_MILLISECOND).contains(&end),
                _ => false,
            };
            if !right || *ends.entry(at).or_insert(seen.expires_at_nanos) != seen.expires_at_nanos {
                return Err(Fault::EndsWrongly { operation: at, seen });
            }
        }
        Ok(())
    }

    /// Holds the lengths against each other with which each version was read, and those of large values against their
    /// uploads.
    fn check_lengths(&self, operations: &[Operation]) -> Result<(), Fault> {
        let published = |at: &usize| operations[*at].action.written().and_then(|written| written.large_bytes);
        let uploads = self.of_versions.iter().filter_map(|(version, at)| Some((*version, published(at)?)));
        let mut lengths: BTreeMap<(usize, u64), u64> = uploads.collect();
        for (at, reader) in operations.iter().enumerate() {
            let Some((_, Outcome::Got(Some(seen)))) = reader.done() else { continue };
            let bytes = *lengths.entry((reader.key, seen.version)).or_insert(seen.bytes);
            if bytes != seen.bytes {
                return Err(Fault::LengthsDisagree { operation: at, bytes, seen });
            }
        }
        Ok(())
    }
}

/// Checks that of several operations of one name at most one ran, and that whoever was told of another one's run was
/// told the truth.
fn check_names(operations: &[Operation], writers: &Writers) -> Result<(), Fault> {
    let mut names: BTreeMap<(usize, u128, u32, usize), Vec<usize>> = BTreeMap::new();
    for (at, operation) in operations.iter().enumerate() {
        if let Some(name) = operation.name {
            names.entry((operation.client, name.id, name.index, operation.key)).or_default().push(at);
        }
    }
    for group in names.values() {
        let mut ran = group.iter().filter(|&at| operations[*at].done().is_some() || writers.made.contains_key(at));
        if let (Some(first), Some(second)) = (ran.next(), ran.next()) {
            return Err(Fault::NameRanTwice { operations: [*first, *second] });
        }
        for &at in group {
            let told = operations[at].told().any(|(_, told)| told == Told::NotRun(NotRun::IdReused));
            let another = group.iter().any(|&other| other != at && operations[other].end() != End::NotDone);
            if told && !another {
                return Err(Fault::ReusedWithoutCause { operation: at });
            }
        }
    }
    Ok(())
}
