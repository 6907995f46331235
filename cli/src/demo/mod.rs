//! `canopy demo`: a real data set goes through a router into shards that the router created and splits meanwhile, and comes
//! back intact.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use canopy_types::codec::encode;
use canopy_types::limits::{SPLIT_AT_RECORD_BYTES, VALUE_BYTES_MAX};
use canopy_types::{GetArguments, GetError, GetResult, PutArguments, PutError, PutResult};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::deployment::{Deployment, decode_answer};
use self::figures::Figures;
use self::growing::Growing;
use crate::failure::{Failure, Kind};
use crate::files::{self, File, Found, Limits};
use crate::shown::{self, hidden_from_machines, print_line};

mod deployment;
mod figures;
mod growing;
mod large;
mod report;

/// Files and bytes that one demo imports at most.
const LIMITS: Limits = Limits { files_max: 30_000, bytes_max: 400_000_000 };
/// Operations of each kind that run alone, so that what they use can be told exactly.
const MEASURED_MAX: usize = 1_000;
/// Skipped files and differences that are listed by name; further ones are only counted.
const LISTED_MAX: usize = 20;
/// Calls under way at once.
const BATCH_MAX: usize = 64;
/// The data of a shard of the beginning are split into more than so many parts, unless the command says otherwise.
const PARTS_PER_SHARD: u64 = 3;
/// Time that goes by with each batch, on the network's clock.
const BATCH_TIME: Duration = Duration::from_millis(250);
/// What a batch waits, on the network's clock, for what it was told to ask again, and how often.
const AGAIN_TIME: Duration = Duration::from_millis(500);
const AGAIN_ROUNDS: usize = 3;
const ATTEMPTS_MAX: usize = 200;
/// Steps of [`AGAIN_TIME`] within which the last split must be done.
const SETTLING_STEPS_MAX: usize = 1_000;

/// What `demo` is given.
#[derive(Args)]
#[group(skip)]
pub struct DemoOptions {
    /// The folder to import [default: the crate sources that cargo has unpacked].
    folder: Option<PathBuf>,
    /// Shards that the router creates, 1 to 64.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: u32,
    /// Bytes of keys and values from which on a shard is split [default: a sixth of the folder, with two shards].
    #[arg(long, value_name = "BYTES")]
    split_at: Option<u64>,
    /// Seed of the simulated network.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is known of a file once it is stored.
struct Stored<'a> {
    file: &'a File,
    digest: [u8; 32],
}

