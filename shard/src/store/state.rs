//! The store's state: the parts, the counters in the header, and how a key is located.

use ic_stable_structures::Memory;

use super::api::{Budget, Displaced, DueRecord, KeyRef, Kind, OpenError, Options};
use super::changes::Watch;
use super::layout::{
    COUNTERS_BYTES, COUNTERS_OFFSET, FIRST_PAGE, LAYOUT_VERSION, MAGIC, METADATA_BYTES_MAX, METADATA_PAGE,
    NANOSECONDS_PER_MILLISECOND, OPERATION_PAGES, PAGE_BYTES, PAGES_PER_WASM_PAGE, SEGMENT_PAGES, VERSION_OFFSET,
    u32_at, u64_at, word_of,
};
use super::pages::{Metered, PageKind, Pages};
use super::receipts::{ReceiptLists, StoredReceipt};
use super::record::{Pointer, RecordHeader, read_if_key};
use super::slabs::{Slabs, Slot};
use super::tree::{Position, Tree};

/// Records in hash order, in one stable memory that belongs to it alone.
pub struct Store<M: Memory> {
    pub(super) pages: Pages<M>,
    pub(super) index: Tree,
    pub(super) expiry: Tree,
    pub(super) slabs: Slabs,
    pub(super) receipts: ReceiptLists,
    pub(super) counters: Counters,
    pub(super) options: Options,
    /// Shard time in milliseconds, because a division costs ten additions and every operation compares times.
    now: u64,
    /// Shard time as last stored.
    stored_time: u64,
    /// What a transfer has to send again. On the heap only.
    pub(super) watch: Option<Watch>,
    /// Manifests that went in this message.
    pub(super) displaced: Vec<Displaced>,
    /// Upload records whose time has come.
    pub(super) due: Vec<DueRecord>,
}

/// Counters of the header that no other part owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The last attempt to grow the memory failed.
    pub growth_failed: bool,
    /// A run of so many pages was wanted and there was none, though enough pages were free.
    pub wanted_pages: u32,
    /// Bytes of all records, headers and tombstones included.
    pub record_bytes: u64,
    /// Bytes of keys and values, without tombstones.
    pub live_bytes: u64,
    pub records: u64,
    /// Of them, those of other spaces than the clients'.
    pub internal_records: u64,
    pub tombstones: u64,
    /// Index entries that lead to displaced receipts.
    pub receipts: u64,
    pub shard_time: u64,
    /// The greatest version of any record that is gone.
    pub removed_version: u64,
    pub metadata_bytes: u32,
}

/// A record that was found. Not `Copy`, so that it isn't copied on every look.
#[derive(Debug)]
pub struct LocatedRecord {
    pub position: Position,
    pub slot: Slot,
    pub header: RecordHeader,
    /// The receipts that its own entry counts.
    pub receipts: u32,
}

/// What the index has under a key's hash and tag.
#[derive(Debug)]
pub struct Located {
    /// Where an entry for the key belongs.
    pub position: Position,
    pub record: Option<LocatedRecord>,
    pub ghost: Option<(Position, u32)>,
    /// Receipts counted by all entries.
    pub receipts: u32,
    pub entries: usize,
}

/// What was spent when a budgeted method began.
pub struct Meter {
    instructions: u64,
    pages: u64,
}

impl<M: Memory> Store<M> {
    /// Makes an empty store in an empty memory, which is grown by `growth_bytes`.
    ///
    /// # Errors
    ///
    /// `Exists` or `NoStore` if the memory isn't empty, `OutOfSpace` if it cannot be grown.
    pub fn create(memory: M, options: Options) -> Result<Self, OpenError> {
        if memory.size() > 0 {
            let mut magic = [0; 8];
            memory.read(0, &mut magic);
            return Err(if magic == MAGIC { OpenError::Exists } else { OpenError::NoStore });
        }
        let wasm_pages = Self::growth_wasm_pages(&options).max(first_wasm_pages());
        if memory.grow(wasm_pages) < 0 {
            return Err(OpenError::OutOfSpace { bytes: wasm_pages * PAGES_PER_WASM_PAGE * PAGE_BYTES });
        }
        let memory = Metered::new(memory);
        memory.write(0, &MAGIC);
        memory.write(VERSION_OFFSET, &LAYOUT_VERSION.to_le_bytes());
        let mut pages = Pages::create(memory, (wasm_pages * PAGES_PER_WASM_PAGE) as u32);
        let index = Tree::create(&mut pages, PageKind::Index, options.cached_nodes_max);
        let expiry = Tree::create(&mut pages, PageKind::Expiry, options.cached_nodes_max);
        let (index, expiry) = index.zip(expiry).expect("a new memory has two free pages");
        let mut store = Store {
            pages,
            index,
            expiry,
            slabs: Slabs::create(),
            receipts: ReceiptLists::create(),
            counters: Counters::default(),
            options,
            now: 0,
            stored_time: 0,
            watch: None,
            displaced: Vec::new(),
            due: Vec::new(),
        };
        store.commit();
        Ok(store)
    }

