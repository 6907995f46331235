//! The management canister, driven call by call on a subnet without a network around it.

use std::sync::Arc;

use candid::{CandidType, Decode, Deserialize, Nat, Principal};
use ic_management_canister_types::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::chance::{Chance, Schedule};
use crate::cycles::Fees;
use crate::errors::ErrorCode;
use crate::limits::{GIB, MIB};
use crate::replica::certification::Signer;
use crate::replica::state::subnet::Routes;
use crate::replica::state::{
    CallbackId, Ingress, IngressRecord, IngressStatus, InstructionLimits, MessageId, Status, SubnetConfig, SubnetKind,
};

const T: u128 = 1_000_000_000_000;
const START_NANOS: u64 = 1_700_000_000_000_000_000;

fn user(n: u8) -> Principal {
    Principal::self_authenticating([n; 32])
}

fn subnet() -> SubnetState {
    let signer = Arc::new(Signer::new([7; 32]));
    let public_key = Arc::new(signer.public_key_der());
    let id = Principal::self_authenticating(public_key.as_slice());
    let config = SubnetConfig {
        id,
        kind: SubnetKind::Application,
        nodes: 13,
        fees: Fees { nodes: 13, free: false },
        limits: InstructionLimits::PRODUCTION,
        admins: vec![user(99)],
        ranges: vec![(0, 1_000), (5_000, 5_010)],
        allocation: (0, 1_000),
        root_key: public_key.clone(),
        public_key,
        signer,
        node_keys: Arc::default(),
        delegator: None,
        directory: Arc::default(),
        routes: Arc::new(Routes::default()),
        memory_bytes_max: 100 * GIB,
        reservation_threshold_bytes: 50 * GIB,
    };
    let mut subnet = SubnetState::new(config, START_NANOS, Chance::new(1, 0, Schedule::Plain));
    subnet.round = 1;
    subnet
}

fn ingress<A: CandidType>(caller: Principal, method: &str, argument: A) -> ManagementCall {
    ManagementCall {
        origin: CallOrigin::Ingress { sender: caller, id: MessageId([0; 32]) },
        caller,
        method: method.to_string(),
        payload: payload::encode(&argument),
        cycles: 0,
        arrived_round: 0,
    }
}

fn from_canister<A: CandidType>(caller: Principal, method: &str, argument: A, cycles: u128) -> ManagementCall {
    let origin = CallOrigin::Canister { caller, callback: CallbackId(1), deadline_seconds: None };
    ManagementCall { origin, cycles, ..ingress(caller, method, argument) }
}

fn run(subnet: &mut SubnetState, call: &ManagementCall) -> (Result<Vec<u8>, UserError>, u128) {
    match execute(subnet, call) {
        ManagementOutcome::Answered { result, refund, .. } => (result, refund),
        other => panic!("not answered: {other:?}"),
    }
}

fn ask<A: CandidType>(
    subnet: &mut SubnetState,
    caller: Principal,
    method: &str,
    argument: A,
) -> Result<Vec<u8>, UserError> {
    // A round passes, so that rates and randomness don't stand in the way.
    subnet.round += 1;
    for canister in subnet.canisters.values_mut() {
        canister.install_debit_instructions = 0;
        canister.heap_delta_debit_bytes = 0;
    }
    run(subnet, &ingress(caller, method, argument)).0
}

fn code_of(result: Result<Vec<u8>, UserError>) -> ErrorCode {
    result.expect_err("a refusal").code
}

fn new_canister(subnet: &mut SubnetState, owner: Principal) -> Principal {
    let reply = ask(
        subnet,
        owner,
        "provisional_create_canister_with_cycles",
        ProvisionalCreateCanisterWithCyclesArgs::default(),
    );
    Decode!(&reply.expect("creates"), CanisterIdRecord).expect("an id").canister_id
}

fn one(canister_id: Principal) -> CanisterIdRecord {
    CanisterIdRecord { canister_id }
}

