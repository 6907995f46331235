//! One run: set up, a phase under faults, a phase without them in which the service must recover.

use std::fmt::{self, Write};

use canopy_types::GetArguments;
use canopy_types::codec::encode;
use canopy_types::growth::GrowthAction;
use canopy_types::status::Status;
use canopy_types::transfer::{TransferEnd, TransferStage};

use crate::administrator::Administrator;
use crate::case::{Case, stream};
use crate::checkers::cover::Moving;
use crate::checkers::{canisters, cover, cycles, exactly_once, linearizability, rates, rights};
use crate::draw::Draw;
use crate::faults::FaultName;
use crate::guests::Guests;
use crate::history::History;
use crate::limits::Limits;
use crate::mover::{self, Mover};
use crate::network::{Network, SKEW_NANOS_MAX, Service};
use crate::scrubber::Scrubber;
use crate::uploads::{Scene, Uploads};
use crate::workload::Workload;

mod ending;
mod quiet;
mod report;

pub use report::Report;

/// Keys of which is asked who serves them while ranges move.
const PROBED_KEYS_MAX: usize = 16;
/// Steps between two looks at the network.
const CHECK_STEPS: u64 = 20;
/// Steps between two calls that wake a router up.
const POKE_STEPS: u64 = 8;
/// How much more often faults happen while a service starts, and up to which rate.
const STARTING_FACTOR: u32 = 8;
const STARTING_RATE_MAX: u32 = 250_000;
/// Steps of the first phase, per operation and in all.
const STEPS_PER_OPERATION: u64 = 60;
const STEPS_EXTRA: u64 = 10_000;
/// Steps that a service without faults has to become ready.
const READY_STEPS_MAX: u64 = 400;
/// Steps that a service has to recover. Its longest waits are 5 minutes each, a step is a second and more.
const RECOVERY_STEPS_MAX: u64 = 3_000;
/// What a step of the recovery takes when all that is left is to let time pass.
const QUIET_RECOVERY_STEP_NANOS: u64 = 8 * SECOND_NANOS;
const SECOND_NANOS: u64 = 1_000_000_000;
/// Steps without an answer after which the clock goes faster.
const QUIET_STEPS: u64 = 6;
/// By how much it goes at most, per step: 10 s.
const QUIET_STEP_NANOS_MAX: u64 = 10_000_000_000;
/// Time after which nothing that was sent before can still happen: message expiry and the longest deadline.
const SETTLED_NANOS: u64 = 620 * SECOND_NANOS;
/// Steps after the last operation in which everything grows older than outcomes are kept, and how long each takes.
const AGEING_STEPS: u64 = 50;
const AGEING_STEP_NANOS: u64 = 20 * SECOND_NANOS;
/// Requests that are sent again then, uploads and large values that are asked for again, and steps in which they are answered.
const OLD_REQUESTS: usize = 10;
const OLD_UPLOADS: usize = 8;
const OLD_ANSWERED_STEPS_MAX: u64 = 400;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something that must hold doesn't.
    Wrong(String),
    /// The service did not recover after the faults were over.
    NoProgress(String),
    /// The driver, the simulator or a bound of theirs gave way.
    Crash(String),
}

const WRONG: &str = "wrong";
const NO_PROGRESS: &str = "no progress";
const CRASH: &str = "crash";

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Failure::Wrong(text) => (WRONG, text),
            Failure::NoProgress(text) => (NO_PROGRESS, text),
            Failure::Crash(text) => (CRASH, text),
        };
        write!(formatter, "{kind}: {text}")
    }
}

impl Failure {
    /// Reads what was displayed; None for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let (kind, text) = text.split_once(": ")?;
        match kind {
            WRONG => Some(Failure::Wrong(text.to_string())),
            NO_PROGRESS => Some(Failure::NoProgress(text.to_string())),
            CRASH => Some(Failure::Crash(text.to_string())),
            _ => None,
        }
    }

    /// Tells whether two failures are of one kind, for shrinking.
    pub fn is_like(&self, other: &Failure) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Runs a case from beginning to end. Panics are the caller's to contain.
pub fn run(case: &Case, service: Service) -> Report {
    let mut run = match Run::new(case, service) {
        Ok(run) => run,
        Err(reason) => return Report::of_failure(Failure::Crash(format!("setting up: {reason}"))),
    };
    let failure = run.phases().err();
    run.report(failure)
}

