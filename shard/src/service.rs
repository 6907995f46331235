//! The methods of a shard: decode, check, delegate.

use canopy_types::MalformedArguments;
use canopy_types::api::{DeleteArguments, DeleteReply, GetArguments, PutArguments, PutReply, Record};
use canopy_types::shard::{
    ShardDeleteResult, ShardError, ShardGetResult, ShardInfo, ShardInfoResult, ShardInitArguments, ShardPutResult,
};
use serde_bytes::ByteBuf;

use crate::access::check_value;
use crate::growth::{RETRY_AFTER_MILLISECONDS, Verdict};
use crate::state::{self, LAYOUT_VERSION, State};

#[cfg(test)]
mod tests;

canopy_types::endpoints! {
    init(ShardInitArguments);
    update "canister_update put" put(PutArguments) -> ShardPutResult;
    update "canister_update get" get(GetArguments) -> ShardGetResult;
    query "canister_query get_query" get_query(GetArguments) -> ShardGetResult;
    update "canister_update delete" delete(DeleteArguments) -> ShardDeleteResult;
    query "canister_query info" info() -> ShardInfoResult;
}

#[ic_cdk::init]
fn init(arguments: ShardInitArguments) {
    state::set(State::create(Default::default(), arguments));
}

#[ic_cdk::post_upgrade]
fn post_upgrade() {
    state::set(State::open(Default::default()));
}

/// Refuses strangers before they cost cycles. No protection: every method checks again.
#[ic_cdk::inspect_message]
fn inspect_message() {
    if state::with(|state| state.obeys(ic_cdk::api::msg_caller())) {
        ic_cdk::api::accept_message();
    }
}

/// Adds memory ahead of need.
#[cfg(target_family = "wasm")]
#[unsafe(export_name = "canister_global_timer")]
extern "C" fn global_timer() {
    ic_cdk::futures::internals::in_executor_context(|| {
        if !state::with(State::grow) {
            ic_cdk::api::debug_print("no more stable memory");
        }
    });
}

/// Stores a record in place of what was there.
pub fn put(arguments: Result<PutArguments, MalformedArguments>) -> ShardPutResult {
    state::with(|state| {
        state.identity.check_caller(ic_cdk::api::msg_caller())?;
        let arguments = arguments.map_err(malformed)?;
        let hash = state.identity.place(&arguments.key)?;
        check_value(&arguments.value)?;
        let now = ic_cdk::api::time();
        let unused = state.unused_pages();
        if state.growth.request(unused, now) {
            ic_cdk::api::global_timer_set(now);
        }
        match state.growth.judge(unused, now) {
            Verdict::Enough => {}
            Verdict::Growing => {
                return Err(ShardError::Growing { retry_after_milliseconds: RETRY_AFTER_MILLISECONDS });
            }
            Verdict::OutOfSpace => return Err(ShardError::OutOfSpace),
        }
        Ok(PutReply { version: state.store.put(hash, &arguments.key, &arguments.value, now) })
    })
}

/// Reads a record.
pub fn get(arguments: Result<GetArguments, MalformedArguments>) -> ShardGetResult {
    state::with(|state| {
        state.identity.check_caller(ic_cdk::api::msg_caller())?;
        let arguments = arguments.map_err(malformed)?;
        let hash = state.identity.place(&arguments.key)?;
        let record = state.store.get(hash, &arguments.key);
        Ok(record.map(|(version, value)| Record { value: ByteBuf::from(value), version }))
    })
}

/// Reads a record, for the router's composite query.
pub fn get_query(arguments: Result<GetArguments, MalformedArguments>) -> ShardGetResult {
    get(arguments)
}

/// Removes a record.
pub fn delete(arguments: Result<DeleteArguments, MalformedArguments>) -> ShardDeleteResult {
    state::with(|state| {
        state.identity.check_caller(ic_cdk::api::msg_caller())?;
        let arguments = arguments.map_err(malformed)?;
        let hash = state.identity.place(&arguments.key)?;
        Ok(DeleteReply { deleted: state.store.delete(hash, &arguments.key, ic_cdk::api::time()) })
    })
}

/// Tells what the shard is and holds.
pub fn info() -> ShardInfoResult {
    state::with(|state| {
        state.identity.check_caller(ic_cdk::api::msg_caller())?;
        Ok(ShardInfo {
            code_version: env!("CARGO_PKG_VERSION").to_string(),
            layout_version: LAYOUT_VERSION,
            index: state.identity.index,
            router: state.identity.router,
            range: state.identity.range,
            epoch: state.identity.epoch,
            secret_fingerprint: state.identity.secret.fingerprint(),
            records: state.store.len(),
            record_bytes: state.store.record_bytes(),
            stable_bytes: state.stable_bytes(),
            last_version: state.store.last_version(),
            out_of_space: state.growth.has_failed(),
            cycles: ic_cdk::api::canister_cycle_balance().into(),
        })
    })
}

fn malformed(arguments: MalformedArguments) -> ShardError {
    ShardError::MalformedArguments { reason: arguments.reason }
}
