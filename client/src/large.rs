//! Values longer than a record: uploaded and read chunk by chunk, several at a time, without the whole value in memory.
//!
//! Whatever is asked about an upload may be asked again, so a lost answer is asked for as a read's is; only the last word
//! about a commit can be unknown, and then the same upload again settles it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::task::Poll;

use candid::CandidType;
use canopy_types::api::uploads::{
    BeginUploadArguments, BegunUpload, Chunk, CommitUploadArguments, CommittedUpload, GetChunkArguments,
    GetManifestArguments, Manifest, PutChunkArguments, UploadArguments, UploadError, UploadStatus,
};
use canopy_types::codec::{decode, encode};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::uploads::shard::ShardUploadError;
use canopy_types::uploads::{check_size, chunk_bytes, chunk_key};
use canopy_types::{Digest, Precondition, PutReply, UploadFault, UploadId, UploadState, Version};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::client::{Client, Reading};
use crate::judge::{Heard, Place};
use crate::outcome::NotDone;
use crate::reading::{Next, answer, next};
use crate::reason::{Reason, Refused};
use crate::requests::from_result;
use crate::retry::Attempts;
use crate::routes::FromDirect;
use crate::transport::Transport;
use crate::write::check_key;
use crate::writing::{HOPS_MAX, UNREADABLE};

mod stream;

#[cfg(test)]
mod tests;

pub use stream::LargeStream;

/// Chunks that are under way at once, unless an application says otherwise. Each takes some mebibytes of memory.
///
/// ```
/// use canopy_client::transport::Transport;
/// use canopy_client::{Client, LargeError, WINDOW};
///
/// async fn read_in_half_the_memory<T: Transport>(client: &Client<T>) -> Result<Vec<u8>, LargeError> {
///     let mut film = Vec::new();
///     client.get_large("film", WINDOW / 2, &mut film).await?;
///     Ok(film)
/// }
/// ```
pub const WINDOW: usize = 8;

/// Most chunks that may be under way at once.
const WINDOW_MAX: usize = 64;

/// Times that reading begins anew because the value was replaced and its chunks collected while it was read.
const READINGS_MAX: u32 = 3;

/// A large value to store under a key.
///
/// ```
/// use canopy_client::{LargePut, UploadId};
///
/// // The name of the upload is kept until it is done, so that the same one can go on.
/// let put = LargePut { window: 4, ..LargePut::new("film", UploadId([7; 16]), 700_000_000) };
/// assert_eq!(put.key, b"film");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargePut {
    /// 1 to 1,024 bytes.
    pub key: Vec<u8>,
    /// Length of the value, 1 to 4,294,967,296 bytes.
    pub value_bytes: u64,
    /// Name of the upload: the one of an earlier attempt goes on where that ended.
    pub upload: UploadId,
    /// What must hold of the record that is there, at the beginning and at the end.
    pub precondition: Option<Precondition>,
    /// After how many milliseconds from the end of the upload on the value ends.
    pub time_to_live_milliseconds: Option<u64>,
    /// Chunks under way at once, 1 to 64.
    pub window: usize,
}

/// Gives the bytes of a value to upload, in order.
///
/// ```
/// use canopy_client::Source;
/// use std::io::Read;
///
/// /// Whatever can be read, such as a file.
/// struct Reading<R>(R);
///
/// impl<R: Read> Source for Reading<R> {
///     fn read(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
///         let mut buffer = vec![0; bytes];
///         self.0.read_exact(&mut buffer).map_err(|error| error.to_string())?;
///         Ok(buffer)
///     }
/// }
///
/// let mut source = Reading(&b"film"[..]);
/// assert_eq!(source.read(3), Ok(b"fil".to_vec()));
/// ```
pub trait Source {
    /// Gives the next so many bytes.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, String>;
}

