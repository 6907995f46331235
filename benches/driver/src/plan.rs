//! What a driver is told, and what it tells.

use candid::{CandidType, Principal};
use canopy_types::Route;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Rounds by which latencies are told apart; a longer one counts as this many.
pub const ROUNDS_TOLD_MAX: usize = 512;

/// Which service the load is put on, and how.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug)]
pub enum Service {
    /// Canopy, by its router.
    Routed {
        /// The router.
        router: Principal,
    },
    /// Canopy, at its shards.
    Direct {
        /// Which shard owns what.
        routes: Vec<Route>,
        /// The secret of the hash.
        secret: ByteBuf,
    },
    /// A map in a canister, or a proxy of it.
    Map {
        /// The canister.
        canister: Principal,
    },
}

/// How records are drawn.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Some much more often than others, anywhere.
    Zipfian,
    /// All alike.
    Uniform,
    /// The newest much more often than others.
    Latest,
}

/// Shares of operations, in thousandths.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// Reading a record.
    pub gets: u32,
    /// Writing over a record.
    pub puts: u32,
    /// Writing a new record.
    pub inserts: u32,
    /// Reading a record, and writing over it if nobody else has.
    pub modifies: u32,
    /// Reading up to 100 records from a random place on, in the order of hashes.
    pub scans: u32,
}

/// When messages are begun.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as another one is answered.
    Full,
    /// So many thousandths of a message fall due with each round, whether those before are answered or not; latency
    /// counts from then.
    PerRound(u64),
}

/// What a driver does.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug)]
pub struct Plan {
    /// On what.
    pub service: Service,
    /// What.
    pub mix: Mix,
    /// About which records.
    pub spread: Spread,
    /// Records that are there, numbered from 0.
    pub records: u64,
    /// Number of the first record to be inserted, by all drivers together.
    pub inserts_from: u64,
    /// Bytes of a value.
    pub value_bytes: u64,
    /// Operations of a message.
    pub batch: u32,
    /// Operations in all.
    pub operations: u64,
    /// Messages that may be under way.
    pub open_max: u32,
    /// When.
    pub pace: Pace,
    /// Whether writes carry operations, so that they can be sent again.
    pub named: bool,
    /// Whether arguments have a type table of their own, which goes through the general decoder.
    pub own_table: bool,
    /// Which stream of chances.
    pub seed: u64,
    /// Which driver this is, of how many.
    pub driver: u64,
    /// How many there are.
    pub drivers: u64,
}

/// What a driver has counted.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, Default)]
pub struct Tally {
    /// Operations that were begun.
    pub begun: u64,
    /// Operations that were done.
    pub done: u64,
    /// Operations that were turned away for the moment, and not done.
    pub refused: u64,
    /// Of them, those that were turned away because as many calls were open as may be.
    pub calls_open: u64,
    /// Of them, those that somebody else was always ahead of.
    pub beaten: u64,
    /// Operations that failed otherwise.
    pub failed: u64,
    /// What was said first about one that was refused, and about one that failed.
    pub first_refusal: Option<String>,
    /// As above.
    pub first_failure: Option<String>,
    /// Messages sent; those under way.
    pub messages: u64,
    /// As above.
    pub open: u64,
    /// Bytes sent, names of methods included.
    pub request_bytes: u64,
    /// Bytes answered.
    pub reply_bytes: u64,
    /// Records that were read by scans.
    pub scanned: u64,
    /// Modifications that somebody else was ahead of, and that were done again.
    pub conflicts: u64,
    /// Records that were inserted, up to the first that isn't known to be.
    pub inserted: u64,
    /// Operations by the rounds that they took.
    pub latencies: Vec<u64>,
}

impl Tally {
    /// Notes operations that took so many rounds.
    pub fn took(&mut self, rounds: u64, operations: u64) {
        let rounds = (rounds as usize).min(ROUNDS_TOLD_MAX);
        if self.latencies.len() <= rounds {
            self.latencies.resize(rounds + 1, 0);
        }
        self.latencies[rounds] += operations;
        self.done += operations;
    }

    /// Adds what another driver has counted.
    pub fn add(&mut self, other: &Tally) {
        self.begun += other.begun;
        self.done += other.done;
        self.refused += other.refused;
        self.calls_open += other.calls_open;
        self.beaten += other.beaten;
        self.failed += other.failed;
        self.first_refusal = self.first_refusal.take().or_else(|| other.first_refusal.clone());
        self.first_failure = self.first_failure.take().or_else(|| other.first_failure.clone());
        self.messages += other.messages;
        self.open += other.open;
        self.request_bytes += other.request_bytes;
        self.reply_bytes += other.reply_bytes;
        self.scanned += other.scanned;
        self.conflicts += other.conflicts;
        self.inserted += other.inserted;
        let length = self.latencies.len().max(other.latencies.len());
        self.latencies.resize(length, 0);
        self.latencies.iter_mut().zip(&other.latencies).for_each(|(sum, more)| *sum += more);
    }

    /// Tells the rounds that so many thousandths of the operations didn't exceed; `None` if none was done.
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        let all: u64 = self.latencies.iter().sum();
        let mut seen = 0;
        self.latencies
            .iter()
            .position(|count| {
                seen += count;
                all > 0 && seen * 1_000 >= all * thousandths
            })
            .map(|rounds| rounds as u64)
    }
}
