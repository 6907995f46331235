//! The state of the router: what must last in stable memory, what is cheap to make again on the heap.
//!
//! Stable memory is divided by the memory manager of `ic-stable-structures`:
//!
//! ```text
//! id 0  header         | magic "CANOPYRT" 8 B | layout version 4 B, little-endian |
//! id 1  configuration  one cell: Configuration as Candid
//! id 2  journal        one cell: Journal as Candid
//! id 3  roles          one cell: Grants as Candid; since layout 2
//! id 4  policy         one cell: Policy as Candid; since layout 2
//! id 5  open uploads   a map, see `uploads/open.rs`; since layout 2
//! ```
//!
//! A router of layout 1 has no grants: they begin as what its install arguments say.

use candid::Principal;
use canopy_types::policy::Policy;
use canopy_types::rate::{RateLimits, RateMeters};
use canopy_types::roles::{RoleTable, RolesContent};
use canopy_types::{ShardIndex, codec};
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, Memory, StableBTreeMap, StableCell};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::configuration::Configuration;
use crate::journal::Journal;
use crate::recovery::Rebuilt;
use crate::roles::Grants;
use crate::routing::Routing;
use crate::telling::Telling;
use crate::uploads::open;
use crate::watching::Watching;
use crate::word;

#[cfg(test)]
mod tests;

const MAGIC: [u8; 8] = *b"CANOPYRT";
/// Version of the layout above. A change of it needs code that reads the version before.
pub const LAYOUT_VERSION: u32 = 2;
/// The layout before, which [`State::open`] turns into this one.
const LAYOUT_VERSION_BEFORE: u32 = 1;
const HEADER_BYTES: usize = 12;

const HEADER_MEMORY: MemoryId = MemoryId::new(0);
const CONFIGURATION_MEMORY: MemoryId = MemoryId::new(1);
const JOURNAL_MEMORY: MemoryId = MemoryId::new(2);
const ROLES_MEMORY: MemoryId = MemoryId::new(3);
const POLICY_MEMORY: MemoryId = MemoryId::new(4);
const UPLOADS_MEMORY: MemoryId = MemoryId::new(5);

/// Pages of a bucket, the unit in which the memory manager hands out memory: 1 MiB, for little state.
const BUCKET_PAGES: u16 = 16;

type RouterMemory = VirtualMemory<DefaultMemoryImpl>;

/// An open router.
pub struct State {
    pub configuration: Configuration,
    /// Copy of what the cell holds; changed through [`State::change_journal`] only.
    journal: Journal,
    stored_journal: StableCell<Vec<u8>, RouterMemory>,
    /// Copy of what the cell holds; changed through [`State::change_grants`] only.
    grants: Grants,
    stored_grants: StableCell<Vec<u8>, RouterMemory>,
    role_table: RoleTable,
    /// Digest of what shards are told of roles.
    roles_digest: u64,
    /// Copy of what the cell holds; changed through [`State::set_policy`] only.
    policy: Policy,
    stored_policy: StableCell<Vec<u8>, RouterMemory>,
    /// What callers have used.
    pub rates: RateMeters,
    /// Who has which uploads open.
    pub open_uploads: StableBTreeMap<open::Key, open::Entry, RouterMemory>,
    /// Shards whose uploads are being collected.
    pub collecting: BTreeSet<Principal>,
    /// What the shards were told.
    pub telling: Telling,
    /// Whose controllers are being changed.
    pub settling: Telling,
    /// How full and busy the shards are.
    pub watching: Watching,
    /// Present once the router is ready.
    pub routing: Option<Routing>,
    /// When the timer should have run, in nanoseconds; `None` while no timer is set.
    pub wake_at: Option<u64>,
    /// Number of the journal's call that is open.
    pub open_step: Option<u64>,
    /// Numbers of the open calls of transfers.
    pub open_transfer_calls: BTreeSet<u64>,
    /// Open calls of operations, by shard. A shard without one stays, because the next call comes soon.
    open_calls: BTreeMap<Principal, u32>,
    /// Batches of gets whose answers are waited for.
    open_read_batches: u32,
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

/// Counts a call to a shard as open until it is dropped: when the answer came, or when its callback trapped.
pub struct OpenCall {
    shard: Principal,
}

/// Counts one more call to `shard`.
///
/// # Errors
///
/// The number of open calls, when it has reached `open_max`.
pub fn open_call(shard: Principal, open_max: u32) -> Result<OpenCall, u32> {
    with(|state| {
        let open = state.open_calls.entry(shard).or_default();
        if *open >= open_max {
            return Err(*open);
        }
        *open += 1;
        Ok(OpenCall { shard })
    })
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        with(|state| {
            if let Some(open) = state.open_calls.get_mut(&self.shard) {
                *open = open.saturating_sub(1);
            }
        });
    }
}

