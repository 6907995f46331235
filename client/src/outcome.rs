//! How operations end: done; not done, for a reason; unknown, and to be settled.

use std::fmt;
use std::sync::Arc;

use crate::clock::is_too_late;
use crate::message::Message;
use crate::reason::{Advice, Reason};
use crate::write::Write;

/// Something that was not done: nothing was changed by it, and nothing of it is still under way.
///
/// ```
/// use canopy_client::{NotDone, Reason};
///
/// fn is_missing_right(not_done: &NotDone) -> bool {
///     matches!(not_done.reason, Reason::Unauthorised { .. })
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDone {
    /// Why not.
    pub reason: Reason,
}

impl NotDone {
    /// Says what to do about it.
    ///
    /// ```
    /// use canopy_client::{Advice, NotDone};
    ///
    /// fn wait_milliseconds(not_done: &NotDone) -> Option<u64> {
    ///     match not_done.advice() {
    ///         Advice::TryAgain { after_milliseconds } => Some(after_milliseconds),
    ///         _ => None,
    ///     }
    /// }
    /// ```
    pub fn advice(&self) -> Advice {
        self.reason.advice()
    }
}

impl From<Reason> for NotDone {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

/// Why a write has no reply.
///
/// ```
/// use canopy_client::{Put, WriteError};
///
/// fn tell(error: WriteError<Put>) {
///     match error {
///         WriteError::NotDone(not_done) => println!("{not_done}"),
///         WriteError::Unknown(unknown) => println!("settle this: {:?}", unknown.write().key()),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an unknown write may have been done: settle it, or tell whoever asked for it"]
pub enum WriteError<W: Write> {
    /// Not done.
    NotDone(NotDone),
    /// Done, not done, or still to be done within five minutes: no answer came.
    Unknown(Unknown<W>),
}

/// A write of which nobody knows whether it was done. [`Client::settle`](crate::Client::settle) finds out, for 15 minutes
/// after it was issued.
///
/// ```
/// use canopy_client::{Put, Unknown};
///
/// fn tell(unknown: &Unknown<Put>) {
///     println!("{:?}, issued at {}: {}", unknown.write(), unknown.issued_at_nanoseconds(), unknown.reason());
/// }
/// ```
#[derive(Clone)]
#[must_use = "an unknown write may have been done: settle it, or tell whoever asked for it"]
pub struct Unknown<W: Write> {
    pub(crate) message: Arc<Message<W>>,
    /// Place of the write in its message.
    pub(crate) place: usize,
    pub(crate) reason: String,
    /// Whether the service said that it doesn't remember.
    pub(crate) is_too_old: bool,
}

impl<W: Write> Unknown<W> {
    /// Shows the write.
    ///
    /// ```
    /// use canopy_client::{Put, Unknown};
    ///
    /// fn key(unknown: &Unknown<Put>) -> &[u8] {
    ///     unknown.write().key()
    /// }
    /// ```
    pub fn write(&self) -> &W {
        self.message.write(self.place)
    }

    /// Says why nothing is known.
    ///
    /// ```
    /// use canopy_client::{Delete, Unknown};
    ///
    /// fn tell(unknown: &Unknown<Delete>) {
    ///     println!("nobody knows: {}", unknown.reason());
    /// }
    /// ```
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn is_too_late(&self, now: u64) -> bool {
        self.is_too_old || is_too_late(self.issued_at_nanoseconds(), now)
    }

    /// Tells when the write was issued, in nanoseconds since 1970 by the service's clock as far as the client knows it.
    ///
    /// ```
    /// use canopy_client::{Put, Unknown};
    ///
    /// fn settle_before(unknown: &Unknown<Put>) -> u64 {
    ///     unknown.issued_at_nanoseconds() + 15 * 60 * 1_000_000_000
    /// }
    /// ```
    pub fn issued_at_nanoseconds(&self) -> u64 {
        self.message.issued_at_nanoseconds()
    }
}

/// Why an unknown write isn't settled as done.
///
/// ```
/// use canopy_client::{Put, SettleError, Unknown};
///
/// /// What to settle once more.
/// fn left(error: SettleError<Put>) -> Option<Unknown<Put>> {
///     match error {
///         SettleError::Unknown(unknown) => Some(unknown),
///         SettleError::NotDone(_) | SettleError::TooLate(_) => None,
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an unknown write may have been done: settle it, or tell whoever asked for it"]
pub enum SettleError<W: Write> {
    /// Settled: it was not done, and never will be.
    NotDone(NotDone),
    /// Again no answer came: settle it later.
    Unknown(Unknown<W>),
    /// More than 15 minutes went by. It won't be done any more; whether it was can't be told.
    TooLate(TooLate<W>),
}

/// A write that can't be settled any more.
///
/// ```
/// use canopy_client::transport::Transport;
/// use canopy_client::{Client, NotDone, Put, TooLate};
///
/// async fn is_there<T: Transport>(client: &Client<T>, late: TooLate<Put>) -> Result<bool, NotDone> {
///     let record = client.get(late.write.key()).await?;
///     Ok(record.is_some_and(|record| record.value == late.write.value()))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TooLate<W> {
    /// The write. Reading its key shows what is stored there by now.
    pub write: W,
}

/// Leaves out the writes that traveled with it.
impl<W: Write> fmt::Debug for Unknown<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Unknown")
            .field("write", self.write())
            .field("issued_at_nanoseconds", &self.issued_at_nanoseconds())
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not done: {}", self.reason)
    }
}

impl<W: Write> fmt::Display for WriteError<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::NotDone(not_done) => not_done.fmt(formatter),
            WriteError::Unknown(unknown) => write!(formatter, "unknown whether done: {}", unknown.reason),
        }
    }
}

impl<W: Write> fmt::Display for SettleError<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettleError::NotDone(not_done) => not_done.fmt(formatter),
            SettleError::Unknown(unknown) => write!(formatter, "still unknown whether done: {}", unknown.reason),
            SettleError::TooLate(_) => formatter.write_str("whether it was done can't be told any more"),
        }
    }
}

impl std::error::Error for NotDone {}
impl<W: Write> std::error::Error for WriteError<W> {}
impl<W: Write> std::error::Error for SettleError<W> {}
