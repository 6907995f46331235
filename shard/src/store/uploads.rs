//! What the store does for large values: it tells which manifests went and which upload records are due, and changes
//! such records where they lie.
//!
//! A manifest that is overwritten, deleted or swept leaves chunks behind, which its upload's record answers for. So the
//! store keeps the value of such a manifest until [`Store::take_displaced`], which the caller asks in the same message. An
//! upload's record never expires: at its time the sweep lists it, and puts it off in case that nothing comes of that.

use ic_stable_structures::Memory;

use super::api::{Displaced, DueRecord, KeyRef, Kind};
use super::layout::{RECORD_HEADER_BYTES, milliseconds_up};
use super::record::{Pointer, RecordHeader, write_record};
use super::slabs::Slot;
use super::state::{LocatedRecord, Store};
use super::tree::{Position, TreeKey};
use super::write::payload_of;

/// How long a due upload record is put off: 5 minutes.
const AGAIN_MILLISECONDS: u64 = 5 * 60 * 1_000;

impl<M: Memory> Store<M> {
    /// Gives the manifests that went since it was asked last.
    #[inline]
    pub fn take_displaced(&mut self) -> Vec<Displaced> {
        std::mem::take(&mut self.displaced)
    }

    /// Gives the upload records that a sweep found due since it was asked last.
    pub fn take_due(&mut self) -> Vec<DueRecord> {
        std::mem::take(&mut self.due)
    }

    /// Replaces the value of a record by one of the same length, and its time; it gets a new version. Needs no record
    /// space, and no more pages than every method keeps for its trees, so it can follow another write in a message.
    ///
    /// Answers whether there was a record of this length.
    pub fn rewrite(&mut self, key: &KeyRef, value: &[u8], expires_at: Option<u64>) -> bool {
        let located = self.locate(key);
        let Some(record) = located.record.as_ref().filter(|record| record.header.value_bytes as usize == value.len())
        else {
            return false;
        };
        let version = self.next_version(&located);
        let expires = expires_at.map_or(0, |at| milliseconds_up(at).max(1));
        let header = RecordHeader { version, expires, ..record.header };
        write_record(&self.pages.memory, record.slot.address(), &header, key.bytes, value);
        self.change_expiry((key.hash, key.tag), record.position, record.slot, &record.header, &header, record.receipts);
        self.note_change((key.hash, key.tag));
        self.commit();
        true
    }

    /// Reads the value of a record that is about to go, if it is a manifest.
    #[inline]
    pub(super) fn manifest(&self, record: Option<&LocatedRecord>) -> Option<Vec<u8>> {
        match record {
            Some(record) if record.header.kind == Kind::Manifest => Some(self.manifest_of(record.slot, &record.header)),
            _ => None,
        }
    }

    #[cold]
    pub(super) fn manifest_of(&self, slot: Slot, header: &RecordHeader) -> Vec<u8> {
        let mut value = Vec::new();
        self.read_value(slot, header, &mut value);
        value
    }

    /// Notes that a manifest under a key of this hash went.
    #[inline]
    pub(super) fn displace(&mut self, hash: u64, manifest: Option<Vec<u8>>) {
        if let Some(value) = manifest {
            self.displaced.push(Displaced { hash, value });
        }
    }

    /// Lists an upload record whose time has come, and puts it off.
    pub(super) fn list_due(&mut self, pair: TreeKey, position: Position, slot: Slot, receipts: u32) {
        let header = RecordHeader::read(&self.pages.memory, slot.address());
        let mut bytes = Vec::new();
        let at = slot.address() + RECORD_HEADER_BYTES as u64;
        self.pages.memory.read_append(at, usize::from(header.key_bytes), &mut bytes);
        let later = RecordHeader { expires: self.now() + AGAIN_MILLISECONDS, ..header };
        write_record(&self.pages.memory, slot.address(), &later, &bytes, &[]);
        self.change_expiry(pair, position, slot, &header, &later, receipts);
        self.due.push(DueRecord { hash: pair.0, bytes });
    }

    /// Makes index and expiry tree follow a record whose time was changed.
    fn change_expiry(
        &mut self,
        pair: TreeKey,
        position: Position,
        slot: Slot,
        old: &RecordHeader,
        new: &RecordHeader,
        receipts: u32,
    ) {
        if old.expires == new.expires {
            return;
        }
        if (old.expires != 0) != (new.expires != 0) {
            self.index.set_payload(&mut self.pages, &position, payload_of(slot, new, receipts));
        }
        self.forget_expiry(pair, old.expires);
        self.note_expiry(pair, new.expires);
    }
}

/// Tells how many receipts an index entry of a record counts.
pub(super) fn receipts_of(payload: u64) -> u32 {
    match Pointer::decode(payload) {
        Pointer::Record { receipts, .. } | Pointer::Ghost { receipts } => receipts,
        Pointer::Receipt { .. } => 0,
    }
}
