//! Makes a failing run smaller: fewer faults, fewer operations.

use crate::campaign::run_contained;
use crate::case::Options;
use crate::faults::{FaultName, Switch};
use crate::network::Service;
use crate::run::Failure;

#[cfg(test)]
mod tests;

/// Looks for smaller options under which `seed` fails alike, with at most `runs_max` runs. None if there are none.
pub fn shrink(
    seed: u64,
    options: &Options,
    service: Service,
    failure: &Failure,
    runs_max: usize,
) -> Option<(Options, Failure)> {
    shrink_with(options, runs_max, |candidate| {
        run_contained(seed, candidate, service).failure.filter(|found| found.is_like(failure))
    })
}

/// Drops faults one by one and halves the operations, as long as `fails` finds the same failure.
fn shrink_with(
    options: &Options,
    runs_max: usize,
    mut fails: impl FnMut(&Options) -> Option<Failure>,
) -> Option<(Options, Failure)> {
    let mut best: Option<(Options, Failure)> = None;
    let mut runs_left = runs_max;
    let mut attempt = |candidate: Options, best: &mut Option<(Options, Failure)>| {
        if runs_left == 0 {
            return false;
        }
        runs_left -= 1;
        let failure = fails(&candidate);
        let smaller = failure.is_some();
        if let Some(failure) = failure {
            *best = Some((candidate, failure));
        }
        smaller
    };
    let current = |best: &Option<(Options, Failure)>| best.as_ref().map_or(options, |(options, _)| options).clone();
    halve(&mut best, &current, &mut attempt);
    for fault in FaultName::ALL {
        let mut candidate = current(&best);
        if candidate.faults.switch(*fault) != Switch::Off {
            candidate.faults.set(*fault, Switch::Off);
            attempt(candidate, &mut best);
        }
    }
    halve(&mut best, &current, &mut attempt);
    best
}

type Best = Option<(Options, Failure)>;

fn halve(best: &mut Best, current: &impl Fn(&Best) -> Options, attempt: &mut impl FnMut(Options, &mut Best) -> bool) {
    loop {
        let mut candidate = current(best);
        candidate.operations /= 2;
        if candidate.operations == 0 || !attempt(candidate, best) {
            return;
        }
    }
}
