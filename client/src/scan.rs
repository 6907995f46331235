//! Scans: all records, page by page, in the order of their keys' hashes.

use candid::CandidType;
use canopy_types::api::{ScanArguments, ScanError, ScanPage, ScannedRecord};
use canopy_types::codec::encode;
use canopy_types::limits::VALUE_BYTES_MAX;
use canopy_types::{HashRange, Record};
use futures_util::stream::{self, Stream};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroU64};

use crate::client::{Client, Reading};
use crate::judge::{Heard, Place};
use crate::outcome::NotDone;
use crate::reading::{Next, answer, next};
use crate::reason::{Reason, Refused};
use crate::requests::read_any;
use crate::retry::Attempts;
use crate::transport::Transport;
use crate::writing::UNREADABLE;

#[cfg(test)]
mod tests;

/// Pages without records that are passed in search of the next record.
const EMPTY_PAGES_MAX: u32 = 100_000;

/// What to scan, and how.
///
/// ```
/// use canopy_client::ScanOptions;
///
/// let options = ScanOptions { key_prefix: Some(b"user/".to_vec()), without_values: true, ..ScanOptions::default() };
/// assert_eq!(options.cursor, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Only records of these hashes; all when `None`.
    pub range: Option<HashRange>,
    /// Only keys that begin with this; all when `None`. A filter and not an index: everything is walked through. A caller
    /// whose role is limited to a prefix has to give it, or a longer one.
    pub key_prefix: Option<Vec<u8>>,
    /// Where to go on, from [`Scan::cursor`] of a scan of the same range and prefix; at the beginning when `None`.
    pub cursor: Option<Vec<u8>>,
    /// Most records of a page.
    pub page_records_max: Option<NonZeroU32>,
    /// Most bytes of keys and values of a page.
    pub page_bytes_max: Option<NonZeroU64>,
    /// Only the values' lengths, which are in `value_bytes` then.
    pub without_values: bool,
    /// Ask one replica: faster and free, but possibly a moment old, and only as honest as it. Not in canisters.
    pub one_replica: bool,
}

/// A scan under way.
///
/// Whatever is there from its beginning to its end is met once; what is put or deleted meanwhile may be met or not. After
/// an error it can go on where it was.
///
/// ```
/// use canopy_client::transport::Transport;
/// use canopy_client::{NotDone, Scan};
///
/// async fn skip<T: Transport>(scan: &mut Scan<'_, T>, records: usize) -> Result<(), NotDone> {
///     for _ in 0..records {
///         scan.next().await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Scan<'a, T> {
    client: &'a Client<T>,
    options: ScanOptions,
    /// Of the last page, not yet given.
    records: VecDeque<ScannedRecord>,
    is_at_end: bool,
}

impl<T: Transport> Client<T> {
    /// Begins to scan. Nothing is asked until the first page or record is.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, ScanOptions};
    ///
    /// async fn count<T: Transport>(client: &Client<T>) -> Result<u64, NotDone> {
    ///     let mut scan = client.scan(ScanOptions { without_values: true, ..ScanOptions::default() });
    ///     let mut records = 0;
    ///     while let Some(_record) = scan.next().await? {
    ///         records += 1;
    ///     }
    ///     Ok(records)
    /// }
    /// ```
    pub fn scan(&self, options: ScanOptions) -> Scan<'_, T> {
        Scan { client: self, options, records: VecDeque::new(), is_at_end: false }
    }
}

