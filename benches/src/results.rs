//! Figures: what was measured, kept as JSON, compared with what was committed.

pub mod chart;
pub mod checks;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// How much a figure may be above the committed one, in percent.
const REGRESSION_PERCENT_MAX: u64 = 2;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Structure {
    Store,
    StableBTreeMap,
    /// Whole messages of a shard.
    Shard,
    /// Operations by way of the router.
    Routed,
    /// Operations at a shard.
    Direct,
    /// Operations under load.
    Load,
    /// Parts of what is done for an operation.
    Phases,
    /// Values that are put and read chunk by chunk.
    Large,
}

/// In what a figure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Instructions of one of many steps in a message.
    Batch,
    /// Instructions of a step that has a message to itself.
    Single,
    /// Instructions charged for a whole message, heap pages included; in a batch, for an item of it.
    Charged,
    /// Stable pages that a step dirties: mean, in thousandths.
    PagesMean,
    /// Stable pages that half of the steps don't exceed.
    PagesMedian,
    /// Stable pages that no step exceeded.
    PagesMost,
    /// Bytes of stable memory per byte of keys and values, in thousandths.
    BytesPerByte,
    /// Instructions of the router, per record.
    RouterInstructions,
    /// Instructions of all shards, per record.
    ShardInstructions,
    /// Pages that a message dirties in the router, and in all shards: mean.
    RouterPages,
    ShardPages,
    /// Cycles of router and shards together, per record.
    Cycles,
    /// Executions in router and shards, of all records of a message together.
    Messages,
    /// Rounds from sending a message to its answer: mean, in thousandths.
    Rounds,
    /// Rounds in which writers were told to come again, because a range changed hands.
    ClosedRounds,
    /// Writes that were told so, of 100,000.
    Refused,
    /// Time that writes take while a range changes hands, as a part of what they take else, in thousandths.
    Slowdown,
    /// Cycles that a caller in a canister pays for its call and the bytes of it, per operation.
    CallerCycles,
    /// Executions in router and shards, per 1,000 operations.
    Executions,
    /// Pages that the router dirties, and all shards, per 1,000 operations.
    RouterPagesPerThousand,
    ShardPagesPerThousand,
    /// Rounds that so many of 100 operations, or of 1,000, don't exceed.
    RoundsMedian,
    Rounds99,
    Rounds999,
    /// Rounds that 1,000,000,000 operations take as fast as they are done.
    RoundsPerBillion,
    /// Operations of 1,000,000 that were turned away then.
    RefusedPerMillion,
    /// Of them, those that were turned away because as many calls were open as may be, and those that somebody else was
    /// always ahead of.
    CallsOpenPerMillion,
    BeatenPerMillion,
    /// What binds then, by its number.
    Bound,
    /// How much of what binds was used then, in thousandths.
    BoundUsed,
    /// Pages that the shards dirty then, per 1,000 operations.
    FullShardPagesPerThousand,
    /// Cycles of the service, and what of them the platform takes for the value's own bytes, per MiB.
    CyclesPerMebibyte,
    FeesPerMebibyte,
    /// Rounds for 1,000 MiB.
    RoundsPerThousandMebibytes,
}

