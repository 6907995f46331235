//! What the client of an upload does next: chunks in any order, some of them twice or wrong, an end or none, and then
//! some of it once more; and what others try with the upload's name.

use canopy_types::limits::{CHUNK_BYTES, UPLOAD_ID_BYTES};
use canopy_types::{Precondition, UploadId, Version};

use super::upload::{CHUNK_NAME_BYTES, Content, Plan, Upload};
use super::{Ask, Bytes, HURRIED_PAUSE_MAX, Scene, Subject, Uploads};
use crate::case::Case;
use crate::guests::GUESTS_KEYS_MAX;
use crate::tally::Happening;

/// One upload in so many is of each kind.
const PRECONDITION_ONE_IN: u64 = 3;
const TIME_TO_LIVE_ONE_IN: u64 = 6;
const ID_OF_OTHER_KEY_ONE_IN: u64 = 8;
/// Of so many uploads, so many are given up and so many abandoned.
const PLANS: u64 = 16;
const ABORTS: u64 = 3;
const ABANDONED: u64 = 3;
/// How often the shortest time to live, a second, may be doubled.
const TIME_TO_LIVE_DOUBLINGS_MAX: u64 = 7;
/// Bytes of the only chunk of a short upload, and of the last one of a long, at most.
const SHORT_BYTES_MAX: u64 = 300;
/// Sendings of a client for one upload, and how many more for each chunk.
const ASKS: u32 = 22;
const ASKS_PER_CHUNK: u32 = 3;
/// Sendings after the end, at most.
const EXTRAS_MAX: u64 = 4;
/// Sendings of a client at once, at most.
const WINDOW_MAX: u64 = 3;
/// What a client asks for that leads nowhere, of so many.
const DETOURS: u64 = 28;
/// One right chunk or commit in so many is sent twice at once.
const TWICE_ONE_IN: u64 = 8;
/// One pause in so many is long, and how many steps.
const LONG_PAUSE_ONE_IN: u64 = 24;
const LONG_PAUSE: (u64, u64) = (40, 150);

impl Uploads {
    pub(super) fn begin_upload(&mut self, scene: &mut Scene) {
        let client = self.draw.below(self.clients.len() as u64) as usize;
        let key = self.draw_key(client, scene.case);
        let mut id = [0; UPLOAD_ID_BYTES];
        id[..8].copy_from_slice(&self.draw.bits().to_le_bytes());
        id[8..].copy_from_slice(&self.draw.bits().to_le_bytes());
        let mut id = UploadId(id);
        let (takes_id, which) = (self.draw.below(ID_OF_OTHER_KEY_ONE_IN) == 0, self.draw.bits());
        let others: Vec<UploadId> =
            self.uploads.iter().filter(|other| other.content.key != key).map(|other| other.content.id).collect();
        if takes_id && !others.is_empty() {
            let other = others[(which % others.len() as u64) as usize];
            if self.find(key, other).is_none() {
                id = other;
                self.tally.note(Happening::UploadIdOfAnotherKey);
            }
        }
        let long_one_in = scene.case.uploads.long_one_in;
        let is_long = long_one_in > 0 && self.draw.below(long_one_in) == 0;
        let (full, last) = (self.draw.between(1, 2), self.draw.between(CHUNK_NAME_BYTES, SHORT_BYTES_MAX));
        let value_bytes = if is_long { full * CHUNK_BYTES as u64 + last } else { last };
        let has_precondition = self.draw.below(PRECONDITION_ONE_IN) == 0;
        let precondition = match (self.draw.below(4), scene.workload.known_version(key)) {
            (0, _) | (3, None) => Precondition::Absent,
            (1 | 2, None) => Precondition::Present,
            (1, Some(_)) => Precondition::Present,
            (_, Some(version)) => Precondition::Version(Version(version)),
            (_, None) => Precondition::Absent,
        };
        let (ends, most) =
            (self.draw.below(TIME_TO_LIVE_ONE_IN) == 0, 1 << self.draw.below(TIME_TO_LIVE_DOUBLINGS_MAX));
        let seconds = self.draw.between(1, most);
        let plan = match self.draw.below(PLANS) {
            draw if draw < ABORTS => Plan::Abort,
            draw if draw < ABORTS + ABANDONED => Plan::Abandon,
            _ => Plan::Commit,
        };
        let content = Content {
            precondition: has_precondition.then_some(precondition),
            time_to_live_milliseconds: ends.then_some(seconds * 1_000),
            ..Content::new(client, key, id, self.uploads.len() as u64, value_bytes)
        };
        let kept_nanos = scene.case.uploads.policy.kept_milliseconds * 1_000_000;
        let asks_left = ASKS + ASKS_PER_CHUNK * content.chunks();
        let (window, extras_left) = (self.draw.between(1, WINDOW_MAX) as u32, self.draw.below(EXTRAS_MAX + 1) as u32);
        self.uploads.push(Upload { asks_left, extras_left, window, ..Upload::new(content, plan, kept_nanos) });
    }

    /// Draws a key that a client may write, mostly.
    pub(super) fn draw_key(&mut self, client: usize, case: &Case) -> usize {
        let keys = case.keys.len();
        let bound = if case.guests.contains(&client) { keys.min(GUESTS_KEYS_MAX) } else { keys };
        self.draw.below(bound as u64) as usize
    }