/// Stores its init argument's first byte in heap and stable memory; traps in post_upgrade when the argument is `!`.
const KEEPER: &str = r#"(module
    (import "ic0" "msg_arg_data_copy" (func $arg (param i32 i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (memory 1)
    (global $count (mut i32) (i32.const 5))
    (func $keep
        (call $arg (i32.const 0) (i32.const 0) (call $size))
        (drop (call $grow (i64.const 1)))
        (call $write (i64.const 0) (i64.const 0) (i64.const 1))
        (call $certify (i32.const 0) (i32.const 1))
        (call $print (i32.const 0) (call $size)))
    (func (export "canister_init") (call $keep))
    (func (export "canister_pre_upgrade")
        (i32.store8 (i32.const 8) (i32.const 112))
        (call $write (i64.const 8) (i64.const 8) (i64.const 1)))
    (func (export "canister_post_upgrade")
        (call $keep)
        (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 33)) (then (call $trap (i32.const 0) (i32.const 1))))))"#;

fn keeper() -> Vec<u8> {
    wat::parse_str(KEEPER).expect("wat")
}

fn install(
    subnet: &mut SubnetState,
    caller: Principal,
    canister_id: Principal,
    mode: CanisterInstallMode,
    wasm_module: Vec<u8>,
    arg: &[u8],
) -> Result<Vec<u8>, UserError> {
    let args = InstallCodeArgs { mode, canister_id, wasm_module, arg: arg.to_vec(), sender_canister_version: None };
    ask(subnet, caller, "install_code", args)
}

fn stable_bytes(subnet: &SubnetState, id: Principal) -> Vec<u8> {
    let mut bytes = vec![0; 9];
    subnet.canisters[&id].code.as_ref().expect("code").runtime.stable().read(0, &mut bytes).expect("a page");
    bytes
}

fn total_cycles(subnet: &SubnetState) -> u128 {
    subnet.canisters.values().map(|canister| canister.account.total()).sum::<u128>() + subnet.ledger.burned
}

#[test]
fn creation_takes_its_fee_out_of_the_attached_cycles() {
    let mut subnet = subnet();
    let caller = new_canister(&mut subnet, user(1));
    let minted = subnet.ledger.minted;
    let args = CreateCanisterArgs { settings: None, sender_canister_version: Some(3) };
    let (reply, refund) = run(&mut subnet, &from_canister(caller, "create_canister", args.clone(), T));
    let id = Decode!(&reply.expect("creates"), CanisterIdRecord).expect("an id").canister_id;
    assert_eq!(refund, 0);
    assert_eq!(subnet.canisters[&id].account.balance, T / 2);
    assert_eq!(subnet.canisters[&id].settings.controllers, [caller].into());
    assert_eq!(total_cycles(&subnet), minted + T);

    let (reply, refund) = run(&mut subnet, &from_canister(caller, "create_canister", args, T / 2 - 1));
    let error = reply.expect_err("too few cycles");
    assert_eq!((error.code, refund), (ErrorCode::InsufficientCyclesForCreateCanister, T / 2 - 1));
    assert!(
        error.message.contains("a fee of 500_000_000_000 that")
            && error.message.contains("only 499_999_999_999 cycles")
    );
}

#[test]
fn a_specified_id_must_be_hosted_and_free() {
    let mut subnet = subnet();
    let mut create = |number: u64| {
        let specified_id = Some(crate::replica::state::subnet::canister_id(number));
        let args = ProvisionalCreateCanisterWithCyclesArgs { specified_id, ..Default::default() };
        ask(&mut subnet, user(1), "provisional_create_canister_with_cycles", args)
    };
    create(5_001).expect("in a range");
    assert_eq!(code_of(create(5_001)), ErrorCode::CanisterIdAlreadyExists);
    assert_eq!(code_of(create(7_000)), ErrorCode::CanisterNotHostedBySubnet);
}

