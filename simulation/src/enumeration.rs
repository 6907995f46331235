//! Every step of a transfer with every fault: what sampling may miss.
//!
//! A transfer of each [`Kind`] is played once without faults; each message that runs for it is a [`Step`]
//! ([`plan`]). Then it is played anew for each step, party and [`Trouble`] ([`scene`]): the trouble comes just before
//! the step, or in it, while clients read and write; it passes; and everything is judged as in a [`run`](crate::run).
//! What can't be is counted with its reason. [`lost`] is about routers and targets that never come back.

use std::fmt;

use canopy_simulator::chance::Fault;

pub mod lost;
pub mod plan;
pub mod scene;
pub mod sums;
pub mod watch;

/// A kind of transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The upper half of the only shard goes to a spare that serves already.
    SplitToSpare,
    /// As well, and the spare has to be made.
    SplitToNew,
    /// The upper of two shards gives all to the lower one, and its memory back.
    Merge,
    /// As well, and it leaves the service. Only what differs counts: the steps after the transfer.
    Retire,
}

/// Who takes part in a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Source,
    Target,
    Router,
}

/// What befalls a party at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The step runs out of instructions.
    Trap,
    /// Stopped before the step, and started 20 s later.
    Stop,
    /// Stopped before the step, upgraded, and started at once.
    Upgrade,
    /// Upgraded before the step while it runs, which it refuses while calls are open.
    UpgradeRunning,
    /// Its cycles are burned before the step; it is topped up 20 s later.
    CyclesBurned,
    /// It gets no more memory, from before the step until 20 s later.
    MemoryFull,
    /// An administrator asks it to stop the transfer, just before the step.
    Cancel,
    /// The step is the answer to its call, and the answer vanishes.
    ReplyLost,
    /// The step is the answer to its call, and nobody knows (reject 6): it has run.
    UnknownHasRun,
    /// The step would answer its call, and nobody knows (reject 6): it runs later, just before the deadline.
    UnknownRunsLater,
    /// The step would answer its call, which vanishes.
    RequestLost,
    /// Its code is taken away before the step, for good.
    Lost,
}

/// A step at which something befalls somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    pub kind: Kind,
    /// Place of the step in the plan.
    pub step: usize,
    pub party: Party,
    pub trouble: Trouble,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::SplitToSpare, Kind::SplitToNew, Kind::Merge, Kind::Retire];

    /// Returns the name on the command line.
    pub fn text(self) -> &'static str {
        match self {
            Kind::SplitToSpare => "split-to-spare",
            Kind::SplitToNew => "split-to-new",
            Kind::Merge => "merge",
            Kind::Retire => "retire",
        }
    }

    /// Tells whether the source owns nothing afterwards.
    pub fn empties(self) -> bool {
        matches!(self, Kind::Merge | Kind::Retire)
    }
}

impl Party {
    pub const ALL: [Party; 3] = [Party::Source, Party::Target, Party::Router];

    /// Returns the name on the command line.
    pub fn text(self) -> &'static str {
        match self {
            Party::Source => "source",
            Party::Target => "target",
            Party::Router => "router",
        }
    }
}

impl Trouble {
    pub const ALL: [Trouble; 12] = [
        Trouble::Trap,
        Trouble::Stop,
        Trouble::Upgrade,
        Trouble::UpgradeRunning,
        Trouble::CyclesBurned,
        Trouble::MemoryFull,
        Trouble::Cancel,
        Trouble::ReplyLost,
        Trouble::UnknownHasRun,
        Trouble::UnknownRunsLater,
        Trouble::RequestLost,
        Trouble::Lost,
    ];

    /// Returns the name on the command line.
    pub fn text(self) -> &'static str {
        match self {
            Trouble::Trap => "trap",
            Trouble::Stop => "stop",
            Trouble::Upgrade => "upgrade",
            Trouble::UpgradeRunning => "upgrade-running",
            Trouble::CyclesBurned => "cycles-burned",
            Trouble::MemoryFull => "memory-full",
            Trouble::Cancel => "cancel",
            Trouble::ReplyLost => "reply-lost",
            Trouble::UnknownHasRun => "unknown-has-run",
            Trouble::UnknownRunsLater => "unknown-runs-later",
            Trouble::RequestLost => "request-lost",
            Trouble::Lost => "lost",
        }
    }

    /// Returns the faults of the answer to a call; None for what befalls something else.
    fn of_response(self) -> Option<Fault> {
        match self {
            Trouble::ReplyLost => Some(Fault::ReplyLost),
            Trouble::UnknownHasRun => Some(Fault::UnknownHasRun),
            _ => None,
        }
    }

    /// Returns the faults of a request; None for what befalls something else.
    fn of_request(self) -> Option<&'static [Fault]> {
        match self {
            Trouble::UnknownRunsLater => Some(&[Fault::UnknownRunsLater, Fault::RequestDelayed]),
            Trouble::RequestLost => Some(&[Fault::RequestLost]),
            _ => None,
        }
    }
}

impl fmt::Display for Spot {
    /// Writes the spot as the arguments that play it again.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spot { kind, step, party, trouble } = self;
        write!(formatter, "--kind {} --step {step} --party {} --trouble {}", kind.text(), party.text(), trouble.text())
    }
}
