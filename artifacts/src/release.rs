//! Stores both modules as a release, from which upgrades are tested for ever after.

use std::fs;
use std::path::Path;

use canopy_artifacts::{ROUTER_SHA256, ROUTER_WASM, SHARD_SHA256, SHARD_WASM};
use serde_json::{Value, json};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes the modules to `folder` under the workspace's version and adds them to `folder/manifest.json`.
///
/// # Errors
/// A text when the version was released before (a release never changes), or files can't be read or written.
pub fn store(folder: &Path) -> Result<(), String> {
    let manifest_path = folder.join("manifest.json");
    let at = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&manifest_path).map_err(|error| at(&manifest_path, &error))?;
    let mut manifest: Value = serde_json::from_str(&text).map_err(|error| at(&manifest_path, &error))?;
    let releases = manifest["releases"].as_array_mut().ok_or_else(|| at(&manifest_path, &"no list of releases"))?;
    if releases.iter().any(|release| release["version"] == VERSION) {
        return Err(format!("version {VERSION} was released before: raise the version in Cargo.toml"));
    }
    let version_folder = folder.join(VERSION);
    fs::create_dir_all(&version_folder).map_err(|error| at(&version_folder, &error))?;
    let mut release = json!({ "version": VERSION });
    for (name, module, sha256) in [("router", ROUTER_WASM, ROUTER_SHA256), ("shard", SHARD_WASM, SHARD_SHA256)] {
        let file = format!("{VERSION}/{name}.wasm.gz");
        let path = folder.join(&file);
        fs::write(&path, module).map_err(|error| at(&path, &error))?;
        release[name] = json!({ "file": file, "bytes": module.len(), "sha256": sha256 });
    }
    releases.push(release);
    let text = serde_json::to_string_pretty(&manifest).expect("a value is always JSON") + "\n";
    fs::write(&manifest_path, text).map_err(|error| at(&manifest_path, &error))
}
