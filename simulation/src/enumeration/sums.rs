//! Plays the whole enumeration, or a part of it, on threads, and sums up what came of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use canopy_types::transfer::TransferStage;
use indicatif::ProgressBar;

use super::lost::{self, Abandoned};
use super::plan::{Inapplicable, Plan};
use super::scene::{End, Played, play, rehearse};
use super::{Kind, Party, Spot, Trouble};
use crate::campaign::contain;
use crate::network::Service;
use crate::run::Failure;

const WRITES: &str = "writing to a text succeeds";

/// What to play, and how.
#[derive(Clone, Debug)]
pub struct Enumeration {
    pub kinds: Vec<Kind>,
    /// Only spots with this step, party and trouble.
    pub step: Option<usize>,
    pub party: Option<Party>,
    pub trouble: Option<Trouble>,
    /// Of what is left every so many-th spot, evenly over all.
    pub every: usize,
    pub threads: usize,
    /// Every so many-th of those played is played twice and the event logs are compared; 0: none.
    pub repeat_every: usize,
    /// Failures after which no more are looked for.
    pub failures_max: usize,
    pub service: Service,
}

impl Enumeration {
    /// Failures after which no more are looked for, unless it is said otherwise.
    pub const FAILURES_MAX: usize = 40;

    /// Takes everything, but for what is said otherwise.
    pub fn new(service: Service, threads: usize) -> Self {
        Self {
            kinds: Kind::ALL.to_vec(),
            step: None,
            party: None,
            trouble: None,
            every: 1,
            threads,
            repeat_every: 0,
            failures_max: Self::FAILURES_MAX,
            service,
        }
    }
}

/// How many runs ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub done: u64,
    pub cancelled: u64,
    pub never_begun: u64,
}

/// A spot that was not borne.
#[derive(Clone, Debug)]
pub struct FailedSpot {
    pub spot: Spot,
    /// The step, in words.
    pub step: String,
    pub failure: Failure,
}

/// What an enumeration came to.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    pub plans: Vec<Plan>,
    pub played: BTreeMap<(Kind, Party, Trouble), Ends>,
    /// Of those in which the trouble came between rounds: how far the router was.
    pub stages: BTreeMap<(Kind, String), Ends>,
    /// Runs by the place of their step.
    pub steps: BTreeMap<(Kind, usize), Ends>,
    pub inapplicable: BTreeMap<(Kind, Party, Trouble, Inapplicable), u64>,
    /// Targets that never came back: the kind, and whether the target had taken the range.
    pub abandoned: Vec<(Kind, bool, Abandoned)>,
    pub repeated: u64,
    pub messages: u64,
    pub seconds: f64,
    pub failed: Vec<FailedSpot>,
    /// What failed before there were spots, or apart from them.
    pub broken: Vec<String>,
}

impl Ends {
    fn add(&mut self, end: End) {
        *match end {
            End::Done => &mut self.done,
            End::Cancelled => &mut self.cancelled,
            End::NeverBegun => &mut self.never_begun,
        } += 1;
    }

    pub fn runs(&self) -> u64 {
        self.done + self.cancelled + self.never_begun
    }
}

