//! What the router says to the management canister, and what it reads of the answers.

use candid::{CandidType, Nat, Principal};
use canopy_types::MalformedArguments;
use canopy_types::codec;
use canopy_types::limits::RANDOM_BYTES_PER_CALL;
use serde::Deserialize;
use serde_bytes::{ByteBuf, Bytes};

use crate::growth::Reservation;
use crate::readings::number;

#[cfg(test)]
mod tests;

#[derive(CandidType)]
struct CreateCanisterArguments {
    settings: Option<CanisterSettings>,
}

#[derive(CandidType)]
struct CanisterSettings {
    controllers: Option<Vec<Principal>>,
    wasm_memory_threshold: Option<Nat>,
}

/// A shard is told that the memory of its code is nearly used up when less than this is left: 512 MiB, many times what a
/// message takes.
const HEAP_LEFT_BYTES: u64 = 512 << 20;

#[derive(CandidType, Deserialize)]
struct CanisterIdRecord {
    canister_id: Principal,
}

// `Deserialize` only makes the attribute below known.
#[derive(CandidType, Deserialize)]
enum InstallMode {
    #[serde(rename = "install")]
    Install,
    #[serde(rename = "reinstall")]
    Reinstall,
}

#[derive(CandidType)]
struct InstallCodeArguments<'a> {
    mode: InstallMode,
    canister_id: Principal,
    wasm_module: &'a Bytes,
    arg: &'a Bytes,
}

#[derive(CandidType, Deserialize)]
struct CanisterStatus {
    module_hash: Option<ByteBuf>,
}

#[derive(CandidType)]
struct UpdateSettingsArguments {
    canister_id: Principal,
    settings: CanisterSettings,
}

#[derive(CandidType, Deserialize)]
struct StatusSettings {
    controllers: Vec<Principal>,
}

#[derive(CandidType, Deserialize)]
struct CanisterControl {
    settings: StatusSettings,
}

#[derive(CandidType, Deserialize)]
struct ReservationSettings {
    reserved_cycles_limit: Nat,
}

#[derive(CandidType, Deserialize)]
struct CanisterReservation {
    reserved_cycles: Nat,
    settings: ReservationSettings,
}

/// Encodes the argument of `raw_rand`.
pub fn raw_rand() -> Vec<u8> {
    candid::encode_args(()).expect("nothing is encoded")
}

/// Encodes the argument of `create_canister` with these controllers, and a word of warning before memory is used up.
pub fn create_canister(controllers: Vec<Principal>) -> Vec<u8> {
    let wasm_memory_threshold = Some(Nat::from(HEAP_LEFT_BYTES));
    let settings = CanisterSettings { controllers: Some(controllers), wasm_memory_threshold };
    codec::encode(&CreateCanisterArguments { settings: Some(settings) })
}

/// Encodes the argument of `deposit_cycles`.
pub fn deposit_cycles(canister: Principal) -> Vec<u8> {
    codec::encode(&CanisterIdRecord { canister_id: canister })
}

/// Encodes the argument of `canister_status`.
pub fn canister_status(canister: Principal) -> Vec<u8> {
    codec::encode(&CanisterIdRecord { canister_id: canister })
}

/// Encodes the argument of `update_settings` that changes the controllers and nothing else.
pub fn set_controllers(canister: Principal, controllers: Vec<Principal>) -> Vec<u8> {
    let settings = CanisterSettings { controllers: Some(controllers), wasm_memory_threshold: None };
    codec::encode(&UpdateSettingsArguments { canister_id: canister, settings })
}

/// Reads the controllers in the answer of `canister_status`.
///
/// # Errors
///
/// Anything that is no status.
pub fn read_controllers(answer: &[u8]) -> Result<Vec<Principal>, MalformedArguments> {
    codec::decode::<CanisterControl>(answer).map(|control| control.settings.controllers)
}

/// Reads the reserved cycles, and their limit, in the answer of `canister_status`.
///
/// # Errors
///
/// Anything that is no status.
pub fn read_reservation(answer: &[u8]) -> Result<Reservation, MalformedArguments> {
    codec::decode::<CanisterReservation>(answer).map(|found| Reservation {
        reserved: number(&found.reserved_cycles),
        limit: number(&found.settings.reserved_cycles_limit),
    })
}

/// Encodes the argument of `install_code`, which fails unless the canister is empty: so code that is there stays.
pub fn install_code(canister: Principal, module: &[u8], argument: &[u8]) -> Vec<u8> {
    install(InstallMode::Install, canister, module, argument)
}

/// Encodes the argument of `install_code` that wipes the canister first.
pub fn reinstall_code(canister: Principal, module: &[u8], argument: &[u8]) -> Vec<u8> {
    install(InstallMode::Reinstall, canister, module, argument)
}

fn install(mode: InstallMode, canister: Principal, module: &[u8], argument: &[u8]) -> Vec<u8> {
    codec::encode(&InstallCodeArguments {
        mode,
        canister_id: canister,
        wasm_module: Bytes::new(module),
        arg: Bytes::new(argument),
    })
}

/// Reads the answer of `raw_rand`.
///
/// # Errors
///
/// Anything but 32 bytes.
pub fn read_random(answer: &[u8]) -> Result<[u8; RANDOM_BYTES_PER_CALL], MalformedArguments> {
    let bytes: ByteBuf = codec::decode(answer)?;
    bytes
        .as_slice()
        .try_into()
        .map_err(|_| MalformedArguments { reason: format!("{} random bytes instead of 32", bytes.len()) })
}

/// Reads the answer of `create_canister`.
///
/// # Errors
///
/// Anything without a canister id.
pub fn read_created(answer: &[u8]) -> Result<Principal, MalformedArguments> {
    codec::decode::<CanisterIdRecord>(answer).map(|record| record.canister_id)
}

/// Reads the module hash in the answer of `canister_status`; `None` for an empty canister.
///
/// # Errors
///
/// Anything that is no status.
pub fn read_module_hash(answer: &[u8]) -> Result<Option<Vec<u8>>, MalformedArguments> {
    codec::decode::<CanisterStatus>(answer).map(|status| status.module_hash.map(ByteBuf::into_vec))
}
