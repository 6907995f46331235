//! What the committed pages must say. That every fault and everything else happened is a part of the verdict.

use std::path::Path;

use crate::case::CAMPAIGN_OPERATIONS;
use crate::enumeration::{Kind, Trouble};
use crate::faults::FaultName;

/// Seeds of the campaign, and seconds within which they must have been run.
const SEEDS: &str = "0 to 1999";
const SECONDS_MAX: u64 = 3_600;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Finds the cells of the row that begins with `name`, but for that.
fn row<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let cells = |line: &'p str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let found = page.lines().map(cells).find(|cells| cells[0] == name);
    found.unwrap_or_else(|| panic!("no row of {name}"))[1..].to_vec()
}

fn number(cell: &str) -> u64 {
    cell.parse().unwrap_or_else(|error| panic!("{cell}: {error}"))
}

#[test]
fn the_whole_campaign_ran_in_time_and_found_nothing() {
    let page = page("campaign.md");
    assert_eq!(row(&page, "verdict"), ["nothing found"]);
    assert_eq!(row(&page, "seeds"), [SEEDS]);
    assert_eq!(row(&page, "operations of each"), [CAMPAIGN_OPERATIONS.to_string()]);
    assert!(number(row(&page, "seconds")[0]) <= SECONDS_MAX);
    for fault in FaultName::ALL {
        row(&page, fault.text()).into_iter().for_each(|cell| assert!(number(cell) > 0, "{}", fault.text()));
    }
}

#[test]
fn the_whole_enumeration_found_nothing() {
    let page = page("enumeration.md");
    assert_eq!(row(&page, "verdict"), ["nothing found"]);
    let sections: Vec<&str> = page.split("\n## ").collect();
    for kind in Kind::ALL {
        let section = sections.iter().find(|section| section.starts_with(kind.text())).expect("a section of the kind");
        let steps = section.lines().nth(2).and_then(|line| line.strip_suffix(" steps.")).expect("the count of steps");
        assert!(number(steps) > 0);
        // What happens after a retirement's transfer can't be cancelled.
        let comes = |trouble: &Trouble| (kind, *trouble) != (Kind::Retire, Trouble::Cancel);
        for trouble in Trouble::ALL.into_iter().filter(comes) {
            assert!(row(section, trouble.text()).len() == 5, "{} {}", kind.text(), trouble.text());
        }
    }
}
