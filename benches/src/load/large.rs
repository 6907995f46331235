//! Large values: what a mebibyte costs and how many rounds it takes, up and down, by chunks under way, shards and way.
//!
//! Users call, as who has large files does. What a client asks beside the chunks is counted too: to begin, to commit, and
//! for the manifest. Downloads are update calls, whose answers a user can trust; queries are free.

use std::collections::VecDeque;

use candid::Principal;
use canopy_types::api::uploads::{
    BeginUploadArguments, BeginUploadResult, CommitUploadArguments, CommitUploadResult, GetChunkArguments,
    GetChunkResult, GetManifestArguments, GetManifestResult, PutChunkArguments, PutChunkResult, UploadError,
};
use canopy_types::codec::{decode, encode};
use canopy_types::shard::ShardError;
use canopy_types::uploads::shard::{ShardGetChunkResult, ShardPutChunkResult, ShardUploadError};
use canopy_types::uploads::{chunk_bytes, chunk_key, chunks_of};
use canopy_types::{Digest, HashSecret, RoutingTable, UploadId};
use pocket_ic::common::rest::RawMessageId;
use serde_bytes::ByteBuf;

use super::cells::{Service, State, Way, names};
use super::watch::{BLOCK_BYTES_MAX, ENVELOPE_BYTES};
use super::world::{Modules, Places, World};
use crate::results::{Figure, Figures, Key, Measure, Structure};

/// How long the value is, and what is varied.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub value_bytes: u64,
    pub windows: &'static [usize],
    pub shards: &'static [u32],
}

/// For the report.
pub const FULL: Sizes = Sizes { value_bytes: 64 << 20, windows: &[1, 16], shards: &[1, 8] };
/// For CI.
pub const SMALL: Sizes = Sizes { value_bytes: 4 << 20, windows: &[4], shards: &[2] };

/// What the part is called, where cells have names.
pub const NAME: &str = "large values";
pub const UPLOAD: &str = "upload";
pub const DOWNLOAD: &str = "download";

const MEBIBYTE: u64 = 1 << 20;
/// What the platform takes for a byte of a message of a user, and of one between canisters, on a subnet of 13 nodes.
const INGRESS_BYTE_CYCLES: u64 = 2_000;
const CALL_BYTE_CYCLES: u64 = super::measure::BYTE_CYCLES;
/// Rounds within which everything must be answered.
const ROUNDS_MAX: u64 = 5_000;
/// Times that a chunk is sent again because the shard has no room yet: it grows by a timer.
const AGAIN_MAX: u32 = 50;

/// Names what is measured.
pub fn named(what: &str, way: Way, window: usize, shards: u32) -> String {
    let plural = if shards == 1 { "" } else { "s" };
    format!("{what}, {}, {window} under way, {shards} shard{plural}", names::way_word(way))
}

/// Lists what is measured: what, which way, how many chunks under way, how many shards.
pub fn all(sizes: &Sizes) -> Vec<(&'static str, Way, usize, u32)> {
    let mut all = vec![];
    for what in [UPLOAD, DOWNLOAD] {
        for way in [Way::Routed, Way::Direct] {
            for &window in sizes.windows {
                all.extend(sizes.shards.iter().map(|&shards| (what, way, window, shards)));
            }
        }
    }
    all
}

/// Finds a figure of an up- or download.
pub fn find(figures: &Figures, sizes: &Sizes, name: &str, measure: Measure) -> Option<u64> {
    figures.find(Structure::Large, sizes.value_bytes, 1, name, measure).map(|figure| figure.measured)
}

/// Measures all of them.
pub fn measure(figures: &mut Figures, modules: &Modules, sizes: &Sizes) {
    for &shards in sizes.shards {
        let state = State { service: Service::Canopy, shards, records: 0, value_bytes: 0 };
        let mut values = Values::new(World::new(&state, modules, Places { subnets: 1, each: 1 }), sizes.value_bytes);
        for way in [Way::Routed, Way::Direct] {
            for &window in sizes.windows {
                values.begin_another();
                values.world.rest();
                let used = values.measure(|values| values.upload(way, window));
                let fees = INGRESS_BYTE_CYCLES + if way == Way::Routed { CALL_BYTE_CYCLES } else { 0 };
                add(figures, sizes, named(UPLOAD, way, window, shards), &used, fees);
                values.world.rest();
                let used = values.measure(|values| values.download(way, window));
                // What a user is answered costs nothing.
                let fees = if way == Way::Routed { CALL_BYTE_CYCLES } else { 0 };
                add(figures, sizes, named(DOWNLOAD, way, window, shards), &used, fees);
            }
        }
    }
}

