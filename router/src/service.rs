//! The methods of the router: authorise, decode, check, delegate.

use candid::Principal;
use canopy_types::api::{
    DeleteArguments, DeleteResult, GetArguments, GetResult, InitArguments, PutArguments, PutResult, ReadError,
    ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult, RoutingTableResult,
};
use canopy_types::policy::{PolicyResult, SetPolicyArguments, SetPolicyError, SetPolicyResult};
use canopy_types::roles::{
    Grant, GrantError, GrantResult, RenewRolesResult, RevokeError, RevokeResult, Role, Roles, RolesResult,
};
use canopy_types::status::{RolesStatus, Status, StatusResult};
use canopy_types::{MalformedArguments, RoutingTableReply, codec};
use serde_bytes::ByteBuf;

use crate::access;
use crate::calls::Mode;
use crate::configuration::Configuration;
use crate::refusal::{Method, Refusal, write_plainly};
use crate::state::{self, LAYOUT_VERSION, State};
use crate::{operations, runner};

#[cfg(test)]
mod tests;

canopy_types::endpoints! {
    init(InitArguments);
    raw_async_update "canister_update put" put(PutArguments) -> PutResult;
    raw_async_update "canister_update get" get(GetArguments) -> GetResult;
    raw_async_query "canister_composite_query get_query" get_query(GetArguments) -> GetResult;
    raw_async_update "canister_update delete" delete(DeleteArguments) -> DeleteResult;
    query "canister_query routing_table" routing_table() -> RoutingTableResult;
    query "canister_query status" status() -> StatusResult;
    update "canister_update resolve_alarm" resolve_alarm(ResolveAlarmArguments) -> ResolveAlarmResult;
    update "canister_update grant" grant(Grant) -> GrantResult;
    update "canister_update revoke" revoke(Grant) -> RevokeResult;
    query "canister_query roles" roles() -> RolesResult;
    update "canister_update renew_roles" renew_roles() -> RenewRolesResult;
    query "canister_query policy" policy() -> PolicyResult;
    update "canister_update set_policy" set_policy(SetPolicyArguments) -> SetPolicyResult;
}

#[ic_cdk::init]
fn init(arguments: InitArguments) {
    match Configuration::from_arguments(arguments, ic_cdk::api::msg_caller()) {
        Ok(configuration) => state::set(State::create(Default::default(), &configuration, ic_cdk::api::time())),
        Err(fault) => ic_cdk::api::trap(format!("install arguments: {fault}")),
    }
    runner::wake();
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    let calls = state::with(|state| {
        state.open_calls() as usize
            + usize::from(state.open_step.is_some())
            + state.telling.open()
            + state.settling.open()
    });
    if calls > 0 {
        ic_cdk::api::trap(format!(
            "{calls} calls are open and their answers would be lost: stop the router, then upgrade"
        ));
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade() {
    state::set(State::open(Default::default(), ic_cdk::api::time()));
    runner::wake();
}

/// Refuses strangers before they cost cycles. No protection: every method checks again.
#[ic_cdk::inspect_message]
fn inspect_message() {
    let required = access::required_role(&ic_cdk::api::msg_method_name());
    if required.is_some_and(|required| access::authorise(required, ic_cdk::api::msg_caller()).is_ok()) {
        ic_cdk::api::accept_message();
    }
}

#[cfg(target_family = "wasm")]
#[unsafe(export_name = "canister_global_timer")]
extern "C" fn global_timer() {
    ic_cdk::futures::internals::in_executor_context(runner::run);
}

/// Stores a value under a key.
pub async fn put() {
    runner::rearm();
    let caller = counted_caller();
    let done = operations::put(&ic_cdk::api::msg_arg_data()).await;
    count_reply(caller, &done);
    ic_cdk::api::msg_reply(done.unwrap_or_else(|refusal| {
        write_plainly(&refusal, Method::Write).unwrap_or_else(|| codec::encode(&PutResult::Err(refusal.into())))
    }));
}

/// Reads the newest record.
pub async fn get() {
    runner::rearm();
    answer_get("get", Mode::Replicated).await;
}

/// Reads a record from one replica.
pub async fn get_query() {
    answer_get("get_query", Mode::Query).await;
}

async fn answer_get(method: &str, mode: Mode) {
    let caller = counted_caller();
    let found = operations::get(&ic_cdk::api::msg_arg_data(), method, mode).await;
    count_reply(caller, &found);
    ic_cdk::api::msg_reply(found.unwrap_or_else(|refusal| {
        write_plainly(&refusal, Method::Read).unwrap_or_else(|| codec::encode(&GetResult::Err(refusal.into())))
    }));
}

/// Removes a record.
pub async fn delete() {
    runner::rearm();
    let caller = counted_caller();
    let done = operations::delete(&ic_cdk::api::msg_arg_data()).await;
    count_reply(caller, &done);
    ic_cdk::api::msg_reply(done.unwrap_or_else(|refusal| {
        write_plainly(&refusal, Method::Write).unwrap_or_else(|| codec::encode(&DeleteResult::Err(refusal.into())))
    }));
}

/// Tells who calls, if callers are counted.
fn counted_caller() -> Option<Principal> {
    access::are_counted().then(ic_cdk::api::msg_caller)
}

/// Counts a reply, but not a refusal.
fn count_reply(caller: Option<Principal>, done: &Result<Vec<u8>, Refusal>) {
    if let (Some(caller), Ok(reply)) = (caller, done) {
        access::count_reply(caller, reply.len());
    }
}

/// Tells which shard owns which hash range, and the secret of the hash to who holds a role by name.
pub fn routing_table() -> RoutingTableResult {
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Reader, caller).map_err(|_| ReadError::Unauthorised { caller })?;
    let is_named = access::authorise_by_name(Role::Reader, caller).is_ok();
    Ok(state::with(|state| match &state.routing {
        None => RoutingTableReply::default(),
        Some(routing) => RoutingTableReply {
            routes: routing.table.routes.clone(),
            secret: is_named.then(|| ByteBuf::from(routing.secret.as_bytes().to_vec())),
            digest: Some(routing.table.digest()),
        },
    }))
}

/// Tells how the service is.
pub fn status() -> StatusResult {
    let caller = ic_cdk::api::msg_caller();
    access::authorise_by_name(Role::Reader, caller).map_err(|_| ReadError::Unauthorised { caller })?;
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
        administrators: state.grants().administrators().collect(),
        roles: Some(RolesStatus {
            version: state.grants().version(),
            untold: state.telling.untold(),
            unsettled: state.grants().unsettled().shards().count() as u64,
            control_failed: state.settling.untold(),
        }),
    }))
}

