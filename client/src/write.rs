//! The two kinds of writes, and what the library needs to know about them.

use std::fmt;

use canopy_types::Precondition;
use canopy_types::limits::{
    KEY_BYTES_MAX, TIME_TO_LIVE_MILLISECONDS_MAX, TIME_TO_LIVE_MILLISECONDS_MIN, VALUE_BYTES_MAX,
};
use canopy_types::wire::{ActionRef, DeleteRef, PutRef};
use canopy_types::{DeleteReply, PutReply, Version};

use crate::reason::Reason;

#[cfg(test)]
mod tests;

/// A value to store under a key.
///
/// ```
/// use canopy_client::Put;
///
/// // Only if nothing is there yet, and for an hour.
/// let put = Put::new("session/42", "alice").if_absent().time_to_live_milliseconds(60 * 60 * 1_000);
/// assert_eq!(put.key(), b"session/42");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Put {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) precondition: Option<Precondition>,
    pub(crate) time_to_live_milliseconds: Option<u64>,
}

/// A key whose record is to be removed.
///
/// ```
/// use canopy_client::Delete;
///
/// let delete = Delete::new("session/42").if_present();
/// assert_eq!(delete.key(), b"session/42");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Delete {
    pub(crate) key: Vec<u8>,
    pub(crate) precondition: Option<Precondition>,
}

impl Put {
    /// Asks to store `value` (up to 4 GiB, in a batch up to 1 MiB) under `key` (1 to 1,024 bytes), whatever is there,
    /// for ever.
    ///
    /// ```
    /// use canopy_client::Put;
    ///
    /// let put = Put::new("greeting", "hello");
    /// assert_eq!((put.key(), put.value()), (&b"greeting"[..], &b"hello"[..]));
    /// ```
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: value.into(), precondition: None, time_to_live_milliseconds: None }
    }

    /// Has the record end so many milliseconds after the put, at most 100 years.
    ///
    /// ```
    /// use canopy_client::Put;
    ///
    /// let put = Put::new("session/42", "alice").time_to_live_milliseconds(60_000);
    /// ```
    pub fn time_to_live_milliseconds(mut self, milliseconds: u64) -> Self {
        self.time_to_live_milliseconds = Some(milliseconds);
        self
    }

    /// Shows the key.
    ///
    /// ```
    /// use canopy_client::Put;
    ///
    /// assert_eq!(Put::new("greeting", "hello").key(), b"greeting");
    /// ```
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Shows the value.
    ///
    /// ```
    /// use canopy_client::Put;
    ///
    /// assert_eq!(Put::new("greeting", "hello").value(), b"hello");
    /// ```
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

impl Delete {
    /// Asks to remove the record under `key` (1 to 1,024 bytes), whatever it is.
    ///
    /// ```
    /// use canopy_client::Delete;
    ///
    /// assert_eq!(Delete::new(b"greeting".to_vec()).key(), b"greeting");
    /// ```
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), precondition: None }
    }

    /// Shows the key.
    ///
    /// ```
    /// use canopy_client::Delete;
    ///
    /// assert_eq!(Delete::new("greeting").key(), b"greeting");
    /// ```
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

macro_rules! preconditions {
    ($type:ty) => {
        impl $type {
            /// Has it done only if nothing is stored under the key.
            ///
            /// ```
            /// use canopy_client::Put;
            ///
            /// let put = Put::new("greeting", "hello").if_absent();
            /// ```
            pub fn if_absent(self) -> Self {
                self.if_holds(Precondition::Absent)
            }

            /// Has it done only if something is stored under the key.
            ///
            /// ```
            /// use canopy_client::Put;
            ///
            /// let put = Put::new("greeting", "hello").if_present();
            /// ```
            pub fn if_present(self) -> Self {
                self.if_holds(Precondition::Present)
            }

            /// Has it done only if the record has this version.
            ///
            /// ```
            /// use canopy_client::{Put, Version};
            ///
            /// let put = Put::new("greeting", "hello").if_version(Version(17));
            /// ```
            pub fn if_version(self, version: Version) -> Self {
                self.if_holds(Precondition::Version(version))
            }

            /// Has it done only if the precondition holds; it replaces one that was given before.
            ///
            /// ```
            /// use canopy_client::{Precondition, Put};
            ///
            /// let put = Put::new("greeting", "hello").if_holds(Precondition::Absent);
            /// ```
            pub fn if_holds(mut self, precondition: Precondition) -> Self {
                self.precondition = Some(precondition);
                self
            }
        }
    };
}
preconditions!(Put);
preconditions!(Delete);

