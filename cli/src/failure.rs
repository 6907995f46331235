//! Why a command ends without having done what it was asked for, and the status it ends with.

use std::fmt;
use std::process::ExitCode;

use canopy_client::transport::CallError;
use canopy_client::{NotDone, Reason, UploadFault};

/// Why a command ended. Each kind has an exit code of its own, which README.md documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What was asked for isn't there, or not all of it could be done.
    Incomplete = 1,
    /// The arguments, files or ports of this machine, or a question that nobody answered with yes.
    Local = 2,
    /// The service refused: nothing was done.
    Refused = 3,
    /// No answer came: a write may have been done.
    Unknown = 4,
    /// The network isn't reached, or what is there isn't a router that this command understands.
    Network = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Kind {
    /// Names the kind for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Local => "local",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Network => "network",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One clear line, and its kind.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    message: String,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn local(message: impl Into<String>) -> Self {
        Self::new(Kind::Local, message)
    }

    pub fn network(message: impl Into<String>) -> Self {
        Self::new(Kind::Network, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// Puts what was being done before it.
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// Puts what to do about it behind it.
    pub fn with_advice(self, advice: impl fmt::Display) -> Self {
        Self { message: format!("{}; {advice}", self.message), ..self }
    }

    /// Tells people in a line on stderr, and machines as JSON there.
    pub fn tell(&self, json: bool) -> ExitCode {
        let code = self.kind as u8;
        if json {
            let told = serde_json::json!({
                "error": { "kind": self.kind.name(), "exit_code": code, "message": self.to_string() }
            });
            eprintln!("{told}");
        } else {
            eprintln!("error: {self}");
        }
        ExitCode::from(code)
    }
}

/// Shows the message in one line, whatever the network or a file system put into it.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.message.split_whitespace().collect();
        formatter.write_str(&words.join(" "))
    }
}

impl std::error::Error for Failure {}

/// Takes an error with what was being done when it came up. It is of the kind of the failure within, or else local.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let kind = error.downcast_ref::<Failure>().map_or(Kind::Local, |failure| failure.kind);
        Self::new(kind, format!("{error:#}"))
    }
}

impl From<NotDone> for Failure {
    fn from(not_done: NotDone) -> Self {
        let reason = not_done.reason;
        let kind = match &reason {
            Reason::NoAnswer { .. } | Reason::NotUnderstood { .. } => Kind::Network,
            Reason::NotSent { reject_code: 0 | 1, .. } | Reason::Rejected { reject_code: 3, .. } => Kind::Network,
            Reason::KeyEmpty | Reason::KeyTooLong { .. } | Reason::ValueTooLong { .. } => Kind::Local,
            Reason::TimeToLiveOutOfBounds { .. } | Reason::KeyTwice { .. } => Kind::Local,
            _ => Kind::Refused,
        };
        Self::new(kind, sentence(&reason))
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unknown { message } => Self::new(Kind::Unknown, format!("no answer came: {message}")),
            CallError::NotSent { reject_code, message } => {
                NotDone::from(Reason::NotSent { reject_code, message }).into()
            }
            CallError::Rejected { reject_code, message } => {
                NotDone::from(Reason::Rejected { reject_code, message }).into()
            }
        }
    }
}

/// Says in words why something was not done.
pub fn sentence(reason: &Reason) -> String {
    let says_it_all = match reason {
        Reason::KeyEmpty | Reason::KeyTooLong { .. } | Reason::ValueTooLong { .. } => true,
        Reason::TimeToLiveOutOfBounds { .. } | Reason::InvalidCursor { .. } => true,
        Reason::NotSent { reject_code, .. } => matches!(reject_code, 0 | 1),
        Reason::NoAnswer { .. } | Reason::NotUnderstood { .. } => true,
        Reason::Upload(fault) => matches!(fault, UploadFault::SizeOutOfBounds { .. } | UploadFault::Gone),
        _ => false,
    };
    if says_it_all { reason.to_string() } else { format!("not done: {reason}") }
}

#[cfg(test)]
mod tests;