/// Settles an alarm as an administrator decided.
pub fn resolve_alarm(arguments: Result<ResolveAlarmArguments, MalformedArguments>) -> ResolveAlarmResult {
    runner::rearm();
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Administrator, caller).map_err(|_| ResolveAlarmError::Unauthorised { caller })?;
    let ResolveAlarmArguments { shard, resolution } =
        arguments.map_err(|malformed| ResolveAlarmError::MalformedArguments { reason: malformed.reason })?;
    let router = ic_cdk::api::canister_self();
    state::with(|state| state.change_journal(|journal| journal.resolve(shard, resolution, router)))?;
    runner::wake();
    Ok(())
}

/// Gives a role.
pub fn grant(arguments: Result<Grant, MalformedArguments>) -> GrantResult {
    runner::rearm();
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Administrator, caller).map_err(|_| GrantError::Unauthorised { caller })?;
    let grant = arguments.map_err(|malformed| GrantError::MalformedArguments { reason: malformed.reason })?;
    let now = ic_cdk::api::time();
    state::with(|state| state.change_grants(|grants| grants.grant(grant, now)))?;
    tell_shards(now);
    Ok(())
}

/// Takes a role away.
pub fn revoke(arguments: Result<Grant, MalformedArguments>) -> RevokeResult {
    runner::rearm();
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Administrator, caller).map_err(|_| RevokeError::Unauthorised { caller })?;
    let grant = arguments.map_err(|malformed| RevokeError::MalformedArguments { reason: malformed.reason })?;
    let (is_controller, now) = (ic_cdk::api::is_controller(&caller), ic_cdk::api::time());
    state::with(|state| state.change_grants(|grants| grants.revoke(&grant, is_controller, now)))?;
    tell_shards(now);
    Ok(())
}

fn tell_shards(now: u64) {
    state::with(|state| {
        state.telling.tell_all(now);
        state.settling.tell_all(now);
    });
    runner::wake();
}

/// Has the roles told again: to the shard that asks, and to every shard when an administrator asks.
pub fn renew_roles() -> RenewRolesResult {
    runner::rearm();
    let (caller, now) = (ic_cdk::api::msg_caller(), ic_cdk::api::time());
    if state::with(|state| state.telling.tell(caller, now)) {
        runner::wake();
        return Ok(());
    }
    access::authorise(Role::Administrator, caller).map_err(|_| ReadError::Unauthorised { caller })?;
    tell_shards(now);
    Ok(())
}

/// Tells the settings.
pub fn policy() -> PolicyResult {
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Administrator, caller).map_err(|_| ReadError::Unauthorised { caller })?;
    Ok(state::with(|state| state.policy().clone()))
}

/// Changes settings.
pub fn set_policy(arguments: Result<SetPolicyArguments, MalformedArguments>) -> SetPolicyResult {
    runner::rearm();
    let (caller, now) = (ic_cdk::api::msg_caller(), ic_cdk::api::time());
    access::authorise(Role::Administrator, caller).map_err(|_| SetPolicyError::Unauthorised { caller })?;
    let arguments = arguments.map_err(|malformed| SetPolicyError::MalformedArguments { reason: malformed.reason })?;
    let policy = state::with(|state| crate::policy::change(state.policy(), &arguments))?;
    if state::with(|state| state.set_policy(policy.clone(), now)) {
        tell_shards(now);
    }
    Ok(policy)
}

/// Lists all grants.
pub fn roles() -> RolesResult {
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Administrator, caller).map_err(|_| ReadError::Unauthorised { caller })?;
    Ok(state::with(|state| {
        let grants = state.grants();
        Roles { version: grants.version(), grants: grants.iter().cloned().collect() }
    }))
}
