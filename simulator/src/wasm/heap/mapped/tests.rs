use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::wasm::heap::{Heap, Undo};

const PAGES: usize = 700;
const ROUNDS: usize = 400;

fn mapping() -> (Heap, Mapping) {
    let file = Arc::new(HeapFile::new().expect("a file"));
    let mut mapping = Mapping::new(file.clone(), HEAP_BYTES_MAX, 0).expect("address space");
    mapping.grow_to(PAGES * PAGE_BYTES).expect("room");
    (Heap::mapped(file), mapping)
}

/// Writes, keeps, undoes and drops at random, beside a plain copy of what each page has to hold and a plain list of what
/// was written, whether it changed or not.
#[test]
fn pages_are_dirty_from_a_write_until_they_are_kept_or_dropped() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut heap, mapping) = mapping();
    let (mut committed, mut kept, mut held) = (vec![0; PAGES], vec![0; PAGES], vec![0; PAGES]);
    let mut undo = Undo::new();
    for round in 0..ROUNDS {
        // SAFETY: these bytes were made accessible by `mapping`, and nothing else refers to them.
        let live = unsafe { std::slice::from_raw_parts_mut(mapping.base, PAGES * PAGE_BYTES) };
        let mut written = BTreeSet::new();
        // One round in eight writes more runs than are discarded one by one.
        let writes = if round % 8 == 0 { 4 * RUNS_MAX } else { random.random_range(0..9) };
        for _ in 0..writes {
            let page = random.random_range(0..PAGES);
            let value = if random.random_range(0..4) == 0 { held[page] } else { random.random_range(0..=255) };
            live[page * PAGE_BYTES + 5] = value;
            held[page] = value;
            written.insert(page);
        }
        std::hint::black_box(&mut *live);
        let dirty = heap.dirty(live);
        assert_eq!(dirty, written.into_iter().collect::<Vec<_>>(), "round {round}");
        match random.random_range(0..4) {
            0 => {
                heap.drop_changes(live, Some(&dirty));
                held.clone_from(&kept);
            }
            1 => {
                heap.keep(live, &dirty, Some(&mut undo));
                kept.clone_from(&held);
            }
            2 => {
                heap.keep(live, &dirty, None);
                undo.clear();
                kept.clone_from(&held);
                committed.clone_from(&held);
            }
            _ => {
                let mut all: BTreeSet<usize> = dirty.into_iter().collect();
                all.extend(undo.keys());
                heap.revert(std::mem::take(&mut undo));
                heap.drop_changes(live, Some(&all.into_iter().collect::<Vec<_>>()));
                kept.clone_from(&committed);
                held.clone_from(&committed);
            }
        }
        let shown: Vec<u8> = (0..PAGES).map(|page| live[page * PAGE_BYTES + 5]).collect();
        assert_eq!(shown, held, "round {round}");
        assert_eq!(heap.dirty(live), [0; 0], "round {round}");
    }
}
