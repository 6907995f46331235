//! The methods of the router: authorise, decode, check, delegate.

use canopy_types::api::uploads::{
    AbortUploadResult, BeginUploadArguments, BeginUploadResult, CollectUploadsResult, CommitUploadArguments,
    CommitUploadResult, GetChunkArguments, GetChunkResult, GetManifestArguments, GetManifestResult, PutChunkArguments,
    PutChunkResult, UploadArguments, UploadStatusResult,
};
use canopy_types::api::{
    DeleteArguments, DeleteManyArguments, DeleteManyResult, DeleteResult, GetArguments, GetManyArguments,
    GetManyResult, GetResult, InitArguments, PutArguments, PutManyArguments, PutManyResult, PutResult, ReadError,
    ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult, RoutingTableResult, ScanArguments, ScanResult,
    ScrubArguments, ScrubResult,
};
use canopy_types::policy::{PolicyResult, SetPolicyArguments, SetPolicyError, SetPolicyResult};
use canopy_types::recovery::{RecoverArguments, RecoverError, RecoverResult, RetireShardArguments, RetireShardResult};
use canopy_types::roles::{
    Grant, GrantError, GrantResult, RenewRolesResult, RevokeError, RevokeResult, Role, Roles, RolesResult,
};
use canopy_types::status::{RolesStatus, Status, StatusResult};
use canopy_types::transfer::{
    MergeShardArguments, MoveError, MoveResult, SplitShardArguments, StopTransferArguments, StopTransferResult,
};
use canopy_types::uploads::shard::CollectUploadsArguments;
use canopy_types::{MalformedArguments, RoutingTableReply};
use serde_bytes::ByteBuf;

use crate::access;
use crate::configuration::Configuration;
use crate::journal::Journal;
use crate::policy::Thresholds;
use crate::state::{self, LAYOUT_VERSION, State};
use crate::{batches, operations, runner, scan, uploads, watching};

#[cfg(test)]
mod tests;

