//! Promised bounds, and the platform's bounds that they derive from.
//!
//! Raising one of ours is a compatible change, lowering one is not: keys and values that were accepted would be refused.

/// Largest message that may arrive from outside or leave as a reply, in bytes (the platform's bound).
pub const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Room that a message keeps for Candid's type table, the other fields and, from outside, the signed envelope.
pub const MESSAGE_OVERHEAD_BYTES_MAX: usize = 64 * 1024;

/// Longest key, in bytes. A key has at least one byte.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest value that is kept as one record, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Longest value that is put chunk by chunk, in bytes: 4 GiB.
pub const LARGE_VALUE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Length of every chunk of such a value but the last, in bytes.
pub const CHUNK_BYTES: usize = VALUE_BYTES_MAX;

/// Most chunks of a value. Their digests fit one message 16 times.
pub const CHUNKS_MAX: u32 = 4096;

/// Uploads that a caller may have open, unless the policy says otherwise.
pub const OPEN_UPLOADS_MAX_DEFAULT: u64 = 256;

/// Most uploads that a policy may let a caller have open: so many entries are added up when one begins.
pub const OPEN_UPLOADS_MAX_MAX: u64 = 4096;

/// Bytes of values that a caller may have in open uploads, unless the policy says otherwise: 64 GiB.
pub const OPEN_UPLOAD_BYTES_MAX_DEFAULT: u64 = 64 << 30;

/// Most bytes that a policy may let a caller have in open uploads: 1 PiB.
pub const OPEN_UPLOAD_BYTES_MAX_MAX: u64 = 1 << 50;

/// How long an upload takes chunks, in milliseconds, unless the policy says otherwise: 24 hours.
pub const UPLOAD_OPEN_MILLISECONDS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

/// How long chunks stay once their value was replaced, or their upload given up, in milliseconds, unless the policy says
/// otherwise: 15 minutes.
pub const CHUNKS_KEPT_MILLISECONDS_DEFAULT: u64 = 15 * 60 * 1000;

/// Shortest and longest of these times that a policy may choose, in milliseconds: 1 minute to 30 days.
pub const UPLOAD_MILLISECONDS_MIN: u64 = 60 * 1000;
/// As above.
pub const UPLOAD_MILLISECONDS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// Most uploads that all callers together may have open.
pub const OPEN_UPLOADS_TOTAL_MAX: u64 = 65_536;

/// Length of an upload's id, in bytes.
pub const UPLOAD_ID_BYTES: usize = 16;

/// Length of a digest, in bytes.
pub const DIGEST_BYTES: usize = 32;

/// Length of an operation's id, in bytes.
pub const OPERATION_ID_BYTES: usize = 16;

/// How long the outcome of an operation is kept after it was issued, in seconds; older ones are refused.
pub const OPERATION_KEPT_SECONDS: u64 = 15 * 60;

/// How far ahead of a shard's clock an operation may be issued, in seconds.
pub const OPERATION_AHEAD_SECONDS: u64 = 60;

/// Shortest time to live, in milliseconds: 1 s. An answer may take as long, so less would say nothing.
pub const TIME_TO_LIVE_MILLISECONDS_MIN: u64 = 1_000;

/// Longest time to live, in milliseconds: 100 years of 365 days. Longer is for ever, which null says.
pub const TIME_TO_LIVE_MILLISECONDS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Most items of a batch that a client sends to the router.
pub const REQUEST_ITEMS_MAX: usize = 10_000;

/// Records on a page of a scan, unless it is asked for others.
pub const SCAN_RECORDS_DEFAULT: u32 = 1_000;

/// Most records on a page of a scan.
pub const SCAN_RECORDS_MAX: u32 = 4_096;

/// Most items of one batch that a shard takes in one message.
///
/// An item dirties up to 4 pages of 4 KiB, and a canister that dirties more than 75 MiB in a round is made to wait.
pub const BATCH_ITEMS_MAX: usize = 4096;

/// Length of a transfer's id, in bytes.
pub const TRANSFER_ID_BYTES: usize = 16;

