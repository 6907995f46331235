//! Handing a hash range from this shard to another, or taking one over: *copy, catch up, hand over*.
//!
//! [`stored`] is the machine that decides who owns what, kept in stable memory and changed before anything is said.
//! [`copying`] is the source's plan of what to send next, on the heap: an upgrade forgets it, and copying begins anew,
//! which does no harm, because the target takes in only what is newer. [`batch`] is what travels. [`turn`] joins them with
//! the store, natively, [`costs`] tells what that takes, and [`calls`] alone calls the other shard. "Life of a split" in ARCHITECTURE.md tells who knows
//! what, and what each lost, late or repeated message does.
//!
//! [`copying`] is the place for another way of copying, say by a snapshot: all that the rest asks of it is to say what
//! to send next, and when nothing is left.

pub mod batch;
pub mod calls;
pub mod copying;
pub mod costs;
pub mod stored;
pub mod turn;

#[cfg(test)]
mod tests;
