//! An upload as its client knows it, and what it consists of.

use canopy_types::api::uploads::{
    BeginUploadArguments, CommitUploadArguments, PutChunkArguments, UploadArguments, UploadStatus,
};
use canopy_types::uploads::{chunk_bytes, chunks_of};
use canopy_types::{Digest, Precondition, UploadId};
use serde_bytes::ByteBuf;

use crate::checkers::uploads::Story;
use crate::history::{Action, Fingerprint, OperationId};

/// Bytes of a chunk that tell it apart from all others of a run.
pub const CHUNK_NAME_BYTES: u64 = 12;

/// What a client means to do with an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Commit,
    Abort,
    /// Never ends it.
    Abandon,
}

/// What is uploaded where; it stays as it is.
#[derive(Clone, Debug)]
pub struct Content {
    pub client: usize,
    pub key: usize,
    pub id: UploadId,
    /// Tells its bytes apart from those of other uploads.
    pub number: u64,
    pub value_bytes: u64,
    pub digest: Digest,
    pub precondition: Option<Precondition>,
    pub time_to_live_milliseconds: Option<u64>,
}

/// An upload, and how far its client is with it.
#[derive(Clone, Debug)]
pub struct Upload {
    pub content: Content,
    pub plan: Plan,
    /// What `begin_upload` or `upload_status` told.
    pub pass: Option<ByteBuf>,
    /// Chunks that are there, as the client was told; and sendings of each that are not answered.
    pub stored: Vec<bool>,
    pub flying: Vec<u32>,
    pub begin_sent: bool,
    /// The write that publishes it, once that was asked for.
    pub commit: Option<OperationId>,
    /// An answer was lost since the client last asked how far the upload is.
    pub is_unsure: bool,
    /// Sendings that are not answered, and how many may be so at once.
    pub open: u32,
    pub window: u32,
    /// What the client does at most, and after the end.
    pub asks_left: u32,
    pub extras_left: u32,
    /// Steps until it goes on.
    pub rest: u64,
    pub is_left: bool,
    /// Sendings after the faults, while the service was ready.
    pub settling: u32,
    pub story: Story,
}

impl Content {
    /// Makes what is uploaded. The digest follows from the rest.
    pub fn new(client: usize, key: usize, id: UploadId, number: u64, value_bytes: u64) -> Self {
        let digest = Digest([0; 32]);
        let (precondition, time_to_live_milliseconds) = (None, None);
        let mut content =
            Self { client, key, id, number, value_bytes, digest, precondition, time_to_live_milliseconds };
        let digests: Vec<Digest> = (0..content.chunks()).map(|index| Digest::of(&content.chunk(index))).collect();
        content.digest = Digest::of_chunks(&digests);
        content
    }

    pub fn chunks(&self) -> u32 {
        chunks_of(self.value_bytes)
    }

    /// Makes a chunk, which is like none of another upload.
    pub fn chunk(&self, index: u32) -> Vec<u8> {
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend(index.to_le_bytes());
        bytes.resize(chunk_bytes(self.value_bytes, index), self.number as u8 ^ index as u8);
        bytes
    }

    /// Makes another chunk of the same length.
    pub fn other_chunk(&self, index: u32) -> Vec<u8> {
        let mut bytes = self.chunk(index);
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        bytes
    }

    /// Identifies the value, as readers are told it.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.digest)
    }

    pub fn begin_arguments(&self, key: &[u8]) -> BeginUploadArguments {
        BeginUploadArguments {
            precondition: self.precondition,
            time_to_live_milliseconds: self.time_to_live_milliseconds,
            ..BeginUploadArguments::new(key.to_vec(), self.id, self.value_bytes)
        }
    }

    pub fn put_arguments(&self, key: &[u8], pass: &ByteBuf, index: u32, bytes: Vec<u8>) -> PutChunkArguments {
        let (key, upload, pass) = (ByteBuf::from(key), self.id, pass.clone());
        PutChunkArguments { key, upload, pass, index, digest: Digest::of(&bytes), bytes: bytes.into(), caller: None }
    }

    pub fn commit_arguments(&self, key: &[u8], digest: Digest) -> CommitUploadArguments {
        CommitUploadArguments { key: ByteBuf::from(key), upload: self.id, digest }
    }

    pub fn arguments(&self, key: &[u8]) -> UploadArguments {
        UploadArguments { key: ByteBuf::from(key), upload: self.id }
    }

    /// The write that publishes it.
    pub fn publish(&self) -> Action {
        Action::Publish {
            value: self.fingerprint(),
            bytes: self.value_bytes,
            precondition: self.precondition,
            time_to_live_nanos: self.time_to_live_milliseconds.map(|milliseconds| milliseconds * 1_000_000),
        }
    }
}

impl Upload {
    /// Makes an upload of which nothing was asked yet.
    pub fn new(content: Content, plan: Plan, kept_nanos: u64) -> Self {
        let chunks = content.chunks() as usize;
        Self {
            content,
            plan,
            pass: None,
            stored: vec![false; chunks],
            flying: vec![0; chunks],
            begin_sent: false,
            commit: None,
            is_unsure: false,
            open: 0,
            window: 1,
            asks_left: 0,
            extras_left: 0,
            rest: 0,
            is_left: false,
            settling: 0,
            story: Story::new(kept_nanos),
        }
    }

    /// Tells whether the client was told that all chunks are there.
    pub fn is_complete(&self) -> bool {
        self.stored.iter().all(|stored| *stored)
    }

    /// Tells whether the chunks that are there must still be there: nobody asked for its end, and its time isn't over.
    pub fn is_certainly_open(&self, now_nanos: u64) -> bool {
        self.commit.is_none() && !self.story.abort_sent && self.story.until.is_some_and(|until| now_nanos < until)
    }

    /// Takes over which chunks are there, and the pass.
    pub fn take_status(&mut self, status: &UploadStatus) {
        for index in 0..self.content.chunks() {
            self.stored[index as usize] |= status.has(index);
        }
        self.pass = Some(status.pass.clone());
        self.story.until = Some(status.until_nanoseconds);
        self.is_unsure = false;
    }
}

/// Identifies a value by its digest.
pub fn fingerprint_of(digest: &Digest) -> Fingerprint {
    let (first, _) = digest.0.split_first_chunk().expect("a digest is longer than a number");
    Fingerprint(u64::from_be_bytes(*first))
}
