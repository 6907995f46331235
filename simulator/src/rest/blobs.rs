//! The blob store: bytes uploaded once, named by their SHA-256, used to set stable memories.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::answer::Refusal;

/// Bytes of one upload.
pub const BLOB_BYTES_MAX: usize = 1 << 30;
/// Bytes of all blobs kept. Beyond it the oldest are forgotten, which a client sees only if it uploads far ahead.
const BLOBSTORE_BYTES_MAX: usize = 2 << 30;
/// Bytes that a gzipped blob may unfold to.
const UNZIPPED_BYTES_MAX: u64 = 4 << 30;

const _: () = assert!(BLOB_BYTES_MAX <= BLOBSTORE_BYTES_MAX, "a blob alone must fit");

pub type BlobId = [u8; 32];

/// Bytes as they were uploaded.
pub struct Blob {
    bytes: Vec<u8>,
    gzipped: bool,
}

impl Blob {
    /// Unfolds the bytes.
    ///
    /// # Errors
    /// `Bad` when they are not gzip though they were said to be, or unfold to more than 4 GiB.
    pub fn unfold(&self) -> Result<Vec<u8>, Refusal> {
        if !self.gzipped {
            return Ok(self.bytes.clone());
        }
        let mut unfolded = Vec::new();
        let mut reader = GzDecoder::new(self.bytes.as_slice()).take(UNZIPPED_BYTES_MAX + 1);
        reader.read_to_end(&mut unfolded).map_err(|error| Refusal::Bad(format!("The blob is not gzip: {error}")))?;
        if unfolded.len() as u64 > UNZIPPED_BYTES_MAX {
            return Err(Refusal::Bad(format!("The blob unfolds to more than {UNZIPPED_BYTES_MAX} bytes.")));
        }
        Ok(unfolded)
    }
}

#[derive(Clone, Default)]
pub struct Blobs {
    store: Arc<Mutex<Store>>,
}

#[derive(Default)]
struct Store {
    blobs: BTreeMap<BlobId, Arc<Blob>>,
    oldest_first: VecDeque<BlobId>,
    bytes: usize,
}

impl Blobs {
    /// Keeps bytes of at most `BLOB_BYTES_MAX` and names them by the hash of what was uploaded.
    pub fn put(&self, bytes: Vec<u8>, gzipped: bool) -> BlobId {
        let id: BlobId = Sha256::digest(&bytes).into();
        let mut store = self.store.lock().expect("nothing panics while holding it");
        store.forget(&id);
        while store.bytes + bytes.len() > BLOBSTORE_BYTES_MAX {
            let Some(oldest) = store.oldest_first.front().copied() else { break };
            store.forget(&oldest);
        }
        store.bytes += bytes.len();
        store.oldest_first.push_back(id);
        store.blobs.insert(id, Arc::new(Blob { bytes, gzipped }));
        id
    }

    /// Finds a blob.
    ///
    /// # Errors
    /// `Bad` when there is none of that name.
    pub fn get(&self, id: &[u8]) -> Result<Arc<Blob>, Refusal> {
        let store = self.store.lock().expect("nothing panics while holding it");
        let found = BlobId::try_from(id).ok().and_then(|id| store.blobs.get(&id).cloned());
        found.ok_or_else(|| Refusal::Bad(format!("There is no blob {}.", hex::encode(id))))
    }
}

impl Store {
    fn forget(&mut self, id: &BlobId) {
        if let Some(blob) = self.blobs.remove(id) {
            self.bytes -= blob.bytes.len();
            self.oldest_first.retain(|other| other != id);
        }
    }
}
