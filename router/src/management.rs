//! What the router says to the management canister, and what it reads of the answers.

use candid::{CandidType, Principal};
use canopy_types::MalformedArguments;
use canopy_types::codec;
use canopy_types::limits::RANDOM_BYTES_PER_CALL;
use serde::Deserialize;
use serde_bytes::{ByteBuf, Bytes};

#[cfg(test)]
mod tests;

#[derive(CandidType)]
struct CreateCanisterArguments {
    settings: Option<CanisterSettings>,
}

#[derive(CandidType)]
struct CanisterSettings {
    controllers: Option<Vec<Principal>>,
}

#[derive(CandidType, Deserialize)]
struct CanisterIdRecord {
    canister_id: Principal,
}

// `Deserialize` only makes the attribute below known.
#[derive(CandidType, Deserialize)]
enum InstallMode {
    #[serde(rename = "install")]
    Install,
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

/// Encodes the argument of `raw_rand`.
pub fn raw_rand() -> Vec<u8> {
    candid::encode_args(()).expect("nothing is encoded")
}

/// Encodes the argument of `create_canister` with these controllers.
pub fn create_canister(controllers: Vec<Principal>) -> Vec<u8> {
    codec::encode(&CreateCanisterArguments { settings: Some(CanisterSettings { controllers: Some(controllers) }) })
}

/// Encodes the argument of `canister_status`.
pub fn canister_status(canister: Principal) -> Vec<u8> {
    codec::encode(&CanisterIdRecord { canister_id: canister })
}

/// Encodes the argument of `update_settings` that changes the controllers and nothing else.
pub fn set_controllers(canister: Principal, controllers: Vec<Principal>) -> Vec<u8> {
    let settings = CanisterSettings { controllers: Some(controllers) };
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

/// Encodes the argument of `install_code`, which fails unless the canister is empty: so code that is there stays.
pub fn install_code(canister: Principal, module: &[u8], argument: &[u8]) -> Vec<u8> {
    codec::encode(&InstallCodeArguments {
        mode: InstallMode::Install,
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
