//! The plainest store: a StableBTreeMap of bytes behind methods of ic-cdk, without rights, sizes to check, or operations.
//!
//! Installed with the id of such a canister it is a thin proxy instead: every method calls the same one there, with
//! bounded wait, and hands the answer on.

use std::cell::RefCell;

use candid::{CandidType, Principal};
use ic_cdk::call::Call;
use ic_cdk::{init, update};
use ic_stable_structures::{DefaultMemoryImpl, StableBTreeMap};
use serde::Deserialize;
use serde_bytes::ByteBuf;

thread_local! {
    static MAP: RefCell<StableBTreeMap<Vec<u8>, Vec<u8>, DefaultMemoryImpl>> =
        RefCell::new(StableBTreeMap::init(DefaultMemoryImpl::default()));
    static BEHIND: RefCell<Option<Principal>> = const { RefCell::new(None) };
}

/// A record.
#[derive(CandidType, Deserialize)]
struct Record {
    key: ByteBuf,
    value: ByteBuf,
}

/// Makes a map, or a proxy of the one that is named.
#[init]
fn init(behind: Option<Principal>) {
    BEHIND.set(behind);
}

fn behind() -> Option<Principal> {
    BEHIND.with_borrow(|behind| *behind)
}

fn call(behind: Principal, method: &str) -> Call<'_, '_> {
    Call::bounded_wait(behind, method)
}

#[update]
async fn put(record: Record) {
    match behind() {
        Some(behind) => {
            call(behind, "put").with_arg(&record).await.expect("the map answers").candid().expect("nothing")
        }
        None => MAP.with_borrow_mut(|map| {
            map.insert(record.key.into_vec(), record.value.into_vec());
        }),
    }
}

#[update]
async fn get(key: ByteBuf) -> Option<ByteBuf> {
    match behind() {
        Some(behind) => call(behind, "get").with_arg(&key).await.expect("the map answers").candid().expect("a value"),
        None => MAP.with_borrow(|map| map.get(&key.into_vec()).map(ByteBuf::from)),
    }
}

#[update]
async fn put_many(records: Vec<Record>) {
    match behind() {
        Some(behind) => {
            call(behind, "put_many").with_arg(&records).await.expect("the map answers").candid().expect("nothing")
        }
        None => MAP.with_borrow_mut(|map| {
            for record in records {
                map.insert(record.key.into_vec(), record.value.into_vec());
            }
        }),
    }
}

#[update]
async fn get_many(keys: Vec<ByteBuf>) -> Vec<Option<ByteBuf>> {
    match behind() {
        Some(behind) => {
            call(behind, "get_many").with_arg(&keys).await.expect("the map answers").candid().expect("values")
        }
        None => {
            MAP.with_borrow(|map| keys.into_iter().map(|key| map.get(&key.into_vec()).map(ByteBuf::from)).collect())
        }
    }
}
