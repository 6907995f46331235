//! Sending what is asked: to the router, or to the shard of a chunk or a key; by update or by query.

use candid::Principal;
use canopy_types::api::uploads::{GetChunkArguments, GetManifestArguments};
use canopy_types::codec::encode;
use canopy_types::uploads::chunk_key;
use canopy_types::{Digest, UploadId};
use serde_bytes::ByteBuf;

use super::{Ask, Bytes, Open, Scene, Sent, Subject, Uploads};
use crate::answers::read_reject;
use crate::faults::FaultName;
use crate::history::Asked;
use crate::network::Network;
use crate::sender::{Call, Terms};
use crate::tally::Happening;

/// Steps that an impatient sender waits.
const IMPATIENT_STEPS_MAX: u64 = 4;
/// Steps after which every sender gives up: by then the message has expired and all deadlines have passed.
const PATIENT_STEPS_MAX: u64 = 4_000;
/// Seconds that a calling canister waits, at least and at most.
const CALLER_TIMEOUT_SECONDS: (u64, u64) = (5, 300);
/// One sending in so many goes to the shard itself, where that is possible.
const DIRECT_ONE_IN: u64 = 3;
/// One reading of a person in so many is a query.
const QUERY_ONE_IN: u64 = 3;

impl Uploads {
    /// Sends something, and notes that it was sent.
    pub(super) fn send(&mut self, subject: Subject, ask: Ask, scene: &mut Scene) {
        let client = self.client_of(subject);
        let sender = self.clients[client];
        let (wants_direct, wants_query) = (self.draw.below(DIRECT_ONE_IN) == 0, self.draw.below(QUERY_ONE_IN) == 0);
        let impatient = self.draw.fires(scene.case.rate(FaultName::SenderGivesUp)) && !self.settling;
        let steps_left = if impatient { self.draw.below(IMPATIENT_STEPS_MAX) } else { PATIENT_STEPS_MAX };
        let bounded = self.draw.below(4) > 0;
        let timeout = self.draw.between(CALLER_TIMEOUT_SECONDS.0, CALLER_TIMEOUT_SECONDS.1) as u32;
        let (key, id) = self.named(subject);
        let bytes = &scene.case.keys[key];
        let owner = if wants_direct { owner(ask, bytes, id, scene.case.keys.as_slice(), scene.network) } else { None };
        let is_read = matches!(ask, Ask::GetManifest | Ask::GetChunk { .. });
        let is_query = is_read && owner.is_none() && wants_query && !sender.is_canister();
        let arguments = self.arguments(subject, ask, bytes);
        let from = scene.network.round_nanos;
        let asked = Asked { sent: scene.history.moment(from), direct: owner.is_some() };
        self.tally.note_if(asked.direct, Happening::Direct);
        let mut sent =
            Sent { client, key, subject, ask, asked, is_query, commit: None, was_complete: false, was_stored: false };
        self.note_sent(&mut sent, scene);
        let call =
            Call { callee: owner.unwrap_or(scene.network.router), method: ask.method().name(is_query), arguments };
        if is_query {
            let answer = scene.network.query(sender.principal(), call.callee, call.method, call.arguments);
            // A query changes nothing, so whatever its reject says, nothing was done.
            return self.end(&sent, Ok(answer.map_err(|error| read_reject(&error, false))), scene);
        }
        let terms = Terms { timeout_seconds: bounded.then_some(timeout), cycles: 0 };
        match sender.submit(call, terms, scene.network) {
            Ok(message) => {
                self.given_up += u64::from(impatient);
                self.open.push(Open { sent, message, steps_left });
            }
            Err(error) => self.end(&sent, Ok(Err(read_reject(&error, false))), scene),
        }
    }

    fn client_of(&mut self, subject: Subject) -> usize {
        let stranger = self.draw.below(self.clients.len() as u64 - 1) as usize;
        match subject {
            Subject::Owner(upload) => self.uploads[upload].content.client,
            Subject::Stranger(upload) => stranger + usize::from(stranger >= self.uploads[upload].content.client),
            Subject::Reader(reader) => self.readers[reader].client,
        }
    }