/// Runs the demo and prints its report; for machines, a summary at the end.
///
/// # Errors
/// When the folder can't be read or holds no file that fits, or the network can't be started; of kind
/// [`Kind::Incomplete`] when a byte differs.
pub fn run(options: &DemoOptions, json: bool) -> Result<()> {
    let DemoOptions { shards, seed, .. } = *options;
    let folder = options.folder.clone().map_or_else(files::crate_sources, Ok)?;
    let found = files::find(&folder, LIMITS)?;
    ensure!(!found.files.is_empty(), "{} holds no file that fits", folder.display());
    let say = |line: String| if json { Ok(()) } else { print_line(line) };
    say(format!("{} files, {} bytes in {}", found.files.len(), found.bytes, folder.display()))?;
    skipped(&found).into_iter().try_for_each(say)?;

    let split_at = options.split_at.unwrap_or(found.bytes / (u64::from(shards.max(1)) * PARTS_PER_SHARD));
    let split_at = split_at.clamp(SPLIT_AT_RECORD_BYTES.0, SPLIT_AT_RECORD_BYTES.1);
    let mut deployment = Deployment::start(shards, split_at, seed)?;
    let made = deployment.routing_table()?.routes.len();
    let router = deployment.router();
    say(format!("router {router} made {made} shards, and splits them from {} bytes on", shown::grouped(split_at)))?;

    let mut puts = Figures::default();
    let mut gets = Figures::default();
    let mut growing = Growing::default();
    let (records, in_chunks): (Vec<File>, Vec<File>) =
        found.files.iter().cloned().partition(|file| file.bytes <= VALUE_BYTES_MAX as u64);
    let (stored, failed) = import(&mut deployment, &records, &mut puts, &mut growing, json)?;
    let mut differences = compare(&deployment, &stored, &mut gets, json)?;
    differences.extend(failed);
    let bytes_in_chunks: u64 = in_chunks.iter().map(|file| file.bytes).sum();
    if !in_chunks.is_empty() {
        let (stored, failed) = large::import(&deployment, &in_chunks, json);
        differences.extend(large::compare(&deployment, &stored, json));
        differences.extend(failed);
        let count = in_chunks.len();
        say(format!("{count} files, {bytes_in_chunks} bytes are longer than a record and went in chunks"))?;
    }

    let table = deployment.routing_table()?;
    let (now, splits) = (table.routes.len(), growing.splits());
    say(report::shards(&deployment.shards(&table)?).to_string())?;
    say(format!("{made} shards became {now} by {splits} splits while files were stored"))?;
    say(report::figures(&puts, &gets).to_string())?;
    let listed = differences.iter().take(LISTED_MAX);
    if json {
        print_line(json!({
            "files": found.files.len(),
            "bytes": found.bytes,
            "files_skipped": found.skipped.len(),
            "files_beyond_limits": found.beyond_limits,
            "files_in_chunks": in_chunks.len(),
            "bytes_in_chunks": bytes_in_chunks,
            "shards_at_first": made,
            "shards": now,
            "splits": splits,
            "differences": differences.len(),
            "different": listed.collect::<Vec<_>>(),
        }))?;
    } else {
        listed.map(|difference| format!("different: {difference}")).try_for_each(say)?;
        say(format!("{} files, {} bytes, {} differences", found.files.len(), found.bytes, differences.len()))?;
    }
    match differences.len() {
        0 => Ok(()),
        count => Err(Failure::new(Kind::Incomplete, format!("{count} files differ, or were not stored")).into()),
    }
}

/// Says which files are left out, and why.
fn skipped(found: &Found) -> Vec<String> {
    let named = found.skipped.iter().take(LISTED_MAX);
    let mut lines: Vec<String> = named.map(|(path, reason)| format!("skipped: {}: {reason}", path.display())).collect();
    if found.skipped.len() > LISTED_MAX {
        lines.push(format!("skipped: {} more", found.skipped.len() - LISTED_MAX));
    }
    if found.beyond_limits > 0 {
        let Limits { files_max, bytes_max } = LIMITS;
        lines.push(format!("left out: {} files beyond {files_max} files or {bytes_max} bytes", found.beyond_limits));
    }
    lines
}

/// Puts every file; gives what was stored, and in words what could not be.
fn import<'a>(
    deployment: &mut Deployment,
    files: &'a [File],
    figures: &mut Figures,
    growing: &mut Growing,
    json: bool,
) -> Result<(Vec<Stored<'a>>, Vec<String>)> {
    let bar = bar("put", files.iter().map(|file| file.bytes).sum(), json);
    let (mut stored, mut failed) = (vec![], vec![]);
    for batch in files.chunks(batch_len(files.len())) {
        let (mut read, mut payloads) = (vec![], vec![]);
        for file in batch {
            match fs::read(&file.path) {
                Ok(value) => {
                    read.push(Stored { file, digest: Sha256::digest(&value).into() });
                    payloads.push(encode(&PutArguments::new(file.key.clone(), value)));
                }
                Err(error) => failed.push(format!("{}: {error}", file.path.display())),
            }
        }
        let is_busy = |answer: &PutResult| matches!(answer, Err(PutError::Busy { .. }));
        let answers = call_until_done::<PutResult>(deployment, "put", payloads, is_busy, figures)?;
        for (file, answer) in read.into_iter().zip(answers) {
            bar.inc(file.file.bytes);
            match answer {
                Ok(_) => stored.push(file),
                Err(error) => failed.push(format!("{}: put answered {error:?}", file.file.path.display())),
            }
        }
        deployment.pass(BATCH_TIME, 1);
        growing.show(&deployment.status()?, &bar, json)?;
    }
    for _ in 0..SETTLING_STEPS_MAX {
        let status = deployment.status()?;
        growing.show(&status, &bar, json)?;
        if !growing::moves(&status) {
            break;
        }
        deployment.pass(AGAIN_TIME, AGAIN_ROUNDS);
    }
    bar.finish();
    Ok((stored, failed))
}

