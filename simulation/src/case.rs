//! What a run consists of, all drawn from its seed.

use std::collections::BTreeMap;

use canopy_types::policy::UploadPolicy;

use crate::draw::Draw;
use crate::faults::{FaultName, FaultOptions, Switch};

#[cfg(test)]
mod tests;

/// Streams of draws, one per purpose.
pub mod stream {
    pub const CASE: u64 = 1;
    pub const FAULTS: u64 = 2;
    pub const WORKLOAD: u64 = 3;
    pub const ADMINISTRATOR: u64 = 4;
    pub const CLOCK: u64 = 5;
    pub const GUESTS: u64 = 6;
    pub const RATE_LIMIT: u64 = 7;
    pub const MOVES: u64 = 8;
    /// What a case's uploads are.
    pub const UPLOADS: u64 = 9;
    /// What its uploaders do.
    pub const UPLOADERS: u64 = 10;
    pub const GROWTH: u64 = 11;
}

/// Operations of a run unless the command line says otherwise.
pub const OPERATIONS_DEFAULT: usize = 220;
/// Operations of each run of the campaign whose summary is committed.
pub const CAMPAIGN_OPERATIONS: usize = 1_000;
pub const OPERATIONS_MAX: usize = 100_000;
const SHARDS_MAX: u64 = 4;
const KEYS_MAX: u64 = 16;
/// One case in so many has one shard and so many keys, and values of 1 MiB.
const HEAVY_ONE_IN: u64 = 32;
const HEAVY_KEYS: (u64, u64) = (200, 250);
const HEAVY_LARGE_VALUE_ONE_IN: u64 = 1;
/// One heavy case in so many gives no ranges away: a shard that does hardly ever fills.
const HEAVY_STAYS_ONE_IN: u64 = 2;
/// One request in so many is a batch; fewer where values are large, because a message has room for one of them.
const BATCH_ONE_IN: u64 = 5;
const HEAVY_BATCH_ONE_IN: u64 = 30;
/// Clients of a run, some of them people and some canisters.
pub const CLIENTS: usize = 20;
/// Canisters among the clients whose rights change; the platform asks nobody before it delivers their calls.
const GUEST_CANISTERS: usize = 3;
/// Fewest of either.
const EITHER_MIN: u64 = 4;
/// One case in so many limits what each caller may ask for, to so many operations per minute.
const RATE_LIMIT_ONE_IN: u64 = 8;
const RATE_LIMIT: (u64, u64) = (10, 100);
/// One case in so many, none of them heavy, has shards split by themselves: at so many operations per minute, so often per
/// hour; and at so many bytes of records in one of so many of these.
const GROWTH_ONE_IN: u64 = 4;
const SPLIT_AT_OPERATIONS: (u64, u64) = (60, 200);
const SPLITS_PER_HOUR: (u64, u64) = (2, 6);
const SPLIT_AT_BYTES: (u64, u64) = (64 << 10, 4 << 20);
const SPLIT_AT_BYTES_ONE_IN: u64 = 2;
/// One case in so many lets each caller have few uploads open, up to so many.
const FEW_UPLOADS_ONE_IN: u64 = 4;
const FEW_UPLOADS_MAX: u64 = 3;
/// One case in so many has uploads of several chunks, and how many of its uploads are so.
const LONG_UPLOADS_ONE_IN: u64 = 6;
const LONG_UPLOAD_ONE_IN: u64 = 4;
const MINUTE_MILLISECONDS: u64 = 60_000;
const KEY_BYTES_MAX: u64 = canopy_types::limits::KEY_BYTES_MAX as u64;

/// What the command line says about all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub operations: usize,
    pub faults: FaultOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self { operations: OPERATIONS_DEFAULT, faults: FaultOptions::default() }
    }
}

impl Options {
    /// Options of the campaign: ranges change hands in every run but half of the heavy ones, and every other fault is drawn.
    pub fn of_campaign() -> Self {
        let mut faults = FaultOptions::default();
        faults.set(FaultName::RangesMove, Switch::On);
        Self { operations: CAMPAIGN_OPERATIONS, faults }
    }
}

/// What is uploaded, and under which terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    pub policy: UploadPolicy,
    /// One upload in so many has several chunks, of 1 MiB all but the last; 0: none. All others have one of few bytes.
    pub long_one_in: u64,
}

/// When shards are split without being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    pub split_at_operations_per_minute: u64,
    /// 0: never.
    pub split_at_record_bytes: u64,
    pub splits_per_hour: u64,
}

/// Weights of the kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    pub put: u64,
    pub get: u64,
    pub delete: u64,
    pub get_query: u64,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub seed: u64,
    pub operations: usize,
    /// Calling canisters live on a subnet of their own.
    pub callers_elsewhere: bool,
    pub initial_shards: u32,
    pub keys: Vec<Vec<u8>>,
    /// Clients that send ingress messages.
    pub users: usize,
    /// Clients that are canisters.
    pub callers: usize,
    /// Clients whose rights change: the last of the people and the last canisters.
    pub guests: Vec<usize>,
    pub mix: Mix,
    /// One value in so many is 1 MiB; 0: none.
    pub large_value_one_in: u64,
    /// One request in so many is a batch.
    pub batch_one_in: u64,
    /// How many operations per minute each caller may ask for; None: as many as it likes.
    pub rate_limit: Option<u64>,
    /// When shards are split by themselves; None: as ever, which no run reaches.
    pub growth: Option<Growth>,
    pub uploads: Uploads,
    /// Faults are on while the shards are being made.
    pub faults_while_starting: bool,
    /// What a round takes when there is work, in nanoseconds.
    pub round_nanos: u64,
    /// Rate of each fault, in millionths; 0: off.
    pub rates: BTreeMap<FaultName, u32>,
}

