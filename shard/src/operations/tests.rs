use super::*;
use crate::state::tests::arguments;
use canopy_types::codec::decode;
use canopy_types::shard::{Answer, ApplyArguments, ShardApplyResult, ShardGetResult};
use canopy_types::{PutReply, Record};
use ic_stable_structures::DefaultMemoryImpl;
use serde_bytes::ByteBuf;

const NOW: u64 = 1_780_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;

fn state() -> State {
    let mut state = State::create(DefaultMemoryImpl::default(), &arguments());
    state.store.observe_clock(NOW);
    state
}

fn plain<'a>(key: &'a [u8], value: &'a [u8]) -> PutRef<'a> {
    PutRef { key, value, precondition: None, time_to_live_milliseconds: None, operation: None }
}

fn nobody() -> Origin<'static> {
    Origin { caller: &[1], operation: None, index: 0 }
}

fn operation(id: &[u8], issued_at_nanoseconds: u64) -> OperationRef<'_> {
    OperationRef { id, issued_at_nanoseconds }
}

fn record(state: &mut State, key: &[u8]) -> Option<Record> {
    let reply = state.get(&GetRef { key, include_value: None }).unwrap();
    decode::<ShardGetResult>(&reply).unwrap().unwrap()
}

#[test]
fn preconditions_decide_and_tell_what_was_found() {
    let mut state = state();
    let conditional = |precondition| PutRef { precondition: Some(precondition), ..plain(b"k", b"v") };
    let failed = |found| Err(ShardError::PreconditionFailed { found });
    assert_eq!(state.put(&nobody(), &conditional(Precondition::Present)), failed(None));
    let first = state.put(&nobody(), &conditional(Precondition::Absent)).unwrap();
    assert_eq!(state.put(&nobody(), &conditional(Precondition::Absent)), failed(Some(first)));
    assert_eq!(state.put(&nobody(), &conditional(Precondition::Version(Version(1)))), failed(Some(first)));
    let second = state.put(&nobody(), &conditional(Precondition::Version(first))).unwrap();
    let delete = |precondition| DeleteRef { key: b"k", precondition: Some(precondition), operation: None };
    assert_eq!(
        state.delete(&nobody(), &delete(Precondition::Version(first))).map(|_| Version(0)),
        failed(Some(second))
    );
    assert_eq!(state.delete(&nobody(), &delete(Precondition::Present)), Ok(Some(second)));
    assert_eq!(state.delete(&nobody(), &delete(Precondition::Absent)), Ok(None));
}

#[test]
fn operation_sent_again_is_told_what_it_did() {
    let mut state = state();
    let id = [7; 16];
    let origin = Origin { operation: Some(operation(&id, NOW)), ..nobody() };
    let version = state.put(&origin, &plain(b"k", b"v")).unwrap();
    let later = state.put(&nobody(), &plain(b"k", b"w")).unwrap();
    assert_eq!(state.put(&origin, &plain(b"k", b"v")), Ok(version));
    assert_eq!(record(&mut state, b"k").unwrap().version, later, "nothing was written again");
    assert_eq!(state.put(&origin, &plain(b"k", b"other")), Err(ShardError::OperationIdReused));
    let delete = DeleteRef { key: b"k", precondition: None, operation: None };
    assert_eq!(state.delete(&origin, &delete), Err(ShardError::OperationIdReused));
    // Another caller's, or another item of the batch, is another operation.
    assert!(state.put(&Origin { caller: &[2], ..origin }, &plain(b"k", b"v")).unwrap() > later);
    assert!(state.put(&Origin { index: 1, ..origin }, &plain(b"k", b"v")).unwrap() > later);
    let origin = Origin { operation: Some(operation(&[8; 16], NOW)), ..nobody() };
    let deleted = state.delete(&origin, &delete).unwrap();
    assert!(deleted.is_some());
    assert_eq!(state.delete(&origin, &delete), Ok(deleted));
}

