//! The types that the store's methods take and answer.

use super::layout::{GROWTH_BYTES, RESERVE_PAGES};

/// Names a record: its place in hash order and its bytes.
///
/// `hash` is the hash by which ranges are owned. `tag` is a second hash, keyed by a secret that clients never learn, of
/// `space` and `bytes`; it orders records of equal hash, so that nobody can lengthen a search on purpose. Records of
/// different `space` never meet, whatever their bytes: 0 is the clients' keys, the rest is the shard's to assign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef<'a> {
    pub hash: u64,
    pub tag: u64,
    pub space: u8,
    pub bytes: &'a [u8],
}

/// Tells what a record is for. The store treats all kinds alike but `Tombstone`, which reads as absent, `Manifest`, which
/// is told when it goes, and `Upload`, which doesn't expire but is told when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Value = 1,
    Manifest = 2,
    Chunk = 3,
    Upload = 4,
    Deletion = 5,
    Tombstone = 6,
}

/// Identifies one attempt-independent write, so that a retry is told what the first attempt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// A keyed 128-bit digest of (original caller, operation id, index in the batch). Its low half is the tag under
    /// which a displaced receipt is found.
    pub identity: u128,
    /// When the client issued it, in nanoseconds since 1970. The store rounds it up to a millisecond.
    pub issued: u64,
    /// A digest of the arguments; another one under the same identity is refused.
    pub arguments: u64,
}

/// What an executed operation did, kept for 15 minutes after it was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub operation: Operation,
    pub outcome: Outcome,
}

/// What must hold of the record for a write to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    #[default]
    None,
    Absent,
    Present,
    Version(u64),
}

/// Asks to write a record.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    pub key: KeyRef<'a>,
    pub kind: Kind,
    pub value: &'a [u8],
    /// From when on the record reads as absent, in nanoseconds; rounded up to a millisecond. `None`: never.
    pub expires_at: Option<u64>,
    pub precondition: Precondition,
    /// `None` for writes of the shard itself, which are idempotent by other means; they leave no receipt.
    pub operation: Option<Operation>,
}

/// Asks to delete a record.
#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    pub key: KeyRef<'a>,
    pub precondition: Precondition,
    pub operation: Option<Operation>,
    /// Whether a tombstone with the deletion's version stays, as during a transfer of the range.
    pub keep_tombstone: bool,
}

/// What a write did; a refusal is an outcome too, and has a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written {
        version: u64,
    },
    /// Deleted the record of this version.
    Deleted {
        version: u64,
    },
    /// There was nothing to delete.
    Absent,
    /// The precondition failed; `current` is the version that was found, if the record was there.
    Refused {
        current: Option<u64>,
    },
}

/// Answers an executed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    /// The operation had been executed before, this is its receipt.
    pub replayed: bool,
}

/// Says why a write was not executed; nothing was changed and no receipt was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    KeyTooLong {
        bytes_max: u64,
    },
    ValueTooLong {
        bytes_max: u64,
    },
    /// Issued at or before `oldest` (nanoseconds): receipts of that time are gone.
    OperationTooOld {
        oldest: u64,
    },
    /// Issued after `newest` (nanoseconds).
    OperationTooNew {
        newest: u64,
    },
    /// The same identity came before with other arguments.
    OperationReused,
    /// The key has `receipts_max` live receipts; some end within the next minute or so.
    TooManyReceipts {
        receipts_max: u64,
    },
    /// More keys with equal (hash, tag) than `entries_max`: needs the tag's secret or 2^-64 luck, several times over.
    TooManyEqualTags {
        entries_max: u64,
    },
    /// Space is short until `maintain` has grown the memory. Retry soon.
    GrowthPending,
    /// Space is short and the memory could not be grown.
    OutOfSpace,
}

/// Describes a record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: Kind,
    pub version: u64,
    /// In nanoseconds, a whole number of milliseconds.
    pub expires_at: Option<u64>,
    pub value_bytes: u64,
}

/// Bounds a long-running method. Every one does at least one step, so that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Instructions, as estimated from the bytes and pages that the step touches.
    pub instructions: u64,
    /// Bytes of keys and values handed to the visitor; 48 for each receipt.
    pub bytes: u64,
    /// Stable pages of 4 KiB dirtied, estimated from above.
    pub pages: u64,
}

/// Marks a place in the order of entries: everything up to and with it has been visited.
///
/// Stays valid whatever is written, split, merged or moved in between.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub hash: u64,
    pub tag: u64,
    /// The last visited (space, key) where several share hash and tag; `None`: all of them are visited.
    pub key: Option<(u8, Vec<u8>)>,
}

/// Asks for the entries of a hash range in order.
#[derive(Clone, Debug)]
pub struct Walk {
    /// First and last hash, both included.
    pub first: u64,
    pub last: u64,
    pub after: Option<Cursor>,
    /// Visit displaced receipts that are alive, too.
    pub receipts: bool,
    /// Visit tombstones and expired records, too.
    pub tombstones: bool,
    /// Visit records of this space only.
    pub space: Option<u8>,
    /// Visit records of these kinds only.
    pub kinds: Kinds,
    /// Visit records whose keys begin with these bytes only.
    pub prefix: Vec<u8>,
    /// Read these values; others are handed to the visitor empty, and count nothing.
    pub values: Values,
    /// Visit at most so many records and receipts; 0 means 1.
    pub items_max: u64,
}

