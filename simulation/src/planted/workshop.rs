//! Builds the service with a planted bug in it, from a copy of the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

use super::{Planted, apply};
use crate::network::Service;

#[cfg(test)]
mod tests;

/// Folders and files of which the canisters are made, and what cargo needs to know the workspace.
const SOURCES: [&str; 7] = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "artifacts", "router", "shard", "types"];

/// Where planted bugs are built.
pub struct Workshop {
    root: PathBuf,
    copy: PathBuf,
}

impl Workshop {
    /// Prepares a copy of the workspace at `root` below its target directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), copy: root.join("target").join("planted") }
    }

    /// Builds the service with a bug in it.
    ///
    /// # Errors
    /// An edit that no longer fits, or a build that fails.
    pub fn build(&self, planted: &Planted) -> Result<Service, String> {
        let sources = self.plant(planted)?;
        Ok(Service { router: self.build_module(&sources, "router")?, shard: self.build_module(&sources, "shard")? })
    }

    /// Runs the shard's own tests of transfers on sources with a bug in them, and tells which one fails, if any does.
    ///
    /// # Errors
    /// An edit that no longer fits, or sources that don't compile.
    pub fn test_transfers(&self, planted: &Planted) -> Result<Option<String>, String> {
        let sources = self.plant(planted)?;
        let built =
            self.cargo(&sources, &["test", "--release", "--quiet", "--package", "canopy-shard", "--lib", "--no-run"])?;
        if !built.status.success() {
            let text = String::from_utf8_lossy(&built.stderr);
            return Err(format!("the shard's tests with the bug can't be built: {text}"));
        }
        let tested = self.cargo(
            &sources,
            &["test", "--release", "--package", "canopy-shard", "--lib", "--", "transfer::", "import_"],
        )?;
        let text = String::from_utf8_lossy(&tested.stdout);
        let failed = text.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        Ok(failed.map(str::to_string))
    }

    /// Writes the sources with a bug in them, and tells where they are.
    fn plant(&self, planted: &Planted) -> Result<PathBuf, String> {
        let sources = self.copy.join("source");
        let mut files = BTreeMap::new();
        for source in SOURCES {
            read_all(&self.root, Path::new(source), &mut files).map_err(|error| format!("{source}: {error}"))?;
        }
        for edit in planted.edits {
            let file = files.get_mut(Path::new(edit.file)).ok_or_else(|| format!("there is no {}", edit.file))?;
            let text = std::str::from_utf8(file).map_err(|error| format!("{}: {error}", edit.file))?;
            *file = apply(edit, text)?.into_bytes();
        }
        write_all(&sources, &files).map_err(|error| format!("{}: {error}", sources.display()))?;
        Ok(sources)
    }

    fn cargo(&self, sources: &Path, arguments: &[&str]) -> Result<Output, String> {
        Command::new("cargo")
            .current_dir(sources)
            .args(arguments)
            .env("CARGO_TARGET_DIR", self.copy.join("target"))
            .output()
            .map_err(|error| format!("cargo can't be started: {error}"))
    }

    fn build_module(&self, sources: &Path, name: &str) -> Result<&'static [u8], String> {
        let output = self.copy.join(format!("{name}.wasm.gz"));
        let path = output.to_str().ok_or_else(|| format!("{} is no text", output.display()))?;
        let built =
            self.cargo(sources, &["run", "--release", "--quiet", "--package", "canopy-artifacts", "--", name, path])?;
        if !built.status.success() {
            return Err(format!("the {name} with the bug can't be built: {}", String::from_utf8_lossy(&built.stderr)));
        }
        let module = fs::read(&output).map_err(|error| format!("{}: {error}", output.display()))?;
        // There are few, and they are needed until the process ends.
        Ok(Box::leak(module.into_boxed_slice()))
    }
}

/// Reads a file, or all files of a folder, by their paths from `root`.
fn read_all(root: &Path, path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        for entry in fs::read_dir(&full)? {
            read_all(root, &path.join(entry?.file_name()), files)?;
        }
        return Ok(());
    }
    let mut content = fs::read(&full)?;
    if path == Path::new("Cargo.toml") {
        content = reduce_workspace(&String::from_utf8_lossy(&content)).into_bytes();
    }
    files.insert(path.to_path_buf(), content);
    Ok(())
}

/// Leaves only the packages of which the canisters are made, and builds them quickly rather than well: each bug is built
/// anew, and what it does isn't changed by how fast it does it.
fn reduce_workspace(manifest: &str) -> String {
    let keep = |line: &str| match line {
        r#"lto = "fat""# => "lto = false\nincremental = true".to_string(),
        "codegen-units = 1" => "codegen-units = 64".to_string(),
        "opt-level = 3" => "opt-level = 1".to_string(),
        line if line.starts_with("members = ") => r#"members = ["types", "shard", "router", "artifacts"]"#.to_string(),
        line if line.starts_with("default-members = ") => String::new(),
        line => line.to_string(),
    };
    manifest.lines().map(keep).collect::<Vec<_>>().join("\n")
}

/// Writes files that differ from what is there, and those only: cargo goes by the time of the last change.
fn write_all(to: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for (path, content) in files {
        let path = to.join(path);
        if fs::read(&path).is_ok_and(|old| old == *content) {
            continue;
        }
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
        fs::write(&path, content)?;
    }
    Ok(())
}