    /// Opens the store in a memory, reading its header only.
    ///
    /// # Errors
    ///
    /// `NoStore` if there is none, `LayoutVersion` if this version cannot read it.
    pub fn open(memory: M, options: Options) -> Result<Self, OpenError> {
        let mut head = [0; COUNTERS_OFFSET as usize + COUNTERS_BYTES];
        if memory.size() == 0 {
            return Err(OpenError::NoStore);
        }
        memory.read(0, &mut head);
        if head[..8] != MAGIC {
            return Err(OpenError::NoStore);
        }
        let found = u32_at(&head, VERSION_OFFSET as usize);
        if found != LAYOUT_VERSION {
            return Err(OpenError::LayoutVersion { found, supported: LAYOUT_VERSION });
        }
        let bytes = &head[COUNTERS_OFFSET as usize..];
        let word = |at: usize| u32_at(bytes, at * 4);
        let long = |at: usize| u64_at(bytes, 64 + at * 8);
        let pages = Pages::open(Metered::new(memory), word(0), word(1), word(2));
        let slabs = Slabs::open(&pages, word(3), word(4), long(0));
        let receipts = ReceiptLists::open(&pages, word(5));
        let nodes = options.cached_nodes_max;
        Ok(Store {
            index: Tree::open(PageKind::Index, word(6), word(7), word(8), long(1), nodes),
            expiry: Tree::open(PageKind::Expiry, word(9), word(10), word(11), long(2), nodes),
            slabs,
            receipts,
            counters: Counters {
                growth_failed: word(12) != 0,
                wanted_pages: word(13),
                metadata_bytes: word(14),
                record_bytes: long(3),
                live_bytes: long(4),
                records: long(5),
                tombstones: long(6),
                receipts: long(7),
                shard_time: long(8),
                removed_version: long(9),
                internal_records: long(10),
            },
            now: long(8) / NANOSECONDS_PER_MILLISECOND,
            stored_time: long(8),
            watch: None,
            displaced: Vec::new(),
            due: Vec::new(),
            pages,
            options,
        })
    }

    /// Writes the counters to the header; the last step of every method that changes anything.
    pub(super) fn commit(&mut self) {
        self.receipts.commit(&mut self.pages);
        let Counters { growth_failed, wanted_pages, metadata_bytes, .. } = self.counters;
        let Counters { record_bytes, live_bytes, records, tombstones, receipts, .. } = self.counters;
        let words: [u64; COUNTERS_BYTES / 8] = [
            word_of(self.pages.capacity, self.pages.frontier),
            word_of(self.pages.free, self.slabs.slab_pages),
            word_of(self.slabs.run_pages, self.receipts.pages),
            word_of(self.index.root, self.index.depth),
            word_of(self.index.pages, self.expiry.root),
            word_of(self.expiry.depth, self.expiry.pages),
            word_of(u32::from(growth_failed), wanted_pages),
            word_of(metadata_bytes, 0),
            self.slabs.used_bytes.to_le(),
            self.index.entries.to_le(),
            self.expiry.entries.to_le(),
            record_bytes.to_le(),
            live_bytes.to_le(),
            records.to_le(),
            tombstones.to_le(),
            receipts.to_le(),
            self.counters.shard_time.to_le(),
            self.counters.removed_version.to_le(),
            self.counters.internal_records.to_le(),
            0,
        ];
        self.pages.memory.write_words(COUNTERS_OFFSET, &words);
        self.stored_time = self.counters.shard_time;
    }

    /// Gives the memory back, as an upgrade would find it.
    pub fn into_memory(self) -> M {
        self.pages.memory.into_inner()
    }

    /// Moves shard time on to `now` (nanoseconds since 1970), never back; answers shard time. Call it first in every
    /// message that changes the store.
    pub fn advance_time(&mut self, now: u64) -> u64 {
        if now > self.counters.shard_time {
            self.observe_clock(now);
            self.commit();
        }
        self.counters.shard_time
    }

    /// Moves shard time on to `now` without storing it, which the next change does. Call it first in every message;
    /// a time that no change was made at may be forgotten.
    pub fn observe_clock(&mut self, now: u64) {
        if now > self.counters.shard_time {
            self.counters.shard_time = now;
            self.now = now / NANOSECONDS_PER_MILLISECOND;
        }
    }

    /// Shard time, in nanoseconds.
    pub fn shard_time(&self) -> u64 {
        self.counters.shard_time
    }

    /// Shard time as the next `open` would find it, in nanoseconds.
    pub fn stored_time(&self) -> u64 {
        self.stored_time
    }

    /// The version below which no absent key starts again; a transfer hands it to the new owner with shard time.
    pub fn removed_version(&self) -> u64 {
        self.counters.removed_version
    }

    /// Takes over another shard's time and removed version, so that versions keep growing after a transfer.
    pub fn observe(&mut self, shard_time: u64, removed_version: u64) {
        self.observe_clock(shard_time);
        self.counters.removed_version = self.counters.removed_version.max(removed_version);
        self.commit();
    }

