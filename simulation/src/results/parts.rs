//! Sums of one range of seeds in a file, so that a campaign may run range by range, and go on where it was broken off.
//!
//! One line per sum: a word, its numbers, and the text that they are of, which comes last.

use std::fmt::Write;

use super::{Subject, WRITES};
use crate::campaign::{FailedSeed, Summary};
use crate::case::Options;
use crate::faults::FaultName;
use crate::run::Failure;
use crate::tally::Happening;

#[cfg(test)]
mod tests;

/// Writes the sums of a range of seeds.
pub fn write(subject: &Subject, summary: &Summary) -> String {
    let Subject { first, last, operations, commit } = subject;
    let counts = summary.counts;
    let mut text = format!("commit {commit}\nseeds {first} {last}\noperations {operations}\n");
    for (name, number) in [
        ("runs", summary.runs as u64),
        ("repeated", summary.repeated as u64),
        ("milliseconds", (summary.seconds * 1_000.0) as u64),
        ("messages", summary.messages),
        ("done", counts.done),
        ("refused", counts.refused),
        ("unknown", counts.unknown),
        ("sendings", counts.sendings),
    ] {
        writeln!(text, "{name} {number}").expect(WRITES);
    }
    for (fault, (runs, times)) in &summary.fired {
        writeln!(text, "fault {runs} {times} {}", fault.text()).expect(WRITES);
    }
    for happening in Happening::ALL {
        writeln!(text, "happened {} {}", summary.tally.times(*happening), happening.text()).expect(WRITES);
    }
    for failed in &summary.failed {
        let failure = failed.failure.to_string();
        writeln!(text, "failed {} {}", failed.seed, failure.lines().next().unwrap_or("")).expect(WRITES);
    }
    text
}

/// Adds up parts whose ranges follow each other, in any order.
///
/// # Errors
/// A line that isn't one of [`write`]'s, a gap or an overlap between ranges, another commit or number of operations.
pub fn add(texts: &[String]) -> Result<(Subject, Summary), String> {
    let mut parts = texts.iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|(subject, _)| subject.first);
    let mut parts = parts.into_iter();
    let (mut whole, mut sums) = parts.next().ok_or("there are no parts")?;
    for (subject, summary) in parts {
        if (&subject.commit, subject.operations) != (&whole.commit, whole.operations) {
            return Err(format!("parts of different campaigns: {whole:?} and {subject:?}"));
        }
        if subject.first != whole.last + 1 {
            return Err(format!("seed {} follows seed {}", subject.first, whole.last));
        }
        whole.last = subject.last;
        sums.runs += summary.runs;
        sums.repeated += summary.repeated;
        sums.seconds += summary.seconds;
        sums.messages += summary.messages;
        sums.counts.add(summary.counts);
        for (fault, (runs, times)) in summary.fired {
            let sum = sums.fired.entry(fault).or_default();
            *sum = (sum.0 + runs, sum.1 + times);
        }
        sums.tally.add(&summary.tally);
        sums.failed.extend(summary.failed);
    }
    Ok((whole, sums))
}

fn read(text: &str) -> Result<(Subject, Summary), String> {
    let mut subject = Subject { first: 0, last: 0, operations: 0, commit: String::new() };
    let mut summary = Summary::default();
    for line in text.lines() {
        read_line(line, &mut subject, &mut summary).ok_or_else(|| format!("no line of a part: {line}"))?;
    }
    Ok((subject, summary))
}

fn read_line(line: &str, subject: &mut Subject, summary: &mut Summary) -> Option<()> {
    let (word, rest) = line.split_once(' ')?;
    let number = || rest.parse::<u64>().ok();
    let two = || rest.split_once(' ');
    match word {
        "commit" => subject.commit = rest.to_string(),
        "seeds" => {
            let (first, last) = two()?;
            (subject.first, subject.last) = (first.parse().ok()?, last.parse().ok()?);
        }
        "operations" => subject.operations = rest.parse().ok()?,
        "runs" => summary.runs = rest.parse().ok()?,
        "repeated" => summary.repeated = rest.parse().ok()?,
        "milliseconds" => summary.seconds = number()? as f64 / 1_000.0,
        "messages" => summary.messages = number()?,
        "done" => summary.counts.done = number()?,
        "refused" => summary.counts.refused = number()?,
        "unknown" => summary.counts.unknown = number()?,
        "sendings" => summary.counts.sendings = number()?,
        "fault" => {
            let (runs, rest) = two()?;
            let (times, name) = rest.split_once(' ')?;
            summary.fired.insert(FaultName::from_text(name)?, (runs.parse().ok()?, times.parse().ok()?));
        }
        "happened" => {
            let (times, name) = two()?;
            summary.tally.note_times(Happening::from_text(name)?, times.parse().ok()?);
        }
        "failed" => {
            let (seed, failure) = two()?;
            summary.failed.push(FailedSeed {
                seed: seed.parse().ok()?,
                options: Options::default(),
                failure: Failure::from_text(failure)?,
                events: Vec::new(),
                shrunk: None,
            });
        }
        _ => return None,
    }
    Some(())
}
