//! The same sources in another folder give the same bytes.

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a build leaves behind, and what belongs to no build.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn copy_in_another_folder_builds_the_same_bytes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let elsewhere = tempfile::Builder::new().prefix("a folder of another name ").tempdir().unwrap();
    let workspace = elsewhere.path().join("canopy");
    copy(root, &workspace);
    for (name, expected) in [("router", ROUTER_WASM), ("shard", SHARD_WASM)] {
        let written = elsewhere.path().join(name);
        let status = Command::new(env!("CARGO"))
            .current_dir(&workspace)
            .args(["run", "--release", "--locked", "--quiet", "-p", "canopy-artifacts", "--", name])
            .arg(&written)
            .env("CARGO_TARGET_DIR", elsewhere.path().join("built"))
            .status()
            .unwrap();
        assert!(status.success());
        assert!(fs::read(&written).unwrap() == expected, "the {name} differs from the one built in {}", root.display());
    }
}
