//! Many runs: on threads, contained, summed up, checked for determinism, and shrunk when they fail.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use indicatif::ProgressBar;

use crate::case::{Case, Options};
use crate::faults::FaultName;
use crate::history::Counts;
use crate::network::Service;
use crate::run::{Failure, Report, run};
use crate::shrink::shrink;
use crate::tally::{Happening, Tally};

#[cfg(test)]
mod tests;

/// Runs of a campaign below which a fault may go without firing.
pub const RUNS_TO_JUDGE_MIN: usize = 50;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub seeds: Vec<u64>,
    pub options: Options,
    pub threads: usize,
    /// Every so many-th seed is run twice and the event logs are compared; 0: none.
    pub repeat_every: usize,
    /// Runs that shrinking a failure may take.
    pub shrink_runs_max: usize,
    pub service: Service,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct FailedSeed {
    pub seed: u64,
    pub options: Options,
    pub failure: Failure,
    pub events: Vec<String>,
    /// The smallest options found under which it still fails alike, and their failure.
    pub shrunk: Option<(Options, Failure)>,
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub runs: usize,
    pub repeated: usize,
    pub counts: Counts,
    pub messages: u64,
    pub seconds: f64,
    /// Runs in which a fault was on, and how often it happened.
    pub fired: BTreeMap<FaultName, (usize, u64)>,
    pub tally: Tally,
    /// What the answers that were not `done` said, and how often.
    pub reasons: BTreeMap<String, u64>,
    pub failed: Vec<FailedSeed>,
}

/// Why a campaign whose runs are all right proves too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// A fault was on and never happened.
    NeverFired(FaultName),
    /// A kind of answer, of sending again or of precondition never occurred.
    NeverHappened(Happening),
    /// Fewer than half of the operations were done.
    LittleDone(Counts),
}

impl Campaign {
    /// Runs all seeds; stops at the first failure. `report` is told after each how many are done, in how many seconds.
    pub fn run(&self, progress: &ProgressBar, report: &(dyn Fn(usize, f64) + Sync)) -> Summary {
        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let summary = Mutex::new(Summary::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(seed) = self.seeds.get(at).copied() else { return };
                        let (outcome, repeated) = self.run_seed(at, seed);
                        let mut summary = summary.lock().expect("no thread panics while it holds the sums");
                        if !summary.failed.is_empty() {
                            return;
                        }
                        summary.add(&outcome, repeated);
                        progress.inc(1);
                        report(summary.runs, begun.elapsed().as_secs_f64());
                        if let Some(failure) = outcome.failure {
                            summary.failed.push(FailedSeed {
                                seed,
                                options: self.options.clone(),
                                failure,
                                events: outcome.events,
                                shrunk: None,
                            });
                            next.store(self.seeds.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut summary = summary.into_inner().expect("no thread panics while it holds the sums");
        for failed in &mut summary.failed {
            if self.shrink_runs_max > 0 {
                failed.shrunk = shrink(failed.seed, &self.options, self.service, &failed.failure, self.shrink_runs_max);
            }
        }
        summary.seconds = begun.elapsed().as_secs_f64();
        summary
    }

    fn run_seed(&self, at: usize, seed: u64) -> (Report, bool) {
        let mut report = run_contained(seed, &self.options, self.service);
        let repeated = self.repeat_every > 0 && at.is_multiple_of(self.repeat_every) && report.failure.is_none();
        if repeated {
            let again = run_contained(seed, &self.options, self.service);
            if again.chain != report.chain {
                let text = format!("two runs differ: {} and {}", hex::encode(report.chain), hex::encode(again.chain));
                report.failure = Some(Failure::Crash(text));
            }
        }
        (report, repeated)
    }
}

/// Runs one seed; a panic becomes a failure.
pub fn run_contained(seed: u64, options: &Options, service: Service) -> Report {
    let case = Case::draw(seed, options);
    contain(|| run(&case, service)).unwrap_or_else(Report::of_failure)
}

/// Runs something in which a panic may occur.
///
/// # Errors
/// `Failure::Crash` with the panic's text.
pub fn contain<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
            .unwrap_or_else(|| "a panic without text".to_string());
        Failure::Crash(text)
    })
}

impl Summary {
    fn add(&mut self, report: &Report, repeated: bool) {
        self.runs += 1;
        self.repeated += usize::from(repeated);
        self.counts.add(report.counts);
        self.messages += report.messages;
        for (fault, times) in &report.fired {
            let sum = self.fired.entry(*fault).or_default();
            sum.0 += 1;
            sum.1 += times;
        }
        self.tally.add(&report.tally);
        for (reason, times) in &report.reasons {
            *self.reasons.entry(reason.clone()).or_default() += times;
        }
    }

    /// Tells what the campaign failed to put to the test. Too few runs are not judged.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        if self.runs < RUNS_TO_JUDGE_MIN {
            return Vec::new();
        }
        let mut weaknesses: Vec<Weakness> = self
            .fired
            .iter()
            .filter(|(_, (_, times))| *times == 0)
            .map(|(fault, _)| Weakness::NeverFired(*fault))
            .collect();
        weaknesses.extend(self.tally.missing().map(Weakness::NeverHappened));
        if self.counts.done * 2 < self.counts.total() {
            weaknesses.push(Weakness::LittleDone(self.counts));
        }
        weaknesses
    }

    /// Messages executed per second of real time.
    pub fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}