impl Enumeration {
    /// Rehearses, plays and judges. `progress` gets the number of runs.
    pub fn run(&self, progress: &ProgressBar) -> Sums {
        let begun = Instant::now();
        let mut sums = Sums::default();
        let spots = self.spots(&mut sums);
        progress.set_length(spots.len() as u64);
        let next = AtomicUsize::new(0);
        let (plans, shared) = (std::mem::take(&mut sums.plans), Mutex::new(sums));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(spot) = spots.get(place) else { return };
                        let plan = plans.iter().find(|plan| plan.kind == spot.kind).expect("spots come from plans");
                        let outcome = self.play(place, plan, spot);
                        let mut sums = shared.lock().expect("no thread panics while it holds the sums");
                        progress.inc(1);
                        sums.add(plan, spot, outcome);
                        if sums.failed.len() >= self.failures_max {
                            next.store(spots.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut sums = shared.into_inner().expect("no thread panics while it holds the sums");
        sums.plans = plans;
        if self.step.is_none() && self.trouble.is_none_or(|trouble| trouble == Trouble::Lost) {
            self.lose_targets(&mut sums);
        }
        sums.seconds = begun.elapsed().as_secs_f64();
        sums
    }

    /// Rehearses only.
    pub fn rehearse(&self) -> Sums {
        let mut sums = Sums::default();
        self.spots(&mut sums);
        sums
    }

    /// Rehearses each kind, and lists what is to be played.
    fn spots(&self, sums: &mut Sums) -> Vec<Spot> {
        let mut spots = Vec::new();
        for kind in &self.kinds {
            let rehearsed = contain(|| rehearse(&kind.case(), *kind, self.service)).and_then(|rehearsed| rehearsed);
            let plan = rehearsed.map_err(|failure| failure.to_string()).and_then(|found| Plan::new(*kind, &found));
            match plan {
                Ok(plan) => {
                    let (of_kind, inapplicable) = plan.spots();
                    spots.extend(of_kind);
                    for ((party, trouble, reason), times) in inapplicable {
                        sums.inapplicable.insert((*kind, party, trouble, reason), times);
                    }
                    sums.plans.push(plan);
                }
                Err(reason) => sums.broken.push(format!("{} without trouble: {reason}", kind.text())),
            }
        }
        let chosen = |spot: &Spot| {
            self.step.is_none_or(|step| step == spot.step)
                && self.party.is_none_or(|party| party == spot.party)
                && self.trouble.is_none_or(|trouble| trouble == spot.trouble)
        };
        spots.into_iter().filter(chosen).step_by(self.every.max(1)).collect()
    }

    fn play(&self, place: usize, plan: &Plan, spot: &Spot) -> (Result<Played, Failure>, bool) {
        let once = || contain(|| play(plan, spot, self.service)).and_then(|played| played);
        let played = once();
        let repeats = self.repeat_every > 0 && place.is_multiple_of(self.repeat_every) && played.is_ok();
        if !repeats {
            return (played, false);
        }
        let (first, again) = (played, once());
        let chain = |played: &Result<Played, Failure>| played.as_ref().ok().map(|played| played.chain);
        if chain(&first) == chain(&again) {
            (first, true)
        } else {
            (Err(Failure::Crash("two runs differ".to_string())), true)
        }
    }

    fn lose_targets(&self, sums: &mut Sums) {
        for kind in self.kinds.iter().copied().filter(|kind| !kind.empties()) {
            for after in [false, true] {
                match contain(|| lost::target(kind, after, self.service)).and_then(|lost| lost) {
                    Ok(abandoned) => sums.abandoned.push((kind, after, abandoned)),
                    Err(failure) => {
                        let when = if after { "after" } else { "before" };
                        sums.broken.push(format!("{}, target lost {when} the hand-over: {failure}", kind.text()));
                    }
                }
            }
        }
    }
}

impl Sums {
    fn add(&mut self, plan: &Plan, spot: &Spot, (outcome, repeated): (Result<Played, Failure>, bool)) {
        self.repeated += u64::from(repeated);
        match outcome {
            Ok(Played { end, stage, messages, .. }) => {
                self.messages += messages;
                self.played.entry((spot.kind, spot.party, spot.trouble)).or_default().add(end);
                self.steps.entry((spot.kind, spot.step)).or_default().add(end);
                if let Some(stage) = stage {
                    self.stages.entry((spot.kind, name_of(stage))).or_default().add(end);
                }
            }
            Err(failure) => {
                self.failed.push(FailedSpot { spot: *spot, step: plan.steps[spot.step].describe(), failure })
            }
        }
    }

    pub fn is_right(&self) -> bool {
        self.failed.is_empty() && self.broken.is_empty()
    }

    pub fn runs(&self) -> u64 {
        self.played.values().map(Ends::runs).sum()
    }

    /// Writes the page that is committed.
    pub fn markdown(&self, commit: &str) -> String {
        let mut page = String::from(
            "# Enumeration\n\nWritten by `canopy-simulation enumerate --output simulation/results/enumeration.md`. \
             Each kind of transfer was played without trouble, and then anew for every step, party and trouble.\n\n\
             | | |\n|---|---|\n",
        );
        let verdict = match (self.failed.len() + self.broken.len(), self.failed.first()) {
            (0, _) => "nothing found".to_string(),
            (count, Some(failed)) => format!("{count} failed, first {}: {}", failed.spot, failed.failure),
            (count, None) => format!("{count} failed, first {}", self.broken[0]),
        };
        let inapplicable: u64 = self.inapplicable.values().sum();
        let rows = [
            ("commit", commit.to_string()),
            ("verdict", verdict),
            ("runs", self.runs().to_string()),
            ("of them played twice, with equal event logs", self.repeated.to_string()),
            ("not applicable", inapplicable.to_string()),
            ("messages", self.messages.to_string()),
            ("seconds", format!("{:.0}", self.seconds)),
        ];
        for (name, value) in rows {
            writeln!(page, "| {name} | {value} |").expect(WRITES);
        }
        for plan in &self.plans {
            self.write_kind(&mut page, plan);
        }
        page += "\n## Targets lost for ever\n\nWhile the range was closed; then `abandon_transfer` of the source.\n\n";
        page += "| kind | the target had taken the range | writes lost | records estimated | records |\n";
        page += "|---|---|---:|---:|---:|\n";
        for (kind, after, Abandoned { writes_lost, records_estimated, records }) in &self.abandoned {
            let after = if *after { "yes" } else { "no" };
            writeln!(page, "| {} | {after} | {writes_lost} | {records_estimated} | {records} |", kind.text())
                .expect(WRITES);
        }
        page += "\n## Not applicable\n\n| kind | party | trouble | reason | times |\n|---|---|---|---|---:|\n";
        for ((kind, party, trouble, reason), times) in &self.inapplicable {
            let (kind, party, trouble) = (kind.text(), party.text(), trouble.text());
            writeln!(page, "| {kind} | {party} | {trouble} | {reason} | {times} |").expect(WRITES);
        }
        page
    }

    fn write_kind(&self, page: &mut String, plan: &Plan) {
        let kind = plan.kind;
        writeln!(page, "\n## {}\n\n{} steps.\n", kind.text(), plan.steps.len()).expect(WRITES);
        *page += "| trouble | party | runs | done | cancelled | never begun |\n|---|---|---:|---:|---:|---:|\n";
        for trouble in Trouble::ALL {
            for party in Party::ALL {
                if let Some(ends) = self.played.get(&(kind, party, trouble)) {
                    writeln!(page, "| {} | {} | {} |", trouble.text(), party.text(), ends.cells()).expect(WRITES);
                }
            }
        }
        *page += "\n| the router was at | runs | done | cancelled | never begun |\n|---|---:|---:|---:|---:|\n";
        for ((_, stage), ends) in self.stages.iter().filter(|((of, _), _)| *of == kind) {
            writeln!(page, "| {stage} | {} |", ends.cells()).expect(WRITES);
        }
        *page += "\n| step | at | what | runs | done | cancelled | never begun |\n|---:|---|---|---:|---:|---:|---:|\n";
        for (number, step) in plan.steps.iter().enumerate() {
            let ends = self.steps.get(&(kind, number)).copied().unwrap_or_default();
            let at = step.at.map_or("platform", Party::text);
            writeln!(page, "| {number} | {at} | {} | {} |", step.what, ends.cells()).expect(WRITES);
        }
    }
}

impl Ends {
    fn cells(&self) -> String {
        format!("{} | {} | {} | {}", self.runs(), self.done, self.cancelled, self.never_begun)
    }
}

/// Names a stage of the router.
fn name_of(stage: TransferStage) -> String {
    match stage {
        TransferStage::Ended(end) => format!("Ended, {end:?}"),
        stage => format!("{stage:?}"),
    }
}