    /// Tells key and upload that are asked about; a reader that has no manifest yet names none.
    fn named(&self, subject: Subject) -> (usize, UploadId) {
        match subject {
            Subject::Owner(upload) | Subject::Stranger(upload) => {
                let content = &self.uploads[upload].content;
                (content.key, content.id)
            }
            Subject::Reader(reader) => {
                let reader = &self.readers[reader];
                let id = reader.value.as_ref().map(|(manifest, _)| manifest.upload);
                (reader.key, id.unwrap_or(UploadId([0; 16])))
            }
        }
    }

    fn arguments(&self, subject: Subject, ask: Ask, key: &[u8]) -> Vec<u8> {
        let upload = match subject {
            Subject::Owner(upload) | Subject::Stranger(upload) => &self.uploads[upload],
            Subject::Reader(reader) => {
                let key = ByteBuf::from(key);
                return match (&self.readers[reader].value, ask) {
                    (Some((manifest, _)), Ask::GetChunk { index }) => {
                        let (upload, pass) = (manifest.upload, manifest.pass.clone());
                        encode(&GetChunkArguments { key, upload, pass, index })
                    }
                    _ => encode(&GetManifestArguments { key }),
                };
            }
        };
        let content = &upload.content;
        match ask {
            Ask::Begin => encode(&content.begin_arguments(key)),
            Ask::PutChunk { index, bytes } => {
                let pass = upload.pass.clone().unwrap_or_default();
                let chunk = if bytes == Bytes::Other { content.other_chunk(index) } else { content.chunk(index) };
                let mut arguments = content.put_arguments(key, &pass, index, chunk);
                if bytes == Bytes::UnderWrongDigest {
                    arguments.digest = WRONG_DIGEST;
                }
                encode(&arguments)
            }
            Ask::Commit { is_right } => {
                encode(&content.commit_arguments(key, if is_right { content.digest } else { WRONG_DIGEST }))
            }
            Ask::Abort | Ask::Status => encode(&content.arguments(key)),
            Ask::GetManifest | Ask::GetChunk { .. } => unreachable!("only readers read"),
        }
    }

    fn note_sent(&mut self, sent: &mut Sent, scene: &mut Scene) {
        let Subject::Owner(at) = sent.subject else { return };
        let upload = &mut self.uploads[at];
        upload.open += 1;
        sent.was_complete = upload.is_complete();
        match sent.ask {
            Ask::Begin => upload.begin_sent = true,
            Ask::Abort => upload.story.abort_sent = true,
            Ask::PutChunk { index, bytes } => {
                sent.was_stored = upload.stored[index as usize];
                upload.flying[index as usize] += u32::from(bytes == Bytes::Right);
            }
            Ask::Commit { is_right: true } => {
                let content = &upload.content;
                let begin = || scene.history.begin(content.client, content.key, content.publish(), None);
                let commit = *upload.commit.get_or_insert_with(begin);
                sent.commit = Some(scene.history.send_to(commit, sent.asked.sent.nanos, false));
            }
            _ => {}
        }
    }
}

/// A digest that nothing has.
const WRONG_DIGEST: Digest = Digest([0x5a; 32]);

/// Finds the shard that can be asked itself; None if there is none, or nobody knows.
fn owner(ask: Ask, key: &[u8], id: UploadId, keys: &[Vec<u8>], network: &mut Network) -> Option<Principal> {
    match ask {
        Ask::PutChunk { index, .. } | Ask::GetChunk { index } => {
            network.learn_hashes(keys);
            let hash = network.secret.as_ref()?.hash(&chunk_key(id, index));
            network.owner_of_hash(hash)
        }
        Ask::GetManifest => network.owner(key),
        Ask::Begin | Ask::Commit { .. } | Ask::Abort | Ask::Status => None,
    }
}
