//! Arguments that are out of bounds or no Candid at all.

use candid::Principal;
use canopy_types::api::InitArguments;
use canopy_types::codec::encode;
use canopy_types::limits::{
    ADMINISTRATORS_MAX, INITIAL_SHARDS_MAX, KEY_BYTES_MAX, REQUEST_ITEMS_MAX, ROLE_PRINCIPALS_MAX, SHARD_CYCLES_MAX,
    SHARD_CYCLES_MIN, TIME_TO_LIVE_MILLISECONDS_MAX, VALUE_BYTES_MAX,
};
use canopy_types::wire::GetManyRef;
use canopy_types::{
    BatchError, DeleteArguments, DeleteError, DeleteResult, GetError, GetManyResult, Operation, PutArguments, PutError,
    PutItem, PutManyArguments, PutManyResult, PutResult,
};
use pocket_ic::ErrorCode;
use serde_bytes::ByteBuf;

use crate::cluster::{Cluster, Reply, T, get_arguments, no_arguments, put_arguments};
use crate::methods::{Kind, Method, Refusal, UPLOADS_FOR_ROUTERS, WITNESS_KEY, router_methods, shard_methods};
use crate::people::{administrator, person, reader, writer};

#[test]
fn an_empty_key_is_refused() {
    let cluster = Cluster::builder().ready();
    assert_eq!(cluster.put(writer(), b"", b"value"), Err(PutError::KeyEmpty));
    assert_eq!(cluster.get(reader(), b""), Err(GetError::KeyEmpty));
    assert_eq!(cluster.get_query(reader(), b""), Err(GetError::KeyEmpty));
    assert_eq!(cluster.delete(writer(), b""), Err(DeleteError::KeyEmpty));
}

#[test]
fn a_key_above_the_limit_is_refused_with_both_numbers() {
    let cluster = Cluster::builder().ready();
    let accepted = vec![b'k'; KEY_BYTES_MAX];
    cluster.store(&accepted, b"value");
    let before = cluster.load(&accepted);
    for excess in [1, KEY_BYTES_MAX, VALUE_BYTES_MAX] {
        let key = vec![b'k'; KEY_BYTES_MAX + excess];
        let (bytes, bytes_max) = (key.len() as u64, KEY_BYTES_MAX as u64);
        assert_eq!(cluster.put(writer(), &key, b"other"), Err(PutError::KeyTooLong { bytes, bytes_max }));
        assert_eq!(cluster.get(reader(), &key), Err(GetError::KeyTooLong { bytes, bytes_max }));
        assert_eq!(cluster.get_query(reader(), &key), Err(GetError::KeyTooLong { bytes, bytes_max }));
        assert_eq!(cluster.delete(writer(), &key), Err(DeleteError::KeyTooLong { bytes, bytes_max }));
    }
    assert_eq!(cluster.load(&accepted), before);
}

