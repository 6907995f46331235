//! When all is quiet, and every time is over for which chunks stay: each large value is whole, and nothing else is left
//! of any upload.
//!
//! The shards count what uploads left in them. So if every value that must be there is, with its upload's record and all
//! its chunks, and they count no more than that, then no chunk without an owner is left.

use std::fmt::Write;

use candid::{CandidType, Deserialize};
use canopy_types::api::scrub::ScrubArguments;
use canopy_types::api::uploads::{
    GetChunkArguments, GetChunkResult, GetManifestArguments, GetManifestResult, Manifest, UploadError,
    UploadStatusResult,
};
use canopy_types::codec::{decode, encode};
use canopy_types::{UploadFault, UploadState};
use serde_bytes::ByteBuf;

use super::{Failure, Run, SECOND_NANOS};
use crate::history::{Asked, Seen};
use crate::scrubber::read_page;
use crate::sender::{Call, Terms};
use crate::tally::Happening;
use crate::uploads::fingerprint_of;

/// Attempts to have something answered.
const ATTEMPTS_MAX: usize = 40;
/// How long a record of an upload stays after its time at least, and how long the service may take then, in seconds.
const LATE_SECONDS: u64 = 600;
const COLLECTING_SECONDS: u64 = 3_600;
/// What a step takes while chunks are being collected.
const COLLECTING_STEP_SECONDS: u64 = 60;
/// Pages of a scrub, and attempts to have them answered.
const SCRUB_ATTEMPTS_MAX: usize = 200;
/// Replaced values that are asked for.
const REPLACED_MAX: usize = 40;
/// Leftovers that are shown with a failure.
const SHOWN_MAX: usize = 20;

/// A value that is there.
struct Whole {
    key: usize,
    upload: usize,
    manifest: Manifest,
}