impl Measure {
    fn words(self) -> &'static str {
        match self {
            Measure::Batch => "instructions in a batch",
            Measure::Single => "instructions alone",
            Measure::Charged => "instructions charged",
            Measure::PagesMean => "thousandths of a page, mean",
            Measure::PagesMedian => "pages, median",
            Measure::PagesMost => "pages, most",
            Measure::BytesPerByte => "thousandths of a byte per byte",
            Measure::RouterInstructions => "instructions of the router per record",
            Measure::ShardInstructions => "instructions of the shards per record",
            Measure::RouterPages => "dirty pages of the router",
            Measure::ShardPages => "dirty pages of the shards",
            Measure::Cycles => "cycles per record",
            Measure::Messages => "executions",
            Measure::Rounds => "thousandths of a round",
            Measure::ClosedRounds => "rounds in which writes were refused",
            Measure::Refused => "refused of 100,000 writes",
            Measure::Slowdown => "thousandths of the usual time",
            Measure::CallerCycles => "cycles of the caller per operation",
            Measure::Executions => "executions per 1,000",
            Measure::RouterPagesPerThousand => "dirty pages of the router per 1,000",
            Measure::ShardPagesPerThousand => "dirty pages of the shards per 1,000",
            Measure::RoundsMedian => "rounds, median",
            Measure::Rounds99 => "rounds, 99 of 100",
            Measure::Rounds999 => "rounds, 999 of 1,000",
            Measure::RoundsPerBillion => "rounds per billion",
            Measure::RefusedPerMillion => "turned away per million",
            Measure::CallsOpenPerMillion => "turned away per million, calls open",
            Measure::BeatenPerMillion => "turned away per million, others ahead",
            Measure::Bound => "number of what binds",
            Measure::BoundUsed => "thousandths of what binds",
            Measure::FullShardPagesPerThousand => "dirty pages of the shards per 1,000, at full load",
            Measure::CyclesPerMebibyte => "cycles per MiB",
            Measure::FeesPerMebibyte => "fees for bytes per MiB",
            Measure::RoundsPerThousandMebibytes => "rounds per 1,000 MiB",
        }
    }
}

/// Which figure it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub structure: Structure,
    pub value_bytes: u64,
    /// Records that there are; of a whole operation, those that one message is about.
    pub records: u64,
    pub operation: String,
    pub measure: Measure,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    #[serde(flatten)]
    pub key: Key,
    pub measured: u64,
    /// What it may be at most; only some have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
}

impl Figure {
    fn holds(&self) -> bool {
        self.budget.is_none_or(|budget| self.measured <= budget)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let structure = match self.structure {
            Structure::Store => "store",
            Structure::StableBTreeMap => "StableBTreeMap",
            Structure::Shard => "shard",
            Structure::Routed => "routed",
            Structure::Direct => "direct",
            Structure::Load => "load",
            Structure::Phases => "phases",
            Structure::Large => "large",
        };
        let (value, records) = (size(self.value_bytes), count(self.records));
        write!(f, "{structure}, {records} x {value}: {}, {}", self.operation, self.measure.words())
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:84} {:>10}", self.key.to_string(), self.measured)?;
        match self.budget {
            Some(budget) => write!(f, " of {budget}{}", if self.holds() { "" } else { "  OVER" }),
            None => Ok(()),
        }
    }
}

/// Says a number of bytes shortly.
pub fn size(bytes: u64) -> String {
    match bytes {
        0 => "any".to_string(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// Says a number of records shortly.
pub fn count(records: u64) -> String {
    match records {
        _ if records > 0 && records.is_multiple_of(1_000_000) => format!("{} M", records / 1_000_000),
        _ if records > 0 && records.is_multiple_of(1_000) => format!("{} k", records / 1_000),
        _ => records.to_string(),
    }
}

/// All figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    figures: BTreeMap<Key, Figure>,
}

#[derive(Serialize, Deserialize)]
struct File {
    figures: Vec<Figure>,
}

impl Figures {
    /// Adds a figure.
    ///
    /// # Panics
    ///
    /// When it is there already: two parts of the benchmark would hide each other.
    pub fn add(&mut self, figure: Figure) {
        if let Some(before) = self.figures.insert(figure.key.clone(), figure) {
            panic!("measured twice: {before}");
        }
    }

    /// Puts figures in the place of those of the same operations.
    pub fn replace(&mut self, others: &Figures) {
        let operation = |key: &Key| (key.structure, key.value_bytes, key.records, key.operation.clone());
        let replaced: BTreeSet<_> = others.figures.keys().map(operation).collect();
        self.figures.retain(|key, _| !replaced.contains(&operation(key)));
        self.figures.extend(others.figures.clone());
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &Figure> {
        self.figures.values()
    }

    /// Finds a figure.
    pub fn find(
        &self,
        structure: Structure,
        value_bytes: u64,
        records: u64,
        operation: &str,
        measure: Measure,
    ) -> Option<&Figure> {
        self.figures.get(&Key { structure, value_bytes, records, operation: operation.to_string(), measure })
    }

    /// Numbers of records, ascending, for which a structure was measured with values of this size.
    pub fn record_counts(&self, structure: Structure, value_bytes: u64, operation: &str, measure: Measure) -> Vec<u64> {
        let of = |key: &&Key| {
            (key.structure, key.value_bytes, key.operation.as_str(), key.measure)
                == (structure, value_bytes, operation, measure)
        };
        self.figures.keys().filter(of).map(|key| key.records).collect()
    }

    /// Figures above their budgets.
    pub fn over_budget(&self) -> Vec<&Figure> {
        self.all().filter(|figure| !figure.holds()).collect()
    }

    /// Reads the committed figures of this name.
    ///
    /// # Errors
    ///
    /// When there are none, or the file is damaged.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        let path = path(&format!("{name}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let file: File = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
        let mut figures = Figures::default();
        file.figures.into_iter().for_each(|figure| figures.add(figure));
        Ok(figures)
    }

    /// Writes the figures under a name, to be committed: one on each line, so that changes can be read.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn save(&self, name: &str) -> anyhow::Result<()> {
        let lines: Result<Vec<String>, _> = self.all().map(serde_json::to_string).collect();
        let text = format!("{{\"figures\": [\n{}\n]}}\n", lines?.join(",\n"));
        save_text(&format!("{name}.json"), &text)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.all().try_for_each(|figure| writeln!(f, "{figure}"))
    }
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "results", name].iter().collect()
}

