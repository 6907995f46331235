//! Passes: what a client shows to a chunk's shard, which knows nothing about the upload.
//!
//! ```text
//! of an upload    | takes chunks until 8 | length of the value 8 | seal 32 |
//! of a manifest   | length of the value 8 | seal 32 |
//! ```
//!
//! The seal covers the upload's id and the key too, and an upload's the owner: so a chunk is stored only for who began
//! the upload, and read only by who may read its key. All shards have the secret of the seals.

use candid::Principal;
use canopy_types::{TagSecret, UploadFault, UploadId};

const SEAL_BYTES: usize = 32;

/// What is sealed for an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadTerms {
    pub until_nanoseconds: u64,
    pub value_bytes: u64,
}

fn seal_upload(tags: &TagSecret, upload: UploadId, owner: Principal, key: &[u8], terms: &[u8]) -> [u8; SEAL_BYTES] {
    let owner = owner.as_slice();
    tags.seal(&[b"upload", &upload.0, terms, &[owner.len() as u8], owner, key])
}

fn seal_manifest(tags: &TagSecret, upload: UploadId, key: &[u8], value_bytes: &[u8]) -> [u8; SEAL_BYTES] {
    tags.seal(&[b"manifest", &upload.0, value_bytes, key])
}

/// Makes the pass of an upload.
pub fn for_upload(tags: &TagSecret, upload: UploadId, owner: Principal, key: &[u8], terms: UploadTerms) -> Vec<u8> {
    let mut pass = Vec::with_capacity(16 + SEAL_BYTES);
    pass.extend(terms.until_nanoseconds.to_le_bytes());
    pass.extend(terms.value_bytes.to_le_bytes());
    let seal = seal_upload(tags, upload, owner, key, &pass);
    pass.extend(seal);
    pass
}

/// Makes the pass of a manifest.
pub fn for_manifest(tags: &TagSecret, upload: UploadId, key: &[u8], value_bytes: u64) -> Vec<u8> {
    let mut pass = value_bytes.to_le_bytes().to_vec();
    let seal = seal_manifest(tags, upload, key, &pass);
    pass.extend(seal);
    pass
}

/// Reads the pass of an upload.
///
/// # Errors
///
/// `InvalidPass`.
pub fn read_upload(
    tags: &TagSecret,
    upload: UploadId,
    owner: Principal,
    key: &[u8],
    pass: &[u8],
) -> Result<UploadTerms, UploadFault> {
    let (terms, seal) = pass.split_first_chunk::<16>().ok_or(UploadFault::InvalidPass)?;
    if !is_equal(seal, &seal_upload(tags, upload, owner, key, terms)) {
        return Err(UploadFault::InvalidPass);
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| terms[at + byte]));
    Ok(UploadTerms { until_nanoseconds: number(0), value_bytes: number(8) })
}

/// Reads the pass of a manifest: the length of its value.
///
/// # Errors
///
/// `InvalidPass`.
pub fn read_manifest(tags: &TagSecret, upload: UploadId, key: &[u8], pass: &[u8]) -> Result<u64, UploadFault> {
    let (value_bytes, seal) = pass.split_first_chunk::<8>().ok_or(UploadFault::InvalidPass)?;
    if !is_equal(seal, &seal_manifest(tags, upload, key, value_bytes)) {
        return Err(UploadFault::InvalidPass);
    }
    Ok(u64::from_le_bytes(*value_bytes))
}

/// Compares without telling, by the time it takes, how many bytes agree.
fn is_equal(one: &[u8], other: &[u8; SEAL_BYTES]) -> bool {
    one.len() == SEAL_BYTES && one.iter().zip(other).fold(0, |difference, (a, b)| difference | a ^ b) == 0
}
