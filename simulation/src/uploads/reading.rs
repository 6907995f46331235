//! Readers of large values: the manifest first, then the chunks in any order, some of them so slowly that the value is
//! replaced and collected meanwhile.

use canopy_types::UploadFault;
use canopy_types::api::uploads::{Chunk, Manifest};

use super::upload::fingerprint_of;
use super::words::Word;
use super::{Ask, HURRIED_PAUSE_MAX, Pinned, Scene, Sent, Subject, Upload, Uploads};
use crate::case::Case;
use crate::checkers::uploads::State;
use crate::guests::GUESTS_KEYS_MAX;
use crate::history::{Asked, NotRun, Outcome, Seen, Told};
use crate::tally::Happening;

/// Sendings of a reader, at most, besides one for each chunk.
const ASKS: u32 = 6;
/// One reader in so many is slow, and how many steps it pauses.
const SLOW_ONE_IN: u64 = 5;
const SLOW_PAUSE: (u64, u64) = (30, 200);
/// One reader in so many asks for any key, all others for that of one of the latest uploads that were published.
const ANY_KEY_ONE_IN: u64 = 4;
const LATEST: u64 = 4;

/// A client that reads a value.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub client: usize,
    pub key: usize,
    /// The manifest, and the upload that it names.
    pub value: Option<(Manifest, usize)>,
    /// Chunks that it wants.
    left: Vec<u32>,
    is_slow: bool,
    asks_left: u32,
    rest: u64,
    pub is_waiting: bool,
    pub is_done: bool,
}

impl Reader {
    /// Makes a reader that knows nothing.
    pub fn new(client: usize, key: usize) -> Self {
        Self {
            client,
            key,
            value: None,
            left: Vec::new(),
            is_slow: false,
            asks_left: ASKS,
            rest: 0,
            is_waiting: false,
            is_done: false,
        }
    }

    /// Has the reader want every chunk of a value.
    pub fn want(&mut self, manifest: Manifest, upload: usize, first: u64) {
        self.left = (0..manifest.chunks).collect();
        self.left.rotate_left((first % u64::from(manifest.chunks)) as usize);
        self.asks_left += manifest.chunks;
        self.value = Some((manifest, upload));
    }
}

impl Uploads {
    /// Begins a reader of a value that was just published.
    pub(super) fn begin_reader_of(&mut self, key: usize, case: &Case) {
        let client = self.draw.below(self.clients.len() as u64) as usize;
        let may_read = !case.guests.contains(&client) || key < GUESTS_KEYS_MAX;
        let is_slow = self.draw.below(SLOW_ONE_IN) == 0;
        if may_read && !self.settling {
            self.readers.push(Reader { is_slow, ..Reader::new(client, key) });
        }
    }

    /// Begins a reader of any key, or of one that somebody uploaded to.
    pub(super) fn begin_reader(&mut self, case: &Case) {
        let client = self.draw.below(self.clients.len() as u64) as usize;
        let any_key = self.draw_key(client, case);
        let (takes_any, which) = (self.draw.below(ANY_KEY_ONE_IN) == 0, self.draw.bits());
        let is_published = |upload: &&Upload| matches!(upload.story.end(), Some(State::Published { .. }));
        let latest = self.uploads.iter().rev().filter(is_published).nth((which % LATEST) as usize);
        let key = latest.filter(|_| !takes_any).map_or(any_key, |upload| upload.content.key);
        let is_slow = self.draw.below(SLOW_ONE_IN) == 0;
        self.readers.push(Reader { is_slow, ..Reader::new(client, key) });
    }

    /// Goes on with a reader, unless it rests or waits.
    pub(super) fn read_on(&mut self, at: usize, hurries: bool, scene: &mut Scene) {
        let reader = &mut self.readers[at];
        if reader.is_done || reader.is_waiting {
            return;
        }
        if hurries {
            reader.rest = reader.rest.min(HURRIED_PAUSE_MAX);
        }
        if reader.rest > 0 {
            reader.rest -= 1;
            return;
        }
        let ask = match (&reader.value, reader.left.last()) {
            (None, _) => Ask::GetManifest,
            (Some(_), Some(index)) => Ask::GetChunk { index: *index },
            (Some((manifest, upload)), None) => {
                reader.is_done = true;
                self.pinned.push(Pinned { upload: *upload, manifest: manifest.clone() });
                self.tally.note_if(reader.is_slow, Happening::SlowReader);
                return;
            }
        };
        if reader.asks_left == 0 {
            reader.is_done = true;
            return;
        }
        reader.asks_left -= 1;
        reader.is_waiting = true;
        let is_slow = reader.is_slow;
        self.send(Subject::Reader(at), ask, scene);
        let (slow, quick) = (self.draw.between(SLOW_PAUSE.0, SLOW_PAUSE.1), self.draw.below(3));
        self.readers[at].rest = if is_slow { slow } else { quick };
    }