/// Calls the router once for each payload, and again for those that it is too busy for, because their range moves.
fn call_until_done<T: candid::CandidType + serde::de::DeserializeOwned>(
    deployment: &Deployment,
    method: &str,
    payloads: Vec<Vec<u8>>,
    is_busy: impl Fn(&T) -> bool,
    figures: &mut Figures,
) -> Result<Vec<T>> {
    let mut answers: Vec<Option<T>> = payloads.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..payloads.len()).collect();
    for _ in 0..ATTEMPTS_MAX {
        let sent = waiting.iter().map(|&at| payloads[at].clone()).collect();
        for (&at, answer) in waiting.iter().zip(deployment.call_all(method, sent, figures)?) {
            answers[at] = Some(decode_answer(&answer)?);
        }
        waiting.retain(|&at| answers[at].as_ref().is_some_and(&is_busy));
        if waiting.is_empty() {
            break;
        }
        deployment.pass(AGAIN_TIME, AGAIN_ROUNDS);
    }
    Ok(answers.into_iter().map(|answer| answer.expect("every payload was sent at least once")).collect())
}

/// Gets every file and tells in words what differs from the disk.
fn compare(deployment: &Deployment, stored: &[Stored], figures: &mut Figures, json: bool) -> Result<Vec<String>> {
    let bar = bar("get", stored.iter().map(|stored| stored.file.bytes).sum(), json);
    let mut differences = vec![];
    for batch in stored.chunks(batch_len(stored.len())) {
        let payload = |stored: &Stored| encode(&GetArguments::new(stored.file.key.clone()));
        let is_busy = |answer: &GetResult| matches!(answer, Err(GetError::Busy { .. }));
        let payloads = batch.iter().map(payload).collect();
        let answers = call_until_done::<GetResult>(deployment, "get", payloads, is_busy, figures)?;
        for (stored, answer) in batch.iter().zip(answers) {
            bar.inc(stored.file.bytes);
            if let Err(what) = check(stored, answer) {
                differences.push(format!("{}: {what}", stored.file.path.display()));
            }
        }
    }
    bar.finish();
    Ok(differences)
}

/// Calls that are sent together. The first of each batch goes alone and is measured, so there are about
/// [`MEASURED_MAX`] batches, of at most [`BATCH_MAX`] calls.
fn batch_len(operations: usize) -> usize {
    operations.div_ceil(MEASURED_MAX).clamp(1, BATCH_MAX)
}

/// Compares an answer with the file, or with the digest of what was stored when the file has changed since.
fn check(stored: &Stored, answer: GetResult) -> Result<(), String> {
    let record = answer.map_err(|error| format!("get answered {error:?}"))?.ok_or("nothing is stored")?;
    let on_disk = fs::read(&stored.file.path).unwrap_or_default();
    let same = *on_disk == **record.value || Sha256::digest(&record.value).as_slice() == stored.digest;
    if same { Ok(()) } else { Err(format!("{} bytes that differ from the file's", record.value.len())) }
}

fn bar(name: &'static str, bytes: u64, json: bool) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {binary_bytes}/{binary_total_bytes} {elapsed}\n{msg}")
        .expect("the template is well formed");
    hidden_from_machines(ProgressBar::new(bytes), json).with_style(style).with_prefix(name)
}
