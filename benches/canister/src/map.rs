//! Commands on the StableBTreeMap of ic-stable-structures.

use ic_stable_structures::{DefaultMemoryImpl, Memory, StableBTreeMap};

use crate::command::{Action, Command, Reply};
use crate::keys::{NOON, Prepared};

const WASM_PAGE_BYTES: u64 = 64 * 1024;

/// The map, with keys and values of bytes, and its memory.
pub struct Measured {
    map: StableBTreeMap<Vec<u8>, Vec<u8>, DefaultMemoryImpl>,
    memory: DefaultMemoryImpl,
}

/// Makes an empty map.
pub fn create() -> Measured {
    let memory = DefaultMemoryImpl::default();
    Measured { map: StableBTreeMap::init(memory.clone()), memory }
}

/// Runs a command; what a map can't do (imports, sweeps, growth) it is never told.
pub fn run(measured: &mut Measured, command: &Command, counter: fn() -> u64) -> Reply {
    let map = &mut measured.map;
    if command.action == Action::Sizes {
        let bytes = measured.memory.size() * WASM_PAGE_BYTES;
        return Reply { sizes: [map.len(), 0, bytes, bytes], ..Reply::default() };
    }
    let prepared: Vec<Prepared> =
        command.steps().map(|(record, step)| Prepared::new(record, step, NOON, false)).collect();
    let value = vec![7; command.value_bytes as usize];
    let before = counter();
    if command.action == Action::Walk {
        let from = Prepared::new(command.first, 0, NOON, false).key.to_vec();
        let entries = map.range(from..).take(command.count as usize);
        let steps = entries.fold(0, |steps, entry| {
            std::hint::black_box(entry.into_pair());
            steps + 1
        });
        return Reply { instructions: crate::used(before, counter), steps, ..Reply::default() };
    }
    for step in &prepared {
        let key = step.key.to_vec();
        match command.action {
            Action::Grow => {}
            Action::Put => {
                map.insert(key, value.clone());
            }
            Action::PutShorter => {
                let shorter = value.len() - (step.chance % (command.value_bytes / 2)) as usize;
                map.insert(key, value[..shorter].to_vec());
            }
            Action::PutRandom => {
                map.insert(key, value[..(step.chance % command.value_bytes) as usize].to_vec());
            }
            Action::Get => {
                map.get(&key).expect("it was put");
            }
            Action::GetMissing => assert_eq!(map.get(&key), None, "it was never put"),
            Action::Delete => {
                map.remove(&key);
            }
            action => unreachable!("a map has no {action:?}"),
        }
    }
    Reply { instructions: crate::used(before, counter), steps: prepared.len() as u64, ..Reply::default() }
}
