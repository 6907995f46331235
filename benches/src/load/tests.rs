use std::collections::{BTreeMap, BTreeSet};

use super::cells::{self, State};
use super::{Plan, run};
use crate::results::{Figures, compare};

#[test]
fn the_small_run_costs_what_was_committed() {
    if !crate::network::is_simulated() {
        println!("not applicable on a real server: it doesn't tell what is counted here");
        return;
    }
    let plan = Plan::small();
    let comparison = compare(&Figures::load(plan.name).unwrap(), &run(&plan, |_| true, |_| Ok(())).unwrap());
    println!("{comparison}");
    assert_eq!(comparison.faults(), Vec::<String>::new());
}

#[test]
fn cells_have_names_of_their_own_and_states_are_filled_once() {
    for cells in [cells::all(), cells::small()] {
        assert!(cells.len() <= 60, "{}", cells.len());
        let names: BTreeSet<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(names.len(), cells.len());
        let mut filled: BTreeMap<State, usize> = BTreeMap::new();
        for (at, cell) in cells.iter().enumerate() {
            if let Some(before) = filled.insert(cell.state, at) {
                assert_eq!(before + 1, at, "{}: its state was given back before", cell.name);
            }
            let mix = cell.mix;
            assert_eq!(mix.gets + mix.puts + mix.inserts + mix.modifies + mix.scans, 1_000, "{}", cell.name);
        }
    }
}
