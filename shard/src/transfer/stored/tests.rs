use super::*;
use canopy_types::codec;

const SPLIT: HashRange = HashRange { first: KeyHash(100), last: KeyHash(199) };
const LOWER: HashRange = HashRange { first: KeyHash(0), last: KeyHash(99) };
const WHOLE: HashRange = HashRange { first: KeyHash(0), last: KeyHash(199) };
const EPOCH: Epoch = Epoch(5);

fn id(number: u8) -> TransferId {
    TransferId([number; 16])
}

fn peer() -> Principal {
    Principal::from_slice(&[9])
}

fn whole() -> Ownership {
    Ownership { range: WHOLE, epoch: Epoch(1) }
}

fn spare() -> Ownership {
    Ownership { range: HashRange::EMPTY, epoch: Epoch(1) }
}

fn begin(side: TransferSide) -> BeginTransferArguments {
    BeginTransferArguments { id: id(1), side, peer: peer(), range: SPLIT, epoch: EPOCH, bytes: None }
}

/// Every state of the machine, with what the shard owns in it.
fn states() -> Vec<(&'static str, Transfers, Ownership)> {
    let source = || {
        let mut transfers = Transfers::default();
        transfers.begin(&whole(), &begin(TransferSide::Source), None).unwrap();
        transfers
    };
    let mut receiving = Transfers::default();
    receiving.begin(&spare(), &begin(TransferSide::Target), None).unwrap();
    let mut handing_over = source();
    handing_over.hand_over(&[(100, 1), (150, 2)], 5);
    let mut asking = handing_over.clone();
    asking.ask();
    let (mut gave, mut left) = (handing_over.clone(), whole());
    gave.learn(TransferEnd::Done, &mut left);
    let (mut got, mut gained) = (receiving.clone(), spare());
    got.own(&mut gained);
    let (mut dropped, mut target_dropped) = (source(), receiving.clone());
    dropped.cancel(id(1), EPOCH).unwrap();
    target_dropped.cancel(id(1), EPOCH).unwrap();
    vec![
        ("idle", Transfers::default(), whole()),
        ("sending", source(), whole()),
        ("handing over", handing_over, whole()),
        ("asking", asking, whole()),
        ("receiving", receiving, spare()),
        ("gave", gave, left),
        ("got", got, gained),
        ("source cancelled", dropped, whole()),
        ("target cancelled", target_dropped, spare()),
    ]
}

fn state(name: &str) -> (Transfers, Ownership) {
    let found = states().into_iter().find(|(found, ..)| *found == name);
    let (_, transfers, ownership) = found.unwrap_or_else(|| panic!("there is no state {name}"));
    (transfers, ownership)
}

#[test]
fn beginning_again_changes_nothing_in_any_state() {
    for (name, mut transfers, ownership) in states() {
        let before = transfers.clone();
        let again = transfers.begin(&ownership, &begin(TransferSide::Source), None);
        let expected = match name {
            "idle" => continue,
            "gave" | "got" => Err(TransferError::Ended(TransferEnd::Done)),
            "source cancelled" | "target cancelled" => Err(TransferError::Ended(TransferEnd::Cancelled)),
            _ => Ok(()),
        };
        assert_eq!((again, &transfers), (expected, &before), "{name}");
    }
}

#[test]
fn another_transfer_is_refused_until_this_one_is_over_and_cleared() {
    for (name, mut transfers, ownership) in states() {
        let range = if ownership.range == HashRange::EMPTY { SPLIT } else { ownership.range };
        let side = if ownership.range == range { TransferSide::Source } else { TransferSide::Target };
        let other = BeginTransferArguments { id: id(2), side, peer: peer(), range, epoch: Epoch(6), bytes: None };
        let result = transfers.clone().begin(&ownership, &other, None);
        match name {
            "idle" | "got" | "source cancelled" => assert_eq!(result, Ok(()), "{name}"),
            "gave" | "target cancelled" => {
                assert!(matches!(result, Err(TransferError::Clearing { .. })), "{name}: {result:?}");
                transfers.cleared();
                assert_eq!(transfers.begin(&ownership, &other, None), Ok(()), "{name}");
            }
            _ => assert_eq!(result, Err(TransferError::InTransfer { id: id(1) }), "{name}"),
        }
    }
}

