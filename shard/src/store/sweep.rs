//! The sweep: receipts whose time is over, then records that have expired.

use ic_stable_structures::Memory;

use super::api::{Budget, Kind, Swept};
use super::receipts::StoredReceipt;
use super::record::{Pointer, RecordHeader};
use super::state::{Meter, Store};
use super::tree::TreeKey;
use super::uploads::receipts_of;

impl<M: Memory> Store<M> {
    /// Removes what is over at shard time, within a budget; call it from a timer until it is done.
    pub fn sweep(&mut self, budget: Budget) -> Swept {
        let meter = self.meter();
        let swept = self.sweep_receipts_since(&meter, budget);
        self.sweep_records_since(&meter, budget, swept)
    }

    /// As `sweep`, but leaves expired records, which a transfer still needs as it needs tombstones.
    pub fn sweep_receipts(&mut self, budget: Budget) -> Swept {
        let meter = self.meter();
        let swept = self.sweep_receipts_since(&meter, budget);
        self.commit();
        swept
    }

    fn sweep_receipts_since(&mut self, meter: &Meter, budget: Budget) -> Swept {
        let mut swept = Swept { done: true, ..Swept::default() };
        let may_go_on = |store: &Self, swept: &Swept| swept.receipts == 0 || store.may_go_on(meter, &budget);
        while let Some(list) = self.receipts.due(self.now()) {
            let (page, first, receipts) = self.receipts.first_page(&mut self.pages, list);
            let mut count = 0;
            for stored in &receipts {
                if !may_go_on(self, &swept) {
                    break;
                }
                self.sweep_receipt(stored, page, (usize::from(first) + count) as u8);
                count += 1;
                swept.receipts += 1;
            }
            let page_done = count == receipts.len();
            self.receipts.taken(&mut self.pages, list, count as u16, page_done);
            if !page_done {
                swept.done = false;
                break;
            }
        }
        swept
    }

    fn sweep_records_since(&mut self, meter: &Meter, budget: Budget, mut swept: Swept) -> Swept {
        let may_go_on =
            |store: &Self, swept: &Swept| swept.records + swept.receipts == 0 || store.may_go_on(meter, &budget);
        while swept.done {
            let position = self.expiry.seek(&self.pages, (0, 0));
            let Some(entry) = position.entry().filter(|entry| entry.key.0 <= self.now()) else { break };
            if !may_go_on(self, &swept) || !self.has_room(0, true) {
                swept.done = false;
                break;
            }
            self.sweep_record((entry.payload, entry.key.1), entry.key.0);
            swept.records += 1;
        }
        self.commit();
        swept
    }

    /// Tells whether there is anything that a sweep will remove, now or later.
    pub fn awaits_sweep(&self) -> bool {
        self.receipts.pages > 0 || self.expiry.entries > 0
    }

    /// Removes a receipt's index entry and counts it no more. Entries of a range that was given away are gone already.
    fn sweep_receipt(&mut self, stored: &StoredReceipt, page: u32, index: u8) {
        let place = Pointer::Receipt { page, index }.encode();
        let key = (stored.hash, stored.tag());
        let Some(position) = self.index.equal_entry(&self.pages, key, |payload| payload == place) else { return };
        self.index.remove(&mut self.pages, &position, 1);
        self.counters.receipts -= 1;
        let counts = |payload: u64| match Pointer::decode(payload) {
            Pointer::Record { receipts, .. } | Pointer::Ghost { receipts } => receipts > 0,
            Pointer::Receipt { .. } => false,
        };
        let counted = self.index.equal_entry(&self.pages, (stored.hash, stored.key_tag), counts);
        let position = counted.expect("every displaced receipt is counted at its key");
        let payload = position.entry().expect("the position was found by its entry").payload;
        match Pointer::decode(payload) {
            Pointer::Ghost { receipts: 1 } => self.index.remove(&mut self.pages, &position, 1),
            Pointer::Ghost { receipts } => {
                let payload = Pointer::Ghost { receipts: receipts - 1 }.encode();
                self.index.set_payload(&mut self.pages, &position, payload);
            }
            Pointer::Record { slot, kind, expires, receipts } => {
                let payload = Pointer::Record { slot, kind, expires, receipts: receipts - 1 }.encode();
                self.index.set_payload(&mut self.pages, &position, payload);
            }
            Pointer::Receipt { .. } => unreachable!("receipts count nothing"),
        }
    }

    fn sweep_record(&mut self, pair: TreeKey, expires: u64) {
        let memory = &self.pages.memory;
        let found = self.index.equal_entry(&self.pages, pair, |payload| match Pointer::decode(payload) {
            Pointer::Record { slot, expires: true, .. } => {
                RecordHeader::read(memory, slot.address()).expires == expires
            }
            _ => false,
        });
        let position = found.expect("the expiry tree lists records that exist");
        let payload = position.entry().expect("the position was found by its entry").payload;
        let Pointer::Record { slot, kind, .. } = Pointer::decode(payload) else {
            unreachable!("the search accepts records only")
        };
        match kind {
            Kind::Upload => self.list_due(pair, position, slot, receipts_of(payload)),
            _ => self.retire(pair, slot),
        }
    }
}
