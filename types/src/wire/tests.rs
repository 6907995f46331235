//! The readers and writers against crate `candid`, both ways, on every shape that the types allow.

use candid::{CandidType, Principal};
use proptest::option;
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::arguments::{DeleteRef, GetRef, PutRef};
use super::batch::{AnswerRef, ApplyRef, ItemRef, ReplyWriter, read_answers};
use super::many::{self, DeleteManyRef, GetAnswer, GetManyRef, PutManyRef};
use super::pages::{PageWriter, is_page};
use super::replies::{self, RecordHead};
use crate::api::{
    DeleteArguments, DeleteManyArguments, DeleteManyResult, DeleteReply, DeleteResult, GetArguments, GetError,
    GetManyArguments, GetManyResult, GetResult, Operation, Precondition, PutArguments, PutManyArguments, PutManyResult,
    PutReply, PutResult, Record, ScanPage, ScanResult, ScannedRecord,
};
use crate::codec::{decode, encode};
use crate::routing::Version;
use crate::shard::{
    Action, Answer, ApplyArguments, DeleteItem, Item, PutItem, ShardApplyResult, ShardDeleteResult, ShardError,
    ShardGetResult, ShardPutResult, ShardScanResult,
};

fn blob() -> impl Strategy<Value = ByteBuf> {
    let long = prop_oneof![9 => 0usize..40, 1 => 100usize..20_000];
    long.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length)).prop_map(ByteBuf::from)
}

fn precondition() -> impl Strategy<Value = Option<Precondition>> {
    option::of(prop_oneof![
        Just(Precondition::Absent),
        Just(Precondition::Present),
        any::<u64>().prop_map(|version| Precondition::Version(Version(version))),
    ])
}

fn operation() -> impl Strategy<Value = Option<Operation>> {
    option::of((blob(), any::<u64>()).prop_map(|(id, issued_at_nanoseconds)| Operation { id, issued_at_nanoseconds }))
}

fn put() -> impl Strategy<Value = PutArguments> {
    (blob(), blob(), precondition(), option::of(any::<u64>()), operation()).prop_map(
        |(key, value, precondition, time_to_live_milliseconds, operation)| PutArguments {
            key,
            value,
            precondition,
            time_to_live_milliseconds,
            operation,
        },
    )
}

fn get() -> impl Strategy<Value = GetArguments> {
    (blob(), option::of(any::<bool>())).prop_map(|(key, include_value)| GetArguments { key, include_value })
}

fn delete() -> impl Strategy<Value = DeleteArguments> {
    (blob(), precondition(), operation()).prop_map(|(key, precondition, operation)| DeleteArguments {
        key,
        precondition,
        operation,
    })
}

fn action(plain: bool) -> BoxedStrategy<Action> {
    let plain_put = (blob(), blob()).prop_map(|(key, value)| {
        Action::Put(PutItem { key, value, precondition: None, time_to_live_milliseconds: None })
    });
    if plain {
        return plain_put.boxed();
    }
    let any_put = (blob(), blob(), precondition(), option::of(any::<u64>())).prop_map(
        |(key, value, precondition, time_to_live_milliseconds)| {
            Action::Put(PutItem { key, value, precondition, time_to_live_milliseconds })
        },
    );
    let delete =
        (blob(), precondition()).prop_map(|(key, precondition)| Action::Delete(DeleteItem { key, precondition }));
    prop_oneof![plain_put, any_put, delete, get().prop_map(Action::Get)].boxed()
}

fn batch() -> impl Strategy<Value = ApplyArguments> {
    let items = any::<bool>().prop_flat_map(|plain| {
        let item = (any::<u32>(), action(plain)).prop_map(|(index, action)| Item { index, action });
        proptest::collection::vec(item, 0..6)
    });
    let caller = proptest::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| Principal::from_slice(&bytes));
    (caller, operation(), option::of(any::<u64>()), items).prop_map(|(caller, operation, reply_bytes_max, items)| {
        ApplyArguments { caller, operation, reply_bytes_max, items }
    })
}

