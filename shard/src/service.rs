//! The methods of a shard: read the message, check, delegate, reply.

use candid::Principal;
use canopy_types::MalformedArguments;
use canopy_types::api::uploads::{GetChunkArguments, GetManifestArguments, PutChunkArguments};
use canopy_types::api::{DeleteArguments, GetArguments, PutArguments};
use canopy_types::codec;
use canopy_types::growth::ShardReading;
use canopy_types::marks::{self, Phase};
use canopy_types::recovery::{
    AbandonTransferArguments, AbandonTransferResult, AdoptRouterArguments, AdoptRouterResult, RecallResult,
};
use canopy_types::roles::{Role, RolesWord, RolesWordReply};
use canopy_types::shard::{
    ApplyArguments, RolesHeld, ShardApplyResult, ShardDeleteResult, ShardError, ShardGetResult, ShardInfo,
    ShardInfoResult, ShardInitArguments, ShardPutResult, ShardScanArguments, ShardScanError, ShardScanResult,
    ShardSetRolesResult,
};
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, HandOverArguments,
    HandOverResult, ImportArguments, ImportResult, TransferError, TransferProgressArguments, TransferProgressResult,
};
use canopy_types::uploads::scrub::{LookUpArguments, LookUpResult, ShardScrubArguments, ShardScrubResult};
use canopy_types::uploads::shard::{
    ChunkDigestsResult, ChunksArguments, CollectUploadsArguments, DeleteChunksResult, DueUpload,
    FinishCollectionArguments, FinishCollectionResult, OpenUploadArguments, PublishUploadArguments,
    PublishUploadResult, ShardGetChunkResult, ShardGetManifestResult, ShardPutChunkResult, ShardUploadArguments,
    ShardUploadError, UploadRecordResult,
};
use canopy_types::wire::{ApplyRef, DeleteRef, GetRef, PutRef, refusals, replies};

use crate::access::{Permit, required_role};
use crate::message::{self, Caller, Rest};
use crate::operations::Origin;
use crate::state::{self, LAYOUT_VERSION, State};
use crate::transfer::calls;
use crate::transfer::costs::Means;

#[cfg(test)]
mod tests;

canopy_types::endpoints! {
    init(ShardInitArguments);
    raw_update "canister_update put" put(PutArguments) -> ShardPutResult;
    raw_update "canister_update get" get(GetArguments) -> ShardGetResult;
    raw_query "canister_query get_query" get_query(GetArguments) -> ShardGetResult;
    raw_update "canister_update delete" delete(DeleteArguments) -> ShardDeleteResult;
    raw_update "canister_update apply" apply(ApplyArguments) -> ShardApplyResult;
    raw_query "canister_query scan" scan(ShardScanArguments) -> ShardScanResult;
    query "canister_query info" info() -> ShardInfoResult;
    update "canister_update set_roles" set_roles(RolesWord) -> ShardSetRolesResult;
    update "canister_update put_chunk" put_chunk(PutChunkArguments) -> ShardPutChunkResult;
    raw_query "canister_query get_chunk" get_chunk(GetChunkArguments) -> ShardGetChunkResult;
    query "canister_query get_manifest" get_manifest(GetManifestArguments) -> ShardGetManifestResult;
    update "canister_update open_upload" open_upload(OpenUploadArguments) -> UploadRecordResult;
    update "canister_update upload" upload(ShardUploadArguments) -> UploadRecordResult;
    update "canister_update close_upload" close_upload(ShardUploadArguments) -> UploadRecordResult;
    update "canister_update publish_upload" publish_upload(PublishUploadArguments) -> PublishUploadResult;
    update "canister_update chunk_digests" chunk_digests(ChunksArguments) -> ChunkDigestsResult;
    update "canister_update delete_chunks" delete_chunks(ChunksArguments) -> DeleteChunksResult;
    update "canister_update finish_collection" finish_collection(FinishCollectionArguments) -> FinishCollectionResult;
    query "canister_query scrub" scrub(ShardScrubArguments) -> ShardScrubResult;
    query "canister_query look_up" look_up(LookUpArguments) -> LookUpResult;
    update "canister_update begin_transfer" begin_transfer(BeginTransferArguments) -> BeginTransferResult;
    update "canister_update transfer_progress" transfer_progress(TransferProgressArguments) -> TransferProgressResult;
    update "canister_update cancel_transfer" cancel_transfer(CancelTransferArguments) -> CancelTransferResult;
    update "canister_update import_batch" import_batch(ImportArguments) -> ImportResult;
    update "canister_update hand_over" hand_over(HandOverArguments) -> HandOverResult;
    update "canister_update abandon_transfer" abandon_transfer(AbandonTransferArguments) -> AbandonTransferResult;
    update "canister_update adopt_router" adopt_router(AdoptRouterArguments) -> AdoptRouterResult;
    query "canister_query recall" recall() -> RecallResult;
}

