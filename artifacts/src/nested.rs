//! Builds a canister of this workspace by a cargo of its own. Shared by the build script and the library.

use flate2::{Compression, GzBuilder};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The target that canisters are built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Variables of the surrounding build that change what the compiler does.
const LEAKING_PREFIXES: [&str; 4] = ["CARGO_", "RUST", "CANOPY_", "CLIPPY_"];

/// Variables of these names that the nested build needs, because they say where the toolchain is.
const KEPT: [&str; 5] = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_NET_OFFLINE", "CARGO_HTTP_CAINFO"];

/// Builds `package` and gives its module.
///
/// Its library is made a `cdylib` alone, whatever its manifest says: for a crate that is a library for Rust, too, cargo
/// leaves out link-time optimisation, and without it the store takes up to a sixth more instructions.
///
/// Builds with the same `flags` (separated by the character 0x1f) in the same folder share what they compiled.
///
/// # Panics
///
/// When it can't be built; the compiler has said why then.
pub fn build(
    root: &Path,
    target_directory: &Path,
    flags: &str,
    package: &str,
    features: &[&str],
    variables: &[(&str, String)],
) -> Vec<u8> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (key, _) in env::vars_os() {
        let text = key.to_string_lossy().into_owned();
        if LEAKING_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) && !KEPT.contains(&text.as_str()) {
            command.env_remove(&key);
        }
    }
    command
        .current_dir(root)
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--locked", "--quiet", "--profile", "canister"])
        .args(["--target", TARGET, "--package", package, "--features", &features.join(",")])
        .arg("--target-dir")
        .arg(target_directory)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .envs(variables.iter().map(|(key, value)| (*key, value)));
    let status = command.status().unwrap_or_else(|error| panic!("cargo can't be started: {error}"));
    assert!(status.success(), "{package} can't be built: {status}");
    let module: PathBuf =
        target_directory.join(TARGET).join("canister").join(format!("{}.wasm", package.replace('-', "_")));
    fs::read(&module).unwrap_or_else(|error| panic!("{}: {error}", module.display()))
}

/// Compresses without a time, a name or an operating system.
pub fn compress(module: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(module).and_then(|()| encoder.finish()).expect("writing to memory succeeds")
}
