//! Candid of management calls: bounded decoding, and replies.

use candid::utils::{ArgumentDecoder, ArgumentEncoder};
use candid::{CandidType, DecoderConfig, Nat};
use serde::de::DeserializeOwned;

use super::errors::Refusal;

/// Work that decoding an argument may take; an argument of 10 MiB of bytes stays far below.
const DECODING_QUOTA: usize = 1 << 30;
/// Work that may be spent on fields nobody knows.
const SKIPPING_QUOTA: usize = 1 << 28;

/// Candid of no values.
pub const NOTHING: &[u8] = b"DIDL\0\0";

/// Decodes an argument of one value; further values are skipped.
///
/// # Errors
/// `Refusal::Payload` with the decoder's words.
pub fn decode<T: CandidType + DeserializeOwned>(argument: &[u8]) -> Result<T, Refusal> {
    decode_all::<(T,)>(argument).map(|(value,)| value)
}

fn decode_all<T: for<'a> ArgumentDecoder<'a>>(argument: &[u8]) -> Result<T, Refusal> {
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(DECODING_QUOTA).set_skipping_quota(SKIPPING_QUOTA).set_full_error_message(false);
    candid::utils::decode_args_with_config(argument, &config).map_err(|error| Refusal::Payload(error.to_string()))
}

/// Encodes one value.
pub fn encode<T: CandidType>(value: &T) -> Vec<u8> {
    encode_all((value,))
}

fn encode_all<T: ArgumentEncoder>(values: T) -> Vec<u8> {
    candid::encode_args(values).expect("plain data types always encode")
}

/// Returns a `nat` as u64, or None if it is larger.
pub fn nat_u64(n: &Nat) -> Option<u64> {
    u64::try_from(&n.0).ok()
}

/// Returns a `nat` as u128, or None if it is larger.
pub fn nat_u128(n: &Nat) -> Option<u128> {
    u128::try_from(&n.0).ok()
}