#[ic_cdk::init]
fn init(arguments: ShardInitArguments) {
    // What the router says about roles isn't stored: it holds for minutes.
    let mut arguments = arguments;
    let roles = arguments.roles.take();
    let mut state = State::create(Default::default(), &arguments);
    if let Some(word) = roles {
        state.roles.take(&word, ic_cdk::api::time());
    }
    state::set(state);
}

/// An answer to an open call would run in code that knows nothing of it.
#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    if let Some(transfer) = state::with(|state| state.flying()) {
        ic_cdk::api::trap(format!("calls of transfer {transfer} are open: stop the shard, then upgrade"));
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade() {
    state::set(State::open(Default::default()));
    state::with(|state| state.roles.ask());
    // The platform forgets timers in an upgrade; what there is to do is seen when it comes.
    ic_cdk::api::global_timer_set(ic_cdk::api::time());
}

/// Refuses strangers before they cost cycles. No protection: every method checks again.
#[ic_cdk::inspect_message]
fn inspect_message() {
    let (caller, required) = (ic_cdk::api::msg_caller(), required_role(&ic_cdk::api::msg_method_name()));
    let may = |required| {
        state::with(|state| {
            state.message_time = ic_cdk::api::time();
            state.authorise(caller.as_slice(), required, is_controller).is_ok()
        })
    };
    if required.is_some_and(may) {
        ic_cdk::api::accept_message();
    }
}

#[cfg(target_family = "wasm")]
#[unsafe(export_name = "canister_global_timer")]
extern "C" fn global_timer() {
    ic_cdk::futures::internals::in_executor_context(run_timer);
}

/// Notes that the memory of the code is nearly used up; the router hears of it with the shard's next reading. An upgrade,
/// which empties that memory, forgets it.
#[cfg(target_family = "wasm")]
#[unsafe(export_name = "canister_on_low_wasm_memory")]
extern "C" fn on_low_wasm_memory() {
    state::with(|state| state.low_memory = true);
    ic_cdk::api::debug_print("the memory of the code is nearly used up");
}

/// Does what is due. Called by the timer.
pub fn run_timer() {
    let (now, cycles) = (ic_cdk::api::time(), ic_cdk::api::canister_liquid_cycle_balance());
    let (uploads, calls, alarm, growth_failed) = state::with(|state| {
        state.store.observe_clock(now);
        let uploads = state.collections.take();
        let calls = if state.is_growth_due() { Vec::new() } else { state.transfer_turn(now, cycles) };
        (uploads, calls, state.run(now), state.store.statistics().growth_failed)
    });
    calls.into_iter().for_each(calls::send);
    if state::with(|state| state.roles.take_question()) {
        ask_for_roles();
    }
    if !uploads.is_empty() {
        ask_to_collect(uploads);
    }
    if let Some(at) = alarm {
        ic_cdk::api::global_timer_set(at);
    }
    if growth_failed {
        ic_cdk::api::debug_print("no more stable memory");
    }
}

/// Asks the router to tell the roles, and awaits nothing: the router tells them in a call of its own. If the question is
/// lost, that call comes some minutes later.
fn ask_for_roles() {
    let router = state::with(|state| state.identity.router);
    let asked = ic_cdk::call::Call::bounded_wait(router, "renew_roles").oneway();
    if asked.is_err() {
        ic_cdk::api::debug_print("the router could not be asked for the roles");
    }
}

