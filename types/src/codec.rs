//! Candid in and out, with bounds on what decoding may cost.

use candid::utils::decode_args_with_config;
use candid::{CandidType, DecoderConfig};
use serde::de::DeserializeOwned;

use crate::limits::{MESSAGE_BYTES_MAX, bounded_reason};

#[cfg(test)]
mod tests;

/// Work that decoding one message may cause, in the decoder's units: about 4 per byte of data.
///
/// A small message can describe a huge value; past this the decoder gives up.
pub const DECODING_QUOTA: usize = 8 * MESSAGE_BYTES_MAX;

/// Work that skipping unknown fields may cause, in the decoder's units.
///
/// It also bounds how deep a skipped value may be (a level costs 3 units), because the decoder's own bound on depth does
/// not hold in Wasm: there about 4,500 levels fill a mebibyte of stack, and the canisters have four.
pub const SKIPPING_QUOTA: usize = 10_000;

/// Bytes that are not the Candid of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedArguments {
    /// What the decoder found, shortened.
    pub reason: String,
}

/// Decodes the one argument of a method, or the one value of a reply.
///
/// # Errors
///
/// Bytes that aren't Candid, are of another type, or would cost more than the quotas allow.
pub fn decode<T: CandidType + DeserializeOwned>(bytes: &[u8]) -> Result<T, MalformedArguments> {
    let mut configuration = DecoderConfig::new();
    configuration.set_decoding_quota(DECODING_QUOTA).set_skipping_quota(SKIPPING_QUOTA);
    decode_args_with_config::<(T,)>(bytes, &configuration)
        .map(|(value,)| value)
        .map_err(|error| MalformedArguments { reason: bounded_reason(&reason(&error)) })
}

/// Tells what is wrong, the cause first: where the decoder stands may take more room than there is.
fn reason(error: &candid::Error) -> String {
    match error {
        candid::Error::Custom(custom) if custom.chain().len() > 1 => format!("{}: {custom}", custom.root_cause()),
        other => other.to_string(),
    }
}

/// Encodes one value.
pub fn encode<T: CandidType>(value: &T) -> Vec<u8> {
    candid::encode_one(value)
        .expect("encoding writes to memory only, and the types of this crate have no custom encoder")
}
