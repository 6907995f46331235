//! The store of a shard: records in hash order, in stable memory, over the `Memory` trait of ic-stable-structures.
//!
//! Start at [`Store`]: `create` or `open`, then `advance_time` once per message, then any of
//!
//! | area | methods | file |
//! |---|---|---|
//! | one record | `get`, `find`, `head`, `put`, `delete`, `find_receipt` | `read.rs`, `write.rs` |
//! | many records | `walk`, `free_range`, `drop_tombstones` | `walk.rs`, `transfer.rs` |
//! | large values | `take_displaced`, `take_due`, `rewrite` | `uploads.rs` |
//! | transfers | `import_record`, `import_receipt`, `observe`, `watch`, `take_changes`, `visit` | `transfer.rs`, `changes.rs` |
//! | timers | `maintain` (grows the memory ahead), `sweep` (expired records, receipts) | `growth.rs`, `sweep.rs` |
//! | watching | `statistics`, `check_invariants` | `statistics.rs`, `invariants.rs` |
//!
//! Below them, from the bottom up: `layout.rs` draws the memory, `pages` hands out runs of 4 KiB pages and keeps the
//! page table, `slabs.rs` cuts pages into slots for records, `record.rs` encodes a record, `tree` is the B+-tree that
//! serves as index and as expiry list, `receipts.rs` keeps displaced receipts in lists per minute.
//!
//! A message is atomic on the platform, so nothing here logs or repairs: every public method leaves the memory
//! consistent, and `open` reads one page. Errors are returned before anything has been changed.
//!
//! The caller computes hashes and tags (both keyed), so the store needs no secret; see [`KeyRef`] and [`Operation`].

mod api;
mod changes;
mod growth;
mod invariants;
mod layout;
mod pages;
mod read;
mod receipts;
mod record;
mod slabs;
mod state;
mod statistics;
mod sweep;
mod transfer;
mod tree;
mod uploads;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use api::{
    Answer, Budget, Cursor, Delete, Displaced, DueRecord, Found, Growth, Import, Imported, Item, KeyRef, Kind, Kinds,
    OpenError, Operation, Options, Outcome, Precondition, Progress, Put, Receipt, Statistics, Swept, Values, Violation,
    Walk, WalkEnd, WriteError,
};
pub use changes::Place;
pub use layout::{KEY_BYTES_MAX, METADATA_BYTES_MAX, RECEIPTS_PER_KEY_MAX, VALUE_BYTES_MAX};
pub use read::ValuePlace;
pub use state::Store;