/// Asks the router to have chunks deleted, and awaits nothing: it says so in calls of its own. If the question is lost, it
/// is asked again some minutes later.
fn ask_to_collect(uploads: Vec<DueUpload>) {
    let router = state::with(|state| state.identity.router);
    let arguments = codec::encode(&CollectUploadsArguments { uploads });
    let asked = ic_cdk::call::Call::bounded_wait(router, "collect_uploads").take_raw_args(arguments).oneway();
    if asked.is_err() {
        ic_cdk::api::debug_print("the router could not be asked to collect uploads");
    }
}

/// Stores a record in place of what was there.
pub fn put() {
    serve(Kind::Update, |state, caller, message| {
        let result = state.authorise(caller, Role::Writer, is_controller).and_then(|permit| {
            marks::end(Phase::Rights);
            let decoded;
            let put = match PutRef::read(message) {
                Some(put) => put,
                None => {
                    decoded = codec::decode::<PutArguments>(message).map_err(malformed)?;
                    PutRef::from(&decoded)
                }
            };
            marks::end(Phase::Decode);
            state.admit(permit, caller, Role::Writer, put.key, message.len())?;
            marks::end(Phase::Rights);
            state.put(&Origin { caller, operation: put.operation, index: 0 }, &put)
        });
        match result {
            Ok(version) => replies::put(version),
            Err(error) => refuse(error),
        }
    });
}

/// Reads a record.
pub fn get() {
    serve(Kind::Update, answer_get);
}

/// Reads a record, for the router's composite query.
pub fn get_query() {
    serve(Kind::Query, answer_get);
}

fn answer_get(state: &mut State, caller: &[u8], message: &[u8]) -> Vec<u8> {
    let result = state.authorise(caller, Role::Reader, is_controller).and_then(|permit| {
        marks::end(Phase::Rights);
        let decoded;
        let get = match GetRef::read(message) {
            Some(get) => get,
            None => {
                decoded = codec::decode::<GetArguments>(message).map_err(malformed)?;
                GetRef::from(&decoded)
            }
        };
        marks::end(Phase::Decode);
        state.admit(permit, caller, Role::Reader, get.key, message.len())?;
        marks::end(Phase::Rights);
        state.get(&get)
    });
    result.unwrap_or_else(refuse)
}

/// Removes a record.
pub fn delete() {
    serve(Kind::Update, |state, caller, message| {
        let result = state.authorise(caller, Role::Writer, is_controller).and_then(|permit| {
            marks::end(Phase::Rights);
            let decoded;
            let delete = match DeleteRef::read(message) {
                Some(delete) => delete,
                None => {
                    decoded = codec::decode::<DeleteArguments>(message).map_err(malformed)?;
                    DeleteRef::from(&decoded)
                }
            };
            marks::end(Phase::Decode);
            state.admit(permit, caller, Role::Writer, delete.key, message.len())?;
            marks::end(Phase::Rights);
            state.delete(&Origin { caller, operation: delete.operation, index: 0 }, &delete)
        });
        match result {
            Ok(deleted) => replies::delete(deleted),
            Err(error) => refuse(error),
        }
    });
}

/// Does a batch.
pub fn apply() {
    serve(Kind::Update, |state, caller, message| {
        let result = state.authorise(caller, Role::Reader, is_controller).and_then(|permit| {
            marks::end(Phase::Rights);
            let decoded;
            let batch = match ApplyRef::read(message) {
                Some(batch) => batch,
                None => {
                    decoded = codec::decode::<ApplyArguments>(message).map_err(malformed)?;
                    ApplyRef::from(&decoded)
                }
            };
            marks::end(Phase::Decode);
            state.admit_batch(permit, caller, &batch, message.len(), is_controller)?;
            marks::end(Phase::Rights);
            let mut appended_bytes = 0;
            let bytes = state.apply(&batch, |piece| {
                message::append(piece);
                appended_bytes += piece.len();
            })?;
            Ok(Rest { appended_bytes, bytes })
        });
        result.unwrap_or_else(|error| refuse(error).into())
    });
}

