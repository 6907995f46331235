//! The faults by name: which are on, and how often each fires.

use std::collections::BTreeMap;

use canopy_simulator::chance::Fault;
use rand::Rng;

use crate::draw::Draw;

#[cfg(test)]
mod tests;

/// Rates are in millionths.
pub const RATE_SCALE: u32 = 1_000_000;

/// One case in so many has a given fault (swarm testing: fewer kinds at once reach further).
const SWARM_ONE_IN: u64 = 3;

/// One case in so many has all faults, each at a rate near its lowest.
const ALL_ONE_IN: u64 = 8;
/// How much above the lowest that may be.
const ALL_RATE_FACTOR: u32 = 3;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $least:literal ..= $most:literal, $simulator:expr;)*) => {
        /// Something that goes wrong within the platform's rules.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultName { $($(#[$doc])* $name),* }

        impl FaultName {
            pub const ALL: &[FaultName] = &[$(FaultName::$name),*];

            /// Returns the name on the command line.
            pub fn text(self) -> &'static str {
                match self { $(FaultName::$name => $text),* }
            }

            /// Returns the bounds between which the rate is drawn, in millionths of the occasions.
            fn rates(self) -> (u32, u32) {
                match self { $(FaultName::$name => ($least, $most)),* }
            }

            /// Returns where the simulator injects it; None for those that come from outside.
            pub fn simulator(self) -> Option<Fault> {
                match self { $(FaultName::$name => $simulator),* }
            }
        }
    };
}

faults! {
    /// The answer of a bounded call vanishes.
    ReplyLost = "reply-lost", 2_000..=60_000, Some(Fault::ReplyLost);
    /// The request of a bounded call vanishes.
    RequestLost = "request-lost", 2_000..=60_000, Some(Fault::RequestLost);
    /// The request of a bounded call waits until just before its deadline.
    RequestDelayed = "request-delayed", 2_000..=40_000, Some(Fault::RequestDelayed);
    /// Reject 2, and the callee never ran.
    RejectedBeforeDelivery = "rejected-before-delivery", 2_000..=100_000, Some(Fault::RejectedBeforeDelivery);
    CallPerformFails = "call-perform-fails", 2_000..=60_000, Some(Fault::CallPerformFails);
    /// Reject 6, and the callee never runs.
    UnknownNotRun = "unknown-not-run", 2_000..=60_000, Some(Fault::UnknownNotRun);
    /// Reject 6, and the callee runs later.
    UnknownRunsLater = "unknown-runs-later", 2_000..=60_000, Some(Fault::UnknownRunsLater);
    /// Reject 6, and the callee has run.
    UnknownHasRun = "unknown-has-run", 2_000..=60_000, Some(Fault::UnknownHasRun);
    /// Reject 6, because the platform shed the answer.
    ResponseShed = "response-shed", 2_000..=60_000, Some(Fault::ResponseShed);
    /// Cycles of a message that vanished are gone.
    CyclesLost = "cycles-lost", 300_000..=1_000_000, Some(Fault::CyclesLost);
    /// `stable_grow` answers -1.
    StableGrowFails = "stable-grow-fails", 100_000..=900_000, Some(Fault::StableGrowFails);
    /// `stable_grow` traps.
    StableGrowTraps = "stable-grow-traps", 100_000..=900_000, Some(Fault::StableGrowTraps);
    /// A message or a callback hits the instruction limit.
    OutOfInstructions = "out-of-instructions", 500..=20_000, Some(Fault::OutOfInstructions);
    TimerLate = "timer-late", 20_000..=500_000, Some(Fault::TimerLate);
    IngressReordered = "ingress-reordered", 20_000..=500_000, Some(Fault::IngressReordered);
    /// Canisters and messages take turns in a drawn order; on or off for a whole case.
    OrderShuffled = "order-shuffled", 1_000_000..=1_000_000, None;
    /// A canister is stopped and started, per step of the driver.
    CanisterStopped = "canister-stopped", 4_000..=50_000, None;
    /// A canister is upgraded, mostly stopped, per step of the driver.
    CanisterUpgraded = "canister-upgraded", 4_000..=50_000, None;
    /// A canister's cycles are burned, per step of the driver.
    OutOfCycles = "out-of-cycles", 3_000..=30_000, None;
    /// The subnet's memory is full for a while, per step of the driver.
    SubnetMemoryFull = "subnet-memory-full", 5_000..=50_000, None;
    /// The clock jumps by up to 10 minutes, per step of the driver.
    ClockStep = "clock-step", 4_000..=40_000, None;
    /// The clocks of two subnets differ; on or off for a whole case.
    SubnetSkew = "subnet-skew", 1_000_000..=1_000_000, None;
    /// A sender stops waiting after a few rounds, per operation; its message still runs.
    SenderGivesUp = "sender-gives-up", 10_000..=200_000, None;
    /// A range is split off or merged, or a transfer stopped, per step of the driver.
    RangesMove = "ranges-move", 20_000..=200_000, None;
}

