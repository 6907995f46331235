//! The files below a folder, as keys and values.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use canopy_types::limits::{KEY_BYTES_MAX, LARGE_VALUE_BYTES_MAX};

/// How much is taken of a folder at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub files_max: usize,
    pub bytes_max: u64,
}

/// Folders below the one given that are walked at most, so that no odd tree keeps the command busy for ever.
const FOLDERS_MAX: usize = 200_000;

/// A file to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    /// The path below the folder, with `/` between its parts.
    pub key: Vec<u8>,
    pub bytes: u64,
}

/// What a walk found. Files beyond the limits are only counted.
#[derive(Debug, Default)]
pub struct Found {
    pub files: Vec<File>,
    pub bytes: u64,
    /// Each with the reason, in the order found.
    pub skipped: Vec<(PathBuf, String)>,
    pub beyond_limits: usize,
}

/// Lists the files below `folder` in the order of their names; links are not followed.
///
/// # Errors
/// When `folder` itself can't be read, or holds more than 200,000 folders.
pub fn find(folder: &Path, limits: Limits) -> Result<Found> {
    let mut found = Found::default();
    let mut waiting = vec![folder.to_path_buf()];
    let mut walked = 0;
    while let Some(next) = waiting.pop() {
        walked += 1;
        ensure!(walked <= FOLDERS_MAX, "{} holds more than {FOLDERS_MAX} folders", folder.display());
        let entries = fs::read_dir(&next).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) if next == folder => {
                return Err(error).with_context(|| format!("can't read {}", next.display()));
            }
            Err(error) => {
                found.skipped.push((next, error.to_string()));
                continue;
            }
        };
        entries.sort_by_key(|entry| entry.file_name());
        let mut folders = vec![];
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.add(folder, entry.path(), limits),
                Ok(_) => {}
                Err(error) => found.skipped.push((entry.path(), error.to_string())),
            }
        }
        waiting.extend(folders.into_iter().rev());
    }
    Ok(found)
}

/// Names the folder into which cargo unpacks the sources of crates: real data that every Rust machine has.
///
/// # Errors
/// When neither `CARGO_HOME` nor `HOME` is set.
pub fn crate_sources() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("no folder was given, and neither CARGO_HOME nor HOME is set")?;
    Ok(home.join("registry").join("src"))
}

impl Found {
    fn add(&mut self, folder: &Path, path: PathBuf, limits: Limits) {
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) => return self.skipped.push((path, error.to_string())),
        };
        let key = key_of(folder, &path);
        if bytes > LARGE_VALUE_BYTES_MAX {
            self.skipped.push((path, format!("{bytes} bytes, a value may have {LARGE_VALUE_BYTES_MAX}")));
        } else if key.len() > KEY_BYTES_MAX {
            self.skipped.push((path, format!("a path of {} bytes, a key may have {KEY_BYTES_MAX}", key.len())));
        } else if self.files.len() == limits.files_max || self.bytes + bytes > limits.bytes_max {
            self.beyond_limits += 1;
        } else {
            self.bytes += bytes;
            self.files.push(File { path, key, bytes });
        }
    }
}

fn key_of(folder: &Path, path: &Path) -> Vec<u8> {
    let below = path.strip_prefix(folder).expect("the walk starts at the folder");
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().as_encoded_bytes()).collect();
    parts.join(&b'/')
}

#[cfg(test)]
mod tests;