/// Answers a page of the records.
pub fn scan() {
    serve(Kind::Query, |state, caller, message| {
        let permit = match state.authorise(caller, Role::Reader, is_controller) {
            Ok(permit) => permit,
            Err(error) => return refuse(error),
        };
        let page = match codec::decode::<ShardScanArguments>(message) {
            Err(malformed) => Err(ShardScanError::MalformedArguments { reason: malformed.reason }),
            Ok(arguments) => {
                // Who may read some keys only has to ask for those.
                let keys = arguments.prefix.as_ref().map_or(&[][..], |prefix| prefix);
                if let Err(error) = state.admit(permit, caller, Role::Reader, keys, message.len()) {
                    return refuse(error);
                }
                state.scan(&arguments)
            }
        };
        page.unwrap_or_else(|error| match error.parts() {
            Some((tag, fields)) => refusals::refuse(tag, &fields),
            None => codec::encode(&ShardScanResult::Err(error)),
        })
    });
}

/// Tells what the shard is and holds.
pub fn info() -> ShardInfoResult {
    state::with(|state| {
        state.message_time = ic_cdk::api::time();
        state.authorise(ic_cdk::api::msg_caller().as_slice(), Role::Administrator, is_controller)?;
        let statistics = state.store.statistics();
        let remaining = state.carrying_over.as_ref().map_or(0, |carrying_over| carrying_over.remaining());
        Ok(ShardInfo {
            code_version: env!("CARGO_PKG_VERSION").to_string(),
            layout_version: LAYOUT_VERSION,
            index: state.identity.index,
            router: state.identity.router,
            range: state.identity.range,
            epoch: state.identity.epoch,
            secret_fingerprint: state.identity.secret.fingerprint(),
            records: statistics.records - statistics.internal_records + remaining,
            record_bytes: statistics.live_bytes,
            stable_bytes: state.stable_bytes(),
            last_version: state.least_version(),
            out_of_space: statistics.growth_failed,
            cycles: ic_cdk::api::canister_cycle_balance().into(),
            internal_records: Some(statistics.internal_records),
            roles: state.roles.held().map(|(version, until_nanoseconds)| RolesHeld { version, until_nanoseconds }),
            reading: Some(reading(state)),
        })
    })
}

fn reading(state: &State) -> ShardReading {
    let (cycles, liquid) = (ic_cdk::api::canister_cycle_balance(), ic_cdk::api::canister_liquid_cycle_balance());
    state.reading(heap_bytes(), cycles, liquid)
}

#[cfg(target_family = "wasm")]
fn heap_bytes() -> u64 {
    core::arch::wasm32::memory_size(0) as u64 * crate::region::PAGE_BYTES
}

/// Native code has no memory of its own.
#[cfg(not(target_family = "wasm"))]
fn heap_bytes() -> u64 {
    0
}

/// Takes the router's word about who may do what, and tells how full and busy the shard is. All shards hear it every two
/// minutes, so the timer of one that nobody else asks is set again, too, should it be lost.
pub fn set_roles(arguments: Result<RolesWord, MalformedArguments>) -> ShardSetRolesResult {
    let take = |state: &mut State, caller: Principal, now| {
        if !state.identity.is_router(caller.as_slice()) {
            return Err(ShardError::Unauthorised { caller });
        }
        let reply = state.roles.take(&arguments.map_err(malformed)?, now);
        Ok(RolesWordReply { reading: Some(reading(state)), ..reply })
    };
    serve_with_timer(|state, caller, now| state.take_word(now, |state| take(state, caller, now)))
}

/// Asks the platform whether `caller` controls the shard.
fn is_controller(caller: &[u8]) -> bool {
    ic0::is_controller(caller) == 1
}

/// Stores a chunk of a large value.
pub fn put_chunk(arguments: Result<PutChunkArguments, MalformedArguments>) -> ShardPutChunkResult {
    serve_upload(arguments, Role::Writer, |state, caller, permit, arguments| {
        let owner = match (permit, arguments.caller) {
            (Permit::Router, Some(owner)) => owner,
            (Permit::Direct(_), Some(owner)) if owner != caller => {
                return Err(ShardError::Unauthorised { caller }.into());
            }
            _ => caller,
        };
        state.admit(permit, caller.as_slice(), Role::Writer, &arguments.key, arguments.bytes.len())?;
        state.put_chunk(owner, &arguments)
    })
}