/// Shows the value's length only, because values are long and may be private.
impl fmt::Debug for Put {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Put")
            .field("key", &self.key.escape_ascii().to_string())
            .field("value_bytes", &self.value.len())
            .field("precondition", &self.precondition)
            .field("time_to_live_milliseconds", &self.time_to_live_milliseconds)
            .finish()
    }
}

/// Shows the key as text.
impl fmt::Debug for Delete {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Delete")
            .field("key", &self.key.escape_ascii().to_string())
            .field("precondition", &self.precondition)
            .finish()
    }
}

/// A [`Put`] or a [`Delete`].
///
/// ```
/// use canopy_client::{Delete, Put, Write};
///
/// fn is_write<W: Write>(_: &W) {}
/// is_write(&Put::new("greeting", "hello"));
/// is_write(&Delete::new("greeting"));
/// ```
pub trait Write: crate::requests::AtRouter {}
impl Write for Put {}
impl Write for Delete {}

/// What the library needs to know about a write. Not for applications.
pub trait Parts: Clone + std::fmt::Debug + private::Sealed {
    /// What is answered when it was done.
    type Done: Clone + std::fmt::Debug;

    #[doc(hidden)]
    fn key_bytes(&self) -> &[u8];

    #[doc(hidden)]
    fn payload_bytes(&self) -> usize;

    #[doc(hidden)]
    fn check(&self) -> Result<(), Reason>;

    #[doc(hidden)]
    fn action(&self) -> ActionRef<'_>;

    #[doc(hidden)]
    fn placeholder(&self) -> Self;

    /// Tells the put that has to be uploaded chunk by chunk, if it is one.
    #[doc(hidden)]
    fn large(&self) -> Option<&Put> {
        None
    }

    /// Makes what a put is answered what this is answered, if it is one.
    #[doc(hidden)]
    fn done_of_put(_reply: PutReply) -> Option<Self::Done> {
        None
    }
}

mod private {
    /// Keeps other types out.
    pub trait Sealed {}
    impl Sealed for super::Put {}
    impl Sealed for super::Delete {}
}

/// A version that no record has: versions are times, and this one is in the year 2554.
const NO_VERSION: Version = Version(u64::MAX);

impl Parts for Put {
    type Done = PutReply;

    fn key_bytes(&self) -> &[u8] {
        &self.key
    }

    fn payload_bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    fn check(&self) -> Result<(), Reason> {
        check_key(&self.key)?;
        if self.value.len() > VALUE_BYTES_MAX {
            let (bytes, bytes_max) = (self.value.len() as u64, VALUE_BYTES_MAX as u64);
            return Err(Reason::ValueTooLong { bytes, bytes_max });
        }
        let (milliseconds_min, milliseconds_max) = (TIME_TO_LIVE_MILLISECONDS_MIN, TIME_TO_LIVE_MILLISECONDS_MAX);
        match self.time_to_live_milliseconds {
            Some(milliseconds) if !(milliseconds_min..=milliseconds_max).contains(&milliseconds) => {
                Err(Reason::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max })
            }
            _ => Ok(()),
        }
    }

    fn action(&self) -> ActionRef<'_> {
        ActionRef::Put(PutRef {
            key: &self.key,
            value: &self.value,
            precondition: self.precondition,
            time_to_live_milliseconds: self.time_to_live_milliseconds,
            operation: None,
        })
    }

    fn placeholder(&self) -> Self {
        Self::new(self.key.clone(), Vec::new()).if_version(NO_VERSION)
    }

    fn large(&self) -> Option<&Put> {
        (self.value.len() > VALUE_BYTES_MAX).then_some(self)
    }

    fn done_of_put(reply: PutReply) -> Option<PutReply> {
        Some(reply)
    }
}

impl Parts for Delete {
    type Done = DeleteReply;

    fn key_bytes(&self) -> &[u8] {
        &self.key
    }

    fn payload_bytes(&self) -> usize {
        self.key.len()
    }

    fn check(&self) -> Result<(), Reason> {
        check_key(&self.key)
    }

    fn action(&self) -> ActionRef<'_> {
        ActionRef::Delete(DeleteRef { key: &self.key, precondition: self.precondition, operation: None })
    }

    fn placeholder(&self) -> Self {
        Self::new(self.key.clone()).if_version(NO_VERSION)
    }
}

/// Checks the length of a key.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Reason> {
    if key.is_empty() {
        return Err(Reason::KeyEmpty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Reason::KeyTooLong { bytes: key.len() as u64, bytes_max: KEY_BYTES_MAX as u64 });
    }
    Ok(())
}