#[test]
fn failed_precondition_is_remembered_too() {
    let mut state = state();
    let origin = Origin { operation: Some(operation(&[7; 16], NOW)), ..nobody() };
    let put = PutRef { precondition: Some(Precondition::Present), ..plain(b"k", b"v") };
    assert_eq!(state.put(&origin, &put), Err(ShardError::PreconditionFailed { found: None }));
    state.put(&nobody(), &plain(b"k", b"w")).unwrap();
    assert_eq!(state.put(&origin, &put), Err(ShardError::PreconditionFailed { found: None }));
}

#[test]
fn operations_out_of_their_time_or_form_are_refused_with_numbers() {
    let mut state = state();
    let mut put = |id: &[u8], issued| {
        state.put(&Origin { operation: Some(operation(id, issued)), ..nobody() }, &plain(b"k", b"v")).unwrap_err()
    };
    let oldest_nanoseconds = NOW - 15 * MINUTE;
    assert_eq!(put(&[1; 16], oldest_nanoseconds), ShardError::OperationTooOld { oldest_nanoseconds });
    let newest_nanoseconds = NOW + MINUTE;
    assert_eq!(put(&[1; 16], newest_nanoseconds + 1), ShardError::OperationFromTheFuture { newest_nanoseconds });
    assert_eq!(put(&[1; 15], NOW), ShardError::OperationIdLength { bytes: 15, bytes_required: 16 });
    assert_eq!(record(&mut state, b"k"), None);
}

#[test]
fn record_ends_with_its_time_to_live() {
    let mut state = state();
    let short = PutRef { time_to_live_milliseconds: Some(1_000), ..plain(b"k", b"v") };
    state.put(&nobody(), &short).unwrap();
    let expires = record(&mut state, b"k").unwrap().expires_at_nanoseconds;
    assert_eq!(expires, Some(NOW + 1_000_000_000));
    state.store.observe_clock(NOW + 1_000_000_000);
    assert_eq!(record(&mut state, b"k"), None);
    for milliseconds in [0, TIME_TO_LIVE_MILLISECONDS_MAX + 1, u64::MAX] {
        let refused = state.put(&nobody(), &PutRef { time_to_live_milliseconds: Some(milliseconds), ..short });
        assert!(matches!(refused, Err(ShardError::TimeToLiveOutOfBounds { .. })), "{refused:?}");
    }
}

#[test]
fn get_without_value_tells_its_length() {
    let mut state = state();
    let version = state.put(&nobody(), &plain(b"k", b"value")).unwrap();
    let reply = state.get(&GetRef { key: b"k", include_value: Some(false) }).unwrap();
    let record = decode::<ShardGetResult>(&reply).unwrap().unwrap().unwrap();
    let expected = Record { value: ByteBuf::new(), version, expires_at_nanoseconds: None, value_bytes: Some(5) };
    assert_eq!(record, expected);
}

fn apply(state: &mut State, items: Vec<ActionRef>, reply_bytes_max: Option<u64>) -> Vec<Answer> {
    let items = (0..).zip(items).map(|(index, action)| canopy_types::wire::ItemRef { index, action }).collect();
    let batch = ApplyRef { caller: &[1], operation: None, reply_bytes_max, items };
    let (mut reply, mut longest) = (vec![], 0);
    let rest = state.apply(&batch, |piece| {
        longest = piece.len().max(longest);
        reply.extend_from_slice(piece);
    });
    assert!(longest < 16 * 1_024, "a piece of {longest} bytes");
    reply.extend(rest.unwrap());
    decode::<ShardApplyResult>(&reply).unwrap().unwrap()
}

#[test]
fn batch_answers_each_item_in_order() {
    let mut state = state();
    let get = |key: &'static [u8]| ActionRef::Get(GetRef { key, include_value: None });
    let items = vec![
        get(b"a"),
        ActionRef::Put(plain(b"a", b"1")),
        get(b"a"),
        ActionRef::Put(plain(b"", b"1")),
        ActionRef::Put(PutRef { precondition: Some(Precondition::Absent), ..plain(b"a", b"2") }),
        ActionRef::Delete(DeleteRef { key: b"a", precondition: None, operation: None }),
        ActionRef::Delete(DeleteRef { key: b"a", precondition: None, operation: None }),
    ];
    let answers = apply(&mut state, items, None);
    let Answer::Put(Ok(PutReply { version })) = answers[1] else { panic!("{answers:?}") };
    let expected = vec![
        Answer::Get(Ok(None)),
        Answer::Put(Ok(PutReply { version })),
        Answer::Get(Ok(Some(Record {
            value: ByteBuf::from("1"),
            version,
            expires_at_nanoseconds: None,
            value_bytes: None,
        }))),
        Answer::Put(Err(ShardError::KeyEmpty)),
        Answer::Put(Err(ShardError::PreconditionFailed { found: Some(version) })),
        Answer::Delete(Ok(canopy_types::DeleteReply { deleted: Some(version) })),
        Answer::Delete(Ok(canopy_types::DeleteReply { deleted: None })),
    ];
    assert_eq!(answers, expected);
}