/// Reads a chunk of a large value.
pub fn get_chunk() {
    serve(Kind::Query, |state, caller, message| {
        let permit = state.authorise(caller, Role::Reader, is_controller);
        let chunk = permit.map_err(ShardUploadError::from).and_then(|permit| {
            let arguments: GetChunkArguments = codec::decode(message).map_err(malformed)?;
            state.admit(permit, caller, Role::Reader, &arguments.key, message.len())?;
            state.get_chunk(&arguments)
        });
        chunk.unwrap_or_else(|error| codec::encode(&ShardGetChunkResult::Err(error)))
    });
}

/// Tells what a large value consists of.
pub fn get_manifest(arguments: Result<GetManifestArguments, MalformedArguments>) -> ShardGetManifestResult {
    let (caller, now) = (ic_cdk::api::msg_caller(), ic_cdk::api::time());
    state::with(|state| {
        state.store.observe_clock(now);
        (state.message_time, state.message_is_update) = (now, false);
        let permit = state.authorise(caller.as_slice(), Role::Reader, is_controller)?;
        let arguments = arguments.map_err(malformed)?;
        state.admit(permit, caller.as_slice(), Role::Reader, &arguments.key, 0)?;
        state.manifest(&arguments.key)
    })
}

/// Makes an upload's record.
pub fn open_upload(arguments: Result<OpenUploadArguments, MalformedArguments>) -> UploadRecordResult {
    serve_router(arguments, |state, arguments| state.open_upload(&arguments))
}

/// Tells what is known about an upload.
pub fn upload(arguments: Result<ShardUploadArguments, MalformedArguments>) -> UploadRecordResult {
    serve_router(arguments, |state, arguments| state.upload(&arguments))
}

/// Gives an upload up.
pub fn close_upload(arguments: Result<ShardUploadArguments, MalformedArguments>) -> UploadRecordResult {
    serve_router(arguments, |state, arguments| state.close_upload(&arguments))
}

/// Makes an upload the value of its key.
pub fn publish_upload(arguments: Result<PublishUploadArguments, MalformedArguments>) -> PublishUploadResult {
    serve_router(arguments, |state, arguments| state.publish_upload(&arguments))
}

/// Tells the digests of chunks.
pub fn chunk_digests(arguments: Result<ChunksArguments, MalformedArguments>) -> ChunkDigestsResult {
    serve_router(arguments, |state, arguments| state.chunk_digests(&arguments))
}

/// Deletes chunks.
pub fn delete_chunks(arguments: Result<ChunksArguments, MalformedArguments>) -> DeleteChunksResult {
    serve_router(arguments, |state, arguments| state.delete_chunks(&arguments))
}

/// Hears that the chunks of an upload are gone.
pub fn finish_collection(arguments: Result<FinishCollectionArguments, MalformedArguments>) -> FinishCollectionResult {
    serve_router(arguments, |state, arguments| state.finish_collection(&arguments))
}

/// Shows a page of what large values consist of.
pub fn scrub(arguments: Result<ShardScrubArguments, MalformedArguments>) -> ShardScrubResult {
    let shard = ic_cdk::api::canister_self();
    serve_inspection(arguments, |state, arguments| state.scrub(&arguments, shard))
}

/// Tells which uploads and chunks are there.
pub fn look_up(arguments: Result<LookUpArguments, MalformedArguments>) -> LookUpResult {
    serve_inspection(arguments, |state, arguments| state.look_up(&arguments))
}

/// Has `action` answer a query of the router, or of who administers.
fn serve_inspection<A, R, E: From<ShardError>>(
    arguments: Result<A, MalformedArguments>,
    action: impl FnOnce(&mut State, A) -> Result<R, E>,
) -> Result<R, E> {
    let (caller, now) = (ic_cdk::api::msg_caller(), ic_cdk::api::time());
    state::with(|state| {
        state.store.observe_clock(now);
        (state.message_time, state.message_is_update) = (now, false);
        state.authorise(caller.as_slice(), Role::Administrator, is_controller)?;
        action(&mut *state, arguments.map_err(malformed)?)
    })
}

