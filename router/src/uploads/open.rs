//! Who has how many uploads open, and how long they are: in stable memory, an entry each.
//!
//! An entry is made before the upload's record and removed when the upload is known to be over. One whose removal was
//! lost on the way ends with the upload's time.

use candid::Principal;
use canopy_types::limits::OPEN_UPLOADS_TOTAL_MAX;
use canopy_types::policy::UploadPolicy;
use canopy_types::{UploadFault, UploadId};
use ic_stable_structures::{Memory, StableBTreeMap};

#[cfg(test)]
mod tests;

const OWNER_BYTES: usize = 30;
const UPLOAD_BYTES: usize = 16;

/// Length of the owner's principal, its bytes, zeros, then the upload's id.
pub type Key = [u8; OWNER_BYTES + UPLOAD_BYTES];
/// Length of the value, and until when the upload takes chunks, both in 8 bytes.
pub type Entry = [u8; 16];

/// Entries that are looked at for ones whose time is over, when there are as many as may be.
const LOOKED_AT_MAX: usize = 1_024;

/// An upload that is about to begin.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub owner: Principal,
    pub upload: UploadId,
    pub value_bytes: u64,
    /// Until when it takes chunks, in nanoseconds.
    pub until: u64,
    pub now: u64,
}

fn key(owner: Principal, upload: UploadId) -> Key {
    let mut key = [0; OWNER_BYTES + UPLOAD_BYTES];
    let bytes = owner.as_slice();
    key[0] = bytes.len() as u8;
    key[1..][..bytes.len()].copy_from_slice(bytes);
    key[OWNER_BYTES..].copy_from_slice(&upload.0);
    key
}

fn number(entry: &Entry, at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| entry[at + byte]))
}

/// Counts an upload as open, unless it is counted already; tells whether it is new. Entries whose time is over are
/// dropped on the way.
///
/// # Errors
///
/// `TooManyUploads`, `TooManyBytes`, or `ServiceFull`; nothing is counted then.
pub fn count<M: Memory>(
    open: &mut StableBTreeMap<Key, Entry, M>,
    policy: &UploadPolicy,
    opening: &Opening,
) -> Result<bool, UploadFault> {
    let Opening { owner, upload, value_bytes, until, now } = *opening;
    let new = key(owner, upload);
    if open.contains_key(&new) {
        return Ok(false);
    }
    let (first, last) = (key(owner, UploadId([0; UPLOAD_BYTES])), key(owner, UploadId([u8::MAX; UPLOAD_BYTES])));
    drop_ended(open, first, last, now);
    let (mut uploads, mut bytes) = (0, value_bytes);
    for entry in open.range(first..=last) {
        uploads += 1;
        bytes = bytes.saturating_add(number(&entry.value(), 0));
    }
    let (open_max, bytes_max) = (policy.open_uploads_max, policy.open_bytes_max);
    if uploads >= open_max {
        return Err(UploadFault::TooManyUploads { open: uploads, open_max });
    }
    if bytes > bytes_max {
        return Err(UploadFault::TooManyBytes { bytes, bytes_max });
    }
    if open.len() >= OPEN_UPLOADS_TOTAL_MAX {
        drop_ended(open, new, [u8::MAX; OWNER_BYTES + UPLOAD_BYTES], now);
        drop_ended(open, [0; OWNER_BYTES + UPLOAD_BYTES], new, now);
    }
    if open.len() >= OPEN_UPLOADS_TOTAL_MAX {
        return Err(UploadFault::ServiceFull { open_max: OPEN_UPLOADS_TOTAL_MAX });
    }
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&value_bytes.to_le_bytes());
    entry[8..].copy_from_slice(&until.to_le_bytes());
    open.insert(new, entry);
    Ok(true)
}

/// Counts an upload no more.
pub fn forget<M: Memory>(open: &mut StableBTreeMap<Key, Entry, M>, owner: Principal, upload: UploadId) {
    open.remove(&key(owner, upload));
}

fn drop_ended<M: Memory>(open: &mut StableBTreeMap<Key, Entry, M>, first: Key, last: Key, now: u64) {
    let looked_at = open.range(first..=last).take(LOOKED_AT_MAX);
    let ended: Vec<Key> =
        looked_at.filter(|entry| number(&entry.value(), 8) <= now).map(|entry| *entry.key()).collect();
    for key in ended {
        open.remove(&key);
    }
}
