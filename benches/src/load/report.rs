//! The report, in Markdown.

use std::fmt::Write;

use super::cells::{self, BASE, Callers, Cell, Group, Service, Way, names};
use super::charts::{self, Bar, Line};
use super::measure::CALL_CYCLES;
use super::phases::{self, KINDS, NAIVE, REST, VALUE_BYTES};
use super::watch;
use super::{checks, compared, large, scaling, tuning};
use crate::results::report::spaced;
use crate::results::{Figures, Measure, Structure, save_text};
use canopy_types::marks::Phase;

/// Cycles that the platform takes for the execution of a message, whatever it does.
const EXECUTION_CYCLES: u64 = 5_000_000;

const INTRODUCTION: &str = "\
# Under load

Workloads of YCSB on whole services, exact and the same on every machine, measured on the embedded simulator through the `pocket-ic` crate. Written by `cargo run --release -p canopy-benches -- load --full --update`, from `load.json`; with `POCKET_IC_BIN` or `CANOPY_POCKET_IC_URL` the same runs on a real server, without instructions, pages and bounds, which no server tells.

**How.** The base is 100,000 records of 1,000 bytes under 32-byte keys on 4 shards; canisters call, through the router, one operation per message, and every write carries an operation (so its receipt is kept). Each other line changes one thing. Callers are 16 canisters on 4 subnets of their own, so that they don't use up what is measured; the service has a subnet of 13 nodes to itself. *A* is half reads, half writes over records; *B* 95 % reads; *C* reads only; *D* 95 % reads, of the newest records most, and 5 % new records; *E* 95 % scans of up to 100 records, in the order of hashes and not of keys, from a random place on, and 5 % new records; *F* half reads, half read-modify-write with the version as precondition. Keys are drawn zipfian (0.99, scrambled) unless a line says otherwise. A put writes the whole value.

**Figures.** First a cell is driven as hard as it goes: *operations per round*, and what keeps it from doing more. Then at half of that: instructions, cycles, executions, dirty pages and latency, all **per operation**. Latency is in rounds from when an operation was due to its answer; a call between subnets takes 1 at least. *Cycles* are those of the service; a canister that calls pays for its call and the bytes of both messages (*caller*), while messages of users are paid by the service. *Bound by*: `instructions` that a thread takes in a round (2 G); `messages`, each of which counts 2 M instructions before it does anything; `heap delta`, 75 MiB that a canister may write per round; `calls open`, of which a router has at most 400 to each shard and 128 batches of reads; `ingress`, 1,000 messages or 4 MiB in a block. Time stands still but for a nanosecond per round: receipts don't end meanwhile (what that costs later is in `store.md`) and storage isn't charged.
";

const PHASES: &str = "\
From a build of both canisters with marks (feature `marks`, in no shipped module), less what the marks take. *Receive* copies argument and caller; *rights* looks up the caller and counts; *name* hashes what the receipt is found by; *encode and send* writes replies and calls, at the platform's 50 instructions for each byte; the last column is what is charged beyond: 1,000 for each page of the heap that a message dirties, and what runs outside the marks.
";

const LARGE: &str = "\
A value of 64 MiB in chunks of 1 MiB, put and read by a user, so that a block holds three of them; beginning, commit and manifest included. Downloads are update calls; a query costs nothing, and one node answers it.
";

struct Report<'a> {
    figures: &'a Figures,
    text: String,
}

/// Writes `results/load.md` and its charts.
///
/// # Errors
///
/// When a file can't be written.
pub fn write(figures: &Figures) -> anyhow::Result<()> {
    let mut report = Report { figures, text: INTRODUCTION.to_string() };
    report.checks();
    report.operations()?;
    report.phases()?;
    let groups = [
        (Group::Workloads, "Workloads"),
        (Group::Ways, "Ways and callers"),
        (Group::Batches, "Batches"),
        (Group::ValueSizes, "Sizes of values"),
        (Group::Records, "Numbers of records"),
        (Group::Shards, "Shards, routed"),
        (Group::DirectBatches, "Shards, direct, in batches of 100"),
        (Group::Prices, "What receipts, rights and decoding cost"),
        (Group::Beside, "A StableBTreeMap and nothing else, and a thin proxy in front of it"),
    ];
    let cells = cells::all();
    for (group, heading) in groups {
        report.group(&cells, group, heading);
        match group {
            Group::Prices => report.prices(),
            Group::DirectBatches => {
                report.text += &scaling::table(figures);
                report.chart_of_shards()?;
            }
            Group::Records => report.chart_of_records()?,
            Group::ValueSizes => report.large_values(),
            _ => {}
        }
    }
    report.text += &compared::beside(figures);
    report.text += &tuning::before_and_after(figures)?;
    save_text("load.md", &report.text)
}

