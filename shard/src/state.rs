//! The state of an open shard, all of it in stable memory but for what is cheap to lose.
//!
//! ```text
//! page 0    | magic "CANOPYSH" 8 B | layout version 4 B | unused 4 B | first page of the store 8 B |
//! page 1..  the store, see `store/layout.rs`; its metadata are two values of Candid: ShardInitArguments with what the
//!           shard owns, and the machine of transfers (`transfer/stored.rs`), null or missing before the first one
//! ```
//!
//! Numbers are little-endian, a page has 64 KiB. In a shard that was upgraded from layout 1 the store begins behind the
//! old memory (see `layout_1.rs`), and page 0 is written when the last record was carried over.

use canopy_types::shard::ShardInitArguments;
use canopy_types::{Version, codec};
use ic_stable_structures::{DefaultMemoryImpl, Memory};
use serde_bytes::ByteBuf;
use std::cell::RefCell;

use crate::access::Identity;
use crate::carrying_over::{CarryingOver, Step};
use crate::growth::{Growth, RETRY_NANOSECONDS};
use crate::layout_1::{Layout1, MANAGER_MAGIC};
use crate::load::Load;
use crate::region::{PAGE_BYTES, Region};
use crate::roles::Roles;
use crate::store::{self, Budget, Cursor, Options, Store, WalkEnd};
use crate::transfer::copying::{Copying, Limits};
use crate::transfer::stored::Transfers;
use crate::uploads::Collections;

#[cfg(test)]
pub mod tests;

const MAGIC: [u8; 8] = *b"CANOPYSH";
/// Version of the layout above. A change of it needs code that reads the version before.
pub const LAYOUT_VERSION: u32 = 2;
const VERSION_OFFSET: usize = 8;
const STORE_PAGE_OFFSET: usize = 16;
const HEADER_BYTES: usize = 24;

/// Where a new shard's store begins.
const STORE_PAGE: u64 = 1;

/// Time between two looks for what has ended, in nanoseconds: 1 minute.
const SWEEP_NANOSECONDS: u64 = 60_000_000_000;

/// Time after which a timer that hasn't come counts as lost, in nanoseconds: 5 s.
const LOST_NANOSECONDS: u64 = 5_000_000_000;

/// What one message of the timer may use: a twentieth of its instructions, and 32 MiB of dirtied pages, of the 75 MiB
/// per round beyond which the platform makes a canister wait.
const TIMER_BUDGET: Budget = Budget { instructions: 2_000_000_000, bytes: u64::MAX, pages: 8_192 };

/// An open shard.
pub struct State {
    pub identity: Identity,
    pub store: Store<Region>,
    pub roles: Roles,
    /// How busy the shard is.
    pub load: Load,
    /// Whether the platform has said that the memory of the code is nearly used up.
    pub low_memory: bool,
    /// When the message that is being answered is executed, in nanoseconds.
    pub message_time: u64,
    /// Whether it is an update: what a query counts is forgotten.
    pub message_is_update: bool,
    pub transfers: Transfers,
    pub copying: Copying,
    /// What transfers may put into one message.
    pub limits: Limits,
    /// Number of the next call to a peer.
    pub next_flight: u64,
    /// What the shard was installed with; range and epoch are those of the identity.
    installed: ShardInitArguments,
    growth: Growth,
    /// Uploads whose chunks the router is to be asked to delete.
    pub collections: Collections,
    /// Present until every record of layout 1 is in the store.
    pub carrying_over: Option<CarryingOver>,
    /// Where dropping the tombstones of the time of carrying over goes on.
    tombstones_after: Option<Cursor>,
    /// When the timer should have run, in nanoseconds; `None` while no timer is set.
    wake_at: Option<u64>,
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
    pub fn create(memory: DefaultMemoryImpl, arguments: &ShardInitArguments) -> Self {
        assert_eq!(memory.size(), 0, "INVARIANT: a shard is installed into empty stable memory");
        assert_ne!(memory.grow(STORE_PAGE), -1, "no stable memory for the header");
        create_store(&memory, STORE_PAGE, &codec::encode(arguments));
        write_header(&memory, STORE_PAGE);
        Self::open(memory)
    }