#[test]
fn users_are_let_in_by_the_table_only() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    let argument = payload::encode(&one(id));
    assert_eq!(accept_ingress(&subnet, user(1), "stop_canister", &argument), Ok(Some(id)));
    let stranger = accept_ingress(&subnet, user(2), "stop_canister", &argument).expect_err("a stranger");
    assert_eq!(stranger.code, ErrorCode::CanisterInvalidController);
    assert_eq!(stranger.message, format!("Only controllers of canister {id} can call ic00 method stop_canister"));
    let raw = accept_ingress(&subnet, user(1), "raw_rand", payload::NOTHING).expect_err("canisters only");
    assert_eq!(raw.message, "ic00 method raw_rand can not be called via ingress messages");
    let none = accept_ingress(&subnet, user(1), "nonsense", payload::NOTHING).expect_err("unknown");
    assert_eq!(none.code, ErrorCode::CanisterRejectedMessage);
    let broken = accept_ingress(&subnet, user(1), "stop_canister", b"?").expect_err("no candid");
    assert_eq!(broken.code, ErrorCode::InvalidManagementPayload);
    assert_eq!(accept_ingress(&subnet, user(3), "provisional_create_canister_with_cycles", payload::NOTHING), Ok(None));
}

#[test]
fn settings_out_of_range_change_nothing() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    let mut set = |settings: CanisterSettings| {
        let args = UpdateSettingsArgs { canister_id: id, settings, sender_canister_version: None };
        ask(&mut subnet, user(1), "update_settings", args)
    };
    let with = CanisterSettings::default;
    let variable = |name: &str| EnvironmentVariable { name: name.to_string(), value: String::new() };
    for (settings, code) in [
        (
            CanisterSettings { controllers: Some((0..11).map(user).collect()), ..with() },
            ErrorCode::InvalidManagementPayload,
        ),
        (CanisterSettings { compute_allocation: Some(101u64.into()), ..with() }, ErrorCode::CanisterContractViolation),
        (
            CanisterSettings { freezing_threshold: Some((1u128 << 64).into()), ..with() },
            ErrorCode::CanisterContractViolation,
        ),
        (CanisterSettings { memory_allocation: Some((1u64 << 60).into()), ..with() }, ErrorCode::SubnetOversubscribed),
        (CanisterSettings { memory_allocation: Some(1u64.into()), ..with() }, ErrorCode::InsufficientMemoryAllocation),
        (
            CanisterSettings { environment_variables: Some(vec![variable("A"), variable("A")]), ..with() },
            ErrorCode::InvalidManagementPayload,
        ),
    ] {
        assert_eq!(code_of(set(settings)), code);
    }
    set(CanisterSettings { compute_allocation: Some(1u64.into()), ..with() }).expect("in range");
    let canister = &subnet.canisters[&id];
    assert_eq!((canister.version, canister.settings.compute_allocation_percent), (1, 1));
    assert_eq!(canister.settings.controllers, [user(1)].into());
}

#[test]
fn growth_above_the_threshold_reserves_cycles() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    let mut set = |bytes: u64| {
        let settings = CanisterSettings { memory_allocation: Some(bytes.into()), ..Default::default() };
        ask(
            &mut subnet,
            user(1),
            "update_settings",
            UpdateSettingsArgs { canister_id: id, settings, sender_canister_version: None },
        )
    };
    set(50 * GIB).expect("up to the threshold");
    let error = set(60 * GIB).expect_err("reserves more than the limit");
    assert_eq!(error.code, ErrorCode::ReservedCyclesLimitExceededInMemoryAllocation);
    set(50 * GIB + 64 * MIB).expect("a little above");
    let account = subnet.canisters[&id].account;
    assert!(account.reserved > 0);
    assert_eq!(account.total(), subnet.ledger.minted);
}