/// Has `action` answer what only the router may ask.
fn serve_router<A, R>(
    arguments: Result<A, MalformedArguments>,
    action: impl FnOnce(&mut State, A) -> Result<R, ShardUploadError>,
) -> Result<R, ShardUploadError> {
    serve_upload(arguments, Role::Administrator, |state, caller, permit, arguments| match permit {
        Permit::Router => action(state, arguments),
        Permit::Direct(_) => Err(ShardError::Unauthorised { caller }.into()),
    })
}

/// Has `action` answer an update about an upload, given what its caller may do, and sets the timer for what follows.
fn serve_upload<A, R>(
    arguments: Result<A, MalformedArguments>,
    required: Role,
    action: impl FnOnce(&mut State, Principal, Permit, A) -> Result<R, ShardUploadError>,
) -> Result<R, ShardUploadError> {
    serve_update(|state, caller| {
        let permit = state.authorise(caller.as_slice(), required, is_controller)?;
        action(state, caller, permit, arguments.map_err(malformed)?)
    })
}

/// Makes the shard one end of a transfer.
pub fn begin_transfer(arguments: Result<BeginTransferArguments, MalformedArguments>) -> BeginTransferResult {
    let liquid_cycles = ic_cdk::api::canister_liquid_cycle_balance();
    let frozen_cycles = ic_cdk::api::canister_cycle_balance().saturating_sub(liquid_cycles);
    let means = Means { liquid_cycles, frozen_cycles, heap_bytes: heap_bytes() };
    serve_transfer(arguments, |state, caller, arguments| {
        check_command(state, caller)?;
        state.begin_transfer(&arguments, &means)
    })
}

/// Tells how far a transfer is. An update, so that the router's question sets a timer again that was lost.
pub fn transfer_progress(arguments: Result<TransferProgressArguments, MalformedArguments>) -> TransferProgressResult {
    let cycles = ic_cdk::api::canister_liquid_cycle_balance();
    serve_transfer(arguments, |state, caller, arguments| {
        check_command(state, caller)?;
        state.transfer_progress(&arguments, cycles)
    })
}

/// Ends a transfer that is not done.
pub fn cancel_transfer(arguments: Result<CancelTransferArguments, MalformedArguments>) -> CancelTransferResult {
    serve_transfer(arguments, |state, caller, arguments| {
        let may_command = check_command(state, caller).is_ok();
        state.cancel_transfer(caller, may_command, &arguments)
    })
}

/// Takes in what the source of a transfer sends.
pub fn import_batch(arguments: Result<ImportArguments, MalformedArguments>) -> ImportResult {
    serve_transfer(arguments, |state, caller, arguments| state.import(caller, &arguments))
}

/// Takes in the rest, and makes the shard the owner.
pub fn hand_over(arguments: Result<HandOverArguments, MalformedArguments>) -> HandOverResult {
    serve_transfer(arguments, |state, caller, arguments| state.hand_over(caller, &arguments))
}

/// Opens a range again without the word of its target, which is lost. Not for the router: it can't know that.
pub fn abandon_transfer(arguments: Result<AbandonTransferArguments, MalformedArguments>) -> AbandonTransferResult {
    serve_transfer(arguments, |state, caller, arguments| {
        check_administrator(state, caller).map_err(|_| TransferError::Unauthorised { caller })?;
        let done = state.abandon_transfer(&arguments)?;
        ic_cdk::api::debug_print(format!("{caller} gave up transfer {} of {}", arguments.id, arguments.range));
        Ok(done)
    })
}

/// Gives the shard another router.
pub fn adopt_router(arguments: Result<AdoptRouterArguments, MalformedArguments>) -> AdoptRouterResult {
    serve_update(|state, caller| {
        check_administrator(state, caller)?;
        let router = arguments.map_err(malformed)?.router;
        state.adopt_router(router)?;
        ic_cdk::api::debug_print(format!("{caller} gave this shard the router {router}"));
        Ok(())
    })
}