    /// Opens the shard that stable memory holds, in constant time.
    ///
    /// # Panics
    ///
    /// When stable memory holds no shard, or one of a layout that this code doesn't know: an upgrade is rolled back.
    pub fn open(memory: DefaultMemoryImpl) -> Self {
        assert!(memory.size() > 0, "stable memory holds no shard");
        let mut header = [0; HEADER_BYTES];
        memory.read(0, &mut header);
        let (store_page, carrying_over) = if header.starts_with(&MANAGER_MAGIC) {
            let old = Layout1::open(memory.clone());
            let page = old.store_page().unwrap_or_else(|| leave_layout_1(&memory, &old));
            (page, Some(CarryingOver::resume(old)))
        } else {
            assert!(header.starts_with(&MAGIC), "stable memory holds something else than a shard");
            let version = u32::from_le_bytes(std::array::from_fn(|at| header[VERSION_OFFSET + at]));
            assert_eq!(version, LAYOUT_VERSION, "this code reads layouts 1 and {LAYOUT_VERSION} only");
            (u64::from_le_bytes(std::array::from_fn(|at| header[STORE_PAGE_OFFSET + at])), None)
        };
        let store = Store::open(Region::new(memory.clone(), store_page), Options::default())
            .unwrap_or_else(|error| panic!("the store can't be opened: {error:?}"));
        let (installed, transfers): (ShardInitArguments, Option<Transfers>) = candid::decode_args(&store.metadata())
            .expect("INVARIANT: the metadata are what create and store_transfers write");
        let identity =
            Identity::from_arguments(installed.clone()).unwrap_or_else(|fault| panic!("install arguments: {fault:?}"));
        let mut state = Self {
            identity,
            store,
            roles: Roles::default(),
            load: Load::default(),
            low_memory: false,
            message_time: 0,
            message_is_update: false,
            transfers: transfers.unwrap_or_default(),
            copying: Copying::default(),
            limits: Limits::default(),
            next_flight: 0,
            installed,
            growth: Growth::default(),
            collections: Collections::default(),
            carrying_over,
            tombstones_after: None,
            wake_at: None,
            memory,
        };
        state.begin_copying();
        state
    }

    /// Stores what the shard owns and the machine of transfers.
    pub fn store_transfers(&mut self) {
        (self.installed.range, self.installed.epoch) = (self.identity.range, self.identity.epoch);
        let metadata = candid::encode_args((&self.installed, Some(&self.transfers)))
            .expect("encoding writes to memory only, and no type here has a custom encoder that fails");
        self.store.set_metadata(&metadata).expect("INVARIANT: every list of the machine is bounded to fit");
    }

    /// Stores whom the shard obeys.
    pub fn store_identity(&mut self) {
        self.installed.router = self.identity.router;
        self.store_transfers();
    }

    /// Tells the seed of the second hash, if there is one.
    pub fn tag_seed(&self) -> Option<ByteBuf> {
        self.installed.tag_seed.clone()
    }

    /// Tells the canister's stable memory in bytes.
    pub fn stable_bytes(&self) -> u64 {
        self.memory.size() * PAGE_BYTES
    }

    /// Tells a version that every later put of an absent key is at least given; an upgrade doesn't change it.
    pub fn least_version(&self) -> Version {
        Version(self.store.stored_time().max(self.store.removed_version()))
    }

    /// Has `action` answer an update at `now` (nanoseconds), and tells when the timer must be set to, if it must be set.
    pub fn answer_update<R>(&mut self, now: u64, action: impl FnOnce(&mut Self) -> R) -> (R, Option<u64>) {
        self.begin_update(now);
        (action(self), self.take_alarm(now))
    }

    /// Has `action` take a word of the router's at `now` (nanoseconds), as [`answer_update`](Self::answer_update) does, but
    /// asks for no memory ahead: a shard to which nobody writes needs none.
    pub fn take_word<R>(&mut self, now: u64, action: impl FnOnce(&mut Self) -> R) -> (R, Option<u64>) {
        self.begin_update(now);
        (action(self), self.alarm(now, false))
    }

    fn begin_update(&mut self, now: u64) {
        self.store.observe_clock(now);
        (self.message_time, self.message_is_update) = (now, true);
    }

    /// Tells when the timer must be set to, if it must be set. Every update asks last; `now` in nanoseconds.
    pub fn take_alarm(&mut self, now: u64) -> Option<u64> {
        let needs_growth = self.store.needs_growth();
        self.alarm(now, needs_growth)
    }