/// Takes the bytes of a value that is read, in order.
///
/// ```
/// use canopy_client::Sink;
/// use std::fs::File;
/// use std::io::{Seek, Write};
///
/// struct Writing(File);
///
/// impl Sink for Writing {
///     fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
///         self.0.write_all(&bytes).map_err(|error| error.to_string())
///     }
///
///     fn restart(&mut self) -> Result<(), String> {
///         self.0.rewind().and_then(|()| self.0.set_len(0)).map_err(|error| error.to_string())
///     }
/// }
/// ```
pub trait Sink {
    /// Takes what comes next. After `restart` it is the first again.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), String>;

    /// Forgets what came so far: the value was replaced while it was read, and comes anew.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    fn restart(&mut self) -> Result<(), String>;
}

/// A value in memory.
impl Source for &[u8] {
    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
        let (taken, rest) = self.split_at_checked(bytes).ok_or("the value is shorter than was said")?;
        *self = rest;
        Ok(taken.to_vec())
    }
}

/// A value that is gathered in memory.
impl Sink for Vec<u8> {
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.extend_from_slice(&bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        self.clear();
        Ok(())
    }
}

/// Why a large value was not stored, or not read.
///
/// ```
/// use canopy_client::LargeError;
///
/// fn tell(error: LargeError) {
///     match error {
///         LargeError::NotDone(not_done) => println!("{not_done}: {:?}", not_done.advice()),
///         LargeError::Unknown { reason } => println!("{reason}; the same upload again settles it"),
///         LargeError::Local { reason } => println!("on this side: {reason}"),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an upload that ended half way may be gone on with, or is to be aborted"]
pub enum LargeError {
    /// Not done. What was uploaded so far stays, and the same upload may go on, until it is aborted or a day has gone by.
    NotDone(NotDone),
    /// All chunks are there, and nobody knows whether they were published: no answer came. The same upload again settles
    /// it.
    Unknown {
        /// Why nothing is known.
        reason: String,
    },
    /// The value couldn't be read, or not be written, on this side.
    Local {
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for LargeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDone(not_done) => not_done.fmt(formatter),
            Self::Unknown { reason } => write!(formatter, "unknown whether published: {reason}"),
            Self::Local { reason } => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for LargeError {}

impl From<Reason> for LargeError {
    fn from(reason: Reason) -> Self {
        Self::NotDone(reason.into())
    }
}

impl From<NotDone> for LargeError {
    fn from(not_done: NotDone) -> Self {
        Self::NotDone(not_done)
    }
}

impl From<UploadFault> for LargeError {
    fn from(fault: UploadFault) -> Self {
        Reason::Upload(fault).into()
    }
}

fn local(reason: String) -> LargeError {
    LargeError::Local { reason }
}

/// What was read of a large value beside its bytes.
///
/// ```
/// use canopy_client::transport::Transport;
/// use canopy_client::{Client, LargeError, LargeRecord, WINDOW};
///
/// async fn end<T: Transport>(client: &Client<T>, film: &mut Vec<u8>) -> Result<Option<u64>, LargeError> {
///     let read = client.get_large("film", WINDOW, film).await?;
///     Ok(read.and_then(|LargeRecord { expires_at_nanoseconds, .. }| expires_at_nanoseconds))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeRecord {
    /// Version of the value.
    pub version: Version,
    /// Its length.
    pub value_bytes: u64,
    /// When it ends, in nanoseconds since 1970; `None`: never.
    pub expires_at_nanoseconds: Option<u64>,
}

impl LargePut {
    /// Asks to store a value of `value_bytes` under `key`, whatever is there, for ever. `upload` is drawn at random, or
    /// that of an earlier attempt; see [`Client::new_upload`].
    pub fn new(key: impl Into<Vec<u8>>, upload: UploadId, value_bytes: u64) -> Self {
        let (precondition, time_to_live_milliseconds) = (None, None);
        Self { key: key.into(), value_bytes, upload, precondition, time_to_live_milliseconds, window: WINDOW }
    }
}

impl<T: Transport> Client<T> {
    /// Draws the name of a new upload.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, LargePut};
    ///
    /// fn begin<T: Transport>(client: &Client<T>, bytes: u64) -> LargePut {
    ///     let put = LargePut::new("film", client.new_upload(), bytes);
    ///     println!("kept, to go on with it: {}", put.upload);
    ///     put
    /// }
    /// ```
    pub fn new_upload(&self) -> UploadId {
        UploadId(self.transport.draw())
    }

