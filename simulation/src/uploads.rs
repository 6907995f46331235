//! Clients that upload large values in pieces, and others that read them in pieces, beside all other operations on the
//! same keys.
//!
//! Every chunk's bytes name its upload and its place, so a reader notices a mixture by its content. [`upload`] is what an
//! upload consists of and what its client knows, [`acting`] what the client does next, [`reading`] what readers do,
//! [`sending`] how that is sent, [`words`] what answers say, and [`hearing`] what they mean: for the client, for the
//! key's history, in which a commit is a put, and for the upload's own story ([`crate::checkers::uploads`]).

use canopy_simulator::instance::MessageId;
use canopy_types::UploadId;
use canopy_types::api::uploads::Manifest;

use crate::answers::Impossible;
use crate::case::{Case, stream};
use crate::checkers::rates::Use;
use crate::draw::Draw;
use crate::history::{Asked, History, SendingId};
use crate::network::Network;
use crate::sender::Sender;
use crate::tally::Tally;
use crate::workload::Workload;

mod acting;
mod hearing;
mod late;
mod reading;
mod sending;
mod upload;
mod words;

use reading::Reader;
use upload::Content;
pub use upload::{Upload, fingerprint_of};
use words::Method;

/// One upload is begun, and one reader beside those of values that were just published, for so many operations.
const OPERATIONS_PER_UPLOAD: usize = 100;
const OPERATIONS_PER_READER: usize = 100;
/// Uploads, and readers, that are busy at once.
const BUSY_MAX: usize = 8;
/// Longest pause of either once there is nothing else left to do, in steps.
const HURRIED_PAUSE_MAX: u64 = 4;

/// Everything that clients act upon.
pub struct Scene<'a> {
    pub case: &'a Case,
    pub network: &'a mut Network,
    pub history: &'a mut History,
    pub workload: &'a mut Workload,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Who began the upload.
    Owner(usize),
    /// Somebody else, about this upload.
    Stranger(usize),
    Reader(usize),
}

/// What bytes a chunk is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    Right,
    /// The right ones under another digest.
    UnderWrongDigest,
    /// Others, under theirs, while the right ones are there.
    Other,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Begin,
    PutChunk { index: u32, bytes: Bytes },
    Commit { is_right: bool },
    Abort,
    Status,
    GetManifest,
    GetChunk { index: u32 },
}

impl Ask {
    fn method(self) -> Method {
        match self {
            Ask::Begin => Method::Begin,
            Ask::PutChunk { .. } => Method::PutChunk,
            Ask::Commit { .. } => Method::Commit,
            Ask::Abort => Method::Abort,
            Ask::Status => Method::Status,
            Ask::GetManifest => Method::GetManifest,
            Ask::GetChunk { .. } => Method::GetChunk,
        }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    client: usize,
    key: usize,
    subject: Subject,
    ask: Ask,
    asked: Asked,
    is_query: bool,
    /// Of the write that publishes the upload.
    commit: Option<SendingId>,
    /// The client had been told that all chunks are there; and that this one was.
    was_complete: bool,
    was_stored: bool,
}

/// A sending under way.
#[derive(Clone, Debug)]
struct Open {
    sent: Sent,
    message: MessageId,
    steps_left: u64,
}

/// A value that a reader has read, to be read again when it was replaced.
#[derive(Clone, Debug)]
struct Pinned {
    upload: usize,
    manifest: Manifest,
}

/// All uploaders and readers of a run.
pub struct Uploads {
    clients: Vec<Sender>,
    uploads: Vec<Upload>,
    readers: Vec<Reader>,
    pinned: Vec<Pinned>,
    open: Vec<Open>,
    draw: Draw,
    begun: usize,
    readers_begun: usize,
    /// After the faults.
    settling: bool,
    /// Sendings that were answered.
    pub answered: u64,
    /// Times that a sender gave up early.
    pub given_up: u64,
    pub impossible: Option<Impossible>,
    pub tally: Tally,
    /// What clients were served through the router by updates.
    pub uses: Vec<Use>,
}

impl Uploads {
    /// Makes the uploaders and readers of a case.
    pub fn new(case: &Case, network: &Network) -> Self {
        Self {
            clients: Sender::all(network),
            uploads: Vec::new(),
            readers: Vec::new(),
            pinned: Vec::new(),
            open: Vec::new(),
            draw: Draw::new(case.seed, stream::UPLOADERS),
            begun: 0,
            readers_begun: 0,
            settling: false,
            answered: 0,
            given_up: 0,
            impossible: None,
            tally: Tally::default(),
            uses: Vec::new(),
        }
    }

    /// Tells whether nobody has anything left to do or to hear.
    pub fn is_done(&self) -> bool {
        self.open.is_empty() && self.busy_uploads() == 0 && self.busy_readers() == 0
    }

    /// Tells whether answers are awaited.
    pub fn awaits_answers(&self) -> bool {
        !self.open.is_empty()
    }

    /// Lists all uploads.
    pub fn all(&self) -> &[Upload] {
        &self.uploads
    }

    /// Checks the story of every upload.
    ///
    /// # Errors
    /// The first contradiction, with what the upload is.
    pub fn check(&self) -> Result<(), String> {
        for upload in &self.uploads {
            upload.story.check().map_err(|fault| format!("{fault}; of {:?}", upload.content))?;
        }
        Ok(())
    }

    /// Reads answers, sends what comes next, and begins more as the workload advances.
    pub fn step(&mut self, scene: &mut Scene) {
        self.read_answers(scene);
        let operations = scene.case.operations - scene.workload.left();
        let hurries = scene.workload.left() == 0;
        if operations / OPERATIONS_PER_UPLOAD > self.begun && self.busy_uploads() < BUSY_MAX {
            self.begun += 1;
            self.begin_upload(scene);
        }
        if operations / OPERATIONS_PER_READER > self.readers_begun && self.busy_readers() < BUSY_MAX {
            self.readers_begun += 1;
            self.begin_reader(scene.case);
        }
        for upload in 0..self.uploads.len() {
            self.go_on(upload, hurries, scene);
        }
        for reader in 0..self.readers.len() {
            self.read_on(reader, hurries, scene);
        }
    }

    fn busy_uploads(&self) -> usize {
        self.uploads.iter().filter(|upload| !upload.is_left).count()
    }

    fn busy_readers(&self) -> usize {
        self.readers.iter().filter(|reader| !reader.is_done).count()
    }

    /// Finds the upload of a key by its id.
    fn find(&self, key: usize, id: UploadId) -> Option<usize> {
        self.uploads.iter().position(|upload| upload.content.key == key && upload.content.id == id)
    }

    /// Tells whether an upload under another key has the same id, so that chunks of only one of them have room.
    fn shares_id(&self, at: usize) -> bool {
        let Content { key, id, .. } = self.uploads[at].content;
        self.uploads.iter().any(|other| other.content.id == id && other.content.key != key)
    }

    fn note_impossible(&mut self, text: String) {
        self.impossible.get_or_insert(Impossible(text));
    }
}
