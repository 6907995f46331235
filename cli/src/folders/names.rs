//! Keys as paths of files, both ways.
//!
//! A key that is a plain relative path is its own path. Every other key (one that isn't text, leads out of the folder, or
//! could not be told apart) lies as hexadecimal digits under [`OTHER_KEYS`], so that what was exported imports as it was.

use std::path::{Component, Path, PathBuf};

#[cfg(test)]
mod tests;

/// The folder of keys that are no paths.
pub const OTHER_KEYS: &str = ".canopy-keys";

/// Names of files that belong to the command itself begin with this.
pub const OWN_FILES: &str = ".canopy-";

/// Hexadecimal digits in a name: file systems allow 255 bytes.
const DIGITS_PER_NAME: usize = 200;

/// Bytes that file systems allow in a name.
const NAME_BYTES_MAX: usize = 255;

/// Gives the path of a key, below the folder.
pub fn path_of(key: &[u8]) -> PathBuf {
    plain_path(key).unwrap_or_else(|| hexadecimal_path(key))
}

/// Gives the path that any key can have.
pub fn hexadecimal_path(key: &[u8]) -> PathBuf {
    let digits = hex::encode(key);
    let names =
        digits.as_bytes().chunks(DIGITS_PER_NAME).map(|name| std::str::from_utf8(name).expect("digits are ASCII"));
    let mut path = PathBuf::from(OTHER_KEYS);
    path.extend(names);
    // A key that is the beginning of another one must not be a folder and a file at the same time.
    path.set_extension("key");
    path
}

/// Gives the key of a path below the folder; `None` for the command's own files.
pub fn key_of(path: &Path) -> Option<Vec<u8>> {
    let mut names = path.components().map(|part| part.as_os_str().as_encoded_bytes()).peekable();
    let first = *names.peek()?;
    if first == OTHER_KEYS.as_bytes() {
        let digits: Vec<u8> = names.skip(1).flatten().copied().collect();
        return hex::decode(digits.strip_suffix(b".key")?).ok();
    }
    let is_own = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(OWN_FILES.as_bytes()));
    if is_own {
        return None;
    }
    Some(names.collect::<Vec<_>>().join(&b'/'))
}

/// Gives the path that a key is, if it is one and leads back to the same key.
fn plain_path(key: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(key).ok()?;
    if text.chars().any(|character| character.is_control() || character == '\\') {
        return None;
    }
    let path = Path::new(text);
    let is_plain =
        path.components().all(|part| matches!(part, Component::Normal(name) if name.len() <= NAME_BYTES_MAX));
    (is_plain && key_of(path).as_deref() == Some(key) && !text.starts_with(OTHER_KEYS)).then(|| path.to_path_buf())
}
