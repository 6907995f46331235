//! Looks for a planted bug with what is to find it.

use indicatif::ProgressBar;

use super::{Checker, Planted, Workshop};
use crate::campaign::Campaign;
use crate::case::Options;
use crate::enumeration::sums::Enumeration;
use crate::enumeration::{Party, Trouble};

/// Seeds within which each bug must be found.
pub const SEEDS_MAX: u64 = 50;

/// What found a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A run of the campaign went wrong.
    Seed {
        /// How many seeds were run until then.
        seeds: u64,
        /// What went wrong.
        failure: String,
    },
    /// A run of the enumeration went wrong.
    Spot {
        /// Where the trouble came, as arguments that play it again.
        spot: String,
        /// What went wrong.
        failure: String,
    },
    /// A test of the shard failed.
    Test(String),
}

/// Builds the service with a bug in it and runs seeds from `first` on until one fails, or what else is to find it.
///
/// # Errors
/// Why it can't be built, or its transfers don't go without trouble.
pub fn search(workshop: &Workshop, planted: &Planted, first: u64) -> Result<Option<Finding>, String> {
    if planted.checker == Checker::TestsOfTransfers {
        return Ok(workshop.test_transfers(planted)?.map(Finding::Test));
    }
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let service = workshop.build(planted)?;
    if planted.checker == Checker::TrapsOfTheRouter {
        let enumeration = Enumeration {
            party: Some(Party::Router),
            trouble: Some(Trouble::Trap),
            failures_max: 1,
            ..Enumeration::new(service, threads)
        };
        let sums = enumeration.run(&ProgressBar::hidden());
        if let Some(broken) = sums.broken.into_iter().next() {
            return Err(broken);
        }
        let failed = sums.failed.into_iter().next();
        return Ok(
            failed.map(|failed| Finding::Spot { spot: failed.spot.to_string(), failure: failed.failure.to_string() })
        );
    }
    let campaign = Campaign {
        seeds: (first..first.saturating_add(SEEDS_MAX)).collect(),
        options: Options::of_campaign(),
        threads,
        repeat_every: 0,
        shrink_runs_max: 0,
        service,
    };
    let failed = campaign.run(&ProgressBar::hidden(), &|_, _| {}).failed.into_iter().next();
    Ok(failed.map(|failed| Finding::Seed { seeds: failed.seed - first + 1, failure: failed.failure.to_string() }))
}