    /// Takes what a reader was told.
    pub(super) fn hear_reader(&mut self, at: usize, sent: &Sent, word: Word, scene: &mut Scene) {
        self.readers[at].is_waiting = false;
        match (sent.ask, word) {
            (Ask::GetManifest, Word::Manifest(manifest)) => {
                self.tally.note(match (&manifest, sent.is_query, sent.asked.direct) {
                    (None, _, _) => Happening::NoManifest,
                    (Some(_), true, _) => Happening::ManifestQueried,
                    (Some(_), _, true) => Happening::ManifestOfShard,
                    (Some(_), _, _) => Happening::ManifestRead,
                });
                let asker = (sent.client, sent.key);
                let Some(upload) = self.take_manifest(asker, sent.asked, manifest.as_ref(), scene) else {
                    self.readers[at].is_done = true;
                    return;
                };
                let manifest = manifest.expect("it names an upload");
                let first = self.draw.bits();
                self.readers[at].want(manifest, upload, first);
            }
            (Ask::GetChunk { index }, Word::Chunk(chunk)) => {
                let reader = &mut self.readers[at];
                reader.left.pop();
                let upload = reader.value.as_ref().expect("it asked for a chunk of it").1;
                self.tally.note(match (sent.is_query, sent.asked.direct) {
                    (true, _) => Happening::ChunkQueried,
                    (_, true) => Happening::ChunkOfShard,
                    _ => Happening::ChunkRead,
                });
                let version = reader.value.as_ref().expect("it asked for a chunk of it").0.version.0;
                let was_replaced = scene.workload.known_version(sent.key) > Some(version);
                self.tally.note_if(was_replaced, Happening::ChunkOfReplacedRead);
                self.compare_chunk(upload, index, &chunk);
            }
            (Ask::GetChunk { .. }, Word::Fault(UploadFault::Gone)) => {
                let reader = &mut self.readers[at];
                reader.is_done = true;
                let upload = reader.value.as_ref().expect("it asked for a chunk of it").1;
                self.tally.note(Happening::ChunkGone);
                self.uploads[upload].story.note_gone(scene.network.instance.time_nanos());
            }
            (_, Word::Failed(answer)) => {
                self.tally.note(answer.kind);
                self.readers[at].is_done |= answer.told == Told::NotRun(NotRun::Unauthorised);
            }
            (ask, word) => self.note_impossible(format!("a reader that asked for {ask:?} was answered {word:?}")),
        }
    }

    /// Takes what was told of the large value of a key; tells the upload, if there is one and it is right.
    pub(super) fn take_manifest(
        &mut self,
        (client, key): (usize, usize),
        asked: Asked,
        manifest: Option<&Manifest>,
        scene: &mut Scene,
    ) -> Option<usize> {
        let now = scene.network.instance.time_nanos();
        let mut observe = |outcome| scene.history.observe(client, key, asked, now, Told::Done(outcome));
        let Some(manifest) = manifest else {
            observe(Outcome::NotLarge);
            return None;
        };
        let Some(at) = self.find(key, manifest.upload) else {
            self.note_impossible(format!("a manifest of key {key} names an upload that nobody began: {manifest:?}"));
            return None;
        };
        let upload = &mut self.uploads[at];
        let content = &upload.content;
        let is_right = manifest.digest == content.digest
            && (manifest.value_bytes, manifest.chunks) == (content.value_bytes, content.chunks())
            && upload.commit.is_some();
        if !is_right {
            let text = format!("a manifest isn't that of its upload: {manifest:?}, of {content:?}");
            self.note_impossible(text);
            return None;
        }
        observe(Outcome::Got(Some(Seen {
            value: Some(fingerprint_of(&manifest.digest)),
            bytes: manifest.value_bytes,
            version: manifest.version.0,
            expires_at_nanos: manifest.expires_at_nanoseconds,
        })));
        upload.story.note_current(asked.sent.nanos);
        Some(at)
    }

    /// Compares a chunk with what was uploaded.
    pub(super) fn compare_chunk(&mut self, upload: usize, index: u32, chunk: &Chunk) {
        let upload = &self.uploads[upload];
        let right = upload.content.chunk(index);
        self.tally.note_if(upload.content.chunks() > 1, Happening::ChunkOfManyRead);
        if chunk.bytes != right || chunk.digest != canopy_types::Digest::of(&right) {
            let head = &chunk.bytes[..chunk.bytes.len().min(16)];
            let text = format!(
                "chunk {index} of {:?} was read as {} bytes that begin with {head:?}, under {:?}",
                upload.content,
                chunk.bytes.len(),
                chunk.digest
            );
            self.note_impossible(text);
        }
    }
}
