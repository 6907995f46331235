use canopy_types::transfer::{BeginTransferResult, TransferProgressArguments};
use canopy_types::wire::PutRef;
use canopy_types::{Epoch, KeyHash, TransferId};
use ic_stable_structures::DefaultMemoryImpl;

use super::*;
use crate::operations::Origin;
use crate::state::tests::arguments;

const NOW: u64 = 1_780_000_000_000_000_000;
const ID: TransferId = TransferId([3; 16]);
const RECORDS: u32 = 500;
const VALUE_BYTES: usize = 1_000;

/// A shard with records, which owns everything.
fn filled() -> State {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    for number in 0..RECORDS {
        let origin = Origin { caller: &[1], operation: None, index: 0 };
        let (key, value) = (number.to_be_bytes(), [7; VALUE_BYTES]);
        let put =
            PutRef { key: &key, value: &value, precondition: None, time_to_live_milliseconds: None, operation: None };
        state.put(&origin, &put).expect("there is room");
    }
    state
}

fn means(liquid_cycles: u128) -> Means {
    Means { liquid_cycles, frozen_cycles: 0, heap_bytes: 0 }
}

fn begin(side: TransferSide, range: HashRange, bytes: Option<u64>) -> BeginTransferArguments {
    let peer = candid::Principal::from_slice(&[9]);
    BeginTransferArguments { id: ID, side, peer, range, epoch: Epoch(5), bytes }
}

/// Tells what a shard without any cycles needs.
fn required(state: &State, arguments: &BeginTransferArguments, means: &Means) -> u128 {
    match state.transfer_cycles_short(arguments, means) {
        Some(TransferError::CyclesShort { available, required }) => {
            assert_eq!(available, means.liquid_cycles);
            u128::try_from(required.0).expect("it fits")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_needs_what_its_part_takes_to_send_and_the_reserve() {
    let state = filled();
    let of = |range| required(&state, &begin(TransferSide::Source, range, None), &means(0));
    let (whole, half) = (of(HashRange::FULL), of(HashRange::FULL.part(1, 2).expect("there are halves")));
    let bytes = RECORDS as u128 * (4 + VALUE_BYTES + ITEM_BYTES_MAX) as u128;
    assert_eq!(whole, RESERVE_CYCLES + bytes * SENDING_CYCLES_PER_BYTE);
    assert_eq!(half, RESERVE_CYCLES + bytes / 2 * SENDING_CYCLES_PER_BYTE);
    let arguments = begin(TransferSide::Source, HashRange::FULL, None);
    assert_eq!(state.transfer_cycles_short(&arguments, &means(whole)), None);
    assert!(state.transfer_cycles_short(&arguments, &means(whole - 1)).is_some());
}

#[test]
fn a_target_needs_the_storage_of_what_it_will_hold() {
    let state = filled();
    let of = |gibibytes: u64, frozen_cycles, heap_bytes| {
        let arguments = begin(TransferSide::Target, HashRange::EMPTY, Some(gibibytes << 30));
        required(&state, &arguments, &Means { liquid_cycles: 1, frozen_cycles, heap_bytes })
    };
    // 329 G and 107 G for 30 days and for taking in a GiB; and once what is added ahead.
    let per_gib = HOLDING_CYCLES_PER_GIB + GIB * TAKING_IN_CYCLES_PER_BYTE;
    assert_eq!(of(17, 0, 0) - of(1, 0, 0), 16 * per_gib);
    let rest = of(1, 0, 0) - RESERVE_CYCLES - per_gib;
    assert!(rest <= u128::from(GROWN_AHEAD_BYTES) * HOLDING_CYCLES_PER_GIB / GIB, "{rest}");
    // Twice as dear where what the shard has costs twice as much, and never more than a dozen times.
    let memory = GIB - u128::from(state.stable_bytes());
    let with = |factor: u128| of(16, factor * HOLDING_CYCLES_PER_GIB, memory as u64) - of(15, 0, 0);
    let one = with(1);
    let differs = |factor: u128| with(factor) - one;
    assert!(differs(2) > 15 * HOLDING_CYCLES_PER_GIB && differs(2) < 17 * HOLDING_CYCLES_PER_GIB);
    assert_eq!(differs(1_000), differs(12));
    let most = u64::MAX >> 30;
    assert_eq!(of(most, u128::MAX, 0), of(most, u128::MAX >> 1, 0), "nothing overflows");
    assert!(of(most, u128::MAX, u64::MAX) >= of(most, 0, 0));
}

#[test]
fn a_target_that_is_not_told_how_much_it_gets_takes_it() {
    let mut spare = State::create(DefaultMemoryImpl::default(), &{
        let mut arguments = arguments();
        arguments.range = HashRange::EMPTY;
        arguments
    });
    let told = begin(TransferSide::Target, HashRange::FULL, Some(1 << 30));
    let refused: BeginTransferResult = spare.begin_transfer(&told, &means(5));
    assert!(matches!(refused, Err(TransferError::CyclesShort { .. })), "{refused:?}");
    assert!(spare.transfers.current().is_none(), "nothing was changed");
    let untold = begin(TransferSide::Target, HashRange::FULL, None);
    assert_eq!(spare.begin_transfer(&untold, &means(5)), Ok(()));
    assert_eq!(spare.begin_transfer(&told, &means(5)), Ok(()), "what was begun stays so");
    assert_eq!(spare.sender_needs(0), None);
}

#[test]
fn a_source_that_runs_short_on_the_way_tells_what_it_needs_for_the_rest() {
    let mut state = filled();
    let arguments = begin(TransferSide::Source, HashRange::FULL, None);
    let whole = required(&state, &arguments, &means(0));
    state.begin_transfer(&arguments, &means(u128::MAX)).expect("it has enough");
    let needs = |state: &State, cycles| {
        let progress = state.transfer_progress(&TransferProgressArguments { id: ID }, cycles);
        progress.expect("the transfer is known").cycles
    };
    assert_eq!(needs(&state, RESERVE_CYCLES), None);
    let short = RESERVE_CYCLES - 1;
    assert_eq!(needs(&state, short), Some(CyclesNeed { available: short.into(), required: whole.into() }));
    assert!(state.transfer_turn(NOW + 1, short).is_empty(), "it sends nothing");
    // A part is on its way: what that set aside comes back.
    state.limits.batch.bytes = 100_000;
    let later = NOW + 60_000_000_000;
    let sent = state.transfer_turn(later, u128::MAX);
    assert!(!sent.is_empty());
    assert_eq!(needs(&state, short), None);
    for call in sent {
        state.peer_answered(call.flight, Err("lost".to_string()), later);
    }
    let rest = needs(&state, short).expect("it is short again").required;
    assert!(rest < whole && rest > RESERVE_CYCLES, "{rest} of {whole}");
    assert_eq!(state.copying.left_of(&HashRange::FULL).map(|left| left.last), Some(KeyHash(u64::MAX)));
}