fn put_many() -> impl Strategy<Value = PutManyArguments> {
    let items = (any::<bool>(), any::<bool>()).prop_flat_map(|(preconditions, times)| {
        let item = (blob(), blob(), precondition(), option::of(any::<u64>())).prop_map(
            move |(key, value, precondition, time)| PutItem {
                key,
                value,
                precondition: precondition.filter(|_| preconditions),
                time_to_live_milliseconds: time.filter(|_| times),
            },
        );
        proptest::collection::vec(item, 0..6)
    });
    (items, operation()).prop_map(|(items, operation)| PutManyArguments { items, operation })
}

fn get_many() -> impl Strategy<Value = GetManyArguments> {
    (proptest::collection::vec(blob(), 0..6), option::of(any::<bool>()))
        .prop_map(|(keys, include_value)| GetManyArguments { keys, include_value })
}

fn delete_many() -> impl Strategy<Value = DeleteManyArguments> {
    let item = (blob(), precondition()).prop_map(|(key, precondition)| DeleteItem { key, precondition });
    (proptest::collection::vec(item, 0..6), operation())
        .prop_map(|(items, operation)| DeleteManyArguments { items, operation })
}

fn version() -> impl Strategy<Value = Version> {
    any::<u64>().prop_map(Version)
}

fn record() -> impl Strategy<Value = Record> {
    (blob(), version(), option::of(any::<u64>()), any::<bool>()).prop_map(
        |(value, version, expires_at_nanoseconds, include)| {
            let value_bytes = (!include).then_some(value.len() as u64);
            let value = if include { value } else { ByteBuf::new() };
            Record { value, version, expires_at_nanoseconds, value_bytes }
        },
    )
}