/// Which kinds of records a walk visits. Others are passed by without being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    All,
    /// What large values consist of: manifests, uploads and chunks.
    OfLargeValues,
}

impl Kinds {
    /// Tells whether a kind is one of these.
    pub fn include(self, kind: Kind) -> bool {
        match self {
            Kinds::All => true,
            Kinds::OfLargeValues => matches!(kind, Kind::Manifest | Kind::Upload | Kind::Chunk),
        }
    }
}

/// Which values a walk reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    All,
    /// Those of records that a budget of bytes has room for, if they come first.
    Fitting,
    None,
}

/// What a walk visits.
#[derive(Debug)]
pub enum Item<'a> {
    Record {
        key: KeyRef<'a>,
        found: Found,
        value: &'a [u8],
        /// The receipt of the record's last write, while it is alive.
        receipt: Option<Receipt>,
    },
    Receipt {
        /// Hash and tag of the key that the operation was about.
        hash: u64,
        key_tag: u64,
        receipt: Receipt,
    },
}

/// Says whether a walk is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    Done,
    /// The budget ended; go on with the cursor as `after`.
    More(Cursor),
}

/// A record as another shard has it; a tombstone has `Kind::Tombstone` and an empty value.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    pub key: KeyRef<'a>,
    pub kind: Kind,
    pub value: &'a [u8],
    pub version: u64,
    pub expires_at: Option<u64>,
    pub receipt: Option<Receipt>,
}

/// Says what an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    Applied,
    /// What is here is at least as new, or the receipt is here already or no longer needed.
    Stale,
}

/// A manifest that was overwritten, deleted, or swept when it had expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Hash of its key.
    pub hash: u64,
    /// Its value.
    pub value: Vec<u8>,
}

/// A record of `Kind::Upload` whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRecord {
    /// Hash and bytes of its key.
    pub hash: u64,
    pub bytes: Vec<u8>,
}

/// Says how far a budgeted method came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries freed in this call.
    pub freed: u64,
    /// Nothing is left to do.
    pub done: bool,
}

/// Says how far a sweep came. A sweep that is not done and has swept nothing waits for space: try again later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub records: u64,
    pub receipts: u64,
    /// Nothing that is due is left.
    pub done: bool,
}

/// Says what `maintain` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Enough is free.
    Enough,
    /// The memory was grown by so many bytes.
    Grown { bytes: u64 },
    /// The memory cannot be grown; writers are told `OutOfSpace` once the free space is used up.
    Failed,
}

/// Settings that are chosen anew at every `create` and `open`; none of them is part of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes by which the memory is grown; rounded up to 64 KiB.
    pub growth_bytes: u64,
    /// Pages that only deletes, receipts and imports may use.
    pub reserve_pages: u64,
    /// Inner nodes of the trees kept on the heap, about 5 KiB each; past it the cache starts anew.
    pub cached_nodes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { growth_bytes: GROWTH_BYTES, reserve_pages: RESERVE_PAGES, cached_nodes_max: 65_536 }
    }
}

/// Says why a memory could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The memory isn't empty, and holds no store.
    NoStore,
    /// The memory holds a store, so none is created in it.
    Exists,
    /// The memory holds a store of a layout that this version cannot read.
    LayoutVersion { found: u32, supported: u32 },
    /// The memory could not be grown to the first `bytes`.
    OutOfSpace { bytes: u64 },
}

/// Sizes and counts, all kept up to date, so that reading them costs nothing. Bytes unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Records, without tombstones; expired ones count until they are swept.
    pub records: u64,
    /// Of them, those of other spaces than the clients' (0).
    pub internal_records: u64,
    /// Keys and values of `records`.
    pub live_bytes: u64,
    pub tombstones: u64,
    /// Displaced receipts (those in record headers not counted).
    pub receipts: u64,
    /// Records that will expire.
    pub expiring: u64,
    /// Stable memory that the store may use.
    pub capacity_bytes: u64,
    /// Of it, never used so far.
    pub untouched_bytes: u64,
    /// Free pages: usable for anything.
    pub free_page_bytes: u64,
    /// Free slots: usable for records of the slot's size only.
    pub free_slot_bytes: u64,
    /// Lost to rounding records up to slots and runs.
    pub slack_bytes: u64,
    pub index_bytes: u64,
    pub expiry_bytes: u64,
    pub receipt_bytes: u64,
    /// Page tables, header, metadata.
    pub fixed_bytes: u64,
    /// Levels of the index, leaves included.
    pub index_depth: u64,
    /// The memory could not be grown at the last attempt.
    pub growth_failed: bool,
}

/// A broken invariant, in words; only a bug can cause one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);
