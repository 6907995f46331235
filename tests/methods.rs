//! Every method of router and shard, with a valid argument and how its refusals read.

use candid::{Principal, Reserved};
use canopy_types::api::uploads::{
    BeginUploadArguments, CommitUploadArguments, GetChunkArguments, GetManifestArguments, PutChunkArguments,
    UploadArguments, UploadError,
};
use canopy_types::api::{
    ReadError, Resolution, ResolveAlarmArguments, ResolveAlarmError, ResolveAlarmResult, RoutingTableResult,
};
use canopy_types::codec::{decode, encode};
use canopy_types::policy::{PolicyResult, SetPolicyArguments, SetPolicyError, SetPolicyResult};
use canopy_types::rate::RateLimits;
use canopy_types::recovery::{
    AbandonTransferArguments, AbandonTransferResult, AdoptRouterArguments, AdoptRouterResult, RecallResult,
    RecoverArguments, RecoverError, RecoverResult, RetireShardArguments, RetireShardResult,
};
use canopy_types::roles::{
    Grant, GrantError, GrantResult, RenewRolesResult, RevokeError, RevokeResult, Role, RolesContent, RolesResult,
    RolesWord,
};
use canopy_types::shard::{
    Action, ApplyArguments, Item, PutItem, ShardApplyResult, ShardDeleteResult, ShardError, ShardGetResult,
    ShardInfoResult, ShardPutResult, ShardScanArguments, ShardScanError, ShardScanResult, ShardSetRolesResult,
};
use canopy_types::status::StatusResult;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferArguments, CancelTransferResult, HandOverArguments,
    HandOverResult, ImportArguments, ImportResult, MergeShardArguments, MoveError, MoveResult, SplitShardArguments,
    StopTransferArguments, StopTransferResult, TransferError, TransferProgressArguments, TransferProgressResult,
    TransferSide,
};
use canopy_types::uploads::scrub::{LookUpArguments, ShardScrubArguments, ShardScrubError, ShardScrubResult};
use canopy_types::uploads::shard::{
    ChunksArguments, CollectUploadsArguments, FinishCollectionArguments, OpenUploadArguments, PublishUploadArguments,
    ShardUploadArguments, ShardUploadError,
};
use canopy_types::{
    BatchError, DeleteArguments, DeleteError, DeleteItem, DeleteManyArguments, DeleteManyResult, DeleteResult, Digest,
    Epoch, GetError, GetManyArguments, GetManyResult, GetResult, HashRange, KeyHash, PutError, PutManyArguments,
    PutManyResult, PutResult, ScanArguments, ScanError, ScanResult, ScrubArguments, ScrubError, ScrubResult,
    ShardIndex, TransferId, UploadId,
};

use serde_bytes::ByteBuf;

use crate::cluster::{get_arguments, no_arguments, put_arguments};
use crate::people::{administrator, stranger};

/// How a method is called from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As an update.
    Update,
    /// As a query; canisters may call it too.
    Query,
    /// As a query; canisters may not call it.
    CompositeQuery,
}

/// A refusal that every method knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller may not.
    Unauthorised(Principal),
    /// The argument is none.
    Malformed,
}

/// A method of the interface.
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub kind: Kind,
    /// An argument that it would accept, about the key `witness`.
    pub argument: Vec<u8>,
    /// Reads a refusal out of a reply; `None` when the reply is none.
    pub refusal: fn(&[u8]) -> Option<Refusal>,
}

/// An upload that was never begun.
const UPLOAD: UploadId = UploadId([7; 16]);

/// A transfer that was never begun.
const TRANSFER: TransferId = TransferId([7; 16]);

/// The key that the arguments of [`router_methods`] and [`shard_methods`] are about.
pub const WITNESS_KEY: &[u8] = b"witness";

