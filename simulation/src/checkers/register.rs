//! The model of one key: what is stored, since when, until when, and what a step does to it.

use crate::history::Fingerprint;

/// When a record ends, as far as that is known, in nanoseconds on the network's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    pub earliest: u64,
    pub latest: u64,
}

/// What must be stored for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Anything,
    Present,
    Absent,
    Version(u64),
    Record {
        value: Fingerprint,
        version: u64,
    },
    /// A value longer than a record, of so many bytes.
    Large {
        bytes: u64,
    },
    /// Anything but a value longer than a record.
    NotLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    Remove,
    /// The version is None where nobody was told it.
    Put {
        value: Fingerprint,
        version: Option<u64>,
        ends: Option<Ends>,
        /// Its length, if it is longer than a record.
        large_bytes: Option<u64>,
    },
}

/// What an operation does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub needs: Needs,
    pub effect: Effect,
}

/// Between which times a step happens, in nanoseconds on the network's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: u64,
    pub to: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub value: Fingerprint,
    /// None until somebody was told it.
    pub version: Option<u64>,
    pub ends: Option<Ends>,
    pub large_bytes: Option<u64>,
}

/// What is stored, and the highest version known to have been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register {
    pub stored: Option<Stored>,
    pub floor: u64,
}

impl Step {
    /// Tells the version without which the step can't happen.
    pub fn needed_version(&self) -> Option<u64> {
        match self.needs {
            Needs::Version(version) | Needs::Record { version, .. } => Some(version),
            Needs::Anything | Needs::Present | Needs::Absent | Needs::Large { .. } | Needs::NotLarge => None,
        }
    }
}

impl Register {
    /// Applies a step; None if it doesn't fit.
    pub fn apply(self, step: &Step, window: Window) -> Option<Register> {
        let before = match step.needs {
            Needs::Anything => self,
            Needs::Present => self.present(window)?,
            Needs::Absent => self.absent(window)?,
            Needs::Version(version) => self.present(window)?.with_version(version)?,
            Needs::Record { value, version } => {
                let before = self.present(window)?.with_version(version)?;
                before.stored.filter(|stored| stored.value == value)?;
                before
            }
            Needs::Large { bytes } => {
                let before = self.present(window)?;
                before.stored.filter(|stored| stored.large_bytes == Some(bytes))?;
                before
            }
            Needs::NotLarge if self.stored.is_some_and(|stored| stored.large_bytes.is_none()) => self,
            Needs::NotLarge => self.absent(window)?,
        };
        match step.effect {
            Effect::Nothing => Some(before),
            Effect::Remove => Some(Register { stored: None, ..before }),
            Effect::Put { version: Some(version), .. } if version <= before.floor => None,
            Effect::Put { value, version, ends, large_bytes } => {
                let stored = Some(Stored { value, version, ends, large_bytes });
                Some(Register { stored, floor: version.unwrap_or(before.floor) })
            }
        }
    }

    /// Tells whether a step can't happen any more, because versions only grow.
    pub fn has_passed(&self, step: &Step) -> bool {
        let put = matches!(step.effect, Effect::Put { version: Some(version), .. } if version <= self.floor);
        let stored = self.stored.and_then(|stored| stored.version);
        put || step.needed_version().is_some_and(|version| version <= self.floor && stored != Some(version))
    }

    /// Sees the record that is stored, unless its time is over for certain.
    fn present(self, window: Window) -> Option<Register> {
        let stored = self.stored?;
        let over = stored.ends.is_some_and(|ends| ends.latest <= window.from);
        (!over).then_some(self)
    }

    /// Sees no record: there is none, or its time may be over.
    fn absent(self, window: Window) -> Option<Register> {
        match self.stored {
            None => Some(self),
            Some(Stored { ends: Some(ends), .. }) if ends.earliest <= window.to => {
                Some(Register { stored: None, ..self })
            }
            Some(_) => None,
        }
    }

    /// Learns, or compares, the version of what is stored.
    fn with_version(self, version: u64) -> Option<Register> {
        let stored = self.stored?;
        match stored.version {
            Some(known) => (known == version).then_some(self),
            None if version <= self.floor => None,
            None => Some(Register { stored: Some(Stored { version: Some(version), ..stored }), floor: version }),
        }
    }
}
