//! What only the simulator tells: instructions, messages and pages of each canister, and what keeps one from going on.

use candid::Principal;
use canopy_simulator::limits::MIB;

use super::world::World;
use crate::network;

/// Instructions that each message counts in a round before it has done anything.
const MESSAGE_INSTRUCTIONS: u64 = 2_000_000;
/// Instructions after which a thread begins no message in a round, and threads of a subnet.
const THREAD_INSTRUCTIONS: u64 = 2_000_000_000;
const THREADS: u64 = 4;
/// Bytes that a canister may write in a round.
const HEAP_DELTA_BYTES: u64 = 75 * MIB;
/// Bytes written in an iteration after which a subnet's round ends.
const SUBNET_HEAP_DELTA_BYTES: u64 = 200_000_000;
/// Bytes of a page.
const PAGE_BYTES: u64 = 4_096;
/// Bytes of ingress messages in a block.
pub const BLOCK_BYTES_MAX: u64 = 4 * MIB;
/// Bytes of a message beside name and argument, as they count in a block.
pub const ENVELOPE_BYTES: u64 = 120;
/// Ingress messages in a block.
pub const BLOCK_MESSAGES_MAX: usize = 1_000;

/// One canister after a round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub instructions: u64,
    pub messages: u64,
    pub pages: u64,
    /// Something waits to be executed.
    waits: bool,
    /// It has written more in this round than rounds allow.
    has_written_enough: bool,
}

/// Looks at canisters of a service; empty on a real server.
pub fn look(world: &World) -> Vec<Sample> {
    let canisters: Vec<Principal> = world.service().collect();
    let look = move |instance: &mut canopy_simulator::instance::Instance| {
        let sample = |id: &Principal| {
            let counters = instance.events().counters(id);
            let canister = instance.subnets().iter().find_map(|subnet| subnet.canisters.get(id));
            let canister = canister.expect("the service's canisters stay");
            Sample {
                instructions: counters.instructions,
                messages: counters.messages,
                pages: counters.pages_dirtied,
                waits: canister.queues.has_input(),
                has_written_enough: canister.heap_delta_debit_bytes > 0,
            }
        };
        canisters.iter().map(sample).collect()
    };
    network::look_into(&world.pic, look).unwrap_or_default()
}

/// What keeps more operations from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Nothing: callers have as much under way as they may.
    Callers = 1,
    /// Instructions that a thread takes in a round.
    Instructions,
    /// The 2 M instructions that each message counts in a round.
    Messages,
    /// Bytes that a canister may write in a round.
    HeapDelta,
    /// Places for calls between two canisters.
    Places,
    /// Messages or bytes of a block.
    Ingress,
    /// Cycles that are set aside for calls under way.
    Cycles,
    /// Bytes that all canisters of a subnet write in an iteration, after which a round ends.
    SubnetHeapDelta,
}

impl Bound {
    pub const ALL: [Bound; 8] = [
        Bound::Callers,
        Bound::Instructions,
        Bound::Messages,
        Bound::HeapDelta,
        Bound::Places,
        Bound::Ingress,
        Bound::Cycles,
        Bound::SubnetHeapDelta,
    ];

    /// Finds it by the number under which it is kept.
    pub fn numbered(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|bound| *bound as u64 == number)
    }

    /// Says it in the report.
    pub fn words(self) -> &'static str {
        match self {
            Bound::Callers => "callers",
            Bound::Instructions => "instructions",
            Bound::Messages => "messages",
            Bound::HeapDelta => "heap delta",
            Bound::Places => "calls open",
            Bound::Ingress => "ingress",
            Bound::Cycles => "cycles in flight",
            Bound::SubnetHeapDelta => "heap delta of the subnet",
        }
    }
}

