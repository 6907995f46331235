//! Large values as streams of their chunks.

use std::sync::Arc;

use canopy_types::api::uploads::Manifest;
use canopy_types::{Digest, UploadFault};
use futures_util::stream::{self, Stream, StreamExt};

use super::{LargeRecord, WINDOW_MAX};
use crate::client::Client;
use crate::outcome::NotDone;
use crate::reason::Reason;
use crate::transport::Transport;

#[cfg(test)]
mod tests;

/// A large value that is about to be read: one version of it, whatever is put under its key meanwhile.
///
/// ```
/// use canopy_client::LargeStream;
///
/// fn tell<T>(film: &LargeStream<'_, T>) {
///     println!("version {}, {} bytes", film.record.version.0, film.record.value_bytes);
/// }
/// ```
#[derive(Debug)]
pub struct LargeStream<'c, T> {
    /// What is known of the value beside its bytes.
    pub record: LargeRecord,
    client: &'c Client<T>,
    key: Vec<u8>,
    manifest: Manifest,
}

impl<T: Transport> Client<T> {
    /// Finds the large value under `key`, to be read as a stream; `None` when none is stored there, though a record may be.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, WINDOW};
    /// use futures_util::TryStreamExt;
    ///
    /// async fn count<T: Transport>(client: &Client<T>) -> Result<u64, NotDone> {
    ///     let Some(film) = client.large_stream("film").await? else { return Ok(0) };
    ///     let chunks = film.chunks(WINDOW);
    ///     chunks.try_fold(0, |bytes, chunk| async move { Ok(bytes + chunk.len() as u64) }).await
    /// }
    /// ```
    pub async fn large_stream(&self, key: impl AsRef<[u8]>) -> Result<Option<LargeStream<'_, T>>, NotDone> {
        let key = key.as_ref().to_vec();
        let Some(manifest) = self.manifest(&key).await? else { return Ok(None) };
        let Manifest { version, value_bytes, expires_at_nanoseconds, .. } = manifest;
        let record = LargeRecord { version, value_bytes, expires_at_nanoseconds };
        Ok(Some(LargeStream { record, client: self, key, manifest }))
    }
}

impl<T: Transport> LargeStream<'_, T> {
    /// Gives the chunks in their order, each once its digest is compared; `window` of them, 1 to 64, are under way at once.
    /// Behind the last one the digest of the whole is compared.
    ///
    /// The stream ends with the first error. That is `Gone` when the value was replaced and its chunks were collected before
    /// they were read, as they are after 15 minutes at first: then the value is to be found anew.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{LargeStream, NotDone};
    /// use futures_util::StreamExt;
    /// use std::pin::pin;
    ///
    /// async fn beginning<T: Transport>(film: LargeStream<'_, T>) -> Result<Vec<u8>, NotDone> {
    ///     let mut chunks = pin!(film.chunks(1));
    ///     Ok(chunks.next().await.transpose()?.unwrap_or_default())
    /// }
    /// ```
    pub fn chunks(self, window: usize) -> impl Stream<Item = Result<Vec<u8>, NotDone>> {
        let (count, whole) = (self.manifest.chunks, self.manifest.digest);
        let value = Arc::new(self);
        let read = stream::iter(0..count).map(move |index| {
            let value = value.clone();
            async move { value.client.chunk(&value.key, &value.manifest, index).await }
        });
        let read = Box::pin(read.buffered(window.clamp(1, WINDOW_MAX)));
        stream::try_unfold((read, Vec::new()), move |(mut read, mut digests)| async move {
            if let Some(chunk) = read.next().await.transpose()? {
                digests.push(chunk.digest);
                return Ok(Some((chunk.bytes.into_vec(), (read, digests))));
            }
            let computed = Digest::of_chunks(&digests);
            let is_whole = computed == whole;
            if is_whole { Ok(None) } else { Err(NotDone::from(Reason::Upload(UploadFault::WrongDigest { computed }))) }
        })
    }
}