#[test]
fn an_upgrade_keeps_stable_memory_and_a_failed_one_keeps_everything() {
    let mut subnet = subnet();
    let (owner, id) = (user(1), new_canister(&mut subnet, user(1)));
    install(&mut subnet, owner, id, CanisterInstallMode::Install, keeper(), b"a").expect("installs");
    assert_eq!(subnet.canisters[&id].version, 1);
    assert_eq!(subnet.canisters[&id].certified_data, b"a");
    let again = install(&mut subnet, owner, id, CanisterInstallMode::Install, keeper(), b"b");
    assert_eq!(code_of(again), ErrorCode::CanisterNonEmpty);

    let trapped = install(&mut subnet, owner, id, CanisterInstallMode::Upgrade(None), keeper(), b"!");
    let error = trapped.expect_err("traps");
    assert_eq!(error.code, ErrorCode::CanisterCalledTrap);
    assert!(error.message.starts_with(&format!("Error from Canister {id}: ")));
    assert_eq!(stable_bytes(&subnet, id), b"a\0\0\0\0\0\0\0\0");
    assert_eq!(subnet.canisters[&id].certified_data, b"a");
    assert_eq!(subnet.canisters[&id].version, 1);
    assert_eq!(subnet.canisters[&id].log.records.back().expect("a line").content, b"[TRAP]: !");

    install(&mut subnet, owner, id, CanisterInstallMode::Upgrade(None), keeper(), b"b").expect("upgrades");
    assert_eq!(stable_bytes(&subnet, id), b"b\0\0\0\0\0\0\0p");
    let flags = UpgradeFlags { skip_pre_upgrade: Some(true), wasm_memory_persistence: None };
    install(&mut subnet, owner, id, CanisterInstallMode::Upgrade(Some(flags)), keeper(), b"c").expect("upgrades");
    let code = subnet.canisters[&id].code.as_ref().expect("code");
    assert_eq!(code.runtime.stable().size_pages(), 3);
    install(&mut subnet, owner, id, CanisterInstallMode::Reinstall, keeper(), b"d").expect("reinstalls");
    assert_eq!(stable_bytes(&subnet, id), b"d\0\0\0\0\0\0\0\0");
    assert_eq!(subnet.canisters[&id].log.records.len(), 1);
    assert_eq!(subnet.canisters[&id].account.total(), subnet.ledger.minted);
}

#[test]
fn a_module_seen_before_costs_next_to_nothing() {
    let mut subnet = subnet();
    let mut price = || {
        let id = new_canister(&mut subnet, user(1));
        install(&mut subnet, user(1), id, CanisterInstallMode::Install, keeper(), b"a").expect("installs");
        subnet.canisters[&id].account.consumed
    };
    let (first, second) = (price(), price());
    let (module, _) = crate::wasm::Engine::shared().compile(&keeper()).expect("valid");
    let compile = |before| compile_cost::compile_instructions(&module, before) as u128;
    assert_eq!(first - second, compile(false) - compile(true));
}

#[test]
fn installing_needs_its_prepayment_and_a_quiet_past() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    subnet.canisters.get_mut(&id).expect("made").account.balance = 250_000_000_000;
    let poor = install(&mut subnet, user(1), id, CanisterInstallMode::Install, keeper(), b"").expect_err("poor");
    assert_eq!(poor.code, ErrorCode::CanisterOutOfCycles);
    assert!(poor.message.starts_with(&format!(
        "Canister installation failed with `Canister {id} is out of cycles: please top up the canister with at least 50_0"
    )));
    let canister = subnet.canisters.get_mut(&id).expect("made");
    canister.account.balance = T;
    canister.install_debit_instructions = 1;
    let args = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id: id,
        wasm_module: keeper(),
        arg: vec![],
        sender_canister_version: None,
    };
    let (result, _) = run(&mut subnet, &ingress(user(1), "install_code", args));
    assert_eq!(code_of(result), ErrorCode::CanisterInstallCodeRateLimited);
}

#[test]
fn an_upgrade_of_nothing_fails() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    let result = install(&mut subnet, user(1), id, CanisterInstallMode::Upgrade(None), keeper(), b"");
    assert_eq!(code_of(result), ErrorCode::CanisterWasmModuleNotFound);
}

