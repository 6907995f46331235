//! `scrub`: what large values left behind, and what is missing of them.

use canopy_client::transport::Transport;
use canopy_client::{Scrub, Stray, StrayKind, UploadState};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use crate::connection::Connection;
use crate::failure::{Failure, Kind};
use crate::shown::{bar_of, grouped, key_json, key_text, print_line, table};

#[cfg(test)]
mod tests;

/// Pages of a scrub at most: more than all shards that a router can have need for what fits them.
const PAGES_MAX: u32 = 10_000_000;

/// Findings that are kept for the table; more are counted.
const SHOWN_STRAYS_MAX: usize = 10_000;

/// Parts of the hash space that the bar tells apart.
const BAR_PARTS: u64 = 1_000;

/// What was looked at, and what was found.
#[derive(Default)]
struct Tally {
    uploads: u64,
    manifests: u64,
    chunks: u64,
    found: u64,
    shown: Vec<Stray>,
}

/// Looks through all that large values consist of.
///
/// # Errors
/// What any call can end in, and that something was found.
pub async fn run(connection: &Connection, json: bool) -> Result<(), Failure> {
    let session = connection.open().await?;
    let bar = bar_of("scrub", BAR_PARTS, json);
    let tally = walk(session.client.scrub(), &bar, json).await;
    bar.finish_and_clear();
    let tally = tally?;
    if json {
        print_line(json!({
            "uploads": tally.uploads,
            "manifests": tally.manifests,
            "chunks": tally.chunks,
            "strays": tally.found,
        }))?;
    } else {
        print_line(report(&tally))?;
    }
    match tally.found {
        0 => Ok(()),
        1 => Err(Failure::new(Kind::Incomplete, "1 stray was found")),
        found => Err(Failure::new(Kind::Incomplete, format!("{} strays were found", grouped(found)))),
    }
}

/// Walks to the end. Machines are told each finding when it is found.
async fn walk<T: Transport>(mut scrub: Scrub<'_, T>, bar: &ProgressBar, json: bool) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    for _ in 0..PAGES_MAX {
        let page = scrub.next_page().await.map_err(|not_done| Failure::from(not_done).during("scrub"))?;
        let Some(page) = page else { return Ok(tally) };
        tally.uploads += page.uploads;
        tally.manifests += page.manifests;
        tally.chunks += page.chunks;
        tally.found += page.strays.len() as u64;
        if json {
            page.strays.iter().try_for_each(|stray| print_line(stray_json(stray)))?;
        } else {
            let room = SHOWN_STRAYS_MAX - tally.shown.len();
            tally.shown.extend(page.strays.into_iter().take(room));
        }
        bar.set_position(scrub.position().0 / (u64::MAX / BAR_PARTS));
    }
    Err(Failure::network(format!("the scrub doesn't end in {PAGES_MAX} pages")))
}

/// Tells people what was found, and how much was looked at.
fn report(tally: &Tally) -> String {
    let (uploads, manifests, chunks) = (grouped(tally.uploads), grouped(tally.manifests), grouped(tally.chunks));
    let looked_at = format!("looked at {uploads} uploads, {manifests} manifests, {chunks} chunks");
    if tally.found == 0 {
        return format!("{looked_at}: nothing is left over, nothing is missing");
    }
    let mut lines = table(&["what", "upload", "key", "shard", "hash", "bytes"], 5);
    for stray in &tally.shown {
        lines.add_row([
            sentence(&stray.kind),
            stray.upload.to_string(),
            stray.key.as_ref().map_or("-".to_string(), |key| key_text(key)),
            stray.shard.to_string(),
            format!("{:016x}", stray.hash.0),
            grouped(stray.bytes),
        ]);
    }
    let left_out = tally.found - tally.shown.len() as u64;
    let more = if left_out == 0 { String::new() } else { format!("\nand {} more", grouped(left_out)) };
    format!("{lines}{more}\n{looked_at}")
}

/// Says in words what is wrong.
fn sentence(kind: &StrayKind) -> String {
    match kind {
        StrayKind::ChunkWithoutUpload { index, .. } => format!("chunk {index} without upload"),
        StrayKind::ChunksMissing { state, missing, first } => {
            format!("{} upload without {} chunks, the first is {first}", name_of(state), grouped(missing))
        }
        StrayKind::ManifestWithoutUpload { found: None } => "manifest without upload".to_string(),
        StrayKind::ManifestWithoutUpload { found: Some(state) } => {
            format!("manifest whose upload is {}", name_of(state))
        }
        StrayKind::UploadWithoutManifest { .. } => "published upload without manifest".to_string(),
    }
}

fn name_of(state: &UploadState) -> &'static str {
    match state {
        UploadState::Open => "open",
        UploadState::Published { .. } => "published",
        UploadState::Replaced { .. } => "replaced",
        UploadState::Aborted => "aborted",
        UploadState::Refused { .. } => "refused",
    }
}

fn stray_json(stray: &Stray) -> Value {
    let (name, more) = match &stray.kind {
        StrayKind::ChunkWithoutUpload { index, key_hash } => {
            ("chunk_without_upload", json!({ "index": index, "key_hash": format!("{:016x}", key_hash.0) }))
        }
        StrayKind::ChunksMissing { state, missing, first } => {
            ("chunks_missing", json!({ "missing": missing, "first": first, "state": name_of(state) }))
        }
        StrayKind::ManifestWithoutUpload { found } => {
            ("manifest_without_upload", json!({ "state": found.as_ref().map(name_of) }))
        }
        StrayKind::UploadWithoutManifest { version } => ("upload_without_manifest", json!({ "version": version.0 })),
    };
    let mut fields = Map::new();
    fields.insert("stray".to_string(), json!(name));
    fields.insert("upload".to_string(), json!(stray.upload.to_string()));
    fields.insert("shard".to_string(), json!(stray.shard.to_string()));
    fields.insert("hash".to_string(), json!(format!("{:016x}", stray.hash.0)));
    fields.insert("bytes".to_string(), json!(stray.bytes));
    fields.extend(stray.key.as_ref().map(|key| key_json(key)).into_iter().flatten());
    fields.extend(more.as_object().cloned().into_iter().flatten());
    Value::Object(fields)
}
