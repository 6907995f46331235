//! `import`: the files of a folder become records.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use canopy_client::{Put, WriteError};
use canopy_types::limits::VALUE_BYTES_MAX;
use clap::Args;
use sha2::{Digest, Sha256};

use super::journal::{Content, Journal};
use super::{Ending, Tally, names};
use crate::connection::{Connection, Session};
use crate::failure::{Failure, sentence};
use crate::files::{self, File, Limits};
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

/// A file that was read.
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
        let (mut read, mut puts, mut batch_bytes) = (vec![], vec![], 0);
        while let Some(file) = files.next_if(|file| {
            puts.len() < BATCH_FILES_MAX && (puts.is_empty() || batch_bytes + file.bytes <= BATCH_BYTES_MAX)
        }) {
            let Some((file, value)) = read_file(&folder, file, &options.prefix, &mut tally) else { continue };
            if !keys.insert(file.key.clone()) {
                tally.troubles.push((file.name, "another file has the same key".to_string()));
            } else if journal.holds(&file.key, &file.content) {
                tally.before += 1;
                bar.inc(file.bytes);
            } else {
                batch_bytes += file.bytes;
                let put = Put::new(file.key.clone(), value);
                puts.push(if options.if_absent { put.if_absent() } else { put });
                read.push(file);
            }
        }
        let stored = store(&session, read, puts, &mut journal, &mut tally).await;
        bar.set_position(bar.position() + batch_bytes);
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
fn read_file(folder: &std::path::Path, file: &File, prefix: &str, tally: &mut Tally) -> Option<(Read, Vec<u8>)> {
    let below = file.path.strip_prefix(folder).expect("the walk starts at the folder");
    let key = names::key_of(below)?;
    let name = below.display().to_string();
    let key = [prefix.as_bytes(), &key].concat();
    match fs::read(&file.path) {
        Ok(value) if value.len() > VALUE_BYTES_MAX => {
            let why = format!("{} bytes, a value may have {VALUE_BYTES_MAX}", value.len());
            tally.troubles.push((name, why));
            None
        }
        Ok(value) => {
            let content = Sha256::digest(&value).into();
            Some((Read { name, bytes: value.len() as u64, key, content }, value))
        }
        Err(error) => {
            tally.troubles.push((name, error.to_string()));
            None
        }
    }
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
