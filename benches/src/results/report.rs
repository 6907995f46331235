//! The report: tables in Markdown, from the figures of a full run.

use std::fmt::Write;

use super::{Figures, Measure, Structure, chart, checks, count, save_text, size};
use crate::store::names;

const INTRODUCTION: &str = "\
# What the store costs

Instructions of one operation, exact, by `performance_counter` in a canister that holds the store alone; 32-byte keys. Written by `cargo run --release -p canopy-benches -- store --full --update`, from `store-full.json`. The same benchmark runs on a PocketIC server that `POCKET_IC_BIN` or `CANOPY_POCKET_IC_URL` names. Every put and delete carries an operation, whose receipt is kept, and overwrites displace a receipt that is alive. *Batch*: 2,000 operations in a message (large values: 16 MiB), which share dirty pages. *Alone*: each in a message of its own; what the message costs beside is under *Whole messages*. The canister that is measured is built as router and shard are. *Whole messages* are those of the real shard.

![Instructions by number of records](store.svg)
";

const LOSSES: &str = "\
A StableBTreeMap gives what this store doesn't: iteration in the order of keys (walks here are in the order of hashes), and prefix scans. It keeps no receipts, versions, expiry times or preconditions, whose bytes and instructions are part of the figures of the store. Its walk reads a node's entries together, where the store reads each record at its place.
";

/// Operations of the main tables.
const OPERATIONS: [&str; 10] = [
    names::GET,
    names::GET_MISSING,
    names::GET_ZIPFIAN,
    names::PUT_FRESH,
    names::PUT_SAME,
    names::PUT_ZIPFIAN,
    names::PUT_OTHER,
    names::DELETE,
    names::IMPORT,
    names::WALK,
];
const ONCE: [&str; 3] = [names::SWEEP, names::FREE, names::OPEN];
const VALUE_SIZES: [u64; 4] = [100, 1 << 10, 64 << 10, 1 << 20];

struct Report<'a> {
    figures: &'a Figures,
    text: String,
}

/// Writes `results/store.md` and its chart.
///
/// # Errors
///
/// When a file can't be written.
pub fn write(figures: &Figures) -> anyhow::Result<()> {
    let mut report = Report { figures, text: INTRODUCTION.to_string() };
    for value_bytes in VALUE_SIZES {
        report.store_table(value_bytes);
    }
    report.maps();
    report.pages();
    report.bytes();
    report.messages();
    report.relations();
    save_text("store.md", &report.text)?;
    save_text("store.svg", &chart::draw(figures))
}