#[test]
fn chunks_join_to_a_module() {
    let mut subnet = subnet();
    let (store, target) = (new_canister(&mut subnet, user(1)), new_canister(&mut subnet, user(1)));
    let wasm = keeper();
    let mut hashes = Vec::new();
    for chunk in wasm.chunks(wasm.len() / 2 + 1) {
        let args = UploadChunkArgs { canister_id: store, chunk: chunk.to_vec() };
        let reply = ask(&mut subnet, user(1), "upload_chunk", args).expect("uploads");
        hashes.push(Decode!(&reply, ChunkHash).expect("a hash"));
    }
    let too_large = UploadChunkArgs { canister_id: store, chunk: vec![0; MIB as usize + 1] };
    assert_eq!(code_of(ask(&mut subnet, user(1), "upload_chunk", too_large)), ErrorCode::CanisterContractViolation);
    let mut install = |hash: Vec<u8>| {
        let args = InstallChunkedCodeArgs {
            mode: CanisterInstallMode::Install,
            target_canister: target,
            store_canister: Some(store),
            chunk_hashes_list: hashes.clone(),
            wasm_module_hash: hash,
            arg: b"x".to_vec(),
            sender_canister_version: None,
        };
        ask(&mut subnet, user(1), "install_chunked_code", args)
    };
    assert_eq!(code_of(install(vec![7; 32])), ErrorCode::CanisterContractViolation);
    install(Sha256::digest(&wasm).to_vec()).expect("installs");
    assert_eq!(stable_bytes(&subnet, target)[0], b'x');
    ask(&mut subnet, user(1), "clear_chunk_store", one(store)).expect("clears");
    assert!(subnet.canisters[&store].chunk_store.chunks.is_empty());
}

#[test]
fn a_stop_is_answered_when_the_canister_is_quiet() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    for _ in 0..2 {
        assert!(matches!(execute(&mut subnet, &ingress(user(1), "stop_canister", one(id))), ManagementOutcome::Later));
    }
    settle_stopping(&mut subnet);
    assert!(matches!(subnet.canisters[&id].status, Status::Stopped));
    ask(&mut subnet, user(1), "stop_canister", one(id)).expect("stopped already");
    ask(&mut subnet, user(1), "start_canister", one(id)).expect("starts");
    assert_eq!(subnet.canisters[&id].version, 3);
}

#[test]
fn a_stop_times_out_and_a_start_cancels_it() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    let open = |subnet: &mut SubnetState| {
        let mut record = IngressRecord::received(&Ingress {
            id: MessageId([0; 32]),
            sender: user(1),
            receiver: Principal::management_canister(),
            method: "stop_canister".to_string(),
            payload: Vec::new(),
            expiry_nanos: u64::MAX,
        });
        record.set(IngressStatus::Processing);
        subnet.ingress_history.insert(MessageId([0; 32]), record);
        execute(subnet, &ingress(user(1), "stop_canister", one(id)));
        let contexts = &mut subnet.canisters.get_mut(&id).expect("made").contexts;
        let context = crate::replica::state::CallContext {
            origin: CallOrigin::System,
            available: 0,
            answered: false,
            deleted: false,
            open_callbacks: 1,
            instructions: 0,
            method: String::new(),
        };
        contexts.insert(crate::replica::state::ContextId(1), context);
    };
    let rejection = |subnet: &SubnetState| match &subnet.ingress_history[&MessageId([0; 32])].status {
        IngressStatus::Rejected(error) => error.code,
        other => panic!("not rejected: {other:?}"),
    };
    open(&mut subnet);
    subnet.time_nanos += 299_000_000_000;
    settle_stopping(&mut subnet);
    assert_eq!(subnet.ingress_history[&MessageId([0; 32])].status, IngressStatus::Processing);
    subnet.time_nanos += 1_000_000_000;
    settle_stopping(&mut subnet);
    assert_eq!(rejection(&subnet), ErrorCode::StopCanisterRequestTimeout);
    assert!(matches!(subnet.canisters[&id].status, Status::Stopping { .. }));

    open(&mut subnet);
    ask(&mut subnet, user(1), "start_canister", one(id)).expect("starts");
    assert_eq!(rejection(&subnet), ErrorCode::CanisterStoppingCancelled);
    assert!(matches!(subnet.canisters[&id].status, Status::Running));
}

