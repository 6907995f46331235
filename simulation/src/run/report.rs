//! What a run came to, and how its last events are shown.

use std::collections::BTreeMap;

use canopy_simulator::event_log::Event;
use canopy_types::transfer::TransferEnd;

use super::{Failure, Run};
use crate::faults::FaultName;
use crate::history::Counts;
use crate::tally::{Happening, Tally};

/// Events that are shown with a failure.
const EVENTS_SHOWN: usize = 40;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub counts: Counts,
    /// Simulated message executions.
    pub messages: u64,
    /// Hash over all of them.
    pub chain: [u8; 32],
    /// How often each fault that was on happened.
    pub fired: BTreeMap<FaultName, u64>,
    pub tally: Tally,
    /// What the answers that were not `done` said, and how often.
    pub reasons: BTreeMap<String, u64>,
    pub failure: Option<Failure>,
    /// The last events, in case of a failure.
    pub events: Vec<String>,
}

impl Report {
    /// Makes the report of a run that came to nothing.
    pub fn of_failure(failure: Failure) -> Self {
        Self {
            counts: Counts::default(),
            messages: 0,
            chain: [0; 32],
            fired: BTreeMap::new(),
            tally: Tally::default(),
            reasons: BTreeMap::new(),
            failure: Some(failure),
            events: Vec::new(),
        }
    }
}

impl Run<'_> {
    /// Sums up what the run came to so far.
    pub(super) fn report(&self, failure: Option<Failure>) -> Report {
        let mut fired = BTreeMap::new();
        for fault in self.case.faults() {
            let times = match (fault.simulator(), fault) {
                (Some(of_simulator), _) => self.network.fired(of_simulator),
                (None, FaultName::OrderShuffled) => 1,
                (None, FaultName::SubnetSkew) => 1,
                (None, FaultName::SenderGivesUp) => self.workload.given_up + self.uploads.given_up,
                (None, FaultName::RangesMove) => self.mover.asked,
                (None, _) => self.administrator.fired.get(&fault).copied().unwrap_or(0),
            };
            fired.insert(fault, times);
        }
        let mut tally = self.workload.tally.clone();
        tally.add(&self.uploads.tally);
        tally.note_times(Happening::Scrubbed, self.scrubber.pages);
        for change in self.guests.changes() {
            tally.note(if change.granted { Happening::Granted } else { Happening::Revoked });
        }
        tally.note_if(self.limits.held().is_some(), Happening::Limited);
        tally.note_times(Happening::SplitByItself, self.grown);
        for end in &self.ends {
            tally.note(if *end == TransferEnd::Done { Happening::TransferDone } else { Happening::TransferCancelled });
        }
        let log = self.network.instance.events();
        let kept: Vec<&Event> = log.recent().collect();
        let shown = if failure.is_some() { &kept[kept.len().saturating_sub(EVENTS_SHOWN)..] } else { &[] };
        Report {
            counts: self.history.counts(),
            messages: log.len(),
            chain: log.chain(),
            fired,
            tally,
            reasons: self.workload.reasons.clone(),
            failure,
            events: shown.iter().map(|event| show(event)).collect(),
        }
    }
}

fn show(event: &Event) -> String {
    format!(
        "{:>7} {:>14.6} s  {:<27} {:?} {} arg {:016x} answer {:016x} {} instructions, {} cycles, state {:016x}",
        event.sequence,
        (event.time_nanos - canopy_simulator::instance::GENESIS_NANOS) as f64 / 1e9,
        event.canister.to_text(),
        event.kind,
        event.method,
        event.argument_hash,
        event.answer_hash,
        event.instructions,
        event.balance,
        event.state_hash
    )
}