#[test]
fn put_rejects_value_above_limit() {
    let cluster = Cluster::builder().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    let value = vec![1; VALUE_BYTES_MAX + 1];
    let (bytes, bytes_max) = (value.len() as u64, VALUE_BYTES_MAX as u64);
    assert_eq!(cluster.put(writer(), WITNESS_KEY, &value), Err(PutError::ValueTooLong { bytes, bytes_max }));
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

const OTHER_FIELDS: &str = "a record of other fields";

/// Makes messages that are no arguments of any method with parameters, each with a name.
fn malformed_arguments() -> Vec<(&'static str, Vec<u8>)> {
    let valid = encode(&put_arguments(WITNESS_KEY, b"changed"));
    let mut long = b"DIDL\x00\x00".to_vec();
    long.resize(VALUE_BYTES_MAX, 0);
    vec![
        ("empty bytes", vec![]),
        ("garbage", vec![0xff; 100]),
        ("zeros", vec![0; 1_000]),
        ("the magic alone", b"DIDL".to_vec()),
        ("a cut type table", valid[..valid.len() / 3].to_vec()),
        ("a cut value", valid[..valid.len() - 1].to_vec()),
        ("a number", encode(&42_u64)),
        ("a text", encode(&"put")),
        (OTHER_FIELDS, encode(&InitArguments::default())),
        ("no arguments", no_arguments()),
        ("a mebibyte after no arguments", long),
        ("a long vector of nulls", vector_of_nulls()),
        ("a vector of nulls in an unknown field", record_with_vector_of_nulls()),
        ("a blob longer than the message", blob_longer_than_the_message()),
        ("a deep type in an unknown field", record_with_deep_option()),
        ("a deep value in an unknown field", record_with_deep_value(BOMB_DEPTH * 10)),
        ("options in options", deep_type(&[OPTION])),
        ("vectors in vectors", deep_type(&[VECTOR])),
        ("records in records", deep_type(&[RECORD, 1, 0])),
    ]
}

/// Instructions that reading a malformed argument of up to 2 MiB may take, beside the fees.
const DECODING_INSTRUCTIONS_MAX: u128 = 400_000_000;

/// Fees of an update from outside: its execution, its message, and each byte of the message with its envelope.
const MESSAGE_CYCLES: u128 = 6_200_000;
const BYTE_CYCLES: u128 = 2_000;
const ENVELOPE_BYTES_MAX: u128 = 1_000;

/// Calls every method with every malformed argument, and checks that each answers with a typed error at a bounded cost.
fn check_malformed_arguments(cluster: &Cluster, canister: Principal, methods: &[Method]) {
    let mut most = (0, "", "");
    for method in methods {
        for (name, argument) in malformed_arguments() {
            let (bytes, before) = (argument.len() as u128, cluster.pic.cycle_balance(canister));
            let reply = call(cluster, canister, method, argument);
            let spent = before.saturating_sub(cluster.pic.cycle_balance(canister));
            let fees = MESSAGE_CYCLES + BYTE_CYCLES * (bytes + ENVELOPE_BYTES_MAX);
            let instructions = spent.saturating_sub(fees);
            assert!(instructions <= DECODING_INSTRUCTIONS_MAX, "{} with {name}: {instructions}", method.name);
            most = most.max((instructions, method.name, name));
            let reply = reply.unwrap_or_else(|reject| panic!("{} with {name}: {reject}", method.name));
            if method.argument == no_arguments() || (all_optional(method.name) && name == OTHER_FIELDS) {
                // Methods without parameters may ignore what they are sent, and where every field is optional, a record
                // of others is a record of none.
                continue;
            }
            assert_eq!((method.refusal)(&reply), Some(Refusal::Malformed), "{} with {name}", method.name);
        }
    }
    println!("at most {} instructions, for {} with {}", most.0, most.1, most.2);
}

/// Tells whether all fields of a method's argument are optional.
fn all_optional(method: &str) -> bool {
    matches!(method, "scan" | "scan_query" | "scrub" | "set_policy")
}

fn call(cluster: &Cluster, canister: Principal, method: &Method, argument: Vec<u8>) -> Reply {
    match method.kind {
        Kind::Update => cluster.update_raw(canister, administrator(), method.name, argument),
        Kind::Query | Kind::CompositeQuery => cluster.query_raw(canister, administrator(), method.name, argument),
    }
}

#[test]
fn malformed_candid_is_answered_by_every_method_of_the_router() {
    let cluster = Cluster::builder().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    // Only shards ask for this, and their messages are well formed; users' don't get in.
    let methods: Vec<Method> = router_methods().into_iter().filter(|method| method.name != "collect_uploads").collect();
    check_malformed_arguments(&cluster, cluster.router, &methods);
    assert_eq!(cluster.load(WITNESS_KEY), before);
    assert_eq!(cluster.status().alarms, vec![]);
}

#[test]
fn malformed_candid_is_answered_by_every_method_of_a_shard() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    // Only the router sends roles, and only shards hand over: their messages are well formed, and users' don't get in.
    let of_canisters = ["set_roles", "import_batch", "hand_over"];
    let methods: Vec<Method> =
        shard_methods().into_iter().filter(|method| !of_canisters.contains(&method.name)).collect();
    let methods: Vec<Method> =
        methods.into_iter().filter(|method| !UPLOADS_FOR_ROUTERS.contains(&method.name)).collect();
    check_malformed_arguments(&cluster, cluster.shards()[0], &methods);
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

/// Makes batches that say or hold much more than may be: name, message, items if the answer tells them.
fn batch_bombs() -> Vec<(&'static str, Vec<u8>, Option<u64>)> {
    const ANNOUNCED: u64 = 200_000_000;
    const EMPTY_KEYS: u64 = 1_000_000;
    let without_items = GetManyRef { keys: vec![], include_value: None }.write();
    let (table, _) = without_items.split_at(without_items.len() - 1);
    let announces = [table, &leb128(ANNOUNCED)].concat();
    let holds = [table, &leb128(EMPTY_KEYS), &vec![0; EMPTY_KEYS as usize]].concat();
    // The same keys behind a table that only the general decoder reads: a field more.
    let mut fields = [("keys", 1, vec![]), ("surprise", 3, vec![])]
        .map(|(name, index, value): (_, _, Vec<u8>)| (candid::idl_hash(name), index, value));
    fields[0].2 = [leb128(EMPTY_KEYS), vec![0; EMPTY_KEYS as usize]].concat();
    fields[1].2 = vec![0];
    fields.sort();
    let mut general = b"DIDL\x04".to_vec();
    general.extend([RECORD, 2]);
    for (hash, index, _) in &fields {
        general.extend(leb128(u64::from(*hash)));
        general.extend(type_index(*index));
    }
    general.extend([VECTOR, 2, VECTOR, NAT8, OPTION, NULL, 1, 0]);
    general.extend(fields.into_iter().flat_map(|(_, _, value)| value));
    vec![
        ("a batch that announces items", announces, Some(ANNOUNCED)),
        ("a batch of empty keys", holds, Some(EMPTY_KEYS)),
        ("a batch of empty keys and a field more", general, None),
    ]
}

#[test]
fn batches_that_hold_or_announce_too_much_cost_little() {
    /// The general decoder reads keys one by one until its quota ends it.
    const INSTRUCTIONS_MAX: u128 = 6_000_000_000;
    let cluster = Cluster::builder().initial_shards(1).ready();
    for (name, argument, items) in batch_bombs() {
        let (bytes, before) = (argument.len() as u128, cluster.pic.cycle_balance(cluster.router));
        let result: GetManyResult = {
            let reply = cluster.update_raw(cluster.router, reader(), "get_many", argument);
            let reply = reply.unwrap_or_else(|reject| panic!("{name}: {reject}"));
            canopy_types::codec::decode(&reply).expect("get_many answers what its interface says")
        };
        let spent = before.saturating_sub(cluster.pic.cycle_balance(cluster.router));
        let instructions = spent.saturating_sub(MESSAGE_CYCLES + BYTE_CYCLES * (bytes + ENVELOPE_BYTES_MAX));
        println!("{name}: {instructions} instructions, {result:?}");
        match (items, result) {
            (Some(items), refused) => {
                let items_max = REQUEST_ITEMS_MAX as u64;
                assert_eq!(refused, Err(BatchError::TooManyItems { items, items_max }), "{name}");
                assert!(instructions < 50_000_000, "{name}: {instructions}");
            }
            (None, Err(BatchError::TooManyItems { .. } | BatchError::MalformedArguments { .. })) => {
                assert!(instructions < INSTRUCTIONS_MAX, "{name}: {instructions}");
            }
            (None, other) => panic!("{name}: {other:?}"),
        }
    }
    cluster.store(WITNESS_KEY, b"value");
}

#[test]
fn operations_out_of_their_time_are_refused_with_the_bound_and_change_nothing() {
    const SECOND: u64 = 1_000_000_000;
    let cluster = Cluster::builder().ready();
    cluster.store(WITNESS_KEY, b"value");
    let before = cluster.load(WITNESS_KEY);
    let now = cluster.pic.get_time().as_nanos_since_unix_epoch();
    for (issued_at_nanoseconds, is_old) in
        [(now - 16 * 60 * SECOND, true), (now + 120 * SECOND, false), (0, true), (u64::MAX, false)]
    {
        let operation = Some(Operation { id: ByteBuf::from(vec![7; 16]), issued_at_nanoseconds });
        let put = PutArguments { operation: operation.clone(), ..put_arguments(WITNESS_KEY, b"other") };
        let delete = DeleteArguments { operation: operation.clone(), ..DeleteArguments::new(WITNESS_KEY.to_vec()) };
        let batch = PutManyArguments { items: vec![PutItem::new(WITNESS_KEY.to_vec(), b"other".to_vec())], operation };
        let put: PutResult = cluster.update(cluster.router, writer(), "put", &put);
        let delete: DeleteResult = cluster.update(cluster.router, writer(), "delete", &delete);
        let batch: PutManyResult = cluster.update(cluster.router, writer(), "put_many", &batch);
        let item = batch.expect("the batch is admitted").remove(0);
        for answer in [put, item] {
            match answer {
                Err(PutError::OperationTooOld { oldest_nanoseconds }) => {
                    assert!(is_old && oldest_nanoseconds > now - 16 * 60 * SECOND && oldest_nanoseconds < now);
                }
                Err(PutError::OperationFromTheFuture { newest_nanoseconds }) => {
                    assert!(!is_old && newest_nanoseconds > now && newest_nanoseconds < now + 120 * SECOND);
                }
                other => panic!("{other:?}"),
            }
        }
        let refused =
            matches!(delete, Err(DeleteError::OperationTooOld { .. } | DeleteError::OperationFromTheFuture { .. }));
        assert!(refused, "{delete:?}");
    }
    assert_eq!(cluster.load(WITNESS_KEY), before);
}

#[test]
fn times_to_live_out_of_bounds_are_refused_with_the_bounds() {
    let cluster = Cluster::builder().ready();
    let put = |milliseconds| -> PutResult {
        let put = PutArguments { time_to_live_milliseconds: Some(milliseconds), ..put_arguments(WITNESS_KEY, b"") };
        cluster.update(cluster.router, writer(), "put", &put)
    };
    let (milliseconds_min, milliseconds_max) = (1_000, TIME_TO_LIVE_MILLISECONDS_MAX);
    for milliseconds in [0, 999, milliseconds_max + 1, 2 * milliseconds_max, u64::MAX] {
        let error = PutError::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max };
        assert_eq!(put(milliseconds), Err(error));
    }
    assert_eq!(cluster.load(WITNESS_KEY), None);
    for milliseconds in [milliseconds_min, milliseconds_max] {
        put(milliseconds).expect("the bounds themselves are accepted, with a value of no bytes");
    }
    assert!(cluster.load(WITNESS_KEY).expect("the record was put").value.is_empty());
}