impl Report<'_> {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    fn heading(&mut self, heading: &str) {
        self.line(&format!("\n## {heading}\n"));
    }

    fn columns(&mut self, columns: &str) {
        self.line(&format!("| {columns} |\n|---|{}", "---:|".repeat(columns.matches('|').count())));
    }

    fn phase(&self, batch: u32, operation: &str, measure: Measure) -> u64 {
        let found = self.figures.find(Structure::Phases, VALUE_BYTES, u64::from(batch), operation, measure);
        found.map_or(0, |figure| figure.measured)
    }

    fn checks(&mut self) {
        self.heading("What must hold");
        self.columns("relation | percent | bound | ");
        for check in checks::all(self.figures) {
            let holds = if check.holds() { "holds" } else { "**broken**" };
            let bound = match check.bound {
                crate::results::checks::Bound::AtMost(bound) => format!("at most {bound}"),
                crate::results::checks::Bound::AtLeast(bound) => format!("at least {bound}"),
            };
            self.line(&format!("| {} | {} | {bound} | {holds} |", check.name, check.percent));
        }
    }

    fn operations(&mut self) -> anyhow::Result<()> {
        self.heading("What one operation costs");
        self.line("Values of 1,000 bytes, canister callers on a quiet network, per operation. Fees are what the platform takes for executions (5 M each) and calls (260 k), and for bytes between router and shards (1,000 each); the caller pays for its own call and the bytes of both its messages, whatever the service does.\n");
        self.columns("cycles per operation | fees for messages | fees for bytes | instructions, router | instructions, shards | service together | caller's call and bytes");
        let mut bars = vec![];
        let kinds = KINDS.iter().flat_map(|kind| {
            let beside = NAIVE.iter().filter(|(_, beside)| *beside == kind.name).map(|(naive, _)| *naive);
            [*kind].into_iter().chain(beside).collect::<Vec<_>>()
        });
        for kind in kinds {
            let of = |measure| self.phase(kind.batch, kind.name, measure);
            let (router, shards) = (of(Measure::RouterInstructions), of(Measure::ShardInstructions));
            let (cycles, executions) = (of(Measure::Cycles), of(Measure::Executions));
            let direct = if kind.way == Way::Direct { executions } else { 1_000 / u64::from(kind.batch) };
            // Each call is executed, and so is its answer.
            let calls = (executions.saturating_sub(direct)) / 2;
            let messages = (executions * EXECUTION_CYCLES + calls * CALL_CYCLES) / 1_000;
            let bytes = cycles.saturating_sub(router + shards + messages);
            let caller = of(Measure::CallerCycles);
            let cells = [messages, bytes, router, shards, cycles, caller].map(spaced);
            self.line(&format!("| {} | {} |", kind.name, cells.join(" | ")));
            let parts = [messages, bytes, router, shards, caller].map(|part| part as f64).to_vec();
            bars.push(Bar { name: kind.name.to_string(), parts });
        }
        let parts = [
            "fees for messages",
            "fees for bytes",
            "instructions, router",
            "instructions, shards",
            "caller's call and bytes",
        ];
        let chart = charts::bars("Cycles of an operation on 1,000 bytes", "cycles", &parts, &bars);
        self.line("\n![Cycles of an operation](load-cycles.svg)");
        save_text("load-cycles.svg", &chart)
    }

    fn phases(&mut self) -> anyhow::Result<()> {
        self.heading("Instructions by phase");
        self.line(PHASES);
        let takes = |phase: &&str| {
            let of = |kind: &phases::Kind, measure| self.phase(kind.batch, &phases::named(kind.name, phase), measure);
            KINDS.iter().any(|kind| of(kind, Measure::RouterInstructions) + of(kind, Measure::ShardInstructions) > 0)
        };
        let phases: Vec<&str> = Phase::ALL.into_iter().map(phases::words).chain([REST]).filter(takes).collect();
        for (measure, canister, is_there) in [
            (Measure::RouterInstructions, "router", (|way| way == Way::Routed) as fn(Way) -> bool),
            (Measure::ShardInstructions, "shards", |_| true),
        ] {
            self.columns(&format!("{canister}, per operation | {} | together", phases.join(" | ")));
            let mut bars = vec![];
            for kind in KINDS.iter().filter(|kind| is_there(kind.way)) {
                let parts: Vec<u64> = phases
                    .iter()
                    .map(|phase| self.phase(kind.batch, &phases::named(kind.name, phase), measure))
                    .collect();
                let sum = parts.iter().sum::<u64>();
                let cells: Vec<String> = parts.iter().copied().chain([sum]).map(spaced).collect();
                self.line(&format!("| {} | {} |", kind.name, cells.join(" | ")));
                let parts = parts.iter().map(|part| *part as f64).collect();
                bars.push(Bar { name: kind.name.to_string(), parts });
            }
            let title = format!("Instructions of an operation on 1,000 bytes, {canister}");
            let file = format!("load-phases-{canister}.svg");
            save_text(&file, &charts::bars(&title, "instructions", &phases, &bars))?;
            self.line(&format!("\n![{title}]({file})\n"));
        }
        Ok(())
    }

    fn cell(&self, cell: &Cell, measure: Measure) -> Option<u64> {
        let state = &cell.state;
        let found = self.figures.find(Structure::Load, state.value_bytes, state.records, &cell.name, measure);
        found.map(|figure| figure.measured)
    }

    fn group(&mut self, cells: &[Cell], group: Group, heading: &str) {
        self.heading(heading);
        self.columns("per operation | router, instructions | shards, instructions | cycles | caller | executions | pages, router | shards | rounds: median | 99 % | 99.9 % | operations per round | bound by | turned away");
        // The base is shown beside what it is compared with.
        let is_base =
            |cell: &Cell| cell.state == BASE && cell.group == Group::Workloads && cell.name == names::workload("A");
        let is_shown = |cell: &&Cell| {
            let beside = !matches!(group, Group::Workloads | Group::DirectBatches | Group::Beside);
            cell.group == group || beside && is_base(cell)
        };
        for cell in cells.iter().filter(is_shown) {
            let Some(cycles) = self.cell(cell, Measure::Cycles) else { continue };
            let of = |measure| self.cell(cell, measure).unwrap_or(0);
            let bound = watch::Bound::numbered(of(Measure::Bound));
            let is_direct = cell.way == Way::Direct || cell.state.service == Service::Shards;
            let of_router = |text: String| if is_direct { String::new() } else { text };
            let row = [
                of_router(spaced(of(Measure::RouterInstructions))),
                spaced(of(Measure::ShardInstructions)),
                spaced(cycles),
                if cell.callers == Callers::Users { String::new() } else { spaced(of(Measure::CallerCycles)) },
                thousandths(of(Measure::Executions)),
                of_router(thousandths(of(Measure::RouterPagesPerThousand))),
                thousandths(of(Measure::ShardPagesPerThousand)),
                of(Measure::RoundsMedian).to_string(),
                of(Measure::Rounds99).to_string(),
                of(Measure::Rounds999).to_string(),
                spaced(1_000_000_000 / of(Measure::RoundsPerBillion).max(1)),
                bound.map_or(String::new(), |bound| bound_and_use(bound, of(Measure::BoundUsed))),
                turned_away(
                    of(Measure::RefusedPerMillion),
                    [
                        (of(Measure::CallsOpenPerMillion), "calls open"),
                        (of(Measure::BeatenPerMillion), "others were ahead"),
                    ],
                ),
            ];
            self.line(&format!("| {} | {} |", cell.name, row.join(" | ")));
        }
    }

    fn large_values(&mut self) {
        self.heading("Large values");
        self.line(LARGE);
        self.columns("per MiB | cycles | of them, fees for the value's bytes | above those | rounds");
        for (what, way, window, shards) in large::all(&large::FULL) {
            let name = large::named(what, way, window, shards);
            let of = |measure| large::find(self.figures, &large::FULL, &name, measure);
            let measures =
                (of(Measure::CyclesPerMebibyte), of(Measure::FeesPerMebibyte), of(Measure::RoundsPerThousandMebibytes));
            let (Some(cycles), Some(fees), Some(rounds)) = measures else { continue };
            let above = cycles.saturating_sub(fees);
            let above = match fees {
                0 => spaced(above),
                _ => format!("{} ({}.{} %)", spaced(above), above * 100 / fees, above * 1_000 / fees % 10),
            };
            let rounds = format!("{}.{:02}", rounds / 1_000, rounds % 1_000 / 10);
            self.line(&format!("| {name} | {} | {} | {above} | {rounds} |", spaced(cycles), spaced(fees)));
        }
    }

    fn prices(&mut self) {
        let of = |cell: &str, measure| checks::find(self.figures, BASE.records, cell, measure).unwrap_or(0);
        let mut lines = vec![];
        for (way, with) in [("routed", "A, routed"), ("direct", "A, direct")] {
            for (what, without) in [
                ("operations and their receipts", format!("{with}, without operations")),
                ("the general decoder instead of the table known by hand", format!("{with}, general decoder")),
                ("the look at the caller's rights", format!("{with}, without rights")),
            ] {
                let all = |cell: &str| of(cell, Measure::RouterInstructions) + of(cell, Measure::ShardInstructions);
                if of(&without, Measure::Cycles) == 0 {
                    continue;
                }
                let (with_it, without_it) = (all(with), all(&without));
                let (dear, cheap) = (with_it.max(without_it), with_it.min(without_it));
                let share = (dear - cheap) * 100 / cheap.max(1);
                lines.push(format!(
                    "- {way}: {what} take {} instructions ({share} %) of an operation of workload A.",
                    spaced(dear - cheap)
                ));
            }
        }
        self.line("");
        lines.iter().for_each(|line| self.line(line));
        self.line("\nWithout rights, shards are installed with their only caller in the router's place, whom they don't look up; what the router spends on rights is in the table of phases.");
    }

    fn chart_of_shards(&mut self) -> anyhow::Result<()> {
        let per_round = |cell: &str| {
            let rounds = checks::find(self.figures, BASE.records, cell, Measure::RoundsPerBillion)?;
            Some(1e9 / rounds as f64)
        };
        let line = |name: &str, cell: &dyn Fn(u32) -> String| Line {
            name: name.to_string(),
            points: cells::SHARDS
                .into_iter()
                .filter_map(|shards| Some((f64::from(shards), per_round(&cell(shards))?)))
                .collect(),
        };
        let routed = |shards: u32| match shards == BASE.shards {
            true => names::workload("A"),
            false => names::shards("A", shards),
        };
        let lines = [
            line("C, direct, batches of 100", &|shards| names::direct_shards("C", shards)),
            line("A, direct, batches of 100", &|shards| names::direct_shards("A", shards)),
            line("A, routed, single", &routed),
        ];
        let marks = cells::SHARDS.map(f64::from);
        let chart = charts::lines(
            "Operations per round by shards on one subnet",
            "shards",
            "operations per round",
            &marks,
            &lines,
        );
        self.line("\n![Operations per round by shards](load-shards.svg)");
        save_text("load-shards.svg", &chart)
    }

    fn chart_of_records(&mut self) -> anyhow::Result<()> {
        let all = |way, records: u64| {
            let name = match (records == BASE.records, way) {
                (true, Way::Routed) => names::workload("A"),
                (true, Way::Direct) => "A, direct".to_string(),
                _ => names::records(way, records),
            };
            let of = |measure| checks::find(self.figures, records, &name, measure);
            Some((of(Measure::RouterInstructions)? + of(Measure::ShardInstructions)?) as f64)
        };
        let line = |name: &str, way| Line {
            name: name.to_string(),
            points: cells::RECORDS
                .into_iter()
                .filter_map(|records| Some((records as f64, all(way, records)?)))
                .collect(),
        };
        let lines = [line("A, routed", Way::Routed), line("A, direct", Way::Direct)];
        let marks = cells::RECORDS.map(|records| records as f64);
        let chart = charts::lines(
            "Instructions of an operation, router and shards, by records",
            "records",
            "instructions",
            &marks,
            &lines,
        );
        self.line("\n![Instructions by records](load-records.svg)");
        save_text("load-records.svg", &chart)
    }
}

