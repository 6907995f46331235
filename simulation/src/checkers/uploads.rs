//! What clients were told of an upload is one story: it ends once, in one way, and is forgotten by nobody before its
//! time; and the chunks of a value that was replaced stay for readers as long as they should.

use std::fmt;

use crate::history::Moment;

#[cfg(test)]
mod tests;

/// How far somebody was told that an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Published {
        version: u64,
    },
    Refused {
        found: Option<u64>,
    },
    Aborted,
    /// Aborted or refused.
    GivenUp,
}

/// What somebody was told of an upload's state, and when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub sent: Moment,
    pub answered: Moment,
    pub state: State,
}

/// All that was told of one upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// How long its chunks stay after its end.
    pub kept_nanos: u64,
    /// Until when it takes chunks, as the service said.
    pub until: Option<u64>,
    /// Its client asked for it to be given up.
    pub abort_sent: bool,
    pub told: Vec<Told>,
    /// When it was last asked for something whose answer showed it to be the key's value, in nanoseconds.
    pub current_nanos: Option<u64>,
    /// When it was first answered that a chunk of its value is gone, in nanoseconds.
    pub gone_nanos: Option<u64>,
    /// When it was first answered that there is no such upload, after it had begun for certain, in
    /// nanoseconds.
    pub forgotten_nanos: Option<u64>,
}

/// What can't be true of one upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ended in two ways.
    EndsDisagree { first: Told, other: Told },
    /// It was open again after its end.
    OpenAgain { ended: Told, open: Told },
    /// It was given up without anybody's asking and before its time.
    AbortedEarly { told: Told, until: u64 },
    /// It was forgotten before its time.
    ForgottenEarly { forgotten_nanos: u64, until: u64 },
    /// It was forgotten, and its value lived.
    ForgottenAlive { forgotten_nanos: u64, current_nanos: u64 },
    /// Chunks went before the time for which they stay was over.
    GoneEarly { gone_nanos: u64, current_nanos: u64, kept_nanos: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "uploads: {self:?}")
    }
}

impl Story {
    /// Makes the story of an upload that wasn't begun, whose chunks will stay so long after its end.
    pub fn new(kept_nanos: u64) -> Self {
        Self {
            kept_nanos,
            until: None,
            abort_sent: false,
            told: Vec::new(),
            current_nanos: None,
            gone_nanos: None,
            forgotten_nanos: None,
        }
    }

    /// Tells the first end that somebody was told.
    pub fn end(&self) -> Option<State> {
        self.told.iter().map(|told| told.state).find(|state| *state != State::Open)
    }

    /// Notes that a question sent then was answered with it as the key's value.
    pub fn note_current(&mut self, sent_nanos: u64) {
        self.current_nanos = self.current_nanos.max(Some(sent_nanos));
    }

    /// Notes that a chunk of its value was answered to be gone.
    pub fn note_gone(&mut self, answered_nanos: u64) {
        self.gone_nanos = Some(self.gone_nanos.map_or(answered_nanos, |gone| gone.min(answered_nanos)));
    }

    /// Checks the story.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), Fault> {
        let mut first: Option<Told> = None;
        for told in self.told.iter().filter(|told| told.state != State::Open) {
            if let (State::Aborted, false, Some(until)) = (told.state, self.abort_sent, self.until)
                && told.answered.nanos < until
            {
                return Err(Fault::AbortedEarly { told: *told, until });
            }
            match first {
                Some(first) if !agree(first.state, told.state) => {
                    return Err(Fault::EndsDisagree { first, other: *told });
                }
                // The more exact word stays.
                Some(Told { state: State::GivenUp, .. }) | None => first = Some(*told),
                Some(_) => {}
            }
        }
        for open in self.told.iter().filter(|told| told.state == State::Open) {
            let ended = |told: &&Told| told.state != State::Open && told.answered < open.sent;
            if let Some(ended) = self.told.iter().find(ended) {
                return Err(Fault::OpenAgain { ended: *ended, open: *open });
            }
        }
        if let (Some(forgotten_nanos), Some(until)) = (self.forgotten_nanos, self.until)
            && forgotten_nanos < until
        {
            return Err(Fault::ForgottenEarly { forgotten_nanos, until });
        }
        if let (Some(forgotten_nanos), Some(current_nanos)) = (self.forgotten_nanos, self.current_nanos)
            && forgotten_nanos < current_nanos
        {
            return Err(Fault::ForgottenAlive { forgotten_nanos, current_nanos });
        }
        if let (Some(gone_nanos), Some(current_nanos)) = (self.gone_nanos, self.current_nanos)
            && gone_nanos < current_nanos + self.kept_nanos
        {
            return Err(Fault::GoneEarly { gone_nanos, current_nanos, kept_nanos: self.kept_nanos });
        }
        Ok(())
    }
}

/// Tells whether both words can be true of one end.
fn agree(one: State, other: State) -> bool {
    let given_up = |state| matches!(state, State::Aborted | State::Refused { .. } | State::GivenUp);
    one == other || (one == State::GivenUp || other == State::GivenUp) && given_up(one) && given_up(other)
}