#[test]
fn cancelling_ends_what_is_open_and_asks_once_the_hand_over_may_be_under_way() {
    for (name, mut transfers, _) in states() {
        let phase = transfers.cancel(id(1), EPOCH).unwrap();
        let expected = match name {
            "handing over" | "asking" => TransferPhase::Asking,
            "gave" | "got" => TransferPhase::Ended(TransferEnd::Done),
            _ => TransferPhase::Ended(TransferEnd::Cancelled),
        };
        assert_eq!(phase, expected, "{name}");
        let clears = matches!(name, "receiving" | "target cancelled" | "gave");
        assert_eq!(transfers.clearing(), clears.then_some(SPLIT), "{name}");
        let after = transfers.clone();
        assert_eq!((transfers.cancel(id(1), EPOCH), &transfers), (Ok(phase), &after), "{name}: said again");
    }
}

#[test]
fn only_the_named_peer_sends_and_only_while_the_target_receives() {
    for (name, transfers, _) in states() {
        let stranger = Principal::from_slice(&[8]);
        let expected = match name {
            "receiving" => Ok(SPLIT),
            "gave" | "got" => Err(TransferError::Ended(TransferEnd::Done)),
            "source cancelled" | "target cancelled" => Err(TransferError::Ended(TransferEnd::Cancelled)),
            _ => Err(TransferError::UnknownTransfer),
        };
        assert_eq!(transfers.check_sender(id(1), peer()), expected, "{name}");
        assert_eq!(transfers.check_sender(id(2), peer()), Err(TransferError::UnknownTransfer), "{name}");
        if name == "receiving" {
            let refused = Err(TransferError::Unauthorised { caller: stranger });
            assert_eq!(transfers.check_sender(id(1), stranger), refused);
        }
    }
}

#[test]
fn the_targets_word_decides_for_the_source_and_nobody_else() {
    for end in [TransferEnd::Done, TransferEnd::Cancelled] {
        for (name, mut transfers, mut ownership) in states() {
            let (before, owned) = (transfers.clone(), ownership);
            transfers.learn(end, &mut ownership);
            if !matches!(name, "sending" | "handing over" | "asking") {
                assert_eq!((transfers, ownership), (before, owned), "{name}");
                continue;
            }
            assert_eq!(transfers.current(), None, "{name}");
            assert_eq!(transfers.end_of(id(1)), Some(end));
            let done = end == TransferEnd::Done;
            let left = if done { Ownership { range: LOWER, epoch: EPOCH } } else { whole() };
            assert_eq!((ownership, transfers.clearing()), (left, done.then_some(SPLIT)), "{name}");
            let moved = Moved { range: SPLIT, epoch: EPOCH };
            assert_eq!(transfers.owner_of(KeyHash(150)), done.then_some((peer(), moved)));
            assert_eq!(transfers.owner_of(KeyHash(99)), None);
        }
    }
}

#[test]
fn the_range_is_closed_from_the_hand_over_to_the_targets_word() {
    for (name, transfers, _) in states() {
        let closes = |hash| transfers.current().is_some_and(|current| current.closes(KeyHash(hash)));
        let closed = matches!(name, "handing over" | "asking");
        assert_eq!((closes(100), closes(199), closes(99), closes(200)), (closed, closed, false, false), "{name}");
    }
}

#[test]
fn the_rest_of_a_hand_over_is_stored() {
    let (transfers, _) = state("handing over");
    let stored: Transfers = codec::decode(&codec::encode(&transfers)).unwrap();
    assert_eq!(stored, transfers);
    assert_eq!(stored.current().unwrap().rest(), [(100, 1), (150, 2)]);
}

#[test]
fn the_target_owns_what_it_was_given_and_says_so_for_ever() {
    let (mut transfers, ownership) = state("got");
    assert_eq!(ownership, Ownership { range: SPLIT, epoch: EPOCH });
    assert_eq!(transfers.cancel(id(1), EPOCH), Ok(TransferPhase::Ended(TransferEnd::Done)));
    // A merge gives it back, and the way that it went is forgotten.
    let (mut source, mut left) = state("gave");
    source.cleared();
    let back = BeginTransferArguments {
        id: id(2),
        side: TransferSide::Target,
        epoch: Epoch(6),
        ..begin(TransferSide::Target)
    };
    source.begin(&left, &back, None).unwrap();
    source.own(&mut left);
    assert_eq!(left, Ownership { range: WHOLE, epoch: Epoch(6) });
    assert_eq!(source.owner_of(KeyHash(150)), None);
}

