//! `import`: the files of a folder become records.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use canopy_client::{Precondition, Put, WriteError};
use canopy_types::limits::VALUE_BYTES_MAX;
use clap::Args;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::journal::{Content, Journal};
use super::{Ending, Tally, names};
use crate::connection::{Connection, Session};
use crate::failure::{Failure, Kind, sentence};
use crate::files::{self, File, Limits};
use crate::large::{Upload, digest, put_file};
use crate::records::{is_of_one_record, settled};
use crate::shown::bar;

/// Files of one import at most.
const FILES_MAX: usize = 1_000_000;

/// What is read and sent together: the library cuts it into messages and sends several at a time.
const BATCH_FILES_MAX: usize = 1_000;
const BATCH_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What `import` is given.
#[derive(Args)]
#[group(skip)]
pub struct ImportOptions {
    /// The folder.
    folder: PathBuf,
    /// Put before each key.
    #[arg(short, long, default_value = "")]
    prefix: String,
    /// Leave records alone that are there already.
    #[arg(long)]
    if_absent: bool,
    /// Store everything, whatever an earlier run of the same command has stored.
    #[arg(long)]
    anew: bool,
}

/// A file that was read, or digested if it is longer than a record.
struct Read {
    name: String,
    bytes: u64,
    key: Vec<u8>,
    content: Content,
}

/// Stores every file under its path below the folder.
pub async fn run(connection: &Connection, options: ImportOptions, ending: &Ending, json: bool) -> Result<(), Failure> {
    let unreadable = |error| Failure::local(format!("can't read {}: {error}", options.folder.display()));
    let folder = fs::canonicalize(&options.folder).map_err(unreadable)?;
    let limits = Limits { files_max: FILES_MAX, bytes_max: u64::MAX };
    let found = files::find(&folder, limits).map_err(|error| Failure::local(format!("{error:#}")))?;
    if found.beyond_limits > 0 {
        let message = format!("{} has more than {FILES_MAX} files; import its parts", options.folder.display());
        return Err(Failure::local(message));
    }
    let session = connection.open().await?;
    let router = session.router();
    let name = [&session.root_key[..], router.as_slice(), folder.as_os_str().as_bytes(), options.prefix.as_bytes()];
    let mut journal = Journal::open(&name)?;
    if options.anew {
        journal.clear()?;
    }
    let mut tally = Tally::default();
    tally.troubles.extend(found.skipped.iter().map(|(path, why)| (path.display().to_string(), why.clone())));
    let bar = bar("import", found.bytes, json);
    let mut keys = BTreeSet::new();
    let mut files = found.files.iter().peekable();
    while files.peek().is_some() {
        if ending.is_asked() {
            bar.finish_and_clear();
            return Err(tally.interrupted("stored"));
        }
        let (mut read, mut puts, mut long, mut batch_bytes) = (vec![], vec![], vec![], 0);
        while let Some(file) = files.next_if(|file| {
            let is_full = puts.len() >= BATCH_FILES_MAX || !long.is_empty();
            !is_full && (puts.is_empty() || batch_bytes + file.bytes <= BATCH_BYTES_MAX)
        }) {
            let path = &file.path;
            let Some((file, value)) = read_file(&folder, file, &options.prefix, &mut tally) else { continue };
            if !keys.insert(file.key.clone()) {
                tally.troubles.push((file.name, "another file has the same key".to_string()));
            } else if journal.holds(&file.key, &file.content) {
                tally.before += 1;
                bar.inc(file.bytes);
            } else if value.is_none() {
                long.push((file, path));
            } else {
                let value = value.unwrap_or_default();
                batch_bytes += file.bytes;
                let put = Put::new(file.key.clone(), value);
                puts.push(if options.if_absent { put.if_absent() } else { put });
                read.push(file);
            }
        }
        let mut stored = store(&session, read, puts, &mut journal, &mut tally).await.map(|()| 0);
        bar.set_position(bar.position() + batch_bytes);
        for (file, path) in long {
            if stored.is_ok() {
                let before = bar.position();
                stored = store_long(&session, file, path, options.if_absent, &mut journal, &mut tally).await;
                bar.set_position(before + stored.as_ref().copied().unwrap_or(0));
            }
        }
        bar.set_message(format!("{} files", tally.files));
        if let Err(failure) = stored {
            bar.finish_and_clear();
            return Err(tally.so_far(failure.during("import"), "stored"));
        }
    }
    bar.finish_and_clear();
    journal.clear()?;
    journal.remove();
    tally.tell("stored", json)
}