    /// Stores a large value, which `source` gives from its beginning. Chunks that an earlier attempt with the same upload
    /// has stored are not sent again. Readers see the old value until all of the new one is there.
    ///
    /// # Errors
    ///
    /// Why not, or that nobody knows.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, LargeError, LargePut};
    ///
    /// async fn store<T: Transport>(client: &Client<T>, film: &[u8]) -> Result<(), LargeError> {
    ///     let put = LargePut::new("film", client.new_upload(), film.len() as u64);
    ///     // Any `Source` will do, such as a file that is read as it goes.
    ///     client.put_large(&put, &mut &film[..]).await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn put_large(&self, put: &LargePut, source: &mut impl Source) -> Result<PutReply, LargeError> {
        check_key(&put.key)?;
        check_size(put.value_bytes)?;
        let begun = self.begin_upload(put).await?;
        let present = self.known_chunks(put, begun.chunks).await?;
        let window = put.window.clamp(1, WINDOW_MAX);
        let (mut digests, mut running) = (Vec::with_capacity(begun.chunks as usize), Vec::with_capacity(window));
        for index in 0..begun.chunks {
            let bytes = source.read(chunk_bytes(put.value_bytes, index)).map_err(local)?;
            let digest = Digest::of(&bytes);
            digests.push(digest);
            if present.get(index as usize / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1) {
                continue;
            }
            if running.len() == window {
                let (_, stored): (u32, Result<(), Reason>) = first_done(&mut running).await;
                stored?;
            }
            let arguments = PutChunkArguments {
                key: ByteBuf::from(put.key.clone()),
                upload: put.upload,
                pass: begun.pass.clone(),
                index,
                digest,
                bytes: bytes.into(),
                caller: None,
            };
            // The bytes are kept once only, as they are sent.
            let arguments = encode(&arguments);
            let chunk = (put.upload, index);
            running.push((index, Box::pin(async move { self.ask_chunk(chunk, "put_chunk", &arguments).await })));
        }
        while !running.is_empty() {
            first_done(&mut running).await.1?;
        }
        self.commit_upload(put, Digest::of_chunks(&digests)).await
    }

    /// Reads a large value into `sink`; `None` when none is stored under `key`, though a record may be.
    ///
    /// # Errors
    ///
    /// Why there is no answer. `sink` may have taken a part of the value.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, LargeError, Sink, WINDOW};
    ///
    /// #[derive(Default)]
    /// struct Counted(u64);
    ///
    /// impl Sink for Counted {
    ///     fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
    ///         self.0 += bytes.len() as u64;
    ///         Ok(())
    ///     }
    ///
    ///     fn restart(&mut self) -> Result<(), String> {
    ///         self.0 = 0;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn count<T: Transport>(client: &Client<T>) -> Result<u64, LargeError> {
    ///     let mut counted = Counted::default();
    ///     client.get_large("film", WINDOW, &mut counted).await?;
    ///     Ok(counted.0)
    /// }
    /// ```
    pub async fn get_large(
        &self,
        key: impl AsRef<[u8]>,
        window: usize,
        sink: &mut impl Sink,
    ) -> Result<Option<LargeRecord>, LargeError> {
        let key = key.as_ref();
        for reading in 1..=READINGS_MAX {
            let Some(manifest) = self.manifest(key).await? else { return Ok(None) };
            match self.get_chunks(key, &manifest, window, sink).await {
                Err(LargeError::NotDone(NotDone { reason: Reason::Upload(UploadFault::Gone) }))
                    if reading < READINGS_MAX =>
                {
                    sink.restart().map_err(local)?;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    let Manifest { version, value_bytes, expires_at_nanoseconds, .. } = manifest;
                    return Ok(Some(LargeRecord { version, value_bytes, expires_at_nanoseconds }));
                }
            }
        }
        unreachable!("INVARIANT: the last reading ends one way or the other")
    }