#[test]
fn a_transfer_that_was_cancelled_before_it_was_heard_of_never_begins() {
    let mut transfers = Transfers::default();
    assert_eq!(transfers.cancel(id(1), EPOCH), Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
    let late = transfers.begin(&whole(), &begin(TransferSide::Source), None);
    assert_eq!(late, Err(TransferError::Ended(TransferEnd::Cancelled)));
    // Even when its end is forgotten, its epoch is used up.
    for number in 0..=ENDED_MAX as u64 {
        let other = TransferId((u128::from(number) + 1_000).to_le_bytes());
        transfers.cancel(other, Epoch(6 + number)).unwrap();
    }
    assert_eq!(transfers.end_of(id(1)), None);
    let epoch_min = Epoch(6 + ENDED_MAX as u64 + 1);
    let late = transfers.begin(&whole(), &begin(TransferSide::Source), None);
    assert_eq!(late, Err(TransferError::EpochTooLow { epoch: EPOCH, epoch_min }));
    assert_eq!(transfers.cancel(id(1), EPOCH), Err(TransferError::UnknownTransfer), "nobody knows how it ended");
}

#[test]
fn what_a_shard_cannot_give_or_take_is_refused_with_what_it_owns() {
    let range = |first, last| HashRange { first: KeyHash(first), last: KeyHash(last) };
    let attempt = |ownership: Ownership, side, range| {
        let arguments = BeginTransferArguments { range, ..begin(side) };
        Transfers::default().begin(&ownership, &arguments, None)
    };
    for wrong in [range(10, 20), range(150, 300), range(300, 400), HashRange::EMPTY, range(7, 3)] {
        let refused = Err(TransferError::RangeNotOwned { owned: WHOLE });
        assert_eq!(attempt(whole(), TransferSide::Source, wrong), refused, "{wrong}");
    }
    assert!(attempt(spare(), TransferSide::Source, SPLIT).is_err());
    for wrong in [range(100, 300), range(201, 300), WHOLE, HashRange::EMPTY] {
        let refused = Err(TransferError::RangeNotAdjacent { owned: WHOLE });
        assert_eq!(attempt(whole(), TransferSide::Target, wrong), refused, "{wrong}");
    }
    assert_eq!(attempt(whole(), TransferSide::Target, range(200, 300)), Ok(()));
    assert_eq!(attempt(whole(), TransferSide::Source, WHOLE), Ok(()));
    let low = BeginTransferArguments { epoch: Epoch(1), ..begin(TransferSide::Source) };
    let refused = Err(TransferError::EpochTooLow { epoch: Epoch(1), epoch_min: Epoch(2) });
    assert_eq!(Transfers::default().begin(&whole(), &low, None), refused);
    let short = TransferError::CyclesShort { available: 1u8.into(), required: 2u8.into() };
    for (ownership, side) in [(whole(), TransferSide::Source), (spare(), TransferSide::Target)] {
        let refused = Transfers::default().begin(&ownership, &begin(side), Some(short.clone()));
        assert_eq!(refused, Err(short.clone()));
    }
}

#[test]
fn all_lists_are_bounded_and_fit_the_metadata() {
    let mut transfers = Transfers::default();
    let mut ownership = Ownership { range: HashRange::FULL, epoch: Epoch(1) };
    for number in 0..200u64 {
        let epoch = Epoch(2 + number);
        let range = HashRange { first: KeyHash(u64::MAX - number), last: ownership.range.last };
        let id = TransferId((number as u128).to_le_bytes());
        let arguments = BeginTransferArguments {
            id,
            side: TransferSide::Source,
            peer: Principal::from_slice(&[7; 29]),
            range,
            epoch,
            bytes: None,
        };
        transfers.begin(&ownership, &arguments, None).unwrap();
        transfers.hand_over(&[(1, 2); crate::transfer::copying::HAND_OVER_CHANGES_MAX], u64::MAX);
        let bytes = codec::encode(&transfers).len();
        assert!(bytes + 4_096 < crate::store::METADATA_BYTES_MAX, "{bytes}");
        transfers.learn(TransferEnd::Done, &mut ownership);
        transfers.cleared();
    }
    assert_eq!((transfers.moved.len(), transfers.ended.len()), (MOVED_MAX, ENDED_MAX));
    assert!(transfers.owner_of(KeyHash(u64::MAX - 199)).is_some());
}
