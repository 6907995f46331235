use super::*;
use canopy_types::wire::PutRef;
use ic_stable_structures::DefaultMemoryImpl;

use crate::operations::Origin;
use crate::state::tests::arguments;

fn state() -> State {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(1_780_000_000_000_000_000);
    state
}

fn put(state: &mut State, number: u32) {
    let origin = Origin { caller: &[1], operation: None, index: 0 };
    let (key, value) = (number.to_be_bytes(), [7; 996]);
    let put = PutRef { key: &key, value: &value, precondition: None, time_to_live_milliseconds: None, operation: None };
    state.put(&origin, &put).expect("there is room");
}

#[test]
fn what_is_in_use_grows_with_the_records_and_what_is_free_shrinks() {
    let mut state = state();
    let empty = state.reading(3, 2, 1);
    assert_eq!((empty.heap_bytes, empty.cycles, empty.liquid_cycles), (3, 2u8.into(), 1u8.into()));
    assert_eq!((empty.records, empty.record_bytes, empty.operations), (0, 0, 0));
    (0..1_000).for_each(|number| put(&mut state, number));
    let filled = state.reading(3, 2, 1);
    assert_eq!((filled.records, filled.record_bytes, filled.operations), (1_000, 1_000_000, 1_000));
    assert_eq!(filled.stable_bytes, empty.stable_bytes);
    let taken = empty.free_bytes - filled.free_bytes;
    assert!((1_000_000..1_300_000).contains(&taken), "{taken}");
    assert!(filled.load_boundary.is_some());
    assert!(!filled.clears_up && !filled.low_memory && !filled.out_of_space);
}