/// Counts a batch of gets as open until it is dropped.
pub struct OpenReadBatch;

/// Counts one more batch of gets.
///
/// # Errors
///
/// The number of open ones, when it has reached `open_max`.
pub fn open_read_batch(open_max: u32) -> Result<OpenReadBatch, u32> {
    with(|state| {
        if state.open_read_batches >= open_max {
            return Err(state.open_read_batches);
        }
        state.open_read_batches += 1;
        Ok(OpenReadBatch)
    })
}

impl Drop for OpenReadBatch {
    fn drop(&mut self) {
        with(|state| state.open_read_batches = state.open_read_batches.saturating_sub(1));
    }
}

impl State {
    /// Lays out a new router in empty stable memory, at `now` (nanoseconds).
    ///
    /// # Panics
    ///
    /// When stable memory isn't empty or can't be had: the installation fails.
    pub fn create(memory: DefaultMemoryImpl, configuration: &Configuration, now: u64) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
        let header = manager.get(HEADER_MEMORY);
        assert_eq!(header.size(), 0, "INVARIANT: a router is installed into empty stable memory");
        assert_ne!(header.grow(1), -1, "no stable memory for the header");
        write_header(&header);
        StableCell::init(manager.get(CONFIGURATION_MEMORY), codec::encode(configuration));
        let journal = match configuration.without_shards {
            Some(true) => Journal::without_shards(),
            _ => Journal::new(configuration.initial_shards),
        };
        StableCell::init(manager.get(JOURNAL_MEMORY), codec::encode(&journal));
        let grants = Grants::from_configuration(configuration, now);
        StableCell::init(manager.get(ROLES_MEMORY), codec::encode(&grants));
        Self::open(memory, now)
    }

    /// Opens the router that stable memory holds, at `now` (nanoseconds).
    ///
    /// # Panics
    ///
    /// When stable memory holds no router, or one of a layout that this code doesn't know: an upgrade is rolled back.
    pub fn open(memory: DefaultMemoryImpl, now: u64) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory, BUCKET_PAGES);
        let header = manager.get(HEADER_MEMORY);
        assert!(header.size() > 0, "stable memory holds no router");
        let mut bytes = [0; HEADER_BYTES];
        header.read(0, &mut bytes);
        assert_eq!(bytes[..8], MAGIC, "stable memory holds something else than a router");
        let version = u32::from_le_bytes(std::array::from_fn(|at| bytes[8 + at]));
        assert!(
            (LAYOUT_VERSION_BEFORE..=LAYOUT_VERSION).contains(&version),
            "this code reads layouts {LAYOUT_VERSION_BEFORE} and {LAYOUT_VERSION} only"
        );
        let configuration: StableCell<Vec<u8>, RouterMemory> =
            StableCell::init(manager.get(CONFIGURATION_MEMORY), Vec::new());
        let stored_journal: StableCell<Vec<u8>, RouterMemory> =
            StableCell::init(manager.get(JOURNAL_MEMORY), Vec::new());
        let configuration: Configuration =
            codec::decode(configuration.get()).expect("INVARIANT: the cell holds what create wrote");
        if version == LAYOUT_VERSION_BEFORE {
            let grants = Grants::from_configuration(&configuration, now);
            StableCell::init(manager.get(ROLES_MEMORY), codec::encode(&grants));
            write_header(&header);
        }
        let stored_grants: StableCell<Vec<u8>, RouterMemory> = StableCell::init(manager.get(ROLES_MEMORY), Vec::new());
        let grants: Grants =
            codec::decode(stored_grants.get()).expect("INVARIANT: the cell holds what was last stored");
        let stored_policy: StableCell<Vec<u8>, RouterMemory> =
            StableCell::init(manager.get(POLICY_MEMORY), codec::encode(&Policy::default()));
        let policy = codec::decode(stored_policy.get()).expect("INVARIANT: the cell holds what was last stored");
        let mut state = Self {
            roles_digest: 0,
            policy,
            stored_policy,
            rates: RateMeters::default(),
            open_uploads: StableBTreeMap::init(manager.get(UPLOADS_MEMORY)),
            collecting: BTreeSet::new(),
            telling: Telling::default(),
            settling: Telling::default(),
            watching: Watching::default(),
            configuration,
            role_table: RoleTable::default(),
            grants,
            stored_grants,
            journal: codec::decode(stored_journal.get()).expect("INVARIANT: the cell holds what was last stored"),
            stored_journal,
            routing: None,
            wake_at: None,
            open_step: None,
            open_transfer_calls: BTreeSet::new(),
            open_calls: BTreeMap::new(),
            open_read_batches: 0,
        };
        state.refresh_routing();
        state.refresh_roles();
        state
    }

    /// Shows the journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Changes the journal and stores it, in this message.
    pub fn change_journal<R>(&mut self, change: impl FnOnce(&mut Journal) -> R) -> R {
        let result = change(&mut self.journal);
        self.stored_journal.set(codec::encode(&self.journal));
        self.refresh_routing();
        result
    }

    /// Shows the grants.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Shows the grants as a table for looking up.
    pub fn role_table(&self) -> &RoleTable {
        &self.role_table
    }

    /// Changes the grants and stores them, in this message, unless nothing was changed.
    pub fn change_grants<R>(&mut self, change: impl FnOnce(&mut Grants) -> R) -> R {
        let (version, administrators) = (self.grants.version(), self.grants.administrators().collect());
        let result = change(&mut self.grants);
        if self.grants.version() != version {
            let shards: Vec<_> = self.journal.shard_status().iter().map(|shard| shard.index).collect();
            let mut unsettled = self.grants.unsettled();
            unsettled.note(&administrators, &self.grants.administrators().collect(), &shards);
            self.grants.set_unsettled(unsettled);
            self.stored_grants.set(codec::encode(&self.grants));
            self.refresh_roles();
        }
        result
    }

    /// Notes that a shard is controlled by those who administer, and stores that.
    pub fn settle_control(&mut self, shard: ShardIndex) {
        let mut unsettled = self.grants.unsettled();
        unsettled.settle(shard);
        self.grants.set_unsettled(unsettled);
        self.stored_grants.set(codec::encode(&self.grants));
    }

    /// Takes over what a lost router knew, in this message at `now` (nanoseconds); tells how many grants had no room.
    pub fn take_over(&mut self, rebuilt: &Rebuilt, now: u64) -> u64 {
        let mut left_out = 0;
        self.change_journal(|journal| journal.take_over(rebuilt));
        if let Some(remembered) = &rebuilt.roles {
            let RolesContent { grants, limits } = &remembered.content;
            let RateLimits { operations_per_minute_max, bytes_per_minute_max } = *limits;
            let policy = Policy { operations_per_minute_max, bytes_per_minute_max, ..self.policy.clone() };
            self.set_policy(policy, now);
            left_out = self.change_grants(|own| own.take_over(grants, remembered.version, now));
        }
        // The new router controls no shard yet, and the old one shall control none any more.
        let shards: Vec<_> = self.journal.shard_status().iter().map(|shard| shard.index).collect();
        let mut unsettled = self.grants.unsettled();
        unsettled.note(&BTreeSet::new(), &self.grants.administrators().collect(), &shards);
        self.grants.set_unsettled(unsettled);
        self.stored_grants.set(codec::encode(&self.grants));
        left_out
    }

    /// Shows the policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Stores another policy, in this message at `now` (nanoseconds); tells whether shards must hear of it.
    pub fn set_policy(&mut self, policy: Policy, now: u64) -> bool {
        let concerns_shards = self.policy.rate_limits() != policy.rate_limits();
        self.policy = policy;
        self.stored_policy.set(codec::encode(&self.policy));
        if concerns_shards {
            self.change_grants(|grants| grants.changed(now));
        }
        concerns_shards
    }

    /// Tells the digest of what shards are told of roles.
    pub fn roles_digest(&self) -> u64 {
        self.roles_digest
    }

    /// Counts the open calls of operations.
    pub fn open_calls(&self) -> u32 {
        self.open_calls.values().sum()
    }

    fn refresh_roles(&mut self) {
        self.role_table = self.grants.table();
        self.roles_digest = word::content(self).digest();
    }

    fn refresh_routing(&mut self) {
        let parts = self.journal.secret().zip(self.journal.routing_table());
        self.routing = parts.map(|(secret, table)| Routing { secret, table });
    }
}

fn write_header(header: &RouterMemory) {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
    header.write(0, &bytes);
}