impl FaultName {
    /// Finds a fault by its name on the command line.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.text() == text)
    }
}

/// What was asked of one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// On in one case of three or so, with a drawn rate.
    Drawn,
    Off,
    /// On in every case, with a drawn rate.
    On,
    /// On in every case, in so many millionths of the occasions.
    Rate(u32),
}

/// What was asked of all faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultOptions {
    switches: BTreeMap<FaultName, Switch>,
}

impl Default for FaultOptions {
    fn default() -> Self {
        Self { switches: FaultName::ALL.iter().map(|fault| (*fault, Switch::Drawn)).collect() }
    }
}

impl FaultOptions {
    /// Switches every fault off.
    pub fn none() -> Self {
        Self { switches: FaultName::ALL.iter().map(|fault| (*fault, Switch::Off)).collect() }
    }

    pub fn set(&mut self, fault: FaultName, switch: Switch) {
        self.switches.insert(fault, switch);
    }

    pub fn switch(&self, fault: FaultName) -> Switch {
        self.switches[&fault]
    }

    /// Reads `NAME=on|off|drawn|RATE` (a share of the occasions, from 0 to 1).
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn parse(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` should be NAME=on|off|drawn|RATE"))?;
        let fault = find(name)?;
        let switch = match value {
            "on" => Switch::On,
            "off" => Switch::Off,
            "drawn" => Switch::Drawn,
            rate => match rate.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Switch::Rate((share * RATE_SCALE as f64).round() as u32),
                _ => return Err(format!("`{value}` should be on, off, drawn, or a rate from 0 to 1")),
            },
        };
        self.set(fault, switch);
        Ok(())
    }

    /// Switches off all faults but those named.
    ///
    /// # Errors
    /// A name that no fault has.
    pub fn only(names: &[String]) -> Result<Self, String> {
        let mut options = Self::none();
        for name in names {
            options.set(find(name)?, Switch::On);
        }
        Ok(options)
    }

    /// Shows the options as arguments of the command line, for replaying.
    pub fn arguments(&self) -> Vec<String> {
        let of = |switch: Switch| self.switches.values().filter(|found| **found == switch).count();
        let mut arguments = Vec::new();
        let base = if of(Switch::Off) > of(Switch::Drawn) {
            arguments.push("--none".to_string());
            Switch::Off
        } else {
            Switch::Drawn
        };
        for (fault, switch) in self.switches.iter().filter(|(_, switch)| **switch != base) {
            let value = match switch {
                Switch::Drawn => "drawn".to_string(),
                Switch::Off => "off".to_string(),
                Switch::On => "on".to_string(),
                Switch::Rate(rate) => format!("{}", *rate as f64 / RATE_SCALE as f64),
            };
            arguments.push(format!("--fault {}={value}", fault.text()));
        }
        arguments
    }

    /// Draws the rates of a case. Every fault takes the same draws whatever the options, so that switching one off
    /// leaves the others as they were.
    pub fn draw(&self, draw: &mut Draw) -> BTreeMap<FaultName, u32> {
        let mut rates = BTreeMap::new();
        let all = draw.below(ALL_ONE_IN) == 0;
        for fault in FaultName::ALL {
            let in_swarm = draw.below(SWARM_ONE_IN) == 0 || all;
            let (least, most) = fault.rates();
            let most = if all { most.min(least * ALL_RATE_FACTOR) } else { most };
            let rate = draw_logarithmic(draw, least, most);
            let rate = match self.switch(*fault) {
                Switch::Drawn if in_swarm => rate,
                Switch::On => rate,
                Switch::Rate(rate) => rate,
                Switch::Drawn | Switch::Off => 0,
            };
            rates.insert(*fault, rate);
        }
        rates
    }
}

fn find(name: &str) -> Result<FaultName, String> {
    FaultName::from_text(name).ok_or_else(|| {
        let names: Vec<&str> = FaultName::ALL.iter().map(|fault| fault.text()).collect();
        format!("there is no fault `{name}`; there are {}", names.join(", "))
    })
}

/// Draws between the bounds, each order of magnitude as likely as another, in 1,024 steps.
fn draw_logarithmic(draw: &mut Draw, least: u32, most: u32) -> u32 {
    let position = (draw.rng().next_u32() & 1_023) as f64 / 1_023.0;
    let rate = (least as f64) * (most as f64 / least as f64).powf(position);
    (rate as u32).clamp(least, most)
}
