//! The methods of the router: authorise, decode, check, delegate.

use candid::Principal;
use canopy_types::api::{
    DeleteArguments, DeleteReply, DeleteResult, GetArguments, GetResult, InitArguments, PutArguments, PutReply,
    PutResult, ReadError, Record, ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult, RoutingTableResult,
};
use canopy_types::status::{Status, StatusResult};
use canopy_types::{MalformedArguments, codec};

use crate::access::{self, Role};
use crate::calls::{self, Mode};
use crate::configuration::Configuration;
use crate::refusal::Refusal;
use crate::routing::{check_value, route};
use crate::runner;
use crate::state::{self, LAYOUT_VERSION, State};

#[cfg(test)]
mod tests;

canopy_types::endpoints! {
    init(InitArguments);
    async_update "canister_update put" put(PutArguments) -> PutResult;
    async_update "canister_update get" get(GetArguments) -> GetResult;
    async_query "canister_composite_query get_query" get_query(GetArguments) -> GetResult;
    async_update "canister_update delete" delete(DeleteArguments) -> DeleteResult;
    query "canister_query routing_table" routing_table() -> RoutingTableResult;
    query "canister_query status" status() -> StatusResult;
    update "canister_update resolve_alarm" resolve_alarm(ResolveAlarmArguments) -> ResolveAlarmResult;
}

#[ic_cdk::init]
fn init(arguments: InitArguments) {
    match Configuration::from_arguments(arguments, ic_cdk::api::msg_caller()) {
        Ok(configuration) => state::set(State::create(Default::default(), &configuration)),
        Err(fault) => ic_cdk::api::trap(format!("install arguments: {fault}")),
    }
    runner::wake();
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    let (operations, step) = state::with(|state| (state.open_calls(), state.open_step.is_some()));
    if operations > 0 || step {
        let calls = operations + u32::from(step);
        ic_cdk::api::trap(format!(
            "{calls} calls are open and their answers would be lost: stop the router, then upgrade"
        ));
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade() {
    state::set(State::open(Default::default()));
    runner::wake();
}

/// Refuses strangers before they cost cycles. No protection: every method checks again.
#[ic_cdk::inspect_message]
fn inspect_message() {
    let required = access::required_role(&ic_cdk::api::msg_method_name());
    if required.is_some_and(|required| authorise(required, ic_cdk::api::msg_caller()).is_ok()) {
        ic_cdk::api::accept_message();
    }
}

#[cfg(target_family = "wasm")]
#[unsafe(export_name = "canister_global_timer")]
extern "C" fn global_timer() {
    ic_cdk::futures::internals::in_executor_context(runner::run);
}

/// Stores a value under a key.
pub async fn put(arguments: Result<PutArguments, MalformedArguments>) -> PutResult {
    runner::rearm();
    Ok(forward_put(arguments).await?)
}

/// Reads the newest record.
pub async fn get(arguments: Result<GetArguments, MalformedArguments>) -> GetResult {
    runner::rearm();
    Ok(forward_get(arguments, "get", Mode::Replicated).await?)
}

/// Reads a record from one replica.
pub async fn get_query(arguments: Result<GetArguments, MalformedArguments>) -> GetResult {
    Ok(forward_get(arguments, "get_query", Mode::Query).await?)
}

/// Removes a record.
pub async fn delete(arguments: Result<DeleteArguments, MalformedArguments>) -> DeleteResult {
    runner::rearm();
    Ok(forward_delete(arguments).await?)
}

/// Tells which shard owns which hash range.
pub fn routing_table() -> RoutingTableResult {
    let caller = ic_cdk::api::msg_caller();
    authorise(Role::Reader, caller).map_err(|_| ReadError::Unauthorised { caller })?;
    Ok(state::with(|state| state.routing.as_ref().map(|routing| routing.table.clone()).unwrap_or_default()))
}

/// Tells how the service is.
pub fn status() -> StatusResult {
    let caller = ic_cdk::api::msg_caller();
    authorise(Role::Reader, caller).map_err(|_| ReadError::Unauthorised { caller })?;
    Ok(state::with(|state| Status {
        ready: state.routing.is_some(),
        code_version: env!("CARGO_PKG_VERSION").to_string(),
        layout_version: LAYOUT_VERSION,
        shards: state.journal().shard_status(),
        journal: state.journal().status(),
        alarms: state.journal().alarms(),
        cycles: ic_cdk::api::canister_cycle_balance().into(),
        liquid_cycles: ic_cdk::api::canister_liquid_cycle_balance().into(),
        open_calls: state.open_calls(),
        administrators: state.configuration.administrators.iter().copied().collect(),
    }))
}

/// Settles an alarm as an administrator decided.
pub fn resolve_alarm(arguments: Result<ResolveAlarmArguments, MalformedArguments>) -> ResolveAlarmResult {
    runner::rearm();
    let caller = ic_cdk::api::msg_caller();
    authorise(Role::Administrator, caller).map_err(|_| ResolveAlarmError::Unauthorised { caller })?;
    let ResolveAlarmArguments { shard, resolution } =
        arguments.map_err(|malformed| ResolveAlarmError::MalformedArguments { reason: malformed.reason })?;
    let router = ic_cdk::api::canister_self();
    state::with(|state| state.change_journal(|journal| journal.resolve(shard, resolution, router)))?;
    runner::wake();
    Ok(())
}

async fn forward_put(arguments: Result<PutArguments, MalformedArguments>) -> Result<PutReply, Refusal> {
    authorise(Role::Writer, ic_cdk::api::msg_caller())?;
    let arguments = arguments?;
    check_value(&arguments.value)?;
    let shard = state::with(|state| route(state.routing.as_ref(), &arguments.key))?;
    calls::call(shard, "put", &codec::encode(&arguments), Mode::Replicated).await
}

async fn forward_get(
    arguments: Result<GetArguments, MalformedArguments>,
    method: &str,
    mode: Mode,
) -> Result<Option<Record>, Refusal> {
    authorise(Role::Reader, ic_cdk::api::msg_caller())?;
    let arguments = arguments?;
    let shard = state::with(|state| route(state.routing.as_ref(), &arguments.key))?;
    calls::call(shard, method, &codec::encode(&arguments), mode).await
}

async fn forward_delete(arguments: Result<DeleteArguments, MalformedArguments>) -> Result<DeleteReply, Refusal> {
    authorise(Role::Writer, ic_cdk::api::msg_caller())?;
    let arguments = arguments?;
    let shard = state::with(|state| route(state.routing.as_ref(), &arguments.key))?;
    calls::call(shard, "delete", &codec::encode(&arguments), Mode::Replicated).await
}

/// Checks that `caller` may do what `required` may.
fn authorise(required: Role, caller: Principal) -> Result<(), Refusal> {
    let is_controller = ic_cdk::api::is_controller(&caller);
    let role = state::with(|state| access::role(&state.configuration, caller, is_controller));
    if role >= Some(required) { Ok(()) } else { Err(Refusal::Unauthorised { caller }) }
}
