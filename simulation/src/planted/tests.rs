use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_path_buf()
}

#[test]
fn every_edit_fits_the_sources() {
    for planted in ALL {
        for edit in planted.edits {
            let text = fs::read_to_string(root().join(edit.file)).expect("the file exists");
            if let Err(reason) = apply(edit, &text) {
                panic!("{}: {reason}", planted.name);
            }
        }
    }
}

#[test]
fn the_summary_tells_of_every_bug_that_it_was_found() {
    let summary = fs::read_to_string(root().join("simulation/planted.txt")).expect("the file exists");
    let lines: Vec<&str> = summary.lines().skip(1).collect();
    assert_eq!(lines.len(), ALL.len());
    for (planted, line) in ALL.iter().zip(lines) {
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        assert_eq!(words, [planted.name, &format!("{:?}", planted.checker), "found"], "{line}");
    }
}

#[test]
fn each_checker_has_a_bug() {
    let checkers = [
        Checker::ExactlyOnce,
        Checker::Linearizability,
        Checker::Answers,
        Checker::Rights,
        Checker::Rates,
        Checker::Cover,
        Checker::Canisters,
        Checker::Cycles,
        Checker::Recovery,
        Checker::TestsOfTransfers,
        Checker::TrapsOfTheRouter,
        Checker::Uploads,
    ];
    for checker in checkers {
        assert!(ALL.iter().any(|planted| planted.checker == checker), "{checker:?}");
    }
}

#[test]
fn an_edit_that_fits_nowhere_or_twice_is_refused() {
    let edit = Edit { file: "x", find: "a", replace: "b" };
    assert!(apply(&edit, "c").is_err());
    assert!(apply(&edit, "a a").is_err());
    assert_eq!(apply(&edit, "a c"), Ok("b c".to_string()));
}
