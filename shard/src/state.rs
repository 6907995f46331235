//! The state of a shard, all of it in stable memory but for what is cheap to lose.
//!
//! Stable memory is divided by the memory manager of `ic-stable-structures`:
//!
//! ```text
//! id 0  header    | magic "CANOPYSH" 8 B | layout version 4 B, little-endian |
//! id 1  identity  one cell: ShardInitArguments as Candid
//! id 2  records   B-tree, see simple_store
//! id 3  counters  one cell, see simple_store
//! ```

use candid::Principal;
use canopy_types::codec;
use canopy_types::shard::ShardInitArguments;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, Memory, StableCell};
use std::cell::RefCell;

use crate::access::Identity;
use crate::growth::{Growth, STEP_PAGES};
use crate::simple_store::SimpleStore;

#[cfg(test)]
mod tests;

const MAGIC: [u8; 8] = *b"CANOPYSH";
/// Version of the layout above. A change of it needs code that reads the version before.
pub const LAYOUT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 12;

const HEADER_MEMORY: MemoryId = MemoryId::new(0);
const IDENTITY_MEMORY: MemoryId = MemoryId::new(1);
const RECORDS_MEMORY: MemoryId = MemoryId::new(2);
const COUNTERS_MEMORY: MemoryId = MemoryId::new(3);
const MEMORIES: [MemoryId; 4] = [HEADER_MEMORY, IDENTITY_MEMORY, RECORDS_MEMORY, COUNTERS_MEMORY];

/// Bytes of a page of stable memory, as the platform counts it.
const PAGE_BYTES: u64 = 64 * 1024;
/// Pages of a bucket, the unit in which the memory manager hands out memory: 8 MiB, so a shard ends at 256 GiB.
const BUCKET_PAGES: u16 = 128;
/// Pages that the memory manager keeps for itself.
const MANAGER_PAGES: u64 = 1;

const _: () = assert!(crate::growth::RESERVE_PAGES == 2 * BUCKET_PAGES as u64);

type ShardMemory = VirtualMemory<DefaultMemoryImpl>;

/// An open shard.
pub struct State {
    pub identity: Identity,
    pub store: SimpleStore<ShardMemory>,
    pub growth: Growth,
    manager: MemoryManager<DefaultMemoryImpl>,
    memory: DefaultMemoryImpl,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Runs `action` on the state.
///
/// # Panics
///
/// Before `init` or `post_upgrade`, which the platform runs before anything else.
pub fn with<R>(action: impl FnOnce(&mut State) -> R) -> R {
    STATE
        .with_borrow_mut(|state| action(state.as_mut().expect("INVARIANT: the state is opened before any method runs")))
}

/// Makes the opened state the canister's.
pub fn set(state: State) {
    STATE.set(Some(state));
}

impl State {
    /// Lays out an empty shard in empty stable memory.
    ///
    /// # Panics
    ///
    /// When the arguments are none that a router sends, or the first memory can't be had: the installation fails.
    pub fn create(memory: DefaultMemoryImpl, arguments: ShardInitArguments) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
        let header = manager.get(HEADER_MEMORY);
        assert_eq!(header.size(), 0, "INVARIANT: a shard is installed into empty stable memory");
        assert_ne!(header.grow(1), -1, "no stable memory for the header");
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
        header.write(0, &bytes);
        StableCell::init(manager.get(IDENTITY_MEMORY), codec::encode(&arguments));
        let mut state = Self::open(memory);
        assert!(state.grow(), "no stable memory for the first records");
        state
    }

    /// Opens the shard that stable memory holds.
    ///
    /// # Panics
    ///
    /// When stable memory holds no shard, or one of a layout that this code doesn't know: an upgrade is rolled back.
    pub fn open(memory: DefaultMemoryImpl) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
        let header = manager.get(HEADER_MEMORY);
        assert!(header.size() > 0, "stable memory holds no shard");
        let mut bytes = [0; HEADER_BYTES];
        header.read(0, &mut bytes);
        assert_eq!(bytes[..8], MAGIC, "stable memory holds something else than a shard");
        assert_eq!(bytes[8..], LAYOUT_VERSION.to_le_bytes(), "this code reads layout {LAYOUT_VERSION} only");
        let stored: StableCell<Vec<u8>, ShardMemory> = StableCell::init(manager.get(IDENTITY_MEMORY), Vec::new());
        let arguments = codec::decode(stored.get()).expect("INVARIANT: the identity cell holds what create wrote");
        Self {
            identity: Identity::from_arguments(arguments)
                .unwrap_or_else(|fault| panic!("install arguments: {fault:?}")),
            store: SimpleStore::open(manager.get(RECORDS_MEMORY), manager.get(COUNTERS_MEMORY)),
            growth: Growth::default(),
            manager,
            memory,
        }
    }

    /// Tells the pages of stable memory that no structure has taken yet.
    pub fn unused_pages(&self) -> u64 {
        let bucket = u64::from(BUCKET_PAGES);
        let taken: u64 = MEMORIES.iter().map(|&id| self.manager.get(id).size().div_ceil(bucket) * bucket).sum();
        self.memory.size().saturating_sub(MANAGER_PAGES + taken)
    }

    /// Adds one step of stable memory; false when the platform refuses.
    pub fn grow(&mut self) -> bool {
        let grown = self.memory.grow(STEP_PAGES) != -1;
        self.growth.finish(grown);
        grown
    }

    /// Tells the canister's stable memory in bytes.
    pub fn stable_bytes(&self) -> u64 {
        self.memory.size() * PAGE_BYTES
    }

    /// Tells whether `caller` is the router or an administrator.
    pub fn obeys(&self, caller: Principal) -> bool {
        self.identity.obeys(caller)
    }
}