#[test]
fn values_beyond_the_allowance_are_asked_for_again() {
    let mut state = state();
    for key in [b"a", b"b", b"c"] {
        state.put(&nobody(), &plain(key, &[7; 1_000])).unwrap();
    }
    let get = |key: &'static [u8]| ActionRef::Get(GetRef { key, include_value: None });
    let answers = apply(&mut state, vec![get(b"a"), get(b"b"), get(b"c")], Some(2_600));
    let asked = answers.iter().filter(|answer| **answer == Answer::Get(Err(ShardError::AskAgain { bytes: 1_000 })));
    assert_eq!(asked.count(), 1);
    assert!(matches!(answers[0], Answer::Get(Ok(Some(_)))));
    assert!(apply(&mut state, vec![get(b"a")], Some(0))[0] == Answer::Get(Err(ShardError::AskAgain { bytes: 1_000 })));
}

#[test]
fn gets_are_answered_in_pieces_also_beside_an_answer_that_is_rare() {
    let mut state = state();
    let keys: Vec<[u8; 1]> = (0..40).map(|at| [at]).collect();
    for key in &keys[..39] {
        state.put(&nobody(), &plain(key, &[key[0]; 1_000])).unwrap();
    }
    for rare in [None, Some(Err(ShardError::KeyEmpty))] {
        let gets = keys.iter().map(|key| ActionRef::Get(GetRef { key, include_value: None }));
        let empty = ActionRef::Get(GetRef { key: b"", include_value: None });
        let answers = apply(&mut state, gets.chain(rare.is_some().then_some(empty)).collect(), None);
        for (at, answer) in (0..39).zip(&answers) {
            let Answer::Get(Ok(Some(record))) = answer else { panic!("{answer:?}") };
            assert_eq!(record.value, [at; 1_000]);
        }
        assert_eq!(answers[39], Answer::Get(Ok(None)));
        assert_eq!(answers.get(40), rare.map(Answer::Get).as_ref());
    }
}

#[test]
fn batch_that_is_too_long_does_nothing() {
    let mut state = state();
    let items = vec![ActionRef::Put(plain(b"k", b"v")); BATCH_ITEMS_MAX + 1];
    let items = items.into_iter().map(|action| canopy_types::wire::ItemRef { index: 0, action }).collect();
    let batch = ApplyRef { caller: &[1], operation: None, reply_bytes_max: None, items };
    let refused = state.apply(&batch, |_| ()).unwrap_err();
    assert_eq!(refused, ShardError::TooManyItems { items: 4_097, items_max: 4_096 });
    assert_eq!(record(&mut state, b"k"), None);
    let owned: ApplyArguments = batch.to_owned();
    assert_eq!(owned.items.len(), 4_097);
}

#[test]
fn values_that_differ_in_a_byte_or_in_length_are_condensed_differently() {
    for length in [0, 1, 7, 31, 32, 33, 64, 100] {
        let value: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let condensed = condense(&value);
        for at in 0..length {
            for bit in 0..8 {
                let mut other = value.clone();
                other[at] ^= 1 << bit;
                assert_ne!(condense(&other), condensed, "byte {at} of {length}");
            }
        }
        let longer = [&value[..], &[0]].concat();
        assert_ne!(condense(&longer), condensed);
    }
    let uniform: std::collections::BTreeSet<u64> = (0..=255).map(|byte| condense(&[byte; 1_000])).collect();
    assert_eq!(uniform.len(), 256);
}
