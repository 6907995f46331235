//! What only the simulator tells: instructions, messages and pages of each canister, and what keeps one from going on.

use candid::Principal;
use canopy_simulator::limits::MIB;

use super::world::World;
use crate::network;

/// Instructions that each message counts in a round before it has done anything.
const MESSAGE_INSTRUCTIONS: u64 = 2_000_000;
/// Bytes of ingress messages in a block.
pub const BLOCK_BYTES_MAX: u64 = 4 * MIB;
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
}

impl Bound {
    pub const ALL: [Bound; 7] = [
        Bound::Callers,
        Bound::Instructions,
        Bound::Messages,
        Bound::HeapDelta,
        Bound::Places,
        Bound::Ingress,
        Bound::Cycles,
    ];

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
        }
    }
}

/// Counts rounds by what ended them.
#[derive(Debug, Default)]
pub struct Watch {
    before: Vec<Sample>,
    rounds: u64,
    /// Rounds after which something waited, because of the heap delta or because the round was full.
    heap_delta: u64,
    full: u64,
    /// Rounds in which the block was full.
    pub blocks_full: u64,
    /// Instructions, and those that messages count, of each canister.
    used: Vec<(u64, u64)>,
}

impl Watch {
    /// Begins to watch.
    pub fn new(world: &World) -> Self {
        let before = look(world);
        Self { used: vec![(0, 0); before.len()], before, ..Self::default() }
    }

    /// Looks after a round.
    pub fn round(&mut self, world: &World) {
        let now = look(world);
        self.rounds += 1;
        if now.iter().any(|sample| sample.waits && sample.has_written_enough) {
            self.heap_delta += 1;
        } else if now.iter().any(|sample| sample.waits) {
            self.full += 1;
        }
        for ((used, now), before) in self.used.iter_mut().zip(&now).zip(&self.before) {
            used.0 += now.instructions - before.instructions;
            used.1 += (now.messages - before.messages) * MESSAGE_INSTRUCTIONS;
        }
        self.before = now;
    }

    /// Tells what bound most of the rounds, given what callers were told when they were turned away.
    pub fn bound(&self, refusal: Option<&str>) -> Bound {
        let is_most = |rounds: u64| rounds * 2 >= self.rounds;
        let busiest = self.used.iter().max_by_key(|(instructions, messages)| instructions + messages);
        if is_most(self.blocks_full) {
            Bound::Ingress
        } else if is_most(self.heap_delta) {
            Bound::HeapDelta
        } else if is_most(self.full + self.heap_delta) {
            let &(instructions, messages) = busiest.unwrap_or(&(0, 0));
            if instructions > messages { Bound::Instructions } else { Bound::Messages }
        } else {
            match refusal {
                Some(words) if words.contains("RouterCycles") => Bound::Cycles,
                Some(_) => Bound::Places,
                None => Bound::Callers,
            }
        }
    }
}
