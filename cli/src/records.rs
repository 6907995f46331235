//! `put`, `get`, `delete` and `scan`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use canopy_client::transport::Transport;
use canopy_client::{
    Client, Delete, LargeRecord, NotDone, Precondition, Put, Reason, ScanOptions, ScannedRecord, SettleError, Version,
    Write, WriteError,
};
use canopy_types::limits::{LARGE_VALUE_BYTES_MAX, VALUE_BYTES_MAX};
use clap::Args;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::{Failure, Kind};
use crate::large::{Upload, get_file, get_to_stdout, put_file};
use crate::places::{self, write_whole};
use crate::shown::{bar, confirm, grouped, key_json, key_text, parse_key, print_bytes, print_line, value_json};

/// Milliseconds of a second.
const MILLISECONDS: u64 = 1_000;

/// What `put` is given.
#[derive(Args)]
#[group(skip)]
pub struct PutOptions {
    /// The key, 1 to 1,024 bytes.
    key: String,
    /// The value; from a file with --file.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<String>,
    /// The file that holds the value, up to 4 GiB; `-` reads it from stdin. One longer than 1 MiB is uploaded in chunks,
    /// and the same command goes on where an earlier one ended.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// The key is in hexadecimal.
    #[arg(long)]
    hex: bool,
    /// Only if nothing is stored under the key.
    #[arg(long, conflicts_with_all = ["if_present", "if_version"])]
    if_absent: bool,
    /// Only if something is stored under the key.
    #[arg(long, conflicts_with = "if_version")]
    if_present: bool,
    /// Only if the record has this version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Seconds after which the record ends.
    #[arg(long, value_name = "SECONDS")]
    time_to_live: Option<u64>,
}

impl PutOptions {
    /// Tells whether the value goes in chunks, from a file that stays, so that the same command goes on where this one ends.
    pub fn goes_on(&self) -> bool {
        let found = self.file.as_ref().and_then(|path| fs::metadata(path).ok());
        found.is_some_and(|found| found.len() > VALUE_BYTES_MAX as u64)
    }
}

/// What `get` is given.
#[derive(Args)]
#[group(skip)]
pub struct GetOptions {
    /// The key.
    key: String,
    /// The file to write the value to, instead of stdout.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// The key is in hexadecimal.
    #[arg(long)]
    hex: bool,
    /// Ask one replica: faster and free, but possibly a moment old, and only as honest as it.
    #[arg(long)]
    query: bool,
    /// Only version, length and end of the record.
    #[arg(long, conflicts_with_all = ["output", "query"])]
    without_value: bool,
}

