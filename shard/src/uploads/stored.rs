//! The values of manifests and of uploads' records. All numbers are little-endian, times in nanoseconds since 1970.
//!
//! ```text
//! Manifest                                   Upload
//!   0  id of the upload           16           0  version of the layout = 1     1
//!  16  tag of the upload's record  8           1  state 1, precondition 1
//!  24  version of the layout = 1   1           3  owner: length 1, bytes 29
//!  25  length of the value         8          33  version of the precondition   8
//!  33  digest                     32          41  length of the value           8
//!  65                                         49  takes chunks until            8
//!                                             57  chunks are kept, milliseconds 8
//!                                             65  time to live, milliseconds    8
//!                                             73  when it came to its state     8
//!                                             81  version of the outcome        8
//!                                             89  digest of what was published 32
//!                                            121  key
//! ```
//!
//! An upload's record keeps its length for life, so that it can always be changed where it lies.

use candid::Principal;
use canopy_types::limits::{DIGEST_BYTES, UPLOAD_ID_BYTES};
use canopy_types::{Digest, Precondition, UploadId, UploadState, Version};

const LAYOUT_VERSION: u8 = 1;

const OPEN: u8 = 1;
const PUBLISHED: u8 = 2;
const REPLACED: u8 = 3;
const ABORTED: u8 = 4;
const REFUSED: u8 = 5;

const OWNER_BYTES_MAX: usize = 29;
const MANIFEST_BYTES: usize = UPLOAD_ID_BYTES + 8 + 1 + 8 + DIGEST_BYTES;

/// What lies under the key of a large value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    pub upload: UploadId,
    /// Where the upload's record lies under the same hash.
    pub upload_tag: u64,
    pub value_bytes: u64,
    pub digest: Digest,
}

/// What a shard keeps about an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUpload {
    pub state: UploadState,
    pub owner: Principal,
    pub precondition: Option<Precondition>,
    pub value_bytes: u64,
    pub until_nanoseconds: u64,
    pub kept_milliseconds: u64,
    pub time_to_live_milliseconds: Option<u64>,
    pub since_nanoseconds: u64,
    /// Zeros before it was published.
    pub digest: Digest,
    pub key: Vec<u8>,
}

/// Takes bytes off a record that was written here.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("INVARIANT: the record is as long as its layout says");
        self.0 = rest;
        *taken
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

impl StoredManifest {
    /// Makes the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MANIFEST_BYTES);
        bytes.extend(self.upload.0);
        bytes.extend(self.upload_tag.to_le_bytes());
        bytes.push(LAYOUT_VERSION);
        bytes.extend(self.value_bytes.to_le_bytes());
        bytes.extend(self.digest.0);
        bytes
    }

    /// Reads the value.
    ///
    /// # Panics
    ///
    /// When it is none that `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut parts = Parts(bytes);
        let (upload, upload_tag) = (UploadId(parts.take()), parts.number());
        assert_eq!(parts.take(), [LAYOUT_VERSION], "INVARIANT: a manifest has a layout that was written");
        Self { upload, upload_tag, value_bytes: parts.number(), digest: Digest(parts.take()) }
    }
}

impl StoredUpload {
    /// Makes the record's value, of a length that depends on the key alone.
    pub fn encode(&self) -> Vec<u8> {
        let (state, version) = match self.state {
            UploadState::Open => (OPEN, 0),
            UploadState::Published { version } => (PUBLISHED, version.0),
            UploadState::Replaced { version } => (REPLACED, version.0),
            UploadState::Aborted => (ABORTED, 0),
            UploadState::Refused { found } => (REFUSED, found.map_or(0, |version| version.0)),
        };
        let (precondition, precondition_version) = match self.precondition {
            None => (0, 0),
            Some(Precondition::Absent) => (1, 0),
            Some(Precondition::Present) => (2, 0),
            Some(Precondition::Version(version)) => (3, version.0),
        };
        let owner = self.owner.as_slice();
        let mut bytes = vec![LAYOUT_VERSION, state, precondition, owner.len() as u8];
        bytes.extend_from_slice(owner);
        bytes.resize(4 + OWNER_BYTES_MAX, 0);
        let numbers = [
            precondition_version,
            self.value_bytes,
            self.until_nanoseconds,
            self.kept_milliseconds,
            self.time_to_live_milliseconds.unwrap_or(0),
            self.since_nanoseconds,
            version,
        ];
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(self.digest.0);
        bytes.extend_from_slice(&self.key);
        bytes
    }

    /// Reads the record's value.
    ///
    /// # Panics
    ///
    /// When it is none that `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut parts = Parts(bytes);
        let [layout, state, precondition, owner_bytes] = parts.take();
        assert_eq!(layout, LAYOUT_VERSION, "INVARIANT: an upload's record has a layout that was written");
        let owner: [u8; OWNER_BYTES_MAX] = parts.take();
        let owner = Principal::from_slice(&owner[..usize::from(owner_bytes)]);
        let precondition_version = Version(parts.number());
        let precondition = match precondition {
            0 => None,
            1 => Some(Precondition::Absent),
            2 => Some(Precondition::Present),
            _ => Some(Precondition::Version(precondition_version)),
        };
        let (value_bytes, until_nanoseconds, kept_milliseconds) = (parts.number(), parts.number(), parts.number());
        let time_to_live_milliseconds = Some(parts.number()).filter(|milliseconds| *milliseconds > 0);
        let (since_nanoseconds, version) = (parts.number(), Version(parts.number()));
        let digest = Digest(parts.take());
        let state = match state {
            OPEN => UploadState::Open,
            PUBLISHED => UploadState::Published { version },
            REPLACED => UploadState::Replaced { version },
            ABORTED => UploadState::Aborted,
            // No version is 0: each is greater than the one before.
            REFUSED => UploadState::Refused { found: Some(version).filter(|version| version.0 > 0) },
            _ => unreachable!("INVARIANT: an upload's record has a state that was written"),
        };
        Self {
            state,
            owner,
            precondition,
            value_bytes,
            until_nanoseconds,
            kept_milliseconds,
            time_to_live_milliseconds,
            since_nanoseconds,
            digest,
            key: parts.0.to_vec(),
        }
    }

    /// Tells whether all chunks must be there at a time, in nanoseconds: readers may ask for them.
    pub fn is_whole(&self, now: u64) -> bool {
        match self.state {
            UploadState::Published { .. } => true,
            UploadState::Replaced { .. } => now < self.collected_from(),
            UploadState::Open | UploadState::Aborted | UploadState::Refused { .. } => false,
        }
    }

    /// Tells when the chunks of an upload that came to its end may be deleted, in nanoseconds.
    pub fn collected_from(&self) -> u64 {
        self.since_nanoseconds.saturating_add(self.kept_milliseconds.saturating_mul(1_000_000))
    }
}