    /// Reads of which chunks the large value under `key` consists; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// async fn bytes<T: Transport>(client: &Client<T>, key: &[u8]) -> Result<Option<u64>, NotDone> {
    ///     Ok(client.manifest(key).await?.map(|manifest| manifest.value_bytes))
    /// }
    /// ```
    pub async fn manifest(&self, key: &[u8]) -> Result<Option<Manifest>, NotDone> {
        check_key(key)?;
        let arguments = encode(&GetManifestArguments { key: ByteBuf::from(key) });
        Ok(self.ask_router("get_manifest", &arguments).await?)
    }

    /// Reads a range of bytes of a manifest's value; what lies beyond the value's end is left out. Chunks are read one
    /// after the other, each whole, and their digests compared. The range is held in memory: [`Client::get_large`] is for
    /// long ones.
    ///
    /// # Errors
    ///
    /// Why there is no answer; `Gone`, some time after the value was replaced.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// /// Reads the first bytes of a value, by which its kind is told.
    /// async fn magic<T: Transport>(client: &Client<T>, key: &[u8]) -> Result<Option<Vec<u8>>, NotDone> {
    ///     let Some(manifest) = client.manifest(key).await? else { return Ok(None) };
    ///     Ok(Some(client.range(key, &manifest, 0..16).await?))
    /// }
    /// ```
    pub async fn range(&self, key: &[u8], manifest: &Manifest, range: Range<u64>) -> Result<Vec<u8>, NotDone> {
        let end = range.end.min(manifest.value_bytes);
        let mut bytes = Vec::new();
        let mut at = range.start;
        while at < end {
            let (index, from) = (at / CHUNK_BYTES as u64, at % CHUNK_BYTES as u64);
            let chunk = self.chunk(key, manifest, index as u32).await?.bytes;
            // A chunk is as long as its place in the value says, so something of it lies in the range.
            let to = (end - (at - from)).min(chunk.len() as u64);
            bytes.extend_from_slice(&chunk[from as usize..to as usize]);
            at += to - from;
        }
        Ok(bytes)
    }

    /// Reads a chunk of a manifest's value, and compares its digest. All chunks but the last have `chunk_bytes`.
    ///
    /// # Errors
    ///
    /// Why there is no answer; `Gone`, some time after the value was replaced.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// /// Reads the byte at a place.
    /// async fn byte<T: Transport>(client: &Client<T>, key: &[u8], place: u64) -> Result<Option<u8>, NotDone> {
    ///     let Some(manifest) = client.manifest(key).await? else { return Ok(None) };
    ///     let chunk = client.chunk(key, &manifest, (place / manifest.chunk_bytes) as u32).await?;
    ///     Ok(chunk.bytes.get((place % manifest.chunk_bytes) as usize).copied())
    /// }
    /// ```
    pub async fn chunk(&self, key: &[u8], manifest: &Manifest, index: u32) -> Result<Chunk, NotDone> {
        let arguments =
            GetChunkArguments { key: ByteBuf::from(key), upload: manifest.upload, pass: manifest.pass.clone(), index };
        let chunk: Chunk = self.ask_chunk((manifest.upload, index), "get_chunk", &encode(&arguments)).await?;
        let computed = Digest::of(&chunk.bytes);
        if computed != chunk.digest || chunk.bytes.len() != chunk_bytes(manifest.value_bytes, index) {
            return Err(Reason::Upload(UploadFault::WrongDigest { computed }).into());
        }
        Ok(chunk)
    }