    /// Goes on with an upload, unless its client rests or waits.
    pub(super) fn go_on(&mut self, at: usize, hurries: bool, scene: &mut Scene) {
        let upload = &mut self.uploads[at];
        if upload.is_left {
            return;
        }
        if hurries {
            upload.rest = upload.rest.min(HURRIED_PAUSE_MAX);
        }
        if upload.rest > 0 {
            upload.rest -= 1;
            return;
        }
        if upload.open >= upload.window {
            return;
        }
        if upload.asks_left == 0 {
            return self.leave(at);
        }
        let Some((subject, ask)) = self.draw_ask(at, scene.network.instance.time_nanos()) else { return };
        let upload = &mut self.uploads[at];
        upload.asks_left -= 1;
        let twice = matches!(ask, Ask::PutChunk { bytes: Bytes::Right, .. } | Ask::Commit { is_right: true });
        let twice = twice && self.draw.below(TWICE_ONE_IN) == 0;
        self.tally.note_if(twice, Happening::UploadTwice);
        for _ in 0..1 + u32::from(twice) {
            self.send(subject, ask, scene);
        }
        self.uploads[at].rest = self.draw_pause();
    }

    fn leave(&mut self, at: usize) {
        let upload = &mut self.uploads[at];
        upload.is_left = true;
        self.tally.note_if(upload.begin_sent && upload.story.end().is_none(), Happening::UploadAbandoned);
    }

    fn draw_pause(&mut self) -> u64 {
        let (is_long, long) = (self.draw.below(LONG_PAUSE_ONE_IN) == 0, self.draw.between(LONG_PAUSE.0, LONG_PAUSE.1));
        let short = [0, 0, 0, 1, 4][self.draw.below(5) as usize];
        if is_long { long } else { short }
    }

    /// Draws what is asked next, and by whom. None: the client waits, or is done.
    fn draw_ask(&mut self, at: usize, now_nanos: u64) -> Option<(Subject, Ask)> {
        let (detour, which) = (self.draw.below(DETOURS), self.draw.bits());
        let owner = |ask| Some((Subject::Owner(at), ask));
        let upload = &self.uploads[at];
        let any = (which % u64::from(upload.content.chunks())) as u32;
        if upload.pass.is_none() {
            let asks_how_far = upload.begin_sent && detour.is_multiple_of(3);
            return owner(if asks_how_far { Ask::Status } else { Ask::Begin });
        }
        if upload.story.end().is_some() {
            return self.draw_extra(at, detour, any, now_nanos);
        }
        let is_ending = upload.commit.is_some() || upload.story.abort_sent;
        match detour {
            0 => return owner(begin_or_ask(upload, now_nanos)),
            1 => return owner(Ask::Status),
            2..=3 => return self.draw_strange(at, which),
            4 if upload.plan == Plan::Commit => return owner(Ask::Commit { is_right: true }),
            5 => return owner(Ask::PutChunk { index: any, bytes: Bytes::UnderWrongDigest }),
            6..=7 if upload.stored[any as usize] && !is_ending => {
                return owner(Ask::PutChunk { index: any, bytes: Bytes::Other });
            }
            8 => return owner(Ask::Commit { is_right: false }),
            9 => return owner(Ask::PutChunk { index: any, bytes: Bytes::Right }),
            _ => {}
        }
        if upload.is_unsure && detour.is_multiple_of(2) {
            return owner(Ask::Status);
        }
        let missing = |index: &u32| !upload.stored[*index as usize] && upload.flying[*index as usize] == 0;
        let missing: Vec<u32> = (0..upload.content.chunks()).filter(missing).collect();
        if !missing.is_empty() {
            let index = missing[(which % missing.len() as u64) as usize];
            return owner(Ask::PutChunk { index, bytes: Bytes::Right });
        }
        match upload.plan {
            _ if upload.open > 0 => None,
            Plan::Commit => owner(Ask::Commit { is_right: true }),
            Plan::Abort => owner(Ask::Abort),
            Plan::Abandon => {
                self.leave(at);
                None
            }
        }
    }

    /// Draws what the client asks for although it knows how the upload ended.
    fn draw_extra(&mut self, at: usize, detour: u64, any: u32, now_nanos: u64) -> Option<(Subject, Ask)> {
        let upload = &mut self.uploads[at];
        if upload.extras_left == 0 {
            self.leave(at);
            return None;
        }
        upload.extras_left -= 1;
        let ask = match detour % 5 {
            0 => Ask::Commit { is_right: true },
            1 => Ask::Abort,
            2 => Ask::Status,
            3 => begin_or_ask(upload, now_nanos),
            _ => Ask::PutChunk { index: any, bytes: Bytes::Right },
        };
        Some((Subject::Owner(at), ask))
    }

    fn draw_strange(&mut self, at: usize, which: u64) -> Option<(Subject, Ask)> {
        let index = (which % u64::from(self.uploads[at].content.chunks())) as u32;
        let ask = match which % 4 {
            0 => Ask::Commit { is_right: true },
            1 => Ask::Abort,
            2 => Ask::Status,
            _ => Ask::PutChunk { index, bytes: Bytes::Other },
        };
        Some((Subject::Stranger(at), ask))
    }
}

/// Has the client begin once more as long as the service certainly remembers the upload; else it would be another one.
fn begin_or_ask(upload: &Upload, now_nanos: u64) -> Ask {
    let is_known = upload.story.until.is_some_and(|until| now_nanos < until);
    if is_known { Ask::Begin } else { Ask::Status }
}