canopy_types::endpoints! {
    init(InitArguments);
    raw_update "canister_update put" put(PutArguments) -> PutResult;
    raw_update "canister_update get" get(GetArguments) -> GetResult;
    raw_composite_query "canister_composite_query get_query" get_query(GetArguments) -> GetResult;
    raw_update "canister_update delete" delete(DeleteArguments) -> DeleteResult;
    raw_update "canister_update put_many" put_many(PutManyArguments) -> PutManyResult;
    raw_update "canister_update get_many" get_many(GetManyArguments) -> GetManyResult;
    raw_update "canister_update delete_many" delete_many(DeleteManyArguments) -> DeleteManyResult;
    raw_update "canister_update scan" scan(ScanArguments) -> ScanResult;
    raw_composite_query "canister_composite_query scan_query" scan_query(ScanArguments) -> ScanResult;
    async_update "canister_update begin_upload" begin_upload(BeginUploadArguments) -> BeginUploadResult;
    async_update "canister_update put_chunk" put_chunk(PutChunkArguments) -> PutChunkResult;
    async_update "canister_update commit_upload" commit_upload(CommitUploadArguments) -> CommitUploadResult;
    async_update "canister_update abort_upload" abort_upload(UploadArguments) -> AbortUploadResult;
    async_update "canister_update upload_status" upload_status(UploadArguments) -> UploadStatusResult;
    raw_update "canister_update get_manifest" get_manifest(GetManifestArguments) -> GetManifestResult;
    raw_composite_query "canister_composite_query get_manifest_query"
        get_manifest_query(GetManifestArguments) -> GetManifestResult;
    raw_update "canister_update get_chunk" get_chunk(GetChunkArguments) -> GetChunkResult;
    raw_composite_query "canister_composite_query get_chunk_query"
        get_chunk_query(GetChunkArguments) -> GetChunkResult;
    update "canister_update collect_uploads" collect_uploads(CollectUploadsArguments) -> CollectUploadsResult;
    async_update "canister_update scrub" scrub(ScrubArguments) -> ScrubResult;
    query "canister_query routing_table" routing_table() -> RoutingTableResult;
    query "canister_query status" status() -> StatusResult;
    update "canister_update resolve_alarm" resolve_alarm(ResolveAlarmArguments) -> ResolveAlarmResult;
    update "canister_update split_shard" split_shard(SplitShardArguments) -> MoveResult;
    update "canister_update merge_shard" merge_shard(MergeShardArguments) -> MoveResult;
    update "canister_update retire_shard" retire_shard(RetireShardArguments) -> RetireShardResult;
    async_update "canister_update recover" recover(RecoverArguments) -> RecoverResult;
    update "canister_update stop_transfer" stop_transfer(StopTransferArguments) -> StopTransferResult;
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
            + state.watching.open()
            + state.open_transfer_calls.len()
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
pub fn put() {
    runner::rearm();
    operations::put(ic_cdk::api::msg_caller());
}

/// Reads the newest record.
pub fn get() {
    runner::rearm();
    operations::get(ic_cdk::api::msg_caller());
}

/// Reads a record from one replica.
pub fn get_query() {
    operations::get_query();
}

/// Removes a record.
pub fn delete() {
    runner::rearm();
    operations::delete(ic_cdk::api::msg_caller());
}

/// Stores many values.
pub fn put_many() {
    runner::rearm();
    batches::put_many(ic_cdk::api::msg_caller());
}

/// Reads many records.
pub fn get_many() {
    runner::rearm();
    batches::get_many(ic_cdk::api::msg_caller());
}

/// Removes many records.
pub fn delete_many() {
    runner::rearm();
    batches::delete_many(ic_cdk::api::msg_caller());
}

/// Answers a page of all records.
pub fn scan() {
    runner::rearm();
    scan::scan(ic_cdk::api::msg_caller());
}

/// Answers a page of all records from one replica.
pub fn scan_query() {
    scan::scan_query();
}

/// Begins to upload a large value.
pub async fn begin_upload(arguments: Result<BeginUploadArguments, MalformedArguments>) -> BeginUploadResult {
    runner::rearm();
    uploads::begin(ic_cdk::api::msg_caller(), arguments).await
}

/// Stores a chunk of a large value.
pub async fn put_chunk(arguments: Result<PutChunkArguments, MalformedArguments>) -> PutChunkResult {
    runner::rearm();
    uploads::put_chunk(ic_cdk::api::msg_caller(), arguments).await
}

/// Publishes a large value all of whose chunks are there.
pub async fn commit_upload(arguments: Result<CommitUploadArguments, MalformedArguments>) -> CommitUploadResult {
    runner::rearm();
    uploads::commit(ic_cdk::api::msg_caller(), arguments).await
}

/// Gives an upload up.
pub async fn abort_upload(arguments: Result<UploadArguments, MalformedArguments>) -> AbortUploadResult {
    runner::rearm();
    uploads::abort(ic_cdk::api::msg_caller(), arguments).await
}

/// Tells how far an upload is.
pub async fn upload_status(arguments: Result<UploadArguments, MalformedArguments>) -> UploadStatusResult {
    runner::rearm();
    uploads::status(ic_cdk::api::msg_caller(), arguments).await
}

/// Tells what a large value consists of.
pub fn get_manifest() {
    runner::rearm();
    uploads::get_manifest(ic_cdk::api::msg_caller());
}

/// The same from one replica.
pub fn get_manifest_query() {
    uploads::get_manifest_query(ic_cdk::api::msg_caller());
}

/// Reads a chunk of a large value.
pub fn get_chunk() {
    runner::rearm();
    uploads::get_chunk(ic_cdk::api::msg_caller());
}

/// The same from one replica.
pub fn get_chunk_query() {
    uploads::get_chunk_query(ic_cdk::api::msg_caller());
}

/// Has the chunks of uploads deleted, as a shard asks.
pub fn collect_uploads(arguments: Result<CollectUploadsArguments, MalformedArguments>) -> CollectUploadsResult {
    runner::rearm();
    uploads::collecting::collect(ic_cdk::api::msg_caller(), arguments)
}

/// Finds what large values left behind, and what is missing of them, page by page.
pub async fn scrub(arguments: Result<ScrubArguments, MalformedArguments>) -> ScrubResult {
    runner::rearm();
    uploads::scrub::scrub(ic_cdk::api::msg_caller(), arguments).await
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
        transfers: Some(state.journal().transfer_status()),
        growth: Some(watching::status(state)),
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

/// Has the upper part of a shard's range given to an empty shard.
pub fn split_shard(arguments: Result<SplitShardArguments, MalformedArguments>) -> MoveResult {
    change_transfers(arguments, |journal, arguments, now| journal.split(&arguments, now))
}

/// Has all that a shard owns given to a neighbour.
pub fn merge_shard(arguments: Result<MergeShardArguments, MalformedArguments>) -> MoveResult {
    change_transfers(arguments, |journal, arguments, now| journal.merge(&arguments, now))
}

/// Has all that a shard owns given to a neighbour, and takes the shard out of service.
pub fn retire_shard(arguments: Result<RetireShardArguments, MalformedArguments>) -> RetireShardResult {
    let done = change_transfers(arguments, |journal, arguments, now| journal.retire(&arguments, now));
    state::with(|state| state.watching.look_again());
    done
}

/// Rebuilds what a lost router knew from what its shards know.
pub async fn recover(arguments: Result<RecoverArguments, MalformedArguments>) -> RecoverResult {
    runner::rearm();
    let caller = ic_cdk::api::msg_caller();
    access::authorise(Role::Administrator, caller).map_err(|_| RecoverError::Unauthorised { caller })?;
    let arguments = arguments.map_err(|malformed| RecoverError::MalformedArguments { reason: malformed.reason })?;
    let done = crate::recovery::recover(arguments.shards).await;
    // Nothing was changed but by the last message, whatever came in between.
    runner::wake();
    done
}

/// Has a transfer stopped, if it isn't done before.
pub fn stop_transfer(arguments: Result<StopTransferArguments, MalformedArguments>) -> StopTransferResult {
    let caller = ic_cdk::api::msg_caller();
    change_transfers(arguments, |journal, arguments, _| {
        journal.stop_transfer(arguments.id, &format!("stopped by {caller}"))
    })
}

fn change_transfers<A, R>(
    arguments: Result<A, MalformedArguments>,
    change: impl FnOnce(&mut Journal, A, u64) -> Result<R, MoveError>,
) -> Result<R, MoveError> {
    runner::rearm();
    let (caller, now) = (ic_cdk::api::msg_caller(), ic_cdk::api::time());
    access::authorise(Role::Administrator, caller).map_err(|_| MoveError::Unauthorised { caller })?;
    let arguments = arguments.map_err(|malformed| MoveError::MalformedArguments { reason: malformed.reason })?;
    let result = state::with(|state| state.change_journal(|journal| change(journal, arguments, now)))?;
    runner::wake();
    Ok(result)
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
    let concerns_shards = state::with(|state| {
        let had = Thresholds::of(state.policy());
        let concerns_shards = state.set_policy(policy.clone(), now);
        state.watching.look_again();
        concerns_shards || Thresholds::of(&policy) != had
    });
    if concerns_shards {
        // With other thresholds, what they say counts otherwise.
        tell_shards(now);
    }
    runner::wake();
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