impl Case {
    /// Draws a run.
    pub fn draw(seed: u64, options: &Options) -> Self {
        let mut rates = options.faults.draw(&mut Draw::new(seed, stream::FAULTS));
        let mut draw = Draw::new(seed, stream::CASE);
        let callers_elsewhere = draw.below(3) == 0;
        let initial_shards = draw.between(1, SHARDS_MAX) as u32;
        let key_count = draw.between(1, KEYS_MAX);
        let users = draw.between(EITHER_MIN, CLIENTS as u64 - EITHER_MIN) as usize;
        let mix =
            Mix { put: draw.between(2, 10), get: draw.between(2, 10), delete: draw.below(4), get_query: draw.below(4) };
        let large_value_one_in = if draw.below(8) == 0 { draw.between(40, 120) } else { 0 };
        // Enough bytes that a shard must grow while it serves.
        let heavy = draw.below(HEAVY_ONE_IN) == 0;
        let heavy_key_count = draw.between(HEAVY_KEYS.0, HEAVY_KEYS.1);
        let (initial_shards, key_count, large_value_one_in) = if heavy {
            (1, heavy_key_count, HEAVY_LARGE_VALUE_ONE_IN)
        } else {
            (initial_shards, key_count, large_value_one_in)
        };
        let mut of_growth = Draw::new(seed, stream::GROWTH);
        if heavy && of_growth.below(HEAVY_STAYS_ONE_IN) == 0 {
            rates.insert(FaultName::RangesMove, 0);
        }
        let faults_while_starting = draw.below(2) == 0;
        // Short rounds let heavy clients outrun a shard's growth.
        let round_nanos =
            [10_000_000, 100_000_000, 500_000_000, 1_000_000_000][draw.below(4) as usize >> (heavy as u8 * 2)];
        let mut limited = Draw::new(seed, stream::RATE_LIMIT);
        let rate_limit =
            (limited.below(RATE_LIMIT_ONE_IN) == 0 && !heavy).then(|| limited.between(RATE_LIMIT.0, RATE_LIMIT.1));
        let keys = (0..key_count).map(|number| draw_key(&mut draw, number as u8)).collect();
        Self {
            seed,
            operations: options.operations,
            callers_elsewhere: callers_elsewhere || rates[&FaultName::SubnetSkew] > 0,
            initial_shards,
            keys,
            users,
            callers: CLIENTS - users,
            guests: std::iter::once(users - 1).chain(CLIENTS - GUEST_CANISTERS..CLIENTS).collect(),
            mix,
            large_value_one_in,
            batch_one_in: if heavy { HEAVY_BATCH_ONE_IN } else { BATCH_ONE_IN },
            rate_limit,
            growth: if heavy { None } else { draw_growth(&mut of_growth) },
            uploads: draw_uploads(seed),
            faults_while_starting,
            round_nanos,
            rates,
        }
    }

    pub fn rate(&self, fault: FaultName) -> u32 {
        self.rates[&fault]
    }

    /// Lists the faults that are on.
    pub fn faults(&self) -> impl Iterator<Item = FaultName> + '_ {
        self.rates.iter().filter(|(_, rate)| **rate > 0).map(|(fault, _)| *fault)
    }
}

/// Draws thresholds so low that the few operations of a run reach them.
fn draw_growth(draw: &mut Draw) -> Option<Growth> {
    let grows = draw.below(GROWTH_ONE_IN) == 0;
    let growth = Growth {
        split_at_operations_per_minute: draw.between(SPLIT_AT_OPERATIONS.0, SPLIT_AT_OPERATIONS.1),
        splits_per_hour: draw.between(SPLITS_PER_HOUR.0, SPLITS_PER_HOUR.1),
        split_at_record_bytes: if draw.below(SPLIT_AT_BYTES_ONE_IN) == 0 {
            draw.between(SPLIT_AT_BYTES.0, SPLIT_AT_BYTES.1)
        } else {
            0
        },
    };
    grows.then_some(growth)
}

/// Draws terms of uploads. Short ones end, and are collected, while everything may go wrong.
fn draw_uploads(seed: u64) -> Uploads {
    let mut draw = Draw::new(seed, stream::UPLOADS);
    let default = UploadPolicy::default();
    let open = [1, 3, 10].map(|minutes| minutes * MINUTE_MILLISECONDS)[draw.below(3) as usize];
    let kept = [1, 1, 3].map(|minutes| minutes * MINUTE_MILLISECONDS)[draw.below(3) as usize];
    let (long_open, long_kept) = (draw.below(4) == 0, draw.below(4) == 0);
    let (few, few_max) = (draw.below(FEW_UPLOADS_ONE_IN) == 0, draw.between(1, FEW_UPLOADS_MAX));
    let policy = UploadPolicy {
        open_uploads_max: if few { few_max } else { default.open_uploads_max },
        open_milliseconds: if long_open { default.open_milliseconds } else { open },
        kept_milliseconds: if long_kept { default.kept_milliseconds } else { kept },
        ..default
    };
    Uploads { policy, long_one_in: if draw.below(LONG_UPLOADS_ONE_IN) == 0 { LONG_UPLOAD_ONE_IN } else { 0 } }
}

/// Draws a key that begins with its number, most of them short.
fn draw_key(draw: &mut Draw, number: u8) -> Vec<u8> {
    let bytes = match draw.below(8) {
        0 => KEY_BYTES_MAX,
        1 => draw.between(1, KEY_BYTES_MAX),
        _ => draw.between(1, 40),
    };
    let mut key = vec![number];
    key.resize(bytes as usize, b'k');
    key
}