    fn alarm(&mut self, now: u64, needs_growth: bool) -> Option<u64> {
        if self.growth.take_overdue(now) {
            self.store.note_growth_failed();
        }
        let grows = needs_growth && self.growth.request(now);
        let own = if grows || self.carrying_over.is_some() || self.has_tombstones_to_drop() {
            Some(now)
        } else if self.store.awaits_sweep() {
            Some(now + SWEEP_NANOSECONDS)
        } else {
            None
        };
        let wanted = own.into_iter().chain(self.transfer_wake(now)).min()?;
        if self.wake_at.is_some_and(|at| at <= wanted && at.saturating_add(LOST_NANOSECONDS) >= now) {
            return None;
        }
        self.wake_at = Some(wanted);
        Some(wanted)
    }

    /// Does what is due, one thing per message, and tells when to come again. Called by the timer and after upgrades.
    pub fn run(&mut self, now: u64) -> Option<u64> {
        self.wake_at = None;
        let next = if self.is_growth_due() {
            // Alone, because it may trap.
            let grown = self.store.maintain() != store::Growth::Failed;
            self.growth.finish(grown);
            Some(if grown { now } else { now + RETRY_NANOSECONDS + 1 })
        } else if self.carrying_over.is_some() {
            self.carry_over(now)
        } else if self.clear_up(TIMER_BUDGET) {
            Some(now)
        } else if self.has_tombstones_to_drop() {
            self.drop_tombstones(now)
        } else if self.store.awaits_sweep() {
            self.store.observe_clock(now);
            let keep = self.keeps_dead_records();
            let swept = if keep { self.store.sweep_receipts(TIMER_BUDGET) } else { self.store.sweep(TIMER_BUDGET) };
            self.settle_displaced();
            self.look_at_due_uploads();
            // One that has swept nothing waits for space.
            (!swept.done && swept.records + swept.receipts > 0).then_some(now)
        } else {
            None
        };
        let alarm = self.take_alarm(now);
        let asks = (!self.collections.is_empty()).then_some(now);
        let wake_at = next.into_iter().chain(alarm).chain(asks).min();
        self.wake_at = wake_at;
        wake_at
    }

    /// Tells whether the next turn grows the memory, which may trap, so that nothing else is done in that message. An earlier
    /// message has asked for it: what one asks for that traps is taken back, and would be asked for ever again.
    pub fn is_growth_due(&self) -> bool {
        self.growth.is_due()
    }

    fn carry_over(&mut self, now: u64) -> Option<u64> {
        let carrying_over = self.carrying_over.as_mut()?;
        match carrying_over.step(&mut self.store, &self.identity.tags) {
            Step::More => Some(now),
            Step::NeedsSpace => {
                let grows = self.growth.request(now);
                Some(if grows { now } else { now + RETRY_NANOSECONDS + 1 })
            }
            Step::Done => {
                let page = Layout1::open(self.memory.clone()).store_page();
                write_header(&self.memory, page.expect("INVARIANT: records are carried over into a store"));
                self.carrying_over = None;
                Some(now)
            }
        }
    }

    /// Tells whether a transfer, or the time of carrying over, has left tombstones that nobody needs.
    fn has_tombstones_to_drop(&self) -> bool {
        self.store.tombstones() > 0 && !self.keeps_dead_records()
    }

    fn drop_tombstones(&mut self, now: u64) -> Option<u64> {
        match self.store.drop_tombstones(self.tombstones_after.take(), TIMER_BUDGET) {
            WalkEnd::Done => None,
            WalkEnd::More(cursor) => {
                self.tombstones_after = Some(cursor);
                Some(now)
            }
        }
    }
}

/// Makes the store behind everything that a shard of layout 1 has, and tells its first page.
fn leave_layout_1(memory: &DefaultMemoryImpl, old: &Layout1) -> u64 {
    let page = memory.size();
    let mut store = create_store(memory, page, &old.identity());
    // The next version of every key is above all that were given.
    store.observe(0, old.last_version());
    old.begin(page);
    page
}

fn create_store(memory: &DefaultMemoryImpl, page: u64, metadata: &[u8]) -> Store<Region> {
    let mut store = Store::create(Region::new(memory.clone(), page), Options::default())
        .unwrap_or_else(|error| panic!("no stable memory for the first records: {error:?}"));
    store.set_metadata(metadata).unwrap_or_else(|bytes| panic!("{bytes} bytes of install arguments are too many"));
    store
}

fn write_header(memory: &DefaultMemoryImpl, store_page: u64) {
    let mut header = [0; HEADER_BYTES];
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    header[VERSION_OFFSET..][..4].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
    header[STORE_PAGE_OFFSET..].copy_from_slice(&store_page.to_le_bytes());
    memory.write(0, &header);
}