/// Length of the seed of the secret that tells records of equal hash apart, in bytes.
pub const TAG_SEED_BYTES: usize = RANDOM_BYTES_PER_CALL;

/// Length of the secret of the keyed hash, in bytes (XXH3 takes 136 or more; its own default has 192).
pub const SECRET_BYTES: usize = 192;

/// Bytes that one call of the management canister's `raw_rand` answers.
pub const RANDOM_BYTES_PER_CALL: usize = 32;

/// Fewest shards that a new router creates.
pub const INITIAL_SHARDS_MIN: u32 = 1;

/// Shards that a new router creates when it isn't told otherwise.
pub const INITIAL_SHARDS_DEFAULT: u32 = 2;

/// Most shards that a new router creates by itself.
pub const INITIAL_SHARDS_MAX: u32 = 64;

/// Most shards that a router has, spares included. Its table of them fits one message 20 times.
pub const SHARDS_MAX: u32 = 1024;

/// Most transfers that a router runs at a time. Each has one call of the router open, and more of the shards.
pub const TRANSFERS_MAX: u32 = 8;

/// Controllers that a canister may have (the platform's bound).
pub const CONTROLLERS_MAX: usize = 10;

/// Most administrators: they and the router control every shard. One place is left free for emergencies.
pub const ADMINISTRATORS_MAX: usize = 8;

/// Most writers, and most readers, that may be named when a router is installed.
pub const ROLE_PRINCIPALS_MAX: usize = 1000;

/// Most grants of roles, those named when a router is installed included.
pub const GRANTS_MAX: usize = 4096;

/// Most grants of one principal, or of everyone: so many prefixes are compared with a key at most.
pub const GRANTS_OF_ONE_MAX: usize = 64;

/// Most bytes of the prefixes of all grants, so that the grants fit the message that tells them to a shard.
pub const PREFIX_BYTES_TOTAL_MAX: usize = 256 * 1024;

/// Callers without a role whose use is counted one by one; the rest share one share.
pub const RATED_STRANGERS_MAX: usize = 4096;

/// Fewest operations per minute to which callers may be limited.
pub const OPERATIONS_PER_MINUTE_MIN: u64 = 1;

/// Most operations per minute to which callers may be limited: more than a canister can be asked for.
pub const OPERATIONS_PER_MINUTE_MAX: u64 = 1_000_000_000;

/// Fewest bytes per minute to which callers may be limited: the longest message takes no more than a minute's share.
pub const BYTES_PER_MINUTE_MIN: u64 = MESSAGE_BYTES_MAX as u64;

/// Most bytes per minute to which callers may be limited: 1 PiB.
pub const BYTES_PER_MINUTE_MAX: u64 = 1 << 50;

/// From how many bytes of keys and values on a shard is split, unless the policy says otherwise: 32 GiB.
pub const SPLIT_AT_RECORD_BYTES_DEFAULT: u64 = 32 << 30;

/// From how many bytes of stable memory in use on a shard is split, unless the policy says otherwise: 128 GiB.
pub const SPLIT_AT_STABLE_BYTES_DEFAULT: u64 = 128 << 30;

/// From how many bytes of memory of its code on a shard is split, unless the policy says otherwise: 2 GiB, where the
/// platform ends at 4 and a new canister's settings at 3.
pub const SPLIT_AT_HEAP_BYTES_DEFAULT: u64 = 2 << 30;

/// From how many operations per minute on a shard is split, unless the policy says otherwise: 5,000 a second.
pub const SPLIT_AT_OPERATIONS_PER_MINUTE_DEFAULT: u64 = 300_000;

/// From how many instructions per minute on a shard is split, unless the policy says otherwise: 1 G a second, about half of
/// what a subnet gives one canister.
pub const SPLIT_AT_INSTRUCTIONS_PER_MINUTE_DEFAULT: u64 = 60_000_000_000;

/// How many shards may be split or merged by triggers within an hour, unless the policy says otherwise.
pub const SPLITS_PER_HOUR_DEFAULT: u64 = 12;

