//! Where the command keeps what it has to remember: the local network, and imports that aren't finished.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The folder's name, below the user's folder for state.
const FOLDER: &str = "canopy";

/// What `canopy dev` tells the other commands.
#[derive(Serialize, Deserialize)]
pub struct LocalNetwork {
    pub url: String,
    pub root_key: String,
    pub router: Principal,
    pub identity: PathBuf,
    /// The canister besides the router, if there is one.
    pub application: Option<Principal>,
}

/// Names the folder: `CANOPY_HOME`, or `canopy` in `XDG_STATE_HOME`, or in `.local/state` of the user's home.
///
/// # Errors
/// When none of the variables is set and the user has no home.
pub fn folder() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CANOPY_HOME")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join(FOLDER)))
        .or_else(|| std::env::home_dir().map(|home| home.join(".local").join("state").join(FOLDER)))
        .ok_or_else(|| Failure::local("neither CANOPY_HOME, XDG_STATE_HOME nor HOME is set"))
}

/// Names the file that describes the local network.
pub fn local_network() -> Result<PathBuf, Failure> {
    Ok(folder()?.join("local.json"))
}

/// Reads what `canopy dev` has told.
///
/// # Errors
/// When no local network runs.
pub fn read_local_network() -> Result<LocalNetwork, Failure> {
    let path = local_network()?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::local(
                "no local network runs; start one with `canopy dev`, or name another with --network",
            ));
        }
        Err(error) => return Err(Failure::local(format!("can't read {}: {error}", path.display()))),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::local(format!("{} is no description of a network: {error}", path.display())))
}

/// Writes a file as a whole: under another name first, so that nobody ever meets half of it.
///
/// # Errors
/// When its folder isn't there, or it can't be written; then nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (part, mut file) = Part::beside(path)?;
    file.write_all(bytes)?;
    part.move_to(path)
}

/// A file that isn't whole yet. It is removed if it never gets so, whatever ends the writing, Ctrl-C included.
pub struct Part(PathBuf);

impl Part {
    /// Makes an empty file in the folder of `path`, and opens it.
    ///
    /// # Errors
    /// When its folder isn't there, or it can't be written.
    pub fn beside(path: &Path) -> io::Result<(Self, File)> {
        // One file at a time is written by a process, so its number is enough of a name.
        let part = path.with_file_name(format!(".canopy-part-{}", std::process::id()));
        let file = File::create(&part)?;
        Ok((Self(part), file))
    }

    /// Gives the file its name, in place of what has it. Nothing is left to be removed then.
    ///
    /// # Errors
    /// When a folder has the name, or the file can't be renamed.
    pub fn move_to(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Most are moved by now; one that can't be removed is in nobody's way.
        let _ = fs::remove_file(&self.0);
    }
}