/// Writes a number with its thousands apart.
pub fn spaced(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes thousandths as a decimal fraction.
pub fn decimal(thousandths: u64) -> String {
    format!("{}.{:02}", thousandths / 1_000, thousandths % 1_000 / 10)
}

impl Report<'_> {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    fn heading(&mut self, heading: &str, columns: &[String]) {
        if !heading.is_empty() {
            self.line(&format!("\n## {heading}\n"));
        }
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|---|{}", "---:|".repeat(columns.len() - 1)));
    }

    fn row(&mut self, name: &str, cells: &[String]) {
        self.line(&format!("| {name} | {} |", cells.join(" | ")));
    }

    fn value(&self, structure: Structure, size: u64, records: u64, name: &str, measure: Measure) -> Option<u64> {
        self.figures.find(structure, size, records, name, measure).map(|figure| figure.measured)
    }

    /// Two figures in one cell; what there is of them.
    fn pair(&self, structure: Structure, size: u64, records: u64, name: &str) -> String {
        let cost = |measure| self.value(structure, size, records, name, measure).map(spaced);
        match (cost(Measure::Batch), cost(Measure::Single)) {
            (Some(batch), Some(single)) => format!("{batch} / {single}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => String::new(),
        }
    }

    fn store_table(&mut self, value_bytes: u64) {
        let sizes = self.figures.record_counts(Structure::Store, value_bytes, names::GET_MISSING, Measure::Batch);
        let mut columns = vec!["batch / alone".to_string(), "budget".to_string()];
        columns.extend(sizes.iter().map(|records| format!("{} records", count(*records))));
        self.heading(&format!("Values of {}", size(value_bytes)), &columns);
        for name in OPERATIONS.iter().chain(&ONCE) {
            let budget = |measure| {
                let figure = self.figures.find(Structure::Store, value_bytes, *sizes.first()?, name, measure);
                figure.and_then(|figure| figure.budget).map(spaced)
            };
            let budget = [budget(Measure::Batch), budget(Measure::Single)].into_iter().flatten().collect::<Vec<_>>();
            let mut cells = vec![budget.join(" / ")];
            cells.extend(sizes.iter().map(|&records| self.pair(Structure::Store, value_bytes, records, name)));
            self.row(name, &cells);
        }
    }

    fn maps(&mut self) {
        let columns = ["in a batch", "store", "StableBTreeMap", "times"].map(str::to_string);
        let mut losses = vec![];
        self.line("\n## Beside StableBTreeMap\n");
        for value_bytes in [100, 1 << 10] {
            let sizes = self.figures.record_counts(Structure::StableBTreeMap, value_bytes, names::GET, Measure::Batch);
            for records in sizes {
                self.line(&format!("\n{} records of {}:\n", count(records), size(value_bytes)));
                self.heading("", &columns);
                for name in OPERATIONS {
                    let cost = |structure| self.value(structure, value_bytes, records, name, Measure::Batch);
                    let (Some(store), Some(map)) = (cost(Structure::Store), cost(Structure::StableBTreeMap)) else {
                        continue;
                    };
                    let times = format!("{:.1}", map as f64 / store as f64);
                    if map < store {
                        losses.push(format!("{name}, {} x {} ({times} times)", count(records), size(value_bytes)));
                    }
                    self.row(name, &[spaced(store), spaced(map), times]);
                }
                let bytes = |structure| {
                    let found = self.value(structure, value_bytes, records, names::FILLED, Measure::BytesPerByte);
                    found.map_or(String::new(), decimal)
                };
                let cells = [bytes(Structure::Store), bytes(Structure::StableBTreeMap), String::new()];
                self.row("stable bytes per byte", &cells);
            }
        }
        let losses = if losses.is_empty() {
            "In instructions the store loses nowhere.".to_string()
        } else {
            format!("The store needs more instructions for: {}.", losses.join(", "))
        };
        self.line(&format!("\nWhere the store loses: {losses} {LOSSES}"));
    }

    fn pages(&mut self) {
        let columns = ["stable pages of 4 KiB dirtied by one operation", "mean", "median", "most"].map(str::to_string);
        self.heading("Pages", &columns);
        for value_bytes in [100, 1 << 10] {
            for name in OPERATIONS {
                for records in self.figures.record_counts(Structure::Store, value_bytes, name, Measure::PagesMean) {
                    let pages =
                        |measure| self.value(Structure::Store, value_bytes, records, name, measure).unwrap_or(0);
                    let cells = [
                        decimal(pages(Measure::PagesMean)),
                        pages(Measure::PagesMedian).to_string(),
                        pages(Measure::PagesMost).to_string(),
                    ];
                    self.row(&format!("{name}, {} x {}", count(records), size(value_bytes)), &cells);
                }
            }
        }
        self.line("\nThe median of a put is at most 4. A put of another size writes the new record, the index, the receipt and the header; a record of 1 KiB crosses the edge of a page in a quarter of the cases, and a leaf that is split adds pages, so the mean lies a little above.");
    }

    fn bytes(&mut self) {
        let columns = ["stable bytes per byte of keys and values", "budget", "measured"].map(str::to_string);
        self.heading("Space", &columns);
        let rows: Vec<_> = self
            .figures
            .all()
            .filter(|figure| figure.key.measure == Measure::BytesPerByte && figure.key.structure == Structure::Store)
            .map(|figure| {
                let key = &figure.key;
                let mean = if key.operation == names::TURNED_OVER { " on average" } else { "" };
                let name = format!("{}, {} x {}{mean}", key.operation, count(key.records), size(key.value_bytes));
                (name, [figure.budget.map_or(String::new(), decimal), decimal(figure.measured)])
            })
            .collect();
        for (name, cells) in rows {
            self.row(&name, &cells);
        }
    }

    fn messages(&mut self) {
        let columns = ["instructions charged", "budget", "measured"].map(str::to_string);
        self.heading("Whole messages", &columns);
        let figures = self.figures;
        for figure in figures.all().filter(|figure| figure.key.structure == Structure::Shard) {
            let key = &figure.key;
            let name = format!("{}, {} x {}", key.operation, count(key.records), size(key.value_bytes));
            self.row(&name, &[figure.budget.map_or(String::new(), spaced), spaced(figure.measured)]);
        }
        self.line("\nWhat the shard's balance pays beyond the base fee, dirty pages of its heap included (1,000 each); budgets are those of the instructions alone and 1,000 for each page allowed: 12 of a single write, 8 of a get, one per item of a batch. `tests/costs.rs` tells the two apart; `costs.md` tells what operations cost from end to end.");
    }

    fn relations(&mut self) {
        self.heading("Relations", &["", "bound", "measured"].map(str::to_string));
        for check in checks::all(self.figures) {
            let bound = match check.bound {
                checks::Bound::AtMost(bound) => format!("at most {bound} %"),
                checks::Bound::AtLeast(bound) => format!("at least {bound} %"),
            };
            self.row(&check.name, &[bound, format!("{} %", check.percent)]);
        }
        let floods = [
            (names::PUT_SPREAD, names::PUT_EQUAL),
            (names::GET_SPREAD, names::GET_EQUAL),
            (names::DELETE_SPREAD, names::DELETE_EQUAL),
        ];
        for (spread, equal) in floods {
            for records in self.figures.record_counts(Structure::Store, 100, equal, Measure::Batch) {
                let cost =
                    |name| self.value(Structure::Store, 100, records, name, Measure::Batch).map_or(0, |cost| cost);
                let (spread_cost, cost) = (spaced(cost(spread)), spaced(cost(equal)));
                self.line(&format!("\n{} keys, {equal}: {cost} instructions; spread: {spread_cost}.", spaced(records)));
            }
        }
    }
}