fn add(figures: &mut Figures, sizes: &Sizes, operation: String, used: &Used, byte_cycles: u64) {
    let mebibytes = sizes.value_bytes / MEBIBYTE;
    for (measure, measured) in [
        (Measure::CyclesPerMebibyte, used.cycles / mebibytes),
        (Measure::FeesPerMebibyte, byte_cycles * MEBIBYTE),
        (Measure::RoundsPerThousandMebibytes, used.rounds * 1_000 / mebibytes),
    ] {
        let key = Key {
            structure: Structure::Large,
            value_bytes: sizes.value_bytes,
            records: 1,
            operation: operation.clone(),
            measure,
        };
        figures.add(Figure { key, measured, budget: None });
    }
}

/// What an up- or download used.
struct Used {
    cycles: u64,
    rounds: u64,
}

/// A call of a user.
struct Call {
    callee: Principal,
    method: &'static str,
    argument: Vec<u8>,
}

/// What becomes of a call.
enum Heard {
    Done,
    /// To be sent again: there is no room yet.
    Again,
}

/// Values of a length, on a service.
struct Values {
    world: World,
    router: Principal,
    table: RoutingTable,
    secret: HashSecret,
    value_bytes: u64,
    uploads: u8,
    rounds: u64,
}

impl Values {
    fn new(world: World, value_bytes: u64) -> Self {
        let router = world.router.expect("there is a router");
        let table = RoutingTable { routes: world.routes.clone() };
        let secret = HashSecret::from_slice(&world.secret).expect("the router tells the secret");
        Self { world, router, table, secret, value_bytes, uploads: 0, rounds: 0 }
    }

    /// Turns to another key and upload.
    fn begin_another(&mut self) {
        self.uploads += 1;
    }

    fn key(&self) -> ByteBuf {
        ByteBuf::from(format!("large value {}", self.uploads))
    }

    fn upload_id(&self) -> UploadId {
        UploadId([self.uploads; 16])
    }