impl Run<'_> {
    /// Asks for the large value of a key, which must be there, and tells it as a reader sees it.
    pub(super) fn see_large(&mut self, key: usize) -> Result<Seen, Failure> {
        let missing = || Failure::Wrong(format!("key {key} has a large value, and no manifest"));
        let (_, manifest) = self.manifest(key)?.ok_or_else(missing)?;
        Ok(Seen {
            value: Some(fingerprint_of(&manifest.digest)),
            bytes: manifest.value_bytes,
            version: manifest.version.0,
            expires_at_nanos: manifest.expires_at_nanoseconds,
        })
    }

    /// Waits until everything is collected that must be, and checks what is left.
    pub(super) fn check_uploads(&mut self) -> Result<(), Failure> {
        self.uploads.check().map_err(Failure::Wrong)?;
        let mut whole = Vec::new();
        for key in 0..self.case.keys.len() {
            if let Some((upload, manifest)) = self.manifest(key)? {
                whole.push(Whole { key, upload, manifest });
            }
        }
        self.let_times_end();
        let expected: u64 = whole.iter().map(|whole| 1 + u64::from(whole.manifest.chunks)).sum();
        self.wait_for_collections(expected, &whole)?;
        self.scrub_everything(&whole)?;
        for whole in &whole {
            self.check_whole(whole)?;
        }
        self.check_replaced(&whole)?;
        let begun = self.uploads.all().iter().filter(|upload| upload.begin_sent).count();
        self.uploads.tally.note_times(Happening::UploadsCollected, (begun - whole.len()) as u64);
        self.uploads.tally.note_times(Happening::LargeKept, whole.len() as u64);
        self.check_answers()
    }

    fn manifest(&mut self, key: usize) -> Result<Option<(usize, Manifest)>, Failure> {
        let arguments = encode(&GetManifestArguments { key: ByteBuf::from(self.case.keys[key].clone()) });
        let nanos = self.network.round_nanos;
        let asked = Asked { sent: self.history.moment(nanos), direct: false };
        let manifest: GetManifestResult = self.insist_on_query("get_manifest_query", &arguments)?;
        let manifest = manifest.map_err(|error| Failure::Wrong(format!("a manifest was refused: {error:?}")))?;
        let (uploads, mut scene) = self.uploaders();
        let upload = uploads.see_manifest(key, asked, manifest.as_ref(), &mut scene);
        self.check_answers()?;
        Ok(upload.zip(manifest))
    }

    /// Asks the router by query until it has an answer other than that it has none now.
    fn insist_on_query<T>(&mut self, method: &str, arguments: &[u8]) -> Result<Result<T, UploadError>, Failure>
    where
        Result<T, UploadError>: CandidType + for<'de> Deserialize<'de> + std::fmt::Debug,
    {
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let (user, router) = (self.network.users[0], self.network.router);
            match self.network.query(user, router, method, arguments.to_vec()) {
                Ok(reply) => match decode::<Result<T, UploadError>>(&reply) {
                    Ok(answer @ (Ok(_) | Err(UploadError::Upload(_)))) => return Ok(answer),
                    Ok(Err(error)) => last = format!("{error:?}"),
                    Err(_) => return Err(Failure::Wrong(format!("`{method}` replied something that is not its type"))),
                },
                Err(error) => last = format!("{}: {}", error.code, error.message),
            }
            self.advance(10 * SECOND_NANOS)?;
        }
        Err(Failure::NoProgress(format!("`{method}` is never answered: {last}")))
    }

    /// Lets the time of every upload end, and that for which its record stays then.
    fn let_times_end(&mut self) {
        let now = self.network.instance.time_nanos();
        let policy = self.case.uploads.policy;
        // One whose beginning is unknown may have begun just now.
        let unknown = now + policy.open_milliseconds * 1_000_000;
        let begun = self.uploads.all().iter().filter(|upload| upload.begin_sent);
        let Some(until) = begun.map(|upload| upload.story.until.unwrap_or(unknown)).max() else { return };
        let over = until + LATE_SECONDS * SECOND_NANOS;
        if over > now {
            self.network.instance.set_time(over).expect("time goes forward");
        }
    }

    fn wait_for_collections(&mut self, expected: u64, whole: &[Whole]) -> Result<(), Failure> {
        let seconds = COLLECTING_SECONDS + self.case.uploads.policy.kept_milliseconds / 1_000;
        let mut counted = None;
        for _ in 0..seconds / COLLECTING_STEP_SECONDS {
            counted = self.count_internal_records();
            if counted == Some(expected) {
                return Ok(());
            }
            self.advance(COLLECTING_STEP_SECONDS * SECOND_NANOS)?;
        }
        let mut text = format!("the shards count {counted:?} records of uploads and chunks, not {expected}");
        for line in self.leftovers(whole).into_iter().take(SHOWN_MAX) {
            write!(text, "\n  {line}").expect("writing to a text succeeds");
        }
        Err(Failure::Wrong(text))
    }

    /// Walks through everything that large values consist of: the service itself finds what is there, and nothing amiss.
    fn scrub_everything(&mut self, whole: &[Whole]) -> Result<(), Failure> {
        let (mut cursor, mut seen, mut pages) = (None, [0, 0, 0], 0);
        for _ in 0..SCRUB_ATTEMPTS_MAX {
            let (administrator, router) = (self.network.administrator, self.network.router);
            let arguments = encode(&ScrubArguments { cursor: cursor.clone() });
            let message = self.network.submit(administrator, router, "scrub", arguments);
            let message = message.map_err(|error| Failure::NoProgress(format!("no scrub: {}", error.message)))?;
            let reply = self.network.wait(&message).map_err(Failure::NoProgress)?;
            let Some(page) = read_page(&reply).map_err(|impossible| Failure::Wrong(impossible.0))? else {
                self.advance(10 * SECOND_NANOS)?;
                continue;
            };
            pages += 1;
            for (sum, found) in seen.iter_mut().zip([page.uploads, page.manifests, page.chunks]) {
                *sum += found;
            }
            cursor = page.cursor;
            if cursor.is_some() {
                continue;
            }
            let values = whole.len() as u64;
            let chunks: u64 = whole.iter().map(|whole| u64::from(whole.manifest.chunks)).sum();
            if seen == [values, values, chunks] {
                return Ok(());
            }
            let text =
                format!("a scrub saw {seen:?} uploads, manifests and chunks of {values} values of {chunks} chunks");
            return Err(Failure::Wrong(text));
        }
        Err(Failure::NoProgress(format!("a scrub has no end, after {pages} pages")))
    }

    /// Counts what uploads left in all shards; None if one can't tell now.
    fn count_internal_records(&mut self) -> Option<u64> {
        self.network.status()?;
        let shards = self.network.shards.clone();
        shards.into_iter().map(|shard| self.network.info(shard)?.internal_records).sum()
    }

    /// Checks that a value is as it was, with all its chunks, and that its upload's record says so.
    fn check_whole(&mut self, whole: &Whole) -> Result<(), Failure> {
        let Whole { key, upload, manifest } = whole;
        let now = self.manifest(*key)?;
        if now.as_ref().map(|(_, manifest)| manifest) != Some(manifest) {
            return Err(Failure::Wrong(format!("key {key} was quiet, and {manifest:?} became {now:?}")));
        }
        for index in 0..manifest.chunks {
            match self.chunk(*key, manifest, index)? {
                Ok(chunk) => self.uploads.see_chunk(*upload, index, &chunk),
                Err(error) => {
                    return Err(Failure::Wrong(format!("chunk {index} of {manifest:?} is missing: {error:?}")));
                }
            }
        }
        match self.status(*upload)? {
            Ok(status) if status.state == (UploadState::Published { version: manifest.version }) => Ok(()),
            other => Err(Failure::Wrong(format!("the upload of {manifest:?} is {other:?}"))),
        }
    }

    fn chunk(&mut self, key: usize, manifest: &Manifest, index: u32) -> Result<GetChunkResult, Failure> {
        let key = ByteBuf::from(self.case.keys[key].clone());
        let (upload, pass) = (manifest.upload, manifest.pass.clone());
        self.insist_on_query("get_chunk_query", &encode(&GetChunkArguments { key, upload, pass, index }))
    }

    /// Checks that values which readers knew and which were replaced are gone.
    fn check_replaced(&mut self, whole: &[Whole]) -> Result<(), Failure> {
        let replaced = |(upload, _): &(usize, &Manifest)| whole.iter().all(|whole| whole.upload != *upload);
        let replaced = self.uploads.read_values().filter(replaced).take(REPLACED_MAX);
        let replaced: Vec<(usize, Manifest)> = replaced.map(|(upload, manifest)| (upload, manifest.clone())).collect();
        for (upload, manifest) in replaced {
            let key = self.uploads.all()[upload].content.key;
            for index in 0..manifest.chunks {
                match self.chunk(key, &manifest, index)? {
                    Err(UploadError::Upload(UploadFault::Gone)) => self.uploads.tally.note(Happening::LargeGone),
                    other => {
                        let text =
                            format!("chunk {index} of {manifest:?}, which was replaced, is {:?}", other.map(drop));
                        return Err(Failure::Wrong(text));
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the client of an upload ask how far it is.
    fn status(&mut self, upload: usize) -> Result<UploadStatusResult, Failure> {
        let (sender, arguments) = self.uploads.status_of(upload, self.case);
        let call = Call { callee: self.network.router, method: "upload_status", arguments };
        let terms = Terms { timeout_seconds: None, cycles: 0 };
        let message = sender.submit(call, terms, &mut self.network);
        let message = message.map_err(|error| Failure::NoProgress(format!("no status: {}", error.message)))?;
        let reply = self.network.wait(&message).map_err(Failure::NoProgress)?;
        let reply = sender.reply(Some(Ok(reply))).map_err(|impossible| Failure::Wrong(impossible.0))?;
        let reply = reply.map_err(|answer| Failure::NoProgress(format!("no status: {}", answer.kind.text())))?;
        decode(&reply).map_err(|_| Failure::Wrong("`upload_status` replied something that is not its type".to_string()))
    }

    /// Describes what is left of uploads, and of whose. For people: what can't be asked is left out.
    fn leftovers(&mut self, whole: &[Whole]) -> Vec<String> {
        let mut lines = Vec::new();
        for upload in 0..self.uploads.all().len() {
            let is_whole = whole.iter().any(|whole| whole.upload == upload);
            let status = self.status(upload);
            let is_right = match &status {
                Ok(Ok(_)) => is_whole,
                Ok(Err(UploadError::Upload(UploadFault::NoSuchUpload))) => !is_whole,
                _ => false,
            };
            if !is_right {
                let content = &self.uploads.all()[upload].content;
                lines.push(format!("upload {upload}, of a value: {is_whole}, is {status:?}: {content:?}"));
            }
        }
        lines
    }
}