#[test]
fn fields_that_a_later_version_may_add_are_ignored() {
    #[derive(candid::CandidType)]
    struct LaterPutArguments {
        key: serde_bytes::ByteBuf,
        value: serde_bytes::ByteBuf,
        expires_after_seconds: Option<u64>,
        labels: Vec<String>,
    }
    let cluster = Cluster::builder().ready();
    let later = LaterPutArguments {
        key: serde_bytes::ByteBuf::from(WITNESS_KEY),
        value: serde_bytes::ByteBuf::from("value"),
        expires_after_seconds: Some(60),
        labels: vec!["label".to_string(); 10],
    };
    let result: canopy_types::PutResult = cluster.update(cluster.router, writer(), "put", &later);
    let version = result.expect("unknown fields don't matter").version;
    assert_eq!(cluster.load(WITNESS_KEY).expect("the record was put").version, version);
}

#[test]
fn values_of_every_depth_in_an_unknown_field_are_answered() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let mut accepted = 0;
    for depth in (0..12_000).step_by(500) {
        let reply = cluster.update_raw(cluster.router, administrator(), "put", record_with_deep_value(depth));
        let reply = reply.unwrap_or_else(|reject| panic!("depth {depth}: {reject}"));
        match canopy_types::codec::decode::<canopy_types::PutResult>(&reply) {
            Ok(Ok(_)) => accepted += 1,
            Ok(Err(PutError::MalformedArguments { .. })) => {}
            other => panic!("depth {depth}: {other:?}"),
        }
    }
    assert!(accepted > 0, "shallow values are ignored");
}