/// How many cycles may be spent for growth within 24 hours, unless the policy says otherwise: 300 T. That pays for ten
/// splits of shards that are full by default.
pub const GROWTH_CYCLES_PER_DAY_DEFAULT: u64 = 300_000_000_000_000;

/// Bounds of `growth_cycles_per_day_max`: 1 T to 100,000 T.
pub const GROWTH_CYCLES_PER_DAY: (u64, u64) = (1_000_000_000_000, 100_000_000_000_000_000);

/// Bounds of `split_at_record_bytes`: 64 KiB to 400 GiB, of the 500 GiB of stable memory that a canister may have.
pub const SPLIT_AT_RECORD_BYTES: (u64, u64) = (64 << 10, 400 << 30);

/// Bounds of `split_at_stable_bytes`: 1 MiB to 450 GiB.
pub const SPLIT_AT_STABLE_BYTES: (u64, u64) = (1 << 20, 450 << 30);

/// Bounds of `split_at_heap_bytes`: 1 MiB to the 4 GiB that a canister's code may have.
pub const SPLIT_AT_HEAP_BYTES: (u64, u64) = (1 << 20, 4 << 30);

/// Bounds of `split_at_operations_per_minute`.
pub const SPLIT_AT_OPERATIONS_PER_MINUTE: (u64, u64) = (60, 1_000_000_000);

/// Bounds of `split_at_instructions_per_minute`.
pub const SPLIT_AT_INSTRUCTIONS_PER_MINUTE: (u64, u64) = (1_000_000, 1_000_000_000_000);

/// Most shards that may be split or merged by triggers within an hour.
pub const SPLITS_PER_HOUR_MAX: u64 = 60;

/// Most spares that a policy may ask for.
pub const SPARES_MIN_MAX: u64 = 64;

/// Cycles that a new shard owns after its creation was paid, unless the router is told otherwise: 3 T.
pub const SHARD_CYCLES_DEFAULT: u128 = 3_000_000_000_000;

/// Fewest cycles that a shard may be given: installing code needs 300 G free, and serving needs about 40 G per message.
pub const SHARD_CYCLES_MIN: u128 = 500_000_000_000;

/// Most cycles that a shard may be given at its creation: 1,000 T. More is a slip of the hand.
pub const SHARD_CYCLES_MAX: u128 = 1_000_000_000_000_000;

/// Longest free text in an error or a status, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

const _: () = assert!(
    KEY_BYTES_MAX + VALUE_BYTES_MAX + MESSAGE_OVERHEAD_BYTES_MAX <= MESSAGE_BYTES_MAX,
    "a record must fit one message"
);
const _: () = assert!(SECRET_BYTES.is_multiple_of(RANDOM_BYTES_PER_CALL), "the secret is drawn in whole answers");
const _: () = assert!(BATCH_ITEMS_MAX * 4 * 4096 < 75 * 1024 * 1024, "a batch must not make its shard wait");
const _: () = assert!(SECRET_BYTES.is_multiple_of(16), "the tags' secret is made of whole hashes");
const _: () = assert!(SECRET_BYTES >= 136, "XXH3 refuses shorter secrets");
const _: () = assert!(ADMINISTRATORS_MAX + 2 <= CONTROLLERS_MAX, "router and administrators control each shard");
const _: () = assert!(INITIAL_SHARDS_MAX <= SHARDS_MAX);
const _: () = assert!(INITIAL_SHARDS_MIN <= INITIAL_SHARDS_DEFAULT && INITIAL_SHARDS_DEFAULT <= INITIAL_SHARDS_MAX);
const _: () = assert!(SHARD_CYCLES_MIN <= SHARD_CYCLES_DEFAULT && SHARD_CYCLES_DEFAULT <= SHARD_CYCLES_MAX);

const _: () = assert!(ADMINISTRATORS_MAX + 2 * ROLE_PRINCIPALS_MAX <= GRANTS_MAX, "who is named at first has grants");

/// Shortens `text` to [`REASON_BYTES_MAX`] bytes, at a character's boundary.
pub fn bounded_reason(text: &str) -> String {
    if text.len() <= REASON_BYTES_MAX {
        return text.to_string();
    }
    let end = (0..=REASON_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_string()
}