    fn chunk(&self, index: u32) -> Vec<u8> {
        let seed = u64::from(index) << 8 | u64::from(self.uploads);
        let words = (0..).map(|at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        words.flatten().take(chunk_bytes(self.value_bytes, index)).collect()
    }

    /// Tells who is asked about a chunk.
    fn callee(&self, way: Way, index: u32) -> Principal {
        let hash = self.secret.hash(&chunk_key(self.upload_id(), index));
        match way {
            Way::Routed => self.router,
            Way::Direct => self.table.find(hash).expect("the table covers every hash").shard,
        }
    }

    fn measure(&mut self, action: impl FnOnce(&mut Self)) -> Used {
        let (cycles, rounds) = (self.world.cycles(), self.rounds);
        action(self);
        let cycles = cycles - self.world.cycles();
        Used { cycles: cycles.try_into().expect("no service has so many cycles"), rounds: self.rounds - rounds }
    }

    fn upload(&mut self, way: Way, window: usize) {
        let (key, upload, chunks) = (self.key(), self.upload_id(), chunks_of(self.value_bytes));
        let begin = encode(&BeginUploadArguments::new(key.clone(), upload, self.value_bytes));
        let begun: BeginUploadResult = self.ask("begin_upload", begin);
        let pass = begun.expect("a writer may upload").pass;
        let chunk = |values: &Self, index: u32| {
            let bytes = values.chunk(index);
            let (key, pass, digest) = (key.clone(), pass.clone(), Digest::of(&bytes));
            let argument =
                encode(&PutChunkArguments { key, upload, pass, index, digest, bytes: bytes.into(), caller: None });
            Call { callee: values.callee(way, index), method: "put_chunk", argument }
        };
        self.exchange(window, chunks, chunk, |index, reply| match way {
            Way::Routed => match decode::<PutChunkResult>(reply) {
                Ok(Ok(())) => Heard::Done,
                Ok(Err(UploadError::Busy { .. })) => Heard::Again,
                other => panic!("chunk {index}: {other:?}"),
            },
            Way::Direct => match decode::<ShardPutChunkResult>(reply) {
                Ok(Ok(())) => Heard::Done,
                Ok(Err(ShardUploadError::Shard(ShardError::Growing { .. }))) => Heard::Again,
                other => panic!("chunk {index}: {other:?}"),
            },
        });
        let digests: Vec<Digest> = (0..chunks).map(|index| Digest::of(&self.chunk(index))).collect();
        let commit = encode(&CommitUploadArguments { key, upload, digest: Digest::of_chunks(&digests) });
        let committed: CommitUploadResult = self.ask("commit_upload", commit);
        committed.expect("all chunks are there");
    }

    fn download(&mut self, way: Way, window: usize) {
        let (key, chunks) = (self.key(), chunks_of(self.value_bytes));
        let manifest: GetManifestResult = self.ask("get_manifest", encode(&GetManifestArguments { key: key.clone() }));
        let manifest = manifest.expect("a writer may read").expect("it was uploaded");
        let (upload, pass) = (manifest.upload, manifest.pass);
        let chunk = |values: &Self, index: u32| {
            let (key, pass) = (key.clone(), pass.clone());
            let argument = encode(&GetChunkArguments { key, upload, pass, index });
            Call { callee: values.callee(way, index), method: "get_chunk", argument }
        };
        let value_bytes = self.value_bytes;
        self.exchange(window, chunks, chunk, |index, reply| {
            let found = match way {
                Way::Routed => decode::<GetChunkResult>(reply).map(|found| found.map_err(|error| format!("{error:?}"))),
                Way::Direct => {
                    decode::<ShardGetChunkResult>(reply).map(|found| found.map_err(|error| format!("{error:?}")))
                }
            };
            let found = found.unwrap_or_else(|fault| panic!("chunk {index}: {}", fault.reason));
            let found = found.unwrap_or_else(|error| panic!("chunk {index}: {error}"));
            assert_eq!(found.bytes.len(), chunk_bytes(value_bytes, index), "chunk {index}");
            Heard::Done
        });
    }

    /// Asks the router for one thing.
    fn ask<T: candid::CandidType + serde::de::DeserializeOwned>(
        &mut self,
        method: &'static str,
        argument: Vec<u8>,
    ) -> T {
        let mut answer = None;
        let call = |values: &Self, _| Call { callee: values.router, method, argument: argument.clone() };
        self.exchange(1, 1, call, |_, reply| {
            answer = Some(decode(reply).unwrap_or_else(|fault| panic!("{method}: {}", fault.reason)));
            Heard::Done
        });
        answer.expect("it was answered")
    }

    /// Makes so many calls, `window` at once, in blocks that hold no more than blocks may, and counts rounds.
    fn exchange(
        &mut self,
        window: usize,
        calls: u32,
        call: impl Fn(&Self, u32) -> Call,
        mut heard: impl FnMut(u32, &[u8]) -> Heard,
    ) {
        let mut waiting: VecDeque<u32> = (0..calls).collect();
        let mut next: Option<(u32, Call)> = None;
        let mut under_way: Vec<(RawMessageId, u32)> = vec![];
        let mut again = 0;
        let end = self.rounds + ROUNDS_MAX;
        while next.is_some() || !waiting.is_empty() || !under_way.is_empty() {
            assert!(self.rounds < end, "not all is answered after {ROUNDS_MAX} rounds");
            let mut block_bytes = 0;
            while under_way.len() < window {
                let Some((index, made)) =
                    next.take().or_else(|| waiting.pop_front().map(|index| (index, call(self, index))))
                else {
                    break;
                };
                let bytes = (made.method.len() + made.argument.len()) as u64 + ENVELOPE_BYTES;
                if block_bytes + bytes > BLOCK_BYTES_MAX {
                    next = Some((index, made));
                    break;
                }
                block_bytes += bytes;
                let sent = self.world.pic.submit_call(made.callee, self.world.user, made.method, made.argument);
                under_way.push((sent.unwrap_or_else(|reject| panic!("{}: {reject}", made.method)), index));
            }
            self.world.pic.tick();
            self.rounds += 1;
            for (id, index) in std::mem::take(&mut under_way) {
                match self.world.pic.ingress_status(id.clone()) {
                    None => under_way.push((id, index)),
                    Some(Err(reject)) => panic!("call {index}: {reject}"),
                    Some(Ok(reply)) => {
                        if let Heard::Again = heard(index, &reply) {
                            again += 1;
                            assert!(again <= AGAIN_MAX, "call {index}: no room for long");
                            waiting.push_back(index);
                        }
                    }
                }
            }
        }
    }
}
