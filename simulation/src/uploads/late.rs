//! Coming back to uploads and values after the faults: until no commit is unknown whose outcome is still kept, and to
//! values that were read before.

use canopy_types::api::uploads::{Chunk, Manifest};
use canopy_types::codec::encode;

use super::reading::Reader;
use super::{Ask, Scene, Subject, Upload, Uploads};
use crate::case::Case;
use crate::guests::GUESTS_KEYS_MAX;
use crate::history::{Asked, End};
use crate::sender::Sender;

/// Sendings to a service that is ready within which an unknown outcome must be told.
const SETTLING_SENDINGS_MAX: u32 = 12;

impl Uploads {
    /// Reads answers, and asks about every upload whose commit is unknown. Tells how many there are.
    ///
    /// # Errors
    /// A commit that a ready service didn't settle.
    pub fn settle(&mut self, scene: &mut Scene, ready: bool) -> Result<usize, String> {
        self.settling = true;
        self.read_answers(scene);
        let mut unsettled = 0;
        for at in 0..self.uploads.len() {
            let Upload { content, commit, open, settling, story, .. } = &self.uploads[at];
            let allowed = !scene.case.guests.contains(&content.client) || content.key < GUESTS_KEYS_MAX;
            let unknown = commit.is_some_and(|commit| scene.history.operation(commit).end() == End::Unknown);
            if !unknown || !allowed || story.forgotten_nanos.is_some() {
                continue;
            }
            unsettled += 1;
            if *open > 0 {
                continue;
            }
            if *settling >= SETTLING_SENDINGS_MAX {
                return Err(format!("asked {SETTLING_SENDINGS_MAX} times in a service without faults: {content:?}"));
            }
            let ask = match *settling {
                asked if asked.is_multiple_of(2) => Ask::Status,
                asked if asked < SETTLING_SENDINGS_MAX / 2 => Ask::Commit { is_right: true },
                // Chunks are missing, so it stays open; who gives up in the end aborts it.
                _ => Ask::Abort,
            };
            self.uploads[at].settling += u32::from(ready);
            self.send(Subject::Owner(at), ask, scene);
        }
        Ok(unsettled)
    }

    /// Has some values read again that were read before, and as many uploads asked for, wherever they are by now.
    pub fn ask_for_old(&mut self, count: usize, scene: &mut Scene) {
        for _ in 0..count.min(self.uploads.len()) {
            let at = self.draw.below(self.uploads.len() as u64) as usize;
            self.send(Subject::Owner(at), Ask::Status, scene);
        }
        for _ in 0..count.min(self.pinned.len()) {
            let pinned = &self.pinned[self.draw.below(self.pinned.len() as u64) as usize];
            let client = self.draw.below(self.clients.len() as u64) as usize;
            let mut reader = Reader::new(client, self.uploads[pinned.upload].content.key);
            reader.want(pinned.manifest.clone(), pinned.upload, self.draw.bits());
            self.readers.push(reader);
        }
    }

    /// Reads answers, and goes on with readers alone.
    pub fn read_on_alone(&mut self, scene: &mut Scene) {
        self.read_answers(scene);
        for reader in 0..self.readers.len() {
            self.read_on(reader, true, scene);
        }
    }

    /// Takes what somebody who is none of the clients was told of the large value of a key; tells the upload, if there is
    /// one and it is right.
    pub fn see_manifest(
        &mut self,
        key: usize,
        asked: Asked,
        manifest: Option<&Manifest>,
        scene: &mut Scene,
    ) -> Option<usize> {
        self.take_manifest((usize::MAX, key), asked, manifest, scene)
    }

    /// Compares a chunk with what was uploaded, as [`Uploads::see_manifest`] does the manifest.
    pub fn see_chunk(&mut self, upload: usize, index: u32, chunk: &Chunk) {
        self.compare_chunk(upload, index, chunk);
    }

    /// Tells who asks how far an upload is, and with which arguments.
    pub fn status_of(&self, upload: usize, case: &Case) -> (Sender, Vec<u8>) {
        let content = &self.uploads[upload].content;
        (self.clients[content.client], encode(&content.arguments(&case.keys[content.key])))
    }

    /// Lists the values that were read, by their uploads.
    pub fn read_values(&self) -> impl Iterator<Item = (usize, &Manifest)> + '_ {
        self.pinned.iter().map(|pinned| (pinned.upload, &pinned.manifest))
    }
}