/// Reads a file, and notes when it can't be stored.
fn read_file(folder: &Path, file: &File, prefix: &str, tally: &mut Tally) -> Option<(Read, Option<Vec<u8>>)> {
    let below = file.path.strip_prefix(folder).expect("the walk starts at the folder");
    let key = names::key_of(below)?;
    let name = below.display().to_string();
    let key = [prefix.as_bytes(), &key].concat();
    if file.bytes > VALUE_BYTES_MAX as u64 {
        return match digest(&file.path) {
            Ok(content) => Some((Read { name, bytes: file.bytes, key, content }, None)),
            Err(error) => {
                tally.troubles.push((name, error.to_string()));
                None
            }
        };
    }
    match fs::read(&file.path) {
        Ok(value) if value.len() > VALUE_BYTES_MAX => {
            tally.troubles.push((name, "it grew while it was read".to_string()));
            None
        }
        Ok(value) => {
            let content = Sha256::digest(&value).into();
            Some((Read { name, bytes: value.len() as u64, key, content }, Some(value)))
        }
        Err(error) => {
            tally.troubles.push((name, error.to_string()));
            None
        }
    }
}

/// Stores a file that is longer than a record, and notes it. Gives its length.
async fn store_long(
    session: &Session,
    file: Read,
    path: &Path,
    if_absent: bool,
    journal: &mut Journal,
    tally: &mut Tally,
) -> Result<u64, Failure> {
    let precondition = if_absent.then_some(Precondition::Absent);
    let upload = Upload { key: &file.key, file: path, precondition, time_to_live_milliseconds: None, goes_on: true };
    match put_file(session, &upload, &ProgressBar::hidden()).await {
        Ok(_) => {
            tally.files += 1;
            tally.bytes += file.bytes;
            journal.note([(&file.key[..], file.content)].into_iter())?;
        }
        // About this one file.
        Err(failure) if matches!(failure.kind, Kind::Refused | Kind::Local) => {
            tally.troubles.push((file.name, failure.to_string()));
        }
        Err(failure) => return Err(failure),
    }
    Ok(file.bytes)
}

/// Stores a batch and notes what is stored, before anything that ends the import is told.
async fn store(
    session: &Session,
    mut files: Vec<Read>,
    mut puts: Vec<Put>,
    journal: &mut Journal,
    tally: &mut Tally,
) -> Result<(), Failure> {
    // A key that is too long would have the whole batch refused.
    let fits = |put: &Put| put.key().len() <= canopy_types::limits::KEY_BYTES_MAX;
    for (file, _) in files.iter().zip(&puts).filter(|(_, put)| !fits(put)) {
        let why = format!("a key of {} bytes, a key may have {}", file.key.len(), canopy_types::limits::KEY_BYTES_MAX);
        tally.troubles.push((file.name.clone(), why));
    }
    let mut fit = puts.iter().map(fits).collect::<Vec<_>>().into_iter();
    files.retain(|_| fit.next().unwrap_or(true));
    puts.retain(fits);
    if puts.is_empty() {
        return Ok(());
    }
    let results = session.client.put_many(puts).await?;
    let mut stored = vec![];
    let mut first_failure = None;
    for (file, result) in files.iter().zip(results) {
        let refused = match result {
            Err(WriteError::NotDone(not_done)) if is_of_one_record(&not_done) => Some(sentence(&not_done.reason)),
            result => match settled(&session.client, result).await {
                Ok(_) => None,
                Err(failure) => {
                    first_failure.get_or_insert(failure);
                    continue;
                }
            },
        };
        match refused {
            Some(why) => tally.troubles.push((file.name.clone(), why)),
            None => {
                tally.files += 1;
                tally.bytes += file.bytes;
                stored.push((&file.key[..], file.content));
            }
        }
    }
    journal.note(stored.into_iter())?;
    first_failure.map_or(Ok(()), Err)
}