    /// Gives an upload up that was not published.
    ///
    /// # Errors
    ///
    /// Why not.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, UploadId, UploadState};
    ///
    /// async fn give_up<T: Transport>(client: &Client<T>, key: &[u8], upload: UploadId) -> Result<(), NotDone> {
    ///     if client.upload_status(key, upload).await?.state == UploadState::Open {
    ///         client.abort_upload(key, upload).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn abort_upload(&self, key: &[u8], upload: UploadId) -> Result<(), NotDone> {
        let arguments = encode(&UploadArguments { key: ByteBuf::from(key), upload });
        Ok(self.ask_router("abort_upload", &arguments).await?)
    }

    /// Tells how far an upload is.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, UploadId};
    ///
    /// async fn chunks_left<T: Transport>(client: &Client<T>, key: &[u8], upload: UploadId) -> Result<usize, NotDone> {
    ///     let status = client.upload_status(key, upload).await?;
    ///     Ok((0..status.chunks).filter(|index| !status.has(*index)).count())
    /// }
    /// ```
    pub async fn upload_status(&self, key: &[u8], upload: UploadId) -> Result<UploadStatus, NotDone> {
        let arguments = encode(&UploadArguments { key: ByteBuf::from(key), upload });
        Ok(self.ask_router("upload_status", &arguments).await?)
    }

    async fn begin_upload(&self, put: &LargePut) -> Result<BegunUpload, LargeError> {
        let arguments = BeginUploadArguments {
            key: ByteBuf::from(put.key.clone()),
            upload: put.upload,
            value_bytes: put.value_bytes,
            precondition: put.precondition,
            time_to_live_milliseconds: put.time_to_live_milliseconds,
        };
        let begun: BegunUpload = self.ask_router("begin_upload", &encode(&arguments)).await?;
        let is_expected = begun.chunk_bytes == CHUNK_BYTES as u64;
        is_expected.then_some(begun).ok_or_else(|| {
            let message = "the service cuts values otherwise than this library knows".to_string();
            Reason::NotUnderstood { message }.into()
        })
    }

    /// Tells which chunks are there. An upload that is published needs none.
    async fn known_chunks(&self, put: &LargePut, chunks: u32) -> Result<Vec<u8>, LargeError> {
        let status = self.upload_status(&put.key, put.upload).await.map_err(LargeError::NotDone)?;
        Ok(match status.state {
            UploadState::Published { .. } | UploadState::Replaced { .. } => {
                vec![u8::MAX; (chunks as usize).div_ceil(8)]
            }
            _ => status.present.into_vec(),
        })
    }

    async fn commit_upload(&self, put: &LargePut, digest: Digest) -> Result<PutReply, LargeError> {
        let arguments = CommitUploadArguments { key: ByteBuf::from(put.key.clone()), upload: put.upload, digest };
        match self.ask_router::<CommittedUpload>("commit_upload", &encode(&arguments)).await {
            Ok(CommittedUpload { version }) => Ok(PutReply { version }),
            Err(Reason::NoAnswer { message }) => Err(LargeError::Unknown { reason: message }),
            Err(reason) => Err(reason.into()),
        }
    }

    /// Reads all chunks, hands them on in order, and compares the digest of the whole.
    async fn get_chunks(
        &self,
        key: &[u8],
        manifest: &Manifest,
        window: usize,
        sink: &mut impl Sink,
    ) -> Result<(), LargeError> {
        let window = window.clamp(1, WINDOW_MAX);
        let (mut digests, mut running) = (Vec::with_capacity(manifest.chunks as usize), Vec::with_capacity(window));
        let mut waiting: BTreeMap<u32, Chunk> = BTreeMap::new();
        let mut asked = 0;
        while digests.len() < manifest.chunks as usize {
            while asked < manifest.chunks && running.len() + waiting.len() < window {
                let index = asked;
                running.push((index, Box::pin(async move { self.chunk(key, manifest, index).await })));
                asked += 1;
            }
            let (index, chunk): (u32, Result<Chunk, NotDone>) = first_done(&mut running).await;
            waiting.insert(index, chunk.map_err(LargeError::NotDone)?);
            while let Some(chunk) = waiting.remove(&(digests.len() as u32)) {
                digests.push(chunk.digest);
                sink.write(chunk.bytes.into_vec()).map_err(local)?;
            }
        }
        let computed = Digest::of_chunks(&digests);
        if computed == manifest.digest { Ok(()) } else { Err(UploadFault::WrongDigest { computed }.into()) }
    }

    /// Asks the router until there is an answer.
    async fn ask_router<R>(&self, method: &str, arguments: &[u8]) -> Result<R, Reason>
    where
        Result<R, UploadError>: CandidType + DeserializeOwned,
    {
        let mut attempts = Attempts::begin(self.retry, &self.transport);
        loop {
            let heard = self.ask_router_once(method, arguments).await;
            match next(&heard) {
                Next::Later { wait_milliseconds, lost } => {
                    if !attempts.next(&self.transport, wait_milliseconds, lost).await {
                        return answer(heard);
                    }
                }
                Next::Stop | Next::Elsewhere => return answer(heard),
            }
        }
    }

    async fn ask_router_once<R>(&self, method: &str, arguments: &[u8]) -> Heard<R>
    where
        Result<R, UploadError>: CandidType + DeserializeOwned,
    {
        match self.transport.update(self.router, method, arguments).await {
            Err(error) => Heard::from_call_error(error, Place::Router),
            Ok(reply) => match decode::<Result<R, UploadError>>(&reply) {
                Ok(Ok(done)) => Heard::Done(done),
                Ok(Err(error)) => Heard::from_refused(Refused::from(error)),
                Err(_) => Heard::Lost(UNREADABLE.to_string()),
            },
        }
    }

    /// Asks for something about a chunk, at its shard where the service lets the caller, until there is an answer.
    async fn ask_chunk<R>(&self, (upload, index): (UploadId, u32), method: &str, arguments: &[u8]) -> Result<R, Reason>
    where
        Result<R, UploadError>: CandidType + DeserializeOwned,
        Result<R, ShardUploadError>: CandidType + DeserializeOwned,
    {
        let key = chunk_key(upload, index);
        let mut attempts = Attempts::begin(self.retry, &self.transport);
        let (mut hops, mut through_router) = (0, false);
        loop {
            let FromDirect { heard, moved } = self.ask_chunk_once(&key, method, arguments, &mut through_router).await;
            match next(&heard) {
                Next::Stop => return answer(heard),
                Next::Elsewhere => {
                    hops += 1;
                    through_router = !moved || hops > HOPS_MAX;
                }
                Next::Later { wait_milliseconds, lost } => {
                    through_router = true;
                    if !attempts.next(&self.transport, wait_milliseconds, lost).await {
                        return answer(heard);
                    }
                }
            }
        }
    }

    async fn ask_chunk_once<R>(
        &self,
        key: &[u8],
        method: &str,
        arguments: &[u8],
        through_router: &mut bool,
    ) -> FromDirect<R>
    where
        Result<R, UploadError>: CandidType + DeserializeOwned,
        Result<R, ShardUploadError>: CandidType + DeserializeOwned,
    {
        if !*through_router {
            self.refresh_routes().await;
            let groups = self.routes.group(std::iter::once((0, key)), self.transport.now_nanoseconds());
            if let Some(shard) = groups.and_then(|groups| groups.into_keys().next()) {
                return match self.transport.update(shard, method, arguments).await {
                    Err(error) => {
                        self.routes.doubt();
                        FromDirect { heard: Heard::from_call_error(error, Place::Shard(shard)), moved: false }
                    }
                    Ok(reply) => match decode::<Result<R, ShardUploadError>>(&reply) {
                        Ok(Ok(done)) => FromDirect { heard: Heard::Done(done), moved: false },
                        Ok(Err(ShardUploadError::Upload(fault))) => {
                            FromDirect { heard: Heard::Refused(Reason::Upload(fault)), moved: false }
                        }
                        Ok(Err(ShardUploadError::Shard(error))) => {
                            self.hear_shard(shard, key, from_result(shard, Err(error)), Reading::Agreed)
                        }
                        Err(_) => FromDirect { heard: Heard::Lost(UNREADABLE.to_string()), moved: false },
                    },
                };
            }
            *through_router = true;
        }
        FromDirect { heard: self.ask_router_once(method, arguments).await, moved: false }
    }
}

/// Waits for the first of some futures that is done.
async fn first_done<F: Future>(running: &mut Vec<(u32, Pin<Box<F>>)>) -> (u32, F::Output) {
    poll_fn(|context| {
        for place in 0..running.len() {
            if let Poll::Ready(output) = running[place].1.as_mut().poll(context) {
                let (index, _) = running.swap_remove(place);
                return Poll::Ready((index, output));
            }
        }
        Poll::Pending
    })
    .await
}