pub(crate) struct Run<'a> {
    pub(crate) case: &'a Case,
    pub(crate) network: Network,
    pub(crate) workload: Workload,
    pub(crate) uploads: Uploads,
    pub(crate) administrator: Administrator,
    guests: Guests,
    limits: Limits,
    mover: Mover,
    scrubber: Scrubber,
    pub(crate) history: History,
    clock: Draw,
    steps: u64,
    quiet_steps: u64,
    /// How transfers ended, of those that the router remembers in the end.
    ends: Vec<TransferEnd>,
    /// Splits that nobody asked for, of those that the router remembers in the end.
    grown: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(case: &'a Case, service: Service) -> Result<Self, String> {
        let mut network = Network::new(case, service)?;
        if case.rate(FaultName::SubnetSkew) > 0 {
            let nanos = Draw::new(case.seed, stream::CLOCK + 100).below(SKEW_NANOS_MAX);
            network.instance.set_skew(&network.callers_subnet, nanos);
        }
        let workload = Workload::new(case, &network);
        let uploads = Uploads::new(case, &network);
        let guests = network.clients().enumerate().filter(|(at, _)| case.guests.contains(at)).collect();
        Ok(Self {
            case,
            workload,
            uploads,
            network,
            administrator: Administrator::new(case),
            guests: Guests::new(case, guests),
            limits: Limits::new(case),
            mover: Mover::new(case),
            scrubber: Scrubber::default(),
            history: History::default(),
            clock: Draw::new(case.seed, stream::CLOCK),
            steps: 0,
            quiet_steps: 0,
            ends: Vec::new(),
            grown: 0,
        })
    }

    fn phases(&mut self) -> Result<(), Failure> {
        self.start()?;
        self.trouble()?;
        self.recover()?;
        self.judge()
    }

    /// Reads and writes everything, and judges all that was told, once the service has recovered.
    pub(crate) fn judge(&mut self) -> Result<(), Failure> {
        self.send_old()?;
        self.read_and_write_everything()?;
        self.check_uploads()?;
        self.check_network()?;
        rights::check(&self.history, self.guests.changes(), |client| self.guests.contains(client)).map_err(wrong)?;
        self.check_rates()?;
        exactly_once::check(&self.history).map_err(|fault| self.explain(&fault))?;
        linearizability::check(&self.history).map_err(wrong)
    }

    /// Checks that nobody was served more than the limit allows, if there was one.
    fn check_rates(&self) -> Result<(), Failure> {
        let Some((per_minute, from, until)) = self.limits.held() else { return Ok(()) };
        let restarts = self.administrator.fired.get(&FaultName::CanisterUpgraded).copied().unwrap_or(0);
        let limit = rates::Limit { per_minute, from, until, restarts };
        let uses: Vec<rates::Use> = self.workload.uses.iter().chain(&self.uploads.uses).copied().collect();
        rates::check(&uses, limit).map_err(wrong)
    }

    /// Shows a contradiction with the operations that it is about.
    fn explain(&self, fault: &exactly_once::Fault) -> Failure {
        let mut text = fault.to_string();
        for operation in fault.operations() {
            write!(text, "\n  {operation}: {:?}", self.history.operations()[operation])
                .expect("writing to a text succeeds");
        }
        Failure::Wrong(text)
    }

    /// Waits until the service is ready, or for a bounded while if faults are on.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        if self.case.faults_while_starting {
            // Few messages run while a service starts, and each of them matters.
            let raise = |rate: u32| rate.saturating_mul(STARTING_FACTOR).min(STARTING_RATE_MAX.max(rate));
            let rates = self.case.rates.iter().map(|(fault, rate)| (*fault, raise(*rate))).collect();
            self.network.set_rates(&rates);
        }
        for _ in 0..READY_STEPS_MAX {
            if self.case.faults_while_starting && self.steps.is_multiple_of(POKE_STEPS) {
                self.poke();
            }
            self.administrator.step(self.case, &mut self.network, self.case.faults_while_starting);
            self.advance(SECOND_NANOS)?;
            if self.network.status().is_some_and(|status| status.ready) {
                break;
            }
        }
        if !self.case.faults_while_starting && !self.network.status().is_some_and(|status| status.ready) {
            return Err(Failure::NoProgress("the router isn't ready, and there were no faults".to_string()));
        }
        self.network.set_rates(&self.case.rates);
        Ok(())
    }

    /// Sends an update call whose answer doesn't matter: it sets a timer again that was lost.
    fn poke(&mut self) {
        let arguments = encode(&GetArguments::new(self.case.keys[0].clone()));
        // Refused while the router is stopped; it is asked again.
        self.network.submit(self.network.users[0], self.network.router, "get", arguments).ok();
    }

    /// Sends all operations while everything may go wrong.
    fn trouble(&mut self) -> Result<(), Failure> {
        let steps_max = STEPS_EXTRA + STEPS_PER_OPERATION * self.case.operations as u64;
        for _ in 0..steps_max {
            if self.workload.is_done() && self.uploads.is_done() {
                return Ok(());
            }
            let answered = self.workload.answered + self.uploads.answered;
            self.workload.step(self.case, &mut self.network, &mut self.history);
            let (uploads, mut scene) = self.uploaders();
            uploads.step(&mut scene);
            self.guests.step(self.case, &mut self.network, &mut self.history);
            self.limits.step(&mut self.network);
            // Clients come first: a clock that jumps now lets messages expire that no round took.
            self.administrator.step(self.case, &mut self.network, true);
            self.mover.step(self.case, &mut self.network);
            self.scrubber.step(&mut self.network);
            self.check_answers()?;
            let idle = self.workload.is_waiting() && self.workload.answered + self.uploads.answered == answered;
            self.quiet_steps = if idle { self.quiet_steps + 1 } else { 0 };
            let nanos = self.draw_round();
            self.advance(nanos)?;
        }
        Err(Failure::Crash(format!("the operations didn't end within {steps_max} steps")))
    }

    /// Tells the uploaders apart from what they act upon.
    fn uploaders(&mut self) -> (&mut Uploads, Scene<'_>) {
        let Self { case, network, history, workload, uploads, .. } = self;
        (uploads, Scene { case, network, history, workload })
    }

    pub(crate) fn check_answers(&self) -> Result<(), Failure> {
        let of_clients = self.workload.impossible.as_ref().or(self.uploads.impossible.as_ref());
        let of_administrators = self.limits.impossible.as_ref().or(self.scrubber.impossible.as_ref());
        let impossible = of_clients.or(self.guests.impossible.as_ref()).or(of_administrators);
        impossible.map_or(Ok(()), |impossible| Err(Failure::Wrong(impossible.0.clone())))
    }

    /// Lets all outcomes grow too old to be kept, and sends some operations once more.
    fn send_old(&mut self) -> Result<(), Failure> {
        for _ in 0..AGEING_STEPS {
            self.advance(AGEING_STEP_NANOS)?;
        }
        self.workload.send_old(OLD_REQUESTS, self.case, &mut self.network, &mut self.history);
        let (uploads, mut scene) = self.uploaders();
        uploads.ask_for_old(OLD_UPLOADS, &mut scene);
        for _ in 0..OLD_ANSWERED_STEPS_MAX {
            self.workload
                .settle(self.case, &mut self.network, &mut self.history, true)
                .map_err(|text| Failure::NoProgress(format!("an unknown isn't settled: {text}")))?;
            let (uploads, mut scene) = self.uploaders();
            uploads.read_on_alone(&mut scene);
            self.check_answers()?;
            if !self.workload.awaits_answers() && self.uploads.is_done() {
                return Ok(());
            }
            self.advance(SECOND_NANOS)?;
        }
        Err(Failure::NoProgress("operations that are too old are not answered".to_string()))
    }

    fn draw_round(&mut self) -> u64 {
        let round = self.clock.below(2 * self.case.round_nanos) + 1;
        if self.quiet_steps < QUIET_STEPS {
            return round;
        }
        let faster = SECOND_NANOS << (self.quiet_steps - QUIET_STEPS).min(4);
        round.max(faster.min(QUIET_STEP_NANOS_MAX))
    }

    /// Runs a round, and looks at the network now and then.
    pub(crate) fn advance(&mut self, nanos: u64) -> Result<(), Failure> {
        self.network.advance(nanos);
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_STEPS) { self.check_network() } else { Ok(()) }
    }

    /// Ends all faults, waits for the service, and has every unknown settled whose outcome is kept.
    pub(crate) fn recover(&mut self) -> Result<(), Failure> {
        self.network.switch_faults_off();
        let settled = self.network.instance.time_nanos() + SETTLED_NANOS;
        let (mut status, mut unsettled) = (None, 0);
        for _ in 0..RECOVERY_STEPS_MAX {
            self.administrator.step(self.case, &mut self.network, false);
            self.administrator.top_up_all(&mut self.network);
            if self.steps.is_multiple_of(POKE_STEPS) {
                self.poke();
            }
            status = self.network.status();
            let restored = self.guests.restore(self.case, &mut self.network, &mut self.history);
            let serves = status.as_ref().is_some_and(|status| status.ready);
            let unlimited = self.limits.lift(&mut self.network);
            let ready = restored && unlimited && serves && self.administrator.is_idle();
            unsettled = self
                .workload
                .settle(self.case, &mut self.network, &mut self.history, ready)
                .map_err(|text| Failure::NoProgress(format!("an unknown isn't settled: {text}")))?;
            let (uploads, mut scene) = self.uploaders();
            unsettled += uploads
                .settle(&mut scene, ready)
                .map_err(|text| Failure::NoProgress(format!("an unknown commit isn't settled: {text}")))?;
            self.check_answers()?;
            let awaits = self.workload.awaits_answers() || self.uploads.awaits_answers();
            let waits = unsettled == 0 && !awaits && ready;
            self.advance(if waits { QUIET_RECOVERY_STEP_NANOS } else { 2 * SECOND_NANOS })?;
            if unsettled > 0
                || awaits
                || self.network.instance.time_nanos() < settled
                || !self.administrator.is_idle()
                || !unlimited
            {
                continue;
            }
            let rests = |status: &Status| {
                let is_moving = mover::running(status).next().is_some();
                status.ready && status.open_calls == 0 && status.alarms.is_empty() && !is_moving
            };
            if status.as_ref().is_some_and(rests) && self.check_cover(&[]).is_ok() {
                self.grown = status.as_ref().map_or(0, splits_by_itself);
                let transfers = status.and_then(|status| status.transfers).unwrap_or_default();
                self.ends = transfers.iter().filter_map(|transfer| end_of(transfer.stage)).collect();
                return Ok(());
            }
        }
        Err(Failure::NoProgress(format!(
            "the service did not recover within {RECOVERY_STEPS_MAX} steps; administrator idle: {}; {unsettled} unsettled; status: {status:?}",
            self.administrator.is_idle()
        )))
    }

    /// Checks everything that can be seen from outside at this moment.
    pub(crate) fn check_network(&mut self) -> Result<(), Failure> {
        cycles::check(&self.network.books()).map_err(wrong)?;
        self.network.instance.check_invariants();
        let Some(status) = self.network.status() else { return Ok(()) };
        let existing = self.network.instance.canister_ids(&self.network.service_subnet);
        canisters::check(&existing, &self.network.others(), &status).map_err(wrong)?;
        let moving = mover::moving(&status);
        self.check_cover(&moving).map_err(wrong)?;
        let ends = mover::ends(&moving);
        for (key, bytes) in self.case.keys.iter().enumerate().take(PROBED_KEYS_MAX) {
            let shards = self.network.who_serves(&ends, bytes);
            if shards.len() > 1 {
                return Err(wrong(cover::Fault::ServedTwice { key, shards }));
            }
        }
        Ok(())
    }

    /// Checks who owns what, as far as router and shards answer.
    pub(crate) fn check_cover(&mut self, moving: &[Moving]) -> Result<(), cover::Fault> {
        let Some(table) = self.network.routing_table().filter(|table| !table.routes.is_empty()) else { return Ok(()) };
        let shards = self.network.shards.clone();
        let infos: Vec<_> = shards.into_iter().filter_map(|shard| Some((shard, self.network.info(shard)?))).collect();
        cover::check(self.network.router, &table, &infos, moving)
    }
}

/// Counts the splits that the router decided on.
fn splits_by_itself(status: &Status) -> u64 {
    let decisions = status.growth.iter().flat_map(|growth| &growth.decisions);
    decisions.filter(|decision| matches!(decision.action, GrowthAction::Split { .. })).count() as u64
}

fn end_of(stage: TransferStage) -> Option<TransferEnd> {
    if let TransferStage::Ended(end) = stage { Some(end) } else { None }
}

pub(crate) fn wrong(fault: impl fmt::Display) -> Failure {
    Failure::Wrong(fault.to_string())
}
