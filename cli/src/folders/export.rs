//! `export`: records become the files of a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candid::Principal;
use canopy_client::{ScanOptions, ScannedRecord};
use clap::Args;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::{Ending, Tally, names};
use crate::connection::{Connection, Session};
use crate::failure::Failure;
use crate::large::get_file;
use crate::places::write_whole;
use crate::shown::{confirm, key_text, spinner};

/// The file in the folder that tells how far an export has come. It is removed when all is done.
const PROGRESS_FILE: &str = ".canopy-export.json";

/// What `export` is given.
#[derive(Args)]
#[group(skip)]
pub struct ExportOptions {
    /// The folder; made if it isn't there.
    folder: PathBuf,
    /// Only keys that begin with this, which the files' names leave out.
    #[arg(short, long, default_value = "")]
    prefix: String,
    /// Ask one replica: faster and free, but possibly a moment old, and only as honest as it.
    #[arg(long)]
    query: bool,
    /// Don't ask before writing into a folder that holds files.
    #[arg(short, long)]
    yes: bool,
}

/// How far an export has come.
#[derive(Serialize, Deserialize)]
struct Progress {
    router: Principal,
    prefix: String,
    /// Where the next page begins, in base64; empty for the first.
    cursor: String,
    files: u64,
}

impl Progress {
    fn write(&self, file: &Path) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(self).expect("text and numbers are always JSON");
        write_whole(file, &bytes).map_err(|error| Failure::local(format!("can't write {}: {error}", file.display())))
    }
}

/// Writes every record into a file.
pub async fn run(connection: &Connection, options: ExportOptions, ending: &Ending, json: bool) -> Result<(), Failure> {
    let folder = &options.folder;
    let failed = |error: io::Error| Failure::local(format!("can't write {}: {error}", folder.display()));
    let session = connection.open().await?;
    let router = session.router();
    fs::create_dir_all(folder).map_err(failed)?;
    let progress_file = folder.join(PROGRESS_FILE);
    let before = read_progress(&progress_file)?.filter(|progress| {
        progress.router == router && progress.prefix == options.prefix && STANDARD.decode(&progress.cursor).is_ok()
    });
    let is_empty = fs::read_dir(folder).map_err(failed)?.next().is_none();
    if before.is_none() && !is_empty {
        confirm(&format!("{} holds files, and some may be replaced; go on?", folder.display()), options.yes).await?;
    }
    let mut tally = Tally { before: before.as_ref().map_or(0, |progress| progress.files), ..Tally::default() };
    let is_new = before.is_none();
    let cursor = before.and_then(|progress| STANDARD.decode(progress.cursor).ok()).filter(|cursor| !cursor.is_empty());
    let key_prefix = (!options.prefix.is_empty()).then(|| options.prefix.clone().into_bytes());
    let scan_options = ScanOptions { key_prefix, cursor, one_replica: options.query, ..ScanOptions::default() };
    if is_new {
        // Whatever ends the first page, the same command goes on.
        let progress = Progress { router, prefix: options.prefix.clone(), cursor: String::new(), files: 0 };
        progress.write(&progress_file)?;
    }
    let mut scan = session.client.scan(scan_options);
    let spinner = spinner("export", json);
    let ended = loop {
        if ending.is_asked() {
            break Err(tally.interrupted("written"));
        }
        let page = match scan.next_page().await {
            Ok(Some(page)) => page,
            Ok(None) => break Ok(()),
            Err(not_done) => break Err(tally.so_far(Failure::from(not_done).during("export"), "written")),
        };
        let mut written = Ok(());
        for record in &page {
            written = match record.value_bytes {
                Some(_) => write_large(&session, folder, record, &options.prefix, &mut tally).await,
                None => write(folder, record, &options.prefix, &mut tally),
            };
            if written.is_err() {
                break;
            }
        }
        if let Err(failure) = written {
            break Err(tally.so_far(failure, "written"));
        }
        spinner.set_message(format!("{} files, {} bytes", tally.files, tally.bytes));
        spinner.tick();
        let Some(cursor) = scan.cursor() else { continue };
        let files = tally.files + tally.before;
        let progress = Progress { router, prefix: options.prefix.clone(), cursor: STANDARD.encode(cursor), files };
        if let Err(failure) = progress.write(&progress_file) {
            break Err(tally.so_far(failure, "written"));
        }
    };
    spinner.finish_and_clear();
    ended?;
    match fs::remove_file(&progress_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    tally.tell("wrote", json)
}

/// Writes a record into its file.
fn write(folder: &Path, record: &ScannedRecord, prefix: &str, tally: &mut Tally) -> Result<(), Failure> {
    let key = record.key.strip_prefix(prefix.as_bytes()).unwrap_or(&record.key);
    if key.is_empty() {
        let why = "its key is the prefix alone, so its file would have no name".to_string();
        tally.troubles.push((key_text(&record.key), why));
        return Ok(());
    }
    let path = folder.join(names::path_of(key));
    let written = match write_below(&path, &record.value) {
        // One key may be a folder of another's path.
        Err(error) if is_in_the_way(&error) => write_below(&folder.join(names::hexadecimal_path(key)), &record.value),
        other => other,
    };
    written.map_err(|error| Failure::local(format!("can't write {}: {error}", path.display())))?;
    tally.files += 1;
    tally.bytes += record.value.len() as u64;
    Ok(())
}

/// Reads a value that is longer than a record into its file.
async fn write_large(
    session: &Session,
    folder: &Path,
    record: &ScannedRecord,
    prefix: &str,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let key = record.key.strip_prefix(prefix.as_bytes()).unwrap_or(&record.key);
    if key.is_empty() {
        return write(folder, record, prefix, tally);
    }
    let path =
        place_of(folder, key).map_err(|error| Failure::local(format!("can't write {}: {error}", key_text(key))))?;
    match get_file(&session.client, &record.key, &path, &ProgressBar::hidden()).await? {
        Some(large) => {
            tally.files += 1;
            tally.bytes += large.value_bytes;
            Ok(())
        }
        // Deleted, or replaced by a record, since its page was read.
        None => match session.client.get(&record.key).await? {
            Some(now) => {
                let value_bytes = None;
                let now = ScannedRecord { value: now.value, version: now.version, value_bytes, ..record.clone() };
                write(folder, &now, prefix, tally)
            }
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Failure::local(format!("can't remove {}: {error}", path.display())))
                }
                _ => Ok(()),
            },
        },
    }
}

/// Names the file of a key before its value is read, and makes the folders above it.
fn place_of(folder: &Path, key: &[u8]) -> io::Result<PathBuf> {
    let path = folder.join(names::path_of(key));
    match make_room(&path) {
        Err(error) if is_in_the_way(&error) => {
            let other = folder.join(names::hexadecimal_path(key));
            make_room(&other).map(|()| other)
        }
        made => made.map(|()| path),
    }
}

/// Writes a file, and makes the folders above it.
fn write_below(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_room(path)?;
    write_whole(path, bytes)
}

/// Makes the folders above a file, whose path may be no folder itself.
fn make_room(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if path.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}

fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
    )
}

fn read_progress(path: &Path) -> Result<Option<Progress>, Failure> {
    match fs::read(path) {
        // What isn't understood was written by another version: begin anew.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::local(format!("can't read {}: {error}", path.display()))),
    }
}
