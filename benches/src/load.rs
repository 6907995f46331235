//! Workloads of YCSB on whole services: what an operation takes, how long it waits, how many are done in a round and what
//! keeps more from being done; beside the plainest store that people write.
//!
//! [`cells`] says what is measured, [`world`] makes the network, [`measure`] puts load on it by canisters on other subnets
//! (`benches/driver/`) or by users ([`outside`]), [`watch`] looks at what only the simulator tells, [`phases`] takes
//! operations apart, [`large`] puts and reads values of many chunks, [`report`] and [`charts`] show it all. Time stands still while something is measured: a round comes a
//! nanosecond after the one before, so clocks count rounds.

mod cells;
mod charts;
pub mod checks;
mod compared;
mod large;
mod measure;
mod outside;
mod phases;
mod report;
mod scaling;
mod tuning;
mod watch;
mod world;

use std::time::Instant;

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};

use crate::results::{Figures, Structure};
use cells::{Cell, State};
use measure::Size;
use world::{Modules, Places, World};

pub use report::write as write_report;

#[cfg(test)]
mod tests;

/// Which cells, of how many operations.
pub struct Plan {
    /// Name of the committed figures.
    pub name: &'static str,
    cells: Vec<Cell>,
    size: Size,
    phases: bool,
    large: large::Sizes,
}

impl Plan {
    /// For the report.
    pub fn full() -> Self {
        let places = Places { subnets: 4, each: 4 };
        Self {
            name: "load",
            cells: cells::all(),
            size: Size { operations: 10_000, places },
            phases: true,
            large: large::FULL,
        }
    }

    /// For CI: seconds.
    pub fn small() -> Self {
        let places = Places { subnets: 1, each: 4 };
        Self {
            name: "load-small",
            cells: cells::small(),
            size: Size { operations: 2_000, places },
            phases: false,
            large: large::SMALL,
        }
    }
}

/// What [`run`] calls the phases of single operations.
const PHASES_NAME: &str = "phases";

/// Tells whether there are figures of a part of the benchmark, by the name that [`run`] gives it.
pub fn has(figures: &Figures, name: &str) -> bool {
    let mut keys = figures.all().map(|figure| &figure.key);
    match name {
        PHASES_NAME => keys.any(|key| key.structure == Structure::Phases),
        large::NAME => keys.any(|key| key.structure == Structure::Large),
        cell => keys.any(|key| key.operation == cell),
    }
}

/// Measures everything that `is_wanted` by its name: phases, large values, and each cell. What there is so far is told
/// after each.
///
/// # Errors
///
/// What `tell` says.
pub fn run(
    plan: &Plan,
    is_wanted: impl Fn(&str) -> bool,
    mut tell: impl FnMut(&Figures) -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    let began = Instant::now();
    let say = |what: &str| eprintln!("[{:>5} s] {what}", began.elapsed().as_secs());
    let (driver, naive) =
        (canopy_artifacts::build("canopy-bench-driver"), canopy_artifacts::build("canopy-bench-naive"));
    let modules = Modules { router: ROUTER_WASM, shard: SHARD_WASM, driver: &driver, naive: &naive };
    let mut figures = Figures::default();
    if plan.phases && is_wanted(PHASES_NAME) {
        say(PHASES_NAME);
        phases::measure(&mut figures, &modules);
        tell(&figures)?;
    }
    if is_wanted(large::NAME) {
        say(large::NAME);
        large::measure(&mut figures, &modules, &plan.large);
        tell(&figures)?;
    }
    let cells: Vec<&Cell> = plan.cells.iter().filter(|cell| is_wanted(&cell.name)).collect();
    let mut filled: Option<(State, World)> = None;
    for (at, cell) in cells.iter().enumerate() {
        let world = match &mut filled {
            Some((state, world)) if *state == cell.state => world,
            _ => {
                // The one before is given back first: a machine may not have room for both.
                filled = None;
                say(&format!("filling in {:?}", cell.state));
                let world = measure::fill(&cell.state, &modules, plan.size.places);
                &mut filled.insert((cell.state, world)).1
            }
        };
        say(&format!("cell {} of {}: {}", at + 1, cells.len(), cell.name));
        measure::measure(&mut figures, world, cell, plan.size);
        tell(&figures)?;
    }
    say("done");
    Ok(figures)
}
