//! The stable memory of version 0.1.0, read so that its records can be carried over.
//!
//! It was divided by the memory manager of `ic-stable-structures`, in buckets of 128 pages:
//!
//! ```text
//! id 0  header    | magic "CANOPYSH" 8 B | version 4 B = 1 | unused                                |
//!       since the upgrade: version 2 | first page of the store 8 B | length 4 B, place up to 1,032 B |
//! id 1  identity  one cell: ShardInitArguments as Candid
//! id 2  records   B-tree: hash 8 B, big-endian, and key -> version 8 B and value
//! id 3  counters  one cell: last version 8 B, bytes of keys and values 8 B
//! ```
//!
//! Numbers are little-endian unless said otherwise. After the upgrade nothing but the header is written, and no memory
//! of the manager grows: the store begins behind everything that was there.

use std::ops::Bound;

use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, Memory, StableBTreeMap, StableCell};

/// How the memory of that version begins: with the manager's magic.
pub const MANAGER_MAGIC: [u8; 3] = *b"MGR";

const BUCKET_PAGES: u16 = 128;
const HEADER_MEMORY: MemoryId = MemoryId::new(0);
const IDENTITY_MEMORY: MemoryId = MemoryId::new(1);
const RECORDS_MEMORY: MemoryId = MemoryId::new(2);
const COUNTERS_MEMORY: MemoryId = MemoryId::new(3);

const MAGIC: [u8; 8] = *b"CANOPYSH";
/// The header says so before the upgrade.
const UNTOUCHED: u32 = 1;
/// The header says so while records are carried over.
const CARRIED_OVER: u32 = 2;

const VERSION_OFFSET: u64 = 8;
const FIRST_PAGE_OFFSET: u64 = 12;
const PLACE_OFFSET: u64 = 20;

const HASH_BYTES: usize = 8;
const RECORD_VERSION_BYTES: usize = 8;
/// Longest place: a hash and a key.
const PLACE_BYTES_MAX: usize = HASH_BYTES + canopy_types::limits::KEY_BYTES_MAX;

type OldMemory = VirtualMemory<DefaultMemoryImpl>;

/// A record of that version.
#[derive(Debug, PartialEq, Eq)]
pub struct OldRecord {
    pub hash: u64,
    pub key: Vec<u8>,
    pub version: u64,
    pub value: Vec<u8>,
}

/// A memory of that version.
pub struct Layout1 {
    header: OldMemory,
    identity: OldMemory,
    counters: OldMemory,
    records: StableBTreeMap<Vec<u8>, Vec<u8>, OldMemory>,
}

impl Layout1 {
    /// Opens a memory that begins with [`MANAGER_MAGIC`].
    ///
    /// # Panics
    ///
    /// When it holds something else than a shard of that version.
    pub fn open(memory: DefaultMemoryImpl) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory, BUCKET_PAGES);
        let header = manager.get(HEADER_MEMORY);
        assert!(header.size() > 0, "stable memory holds no shard");
        let mut magic = [0; 8];
        header.read(0, &mut magic);
        assert_eq!(magic, MAGIC, "stable memory holds something else than a shard");
        let opened = Self {
            header,
            identity: manager.get(IDENTITY_MEMORY),
            counters: manager.get(COUNTERS_MEMORY),
            records: StableBTreeMap::init(manager.get(RECORDS_MEMORY)),
        };
        let version = opened.number(VERSION_OFFSET);
        assert!(version == UNTOUCHED || version == CARRIED_OVER, "this code reads layouts 1 and 2 only");
        opened
    }

    /// Tells the first page of the store, once there is one.
    pub fn store_page(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.header.read(FIRST_PAGE_OFFSET, &mut bytes);
        (self.number(VERSION_OFFSET) == CARRIED_OVER).then_some(u64::from_le_bytes(bytes))
    }

    /// Notes that the store begins at this page, and that no record was carried over.
    pub fn begin(&self, store_page: u64) {
        self.header.write(FIRST_PAGE_OFFSET, &store_page.to_le_bytes());
        self.header.write(PLACE_OFFSET, &0u32.to_le_bytes());
        self.header.write(VERSION_OFFSET, &CARRIED_OVER.to_le_bytes());
    }

    /// Tells the place up to which records were carried over.
    pub fn place(&self) -> Vec<u8> {
        let length = self.number(PLACE_OFFSET) as usize;
        assert!(length <= PLACE_BYTES_MAX, "INVARIANT: places are written by set_place only");
        let mut bytes = vec![0; length];
        self.header.read(PLACE_OFFSET + 4, &mut bytes);
        bytes
    }

    /// Notes the place up to which records were carried over.
    pub fn set_place(&self, place: &[u8]) {
        self.header.write(PLACE_OFFSET, &(place.len() as u32).to_le_bytes());
        self.header.write(PLACE_OFFSET + 4, place);
    }

    /// Reads what the shard was installed with: `ShardInitArguments` as Candid.
    pub fn identity(&self) -> Vec<u8> {
        let cell: StableCell<Vec<u8>, OldMemory> = StableCell::init(self.identity.clone(), Vec::new());
        cell.get().clone()
    }

    /// Reads the highest version that was given.
    pub fn last_version(&self) -> u64 {
        let cell: StableCell<[u8; 16], OldMemory> = StableCell::init(self.counters.clone(), [0; 16]);
        u64::from_le_bytes(std::array::from_fn(|at| cell.get()[at]))
    }

    /// Counts the records, those carried over included.
    pub fn records(&self) -> u64 {
        self.records.len()
    }

    /// Finds a record.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<OldRecord> {
        let place = place_of(hash, key);
        self.records.get(&place).map(|packed| unpack(place, packed))
    }

    /// Goes through the records behind a place, in the order of their places.
    pub fn after(&self, place: &[u8]) -> impl Iterator<Item = OldRecord> {
        let from = if place.is_empty() { Bound::Unbounded } else { Bound::Excluded(place.to_vec()) };
        self.records.range((from, Bound::Unbounded)).map(|entry| {
            let (place, packed) = entry.into_pair();
            unpack(place, packed)
        })
    }

    fn number(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.header.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// A record's place in the old order.
pub fn place_of(hash: u64, key: &[u8]) -> Vec<u8> {
    [&hash.to_be_bytes()[..], key].concat()
}

fn unpack(mut place: Vec<u8>, mut packed: Vec<u8>) -> OldRecord {
    let key = place.split_off(HASH_BYTES);
    let value = packed.split_off(RECORD_VERSION_BYTES);
    let hash = place.try_into().expect("INVARIANT: every place begins with 8 bytes of hash");
    let version = packed.try_into().expect("INVARIANT: every stored value begins with 8 bytes of version");
    OldRecord { hash: u64::from_be_bytes(hash), key, version: u64::from_le_bytes(version), value }
}
