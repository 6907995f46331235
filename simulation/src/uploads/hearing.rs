//! What clients were told about uploads, and what that says: of the write that publishes, of rights, of the upload.

use canopy_types::api::uploads::{BegunUpload, UploadStatus};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::{Digest, UploadFault, UploadState};

use super::words::{self, Word};
use super::{Ask, Bytes, Scene, Sent, Subject, Uploads};
use crate::answers::{Answer, Impossible};
use crate::checkers::rates::Use;
use crate::checkers::uploads::{State, Told as StoryTold};
use crate::history::{Action, NotRun, Outcome, Told};
use crate::tally::Happening;

impl Uploads {
    pub(super) fn read_answers(&mut self, scene: &mut Scene) {
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            let answer = scene.network.answer(&open.message);
            if answer.is_none() && open.steps_left > 0 {
                open.steps_left -= 1;
                still_open.push(open);
                continue;
            }
            self.answered += 1;
            let reply = self.clients[open.sent.client].reply(answer);
            self.end(&open.sent, reply, scene);
        }
        self.open.extend(still_open);
    }

    /// Notes what one sending was told.
    pub(super) fn end(&mut self, sent: &Sent, reply: Result<Result<Vec<u8>, Answer>, Impossible>, scene: &mut Scene) {
        let word = reply.and_then(|reply| match reply {
            Ok(reply) => words::read(sent.ask.method(), sent.asked.direct, &reply),
            Err(answer) => Ok(Word::Failed(answer)),
        });
        let word = word.unwrap_or_else(|impossible| {
            self.impossible.get_or_insert(impossible);
            Word::Failed(Answer::may_run(Happening::Unknown))
        });
        self.note_rights(sent, &word, scene);
        match sent.subject {
            Subject::Reader(reader) => self.hear_reader(reader, sent, word, scene),
            Subject::Stranger(_) => self.hear_stranger(sent, &word, scene),
            Subject::Owner(upload) => self.hear_owner(upload, sent, word, scene),
        }
    }

    /// Notes who was served, for the checkers of rights and rates.
    fn note_rights(&mut self, sent: &Sent, word: &Word, scene: &mut Scene) {
        let now = scene.network.instance.time_nanos();
        let told = match word {
            Word::Failed(answer) => answer.told,
            _ => Told::Done(Outcome::Answered),
        };
        if told == Told::Done(Outcome::Answered) && !sent.asked.direct && !sent.is_query {
            let sent_nanos = sent.asked.sent.nanos;
            self.uses.push(Use { client: sent.client, sent: sent_nanos, answered: now, operations: 1 });
        }
        if let Word::Failed(Answer { kind: Happening::WrongShard, .. }) = word {
            scene.network.forget_owner(&scene.case.keys[sent.key]);
        }
        if sent.commit.is_none() {
            scene.history.note(sent.client, sent.key, Action::Upload, sent.asked, now, told);
        }
    }

    fn hear_stranger(&mut self, sent: &Sent, word: &Word, scene: &Scene) {
        let caller = self.clients[sent.client].principal();
        let Subject::Stranger(upload) = sent.subject else { return };
        match word {
            Word::Fault(UploadFault::OtherCaller { caller: told }) if *told == caller => {
                self.tally.note(Happening::StrangerRefused);
            }
            Word::Fault(UploadFault::InvalidPass) => self.tally.note(Happening::StrangersChunkRefused),
            Word::Fault(UploadFault::NoSuchUpload) => self.note_forgotten(upload, scene),
            Word::Failed(answer) => self.tally.note(answer.kind),
            _ => {
                let text = format!("somebody else asked for {:?} and was answered {word:?}", sent.ask);
                self.note_impossible(text);
            }
        }
    }

    fn hear_owner(&mut self, at: usize, sent: &Sent, word: Word, scene: &mut Scene) {
        let now = scene.network.instance.time_nanos();
        let upload = &mut self.uploads[at];
        upload.open -= 1;
        if let Ask::PutChunk { index, bytes: Bytes::Right } = sent.ask {
            upload.flying[index as usize] -= 1;
        }
        upload.is_unsure |= matches!(word, Word::Failed(Answer { told: Told::MayRun, .. }));
        if let Some(sending) = sent.commit {
            let told = told_of_commit(&word);
            let commit = scene.history.operation(sending.operation);
            let was_unknown = commit.done().is_none() && commit.told().any(|(_, told)| told == Told::MayRun);
            self.tally.note_if(was_unknown && matches!(told, Told::Done(_)), Happening::CommitSettled);
            scene.history.answer(sending, now, told);
        }
        match (sent.ask, word) {
            (_, Word::Failed(answer)) => self.tally.note(answer.kind),
            (Ask::Begin, Word::Begun(begun)) => self.take_begun(at, &begun),
            (Ask::Begin, Word::PreconditionFailed { found }) => {
                self.tally.note(Happening::UploadRefusedAtOnce);
                self.refused_at_begin(at, sent, found, scene);
            }
            (Ask::Begin, Word::Fault(UploadFault::TooManyUploads { .. })) => {
                self.tally.note(Happening::TooManyUploads);
                self.uploads[at].rest += 8;
            }
            (Ask::PutChunk { index, bytes: Bytes::Right }, Word::Stored) => {
                self.tally.note(match (sent.asked.direct, sent.was_stored) {
                    (_, true) => Happening::ChunkStoredAgain,
                    (true, _) => Happening::ChunkStoredDirectly,
                    _ => Happening::ChunkStored,
                });
                self.uploads[at].stored[index as usize] = true;
            }
            (
                Ask::PutChunk { index, bytes: Bytes::UnderWrongDigest },
                Word::Fault(UploadFault::WrongDigest { computed }),
            ) if computed == Digest::of(&self.uploads[at].content.chunk(index)) => {
                self.tally.note(Happening::ChunkOfWrongDigest);
            }
            (Ask::PutChunk { index, bytes: Bytes::Other }, Word::Fault(UploadFault::ChunkDiffers { stored }))
                if stored == Digest::of(&self.uploads[at].content.chunk(index)) =>
            {
                self.tally.note(Happening::ChunkDiffers);
            }
            (Ask::PutChunk { .. }, Word::Fault(UploadFault::UploadReused)) if self.shares_id(at) => {
                self.tally.note(Happening::UploadIdRefused);
            }
            (Ask::PutChunk { .. }, Word::Fault(UploadFault::TooLate { until_nanoseconds }))
                if self.uploads[at].story.until == Some(until_nanoseconds) && until_nanoseconds <= now =>
            {
                self.tally.note(Happening::ChunkTooLate);
            }
            (Ask::Commit { is_right: true }, Word::Committed { version }) => {
                let was_published = matches!(self.uploads[at].story.end(), Some(State::Published { .. }));
                let many = self.uploads[at].content.chunks() > 1;
                self.tally.note(match (was_published, many) {
                    (true, _) => Happening::PublishedAgain,
                    (_, true) => Happening::PublishedMany,
                    _ => Happening::Published,
                });
                self.note_state(at, sent, State::Published { version }, scene);
                if !was_published {
                    self.begin_reader_of(sent.key, scene.case);
                }
            }
            (Ask::Commit { .. }, Word::PreconditionFailed { found }) => {
                self.tally.note(Happening::UploadRefused);
                self.note_state(at, sent, State::Refused { found }, scene);
            }
            (Ask::Commit { .. } | Ask::Begin, Word::Fault(UploadFault::Aborted)) => {
                self.tally.note_if(sent.ask != Ask::Begin, Happening::CommitAfterAbort);
                self.note_state(at, sent, State::Aborted, scene);
            }
            (Ask::Commit { .. }, Word::Fault(UploadFault::ChunksMissing { missing, first })) => {
                self.tally.note(Happening::CommitTooEarly);
                let alone = self.uploads[at].commit.is_none_or(|commit| {
                    let others = &scene.history.operation(commit).sendings;
                    others.iter().filter(|other| !matches!(other.told, Some((_, Told::NotRun(_))))).count() == 0
                });
                let story = &self.uploads[at].story;
                let is_open = alone && !story.abort_sent && story.until.is_some_and(|until| now < until);
                if sent.was_complete && is_open {
                    let text = format!("{missing} chunks are missing, from {first} on: {:?}", self.uploads[at].content);
                    self.note_impossible(text);
                }
            }
            (Ask::Commit { is_right: false }, Word::Fault(UploadFault::WrongDigest { computed }))
                if computed == self.uploads[at].content.digest =>
            {
                self.tally.note(Happening::CommitOfWrongDigest);
            }
            (Ask::Abort, Word::Aborted) => {
                self.tally.note(Happening::UploadAborted);
                self.note_state(at, sent, State::GivenUp, scene);
            }
            (Ask::Abort, Word::Fault(UploadFault::Published { version })) => {
                self.tally.note(Happening::AbortTooLate);
                self.note_state(at, sent, State::Published { version: version.0 }, scene);
            }
            (Ask::Status, Word::Status(status)) => self.take_status(at, sent, &status, scene),
            (Ask::Commit { .. } | Ask::Abort | Ask::Status, Word::Fault(UploadFault::NoSuchUpload)) => {
                self.note_forgotten(at, scene);
            }
            (ask, word) => {
                let text = format!("{ask:?} was answered {word:?}, of {:?}", self.uploads[at].content);
                self.note_impossible(text);
            }
        }
    }

    fn take_begun(&mut self, at: usize, begun: &BegunUpload) {
        let upload = &mut self.uploads[at];
        let again = upload.pass.is_some();
        let is_same = upload.pass.as_ref().is_none_or(|pass| *pass == begun.pass)
            && upload.story.until.is_none_or(|until| until == begun.until_nanoseconds);
        if !is_same || begun.chunks != upload.content.chunks() || begun.chunk_bytes != CHUNK_BYTES as u64 {
            let text = format!("an upload began as {begun:?}, of {:?}", upload.content);
            return self.note_impossible(text);
        }
        upload.pass = Some(begun.pass.clone());
        upload.story.until = Some(begun.until_nanoseconds);
        self.tally.note(if again { Happening::UploadBegunAgain } else { Happening::UploadBegun });
    }

    fn take_status(&mut self, at: usize, sent: &Sent, status: &UploadStatus, scene: &mut Scene) {
        let now = scene.network.instance.time_nanos();
        let upload = &mut self.uploads[at];
        let content = &upload.content;
        let is_same = upload.pass.as_ref().is_none_or(|pass| *pass == status.pass)
            && upload.story.until.is_none_or(|until| until == status.until_nanoseconds)
            && (status.value_bytes, status.chunks) == (content.value_bytes, content.chunks());
        let is_missing = |index: u32| sent.was_complete && !status.has(index);
        let lacks = (0..content.chunks()).any(is_missing) && upload.is_certainly_open(now);
        if !is_same || lacks {
            let text = format!("the status of an upload is {status:?}, of {content:?}");
            return self.note_impossible(text);
        }
        let resumes = upload.is_unsure && status.state == UploadState::Open;
        upload.take_status(status);
        self.tally.note(if resumes { Happening::UploadResumed } else { Happening::UploadStatus });
        let state = match status.state {
            UploadState::Open => State::Open,
            UploadState::Published { version } | UploadState::Replaced { version } => {
                State::Published { version: version.0 }
            }
            UploadState::Refused { found } => State::Refused { found: found.map(|version| version.0) },
            UploadState::Aborted => State::Aborted,
        };
        if matches!(status.state, UploadState::Published { .. }) {
            self.uploads[at].story.note_current(sent.asked.sent.nanos);
        }
        self.note_state(at, sent, state, scene);
    }

    /// Notes that nobody knows the upload: it can't have lived when that was asked for, if it had begun.
    fn note_forgotten(&mut self, at: usize, scene: &Scene) {
        let story = &mut self.uploads[at].story;
        // Whoever was not told that it began may be right not to find it.
        if story.until.is_none() {
            return;
        }
        story.forgotten_nanos.get_or_insert(scene.network.instance.time_nanos());
        self.uploads[at].is_left = true;
        self.tally.note(Happening::UploadForgotten);
    }

    /// A precondition that failed at the beginning is a look at the record, unless a commit failed on it before.
    fn refused_at_begin(&mut self, at: usize, sent: &Sent, found: Option<u64>, scene: &mut Scene) {
        let now = scene.network.instance.time_nanos();
        let upload = &mut self.uploads[at];
        if upload.commit.is_some() {
            return self.note_state(at, sent, State::Refused { found }, scene);
        }
        let content = &upload.content;
        let (action, told) = (content.publish(), Told::Done(Outcome::PreconditionFailed { found }));
        // As a write that stores nothing: its name is that of no other.
        let probe = Action::Delete { precondition: action.precondition() };
        scene.history.note(content.client, content.key, probe, sent.asked, now, told);
        upload.is_left = upload.pass.is_none();
    }

    /// Notes how far an upload is, and what that says of the write that publishes it.
    fn note_state(&mut self, at: usize, sent: &Sent, state: State, scene: &mut Scene) {
        let now = scene.network.instance.time_nanos();
        let answered = scene.history.moment(now);
        let upload = &mut self.uploads[at];
        upload.story.told.push(StoryTold { sent: sent.asked.sent, answered, state });
        let told = match state {
            State::Open => return,
            State::Published { version } => Told::Done(Outcome::Put { version }),
            State::Refused { found } => Told::Done(Outcome::PreconditionFailed { found }),
            State::Aborted | State::GivenUp => Told::NotRun(NotRun::NeverPublished),
        };
        let content = &upload.content;
        if let State::Published { version } = state {
            let lasts = content.time_to_live_milliseconds.map(|milliseconds| milliseconds * 1_000_000);
            scene.workload.learn(content.key, version, lasts.map(|lasts| now + lasts));
        }
        match (upload.commit, sent.commit) {
            // Its own sending was told.
            (_, Some(_)) => {}
            (Some(commit), None) => {
                let was_unknown = scene.history.operation(commit).done().is_none();
                self.tally.note_if(was_unknown && matches!(told, Told::Done(_)), Happening::CommitSettled);
                scene.history.learn(commit, sent.asked, now, told);
            }
            (None, None) if matches!(told, Told::Done(_)) => {
                let text = format!("an upload that nobody committed is {state:?}: {content:?}");
                self.note_impossible(text);
            }
            (None, None) => {}
        }
    }
}

/// Says what the answer to a commit tells of the write that publishes.
fn told_of_commit(word: &Word) -> Told {
    match word {
        Word::Committed { version } => Told::Done(Outcome::Put { version: *version }),
        Word::PreconditionFailed { found } => Told::Done(Outcome::PreconditionFailed { found: *found }),
        Word::Fault(UploadFault::Aborted) => Told::NotRun(NotRun::NeverPublished),
        Word::Failed(answer) => answer.told,
        _ => Told::NotRun(NotRun::Refused),
    }
}
