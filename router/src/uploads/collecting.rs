//! Has the chunks of uploads deleted that are over, as their keys' shards ask.
//!
//! Nothing of it is stored here: the upload's record at the key's shard stays until the shard hears that the chunks are
//! gone, and until then it asks again, some minutes later. Deleting what is gone does nothing.

use candid::Principal;
use canopy_types::MalformedArguments;
use canopy_types::api::uploads::{CollectUploadsResult, UploadError};
use canopy_types::uploads::scrub::UploadPlace;
use canopy_types::uploads::shard::{CollectUploadsArguments, DueUpload, FinishCollectionArguments};

use super::{ask, chunks, malformed, owner_of, refuse};
use crate::calls::Deadline;
use crate::routing::not_ready;
use crate::state;

/// Uploads that are looked after for one message; what is beyond comes again.
const UPLOADS_PER_MESSAGE_MAX: usize = 64;

/// Marks a shard whose uploads are being collected, until all are, or something trapped.
struct Collecting {
    shard: Principal,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        state::with(|state| state.collecting.remove(&self.shard));
    }
}

/// Begins to collect what a shard asks for, unless the router is at it for this shard already.
///
/// # Errors
///
/// The caller is no shard of this router.
pub fn collect(
    caller: Principal,
    arguments: Result<CollectUploadsArguments, MalformedArguments>,
) -> CollectUploadsResult {
    if !state::with(|state| state.journal().serves(caller)) {
        return Err(UploadError::Unauthorised { caller });
    }
    let CollectUploadsArguments { uploads } = arguments.map_err(malformed)?;
    if !state::with(|state| state.collecting.insert(caller)) {
        return Ok(());
    }
    let collecting = Collecting { shard: caller };
    ic_cdk::futures::spawn(async move {
        for due in uploads.into_iter().take(UPLOADS_PER_MESSAGE_MAX) {
            // What fails is asked for again.
            let collected = collect_one(due).await;
            if let Err(error) = collected {
                ic_cdk::api::debug_print(format!("upload {} could not be collected: {error:?}", due.upload));
            }
        }
        drop(collecting);
    });
    Ok(())
}

async fn collect_one(due: DueUpload) -> Result<(), UploadError> {
    chunks::delete(UploadPlace { key_hash: due.hash, upload: due.upload }, due.chunks).await?;
    let shard = state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refuse(not_ready()))?;
        Ok::<_, UploadError>(owner_of(routing, due.hash))
    })?;
    let DueUpload { hash, upload, last, .. } = due;
    ask(shard, "finish_collection", &FinishCollectionArguments { hash, upload, last }, Deadline::NONE).await
}