    /// Replaces the bytes that the shard keeps beside the records (its range, secret, protocol states).
    ///
    /// # Errors
    ///
    /// Gives back the length if it is above `METADATA_BYTES_MAX`.
    pub fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), usize> {
        if bytes.len() > METADATA_BYTES_MAX {
            return Err(bytes.len());
        }
        self.pages.memory.write(u64::from(METADATA_PAGE) * PAGE_BYTES, bytes);
        self.counters.metadata_bytes = bytes.len() as u32;
        self.commit();
        Ok(())
    }

    /// Reads the bytes that `set_metadata` wrote last.
    pub fn metadata(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = self.counters.metadata_bytes as usize;
        self.pages.memory.read_append(u64::from(METADATA_PAGE) * PAGE_BYTES, count, &mut bytes);
        bytes
    }

    /// Shard time in milliseconds, which stored times are compared with.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Finds everything that the index has under the key's hash and tag.
    pub(super) fn locate(&mut self, key: &KeyRef) -> Located {
        let pair = (key.hash, key.tag);
        let mut position = self.index.find(&self.pages, pair);
        let mut located = Located { position, record: None, ghost: None, receipts: 0, entries: 0 };
        // Bounded by EQUAL_ENTRIES_MAX records, a ghost, and receipts whose keyed tag agrees by chance.
        while let Some(entry) = position.entry_with(pair) {
            located.entries += 1;
            match Pointer::decode(entry.payload) {
                Pointer::Record { slot, receipts, .. } => {
                    located.receipts += receipts;
                    if located.record.is_none()
                        && let Some(header) = read_if_key(&self.pages.memory, slot.address(), key)
                    {
                        located.record = Some(LocatedRecord { position, slot, header, receipts });
                    }
                }
                Pointer::Ghost { receipts } => {
                    located.receipts += receipts;
                    located.ghost = Some((position, receipts));
                }
                Pointer::Receipt { .. } => {}
            }
            let Some(next) = self.index.next_equal(&self.pages, &position) else { break };
            position = next;
        }
        located
    }

    /// Finds a displaced receipt by its operation's identity.
    pub(super) fn find_displaced(&mut self, hash: u64, identity: u128) -> Option<(Position, StoredReceipt)> {
        let key = (hash, identity as u64);
        let first = self.index.find(&self.pages, key);
        let mut next = first.entry_with(key).map(|_| first);
        // As many turns as receipts whose keyed tags agree by chance.
        while let Some(position) = next {
            let entry = position.entry().expect("an equal position has an entry");
            if let Pointer::Receipt { page, index } = Pointer::decode(entry.payload) {
                let stored = self.receipts.read(&self.pages, page, index);
                if stored.receipt.operation.identity == identity {
                    return Some((position, stored));
                }
            }
            next = self.index.next_equal(&self.pages, &position);
        }
        None
    }

    /// Whether `pages` pages can be used beside what an operation may need, and the reserve if it is not privileged.
    pub(super) fn has_room(&self, pages: u64, privileged: bool) -> bool {
        let reserve = if privileged { 0 } else { self.options.reserve_pages };
        self.pages.available() >= pages + OPERATION_PAGES + reserve
    }

    /// Accounts for a record that is written (`sign` 1) or goes (-1).
    #[inline(always)]
    pub(super) fn count_record(&mut self, header: &RecordHeader, sign: i64) {
        let counters = &mut self.counters;
        // `check_invariants` compares the sums; here, on every write, they go unchecked.
        let add = |counter: &mut u64, amount: u64| *counter = counter.wrapping_add(amount.wrapping_mul(sign as u64));
        add(&mut counters.record_bytes, header.record_bytes() as u64);
        if header.kind == Kind::Tombstone {
            add(&mut counters.tombstones, 1);
        } else {
            add(&mut counters.records, 1);
            add(&mut counters.internal_records, u64::from(header.space != 0));
            add(&mut counters.live_bytes, header.payload_bytes());
        }
    }

    /// Notes what was spent so far.
    pub(super) fn meter(&self) -> Meter {
        Meter { instructions: self.pages.memory.instructions(), pages: self.pages.memory.dirtied() }
    }

    /// Whether more may be spent since `meter`.
    pub(super) fn may_go_on(&self, meter: &Meter, budget: &Budget) -> bool {
        self.pages.memory.instructions() - meter.instructions < budget.instructions
            && self.pages.memory.dirtied() - meter.pages < budget.pages
    }

    pub(super) fn growth_wasm_pages(options: &Options) -> u64 {
        options.growth_bytes.div_ceil(PAGE_BYTES * PAGES_PER_WASM_PAGE).max(1)
    }
}

/// Wasm pages that hold the fixed part of the first segment and a little more.
fn first_wasm_pages() -> u64 {
    (u64::from(FIRST_PAGE) + 2 * OPERATION_PAGES).div_ceil(PAGES_PER_WASM_PAGE)
}

const _: () = assert!(FIRST_PAGE as u64 + 2 * OPERATION_PAGES + PAGES_PER_WASM_PAGE < SEGMENT_PAGES as u64);