/// What `delete` is given.
#[derive(Args)]
#[group(skip)]
pub struct DeleteOptions {
    /// The key.
    key: String,
    /// The key is in hexadecimal.
    #[arg(long)]
    hex: bool,
    /// Only if the record has this version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

/// What `scan` is given.
#[derive(Args)]
#[group(skip)]
pub struct ScanCommandOptions {
    /// Only keys that begin with this. Everything is walked through nevertheless.
    #[arg(short, long)]
    prefix: Option<String>,
    /// The prefix is in hexadecimal.
    #[arg(long, requires = "prefix")]
    hex: bool,
    /// Records to show, at most.
    #[arg(short, long)]
    limit: Option<u64>,
    /// Show the values, too: as text where they are text. With --json they are there in base64.
    #[arg(long)]
    values: bool,
    /// Ask one replica: faster and free, but possibly a moment old, and only as honest as it.
    #[arg(long)]
    query: bool,
}

/// Stores a value.
pub async fn put(connection: &Connection, options: PutOptions, json: bool) -> Result<(), Failure> {
    let key = parse_key(&options.key, options.hex)?;
    let input = match (options.value, options.file) {
        (Some(value), _) => Input::Short(value.into_bytes()),
        (None, Some(file)) => read_value(file, json).await?,
        (None, None) => return Err(Failure::local("there is no value")),
    };
    let precondition = match options.if_version {
        _ if options.if_absent => Some(Precondition::Absent),
        _ if options.if_present => Some(Precondition::Present),
        version => version.map(|version| Precondition::Version(Version(version))),
    };
    let time_to_live_milliseconds = options.time_to_live.map(|seconds| seconds.saturating_mul(MILLISECONDS));
    let session = connection.open().await?;
    let stored = match input {
        Input::Short(value) => {
            let mut put = Put::new(key.clone(), value);
            if let Some(precondition) = precondition {
                put = put.if_holds(precondition);
            }
            if let Some(milliseconds) = time_to_live_milliseconds {
                put = put.time_to_live_milliseconds(milliseconds);
            }
            let result = session.client.put(put).await;
            settled(&session.client, result).await
        }
        Input::Long(file) => {
            let goes_on = !file.is_made;
            let upload = Upload { key: &key, file: &file.path, precondition, time_to_live_milliseconds, goes_on };
            let bar = bar("put", file.bytes, json);
            let stored = put_file(&session, &upload, &bar).await;
            bar.finish_and_clear();
            stored
        }
    };
    let reply = stored.map_err(|failure| failure.during("put"))?;
    if json {
        let mut fields = key_json(&key);
        fields.insert("version".to_string(), json!(reply.version.0));
        return print_line(Value::Object(fields));
    }
    print_line(format!("stored {} as version {}", key_text(&key), reply.version.0))
}

/// Prints a value, or writes it to a file.
pub async fn get(connection: &Connection, options: GetOptions, json: bool) -> Result<(), Failure> {
    let key = parse_key(&options.key, options.hex)?;
    let session = connection.open().await?;
    let client = &session.client;
    let record = if options.without_value {
        client.get_without_value(&key).await
    } else {
        client.get_record(&key, options.query).await
    };
    let is_text = json && options.output.is_none();
    let record = match record {
        Err(NotDone { reason: Reason::AskAgain { bytes } }) if !is_text => {
            let bar = bar("get", bytes, json);
            let read = match &options.output {
                Some(path) => get_file(client, &key, path, &bar).await,
                None => get_to_stdout(client, &key, &bar).await,
            };
            bar.finish_and_clear();
            match read.map_err(|failure| failure.during("get"))? {
                Some(record) => return tell_large(&key, &record, options.output.as_deref(), json),
                // Replaced by a record meanwhile.
                None => client.get(&key).await,
            }
        }
        Err(NotDone { reason: Reason::AskAgain { .. } }) => client.get(&key).await,
        record => record,
    };
    let record = record.map_err(|not_done| Failure::from(not_done).during("get"))?;
    let Some(record) = record else {
        return Err(Failure::new(Kind::Incomplete, format!("nothing is stored under {}", key_text(&key))));
    };
    if let Some(path) = &options.output {
        write_whole(path, &record.value)
            .map_err(|error| Failure::local(format!("can't write {}: {error}", path.display())))?;
    }
    let value_bytes = record.value_bytes.unwrap_or(record.value.len() as u64);
    if json {
        let mut fields = key_json(&key);
        fields.insert("version".to_string(), json!(record.version.0));
        fields.insert("expires_at_nanoseconds".to_string(), json!(record.expires_at_nanoseconds));
        fields.insert("value_bytes".to_string(), json!(value_bytes));
        if options.output.is_none() && !options.without_value {
            fields.insert("value_base64".to_string(), value_json(&record.value));
        }
        return print_line(Value::Object(fields));
    }
    match &options.output {
        Some(path) => print_line(format!("{} bytes in {}", grouped(value_bytes), path.display())),
        None if options.without_value => {
            let end = record.expires_at_nanoseconds.map_or(String::new(), |end| format!(", ends at {end} ns"));
            print_line(format!("version {}, {} bytes{end}", record.version.0, grouped(value_bytes)))
        }
        None => print_bytes(&record.value),
    }
}

/// Tells what was written of a large value.
fn tell_large(key: &[u8], record: &LargeRecord, output: Option<&Path>, json: bool) -> Result<(), Failure> {
    let Some(path) = output else { return Ok(()) };
    if json {
        let mut fields = key_json(key);
        fields.insert("version".to_string(), json!(record.version.0));
        fields.insert("expires_at_nanoseconds".to_string(), json!(record.expires_at_nanoseconds));
        fields.insert("value_bytes".to_string(), json!(record.value_bytes));
        return print_line(Value::Object(fields));
    }
    print_line(format!("{} bytes in {}", grouped(record.value_bytes), path.display()))
}

/// Removes a record.
pub async fn delete(connection: &Connection, options: DeleteOptions, json: bool) -> Result<(), Failure> {
    let key = parse_key(&options.key, options.hex)?;
    confirm(&format!("remove the record of {}?", key_text(&key)), options.yes).await?;
    let mut delete = Delete::new(key.clone());
    if let Some(version) = options.if_version {
        delete = delete.if_version(Version(version));
    }
    let session = connection.open().await?;
    let result = session.client.delete(delete).await;
    let reply = settled(&session.client, result).await.map_err(|failure| failure.during("delete"))?;
    if json {
        let mut fields = key_json(&key);
        fields.insert("deleted_version".to_string(), json!(reply.deleted.map(|version| version.0)));
        return print_line(Value::Object(fields));
    }
    match reply.deleted {
        Some(version) => print_line(format!("removed {}, which had version {}", key_text(&key), version.0)),
        None => print_line(format!("nothing was stored under {}", key_text(&key))),
    }
}

/// Prints keys, and values if asked for.
pub async fn scan(connection: &Connection, options: ScanCommandOptions, json: bool) -> Result<(), Failure> {
    let key_prefix = options.prefix.map(|prefix| parse_key(&prefix, options.hex)).transpose()?;
    let limit = options.limit.unwrap_or(u64::MAX);
    let session = connection.open().await?;
    let mut scan = session.client.scan(ScanOptions {
        key_prefix,
        without_values: !options.values,
        one_replica: options.query,
        // A page that isn't needed costs, too.
        page_records_max: u32::try_from(limit).ok().and_then(NonZeroU32::new),
        ..ScanOptions::default()
    });
    let mut records = 0;
    while records < limit {
        let next = scan.next().await.map_err(|not_done| Failure::from(not_done).during("scan"))?;
        let Some(record) = next else { return Ok(()) };
        records += 1;
        print_line(record_line(&record, options.values, json))?;
    }
    Ok(())
}

/// Writes a record of a scan in a line.
fn record_line(record: &ScannedRecord, with_value: bool, json: bool) -> String {
    let value_bytes = record.value_bytes.unwrap_or(record.value.len() as u64);
    if json {
        let mut fields = key_json(&record.key);
        fields.insert("version".to_string(), json!(record.version.0));
        fields.insert("expires_at_nanoseconds".to_string(), json!(record.expires_at_nanoseconds));
        fields.insert("value_bytes".to_string(), json!(value_bytes));
        if with_value {
            fields.insert("value_base64".to_string(), value_json(&record.value));
        }
        return Value::Object(fields).to_string();
    }
    let key = key_text(&record.key);
    if with_value { format!("{key}\t{}", key_text(&record.value)) } else { key }
}

/// A value that is to be stored.
enum Input {
    Short(Vec<u8>),
    /// Longer than a record.
    Long(LongFile),
}

/// A file, which is removed in the end if it was made for the command.
struct LongFile {
    path: PathBuf,
    bytes: u64,
    is_made: bool,
}

impl LongFile {
    /// Makes an empty file for what comes from elsewhere, and opens it.
    fn make() -> Result<(Self, File), Failure> {
        let folder = places::folder()?;
        let path = folder.join(format!("stdin-{}", std::process::id()));
        let made = fs::create_dir_all(&folder).and_then(|()| File::create(&path));
        let file = made.map_err(|error| Failure::local(format!("can't write {}: {error}", path.display())))?;
        Ok((Self { path, bytes: 0, is_made: true }, file))
    }
}

impl Drop for LongFile {
    fn drop(&mut self) {
        if self.is_made {
            // What stays is in nobody's way.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads a value from a file or stdin. A long one stays in its file, or goes into one, because its length must be known.
async fn read_value(path: PathBuf, json: bool) -> Result<Input, Failure> {
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "stdin".to_string() } else { path.display().to_string() };
    let failed = |error: io::Error| Failure::local(format!("can't read {name}: {error}"));
    if !is_stdin {
        let bytes = fs::metadata(&path).map_err(failed)?.len();
        if bytes > VALUE_BYTES_MAX as u64 {
            return Ok(Input::Long(LongFile { path, bytes, is_made: false }));
        }
    }
    let bar = bar("read", VALUE_BYTES_MAX as u64, json);
    let reading = bar.clone();
    let begun = aside(move || {
        let mut input: Box<dyn Read + Send> =
            if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        let mut value = vec![];
        Read::take(reading.wrap_read(&mut input), VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut value)?;
        Ok((value, input))
    });
    let (value, rest) = begun.await.map_err(failed)?;
    bar.finish_and_clear();
    if value.len() <= VALUE_BYTES_MAX {
        Ok(Input::Short(value))
    } else {
        keep(value, rest, &name).await.map(Input::Long)
    }
}

/// Writes what was read and what follows into a file.
async fn keep(read: Vec<u8>, rest: Box<dyn Read + Send>, name: &str) -> Result<LongFile, Failure> {
    // It is dropped, and the file removed, also where nobody waits for the thread any more.
    let (mut kept, mut file) = LongFile::make()?;
    let copied = aside(move || {
        let whole = Read::chain(read.as_slice(), rest);
        io::copy(&mut Read::take(whole, LARGE_VALUE_BYTES_MAX + 1), &mut file)
    });
    let failed = |error: io::Error| Failure::local(format!("can't keep {name} in {}: {error}", kept.path.display()));
    kept.bytes = copied.await.map_err(failed)?;
    if kept.bytes > LARGE_VALUE_BYTES_MAX {
        let message = format!("{name} has more than {LARGE_VALUE_BYTES_MAX} bytes, and a value has at most that many");
        return Err(Failure::local(message));
    }
    Ok(kept)
}

/// Does what may wait for ever on a thread of its own, so that Ctrl-C is heard meanwhile.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::from).flatten()
}

/// Finds out what became of a write, once more if no answer came.
///
/// # Errors
/// That it was not done and why; or that nobody knows.
pub async fn settled<T: Transport, W: Write>(
    client: &Client<T>,
    result: Result<W::Done, WriteError<W>>,
) -> Result<W::Done, Failure> {
    let unknown = match result {
        Ok(done) => return Ok(done),
        Err(WriteError::NotDone(not_done)) => return Err(not_done.into()),
        Err(WriteError::Unknown(unknown)) => unknown,
    };
    let advice = "it may have been done, or be done within five minutes: `canopy get` shows";
    let still = |why: &str| Failure::new(Kind::Unknown, format!("no answer came: {why}")).with_advice(advice);
    match client.settle(unknown).await {
        Ok(done) => Ok(done),
        Err(SettleError::NotDone(not_done)) => Err(not_done.into()),
        Err(SettleError::Unknown(unknown)) => Err(still(unknown.reason())),
        Err(SettleError::TooLate(_)) => Err(still("it was issued more than 15 minutes ago")),
    }
}

/// Tells whether a refusal is about this one record, so that others may still be done.
pub fn is_of_one_record(not_done: &NotDone) -> bool {
    matches!(
        not_done.reason,
        Reason::KeyEmpty
            | Reason::KeyTooLong { .. }
            | Reason::ValueTooLong { .. }
            | Reason::PreconditionFailed { .. }
            | Reason::KeyCollides { .. }
            | Reason::AskAgain { .. }
    )
}