/// Writes thousandths with one digit behind the point.
pub fn thousandths(number: u64) -> String {
    format!("{}.{}", number / 1_000, number % 1_000 / 100)
}

/// Says what binds, and how much of it was used, if that is known.
fn bound_and_use(bound: watch::Bound, thousandths: u64) -> String {
    match thousandths {
        0 => bound.words().to_string(),
        _ => format!("{}, {} %", bound.words(), thousandths / 10),
    }
}

/// Says how many operations were turned away, and why; what has no reason of its own was turned away by the platform.
fn turned_away(millionths: u64, reasons: [(u64, &str); 2]) -> String {
    if millionths == 0 {
        return String::new();
    }
    let rest = millionths - reasons.iter().map(|(part, _)| part).sum::<u64>().min(millionths);
    let parts = reasons.into_iter().chain([(rest, "queues full")]).filter(|(part, _)| *part > 0);
    let parts: Vec<String> = parts.map(|(part, why)| format!("{} {why}", percent(part))).collect();
    match &parts[..] {
        [only] => only.clone(),
        _ => format!("{}: {}", percent(millionths), parts.join(", ")),
    }
}

fn percent(millionths: u64) -> String {
    format!("{}.{:02} %", millionths / 10_000, millionths % 10_000 / 100)
}
