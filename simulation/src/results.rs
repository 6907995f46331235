//! The summary of a campaign, for people and for the repository.

use std::fmt::Write;
use std::process::Command;

use crate::campaign::Summary;
use crate::tally::Happening;

#[cfg(test)]
mod committed;
pub mod parts;

const WRITES: &str = "writing to a text succeeds";

/// Shows sums, faults, and how often each kind of thing happened.
pub fn text(summary: &Summary) -> String {
    let counts = summary.counts;
    let mut text = format!(
        "{} runs in {:.1} s ({} of them twice): {} operations done, {} not done, {} unknown, in {} sendings; \
         {} messages, {:.0} per second\n",
        summary.runs,
        summary.seconds,
        summary.repeated,
        counts.done,
        counts.refused,
        counts.unknown,
        counts.sendings,
        summary.messages,
        summary.messages_per_second()
    );
    for (fault, (runs, times)) in &summary.fired {
        writeln!(text, "  {:<26} on in {runs:>6} runs, happened {times:>9} times", fault.text()).expect(WRITES);
    }
    for happening in Happening::ALL {
        writeln!(text, "  {:<46} {:>9} times", happening.text(), summary.tally.times(*happening)).expect(WRITES);
    }
    text
}

/// What a summary is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub first: u64,
    pub last: u64,
    /// Operations of each seed.
    pub operations: usize,
    pub commit: String,
}

/// Writes the page that is committed: seeds, commit, verdict, and the sums.
pub fn markdown(subject: &Subject, summary: &Summary) -> String {
    let mut page = String::from(
        "# Campaign\n\nWritten by `canopy-simulation campaign --output simulation/results/campaign.md`.\n\n| | |\n|---|---|\n",
    );
    let verdict = match (summary.failed.first(), summary.weaknesses().as_slice()) {
        (Some(failed), _) => format!("seed {} failed: {}", failed.seed, failed.failure),
        (None, []) => "nothing found".to_string(),
        (None, weaknesses) => format!("nothing found, but it proves too little: {weaknesses:?}"),
    };
    let counts = summary.counts;
    let rows = [
        ("seeds", format!("{} to {}", subject.first, subject.last)),
        ("operations of each", subject.operations.to_string()),
        ("callers of each", crate::case::CLIENTS.to_string()),
        ("commit", subject.commit.clone()),
        ("verdict", verdict),
        ("operations done", counts.done.to_string()),
        ("not done", counts.refused.to_string()),
        ("unknown for ever", counts.unknown.to_string()),
        ("sendings", counts.sendings.to_string()),
        ("messages", summary.messages.to_string()),
        ("seconds", format!("{:.0}", summary.seconds)),
        ("messages per second", format!("{:.0}", summary.messages_per_second())),
    ];
    for (name, value) in rows {
        writeln!(page, "| {name} | {value} |").expect(WRITES);
    }
    page += "\n| fault | on in runs | happened |\n|---|---:|---:|\n";
    for (fault, (runs, times)) in &summary.fired {
        writeln!(page, "| {} | {runs} | {times} |", fault.text()).expect(WRITES);
    }
    page += "\n| what else happened | times |\n|---|---:|\n";
    for happening in Happening::ALL {
        writeln!(page, "| {} | {} |", happening.text(), summary.tally.times(*happening)).expect(WRITES);
    }
    page
}

/// Tells the commit of the sources, and whether they were changed since.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_string());
    if changed { format!("{commit}, changed") } else { commit }
}
