use proptest::prelude::*;

use super::*;

const SIZE: usize = 3 * WASM_PAGE_BYTES as usize;

#[derive(Clone, Debug)]
enum Step {
    Grow(u64),
    Write(u64, usize, u8),
    Begin,
    Commit,
    RollBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0..2u64).prop_map(Step::Grow),
        8 => (0..SIZE as u64, 0..9_000usize, any::<u8>()).prop_map(|(at, n, byte)| Step::Write(at, n, byte)),
        2 => Just(Step::Begin),
        1 => Just(Step::Commit),
        2 => Just(Step::RollBack),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn stable_memory_behaves_as_a_vector_with_saved_copies(steps in steps()) {
        let mut memory = StableMemory::new();
        let mut model: Vec<u8> = Vec::new();
        let mut saved: Vec<(Mark, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Grow(pages) => {
                    if model.len() < SIZE {
                        prop_assert_eq!(memory.grow(pages), Some(model.len() as u64 / WASM_PAGE_BYTES));
                        model.resize(model.len() + (pages * WASM_PAGE_BYTES) as usize, 0);
                    }
                }
                Step::Write(at, bytes, byte) => {
                    let end = at as usize + bytes;
                    let result = memory.write(at, &vec![byte; bytes]);
                    prop_assert_eq!(result.is_ok(), end <= model.len());
                    if end <= model.len() {
                        model[at as usize..end].fill(byte);
                    }
                }
                Step::Begin => saved.push((memory.begin(), model.clone())),
                Step::Commit => {
                    memory.commit();
                    saved.clear();
                }
                Step::RollBack => {
                    if let Some((mark, copy)) = saved.pop() {
                        memory.roll_back(mark);
                        model = copy;
                    }
                }
            }
            prop_assert_eq!(memory.to_bytes(u64::MAX).expect("no bound"), model.clone());
            let mut same = StableMemory::new();
            same.replace_all(&model);
            prop_assert_eq!(memory.state_hash(), same.state_hash());
        }
    }
}

#[test]
fn a_page_is_dirtied_once_per_execution() {
    let mut memory = StableMemory::new();
    memory.begin();
    memory.grow(1);
    assert_eq!(memory.pages_to_dirty(4090, 12), 2);
    memory.write(4090, &[1; 12]).expect("in bounds");
    memory.write(0, &[2; 8192]).expect("in bounds");
    assert_eq!((memory.pages_dirtied(), memory.pages_to_dirty(0, 8193)), (2, 1));
    memory.begin();
    memory.write(0, &[3]).expect("in bounds");
    assert_eq!(memory.pages_dirtied(), 1);
}

#[test]
fn a_clone_keeps_its_contents() {
    let mut memory = StableMemory::new();
    memory.grow(1);
    memory.write(5, b"old").expect("in bounds");
    let copy = memory.clone();
    memory.write(5, b"new").expect("in bounds");
    assert_eq!(&copy.to_bytes(1 << 16).expect("small")[5..8], b"old");
}

#[test]
fn growth_stops_at_500_gib() {
    let mut memory = StableMemory::new();
    assert_eq!(memory.grow(WASM_PAGES_MAX + 1), None);
    assert_eq!(memory.grow(u64::MAX), None);
    assert_eq!(memory.grow(WASM_PAGES_MAX), Some(0));
    assert_eq!(memory.grow(1), None);
    memory.write(STABLE_BYTES_MAX - 1, b"x").expect("the last byte");
    assert_eq!(memory.write(STABLE_BYTES_MAX, b"x"), Err(OutOfBounds));
    assert_eq!(memory.read(u64::MAX, &mut [0; 2]), Err(OutOfBounds));
}
