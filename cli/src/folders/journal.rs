//! What an import has stored so far, so that the same command goes on where an earlier one ended.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::places;

#[cfg(test)]
mod tests;

/// The digest of a file's bytes.
pub type Content = [u8; 32];

/// Lines of digest and key, one for each file that was stored. It is removed when all is done.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    stored: BTreeMap<Vec<u8>, Content>,
}

impl Journal {
    /// Opens the journal of an import, which its parts (network, router, folder, prefix) name.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn open(parts: &[&[u8]]) -> Result<Self, Failure> {
        Self::open_in(&places::folder()?.join("imports"), parts)
    }

    fn open_in(folder: &Path, parts: &[&[u8]]) -> Result<Self, Failure> {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let path = folder.join(format!("{}.journal", hex::encode(&digest.finalize()[..16])));
        let failed = |error: io::Error| Failure::local(format!("can't keep the journal {}: {error}", path.display()));
        fs::create_dir_all(folder).map_err(failed)?;
        let stored = match File::open(&path) {
            Ok(file) => read(file).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error)),
        };
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        Ok(Self { path, file, stored })
    }

    /// Tells whether a file of this content is stored under the key.
    pub fn holds(&self, key: &[u8], content: &Content) -> bool {
        self.stored.get(key) == Some(content)
    }

    /// Notes what was stored.
    ///
    /// # Errors
    /// When the journal can't be written; what was noted before stays noted.
    pub fn note<'a>(&mut self, stored: impl Iterator<Item = (&'a [u8], Content)>) -> Result<(), Failure> {
        let mut lines = String::new();
        for (key, content) in stored {
            lines.push_str(&format!("{} {}\n", hex::encode(content), hex::encode(key)));
            self.stored.insert(key.to_vec(), content);
        }
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|error| Failure::local(format!("can't write the journal {}: {error}", self.path.display())))
    }

    /// Forgets everything: the import is done, or is to begin anew.
    ///
    /// # Errors
    /// When the file can't be emptied.
    pub fn clear(&mut self) -> Result<(), Failure> {
        self.stored.clear();
        let emptied = self.file.set_len(0);
        emptied.map_err(|error| Failure::local(format!("can't empty the journal {}: {error}", self.path.display())))
    }

    /// Removes the journal.
    pub fn remove(self) {
        // One that stays is emptied already, and harmless.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads the lines that are whole: the last one may have been cut off when a disk was full.
fn read(file: File) -> io::Result<BTreeMap<Vec<u8>, Content>> {
    let mut stored = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        let fields = line.split_once(' ').and_then(|(content, key)| {
            let content: Content = hex::decode(content).ok()?.try_into().ok()?;
            Some((hex::decode(key).ok()?, content))
        });
        stored.extend(fields);
    }
    Ok(stored)
}