/// Counts rounds by what ended them.
#[derive(Debug, Default)]
pub struct Watch {
    before: Vec<Sample>,
    rounds: u64,
    /// Rounds after which something waited: because of the heap delta of a canister, of the subnet, or because the round was
    /// full.
    heap_delta: u64,
    subnet_heap_delta: u64,
    full: u64,
    /// Rounds in which the block was full.
    pub blocks_full: u64,
    /// What each canister used.
    used: Vec<Used>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    instructions: u64,
    /// Those that its messages count beside.
    of_messages: u64,
    pages: u64,
}

impl Watch {
    /// Begins to watch.
    pub fn new(world: &World) -> Self {
        let before = look(world);
        Self { used: vec![Used::default(); before.len()], before, ..Self::default() }
    }

    /// Looks after a round.
    pub fn round(&mut self, world: &World) {
        let now = look(world);
        self.rounds += 1;
        let mut pages = 0;
        for ((used, now), before) in self.used.iter_mut().zip(&now).zip(&self.before) {
            used.instructions += now.instructions - before.instructions;
            used.of_messages += (now.messages - before.messages) * MESSAGE_INSTRUCTIONS;
            used.pages += now.pages - before.pages;
            pages += now.pages - before.pages;
        }
        if now.iter().any(|sample| sample.waits && sample.has_written_enough) {
            self.heap_delta += 1;
        } else if now.iter().any(|sample| sample.waits) {
            let is_subnets = pages * PAGE_BYTES > SUBNET_HEAP_DELTA_BYTES;
            *(if is_subnets { &mut self.subnet_heap_delta } else { &mut self.full }) += 1;
        }
        self.before = now;
    }

    /// Tells what bound most of the rounds, given what callers were told when they were turned away.
    pub fn bound(&self, refusal: Option<&str>) -> Bound {
        let is_most = |rounds: u64| rounds * 2 >= self.rounds;
        let busiest = self.used.iter().max_by_key(|used| used.instructions + used.of_messages);
        if is_most(self.blocks_full) {
            Bound::Ingress
        } else if is_most(self.heap_delta) {
            Bound::HeapDelta
        } else if is_most(self.subnet_heap_delta + self.heap_delta) {
            Bound::SubnetHeapDelta
        } else if is_most(self.full + self.subnet_heap_delta + self.heap_delta) {
            let used = busiest.copied().unwrap_or_default();
            if used.instructions > used.of_messages { Bound::Instructions } else { Bound::Messages }
        } else {
            match refusal {
                Some(words) if words.contains("RouterCycles") => Bound::Cycles,
                Some(_) => Bound::Places,
                None => Bound::Callers,
            }
        }
    }

    /// Tells the pages that each canister dirtied.
    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.used.iter().map(|used| used.pages)
    }

    /// Tells how much of what binds was used, in thousandths: by the busiest canister, or by all of the subnet's threads.
    /// `None` where it is not for canisters to use.
    pub fn used(&self, bound: Bound) -> Option<u64> {
        let rounds = self.rounds.max(1);
        let most = |of: fn(&Used) -> u64| self.used.iter().map(of).max().unwrap_or(0);
        let sum = |of: fn(&Used) -> u64| self.used.iter().map(of).sum::<u64>();
        let instructions: fn(&Used) -> u64 = |used| used.instructions + used.of_messages;
        match bound {
            Bound::Instructions | Bound::Messages => {
                let busiest = most(instructions).max(sum(instructions) / THREADS);
                Some(busiest / rounds * 1_000 / THREAD_INSTRUCTIONS)
            }
            Bound::HeapDelta => Some(most(|used| used.pages) * PAGE_BYTES / rounds * 1_000 / HEAP_DELTA_BYTES),
            Bound::SubnetHeapDelta => {
                Some(sum(|used| used.pages) * PAGE_BYTES / rounds * 1_000 / SUBNET_HEAP_DELTA_BYTES)
            }
            Bound::Callers | Bound::Places | Bound::Ingress | Bound::Cycles => None,
        }
    }
}