/// Lists the router's methods.
pub fn router_methods() -> Vec<Method> {
    let resolve = ResolveAlarmArguments { shard: Some(ShardIndex(0)), resolution: Resolution::TryAgain };
    vec![
        Method {
            name: "put",
            kind: Kind::Update,
            argument: encode(&put_arguments(WITNESS_KEY, b"changed")),
            refusal: |reply| match decode::<PutResult>(reply) {
                Ok(Err(PutError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(PutError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method { name: "get", kind: Kind::Update, argument: encode(&get_arguments(WITNESS_KEY)), refusal: get_refusal },
        Method {
            name: "get_query",
            kind: Kind::CompositeQuery,
            argument: encode(&get_arguments(WITNESS_KEY)),
            refusal: get_refusal,
        },
        Method {
            name: "delete",
            kind: Kind::Update,
            argument: encode(&DeleteArguments::new(WITNESS_KEY.to_vec())),
            refusal: |reply| match decode::<DeleteResult>(reply) {
                Ok(Err(DeleteError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(DeleteError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "put_many",
            kind: Kind::Update,
            argument: encode(&PutManyArguments {
                items: vec![PutItem::new(WITNESS_KEY.to_vec(), b"changed".to_vec())],
                operation: None,
            }),
            refusal: |reply| match decode::<PutManyResult>(reply) {
                Ok(Err(BatchError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(BatchError::Item { error: PutError::Unauthorised { caller }, .. })) => {
                    Some(Refusal::Unauthorised(caller))
                }
                Ok(Err(BatchError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "get_many",
            kind: Kind::Update,
            argument: encode(&GetManyArguments { keys: vec![ByteBuf::from(WITNESS_KEY)], include_value: None }),
            refusal: |reply| match decode::<GetManyResult>(reply) {
                Ok(Err(BatchError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(BatchError::Item { error: GetError::Unauthorised { caller }, .. })) => {
                    Some(Refusal::Unauthorised(caller))
                }
                Ok(Err(BatchError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "delete_many",
            kind: Kind::Update,
            argument: encode(&DeleteManyArguments {
                items: vec![DeleteItem::new(WITNESS_KEY.to_vec())],
                operation: None,
            }),
            refusal: |reply| match decode::<DeleteManyResult>(reply) {
                Ok(Err(BatchError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(BatchError::Item { error: DeleteError::Unauthorised { caller }, .. })) => {
                    Some(Refusal::Unauthorised(caller))
                }
                Ok(Err(BatchError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method { name: "scan", kind: Kind::Update, argument: encode(&scan_arguments()), refusal: scan_refusal },
        Method {
            name: "scan_query",
            kind: Kind::CompositeQuery,
            argument: encode(&scan_arguments()),
            refusal: scan_refusal,
        },
        of_uploads("begin_upload", Kind::Update, encode(&begin_arguments())),
        of_uploads("put_chunk", Kind::Update, encode(&chunk_arguments())),
        of_uploads(
            "commit_upload",
            Kind::Update,
            encode(&CommitUploadArguments {
                key: WITNESS_KEY.to_vec().into(),
                upload: UPLOAD,
                digest: Digest::of(b""),
            }),
        ),
        of_uploads(
            "abort_upload",
            Kind::Update,
            encode(&UploadArguments { key: WITNESS_KEY.to_vec().into(), upload: UPLOAD }),
        ),
        of_uploads(
            "upload_status",
            Kind::Update,
            encode(&UploadArguments { key: WITNESS_KEY.to_vec().into(), upload: UPLOAD }),
        ),
        of_uploads("get_manifest", Kind::Update, encode(&GetManifestArguments { key: WITNESS_KEY.to_vec().into() })),
        of_uploads(
            "get_manifest_query",
            Kind::CompositeQuery,
            encode(&GetManifestArguments { key: WITNESS_KEY.to_vec().into() }),
        ),
        of_uploads("get_chunk", Kind::Update, encode(&get_chunk_arguments())),
        of_uploads("get_chunk_query", Kind::CompositeQuery, encode(&get_chunk_arguments())),
        of_uploads("collect_uploads", Kind::Update, encode(&CollectUploadsArguments { uploads: vec![] })),
        Method {
            name: "scrub",
            kind: Kind::Update,
            argument: encode(&ScrubArguments::default()),
            refusal: |reply| match decode::<ScrubResult>(reply).ok()?.err()? {
                ScrubError::Unauthorised { caller } => Some(Refusal::Unauthorised(caller)),
                ScrubError::MalformedArguments { .. } => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "routing_table",
            kind: Kind::Query,
            argument: no_arguments(),
            refusal: |reply| decode::<RoutingTableResult>(reply).ok()?.err().map(read_refusal),
        },
        Method {
            name: "status",
            kind: Kind::Query,
            argument: no_arguments(),
            refusal: |reply| decode::<StatusResult>(reply).ok()?.err().map(read_refusal),
        },
        Method {
            name: "resolve_alarm",
            kind: Kind::Update,
            argument: encode(&resolve),
            refusal: |reply| match decode::<ResolveAlarmResult>(reply) {
                Ok(Err(ResolveAlarmError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(ResolveAlarmError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "grant",
            kind: Kind::Update,
            argument: encode(&Grant::of_everything(stranger(), Role::Administrator)),
            refusal: |reply| match decode::<GrantResult>(reply) {
                Ok(Err(GrantError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(GrantError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "revoke",
            kind: Kind::Update,
            argument: encode(&Grant::of_everything(administrator(), Role::Administrator)),
            refusal: |reply| match decode::<RevokeResult>(reply) {
                Ok(Err(RevokeError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(RevokeError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "split_shard",
            kind: Kind::Update,
            argument: encode(&SplitShardArguments { shard: ShardIndex(0), at: None }),
            refusal: |reply| decode::<MoveResult>(reply).ok()?.err().and_then(move_refusal),
        },
        Method {
            name: "merge_shard",
            kind: Kind::Update,
            argument: encode(&MergeShardArguments { shard: ShardIndex(0), into: ShardIndex(1) }),
            refusal: |reply| decode::<MoveResult>(reply).ok()?.err().and_then(move_refusal),
        },
        Method {
            name: "retire_shard",
            kind: Kind::Update,
            // There is no such shard, so nothing happens.
            argument: encode(&RetireShardArguments { shard: ShardIndex(99), into: None, leave: None }),
            refusal: |reply| decode::<RetireShardResult>(reply).ok()?.err().and_then(move_refusal),
        },
        Method {
            name: "recover",
            kind: Kind::Update,
            argument: encode(&RecoverArguments { shards: vec![] }),
            refusal: |reply| match decode::<RecoverResult>(reply).ok()?.err()? {
                RecoverError::Unauthorised { caller } => Some(Refusal::Unauthorised(caller)),
                RecoverError::MalformedArguments { .. } => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "stop_transfer",
            kind: Kind::Update,
            argument: encode(&StopTransferArguments { id: TRANSFER }),
            refusal: |reply| decode::<StopTransferResult>(reply).ok()?.err().and_then(move_refusal),
        },
        Method {
            name: "roles",
            kind: Kind::Query,
            argument: no_arguments(),
            refusal: |reply| decode::<RolesResult>(reply).ok()?.err().map(read_refusal),
        },
        Method {
            name: "renew_roles",
            kind: Kind::Update,
            argument: no_arguments(),
            refusal: |reply| decode::<RenewRolesResult>(reply).ok()?.err().map(read_refusal),
        },
        Method {
            name: "policy",
            kind: Kind::Query,
            argument: no_arguments(),
            refusal: |reply| decode::<PolicyResult>(reply).ok()?.err().map(read_refusal),
        },
        Method {
            name: "set_policy",
            kind: Kind::Update,
            argument: encode(&SetPolicyArguments {
                operations_per_minute_max: Some(1),
                ..SetPolicyArguments::default()
            }),
            refusal: |reply| match decode::<SetPolicyResult>(reply) {
                Ok(Err(SetPolicyError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(SetPolicyError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
    ]
}

/// Lists a shard's methods, as an administrator calls them.
pub fn shard_methods() -> Vec<Method> {
    shard_methods_as(administrator())
}

/// Lists a shard's methods, as `caller` calls them for itself.
pub fn shard_methods_as(caller: Principal) -> Vec<Method> {
    vec![
        Method {
            name: "put",
            kind: Kind::Update,
            argument: encode(&put_arguments(WITNESS_KEY, b"changed")),
            refusal: |reply| decode::<ShardPutResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        Method {
            name: "get",
            kind: Kind::Update,
            argument: encode(&get_arguments(WITNESS_KEY)),
            refusal: |reply| decode::<ShardGetResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        Method {
            name: "get_query",
            kind: Kind::Query,
            argument: encode(&get_arguments(WITNESS_KEY)),
            refusal: |reply| decode::<ShardGetResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        Method {
            name: "delete",
            kind: Kind::Update,
            argument: encode(&DeleteArguments::new(WITNESS_KEY.to_vec())),
            refusal: |reply| decode::<ShardDeleteResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        Method {
            name: "apply",
            kind: Kind::Update,
            argument: encode(&apply_arguments(caller)),
            refusal: |reply| decode::<ShardApplyResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        Method {
            name: "scan",
            kind: Kind::Query,
            argument: encode(&ShardScanArguments {
                prefix: Some(ByteBuf::from(WITNESS_KEY)),
                ..ShardScanArguments::default()
            }),
            refusal: |reply| match decode::<ShardScanResult>(reply) {
                Ok(Err(ShardScanError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
                Ok(Err(ShardScanError::MalformedArguments { .. })) => Some(Refusal::Malformed),
                _ => None,
            },
        },
        Method {
            name: "info",
            kind: Kind::Query,
            argument: no_arguments(),
            refusal: |reply| decode::<ShardInfoResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        Method {
            name: "set_roles",
            kind: Kind::Update,
            argument: encode(&roles_word()),
            refusal: |reply| decode::<ShardSetRolesResult>(reply).ok()?.err().and_then(shard_refusal),
        },
        of_shard_uploads("put_chunk", Kind::Update, encode(&chunk_arguments())),
        of_shard_uploads("get_chunk", Kind::Query, encode(&get_chunk_arguments())),
        of_shard_uploads(
            "get_manifest",
            Kind::Query,
            encode(&GetManifestArguments { key: WITNESS_KEY.to_vec().into() }),
        ),
        of_shard_uploads(
            "open_upload",
            Kind::Update,
            encode(&OpenUploadArguments {
                caller,
                begin: begin_arguments(),
                open_milliseconds: 1_000,
                kept_milliseconds: 1_000,
            }),
        ),
        of_shard_uploads("upload", Kind::Update, encode(&shard_upload_arguments(caller))),
        of_shard_uploads("close_upload", Kind::Update, encode(&shard_upload_arguments(caller))),
        of_shard_uploads(
            "publish_upload",
            Kind::Update,
            encode(&PublishUploadArguments {
                caller,
                key: WITNESS_KEY.to_vec().into(),
                upload: UPLOAD,
                digest: Digest::of(b""),
            }),
        ),
        of_shard_uploads(
            "chunk_digests",
            Kind::Update,
            encode(&ChunksArguments { upload: UPLOAD, key_hash: KeyHash(0), indexes: vec![0] }),
        ),
        of_shard_uploads(
            "delete_chunks",
            Kind::Update,
            encode(&ChunksArguments { upload: UPLOAD, key_hash: KeyHash(0), indexes: vec![0] }),
        ),
        of_shard_uploads(
            "finish_collection",
            Kind::Update,
            encode(&FinishCollectionArguments { hash: KeyHash(0), upload: UPLOAD, last: true }),
        ),
        Method {
            name: "scrub",
            kind: Kind::Query,
            argument: encode(&ShardScrubArguments::default()),
            refusal: |reply| match decode::<ShardScrubResult>(reply).ok()?.err()? {
                ShardScrubError::Shard(error) => shard_refusal(error),
                ShardScrubError::InvalidCursor { .. } => None,
            },
        },
        of_shard_uploads("look_up", Kind::Query, encode(&LookUpArguments::default())),
        Method {
            name: "begin_transfer",
            kind: Kind::Update,
            argument: encode(&BeginTransferArguments {
                id: TRANSFER,
                side: TransferSide::Source,
                peer: stranger(),
                range: HashRange { first: KeyHash(0), last: KeyHash(0) },
                epoch: Epoch(2),
                bytes: None,
            }),
            refusal: |reply| decode::<BeginTransferResult>(reply).ok()?.err().and_then(transfer_refusal),
        },
        Method {
            name: "transfer_progress",
            kind: Kind::Update,
            argument: encode(&TransferProgressArguments { id: TRANSFER }),
            refusal: |reply| decode::<TransferProgressResult>(reply).ok()?.err().and_then(transfer_refusal),
        },
        Method {
            name: "cancel_transfer",
            kind: Kind::Update,
            argument: encode(&CancelTransferArguments { id: TRANSFER, epoch: Epoch(2) }),
            refusal: |reply| decode::<CancelTransferResult>(reply).ok()?.err().and_then(transfer_refusal),
        },
        Method {
            name: "import_batch",
            kind: Kind::Update,
            argument: encode(&ImportArguments { id: TRANSFER, shard_time_nanoseconds: 0, batch: ByteBuf::from([1]) }),
            refusal: |reply| decode::<ImportResult>(reply).ok()?.err().and_then(transfer_refusal),
        },
        Method {
            name: "hand_over",
            kind: Kind::Update,
            argument: encode(&HandOverArguments {
                id: TRANSFER,
                shard_time_nanoseconds: 0,
                removed_version: 0,
                batch: ByteBuf::from([1]),
            }),
            refusal: |reply| decode::<HandOverResult>(reply).ok()?.err().and_then(transfer_refusal),
        },
        Method {
            name: "abandon_transfer",
            kind: Kind::Update,
            argument: encode(&AbandonTransferArguments { id: TRANSFER, range: HashRange::FULL }),
            refusal: |reply| decode::<AbandonTransferResult>(reply).ok()?.err().and_then(transfer_refusal),
        },
        Method {
            name: "adopt_router",
            kind: Kind::Update,
            // Nobody's, so it is refused after the caller was looked at.
            argument: encode(&AdoptRouterArguments { router: Principal::management_canister() }),
            refusal: |reply| match decode::<AdoptRouterResult>(reply).ok()?.err()? {
                ShardError::MalformedArguments { reason } if reason.contains("no canister that could") => None,
                error => shard_refusal(error),
            },
        },
        Method {
            name: "recall",
            kind: Kind::Query,
            argument: no_arguments(),
            refusal: |reply| decode::<RecallResult>(reply).ok()?.err().and_then(shard_refusal),
        },
    ]
}

/// The methods of a shard that only its router may call, for uploads.
pub const UPLOADS_FOR_ROUTERS: [&str; 7] =
    ["open_upload", "upload", "close_upload", "publish_upload", "chunk_digests", "delete_chunks", "finish_collection"];

fn of_uploads(name: &'static str, kind: Kind, argument: Vec<u8>) -> Method {
    Method { name, kind, argument, refusal: upload_refusal }
}

fn of_shard_uploads(name: &'static str, kind: Kind, argument: Vec<u8>) -> Method {
    Method { name, kind, argument, refusal: shard_upload_refusal }
}

/// Reads a refusal whatever the method answers when it does what it is asked.
fn upload_refusal(reply: &[u8]) -> Option<Refusal> {
    match decode::<Result<Reserved, UploadError>>(reply) {
        Ok(Err(UploadError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
        Ok(Err(UploadError::MalformedArguments { .. })) => Some(Refusal::Malformed),
        _ => None,
    }
}

fn shard_upload_refusal(reply: &[u8]) -> Option<Refusal> {
    match decode::<Result<Reserved, ShardUploadError>>(reply) {
        Ok(Err(ShardUploadError::Shard(error))) => shard_refusal(error),
        _ => None,
    }
}

fn begin_arguments() -> BeginUploadArguments {
    BeginUploadArguments::new(WITNESS_KEY.to_vec(), UPLOAD, 1)
}

fn chunk_arguments() -> PutChunkArguments {
    PutChunkArguments {
        key: WITNESS_KEY.to_vec().into(),
        upload: UPLOAD,
        pass: ByteBuf::from([0; 48]),
        index: 0,
        digest: Digest::of(b"1"),
        bytes: ByteBuf::from("1"),
        caller: None,
    }
}

fn get_chunk_arguments() -> GetChunkArguments {
    GetChunkArguments { key: WITNESS_KEY.to_vec().into(), upload: UPLOAD, pass: ByteBuf::from([0; 40]), index: 0 }
}

fn shard_upload_arguments(caller: Principal) -> ShardUploadArguments {
    ShardUploadArguments { caller, key: WITNESS_KEY.to_vec().into(), upload: UPLOAD }
}

/// A word that would let everyone write.
fn roles_word() -> RolesWord {
    let grants = vec![Grant { grantee: None, role: Role::Writer, prefix: None }];
    let content = RolesContent { grants, limits: RateLimits::default() };
    let (version, digest) = (u64::MAX, content.digest());
    RolesWord { version, digest, given_at_nanoseconds: u64::MAX, content: Some(content) }
}

/// A batch of one put for `caller`.
fn apply_arguments(caller: Principal) -> ApplyArguments {
    let put = PutItem {
        key: ByteBuf::from(WITNESS_KEY),
        value: ByteBuf::from("changed"),
        precondition: None,
        time_to_live_milliseconds: None,
    };
    let items = vec![Item { index: 0, action: Action::Put(put) }];
    ApplyArguments { caller, operation: None, reply_bytes_max: None, items }
}

/// A page of one record under the witness's own prefix, which who may only read that may ask for.
fn scan_arguments() -> ScanArguments {
    ScanArguments { records_max: Some(1), prefix: Some(ByteBuf::from(WITNESS_KEY)), ..ScanArguments::default() }
}

fn scan_refusal(reply: &[u8]) -> Option<Refusal> {
    match decode::<ScanResult>(reply) {
        Ok(Err(ScanError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
        Ok(Err(ScanError::MalformedArguments { .. })) => Some(Refusal::Malformed),
        _ => None,
    }
}

fn get_refusal(reply: &[u8]) -> Option<Refusal> {
    match decode::<GetResult>(reply) {
        Ok(Err(GetError::Unauthorised { caller })) => Some(Refusal::Unauthorised(caller)),
        Ok(Err(GetError::MalformedArguments { .. })) => Some(Refusal::Malformed),
        _ => None,
    }
}

fn read_refusal(error: ReadError) -> Refusal {
    match error {
        ReadError::Unauthorised { caller } => Refusal::Unauthorised(caller),
    }
}

fn move_refusal(error: MoveError) -> Option<Refusal> {
    match error {
        MoveError::Unauthorised { caller } => Some(Refusal::Unauthorised(caller)),
        MoveError::MalformedArguments { .. } => Some(Refusal::Malformed),
        _ => None,
    }
}

fn transfer_refusal(error: TransferError) -> Option<Refusal> {
    match error {
        TransferError::Unauthorised { caller } => Some(Refusal::Unauthorised(caller)),
        TransferError::MalformedArguments { .. } => Some(Refusal::Malformed),
        _ => None,
    }
}

fn shard_refusal(error: ShardError) -> Option<Refusal> {
    match error {
        ShardError::Unauthorised { caller } => Some(Refusal::Unauthorised(caller)),
        ShardError::MalformedArguments { .. } => Some(Refusal::Malformed),
        _ => None,
    }
}
