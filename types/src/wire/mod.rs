//! Candid of the hot methods by hand.
//!
//! What travels is ordinary Candid. But decoding it in general costs more than storing a record: the type table is
//! parsed, checked and kept on the heap for every message. The senders of this crate always write the same few type
//! tables, so here a message's table is compared with those, and its values are read where they lie. Every reader
//! answers `None` for anything else, malformed messages included; the caller then asks [`codec`](crate::codec), which
//! accepts every table and says what is wrong. Replies are a prebuilt table and the values behind it.
//!
//! Tables hold only the fields that are used: a type with fewer optional fields, and a reply without the errors that
//! did not happen, are subtypes of the declared ones, and each byte costs 1,000 cycles between canisters. A message
//! with all fields has the table that crate `candid` writes for this crate's types.
//!
//! Start at [`arguments`] and [`replies`], which hold what is read and written for single operations; [`batch`] is the
//! same for `apply`, [`many`] for the router's batches, [`pages`] for scans, [`uploads`] for chunks, and [`refusals`] writes errors. [`table`] builds the tables at compile time, [`bytes`] reads and writes the values.

pub mod arguments;
pub mod batch;
pub mod bytes;
pub mod many;
pub mod pages;
pub mod refusals;
pub mod replies;
pub mod table;
pub mod uploads;

#[cfg(test)]
mod tests;

pub use arguments::{DeleteRef, GetRef, OperationRef, PutRef};
pub use batch::{ActionRef, ApplyRef, ItemRef, ReplyWriter};
pub use bytes::equal_bytes;
pub use many::{DeleteManyRef, GetManyRef, PutManyRef};