#[test]
fn only_stopped_canisters_are_deleted() {
    let mut subnet = subnet();
    let id = new_canister(&mut subnet, user(1));
    assert_eq!(code_of(ask(&mut subnet, user(1), "delete_canister", one(id))), ErrorCode::CanisterNotStopped);
    execute(&mut subnet, &ingress(user(1), "stop_canister", one(id)));
    settle_stopping(&mut subnet);
    ask(&mut subnet, user(1), "delete_canister", one(id)).expect("deletes");
    assert_eq!(code_of(ask(&mut subnet, user(1), "start_canister", one(id))), ErrorCode::CanisterNotFound);
    assert_eq!(total_cycles(&subnet), subnet.ledger.minted);
}

#[test]
fn a_snapshot_brings_everything_back() {
    let mut subnet = subnet();
    let (owner, id) = (user(1), new_canister(&mut subnet, user(1)));
    install(&mut subnet, owner, id, CanisterInstallMode::Install, keeper(), b"a").expect("installs");
    let take = TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let reply = ask(&mut subnet, owner, "take_canister_snapshot", take.clone()).expect("takes");
    let taken = Decode!(&reply, Snapshot).expect("a snapshot");
    assert!(taken.total_size > 65_536);
    install(&mut subnet, owner, id, CanisterInstallMode::Upgrade(None), keeper(), b"b").expect("upgrades");
    let load = |canister_id: Principal, snapshot_id: &[u8]| LoadCanisterSnapshotArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
        sender_canister_version: None,
    };
    ask(&mut subnet, owner, "load_canister_snapshot", load(id, &taken.id)).expect("loads");
    assert_eq!(stable_bytes(&subnet, id), b"a\0\0\0\0\0\0\0\0");
    assert_eq!(subnet.canisters[&id].certified_data, b"a");
    assert_eq!(subnet.canisters[&id].version, 3);

    let other = new_canister(&mut subnet, owner);
    let early =
        ask(&mut subnet, owner, "load_canister_snapshot", load(other, &taken.id)).expect_err("no checkpoint yet");
    assert_eq!(early.code, ErrorCode::CanisterRejectedMessage);
    assert!(early.message.contains("is not currently loadable on the specified canister"));
    subnet.round = 500;
    ask(&mut subnet, owner, "load_canister_snapshot", load(other, &taken.id)).expect("loads after the checkpoint");
    assert_eq!(stable_bytes(&subnet, other), b"a\0\0\0\0\0\0\0\0");

    for _ in 1..10 {
        ask(&mut subnet, owner, "take_canister_snapshot", take.clone()).expect("takes");
    }
    let eleventh = ask(&mut subnet, owner, "take_canister_snapshot", take.clone());
    assert_eq!(code_of(eleventh), ErrorCode::CanisterRejectedMessage);
    let replacing = TakeCanisterSnapshotArgs { replace_snapshot: Some(taken.id.clone()), ..take };
    ask(&mut subnet, owner, "take_canister_snapshot", replacing).expect("replaces");
    let gone = ask(&mut subnet, owner, "load_canister_snapshot", load(id, &taken.id));
    assert_eq!(code_of(gone), ErrorCode::CanisterSnapshotNotFound);
    assert_eq!(total_cycles(&subnet), subnet.ledger.minted);
}