#[test]
fn unknown_methods_are_rejected_by_the_platform() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let rejections = [ErrorCode::CanisterMethodNotFound, ErrorCode::CanisterRejectedMessage];
    for canister in [cluster.router, cluster.shards()[0]] {
        let update = cluster.update_raw(canister, administrator(), "put_all", encode(&get_arguments(b"key")));
        let reject = update.expect_err("there is no such method");
        assert!(rejections.contains(&reject.error_code), "{reject}");
        let query = cluster.query_raw(canister, administrator(), "put_all", encode(&get_arguments(b"key")));
        assert_eq!(query.expect_err("there is no such method").error_code, ErrorCode::CanisterMethodNotFound);
        let query = cluster.query_raw(canister, administrator(), "put", encode(&put_arguments(WITNESS_KEY, b"value")));
        assert_eq!(query.expect_err("put is no query").error_code, ErrorCode::CanisterMethodNotFound);
    }
    assert_eq!(cluster.load(WITNESS_KEY), None);
}

#[test]
fn nonsense_arguments_are_refused_when_the_router_is_installed() {
    let people = |count: usize| (0..count).map(|number| person(&format!("person {number}"))).collect::<Vec<_>>();
    let builders = [
        ("no shards", Cluster::builder().initial_shards(0)),
        ("too many shards", Cluster::builder().initial_shards(INITIAL_SHARDS_MAX + 1)),
        ("a great many shards", Cluster::builder().initial_shards(u32::MAX)),
        ("too many administrators", Cluster::builder().administrators(Some(people(ADMINISTRATORS_MAX + 1)))),
        ("too many writers", Cluster::builder().writers(people(ROLE_PRINCIPALS_MAX + 1))),
        ("too many readers", Cluster::builder().readers(people(ROLE_PRINCIPALS_MAX + 1))),
        ("too few cycles per shard", Cluster::builder().shard_cycles(SHARD_CYCLES_MIN - 1)),
        ("too many cycles per shard", Cluster::builder().shard_cycles(SHARD_CYCLES_MAX + 1)),
        ("more cycles per shard than there are", Cluster::builder().shard_cycles(u128::MAX)),
        ("garbage", Cluster::builder().raw_arguments(vec![0xff; 100])),
        ("empty bytes", Cluster::builder().raw_arguments(vec![])),
        ("a number", Cluster::builder().raw_arguments(encode(&42_u64))),
    ];
    for (name, builder) in builders {
        let Err(reject) = builder.cycles(10 * T).try_deploy() else { panic!("{name} was accepted") };
        assert_eq!(reject.error_code, ErrorCode::CanisterCalledTrap, "{name}: {reject}");
        let text = reject.reject_message.split_once("with message: ").map(|(_, text)| text).unwrap_or_default();
        assert!(text.len() > 20, "{name} is refused without a text: {reject}");
    }
}