/// Tells the router what a new one must know.
pub fn recall() -> RecallResult {
    let caller = ic_cdk::api::msg_caller();
    state::with(|state| {
        if !state.identity.is_router(caller.as_slice()) {
            return Err(ShardError::Unauthorised { caller });
        }
        Ok(state.memory())
    })
}

/// Checks that `caller` administers, and isn't the router.
fn check_administrator(state: &State, caller: Principal) -> Result<(), ShardError> {
    match state.authorise(caller.as_slice(), Role::Administrator, is_controller)? {
        Permit::Router => Err(ShardError::Unauthorised { caller }),
        Permit::Direct(_) => Ok(()),
    }
}

/// Has `action` answer a message about a transfer, and sets the timer for what follows from it.
fn serve_transfer<A, R>(
    arguments: Result<A, MalformedArguments>,
    action: impl FnOnce(&mut State, Principal, A) -> Result<R, TransferError>,
) -> Result<R, TransferError> {
    serve_update(|state, caller| action(state, caller, arguments.map_err(malformed_transfer)?))
}

/// Has `action` answer an update, and sets the timer for what follows from it, or again if it is lost.
fn serve_update<R>(action: impl FnOnce(&mut State, Principal) -> R) -> R {
    serve_with_timer(|state, caller, now| state.answer_update(now, |state| action(state, caller)))
}

/// Has `serve` answer an update, and sets the timer to the time that it tells beside the answer.
fn serve_with_timer<R>(serve: impl FnOnce(&mut State, Principal, u64) -> (R, Option<u64>)) -> R {
    let (caller, now) = (ic_cdk::api::msg_caller(), ic_cdk::api::time());
    let (result, alarm) = state::with(|state| serve(state, caller, now));
    if let Some(at) = alarm {
        ic_cdk::api::global_timer_set(at);
    }
    result
}

/// Checks that `caller` may begin, watch and cancel transfers: the router, and administrators should it be lost.
fn check_command(state: &State, caller: Principal) -> Result<(), TransferError> {
    let permit = state.authorise(caller.as_slice(), Role::Administrator, is_controller);
    permit.map(drop).map_err(|_| TransferError::Unauthorised { caller })
}

fn malformed_transfer(arguments: MalformedArguments) -> TransferError {
    TransferError::MalformedArguments { reason: arguments.reason }
}

/// What `performance_counter` is asked for: the instructions of the message so far.
const MESSAGE_INSTRUCTIONS: u32 = 0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Update,
    /// What it changes is forgotten, so it asks for no timer.
    Query,
}

/// Has `action` answer the message, given who sent it.
fn serve<R: Into<Rest>>(kind: Kind, action: impl FnOnce(&mut State, &[u8], &[u8]) -> R) {
    marks::begin();
    let message = message::argument();
    let caller = Caller::of_message();
    let now = ic0::time();
    marks::end(Phase::Receive);
    let (reply, alarm) = state::with(|state| {
        state.store.observe_clock(now);
        state.message_time = now;
        state.message_is_update = kind == Kind::Update;
        let reply: Rest = action(state, caller.as_slice(), &message).into();
        state.roles.count_reply(caller.as_slice(), reply.appended_bytes + reply.bytes.len(), now);
        if state.load.wants_instructions() {
            state.load.count_instructions(ic0::performance_counter(MESSAGE_INSTRUCTIONS));
        }
        let alarm = if kind == Kind::Update { state.take_alarm(now) } else { None };
        (reply, alarm)
    });
    if let Some(at) = alarm {
        ic0::global_timer_set(at);
    }
    message::reply(&reply);
    marks::end(Phase::Encode);
}

/// Writes a refusal, which reads the same as the result of every hot method.
fn refuse(error: ShardError) -> Vec<u8> {
    refusals::shard_error(&error).unwrap_or_else(|| codec::encode(&ShardPutResult::Err(error)))
}

fn malformed(arguments: MalformedArguments) -> ShardError {
    ShardError::MalformedArguments { reason: arguments.reason }
}