#[test]
fn a_snapshot_moves_in_pieces() {
    let mut subnet = subnet();
    let (owner, id) = (user(1), new_canister(&mut subnet, user(1)));
    install(&mut subnet, owner, id, CanisterInstallMode::Install, keeper(), b"a").expect("installs");
    let take = TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let taken =
        Decode!(&ask(&mut subnet, owner, "take_canister_snapshot", take).expect("takes"), Snapshot).expect("one");
    let args = ReadCanisterSnapshotMetadataArgs { canister_id: id, snapshot_id: taken.id.clone() };
    let reply = ask(&mut subnet, owner, "read_canister_snapshot_metadata", args).expect("reads");
    let metadata = Decode!(&reply, ReadCanisterSnapshotMetadataResult).expect("metadata");
    let target = new_canister(&mut subnet, owner);
    let args = UploadCanisterSnapshotMetadataArgs {
        canister_id: target,
        replace_snapshot: None,
        wasm_module_size: metadata.wasm_module_size,
        globals: metadata.globals.into_iter().map(|global| global.expect("known")).collect(),
        wasm_memory_size: metadata.wasm_memory_size,
        stable_memory_size: metadata.stable_memory_size,
        certified_data: metadata.certified_data,
        global_timer: metadata.global_timer,
        on_low_wasm_memory_hook_status: metadata.on_low_wasm_memory_hook_status,
    };
    let reply = ask(&mut subnet, owner, "upload_canister_snapshot_metadata", args).expect("uploads");
    let uploaded = Decode!(&reply, UploadCanisterSnapshotMetadataResult).expect("an id").snapshot_id;
    for (size, read, write) in [
        (
            metadata.wasm_module_size,
            SnapshotDataKind::WasmModule { offset: 0, size: metadata.wasm_module_size },
            SnapshotDataOffset::WasmModule { offset: 0 },
        ),
        (
            metadata.wasm_memory_size,
            SnapshotDataKind::WasmMemory { offset: 0, size: metadata.wasm_memory_size },
            SnapshotDataOffset::WasmMemory { offset: 0 },
        ),
        (
            metadata.stable_memory_size,
            SnapshotDataKind::StableMemory { offset: 0, size: metadata.stable_memory_size },
            SnapshotDataOffset::StableMemory { offset: 0 },
        ),
    ] {
        let args = ReadCanisterSnapshotDataArgs { canister_id: id, snapshot_id: taken.id.clone(), kind: read };
        let reply = ask(&mut subnet, owner, "read_canister_snapshot_data", args).expect("reads");
        let chunk = Decode!(&reply, ReadCanisterSnapshotDataResult).expect("a piece").chunk;
        assert_eq!(chunk.len() as u64, size);
        let args =
            UploadCanisterSnapshotDataArgs { canister_id: target, snapshot_id: uploaded.clone(), kind: write, chunk };
        ask(&mut subnet, owner, "upload_canister_snapshot_data", args).expect("uploads");
    }
    let args = LoadCanisterSnapshotArgs { canister_id: target, snapshot_id: uploaded, sender_canister_version: None };
    ask(&mut subnet, owner, "load_canister_snapshot", args).expect("loads");
    assert_eq!(stable_bytes(&subnet, target), b"a\0\0\0\0\0\0\0\0");
    let (old, new) = (&subnet.canisters[&id].code, &subnet.canisters[&target].code);
    let image = |code: &Option<crate::replica::state::Code>| code.as_ref().expect("code").runtime.heap_image();
    assert_eq!(image(old), image(new));
}