#[test]
fn the_largest_sensible_arguments_are_accepted() {
    let people = |role: &str, count: usize| (0..count).map(|number| person(&format!("{role} {number}"))).collect();
    let mut administrators: Vec<Principal> = people("administrator", ADMINISTRATORS_MAX - 1);
    administrators.push(administrator());
    let cluster = Cluster::builder()
        .initial_shards(1)
        .administrators(Some(administrators))
        .writers(people("writer", ROLE_PRINCIPALS_MAX))
        .readers(people("reader", ROLE_PRINCIPALS_MAX))
        .ready();
    cluster.put(person("writer 999"), b"key", b"value").expect("the last writer may put");
    cluster.get(person("reader 999"), b"key").expect("the last reader may get").expect("the record was put");
}

// Candid by hand --------------------------------------------------------------------------------------------------------

/// Elements that a few bytes describe.
const BOMB_ELEMENTS: u64 = 2_000_000_000;

/// Depth of nested types and values.
const BOMB_DEPTH: usize = 20_000;

const NULL: u8 = 0x7f;
const NAT8: u8 = 0x7b;
const VECTOR: u8 = 0x6d;
const OPTION: u8 = 0x6e;
const RECORD: u8 = 0x6c;

fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Writes an index of the type table, which is signed.
fn type_index(index: usize) -> Vec<u8> {
    let mut bytes = leb128(index as u64);
    if bytes.last().is_some_and(|last| last & 0x40 != 0) {
        *bytes.last_mut().expect("a number has at least one byte") |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn vector_of_nulls() -> Vec<u8> {
    let mut bytes = b"DIDL\x01".to_vec();
    bytes.extend([VECTOR, NULL, 1, 0]);
    bytes.extend(leb128(BOMB_ELEMENTS));
    bytes
}

/// Makes the record of a put with one more field, whose types and value are given. Type 0 is the blob, type 1 the
/// record, and the field is of type 2.
fn record_with_field(types: &[Vec<u8>], value: &[u8]) -> Vec<u8> {
    let mut fields: Vec<(u32, usize, Vec<u8>)> = vec![
        (candid::idl_hash("key"), 0, [leb128(WITNESS_KEY.len() as u64), WITNESS_KEY.to_vec()].concat()),
        (candid::idl_hash("value"), 0, vec![1, b'v']),
        (candid::idl_hash("surprise"), 2, value.to_vec()),
    ];
    fields.sort();
    let mut bytes = b"DIDL".to_vec();
    bytes.extend(leb128(2 + types.len() as u64));
    bytes.extend([VECTOR, NAT8, RECORD, fields.len() as u8]);
    for (hash, index, _) in &fields {
        bytes.extend(leb128(u64::from(*hash)));
        bytes.extend(type_index(*index));
    }
    bytes.extend(types.concat());
    bytes.extend([1, 1]);
    bytes.extend(fields.into_iter().flat_map(|(_, _, value)| value));
    bytes
}

fn record_with_vector_of_nulls() -> Vec<u8> {
    record_with_field(&[vec![VECTOR, NULL]], &leb128(BOMB_ELEMENTS))
}

fn blob_longer_than_the_message() -> Vec<u8> {
    let mut bytes = b"DIDL\x02".to_vec();
    bytes.extend([VECTOR, NAT8, RECORD, 1]);
    bytes.extend(leb128(u64::from(candid::idl_hash("key"))));
    bytes.extend([0, 1, 1]);
    bytes.extend(leb128(u64::from(u32::MAX)));
    bytes.extend(b"short");
    bytes
}

fn record_with_deep_option() -> Vec<u8> {
    let option_of = |index: usize| [vec![OPTION], type_index(index)].concat();
    let mut types: Vec<Vec<u8>> = (0..BOMB_DEPTH).map(|depth| option_of(depth + 3)).collect();
    types.push(vec![OPTION, NULL]);
    record_with_field(&types, &vec![1; BOMB_DEPTH + 1])
}

fn record_with_deep_value(depth: usize) -> Vec<u8> {
    let mut value = vec![1; depth];
    value.push(0);
    record_with_field(&[[vec![OPTION], type_index(2)].concat()], &value)
}

/// Makes a value of a type that consists of `constructor` applied many times, where the decoder accepts as many types.
fn deep_type(constructor: &[u8]) -> Vec<u8> {
    const DEPTH: usize = 9_000;
    let mut bytes = b"DIDL".to_vec();
    bytes.extend(leb128(DEPTH as u64 + 1));
    for index in 1..=DEPTH {
        bytes.extend(constructor);
        bytes.extend(type_index(index));
    }
    bytes.extend([RECORD, 0, 1, 0]);
    bytes.extend([1; DEPTH]);
    bytes
}
