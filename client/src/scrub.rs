//! Scrubs: a walk through all that large values consist of, which finds what belongs to nothing and what is missing.

use canopy_types::api::scrub::{ScrubArguments, ScrubError, ScrubPage};
use canopy_types::codec::encode;
use canopy_types::cursor::{CursorOf, hash_of};
use canopy_types::{HashRange, KeyHash};
use serde_bytes::ByteBuf;

use crate::client::{Client, Reading};
use crate::outcome::NotDone;
use crate::reason::Reason;
use crate::transport::Transport;

#[cfg(test)]
mod tests;

/// A scrub under way. For administrators.
///
/// It only reads. What is there from its beginning to its end is looked at once. What is under way is no finding: open
/// uploads, what is being collected, ranges that change hands. After an error it can go on where it was.
///
/// ```
/// use canopy_client::transport::Transport;
/// use canopy_client::{NotDone, Scrub};
///
/// async fn chunks<T: Transport>(mut scrub: Scrub<'_, T>) -> Result<u64, NotDone> {
///     let mut chunks = 0;
///     while let Some(page) = scrub.next_page().await? {
///         chunks += page.chunks;
///     }
///     Ok(chunks)
/// }
/// ```
#[derive(Debug)]
pub struct Scrub<'a, T> {
    client: &'a Client<T>,
    cursor: Option<ByteBuf>,
    is_at_end: bool,
}

impl<T: Transport> Client<T> {
    /// Begins to look for what large values left behind and what is missing of them. Nothing is asked until the first page
    /// is.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, StrayKind};
    ///
    /// /// Lists the keys whose values can't be read whole any more.
    /// async fn broken<T: Transport>(client: &Client<T>) -> Result<Vec<Vec<u8>>, NotDone> {
    ///     let mut scrub = client.scrub();
    ///     let mut keys = Vec::new();
    ///     while let Some(page) = scrub.next_page().await? {
    ///         let lacking = page.strays.into_iter().filter(|stray| matches!(stray.kind, StrayKind::ChunksMissing { .. }));
    ///         keys.extend(lacking.filter_map(|stray| stray.key).map(|key| key.into_vec()));
    ///     }
    ///     Ok(keys)
    /// }
    /// ```
    pub fn scrub(&self) -> Scrub<'_, T> {
        Scrub { client: self, cursor: None, is_at_end: false }
    }
}

impl<T: Transport> Scrub<'_, T> {
    /// Goes on where another scrub of the same service was, instead of at the beginning.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Scrub};
    ///
    /// /// Goes on where another scrub is, as another program could that was told the cursor.
    /// fn go_on<'a, T: Transport>(client: &'a Client<T>, scrub: &Scrub<'_, T>) -> Scrub<'a, T> {
    ///     match scrub.cursor() {
    ///         Some(cursor) => client.scrub().from_cursor(cursor.to_vec()),
    ///         None => client.scrub(),
    ///     }
    /// }
    /// ```
    pub fn from_cursor(self, cursor: Vec<u8>) -> Self {
        Self { cursor: Some(cursor.into()), ..self }
    }

    /// Gives the next page: how much was looked at, and what was found; `None` at the end. A page that is busy or lost is
    /// asked for again by the client's retry policy.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{NotDone, Scrub};
    ///
    /// async fn is_clean<T: Transport>(mut scrub: Scrub<'_, T>) -> Result<bool, NotDone> {
    ///     while let Some(page) = scrub.next_page().await? {
    ///         if !page.strays.is_empty() {
    ///             return Ok(false);
    ///         }
    ///     }
    ///     Ok(true)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no answer. The next call tries again.
    pub async fn next_page(&mut self) -> Result<Option<ScrubPage>, NotDone> {
        if self.is_at_end {
            return Ok(None);
        }
        let arguments = encode(&ScrubArguments { cursor: self.cursor.clone() });
        let page = self.client.read_page_of::<ScrubPage, ScrubError>("scrub", &arguments, Reading::Agreed).await?;
        if page.cursor.is_some() && page.cursor == self.cursor {
            return Err(Reason::NotUnderstood { message: "the scrub doesn't get on".to_string() }.into());
        }
        self.is_at_end = page.cursor.is_none();
        self.cursor.clone_from(&page.cursor);
        Ok(Some(page))
    }

    /// Tells where the next page begins, for another scrub to go on; `None` at the beginning and at the end.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::Scrub;
    ///
    /// fn has_more<T: Transport>(scrub: &Scrub<'_, T>) -> bool {
    ///     scrub.cursor().is_some()
    /// }
    /// ```
    pub fn cursor(&self) -> Option<&[u8]> {
        self.cursor.as_deref().map(Vec::as_slice)
    }

    /// Tells the hash that the scrub has come to, to show how far it is: pages go through all hashes, and hashes are
    /// uniform.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::Scrub;
    ///
    /// fn percent<T: Transport>(scrub: &Scrub<'_, T>) -> u64 {
    ///     scrub.position().0 / (u64::MAX / 100)
    /// }
    /// ```
    pub fn position(&self) -> KeyHash {
        match self.cursor() {
            Some(cursor) => hash_of(CursorOf::Scrub, cursor).unwrap_or(HashRange::FULL.first),
            None if self.is_at_end => HashRange::FULL.last,
            None => HashRange::FULL.first,
        }
    }
}
