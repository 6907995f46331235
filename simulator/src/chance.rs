//! The seeded source of everything that the specification leaves open: order, faults, randomness.
//!
//! Each kind of draw has a stream of its own, so that more draws at one point do not shift the others.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rules::{Occasion, Rule};

/// Where something is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum Point {
    CanisterOrder = 1,
    InputSource,
    MessagesPerRound,
    IngressOrder,
    SubnetOrder,
    TimerOrder,
    RawRand,
    Nonce,
    Fault,
}

const POINTS: usize = 10;

/// What may go wrong within the specification, each injected in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Fault {
    /// A bounded-wait call's response vanishes; its caller gets reject 6 at the deadline.
    ReplyLost,
    /// A bounded-wait call's request vanishes before it runs.
    RequestLost,
    /// A bounded-wait call's request waits until just before its deadline.
    RequestDelayed,
    /// Reject 2 instead of delivery, with full refund.
    RejectedBeforeDelivery,
    CallPerformFails,
    /// Reject 6 early; the callee never runs.
    UnknownNotRun,
    /// Reject 6 early; the callee runs later.
    UnknownRunsLater,
    /// Reject 6 early; the callee has run.
    UnknownHasRun,
    /// A response that is shed: reject 6 `Response was dropped.`.
    ResponseShed,
    /// Cycles of a vanished message are lost rather than credited later.
    CyclesLost,
    StableGrowFails,
    StableGrowTraps,
    /// A message runs out of instructions.
    OutOfInstructions,
    TimerLate,
    IngressReordered,
    /// A round ends after a message, with whatever else it had time for.
    RoundEnds,
}

const FAULTS: usize = Fault::RoundEnds as usize + 1;
/// Rates are in millionths.
const RATE_SCALE: u32 = 1_000_000;

/// Whether open choices follow the real server or the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// As the real server does when nothing else runs: by canister id, round robin.
    #[default]
    Plain,
    /// Permutes whatever the specification leaves open.
    Shuffled,
}

/// A seeded generator with named draw points and fault rates.
#[derive(Clone, Debug)]
pub struct Chance {
    schedule: Schedule,
    streams: [ChaCha8Rng; POINTS],
    rates: [u32; FAULTS],
    fired: [u64; FAULTS],
    rule: Option<Rule>,
}

/// Faults that a rule has placed at one message.
#[derive(Clone, Debug, Default)]
pub struct Placed(Vec<Fault>);

impl Chance {
    /// Starts all streams from `seed`; `part` tells apart the generators of one network (one per subnet).
    pub fn new(seed: u64, part: u64, schedule: Schedule) -> Self {
        let streams = std::array::from_fn(|point| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(part * POINTS as u64 + point as u64);
            rng
        });
        Self { schedule, streams, rates: [0; FAULTS], fired: [0; FAULTS], rule: None }
    }

    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Sets how often a fault fires, in millionths of the occasions.
    pub fn set_rate(&mut self, fault: Fault, millionths: u32) {
        self.rates[fault as usize] = millionths.min(RATE_SCALE);
    }

    /// Draws whether a fault happens now, and counts it. Draws nothing while its rate is 0.
    pub fn fires(&mut self, fault: Fault) -> bool {
        let fires = self.lurks(fault);
        self.fired[fault as usize] += u64::from(fires);
        fires
    }

    /// Draws whether a fault waits for a message, which may not run into it: what does is told to [`Chance::note`].
    pub fn lurks(&mut self, fault: Fault) -> bool {
        let rate = self.rates[fault as usize];
        rate > 0 && self.below(Point::Fault, RATE_SCALE as u64) < rate as u64
    }

    /// Sets the rule that places faults, or none.
    pub fn set_rule(&mut self, rule: Option<Rule>) {
        self.rule = rule;
    }

    /// Asks the rule which faults meet a message.
    pub fn placed(&self, occasion: &Occasion) -> Placed {
        Placed(self.rule.as_ref().map(|rule| rule.decide(occasion)).unwrap_or_default())
    }

    /// As [`Chance::fires`], of a message at which faults may be placed.
    pub fn meets(&mut self, fault: Fault, placed: &Placed) -> bool {
        let is_placed = placed.contains(fault);
        self.fired[fault as usize] += u64::from(is_placed);
        is_placed || self.fires(fault)
    }

    /// As [`Chance::lurks`], of a message at which faults may be placed.
    pub fn threatens(&mut self, fault: Fault, placed: &Placed) -> bool {
        placed.contains(fault) || self.lurks(fault)
    }

    /// Counts faults that messages ran into.
    pub fn note(&mut self, faults: &[Fault]) {
        for fault in faults {
            self.fired[*fault as usize] += 1;
        }
    }

    /// Counts how often a fault happened.
    pub fn fired(&self, fault: Fault) -> u64 {
        self.fired[fault as usize]
    }

    /// Draws a number below `bound` (0 when `bound` is 0).
    pub fn below(&mut self, point: Point, bound: u64) -> u64 {
        match bound {
            0 => 0,
            bound => ((self.streams[point as usize].next_u64() as u128 * bound as u128) >> 64) as u64,
        }
    }

    /// Draws an index below `len`, or 0 in the plain schedule.
    pub fn choose(&mut self, point: Point, len: usize) -> usize {
        match self.schedule {
            Schedule::Plain => 0,
            Schedule::Shuffled => self.below(point, len as u64) as usize,
        }
    }

    /// Permutes `items` in the shuffled schedule, leaves them in the plain one.
    pub fn permute<T>(&mut self, point: Point, items: &mut [T]) {
        if self.schedule == Schedule::Shuffled {
            for last in (1..items.len()).rev() {
                let other = self.below(point, last as u64 + 1) as usize;
                items.swap(last, other);
            }
        }
    }

    /// Draws 32 bytes, as for `raw_rand` and nonces.
    pub fn bytes(&mut self, point: Point) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.streams[point as usize].fill_bytes(&mut bytes);
        bytes
    }
}

impl Placed {
    pub fn contains(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }
}
