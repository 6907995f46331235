//! `import` and `export`: folders of files as records, whose keys are the files' paths.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Kind};
use crate::shown::print_line;

pub mod export;
pub mod import;
mod journal;
mod names;

/// Files with trouble that are named; further ones are only counted.
const NAMED_MAX: usize = 20;

/// Whether to end at the next place where everything that was begun is whole.
#[derive(Debug, Default)]
pub struct Ending(AtomicBool);

impl Ending {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What came of a folder.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    bytes: u64,
    /// Files that were done by an earlier run of the same command.
    before: u64,
    /// What could not be done, with why.
    troubles: Vec<(String, String)>,
}

impl Tally {
    /// Tells the end of a run that went through everything.
    ///
    /// # Errors
    /// [`Kind::Incomplete`] when there was trouble with some files, which are named.
    fn tell(&self, verb: &str, json: bool) -> Result<(), Failure> {
        if json {
            let troubles: Vec<_> =
                self.troubles.iter().map(|(name, why)| serde_json::json!({ "file": name, "reason": why })).collect();
            print_line(serde_json::json!({
                "files": self.files, "bytes": self.bytes, "files_before": self.before, "troubles": troubles
            }))?;
        } else {
            for (name, why) in self.troubles.iter().take(NAMED_MAX) {
                eprintln!("left out: {name}: {why}");
            }
            if self.troubles.len() > NAMED_MAX {
                eprintln!("left out: {} more", self.troubles.len() - NAMED_MAX);
            }
            let before = if self.before > 0 { format!(", {} before", self.before) } else { String::new() };
            print_line(format!("{verb} {} files, {} bytes{before}", self.files, self.bytes))?;
        }
        match self.troubles.len() {
            0 => Ok(()),
            count => Err(Failure::new(Kind::Incomplete, format!("{count} files were left out"))),
        }
    }

    /// Says how far a run came that can be taken up again.
    fn so_far(&self, failure: Failure, verb: &str) -> Failure {
        let files = self.files + self.before;
        failure.with_advice(format!("{files} files are {verb}, and the same command goes on from there"))
    }

    fn interrupted(&self, verb: &str) -> Failure {
        self.so_far(Failure::new(Kind::Interrupted, "interrupted"), verb)
    }
}
