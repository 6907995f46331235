//! Reading one record.

use ic_stable_structures::Memory;

use super::api::{Found, KeyRef, Operation, Outcome};
use super::layout::RECORD_HEADER_BYTES;
use super::record::{Pointer, RecordHeader, read_if_key};
use super::slabs::Slot;
use super::state::Store;

/// Where the value of a record that was found lies. Good until the store is changed.
#[derive(Clone, Copy, Debug)]
pub struct ValuePlace {
    address: u64,
    bytes: usize,
}

impl ValuePlace {
    /// Tells where a part of the value lies, cut off at its end.
    pub fn part(self, from: usize, bytes: usize) -> Self {
        let from = from.min(self.bytes);
        Self { address: self.address + from as u64, bytes: bytes.min(self.bytes - from) }
    }

    /// Tells its length, in bytes.
    pub fn bytes(self) -> usize {
        self.bytes
    }
}

impl<M: Memory> Store<M> {
    /// Appends the value of a record to `value`. `None` if the record is absent: never written, deleted, or expired.
    pub fn get(&mut self, key: &KeyRef, value: &mut Vec<u8>) -> Option<Found> {
        let (found, place) = self.find(key)?;
        self.append_value(place, value);
        Some(found)
    }

    /// Describes a record and tells where its value lies, for callers that write something before the value.
    pub fn find(&mut self, key: &KeyRef) -> Option<(Found, ValuePlace)> {
        let (slot, header) = self.present(key)?;
        let address = slot.address() + (RECORD_HEADER_BYTES + usize::from(header.key_bytes)) as u64;
        Some((header.found(), ValuePlace { address, bytes: header.value_bytes as usize }))
    }

    /// Appends the value that `find` found.
    pub fn append_value(&self, place: ValuePlace, value: &mut Vec<u8>) {
        if place.bytes > 0 {
            self.pages.memory.read_append(place.address, place.bytes, value);
        }
    }

    /// Describes a record without reading its value.
    pub fn head(&mut self, key: &KeyRef) -> Option<Found> {
        self.present(key).map(|(_, header)| header.found())
    }

    /// Finds what an operation on a key did, while its receipt is kept. Arguments are not compared.
    pub fn find_receipt(&mut self, key: &KeyRef, operation: &Operation) -> Option<Outcome> {
        let located = self.locate(key);
        let receipt = match &located.record {
            Some(record) if record.header.is_of(operation) => record.header.receipt(),
            _ if located.receipts > 0 => {
                self.find_displaced(key.hash, operation.identity).map(|(_, stored)| stored.receipt)
            }
            _ => None,
        };
        receipt.filter(|receipt| self.keeps(receipt)).map(|receipt| receipt.outcome)
    }

    fn present(&mut self, key: &KeyRef) -> Option<(Slot, RecordHeader)> {
        let pair = (key.hash, key.tag);
        let mut position = self.index.find(&self.pages, pair);
        let mut entry = position.entry_with(pair)?;
        // As many turns as the index has entries of equal hash and tag.
        loop {
            if let Pointer::Record { slot, .. } = Pointer::decode(entry.payload)
                && let Some(header) = read_if_key(&self.pages.memory, slot.address(), key)
            {
                return (!header.is_absent(self.now())).then_some((slot, header));
            }
            position = self.index.next_equal(&self.pages, &position)?;
            entry = position.entry()?;
        }
    }
}