impl<T: Transport> Scan<'_, T> {
    /// Gives the next record; `None` at the end. A value that was too long for its page is fetched.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{NotDone, Scan};
    ///
    /// async fn first_key<T: Transport>(mut scan: Scan<'_, T>) -> Result<Option<Vec<u8>>, NotDone> {
    ///     Ok(scan.next().await?.map(|record| record.key.into_vec()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no answer. The next call tries again.
    pub async fn next(&mut self) -> Result<Option<ScannedRecord>, NotDone> {
        for _ in 0..EMPTY_PAGES_MAX {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            match self.next_page().await? {
                None => return Ok(None),
                Some(records) => self.records.extend(records),
            }
        }
        Err(Reason::NoAnswer { message: format!("{EMPTY_PAGES_MAX} pages without records") }.into())
    }

    /// Gives the records as a stream, which ends behind the last one. After an error it can be asked again, and tries
    /// again.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, ScanOptions};
    /// use futures_util::TryStreamExt;
    ///
    /// async fn longest<T: Transport>(client: &Client<T>) -> Result<u64, NotDone> {
    ///     let scan = client.scan(ScanOptions { without_values: true, ..ScanOptions::default() });
    ///     let lengths = scan.records().map_ok(|record| record.value_bytes.unwrap_or(0));
    ///     lengths.try_fold(0, |longest, bytes| async move { Ok(longest.max(bytes)) }).await
    /// }
    /// ```
    pub fn records(self) -> impl Stream<Item = Result<ScannedRecord, NotDone>> {
        stream::unfold(self, |mut scan| async move {
            let next = scan.next().await.transpose()?;
            Some((next, scan))
        })
    }

    /// Gives the next page, which may have no records; `None` at the end. Don't mix with [`Scan::next`].
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{NotDone, Scan};
    ///
    /// async fn pages<T: Transport>(mut scan: Scan<'_, T>) -> Result<usize, NotDone> {
    ///     let mut pages = 0;
    ///     while scan.next_page().await?.is_some() {
    ///         pages += 1;
    ///     }
    ///     Ok(pages)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no answer. The next call tries again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ScannedRecord>>, NotDone> {
        if self.is_at_end {
            return Ok(None);
        }
        let page = self.client.read_page(&self.options).await?;
        let mut records = Vec::with_capacity(page.records.len());
        for record in page.records {
            records.extend(self.complete(record).await?);
        }
        let cursor = page.cursor.map(ByteBuf::into_vec);
        if cursor.is_some() && cursor == self.options.cursor {
            return Err(Reason::NotUnderstood { message: "the scan doesn't get on".to_string() }.into());
        }
        self.is_at_end = cursor.is_none();
        self.options.cursor = cursor;
        Ok(Some(records))
    }

    /// Tells where the next page begins, for another scan to go on; `None` at the beginning and at the end.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Scan, ScanOptions};
    ///
    /// /// Goes on where another scan is, as another program could that was told the cursor.
    /// fn go_on<'a, T: Transport>(client: &'a Client<T>, scan: &Scan<'_, T>) -> Scan<'a, T> {
    ///     client.scan(ScanOptions { cursor: scan.cursor().map(<[u8]>::to_vec), ..ScanOptions::default() })
    /// }
    /// ```
    pub fn cursor(&self) -> Option<&[u8]> {
        self.options.cursor.as_deref()
    }

    /// Fetches the value of a record that was too long for its page; `None` if the record is gone. A large value stays where
    /// it is, and only its length is told: [`Client::get_large`] reads it.
    async fn complete(&self, scanned: ScannedRecord) -> Result<Option<ScannedRecord>, NotDone> {
        let is_large = scanned.value_bytes.is_some_and(|bytes| bytes > VALUE_BYTES_MAX as u64);
        if self.options.without_values || scanned.value_bytes.is_none() || is_large {
            return Ok(Some(scanned));
        }
        let reading = self.options.reading(self.client);
        let record = match self.client.read_one(&scanned.key, None, reading).await {
            Err(NotDone { reason: Reason::AskAgain { bytes } }) => {
                return Ok(Some(ScannedRecord { value_bytes: Some(bytes), ..scanned }));
            }
            record => record?,
        };
        Ok(record.map(|Record { value, version, expires_at_nanoseconds, value_bytes }| ScannedRecord {
            key: scanned.key,
            value,
            version,
            expires_at_nanoseconds,
            value_bytes,
        }))
    }
}

impl ScanOptions {
    fn reading<T: Transport>(&self, client: &Client<T>) -> Reading {
        if self.one_replica && client.transport.can_query_composite() { Reading::OneReplica } else { Reading::Agreed }
    }
}

impl<T: Transport> Client<T> {
    async fn read_page(&self, options: &ScanOptions) -> Result<ScanPage, NotDone> {
        let arguments = encode(&ScanArguments {
            cursor: options.cursor.clone().map(ByteBuf::from),
            records_max: options.page_records_max.map(NonZeroU32::get),
            bytes_max: options.page_bytes_max.map(NonZeroU64::get),
            include_value: options.without_values.then_some(false),
            range: options.range,
            prefix: options.key_prefix.clone().map(ByteBuf::from),
        });
        let reading = options.reading(self);
        let method = match reading {
            Reading::Agreed => "scan",
            Reading::OneReplica => "scan_query",
        };
        self.read_page_of::<ScanPage, ScanError>(method, &arguments, reading).await
    }

    /// Asks the router for a page, until there is an answer, or a reason why there is none.
    pub(crate) async fn read_page_of<P, E: Into<Refused>>(
        &self,
        method: &str,
        arguments: &[u8],
        reading: Reading,
    ) -> Result<P, NotDone>
    where
        Result<P, E>: CandidType + DeserializeOwned,
    {
        let mut attempts = Attempts::begin(self.retry, &self.transport);
        loop {
            let reply = match reading {
                Reading::Agreed => self.transport.update(self.router, method, arguments).await,
                Reading::OneReplica => self.transport.query(self.router, method, arguments).await,
            };
            let heard = match reply {
                Err(error) => Heard::from_call_error(error, Place::Router),
                Ok(reply) => match read_any::<Result<P, E>>(&reply) {
                    Some(Ok(page)) => Heard::Done(page),
                    Some(Err(error)) => Heard::from_refused(error.into()),
                    None => Heard::Lost(UNREADABLE.to_string()),
                },
            };
            match next(&heard) {
                Next::Later { wait_milliseconds, lost }
                    if attempts.next(&self.transport, wait_milliseconds, lost).await => {}
                _ => return answer(heard).map_err(NotDone::from),
            }
        }
    }
}