/// Writes a file into the folder of results.
///
/// # Errors
///
/// When it can't be written.
pub fn save_text(name: &str, text: &str) -> anyhow::Result<()> {
    let path = path(name);
    std::fs::write(&path, text).with_context(|| format!("{}", path.display()))
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    compared: usize,
    /// Committed figures with what was measured more than the bound above them, or not at all.
    regressions: Vec<(Figure, Option<u64>)>,
    /// Measured figures without a committed one.
    new: Vec<Figure>,
    /// Committed figures with what was measured more than the bound below them.
    improvements: Vec<(Figure, u64)>,
}

/// Compares what was measured with what was committed.
pub fn compare(committed: &Figures, measured: &Figures) -> Comparison {
    let mut comparison = Comparison { compared: committed.figures.len(), ..Comparison::default() };
    for figure in committed.all() {
        let now = measured.figures.get(&figure.key).map(|found| found.measured);
        match now {
            None => comparison.regressions.push((figure.clone(), None)),
            Some(now) if now * 100 > figure.measured * (100 + REGRESSION_PERCENT_MAX) => {
                comparison.regressions.push((figure.clone(), Some(now)));
            }
            Some(now) if now * 100 < figure.measured * (100 - REGRESSION_PERCENT_MAX) => {
                comparison.improvements.push((figure.clone(), now));
            }
            Some(_) => {}
        }
    }
    comparison.new = measured.all().filter(|figure| !committed.figures.contains_key(&figure.key)).cloned().collect();
    comparison
}

impl Comparison {
    /// What stands against the run: regressions, and figures that nobody committed.
    pub fn faults(&self) -> Vec<String> {
        let regressions = self.regressions.iter().map(|(figure, now)| {
            let Figure { key, measured, .. } = figure;
            match now {
                Some(now) => {
                    format!("regression: {key}: {measured} committed, {now} measured (at most {REGRESSION_PERCENT_MAX} % more)")
                }
                None => format!("regression: {key}: {measured} committed, not measured"),
            }
        });
        let new = self
            .new
            .iter()
            .map(|figure| format!("not committed: {}: {} measured; run with --update", figure.key, figure.measured));
        regressions.chain(new).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (Figure { key, measured, .. }, now) in &self.improvements {
            writeln!(f, "improved, run with --update: {key}: {measured} committed, {now} measured")?;
        }
        let (compared, regressions) = (self.compared, self.regressions.len());
        write!(f, "{compared} committed figures compared, {regressions} regressions above {REGRESSION_PERCENT_MAX} %")
    }
}
