//! Writes that travel together under one operation.

use canopy_types::Operation;
use canopy_types::limits::{BATCH_ITEMS_MAX, MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES_MAX};
use serde_bytes::ByteBuf;
use std::sync::Arc;

use crate::write::Write;

#[cfg(test)]
mod tests;

/// Most items of one message: what one shard takes at once.
pub(crate) const MESSAGE_ITEMS_MAX: usize = BATCH_ITEMS_MAX;

/// Bytes that an item may take beside key and value: precondition, time to live, lengths.
const ITEM_OVERHEAD_BYTES: usize = 48;

/// Longest message, in bytes of its items. A record of the largest size fits.
pub(crate) const MESSAGE_PAYLOAD_BYTES_MAX: usize = MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES_MAX;

/// Writes under one operation: each is named by the operation and its place.
///
/// Places never change, because they are part of the names. What need not be sent again is replaced by something with
/// the same key that can't be done: it has no effect if the write was executed before, because its name is taken then,
/// and otherwise it takes the name.
#[derive(Clone, Debug)]
pub struct Message<W> {
    pub(crate) operation: Operation,
    pub(crate) items: Vec<W>,
}

/// A message to be sent again, and which of its items are asked for: their places, and those of their results.
pub(crate) type Asked<W> = (Arc<Message<W>>, Vec<(usize, usize)>);

impl<W: Write> Message<W> {
    /// Puts writes together.
    pub(crate) fn new(id: [u8; 16], issued_at_nanoseconds: u64, items: Vec<W>) -> Self {
        Self { operation: Operation { id: ByteBuf::from(id), issued_at_nanoseconds }, items }
    }

    /// Shows a write.
    pub(crate) fn write(&self, place: usize) -> &W {
        &self.items[place]
    }

    /// Tells when its operation was issued.
    pub(crate) fn issued_at_nanoseconds(&self) -> u64 {
        self.operation.issued_at_nanoseconds
    }

    /// Makes the message that sends nothing but the `open` items again.
    pub(crate) fn with_only(&self, open: &[bool]) -> Self {
        let items = self.items.iter().zip(open);
        let items = items.map(|(item, open)| if *open { item.clone() } else { item.placeholder() }).collect();
        Self { operation: self.operation.clone(), items }
    }
}

/// Cuts items into groups that fit a message each, given the bytes of each, and gives the groups' ranges in order.
pub(crate) fn groups(payload_bytes: impl Iterator<Item = usize>) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut bytes_of_last = 0;
    for (place, payload) in payload_bytes.enumerate() {
        let bytes = payload + ITEM_OVERHEAD_BYTES;
        match groups.last_mut() {
            Some(last) if last.len() < MESSAGE_ITEMS_MAX && bytes_of_last + bytes <= MESSAGE_PAYLOAD_BYTES_MAX => {
                last.end = place + 1;
                bytes_of_last += bytes;
            }
            _ => {
                groups.push(place..place + 1);
                bytes_of_last = bytes;
            }
        }
    }
    groups
}
