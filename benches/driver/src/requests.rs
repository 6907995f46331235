//! Messages to the services.

use candid::{CandidType, Principal};
use canopy_types::api::ScanArguments;
use canopy_types::wire::{ActionRef, ApplyRef, GetManyRef, GetRef, ItemRef, OperationRef, PutManyRef, PutRef};
use canopy_types::{HashRange, KeyHash, Operation, Precondition, Version, codec};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::keys::{KEY_BYTES, key, value};

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Get,
    Put,
    Scan,
}

/// A message.
pub struct Message {
    pub callee: Principal,
    pub method: &'static str,
    pub bytes: Vec<u8>,
}

/// What messages have in common.
pub struct Writing<'a> {
    pub value_bytes: u64,
    /// Name of the writes, if they have one.
    pub operation: Option<(&'a [u8; 16], u64)>,
    pub own_table: bool,
    /// Who calls.
    pub caller: &'a [u8],
}

/// A record of the naive map.
#[derive(CandidType, Deserialize)]
pub struct MapRecord {
    key: ByteBuf,
    value: ByteBuf,
}

/// Arguments of a put, and a field that nobody knows: a type table that no client of Canopy's sends.
#[derive(CandidType)]
struct OtherPut {
    key: ByteBuf,
    value: ByteBuf,
    operation: Option<Operation>,
    note: Option<u64>,
}

#[derive(CandidType)]
struct OtherGet {
    key: ByteBuf,
    note: Option<u64>,
}

impl Writing<'_> {
    fn operation(&self) -> Option<OperationRef<'_>> {
        self.operation.map(|(id, issued_at_nanoseconds)| OperationRef { id, issued_at_nanoseconds })
    }

    /// Writes a get of one record, to router or shard.
    pub fn get(&self, number: u64) -> (&'static str, Vec<u8>) {
        let key = key(number);
        let bytes = match self.own_table {
            true => codec::encode(&OtherGet { key: blob(&key), note: None }),
            false => GetRef { key: &key, include_value: None }.write(),
        };
        ("get", bytes)
    }

    /// Writes a put of one record, to router or shard; if a version is given, over that one only.
    pub fn put(&self, number: u64, over: Option<Version>) -> (&'static str, Vec<u8>) {
        let (key, value) = (key(number), value(number, self.value_bytes));
        let bytes = if self.own_table {
            let operation =
                self.operation.map(|(id, issued_at_nanoseconds)| Operation { id: blob(id), issued_at_nanoseconds });
            codec::encode(&OtherPut { key: blob(&key), value: ByteBuf::from(value), operation, note: None })
        } else {
            let precondition = over.map(Precondition::Version);
            let operation = self.operation();
            PutRef { key: &key, value: &value, precondition, time_to_live_milliseconds: None, operation }.write()
        };
        ("put", bytes)
    }

    /// Writes a batch to the router.
    pub fn many(&self, action: Action, numbers: &[u64]) -> (&'static str, Vec<u8>) {
        let keys: Vec<[u8; KEY_BYTES]> = numbers.iter().map(|&number| key(number)).collect();
        if action == Action::Get {
            let keys = keys.iter().map(|key| key.as_slice()).collect();
            return ("get_many", GetManyRef { keys, include_value: None }.write());
        }
        let value = value(numbers.first().copied().unwrap_or(0), self.value_bytes);
        let items = keys.iter().map(|key| plain_put(key, &value)).collect();
        ("put_many", PutManyRef { items, operation: self.operation() }.write())
    }

    /// Writes a batch to a shard.
    pub fn apply(&self, action: Action, numbers: &[u64]) -> (&'static str, Vec<u8>) {
        let keys: Vec<[u8; KEY_BYTES]> = numbers.iter().map(|&number| key(number)).collect();
        let value = value(numbers.first().copied().unwrap_or(0), self.value_bytes);
        let item = |(index, key)| match action {
            Action::Get => ItemRef { index, action: ActionRef::Get(GetRef { key, include_value: None }) },
            _ => ItemRef { index, action: ActionRef::Put(plain_put(key, &value)) },
        };
        let items = (0..).zip(keys.iter().map(|key| key.as_slice())).map(item).collect();
        let operation = if action == Action::Put { self.operation() } else { None };
        ("apply", ApplyRef { caller: self.caller, operation, reply_bytes_max: None, items }.write())
    }

    /// Writes a message about one record to the naive map.
    pub fn map_one(&self, action: Action, number: u64) -> (&'static str, Vec<u8>) {
        match action {
            Action::Get => ("get", codec::encode(&blob(&key(number)))),
            _ => ("put", codec::encode(&self.map_record(number))),
        }
    }

    /// Writes a batch to the naive map.
    pub fn map_many(&self, action: Action, numbers: &[u64]) -> (&'static str, Vec<u8>) {
        match action {
            Action::Get => {
                let keys: Vec<ByteBuf> = numbers.iter().map(|&number| blob(&key(number))).collect();
                ("get_many", codec::encode(&keys))
            }
            _ => {
                let records: Vec<MapRecord> = numbers.iter().map(|&number| self.map_record(number)).collect();
                ("put_many", codec::encode(&records))
            }
        }
    }

    fn map_record(&self, number: u64) -> MapRecord {
        MapRecord { key: blob(&key(number)), value: ByteBuf::from(value(number, self.value_bytes)) }
    }
}

/// Writes a scan of so many records from a hash on.
pub fn scan(from: u64, records_max: u32) -> (&'static str, Vec<u8>) {
    let range = HashRange { first: KeyHash(from), last: KeyHash(u64::MAX) };
    let arguments = ScanArguments { records_max: Some(records_max), range: Some(range), ..ScanArguments::default() };
    ("scan", codec::encode(&arguments))
}

fn plain_put<'a>(key: &'a [u8], value: &'a [u8]) -> PutRef<'a> {
    PutRef { key, value, precondition: None, time_to_live_milliseconds: None, operation: None }
}

fn blob(bytes: &[u8]) -> ByteBuf {
    ByteBuf::from(bytes.to_vec())
}
