//! Builds the shard, then the router with the shard inside, and leaves both as compressed Wasm in `OUT_DIR`.
//!
//! The same sources give the same bytes in every folder and on every machine with the same toolchain: dependencies are
//! locked, paths are replaced in the compiler's output, nothing of the surrounding build's environment gets in, and
//! the compression carries no time.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[path = "src/nested.rs"]
mod nested;

use nested::{TARGET, compress};

/// Stack of a canister, in bytes: 4 MiB, four times the default.
///
/// Candid decodes nested values by recursion, and `canopy-types` bounds their depth so that they fill a quarter of this.
const STACK_BYTES: u32 = 4 * 1024 * 1024;

/// What the canisters are made of; a change of anything else doesn't build them again.
const SOURCES: [&str; 8] = [
    "shard",
    "router",
    "types",
    "artifacts/build.rs",
    "artifacts/src/nested.rs",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
];

/// Clippy looks at code and runs none of it, so it needs no canisters, which take minutes. What it leaves is kept apart from
/// other builds by cargo, and the library refuses to be built from it.
const SET_BY_CLIPPY: &str = "CLIPPY_ARGS";

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the package lies in the workspace").to_path_buf();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed={SET_BY_CLIPPY}");
    let out = PathBuf::from(variable("OUT_DIR"));
    if env::var_os(SET_BY_CLIPPY).is_some() {
        leave_nothing(&out);
        return;
    }
    ensure_target();

    let target_directory = out.join("canisters");
    let mut flags = remappings(&root, &out);
    flags.extend(["-C".to_string(), format!("link-arg=-zstack-size={STACK_BYTES}")]);
    let flags = flags.join("\x1f");
    let build = |name: &str, output: &Path, variables: &[(&str, String)]| {
        let module = nested::build(&root, &target_directory, &flags, &format!("canopy-{name}"), &[], variables);
        finish(&root, name, module, output)
    };
    let shard = out.join("shard.wasm.gz");
    let shard_hash = build("shard", &shard, &[]);
    let embedded = [("CANOPY_SHARD_WASM", shard.display().to_string()), ("CANOPY_SHARD_SHA256", shard_hash.clone())];
    let router_hash = build("router", &out.join("router.wasm.gz"), &embedded);
    println!("cargo::rustc-env=CANOPY_BUILT_SHARD_SHA256={shard_hash}");
    println!("cargo::rustc-env=CANOPY_BUILT_ROUTER_SHA256={router_hash}");
    println!("cargo::rustc-env=CANOPY_BUILT_FLAGS={flags}");
}

/// Leaves empty modules.
fn leave_nothing(out: &Path) {
    for name in ["shard", "router"] {
        let path = out.join(format!("{name}.wasm.gz"));
        fs::write(&path, []).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("cargo::rustc-env=CANOPY_BUILT_{}_SHA256=", name.to_uppercase());
    }
    println!("cargo::rustc-env=CANOPY_BUILT_FLAGS=");
}

/// Adds interface and version to a module, writes it to `output` and tells its SHA-256 in hexadecimal.
fn finish(root: &Path, name: &str, mut module: Vec<u8>, output: &Path) -> String {
    let interface = root.join(name).join(format!("{name}.did"));
    let interface = fs::read(&interface).unwrap_or_else(|error| panic!("{}: {error}", interface.display()));
    append_custom_section(&mut module, "icp:public candid:service", &interface);
    append_custom_section(&mut module, "icp:public canopy:version", variable("CARGO_PKG_VERSION").as_bytes());
    let compressed = compress(&module);
    fs::write(output, &compressed).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
    Sha256::digest(&compressed).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces every path that differs between machines.
fn remappings(root: &Path, out: &Path) -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let sysroot = output(Command::new(variable("RUSTC")).args(["--print", "sysroot"]));
    let replaced = [
        // Later ones win, so what lies inside something else comes after it.
        Some((root.to_path_buf(), "/canopy")),
        Some((out.to_path_buf(), "/out")),
        home.map(|home| (home, "/cargo")),
        Some((PathBuf::from(sysroot.trim()), "/rust")),
    ];
    let flag = |(path, name): (PathBuf, &str)| format!("--remap-path-prefix={}={name}", path.display());
    replaced.into_iter().flatten().map(flag).collect()
}

/// Adds the Wasm target to the toolchain if it lacks it.
fn ensure_target() {
    let libraries = output(Command::new(variable("RUSTC")).args(["--print", "target-libdir", "--target", TARGET]));
    if Path::new(libraries.trim()).is_dir() {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the toolchain has no {TARGET}: run `rustup target add {TARGET}`"
    );
}

fn append_custom_section(module: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut section = Vec::new();
    write_leb128(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(content);
    module.push(0);
    write_leb128(module, section.len());
    module.extend_from_slice(&section);
}

fn write_leb128(bytes: &mut Vec<u8>, number: usize) {
    let mut rest = u32::try_from(number).expect("a Wasm section is shorter than 4 GiB");
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the compiler prints UTF-8")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
}
