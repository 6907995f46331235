//! The Wasm of router and shard, built together with this crate and ready to install (compressed).
//!
//! The router carries the shard's module and installs it by itself, so a deployment needs [`ROUTER_WASM`] only. Both
//! carry their Candid file and version as public custom sections. Equal sources give equal bytes, wherever they lie.

use std::path::Path;

use sha2::{Digest, Sha256};

mod nested;

/// The router's module.
pub const ROUTER_WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/router.wasm.gz"));

/// The shard's module: what the router installs.
pub const SHARD_WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shard.wasm.gz"));

/// SHA-256 of [`ROUTER_WASM`] in hexadecimal: the platform's module hash of a router.
pub const ROUTER_SHA256: &str = env!("CANOPY_BUILT_ROUTER_SHA256");

/// SHA-256 of [`SHARD_WASM`] in hexadecimal: the platform's module hash of a shard.
pub const SHARD_SHA256: &str = env!("CANOPY_BUILT_SHARD_SHA256");

/// Largest module that one message can install, in bytes, with room for the other arguments.
pub const MODULE_BYTES_MAX: usize = 2 * 1024 * 1024 - 64 * 1024;

#[cfg(not(clippy))]
const _: () = assert!(!ROUTER_WASM.is_empty() && !SHARD_WASM.is_empty(), "what was left for clippy is no canister");
const _: () = assert!(ROUTER_WASM.len() <= MODULE_BYTES_MAX, "the router would have to be installed in chunks");
const _: () = assert!(SHARD_WASM.len() <= MODULE_BYTES_MAX, "the router would have to install shards in chunks");

/// Finds a module by the name of its canister.
pub fn module(name: &str) -> Option<&'static [u8]> {
    match name {
        "router" => Some(ROUTER_WASM),
        "shard" => Some(SHARD_WASM),
        _ => None,
    }
}

/// Builds another canister of this workspace, as the router and the shard were built, and gives its module, compressed
/// as theirs.
///
/// For tests: what was compiled for router and shard is used again, so it takes seconds and costs the others nothing.
///
/// # Panics
///
/// When it can't be built; the compiler has said why then.
pub fn build(package: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let target = Path::new(env!("OUT_DIR")).join("canisters");
    nested::compress(&nested::build(root, &target, env!("CANOPY_BUILT_FLAGS"), package, &[], &[]))
}

/// The modules of a router and of a shard.
pub struct Pair {
    /// The router's, which carries the shard's.
    pub router: Vec<u8>,
    pub shard: Vec<u8>,
}

/// Builds router and shard with their feature `marks`, so that they tell what the phases of a message take.
///
/// For benchmarks, as [`build`] is; nothing of it is in what is shipped.
///
/// # Panics
///
/// When they can't be built, or the shard's module can't be written for the router to carry.
pub fn build_marked() -> Pair {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let out = Path::new(env!("OUT_DIR"));
    let build = |package, variables: &[(&str, String)]| {
        let flags = env!("CANOPY_BUILT_FLAGS");
        nested::compress(&nested::build(root, &out.join("canisters"), flags, package, &["marks"], variables))
    };
    let shard = build("canopy-shard", &[]);
    let path = out.join("shard-marked.wasm.gz");
    std::fs::write(&path, &shard).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let hash = Sha256::digest(&shard).iter().map(|byte| format!("{byte:02x}")).collect();
    let carried = [("CANOPY_SHARD_WASM", path.display().to_string()), ("CANOPY_SHARD_SHA256", hash)];
    Pair { router: build("canopy-router", &carried), shard }
}