fn error() -> impl Strategy<Value = ShardError> {
    prop_oneof![
        Just(ShardError::KeyEmpty),
        option::of(version()).prop_map(|found| ShardError::PreconditionFailed { found }),
        any::<u64>().prop_map(|bytes| ShardError::AskAgain { bytes }),
        any::<u64>().prop_map(|retry_after_milliseconds| ShardError::Growing { retry_after_milliseconds }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let done = prop_oneof![
        version().prop_map(|version| Answer::Put(Ok(PutReply { version }))),
        option::of(version()).prop_map(|deleted| Answer::Delete(Ok(DeleteReply { deleted }))),
        option::of(record()).prop_map(|record| Answer::Get(Ok(record))),
    ];
    let refused = (0..3, error()).prop_map(|(kind, error)| match kind {
        0 => Answer::Put(Err(error)),
        1 => Answer::Delete(Err(error)),
        _ => Answer::Get(Err(error)),
    });
    prop_oneof![3 => done, 1 => refused]
}

fn head(record: &Record) -> RecordHead {
    RecordHead {
        version: record.version,
        expires_at_nanoseconds: record.expires_at_nanoseconds,
        value_bytes: record.value_bytes.map_or(record.value.len(), |bytes| bytes as usize),
        include_value: record.value_bytes.is_none(),
    }
}

/// Changes, cuts and lengthens a message.
fn damaged(message: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = message.len();
    (0..length, any::<u8>(), 0..4).prop_map(move |(at, byte, kind)| {
        let mut damaged = message.clone();
        match kind {
            0 => damaged[at] = byte,
            1 => damaged.truncate(at),
            2 => damaged.insert(at, byte),
            _ => damaged.push(byte),
        }
        damaged
    })
}

proptest! {
    #[test]
    fn puts_of_both_encoders_are_read_alike(put in put()) {
        let by_hand = PutRef::from(&put).write();
        let in_general = encode(&put);
        prop_assert_eq!(PutRef::read(&by_hand), Some(PutRef::from(&put)));
        prop_assert_eq!(PutRef::read(&in_general), Some(PutRef::from(&put)));
        prop_assert_eq!(decode::<PutArguments>(&by_hand), Ok(put));
        prop_assert!(by_hand.len() <= in_general.len());
    }

    #[test]
    fn gets_and_deletes_of_both_encoders_are_read_alike(get in get(), delete in delete()) {
        let by_hand = GetRef::from(&get).write();
        prop_assert_eq!(GetRef::read(&by_hand), Some(GetRef::from(&get)));
        let in_general = encode(&get);
        prop_assert_eq!(GetRef::read(&in_general), Some(GetRef::from(&get)));
        prop_assert_eq!(decode::<GetArguments>(&by_hand), Ok(get));
        let by_hand = DeleteRef::from(&delete).write();
        prop_assert_eq!(DeleteRef::read(&by_hand), Some(DeleteRef::from(&delete)));
        let in_general = encode(&delete);
        prop_assert_eq!(DeleteRef::read(&in_general), Some(DeleteRef::from(&delete)));
        prop_assert_eq!(decode::<DeleteArguments>(&by_hand), Ok(delete));
    }

    #[test]
    fn batches_of_both_encoders_are_read_alike(batch in batch()) {
        let by_hand = ApplyRef::from(&batch).write();
        prop_assert_eq!(ApplyRef::read(&by_hand), Some(ApplyRef::from(&batch)));
        prop_assert_eq!(decode::<ApplyArguments>(&by_hand), Ok(batch.clone()));
        prop_assert_eq!(ApplyRef::from(&batch).to_owned(), batch);
    }

    #[test]
    fn batches_for_the_router_of_both_encoders_are_read_alike(
        put in put_many(), get in get_many(), delete in delete_many(),
    ) {
        prop_assert_eq!(many::announced(&PutManyRef::from(&put).write()), Some(put.items.len()));
        prop_assert_eq!(many::announced(&encode(&get)), Some(get.keys.len()));
        prop_assert_eq!(many::announced(&DeleteManyRef::from(&delete).write()), Some(delete.items.len()));
        prop_assert_eq!(many::announced(&encode(&())), None);
        let by_hand = PutManyRef::from(&put).write();
        let in_general = encode(&put);
        prop_assert_eq!(PutManyRef::read(&by_hand), Some(PutManyRef::from(&put)));
        prop_assert_eq!(PutManyRef::read(&in_general), Some(PutManyRef::from(&put)));
        prop_assert!(by_hand.len() <= in_general.len());
        prop_assert_eq!(decode::<PutManyArguments>(&by_hand), Ok(put));
        let by_hand = GetManyRef::from(&get).write();
        prop_assert_eq!(GetManyRef::read(&by_hand), Some(GetManyRef::from(&get)));
        let in_general = encode(&get);
        prop_assert_eq!(GetManyRef::read(&in_general), Some(GetManyRef::from(&get)));
        prop_assert_eq!(decode::<GetManyArguments>(&by_hand), Ok(get));
        let by_hand = DeleteManyRef::from(&delete).write();
        prop_assert_eq!(DeleteManyRef::read(&by_hand), Some(DeleteManyRef::from(&delete)));
        let in_general = encode(&delete);
        prop_assert_eq!(DeleteManyRef::read(&in_general), Some(DeleteManyRef::from(&delete)));
        prop_assert_eq!(decode::<DeleteManyArguments>(&by_hand), Ok(delete));
    }

    #[test]
    fn what_is_read_of_a_damaged_batch_is_what_the_general_decoder_reads(
        put in put_many().prop_flat_map(|batch| damaged(PutManyRef::from(&batch).write())),
        get in get_many().prop_flat_map(|batch| damaged(GetManyRef::from(&batch).write())),
        delete in delete_many().prop_flat_map(|batch| damaged(DeleteManyRef::from(&batch).write())),
    ) {
        if let Some(read) = PutManyRef::read(&put) {
            let general: PutManyArguments = decode(&put).unwrap();
            prop_assert_eq!(read, PutManyRef::from(&general));
        }
        if let Some(read) = GetManyRef::read(&get) {
            let general: GetManyArguments = decode(&get).unwrap();
            prop_assert_eq!(read, GetManyRef::from(&general));
        }
        if let Some(read) = DeleteManyRef::read(&delete) {
            let general: DeleteManyArguments = decode(&delete).unwrap();
            prop_assert_eq!(read, DeleteManyRef::from(&general));
        }
    }

    #[test]
    fn replies_to_the_routers_batches_say_what_was_answered(
        versions in proptest::collection::vec(version(), 0..6),
        deleted in proptest::collection::vec(option::of(version()), 0..6),
        found in proptest::collection::vec((option::of(record()), option::of(any::<u64>())), 0..6),
    ) {
        let reply = many::puts_done(versions.iter().copied());
        let expected: Vec<PutResult> = versions.iter().map(|&version| Ok(PutReply { version })).collect();
        prop_assert_eq!(decode::<PutManyResult>(&reply), Ok(Ok(expected)));
        prop_assert_eq!(many::read_puts_done(&reply), Some(versions));
        let reply = many::deletes_done(deleted.iter().copied());
        let expected: Vec<DeleteResult> = deleted.iter().map(|&deleted| Ok(DeleteReply { deleted })).collect();
        prop_assert_eq!(decode::<DeleteManyResult>(&reply), Ok(Ok(expected)));
        let answers = found.iter().map(|(record, again)| match (record, again) {
            (_, Some(bytes)) => GetAnswer::AskAgain(*bytes),
            (Some(record), None) => GetAnswer::Record(head(record), &record.value),
            (None, None) => GetAnswer::Nothing,
        });
        let mut reply = vec![];
        many::gets_answered(answers, |piece| reply.extend_from_slice(piece));
        let expected: Vec<GetResult> = found
            .iter()
            .map(|(record, again)| match again {
                Some(bytes) => Err(GetError::AskAgain { bytes: *bytes }),
                None => Ok(record.clone()),
            })
            .collect();
        prop_assert_eq!(decode::<GetManyResult>(&reply), Ok(Ok(expected)));
    }

    #[test]
    fn pages_say_what_was_found(
        records in proptest::collection::vec((blob(), record()), 0..6), cursor in option::of(blob()), cut in any::<usize>(),
    ) {
        let mut writer = PageWriter::new();
        for (key, record) in &records {
            writer.record(key, &head(record), &record.value);
        }
        let page = writer.finish(cursor.as_ref().map(|cursor| cursor.as_slice()));
        prop_assert!(is_page(&page));
        prop_assert!(!is_page(&page[..cut % page.len()]));
        let scanned = |(key, record): (ByteBuf, Record)| ScannedRecord {
            key,
            value: record.value,
            version: record.version,
            expires_at_nanoseconds: record.expires_at_nanoseconds,
            value_bytes: record.value_bytes,
        };
        let expected = ScanPage { records: records.into_iter().map(scanned).collect(), cursor };
        prop_assert_eq!(decode::<ShardScanResult>(&page), Ok(Ok(expected.clone())));
        prop_assert_eq!(decode::<ScanResult>(&page), Ok(Ok(expected)));
    }

    #[test]
    fn what_is_read_of_a_damaged_reply_is_what_the_general_decoder_reads(
        reply in proptest::collection::vec(answer(), 0..6).prop_flat_map(|answers| damaged(reply_of(&answers))),
    ) {
        if let Some(read) = read_answers(&reply, 6) {
            let general: ShardApplyResult = decode(&reply).unwrap();
            prop_assert_eq!(read.into_iter().map(owned).collect::<Vec<_>>(), general.unwrap());
        }
    }

    #[test]
    fn what_is_read_of_a_damaged_message_is_what_the_general_decoder_reads(
        message in put().prop_flat_map(|put| damaged(PutRef::from(&put).write())),
        batch in batch().prop_flat_map(|batch| damaged(ApplyRef::from(&batch).write())),
        delete in delete().prop_flat_map(|delete| damaged(DeleteRef::from(&delete).write())),
        get in get().prop_flat_map(|get| damaged(GetRef::from(&get).write())),
    ) {
        if let Some(read) = PutRef::read(&message) {
            let general: PutArguments = decode(&message).unwrap();
            prop_assert_eq!(read, PutRef::from(&general));
        }
        if let Some(read) = ApplyRef::read(&batch) {
            let general: ApplyArguments = decode(&batch).unwrap();
            prop_assert_eq!(read, ApplyRef::from(&general));
        }
        if let Some(read) = DeleteRef::read(&delete) {
            let general: DeleteArguments = decode(&delete).unwrap();
            prop_assert_eq!(read, DeleteRef::from(&general));
        }
        if let Some(read) = GetRef::read(&get) {
            let general: GetArguments = decode(&get).unwrap();
            prop_assert_eq!(read, GetRef::from(&general));
        }
    }

    #[test]
    fn random_bytes_are_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for message in [bytes.clone(), [b"DIDL", &bytes[..]].concat()] {
            prop_assert!(PutRef::read(&message).is_none() && ApplyRef::read(&message).is_none());
            prop_assert!(GetRef::read(&message).is_none() && DeleteRef::read(&message).is_none());
            prop_assert!(replies::read_put(&message).is_none() && !replies::is_get(&message));
            prop_assert!(replies::read_delete(&message).is_none() && read_answers(&message, 1).is_none());
        }
    }

    #[test]
    fn replies_are_those_of_router_and_shard(version in version(), deleted in option::of(version()), record in record()) {
        let reply = replies::put(version);
        prop_assert_eq!(decode::<PutResult>(&reply), Ok(Ok(PutReply { version })));
        prop_assert_eq!(decode::<ShardPutResult>(&reply), Ok(Ok(PutReply { version })));
        prop_assert_eq!(replies::read_put(&reply), Some(version));
        let reply = replies::delete(deleted);
        prop_assert_eq!(decode::<DeleteResult>(&reply), Ok(Ok(DeleteReply { deleted })));
        prop_assert_eq!(decode::<ShardDeleteResult>(&reply), Ok(Ok(DeleteReply { deleted })));
        prop_assert_eq!(replies::read_delete(&reply), Some(deleted));
        let head = head(&record);
        let mut reply = replies::begin_record(&head);
        if head.include_value {
            reply.extend_from_slice(&record.value);
        }
        replies::end_record(&mut reply, &head);
        prop_assert!(replies::is_get(&reply));
        prop_assert_eq!(decode::<GetResult>(&reply), Ok(Ok(Some(record.clone()))));
        prop_assert_eq!(decode::<ShardGetResult>(&reply), Ok(Ok(Some(record))));
        reply.pop();
        prop_assert!(!replies::is_get(&reply));
        prop_assert_eq!(decode::<GetResult>(&replies::no_record()), Ok(Ok(None)));
        prop_assert!(replies::is_get(&replies::no_record()));
    }

    #[test]
    fn replies_of_batches_say_what_was_answered(answers in proptest::collection::vec(answer(), 0..8)) {
        let reply = reply_of(&answers);
        prop_assert_eq!(decode::<ShardApplyResult>(&reply), Ok(Ok(answers.clone())));
        let ordinary = |answer: &Answer| match answer {
            Answer::Put(Err(error)) | Answer::Delete(Err(error)) => matches!(error, ShardError::PreconditionFailed { .. }),
            Answer::Get(Err(error)) => matches!(error, ShardError::AskAgain { .. }),
            _ => true,
        };
        match read_answers(&reply, answers.len()) {
            Some(read) => prop_assert_eq!(read.into_iter().map(owned).collect::<Vec<_>>(), answers.clone()),
            None => prop_assert!(!answers.iter().all(ordinary)),
        }
        prop_assert!(answers.is_empty() || read_answers(&reply, answers.len() - 1).is_none());
    }
}

/// Writes the reply to a batch as a shard does.
fn reply_of(answers: &[Answer]) -> Vec<u8> {
    let actions: Vec<Action> = answers.iter().map(asked).collect();
    let items: Vec<Item> = (0..).zip(actions).map(|(index, action)| Item { index, action }).collect();
    let batch = ApplyArguments { caller: Principal::anonymous(), operation: None, reply_bytes_max: None, items };
    let items: Vec<ItemRef> = ApplyRef::from(&batch).items;
    let mut writer = ReplyWriter::new(&items);
    for answer in answers.iter().cloned() {
        match answer {
            Answer::Put(result) => writer.put(result.map(|reply| reply.version)),
            Answer::Delete(result) => writer.delete(result.map(|reply| reply.deleted)),
            Answer::Get(Ok(Some(record))) => {
                writer.record(&head(&record), |reply| reply.extend_from_slice(&record.value));
            }
            Answer::Get(result) => writer.no_record(result.map(|_| ())),
        }
    }
    writer.finish()
}

fn owned(answer: AnswerRef) -> Answer {
    match answer {
        AnswerRef::Nothing => Answer::Get(Ok(None)),
        AnswerRef::Record(head, value) => Answer::Get(Ok(Some(Record {
            value: ByteBuf::from(value),
            version: head.version,
            expires_at_nanoseconds: head.expires_at_nanoseconds,
            value_bytes: (!head.include_value).then_some(head.value_bytes as u64),
        }))),
        AnswerRef::Put(version) => Answer::Put(Ok(PutReply { version })),
        AnswerRef::Deleted(deleted) => Answer::Delete(Ok(DeleteReply { deleted })),
        AnswerRef::PutRefused(found) => Answer::Put(Err(ShardError::PreconditionFailed { found })),
        AnswerRef::DeleteRefused(found) => Answer::Delete(Err(ShardError::PreconditionFailed { found })),
        AnswerRef::AskAgain(bytes) => Answer::Get(Err(ShardError::AskAgain { bytes })),
    }
}

/// Asks for what was answered; a put with a refused precondition had one.
fn asked(answer: &Answer) -> Action {
    let key = ByteBuf::from("k");
    match answer {
        Answer::Get(_) => Action::Get(GetArguments { key, include_value: None }),
        Answer::Delete(_) => Action::Delete(DeleteItem { key, precondition: None }),
        Answer::Put(result) => {
            let conditional = matches!(result, Err(ShardError::PreconditionFailed { .. }));
            let precondition = conditional.then_some(Precondition::Absent);
            Action::Put(PutItem { key, value: ByteBuf::new(), precondition, time_to_live_milliseconds: None })
        }
    }
}

#[test]
fn every_refusal_is_read_as_what_it_is() {
    let (bytes, bytes_max, found) = (5, 1 << 40, Some(Version(7)));
    let range = crate::HashRange::FULL;
    let refusals = [
        ShardError::MalformedArguments { reason: "no ünicode".to_string() },
        ShardError::Unauthorised { caller: Principal::anonymous() },
        ShardError::KeyEmpty,
        ShardError::KeyTooLong { bytes, bytes_max },
        ShardError::ValueTooLong { bytes, bytes_max },
        ShardError::PreconditionFailed { found },
        ShardError::PreconditionFailed { found: None },
        ShardError::OperationIdLength { bytes, bytes_required: 16 },
        ShardError::OperationTooOld { oldest_nanoseconds: 9 },
        ShardError::OperationFromTheFuture { newest_nanoseconds: 9 },
        ShardError::OperationIdReused,
        ShardError::TooManyOperations { operations_max: 3 },
        ShardError::TimeToLiveOutOfBounds { milliseconds: 0, milliseconds_min: 1, milliseconds_max: 2 },
        ShardError::KeyCollides { keys_max: 32 },
        ShardError::AskAgain { bytes },
        ShardError::TooManyItems { items: 2, items_max: 1 },
        ShardError::Growing { retry_after_milliseconds: 2_000 },
        ShardError::OutOfSpace,
        ShardError::Moving { retry_after_milliseconds: 9, changes: None },
        ShardError::Moving { retry_after_milliseconds: 9, changes: Some(70_000) },
    ];
    for refusal in refusals {
        let reply = super::refusals::shard_error(&refusal).unwrap();
        assert!(reply.len() < 128);
        assert_eq!(decode::<ShardPutResult>(&reply), Ok(Err(refusal.clone())));
        assert_eq!(decode::<ShardApplyResult>(&reply), Ok(Err(refusal)));
    }
    let wrong = crate::shard::WrongShard { range, epoch: crate::Epoch::FIRST, owner: None, moved: None };
    assert_eq!(super::refusals::shard_error(&ShardError::WrongShard(wrong)), None);
}

#[test]
fn clients_of_key_and_value_alone_are_read_by_hand() {
    #[derive(CandidType)]
    struct Put {
        key: ByteBuf,
        value: ByteBuf,
    }
    #[derive(CandidType)]
    struct Key {
        key: ByteBuf,
    }
    let message = encode(&Put { key: ByteBuf::from("k"), value: ByteBuf::from("v") });
    assert_eq!(PutRef::read(&message), Some(PutRef::from(&PutArguments::new(b"k".to_vec(), b"v".to_vec()))));
    assert_eq!(PutRef::from(&PutArguments::new(b"k".to_vec(), b"v".to_vec())).write(), message);
    let message = encode(&Key { key: ByteBuf::from("k") });
    assert!(GetRef::read(&message).is_some() && DeleteRef::read(&message).is_some());
}

#[test]
fn words_are_compared_like_bytes() {
    for length in 0..40 {
        let left: Vec<u8> = (0..length).collect();
        assert!(super::equal_bytes(&left, &left.clone()));
        for at in 0..left.len() {
            let mut right = left.clone();
            right[at] ^= 0x80;
            assert!(!super::equal_bytes(&left, &right), "{length} {at}");
        }
        assert!(!super::equal_bytes(&left, &[&left[..], &[0]].concat()));
    }
}

#[test]
fn everyday_messages_are_short() {
    let key = vec![1; 32];
    let put = PutArguments::new(key.clone(), vec![2; 1_024]);
    assert_eq!(PutRef::from(&put).write().len(), 32 + 1_024 + 25);
    let operation = Some(Operation { id: ByteBuf::from(vec![3; 16]), issued_at_nanoseconds: 4 });
    let action = Action::Put(PutItem {
        key: ByteBuf::from(key),
        value: put.value.clone(),
        precondition: None,
        time_to_live_milliseconds: None,
    });
    let items = vec![Item { index: 0, action }];
    let caller = Principal::from_slice(&[5; 29]);
    let batch = ApplyArguments { caller, operation, reply_bytes_max: None, items };
    assert_eq!(ApplyRef::from(&batch).write().len(), 32 + 1_024 + 29 + 16 + 109);
    assert_eq!(replies::put(Version(1)).len(), 30);
    let head = RecordHead { version: Version(1), expires_at_nanoseconds: None, value_bytes: 0, include_value: true };
    let mut reply = replies::begin_record(&head);
    replies::end_record(&mut reply, &head);
    assert_eq!(reply.len(), 42);
}

#[test]
fn chunks_by_hand_read_as_what_they_are() {
    use crate::api::uploads::{Chunk, GetChunkResult};
    use crate::uploads::Digest;
    for bytes in [vec![7; 1], vec![8; 200], vec![9; 1 << 20]] {
        let digest = Digest::of(&bytes);
        let mut reply = super::uploads::begin_chunk(&digest.0, bytes.len());
        reply.extend_from_slice(&bytes);
        assert!(super::uploads::is_chunk(&reply));
        assert!(!super::uploads::is_chunk(&reply[..reply.len() - 1]));
        let chunk = Chunk { bytes: bytes.into(), digest };
        assert_eq!(decode::<GetChunkResult>(&reply).unwrap(), Ok(chunk.clone()));
        // What crate candid writes is not it, and is read in general.
        assert!(!super::uploads::is_chunk(&encode(&GetChunkResult::Ok(chunk))));
    }
}