#[test]
fn history_and_status_tell_what_happened() {
    let mut subnet = subnet();
    let (owner, id) = (user(1), new_canister(&mut subnet, user(1)));
    install(&mut subnet, owner, id, CanisterInstallMode::Install, keeper(), b"a").expect("installs");
    ask(&mut subnet, owner, "uninstall_code", UninstallCodeArgs { canister_id: id, sender_canister_version: None })
        .expect("uninstalls");
    let asker = new_canister(&mut subnet, owner);
    let args = CanisterInfoArgs { canister_id: id, num_requested_changes: Some(2) };
    let (reply, _) = run(&mut subnet, &from_canister(asker, "canister_info", args, 0));
    let info = Decode!(&reply.expect("tells"), CanisterInfoResult).expect("info");
    assert_eq!((info.total_num_changes, info.module_hash), (3, None));
    let versions: Vec<u64> = info.recent_changes.iter().map(|change| change.canister_version).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(info.recent_changes[1].details, Some(ChangeDetails::CodeUninstall));

    let reply = query(&subnet, owner, "canister_status", &payload::encode(&one(id))).expect("tells");
    let status = Decode!(&reply, CanisterStatusResult).expect("the newest status");
    assert_eq!((status.version, status.module_hash), (2, None));
    // Clients of the newest interface refuse an answer without these.
    #[derive(CandidType, Deserialize)]
    struct NewestSettings {
        minimum_incoming_canister_call_cycles: Nat,
        status_visibility: LogVisibility,
    }
    #[derive(CandidType, Deserialize)]
    struct NewestStatus {
        settings: NewestSettings,
    }
    let newest = Decode!(&reply, NewestStatus).expect("the newest settings").settings;
    assert_eq!(newest.minimum_incoming_canister_call_cycles, 0u8);
    assert_eq!(newest.status_visibility, LogVisibility::Controllers);
    let stranger = query(&subnet, user(2), "canister_status", &payload::encode(&one(id)));
    assert_eq!(code_of(stranger), ErrorCode::CanisterInvalidController);
}

#[test]
fn logs_are_for_those_whom_the_settings_name() {
    let mut subnet = subnet();
    let (owner, id) = (user(1), new_canister(&mut subnet, user(1)));
    install(&mut subnet, owner, id, CanisterInstallMode::Install, keeper(), b"hello").expect("installs");
    let argument = payload::encode(&FetchCanisterLogsArgs { canister_id: id, filter: None });
    let reply = query(&subnet, owner, "fetch_canister_logs", &argument).expect("reads");
    let records = Decode!(&reply, FetchCanisterLogsResult).expect("logs").canister_log_records;
    assert_eq!(records.iter().map(|record| &record.content[..]).collect::<Vec<_>>(), [b"hello"]);
    let stranger = query(&subnet, user(2), "fetch_canister_logs", &argument);
    assert_eq!(code_of(stranger), ErrorCode::CanisterRejectedMessage);

    let argument = FetchCanisterLogsArgs { canister_id: id, filter: None };
    let (unpaid, refund) = run(&mut subnet, &from_canister(owner, "fetch_canister_logs", argument.clone(), 5));
    assert_eq!((code_of(unpaid), refund), (ErrorCode::CanisterRejectedMessage, 5));
    let (paid, refund) = run(&mut subnet, &from_canister(owner, "fetch_canister_logs", argument, T));
    assert_eq!(T - refund, 1_000_000 + 800 * paid.expect("paid").len() as u128);
}

#[test]
fn randomness_comes_in_a_later_round() {
    let mut subnet = subnet();
    let caller = new_canister(&mut subnet, user(1));
    let call = ManagementCall { arrived_round: subnet.round, ..from_canister(caller, "raw_rand", (), 0) };
    assert!(matches!(execute(&mut subnet, &call), ManagementOutcome::NextRound));
    subnet.round += 1;
    let (first, second) = (run(&mut subnet, &call).0.expect("bytes"), run(&mut subnet, &call).0.expect("bytes"));
    assert_ne!(first, second);
    assert_eq!(Decode!(&first, Vec<u8>).expect("a blob").len(), 32);
}

#[test]
fn what_has_no_backend_is_refused_with_its_cycles() {
    let mut subnet = subnet();
    let caller = new_canister(&mut subnet, user(1));
    let (result, refund) = run(&mut subnet, &from_canister(caller, "http_request", (), 77));
    assert_eq!((code_of(result), refund), (ErrorCode::UnknownManagementMessage, 77));
    assert_eq!(route("update", b"").expect_err("unknown").1, "IC0536: Management canister has no method 'update'");
}
